//! State that an attempt shares with its call and its provider, without messages.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::Context;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// When an attempt last had content: the attempt notes it, its call reads it to judge a silence. So a token costs no
/// message. Also whether its provider has given its target up, which wakes the call: so no call needs to poll.
pub(super) struct AttemptProgress {
    since: Instant,
    /// Milliseconds since then, and one more; 0 is never.
    last: AtomicU64,
    given_up: AtomicBool,
    over: AtomicBool,
    call: AtomicWaker,
}

impl AttemptProgress {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            last: AtomicU64::new(0),
            given_up: AtomicBool::default(),
            over: AtomicBool::default(),
            call: AtomicWaker::new(),
        }
    }

    pub(super) fn note_content(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.since).as_millis();
        self.last.store(u64::try_from(millis).unwrap_or(u64::MAX - 1) + 1, Relaxed);
    }

    pub(super) fn last(&self) -> Option<Instant> {
        let millis = self.last.load(Relaxed).checked_sub(1)?;
        self.since.checked_add(Duration::from_millis(millis))
    }

    /// Notes that the attempt is over: its call hears of that.
    pub(super) fn end(&self) {
        self.over.store(true, Release);
    }

    /// Tells the attempt's call that its target was given up, unless the attempt has had content or has ended.
    pub(super) fn give_up(&self) {
        if self.last.load(Relaxed) == 0 && !self.over.load(Acquire) {
            self.given_up.store(true, Release);
            self.call.wake();
        }
    }

    /// Tells whether it was; if not, the caller is woken once it is.
    pub(super) fn is_given_up(&self, cx: &Context<'_>) -> bool {
        self.call.register(cx.waker());
        self.given_up.load(Acquire)
    }
}

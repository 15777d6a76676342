//! State that an attempt shares with its call and its provider, without messages.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::task::Context;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// When an attempt last had content: the attempt notes it, its call reads it to judge a silence. So a token costs no
/// message. Also what became of its target meanwhile, which wakes the call: so no call needs to poll.
pub(super) struct AttemptProgress {
    since: Instant,
    /// Milliseconds since then, and one more; 0 is never.
    last: AtomicU64,
    news: AtomicU8,
    over: AtomicBool,
    call: AtomicWaker,
}

/// What became of an attempt's target while the attempt had no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum TargetNews {
    /// It was given up: its breaker opened, or it was taken out.
    GivenUp = 1,
    /// It came back: its breaker lets calls through again.
    Back = 2,
}

impl AttemptProgress {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            last: AtomicU64::new(0),
            news: AtomicU8::default(),
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

    /// Tells the attempt's call what became of its target, unless the attempt has had content or has ended.
    pub(super) fn tell(&self, news: TargetNews) {
        if self.last.load(Relaxed) == 0 && !self.over.load(Acquire) {
            self.news.store(news as u8, Release);
            self.call.wake();
        }
    }

    /// Returns what was told last; the caller is woken at the next news.
    pub(super) fn news(&self, cx: &Context<'_>) -> Option<TargetNews> {
        self.call.register(cx.waker());
        let told = self.news.load(Acquire);
        [TargetNews::GivenUp, TargetNews::Back].into_iter().find(|news| *news as u8 == told)
    }
}

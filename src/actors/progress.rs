//! State that an attempt shares with its call and its provider, without messages.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::task::Context;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// When an attempt last had content: the attempt notes it, its call reads it to judge a silence. So a token costs no
/// message. Also what became of its target meanwhile, which wakes the call: so no call needs to poll.
pub(super) struct AttemptProgress {
    since: Instant,
    key: usize,
    overtaken: AtomicBool,
    /// Milliseconds since then, and one more; 0 is never.
    last: AtomicU64,
    /// How often there was news, and the last of it in the lowest bit.
    news: AtomicU32,
    over: AtomicBool,
    call: AtomicWaker,
}

/// What became of an attempt's target while the attempt had no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetNews {
    /// It was given up: its breaker opened, or it was taken out.
    GivenUp,
    /// It came back: it answers, or its breaker lets calls through again.
    Back,
}

impl AttemptProgress {
    pub(super) fn new(since: Instant, key: usize) -> Self {
        Self {
            since,
            key,
            overtaken: AtomicBool::default(),
            last: AtomicU64::new(0),
            news: AtomicU32::default(),
            over: AtomicBool::default(),
            call: AtomicWaker::new(),
        }
    }

    /// Returns the index of its key.
    pub(super) fn key(&self) -> usize {
        self.key
    }

    /// Notes that its call has an answer of an attempt that was begun later, because this one was late.
    pub(super) fn mark_overtaken(&self) {
        self.overtaken.store(true, Release);
    }

    pub(super) fn is_overtaken(&self) -> bool {
        self.overtaken.load(Acquire)
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
            let next = |last: u32| (last | 1).wrapping_add(1 + u32::from(news == TargetNews::Back));
            let _ = self.news.fetch_update(Release, Relaxed, |last| Some(next(last)));
            self.call.wake();
        }
    }

    /// Returns what was told last, if that is other news than what the caller has heard; it is woken at the next.
    pub(super) fn news(&self, heard: &mut u32, cx: &Context<'_>) -> Option<TargetNews> {
        self.call.register(cx.waker());
        let told = self.news.load(Acquire);
        let is_new = std::mem::replace(heard, told) != told;
        is_new.then_some(if told & 1 == 1 { TargetNews::Back } else { TargetNews::GivenUp })
    }
}

//! Work that takes longer for longer requests, done where it holds up no other call.
//!
//! Input: work that only computes. Output: its result. Short work is done in place; work on a request of megabytes is
//! done on a separate thread, a few at a time, so that the threads that serve all calls go on.

use tokio::sync::Semaphore;

/// A request of more bytes is long. Work on a shorter one takes less than a millisecond.
pub(crate) const LONG_BYTES: usize = 256 * 1024;
/// How many run at once: each takes a processor.
const AT_ONCE: usize = 2;

/// The separate threads.
pub(crate) struct BlockingPool(Semaphore);

impl Default for BlockingPool {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl BlockingPool {
    /// Does some work, on a separate thread if it is long.
    pub(crate) async fn run<T: Send + 'static>(&self, is_long: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
        if !is_long {
            return work();
        }
        // It is never closed.
        let _turn = self.0.acquire().await;
        let span = tracing::Span::current();
        #[expect(clippy::disallowed_methods, reason = "a request of megabytes would hold up all else on its thread")]
        let done = tokio::task::spawn_blocking(move || span.in_scope(work));
        match done.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_work_is_done_on_a_thread_apart_and_short_work_in_place() {
        let (apart, here) = (BlockingPool::default(), std::thread::current().id());
        let thread = || std::thread::current().id();
        assert_eq!(apart.run(false, thread).await, here);
        assert_ne!(apart.run(true, thread).await, here);
    }
}

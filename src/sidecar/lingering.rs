//! Calls whose callers have left and may be back: an SDK that no longer waits asks again at once, and has no key.
//!
//! Input: calls for whole answers of clients that count their retries. Output: their answers; a retry that asks for the
//! same work as a call whose caller has just left gets the answer of that call. It costs nothing as long as no
//! caller leaves.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::wire::asks_the_same;
use crate::words::locks::lock;
use crate::words::{ChatRequest, Error, Reply};

/// In which SDKs tell how often they have asked before.
const RETRIES: HeaderName = HeaderName::from_static("x-stainless-retry-count");
/// How long a call goes on whose caller has left: a retry comes after a second at most.
const LINGER: Duration = Duration::from_secs(2);

/// A call, which goes on as long as this is there.
type Answering = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

/// The calls whose callers have just left.
#[derive(Default)]
pub(super) struct Lingering(Mutex<Vec<(Arc<ChatRequest>, Answering)>>);

impl Lingering {
    /// Returns how often a client has asked before, if it counts.
    pub(super) fn retries(headers: &HeaderMap) -> Option<u32> {
        headers.get(RETRIES)?.to_str().ok()?.parse().ok()
    }

    /// Answers a request of a client that counts its retries: by the call whose caller has left where it comes back,
    /// else by a call of its own.
    pub(super) fn answer<F>(
        self: &Arc<Self>,
        request: Arc<ChatRequest>,
        retries: u32,
        make: impl FnOnce(Arc<ChatRequest>) -> F,
    ) -> LingeringCall
    where
        F: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        let known = if retries > 0 { self.take(|it| asks_the_same(it, &request)) } else { None };
        let (request, call) = known.unwrap_or_else(|| (request.clone(), Box::pin(make(request.clone()))));
        LingeringCall { request, call: Some(call), lingering: self.clone() }
    }

    fn take(&self, is: impl Fn(&Arc<ChatRequest>) -> bool) -> Option<(Arc<ChatRequest>, Answering)> {
        let mut calls = self.lock();
        let at = calls.iter().position(|(request, _)| is(request))?;
        Some(calls.swap_remove(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<ChatRequest>, Answering)>> {
        lock(&self.0)
    }
}

/// A call that goes on for a moment if this is dropped before its end.
pub(super) struct LingeringCall {
    request: Arc<ChatRequest>,
    /// `None` once it has ended.
    call: Option<Answering>,
    lingering: Arc<Lingering>,
}

impl Future for LingeringCall {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.call else { return Poll::Ready(Err(Error::Crashed)) };
        let reply = std::task::ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(reply)
    }
}

impl Drop for LingeringCall {
    fn drop(&mut self) {
        let (Some(call), Ok(here)) = (self.call.take(), tokio::runtime::Handle::try_current()) else { return };
        let (request, lingering) = (self.request.clone(), self.lingering.clone());
        lingering.lock().push((request.clone(), call));
        here.spawn(async move {
            tokio::time::sleep(LINGER).await;
            drop(lingering.take(|it| Arc::ptr_eq(it, &request)));
        });
    }
}

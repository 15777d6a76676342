//! A way out that gives way to others: the one that attempts and hints use, around every provider's own.
//!
//! A transport of the user's may always be ready: a body that ends never and waits never would hold its worker, and no
//! timer, no deadline and no other call on that worker would run. So whatever a transport returns counts against its
//! task's share of a turn, as reads of tokio's own sockets do. After it the task's other futures are polled, its timers
//! among them, and then other tasks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use tokio::task::coop::{cooperative, poll_proceed};

use crate::transport::{Body, BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};

/// A transport whose futures and bodies take turns.
#[derive(Debug)]
pub(super) struct Yielding(pub(super) Arc<dyn Transport>);

impl Transport for Yielding {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let sent = self.0.send(request);
        Box::pin(async move { cooperative(sent).await.map(yielding) })
    }

    fn get(&self, url: String, headers: HeaderMap) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let got = self.0.get(url, headers);
        Box::pin(async move { cooperative(got).await.map(yielding) })
    }
}

fn yielding(response: HttpResponse) -> HttpResponse {
    HttpResponse { body: Box::pin(YieldingBody(response.body)), ..response }
}

/// A body whose chunks take turns.
struct YieldingBody(Body);

impl Stream for YieldingBody {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let turn = ready!(poll_proceed(ctx));
        let chunk = ready!(self.0.as_mut().poll_next(ctx));
        turn.made_progress();
        Poll::Ready(chunk)
    }
}

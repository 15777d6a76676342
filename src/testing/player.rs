//! The scripted provider in process: a [`Transport`] that opens no socket and whose only clock is tokio's, so that an
//! hour's outage takes no time while that clock is paused.

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method};
use tokio::time::{Instant, sleep_until};

use super::provider::{Arrival, Scripted};
use super::response_plan::End;
use super::response_run::ResponseRun;
use crate::transport::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};

impl Transport for Scripted {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            let mut play = self.receive(arrival(request));
            until(play.due()).await;
            let Some(mut head) = play.head() else {
                return Err(match play.end() {
                    End::Refuse => TransportError::Connect("connection refused".to_owned()),
                    End::Hang | End::KeepAlive { .. } => std::future::pending().await,
                    End::Whole | End::Cut | End::Reset => TransportError::Cut("connection reset".to_owned()),
                });
            };
            if let Some(length) = head.length {
                head.headers.insert(CONTENT_LENGTH, length.into());
            }
            let body = Box::pin(stream::unfold(Some(play), next));
            Ok(HttpResponse { status: head.status, headers: head.headers, body })
        })
    }
}

/// Runtimes only post chats; a GET returns the list of models.
fn arrival(request: HttpRequest) -> Arrival {
    let HttpRequest { url, mut headers, body, .. } = request;
    let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let (host, target) = after_scheme.split_at(after_scheme.find('/').unwrap_or(after_scheme.len()));
    let target = if target.is_empty() { "/" } else { target }.to_owned();
    if let Ok(host) = HeaderValue::try_from(host) {
        headers.insert(HOST, host);
    }
    let path = target.split('?').next().unwrap_or_default();
    let method = if path.ends_with("/models") { Method::GET } else { Method::POST };
    Arrival { method, target, headers, body: body.whole() }
}

type Step = Option<(Result<Bytes, TransportError>, Option<ResponseRun>)>;

/// Returns the body's next chunk and what is left to play.
async fn next(play: Option<ResponseRun>) -> Step {
    let mut play = play?;
    if let Some(due) = play.piece_due() {
        until(due).await;
        return play.take().map(|bytes| (Ok(bytes), Some(play)));
    }
    match play.end() {
        End::Whole => None,
        End::Cut | End::Reset | End::Refuse => Some((Err(cut()), None)),
        End::Hang => std::future::pending().await,
        End::KeepAlive { every, bytes } => {
            tokio::time::sleep(every).await;
            Some((Ok(Bytes::from_static(bytes)), Some(play)))
        }
    }
}

fn cut() -> TransportError {
    TransportError::Cut("connection closed before the body was whole".to_owned())
}

/// Waits until then, and not even for a turn of the timer's wheel if then is now.
async fn until(due: Instant) {
    if due > Instant::now() {
        sleep_until(due).await;
    }
}

//! A provider that is a function of this program: it takes and gives the common form, without a socket.
//!
//! For all other code it is a provider: supervised, timed, measured, with breakers. Its transport calls the function
//! and writes its answer in the dialect of functions.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, future, stream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use ractor::concurrency::oneshot;
use ractor::{ActorRef, Message, RpcReplyPort};
use serde_json::Value;

use crate::transport::{Body, BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use crate::wire::function;
use crate::words::{AnswerPiece, ChatRequest, Failure, FailureClass, ToolCall};

/// A function's answer: a text, tool calls, or a stream of pieces.
///
/// ```
/// use standin::{Answer, AnswerPiece};
///
/// let text: Answer = "It is raining.".into();
/// let call = Answer::tool_call("weather", &serde_json::json!({"city": "Bern"}));
/// let words = futures_util::stream::iter(["It ", "is ", "raining."]);
/// let stream = Answer::stream(futures_util::StreamExt::map(words, |word| Ok(AnswerPiece::from(word))));
/// ```
pub struct Answer(Pin<Box<dyn Stream<Item = Result<AnswerPiece, Failure>> + Send>>);

impl Answer {
    /// Returns an answer that calls a tool with these arguments.
    pub fn tool_call(name: impl Into<String>, arguments: &Value) -> Self {
        ToolCall::new(name, arguments).into()
    }

    /// Returns an answer that comes in pieces. It is whole when the stream ends, and has failed when the stream yields
    /// an error.
    pub fn stream(said: impl Stream<Item = Result<AnswerPiece, Failure>> + Send + 'static) -> Self {
        Self(Box::pin(said))
    }

    /// Returns the answer with one more item at its end: another call, the usage.
    #[must_use]
    pub fn and(self, said: impl Into<AnswerPiece>) -> Self {
        Self(Box::pin(self.0.chain(stream::iter([Ok(said.into())]))))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl From<AnswerPiece> for Answer {
    fn from(said: AnswerPiece) -> Self {
        Self(Box::pin(stream::iter([Ok(said)])))
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        AnswerPiece::from(text).into()
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        AnswerPiece::from(text).into()
    }
}

impl From<ToolCall> for Answer {
    fn from(call: ToolCall) -> Self {
        AnswerPiece::from(call).into()
    }
}

impl From<Vec<AnswerPiece>> for Answer {
    fn from(said: Vec<AnswerPiece>) -> Self {
        Self(Box::pin(stream::iter(said.into_iter().map(Ok))))
    }
}

/// The function, as a transport.
pub(super) struct Function(Box<Call>);

type Call = dyn Fn(ChatRequest) -> BoxFuture<'static, Result<Answer, Failure>> + Send + Sync;

impl Function {
    pub(super) fn new<F, Fut, A>(function: F) -> Self
    where
        F: Fn(ChatRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Into<Answer>,
    {
        Self(Box::new(move |request| {
            let answer = function(request);
            Box::pin(async move { answer.await.map(Into::into) })
        }))
    }
}

/// Asks an actor; one that is gone, or drops its port, has failed.
pub(super) async fn ask<M: Message>(
    actor: ActorRef<M>,
    message: impl FnOnce(Box<ChatRequest>, RpcReplyPort<Result<Answer, Failure>>) -> M,
    request: ChatRequest,
) -> Result<Answer, Failure> {
    let (port, answer) = oneshot();
    let silent = |what| Failure::new(FailureClass::Server, what);
    actor.send_message(message(Box::new(request), port.into())).map_err(|_| silent("the actor does not run"))?;
    answer.await.unwrap_or_else(|_| Err(silent("the actor did not answer")))
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").finish_non_exhaustive()
    }
}

impl Transport for Function {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            let words = request.words.ok_or_else(|| TransportError::Connect("a function is asked in words".into()))?;
            let answer = (self.0)(Arc::unwrap_or_clone(words)).await;
            let events = |said: Result<AnswerPiece, Failure>| match said {
                Ok(said) => function::event(&said),
                Err(failure) => function::failed(&failure),
            };
            let body: Body = match answer {
                Ok(Answer(said)) => Box::pin(said.map(events).chain(stream::iter([function::END])).map(Ok)),
                Err(failure) => Box::pin(stream::once(future::ready(Ok(function::failed(&failure))))),
            };
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
            Ok(HttpResponse { status: 200, headers, body })
        })
    }
}

//! Messages from any actor to the runtime.

use ractor::RpcReplyPort;

use super::handle::CallHandle;
use super::health::HealthSnapshot;
use super::stream::ReplyStream;
use crate::policy::explain::Explanation;
use crate::policy::snapshot::Force;
use crate::words::{CallId, ChatRequest, EmbedRequest, Embeddings, Error, Hold, Reply, Reset, TargetId};

/// A message from any actor to the runtime. The port is last, so that `ractor::call!` works.
///
/// ```
/// use standin::ractor::{ActorRef, call};
/// use standin::{ChatRequest, Error, ProviderConfig, Reply, Report, RouterMessage, Runtime};
///
/// /// The reference stays valid while routers restart.
/// async fn ask(router: &ActorRef<RouterMessage>, question: &str) -> Result<Reply, Error> {
///     let request = Box::new(ChatRequest::new("local/echo").user(question).session("conversation-7"));
///     call!(router, RouterMessage::Chat, request).unwrap_or(Err(Error::Unavailable))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let local = ProviderConfig::from_fn(|_| async { Ok("Here.") });
/// let runtime = Runtime::builder().provider("local", local.model("echo")).start().await?;
/// assert_eq!(ask(&runtime.router()?, "anybody?").await?.text, "Here.");
/// # Ok(())
/// # }
/// ```
///
/// A caller that leaves is noticed within 250 ms, and its call is cancelled. Every port is answered, also when the
/// actor that held it crashes.
#[derive(Debug)]
#[non_exhaustive]
pub enum RouterMessage {
    /// Answers a request, whole.
    Chat(Box<ChatRequest>, RpcReplyPort<Result<Reply, Error>>),
    /// Answers a request as a stream. The port is answered as soon as the call runs; what fails later comes in the
    /// stream.
    Stream(Box<ChatRequest>, RpcReplyPort<Result<ReplyStream, Error>>),
    /// Makes a call that belongs to the runtime, and answers when it is accepted.
    Submit(Box<ChatRequest>, RpcReplyPort<Result<CallHandle, Error>>),
    /// Finds a call that has a log: one that was submitted or asked for with a key.
    Resume(CallId, RpcReplyPort<Result<CallHandle, Error>>),
    /// Turns texts into vectors.
    Embed(Box<EmbedRequest>, RpcReplyPort<Result<Embeddings, Error>>),
    /// Health of all providers and their targets, as last published.
    Health(RpcReplyPort<HealthSnapshot>),
    /// Explains what a request would do now, and why.
    Explain(Box<ChatRequest>, RpcReplyPort<Result<Explanation, Error>>),
    /// Sends all calls of a route to one of its targets, as long as it admits them; `None` lifts the pin.
    Pin(String, Option<TargetId>, RpcReplyPort<Result<(), Error>>),
    /// Admits nothing more at a target, and answers when its last attempt has ended. Lifted by `Force(.., Auto)`.
    Drain(TargetId, RpcReplyPort<Result<(), Error>>),
    /// Forces a target off or on, until a time or until lifted.
    Force(TargetId, Force, RpcReplyPort<Result<(), Error>>),
    /// Lifts what keeps a key, a target or everything out, and says what that was.
    Reset(Reset, RpcReplyPort<Result<Vec<Hold>, Error>>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for RouterMessage {}

//! The handle of a call that does not belong to one caller.

#[cfg(feature = "sidecar")]
use std::sync::Arc;
use std::time::SystemTime;

use super::call_log::{LogReader, LogShare};
use super::stream::ReplyStream;
#[cfg(feature = "sidecar")]
use crate::words::ChatRequest;
use crate::words::{CallId, Error, Reply, ReplyEvent};

/// A call that belongs to the runtime: it goes on when any of its readers leave, and its events are kept until some
/// time after its end.
///
/// ```
/// use standin::{ChatRequest, ProviderConfig, Report, Runtime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let local = ProviderConfig::from_fn(|_| async { Ok("Here.") });
/// let runtime = Runtime::builder().provider("local", local.model("echo")).start().await?;
/// let call = runtime.submit(ChatRequest::new("local/echo").user("Anybody?")).await?;
/// let id = call.id();
/// drop(call);
/// // Later, or elsewhere:
/// let call = runtime.resume(id).await?;
/// assert_eq!(call.wait().await?.text, "Here.");
/// let mut again = call.stream_from(0);
/// while let Some(event) = again.next().await {
///     println!("{:?}", event?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CallHandle(LogShare);

/// The state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallStatus {
    /// It is worked on, or waits for a place.
    Running,
    /// No target can answer now, and it is parked until one can.
    Waiting,
    /// Its answer is whole.
    Answered,
    /// It has no answer.
    Failed,
    /// It was ended from outside.
    Cancelled,
    /// It is durable, and this process, or its store, ended first: the next process goes on with it.
    Suspended,
}

impl CallHandle {
    pub(super) fn new(hold: LogShare) -> Self {
        Self(hold)
    }

    /// Returns its id, by which [`Runtime::resume`](crate::Runtime::resume) finds it.
    pub fn id(&self) -> CallId {
        self.0.id()
    }

    /// Returns when it was accepted, by the wall's clock.
    pub fn begun_at(&self) -> SystemTime {
        self.0.begun_at()
    }

    /// Returns what was asked for.
    #[cfg(feature = "sidecar")]
    pub(crate) fn request(&self) -> &Arc<ChatRequest> {
        self.0.log().request()
    }

    /// Waits for its answer and returns it, whole; as often as it is asked.
    ///
    /// # Errors
    /// See [`Error`]; each lists the attempts that were made.
    pub async fn wait(&self) -> Result<Reply, Error> {
        self.0.reply().await
    }

    /// Returns its events from an index on, counted from 0: past events, then new ones as they come. The event at an
    /// index is always the same. A place behind the last event gives none.
    pub fn stream_from(&self, offset: usize) -> ReplyStream {
        ReplyStream::read(LogReader::new(self.0.clone(), offset))
    }

    /// Returns its state.
    pub fn status(&self) -> CallStatus {
        let outlives = self.0.outlives();
        self.0.look(|last| match last {
            Some(Ok(ReplyEvent::Finished(_))) => CallStatus::Answered,
            Some(Ok(ReplyEvent::Waiting { .. })) => CallStatus::Waiting,
            Some(Err(Error::Cancelled)) => CallStatus::Cancelled,
            Some(Err(error)) if outlives && error.is_of_process() => CallStatus::Suspended,
            Some(Err(_)) => CallStatus::Failed,
            Some(Ok(_)) | None => CallStatus::Running,
        })
    }

    /// Ends it, for all that wait for it: they are told [`Error::Cancelled`]. A call that has ended stays as it is.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

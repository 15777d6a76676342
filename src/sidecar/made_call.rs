//! A call as the sidecar makes it: of its one caller or, if it has a key, of all callers with that key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::body::WaitNotice;
use super::call_report::CallReport;
use crate::runtime::{CallHandle, CallNote, Form as CallForm, ReplyStream, Runtime, WantedReply};
use crate::wire::serve::{self, CallerDialect, Form};
use crate::words::{CallId, ChatRequest, Error, Reply, ReplyEvent};

/// The number of the next answer; ids are made of it and of the time.
static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// A call that is made.
pub(super) enum Call {
    Own(Runtime, Arc<ChatRequest>, CallNote),
    Shared { call: CallHandle, other: Option<OtherForm> },
}

/// An answer that goes on as it came, to a caller that asks for it in the other form than the call's first one.
#[derive(Clone, Copy)]
pub(super) struct OtherForm {
    caller_dialect: CallerDialect,
    came_as_stream: bool,
    wants_usage: bool,
}

impl Call {
    pub(super) async fn make(
        runtime: Runtime,
        request: Box<ChatRequest>,
        form: &Form,
        stream: bool,
        record: &mut CallReport,
    ) -> Result<Self, Error> {
        let request: Arc<ChatRequest> = request.into();
        if request.key.is_none() && !runtime.is_durable(&request) {
            return Ok(Self::Own(runtime, request, record.note()));
        }
        let kept_as = if stream { CallForm::Stream } else { CallForm::Whole };
        let call = runtime.keep(request.clone(), kept_as, false).await?;
        record.is_of(call.id(), !Arc::ptr_eq(call.request(), &request));
        let (caller_dialect, wants_usage) = (form.caller_dialect(), form.wants_usage());
        let came_as_stream = call.request().original.as_ref().map(|original| original.stream);
        let other = came_as_stream.filter(|came| *came != stream);
        let other = other.map(|came_as_stream| OtherForm { caller_dialect, came_as_stream, wants_usage });
        Ok(Self::Shared { call, other })
    }

    /// Returns the time in seconds since 1970, and a number of this answer's own, the same for every caller at any
    /// time.
    pub(super) fn stamp(&self) -> (u64, u64) {
        match self {
            Self::Own(..) => stamp(),
            Self::Shared { call, .. } => stamp_of(call),
        }
    }

    /// Tells whether the call was made for a caller that asked for the other form.
    pub(super) const fn other_form(&self) -> Option<OtherForm> {
        match self {
            Self::Own(..) => None,
            Self::Shared { other, .. } => *other,
        }
    }

    pub(super) async fn reply(self) -> Result<Reply, Error> {
        let other = self.other_form();
        match self {
            Self::Own(runtime, request, note) => runtime.call(request, WantedReply::Whole, Some(&note)).await,
            Self::Shared { call, .. } if other.is_some() => read_whole(call.stream_from(0), None, other).await,
            Self::Shared { call, .. } => call.wait().await,
        }
    }

    pub(super) async fn stream(self) -> Result<ReplyStream, Error> {
        match self {
            Self::Own(runtime, request, note) => runtime.call(request, WantedReply::Stream, Some(&note)).await,
            Self::Shared { call, .. } => Ok(call.stream_from(0)),
        }
    }
}

/// Reads a stream to its end; tells what it waits for on the way. What goes on as it came is put together, and put into
/// the form that is asked for.
pub(super) async fn read_whole(
    mut stream: ReplyStream,
    tell: Option<&watch::Sender<Option<WaitNotice>>>,
    other: Option<OtherForm>,
) -> Result<Reply, Error> {
    let say = |waiting| drop(tell.map(|tell| tell.send_replace(waiting)));
    let mut came = Vec::new();
    while let Some(event) = stream.next().await {
        match event? {
            ReplyEvent::Waiting { back_in, barred } => say(Some(WaitNotice::new(back_in, barred))),
            ReplyEvent::Started { .. } => {
                say(None);
                came.clear();
            }
            ReplyEvent::Verbatim(events) => came.extend_from_slice(&events),
            ReplyEvent::Finished(mut finished) => {
                let Some(rest) = &finished.verbatim else { return Ok((*finished).into()) };
                came.extend_from_slice(rest);
                finished.verbatim = Some(match other {
                    None => came.into(),
                    Some(OtherForm { caller_dialect, came_as_stream, wants_usage }) => {
                        serve::in_other_form(caller_dialect, came_as_stream, &came, wants_usage, &finished.usage)
                    }
                });
                return Ok((*finished).into());
            }
            _ => {}
        }
    }
    Err(Error::Crashed)
}

/// Returns the time in seconds since 1970, and a number of this answer's own.
fn stamp() -> (u64, u64) {
    #[expect(clippy::disallowed_methods, reason = "answers carry the date")]
    let now = since_1970(SystemTime::now());
    let count = ANSWERS.fetch_add(1, Relaxed);
    #[expect(clippy::cast_possible_truncation, reason = "the low half tells the runs of a process apart")]
    let mixed = (now.as_nanos() as u64).wrapping_mul(MIX) ^ count;
    (now.as_secs(), mixed)
}

/// Returns the date of a call's answer, and its number: the same whenever they are asked for.
pub(super) fn stamp_of(call: &CallHandle) -> (u64, u64) {
    let CallId { runtime, number } = call.id();
    (since_1970(call.begun_at()).as_secs(), runtime ^ number.wrapping_mul(MIX))
}

/// Spreads numbers that follow each other: an odd one near the golden ratio.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

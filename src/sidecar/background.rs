//! Answers in the background: asked for, looked at, read from any place, ended and deleted.
//!
//! Input: requests of OpenAI's dialect that say `background`, and the ids that these were answered with. Output:
//! responses as they are just then, and their events. Such an answer is a durable call: what is told of it is told from
//! what is kept, in this process or in another, so that it is the same each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::answer_headers::{tell_call, tell_whole};
use super::body::{ReplyBody, Streaming, bytes};
use super::call_report::CallReport;
use super::caller::Caller;
use super::chat::{self, Prepared};
use super::endpoint::BackgroundAction;
use super::intake::BodyMemory;
use super::made_call::{read_whole, stamp_of};
use super::refusals::Reason;
use super::state::State;
use crate::runtime::{CallHandle, CallSelector, CallStatus, Form as CallForm};
use crate::wire::serve::{self, BadRequest, CallerDialect, Form, ParsedRequest, Refusal, RefusalReason, Writer};
use crate::words::{ChatRequest, Durable, Error, OnExhausted};

const CALLER_DIALECT: CallerDialect = CallerDialect::OpenAiResponses;
/// How long the end of a call is waited for that was just ended.
const END_MAX: Duration = Duration::from_secs(10);

/// Makes a call that goes on without its caller.
pub(super) async fn begin(
    caller: &Caller<'_>,
    asked: ParsedRequest,
    place: BodyMemory,
) -> Result<Response<ReplyBody>, Refusal> {
    let Prepared { mut request, stream, .. } = chat::prepare(caller, asked)?;
    let state = caller.state;
    if let Some((field, problem)) = why_not_in_background(state, &request) {
        return Err(caller.bad(&BadRequest::new(field, problem)));
    }
    request.durable.get_or_insert(Durable::Again);
    // No caller waits for it: it has all its time to wait for a target, unless its route takes less instead.
    if !caller.current.degrades(&request.route) {
        request.on_exhausted.get_or_insert(OnExhausted::Wait);
    }
    let mut record = CallReport::new(caller, &request.route, stream, place);
    let (request, runtime) = (Arc::<ChatRequest>::from(request), state.runtime.clone());
    // It goes on, and its end is written down, also where its caller leaves before it is accepted.
    let making = async move {
        let call = runtime.keep(request.clone(), CallForm::Stream, true).await;
        let call = call.map_err(|error| record.refused(&error))?;
        record.is_of(call.id(), !Arc::ptr_eq(call.request(), &request));
        watch(call.clone(), record);
        Ok(call)
    };
    #[expect(clippy::disallowed_methods, reason = "it owns a record, which says by itself that it was dropped")]
    let made = tokio::spawn(making).await;
    let crashed = || caller.refuse(RefusalReason::Call(&Error::Crashed));
    let call = made.unwrap_or_else(|_| Err(crashed()))?;
    let kept = BackgroundAnswer::of(state, call).await.ok_or_else(crashed)?;
    if stream { Ok(kept.events(None, caller.current.server.keep_alive)) } else { Ok(kept.response(true).await) }
}

/// Says why an answer cannot be given in the background.
fn why_not_in_background(state: &State, request: &ChatRequest) -> Option<(&'static str, &'static str)> {
    if request.original.as_ref().is_some_and(|original| !original.method.is_empty()) {
        return Some(("background", "must be false here: a conversation is made short while its caller waits"));
    }
    if !state.runtime.keeps_calls() {
        let problem = "needs a `[store]` in the configuration, with a `path`: such an answer outlives its caller and this \
                       process";
        return Some(("background", problem));
    }
    (request.durable == Some(Durable::No)).then_some(("x-standin-durable", "must not be false with `background`"))
}

/// Writes down how a call ends that goes on without its caller.
fn watch(call: CallHandle, mut record: CallReport) {
    let watching = async move {
        match call.wait().await {
            Ok(reply) => record.finished((&reply.finished).into()),
            Err(error) => record.failed(&error),
        }
    };
    #[expect(clippy::disallowed_methods, reason = "it owns a record, which says by itself that it was dropped")]
    tokio::spawn(watching);
}

/// Answers what is wanted of an answer that is kept.
pub(super) async fn act(
    caller: &Caller<'_>,
    id: &str,
    action: BackgroundAction,
) -> Result<Response<ReplyBody>, Refusal> {
    let kept = find(caller, id).await?;
    match action {
        BackgroundAction::Read => {
            let query = caller.head.uri.query().unwrap_or_default();
            match ReadForm::of(query).map_err(|bad| caller.bad(&bad))? {
                ReadForm::Events { after } => Ok(kept.events(after, caller.current.server.keep_alive)),
                ReadForm::Whole => Ok(kept.response(false).await),
            }
        }
        BackgroundAction::Cancel => {
            kept.call.cancel();
            let _ = tokio::time::timeout(END_MAX, kept.call.wait()).await;
            Ok(kept.response(false).await)
        }
        BackgroundAction::Delete => {
            let gone = caller.state.runtime.forget(CallSelector::Call(kept.call.id())).await;
            gone.map_err(|error| caller.turn_away(Reason::Kept, RefusalReason::Call(&error)))?;
            Ok(bytes(StatusCode::OK, "application/json", serve::deleted(id).into()))
        }
    }
}

/// How an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadForm {
    /// As it is just now.
    Whole,
    /// As events: those behind one, or all.
    Events { after: Option<u64> },
}

impl ReadForm {
    fn of(query: &str) -> Result<Self, BadRequest> {
        let value = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|it| it.0 == name);
        let bad = |field: &str, problem: &str| BadRequest::new(field, problem);
        let streams = match value("stream").map(|(_, value)| value) {
            None | Some("false" | "False") => false,
            Some("true" | "True") => true,
            Some(_) => return Err(bad("stream", "must be true or false")),
        };
        let after = value("starting_after").map(|(_, value)| value.parse::<u64>()).transpose();
        let after = after.map_err(|_| bad("starting_after", "must be the `sequence_number` of an event"))?;
        Ok(if streams { Self::Events { after } } else { Self::Whole })
    }
}

/// Finds an answer of a client. Those of others are as unknown as those that never were.
async fn find(caller: &Caller<'_>, id: &str) -> Result<BackgroundAnswer, Refusal> {
    let none = || {
        let what =
            "there is no response of this id: it was not made with `background`, was deleted, or ended too long ago";
        caller.turn_away(Reason::Kept, RefusalReason::NotKept(what))
    };
    let call = match caller.state.runtime.resume(serve::call_of(id).ok_or_else(none)?).await {
        Ok(call) => call,
        Err(Error::NotKept(_)) => return Err(none()),
        Err(error) => return Err(caller.turn_away(Reason::Kept, RefusalReason::Call(&error))),
    };
    if call.request().client.as_deref() != caller.name() {
        return Err(none());
    }
    BackgroundAnswer::of(caller.state, call).await.ok_or_else(none)
}

/// An answer in the background.
struct BackgroundAnswer {
    call: CallHandle,
    form: Form,
}

impl BackgroundAnswer {
    /// Returns it, if the call is one. How it is written is read from what was asked.
    async fn of(state: &State, call: CallHandle) -> Option<Self> {
        let request = call.request().clone();
        let length = request.original.as_ref().filter(|original| original.marks.background)?.body.len();
        let read = move || {
            let asked = serve::read(CALLER_DIALECT, None, false, &request.original.as_ref()?.body).ok()?;
            let mut form = asked.form;
            if request.model_as.is_some() {
                form.name_as_asked();
            }
            Some(form)
        };
        let form = state.intake.apart(length, read).await?;
        Some(Self { call, form })
    }

    fn writer(&self, after: Option<u64>) -> Writer {
        let (created, seed) = stamp_of(&self.call);
        Writer::new(self.form.clone(), seed, created).in_background(self.call.id(), after)
    }

    /// Returns its events, those behind one.
    fn events(&self, after: Option<u64>, keep_alive: Duration) -> Response<ReplyBody> {
        let streaming = Streaming::kept(self.call.stream_from(0), self.writer(after), keep_alive);
        self.named(chat::event_stream(http::HeaderMap::new(), streaming))
    }

    /// Returns it as it is just now.
    async fn response(&self, is_new: bool) -> Response<ReplyBody> {
        let mut writer = self.writer(None);
        let mut whole = None;
        let body = match self.call.status() {
            CallStatus::Running if !is_new => writer.unfinished("in_progress"),
            CallStatus::Running | CallStatus::Waiting => writer.unfinished("queued"),
            CallStatus::Answered => match read_whole(self.call.stream_from(0), None, None).await {
                Ok(reply) => writer.whole(whole.insert(reply)),
                Err(error) => unanswered(writer, &error),
            },
            // As the last of its events tells it.
            CallStatus::Failed | CallStatus::Cancelled | CallStatus::Suspended => {
                let (mut events, mut told) = (self.call.stream_from(0), Vec::new());
                let error = loop {
                    match events.next().await {
                        Some(Ok(event)) => writer.event(&event, &mut told),
                        Some(Err(error)) => break error,
                        None => break Error::Crashed,
                    }
                    told.clear();
                };
                unanswered(writer, &error)
            }
        };
        let mut response = bytes(StatusCode::OK, "application/json", body);
        if let Some(reply) = whole {
            tell_whole(response.headers_mut(), &reply.finished);
        }
        self.named(response)
    }

    /// Says which call it is.
    fn named(&self, mut response: Response<ReplyBody>) -> Response<ReplyBody> {
        tell_call(response.headers_mut(), self.call.id());
        response
    }
}

/// Returns a call without an answer as it is just now: where only the process ends, the call goes on.
fn unanswered(writer: Writer, error: &Error) -> Bytes {
    if error.is_of_process() { writer.unfinished("in_progress") } else { writer.unanswered(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_stream_is_a_number_and_means_nothing_without_the_stream() {
        let events = |after| Ok(ReadForm::Events { after });
        for (query, expected) in [
            ("", Ok(ReadForm::Whole)),
            ("starting_after=3", Ok(ReadForm::Whole)),
            ("stream=true", events(None)),
            ("include=a&stream=true&starting_after=3", events(Some(3))),
            ("stream=false&starting_after=3", Ok(ReadForm::Whole)),
            ("stream=yes", Err("stream")),
            ("stream=true&starting_after=-1", Err("starting_after")),
            ("stream=true&starting_after=", Err("starting_after")),
        ] {
            assert_eq!(ReadForm::of(query).map_err(|bad| bad.field), expected.map_err(str::to_owned), "{query}");
        }
    }
}

//! Answers a request for text or vectors: makes the call by the request and its headers, and writes the answer in the
//! caller's dialect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::watch;

use super::access::Client;
use super::body::{ReplyBody, Streaming, WaitNotice, bytes};
use super::call_options::{CallOptions, OURS, in_short};
use super::call_report::CallReport;
use super::intake::BodyMemory;
use super::lingering::Lingering;
use super::loop_marks;
use super::refusals::Reason;
use super::settings::{ModelNames, Streams};
use super::state::{Current, State};
use crate::runtime::{CallHandle, CallNote, ReplyStream, Runtime, WantedReply};
use crate::wire::serve::{
    self, BadRequest, CallerDialect, Form, ParsedEmbedRequest, ParsedRequest, Refusal, RefusalReason, Writer,
};
use crate::words::{
    CallId, ChatRequest, CommitPolicy, Degraded, EmbedRequest, Error, Finished, NAME_BYTES_MAX, Note, Reply,
    ReplyEvent, TargetId,
};

/// The one header of a caller that is passed on, and only to a provider of its dialect: without it fields of the body
/// are refused there.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The number of the next answer; ids are made of it and of the time.
static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// A call that can be made: what its caller asked, with what its headers set.
pub(super) struct Prepared {
    pub(super) request: ChatRequest,
    pub(super) stream: bool,
    pub(super) form: Form,
    streams: Streams,
}

/// Puts together what a caller asks, or says why it may not.
pub(super) fn prepare(
    state: &State,
    current: &Current,
    head: &Parts,
    client: Option<&Client>,
    asked: ParsedRequest,
) -> Result<Prepared, Refusal> {
    let is_in_background = asked.is_in_background();
    let ParsedRequest { mut request, stream, mut form, .. } = asked;
    let caller_dialect = form.caller_dialect();
    if current.server.model == ModelNames::Asked {
        request.model_as = Some(form.model().to_owned());
        form.name_as_asked();
    }
    lead(state, current, head, client, caller_dialect, &mut request.route)?;
    let fields = request.original.iter().flat_map(|original| &original.fields);
    let is_published = |field: &str| serve::is_published(caller_dialect, field);
    keep_to_routes(state, head, client, caller_dialect, fields, is_published)?;
    let options = CallOptions::read(&head.headers, &mut request.extra);
    let options = options.map_err(|bad| serve::refuse(caller_dialect, RefusalReason::Request(&bad)))?;
    let CallOptions { priority, deadline, session, labels, tags, rule, hedging, on_exhausted, .. } = options;
    let client_timeout = options.client_timeout;
    let (streams, key, durable) = (options.streams, options.key, options.durable);
    let session = session.or_else(|| request.session.take()).map(in_short);
    let via = loop_marks::marks(&head.headers);
    request = ChatRequest {
        priority,
        rule,
        hedging,
        deadline,
        client_timeout,
        on_exhausted,
        session,
        labels,
        key,
        durable,
        tags,
        via,
        ..request
    };
    request.client = client.map(|client| client.name.as_str().into());
    // The sidecar's options go to no provider.
    if let (true, Some(original)) = (options.in_request, &mut request.original) {
        original.forget(OURS);
    }
    if caller_dialect == CallerDialect::Anthropic {
        let asked_for = head.headers.get_all(&BETA).iter().map(|value| (BETA, value.clone()));
        request.extra_headers.extend(asked_for);
    }
    // To an answer in the background that is not streamed nobody listens.
    let usual = if stream || !is_in_background { current.server.streams } else { Streams::Buffered };
    let streams = streams.unwrap_or(usual);
    if streams == Streams::Buffered {
        request.commit = CommitPolicy::Buffered;
    }
    Ok(Prepared { request, stream, form, streams })
}

/// Answers a request that was understood, or says why it was not.
pub(super) async fn answer(
    state: &Arc<State>,
    current: &Current,
    head: &Parts,
    client: Option<&Client>,
    asked: ParsedRequest,
    place: BodyMemory,
) -> Result<Response<ReplyBody>, Refusal> {
    let Prepared { request, stream, form, streams } = prepare(state, current, head, client, asked)?;
    let caller_dialect = form.caller_dialect();
    let mut record = record(state, client, caller_dialect, &request.route, stream, place);
    let call = Call::make(state.runtime.clone(), request, &form, stream, &mut record).await;
    let call = call.map_err(|error| failed(caller_dialect, &error, &mut record))?;
    let (created, seed) = call.stamp();
    let writer = Writer::new(form, seed, created);
    if !stream {
        let reply = match (call, Lingering::retries(&head.headers)) {
            (Call::Own(runtime, request, note), Some(retries)) => {
                let make = |request| async move { runtime.call(request, WantedReply::Whole, Some(&note)).await };
                state.lingering.answer(*request, retries, make).await
            }
            (call, _) => call.reply().await,
        };
        let reply = reply.map_err(|error| failed(caller_dialect, &error, &mut record))?;
        let finished = &reply.finished;
        record.finished(finished.call, &finished.target, finished.degraded, finished.cost_usd, &finished.attempts);
        let mut response = bytes(StatusCode::OK, "application/json", writer.whole(&reply));
        tell_whole(response.headers_mut(), &reply.finished);
        return Ok(response);
    }
    let keep_alive = current.server.keep_alive;
    match (streams, call.other_form()) {
        (Streams::Live, None) => live(call, caller_dialect, writer, keep_alive, record).await,
        _ => buffered(call, caller_dialect, writer, keep_alive, record).await,
    }
}

/// A call: of its one caller or, if it has a key, of all callers with that key.
enum Call {
    Own(Runtime, Box<ChatRequest>, CallNote),
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
    async fn make(
        runtime: Runtime,
        request: ChatRequest,
        form: &Form,
        stream: bool,
        record: &mut CallReport,
    ) -> Result<Self, Error> {
        if request.key.is_none() && !runtime.is_durable(&request) {
            return Ok(Self::Own(runtime, Box::new(request), record.note()));
        }
        let kept_as = if stream { crate::runtime::Form::Stream } else { crate::runtime::Form::Whole };
        let request = Arc::new(request);
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
    fn stamp(&self) -> (u64, u64) {
        match self {
            Self::Own(..) => stamp(),
            Self::Shared { call, .. } => stamp_of(call),
        }
    }

    /// Tells whether the call was made for a caller that asked for the other form.
    const fn other_form(&self) -> Option<OtherForm> {
        match self {
            Self::Own(..) => None,
            Self::Shared { other, .. } => *other,
        }
    }

    async fn reply(self) -> Result<Reply, Error> {
        let other = self.other_form();
        match self {
            Self::Own(runtime, request, note) => runtime.call(*request, WantedReply::Whole, Some(&note)).await,
            Self::Shared { call, .. } if other.is_some() => whole(call.stream_from(0), None, other).await,
            Self::Shared { call, .. } => call.wait().await,
        }
    }

    async fn stream(self) -> Result<ReplyStream, Error> {
        match self {
            Self::Own(runtime, request, note) => runtime.call(*request, WantedReply::Stream, Some(&note)).await,
            Self::Shared { call, .. } => Ok(call.stream_from(0)),
        }
    }
}

/// Answers a request for vectors that was understood, or refuses it.
pub(super) async fn embed(
    state: &Arc<State>,
    current: &Current,
    head: &Parts,
    client: Option<&Client>,
    asked: ParsedEmbedRequest,
    place: BodyMemory,
) -> Result<Response<ReplyBody>, Refusal> {
    let ParsedEmbedRequest { mut request, form, .. } = asked;
    let (caller_dialect, model) = (form.caller_dialect(), request.route.clone());
    lead(state, current, head, client, caller_dialect, &mut request.route)?;
    let fields = request.extra.keys();
    keep_to_routes(state, head, client, caller_dialect, fields, serve::is_published_for_vectors)?;
    let options = CallOptions::read(&head.headers, &mut request.extra);
    let options = options.map_err(|bad| serve::refuse(caller_dialect, RefusalReason::Request(&bad)))?;
    if let Some(bad) = options.beyond_vectors() {
        return Err(serve::refuse(caller_dialect, RefusalReason::Request(&bad)));
    }
    let CallOptions { priority, deadline, labels, tags, rule, hedging, on_exhausted, .. } = options;
    let (via, client_timeout) = (loop_marks::marks(&head.headers), options.client_timeout);
    request = EmbedRequest { priority, rule, hedging, deadline, client_timeout, ..request };
    request = EmbedRequest { on_exhausted, labels, tags, via, ..request };
    request.client = client.map(|client| client.name.as_str().into());
    let mut record = record(state, client, caller_dialect, &request.route, false, place);
    let answer = state.runtime.call(request, WantedReply::Vectors, Some(&record.note())).await;
    let answer = answer.map_err(|error| failed(caller_dialect, &error, &mut record))?;
    record.finished(answer.call, &answer.target, answer.degraded, answer.cost_usd, &answer.attempts);
    let mut response = bytes(StatusCode::OK, "application/json", serve::write_embed(form, &model, &answer).into());
    tell_degraded(response.headers_mut(), answer.degraded);
    tell_finished(response.headers_mut(), answer.call, &answer.target, answer.attempts.len(), answer.cost_usd);
    Ok(response)
}

/// Finds the route a caller asks for, if it may.
pub(super) fn lead(
    state: &State,
    current: &Current,
    head: &Parts,
    client: Option<&Client>,
    caller_dialect: CallerDialect,
    route: &mut String,
) -> Result<(), Refusal> {
    if route.len() > NAME_BYTES_MAX {
        let problem = format!("is a name of {} bytes; {NAME_BYTES_MAX} are the most", route.len());
        let bad = BadRequest::new("model", problem);
        return Err(serve::refuse(caller_dialect, RefusalReason::Request(&bad)));
    }
    current.route(route);
    if client.is_none_or(|client| client.may(route)) {
        return Ok(());
    }
    state.count_refusal(Reason::Route, head);
    let problem = format!("there is no model `{route}`, or it is not for this key");
    Err(serve::refuse(caller_dialect, RefusalReason::NotFound(&problem)))
}

/// Refuses a field by which a gateway behind a target might choose a model that the client's key does not allow: each
/// that is not known to choose nothing, unless the key's own list has it.
fn keep_to_routes<'a>(
    state: &State,
    head: &Parts,
    client: Option<&Client>,
    caller_dialect: CallerDialect,
    mut fields: impl Iterator<Item = &'a String>,
    is_published: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let Some(client) = client.filter(|client| client.is_limited()) else { return Ok(()) };
    let Some(field) = fields.find(|field| !is_published(field) && !client.may_send(field)) else { return Ok(()) };
    state.count_refusal(Reason::Route, head);
    let field: String = field.chars().take(64).collect();
    let problem = "is none of this dialect's own fields, so a gateway may choose by it who answers, and this key opens \
                   its routes alone: leave it out, or have it allowed by `fields` of the key";
    Err(serve::refuse(caller_dialect, RefusalReason::Request(&BadRequest::new(&field, problem))))
}

pub(super) fn record(
    state: &Arc<State>,
    client: Option<&Client>,
    caller_dialect: CallerDialect,
    route: &str,
    stream: bool,
    place: BodyMemory,
) -> CallReport {
    CallReport::new(
        state.clone(),
        Arc::from(route),
        name(caller_dialect),
        client.map(|client| client.name.clone()),
        stream,
        place,
    )
}

/// Writes down how a call failed, and says so in the caller's dialect.
pub(super) fn failed(caller_dialect: CallerDialect, error: &Error, record: &mut CallReport) -> Refusal {
    record.failed(error);
    let mut refusal = serve::refuse(caller_dialect, RefusalReason::Call(error));
    if let Some(call) = record.call() {
        tell_call(&mut refusal.headers, call);
    }
    refusal
}

/// Streams an answer as it comes. What fails before the first content is an error of its own, with a status.
async fn live(
    call: Call,
    caller_dialect: CallerDialect,
    writer: Writer,
    keep_alive: Duration,
    mut record: CallReport,
) -> Result<Response<ReplyBody>, Refusal> {
    let stream = call.stream().await;
    let mut stream = stream.map_err(|error| failed(caller_dialect, &error, &mut record))?;
    let mut waiting = None;
    let first = async {
        loop {
            match stream.next().await {
                Some(Ok(event @ ReplyEvent::Waiting { .. })) => waiting = Some(event),
                first => return first,
            }
        }
    };
    let first = tokio::time::timeout(keep_alive, first).await;
    let mut headers = HeaderMap::new();
    let first = match first {
        Ok(Some(Err(error))) => return Err(failed(caller_dialect, &error, &mut record)),
        Ok(Some(Ok(event))) => {
            if let ReplyEvent::Started { target, attempt, .. } = &event {
                tell(&mut headers, target, *attempt as usize);
            }
            Some(Ok(event))
        }
        Ok(None) => Some(Err(Error::Crashed)),
        Err(_) => {
            if let Some(ReplyEvent::Waiting { back_in, barred }) = &waiting {
                tell_waiting(&mut headers, &serve::wait_notice(*back_in, barred));
            }
            waiting.map(Ok)
        }
    };
    record.call().into_iter().for_each(|call| tell_call(&mut headers, call));
    Ok(event_stream(headers, Streaming::live(stream, first, writer, keep_alive, record)))
}

/// Streams an answer once it is whole.
async fn buffered(
    call: Call,
    caller_dialect: CallerDialect,
    writer: Writer,
    keep_alive: Duration,
    mut record: CallReport,
) -> Result<Response<ReplyBody>, Refusal> {
    let (tell, told) = watch::channel::<Option<WaitNotice>>(None);
    let mut reply = Box::pin(async move {
        let other = call.other_form();
        whole(call.stream().await?, Some(&tell), other).await
    });
    let mut headers = HeaderMap::new();
    let (reply, waits) = match tokio::time::timeout(keep_alive, &mut reply).await {
        Ok(Ok(whole)) => {
            tell_whole(&mut headers, &whole.finished);
            (Box::pin(std::future::ready(Ok(whole))) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>, false)
        }
        Ok(Err(error)) => return Err(failed(caller_dialect, &error, &mut record)),
        Err(_) => {
            told.borrow().iter().for_each(|waiting| tell_waiting(&mut headers, &waiting.text()));
            (reply as _, true)
        }
    };
    record.call().into_iter().for_each(|call| tell_call(&mut headers, call));
    Ok(event_stream(headers, Streaming::buffered(reply, waits, told, writer, keep_alive, record)))
}

/// Reads a stream to its end; tells what it waits for on the way. What goes on as it came is put together, and put into
/// the form that is asked for.
pub(super) async fn whole(
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

pub(super) fn event_stream(headers: HeaderMap, streaming: Streaming) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Stream(Box::new(streaming)));
    let own = response.headers_mut();
    *own = headers;
    own.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Sets headers: the target that answered, and the number of attempts.
fn tell(headers: &mut HeaderMap, target: &TargetId, attempts: usize) {
    if let Ok(value) = HeaderValue::try_from(target.to_string()) {
        headers.insert(HeaderName::from_static("x-standin-target"), value);
    }
    headers.insert(HeaderName::from_static("x-standin-attempts"), HeaderValue::from(attempts));
}

/// Sets the header of an answer from a lower rung, with the age of a stale one.
fn tell_degraded(headers: &mut HeaderMap, degraded: Option<Degraded>) {
    if let Some(rung) = degraded {
        headers.insert(HeaderName::from_static("x-standin-degraded"), HeaderValue::from_static(rung.name()));
    }
    if let Some(age) = degraded.and_then(Degraded::age) {
        headers.insert(HeaderName::from_static("x-standin-age"), HeaderValue::from(age.as_secs()));
    }
}

pub(super) fn tell_whole(headers: &mut HeaderMap, finished: &Finished) {
    tell_degraded(headers, finished.degraded);
    tell_finished(headers, finished.call, &finished.target, finished.attempts.len(), finished.cost_usd);
    let notes: Vec<String> = finished
        .notes
        .iter()
        .map(|note| match note {
            Note::Dropped(what) => format!("dropped {what}"),
            Note::Converted(what) => format!("converted {what}"),
            Note::Trimmed { messages, .. } => format!("trimmed {messages} messages"),
        })
        .collect();
    if let (false, Ok(value)) = (notes.is_empty(), HeaderValue::try_from(notes.join(", "))) {
        headers.insert(HeaderName::from_static("x-standin-notes"), value);
    }
}

/// Sets the header of a stream whose call is parked: Gemini's clients take a comment for an error.
fn tell_waiting(headers: &mut HeaderMap, notice: &str) {
    if let Ok(value) = HeaderValue::try_from(notice) {
        headers.insert(HeaderName::from_static("x-standin-waiting"), value);
    }
}

/// Sets the header by which `why` finds a call.
fn tell_call(headers: &mut HeaderMap, call: CallId) {
    if let Ok(value) = HeaderValue::try_from(call.to_string()) {
        headers.insert(HeaderName::from_static("x-standin-call"), value);
    }
}

/// Sets the headers of a call that ended well.
fn tell_finished(headers: &mut HeaderMap, call: CallId, target: &TargetId, attempts: usize, cost_usd: Option<f64>) {
    tell(headers, target, attempts);
    tell_call(headers, call);
    if let Some(value) = cost_usd.and_then(|cost| HeaderValue::try_from(format!("{cost:.9}")).ok()) {
        headers.insert(HeaderName::from_static("x-standin-cost-usd"), value);
    }
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

/// Returns the dialect's name as logs and metrics spell it.
fn name(caller_dialect: CallerDialect) -> &'static str {
    match caller_dialect {
        CallerDialect::OpenAiChat => "openai_chat",
        CallerDialect::OpenAiResponses => "openai_responses",
        CallerDialect::Anthropic => "anthropic",
        CallerDialect::Gemini => "gemini",
    }
}

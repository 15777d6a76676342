//! Answers a request for text or vectors: makes the call by the request and its headers, and writes the answer in the
//! caller's dialect.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::watch;

use super::answer_headers::{tell_answered, tell_call, tell_target, tell_waiting, tell_whole};
use super::body::{ReplyBody, Streaming, WaitNotice, bytes};
use super::call_options::{CallOptions, OURS, in_short};
use super::call_report::CallReport;
use super::caller::Caller;
use super::intake::BodyMemory;
use super::lingering::Lingering;
use super::loop_marks;
use super::made_call::{Call, read_whole};
use super::settings::{ModelNames, Streams};
use crate::runtime::WantedReply;
use crate::wire::serve::{self, CallerDialect, Form, ParsedEmbedRequest, ParsedRequest, Refusal, Writer};
use crate::words::{ChatRequest, CommitPolicy, EmbedRequest, Error, ReplyEvent};

/// The one header of a caller that is passed on, and only to a provider of its dialect: without it fields of the body
/// are refused there.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// A call that can be made: what its caller asked, with what its headers set.
pub(super) struct Prepared {
    pub(super) request: Box<ChatRequest>,
    pub(super) stream: bool,
    pub(super) form: Form,
    streams: Streams,
}

/// Puts together what a caller asks, or says why it may not.
pub(super) fn prepare(caller: &Caller<'_>, asked: ParsedRequest) -> Result<Prepared, Refusal> {
    let is_in_background = asked.is_in_background();
    let ParsedRequest { mut request, stream, mut form, .. } = asked;
    let (head, server) = (caller.head, &caller.current.server);
    if server.model == ModelNames::Asked {
        request.model_as = Some(form.model().to_owned());
        form.name_as_asked();
    }
    caller.lead(&mut request.route)?;
    let fields = request.original.iter().flat_map(|original| &original.fields);
    caller.keep_to_routes(fields, |field| serve::is_published(caller.dialect, field))?;
    let options = CallOptions::read(&head.headers, &mut request.extra).map_err(|bad| caller.bad(&bad))?;
    let CallOptions { priority, deadline, client_timeout, session, labels, tags, rule, .. } = options;
    let CallOptions { hedging, key, durable, on_exhausted, streams, in_request, .. } = options;
    let session = session.or_else(|| request.session.take()).map(in_short);
    (request.priority, request.rule, request.hedging, request.deadline) = (priority, rule, hedging, deadline);
    (request.client_timeout, request.on_exhausted, request.session) = (client_timeout, on_exhausted, session);
    (request.labels, request.tags, request.key, request.durable) = (labels, tags, key, durable);
    request.via = loop_marks::marks(&head.headers);
    request.client = caller.name().map(Into::into);
    // The sidecar's options go to no provider.
    if let (true, Some(original)) = (in_request, &mut request.original) {
        original.forget(OURS);
    }
    if caller.dialect == CallerDialect::Anthropic {
        let asked_for = head.headers.get_all(&BETA).iter().map(|value| (BETA, value.clone()));
        request.extra_headers.extend(asked_for);
    }
    // To an answer in the background that is not streamed nobody listens.
    let usual = if stream || !is_in_background { server.streams } else { Streams::Buffered };
    let streams = streams.unwrap_or(usual);
    if streams == Streams::Buffered {
        request.commit = CommitPolicy::Buffered;
    }
    Ok(Prepared { request, stream, form, streams })
}

/// Answers a request that was understood, or says why it was not.
pub(super) async fn answer(
    caller: &Caller<'_>,
    asked: ParsedRequest,
    place: BodyMemory,
) -> Result<Response<ReplyBody>, Refusal> {
    let Prepared { request, stream, form, streams } = prepare(caller, asked)?;
    let state = caller.state;
    let mut record = CallReport::new(caller, &request.route, stream, place);
    let call = Call::make(state.runtime.clone(), request, &form, stream, &mut record).await;
    let call = call.map_err(|error| record.refused(&error))?;
    let (created, seed) = call.stamp();
    let writer = Writer::new(form, seed, created);
    if !stream {
        let reply = match (call, Lingering::retries(&caller.head.headers)) {
            (Call::Own(runtime, request, note), Some(retries)) => {
                let make = |request| async move { runtime.call(request, WantedReply::Whole, Some(&note)).await };
                state.lingering.answer(request, retries, make).await
            }
            (call, _) => call.reply().await,
        };
        let reply = reply.map_err(|error| record.refused(&error))?;
        record.finished((&reply.finished).into());
        let mut response = bytes(StatusCode::OK, "application/json", writer.whole(&reply));
        tell_whole(response.headers_mut(), &reply.finished);
        return Ok(response);
    }
    let keep_alive = caller.current.server.keep_alive;
    match (streams, call.other_form()) {
        (Streams::Live, None) => live(call, writer, keep_alive, record).await,
        _ => buffered(call, writer, keep_alive, record).await,
    }
}

/// Answers a request for vectors that was understood, or refuses it.
pub(super) async fn embed(
    caller: &Caller<'_>,
    asked: ParsedEmbedRequest,
    place: BodyMemory,
) -> Result<Response<ReplyBody>, Refusal> {
    let ParsedEmbedRequest { mut request, form, .. } = asked;
    let model = request.route.clone();
    caller.lead(&mut request.route)?;
    caller.keep_to_routes(request.extra.keys(), serve::is_published_for_vectors)?;
    let headers = &caller.head.headers;
    let options = CallOptions::read(headers, &mut request.extra).map_err(|bad| caller.bad(&bad))?;
    if let Some(bad) = options.beyond_vectors() {
        return Err(caller.bad(&bad));
    }
    let CallOptions { priority, deadline, labels, tags, rule, hedging, on_exhausted, .. } = options;
    let (via, client_timeout) = (loop_marks::marks(headers), options.client_timeout);
    request = EmbedRequest { priority, rule, hedging, deadline, client_timeout, ..request };
    request = EmbedRequest { on_exhausted, labels, tags, via, ..request };
    request.client = caller.name().map(Into::into);
    let mut record = CallReport::new(caller, &request.route, false, place);
    let answer = caller.state.runtime.call(request, WantedReply::Vectors, Some(&record.note())).await;
    let answer = answer.map_err(|error| record.refused(&error))?;
    record.finished((&answer).into());
    let mut response = bytes(StatusCode::OK, "application/json", serve::write_embed(form, &model, &answer).into());
    tell_answered(response.headers_mut(), (&answer).into());
    Ok(response)
}

/// Streams an answer as it comes. What fails before the first content is an error of its own, with a status.
async fn live(
    call: Call,
    writer: Writer,
    keep_alive: Duration,
    mut record: CallReport,
) -> Result<Response<ReplyBody>, Refusal> {
    let stream = call.stream().await;
    let mut stream = stream.map_err(|error| record.refused(&error))?;
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
        Ok(Some(Err(error))) => return Err(record.refused(&error)),
        Ok(Some(Ok(event))) => {
            if let ReplyEvent::Started { target, attempt, .. } = &event {
                tell_target(&mut headers, target, *attempt as usize);
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
    writer: Writer,
    keep_alive: Duration,
    mut record: CallReport,
) -> Result<Response<ReplyBody>, Refusal> {
    let (tell, told) = watch::channel::<Option<WaitNotice>>(None);
    let mut reply = Box::pin(async move {
        let other = call.other_form();
        read_whole(call.stream().await?, Some(&tell), other).await
    });
    let mut headers = HeaderMap::new();
    let (reply, waits) = match tokio::time::timeout(keep_alive, &mut reply).await {
        Ok(Ok(whole)) => {
            tell_whole(&mut headers, &whole.finished);
            (Box::pin(std::future::ready(Ok(whole))) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>, false)
        }
        Ok(Err(error)) => return Err(record.refused(&error)),
        Err(_) => {
            told.borrow().iter().for_each(|waiting| tell_waiting(&mut headers, &waiting.text()));
            (reply as _, true)
        }
    };
    record.call().into_iter().for_each(|call| tell_call(&mut headers, call));
    Ok(event_stream(headers, Streaming::buffered(reply, waits, told, writer, keep_alive, record)))
}

pub(super) fn event_stream(headers: HeaderMap, streaming: Streaming) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Stream(Box::new(streaming)));
    let own = response.headers_mut();
    *own = headers;
    own.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

//! An answer: the call is made with what the caller asked and what its headers set, and written in its dialect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::{ReplyBody, Streaming};
use super::record::Record;
use super::service::{Current, State, bytes};
use super::settings::Streams;
use crate::wire::serve::{self, Asked, BadRequest, Face, Refusal, Refused, Writer};
use crate::words::{AssistantPart, ChatRequest, Error, Finished, Priority, Reply, ReplyEvent, TargetId};

/// Tells answers apart: their ids are made of it and of the time.
static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// Answers a request that was understood, or says why it was not.
pub(super) async fn answer(
    state: &Arc<State>,
    current: &Current,
    head: &Parts,
    client: Option<&super::access::Client>,
    asked: Asked,
) -> Result<Response<ReplyBody>, Refusal> {
    let Asked { mut request, stream, form, .. } = asked;
    let face = form.face();
    current.route(&mut request);
    if client.is_some_and(|client| !client.may(&request.route)) {
        let problem = format!("there is no model `{}`, or it is not for this key", request.route);
        return Err(serve::refuse(face, Refused::NotFound(&problem)));
    }
    let streams = set(&mut request, &head.headers).map_err(|bad| serve::refuse(face, Refused::Request(&bad)))?;
    let streams = streams.unwrap_or(current.server.streams);
    let route = Arc::from(request.route.as_str());
    let client = client.map(|client| client.name.clone());
    let mut record = Record::new(state.clone(), route, name(face), client, stream);
    let (created, seed) = stamp();
    let writer = Writer::new(form, seed, created);
    if !stream {
        let reply = state.runtime.chat(request).await.map_err(|error| failed(face, &error, &mut record))?;
        record.finished(&reply.finished);
        let mut body = Vec::new();
        writer.whole(&reply, &mut body);
        let mut response = bytes(StatusCode::OK, "application/json", body.into());
        tell_finished(response.headers_mut(), &reply.finished);
        return Ok(response);
    }
    let keep_alive = current.server.keep_alive;
    match streams {
        Streams::Live => live(state, request, face, writer, keep_alive, record).await,
        Streams::Buffered => buffered(state, request, face, writer, keep_alive, record).await,
    }
}

/// Writes down how a call failed, and says so in the caller's dialect.
fn failed(face: Face, error: &Error, record: &mut Record) -> Refusal {
    record.failed(error);
    serve::refuse(face, Refused::Call(error))
}

/// Streams an answer as it comes. What fails before the first content is an error of its own, with a status.
async fn live(
    state: &State,
    request: ChatRequest,
    face: Face,
    writer: Writer,
    keep_alive: Duration,
    mut record: Record,
) -> Result<Response<ReplyBody>, Refusal> {
    let stream = state.runtime.stream(request).await;
    let mut stream = stream.map_err(|error| failed(face, &error, &mut record))?;
    let first = tokio::time::timeout(keep_alive, stream.next()).await;
    let mut headers = HeaderMap::new();
    let first = match first {
        Ok(Some(Err(error))) => return Err(failed(face, &error, &mut record)),
        Ok(Some(Ok(event))) => {
            if let ReplyEvent::Started { target, attempt, .. } = &event {
                tell(&mut headers, target, *attempt as usize);
            }
            Some(Ok(event))
        }
        Ok(None) => Some(Err(Error::Crashed)),
        Err(_) => None,
    };
    Ok(event_stream(headers, Streaming::live(stream, first, writer, keep_alive, record)))
}

/// Streams an answer once it is whole.
async fn buffered(
    state: &State,
    request: ChatRequest,
    face: Face,
    writer: Writer,
    keep_alive: Duration,
    mut record: Record,
) -> Result<Response<ReplyBody>, Refusal> {
    let runtime = state.runtime.clone();
    let mut reply = Box::pin(async move { runtime.chat(request).await });
    let mut headers = HeaderMap::new();
    let reply = match tokio::time::timeout(keep_alive, &mut reply).await {
        Ok(Ok(whole)) => {
            tell_finished(&mut headers, &whole.finished);
            Box::pin(std::future::ready(Ok(whole))) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        }
        Ok(Err(error)) => return Err(failed(face, &error, &mut record)),
        Err(_) => reply,
    };
    Ok(event_stream(headers, Streaming::buffered(reply, writer, keep_alive, record)))
}

fn event_stream(headers: HeaderMap, streaming: Streaming) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Stream(Box::new(streaming)));
    let own = response.headers_mut();
    *own = headers;
    own.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Returns a whole answer as the events it would have come in.
pub(super) fn events(reply: Reply) -> impl Iterator<Item = ReplyEvent> {
    let finished = reply.finished;
    let pieces: Vec<ReplyEvent> = finished
        .parts
        .iter()
        .filter_map(|part| match part {
            AssistantPart::Text(text) => Some(ReplyEvent::Text(text.clone())),
            AssistantPart::Reasoning(reasoning) => Some(ReplyEvent::Reasoning(reasoning.text.clone())),
            AssistantPart::ToolCall(_) => None,
        })
        .collect();
    pieces.into_iter().chain([ReplyEvent::Finished(Box::new(finished))])
}

/// Sets what the caller's headers say; returns how a stream is to be delivered, where they say so.
fn set(request: &mut ChatRequest, headers: &HeaderMap) -> Result<Option<Streams>, BadRequest> {
    let mut streams = None;
    for (name, value) in headers {
        let Some(option) = name.as_str().strip_prefix("x-standin-") else { continue };
        let bad = |problem: &str| BadRequest { field: name.as_str().to_owned(), problem: problem.to_owned() };
        let text = value.to_str().map_err(|_| bad("is no text"))?.trim();
        match option {
            "priority" => {
                request.priority = match text {
                    "batch" => Priority::Batch,
                    "default" => Priority::Default,
                    "interactive" => Priority::Interactive,
                    "critical" => Priority::Critical,
                    _ => return Err(bad("must be one of batch, default, interactive, critical")),
                }
            }
            "deadline" => {
                let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let deadline = seconds.or_else(|| humantime::parse_duration(text).ok());
                let deadline = deadline.filter(|deadline| !deadline.is_zero());
                request.deadline =
                    Some(deadline.ok_or_else(|| bad("must be seconds, or a time such as `90s` or `2m`"))?);
            }
            "session" => request.session = Some(text.to_owned()),
            "labels" => request.labels.extend(text.split(',').map(|label| label.trim().to_owned())),
            "stream" => {
                streams = Some(match text {
                    "live" => Streams::Live,
                    "buffered" => Streams::Buffered,
                    _ => return Err(bad("must be live or buffered")),
                });
            }
            _ => match option.strip_prefix("tag-") {
                Some(tag) => {
                    request.tags.insert(tag.to_owned(), text.to_owned());
                }
                None => {
                    let known = "priority, deadline, session, labels, stream, tag-NAME";
                    return Err(bad(&format!("is none that is known; there are x-standin-: {known}")));
                }
            },
        }
    }
    Ok(streams)
}

/// Says who answered, and how many attempts it took.
fn tell(headers: &mut HeaderMap, target: &TargetId, attempts: usize) {
    if let Ok(value) = HeaderValue::try_from(target.to_string()) {
        headers.insert(HeaderName::from_static("x-standin-target"), value);
    }
    headers.insert(HeaderName::from_static("x-standin-attempts"), HeaderValue::from(attempts));
}

fn tell_finished(headers: &mut HeaderMap, finished: &Finished) {
    tell(headers, &finished.target, finished.attempts.len());
    headers.insert(HeaderName::from_static("x-standin-call"), HeaderValue::from(finished.call.0));
    if let Some(value) = finished.cost_usd.and_then(|cost| HeaderValue::try_from(format!("{cost:.9}")).ok()) {
        headers.insert(HeaderName::from_static("x-standin-cost-usd"), value);
    }
}

/// Returns the time in seconds since 1970, and a number of this answer's own.
fn stamp() -> (u64, u64) {
    #[expect(clippy::disallowed_methods, reason = "answers carry the date")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = ANSWERS.fetch_add(1, Relaxed);
    #[expect(clippy::cast_possible_truncation, reason = "the low half tells the runs of a process apart")]
    let mixed = (now.as_nanos() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ count;
    (now.as_secs(), mixed)
}

/// Returns the dialect's name as logs and metrics spell it.
fn name(face: Face) -> &'static str {
    match face {
        Face::OpenAiChat => "openai_chat",
        Face::OpenAiResponses => "openai_responses",
        Face::Anthropic => "anthropic",
        Face::Gemini => "gemini",
    }
}

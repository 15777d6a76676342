//! One request: whose it is, what it asks, and which room answers.
//!
//! In flows a head and a body, out flows a response in the caller's dialect. It knows the runtime by its public face only,
//! and a caller's own key never goes past this room.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::access::{Access, Client, Denied};
use super::admin;
use super::body::ReplyBody;
use super::chat;
use super::endpoint::Endpoint;
use super::metrics::Metrics;
use super::settings::{ServerConfig, Settings};
use crate::runtime::Runtime;
use crate::wire::serve::{self, BadRequest, Face, Listing, Refusal, Refused};
use crate::words::{ChatRequest, Error, Price, TargetId};

/// What all connections share.
pub(super) struct State {
    pub(super) runtime: Runtime,
    pub(super) metrics: Metrics,
    current: RwLock<Arc<Current>>,
}

/// What a reload replaces.
pub(super) struct Current {
    pub(super) server: ServerConfig,
    pub(super) access: Access,
    /// The names a caller may ask for.
    pub(super) models: Vec<Listing>,
}

impl Current {
    /// Takes settings that were checked, and the targets that this found.
    pub(super) fn new(settings: &Settings, targets: &[(TargetId, Option<Price>)]) -> Self {
        let routes = settings.runtime.routes.keys().map(|name| listing(name, "standin"));
        let aliases = settings.runtime.aliases.keys().map(|name| listing(name, "standin"));
        let targets = targets.iter().map(|(target, _)| listing(&target.to_string(), &target.provider));
        Self {
            server: settings.server.clone(),
            access: Access::new(&settings.server.keys),
            models: routes.chain(aliases).chain(targets).collect(),
        }
    }

    /// Sends a name that nobody has to the default route.
    pub(super) fn route(&self, route: &mut String) {
        if let Some(default) = &self.server.default_route
            && !self.models.iter().any(|listing| listing.id == *route)
        {
            route.clone_from(default);
        }
    }
}

/// When this project began: a list of models wants a date for each.
const CREATED: u64 = 1_763_683_200;

fn listing(id: &str, owner: &str) -> Listing {
    let (id, owner) = (id.to_owned(), owner.to_owned());
    Listing { id, created: CREATED, owner, input_tokens_max: None, output_tokens_max: None }
}

impl State {
    pub(super) fn new(runtime: Runtime, current: Current) -> Self {
        Self { runtime, metrics: Metrics::new(), current: RwLock::new(Arc::new(current)) }
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
    }
}

/// Which endpoints a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The clients'.
    Clients,
    /// The operators'.
    Admin,
    /// Both.
    Both,
}

/// Answers one request.
pub(super) async fn answer(
    state: Arc<State>,
    door: Door,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (head, body) = request.into_parts();
    let endpoint = Endpoint::of(&head.method, head.uri.path(), &head.headers);
    let allowed = match endpoint {
        Endpoint::Live | Endpoint::Ready | Endpoint::Root => true,
        ref endpoint if endpoint.is_admin() => door != Door::Clients,
        _ => door != Door::Admin,
    };
    let response = match endpoint {
        _ if !allowed => nothing(&head, face_of(head.uri.path())),
        Endpoint::Chat { face, model, stream } => {
            converse(&state, &head, body, face, model.as_deref(), stream).await.unwrap_or_else(refuse)
        }
        Endpoint::Embed { face, model } => {
            embed(&state, &head, body, face, model.as_deref()).await.unwrap_or_else(refuse)
        }
        Endpoint::CountTokens { face, model } => {
            count(&state, &head, body, face, model.as_deref()).await.unwrap_or_else(refuse)
        }
        Endpoint::Models { face, one } => models(&state, &head, face, one.as_deref()).unwrap_or_else(refuse),
        Endpoint::Health => json_response(StatusCode::OK, &admin::health(&state.runtime.health())),
        Endpoint::Ready if admin::is_ready(&state.runtime.health()) => plain(StatusCode::OK, "ready\n"),
        Endpoint::Ready => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        Endpoint::Live | Endpoint::Root => plain(StatusCode::OK, "standin\n"),
        Endpoint::Metrics => {
            plain(StatusCode::OK, state.metrics.render(&state.runtime.health(), &state.runtime.totals()))
        }
        Endpoint::Explain { route } => explain(&state, route).await,
        Endpoint::WrongMethod { allow } => {
            let what = format!("{} takes {allow}, not {}", head.uri.path(), head.method);
            let mut response = refuse(serve::refuse(face_of(head.uri.path()), Refused::WrongMethod(&what)));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            response
        }
        Endpoint::Unknown => nothing(&head, face_of(head.uri.path())),
    };
    Ok(response)
}

/// Answers in words.
async fn converse(
    state: &Arc<State>,
    head: &Parts,
    body: Incoming,
    face: Face,
    model: Option<&str>,
    stream: bool,
) -> Result<Response<ReplyBody>, Refusal> {
    let current = state.current();
    let (client, body) = enter(&current, head, body, face).await?;
    let asked = serve::read(face, model, stream, &body).map_err(|bad| misread(face, &bad))?;
    chat::answer(state, &current, head, client, asked).await
}

/// Answers in vectors.
async fn embed(
    state: &Arc<State>,
    head: &Parts,
    body: Incoming,
    face: Face,
    model: Option<&str>,
) -> Result<Response<ReplyBody>, Refusal> {
    let current = state.current();
    let (client, body) = enter(&current, head, body, face).await?;
    let asked = serve::read_embed(face, model, &body).map_err(|bad| misread(face, &bad))?;
    chat::embed(state, &current, head, client, asked).await
}

/// Lets a caller in and takes what it says.
async fn enter<'c>(
    current: &'c Current,
    head: &Parts,
    body: Incoming,
    face: Face,
) -> Result<(Option<&'c Client>, Bytes), Refusal> {
    let client = admitted(current, head, face)?;
    if let Some(encoding) = head.headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let what = format!("bodies are read as they are, not in {encoding:?}: send it without content-encoding");
        return Err(serve::refuse(face, Refused::Encoded(&what)));
    }
    Ok((client, read(body, &current.server, face).await?))
}

/// Says in a caller's dialect what of its body is not understood.
fn misread(face: Face, bad: &BadRequest) -> Refusal {
    serve::refuse(face, Refused::Request(bad))
}

/// Lets a caller in, or says in its dialect why not.
fn admitted<'c>(current: &'c Current, head: &Parts, face: Face) -> Result<Option<&'c Client>, Refusal> {
    #[expect(clippy::disallowed_methods, reason = "limits are counted by the clock")]
    let now = Instant::now();
    current.access.admit(&head.headers, head.uri.query(), now).map_err(|denied| match denied {
        Denied::Unknown => serve::refuse(face, Refused::Unauthorised),
        Denied::TooMany(wait) => serve::refuse(face, Refused::TooMany(wait)),
    })
}

async fn read(body: Incoming, server: &ServerConfig, face: Face) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, server.body_bytes_max).collect();
    let problem = match tokio::time::timeout(server.body_timeout, whole).await {
        Ok(Ok(body)) => return Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(serve::refuse(face, Refused::TooLong(server.body_bytes_max)));
        }
        Ok(Err(error)) => format!("the body broke off: {error}"),
        Err(_) => "the body took too long to arrive".to_owned(),
    };
    Err(misread(face, &BadRequest { field: String::new(), problem }))
}

fn models(state: &State, head: &Parts, face: Face, one: Option<&str>) -> Result<Response<ReplyBody>, Refusal> {
    let current = state.current();
    let client = admitted(&current, head, face)?;
    let mut known = current.models.iter().filter(|listing| client.is_none_or(|client| client.may(&listing.id)));
    let body = match one {
        None => serve::models(face, &known.cloned().collect::<Vec<_>>()),
        Some(one) => match known.find(|listing| listing.id == one) {
            Some(listing) => serve::model(face, listing),
            None => return Err(serve::refuse(face, Refused::NotFound(&format!("there is no model `{one}`")))),
        },
    };
    Ok(bytes(StatusCode::OK, "application/json", body.into()))
}

async fn count(
    state: &State,
    head: &Parts,
    body: Incoming,
    face: Face,
    model: Option<&str>,
) -> Result<Response<ReplyBody>, Refusal> {
    let current = state.current();
    let (client, body) = enter(&current, head, body, face).await?;
    let mut request = serve::read(face, model, false, &body).map_err(|bad| misread(face, &bad))?.request;
    chat::lead(&current, client, face, &mut request.route)?;
    let tokens = state.runtime.estimate_tokens(request).map_err(|error| serve::refuse(face, Refused::Call(&error)))?;
    Ok(bytes(StatusCode::OK, "application/json", serve::count_tokens(face, tokens).into()))
}

async fn explain(state: &State, route: String) -> Response<ReplyBody> {
    let at = state.runtime.health().at;
    match state.runtime.explain(ChatRequest::new(route).user("?")).await {
        Ok(explanation) => json_response(StatusCode::OK, &admin::explanation(&explanation, at)),
        Err(error @ Error::Invalid { .. }) => {
            json_response(StatusCode::NOT_FOUND, &json!({"error": error.to_string()}))
        }
        Err(error) => json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": error.to_string()})),
    }
}

/// Guesses the dialect of somebody at a wrong address.
fn face_of(path: &str) -> Face {
    match path {
        path if path.starts_with("/v1beta") => Face::Gemini,
        path if path.contains("/messages") => Face::Anthropic,
        _ => Face::OpenAiChat,
    }
}

fn nothing(head: &Parts, face: Face) -> Response<ReplyBody> {
    let (method, path) = (&head.method, head.uri.path());
    // What older clients look for.
    let instead =
        if path.ends_with("/completions") { "; conversations are answered at /v1/chat/completions" } else { "" };
    let what = format!("there is nothing at {method} {path}{instead}");
    refuse(serve::refuse(face, Refused::Nowhere(&what)))
}

/// Makes a refusal a response.
fn refuse(refusal: Refusal) -> Response<ReplyBody> {
    let mut response = bytes(refusal.status, "application/json", refusal.body.into());
    response.headers_mut().extend(refusal.headers);
    response
}

/// Makes a body a response.
pub(super) fn bytes(status: StatusCode, kind: &'static str, body: Bytes) -> Response<ReplyBody> {
    let length = body.len();
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<ReplyBody> {
    bytes(status, "text/plain; charset=utf-8", text.into().into())
}

fn json_response(status: StatusCode, value: &serde_json::Value) -> Response<ReplyBody> {
    bytes(status, "application/json", value.to_string().into())
}

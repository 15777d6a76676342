//! One request: its client, its endpoint, and the module that answers.
//!
//! Input: a head and a body. Output: a response in the caller's dialect. It knows the runtime by its public interface
//! only, and a caller's own key is never passed on from here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_ENCODING, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::access::{Client, Denied};
use super::admin;
use super::background;
use super::body::{ReplyBody, bytes};
use super::chat;
use super::endpoint::{BackgroundAction, Endpoint};
use super::intake::{BodyMemory, ParsedBody};
use super::metrics;
use super::origin::{self, OriginRefusal};
use super::pipelining::ConnectionState;
use super::refusals::Reason;
use super::state::{Current, Peer, State, now};
use crate::wire::serve::{self, BadRequest, CallerDialect, ParsedRequest, Refusal, RefusalReason};

/// Which endpoints a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoints {
    /// The endpoints of clients.
    Clients,
    /// The endpoints of operators.
    Admin,
    /// All endpoints.
    Both,
}

/// Answers one request.
pub(super) async fn answer(
    state: Arc<State>,
    endpoints: Endpoints,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (mut head, body) = request.into_parts();
    head.extensions.insert(Peer(peer));
    let endpoint = Endpoint::of(&head.method, head.uri.path(), &head.headers);
    // A process supervisor may ask by any host name; the answer reveals nothing.
    if matches!(endpoint, Endpoint::Live | Endpoint::Ready | Endpoint::Root) {
        return Ok(serve(&state, endpoints, &head, endpoint, body).await);
    }
    if let Some(what) = origin::expects(&head.headers) {
        let what = format!("nothing but `100-continue` can be expected here, not `{what}`: leave the header out");
        return Ok(refuse(serve::refuse(caller_dialect_of(head.uri.path()), RefusalReason::Expects(&what))));
    }
    let current = state.current();
    let is_admin = endpoint.has_admin_address();
    let strict = is_admin || !current.access.asks();
    let leave = origin::look(&current.server, strict, &head);
    let leave = match leave.and_then(|leave| if is_admin { leave.of_no_page() } else { Ok(leave) }) {
        Ok(leave) => leave,
        Err(stranger) => return Ok(refuse_page(&state, &head, &stranger)),
    };
    drop(current);
    if origin::is_preflight(&head) {
        let mut response = bytes(StatusCode::NO_CONTENT, "text/plain", Bytes::new());
        response.headers_mut().clear();
        leave.tell_before(&head.headers, response.headers_mut());
        return Ok(response);
    }
    let mut response = serve(&state, endpoints, &head, endpoint, body).await;
    leave.tell(response.headers_mut());
    Ok(response)
}

/// Refuses a web page, or a client that looks like one, and names the setting that would allow it.
fn refuse_page(state: &State, head: &Parts, stranger: &OriginRefusal) -> Response<ReplyBody> {
    let caller_dialect = caller_dialect_of(head.uri.path());
    let (reason, refusal) = match stranger {
        OriginRefusal::NoHost => {
            let bad = BadRequest::new("host", "must be there, and once");
            (Reason::Host, serve::refuse(caller_dialect, RefusalReason::Request(&bad)))
        }
        OriginRefusal::Host(host) => {
            let what = format!("this is not `{host}`: ask by its address, or put the name into `server.hosts`");
            (Reason::Host, serve::refuse(caller_dialect, RefusalReason::Forbidden(&what)))
        }
        OriginRefusal::Page(page) => {
            let what = format!("web pages of `{page}` may not ask here: see `server.allow_origins`");
            (Reason::Page, serve::refuse(caller_dialect, RefusalReason::Forbidden(&what)))
        }
        OriginRefusal::Operator(page) => {
            let what = format!("web pages, as those of `{page}`, are no operators: ask here by a program");
            (Reason::Page, serve::refuse(caller_dialect, RefusalReason::Forbidden(&what)))
        }
    };
    state.count_refusal(reason, head);
    refuse(refusal)
}

/// Answers a request that is allowed.
async fn serve(
    state: &Arc<State>,
    endpoints: Endpoints,
    head: &Parts,
    endpoint: Endpoint,
    body: Incoming,
) -> Response<ReplyBody> {
    let allowed = match endpoint {
        Endpoint::Live | Endpoint::Ready | Endpoint::Root => true,
        ref endpoint if endpoint.is_admin() => endpoints != Endpoints::Clients,
        _ => endpoints != Endpoints::Admin,
    };
    if !allowed {
        return nothing(state, head);
    }
    if endpoint.is_admin() {
        if let Err(denied) = admin::operator(state, head) {
            return denied;
        }
        if let Some(kind) = origin::other_content(&head.headers) {
            state.count_refusal(Reason::Content, head);
            let what = format!("a body that is `{kind}` is not read here: the address says all; send none");
            return admin::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, what);
        }
    }
    match endpoint {
        Endpoint::Chat { caller_dialect, model, stream } => {
            converse(state, head, body, caller_dialect, model.as_deref(), stream).await.unwrap_or_else(refuse)
        }
        Endpoint::Kept { id, action } => kept(state, head, &id, action).await.unwrap_or_else(refuse),
        Endpoint::Compact => compact(state, head, body).await.unwrap_or_else(refuse),
        Endpoint::Embed { caller_dialect, model } => {
            embed(state, head, body, caller_dialect, model.as_deref()).await.unwrap_or_else(refuse)
        }
        Endpoint::CountTokens { caller_dialect, model } => {
            count(state, head, body, caller_dialect, model.as_deref()).await.unwrap_or_else(refuse)
        }
        Endpoint::Models { caller_dialect, one } => {
            models(state, head, caller_dialect, one.as_deref()).unwrap_or_else(refuse)
        }
        Endpoint::Health => admin::health(state),
        Endpoint::Ready if is_full(state) => plain(StatusCode::SERVICE_UNAVAILABLE, "no place for a connection\n"),
        Endpoint::Ready if admin::is_ready(&state.runtime.health()) => plain(StatusCode::OK, "ready\n"),
        Endpoint::Ready => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        Endpoint::Live | Endpoint::Root => plain(StatusCode::OK, "standin\n"),
        Endpoint::Metrics => {
            let health = state.runtime.health();
            let text = state.metrics.render(&health, &state.refusals, state.places.taken().0);
            let wanted = |accept: &HeaderValue| accept.to_str().is_ok_and(|types| types.contains(OPEN_METRICS));
            let (kind, text) = if head.headers.get_all(ACCEPT).iter().any(wanted) {
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
            } else {
                ("text/plain; version=0.0.4; charset=utf-8", metrics::older(&text))
            };
            bytes(StatusCode::OK, kind, text.into())
        }
        Endpoint::Explain { route } => admin::explain(state, route).await,
        Endpoint::Why { call } => admin::why(state, &call),
        Endpoint::Ledger => admin::ledger(state, head.uri.query().unwrap_or_default()).await,
        Endpoint::Forget => admin::forget(state, head.uri.query().unwrap_or_default()).await,
        Endpoint::Reset { name } => admin::reset(state, name.as_deref(), head.uri.query()).await,
        Endpoint::WrongMethod { allow, .. } => {
            let what = format!("{} takes {allow}, not {}", head.uri.path(), head.method);
            let mut response =
                refuse(serve::refuse(caller_dialect_of(head.uri.path()), RefusalReason::WrongMethod(&what)));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            response
        }
        Endpoint::Unknown => nothing(state, head),
    }
}

/// Answers a conversation.
async fn converse(
    state: &Arc<State>,
    head: &Parts,
    body: Incoming,
    caller_dialect: CallerDialect,
    model: Option<&str>,
    stream: bool,
) -> Result<Response<ReplyBody>, Refusal> {
    let (current, model) = (state.current(), model.map(str::to_owned));
    let read = move |body: &Bytes| serve::read(caller_dialect, model.as_deref(), stream, body);
    let (client, asked, place) = enter(state, &current, head, body, caller_dialect, read).await?;
    if asked.is_in_background() {
        return background::begin(state, &current, head, client, asked, place).await;
    }
    chat::answer(state, &current, head, client, asked, place).await
}

/// Answers what is wanted of an answer in the background.
async fn kept(
    state: &Arc<State>,
    head: &Parts,
    id: &str,
    action: BackgroundAction,
) -> Result<Response<ReplyBody>, Refusal> {
    let current = state.current();
    let client = admitted(state, &current, head, CallerDialect::OpenAiResponses)?;
    let query = head.uri.query().unwrap_or_default();
    background::act(state, client, id, action, query, current.server.keep_alive).await
}

/// Has a conversation made short, by a provider of the caller's own dialect.
async fn compact(state: &Arc<State>, head: &Parts, body: Incoming) -> Result<Response<ReplyBody>, Refusal> {
    let (current, caller_dialect) = (state.current(), CallerDialect::OpenAiResponses);
    let read = move |body: &Bytes| serve::read(caller_dialect, None, false, body).map(ParsedRequest::compacting);
    let (client, asked, place) = enter(state, &current, head, body, caller_dialect, read).await?;
    if asked.is_in_background() {
        return background::begin(state, &current, head, client, asked, place).await;
    }
    chat::answer(state, &current, head, client, asked, place).await
}

/// Answers with vectors.
async fn embed(
    state: &Arc<State>,
    head: &Parts,
    body: Incoming,
    caller_dialect: CallerDialect,
    model: Option<&str>,
) -> Result<Response<ReplyBody>, Refusal> {
    let (current, model) = (state.current(), model.map(str::to_owned));
    let read = move |body: &Bytes| serve::read_embed(caller_dialect, model.as_deref(), body);
    let (client, asked, place) = enter(state, &current, head, body, caller_dialect, read).await?;
    chat::embed(state, &current, head, client, asked, place).await
}

/// Checks a caller's access, receives its body and reads it.
async fn enter<'c, T: ParsedBody>(
    state: &State,
    current: &'c Current,
    head: &Parts,
    body: Incoming,
    caller_dialect: CallerDialect,
    read: impl FnOnce(&Bytes) -> Result<T, BadRequest> + Send + 'static,
) -> Result<(Option<&'c Client>, T, BodyMemory), Refusal> {
    let client = admitted(state, current, head, caller_dialect)?;
    if state.mark.is_on(&head.headers) {
        state.count_refusal(Reason::Loop, head);
        let what =
            "this request was sent from here: the `base_url` of a provider leads back to this sidecar's own address";
        return Err(serve::refuse(caller_dialect, RefusalReason::Loop(what)));
    }
    if let Some(kind) = origin::other_content(&head.headers) {
        state.count_refusal(Reason::Content, head);
        let what = format!("bodies are read as JSON, not as `{kind}`: send it with content-type: application/json");
        return Err(serve::refuse(caller_dialect, RefusalReason::Encoded(&what)));
    }
    if let Some(encoding) = head.headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let what = format!("bodies are read as they are, not in {encoding:?}: send it without content-encoding");
        return Err(serve::refuse(caller_dialect, RefusalReason::Encoded(&what)));
    }
    let taken = async {
        let (body, mut place) = state.intake.take(body, &current.server, caller_dialect).await?;
        let asked = state.intake.read(body, &mut place, caller_dialect, read).await?;
        head.extensions.get::<Arc<ConnectionState>>().iter().for_each(|line| line.has_arrived());
        Ok((client, asked, place))
    };
    taken.await.inspect_err(|refusal: &Refusal| {
        if refusal.headers.contains_key(RETRY_AFTER) {
            state.count_refusal(Reason::Bodies, head);
        }
    })
}

/// How long connections may wait for a place before clients should ask elsewhere.
const FULL_MAX: Duration = Duration::from_secs(5);

/// Tells whether there has been no place for connections for some time.
fn is_full(state: &State) -> bool {
    state.places.full_for().is_some_and(|time| time >= FULL_MAX)
}

/// Checks a caller's access, or refuses it in its dialect.
fn admitted<'c>(
    state: &State,
    current: &'c Current,
    head: &Parts,
    caller_dialect: CallerDialect,
) -> Result<Option<&'c Client>, Refusal> {
    current.access.admit(&head.headers, head.uri.query(), now()).map_err(|denied| {
        let (reason, refused) = match denied {
            Denied::Unknown => (Reason::Key, RefusalReason::Unauthorised),
            Denied::TooMany(wait) => (Reason::Limit, RefusalReason::TooMany(wait)),
        };
        state.count_refusal(reason, head);
        serve::refuse(caller_dialect, refused)
    })
}

fn models(
    state: &State,
    head: &Parts,
    caller_dialect: CallerDialect,
    one: Option<&str>,
) -> Result<Response<ReplyBody>, Refusal> {
    let current = state.current();
    let client = admitted(state, &current, head, caller_dialect)?;
    let mut known = current.models.iter().filter(|listing| client.is_none_or(|client| client.may(&listing.id)));
    let body = match one {
        None => serve::models(caller_dialect, &known.cloned().collect::<Vec<_>>()),
        Some(one) => match known.find(|listing| listing.id == one) {
            Some(listing) => serve::model(caller_dialect, listing),
            None => {
                return Err(serve::refuse(
                    caller_dialect,
                    RefusalReason::NotFound(&format!("there is no model `{one}`")),
                ));
            }
        },
    };
    Ok(bytes(StatusCode::OK, "application/json", body.into()))
}

async fn count(
    state: &State,
    head: &Parts,
    body: Incoming,
    caller_dialect: CallerDialect,
    model: Option<&str>,
) -> Result<Response<ReplyBody>, Refusal> {
    let (current, model) = (state.current(), model.map(str::to_owned));
    let read = move |body: &Bytes| serve::read(caller_dialect, model.as_deref(), false, body);
    let (client, ParsedRequest { mut request, .. }, _place) =
        enter(state, &current, head, body, caller_dialect, read).await?;
    chat::lead(state, &current, head, client, caller_dialect, &mut request.route)?;
    let runtime = state.runtime.clone();
    let length = request.original.as_ref().map_or(0, |original| original.body.len());
    let tokens = state.intake.apart(length, move || runtime.estimate_tokens(request)).await;
    let tokens = tokens.map_err(|error| serve::refuse(caller_dialect, RefusalReason::Call(&error)))?;
    Ok(bytes(StatusCode::OK, "application/json", serve::count_tokens(caller_dialect, tokens).into()))
}

/// Guesses the dialect of a request to a wrong address.
fn caller_dialect_of(path: &str) -> CallerDialect {
    match path {
        path if path.starts_with("/v1beta") => CallerDialect::Gemini,
        path if path.contains("/messages") => CallerDialect::Anthropic,
        _ => CallerDialect::OpenAiChat,
    }
}

fn nothing(state: &State, head: &Parts) -> Response<ReplyBody> {
    state.count_refusal(Reason::Address, head);
    let (method, path) = (&head.method, head.uri.path());
    // A field that older clients look for.
    let instead =
        if path.ends_with("/completions") { "; conversations are answered at /v1/chat/completions" } else { "" };
    let what = format!("there is nothing at {method} {path}{instead}");
    refuse(serve::refuse(caller_dialect_of(path), RefusalReason::Nowhere(&what)))
}

/// Makes a refusal a response.
fn refuse(refusal: Refusal) -> Response<ReplyBody> {
    let mut response = bytes(refusal.status, "application/json", refusal.body.into());
    response.headers_mut().extend(refusal.headers);
    response
}

/// The newer of the two forms of metrics, as who reads it asks for it.
const OPEN_METRICS: &str = "application/openmetrics-text";

fn plain(status: StatusCode, text: impl Into<String>) -> Response<ReplyBody> {
    bytes(status, "text/plain; charset=utf-8", text.into().into())
}

//! One request: its client, its endpoint, and the module that answers.
//!
//! Input: a head and a body. Output: a response in the caller's dialect. It knows the runtime by its public interface
//! only, and a caller's own key is never passed on from here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::admin;
use super::background;
use super::body::{ReplyBody, bytes};
use super::caller::Caller;
use super::chat;
use super::endpoint::Endpoint;
use super::metrics;
use super::origin::{self, CorsGrant, OriginRefusal};
use super::refusals::Reason;
use super::state::{Current, Peer, State};
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
    let current = state.current();
    let grant = match grant(&state, &current, &head, &endpoint) {
        Ok(grant) => grant,
        Err(refusal) => return Ok(refuse(refusal)),
    };
    if origin::is_preflight(&head) {
        let mut response = bytes(StatusCode::NO_CONTENT, "text/plain", Bytes::new());
        response.headers_mut().clear();
        grant.tell_before(&head.headers, response.headers_mut());
        return Ok(response);
    }
    let served = serve(&state, &current, endpoints, &head, endpoint, body).await;
    let mut response = served.unwrap_or_else(refuse);
    grant.tell(response.headers_mut());
    Ok(response)
}

/// Checks from where a request comes. A process supervisor may ask by any host name; the answer reveals nothing.
fn grant(state: &State, current: &Current, head: &Parts, endpoint: &Endpoint) -> Result<CorsGrant, Refusal> {
    if matches!(endpoint, Endpoint::Live | Endpoint::Ready | Endpoint::Root) {
        return Ok(CorsGrant::default());
    }
    if let Some(what) = origin::expects(&head.headers) {
        state.count_refusal(Reason::Request, head);
        let what = format!("nothing but `100-continue` can be expected here, not `{what}`: leave the header out");
        return Err(refusal(head, RefusalReason::Expects(&what)));
    }
    let is_admin = endpoint.has_admin_address();
    let grant = origin::look(&current.server, is_admin || !current.access.asks(), head);
    let grant = grant.and_then(|grant| if is_admin { grant.of_no_page() } else { Ok(grant) });
    grant.map_err(|stranger| refuse_page(state, head, &stranger))
}

/// Refuses a web page, or a client that looks like one, and names the setting that would allow it.
fn refuse_page(state: &State, head: &Parts, stranger: &OriginRefusal) -> Refusal {
    let (reason, what) = match stranger {
        OriginRefusal::NoHost => {
            state.count_refusal(Reason::Host, head);
            return refusal(head, RefusalReason::Request(&BadRequest::new("host", "must be there, and once")));
        }
        OriginRefusal::Host(host) => {
            (Reason::Host, format!("this is not `{host}`: ask by its address, or put the name into `server.hosts`"))
        }
        OriginRefusal::Page(page) => {
            (Reason::Page, format!("web pages of `{page}` may not ask here: see `server.allow_origins`"))
        }
        OriginRefusal::Operator(page) => {
            (Reason::Page, format!("web pages, as those of `{page}`, are no operators: ask here by a program"))
        }
    };
    state.count_refusal(reason, head);
    refusal(head, RefusalReason::Forbidden(&what))
}

/// Answers a request that is allowed.
async fn serve(
    state: &Arc<State>,
    current: &Current,
    endpoints: Endpoints,
    head: &Parts,
    endpoint: Endpoint,
    body: Incoming,
) -> Result<Response<ReplyBody>, Refusal> {
    let allowed = match endpoint {
        Endpoint::Live | Endpoint::Ready | Endpoint::Root => true,
        ref endpoint if endpoint.is_admin() => endpoints != Endpoints::Clients,
        _ => endpoints != Endpoints::Admin,
    };
    if !allowed {
        return Err(nothing(state, head));
    }
    if endpoint.is_admin() {
        if let Err(denied) = admin::operator(state, head) {
            return Ok(denied);
        }
        if let Some(kind) = origin::other_content(&head.headers) {
            state.count_refusal(Reason::Content, head);
            let what = format!("a body that is `{kind}` is not read here: the address says all; send none");
            return Ok(admin::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
        }
    }
    let admit = |dialect| Caller::admit(state, current, head, dialect);
    Ok(match endpoint {
        Endpoint::Chat { caller_dialect, model, stream } => {
            let read = move |body: &Bytes| serve::read(caller_dialect, model.as_deref(), stream, body);
            converse(&admit(caller_dialect)?, body, read).await?
        }
        // Only a provider of the caller's own dialect can do that.
        Endpoint::Compact => {
            let dialect = CallerDialect::OpenAiResponses;
            let read = move |body: &Bytes| serve::read(dialect, None, false, body).map(ParsedRequest::compacting);
            converse(&admit(dialect)?, body, read).await?
        }
        Endpoint::Kept { id, action } => background::act(&admit(CallerDialect::OpenAiResponses)?, &id, action).await?,
        Endpoint::Embed { caller_dialect, model } => {
            let caller = admit(caller_dialect)?;
            let read = move |body: &Bytes| serve::read_embed(caller_dialect, model.as_deref(), body);
            let (asked, place) = caller.take(body, read).await?;
            chat::embed(&caller, asked, place).await?
        }
        Endpoint::CountTokens { caller_dialect, model } => {
            let read = move |body: &Bytes| serve::read(caller_dialect, model.as_deref(), false, body);
            count(&admit(caller_dialect)?, body, read).await?
        }
        Endpoint::Models { caller_dialect, one } => models(&admit(caller_dialect)?, one.as_deref())?,
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
            state.count_refusal(Reason::Address, head);
            let what = format!("{} takes {allow}, not {}", head.uri.path(), head.method);
            let mut refusal = refusal(head, RefusalReason::WrongMethod(&what));
            refusal.headers.insert(ALLOW, HeaderValue::from_static(allow));
            return Err(refusal);
        }
        Endpoint::Unknown => return Err(nothing(state, head)),
    })
}

/// Answers a conversation.
async fn converse(
    caller: &Caller<'_>,
    body: Incoming,
    read: impl FnOnce(&Bytes) -> Result<ParsedRequest, BadRequest> + Send + 'static,
) -> Result<Response<ReplyBody>, Refusal> {
    let (asked, place) = caller.take(body, read).await?;
    if asked.is_in_background() {
        return background::begin(caller, asked, place).await;
    }
    chat::answer(caller, asked, place).await
}

/// How long connections may wait for a place before clients should ask elsewhere.
const FULL_MAX: Duration = Duration::from_secs(5);

/// Tells whether there has been no place for connections for some time.
fn is_full(state: &State) -> bool {
    state.places.full_for().is_some_and(|time| time >= FULL_MAX)
}

/// Lists the models that a caller may ask for, or one of them.
fn models(caller: &Caller<'_>, one: Option<&str>) -> Result<Response<ReplyBody>, Refusal> {
    let mut known = caller.current.models.iter().filter(|listing| caller.may(&listing.id));
    let body = match one {
        None => serve::models(caller.dialect, &known.cloned().collect::<Vec<_>>()),
        Some(one) => {
            let none = || {
                let problem = format!("there is no model `{one}`, or it is not for this key");
                caller.turn_away(Reason::Route, RefusalReason::NotFound(&problem))
            };
            serve::model(caller.dialect, known.find(|listing| listing.id == one).ok_or_else(none)?)
        }
    };
    Ok(bytes(StatusCode::OK, "application/json", body.into()))
}

/// Counts the tokens of a prompt.
async fn count(
    caller: &Caller<'_>,
    body: Incoming,
    read: impl FnOnce(&Bytes) -> Result<ParsedRequest, BadRequest> + Send + 'static,
) -> Result<Response<ReplyBody>, Refusal> {
    let (ParsedRequest { mut request, .. }, _place) = caller.take(body, read).await?;
    caller.lead(&mut request.route)?;
    let runtime = caller.state.runtime.clone();
    let length = request.original.as_ref().map_or(0, |original| original.body.len());
    let tokens = caller.state.intake.apart(length, move || runtime.estimate_tokens(*request)).await;
    let tokens = tokens.map_err(|error| caller.turn_away(Reason::Request, RefusalReason::Call(&error)))?;
    Ok(bytes(StatusCode::OK, "application/json", serve::count_tokens(caller.dialect, tokens).into()))
}

/// Returns the refusal of a request of which only the head is known: its address tells the dialect.
fn refusal(head: &Parts, reason: RefusalReason<'_>) -> Refusal {
    let caller_dialect = match head.uri.path() {
        path if path.starts_with("/v1beta") => CallerDialect::Gemini,
        path if path.contains("/messages") => CallerDialect::Anthropic,
        _ => CallerDialect::OpenAiChat,
    };
    serve::refuse(caller_dialect, reason)
}

fn nothing(state: &State, head: &Parts) -> Refusal {
    state.count_refusal(Reason::Address, head);
    let (method, path) = (&head.method, head.uri.path());
    // A field that older clients look for.
    let instead =
        if path.ends_with("/completions") { "; conversations are answered at /v1/chat/completions" } else { "" };
    let what = format!("there is nothing at {method} {path}{instead}");
    refusal(head, RefusalReason::Nowhere(&what))
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

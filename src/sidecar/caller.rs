//! Who asks: the head of a request, its dialect, and the client whose key it shows.
//!
//! Input: a head, then a body. Output: the request as its client may make it, or a refusal in its dialect.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::request::Parts;
use hyper::body::Incoming;

use super::access::{Client, Denied};
use super::intake::{BodyMemory, ParsedBody};
use super::origin;
use super::pipelining::ConnectionState;
use super::refusals::Reason;
use super::state::{Current, State, now};
use crate::wire::serve::{self, BadRequest, CallerDialect, Refusal, RefusalReason};
use crate::words::NAME_BYTES_MAX;
use crate::words::names::Shown;

/// Who asks, and by which settings it is answered.
pub(super) struct Caller<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) current: &'a Current,
    pub(super) head: &'a Parts,
    pub(super) dialect: CallerDialect,
    /// `None` where no keys are configured.
    client: Option<&'a Client>,
}

impl<'a> Caller<'a> {
    /// Checks a caller's access, or refuses it in its dialect.
    pub(super) fn admit(
        state: &'a Arc<State>,
        current: &'a Current,
        head: &'a Parts,
        dialect: CallerDialect,
    ) -> Result<Self, Refusal> {
        match current.access.admit(&head.headers, head.uri.query(), now()) {
            Ok(client) => Ok(Self { state, current, head, dialect, client }),
            Err(denied) => {
                let (reason, refused) = match denied {
                    Denied::Unknown => (Reason::Key, RefusalReason::Unauthorised),
                    Denied::Operator => {
                        let what = "this key is an operator's, which makes no calls: ask with a client's key";
                        (Reason::Key, RefusalReason::Forbidden(what))
                    }
                    Denied::TooMany(wait) => (Reason::Limit, RefusalReason::TooMany(wait)),
                };
                state.count_refusal(reason, head);
                Err(serve::refuse(dialect, refused))
            }
        }
    }

    /// Returns a refusal in its dialect.
    pub(super) fn refuse(&self, reason: RefusalReason<'_>) -> Refusal {
        serve::refuse(self.dialect, reason)
    }

    /// Returns the refusal of a request that is not as it must be, and counts it.
    pub(super) fn bad(&self, bad: &BadRequest) -> Refusal {
        self.turn_away(Reason::Request, RefusalReason::Request(bad))
    }

    /// Returns a refusal, and counts it.
    pub(super) fn turn_away(&self, counted: Reason, reason: RefusalReason<'_>) -> Refusal {
        self.state.count_refusal(counted, self.head);
        self.refuse(reason)
    }

    /// Returns its client's name, if it has one.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.client.map(|client| client.name.as_str())
    }

    /// Receives its body and reads it.
    pub(super) async fn take<T: ParsedBody>(
        &self,
        body: Incoming,
        read: impl FnOnce(&Bytes) -> Result<T, BadRequest> + Send + 'static,
    ) -> Result<(T, BodyMemory), Refusal> {
        let (state, headers) = (self.state, &self.head.headers);
        if state.mark.is_on(headers) {
            let what = "this request was sent from here: the `base_url` of a provider leads back to this sidecar's own \
                        address";
            return Err(self.turn_away(Reason::Loop, RefusalReason::Loop(what)));
        }
        if let Some(kind) = origin::other_content(headers) {
            let what = format!("bodies are read as JSON, not as `{kind}`: send it with content-type: application/json");
            return Err(self.turn_away(Reason::Content, RefusalReason::Encoded(&what)));
        }
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let what = format!("bodies are read as they are, not in {encoding:?}: send it without content-encoding");
            return Err(self.turn_away(Reason::Content, RefusalReason::Encoded(&what)));
        }
        let taken = async {
            let (body, mut place) = state.intake.take(body, &self.current.server, self.dialect).await?;
            let asked = state.intake.read(body, &mut place, self.dialect, read).await?;
            self.head.extensions.get::<Arc<ConnectionState>>().iter().for_each(|line| line.has_arrived());
            Ok((asked, place))
        };
        taken.await.inspect_err(|refusal: &Refusal| {
            let is_full = refusal.headers.contains_key(RETRY_AFTER);
            state.count_refusal(if is_full { Reason::Bodies } else { Reason::Request }, self.head);
        })
    }

    /// Finds the route that it asks for, if it may.
    pub(super) fn lead(&self, route: &mut String) -> Result<(), Refusal> {
        if route.len() > NAME_BYTES_MAX {
            let problem = format!("is a name of {} bytes; {NAME_BYTES_MAX} are the most", route.len());
            return Err(self.bad(&BadRequest::new("model", problem)));
        }
        self.current.route(route);
        if self.may(route) {
            return Ok(());
        }
        let problem = format!("there is no model `{route}`, or it is not for this key");
        Err(self.turn_away(Reason::Route, RefusalReason::NotFound(&problem)))
    }

    /// Tells whether it may ask for a route.
    pub(super) fn may(&self, route: &str) -> bool {
        self.client.is_none_or(|client| client.may(route))
    }

    /// Refuses a field by which a gateway behind a target might choose a model that the client's key does not allow:
    /// each that is not known to choose nothing, unless the key's own list has it.
    pub(super) fn keep_to_routes<'f>(
        &self,
        mut fields: impl Iterator<Item = &'f String>,
        is_published: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let Some(client) = self.client.filter(|client| client.is_limited()) else { return Ok(()) };
        let Some(field) = fields.find(|field| !is_published(field) && !client.may_send(field)) else { return Ok(()) };
        let field = Shown(field).to_string();
        let problem = "is none of this dialect's own fields, so a gateway may choose by it who answers, and this key \
                       opens its routes alone: leave it out, or have it allowed by `fields` of the key";
        Err(self.turn_away(Reason::Route, RefusalReason::Request(&BadRequest::new(&field, problem))))
    }
}

//! How a try can fail. `wire` and `transport` report failures, `policy` decides what follows; these types are all they
//! share.

use std::fmt;
use std::time::{Duration, SystemTime};

/// The class of an attempt's failure; code branches on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailureClass {
    /// A connection broke before the first byte of a response, as idle pooled connections do. Not a fault; the same
    /// target is asked once more at once.
    Unsent,
    /// Refused, no such host, TLS, connect timeout. The provider's fault; nothing was sent.
    Connect,
    /// 500, 502, 504, a route that is missing, or a gateway's page. The provider's fault.
    Server,
    /// 503, 529, or words to that effect. The provider's fault.
    Overloaded,
    /// Too many requests or tokens for now. A limit of the account.
    RateLimited,
    /// This one request is larger than the limit a minute allows, or than its gateway takes: waiting never helps.
    RequestExceedsLimit,
    /// The account has no money or met its spending limit.
    OutOfMoney,
    /// The key is wrong, revoked or lacks permission.
    Unauthorised,
    /// Region, project, terms: the key is good, and not allowed this. Another key may be.
    Forbidden,
    /// The model does not exist, is retired, or is not for this account.
    ModelGone,
    /// There is nothing at the provider's address, which lacks the path that is known of it. The configuration's fault.
    WrongAddress,
    /// The request is malformed by this provider's rules, and the provider names the malformed part. The next target is
    /// asked, whose rules may be others; with [`Scope::Request`] it can be right nowhere, and the call ends.
    BadRequest,
    /// Refused, and nothing proves that the request is at fault: an empty 400, a gateway's 415. Another target may take
    /// it.
    Declined,
    /// This target cannot do what the request asks (a parameter, a capability); another may.
    Unsupported,
    /// The conversation is longer than the model's window; another model's may be larger.
    ContextTooLong,
    /// The provider's filter refused the request or the answer.
    ContentPolicy,
    /// No content in time; headers or keep-alives may have come.
    NoFirstToken,
    /// Content began and then paused for too long.
    Stalled,
    /// The stream ended without its end, or broke the protocol.
    Cut,
    /// The answer ended well, but it is empty.
    Empty,
    /// The answer ended well, but not in the form that was asked for.
    Unusable,
    /// The attempt itself panicked or was killed. Our fault.
    Crashed,
    /// This machine lacks what an attempt takes: sockets, memory, a resolver. The fault is on this side.
    Lack,
    /// Its caller left, or no longer read the answer. Not a fault.
    CallerLeft,
    /// A holder of its call ended the call. Not a fault.
    Cancelled,
    /// Its call ended before it did: by a deadline, by what another attempt was told, or by a crash. Not a fault.
    CallEnded,
    /// The runtime stopped. Not a fault.
    Stopped,
    /// Another attempt of its call was faster. Not a fault.
    HedgeLost,
}

impl FailureClass {
    /// Every class, for tables and metrics.
    pub const ALL: [Self; 28] = [
        Self::Unsent,
        Self::Connect,
        Self::Server,
        Self::Overloaded,
        Self::RateLimited,
        Self::RequestExceedsLimit,
        Self::OutOfMoney,
        Self::Unauthorised,
        Self::Forbidden,
        Self::ModelGone,
        Self::WrongAddress,
        Self::BadRequest,
        Self::Declined,
        Self::Unsupported,
        Self::ContextTooLong,
        Self::ContentPolicy,
        Self::NoFirstToken,
        Self::Stalled,
        Self::Cut,
        Self::Empty,
        Self::Unusable,
        Self::Crashed,
        Self::Lack,
        Self::CallerLeft,
        Self::Cancelled,
        Self::CallEnded,
        Self::Stopped,
        Self::HedgeLost,
    ];

    /// Returns the class's name as metrics and logs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Connect => "connect",
            Self::Server => "server",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::RequestExceedsLimit => "request_exceeds_limit",
            Self::OutOfMoney => "out_of_money",
            Self::Unauthorised => "unauthorised",
            Self::Forbidden => "forbidden",
            Self::ModelGone => "model_gone",
            Self::WrongAddress => "wrong_address",
            Self::BadRequest => "bad_request",
            Self::Declined => "declined",
            Self::Unsupported => "unsupported",
            Self::ContextTooLong => "context_too_long",
            Self::ContentPolicy => "content_policy",
            Self::NoFirstToken => "no_first_token",
            Self::Stalled => "stalled",
            Self::Cut => "cut",
            Self::Empty => "empty",
            Self::Unusable => "unusable",
            Self::Crashed => "crashed",
            Self::Lack => "lack",
            Self::CallerLeft => "caller_left",
            Self::Cancelled => "cancelled",
            Self::CallEnded => "call_ended",
            Self::Stopped => "stopped",
            Self::HedgeLost => "hedge_lost",
        }
    }

    /// Tells whether it is no failure: no call wanted the answer any more.
    pub const fn is_unwanted(self) -> bool {
        matches!(self, Self::CallerLeft | Self::Cancelled | Self::CallEnded | Self::Stopped | Self::HedgeLost)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a failure's verdict reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Only this request.
    Request,
    /// The key it was sent with.
    Key,
    /// The model, with any key.
    Model,
    /// The endpoint: all models behind this base URL.
    Endpoint,
}

/// When a provider asks to be asked again. A date is turned into an instant once, at the response's head, by the code
/// that has a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// That long from the response's head.
    After(Duration),
    /// At that date by the provider's clock.
    At(SystemTime),
}

/// One attempt's failure. Code branches on `class`; the rest is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure.
    pub class: FailureClass,
    /// How far it reaches.
    pub scope: Scope,
    /// The HTTP status, where one came.
    pub status: Option<u16>,
    /// The provider's own code or type, as it spelled it.
    pub code: Option<String>,
    /// The field of the request that the provider names, as it spelled it.
    pub param: Option<String>,
    /// The provider's own words, cut to 500 characters, or ours.
    pub message: String,
    /// When to come back, where the provider said so and it means something.
    pub retry_after: Option<RetryAfter>,
}

impl Failure {
    /// Returns a failure of a class with its usual scope.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        let scope = class.consequences().scope;
        Self { class, scope, status: None, code: None, param: None, message: message.into(), retry_after: None }
    }

    /// Returns how far it reaches at a provider with this number of keys. Providers tell a key without permission that
    /// the model does not exist: unless the model was retired, another key may see it.
    pub fn reach(&self, keys: usize, is_retirement: bool) -> Scope {
        let hidden = self.class == FailureClass::ModelGone && !is_retirement;
        if hidden && keys > 1 { Scope::Key } else { self.scope }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.class)?;
        if let Some(status) = self.status {
            write!(f, " ({status})")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

//! The classes of failures, and how far each reaches: code branches on these.

use super::named::named;

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
    LocalShortage,
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

named!(FailureClass {
    Unsent = "unsent",
    Connect = "connect",
    Server = "server",
    Overloaded = "overloaded",
    RateLimited = "rate_limited",
    RequestExceedsLimit = "request_exceeds_limit",
    OutOfMoney = "out_of_money",
    Unauthorised = "unauthorised",
    Forbidden = "forbidden",
    ModelGone = "model_gone",
    WrongAddress = "wrong_address",
    BadRequest = "bad_request",
    Declined = "declined",
    Unsupported = "unsupported",
    ContextTooLong = "context_too_long",
    ContentPolicy = "content_policy",
    NoFirstToken = "no_first_token",
    Stalled = "stalled",
    Cut = "cut",
    Empty = "empty",
    Unusable = "unusable",
    Crashed = "crashed",
    LocalShortage = "lack",
    CallerLeft = "caller_left",
    Cancelled = "cancelled",
    CallEnded = "call_ended",
    Stopped = "stopped",
    HedgeLost = "hedge_lost",
});

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
named!(Scope { Request = "request", Key = "key", Model = "model", Endpoint = "endpoint" });

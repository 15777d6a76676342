//! How a call without an answer is refused: its status, headers and body, or the event that ends its stream, in the
//! caller's dialect.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::{BadRequest, CallerDialect};
use crate::words::consequence::{CallerStatus, Next};
use crate::words::{Cause, Error, FailureClass, UnavailableTarget};

/// When to come back where no provider said: the shortest time that a header can say.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// The longest time that a caller is told to wait for a target: no hold that a provider told is longer. A budget has
/// room when it says, and not before.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Statuses of providers that are only about the request, and so are passed on to the caller. Others (a key, a route, a
/// limit) are between us and the provider.
const SPEAKING: [u16; 7] = [400, 409, 413, 414, 415, 422, 431];

/// Why a request gets no answer.
#[derive(Clone, Copy, Debug)]
pub enum RefusalReason<'a> {
    /// The body cannot be understood.
    Request(&'a BadRequest),
    /// The call failed.
    Call(&'a Error),
    /// The caller showed no key, or a wrong one.
    Unauthorised,
    /// The caller may not ask from its origin or by this name; with the remedy.
    Forbidden(&'a str),
    /// There is no model by this name; with the names that there are.
    NotFound(&'a str),
    /// No answer of this id is kept; says why.
    NotKept(&'a str),
    /// There is nothing at this address; says where there is something.
    Nowhere(&'a str),
    /// The address takes another method; says which.
    WrongMethod(&'a str),
    /// The body is encoded in a way that is not read; says which.
    Encoded(&'a str),
    /// The caller's `expect` header is not supported; with its value.
    Expects(&'a str),
    /// The body is longer than this number of bytes.
    TooLong(usize),
    /// The caller asked too often; when to come back.
    TooMany(Duration),
    /// There is no room for another body now.
    Full,
    /// The request was sent from here; says how.
    Loop(&'a str),
}

/// A refusal, to be sent before any content.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The content's type; when to come back; and whether clients may ask again by themselves.
    pub headers: HeaderMap,
    /// An error in the caller's dialect.
    pub body: Vec<u8>,
}

/// Returns a refusal in the caller's dialect.
pub fn refuse(caller_dialect: CallerDialect, refused: RefusalReason<'_>) -> Refusal {
    let fault = match refused {
        RefusalReason::Request(bad) => {
            Fault { field: Some(bad.field.clone()), ..Fault::new(Kind::Invalid, bad.to_string()) }
        }
        RefusalReason::Call(error) => Fault::of(error),
        RefusalReason::Unauthorised => Fault::new(Kind::Unauthorised, "the key is missing or wrong".to_owned()),
        RefusalReason::Forbidden(what) => Fault::new(Kind::Forbidden, what.to_owned()),
        RefusalReason::NotFound(what) => Fault::new(Kind::NotFound, what.to_owned()),
        RefusalReason::NotKept(what) => Fault::new(Kind::NotKept, what.to_owned()),
        RefusalReason::Nowhere(what) => Fault::new(Kind::Nowhere, what.to_owned()),
        RefusalReason::WrongMethod(what) => Fault::new(Kind::WrongMethod, what.to_owned()),
        RefusalReason::Encoded(what) => Fault::new(Kind::Encoded, what.to_owned()),
        RefusalReason::Expects(what) => {
            let status = Some(StatusCode::EXPECTATION_FAILED.as_u16());
            Fault { status, ..Fault::new(Kind::Invalid, what.to_owned()) }
        }
        RefusalReason::TooLong(bytes_max) => {
            Fault::new(Kind::TooLarge, format!("the body is longer than {bytes_max} bytes"))
        }
        RefusalReason::Full => Fault {
            retry_after: Some(RETRY_AFTER_MIN),
            is_final: false,
            ..Fault::new(Kind::Unavailable, "there is no room for another body now; ask again".to_owned())
        },
        RefusalReason::Loop(what) => {
            let status = Some(StatusCode::LOOP_DETECTED.as_u16());
            Fault { status, ..Fault::new(Kind::Unavailable, what.to_owned()) }
        }
        RefusalReason::TooMany(wait) => Fault {
            retry_after: Some(wait.min(RETRY_AFTER_MAX)),
            is_final: false,
            ..Fault::new(Kind::RateLimited, "too many requests with this key".to_owned())
        },
    };
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = fault.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
    }
    if fault.is_final {
        // The SDKs of two vendors obey it; all retries have been made.
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
    Refusal { status: fault.status(caller_dialect), headers, body: fault.body(caller_dialect).to_string().into_bytes() }
}

/// Tells whether a provider's code says what was wrong: no status, and no kind of error.
fn is_code(code: &str) -> bool {
    !code.ends_with("_error") && code.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Tells whether what failed may be well again in a moment, by itself.
fn passes(class: FailureClass) -> bool {
    matches!(class.consequences().next, Next::Resend | Next::Pause | Next::Silence)
}

/// Returns a time to wait in whole seconds, as it goes out: counted as the error's text counts it.
fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.max(RETRY_AFTER_MIN).as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// The kind of an error, in terms that all dialects have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invalid,
    Unauthorised,
    Forbidden,
    NotFound,
    Nowhere,
    WrongMethod,
    Encoded,
    Conflict,
    NotKept,
    Cancelled,
    ContextTooLong,
    ContentPolicy,
    TooLarge,
    RateLimited,
    OverBudget,
    Unavailable,
    NeedsOperator,
    NoAnswer,
    Timeout,
    Internal,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) message: String,
    field: Option<String>,
    retry_after: Option<Duration>,
    /// The provider's own status, where it says more than ours.
    status: Option<u16>,
    /// The provider's own code, for where ours says nothing.
    code: Option<String>,
    /// Whether asking again at once is of no use: it is the caller's fault, or targets were tried.
    is_final: bool,
}

impl Fault {
    fn new(kind: Kind, message: String) -> Self {
        Self { kind, message, field: None, retry_after: None, status: None, code: None, is_final: true }
    }

    /// Returns the fault of an answer that broke off in a way that cannot be told.
    pub(super) fn broken(message: String) -> Self {
        Self::new(Kind::Unavailable, format!("the answer broke off: {message}"))
    }

    /// Returns the fault of a failed call's error.
    pub(super) fn of(error: &Error) -> Self {
        let message = error.to_string();
        let soon = |retry_after: Option<Duration>| Self {
            retry_after,
            is_final: false,
            ..Self::new(Kind::Unavailable, message.clone())
        };
        match error {
            Error::Invalid { field, problem } if matches!(field.as_str(), "route" | "target") => {
                Self { field: Some("model".to_owned()), ..Self::new(Kind::NotFound, problem.clone()) }
            }
            Error::Invalid { field, .. } | Error::NoTargetTakes { field, .. } => {
                Self { field: Some(field.clone()), ..Self::new(Kind::Invalid, message) }
            }
            Error::NoTarget { .. } => Self::new(Kind::Invalid, message),
            Error::TooLong { .. } => Self::new(Kind::ContextTooLong, message),
            Error::Rejected { failure, .. } => Self {
                status: failure.status.filter(|status| SPEAKING.contains(status)),
                code: failure.code.clone().filter(|code| is_code(code)),
                field: failure.param.clone(),
                ..Self::new(Kind::of(failure.class), message)
            },
            Error::Interrupted { failure, .. } => Self::new(Kind::of(failure.class), message),
            Error::Exhausted { retry_after, barred, .. } => {
                let class = error.last_class();
                let kind = Kind::of_all(barred, class);
                // Until an operator has acted the next answer is the same, and when that will be is not known.
                if kind == Kind::NeedsOperator {
                    return Self::new(kind, message);
                }
                let retry_after = retry_after.or_else(|| class.is_some_and(passes).then_some(RETRY_AFTER_MIN));
                let retry_after = retry_after.map(|wait| wait.min(RETRY_AFTER_MAX));
                // A client that is told when to come back may come back by itself.
                let is_final = retry_after.is_none() && class.is_some();
                Self { retry_after, is_final, ..Self::new(kind, message) }
            }
            // Calls in flight have reserved what is left, and take less than that.
            Error::OverBudget { budget, .. } if budget.is_in_flight() => {
                Self { retry_after: Some(RETRY_AFTER_MIN), is_final: false, ..Self::new(Kind::RateLimited, message) }
            }
            // It may ask again then, and not at once.
            Error::OverBudget { budget, .. } => {
                Self { retry_after: budget.renews_in, ..Self::new(Kind::OverBudget, message) }
            }
            Error::DeadlineExceeded { .. } | Error::ConsumerStalled(_) => Self::new(Kind::Timeout, message),
            Error::Overloaded { retry_after, .. } => soon(Some(retry_after.unwrap_or_default().max(RETRY_AFTER_MIN))),
            Error::Unavailable | Error::Draining => soon(Some(RETRY_AFTER_MIN)),
            Error::KeyConflict => {
                Self { field: Some("idempotency-key".to_owned()), ..Self::new(Kind::Conflict, message) }
            }
            Error::NotDurable(_) => Self::new(Kind::Unavailable, message),
            Error::Unopened(_) => Self::new(Kind::NeedsOperator, message),
            Error::NotKept(_) => Self::new(Kind::NotKept, message),
            Error::Cancelled => Self::new(Kind::Cancelled, message),
            Error::Crashed => Self::new(Kind::Internal, message),
        }
    }

    fn status(&self, caller_dialect: CallerDialect) -> StatusCode {
        self.status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or_else(|| self.kind.status(caller_dialect))
    }

    /// Returns the message. Where a dialect has no code for it, agents that shorten a conversation by themselves look
    /// for the vendor's words.
    fn said(&self, caller_dialect: CallerDialect) -> String {
        let words = match (self.kind, caller_dialect) {
            (Kind::ContextTooLong, CallerDialect::Anthropic) => "prompt is too long: ",
            (Kind::ContextTooLong, CallerDialect::Gemini) => {
                "the input token count exceeds the maximum number of tokens allowed: "
            }
            _ => "",
        };
        format!("{words}{}", self.message)
    }

    /// Returns the body of the error, which is an event's data as well.
    pub(super) fn body(&self, caller_dialect: CallerDialect) -> Value {
        match caller_dialect {
            CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses => {
                let (kind, code) = self.kind.openai();
                let code = code.or(self.code.as_deref());
                let param = self.field.as_deref().filter(|field| !field.is_empty());
                json!({"error": {"message": self.message, "type": kind, "param": param, "code": code}})
            }
            CallerDialect::Anthropic => {
                json!({"type": "error", "error": {"type": self.kind.anthropic(), "message": self.said(caller_dialect)}})
            }
            CallerDialect::Gemini => {
                let code = self.status(caller_dialect).as_u16();
                let mut error =
                    json!({"code": code, "message": self.said(caller_dialect), "status": self.kind.gemini()});
                if let Some(wait) = self.retry_after {
                    let delay = format!("{}s", seconds(wait));
                    error["details"] = json!([
                        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
                    ]);
                }
                json!({"error": error})
            }
        }
    }
}

impl Error {
    /// Returns why the last attempt failed.
    fn last_class(&self) -> Option<FailureClass> {
        match &self.attempts().last()?.end {
            crate::words::AttemptEnd::Failed(failure) => Some(failure.class),
            crate::words::AttemptEnd::Won => None,
        }
    }
}

impl Kind {
    /// Returns the refusal of a call that no target can answer. Where only limits are mended by time, it is a limit,
    /// computed again for each call, whether a target was asked or not; where nothing is, an operator has to act. Else
    /// the last failure counts, if there was one; but one target's limit is no limit of all, nor is one target's key
    /// the key of all.
    fn of_all(barred: &[UnavailableTarget], last: Option<FailureClass>) -> Self {
        let mut passing = barred.iter().map(|one| one.cause).filter(|cause| cause.passes()).peekable();
        let limits =
            passing.peek().is_some() && passing.all(|cause| cause == Cause::Failure(FailureClass::RateLimited));
        let is_lasting = !barred.is_empty() && barred.iter().all(|one| !one.cause.passes());
        match last.map_or(Self::Unavailable, Self::of) {
            _ if limits => Self::RateLimited,
            Self::RateLimited | Self::Unavailable | Self::NeedsOperator if is_lasting => Self::NeedsOperator,
            Self::RateLimited | Self::NeedsOperator if !barred.is_empty() => Self::Unavailable,
            kind => kind,
        }
    }

    fn of(class: FailureClass) -> Self {
        match class.consequences().status {
            CallerStatus::Invalid => Self::Invalid,
            CallerStatus::ContextTooLong => Self::ContextTooLong,
            CallerStatus::ContentPolicy => Self::ContentPolicy,
            CallerStatus::TooLarge => Self::TooLarge,
            CallerStatus::RateLimited => Self::RateLimited,
            CallerStatus::NoAnswer => Self::NoAnswer,
            CallerStatus::Internal => Self::Internal,
            CallerStatus::Unavailable => Self::Unavailable,
            CallerStatus::NeedsOperator => Self::NeedsOperator,
        }
    }

    fn status(self, caller_dialect: CallerDialect) -> StatusCode {
        match self {
            Self::Invalid | Self::ContextTooLong | Self::ContentPolicy => StatusCode::BAD_REQUEST,
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::Nowhere | Self::NotKept => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Cancelled => StatusCode::from_u16(499).expect("a number of three digits is a status"),
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::OverBudget if caller_dialect == CallerDialect::Anthropic => StatusCode::PAYMENT_REQUIRED,
            Self::RateLimited | Self::OverBudget => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable if caller_dialect == CallerDialect::Anthropic => {
                StatusCode::from_u16(529).expect("a number of three digits is a status")
            }
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // 401, 402 and 404 would speak of the caller's key, account and model, and every SDK waits for a 503.
            Self::NeedsOperator => StatusCode::FAILED_DEPENDENCY,
            Self::NoAnswer => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns type and code as OpenAI spells them.
    pub(super) const fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Invalid | Self::Nowhere | Self::NotKept | Self::WrongMethod | Self::Encoded => {
                ("invalid_request_error", None)
            }
            Self::Conflict => ("invalid_request_error", Some("idempotency_conflict")),
            Self::Cancelled => ("invalid_request_error", Some("cancelled")),
            Self::Unauthorised => ("invalid_request_error", Some("invalid_api_key")),
            Self::Forbidden => ("invalid_request_error", Some("forbidden")),
            Self::NotFound => ("invalid_request_error", Some("model_not_found")),
            Self::ContextTooLong => ("invalid_request_error", Some("context_length_exceeded")),
            Self::ContentPolicy => ("invalid_request_error", Some("content_policy_violation")),
            Self::TooLarge => ("invalid_request_error", Some("request_too_large")),
            Self::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
            Self::OverBudget => ("insufficient_quota", Some("insufficient_quota")),
            Self::Unavailable => ("service_unavailable_error", Some("server_is_overloaded")),
            Self::NeedsOperator => ("server_error", Some("needs_operator")),
            Self::NoAnswer => ("server_error", Some("no_answer")),
            Self::Timeout => ("server_error", Some("timeout")),
            Self::Internal => ("server_error", None),
        }
    }

    const fn anthropic(self) -> &'static str {
        match self {
            Self::Invalid
            | Self::ContextTooLong
            | Self::ContentPolicy
            | Self::WrongMethod
            | Self::Encoded
            | Self::Conflict
            | Self::Cancelled => "invalid_request_error",
            Self::Unauthorised => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::NotFound | Self::Nowhere | Self::NotKept => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimited => "rate_limit_error",
            Self::OverBudget => "billing_error",
            Self::Unavailable => "overloaded_error",
            Self::Timeout => "timeout_error",
            Self::NeedsOperator | Self::NoAnswer | Self::Internal => "api_error",
        }
    }

    const fn gemini(self) -> &'static str {
        match self {
            Self::Invalid
            | Self::ContextTooLong
            | Self::ContentPolicy
            | Self::TooLarge
            | Self::WrongMethod
            | Self::Encoded => "INVALID_ARGUMENT",
            Self::Unauthorised => "UNAUTHENTICATED",
            Self::Forbidden => "PERMISSION_DENIED",
            Self::NotFound | Self::Nowhere | Self::NotKept => "NOT_FOUND",
            Self::Conflict => "ABORTED",
            Self::Cancelled => "CANCELLED",
            Self::RateLimited | Self::OverBudget => "RESOURCE_EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            // "The client should not retry until the system state has been explicitly fixed."
            Self::NeedsOperator => "FAILED_PRECONDITION",
            Self::Timeout => "DEADLINE_EXCEEDED",
            Self::NoAnswer | Self::Internal => "INTERNAL",
        }
    }
}

//! Classifies a provider's errors: an answer that is not 2xx, or an error inside one that is.
//!
//! Input: status, headers and body. Output: a [`Failure`]. Error bodies have a dozen shapes, and gateways pass on those
//! of others, so every shape is known in every dialect; content types lie, so a body is JSON if it parses. Codes and
//! texts weigh more than the status: invalid keys, missing models and empty accounts come with 400, misuse with 500,
//! rate limits with 200. What follows from a class is not known here.

mod accounts;
mod body;
mod codes;
mod fault;
mod overflow;
mod tables;
mod inabilities;
mod rules;

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use self::body::{DAILY_WAIT, ErrorBody};
use super::drift::tidied;
use super::tidy::begin;
pub use super::when::Zone;
use super::{headers, when};
use crate::words::consequence::{Consequences, FaultOwner};
use crate::words::{Drift, DriftKind, Failure, FailureClass, RetryAfter, Scope};

/// How much of an error's body is read. The longest seen, with a whole traceback inside, has 20 kB.
pub const ERROR_BYTES_MAX: usize = 256 << 10;

/// The request that an error may be about. Without it, less can be proven.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    /// The model's name in the request; empty if it is not known.
    pub model: &'a str,
    /// Length of the prompt, as estimated.
    pub prompt_tokens: u32,
    /// What time it was at the provider when it answered.
    pub now: Option<SystemTime>,
    /// The zone of the provider's clock, where it names none.
    pub home: Zone,
}

/// Classifies an answer that is not 2xx. Of the body the first [`ERROR_BYTES_MAX`] bytes count; it may be JSON, a
/// gateway's page, or nothing. All dialects' errors are told apart in one way, since gateways mix them.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], sent: Sent<'_>) -> Failure {
    let text = String::from_utf8_lossy(&body[..body.len().min(ERROR_BYTES_MAX)]);
    let error = ErrorBody::parse(&text, sent.home);
    let hint = |error: &ErrorBody, wait| {
        let said = headers::stated(headers)
            .or(error.retry_after)
            .or_else(|| when::in_words(error.spoken(), sent.now, error.home))
            .or(error.reset);
        // Beside an account that is spent these are of other limits, or guesses.
        let of_limits =
            || headers::reset(headers).or_else(|| error.is_daily().then_some(RetryAfter::After(DAILY_WAIT)));
        said.or_else(|| if wait == Wait::Passes { of_limits() } else { None })
    };
    build(Some(status), &error, sent, hint)
}

/// The words of providers for a model that has been removed.
const RETIRED: &[&str] = &[
    "deprecated",
    "decommissioned",
    "retired",
    "sunset",
    "shut down",
    "was removed",
    "no longer available",
    "no longer supported",
    "end of life",
    "end-of-life",
];

/// Tells whether a provider refused a model because it was taken out of service, rather than because it knows none of
/// that name.
pub fn is_retirement(failure: &Failure) -> bool {
    let says = |text: &str| {
        let text = text.to_ascii_lowercase();
        RETIRED.iter().any(|word| text.contains(word))
    };
    failure.class == FailureClass::ModelGone && (says(&failure.message) || failure.code.as_deref().is_some_and(says))
}

/// The words of providers for thoughts in a request that they cannot read, or whose proof is missing: those of another
/// account or model, and damaged ones.
const THOUGHTS: &[&str] = &[
    // OpenAI and Azure, and of thoughts that they were to keep.
    "encrypted content",
    "encrypted_content",
    "id 'rs_",
    "item 'rs_",
    "required 'reasoning' item",
    // Anthropic, at any host.
    "invalid `signature`",
    "invalid signature in",
    "in `thinking` block",
    "in `redacted_thinking` block",
    "thinking.signature",
    "redacted_thinking.data",
    "latest assistant message cannot be modified",
    "expected `thinking` or `redacted_thinking`",
    // Google.
    "thought signature",
    "thought_signature",
    "thoughtsignature",
];

/// Tells whether a provider refused the thoughts that came back with a request: without them it may take it.
pub fn refuses_thoughts(failure: &Failure) -> bool {
    let text = failure.message.to_ascii_lowercase();
    failure.status.is_none_or(|status| matches!(status, 400 | 403 | 404 | 422))
        && (failure.code.as_deref() == Some("invalid_encrypted_content") || THOUGHTS.iter().any(|it| text.contains(it)))
}

/// Returns a failure's code if no rule knows it: the failure was then judged by its text and status.
pub fn unknown_code(failure: &Failure) -> Option<Drift> {
    let code = failure.code.as_deref().filter(|code| !rules::knows(code))?;
    Some(Drift { kind: DriftKind::Code, name: tidied(code).into() })
}

/// Tells whether a code, or a reason for the end of an answer, is that of a filter which only one host has.
pub(super) fn is_hosts_filter(code: &str) -> bool {
    tables::HOST_FILTERS.contains(&code)
}

/// Classifies an error that came inside an answer of status 200, be it the error object or what holds it.
pub(super) fn in_band(json: &str) -> Failure {
    let error = ErrorBody::parse(json, Zone::UTC);
    let hint = |error: &ErrorBody, _| {
        error.retry_after.or_else(|| when::in_words(&error.text, None, error.home)).or(error.reset)
    };
    build(error.status, &error, Sent::default(), hint)
}

/// Classifies JSON that should have been an answer, if it is an error instead.
pub(super) fn recognise(json: &str) -> Option<Failure> {
    let value: Value = serde_json::from_str(json).ok()?;
    body::is_error(&value).then(|| in_band(json))
}

/// Tells whether JSON that should have been an answer says that all is well, and nothing else.
pub(super) fn says_well(json: &str) -> bool {
    serde_json::from_str(json).is_ok_and(|value| body::is_success(&value))
}

fn build(
    status: Option<u16>,
    error: &ErrorBody,
    sent: Sent<'_>,
    hint: impl FnOnce(&ErrorBody, Wait) -> Option<RetryAfter>,
) -> Failure {
    let verdict = rules::judge(status, error, sent);
    let said = if error.message.is_empty() {
        status.and_then(|status| StatusCode::from_u16(status).ok()?.canonical_reason()).unwrap_or("no reason given")
    } else {
        &error.message
    };
    let retry_after =
        wait(verdict.class).and_then(|wait| hint(error, wait).filter(|told| wait.is_meant(verdict.class, *told)));
    // An account that is spent until a time is at a limit that time mends.
    let class = match verdict.class {
        FailureClass::OutOfMoney if retry_after.is_some() => FailureClass::RateLimited,
        class => class,
    };
    let failure = Failure::new(class, begin(said));
    Failure {
        scope: verdict.scope.unwrap_or(failure.scope),
        status,
        code: error.code().map(|code| begin(code).to_owned()),
        param: error.param.as_deref().map(|param| begin(param).to_owned()),
        retry_after,
        ..failure
    }
}

/// What a wait means that is told beside a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// What fails passes by itself.
    Passes,
    /// The account is spent, or refused, at least until then: a wait that is shorter than the usual hold means nothing.
    Lasts,
}

impl Wait {
    /// Tells whether a time that is told means what it says.
    fn is_meant(self, class: FailureClass, told: RetryAfter) -> bool {
        match told {
            RetryAfter::After(told) if self == Self::Lasts => {
                class.consequences().hold.is_none_or(|usual| told >= usual.time)
            }
            _ => true,
        }
    }
}

/// Returns what a wait beside a class of failures means, if anything.
fn wait(class: FailureClass) -> Option<Wait> {
    let Consequences { owner, obeys_retry_after, .. } = class.consequences();
    match owner {
        _ if obeys_retry_after => Some(Wait::Passes),
        FaultOwner::Account => Some(Wait::Lasts),
        FaultOwner::Provider | FaultOwner::Request | FaultOwner::Ours | FaultOwner::NotAFault => None,
    }
}

/// The result of the rules for an error; without a scope it has its class's usual one.
struct Verdict {
    class: FailureClass,
    scope: Option<Scope>,
}

#[cfg(test)]
mod tests;

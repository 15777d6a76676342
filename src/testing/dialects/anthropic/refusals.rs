//! The refusals of Anthropic, and of Google in front of it.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{LimitNames, REQUESTS};
use crate::testing::answer::BIRTH;
use crate::testing::dialects::hint::retry_after;
use crate::testing::dialects::json::{go_duration, put, quote};
use crate::testing::dialects::{Headers, Refusal};
use crate::testing::fault::{ProviderError, RetryHint};
use crate::testing::gauge::Allowance;
use crate::testing::gauge::whole_seconds;

/// The farthest reset from the provider's start: dates have four digits for the year.
const RESET_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
    Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";

/// The text of the proxy in front of Anthropic.
const NO_UPSTREAM: &str =
    "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: overflow";

const GOOGLE_BAD_GATEWAY: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 502 (Server Error)!!1</title>\n  \
    <p><b>502.</b> <ins>That\u{2019}s an error.</ins>\n  <p>The server encountered a temporary error and could not \
    complete your request.<p>Please try again in 30 seconds.  <ins>That\u{2019}s all we know.</ins>\n";

const TOO_LONG: &str = "prompt is too long: 200251 tokens > 200000 maximum";
const FILTERED: &str = "Output blocked by content filtering policy";
const NO_MESSAGES: &str = "messages: at least one message is required";
const NO_TEMPERATURE: &str = "`temperature` is deprecated for this model.";

/// Returns one of Anthropic's errors.
pub(super) fn own(error: ProviderError, model: &str) -> Refusal {
    let invalid = "invalid_request_error";
    match error {
        ProviderError::Server => refusal(500, "api_error", "Internal server error"),
        ProviderError::BadGateway => Refusal::page(502, BAD_GATEWAY),
        ProviderError::Unavailable => Refusal::page(503, NO_UPSTREAM),
        ProviderError::Overloaded => refusal(529, "overloaded_error", "Overloaded"),
        ProviderError::ContextTooLong => refusal(400, invalid, TOO_LONG),
        ProviderError::Unauthorised => refusal(401, "authentication_error", "invalid x-api-key"),
        ProviderError::OutOfMoney => refusal(
            400,
            invalid,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or \
             purchase credits.",
        ),
        // A retired model is answered like an unknown one.
        ProviderError::ModelGone | ProviderError::ModelRetired => {
            refusal(404, "not_found_error", &format!("model: {model}"))
        }
        ProviderError::Forbidden => Refusal {
            body: Bytes::from_static(br#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#),
            ..refusal(403, "forbidden", "")
        },
        ProviderError::Filtered => refusal(400, invalid, FILTERED),
        ProviderError::RequestExceedsLimit => refusal(429, "rate_limit_error", &exceeded("30,000 input tokens")),
        ProviderError::BadRequest => refusal(400, invalid, NO_MESSAGES),
        ProviderError::Unsupported => refusal(400, invalid, NO_TEMPERATURE),
        ProviderError::Timeout => refusal(504, "timeout_error", "Request timed out"),
    }
}

/// Returns one of the errors at Vertex AI: those about the account are Google's, those about the request Anthropic's.
pub(super) fn vertex(error: ProviderError, model: &str, streams: bool) -> Refusal {
    let resource = format!("projects/drill/locations/us-east5/publishers/anthropic/models/{model}");
    let (status, name, message) = match error {
        ProviderError::Server => (500, "INTERNAL", "Internal error encountered.".to_owned()),
        ProviderError::BadGateway => return Refusal::page(502, GOOGLE_BAD_GATEWAY),
        ProviderError::Unavailable => (503, "UNAVAILABLE", "The service is currently unavailable.".to_owned()),
        ProviderError::Timeout => {
            (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.".to_owned())
        }
        ProviderError::Unauthorised => (
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
             valid authentication credential. See \
             https://developers.google.com/identity/sign-in/web/devconsole-project."
                .to_owned(),
        ),
        ProviderError::OutOfMoney => (
            403,
            "PERMISSION_DENIED",
            "This API method requires billing to be enabled. Please enable billing on project #drill by visiting \
             https://console.developers.google.com/billing/enable?project=drill then retry."
                .to_owned(),
        ),
        ProviderError::Forbidden => (
            403,
            "PERMISSION_DENIED",
            format!(
                "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/{resource}' \
                 (or it may not exist)."
            ),
        ),
        ProviderError::ModelGone | ProviderError::ModelRetired => (
            404,
            "NOT_FOUND",
            format!(
                "Publisher Model `{resource}` was not found or your project does not have access to it. Please ensure \
                 you are using a valid model version. For more information, see: \
                 https://cloud.google.com/vertex-ai/generative-ai/docs/learn/model-versions"
            ),
        ),
        ProviderError::RequestExceedsLimit => (429, "RESOURCE_EXHAUSTED", quota("input_tokens_per_minute", model)),
        ProviderError::Overloaded
        | ProviderError::ContextTooLong
        | ProviderError::Filtered
        | ProviderError::BadRequest
        | ProviderError::Unsupported => return own(error, model),
    };
    google(status, name, &message, streams)
}

/// Returns Anthropic's 429 for a limit of requests a minute.
pub(super) fn own_rate_limit(hint: RetryHint, limit: u32) -> Refusal {
    let mut message = exceeded(&format!("{limit} requests"));
    let mut refused = match hint {
        RetryHint::Reset(reset) => {
            let mut headers: Headers = allowance(REQUESTS, Allowance { limit, remaining: 0, reset }).into();
            headers.push(date());
            headers
        }
        RetryHint::Text(wait) => {
            let _ = write!(message, " Please try again in {}.", go_duration(wait));
            Vec::new()
        }
        hint => retry_after(hint),
    };
    let refusal = refusal(429, "rate_limit_error", &message);
    refused.extend(refusal.headers);
    Refusal { headers: refused, ..refusal }
}

/// Returns Google's 429. It has no headers for a limit, and no way to say when it resets.
pub(super) fn vertex_rate_limit(hint: RetryHint, model: &str, streams: bool) -> Refusal {
    let mut message = quota("requests", model);
    if let RetryHint::Text(wait) = hint {
        let _ = write!(message, " Please retry in {}.", go_duration(wait));
    }
    Refusal { headers: retry_after(hint), ..google(429, "RESOURCE_EXHAUSTED", &message, streams) }
}

fn exceeded(limit: &str) -> String {
    format!(
        "This request would exceed the rate limit for your organization of {limit} per minute. For details, refer to: \
         https://docs.anthropic.com/en/api/rate-limits. You can see the response headers for current usage. Please \
         reduce the prompt length or the maximum tokens requested, or try again later."
    )
}

fn quota(what: &str, model: &str) -> String {
    format!(
        "Quota exceeded for aiplatform.googleapis.com/online_prediction_{what}_per_base_model with base model: \
         anthropic-{model}. Please submit a quota increase request. \
         https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai."
    )
}

/// Returns a refusal in Anthropic's form. The refusal says whether to try again.
pub(super) fn refusal(status: u16, kind: &str, message: &str) -> Refusal {
    let mut body = Vec::with_capacity(256);
    put(&mut body, r#"{"type":"error","error":{"type":"#);
    quote(&mut body, kind);
    put(&mut body, r#","message":"#);
    quote(&mut body, message);
    put(&mut body, "}}");
    let again = status == 429 || status >= 500;
    Refusal { status, headers: vec![("x-should-retry", again.to_string())], body: body.into(), is_page: false }
}

/// Returns a refusal in Google's form, in a list where a stream was asked for.
fn google(status: u16, name: &str, message: &str, streams: bool) -> Refusal {
    let mut body = Vec::with_capacity(256);
    put(&mut body, if streams { "[" } else { "" });
    put(&mut body, &format!(r#"{{"error":{{"code":{status},"message":"#));
    quote(&mut body, message);
    put(&mut body, &format!(r#","status":"{name}"}}}}"#));
    put(&mut body, if streams { "]" } else { "" });
    Refusal { status, body: body.into(), ..Refusal::default() }
}

/// Returns the `date` against which resets are to be read: the provider's start, because its bytes depend on no clock.
pub(super) fn date() -> (&'static str, String) {
    ("date", httpdate::fmt_http_date(birth()))
}

/// Returns the headers of a limit.
pub(super) fn allowance(names: LimitNames, allowance: Allowance) -> [(&'static str, String); 3] {
    let Allowance { limit, remaining, reset } = allowance;
    let reset = birth() + whole_seconds(reset.min(RESET_MAX));
    let [limit_name, remaining_name, reset_name] = names;
    [
        (limit_name, limit.to_string()),
        (remaining_name, remaining.to_string()),
        (reset_name, humantime::format_rfc3339_seconds(reset).to_string()),
    ]
}

fn birth() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BIRTH)
}

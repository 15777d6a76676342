//! Google's refusals: recorded bodies, and those that users quote.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::check::{RequestFault, Violation};
use super::{Framing, Gemini, Host, reply};
use crate::testing::dialects::{Headers, Refusal};
use crate::testing::fault::{ProviderError, RetryHint};

const BAD_GATEWAY: &str = "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <meta name=viewport \
    content=\"initial-scale=1, minimum-scale=1, width=device-width\">\n  <title>Error 502 (Server Error)!!1</title>\n  <a \
    href=//www.google.com/><span id=logo aria-label=Google></span></a>\n  <p><b>502.</b> <ins>That’s an error.</ins>\n  \
    <p>The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds.  \
    <ins>That’s all we know.</ins>\n";

const OVERLOADED: &str = "The model is overloaded. Please try again later.";
const BUSY: &str =
    "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.";
const NO_CAPACITY: &str = "Resource exhausted. Please try again later. Please refer to \
    https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.";
const NO_QUOTA: &str = "You exceeded your current quota, please check your plan and billing details. For more information \
    on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: \
    https://ai.dev/rate-limit. ";
const LIMITS_PAGE: &str = "https://ai.google.dev/gemini-api/docs/rate-limits";

/// The body of an error.
#[derive(Serialize)]
struct Body<'a> {
    error: Problem<'a>,
}

#[derive(Serialize)]
struct Problem<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

/// The details of an error, for programs.
#[derive(Serialize)]
#[serde(tag = "@type", rename_all_fields = "camelCase")]
enum Detail {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    Info { reason: &'static str, domain: &'static str, metadata: Value },
    #[serde(rename = "type.googleapis.com/google.rpc.LocalizedMessage")]
    Localized { locale: &'static str, message: &'static str },
    #[serde(rename = "type.googleapis.com/google.rpc.Help")]
    Help { links: [Value; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.QuotaFailure")]
    Quota { violations: [QuotaViolation; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    Retry { retry_delay: String },
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest")]
    BadRequest { field_violations: Vec<Violation> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the wire's")]
struct QuotaViolation {
    quota_metric: String,
    quota_id: &'static str,
    quota_dimensions: Value,
    quota_value: String,
}

/// A quota of AI Studio: the end of its metric's name, its id, and how much it is.
struct Quota {
    metric: &'static str,
    id: &'static str,
    limit: u32,
}

const REQUESTS_A_DAY: Quota = Quota {
    metric: "generate_content_free_tier_requests",
    id: "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
    limit: 250,
};

impl Gemini {
    /// Returns the refusal of a malformed request.
    pub(super) fn invalid(&self, wrong: RequestFault) -> Refusal {
        let details = match wrong.violations {
            violations if violations.is_empty() => Vec::new(),
            field_violations => vec![Detail::BadRequest { field_violations }],
        };
        self.refuse(400, "INVALID_ARGUMENT", &wrong.message, details)
    }

    /// Returns the refusal of a request without a key.
    pub(super) fn no_key(&self) -> Refusal {
        match self.host {
            Host::Studio => self.refuse(
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or \
                 other form of API consumer identity to call this API.",
                Vec::new(),
            ),
            Host::Vertex => self.unauthenticated("CREDENTIALS_MISSING"),
        }
    }

    /// Returns a provider's error.
    pub(super) fn known_error(&self, error: ProviderError, model: &str) -> Refusal {
        let is_studio = self.host == Host::Studio;
        let (code, status, message) = match error {
            ProviderError::BadGateway => return Refusal::page(502, BAD_GATEWAY),
            ProviderError::Filtered => return self.blocked(model),
            ProviderError::Unauthorised if is_studio => return self.key_not_valid(),
            ProviderError::Unauthorised => return self.unauthenticated("ACCESS_TOKEN_EXPIRED"),
            ProviderError::OutOfMoney if !is_studio => return self.billing_disabled(),
            ProviderError::RequestExceedsLimit => return self.exceeded(model),
            ProviderError::Forbidden if !is_studio => return self.denied(model),
            ProviderError::Server if is_studio => (
                500,
                "INTERNAL",
                "An internal error has occurred. Please retry or report in \
                 https://developers.generativeai.google/guide/troubleshooting"
                    .to_owned(),
            ),
            ProviderError::Server => (500, "INTERNAL", "Internal error encountered.".to_owned()),
            ProviderError::Unavailable => (503, "UNAVAILABLE", BUSY.to_owned()),
            ProviderError::Overloaded if is_studio => (503, "UNAVAILABLE", OVERLOADED.to_owned()),
            ProviderError::Overloaded => (429, "RESOURCE_EXHAUSTED", NO_CAPACITY.to_owned()),
            ProviderError::ContextTooLong => (
                400,
                "INVALID_ARGUMENT",
                "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).".to_owned(),
            ),
            ProviderError::OutOfMoney => (
                402,
                "RESOURCE_EXHAUSTED",
                "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage \
                 your project and billing."
                    .to_owned(),
            ),
            ProviderError::ModelGone if is_studio => (
                404,
                "NOT_FOUND",
                format!(
                    "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call \
                     ModelService.ListModels to see the list of available models and their supported methods."
                ),
            ),
            ProviderError::ModelRetired if is_studio => (
                404,
                "NOT_FOUND",
                format!(
                    "This model models/{model} is no longer available. Please update your code to use a newer model for \
                     the latest features and improvements."
                ),
            ),
            ProviderError::ModelGone | ProviderError::ModelRetired => {
                (404, "NOT_FOUND", format!("Publisher Model `{}` not found.", resource(model)))
            }
            ProviderError::Forbidden => {
                (400, "FAILED_PRECONDITION", "User location is not supported for the API use.".to_owned())
            }
            ProviderError::BadRequest => (400, "INVALID_ARGUMENT", "Please use a valid role: user, model.".to_owned()),
            ProviderError::Unsupported => (400, "INVALID_ARGUMENT", "Penalty is not enabled for this model".to_owned()),
            ProviderError::Timeout => {
                (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.".to_owned())
            }
        };
        self.refuse(code, status, &message, Vec::new())
    }

    /// Returns a 429. Google has no headers for it: when to come back is in the body, or nowhere. Without a time, AI
    /// Studio is out of its day's quota, and Vertex AI is out of capacity.
    pub(super) fn exhausted(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal {
        let (wait, is_told) = match hint {
            RetryHint::Silent if self.host == Host::Vertex => {
                return self.refuse(429, "RESOURCE_EXHAUSTED", NO_CAPACITY, Vec::new());
            }
            RetryHint::Silent => return self.quota(&REQUESTS_A_DAY, model, None, false),
            RetryHint::Text(wait) => (wait, false),
            RetryHint::Seconds(wait) | RetryHint::Millis(wait) | RetryHint::Date(wait) | RetryHint::Reset(wait) => {
                (wait, true)
            }
        };
        let requests_a_minute =
            Quota { metric: "generate_requests_per_model", id: "GenerateRequestsPerMinutePerProjectPerModel", limit };
        self.quota(&requests_a_minute, model, Some(wait), is_told)
    }

    /// Returns the same, for a request that is larger than a minute's quota. It says when to come back, but that is not
    /// true.
    fn exceeded(&self, model: &str) -> Refusal {
        if self.host == Host::Vertex {
            let message = format!(
                "Quota exceeded for aiplatform.googleapis.com/generate_content_input_tokens_per_minute_per_base_model with \
                 base model: {model}. Please submit a quota increase request. \
                 https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai."
            );
            return self.refuse(429, "RESOURCE_EXHAUSTED", &message, Vec::new());
        }
        let tokens_a_minute = Quota {
            metric: "generate_content_paid_tier_input_token_count",
            id: "GenerateContentPaidTierInputTokensPerModelPerMinute",
            limit: 1_000_000,
        };
        self.quota(&tokens_a_minute, model, Some(Duration::from_nanos(48_939_935_699)), true)
    }

    fn quota(&self, quota: &Quota, model: &str, wait: Option<Duration>, is_told: bool) -> Refusal {
        let metric = format!("generativelanguage.googleapis.com/{}", quota.metric);
        let mut message =
            format!("{NO_QUOTA}\n* Quota exceeded for metric: {metric}, limit: {}, model: {model}", quota.limit);
        let link = json!({"description": "Learn more about Gemini API quotas", "url": LIMITS_PAGE});
        let violation = QuotaViolation {
            quota_metric: metric,
            quota_id: quota.id,
            quota_dimensions: json!({"model": model, "location": "global"}),
            quota_value: quota.limit.to_string(),
        };
        let mut details = vec![Detail::Help { links: [link] }, Detail::Quota { violations: [violation] }];
        if let Some(wait) = wait {
            message = format!("{message}\nPlease retry in {}s.", wait.as_secs_f64());
            if is_told {
                details.push(Detail::Retry { retry_delay: retry_delay(wait) });
            }
        }
        self.refuse(429, "RESOURCE_EXHAUSTED", &message, details)
    }

    fn key_not_valid(&self) -> Refusal {
        let message = "API key not valid. Please pass a valid API key.";
        let metadata = json!({"service": "generativelanguage.googleapis.com"});
        let info = Detail::Info { reason: "API_KEY_INVALID", domain: "googleapis.com", metadata };
        self.refuse(400, "INVALID_ARGUMENT", message, vec![info, Detail::Localized { locale: "en-US", message }])
    }

    fn unauthenticated(&self, reason: &'static str) -> Refusal {
        let metadata = json!({
            "service": "aiplatform.googleapis.com",
            "method": "google.cloud.aiplatform.v1.PredictionService.GenerateContent",
        });
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                       other valid authentication credential. See \
                       https://developers.google.com/identity/sign-in/web/devconsole-project.";
        let info = Detail::Info { reason, domain: "googleapis.com", metadata };
        self.refuse(401, "UNAUTHENTICATED", message, vec![info])
    }

    fn billing_disabled(&self) -> Refusal {
        let message = "This API method requires billing to be enabled. Please enable billing on project #drill by visiting \
                       https://console.developers.google.com/billing/enable?project=drill then retry. If you enabled \
                       billing for this project recently, wait a few minutes for the action to propagate to our systems \
                       and retry.";
        let metadata = json!({"service": "aiplatform.googleapis.com", "consumer": "projects/drill"});
        let info = Detail::Info { reason: "BILLING_DISABLED", domain: "googleapis.com", metadata };
        self.refuse(403, "PERMISSION_DENIED", message, vec![info])
    }

    fn denied(&self, model: &str) -> Refusal {
        let resource = resource(model);
        let message = format!(
            "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/{resource}' (or it \
             may not exist)."
        );
        let metadata = json!({"permission": "aiplatform.endpoints.predict", "resource": resource});
        let info = Detail::Info { reason: "IAM_PERMISSION_DENIED", domain: "aiplatform.googleapis.com", metadata };
        self.refuse(403, "PERMISSION_DENIED", &message, vec![info])
    }

    /// Returns the answer to a prompt that is filtered: a 200 without an answer.
    fn blocked(&self, model: &str) -> Refusal {
        let body = reply::blocked(self.host, self.framing, model);
        Refusal { status: 200, body: body.into(), ..Refusal::default() }
    }

    /// Returns the bytes of a failure after a 200. In a stream of events it is no event.
    pub(super) fn late_failure(&self, stream: bool) -> Bytes {
        let body = Body { error: Problem { code: 503, message: BUSY, status: "UNAVAILABLE", details: Vec::new() } };
        let mut out = Vec::new();
        reply::page(&mut out, &body);
        if stream && self.framing == Framing::Array {
            out.push(b']');
        }
        out.into()
    }

    fn refuse(&self, code: u16, status: &'static str, message: &str, details: Vec<Detail>) -> Refusal {
        let mut out = Vec::with_capacity(512);
        let is_array = self.framing == Framing::Array;
        out.extend(is_array.then_some(b'['));
        reply::page(&mut out, &Body { error: Problem { code, message, status, details } });
        out.extend(is_array.then_some(b']'));
        Refusal { status: code, headers: Headers::new(), body: out.into(), is_page: false }
    }
}

/// Names a model as Vertex AI does.
fn resource(model: &str) -> String {
    format!("projects/drill/locations/global/publishers/google/models/{model}")
}

/// Writes a time as protobuf's JSON does: `48s`, `34.400s`.
fn retry_delay(wait: Duration) -> String {
    match wait.subsec_millis() {
        0 => format!("{}s", wait.as_secs()),
        millis => format!("{}.{millis:03}s", wait.as_secs()),
    }
}

/// Returns Google's page for an address where nothing is.
pub(super) fn not_found(path: &str) -> Refusal {
    let path: String = path.chars().filter(|letter| !"<>&\"".contains(*letter)).collect();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 404 (Not Found)!!1</title>\n  <p><b>404.</b> \
         <ins>That’s an error.</ins>\n  <p>The requested URL <code>{path}</code> was not found on this server.  \
         <ins>That’s all we know.</ins>\n"
    );
    Refusal { status: 404, headers: Headers::new(), body: page.into(), is_page: true }
}

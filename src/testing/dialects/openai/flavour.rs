//! How servers that speak OpenAI's dialects differ: a table of data, from recorded traffic.
//!
//! No provider's name is in the code around it: the requests that it accepts ([`Rules`]), its answers ([`Shapes`]) and
//! its refusals ([`Wording`]) are templates and words.

mod rules;
mod shapes;
mod wording;

use std::time::{Duration, SystemTime};

use super::check::Rules;
use crate::testing::dialects::fields::Problem;
use crate::testing::dialects::json::{fill, filled, go_duration, put, quote, quote_or_null};
use crate::testing::dialects::{AnswerHead, Headers, Refusal};
use crate::testing::fault::{ProviderError, RetryHint};
use crate::testing::gauge::whole_seconds;
use crate::testing::script::Flavour;
pub(crate) use rules::THOUGHT_MARK;
pub(crate) use shapes::{Shapes, UsageChunk};
use wording::{RefusalText, Wording};

/// The farthest date a `retry-after` names, from now: HTTP's dates have four digits for the year.
const RETRY_DATE_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
    Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";

/// Headers by name, with templates for their values.
type Templates = &'static [(&'static str, &'static str)];

/// One provider's flavour.
#[derive(Debug)]
pub(crate) struct ProviderFlavour {
    /// Headers that may hold the key; `authorization` holds it as a bearer token.
    pub(crate) keys: &'static [&'static str],
    /// Headers of every response.
    headers: Templates,
    /// Further headers of good answers.
    good_headers: Templates,
    /// Whether an address must name the API's version, unless its path does.
    pub(crate) is_versioned: bool,
    /// Whether it answers as the one model it has, for every name in the request.
    pub(crate) has_one_model: bool,
    /// The keep-alive of a stream.
    pub(crate) keep_alive: &'static [u8],
    pub(crate) rules: Rules,
    pub(crate) shapes: Shapes,
    wording: Wording,
}

impl ProviderFlavour {
    /// Returns a flavour's row.
    pub(crate) const fn of(flavour: Flavour) -> &'static Self {
        match flavour {
            Flavour::OpenAi => &OPENAI,
            Flavour::Azure => &AZURE,
            Flavour::DeepSeek => &DEEPSEEK,
            Flavour::Mistral => &MISTRAL,
            Flavour::Qwen => &QWEN,
            Flavour::Groq => &GROQ,
            Flavour::Xai => &XAI,
            Flavour::Together => &TOGETHER,
            Flavour::OpenRouter => &OPENROUTER,
            Flavour::Perplexity => &PERPLEXITY,
            Flavour::Vllm => &VLLM,
            Flavour::Ollama => &OLLAMA,
            Flavour::LlamaCpp => &LLAMACPP,
        }
    }

    /// Returns a provider's error in this one's words; in OpenAI's, if it has none of its own.
    pub(crate) fn error(&self, error: ProviderError, model: &str) -> Refusal {
        if error == ProviderError::BadGateway {
            return Refusal::page(502, BAD_GATEWAY);
        }
        self.refuse(self.wording.said(error), model, 0, "")
    }

    /// Returns its refusal of a malformed request.
    pub(crate) fn malformed(&self, problem: &Problem) -> Refusal {
        let own = &self.wording.malformed;
        let said = RefusalText {
            status: if problem.status == 400 { own.status } else { problem.status },
            code: own.code.or(problem.code),
            param: problem.param.as_deref(),
            message: "",
            ..*own
        };
        self.say(&said, &problem.message)
    }

    /// Returns its answer at an unknown address.
    pub(crate) fn nothing(&self, place: &str) -> Refusal {
        self.refuse(&self.wording.nothing, place, 0, "")
    }

    /// Returns its 429 for a limit of requests a minute, with as much of the hint as it ever gives.
    pub(crate) fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal {
        let hints = &self.wording.hints;
        let (headers, text, wait) = match hint {
            RetryHint::Silent => (&[][..], "", Duration::ZERO),
            RetryHint::Seconds(wait) => (hints.seconds, "", wait),
            RetryHint::Millis(wait) => (hints.millis, "", wait),
            RetryHint::Date(wait) => (hints.date, "", whole_seconds(wait.min(RETRY_DATE_MAX))),
            RetryHint::Reset(wait) => (hints.reset, "", wait),
            RetryHint::Text(wait) => (&[][..], hints.text, wait),
        };
        let text = filled(text, |out, _| put(out, &go_duration(wait)));
        let mut refusal = self.refuse(&self.wording.rate, model, limit, &text);
        refusal.headers.extend(headers.iter().map(|(name, template)| {
            let value = filled(template, |out, hole| match hole {
                "seconds" => put(out, &wait.as_secs_f64().to_string()),
                "whole" => put(out, &whole_seconds(wait).as_secs().to_string()),
                "millis" => put(out, &wait.as_millis().to_string()),
                "go" => put(out, &go_duration(wait)),
                "limit" => put(out, &limit.to_string()),
                "now" => put(out, &httpdate::fmt_http_date(now())),
                "date" => put(out, &httpdate::fmt_http_date(now() + wait)),
                "epoch" => put(out, &epoch_millis(wait).to_string()),
                other => unreachable!("no hint fills ${other}"),
            });
            (*name, value)
        }));
        refusal
    }

    /// Returns the headers that tell of request id and limits.
    pub(crate) fn headers(&self, account: &AnswerHead<'_>) -> Headers {
        let AnswerHead { id, processing, requests, tokens, is_refused } = account;
        let header = |(name, template): &(&'static str, &'static str)| {
            let value = filled(template, |out, hole| match hole {
                "id" => put(out, id),
                "uuid" => put(out, &uuid(id)),
                "processing" => put(out, &processing.as_millis().to_string()),
                "requests" => put(out, &requests.limit.to_string()),
                "requestsleft" => put(out, &requests.remaining.to_string()),
                "requestsgo" => put(out, &go_duration(requests.reset)),
                "requestsseconds" => put(out, &whole_seconds(requests.reset).as_secs().to_string()),
                "tokens" => put(out, &tokens.limit.to_string()),
                "tokensleft" => put(out, &tokens.remaining.to_string()),
                "tokensgo" => put(out, &go_duration(tokens.reset)),
                "tokensseconds" => put(out, &whole_seconds(tokens.reset).as_secs().to_string()),
                other => unreachable!("no account fills ${other}"),
            });
            (*name, value)
        };
        let good = if *is_refused { &[][..] } else { self.good_headers };
        self.headers.iter().chain(good).map(header).collect()
    }

    fn refuse(&self, said: &RefusalText<'_>, model: &str, limit: u32, hint: &str) -> Refusal {
        let message = filled(said.message, |out, hole| match hole {
            "model" => put(out, model),
            "limit" => put(out, &limit.to_string()),
            "hint" => put(out, hint),
            other => unreachable!("no message has ${other}"),
        });
        self.say(said, &message)
    }

    fn say(&self, said: &RefusalText<'_>, message: &str) -> Refusal {
        let mut body = Vec::with_capacity(256);
        fill(&mut body, said.body.unwrap_or(self.wording.body), |out, hole| match hole {
            "message" => quote(out, message),
            "type" => quote_or_null(out, said.kind),
            "param" => quote_or_null(out, said.param),
            "code" => quote_or_null(out, said.code),
            "status" => put(out, &said.status.to_string()),
            "loc" => put(out, &location(said.param)),
            other => unreachable!("no error has ${other}"),
        });
        let own = self.wording.content_type.map(|kind| ("content-type", kind.to_owned()));
        Refusal { status: said.status, headers: own.into_iter().collect(), body: body.into(), is_page: false }
    }
}

/// Writes 16 hexadecimal digits as a UUID.
pub(crate) fn uuid(id: &str) -> String {
    let (a, b) = id.split_at(id.len().min(8));
    let (b, c) = b.split_at(b.len().min(4));
    format!("{a}-{b}-4{}-8000-{id:0>12.12}", c.get(..3).unwrap_or("000"))
}

/// Writes a parameter's path as the JSON array that parsers name: `["body","messages",0,"name"]`.
fn location(param: Option<&str>) -> String {
    let mut out = br#"["body""#.to_vec();
    for step in param.unwrap_or_default().split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        put(&mut out, ",");
        match step.parse::<u32>() {
            Ok(index) => put(&mut out, &index.to_string()),
            Err(_) => quote(&mut out, step),
        }
    }
    put(&mut out, "]");
    String::from_utf8(out).expect("it was text")
}

#[expect(clippy::disallowed_methods, reason = "a date is wall time")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns the Unix time in milliseconds after this wait.
fn epoch_millis(wait: Duration) -> u128 {
    let then = now() + wait.min(RETRY_DATE_MAX);
    then.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

const BEARER: &[&str] = &["authorization"];

pub(crate) static OPENAI: ProviderFlavour = BASE;

const BASE: ProviderFlavour = ProviderFlavour {
    keys: BEARER,
    headers: &[
        ("x-request-id", "req_$id"),
        ("openai-processing-ms", "$processing"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "$requests"),
        ("x-ratelimit-remaining-requests", "$requestsleft"),
        ("x-ratelimit-reset-requests", "$requestsgo"),
        ("x-ratelimit-limit-tokens", "$tokens"),
        ("x-ratelimit-remaining-tokens", "$tokensleft"),
        ("x-ratelimit-reset-tokens", "$tokensgo"),
    ],
    good_headers: &[],
    is_versioned: false,
    has_one_model: false,
    keep_alive: b": keep-alive\n\n",
    rules: super::check::OFFICIAL,
    shapes: shapes::OPENAI,
    wording: wording::OPENAI,
};

/// The same at `/responses`.
pub(crate) static OPENAI_RESPONSES: ProviderFlavour = ProviderFlavour { wording: wording::OPENAI_RESPONSES, ..BASE };

static AZURE: ProviderFlavour = ProviderFlavour {
    keys: &["api-key", "authorization"],
    headers: &[
        ("apim-request-id", "$uuid"),
        ("x-request-id", "$uuid"),
        ("x-ms-region", "East US 2"),
        ("x-ratelimit-limit-requests", "$requests"),
        ("x-ratelimit-remaining-requests", "$requestsleft"),
        ("x-ratelimit-renewalperiod-requests", "60"),
        ("x-ratelimit-reset-requests", "$requestsseconds"),
        ("x-ratelimit-limit-tokens", "$tokens"),
        ("x-ratelimit-remaining-tokens", "$tokensleft"),
        ("x-ratelimit-renewalperiod-tokens", "60"),
        ("x-ratelimit-reset-tokens", "$tokensseconds"),
    ],
    is_versioned: true,
    shapes: shapes::AZURE,
    wording: wording::AZURE,
    ..BASE
};

static DEEPSEEK: ProviderFlavour = ProviderFlavour {
    headers: &[("x-ds-trace-id", "$id$id")],
    rules: rules::DEEPSEEK,
    shapes: shapes::DEEPSEEK,
    wording: wording::DEEPSEEK,
    ..BASE
};

static MISTRAL: ProviderFlavour = ProviderFlavour {
    headers: &[
        ("mistral-correlation-id", "$uuid"),
        ("x-kong-request-id", "$uuid"),
        ("x-ratelimit-limit-req-minute", "$requests"),
        ("x-ratelimit-remaining-req-minute", "$requestsleft"),
        ("x-ratelimit-limit-tokens-minute", "$tokens"),
        ("x-ratelimit-remaining-tokens-minute", "$tokensleft"),
    ],
    rules: rules::MISTRAL,
    shapes: shapes::MISTRAL,
    wording: wording::MISTRAL,
    ..BASE
};

static QWEN: ProviderFlavour = ProviderFlavour {
    headers: &[("x-request-id", "$uuid")],
    rules: rules::QWEN,
    shapes: shapes::QWEN,
    wording: wording::QWEN,
    ..BASE
};

static GROQ: ProviderFlavour = ProviderFlavour {
    headers: &[
        ("x-request-id", "req_$id"),
        ("x-ratelimit-limit-requests", "$requests"),
        ("x-ratelimit-remaining-requests", "$requestsleft"),
        ("x-ratelimit-reset-requests", "$requestsgo"),
        ("x-ratelimit-limit-tokens", "$tokens"),
        ("x-ratelimit-remaining-tokens", "$tokensleft"),
        ("x-ratelimit-reset-tokens", "$tokensgo"),
    ],
    rules: rules::GROQ,
    shapes: shapes::GROQ,
    wording: wording::GROQ,
    ..BASE
};

static XAI: ProviderFlavour = ProviderFlavour {
    headers: &[
        ("x-request-id", "$uuid"),
        ("x-zero-data-retention", "false"),
        ("x-ratelimit-limit-requests", "$requests"),
        ("x-ratelimit-remaining-requests", "$requestsleft"),
        ("x-ratelimit-limit-tokens", "$tokens"),
        ("x-ratelimit-remaining-tokens", "$tokensleft"),
    ],
    keep_alive: b": keepalive\n\n",
    rules: rules::XAI,
    shapes: shapes::XAI,
    wording: wording::XAI,
    ..BASE
};

static TOGETHER: ProviderFlavour = ProviderFlavour {
    headers: &[
        ("x-request-id", "o$id"),
        ("x-ratelimit", "false"),
        ("x-ratelimit-limit", "$requests"),
        ("x-ratelimit-remaining", "$requestsleft"),
        ("x-ratelimit-reset", "$requestsseconds"),
        ("x-ratelimit-limit-tokens", "$tokens"),
        ("x-ratelimit-remaining-tokens", "$tokensleft"),
    ],
    // No wait is asked for, because there is no error.
    good_headers: &[("retry-after", "2")],
    rules: super::check::LAX,
    shapes: shapes::TOGETHER,
    wording: wording::TOGETHER,
    ..BASE
};

static OPENROUTER: ProviderFlavour = ProviderFlavour {
    headers: &[("x-generation-id", "gen-1767225600-$id")],
    keep_alive: b": OPENROUTER PROCESSING\n\n",
    rules: super::check::LAX,
    shapes: shapes::OPENROUTER,
    wording: wording::OPENROUTER,
    ..BASE
};

static PERPLEXITY: ProviderFlavour = ProviderFlavour {
    headers: &[("x-request-id", "$uuid"), ("x-ppl-region", "us-east-1")],
    keep_alive: b": ping - 2026-01-01 00:00:00.000000+00:00\n\n",
    rules: rules::PERPLEXITY,
    shapes: shapes::PERPLEXITY,
    wording: wording::PERPLEXITY,
    ..BASE
};

static VLLM: ProviderFlavour =
    ProviderFlavour { headers: &[], rules: rules::SERVER, shapes: shapes::VLLM, wording: wording::VLLM, ..BASE };

static OLLAMA: ProviderFlavour =
    ProviderFlavour { headers: &[], rules: rules::OLLAMA, shapes: shapes::OLLAMA, wording: wording::OLLAMA, ..BASE };

static LLAMACPP: ProviderFlavour = ProviderFlavour {
    headers: &[],
    has_one_model: true,
    rules: rules::SERVER,
    shapes: shapes::LLAMACPP,
    wording: wording::LLAMACPP,
    ..BASE
};

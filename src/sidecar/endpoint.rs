//! Endpoints, by address and method.

use std::borrow::Cow;

use http::{HeaderMap, Method};

use crate::wire::serve::CallerDialect;

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// An answer; Gemini's address names the model and whether to stream.
    Chat { caller_dialect: CallerDialect, model: Option<String>, stream: bool },
    /// An answer in the background, by its id.
    Kept { id: String, action: BackgroundAction },
    /// A conversation made short.
    Compact,
    /// Vectors; Gemini's address names the model.
    Embed { caller_dialect: CallerDialect, model: Option<String> },
    /// The number of a prompt's tokens.
    CountTokens { caller_dialect: CallerDialect, model: Option<String> },
    /// The list of models, or one of them.
    Models { caller_dialect: CallerDialect, one: Option<String> },
    /// The runtime's health.
    Health,
    /// Whether calls can be answered.
    Ready,
    /// Whether the process runs.
    Live,
    /// Counters, for Prometheus.
    Metrics,
    /// The explanation of a route.
    Explain { route: String },
    /// The page of a call.
    Why { call: String },
    /// The ledger.
    Ledger,
    /// Forget what was asked and answered.
    Forget,
    /// Lift what keeps a key or a target out: a provider or `provider/model`; all where there is no name.
    Reset { name: Option<String> },
    /// The root, which only tells that the sidecar listens.
    Root,
    /// An endpoint, but for another method.
    WrongMethod { allow: &'static str, is_admin: bool },
    /// Nothing.
    Unknown,
}

/// What is wanted of an answer in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackgroundAction {
    /// What it is just now, or its events.
    Read,
    /// Its end.
    Cancel,
    /// That it is forgotten.
    Delete,
}

impl Endpoint {
    /// Reads an address.
    pub(super) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let tidy = tidy(path);
        let path = tidy.strip_suffix('/').unwrap_or(&tidy);
        let (endpoint, allow) = match path {
            "" => (Self::Root, "GET"),
            "/health" => (Self::Health, "GET"),
            "/ready" => (Self::Ready, "GET"),
            "/live" => (Self::Live, "GET"),
            "/metrics" => (Self::Metrics, "GET"),
            "/ledger" => (Self::Ledger, "GET"),
            "/forget" => (Self::Forget, "POST"),
            "/reset" => (Self::Reset { name: None }, "POST"),
            _ => match path.strip_prefix("/explain/") {
                Some(route) => (Self::Explain { route: unescaped(route) }, "GET"),
                None if path.starts_with("/why/") => (Self::Why { call: unescaped(&path["/why/".len()..]) }, "GET"),
                None => match (path.strip_prefix("/reset/"), api(method, path, headers)) {
                    (Some(name), _) => (Self::Reset { name: Some(unescaped(name)) }, "POST"),
                    (None, Some(found)) => found,
                    (None, None) => return Self::Unknown,
                },
            },
        };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        if allow.split(", ").any(|allowed| allowed == method.as_str()) {
            endpoint
        } else {
            Self::WrongMethod { allow, is_admin: endpoint.is_admin() }
        }
    }

    /// Tells whether it is for operators.
    pub(super) fn is_admin(&self) -> bool {
        matches!(
            self,
            Self::Health
                | Self::Metrics
                | Self::Ledger
                | Self::Explain { .. }
                | Self::Why { .. }
                | Self::Forget
                | Self::Reset { .. }
        )
    }

    /// Tells whether its address is one of operators, by whatever method it is asked.
    pub(super) fn has_admin_address(&self) -> bool {
        self.is_admin() || matches!(self, Self::WrongMethod { is_admin: true, .. })
    }
}

/// Returns an address in its normal form: base URLs that end in a slash are joined with paths that begin with one, and
/// some clients escape the colon before Google's methods.
fn tidy(path: &str) -> Cow<'_, str> {
    let mut path = Cow::Borrowed(path);
    while path.contains("//") {
        path = path.replace("//", "/").into();
    }
    let escaped = path.rfind("%3A").or_else(|| path.rfind("%3a")).filter(|at| METHODS.contains(&&path[at + 3..]));
    match escaped {
        Some(at) => format!("{}:{}", &path[..at], &path[at + 3..]).into(),
        None => path,
    }
}

/// What follows the colon of Google's addresses.
const METHODS: [&str; 5] =
    ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"];

/// Reads the providers' own addresses. Clients differ in whether `/v1` is part of their base URL, so it may be left
/// out.
fn api(method: &Method, path: &str, headers: &HeaderMap) -> Option<(Endpoint, &'static str)> {
    let post = |endpoint| Some((endpoint, "POST"));
    let chat = |caller_dialect| post(Endpoint::Chat { caller_dialect, model: None, stream: false });
    let count = |caller_dialect| post(Endpoint::CountTokens { caller_dialect, model: None });
    if let Some(rest) = path.strip_prefix("/v1beta") {
        return gemini(rest);
    }
    let rest = path.strip_prefix("/v1").unwrap_or(path);
    match rest {
        "/chat/completions" => return chat(CallerDialect::OpenAiChat),
        "/responses" => return chat(CallerDialect::OpenAiResponses),
        "/responses/compact" => return post(Endpoint::Compact),
        "/messages" => return chat(CallerDialect::Anthropic),
        "/embeddings" => return post(Endpoint::Embed { caller_dialect: CallerDialect::OpenAiChat, model: None }),
        "/responses/input_tokens" => return count(CallerDialect::OpenAiResponses),
        "/messages/count_tokens" => return count(CallerDialect::Anthropic),
        _ => {}
    }
    if let Some(id) = rest.strip_prefix("/responses/") {
        return kept(method, id);
    }
    let caller_dialect = speaker(headers);
    match rest.strip_prefix("/models")? {
        "" => Some((Endpoint::Models { caller_dialect, one: None }, "GET")),
        one if one.contains(':') && !one.contains("/ft:") => gemini(rest),
        one => Some((Endpoint::Models { caller_dialect, one: Some(unescaped(one.strip_prefix('/')?)) }, "GET")),
    }
}

/// Reads the address of an answer in the background.
fn kept(method: &Method, rest: &str) -> Option<(Endpoint, &'static str)> {
    let (id, allow) = match rest.split_once('/') {
        None => (rest, "GET, DELETE"),
        Some((id, "cancel")) => (id, "POST"),
        Some(_) => return None,
    };
    let action = match (allow, method) {
        ("POST", _) => BackgroundAction::Cancel,
        (_, &Method::DELETE) => BackgroundAction::Delete,
        _ => BackgroundAction::Read,
    };
    Some((Endpoint::Kept { id: unescaped(id), action }, allow))
}

/// Tells which dialect a client speaks at an address that three dialects have.
fn speaker(headers: &HeaderMap) -> CallerDialect {
    if headers.contains_key("anthropic-version") {
        CallerDialect::Anthropic
    } else if headers.contains_key("x-goog-api-key") || headers.contains_key("x-goog-api-client") {
        CallerDialect::Gemini
    } else {
        CallerDialect::OpenAiChat
    }
}

fn gemini(rest: &str) -> Option<(Endpoint, &'static str)> {
    let caller_dialect = CallerDialect::Gemini;
    let rest = rest.strip_prefix("/models")?;
    let Some(one) = rest.strip_prefix('/') else {
        return rest.is_empty().then_some((Endpoint::Models { caller_dialect, one: None }, "GET"));
    };
    let Some((model, method)) = one.rsplit_once(':') else {
        return Some((Endpoint::Models { caller_dialect, one: Some(unescaped(one)) }, "GET"));
    };
    let model = Some(unescaped(model));
    let endpoint = match method {
        "generateContent" => Endpoint::Chat { caller_dialect, model, stream: false },
        "streamGenerateContent" => Endpoint::Chat { caller_dialect, model, stream: true },
        "embedContent" | "batchEmbedContents" => Endpoint::Embed { caller_dialect, model },
        "countTokens" => Endpoint::CountTokens { caller_dialect, model },
        _ => return None,
    };
    Some((endpoint, "POST"))
}

/// Reads escapes such as `%2F`; all else stays as it is.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).and_then(|(high, low)| u8::try_from(16 * high + low).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> Endpoint {
        Endpoint::of(&method.parse().expect("a method"), path, &HeaderMap::new())
    }

    fn wrong(allow: &'static str) -> Endpoint {
        Endpoint::WrongMethod { allow, is_admin: false }
    }

    fn chat(caller_dialect: CallerDialect, model: Option<&str>, stream: bool) -> Endpoint {
        Endpoint::Chat { caller_dialect, model: model.map(str::to_owned), stream }
    }

    #[test]
    fn every_dialects_addresses_are_known() {
        let models =
            |caller_dialect, one: Option<&str>| Endpoint::Models { caller_dialect, one: one.map(str::to_owned) };
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", chat(CallerDialect::OpenAiChat, None, false)),
            ("POST", "/chat/completions", chat(CallerDialect::OpenAiChat, None, false)),
            ("POST", "/v1/responses/", chat(CallerDialect::OpenAiResponses, None, false)),
            ("POST", "/v1/responses/compact", Endpoint::Compact),
            ("GET", "/v1/responses/resp_1", Endpoint::Kept { id: "resp_1".into(), action: BackgroundAction::Read }),
            (
                "DELETE",
                "/v1/responses/resp_1",
                Endpoint::Kept { id: "resp_1".into(), action: BackgroundAction::Delete },
            ),
            (
                "POST",
                "/responses/resp_1/cancel",
                Endpoint::Kept { id: "resp_1".into(), action: BackgroundAction::Cancel },
            ),
            ("POST", "/v1/responses/resp_1", wrong("GET, DELETE")),
            ("GET", "/v1/responses/resp_1/cancel", wrong("POST")),
            ("GET", "/v1/responses/resp_1/input_items", Endpoint::Unknown),
            ("POST", "/forget", Endpoint::Forget),
            (
                "POST",
                "/v1/responses/input_tokens",
                Endpoint::CountTokens { caller_dialect: CallerDialect::OpenAiResponses, model: None },
            ),
            ("POST", "/v1/messages", chat(CallerDialect::Anthropic, None, false)),
            (
                "POST",
                "/v1beta/models/gemini-2.5-flash:generateContent",
                chat(CallerDialect::Gemini, Some("gemini-2.5-flash"), false),
            ),
            ("POST", "/v1/models/a%2Fb:streamGenerateContent", chat(CallerDialect::Gemini, Some("a/b"), true)),
            (
                "POST",
                "/v1beta/models/m:countTokens",
                Endpoint::CountTokens { caller_dialect: CallerDialect::Gemini, model: Some("m".into()) },
            ),
            ("POST", "/v1/embeddings", Endpoint::Embed { caller_dialect: CallerDialect::OpenAiChat, model: None }),
            (
                "POST",
                "/v1beta/models/m:batchEmbedContents",
                Endpoint::Embed { caller_dialect: CallerDialect::Gemini, model: Some("m".into()) },
            ),
            ("GET", "/v1/models", models(CallerDialect::OpenAiChat, None)),
            ("GET", "/v1/models/openai/gpt-5-mini", models(CallerDialect::OpenAiChat, Some("openai/gpt-5-mini"))),
            ("GET", "/v1beta/models", models(CallerDialect::Gemini, None)),
            ("GET", "/v1beta/models/m", models(CallerDialect::Gemini, Some("m"))),
            ("HEAD", "/", Endpoint::Root),
            ("GET", "/health", Endpoint::Health),
            ("GET", "/ledger", Endpoint::Ledger),
            ("GET", "/explain/smart", Endpoint::Explain { route: "smart".into() }),
            ("GET", "/why/1f-7", Endpoint::Why { call: "1f-7".into() }),
            ("POST", "/reset", Endpoint::Reset { name: None }),
            ("POST", "/reset/a/org%2Fm", Endpoint::Reset { name: Some("a/org/m".into()) }),
            ("GET", "/reset/a", Endpoint::WrongMethod { allow: "POST", is_admin: true }),
            ("GET", "/v1/chat/completions", wrong("POST")),
            ("DELETE", "/v1/models", wrong("GET")),
            ("POST", "//v1//chat/completions", chat(CallerDialect::OpenAiChat, None, false)),
            ("POST", "/v1beta/models/a%3Ab%3AgenerateContent", chat(CallerDialect::Gemini, Some("a:b"), false)),
            ("GET", "/v1beta/models/a%3Ab", models(CallerDialect::Gemini, Some("a:b"))),
            ("POST", "/v1/images", Endpoint::Unknown),
            ("POST", "/v1beta/models/m:explode", Endpoint::Unknown),
            ("POST", "/v1beta", Endpoint::Unknown),
        ] {
            assert_eq!(of(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_dialect_of_a_list_of_models_is_told_by_a_header_of_its_clients() {
        for (name, caller_dialect) in [
            ("anthropic-version", CallerDialect::Anthropic),
            ("x-goog-api-key", CallerDialect::Gemini),
            ("x-goog-api-client", CallerDialect::Gemini),
            ("authorization", CallerDialect::OpenAiChat),
        ] {
            let value = http::HeaderValue::from_static("x");
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value)]);
            for (path, one) in [("/v1/models", None), ("/v1/models/m", Some("m".to_owned()))] {
                assert_eq!(
                    Endpoint::of(&Method::GET, path, &headers),
                    Endpoint::Models { caller_dialect, one },
                    "{name} {path}"
                );
            }
        }
    }
}

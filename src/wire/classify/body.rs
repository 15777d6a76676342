//! Reads error bodies of all shapes, and cleans what is passed on of them.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::wire::headers;
use crate::words::RetryAfter;

/// The most characters of a provider's message that are kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// How long a quota of a whole day is left alone. Google names a wait of seconds beside it, which means nothing, and its
/// day ends at midnight in California, which nobody here can know: 24 vain requests a day are bearable.
const DAILY_WAIT: Duration = Duration::from_secs(3600);

/// No key is shorter than this, prefix included.
const KEY_BYTES_MIN: usize = 8;

/// What an error body says, wherever it says it.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    /// All codes, types and reasons, the most telling first, as the provider spelled them.
    pub(super) codes: Vec<String>,
    /// The message for people.
    pub(super) message: String,
    /// The message and what an upstream provider said, in lower case, to be searched.
    pub(super) text: String,
    /// The status that the body names.
    pub(super) status: Option<u16>,
    /// The wait that the body names in a field of its own.
    pub(super) retry_after: Option<RetryAfter>,
    /// It is a page for people: from a gateway or firewall, not from the provider's API.
    pub(super) is_page: bool,
}

impl ErrorBody {
    /// Reads a body: JSON of any shape, a page, or plain text.
    pub(super) fn parse(body: &str) -> Self {
        let body = body.trim_start_matches('\u{feff}').trim();
        if let Ok(value) = serde_json::from_str::<Value>(body) {
            let mut error = Self::default();
            error.read(&value, 0);
            error.text.make_ascii_lowercase();
            return error;
        }
        if body.starts_with('<') {
            return Self { message: page_title(body), is_page: true, ..Self::default() };
        }
        Self { message: body.to_owned(), text: body.to_ascii_lowercase(), ..Self::default() }
    }

    /// Returns the code that tells most: a number tells no more than the status does.
    pub(super) fn code(&self) -> Option<&str> {
        let is_word = |code: &&String| !code.bytes().all(|byte| byte.is_ascii_digit());
        self.codes.iter().find(is_word).or(self.codes.first()).map(String::as_str)
    }

    fn read(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.say(text),
            // Gemini streams an array and lists its details; a validator lists what it found.
            Value::Array(items) => items.iter().take(8).for_each(|item| self.read(item, depth)),
            Value::Object(object) if depth < 4 => self.read_object(object, depth + 1),
            _ => {}
        }
    }

    fn read_object(&mut self, object: &Map<String, Value>, depth: usize) {
        for key in ["code", "error_type", "error_code", "reason", "type", "status", "status_code"] {
            self.note(object.get(key));
        }
        for key in ["message", "msg", "error", "detail", "raw", "title"] {
            if let Some(value) = object.get(key) {
                self.read(value, depth);
            }
        }
        // Where details hide: OpenRouter, Azure, Gemini and Anthropic, Mistral, vLLM's proxies.
        for key in ["metadata", "availability", "innererror", "details", "violations", "errors", "headers"] {
            if let Some(value) = object.get(key).filter(|value| value.is_object() || value.is_array()) {
                self.read(value, depth);
            }
        }
        for key in ["retryDelay", "retry_after", "X-RateLimit-Reset"] {
            let wait = match object.get(key) {
                Some(Value::String(text)) => headers::parse(text),
                Some(Value::Number(seconds)) => seconds.as_f64().and_then(headers::wait),
                _ => None,
            };
            self.retry_after = self.retry_after.or(wait);
        }
        // Google's names of quotas.
        let quotas = ["quotaId", "quota_limit"].into_iter().filter_map(|key| object.get(key)?.as_str());
        if quotas.into_iter().any(|quota| quota.contains("PerDay")) {
            self.retry_after = Some(RetryAfter::After(DAILY_WAIT));
        }
    }

    fn note(&mut self, code: Option<&Value>) {
        let code = match code {
            // That an error is one tells nothing: Anthropic says so around each.
            Some(Value::String(code)) if !code.is_empty() && code != "error" => code.clone(),
            Some(Value::Number(code)) => code.to_string(),
            _ => return,
        };
        let status = code.parse().ok().filter(|status| (400..600).contains(status));
        self.status = self.status.or(status);
        self.codes.push(code);
    }

    fn say(&mut self, text: &str) {
        if self.message.is_empty() {
            text.clone_into(&mut self.message);
        }
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// Tells whether JSON is an error rather than an answer.
pub(super) fn is_error(value: &Value) -> bool {
    let Some(object) = value.as_object().or_else(|| value.get(0)?.as_object()) else { return false };
    let says = |key| object.get(key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(_)));
    says("error")
        || says("detail")
        || object.get("object").is_some_and(|kind| kind == "error")
        || (object.get("message").is_some_and(Value::is_string) && !says("choices"))
}

fn page_title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        let end = start + lower[start..].find('<')?;
        Some(page[start..end].trim())
    });
    title.map_or_else(|| "a gateway's page".to_owned(), |title| format!("a gateway's page: {title}"))
}

/// Cuts a message to what may be shown: no keys, 500 characters.
pub(in crate::wire) fn tidy(message: &str) -> String {
    let clean = redact(message);
    match clean.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => clean[..end].to_owned(),
        None => clean,
    }
}

/// Replaces what looks like a key: known prefixes, and whatever follows "Bearer", "key:", "key provided:", "key=".
fn redact(message: &str) -> String {
    const PREFIXES: [&str; 9] = ["sk-", "sk_", "gsk_", "xai-", "AIza", "hf_", "pplx-", "tgp_", "csk-"];
    const LEADS: [&str; 3] = ["key", "token", "key provided"];
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.*+/~".contains(letter);
    let mut clean = String::with_capacity(message.len().min(4 * MESSAGE_CHARS_MAX));
    let mut rest = message;
    // What is cut off later need not be cleaned, however long it is.
    while !rest.is_empty() && clean.len() < 4 * MESSAGE_CHARS_MAX {
        let start = rest.find(is_word).unwrap_or(rest.len());
        let (gap, tail) = rest.split_at(start);
        clean.push_str(gap);
        let end = tail.find(|letter| !is_word(letter)).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        rest = tail;
        let before = clean.trim_end_matches([' ', '"', '\'', '`', '=', ':']);
        let (lead, mark) = clean.split_at(before.len());
        let named = LEADS.iter().any(|word| ends_with_word(lead, word)) && mark.contains([':', '='])
            || ends_with_word(lead, "bearer");
        let known = PREFIXES.iter().any(|prefix| holds_key(word, prefix));
        clean.push_str(if !word.is_empty() && (named || known) { "[redacted]" } else { word });
    }
    clean
}

/// Tells whether a word holds a key of this prefix, not only one that ends like it ("task-").
fn holds_key(word: &str, prefix: &str) -> bool {
    word.match_indices(prefix).any(|(at, _)| {
        let begins = !word[..at].ends_with(|letter: char| letter.is_ascii_alphanumeric());
        begins && word.len() - at >= KEY_BYTES_MIN
    })
}

/// Tells whether a text ends with these words, in any case, and they do not end a longer one ("monkey").
fn ends_with_word(text: &str, word: &str) -> bool {
    let Some(at) = text.len().checked_sub(word.len()) else { return false };
    let text = text.as_bytes();
    text[at..].eq_ignore_ascii_case(word.as_bytes()) && !text[..at].last().is_some_and(u8::is_ascii_alphanumeric)
}

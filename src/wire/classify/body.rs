//! Reads error bodies of all shapes.

use std::time::Duration;

use serde_json::{Map, Value};

use super::quotes::{self, Parted};
use crate::wire::when::{self, Zone};
use crate::words::RetryAfter;

/// How long a quota of a whole day is held. Google names a wait of seconds beside it, which means nothing, and its day
/// ends at midnight in California, which cannot be known here: 24 failed requests a day are acceptable.
pub(super) const DAILY_WAIT: Duration = Duration::from_secs(3600);

/// Fields that hold details: OpenRouter, Azure, Gemini and Anthropic, Mistral, vLLM's proxies.
const HIDES: [&str; 15] = [
    "metadata",
    "base_resp",
    "availability",
    "innererror",
    "inner_error",
    "details",
    "violations",
    "errors",
    "headers",
    "rate_limit",
    "rateLimit",
    "quota",
    "data",
    "cause",
    "response",
];

/// How deep errors may lie in one another.
const DEPTH_MAX: usize = 6;

/// The facts of an error body, from any place in it.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    /// All codes, types and reasons, the most telling first, as the provider spelled them.
    pub(super) codes: Vec<String>,
    /// The message for people.
    pub(super) message: String,
    /// What its provider says, and what an upstream one said, in lower case, without what they quote of a request.
    pub(super) text: String,
    /// The same with all that they quote.
    pub(super) whole: String,
    /// The status that the body names, and the innermost of all that it names.
    pub(super) status: Option<u16>,
    inner: Option<u16>,
    /// It names a field of the request.
    pub(super) names_field: bool,
    /// The wait that the body names in a field of its own.
    pub(super) retry_after: Option<RetryAfter>,
    /// When a limit is reset, used up or not.
    pub(super) reset: Option<RetryAfter>,
    /// It is an HTML page: from a gateway or firewall, not from the provider's API.
    pub(super) is_page: bool,
    /// It is plain text, which no provider's API sends.
    pub(super) is_plain: bool,
    /// The zone of a clock that names none.
    pub(super) home: Zone,
}

impl ErrorBody {
    /// Reads a body: JSON of any shape, a page, or plain text.
    pub(super) fn parse(body: &str, home: Zone) -> Self {
        // A time may come before the words that it belongs to.
        let home_of = |body: &str| if speaks_of_beijing(body) { Zone::BEIJING } else { home };
        let body = body.trim_start_matches('\u{feff}').trim();
        if let Ok(value) = serde_json::from_str::<Value>(body) {
            let mut error = Self { home: home_of(&value.to_string()), ..Self::default() };
            error.read(&value, 0);
            error.lower();
            error.inner = told_status(&error.text).or(error.inner);
            return error;
        }
        let is_markup = |letter: char| letter.is_ascii_alphabetic() || matches!(letter, '!' | '?');
        if body.strip_prefix('<').is_some_and(|rest| rest.starts_with(is_markup)) {
            return Self { message: page_title(body), is_page: true, home, ..Self::default() };
        }
        let mut error = Self { is_plain: !body.is_empty(), home: home_of(body), ..Self::default() };
        error.say(body, 0);
        error.lower();
        error.inner = told_status(&error.text).or(error.inner);
        error
    }

    fn lower(&mut self) {
        self.text.make_ascii_lowercase();
        self.whole.make_ascii_lowercase();
    }

    /// Tells whether one of these codes is among the error's.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.codes.iter().any(|said| said.eq_ignore_ascii_case(code)))
    }

    /// Tells whether it speaks of a limit of a whole day.
    pub(super) fn is_daily(&self) -> bool {
        ["per day", "per-day", "daily", "tpd", "rpd"].iter().any(|words| self.text.contains(words))
    }

    /// Returns the status of the innermost error, where it names one.
    pub(super) fn inner_status(&self) -> Option<u16> {
        self.inner.or(self.status)
    }

    /// Returns the code that tells most: a number tells no more than the status does.
    pub(super) fn code(&self) -> Option<&str> {
        let is_word = |code: &&String| !code.bytes().all(|byte| byte.is_ascii_digit());
        self.codes.iter().find(is_word).or(self.codes.first()).map(String::as_str)
    }

    fn read(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.say(text, depth),
            // Gemini streams an array and lists its details; a validator lists what it found.
            Value::Array(items) if depth <= DEPTH_MAX => items.iter().take(8).for_each(|item| self.read(item, depth)),
            Value::Object(object) if depth < DEPTH_MAX => self.read_object(object, depth + 1),
            _ => {}
        }
    }

    fn read_object(&mut self, object: &Map<String, Value>, depth: usize) {
        self.names_field |= ["param", "loc", "field", "fieldViolations"].into_iter().any(|key| match object.get(key) {
            // Some gateways put a status there.
            Some(Value::String(field)) => {
                !matches!(&**field, "" | "None" | "null" | "model") && field.parse::<f64>().is_err()
            }
            Some(Value::Array(path)) => {
                path.first().is_some_and(|root| !["header", "path", "query", "cookie"].iter().any(|it| root == it))
            }
            _ => false,
        });
        for key in ["code", "error_type", "error_code", "reason", "type", "status", "status_code"] {
            self.note(object.get(key));
        }
        for key in [
            "message",
            // Amazon's.
            "Message",
            "msg",
            "error",
            "error_message",
            "errorMessage",
            "error_msg",
            "status_msg",
            "detail",
            "raw",
            "title",
            "reason",
            "body",
        ] {
            if let Some(value) = object.get(key) {
                self.read(value, depth);
            }
        }
        for key in HIDES {
            if let Some(value) = object.get(key).filter(|value| value.is_object() || value.is_array()) {
                self.read(value, depth);
            }
        }
        for (name, value) in object {
            match TimeField::by(name) {
                Some(TimeField::Wait) => self.retry_after = later(self.retry_after, time(name, value, self.home)),
                Some(TimeField::Reset) => self.reset = later(self.reset, time(name, value, self.home)),
                None => {}
            }
        }
        // Google's names of quotas.
        let quotas = ["quotaId", "quota_limit"].into_iter().filter_map(|key| object.get(key)?.as_str());
        if quotas.into_iter().any(|quota| quota.contains("PerDay")) {
            self.retry_after = Some(RetryAfter::After(DAILY_WAIT));
        }
    }

    fn note(&mut self, code: Option<&Value>) {
        let code = match code {
            // Anthropic's envelope says so around every error.
            Some(Value::String(code)) if !matches!(&**code, "" | "error") => code.clone(),
            Some(Value::Number(code)) => code.to_string(),
            _ => return,
        };
        let status = code.parse().ok().filter(|status| (400..600).contains(status));
        self.status = self.status.or(status);
        self.inner = status.or(self.inner);
        self.codes.push(code);
    }

    /// Takes a text, and errors that are written out in it: gateways quote those of their providers. Where a field of
    /// the request is at fault, what is quoted is the request's.
    fn say(&mut self, text: &str, depth: usize) {
        if self.message.is_empty() {
            text.clone_into(&mut self.message);
        }
        let Parted { own, errors } = quotes::part(text);
        for (place, text) in [(&mut self.text, &*own), (&mut self.whole, text)] {
            place.push_str(text);
            place.push('\n');
        }
        if depth < DEPTH_MAX && !self.names_field {
            for error in &errors {
                self.read(error, depth + 1);
            }
        }
    }
}

/// The meaning of a field's value, by its name.
enum TimeField {
    /// When to ask again.
    Wait,
    /// When a limit is reset.
    Reset,
}

impl TimeField {
    /// Reads a name, however it is written: `retry_after`, `retryDelay`, `resets_in_seconds`, `X-RateLimit-Reset`.
    fn by(name: &str) -> Option<Self> {
        const WAITS: [&str; 15] = [
            "retryafter",
            "retrydelay",
            "retryin",
            "retryat",
            "resetsat",
            "resetat",
            "resetsin",
            "resetin",
            "resetafter",
            "resetsafter",
            "quotareset",
            "availableat",
            "availablein",
            "waitseconds",
            "waittime",
        ];
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        if plain.contains("ratelimitreset") || matches!(&*plain, "reset" | "resettime" | "resetdate") {
            return Some(Self::Reset);
        }
        WAITS.iter().any(|told| plain.contains(told)).then_some(Self::Wait)
    }
}

/// Reads a field's value as a time: a text, a number, or Google's object of seconds.
fn time(name: &str, value: &Value, home: Zone) -> Option<RetryAfter> {
    let is_millis = |name: &str| name.ends_with("ms") || name.to_ascii_lowercase().ends_with("milliseconds");
    match value {
        Value::String(text) => {
            when::parse_at(text, home).or_else(|| when::in_words(&format!("retry after {text}"), None, home))
        }
        Value::Number(number) if is_millis(name) => when::wait(number.as_f64()? / 1e3),
        Value::Number(number) => when::number_of(number.as_f64()?),
        Value::Object(parts) => when::wait(parts.get("seconds")?.as_f64()?),
        _ => None,
    }
}

/// Codes of Z.ai's and Zhipu's limits, whose clocks are Beijing's: of hours, of days and weeks, and of a plan.
const BEIJING_CODES: [&str; 8] = ["1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"];

/// Tells whether a clock without a zone in this body is Beijing's: by the language or by a code.
fn speaks_of_beijing(body: &str) -> bool {
    let has_code = |code: &&str| {
        body.match_indices(*code).any(|(at, _)| {
            let before = body[..at].trim_end_matches(['"', '\'', '\\', ' ']);
            let before = before.strip_suffix([':']).unwrap_or_default().trim_end_matches(['"', '\'', '\\', ' ']);
            before.ends_with("code") && !body[at + code.len()..].starts_with(|letter: char| letter.is_ascii_digit())
        })
    };
    when::is_chinese(body) || BEIJING_CODES.iter().any(has_code)
}

/// Returns the later of two times; the first of them, if they cannot be compared.
fn later(one: Option<RetryAfter>, other: Option<RetryAfter>) -> Option<RetryAfter> {
    match (one, other) {
        (Some(RetryAfter::After(one)), Some(RetryAfter::After(other))) => Some(RetryAfter::After(one.max(other))),
        (Some(RetryAfter::At(one)), Some(RetryAfter::At(other))) => Some(RetryAfter::At(one.max(other))),
        (one, other) => one.or(other),
    }
}

/// Returns the status that a text tells of in words, in lower case: "Error code: 429 - …".
fn told_status(text: &str) -> Option<u16> {
    const LEADS: [&str; 6] =
        ["error code: ", "status code: ", "status code ", "status: ", "http status ", "http error "];
    LEADS.iter().find_map(|lead| {
        let (_, tail) = text.split_once(lead)?;
        let digits = tail.get(..3)?;
        let ends = !tail[3..].starts_with(|letter: char| letter.is_ascii_digit());
        digits.parse().ok().filter(|status| ends && (400..600).contains(status))
    })
}

/// Tells whether JSON is an error rather than an answer.
pub(super) fn is_error(value: &Value) -> bool {
    let Some(object) = value.as_object().or_else(|| value.get(0)?.as_object()) else { return false };
    let says = |key| {
        object.get(key).is_some_and(|value| match value {
            Value::Null | Value::Bool(_) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Number(_) => true,
        })
    };
    let counts = |object: &Map<String, Value>, key| {
        object.get(key).is_some_and(|value| value.as_i64().is_some_and(|it| it != 0))
    };
    let beside = object.get("base_resp").and_then(Value::as_object);
    // MiniMax; Baidu; gateways of that kind, which have their words in `msg`.
    beside.is_some_and(|beside| counts(beside, "status_code"))
        || counts(object, "error_code")
        || (object.get("msg").is_some_and(Value::is_string)
            && (counts(object, "code") || object.get("success") == Some(&Value::Bool(false))))
        || says("error")
        || says("detail")
        || object.get("object").is_some_and(|kind| kind == "error")
        || (["message", "Message"].iter().any(|key| object.get(*key).is_some_and(Value::is_string)) && !says("choices"))
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

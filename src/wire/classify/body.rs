//! Reads error bodies of all shapes.

pub(super) mod quotes;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::wire::json::{self, says_success};
use crate::wire::time_field::{Meaning, TimeField};
use crate::wire::when::{self, Zone};
use crate::words::RetryAfter;
use quotes::Parted;

/// How long a quota of a whole day is held. Google names a wait of seconds beside it, which means nothing, and its day
/// ends at midnight in California, which cannot be known here: 24 failed requests a day are acceptable.
pub(super) const DAILY_WAIT: Duration = Duration::from_secs(3600);

/// Fields of codes, of words and of details. Names are compared by their letters and digits alone: each server writes
/// them in its own way (`error_code`, `errorCode`, `ErrorCode`).
const CODES: [&str; 13] = [
    "code",
    "errortype",
    "errorcode",
    "reason",
    "type",
    "status",
    "statuscode",
    "errcode",
    "errno",
    "ret",
    "retcode",
    "returncode",
    "resultcode",
];
const WORDS: [&str; 20] = [
    "message",
    "msg",
    "error",
    "errormessage",
    "errormsg",
    "errmsg",
    "statusmsg",
    "retmsg",
    "resultmsg",
    "returnmessage",
    "detail",
    "errors",
    "raw",
    "title",
    "reason",
    "body",
    "err",
    "fault",
    "faultstring",
    "exception",
];
/// OpenRouter, Azure, Gemini and Anthropic, Mistral, vLLM's proxies.
const HIDES: [&str; 13] = [
    "metadata",
    "baseresp",
    "availability",
    "innererror",
    "details",
    "violations",
    "headers",
    "ratelimit",
    "quota",
    "data",
    "cause",
    "response",
    "result",
];
/// Fields in which an answer is, in any dialect.
const ANSWERS: [&str; 7] = ["choices", "output", "content", "candidates", "embeddings", "delta", "outputs"];

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
    /// The field of the request that it names, in OpenAI's word for that.
    pub(super) param: Option<String>,
    /// It names a field of the request.
    pub(super) names_field: bool,
    /// The wait that the body names in a field of its own.
    pub(super) retry_after: Option<RetryAfter>,
    /// When a limit is reset, used up or not.
    pub(super) reset: Option<RetryAfter>,
    /// The words of a page, in lower case.
    page: String,
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
            let page = page_text(body).to_lowercase();
            return Self { message: page_title(body), page, is_page: true, home: home_of(body), ..Self::default() };
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

    /// Returns the words that may say when to come back: its own, or those of a page, which prove nothing else.
    pub(super) fn spoken(&self) -> &str {
        if self.is_page { &self.page } else { &self.text }
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
        let param = object.get("param").and_then(Value::as_str).filter(|param| !matches!(*param, "" | "None" | "null"));
        self.param = self.param.take().or(param.map(str::to_owned)).or_else(|| field_at(object.get("loc")));
        let fields = Fields::of(object);
        fields.all(&CODES).for_each(|code| self.note(code));
        fields.all(&WORDS).for_each(|words| self.read(words, depth));
        let hidden = fields.all(&HIDES).filter(|value| value.is_object() || value.is_array());
        hidden.for_each(|value| self.read(value, depth));
        for (name, value) in object {
            let Some(field) = TimeField::by(name) else { continue };
            let told = field.read(value, self.home);
            match field.meaning {
                Meaning::Wait => self.retry_after = later(self.retry_after, told),
                Meaning::Reset => self.reset = later(self.reset, told),
            }
        }
        // Google's names of quotas.
        let quotas = ["quotaId", "quota_limit"].into_iter().filter_map(|key| object.get(key)?.as_str());
        if quotas.into_iter().any(|quota| quota.contains("PerDay")) {
            self.retry_after = Some(RetryAfter::After(DAILY_WAIT));
        }
    }

    fn note(&mut self, code: &Value) {
        let code = match code {
            // Anthropic's envelope says so around every error.
            Value::String(code) if !matches!(&**code, "" | "error") => code.clone(),
            Value::Number(code) => code.to_string(),
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

/// Returns the field of a body to which a validator's path leads, as callers name it.
fn field_at(path: Option<&Value>) -> Option<String> {
    let (root, steps) = path?.as_array()?.split_first()?;
    if root != "body" || steps.is_empty() {
        return None;
    }
    let mut field = String::new();
    for step in steps {
        match step {
            Value::String(name) if field.is_empty() => field.push_str(name),
            Value::String(name) => field.extend([".", name]),
            Value::Number(at) => field.extend(["[", &at.to_string(), "]"]),
            _ => return None,
        }
    }
    Some(field)
}

/// The fields of an object by their plain names: letters and digits alone, in lower case.
struct Fields<'a>(Vec<(String, &'a Value)>);

impl<'a> Fields<'a> {
    fn of(object: &'a Map<String, Value>) -> Self {
        let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        Self(object.iter().map(|(name, value)| (plain(name).to_ascii_lowercase(), value)).collect())
    }

    /// Returns the values of these fields, in the order of the names.
    fn all<'f>(&'f self, names: &'f [&'f str]) -> impl Iterator<Item = &'a Value> + 'f {
        names.iter().flat_map(|name| self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| *value))
    }

    fn any_says(&self, names: &[&str]) -> bool {
        self.all(names).any(says_something)
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

/// Tells whether JSON that should have been an answer is an error: it has an error's object, or a verdict or words and
/// nothing in which an answer could be.
pub(super) fn is_error(value: &Value) -> bool {
    let Some(object) = value.as_object().or_else(|| value.get(0)?.as_object()) else { return false };
    let fields = Fields::of(object);
    let is_message = || fields.all(&["message"]).any(|text| text.as_str().is_some_and(|text| !text.is_empty()));
    let is_well = |fields: Fields<'_>| {
        let says_failure = |value: &Value| value.as_str().is_none_or(|text| !says_success(text));
        fields.succeed() && !fields.all(&["message", "msg"]).any(says_failure) && !fields.any_says(&["type"])
    };
    let tells = |value: &Value| says_something(value) && !value.as_object().is_some_and(|it| is_well(Fields::of(it)));
    fields.all(&["error", "errors", "detail", "fault", "exception", "err"]).any(tells)
        || object.get("object").is_some_and(|kind| kind == "error")
        // MiniMax.
        || fields.all(&["baseresp"]).any(is_refused)
        || (!fields.any_says(&ANSWERS)
            && ((is_message() && !fields.succeed()) || fields.refuse() || fields.all(&WRAPPERS).any(is_refused)))
}

/// Tells whether JSON that should have been an answer says that all is well, and nothing else.
pub(super) fn is_success(value: &Value) -> bool {
    let fields = value.as_object().map(Fields::of);
    !is_error(value) && fields.is_some_and(|fields| fields.succeed() && !fields.any_says(&ANSWERS))
}

/// Fields in which some gateways put all that they say.
const WRAPPERS: [&str; 3] = ["response", "result", "data"];

/// Tells whether an object holds an error, or says that what was asked failed.
fn is_refused(value: &Value) -> bool {
    let fields = value.as_object().map(Fields::of);
    fields.is_some_and(|fields| fields.any_says(&["error"]) || fields.refuse())
}

/// Codes that name a kind, in words that are no verdict.
const KINDS: [&str; 3] = ["errortype", "reason", "type"];

impl Fields<'_> {
    /// Tells whether they say that what was asked was done: by a code, and by none that says otherwise.
    fn succeed(&self) -> bool {
        let succeeds = |value: &Value| match value {
            Value::Number(number) => number.as_f64().is_some_and(json::is_success),
            Value::String(text) => text.parse().is_ok_and(json::is_success),
            _ => false,
        };
        let mut verdicts = CODES.iter().filter(|name| !KINDS.contains(name));
        verdicts.any(|name| self.all(std::slice::from_ref(name)).any(succeeds)) && !self.refuse()
    }

    /// Tells whether they say that what was asked failed: by a flag, or by a code with words beside it.
    fn refuse(&self) -> bool {
        const FLAGS: [&str; 3] = ["success", "issuccess", "ok"];
        const FAILED: [&str; 4] = ["error", "fail", "failed", "failure"];
        let is_bad = |code: f64| !json::is_success(code);
        let fails = |value: &Value| match value {
            Value::Number(number) => number.as_f64().is_some_and(is_bad),
            Value::String(text) => {
                text.parse::<f64>().map_or_else(|_| FAILED.iter().any(|word| text.eq_ignore_ascii_case(word)), is_bad)
            }
            _ => false,
        };
        let mut verdicts = CODES.iter().filter(|name| !KINDS.contains(name));
        self.all(&FLAGS).any(|flag| *flag == Value::Bool(false))
            // MiniMax and Baidu have them without words, too.
            || self.all(&["statuscode", "errorcode"]).any(|code| code.is_number() && fails(code))
            || (verdicts.any(|name| self.all(std::slice::from_ref(name)).any(fails)) && self.any_says(&WORDS))
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(_) => true,
    }
}

/// The most of a page that is looked at for a time.
const PAGE_MAX: usize = 16 << 10;

/// Returns what a page shows, in one line: its text without its tags.
fn page_text(page: &str) -> String {
    let mut end = page.len().min(PAGE_MAX);
    while !page.is_char_boundary(end) {
        end -= 1;
    }
    let texts = page[..end].split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    texts.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
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

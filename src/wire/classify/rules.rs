//! Judges an error by the tables of providers' codes and texts.
//!
//! What a refusal quotes is its caller's, so only the provider's own words accuse a key, a model or a host, and where
//! a field of the request is named or a code says that it is at fault, not even those: only codes do.
//!
//! The order of the rules has a meaning: an account without money goes before a limit, a limit before a missing model,
//! inability of one model or server before malformed requests, those before unsupported ones, and trouble that may pass
//! before the caller's fault. An error that no rule matches is judged by its status, in doubt as a refusal that proves
//! nothing.

use super::body::ErrorBody;
use super::codes::PLAIN;
use super::inabilities::LIMITS;
use super::tables::{ACCOUNT, HEADS, HOST_FILTERS, HOST_WORDS, LOAD, REQUEST, Rule, TARGET};
use super::{Sent, Verdict, accounts, fault, overflow};
use crate::words::{FailureClass, Scope};

/// Tells whether a code is known: to a rule, or as one that tells nothing. Numbers are statuses.
pub(super) fn knows(code: &str) -> bool {
    let rules = [ACCOUNT, LOAD, TARGET, LIMITS, REQUEST].into_iter().flatten().flat_map(|rule| rule.codes);
    code.bytes().all(|byte| byte.is_ascii_digit())
        || rules.chain(overflow::CODES).chain(PLAIN).any(|known| code.eq_ignore_ascii_case(known))
}

/// Judges an error by its codes, its texts and its status, in this order.
pub(super) fn judge(status: Option<u16>, error: &ErrorBody, sent: Sent<'_>) -> Verdict {
    let status = meant(status, error);
    let class = if error.is_page {
        by_page(status)
    } else if exceeds_limit(status, error) {
        FailureClass::RequestExceedsLimit
    } else {
        match by_words(status, error, sent) {
            Some(FailureClass::BadRequest) if fault::is_of_envelope(error) => FailureClass::Declined,
            Some(FailureClass::BadRequest) if fault::is_of_target(error, sent) => FailureClass::Unsupported,
            class => class.unwrap_or_else(|| by_status(status)),
        }
    };
    Verdict { class, scope: scope(class, status, error) }
}

/// Returns the status that an error means: behind a plain 400 or 500 a gateway hides that of the provider it asked.
/// Where the request is at fault, or an address in it, it is what that address answered.
fn meant(status: Option<u16>, error: &ErrorBody) -> Option<u16> {
    match (status, error.inner_status()) {
        (Some(400 | 500) | None, Some(inner @ (429 | 500..=599)))
            if !(blames_request(error) || error.text.contains("download")) =>
        {
            Some(inner)
        }
        (None, inner) => inner,
        (status, _) => status,
    }
}

fn by_words(status: Option<u16>, error: &ErrorBody, sent: Sent<'_>) -> Option<FailureClass> {
    use FailureClass as C;
    let refuses = matches!(status, Some(400 | 422));
    let is_blamed = refuses && blames_request(error);
    let ruled =
        |rules: &[Rule]| rules.iter().find(|rule| rule.matches(status, error, is_blamed)).map(|rule| rule.class);
    ruled(ACCOUNT)
        .or_else(|| overflow::is_overflow(status, error, sent).then_some(C::ContextTooLong))
        .or_else(|| if is_blamed { None } else { of_account(status, error) })
        .or_else(|| ruled(LOAD))
        .or_else(|| (!is_blamed && fault::is_gone(status, error, sent)).then_some(C::ModelGone))
        .or_else(|| ruled(TARGET))
        .or_else(|| by_head(status, error))
        .or_else(|| ruled(LIMITS))
        .or_else(|| ruled(REQUEST))
        .or_else(|| (refuses && fault::passes(error)).then_some(C::Server))
        .or_else(|| (refuses && fault::names_part(error)).then_some(C::BadRequest))
}

/// Returns what the shape of an error's words or codes says of a key or an account, with any status.
fn of_account(status: Option<u16>, error: &ErrorBody) -> Option<FailureClass> {
    let of_codes = || error.codes.iter().find_map(|code| accounts::verdict_of_code(code));
    accounts::verdict(own_words(status, error)).or_else(of_codes)
}

/// Returns the words of an error that may accuse a key: without what they quote, except in refusals of a key, which
/// quote no request.
fn own_words(status: Option<u16>, error: &ErrorBody) -> &str {
    if matches!(status, Some(401..=403 | 429)) { &error.whole } else { &error.text }
}

/// Returns the class of what a refusal begins with, behind what `LiteLLM` puts before another's words.
fn by_head(status: Option<u16>, error: &ErrorBody) -> Option<FailureClass> {
    let said = error.text.as_str();
    let passed_on = said.strip_prefix("litellm.").and_then(|said| said.split_once("exception - "));
    let head = passed_on.map_or(said, |(_, behind)| behind);
    let found = HEADS.iter().find(|(_, words)| words.iter().any(|words| head.starts_with(words)));
    found.map(|(class, _)| *class).filter(|_| matches!(status, None | Some(400..=499)))
}

/// Returns the kind of a page in the place of an answer: a gateway's, which knows of no model.
fn by_page(status: Option<u16>) -> FailureClass {
    match status {
        Some(402) => FailureClass::OutOfMoney,
        Some(401) => FailureClass::Unauthorised,
        Some(429) => FailureClass::RateLimited,
        Some(403 | 410 | 451) => FailureClass::Server,
        status => by_status(status),
    }
}

/// Tells whether a field is named, or a code says that the request is at fault.
fn blames_request(error: &ErrorBody) -> bool {
    error.names_field || [LIMITS, REQUEST].into_iter().flatten().any(|rule| error.has_code(rule.codes))
}

impl Rule {
    fn matches(&self, status: Option<u16>, error: &ErrorBody, is_blamed: bool) -> bool {
        let fits = status.map(|status| self.statuses.contains(&status));
        if self.codes.is_empty() && self.texts.is_empty() {
            return fits == Some(true);
        }
        let is_about_request = matches!(self.class, FailureClass::Unsupported | FailureClass::BadRequest);
        let text = match status {
            _ if is_about_request => &*error.whole,
            _ if is_blamed && self.class != FailureClass::ContentPolicy => "",
            status => own_words(status, error),
        };
        fits != Some(false)
            && (error.has_code(self.codes)
                || self.codes.iter().any(|code| names_code(text, code))
                || self.texts.iter().any(|words| says(text, words)))
    }
}

/// Tells whether a text names a code as one: at the head of a line, or behind what codes are called. Gateways write
/// errors out as texts, but a code may be the name of a tool, too.
fn names_code(text: &str, code: &str) -> bool {
    const NAMES: [&str; 6] = ["code", "error", "exception", "reason", "status", "type"];
    let is_named = |at: usize| {
        let before = text[..at].trim_end_matches([' ', ':', '=', '-', '(', '[', '{', '\'', '"']);
        before.is_empty() || before.ends_with('\n') || NAMES.iter().any(|name| before.ends_with(name))
    };
    code.contains('_') && fault::places(text, code, fault::is_inner).any(is_named)
}

/// Tells whether a text holds some words, all parts of them in their order.
fn says(text: &str, words: &str) -> bool {
    let mut rest = Some(text);
    for part in words.split(" … ") {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, rest)| rest);
    }
    rest.is_some()
}

/// Returns the class of a status where no rule matches.
fn by_status(status: Option<u16>) -> FailureClass {
    match status {
        Some(413) => FailureClass::RequestExceedsLimit,
        Some(451) => FailureClass::Forbidden,
        Some(498 | 503 | 529) => FailureClass::Overloaded,
        // The request is refused, and the answer does not say which part is wrong.
        Some(400 | 406 | 409 | 411 | 412 | 414..=418 | 422 | 431) => FailureClass::Declined,
        // A route or a method that is missing, a proxy in between, what is not ready, time-outs and closed connections
        // on the provider's side; an error inside a stream that says no more; a redirection; a gateway's own.
        _ => FailureClass::Server,
    }
}

fn scope(class: FailureClass, status: Option<u16>, error: &ErrorBody) -> Option<Scope> {
    match class {
        // "… or you do not have access to it": another key may have access.
        FailureClass::ModelGone
            if ["have access", "has access", "permission"].iter().any(|word| error.text.contains(word)) =>
        {
            Some(Scope::Key)
        }
        // A host with a word filter refuses what others take: it judges by its own list, not the request.
        FailureClass::ContentPolicy
            if error.has_code(HOST_FILTERS) || HOST_WORDS.iter().any(|words| error.text.contains(words)) =>
        {
            Some(Scope::Endpoint)
        }
        // It speaks of its own rules.
        FailureClass::BadRequest if !fault::is_of_all(error) => Some(Scope::Model),
        // Another key meets the same limit behind an aggregator.
        FailureClass::RateLimited if error.text.contains("upstream") => Some(Scope::Model),
        // What a gateway asked is overloaded, not the gateway.
        FailureClass::Overloaded
            if ["model", "upstream", "provider returned error"].iter().any(|word| error.text.contains(word)) =>
        {
            Some(Scope::Model)
        }
        FailureClass::Server if error.is_page || error.is_plain || matches!(status, Some(502 | 504 | 520..=530)) => {
            Some(Scope::Endpoint)
        }
        _ => None,
    }
}

/// Tells whether one request is larger than what a minute allows, so that no wait helps: "Limit 6000, Requested
/// 14368".
fn exceeds_limit(status: Option<u16>, error: &ErrorBody) -> bool {
    if !matches!(status, None | Some(413 | 429)) {
        return false;
    }
    let number_after = |word: &str| -> Option<u64> {
        let (_, tail) = error.text.split_once(word)?;
        let tail = tail.trim_start_matches([':', ' ']);
        let digits: String =
            tail.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    match (number_after("requested"), number_after("limit ").or_else(|| number_after("limit:"))) {
        (Some(requested), Some(limit)) => requested > limit,
        // Anthropic, of a plan whose windows are smaller.
        _ if error.text.contains("required for long context") => true,
        _ => error.text.contains("request too large") && error.codes.iter().any(|code| code == "rate_limit_exceeded"),
    }
}

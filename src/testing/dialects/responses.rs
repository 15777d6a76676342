//! The bytes of OpenAI's responses, as recorded traffic has them. Nothing is stored: the whole conversation comes with
//! each request, and thoughts come encrypted.

mod proof;
mod check;
mod writer;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::json::put;
use super::openai::flavour::{OPENAI_RESPONSES, ProviderFlavour};
use super::openai::{key, list};
use super::{Address, AnswerHead, AnswerParts, Finish, Headers, Refusal, ScriptedDialect};
use crate::testing::answer::Question;
use crate::testing::body_recorder::BodyRecorder;
use crate::testing::fault::{ProviderError, RetryHint};
use crate::testing::script::Flavour;
use writer::{End, EventWriter, Response};

/// OpenAI's responses. In another flavour only errors are written differently, and less is refused.
#[derive(Clone, Copy)]
pub(crate) struct Responses(&'static ProviderFlavour);

/// One for each flavour, in their order.
static RESPONSES: [Responses; Flavour::ALL.len()] = {
    let mut responses = [Responses(&OPENAI_RESPONSES); Flavour::ALL.len()];
    let mut at = 1;
    while at < responses.len() {
        responses[at] = Responses(ProviderFlavour::of(Flavour::ALL[at]));
        at += 1;
    }
    responses
};

impl Responses {
    /// Returns them in a flavour.
    pub(super) fn of(flavour: Flavour) -> &'static Self {
        &RESPONSES[flavour as usize]
    }
}

impl ScriptedDialect for Responses {
    fn key<'a>(&self, _: Address<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        key(self.0, headers)
    }

    fn read(&self, _: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Question, Refusal> {
        let is_official = self.0.rules.is_pedantic;
        check::read(is_official, &account(self.0, headers), body).map_err(|problem| self.0.malformed(&problem))
    }

    fn serves_any_model(&self) -> bool {
        self.0.has_one_model
    }

    fn write_stream(&self, answer_parts: &AnswerParts<'_>, recorder: &mut BodyRecorder) {
        let response = Response::new(answer_parts, &account(self.0, answer_parts.headers));
        let mut writer = EventWriter::after(0, recorder);
        writer.response("response.created", &response, End::InProgress);
        writer.response("response.in_progress", &response, End::InProgress);
        for (index, item) in response.items.iter().enumerate() {
            writer.item(index, item);
        }
        let end = end(answer_parts.finish);
        writer.response(end.event(), &response, end);
    }

    fn write_whole(&self, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
        Response::new(answer_parts, &account(self.0, answer_parts.headers)).write(end(answer_parts.finish), out);
    }

    fn failure_within(&self, answer_parts: &AnswerParts<'_>, sent: usize) -> Bytes {
        let response = Response::new(answer_parts, "");
        let mut out = Vec::new();
        if !answer_parts.question.stream {
            response.write(End::Failed, &mut out);
            return out.into();
        }
        let mut recorder = BodyRecorder::default();
        let mut writer = EventWriter::after(sent, &mut recorder);
        writer.event("error", 0, |out| {
            put(out, r#","error":{"type":"server_error","code":"server_error","message":"#);
            put(out, writer::FAILURE);
            put(out, r#","param":null}"#);
        });
        writer.response(End::Failed.event(), &response, End::Failed);
        recorder.bytes.into()
    }

    fn keep_alive(&self, stream: bool) -> &'static [u8] {
        if stream { self.0.keep_alive } else { b"\n" }
    }

    fn error(&self, error: ProviderError, model: &str) -> Refusal {
        self.0.error(error, model)
    }

    fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal {
        self.0.rate_limit(hint, limit, model)
    }

    fn nothing(&self, method: &Method, address: Address<'_>) -> Refusal {
        self.0.nothing(&format!("{method} {}", address.path))
    }

    fn models(&self, models: &[String], one: Option<&str>) -> Result<Bytes, Refusal> {
        list(self.0, models, one)
    }

    fn headers(&self, account: &AnswerHead<'_>) -> Headers {
        self.0.headers(account)
    }
}

/// Returns the account: the host that is asked, and the key. Reasoning encrypted for one account cannot be read by
/// another.
fn account(manner: &ProviderFlavour, headers: &HeaderMap) -> String {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("{host} {}", key(manner, headers).unwrap_or_default())
}

/// Returns how a response ends; the script's own words are statuses, and reasons why one is incomplete.
fn end(finish: Finish<'_>) -> End<'_> {
    match finish {
        Finish::Stop | Finish::ToolCalls | Finish::Scripted("completed" | "stop" | "refusal") => End::Completed,
        Finish::Length | Finish::Scripted("length") => End::Incomplete("max_output_tokens"),
        Finish::Scripted("failed") => End::Failed,
        Finish::Scripted(reason) => End::Incomplete(reason),
    }
}

#[cfg(test)]
mod tests;

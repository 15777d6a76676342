//! The dialect of a provider that is a function of this program: requests and answers in the common form (words).
//!
//! A request goes to it in words. Its answer comes back in events of a form of our own, so that it is read, judged,
//! limited and timed as every other; [`event`] and [`failed`] write them, [`END`] ends them. Parts that only another
//! dialect has words for, or that only another provider can read, are left out of the request.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::draft::{Draft, Fragment, broken};
use super::encoded::Encoded;
use super::json::parse;
use super::names::Names;
use super::request::Notes;
use super::tidy::begin;
use crate::words::{
    AnswerPiece, AssistantPart, ChatRequest, Dialect, Failure, FailureClass, Message, Payload, Piece, RetryAfter,
    Scope, StopReason, Usage, UserPart,
};

/// The end of an answer.
pub const END: Bytes = Bytes::from_static(b"data: \"end\"\n\n");

/// Returns the request to a function.
pub(super) fn encode(request: &ChatRequest) -> Encoded {
    let mut notes = Notes::default();
    notes.foreign(Dialect::Function, request);
    let stops = request.sampling.stop.clone();
    let words = Some(Arc::new(plain(request)));
    let (path, names) = (Cow::Borrowed(""), Names::default());
    Encoded { path, headers: HeaderMap::new(), body: Payload::default(), notes: notes.0, stops, names, words }
}

/// Returns a request without what a function cannot know the meaning of.
fn plain(request: &ChatRequest) -> ChatRequest {
    let mut plain = ChatRequest { original: None, foreign_tools: Vec::new(), ..request.clone() };
    plain.messages.retain(|message| !matches!(message, Message::Foreign(_)));
    for message in &mut plain.messages {
        match message {
            Message::User(parts) => parts.retain(|part| !matches!(part, UserPart::Foreign(_))),
            Message::Tool(result) => result.content.retain(|part| !matches!(part, UserPart::Foreign(_))),
            Message::Assistant(parts) => {
                parts.retain(|part| !matches!(part, AssistantPart::Foreign(_)));
                for part in parts {
                    match part {
                        AssistantPart::Reasoning(reasoning) => reasoning.proof = None,
                        AssistantPart::ToolCall(call) => call.proof = None,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    plain
}

/// One event of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    #[serde(borrow)]
    Reasoning(Cow<'a, str>),
    #[serde(borrow)]
    Call(Call<'a>),
    /// All, answered, cached, written to the cache, thought.
    Usage([u64; 5]),
    #[serde(borrow)]
    Stop(Cow<'a, str>),
    #[serde(borrow)]
    Failed(Failed<'a>),
    End,
}

#[derive(Serialize, Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    class: Cow<'a, str>,
    /// Its place among all scopes.
    scope: usize,
    status: Option<u16>,
    code: Option<String>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    after: Option<Duration>,
    at: Option<SystemTime>,
}

/// Why an answer stops, as it is written.
const STOPS: [(StopReason, &str); 6] = [
    (StopReason::Stop, "stop"),
    (StopReason::Length, "length"),
    (StopReason::ToolCalls, "tool_calls"),
    (StopReason::ContentFilter, "content_filter"),
    (StopReason::Refusal, "refusal"),
    (StopReason::Other, "other"),
];

/// Writes an event of a function's answer.
pub fn event(said: &AnswerPiece) -> Bytes {
    written(&match said {
        AnswerPiece::Text(text) => Event::Text(text.into()),
        AnswerPiece::Reasoning(text) => Event::Reasoning(text.into()),
        AnswerPiece::ToolCall(call) => {
            Event::Call(Call { id: (&call.id).into(), name: (&call.name).into(), arguments: (&call.arguments).into() })
        }
        AnswerPiece::Usage(usage) => {
            Event::Usage([usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning])
        }
        AnswerPiece::Stop(stop) => {
            let word = STOPS.iter().find(|(reason, _)| reason == stop).map_or("other", |(_, word)| word);
            Event::Stop(word.into())
        }
    })
}

/// Writes a function's failure.
pub fn failed(failure: &Failure) -> Bytes {
    let (after, at) = match failure.retry_after {
        None => (None, None),
        Some(RetryAfter::After(wait)) => (Some(wait), None),
        Some(RetryAfter::At(at)) => (None, Some(at)),
    };
    written(&Event::Failed(Failed {
        class: failure.class.name().into(),
        scope: Scope::ALL.iter().position(|scope| *scope == failure.scope).unwrap_or_default(),
        status: failure.status,
        code: failure.code.clone(),
        message: (&failure.message).into(),
        after,
        at,
    }))
}

fn written(event: &Event<'_>) -> Bytes {
    let mut bytes = b"data: ".to_vec();
    serde_json::to_writer(&mut bytes, event).expect("texts and numbers, which JSON has a form for");
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

/// Reads one event; tells whether it had content.
pub(super) fn read(draft: &mut Draft, data: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    match parse(data).map_err(|problem| broken(data, &problem))? {
        Event::Text(text) => Ok(draft.text(text, out)),
        Event::Reasoning(text) => Ok(draft.reasoning(text, out)),
        Event::Call(Call { id, name, arguments }) => {
            let index = Some(draft.calls_begun());
            draft.fragment(Fragment { index, id: &id, name: &name, arguments, proof: None })
        }
        Event::Usage([input, output, cached, cache_write, reasoning]) => {
            draft.usage = Some(Usage { input, output, cached, cache_write, reasoning });
            Ok(false)
        }
        Event::Stop(word) => {
            let stop = STOPS.iter().find(|(_, known)| *known == word).map(|(reason, _)| *reason);
            draft.stopped_by(stop, &word);
            Ok(false)
        }
        Event::End => {
            draft.stopped(StopReason::Stop);
            draft.done = true;
            Ok(false)
        }
        Event::Failed(failed) => Err(failed.into()),
    }
}

impl From<Failed<'_>> for Failure {
    fn from(failed: Failed<'_>) -> Self {
        let retry_after = failed.after.map(RetryAfter::After).or(failed.at.map(RetryAfter::At));
        let failure = Failure::new(failed.class.parse().unwrap_or(FailureClass::Server), begin(&failed.message));
        let scope = Scope::ALL.get(failed.scope).copied().unwrap_or(failure.scope);
        Failure { scope, status: failed.status, code: failed.code, retry_after, ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decoder, encode as encode_for, flavour::Flavour};
    use crate::words::{Foreign, Proof, Reasoning, ToolCall};

    /// Reads an answer's bytes back.
    fn read_back(bytes: &[Bytes]) -> Result<(Vec<Piece>, crate::wire::Ending), Failure> {
        let (mut decoder, mut out) = (Decoder::new(Dialect::Function, true), Vec::new());
        for chunk in bytes {
            decoder.push(chunk, &mut out)?;
        }
        Ok((out, decoder.finish()?))
    }

    #[test]
    fn all_that_a_function_says_is_read_as_it_was_said() {
        let call = ToolCall { id: "c1".into(), ..ToolCall::new("add", &serde_json::json!({"a": [1, "\n\u{2028}"]})) };
        let usage = Usage { input: 7, output: 9, cached: 1, cache_write: 2, reasoning: 3 };
        let said = [
            AnswerPiece::Reasoning("so, \"hm\"\r\n".into()),
            "é ".into(),
            "two".into(),
            call.clone().into(),
            AnswerPiece::Usage(usage),
        ];
        let bytes: Vec<Bytes> = said.iter().map(event).chain([END]).collect();
        let (pieces, ending) = read_back(&bytes).expect("a whole answer");
        assert_eq!(pieces, [Piece::Reasoning("so, \"hm\"\r\n".into()), Piece::Text("é two".into())]);
        assert_eq!(ending.tool_calls().collect::<Vec<_>>(), [&call]);
        assert_eq!((ending.usage, ending.stop, ending.text()), (Some(usage), StopReason::ToolCalls, "é two".into()));
    }

    #[test]
    fn every_reason_to_stop_arrives_and_an_answer_without_its_end_is_cut() {
        for (reason, _) in STOPS.into_iter().filter(|(reason, _)| *reason != StopReason::Other) {
            let (_, ending) =
                read_back(&[event(&"x".into()), event(&AnswerPiece::Stop(reason)), END]).expect("an answer");
            // One that stops for its calls has some.
            let expected = if reason == StopReason::ToolCalls { StopReason::Stop } else { reason };
            assert_eq!(ending.stop, expected);
        }
        assert_eq!(read_back(&[event(&"x".into())]).expect_err("no end").class, FailureClass::Cut);
        assert_eq!(read_back(&[END]).expect_err("no words").class, FailureClass::Empty);
    }

    #[test]
    fn a_failure_of_every_class_arrives_as_it_is() {
        for &class in FailureClass::ALL {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            for retry_after in [None, Some(RetryAfter::After(Duration::from_millis(1_500))), Some(RetryAfter::At(at))] {
                let failure = Failure { retry_after, status: Some(503), ..Failure::new(class, "no \"room\"") };
                assert_eq!(read_back(&[failed(&failure)]).expect_err("a failure"), failure);
            }
        }
    }

    #[test]
    fn a_function_is_asked_in_words_without_what_only_others_can_read() {
        let foreign = || Foreign::new(Dialect::AnthropicMessages, "container", "{}");
        let thought = Reasoning { text: "hm".into(), proof: Some(Proof::new(Dialect::Gemini, "x")) };
        let mut request = ChatRequest::new("smart").user("hi").session("s");
        request.foreign_tools.push(foreign());
        request.messages.push(Message::Foreign(foreign()));
        request
            .messages
            .push(Message::Assistant(vec![AssistantPart::Reasoning(thought), AssistantPart::Foreign(foreign())]));
        request.sampling.stop.push("END".into());
        let encoded = encode_for(Dialect::Function, Flavour::at("http://x"), &request, "m", true).expect("words");
        let words = encoded.words.expect("the request");
        let said = vec![AssistantPart::Reasoning(Reasoning { text: "hm".into(), proof: None })];
        assert_eq!(words.messages, [Message::user("hi"), Message::Assistant(said)]);
        assert_eq!((words.session.as_deref(), words.foreign_tools.len(), encoded.stops.len()), (Some("s"), 0, 1));
        assert_eq!(encoded.notes.len(), 2, "{:?}", encoded.notes);
    }
}

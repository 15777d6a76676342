//! The server half against the client half, against recordings, and against shapes written by hand from the vendors'
//! specifications, so that no bug of ours proves itself.

mod carried;
mod embed;
mod history;
mod losses;
mod meaning;
mod offered;
mod originals;
mod parts;
mod refusals;
mod requests;
mod round_trips;
mod shapes;
mod thinking;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::words::{
    AssistantPart, CallId, FieldName, Finished, Note, Proof, Reasoning, Reply, ReplyEvent, Source, StopReason,
    TargetId, ToolCall, Usage,
};

const CALLER_DIALECTS: [CallerDialect; 4] =
    [CallerDialect::OpenAiChat, CallerDialect::OpenAiResponses, CallerDialect::Anthropic, CallerDialect::Gemini];

/// Returns the parts of a request that go to no other dialect.
fn lost(asked: &ParsedRequest) -> Vec<Note> {
    asked.request.original.as_ref().expect("a body").lost.clone()
}

/// Returns an answer of these parts.
fn finished(parts: Vec<AssistantPart>, stop: StopReason) -> Finished {
    Finished {
        call: CallId::new(0, 1),
        parts,
        target: TargetId::new("p", "m"),
        verbatim: None,
        model: Some(Arc::from("m-1")),
        stop,
        refuses: false,
        stop_sequence: None,
        sources: Vec::new(),
        usage: Usage { input: 100, output: 20, cached: 30, cache_write: 10, reasoning: 5 },
        cost_usd: None,
        attempts: Vec::new(),
        last_resort: false,
        degraded: None,
        notes: Vec::new(),
    }
}

fn text(text: &str) -> AssistantPart {
    AssistantPart::Text(text.into())
}

fn proof(dialect: Dialect, data: &str) -> Proof {
    Proof::new(dialect, data.to_owned())
}

fn thought(text: &str, proof: Option<Proof>) -> AssistantPart {
    AssistantPart::Reasoning(Reasoning { text: text.into(), proof })
}

fn call(id: &str, name: &str, arguments: &str, proof: Option<Proof>) -> AssistantPart {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.into());
    AssistantPart::ToolCall(ToolCall { id, name, arguments, proof })
}

/// Returns the events in which the runtime tells an answer: pieces in their order, a proof with what follows it, calls
/// with the end.
fn events(answer: &Finished) -> Vec<ReplyEvent> {
    let mut events =
        vec![ReplyEvent::Started { call: answer.call, target: answer.target.clone(), attempt: 1, prompt_tokens: 0 }];
    let mut held = Vec::new();
    for part in &answer.parts {
        let (said, proof) = match part {
            AssistantPart::Text(text) => (ReplyEvent::Text(text.to_string()), None),
            AssistantPart::Reasoning(thought) => {
                (ReplyEvent::Reasoning(thought.text.to_string()), thought.proof.clone())
            }
            AssistantPart::ToolCall(_) | AssistantPart::Foreign(_) => continue,
        };
        if !matches!(&said, ReplyEvent::Text(said) | ReplyEvent::Reasoning(said) if said.is_empty()) {
            events.extend(held.drain(..).map(ReplyEvent::Proof));
            // As it comes: in pieces.
            for piece in pieces(&said) {
                events.push(piece);
            }
        }
        held.extend(proof);
    }
    events.extend(answer.parts.iter().filter_map(AssistantPart::as_tool_call).cloned().map(ReplyEvent::ToolCall));
    events.push(ReplyEvent::Finished(Box::new(answer.clone())));
    events
}

fn pieces(said: &ReplyEvent) -> Vec<ReplyEvent> {
    let (said, make): (&str, fn(String) -> ReplyEvent) = match said {
        ReplyEvent::Text(said) => (said, ReplyEvent::Text),
        ReplyEvent::Reasoning(said) => (said, ReplyEvent::Reasoning),
        _ => return Vec::new(),
    };
    let letters: Vec<char> = said.chars().collect();
    letters.chunks(3).map(|letters| make(letters.iter().collect())).collect()
}

/// Writes an answer as a stream.
fn streamed(form: &Form, answer: &Finished) -> String {
    let mut writer = Writer::new(form.clone(), 7, 1_700_000_000);
    let mut out = Vec::new();
    for event in events(answer) {
        writer.event(&event, &mut out);
    }
    let length = out.len();
    writer.event(&ReplyEvent::Text("more".to_owned()), &mut out);
    writer.failed(&crate::words::Error::Crashed, &mut out);
    assert_eq!(out.len(), length, "nothing follows the end");
    String::from_utf8(out).expect("text")
}

/// Writes an answer whole.
fn whole(form: &Form, answer: &Finished) -> Value {
    let mut out = Vec::new();
    let reply = Reply::from(answer.clone());
    out.extend_from_slice(&Writer::new(form.clone(), 7, 1_700_000_000).whole(&reply));
    serde_json::from_slice(&out).expect("JSON")
}

/// Returns the data of a stream's events, each checked to have its name as its type where it has one.
fn data(stream: &str) -> Vec<Value> {
    let events = stream.split("\n\n").filter(|event| !event.is_empty());
    let data = events.map(|event| {
        let (name, data) = match event.split_once('\n') {
            Some((name, data)) => (name.strip_prefix("event: "), data),
            None => (None, event),
        };
        let data = data.strip_prefix("data: ").expect("data");
        let data = if data == "[DONE]" { "\"[DONE]\"" } else { data };
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert!(name.is_none_or(|name| data["type"] == name), "{event}");
        data
    });
    data.collect()
}

/// Returns the form of a plain request, thoughts and usage shown.
fn form(caller_dialect: CallerDialect) -> Form {
    let request = match caller_dialect {
        CallerDialect::OpenAiChat => {
            json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}], "stream": true,
            "stream_options": {"include_usage": true}})
        }
        CallerDialect::OpenAiResponses => json!({"model": "smart", "input": "Hi", "stream": true}),
        CallerDialect::Anthropic => {
            json!({"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
            "thinking": {"type": "adaptive"}})
        }
        CallerDialect::Gemini => json!({"contents": [{"parts": [{"text": "Hi"}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": true}}}),
    };
    asked(caller_dialect, &request).form
}

fn asked(caller_dialect: CallerDialect, body: &Value) -> ParsedRequest {
    let model = (caller_dialect == CallerDialect::Gemini).then_some("smart");
    read(caller_dialect, model, false, &body.to_string().into()).unwrap_or_else(|bad| panic!("{bad}: {body}"))
}

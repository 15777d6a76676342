//! Writes answers. A chunk of a stream and a whole reply have one shape.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::wire::serve::encoder::AnswerEncoder;
use crate::wire::serve::out::{between, data, json, line, object};
use crate::wire::serve::refusal::Fault;
use crate::wire::serve::seal::{self, Proves};
use crate::wire::serve::{CallerDialect, Form};
use crate::words::{AssistantPart, Dialect, Finished, Proof, Source, StopReason, ToolCall, Usage};

/// One answer in the form of `generateContent`.
#[derive(Debug)]
pub(in crate::wire::serve) struct Contents {
    form: Form,
    id: String,
    /// The bytes after the parts of a chunk that is not the last.
    after: Vec<u8>,
    last: Last,
}

/// The last part that was written: a proof belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Text,
    Thought,
    /// A thought that is not shown: its proof is of no use without it.
    Hidden,
}

const BEFORE: &[u8] = b"data: {\"candidates\":[{\"content\":{\"parts\":[";

impl Contents {
    pub(in crate::wire::serve) fn new(form: Form, seed: u64) -> Self {
        let id = format!("{seed:016x}");
        let mut after = b"],\"role\":\"model\"},\"index\":0}],\"modelVersion\":".to_vec();
        json(&mut after, &form.model);
        after.extend_from_slice(b",\"responseId\":");
        json(&mut after, &id);
        after.extend_from_slice(b"}\n\n");
        Self { form, id, after, last: Last::Text }
    }

    fn part(&self, part: &Part<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(BEFORE);
        line(out, part);
        out.extend_from_slice(&self.after);
    }

    /// Writes a part of one text: all that a token takes.
    fn say(&self, text: &str, after: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(BEFORE);
        between(out, b"{\"text\":", text, after);
        out.extend_from_slice(&self.after);
    }

    fn reply<'a>(&'a self, parts: Vec<Part<'a>>, answer: &Finished) -> Reply<'a> {
        let finish_reason = finish_reason(answer.stop);
        let content = Content { parts, role: "model" };
        Reply {
            candidates: [Candidate { content, finish_reason, index: 0, grounding_metadata: grounding(answer) }],
            usage_metadata: usage(&answer.usage),
            model_version: &self.form.model,
            response_id: &self.id,
        }
    }
}

impl AnswerEncoder for Contents {
    fn begin(&mut self, _: u64, _: &mut Vec<u8>) {}

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.last = Last::Text;
        self.say(text, b"}", out);
    }

    fn reasoning(&mut self, text: &str, out: &mut Vec<u8>) {
        self.last = if self.form.thoughts { Last::Thought } else { Last::Hidden };
        if self.form.thoughts {
            self.say(text, b",\"thought\":true}", out);
        }
    }

    fn proof(&mut self, proof: &Proof, out: &mut Vec<u8>) {
        let thought = self.last == Last::Thought;
        if self.last != Last::Hidden {
            self.part(&Part { thought, ..Part::proved("", signature(proof)) }, out);
        }
        self.last = Last::Text;
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        self.part(&Part::call(call), out);
    }

    // They are in the last chunk.
    fn sources(&mut self, _: &[Source], _: &mut Vec<u8>) {}

    fn end(&mut self, answer: &Finished, out: &mut Vec<u8>) {
        data(out, &self.reply(vec![Part { text: Some(""), ..Part::default() }], answer));
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        data(out, &fault.body(CallerDialect::Gemini));
    }

    fn whole(&self, answer: &Finished, out: &mut Vec<u8>) {
        let shown = |part: &&AssistantPart| match part {
            AssistantPart::Reasoning(thought) => self.form.thoughts || thought.text.is_empty(),
            AssistantPart::Foreign(_) => false,
            AssistantPart::Text(_) | AssistantPart::ToolCall(_) => true,
        };
        let parts = answer.parts.iter().filter(shown).map(|part| match part {
            AssistantPart::Foreign(_) => Part::default(),
            AssistantPart::Text(text) => Part { text: Some(text), ..Part::default() },
            AssistantPart::Reasoning(thought) => {
                let thought_signature = thought.proof.as_ref().map(signature);
                let shown = !thought.text.is_empty();
                Part { text: Some(&thought.text), thought: shown, thought_signature, ..Part::default() }
            }
            AssistantPart::ToolCall(call) => Part::call(call),
        });
        json(out, &self.reply(parts.collect(), answer));
    }
}

/// Returns a proof as clients can bring it back, which take it for Base64.
fn signature(proof: &Proof) -> Cow<'_, str> {
    if proof.dialect == Dialect::Gemini {
        Cow::Borrowed(&proof.data)
    } else {
        Cow::Owned(seal::to_digits(&seal::seal(Proves::Thought, proof)))
    }
}

/// Returns the reason of the end. With calls, too, it is that the model stopped.
const fn finish_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Stop | StopReason::ToolCalls => "STOP",
        StopReason::Length => "MAX_TOKENS",
        StopReason::ContentFilter | StopReason::Refusal => "SAFETY",
        StopReason::Other => "OTHER",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    candidates: [Candidate<'a>; 1],
    usage_metadata: Value,
    model_version: &'a str,
    response_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    finish_reason: &'static str,
    index: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    grounding_metadata: Option<Value>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: Vec<Part<'a>>,
    role: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

impl<'a> Part<'a> {
    fn proved(text: &'a str, signature: Cow<'a, str>) -> Self {
        Self { text: Some(text), thought_signature: Some(signature), ..Self::default() }
    }

    fn call(call: &'a ToolCall) -> Self {
        let ToolCall { id, name, arguments, proof } = call;
        Self {
            function_call: Some(Call { id, name, args: object(arguments) }),
            thought_signature: proof.as_ref().map(signature),
            ..Self::default()
        }
    }
}

/// Returns the sources of an answer, and the parts of the text that rest on each, in bytes.
fn grounding(answer: &Finished) -> Option<Value> {
    if answer.sources.is_empty() {
        return None;
    }
    let text: String = answer.parts.iter().filter_map(AssistantPart::as_text).collect();
    let bytes = |place: usize| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
    let chunk = |Source { url, title, .. }: &Source| json!({"web": {"uri": url, "title": title}});
    let support = |(at, Source { place, .. }): (usize, &Source)| {
        let (start, end) = (bytes(place.start), bytes(place.end));
        let segment = json!({"startIndex": start, "endIndex": end, "text": &text[start..end]});
        json!({"segment": segment, "groundingChunkIndices": [at]})
    };
    let chunks: Vec<Value> = answer.sources.iter().map(chunk).collect();
    let supports: Vec<Value> = answer.sources.iter().enumerate().map(support).collect();
    Some(json!({"groundingChunks": chunks, "groundingSupports": supports}))
}

fn usage(usage: &Usage) -> Value {
    let mut fields = json!({
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output.saturating_sub(usage.reasoning),
        "totalTokenCount": usage.input.saturating_add(usage.output),
    });
    for (key, count) in [("cachedContentTokenCount", usage.cached), ("thoughtsTokenCount", usage.reasoning)] {
        if count > 0 {
            fields[key] = count.into();
        }
    }
    fields
}

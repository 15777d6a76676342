//! Writes answers: chunks of a stream, and whole replies.

use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::edit::{Edits, Object};
use crate::wire::serve::encoder::AnswerEncoder;
use crate::wire::serve::out::{between, data, json};
use crate::wire::serve::refusal::Fault;
use crate::wire::serve::seal::{self, Proves};
use crate::wire::serve::{CallerDialect, Form};
use crate::words::{AssistantPart, Finished, Proof, Source, StopReason, ToolCall, Usage};

/// One answer in the form of chat completions.
#[derive(Debug)]
pub(in crate::wire::serve) struct Chat {
    form: Form,
    id: String,
    created: u64,
    /// The bytes before the delta in every chunk.
    before: Vec<u8>,
    /// The bytes after it.
    after: &'static str,
    /// The reasoning since the last text or proof.
    thought: String,
    calls: usize,
    details: usize,
    /// Whether the model's text is a refusal.
    refuses: bool,
}

/// What follows the delta of a chunk that is not the last one; where the usage is to come, every chunk before says that
/// it has not.
const AFTER: &str = ",\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const AFTER_WITH_USAGE: &str = ",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";

impl Chat {
    pub(in crate::wire::serve) fn new(form: Form, seed: u64, created: u64) -> Self {
        let id = format!("chatcmpl-{seed:016x}");
        let mut before = b"data: ".to_vec();
        let head = Head { id: &id, object: "chat.completion.chunk", created, model: &form.model };
        json(&mut before, &head);
        before.pop();
        before.extend_from_slice(b",\"choices\":[{\"index\":0,\"delta\":");
        let after = if form.usage { AFTER_WITH_USAGE } else { AFTER };
        Self { form, id, created, before, after, thought: String::new(), calls: 0, details: 0, refuses: false }
    }

    /// Writes a chunk with a delta.
    fn delta(&self, delta: &impl Serialize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        json(out, delta);
        out.extend_from_slice(self.after.as_bytes());
    }

    /// Writes a chunk with a delta of one text: all that a token takes.
    fn say(&self, field: &'static [u8], text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        between(out, field, text, b"}");
        out.extend_from_slice(self.after.as_bytes());
    }

    fn finish_reason(&self, stop: StopReason, refuses: bool) -> &'static str {
        match stop {
            StopReason::Length => "length",
            StopReason::ToolCalls if self.form.functions => "function_call",
            StopReason::ToolCalls => "tool_calls",
            StopReason::Refusal if refuses => "stop",
            // That the model declined is known too late to say it in a field of its own.
            StopReason::ContentFilter | StopReason::Refusal => "content_filter",
            StopReason::Stop | StopReason::Other => "stop",
        }
    }
}

impl AnswerEncoder for Chat {
    fn begin(&mut self, _: u64, out: &mut Vec<u8>) {
        self.delta(&json!({"role": "assistant", "content": "", "refusal": null}), out);
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.thought.clear();
        self.say(if self.refuses { b"{\"refusal\":" } else { b"{\"content\":" }, text, out);
    }

    fn refuse(&mut self, _: &mut Vec<u8>) {
        self.refuses = true;
    }

    fn reasoning(&mut self, text: &str, out: &mut Vec<u8>) {
        self.thought.push_str(text);
        self.say(b"{\"reasoning_content\":", text, out);
    }

    fn proof(&mut self, proof: &Proof, out: &mut Vec<u8>) {
        let detail = Detail::thought(self.details, &self.thought, proof);
        self.delta(&Details { reasoning_details: [detail] }, out);
        self.details += 1;
        self.thought.clear();
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        if let Some(proof) = &call.proof {
            self.delta(&Details { reasoning_details: [Detail::call(self.details, call, proof)] }, out);
            self.details += 1;
        }
        if self.form.functions {
            self.delta(&json!({"function_call": Function::of(call)}), out);
        } else {
            let index = Some(self.calls);
            self.delta(&Calls { tool_calls: [Call { index, ..Call::of(call) }] }, out);
        }
        self.calls += 1;
    }

    fn sources(&mut self, sources: &[Source], out: &mut Vec<u8>) {
        self.delta(&json!({"annotations": annotations(sources)}), out);
    }

    fn end(&mut self, answer: &Finished, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(b"{},\"logprobs\":null,\"finish_reason\":");
        json(out, self.finish_reason(answer.stop, self.refuses));
        out.extend_from_slice(if self.form.usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" });
        if self.form.usage {
            let head =
                Head { id: &self.id, object: "chat.completion.chunk", created: self.created, model: &self.form.model };
            data(out, &Last { head, choices: [(); 0], usage: usage(&answer.usage) });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        data(out, &fault.body(CallerDialect::OpenAiChat));
    }

    fn whole(&self, answer: &Finished, out: &mut Vec<u8>) {
        let message = Message::of(answer, self.form.functions);
        let finish_reason = self.finish_reason(answer.stop, answer.refuses);
        let choice = Choice { index: 0, message, logprobs: (), finish_reason };
        let head = Head { id: &self.id, object: "chat.completion", created: self.created, model: &self.form.model };
        json(out, &Last { head, choices: [choice], usage: usage(&answer.usage) });
    }
}

#[derive(Serialize)]
struct Head<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
}

/// A whole reply, or the last chunk.
#[derive(Serialize)]
struct Last<'a, C> {
    #[serde(flatten)]
    head: Head<'a>,
    choices: C,
    usage: Value,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u8,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Detail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Function<'a>>,
    annotations: Vec<Value>,
}

impl<'a> Message<'a> {
    fn of(answer: &'a Finished, functions: bool) -> Self {
        let parts = &answer.parts;
        let texts = || parts.iter().filter_map(AssistantPart::as_text);
        let text = texts().next().map(|_| texts().collect::<String>());
        let (content, refusal) = if answer.refuses { (None, text) } else { (text, None) };
        let mut details = Vec::new();
        for part in parts {
            let detail = match part {
                AssistantPart::Reasoning(thought) => {
                    thought.proof.as_ref().map(|proof| Detail::thought(details.len(), &thought.text, proof))
                }
                AssistantPart::ToolCall(call) => {
                    call.proof.as_ref().map(|proof| Detail::call(details.len(), call, proof))
                }
                AssistantPart::Text(_) | AssistantPart::Foreign(_) => None,
            };
            details.extend(detail);
        }
        let calls = || parts.iter().filter_map(AssistantPart::as_tool_call);
        Self {
            role: "assistant",
            content,
            refusal,
            reasoning_content: parts.iter().filter_map(AssistantPart::as_reasoning).collect(),
            reasoning_details: details,
            tool_calls: if functions { Vec::new() } else { calls().map(Call::of).collect() },
            function_call: calls().next().filter(|_| functions).map(Function::of),
            annotations: annotations(&answer.sources),
        }
    }
}

#[derive(Serialize)]
struct Calls<'a> {
    tool_calls: [Call<'a>; 1],
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    fn of(call: &'a ToolCall) -> Self {
        Self { index: None, id: &call.id, kind: "function", function: Function::of(call) }
    }
}

impl<'a> Function<'a> {
    fn of(call: &'a ToolCall) -> Self {
        Self { name: &call.name, arguments: &call.arguments }
    }
}

#[derive(Serialize)]
struct Details<'a> {
    reasoning_details: [Detail<'a>; 1],
}

/// A thought with its proof, or the proof of a call: in the place where clients of `OpenRouter` look for them and bring
/// them back; the dialect itself has none.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Detail<'a> {
    #[serde(rename = "reasoning.text")]
    Text { index: usize, text: String, signature: String },
    #[serde(rename = "reasoning.encrypted")]
    Encrypted { index: usize, id: Option<&'a str>, data: String },
}

impl<'a> Detail<'a> {
    fn thought(index: usize, text: &str, proof: &Proof) -> Self {
        let data = seal::seal(Proves::Thought, proof);
        if text.is_empty() {
            Self::Encrypted { index, id: None, data }
        } else {
            Self::Text { index, text: text.to_owned(), signature: data }
        }
    }

    fn call(index: usize, call: &'a ToolCall, proof: &Proof) -> Self {
        Self::Encrypted { index, id: Some(&call.id), data: seal::seal(Proves::Call, proof) }
    }
}

/// Returns sources as annotations of the text.
fn annotations(sources: &[Source]) -> Vec<Value> {
    let cited = |Source { url, title, place, .. }: &Source| {
        json!({"url": url, "title": title, "start_index": place.start,
            "end_index": place.end})
    };
    sources.iter().map(|source| json!({"type": "url_citation", "url_citation": cited(source)})).collect()
}

/// Returns a whole answer with its usage, if it does not say that itself.
pub(in crate::wire::serve) fn with_usage(whole: Vec<u8>, spent: &Usage) -> Vec<u8> {
    let Some((text, mut object)) = std::str::from_utf8(&whole).ok().and_then(|it| Some((it, Object::of(it)?))) else {
        return whole;
    };
    if object.get("usage").is_some_and(|usage| usage != "null") {
        return whole;
    }
    let mut edits = Edits::new(text);
    object.set("usage", usage(spent).to_string(), &mut edits);
    object.finish(&mut edits);
    edits.finish().into_owned().into_bytes()
}

fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

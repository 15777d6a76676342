//! Writes answers: the events of a stream, and whole messages.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::REDACTED;
use crate::wire::serve::encoder::AnswerEncoder;
use crate::wire::serve::out::{between, event, json, object};
use crate::wire::serve::refusal::Fault;
use crate::wire::serve::seal::{self, Proves};
use crate::wire::serve::{CallerDialect, Form};
use crate::words::{AssistantPart, Dialect, Finished, Proof, Reasoning, Source, StopReason, ToolCall, Usage};

/// One answer in the form of messages.
#[derive(Debug)]
pub(in crate::wire::serve) struct Messages {
    form: Form,
    id: String,
    /// The index of the open block, or of the next.
    index: usize,
    open: Open,
    /// What the model thought since it last said or proved something, where that is not shown.
    hidden: String,
    /// What it proved then: shown nevertheless where a call follows, since a model that thinks while it calls wants it
    /// back.
    held: Vec<Reasoning>,
}

/// The block that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    None,
    Text,
    Thinking,
}

impl Messages {
    pub(in crate::wire::serve) fn new(form: Form, seed: u64) -> Self {
        let id = format!("msg_{seed:016x}");
        Self { form, id, index: 0, open: Open::None, hidden: String::new(), held: Vec::new() }
    }

    /// Opens a block, unless it is open.
    fn open(&mut self, kind: Open, out: &mut Vec<u8>) {
        if self.open == kind {
            return;
        }
        self.close(out);
        self.open = kind;
        let block = match kind {
            Open::Thinking => Block::Thinking { thinking: "", signature: "".into() },
            Open::Text | Open::None => Block::Text { text: "", citations: Vec::new() },
        };
        self.start(&block, out);
    }

    fn start(&self, block: &Block<'_>, out: &mut Vec<u8>) {
        let name = "content_block_start";
        event(out, name, &Start { kind: name, index: self.index, content_block: block });
    }

    /// Writes more of the open block: all that a token takes.
    fn delta(&self, before: &[u8], text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
        json(out, &self.index);
        between(out, before, text, b"}}\n\n");
    }

    /// Closes the open block.
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open != Open::None {
            self.open = Open::None;
            self.stop(out);
        }
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        let name = "content_block_stop";
        event(out, name, &json!({"type": name, "index": self.index}));
        self.index += 1;
    }

    /// Writes a thought as a block of its own.
    fn thought(&mut self, thought: &Reasoning, out: &mut Vec<u8>) {
        self.close(out);
        match Block::thought(thought) {
            Block::Thinking { thinking, signature } => {
                self.start(&Block::Thinking { thinking: "", signature: "".into() }, out);
                if !thinking.is_empty() {
                    self.delta(THINKING, thinking, out);
                }
                self.delta(SIGNATURE, &signature, out);
            }
            block => self.start(&block, out),
        }
        self.stop(out);
    }
}

const TEXT: &[u8] = b",\"delta\":{\"type\":\"text_delta\",\"text\":";
const THINKING: &[u8] = b",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":";
const SIGNATURE: &[u8] = b",\"delta\":{\"type\":\"signature_delta\",\"signature\":";
const INPUT: &[u8] = b",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":";

impl AnswerEncoder for Messages {
    fn begin(&mut self, prompt_tokens: u64, out: &mut Vec<u8>) {
        let usage = Usage { input: prompt_tokens, ..Usage::default() };
        let message = Message::new(self, Vec::new(), None, &usage);
        event(out, "message_start", &Begin { kind: "message_start", message });
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.hidden.clear();
        self.held.clear();
        self.open(Open::Text, out);
        self.delta(TEXT, text, out);
    }

    fn reasoning(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.form.thoughts {
            self.open(Open::Thinking, out);
            self.delta(THINKING, text, out);
        } else {
            self.hidden.push_str(text);
        }
    }

    fn proof(&mut self, proof: &Proof, out: &mut Vec<u8>) {
        let thought = Reasoning { text: std::mem::take(&mut self.hidden).into(), proof: Some(proof.clone()) };
        if !self.form.thoughts {
            self.held.push(thought);
        } else if self.open == Open::Thinking && !is_redacted(proof) {
            self.delta(SIGNATURE, &seal::thought(Dialect::AnthropicMessages, proof), out);
            self.close(out);
        } else {
            self.thought(&thought, out);
        }
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        for thought in std::mem::take(&mut self.held) {
            self.thought(&thought, out);
        }
        self.close(out);
        if let Some(block) = Block::call_proof(call) {
            self.start(&block, out);
            self.stop(out);
        }
        self.start(&Block::call(call, "{}"), out);
        self.delta(INPUT, &call.arguments, out);
        self.stop(out);
    }

    fn sources(&mut self, sources: &[Source], out: &mut Vec<u8>) {
        // A block of its own would have no text, which is refused when it comes back.
        for citation in sources.iter().filter(|_| self.open == Open::Text).map(citation) {
            let name = "content_block_delta";
            let delta = json!({"type": "citations_delta", "citation": citation});
            event(out, name, &json!({"type": name, "index": self.index, "delta": delta}));
        }
    }

    fn end(&mut self, answer: &Finished, out: &mut Vec<u8>) {
        self.close(out);
        let delta = json!({"stop_reason": stop_reason(answer), "stop_sequence": answer.stop_sequence.as_deref()});
        let usage = Tokens::of(&answer.usage);
        event(out, "message_delta", &Stopped { kind: "message_delta", delta, usage });
        event(out, "message_stop", &json!({"type": "message_stop"}));
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        event(out, "error", &fault.body(CallerDialect::Anthropic));
    }

    fn whole(&self, answer: &Finished, out: &mut Vec<u8>) {
        let mut content = Vec::with_capacity(answer.parts.len());
        for (at, part) in answer.parts.iter().enumerate() {
            let wanted_back = || {
                let next = answer.parts[at..].iter().find(|part| part.as_reasoning().is_none());
                matches!(next, Some(AssistantPart::ToolCall(_)))
            };
            match part {
                AssistantPart::Text(text) => {
                    let is_last = !answer.parts[at + 1..].iter().any(|part| part.as_text().is_some());
                    let citations = answer.sources.iter().filter(|_| is_last).map(citation).collect();
                    content.push(Block::Text { text, citations });
                }
                AssistantPart::Reasoning(thought) => {
                    if self.form.thoughts || (thought.proof.is_some() && wanted_back()) {
                        content.push(Block::thought(thought));
                    }
                }
                AssistantPart::ToolCall(call) => {
                    content.extend(Block::call_proof(call));
                    content.push(Block::call(call, &call.arguments));
                }
                AssistantPart::Foreign(_) => {}
            }
        }
        let message = Message::new(self, content, Some(stop_reason(answer)), &answer.usage);
        json(out, &Message { stop_sequence: answer.stop_sequence.as_deref(), ..message });
    }
}

fn stop_reason(answer: &Finished) -> &'static str {
    match answer.stop {
        StopReason::Stop if answer.stop_sequence.is_some() => "stop_sequence",
        StopReason::Stop | StopReason::Other => "end_turn",
        StopReason::Length => "max_tokens",
        StopReason::ToolCalls => "tool_use",
        StopReason::ContentFilter | StopReason::Refusal => "refusal",
    }
}

/// Returns a source as what was found in the web. It lacks what its provider would want back with it: the seal in that
/// place says so, and removes the source from the next request.
fn citation(source: &Source) -> serde_json::Value {
    let Source { url, title, cited, .. } = source;
    let (kind, index) = ("web_search_result_location", seal::SOURCE);
    json!({"type": kind, "url": url, "title": title, "cited_text": cited, "encrypted_index": index})
}

fn is_redacted(proof: &Proof) -> bool {
    proof.dialect == Dialect::AnthropicMessages && proof.data.starts_with(REDACTED)
}

#[derive(Serialize)]
struct Begin<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Start<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    content_block: &'a Block<'a>,
}

#[derive(Serialize)]
struct Stopped {
    #[serde(rename = "type")]
    kind: &'static str,
    delta: serde_json::Value,
    usage: Tokens,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    usage: Tokens,
}

impl<'a> Message<'a> {
    fn new(of: &'a Messages, content: Vec<Block<'a>>, stop_reason: Option<&'static str>, usage: &Usage) -> Self {
        let (id, model, usage) = (&of.id, &of.form.model, Tokens::of(usage));
        Self { id, kind: "message", role: "assistant", model, content, stop_reason, stop_sequence: None, usage }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<serde_json::Value>,
    },
    Thinking {
        thinking: &'a str,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
}

impl<'a> Block<'a> {
    /// Returns a thought as it can be brought back; a thought of which nothing can be read has only its proof.
    fn thought(thought: &'a Reasoning) -> Self {
        let Reasoning { text, proof } = thought;
        let Some(proof) = proof else { return Self::Thinking { thinking: text, signature: "".into() } };
        let own = proof.dialect == Dialect::AnthropicMessages;
        match proof.data.strip_prefix(REDACTED).filter(|_| own) {
            Some(data) => Self::RedactedThinking { data: data.into() },
            None if text.is_empty() && !own => {
                Self::RedactedThinking { data: seal::seal(Proves::Thought, proof).into() }
            }
            None => Self::Thinking { thinking: text, signature: seal::thought(Dialect::AnthropicMessages, proof) },
        }
    }

    /// Returns the proof that a call's provider wants back with it: here it goes before the call.
    fn call_proof(call: &ToolCall) -> Option<Block<'static>> {
        let proof = call.proof.as_ref()?;
        Some(Block::RedactedThinking { data: seal::seal(Proves::Call, proof).into() })
    }

    fn call(call: &'a ToolCall, arguments: &'a str) -> Self {
        Self::ToolUse { id: &call.id, name: &call.name, input: object(arguments) }
    }
}

/// Usage as this dialect counts it: tokens read from the cache or written to it are no part of the input.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are the wire's")]
struct Tokens {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    thinking_tokens: u64,
}

impl Tokens {
    fn of(usage: &Usage) -> Self {
        let details = (usage.reasoning > 0).then_some(Details { thinking_tokens: usage.reasoning });
        Self {
            input_tokens: usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write),
            cache_creation_input_tokens: usage.cache_write,
            cache_read_input_tokens: usage.cached,
            output_tokens: usage.output,
            output_tokens_details: details,
        }
    }
}

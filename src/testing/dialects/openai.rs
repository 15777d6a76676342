//! The bytes of OpenAI's chat completions, as recorded traffic has them, in the flavour of the provider that is played.

mod check;
pub(super) mod flavour;
mod embeddings;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::json::{fill, filled, put, quote};
use super::{Address, AnswerHead, AnswerParts, Finish, Headers, Refusal, ScriptedDialect};
use crate::testing::answer::{Piece, Question};
use crate::testing::body_recorder::BodyRecorder;
use crate::testing::embed_question::EmbedQuestion;
use crate::testing::fault::{ProviderError, RetryHint};
use crate::testing::script::Flavour;
use crate::words::{ToolCall, Usage};
use flavour::{ProviderFlavour, Shapes, THOUGHT_MARK, UsageChunk, uuid};

/// OpenAI's chat completions.
#[derive(Clone, Copy)]
pub(crate) struct OpenAiChat(&'static ProviderFlavour);

/// One for each flavour, in their order.
static CHATS: [OpenAiChat; Flavour::ALL.len()] = {
    let mut chats = [OpenAiChat(&flavour::OPENAI); Flavour::ALL.len()];
    let mut at = 0;
    while at < chats.len() {
        chats[at] = OpenAiChat(ProviderFlavour::of(Flavour::ALL[at]));
        at += 1;
    }
    chats
};

impl OpenAiChat {
    /// Returns them in a flavour.
    pub(super) fn of(flavour: Flavour) -> &'static Self {
        &CHATS[flavour as usize]
    }
}

impl ScriptedDialect for OpenAiChat {
    fn key<'a>(&self, _: Address<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        key(self.0, headers)
    }

    fn summary(&self, address: Address<'_>, body: &[u8]) -> super::RequestSummary {
        let summary = super::summary(body);
        super::RequestSummary { model: deployment(address.path).map_or(summary.model, str::to_owned), ..summary }
    }

    fn read(&self, address: Address<'_>, _: &HeaderMap, body: &[u8]) -> Result<Question, Refusal> {
        let has_version = address.query.split('&').any(|pair| pair.starts_with("api-version="));
        if self.0.is_versioned && !has_version && !address.path.contains("/v1/") {
            return Err(self.0.nothing(address.path));
        }
        check::read(&self.0.rules, deployment(address.path), body).map_err(|problem| self.0.malformed(&problem))
    }

    fn serves_any_model(&self) -> bool {
        self.0.has_one_model
    }

    fn call_id(&self, id: &str, index: usize, is_thought: bool) -> String {
        filled(self.0.shapes.call_id, |out, hole| match hole {
            "id" => put(out, id),
            "short" => put(out, &id[..id.len().min(8)]),
            "index" => put(out, &index.to_string()),
            "thought" => put(out, if is_thought { THOUGHT_MARK } else { "n" }),
            other => unreachable!("no call has ${other}"),
        })
    }

    fn read_texts(&self, _: Address<'_>, body: &[u8]) -> Result<EmbedQuestion, Refusal> {
        embeddings::read(body).map_err(|problem| self.0.malformed(&problem))
    }

    fn write_vectors(&self, texts: &EmbedQuestion, out: &mut Vec<u8>) {
        embeddings::write(texts, out);
    }

    fn write_stream(&self, answer_parts: &AnswerParts<'_>, recorder: &mut BodyRecorder) {
        let shapes = &self.0.shapes;
        let mut frame = Frame::new(shapes, answer_parts);
        let mut delta = Vec::new();
        if !shapes.prelude.is_empty() {
            put(&mut recorder.bytes, shapes.prelude);
            recorder.mark(0);
        }
        if let Some(opening) = shapes.opening {
            frame.delta(&mut recorder.bytes, opening.as_bytes(), "");
            recorder.mark(0);
        }
        let mut pieces = answer_parts.pieces.as_slice();
        while let Some((tokens, text)) = write_delta(shapes, &mut pieces, &mut delta) {
            frame.delta(&mut recorder.bytes, &delta, text);
            recorder.mark(tokens);
        }
        frame.end(&mut recorder.bytes, finish(shapes, answer_parts.finish));
        recorder.mark(0);
        let asked = if answer_parts.question.include_usage { UsageChunk::Asked } else { UsageChunk::Always };
        if [UsageChunk::Always, asked].contains(&shapes.own_usage) {
            frame.usage(&mut recorder.bytes);
            recorder.mark(0);
        }
        if !shapes.done.is_empty() {
            put(&mut recorder.bytes, shapes.done);
            recorder.mark(0);
        }
    }

    fn write_whole(&self, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
        let shapes = &self.0.shapes;
        fill(out, shapes.whole, |out, hole| match hole {
            "message" => write_message(shapes, &answer_parts.pieces, out),
            "finish" => quote(out, finish(shapes, answer_parts.finish)),
            "usage" => write_usage(shapes, answer_parts.usage, out),
            other => write_head(shapes, answer_parts, out, other),
        });
    }

    fn failure_within(&self, answer_parts: &AnswerParts<'_>, _: usize) -> Bytes {
        let stream = answer_parts.question.stream;
        if let Some([streamed, whole]) = self.0.shapes.failure {
            let shape = if stream { streamed } else { whole };
            return filled(shape, |out, hole| write_head(&self.0.shapes, answer_parts, out, hole)).into();
        }
        let body = self.error(ProviderError::Server, answer_parts.model).body;
        if stream { [b"data: ", &body[..], b"\n\n"].concat().into() } else { body }
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

/// Returns the key of a request, from the first header that holds one.
pub(super) fn key<'a>(manner: &ProviderFlavour, headers: &'a HeaderMap) -> Option<&'a str> {
    manner.keys.iter().find_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        if *name == AUTHORIZATION { value.strip_prefix("Bearer ") } else { Some(value) }
    })
}

/// Returns the list of models, or one of them.
pub(super) fn list(manner: &ProviderFlavour, models: &[String], one: Option<&str>) -> Result<Bytes, Refusal> {
    let mut out = Vec::new();
    if let Some(one) = one {
        if !models.is_empty() && !models.iter().any(|model| model == one) {
            return Err(manner.error(ProviderError::ModelGone, one));
        }
        write_model(one, &mut out);
        return Ok(out.into());
    }
    put(&mut out, r#"{"object":"list","data":["#);
    for (at, model) in models.iter().enumerate() {
        put(&mut out, if at == 0 { "" } else { "," });
        write_model(model, &mut out);
    }
    put(&mut out, "]}");
    Ok(out.into())
}

/// Returns the model in an address.
fn deployment(path: &str) -> Option<&str> {
    path.split_once("/deployments/")?.1.strip_suffix("/chat/completions")
}

/// Fills the holes that every chunk and every answer has.
fn write_head(shapes: &Shapes, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>, hole: &str) {
    match hole {
        "id" => {
            let id = filled(shapes.id, |out, hole| match hole {
                "id" => put(out, answer_parts.id),
                "uuid" => put(out, &uuid(answer_parts.id)),
                "created" => put(out, &answer_parts.created.to_string()),
                other => unreachable!("no id has ${other}"),
            });
            quote(out, &id);
        }
        "created" => put(out, &answer_parts.created.to_string()),
        "model" => quote(out, answer_parts.model),
        other => unreachable!("no answer has ${other}"),
    }
}

/// The common parts of all chunks of one stream.
struct Frame<'a> {
    shapes: &'a Shapes,
    before_choices: String,
    between: String,
    /// The same in the last chunk, which some call done.
    ending: String,
    after_usage: String,
    usage: String,
    no_usage: String,
    /// All text so far, where every chunk repeats it.
    said: Option<String>,
}

impl<'a> Frame<'a> {
    fn new(shapes: &'a Shapes, answer_parts: &AnswerParts<'_>) -> Self {
        let (before, rest) = shapes.chunk.split_once("$choices").expect("a chunk has choices");
        let (between, after) = rest.split_once("$usage").expect("a chunk has a place for usage");
        let head = |template: &str, kind: &str| {
            filled(template, |out, hole| match hole {
                "kind" => put(out, kind),
                other => write_head(shapes, answer_parts, out, other),
            })
        };
        let usage = filled("$usage", |out, _| write_usage(shapes, answer_parts.usage, out));
        let no_usage = shapes.no_usage[usize::from(answer_parts.question.include_usage)];
        Self {
            shapes,
            before_choices: head(before, "chunk"),
            between: head(between, "chunk"),
            ending: head(between, "done"),
            after_usage: head(after, "chunk"),
            no_usage: no_usage.replace("$usage", &usage),
            usage,
            said: shapes.choice.contains("$said").then(String::new),
        }
    }

    /// Writes a chunk that goes on; `text` is the text in it.
    fn delta(&mut self, out: &mut Vec<u8>, delta: &[u8], text: &str) {
        if let Some(said) = &mut self.said {
            said.push_str(text);
        }
        put(out, &self.before_choices);
        self.choice(out, delta, text, None);
        put(out, &self.between);
        put(out, &self.no_usage);
        put(out, &self.after_usage);
    }

    /// Writes the chunk that says why it ends.
    fn end(&self, out: &mut Vec<u8>, reason: &str) {
        let Shapes { closing, end_usage, .. } = self.shapes;
        put(out, &self.before_choices);
        self.choice(out, closing.as_bytes(), "", Some(reason));
        put(out, &self.ending);
        if end_usage.is_empty() {
            put(out, &self.no_usage);
        } else {
            put(out, &end_usage.replace("$usage", &self.usage));
        }
        put(out, &self.after_usage);
    }

    /// Writes the chunk that has only the usage.
    fn usage(&self, out: &mut Vec<u8>) {
        let usage = self.shapes.usage_chunk.replace("$usage", &self.usage);
        for part in [&self.before_choices, &self.between, &usage, &self.after_usage] {
            put(out, part);
        }
    }

    fn choice(&self, out: &mut Vec<u8>, delta: &[u8], text: &str, reason: Option<&str>) {
        fill(out, self.shapes.choice, |out, hole| match (hole, reason) {
            ("delta", _) => out.extend_from_slice(delta),
            ("finish", None) => put(out, "null"),
            ("finish", Some(reason)) => quote(out, reason),
            ("end", None) => {}
            ("end", Some(reason)) => {
                put(out, r#","finish_reason":"#);
                quote(out, reason);
            }
            ("piece", _) => quote(out, text),
            ("said", _) => quote(out, self.said.as_deref().unwrap_or_default()),
            (other, _) => unreachable!("no choice has ${other}"),
        });
    }
}

/// Writes the delta of the next piece, or of a whole call. Returns its tokens and the text in it, or `None` after the
/// last one.
fn write_delta<'a>(shapes: &Shapes, pieces: &mut &[Piece<'a>], delta: &mut Vec<u8>) -> Option<(u32, &'a str)> {
    let (first, rest) = pieces.split_first()?;
    delta.clear();
    *pieces = rest;
    let (template, said) = match *first {
        Piece::Reasoning(text) => (shapes.thought, text),
        Piece::Text(text) => (shapes.text, text),
        Piece::Arguments { index, text } => {
            let template = shapes.arguments.expect("a call that comes whole leaves no arguments behind");
            fill(delta, template, |out, hole| match hole {
                "index" => put(out, &index.to_string()),
                "arguments" => quote(out, text),
                other => unreachable!("no arguments have ${other}"),
            });
            return Some((1, ""));
        }
        Piece::ToolCall { index, call } => {
            let more = if shapes.arguments.is_some() { 0 } else { arguments(rest).count() };
            let text: String = arguments(&rest[..more]).collect();
            *pieces = &rest[more..];
            write_call(shapes.call, index, call, &text, delta);
            return Some((u32::try_from(more + 1).unwrap_or(u32::MAX), ""));
        }
    };
    fill(delta, template, |out, _| quote(out, said));
    Some((1, if matches!(first, Piece::Text(_)) { said } else { "" }))
}

/// Returns the arguments at the beginning of pieces.
fn arguments<'a>(pieces: &[Piece<'a>]) -> impl Iterator<Item = &'a str> {
    pieces.iter().map_while(|piece| match piece {
        Piece::Arguments { text, .. } => Some(*text),
        _ => None,
    })
}

fn write_call(template: &str, index: usize, call: &ToolCall, arguments: &str, out: &mut Vec<u8>) {
    fill(out, template, |out, hole| match hole {
        "index" => put(out, &index.to_string()),
        "id" => quote(out, &call.id),
        "name" => quote(out, &call.name),
        "arguments" => quote(out, arguments),
        other => unreachable!("no call has ${other}"),
    });
}

fn write_message(shapes: &Shapes, pieces: &[Piece<'_>], out: &mut Vec<u8>) {
    let (mut thought, mut text, mut calls) = (String::new(), String::new(), Vec::new());
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Reasoning(word) => thought.push_str(word),
            Piece::Text(word) => text.push_str(word),
            Piece::ToolCall { index, call } => {
                if !calls.is_empty() {
                    put(&mut calls, ",");
                }
                let text: String = arguments(&pieces[at + 1..]).collect();
                write_call(shapes.one_call, *index, call, &text, &mut calls);
            }
            Piece::Arguments { .. } => {}
        }
    }
    fill(out, shapes.message, |out, hole| match hole {
        "content" => match shapes.thoughtful.filter(|_| !thought.is_empty()) {
            Some(content) => fill(out, content, |out, hole| quote(out, if hole == "text" { &text } else { &thought })),
            None if text.is_empty() && !calls.is_empty() => put(out, shapes.silence),
            None => quote(out, &text),
        },
        "thought" => fill(out, shapes.thoughts[usize::from(!thought.is_empty())], |out, _| quote(out, &thought)),
        "calls" => {
            fill(out, shapes.calls[usize::from(!calls.is_empty())], |out, _| out.extend_from_slice(&calls));
        }
        other => unreachable!("no message has ${other}"),
    });
}

fn write_usage(shapes: &Shapes, usage: Usage, out: &mut Vec<u8>) {
    let Usage { input, output, cached, reasoning, .. } = usage;
    fill(out, shapes.usage, |out, hole| {
        let count = match hole {
            "input" => input,
            "output" => output,
            "total" => input.saturating_add(output),
            "cached" => cached,
            "missed" => input.saturating_sub(cached),
            "reasoning" => reasoning,
            "visible" => output.saturating_sub(reasoning),
            other => unreachable!("no usage has ${other}"),
        };
        put(out, &count.to_string());
    });
}

fn write_model(model: &str, out: &mut Vec<u8>) {
    put(out, r#"{"id":"#);
    quote(out, model);
    put(out, r#","object":"model","created":1767225600,"owned_by":"standin"}"#);
}

/// Spells why an answer ended.
fn finish<'a>(shapes: &'a Shapes, finish: Finish<'a>) -> &'a str {
    match finish {
        Finish::Stop => shapes.finish[0],
        Finish::Length => shapes.finish[1],
        Finish::ToolCalls => shapes.finish[2],
        Finish::Scripted(word) => word,
    }
}

#[cfg(test)]
mod tests;

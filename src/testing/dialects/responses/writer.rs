//! Writes responses: the object, its items, and the events that tell of them.

use serde_json::Value;

use super::proof::seal;
use crate::testing::answer::Piece;
use crate::testing::body_recorder::BodyRecorder;
use crate::testing::dialects::json::{put, quote};
use crate::testing::dialects::{AnswerParts, Finish};
use crate::words::{ToolCall, Usage};

/// The error of a failed response, as JSON.
pub(super) const FAILURE: &str =
    r#""An error occurred while processing your request. You can retry your request, or contact us if it persists.""#;

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End<'a> {
    InProgress,
    Completed,
    Failed,
    Incomplete(&'a str),
}

impl End<'_> {
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::InProgress => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Failed => "response.failed",
            Self::Incomplete(_) => "response.incomplete",
        }
    }

    fn status(self) -> &'static str {
        &self.event()["response.".len()..]
    }

    /// Tells whether there is an output to show.
    fn has_output(self) -> bool {
        matches!(self, Self::Completed | Self::Incomplete(_))
    }
}

/// A response with everything in it.
pub(super) struct Response<'a> {
    answer_parts: &'a AnswerParts<'a>,
    pub(super) items: Vec<Item<'a>>,
}

/// An item of a response's output.
pub(super) struct Item<'a> {
    id: String,
    what: ItemContent<'a>,
    /// Its text, token by token, and as a whole.
    pieces: Vec<&'a str>,
    text: String,
    is_whole: bool,
}

enum ItemContent<'a> {
    /// A thought: sealed and shown, if that was asked for.
    Thought {
        sealed: Option<String>,
        is_shown: bool,
    },
    Message,
    Refusal,
    Call(&'a ToolCall),
}

impl<'a> Response<'a> {
    /// Makes items of an answer's pieces. Thoughts are sealed for the account.
    pub(super) fn new(answer_parts: &'a AnswerParts<'a>, account: &str) -> Self {
        let mut items: Vec<Item<'a>> = Vec::new();
        for piece in &answer_parts.pieces {
            let (what, text) = match *piece {
                Piece::Reasoning(text) => (Some(ItemContent::thought(answer_parts)), text),
                Piece::Text(text) if answer_parts.finish == Finish::Scripted("refusal") => {
                    (Some(ItemContent::Refusal), text)
                }
                Piece::Text(text) => (Some(ItemContent::Message), text),
                Piece::ToolCall { call, .. } => (Some(ItemContent::Call(call)), ""),
                Piece::Arguments { text, .. } => (None, text),
            };
            let what = what.filter(|what| items.last().is_none_or(|last| !last.what.takes(what)));
            if let Some(what) = what {
                let id = what.id(answer_parts.id, items.len());
                items.push(Item { id, what, pieces: Vec::new(), text: String::new(), is_whole: true });
            }
            let item = items.last_mut().expect("arguments follow their call");
            item.text.push_str(text);
            item.pieces.extend(Some(text).filter(|text| !text.is_empty()));
        }
        for Item { id, what, text, .. } in &mut items {
            if let ItemContent::Thought { sealed: Some(sealed), .. } = what {
                *sealed = seal(account, id, text);
            }
        }
        if let (Some(last), Finish::Length) = (items.last_mut(), answer_parts.finish) {
            last.is_whole = false;
        }
        Self { answer_parts, items }
    }

    /// Writes the object.
    pub(super) fn write(&self, end: End<'_>, out: &mut Vec<u8>) {
        let AnswerParts { id, created, model, question, usage, .. } = *self.answer_parts;
        let asked = |name: &str| question.body.get(name).filter(|value| !value.is_null());
        let field = |out: &mut Vec<u8>, name: &str, usual: &str| {
            put(out, &format!(r#","{name}":"#));
            match asked(name) {
                Some(value) => put(out, &value.to_string()),
                None => put(out, usual),
            }
        };
        put(out, &format!(r#"{{"id":"resp_{id}","object":"response","created_at":{created},"status":""#));
        put(out, end.status());
        put(out, r#"","background":false,"completed_at":"#);
        put(out, &if end == End::Completed { created.to_string() } else { "null".to_owned() });
        Self::write_details(end, out);
        for name in ["instructions", "max_output_tokens", "max_tool_calls"] {
            field(out, name, "null");
        }
        put(out, r#","model":"#);
        quote(out, model);
        put(out, r#","output":["#);
        let items = if end.has_output() { &self.items[..] } else { &[] };
        for (at, item) in items.iter().enumerate() {
            put(out, if at == 0 { "" } else { "," });
            item.write(true, out);
        }
        put(out, "]");
        field(out, "parallel_tool_calls", "true");
        put(out, r#","presence_penalty":0.0,"previous_response_id":null"#);
        field(out, "prompt_cache_key", "null");
        field(out, "prompt_cache_retention", "null");
        let within = |name: &str, inner: &str| asked(name).map_or(Value::Null, |value| value[inner].clone());
        let (effort, summary) = (within("reasoning", "effort"), within("reasoning", "summary"));
        put(out, &format!(r#","reasoning":{{"effort":{effort},"summary":{summary}}}"#));
        field(out, "safety_identifier", "null");
        put(out, r#","service_tier":"#);
        put(out, if end.has_output() { r#""default""# } else { r#""auto""# });
        field(out, "store", "true");
        field(out, "temperature", "1.0");
        let (format, verbosity) = match (within("text", "format"), within("text", "verbosity")) {
            (format, Value::Null) => (format, "medium".into()),
            both => both,
        };
        let format = if format.is_null() { serde_json::json!({"type": "text"}) } else { format };
        put(out, &format!(r#","text":{{"format":{format},"verbosity":{verbosity}}}"#));
        field(out, "tool_choice", r#""auto""#);
        field(out, "tools", "[]");
        field(out, "top_logprobs", "0");
        field(out, "top_p", "1.0");
        field(out, "truncation", r#""disabled""#);
        put(out, r#","usage":"#);
        if end.has_output() {
            write_usage(usage, out);
        } else {
            put(out, "null");
        }
        field(out, "user", "null");
        field(out, "metadata", "{}");
        put(out, "}");
    }

    /// Writes what went wrong, and what is missing.
    fn write_details(end: End<'_>, out: &mut Vec<u8>) {
        put(out, r#","error":"#);
        match end {
            End::Failed => put(out, &format!(r#"{{"code":"server_error","message":{FAILURE}}}"#)),
            _ => put(out, "null"),
        }
        put(out, r#","frequency_penalty":0.0,"incomplete_details":"#);
        match end {
            End::Incomplete(reason) => {
                put(out, r#"{"reason":"#);
                quote(out, reason);
                put(out, "}");
            }
            _ => put(out, "null"),
        }
    }
}

fn write_usage(usage: Usage, out: &mut Vec<u8>) {
    let Usage { input, output, cached, cache_write, reasoning } = usage;
    let total = input.saturating_add(output);
    put(
        out,
        &format!(
            r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":{cache_write}}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":{reasoning}}},"total_tokens":{total}}}"#
        ),
    );
}

impl ItemContent<'_> {
    fn thought(answer_parts: &AnswerParts<'_>) -> Self {
        let body = &answer_parts.question.body;
        let mut include = body["include"].as_array().into_iter().flatten();
        let is_sealed = include.any(|value| value == "reasoning.encrypted_content");
        let is_shown = body["reasoning"]["summary"].is_string();
        Self::Thought { sealed: is_sealed.then(String::new), is_shown }
    }

    /// Tells whether more of that kind goes into the same item.
    fn takes(&self, more: &Self) -> bool {
        !matches!(more, Self::Call(_)) && std::mem::discriminant(self) == std::mem::discriminant(more)
    }

    /// Makes an item's id. It contains the answer's id, so that items of one answer can be recognised.
    fn id(&self, answer: &str, index: usize) -> String {
        let kind = match self {
            Self::Thought { .. } => "rs",
            Self::Message | Self::Refusal => "msg",
            Self::Call(_) => "fc",
        };
        format!("{kind}_{answer}{index:02x}")
    }
}

impl Item<'_> {
    /// Writes the item, as it is at its end or at its beginning.
    fn write(&self, is_done: bool, out: &mut Vec<u8>) {
        let status = match (is_done, self.is_whole) {
            (false, _) => "in_progress",
            (true, true) => "completed",
            (true, false) => "incomplete",
        };
        put(out, &format!(r#"{{"id":"{}","type":"#, self.id));
        match &self.what {
            ItemContent::Thought { sealed, is_shown } => {
                put(out, r#""reasoning""#);
                if let Some(sealed) = sealed {
                    put(out, r#","encrypted_content":"#);
                    quote(out, sealed);
                }
                put(out, r#","summary":["#);
                if is_done && *is_shown {
                    self.part(true, out);
                }
                put(out, "]}");
            }
            ItemContent::Message | ItemContent::Refusal => {
                put(out, &format!(r#""message","status":"{status}","content":["#));
                if is_done {
                    self.part(true, out);
                }
                put(out, r#"],"role":"assistant"}"#);
            }
            ItemContent::Call(call) => {
                put(out, &format!(r#""function_call","status":"{status}","arguments":"#));
                quote(out, if is_done { &self.text } else { "" });
                put(out, r#","call_id":"#);
                quote(out, &call.id);
                put(out, r#","name":"#);
                quote(out, &call.name);
                put(out, "}");
            }
        }
    }

    /// Writes the part that holds the text.
    fn part(&self, is_done: bool, out: &mut Vec<u8>) {
        let begin = match self.what {
            ItemContent::Thought { .. } => r#"{"type":"summary_text","text":"#,
            ItemContent::Refusal => r#"{"type":"refusal","refusal":"#,
            ItemContent::Message | ItemContent::Call(_) => {
                r#"{"type":"output_text","annotations":[],"logprobs":[],"text":"#
            }
        };
        put(out, begin);
        quote(out, if is_done { &self.text } else { "" });
        put(out, "}");
    }
}

/// How the events of an item are called.
struct Names {
    /// Of the part the text is in; a call has none.
    part: Option<&'static str>,
    text: &'static str,
    /// Where in the item the text is.
    place: &'static str,
    /// The field of the whole text.
    whole: &'static str,
    /// Further fields of a text.
    besides: &'static str,
}

const SUMMARY: Names = Names {
    part: Some("response.reasoning_summary_part"),
    text: "response.reasoning_summary_text",
    place: r#","summary_index":0"#,
    whole: "text",
    besides: "",
};
const CONTENT: Names = Names {
    part: Some("response.content_part"),
    text: "response.output_text",
    place: r#","content_index":0"#,
    whole: "text",
    besides: r#","logprobs":[]"#,
};
const REFUSAL: Names = Names { text: "response.refusal", whole: "refusal", besides: "", ..CONTENT };
const ARGUMENTS: Names =
    Names { part: None, text: "response.function_call_arguments", place: "", whole: "arguments", besides: "" };

/// Writes events and numbers them.
pub(super) struct EventWriter<'a> {
    recorder: &'a mut BodyRecorder,
    number: usize,
}

impl<'a> EventWriter<'a> {
    /// Goes on after this number of events.
    pub(super) fn after(number: usize, recorder: &'a mut BodyRecorder) -> Self {
        Self { recorder, number }
    }

    /// Writes one event with this number of tokens; `fields` go between its type and its number, each with a comma
    /// before.
    pub(super) fn event(&mut self, kind: &str, tokens: usize, fields: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.recorder.bytes;
        put(out, &format!("event: {kind}\ndata: {{\"type\":\"{kind}\""));
        fields(out);
        put(out, &format!(",\"sequence_number\":{}}}\n\n", self.number));
        self.number += 1;
        self.recorder.mark(u32::try_from(tokens).unwrap_or(u32::MAX));
    }

    pub(super) fn response(&mut self, kind: &str, response: &Response<'_>, end: End<'_>) {
        self.event(kind, 0, |out| {
            put(out, r#","response":"#);
            response.write(end, out);
        });
    }

    /// Writes the life of an item.
    pub(super) fn item(&mut self, index: usize, item: &Item<'_>) {
        let names = match &item.what {
            ItemContent::Thought { is_shown: false, .. } => None,
            ItemContent::Thought { .. } => Some(&SUMMARY),
            ItemContent::Message => Some(&CONTENT),
            ItemContent::Refusal => Some(&REFUSAL),
            ItemContent::Call(_) => Some(&ARGUMENTS),
        };
        // A call begins with its name, which is a token.
        let first = usize::from(matches!(item.what, ItemContent::Call(_)));
        self.whole_item("response.output_item.added", first, index, item, false);
        if let Some(names) = names {
            self.text(names, index, item);
        }
        // Reasoning that is not shown takes its time, too.
        let unseen = if names.is_none() { item.pieces.len() } else { 0 };
        self.whole_item("response.output_item.done", unseen, index, item, true);
    }

    fn text(&mut self, names: &Names, index: usize, item: &Item<'_>) {
        let Names { part, text, place, whole, besides } = names;
        let place = format!(r#"{place},"item_id":"{}","output_index":{index}"#, item.id);
        let part_event = |scribe: &mut Self, what: &str, is_done: bool| {
            let Some(part) = part else { return };
            scribe.event(&format!("{part}.{what}"), 0, |out| {
                put(out, &place);
                put(out, r#","part":"#);
                item.part(is_done, out);
            });
        };
        part_event(self, "added", false);
        for piece in &item.pieces {
            self.event(&format!("{text}.delta"), 1, |out| {
                put(out, &place);
                put(out, r#","delta":"#);
                quote(out, piece);
                put(out, besides);
                // So that the length of an event tells nothing of what is in it.
                let padding = &item.id[..16_usize.saturating_sub(piece.len()).min(item.id.len())];
                put(out, &format!(r#","obfuscation":"{padding}""#));
            });
        }
        self.event(&format!("{text}.done"), 0, |out| {
            put(out, &place);
            put(out, besides);
            put(out, &format!(r#","{whole}":"#));
            quote(out, &item.text);
        });
        part_event(self, "done", true);
    }

    fn whole_item(&mut self, kind: &str, tokens: usize, index: usize, item: &Item<'_>, is_done: bool) {
        self.event(kind, tokens, |out| {
            put(out, r#","item":"#);
            item.write(is_done, out);
            put(out, &format!(r#","output_index":{index}"#));
        });
    }
}

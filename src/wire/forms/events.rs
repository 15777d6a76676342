//! The events in which a whole answer would have been streamed, in each dialect.

use super::node::{Node, empty, null, object, raw, said};
use crate::wire::edit::quoted;

/// The events of a stream, as they are written.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) out: String,
    /// How many have a number.
    count: u64,
}

/// The lists of an item of a response whose parts have events: the list, the parts' index, and the events' name.
const PARTS: [(&str, &str, &str); 2] = [
    ("content", "content_index", "response.content_part"),
    ("summary", "summary_index", "response.reasoning_summary_part"),
];
/// The parts whose text has events: their type, the text's field, and the events' name.
const VOICES: [(&str, &str, &str); 4] = [
    ("output_text", "text", "response.output_text"),
    ("refusal", "refusal", "response.refusal"),
    ("summary_text", "text", "response.reasoning_summary_text"),
    ("reasoning_text", "text", "response.reasoning_text"),
];
/// The items that are calls whose input has events, in the same way.
const CALLS: [(&str, &str, &str); 3] = [
    ("function_call", "arguments", "response.function_call_arguments"),
    ("custom_tool_call", "input", "response.custom_tool_call_input"),
    ("mcp_call", "arguments", "response.mcp_call_arguments"),
];

impl Events {
    /// Writes an event that its data alone tells.
    pub(super) fn data(&mut self, data: &Node) {
        self.out.extend(["data: ", &data.json(), "\n\n"]);
    }

    /// Writes an event that has a name, which its data repeats.
    fn named(&mut self, name: &str, mut data: Node) {
        data.members().insert(0, ("type".to_owned(), said(name)));
        self.out.extend(["event: ", name, "\n"]);
        self.data(&data);
    }

    /// Writes an event that has a number, too.
    fn numbered(&mut self, name: &str, mut data: Node) {
        data.set("sequence_number", raw(self.count.to_string()));
        self.count += 1;
        self.named(name, data);
    }

    pub(super) fn chat(&mut self, mut whole: Node, usage: bool) {
        let (choices, spent) = (whole.take_items("choices"), whole.take("usage").filter(|_| usage));
        whole.set("object", said("chat.completion.chunk"));
        let mut chunk = |choices: Vec<Node>, spent: Option<Node>| {
            let mut chunk = whole.clone();
            chunk.set("choices", Node::List(choices));
            if let Some(spent) = spent {
                chunk.set("usage", spent);
            }
            self.data(&chunk);
        };
        let mut ends = Vec::new();
        for mut choice in choices {
            let delta = choice.take("message").filter(|message| !message.is_null());
            let mut delta = delta.or_else(|| choice.take("delta")).unwrap_or_else(empty);
            let calls = delta.get("tool_calls").filter(|calls| !calls.is_null());
            for (at, call) in calls.into_iter().flat_map(Node::items).enumerate() {
                call.take("index");
                call.members().insert(0, ("index".to_owned(), raw(at.to_string())));
            }
            let reason = choice.take("finish_reason").filter(|reason| !matches!(&*reason.json(), "null" | "\"\""));
            let reason = reason.unwrap_or_else(|| said(reason_of(&mut delta)));
            let index = choice.get("index").cloned().unwrap_or_else(|| raw("0"));
            choice.set("delta", delta);
            choice.set("finish_reason", null());
            chunk(vec![choice], None);
            ends.push(object([("index", index), ("delta", empty()), ("finish_reason", reason)]));
        }
        for end in ends {
            chunk(vec![end], None);
        }
        if spent.is_some() {
            chunk(Vec::new(), spent);
        }
        self.out.push_str("data: [DONE]\n\n");
    }

    pub(super) fn messages(&mut self, mut whole: Node) {
        let (blocks, mut delta) = (whole.take_items("content"), empty());
        for name in ["stop_reason", "stop_sequence"] {
            delta.set(name, whole.take(name).unwrap_or_else(null));
            whole.set(name, null());
        }
        let usage = whole.get("usage").cloned();
        whole.set("content", raw("[]"));
        self.named("message_start", object([("message", whole)]));
        for (at, mut block) in blocks.into_iter().enumerate() {
            let place = object([("index", raw(at.to_string()))]);
            let deltas = pieces(&mut block);
            self.named("content_block_start", with(&place, "content_block", block));
            for delta in deltas {
                self.named("content_block_delta", with(&place, "delta", delta));
            }
            self.named("content_block_stop", place);
        }
        let mut end = object([("delta", delta)]);
        if let Some(usage) = usage {
            end.set("usage", usage);
        }
        self.named("message_delta", end);
        self.named("message_stop", empty());
    }

    pub(super) fn response(&mut self, mut whole: Node) {
        let mut output = std::mem::replace(whole.member("output"), raw("[]"));
        let mut begun = whole.clone();
        begun.set("status", said("in_progress"));
        begun.set("usage", null());
        self.numbered("response.created", object([("response", begun.clone())]));
        self.numbered("response.in_progress", object([("response", begun)]));
        for (at, item) in output.items().iter().enumerate() {
            self.item(at, item.clone());
        }
        whole.set("output", output);
        let status = whole.text("status").unwrap_or("completed").to_owned();
        self.numbered(&format!("response.{status}"), object([("response", whole)]));
    }

    /// Writes an item of a response.
    fn item(&mut self, at: usize, mut item: Node) {
        let kind = item.text("type").unwrap_or_default().to_owned();
        let place =
            object([("item_id", item.get("id").cloned().unwrap_or_else(null)), ("output_index", raw(at.to_string()))]);
        let whole = |item: Node| object([("output_index", raw(at.to_string())), ("item", item)]);
        let call = CALLS.into_iter().find(|(call, ..)| *call == kind);
        let call = call.and_then(|(_, field, event)| Some((field, event, said(item.text(field)?))));
        let mut begun = item.clone();
        for (list, ..) in PARTS {
            begun.list(list).into_iter().for_each(Vec::clear);
        }
        if let Some((field, ..)) = &call {
            begun.set(field, said(""));
        }
        if begun.get("status").is_some() {
            begun.set("status", said("in_progress"));
        }
        self.numbered("response.output_item.added", whole(begun));
        for (list, index, event) in PARTS {
            for (number, part) in item.list(list).cloned().into_iter().flatten().enumerate() {
                let mut place = place.clone();
                place.set(index, raw(number.to_string()));
                self.part(event, &place, part);
            }
        }
        if let Some((field, event, text)) = call {
            self.grown(event, &place, field, text);
        }
        self.numbered("response.output_item.done", whole(item));
    }

    /// Writes a part of an item.
    fn part(&mut self, event: &str, place: &Node, mut part: Node) {
        let kind = part.text("type").unwrap_or_default().to_owned();
        let voice = VOICES.into_iter().find(|(voice, ..)| *voice == kind);
        let voice = voice.and_then(|(_, field, event)| Some((field, event, said(part.text(field)?))));
        let mut begun = part.clone();
        if let Some((field, ..)) = &voice {
            begun.set(field, said(""));
        }
        self.numbered(&format!("{event}.added"), with(place, "part", begun));
        if let Some((field, event, text)) = voice {
            self.grown(event, place, field, text);
        }
        self.numbered(&format!("{event}.done"), with(place, "part", part));
    }

    /// Writes what came in pieces: here one, and all of it.
    fn grown(&mut self, event: &str, place: &Node, field: &str, text: Node) {
        self.numbered(&format!("{event}.delta"), with(place, "delta", text.clone()));
        self.numbered(&format!("{event}.done"), with(place, field, text));
    }
}

/// Returns why a whole answer of chat completions ended, where its provider left that out.
fn reason_of(message: &mut Node) -> &'static str {
    if message.list("tool_calls").is_some_and(|calls| !calls.is_empty()) {
        "tool_calls"
    } else if message.get("function_call").is_some_and(|call| !call.is_null()) {
        "function_call"
    } else {
        "stop"
    }
}

fn with(place: &Node, name: &str, value: Node) -> Node {
    let mut data = place.clone();
    data.set(name, value);
    data
}

/// Takes what comes in pieces out of a block of messages, and returns the pieces.
fn pieces(block: &mut Node) -> Vec<Node> {
    let kind = block.text("type").unwrap_or_default().to_owned();
    let mut pieces = Vec::new();
    let mut piece = |kind: &str, name: &str, value| pieces.push(object([("type", said(kind)), (name, value)]));
    let texts: &[(&str, &str)] = match &*kind {
        "text" => &[("text", "text_delta")],
        "thinking" => &[("thinking", "thinking_delta"), ("signature", "signature_delta")],
        _ => &[],
    };
    for (name, kind) in texts {
        if let Some(text) = block.text(name).map(said) {
            block.set(name, said(""));
            piece(kind, name, text);
        }
    }
    if let Some(cited) = block.get("citations").filter(|_| kind == "text").filter(|cited| !cited.is_null()) {
        for it in std::mem::take(cited.items()) {
            piece("citations_delta", "citation", it);
        }
    }
    if kind.ends_with("tool_use")
        && let Some(input) = block.get("input").map(|input| input.json())
    {
        block.set("input", empty());
        piece("input_json_delta", "partial_json", raw(quoted(&input)));
    }
    pieces
}

//! What a client puts together of a stream's events, in each dialect, event by event.

use serde::de::IgnoredAny;

use super::node::{Node, empty, index_of, null, object, raw, said};
use crate::words::Dialect;

/// A whole answer while its events come.
pub(super) trait Whole {
    /// Takes the next event.
    fn take(&mut self, event: Node);

    /// Returns the answer.
    fn finish(self: Box<Self>) -> Node;
}

/// Returns an answer of which nothing has come.
pub(super) fn begin(dialect: Dialect) -> Box<dyn Whole> {
    match dialect {
        Dialect::AnthropicMessages => Box::new(Messages { whole: empty(), blocks: Vec::new(), inputs: Vec::new() }),
        Dialect::OpenAiResponses => Box::new(Response { whole: empty(), items: Vec::new(), text: String::new() }),
        Dialect::Gemini | Dialect::Vertex => Box::new(Contents { whole: empty(), candidates: Vec::new() }),
        Dialect::OpenAiChat | Dialect::Ollama | Dialect::Function => {
            Box::new(Chat { whole: empty(), choices: Vec::new() })
        }
    }
}

/// Parts of an answer that grow with its stream, by their index.
type Growing = Vec<(String, Node)>;

/// Returns the part of an index, which begins as this one.
fn of_index(all: &mut Growing, index: String, make: impl FnOnce(&str) -> Node) -> &mut Node {
    let at = all.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
        let part = make(&index);
        all.push((index, part));
        all.len() - 1
    });
    &mut all[at].1
}

struct Chat {
    whole: Node,
    choices: Growing,
}

impl Whole for Chat {
    fn take(&mut self, mut event: Node) {
        let these = event.take_items("choices");
        let is_whole = event.text("object") == Some("chat.completion");
        for (name, value) in event.take_members() {
            if !value.is_null() || self.whole.get(&name).is_none() {
                self.whole.set(&name, value);
            }
        }
        for mut choice in these {
            let index = index_of(&mut choice).unwrap_or_else(|| "0".to_owned());
            let one = of_index(&mut self.choices, index, |index| {
                let message = object([("role", said("assistant")), ("content", null())]);
                object([("index", raw(index)), ("message", message)])
            });
            // Some servers call a piece a message.
            let ends = choice.get("finish_reason").is_some_and(|reason| !reason.is_null());
            let piece = choice.take("delta").filter(|delta| !delta.is_null());
            let message = choice.take("message").filter(|message| !message.is_null());
            // One that repeats all that came says what did not come.
            let (mut message, whole) = if is_whole { (None, message) } else { (message, None) };
            let all = one.member("message");
            match message.take_if(|message| ends && says_all(all, message)) {
                Some(whole) => all.grow_anew(whole),
                None => piece.or(message).into_iter().for_each(|piece| all.grow("message", piece)),
            }
            for (name, value) in whole.into_iter().flat_map(|mut whole| whole.take_members()) {
                let known = all.member(&name);
                if matches!(&*known.json(), "null" | "\"\"" | "[]") {
                    *known = value;
                }
            }
            for (name, value) in choice.take_members() {
                match &*name {
                    "logprobs" => one.member(&name).grow(&name, value),
                    _ if value.is_null() && one.get(&name).is_some() => {}
                    _ => one.set(&name, value),
                }
            }
        }
    }

    fn finish(self: Box<Self>) -> Node {
        let Self { mut whole, choices } = *self;
        let choices = choices.into_iter().map(|(_, mut choice)| {
            if let Some(calls) = choice.member("message").list("tool_calls") {
                for call in calls {
                    drop(call.take("index"));
                }
            }
            choice
        });
        whole.set("object", said("chat.completion"));
        whole.set("choices", Node::List(choices.collect()));
        whole
    }
}

/// Tells whether a message says all that came in pieces before: some servers repeat it at the end.
fn says_all(came: &mut Node, message: &mut Node) -> bool {
    let said = |message: &mut Node| message.text("content").map(str::to_owned).unwrap_or_default();
    let calls = |message: &mut Node| message.list("tool_calls").is_some_and(|calls| !calls.is_empty());
    let (before, has_calls) = (said(came), calls(came));
    let is_empty = before.is_empty() && !has_calls;
    message.is_object() && !is_empty && said(message).starts_with(&before) && (calls(message) || !has_calls)
}

struct Messages {
    whole: Node,
    blocks: Growing,
    /// The inputs of calls, JSON within a text.
    inputs: Growing,
}

impl Messages {
    fn delta(&mut self, index: &str, delta: Option<Node>) {
        let Some(mut delta) = delta else { return };
        if !self.blocks.iter().any(|(known, _)| known == index) {
            // Some servers tell no block's beginning.
            let block = match delta.text("type") {
                Some("text_delta") => object([("type", said("text")), ("text", said(""))]),
                Some("thinking_delta") => object([("type", said("thinking")), ("thinking", said(""))]),
                _ => return,
            };
            self.blocks.push((index.to_owned(), block));
        }
        let Some((_, block)) = self.blocks.iter_mut().rfind(|(known, _)| known == index) else { return };
        for (name, piece) in delta.take_members() {
            match &*name {
                "type" => {}
                "partial_json" => of_index(&mut self.inputs, index.to_owned(), |_| said("")).grow(&name, piece),
                "citation" => block.member("citations").items().push(piece),
                _ => block.member(&name).grow(&name, piece),
            }
        }
    }

    fn end(&mut self, name: &str, mut value: Node) {
        match name {
            "type" => {}
            "delta" => value.take_members().into_iter().for_each(|(name, value)| self.whole.set(&name, value)),
            "usage" => {
                let counts = value.take_members().into_iter().filter(|(_, count)| !count.is_null());
                counts.for_each(|(name, count)| self.whole.member("usage").set(&name, count));
            }
            _ => self.whole.set(name, value),
        }
    }
}

impl Whole for Messages {
    fn take(&mut self, mut event: Node) {
        let index = index_of(&mut event).unwrap_or_default();
        let kind = event.text("type").unwrap_or_default().to_owned();
        match &*kind {
            "message_start" => self.whole = event.take("message").unwrap_or_else(empty),
            "content_block_start" => self.blocks.extend(event.take("content_block").map(|block| (index, block))),
            "content_block_delta" => self.delta(&index, event.take("delta")),
            "message_delta" => event.take_members().into_iter().for_each(|(name, value)| self.end(&name, value)),
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Node {
        let Self { mut whole, blocks, inputs } = *self;
        let blocks = blocks.into_iter().map(|(index, mut block)| {
            let input = inputs.iter().find(|(known, _)| *known == index);
            let input = input.and_then(|(_, input)| serde_json::from_str::<String>(&input.json()).ok());
            // An input that was cut is no JSON: the block keeps what it began with.
            if let Some(input) = input.filter(|input| serde_json::from_str::<IgnoredAny>(input).is_ok()) {
                block.set("input", raw(input));
            }
            block
        });
        whole.set("content", Node::List(blocks.collect()));
        whole
    }
}

struct Contents {
    whole: Node,
    candidates: Growing,
}

impl Whole for Contents {
    fn take(&mut self, mut event: Node) {
        for mut one in event.take_items("candidates") {
            let index = index_of(&mut one).unwrap_or_else(|| "0".to_owned());
            let known = of_index(&mut self.candidates, index, |_| empty());
            if let Some(mut content) = one.take("content") {
                let parts = content.take_items("parts");
                let all = known.member("content");
                content.take_members().into_iter().for_each(|(name, value)| all.set(&name, value));
                if !parts.is_empty() {
                    let all = all.member("parts").items();
                    for part in parts {
                        put_part(all, part);
                    }
                }
            }
            for (name, value) in one.take_members() {
                match &*name {
                    "citationMetadata" | "logprobsResult" => known.member(&name).grow(&name, value),
                    "groundingMetadata" | "urlContextMetadata" => add(known.member(&name), value),
                    _ => known.set(&name, value),
                }
            }
        }
        event.take_members().into_iter().for_each(|(name, value)| self.whole.set(&name, value));
    }

    fn finish(self: Box<Self>) -> Node {
        let Self { mut whole, candidates } = *self;
        if !candidates.is_empty() {
            whole.set("candidates", Node::List(candidates.into_iter().map(|(_, one)| one).collect()));
        }
        whole
    }
}

/// Adds what a later chunk says of an answer's sources: in some streams each says all of them again, in others what is
/// new.
fn add(known: &mut Node, mut more: Node) {
    for (name, mut value) in more.take_members() {
        let known = known.member(&name);
        match (known.open(), value.open()) {
            (_, value) if value.is_null() => {}
            (Node::List(all), Node::List(more)) => {
                let told: Vec<String> = all.iter().map(Node::json).collect();
                all.extend(more.drain(..).filter(|item| !told.contains(&item.json())));
            }
            (known, value) => *known = std::mem::replace(value, null()),
        }
    }
}

/// Puts a part behind the others, or goes on with the last where both are nothing but text of one voice.
fn put_part(parts: &mut Vec<Node>, mut part: Node) {
    let voice = |part: &mut Node| {
        let plain = part.is_object() && part.members().iter().all(|(name, _)| matches!(&**name, "text" | "thought"));
        plain.then(|| part.get("thought").map(|it| it.json()))
    };
    let its = voice(&mut part);
    match parts.last_mut().filter(|_| its.is_some()).and_then(|last| (voice(last) == its).then_some(last)) {
        Some(last) => last.grow("", part),
        None => parts.push(part),
    }
}

struct Response {
    whole: Node,
    /// The items that are done, by the places that they have in the answer.
    items: Vec<(usize, Node)>,
    text: String,
}

impl Whole for Response {
    fn take(&mut self, mut event: Node) {
        let kind = event.text("type").unwrap_or_default().to_owned();
        match &*kind {
            "response.output_item.done" => {
                let index = event.get("output_index").and_then(|index| index.json().parse().ok());
                let place = index.unwrap_or(self.items.len());
                self.items.extend(event.take("item").map(|item| (place, item)));
            }
            "response.output_text.delta" => self.text.push_str(event.text("delta").unwrap_or_default()),
            _ => {}
        }
        if let Some(response) = event.take("response") {
            self.whole = response;
            let status = kind.strip_prefix("response.").filter(|it| matches!(*it, "completed" | "incomplete"));
            if let Some(status) = status.filter(|_| self.whole.get("status").is_none()) {
                self.whole.set("status", said(status));
            }
        }
    }

    fn finish(self: Box<Self>) -> Node {
        let Self { mut whole, items, text } = *self;
        let output = whole.member("output").items();
        add_missing(output, items);
        if !text.is_empty() && !output.iter_mut().any(|item| word(item, "type").as_deref() == Some("message")) {
            let part = object([("type", said("output_text")), ("text", Node::Text(text)), ("annotations", raw("[]"))]);
            let (kind, role, status) = (said("message"), said("assistant"), said("completed"));
            let content = Node::List(vec![part]);
            output.push(object([("type", kind), ("role", role), ("status", status), ("content", content)]));
        }
        whole
    }
}

/// Adds the items that were done before to those that a response lists at its end: some servers list none there, or
/// not all. Items of a kind that it lists under other ids are all there.
fn add_missing(listed: &mut Vec<Node>, mut done: Vec<(usize, Node)>) {
    let names: Vec<_> = done.iter_mut().map(|(_, item)| ItemNames::of(item)).collect();
    let told: Vec<_> = listed.iter_mut().map(ItemNames::of).collect();
    let others: Vec<_> = told.iter().filter(|it| !names.iter().any(|done| done.is(it))).collect();
    let mut missing: Vec<_> = done
        .into_iter()
        .zip(&names)
        .filter(|(_, it)| !(told.iter().any(|told| told.is(it)) || others.iter().any(|other| other.kind == it.kind)))
        .map(|(item, _)| item)
        .collect();
    missing.sort_by_key(|(place, _)| *place);
    for (place, item) in missing {
        listed.insert(place.min(listed.len()), item);
    }
}

/// What an item is known by.
struct ItemNames {
    kind: Option<String>,
    id: Option<String>,
    call: Option<String>,
}

impl ItemNames {
    fn of(item: &mut Node) -> Self {
        Self { kind: word(item, "type"), id: word(item, "id"), call: word(item, "call_id") }
    }

    /// Tells whether both are of one item. A call and its result have the same call.
    fn is(&self, other: &Self) -> bool {
        (self.id.is_some() && self.id == other.id)
            || (self.call.is_some() && self.call == other.call && self.kind == other.kind)
    }
}

/// Returns a word of an item, if it has it.
fn word(item: &mut Node, name: &str) -> Option<String> {
    if item.is_object() { item.text(name).filter(|word| !word.is_empty()).map(str::to_owned) } else { None }
}

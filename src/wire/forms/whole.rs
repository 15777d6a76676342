//! What a client puts together of a stream's events, in each dialect, event by event.

use serde::de::IgnoredAny;

use super::node::{Node, empty, index_of, null, object, raw, said};
use super::parts::{CALLS, PARTS, VOICES};
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
        Dialect::OpenAiResponses => Box::new(Response { whole: empty(), items: Vec::new() }),
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
            let piece = choice.take("delta").filter(|delta| !delta.is_null());
            if let Some(piece) = piece.or_else(|| choice.take("message").filter(|_| !is_whole)) {
                one.member("message").grow("message", piece);
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
    /// The items as far as they have come, by their index or their id.
    items: Growing,
}

impl Response {
    /// Takes an event about an item, which says all of it or a piece.
    fn item(&mut self, name: &str, act: &str, mut event: Node) {
        let mut item = event.take("item");
        let id = item.as_mut().map_or_else(|| event.text("item_id"), |item| item.text("id")).map(str::to_owned);
        let index = event.get("output_index").filter(|index| !index.is_null()).map(|index| index.json());
        let key = index.or_else(|| {
            let known = self.items.iter_mut().position(|(_, item)| id.is_some() && item.text("id") == id.as_deref());
            known.map(|at| self.items[at].0.clone()).or(id)
        });
        if let Some(item) = item {
            let key = key.unwrap_or_else(|| self.items.len().to_string());
            *of_index(&mut self.items, key, |_| null()) = item;
            return;
        }
        let key = key.unwrap_or_default();
        if let Some((_, field, _)) = CALLS.into_iter().find(|(.., event)| *event == name) {
            let known = self.items.iter_mut().find(|(known, _)| *known == key).map(|(_, item)| item);
            return put(known, act, field, &mut event);
        }
        let voice = VOICES.into_iter().find(|(.., event)| name.starts_with(event));
        let thinks = name.starts_with("response.reasoning");
        let Some((list, place, _)) = PARTS.into_iter().find(|(list, place, event_name)| {
            let is_usual = voice.is_some() && (*list == "summary") == name.contains("summary");
            *event_name == name || is_usual || event.get(place).is_some()
        }) else {
            return;
        };
        let item = of_index(&mut self.items, key, |_| {
            // Some servers tell no item's beginning.
            if thinks {
                return object([("type", said("reasoning")), ("summary", raw("[]"))]);
            }
            let (kind, role, status) = (said("message"), said("assistant"), said("in_progress"));
            object([("type", kind), ("role", role), ("status", status), ("content", raw("[]"))])
        });
        let parts = item.member(list).items();
        let at = event.get(place).and_then(|at| at.json().parse().ok()).unwrap_or(0).min(parts.len());
        if at == parts.len() {
            let (kind, field, _) = voice.unwrap_or(VOICES[0]);
            let mut part = object([("type", said(kind)), (field, said(""))]);
            if kind == "output_text" {
                part.set("annotations", raw("[]"));
            }
            parts.push(part);
        }
        match (event.take("part"), event.take("annotation"), voice) {
            (Some(part), ..) => parts[at] = part,
            (_, Some(annotation), _) => parts[at].member("annotations").items().push(annotation),
            (.., Some((_, field, _))) => put(Some(&mut parts[at]), act, field, &mut event),
            _ => {}
        }
    }
}

/// Lets a text grow by a piece, or takes all of it.
fn put(whole: Option<&mut Node>, act: &str, field: &str, event: &mut Node) {
    let piece = event.take(if act == "delta" { act } else { field });
    if let (Some(whole), Some(piece)) = (whole, piece) {
        if act != "delta" {
            whole.set(field, null());
        }
        whole.member(field).grow(field, piece);
    }
}

impl Whole for Response {
    fn take(&mut self, mut event: Node) {
        let kind = event.text("type").unwrap_or_default().to_owned();
        if let Some(response) = event.take("response") {
            self.whole = response;
            let status = kind.strip_prefix("response.").filter(|it| matches!(*it, "completed" | "incomplete"));
            if let Some(status) = status.filter(|_| self.whole.get("status").is_none()) {
                self.whole.set("status", said(status));
            }
        } else if let Some((name, act)) = kind.rsplit_once('.') {
            self.item(name, act, event);
        }
    }

    fn finish(self: Box<Self>) -> Node {
        let Self { mut whole, mut items } = *self;
        // Pieces of which nothing says where they belong are those of an item of their kind, if one came.
        let placed = items.iter_mut().filter(|(key, _)| !key.is_empty());
        let kinds: Vec<_> = placed.filter_map(|(_, item)| item.text("type").map(str::to_owned)).collect();
        items.retain_mut(|(key, item)| !key.is_empty() || !kinds.iter().any(|kind| item.text("type") == Some(kind)));
        let status = whole.text("status").unwrap_or("completed").to_owned();
        let told = std::mem::take(whole.member("output").items());
        let ended = |mut item: Node| {
            if item.text("status") == Some("in_progress") {
                item.set("status", said(&status));
            }
            item
        };
        let came = items.into_iter().map(|(_, item)| ended(item)).collect();
        whole.set("output", Node::List(all_items(told, came)));
        whole
    }
}

/// Returns the items that a response's end lists and, in their places, those that came before and are not listed: some
/// servers do not repeat at the end what they said before, or not all of it.
fn all_items(mut told: Vec<Node>, came: Vec<Node>) -> Vec<Node> {
    let id = |item: &mut Node| if item.is_object() { item.text("id").map(str::to_owned) } else { None };
    let (mut all, mut found) = (Vec::with_capacity(came.len()), 0);
    for mut item in came {
        let its = id(&mut item);
        let same = told.iter_mut().position(|told| its.is_some() && id(told) == its);
        found += usize::from(same.is_some());
        all.push(same.map_or(item, |at| told[at].clone()));
    }
    // With items that never came, or under other ids, the end counts alone.
    if found < told.len() { told } else { all }
}

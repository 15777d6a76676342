//! Edits requests that came in this dialect, item by item: items that the target accepts stay unchanged.

use super::super::THOUGHT;
use super::{Body, CALL_ID, nameless, visible};
use crate::wire::edit::{Array, Edits, Object, find, quoted, text};
use crate::wire::names::Names;
use crate::wire::original::{self, Draft, Setting, without_invoice};
use crate::wire::request::Notes;
use crate::wire::seal::{issuer, open};
use crate::words::{AssistantPart, Dialect, Message, Original, Payload, ToolResult};

/// The settings, and the fields that say them.
const SETTINGS: &[Setting] = &[
    Setting("parallel_tool_calls", &["parallel_tool_calls"]),
    Setting("sampling.temperature", &["temperature"]),
    Setting("sampling.top_p", &["top_p"]),
    Setting("output_tokens_max", &["max_output_tokens"]),
];

/// Returns the body as it came, edited for a target. `ours` has the settings as the target takes them. `None` where the
/// body must be written anew.
pub(super) fn edited(original: &Original, body: &Body<'_>, ours: &str, notes: &mut Notes) -> Option<Payload> {
    let differing = original::differing(original, SETTINGS, ours, notes);
    let effort = original.has("reasoning") && notes.tells("effort");
    let refused = original::refused(original, |field| body.flavour.takes_extra(Dialect::OpenAiResponses, field, false));
    let items = Items::of(original, body);
    let tools = !body.names.is_empty();
    let here = original.marks.background;
    let settled = differing.is_empty() && !effort && refused.is_empty() && original.stream == body.streaming && !here;
    if let (true, None, false) = (settled, &items, tools)
        && let Some(body) = original::renamed(original, body.model.name)
    {
        return Some(body);
    }
    let mut draft = Draft::of(original)?;
    draft.set("model", quoted(body.model.name));
    draft.settle(&differing, ours);
    if effort {
        match body.effort {
            Some(word) => draft.set("reasoning.effort", quoted(word)),
            None => without_reasoning(&mut draft),
        }
    }
    draft.drop_refused(&refused, notes);
    if here {
        draft.remove("background");
    }
    if original.stream != body.streaming {
        draft.set("stream", body.streaming.to_string());
        if !body.streaming {
            draft.remove("stream_options");
        }
    }
    if tools {
        self::tools(&mut draft, body.names);
    }
    if let Some(items) = items {
        items.edit(&mut draft, notes);
    }
    Some(draft.finish())
}

/// Takes out what a model that does not reason refuses: fields about reasoning, thoughts that are to come encrypted,
/// and how much is to be said ("Unsupported value: 'low' is not supported with the 'gpt-4o' model").
fn without_reasoning(draft: &mut Draft<'_>) {
    draft.remove("reasoning");
    draft.remove("text.verbosity");
    let Some(mut asked) = draft.object.get("include").and_then(Array::of) else { return };
    let is_thought = |it: &str| text(it).is_some_and(|it| it.starts_with("reasoning."));
    let found: Vec<usize> = asked.items().enumerate().filter(|(_, it)| is_thought(it)).map(|(at, _)| at).collect();
    for at in found {
        asked.remove(at);
    }
    asked.finish(&mut draft.edits);
}

/// Edits the names of tools where they are offered and chosen.
fn tools(draft: &mut Draft<'_>, names: &Names) {
    let Draft { object, edits, .. } = draft;
    let choice = object.get("tool_choice");
    let allowed = choice.and_then(|choice| find(choice, &["tools"]));
    for list in [object.get("tools"), allowed].into_iter().flatten() {
        for tool in Array::of(list).iter().flat_map(Array::items) {
            rename(tool, names, edits);
        }
    }
    if let Some(choice) = choice {
        rename(choice, names, edits);
    }
}

/// Replaces a tool's name by the one that is sent, also within an object of its own, as chat completions have it.
fn rename<'a>(tool: &'a str, names: &Names, edits: &mut Edits<'a>) {
    let places: [&[&str]; 3] = [&["name"], &["function", "name"], &["custom", "name"]];
    let Some(value) = places.into_iter().find_map(|place| find(tool, place)) else { return };
    let Some(name) = text(value) else { return };
    let sent = names.sent(&name);
    if sent != name {
        edits.replace(value, quoted(sent));
    }
}

/// The items, where something in them must change.
struct Items<'b, 'a> {
    body: &'b Body<'a>,
    developer: bool,
    invoice: bool,
    sealed: bool,
    thoughts: bool,
    /// Whether its provider has kept no thought, and knows only those that come back encrypted.
    forgets: bool,
}

impl<'b, 'a> Items<'b, 'a> {
    /// Finds out whether any item may have to change.
    fn of(original: &Original, body: &'b Body<'a>) -> Option<Self> {
        let items = Self {
            body,
            developer: !(body.flavour.is_generic() || body.flavour.knows_developer(body.model))
                && original.marks.developer,
            invoice: original.marks.invoice,
            sealed: original.marks.sealed,
            thoughts: original.marks.proof,
            forgets: forgets(original, body),
        };
        let fits = |message: &Message| match message {
            Message::Tool(ToolResult { call_id, .. }) => CALL_ID.fit(call_id) == *call_id,
            Message::Assistant(parts) => {
                parts.iter().filter_map(AssistantPart::as_tool_call).all(|call| CALL_ID.fit(&call.id) == call.id)
            }
            _ => true,
        };
        let looks = items.developer
            || items.invoice
            || items.sealed
            || items.thoughts
            || !body.names.is_empty()
            || !body.request.messages.iter().all(fits);
        looks.then_some(items)
    }

    fn edit(&self, draft: &mut Draft<'_>, notes: &mut Notes) {
        if let (true, Some(said)) = (self.invoice, draft.object.text("instructions")) {
            match without_invoice(&said) {
                Some(rest) if rest.len() == said.len() => {}
                Some(rest) => draft.set("instructions", quoted(rest)),
                None => draft.remove("instructions"),
            }
        }
        let Draft { object, edits, .. } = draft;
        let Some(mut items) = object.get("input").and_then(Array::of) else { return };
        let all: Vec<&str> = items.items().collect();
        for (at, item) in all.iter().enumerate() {
            if !self.item(item, edits, notes) {
                items.remove(at);
            }
        }
        items.finish(edits);
    }

    /// Edits an item; tells whether it stays.
    fn item<'m>(&self, whole: &'m str, edits: &mut Edits<'m>, notes: &mut Notes) -> bool {
        let Some(item) = Object::of(whole) else { return true };
        if let (true, Some("developer")) = (self.developer, item.text("role").as_deref()) {
            edits.replace(item.get("role").unwrap_or_default(), "\"system\"");
        }
        if let Some(value) = item.get("call_id")
            && let Some(id) = text(value)
        {
            let fit = CALL_ID.fit(&id);
            if fit != id {
                notes.converted("messages.tool_call.id");
                edits.replace(value, quoted(&fit));
            }
        }
        if item.text("type").is_some_and(|kind| kind.ends_with("_call")) {
            rename(whole, self.body.names, edits);
        }
        let offered = item.get("tools").and_then(Array::of);
        offered.iter().flat_map(Array::items).for_each(|tool| rename(tool, self.body.names, edits));
        let encrypted = item.text("encrypted_content").filter(|_| self.sealed);
        if let Some((provider, own)) = encrypted.as_deref().and_then(issuer) {
            if provider != self.body.model.provider {
                notes.dropped("messages.reasoning");
                return false;
            }
            edits.replace(item.get("encrypted_content").unwrap_or_default(), quoted(own));
        } else if let Some((_, proof)) = encrypted.as_deref().and_then(open) {
            if proof.dialect != Dialect::OpenAiResponses || !proof.is_of(self.body.model.provider) {
                notes.dropped("messages.reasoning");
                return false;
            }
            // The seal holds the item as it came from its provider.
            edits.replace(whole, nameless(&proof.data));
        } else if self.thoughts && !self.thought(whole, &item, edits) {
            notes.dropped("messages.reasoning");
            return false;
        }
        !self.invoice || said(&item, edits)
    }

    /// Looks at a thought, or a reference to one, that its provider may not know; tells whether it stays.
    fn thought<'m>(&self, whole: &'m str, item: &Object<'m>, edits: &mut Edits<'m>) -> bool {
        let id = item.text("id").unwrap_or_default();
        let is_ours = id.starts_with(THOUGHT);
        match item.text("type").as_deref() {
            Some("item_reference") => !is_ours,
            Some("reasoning") if item.text("encrypted_content").is_none_or(|data| data.is_empty()) => {
                let echoes = self.body.flavour.echoes(self.body.model);
                if is_ours && echoes {
                    edits.replace(whole, visible(&read(item)));
                }
                let is_hidden = self.body.flavour.hides_thoughts(self.body.model);
                echoes || !(is_ours || self.forgets || (id.is_empty() && is_hidden))
            }
            _ => true,
        }
    }
}

/// Tells whether a target keeps none of the thoughts that it has for this caller, and reads only encrypted ones.
fn forgets(original: &Original, body: &Body<'_>) -> bool {
    let said = std::str::from_utf8(&original.body).ok().and_then(|said| find(said, &["store"]));
    said == Some("false") && body.flavour.hides_thoughts(body.model)
}

/// Returns what can be read of a thought.
fn read(item: &Object<'_>) -> String {
    let parts = ["summary", "content"].into_iter().filter_map(|name| item.get(name).and_then(Array::of));
    let parts: Vec<&str> = parts.flat_map(|parts| parts.items().collect::<Vec<_>>()).collect();
    parts.into_iter().filter_map(|part| find(part, &["text"]).and_then(text)).collect()
}

/// Takes the text for Anthropic's invoice out of the content; tells whether anything is left.
fn said<'m>(item: &Object<'m>, edits: &mut Edits<'m>) -> bool {
    let Some(content) = item.get("content") else { return true };
    let mut left = false;
    let parts = Array::of(content);
    let texts = parts.iter().flat_map(Array::items).filter_map(|part| find(part, &["text"])).chain([content]);
    for value in texts {
        let Some(said) = text(value) else { continue };
        match without_invoice(&said) {
            Some(rest) if rest.len() == said.len() => left = true,
            Some(rest) => {
                edits.replace(value, quoted(rest));
                left = true;
            }
            // An empty text replaces the billing line.
            None => edits.replace(value, "\"\""),
        }
    }
    left || parts.is_some_and(|parts| parts.items().len() != 1)
}

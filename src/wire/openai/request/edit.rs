//! Edits requests that came in this dialect, item by item: items that the target accepts stay unchanged.

use std::borrow::Cow;

use memchr::memmem;

use super::super::arrange;
use super::super::google;
use super::super::messages::BRIDGE;
use super::Body;
use crate::wire::edit::{Array, Edits, Object, find, quoted, text};
use crate::wire::flavour::Flavour;
use crate::wire::json::Content;
use crate::wire::names::Names;
use crate::wire::original::{self, BEGUN, Draft, Setting, without_invoice};
use crate::wire::request::Notes;
use crate::wire::seal::{NO_PROOF, open};
use crate::wire::thought_blocks::blocks_of;
use crate::words::{AssistantPart, ChatRequest, Dialect, Message, Note, Original, Payload, ToolResult};

/// The settings, and the fields that say them.
const SETTINGS: &[Setting] = &[
    Setting("tool_choice", &["tool_choice"]),
    Setting("parallel_tool_calls", &["parallel_tool_calls"]),
    Setting("response_format", &["response_format"]),
    Setting("sampling.temperature", &["temperature"]),
    Setting("sampling.top_p", &["top_p"]),
    Setting("sampling.presence_penalty", &["presence_penalty"]),
    Setting("sampling.frequency_penalty", &["frequency_penalty"]),
    Setting("sampling.seed", &["seed", "random_seed"]),
    Setting("sampling.stop", &["stop"]),
    Setting("output_tokens_max", &["max_completion_tokens", "max_tokens"]),
];
/// Fields that are no settings and no extra ones.
const OWN: [&str; 9] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "reasoning_effort",
    "reasoning",
    "functions",
    "function_call",
];
/// The fields of a message that every server knows.
const MESSAGE: [&str; 6] = ["role", "content", "name", "tool_calls", "tool_call_id", "prefix"];
/// The note of a message that may not say who speaks.
const SPEAKER: Note = Note::Dropped("messages.name");
/// The fields in which servers and clients put reasoning.
const THOUGHTS: [&str; 2] = ["reasoning_content", "reasoning"];

/// Returns the body as it came, edited for a target. `ours` has the settings as the target takes them, `instruction` is
/// what has to be asked for in words. `None` where the body must be written anew.
pub(super) fn edited(
    original: &Original,
    body: &Body<'_>,
    ours: &str,
    instruction: Option<&str>,
    notes: &mut Notes,
) -> Option<Payload> {
    let Body { flavour, request, model, streaming, .. } = *body;
    let functions = || original.has("functions") || original.has("function_call") || calls_functions(original, request);
    if !flavour.functions && functions() {
        return None;
    }
    let chooses = flavour.strict && allows(original);
    if chooses {
        notes.converted("tool_choice");
    }
    let differing = original::differing(original, SETTINGS, ours, notes);
    let effort = effort(original, body, notes);
    let is_setting = |field: &str| SETTINGS.iter().any(|Setting(_, fields)| fields.contains(&field));
    let refused = original::refused(original, |field| {
        OWN.contains(&field) || is_setting(field) || flavour.takes_extra(Dialect::OpenAiChat, field, model.meant)
    });
    let counts = streaming && flavour.stream_usage;
    let usage = match original.stream_usage {
        Some(true) => !counts,
        Some(false) => true,
        None => counts,
    };
    let messages = MessageEdits::of(original, body, instruction);
    let tools = !body.names.is_empty() || (!flavour.keeps_marks() && original.marks.cached) || chooses;
    let settled = differing.is_empty() && !effort && refused.is_empty() && !usage && original.stream == streaming;
    if let (true, None, false) = (settled, &messages, tools)
        && let Some(body) = original::renamed(original, model.name)
    {
        return Some(body);
    }
    let mut draft = Draft::of(original)?;
    draft.set("model", quoted(model.name));
    draft.settle(&differing, ours);
    if effort {
        draft.remove("reasoning_effort");
        draft.remove("reasoning");
        for (field, value) in body.thinking.iter().filter(|(field, _)| !original.has(field) || SAID.contains(field)) {
            draft.set(field, value.to_string());
        }
    }
    draft.drop_refused(&refused, notes);
    if original.stream != streaming {
        draft.set("stream", streaming.to_string());
    }
    if usage {
        if counts {
            draft.set("stream_options.include_usage", "true");
        } else if !streaming || !flavour.stream_usage {
            draft.remove("stream_options");
        }
    }
    if tools {
        self::tools(&mut draft, body, chooses);
    }
    for (field, json) in flavour.continuing(request, Dialect::OpenAiChat) {
        draft.set(field, *json);
    }
    if let Some(messages) = messages {
        messages.edit(&mut draft, request.messages.len(), notes)?;
    }
    Some(draft.finish())
}

/// Fields that say only an effort.
const SAID: [&str; 2] = ["reasoning_effort", "reasoning"];

/// Tells whether the effort must be written otherwise than it came.
fn effort(original: &Original, body: &Body<'_>, notes: &Notes) -> bool {
    let named = SAID.iter().any(|field| original.has(field));
    // A server that takes `reasoning` takes the plain field `reasoning_effort`, too.
    let takes = |field: &str| {
        body.flavour.is_generic()
            || body
                .thinking
                .iter()
                .any(|(ours, _)| *ours == field || (*ours == "reasoning" && field == "reasoning_effort"))
    };
    let fits = match body.request.effort {
        Some(_) => SAID.iter().filter(|field| original.has(field)).all(|field| takes(field)),
        None => true,
    };
    let unsaid = body.thinking.iter().any(|(field, _)| !original.has(field)) && (!named || !fits);
    let foreign = original.has("reasoning") && !body.flavour.takes_extra(Dialect::OpenAiChat, "reasoning", false);
    (named && notes.tells("effort")) || !fits || unsaid || foreign
}

/// Tells whether the request allows some of its tools. A server that refuses what it does not know wants these alone.
fn allows(original: &Original) -> bool {
    let body = std::str::from_utf8(&original.body).unwrap_or_default();
    find(body, &["tool_choice", "type"]).and_then(text).as_deref() == Some("allowed_tools")
}

/// Edits the tools: which there are, their names, and marks that are not taken.
fn tools(draft: &mut Draft<'_>, body: &Body<'_>, chooses: bool) {
    let Draft { object, edits, .. } = draft;
    for (list, inner) in [("tools", "function"), ("functions", "")] {
        let Some(mut all) = object.get(list).and_then(Array::of) else { continue };
        for (at, tool) in all.items().collect::<Vec<_>>().into_iter().enumerate() {
            let name = find(tool, &["function", "name"]).or_else(|| find(tool, &["name"])).and_then(text);
            let is_left_out = |name: Cow<'_, str>| !body.request.tools.iter().any(|tool| tool.name == *name);
            if chooses && name.is_some_and(is_left_out) {
                all.remove(at);
                continue;
            }
            let Some(mut tool) = Object::of(tool) else { continue };
            if !body.flavour.keeps_marks() {
                tool.remove("cache_control");
            }
            // Without an object of its own it is as responses have it, or as it was before tools.
            match tool.get(inner).and_then(Object::of) {
                Some(mut function) => {
                    rename(&mut function, body.names, edits);
                    if !body.flavour.keeps_marks() {
                        function.remove("cache_control");
                    }
                    function.finish(edits);
                }
                None => rename(&mut tool, body.names, edits),
            }
            tool.finish(edits);
        }
        all.finish(edits);
    }
    for choice in ["tool_choice", "function_call"] {
        let Some(choice) = object.get(choice) else { continue };
        let allowed = find(choice, &["allowed_tools", "tools"]).and_then(Array::of);
        let each = allowed.iter().flat_map(Array::items).chain([choice]);
        for one in each {
            let function = Object::of(one).map(|one| one.get("function").and_then(Object::of).unwrap_or(one));
            let Some(mut function) = function else { continue };
            rename(&mut function, body.names, edits);
            function.finish(edits);
        }
    }
}

/// Replaces a tool's name by the one that is sent.
fn rename<'a>(tool: &mut Object<'a>, names: &Names, edits: &mut Edits<'a>) {
    let Some(name) = tool.text("name") else { return };
    let sent = names.sent(&name);
    if sent != name {
        tool.set("name", quoted(sent), edits);
    }
}

/// Tells whether a message has a call in the form that was before tools.
fn calls_functions(original: &Original, request: &ChatRequest) -> bool {
    let is_call = |part: &AssistantPart| part.as_tool_call().is_some();
    let calls = |message: &Message| matches!(message, Message::Assistant(parts) if parts.iter().any(is_call));
    let is_named = || memmem::find(&original.body, b"\"function_call\"").is_some();
    if !request.messages.iter().any(calls) || !is_named() {
        return false;
    }
    let body = std::str::from_utf8(&original.body).unwrap_or_default();
    let messages = find(body, &["messages"]).and_then(Array::of);
    let called = |message: &str| find(message, &["function_call"]).is_some_and(|call| call.starts_with('{'));
    messages.iter().flat_map(Array::items).any(called)
}

/// Tells whether a message holds thoughts.
fn thinks(message: &Message) -> bool {
    let is_thought = |part: &AssistantPart| matches!(part, AssistantPart::Reasoning(_));
    matches!(message, Message::Assistant(parts) if parts.iter().any(is_thought))
}

/// Says a refusal as text, for a server that does not know its field; tells whether there was one.
fn refusal<'m>(message: &mut Object<'m>, edits: &mut Edits<'m>) -> bool {
    let Some(refusal) = message.text("refusal").filter(|refusal| !refusal.is_empty()) else { return false };
    let said = match message.get("content") {
        None | Some("null") => Some(Cow::Borrowed("")),
        Some(content) => text(content),
    };
    let Some(said) = said else { return false };
    message.set("content", quoted(&(said + refusal)), edits);
    message.remove("refusal")
}

/// The messages, where something in them must change.
struct MessageEdits<'b, 'a> {
    body: &'b Body<'a>,
    instruction: Option<&'b str>,
    left_out: &'b [usize],
    /// Whether their order or number is not taken.
    rearranged: bool,
    developer: bool,
    marks: bool,
    invoice: bool,
    sealed: bool,
    /// Whether the model wants Google's signature of every first call.
    signs: bool,
    /// Whether messages say who speaks, and the target does not take that.
    speakers: bool,
    /// Whether thoughts may be parts of contents, which the target does not take.
    thoughts: bool,
}

/// What is left of a message's content, and what was thought in it.
struct LeftContent {
    is_any: bool,
    thought: String,
}

impl<'b, 'a> MessageEdits<'b, 'a> {
    /// Finds out whether any message may have to change.
    fn of(original: &'b Original, body: &'b Body<'a>, instruction: Option<&'b str>) -> Option<Self> {
        let Body { flavour, request, model, names, .. } = *body;
        let talk = Self {
            body,
            instruction,
            left_out: &original.left_out,
            rearranged: arrange::is_due(flavour, request, instruction.is_some()),
            developer: original.marks.developer && !flavour.knows_developer(model),
            marks: !flavour.keeps_marks() && original.marks.cached,
            invoice: original.marks.invoice,
            sealed: original.marks.sealed,
            signs: google::wants(flavour, model),
            speakers: !flavour.speakers && original.lost.contains(&SPEAKER),
            thoughts: !flavour.thinks_in_parts() && request.messages.iter().any(thinks),
        };
        let fits = |message: &Message| match message {
            Message::Tool(ToolResult { call_id, .. }) => flavour.ids.fit(call_id) == *call_id,
            Message::Assistant(parts) => {
                parts.iter().filter_map(AssistantPart::as_tool_call).all(|call| flavour.ids.fit(&call.id) == call.id)
            }
            _ => true,
        };
        let answered = request.messages.iter().any(|message| matches!(message, Message::Assistant(_)));
        let looks = talk.rearranged
            || talk.developer
            || talk.marks
            || talk.invoice
            || talk.sealed
            || talk.speakers
            || talk.thoughts
            || instruction.is_some()
            || !original.left_out.is_empty()
            || !names.is_empty()
            || (answered
                && (talk.signs
                    || flavour.strict
                    || flavour.bridges
                    || flavour.prefill(request).is_some()
                    || flavour.echoes(model)))
            || (original.marks.begun && !flavour.is_generic())
            || !request.messages.iter().all(fits);
        looks.then_some(talk)
    }

    /// Edits the messages; `words` is how many there are in words.
    fn edit(&self, draft: &mut Draft<'_>, words: usize, notes: &mut Notes) -> Option<()> {
        let Draft { object, edits, .. } = draft;
        let list = object.get("messages")?;
        let mut items = Array::of(list)?;
        if !self.left_out.is_empty() && items.items().len() != words + self.left_out.len() {
            return None;
        }
        for at in self.left_out {
            items.remove(*at);
        }
        if self.rearranged {
            let all: Vec<&str> = items.left().map(|(_, item)| item).collect();
            let arranged = arrange::arranged(self.body.flavour, &all, self.instruction, notes);
            let mut edits = Edits::new(&arranged);
            self.each(Array::of(&arranged)?, &mut edits, notes);
            let messages = edits.finish().into_owned();
            draft.set("messages", messages);
            return Some(());
        }
        if let Some(instruction) = self.instruction {
            items.add(format!(r#"{{"role":"system","content":{}}}"#, quoted(instruction)));
        }
        self.each(items, edits, notes);
        Some(())
    }

    /// Edits one message after another.
    fn each<'m>(&self, mut items: Array<'m>, edits: &mut Edits<'m>, notes: &mut Notes) {
        let Body { flavour, .. } = *self.body;
        let all: Vec<(usize, &'m str)> = items.left().collect();
        let echoes = flavour.echoes(self.body.model) && all.iter().any(|(_, item)| item.contains("\"tool_calls\""));
        let last = all.last().map(|(at, _)| *at);
        let mut before: Option<Cow<'_, str>> = None;
        for (at, item) in all {
            let Some(message) = Object::of(item) else { continue };
            let role = message.text("role").unwrap_or_default();
            if flavour.bridges && role == "user" && before.as_deref() == Some("tool") {
                notes.converted("messages");
                edits.replace(&item[..0], format!(r#"{{"role":"assistant","content":"{BRIDGE}"}},"#));
            }
            let is_last = Some(at) == last;
            if !self.message(message, &role, is_last, echoes, edits, notes) {
                items.remove(at);
            }
            before = Some(role);
        }
        items.finish(edits);
    }

    /// Edits a message; tells whether anything of it is left.
    fn message<'m>(
        &self,
        mut message: Object<'m>,
        role: &str,
        is_last: bool,
        echoes: bool,
        edits: &mut Edits<'m>,
        notes: &mut Notes,
    ) -> bool {
        let Body { flavour, request, .. } = *self.body;
        if role == "developer" && self.developer {
            message.set("role", "\"system\"", edits);
        }
        if let Some(id) = message.text("tool_call_id") {
            let fit = flavour.ids.fit(&id);
            if fit != id {
                notes.converted("messages.tool_call.id");
                message.set("tool_call_id", quoted(&fit), edits);
            }
        }
        if matches!(role, "tool" | "function") {
            self.name(&mut message, edits);
        } else if self.speakers && message.remove("name") {
            notes.add(SPEAKER);
        }
        let LeftContent { is_any, thought } = self.content(&mut message, role, edits);
        let calls = message.get("tool_calls").and_then(Array::of);
        let calls: Vec<&str> = calls.iter().flat_map(Array::items).collect();
        for (at, call) in calls.iter().enumerate() {
            self.call(call, at == 0, edits, notes);
        }
        if let Some(mut call) = message.get("function_call").and_then(Object::of) {
            self.name(&mut call, edits);
            call.finish(edits);
        }
        if !is_any && !calls.is_empty() {
            message.set("content", "null", edits);
        }
        let (mut moved, mut refuses) = (None, false);
        if role == "assistant" {
            refuses = flavour.strict && refusal(&mut message, edits);
            moved = self.thoughts(&mut message, (!calls.is_empty(), echoes), &thought, edits, notes);
            let flag = flavour.prefill(request).filter(|_| is_last && calls.is_empty());
            if !flavour.is_generic() {
                for other in BEGUN.iter().filter(|other| flag != Some(**other)) {
                    message.remove(other);
                }
            }
            if let Some(flag) = flag {
                message.set(flag, "true", edits);
            }
        }
        if flavour.strict {
            let known = |name: &str| {
                let thought = name == flavour.thoughts || moved == Some(name);
                MESSAGE.contains(&name) || (thought && role == "assistant") || (refuses && name == "refusal")
            };
            let strange: Vec<_> = message.members().iter().map(|member| member.name.clone()).collect();
            for name in strange.iter().filter(|name| !known(name)) {
                notes.dropped(if THOUGHTS.contains(&&**name) { "messages.reasoning" } else { "messages" });
                message.remove(name);
            }
        }
        message.finish(edits);
        is_any || !calls.is_empty()
    }

    /// Edits the content: marks and thoughts that are not taken, and the text for Anthropic's invoice.
    fn content<'m>(&self, message: &mut Object<'m>, role: &str, edits: &mut Edits<'m>) -> LeftContent {
        let mut thought = String::new();
        if self.marks {
            message.remove("cache_control");
        }
        let strict = self.body.flavour.strict;
        let speaks = role == "assistant" && (self.thoughts || strict);
        let is_any = |is_any, thought| LeftContent { is_any, thought };
        let content = message.get("content").filter(|_| self.marks || self.invoice || speaks);
        let Some(content) = content else { return is_any(true, thought) };
        if let Some(said) = text(content) {
            let rest = without_invoice(&said);
            if let Some(rest) = rest.filter(|rest| rest.len() < said.len()) {
                edits.replace(content, quoted(rest));
            }
            return is_any(rest.is_some(), thought);
        }
        let Some(mut parts) = Array::of(content) else { return is_any(true, thought) };
        let all: Vec<&str> = parts.items().collect();
        let mut left = 0;
        for (at, json) in all.iter().enumerate() {
            let Some(mut part) = Object::of(json) else { continue };
            if self.marks {
                part.remove("cache_control");
            }
            match part.text("type").as_deref() {
                Some("thinking") if speaks && self.thoughts => {
                    thought.push_str(&serde_json::from_str::<Content<'_>>(json).unwrap_or_default().thinking);
                    parts.remove(at);
                    continue;
                }
                Some("refusal") if speaks && strict => {
                    part.set("type", "\"text\"", edits);
                    part.rename("refusal", "text", edits);
                }
                _ => {}
            }
            match part.text("text").as_deref().map(|said| (said.len(), without_invoice(said).map(str::to_owned))) {
                Some((_, None)) => parts.remove(at),
                Some((length, Some(rest))) if rest.len() < length => {
                    part.set("text", quoted(&rest), edits);
                    left += 1;
                }
                _ => left += 1,
            }
            part.finish(edits);
        }
        parts.finish(edits);
        is_any(left > 0 || all.is_empty(), thought)
    }

    fn call<'m>(&self, call: &'m str, is_first: bool, edits: &mut Edits<'m>, notes: &mut Notes) {
        let Some(mut call) = Object::of(call) else { return };
        if is_first && self.signs && call.get(google::FIELD).is_none() {
            call.set(google::FIELD, google::field(NO_PROOF).to_string(), edits);
        }
        if let Some(id) = call.text("id") {
            let fit = self.body.flavour.ids.fit(&id);
            if fit != id {
                notes.converted("messages.tool_call.id");
                call.set("id", quoted(&fit), edits);
            }
        }
        if let Some(mut function) = call.get("function").and_then(Object::of) {
            self.name(&mut function, edits);
            function.finish(edits);
        }
        call.finish(edits);
    }

    fn name<'m>(&self, tool: &mut Object<'m>, edits: &mut Edits<'m>) {
        rename(tool, self.body.names, edits);
    }

    /// Edits reasoning: sealed proofs belong to the provider that issued them, and a target that needs reasoning back
    /// needs it in its own field, also what was a `thought` within the content. Returns the field that was renamed to
    /// that one.
    fn thoughts<'m>(
        &self,
        message: &mut Object<'m>,
        (calls, echoes): (bool, bool),
        thought: &str,
        edits: &mut Edits<'m>,
        notes: &mut Notes,
    ) -> Option<&'static str> {
        let Flavour { thoughts: wanted, strict, .. } = *self.body.flavour;
        let told = THOUGHTS.into_iter().find(|name| message.text(name).is_some_and(|thought| !thought.is_empty()));
        let moved = told.filter(|name| *name != wanted && !wanted.is_empty() && (echoes || strict));
        let fits = !wanted.is_empty() && (echoes || strict);
        if !(thought.is_empty() || fits || told.is_some()) {
            notes.dropped("messages.reasoning");
        }
        if let Some(other) = moved {
            message.rename(other, wanted, edits);
        } else if told.is_none() && fits && !thought.is_empty() {
            message.set(wanted, quoted(thought), edits);
        } else if told.is_none() && echoes && calls {
            message.set(wanted, quoted(self.body.flavour.no_thought(self.body.model)), edits);
        }
        if self.sealed {
            self.sealed(message, edits, notes);
        }
        moved
    }

    /// Puts the blocks of the provider's own proofs back into their fields; leaves out all other proofs under a seal.
    fn sealed<'m>(&self, message: &mut Object<'m>, edits: &mut Edits<'m>, notes: &mut Notes) {
        let Some(mut details) = message.get("reasoning_details").and_then(Array::of) else { return };
        let all: Vec<&str> = details.items().collect();
        let (mut left, mut changes) = (all.len(), false);
        for (at, detail) in all.into_iter().enumerate() {
            let detail = Object::of(detail);
            let proof = detail.and_then(|detail| detail.text("signature").or_else(|| detail.text("data")));
            let Some((_, proof)) = proof.and_then(|proof| open(&proof)) else { continue };
            details.remove(at);
            (left, changes) = (left - 1, true);
            let is_own =
                proof.dialect == Dialect::OpenAiChat && proof.issuer.as_deref() == Some(self.body.model.provider);
            let blocks = if is_own { blocks_of(&proof) } else { Vec::new() };
            if blocks.is_empty() {
                notes.dropped("messages.reasoning");
            }
            for (field, blocks) in blocks {
                if field == "reasoning_details" {
                    left += blocks.len();
                    for block in &blocks {
                        details.add(block.to_string());
                    }
                } else {
                    message.set(&field, serde_json::Value::from(blocks).to_string(), edits);
                }
            }
        }
        if left == 0 && changes {
            message.remove("reasoning_details");
        } else {
            details.finish(edits);
        }
    }
}

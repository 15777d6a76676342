//! Edits requests that came in this dialect, block by block: blocks that the target accepts stay unchanged.

mod system_messages;

use super::super::models::{knows_system_messages, maker, may_rest};
use super::super::proof::{Parted, parted};
use super::super::{INVOICE as INVOICE_KIND, SYSTEM};
use super::{Body, is_forced};
use crate::wire::edit::{Array, Edits, Object, find, quoted, text};
use crate::wire::original::{self, Draft, INVOICE, Setting, without_invoice};
use crate::wire::request::Notes;
use crate::wire::seal::{SOURCE, open};
use crate::words::{ChatRequest, Dialect, Message, Note, Original, Payload};

/// The settings, and the fields that say them.
const SETTINGS: &[Setting] = &[
    Setting("tool_choice", &["tool_choice"]),
    Setting("sampling.temperature", &["temperature"]),
    Setting("sampling.top_p", &["top_p"]),
    Setting("sampling.stop", &["stop_sequences"]),
    Setting("output_tokens_max", &["max_tokens"]),
    Setting("response_format", &["output_config.format", "output_format"]),
    Setting("effort", &["thinking", "output_config.effort"]),
];

/// Returns the body as it came, edited for a target. `ours` has the settings as the target takes them, `instruction` is
/// what has to be asked for in words. `None` where the body must be written anew.
pub(super) fn edited(
    original: &Original,
    body: &Body<'_>,
    ours: &str,
    is_anothers: &dyn Fn() -> bool,
    instruction: Option<&str>,
    notes: &mut Notes,
) -> Option<Payload> {
    let Body { flavour, model, streaming, traits, .. } = *body;
    let stays = !(original.has("thinking") && traits.known) || fits(original, body, is_anothers);
    let is_lost = stays && traits.known && !traits.word && body.request.effort.is_some() && says_effort(original);
    if !(stays || model.meant) {
        notes.converted("effort");
    } else if is_lost || !traits.known || (stays && !original.has("output_config")) {
        notes.forget("effort");
    }
    if is_lost {
        notes.dropped("effort");
    }
    // For a caller of this dialect the provider itself checks the range.
    notes.0.retain(|note| *note != Note::Converted("sampling.temperature"));
    let mut differing = original::differing(original, SETTINGS, ours, notes);
    // Of a model that is not known its caller knows more: what it says of thinking and of effort stays. Where it says
    // nothing, one that thinks unasked is told not to, if it must be.
    let rests = body.options.thinking.is_some() && !(traits.known || original.has("thinking"));
    differing.retain(|Setting(what, _)| traits.known || rests || *what != WORD.0);
    let efforts = differing.iter_mut().filter(|Setting(what, _)| *what == WORD.0 && stays && !rests);
    efforts.for_each(|setting| *setting = &WORD);
    if !original.has("max_tokens") {
        differing.extend(SETTINGS.iter().find(|Setting(what, _)| *what == "output_tokens_max"));
    }
    let refused = original::refused(original, |field| match field {
        "anthropic_version" if flavour.messages.is_some() => true,
        "top_k" if traits.is_set() => false,
        _ => flavour.takes_extra(Dialect::AnthropicMessages, field, false),
    });
    let parts = Parts::of(original, body);
    let settled = differing.is_empty() && refused.is_empty() && original.stream == streaming && instruction.is_none();
    if let (true, None, None) = (settled, &parts, &flavour.messages)
        && let Some(body) = original::renamed(original, model.name)
    {
        return Some(body);
    }
    let mut draft = Draft::of(original)?;
    match &flavour.messages {
        None => draft.set("model", quoted(model.name)),
        Some(at) => {
            draft.remove("model");
            draft.set("anthropic_version", quoted(at.version));
        }
    }
    draft.settle(&differing, ours);
    draft.drop_refused(&refused, notes);
    let asks = find(ours, &["thinking", "type"]).and_then(text).is_some_and(|form| form != "disabled");
    if original.has("thinking") && !(stays || asks) {
        without_clearing(&mut draft);
    }
    if original.stream != streaming {
        draft.set("stream", streaming.to_string());
    }
    if let Some(parts) = parts {
        parts.edit(&mut draft, notes)?;
    }
    if let Some(instruction) = instruction {
        let block = format!(r#"{{"type":"text","text":{}}}"#, quoted(instruction));
        let said = draft.object.get("system");
        match said.and_then(Array::of) {
            Some(mut blocks) => {
                blocks.add(block);
                blocks.finish(&mut draft.edits);
            }
            None => {
                let said = said.and_then(text).map(|said| format!(r#"{{"type":"text","text":{}}},"#, quoted(&said)));
                draft.set("system", format!("[{}{block}]", said.unwrap_or_default()));
            }
        }
    }
    Some(draft.finish())
}

/// Takes out of the edits of the context those that clear thoughts: a request that asks for none may not ask for them
/// ("`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive").
fn without_clearing(draft: &mut Draft<'_>) {
    let all = draft.object.get("context_management").and_then(|it| find(it, &["edits"])).and_then(Array::of);
    let Some(mut all) = all else { return };
    let clears =
        |edit: &&str| find(edit, &["type"]).and_then(text).is_some_and(|kind| kind.starts_with("clear_thinking"));
    let found: Vec<bool> = all.items().map(|edit| clears(&edit)).collect();
    if found.iter().all(|clears| *clears) {
        draft.remove("context_management");
        return;
    }
    found.iter().enumerate().filter(|(_, clears)| **clears).for_each(|(at, _)| all.remove(at));
    all.finish(&mut draft.edits);
}

/// The source of the effort where the settings of thinking stay as they came.
const WORD: Setting = Setting("effort", &["output_config.effort"]);

/// Tells whether the caller says an effort as a word.
pub(super) fn says_effort(original: &Original) -> bool {
    let said = std::str::from_utf8(&original.body).unwrap_or_default();
    original.has("output_config") && find(said, &["output_config", "effort"]).is_some_and(|word| word != "null")
}

/// Tells whether a model takes the form in which the caller asks for thinking.
fn fits(original: &Original, body: &Body<'_>, is_anothers: &dyn Fn() -> bool) -> bool {
    let said = std::str::from_utf8(&original.body).unwrap_or_default();
    let form = find(said, &["thinking", "type"]).and_then(text).unwrap_or_default();
    // What is not known here is for its provider to take or refuse.
    if !matches!(&*form, "disabled" | "adaptive" | "enabled") {
        return true;
    }
    // A model that is made to call a tool cannot think before that, and neither can one that does not get its earlier
    // thoughts.
    let free = !is_forced(body.request);
    let may = match &*form {
        "disabled" => body.model.meant || may_rest(body.model.family),
        "adaptive" => free,
        _ => free && !is_anothers(),
    };
    may && body.traits.takes(&form)
}

/// The conversation and the tools, where something in them must change.
struct Parts<'b, 'a> {
    body: &'b Body<'a>,
    invoice: bool,
    thoughts: bool,
    scopes: bool,
    sources: bool,
    /// The request asks for strict arguments of tools, which the target refuses.
    strict: bool,
    /// The system speaks within the conversation, which the target does not take.
    system_messages: bool,
    /// A call came without a thought, or with one that the target cannot take, and it wants one: what stands for it.
    echo: Option<&'static str>,
}

/// The beta that the scope of a cache mark needs; a server that does not know it refuses the scope.
const SCOPES: &str = "prompt-caching-scope-2026-01-05";

impl<'b, 'a> Parts<'b, 'a> {
    /// Finds out whether anything may have to change.
    fn of(original: &Original, body: &'b Body<'a>) -> Option<Self> {
        let parts = Self {
            body,
            invoice: !body.flavour.is_home(body.model) && original.marks.invoice,
            thoughts: original.marks.proof,
            scopes: original.marks.scoped && body.flavour.beta(SCOPES).is_none(),
            sources: original.marks.sealed,
            strict: !body.flavour.holds_tools && body.request.tools.iter().any(|tool| tool.strict.is_some()),
            system_messages: !takes_system_messages(body) && has_system_messages(original, body.request),
            echo: body.echo.filter(|_| body.request.messages.iter().any(calls)),
        };
        let looks =
            parts.invoice || parts.thoughts || parts.scopes || parts.sources || parts.strict || parts.system_messages;
        let looks = looks || !body.names.is_empty() || parts.echo.is_some();
        looks.then_some(parts)
    }

    fn edit(&self, draft: &mut Draft<'_>, notes: &mut Notes) -> Option<()> {
        if self.invoice {
            Self::system(draft);
        }
        let Draft { object, edits, .. } = draft;
        if self.scopes {
            for list in ["system", "tools"] {
                let marked = object.get(list).and_then(Array::of);
                marked.iter().flat_map(Array::items).for_each(|block| without_scope(block, edits));
            }
        }
        if self.strict {
            for tool in object.get("tools").and_then(Array::of).iter().flat_map(Array::items) {
                let Some(mut tool) = Object::of(tool) else { continue };
                tool.remove("strict");
                tool.finish(edits);
            }
        }
        if !self.body.names.is_empty() {
            for tool in object.get("tools").and_then(Array::of).iter().flat_map(Array::items) {
                self.rename(tool, edits);
            }
            object.get("tool_choice").into_iter().for_each(|choice| self.rename(choice, edits));
        }
        let mut messages = Array::of(object.get("messages")?)?;
        let all: Vec<&str> = messages.items().collect();
        for (at, message) in all.iter().enumerate() {
            let Some(mut blocks) = find(message, &["content"]).and_then(Array::of) else { continue };
            let content: Vec<&str> = blocks.items().collect();
            let is = |block: &&str, kinds: &[&str]| {
                find(block, &["type"]).and_then(text).is_some_and(|kind| kinds.contains(&&*kind))
            };
            // What stands for a thought that is missing before a call.
            let calls = content.iter().any(|block| is(block, &["tool_use"]));
            let mut echo = self
                .echo
                .filter(|_| calls)
                .map(|thought| format!(r#"{{"type":"thinking","thinking":{},"signature":""}}"#, quoted(thought)));
            let mut left = 0;
            for (at, block) in content.iter().enumerate() {
                if self.scopes {
                    without_scope(block, edits);
                    let within = find(block, &["content"]).and_then(Array::of);
                    within.iter().flat_map(Array::items).for_each(|block| without_scope(block, edits));
                }
                if self.block(block, edits) {
                    left += 1;
                    echo.take_if(|_| is(block, &["thinking", "redacted_thinking"]));
                } else {
                    notes.dropped("messages.reasoning");
                    match echo.take() {
                        Some(unknown) => edits.replace(block, unknown),
                        None => blocks.remove(at),
                    }
                }
            }
            if let (Some(unknown), Some(first)) = (echo, content.first()) {
                edits.replace(&first[..0], unknown + ",");
            }
            // A message without content is refused.
            if left == 0 && !content.is_empty() {
                messages.remove(at);
            }
            blocks.finish(edits);
        }
        if self.system_messages {
            system_messages::moved(&mut messages, &all, self.scopes, edits, notes);
        }
        messages.finish(edits);
        Some(())
    }

    /// Takes the text for Anthropic's invoice out of the system's texts.
    fn system(draft: &mut Draft<'_>) {
        let Some(said) = draft.object.get("system") else { return };
        if let Some(said) = text(said) {
            match without_invoice(&said) {
                Some(rest) if rest.len() == said.len() => {}
                Some(rest) => draft.set("system", quoted(rest)),
                None => draft.remove("system"),
            }
            return;
        }
        let Some(mut blocks) = Array::of(said) else { return };
        for (at, block) in blocks.items().collect::<Vec<_>>().into_iter().enumerate() {
            let Some(value) = find(block, &["text"]) else { continue };
            let Some(said) = text(value) else { continue };
            match without_invoice(&said) {
                Some(rest) if rest.len() == said.len() => {}
                Some(rest) => draft.edits.replace(value, quoted(rest)),
                None => blocks.remove(at),
            }
        }
        blocks.finish(&mut draft.edits);
    }

    /// Edits a block; tells whether it stays. A thought stays with the model that thought it.
    fn block<'m>(&self, block: &'m str, edits: &mut Edits<'m>) -> bool {
        let Some(kind) = find(block, &["type"]).and_then(text) else { return true };
        let field = match &*kind {
            // Another's thought leaves here without a signature, and comes back so.
            "thinking" if self.checks() && !is_signed(block) => return false,
            "thinking" => "signature",
            "redacted_thinking" => "data",
            "tool_use" => {
                self.rename(block, edits);
                return true;
            }
            "text" if self.sources => {
                without_sources(block, edits);
                return true;
            }
            _ => return true,
        };
        let Some(value) = find(block, &[field]) else { return true };
        let Some(data) = text(value) else { return true };
        let family = self.body.model.family;
        let (data, is_sealed) = match open(&data) {
            None => (data.into_owned(), false),
            Some((_, proof)) if proof.dialect == Dialect::AnthropicMessages => (proof.data.into_string(), true),
            Some(_) => return false,
        };
        let Parted { maker: made_by, data: rest, .. } = parted(&data);
        if made_by.is_some_and(|made_by| maker(family).as_deref() != Some(made_by)) {
            return false;
        }
        if made_by.is_some() || is_sealed {
            edits.replace(value, quoted(rest));
        }
        true
    }

    /// Tells whether the target checks the signatures of thoughts: Anthropic does, at any host. Others who speak this
    /// dialect sign with nothing, and some want their thoughts back.
    fn checks(&self) -> bool {
        let Body { flavour, model, .. } = self.body;
        flavour.messages.is_some() || flavour.name == "anthropic" || model.family.contains("claude")
    }

    /// Replaces a tool's name by the one that is sent.
    fn rename<'m>(&self, named: &'m str, edits: &mut Edits<'m>) {
        let Some(value) = find(named, &["name"]) else { return };
        let Some(name) = text(value) else { return };
        let sent = self.body.names.sent(&name);
        if sent != name {
            edits.replace(value, quoted(sent));
        }
    }
}

/// Tells whether a message calls a tool.
fn calls(message: &Message) -> bool {
    matches!(message, Message::Assistant(parts) if parts.iter().any(|part| part.as_tool_call().is_some()))
}

/// Tells whether a target takes messages of the system within a conversation.
fn takes_system_messages(body: &Body<'_>) -> bool {
    body.flavour.system_messages && knows_system_messages(body.model.family) != Some(false)
}

/// Tells whether some message of a conversation is the system's, beside what is said before all of them.
fn has_system_messages(original: &Original, request: &ChatRequest) -> bool {
    let is_system = |message: &Message| match message {
        Message::System(_) => true,
        Message::Foreign(foreign) => matches!(&*foreign.kind, SYSTEM | INVOICE_KIND),
        _ => false,
    };
    let before = request.messages.iter().take_while(|message| is_system(message)).count();
    if request.messages[before..].iter().any(|message| matches!(message, Message::System(_))) {
        return true;
    }
    let said = std::str::from_utf8(&original.body).unwrap_or_default();
    let top = find(said, &["system"]).filter(|_| original.has("system"));
    before > top.map_or(0, |top| Array::of(top).map_or(1, |blocks| blocks.items().len()))
}

/// Tells whether a thought has a signature.
fn is_signed(block: &str) -> bool {
    find(block, &["signature"]).and_then(text).is_some_and(|signature| !signature.is_empty())
}

/// Takes the scope out of a cache mark: the mark stays. A line for Anthropic's invoice is removed whole.
pub(super) fn without_scope<'m>(block: &'m str, edits: &mut Edits<'m>) {
    let Some(mut mark) = find(block, &["cache_control"]).and_then(Object::of) else { return };
    if !block.contains(INVOICE) && mark.remove("scope") {
        mark.finish(edits);
    }
}

/// Takes another provider's sources out of a text: this provider would look for its own data in them.
fn without_sources<'m>(block: &'m str, edits: &mut Edits<'m>) {
    let Some(mut text_block) = Object::of(block) else { return };
    let Some(mut citations) = text_block.get("citations").and_then(Array::of) else { return };
    let all: Vec<&str> = citations.items().collect();
    let is_sealed = |citation: &&str| find(citation, &["encrypted_index"]).and_then(text).as_deref() == Some(SOURCE);
    let sealed: Vec<usize> = (0..all.len()).filter(|at| is_sealed(&all[*at])).collect();
    if sealed.len() == all.len() {
        text_block.remove("citations");
        text_block.finish(edits);
    } else {
        for at in sealed {
            citations.remove(at);
        }
        citations.finish(edits);
    }
}

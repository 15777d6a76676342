//! Reads answers: events of a stream, and whole messages; a stream's first event is an empty one of these.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::models::maker;
use super::proof::wrap;
use super::shape::{BLOCKS, DELTAS, EVENT, EVENTS, MESSAGE, RESULT_SUFFIX};
use crate::wire::bill::{self, ServerTools};
use crate::wire::classify;
use crate::wire::draft::{Draft, Forwarding, Fragment, arguments, broken, cut};
use crate::wire::edit::{Array, Edits, Object, find, quoted};
use crate::wire::json::{Items, Scalar, loose, parse};
use crate::wire::request::object;
use crate::words::{DriftKind, Failure, Piece, Usage};

/// Reads one event of a stream; tells whether it had content.
pub(in crate::wire) fn read_event(
    draft: &mut Draft,
    name: &str,
    data: &str,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    let data = data.trim();
    let event = match (name, data) {
        (_, "") => return Ok(false),
        // The end marker of another dialect, from gateways that send both.
        (_, "[DONE]") => {
            (draft.forwarding, draft.done) = (Forwarding::OtherEnd, true);
            return Ok(false);
        }
        ("error", _) => return Err(classify::in_band(data)),
        _ => match parse::<Event<'_>>(data) {
            Ok(event) => event,
            Err(problem) if is_ours(name) => return Err(broken(data, &problem)),
            Err(_) => {
                draft.drifts.note(DriftKind::Event, name);
                return Ok(false);
            }
        },
    };
    // Some servers tell an event's kind by its name alone.
    let kind = match event.kind.text() {
        "" if is_ours(name) => classify::recognise(data).map_or(Ok(name), Err)?,
        kind => kind,
    };
    if matches!(kind, "message_start" | "message_delta") {
        draft.drifts.look(&EVENT, data, true);
    }
    let begun = !matches!(kind, "content_block_delta" | "ping") && draft.say_begun("", out);
    let content = match kind {
        // A whole answer in the only event of a stream: it says why it ended.
        "message" if draft.is_empty() && find(data, &["content"]).is_some() && says_why_it_ended(data) => {
            let content = read_whole(draft, data, out)?;
            draft.is_whole(data);
            draft.done = true;
            Ok(content)
        }
        "message_start" => event.message.unwrap_or_default().read(draft, &mut Vec::new(), out),
        "content_block_start" => {
            let block = event.content_block.unwrap_or_default();
            let content = block.begin(event.index.count(), false, draft, out)?;
            if let Some(repair) = block.repair(false, draft) {
                repair_one(data, find(data, &["content_block"]), &[(0, repair)], draft);
            }
            Ok(content)
        }
        "content_block_delta" => event.delta.unwrap_or_default().append(event.index.count(), draft, out),
        "message_delta" => {
            event.delta.unwrap_or_default().stop(draft)?;
            event.usage.unwrap_or_default().count(draft);
            Ok(false)
        }
        "message_stop" => {
            draft.done = true;
            Ok(false)
        }
        "error" => Err(classify::in_band(data)),
        _ => {
            if !EVENTS.contains(&kind) {
                draft.drifts.note(DriftKind::Event, if kind.is_empty() { name } else { kind });
            }
            Ok(false)
        }
    };
    Ok(content? | begun)
}

/// The changes that a call needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct CallPatch {
    id: Option<String>,
    input: Option<String>,
}

/// Passes on an event, or a whole message, with its calls repaired: the one that it begins, or those at their places.
fn repair_one(data: &str, begun: Option<&str>, repairs: &[(usize, CallPatch)], draft: &mut Draft) {
    if repairs.is_empty() {
        return;
    }
    let mut edits = Edits::new(data);
    let all = find(data, &["content"]).filter(|_| begun.is_none()).and_then(Array::of);
    let blocks: Vec<&str> = begun.into_iter().chain(all.iter().flat_map(Array::items)).collect();
    for (at, repair) in repairs {
        let Some(mut block) = blocks.get(*at).copied().and_then(Object::of) else { continue };
        if let Some(id) = &repair.id {
            block.set("id", quoted(id), &mut edits);
        }
        if let Some(input) = &repair.input {
            block.set("input", input.clone(), &mut edits);
        }
        block.finish(&mut edits);
    }
    if !edits.is_empty() {
        draft.forwarding = Forwarding::Replace(edits.finish().into_owned());
    }
}

/// Tells whether a message says why it ended.
fn says_why_it_ended(message: &str) -> bool {
    find(message, &["stop_reason"]).is_some_and(|reason| !matches!(reason, "null" | "\"\""))
}

/// Tells whether an event of this name belongs to the answer, whatever it contains.
fn is_ours(name: &str) -> bool {
    matches!(name, "" | "message") || name.starts_with("message_") || name.starts_with("content_block_")
}

/// Reads a whole answer; tells whether it had content.
pub(in crate::wire) fn read_whole(draft: &mut Draft, body: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    match parse::<Message<'_>>(body) {
        Ok(message) if message.content.is_some() => {
            draft.drifts.look(&MESSAGE, body, true);
            let mut repairs = Vec::new();
            let content = message.read(draft, &mut repairs, out)?;
            repair_one(body, None, &repairs, draft);
            Ok(content)
        }
        Ok(_) => Err(classify::recognise(body).unwrap_or_else(|| cut("the provider sent a message without content"))),
        Err(problem) => Err(broken(body, &problem)),
    }
}

loose! {
    /// An event of a stream.
    #[derive(Deserialize, Default)]
    struct Event<'a> {
        #[serde(rename = "type")]
        kind: Scalar<'a>,
        index: Scalar<'a>,
        message: Option<Message<'a>>,
        content_block: Option<Block<'a>>,
        delta: Option<Block<'a>>,
        usage: Option<Tokens<'a>>,
    }

    /// A message: whole, or the part that is known at its beginning.
    #[derive(Deserialize, Default)]
    struct Message<'a> {
        id: Scalar<'a>,
        model: Scalar<'a>,
        content: Option<Items<'a, Block<'a>>>,
        stop_reason: Scalar<'a>,
        stop_sequence: Scalar<'a>,
        usage: Option<Tokens<'a>>,
    }
}

impl Message<'_> {
    fn read(
        self,
        draft: &mut Draft,
        repairs: &mut Vec<(usize, CallPatch)>,
        out: &mut Vec<Piece>,
    ) -> Result<bool, Failure> {
        draft.identify(self.id.text(), self.model.text());
        let (mut content, mut at) = (false, 0);
        if let Some(blocks) = self.content {
            blocks.each(|block| {
                content |= block.begin(Some(at as u64), true, draft, out)?;
                repairs.extend(block.repair(true, draft).map(|repair| (at, repair)));
                at += 1;
                Ok::<_, Failure>(())
            })?;
        }
        stop(&self.stop_reason, draft)?;
        draft.stopped_at(self.stop_sequence.text());
        self.usage.unwrap_or_default().count(draft);
        Ok(content)
    }
}

loose! {
    /// A block of content, or what is added to one.
    #[derive(Deserialize, Default)]
    struct Block<'a> {
        #[serde(rename = "type")]
        kind: Scalar<'a>,
        text: Scalar<'a>,
        thinking: Scalar<'a>,
        signature: Scalar<'a>,
        data: Scalar<'a>,
        id: Scalar<'a>,
        name: Scalar<'a>,
        input: Option<&'a RawValue>,
        partial_json: Option<&'a RawValue>,
        citation: Option<&'a RawValue>,
        citations: Option<&'a RawValue>,
        stop_reason: Scalar<'a>,
        stop_sequence: Scalar<'a>,
    }
}

impl Block<'_> {
    /// Reads a block as it begins, which is all of it in a whole message. Blocks of the provider's own tools are no
    /// part of the answer.
    fn begin(&self, index: Option<u64>, whole: bool, draft: &mut Draft, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        match self.kind.text() {
            "text" => {
                draft.sources.begin();
                let begins = !(whole || draft.verbatim);
                if begins {
                    draft.begin_text(self.text.text());
                }
                let content = !begins && draft.text(self.text.text().into(), out);
                if let (Some(citations), false) = (self.citations, draft.verbatim) {
                    draft.sources.citations(citations);
                }
                Ok(content)
            }
            "thinking" => Ok(self.think(draft, out)),
            "redacted_thinking" => {
                draft.seal(wrap(maker_of(draft), true, self.data.text()));
                Ok(true)
            }
            "tool_use" => {
                // A stream begins with an empty object in the place of the arguments that follow.
                let input = self.input.filter(|input| whole || !matches!(input.get(), "{}" | "null" | "\"\""));
                let arguments = arguments(input)?;
                let (id, name) = (self.id.text(), self.name.text());
                draft.fragment(Fragment { index, id, name, arguments, proof: None })
            }
            kind => {
                let is_known = BLOCKS.contains(&kind) || kind.ends_with(RESULT_SUFFIX);
                if !is_known {
                    draft.drifts.note(DriftKind::Part, kind);
                }
                Ok(if !is_known && kind.ends_with("tool_use") { draft.acts() } else { draft.note_foreign_part() })
            }
        }
    }

    /// Reads what is added to a block.
    fn append(&self, index: Option<u64>, draft: &mut Draft, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        match self.kind.text() {
            "text_delta" => {
                let begun = draft.say_begun(self.text.text(), out);
                Ok(draft.text(self.text.text().into(), out) | begun)
            }
            "thinking_delta" | "signature_delta" => Ok(self.think(draft, out)),
            "input_json_delta" if draft.has_call(index) => {
                let arguments = arguments(self.partial_json)?;
                draft.fragment(Fragment { index, arguments, ..Fragment::default() })
            }
            // The arguments of a tool of the provider's own.
            "input_json_delta" => Ok(draft.note_foreign_part()),
            "citations_delta" => {
                if let (Some(citation), false) = (self.citation, draft.verbatim) {
                    draft.sources.citation(citation);
                }
                Ok(false)
            }
            kind => {
                if !DELTAS.contains(&kind) {
                    draft.drifts.note(DriftKind::Part, kind);
                }
                Ok(draft.note_foreign_part())
            }
        }
    }

    /// Returns the faults of a call that no client would understand: an id that is missing or repeated, an input that
    /// is a text.
    fn repair(&self, whole: bool, draft: &mut Draft) -> Option<CallPatch> {
        if !draft.verbatim || self.kind.text() != "tool_use" {
            return None;
        }
        let id = draft.told()?.id;
        let text = self.input.map(RawValue::get).filter(|input| whole && input.starts_with('"'));
        let input = text.and_then(|input| serde_json::from_str::<String>(input).ok());
        let input = input.map(|input| if input.trim().is_empty() { "{}".to_owned() } else { input });
        let repair = CallPatch { id, input: input.filter(|input| object(input).is_some()) };
        (repair != CallPatch::default()).then_some(repair)
    }

    fn think(&self, draft: &mut Draft, out: &mut Vec<Piece>) -> bool {
        let content = draft.reasoning(self.thinking.text().into(), out);
        if !self.signature.text().is_empty() {
            draft.prove(wrap(maker_of(draft), false, self.signature.text()));
        }
        content
    }

    fn stop(&self, draft: &mut Draft) -> Result<(), Failure> {
        draft.stopped_at(self.stop_sequence.text());
        stop(&self.stop_reason, draft)
    }
}

/// Returns who thinks in an answer: a Claude by the name that it gives itself or else by the one that was asked, or
/// none. The name in an answer alone says little: gateways give any.
pub(in crate::wire) fn maker_of(draft: &Draft) -> Option<String> {
    let (asked, named) = (draft.asked.as_deref(), draft.model());
    let claude = named.filter(|name| name.contains("claude") && asked.is_none_or(|asked| asked.contains("claude")));
    claude.or(asked).or(named).and_then(maker)
}

fn stop(reason: &Scalar<'_>, draft: &mut Draft) -> Result<(), Failure> {
    if reason.text().is_empty() { Ok(()) } else { draft.stopped_by_word(reason.text()) }
}

loose! {
    /// Usage. In a stream all counts are totals up to then, and not all come every time.
    #[derive(Deserialize, Default)]
    #[expect(clippy::struct_field_names, reason = "the names are the wire's")]
    struct Tokens<'a> {
        input_tokens: Scalar<'a>,
        cache_read_input_tokens: Scalar<'a>,
        cache_creation_input_tokens: Scalar<'a>,
        output_tokens: Scalar<'a>,
        output_tokens_details: Option<Details<'a>>,
        cache_creation: Option<CacheWrites<'a>>,
        server_tool_use: Option<ServerTools<'a>>,
        service_tier: Scalar<'a>,
        speed: Scalar<'a>,
    }
}

/// Tokens written to the cache, by how long they stay.
#[derive(Deserialize, Default)]
struct CacheWrites<'a> {
    #[serde(borrow, default)]
    ephemeral_1h_input_tokens: Scalar<'a>,
}

#[derive(Deserialize, Default)]
struct Details<'a> {
    #[serde(borrow, default)]
    thinking_tokens: Scalar<'a>,
}

impl Tokens<'_> {
    /// Counts them as this crate does: cached tokens are part of the input.
    fn count(self, draft: &mut Draft) {
        let before = draft.usage.unwrap_or_default();
        bill::serve(&mut draft.bill, self.service_tier.text());
        bill::serve(&mut draft.bill, self.speed.text());
        let total = |now: &Scalar<'_>, before: u64| now.count().unwrap_or(0).max(before);
        let fresh = before.input.saturating_sub(before.cached).saturating_sub(before.cache_write);
        let [input, read, written] =
            [&self.input_tokens, &self.cache_read_input_tokens, &self.cache_creation_input_tokens].map(Scalar::count);
        // The first event may count the whole prompt, and the last one its parts: what tells of a cache is a set, and
        // replaces what was known. Zeros alone tell nothing.
        let is_set = read.max(written).unwrap_or(0) > 0;
        let latest = |now: Option<u64>, before: u64| now.filter(|now| is_set || *now > 0).unwrap_or(before);
        let (fresh, cached, cache_write) =
            (latest(input, fresh), latest(read, before.cached), latest(written, before.cache_write));
        let usage = Usage {
            input: fresh.saturating_add(cached).saturating_add(cache_write),
            output: total(&self.output_tokens, before.output),
            cached,
            cache_write,
            reasoning: total(&self.output_tokens_details.unwrap_or_default().thinking_tokens, before.reasoning),
        };
        let hour = self.cache_creation.unwrap_or_default().ephemeral_1h_input_tokens;
        draft.bill.cache_write_1h = total(&hour, draft.bill.cache_write_1h);
        let searches = self.server_tool_use.unwrap_or_default().web_search_requests;
        draft.bill.searches = total(&searches, draft.bill.searches);
        if usage != Usage::default() {
            draft.usage = Some(usage);
        }
    }
}

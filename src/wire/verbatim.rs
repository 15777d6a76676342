//! An answer that passes unchanged to a caller that speaks its provider's dialect.
//!
//! Input: the chunks of its body, where its events end, and what their reader found in each. Output: the bytes that the
//! caller gets: complete events, all of a chunk in one piece. They wait for the first content, so that no caller sees
//! the beginning of an answer that another replaces; and from the first call on that the caller is to act on they wait
//! for the valid end. The only bytes written here are events that must change, and an end marker that a provider left
//! out. An answer that comes in the other form than its caller waits for is put into that at its end, out of its own
//! bytes.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memmem};
use serde_json::json;

use super::anthropic;
use super::draft::{Draft, Forwarding};
use super::edit::{Array, Edits, find, members, quoted, text};
use super::fence::{self, Unfence, unfenced_body, with_text};
use super::{forms, seal};
use crate::words::{Dialect, Piece};

/// How an answer passes unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verbatim {
    /// Whether its caller waits for a stream; else for a whole answer. One that comes in the other form waits for its
    /// end, and is put into this one.
    pub stream: bool,
    /// Whether all of it waits for the end.
    pub buffered: bool,
    /// Whether the usage at a stream's end goes on: the caller asked for it, not the runtime.
    pub usage: bool,
    /// Whether a stream that is made of a whole answer tells its usage: the caller asked for it.
    pub usage_asked: bool,
    /// Whether its text is needed at the end.
    pub judged: bool,
    /// The model's name that the caller is shown, if it is not the provider's.
    pub model: Option<String>,
    /// Whether signatures of thoughts get their maker's name, and encrypted thoughts their provider's: the next request
    /// may go to a target that cannot read them.
    pub signed: bool,
    /// Whether an answer that a filter held back counts as an answer, too: no other target is asked, and the caller's
    /// dialect tells the reason.
    pub filtered: bool,
    /// Whether its text is wanted at the end beside it.
    pub kept: bool,
}

/// The part of an answer that has been read and not passed on yet.
#[derive(Debug)]
pub(super) struct Relay {
    dialect: Dialect,
    how: Verbatim,
    /// Whether it comes as a stream.
    streams: bool,
    /// The first bytes of the event in progress, from earlier chunks.
    open: Vec<u8>,
    /// Complete events that wait to be passed on.
    held: Vec<u8>,
    /// Content has come.
    shows: bool,
    /// A tool call has begun: all later events wait for the end.
    waits: bool,
    /// Some events were passed on.
    spoke: bool,
    /// Its provider has called it a failure: if nothing was passed on before that, nothing is.
    flawed: bool,
    /// The end marker came in another dialect's form.
    foreign_end: bool,
    /// Offset, in the chunk that is being read, of the first byte not taken yet.
    from: usize,
    /// Offset in the chunk of the next event.
    at: usize,
    /// Removes the text around JSON (a fence, words), where JSON was asked for.
    clean: Option<Clean>,
    /// Text around the JSON of a whole answer was removed.
    unfenced: bool,
    /// The last chunk, where it must be known whether one with usage says anything else.
    before: String,
}

/// The text of a stream whose JSON has something around it.
#[derive(Debug, Default)]
struct Clean {
    unfence: Unfence,
    /// The text as it came, and as it is passed on: events that repeat the whole text are changed in the same way.
    whole: [String; 2],
    /// The last event with held-back text.
    last: Option<HeldEvent>,
}

/// A waiting event with held-back text.
#[derive(Debug)]
struct HeldEvent {
    place: Range<usize>,
    name: String,
    data: String,
    /// Its text, and the part of it that is passed on.
    said: String,
    kept: String,
}

/// The new text of an event.
enum Cleaned {
    Nothing,
    Data {
        data: String,
        kept: String,
    },
    /// The text was not found in the event.
    Lost,
}

impl Clean {
    fn event(&mut self, data: &str, said: &str) -> Cleaned {
        let [came, goes] = &mut self.whole;
        if said.is_empty() {
            // While something is held back the whole text is not known: it is written at the end.
            let again = came != goes && !came.is_empty() && !self.unfence.holds();
            let data = again.then(|| with_text(data, came, goes)).flatten();
            return data.map_or(Cleaned::Nothing, |data| Cleaned::Data { data, kept: String::new() });
        }
        let kept = self.unfence.push(said.to_owned());
        came.push_str(said);
        goes.push_str(&kept);
        if kept == said {
            return Cleaned::Nothing;
        }
        with_text(data, said, &kept).map_or(Cleaned::Lost, |data| Cleaned::Data { data, kept })
    }
}

impl Relay {
    pub(super) fn new(dialect: Dialect, how: Verbatim) -> Self {
        let (open, held) = (Vec::new(), Vec::new());
        let (shows, waits, spoke, flawed, foreign_end) = (false, false, false, false, false);
        let (streams, clean, unfenced, before) = (how.stream, None, false, String::new());
        let (from, at) = (0, 0);
        Self {
            dialect,
            how,
            streams,
            open,
            held,
            shows,
            waits,
            spoke,
            flawed,
            foreign_end,
            from,
            at,
            clean,
            unfenced,
            before,
        }
    }

    /// Takes note of the form in which it comes; tells whether text around JSON is removed from its events.
    pub(super) fn comes(&mut self, streams: bool) -> bool {
        self.streams = streams;
        self.clean = (self.how.judged && self.how.stream && streams).then(Clean::default);
        self.clean.is_some()
    }

    /// Returns how many bytes wait to be passed on.
    pub(super) fn kept(&self) -> usize {
        self.open.len() + self.held.len()
    }

    /// Tells whether some events were passed on.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoke
    }

    pub(super) fn how(&self) -> &Verbatim {
        &self.how
    }

    /// Takes an event that was read, and the offset in the chunk where it ends; `apart` where it must be written anew
    /// in any case: it was wrapped twice, or was one of several in one.
    pub(super) fn event(
        &mut self,
        chunk: &[u8],
        (name, data, end, apart): (&str, &str, usize, bool),
        draft: &mut Draft,
        out: &mut Vec<Piece>,
    ) {
        self.flawed = draft.is_flawed();
        if let Some((name, data)) = reason(self.dialect, draft) {
            let data = self.edited(&data, draft).unwrap_or(data);
            self.take(chunk);
            self.held.extend_from_slice(written(name, &data).as_bytes());
        }
        if draft.acts && !self.waits {
            self.take(chunk);
            self.release(out);
            self.waits = true;
        }
        self.shows |= draft.shows;
        if std::mem::take(&mut draft.instead) {
            self.take(chunk);
            self.forget_empty();
        }
        let said = std::mem::take(&mut draft.said);
        let instead = match std::mem::take(&mut draft.forwarding) {
            Forwarding::Usage if self.leaves_out(data) => Some(String::new()),
            Forwarding::Drop => Some(String::new()),
            Forwarding::OtherEnd => {
                self.foreign_end = true;
                Some(String::new())
            }
            Forwarding::Whole(data) => Some(self.events_of(&data, &said, draft)),
            Forwarding::Replace(data) => self.changed((name, data.into(), &said), chunk, draft),
            Forwarding::Pass | Forwarding::Usage if apart => {
                self.changed((name, data.trim().to_owned().into(), &said), chunk, draft)
            }
            Forwarding::Pass | Forwarding::Usage => self.changed((name, data.into(), &said), chunk, draft),
        };
        if let Some(event) = instead {
            self.take(chunk);
            self.open.clear();
            self.held.extend_from_slice(event.as_bytes());
            self.from = end;
        }
        self.at = end;
        if self.dialect == Dialect::OpenAiChat && self.how.stream && !self.how.usage {
            self.before.clear();
            self.before.push_str(data);
        }
    }

    /// Returns an event with all its changes; `None` where nothing changes.
    fn changed(
        &mut self,
        (name, data, said): (&str, Cow<'_, str>, &str),
        chunk: &[u8],
        draft: &Draft,
    ) -> Option<String> {
        let cleaned = self.clean.as_mut().map_or(Cleaned::Nothing, |clean| clean.event(&data, said));
        let edited = |data: &str| self.edited(data, draft);
        match cleaned {
            Cleaned::Data { data: clean, kept } => {
                let event = written(name, edited(&clean).as_deref().unwrap_or(&clean));
                if !said.is_empty() {
                    let data = edited(&data).unwrap_or_else(|| data.into_owned());
                    self.take(chunk);
                    let place = self.held.len()..self.held.len() + event.len();
                    let last = HeldEvent { place, name: name.to_owned(), data, said: said.to_owned(), kept };
                    if let Some(clean) = &mut self.clean {
                        clean.last = Some(last);
                    }
                }
                return Some(event);
            }
            Cleaned::Nothing => {}
            // It passes unchanged, and so does the text held back before.
            Cleaned::Lost => {
                if let Some(clean) = self.clean.take() {
                    self.cleaned(clean, said);
                }
            }
        }
        match (self.edited(&data, draft), data) {
            (Some(data), _) | (None, Cow::Owned(data)) => Some(written(name, &data)),
            (None, Cow::Borrowed(_)) => None,
        }
    }

    /// Returns the events in which a whole answer would have been streamed, except the end marker, which follows.
    fn events_of(&mut self, whole: &str, said: &str, draft: &Draft) -> String {
        let json = fence::unfenced(said).filter(|_| self.clean.is_some());
        let clean = json.and_then(|json| with_text(whole, said, json));
        self.unfenced |= clean.is_some();
        let whole = clean.as_deref().unwrap_or(whole);
        let edited = self.edited(whole, draft);
        let usage = self.how.usage_asked || !self.how.stream;
        let events = forms::events_of(self.dialect, edited.as_deref().unwrap_or(whole).as_bytes(), usage);
        let events = String::from_utf8_lossy(&events).into_owned();
        events.strip_suffix("data: [DONE]\n\n").unwrap_or(&events).to_owned()
    }

    /// Tells whether a chunk with usage is left out: it was asked for here alone, and the chunk says nothing else.
    fn leaves_out(&self, data: &str) -> bool {
        self.how.stream && !self.how.usage && !says_more(data, &self.before)
    }

    /// Removes the empty arguments that were written last, when the real ones follow: clients would join the two.
    fn forget_empty(&mut self) {
        let told = EMPTY.into_iter().filter_map(|told| Some((memmem::rfind(&self.held, told)?, told.len()))).max();
        if let Some((at, length)) = told {
            self.held.splice(at + length - 3..at + length - 1, []);
        }
    }

    /// Keeps the rest of a chunk whose events were read.
    pub(super) fn chunk(&mut self, chunk: &[u8], out: &mut Vec<Piece>) {
        self.take(chunk);
        self.release(out);
        self.open.extend_from_slice(&chunk[self.at..]);
        (self.from, self.at) = (0, 0);
    }

    /// Tells whether it has come as a stream.
    pub(super) fn streams(&self) -> bool {
        self.streams
    }

    /// Takes an event of a stream without its framing, which has no end marker either.
    pub(super) fn line(&mut self, data: &str, draft: &mut Draft) {
        (self.streams, self.foreign_end) = (true, true);
        let data = match std::mem::take(&mut draft.forwarding) {
            Forwarding::Usage if self.leaves_out(data) => return,
            Forwarding::Replace(data) => Cow::Owned(data),
            _ => Cow::Borrowed(data),
        };
        let edited = self.edited(&data, draft);
        self.held.extend_from_slice(written("", edited.as_deref().unwrap_or(&data)).as_bytes());
    }

    /// Takes a whole answer.
    pub(super) fn whole(&mut self, body: Vec<u8>, draft: &mut Draft) {
        self.held = match std::mem::take(&mut draft.forwarding) {
            Forwarding::Replace(body) => body.into_bytes(),
            _ => body,
        };
        let edited = str::from_utf8(&self.held).ok().and_then(|body| self.edited(body, draft));
        if let Some(edited) = edited {
            self.held = edited.into_bytes();
        }
    }

    /// Returns an event's data, or a whole answer, with its changes; `None` where nothing changes.
    fn edited(&self, data: &str, draft: &Draft) -> Option<String> {
        let mut edits = Edits::new(data);
        if let Some(model) = &self.how.model {
            let paths: [&[&str]; 4] = [&["model"], &["message", "model"], &["response", "model"], &["modelVersion"]];
            let named = paths.into_iter().filter_map(|path| find(data, path));
            named.for_each(|name| edits.replace(name, quoted(model)));
        }
        if self.how.signed {
            match self.dialect {
                Dialect::OpenAiResponses => issue(data, draft, &mut edits),
                _ => sign(data, draft, &mut edits),
            }
        }
        match edits.finish() {
            Cow::Borrowed(_) => None,
            Cow::Owned(edited) => Some(edited),
        }
    }

    /// Returns what is left to pass on when an answer ended well, in the form that its caller waits for, and whether
    /// text around its JSON was removed. `text` is what it says.
    pub(super) fn finish(self, has_end: bool, text: &str) -> (Bytes, bool) {
        let (dialect, streams, Verbatim { stream, usage_asked, judged, .. }) =
            (self.dialect, self.streams, self.how.clone());
        let (came, mut unfenced) = if streams { self.end(has_end) } else { (self.held.into(), false) };
        if streams && stream {
            return (came, unfenced);
        }
        let mut whole = if streams { forms::whole_of(dialect, &came).into() } else { came };
        let json = if judged { fence::unfenced(text) } else { None };
        if let Some(body) = json.and_then(|json| unfenced_body(&whole, text, json)) {
            (whole, unfenced) = (body.into(), true);
        }
        (if stream { forms::events_of(dialect, &whole, usage_asked).into() } else { whole }, unfenced)
    }

    /// Returns the events of a stream that are left, its end included.
    fn end(mut self, has_end: bool) -> (Bytes, bool) {
        let cleaned = self.clean.take().is_some_and(|clean| self.cleaned(clean, ""));
        let unfenced = cleaned || self.unfenced;
        // The rest of a blank line, where lines end with two characters.
        if matches!(self.dialect, Dialect::Gemini | Dialect::Vertex) && self.open == b"\n" {
            self.held.append(&mut self.open);
        }
        if !has_end || self.foreign_end {
            self.held.extend_from_slice(end_of(self.dialect));
        }
        (self.events(), unfenced)
    }

    /// Writes the text that was held back, except what goes on by itself, into the last event that had such text; and
    /// the whole text into the events after it that repeat it. Tells whether anything is left out.
    fn cleaned(&mut self, mut clean: Clean, itself: &str) -> bool {
        let rest = clean.unfence.finish();
        let rest = rest.strip_suffix(itself).unwrap_or(&rest);
        let [came, goes] = &mut clean.whole;
        goes.push_str(rest);
        if let Some(HeldEvent { place, name, data, said, kept }) =
            clean.last.filter(|held| held.place.end <= self.held.len())
        {
            let tail = self.held.split_off(place.end);
            if !rest.is_empty() {
                self.held.truncate(place.start);
                let data = with_text(&data, &said, &format!("{kept}{rest}")).unwrap_or(data);
                self.held.extend_from_slice(written(&name, &data).as_bytes());
            }
            for event in String::from_utf8_lossy(&tail).split_inclusive("\n\n") {
                let field = |name: &str| {
                    let mut fields = event.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim);
                    fields.next().filter(|_| fields.next().is_none())
                };
                let again = field("data:").and_then(|data| with_text(data, came, goes));
                let again = again.map(|data| written(field("event:").unwrap_or_default(), &data));
                self.held.extend_from_slice(again.as_deref().unwrap_or(event).as_bytes());
            }
        }
        clean.unfence.changed()
    }

    /// Takes the events before the next one.
    fn take(&mut self, chunk: &[u8]) {
        if self.from < self.at {
            self.held.append(&mut self.open);
            self.held.extend_from_slice(&chunk[self.from..self.at]);
            self.from = self.at;
        }
    }

    /// Passes on the events that need not wait.
    fn release(&mut self, out: &mut Vec<Piece>) {
        let holds = self.clean.as_ref().is_some_and(|clean| clean.unfence.holds());
        let lost = self.flawed && !self.spoke;
        let buffered = self.how.buffered || !self.how.stream;
        if self.shows && !self.waits && !holds && !lost && !buffered && !self.held.is_empty() {
            self.spoke = true;
            out.push(Piece::Verbatim(self.events()));
            self.clean.iter_mut().for_each(|clean| clean.last = None);
        }
    }

    /// Returns the events that wait, with the line ends of their dialect: Google's servers alone send two characters
    /// for one, and clients of others need not know them.
    fn events(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        if matches!(self.dialect, Dialect::Gemini | Dialect::Vertex) || memchr(b'\r', &held).is_none() {
            return held.into();
        }
        let mut lines = Vec::with_capacity(held.len());
        for (at, byte) in held.iter().enumerate() {
            match byte {
                b'\r' if held.get(at + 1) == Some(&b'\n') => {}
                b'\r' => lines.push(b'\n'),
                byte => lines.push(*byte),
            }
        }
        lines.into()
    }
}

/// Puts the maker's name on the signatures of thoughts.
fn sign<'a>(data: &'a str, draft: &Draft, edits: &mut Edits<'a>) {
    let Some(maker) = anthropic::maker_of(draft) else { return };
    let blocks = find(data, &["content"]).and_then(Array::of);
    let begun = [&["delta"], &["content_block"]].into_iter().filter_map(|path| find(data, path));
    let blocks = blocks.iter().flat_map(Array::items).chain(begun);
    let signature = |block: &'a str| match find(block, &["type"]).and_then(text).as_deref() {
        Some("redacted_thinking") => find(block, &["data"]),
        _ => find(block, &["signature"]),
    };
    let signatures = blocks.filter_map(signature);
    for signature in signatures.filter(|signature| signature.len() > 2) {
        edits.replace(signature, format!("\"{maker}:{}", &signature[1..]));
    }
}

/// Puts the provider's name on encrypted thoughts.
fn issue<'a>(data: &'a str, draft: &Draft, edits: &mut Edits<'a>) {
    let Some(provider) = draft.issuer.as_deref().filter(|_| data.contains("encrypted_content")) else { return };
    let paths: [&[&str]; 2] = [&["response", "output"], &["output"]];
    let lists: Vec<_> = paths.into_iter().filter_map(|path| find(data, path).and_then(Array::of)).collect();
    let items = lists.iter().flat_map(Array::items).chain(find(data, &["item"]));
    items.for_each(|item| seal::issue(item, provider, edits));
}

/// The form of a call's empty arguments in chat completions.
const EMPTY: [&[u8]; 2] = [b"\"arguments\":\"{}\"", b"\"arguments\": \"{}\""];

/// The fields of a chunk with usage that only account for the answer.
const ACCOUNTING: [&str; 14] = [
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "timings",
    "cost",
    "x_groq",
    "service_tier",
    "system_fingerprint",
    "provider",
    "obfuscation",
    "p",
];

/// Tells whether a chunk with usage says more than that: in a field that does not only account for the answer, what the
/// one before it did not say.
fn says_more(chunk: &str, before: &str) -> bool {
    members(chunk).iter().any(|member| {
        let is_known = ACCOUNTING.contains(&&*member.name) || find(before, &[&*member.name]) == Some(member.value);
        !is_known && !matches!(member.value, "null" | "\"\"" | "{}" | "[]")
    })
}

/// Writes an event.
fn written(name: &str, data: &str) -> String {
    let mut event = String::with_capacity(data.len() + name.len() + 24);
    if !name.is_empty() {
        event.extend(["event: ", name, "\n"]);
    }
    data.lines().for_each(|line| event.extend(["data: ", line, "\n"]));
    event.push('\n');
    event
}

/// Returns the event that says why an answer ended, its name and its data, where its provider left that out. In other
/// dialects an answer without a reason has no end.
fn reason(dialect: Dialect, draft: &Draft) -> Option<(&'static str, String)> {
    if !draft.done || draft.stop.is_some() {
        return None;
    }
    let usage = draft.usage.unwrap_or_default();
    let is_full = draft.output_tokens_max.is_some_and(|max| usage.output >= max.into());
    let word = |[stopped, calls, full]: [&'static str; 3]| match () {
        () if draft.calls_begun() > 0 => calls,
        () if is_full && !draft.has_spoken() => full,
        () => stopped,
    };
    match dialect {
        Dialect::OpenAiChat => {
            let word = word(["stop", "tool_calls", "length"]);
            let (id, model) = (&draft.id, draft.model().unwrap_or_default());
            let chunk = json!({"id": id, "object": "chat.completion.chunk", "created": draft.created, "model": model,
                "choices": [{"index": 0, "delta": {}, "finish_reason": word}]});
            Some(("", chunk.to_string()))
        }
        Dialect::AnthropicMessages => {
            let word = word(["end_turn", "tool_use", "max_tokens"]);
            let usage = json!({"output_tokens": usage.output});
            let delta = json!({"stop_reason": word, "stop_sequence": null});
            let event = json!({"type": "message_delta", "delta": delta, "usage": usage});
            Some(("message_delta", event.to_string()))
        }
        _ => None,
    }
}

/// Returns the end marker of a stream of this dialect.
const fn end_of(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenAiChat => b"data: [DONE]\n\n",
        Dialect::AnthropicMessages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        Dialect::OpenAiResponses | Dialect::Gemini | Dialect::Vertex | Dialect::Ollama | Dialect::Function => b"",
    }
}

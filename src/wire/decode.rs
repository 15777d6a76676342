//! Decodes one answer's body as it arrives: the framing, the limits, and which dialect reads what is inside.
//!
//! Input: raw chunks. Output: pieces and in the end an [`Ending`] or a failure. The pieces are words or, for a caller
//! that gets the answer as it came, its own events. Whether the body is an event stream or one JSON value is read from
//! the body itself: a provider may answer a streaming request with a whole reply, and content types lie.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::anthropic;
use super::bill::Tally;
use super::classify;
use super::draft::{Draft, Forwarding, cut, unusable};
use super::edit::{self, find};
use super::ending::Ending;
use super::function;
use super::gemini;
use super::json::Nesting;
use super::ollama;
use super::openai;
use super::responses;
use super::sse::{SseItem, SseParser, TooLong};
use super::stops::Stops;
use super::verbatim::{Relay, Verbatim};
use super::{halves, numbers};
use crate::words::{Dialect, Drift, DriftKind, Failure, FailureClass, Piece, Scope, Text};

/// The longest event of a stream. Whole tool calls and images come in one event; text is some hundred bytes.
const EVENT_BYTES_MAX: usize = 8 << 20;
/// An answer's bytes are more than its content: up to this many times the limit is kept, where the bytes must be kept.
const KEPT_A_BYTE: usize = 4;
/// What is said of a page and of other text in the place of an answer. It came with a status that says that all is
/// well.
const PAGE: &str = "a web page came instead of an answer: is `base_url` the address of the API, and does this network \
                    ask for a sign-in?";
const OTHER_BODY: &str = "the body is neither JSON nor an event stream: is `base_url` the address of the API?";
/// The end marker of chat completions.
const END_MARK: &str = "[DONE]";
/// About how many bytes a token has.
const TOKEN_BYTES: usize = 4;
/// The longest stream. An answer of 256 Ki tokens at 1 KiB a chunk, twice what any provider sends.
const STREAM_BYTES_MAX: usize = 256 << 20;

/// The result of reading a chunk of an answer's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Something came, even if only a keep-alive.
    pub alive: bool,
    /// Text, reasoning or a part of a tool call came: this stops the first-token timer.
    pub content: bool,
    /// The terminal marker came: the body need not be read further.
    pub done: bool,
}

/// How long an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMax {
    /// Bytes of text, reasoning, calls and proofs.
    pub bytes: usize,
    /// Tokens: each event with content is one at least.
    pub tokens: usize,
}

impl Default for AnswerMax {
    fn default() -> Self {
        Self { bytes: 8 << 20, tokens: 1 << 20 }
    }
}

/// Decodes one answer's body.
#[derive(Debug)]
pub struct Decoder {
    dialect: Dialect,
    framing: Framing,
    /// In a box: a decoder is moved by each of the functions that make it.
    draft: Box<Draft>,
    /// The state of passing it on as it came, if it is.
    relay: Option<Relay>,
    bytes: usize,
    max: AnswerMax,
    /// Events with content.
    events: usize,
}

#[derive(Debug)]
enum Framing {
    /// Only blanks came so far. `streaming` is what the headers said.
    Undecided { streaming: bool },
    /// An event stream.
    Events(SseParser),
    /// One JSON value, gathered until it is complete; in Ollama's dialect one after another.
    Whole { body: Vec<u8>, nesting: Nesting },
    /// The JSON that an event stream broke off into, gathered in the same way: Google tells its failures so.
    Remains { body: Vec<u8>, nesting: Nesting },
}

impl Decoder {
    /// Returns a decoder for one body. `streaming` is what [`is_event_stream`](super::is_event_stream) made of the
    /// headers; it counts only where the body's first byte leaves it open.
    pub fn new(dialect: Dialect, streaming: bool) -> Self {
        let (framing, draft) = (Framing::Undecided { streaming }, Box::default());
        Self { dialect, framing, draft, relay: None, bytes: 0, max: AnswerMax::default(), events: 0 }
    }

    /// Lets the answer go on as it came.
    #[must_use]
    pub fn verbatim(mut self, how: Option<Verbatim>) -> Self {
        self.relay = how.map(|how| Relay::new(self.dialect, how));
        self
    }

    /// Sets a number that no other answer has: it makes ids for calls that have none.
    #[must_use]
    pub fn salted(mut self, salt: u64) -> Self {
        self.draft.salt = salt;
        self
    }

    /// Says how long an answer may be, for any caller.
    #[must_use]
    pub fn within(mut self, max: AnswerMax) -> Self {
        self.max = max;
        self
    }

    /// Says how long the answer may be at most: one that is as long was cut by that, whatever reason its provider
    /// gives.
    #[must_use]
    pub fn limited(mut self, output_tokens_max: Option<u32>) -> Self {
        self.draft.output_tokens_max = output_tokens_max;
        self
    }

    /// Ends the answer before the first of these sequences, which its provider was not told. It is then read into
    /// words.
    #[must_use]
    pub fn stopping(mut self, sequences: &[Text]) -> Self {
        self.draft.stops = Stops::new(sequences.to_vec());
        self.relay.take_if(|_| !sequences.is_empty());
        self
    }

    /// Names the tools that take a text, which some models give as it is instead of within JSON.
    #[must_use]
    pub fn free(mut self, tools: Vec<String>) -> Self {
        self.draft.free = tools;
        self
    }

    /// Says whether it is looked through for fields that are not known. All else that is not known is noted anyway.
    #[must_use]
    pub fn looking(mut self, looks: bool) -> Self {
        self.draft.drifts.look_at_fields(looks);
        self
    }

    /// Names the provider that sends the answer: its proofs are then its own.
    #[must_use]
    pub fn issuer(mut self, provider: &Arc<str>) -> Self {
        self.draft.issuer = Some(provider.clone());
        self
    }

    /// Names the model that is asked, by its family: its thoughts are then its own, whatever the answer calls it.
    #[must_use]
    pub fn asked(mut self, family: &str) -> Self {
        self.draft.asked = Some(family.into());
        self
    }

    /// Feeds a chunk; appends the pieces of content that it completes, neighbours of one kind joined. Tool calls
    /// are gathered until [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// What the provider reports inside the body, classified; `Cut` where it breaks the protocol or a limit. Pieces
    /// that came before the failure are in `out`. After a failure the decoder is of no further use.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<Piece>) -> Result<Progress, Failure> {
        let alive = !chunk.is_empty();
        if self.draft.done {
            return Ok(Progress { alive, content: false, done: true });
        }
        self.bytes = self.bytes.saturating_add(chunk.len());
        let chunk = self.decide(chunk)?;
        let (dialect, draft) = (self.dialect, &mut *self.draft);
        let (mut content, events) = (false, &mut self.events);
        let body_bytes_max = self.max.bytes.saturating_mul(KEPT_A_BYTE);
        match &mut self.framing {
            Framing::Undecided { .. } => {}
            Framing::Events(parser) => {
                limit(self.bytes, STREAM_BYTES_MAX)?;
                let relay = &mut self.relay;
                let read = parser.push(chunk, |item| {
                    let (SseItem::Event { name, data, end, wrapped }, false) = (item, draft.done) else {
                        return Ok::<_, Failure>(());
                    };
                    read_event(dialect, draft, (name, data), out, &mut |value, draft, out| {
                        *events += usize::from(value.content);
                        content |= value.content;
                        relay.take_if(|_| !draft.verbatim);
                        if let Some(relay) = relay {
                            let apart = wrapped || value.is_part;
                            relay.event(chunk, (value.name, value.data, end, apart), draft, out);
                        }
                    })
                });
                // What came before a failure goes on where its caller has heard the beginning.
                if let Some(relay) = relay.as_mut().filter(|relay| read.is_ok() || relay.has_spoken()) {
                    relay.chunk(chunk, out);
                }
                let json = read?;
                if let (Some(json), false) = (json, draft.done) {
                    let (mut body, mut nesting) = (Vec::new(), Nesting::default());
                    remains(json, &mut body, &mut nesting)?;
                    self.framing = Framing::Remains { body, nesting };
                }
            }
            Framing::Remains { body, nesting } => {
                limit(self.bytes, STREAM_BYTES_MAX)?;
                remains(chunk, body, nesting)?;
            }
            Framing::Whole { body, nesting } => {
                limit(body.len().saturating_add(chunk.len()), body_bytes_max)?;
                let mut rest = chunk;
                while let Some(end) = nesting.end(rest) {
                    body.extend_from_slice(&rest[..end]);
                    rest = &rest[end..];
                    content |= read_whole(dialect, draft, &text(body), out)?;
                    // Lines of a stream without its framing; else one value is all.
                    draft.done |= dialect != Dialect::Ollama && (draft.stop.is_some() || !is_chunk(body));
                    if let Some(relay) = self.relay.as_mut().filter(|_| is_chunk(body)) {
                        let text = text(body);
                        if find(&text, &["object"]) == Some("\"chat.completion.chunk\"") {
                            relay.line(text.trim(), draft);
                        }
                    }
                    if draft.done {
                        if let Some(relay) = self.relay.as_mut().filter(|relay| !relay.streams()) {
                            let blanks = rest.len() - rest.trim_ascii_start().len();
                            body.extend_from_slice(&rest[..blanks]);
                            relay.whole(std::mem::take(body), draft);
                        }
                        break;
                    }
                    body.clear();
                }
                if !draft.done {
                    body.extend_from_slice(rest);
                }
            }
        }
        self.measure()?;
        Ok(Progress { alive, content, done: self.draft.done })
    }

    /// Tells whether the answer has ended without a terminal marker: a break after that does no harm.
    pub fn has_ended(&self) -> bool {
        self.draft.done || self.draft.stop.is_some()
    }

    /// Hands out the ends of texts that were held back.
    pub fn flush(&mut self, out: &mut Vec<Piece>) {
        self.draft.flush(out);
    }

    /// Takes the event that the body ended in, if all of it came but its blank line. [`finish`](Self::finish) judges an
    /// incomplete one.
    ///
    /// # Errors
    ///
    /// What the provider reports in it, classified.
    pub fn end(&mut self, out: &mut Vec<Piece>) -> Result<Progress, Failure> {
        if !matches!(&self.framing, Framing::Events(parser) if parser.is_mid_event()) {
            return Ok(Progress { done: self.draft.done, ..Progress::default() });
        }
        match self.push(b"\n\n", out) {
            Err(failure) if failure.class == FailureClass::Cut => Ok(Progress::default()),
            progress => progress,
        }
    }

    /// Returns what its provider has told of its bill so far.
    pub fn tally(&self) -> Tally {
        Tally { usage: self.draft.usage, bill: self.draft.bill, is_whole: self.has_ended() }
    }

    /// Returns what came so far that is not known here, each thing once, and forgets it.
    pub fn take_drift(&mut self) -> Vec<Drift> {
        self.draft.drifts.take()
    }

    /// Fails where the answer is longer than it may be: its model does not stop, and no call is to wait for its end.
    fn measure(&self) -> Result<(), Failure> {
        let AnswerMax { bytes, tokens } = self.max;
        if self.draft.size > bytes {
            return Err(unusable(&format!("the answer is longer than {bytes} bytes")));
        }
        if self.events.max(self.draft.size / TOKEN_BYTES) > tokens {
            return Err(unusable(&format!("the answer is longer than {tokens} tokens")));
        }
        if self.kept() > bytes.saturating_mul(KEPT_A_BYTE).saturating_add(EVENT_BYTES_MAX) {
            return Err(unusable("more of the answer would have to be kept than there is room for"));
        }
        Ok(())
    }

    /// Returns how many bytes of it are kept in memory.
    pub fn kept(&self) -> usize {
        let framing = match &self.framing {
            Framing::Undecided { .. } => 0,
            Framing::Events(parser) => parser.kept(),
            Framing::Whole { body, .. } | Framing::Remains { body, .. } => body.len(),
        };
        framing + self.draft.kept() + self.relay.as_ref().map_or(0, Relay::kept)
    }

    /// Returns how many bytes of text and reasoning came so far.
    pub fn content_bytes(&self) -> usize {
        self.draft.bytes
    }

    /// Tells whether the last event is of a tool that the provider runs, for a caller that sees such events: its
    /// duration is not known.
    pub fn is_at_work(&self) -> bool {
        self.draft.works
    }

    /// Judges the answer when its body has ended.
    ///
    /// # Errors
    ///
    /// `Cut` without the terminal marker, `Unusable` where a tool call's arguments are no JSON object, `Empty` and
    /// `ContentPolicy` where nothing was said.
    pub fn finish(self) -> Result<Ending, Failure> {
        match &self.framing {
            Framing::Undecided { .. } => Err(cut("the body is empty")),
            Framing::Events(parser) if parser.is_mid_event() && !self.draft.done && self.draft.stop.is_none() => {
                Err(cut("the body ended in the middle of an event"))
            }
            Framing::Events(_) | Framing::Whole { .. } | Framing::Remains { .. } => {
                let has_end = self.draft.done;
                let ending = self.draft.finish()?;
                let Some(relay) = self.relay else { return Ok(ending) };
                let partly_delivered = relay.has_spoken();
                let (verbatim, unfenced) = relay.finish(has_end, &ending.text());
                Ok(Ending { verbatim: Some(verbatim), unfenced, partly_delivered, ..ending })
            }
        }
    }

    /// Skips blanks until the first byte that tells how the body is framed; returns what is left of the chunk.
    fn decide<'c>(&mut self, chunk: &'c [u8]) -> Result<&'c [u8], Failure> {
        let Framing::Undecided { streaming } = self.framing else { return Ok(chunk) };
        // Waiting providers send blank lines; some begin with a byte order mark.
        let blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
        let Some(start) = chunk.iter().position(|byte| !blank(byte)) else { return Ok(&[]) };
        self.framing = match chunk[start] {
            b'{' | b'[' => Framing::Whole { body: Vec::new(), nesting: Nesting::default() },
            b'<' => {
                let failure = Failure::new(FailureClass::Server, PAGE);
                return Err(Failure { scope: Scope::Endpoint, ..failure });
            }
            b'd' | b'e' | b'i' | b'r' | b':' => Framing::Events(SseParser::new(EVENT_BYTES_MAX)),
            _ if streaming => Framing::Events(SseParser::new(EVENT_BYTES_MAX)),
            _ => return Err(cut(OTHER_BODY)),
        };
        let streams = matches!(self.framing, Framing::Events(_));
        if let Some(relay) = &mut self.relay {
            self.draft.unfences = relay.comes(streams);
            let how = relay.how();
            (self.draft.verbatim, self.draft.forgets) = (true, !(how.judged || how.kept));
            self.draft.filtered = how.filtered;
        }
        Ok(&chunk[start..])
    }
}

/// Returns bytes as text, with broken characters replaced.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Tells whether a JSON value is a chunk of a stream, which others follow.
fn is_chunk(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"chat.completion.chunk").is_some()
}

/// A value of an event that was read.
struct ReadValue<'a> {
    name: &'a str,
    data: &'a str,
    /// Whether it had content.
    content: bool,
    /// Whether it is one of several in one event.
    is_part: bool,
}

/// Reads one event of a stream and hands on each value in it: one, or several that follow each other where the blank
/// line between two events is missing. Once its end was told, what cannot be read says nothing about an answer; an
/// error still does.
fn read_event(
    dialect: Dialect,
    draft: &mut Draft,
    (name, data): (&str, &str),
    out: &mut Vec<Piece>,
    on: &mut dyn FnMut(ReadValue<'_>, &mut Draft, &mut Vec<Piece>),
) -> Result<(), Failure> {
    let has_ended = draft.has_told_end();
    let whole = |content| ReadValue { name, data, content, is_part: false };
    let failure = match read_data(dialect, draft, name, data, out) {
        Ok(content) => {
            on(whole(content), draft, out);
            return Ok(());
        }
        Err(failure) if failure.class == FailureClass::Cut => failure,
        Err(failure) => return Err(failure),
    };
    let says_nothing = says_nothing(data) || classify::says_well(data);
    if !says_nothing {
        let finite = numbers::finite(data);
        let marked = if finite.is_none() { halves::mark(data) } else { None };
        draft.halves |= marked.is_some();
        if let Some(readable) = finite.or(marked) {
            return read_event(dialect, draft, (name, &*readable), out, &mut |value, draft, out| {
                let data = if value.is_part { value.data } else { data };
                on(ReadValue { data, ..value }, draft, out);
            });
        }
        let values = values(data);
        if values.len() > 1 {
            return read_parts(dialect, draft, (name, &values[..]), out, on);
        }
    }
    if !(says_nothing || has_ended) {
        return Err(failure);
    }
    draft.drifts.note(DriftKind::Event, if name.is_empty() { "data" } else { name });
    draft.forwarding = if has_ended { Forwarding::Drop } else { Forwarding::Pass };
    on(whole(false), draft, out);
    Ok(())
}

/// Reads the values of one event, each as an event of its own.
fn read_parts(
    dialect: Dialect,
    draft: &mut Draft,
    (name, values): (&str, &[&str]),
    out: &mut Vec<Piece>,
    on: &mut dyn FnMut(ReadValue<'_>, &mut Draft, &mut Vec<Piece>),
) -> Result<(), Failure> {
    for &value in values {
        if draft.done {
            break;
        }
        // Each has the name that it gives itself: that of the event is the last one's.
        let own = find(value, &["type"]).and_then(edit::text).filter(|_| !name.is_empty());
        let name = own.as_deref().unwrap_or(name);
        read_event(dialect, draft, (name, value), out, &mut |value, draft, out| {
            on(ReadValue { is_part: true, ..value }, draft, out);
        })?;
    }
    Ok(())
}

/// Tells whether an event's data cannot be a part of an answer, whole or broken off: no value, a plain word, as in some
/// servers' signs of life. Whether the answer is whole is told by its end, which may have something behind it.
fn says_nothing(data: &str) -> bool {
    let data = data.trim();
    if data.strip_prefix(END_MARK).is_some_and(|rest| !rest.is_empty()) {
        return false;
    }
    let is_mark = |rest: &str| rest.trim_start().starts_with(|letter: char| letter == ']' || letter.is_alphabetic());
    !data.starts_with(['{', '[']) || data.strip_prefix('[').is_some_and(is_mark)
}

/// Returns the values that follow each other in the data of an event, without a field's name before them; what is no
/// value is one to the end of its line. Values of several lines are found until one has broken off: its rest is read
/// once, not again from each line.
fn values(data: &str) -> Vec<&str> {
    let data = data.trim();
    let (mut values, mut at, mut line_end, mut has_broken_off) = (Vec::new(), 0, 0, false);
    while at < data.len() {
        let rest = data[at..].trim_start();
        at = data.len() - rest.len();
        if let Some(inner) = rest.strip_prefix("data:") {
            at = data.len() - inner.len();
            continue;
        }
        if line_end <= at {
            line_end = rest.find('\n').map_or(data.len(), |length| at + length);
        }
        let end = if rest.starts_with(END_MARK) {
            at + END_MARK.len()
        } else if rest.starts_with('{') {
            let within = if has_broken_off { &data[at..line_end] } else { rest };
            let value = serde_json::Deserializer::from_str(within).into_iter::<&RawValue>().next();
            if let Some(Ok(value)) = value {
                at + value.get().len()
            } else {
                has_broken_off = true;
                line_end
            }
        } else {
            line_end
        };
        values.push(&data[at..end]);
        at = end;
    }
    values
}

fn read_data(
    dialect: Dialect,
    draft: &mut Draft,
    name: &str,
    data: &str,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    match dialect {
        Dialect::OpenAiChat => openai::read_event(draft, name, data, out),
        Dialect::OpenAiResponses => responses::read_event(draft, name, data, out),
        Dialect::AnthropicMessages => anthropic::read_event(draft, name, data, out),
        Dialect::Gemini | Dialect::Vertex => gemini::read_event(dialect, draft, name, data, out),
        Dialect::Ollama => ollama::read(draft, data, out),
        Dialect::Function => function::read(draft, data, out),
    }
}

/// Reads a whole answer; tells whether it had content.
fn read_whole(dialect: Dialect, draft: &mut Draft, body: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    match read_body(dialect, draft, body, out) {
        Err(failure) if failure.class == FailureClass::Cut => {
            if let Some(finite) = numbers::finite(body) {
                return read_whole(dialect, draft, &finite, out);
            }
            let repaired = halves::mark(body).ok_or(failure)?;
            draft.halves = true;
            read_body(dialect, draft, &repaired, out)
        }
        read => read,
    }
}

fn read_body(dialect: Dialect, draft: &mut Draft, body: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    match dialect {
        Dialect::OpenAiChat => openai::read_whole(draft, body, out),
        Dialect::OpenAiResponses => responses::read_whole(draft, body, out),
        Dialect::AnthropicMessages => anthropic::read_whole(draft, body, out),
        Dialect::Gemini | Dialect::Vertex => gemini::read_whole(dialect, draft, body, out),
        Dialect::Ollama => ollama::read(draft, body, out),
        Dialect::Function => function::read(draft, body, out),
    }
}

/// Gathers the JSON that an event stream broke off into; once it is complete the stream has failed.
fn remains(chunk: &[u8], body: &mut Vec<u8>, nesting: &mut Nesting) -> Result<(), Failure> {
    let end = nesting.end(chunk);
    body.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
    match end {
        None => limit(body.len(), EVENT_BYTES_MAX),
        Some(_) => Err(classify::recognise(&String::from_utf8_lossy(body))
            .unwrap_or_else(|| cut("the stream broke off into JSON that is no event"))),
    }
}

fn limit(bytes: usize, bytes_max: usize) -> Result<(), Failure> {
    if bytes > bytes_max { Err(cut(&format!("the body is longer than {bytes_max} bytes"))) } else { Ok(()) }
}

impl From<TooLong> for Failure {
    fn from(problem: TooLong) -> Self {
        cut(&problem.to_string())
    }
}

#[cfg(test)]
mod tests;

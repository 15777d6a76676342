//! An answer that goes on as it came, to a caller that speaks its provider's dialect.
//!
//! In flow the chunks of its body, where its events end, and what their reader found in each; out flow the bytes that the
//! caller gets: complete events, all of a chunk in one piece. They wait for the first content, so that nobody sees the
//! beginning of an answer that another replaces; and from the first call on that the caller is to act on they wait for the
//! valid end. Nothing is written here but what an event must say otherwise, and the end that a provider left out.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr;

use super::anthropic;
use super::draft::{Draft, Turn};
use super::edit::{Array, Edits, find, quoted};
use crate::words::{Dialect, Piece};

/// How an answer goes on as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verbatim {
    /// Whether its caller waits for a stream, and else for a whole answer. One that comes in the other form is read into
    /// words.
    pub stream: bool,
    /// Whether all of it waits for the end.
    pub buffered: bool,
    /// Whether the usage at a stream's end goes on: the caller, and nobody here, asked for it.
    pub usage: bool,
    /// Whether somebody looks at its text in the end.
    pub judged: bool,
    /// How it names its model, if not as its provider does.
    pub model: Option<String>,
    /// Whether the signature of a thought must say whose it is: the next request may go to a model that cannot read it.
    pub signed: bool,
    /// Whether a filter that held the whole back is an answer, too: nobody else is asked, and the caller's dialect says
    /// what it was.
    pub filtered: bool,
}

/// What has come of an answer, and has not gone on.
#[derive(Debug)]
pub(super) struct Relay {
    dialect: Dialect,
    how: Verbatim,
    /// The beginning of the event in progress, as far as earlier chunks hold it.
    open: Vec<u8>,
    /// Complete events that wait.
    held: Vec<u8>,
    /// Content has come.
    shows: bool,
    /// A call has come: all waits for the end.
    waits: bool,
    /// The end was told in another dialect.
    foreign_end: bool,
    /// Where in the chunk that is being read the bytes begin that are not taken yet.
    from: usize,
    /// Where in it the next event begins.
    at: usize,
}

impl Relay {
    pub(super) fn new(dialect: Dialect, how: Verbatim) -> Self {
        let (open, held) = (Vec::new(), Vec::new());
        Self { dialect, how, open, held, shows: false, waits: false, foreign_end: false, from: 0, at: 0 }
    }

    /// Returns how many bytes wait.
    pub(super) fn kept(&self) -> usize {
        self.open.len() + self.held.len()
    }

    pub(super) fn how(&self) -> &Verbatim {
        &self.how
    }

    /// Takes an event that was read and ends there in the chunk.
    pub(super) fn event(
        &mut self,
        chunk: &[u8],
        (name, data, end): (&str, &str, usize),
        draft: &mut Draft,
        out: &mut Vec<Piece>,
    ) {
        if draft.acts && !self.waits {
            self.take(chunk);
            self.release(out);
            self.waits = true;
        }
        self.shows |= draft.shows;
        let instead = match std::mem::take(&mut draft.turn) {
            Turn::Pass => self.edited(data, draft).map(|data| written(name, &data)),
            Turn::Usage => (!self.how.usage).then(String::new),
            Turn::Foreign => {
                self.foreign_end = true;
                Some(String::new())
            }
            Turn::Instead(data) => {
                let edited = self.edited(&data, draft);
                Some(written(name, edited.as_ref().unwrap_or(&data)))
            }
        };
        if let Some(event) = instead {
            self.take(chunk);
            self.open.clear();
            self.held.extend_from_slice(event.as_bytes());
            self.from = end;
        }
        self.at = end;
    }

    /// Takes what is left of a chunk whose events were read.
    pub(super) fn chunk(&mut self, chunk: &[u8], out: &mut Vec<Piece>) {
        self.take(chunk);
        self.release(out);
        self.open.extend_from_slice(&chunk[self.at..]);
        (self.from, self.at) = (0, 0);
    }

    /// Takes a whole answer.
    pub(super) fn whole(&mut self, body: Vec<u8>, draft: &mut Draft) {
        self.held = match std::mem::take(&mut draft.turn) {
            Turn::Instead(body) => body.into_bytes(),
            _ => body,
        };
        let edited = str::from_utf8(&self.held).ok().and_then(|body| self.edited(body, draft));
        if let Some(edited) = edited {
            self.held = edited.into_bytes();
        }
    }

    /// Returns an event's data, or a whole answer, with what it must say otherwise; `None` where that is nothing.
    fn edited(&self, data: &str, draft: &Draft) -> Option<String> {
        let mut edits = Edits::new(data);
        if let Some(model) = &self.how.model {
            let paths: [&[&str]; 4] = [&["model"], &["message", "model"], &["response", "model"], &["modelVersion"]];
            let named = paths.into_iter().filter_map(|path| find(data, path));
            named.for_each(|name| edits.replace(name, quoted(model)));
        }
        if self.how.signed
            && let Some(maker) = draft.model().and_then(anthropic::maker)
        {
            let blocks = find(data, &["content"]).and_then(Array::of);
            let blocks = blocks.iter().flat_map(Array::items).chain(find(data, &["delta"]));
            let signatures = blocks.filter_map(|block| find(block, &["signature"]));
            for signature in signatures.filter(|signature| signature.len() > 2) {
                edits.replace(signature, format!("\"{maker}:{}", &signature[1..]));
            }
        }
        match edits.finish() {
            Cow::Borrowed(_) => None,
            Cow::Owned(edited) => Some(edited),
        }
    }

    /// Returns what has not gone on when an answer ended well.
    pub(super) fn finish(mut self, has_end: bool) -> Bytes {
        if !self.how.stream {
            return self.held.into();
        }
        // The rest of a blank line, where lines end with two characters.
        if matches!(self.dialect, Dialect::Gemini | Dialect::Vertex) && self.open == b"\n" {
            self.held.append(&mut self.open);
        }
        if !has_end || self.foreign_end {
            self.held.extend_from_slice(end(self.dialect));
        }
        self.events()
    }

    /// Takes the events before the next one.
    fn take(&mut self, chunk: &[u8]) {
        if self.from < self.at {
            self.held.append(&mut self.open);
            self.held.extend_from_slice(&chunk[self.from..self.at]);
            self.from = self.at;
        }
    }

    /// Lets go what need not wait.
    fn release(&mut self, out: &mut Vec<Piece>) {
        if self.shows && !self.waits && !self.how.buffered && !self.held.is_empty() {
            out.push(Piece::Verbatim(self.events()));
        }
    }

    /// Returns the events that wait, with the line ends of their dialect: Google's servers alone send two characters for
    /// one, and clients of others need not know them.
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

/// Returns what ends a stream of this dialect.
const fn end(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenAiChat => b"data: [DONE]\n\n",
        Dialect::AnthropicMessages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        Dialect::OpenAiResponses | Dialect::Gemini | Dialect::Vertex | Dialect::Ollama => b"",
    }
}

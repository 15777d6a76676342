//! Server-sent events: chunks of bytes in, comments and events out.
//!
//! Understands what providers send: a byte order mark, lines that end in CR, LF or CRLF, chunk borders anywhere,
//! several data lines in one event. Comments are reported, since they are signs of life. An event that is whole in a
//! chunk is handed out straight from that chunk; only what a border cuts in two is copied. An event that the end of the
//! body cuts off is never handed out: it is not whole. A stream that breaks off into JSON, as Google's do when they
//! fail, is over there. Servers that wrap a line twice (`data: data: {…}`) mean it once.

use std::mem;
use std::str;

use memchr::memchr2;

/// An item of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseItem<'a> {
    /// A comment line: a keep-alive.
    Comment,
    /// An event with data.
    Event {
        /// Its name; empty where the server gave none.
        name: &'a str,
        /// Its data lines, joined by line feeds; bytes that are no UTF-8 are replaced.
        data: &'a str,
        /// Where in the chunk it ends, the blank line included.
        end: usize,
        /// Whether a line of its data was wrapped twice.
        wrapped: bool,
    },
}

/// A line or the data of one event is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {bytes_max} bytes")]
pub struct TooLong {
    /// The limit.
    pub bytes_max: usize,
}

/// Parses one stream. After an error it is of no further use.
#[derive(Debug)]
pub struct SseParser {
    bytes_max: usize,
    /// Only the first line may begin with a byte order mark.
    first_line: bool,
    /// The last chunk ended in CR; a LF at the head of the next one belongs to it.
    after_cr: bool,
    /// The line that the last chunk's end cut off.
    line: Vec<u8>,
    /// Name of the event in progress.
    name: Vec<u8>,
    /// Data of the event in progress as far as it had to be copied.
    data: Vec<u8>,
    /// The event in progress has a data line, perhaps an empty one.
    has_data: bool,
    /// One of them was wrapped twice.
    wrapped: bool,
    /// A line began with a brace where an event might have: no event follows.
    is_over: bool,
}

impl SseParser {
    /// Returns a parser for one stream; no line and no event's data may be longer than `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            first_line: true,
            after_cr: false,
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            wrapped: false,
            is_over: false,
        }
    }

    /// Feeds a chunk and hands each item that it completes to `on`. How the stream is cut into chunks changes nothing.
    /// Returns the part of the chunk that is JSON instead of a stream, and from then on all of each chunk.
    ///
    /// # Errors
    ///
    /// [`TooLong`], or the error of `on`.
    pub fn push<'c, E: From<TooLong>>(
        &mut self,
        chunk: &'c [u8],
        mut on: impl FnMut(SseItem<'_>) -> Result<(), E>,
    ) -> Result<Option<&'c [u8]>, E> {
        if self.is_over {
            return Ok(Some(chunk));
        }
        let mut rest = chunk;
        if !rest.is_empty() && mem::take(&mut self.after_cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        if !self.line.is_empty()
            && let Some(end) = memchr2(b'\n', b'\r', rest)
        {
            let mut line = mem::take(&mut self.line);
            line.extend_from_slice(&rest[..end]);
            line.push(b'\n');
            rest = self.step_over(&rest[end..]);
            let (after_cr, at) = (self.after_cr, chunk.len() - rest.len());
            self.lines(&line, |_| at, &mut on)?;
            self.after_cr = after_cr;
            line.clear();
            self.line = line;
        }
        self.lines(rest, |rest| chunk.len() - rest, &mut on)
    }

    /// Returns how many bytes of an event in progress it keeps.
    pub fn kept(&self) -> usize {
        self.line.len() + self.name.len() + self.data.len()
    }

    /// Tells whether the body, if it ends here, ends in the middle of an event.
    pub fn is_mid_event(&self) -> bool {
        self.has_data || !self.line.is_empty() || !self.name.is_empty()
    }

    /// Takes the complete lines of `bytes` and keeps the rest for the next chunk. `at` computes a line's end in the
    /// chunk from the number of bytes that are left.
    fn lines<'c, E: From<TooLong>>(
        &mut self,
        bytes: &'c [u8],
        at: impl Fn(usize) -> usize,
        on: &mut impl FnMut(SseItem<'_>) -> Result<(), E>,
    ) -> Result<Option<&'c [u8]>, E> {
        let mut rest = bytes;
        let mut held: Option<&'c [u8]> = None;
        loop {
            if rest.first() == Some(&b'{') && self.line.is_empty() && !self.has_data {
                self.is_over = true;
                return Ok(Some(rest));
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else { break };
            let mut line = &rest[..end];
            rest = self.step_over(&rest[end..]);
            self.limit(line.len())?;
            if mem::take(&mut self.first_line) {
                line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
            }
            let mut line = Line::of(line);
            if let Line::Data(data) = line
                && let Some(inner) = unwrapped(data)
            {
                self.wrapped = true;
                line = Line::Data(inner);
            }
            match line {
                Line::Comment => on(SseItem::Comment)?,
                Line::Name(name) => {
                    self.name.clear();
                    self.name.extend_from_slice(name);
                }
                Line::Data(data) if !self.has_data => {
                    self.has_data = true;
                    held = Some(data);
                }
                Line::Data(data) => {
                    self.spill(held.take());
                    self.data.push(b'\n');
                    self.limit(self.data.len() + data.len())?;
                    self.data.extend_from_slice(data);
                }
                Line::Unknown => {}
                Line::Blank => self.dispatch(held.take(), at(rest.len()), on)?,
            }
        }
        self.spill(held);
        self.limit(self.line.len() + rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(None)
    }

    /// Hands out the event in progress, if it has data, and begins the next one.
    fn dispatch<E>(
        &mut self,
        held: Option<&[u8]>,
        end: usize,
        on: &mut impl FnMut(SseItem<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let wrapped = mem::take(&mut self.wrapped);
        let done = if mem::take(&mut self.has_data) {
            let data = held.unwrap_or(&self.data);
            with_str(&self.name, |name| with_str(data, |data| on(SseItem::Event { name, data, end, wrapped })))
        } else {
            Ok(())
        };
        self.name.clear();
        self.data.clear();
        done
    }

    /// Copies a data line out of a chunk that is about to go.
    fn spill(&mut self, held: Option<&[u8]>) {
        self.data.extend_from_slice(held.unwrap_or_default());
    }

    /// Steps over a line's end, of which only the first half may have come.
    fn step_over<'c>(&mut self, tail: &'c [u8]) -> &'c [u8] {
        self.after_cr = tail == b"\r";
        match tail {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => tail,
        }
    }

    fn limit(&self, bytes: usize) -> Result<(), TooLong> {
        if bytes > self.bytes_max { Err(TooLong { bytes_max: self.bytes_max }) } else { Ok(()) }
    }
}

/// One line without its end.
enum Line<'a> {
    Blank,
    Comment,
    Name(&'a [u8]),
    Data(&'a [u8]),
    Unknown,
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Self {
        match line {
            [] => Self::Blank,
            [b':', ..] => Self::Comment,
            b"data" => Self::Data(b""),
            [b'd', b'a', b't', b'a', b':', b' ', value @ ..] | [b'd', b'a', b't', b'a', b':', value @ ..] => {
                Self::Data(value)
            }
            [b'e', b'v', b'e', b'n', b't', b':', b' ', value @ ..]
            | [b'e', b'v', b'e', b'n', b't', b':', value @ ..] => Self::Name(value),
            _ => Self::Unknown,
        }
    }
}

/// Returns the data of a line that stands in the data of another; `None` where it is none: data is JSON or `[DONE]`.
fn unwrapped(data: &[u8]) -> Option<&[u8]> {
    let inner = data.strip_prefix(b"data:")?.trim_ascii_start();
    matches!(inner, [b'{' | b'[', ..]).then_some(inner)
}

/// Lends bytes as text, with replacements only where they are no UTF-8.
fn with_str<R>(bytes: &[u8], run: impl FnOnce(&str) -> R) -> R {
    match str::from_utf8(bytes) {
        Ok(text) => run(text),
        Err(_) => run(&String::from_utf8_lossy(bytes)),
    }
}

#[cfg(test)]
mod tests;

//! Decompresses bodies that came compressed although that was not asked for.
//!
//! Input: a body with its headers. Output: the body as it was before compression. Some gateways and caches compress all
//! that passes, and some of them say nothing of it, so a body's first bytes count as well as its headers. What is not
//! compressed passes untouched. A chunk's content goes on with that chunk: a compressed stream is a stream.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::error::TransportError;

/// This much is decompressed at once, and goes on before the next is.
const PIECE_BYTES: usize = 4 << 10;
/// The most that one piece may become: two thousand times as much is no answer, and a decompression bomb ends here.
const PLAIN_BYTES_MAX: usize = 8 << 20;
/// The furthest that zstd may look back, as a power of two: 8 MiB, which HTTP allows (RFC 9659).
const ZSTD_WINDOW_MAX: u32 = 23;
/// If the headers name no format it is read from the first bytes: this number is enough to tell all formats apart.
const MAGIC_BYTES: usize = 4;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A body as it was before it was compressed.
pub(super) struct Plain<S> {
    body: S,
    state: State,
    /// Bytes that came and are still to be decompressed.
    rest: Bytes,
}

enum State {
    /// Nothing came so far, or too little to tell; the format that the headers name.
    Begins(Format, Vec<u8>),
    /// It passes.
    Passes,
    /// It is decompressed.
    Decodes(Box<Decoder>),
    Over,
}

#[derive(Clone, Copy)]
enum Format {
    /// It is not compressed.
    Plain,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Format {
    /// Reads a header that names one; of several the outermost, which is the last.
    fn named(headers: &HeaderMap) -> Self {
        let names = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default().rsplit(',');
        let known = names.map(|name| name.trim().to_ascii_lowercase()).find_map(|name| match &*name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        });
        known.unwrap_or(Self::Plain)
    }

    /// Tells what a body is by its first bytes, not by its headers; `None` while they do not tell.
    fn of(named: Self, first: &[u8]) -> Option<Self> {
        let begins = |magic: &[u8]| first.starts_with(magic);
        if begins(GZIP) {
            return Some(Self::Gzip);
        }
        if begins(ZSTD) {
            return Some(Self::Zstd);
        }
        if first.len() < MAGIC_BYTES && (GZIP.starts_with(first) || ZSTD.starts_with(first)) {
            return None;
        }
        Some(match named {
            // These have marks of their own, which are not there; and the other two begin otherwise than any answer.
            Self::Gzip | Self::Zstd => Self::Plain,
            _ if matches!(first.trim_ascii_start().first(), Some(b'{' | b'[' | b'<' | b'd' | b'e' | b':')) => {
                Self::Plain
            }
            named => named,
        })
    }
}

enum Decoder {
    Gzip(MultiGzDecoder<Sink>),
    Zlib(ZlibDecoder<Sink>),
    Deflate(DeflateDecoder<Sink>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    Zstd(zstd::stream::write::Decoder<'static, Sink>),
}

impl Decoder {
    /// Returns a decoder; `None` for what needs none.
    fn new(format: Format, first: &[u8]) -> io::Result<Option<Self>> {
        let sink = Sink::default();
        Ok(Some(match format {
            Format::Plain => return Ok(None),
            Format::Gzip => Self::Gzip(MultiGzDecoder::new(sink)),
            // Many servers leave out zlib's wrapping, in which the low four bits of the first byte are 8.
            Format::Deflate if first.first().is_some_and(|byte| byte & 0x0f == 8) => Self::Zlib(ZlibDecoder::new(sink)),
            Format::Deflate => Self::Deflate(DeflateDecoder::new(sink)),
            Format::Brotli => Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(sink, 4096))),
            Format::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink)?;
                decoder.window_log_max(ZSTD_WINDOW_MAX)?;
                Self::Zstd(decoder)
            }
        }))
    }

    /// Takes compressed bytes, and returns the content.
    fn push(&mut self, chunk: &[u8]) -> io::Result<Bytes> {
        self.writer().write_all(chunk)?;
        self.writer().flush()?;
        Ok(self.taken())
    }

    /// Ends the body, and returns what is left of it.
    fn finish(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish()?,
            Self::Zlib(decoder) => decoder.try_finish()?,
            Self::Deflate(decoder) => decoder.try_finish()?,
            Self::Brotli(decoder) => decoder.close()?,
            Self::Zstd(decoder) => decoder.flush()?,
        }
        Ok(self.taken())
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        }
    }

    fn taken(&mut self) -> Bytes {
        let sink = match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        };
        std::mem::take(&mut sink.0).into()
    }
}

/// Decompressed bytes that were not taken yet.
#[derive(Default)]
struct Sink(Vec<u8>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PLAIN_BYTES_MAX {
            return Err(io::Error::other("it grows beyond all measure"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S> Plain<S> {
    /// Returns a body as it was before it was compressed, and removes the headers that are no longer true.
    pub(super) fn new(headers: &mut HeaderMap, body: S) -> Self {
        let named = Format::named(headers);
        if !matches!(named, Format::Plain) {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        Self { body, state: State::Begins(named, Vec::new()), rest: Bytes::new() }
    }
}

impl State {
    /// Finds out what a body is by its first bytes; returns what has come of it, once it is known.
    fn begin(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        let Self::Begins(named, held) = self else { return Ok(chunk) };
        // Nearly always all of it is in the first chunk, which then goes on without a copy.
        let all = if held.is_empty() { chunk } else { [&**held, &*chunk].concat().into() };
        if all.is_empty() {
            return Ok(all);
        }
        let Some(format) = Format::of(*named, &all) else {
            *held = all.into();
            return Ok(Bytes::new());
        };
        *self = Decoder::new(format, &all)?.map_or(Self::Passes, |decoder| Self::Decodes(Box::new(decoder)));
        Ok(all)
    }

    /// Ends the body; returns what was held back of it.
    fn finish(&mut self) -> io::Result<Bytes> {
        match std::mem::replace(self, Self::Over) {
            Self::Decodes(mut decoder) => decoder.finish(),
            Self::Begins(_, held) => Ok(held.into()),
            Self::Passes | Self::Over => Ok(Bytes::new()),
        }
    }
}

impl<S: Stream<Item = Result<Bytes, TransportError>> + Unpin> Stream for Plain<S> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let broken =
            |error: io::Error| TransportError::Cut(format!("the body is not what it was compressed as: {error}"));
        loop {
            if matches!(self.state, State::Over) {
                return Poll::Ready(None);
            }
            let this = &mut *self;
            let plain = match &mut this.state {
                State::Decodes(decoder) if !this.rest.is_empty() => {
                    let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
                    decoder.push(&piece)
                }
                state => match ready!(this.body.poll_next_unpin(ctx)) {
                    Some(Ok(chunk)) => match state.begin(chunk) {
                        Ok(begun) if matches!(state, State::Decodes(_)) => {
                            this.rest = begun;
                            continue;
                        }
                        begun => begun,
                    },
                    Some(Err(error)) => {
                        *state = State::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => state.finish(),
                },
            };
            match plain {
                Ok(plain) if plain.is_empty() => {}
                Ok(plain) => return Poll::Ready(Some(Ok(plain))),
                Err(error) => {
                    self.state = State::Over;
                    return Poll::Ready(Some(Err(broken(error))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

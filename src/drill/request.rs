//! Reads HTTP/1.1 requests off a connection, within limits.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use httparse::Status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::testing::Arrival;

/// The most bytes of a request's head.
pub(super) const HEAD_MAX: usize = 64 * 1_024;

/// The most headers of a request.
const HEADERS_MAX: usize = 100;

/// The most bytes of a request's body. The largest that any provider takes are 32 MB.
const BODY_MAX: usize = 32 * 1_024 * 1_024;

/// Bytes to make room for before reading.
const READ: usize = 8 * 1_024;

/// The most bytes of one line between the chunks of a body.
const LINE_MAX: usize = 1_024;

/// A request, and whether another one may follow on its connection.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) arrival: Arrival,
    pub(super) keep_alive: bool,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The client is gone.
    Gone,
    /// It is no HTTP, or too much of it: what to answer before the connection is closed.
    Bad(u16, &'static str),
}

const BROKEN: Unreadable = Unreadable::Bad(400, "Broken request");
const TOO_LARGE: Unreadable = Unreadable::Bad(431, "Request header fields too large");
const BODY_TOO_LARGE: Unreadable = Unreadable::Bad(413, "Request body too large");

/// How the end of a body is known.
enum Framing {
    Length(usize),
    Chunked,
}

/// Reads one request. `input` holds what was read and not used yet, before and after.
pub(super) async fn read(stream: &mut TcpStream, input: &mut BytesMut) -> Result<Request, Unreadable> {
    let (mut arrival, is_last) = loop {
        if let Some(head) = head(input)? {
            break head;
        }
        if input.len() > HEAD_MAX {
            return Err(TOO_LARGE);
        }
        more(stream, input).await?;
    };
    let framing = framing(&arrival.headers)?;
    let expects =
        arrival.headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects && input.is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Unreadable::Gone)?;
    }
    arrival.body = match framing {
        Framing::Length(length) => {
            while input.len() < length {
                more(stream, input).await?;
            }
            input.split_to(length).freeze()
        }
        Framing::Chunked => chunked(stream, input).await?,
    };
    Ok(Request { arrival, keep_alive: !is_last })
}

/// Takes a head off the input, if it is whole, and tells whether the client wants no other answer after it.
fn head(input: &mut BytesMut) -> Result<Option<(Arrival, bool)>, Unreadable> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut slots);
    let length = match request.parse(input) {
        Ok(Status::Partial) => return Ok(None),
        Ok(Status::Complete(length)) if length <= HEAD_MAX => length,
        Ok(Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(BROKEN),
    };
    if request.version != Some(1) {
        return Err(Unreadable::Bad(505, "HTTP version not supported"));
    }
    let method = request.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()).ok_or(BROKEN)?;
    let target = request.path.unwrap_or("/").to_owned();
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| BROKEN)?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(|_| BROKEN)?);
    }
    let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    let is_last = headers.get_all(CONNECTION).iter().any(closes);
    let _ = input.split_to(length);
    Ok(Some((Arrival { method, target, headers, body: Bytes::new() }, is_last)))
}

fn framing(headers: &HeaderMap) -> Result<Framing, Unreadable> {
    let length = headers.get(CONTENT_LENGTH);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (headers.get(TRANSFER_ENCODING), length) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(encoding), None) if encoding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(length)) if lengths.all(|other| other == length) => {
            let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.map(str::parse::<usize>) {
                Some(Ok(length)) if length <= BODY_MAX => Ok(Framing::Length(length)),
                Some(Ok(_)) => Err(BODY_TOO_LARGE),
                _ => Err(BROKEN),
            }
        }
        // Both, or lengths that differ, or an encoding we do not know: it is not known where the body ends.
        _ => Err(BROKEN),
    }
}

/// Reads a body in chunks, and its trailers, which are not used.
async fn chunked(stream: &mut TcpStream, input: &mut BytesMut) -> Result<Bytes, Unreadable> {
    let mut body = BytesMut::new();
    loop {
        let size = chunk_size(stream, input).await?;
        if size == 0 {
            break;
        }
        if size > BODY_MAX - body.len() {
            return Err(BODY_TOO_LARGE);
        }
        while input.len() < size + 2 {
            more(stream, input).await?;
        }
        body.extend_from_slice(&input.split_to(size));
        if *input.split_to(2) != *b"\r\n" {
            return Err(BROKEN);
        }
    }
    for _ in 0..HEADERS_MAX {
        if line(stream, input).await? == 0 {
            return Ok(body.freeze());
        }
    }
    Err(BROKEN)
}

async fn chunk_size(stream: &mut TcpStream, input: &mut BytesMut) -> Result<usize, Unreadable> {
    loop {
        match httparse::parse_chunk_size(input) {
            Ok(Status::Complete((length, size))) => {
                let _ = input.split_to(length);
                return usize::try_from(size).map_err(|_| BROKEN);
            }
            Ok(Status::Partial) if input.len() <= LINE_MAX => more(stream, input).await?,
            _ => return Err(BROKEN),
        }
    }
}

/// Takes a line off the input and returns its length without the line's end.
async fn line(stream: &mut TcpStream, input: &mut BytesMut) -> Result<usize, Unreadable> {
    loop {
        if let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") {
            let _ = input.split_to(end + 2);
            return Ok(end);
        }
        if input.len() > LINE_MAX {
            return Err(BROKEN);
        }
        more(stream, input).await?;
    }
}

async fn more(stream: &mut TcpStream, input: &mut BytesMut) -> Result<(), Unreadable> {
    input.reserve(READ);
    match stream.read_buf(input).await {
        Ok(0) | Err(_) => Err(Unreadable::Gone),
        Ok(_) => Ok(()),
    }
}

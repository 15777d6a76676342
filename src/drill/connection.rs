//! One connection: requests are read and answers are played on it, until one of both sides ends it.

use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::phase::Phase;
use super::request::{self, HEAD_MAX, Unreadable};
use crate::testing::{End, Head, ResponseRun, Scripted};

/// How long, and how much, is still read of a request that was refused, so that closing does not destroy the answer.
const DISCARD_MAX: (Duration, usize) = (Duration::from_secs(1), 64 * 1_024 * 1_024);

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// Bytes that were read and not used yet.
    input: BytesMut,
    /// Bytes to write with the next flush.
    output: Vec<u8>,
    provider: Scripted,
    phase: watch::Receiver<Phase>,
}

/// The client is gone.
struct Gone;

/// What happens after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Another request.
    Next,
    /// The connection closes.
    Close,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, provider: Scripted, phase: watch::Receiver<Phase>) -> Self {
        Self { stream, input: BytesMut::new(), output: Vec::new(), provider, phase }
    }

    /// Serves the connection to its end, which closes it.
    pub(super) async fn serve(mut self) {
        // Without it the kernel would keep small chunks back; where it fails they merely come late.
        let _ = self.stream.set_nodelay(true);
        while let Ok(After::Next) = self.exchange().await {}
    }

    async fn exchange(&mut self) -> Result<After, Gone> {
        if self.input.is_empty() {
            tokio::select! {
                biased;
                _ = self.phase.wait_for(|phase| *phase != Phase::Open) => return Ok(After::Close),
                read = self.stream.read_buf(&mut self.input) => {
                    if matches!(read, Ok(0) | Err(_)) {
                        return Err(Gone);
                    }
                }
            }
        }
        match request::read(&mut self.stream, &mut self.input).await {
            Ok(request) => {
                let keep_alive = request.keep_alive && *self.phase.borrow() == Phase::Open;
                let play = self.provider.receive(request.arrival);
                self.answer(play, if keep_alive { After::Next } else { After::Close }).await
            }
            Err(Unreadable::Gone) => Err(Gone),
            Err(Unreadable::Bad(status, problem)) => self.reject(status, problem).await,
        }
    }

    /// Plays an answer. Dropping `play` early tells the provider that the client left.
    async fn answer(&mut self, mut play: ResponseRun, after: After) -> Result<After, Gone> {
        self.wait(play.due()).await?;
        let head = play.head();
        let is_stream = head.as_ref().is_some_and(|head| head.length.is_none());
        if let Some(head) = head {
            self.put_head(&head, after);
        }
        while let Some(due) = play.piece_due() {
            self.wait(due).await?;
            let Some(bytes) = play.take() else { break };
            self.put_chunk(&bytes, is_stream);
            if is_stream {
                self.flush().await?;
            }
        }
        match play.end() {
            End::Whole => {
                if is_stream {
                    self.output.extend_from_slice(b"0\r\n\r\n");
                }
                self.flush().await?;
                Ok(after)
            }
            End::Cut => {
                self.flush().await?;
                Ok(After::Close)
            }
            End::Reset | End::Refuse => {
                self.flush().await?;
                // Closing then sends a reset. Where that cannot be set the client sees a close, which serves as well.
                let _ = self.stream.set_zero_linger();
                Ok(After::Close)
            }
            End::Hang => {
                self.flush().await?;
                self.linger(None).await?;
                Ok(After::Close)
            }
            End::KeepAlive { every, bytes } => {
                self.flush().await?;
                loop {
                    if self.linger(Some(Instant::now() + every)).await? == After::Close {
                        return Ok(After::Close);
                    }
                    self.put_chunk(bytes, is_stream);
                    self.flush().await?;
                }
            }
        }
    }

    /// Waits until something is due, after writing what came before it.
    async fn wait(&mut self, due: Instant) -> Result<(), Gone> {
        if due <= Instant::now() {
            return Ok(());
        }
        self.flush().await?;
        tokio::select! {
            biased;
            () = client_leaves(&mut self.stream, &mut self.input) => Err(Gone),
            () = sleep_until(due) => Ok(()),
        }
    }

    /// Waits until then, or for ever; a drill that stops closes the connection.
    async fn linger(&mut self, until: Option<Instant>) -> Result<After, Gone> {
        let then = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = client_leaves(&mut self.stream, &mut self.input) => Err(Gone),
            _ = self.phase.wait_for(|phase| *phase == Phase::Stopping) => Ok(After::Close),
            () = then => Ok(After::Next),
        }
    }

    fn put_head(&mut self, head: &Head, after: After) {
        let reason = StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
        let status = format!("HTTP/1.1 {} {}\r\n", head.status, reason.unwrap_or("Unknown"));
        self.output.extend_from_slice(status.as_bytes());
        for (name, value) in &head.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                self.output.extend_from_slice(part);
            }
        }
        let framing = match head.length {
            Some(length) => format!("content-length: {length}\r\n"),
            None => "transfer-encoding: chunked\r\n".to_owned(),
        };
        self.output.extend_from_slice(framing.as_bytes());
        let end: &[u8] = if after == After::Close { b"connection: close\r\n\r\n" } else { b"\r\n" };
        self.output.extend_from_slice(end);
    }

    /// Puts a piece of a body. An empty chunk would end the body, so there is none.
    fn put_chunk(&mut self, bytes: &[u8], is_stream: bool) {
        if !is_stream {
            self.output.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.output.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            self.output.extend_from_slice(bytes);
            self.output.extend_from_slice(b"\r\n");
        }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let written = self.stream.write_all(&self.output).await;
        self.output.clear();
        written.map_err(|_| Gone)
    }

    /// Answers what could not be read, and closes.
    async fn reject(&mut self, status: u16, problem: &str) -> Result<After, Gone> {
        let body =
            format!(r#"{{"error":{{"message":"{problem}","type":"invalid_request_error","param":null,"code":null}}}}"#);
        let headers = http::HeaderMap::new();
        self.put_head(&Head { status, headers, length: Some(body.len()) }, After::Close);
        self.put_chunk(body.as_bytes(), false);
        self.flush().await?;
        let _ = self.stream.shutdown().await;
        let (time_max, bytes_max) = DISCARD_MAX;
        let discard = async {
            let mut discarded = 0;
            while discarded < bytes_max {
                self.input.clear();
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => discarded += read,
                }
            }
        };
        let _ = timeout(time_max, discard).await;
        Ok(After::Close)
    }
}

/// Waits until the client closes or resets the connection. Bytes that it sends meanwhile are its next request, and are
/// kept.
async fn client_leaves(stream: &mut TcpStream, input: &mut BytesMut) {
    while input.len() <= HEAD_MAX {
        if matches!(stream.read_buf(input).await, Ok(0) | Err(_)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

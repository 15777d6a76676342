//! A provider by hand: it answers with the very bytes it is given, in pieces as small as is wanted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Where in a body the provider says nothing for .4 s.
pub const PAUSE: char = '\0';

/// What is answered.
#[derive(Clone, Debug)]
pub struct Bytes {
    pub body: String,
    /// The longest piece that is sent at once.
    pub piece: usize,
    /// Whether the connection breaks before the body's end is told.
    pub cut: bool,
    pub stream: bool,
}

/// A server that answers so.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    answer: Arc<Mutex<Bytes>>,
    /// The text of requests that are refused, with this status and body.
    refused: Arc<Mutex<Option<(String, u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(Bytes { body: String::new(), piece: 1, cut: true, stream: true }));
        let upstream = Self { address, answer, refused: Arc::default(), asked: Arc::default() };
        let serving = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        upstream
    }

    pub fn answers(&self, answer: Bytes) {
        *self.answer.lock().expect("whole") = answer;
    }

    /// Refuses the requests that hold this text, in their head or their body.
    pub fn refuses(&self, text: &str, status: u16, body: &str) {
        *self.refused.lock().expect("whole") = Some((text.to_owned(), status, body.to_owned()));
    }

    /// The bodies of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }

    async fn serve(self, mut stream: TcpStream) {
        stream.set_nodelay(true).expect("an option");
        let mut bytes = Vec::new();
        let asked = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if body.len() >= length.unwrap_or(0) {
                    self.asked.lock().expect("whole").push(body.to_owned());
                    break text;
                }
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        };
        let answer = self.answer.lock().expect("whole").clone();
        let refused = self.refused.lock().expect("whole").clone().filter(|(text, ..)| asked.contains(text));
        let (status, answer) = match refused {
            Some((_, status, body)) => (status, Bytes { body, piece: 10_000, cut: false, stream: false }),
            None => (200, answer),
        };
        let Bytes { body, piece, cut, stream: streams } = answer;
        let kind = if streams { "text/event-stream" } else { "application/json" };
        let head = format!(
            "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let mut pieces = Vec::new();
        for (part, text) in body.split(PAUSE).enumerate() {
            let chunks = text.as_bytes().chunks(piece).enumerate();
            pieces.extend(chunks.map(|(at, bytes)| (part > 0 && at == 0, bytes.to_vec())));
        }
        for (after_pause, piece) in pieces {
            if after_pause {
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(&piece);
            chunk.extend_from_slice(b"\r\n");
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if !cut {
            let _ = stream.write_all(b"0\r\n\r\n").await;
        }
    }
}

//! An HTTP client by hand, because libraries hide the details that are tested here.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest that anything here waits before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a caller asks in its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

impl Caller {
    pub const ALL: [Self; 4] = [Self::Chat, Self::Responses, Self::Anthropic, Self::Gemini];

    /// The address, and the body, of a question.
    pub fn ask(self, model: &str, text: &str, stream: bool) -> (String, Value) {
        let said = json!([{"role": "user", "content": text}]);
        match self {
            Self::Chat => ("/v1/chat/completions".into(), json!({"model": model, "messages": said, "stream": stream})),
            Self::Responses => ("/v1/responses".into(), json!({"model": model, "input": said, "stream": stream})),
            Self::Anthropic => (
                "/v1/messages".into(),
                json!({"model": model, "max_tokens": 1_000, "messages": said, "stream": stream}),
            ),
            Self::Gemini => {
                let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let body = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
                (format!("/v1beta/models/{model}:{method}"), body)
            }
        }
    }

    /// The text of a whole answer.
    pub fn text(self, answer: &Value) -> String {
        let text = match self {
            Self::Chat => &answer["choices"][0]["message"]["content"],
            Self::Responses => &answer["output"][0]["content"][0]["text"],
            Self::Anthropic => &answer["content"][0]["text"],
            Self::Gemini => &answer["candidates"][0]["content"]["parts"][0]["text"],
        };
        text.as_str().unwrap_or_else(|| panic!("{self:?} has no text: {answer}")).to_owned()
    }

    /// The text of all events of a stream.
    pub fn streamed(self, body: &str) -> String {
        let said = events(body).into_iter().map(|event| {
            let text = match self {
                Self::Chat => &event["choices"][0]["delta"]["content"],
                Self::Responses if event["type"] == "response.output_text.delta" => &event["delta"],
                Self::Responses => &Value::Null,
                Self::Anthropic => &event["delta"]["text"],
                Self::Gemini => &event["candidates"][0]["content"]["parts"][0]["text"],
            };
            text.as_str().unwrap_or_default().to_owned()
        });
        said.collect()
    }

    /// The end marker of a whole stream.
    pub fn end(self) -> &'static str {
        match self {
            Self::Chat => "data: [DONE]",
            Self::Responses => "response.completed",
            Self::Anthropic => "message_stop",
            Self::Gemini => "\"STOP\"",
        }
    }

    /// The keep-alive of a stream.
    pub fn keep_alive(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => ": keep-alive\n\n",
            Self::Anthropic => "event: ping\n",
            Self::Gemini => "\n\n",
        }
    }

    /// The words of an error.
    pub fn message(self, error: &Value) -> &str {
        error["error"]["message"].as_str().unwrap_or_else(|| panic!("{self:?} has no error: {error}"))
    }
}

/// The data of a stream's events that are JSON.
pub fn events(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
    /// Whether HTTP says that the body is all there.
    pub is_whole: bool,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection on which a request was sent.
pub struct Exchange {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Exchange {
    /// Connects, and sends nothing yet.
    pub async fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.expect("a connection"))
    }

    pub fn over(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// Sends a request.
    pub async fn begin(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut exchange = Self::connect(to).await;
        let host = [("host", "127.0.0.1")].into_iter().filter(|_| headers.iter().all(|(name, _)| *name != "host"));
        let headers = host.chain(headers.iter().copied());
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (headers, length) = (headers.concat(), body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}");
        exchange.send(&format!("{head}content-length: {length}\r\n\r\n{body}")).await;
        exchange
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("a connection that takes it");
    }

    /// Sends bytes; the other side may close before their end.
    pub async fn try_send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Reads once; tells whether there was anything.
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await.expect("nothing came");
        // A reset is an end, too.
        let read = read.unwrap_or(0);
        self.bytes.extend_from_slice(&piece[..read]);
        read > 0
    }

    /// Reads until this much has come.
    pub async fn until(&mut self, is: impl Fn(&str) -> bool) {
        while !is(&String::from_utf8_lossy(&self.bytes)) {
            assert!(self.more().await, "it ended before: {}", String::from_utf8_lossy(&self.bytes));
        }
    }

    /// Returns what has come.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Reads until the other side closes; returns what came.
    pub async fn closed(mut self) -> String {
        while self.more().await {}
        String::from_utf8(self.bytes).expect("a text")
    }

    /// Reads until the other side closes, or for so long.
    pub async fn closed_or(mut self, time: std::time::Duration) -> String {
        let _ = tokio::time::timeout(time, async { while self.more().await {} }).await;
        String::from_utf8(self.bytes).expect("a text")
    }

    /// Reads a response to its end.
    pub async fn end(self) -> Response {
        let text = self.closed().await;
        let (head, rest) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = lines.filter_map(header).collect();
        let mut response = Response { status, headers, body: String::new(), is_whole: false };
        (response.body, response.is_whole) = match response.header("content-length") {
            Some(length) => (rest.to_owned(), length.parse() == Ok(rest.len())),
            None => unchunked(rest),
        };
        response
    }
}

/// Joins the chunks of a body; tells whether the last one came.
fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return (body, after == "\r\n");
        }
        body += &after[..size.min(after.len())];
        rest = after.get(size + 2..).unwrap_or("");
    }
    (body, false)
}

/// Asks in a dialect and reads to the end.
pub async fn ask(to: SocketAddr, caller: Caller, model: &str, text: &str, stream: bool) -> Response {
    ask_with(to, caller, model, text, stream, &[]).await
}

pub async fn ask_with(
    to: SocketAddr,
    caller: Caller,
    model: &str,
    text: &str,
    stream: bool,
    headers: &[(&str, &str)],
) -> Response {
    begin(to, caller, model, text, stream, headers).await.end().await
}

/// Asks in a dialect and reads nothing yet.
pub async fn begin(
    to: SocketAddr,
    caller: Caller,
    model: &str,
    text: &str,
    stream: bool,
    headers: &[(&str, &str)],
) -> Exchange {
    let (path, body) = caller.ask(model, text, stream);
    Exchange::begin(to, "POST", &path, headers, &body.to_string()).await
}

pub async fn get(to: SocketAddr, path: &str) -> Response {
    get_with(to, path, &[]).await
}

pub async fn get_with(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    Exchange::begin(to, "GET", path, headers, "").await.end().await
}

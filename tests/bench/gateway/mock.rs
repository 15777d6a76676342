//! A provider that costs next to nothing: it answers at once, out of constants, on one thread.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Tokens of a streamed answer.
pub const TOKENS: usize = 30;
/// How much of both ends of a body is searched for the request of a stream.
const LOOK: usize = 2_048;

/// One dialect's answers, heads included.
struct Answers {
    whole: Bytes,
    /// Each event a chunk of its own, as providers send them.
    stream: Bytes,
    /// All events in one chunk, as they come through a proxy that had a backlog.
    burst: Bytes,
}

pub async fn run(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let dialects = Arc::new([openai(), anthropic()]);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(stream, dialects.clone()));
    }
}

/// Serves a connection until its client leaves.
async fn serve(mut stream: TcpStream, dialects: Arc<[Answers; 2]>) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::with_capacity(64 * 1024);
    loop {
        let head = loop {
            if let Some(end) = memmem::find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        };
        let whole = head + length(&bytes[..head]);
        bytes.reserve(whole - bytes.len().min(whole));
        while bytes.len() < whole {
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        }
        let body = &bytes[head..whole];
        let ends = [&body[..body.len().min(LOOK)], &body[body.len().saturating_sub(LOOK)..]];
        let streams = ends.iter().any(|end| {
            let spelled = [&b"\"stream\":true"[..], b"\"stream\": true"];
            spelled.iter().any(|spelled| memmem::find(end, spelled).is_some())
        });
        let line = &bytes[..head.min(64)];
        let answers = &dialects[usize::from(memmem::find(line, b"/messages").is_some())];
        let bursts = ends.iter().any(|end| memmem::find(end, b"\"burst\"").is_some());
        let answer = match (streams, bursts) {
            (false, _) => &answers.whole,
            (true, false) => &answers.stream,
            (true, true) => &answers.burst,
        };
        let leaves = memmem::find(&bytes[..head], b"connection: close").is_some();
        if stream.write_all(answer).await.is_err() || leaves {
            return;
        }
        bytes.drain(..whole);
    }
}

fn length(head: &[u8]) -> usize {
    let head = head.to_ascii_lowercase();
    let at = memmem::find(&head, b"content-length:").expect("requests that say how long they are");
    let digits = head[at + 15..].trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse().ok()).expect("a length")
}

fn openai() -> Answers {
    let whole = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Thirty words of an answer that is as short as most answers of a tool calling agent are, and that says nothing at all but that it is here.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":30,"total_tokens":280},"system_fingerprint":"fp_1"}"#;
    let event = |delta: &str, finish: &str| {
        format!(
            r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","system_fingerprint":"fp_1","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]}}"#
        ) + "\n\n"
    };
    let mut events = vec![event(r#"{"role":"assistant","content":""}"#, "null")];
    events.extend((0..TOKENS).map(|n| event(&format!(r#"{{"content":" word{n}"}}"#), "null")));
    events.push(event("{}", "\"stop\""));
    events.push(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":250,\"completion_tokens\":30,\"total_tokens\":280}}\n\n"
            .to_owned(),
    );
    events.push("data: [DONE]\n\n".to_owned());
    Answers { whole: with_head(whole), stream: chunked(&events), burst: chunked(&[events.concat()]) }
}

fn anthropic() -> Answers {
    let whole = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{"type":"text","text":"Thirty words of an answer that is as short as most answers of a tool calling agent are, and that says nothing at all but that it is here."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":250,"output_tokens":30}}"#;
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{data}}}\n\n");
    let mut events = vec![
        event(
            "message_start",
            r#","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":250,"output_tokens":1}}"#,
        ),
        event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#),
    ];
    events.extend((0..TOKENS).map(|n| {
        event("content_block_delta", &format!(r#","index":0,"delta":{{"type":"text_delta","text":" word{n}"}}"#))
    }));
    events.push(event("content_block_stop", r#","index":0"#));
    events.push(event(
        "message_delta",
        r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":30}"#,
    ));
    events.push(event("message_stop", ""));
    Answers { whole: with_head(whole), stream: chunked(&events), burst: chunked(&[events.concat()]) }
}

fn with_head(body: &str) -> Bytes {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

/// Makes each text a chunk. They go out in one write; the gateway decides how to pass them on.
fn chunked(chunks: &[String]) -> Bytes {
    let mut all = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for chunk in chunks {
        let _ = write!(all, "{:x}\r\n{chunk}\r\n", chunk.len());
    }
    all += "0\r\n\r\n";
    all.into()
}

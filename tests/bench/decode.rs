//! What decoding costs per streamed event, and encoding per conversation, beside bare passes over the same bytes in the
//! same run, turn by turn: machines differ and are noisy, ratios less so.
//!
//! `cargo bench --bench decode`; `ROUNDS=5` before it makes it shorter.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use standin::internals::wire::flavour::GENERIC;
use standin::internals::wire::{Decoder, encode};
use standin::{AssistantPart, ChatRequest, Dialect, Message, TargetId, ToolCall};

/// Events of a stream that carry a token.
const TOKENS: usize = 1_000;
/// Passes over a stream in one round.
const PASSES: u32 = 10;

/// A stream as a provider writes it, event by event.
struct Stream {
    name: &'static str,
    dialect: Dialect,
    events: Vec<String>,
}

impl Stream {
    fn new(
        name: &'static str,
        dialect: Dialect,
        head: &[&str],
        token: impl Fn(usize) -> String,
        tail: &[&str],
    ) -> Self {
        let frame = |data: &str| {
            let kind =
                serde_json::from_str::<Value>(data).ok().and_then(|data| data["type"].as_str().map(str::to_owned));
            let named = matches!(dialect, Dialect::OpenAiResponses | Dialect::AnthropicMessages);
            match (kind, dialect) {
                (Some(kind), _) if named => format!("event: {kind}\ndata: {data}\n\n"),
                (_, Dialect::Gemini) => format!("data: {data}\r\n\r\n"),
                _ => format!("data: {data}\n\n"),
            }
        };
        let tokens: Vec<String> = (0..TOKENS).map(token).collect();
        let all = head.iter().copied().chain(tokens.iter().map(String::as_str)).chain(tail.iter().copied());
        Self { name, dialect, events: all.map(frame).collect() }
    }

    /// The JSON of its events.
    fn payloads(&self) -> Vec<&str> {
        let data = |event: &'_ str| event.find("data: ").map_or(0, |at| at + "data: ".len());
        let all = self.events.iter().map(|event| event[data(event)..].trim_end());
        all.filter(|payload| *payload != "[DONE]").collect()
    }
}

fn chat(delta: &str) -> String {
    format!(
        "{{\"id\":\"chatcmpl-CqX0aD6Ngm2Jfw1rZkQy8sTtVbUeP\",\"object\":\"chat.completion.chunk\",\
         \"created\":1771434740,\"model\":\"gpt-5-mini-2025-08-07\",\"service_tier\":\"default\",\
         \"system_fingerprint\":null,\"choices\":[{{\"index\":0,\"delta\":{delta},\
         \"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"aZ3kP0qL\"}}"
    )
}

/// A piece of a call's arguments, which come as a text within the JSON.
fn argument(at: usize) -> String {
    match at {
        0 => "{\\\"text\\\": \\\"".to_owned(),
        last if last == TOKENS - 1 => "\\\"}".to_owned(),
        at => format!(" word{at}"),
    }
}

fn streams() -> Vec<Stream> {
    let stop = "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1000,\"total_tokens\":1009}}";
    let completed = "{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"model\":\"m\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1000}}}";
    let created =
        "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"m\",\"status\":\"in_progress\"}}";
    let start = "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}";
    let block = |block: &str| format!("{{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{block}}}");
    let stopped = |reason: &str| {
        format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}},\"usage\":{{\"output_tokens\":1000}}}}"
        )
    };
    let end = "{\"type\":\"message_stop\"}";
    let chunk = |parts: &str, rest: &str| {
        format!(
            "{{\"candidates\": [{{\"content\": {{\"parts\": [{parts}],\"role\": \"model\"}}{rest},\"index\": 0}}],\
             \"usageMetadata\": {{\"promptTokenCount\": 9,\"candidatesTokenCount\": 100,\"totalTokenCount\": 109,\
             \"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 9}}]}},\
             \"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"kX0aaPzBLf2c\"}}"
        )
    };
    vec![
        Stream::new(
            "chat, text",
            Dialect::OpenAiChat,
            &[],
            |at| chat(&format!("{{\"content\":\" token{at}\"}}")),
            &[stop, "[DONE]"],
        ),
        Stream::new(
            "chat, tool call",
            Dialect::OpenAiChat,
            &[&chat(
                "{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"write\",\"arguments\":\"\"}}]}",
            )],
            |at| {
                chat(&format!(
                    "{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{}\"}}}}]}}",
                    argument(at)
                ))
            },
            &[stop, "[DONE]"],
        ),
        Stream::new(
            "responses, text",
            Dialect::OpenAiResponses,
            &[created],
            |at| {
                format!(
                    "{{\"type\":\"response.output_text.delta\",\"sequence_number\":{at},\"item_id\":\"msg_68a1f0c2b3d4\",\
                     \"output_index\":0,\"content_index\":0,\"delta\":\" token{at}\",\"logprobs\":[],\"obfuscation\":\"aZ3kP0qL\"}}"
                )
            },
            &[completed],
        ),
        Stream::new(
            "responses, tool call",
            Dialect::OpenAiResponses,
            &[
                created,
                "{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"call_id\":\"call_1\",\"name\":\"write\",\"arguments\":\"\"}}",
            ],
            |at| {
                format!(
                    "{{\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":{at},\"item_id\":\"fc_68a1f0c2b3d4\",\
                     \"output_index\":0,\"delta\":\"{}\",\"obfuscation\":\"aZ3kP0qL\"}}",
                    argument(at)
                )
            },
            &[completed],
        ),
        Stream::new(
            "anthropic, text",
            Dialect::AnthropicMessages,
            &[start, &block("{\"type\":\"text\",\"text\":\"\"}")],
            |at| {
                format!(
                    "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\" token{at}\"}}}}"
                )
            },
            &[&stopped("end_turn"), end],
        ),
        Stream::new(
            "anthropic, tool call",
            Dialect::AnthropicMessages,
            &[start, &block("{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"write\",\"input\":{}}")],
            |at| {
                format!(
                    "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}}}",
                    argument(at)
                )
            },
            &[&stopped("tool_use"), end],
        ),
        Stream::new(
            "gemini, text",
            Dialect::Gemini,
            &[],
            |at| chunk(&format!("{{\"text\": \" token{at}\"}}"), ""),
            &[&chunk("{\"text\": \"\"}", ",\"finishReason\": \"STOP\"")],
        ),
        // Calls come whole: in one event what others send in a thousand.
        Stream::new(
            "gemini, tool calls",
            Dialect::Gemini,
            &[],
            |at| {
                if at < 100 {
                    chunk(
                        &format!("{{\"functionCall\": {{\"name\": \"write\",\"args\": {{\"text\": \"word{at}\"}}}}}}"),
                        "",
                    )
                } else {
                    chunk("{\"text\": \".\"}", "")
                }
            },
            &[&chunk("{\"text\": \"\"}", ",\"finishReason\": \"STOP\"")],
        ),
    ]
}

/// Measures some programs in turns; returns the median time of each.
fn medians(rounds: usize, programs: &mut [&mut dyn FnMut()]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    for _ in 0..rounds {
        for (program, times) in programs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (0..PASSES).for_each(|_| program());
            times.push(start.elapsed() / PASSES);
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[rounds / 2]
    };
    times.into_iter().map(median).collect()
}

fn decoded(dialect: Dialect, chunks: &[&[u8]]) {
    let mut decoder = Decoder::new(dialect, true);
    let mut pieces = Vec::with_capacity(4);
    for chunk in chunks {
        black_box(decoder.push(chunk, &mut pieces)).expect("a good stream");
        pieces.clear();
    }
    black_box(decoder.finish()).expect("a whole answer");
}

fn parsed<T: DeserializeOwned>(payloads: &[&str]) {
    for json in payloads {
        let _ = black_box(serde_json::from_str::<T>(json).expect("JSON"));
    }
}

fn decoding(rounds: usize) {
    println!(
        "| a stream of 1 000 tokens | skip the JSON | a tree of it | decode, an event a chunk | 16 KiB a chunk | to skipping | to a tree |"
    );
    println!("|---|---|---|---|---|---|---|");
    for stream in streams() {
        let payloads = stream.payloads();
        let whole = stream.events.concat();
        let events: Vec<&[u8]> = stream.events.iter().map(String::as_bytes).collect();
        let blocks: Vec<&[u8]> = whole.as_bytes().chunks(16 << 10).collect();
        let times = medians(
            rounds,
            &mut [
                &mut || parsed::<IgnoredAny>(&payloads),
                &mut || parsed::<Value>(&payloads),
                &mut || decoded(stream.dialect, &events),
                &mut || decoded(stream.dialect, &blocks),
            ],
        );
        let mut line = format!("| {} |", stream.name);
        for time in &times {
            write!(line, " {:.3} us |", time.as_secs_f64() * 1e6 / events.len() as f64).expect("a text takes all");
        }
        let ratio = |to: usize| times[2].as_secs_f64() / times[to].as_secs_f64();
        println!("{line} {:.2} | {:.2} |", ratio(0), ratio(1));
    }
}

/// A conversation of an agent that reads files: about 1 MB.
fn conversation() -> ChatRequest {
    let file = "fn main() {\n    println!(\"Hello, \\\"world\\\"\");\n}\n".repeat(100);
    (0..200).fold(ChatRequest::new("smart").system("You write code."), |request, turn| {
        let arguments = format!("{{\"path\":\"src/{turn}.rs\"}}").into();
        let call = ToolCall { id: format!("call_{turn}"), name: "read".to_owned(), arguments, proof: None };
        let result = Message::tool_result(&call, file.clone());
        request.message(Message::Assistant(vec![AssistantPart::ToolCall(call)])).message(result)
    })
}

fn encoding(rounds: usize) {
    let (request, target) = (conversation(), TargetId::new("p", "m"));
    let body = encode(Dialect::OpenAiChat, &GENERIC, &request, &target, true).expect("a good request").body;
    let tree: Value = serde_json::from_slice(&body.whole()).expect("JSON");
    let times = medians(
        rounds,
        &mut [
            &mut || {
                drop(
                    black_box(encode(Dialect::OpenAiChat, &GENERIC, &request, &target, true)).expect("a good request"),
                );
            },
            &mut || drop(black_box(serde_json::to_vec(&tree)).expect("JSON")),
        ],
    );
    println!("\nencode {} bytes: {:?}; write a tree that is there: {:?}", body.len(), times[0], times[1]);
}

fn main() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(51);
    decoding(rounds);
    encoding(rounds);
}

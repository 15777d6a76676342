//! What decoding costs per streamed token, and encoding per conversation, beside bare passes over the same bytes in
//! the same run: machines differ, ratios less.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::de::IgnoredAny;
use serde_json::Value;
use standin::wire::quirks::GENERIC;
use standin::wire::{Decoder, encode};
use standin::{AssistantPart, ChatRequest, Dialect, Message, ToolCall};

const TOKENS: usize = 1_000;

/// One token of a stream as OpenAI writes it.
fn event(token: usize) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-CqX0aD6Ngm2Jfw1rZkQy8sTtVbUeP\",\"object\":\"chat.completion.chunk\",\
         \"created\":1771434740,\"model\":\"gpt-5-mini-2025-08-07\",\"service_tier\":\"default\",\
         \"system_fingerprint\":null,\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" token{token}\"}},\
         \"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"aZ3kP0qL\"}}\n\n"
    )
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(TOKENS as u64));
    let events: Vec<String> = (0..TOKENS).map(event).collect();
    let payloads: Vec<&str> = events.iter().map(|event| event["data: ".len()..].trim_end()).collect();
    let stream = events.concat();

    group.bench_function("one token a chunk", |b| {
        b.iter_batched_ref(
            || (Decoder::new(Dialect::OpenAiChat, true), Vec::with_capacity(4)),
            |(decoder, pieces)| {
                for event in &events {
                    black_box(decoder.push(event.as_bytes(), pieces)).expect("a good stream");
                    pieces.clear();
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("16 KiB a chunk", |b| {
        b.iter_batched_ref(
            || (Decoder::new(Dialect::OpenAiChat, true), Vec::with_capacity(4)),
            |(decoder, pieces)| {
                for chunk in stream.as_bytes().chunks(16 << 10) {
                    black_box(decoder.push(chunk, pieces)).expect("a good stream");
                    pieces.clear();
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("bare: skip the JSON", |b| {
        b.iter(|| {
            for payload in &payloads {
                black_box(serde_json::from_slice::<IgnoredAny>(payload.as_bytes())).expect("JSON");
            }
        });
    });
    group.bench_function("bare: a tree of the JSON", |b| {
        b.iter(|| {
            for payload in &payloads {
                black_box(serde_json::from_slice::<Value>(payload.as_bytes())).expect("JSON");
            }
        });
    });
    group.finish();
}

/// A conversation of an agent that reads files: about 1 MB.
fn conversation() -> ChatRequest {
    let file = "fn main() {\n    println!(\"Hello, \\\"world\\\"\");\n}\n".repeat(100);
    (0..200).fold(ChatRequest::new("smart").system("You write code."), |request, turn| {
        let arguments = format!("{{\"path\":\"src/{turn}.rs\"}}");
        let call = ToolCall { id: format!("call_{turn}"), name: "read".to_owned(), arguments, proof: None };
        let result = Message::tool_result(&call, file.clone());
        request.message(Message::Assistant(vec![AssistantPart::ToolCall(call)])).message(result)
    })
}

fn encoding(c: &mut Criterion) {
    let request = conversation();
    let body = encode(Dialect::OpenAiChat, &GENERIC, &request, "m", true).expect("a good request").body;
    let tree: Value = serde_json::from_slice(&body).expect("JSON");
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("a conversation", |b| {
        b.iter(|| black_box(encode(Dialect::OpenAiChat, &GENERIC, &request, "m", true)).expect("a good request"));
    });
    group.bench_function("bare: write a tree that is there", |b| {
        b.iter(|| black_box(serde_json::to_vec(&tree)).expect("JSON"));
    });
    group.finish();
}

criterion_group!(benches, decode, encoding);
criterion_main!(benches);

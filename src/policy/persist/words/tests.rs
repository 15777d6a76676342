//! Written values are read back unchanged.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::policy::durable_store::Item;
use crate::policy::persist::{read_with_schema as read, write_with_schema as write};
use crate::words::{
    Amount, AssistantPart, AttemptEnd, AttemptRecord, Audio, CallFacts, CallId, Cause, ChatRequest, Degraded, Dialect,
    Document, Durable, Effort, Error, Failure, FailureClass, Finished, Foreign, Hedging, Image, Marks, Message, Note,
    OnExhausted, Original, OverBudget, Priority, Proof, Rates, Reasoning, ReplyEvent, ResponseFormat, RetryAfter, Rule,
    Sampling, Source, StopReason, TargetId, Tool, ToolCall, ToolChoice, UnavailableTarget, Unread, Usage, UserPart,
};

fn request() -> ChatRequest {
    let call = ToolCall {
        id: "c1".into(),
        proof: Some(Proof::new(Dialect::Gemini, "p")),
        ..ToolCall::new("add", &serde_json::json!({"a": 1}))
    };
    let said = vec![
        AssistantPart::Text("Hä?".into()),
        AssistantPart::Reasoning(Reasoning { text: "hm".into(), proof: None }),
        AssistantPart::Foreign(Foreign::new(Dialect::AnthropicMessages, "kind", "{}")),
        AssistantPart::ToolCall(call.clone()),
    ];
    let shown = vec![
        UserPart::Image(Image::Base64 { media_type: "image/png".into(), data: "AAAA".into() }),
        UserPart::Document(Document::pdf("AAAA").titled("a title")),
        UserPart::Audio(Audio { media_type: "audio/wav".into(), data: "AAAA".into() }),
    ];
    let body = bytes::Bytes::from_static(br#"{"model":"smart"}"#);
    let mut request = ChatRequest::new("smart")
        .system("Be brief.")
        .message(Message::User(shown))
        .message(Message::Assistant(said))
        .message(Message::tool_result(&call, "2"))
        .tool(Tool::new("add", "adds", serde_json::json!({"type": "object"})).strict())
        .deadline(Duration::new(7, 9))
        .on_exhausted(OnExhausted::Wait)
        .priority(Priority::Batch)
        .session("s")
        .key("k")
        .durable(Durable::Once);
    request.tool_choice = ToolChoice::Named("add".into());
    request.response_format = ResponseFormat::JsonSchema {
        name: "n".into(),
        schema: serde_json::json!({"x": [1.5, null]}).into(),
        strict: true,
    };
    request.sampling =
        Sampling { temperature: Some(0.1), seed: Some(-3), stop: vec!["end".into()], ..Sampling::default() };
    (request.effort, request.rule, request.hedging) = (Some(Effort::XHigh), Some(Rule::LeastBusy), Some(Hedging::Race));
    request.tags.insert("team".into(), "red".into());
    request.extra.insert("top_k".into(), serde_json::json!(4).into());
    request.extra_headers.append("anthropic-beta", http::HeaderValue::from_static("x"));
    (request.client, request.extra_dialect) = (Some("agent".into()), Some(Dialect::OpenAiChat));
    request.original = Some(Original {
        dialect: Dialect::OpenAiChat,
        body,
        model: Some(10..15),
        fields: vec!["model".into()],
        nulls: Vec::new(),
        stream: true,
        stream_usage: Some(false),
        left_out: vec![3],
        marks: Marks { cached: true, ..Marks::default() },
        lost: vec![Note::Dropped("tools"), Note::Trimmed { messages: 1, tokens: 2 }],
        unread: vec![Unread { field: "a".into(), problem: "b".into() }],
        method: "/compact",
    });
    request
}

fn items() -> Vec<Item> {
    let target = TargetId::new("a", "m");
    let failure = Failure {
        retry_after: Some(RetryAfter::After(Duration::from_secs(3))),
        ..Failure::new(FailureClass::Cut, "cut")
    };
    let barred = vec![UnavailableTarget {
        target: target.clone(),
        cause: Cause::Failure(FailureClass::RateLimited),
        back_in: None,
        keys: Vec::new(),
    }];
    let about = Arc::new(CallFacts::new(CallId::new(u64::MAX, 2), SystemTime::UNIX_EPOCH, "smart"));
    let mut lost = AttemptRecord::new(about.clone(), 1, target.clone(), "key");
    (lost.end, lost.price, lost.cost_usd) =
        (AttemptEnd::Failed(failure.clone()), Some(Rates::new(1.0, 2.0)), Some(0.5));
    let attempts = vec![lost, AttemptRecord::new(about, 2, target.clone(), "key")];
    let finished = Finished {
        call: CallId::new(1, 2),
        parts: vec![AssistantPart::Text("yes".into())],
        verbatim: Some(bytes::Bytes::from_static(b"data: {}\n\n")),
        target: target.clone(),
        model: Some("m-1".into()),
        stop: StopReason::ToolCalls,
        refuses: false,
        stop_sequence: None,
        sources: vec![Source { url: "http://x".into(), place: 1..4, ..Source::default() }],
        usage: Usage { input: 4, output: 2, ..Usage::default() },
        cost_usd: Some(0.25),
        attempts: attempts.clone(),
        last_resort: true,
        degraded: Some(Degraded::Text),
        notes: vec![Note::Converted("effort")],
    };
    let budget = OverBudget {
        budget: "teams".into(),
        of: "team red".into(),
        spent: Amount::Dollars(1.0),
        limit: Amount::Tokens(7),
        per: "a day".into(),
        renews_in: None,
        reserved: Amount::Dollars(0.0),
        unpriced: false,
        expected: None,
    };
    vec![
        Ok(ReplyEvent::Waiting { back_in: Some(Duration::from_millis(5)), barred: barred.clone() }),
        Ok(ReplyEvent::Started { call: CallId::new(1, 2), target, attempt: 1, prompt_tokens: 9 }),
        Ok(ReplyEvent::Refusal),
        Ok(ReplyEvent::Text("ja".into())),
        Ok(ReplyEvent::Verbatim(bytes::Bytes::from_static(b"\xff"))),
        Ok(ReplyEvent::Reset(failure.clone())),
        Ok(ReplyEvent::Finished(Box::new(finished))),
        Err(Error::Exhausted { attempts: attempts.clone(), retry_after: None, barred }),
        Err(Error::OverBudget { budget: Box::new(budget), attempts: attempts.clone() }),
        Err(Error::NoTargetTakes {
            route: "r".into(),
            field: "f".into(),
            what: "w".into(),
            why: "y".into(),
            remedy: "leave it out",
        }),
        Err(Error::Interrupted { failure, attempts }),
        Err(Error::Cancelled),
    ]
}

#[test]
fn what_is_kept_of_a_call_is_read_as_it_was_written() {
    let request = request();
    let bytes = write(&request);
    assert_eq!(read(&bytes), Some(request));
    for item in items() {
        let bytes = write(&item);
        assert_eq!(read(&bytes), Some(item));
        // Bytes that are cut, or too many, are refused without a panic.
        for end in 0..bytes.len() {
            assert_eq!(read::<Item>(&bytes[..end]), None);
        }
        assert_eq!(read::<Item>(&[&bytes[..], &[0]].concat()), None);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x55;
            let _ = read::<Item>(&other);
        }
    }
    let mut newer = bytes;
    newer[0] += 1;
    assert_eq!(read::<ChatRequest>(&newer), None);
}

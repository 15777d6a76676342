use proptest::prelude::*;

use super::*;
use crate::words::{AssistantPart, StopReason};

fn push(decoder: &mut Decoder, chunk: &str) -> (Progress, Vec<Piece>) {
    let mut pieces = Vec::new();
    let progress = decoder.push(chunk.as_bytes(), &mut pieces).expect("no failure");
    (progress, pieces)
}

fn decoder() -> Decoder {
    Decoder::new(Dialect::OpenAiChat, true)
}

fn text(text: &str) -> Vec<Piece> {
    vec![Piece::Text(text.to_owned())]
}

fn delta(content: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

const ALIVE: Progress = Progress { alive: true, content: false, done: false };

#[test]
fn tells_signs_of_life_from_content_and_content_from_the_end() {
    let mut decoder = decoder();
    assert_eq!(push(&mut decoder, ""), (Progress::default(), vec![]));
    assert_eq!(push(&mut decoder, "\n\n"), (ALIVE, vec![]));
    assert_eq!(push(&mut decoder, ": keep-alive\n\n"), (ALIVE, vec![]));
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    assert_eq!(push(&mut decoder, role), (ALIVE, vec![]));
    let content = Progress { content: true, ..ALIVE };
    assert_eq!(push(&mut decoder, &delta("Hi")), (content, text("Hi")));
    assert_eq!(push(&mut decoder, "data: {\"choi"), (ALIVE, vec![]));
    assert_eq!(push(&mut decoder, "ces\":[]}\n\n"), (ALIVE, vec![]));
    assert_eq!(push(&mut decoder, STOP), (ALIVE, vec![]));
    let done = Progress { done: true, ..ALIVE };
    assert_eq!(push(&mut decoder, "data: [DONE]\n\n"), (done, vec![]));
    assert_eq!(push(&mut decoder, &delta("more")), (done, vec![]), "nothing counts after the end");
    assert_eq!(decoder.finish().expect("whole").stop, StopReason::Stop);
}

#[test]
fn joins_what_arrives_together() {
    let (progress, pieces) = push(&mut decoder(), &format!("{}{}{}", delta("a"), delta("b"), delta("c")));
    assert!(progress.content);
    assert_eq!(pieces, text("abc"));
}

#[test]
fn an_error_that_is_no_event_ends_a_stream_with_its_own_words() {
    let event = "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hi\"}]}}]}\r\n\r\n";
    let error = "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"This model is currently experiencing high \
                 demand.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n";
    let body = format!("{event}{error}");
    for size in [1, 7, event.len(), body.len()] {
        let (mut decoder, mut pieces) = (Decoder::new(Dialect::Gemini, true), Vec::new());
        let failure = body.as_bytes().chunks(size).find_map(|chunk| decoder.push(chunk, &mut pieces).err());
        let failure = failure.expect("a failure");
        assert_eq!((failure.class, failure.status), (FailureClass::Overloaded, Some(503)), "{size}");
        assert_eq!(pieces, text("Hi"));
    }
    // What is no error is no answer either, and half of one is a cut.
    let mut decoder = Decoder::new(Dialect::Gemini, true);
    let failure = decoder.push(format!("{event}{{}}").as_bytes(), &mut Vec::new()).expect_err("no end");
    assert_eq!(failure.class, FailureClass::Cut);
    let mut decoder = Decoder::new(Dialect::Gemini, true);
    push(&mut decoder, &format!("{event}{{\"error\""));
    assert_eq!(decoder.finish().expect_err("no end").class, FailureClass::Cut);
}

#[test]
fn takes_a_whole_reply_to_a_streaming_request_as_soon_as_it_is_complete() {
    let body = r#"{"choices":[{"message":{"content":"a \"}{\" b"},"finish_reason":"stop"}],"model":"m"}"#;
    for streaming in [true, false] {
        let mut decoder = Decoder::new(Dialect::OpenAiChat, streaming);
        assert_eq!(push(&mut decoder, "\n \r\n\n"), (ALIVE, vec![]), "blank lines of a queue");
        assert_eq!(push(&mut decoder, &body[..40]), (ALIVE, vec![]));
        let done = Progress { alive: true, content: true, done: true };
        assert_eq!(push(&mut decoder, &body[40..]), (done, text("a \"}{\" b")));
        let ending = decoder.finish().expect("whole");
        assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::Stop, Some("m")));
    }
}

#[test]
fn takes_a_stream_that_calls_itself_json() {
    let mut decoder = Decoder::new(Dialect::OpenAiChat, false);
    assert_eq!(push(&mut decoder, &delta("Hi")).1, text("Hi"));
}

/// Decodes to the end; returns the class of the failure, if there is one.
fn end_of(body: &str) -> Result<Ending, FailureClass> {
    let mut decoder = decoder();
    decoder.push(body.as_bytes(), &mut Vec::new()).and_then(|_| decoder.finish()).map_err(|failure| failure.class)
}

#[test]
fn a_body_that_ends_early_is_cut() {
    for body in [
        "",
        "\n\n",
        ": keep-alive\n\n",
        &delta("Hi"),
        &format!("{}data: [DONE]", delta("Hi")),
        &format!("{}data: [DONE]\n", delta("Hi")),
        &format!("{}{}", delta("Hi"), STOP.trim_end()),
        r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]"#,
    ] {
        assert_eq!(end_of(body), Err(FailureClass::Cut), "{body:?}");
    }
}

#[test]
fn a_last_event_needs_no_blank_line_if_it_is_whole() {
    let whole = |body: &str| {
        let (mut decoder, mut pieces) = (decoder(), Vec::new());
        decoder.push(body.as_bytes(), &mut pieces).expect("no failure");
        let ended = decoder.end(&mut pieces).map_err(|failure| failure.class)?;
        decoder.finish().map(|_| (pieces, ended.done)).map_err(|failure| failure.class)
    };
    for (tail, done) in [("data: [DONE]", true), ("data: [DONE]\n", true), (STOP.trim_end(), false)] {
        assert_eq!(whole(&format!("{}{tail}", delta("Hi"))), Ok((text("Hi"), done)), "{tail:?}");
    }
    let last = delta("Hi").replace("}}]}", "},\"finish_reason\":\"stop\"}]}");
    for tail in ["", "\n", "\r\n", "\r"] {
        assert_eq!(whole(&format!("{}{tail}", last.trim_end())), Ok((text("Hi"), false)), "{tail:?}");
    }
    for cut in ["data: [DONE", "data: {\"choices\":[", "event: x", "data: {\"choices\":[]}"] {
        assert_eq!(whole(&format!("{}{cut}", delta("Hi"))), Err(FailureClass::Cut), "{cut:?}");
        assert!(whole(&format!("{}{STOP}{cut}", delta("Hi"))).is_ok(), "{cut:?}");
    }
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}";
    assert!(!matches!(whole(&format!("{}{error}", delta("Hi"))), Ok(_) | Err(FailureClass::Cut)));
}

#[test]
fn a_finish_reason_ends_an_answer_where_the_end_marker_is_left_out() {
    for tail in ["", "data: [DO", "data: [DONE]", ": bye"] {
        assert!(end_of(&format!("{}{STOP}{tail}", delta("Hi"))).is_ok(), "{tail:?}");
    }
    assert!(end_of(&format!("{}data: [DONE]\n\n", delta("Hi"))).is_ok(), "nor the other way round");
}

#[test]
fn a_body_of_another_kind_is_no_answer() {
    for (body, class) in [
        ("<html><title>502</title></html>", FailureClass::Server),
        ("{\"choices\": nonsense}", FailureClass::Cut),
        ("data: nonsense\n\n", FailureClass::Cut),
        ("[1, 2]", FailureClass::Cut),
        ("upstream connect error", FailureClass::Cut),
    ] {
        assert_eq!(end_of(body), Err(class), "{body:?}");
    }
    let mut decoder = Decoder::new(Dialect::OpenAiChat, false);
    assert!(decoder.push(b"upstream connect error", &mut Vec::new()).is_err());
}

#[test]
fn an_event_above_the_limit_is_cut() {
    let mut decoder = decoder();
    let mut pieces = Vec::new();
    assert!(decoder.push(b"data: ", &mut pieces).is_ok());
    let block = vec![b'x'; 1 << 20];
    let failure = (0..9).find_map(|_| decoder.push(&block, &mut pieces).err()).expect("a limit");
    assert_eq!(failure.class, FailureClass::Cut);
}

#[test]
fn a_whole_body_above_the_limit_is_cut() {
    let mut decoder = decoder();
    let mut pieces = Vec::new();
    assert!(decoder.push(b"{\"a\":\"", &mut pieces).is_ok());
    let block = vec![b'x'; 8 << 20];
    let failure = (0..9).find_map(|_| decoder.push(&block, &mut pieces).err()).expect("a limit");
    assert_eq!(failure.class, FailureClass::Cut);
}

#[test]
fn every_proof_names_who_sent_it() {
    let body = r#"{"candidates":[{"content":{"parts":[
        {"text":"Hm","thought":true,"thoughtSignature":"a"},
        {"functionCall":{"name":"f"},"thoughtSignature":"b"}]},"finishReason":"STOP"}]}"#;
    for issuer in [None, Some("google")] {
        let mut decoder = Decoder::new(Dialect::Gemini, false);
        if let Some(issuer) = issuer {
            decoder = decoder.issuer(&issuer.into());
        }
        push(&mut decoder, body);
        let mut ending = decoder.finish().expect("whole");
        let issuers = ending.parts.iter_mut().map(|part| match part {
            AssistantPart::Reasoning(reasoning) => reasoning.proof.take().expect("a proof").issuer,
            AssistantPart::ToolCall(call) => call.proof.take().expect("a proof").issuer,
            other => panic!("nothing else was said: {other:?}"),
        });
        assert_eq!(issuers.collect::<Vec<_>>(), vec![issuer.map(Arc::<str>::from); 2]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        for streaming in [true, false] {
            let mut decoder = Decoder::new(Dialect::OpenAiChat, streaming);
            let mut pieces = Vec::new();
            if chunks.iter().all(|chunk| decoder.push(chunk, &mut pieces).is_ok()) {
                let _ = decoder.finish();
            }
        }
    }

    #[test]
    fn any_json_in_the_place_of_any_field_is_taken(
        field in prop::sample::select(&[
            "/id", "/model", "/choices", "/choices/0", "/choices/0/index", "/choices/0/delta",
            "/choices/0/delta/content", "/choices/0/delta/reasoning", "/choices/0/delta/refusal",
            "/choices/0/delta/tool_calls", "/choices/0/delta/tool_calls/0", "/choices/0/delta/tool_calls/0/index",
            "/choices/0/delta/tool_calls/0/function", "/choices/0/delta/tool_calls/0/function/arguments",
            "/choices/0/finish_reason", "/usage", "/usage/prompt_tokens", "/usage/prompt_tokens_details", "/x_groq",
            "/error",
        ][..]),
        value in prop::sample::select(&[
            "null", "true", "-1", "1e99", "18446744073709551616", "\"\"", "\"x\"", "\"12\"", "[]", "{}", "[[]]", "[{}]",
            "[null,\"a\",{\"text\":\"b\"},{\"type\":\"thinking\",\"thinking\":[{\"text\":\"c\"}]}]",
            "{\"message\":\"m\",\"code\":\"c\"}", "{\"text\":{\"text\":7}}",
        ][..]),
    ) {
        let mut chunk = serde_json::json!({
            "id": "i", "model": "m", "x_groq": {"usage": {}}, "error": null,
            "usage": {"prompt_tokens": 1, "prompt_tokens_details": {}},
            "choices": [{"index": 0, "finish_reason": null, "delta": {
                "content": "a", "reasoning": "b", "refusal": null,
                "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}],
            }}],
        });
        *chunk.pointer_mut(field).expect("a field") = serde_json::from_str(value).expect("JSON");
        let result = end_of(&format!("data: {chunk}\n\ndata: [DONE]\n\n"));
        // Odd kinds of what names and counts cost nothing; odd kinds of what holds the answer are a broken protocol.
        if matches!(field, "/id" | "/model" | "/choices/0/index" | "/usage" | "/usage/prompt_tokens" | "/x_groq"
            | "/usage/prompt_tokens_details" | "/choices/0/delta/reasoning" | "/choices/0/delta/content"
            | "/choices/0/delta/refusal" | "/choices/0/delta/tool_calls/0/index")
            && !(field == "/x_groq" && value.contains("message"))
            && !(field == "/choices/0/index" && value != "null")
        {
            prop_assert!(result.is_ok(), "{} {} {:?}", field, value, result);
        }
    }
}

//! Answers that pass unchanged: what is edited in them, and what is not.

use serde_json::{Value, json};

use super::*;
use crate::wire::forms;

/// Passes a body on in pieces of any size, the same in each; returns what its caller gets, and the answer's end.
fn passed(dialect: Dialect, how: &Verbatim, body: &str) -> (String, Ending) {
    let passes = |size: usize| {
        let (mut decoder, mut pieces) = (Decoder::new(dialect, true).verbatim(Some(how.clone())), Vec::new());
        for chunk in body.as_bytes().chunks(size) {
            decoder.push(chunk, &mut pieces).unwrap_or_else(|failure| panic!("{failure}: {body}"));
        }
        decoder.end(&mut pieces).unwrap_or_else(|failure| panic!("{failure}: {body}"));
        let mut ending = decoder.finish().unwrap_or_else(|failure| panic!("{failure}: {body}"));
        let last = ending.verbatim.take().expect("its end");
        let pieces = pieces.into_iter().map(|piece| match piece {
            Piece::Verbatim(bytes) => bytes,
            other => panic!("{other:?}"),
        });
        let told: Vec<u8> = pieces.chain([last]).flatten().collect();
        (String::from_utf8(told).expect("text"), ending)
    };
    let all = passes(body.len());
    for size in [1, 7, 64] {
        assert_eq!(passes(size).0, all.0, "{size}");
    }
    all
}

fn streamed() -> Verbatim {
    Verbatim { stream: true, ..Verbatim::default() }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn chunk(choice: &Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "service_tier": "flex", "choices": [choice]})
}

fn says(text: &str) -> Value {
    chunk(&json!({"index": 0, "delta": {"content": text}, "finish_reason": null}))
}

fn ends(reason: &str) -> Value {
    chunk(&json!({"index": 0, "delta": {}, "finish_reason": reason}))
}

fn usage(more: &Value) -> Value {
    let mut chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2}, "service_tier": "flex", "system_fingerprint": null});
    chunk.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    chunk
}

const DONE: &str = "data: [DONE]\n\n";

#[test]
fn events_that_no_blank_line_parts_are_told_one_by_one() {
    let events = [says("one"), says(" two"), ends("stop")];
    let counted = usage(&json!({}));
    let lines = |events: &[&Value]| events.iter().fold(String::new(), |all, event| all + &format!("data: {event}\n"));
    let all: Vec<&Value> = events.iter().chain([&counted]).collect();
    let expected = |counts: bool| {
        let last = if counts { event(&counted) } else { String::new() };
        events.iter().map(event).collect::<String>() + &last + DONE
    };
    for counts in [false, true] {
        let how = Verbatim { usage: counts, ..streamed() };
        for (name, body) in [
            ("all", lines(&all) + "data: [DONE]\n\n"),
            ("all, in the middle of it", lines(&all) + "data: [DONE]\n"),
            ("without its mark", lines(&all) + "\n"),
            ("lines of two bytes", (lines(&all) + "data: [DONE]\n\n").replace('\n', "\r\n")),
            ("usage and mark", events.iter().map(event).collect::<String>() + &lines(&[&counted]) + DONE),
            ("usage and reason", event(all[0]) + &event(all[1]) + &lines(&all[2..]) + "\n" + DONE),
        ] {
            let (told, ending) = passed(Dialect::OpenAiChat, &how, &body);
            assert_eq!(told, expected(counts), "{name}");
            assert_eq!(ending.usage.map(|usage| usage.output), Some(2), "{name}");
        }
    }
    let start = json!({"type": "message_start", "message": {"id": "m", "content": []}});
    let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}});
    let named = |event: &Value| format!("event: {}\ndata: {event}\n", event["type"].as_str().expect("a type"));
    let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let (told, _) = passed(
        Dialect::AnthropicMessages,
        &streamed(),
        &(named(&start)
            + &named(&text)
            + &named(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}))
            + end),
    );
    assert_eq!(told.matches("\n\n").count(), 4, "{told}");
    assert!(told.contains(&(named(&text) + "\n")), "each under its own name: {told}");
}

#[test]
fn a_chunk_with_usage_is_left_out_only_where_it_says_nothing_else() {
    let before = [says("hi"), ends("stop")].iter().map(event).collect::<String>();
    for (more, goes_on) in [
        (json!({}), false),
        (json!({"obfuscation": "x7", "x_groq": null, "citations": []}), false),
        (json!({"choices": null}), false),
        (json!({"citations": ["https://x.test"]}), true),
        (json!({"search_results": [{"url": "https://x.test"}], "choices": null}), true),
        (json!({"timings": {"prompt_n": 1}, "cost": 0.1, "provider": "p"}), false),
        (json!({"service_tier": "default", "system_fingerprint": "fp", "x_groq": {"id": "r"}}), false),
        (json!({"timings": {"prompt_n": 1}, "citations": ["https://x.test"]}), true),
        (json!({"of_tomorrow": 1}), true),
    ] {
        let last = event(&usage(&more));
        let (told, _) = passed(Dialect::OpenAiChat, &streamed(), &(before.clone() + &last + DONE));
        assert_eq!(told, before.clone() + if goes_on { last.as_str() } else { "" } + DONE, "{more}");
        let asked = Verbatim { usage: true, ..streamed() };
        let (told, _) = passed(Dialect::OpenAiChat, &asked, &(before.clone() + &last + DONE));
        assert_eq!(told, before.clone() + &last + DONE, "{more}");
    }
}

#[test]
fn a_whole_answer_in_one_event_is_told_in_the_form_that_its_caller_waits_for() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let chat = json!({"id": "c", "object": "chat.completion", "model": "m", "new": 1, "choices": [{"index": 0,
        "message": {"role": "assistant", "content": "TEXT", "tool_calls": [call]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "new": 1,
        "content": [{"type": "text", "text": "TEXT"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 5, "output_tokens": 2}});
    let response = json!({"id": "r", "object": "response", "model": "m", "status": "completed", "new": 1,
        "output": [{"type": "message", "id": "i", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "TEXT", "annotations": []}]}],
        "usage": {"input_tokens": 5, "output_tokens": 2}});
    for (dialect, whole) in
        [(Dialect::OpenAiChat, chat), (Dialect::AnthropicMessages, message), (Dialect::OpenAiResponses, response)]
    {
        for end in ["", DONE] {
            let body = event(&whole) + end;
            let (told, ending) = passed(dialect, &Verbatim::default(), &body);
            let told: Value = serde_json::from_str(&told).expect("JSON");
            assert_eq!(told, whole, "{dialect:?}");
            assert_eq!(ending.usage.map(|usage| usage.output), Some(2));
            let how = Verbatim { usage: true, usage_asked: true, model: Some("asked".to_owned()), ..streamed() };
            let (told, _) = passed(dialect, &how, &body);
            let again: Value = serde_json::from_slice(&forms::whole_of(dialect, told.as_bytes())).expect("JSON");
            let mut expected = whole.clone();
            expected["model"] = "asked".into();
            assert_eq!(again, expected, "{dialect:?}: {told}");
            assert_eq!(told.matches("[DONE]").count(), usize::from(dialect == Dialect::OpenAiChat), "{told}");
            assert!(!told.contains("\"message\":{\"role\":\"assistant\",\"content\":\"TEXT\""), "{told}");
            let mut decoder = Decoder::new(dialect, true);
            let pieces = push(&mut decoder, &body).1;
            assert_eq!((pieces, decoder.finish().is_ok()), (text("TEXT"), true), "{dialect:?}");
        }
    }
}

#[test]
fn a_message_in_the_place_of_a_delta_is_told_as_one() {
    let message = chunk(&json!({"index": 0, "message": {"content": "hi"}, "finish_reason": null}));
    let (told, _) = passed(Dialect::OpenAiChat, &streamed(), &(event(&message) + &event(&ends("stop")) + DONE));
    assert!(told.contains("\"delta\":{\"content\":\"hi\"}") && !told.contains("message"), "{told}");
}

#[test]
fn once_its_end_was_told_what_cannot_be_read_fails_no_answer_and_an_error_does() {
    let gemini =
        |parts: &str, end: &str| format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{parts}]}}{end}}}]}}\n\n");
    let chat = event(&says("hi")) + &event(&ends("stop"));
    let google = gemini("{\"text\":\"hi\"}", "") + &gemini("", ",\"finishReason\":\"STOP\"");
    let messages =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[]}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
        {\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
            .to_owned();
    for (dialect, body, end) in [
        (Dialect::OpenAiChat, chat, DONE),
        (Dialect::Gemini, google, ""),
        (Dialect::AnthropicMessages, messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
    ] {
        for noise in
            ["data: {broken\n\n", "data: {\"choices\":[],\"usa\n\n", "data: {\"code\":200,\"message\":\"ok\"}\n\n"]
        {
            let (told, _) = passed(dialect, &streamed(), &format!("{body}{noise}"));
            let expected = format!("{body}{end}");
            assert!(told == expected || (noise.contains("200") && told.contains("ok")), "{dialect:?} {noise}: {told}");
            let (text, ending) = read(dialect, &format!("{body}{noise}"), 9);
            assert_eq!((&*text, ending.expect("whole").stop), ("hi", StopReason::Stop), "{dialect:?} {noise}");
        }
        // An error is one, unless it comes behind the end mark.
        for error in [
            "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            "{\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
        ] {
            let failure = read(dialect, &format!("{body}{error}"), 9).1.expect_err(error);
            assert_ne!(failure.class, FailureClass::Cut, "{dialect:?} {error}");
            if !end.is_empty() {
                assert!(read(dialect, &format!("{body}{end}{error}"), 9).1.is_ok(), "{dialect:?} {error}");
            }
        }
        for mark in ["data: [done]\n\n", "data: [END]\n\n", "data: [PING]\n\n", "data: [ ping ]\n\n"] {
            // What says nothing goes on, and fails no answer, wherever it stands.
            for body in
                [format!("{body}{mark}"), body.replacen("\n\n", &format!("\n\n{mark}"), 1), format!("{mark}{body}")]
            {
                let (text, ending) = read(dialect, &body, 9);
                assert_eq!((&*text, ending.expect("whole").stop), ("hi", StopReason::Stop), "{dialect:?}: {body}");
            }
        }
        // Content is content.
        let more = body.split_inclusive("\n\n").find(|event| event.contains("\"hi\"")).expect("content");
        assert_eq!(read(dialect, &format!("{body}{more}"), 9).0, "hihi", "{dialect:?}");
    }
    let early = event(&says("hi")) + "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    assert_eq!(read(Dialect::OpenAiChat, &early, 9).1.expect_err("before its end").class, FailureClass::Overloaded);
    let alone = event(&ends("stop")) + "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    assert_eq!(read(Dialect::OpenAiChat, &alone, 9).1.expect_err("nothing was said").class, FailureClass::Overloaded);
}

#[test]
fn a_success_among_the_events_is_no_error_in_any_dialect() {
    let chat = event(&says("hi")) + &event(&ends("stop"));
    let google = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}]}\n\n\
        data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n"
        .to_owned();
    let messages = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[]}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n\
        data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n\
        data: {\"type\":\"message_stop\"}\n\n"
        .to_owned();
    let responses = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[]}}\n\n"
        .to_owned();
    for (dialect, body) in [
        (Dialect::OpenAiChat, chat),
        (Dialect::Gemini, google),
        (Dialect::AnthropicMessages, messages),
        (Dialect::OpenAiResponses, responses),
    ] {
        for well in [
            r#"{"code":200,"message":"ok"}"#,
            r#"{"code":"200","message":"ok"}"#,
            r#"{"code":0,"msg":"ok"}"#,
            r#"{"status":204,"message":"accepted","data":null}"#,
            r#"{"error":{"code":0,"message":"success"}}"#,
            r#"{"error":{"code":"200","message":"success"}}"#,
        ] {
            for body in [format!("data: {well}\n\n{body}"), body.replacen("\n\n", &format!("\n\ndata: {well}\n\n"), 1)]
            {
                let (text, ending) = read(dialect, &body, 9);
                let ending = ending.unwrap_or_else(|failure| panic!("{dialect:?} {body}: {failure}"));
                assert_eq!((&*text, ending.stop), ("hi", StopReason::Stop), "{dialect:?}: {body}");
            }
        }
        for bad in [
            r#"{"code":500,"message":"no"}"#,
            r#"{"code":200,"error":{"message":"no"}}"#,
            r#"{"error":{"code":0,"message":"You exceeded your current quota","type":"insufficient_quota"}}"#,
            r#"{"error":{"code":200,"message":"no"}}"#,
            r#"{"message":"no"}"#,
        ] {
            let failure = read(dialect, &format!("data: {bad}\n\n{body}"), 9).1.expect_err(bad);
            assert_ne!(failure.class, FailureClass::Empty, "{dialect:?} {bad}");
        }
    }
}

#[test]
fn each_event_has_all_its_changes() {
    let how = Verbatim { judged: true, model: Some("asked".to_owned()), ..streamed() };
    let events = [says("```json\n"), says("{\"a\": 1"), says("}"), says("\n```"), ends("stop")];
    for body in [
        events.iter().map(event).collect::<String>() + DONE,
        events.iter().fold(String::new(), |all, event| all + &format!("data: {event}\n")) + DONE,
    ] {
        let (told, ending) = passed(Dialect::OpenAiChat, &how, &body);
        assert!(ending.unfenced && !told.contains("```"), "{told}");
        assert_eq!(told.matches("\"model\":\"asked\"").count(), told.matches("\"model\":").count(), "{told}");
        let whole: Value =
            serde_json::from_slice(&forms::whole_of(Dialect::OpenAiChat, told.as_bytes())).expect("JSON");
        assert_eq!(whole["choices"][0]["message"]["content"], "{\"a\": 1}");
    }
    let counted = Verbatim { usage: true, model: Some("asked".to_owned()), ..streamed() };
    let body = [says("hi"), ends("stop"), usage(&json!({}))].iter().map(event).collect::<String>() + DONE;
    let (told, _) = passed(Dialect::OpenAiChat, &counted, &body);
    assert_eq!(told.matches("\"model\":\"asked\"").count(), 3, "{told}");
}

#[test]
fn a_name_in_pieces_goes_on_as_it_came_each_with_its_own_call() {
    let calls = |calls: &[Value]| event(&chunk(&json!({"index": 0, "delta": {"tool_calls": calls}})));
    let begins = |index: u64, id: &str| {
        let function = json!({"name": "get", "arguments": ""});
        json!({"index": index, "id": id, "type": "function", "function": function})
    };
    let piece = |index: u64, name: &str| json!({"index": index, "function": {"name": name, "arguments": ""}});
    let input = |index: u64| json!({"index": index, "function": {"arguments": "{}"}});
    let (first, second) = (piece(0, "_one"), piece(1, "_two"));
    let apart = calls(std::slice::from_ref(&first)) + &calls(std::slice::from_ref(&second));
    for pieces in [apart, calls(&[first, second])] {
        let begun = calls(&[begins(0, "a"), begins(1, "b")]);
        let ended = calls(&[input(0)]) + &calls(&[input(1)]) + &event(&ends("tool_calls")) + DONE;
        let body = begun + &pieces + &ended;
        assert_eq!(passed(Dialect::OpenAiChat, &streamed(), &body).0, body);
    }
}

#[test]
fn a_whole_without_a_reason_is_not_taken_for_the_only_event() {
    let whole = |text: &str, reason: Option<&str>| {
        let message = json!({"role": "assistant", "content": text});
        event(&json!({"id": "c", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}]}))
    };
    let body = whole("Hel", None) + &whole("Hello", None) + &whole("Hello you", Some("stop")) + DONE;
    let (told, _) = passed(Dialect::OpenAiChat, &streamed(), &body);
    let (before, _) = told.split_once("\"stop\"").expect("a reason");
    assert!(before.contains("\"content\":\"Hel\"") && before.contains("\"content\":\"lo\""), "{told}");
    assert!(told.contains("\"content\":\" you\""), "{told}");
    assert_eq!(told.matches("\"finish_reason\":\"stop\"").count(), 1, "{told}");
    let (told, _) = passed(Dialect::OpenAiChat, &streamed(), &(whole("Hello", None) + DONE));
    assert_eq!(told.matches("\"finish_reason\":\"stop\"").count(), 1, "{told}");
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "hi"}], "stop_reason": null});
    let (_, ending) = read(Dialect::AnthropicMessages, &event(&message), 9);
    assert_eq!(ending.expect_err("no end").class, FailureClass::Cut);
}

#[test]
fn an_end_mark_is_read_in_one_line_with_what_is_before_or_behind_it() {
    let (says, ends) = (event(&says("hi")), ends("stop"));
    let expected = says.clone() + &event(&ends) + DONE;
    for tail in [
        format!("data: {ends}data: [DONE]\n\n"),
        format!("data: {ends}[DONE]\n\n"),
        event(&ends) + "data: [DONE][DONE]\n\n",
        event(&ends) + "data: [DONE]data: [DONE]\n\n",
    ] {
        let (told, _) = passed(Dialect::OpenAiChat, &streamed(), &(says.clone() + &tail));
        assert_eq!(told, expected, "{tail}");
    }
}

#[test]
fn the_values_of_an_event_are_found_in_one_pass() {
    for (data, expected) in [
        ("{\"a\":1}{\"b\":2}\n[DONE]", vec!["{\"a\":1}", "{\"b\":2}", "[DONE]"]),
        ("{\"a\":\n1}\n{\"b\":2}", vec!["{\"a\":\n1}", "{\"b\":2}"]),
        ("{\"a\":\n{\"b\":2}{\"c\":3}", vec!["{\"a\":", "{\"b\":2}", "{\"c\":3}"]),
        ("ping {\"a\":1}\n{\"b\":2}", vec!["ping {\"a\":1}", "{\"b\":2}"]),
        ("{\"a\":1} data: data: [DONE]", vec!["{\"a\":1}", "[DONE]"]),
        ("{\"a\":1}data:", vec!["{\"a\":1}"]),
    ] {
        assert_eq!(values(data), expected, "{data}");
    }
    // Each would take hours if it were read anew from each of its lines or values.
    for (begin, many) in [("", "{\"a\":\n"), ("", "[[\n"), ("", "{}"), ("{\"a\":\n", "{}")] {
        let count = 200_000 + usize::from(!begin.is_empty());
        assert_eq!(values(&(begin.to_owned() + &many.repeat(200_000))).len(), count, "{begin}{many}");
    }
    let lines = "data: {\"a\":\n".repeat(200_000) + "\n";
    let failure = read(Dialect::OpenAiChat, &(event(&says("hi")) + &lines), 65_536).1.expect_err("a broken event");
    assert_eq!(failure.class, FailureClass::Cut);
}

#[test]
fn what_came_before_a_failure_goes_on_where_its_caller_has_heard_the_beginning() {
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    for heard in [true, false] {
        let (mut decoder, mut pieces) = (decoder().verbatim(Some(streamed())), Vec::new());
        let first = if heard { event(&says("a")) } else { String::new() };
        decoder.push(first.as_bytes(), &mut pieces).expect("no failure");
        let rest = event(&says("b")) + error;
        decoder.push(rest.as_bytes(), &mut pieces).expect_err("a failure");
        let told = pieces.iter().map(|piece| match piece {
            Piece::Verbatim(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        });
        let expected = if heard { event(&says("a")) + &event(&says("b")) } else { String::new() };
        assert_eq!(told.collect::<String>(), expected);
    }
}

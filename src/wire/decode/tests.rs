mod passing;

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
fn a_tool_of_free_text_may_be_called_with_the_text_itself() {
    let called = |arguments: &str, free: bool, finish: &str| {
        let call =
            serde_json::json!({"id": "c1", "type": "function", "function": {"name": "patch", "arguments": arguments}});
        let body = serde_json::json!({"choices": [{"index": 0, "finish_reason": finish,
            "message": {"role": "assistant", "content": null, "tool_calls": [call]}}]});
        let tools = if free { vec!["patch".to_owned()] } else { Vec::new() };
        let mut decoder = Decoder::new(Dialect::OpenAiChat, false).free(tools);
        decoder.push(body.to_string().as_bytes(), &mut Vec::new()).expect("a body");
        decoder.finish().map(|ending| ending.tool_calls().map(|call| call.arguments.to_string()).collect::<String>())
    };
    let wrapped = |text: &str| Ok(serde_json::json!({ "input": text }).to_string());
    for (arguments, text) in [
        ("*** Begin Patch\n\"a\"\n*** End Patch", "*** Begin Patch\n\"a\"\n*** End Patch"),
        ("\"*** Begin\\nPatch\"", "*** Begin\nPatch"),
        ("{ let a = 1; }", "{ let a = 1; }"),
        ("", ""),
        ("{\"input\":\"x\"}", "x"),
        ("\"{\\\"input\\\":\\\"x\\\"}\"", "x"),
        ("```json\n{\"input\":\"x\"}\n```", "x"),
    ] {
        assert_eq!(called(arguments, true, "tool_calls"), wrapped(text), "{arguments}");
    }
    // JSON that broke off is none, and neither is a text that the limit cut.
    assert!(called("{\"input\":\"x", true, "tool_calls").is_err());
    assert_eq!(called("*** Begin", true, "length"), Ok(String::new()));
    assert!(called("*** Begin", false, "tool_calls").is_err(), "another tool takes JSON alone");
}

#[test]
fn an_event_that_says_something_and_fails_commits_nobody_to_it() {
    let how = Verbatim { stream: true, ..Verbatim::default() };
    let event = |text: &str, end: &str| {
        format!(
            "data: {{\"candidates\":[{{\"index\":0,\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}{end}}}]}}\n\n"
        )
    };
    let fails = event("I will call.", ",\"finishReason\":\"MALFORMED_FUNCTION_CALL\"");
    for (events, goes_on) in [(vec![fails.clone()], false), (vec![event("So", ""), fails], true)] {
        let mut decoder = Decoder::new(Dialect::Gemini, true).verbatim(Some(how.clone()));
        let pieces: Vec<_> = events.iter().flat_map(|event| push(&mut decoder, event).1).collect();
        let ending = decoder.finish().expect("an end");
        assert_eq!((pieces.is_empty(), ending.partly_delivered), (!goes_on, goes_on), "{events:?}");
        assert!(ending.flaw.is_some() && ending.verbatim.is_some(), "a caller that gets nothing better gets it");
    }
}

#[test]
fn an_event_that_is_wrapped_twice_passes_as_one_that_clients_read() {
    let how = Verbatim { stream: true, ..Verbatim::default() };
    let mut decoder = decoder().verbatim(Some(how));
    let came = format!("data: {}data: {STOP}data: data: [DONE]\n\n", delta("Hi"));
    let (_, pieces) = push(&mut decoder, &came);
    let [Piece::Verbatim(events)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!(*events, format!("{}{STOP}data: [DONE]\n\n", delta("Hi")));
}

#[test]
fn joins_what_arrives_together() {
    let (progress, pieces) = push(&mut decoder(), &format!("{}{}{}", delta("a"), delta("b"), delta("c")));
    assert!(progress.content);
    assert_eq!(pieces, text("abc"));
}

#[test]
fn an_error_of_a_small_host_fails_an_answer_in_every_dialect() {
    for dialect in crate::wire::tests::DIALECTS {
        for body in [
            r#"{"status":"449","msg":"You exceeded your current rate limit","body":null}"#,
            r#"{"success":false,"errorMsg":"too many requests"}"#,
            r#"{"Response":{"Error":{"Code":"LimitExceeded","Message":"too many"}}}"#,
        ] {
            for streaming in [false, true] {
                let mut decoder = Decoder::new(dialect, streaming);
                let failure = decoder.push(body.as_bytes(), &mut Vec::new()).expect_err(body);
                assert_eq!(failure.class, FailureClass::RateLimited, "{dialect:?}: {body}: {failure}");
            }
        }
    }
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
    // JSON that is neither an error nor an answer is unusable, and half of it is a cut.
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
fn what_is_no_answer_is_told_with_what_is_usually_wrong() {
    for (body, hint) in [("<!DOCTYPE html><title>Sign in</title>", "sign-in"), ("Ollama is running", "`base_url`")] {
        let mut decoder = Decoder::new(Dialect::OpenAiChat, false);
        let failure = decoder.push(body.as_bytes(), &mut Vec::new()).expect_err("no answer");
        assert!(failure.message.contains(hint), "{failure}");
    }
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
fn an_answer_of_a_model_that_does_not_stop_is_no_use() {
    let event = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{text}}}]}}\n\n");
    let said = event("{\"content\":\"word word \"}");
    let thought = event("{\"reasoning_content\":\"hm hm hm hm\"}");
    let called =
        event("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"1234567\"}}]}");
    for event in [said, thought, called] {
        for max in [AnswerMax { bytes: 1_000, tokens: usize::MAX }, AnswerMax { bytes: usize::MAX, tokens: 90 }] {
            let (mut decoder, mut pieces) = (decoder().within(max), Vec::new());
            let ends = (1..).find_map(|count| Some((count, decoder.push(event.as_bytes(), &mut pieces).err()?)));
            let (count, failure) = ends.expect("an end");
            assert_eq!(failure.class, FailureClass::Unusable);
            assert!((31..130).contains(&count), "{count} {max:?} {event}");
            assert!(decoder.kept() <= 2_000, "{}", decoder.kept());
        }
    }
}

#[test]
fn every_proof_names_its_sender() {
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
        // Unexpected types of names and counts are ignored; unexpected types of the answer's own fields break the
        // protocol.
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

#[test]
fn a_whole_answer_goes_on_with_the_blanks_behind_it() {
    let body =
        "{ \"choices\":[{\"index\":0,\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}], \"w\": 1.50 }";
    for blanks in ["", "\n", "\r\n \n"] {
        let mut decoder = Decoder::new(Dialect::OpenAiChat, false).verbatim(Some(Verbatim::default()));
        let came = format!("{body}{blanks}");
        decoder.push(came.as_bytes(), &mut Vec::new()).expect("no failure");
        let ending = decoder.finish().expect("an end");
        assert_eq!(ending.verbatim.as_deref(), Some(came.as_bytes()));
    }
}

/// Reads a body in pieces of this many bytes, to its end.
fn read(dialect: Dialect, body: &str, size: usize) -> (String, Result<Ending, Failure>) {
    let (mut decoder, mut pieces) = (Decoder::new(dialect, true), Vec::new());
    for chunk in body.as_bytes().chunks(size) {
        if let Err(failure) = decoder.push(chunk, &mut pieces) {
            return (said(&pieces), Err(failure));
        }
    }
    if let Err(failure) = decoder.end(&mut pieces) {
        return (said(&pieces), Err(failure));
    }
    decoder.flush(&mut pieces);
    (said(&pieces), decoder.finish())
}

fn said(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) | Piece::Reasoning(text) => text.clone(),
        _ => String::new(),
    };
    pieces.iter().map(text).collect()
}

#[test]
fn readable_events_are_read_however_carelessly_they_are_framed() {
    let (hi, stop) = (delta("Hi"), STOP.trim_end());
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}";
    for (name, body) in [
        ("no blank line behind the last event", format!("{hi}{stop}\n")),
        ("no end of its line either", format!("{hi}{stop}")),
        ("no marker", format!("{hi}{STOP}")),
        ("a marker without its line's end", format!("{hi}{STOP}data: [DONE]")),
        ("half a marker", format!("{hi}{STOP}data: [DO")),
        ("usage last, and no blank line", format!("{hi}{STOP}{usage}")),
        ("half an event behind the end", format!("{hi}{STOP}data: {{\"choices\":[],\"usa")),
        ("carriage returns", format!("{hi}{STOP}").replace('\n', "\r")),
        ("both", format!("{hi}{STOP}").replace('\n', "\r\n")),
        ("a mark of the byte order", format!("\u{feff}{hi}{STOP}")),
        ("comments, names and other fields", format!(": x\n\nevent:\nid: 7\nretry: 9\n{hi}: y\n{STOP}")),
        ("no blank line between two events", format!("{}\n{stop}\ndata: [DONE]\n\n", hi.trim_end())),
        ("two objects in one line", format!("{}{}", hi.trim_end(), STOP.trim_start_matches("data: "))),
        ("several lines of data", hi.replace(",\"delta\"", ",\ndata: \"delta\"") + STOP),
        (
            "lines of JSON without any framing",
            format!("{hi}{STOP}")
                .replace("data: ", "")
                .replace("\n\n", "\n")
                .replace("{\"choices\"", "{\"object\":\"chat.completion.chunk\",\"choices\""),
        ),
        ("a whole reply", r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#.to_owned()),
    ] {
        for size in [1, 2, 5, 1 << 20] {
            let (text, ending) = read(Dialect::OpenAiChat, &body, size);
            assert_eq!(text, "Hi", "{name} {size}");
            assert_eq!(ending.unwrap_or_else(|failure| panic!("{name} {size}: {failure}")).stop, StopReason::Stop);
        }
    }
}

#[test]
fn the_last_event_counts_in_every_dialect_though_no_blank_line_follows() {
    let anthropic = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[]}}\n\n\
                     event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\
                     \"text_delta\",\"text\":\"Hi\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\
                     \"delta\":{\"stop_reason\":\"end_turn\"}}";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]},\"finishReason\":\"STOP\"}]}";
    let responses = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n\
                     event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\
                     \"completed\",\"output\":[]}}\n";
    for (dialect, body) in
        [(Dialect::AnthropicMessages, anthropic), (Dialect::Gemini, gemini), (Dialect::OpenAiResponses, responses)]
    {
        for size in [1, 1 << 20] {
            let (text, ending) = read(dialect, body, size);
            assert_eq!((&*text, ending.expect("whole").stop), ("Hi", StopReason::Stop), "{dialect:?}");
        }
    }
}

#[test]
fn a_cut_answer_is_never_taken_for_whole() {
    for body in [
        delta("Hi"),
        delta("Hi").trim_end().to_owned(),
        format!("{}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"st", delta("Hi")),
        format!("{}data: ", delta("Hi")),
        delta("Hi").replace("data: {", "{\"object\":\"chat.completion.chunk\","),
    ] {
        for size in [1, 1 << 20] {
            let (text, ending) = read(Dialect::OpenAiChat, &body, size);
            assert_eq!((&*text, ending.expect_err("cut").class), ("Hi", FailureClass::Cut), "{body}");
        }
    }
}

#[test]
fn halves_of_characters_are_joined_over_chunks_in_texts_thoughts_and_arguments() {
    let chunk = |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
    let body = [
        chunk(r#"{"reasoning":"\ud83d"}"#),
        chunk(r#"{"reasoning":"\ude00!"}"#),
        chunk(r#"{"content":"a\ud83d"}"#),
        chunk(r#"{"content":"\ude00b\ud83d"}"#),
        chunk(r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"x\":\"\ud83d"}}]}"#),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"\ude00\",\"y\":\"\\ud83d\"}"}}]}"#),
        STOP.to_owned(),
    ]
    .concat();
    for size in [1, 1 << 20] {
        let (text, ending) = read(Dialect::OpenAiChat, &body, size);
        assert_eq!(text, "\u{1f600}!a\u{1f600}b\u{fffd}");
        let ending = ending.expect("whole");
        let arguments: Vec<&str> = ending.tool_calls().map(|call| &*call.arguments).collect();
        assert_eq!(arguments, ["{\"x\":\"\u{1f600}\",\"y\":\"\u{fffd}\"}"]);
    }
}

/// Returns the calls of an answer whose fragments came so, with its reason to stop and whether one of them was cut.
fn calls(fragments: &[&str], finish: &str) -> (Vec<(String, String, String)>, StopReason, bool) {
    let chunk = |call: &&str| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n");
    let end = format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{finish}\"}}]}}\n\ndata: [DONE]\n\n");
    let body: String = fragments.iter().map(chunk).chain([end]).collect();
    let ending =
        read(Dialect::OpenAiChat, &body, 1 << 20).1.unwrap_or_else(|failure| panic!("{fragments:?}: {failure}"));
    let call = |call: &crate::words::ToolCall| (call.id.clone(), call.name.clone(), call.arguments.to_string());
    (ending.tool_calls().map(call).collect(), ending.stop, ending.cut)
}

#[test]
fn each_call_has_its_name_and_its_whole_input_however_it_was_streamed() {
    for (name, fragments, expected) in [
        (
            "two calls under one index, with ids",
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
                r#"{"index":0,"id":"b","function":{"name":"g","arguments":"{\"y\":2}"}}"#,
            ][..],
            &[("f", r#"{"x":1}"#), ("g", r#"{"y":2}"#)][..],
        ),
        (
            "two calls under one index, without ids",
            &[
                r#"{"index":0,"function":{"name":"f","arguments":"{\"x\":1}"}}"#,
                r#"{"index":0,"function":{"name":"g","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"{\"y\":2}"}}"#,
            ],
            &[("f", r#"{"x":1}"#), ("g", r#"{"y":2}"#)],
        ),
        (
            "all that came before once more",
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
            ],
            &[("f", r#"{"x":1}"#)],
        ),
        (
            "an empty object in the place of what follows",
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#,
                r#"{"index":0,"function":{"arguments":"{\"x\":"}}"#,
                r#"{"index":0,"function":{"arguments":"1}"}}"#,
            ],
            &[("f", r#"{"x":1}"#)],
        ),
        (
            "a name in pieces",
            &[
                r#"{"index":0,"id":"a","function":{"name":"list_","arguments":""}}"#,
                r#"{"index":0,"function":{"name":"files","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"{\"x\":1}"}}"#,
            ],
            &[("list_files", r#"{"x":1}"#)],
        ),
        (
            "name and id in every fragment",
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":":{"}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"}}"}}"#,
            ],
            &[("f", r#"{"x":{}}"#)],
        ),
        (
            "written twice",
            &[r#"{"id":"a","function":{"name":"f","arguments":"\"{\\\"x\\\":1}\""}}"#],
            &[("f", r#"{"x":1}"#)],
        ),
        ("an object", &[r#"{"id":"a","function":{"name":"f","arguments":{"x":1}}}"#], &[("f", r#"{"x":1}"#)]),
        ("nothing", &[r#"{"id":"a","function":{"name":"f","arguments":""}}"#], &[("f", "{}")]),
        ("null", &[r#"{"id":"a","function":{"name":"f","arguments":null}}"#], &[("f", "{}")]),
        ("an empty list", &[r#"{"id":"a","function":{"name":"f","arguments":"[]"}}"#], &[("f", "{}")]),
        (
            "out of order",
            &[
                r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\""}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#,
                r#"{"index":1,"function":{"arguments":":2}"}}"#,
                r#"{"index":0,"function":{"arguments":":1}"}}"#,
            ],
            &[("g", r#"{"y":2}"#), ("f", r#"{"x":1}"#)],
        ),
        (
            "one id for two",
            &[
                r#"{"index":0,"id":"call_0","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
                r#"{"index":1,"id":"call_0","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
            ],
            &[("f", r#"{"x":1}"#), ("f", r#"{"x":1}"#)],
        ),
    ] {
        let (found, stop, _) = calls(fragments, "tool_calls");
        let told: Vec<_> = found.iter().map(|(_, name, arguments)| (&**name, &**arguments)).collect();
        assert_eq!((&*told, stop), (expected, StopReason::ToolCalls), "{name}");
        let ids: std::collections::BTreeSet<_> = found.iter().map(|(id, ..)| id).collect();
        assert_eq!(ids.len(), expected.len(), "{name}: ids of their own");
    }
}

#[test]
fn an_answer_ends_before_a_sequence_that_its_provider_was_not_told() {
    let body = [delta("one E"), delta("ND two"), STOP.replace("stop", "length")].concat();
    let whole = r#"{"choices":[{"message":{"content":"one END two","tool_calls":[{"id":"a","function":{"name":"f",
        "arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    for (body, sequence, expected, stop) in [
        (&*body, "END", "one ", StopReason::Stop),
        (&*body, "ENDE", "one END two", StopReason::Length),
        (&*body, "two!", "one END two", StopReason::Length),
        (whole, "END", "one ", StopReason::Stop),
    ] {
        for size in [1, 1 << 20] {
            let mut decoder = decoder().stopping(&[sequence.into()]);
            let mut pieces = Vec::new();
            for chunk in body.as_bytes().chunks(size) {
                decoder.push(chunk, &mut pieces).expect("no failure");
            }
            decoder.end(&mut pieces).expect("no failure");
            decoder.flush(&mut pieces);
            let ending = decoder.finish().expect("whole");
            assert_eq!((said(&pieces), ending.text(), ending.stop), (expected.to_owned(), expected.to_owned(), stop));
            assert!(stop != StopReason::Stop || ending.tool_calls().next().is_none());
        }
    }
}

#[test]
fn ids_of_calls_that_have_none_differ_from_answer_to_answer() {
    let body =
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}]}"#;
    let id = |salt| {
        let mut decoder = Decoder::new(Dialect::Gemini, false).salted(salt);
        decoder.push(body.as_bytes(), &mut Vec::new()).expect("no failure");
        decoder.finish().expect("whole").tool_calls().next().expect("a call").id.clone()
    };
    assert_ne!(id(1), id(2));
    assert_eq!(id(1), id(1));
}

#[test]
fn a_call_that_the_limit_cut_is_left_out_and_complete_ones_stay() {
    let whole = r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#;
    for cut in [
        r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"pa"}}"#,
        r#"{"index":1,"id":"b","function":{"name":"g","arguments":""}}"#,
        r#"{"index":1,"id":"b","function":{"name":"g"}}"#,
    ] {
        let (found, stop, is_cut) = calls(&[whole, cut], "length");
        assert_eq!((found.len(), stop, is_cut), (1, StopReason::Length, true), "{cut}");
        let (found, stop, is_cut) = calls(&[cut], "length");
        assert_eq!((found.len(), stop, is_cut), (0, StopReason::Length, true), "{cut}");
    }
    let (found, stop, is_cut) = calls(&[whole], "length");
    assert_eq!((found.len(), stop, is_cut), (1, StopReason::Length, false));
}

#[test]
fn an_answer_as_long_as_it_may_be_was_cut_by_that_whichever_reason_its_provider_gives() {
    let body = r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x"}}]},
        "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":32,"total_tokens":37}}"#;
    for (limit, expected) in [
        (Some(32), Ok(StopReason::Length)),
        (Some(33), Err(FailureClass::Unusable)),
        (None, Err(FailureClass::Unusable)),
    ] {
        let mut decoder = Decoder::new(Dialect::OpenAiChat, false).limited(limit);
        decoder.push(body.as_bytes(), &mut Vec::new()).expect("no failure");
        let found = decoder.finish().map(|ending| ending.stop).map_err(|failure| failure.class);
        assert_eq!(found, expected, "{limit:?}");
    }
    // So are thoughts that came to no word, and nothing at all.
    for (message, otherwise) in [
        (r#"{"content":"","reasoning_content":"hm"}"#, Ok((StopReason::Stop, true))),
        (r#"{"content":""}"#, Err(FailureClass::Empty)),
    ] {
        let body = format!(
            r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}],"usage":{{"completion_tokens":32}}}}"#
        );
        for (limit, expected) in [(Some(32), Ok((StopReason::Length, false))), (Some(33), otherwise), (None, otherwise)]
        {
            let mut decoder = Decoder::new(Dialect::OpenAiChat, false).limited(limit);
            decoder.push(body.as_bytes(), &mut Vec::new()).expect("no failure");
            let found = decoder.finish().map(|ending| (ending.stop, ending.flaw.is_some()));
            assert_eq!(found.map_err(|failure| failure.class), expected, "{message} {limit:?}");
        }
    }
}

#[test]
fn an_answer_that_the_token_limit_cut_is_an_answer_in_every_dialect() {
    let anthropic = r#"{"content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"a","name":"f","input":{}}],"stop_reason":"max_tokens"}"#;
    let window = anthropic.replace("max_tokens", "model_context_window_exceeded");
    let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"MAX_TOKENS"}]}"#;
    let thought =
        r#"{"candidates":[{"content":{},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"thoughtsTokenCount":32}}"#;
    let responses = r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[
        {"type":"function_call","call_id":"a","name":"f","arguments":"{\"x","status":"incomplete"}]}"#;
    let ollama = r#"{"message":{"content":""},"done":true,"done_reason":"length"}"#;
    for (dialect, body) in [
        (Dialect::AnthropicMessages, anthropic),
        (Dialect::AnthropicMessages, &window),
        (Dialect::Gemini, gemini),
        (Dialect::Gemini, thought),
        (Dialect::OpenAiResponses, responses),
        (Dialect::Ollama, ollama),
    ] {
        let (_, ending) = read(dialect, body, 1 << 20);
        let stop = ending.unwrap_or_else(|failure| panic!("{dialect:?} {body}: {failure}")).stop;
        assert_eq!(stop, StopReason::Length, "{dialect:?}");
    }
}

#[test]
fn an_answer_that_does_not_begin_as_json_is_held_until_the_json_is_found() {
    for (begins, goes_on) in [
        ("{", true),
        ("\\n[1", true),
        ("```json", false),
        ("```json{", true),
        ("Sure: ", false),
        ("~~~", false),
        ("<", false),
    ] {
        let how = Verbatim { stream: true, judged: true, ..Verbatim::default() };
        let (progress, pieces) = push(&mut decoder().verbatim(Some(how)), &delta(begins));
        assert_eq!(matches!(pieces[..], [Piece::Verbatim(_)]), goes_on, "{begins}: {pieces:?}");
        assert!(progress.content, "{begins}");
    }
    // A model that declines writes no JSON.
    let declined = "data: {\"choices\":[{\"index\":0,\"delta\":{\"refusal\":\"I'm sorry\"}}]}\n\n";
    let how = Verbatim { stream: true, judged: true, ..Verbatim::default() };
    let (_, pieces) = push(&mut decoder().verbatim(Some(how)), declined);
    assert!(matches!(pieces[..], [Piece::Verbatim(_)]), "{pieces:?}");
}

#[test]
fn an_answer_that_one_hosts_filter_held_back_is_no_verdict_of_all() {
    for (reason, scope) in [("sensitive", Scope::Endpoint), ("content_filter", Scope::Request)] {
        let body = format!(r#"{{"choices":[{{"index":0,"message":{{"content":""}},"finish_reason":"{reason}"}}]}}"#);
        let ended = |how: Option<Verbatim>| {
            let mut decoder = Decoder::new(Dialect::OpenAiChat, false).verbatim(how);
            decoder.push(body.as_bytes(), &mut Vec::new()).and_then(|_| decoder.finish())
        };
        let failure = ended(None).expect_err("a failure");
        assert_eq!((failure.class, failure.scope), (FailureClass::ContentPolicy, scope), "{reason}");
        // A caller that gets it as it came gets it from another host, too.
        let ending = ended(Some(Verbatim { filtered: true, ..Verbatim::default() })).expect("an answer");
        assert_eq!(ending.flaw.is_some(), scope == Scope::Endpoint, "{reason}");
    }
}

#[test]
fn a_reason_to_stop_is_known_in_every_dialect_however_it_is_written() {
    let bodies = |reason: &str| {
        [
            (
                Dialect::OpenAiChat,
                format!(r#"{{"choices":[{{"message":{{"content":"x"}},"finish_reason":"{reason}"}}]}}"#),
            ),
            (
                Dialect::AnthropicMessages,
                format!(r#"{{"content":[{{"type":"text","text":"x"}}],"stop_reason":"{reason}"}}"#),
            ),
            (
                Dialect::Gemini,
                format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}}]}},"finishReason":"{reason}"}}]}}"#),
            ),
            (Dialect::Ollama, format!(r#"{{"message":{{"content":"x"}},"done":true,"done_reason":"{reason}"}}"#)),
            (
                Dialect::OpenAiResponses,
                format!(
                    r#"{{"status":"incomplete","incomplete_details":{{"reason":"{reason}"}},"output":[
                        {{"type":"message","content":[{{"type":"output_text","text":"x"}}]}}]}}"#
                ),
            ),
        ]
    };
    for (reason, expected) in [
        ("MAX_TOKENS", StopReason::Length),
        ("Length", StopReason::Length),
        ("maxTokens", StopReason::Length),
        ("max-output-tokens", StopReason::Length),
        ("STOP", StopReason::Stop),
        ("eos_token", StopReason::Stop),
        ("COMPLETE", StopReason::Stop),
        ("CONTENT_FILTERED", StopReason::ContentFilter),
        ("safety", StopReason::ContentFilter),
        // It called none.
        ("TOOL_CALLS", StopReason::Stop),
        ("Refusal", StopReason::Refusal),
    ] {
        for (dialect, body) in bodies(reason) {
            // A response that is not complete has not ended by itself.
            if dialect == Dialect::OpenAiResponses && expected == StopReason::Stop {
                continue;
            }
            let (_, ending) = read(dialect, &body, 1 << 20);
            let stop = ending.unwrap_or_else(|failure| panic!("{dialect:?} {reason}: {failure}")).stop;
            assert_eq!(stop, expected, "{dialect:?} {reason}");
        }
    }
}

#[test]
fn an_event_that_tells_its_kind_by_its_name_alone_is_read_and_one_that_is_done_ends_a_response() {
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let messages = [
        event("message_start", r#"{"message":{"id":"m","model":"x","content":[]}}"#),
        event("content_block_start", r#"{"index":0,"content_block":{"type":"text","text":""}}"#),
        event("content_block_delta", r#"{"index":0,"delta":{"type":"text_delta","text":"hi"}}"#),
        event("content_block_stop", r#"{"index":0}"#),
        event("message_delta", r#"{"delta":{"stop_reason":"end_turn"}}"#),
        event("message_stop", "{}"),
    ]
    .concat();
    let done = r#"{"type":"response.done","response":{"id":"r","status":"completed","output":[]}}"#;
    let delta = r#"{"type":"response.output_text.delta","output_index":0,"delta":"hi"}"#;
    let responses = event("", delta) + &event("", done);
    let named = event("response.output_text.delta", r#"{"output_index":0,"delta":"hi"}"#)
        + &event("response.completed", r#"{"response":{"id":"r","status":"completed","output":[]}}"#);
    for (dialect, body) in [
        (Dialect::AnthropicMessages, messages),
        (Dialect::OpenAiResponses, responses),
        (Dialect::OpenAiResponses, named),
    ] {
        let (text, ending) = read(dialect, &body, 1 << 20);
        assert_eq!((text.as_str(), ending.expect("whole").stop), ("hi", StopReason::Stop), "{body}");
    }
}

#[test]
fn a_stream_without_a_reason_for_its_end_is_given_the_one_that_is_found() {
    let chunk = |delta: &str| {
        format!(
            "data: {{\"id\":\"c\",\"created\":7,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
             \"finish_reason\":null}}]}}\n\n"
        )
    };
    let chat_end = |word: &str| {
        serde_json::json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [{"index": 0, "delta": {}, "finish_reason": word}]})
    };
    let (said, done) = (chunk(r#"{"content":"hi"}"#), "data: [DONE]\n\n");
    let call =
        chunk(r#"{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#);
    let usage = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\
                 \"usage\":{\"input_tokens\":5,\"output_tokens\":3}}}\n\n";
    let block = |block: &str| {
        format!(
            "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{block}}}\n\n\
             event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\n"
        )
    };
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let messages_end = |word: &str| {
        serde_json::json!({"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": null},
            "usage": {"output_tokens": 3}})
    };
    let spoken = format!("{start}{}", block(r#"{"type":"text","text":"hi"}"#));
    let called = format!("{start}{}", block(r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#));
    for (dialect, before, end, reason, after) in [
        (Dialect::OpenAiChat, said.clone(), done, chat_end("stop"), done),
        (Dialect::OpenAiChat, format!("{said}{usage}"), done, chat_end("stop"), done),
        (Dialect::OpenAiChat, format!("{said}{call}"), done, chat_end("tool_calls"), done),
        (Dialect::AnthropicMessages, spoken.clone(), stop, messages_end("end_turn"), stop),
        (Dialect::AnthropicMessages, called, stop, messages_end("tool_use"), stop),
        (Dialect::AnthropicMessages, spoken, done, messages_end("end_turn"), stop),
    ] {
        let came = format!("{before}{end}");
        for size in [1, 7, came.len()] {
            let how = Verbatim { stream: true, usage: true, ..Verbatim::default() };
            let (mut decoder, mut pieces) = (Decoder::new(dialect, true).verbatim(Some(how)), Vec::new());
            for part in came.as_bytes().chunks(size) {
                decoder.push(part, &mut pieces).expect("no failure");
            }
            let last = decoder.finish().expect("a whole answer").verbatim.expect("its end");
            let passed = pieces.into_iter().map(|piece| match piece {
                Piece::Verbatim(bytes) => bytes,
                other => panic!("{other:?}"),
            });
            let told: Vec<u8> = passed.chain([last]).flatten().collect();
            let told = String::from_utf8(told).expect("text");
            let added = told.strip_prefix(&before).and_then(|rest| rest.strip_suffix(after));
            let added = added.unwrap_or_else(|| panic!("{size}: {told}"));
            let data = added.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
            assert_eq!(serde_json::from_str::<serde_json::Value>(data).expect("JSON"), reason, "{size}: {told}");
        }
    }
}

#[test]
fn a_reason_that_begins_with_error_is_a_failure_in_every_dialect() {
    for (dialect, body) in [
        (Dialect::OpenAiChat, r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"error_finish"}]}"#),
        (Dialect::AnthropicMessages, r#"{"content":[{"type":"text","text":"hi"}],"stop_reason":"error_finish"}"#),
        (Dialect::Gemini, r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"ERROR_FINISH"}]}"#),
        (Dialect::Ollama, r#"{"message":{"content":"hi"},"done":true,"done_reason":"error"}"#),
    ] {
        let failure = Decoder::new(dialect, false).push(body.as_bytes(), &mut Vec::new()).expect_err("a failure");
        assert_eq!(failure.class, FailureClass::Server, "{dialect:?}");
    }
}

//! Answers, whole and streamed.

use super::*;

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

fn decode(body: &str) -> Decoded {
    let mut decoder = Decoder::new(GEMINI, true);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

fn stream(chunks: &[Value]) -> Decoded {
    let events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    decode(&events.concat())
}

fn said(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})
}

fn finish(reason: &str) -> Value {
    json!({"candidates": [{"finishReason": reason}]})
}

fn failed(chunks: &[Value]) -> FailureClass {
    stream(chunks).1.expect_err("a failure").class
}

#[test]
fn an_answer_goes_back_as_it_came() {
    let chunk = json!({"candidates": [{"content": {"parts": [
        {"text": "I see.", "thought": true},
        {"text": "Both.", "thoughtSignature": "t"},
        {"functionCall": {"name": "add", "args": {"b": 3}}, "thoughtSignature": "s"},
        {"functionCall": {"name": "multiply", "args": {}}},
    ]}, "finishReason": "STOP"}], "responseId": "r"});
    let (_, ending) = stream(&[chunk]);
    let parts = ending.expect("a good answer").parts;
    let ids: Vec<_> = parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| call.id.clone()).collect();
    let results = parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| result(call, "x"));
    let request = ChatRequest { messages: results.collect(), ..hi() };
    let messages = [Message::user("Hi"), Message::Assistant(parts)].into_iter().chain(request.messages).collect();
    let (body, notes) = written(GEMINI, &ChatRequest { messages, ..hi() }, "gemini-3.1-pro-preview");
    assert_eq!(
        body["contents"][1]["parts"],
        json!([
            {"text": "Both.", "thoughtSignature": "t"},
            {"functionCall": {"id": ids[0], "name": "add", "args": {"b": 3}}, "thoughtSignature": "s"},
            {"functionCall": {"id": ids[1], "name": "multiply", "args": {}}},
        ])
    );
    assert_eq!(notes, [Note::Dropped("messages.reasoning")]);
}

#[test]
fn reads_thoughts_texts_calls_and_their_proofs_in_order() {
    let chunks = [
        said(json!([{"text": "Hm", "thought": true}])),
        said(json!([{"text": ".", "thought": true, "thoughtSignature": "p1"}, {"text": "So "}])),
        said(json!([{"text": "be it."}, {"executableCode": {"code": "1"}},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "p2"}])),
        said(
            json!([{"functionCall": {"id": "own", "name": "f", "args": {"a": [1]}}}, {"functionCall": {"name": "f"}}]),
        ),
        said(json!([{"text": "", "thoughtSignature": "p3"}])),
        finish("STOP"),
        json!({"usageMetadata": {"promptTokenCount": 3}, "modelVersion": "m-1", "responseId": "r"}),
    ];
    let (pieces, ending) = stream(&chunks);
    let told =
        [Piece::Reasoning("Hm.".to_owned()), Piece::Proof(proof(GEMINI, "p1")), Piece::Text("So be it.".to_owned())];
    assert_eq!(pieces, told, "a proof comes with what follows it, and by itself it does not come");
    let ending = ending.expect("a good answer");
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::ToolCalls, Some("m-1")));
    let [
        thought,
        spoken,
        AssistantPart::ToolCall(first),
        AssistantPart::ToolCall(second),
        AssistantPart::ToolCall(third),
        lone,
    ] = &ending.parts[..]
    else {
        panic!("{:?}", ending.parts)
    };
    assert_eq!(*thought, reasoning("Hm.", Some(proof(GEMINI, "p1"))));
    assert_eq!((spoken, lone), (&text("So be it."), &reasoning("", Some(proof(GEMINI, "p3")))));
    assert_eq!((&*first.arguments, &first.proof), ("{}", &Some(proof(GEMINI, "p2"))));
    assert_eq!((&*second.id, &*second.arguments, &second.proof), ("own", "{\"a\":[1]}", &None));
    assert_eq!((&*third.name, &*third.arguments), ("f", "{}"));
    assert!(!first.id.is_empty() && first.id != third.id, "ids are made where there are none, and differ");

    let array = Value::from(chunks.to_vec());
    assert_eq!(decode(&array.to_string()).1.expect("a good answer").parts, ending.parts, "framed as an array");
    assert_eq!(stream(&[array]).1.expect("a good answer").parts, ending.parts, "an array in an event");
}

#[test]
fn proofs_belong_to_their_issuer() {
    let chunk =
        json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "p"}]}}]});
    let mut decoder = Decoder::new(Dialect::Vertex, false);
    decoder.push(chunk.to_string().as_bytes(), &mut Vec::new()).expect("a good answer");
    let ending = decoder.finish().expect("a good answer");
    assert_eq!(ending.tool_calls().next().expect("a call").proof, Some(proof(Dialect::Vertex, "p")));
}

#[test]
fn knows_every_reason_to_stop() {
    let text = said(json!([{"text": "x"}]));
    for (reason, stop) in [
        (json!("STOP"), StopReason::Stop),
        (json!("MAX_TOKENS"), StopReason::Length),
        (json!("SAFETY"), StopReason::ContentFilter),
        (json!("RECITATION"), StopReason::ContentFilter),
        (json!("BLOCKLIST"), StopReason::ContentFilter),
        (json!("PROHIBITED_CONTENT"), StopReason::ContentFilter),
        (json!("SPII"), StopReason::ContentFilter),
        (json!("MODEL_ARMOR"), StopReason::ContentFilter),
        (json!("LANGUAGE"), StopReason::Other),
        (json!("OTHER"), StopReason::Other),
        (json!("A_NEW_ONE"), StopReason::Other),
        (json!(1), StopReason::Stop),
        (json!(2), StopReason::Length),
        (json!(4), StopReason::ContentFilter),
        (json!(17), StopReason::Other),
    ] {
        let last = json!({"candidates": [{"finishReason": reason}]});
        assert_eq!(stream(&[text.clone(), last]).1.expect("a good answer").stop, stop, "{reason}");
    }
    let more = json!({"candidates": [{"finishReason": "MAX_TOKENS", "content": {"parts": [{"text": "y"}]}}]});
    let every_chunk_says_stop =
        json!({"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "x"}]}}]});
    let (pieces, ending) = stream(&[every_chunk_says_stop.clone(), every_chunk_says_stop, more]);
    assert_eq!((pieces, ending.expect("good").stop), (vec![Piece::Text("xxy".to_owned())], StopReason::Length));
}

#[test]
fn an_answer_without_content_is_empty_blocked_or_unusable() {
    assert_eq!(failed(&[finish("STOP")]), FailureClass::Empty);
    assert_eq!(failed(&[finish("OTHER")]), FailureClass::Empty);
    let thoughts = stream(&[said(json!([{"text": "hm", "thought": true}])), finish("STOP")]).1.expect("thoughts").flaw;
    assert_eq!(thoughts.map(|flaw| flaw.class), Some(FailureClass::Empty), "it is for who gets nothing better");
    assert_eq!(failed(&[finish("SAFETY")]), FailureClass::ContentPolicy);
    assert!(stream(&[finish("MAX_TOKENS")]).1.is_ok());
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"] {
        let chunk = json!({"candidates": [{"finishReason": reason, "finishMessage": "Malformed: print(f())"}]});
        let failure = stream(&[said(json!([{"text": "x"}])), chunk]).1.expect_err(reason);
        assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Unusable, Some(reason)));
        assert_eq!(failure.message, "Malformed: print(f())");
    }
    let pieces =
        said(json!([{"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a"}], "willContinue": true}}]));
    assert_eq!(failed(&[pieces, finish("STOP")]), FailureClass::Unusable);
    let list = said(json!([{"functionCall": {"name": "f", "args": [1]}}]));
    assert_eq!(failed(&[list, finish("STOP")]), FailureClass::Unusable);
}

#[test]
fn a_refused_prompt_is_told_by_its_feedback() {
    for (feedback, code, message) in [
        (json!({"blockReason": "SAFETY"}), "SAFETY", "the provider's filter refused the prompt"),
        (json!({"blockReason": "MODEL_ARMOR", "blockReasonMessage": "No."}), "MODEL_ARMOR", "No."),
        (json!({"blockReason": 2}), "OTHER", "the provider's filter refused the prompt"),
    ] {
        let chunk = json!({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 7}, "candidates": null});
        for decoded in [stream(std::slice::from_ref(&chunk)), decode(&chunk.to_string())] {
            let failure = decoded.1.expect_err("a failure");
            assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::ContentPolicy, Some(code)));
            assert_eq!(failure.message, message);
        }
    }
    let harmless = json!({"promptFeedback": {"safetyRatings": []}});
    assert!(stream(&[harmless, said(json!([{"text": "x"}])), finish("STOP")]).1.is_ok());
}

#[test]
fn a_stream_is_whole_once_a_chunk_gave_the_reason() {
    let text = format!("data: {}\r\n\r\n", said(json!([{"text": "x"}])));
    let end = format!("data: {}\r\n\r\n", finish("STOP"));
    for cut in
        ["", &text, &format!("{text}data: {{\"candi"), &format!("{text}{}", end.trim_end()), "[{\"candidates\":[]}"]
    {
        assert_eq!(decode(cut).1.expect_err("a failure").class, FailureClass::Cut, "{cut:?}");
    }
    for whole in [format!("{text}{end}"), format!("{text}{end}data: [DO"), format!("{text}{end}data: [DONE]\n\n")] {
        assert!(decode(&whole).1.is_ok(), "{whole:?}");
    }
}

#[test]
fn finds_errors_inside_of_answers() {
    let error = |code: u16, status: &str| json!({"error": {"code": code, "message": "x", "status": status}});
    for (chunk, class) in [
        (error(503, "UNAVAILABLE"), FailureClass::Overloaded),
        (error(429, "RESOURCE_EXHAUSTED"), FailureClass::RateLimited),
        (json!([error(500, "INTERNAL")]), FailureClass::Server),
        (json!({"message": "no such host"}), FailureClass::Server),
        (json!([[1]]), FailureClass::Cut),
        (json!({"candidates": 7}), FailureClass::Cut),
    ] {
        let (pieces, ending) = stream(&[said(json!([{"text": "x"}])), chunk.clone(), finish("STOP")]);
        assert_eq!(ending.expect_err("a failure").class, class, "{chunk}");
        assert_eq!(pieces, [Piece::Text("x".to_owned())], "what came before is kept");
        assert_eq!(decode(&chunk.to_string()).1.expect_err("a failure").class, class, "{chunk}, whole");
    }
    let named = format!("event: error\ndata: {}\n\n", error(503, "UNAVAILABLE"));
    assert_eq!(decode(&named).1.expect_err("a failure").class, FailureClass::Overloaded);
}

#[test]
fn passes_over_what_it_does_not_know() {
    let body = format!(
        ": alive\n\nevent: ping\ndata: no JSON\n\ndata:\n\ndata: {{}}\n\ndata: {}\n\ndata: {}\n\ndata: {}\n\n",
        json!({"candidates": [{"index": 0, "new": 1, "content": {"parts": [{"text": "a", "new": {}}, {"new": 1}]}}],
            "error": null, "new": []}),
        json!({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}], "usageMetadata": {}}),
        json!({"candidates": [{"content": null, "finishReason": "STOP"}],
            "usageMetadata": {"trafficType": "ON_DEMAND"}}),
    );
    let (pieces, ending) = decode(&body);
    assert_eq!(pieces, [Piece::Text("a".to_owned())]);
    assert_eq!(ending.expect("a good answer").usage, None);
}

#[test]
fn usage_is_cumulative_and_counts_thoughts_and_what_tools_put_in() {
    let usage = |usage: Value| json!({"usageMetadata": usage});
    let chunks = [
        usage(json!({"promptTokenCount": 9, "totalTokenCount": 9})),
        said(json!([{"text": "x"}])),
        usage(json!({"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 30})),
        usage(json!({"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": "30",
            "toolUsePromptTokenCount": 4, "cachedContentTokenCount": 8, "totalTokenCount": 48})),
        usage(json!({"trafficType": "ON_DEMAND"})),
        finish("STOP"),
    ];
    let expected = Usage { input: 13, output: 35, cached: 8, cache_write: 0, reasoning: 30 };
    assert_eq!(stream(&chunks).1.expect("a good answer").usage, Some(expected));
}

proptest! {
    #[test]
    fn any_bytes_are_taken(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        for dialect in [GEMINI, Dialect::Vertex] {
            let mut decoder = Decoder::new(dialect, true);
            let mut pieces = Vec::new();
            if chunks.iter().all(|chunk| decoder.push(chunk, &mut pieces).is_ok()) {
                let _ = decoder.finish();
            }
        }
    }

    #[test]
    fn any_json_in_the_place_of_any_field_is_taken(
        field in prop::sample::select(&[
            "/responseId", "/modelVersion", "/candidates", "/candidates/0", "/candidates/0/index",
            "/candidates/0/content",
            "/candidates/0/content/parts", "/candidates/0/content/parts/0", "/candidates/0/content/parts/0/text",
            "/candidates/0/content/parts/0/thought", "/candidates/0/content/parts/0/thoughtSignature",
            "/candidates/0/content/parts/1/functionCall", "/candidates/0/content/parts/1/functionCall/name",
            "/candidates/0/content/parts/1/functionCall/args", "/candidates/0/finishReason", "/promptFeedback",
            "/promptFeedback/blockReason", "/usageMetadata", "/usageMetadata/promptTokenCount", "/error",
        ][..]),
        value in prop::sample::select(&[
            "null", "true", "-1", "1e99", "18446744073709551616", "\"\"", "\"x\"", "\"12\"", "[]", "{}", "[[]]", "[{}]",
            "{\"message\":\"m\",\"code\":\"c\"}",
        ][..]),
    ) {
        let mut chunk = json!({
            "responseId": "i", "modelVersion": "m", "error": null, "promptFeedback": {"blockReason": ""},
            "usageMetadata": {"promptTokenCount": 1},
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"parts": [
                {"text": "a", "thought": false, "thoughtSignature": "s"}, {"functionCall": {"name": "f", "args": {}}},
            ]}}],
        });
        *chunk.pointer_mut(field).expect("a field") = serde_json::from_str(value).expect("JSON");
        let (_, result) = stream(&[chunk, finish("STOP")]);
        // Odd kinds of what names and counts cost nothing.
        let counts = ["responseId", "modelVersion", "text", "thought", "thoughtSignature", "usageMetadata",
            "promptTokenCount", "blockReason"];
        if counts.iter().any(|name| field.ends_with(name)) {
            prop_assert!(result.is_ok(), "{} {} {:?}", field, value, result);
        }
    }

    #[test]
    fn any_arguments_and_results_make_a_body_that_is_json(arguments in ".{0,20}", content in ".{0,20}",
        is_error: bool) {
        let made = ToolCall { arguments: arguments.into(), ..call("1", "f") };
        let answer = Message::Tool(tool_result(&made, &content, is_error));
        for model in [MODEL, "gemini-3.6-flash"] {
            let request = hi().message(calls(std::slice::from_ref(&made))).message(answer.clone());
            if let Ok(encoded) = encode(GEMINI, &request, model.into(), true) {
                let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
                prop_assert!(body["contents"][2]["parts"][0]["functionResponse"]["response"].is_object());
            }
        }
    }
}

#[test]
fn the_empty_call_behind_arguments_that_came_in_pieces_is_no_call() {
    let call = |call: Value| said(json!([{"functionCall": call}]));
    let pieces = [
        call(json!({"name": "f", "willContinue": true})),
        call(json!({"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}], "willContinue": true})),
        call(json!({})),
        finish("STOP"),
    ];
    let body = pieces.iter().fold(String::new(), |body, chunk| body + "data: " + &chunk.to_string() + "\n\n");
    let how = crate::wire::Verbatim { stream: true, ..crate::wire::Verbatim::default() };
    let mut decoder = Decoder::new(Dialect::Vertex, true).verbatim(Some(how));
    decoder.push(body.as_bytes(), &mut Vec::new()).expect("no failure");
    let ending = decoder.finish().expect("a good answer");
    assert_eq!(ending.verbatim.expect("all of it"), body);
    // Beside other calls it says nothing.
    let (_, ending) = stream(&[call(json!({"name": "f", "args": {}})), call(json!({})), finish("STOP")]);
    assert_eq!(ending.expect("a good answer").tool_calls().count(), 1);
}

#[test]
fn a_call_whose_arguments_come_value_by_value_has_its_whole_input() {
    let call = |call: Value| said(json!([{"functionCall": call}]));
    let text = |path: &str, text: &str| json!({"jsonPath": path, "stringValue": text});
    let begins = json!({"name": "f", "id": "x", "willContinue": true});
    let first = json!({"partialArgs": [text("$.q", "A")], "willContinue": true});
    let rest = json!([text("$.q", "B"), {"jsonPath": "$.n", "numberValue": 2}]);
    let input = json!({"q": "AB", "n": 2});
    for (calls, expected) in [
        (vec![begins.clone(), first.clone(), json!({"partialArgs": rest})], vec![input.clone()]),
        (
            vec![begins.clone(), first.clone(), json!({"partialArgs": rest, "willContinue": true}), json!({})],
            vec![input],
        ),
        (
            vec![
                json!({"name": "f", "id": "x", "partialArgs": [text("$.q", "A")]}),
                json!({"name": "g", "args": {"a": 1}}),
            ],
            vec![json!({"q": "A"}), json!({"a": 1})],
        ),
        (
            vec![json!({"name": "f", "args": {"a": 1}, "willContinue": true}), first.clone(), json!({})],
            vec![json!({"a": 1, "q": "A"})],
        ),
        (vec![begins.clone(), json!({})], vec![json!({})]),
    ] {
        let chunks: Vec<_> = calls.into_iter().map(call).chain([finish("STOP")]).collect();
        let ending = stream(&chunks).1.expect("a good answer");
        let inputs = ending.tool_calls().map(|call| serde_json::from_str::<Value>(&call.arguments).expect("JSON"));
        assert_eq!(inputs.collect::<Vec<_>>(), expected);
        assert_eq!(ending.tool_calls().next().expect("a call").name, "f");
    }
    // One that broke off is none, and one that the limit cut is left out.
    let open = [call(begins.clone()), call(first.clone())];
    assert_eq!(failed(&[open[0].clone(), open[1].clone(), finish("STOP")]), FailureClass::Unusable);
    let cut = stream(&[said(json!([{"text": "x"}])), open[0].clone(), open[1].clone(), finish("MAX_TOKENS")]);
    let cut = cut.1.expect("a good answer");
    assert_eq!((cut.tool_calls().count(), cut.cut), (0, true));
    let odd = json!({"partialArgs": [{"jsonPath": "$..q", "stringValue": "A"}, {"jsonPath": "$..", "x": 1}, {"y": 1}]});
    assert_eq!(failed(&[call(begins), call(odd), finish("STOP")]), FailureClass::Unusable);
}

#[test]
fn sources_are_told_wherever_an_answer_names_them() {
    for (field, value) in [
        ("citationMetadata", json!({"citationSources": [{"startIndex": 0, "endIndex": 1, "uri": "https://x.test"}]})),
        ("citationMetadata", json!({"citations": [{"startIndex": 0, "endIndex": 1, "uri": "https://x.test"}]})),
        ("urlContextMetadata", json!({"urlMetadata": [{"retrievedUrl": "https://x.test"}]})),
        ("groundingMetadata", json!({"groundingChunks": [{"web": {"uri": "https://x.test"}}]})),
    ] {
        let mut last = finish("STOP");
        last["candidates"][0][field] = value;
        let ending = stream(&[said(json!([{"text": "x"}])), last]).1.expect("a good answer");
        assert_eq!(ending.sources.iter().map(|source| &*source.url).collect::<Vec<_>>(), ["https://x.test"], "{field}");
        assert!(!ending.lost_sources);
    }
}

#[test]
fn a_call_that_is_none_in_an_answer_as_long_as_it_may_be_was_cut_by_that() {
    let mut last = finish("MALFORMED_FUNCTION_CALL");
    last["usageMetadata"] = json!({"promptTokenCount": 5, "candidatesTokenCount": 64});
    let body = format!("data: {}\n\ndata: {last}\n\n", said(json!([{"text": "x"}])));
    for (max, stop) in [(64, Some(StopReason::Length)), (65, None)] {
        for how in [None, Some(crate::wire::Verbatim { stream: true, ..crate::wire::Verbatim::default() })] {
            let passes = how.is_some();
            let mut decoder = Decoder::new(GEMINI, true).limited(Some(max)).verbatim(how);
            let ending = decoder.push(body.as_bytes(), &mut Vec::new()).and_then(|_| decoder.finish());
            let told = ending.ok().filter(|ending| ending.flaw.is_none()).map(|ending| ending.stop);
            assert_eq!(told, stop, "{max} {passes}");
        }
    }
}

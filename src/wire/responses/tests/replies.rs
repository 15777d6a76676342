//! Answers, whole and streamed.

use super::*;

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

fn decode(body: &str) -> Decoded {
    let mut decoder = Decoder::new(Dialect::OpenAiResponses, true);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

/// Decodes a stream of these events; its end is one of them, or it has none.
fn stream(events: &[Value]) -> Decoded {
    decode(&events.iter().fold(String::new(), |mut stream, event| {
        write!(stream, "event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x")).expect("a string");
        stream
    }))
}

fn text(delta: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": 0, "delta": delta, "logprobs": []})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "output": []}})
}

fn incomplete(reason: &str) -> Value {
    json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}})
}

fn calls_of((_, ending): Decoded) -> Vec<(String, String, String)> {
    let ending = ending.expect("a good answer");
    ending.tool_calls().map(|call| (call.id.clone(), call.name.clone(), call.arguments.to_string())).collect()
}

fn owned(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    calls.iter().map(|(id, name, arguments)| ((*id).into(), (*name).into(), (*arguments).into())).collect()
}

#[test]
fn an_answer_goes_back_as_it_came_but_for_its_ids() {
    let reasoning = |id| json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": "gAAA"});
    let nameless = json!({"type": "reasoning", "summary": [], "encrypted_content": "gAAA"});
    let output = |name: &str, id: &str| {
        json!({"type": "function_call", "id": format!("fc_{id}"), "status": "completed", "call_id": id,
            "name": name, "arguments": "{}"})
    };
    let whole = json!({
        "id": "resp_1", "status": "completed",
        "output": [reasoning("rs_1"), output("f", "a"), reasoning("rs_2"), output("g", "b")],
    });
    let ending = decode(&whole.to_string()).1.expect("a good answer");
    let calls: Vec<_> = ending.parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect();
    let answered = ChatRequest::new("r").message(Message::Assistant(ending.parts));
    let request = calls.iter().fold(answered, |all, call| all.message(Message::tool_result(call, "x")));
    let sent = |name: &str, id: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": "{}"});
    let input = body(&request, "gpt-5")["input"].clone();
    let expected = [nameless.clone(), sent("f", "a"), nameless, sent("g", "b")];
    assert_eq!(input.as_array().expect("items")[..4], expected);
}

#[test]
fn reads_reasoning_text_and_their_proof() {
    let item = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": []});
    let (pieces, ending) = stream(&[
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "m-1", "error": null}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1",
            "encrypted_content": "incomplete"}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "H"}),
        json!({"type": "response.reasoning_text.delta", "delta": "m"}),
        json!({"type": "response.reasoning_summary_text.done", "text": "Hm"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        text("Hel"),
        text("lo"),
        json!({"type": "response.output_text.done", "text": "Hello"}),
        json!({"type": "response.output_item.done", "item": {"type": "message", "content": [{"text": "Hello"}]}}),
        json!({"type": "response.completed", "response": {"output": [{"type": "message", "content": []}], "usage": {
            "input_tokens": 10, "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 3}}}}),
    ]);
    let issued = Piece::Proof(Proof::new(Dialect::OpenAiResponses, item.to_string()));
    assert_eq!(pieces, [Piece::Reasoning("Hm".to_owned()), issued, Piece::Text("Hello".to_owned())]);
    let ending = ending.expect("a good answer");
    let proof = Some((Dialect::OpenAiResponses, &item.to_string()[..]));
    assert_eq!(ending.parts, [thought("Hm", proof), said("Hello")]);
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::Stop, Some("m-1")));
    assert_eq!(ending.usage, Some(Usage { input: 10, output: 5, cached: 4, cache_write: 2, reasoning: 3 }));
}

#[test]
fn reasoning_that_cannot_go_back_has_no_proof() {
    let item = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": null, "content": [{"text": "Hm"}]});
    let whole = json!({"status": "completed", "output": [item, {"type": "message", "content": [{"text": "a"}]}]});
    assert_eq!(decode(&whole.to_string()).1.expect("a good answer").parts, [thought("Hm", None), said("a")]);
}

#[test]
fn gathers_parallel_calls_in_their_place() {
    let added = |index: u32, id: &str, name: &str| {
        json!({"type": "response.output_item.added", "output_index": index, "item":
            {"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": ""}})
    };
    let delta = |index: u32, delta: &str| {
        json!({"type": "response.function_call_arguments.delta", "output_index": index,
            "delta": delta})
    };
    let done = |index: u32, id: &str, name: &str, arguments: &str| {
        json!({"type": "response.output_item.done", "output_index": index, "item":
            {"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments}})
    };
    let expected = owned(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")]);
    let streamed = [
        added(0, "a", "f"),
        delta(0, "{\"x\""),
        added(1, "b", "g"),
        delta(1, "{}"),
        delta(0, ":1}"),
        json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{\"x\":1}"}),
        done(0, "a", "f", "{\"x\":1}"),
        done(1, "b", "g", "{}"),
        completed(),
    ];
    assert_eq!(calls_of(stream(&streamed)), expected);
    assert_eq!(stream(&streamed).1.expect("a good answer").stop, StopReason::ToolCalls);
    let only_whole = [done(0, "a", "f", "{\"x\":1}"), done(1, "b", "g", "{}"), completed()];
    assert_eq!(calls_of(stream(&only_whole)), expected);
    let begun_and_whole =
        [added(0, "a", "f"), added(1, "b", "g"), only_whole[0].clone(), only_whole[1].clone(), completed()];
    assert_eq!(calls_of(stream(&begun_and_whole)), expected);
    let unannounced =
        [delta(0, "{\"x\":1}"), only_whole[0].clone(), delta(1, "{}"), only_whole[1].clone(), completed()];
    assert_eq!(calls_of(stream(&unannounced)), expected);
    // The arguments of another item are no call that the caller has to make.
    let served = json!({"type": "response.output_item.done", "output_index": 2,
        "item": {"type": "mcp_call", "arguments": "{}"}});
    let beside =
        [added(0, "a", "f"), delta(0, "{\"x\":1}"), delta(2, "{}"), served, done(1, "b", "g", "{}"), completed()];
    assert_eq!(calls_of(stream(&beside)), expected);
    let mixed = [text("Let me."), added(1, "a", "f"), delta(1, "{}"), text(" So."), completed()];
    let parts = stream(&mixed).1.expect("a good answer").parts;
    let order: Vec<_> = parts.iter().map(|part| part.as_text().unwrap_or("call")).collect();
    assert_eq!(order, ["Let me.", "call", " So."]);
}

#[test]
fn calls_of_one_id_are_several_calls_and_a_repeated_one_is_one() {
    let item = |name: &str, arguments: &str| {
        json!({"type": "function_call", "id": format!("fc_{name}"), "call_id": "c",
            "name": name, "arguments": arguments})
    };
    let response = json!({"status": "completed", "output": [item("f", "{\"x\":1}"), item("g", "{}")]});
    let done =
        |index: u32, item: &Value| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let last = json!({"type": "response.completed", "response": response});
    let items = response["output"].as_array().expect("items");
    for answer in [
        decode(&response.to_string()),
        stream(std::slice::from_ref(&last)),
        stream(&[done(0, &items[0]), done(1, &items[1]), completed()]),
        stream(&[done(0, &items[0]), done(1, &items[1]), done(1, &items[1]), last.clone()]),
    ] {
        let calls = calls_of(answer);
        let said: Vec<_> = calls.iter().map(|(_, name, arguments)| (name.as_str(), arguments.as_str())).collect();
        assert_eq!(said, [("f", "{\"x\":1}"), ("g", "{}")]);
        assert!(calls[0].0 == "c" && calls[1].0.starts_with("call_"), "{calls:?}");
    }
}

#[test]
fn reads_streams_that_leave_out_fields() {
    // As llama.cpp writes them: no index, no id of the item, and every call once more at the end.
    let added = |id: &str| {
        json!({"type": "response.output_item.added", "item":
            {"arguments": "", "call_id": id, "name": "f", "type": "function_call", "status": "in_progress"}})
    };
    let delta = |id: &str, delta: &str| {
        json!({"type": "response.function_call_arguments.delta", "delta": delta,
            "item_id": id})
    };
    let done = |id: &str, arguments: &str| {
        json!({"type": "response.output_item.done", "item":
            {"arguments": arguments, "call_id": id, "name": "f", "type": "function_call", "status": "completed"}})
    };
    let events = [
        json!({"type": "response.created",
            "response": {"id": "resp_1", "object": "response", "status": "in_progress"}}),
        json!({"type": "response.output_item.added", "item": {"id": "rs_1", "summary": [], "type": "reasoning"}}),
        json!({"type": "response.reasoning_text.delta", "delta": "Hm", "item_id": "rs_1"}),
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"}),
        added("fc_1"),
        delta("fc_1", "{\"x\":"),
        delta("fc_1", "1}"),
        added("fc_2"),
        delta("fc_2", "{}"),
        done("fc_1", "{\"x\":1}"),
        done("fc_2", "{}"),
        json!({"type": "response.completed", "response": {"status": "completed", "model": "m", "output": [
            {"type": "function_call", "call_id": "fc_1", "name": "f", "arguments": "{\"x\":1}"}],
            "usage": {"input_tokens": 3, "output_tokens": 2}}}),
    ];
    let (pieces, ending) = stream(&events);
    assert_eq!(pieces, [Piece::Reasoning("Hm".to_owned()), Piece::Text("Hi".to_owned())]);
    assert_eq!(calls_of((pieces, ending)), owned(&[("fc_1", "f", "{\"x\":1}"), ("fc_2", "f", "{}")]));
}

#[test]
fn takes_from_the_last_event_parts_that_came_in_no_other() {
    let output = json!([
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "message", "content": [{"type": "output_text", "text": "Hello", "annotations": [{"x": 1}]}]},
        {"type": "function_call", "id": "fc_1", "name": "f", "arguments": {"x": 1}},
    ]);
    let response = json!({"id": "r", "model": "m", "status": "completed", "output": output});
    let streamed = stream(&[json!({"type": "response.completed", "response": response})]);
    let whole = decode(&response.to_string());
    assert_eq!(streamed, whole);
    let proof = Piece::Proof(Proof::new(Dialect::OpenAiResponses, output[0].to_string()));
    assert_eq!(whole.0, [Piece::Reasoning("Hm".to_owned()), proof, Piece::Text("Hello".to_owned())]);
    assert_eq!(calls_of(whole), owned(&[("fc_1", "f", "{\"x\":1}")]));
}

#[test]
fn knows_every_way_to_end() {
    for (end, stop) in [
        (completed(), StopReason::Stop),
        (incomplete("max_output_tokens"), StopReason::Length),
        (incomplete("content_filter"), StopReason::ContentFilter),
        (incomplete("a new one"), StopReason::Other),
        (json!({"type": "response.incomplete"}), StopReason::Other),
        (json!({"type": "response.completed"}), StopReason::Stop),
    ] {
        let (_, ending) = stream(&[text("x"), end.clone(), text("never read")]);
        let ending = ending.expect("a good answer");
        assert_eq!((ending.stop, ending.text()), (stop, "x".to_owned()), "{end}");
    }
    for (status, class) in
        [("failed", FailureClass::Server), ("cancelled", FailureClass::Cut), ("in_progress", FailureClass::Cut)]
    {
        let whole = json!({"status": status, "output": [{"type": "message", "content": [{"text": "x"}]}]});
        assert_eq!(decode(&whole.to_string()).1.expect_err(status).class, class);
    }
    assert_eq!(stream(&[completed()]).1.expect_err("empty").class, FailureClass::Empty);
    assert_eq!(stream(&[incomplete("content_filter")]).1.expect_err("filtered").class, FailureClass::ContentPolicy);
}

#[test]
fn a_stream_without_its_end_is_cut() {
    assert_eq!(stream(&[text("x")]).1.expect_err("cut").class, FailureClass::Cut);
    // The end marker of the other dialect is none.
    let events = format!("data: {}\n\ndata: [DONE]\n\n", text("x"));
    assert_eq!(decode(&events).1.expect_err("cut").class, FailureClass::Cut);
    let events = format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", text("x"), completed());
    assert!(decode(&events).1.is_ok());
    assert_eq!(decode("data: {\"type\":\"response.output_te\n\n").1.expect_err("cut").class, FailureClass::Cut);
}

#[test]
fn a_refusal_is_text_with_a_reason_of_its_own() {
    let refusal = |delta: &str| json!({"type": "response.refusal.delta", "delta": delta});
    let (pieces, ending) = stream(&[refusal("I'm "), refusal("out"), completed()]);
    assert_eq!(pieces, [Piece::Refusal, Piece::Text("I'm out".to_owned())]);
    assert_eq!(ending.expect("a good answer").stop, StopReason::Refusal);
    let part = json!({"type": "refusal", "refusal": "I'm out"});
    let whole = json!({"status": "completed", "output": [{"type": "message", "content": [part]}]});
    assert_eq!(decode(&whole.to_string()).1.expect("a good answer").stop, StopReason::Refusal);
}

#[test]
fn finds_errors_inside_of_answers() {
    let failed = |code: &str, message: &str| {
        json!({"type": "response.failed",
            "response": {"status": "failed", "error": {"code": code, "message": message}}})
    };
    let too_large = "Request too large for gpt-4o on tokens per min (TPM): Limit 1, Requested 30.";
    for (event, class) in [
        (failed("rate_limit_exceeded", too_large), FailureClass::RequestExceedsLimit),
        (failed("rate_limit_exceeded", "Rate limit reached. Please try again in 2s."), FailureClass::RateLimited),
        (failed("server_error", "An error occurred."), FailureClass::Server),
        (failed("server_is_overloaded", "x"), FailureClass::Overloaded),
        (
            failed("invalid_prompt", "Your prompt was flagged as violating our usage policy"),
            FailureClass::ContentPolicy,
        ),
        (failed("image_content_policy_violation", "x"), FailureClass::ContentPolicy),
        (failed("image_parse_error", "x"), FailureClass::BadRequest),
        (failed("failed_to_download_image", "x"), FailureClass::Unsupported),
        (failed("data_residency_mismatch", "x"), FailureClass::Forbidden),
        (failed("vector_store_timeout", "x"), FailureClass::Server),
        (failed("context_length_exceeded", "x"), FailureClass::ContextTooLong),
        (json!({"type": "response.failed"}), FailureClass::Server),
        (
            json!({"type": "error", "code": "rate_limit_exceeded", "message": too_large}),
            FailureClass::RequestExceedsLimit,
        ),
        (json!({"type": "error", "error": {"code": "insufficient_quota", "message": "x"}}), FailureClass::OutOfMoney),
        (json!({"error": {"message": "x", "code": 503}}), FailureClass::Overloaded),
        (json!({"type": "response.error", "error": {"message": "x", "code": 429}}), FailureClass::RateLimited),
    ] {
        let (pieces, ending) = stream(&[text("x"), event.clone(), completed()]);
        assert_eq!(ending.expect_err("a failure").class, class, "{event}");
        assert_eq!(pieces, [Piece::Text("x".to_owned())], "what came before is kept");
    }
    for (whole, class) in [
        (json!({"error": {"message": "x", "code": 429}}), FailureClass::RateLimited),
        (json!({"status": "failed", "error": {"code": "server_error", "message": "x"}}), FailureClass::Server),
        (json!({"detail": "Invalid API Key"}), FailureClass::Unauthorised),
        (json!([{"error": {"code": 503, "message": "x"}}]), FailureClass::Overloaded),
        (json!({"x": 1}), FailureClass::Empty),
    ] {
        assert_eq!(decode(&whole.to_string()).1.expect_err("a failure").class, class, "{whole}");
    }
}

#[test]
fn passes_over_what_it_does_not_know() {
    let events = [
        json!({"type": "response.queued", "response": {"status": "queued"}, "error": null}),
        json!({"type": "response.web_search_call.searching", "item_id": "ws_1"}),
        json!({"type": "response.audio.delta", "delta": "AAAA"}),
        json!({"type": "response.image_generation_call.partial_image", "partial_image_b64": "AAAA"}),
        json!({"type": "response.custom_tool_call_input.delta", "delta": "x"}),
        json!({"type": "response.mcp_call_arguments.delta", "delta": {"x": 1}}),
        json!({"type": "response.output_item.done", "item": {"type": "computer_call", "action": {}}}),
        json!({"type": "response.output_item.done", "item": 7}),
        json!({"type": "response.created", "response": []}),
        json!({"type": 7}),
        json!({}),
        text("x"),
        completed(),
    ];
    let (pieces, ending) = stream(&events);
    assert!(ending.is_ok(), "{ending:?}");
    assert_eq!(pieces, [Piece::Text("x".to_owned())]);
    let ping = format!(": keepalive\n\nevent: ping\ndata: pong\n\ndata:\n\ndata: {}\n\n", text("x"));
    assert_eq!(decode(&ping).0, [Piece::Text("x".to_owned())]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, kind in "[a-z_.]{0,40}", delta in ".{0,20}") {
        let events = [
            bytes,
            json!({"type": kind, "delta": delta, "item": {"type": delta},
                "response": {"output": [delta]}}).to_string().into(),
            format!(
                "data: {{\"type\":\"response.{kind}\",\"item\":{{\"type\":\"function_call\",\"arguments\":{delta:?}}}}}\n\n")
                .into(),
        ];
        for bytes in events {
            let mut decoder = Decoder::new(Dialect::OpenAiResponses, true);
            let mut pieces = Vec::new();
            if decoder.push(b"data: ", &mut pieces).and_then(|_| decoder.push(&bytes, &mut pieces)).is_ok() {
                let _ = decoder.finish();
            }
        }
    }
}

#[test]
fn the_end_of_a_part_adds_what_its_pieces_did_not_say() {
    let item = |arguments: &str| {
        json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f",
            "arguments": arguments})
    };
    let about = |kind: &str, item: Value| {
        json!({"type": format!("response.output_item.{kind}"), "output_index": 0,
            "item": item})
    };
    let done = json!({"type": "response.function_call_arguments.done", "item_id": "fc", "output_index": 0,
        "arguments": "{\"q\":1}"});
    let named = json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{\"q\":1}",
        "name": "f", "call_id": "c"});
    let piece =
        |delta: &str| json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": delta});
    let end =
        |output: Value| json!({"type": "response.completed", "response": {"status": "completed", "output": output}});
    for events in [
        vec![about("added", item("")), done.clone(), completed()],
        vec![about("added", item("")), done.clone(), about("done", item("")), completed()],
        vec![about("added", item("{}")), done.clone(), completed()],
        vec![about("added", item("")), piece("{\"q\""), done.clone(), completed()],
        vec![about("added", item("")), piece("{\"q\":1}"), done, about("done", item("{\"q\":1}")), completed()],
        vec![named, completed()],
        vec![about("added", item("")), about("done", item("{\"q\":1}")), completed()],
        vec![about("added", item("")), end(json!([item("{\"q\":1}")]))],
        vec![
            text("a"),
            end(json!([{"type": "message", "content": [{"type": "output_text", "text": "a"}]}, item("{\"q\":1}")])),
        ],
    ] {
        assert_eq!(calls_of(stream(&events)), owned(&[("c", "f", "{\"q\":1}")]), "{events:?}");
    }
    let part = json!({"type": "output_text", "text": "hello"});
    let ends = [
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "hello"}),
        json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": part}),
        about("done", json!({"type": "message", "content": [part]})),
    ];
    let last = end(json!([{"type": "message", "content": [part]}]));
    for begun in ["", "hel", "hello"] {
        for (at, one) in ends.iter().enumerate() {
            for ends in [
                vec![one.clone(), completed()],
                vec![one.clone(), last.clone()],
                [&ends[at..], std::slice::from_ref(&last)].concat(),
            ] {
                let events = [vec![text(begun)], ends].concat();
                let (pieces, ending) = stream(&events);
                assert_eq!(pieces.iter().filter(|piece| matches!(piece, Piece::Text(_))).count(), 1, "{events:?}");
                assert_eq!(ending.expect("an answer").text(), "hello", "{events:?}");
            }
        }
        assert_eq!(stream(&[text(begun), last.clone()]).1.expect("an answer").text(), "hello", "{begun}");
    }
    let thought = |events: &[Value]| stream(events).1.expect("an answer").parts[0].clone();
    let summary = json!({"type": "response.reasoning_summary_text.delta", "delta": "so"});
    let whole = json!({"type": "response.reasoning_summary_text.done", "text": "so, hm"});
    let item = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "so, hm"}]});
    for end in [whole, about("done", item)] {
        assert_eq!(thought(&[summary.clone(), end, text("a"), completed()]), super::thought("so, hm", None));
    }
    let declined = json!({"type": "response.refusal.done", "refusal": "no"});
    let (pieces, ending) = stream(&[json!({"type": "response.refusal.delta", "delta": "n"}), declined, completed()]);
    assert_eq!(pieces, [Piece::Refusal, Piece::Text("no".to_owned())]);
    assert_eq!(ending.expect("an answer").stop, StopReason::Refusal);
}

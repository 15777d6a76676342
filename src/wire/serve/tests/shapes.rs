//! Written answers, compared with shapes written by hand from the vendors' specifications.

use super::*;

/// An answer with something of everything.
fn answer() -> Finished {
    let own = |dialect| Some(proof(dialect, "AbC="));
    let parts = vec![
        thought("Hm", own(Dialect::AnthropicMessages)),
        text("It rains."),
        call("c1", "f", "{\"a\":1}", own(Dialect::Gemini)),
    ];
    finished(parts, StopReason::ToolCalls)
}

#[test]
fn a_chat_is_streamed_in_chunks_and_ends_with_usage_and_done() {
    let chunk = |delta: Value| {
        json!({
            "id": "chatcmpl-0000000000000007", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}], "usage": null,
        })
    };
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0},
    });
    let mut end = chunk(json!({}));
    end["choices"][0]["finish_reason"] = "tool_calls".into();
    let mut last = chunk(json!({}));
    (last["choices"], last["usage"]) = (json!([]), usage);
    let sealed = |kind: &str, dialect: &str| format!("standin:{kind}:{dialect}:AbC=");
    assert_eq!(
        data(&streamed(&form(CallerDialect::OpenAiChat), &answer())),
        [
            chunk(json!({"role": "assistant", "content": "", "refusal": null})),
            chunk(json!({"reasoning_content": "Hm"})),
            chunk(json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Hm",
                    "signature": sealed("thought", "anthropic")}]})),
            chunk(json!({"content": "It "})),
            chunk(json!({"content": "rai"})),
            chunk(json!({"content": "ns."})),
            chunk(json!({"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "id": "c1",
                    "data": sealed("call", "gemini")}]})),
            chunk(json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                    "function": {"name": "f", "arguments": "{\"a\":1}"}}]})),
            end,
            last,
            json!("[DONE]"),
        ]
    );
    let plain = asked(
        CallerDialect::OpenAiChat,
        &json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}),
    );
    assert!(!streamed(&plain.form, &answer()).contains("usage"), "only who asks is told");
}

#[test]
fn a_whole_chat_has_every_field() {
    let refusal = Finished { refuses: true, ..finished(vec![text("No.")], StopReason::Refusal) };
    let body = whole(&form(CallerDialect::OpenAiChat), &refusal);
    assert_eq!(
        body["choices"],
        json!([{"index": 0, "logprobs": null, "finish_reason": "stop",
        "message": {"role": "assistant", "content": null, "refusal": "No.", "annotations": []}}])
    );
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("m-1")));
    let body = whole(&form(CallerDialect::OpenAiChat), &answer());
    let message = &body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("It rains."), &json!("Hm")));
    assert_eq!(
        message["tool_calls"],
        json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}])
    );
}

#[test]
fn a_caller_of_functions_gets_function_calls() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "f"}],
        "function_call": {"name": "f"}});
    let form = asked(CallerDialect::OpenAiChat, &body).form;
    let body = whole(&form, &answer());
    assert_eq!(body["choices"][0]["message"]["function_call"], json!({"name": "f", "arguments": "{\"a\":1}"}));
    assert_eq!(
        (&body["choices"][0]["finish_reason"], body["choices"][0]["message"].get("tool_calls")),
        (&json!("function_call"), None)
    );
    assert!(streamed(&form, &answer()).contains("\"delta\":{\"function_call\":{"));
}

#[test]
fn a_message_is_streamed_block_by_block() {
    let usage = |input: u64, write: u64, read: u64, output: u64| {
        json!({
            "input_tokens": input, "cache_creation_input_tokens": write, "cache_read_input_tokens": read,
            "output_tokens": output,
        })
    };
    let mut total = usage(60, 10, 30, 20);
    total["output_tokens_details"] = json!({"thinking_tokens": 5});
    let start =
        |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    assert_eq!(
        data(&streamed(&form(CallerDialect::Anthropic), &answer())),
        [
            json!({"type": "message_start",
                "message": {"id": "msg_0000000000000007", "type": "message", "role": "assistant",
                "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(0, 0, 0, 0)}}),
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "Hm"})),
            delta(0, json!({"type": "signature_delta", "signature": "AbC="})),
            stop(0),
            start(1, json!({"type": "text", "text": ""})),
            delta(1, json!({"type": "text_delta", "text": "It "})),
            delta(1, json!({"type": "text_delta", "text": "rai"})),
            delta(1, json!({"type": "text_delta", "text": "ns."})),
            stop(1),
            start(2, json!({"type": "redacted_thinking", "data": "standin:call:gemini:AbC="})),
            stop(2),
            start(3, json!({"type": "tool_use", "id": "c1", "name": "f", "input": {}})),
            delta(3, json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"})),
            stop(3),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
                "usage": total}),
            json!({"type": "message_stop"}),
        ]
    );
}

#[test]
fn a_caller_that_did_not_ask_for_thoughts_gets_only_those_that_a_call_needs() {
    let body = json!({"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let form = asked(CallerDialect::Anthropic, &body).form;
    let own = || Some(proof(Dialect::AnthropicMessages, "s1"));
    let kinds = |answer: &Finished| {
        let whole: Vec<Value> = whole(&form, answer)["content"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|block| block["type"].clone())
            .collect();
        let streamed: Vec<Value> = data(&streamed(&form, answer))
            .iter()
            .filter(|event| event["type"] == "content_block_start")
            .map(|event| event["content_block"]["type"].clone())
            .collect();
        assert_eq!(whole, streamed);
        whole
    };
    assert_eq!(kinds(&finished(vec![thought("Hm", own()), text("Yes.")], StopReason::Stop)), ["text"]);
    let calls = vec![thought("Hm", own()), call("c", "f", "{}", None)];
    assert_eq!(kinds(&finished(calls, StopReason::ToolCalls)), ["thinking", "tool_use"]);
    let unproved = vec![thought("Hm", None), call("c", "f", "{}", None)];
    assert_eq!(kinds(&finished(unproved, StopReason::ToolCalls)), ["tool_use"]);
}

#[test]
fn a_response_is_streamed_item_by_item_and_its_events_are_numbered() {
    let events = data(&streamed(&form(CallerDialect::OpenAiResponses), &answer()));
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"].as_u64(), Some(number as u64), "{event}");
    }
    let told: Vec<(&str, Option<u64>)> =
        events.iter().map(|event| (event["type"].as_str().expect("a type"), event["output_index"].as_u64())).collect();
    assert_eq!(
        told,
        [
            ("response.created", None),
            ("response.in_progress", None),
            ("response.output_item.added", Some(0)),
            ("response.reasoning_summary_part.added", Some(0)),
            ("response.reasoning_summary_text.delta", Some(0)),
            ("response.reasoning_summary_text.done", Some(0)),
            ("response.reasoning_summary_part.done", Some(0)),
            ("response.output_item.done", Some(0)),
            ("response.output_item.added", Some(1)),
            ("response.content_part.added", Some(1)),
            ("response.output_text.delta", Some(1)),
            ("response.output_text.delta", Some(1)),
            ("response.output_text.delta", Some(1)),
            ("response.output_text.done", Some(1)),
            ("response.content_part.done", Some(1)),
            ("response.output_item.done", Some(1)),
            ("response.output_item.added", Some(2)),
            ("response.output_item.done", Some(2)),
            ("response.output_item.added", Some(3)),
            ("response.function_call_arguments.delta", Some(3)),
            ("response.function_call_arguments.done", Some(3)),
            ("response.output_item.done", Some(3)),
            ("response.completed", None),
        ]
    );
    // Every event of an item names the item that was added there, and what is done is what was told.
    let ids: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.added")
        .map(|event| &event["item"]["id"])
        .collect();
    for event in events.iter().filter(|event| event.get("item_id").is_some()) {
        let at = usize::try_from(event["output_index"].as_u64().expect("an index")).expect("small");
        assert_eq!(event["item_id"], *ids[at], "{event}");
    }
    assert_eq!(
        events[10],
        json!({"type": "response.output_text.delta", "sequence_number": 10, "item_id": ids[1], "output_index": 1,
        "content_index": 0, "delta": "It ", "logprobs": []})
    );
    let done: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["item"])
        .collect();
    let last = &events.last().expect("an end")["response"];
    assert_eq!(last["output"].as_array().expect("items").iter().collect::<Vec<_>>(), done);
    assert_eq!(
        *done[1],
        json!({"type": "message", "id": ids[1], "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": "It rains.", "annotations": [], "logprobs": []}]})
    );
    assert_eq!(
        *done[3],
        json!({"type": "function_call", "id": ids[3], "status": "completed", "call_id": "c1", "name": "f",
            "arguments": "{\"a\":1}"})
    );
    assert_eq!(
        last["usage"],
        json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10},
        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 120})
    );
    for field in [
        "created_at",
        "error",
        "id",
        "incomplete_details",
        "instructions",
        "metadata",
        "model",
        "object",
        "output",
        "parallel_tool_calls",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
        "status",
        "text",
        "truncation",
        "store",
        "previous_response_id",
        "reasoning",
    ] {
        assert!(last.get(field).is_some() && events[0]["response"].get(field).is_some(), "{field}");
    }
    assert_eq!(events[0]["response"].get("usage"), None, "it must be an object, where there is one");
    assert_eq!((&last["status"], &events[0]["response"]["status"]), (&json!("completed"), &json!("in_progress")));
}

#[test]
fn a_response_that_met_its_limit_is_incomplete() {
    let answer = finished(vec![text("It r")], StopReason::Length);
    let body = whole(&form(CallerDialect::OpenAiResponses), &answer);
    assert_eq!(
        (&body["status"], &body["incomplete_details"]),
        (&json!("incomplete"), &json!({"reason": "max_output_tokens"}))
    );
    let events = data(&streamed(&form(CallerDialect::OpenAiResponses), &answer));
    assert_eq!(events.last().expect("an end")["type"], "response.incomplete");
    let declined = Finished { refuses: true, ..finished(vec![text("No.")], StopReason::Refusal) };
    let declined = whole(&form(CallerDialect::OpenAiResponses), &declined);
    assert_eq!(declined["output"][0]["content"], json!([{"type": "refusal", "refusal": "No."}]));
}

#[test]
fn contents_are_streamed_part_by_part_and_end_with_a_reason() {
    let sealed = crate::wire::serve::seal::to_digits("standin:thought:anthropic:AbC=");
    let chunk = |part: Value| {
        json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}],
        "modelVersion": "m", "responseId": "0000000000000007"})
    };
    let mut end = chunk(json!({"text": ""}));
    end["candidates"][0]["finishReason"] = "STOP".into();
    end["usageMetadata"] = json!({"promptTokenCount": 100, "candidatesTokenCount": 15, "totalTokenCount": 120,
        "cachedContentTokenCount": 30, "thoughtsTokenCount": 5});
    assert_eq!(
        data(&streamed(&form(CallerDialect::Gemini), &answer())),
        [
            chunk(json!({"text": "Hm", "thought": true})),
            chunk(json!({"text": "", "thought": true, "thoughtSignature": sealed})),
            chunk(json!({"text": "It "})),
            chunk(json!({"text": "rai"})),
            chunk(json!({"text": "ns."})),
            chunk(json!({"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "AbC="})),
            end,
        ]
    );
}

#[test]
fn what_was_said_before_a_model_declined_is_told_whole_as_it_is_in_a_stream() {
    let answer = finished(vec![text("Step one is")], StopReason::Refusal);
    let chat = &whole(&form(CallerDialect::OpenAiChat), &answer)["choices"][0];
    let said = (&chat["finish_reason"], &chat["message"]["content"], &chat["message"]["refusal"]);
    assert_eq!(said, (&json!("content_filter"), &json!("Step one is"), &Value::Null));
    let response = whole(&form(CallerDialect::OpenAiResponses), &answer);
    assert_eq!(
        (&response["status"], &response["incomplete_details"], &response["output"][0]["content"][0]["text"]),
        (&json!("incomplete"), &json!({"reason": "content_filter"}), &json!("Step one is"))
    );
}

#[test]
fn a_refusal_is_told_as_one_between_openais_dialects_in_streams_too() {
    let answer = finished(vec![text("I cannot.")], StopReason::Refusal);
    for caller_dialect in [CallerDialect::OpenAiChat, CallerDialect::OpenAiResponses] {
        let mut writer = Writer::new(Form::new(caller_dialect, "m".to_owned()), 7, 1_700_000_000);
        let mut out = Vec::new();
        for event in [
            ReplyEvent::Refusal,
            ReplyEvent::Text("I can".to_owned()),
            ReplyEvent::Text("not.".to_owned()),
            ReplyEvent::Finished(Box::new(answer.clone())),
        ] {
            writer.event(&event, &mut out);
        }
        let events = data(&String::from_utf8(out).expect("text"));
        let said = |path: &str| -> String { events.iter().filter_map(|event| event.pointer(path)?.as_str()).collect() };
        if caller_dialect == CallerDialect::OpenAiChat {
            assert_eq!(
                (said("/choices/0/delta/refusal"), said("/choices/0/delta/content")),
                ("I cannot.".into(), String::new())
            );
            assert_eq!(said("/choices/0/finish_reason"), "stop");
        } else {
            let deltas = events.iter().filter(|event| event["type"] == "response.refusal.delta");
            assert_eq!(deltas.filter_map(|event| event["delta"].as_str()).collect::<String>(), "I cannot.");
            let last = &events.last().expect("an end")["response"];
            assert_eq!(
                (&last["status"], &last["output"][0]["content"][0]["type"]),
                (&json!("completed"), &json!("refusal"))
            );
        }
    }
}

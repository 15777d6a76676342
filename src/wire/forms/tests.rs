use serde_json::{Value, json};

use super::*;

const DIALECTS: [Dialect; 4] =
    [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages, Dialect::Gemini];

/// Returns a whole answer with all that a client may find in one, fields that nobody knows included.
fn rich(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAiResponses => json!({
            "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
             "new": {"x": [1.50]},
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm \u{1f600}"}],
                 "encrypted_content": "e"},
                {"type": "custom_tool_call", "id": "ct", "call_id": "c9", "name": "patch", "namespace": "n",
                 "input": "*** \"x\""},
                {"type": "mcp_call", "id": "mcp", "server_label": "s", "name": "n", "arguments": "{}", "output": "o"},
                {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "namespace": "ns",
                 "arguments": "{\"a\":1}",
                 "status": "completed"},
                {"type": "item_of_tomorrow", "q": {"w": null}},
                {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "phase": "final",
                 "content": [
                    {"type": "output_text", "text": "é\n", "annotations": [{"type": "file_citation", "file_id": "f"}]},
                    {"type": "refusal", "refusal": "no"}]}],
            "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "extra": 1}
        }),
        Dialect::AnthropicMessages => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "container": {"id": "c"}, "new": [1],
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "abc"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"},
                 "caller": {"type": "direct"}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u",
                 "encrypted_content": "e"}]},
                {"type": "block_of_tomorrow", "zap": {"text": "t"}},
                {"type": "text", "text": "é\n\"", "citations": [{"type": "char_location", "cited_text": "x"}]},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, {}], "b": 1.0}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
        }),
        Dialect::Gemini => json!({
            "candidates": [{
                "content": {"role": "model", "parts": [
                    {"text": "think", "thought": true}, {"text": "é"}, {"executableCode": {"code": "1"}},
                    {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                     {"partOfTomorrow": 1}]},
                "finishReason": "STOP", "index": 0, "groundingMetadata": {"webSearchQueries": ["q"]},
                 "avgLogprobs": -0.25}],
            "usageMetadata": {"promptTokenCount": 5}, "modelVersion": "m", "responseId": "r", "new": {"x": 1}
        }),
        _ => json!({
            "id": "chat_1", "object": "chat.completion", "created": 1, "model": "m", "x_new": {"a": [1]},
            "choices": [
                {"index": 0, "finish_reason": "tool_calls", "native_finish_reason": "STOP",
                 "logprobs": {"content": [{"token": "é", "logprob": -0.5}]},
                 "message": {"role": "assistant", "content": "é\n\"", "reasoning_content": "hm", "new": 1,
                  "audio": null,
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": "xx", "index": 0}],
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"},
                         "extra_content": {"g": 1}},
                        {"id": "c2", "type": "custom", "custom": {"name": "p", "input": "x"}}]}},
                {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "two"}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": 0.125}
        }),
    }
}

fn read(whole: &[u8]) -> Value {
    serde_json::from_slice(whole).unwrap_or_else(|problem| panic!("{problem}: {}", String::from_utf8_lossy(whole)))
}

#[test]
fn a_whole_answer_becomes_a_stream_and_that_the_same_answer_with_all_that_nobody_knows() {
    for dialect in DIALECTS {
        let whole = rich(dialect);
        for body in [whole.to_string(), serde_json::to_string_pretty(&whole).expect("JSON")] {
            let events = events_of(dialect, body.as_bytes(), true);
            assert_eq!(read(&whole_of(dialect, &events)), whole, "{dialect:?}: {}", String::from_utf8_lossy(&events));
        }
    }
}

/// Returns events as a provider streams them.
fn streamed(dialect: Dialect, events: &[Value]) -> Vec<u8> {
    let named = matches!(dialect, Dialect::AnthropicMessages | Dialect::OpenAiResponses);
    let event = |event: &Value| match &event["type"] {
        Value::String(name) if named => format!("event: {name}\ndata: {event}\n\n"),
        _ => format!("data: {event}\n\n"),
    };
    events.iter().map(event).collect::<String>().into_bytes()
}

#[test]
fn what_a_stream_says_in_pieces_is_put_together_as_clients_do() {
    let chunk = |delta: Value, end: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "choices": [
        {"index": 0, "delta": delta, "finish_reason": end}]})
    };
    let chat = [
        chunk(json!({"role": "assistant", "content": ""}), json!(null)),
        chunk(
            json!({"reasoning": "h", "reasoning_details": [{"type": "reasoning.text", "text": "h", "index": 0}]}),
            json!(null),
        ),
        chunk(
            json!({"reasoning": "m", "reasoning_details": [{"type": "reasoning.text", "text": "m", "index": 0},
            {"type": "reasoning.encrypted", "data": "e", "index": 0}]}),
            json!(null),
        ),
        chunk(json!({"content": "a", "annotations": [{"url": "u"}]}), json!(null)),
        chunk(json!({"content": "b", "annotations": [{"url": "v"}]}), json!(null)),
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f",
             "arguments": ""}}]}),
            json!(null),
        ),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]}), json!(null)),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}), json!(null)),
        chunk(json!({}), json!("tool_calls")),
        json!({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 7}}),
    ];
    let said = json!({"role": "assistant", "content": "ab", "reasoning": "hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}, {"type": "reasoning.encrypted",
         "data": "e", "index": 0}],
        "annotations": [{"url": "u"}, {"url": "v"}],
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]});
    let whole = read(&whole_of(Dialect::OpenAiChat, &streamed(Dialect::OpenAiChat, &chat)));
    assert_eq!(
        whole,
        json!({"id": "c", "object": "chat.completion", "usage": {"total_tokens": 7}, "choices": [
        {"index": 0, "message": said, "finish_reason": "tool_calls"}]})
    );

    // A content in parts, as Mistral's models that think tell it.
    let thought = |text: &str| json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]});
    let parts =
        [thought("h"), thought("m"), json!({"content": "a"}), json!({"content": "b"})].map(|it| chunk(it, json!(null)));
    let whole = read(&whole_of(Dialect::OpenAiChat, &streamed(Dialect::OpenAiChat, &parts)));
    assert_eq!(
        whole["choices"][0]["message"]["content"],
        json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "ab"}])
    );

    let part = |parts: Value| json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]});
    let gemini = [
        part(json!([{"text": "h", "thought": true}])),
        part(json!([{"text": "m", "thought": true}, {"text": "a"}])),
        part(json!([{"text": "b"}])),
        part(json!([{"text": "", "thoughtSignature": "s"}])),
        json!({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": {"totalTokenCount": 7}}),
    ];
    let whole = read(&whole_of(Dialect::Gemini, &streamed(Dialect::Gemini, &gemini)));
    assert_eq!(
        whole["candidates"][0]["content"]["parts"],
        json!([{"text": "hm", "thought": true}, {"text": "ab"},
        {"text": "", "thoughtSignature": "s"}])
    );
    assert_eq!(
        (&whole["candidates"][0]["finishReason"], &whole["usageMetadata"]["totalTokenCount"]),
        (&json!("STOP"), &json!(7))
    );

    let item = json!({"type": "message", "id": "m", "content": [{"type": "output_text", "text": "ab"}]});
    let response = [
        json!({"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}),
        json!({"type": "response.output_text.delta", "delta": "ab"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "r", "output": []}}),
    ];
    let whole =
        |events: &[Value]| read(&whole_of(Dialect::OpenAiResponses, &streamed(Dialect::OpenAiResponses, events)));
    assert_eq!(whole(&response), json!({"id": "r", "status": "completed", "output": [item]}));
    let mut told = response.to_vec();
    told.remove(2);
    assert_eq!(whole(&told)["output"][0]["content"][0]["text"], "ab");
}

#[test]
fn an_input_that_was_cut_leaves_its_block_as_it_began_and_halves_of_characters_are_joined() {
    let dialect = Dialect::AnthropicMessages;
    let events = [
        json!({"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 5,
         "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t",
         "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta",
         "partial_json": "{\"a\": \"lo"}}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "compaction", "content": null}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "compaction_delta", "content": "short"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 9},
         "context_management": {}}),
    ];
    let whole = read(&whole_of(dialect, &streamed(dialect, &events)));
    assert_eq!(
        whole["content"],
        json!([{"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "compaction", "content": "short"}])
    );
    assert_eq!(
        (&whole["stop_reason"], &whole["usage"]),
        (&json!("max_tokens"), &json!({"input_tokens": 5, "output_tokens": 9}))
    );
    let halves = br#"data: {"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}

data: {"choices":[{"index":0,"delta":{"content":"\ude00"},"logprobs":NaN}]}

data: [DONE]

"#;
    assert_eq!(read(&whole_of(Dialect::OpenAiChat, halves))["choices"][0]["message"]["content"], "\u{1f600}");
}

#[test]
fn usage_goes_into_a_stream_only_where_it_was_asked_for() {
    let whole = rich(Dialect::OpenAiChat).to_string();
    for asked in [false, true] {
        let events = String::from_utf8(events_of(Dialect::OpenAiChat, whole.as_bytes(), asked)).expect("text");
        assert_eq!(events.contains("\"usage\""), asked);
        assert!(events.ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn whatever_came_becomes_one_of_both_forms() {
    for dialect in DIALECTS {
        for odd in [
            "",
            "{}",
            "[]",
            "null",
            "[{}, {\"candidates\": 1}]",
            "{\"choices\": [1, null, {\"delta\": 2}], \"content\": [3]}",
            "{\"output\": [4, {\"content\": [5], \"summary\": 6}], \"candidates\": [7]}",
            "{\"a\": NaN",
        ] {
            let events = events_of(dialect, odd.as_bytes(), true);
            whole_of(dialect, &events);
            let event = format!("event: message_start\ndata: {odd}\n\nevent: content_block_delta\ndata: {odd}\n\n");
            read(&whole_of(dialect, event.as_bytes()));
        }
    }
}

/// Returns the whole that a chat's events make.
fn whole_chat(events: &[Value]) -> Value {
    let events: String = events.iter().map(|event| ["data: ", &event.to_string(), "\n\n"].concat()).collect();
    serde_json::from_slice(&whole_of(Dialect::OpenAiChat, events.as_bytes())).expect("JSON")
}

#[test]
fn what_nests_without_end_is_carried_as_it_came() {
    let deep = ["{\"x\":".repeat(20_000), "1".to_owned(), "}".repeat(20_000)].concat();
    let event = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"Hi\",\"y\":{deep}}}}}]}}\n\n");
    let whole = whole_of(Dialect::OpenAiChat, event.repeat(3).as_bytes());
    let whole = String::from_utf8(whole).expect("text");
    assert!(whole.contains("\"content\":\"HiHiHi\"") && whole.matches("\"x\"").count() == 20_000);
}

#[test]
fn several_values_in_one_event_are_as_many_events() {
    let chunk = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    let events = format!("data: {}\ndata: {}\n\ndata: {}\ndata: [DONE]\n\n", chunk("a"), chunk("b"), chunk("c"));
    let whole: Value = serde_json::from_slice(&whole_of(Dialect::OpenAiChat, events.as_bytes())).expect("JSON");
    assert_eq!(whole["choices"][0]["message"]["content"], "abc");
}

#[test]
fn a_piece_that_is_called_a_message_is_a_piece_and_the_other_way_round() {
    let piece = |text: &str| json!({"choices": [{"index": 0, "message": {"content": text}}]});
    assert_eq!(whole_chat(&[piece("a"), piece("b")])["choices"][0]["message"]["content"], "ab");
    let whole = json!({"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "ab"}}]});
    assert_eq!(whole_chat(&[piece("a"), piece("b"), whole])["choices"][0]["message"]["content"], "ab");
    let whole = json!({"choices": [{"index": 0, "delta": {"content": "Hello"}}]}).to_string();
    let events = String::from_utf8(events_of(Dialect::OpenAiChat, whole.as_bytes(), false)).expect("text");
    assert!(events.contains("\"delta\":{\"content\":\"Hello\"}"), "{events}");
}

#[test]
fn calls_have_one_index_each() {
    let call = |id: &str| json!({"index": 0, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}});
    let whole = json!({"choices": [{"index": 0, "message": {"tool_calls": [call("a"), call("b")]}}]}).to_string();
    let events = String::from_utf8(events_of(Dialect::OpenAiChat, whole.as_bytes(), false)).expect("text");
    assert!(events.contains("{\"index\":1,\"f") && events.matches("\"index\":").count() == 4, "{events}");
}

#[test]
fn a_block_whose_beginning_is_not_told_begins_with_its_first_piece() {
    let delta = |text: &str| {
        let delta = json!({"type": "text_delta", "text": text});
        let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        ["event: content_block_delta\ndata: ", &event.to_string(), "\n\n"].concat()
    };
    let events = [delta("a"), delta("b")].concat();
    let whole: Value = serde_json::from_slice(&whole_of(Dialect::AnthropicMessages, events.as_bytes())).expect("JSON");
    assert_eq!(whole["content"], json!([{"type": "text", "text": "ab"}]));
}

#[test]
fn a_message_that_repeats_at_the_end_what_came_in_pieces_is_not_said_twice() {
    let piece = |delta: Value| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let mut begun = call.clone();
    begun["index"] = 0.into();
    let spoken = [piece(json!({"role": "assistant", "content": "one "})), piece(json!({"content": "two"}))];
    let called = [piece(json!({"role": "assistant", "tool_calls": [begun]}))];
    let text = json!({"role": "assistant", "content": "one two", "note": 1});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    for (pieces, whole) in [(&spoken[..], &text), (&called[..], &calls)] {
        for delta in [None, Some(json!({})), Some(Value::Null)] {
            let mut end = json!({"object": "chat.completion.chunk", "choices": [
                {"index": 0, "message": whole, "finish_reason": "stop"}]});
            if let Some(delta) = delta {
                end["choices"][0]["delta"] = delta;
            }
            let events: Vec<_> = pieces.iter().cloned().chain([end]).collect();
            assert_eq!(whole_chat(&events)["choices"][0]["message"], *whole, "{events:?}");
        }
    }
    let other = json!({"object": "chat.completion.chunk", "choices": [
        {"index": 0, "delta": {"content": "!"}, "message": {"content": "else"}, "finish_reason": "stop"}]});
    let events: Vec<_> = spoken.into_iter().chain([other]).collect();
    assert_eq!(whole_chat(&events)["choices"][0]["message"]["content"], "one two!");
}

#[test]
fn items_of_a_response_that_its_end_does_not_list_are_in_the_whole_and_none_is_there_twice() {
    let thought = json!({"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "e"});
    let call = json!({"type": "function_call", "id": "f1", "call_id": "c1", "name": "f", "arguments": "{}"});
    let search = json!({"type": "web_search_call", "id": "w1", "status": "completed"});
    let message = json!({"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "ab", "annotations": []}]});
    let renamed = |item: &Value| {
        let mut item = item.clone();
        item["id"] = "other".into();
        item
    };
    let all = [&thought, &search, &message, &call].map(Clone::clone);
    let kinds = |listed: &[Value], done: &[(usize, &Value)]| -> Vec<(String, String)> {
        let text = json!({"type": "response.output_text.delta", "delta": "ab", "output_index": 2});
        let done = done.iter().map(|(at, item)| {
            json!({"type": "response.output_item.done", "output_index": at,
            "item": item})
        });
        let end = json!({"type": "response.completed", "response": {"id": "x", "output": listed}});
        let events: Vec<_> = [text].into_iter().chain(done).chain([end]).collect();
        let whole = read(&whole_of(Dialect::OpenAiResponses, &streamed(Dialect::OpenAiResponses, &events)));
        let items = whole["output"].as_array().expect("a list");
        let word = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
        items.iter().map(|item| (word(item, "type"), word(item, "id"))).collect()
    };
    let whole: Vec<_> = all.iter().map(|item| (item["type"].as_str().unwrap(), item["id"].as_str().unwrap())).collect();
    let done = [(1, &search), (0, &thought), (3, &call), (2, &message)];
    for listed in [&all[..0], &all[..1], &all[1..2], &all[2..], &all[..]] {
        let found = kinds(listed, &done);
        let found: Vec<_> = found.iter().map(|(kind, id)| (&**kind, &**id)).collect();
        assert_eq!(found, whole, "{listed:?}");
    }
    // Under other ids they are the same: a call by its own, all others by their kind.
    let found = kinds(&[renamed(&message), renamed(&call)], &done);
    let found: Vec<_> = found.iter().map(|(kind, id)| (&**kind, &**id)).collect();
    let expected = [("reasoning", "r1"), ("web_search_call", "w1"), ("message", "other"), ("function_call", "other")];
    assert_eq!(found, expected);
    // Text of which no item came.
    let found = kinds(&[], &[(0, &thought)]);
    assert_eq!(found.iter().map(|(kind, _)| &**kind).collect::<Vec<_>>(), ["reasoning", "message"]);
}

#[test]
fn a_whole_without_a_reason_for_its_end_is_streamed_with_the_one_that_is_found() {
    let call = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    for (message, reason, word) in [
        (json!({"content": "hi"}), Value::Null, "stop"),
        (json!({"content": "hi", "tool_calls": []}), json!(""), "stop"),
        (json!({"content": null, "tool_calls": call}), Value::Null, "tool_calls"),
        (json!({"content": null, "function_call": {"name": "f", "arguments": "{}"}}), Value::Null, "function_call"),
        (json!({"content": "hi"}), json!("length"), "length"),
    ] {
        let whole = json!({"choices": [{"index": 0, "message": message, "finish_reason": reason}]});
        let events = events_of(Dialect::OpenAiChat, whole.to_string().as_bytes(), false);
        let events = String::from_utf8(events).expect("text");
        assert!(events.contains(&format!("\"finish_reason\":\"{word}\"")), "{events}");
        let again: Value = serde_json::from_slice(&whole_of(Dialect::OpenAiChat, events.as_bytes())).expect("JSON");
        assert_eq!(again["choices"][0]["finish_reason"], word);
    }
}

#[test]
fn what_several_chunks_say_of_the_sources_is_put_together() {
    let chunk = |grounding: &Value| {
        let one = json!({"content": {"parts": [{"text": "x"}]}, "groundingMetadata": grounding});
        format!("data: {}\n\n", json!({ "candidates": [one] }))
    };
    let web = |uri: &str| json!({"web": {"uri": uri}});
    let first = json!({"webSearchQueries": ["q"], "groundingChunks": [web("a")], "searchEntryPoint": {"x": 1}});
    for later in [
        json!({"groundingChunks": [web("b")], "groundingSupports": [{"groundingChunkIndices": [1]}]}),
        json!({"webSearchQueries": ["q"], "groundingChunks": [web("a"), web("b")], "searchEntryPoint": null,
            "groundingSupports": [{"groundingChunkIndices": [1]}]}),
    ] {
        let body = chunk(&first) + &chunk(&later);
        let whole: Value = serde_json::from_slice(&whole_of(Dialect::Gemini, body.as_bytes())).expect("JSON");
        let expected = json!({"webSearchQueries": ["q"], "groundingChunks": [web("a"), web("b")],
            "searchEntryPoint": {"x": 1}, "groundingSupports": [{"groundingChunkIndices": [1]}]});
        assert_eq!(whole["candidates"][0]["groundingMetadata"], expected);
    }
}

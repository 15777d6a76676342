//! Written answers are read back: by the client half's decoders, and by clients that send the conversation again.

use proptest::prelude::*;

use super::*;
use crate::wire::{Decoder, Ending};
use crate::words::Message;

/// Reads bytes by the client half.
fn decoded(caller_dialect: CallerDialect, body: &str) -> Ending {
    let mut decoder = Decoder::new(caller_dialect.dialect(), true);
    let mut pieces = Vec::new();
    decoder.push(body.as_bytes(), &mut pieces).unwrap_or_else(|failure| panic!("{failure}: {body}"));
    decoder.finish().unwrap_or_else(|failure| panic!("{failure}: {body}"))
}

/// Blanks between the fields of an item are nothing it needs.
fn tidy(item: &str) -> String {
    serde_json::from_str::<Value>(item).map_or_else(|_| item.to_owned(), |item| item.to_string())
}

/// The parts of an answer that are compared: adjoining texts are one, and thoughts are told before what is said.
fn told(parts: &[AssistantPart]) -> (String, String, Vec<ToolCall>, Vec<Proof>) {
    let mut calls: Vec<ToolCall> = parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect();
    for call in &mut calls {
        let arguments: Value = serde_json::from_str(&call.arguments).expect("JSON");
        call.arguments = arguments.to_string().into();
    }
    let proofs = parts.iter().filter_map(|part| match part {
        AssistantPart::Reasoning(thought) => thought.proof.clone(),
        _ => None,
    });
    let proofs = proofs.map(|proof| Proof { data: tidy(&proof.data).into(), ..proof });
    (
        parts.iter().filter_map(AssistantPart::as_text).collect(),
        parts.iter().filter_map(AssistantPart::as_reasoning).collect(),
        calls,
        proofs.collect(),
    )
}

#[test]
fn recorded_answers_are_the_same_after_the_server_half() {
    let mut compared = 0;
    for case in crate::wire::tests::cases().iter().filter(|case| case["kind"] == "ok") {
        let caller_dialect = match case["api"].as_str() {
            Some("chat-completions") => CallerDialect::OpenAiChat,
            Some("responses") => CallerDialect::OpenAiResponses,
            Some("anthropic-messages") => CallerDialect::Anthropic,
            Some("gemini-generate") => CallerDialect::Gemini,
            _ => continue,
        };
        let (name, body) = (case["case"].as_str().expect("a name"), case["response"]["body"].as_str().expect("a body"));
        let mut decoder = Decoder::new(caller_dialect.dialect(), true);
        let Ok(_) = decoder.push(body.as_bytes(), &mut Vec::new()) else { continue };
        let Ok(before) = decoder.finish() else { continue };
        let answer =
            Finished { usage: before.usage.unwrap_or_default(), ..finished(before.parts.clone(), before.stop) };
        let form = form(caller_dialect);
        for (how, body) in [("streamed", streamed(&form, &answer)), ("whole", whole(&form, &answer).to_string())] {
            let after = decoded(caller_dialect, &body);
            let is_refusal = matches!(before.stop, StopReason::Refusal | StopReason::ContentFilter | StopReason::Other);
            if !is_refusal {
                assert_eq!(after.stop, before.stop, "{name}, {how}");
            }
            assert_eq!(after.usage, before.usage, "{name}, {how}: {body}");
            let (mut after, mut before) = (told(&after.parts), told(&before.parts));
            let is_sealed = match caller_dialect {
                // What a thought with its own item proves is sealed within the one that was told.
                CallerDialect::OpenAiResponses => how == "streamed",
                CallerDialect::OpenAiChat => true,
                CallerDialect::Anthropic | CallerDialect::Gemini => false,
            };
            if is_sealed {
                let open = |proof: &mut Proof| {
                    let item: Value = serde_json::from_str(&proof.data).expect("an item");
                    let detail = &item["reasoning_details"][0];
                    let places = [&item["encrypted_content"], &detail["signature"], &detail["data"]];
                    let sealed = places.into_iter().find_map(|place| crate::wire::serve::seal::open(place.as_str()?));
                    *proof = sealed
                        .map_or_else(|| proof.clone(), |(_, proof)| Proof { data: tidy(&proof.data).into(), ..proof });
                };
                after.3.iter_mut().for_each(open);
            }
            if caller_dialect != CallerDialect::Gemini {
                // Only there a call carries its own.
                before.2.iter_mut().for_each(|call| call.proof = None);
                after.2.iter_mut().for_each(|call| call.proof = None);
            }
            assert_eq!(after, before, "{name}, {how}");
            compared += 1;
        }
    }
    println!("{compared} answers compared");
}

#[test]
fn sources_are_told_in_every_dialect_and_read_again() {
    let source = |url: &str, place| Source { url: url.into(), title: "T".into(), cited: String::new(), place };
    let said = "äbc";
    let sources = vec![source("https://x.test", 0..1), source("https://y.test", 1..3)];
    let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into(), proof: None };
    for parts in [vec![text(said)], vec![text(said), AssistantPart::ToolCall(call)]] {
        let answer = Finished { sources: sources.clone(), ..finished(parts, StopReason::Stop) };
        for caller_dialect in CALLER_DIALECTS {
            let form = form(caller_dialect);
            for (how, body) in [("streamed", streamed(&form, &answer)), ("whole", whole(&form, &answer).to_string())] {
                let found = decoded(caller_dialect, &body).sources;
                let expected: Vec<Source> = match caller_dialect {
                    // There a block rests on them as a whole.
                    CallerDialect::Anthropic => {
                        sources.iter().map(|source| Source { place: 0..3, ..source.clone() }).collect()
                    }
                    _ => sources.clone(),
                };
                assert_eq!(found, expected, "{caller_dialect:?} {how}: {body}");
            }
        }
    }
    for caller_dialect in CALLER_DIALECTS {
        let none = whole(&form(caller_dialect), &finished(vec![text(said)], StopReason::Stop)).to_string();
        assert!(!none.contains("url") && !none.contains("grounding") && !none.contains("citations"), "{none}");
    }
}

#[test]
fn sources_that_another_provider_found_do_not_go_to_anthropic() {
    let found = Source { url: "https://x.test".into(), title: "T".into(), cited: String::new(), place: 0..2 };
    let answer = Finished { sources: vec![found], ..finished(vec![text("ok")], StopReason::Stop) };
    let own = json!({"type": "web_search_result_location", "url": "https://y.test", "encrypted_index": "SU5E"});
    let mut said = whole(&form(CallerDialect::Anthropic), &answer)["content"].clone();
    said.as_array_mut().expect("blocks").push(json!({"type": "text", "text": "so", "citations": [own]}));
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": said},
        {"role": "user", "content": "And?"}]});
    let asked = asked(CallerDialect::Anthropic, &body);
    let flavour = crate::wire::Flavour::named("generic").expect("a flavour");
    let target = TargetId::new("p", "claude-sonnet-4-5");
    let encoded = crate::wire::encode(Dialect::AnthropicMessages, flavour, &asked.request, &target, false);
    let sent: Value = serde_json::from_slice(&encoded.expect("a body").body.whole()).expect("JSON");
    assert_eq!(sent["messages"][1]["content"][0], json!({"type": "text", "text": "ok"}));
    assert_eq!(sent["messages"][1]["content"][1]["citations"], json!([own]), "what it found itself goes back to it");
}

#[test]
fn a_stop_sequence_is_named_where_the_dialect_has_a_word_for_it() {
    let sequence = Some(Arc::from("END"));
    let answer = Finished { stop_sequence: sequence, ..finished(vec![text("one ")], StopReason::Stop) };
    let body = whole(&form(CallerDialect::Anthropic), &answer);
    assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    let stream = streamed(&form(CallerDialect::Anthropic), &answer);
    assert!(stream.contains(r#""stop_reason":"stop_sequence","stop_sequence":"END""#), "{stream}");
    assert_eq!(decoded(CallerDialect::Anthropic, &stream).stop_sequence.as_deref(), Some("END"));
    for (named, expected) in [
        (json!({"stop_reason": "END"}), Some("END")),
        (json!({"matched_stop": "END"}), Some("END")),
        (json!({"stop_reason": null, "matched_stop": 151_645}), None),
        (json!({"stop_reason": "end_turn"}), None),
    ] {
        let mut choice = json!({"index": 0, "message": {"content": "one "}, "finish_reason": "stop"});
        choice.as_object_mut().expect("an object").extend(named.as_object().expect("fields").clone());
        let ending = decoded(CallerDialect::OpenAiChat, &json!({"choices": [choice]}).to_string());
        assert_eq!(ending.stop_sequence.as_deref(), expected, "{named}");
        // Or before the event that ends the answer.
        choice["finish_reason"] = Value::Null;
        let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        let body = format!("data: {}\n\ndata: {last}\n\ndata: [DONE]\n\n", json!({"choices": [choice]}));
        assert_eq!(decoded(CallerDialect::OpenAiChat, &body).stop_sequence.as_deref(), expected, "{named}");
    }
}

#[test]
fn the_error_that_ends_a_response_that_passed_goes_on_with_its_number_and_id() {
    let passed = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_77\"}}\n\n\
        event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\": 41,\"delta\":\"he\"}\n\n";
    let mut writer = Writer::new(form(CallerDialect::OpenAiResponses), 1, 1);
    let mut out = Vec::new();
    writer.event(&ReplyEvent::Verbatim(passed.into()), &mut out);
    writer.failed(&crate::words::Error::Crashed, &mut out);
    let last = data(std::str::from_utf8(&out).expect("text")).pop().expect("an event");
    assert_eq!(
        (&last["type"], &last["sequence_number"], &last["response"]["id"]),
        (&json!("response.failed"), &json!(42), &json!("resp_77"))
    );
}

/// The message that a client of a face builds from a stream, and sends with its next request: written after the
/// vendors' SDKs.
fn remembered(caller_dialect: CallerDialect, stream: &str) -> Value {
    let data = data(stream);
    match caller_dialect {
        CallerDialect::OpenAiChat => {
            let mut message = json!({"role": "assistant", "content": null});
            let mut calls: Vec<Value> = Vec::new();
            let mut details: Vec<Value> = Vec::new();
            for chunk in &data {
                let delta = &chunk["choices"][0]["delta"];
                for field in ["content", "reasoning_content"] {
                    if let Some(more) = delta[field].as_str().filter(|more| !more.is_empty()) {
                        let before = message[field].as_str().unwrap_or_default().to_owned();
                        message[field] = (before + more).into();
                    }
                }
                details.extend(delta["reasoning_details"].as_array().into_iter().flatten().cloned());
                for call in delta["tool_calls"].as_array().into_iter().flatten() {
                    assert_eq!(call["index"].as_u64(), Some(calls.len() as u64));
                    let mut call = call.clone();
                    call.as_object_mut().expect("an object").remove("index");
                    calls.push(call);
                }
            }
            for (field, list) in [("tool_calls", calls), ("reasoning_details", details)] {
                if !list.is_empty() {
                    message[field] = list.into();
                }
            }
            message
        }
        CallerDialect::OpenAiResponses => data.last().expect("an end")["response"]["output"].clone(),
        CallerDialect::Anthropic => {
            let mut blocks: Vec<Value> = Vec::new();
            let mut input = String::new();
            for event in &data {
                let at = usize::try_from(event["index"].as_u64().unwrap_or(0)).expect("small");
                let delta = &event["delta"];
                match event["type"].as_str().expect("a type") {
                    "content_block_start" => {
                        assert_eq!(at, blocks.len());
                        blocks.push(event["content_block"].clone());
                    }
                    "content_block_delta" => {
                        let kind = delta["type"].as_str().expect("a type");
                        let field = match kind {
                            "input_json_delta" => {
                                input.push_str(delta["partial_json"].as_str().expect("a text"));
                                continue;
                            }
                            kind => kind.strip_suffix("_delta").expect("a delta"),
                        };
                        let before = blocks[at][field].as_str().unwrap_or_default().to_owned();
                        blocks[at][field] = (before + delta[field].as_str().expect("a text")).into();
                    }
                    "content_block_stop" if !input.is_empty() => {
                        blocks[at]["input"] = serde_json::from_str(&input).expect("JSON");
                        input.clear();
                    }
                    _ => {}
                }
            }
            json!({"role": "assistant", "content": blocks})
        }
        CallerDialect::Gemini => {
            let parts = data.iter().filter_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array().cloned());
            json!({"role": "model", "parts": parts.flatten().collect::<Vec<_>>()})
        }
    }
}

/// The part of a whole answer that a client keeps.
fn kept(caller_dialect: CallerDialect, body: &Value) -> Value {
    match caller_dialect {
        CallerDialect::OpenAiChat => body["choices"][0]["message"].clone(),
        CallerDialect::OpenAiResponses => body["output"].clone(),
        CallerDialect::Anthropic => json!({"role": "assistant", "content": body["content"]}),
        CallerDialect::Gemini => body["candidates"][0]["content"].clone(),
    }
}

/// Returns the parts that the next request of a client brings back.
fn brought_back(caller_dialect: CallerDialect, memory: Value) -> Vec<AssistantPart> {
    let user = json!({"role": "user", "content": "Hi"});
    let request = match caller_dialect {
        CallerDialect::OpenAiChat | CallerDialect::Anthropic => {
            json!({"model": "m", "max_tokens": 9, "messages": [user, memory]})
        }
        CallerDialect::OpenAiResponses => {
            let mut input = vec![user];
            input.extend(memory.as_array().expect("items").iter().cloned());
            json!({"model": "m", "input": input})
        }
        CallerDialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, memory]}),
    };
    match asked(caller_dialect, &request).request.messages.pop() {
        Some(Message::Assistant(parts)) => parts,
        other => panic!("{other:?}"),
    }
}

/// A proof of some provider, for a thought of this text.
fn any_proof(text: String) -> impl Strategy<Value = Proof> {
    (0..6_usize, "[A-Za-z0-9+/]{1,12}").prop_map(move |(kind, data)| match kind {
        0 => proof(Dialect::Gemini, &data),
        1 => proof(Dialect::Vertex, &data),
        2 => proof(Dialect::AnthropicMessages, &data),
        3 if text.is_empty() => proof(Dialect::AnthropicMessages, &format!("redacted:{data}")),
        4 => {
            let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
            let item = json!({"type": "reasoning", "id": "rs_own", "summary": summary, "encrypted_content": data});
            proof(Dialect::OpenAiResponses, &item.to_string())
        }
        _ => proof(Dialect::OpenAiChat, &data),
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z \"\\\\\n{}äß\u{1F600}\u{2028}<>:]{1,24}", Just("data: [DONE]\n\n".to_owned())]
}

/// An answer as providers give them: thoughts first, then text, then calls. Thoughts that nothing proves cannot be told
/// from those beside them.
fn any_answer() -> impl Strategy<Value = Vec<AssistantPart>> {
    let proved = prop_oneof![Just(String::new()), any_text()]
        .prop_flat_map(|text| any_proof(text.clone()).prop_map(move |proof| thought(&text, Some(proof))));
    let unproved = any_text().prop_map(|text| vec![thought(&text, None)]);
    let thoughts = prop_oneof![prop::collection::vec(proved, 0..3), unproved];
    let arguments = prop_oneof![Just("{}"), Just(r#"{"a":1,"b":"x\"y","c":{"y":null,"z":[1.5,-2,true]}}"#)];
    let call = (any::<prop::sample::Index>(), arguments, prop::option::of(any_proof(String::new())));
    let calls = prop::collection::vec(call, 0..3);
    (thoughts, prop::option::of(any_text()), calls)
        .prop_map(|(thoughts, said, calls)| {
            let calls = calls.into_iter().enumerate().map(|(at, (name, arguments, proof))| {
                call_of(at, ["f", "get_weather"][name.index(2)], arguments, proof)
            });
            thoughts.into_iter().chain(said.as_deref().map(text)).chain(calls).collect()
        })
        .prop_filter("an answer says or calls something", |parts: &Vec<AssistantPart>| {
            parts.iter().any(|part| part.as_reasoning().is_none())
        })
}

fn call_of(at: usize, name: &str, arguments: &str, proof: Option<Proof>) -> AssistantPart {
    call(&format!("call-{at}_x"), name, arguments, proof)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_sends_again_is_what_the_model_said(parts in any_answer()) {
        let answer = finished(parts, StopReason::Stop);
        for caller_dialect in CALLER_DIALECTS {
            let form = form(caller_dialect);
            let whole = brought_back(caller_dialect, kept(caller_dialect, &whole(&form, &answer)));
            prop_assert_eq!(&whole, &answer.parts, "{:?}, whole", caller_dialect);
            let stream = streamed(&form, &answer);
            let streamed = brought_back(caller_dialect, remembered(caller_dialect, &stream));
            prop_assert_eq!(&streamed, &answer.parts, "{:?}, streamed: {}", caller_dialect, stream);
        }
    }

    #[test]
    fn the_client_half_reads_what_the_server_half_writes(parts in any_answer()) {
        let answer = finished(parts, StopReason::Length);
        for caller_dialect in CALLER_DIALECTS {
            let form = form(caller_dialect);
            for body in [streamed(&form, &answer), whole(&form, &answer).to_string()] {
                let after = decoded(caller_dialect, &body);
                let ((text, thoughts, mut calls, _), (said, thought, mut called, _)) =
                    (told(&after.parts), told(&answer.parts));
                calls.iter_mut().chain(&mut called).for_each(|call| call.proof = None);
                prop_assert_eq!((text, thoughts, calls), (said, thought, called), "{:?}: {}", caller_dialect, body);
                prop_assert_eq!(after.stop, StopReason::Length);
                let cache_write = if caller_dialect == CallerDialect::Gemini { 0 } else { 10 };
                let usage = Usage { cache_write, ..answer.usage };
                prop_assert_eq!(after.usage, Some(usage));
            }
        }
    }
}

#[test]
fn a_proof_after_text_comes_back_after_it() {
    let parts = vec![text("It rains."), thought("", Some(proof(Dialect::Gemini, "AbC="))), call("c", "f", "{}", None)];
    let answer = finished(parts, StopReason::ToolCalls);
    for caller_dialect in [CallerDialect::OpenAiResponses, CallerDialect::Anthropic, CallerDialect::Gemini] {
        let form = form(caller_dialect);
        assert_eq!(
            brought_back(caller_dialect, kept(caller_dialect, &whole(&form, &answer))),
            answer.parts,
            "{caller_dialect:?}"
        );
        assert_eq!(
            brought_back(caller_dialect, remembered(caller_dialect, &streamed(&form, &answer))),
            answer.parts,
            "{caller_dialect:?}"
        );
    }
}

#[test]
fn what_a_provider_wrote_over_several_lines_stays_one_event() {
    let item = "{\n  \"type\": \"reasoning\",\r\n  \"summary\": [],\n  \"encrypted_content\": \"x\"\n}";
    let arguments = "{\n  \"b\": \"two\\nlines\",\n  \"a\": 1\n}";
    let parts = vec![thought("", Some(proof(Dialect::OpenAiResponses, item))), call("c", "f", arguments, None)];
    let answer = finished(parts, StopReason::ToolCalls);
    for caller_dialect in CALLER_DIALECTS {
        let after = decoded(caller_dialect, &streamed(&form(caller_dialect), &answer));
        assert_eq!(told(&after.parts).2, told(&answer.parts).2, "{caller_dialect:?}");
    }
}

#[test]
fn arguments_keep_the_order_of_their_fields() {
    for (caller_dialect, body) in [
        (
            CallerDialect::Anthropic,
            r#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{"b":1,"a":null}}]}]}"#,
        ),
        (
            CallerDialect::Gemini,
            r#"{"contents":[{"role":"model","parts":[{"functionCall":{"id":"c","name":"f","args":{"b":1,"a":null}}}]}]}"#,
        ),
    ] {
        let asked = read(caller_dialect, Some("m"), false, &body.to_owned().into()).expect("a good request");
        let expected = Message::Assistant(vec![call("c", "f", r#"{"b":1,"a":null}"#, None)]);
        assert_eq!(asked.request.messages, [expected], "{caller_dialect:?}");
    }
}

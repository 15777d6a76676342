//! Proofs in chat completions: read from the fields of gateways and of Google, and brought back to whoever issued them.

use super::*;
use crate::words::{Proof, Reasoning, TargetId};

fn answer(issuer: &str, body: &str) -> Vec<AssistantPart> {
    let mut decoder = Decoder::new(Dialect::OpenAiChat, true).issuer(&issuer.into());
    decoder.push(body.as_bytes(), &mut Vec::new()).expect("an answer");
    decoder.finish().expect("a whole answer").parts
}

/// Returns the assistant's message as a target gets it, and what is noted.
fn back(parts: &[AssistantPart], target: &TargetId) -> (Value, Vec<crate::words::Note>) {
    let calls: Vec<_> = parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect();
    let request = ChatRequest::new("r").user("x").message(Message::Assistant(parts.to_vec()));
    let request = calls.iter().fold(request, |all, call| all.message(Message::tool_result(call, "x")));
    let encoded = encode(&GENERIC, &request, target.into(), false).expect("a good request");
    let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    (body["messages"][1].clone(), encoded.notes)
}

#[test]
fn blocks_of_thoughts_go_back_to_the_gateway_that_sent_them_and_to_no_other() {
    let call = json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let text = json!({"type": "reasoning.text", "text": "Hm.", "signature": "S", "format": "x", "index": 0});
    let details = json!([text, {"type": "reasoning.encrypted", "data": "E", "id": "c", "index": 1}]);
    let block = json!({"type": "thinking", "thinking": "Hm.", "signature": "S"});
    let pieces = [
        json!({"type": "thinking", "thinking": "H", "signature": null}),
        json!({"type": "thinking", "thinking": "m.", "signature": null}),
        json!({"type": "thinking", "thinking": "", "signature": "S"}),
    ];
    let whole = |message: Value| json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).to_string();
    let streamed =
        pieces.iter().map(|piece| delta(json!({"reasoning_content": piece["thinking"], "thinking_blocks": [piece]})));
    let streamed = streamed.chain([delta(json!({"tool_calls": call})), finish("tool_calls")]);
    let streamed = streamed.map(|chunk| format!("data: {chunk}\n\n")).collect::<Vec<_>>().concat();
    for (body, field, expected) in [
        (
            whole(json!({"reasoning": "Hm.", "reasoning_details": details, "tool_calls": call})),
            "reasoning_details",
            &details,
        ),
        (
            whole(json!({"reasoning_content": "Hm.", "thinking_blocks": [block], "tool_calls": call})),
            "thinking_blocks",
            &json!([block]),
        ),
        (streamed, "thinking_blocks", &json!([block])),
    ] {
        let parts = answer("gateway", &body);
        assert!(
            matches!(&parts[0], AssistantPart::Reasoning(Reasoning { text, proof: Some(_) }) if text.as_str() == "Hm.")
        );
        let (message, notes) = back(&parts, &TargetId::new("gateway", "m"));
        assert_eq!((&message[field], notes), (expected, vec![]), "{field}");
        let (message, notes) = back(&parts, &TargetId::new("other", "m"));
        assert_eq!(message.get(field), None);
        assert_eq!(notes, [crate::words::Note::Dropped("messages.reasoning")]);
    }
}

#[test]
fn googles_signature_is_read_from_its_field_and_goes_back_there() {
    let extra = json!({"google": {"thought_signature": "U0lH"}});
    let call = json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra});
    let bare = |id: &str| json!({"index": 1, "id": id, "function": {"name": "g", "arguments": "{}"}});
    let parts = |calls: Value| {
        let body =
            json!({"choices": [{"message": {"content": "a", "tool_calls": calls}, "finish_reason": "tool_calls"}]});
        answer("google", &body.to_string())
    };
    let proven = parts(json!([call, bare("d")]));
    let proof = Proof { issuer: Some("google".into()), ..Proof::new(Dialect::Gemini, "U0lH") };
    assert_eq!(proven[1].as_tool_call().and_then(|call| call.proof.as_ref()), Some(&proof));
    let skip = json!({"google": {"thought_signature": "skip_thought_signature_validator"}});
    let unproven = parts(json!([bare("c"), bare("d")]));
    for (parts, target, expected) in [
        (&proven, TargetId::new("google", "gemini-3-pro-preview"), [extra.clone(), Value::Null]),
        (&proven, TargetId::new("google", "gemini-2.5-pro"), [extra.clone(), Value::Null]),
        (&proven, TargetId::new("other", "gemini-3-pro-preview"), [extra.clone(), Value::Null]),
        (&proven, TargetId::new("other", "gpt-5"), [Value::Null, Value::Null]),
        (&unproven, TargetId::new("google", "gemini-3-pro-preview"), [skip, Value::Null]),
        (&unproven, TargetId::new("google", "gemini-2.5-pro"), [Value::Null, Value::Null]),
    ] {
        let (message, notes) = back(parts, &target);
        let calls = message["tool_calls"].as_array().expect("calls");
        assert_eq!(calls.iter().map(|call| call["extra_content"].clone()).collect::<Vec<_>>(), expected, "{target}");
        assert_eq!(notes.is_empty(), !(expected[0].is_null() && parts == &proven), "{target}: {notes:?}");
    }
    // A text's signature is the message's.
    let body = json!({"choices": [{"message": {"content": "a", "extra_content": extra}, "finish_reason": "stop"}]});
    let (message, _) = back(&answer("google", &body.to_string()), &TargetId::new("google", "gemini-3-pro-preview"));
    assert_eq!(message["extra_content"], extra);
}

#[test]
fn a_thought_that_only_blocks_show_is_seen_and_one_that_they_repeat_is_seen_once() {
    let block = |text: &str| json!([{"type": "reasoning.summary", "summary": text, "index": 0}]);
    let sealed = json!([{"type": "reasoning.encrypted", "data": "E", "index": 1}]);
    let thinking = json!([{"type": "thinking", "thinking": "Hm.", "signature": "S"}]);
    let thoughts = |chunks: &[Value]| {
        let (pieces, ending) = stream(chunks);
        assert!(ending.is_ok(), "{ending:?}");
        let thoughts = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Reasoning(text) => Some(text),
            _ => None,
        });
        thoughts.collect::<String>()
    };
    let ends = [delta(json!({"content": "x"})), finish("stop")];
    for deltas in [
        vec![
            json!({"reasoning_details": block("H")}),
            json!({"reasoning_details": block("m.")}),
            json!({"reasoning_details": sealed}),
        ],
        vec![json!({"thinking_blocks": thinking})],
        vec![json!({"reasoning": "Hm.", "reasoning_details": block("Hm.")})],
        vec![
            json!({"reasoning_content": "H"}),
            json!({"reasoning_content": "m."}),
            json!({"thinking_blocks": thinking}),
        ],
    ] {
        let chunks: Vec<_> = deltas.iter().cloned().map(delta).chain(ends.clone()).collect();
        assert_eq!(thoughts(&chunks), "Hm.", "{deltas:?}");
        // A whole answer tells it in the same way.
        if let [message] = &deltas[..] {
            let mut message = message.clone();
            message["content"] = "x".into();
            let whole = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
            assert!(decode(&whole.to_string()).0.contains(&Piece::Reasoning("Hm.".to_owned())), "{message}");
        }
    }
}

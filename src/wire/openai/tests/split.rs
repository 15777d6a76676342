//! Answers that are told in several ways: in the pieces of a stream and at its end, and in several choices.

use super::*;

fn spoken(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.as_str() } else { "" }).collect()
}

fn last(message: Value) -> Value {
    json!({"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
}

#[test]
fn a_message_at_a_streams_end_adds_what_its_pieces_did_not_say() {
    let hel = || delta(json!({"content": "Hel"}));
    for (chunks, expected) in [
        (vec![hel(), last(json!({"content": "Hello"}))], "Hello"),
        (vec![hel(), delta(json!({"content": "lo"})), last(json!({"content": "Hello"}))], "Hello"),
        // It says something else: the pieces count.
        (vec![hel(), last(json!({"content": "Good"}))], "Hel"),
    ] {
        let (pieces, ending) = stream(&chunks);
        assert_eq!((spoken(&pieces), ending.expect("an answer").text()), (expected.into(), expected.into()));
    }
    let call = |arguments: &str| {
        json!({"tool_calls": [{"index": 0, "id": "c",
            "function": {"name": "f", "arguments": arguments}}]})
    };
    for begun in ["", "{}", "{\"q\":"] {
        assert_eq!(
            calls_of(&[delta(call(begun)), last(call("{\"q\":1}"))]),
            owned(&[("c", "f", "{\"q\":1}")]),
            "{begun}"
        );
    }
}

#[test]
fn a_client_of_the_same_dialect_is_told_the_rest_as_a_delta() {
    let how = crate::wire::Verbatim { stream: true, ..crate::wire::Verbatim::default() };
    let mut decoder = Decoder::new(Dialect::OpenAiChat, true).verbatim(Some(how));
    let body = [delta(json!({"content": "Hel"})), last(json!({"content": "Hello"}))];
    let body = body.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<Vec<_>>().concat();
    let mut pieces = Vec::new();
    decoder.push((body + "data: [DONE]\n\n").as_bytes(), &mut pieces).expect("an answer");
    let rest = decoder.finish().expect("an answer").verbatim.expect("its bytes");
    let told: Vec<u8> =
        pieces.iter().flat_map(|piece| if let Piece::Verbatim(it) = piece { it.to_vec() } else { vec![] }).collect();
    let told = String::from_utf8([told, rest.to_vec()].concat()).expect("text");
    let said = told.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let said: String = said.filter_map(|it| it["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect();
    assert_eq!(said, "Hello", "{told}");
}

#[test]
fn several_choices_are_the_parts_of_one_answer() {
    let call = json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    for (text, second) in [("Let me see.", json!(1)), ("Let me see.", json!(0)), ("", json!(1)), ("", Value::Null)] {
        let said = json!({"role": "assistant", "content": text});
        let called = json!({"role": "assistant", "content": null, "tool_calls": call});
        let whole = json!({"choices": [{"index": 0, "message": said, "finish_reason": "tool_calls"},
            {"index": second, "message": called, "finish_reason": "tool_calls"}]});
        let streamed = [
            json!({"choices": [{"index": 0, "delta": said}, {"index": second, "delta": called}]}),
            finish("tool_calls"),
        ];
        for (_, ending) in [decode(&whole.to_string()), stream(&streamed)] {
            let ending = ending.expect("an answer");
            let calls: Vec<_> = ending.tool_calls().map(|call| call.name.as_str()).collect();
            assert_eq!((ending.text(), calls, ending.stop), (text.to_owned(), vec!["f"], StopReason::ToolCalls));
        }
    }
}

#[test]
fn of_several_answers_the_first_that_speaks_is_read() {
    let choice =
        |index: u32, text: &str| json!({"index": index, "message": {"content": text}, "finish_reason": "stop"});
    for (first, second, expected) in [("A", "B", "A"), ("", "B", "B"), ("A", "", "A")] {
        let whole = json!({"choices": [choice(0, first), choice(1, second)]});
        assert_eq!(decode(&whole.to_string()).1.expect("an answer").text(), expected);
        let piece = |index: u32, text: &str| json!({"choices": [{"index": index, "delta": {"content": text}}]});
        let streamed = [piece(0, first), piece(1, second), piece(0, first), piece(1, second), finish("stop")];
        assert_eq!(stream(&streamed).1.expect("an answer").text(), expected.repeat(2));
    }
}

#[test]
fn an_end_for_calls_without_a_call_is_an_end() {
    let (_, ending) = stream(&[delta(json!({"content": "Let me see."})), finish("tool_calls")]);
    assert_eq!(ending.expect("an answer").stop, StopReason::Stop);
}

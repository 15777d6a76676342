use super::*;
use crate::wire::{Decoder, Sent, classify, unknown_code};
use crate::words::Dialect;

const INNER: Shape = Shape { plain: &["known"], deep: &[] };
const OUTER: Shape = Shape { plain: &["id"], deep: &[("inner", &INNER)] };

/// Returns what one look at a text finds, in words.
fn found(text: &str) -> Vec<String> {
    let mut drifts = Drifts::default();
    drifts.look(&OUTER, text, true);
    words(drifts.take())
}

fn words(drifts: Vec<Drift>) -> Vec<String> {
    drifts.into_iter().map(|drift| format!("{} {}", drift.kind.name(), drift.name)).collect()
}

#[test]
fn unknown_fields_are_named_with_those_that_hold_them() {
    for (text, expected) in [
        (r#"{"id":1,"inner":{"known":[{"x":1}]}}"#, &[][..]),
        (r#"{"new":{"deep":1},"inner":{"odd":1}}"#, &["field new", "field inner.odd"]),
        (r#"{"inner":[{"a":1},{"a":2,"b":3},null,7]}"#, &["field inner.a", "field inner.b"]),
        (r#"{"inner":"a text","in\u006eer":null}"#, &[]),
        (r#"[{"a":1}]"#, &["field a"]),
        (r#"{"a":1,"#, &["field a"]),
        ("no JSON", &[]),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn text_that_is_no_name_is_not_repeated() {
    let long = "x".repeat(100);
    for (name, expected) in [
        ("response.mood.delta", "response.mood.delta"),
        ("my secret prompt", "?"),
        ("sk-0123456789abcdef", "?"),
        ("naïve", "?"),
        ("a\nb", "?"),
        (&long, &long[..64]),
    ] {
        assert_eq!(tidied(name), expected, "{name}");
    }
}

#[test]
fn each_thing_is_noted_once_and_not_too_many_of_them() {
    let mut drifts = Drifts::default();
    for _ in 0..3 {
        drifts.note(DriftKind::Event, "a");
        drifts.note(DriftKind::Part, "a");
        drifts.note(DriftKind::Event, "no name");
        drifts.note(DriftKind::Event, "");
    }
    assert_eq!(words(drifts.take()), ["event a", "part a", "event ?"]);
    (0..1_000).for_each(|at| drifts.note(DriftKind::Event, &at.to_string()));
    assert_eq!(drifts.take().len(), NOTES_MAX);
}

#[test]
fn few_texts_are_looked_at_and_none_that_is_long() {
    let mut drifts = Drifts::default();
    drifts.look(&OUTER, r#"{"first":1}"#, false);
    drifts.look(&OUTER, r#"{"second":1}"#, false);
    drifts.look(&OUTER, &format!(r#"{{"long":"{}"}}"#, "x".repeat(LOOK_BYTES_MAX)), true);
    (0..20).for_each(|at| drifts.look(&OUTER, &format!(r#"{{"f{at}":1}}"#), true));
    assert_eq!(words(drifts.take()), ["field first", "field f0", "field f1", "field f2", "field f3", "field f4"]);
}

/// Decodes an answer that must be whole; returns its text and what was unknown in it.
fn decoded(dialect: Dialect, body: &str) -> (String, Vec<String>) {
    let mut decoder = Decoder::new(dialect, true);
    decoder.push(body.as_bytes(), &mut Vec::new()).expect(body);
    let drift = words(decoder.take_drift());
    (decoder.finish().expect(body).text(), drift)
}

#[test]
fn every_dialect_notes_what_it_does_not_know_and_answers_nevertheless() {
    for (dialect, body, expected) in [
        (
            Dialect::OpenAiChat,
            "event: mood\ndata: 7\n\n\
             data: {\"model\":\"m\",\"aura\":1,\"choices\":[{\"delta\":{\"content\":\"Hi\",\"tool_calls\":[{\"type\":\"spell\"}]}}]}\n\n\
             data: {\"unseen\":1,\"choices\":[{\"delta\":{}}]}\n\n\
             data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"bored\",\"why\":1}]}\n\ndata: [DONE]\n\n",
            &["event mood", "field aura", "part spell", "field choices.why", "finish bored"][..],
        ),
        (
            Dialect::OpenAiResponses,
            "data: {\"type\":\"response.mood.delta\",\"delta\":\"x\"}\n\nevent: aura\ndata: 7\n\n\
             data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"spell\"}}\n\n\
             data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n\
             data: {\"type\":\"response.incomplete\",\"response\":{\"hue\":1,\"incomplete_details\":{\"reason\":\"bored\"}}}\n\n",
            &["event response.mood.delta", "event aura", "part spell", "field response.hue", "finish bored"],
        ),
        (
            Dialect::AnthropicMessages,
            "data: {\"type\":\"mood\"}\n\nevent: aura\ndata: 7\n\n\
             data: {\"type\":\"message_start\",\"message\":{\"hue\":1}}\n\n\
             data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"spell\"}}\n\n\
             data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"Hi\"}}\n\n\
             data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"spell_delta\"}}\n\n\
             data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"bored\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
            &["event mood", "event aura", "field message.hue", "part spell", "part spell_delta", "finish bored"],
        ),
        (
            Dialect::Gemini,
            "event: mood\ndata: {}\n\n\
             data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"},{\"spell\":{}}]},\"finishReason\":\"BORED\"}]}\n\n",
            &["event mood", "field candidates.content.parts.spell", "finish BORED"],
        ),
    ] {
        let expected = ("Hi".to_owned(), expected.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(decoded(dialect, body), expected, "{dialect:?}");
    }
}

#[test]
fn codes_that_no_rule_knows_are_told_from_those_that_say_nothing() {
    for (status, body, expected) in [
        (400, r#"{"error":{"code":"bad_karma","message":"no"}}"#, Some("bad_karma")),
        (400, r#"{"error":{"code":"it is you","message":"no"}}"#, Some("?")),
        (429, r#"{"error":{"type":"rate_limit_error","message":"no"}}"#, None),
        (400, r#"{"error":{"type":"invalid_request_error","message":"no"}}"#, None),
        (500, r#"{"error":{"code":500,"message":"no"}}"#, None),
        (500, "no", None),
    ] {
        let failure = classify(status, &http::HeaderMap::new(), body.as_bytes(), Sent::default());
        assert_eq!(unknown_code(&failure).map(|drift| drift.name).as_deref(), expected, "{body}");
    }
}

#[test]
fn recorded_answers_hold_nothing_that_is_unknown() {
    let mut unknown = std::collections::BTreeSet::new();
    for case in &crate::wire::tests::cases() {
        let body = case["response"]["body"].as_str().expect("a body").as_bytes();
        let status = u16::try_from(case["response"]["status"].as_u64().expect("a status")).expect("a status");
        let mut note =
            |drift: Drift| unknown.insert(format!("{} {} ({})", drift.kind.name(), drift.name, case["case"]));
        if status != 200 {
            let failure = classify(status, &http::HeaderMap::new(), body, Sent::default());
            unknown_code(&failure).map(&mut note);
        } else if let Some(dialect) = crate::wire::tests::dialect_of(case) {
            let mut decoder = Decoder::new(dialect, true);
            let failed = decoder.push(body, &mut Vec::new()).err();
            decoder.take_drift().into_iter().chain(failed.as_ref().and_then(unknown_code)).for_each(|drift| {
                note(drift);
            });
        }
    }
    assert!(unknown.is_empty(), "\n{}", unknown.into_iter().collect::<Vec<_>>().join("\n"));
}

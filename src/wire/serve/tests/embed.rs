//! Embeddings: requests of OpenAI's and Google's SDKs, and their answers.

use super::*;
use crate::wire::serve::embed::VectorForm;
use crate::words::{CallId, EmbedRequest, Embeddings, TargetId, Usage};

fn asked(caller_dialect: CallerDialect, body: Value) -> Result<ParsedEmbedRequest, BadRequest> {
    let model = (caller_dialect == CallerDialect::Gemini).then_some("m");
    read_embed(caller_dialect, model, &body.to_string().into())
}

fn written(form: VectorForm) -> String {
    let embeddings = Embeddings {
        call: CallId::new(0, 1),
        vectors: vec![vec![1.0, -0.5], vec![0.1, 2e-3]],
        target: TargetId::new("p", "m"),
        model: None,
        usage: Usage { input: 7, ..Usage::default() },
        cost_usd: None,
        attempts: Vec::new(),
        last_resort: false,
        degraded: None,
        notes: Vec::new(),
    };
    String::from_utf8(write_embed(form, "asked", &embeddings)).expect("a text")
}

fn json_of(form: VectorForm) -> Value {
    serde_json::from_str(&written(form)).expect("JSON")
}

#[test]
fn openais_requests_are_read_in_every_form() {
    for (input, format, dimensions, inputs, form) in [
        (json!("one"), Value::Null, Value::Null, vec!["one"], VectorForm::Numbers),
        (json!(["one", "two"]), json!("float"), json!(8), vec!["one", "two"], VectorForm::Numbers),
        (json!(["one"]), json!("base64"), json!(8.0), vec!["one"], VectorForm::Base64),
    ] {
        let body = json!({
            "model": "m", "input": input, "encoding_format": format, "dimensions": dimensions, "user": "me",
        });
        let asked = asked(CallerDialect::OpenAiChat, body).expect("a good request");
        let expected = EmbedRequest {
            dimensions: (!dimensions.is_null()).then_some(8),
            extra: [("user".to_owned(), json!("me").into())].into_iter().collect(),
            extra_dialect: Some(Dialect::OpenAiChat),
            ..EmbedRequest::new("m", inputs)
        };
        assert_eq!((asked.request, asked.form), (expected, form));
    }
}

#[test]
fn geminis_requests_are_read_one_by_one_and_in_a_batch() {
    let one = |text: &str| {
        json!({"model": "models/m", "content": {"parts": [{"text": text}]}, "taskType": "RETRIEVAL_QUERY",
            "outputDimensionality": 8})
    };
    let request = |inputs: &[&str]| EmbedRequest {
        dimensions: Some(8),
        extra: [("taskType".to_owned(), json!("RETRIEVAL_QUERY").into())].into_iter().collect(),
        extra_dialect: Some(Dialect::Gemini),
        ..EmbedRequest::new("m", inputs.iter().copied())
    };
    let told = |asked: ParsedEmbedRequest| (asked.request, asked.form);
    let single = asked(CallerDialect::Gemini, one("one"));
    assert_eq!(single.map(told), Ok((request(&["one"]), VectorForm::One)));
    let batch = asked(CallerDialect::Gemini, json!({"requests": [one("one"), one("two")]}));
    assert_eq!(batch.map(told), Ok((request(&["one", "two"]), VectorForm::Batch)));
}

#[test]
fn what_cannot_be_embedded_is_refused_by_the_fields_name() {
    let one = |dimensions: u32| json!({"content": {"parts": [{"text": "a"}]}, "outputDimensionality": dimensions});
    for (caller_dialect, body, field) in [
        (CallerDialect::OpenAiChat, json!({"model": "m"}), "input"),
        (CallerDialect::OpenAiChat, json!({"input": "a"}), "model"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "input": {}}), "input"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "input": [1, "a"]}), "input[1]"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "input": [[1], [2, -1]]}), "input[1][1]"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "input": ["a", [1, 2]]}), "input[1]"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "input": "a", "encoding_format": "md5"}), "encoding_format"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "input": "a", "dimensions": -1}), "dimensions"),
        (CallerDialect::Gemini, json!({}), "content"),
        (CallerDialect::Gemini, json!({"requests": []}), "requests"),
        (CallerDialect::Gemini, json!({"content": {"parts": [{"inlineData": {}}]}}), "content.parts[0]"),
        (CallerDialect::Gemini, json!({"requests": [one(8), one(9)]}), "requests[1]"),
    ] {
        assert_eq!(asked(caller_dialect, body.clone()).map_err(|bad| bad.field), Err(field.to_owned()), "{body}");
    }
}

#[test]
fn tokens_are_read_as_what_they_are() {
    for (input, tokens) in
        [(json!([1, 2, 100_257]), vec![vec![1, 2, 100_257]]), (json!([[1, 2], [3]]), vec![vec![1, 2], vec![3]])]
    {
        let asked = asked(CallerDialect::OpenAiChat, json!({"model": "m", "input": input})).expect("a good request");
        assert_eq!(
            (asked.request.check(), &asked.request.inputs, asked.request.asked()),
            (Ok(()), &vec![], tokens.len())
        );
        assert_eq!(asked.request.tokens, tokens);
        assert_eq!(asked.request.demands().len(), 1, "not every target takes them");
    }
}

#[test]
fn vectors_are_written_in_the_form_that_was_asked_for() {
    let usage = json!({"prompt_tokens": 7, "total_tokens": 7});
    let entry = |index: u32, embedding: Value| json!({"object": "embedding", "index": index, "embedding": embedding});
    let text = written(VectorForm::Numbers);
    assert!(
        text.contains("[1.0,-0.5]") && text.contains("[0.1,0.002]"),
        "no digit that a number does not need: {text}"
    );
    let numbers = json_of(VectorForm::Numbers);
    assert_eq!((&numbers["data"][0], &numbers["usage"]), (&entry(0, json!([1.0, -0.5])), &usage));
    // The bytes of 1.0 are 00 00 80 3f, of -0.5 00 00 00 bf.
    let data = [entry(0, json!("AACAPwAAAL8=")), entry(1, json!("zczMPW8SAzs="))];
    let base64 = json!({"object": "list", "data": data, "model": "asked", "usage": usage});
    assert_eq!(json_of(VectorForm::Base64), base64);
    let google = json!({"promptTokenCount": 7});
    assert_eq!(json_of(VectorForm::One), json!({"embedding": {"values": [1.0, -0.5]}, "usageMetadata": google}));
    assert_eq!(json_of(VectorForm::Batch)["embeddings"][0], json!({"values": [1.0, -0.5]}));
    assert_eq!(json_of(VectorForm::Batch)["embeddings"].as_array().map(Vec::len), Some(2));
}

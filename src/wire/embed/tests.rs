use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::words::{FieldName, Note, base64};

fn request() -> EmbedRequest {
    EmbedRequest::new("embed", ["one", "two"])
}

fn encoded(dialect: Dialect, request: &EmbedRequest) -> Result<(String, Value, Vec<Note>), FailureClass> {
    let encoded =
        encode_embed(dialect, Flavour::at("http://plain.test"), request, "m").map_err(|failure| failure.class)?;
    let body = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    Ok((encoded.path.into_owned(), body, encoded.notes))
}

fn decoded(body: &Value, request: &EmbedRequest) -> Result<Embedded, FailureClass> {
    decode_embed(body.to_string().as_bytes(), request).map_err(|failure| failure.class)
}

#[test]
fn texts_are_asked_for_in_each_dialect() {
    let mut asked = request();
    asked.dimensions = Some(2);
    asked.extra =
        [("user".to_owned(), json!("me").into()), ("model".to_owned(), json!("other").into())].into_iter().collect();
    let plain = json!({"model": "m", "input": ["one", "two"], "dimensions": 2, "user": "me"});
    let one = |text: &str| {
        let content = json!({"parts": [{"text": text}]});
        json!({"model": "models/m", "content": content, "outputDimensionality": 2, "user": "me"})
    };
    let batch = json!({"requests": [one("one"), one("two")]});
    for (dialect, path, body) in [
        (Dialect::OpenAiChat, "/embeddings", &plain),
        (Dialect::Ollama, "/api/embed", &plain),
        (Dialect::Gemini, "/models/m:batchEmbedContents", &batch),
    ] {
        assert_eq!(encoded(dialect, &asked), Ok((path.to_owned(), body.clone(), Vec::new())), "{dialect:?}");
    }
}

#[test]
fn unset_fields_are_not_sent() {
    let (_, body, _) = encoded(Dialect::OpenAiChat, &request()).expect("a body");
    assert_eq!(body, json!({"model": "m", "input": ["one", "two"]}));
}

#[test]
fn extra_fields_of_another_dialect_are_left_out_and_noted() {
    let mut asked = request();
    asked.extra = [("taskType".to_owned(), json!("RETRIEVAL_QUERY").into())].into_iter().collect();
    asked.extra_dialect = Some(Dialect::Gemini);
    let (_, body, notes) = encoded(Dialect::OpenAiChat, &asked).expect("a body");
    assert_eq!(
        (body.get("taskType"), notes),
        (None, vec![Note::Dropped("extra"), Note::DroppedField(FieldName::new("taskType"))])
    );
    let (_, body, notes) = encoded(Dialect::Gemini, &asked).expect("a body");
    assert_eq!((&body["requests"][1]["taskType"], notes), (&json!("RETRIEVAL_QUERY"), vec![]));
}

#[test]
fn dialects_without_embeddings_say_so_before_anything_is_sent() {
    for dialect in [Dialect::OpenAiResponses, Dialect::AnthropicMessages, Dialect::Vertex] {
        assert_eq!(encoded(dialect, &request()), Err(FailureClass::Unsupported), "{dialect:?}");
    }
}

#[test]
fn an_azure_deployment_has_its_embeddings_beside_its_chat() {
    let flavour = Flavour::named("azure-deployments").expect("it is there");
    let encoded = encode_embed(Dialect::OpenAiChat, flavour, &request(), "my small").expect("a body");
    assert_eq!(encoded.path, "/openai/deployments/my%20small/embeddings");
}

#[test]
fn vectors_are_read_from_every_dialect() {
    let base64 = |numbers: [f32; 2]| base64::encode(&numbers.map(f32::to_le_bytes).concat());
    let usage = json!({"prompt_tokens": 7, "total_tokens": 7});
    for body in [
        json!({"object": "list", "model": "m-1", "usage": usage, "data": [
            {"object": "embedding", "index": 0, "embedding": [1, -0.5]},
            {"object": "embedding", "index": 1, "embedding": [0.25, 2e-3]},
        ]}),
        // Out of order, and in base64.
        json!({"data": [
            {"embedding": base64([0.25, 2e-3]), "index": 1},
            {"embedding": base64([1.0, -0.5]), "index": 0},
        ], "model": "m-1", "usage": usage}),
        json!({"embeddings": [{"values": [1, -0.5]}, {"values": [0.25, 2e-3]}],
            "usageMetadata": {"promptTokenCount": 7}, "model": "m-1"}),
        json!({"model": "m-1", "embeddings": [[1, -0.5], [0.25, 2e-3]], "prompt_eval_count": 7, "total_duration": 1}),
    ] {
        let embedded = decoded(&body, &request()).expect("vectors");
        assert_eq!(embedded.vectors, [[1.0, -0.5], [0.25, 2e-3]], "{body}");
        assert_eq!(embedded.usage, Some(Usage { input: 7, ..Usage::default() }), "{body}");
        assert_eq!(embedded.model.as_deref(), Some("m-1"), "{body}");
    }
}

#[test]
fn an_answer_that_cannot_be_stored_is_refused() {
    use FailureClass as C;
    let data = |data: Value| json!({"data": data});
    let entry = |index: i64, vector: Value| json!({"index": index, "embedding": vector});
    for (why, class, body) in [
        ("no vectors", C::Empty, data(json!([]))),
        ("nothing at all", C::Empty, json!({})),
        ("one too few", C::Unusable, data(json!([entry(0, json!([1]))]))),
        ("one too many", C::Unusable, data(json!([entry(0, json!([1])), entry(1, json!([1])), entry(2, json!([1]))]))),
        ("two for one text", C::Unusable, data(json!([entry(0, json!([1])), entry(0, json!([1]))]))),
        ("one for no text", C::Unusable, data(json!([entry(0, json!([1])), entry(2, json!([1]))]))),
        ("unequal lengths", C::Unusable, data(json!([entry(0, json!([1])), entry(1, json!([1, 2]))]))),
        ("an empty vector", C::Unusable, data(json!([entry(0, json!([])), entry(1, json!([]))]))),
        ("a number too great", C::Unusable, data(json!([entry(0, json!([1e39])), entry(1, json!([1]))]))),
        ("not a number", C::Unusable, data(json!([entry(0, json!("AADAfw==")), entry(1, json!("AADAfw=="))]))),
        ("no base64", C::Cut, data(json!([entry(0, json!("%%%%")), entry(1, json!([1]))]))),
        ("half a number", C::Cut, data(json!([entry(0, json!("AAA=")), entry(1, json!([1]))]))),
        ("a null", C::Cut, data(json!([entry(0, json!([null])), entry(1, json!([1]))]))),
    ] {
        assert_eq!(decoded(&body, &request()), Err(class), "{why}");
    }
    assert_eq!(decode_embed(b"<html>", &request()).map_err(|failure| failure.class), Err(C::Cut));
    let long = EmbedRequest { dimensions: Some(3), ..request() };
    let body = data(json!([entry(0, json!([1, 2])), entry(1, json!([1, 2]))]));
    assert_eq!(decoded(&body, &long), Err(C::Unusable), "of another length than was asked");
}

#[test]
fn an_error_inside_of_an_answer_is_classified_as_ever() {
    let body = json!({"error": {"message": "The engine is overloaded", "type": "overloaded_error", "code": 529}});
    assert_eq!(decoded(&body, &request()), Err(FailureClass::Overloaded));
}

proptest! {
    #[test]
    fn every_input_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_embed(&body, &request());
    }

    #[test]
    fn vectors_come_in_the_texts_order_however_they_are_listed(
        order in Just((0..9_u16).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let asked = EmbedRequest::new("embed", (0..9).map(|at| at.to_string()));
        let data: Vec<Value> = order.iter().map(|at| json!({"index": at, "embedding": [at]})).collect();
        let embedded = decoded(&json!({"data": data}), &asked).expect("vectors");
        prop_assert_eq!(embedded.vectors, (0..9_u16).map(|at| vec![f32::from(at)]).collect::<Vec<_>>());
    }
}

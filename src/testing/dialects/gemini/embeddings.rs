//! Google's embeddings at AI Studio, one text or a batch: which requests it would take, and the bytes of its answers.

use serde_json::{Map, Value, json};

use super::check::{Checked, Fields, RequestFault};
use crate::testing::embed_question::{EmbedQuestion, Form};

/// How long a vector is, and can be: as of `gemini-embedding-001`.
const DIMENSIONS: u64 = 3_072;

/// The most texts of one request.
const TEXTS_MAX: usize = 100;

/// Every field of a request for one text, as its documentation spells it.
const FIELDS: &[&str] = &["content", "model", "outputDimensionality", "taskType", "title"];

/// Understands a request, or says what is wrong with it.
pub(super) fn read(model: &str, batch: bool, body: &[u8]) -> Checked<EmbedQuestion> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| RequestFault::from("Invalid JSON payload received. Unexpected token."))?;
    let Value::Object(fields) = &body else { return Err(unknown("", "Root element must be a message.")) };
    if !batch {
        let (text, dimensions) = one(model, fields, false)?;
        return Ok(EmbedQuestion { model: model.to_owned(), inputs: vec![text], dimensions, form: Form::One });
    }
    if let Some(other) = fields.keys().find(|key| *key != "requests") {
        return Err(unknown(other, "Cannot find field."));
    }
    let requests = fields.get("requests").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if requests.is_empty() {
        return Err("* BatchEmbedContentsRequest.requests: at least one request is required".into());
    }
    if requests.len() > TEXTS_MAX {
        let most = format!("at most {TEXTS_MAX} requests can be in one batch");
        return Err(format!("* BatchEmbedContentsRequest.requests: {most}").into());
    }
    let read = |request: &Value| one(model, request.as_object().unwrap_or(&Map::new()), true);
    let all = requests.iter().map(read).collect::<Checked<Vec<_>>>()?;
    let dimensions = all[0].1;
    if all.iter().any(|(_, other)| *other != dimensions) {
        return Err("this provider of tests takes one outputDimensionality for a whole batch".into());
    }
    let inputs = all.into_iter().map(|(text, _)| text).collect();
    Ok(EmbedQuestion { model: model.to_owned(), inputs, dimensions, form: Form::Numbers })
}

/// Reads the request for one text; within a batch it must name the model again.
fn one(model: &str, request: &Fields, batch: bool) -> Checked<(String, usize)> {
    if let Some(other) = request.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(unknown(other, "Cannot find field."));
    }
    let named = request.get("model").and_then(Value::as_str);
    if named != Some(&format!("models/{model}")) && (batch || named.is_some()) {
        return Err("* EmbedContentRequest.model: must be the model of the address".into());
    }
    let parts = request.get("content").and_then(|content| content.get("parts")).and_then(Value::as_array);
    let parts = parts.map(Vec::as_slice).unwrap_or_default();
    let text: String = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
    if text.is_empty() {
        return Err("* EmbedContentRequest.content: content is empty".into());
    }
    let dimensions = match request.get("outputDimensionality") {
        None => DIMENSIONS,
        Some(number) => number.as_u64().unwrap_or(0),
    };
    if !(1..=DIMENSIONS).contains(&dimensions) {
        return Err(format!("* EmbedContentRequest.output_dimensionality: must be 1 to {DIMENSIONS}").into());
    }
    Ok((text, usize::try_from(dimensions).unwrap_or(usize::MAX)))
}

/// Writes an answer.
pub(super) fn write(texts: &EmbedQuestion, out: &mut Vec<u8>) {
    let mut vectors: Vec<Value> = texts.vectors().map(|vector| json!({"values": vector})).collect();
    let body = match (texts.form, vectors.pop()) {
        (Form::One, Some(vector)) => json!({"embedding": vector}),
        (_, last) => {
            vectors.extend(last);
            json!({"embeddings": vectors})
        }
    };
    serde_json::to_writer_pretty(out, &body).expect("JSON can always be written to memory");
}

fn unknown(name: &str, problem: &str) -> RequestFault {
    format!("Invalid JSON payload received. Unknown name \"{name}\": {problem}").into()
}

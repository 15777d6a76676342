//! OpenAI's embeddings: which requests it would take, and the bytes of its answers.

use serde_json::Value;

use super::check;
use crate::testing::dialects::fields::{Checked, bad_value, empty_array, missing, number, quoted, wrong, wrong_type};
use crate::testing::dialects::json::{base64, put, quote};
use crate::testing::embed_question::{EmbedQuestion, Form};

/// Every parameter of the official API.
const PARAMETERS: &[&str] = &["dimensions", "encoding_format", "input", "model", "user"];

/// How long a vector is, and can be: as of `text-embedding-3-small`.
const DIMENSIONS: u32 = 1_536;

/// The most texts of one request.
const TEXTS_MAX: usize = 2_048;

/// Understands a request, or says what is wrong with it.
pub(super) fn read(body: &[u8]) -> Checked<EmbedQuestion> {
    let (body, model) = check::begin(Some(PARAMETERS), None, body)?;
    let fields = body.as_object().expect("a body that was begun is an object");
    number(fields, "dimensions", "integer", 1.0, f64::from(DIMENSIONS))?;
    let dimensions = fields.get("dimensions").and_then(Value::as_u64).unwrap_or(DIMENSIONS.into());
    let form = match fields.get("encoding_format") {
        None => Form::Numbers,
        Some(Value::String(format)) if format == "float" => Form::Numbers,
        Some(Value::String(format)) if format == "base64" => Form::Base64,
        Some(Value::String(other)) => {
            return Err(bad_value("encoding_format", other, &quoted(&["float", "base64"])));
        }
        Some(other) => return Err(wrong_type("encoding_format", "a string", other)),
    };
    let expected = "one of a string or an array of strings";
    let texts = match fields.get("input") {
        None => return Err(missing("input")),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) if texts.is_empty() => return Err(empty_array("input")),
        Some(Value::Array(texts)) if texts.len() > TEXTS_MAX => {
            let problem =
                format!("array too long. Expected an array with maximum length {TEXTS_MAX}, but got {}.", texts.len());
            return Err(wrong(Some("input"), Some("array_above_max_length"), format!("Invalid 'input': {problem}")));
        }
        Some(Value::Array(texts)) => {
            // Tokens stand for a text that is told by nothing else here.
            let tokens = |list: &[Value]| list.iter().all(Value::is_u64).then(|| Value::from(list).to_string());
            let text = |text: &Value| match text {
                Value::String(text) => Some(text.clone()),
                Value::Array(list) => tokens(list).filter(|_| !list.is_empty()),
                _ => None,
            };
            let read = |each: &Value| text(each).ok_or_else(|| wrong_type("input", expected, each));
            match tokens(texts) {
                Some(one) => vec![one],
                None => texts.iter().map(read).collect::<Checked<_>>()?,
            }
        }
        Some(other) => return Err(wrong_type("input", expected, other)),
    };
    if texts.iter().any(String::is_empty) {
        let problem = "Invalid 'input': input cannot be an empty string.".to_owned();
        return Err(wrong(Some("input"), Some("invalid_value"), problem));
    }
    let dimensions = usize::try_from(dimensions).unwrap_or(usize::MAX);
    Ok(EmbedQuestion { model, inputs: texts, dimensions, form })
}

/// Writes an answer.
pub(super) fn write(texts: &EmbedQuestion, out: &mut Vec<u8>) {
    put(out, r#"{"object":"list","data":["#);
    for (at, vector) in texts.vectors().enumerate() {
        put(out, if at == 0 { "" } else { "," });
        put(out, &format!(r#"{{"object":"embedding","index":{at},"embedding":"#));
        match texts.form {
            Form::Base64 => quote(out, &base64(&bytes(&vector))),
            Form::Numbers | Form::One => numbers(&vector, out),
        }
        put(out, "}");
    }
    put(out, r#"],"model":"#);
    quote(out, &texts.model);
    let tokens = texts.tokens();
    put(out, &format!(r#","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#));
}

/// Writes a vector's numbers.
fn numbers(vector: &[f32], out: &mut Vec<u8>) {
    serde_json::to_writer(out, vector).expect("numbers can always be written to memory");
}

/// Returns a vector's bytes: four a number, the lowest first.
fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

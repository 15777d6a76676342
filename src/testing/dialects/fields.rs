//! Reads JSON as strictly as OpenAI does, with refusals in OpenAI's words.

use serde_json::{Map, Value};

/// How much a model may think.
pub(super) const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

pub(super) type Checked<T> = Result<T, Problem>;
pub(super) type Fields = Map<String, Value>;

/// A request's fault, before it is written in a provider's error format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) param: Option<String>,
    pub(super) code: Option<&'static str>,
    pub(super) message: String,
}

/// Returns a 400.
pub(super) fn wrong(param: Option<&str>, code: Option<&'static str>, message: impl Into<String>) -> Problem {
    Problem { status: 400, param: param.map(str::to_owned), code, message: message.into() }
}

pub(super) fn number(fields: &Fields, name: &str, of: &str, min: f64, max: f64) -> Checked<()> {
    let Some(value) = fields.get(name).filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let number = match value.as_f64() {
        Some(number) if of == "decimal" || value.is_i64() || value.is_u64() => number,
        _ => return Err(wrong_type(name, if of == "decimal" { "a decimal" } else { "an integer" }, value)),
    };
    let (side, sign, bound) = match number {
        number if number < min => ("below minimum", ">=", min),
        number if number > max => ("above maximum", "<=", max),
        _ => return Ok(()),
    };
    let code = match (of, sign) {
        ("decimal", ">=") => "decimal_below_min_value",
        ("decimal", _) => "decimal_above_max_value",
        (_, ">=") => "integer_below_min_value",
        _ => "integer_above_max_value",
    };
    let message =
        format!("Invalid '{name}': {of} {side} value. Expected a value {sign} {bound}, but got {value} instead.");
    Err(wrong(Some(name), Some(code), message))
}

pub(super) fn flag(fields: &Fields, name: &str) -> Checked<Option<bool>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(wrong_type(name, "a boolean", other)),
    }
}

pub(super) fn function_type(fields: &Fields, path: &str) -> Checked<()> {
    match text_field(fields, path, "type")? {
        "function" => Ok(()),
        other => Err(bad_value(&format!("{path}.type"), other, "'function'")),
    }
}

pub(super) fn check_name(name: &str, path: &str) -> Checked<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let problem = "string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]{1,64}$'.";
    Err(wrong(Some(path), Some("invalid_value"), format!("Invalid '{path}': {problem}")))
}

pub(super) fn text_field<'a>(fields: &'a Fields, path: &str, name: &str) -> Checked<&'a str> {
    let param = below(path, name);
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        None => Err(missing(&param)),
        Some(other) => Err(wrong_type(&param, "a string", other)),
    }
}

pub(super) fn object_field<'a>(fields: &'a Fields, path: &str, name: &str) -> Checked<&'a Fields> {
    let param = below(path, name);
    match fields.get(name) {
        Some(Value::Object(object)) => Ok(object),
        None => Err(missing(&param)),
        Some(other) => Err(wrong_type(&param, "an object", other)),
    }
}

/// Returns an optional array.
pub(super) fn array_field<'a>(fields: &'a Fields, path: &str, name: &str) -> Checked<Option<&'a [Value]>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values)),
        Some(other) => Err(wrong_type(&below(path, name), "an array", other)),
    }
}

/// Checks an optional field that is one of a few words.
pub(super) fn word_field(fields: &Fields, path: &str, name: &str, known: &[&str]) -> Checked<()> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(word)) if known.contains(&word.as_str()) => Ok(()),
        Some(Value::String(word)) => Err(bad_value(&below(path, name), word, &quoted(known))),
        Some(other) => Err(wrong_type(&below(path, name), "a string", other)),
    }
}

/// Refuses fields that are not known.
pub(super) fn only(fields: &Fields, path: &str, known: &[&str]) -> Checked<()> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(unknown_field(&below(path, unknown))),
        None => Ok(()),
    }
}

/// Returns the path of a field.
pub(super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

pub(super) fn unknown_field(param: &str) -> Problem {
    wrong(Some(param), Some("unknown_parameter"), format!("Unknown parameter: '{param}'."))
}

/// Returns the fault of a strict schema, if it has one: all objects must be closed and must require all their fields.
pub(super) fn loose_schema(schema: &Value, context: &[String]) -> Option<String> {
    let fields = schema.as_object()?;
    let here = |problem: &str| {
        let steps: Vec<String> = context.iter().map(|step| format!("'{step}'")).collect();
        Some(format!("In context=({}), {problem}", steps.join(", ")))
    };
    let is_object = match fields.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        kind => kind.is_some_and(|kind| kind == "object"),
    };
    if is_object && fields.get("additionalProperties") != Some(&Value::Bool(false)) {
        return here("'additionalProperties' is required to be supplied and to be false.");
    }
    let required = fields.get("required").and_then(Value::as_array);
    let is_required = |name: &String| required.is_some_and(|names| names.iter().any(|known| known == name));
    let mut properties = fields.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    if let Some(name) = properties.find(|name| !is_required(name)) {
        let problem = "'required' is required to be supplied and to be an array including every key in properties.";
        return here(&format!("{problem} Missing '{name}'."));
    }
    inner_schemas(fields).into_iter().find_map(|(steps, inner)| loose_schema(inner, &[context, &steps].concat()))
}

/// Returns what is wrong with the schema of an answer: OpenAI holds answers to objects alone, as its refusals of lists
/// say.
pub(super) fn root_of_no_object(schema: &Value) -> Option<String> {
    let got = schema["type"].as_str().unwrap_or("None");
    (got != "object").then(|| format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{got}\"'."))
}

/// Returns the schemas within a schema, and the way to each.
fn inner_schemas(fields: &Fields) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    for key in ["properties", "$defs", "definitions"] {
        let named = fields.get(key).and_then(Value::as_object).into_iter().flatten();
        found.extend(named.map(|(name, inner)| (vec![key.to_owned(), name.clone()], inner)));
    }
    for key in ["anyOf", "allOf", "oneOf"] {
        let several = fields.get(key).and_then(Value::as_array).into_iter().flatten();
        found.extend(several.enumerate().map(|(at, inner)| (vec![key.to_owned(), at.to_string()], inner)));
    }
    found.extend(fields.get("items").map(|inner| (vec!["items".to_owned()], inner)));
    found
}

pub(super) fn missing(param: &str) -> Problem {
    wrong(Some(param), Some("missing_required_parameter"), format!("Missing required parameter: '{param}'."))
}

pub(super) fn empty_array(param: &str) -> Problem {
    let problem = "empty array. Expected an array with minimum length 1, but got an empty array instead.";
    wrong(Some(param), Some("empty_array"), format!("Invalid '{param}': {problem}"))
}

pub(super) fn bad_value(param: &str, value: &str, known: &str) -> Problem {
    let message = format!("Invalid value: '{value}'. Supported values are: {known}.");
    wrong(Some(param), Some("invalid_value"), message)
}

pub(super) fn wrong_type(param: &str, expected: &str, got: &Value) -> Problem {
    let message = format!("Invalid type for '{param}': expected {expected}, but got {} instead.", kind(got));
    wrong(Some(param), Some("invalid_type"), message)
}

pub(super) fn quoted(values: &[&str]) -> String {
    values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ")
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

//! Recorded traffic, for the dialects' tests: requests to real providers, and their answers.

use std::collections::BTreeSet;

use serde_json::Value;

/// One recorded exchange.
pub(super) struct Case {
    pub(super) provider: String,
    pub(super) name: String,
    pub(super) status: u64,
    pub(super) is_stream: bool,
    /// The request's body, where it is whole.
    pub(super) request: Option<Value>,
    pub(super) text: String,
    /// The response's body, if it is JSON.
    pub(super) response: Value,
}

/// Returns the exchanges with some providers by an API. Where the recordings are missing there are none, and it says
/// so.
pub(super) fn cases(providers: &[&str], api: &str) -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/open");
    let mut cases = Vec::new();
    for provider in providers {
        let Ok(lines) = std::fs::read_to_string(format!("{folder}/{provider}.jsonl")) else {
            println!("skipped: no recordings of {provider}");
            continue;
        };
        let recorded = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a recorded case"));
        for case in recorded.filter(|case| case["api"] == api) {
            let request = case["request"]["body"].as_str().filter(|_| case["request"]["body_truncated"] != true);
            let text = case["response"]["body"].as_str().unwrap_or_default().to_owned();
            cases.push(Case {
                provider: (*provider).to_owned(),
                name: case["case"].as_str().unwrap_or_default().to_owned(),
                status: case["response"]["status"].as_u64().unwrap_or(0),
                is_stream: case["streaming"] == true,
                request: request.and_then(|body| serde_json::from_str(body).ok()),
                response: serde_json::from_str(&text).unwrap_or_default(),
                text,
            });
        }
    }
    cases
}

/// Returns the JSON of each event of a stream.
pub(super) fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}

/// Returns the paths of all fields in a value, `choices[].delta.content` for one. The caller's own values, such as
/// schemas, are not entered.
pub(super) fn paths(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(inner, &path, found);
                found.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|inner| walk(inner, &format!("{path}[]"), found)),
        _ => {}
    }
}

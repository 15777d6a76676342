use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::testing::{Answer, Fault, Outcome, Script, Scripted};
use crate::transport::{HttpRequest, Transport as _};
use crate::words::Usage;

const STUDIO: &str = "https://google.test/v1beta/models";
const VERTEX: &str = "https://google.test/v1/projects/p/locations/global/publishers/google/models";
const OLD: &str = "gemini-2.5-flash";
const NEW: &str = "gemini-3-flash-preview";

/// The methods of a model: whole, events, array.
const METHODS: [&str; 3] = ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"];

fn ask(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

fn thinking(text: &str) -> Value {
    let mut body = ask(text);
    body["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": true}});
    body
}

fn post(url: String, body: &Value) -> HttpRequest {
    HttpRequest { url, headers: HeaderMap::new(), body: body.to_string().into(), words: None }
}

/// The result of a request.
struct Got {
    status: u16,
    headers: HeaderMap,
    chunks: Vec<String>,
    /// `.` well, `!` broken, `~` not.
    end: char,
}

impl Got {
    fn body(&self) -> String {
        self.chunks.concat()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body()).unwrap_or_else(|problem| panic!("{problem}: {}", self.body()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(provider: &Scripted, request: HttpRequest) -> Got {
    let response = provider.send(request).await.unwrap();
    let (mut chunks, mut body) = (Vec::new(), response.body);
    let end = loop {
        match timeout(Duration::from_secs(600), body.next()).await {
            Ok(Some(Ok(chunk))) => chunks.push(String::from_utf8(chunk.to_vec()).unwrap()),
            Ok(Some(Err(_))) => break '!',
            Ok(None) => break '.',
            Err(_) => break '~',
        }
    };
    Got { status: response.status, headers: response.headers, chunks, end }
}

/// Returns the objects of a body, with any framing.
fn objects(body: &str) -> Vec<Value> {
    if body.starts_with("data: ") {
        let event = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        return body.split_terminator("\r\n\r\n").map(event).collect();
    }
    match serde_json::from_str(body).unwrap() {
        Value::Array(objects) => objects,
        object => vec![object],
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_these_bytes() {
    let provider = Scripted::new(Script::default());
    provider.say(Answer::text("a <b>").reasoning("hm"));
    let got = send(&provider, post(format!("{STUDIO}/{NEW}:{}", METHODS[1]), &thinking("one two"))).await;
    assert_eq!((got.header("content-type"), got.header("content-disposition")), ("text/event-stream", "attachment"));
    assert_eq!(got.header("server-timing"), "gfet4t7; dur=0");
    let responses = objects(&got.body());
    let id = responses[0]["responseId"].as_str().unwrap();
    let signature = responses[3]["candidates"][0]["content"]["parts"][0]["thoughtSignature"].as_str().unwrap();
    let event = |part: &str, end: &str, counts: &str, thoughts: &str| {
        format!(
            "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{{part}}}],\"role\": \"model\"}},{end}\"index\": 0}}],\
             \"usageMetadata\": {{\"promptTokenCount\": 2,{counts},\"promptTokensDetails\": [{{\"modality\": \
             \"TEXT\",\"tokenCount\": 2}}],{thoughts}\"serviceTier\": \"standard\"}},\"modelVersion\": \
             \"{NEW}\",\"responseId\": \"{id}\"}}\r\n\r\n"
        )
    };
    let one = "\"thoughtsTokenCount\": 1,";
    let expected = [
        event("\"text\": \"hm\",\"thought\": true", "", "\"totalTokenCount\": 3", one),
        event("\"text\": \"a\"", "", "\"candidatesTokenCount\": 1,\"totalTokenCount\": 4", one),
        event("\"text\": \" \\u003cb\\u003e\"", "", "\"candidatesTokenCount\": 2,\"totalTokenCount\": 5", one),
        event(
            &format!("\"text\": \"\",\"thoughtSignature\": \"{signature}\""),
            "\"finishReason\": \"STOP\",",
            "\"candidatesTokenCount\": 2,\"totalTokenCount\": 5",
            one,
        ),
    ];
    assert_eq!(got.chunks, expected);
}

#[tokio::test(start_paused = true)]
async fn an_array_grows_by_these_bytes() {
    let provider = Scripted::new(Script::default());
    let got = send(&provider, post(format!("{VERTEX}/{OLD}:{}", METHODS[2]), &ask("hi"))).await;
    assert_eq!(got.header("content-type"), "application/json; charset=UTF-8");
    assert_eq!(got.header("server-timing"), "");
    let id = got.json()[0]["responseId"].as_str().unwrap().to_owned();
    let tail = format!(
        "  \"modelVersion\": \"{OLD}\",\n  \"createTime\": \"2026-01-01T00:00:01.000000Z\",\n  \"responseId\": \"{id}\"\n}}\n"
    );
    let head = |text: &str| {
        format!(
            "{{\n  \"candidates\": [\n    {{\n      \"content\": {{\n        \"role\": \"model\",\n        \"parts\": [\n          \
             {{\n            \"text\": \"{text}\"\n          }}\n        ]\n      }}"
        )
    };
    let expected = [
        "[".to_owned(),
        format!(
            "{}\n    }}\n  ],\n  \"usageMetadata\": {{\n    \"trafficType\": \"ON_DEMAND\"\n  }},\n{tail},\r\n",
            head("hi")
        ),
        format!(
            "{},\n      \"finishReason\": \"STOP\"\n    }}\n  ],\n  \"usageMetadata\": {{\n    \"promptTokenCount\": 1,\n    \
             \"candidatesTokenCount\": 1,\n    \"totalTokenCount\": 2,\n    \"trafficType\": \"ON_DEMAND\",\n    \
             \"promptTokensDetails\": [\n      {{\n        \"modality\": \"TEXT\",\n        \"tokenCount\": 1\n      }}\n    \
             ],\n    \"candidatesTokensDetails\": [\n      {{\n        \"modality\": \"TEXT\",\n        \"tokenCount\": \
             1\n      }}\n    ]\n  }},\n{tail}]",
            head("")
        ),
    ];
    assert_eq!(got.chunks, expected);
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_shown_to_requests_that_ask_and_counted_for_all() {
    let provider = Scripted::new(Script::default());
    for (body, shown) in [(thinking("hi"), 3), (ask("hi"), 2)] {
        provider.say(Answer::text("yes").reasoning("well well").tool_call("f", "{}"));
        let got = send(&provider, post(format!("{STUDIO}/{OLD}:{}", METHODS[0]), &body)).await.json();
        let parts = got["candidates"][0]["content"]["parts"].as_array().unwrap().clone();
        assert_eq!(parts.len(), shown);
        assert_eq!(parts[0]["thought"] == true, shown == 3);
        assert!(parts[shown - 1]["thoughtSignature"].is_string(), "a call is signed if it was thought about");
        assert_eq!(
            parts[shown - 1]["functionCall"],
            json!({"name": "f", "args": {}}),
            "and has no id before the third"
        );
        let usage = &got["usageMetadata"];
        assert_eq!(
            (&usage["candidatesTokenCount"], &usage["thoughtsTokenCount"], &usage["totalTokenCount"]),
            (&json!(3), &json!(2), &json!(6))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn calls_in_parallel_come_in_one_piece_with_ids_and_one_signature() {
    let provider = Scripted::new(Script { per_token: Duration::from_millis(10), ..Script::default() });
    let mut times = Vec::new();
    for method in METHODS {
        provider.say(Answer::text("so").tool_call("f", r#"{"city":"Bern"}"#).tool_call("g", "{}"));
        let begun = Instant::now();
        let got = send(&provider, post(format!("{STUDIO}/{NEW}:{method}"), &ask("hi"))).await;
        times.push(begun.elapsed());
        let objects = objects(&got.body());
        let with_calls =
            objects.iter().flat_map(|object| object["candidates"][0]["content"]["parts"].as_array().unwrap());
        let calls: Vec<_> = with_calls.filter(|part| part.get("functionCall").is_some()).collect();
        assert_eq!(calls[0]["functionCall"]["args"], json!({"city": "Bern"}));
        let id = |at: usize| calls[at]["functionCall"]["id"].as_str().unwrap().to_owned();
        assert!(id(0).len() == 8 && id(0) != id(1), "{} {}", id(0), id(1));
        assert!(calls[0]["thoughtSignature"].is_string() && calls[1].get("thoughtSignature").is_none());
        assert_eq!(objects.last().unwrap()["candidates"][0]["finishReason"], "STOP");
    }
    assert_eq!(times, [Duration::from_millis(50); 3], "a call takes its tokens' time, however it comes");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_arguments_is_malformed() {
    let provider = Scripted::new(Script::default());
    for method in METHODS {
        provider.say(Answer::default().tool_call("f", "{\"a\":"));
        let got = send(&provider, post(format!("{VERTEX}/{NEW}:{method}"), &ask("hi"))).await;
        let last = objects(&got.body()).pop().unwrap();
        assert_eq!(last["candidates"][0]["finishReason"], "MALFORMED_FUNCTION_CALL", "{method}");
        assert_eq!(last["candidates"][0]["content"], json!({}));
    }
}

/// Retells a body: what each object says, and what is none: `?` for broken, `…` for one without end.
fn retell(got: &Got) -> String {
    let tell = |object: &Value| {
        if let Some(error) = object.get("error") {
            return format!("error({})", error["status"].as_str().unwrap());
        }
        let candidate = &object["candidates"][0];
        let parts = candidate["content"]["parts"].as_array().cloned().unwrap_or_default();
        let mut told: Vec<_> = parts.iter().map(|part| format!("'{}'", part["text"].as_str().unwrap())).collect();
        told.extend(candidate["finishReason"].as_str().map(|reason| format!("={reason}")));
        told.join(" ")
    };
    let body = got.body();
    let told = if body.starts_with("data: ") {
        let piece = |piece: &str| match piece.strip_prefix("data: ") {
            Some(data) if piece.ends_with("\r\n\r\n") => {
                serde_json::from_str(data).map_or("?".to_owned(), |object| tell(&object))
            }
            Some(_) => "…".to_owned(),
            None => serde_json::from_str(piece).map_or("?".to_owned(), |object| tell(&object)),
        };
        body.split_inclusive("\r\n\r\n").map(piece).collect()
    } else {
        match serde_json::from_str(&body) {
            Ok(Value::Array(objects)) => objects.iter().map(tell).collect(),
            Ok(object) => vec![tell(&object)],
            Err(_) => vec!["?".to_owned()],
        }
    };
    format!("{} {} {}", got.status, told.join(" "), got.end)
}

#[tokio::test(start_paused = true)]
async fn every_fault_shows_in_every_framing() {
    let well = "200 'one' ' two' ' three' '' =STOP .";
    let whole = "200 'one two three' =STOP .";
    for (fault, expected_whole, expected_events, expected_array) in [
        (None, whole, well, well),
        (Some(Fault::StallAfter(2)), "200 ? ~", "200 'one' ' two' ~", "200 ? ~"),
        (Some(Fault::CutAfter(9)), "200 ? !", "200 'one' ' two' ' three' !", "200 ? !"),
        (Some(Fault::TruncatedJson), "200 ? .", "200 'one' ' two' … .", "200 ? ."),
        (Some(Fault::InvalidJson), "200 ? .", "200 'one' ' two' ? '' =STOP .", "200 ? ."),
        (Some(Fault::Empty), "200 =STOP .", "200 '' =STOP .", "200 '' =STOP ."),
        (
            Some(Fault::Finish("SAFETY".into())),
            "200 'one two three' =SAFETY .",
            "200 'one' ' two' ' three' =SAFETY .",
            "200 'one' ' two' ' three' =SAFETY .",
        ),
        (
            Some(Fault::ErrorEvent { after: 1 }),
            "200 error(UNAVAILABLE) .",
            "200 'one' error(UNAVAILABLE) .",
            "200 'one' error(UNAVAILABLE) .",
        ),
        (
            Some(Fault::ErrorEvent { after: 0 }),
            "200 error(UNAVAILABLE) .",
            "200 error(UNAVAILABLE) .",
            "200 error(UNAVAILABLE) .",
        ),
        (Some(Fault::LyingHeaders), whole, well, well),
    ] {
        for (method, expected) in METHODS.iter().zip([expected_whole, expected_events, expected_array]) {
            for models in [STUDIO, VERTEX] {
                let provider = Scripted::new(Script::default());
                if let Some(fault) = fault.clone() {
                    provider.always(fault);
                }
                let got = send(&provider, post(format!("{models}/{OLD}:{method}"), &ask("one two three"))).await;
                assert_eq!(retell(&got), expected, "{fault:?} {models} {method}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_error_is_in_the_framing_that_was_asked_for() {
    for &error in ProviderError::ALL {
        for models in [STUDIO, VERTEX] {
            for method in METHODS {
                let provider = Scripted::new(Script::default());
                provider.always(Fault::Error(error));
                let got = send(&provider, post(format!("{models}/{OLD}:{method}"), &ask("hi"))).await;
                assert_eq!(provider.log()[0].outcome, Outcome::Fault(error.name()));
                if error == ProviderError::BadGateway {
                    assert!(got.status == 502 && got.body().starts_with("<!DOCTYPE html>"));
                    assert_eq!(got.header("content-type"), "text/html");
                    continue;
                }
                let is_events = method.ends_with("sse");
                let kind = if is_events { "text/event-stream" } else { "application/json; charset=UTF-8" };
                assert_eq!(got.header("content-type"), kind);
                let body = got.body();
                assert_eq!(body.starts_with('['), method == METHODS[2], "{body}");
                // A refusal is no event; a prompt that is blocked is an answer.
                assert_eq!(body.starts_with("data: "), is_events && error == ProviderError::Filtered, "{body}");
                let object = objects(&body).pop().unwrap();
                if error == ProviderError::Filtered {
                    assert_eq!(got.status, 200);
                    assert_eq!(object["promptFeedback"]["blockReason"], "PROHIBITED_CONTENT");
                    assert!(object.get("candidates").is_none());
                } else {
                    assert_eq!(object["error"]["code"], got.status, "{body}");
                    assert!(object["error"]["status"].is_string());
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_says_when_to_come_back_in_its_body_or_not_at_all() {
    let wait = Duration::from_millis(34_400);
    for (hint, models, retry, quota, message) in [
        (RetryHint::Seconds(wait), STUDIO, "34.400s", "PerMinute", "Please retry in 34.4s."),
        (RetryHint::Seconds(Duration::from_secs(48)), VERTEX, "48s", "PerMinute", "Please retry in 48s."),
        (RetryHint::Millis(wait), STUDIO, "34.400s", "PerMinute", "Please retry in 34.4s."),
        (RetryHint::Date(wait), STUDIO, "34.400s", "PerMinute", "Please retry in 34.4s."),
        (RetryHint::Reset(wait), STUDIO, "34.400s", "PerMinute", "Please retry in 34.4s."),
        (RetryHint::Text(wait), STUDIO, "", "PerMinute", "Please retry in 34.4s."),
        (RetryHint::Silent, STUDIO, "", "PerDay", "You exceeded your current quota"),
        (RetryHint::Silent, VERTEX, "", "", "Resource exhausted. Please try again later."),
    ] {
        let provider = Scripted::new(Script::default());
        provider.always(Fault::RateLimited(hint));
        let got = send(&provider, post(format!("{models}/{OLD}:{}", METHODS[0]), &ask("hi"))).await;
        assert_eq!((got.status, got.header("retry-after")), (429, ""));
        assert!(!got.headers.keys().any(|name| name.as_str().contains("ratelimit")));
        let error = got.json()["error"].clone();
        assert_eq!(error["status"], "RESOURCE_EXHAUSTED");
        let details = error["details"].as_array().cloned().unwrap_or_default();
        let detail =
            |kind: &str| details.iter().find(|detail| detail["@type"].as_str().unwrap().ends_with(kind)).cloned();
        assert_eq!(detail("RetryInfo").map(|info| info["retryDelay"].clone()).unwrap_or(json!("")), retry, "{hint:?}");
        let id = detail("QuotaFailure").map(|failure| failure["violations"][0]["quotaId"].as_str().unwrap().to_owned());
        assert!(id.unwrap_or_default().contains(quota), "{hint:?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{hint:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_models_and_paths_are_googles() {
    let provider = Scripted::new(Script { models: vec![OLD.into()], keys: vec!["right".into()], ..Script::default() });
    let request = |url: String, header: Option<(&'static str, &str)>| {
        let mut request = post(url, &ask("hi"));
        if let Some((name, value)) = header {
            request.headers.insert(name, value.parse().unwrap());
        }
        request
    };
    let whole = METHODS[0];
    let key = Some(("x-goog-api-key", "right"));
    let table = [
        (request(format!("{STUDIO}/{OLD}:{whole}"), key), 200, ""),
        (request(format!("{STUDIO}/{OLD}:{whole}?key=right"), None), 200, ""),
        (request(format!("{STUDIO}/{OLD}:{whole}?key=wrong"), None), 400, "INVALID_ARGUMENT"),
        (request(format!("{STUDIO}/{OLD}:{whole}"), Some(("x-goog-api-key", "wrong"))), 400, "INVALID_ARGUMENT"),
        (request(format!("{STUDIO}/{OLD}:{whole}"), Some(("authorization", "Bearer right"))), 403, "PERMISSION_DENIED"),
        (request(format!("{VERTEX}/{OLD}:{whole}"), Some(("authorization", "Bearer right"))), 200, ""),
        (request(format!("{VERTEX}/{OLD}:{whole}"), Some(("authorization", "Bearer wrong"))), 401, "UNAUTHENTICATED"),
        (request(format!("{VERTEX}/{OLD}:{whole}"), key), 401, "UNAUTHENTICATED"),
        (request(format!("{STUDIO}/{NEW}:{whole}"), key), 404, "NOT_FOUND"),
        (request(STUDIO.to_owned(), key), 200, ""),
        (request(format!("{STUDIO}?pageSize=5"), key), 200, ""),
    ];
    for (request, status, said) in table {
        let url = request.url.clone();
        let got = send(&provider, request).await;
        assert_eq!(got.status, status, "{url}: {}", got.body());
        assert_eq!(got.json()["error"]["status"].as_str().unwrap_or_default(), said, "{url}");
    }
    let listed = send(&provider, request(STUDIO.to_owned(), key)).await.json();
    assert_eq!(listed["models"][0]["name"], format!("models/{OLD}"));
    let listed = send(&provider, request(VERTEX.to_owned(), Some(("authorization", "Bearer right")))).await.json();
    assert_eq!(listed["publisherModels"][0]["name"], format!("publishers/google/models/{OLD}"));
    for nowhere in ["embedContents", "generateContents"] {
        let got = send(&provider, request(format!("{STUDIO}/{OLD}:{nowhere}"), key)).await;
        assert!(got.status == 404 && got.body().contains("Error 404 (Not Found)!!1"), "{}", got.body());
    }
    let one = SPEECHES[0][0].models(&[OLD.to_owned()], Some(OLD)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&one).unwrap()["name"], format!("models/{OLD}"));
    assert_eq!(SPEECHES[1][0].models(&[OLD.to_owned()], Some("x")).unwrap_err().status, 404);
}

#[test]
fn other_dialects_addresses_are_not_googles() {
    for path in [
        "/v1/chat/completions",
        "/v1/models",
        "/v1beta/openai/chat/completions",
        "/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict",
        "/v1/messages",
    ] {
        assert!(request_kind(true, Address { path, query: "" }).is_none(), "{path}");
    }
}

/// The paths of all keys in an object. A call's arguments are not walked: their fields are the caller's.
fn keys(object: &Value, path: &str, found: &mut BTreeSet<String>) {
    match object {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                if name != "args" {
                    keys(value, &path, found);
                }
                found.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, path, found)),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_keys_that_recorded_ones_have() {
    for (file, models) in [("gemini", STUDIO), ("vertex", VERTEX)] {
        let path = format!("{}/../shared/corpus/open/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let Ok(lines) = fs::read_to_string(&path) else {
            println!("skipped: {path} is missing");
            continue;
        };
        let (mut known, mut always): (_, Option<BTreeSet<String>>) = (BTreeSet::new(), None);
        let (mut events, mut arrays) = (0, 0);
        for line in lines.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            if case["api"] != "gemini-generate" || case["response"]["status"] != 200 {
                continue;
            }
            let body = case["response"]["body"].as_str().unwrap();
            events += usize::from(body.starts_with("data: ") && body.ends_with("\r\n\r\n"));
            arrays += usize::from(body.starts_with("[{\n") && body.ends_with("\n}\n]") && body.contains("}\n,\r\n{"));
            for object in objects(body) {
                let mut found = BTreeSet::new();
                keys(&object, "", &mut found);
                // The last chunk of answers that have one, of models that still exist.
                if !object["candidates"][0]["finishReason"].is_null() && !body.contains("gemini-1.5") {
                    always = Some(always.map_or(found.clone(), |always| &always & &found));
                }
                known.append(&mut found);
            }
        }
        assert!(events > 5 && (arrays > 2 || file == "vertex"), "{file}: {events} {arrays}");
        let always = always.unwrap();
        assert!(always.len() > 8, "{always:?}");
        for method in METHODS {
            let provider = Scripted::new(Script::default());
            let usage = Usage { input: 9, output: 5, cached: 4, reasoning: 2, ..Usage::default() };
            provider.say(Answer::text("yes").reasoning("well well").usage(usage));
            provider.say(Answer::default().tool_call("f", r#"{"a": 1}"#));
            for _ in 0..2 {
                let got = send(&provider, post(format!("{models}/{NEW}:{method}"), &thinking("hi"))).await;
                let mut last = BTreeSet::new();
                for object in objects(&got.body()) {
                    last.clear();
                    keys(&object, "", &mut last);
                    let unknown: Vec<_> = last.difference(&known).collect();
                    // Vertex AI gives ids since September; the recordings are older.
                    let unknown: Vec<_> = unknown.iter().filter(|key| !key.ends_with("functionCall.id")).collect();
                    assert!(unknown.is_empty(), "{file}: {unknown:?}");
                }
                assert!(always.is_subset(&last), "{file} {method}: {:?}", always.difference(&last));
            }
        }
    }
}

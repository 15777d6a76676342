use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::testing::dialects::recorded::{cases, events, paths};
use crate::testing::{Answer, Fault, Script, Scripted};
use crate::transport::{HttpRequest, Transport as _};

/// Fields that newer recordings lack and the official schema requires.
const WANTED: &[&str] = &["response.usage.input_tokens_details.cache_write_tokens"];

async fn exchange(provider: &Scripted, body: &Value) -> String {
    let url = "https://standin.test/v1/responses".into();
    let request = HttpRequest { url, headers: HeaderMap::new(), body: body.to_string().into(), words: None };
    let response = provider.send(request).await.unwrap();
    assert_eq!(response.status, 200, "{body}");
    let chunks: Vec<_> = response.body.collect().await;
    String::from_utf8(chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect()).unwrap()
}

/// A request that asks for everything an answer can have.
fn curious(stream: bool) -> Value {
    let parameters = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    json!({
        "model": "gpt-5-mini", "stream": stream, "store": false, "include": ["reasoning.encrypted_content"],
        "input": "hello", "reasoning": {"effort": "low", "summary": "auto"},
        "tools": [{"type": "function", "name": "f", "description": "", "parameters": parameters, "strict": true}],
    })
}

fn rich() -> Answer {
    Answer::text("Let me see.").reasoning("Hm. Well.").tool_call("f", r#"{"a":1111111}"#).tool_call("f", "{}")
}

/// Returns the paths of each kind of event, in all of them and in any of them.
fn shapes(events: &[Value]) -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let mut shapes: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for event in events {
        let own = paths(event);
        let (all, any) = shapes.entry(event["type"].as_str().unwrap().to_owned()).or_insert((own.clone(), own.clone()));
        *all = all.intersection(&own).cloned().collect();
        any.extend(own);
    }
    shapes
}

/// The fields that each recorded stream of OpenAI's has, and those that some have.
fn recorded() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let streams = cases(&["openai", "azure"], "responses");
    let streams = streams.iter().filter(|case| case.is_stream && case.status == 200);
    shapes(&streams.flat_map(|case| events(&case.text)).collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn events_have_the_fields_of_recorded_ones() {
    let provider = Scripted::new(Script::default());
    let mut ours = Vec::new();
    for answer in [rich(), Answer::text("Half a").finish("max_output_tokens")] {
        provider.say(answer);
        ours.extend(events(&exchange(&provider, &curious(true)).await));
    }
    provider.next(1, Fault::ErrorEvent { after: 3 });
    ours.extend(events(&exchange(&provider, &curious(true)).await));
    let recorded = recorded();
    // A response is the same object in whichever event it is.
    let object: BTreeSet<&String> =
        recorded.values().flat_map(|(_, any)| any).filter(|p| p.starts_with("response.")).collect();
    for (kind, (own_all, own_any)) in shapes(&ours).iter().filter(|_| !recorded.is_empty()) {
        let (all, any) = recorded.get(kind).unwrap_or_else(|| panic!("nobody ever sent {kind}"));
        let is_known = |path: &&String| WANTED.contains(&path.as_str()) || object.contains(path);
        let made_up: Vec<_> = own_any.difference(any).filter(|path| !is_known(path)).collect();
        assert!(made_up.is_empty(), "{kind} never had {made_up:?}");
        let forgotten: Vec<_> = all.difference(own_all).collect();
        assert!(forgotten.is_empty(), "{kind} always has {forgotten:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_the_life_of_each_item_in_order_and_numbered() {
    let provider = Scripted::new(Script::default());
    provider.say(rich());
    let stream = exchange(&provider, &curious(true)).await;
    let told = events(&stream);
    let numbers: Vec<_> = told.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..told.len() as u64).collect::<Vec<_>>());
    let mut kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let named: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(named, kinds, "an event is called what its data says");
    kinds.dedup();
    let text = |part: &str, text: &str| {
        let [added, delta, said, done] = [".added", ".delta", ".done", ".done"];
        [format!("{part}{added}"), format!("{text}{delta}"), format!("{text}{said}"), format!("{part}{done}")]
    };
    let item = |inner: Vec<String>| {
        let whole = |what: &str| format!("response.output_item.{what}");
        [vec![whole("added")], inner, vec![whole("done")]].concat()
    };
    let call = ["response.function_call_arguments.delta", "response.function_call_arguments.done"].map(str::to_owned);
    let expected = [
        vec!["response.created".to_owned(), "response.in_progress".to_owned()],
        item(text("response.reasoning_summary_part", "response.reasoning_summary_text").to_vec()),
        item(text("response.content_part", "response.output_text").to_vec()),
        item(call.to_vec()),
        item(call.to_vec()),
        vec!["response.completed".to_owned()],
    ];
    assert_eq!(kinds, expected.concat());
    let ids: Vec<_> = told.iter().filter_map(|event| event["item"]["id"].as_str()).map(|id| &id[..3]).collect();
    assert_eq!(ids, ["rs_", "rs_", "msg", "msg", "fc_", "fc_", "fc_", "fc_"]);
    assert_eq!(told.last().unwrap()["response"]["output"].as_array().unwrap().len(), 4);
    assert!(!stream.contains("[DONE]"));
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_the_object_that_a_stream_ends_with() {
    for answer in [rich(), Answer::text("no").finish("refusal"), Answer::text("Half").finish("content_filter")] {
        let objects = [Script::default(), Script::default()].map(Scripted::new);
        for provider in &objects {
            provider.say(answer.clone());
        }
        let streamed = exchange(&objects[0], &curious(true)).await;
        let whole: Value = serde_json::from_str(&exchange(&objects[1], &curious(false)).await).unwrap();
        assert_eq!(events(&streamed).last().unwrap()["response"], whole);
    }
    let provider = Scripted::new(Script::default());
    provider.say(Answer::text("no").finish("refusal"));
    let whole: Value = serde_json::from_str(&exchange(&provider, &curious(false)).await).unwrap();
    assert_eq!(whole["output"][0]["content"], json!([{"type": "refusal", "refusal": "no"}]));
    provider.say(Answer::text("Half").finish("content_filter"));
    let whole: Value = serde_json::from_str(&exchange(&provider, &curious(false)).await).unwrap();
    assert_eq!(
        (&whole["status"], &whole["incomplete_details"]["reason"]),
        (&"incomplete".into(), &"content_filter".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_within_a_stream_continues_its_numbering() {
    let provider = Scripted::new(Script::default());
    provider.always(Fault::ErrorEvent { after: 2 });
    let told = events(&exchange(&provider, &json!({"model": "m", "input": "a b c d", "stream": true})).await);
    let tail: Vec<_> = told.iter().rev().take(3).map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(tail, ["response.failed", "error", "response.output_text.delta"]);
    assert_eq!(told.last().unwrap()["sequence_number"], told.len() - 1);
    assert_eq!(told.last().unwrap()["response"]["error"]["code"], "server_error");
}

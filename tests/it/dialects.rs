//! A call moves between providers of different dialects.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use standin::config::DialectConfig;
use standin::testing::{Fault, ProviderError, Script, Scripted};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use standin::{Config, ProviderConfig, Runtime};

use super::kit::{ask, config};

/// Answers every request with the same body, and keeps the requests.
#[derive(Clone, Debug, Default)]
struct Canned {
    body: &'static str,
    asked: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
}

impl Transport for Canned {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let body = serde_json::from_slice(&request.body.whole()).expect("JSON");
        self.asked.lock().expect("no panic").push((request.url, request.headers, body));
        let chunks = self.body.as_bytes().chunks(7).map(|chunk| Ok(Bytes::from_static(chunk)));
        let body = Box::pin(futures_util::stream::iter(chunks));
        Box::pin(async { Ok(HttpResponse::new(200, HeaderMap::new(), body)) })
    }
}

const ANTHROPIC: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","model":"claude-x","content":[],"usage":{"input_tokens":3,"cache_read_input_tokens":7,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello."}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

"#;

/// Puts a provider of another dialect behind the last one of the route.
fn add(config: &mut Config, name: &str, dialect: DialectConfig, transport: &Canned) {
    let mut provider = ProviderConfig::new(format!("http://{name}.test/v1")).model("m").key("sk-1");
    provider.dialect = Some(dialect);
    provider.custom = Some(Arc::new(transport.clone()));
    config.providers.insert(name.into(), provider);
    let route = config.routes.get_mut("smart").expect("the route");
    route.targets.push(format!("{name}/m").as_str().into());
}

#[tokio::test(start_paused = true)]
async fn a_conversation_moves_to_anthropic_and_its_thoughts_go_back_there_alone() {
    let scripted = Scripted::new(Script::default());
    let anthropic = Canned { body: ANTHROPIC, ..Canned::default() };
    let mut config = config(std::slice::from_ref(&scripted));
    add(&mut config, "anthropic", DialectConfig::Anthropic, &anthropic);
    let runtime = Runtime::builder().config(config).start().await.expect("starts");

    scripted.next(1, Fault::Error(ProviderError::Overloaded));
    let question = ask("Hi");
    let reply = runtime.chat(question.clone()).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), "anthropic/m");
    assert_eq!((reply.text.as_str(), reply.reasoning.as_str()), ("Hello.", "Hm."));
    assert_eq!((reply.finished.usage.input, reply.finished.usage.cached, reply.finished.usage.output), (10, 7, 5));

    scripted.next(1, Fault::Error(ProviderError::Overloaded));
    let more = question.message(reply.finished.to_message()).user("More");
    runtime.chat(more.clone()).await.expect("an answer");
    let asked = anthropic.asked.lock().expect("no panic").clone();
    let (url, headers, body) = &asked[1];
    assert_eq!(url, "http://anthropic.test/v1/messages");
    assert_eq!(
        (&headers["x-api-key"], &headers["anthropic-version"]),
        (&"sk-1".parse().unwrap(), &"2023-06-01".parse().unwrap())
    );
    let thought = json!({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"});
    assert_eq!(body["messages"][1]["content"], json!([thought, {"type": "text", "text": "Hello."}]));

    let elsewhere = runtime.chat(more).await.expect("an answer");
    assert_eq!(
        elsewhere.finished.target.to_string(),
        "a/m",
        "the conversation goes on where there are no such thoughts"
    );
}

#[test]
fn a_configuration_names_its_dialects() {
    for (name, dialect) in [("openai-chat", DialectConfig::OpenaiChat), ("anthropic", DialectConfig::Anthropic)] {
        assert_eq!(serde_json::from_value::<DialectConfig>(name.into()).expect("a name"), dialect);
    }
}

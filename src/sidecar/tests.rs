//! The sidecar over sockets.

use std::sync::Arc;

use futures_util::StreamExt as _;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::config::{ProviderConfig, RouteConfig};
use crate::testing::{Fault, ProviderError, Script, Scripted, vector};
use crate::transport::{Http, HttpRequest, Transport as _, TransportOptions};

/// A sidecar over two providers of one model that embeds and one that chats, which serve every name.
async fn sidecar(providers: &[Scripted; 2]) -> Sidecar {
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".parse().expect("an address");
    settings.server.default_route = Some("all".to_owned());
    let mut route = RouteConfig::default();
    for (name, scripted) in ["a", "b"].into_iter().zip(providers) {
        let mut provider = ProviderConfig::new(format!("http://{name}.test/v1")).model("gpt-5-mini").model("embed-1");
        provider.custom = Some(Arc::new(scripted.clone()));
        settings.runtime.providers.insert(name.to_owned(), provider);
        route
            .targets
            .extend([format!("{name}/gpt-5-mini"), format!("{name}/embed-1")].iter().map(|it| it.as_str().into()));
    }
    settings.runtime.routes.insert("all".to_owned(), route);
    Sidecar::start(settings).await.expect("starts")
}

/// Posts JSON; returns status, headers and JSON.
async fn post(sidecar: &Sidecar, path: &str, body: Value) -> (u16, HeaderMap, Value) {
    let http = Http::new(&TransportOptions::default()).expect("a client");
    let url = format!("http://{}{path}", sidecar.address());
    let request = HttpRequest { url, headers: HeaderMap::new(), body: body.to_string().into(), words: None };
    let response = http.send(request).await.expect("a response");
    let body: Vec<_> = response.body.map(|chunk| chunk.expect("a chunk")).collect().await;
    (response.status, response.headers, serde_json::from_slice(&body.concat()).expect("JSON"))
}

fn numbers(list: &Value) -> Vec<f32> {
    serde_json::from_value(list.clone()).expect("numbers")
}

#[tokio::test]
async fn texts_are_embedded_for_callers_of_both_dialects_when_a_target_fails() {
    let providers = [(); 2].map(|()| Scripted::new(Script::default()));
    let sidecar = sidecar(&providers).await;
    providers[0].always(Fault::Error(ProviderError::Unavailable));
    let texts = json!({"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 4});
    let (status, headers, body) = post(&sidecar, "/v1/embeddings", texts).await;
    assert_eq!((status, &body["model"]), (200, &json!("text-embedding-3-small")), "{body}");
    assert_eq!(headers["x-standin-target"], "b/embed-1");
    assert_eq!(body["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    for (at, text) in ["one", "two"].into_iter().enumerate() {
        assert_eq!(numbers(&body["data"][at]["embedding"]), vector(text, 4));
    }
    let text = json!({"input": "one", "model": "m", "dimensions": 1, "encoding_format": "base64"});
    let (_, _, body) = post(&sidecar, "/v1/embeddings", text).await;
    // Of length one, a single number is 1 or -1.
    let expected = if vector("one", 1)[0] > 0.0 { "AACAPw==" } else { "AACAvw==" };
    assert_eq!(body["data"][0]["embedding"], expected);
    let one =
        |text: &str| json!({"model": "models/m", "content": {"parts": [{"text": text}]}, "outputDimensionality": 4});
    let (_, _, body) = post(&sidecar, "/v1beta/models/m:embedContent", one("one")).await;
    assert_eq!(numbers(&body["embedding"]["values"]), vector("one", 4));
    let batch = json!({"requests": [one("one"), one("two")]});
    let (_, _, body) = post(&sidecar, "/v1beta/models/m:batchEmbedContents", batch).await;
    assert_eq!(numbers(&body["embeddings"][1]["values"]), vector("two", 4));
}

#[tokio::test]
async fn texts_that_cannot_be_embedded_are_refused_in_the_callers_dialect() {
    let providers = [(); 2].map(|()| Scripted::new(Script::default()));
    let sidecar = sidecar(&providers).await;
    for (path, body, status, says) in [
        ("/v1/embeddings", json!({"model": "m", "input": [[1, "two"]]}), 400, "input[0][1]: must be a whole"),
        ("/v1/embeddings", json!({"model": "m", "input": []}), 400, "inputs: is empty"),
        (
            "/v1/embeddings",
            json!({"model": "a/gpt-5-mini", "input": "one"}),
            400,
            "its model chats; set `kind = \"embedding\"`",
        ),
        ("/v1beta/models/m:embedContent", json!({}), 400, "content: is missing"),
    ] {
        let (got, _, answer) = post(&sidecar, path, body.clone()).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(got == status && message.contains(says), "{path} {body}: {got} {answer}");
    }
    assert_eq!(providers[0].received() + providers[1].received(), 0);
}

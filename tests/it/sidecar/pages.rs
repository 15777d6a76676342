//! Web pages in a browser on this machine: they can do nothing, unless they are allowed.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use standin::sidecar::{ClientKey, Hash};
use standin::testing::Script;

use super::http::{self, Caller, Exchange, Response};
use super::{Stage, stage, stage_with};

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";
const READ: [&str; 6] = ["/health", "/metrics", "/explain/smart", "/v1/models", "/v1beta/models", "/v1/models/smart"];

async fn invited(keys: Vec<ClientKey>) -> Stage {
    stage_with(1, Script::default(), |settings| {
        settings.server.allow_origins = vec![APP.into()];
        settings.server.hosts = vec!["standin.example".into()];
        settings.server.keys = keys;
    })
    .await
}

fn key(name: &str, secret: &str, operator: bool) -> ClientKey {
    let (routes, requests_per_minute) = (Vec::new(), None);
    ClientKey { name: name.into(), sha256: Hash::of(secret), routes, fields: Vec::new(), requests_per_minute, operator }
}

fn is_refused(reply: &Response, status: u16, what: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), None, "{what}");
    let error: Value = reply.json();
    assert!(error["error"]["message"].is_string(), "{what}: {error}");
}

#[tokio::test]
async fn a_web_page_that_is_not_invited_spends_nothing_and_reads_nothing() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for page in [
        &[("origin", EVIL)][..],
        &[("origin", "null")],
        &[("origin", "http://localhost:3000")],
        &[("origin", EVIL), ("sec-fetch-site", "cross-site")],
        // An image or a script of a page has no origin.
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
        &[("sec-fetch-site", "same-site")],
        // A name of the page's own that leads here since its address was changed.
        &[("host", "evil.example:4000")],
        &[("host", "evil.example:4000"), ("origin", "http://evil.example:4000"), ("sec-fetch-site", "same-origin")],
    ] {
        for stream in [false, true] {
            for caller in Caller::ALL {
                let reply = http::ask_with(to, caller, "smart", "Hi", stream, page).await;
                is_refused(&reply, 403, &format!("{caller:?} {page:?}"));
            }
        }
        for path in READ {
            is_refused(&http::get_with(to, path, page).await, 403, &format!("{path} {page:?}"));
        }
    }
    assert_eq!(stage.counts(0).received, 0);
    let metrics = http::get(to, "/metrics").await.body;
    assert!(metrics.contains("standin_refusals_total{reason=\"page\"} 84"), "{metrics}");
    assert!(metrics.contains("standin_refusals_total{reason=\"host\"} 28"), "{metrics}");
}

#[tokio::test]
async fn whatever_is_refused_before_it_is_a_call_is_counted_by_its_reason_and_is_no_call() {
    let keys = vec![key("team", "k", false), key("ops", "o", true)];
    let stage = stage_with(1, Script::default(), |settings| settings.server.keys = keys).await;
    let to = stage.sidecar.address();
    let metrics = async || http::get_with(to, "/metrics", &[("authorization", "Bearer o")]).await.body;
    let count = async |reason: &str| {
        let (metrics, mark) = (metrics().await, format!("standin_refusals_total{{reason=\"{reason}\"}} "));
        let count = metrics.lines().find_map(|line| line.strip_prefix(&*mark)?.parse::<u64>().ok());
        count.unwrap_or_else(|| panic!("no {reason} in {metrics}"))
    };
    let (path, body) = Caller::Chat.ask("smart", "Hi", false);
    let known = ("authorization", "Bearer k");
    let asks = |model: &str| {
        format!("{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hi\"}}]}}")
    };
    for (method, path, headers, body, status, reason) in [
        ("POST", &*path, &[("accept", "*/*")][..], body.to_string(), 401, "key"),
        ("POST", &path, &[known], "{".to_owned(), 400, "request"),
        ("POST", &path, &[known], "{\"model\": 3}".to_owned(), 400, "request"),
        ("POST", &path, &[known, ("x-standin-priority", "soon")], body.to_string(), 400, "request"),
        ("POST", &path, &[known, ("expect", "wonders")], body.to_string(), 417, "request"),
        ("POST", &path, &[known, ("content-type", "text/plain")], body.to_string(), 415, "content"),
        ("POST", &path, &[known, ("content-encoding", "gzip")], body.to_string(), 415, "content"),
        ("PUT", &path, &[known], body.to_string(), 405, "address"),
        ("POST", "/v1/nothing", &[known], body.to_string(), 404, "address"),
        ("GET", "/v1/models/nobody", &[known], String::new(), 404, "route"),
        ("POST", "/v1/messages/count_tokens", &[known], asks("nobody"), 404, "request"),
        ("GET", "/v1/responses/resp_00000000000000000000000000000001", &[known], String::new(), 404, "kept"),
        ("POST", "/v1/responses/resp_00000000000000000000000000000001/cancel", &[known], String::new(), 404, "kept"),
        ("DELETE", "/v1/responses/resp_1", &[known], String::new(), 404, "kept"),
    ] {
        let before = count(reason).await;
        let reply = Exchange::begin(to, method, path, headers, &body).await.end().await;
        assert_eq!((reply.status, count(reason).await - before), (status, 1), "{reason}: {reply:?}");
    }
    assert!(!metrics().await.contains("standin_calls_total{"), "none was a call");
    assert!(stage.sidecar.runtime().recent().is_empty() && stage.counts(0).received == 0);
}

#[tokio::test]
async fn a_form_or_a_text_is_no_request() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for kind in ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data"] {
        for caller in Caller::ALL {
            let reply = http::ask_with(to, caller, "smart", "Hi", false, &[("content-type", kind)]).await;
            is_refused(&reply, 415, &format!("{caller:?} {kind}"));
            assert!(caller.message(&reply.json()).contains("content-type: application/json"), "{reply:?}");
        }
        let body = r#"{"model": "a", "input": "Hi"}"#;
        let asked = Exchange::begin(to, "POST", "/v1/embeddings", &[("content-type", kind)], body).await;
        is_refused(&asked.end().await, 415, kind);
    }
    assert_eq!(stage.counts(0).received, 0);
    for kind in ["application/json", "application/json; charset=utf-8"] {
        let reply = http::ask_with(to, Caller::Chat, "smart", "Hi", false, &[("content-type", kind)]).await;
        assert_eq!(reply.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn programs_that_send_no_origin_are_let_in_by_addresses_and_known_names() {
    let stage = invited(Vec::new()).await;
    let to = stage.sidecar.address();
    let port = to.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "agent.localhost", "host.docker.internal", "standin.example"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            let headers = [("host", host.as_str()), ("sec-fetch-mode", "cors"), ("accept-language", "*")];
            let reply = http::ask_with(to, Caller::Anthropic, "smart", "Hi", false, &headers).await;
            assert_eq!(reply.status, 200, "{host}: {reply:?}");
        }
    }
    let mut old = Exchange::connect(to).await;
    old.send("GET /v1/models HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.end().await.status, 200);
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let stage = stage(1).await;
    for hosts in ["", "host: localhost\r\nhost: localhost\r\n", "host: localhost\r\nhost: evil.example\r\n"] {
        let mut exchange = Exchange::connect(stage.sidecar.address()).await;
        exchange.send(&format!("GET /health HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).await;
        let reply = exchange.end().await;
        assert_eq!(reply.status, 400, "{hosts:?}: {reply:?}");
    }
    let mut exchange = Exchange::connect(stage.sidecar.address()).await;
    exchange.send("GET http://evil.example/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(exchange.end().await.status, 400, "the target of the request names a host, too");
}

/// Asks whether a page may ask.
async fn preflight(to: SocketAddr, path: &str, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-standin-session"),
        ("access-control-request-private-network", "true"),
        ("sec-fetch-site", "cross-site"),
    ];
    Exchange::begin(to, "OPTIONS", path, &headers, "").await.end().await
}

#[tokio::test]
async fn an_invited_page_asks_and_reads_every_answer() {
    for keys in [Vec::new(), vec![key("team", "k", false)]] {
        let stage = invited(keys.clone()).await;
        let to = stage.sidecar.address();
        for (path, origin, allowed) in [
            ("/v1/chat/completions", APP, true),
            ("/v1beta/models/smart:generateContent", APP, true),
            ("/health", APP, false),
            ("/reset", APP, false),
            ("/v1/chat/completions", EVIL, false),
        ] {
            // A browser sends no key with this question.
            let reply = preflight(to, path, origin).await;
            assert_eq!(reply.status == 204, allowed, "{path} {origin}: {reply:?}");
            assert_eq!(reply.header("access-control-allow-origin"), allowed.then_some(APP));
            if allowed {
                let asked_for = reply.header("access-control-allow-headers").expect("headers that may be sent");
                assert!(asked_for.contains("authorization") && asked_for.contains("x-standin-session"), "{asked_for}");
                assert!(
                    reply.header("access-control-allow-methods").is_some_and(|methods| methods == "GET, POST, DELETE")
                );
                assert_eq!(reply.header("access-control-allow-private-network"), Some("true"));
            }
        }
        let page = [("origin", APP), ("sec-fetch-site", "cross-site"), ("authorization", "Bearer k")];
        for stream in [false, true] {
            for (model, status) in [("smart", 200), ("nobody", 404)] {
                let reply = http::ask_with(to, Caller::Chat, model, "Hi", stream, &page).await;
                assert_eq!(reply.status, status, "{reply:?}");
                assert_eq!(reply.header("access-control-allow-origin"), Some(APP), "{reply:?}");
                assert_eq!(reply.header("vary"), Some("origin"));
            }
        }
        let wrong = [("origin", APP), ("authorization", "Bearer wrong")];
        let reply = http::ask_with(to, Caller::Chat, "smart", "Hi", false, &wrong).await;
        assert_eq!(reply.status, if keys.is_empty() { 200 } else { 401 });
        assert_eq!(reply.header("access-control-allow-origin"), Some(APP), "a page hears why it is refused");
        let quiet = http::ask_with(to, Caller::Chat, "smart", "Hi", false, &[("authorization", "Bearer k")]).await;
        assert_eq!((quiet.status, quiet.header("access-control-allow-origin")), (200, None));
    }
}

#[tokio::test]
async fn an_invited_page_is_no_operator() {
    for keys in [Vec::new(), vec![key("team", "k", false), key("ops", "o", true)]] {
        let stage = invited(keys).await;
        let to = stage.sidecar.address();
        let page = [("origin", APP), ("sec-fetch-site", "cross-site"), ("authorization", "Bearer o")];
        for path in ["/health", "/metrics", "/ledger?by=all", "/explain/smart", "/why/1-1"] {
            is_refused(&http::get_with(to, path, &page).await, 403, path);
        }
        for path in ["/reset", "/reset/a", "/forget?before=0s"] {
            let reply = Exchange::begin(to, "POST", path, &page, "").await.end().await;
            is_refused(&reply, 403, path);
            assert!(reply.body.contains("are no operators"), "{reply:?}");
        }
        let reply = http::get_with(to, "/health", &[("authorization", "Bearer o")]).await;
        assert_eq!(reply.status, 200, "a program is one");
    }
}

#[tokio::test]
async fn a_form_or_a_text_forgets_and_resets_nothing() {
    let stage = stage(1).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        for path in ["/reset", "/forget?before=1s"] {
            let headers = [("content-type", kind)];
            let reply = Exchange::begin(stage.sidecar.address(), "POST", path, &headers, "a=b").await.end().await;
            assert_eq!(reply.status, 415, "{path} {kind}: {reply:?}");
        }
    }
    let reply = Exchange::begin(stage.sidecar.address(), "POST", "/reset", &[], "").await.end().await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn with_a_key_a_client_comes_by_any_name_and_an_operator_by_known_ones() {
    let operators = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.keys = vec![key("team", "k", false), key("ops", "o", true)];
        settings.server.admin = Some(operators);
    })
    .await;
    let named = [("host", "standin.somewhere:4000"), ("authorization", "Bearer k")];
    let reply = http::ask_with(stage.sidecar.address(), Caller::Chat, "smart", "Hi", false, &named).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let admin = stage.sidecar.admin_address().expect("a door for operators");
    for (host, status) in [("standin.somewhere:4001", 403), ("localhost:4001", 200)] {
        let headers = [("host", host), ("authorization", "Bearer o")];
        assert_eq!(http::get_with(admin, "/health", &headers).await.status, status, "{host}");
    }
    // A client that only watches asks by any name.
    assert_eq!(http::get_with(admin, "/ready", &[("host", "probe.example")]).await.status, 200);
}

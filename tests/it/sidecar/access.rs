//! Access: which clients may call which routes, how often; and that a client's key is not passed on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use standin::CallId;
use standin::sidecar::{ClientKey, Hash, Settings, Sidecar};
use standin::testing::Script;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::http::{self, Caller, Exchange};
use super::{PROVIDERS_KEY, stage, stage_with};

const TEAM_KEY: &str = "standin-of-a-team";

fn team() -> ClientKey {
    ClientKey {
        name: "team".into(),
        sha256: Hash::of(TEAM_KEY),
        routes: vec!["smart".into()],
        fields: Vec::new(),
        requests_per_minute: None,
        operator: false,
    }
}

fn everywhere(settings: &mut Settings) {
    settings.server.listen.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
}

/// How a dialect's clients send their key.
fn header(caller: Caller, key: &str) -> (&'static str, String) {
    match caller {
        Caller::Chat | Caller::Responses => ("authorization", format!("Bearer {key}")),
        Caller::Anthropic => ("x-api-key", key.to_owned()),
        Caller::Gemini => ("x-goog-api-key", key.to_owned()),
    }
}

#[tokio::test]
async fn beyond_loopback_nothing_is_served_without_keys() {
    let stage = stage(1).await;
    let mut open = stage.settings.clone();
    everywhere(&mut open);
    let refused = Sidecar::start(open.clone()).await.err().expect("a refusal").to_string();
    assert!(refused.starts_with("server.listen: is not loopback"), "{refused}");
    // What runs is judged by the socket that it has: where it listens next time is said in the log.
    stage.sidecar.reload(open).await.expect("it stays on loopback");
    assert!(stage.sidecar.address().ip().is_loopback());
}

#[tokio::test]
async fn a_key_that_is_missing_or_wrong_is_refused_in_the_callers_dialect() {
    let stage = stage_with(1, Script::default(), |settings| {
        everywhere(settings);
        settings.server.keys = vec![team()];
    })
    .await;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, stage.sidecar.address().port()));
    for caller in Caller::ALL {
        let (name, wrong) = header(caller, PROVIDERS_KEY);
        let (_, right) = header(caller, TEAM_KEY);
        for headers in [vec![], vec![(name, wrong.as_str())]] {
            let reply = http::ask_with(to, caller, "smart", "Hi", false, &headers).await;
            assert_eq!((reply.status, reply.header("x-should-retry")), (401, Some("false")), "{reply:?}");
            assert!(caller.message(&reply.json()).contains("key"));
            let error = &reply.json()["error"];
            match caller {
                Caller::Anthropic => assert_eq!(error["type"], "authentication_error"),
                Caller::Gemini => assert_eq!(error["status"], "UNAUTHENTICATED"),
                Caller::Chat | Caller::Responses => assert_eq!(error["code"], "invalid_api_key"),
            }
        }
        let reply = http::ask_with(to, caller, "smart", "Hi", false, &[(name, right.as_str())]).await;
        assert_eq!((reply.status, caller.text(&reply.json()).as_str()), (200, "Hi"));
    }
    assert_eq!(http::get(to, "/v1/models").await.status, 401);
    assert_eq!(stage.counts(0).received, 4);
}

#[tokio::test]
async fn a_key_opens_its_routes_and_shows_no_others() {
    let stage = stage_with(2, Script::default(), |settings| settings.server.keys = vec![team()]).await;
    let to = stage.sidecar.address();
    for caller in Caller::ALL {
        let (name, key) = header(caller, TEAM_KEY);
        let headers = [(name, key.as_str())];
        for other in ["b", "a%2Fgpt-5-mini", "nobody"] {
            let other = if caller == Caller::Gemini { other.to_owned() } else { other.replace("%2F", "/") };
            let reply = http::ask_with(to, caller, &other, "Hi", false, &headers).await;
            assert_eq!(reply.status, 404, "{caller:?} {other}: {reply:?}");
        }
        assert_eq!(http::ask_with(to, caller, "smart", "Hi", true, &headers).await.status, 200);
    }
    let key = format!("Bearer {TEAM_KEY}");
    let list = http::get_with(to, "/v1/models", &[("authorization", &key)]).await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["data"][0]["id"], "smart");
    assert_eq!(stage.counts(1).received, 0);
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let hurried = ClientKey { requests_per_minute: Some(1), ..team() };
    let stage = stage_with(1, Script::default(), |settings| settings.server.keys = vec![hurried]).await;
    let key = format!("Bearer {TEAM_KEY}");
    let headers = [("authorization", key.as_str())];
    let mut statuses = Vec::new();
    for caller in Caller::ALL {
        let reply = http::ask_with(stage.sidecar.address(), caller, "smart", "Hi", false, &headers).await;
        statuses.push(reply.status);
        if reply.status == 429 {
            let seconds = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
            assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{reply:?}");
            assert!(caller.message(&reply.json()).contains("too many requests"));
        }
    }
    assert_eq!(statuses, [200, 429, 429, 429]);
    assert_eq!(stage.counts(0).received, 1);
}

/// Returns the head of the request that the first or second provider gets for a caller's, which is not answered.
async fn head_at(place: usize, caller: Caller, headers: &[(&str, &str)]) -> String {
    let provider = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = provider.local_addr().expect("an address");
    let asked = tokio::spawn(async move {
        let (mut connection, _) = provider.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.expect("more of the head"));
        }
        String::from_utf8(head).expect("a text").to_lowercase()
    });
    let name = ["a", "b"][place];
    let stage = stage_with(2, Script::default(), |settings| {
        settings.server.keys = vec![ClientKey { routes: Vec::new(), ..team() }];
        let provider = settings.runtime.providers.get_mut(name).expect("a provider");
        provider.base_url = Some(format!("http://{address}/v1"));
    })
    .await;
    let reply = http::ask_with(stage.sidecar.address(), caller, name, "Hi", false, headers).await;
    assert!(reply.status >= 500, "nobody answered: {reply:?}");
    asked.await.expect("a request")
}

#[tokio::test]
async fn a_callers_key_and_headers_go_to_no_provider() {
    let key = format!("Bearer {TEAM_KEY}");
    let headers = [
        ("authorization", key.as_str()),
        ("x-api-key", TEAM_KEY),
        ("cookie", "session=secret-of-a-team"),
        ("x-standin-session", "conversation-of-a-team"),
        ("x-standin-deadline", "1"),
    ];
    let head = head_at(0, Caller::Chat, &headers).await;
    assert!(head.contains(&format!("authorization: bearer {PROVIDERS_KEY}")), "{head}");
    assert!(!head.contains("of-a-team"), "{head}");
}

#[tokio::test]
async fn betas_of_a_client_go_only_to_providers_of_its_dialect() {
    let beta = |name| [("x-api-key", TEAM_KEY), (name, "context-management-2025-06-27"), (name, "two")];
    for (place, caller, expected) in [(1, Caller::Anthropic, 2), (0, Caller::Anthropic, 0), (1, Caller::Chat, 0)] {
        let head = head_at(place, caller, &beta("anthropic-beta")).await;
        assert_eq!(head.matches("\nanthropic-beta: ").count(), expected, "{head}");
    }
}

#[tokio::test]
async fn settings_show_no_key() {
    let stage = stage_with(1, Script::default(), |settings| settings.server.keys = vec![team()]).await;
    let shown = format!("{:?} {}", stage.settings, Hash::of(TEAM_KEY));
    assert!(shown.contains("team") && !shown.contains(TEAM_KEY) && !shown.contains(PROVIDERS_KEY), "{shown}");
}

#[tokio::test]
async fn a_key_may_stand_in_geminis_query() {
    let stage = stage_with(1, Script::default(), |settings| settings.server.keys = vec![team()]).await;
    let (path, body) = Caller::Gemini.ask("smart", "Hi", false);
    let path = format!("{path}?key={TEAM_KEY}");
    let reply = Exchange::begin(stage.sidecar.address(), "POST", &path, &[], &body.to_string()).await.end().await;
    assert_eq!(Caller::Gemini.text(&reply.json()), "Hi");
}

#[tokio::test]
async fn a_callers_names_are_bounded_and_a_session_is_not() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let long = "n".repeat(257);
    for caller in Caller::ALL {
        for (name, value) in [
            ("x-standin-tag-team", long.clone()),
            (format!("x-standin-tag-{long}").leak(), "red".to_owned()),
            ("x-standin-labels", format!("eu,{long}")),
            ("x-standin-priority", long.clone()),
        ] {
            let reply = http::ask_with(to, caller, "smart", "Hi", false, &[(name, value.as_str())]).await;
            let said = caller.message(&reply.json()).to_owned();
            assert_eq!(reply.status, 400, "{name}: {reply:?}");
            assert!(said.starts_with(&name[..name.len().min(128)]) && said.contains("256"), "{said}");
        }
        let reply = http::ask(to, caller, &long, "Hi", false).await;
        let said = caller.message(&reply.json()).to_owned();
        assert!(reply.status == 400 && said.starts_with("model: ") && said.len() < 200, "{reply:?}");
        let many: Vec<String> = (0..65).map(|label| label.to_string()).collect();
        let reply = http::ask_with(to, caller, "smart", "Hi", false, &[("x-standin-labels", &many.join(","))]).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!(stage.counts(0).received, 0);

    let session = "s".repeat(30_000);
    let said = [json!({"role": "user", "content": "Hi"})];
    let by_key = json!({"model": "smart", "messages": said, "prompt_cache_key": session});
    let by_user = json!({"model": "smart", "messages": said, "max_tokens": 9, "metadata": {"user_id": session}});
    let by_metadata = json!({"model": "smart", "messages": said, "metadata": {"x-standin-session": session}});
    for (path, body) in
        [("/v1/chat/completions", by_key), ("/v1/messages", by_user), ("/v1/chat/completions", by_metadata)]
    {
        let reply = Exchange::begin(to, "POST", path, &[], &body.to_string()).await.end().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let call = reply.header("x-standin-call").and_then(|call| call.parse::<CallId>().ok()).expect("a call");
        let flight = stage.sidecar.runtime().why(call).expect("it is remembered");
        assert_eq!(flight.about.session.as_deref(), Some(Hash::of(&session).to_string().as_str()));
    }
}

#[tokio::test]
async fn a_refusal_repeats_a_long_word_by_its_beginning_alone() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let long = "n".repeat(100_000);
    let talk = json!([{"role": "user", "content": "Hi"}]);
    let chat = |field: &str, value: Value| {
        let mut body = json!({"model": "smart", "max_tokens": 9, "messages": talk});
        body[field] = value;
        body
    };
    let responses = |input: Value, field: &str, value: Value| {
        let mut body = json!({"model": "smart", "input": input});
        body[field] = value;
        body
    };
    let gemini = |field: &str, value: Value| {
        let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
        body[field] = value;
        body
    };
    let (of_chat, of_messages, of_responses) = ("/v1/chat/completions", "/v1/messages", "/v1/responses");
    let of_gemini = "/v1beta/models/smart:generateContent";
    let bodies = [
        (of_chat, chat("messages", json!([{"role": long, "content": "Hi"}]))),
        (of_chat, chat("messages", json!([{"role": "user", "content": [{"type": long, "x": 1}]}]))),
        (of_chat, chat("tool_choice", json!({"type": long}))),
        (of_chat, chat("response_format", json!({"type": long}))),
        (of_messages, chat("tools", json!([{"type": long, "name": "x"}]))),
        (of_messages, chat("tool_choice", json!({"type": long}))),
        (of_messages, chat("messages", json!([{"role": "user", "content": [{"type": long}]}]))),
        (of_responses, responses(json!([{"type": long}]), "store", json!(false))),
        (of_responses, responses(json!("Hi"), "tools", json!([{"type": long}]))),
        (of_responses, responses(json!("Hi"), "tool_choice", json!({"type": long}))),
        (of_gemini, gemini("tools", json!([{long.clone(): {}}]))),
        (of_gemini, gemini("contents", json!([{"role": long, "parts": [{"text": "Hi"}]}]))),
        (of_gemini, gemini("contents", json!([{"role": "user", "parts": [{long.clone(): {}}]}]))),
        ("/v1/embeddings", json!({"model": "smart", "input": "Hi", "encoding_format": long})),
    ];
    let mut refused = 0;
    for (path, body) in bodies {
        let reply = Exchange::begin(to, "POST", path, &[], &body.to_string()).await.end().await;
        let begins: String = body.to_string().chars().take(80).collect();
        refused += usize::from(reply.status == 400);
        assert!(reply.status != 400 || reply.body.len() < 2_000, "{path} {begins}: {} bytes", reply.body.len());
        let call = reply.header("x-standin-call").and_then(|call| call.parse::<CallId>().ok());
        let page = call.and_then(|call| stage.sidecar.runtime().why(call)).map(|flight| flight.to_string());
        assert!(page.is_none_or(|page| page.len() < 4_000), "{path} {begins}");
    }
    assert!(refused >= 10, "{refused} were refused");
}

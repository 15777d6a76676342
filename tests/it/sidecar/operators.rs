//! Operators: health, metrics, explanations, and changes that do not disturb calls in flight.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use standin::TargetId;
use standin::health::Force;
use standin::sidecar::{ClientKey, Hash};
use standin::testing::{Fault, ProviderError, RetryHint, Script};

use super::http::{self, Caller};
use super::{stage, stage_with};

#[tokio::test]
async fn health_tells_of_every_provider_and_readiness_of_any() {
    let stage = stage(2).await;
    let to = stage.sidecar.address();
    let health = http::get(to, "/health").await.json();
    assert_eq!((&health["status"], &health["calls_in_flight"]), (&json!("ok"), &json!(0)));
    let providers: Vec<_> = health["providers"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(providers, ["a", "b"]);
    assert_eq!(health["providers"][0]["targets"][0]["breaker"], "closed");
    assert_eq!((http::get(to, "/ready").await.status, http::get(to, "/live").await.status), (200, 200));

    for (provider, model) in [("a", "gpt-5-mini"), ("b", "claude-haiku-4-5")] {
        let target = TargetId::new(provider, model);
        stage.sidecar.runtime().force(target, Force::Off { until: None }).await.expect("a target");
    }
    let health = http::get(to, "/health").await.json();
    assert_eq!(health["status"], "unavailable");
    assert_eq!(health["providers"][0]["targets"][0]["disabled"]["why"], "operator");
    assert_eq!((http::get(to, "/ready").await.status, http::get(to, "/live").await.status), (503, 200));
}

#[tokio::test]
async fn metrics_count_calls_attempts_tokens_and_dollars_and_quote_no_caller() {
    let stage = stage(2).await;
    let to = stage.sidecar.address();
    stage.drills[0].handle().next(1, Fault::CutAfter(0));
    http::ask(to, Caller::Chat, "smart", "confidential words", false).await;
    http::ask(to, Caller::Anthropic, "confidential-model", "confidential words", false).await;
    let reply = http::get(to, "/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let lines: Vec<&str> = reply.body.lines().collect();
    for line in [
        "# TYPE standin_calls_total counter",
        "standin_calls_total{route=\"smart\",dialect=\"openai_chat\",outcome=\"ok\"} 1",
        "standin_calls_total{route=\"unknown\",dialect=\"anthropic\",outcome=\"invalid\"} 1",
        "standin_failovers_total{route=\"smart\"} 1",
        "standin_attempts_total{gen_ai_provider_name=\"b\",gen_ai_request_model=\"claude-haiku-4-5\",outcome=\"won\"} 1",
        "standin_breaker_state{gen_ai_provider_name=\"a\",gen_ai_request_model=\"gpt-5-mini\",state=\"closed\"} 1",
        "standin_calls_in_flight 0",
    ] {
        assert!(lines.contains(&line), "no {line} in {}", reply.body);
    }
    for name in [
        "standin_cost_usd_total{gen_ai_provider_name=\"b\"",
        "gen_ai_client_tokens_total{gen_ai_provider_name=\"b\"",
        "gen_ai_client_operation_duration_seconds_count{",
        "gen_ai_server_time_to_first_token_seconds_count{",
        "gen_ai_server_time_per_output_token_seconds_count{",
    ] {
        assert!(reply.body.contains(name), "no {name} in {}", reply.body);
    }
    assert!(!reply.body.contains("confidential"), "{}", reply.body);
}

#[tokio::test]
async fn who_accepts_open_metrics_gets_them() {
    let stage = stage(1).await;
    http::ask(stage.sidecar.address(), Caller::Chat, "smart", "hello", false).await;
    let headers = [("accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2")];
    let reply = http::get_with(stage.sidecar.address(), "/metrics", &headers).await;
    assert_eq!(reply.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(reply.body.contains("# TYPE standin_calls counter\n"), "{}", reply.body);
    assert!(reply.body.ends_with("# EOF\n"));
    let older = http::get(stage.sidecar.address(), "/metrics").await;
    let samples = |text: &str| text.lines().filter(|line| line.starts_with("standin_calls_total")).count();
    assert_eq!((samples(&older.body), older.body.contains("# EOF")), (samples(&reply.body), false));
}

#[tokio::test]
async fn a_route_is_explained_by_its_name() {
    let stage = stage(2).await;
    let to = stage.sidecar.address();
    let explained = http::get(to, "/explain/smart").await.json();
    let planned: Vec<_> = explained["planned"].as_array().expect("a plan").iter().map(|one| &one["target"]).collect();
    assert_eq!(planned, ["a/gpt-5-mini", "b/claude-haiku-4-5"]);
    let of_one = http::get(to, "/explain/b/claude-haiku-4-5").await.json();
    assert_eq!(of_one["planned"][0]["target"], "b/claude-haiku-4-5");
    let nobody = http::get(to, "/explain/nobody").await;
    assert_eq!((nobody.status, nobody.json()["error"].is_string()), (404, true));
}

#[tokio::test]
async fn operators_have_a_door_of_their_own_and_clients_none_to_it() {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for (admin, everywhere) in [(Some(loopback), false), (Some(loopback), true), (None, true)] {
        let stage = stage_with(1, Script::default(), |settings| {
            settings.server.admin = admin;
            if everywhere {
                settings.server.listen.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let name = "team".to_owned();
                let (sha256, routes, requests_per_minute) = (Hash::of("k"), Vec::new(), None);
                let team = ClientKey { name, sha256, routes, fields: Vec::new(), requests_per_minute, operator: false };
                let sha256 = Hash::of("o");
                settings.server.keys =
                    vec![team.clone(), ClientKey { name: "ops".into(), sha256, operator: true, ..team }];
            }
        })
        .await;
        let clients = SocketAddr::from((Ipv4Addr::LOCALHOST, stage.sidecar.address().port()));
        let key = [("authorization", "Bearer k")];
        for path in ["/health", "/metrics", "/explain/smart"] {
            assert_eq!(http::get_with(clients, path, &key).await.status, 404, "{path} at the clients' door");
        }
        assert_eq!(http::get(clients, "/ready").await.status, 200);
        assert_eq!(http::ask_with(clients, Caller::Chat, "smart", "Hi", false, &key).await.status, 200);
        assert_eq!(stage.sidecar.admin_address().is_some(), admin.is_some());
        let Some(operators) = stage.sidecar.admin_address() else { continue };
        for path in ["/health", "/metrics", "/explain/smart", "/ready", "/live"] {
            let with = |key| async move { http::get_with(operators, path, &[("authorization", key)]).await.status };
            assert_eq!(with("Bearer o").await, 200, "{path} at the operators' door");
            // Where clients have keys, operators have one, too.
            let refused = if everywhere && !["/ready", "/live"].contains(&path) { 401 } else { 200 };
            assert_eq!((with("Bearer k").await, http::get(operators, path).await.status), (refused, refused), "{path}");
        }
        assert_eq!(http::ask_with(operators, Caller::Chat, "smart", "Hi", false, &key).await.status, 404);
        assert_eq!(http::get_with(operators, "/v1/models", &key).await.status, 404);
    }
}

#[tokio::test]
async fn a_reload_changes_what_is_served_and_no_call_in_flight() {
    let script = Script { per_token: Duration::from_millis(30), ..Script::default() };
    let stage = stage_with(2, script, |_| {}).await;
    let to = stage.sidecar.address();
    let mut exchange = http::begin(to, Caller::Chat, "smart", "one two three four five", true, &[]).await;
    exchange.until(|seen| seen.contains("one")).await;

    let mut changed = stage.settings.clone();
    changed.runtime.providers.remove("a");
    changed.runtime.routes.remove("a");
    changed.runtime.routes.get_mut("smart").expect("the route").targets.remove(0);
    changed.server.default_route = Some("b".into());
    stage.sidecar.reload(changed).await.expect("settings that are right");
    let after = http::ask(to, Caller::Chat, "smart", "Hi", false).await;
    assert_eq!(after.header("x-standin-target"), Some("b/claude-haiku-4-5"));
    assert_eq!(http::ask(to, Caller::Gemini, "a", "Hi", false).await.status, 200, "the default route serves it");
    assert_eq!(http::get(to, "/v1/models/a").await.status, 404);

    let reply = exchange.end().await;
    assert!(reply.is_whole, "{reply:?}");
    assert_eq!(Caller::Chat.streamed(&reply.body), "one two three four five");
    assert_eq!(reply.header("x-standin-target"), Some("a/gpt-5-mini"));
}

#[tokio::test]
async fn a_reload_that_is_not_right_changes_nothing() {
    let stage = stage(2).await;
    let to = stage.sidecar.address();
    let mut of_runtime = stage.settings.clone();
    of_runtime.server.default_route = Some("smart".into());
    of_runtime.runtime.routes.get_mut("smart").expect("the route").targets[0] = "a/none".into();
    let mut of_server = stage.settings.clone();
    of_server.runtime.routes.remove("a");
    of_server.server.body_bytes_max = 0;
    for (settings, field) in [(of_runtime, "routes.smart"), (of_server, "server.body_bytes_max")] {
        let refused = stage.sidecar.reload(settings).await.expect_err("a refusal").to_string();
        assert!(refused.starts_with(field), "{refused}");
        assert_eq!(http::ask(to, Caller::Chat, "nobody", "Hi", false).await.status, 404);
        assert_eq!(http::ask(to, Caller::Chat, "a", "Hi", false).await.status, 200);
        let reply = http::ask(to, Caller::Chat, "smart", "Hi", false).await;
        assert_eq!(reply.header("x-standin-target"), Some("a/gpt-5-mini"));
    }
}

#[tokio::test]
async fn a_default_route_must_be_one_that_there_is() {
    let stage = stage(1).await;
    let mut settings = stage.settings.clone();
    settings.server.default_route = Some("smrt".into());
    let refused = stage.sidecar.reload(settings.clone()).await.expect_err("a refusal").to_string();
    assert!(refused.starts_with("server.default_route"), "{refused}");
    settings.server.default_route = None;
    let sha256 = Hash::of("k");
    let (routes, fields) = (vec!["smrt".into()], Vec::new());
    let requests_per_minute = None;
    settings.server.keys =
        vec![ClientKey { name: "team".into(), sha256, routes, fields, requests_per_minute, operator: false }];
    let refused = stage.sidecar.reload(settings).await.expect_err("a refusal").to_string();
    assert!(refused.starts_with("server.keys"), "{refused}");
}

#[tokio::test]
async fn what_keeps_a_target_out_is_shown_with_its_reason_and_time_and_lifted_at_the_operators_door() {
    let stage = stage_with(2, Script::default(), |settings| {
        settings.server.admin = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    })
    .await;
    let (clients, operators) = (stage.sidecar.address(), stage.sidecar.admin_address().expect("a door"));
    let day = Duration::from_secs(86_400);
    let post = async |to, path: &str| http::Exchange::begin(to, "POST", path, &[], "").await.end().await;
    for path in ["/reset/a/gpt-5-mini", "/reset/a", "/reset", "/reset/a?only_key=key-1", "/reset/a%2Fgpt-5-mini"] {
        stage.drills[0].handle().next(1, Fault::RateLimited(RetryHint::Seconds(day)));
        assert_eq!(http::ask(clients, Caller::Chat, "a", "Hi", false).await.status, 429);
        let held = &http::get(operators, "/health").await.json()["providers"][0]["holds"];
        assert_eq!((&held[0]["why"], &held[0]["model"]), (&json!("rate_limited"), &json!("gpt-5-mini")), "{held}");
        assert_eq!(held[0]["key"], "key-1", "{held}");
        assert!(held[0]["back_in_s"].as_f64().is_some_and(|wait| wait > 86_000.0), "{held}");
        assert!(held[0]["for_s"].as_f64().is_some_and(|age| age < 60.0), "{held}");
        let refused = http::ask(clients, Caller::Chat, "a", "Hi", false).await;
        let message = Caller::Chat.message(&refused.json()).to_owned();
        // All three say the same: the hold's end, and not the look before it.
        let back = message.split("a/gpt-5-mini rate_limited, back in ").nth(1).and_then(|rest| rest.split(' ').next());
        let told = refused.header("retry-after");
        assert_eq!((refused.status, back), (429, told), "{message}");
        assert!(told.and_then(|told| told.parse::<u64>().ok()).is_some_and(|told| told > 86_000), "{told:?}");
        assert_eq!(refused.header("x-should-retry"), None);
        assert_eq!(post(clients, path).await.status, 404, "{path} at the clients' door");
        let lifted = post(operators, path).await;
        assert_eq!(lifted.status, 200, "{path}: {lifted:?}");
        let lifted = lifted.json();
        assert_eq!(
            (&lifted["lifted"][0]["provider"], &lifted["lifted"][0]["why"]),
            (&json!("a"), &json!("rate_limited"))
        );
        assert_eq!(post(operators, path).await.json(), json!({"lifted": []}));
        assert_eq!(http::ask(clients, Caller::Chat, "a", "Hi", false).await.status, 200, "{path}");
    }
    for path in
        ["/reset/x", "/reset/a/x", "/reset/a?only_key=x", "/reset?only_key=key-1", "/reset/a/gpt-5-mini?only_key=key-1"]
    {
        let nobody = post(operators, path).await;
        assert_eq!((nobody.status, nobody.json()["error"].is_string()), (404, true), "{path}: {nobody:?}");
        assert!(!nobody.body.contains(super::PROVIDERS_KEY));
    }
}

#[tokio::test]
async fn a_route_whose_targets_wait_for_limits_answers_429_and_one_that_is_down_503_each_time_with_the_time() {
    let minutes = Duration::from_secs(300);
    for (a, b, openai, anthropic) in [
        (Fault::RateLimited(RetryHint::Seconds(minutes)), Fault::RateLimited(RetryHint::Seconds(minutes)), 429, 429),
        (Fault::RateLimited(RetryHint::Silent), Fault::RateLimited(RetryHint::Silent), 429, 429),
        // Holds that need an operator do not count; those that end with time decide.
        (Fault::RateLimited(RetryHint::Seconds(minutes)), Fault::Error(ProviderError::Unauthorised), 429, 429),
        (Fault::Error(ProviderError::OutOfMoney), Fault::RateLimited(RetryHint::Seconds(minutes)), 429, 429),
        (Fault::Error(ProviderError::OutOfMoney), Fault::Error(ProviderError::Unauthorised), 424, 424),
        (overloaded(), Fault::RateLimited(RetryHint::Seconds(minutes)), 503, 529),
        (Fault::RateLimited(RetryHint::Seconds(minutes)), overloaded(), 503, 529),
        (overloaded(), overloaded(), 503, 529),
    ] {
        let stage = stage(2).await;
        stage.drills[0].handle().always(a.clone());
        stage.drills[1].handle().always(b.clone());
        for _ in 0..2 {
            for caller in Caller::ALL {
                let reply = http::ask(stage.sidecar.address(), caller, "smart", "Hi", false).await;
                let status = if caller == Caller::Anthropic { anthropic } else { openai };
                assert_eq!(reply.status, status, "{a:?}, {b:?} for {caller:?}: {reply:?}");
                // What an operator has to mend has no time, and nobody is to wait for it.
                let (waits, again) = if status == 424 { (false, Some("false")) } else { (true, None) };
                assert_eq!(reply.header("retry-after").is_some(), waits, "{a:?}, {b:?} for {caller:?}: {reply:?}");
                assert_eq!(reply.header("x-should-retry"), again, "{a:?}, {b:?} for {caller:?}: {reply:?}");
                assert!(!reply.body.contains(super::PROVIDERS_KEY));
            }
        }
    }
}

fn overloaded() -> Fault {
    let headers = [("retry-after", "300")].map(|(name, value)| {
        (name.parse::<::http::HeaderName>().expect("a name"), ::http::HeaderValue::from_static(value))
    });
    Fault::Reply { status: 503, headers: headers.into_iter().collect(), body: "{}".into() }
}

#[tokio::test]
async fn a_sidecar_that_reaches_nobody_says_so_and_is_not_ready() {
    let stage = stage_with(2, Script::default(), |settings| {
        for (name, host) in [("a", "a.invalid"), ("b", "b.invalid")] {
            settings.runtime.providers.get_mut(name).expect("a provider").base_url = Some(format!("http://{host}/v1"));
        }
    })
    .await;
    let to = stage.sidecar.address();
    assert_eq!(http::get(to, "/ready").await.status, 200);
    for _ in 0..3 {
        assert!(http::ask(to, Caller::Chat, "smart", "Hi", false).await.status >= 500);
    }
    let health = http::get(to, "/health").await.json();
    assert_eq!(health["status"], "unavailable", "{health}");
    assert!(health["unreached_for_s"].is_number() && health["lack"]["count"].as_u64() > Some(0), "{health}");
    assert_eq!(http::get(to, "/ready").await.status, 503);
    let metrics = http::get(to, "/metrics").await.body;
    assert!(!metrics.contains("standin_lacks_total 0\n"), "{metrics}");
}

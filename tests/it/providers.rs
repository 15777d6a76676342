//! Providers by name, the same model elsewhere, other names of routes, and models that retire.

use std::sync::{Arc, Mutex};

use http::HeaderMap;
use serde_json::Value;
use standin::config::presets;
use standin::testing::{Fault, ProviderError, Script, Scripted};
use standin::{
    AttemptEnd, ChatRequest, Config, Date, Event, FailureClass, ModelConfig, ProviderConfig, RouteConfig, Runtime,
    Strategy,
};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use tokio::time::sleep;

use super::kit::{
    S, World, ask, config, config_with, events, path, provider, settle, start, target, world, world_with,
};

/// Keeps what it was asked, and accepts no connection.
#[derive(Clone, Debug, Default)]
struct Deaf(Arc<Mutex<Vec<(String, HeaderMap, Value)>>>);

impl Transport for Deaf {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let body = serde_json::from_slice(&request.body.whole()).expect("JSON");
        self.0.lock().expect("no panic").push((request.url, request.headers, body));
        Box::pin(async { Err(TransportError::Connect("deaf".into())) })
    }
}

/// Returns the first request that a provider of this configuration sends.
async fn asked(provider: ProviderConfig, model: &str) -> (String, HeaderMap, Value) {
    asked_of("p", provider, model).await
}

/// The same for a provider of this name.
async fn asked_of(name: &str, mut provider: ProviderConfig, model: &str) -> (String, HeaderMap, Value) {
    let deaf = Deaf::default();
    provider.custom = Some(Arc::new(deaf.clone()));
    let runtime = Runtime::builder().provider(name, provider).start().await.expect("starts");
    let request = ChatRequest { route: format!("{name}/{model}"), ..ask("hello") };
    runtime.chat(request).await.expect_err("nobody connects");
    let mut asked = deaf.0.lock().expect("no panic");
    asked.remove(0)
}

#[tokio::test(start_paused = true)]
async fn each_preset_asks_at_its_address_with_its_key() {
    let vertex = "https://eu-west1-aiplatform.googleapis.com/v1/projects/pro/locations/eu-west1/publishers";
    for preset in presets() {
        let mut config = ProviderConfig::preset(preset.name).key("k").model("m");
        let has = |field: &str| preset.base_url.contains(field);
        config.resource = has("{resource}").then(|| "res".into());
        config.project = has("{project}").then(|| "pro".into());
        config.location = has("{location}").then(|| "eu-west1".into());
        let expected = match preset.name {
            "openai-responses" => "https://api.openai.com/v1/responses".to_owned(),
            "anthropic" => "https://api.anthropic.com/v1/messages".to_owned(),
            "gemini" => format!("{}/models/m:streamGenerateContent?alt=sse", preset.base_url),
            "vertex" => format!("{vertex}/google/models/m:streamGenerateContent?alt=sse"),
            "vertex-anthropic" => format!("{vertex}/anthropic/models/m:streamRawPredict"),
            "azure" => "https://res.openai.azure.com/openai/v1/chat/completions".to_owned(),
            _ => format!("{}/chat/completions", preset.base_url),
        };
        let (header, value) = match preset.name {
            "anthropic" => ("x-api-key", "k"),
            "gemini" => ("x-goog-api-key", "k"),
            "azure" => ("api-key", "k"),
            _ => ("authorization", "Bearer k"),
        };
        let (url, headers, _) = asked(config, "m").await;
        assert_eq!(
            (url.as_str(), headers[header].as_bytes()),
            (expected.as_str(), value.as_bytes()),
            "{}",
            preset.name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_a_preset_says_can_be_said_otherwise() {
    let (url, ..) = asked(ProviderConfig::vertex("pro", "global").key("k"), "gemini-2.5-flash").await;
    assert!(url.starts_with("https://aiplatform.googleapis.com/v1/projects/pro/locations/global/publishers/google/"));
    let proxied = ProviderConfig { base_url: Some("http://proxy.test/m/".into()), ..ProviderConfig::preset("mistral") };
    let (url, headers, body) = asked(proxied.model("m"), "m").await;
    assert_eq!((url.as_str(), headers.get("authorization")), ("http://proxy.test/m/chat/completions", None));
    assert_eq!(body.get("stream_options"), None, "it keeps its flavour behind another address");
}

#[tokio::test(start_paused = true)]
async fn a_provider_of_a_presets_name_keeps_its_dialect_and_flavour_at_another_address() {
    for (name, base_url, expected, header) in [
        ("anthropic", "http://p.test/v1", "http://p.test/v1/messages", "x-api-key"),
        (
            "gemini",
            "http://p.test/v1beta",
            "http://p.test/v1beta/models/m:streamGenerateContent?alt=sse",
            "x-goog-api-key",
        ),
        ("openai", "http://p.test/v1", "http://p.test/v1/chat/completions", "authorization"),
        // An address that tells says more than the name.
        (
            "azure",
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
            "api-key",
        ),
    ] {
        let (url, headers, _) = asked_of(name, ProviderConfig::new(base_url).key("k").model("m"), "m").await;
        assert_eq!(url, expected);
        assert!(headers.contains_key(header), "{name}: {headers:?}");
    }
    let dialect = Some(standin::config::DialectConfig::OpenaiChat);
    let own = ProviderConfig { dialect, ..ProviderConfig::new("http://p.test/v1").model("m") };
    assert_eq!(asked_of("anthropic", own, "m").await.0, "http://p.test/v1/chat/completions");
    let file = "[providers.ollama]\nbase_url = 'http://gpu:11434/v1'\nmodels.m = {}\n\
                [providers.anthropic]\nbase_url = 'http://p.test/v1'\n";
    let described = toml::from_str::<Config>(file).expect("a configuration").describe().expect("it is good");
    let of = |id: &str| described.iter().find(|one| one.id == target(id)).expect(id);
    let own = of("ollama/m");
    assert_eq!((own.flavour, own.price.as_ref().map(|price| price.rates.input)), ("ollama", Some(0.0)));
    assert_eq!(of("anthropic/claude-haiku-4-5").dialect, standin::Dialect::AnthropicMessages);
}

#[tokio::test]
async fn a_provider_of_a_presets_name_needs_a_key_and_nothing_else() {
    let file = r#"
        [providers.anthropic]
        keys = ["k"]
        [providers.mine]
        preset = "openai"
        keys = ["k"]
        [providers.cloud]
        preset = "azure"
        resource = "res"
        keys = ["k"]
        models.fast = { same_as = "gpt-5-mini" }
        [aliases]
        cheap = "mine/gpt-5.4-nano"
    "#;
    let runtime = start(toml::from_str(file).expect("a configuration")).await;
    let health = runtime.health();
    for id in ["anthropic/claude-haiku-5-5", "mine/gpt-5-mini", "mine/gpt-6-sol", "cloud/fast"] {
        assert!(health.target(&target(id)).is_some(), "{id}");
    }
    assert_eq!(health.target(&target("mine/gpt-5.4-pro")), None, "it does not speak chat completions");
    assert_eq!(health.retires(&target("cloud/fast")), Date::parse("2026-12-11"));
    let explained = runtime.explain(ChatRequest::new("cheap").user("hi")).await.expect("a route");
    assert_eq!((&*explained.route, explained.planned.len()), ("mine/gpt-5.4-nano", 1));
}

#[tokio::test]
async fn a_name_that_is_no_presets_is_refused_with_the_nearest() {
    let refused = |provider| async {
        let error = Runtime::builder().provider("antropic", provider).start().await.expect_err("no such preset");
        error.to_string()
    };
    for (provider, field) in [(ProviderConfig::default(), "base_url"), (ProviderConfig::preset("antropic"), "preset")] {
        let error = refused(provider).await;
        assert!(error.starts_with(&format!("providers.antropic.{field}: ")), "{error}");
        assert!(error.contains("did you mean `anthropic`? there are: openai, "), "{error}");
    }
    let error = refused(ProviderConfig::openai()).await;
    assert!(error.starts_with("providers.antropic.keys: ") && error.contains("OPENAI_API_KEY"), "{error}");
}

/// Three providers of a model each, at one price; only the first is for more than failover.
async fn hosts(models: [&str; 3]) -> World {
    let providers: Vec<Scripted> = (0..3).map(|_| Scripted::new(Script::default())).collect();
    let mut config = Config { seed: Some(7), ..Config::default() };
    let mut route = RouteConfig::default();
    route.options.strategy = Strategy::Adaptive;
    let price = standin::config::PriceConfig::new(1.0, 5.0);
    for ((name, scripted), model) in ["a", "b", "c"].into_iter().zip(&providers).zip(models) {
        let options = ModelConfig { price: Some(price.clone()), ..ModelConfig::default() };
        config.providers.insert(name.into(), provider(name, scripted).model_with(model, options));
        let mut member: standin::config::MemberConfig = format!("{name}/{model}").as_str().into();
        member.weight = f64::from(u8::from(name == "a"));
        route.targets.push(member);
    }
    config.routes.insert("smart".into(), route);
    World { runtime: start(config.clone()).await, providers, config }
}

#[tokio::test(start_paused = true)]
async fn the_same_model_elsewhere_is_tried_before_another_model() {
    for (models, expected) in [
        // In the route's order, where all differ.
        (["one", "two", "three"], "a/one overloaded, b/two won"),
        (["one", "two", "vendor/One-20260101"], "a/one overloaded, c/vendor/One-20260101 won"),
        (
            ["claude-haiku-4-5-20251001", "other", "anthropic/claude-haiku-4.5"],
            "a/claude-haiku-4-5-20251001 overloaded, c/anthropic/claude-haiku-4.5 won",
        ),
    ] {
        let world = hosts(models).await;
        world.providers[0].next(1, Fault::Error(ProviderError::Overloaded));
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_the_model_it_is_said_to_be() {
    let model = ModelConfig { same_as: Some("gpt-5.2".into()), reasoning: Some(true), ..ModelConfig::default() };
    let azure = ProviderConfig::azure("res").key("k").model_with("fast", model);
    let deaf = Deaf::default();
    let mut provider = azure;
    provider.custom = Some(Arc::new(deaf.clone()));
    let runtime = Runtime::builder().provider("p", provider).start().await.expect("starts");
    let mut request = ChatRequest::new("p/fast").system("Be brief.").user("hello");
    request.sampling.temperature = Some(0.5);
    request.output_tokens_max = Some(9);
    runtime.chat(request).await.expect_err("nobody connects");
    let (_, _, body) = deaf.0.lock().expect("no panic").remove(0);
    assert_eq!((&body["model"], &body["messages"][0]["role"]), (&"fast".into(), &"developer".into()));
    assert_eq!((&body["max_completion_tokens"], body.get("temperature")), (&9.into(), None));
}

#[tokio::test(start_paused = true)]
async fn an_alias_is_another_name_of_its_route_until_it_is_pointed_elsewhere() {
    let world = world_with(2, Script::default(), |config| {
        for (name, target) in [("fast", "quick"), ("quick", "smart"), ("m", "b/m")] {
            config.aliases.insert(name.into(), target.into());
        }
    })
    .await;
    let asks = |route: &str| ChatRequest { route: route.into(), ..ask("hello") };
    for (route, expected) in [("fast", "a/m"), ("quick", "a/m"), ("m", "b/m")] {
        let reply = world.runtime.chat(asks(route)).await.expect("an answer");
        assert_eq!(reply.finished.target.to_string(), expected, "{route}");
    }
    let mut config = world.config.clone();
    config.aliases.insert("quick".into(), "b/m".into());
    world.runtime.reconfigure(config).await.expect("a good configuration");
    let reply = world.runtime.chat(asks("fast")).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), "b/m");
    assert_eq!(world.incarnations("a"), 1, "no provider is started again for a name");
    let unknown = world.runtime.chat(asks("slow")).await.expect_err("no such route");
    assert!(unknown.to_string().contains("fast, m, quick, smart"), "{unknown}");
}

/// Provider `a` with the models `old`, `older` and `new`, of which it has only the last, and `b` with `m`.
async fn replacing() -> World {
    let providers =
        [Scripted::new(Script { models: vec!["new".into()], ..Script::default() }), Scripted::new(Script::default())];
    let mut config = config(&providers);
    let replaced = |by: &str| ModelConfig { replaced_by: Some(by.into()), ..ModelConfig::default() };
    let a = config.providers.get_mut("a").expect("a");
    a.models.clear();
    *a = a.clone().model_with("older", replaced("old")).model_with("old", replaced("a/new")).model("new");
    config.routes.insert("smart".into(), RouteConfig::new(["a/older", "b/m"]));
    config.routes.get_mut("smart").expect("smart").options.strategy = Strategy::Priority;
    World { runtime: start(config.clone()).await, providers: providers.to_vec(), config }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_is_replaced_within_the_same_call_and_asked_again_after_an_hour() {
    let world = replacing().await;
    let way = async || path(&world.runtime.chat(ask("hello")).await.expect("an answer").finished.attempts);
    // At first another target of the route is the failover: the plan was made before anything was known.
    assert_eq!(way().await, "a/older model_gone, b/m won");
    settle().await;
    assert_eq!(way().await, "a/old model_gone, b/m won");
    settle().await;
    assert_eq!(way().await, "a/new won");
    let exactly = ChatRequest { route: "a/old".into(), ..ask("hello") };
    assert_eq!(path(&world.runtime.chat(exactly).await.expect("an answer").finished.attempts), "a/new won");
    sleep(3_700 * S).await;
    assert!(way().await.starts_with("a/older model_gone, "), "it may have come back");

    let world = replacing().await;
    let exactly = ChatRequest { route: "a/older".into(), ..ask("hello") };
    let reply = world.runtime.chat(exactly).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/older model_gone, a/old model_gone, a/new won");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_only_fails_is_not_replaced() {
    let world = replacing().await;
    world.providers[0].always(Fault::Error(ProviderError::Unavailable));
    let exactly = ChatRequest { route: "a/older".into(), ..ask("hello") };
    let error = world.runtime.chat(exactly).await.expect_err("it is ill");
    assert!(error.attempts().iter().all(|record| record.target == target("a/older")), "{error}");
}

fn retiring(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| matches!(event, Event::Retiring { .. })).collect()
}

#[tokio::test(start_paused = true)]
async fn a_retiring_model_is_told_of_after_the_start_each_reconfiguration_and_daily_and_goes_on_serving() {
    let last_day = Date::parse("2024-02-29");
    let model = ModelConfig { retires: last_day, replaced_by: Some("b/m".into()), ..ModelConfig::default() };
    let providers = [Scripted::new(Script::default()), Scripted::new(Script::default())];
    let mut config = config_with(&providers[..1], &model);
    let b = ModelConfig { retires: Date::parse("9999-12-31"), ..ModelConfig::default() };
    config.providers.insert("b".into(), provider("b", &providers[1]).model_with("m", b));
    let runtime = start(config.clone()).await;
    let mut told = runtime.subscribe();
    let expected = Event::Retiring { target: target("a/m"), on: last_day, replacement: Some(target("b/m")) };
    sleep(2 * S).await;
    assert_eq!(retiring(&events(&mut told)), [&expected]);
    sleep(23 * 3_600 * S).await;
    assert_eq!(retiring(&events(&mut told)), [] as [&Event; 0]);
    sleep(3_600 * S).await;
    assert_eq!(retiring(&events(&mut told)), [&expected]);
    runtime.reconfigure(config).await.expect("a good configuration");
    sleep(2 * S).await;
    assert_eq!(retiring(&events(&mut told)), [&expected]);

    let health = runtime.health();
    assert_eq!(
        (health.retires(&target("a/m")), health.target(&target("a/m")).expect("it is there").disabled),
        (last_day, None)
    );
    assert_eq!(runtime.chat(ask("hello")).await.expect("an answer").finished.target, target("a/m"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_says_a_model_is_retired_is_passed_on() {
    for (message, is_told) in
        [("The model `m` has been deprecated, learn more", true), ("The model `m` does not exist", false)]
    {
        let world = world(1, Script::default()).await;
        let mut told = world.runtime.subscribe();
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"invalid_request_error","code":"model_not_found"}}}}"#);
        world.providers[0].next(1, Fault::Reply { status: 404, headers: HeaderMap::new(), body });
        let error = world.runtime.chat(ask("hello")).await.expect_err("nobody else is there");
        let AttemptEnd::Failed(failure) = &error.attempts()[0].end else { panic!("it failed") };
        assert_eq!(failure.class, FailureClass::ModelGone);
        let expected = Event::Retiring { target: target("a/m"), on: None, replacement: None };
        assert_eq!(events(&mut told).contains(&expected), is_told, "{message}");
    }
}

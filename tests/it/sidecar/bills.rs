//! What providers bill otherwise than by their usual price, prompts that are only named, and what a budget says of
//! itself.

use futures_util::future::join_all;
use serde_json::{Value, json};
use standin::config::{BudgetConfig, BudgetScope, OnSpent, Period, PriceConfig, PriceTierConfig};
use standin::sidecar::{ClientKey, Settings};

use super::http::{Caller, Response};
use super::open_key;
use super::parts::Scene;
use super::upstream::PAUSE;

fn priced(settings: &mut Settings, price: &PriceConfig) {
    for model in settings.runtime.providers.values_mut().flat_map(|provider| provider.models.values_mut()) {
        model.price = Some(price.clone());
    }
}

fn cost(response: &Response) -> f64 {
    assert_eq!(response.status, 200, "{}", response.body);
    response.header("x-standin-cost-usd").and_then(|cost| cost.parse().ok()).expect("a cost")
}

fn is_about(cost: f64, dollars: f64) -> bool {
    (cost - dollars).abs() < 1e-6
}

fn chat(usage: &Value) -> Value {
    json!({"id": "c", "object": "chat.completion", "model": "m", "usage": usage, "choices": [{"index": 0,
        "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_the_provider_tells_goes_before_the_price_and_a_long_prompt_has_the_price_of_its_tier() {
    let tier = PriceTierConfig {
        above: 200_000,
        input: 2.0,
        output: 3.0,
        cached_input: None,
        cache_write: None,
        cache_write_1h: None,
        search: None,
        reasoning: None,
    };
    let price = PriceConfig { tiers: vec![tier], ..PriceConfig::new(1.0, 2.0) };
    let scene = Scene::of([Caller::Chat, Caller::Chat], |settings| priced(settings, &price)).await;
    let (_, body) = Caller::Chat.ask("r", "Hi", false);
    for (usage, dollars) in [
        (json!({"prompt_tokens": 100_000, "completion_tokens": 1_000}), 0.102),
        (json!({"prompt_tokens": 300_000, "completion_tokens": 1_000}), 0.603),
        (json!({"prompt_tokens": 100_000, "completion_tokens": 1_000, "cost": 0.75}), 0.75),
        (json!({"prompt_tokens": 100_000, "completion_tokens": 1_000, "cost_in_usd_ticks": 2_500_000_000_u64}), 0.25),
    ] {
        scene.answers(0, &chat(&usage));
        let booked = cost(&scene.ask(Caller::Chat, &body).await);
        assert!(is_about(booked, dollars), "{usage}: {booked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_writes_for_an_hour_and_searches_are_booked_at_their_prices() {
    let price = PriceConfig {
        cached_input: Some(0.2),
        cache_write: Some(2.5),
        cache_write_1h: Some(4.0),
        search: Some(0.01),
        ..PriceConfig::new(2.0, 10.0)
    };
    let scene = Scene::of([Caller::Anthropic, Caller::Anthropic], |settings| priced(settings, &price)).await;
    let (_, body) = Caller::Anthropic.ask("r", "Hi", false);
    let creation = json!({"ephemeral_5m_input_tokens": 400_000, "ephemeral_1h_input_tokens": 600_000});
    let usage = json!({"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 1_000_000, "cache_creation": creation,
        "server_tool_use": {"web_search_requests": 10}, "service_tier": "standard"});
    scene.answers(
        0,
        &json!({"id": "msg", "type": "message", "role": "assistant", "model": "m", "usage": usage,
        "content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn"}),
    );
    let booked = cost(&scene.ask(Caller::Anthropic, &body).await);
    assert!(is_about(booked, 1.0 + 2.4 + 0.1), "{booked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_that_are_named_and_not_sent_overspend_a_budget_by_one_at_most() {
    let scene = Scene::of([Caller::Responses, Caller::Responses], |settings| {
        priced(settings, &PriceConfig::new(10.0, 10.0));
        settings.runtime.budgets.insert("all".to_owned(), BudgetConfig::dollars(3.0, Period::Month));
    })
    .await;
    let whole = json!({"id": "resp", "object": "response", "model": "m", "status": "completed",
        "usage": {"input_tokens": 100_000, "output_tokens": 100, "total_tokens": 100_100},
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}]});
    scene.answers(0, &whole);
    let body = json!({"model": "first/gpt-5.4", "max_output_tokens": 500, "input": [{"role": "user", "content": [
        {"type": "input_file", "file_id": "file-abc"}, {"type": "input_text", "text": "Sum it up."}]}]});
    // Each costs 1.001 dollars. Of the first nothing is known: they go one by one.
    let mut answered = 0;
    for _ in 0..2 {
        let told = join_all((0..30).map(|_| scene.ask(Caller::Responses, &body))).await;
        answered += told.iter().filter(|response| response.status == 200).count();
        let refused = told.iter().find(|response| response.status != 200).expect("not all fit");
        assert!(refused.status == 429 && refused.body.contains("budget `all`"), "{}", refused.body);
    }
    assert!((1..=3).contains(&answered), "{answered} answers");
    let refused = scene.ask(Caller::Responses, &body).await;
    assert!(refused.body.contains(", and this call is expected to cost 1.0"), "{}", refused.body);
    assert_eq!(scene.arrived().map(|asked| asked.len()).iter().sum::<usize>(), answered);
}

/// A request with a part or a field whose tokens cannot be counted here, and the flavour of its provider.
fn uncounted() -> Vec<(Caller, Option<&'static str>, Value)> {
    let base64 = "JVBERi0xLjQKJcOkw7zDtsOfCgoK".repeat(240);
    let text = json!({"type": "text", "text": "s"});
    let shown = |part: Value| json!({"messages": [{"role": "user", "content": [part, text]}]});
    let gemini = |part: Value| json!({"contents": [{"role": "user", "parts": [part, {"text": "s"}]}]});
    let asks = |field: &str, value: Value| json!({"messages": [{"role": "user", "content": "s"}], field: value});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}});
    let png = format!("data:image/png;base64,{base64}");
    let pdf = json!({"filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{base64}")});
    vec![
        (Caller::Chat, Some("xai"), asks("search_parameters", json!({"mode": "on"}))),
        (Caller::Chat, Some("openrouter"), asks("plugins", json!([{"id": "web"}]))),
        (Caller::Chat, Some("qwen"), asks("enable_search", json!(true))),
        (Caller::Chat, Some("groq"), asks("compound_custom", json!({"tools": {"enabled_tools": ["web_search"]}}))),
        (Caller::Chat, Some("perplexity"), asks("stream", json!(false))),
        (Caller::Chat, Some("openai"), asks("web_search_options", json!({}))),
        (Caller::Chat, None, asks("a_field_of_tomorrow", json!({"searches": true}))),
        (Caller::Chat, None, shown(image)),
        (Caller::Chat, None, shown(json!({"type": "file", "file": pdf}))),
        (Caller::Chat, None, shown(json!({"type": "input_audio", "input_audio": {"data": base64, "format": "mp3"}}))),
        (
            Caller::Responses,
            None,
            json!({"input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": png}, {"type": "input_text", "text": "s"}]}]}),
        ),
        (
            Caller::Anthropic,
            None,
            shown(json!({"type": "image",
            "source": {"type": "url", "url": "https://x.example/a.png"}})),
        ),
        (Caller::Anthropic, None, asks("mcp_servers", json!([{"type": "url", "url": "https://x", "name": "x"}]))),
        (Caller::Gemini, None, gemini(json!({"inlineData": {"mimeType": "image/png", "data": base64}}))),
        (Caller::Gemini, None, gemini(json!({"fileData": {"fileUri": "https://youtube.com/watch?v=1"}}))),
    ]
}

/// An answer to 6 000 tokens of a prompt, after a while.
fn billed(caller: Caller) -> String {
    let answer = match caller {
        Caller::Chat => chat(&json!({"prompt_tokens": 6_000, "completion_tokens": 50})),
        Caller::Responses => json!({"id": "resp", "object": "response", "model": "m", "status": "completed",
            "usage": {"input_tokens": 6_000, "output_tokens": 50},
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}]}),
        Caller::Anthropic => json!({"id": "msg", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 6_000, "output_tokens": 50}}),
        Caller::Gemini => json!({"candidates": [{"index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": "yes"}]}}], "modelVersion": "m",
            "usageMetadata": {"promptTokenCount": 6_000, "candidatesTokenCount": 50, "totalTokenCount": 6_050}}),
    };
    format!("{PAUSE}{answer}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_prompts_that_cannot_be_counted_overspends_a_budget_by_one_at_most() {
    let burst = |(caller, flavour, mut body): (Caller, Option<&'static str>, Value)| async move {
        let scene = Scene::of([caller, caller], |settings| {
            priced(settings, &PriceConfig::new(1_000.0, 1_000.0));
            settings.runtime.budgets.insert("all".to_owned(), BudgetConfig::dollars(20.0, Period::Month));
            settings.runtime.routes.get_mut("r").expect("the route").targets.truncate(1);
            settings.runtime.providers.get_mut("first").expect("it").flavour = flavour.map(str::to_owned);
        })
        .await;
        match caller {
            Caller::Gemini => body["generationConfig"] = json!({"maxOutputTokens": 60}),
            Caller::Responses => (body["model"], body["max_output_tokens"]) = (json!("r"), json!(60)),
            _ => (body["model"], body["max_tokens"]) = (json!("r"), json!(60)),
        }
        scene.tells(0, billed(caller));
        let told = join_all((0..40).map(|_| scene.ask(caller, &body))).await;
        let refused = told.iter().find(|response| response.status != 200).expect("not all fit");
        assert!(refused.body.contains("budget `all`"), "{flavour:?} {body}: {}", refused.body);
        let sent = scene.arrived()[0].len();
        // Each costs 6.05 dollars.
        assert!((1..=4).contains(&sent), "{sent} of {flavour:?} {body}");
    };
    join_all(uncounted().into_iter().map(burst)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_dear_for_a_spent_soft_budget_is_refused_by_the_name_of_the_budget() {
    let scene = Scene::of([Caller::Chat, Caller::Chat], |settings| {
        priced(settings, &PriceConfig::new(0.0, 1_000.0));
        let soft = BudgetConfig::dollars(0.05, Period::Month).on_spent(OnSpent::PriceMax(0.000_1));
        settings.runtime.budgets.insert("soft".to_owned(), soft);
    })
    .await;
    let (_, body) = Caller::Chat.ask("r", "Hi", false);
    scene.answers(0, &chat(&json!({"prompt_tokens": 2, "completion_tokens": 100})));
    assert!(is_about(cost(&scene.ask(Caller::Chat, &body).await), 0.1));
    for (caller, status) in [(Caller::Chat, 429), (Caller::Anthropic, 402), (Caller::Gemini, 429)] {
        let (_, body) = caller.ask("r", "Hi", false);
        let refused = scene.ask(caller, &body).await;
        assert_eq!(refused.status, status, "{}", refused.body);
        let told = refused.json();
        let message = caller.message(&told);
        assert!(message.starts_with("budget `soft`: 0.10 of 0.050000 dollars a month spent"), "{message}");
        assert!(refused.header("retry-after").is_some() || caller == Caller::Gemini, "{}", refused.body);
    }
}

#[test]
fn a_budget_of_a_client_that_has_no_key_is_refused() {
    let mut settings = Settings::default();
    let red = BudgetConfig::dollars(1.0, Period::Day).of(BudgetScope::Client(Some("red".into())));
    settings.runtime = standin::Config { budgets: [("reds".to_owned(), red)].into(), ..working() };
    let problem = settings.check().expect_err("there is no such client").to_string();
    assert!(problem.contains("budgets.reds.of: `red` is no name of `server.keys`"), "{problem}");
    let key = |name, operator| ClientKey { operator, ..open_key(name) };
    settings.server.keys = vec![key("red", true), key("blue", false)];
    assert!(settings.check().is_err(), "an operator makes no calls");
    settings.server.keys.push(key("red-2", false));
    settings.server.keys[0] = key("red", false);
    settings.check().map(drop).expect("there is one now");
}

fn working() -> standin::Config {
    let mut config = standin::Config::default();
    let mut provider = standin::ProviderConfig::new("http://127.0.0.1:9/v1").key("k");
    provider.models.insert("m".to_owned(), standin::ModelConfig::default());
    config.providers.insert("a".to_owned(), provider);
    config
}

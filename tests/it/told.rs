//! Answers that do not come whole, and what their providers had told by then of how long the prompt is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use standin::config::{BudgetConfig, DialectConfig, Period, PriceConfig};
use standin::testing::{Script, Scripted};
use standin::{
    AttemptEnd, AttemptRecord, BoxFuture, ChatRequest, Config, Error, FailureClass, Hedging, HttpRequest, HttpResponse,
    Json, ModelConfig, ReplyEvent, Runtime, Transport, TransportError,
};

use super::kit::{S, ask, config, provider, settle, start};

/// Begins every answer with these bytes, and then breaks off or says nothing more.
#[derive(Clone, Debug)]
struct Beginning {
    bytes: &'static str,
    cut: bool,
    asked: Arc<AtomicU32>,
}

impl Transport for Beginning {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        self.asked.fetch_add(1, Relaxed);
        let begun = futures_util::stream::iter([Ok(Bytes::from_static(self.bytes.as_bytes()))]);
        let headers = HeaderMap::new();
        let body = if self.cut { begun.boxed() } else { begun.chain(futures_util::stream::pending()).boxed() };
        Box::pin(async { Ok(HttpResponse::new(200, headers, body)) })
    }
}

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":6000,"output_tokens":1}}}

"#;
const ANTHROPIC: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":6000,"output_tokens":1}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello, you there."}}

"#;
const GEMINI: &str = r#"data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"Hello, you there."}]}}],"usageMetadata":{"promptTokenCount":6000,"totalTokenCount":6000}}

"#;
const CHAT: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hello, you there."}}],"usage":{"prompt_tokens":6000,"completion_tokens":1,"cost":6.5}}

"#;
const SILENT: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hello, you there."}}]}

"#;

const TELLING: [(DialectConfig, &str); 3] =
    [(DialectConfig::Anthropic, ANTHROPIC), (DialectConfig::Gemini, GEMINI), (DialectConfig::OpenaiChat, CHAT)];

/// A runtime with one provider that begins so, where a thousand tokens cost a dollar.
async fn world(dialect: DialectConfig, bytes: &'static str, cut: bool) -> (Runtime, Arc<AtomicU32>) {
    let (config, asked) = begins(config(&[]), "a", dialect, bytes, cut);
    (start(config).await, asked)
}

fn begins(
    mut config: Config,
    name: &str,
    dialect: DialectConfig,
    bytes: &'static str,
    cut: bool,
) -> (Config, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let price = Some(PriceConfig::new(1_000.0, 1_000.0));
    let model = ModelConfig { price, ..ModelConfig::default() };
    let mut provider = provider(name, &Scripted::new(Script::default())).model_with("m", model).key("k");
    provider.dialect = Some(dialect);
    provider.custom = Some(Arc::new(Beginning { bytes, cut, asked: asked.clone() }));
    config.providers.insert(name.into(), provider);
    config.routes.get_mut("smart").expect("the route").targets.push(format!("{name}/m").as_str().into());
    config.budgets.insert("all".into(), BudgetConfig::dollars(20.0, Period::Month));
    (config, asked)
}

fn limited(text: &str) -> ChatRequest {
    let mut request = ask(text);
    request.output_tokens_max = Some(60);
    request
}

/// What was booked of all attempts of all calls.
fn booked(runtime: &Runtime) -> Vec<AttemptRecord> {
    let calls = runtime.recent();
    calls.iter().flat_map(|call| runtime.attempts(call.call)).collect()
}

fn is_told(runtime: &Runtime, class: FailureClass) {
    let records = booked(runtime);
    let is_of = |record: &AttemptRecord| matches!(&record.end, AttemptEnd::Failed(failure) if failure.class == class);
    assert!(records.iter().any(is_of), "{records:?}");
    let mut dollars = 0.0;
    for record in &records {
        assert_eq!(record.usage.input, 6_000, "{record:?}");
        assert!(record.usage.output >= 5 && record.estimated, "{record:?}");
        dollars += record.cost_usd.expect("a price");
    }
    assert!(dollars >= 6.0);
    let spent = runtime.health().budgets[0].budget.spent.number();
    assert!((spent - dollars).abs() < 1e-6, "{spent} of {dollars}");
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_told_of_its_prompt_is_booked_when_its_answer_breaks_off_or_stalls() {
    for (dialect, bytes) in TELLING {
        let (runtime, _) = world(dialect, bytes, true).await;
        runtime.chat(limited("Hi")).await.expect_err("it is cut");
        is_told(&runtime, FailureClass::Cut);
        let (runtime, _) = world(dialect, bytes, false).await;
        runtime.chat(limited("Hi").deadline(600 * S)).await.expect_err("it says nothing more");
        is_told(&runtime, FailureClass::Stalled);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_told_of_its_prompt_is_booked_when_nobody_waits_for_the_answer() {
    for (dialect, bytes) in TELLING {
        let (runtime, _) = world(dialect, bytes, false).await;
        let mut stream = runtime.stream(limited("Hi")).await.expect("a stream");
        while !matches!(stream.next().await, Some(Ok(ReplyEvent::Text(_)))) {}
        drop(stream);
        settle().await;
        is_told(&runtime, FailureClass::CallerLeft);
        let (runtime, _) = world(dialect, bytes, false).await;
        runtime.chat(limited("Hi").deadline(S)).await.expect_err("its time is over");
        settle().await;
        is_told(&runtime, FailureClass::CallEnded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_booked_by_what_its_provider_told_before_it_lost() {
    let scripted = Scripted::new(Script { head: S, ..Script::default() });
    let (mut config, _) = begins(config(&[]), "a", DialectConfig::Anthropic, START, false);
    config.providers.insert("b".into(), provider("b", &scripted).model("m"));
    config.routes.get_mut("smart").expect("the route").targets.push("b/m".into());
    config.budgets.clear();
    let runtime = start(config).await;
    let race = ChatRequest { hedging: Some(Hedging::Race), ..limited("Hi") };
    runtime.chat(race).await.expect("an answer");
    settle().await;
    let records = booked(&runtime);
    let lost = records.iter().find(|record| !record.won()).expect("a loser");
    assert_eq!((lost.usage.input, lost.estimated), (6_000, true), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_leave_spend_what_their_providers_told_and_no_more_than_the_budget_and_one() {
    for (dialect, bytes) in TELLING {
        let (runtime, asked) = world(dialect, bytes, false).await;
        let mut refused = 0;
        for _ in 0..8 {
            match runtime.stream(limited("Hi")).await {
                Ok(mut stream) => loop {
                    match stream.next().await {
                        Some(Ok(ReplyEvent::Text(_))) => break,
                        Some(Err(Error::OverBudget { .. })) => {
                            refused += 1;
                            break;
                        }
                        Some(Ok(_)) => {}
                        other => panic!("{other:?}"),
                    }
                },
                Err(Error::OverBudget { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            settle().await;
        }
        assert!(asked.load(Relaxed) <= 4 && refused >= 4, "{dialect:?}: {asked:?}, {refused} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_its_provider_adds_to_and_never_billed_is_booked_at_its_most() {
    let (runtime, asked) = world(DialectConfig::OpenaiChat, SILENT, true).await;
    let mut request = limited("Hi");
    request.extra.insert("search_parameters".into(), Json::from(serde_json::json!({"mode": "on"})));
    runtime.chat(request.clone()).await.expect_err("it is cut");
    let first = asked.load(Relaxed);
    let records = booked(&runtime);
    assert!(records[0].usage.input > 100_000 && records[0].estimated, "{records:?}");
    let why = runtime.chat(request).await.expect_err("what it cost is not known");
    assert!(matches!(why, Error::OverBudget { .. }), "{why}");
    assert_eq!(asked.load(Relaxed), first);
    // A prompt that is sent and counted is what it is estimated to be.
    let (runtime, _) = world(DialectConfig::OpenaiChat, SILENT, true).await;
    runtime.chat(limited("Hi")).await.expect_err("it is cut");
    assert!(booked(&runtime).iter().all(|record| record.usage.input < 100));
}

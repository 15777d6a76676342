//! The runtime over a provider that speaks Anthropic's messages, and refuses what Anthropic would.

use serde_json::{Value, json};
use standin::config::DialectConfig;
use standin::testing::{Answer, Fault, Outcome, ProviderError, RetryHint, Script, Scripted};
use standin::{
    AssistantPart, ChatRequest, Config, Effort, Error, FailureClass as Class, Message, Note, ProviderConfig, Reply,
    ResponseFormat, Runtime, StopReason, Tool, Usage,
};
use tokio::time::Instant;

use super::kit::{S, ask, config, outcomes, path, provider, start, stream};

/// Thinks within a budget.
const SONNET: &str = "claude-sonnet-4-5";
/// Decides itself how much to think, and takes no sampling parameters.
const OPUS: &str = "claude-opus-4-8";

/// Returns a provider of the dialect. `streams` is whether it is asked for streams even where the caller wants none.
fn anthropic(scripted: &Scripted, streams: bool) -> ProviderConfig {
    let mut provider = provider("anthropic", scripted).key("sk-ant-1");
    provider.dialect = Some(DialectConfig::Anthropic);
    provider.stream_upstream = Some(streams);
    provider
}

fn strict_script() -> Script {
    Script { keys: vec!["sk-ant-1".into()], models: vec![SONNET.into(), OPUS.into()], ..Script::default() }
}

/// Starts a runtime over one such provider and this model.
async fn alone(model: &str, streams: bool) -> (Scripted, Runtime) {
    let scripted = Scripted::new(strict_script());
    let mut config = config(&[]);
    config.providers.insert("anthropic".into(), anthropic(&scripted, streams).model(model));
    let route = config.routes.get_mut("smart").expect("the route");
    route.targets.push(format!("anthropic/{model}").as_str().into());
    (scripted, start(config).await)
}

fn tool(name: &str) -> Tool {
    let parameters = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    Tool { name: name.into(), description: "d".into(), parameters: parameters.into(), strict: None }
}

/// Answers a reply's calls, each with its name and arguments.
fn results(mut request: ChatRequest, reply: &Reply) -> ChatRequest {
    request = request.message(reply.finished.to_message());
    for call in &reply.tool_calls {
        request = request.message(Message::tool_result(call, format!("{} {}", call.name, call.arguments)));
    }
    request
}

fn last_body(scripted: &Scripted) -> Value {
    serde_json::from_slice(&scripted.log().last().expect("a request").body).expect("JSON")
}

fn assert_all_answered(scripted: &Scripted) {
    for record in scripted.log() {
        let body = String::from_utf8_lossy(&record.body);
        assert_eq!(record.outcome, Outcome::Answered, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn text_comes_whole_and_as_a_stream() {
    for streams in [true, false] {
        let (scripted, runtime) = alone(SONNET, streams).await;
        let mut usage = Usage::new(100, 7);
        (usage.cached, usage.cache_write, usage.reasoning) = (60, 30, 2);
        scripted.say(Answer::text("Hello there, you.").usage(usage));
        let reply = runtime.chat(ask("Hi").system("Be brief.")).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.finished.stop), ("Hello there, you.", StopReason::Stop));
        assert_eq!(reply.finished.usage, usage);
        assert_eq!(reply.finished.model.as_deref(), Some(SONNET));

        let seen = stream(&runtime, ask("one two three")).await;
        assert_eq!(seen.text(), "one two three");
        assert_eq!((seen.finished().usage.input, seen.finished().usage.output), (3, 3));
        let cut = ChatRequest { output_tokens_max: Some(2), ..ask("one two three") };
        let reply = runtime.chat(cut).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.finished.stop), ("one two", StopReason::Length));
        assert_all_answered(&scripted);
    }
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_alone_and_together_and_their_results_understood() {
    for (model, streams, effort) in [
        (SONNET, true, None),
        (SONNET, false, None),
        (SONNET, true, Some(Effort::High)),
        (SONNET, false, Some(Effort::High)),
        (OPUS, true, Some(Effort::Low)),
        (OPUS, false, Some(Effort::Low)),
    ] {
        let (scripted, runtime) = alone(model, streams).await;
        let mut request =
            ask("call:f({\"a\": 1}) and call:g({}) and call:f({\"a\":2})").tool(tool("f")).tool(tool("g"));
        request.effort = effort;
        let reply = runtime.chat(request.clone()).await.expect("an answer");
        let calls: Vec<_> = reply.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(calls, [("f", "{\"a\": 1}"), ("g", "{}"), ("f", "{\"a\":2}")]);
        assert_eq!(reply.finished.stop, StopReason::ToolCalls);

        let request = results(request, &reply);
        let reply = runtime.chat(request.clone()).await.expect("an answer");
        assert_eq!(reply.text, "the tool said: f {\"a\": 1}; g {}; f {\"a\":2}");
        let more = request.message(reply.finished.to_message()).user("call:g({\"a\":3})");
        let reply = runtime.chat(more.clone()).await.expect("an answer");
        let reply = runtime.chat(results(more, &reply)).await.expect("an answer");
        assert_eq!(reply.text, "the tool said: g {\"a\":3}");
        assert_all_answered(&scripted);
        assert_eq!(last_body(&scripted)["thinking"].is_object(), effort.is_some(), "it went on thinking");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thought_is_shown_and_goes_back_with_its_proof() {
    for (model, streams) in [(SONNET, true), (SONNET, false), (OPUS, true), (OPUS, false)] {
        let (scripted, runtime) = alone(model, streams).await;
        let mut request = ask("Hi").tool(tool("f"));
        request.effort = Some(Effort::High);
        scripted.say(Answer::text("I call f.").reasoning("Hm. What \"now\"?").tool_call("f", "{\"a\":1}"));
        let reply = runtime.chat(request.clone()).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.reasoning.as_str()), ("I call f.", "Hm. What \"now\"?"));
        assert_eq!(reply.finished.usage.reasoning, 3);

        runtime.chat(results(request, &reply)).await.expect("an answer");
        let thought = &last_body(&scripted)["messages"][1]["content"][0];
        assert_eq!((&thought["type"], &thought["thinking"]), (&json!("thinking"), &json!("Hm. What \"now\"?")));
        assert_all_answered(&scripted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_thought_is_refused_left_out_and_noted() {
    let (scripted, runtime) = alone(SONNET, true).await;
    scripted.say(Answer::text("Yes.").reasoning("Hm."));
    let reply = runtime.chat(ask("Hi")).await.expect("an answer");
    let mut parts = reply.finished.parts.clone();
    let Some(AssistantPart::Reasoning(reasoning)) = parts.first_mut() else { panic!("no thought: {parts:?}") };
    reasoning.text.push_str("!");
    let reply = runtime.chat(ask("Hi").message(Message::Assistant(parts)).user("More")).await.expect("an answer");
    assert_eq!(reply.text, "More");
    assert!(reply.finished.notes.contains(&Note::Dropped("messages.reasoning")), "{:?}", reply.finished.notes);
}

#[tokio::test(start_paused = true)]
async fn json_comes_in_the_form_of_a_schema() {
    for (model, strict) in [(SONNET, true), (OPUS, false)] {
        let (scripted, runtime) = alone(model, true).await;
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string"},
            "n": {"type": ["integer", "null"], "minimum": 3},
            "o": {"type": "object", "properties": {"l": {"type": "array", "minItems": 2, "items": {"type": "string"}}}},
        }});
        let mut request = ask("hi");
        request.response_format = ResponseFormat::JsonSchema { name: "answer".into(), schema: schema.into(), strict };
        let reply = runtime.chat(request).await.expect("an answer");
        let said: Value = serde_json::from_str(&reply.text).expect("JSON");
        assert_eq!(said["a"], "hi", "{model}");
        assert_all_answered(&scripted);
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_of_one_generation_are_not_sent_to_another() {
    for model in [SONNET, OPUS] {
        let (scripted, runtime) = alone(model, true).await;
        let mut request = ask("Hi").message(Message::assistant("Yes, ")).tool(tool("f"));
        request.sampling.temperature = Some(1.7);
        request.sampling.top_p = Some(0.5);
        request.sampling.seed = Some(3);
        request.sampling.stop = vec!["END".into(), " ".into()];
        request.parallel_tool_calls = Some(false);
        runtime.chat(request.clone()).await.expect("an answer");
        request.effort = Some(Effort::Medium);
        runtime.chat(request).await.expect("an answer");
        assert_all_answered(&scripted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_another_provider_began_is_finished_here() {
    let openai = Scripted::new(Script::default());
    let scripted = Scripted::new(strict_script());
    let mut config: Config = config(std::slice::from_ref(&openai));
    config.providers.insert("anthropic".into(), anthropic(&scripted, true).model(SONNET));
    config.routes.get_mut("smart").expect("the route").targets.push(format!("anthropic/{SONNET}").as_str().into());
    let runtime = start(config).await;

    openai.say(Answer::default().reasoning("Hm.").tool_call("f", "{\"a\":1}").tool_call("g", "{}"));
    let mut request = ask("Hi").tool(tool("f")).tool(tool("g"));
    request.effort = Some(Effort::High);
    let reply = runtime.chat(request.clone()).await.expect("an answer");
    openai.always(Fault::Refuse);
    let request = results(request, &reply);
    let reply = runtime.chat(request.clone()).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), format!("anthropic/{SONNET}"));
    assert_eq!(reply.text, "the tool said: f {\"a\":1}; g {}");
    let more = request.message(reply.finished.to_message()).user("More");
    runtime.chat(more).await.expect("an answer");
    assert_all_answered(&scripted);
    assert!(last_body(&scripted)["thinking"].is_object(), "a new turn is thought about");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_moves_to_another_model_without_its_thoughts_and_back_with_them() {
    let scripted = Scripted::new(strict_script());
    let mut config = config(&[]);
    config.providers.insert("anthropic".into(), anthropic(&scripted, true).model(SONNET).model(OPUS));
    let route = config.routes.get_mut("smart").expect("the route");
    route.targets.extend([SONNET, OPUS].map(|model| format!("anthropic/{model}").as_str().into()));
    let runtime = start(config).await;

    scripted.say(Answer::default().reasoning("Hm.").tool_call("f", "{\"a\":1}"));
    let mut request = ask("Hi").tool(tool("f"));
    request.effort = Some(Effort::High);
    let reply = runtime.chat(request.clone()).await.expect("an answer");
    let request = results(request, &reply);
    scripted.next(1, Fault::Error(ProviderError::Overloaded));
    let moved = runtime.chat(request.clone()).await.expect("an answer");
    let way = format!("anthropic/{SONNET} overloaded, anthropic/{OPUS} won");
    assert_eq!(path(&moved.finished.attempts), way);
    assert_eq!(last_body(&scripted)["messages"][1]["content"][0]["type"], "tool_use", "the thought stayed away");

    let back = runtime.chat(request).await.expect("an answer");
    assert_eq!(path(&back.finished.attempts), format!("anthropic/{SONNET} won"));
    assert_eq!(last_body(&scripted)["messages"][1]["content"][0]["type"], "thinking");
}

/// The class of each error, for a caller with no other target.
fn class_of(error: ProviderError) -> Class {
    match error {
        ProviderError::Server | ProviderError::BadGateway | ProviderError::Timeout => Class::Server,
        ProviderError::Unavailable | ProviderError::Overloaded => Class::Overloaded,
        ProviderError::ContextTooLong => Class::ContextTooLong,
        ProviderError::Unauthorised => Class::Unauthorised,
        ProviderError::OutOfMoney => Class::OutOfMoney,
        // A retired model is not told from one that never was.
        ProviderError::ModelGone | ProviderError::ModelRetired => Class::ModelGone,
        ProviderError::Forbidden => Class::Forbidden,
        ProviderError::Filtered => Class::ContentPolicy,
        // Its words are those of any 429.
        ProviderError::RequestExceedsLimit => Class::RateLimited,
        ProviderError::BadRequest => Class::BadRequest,
        ProviderError::Unsupported => Class::Unsupported,
        other => panic!("what is {other:?}?"),
    }
}

fn first_class(error: &Error) -> Class {
    let attempts = error.attempts();
    attempts.first().expect("an attempt").end.failure().expect("it failed").class
}

#[tokio::test(start_paused = true)]
async fn each_error_has_its_class() {
    for &error in ProviderError::ALL {
        for streams in [true, false] {
            let (scripted, runtime) = alone(SONNET, streams).await;
            scripted.always(Fault::Error(error));
            let whole = runtime.chat(ask("Hi")).await.expect_err("it fails");
            assert_eq!(first_class(&whole), class_of(error), "{error:?} streams: {streams}");
        }
        let (scripted, runtime) = alone(SONNET, true).await;
        scripted.always(Fault::Error(error));
        let seen = stream(&runtime, ask("Hi")).await;
        assert_eq!(first_class(seen.error.as_ref().expect("it fails")), class_of(error), "{error:?} in a stream");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_within_an_answer_is_noticed() {
    let table = [
        // The only target there is has all the time there is; without a stream a hanging answer is not told from a
        // long thought either.
        (Fault::StallAfter(2), Class::Stalled, Class::CallEnded),
        (Fault::CutAfter(2), Class::Cut, Class::Cut),
        (Fault::TruncatedJson, Class::Cut, Class::Cut),
        (Fault::InvalidJson, Class::Cut, Class::Cut),
        (Fault::Empty, Class::Empty, Class::Empty),
        (Fault::ErrorEvent { after: 2 }, Class::Overloaded, Class::Overloaded),
        (Fault::BlackHole { every: S }, Class::CallEnded, Class::CallEnded),
    ];
    for (fault, streamed, whole) in table {
        for (streams, expected) in [(true, streamed), (false, whole)] {
            let (scripted, runtime) = alone(SONNET, streams).await;
            scripted.always(fault.clone());
            let error = runtime.chat(ask("one two three four")).await.expect_err("it fails");
            assert_eq!(first_class(&error), expected, "{fault:?} streams: {streams}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_middle_is_told_as_one() {
    for streams in [true, false] {
        let (scripted, runtime) = alone(SONNET, streams).await;
        scripted.always(Fault::Finish("refusal".into()));
        let reply = runtime.chat(ask("one two")).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.finished.stop), ("one two", StopReason::Refusal));
    }
}

#[tokio::test(start_paused = true)]
async fn false_headers_throttle_no_call() {
    for streams in [true, false] {
        let (scripted, runtime) = alone(SONNET, streams).await;
        scripted.always(Fault::LyingHeaders);
        let before = Instant::now();
        for _ in 0..3 {
            runtime.chat(ask("Hi")).await.expect("an answer");
        }
        assert_eq!(before.elapsed(), std::time::Duration::ZERO);
        assert_eq!(outcomes(&scripted), [Outcome::Answered; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limits_reset_is_waited_for_in_every_form() {
    for hint in
        [RetryHint::Seconds(S), RetryHint::Millis(S), RetryHint::Date(S), RetryHint::Reset(S), RetryHint::Text(S)]
    {
        let (scripted, runtime) = alone(SONNET, true).await;
        scripted.next(1, Fault::RateLimited(hint));
        let before = Instant::now();
        let reply = runtime.chat(ask("Hi")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), format!("anthropic/{SONNET} rate_limited, anthropic/{SONNET} won"));
        let waited = before.elapsed();
        assert!((S..3 * S).contains(&waited), "{hint:?}: {waited:?}");
    }
}

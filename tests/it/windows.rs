//! Prompts against windows: estimates that learn, conversations that are cut, answers that are capped.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use standin::routing::SkipReason;
use standin::routing::{OverWindow, Strategy};
use standin::testing::{Answer, Answers, Crash, Fault, ProviderError, Script, Scripted, crash};
use standin::{
    AssistantPart, ChatRequest, Error, FailureClass, Message, ModelConfig, Note, ProviderConfig, Reply, RouteConfig,
    Runtime, StopReason, ToolCall, Usage,
};

use super::kit::{World, ask, config_with, path, settle, start, stream, target, words, world_with};

/// A model with a window.
fn window(tokens: u32) -> ModelConfig {
    ModelConfig { context_tokens_max: Some(tokens), ..ModelConfig::default() }
}

/// Providers `a`, `b`, … with these windows, behind a route with this treatment of longer conversations.
async fn windows(over_window: OverWindow, windows: &[Option<u32>]) -> World {
    let providers: Vec<Scripted> = windows.iter().map(|_| Scripted::new(Script::default())).collect();
    let mut config = config_with(&providers, &ModelConfig::default());
    for (name, tokens) in ["a", "b", "c", "d"].into_iter().zip(windows) {
        config.providers.get_mut(name).expect("such a provider").models.get_mut("m").expect("m").context_tokens_max =
            *tokens;
    }
    config.routes.get_mut("smart").expect("smart").over_window = over_window;
    World { runtime: start(config.clone()).await, providers, config }
}

/// A text of this many words that are a token each to the provider, and by their shape about four.
fn long_words(count: usize) -> String {
    words(count + 1_000).split(' ').skip(1_000).collect::<Vec<_>>().join(" ")
}

/// Whether a request would be sent to a target, by its window.
async fn fits(runtime: &Runtime, id: &str, request: ChatRequest) -> bool {
    let explained = runtime.explain(request).await.expect("explained");
    let skipped = explained.skipped.iter().find(|skipped| skipped.target == target(id));
    assert!(skipped.is_none_or(|skipped| skipped.why == SkipReason::ContextWindow), "{skipped:?}");
    skipped.is_none()
}

#[tokio::test(start_paused = true)]
async fn each_target_learns_how_it_counts_and_keeps_that_when_it_restarts_or_its_provider_changes() {
    let world = windows(OverWindow::Skip, &[Some(1_000), Some(1_000)]).await;
    let request = || ask(&long_words(800));
    assert!(!fits(&world.runtime, "a/m", request()).await, "by its shape it is too long");
    for count in 0..60 {
        world.runtime.chat(ask(&long_words(10 + count * 3))).await.expect("an answer");
    }
    assert!(fits(&world.runtime, "a/m", request()).await, "its answers told that it is not");
    assert!(!fits(&world.runtime, "a/m", ask(&long_words(1_300))).await, "this one is");
    assert!(!fits(&world.runtime, "b/m", request()).await, "nobody told of the other");

    crash(&world.runtime, Crash::ProviderPanics("a".into()));
    settle().await;
    assert!(world.incarnations("a") > 1);
    assert!(fits(&world.runtime, "a/m", request()).await, "a restart loses nothing");

    let mut config = world.config.clone();
    config.providers.get_mut("a").expect("a").models.insert("n".into(), window(1_000));
    config.providers.get_mut("a").expect("a").labels.push("changed".into());
    world.runtime.reconfigure(config.clone()).await.expect("a good configuration");
    assert!(fits(&world.runtime, "a/m", request()).await, "a target that stays keeps what it learned");
    config.providers.get_mut("a").expect("a").base_url = Some("https://elsewhere.test/v1".into());
    world.runtime.reconfigure(config).await.expect("a good configuration");
    assert!(!fits(&world.runtime, "a/m", request()).await, "somebody else counts as they will");
}

#[tokio::test(start_paused = true)]
async fn whether_a_length_is_doubted_is_seen_anew_after_a_reload() {
    // None has room; the one with a hundred may have it after all.
    let mut world = windows(OverWindow::Skip, &[Some(100), Some(80), Some(80)]).await;
    let route = world.config.routes.get_mut("smart").expect("smart");
    route.options.strategy = Strategy::Priority;
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    world.providers[0].next(1, Fault::Hang);
    let runtime = world.runtime.clone();
    let call = tokio::spawn(async move { runtime.chat(ask(&"word ".repeat(104))).await });
    settle().await;
    assert_eq!(world.providers[0].received(), 1);
    for (name, tokens) in [("b", 100), ("c", 1_000)] {
        let model = world.config.providers.get_mut(name).expect("there").models.get_mut("m").expect("m");
        model.context_tokens_max = Some(tokens);
    }
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    let reply = call.await.expect("no panic").expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m hedge_lost, c/m won", "one has room for certain now");
}

#[tokio::test(start_paused = true)]
async fn a_few_wrong_token_counts_of_a_provider_change_no_window() {
    let lies = Answers::by(|question| {
        let input = if question.user.contains("lie") { 900_000 } else { question.tokens };
        Answer { usage: Some(Usage::new(input, 1)), ..Answer::text("yes") }
    });
    let world = world_with(1, Script { answers: lies, ..Script::default() }, |config| {
        config.providers.get_mut("a").expect("a").models.insert("m".into(), window(1_000));
    })
    .await;
    for call in 0..30 {
        let text = if call % 7 == 3 { "a lie" } else { "a plain word or two" };
        world.runtime.chat(ask(text)).await.expect("an answer");
    }
    assert!(fits(&world.runtime, "a/m", ask(&"word ".repeat(700))).await);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_cut_is_charged_by_the_targets_own_estimate() {
    let world = windows(OverWindow::Skip, &[None, None]).await;
    for count in 0..60 {
        world.runtime.chat(ask(&long_words(10 + count * 3))).await.expect("an answer");
    }
    world.providers[0].next(1, Fault::CutAfter(3));
    let seen = stream(&world.runtime, ask(&long_words(500))).await;
    let cut = &seen.finished().attempts[0];
    assert!(cut.estimated && (450..=550).contains(&cut.usage.input), "{:?}", cut.usage);
}

/// An agent's conversation: a task, a tool asked again and again, questions between. `size` is the words of each
/// result.
fn conversation(size: usize) -> ChatRequest {
    let mut request = ChatRequest::new("smart").system("You are an agent.").user("the task");
    for round in 0..8 {
        let call = ToolCall { id: format!("call_{round}"), name: "look".into(), arguments: "{}".into(), proof: None };
        let result = format!("result {round}: {}", "word ".repeat(size));
        request = request
            .message(Message::Assistant(vec![AssistantPart::ToolCall(call.clone())]))
            .message(Message::tool_result(&call, result))
            .message(Message::assistant(format!("answer {round}")));
        request = request.user(format!("question {round}"));
    }
    request
}

/// The last request to a provider, a word for each message.
fn sent(provider: &Scripted) -> Vec<String> {
    let log = provider.log();
    let body: Value = serde_json::from_slice(&log.last().expect("a request").body).expect("JSON");
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        _ => format!("calls {}", message["tool_calls"][0]["id"].as_str().unwrap_or_default()),
    };
    body["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| text(message).chars().take(13).collect())
        .collect()
}

fn trimmed(reply: &Reply) -> Option<(u32, u32)> {
    reply.finished.notes.iter().find_map(|note| match note {
        Note::Trimmed { messages, tokens } => Some((*messages, *tokens)),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_cut_for_a_window_that_does_not_hold_it_and_the_reply_says_so() {
    let request = conversation(100);
    let skipping = windows(OverWindow::Skip, &[Some(800)]).await;
    let error = skipping.runtime.chat(request.clone()).await.expect_err("too long");
    assert!(matches!(&error, Error::TooLong { why, .. } if why == "a/m: context window too small"), "{error:?}");
    let world = windows(OverWindow::Trim, &[Some(800)]).await;
    let reply = world.runtime.chat(request.clone()).await.expect("an answer");
    let (messages, tokens) = trimmed(&reply).expect("a note");
    let sent = sent(&world.providers[0]);
    assert_eq!(sent.len() + messages as usize, request.messages.len());
    assert_eq!(sent[..2], ["You are an ag", "the task"]);
    assert_eq!(sent[sent.len() - 4..], ["calls call_7", "result 7: wor", "answer 7", "question 7"]);
    let counted = u32::try_from(reply.finished.usage.input).expect("small");
    assert!((300..800).contains(&counted), "{counted}");
    assert!((300..1_000).contains(&tokens), "{tokens}");
    // A call that fits is sent as it is; one that no cut makes fit is sent to no target.
    let short = world.runtime.chat(conversation(10)).await.expect("an answer");
    assert_eq!((trimmed(&short), short.finished.notes.len()), (None, 0));
    let endless = ask(&"word ".repeat(5_000));
    assert!(matches!(world.runtime.chat(endless).await, Err(Error::TooLong { .. })));
    assert_eq!(world.providers[0].received(), 2);
}

/// Where spans are written to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_attempt_says_so_in_its_span() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone());
    let _this_thread = tracing::subscriber::set_default(subscriber.finish());
    let world = windows(OverWindow::Trim, &[Some(800)]).await;
    let reply = world.runtime.chat(conversation(100)).await.expect("an answer");
    let (messages, _) = trimmed(&reply).expect("a note");
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    let ended = text.lines().find(|line| line.contains("attempt ended")).expect("an attempt's end");
    assert!(ended.contains(&format!("trimmed={messages}")), "{ended}");
    assert!(!text.contains("result 3"), "no prompt text in a span");
}

#[tokio::test(start_paused = true)]
async fn each_target_gets_what_its_own_window_holds() {
    let world = windows(OverWindow::Trim, &[Some(800), Some(100_000), None]).await;
    world.providers[0].always(Fault::Error(ProviderError::Overloaded));
    let reply = world.runtime.chat(conversation(100)).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m overloaded, b/m won");
    assert_eq!(trimmed(&reply), None, "the winner had all of it");
    assert!(sent(&world.providers[0]).len() < sent(&world.providers[1]).len());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_finds_it_too_long_gets_less_of_it_when_no_larger_window_is_left() {
    let request = conversation(100);
    let too_long = || Fault::Error(ProviderError::ContextTooLong);
    // Of an unknown window.
    let world = windows(OverWindow::Trim, &[None]).await;
    world.providers[0].next(2, too_long());
    let reply = world.runtime.chat(request.clone()).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m context_too_long, a/m context_too_long, a/m won");
    let lengths: Vec<usize> = world.providers[0].log().iter().map(|record| record.body.len()).collect();
    assert!(lengths[0] > lengths[1] && lengths[1] > lengths[2], "{lengths:?}");
    assert!(trimmed(&reply).is_some());
    // Of one that is smaller than is known: a larger one goes first, and has all of it.
    let world = windows(OverWindow::Trim, &[Some(8_000), Some(8_000), Some(100_000)]).await;
    world.providers[0].always(too_long());
    let reply = world.runtime.chat(request.clone()).await.expect("an answer");
    assert_eq!((path(&reply.finished.attempts).as_str(), trimmed(&reply)), ("a/m context_too_long, c/m won", None));
    world.providers[2].always(Fault::Error(ProviderError::Overloaded));
    world.providers[0].clear();
    world.providers[0].next(1, too_long());
    let reply = world.runtime.chat(request.clone()).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m context_too_long, c/m overloaded, a/m won");
    assert!(trimmed(&reply).is_some());
    // And without the option it is the caller's.
    let world = windows(OverWindow::Skip, &[None]).await;
    world.providers[0].always(too_long());
    let error = world.runtime.chat(request).await.expect_err("too long");
    assert!(
        matches!(&error, Error::Rejected { failure, .. } if failure.class == FailureClass::ContextTooLong),
        "{error:?}"
    );
    assert_eq!(world.providers[0].received(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_no_longer_than_its_target_gives() {
    let model = ModelConfig { output_tokens_max: Some(3), ..ModelConfig::default() };
    let world = world_with(2, Script::default(), |config| {
        config.providers.get_mut("a").expect("a").models.insert("m".into(), model);
    })
    .await;
    let asking = |tokens| ChatRequest { output_tokens_max: Some(tokens), ..ask("one two three four five") };
    let reply = world.runtime.chat(asking(4)).await.expect("an answer");
    assert_eq!((path(&reply.finished.attempts).as_str(), reply.finished.stop), ("a/m won", StopReason::Length));
    assert_eq!(reply.finished.notes, [Note::Converted("output_tokens_max")]);
    let reply = world.runtime.chat(asking(3)).await.expect("an answer");
    assert_eq!(reply.finished.notes, [], "what it gives needs no word");
    // A target after a failover gets what was asked for.
    world.providers[0].next(1, Fault::Error(ProviderError::Overloaded));
    let reply = world.runtime.chat(asking(50)).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.finished.notes.len()), ("one two three four five", 0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_model_can_do_everything_and_the_configuration_overrules_the_catalogue() {
    let scripted = Scripted::new(Script {
        models: ["a-model-of-my-own", "claude-haiku-5-5"].map(String::from).into(),
        ..Script::default()
    });
    let provider = |model: &str, edit: ModelConfig| {
        let mut provider = ProviderConfig::new("http://a.test/v1").model_with(model, edit);
        provider.custom = Some(Arc::new(scripted.clone()));
        provider
    };
    let long = "word ".repeat(3_000_000);
    let world = async |model: &str, edit| {
        let name = format!("p/{model}");
        let builder =
            Runtime::builder().provider("p", provider(model, edit)).route("smart", RouteConfig::new([name.as_str()]));
        builder.start().await.expect("starts")
    };
    let unknown = world("a-model-of-my-own", ModelConfig::default()).await;
    assert!(fits(&unknown, "p/a-model-of-my-own", ask(&long)).await);
    unknown.chat(ask("hello")).await.expect("an answer");
    assert!(!fits(&world("a-model-of-my-own", window(100_000)).await, "p/a-model-of-my-own", ask(&long)).await);
    // Its window is a million by the catalogue.
    assert!(!fits(&world("claude-haiku-5-5", ModelConfig::default()).await, "p/claude-haiku-5-5", ask(&long)).await);
    assert!(fits(&world("claude-haiku-5-5", window(10_000_000)).await, "p/claude-haiku-5-5", ask(&long)).await);
}

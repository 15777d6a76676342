//! A dress rehearsal of OpenAI's responses, and of every flavour of its chat completions, through the runtime.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use standin::config::DialectConfig;
use standin::testing::{Answer, Fault, Flavour, ProviderError as Sick, RetryHint, Script, Scripted};
use standin::{
    AttemptRecord, ChatRequest, Config, Failure, FailureClass as Class, Message, ModelConfig, ProviderConfig, Reply,
    ResponseFormat, RetryAfter, RouteConfig, Runtime, StopReason, Strategy, Tool, ToolChoice, Usage,
};

use super::kit::{S, path, start, stream, words};

/// A model of OpenAI's that thinks, as its name tells.
const THINKS: &str = "gpt-5-mini";
const RESPONSES: DialectConfig = DialectConfig::OpenaiResponses;
const CHAT: DialectConfig = DialectConfig::OpenaiChat;

/// A provider's name, how it speaks, and itself.
type Cast<'a> = (&'a str, DialectConfig, &'a Scripted);

/// Returns a configuration over providers of a flavour, in that order of preference.
fn config(providers: &[Cast<'_>], flavour: &str, upstream: bool) -> Config {
    let mut config = Config { seed: Some(7), ..Config::default() };
    let mut route = RouteConfig::default();
    route.options.strategy = Strategy::Priority;
    for (name, dialect, scripted) in providers {
        let mut provider = ProviderConfig::new(format!("http://{name}.test/v1")).key("sk-1");
        provider.flavour = Some(flavour.into());
        provider.dialect = Some(*dialect);
        provider.custom = Some(Arc::new((*scripted).clone()));
        provider.stream_upstream = Some(upstream);
        let is_openai = flavour == "openai" || flavour.starts_with("azure") || *dialect == RESPONSES;
        let model = if is_openai { THINKS } else { "m" };
        config.providers.insert((*name).into(), provider.model_with(model, ModelConfig::default()));
        route.targets.push(format!("{name}/{model}").as_str().into());
    }
    config.routes.insert("smart".into(), route);
    config
}

/// A runtime over one provider, whose whole answers are whole on the wire, too, unless `upstream`.
async fn over(scripted: &Scripted, dialect: DialectConfig, flavour: Flavour, upstream: bool) -> Runtime {
    start(config(&[("p", dialect, scripted)], flavour.name(), upstream)).await
}

fn speaking(flavour: Flavour) -> Scripted {
    Scripted::new(Script { flavour, ..Script::default() })
}

fn ask(text: &str) -> ChatRequest {
    // Longer than a model that thinks may pause.
    ChatRequest::new("smart").user(text).deadline(300 * S)
}

/// How the first attempt ended.
fn first(attempts: &[AttemptRecord]) -> Option<Failure> {
    attempts.first().and_then(|attempt| attempt.end.failure().cloned())
}

/// Asks once, for a stream or for a whole answer, and returns how the first attempt failed.
async fn failure(runtime: &Runtime, streamed: bool) -> Option<Failure> {
    let request = ask("one two three four");
    if streamed {
        let seen = stream(runtime, request).await;
        return match &seen.error {
            Some(error) => first(error.attempts()),
            None => first(&seen.finished().attempts),
        };
    }
    match runtime.chat(request).await {
        Ok(reply) => first(&reply.finished.attempts),
        Err(error) => first(error.attempts()),
    }
}

type Meaning = (Sick, Class, &'static [(Flavour, Class)]);

/// The class of each error, and the class in flavours that word it differently.
fn meanings() -> [Meaning; Sick::ALL.len()] {
    [
        (Sick::Server, Class::Server, &[]),
        (Sick::BadGateway, Class::Server, &[]),
        (Sick::Unavailable, Class::Overloaded, &[]),
        (Sick::Overloaded, Class::Overloaded, &[]),
        (Sick::ContextTooLong, Class::ContextTooLong, &[]),
        (Sick::Unauthorised, Class::Unauthorised, &[]),
        (Sick::OutOfMoney, Class::OutOfMoney, &[]),
        (Sick::ModelGone, Class::ModelGone, &[]),
        (Sick::ModelRetired, Class::ModelGone, &[]),
        (Sick::Forbidden, Class::Forbidden, &[]),
        (Sick::Filtered, Class::ContentPolicy, &[]),
        (Sick::RequestExceedsLimit, Class::RequestExceedsLimit, &[]),
        (Sick::BadRequest, Class::BadRequest, &[]),
        (Sick::Unsupported, Class::Unsupported, &[]),
        (Sick::Timeout, Class::Server, &[]),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_error_of_every_flavour_has_its_class() {
    let mut wrong = Vec::new();
    for (error, class, others) in meanings() {
        for &flavour in Flavour::ALL {
            let expected = others.iter().find(|(other, _)| *other == flavour).map_or(class, |(_, class)| *class);
            for (dialect, streamed) in [(CHAT, true), (CHAT, false), (RESPONSES, true), (RESPONSES, false)] {
                let scripted = speaking(flavour);
                let runtime = over(&scripted, dialect, flavour, streamed).await;
                scripted.next(1, Fault::Error(error));
                let got = failure(&runtime, streamed).await.map(|failure| failure.class);
                if got != Some(expected) {
                    wrong.push(format!("{dialect:?} {flavour:?} {error:?}: {got:?}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The hints of a 429 that a flavour has; by the others it is not known when to come back.
fn hints(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::OpenAi => "seconds millis date reset text",
        Flavour::Azure | Flavour::Groq => "seconds date reset text",
        Flavour::Together | Flavour::OpenRouter => "seconds reset",
        _ => "",
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_is_a_limit_and_its_wait_is_read_where_the_provider_tells_one() {
    let wait = Duration::from_millis(2_500);
    let forms = [
        ("silent", RetryHint::Silent),
        ("seconds", RetryHint::Seconds(wait)),
        ("millis", RetryHint::Millis(wait)),
        ("date", RetryHint::Date(wait)),
        ("reset", RetryHint::Reset(wait)),
        ("text", RetryHint::Text(wait)),
    ];
    for &flavour in Flavour::ALL {
        for (form, hint) in forms {
            let scripted = speaking(flavour);
            let runtime = over(&scripted, CHAT, flavour, true).await;
            scripted.next(1, Fault::RateLimited(hint));
            let failure = failure(&runtime, true).await.expect("a failure");
            assert_eq!(failure.class, Class::RateLimited, "{flavour:?} {form}");
            // Milliseconds come with seconds at Azure.
            let is_told = hints(flavour).contains(form) || (flavour == Flavour::Azure && form == "millis");
            match failure.retry_after {
                None => assert!(!is_told, "{flavour:?} {form} is not read"),
                // Some have whole seconds only.
                Some(RetryAfter::After(read)) => {
                    assert!(is_told && (wait..=3 * S).contains(&read), "{flavour:?} {form}: {read:?}");
                }
                // By the wall clock.
                Some(RetryAfter::At(_)) => assert!(is_told && ["date", "reset"].contains(&form), "{flavour:?} {form}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_within_an_answer_is_noticed_in_every_flavour() {
    let faults = [
        (Fault::ErrorEvent { after: 1 }, Class::Server),
        (Fault::CutAfter(2), Class::Cut),
        (Fault::TruncatedJson, Class::Cut),
        (Fault::InvalidJson, Class::Cut),
        (Fault::Empty, Class::Empty),
    ];
    for &flavour in Flavour::ALL {
        for (dialect, streamed) in [(CHAT, true), (CHAT, false), (RESPONSES, true), (RESPONSES, false)] {
            for (fault, expected) in &faults {
                let scripted = speaking(flavour);
                let runtime = over(&scripted, dialect, flavour, streamed).await;
                scripted.next(1, fault.clone());
                let got = failure(&runtime, streamed).await.map(|failure| failure.class);
                assert_eq!(got, Some(*expected), "{dialect:?} {flavour:?} {fault:?} streamed: {streamed}");
            }
            for odd in [Fault::LyingHeaders, Fault::Finish("length".into())] {
                let scripted = speaking(flavour);
                let runtime = over(&scripted, dialect, flavour, streamed).await;
                scripted.always(odd.clone());
                assert_eq!(failure(&runtime, streamed).await, None, "{dialect:?} {flavour:?} {odd:?}");
            }
        }
        let scripted = speaking(flavour);
        let runtime = over(&scripted, RESPONSES, flavour, true).await;
        scripted.next(1, Fault::StallAfter(2));
        let stalled = failure(&runtime, true).await.map(|failure| failure.class);
        assert_eq!(stalled, Some(Class::Stalled), "{flavour:?}");
    }
}

fn tool(name: &str) -> Tool {
    let parameters = json!({
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false,
    });
    Tool { name: name.into(), description: "adds".into(), parameters: parameters.into(), strict: Some(true) }
}

/// Appends an answer, and what its tools said, to a conversation.
fn with_results(request: ChatRequest, reply: &Reply) -> ChatRequest {
    let request = request.message(reply.finished.to_message());
    let result = |at| format!("result {at}");
    reply
        .tool_calls
        .iter()
        .enumerate()
        .fold(request, |request, (at, call)| request.message(Message::tool_result(call, result(at))))
}

async fn whole(runtime: &Runtime, request: ChatRequest, who: &str) -> Reply {
    match runtime.chat(request).await {
        Ok(reply) => {
            assert_eq!(reply.finished.attempts.len(), 1, "{who}: {}", path(&reply.finished.attempts));
            reply
        }
        Err(error) => panic!("{who}: {error}; {:?}", first(error.attempts())),
    }
}

/// The flavours and dialects that run tools, each with answers streamed and whole.
fn stages() -> Vec<(DialectConfig, Flavour, bool)> {
    let of = |(dialect, flavour)| [(dialect, flavour, true), (dialect, flavour, false)];
    let chats = Flavour::ALL.iter().map(|&flavour| (CHAT, flavour));
    chats.chain([(RESPONSES, Flavour::OpenAi), (RESPONSES, Flavour::Azure)]).flat_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_arrives_word_for_word_with_its_usage_and_its_end() {
    for (dialect, flavour, upstream) in stages() {
        let who = format!("{dialect:?} {flavour:?} {upstream}");
        let scripted = speaking(flavour);
        let runtime = over(&scripted, dialect, flavour, upstream).await;
        let mut usage = Usage::new(20, 9);
        (usage.cached, usage.reasoning) = (8, 4);
        scripted.say(Answer::text("All is “well”.").usage(usage));
        let reply = whole(&runtime, ask("How is it?"), &who).await;
        assert_eq!((reply.text.as_str(), reply.finished.stop), ("All is “well”.", StopReason::Stop), "{who}");
        let told = reply.finished.usage;
        assert_eq!((told.input, told.output), (20, 9), "{who}");
        let tells_cached = !matches!(flavour, Flavour::Perplexity | Flavour::Vllm | Flavour::Ollama);
        assert_eq!(told.cached, if tells_cached { 8 } else { 0 }, "{who}");

        let seen = stream(&runtime, ask(&words(30))).await;
        assert_eq!(seen.text(), words(30), "{who}");

        let short = ChatRequest { output_tokens_max: Some(16), ..ask(&words(30)) };
        let reply = whole(&runtime, short, &who).await;
        assert_eq!((reply.text, reply.finished.stop), (words(16), StopReason::Length), "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_alone_and_together_and_their_results_come_back() {
    for (dialect, flavour, upstream) in stages().into_iter().filter(|(_, flavour, _)| *flavour != Flavour::Perplexity) {
        let who = format!("{dialect:?} {flavour:?} {upstream}");
        let scripted = speaking(flavour);
        let runtime = over(&scripted, dialect, flavour, upstream).await;
        let calls = r#"call:add({"n":1}) and call:sub({"n":22222222222})"#;
        let asked = ask(calls).tool(tool("add")).tool(tool("sub"));
        let reply = whole(&runtime, asked.clone(), &who).await;
        assert_eq!(reply.finished.stop, StopReason::ToolCalls, "{who}");
        let called: Vec<_> =
            reply.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(called, [("add", r#"{"n":1}"#), ("sub", r#"{"n":22222222222}"#)], "{who}");
        assert_ne!(reply.tool_calls[0].id, reply.tool_calls[1].id, "{who}");

        let after = with_results(asked.clone(), &reply);
        let reply = whole(&runtime, after.clone(), &who).await;
        assert_eq!(reply.text, "the tool said: result 0; result 1", "{who}");
        let more = after.message(reply.finished.to_message()).user("and then?");
        assert_eq!(whole(&runtime, more, &who).await.text, "and then?", "{who}");

        let forced = ChatRequest { tool_choice: ToolChoice::Named("sub".into()), ..asked.clone().user("seven") };
        // Qwen cannot be told to, of the others all can.
        if flavour != Flavour::Qwen {
            assert_eq!(whole(&runtime, forced, &who).await.tool_calls[0].name, "sub", "{who}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn visible_thoughts_arrive_where_a_provider_shows_them_and_go_back_where_it_wants_them() {
    for (dialect, flavour, upstream) in stages().into_iter().filter(|(_, flavour, _)| *flavour != Flavour::Perplexity) {
        let who = format!("{dialect:?} {flavour:?} {upstream}");
        let scripted = speaking(flavour);
        let runtime = over(&scripted, dialect, flavour, upstream).await;
        let think = |answer: Answer| scripted.say(answer.reasoning("Let me see."));
        let mut asked = ask("Add, please").tool(tool("add"));
        if dialect == RESPONSES {
            asked.extra.insert("reasoning".into(), json!({"effort": "low", "summary": "auto"}).into());
        }
        think(Answer::default().tool_call("add", r#"{"n":1}"#));
        let called = whole(&runtime, asked.clone(), &who).await;
        assert_eq!(called.reasoning, "Let me see.", "{who}");
        assert_eq!(called.finished.usage.reasoning, if tells_thoughts(flavour) { 3 } else { 0 }, "{who}");
        let after = with_results(asked, &called);
        think(Answer::text("Done."));
        let done = whole(&runtime, after.clone(), &who).await;
        assert_eq!((done.reasoning.as_str(), done.text.as_str()), ("Let me see.", "Done."), "{who}");
        let more = after.message(done.finished.to_message()).user("and then?");
        assert_eq!(whole(&runtime, more, &who).await.text, "and then?", "{who}");
    }
}

/// Tells whether usage counts thoughts.
fn tells_thoughts(flavour: Flavour) -> bool {
    use Flavour::{Azure, DeepSeek, Groq, OpenAi, OpenRouter, Qwen, Xai};
    matches!(flavour, OpenAi | Azure | DeepSeek | Qwen | Groq | Xai | OpenRouter)
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_the_schema_that_was_asked_for() {
    let schema = json!({
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false,
    });
    let format = ResponseFormat::JsonSchema { name: "place".into(), schema: schema.into(), strict: true };
    // DeepSeek takes no schema, but can be told to answer in JSON.
    for (dialect, flavour, upstream) in stages().into_iter().filter(|(_, flavour, _)| *flavour != Flavour::DeepSeek) {
        let who = format!("{dialect:?} {flavour:?} {upstream}");
        let runtime = over(&speaking(flavour), dialect, flavour, upstream).await;
        let asked = ChatRequest { response_format: format.clone(), ..ask("Paris") };
        assert_eq!(whole(&runtime, asked, &who).await.text, r#"{"city":"Paris"}"#, "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn azures_deployments_are_asked_at_their_address() {
    let scripted = speaking(Flavour::Azure);
    let runtime = start(config(&[("p", CHAT, &scripted)], "azure-deployments", true)).await;
    assert_eq!(whole(&runtime, ask("hello there"), "deployments").await.text, "hello there");
    let path = &scripted.log()[0].path;
    assert!(path.ends_with("/openai/deployments/gpt-5-mini/chat/completions"), "{path}");
}

#[tokio::test(start_paused = true)]
async fn a_sealed_thought_goes_back_over_turns_unless_it_broke_off() {
    for upstream in [true, false] {
        let scripted = speaking(Flavour::OpenAi);
        let runtime = over(&scripted, RESPONSES, Flavour::OpenAi, upstream).await;
        let mut asked = ask("one");
        for turn in 0..3 {
            scripted.say(Answer::text(format!("answer {turn}")).reasoning("Hm. Hm."));
            let reply = whole(&runtime, asked.clone(), "turn").await;
            assert_eq!((reply.text, reply.reasoning.as_str()), (format!("answer {turn}"), ""), "not shown unasked");
            asked = asked.message(reply.finished.to_message()).user("more");
        }
        let body: serde_json::Value = serde_json::from_slice(&scripted.log()[2].body).expect("JSON");
        let items: Vec<_> = body["input"].as_array().expect("items").iter().map(|item| &item["type"]).collect();
        assert_eq!(items, ["message", "reasoning", "message", "message", "reasoning", "message", "message"]);
        assert_eq!(body["input"][1]["encrypted_content"].as_str().map(|sealed| &sealed[..7]), Some("gAAAAAB"));

        // Cut in its thoughts: they led to nothing that could follow.
        scripted.say(Answer::text("never").reasoning(words(40)));
        let cut = ChatRequest { output_tokens_max: Some(16), ..asked.clone() };
        let broken = whole(&runtime, cut, "cut").await;
        assert_eq!((broken.text.as_str(), broken.finished.stop), ("", StopReason::Length));
        let more = asked.message(broken.finished.to_message()).user("again");
        assert_eq!(whole(&runtime, more, "after a cut").await.text, "again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_filter_are_told_from_an_answer() {
    for upstream in [true, false] {
        let scripted = speaking(Flavour::OpenAi);
        let runtime = over(&scripted, RESPONSES, Flavour::OpenAi, upstream).await;
        for (word, stop) in [("refusal", StopReason::Refusal), ("content_filter", StopReason::ContentFilter)] {
            scripted.say(Answer::text("I cannot help with that.").finish(word));
            assert_eq!(whole(&runtime, ask("hello"), word).await.finished.stop, stop);
        }
        scripted.say(Answer::text("half").finish("failed"));
        let got = failure(&runtime, upstream).await.map(|failure| failure.class);
        assert_eq!(got, Some(Class::Server));
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_with_sealed_thoughts_survives_a_failure_at_home() {
    let (home, abroad) = (speaking(Flavour::OpenAi), speaking(Flavour::OpenAi));
    let runtime = start(config(&[("a", RESPONSES, &home), ("b", RESPONSES, &abroad)], "openai", true)).await;
    home.say(Answer::text("Fine.").reasoning("Hm."));
    let asked = ask("How is it?");
    let reply = whole(&runtime, asked.clone(), "at home").await;
    let more = asked.message(reply.finished.to_message()).user("and now?");
    home.next(1, Fault::Error(Sick::Overloaded));
    let reply = runtime.chat(more).await.unwrap_or_else(|error| panic!("{}", path(error.attempts())));
    assert_eq!(reply.text, "and now?", "{}", path(&reply.finished.attempts));
}

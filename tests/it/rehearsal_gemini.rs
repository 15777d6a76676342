//! The runtime against a provider that speaks Google's generateContent as strictly as Google does.

use serde_json::{Value, json};
use standin::config::DialectConfig;
use standin::testing::{Answer, Answers, Fault, Outcome, ProviderError, RetryHint, Script, Scripted};
use standin::{
    AssistantPart, AttemptEnd, AttemptRecord, ChatRequest, Effort, FailureClass as Class, Message, Note, Proof,
    ProviderConfig, ResponseFormat, StopReason, Tool, ToolCall,
};

use super::kit::{S, World, ask, path, start, stream, world_with};

const STUDIO: DialectConfig = DialectConfig::Gemini;
const VERTEX: DialectConfig = DialectConfig::Vertex;
const OLD: &str = "gemini-2.5-flash";
const NEW: &str = "gemini-3-flash-preview";

fn google(dialect: DialectConfig, scripted: &Scripted) -> ProviderConfig {
    let mut provider = ProviderConfig::new(match dialect {
        DialectConfig::Vertex => "http://a.test/v1/projects/p/locations/global/publishers/google",
        _ => "http://a.test/v1beta",
    });
    provider.dialect = Some(dialect);
    provider.custom = Some(std::sync::Arc::new(scripted.clone()));
    provider.key("right").model(OLD).model(NEW)
}

/// A runtime over one provider of a dialect; with `streams` it asks for streams, else for whole answers.
async fn world(dialect: DialectConfig, model: &str, streams: bool) -> World {
    let script = Script { keys: vec!["right".into()], models: vec![OLD.into(), NEW.into()], ..Script::default() };
    let scripted = Scripted::new(script);
    let mut world = world_with(0, Script::default(), |config| {
        let mut provider = google(dialect, &scripted);
        provider.stream_upstream = Some(streams);
        config.providers.insert("a".into(), provider);
        let route = config.routes.get_mut("smart").expect("the route");
        route.targets.push(format!("a/{model}").as_str().into());
    })
    .await;
    world.providers.push(scripted);
    world
}

fn tool(name: &str) -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": ["string", "null"]}},
        "additionalProperties": false, "$defs": {}});
    Tool { name: name.into(), description: "".into(), parameters: parameters.into(), strict: None }
}

fn bodies(world: &World) -> Vec<Value> {
    world.providers[0].log().iter().map(|record| serde_json::from_slice(&record.body).expect("JSON")).collect()
}

/// The class of the first attempt's failure; `None` if it won.
fn first(attempts: &[AttemptRecord]) -> Option<(Class, AttemptRecord)> {
    let first = attempts.first().expect("an attempt");
    first.end.failure().map(|failure| (failure.class, first.clone()))
}

async fn first_failure(world: &World, request: ChatRequest) -> Option<(Class, AttemptRecord)> {
    match world.runtime.chat(request).await {
        Ok(reply) => first(&reply.finished.attempts),
        Err(error) => first(error.attempts()),
    }
}

#[tokio::test(start_paused = true)]
async fn text_comes_whole_and_streamed_from_both_hosts() {
    for dialect in [STUDIO, VERTEX] {
        for model in [OLD, NEW] {
            for streams in [true, false] {
                let world = world(dialect, model, streams).await;
                let reply = world.runtime.chat(ask("one <two> three").system("be brief")).await.expect("an answer");
                assert_eq!((reply.text.as_str(), reply.finished.stop), ("one <two> three", StopReason::Stop));
                assert_eq!((reply.finished.usage.input, reply.finished.usage.output), (5, 3));
                assert_eq!(reply.finished.model.as_deref(), Some(model));
                let seen = stream(&world.runtime, ask("one two")).await;
                assert_eq!((seen.text().as_str(), seen.finished().stop), ("one two", StopReason::Stop));
                assert!(world.providers[0].log().iter().all(|record| record.outcome == Outcome::Answered));
                world.assert_idle();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_step_by_step_and_each_call_goes_back_signed() {
    for dialect in [STUDIO, VERTEX] {
        for model in [OLD, NEW] {
            for streams in [true, false] {
                let world = world(dialect, model, streams).await;
                let scripted = &world.providers[0];
                scripted.say(Answer::text("Let me see.").tool_call("f", r#"{"city":"Bern"}"#).tool_call("g", "{}"));
                scripted.say(Answer::default().tool_call("g", r#"{"city":null}"#));
                let mut request = ask("What now?").tool(tool("f")).tool(tool("g"));
                let mut names = Vec::new();
                let said = loop {
                    let reply = world.runtime.chat(request.clone()).await.expect("an answer");
                    request = request.message(reply.finished.to_message());
                    if reply.tool_calls.is_empty() {
                        break reply.text;
                    }
                    assert_eq!(reply.finished.stop, StopReason::ToolCalls);
                    // In any order of the results.
                    for call in reply.tool_calls.iter().rev() {
                        names.push(call.name.clone());
                        request = request.message(Message::tool_result(call, format!("{} is done", call.name)));
                    }
                };
                assert_eq!(said, "the tool said: g is done");
                assert_eq!(names, ["g", "f", "g"]);
                let again = request.user("And now?");
                world.runtime.chat(again).await.expect("what is over goes back too");
                let body = bodies(&world).pop().expect("a body");
                let results = &body["contents"][2]["parts"];
                assert_eq!(results[0]["functionResponse"]["name"], "f", "in the order of the calls");
                assert_eq!(results[1]["functionResponse"]["name"], "g");
                let has_ids = !results[0]["functionResponse"]["id"].is_null();
                assert_eq!(has_ids, dialect == STUDIO, "{dialect:?} {model}");
                assert_eq!(body["contents"][1]["parts"][1]["thoughtSignature"].is_string(), model == NEW);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_model_made_is_pardoned_and_a_forged_signature_is_left_out() {
    for dialect in [STUDIO, VERTEX] {
        let world = world(dialect, NEW, true).await;
        let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
        let talk = |call: &ToolCall| {
            let calls = Message::Assistant(vec![AssistantPart::ToolCall(call.clone())]);
            ask("hi").tool(tool("f")).message(calls).message(Message::tool_result(call, "four"))
        };
        let reply = world.runtime.chat(talk(&call)).await.expect("an answer");
        assert_eq!(reply.text, "the tool said: four");

        world.providers[0].say(Answer::default().tool_call("f", "{}"));
        let mut signed = world.runtime.chat(ask("hi").tool(tool("f"))).await.expect("a call").tool_calls.remove(0);
        world.runtime.chat(talk(&signed)).await.expect("it is signed");
        let Proof { data, .. } = signed.proof.as_mut().expect("a signature");
        let other = if data[20..].starts_with('A') { "B" } else { "A" };
        *data = format!("{}{other}{}", &data[..20], &data[21..]).into();
        let reply = world.runtime.chat(talk(&signed)).await.expect("it is asked once more without the signature");
        assert_eq!(reply.text, "the tool said: four");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_moves_between_the_hosts_without_the_others_signatures() {
    let scripted = [Scripted::new(Script::default()), Scripted::new(Script::default())];
    let world = world_with(0, Script::default(), |config| {
        for ((name, dialect), scripted) in [("a", STUDIO), ("b", VERTEX)].into_iter().zip(&scripted) {
            config.providers.insert(name.into(), google(dialect, scripted));
            let route = config.routes.get_mut("smart").expect("the route");
            route.targets.push(format!("{name}/{NEW}").as_str().into());
        }
    })
    .await;
    scripted[0].say(Answer::default().tool_call("f", "{}"));
    let request = ask("hi").tool(tool("f"));
    let reply = world.runtime.chat(request.clone()).await.expect("a call");
    let request =
        request.message(reply.finished.to_message()).message(Message::tool_result(&reply.tool_calls[0], "four"));
    scripted[0].next(1, Fault::Error(ProviderError::Unavailable));
    let moved = world.runtime.chat(request.clone()).await.expect("an answer");
    let way = format!("a/{NEW} overloaded, b/{NEW} won");
    assert_eq!((path(&moved.finished.attempts), moved.text.as_str()), (way, "the tool said: four"));
    assert_eq!(moved.finished.notes, [Note::Dropped("messages.reasoning")]);
    let back = request.message(moved.finished.to_message()).user("And?");
    assert_eq!(world.runtime.chat(back).await.expect("an answer").finished.target.to_string(), format!("a/{NEW}"));
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_shown_and_their_signatures_kept_over_turns() {
    for dialect in [STUDIO, VERTEX] {
        for model in [OLD, NEW] {
            for streams in [true, false] {
                let world = world(dialect, model, streams).await;
                let mut request = ask("hi");
                request.effort = Some(Effort::Low);
                let shown = json!({"thinkingConfig": {"includeThoughts": true}});
                request.extra.insert("generationConfig".into(), shown.into());
                world.providers[0].say(Answer::text("yes").reasoning("well well"));
                let reply = world.runtime.chat(request.clone()).await.expect("an answer");
                assert_eq!((reply.reasoning.as_str(), reply.text.as_str()), ("well well", "yes"));
                assert_eq!((reply.finished.usage.output, reply.finished.usage.reasoning), (3, 2));
                let more = request.message(reply.finished.to_message()).user("More.");
                world.runtime.chat(more).await.expect("an answer");
                let body = bodies(&world).pop().expect("a body");
                let signed = body["contents"][1].to_string().contains("thoughtSignature");
                assert_eq!(signed, model == NEW, "{dialect:?} {model} {}", body["contents"][1]);
                let thinking = &body["generationConfig"]["thinkingConfig"];
                let key = if model == NEW { "thinkingLevel" } else { "thinkingBudget" };
                assert!(thinking.get(key).is_some() && thinking["includeThoughts"] == true, "{thinking}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_the_schema_that_was_asked_for() {
    let schema = json!({"type": "object",
        "properties": {"n": {"type": "integer", "minimum": 3}, "s": {"type": "string"}},
        "required": ["n", "s"], "additionalProperties": false});
    for dialect in [STUDIO, VERTEX] {
        for streams in [true, false] {
            let world = world(dialect, OLD, streams).await;
            let mut request = ask("hi");
            request.response_format =
                ResponseFormat::JsonSchema { name: "answer".into(), schema: schema.clone().into(), strict: true };
            let reply = world.runtime.chat(request).await.expect("an answer");
            assert_eq!(serde_json::from_str::<Value>(&reply.text).expect("JSON"), json!({"n": 3, "s": "hi"}));
            let mut request = ask("hi");
            request.response_format = ResponseFormat::Json;
            assert_eq!(world.runtime.chat(request).await.expect("an answer").text, r#"{"answer":"hi"}"#);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tools_and_json_go_together_if_in_words() {
    for (model, notes) in [(OLD, vec![Note::Converted("response_format")]), (NEW, vec![])] {
        let world = world(STUDIO, model, true).await;
        world.providers[0].say(Answer::text("{}"));
        let mut request = ask("hi").tool(tool("f"));
        request.response_format = ResponseFormat::Json;
        let reply = world.runtime.chat(request).await.expect("an answer");
        assert_eq!((reply.finished.attempts.len(), reply.finished.notes), (1, notes));
    }
}

/// The class of each error, at AI Studio and at Vertex AI.
const fn classes(error: ProviderError) -> [Class; 2] {
    match error {
        ProviderError::Server | ProviderError::BadGateway | ProviderError::Timeout => [Class::Server; 2],
        ProviderError::Unavailable | ProviderError::Overloaded => [Class::Overloaded; 2],
        ProviderError::ContextTooLong => [Class::ContextTooLong; 2],
        ProviderError::Unauthorised => [Class::Unauthorised; 2],
        ProviderError::OutOfMoney => [Class::OutOfMoney; 2],
        ProviderError::ModelGone | ProviderError::ModelRetired => [Class::ModelGone; 2],
        // Vertex AI denies by the account's permissions for one model, which another key may have.
        ProviderError::Forbidden => [Class::Forbidden; 2],
        ProviderError::Filtered => [Class::ContentPolicy; 2],
        // Google does not say how large the request was: it looks like any other of its minute's limits.
        ProviderError::RequestExceedsLimit => [Class::RateLimited; 2],
        ProviderError::BadRequest => [Class::BadRequest; 2],
        ProviderError::Unsupported => [Class::Unsupported; 2],
        _ => panic!("a new error: give it its class"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_error_is_of_its_class_whole_and_streamed() {
    for &error in ProviderError::ALL {
        for (dialect, expected) in [STUDIO, VERTEX].into_iter().zip(classes(error)) {
            for streams in [true, false] {
                let world = world(dialect, OLD, streams).await;
                world.providers[0].next(1, Fault::Error(error));
                let (class, _) = first_failure(&world, ask("hi")).await.expect("a failure");
                assert_eq!(class, expected, "{error:?} {dialect:?} streams: {streams}");
                world.assert_idle();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_is_waited_for_as_its_body_says() {
    let day = 3_600 * S;
    for (hint, dialect, class, wait) in [
        (RetryHint::Seconds(48 * S), STUDIO, Class::RateLimited, Some(48 * S)),
        (RetryHint::Millis(S * 3 / 2), STUDIO, Class::RateLimited, Some(S * 3 / 2)),
        (RetryHint::Text(20 * S), STUDIO, Class::RateLimited, Some(20 * S)),
        (RetryHint::Silent, STUDIO, Class::RateLimited, Some(day)),
        (RetryHint::Silent, VERTEX, Class::Overloaded, None),
    ] {
        let world = world(dialect, OLD, true).await;
        world.providers[0].next(1, Fault::RateLimited(hint));
        let (got, record) = first_failure(&world, ask("hi").deadline(S)).await.expect("a failure");
        let AttemptEnd::Failed(failure) = record.end else { panic!("it won") };
        let said = failure.retry_after.map(|after| match after {
            standin::RetryAfter::After(wait) => wait,
            standin::RetryAfter::At(at) => panic!("{at:?}"),
        });
        assert_eq!((got, said), (class, wait), "{hint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_within_an_answer_are_told_apart() {
    for (fault, streamed, whole) in [
        (Fault::ErrorEvent { after: 2 }, Some(Class::Overloaded), Some(Class::Overloaded)),
        (Fault::ErrorEvent { after: 0 }, Some(Class::Overloaded), Some(Class::Overloaded)),
        (Fault::CutAfter(2), Some(Class::Cut), Some(Class::Cut)),
        (Fault::TruncatedJson, Some(Class::Cut), Some(Class::Cut)),
        (Fault::InvalidJson, Some(Class::Cut), Some(Class::Cut)),
        // Half a body is no content; a sole target is asked again beside it.
        (Fault::StallAfter(2), Some(Class::Stalled), Some(Class::HedgeLost)),
        (Fault::Empty, Some(Class::Empty), Some(Class::Empty)),
        (Fault::Finish("MALFORMED_FUNCTION_CALL".into()), Some(Class::Unusable), Some(Class::Unusable)),
        (Fault::LyingHeaders, None, None),
    ] {
        for dialect in [STUDIO, VERTEX] {
            for (streams, expected) in [(true, streamed), (false, whole)] {
                let world = world(dialect, NEW, streams).await;
                world.providers[0].next(1, fault.clone());
                let got = first_failure(&world, ask("one two three four")).await.map(|(class, _)| class);
                assert_eq!(got, expected, "{fault:?} {dialect:?} streams: {streams}");
                world.assert_idle();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_filter_ends_is_kept_and_one_it_takes_away_is_refused() {
    for streams in [true, false] {
        let world = world(STUDIO, NEW, streams).await;
        world.providers[0].next(1, Fault::Finish("SAFETY".into()));
        let reply = world.runtime.chat(ask("one two")).await.expect("as much as there is");
        assert_eq!((reply.text.as_str(), reply.finished.stop), ("one two", StopReason::ContentFilter));
        world.providers[0].say(Answer::default().finish("SAFETY"));
        let (class, _) = first_failure(&world, ask("one two")).await.expect("a refusal");
        assert_eq!(class, Class::ContentPolicy);
        let mut request = ask("one two three");
        request.output_tokens_max = Some(2);
        let reply = world.runtime.chat(request).await.expect("as much as it may be");
        assert_eq!((reply.text.as_str(), reply.finished.stop), ("one two", StopReason::Length));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_answers_by_a_function_sees_what_was_asked() {
    let answers = Answers::by(|question| Answer::text(format!("{}: {}", question.model, question.user)));
    let scripted = Scripted::new(Script { answers, ..Script::default() });
    let mut config = standin::Config::default();
    config.providers.insert("a".into(), google(STUDIO, &scripted));
    let mut route = standin::RouteConfig::default();
    route.targets.push(format!("a/{NEW}").as_str().into());
    config.routes.insert("smart".into(), route);
    let runtime = start(config).await;
    assert_eq!(runtime.chat(ask("hi there")).await.expect("an answer").text, format!("{NEW}: hi there"));
    assert_eq!(scripted.log()[0].path, format!("/v1beta/models/{NEW}:streamGenerateContent"));
}

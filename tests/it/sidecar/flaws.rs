//! Whole answers that their provider itself calls failures.

use serde_json::json;
use standin::config::RungConfig;
use standin::{OnExhausted, RouteConfig};

use super::http::{Caller, Exchange, events};
use super::upstream::Bytes;
use super::verbatim::{event, scene, scene_with, stream};

/// Whole answers and streams by which a provider says that its model failed, or that it has nothing to say.
fn flawed() -> Vec<(Caller, String, String)> {
    let mut all = Vec::new();
    for reason in [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "OTHER",
        "LANGUAGE",
        "NO_IMAGE",
        "X_NEW",
        "STOP",
    ] {
        let body = format!(
            r#"{{"candidates":[{{"content":{{"role":"model"}},"finishReason":"{reason}","finishMessage":"print(f())","index":0}}]}}"#
        );
        all.push((Caller::Gemini, body.clone(), event("", &body)));
    }
    for reason in ["function_call_filter: MALFORMED_FUNCTION_CALL", "malformed_function_call", "x_new", "stop"] {
        let of = |what: &str| {
            format!(
                r#"{{"id":"c1","model":"m","choices":[{{"index":0,"{what}":{{"role":"assistant","content":null}},"finish_reason":"{reason}"}}]}}"#
            )
        };
        all.push((Caller::Chat, of("message"), event("", &of("delta")) + &event("", "[DONE]")));
    }
    for reason in ["pause_turn", "x_new", "end_turn"] {
        let whole = format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"{reason}","usage":{{"input_tokens":5,"output_tokens":1}}}}"#
        );
        let streamed = [
            event("message_start", r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[]}}"#),
            event("message_delta", &format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#)),
            event("message_stop", r#"{"type":"message_stop"}"#),
        ];
        all.push((Caller::Anthropic, whole, streamed.concat()));
    }
    let response =
        r#"{"id":"resp_1","model":"m","status":"incomplete","incomplete_details":{"reason":"x_new"},"output":[]}"#;
    let last = format!(r#"{{"type":"response.incomplete","response":{response}}}"#);
    all.push((Caller::Responses, response.to_owned(), event("response.incomplete", &last)));
    all
}

/// The route `r` has one target.
fn alone(settings: &mut standin::sidecar::Settings) {
    settings.runtime.routes.insert("r".to_owned(), RouteConfig::new(["first/m"]));
}

#[tokio::test]
async fn a_call_that_its_provider_calls_failed_is_asked_once_more_and_then_passed_on_unchanged() {
    for (caller, whole, streamed) in flawed() {
        for (streams, body) in [(false, &whole), (true, &streamed)] {
            // Each is new: some of these failures count, and three open a breaker.
            let (sole, pair) = (scene_with(caller, alone).await, scene(caller).await);
            for scene in [&sole, &pair] {
                let answer = Bytes { body: body.clone(), piece: 10_000, cut: false, stream: streams };
                scene.first.answers(answer);
            }
            let reply = sole.ask(streams, &[]).await;
            assert_eq!((reply.status, reply.is_whole, &reply.body), (200, true, body), "{caller:?}: {reply:?}");
            assert_eq!(sole.first.asked().len(), 2, "it is drawn once more: {body}");
            let reply = pair.ask(streams, &[]).await;
            let text = if streams { caller.streamed(&reply.body) } else { caller.text(&reply.json()) };
            assert_eq!((reply.status, text.as_str()), (200, "from the second"), "{body}");
        }
    }
}

#[tokio::test]
async fn rather_than_pass_on_what_its_provider_calls_failed_a_call_that_takes_less_takes_that() {
    let degrades = |settings: &mut standin::sidecar::Settings| {
        let mut route = RouteConfig::new(["first/m"]);
        route.failover.on_exhausted = Some(OnExhausted::Degrade);
        route.degrade = vec![RungConfig::Text("Nobody.".to_owned())];
        settings.runtime.routes.insert("r".to_owned(), route);
    };
    for (caller, whole, streamed) in flawed() {
        for (streams, body) in [(false, &whole), (true, &streamed)] {
            let scene = scene_with(caller, degrades).await;
            scene.first.answers(Bytes { body: body.clone(), piece: 10_000, cut: false, stream: streams });
            let reply = scene.ask(streams, &[]).await;
            let text = if streams { caller.streamed(&reply.body) } else { caller.text(&reply.json()) };
            assert_eq!((reply.status, text.as_str()), (200, "Nobody."), "{caller:?}: {body}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_heard_the_beginning_hears_that_its_provider_calls_it_a_failure() {
    for (caller, _, streamed) in flawed() {
        let begun = stream(caller, "from the first");
        let begun = match caller {
            Caller::Chat | Caller::Gemini => &begun[..begun.find("\n\n").expect("an event") + 2],
            Caller::Responses => &begun[..begun.find("event: response.completed").expect("an end")],
            Caller::Anthropic => &begun[..begun.find("event: message_delta").expect("an end")],
        };
        let end = &streamed[streamed.find("event: message_delta").unwrap_or(0)..];
        let body = format!("{begun}{end}");
        let scene = scene(caller).await;
        let reply = scene.streamed(&body, 7, false).await;
        assert_eq!((reply.status, reply.is_whole, &reply.body), (200, true, &body), "{caller:?}: {reply:?}");
        assert!(scene.second.asked().is_empty() && scene.first.asked().len() == 1, "{body}");
    }
}

#[tokio::test]
async fn a_caller_of_another_dialect_is_told_of_a_providers_failure_that_there_is_no_answer() {
    let (_, whole, streamed) = flawed().swap_remove(0);
    for (streams, body) in [(false, whole), (true, streamed)] {
        let scene = scene_with(Caller::Gemini, alone).await;
        scene.first.answers(Bytes { body, piece: 10_000, cut: false, stream: streams });
        for caller in [Caller::Chat, Caller::Responses, Caller::Anthropic] {
            let (path, asked) = caller.ask("r", "hello", streams);
            let to = scene.sidecar.address();
            let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
            let error = reply.json();
            assert_eq!((reply.status, reply.header("x-should-retry")), (502, Some("false")), "{reply:?}");
            assert!(caller.message(&error).contains("print(f())"), "{reply:?}");
            assert!(events(&reply.body).is_empty());
        }
    }
}

#[tokio::test]
async fn a_whole_that_a_filter_holds_back_is_told_as_it_came_though_others_were_asked_first() {
    let blocked = [
        (Caller::Gemini, r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#),
        (Caller::Gemini, r#"{"candidates":[{"finishReason":"RECITATION","index":0}]}"#),
        (Caller::Chat, r#"{"choices":[{"index":0,"message":{"content":""},"finish_reason":"content_filter"}]}"#),
        (Caller::Anthropic, r#"{"type":"message","content":[],"stop_reason":"refusal"}"#),
    ];
    for (caller, body) in blocked {
        let scene = scene_with(caller, |settings| {
            settings.runtime.failover.content_policy_failover = true;
        })
        .await;
        for upstream in [&scene.first, &scene.second] {
            upstream.answers(Bytes { body: body.to_owned(), piece: 10_000, cut: false, stream: false });
        }
        let reply = scene.ask(false, &[]).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{reply:?}");
        assert!(!scene.first.asked().is_empty() && !scene.second.asked().is_empty(), "{body}");
    }
}

#[tokio::test]
async fn words_where_a_call_or_json_was_asked_for_reach_a_caller_with_nothing_better_as_they_came() {
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    for wanted in
        [json!({"tools": [tool], "tool_choice": "required"}), json!({"response_format": {"type": "json_object"}})]
    {
        for streams in [false, true] {
            let scene = scene_with(Caller::Chat, alone).await;
            let whole = r#"{"choices":[{"index":0,"message":{"content":"I cannot"},"finish_reason":"stop"}]}"#;
            let body = if streams { stream(Caller::Chat, "I cannot") } else { whole.to_owned() };
            scene.first.answers(Bytes { body: body.clone(), piece: 10_000, cut: false, stream: streams });
            let (path, mut asked) = Caller::Chat.ask("r", "hello", streams);
            asked.as_object_mut().expect("an object").extend(wanted.as_object().expect("an object").clone());
            let to = scene.sidecar.address();
            let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
            assert_eq!((reply.status, &reply.body), (200, &body), "{wanted} {streams}: {reply:?}");
            assert!((1..=2).contains(&scene.first.asked().len()), "{wanted} {streams}");
        }
    }
}

/// A request of a caller that must get a call.
fn forced(caller: Caller, streams: bool) -> (String, serde_json::Value) {
    let (path, mut asked) = caller.ask("r", "hello", streams);
    let schema = json!({"type": "object"});
    let more = match caller {
        Caller::Chat => {
            let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
            json!({"tools": [tool], "tool_choice": "required"})
        }
        Caller::Responses => {
            let tool = json!({"type": "function", "name": "f", "parameters": schema});
            json!({"tools": [tool], "tool_choice": "required", "store": false})
        }
        Caller::Anthropic => {
            json!({"tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "any"}})
        }
        Caller::Gemini => json!({
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        }),
    };
    asked.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    (path, asked)
}

#[tokio::test]
async fn words_where_a_call_was_required_reach_a_caller_of_another_dialect_that_gets_nothing_better() {
    let all = [Caller::Chat, Caller::Responses, Caller::Anthropic, Caller::Gemini];
    for provider in all {
        for caller in all.into_iter().filter(|caller| *caller != provider) {
            for streams in [false, true] {
                let scene = scene_with(provider, alone).await;
                let body = stream(provider, "I cannot");
                scene.first.answers(Bytes { body, piece: 10_000, cut: false, stream: true });
                let (path, asked) = forced(caller, streams);
                let to = scene.sidecar.address();
                let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{provider:?} {caller:?} {streams}: {reply:?}");
                let text = if streams { caller.streamed(&reply.body) } else { caller.text(&reply.json()) };
                assert_eq!(text, "I cannot", "{provider:?} {caller:?} {streams}: {reply:?}");
                // A caller that has heard it keeps it; else it is drawn once more.
                assert_eq!(scene.first.asked().len(), if streams { 1 } else { 2 });
            }
        }
    }
}

#[tokio::test]
async fn thoughts_alone_reach_a_caller_of_another_dialect_that_gets_nothing_better() {
    let whole =
        r#"{"choices":[{"index":0,"message":{"content":"","reasoning_content":"I think"},"finish_reason":"stop"}]}"#;
    let chunk = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"I think"},"finish_reason":null}]}"#;
    let last = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let streamed = event("", chunk) + &event("", last) + &event("", "[DONE]");
    for caller in [Caller::Responses, Caller::Anthropic, Caller::Gemini] {
        for body in [whole, &streamed] {
            let scene = scene_with(Caller::Chat, alone).await;
            scene.first.answers(Bytes { body: body.to_owned(), piece: 10_000, cut: false, stream: body != whole });
            for streams in [false, true] {
                let (path, mut asked) = caller.ask("r", "hello", streams);
                match caller {
                    Caller::Anthropic => {
                        asked["max_tokens"] = 4_000.into();
                        asked["thinking"] = json!({"type": "enabled", "budget_tokens": 1_024});
                    }
                    Caller::Gemini => {
                        asked["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": true}});
                    }
                    Caller::Chat | Caller::Responses => {}
                }
                let to = scene.sidecar.address();
                let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?} {streams} {body}: {reply:?}");
                let thoughts = reply.body.contains("I think") || reply.body.contains(r#""I"#);
                assert!(thoughts, "{caller:?} {streams} {body}: {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_behind_thoughts_that_its_caller_is_not_shown_is_replaced_without_a_word() {
    let thought = |caller| match caller {
        Caller::Chat => {
            event("", r#"{"choices":[{"index":0,"delta":{"reasoning_content":"I think"},"finish_reason":null}]}"#)
        }
        Caller::Responses => event(
            "response.reasoning_summary_text.delta",
            r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"I think"}"#,
        ),
        Caller::Anthropic => {
            event("message_start", r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[]}}"#)
                + &event(
                    "content_block_start",
                    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
                )
                + &event(
                    "content_block_delta",
                    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"I think"}}"#,
                )
        }
        Caller::Gemini => {
            event("", r#"{"candidates":[{"content":{"parts":[{"text":"I think","thought":true}],"role":"model"}}]}"#)
        }
    };
    let done = |caller| match caller {
        Caller::Chat => {
            event("", r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#) + &event("", "[DONE]")
        }
        Caller::Gemini => event("", r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}"#),
        _ => String::new(),
    };
    for provider in Caller::ALL {
        for caller in [Caller::Anthropic, Caller::Gemini].into_iter().filter(|caller| *caller != provider) {
            let scene = scene(provider).await;
            let thought = thought(provider);
            let error = event("error", r#"{"error":{"message":"overloaded","type":"overloaded_error","code":529}}"#);
            for (body, cut) in
                [(thought.clone(), true), (thought.clone() + &error, false), (thought + &done(provider), false)]
            {
                scene.first.answers(Bytes { body: body.clone(), piece: 10_000, cut, stream: true });
                let (path, mut asked) = caller.ask("r", "hello", true);
                if caller == Caller::Anthropic {
                    asked["thinking"] = json!({"type": "disabled"});
                }
                let to = scene.sidecar.address();
                let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{provider:?} {caller:?} {body}: {reply:?}");
                let text = caller.streamed(&reply.body);
                assert_eq!(text, "from the second", "{provider:?} {caller:?} {body}: {reply:?}");
                assert!(!reply.body.contains("I think"), "{provider:?} {caller:?} {body}: {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn numbers_that_json_has_no_words_for_pass_in_their_own_dialect_and_fail_nothing() {
    let odd = r#""logprobs":{"content":[{"token":"a","logprob":-Infinity,"top":NaN}]}"#;
    let whole =
        format!(r#"{{"choices":[{{"index":0,"message":{{"content":"I can"}},"finish_reason":"stop",{odd}}}]}}"#);
    let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"I can"}},"finish_reason":null,{odd}}}]}}"#);
    let last = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let streamed = event("", &chunk) + &event("", last) + &event("", "[DONE]");
    for caller in Caller::ALL {
        for (streams, body) in [(false, &whole), (true, &streamed)] {
            let scene = scene_with(Caller::Chat, alone).await;
            scene.first.answers(Bytes { body: body.clone(), piece: 10_000, cut: false, stream: streams });
            let (path, asked) = caller.ask("r", "hello", streams);
            let to = scene.sidecar.address();
            let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?} {streams}: {reply:?}");
            assert_eq!(scene.first.asked().len(), 1, "{caller:?} {streams}");
            if caller == Caller::Chat {
                assert_eq!(&reply.body, body, "it goes on as it came");
            } else {
                let text = if streams { caller.streamed(&reply.body) } else { caller.text(&reply.json()) };
                assert_eq!(text, "I can", "{caller:?} {streams}: {reply:?}");
            }
        }
    }
}

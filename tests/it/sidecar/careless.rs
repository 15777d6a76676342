//! Providers with malformed answers: callers get a corrected answer, or that of the next target.

use serde_json::{Value, json};
use standin::config::DialectConfig;
use standin::sidecar::{Settings, Sidecar};
use standin::{ProviderConfig, RouteConfig, Strategy};

use super::http::{self, Caller, Exchange, Response};
use super::upstream::{Bytes, Upstream};

const SAID: &str = "hello there";
const SECOND: &str = "from the second";

/// A sidecar over two providers by hand: the first answers carelessly, the second well.
struct Scene {
    dialect: Caller,
    sidecar: Sidecar,
    first: Upstream,
    _second: Upstream,
}

async fn scene(dialect: Caller) -> Scene {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let mut settings = Settings::default();
    settings.server.listen.set_port(0);
    settings.runtime.seed = Some(7);
    for (name, upstream, kind) in
        [("first", &first, config(dialect)), ("second", &second, (DialectConfig::OpenaiChat, "/v1"))]
    {
        let mut provider = ProviderConfig::new(format!("http://{}{}", upstream.address, kind.1)).key("k").model("m");
        provider.dialect = Some(kind.0);
        // Its answer is a stream, also where its caller asked for the whole.
        provider.stream_upstream = Some(name == "second");
        settings.runtime.providers.insert(name.to_owned(), provider);
    }
    let mut route = RouteConfig::new(["first/m", "second/m"]);
    route.options.strategy = Strategy::Priority;
    settings.runtime.routes.insert("r".to_owned(), route);
    let sidecar = Sidecar::start(settings).await.expect("a sidecar");
    let said = json!({"choices": [{"index": 0, "delta": {"content": SECOND}, "finish_reason": "stop"}]});
    second.answers(Bytes { body: events(&[said, json!("[DONE]")]), piece: 10_000, cut: false, stream: true });
    Scene { dialect, sidecar, first, _second: second }
}

fn config(dialect: Caller) -> (DialectConfig, &'static str) {
    match dialect {
        Caller::Chat => (DialectConfig::OpenaiChat, "/v1"),
        Caller::Responses => (DialectConfig::OpenaiResponses, "/v1"),
        Caller::Anthropic => (DialectConfig::Anthropic, "/v1"),
        Caller::Gemini => (DialectConfig::Gemini, "/v1beta"),
    }
}

/// Events of a stream, named by their types where they have one; texts as they are.
fn events(all: &[Value]) -> String {
    let event = |data: &Value| {
        let name = data["type"].as_str().map_or_else(String::new, |kind| format!("event: {kind}\n"));
        let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        format!("{name}data: {data}\n\n")
    };
    all.iter().map(event).collect()
}

impl Scene {
    async fn ask(&self, caller: Caller, stream: bool, body: &str, streams: bool) -> Response {
        self.first.answers(Bytes { body: body.to_owned(), piece: 10_000, cut: false, stream: streams });
        let (path, mut asked) = caller.ask("r", "hello", stream);
        if caller == Caller::Responses {
            asked["store"] = false.into();
        }
        asked["tools"] = match caller {
            Caller::Chat => json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]),
            Caller::Responses => json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]),
            Caller::Anthropic => json!([{"name": "f", "input_schema": {"type": "object"}}]),
            Caller::Gemini => json!([{"functionDeclarations": [{"name": "f"}]}]),
        };
        Exchange::begin(self.sidecar.address(), "POST", &path, &[], &asked.to_string()).await.end().await
    }
}

/// Returns what an answer says.
fn text(caller: Caller, stream: bool, reply: &Response) -> String {
    assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
    if stream {
        return caller.streamed(&reply.body);
    }
    let answer = reply.json();
    let parts = match caller {
        Caller::Chat => return answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
        Caller::Responses => answer["output"][0]["content"].clone(),
        Caller::Anthropic => answer["content"].clone(),
        Caller::Gemini => answer["candidates"][0]["content"]["parts"].clone(),
    };
    parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect()
}

/// Plays answers to callers of all dialects, or of these; the result must be one of these texts.
async fn plays(dialect: Caller, bodies: &[String], streams: bool, callers: &[Caller], texts: &[&str]) {
    for body in bodies {
        let scene = scene(dialect).await;
        for caller in callers {
            let reply = scene.ask(*caller, streams, body, streams).await;
            let said = text(*caller, streams, &reply);
            assert!(texts.contains(&&*said), "{:?} to {caller:?}: {said:?} of {body}", scene.dialect);
        }
    }
}

/// Every body as the text it is.
fn bodies(all: &[Value]) -> Vec<String> {
    all.iter().map(Value::to_string).collect()
}

#[tokio::test]
async fn whole_answers_are_sound_when_anything_in_them_is_missing_null_or_of_another_kind() {
    let choice = |more: Value| {
        let mut choice = json!({"message": {"content": SAID}, "finish_reason": "stop"});
        choice.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        json!({"choices": [choice]})
    };
    let beside = |more: Value| {
        let mut answer = choice(json!({}));
        answer.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        answer
    };
    let chat = bodies(&[
        choice(json!({})),
        choice(json!({"index": "0", "logprobs": null, "finish_reason": "weird"})),
        choice(json!({"message": {"role": null, "content": SAID, "tool_calls": null, "function_call": null,
                "refusal": null}})),
        choice(json!({"message": {"role": 7, "content": SAID, "tool_calls": [], "refusal": false}})),
        choice(json!({"finish_reason": "STOP"})),
        beside(json!({"id": null, "model": null, "created": "1", "usage": null, "error": null, "object": 7})),
        beside(json!({"id": 5, "model": {},
                "usage": {"prompt_tokens": "5", "completion_tokens": null, "total_tokens": 1.5}})),
        beside(json!({"usage": 7, "error": {}})),
        beside(json!({"usage": [], "base_resp": {"status_code": 0, "status_msg": ""}, "error_code": 0})),
    ]);
    plays(Caller::Chat, &chat, false, &Caller::ALL, &[SAID]).await;
    let others = [Caller::Anthropic, Caller::Responses, Caller::Gemini];
    // In another dialect what the end was is said, and parts are one text.
    let loose = bodies(&[
        json!({"choices": [{"message": {"content": SAID}}]}),
        json!({"choices": [{"message": {"content": SAID}, "finish_reason": null}]}),
        json!({"choices": [{"message": {"content": [{"type": "text", "text": "hello "}, {"text": "there"}]},
            "finish_reason": ""}]}),
        json!({"choices": [{"message": {"content": {"text": SAID}}, "finish_reason": 1}]}),
    ]);
    plays(Caller::Chat, &loose, false, &others, &[SAID]).await;

    let message = |more: Value| {
        let mut message = json!({"content": [{"type": "text", "text": SAID}], "stop_reason": "end_turn"});
        message.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        message
    };
    let messages = bodies(&[
        message(json!({})),
        message(json!({"id": null, "type": null, "role": null, "model": null, "usage": null})),
        message(json!({"stop_reason": "weird", "usage": {"input_tokens": "5", "output_tokens": null}})),
        message(json!({"content": [{"type": "text", "text": SAID, "citations": null}], "usage": {"prompt_tokens": 5}})),
    ]);
    plays(Caller::Anthropic, &messages, false, &Caller::ALL, &[SAID]).await;

    let candidate = |more: Value| {
        let mut answer = json!({"candidates": [{"content": {"parts": [{"text": SAID}]}, "finishReason": "STOP"}]});
        answer.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        answer
    };
    let contents = bodies(&[
        candidate(json!({})),
        candidate(json!({"usageMetadata": null, "modelVersion": null, "promptFeedback": null, "error": null})),
        candidate(json!({"usageMetadata": {"promptTokenCount": "5", "candidatesTokenCount": null}, "responseId": 7})),
        json!({"candidates": [{"index": null, "content": {"role": null, "parts": [
            {"text": SAID, "thought": null, "functionCall": null}]}, "finishReason": "NEW"}]}),
    ]);
    plays(Caller::Gemini, &contents, false, &Caller::ALL, &[SAID]).await;

    let said = json!([{"type": "message", "content": [{"type": "output_text", "text": SAID}]}]);
    let responses = bodies(&[
        json!({"output": said, "status": "completed"}),
        json!({"output": said}),
        json!({"id": null, "model": null, "error": null, "usage": null, "output": said, "status": "completed"}),
        json!({"output": said, "status": "completed", "usage": {"input_tokens": "5", "output_tokens": []}}),
    ]);
    plays(Caller::Responses, &responses, false, &Caller::ALL, &[SAID]).await;
}

#[tokio::test]
async fn streams_are_sound_when_anything_in_them_is_missing_null_or_of_another_kind() {
    let chunk =
        |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let (said, end, done) =
        (chunk(json!({"content": SAID}), Value::Null), chunk(json!({}), json!("stop")), json!("[DONE]"));
    let bare = json!({"choices": [{"delta": {"content": SAID}}]});
    let chat: Vec<String> = [
        vec![bare.clone(), json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}), done.clone()],
        vec![
            chunk(json!({"role": "assistant", "content": null}), Value::Null),
            said.clone(),
            end.clone(),
            done.clone(),
        ],
        vec![json!({"choices": [], "prompt_filter_results": []}), said.clone(), end.clone()],
        vec![json!({"choices": null}), json!({"id": "x"}), said.clone(), end.clone(), done.clone()],
        vec![said.clone(), json!({"choices": [{"index": "0", "delta": null, "finish_reason": "stop"}]}), done.clone()],
        vec![
            json!({"id": 7, "model": [], "choices": [{"delta": {"content": SAID}, "finish_reason": ""}],
                "usage": null}),
            end.clone(),
            done.clone(),
        ],
        vec![
            said.clone(),
            chunk(json!({"content": ""}), json!("weird")),
            json!({"choices": [], "usage": {"prompt_tokens": "5"}}),
            done.clone(),
        ],
        vec![
            json!(""),
            said.clone(),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                "base_resp": {"status_code": 0}}),
            done,
        ],
    ]
    .iter()
    .map(|all| events(all))
    .collect();
    plays(Caller::Chat, &chat, true, &Caller::ALL, &[SAID]).await;

    let start = json!({"type": "message_start", "message": {"content": [], "usage": {"input_tokens": "5"}}});
    let begin = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAID}});
    let blank = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": null}});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": null});
    let stop = json!({"type": "message_stop"});
    let messages: Vec<String> = [
        vec![start.clone(), delta.clone(), end.clone(), stop.clone()],
        vec![begin.clone(), delta.clone(), end.clone(), stop.clone()],
        vec![
            json!({"type": "message_start", "message": null}),
            begin.clone(),
            blank,
            delta.clone(),
            end.clone(),
            stop.clone(),
        ],
        vec![
            start.clone(),
            begin.clone(),
            json!({"type": "content_block_delta", "delta": null}),
            delta.clone(),
            end.clone(),
        ],
        vec![start, begin, delta, end, json!("[DONE]")],
    ]
    .iter()
    .map(|all| events(all))
    .collect();
    plays(Caller::Anthropic, &messages, true, &Caller::ALL, &[SAID]).await;

    let created = json!({"type": "response.created", "response": {"id": null, "status": "in_progress"}});
    let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": SAID});
    let end = |response: Value| json!({"type": "response.completed", "response": response});
    let responses: Vec<String> = [
        vec![delta.clone(), end(json!({"status": "completed", "output": []}))],
        vec![created.clone(), delta.clone(), end(Value::Null)],
        vec![
            created.clone(),
            json!({"type": "response.output_text.delta", "delta": null}),
            delta.clone(),
            json!({"type": "response.completed"}),
        ],
        vec![created, delta, end(json!({"usage": 7, "error": null})), json!("[DONE]")],
    ]
    .iter()
    .map(|all| events(all))
    .collect();
    plays(Caller::Responses, &responses, true, &Caller::ALL, &[SAID]).await;
}

/// Plays answers that call `f` with an `x` of 1: that is what arrives.
async fn calls(dialect: Caller, bodies: &[String], streams: bool, callers: &[Caller]) {
    for body in bodies {
        let scene = scene(dialect).await;
        for caller in callers {
            let reply = scene.ask(*caller, streams, body, streams).await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
            let (id, name, input) = call(*caller, streams, &reply);
            assert_eq!(name, "f", "{dialect:?} to {caller:?}: {} of {body}", reply.body);
            assert_eq!(input, json!({"x": 1}), "{dialect:?} to {caller:?}: {} of {body}", reply.body);
            assert!(!id.is_empty() || *caller == Caller::Gemini, "{dialect:?} to {caller:?}: {}", reply.body);
        }
    }
}

/// Returns the call of an answer: its id, its name, its input.
fn call(caller: Caller, streams: bool, reply: &Response) -> (String, String, Value) {
    let all = if streams { http::events(&reply.body) } else { vec![reply.json()] };
    let (mut id, mut name, mut input) = (String::new(), String::new(), String::new());
    for event in &all {
        let (call, more) = match caller {
            Caller::Chat => {
                let field = if streams { "delta" } else { "message" };
                let call = &event["choices"][0][field]["tool_calls"][0];
                (call, call["function"]["arguments"].as_str().unwrap_or_default().to_owned())
            }
            Caller::Anthropic => {
                let block = if streams { &event["content_block"] } else { &event["content"][0] };
                let input = Some(&block["input"]).filter(|input| input.as_object().is_some_and(|it| !it.is_empty()));
                let more = event["delta"]["partial_json"].as_str().map(str::to_owned);
                (block, more.or(input.map(Value::to_string)).unwrap_or_default())
            }
            Caller::Responses => {
                let item = if streams { &event["response"]["output"][0] } else { &event["output"][0] };
                (item, item["arguments"].as_str().unwrap_or_default().to_owned())
            }
            Caller::Gemini => {
                let call = &event["candidates"][0]["content"]["parts"][0]["functionCall"];
                (call, if call.is_null() { String::new() } else { call["args"].to_string() })
            }
        };
        let named = |key: &str| call[key].as_str().or(call["function"][key].as_str()).unwrap_or_default().to_owned();
        let told = if call["call_id"].is_string() { named("call_id") } else { named("id") };
        id = if id.is_empty() { told } else { id };
        name = if name.is_empty() { named("name") } else { name };
        input += &more;
    }
    (id, name, serde_json::from_str(&input).unwrap_or(Value::String(input)))
}

#[tokio::test]
async fn calls_of_whole_answers_arrive_with_an_id_a_name_and_an_object() {
    let answer = |calls: Value| {
        json!({"choices": [{"message": {"content": null, "tool_calls": calls},
            "finish_reason": "stop"}]})
    };
    let function = json!({"name": "f", "arguments": "{\"x\":1}"});
    let chat = bodies(&[
        answer(json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}])),
        answer(json!([{"id": null, "type": null, "function": function}])),
        answer(json!([{"function": function}])),
        answer(json!([{"id": 7, "index": "0", "function": function}])),
        answer(json!([{"id": "a", "function": {"name": "f", "arguments": "\"{\\\"x\\\":1}\""}}])),
        answer(json!([{"id": "a", "function": {"name": "f", "parameters": {"x": 1}}}])),
        answer(json!({"id": "a", "type": "function", "function": function})),
    ]);
    calls(Caller::Chat, &chat, false, &Caller::ALL).await;
    let gap = bodies(&[answer(json!([null, {"id": "a", "function": function}]))]);
    calls(Caller::Chat, &gap, false, &[Caller::Anthropic, Caller::Responses, Caller::Gemini]).await;

    let message = |block: Value| json!({"content": [block], "stop_reason": "tool_use"});
    let messages = bodies(&[
        message(json!({"type": "tool_use", "name": "f", "input": {"x": 1}})),
        message(json!({"type": "tool_use", "id": null, "name": "f", "input": {"x": 1}})),
        message(json!({"type": "tool_use", "id": "a", "name": "f", "input": "{\"x\":1}"})),
    ]);
    calls(Caller::Anthropic, &messages, false, &Caller::ALL).await;

    let part =
        |call: Value| json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}, "finishReason": "STOP"}]});
    let contents = bodies(&[
        part(json!({"name": "f", "args": {"x": 1}})),
        part(json!({"id": null, "name": "f", "args": {"x": 1}})),
    ]);
    calls(Caller::Gemini, &contents, false, &Caller::ALL).await;
    let text = bodies(&[part(json!({"name": "f", "args": "{\"x\":1}"}))]);
    calls(Caller::Gemini, &text, false, &[Caller::Chat, Caller::Anthropic, Caller::Responses]).await;
}

#[tokio::test]
async fn calls_of_streams_arrive_with_an_id_a_name_and_an_object() {
    let chunk = |call: Value| json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let stream = |calls: &[Value]| {
        let all: Vec<Value> = calls.iter().cloned().map(chunk).chain([end.clone(), json!("[DONE]")]).collect();
        events(&all)
    };
    let chat = [
        stream(&[
            json!({"id": "a", "function": {"name": "f", "arguments": "{\"x\""}}),
            json!({"function": {"arguments": ":1}"}}),
        ]),
        stream(&[json!({"index": 0, "function": {"name": "f", "arguments": "{\"x\":1}"}})]),
        stream(&[
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": null}}),
            json!({"index": 0, "id": null, "function": {"name": null, "arguments": "{\"x\":1}"}}),
        ]),
        stream(&[json!({"index": 0, "id": "a", "type": null, "function": {"name": "f", "arguments": {"x": 1}}})]),
        stream(&[
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}),
            json!({"index": 0, "function": {"arguments": "{\"x\":1}"}}),
        ]),
        stream(&[
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\""}}),
            json!({"index": 1, "function": {"arguments": ":1}"}}),
        ]),
        stream(&[json!({"index": "0", "id": "a", "function": {"name": "f", "arguments": "{\"x\":1}"}})]),
        stream(&[
            json!({"index": 0, "id": "a", "function": {"arguments": ""}}),
            json!({"index": 0, "function": {"name": "f", "arguments": "{\"x\":1}"}}),
        ]),
    ];
    calls(Caller::Chat, &chat, true, &Caller::ALL).await;

    let stream = |block: Value, deltas: &[&str]| {
        let delta = |part: &&str| {
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": part}})
        };
        let mut all = vec![json!({"type": "message_start", "message": {"content": []}})];
        all.push(json!({"type": "content_block_start", "index": 0, "content_block": block}));
        all.extend(deltas.iter().map(delta));
        all.push(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}));
        all.push(json!({"type": "message_stop"}));
        events(&all)
    };
    let messages = [
        stream(json!({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}), &[]),
        stream(json!({"type": "tool_use", "id": "a", "name": "f", "input": null}), &["{\"x\"", ":1}"]),
        stream(json!({"type": "tool_use", "id": null, "name": "f", "input": {}}), &["{\"x\":1}"]),
        stream(json!({"type": "tool_use", "id": "a", "name": "f", "input": ""}), &["{\"x\":1}"]),
    ];
    calls(Caller::Anthropic, &messages, true, &Caller::ALL).await;
}

#[tokio::test]
async fn an_error_in_the_place_of_an_answer_goes_to_the_next_target_in_any_shape() {
    let errors = [
        json!({"error": {"message": "boom", "code": 500}}),
        json!({"error": "boom"}),
        json!({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded", "request_id": "1"}),
        json!({"id": "", "choices": null, "usage": null,
            "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}),
        json!({"choices": [{"message": {"content": "half an answer"}, "finish_reason": "stop"}],
            "base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}),
        json!({"error_code": 336_100, "error_msg": "try again", "id": "as-1"}),
        json!({"code": 500, "msg": "404 NOT_FOUND", "success": false}),
        json!({"object": "error", "message": "x", "code": 500}),
        json!({"detail": "x"}),
        json!({"status": 500, "error": "Internal Server Error"}),
    ];
    for dialect in Caller::ALL {
        let all: Vec<Value> =
            errors.iter().filter(|error| dialect == Caller::Chat || !error["choices"].is_array()).cloned().collect();
        plays(dialect, &bodies(&all), false, &Caller::ALL, &[SECOND]).await;
    }
    let streamed: Vec<String> = errors.iter().map(|error| events(&[error.clone(), json!("[DONE]")])).collect();
    plays(Caller::Chat, &streamed, true, &Caller::ALL, &[SECOND]).await;
    let late = [
        events(&[
            json!({"type": "message_start", "message": {"content": []}}),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
        ]),
        events(&[json!({"type": "message_start", "message": {"content": []}}), json!({"error": {"message": "x"}})]),
    ];
    plays(Caller::Anthropic, &late, true, &Caller::ALL, &[SECOND]).await;
    let late = [
        events(&[
            json!({"type": "response.created", "response": {}}),
            json!({"type": "error", "message": "x", "code": null}),
        ]),
        events(&[json!({"type": "response.failed", "response": {"status": "failed", "error": null}})]),
    ];
    plays(Caller::Responses, &late, true, &Caller::ALL, &[SECOND]).await;
}

#[tokio::test]
async fn a_body_without_an_answer_moves_to_the_next_target_in_any_shape() {
    let nothing = ["", "null", "{}", "[]", "\"hello\"", "upstream error", "<html><title>Oops</title></html>"];
    let nothing: Vec<String> = nothing.map(str::to_owned).into();
    for dialect in Caller::ALL {
        plays(dialect, &nothing, false, &Caller::ALL, &[SECOND]).await;
    }
    let chat = bodies(&[
        json!({"choices": []}),
        json!({"choices": null, "usage": {"prompt_tokens": 1}}),
        json!({"choices": [{"finish_reason": "stop"}]}),
        json!({"choices": [{"message": null, "finish_reason": "stop"}]}),
        json!({"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}),
    ]);
    plays(Caller::Chat, &chat, false, &Caller::ALL, &[SECOND]).await;
    let messages = bodies(&[
        json!({"content": [], "stop_reason": "end_turn"}),
        json!({"content": null}),
        json!({"content": [{"type": "text", "text": null}], "stop_reason": "end_turn"}),
    ]);
    plays(Caller::Anthropic, &messages, false, &Caller::ALL, &[SECOND]).await;
    let contents = bodies(&[
        json!({"candidates": []}),
        json!({"candidates": null}),
        json!({"candidates": [{"content": {}, "finishReason": "STOP"}]}),
        json!({"usageMetadata": {"promptTokenCount": 5}}),
    ]);
    plays(Caller::Gemini, &contents, false, &Caller::ALL, &[SECOND]).await;
    let responses =
        bodies(&[json!({"status": "completed", "output": []}), json!({"status": "completed", "output": null})]);
    plays(Caller::Responses, &responses, false, &Caller::ALL, &[SECOND]).await;
    let streams = [
        String::new(),
        events(&[json!("[DONE]")]),
        events(&[json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), json!("[DONE]")]),
    ];
    plays(Caller::Chat, &streams, true, &Caller::ALL, &[SECOND]).await;
}

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::testing::speech::openai::Manner;
use crate::testing::speech::recorded::{Case, cases, events, paths};
use crate::testing::{Accent, Answer, Fault, ProviderError, Script, Scripted};
use crate::transport::{HttpRequest, Transport as _};

fn speaking(accent: Accent) -> Scripted {
    Scripted::new(Script { accent, ..Script::default() })
}

/// Where a provider of an accent is asked.
fn place(accent: Accent) -> &'static str {
    match accent {
        Accent::Azure => "https://standin.test/openai/v1/chat/completions",
        _ => "https://standin.test/v1/chat/completions",
    }
}

async fn exchange_at(url: &str, provider: &Scripted, body: &Value) -> (u16, HeaderMap, String) {
    let request =
        HttpRequest { url: url.into(), headers: HeaderMap::new(), body: body.to_string().into(), words: None };
    let response = provider.send(request).await.unwrap();
    let chunks: Vec<_> = response.body.collect().await;
    let body = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
    (response.status, response.headers, String::from_utf8(body).unwrap())
}

async fn exchange(accent: Accent, provider: &Scripted, body: &Value) -> (u16, HeaderMap, String) {
    exchange_at(place(accent), provider, body).await
}

fn ask(stream: bool, with: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello there"}], "stream": stream});
    body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    body
}

fn recorded(accent: Accent) -> Vec<Case> {
    cases(&[accent.name()], "chat-completions")
}

/// Whether the real provider's request is one that is not simulated, and why.
fn is_beyond(case: &Case, body: &Value) -> bool {
    // One choice is all it makes.
    let many = body["n"].as_u64().is_some_and(|n| n > 1);
    // OpenAI's recordings hold two that are OpenRouter's.
    many || (case.provider == "openai" && case.text.contains("\"provider\""))
}

#[tokio::test(start_paused = true)]
async fn recorded_requests_that_were_answered_are_taken() {
    for accent in Accent::ALL {
        for case in recorded(accent).iter().filter(|case| case.status == 200) {
            let Some(body) = case.request.as_ref().filter(|body| !is_beyond(case, body)) else { continue };
            let (status, _, text) = exchange(accent, &speaking(accent), body).await;
            assert_eq!(status, 200, "{}: {text}", case.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_requests_that_were_refused_are_refused_alike() {
    // What is refused for what it asks; the rest was for whom, or for how much.
    for (accent, case) in [
        (Accent::OpenAi, "chat-no-messages"),
        (Accent::DeepSeek, "blocking-audio-part"),
        (Accent::DeepSeek, "streaming-image-part"),
        (Accent::DeepSeek, "tool-choice-under-thinking"),
    ] {
        for recorded in recorded(accent).iter().filter(|recorded| recorded.name.contains(case)) {
            let body = recorded.request.as_ref().unwrap();
            let (status, _, text) = exchange(accent, &speaking(accent), body).await;
            let (ours, theirs): (Value, &Value) = (serde_json::from_str(&text).unwrap(), &recorded.response);
            assert_eq!(u64::from(status), recorded.status);
            assert_eq!(
                (&ours["error"]["type"], &ours["error"]["code"]),
                (&theirs["error"]["type"], &theirs["error"]["code"])
            );
            let start = |error: &Value| {
                error["error"]["message"].as_str().unwrap().split(" at line").next().unwrap().to_owned()
            };
            assert_eq!(start(&ours), start(theirs));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_status_and_the_fields_of_recorded_ones() {
    for (accent, error, case) in [
        (Accent::OpenAi, ProviderError::ContextTooLong, "json__400__121"),
        (Accent::OpenAi, ProviderError::Unauthorised, "json__401"),
        (Accent::OpenAi, ProviderError::ModelGone, "json__404"),
        (Accent::OpenAi, ProviderError::ModelRetired, "sse__404"),
        (Accent::Azure, ProviderError::ModelGone, "json__404"),
        (Accent::DeepSeek, ProviderError::Unauthorised, "json__401"),
        (Accent::DeepSeek, ProviderError::ModelGone, "rejects-an-unknown-model"),
        (Accent::Mistral, ProviderError::Unauthorised, "json__401"),
        (Accent::Mistral, ProviderError::Unsupported, "blocking-ministral-3b"),
        (Accent::Qwen, ProviderError::Unauthorised, "json__401"),
        (Accent::Groq, ProviderError::RequestExceedsLimit, "json__413"),
        (Accent::Together, ProviderError::ModelRetired, "json__400"),
        (Accent::OpenRouter, ProviderError::Unauthorised, "json__401"),
        (Accent::Perplexity, ProviderError::ContextTooLong, "json__400"),
        (Accent::Vllm, ProviderError::BadRequest, "json__400"),
        (Accent::Ollama, ProviderError::ContextTooLong, "json__400"),
        (Accent::Ollama, ProviderError::Unauthorised, "json__401"),
        (Accent::LlamaCpp, ProviderError::ContextTooLong, "context-overflow"),
        (Accent::LlamaCpp, ProviderError::Unauthorised, "json__401"),
    ] {
        for recorded in recorded(accent).iter().filter(|recorded| recorded.name.contains(case)) {
            let provider = speaking(accent);
            provider.next(1, Fault::Error(error));
            let (status, _, text) = exchange(accent, &provider, &ask(false, json!({}))).await;
            let ours: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(u64::from(status), recorded.status, "{}", recorded.name);
            assert_eq!(paths(&ours), paths(&recorded.response), "{}", recorded.name);
            for field in ["type", "code"] {
                for (ours, theirs) in [(&ours, &recorded.response), (&ours["error"], &recorded.response["error"])] {
                    assert_eq!(ours.get(field), theirs.get(field), "{}", recorded.name);
                }
            }
        }
    }
}

/// Fields that were not recorded of a provider, because none of its recordings called a tool or showed a thought.
fn is_known_otherwise(accent: Accent, path: &str) -> bool {
    let known: &[&str] = match accent {
        Accent::OpenAi | Accent::Azure | Accent::Perplexity => &["reasoning_content", "tool_calls"],
        Accent::Together => &["reasoning", "tool_calls"],
        Accent::Qwen => &["reasoning_content", "completion_tokens_details"],
        Accent::LlamaCpp => &["tool_calls"],
        // Its calls had no place yet where they were streamed.
        Accent::Ollama => &["index"],
        _ => &[],
    };
    path.split('.').any(|step| known.contains(&step.trim_end_matches("[]")))
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_fields_of_recorded_ones() {
    for accent in Accent::ALL {
        for is_stream in [true, false] {
            let theirs = recorded(accent);
            let theirs = theirs.iter().filter(|case| case.status == 200 && case.is_stream == is_stream);
            let theirs: Vec<_> = theirs.filter(|case| !is_beyond(case, &Value::Null)).collect();
            let any: BTreeSet<String> = theirs.iter().flat_map(|case| shape(is_stream, &case.text)).collect();
            let mut ours = BTreeSet::new();
            for answer in
                [Answer::text("Fine, thanks."), Answer::default().reasoning("Hm.").tool_call("f", r#"{"a":1}"#)]
            {
                let provider = speaking(accent);
                provider.say(answer);
                let options = if is_stream { json!({"stream_options": {"include_usage": true}}) } else { json!({}) };
                let options = if accent == Accent::Mistral { json!({}) } else { options };
                let (status, _, text) = exchange(accent, &provider, &ask(is_stream, options)).await;
                assert_eq!(status, 200, "{accent:?}: {text}");
                ours.extend(shape(is_stream, &text));
            }
            // Fields of vLLM's good answers were not recorded.
            if any.is_empty() {
                continue;
            }
            let made_up: Vec<_> = ours.difference(&any).filter(|path| !is_known_otherwise(accent, path)).collect();
            assert!(made_up.is_empty(), "{accent:?} (stream: {is_stream}) never had {made_up:?}");
            let common = theirs.iter().map(|case| shape(is_stream, &case.text));
            let common = common.reduce(|a, b| a.intersection(&b).cloned().collect()).unwrap_or_default();
            let forgotten: Vec<_> = common.difference(&ours).collect();
            assert!(forgotten.is_empty(), "{accent:?} (stream: {is_stream}) always has {forgotten:?}");
        }
    }
}

/// The paths of all fields of an answer.
fn shape(is_stream: bool, text: &str) -> BTreeSet<String> {
    let values = if is_stream { events(text) } else { vec![serde_json::from_str(text).unwrap_or_default()] };
    values.iter().flat_map(paths).collect()
}

#[tokio::test(start_paused = true)]
async fn a_head_has_the_limits_of_recorded_ones() {
    for (accent, names) in [
        (Accent::OpenAi, "x-ratelimit-reset-requests=0s x-request-id"),
        (Accent::Azure, "x-ratelimit-reset-requests=1 apim-request-id"),
        (Accent::Mistral, "x-ratelimit-remaining-req-minute=59999999 mistral-correlation-id"),
        (Accent::DeepSeek, "x-ds-trace-id"),
        (Accent::Together, "retry-after=2 x-ratelimit-remaining=59999999"),
        (Accent::OpenRouter, "x-generation-id"),
    ] {
        let (_, headers, _) = exchange(accent, &speaking(accent), &ask(false, json!({}))).await;
        for expected in names.split(' ') {
            let (name, value) = expected.split_once('=').unwrap_or((expected, ""));
            let told = headers.get(name).unwrap_or_else(|| panic!("{accent:?} has no {name}")).to_str().unwrap();
            assert!(value.is_empty() || told == value, "{accent:?} {name}: {told}");
        }
    }
    let provider = speaking(Accent::Together);
    provider.next(1, Fault::Error(ProviderError::Server));
    let (_, headers, _) = exchange(Accent::Together, &provider, &ask(false, json!({}))).await;
    assert_eq!(headers.get("retry-after"), None, "only on what is good");
}

#[tokio::test(start_paused = true)]
async fn what_an_accent_alone_refuses_is_refused_in_its_shape() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let call = |id: &str| json!([{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let looped = |id: &str| {
        json!({"messages": [
            {"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": call(id)},
            {"role": "tool", "tool_call_id": id, "content": "x"},
        ]})
    };
    let mut kept = looped("call_00_0123456789abcdeft");
    kept["messages"][1]["reasoning_content"] = "Hm.".into();
    let table = [
        (Accent::Mistral, json!({"max_completion_tokens": 9}), 422, r#""loc":["body","max_completion_tokens"]"#),
        (Accent::Mistral, json!({"stream": true, "stream_options": {}}), 422, r#""loc":["body","stream_options"]"#),
        (
            Accent::Mistral,
            json!({"messages": [{"role": "user", "content": "x", "reasoning_content": "y"}]}),
            422,
            r#""loc":["body","messages",0,"reasoning_content"]"#,
        ),
        (Accent::Mistral, json!({"tools": tools, "tool_choice": "required"}), 422, r#""object":"error""#),
        (Accent::Mistral, json!({"tools": tools, "tool_choice": "any"}), 200, ""),
        (Accent::DeepSeek, looped("call_00_0123456789abcdeft"), 400, "must be passed back to the API"),
        (Accent::DeepSeek, looped("call_00_0123456789abcdefn"), 200, ""),
        (Accent::DeepSeek, kept, 200, ""),
        (
            Accent::DeepSeek,
            json!({"tools": tools, "tool_choice": "required"}),
            400,
            "does not support this tool_choice",
        ),
        (Accent::Qwen, json!({"enable_thinking": true}), 400, "must be set to false for non-streaming calls"),
        (Accent::Qwen, json!({"model": "qwq-plus"}), 400, "only support stream mode"),
        (
            Accent::Qwen,
            json!({"enable_thinking": true, "stream": true, "tools": tools, "tool_choice": "required"}),
            400,
            "in thinking mode",
        ),
        (Accent::Qwen, json!({"enable_thinking": true, "stream": true}), 200, ""),
        (Accent::Xai, json!({"messages": 3}), 400, r#"{"code":"invalid-argument","error":"Invalid type"#),
        (Accent::Ollama, json!({"messages": 3}), 400, r#""param":null,"code":null}}"#),
        (Accent::LlamaCpp, json!({"messages": 3}), 400, r#"{"error":{"code":400,"message":"#),
        (Accent::Groq, json!({"tempo": 1}), 200, ""),
    ];
    for (accent, with, expected, part) in table {
        let (status, _, text) = exchange(accent, &speaking(accent), &ask(false, with.clone())).await;
        assert_eq!(status, expected, "{accent:?} {with}: {text}");
        assert!(text.contains(part), "{accent:?} {with}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn azure_wants_a_version_and_knows_the_deployment_by_its_address() {
    let script = Script { accent: Accent::Azure, models: vec!["d1".into()], ..Script::default() };
    let deployments = "https://standin.test/openai/deployments";
    for (url, expected) in [
        (format!("{deployments}/d1/chat/completions?api-version=2024-10-21"), 200),
        (format!("{deployments}/d2/chat/completions?api-version=2024-10-21"), 404),
        (format!("{deployments}/d1/chat/completions"), 404),
        (format!("{deployments}/d1/chat/completions?version=2"), 404),
    ] {
        let (status, _, text) = exchange_at(&url, &Scripted::new(script.clone()), &ask(false, json!({}))).await;
        assert_eq!(status, expected, "{url}: {text}");
    }
    let provider = Scripted::new(script);
    provider.next(1, Fault::Error(ProviderError::ModelGone));
    let url = format!("{deployments}/d1/chat/completions?api-version=2024-10-21");
    let (_, _, text) = exchange_at(&url, &provider, &ask(false, json!({}))).await;
    assert!(text.contains("DeploymentNotFound"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_looked_for_where_the_provider_wants_it() {
    for (accent, header, value, expected) in [
        (Accent::OpenAi, "authorization", "Bearer sk-1", 200),
        (Accent::OpenAi, "authorization", "sk-1", 401),
        (Accent::OpenAi, "api-key", "sk-1", 401),
        (Accent::Azure, "api-key", "sk-1", 200),
        (Accent::Azure, "authorization", "Bearer sk-1", 200),
        (Accent::Azure, "api-key", "sk-2", 401),
        (Accent::Xai, "authorization", "Bearer sk-2", 400),
    ] {
        let provider = Scripted::new(Script { accent, keys: vec!["sk-1".into()], ..Script::default() });
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        let body = ask(false, json!({})).to_string().into();
        let status =
            provider.send(HttpRequest { url: place(accent).into(), headers, body, words: None }).await.unwrap().status;
        assert_eq!(status, expected, "{accent:?} {header}");
    }
}

#[tokio::test(start_paused = true)]
async fn llama_cpp_answers_as_the_model_it_has() {
    for (accent, expected) in [(Accent::LlamaCpp, 200), (Accent::Ollama, 404)] {
        let provider = Scripted::new(Script { accent, models: vec!["other".into()], ..Script::default() });
        assert_eq!(exchange(accent, &provider, &ask(false, json!({}))).await.0, expected);
    }
}

#[test]
fn what_each_provider_refuses_is_refused() {
    let said = |messages: Value| json!({"model": "grok-4", "messages": messages});
    let user = json!({"role": "user", "content": "hi"});
    let (system, assistant) = (json!({"role": "system", "content": "s"}), json!({"role": "assistant", "content": "a"}));
    let call = |id: &str| {
        let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let result = json!({"role": "tool", "tool_call_id": id, "content": "A"});
        [user.clone(), json!({"role": "assistant", "content": "", "tool_calls": [call]}), result]
    };
    let developer = said(json!([{"role": "developer", "content": "d"}, user]));
    let with = |field: &str, value: Value| {
        let mut body = said(json!([user]));
        body[field] = value;
        body
    };
    let stops: Vec<String> = (0..17).map(|at| at.to_string()).collect();
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    let picture = json!([{"type": "image_url", "image_url": {"url": "https://x.test/i.png"}}]);
    let thought = json!({"role": "assistant", "content": "a", "reasoning_content": "hm"});
    for (accent, good, bad, words) in [
        (Accent::Mistral, said(json!([user])), developer.clone(), "unknown variant `developer`"),
        (Accent::DeepSeek, said(json!([user])), developer.clone(), "unknown variant `developer`"),
        (Accent::Qwen, said(json!([user])), developer.clone(), "unknown variant `developer`"),
        (Accent::Vllm, said(json!([system, user])), said(json!([user, system])), "System message must be"),
        (Accent::LlamaCpp, said(json!([system, user])), said(json!([system, system, user])), "System message must be"),
        (
            Accent::Mistral,
            said(call("abcdefghi").to_vec().into()),
            said(call("call_1").to_vec().into()),
            "Tool call id was",
        ),
        (
            Accent::Mistral,
            said(json!([user, {"role": "assistant", "content": "a", "prefix": true}])),
            said(json!([user, assistant])),
            "Expected last role User",
        ),
        (
            Accent::Mistral,
            said(call("abcdefghi").to_vec().into()),
            said([&call("abcdefghi")[..], std::slice::from_ref(&user)].concat().into()),
            "Unexpected role 'user' after role 'tool'",
        ),
        (Accent::Groq, said(json!([user, assistant, user])), said(json!([user, thought, user])), "reasoning_content"),
        (Accent::Groq, with("stop", json!(stops[..4])), with("stop", json!(stops[..5])), "array too long"),
        (Accent::DeepSeek, with("stop", json!(stops[..16])), with("stop", json!(stops)), "array too long"),
        (
            Accent::DeepSeek,
            with("response_format", json!({"type": "json_object"})),
            with("response_format", schema),
            "unavailable now",
        ),
        (Accent::Xai, with("temperature", json!(0.5)), with("stop", json!(["x"])), "Argument not supported"),
        (
            Accent::Perplexity,
            said(json!([system, user, assistant, user])),
            said(json!([user, user])),
            "should alternate",
        ),
        (Accent::Perplexity, said(json!([user])), said(json!([user, assistant])), "Last message must have role"),
        (
            Accent::Perplexity,
            said(json!([user])),
            with("tools", json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])),
            "Tool calling is not supported",
        ),
        (
            Accent::Ollama,
            said(json!([user])),
            said(json!([{"role": "user", "content": picture}])),
            "invalid image input",
        ),
    ] {
        let rules = &Manner::of(accent).rules;
        let read = |body: &Value| super::check::read(rules, None, body.to_string().as_bytes());
        assert!(read(&good).is_ok(), "{accent:?}: {good}: {:?}", read(&good).err());
        let problem = read(&bad).expect_err(words);
        assert!(problem.message.contains(words), "{accent:?}: {}", problem.message);
    }
}

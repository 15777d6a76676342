use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::testing::dialects::openai::ProviderFlavour;
use crate::testing::dialects::recorded::{Case, cases, events, paths};
use crate::testing::{Answer, Fault, Flavour, ProviderError, Script, Scripted};
use crate::transport::{HttpRequest, Transport as _};

fn speaking(flavour: Flavour) -> Scripted {
    Scripted::new(Script { flavour, ..Script::default() })
}

/// Returns the address of a flavour.
fn place(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Azure => "https://standin.test/openai/v1/chat/completions",
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

async fn exchange(flavour: Flavour, provider: &Scripted, body: &Value) -> (u16, HeaderMap, String) {
    exchange_at(place(flavour), provider, body).await
}

fn ask(stream: bool, with: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello there"}], "stream": stream});
    body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    body
}

fn recorded(flavour: Flavour) -> Vec<Case> {
    cases(&[flavour.name()], "chat-completions")
}

/// Whether the real provider's request is one that is not simulated, and why.
fn is_beyond(case: &Case, body: &Value) -> bool {
    // It makes only one choice.
    let many = body["n"].as_u64().is_some_and(|n| n > 1);
    // OpenAI's recordings hold two that are OpenRouter's.
    many || (case.provider == "openai" && case.text.contains("\"provider\""))
}

#[tokio::test(start_paused = true)]
async fn recorded_requests_that_were_answered_are_taken() {
    for &flavour in Flavour::ALL {
        for case in recorded(flavour).iter().filter(|case| case.status == 200) {
            let Some(body) = case.request.as_ref().filter(|body| !is_beyond(case, body)) else { continue };
            let (status, _, text) = exchange(flavour, &speaking(flavour), body).await;
            assert_eq!(status, 200, "{}: {text}", case.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_requests_that_were_refused_are_refused_in_the_same_way() {
    // Requests that are refused for their content; the others are refused for their key, model or size.
    for (flavour, case) in [
        (Flavour::OpenAi, "chat-no-messages"),
        (Flavour::DeepSeek, "blocking-audio-part"),
        (Flavour::DeepSeek, "streaming-image-part"),
        (Flavour::DeepSeek, "tool-choice-under-thinking"),
    ] {
        for recorded in recorded(flavour).iter().filter(|recorded| recorded.name.contains(case)) {
            let body = recorded.request.as_ref().unwrap();
            let (status, _, text) = exchange(flavour, &speaking(flavour), body).await;
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
    for (flavour, error, case) in [
        (Flavour::OpenAi, ProviderError::ContextTooLong, "json__400__121"),
        (Flavour::OpenAi, ProviderError::Unauthorised, "json__401"),
        (Flavour::OpenAi, ProviderError::ModelGone, "json__404"),
        (Flavour::OpenAi, ProviderError::ModelRetired, "sse__404"),
        (Flavour::Azure, ProviderError::ModelGone, "json__404"),
        (Flavour::DeepSeek, ProviderError::Unauthorised, "json__401"),
        (Flavour::DeepSeek, ProviderError::ModelGone, "rejects-an-unknown-model"),
        (Flavour::Mistral, ProviderError::Unauthorised, "json__401"),
        (Flavour::Mistral, ProviderError::Unsupported, "blocking-ministral-3b"),
        (Flavour::Qwen, ProviderError::Unauthorised, "json__401"),
        (Flavour::Groq, ProviderError::RequestExceedsLimit, "json__413"),
        (Flavour::Together, ProviderError::ModelRetired, "json__400"),
        (Flavour::OpenRouter, ProviderError::Unauthorised, "json__401"),
        (Flavour::Perplexity, ProviderError::ContextTooLong, "json__400"),
        (Flavour::Vllm, ProviderError::BadRequest, "json__400"),
        (Flavour::Ollama, ProviderError::ContextTooLong, "json__400"),
        (Flavour::Ollama, ProviderError::Unauthorised, "json__401"),
        (Flavour::LlamaCpp, ProviderError::ContextTooLong, "context-overflow"),
        (Flavour::LlamaCpp, ProviderError::Unauthorised, "json__401"),
    ] {
        for recorded in recorded(flavour).iter().filter(|recorded| recorded.name.contains(case)) {
            let provider = speaking(flavour);
            provider.next(1, Fault::Error(error));
            let (status, _, text) = exchange(flavour, &provider, &ask(false, json!({}))).await;
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
fn is_known_otherwise(flavour: Flavour, path: &str) -> bool {
    let known: &[&str] = match flavour {
        Flavour::OpenAi | Flavour::Azure | Flavour::Perplexity => &["reasoning_content", "tool_calls"],
        Flavour::Together => &["reasoning", "tool_calls"],
        Flavour::Qwen => &["reasoning_content", "completion_tokens_details"],
        Flavour::LlamaCpp => &["tool_calls"],
        // Its streamed calls had no index yet.
        Flavour::Ollama => &["index"],
        _ => &[],
    };
    path.split('.').any(|step| known.contains(&step.trim_end_matches("[]")))
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_fields_of_recorded_ones() {
    for &flavour in Flavour::ALL {
        for is_stream in [true, false] {
            let theirs = recorded(flavour);
            let theirs = theirs.iter().filter(|case| case.status == 200 && case.is_stream == is_stream);
            let theirs: Vec<_> = theirs.filter(|case| !is_beyond(case, &Value::Null)).collect();
            let any: BTreeSet<String> = theirs.iter().flat_map(|case| shape(is_stream, &case.text)).collect();
            let mut ours = BTreeSet::new();
            for answer in
                [Answer::text("Fine, thanks."), Answer::default().reasoning("Hm.").tool_call("f", r#"{"a":1}"#)]
            {
                let provider = speaking(flavour);
                provider.say(answer);
                let options = if is_stream { json!({"stream_options": {"include_usage": true}}) } else { json!({}) };
                let options = if flavour == Flavour::Mistral { json!({}) } else { options };
                let (status, _, text) = exchange(flavour, &provider, &ask(is_stream, options)).await;
                assert_eq!(status, 200, "{flavour:?}: {text}");
                ours.extend(shape(is_stream, &text));
            }
            // Fields of vLLM's good answers were not recorded.
            if any.is_empty() {
                continue;
            }
            let made_up: Vec<_> = ours.difference(&any).filter(|path| !is_known_otherwise(flavour, path)).collect();
            assert!(made_up.is_empty(), "{flavour:?} (stream: {is_stream}) never had {made_up:?}");
            let common = theirs.iter().map(|case| shape(is_stream, &case.text));
            let common = common.reduce(|a, b| a.intersection(&b).cloned().collect()).unwrap_or_default();
            let forgotten: Vec<_> = common.difference(&ours).collect();
            assert!(forgotten.is_empty(), "{flavour:?} (stream: {is_stream}) always has {forgotten:?}");
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
    for (flavour, names) in [
        (Flavour::OpenAi, "x-ratelimit-reset-requests=0s x-request-id"),
        (Flavour::Azure, "x-ratelimit-reset-requests=1 apim-request-id"),
        (Flavour::Mistral, "x-ratelimit-remaining-req-minute=59999999 mistral-correlation-id"),
        (Flavour::DeepSeek, "x-ds-trace-id"),
        (Flavour::Together, "retry-after=2 x-ratelimit-remaining=59999999"),
        (Flavour::OpenRouter, "x-generation-id"),
    ] {
        let (_, headers, _) = exchange(flavour, &speaking(flavour), &ask(false, json!({}))).await;
        for expected in names.split(' ') {
            let (name, value) = expected.split_once('=').unwrap_or((expected, ""));
            let told = headers.get(name).unwrap_or_else(|| panic!("{flavour:?} has no {name}")).to_str().unwrap();
            assert!(value.is_empty() || told == value, "{flavour:?} {name}: {told}");
        }
    }
    let provider = speaking(Flavour::Together);
    provider.next(1, Fault::Error(ProviderError::Server));
    let (_, headers, _) = exchange(Flavour::Together, &provider, &ask(false, json!({}))).await;
    assert_eq!(headers.get("retry-after"), None, "only on what is good");
}

#[tokio::test(start_paused = true)]
async fn requests_that_only_one_flavour_refuses_are_refused_in_its_shape() {
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
        (Flavour::Mistral, json!({"max_completion_tokens": 9}), 422, r#""loc":["body","max_completion_tokens"]"#),
        (Flavour::Mistral, json!({"stream": true, "stream_options": {}}), 422, r#""loc":["body","stream_options"]"#),
        (
            Flavour::Mistral,
            json!({"messages": [{"role": "user", "content": "x", "reasoning_content": "y"}]}),
            422,
            r#""loc":["body","messages",0,"reasoning_content"]"#,
        ),
        (Flavour::Mistral, json!({"tools": tools, "tool_choice": "required"}), 422, r#""object":"error""#),
        (Flavour::Mistral, json!({"tools": tools, "tool_choice": "any"}), 200, ""),
        (Flavour::DeepSeek, looped("call_00_0123456789abcdeft"), 400, "must be passed back to the API"),
        (Flavour::DeepSeek, looped("call_00_0123456789abcdefn"), 200, ""),
        (Flavour::DeepSeek, kept, 200, ""),
        (
            Flavour::DeepSeek,
            json!({"tools": tools, "tool_choice": "required"}),
            400,
            "does not support this tool_choice",
        ),
        (Flavour::Qwen, json!({"enable_thinking": true}), 400, "must be set to false for non-streaming calls"),
        (Flavour::Qwen, json!({"model": "qwq-plus"}), 400, "only support stream mode"),
        (
            Flavour::Qwen,
            json!({"enable_thinking": true, "stream": true, "tools": tools, "tool_choice": "required"}),
            400,
            "in thinking mode",
        ),
        (Flavour::Qwen, json!({"enable_thinking": true, "stream": true}), 200, ""),
        (Flavour::Xai, json!({"messages": 3}), 400, r#"{"code":"invalid-argument","error":"Invalid type"#),
        (Flavour::Ollama, json!({"messages": 3}), 400, r#""param":null,"code":null}}"#),
        (Flavour::LlamaCpp, json!({"messages": 3}), 400, r#"{"error":{"code":400,"message":"#),
        (Flavour::Groq, json!({"tempo": 1}), 200, ""),
    ];
    for (flavour, with, expected, part) in table {
        let (status, _, text) = exchange(flavour, &speaking(flavour), &ask(false, with.clone())).await;
        assert_eq!(status, expected, "{flavour:?} {with}: {text}");
        assert!(text.contains(part), "{flavour:?} {with}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn azure_wants_a_version_and_knows_the_deployment_by_its_address() {
    let script = Script { flavour: Flavour::Azure, models: vec!["d1".into()], ..Script::default() };
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
    for (flavour, header, value, expected) in [
        (Flavour::OpenAi, "authorization", "Bearer sk-1", 200),
        (Flavour::OpenAi, "authorization", "sk-1", 401),
        (Flavour::OpenAi, "api-key", "sk-1", 401),
        (Flavour::Azure, "api-key", "sk-1", 200),
        (Flavour::Azure, "authorization", "Bearer sk-1", 200),
        (Flavour::Azure, "api-key", "sk-2", 401),
        (Flavour::Xai, "authorization", "Bearer sk-2", 400),
    ] {
        let provider = Scripted::new(Script { flavour, keys: vec!["sk-1".into()], ..Script::default() });
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        let body = ask(false, json!({})).to_string().into();
        let status =
            provider.send(HttpRequest { url: place(flavour).into(), headers, body, words: None }).await.unwrap().status;
        assert_eq!(status, expected, "{flavour:?} {header}");
    }
}

#[tokio::test(start_paused = true)]
async fn llama_cpp_answers_as_the_model_it_has() {
    for (flavour, expected) in [(Flavour::LlamaCpp, 200), (Flavour::Ollama, 404)] {
        let provider = Scripted::new(Script { flavour, models: vec!["other".into()], ..Script::default() });
        assert_eq!(exchange(flavour, &provider, &ask(false, json!({}))).await.0, expected);
    }
}

#[test]
fn each_provider_refuses_what_the_real_one_refuses() {
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
    for (flavour, good, bad, words) in [
        (Flavour::Mistral, said(json!([user])), developer.clone(), "unknown variant `developer`"),
        (Flavour::DeepSeek, said(json!([user])), developer.clone(), "unknown variant `developer`"),
        (Flavour::Qwen, said(json!([user])), developer.clone(), "unknown variant `developer`"),
        (Flavour::Vllm, said(json!([system, user])), said(json!([user, system])), "System message must be"),
        (Flavour::LlamaCpp, said(json!([system, user])), said(json!([system, system, user])), "System message must be"),
        (
            Flavour::Mistral,
            said(call("abcdefghi").to_vec().into()),
            said(call("call_1").to_vec().into()),
            "Tool call id was",
        ),
        (
            Flavour::Mistral,
            said(json!([user, {"role": "assistant", "content": "a", "prefix": true}])),
            said(json!([user, assistant])),
            "Expected last role User",
        ),
        (
            Flavour::Mistral,
            said(call("abcdefghi").to_vec().into()),
            said([&call("abcdefghi")[..], std::slice::from_ref(&user)].concat().into()),
            "Unexpected role 'user' after role 'tool'",
        ),
        (Flavour::Groq, said(json!([user, assistant, user])), said(json!([user, thought, user])), "reasoning_content"),
        (Flavour::Groq, with("stop", json!(stops[..4])), with("stop", json!(stops[..5])), "array too long"),
        (Flavour::DeepSeek, with("stop", json!(stops[..16])), with("stop", json!(stops)), "array too long"),
        (
            Flavour::DeepSeek,
            with("response_format", json!({"type": "json_object"})),
            with("response_format", schema),
            "unavailable now",
        ),
        (Flavour::Xai, with("temperature", json!(0.5)), with("stop", json!(["x"])), "Argument not supported"),
        (
            Flavour::Perplexity,
            said(json!([system, user, assistant, user])),
            said(json!([user, user])),
            "should alternate",
        ),
        (Flavour::Perplexity, said(json!([user])), said(json!([user, assistant])), "Last message must have role"),
        (
            Flavour::Perplexity,
            said(json!([user])),
            with("tools", json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])),
            "Tool calling is not supported",
        ),
        (
            Flavour::Ollama,
            said(json!([user])),
            said(json!([{"role": "user", "content": picture}])),
            "invalid image input",
        ),
    ] {
        let rules = &ProviderFlavour::of(flavour).rules;
        let read = |body: &Value| super::check::read(rules, None, body.to_string().as_bytes());
        assert!(read(&good).is_ok(), "{flavour:?}: {good}: {:?}", read(&good).err());
        let problem = read(&bad).expect_err(words);
        assert!(problem.message.contains(words), "{flavour:?}: {}", problem.message);
    }
}

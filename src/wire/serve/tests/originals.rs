//! Requests that pass unchanged, and those that must not.

use super::*;
use crate::wire::{Flavour, encode};
use crate::words::{Dialect, Payload, TargetId};

/// Returns the body that a target gets of a request, and what is noted.
fn sent(caller_dialect: CallerDialect, body: &Value, to: (Dialect, &str, &str), streaming: bool) -> (Value, Vec<Note>) {
    let (dialect, flavour, model) = to;
    let asked = asked(caller_dialect, body);
    let flavour = Flavour::named(flavour).expect("a flavour");
    let encoded = encode(dialect, flavour, &asked.request, &TargetId::new("p", model), streaming).expect("a body");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

/// Parts that the common form cannot express: they stay in place only in a body that passes unchanged.
fn marked(caller_dialect: CallerDialect) -> Value {
    match caller_dialect {
        CallerDialect::OpenAiChat => json!({"model": "smart", "messages": [{"role": "user", "name": "ann", "content": [
            {"type": "image_url", "image_url": {"url": "https://x.test/i.png", "detail": "low"}}]}]}),
        CallerDialect::OpenAiResponses => {
            json!({"model": "smart", "store": false, "input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": "https://x.test/i.png", "detail": "low"}]}]})
        }
        CallerDialect::Anthropic => {
            json!({"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "you"}]}]})
        }
        CallerDialect::Gemini => {
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi", "videoMetadata": {"fps": 1}}]}]})
        }
    }
}

const OWN: [(CallerDialect, Dialect, &str, &str); 4] = [
    (CallerDialect::OpenAiChat, Dialect::OpenAiChat, "openai", "gpt-4o-mini"),
    (CallerDialect::OpenAiResponses, Dialect::OpenAiResponses, "openai", "gpt-4o-mini"),
    (CallerDialect::Anthropic, Dialect::AnthropicMessages, "generic", "claude-haiku-4-5"),
    (CallerDialect::Gemini, Dialect::Gemini, "generic", "gemini-2.5-flash"),
];

#[test]
fn a_request_goes_as_it_came_to_targets_of_its_dialect_and_is_written_anew_for_all_others() {
    for (caller_dialect, ..) in OWN {
        for (other, dialect, flavour, model) in OWN {
            let mut body = marked(caller_dialect);
            let (sent, notes) = sent(caller_dialect, &body, (dialect, flavour, model), false);
            if caller_dialect != CallerDialect::Gemini {
                body["model"] = model.into();
            }
            assert_eq!(sent == body, caller_dialect == other, "{caller_dialect:?} to {dialect:?}");
            assert!(caller_dialect != other || notes.is_empty(), "{caller_dialect:?}: {notes:?}");
        }
    }
}

#[test]
fn a_stream_goes_as_it_came_and_asks_for_its_usage() {
    for (caller_dialect, dialect, flavour, model) in OWN {
        let mut body = marked(caller_dialect);
        body["stream"] = true.into();
        if caller_dialect == CallerDialect::Gemini {
            // Its address says so.
            body.as_object_mut().expect("an object").remove("stream");
        } else {
            body["model"] = model.into();
        }
        let (sent, _) = sent(caller_dialect, &body, (dialect, flavour, model), caller_dialect != CallerDialect::Gemini);
        if caller_dialect == CallerDialect::OpenAiChat {
            body["stream_options"] = json!({"include_usage": true});
        }
        assert_eq!(sent, body);
    }
    let to = (Dialect::OpenAiChat, "openai", "gpt-4o-mini");
    for (said, streaming, expected) in [
        (json!({"include_usage": true, "x": 1}), true, json!({"include_usage": true, "x": 1})),
        (json!({"include_usage": false, "x": 1}), true, json!({"include_usage": true, "x": 1})),
        (json!({"include_usage": true}), false, Value::Null),
    ] {
        let mut body = marked(CallerDialect::OpenAiChat);
        (body["stream"], body["stream_options"]) = (true.into(), said);
        let (sent, _) = sent(CallerDialect::OpenAiChat, &body, to, streaming);
        assert_eq!((&sent["stream_options"], &sent["stream"]), (&expected, &json!(streaming)));
    }
}

/// A chat with some more fields, of which each but those named goes as it came.
fn chat(more: Value) -> Value {
    let mut body = json!({"model": "smart", "messages": [{"role": "user", "name": "ann", "content": [
        {"type": "text", "text": "Hi", "new": 1}]}]});
    let Value::Object(more) = more else { panic!("an object") };
    body.as_object_mut().expect("an object").extend(more);
    body
}

#[test]
fn a_setting_that_there_are_no_words_for_goes_as_it_came_and_is_needed_where_it_decides_the_answer() {
    let [chat, responses, anthropic, gemini] = OWN;
    let local = (CallerDialect::OpenAiChat, Dialect::OpenAiChat, "generic", "m");
    for (own, more, needed) in [
        (chat, json!({"reasoning_effort": "ultra"}), None),
        (local, json!({"reasoning": {"effort": "ultra"}}), None),
        (local, json!({"reasoning": {"effort": "high"}}), None),
        (local, json!({"max_completion_tokens": 9}), None),
        (local, json!({"response_format": {"type": "grammar", "grammar": "root"}}), Some("response_format")),
        (local, json!({"response_format": {"type": "json_schema", "schema": {}}}), Some("response_format")),
        (local, json!({"response_format": {"type": "json_object", "schema": {"type": "object"}}}), None),
        (local, json!({"max_tokens": -1}), None),
        (local, json!({"max_tokens": 0}), Some("max_tokens")),
        (local, json!({"seed": 12_345_678_901_234_567_890_u64}), None),
        (responses, json!({"text": {"verbosity": "low", "format": {"type": "grammar"}}}), Some("text")),
        (responses, json!({"max_output_tokens": -1}), None),
        (anthropic, json!({"max_tokens": 0}), Some("max_tokens")),
        (anthropic, json!({"thinking": {"type": "newer"}}), None),
        (anthropic, json!({"output_config": {"effort": "ultra"}}), None),
        (gemini, json!({"generationConfig": {"thinkingConfig": {"thinkingLevel": "ULTRA"}, "seed": 1.5}}), None),
    ] {
        let (caller_dialect, dialect, flavour, model) = own;
        let mut body = marked(caller_dialect);
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        if caller_dialect != CallerDialect::Gemini {
            body["model"] = model.into();
        }
        let (sent, _) = sent(caller_dialect, &body, (dialect, flavour, model), false);
        assert_eq!(sent, body, "{more}");
        let needed: Vec<String> = needed.into_iter().map(str::to_owned).collect();
        assert_eq!(asked(caller_dialect, &body).request.extra_needed, needed, "{more}");
    }
}

#[test]
fn results_of_calls_without_ids_are_of_those_that_are_open_and_nothing_said_is_no_reason_to_refuse() {
    let call = |name: &str| json!({"id": "", "type": "function", "function": {"name": name, "arguments": "{}"}});
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": null},
        {"role": "assistant", "content": null, "tool_calls": [call("f"), call("g")]},
        {"role": "tool", "tool_call_id": "", "content": "of f"},
        {"role": "tool", "content": "of g"},
    ]});
    assert_eq!(sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, "generic", "m"), false).0, body);
    let (claude, _) =
        sent(CallerDialect::OpenAiChat, &body, (Dialect::AnthropicMessages, "generic", "claude-haiku-4-5"), false);
    let blocks = |at: usize| claude["messages"][at]["content"].as_array().expect("blocks").clone();
    let (calls, results) = (blocks(1), blocks(2));
    for at in 0..2 {
        assert_eq!(calls[at]["id"], results[at]["tool_use_id"], "{claude}");
    }
    assert_ne!(calls[0]["id"], calls[1]["id"]);
}

#[test]
fn what_a_target_does_not_take_is_edited_and_all_else_goes_as_it_came() {
    let tools = json!([{"type": "function", "function": {"name": "f", "x": 1}}, {"type": "web_search", "y": 2}]);
    for (flavour, model, more, changes) in [
        ("openai", "gpt-4o", json!({"max_completion_tokens": 9, "tools": tools}), json!({})),
        ("openai", "gpt-4o", json!({"max_tokens": 9}), json!({})),
        ("generic", "m", json!({"max_tokens": 9, "tools": tools, "whatever": [1]}), json!({})),
        ("openai", "gpt-5-mini", json!({"temperature": 1, "tools": tools}), json!({"temperature": null})),
        ("openai", "gpt-5-mini", json!({"reasoning_effort": "xhigh"}), json!({"reasoning_effort": "high"})),
        ("openai", "gpt-5.4", json!({"reasoning_effort": "none", "tools": tools}), json!({})),
        ("openai", "gpt-4o", json!({"logprobs": true, "top_logprobs": 2, "store": true}), json!({})),
        ("openai", "gpt-4o", json!({"functions": [{"name": "f"}], "function_call": "auto"}), json!({})),
        ("openai", "gpt-4o", json!({"stop": ["a", "b", "c", "d", "e"]}), json!({"stop": ["a", "b", "c", "d"]})),
        ("openai", "gpt-4o", json!({"top_k": 4, "user": "u"}), json!({"top_k": null})),
        ("groq", "m", json!({"prompt_cache_key": "k", "user": "u"}), json!({"prompt_cache_key": null})),
        ("groq", "m", json!({"prompt_cache_key": null}), json!({"prompt_cache_key": null})),
        ("mistral", "m", json!({"seed": 7, "tools": tools}), json!({"seed": null, "random_seed": 7})),
        ("mistral", "m", json!({"random_seed": 7, "safe_prompt": true}), json!({})),
        ("openrouter", "m", json!({"reasoning_effort": "high", "provider": {"order": ["a"]}}), json!({})),
        ("openrouter", "m", json!({"reasoning": {"effort": "high", "exclude": true}}), json!({})),
        (
            "openai",
            "gpt-5.4",
            json!({"reasoning": {"effort": "high"}}),
            json!({"reasoning": null, "reasoning_effort": "high"}),
        ),
        (
            "openai",
            "gpt-5.4",
            json!({"provider": {"order": ["a"]}, "usage": {"include": true}}),
            json!({"provider": null, "usage": null}),
        ),
        ("deepseek", "deepseek-v4-pro", json!({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}), json!({})),
        (
            "kimi",
            "kimi-k2.5",
            json!({"reasoning_effort": "high"}),
            json!({"reasoning_effort": null, "thinking": {"type": "enabled"}}),
        ),
        ("kimi", "kimi-k2.5", json!({"thinking": {"type": "disabled"}}), json!({})),
        ("litellm", "m", json!({"guardrails": ["pii"], "models": ["b"]}), json!({})),
        ("vercel", "a/b", json!({"models": ["b"]}), json!({})),
        ("llamacpp", "m", json!({"reasoning_format": "none"}), json!({})),
        ("vllm", "m", json!({"chat_template_kwargs": {"enable_thinking": false}, "top_k": 4}), json!({})),
    ] {
        let mut body = chat(more);
        // Another model is named, so that no effort is meant for this one.
        body["model"] = "smart".into();
        let (sent, _) = sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, flavour, model), false);
        body["model"] = model.into();
        for (field, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                body.as_object_mut().expect("an object").remove(field);
            } else {
                body[field] = value.clone();
            }
        }
        if ["groq", "cerebras", "mistral"].contains(&flavour) {
            assert_eq!(sent["messages"][0]["content"], body["messages"][0]["content"]);
        }
        if flavour == "groq" {
            // It is not told who speaks.
            body["messages"][0].as_object_mut().expect("a message").remove("name");
        }
        assert_eq!(sent, body, "{flavour} {model}");
    }
}

#[test]
fn a_message_that_must_go_first_moves_and_nothing_else_changes() {
    let bob = json!({"role": "user", "name": "bob", "content": [
        {"type": "video_url", "video_url": {"url": "https://x.test/v.mp4"}, "fps": 2}, {"type": "text", "text": "x"}]});
    let said = json!({"role": "assistant", "content": "y", "reasoning_content": "thought", "odd": [1.50]});
    let (last, late) =
        (json!({"role": "user", "content": "z"}), json!({"role": "system", "name": "s", "content": "late"}));
    let first = json!({"role": "developer", "content": [{"type": "text", "text": "first", "odd": 1}]});
    for flavour in ["vllm", "llamacpp"] {
        let body =
            |messages: &Value| json!({"model": "m", "messages": messages, "guided_choice": ["a"], "grammar": "g"});
        let of = |messages: Value| {
            sent(CallerDialect::OpenAiChat, &body(&messages), (Dialect::OpenAiChat, flavour, "m"), false)
        };
        let (moved, notes) = of(json!([bob, said, late, last]));
        assert_eq!(moved["messages"], json!([late, bob, said, last]), "{flavour}");
        assert!(notes.contains(&Note::Converted("messages.system")), "{notes:?}");
        let (joined, _) = of(json!([first, bob, late, last]));
        let lead = json!({"role": "system", "name": "s", "content": [
            {"type": "text", "text": "first", "odd": 1}, {"type": "text", "text": "late"}]});
        assert_eq!(joined["messages"], json!([lead, bob, last]), "{flavour}");
        let (texts, _) = of(json!([late, last, {"role": "system", "content": "later"}]));
        assert_eq!(texts["messages"], json!([{"role": "system", "name": "s", "content": "late\n\nlater"}, last]));
        // Parts that need not move are not changed.
        assert_eq!(of(json!([late, bob, said, last])).0["messages"], json!([late, bob, said, last]));
    }
}

#[test]
fn neighbours_become_one_message_with_all_that_either_holds() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "name": "ann", "content": "a"},
        {"role": "user", "name": "bob", "odd": 1,
            "content": [{"type": "video_url", "video_url": {"url": "https://x.test/v"}}]},
        {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c", "odd": 2},
        {"role": "system", "content": "s"}, {"role": "user", "content": "d"}]});
    let (sent, notes) = sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, "perplexity", "sonar"), false);
    let expected = json!([
        {"role": "system", "content": "s"},
        {"role": "user", "name": "ann", "odd": 1, "content": [
            {"type": "text", "text": "a"}, {"type": "video_url", "video_url": {"url": "https://x.test/v"}}]},
        {"role": "assistant", "content": "bc", "odd": 2},
        {"role": "user", "content": "d"}]);
    assert_eq!(sent["messages"], expected);
    for note in [Note::Converted("messages.system"), Note::Converted("messages")] {
        assert!(notes.contains(&note), "{notes:?}");
    }
}

#[test]
fn an_instruction_of_ours_is_one_message_with_the_systems_where_that_must_be_one() {
    let body = json!({"model": "m", "response_format": {"type": "json_object"}, "messages": [
        {"role": "system", "content": "s", "name": "n"}, {"role": "user", "name": "u", "content": "d"}]});
    let (sent, _) = sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, "perplexity", "sonar"), false);
    let messages = sent["messages"].as_array().expect("messages");
    assert_eq!((messages.len(), &messages[1]), (2, &body["messages"][1]));
    assert!(messages[0]["content"].as_str().is_some_and(|text| text.starts_with("s\n\n")), "{sent}");
}

#[test]
fn a_server_that_thinks_in_streams_alone_is_asked_for_the_whole_where_nothing_is_thought() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    for (model, more, streams) in [
        ("qwen-plus", json!({}), false),
        ("qwen-plus", json!({"enable_thinking": true}), true),
        ("qwen-plus", json!({"reasoning_effort": "high"}), true),
        ("qwen-plus", json!({"reasoning_effort": "none"}), false),
        ("qwen-plus", json!({"reasoning_effort": "high", "tools": tools, "tool_choice": "required"}), false),
        ("qwen3-235b-a22b", json!({}), true),
        ("qwen3-235b-a22b", json!({"enable_thinking": false}), false),
        ("qwen3-235b-a22b", json!({"reasoning_effort": "none"}), false),
        ("qwen3-235b-a22b-instruct-2507", json!({}), false),
        ("qwen3-max", json!({}), false),
        ("qwq-plus", json!({"enable_thinking": false}), true),
        ("qwen3-omni-flash", json!({}), true),
    ] {
        let (sent, _) =
            sent(CallerDialect::OpenAiChat, &chat(more.clone()), (Dialect::OpenAiChat, "qwen", model), false);
        assert_eq!(sent.get("stream") == Some(&json!(true)), streams, "{model} {more}");
    }
}

#[test]
fn fields_that_only_its_own_provider_has_arrive_there() {
    let own =
        json!({"safe_prompt": true, "prompt_mode": "reasoning", "document_image_limit": 3, "document_page_limit": 9});
    let to = (Dialect::OpenAiChat, "mistral", "mistral-medium");
    let others = json!({"top_k": 4, "user": "u", "logprobs": true, "new_at_mistral": 1});
    let mut body = chat(own.clone());
    body.as_object_mut().expect("an object").extend(others.as_object().expect("an object").clone());
    for (name, new) in [("smart", None), ("mistral-medium", Some(json!(1)))] {
        body["model"] = name.into();
        let (sent, notes) = sent(CallerDialect::OpenAiChat, &body, to, false);
        for (field, value) in own.as_object().expect("an object") {
            assert_eq!(&sent[field], value, "{name}");
        }
        // Fields that only others have are left out for every caller; an unknown field may be new at the named model.
        assert!(["top_k", "user", "logprobs"].iter().all(|field| sent.get(field).is_none()), "{sent}");
        assert_eq!(sent.get("new_at_mistral").cloned(), new, "{name}");
        assert!(notes.contains(&Note::Dropped("extra")), "{notes:?}");
    }
}

#[test]
fn a_server_that_takes_nothing_for_a_missing_thought_is_told_a_blank() {
    let call = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "r"});
    let said = |thought: Option<&str>| {
        let mut said = json!({"role": "assistant", "content": null, "tool_calls": call});
        if let Some(thought) = thought {
            said["reasoning_content"] = thought.into();
        }
        json!({"model": "r", "messages": [{"role": "user", "content": "hello"}, said, result]})
    };
    let claudes = |thoughts: Value| {
        let call = json!({"type": "tool_use", "id": "c1", "name": "f", "input": {}});
        let blocks: Vec<Value> = thoughts.as_array().into_iter().flatten().cloned().chain([call]).collect();
        json!({"model": "r", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"},
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]}]})
    };
    let signed = json!([{"type": "thinking", "thinking": "hm", "signature": "U0lH"}]);
    for (flavour, model, field, blank) in [
        ("kimi", "kimi-k2.6", "reasoning_content", " "),
        ("kimi", "kimi-k2-thinking", "reasoning_content", " "),
        ("kimi", "kimi-for-coding", "reasoning_content", " "),
        ("openrouter", "moonshotai/kimi-k2.5", "reasoning", " "),
        ("generic", "kimi-k2.6", "reasoning_content", " "),
        ("generic", "kimi-k2-thinking", "reasoning_content", ""),
        ("deepseek", "deepseek-v4-pro", "reasoning_content", ""),
    ] {
        let to = (Dialect::OpenAiChat, flavour, model);
        for (caller_dialect, body) in [
            (CallerDialect::OpenAiChat, said(None)),
            (CallerDialect::OpenAiChat, said(Some(""))),
            (CallerDialect::Anthropic, claudes(json!([]))),
            (CallerDialect::Anthropic, claudes(signed.clone())),
        ] {
            let (sent, _) = sent(caller_dialect, &body, to, false);
            assert_eq!(sent["messages"][1][field], blank, "{flavour} {model} {body}");
        }
        assert_eq!(
            sent(CallerDialect::OpenAiChat, &said(Some("I read.")), to, false).0["messages"][1][field],
            "I read."
        );
    }
}

#[test]
fn a_caller_of_a_model_by_name_is_told_from_a_caller_of_any() {
    let to = (Dialect::OpenAiChat, "openai", "gpt-5-mini");
    for (name, word) in [("openai/gpt-5-mini", "xhigh"), ("gpt-5-mini", "xhigh"), ("smart", "high")] {
        let mut body = chat(json!({"reasoning_effort": "xhigh"}));
        body["model"] = name.into();
        assert_eq!(sent(CallerDialect::OpenAiChat, &body, to, false).0["reasoning_effort"], word, "{name}");
    }
    let asked = asked(CallerDialect::OpenAiChat, &chat(json!({"reasoning_effort": "xhigh"})));
    let flavour = Flavour::named("openai").expect("a flavour");
    let model = crate::wire::Model { meant: true, ..crate::wire::Model::from("gpt-5-mini") };
    let encoded = encode(Dialect::OpenAiChat, flavour, &asked.request, model, false).expect("a body");
    let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    assert_eq!(body["reasoning_effort"], "xhigh", "a route that has no other model names it, too");
}

#[test]
fn to_think_not_at_all_is_said_where_there_is_a_way_to_though_the_model_was_named() {
    for (flavour, model, field, off) in [
        ("deepseek", "deepseek-v4-pro", "thinking", json!({"type": "disabled"})),
        ("kimi", "kimi-k2.5", "thinking", json!({"type": "disabled"})),
        ("qwen", "qwen-plus", "enable_thinking", json!(false)),
        ("openai", "gpt-5.1", "reasoning_effort", json!("none")),
    ] {
        let mut body = chat(json!({"reasoning_effort": "none"}));
        body["model"] = model.into();
        let (sent, _) = sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, flavour, model), false);
        assert_eq!(sent[field], off, "{flavour} {sent}");
    }
}

#[test]
fn an_effort_in_words_of_another_dialect_is_the_nearest_step_of_the_model_though_it_was_named() {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let theirs = |model: &str, effort: &str| {
        json!({"model": model, "max_tokens": 90, "messages": messages,
            "output_config": {"effort": effort}})
    };
    let gemini = |level: &str| {
        json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"thinkingConfig": {"thinkingLevel": level}}})
    };
    let chat = |model: &str, effort: &str| json!({"model": model, "messages": messages, "reasoning_effort": effort});
    let converted = vec![Note::Converted("effort")];
    for (caller_dialect, body, (dialect, flavour, model), path, word, notes) in [
        // Claude's `max` is no step of GPT's before 6, nor `xhigh` one of its o-models.
        (
            CallerDialect::Anthropic,
            theirs("gpt-5.4", "max"),
            (Dialect::OpenAiChat, "openai", "gpt-5.4"),
            "/reasoning_effort",
            json!("xhigh"),
            converted.clone(),
        ),
        (
            CallerDialect::Anthropic,
            theirs("gpt-5.4", "max"),
            (Dialect::OpenAiResponses, "openai", "gpt-5.4"),
            "/reasoning/effort",
            json!("xhigh"),
            converted.clone(),
        ),
        (
            CallerDialect::Anthropic,
            theirs("gpt-6", "max"),
            (Dialect::OpenAiChat, "openai", "gpt-6"),
            "/reasoning_effort",
            json!("max"),
            vec![],
        ),
        (
            CallerDialect::Anthropic,
            theirs("o3", "xhigh"),
            (Dialect::OpenAiChat, "openai", "o3"),
            "/reasoning_effort",
            json!("high"),
            converted.clone(),
        ),
        (
            CallerDialect::Anthropic,
            theirs("gemini-3-pro", "max"),
            (Dialect::Gemini, "generic", "gemini-3-pro"),
            "/generationConfig/thinkingConfig/thinkingLevel",
            json!("high"),
            converted.clone(),
        ),
        (
            CallerDialect::Gemini,
            gemini("minimal"),
            (Dialect::OpenAiChat, "openai", "gpt-5.4"),
            "/reasoning_effort",
            json!("low"),
            converted.clone(),
        ),
        (
            CallerDialect::OpenAiChat,
            chat("claude-opus-4-6", "xhigh"),
            (Dialect::AnthropicMessages, "generic", "claude-opus-4-6"),
            "/output_config/effort",
            json!("high"),
            converted,
        ),
        // The two dialects of OpenAI have the same words: a caller that named the model knows them.
        (
            CallerDialect::OpenAiChat,
            chat("gpt-5.4", "max"),
            (Dialect::OpenAiResponses, "openai", "gpt-5.4"),
            "/reasoning/effort",
            json!("max"),
            vec![],
        ),
    ] {
        let (sent, found) = sent(caller_dialect, &body, (dialect, flavour, model), false);
        assert_eq!(sent.pointer(path), Some(&word), "{caller_dialect:?} to {model}: {sent}");
        assert_eq!(found, notes, "{caller_dialect:?} to {model}");
    }
}

#[test]
fn messages_are_edited_one_by_one() {
    let long = "x".repeat(70);
    let call =
        |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}});
    let turn = |more: Value| {
        let mut said = json!({"role": "assistant", "content": null, "tool_calls": [call("c1", "f")]});
        said.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        said
    };
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "ok"});
    let user = json!({"role": "user", "content": [{"type": "text", "text": "Hi", "z": 1}]});
    let developer = json!({"role": "developer", "content": "Be brief."});
    let sealed = json!([{"type": "reasoning.encrypted", "data": "standin:call:gemini:abc", "id": "c1"}]);
    let own = json!([{"type": "reasoning.text", "text": "Hm."}]);
    for (flavour, model, given, expected) in [
        (
            "llamacpp",
            "m",
            vec![developer.clone(), user.clone()],
            vec![json!({"role": "system", "content": "Be brief."}), user.clone()],
        ),
        ("generic", "gpt-5.4", vec![developer.clone(), user.clone()], vec![developer.clone(), user.clone()]),
        (
            "openai",
            "gpt-4o",
            vec![user.clone(), turn(json!({"reasoning_details": sealed})), result.clone()],
            vec![user.clone(), turn(json!({})), result.clone()],
        ),
        (
            "openrouter",
            "m",
            vec![user.clone(), turn(json!({"reasoning_details": own})), result.clone()],
            vec![user.clone(), turn(json!({"reasoning_details": own})), result.clone()],
        ),
        (
            "groq",
            "m",
            vec![user.clone(), turn(json!({"reasoning_content": "Hm.", "refusal": null})), result.clone()],
            vec![user.clone(), turn(json!({"reasoning": "Hm."})), result.clone()],
        ),
        (
            "generic",
            "kimi-k2.5",
            vec![user.clone(), turn(json!({"reasoning": "Hm."})), result.clone()],
            vec![user.clone(), turn(json!({"reasoning_content": "Hm."})), result.clone()],
        ),
        (
            "deepseek",
            "deepseek-v4-pro",
            vec![user.clone(), turn(json!({})), result.clone()],
            vec![user.clone(), turn(json!({"reasoning_content": ""})), result.clone()],
        ),
        (
            "mistral",
            "m",
            vec![user.clone(), turn(json!({"reasoning_content": "Hm."})), result.clone(), user.clone()],
            vec![
                user.clone(),
                json!({"role": "assistant", "content": null, "tool_calls": [call("ID", "f")]}),
                json!({"role": "tool", "tool_call_id": "ID", "content": "ok"}),
                json!({"role": "assistant", "content": "OK."}),
                user.clone(),
            ],
        ),
        (
            "openai",
            "gpt-4o",
            vec![user.clone(), json!({"role": "assistant", "content": null, "tool_calls": [call("c1", &long)]})],
            vec![user.clone(), json!({"role": "assistant", "content": null, "tool_calls": [call("c1", "NAME")]})],
        ),
        (
            "generic",
            "m",
            vec![user.clone(), json!({"role": "assistant", "content": null, "tool_calls": [call("c1", &long)]})],
            vec![user.clone(), json!({"role": "assistant", "content": null, "tool_calls": [call("c1", &long)]})],
        ),
        (
            "vllm",
            "m",
            vec![json!({"role": "system", "content": "x-anthropic-billing-header: cch=1;\n\nBe brief."}), user.clone()],
            vec![json!({"role": "system", "content": "Be brief."}), user.clone()],
        ),
    ] {
        let body = json!({"model": "smart", "messages": given});
        let (mut sent, _) = sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, flavour, model), false);
        for message in sent["messages"].as_array_mut().expect("a list") {
            if flavour == "mistral" {
                for place in ["/tool_call_id", "/tool_calls/0/id"] {
                    if let Some(id) = message.pointer_mut(place) {
                        assert_eq!(id.as_str().map(str::len), Some(9));
                        *id = "ID".into();
                    }
                }
            }
            if let Some(name) = message.pointer_mut("/tool_calls/0/function/name")
                && flavour == "openai"
                && *name != "f"
            {
                assert!(name.as_str().is_some_and(|name| name.len() <= 64 && name.starts_with("xxx")));
                *name = "NAME".into();
            }
        }
        assert_eq!(sent["messages"], Value::Array(expected), "{flavour} {model}");
    }
}

#[test]
fn marks_of_what_is_to_be_cached_stay_where_they_are_read_and_nowhere_else() {
    let mark = json!({"type": "ephemeral"});
    let body = json!({"model": "smart", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "Hi", "cache_control": mark}]}],
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": mark}]});
    for (flavour, stays) in [
        ("openrouter", true),
        ("qwen", true),
        ("generic", true),
        ("openai", false),
        ("groq", false),
        ("mistral", false),
    ] {
        let (sent, _) =
            sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, flavour, "anthropic/claude"), false);
        let marks = [sent.pointer("/messages/0/content/0/cache_control"), sent.pointer("/tools/0/cache_control")];
        assert_eq!(marks.map(|mark| mark.is_some()), [stays; 2], "{flavour}");
        assert_eq!(sent["messages"][0]["content"][0]["text"], "Hi");
    }
}

#[test]
fn what_groq_and_mistral_refuse_by_their_documentation_is_not_sent_to_them() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let body = json!({"model": "smart", "logprobs": true, "top_logprobs": 2, "messages": [
        {"role": "user", "name": "ann", "content": "Hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "name": "f", "tool_call_id": "abcdefghi", "content": "r"}]});
    let to = |body: &Value, flavour| sent(CallerDialect::OpenAiChat, body, (Dialect::OpenAiChat, flavour, "m"), false);
    let (groq, notes) = to(&body, "groq");
    assert_eq!((groq.get("logprobs"), groq.get("top_logprobs"), groq["messages"][0].get("name")), (None, None, None));
    assert_eq!(groq["messages"][2]["name"], "f", "a tool is named there");
    let field = |name: &str| Note::DroppedField(FieldName::new(name));
    let fields = [field("logprobs"), field("top_logprobs")];
    assert_eq!(notes, [Note::Dropped("extra"), fields[0], fields[1], Note::Dropped("messages.name")]);
    let (other, _) = to(&body, "together");
    assert_eq!((&other["logprobs"], &other["messages"][0]["name"]), (&json!(true), &json!("ann")));

    for (mode, word) in [("required", json!("any")), ("auto", Value::Null)] {
        let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [
            {"type": "function", "function": {"name": "g"}}]}});
        let body = json!({"model": "smart", "tools": [tool("f"), tool("g")], "tool_choice": choice,
            "messages": [{"role": "user", "content": "Hi"}]});
        let (mistral, notes) = to(&body, "mistral");
        assert_eq!(
            (mistral.get("tool_choice").cloned().unwrap_or_default(), &mistral["tools"]),
            (word, &json!([tool("g")]))
        );
        assert_eq!(notes, [Note::Converted("tool_choice")]);
        let (openai, _) = to(&body, "openai");
        assert_eq!((&openai["tool_choice"], &openai["tools"]), (&choice, &body["tools"]));
    }
}

#[test]
fn silence_about_strictness_means_the_same_everywhere() {
    let open =
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]});
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": false});
    for (schema, strict) in [(&open, Value::Null), (&closed, json!(true))] {
        let body = json!({"model": "smart", "input": "Hi",
            "tools": [{"type": "function", "name": "f", "parameters": schema}]});
        let (chat, _) = sent(CallerDialect::OpenAiResponses, &body, (Dialect::OpenAiChat, "openai", "gpt-4o"), false);
        assert_eq!(chat["tools"][0]["function"]["strict"], strict, "{schema}");
    }
    let chat = json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": closed}}]});
    let (responses, _) = sent(CallerDialect::OpenAiChat, &chat, (Dialect::OpenAiResponses, "openai", "gpt-5.4"), false);
    assert_eq!(responses["tools"][0]["strict"], false);
}

#[test]
fn messages_of_anthropic_go_to_each_host_as_it_takes_them() {
    let mark = json!({"type": "ephemeral"});
    let line = json!({"type": "text", "text": "x-anthropic-billing-header: cch=1;"});
    let rules = json!({"type": "text", "text": "Be brief.", "cache_control": mark});
    let body = json!({"model": "smart", "max_tokens": 9, "stream": true, "system": [line, rules],
        "context_management": {"edits": []}, "mcp_servers": [], "new_field": 1,
        "tools": [{"name": "f", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "new": {"x": 1}}]}]});
    let to =
        |flavour, model| sent(CallerDialect::Anthropic, &body, (Dialect::AnthropicMessages, flavour, model), true).0;
    let mut home = body.clone();
    home["model"] = "claude-sonnet-4-5".into();
    assert_eq!(to("anthropic", "claude-sonnet-4-5"), home);
    assert_eq!(to("generic", "claude-sonnet-4-5"), home);
    let mut vertex = body.clone();
    let fields = vertex.as_object_mut().expect("an object");
    fields.retain(|field, _| !["model", "mcp_servers"].contains(&&**field));
    fields.insert("anthropic_version".into(), "vertex-2023-10-16".into());
    fields.insert("system".into(), json!([rules]));
    assert_eq!(to("vertex-anthropic", "claude-sonnet-4-5@20250929"), vertex);
    let mut kimi = body.clone();
    let fields = kimi.as_object_mut().expect("an object");
    fields.retain(|field, _| !["context_management", "mcp_servers"].contains(&&**field));
    fields.insert("model".into(), "kimi-k2.5".into());
    fields.insert("system".into(), json!([rules]));
    assert_eq!(to("kimi", "kimi-k2.5"), kimi);
}

#[test]
fn thoughts_go_back_to_their_model_and_the_rest_of_a_turn_stays() {
    let thought = |signature: &str| json!({"type": "thinking", "thinking": "Hm.", "signature": signature});
    let said = json!({"type": "text", "text": "Yes.", "citations": [{"type": "x"}]});
    for (signature, model, back) in [
        ("opus-4.8:ErUB", "claude-opus-4-8", Some("ErUB")),
        ("opus-4.8:ErUB", "claude-opus-4-7", None),
        ("ErUB", "claude-opus-4-7", Some("ErUB")),
        ("standin:thought:gemini:x", "claude-opus-4-8", None),
        ("standin:thought:anthropic:opus-4.8:ErUB", "claude-opus-4-8", Some("ErUB")),
    ] {
        let body = json!({"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [thought(signature), said]}, {"role": "user", "content": "Go on."}]});
        let to = (Dialect::AnthropicMessages, "generic", model);
        let (sent, notes) = sent(CallerDialect::Anthropic, &body, to, false);
        let expected = back.map(thought).into_iter().chain([said.clone()]).collect::<Vec<_>>();
        assert_eq!(sent["messages"][1]["content"], json!(expected), "{signature} to {model}");
        assert_eq!(notes.is_empty(), back.is_some());
    }
}

#[test]
fn an_encrypted_thought_goes_back_to_the_provider_that_its_name_says_and_to_no_other() {
    let item =
        |encrypted: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": encrypted});
    let said = json!({"role": "assistant", "content": "a"});
    let user = json!({"role": "user", "content": "Go on."});
    let whole = item("gAAA").to_string();
    let sealed = |provider: &str| format!("standin:thought:responses/{provider}/{whole}");
    let chat = |signature: &str| {
        json!({"model": "smart", "messages": [user, {"role": "assistant", "content": "a", "reasoning_details":
            [{"type": "reasoning.encrypted", "data": signature}]}, user]})
    };
    for (caller_dialect, body, goes) in [
        (CallerDialect::OpenAiResponses, json!([item("gAAA")]), true),
        (CallerDialect::OpenAiResponses, json!([item("standin:of/p/gAAA")]), true),
        (CallerDialect::OpenAiResponses, json!([item("standin:of/q/gAAA")]), false),
        (CallerDialect::OpenAiResponses, json!([item(&sealed("p"))]), true),
        (CallerDialect::OpenAiResponses, json!([item(&sealed("q"))]), false),
        (CallerDialect::OpenAiResponses, json!([item(&format!("standin:thought:responses:{whole}"))]), true),
        (CallerDialect::OpenAiChat, chat(&sealed("p")), true),
        (CallerDialect::OpenAiChat, chat(&sealed("q")), false),
    ] {
        let body = match body {
            Value::Array(items) => {
                let items: Vec<_> = items.into_iter().chain([said.clone(), user.clone()]).collect();
                json!({"model": "smart", "store": false, "input": items})
            }
            body => body,
        };
        let (sent, notes) = sent(caller_dialect, &body, (Dialect::OpenAiResponses, "openai", "gpt-5.4"), false);
        let input = sent["input"].as_array().expect("items");
        let thoughts: Vec<_> = input.iter().filter(|item| item["type"] == "reasoning").collect();
        assert!(thoughts.iter().all(|item| item["encrypted_content"] == "gAAA"), "{sent}");
        assert_eq!((thoughts.len(), notes.is_empty()), (usize::from(goes), goes), "{body}: {notes:?}");
    }
}

#[test]
fn blocks_under_a_seal_go_back_in_their_own_field_in_a_request_as_it_came() {
    let block = json!({"signature": "S", "thinking": "Hm", "type": "thinking"});
    let detail = json!({"data": "E", "index": 0, "type": "reasoning.encrypted"});
    let said = json!({"role": "assistant", "content": "a"});
    let turn = |field: &str, blocks: &Value| {
        let mut turn = said.clone();
        turn[field] = blocks.clone();
        turn
    };
    for (field, block) in [("thinking_blocks", &block), ("reasoning_details", &detail)] {
        for (issuer, goes) in [("p", true), ("q", false)] {
            let sealed = format!("standin:thought:openai/{issuer}/{}", json!({field: [block]}));
            let came = turn("reasoning_details", &json!([{"type": "reasoning.encrypted", "data": sealed}]));
            let user = json!({"role": "user", "content": "x"});
            let body = json!({"model": "smart", "messages": [user, came, user]});
            let to = (Dialect::OpenAiChat, "generic", "m");
            let (sent, notes) = sent(CallerDialect::OpenAiChat, &body, to, false);
            let expected = if goes { turn(field, &json!([block])) } else { said.clone() };
            assert_eq!(sent["messages"][1], expected, "{field} of {issuer}");
            assert_eq!(notes.is_empty(), goes);
        }
    }
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "r"});
    let body = json!({"model": "smart", "messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": null, "tool_calls": [call("c"), call("d")]}, result("c"), result("d")]});
    for (model, signed) in [("gemini-3-pro-preview", true), ("gemini-2.5-pro", false), ("m", false)] {
        let (sent, _) = sent(CallerDialect::OpenAiChat, &body, (Dialect::OpenAiChat, "generic", model), false);
        let calls = sent["messages"][1]["tool_calls"].as_array().expect("calls");
        let word = calls[0]["extra_content"]["google"]["thought_signature"].as_str();
        assert_eq!(word, signed.then_some("skip_thought_signature_validator"), "{model}");
        assert_eq!(calls[1].get("extra_content"), None);
    }
}

#[test]
fn a_thought_that_nobody_signed_goes_to_no_server_that_checks_signatures() {
    let said = json!({"type": "tool_use", "id": "call_1", "name": "f", "input": {}});
    let thoughts = [
        json!({"type": "thinking", "thinking": "Hm.", "signature": ""}),
        json!({"type": "thinking", "thinking": "Hm."}),
        json!({"type": "thinking", "thinking": "Hm.", "signature": null}),
    ];
    for (flavour, model, stays) in [
        ("anthropic", "claude-sonnet-4-5", false),
        ("generic", "claude-sonnet-4-5", false),
        ("openrouter", "anthropic/claude-sonnet-4.5", false),
        ("vertex-anthropic", "claude-sonnet-4-5@20250929", false),
        // They sign with nothing, and want their thoughts back.
        ("kimi", "kimi-k2.5", true),
        ("zai", "glm-5", true),
        ("deepseek", "deepseek-v4-pro", true),
        ("minimax", "MiniMax-M2", true),
    ] {
        for thought in &thoughts {
            let body = json!({"model": "smart", "max_tokens": 4000,
                "thinking": {"type": "enabled", "budget_tokens": 2000},
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [thought, said]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "r"}]}]});
            let to = (Dialect::AnthropicMessages, flavour, model);
            let (sent, notes) = sent(CallerDialect::Anthropic, &body, to, false);
            let expected: Vec<_> = Some(thought).filter(|_| stays).into_iter().chain([&said]).collect();
            assert_eq!(sent["messages"][1]["content"], json!(expected), "{thought} to {flavour}");
            assert_eq!(notes.contains(&Note::Dropped("messages.reasoning")), !stays, "{notes:?}");
        }
    }
}

#[test]
fn a_model_does_not_think_on_after_a_thought_of_another_makers() {
    let call = json!({"type": "tool_use", "id": "x1", "name": "f", "input": {}});
    for (thought, thinks) in [
        (Some(json!({"type": "thinking", "thinking": "Hm.", "signature": ""})), false),
        (Some(json!({"type": "thinking", "thinking": "Hm.", "signature": "standin:thought:gemini:x"})), false),
        (Some(json!({"type": "thinking", "thinking": "Hm.", "signature": "ErUB"})), true),
        // Claude's own call without a thought.
        (None, true),
    ] {
        let content: Vec<_> = thought.iter().chain([&call]).collect();
        let body = json!({"model": "smart", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000},
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x1", "content": "r"}]}]});
        let to = (Dialect::AnthropicMessages, "anthropic", "claude-sonnet-4-5");
        let (sent, notes) = sent(CallerDialect::Anthropic, &body, to, false);
        assert_eq!(sent.get("thinking").is_some(), thinks, "{thought:?}");
        assert_eq!(notes.contains(&Note::Dropped("effort")), !thinks, "{notes:?}");
    }
}

#[test]
fn a_model_that_thinks_in_another_form_is_told_in_its_own() {
    for (model, given, expected) in [
        (
            "claude-opus-4-8",
            json!({"type": "enabled", "budget_tokens": 2048}),
            json!({"type": "adaptive", "display": "summarized"}),
        ),
        ("claude-sonnet-4-5", json!({"type": "adaptive"}), json!({"type": "enabled", "budget_tokens": 16000})),
        (
            "claude-sonnet-4-6",
            json!({"type": "enabled", "budget_tokens": 2048}),
            json!({"type": "enabled", "budget_tokens": 2048}),
        ),
        (
            "claude-opus-4-8",
            json!({"type": "adaptive", "display": "omitted"}),
            json!({"type": "adaptive", "display": "omitted"}),
        ),
        ("claude-3-5-haiku-20241022", json!({"type": "enabled", "budget_tokens": 2048}), Value::Null),
    ] {
        let body = json!({"model": "smart", "max_tokens": 32000, "thinking": given, "new": 1,
            "messages": [{"role": "user", "content": "Hi"}]});
        let (sent, _) = sent(CallerDialect::Anthropic, &body, (Dialect::AnthropicMessages, "generic", model), false);
        assert_eq!((&sent["thinking"], &sent["new"]), (&expected, &json!(1)), "{model} {given}");
    }
}

#[test]
fn items_of_responses_are_edited_one_by_one() {
    let own = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"});
    let sealed = |data: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": data});
    let kept = r#"standin:thought:responses:{"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"gBBB"}"#;
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    let call = json!({"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "x"});
    let body = json!({"model": "smart", "temperature": 1, "prompt_cache_key": "k", "metadata": {"a": "b"},
        "reasoning": {"effort": "xhigh", "summary": "auto"},
        "tools": [{"type": "namespace", "name": "n", "tools": []}, {"type": "custom", "name": "apply_patch"}],
        "input": [{"role": "developer", "content": "Be brief."}, own, sealed("standin:thought:gemini:x"), sealed(kept),
            search, call]});
    let (sent, _) = sent(CallerDialect::OpenAiResponses, &body, (Dialect::OpenAiResponses, "openai", "gpt-5.1"), false);
    let mut expected = body.clone();
    expected["model"] = "gpt-5.1".into();
    expected["reasoning"]["effort"] = "high".into();
    expected.as_object_mut().expect("an object").remove("temperature");
    expected["input"] = json!([body["input"][0], own,
        {"type": "reasoning", "summary": [], "encrypted_content": "gBBB"}, search, call]);
    assert_eq!(sent, expected);
    let to = (Dialect::OpenAiResponses, "vllm", "m");
    let (sent, _) = self::sent(CallerDialect::OpenAiResponses, &body, to, false);
    assert_eq!((&sent["input"][0]["role"], &sent["prompt_cache_key"]), (&json!("system"), &Value::Null));
}

#[test]
fn a_thought_that_no_provider_has_kept_is_left_out() {
    let item = |id: Value| {
        let mut item = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]});
        if !id.is_null() {
            item["id"] = id;
        }
        item
    };
    let (ours, theirs) = (json!("rs_standin_00000000000000070000"), json!("rs_68af4030baa48193b0b43b4c2a176a1a"));
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"});
    let kept = |sent: &Value| sent["input"][1]["type"] != "function_call";
    for (flavour, model, store, id, stays) in [
        ("openai", "gpt-5.4", json!(false), &ours, false),
        ("openai", "gpt-5.4", Value::Null, &ours, false),
        ("openai", "gpt-5.4", json!(false), &theirs, false),
        ("openai", "gpt-5.4", json!(true), &theirs, true),
        ("openai", "gpt-5.4", Value::Null, &theirs, true),
        ("openai", "gpt-5.4", json!(true), &Value::Null, false),
        ("azure", "fast", json!(false), &theirs, false),
        ("generic", "gpt-5.4", json!(false), &theirs, false),
        ("xai", "grok-4", json!(false), &theirs, false),
        // A server of its user's, which reads its own thoughts.
        ("generic", "m", json!(false), &theirs, true),
        ("generic", "m", json!(false), &ours, false),
        ("vllm", "m", json!(false), &theirs, true),
    ] {
        let mut body = json!({"model": "smart", "input": [{"role": "user", "content": "Hi"}, item(id.clone()), call,
            {"type": "function_call_output", "call_id": "c1", "output": "r"}]});
        if !store.is_null() {
            body["store"] = store.clone();
        }
        let to = (Dialect::OpenAiResponses, flavour, model);
        let (sent, notes) = sent(CallerDialect::OpenAiResponses, &body, to, false);
        assert_eq!(kept(&sent), stays, "{id}, stored: {store}, to {flavour} {model}");
        assert_eq!(notes.contains(&Note::Dropped("messages.reasoning")), !stays, "{notes:?}");
        body["model"] = model.into();
        assert!(!stays || sent == body, "{sent}");
    }
    // A reference to one.
    for (id, stays) in [(ours.clone(), false), (theirs, true)] {
        let body = json!({"model": "smart", "input": [{"role": "user", "content": "Hi"},
            {"type": "item_reference", "id": id}, call]});
        let to = (Dialect::OpenAiResponses, "openai", "gpt-5.4");
        assert_eq!(kept(&sent(CallerDialect::OpenAiResponses, &body, to, false).0), stays, "{id}");
    }
    // A target that wants thoughts back gets what can be read of it.
    let body =
        json!({"model": "smart", "store": false, "input": [{"role": "user", "content": "Hi"}, item(ours), call]});
    let to = (Dialect::OpenAiResponses, "deepseek", "deepseek-v4-pro");
    let (sent, _) = sent(CallerDialect::OpenAiResponses, &body, to, false);
    let content = json!([{"type": "reasoning_text", "text": "Hm."}]);
    assert_eq!(sent["input"][1], json!({"type": "reasoning", "summary": [], "content": content}));
}

#[test]
fn a_call_that_was_made_elsewhere_says_so_to_gemini_in_a_request_of_its_own_dialect_too() {
    const WORD: &str = "skip_thought_signature_validator";
    let sealed = crate::wire::serve::seal::to_digits("standin:call:anthropic:x");
    for (dialect, model, wanted) in [
        (Dialect::Gemini, "gemini-3-pro-preview", true),
        (Dialect::Vertex, "gemini-3-pro-preview", true),
        (Dialect::Gemini, "gemini-2.5-flash", false),
    ] {
        for (call, signature) in [("functionCall", "thoughtSignature"), ("function_call", "thought_signature")] {
            for (given, expected) in [
                (Value::Null, if wanted { json!(WORD) } else { Value::Null }),
                (json!(""), if wanted { json!(WORD) } else { json!("") }),
                (json!(sealed), if wanted { json!(WORD) } else { Value::Null }),
                (json!("c2ln"), json!("c2ln")),
            ] {
                let mut first = json!({call: {"name": "f", "args": {}}});
                if !given.is_null() {
                    first[signature] = given.clone();
                }
                let second = json!({call: {"name": "g", "args": {}}});
                let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]},
                    {"role": "model", "parts": [{"text": "Hm.", "thought": true}, first, second]},
                    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}},
                        {"functionResponse": {"name": "g", "response": {}}}]}]});
                let (sent, _) = sent(CallerDialect::Gemini, &body, (dialect, "generic", model), false);
                let parts = &sent["contents"][1]["parts"];
                assert_eq!(parts[1].get(signature).cloned().unwrap_or_default(), expected, "{given} to {model}");
                assert_eq!(
                    (&parts[1][call], &parts[2]),
                    (&first[call], &second),
                    "only the first of a turn carries it"
                );
                assert_eq!((&sent["contents"][0], &sent["contents"][2]), (&body["contents"][0], &body["contents"][2]));
            }
        }
    }
}

#[test]
fn parts_of_gemini_are_edited_one_by_one() {
    let body = json!({"model": "models/x", "safetySettings": [], "new": 1,
        "generationConfig": {"temperature": 1, "thinkingConfig": {"thinkingBudget": 8192}, "newer": 2},
        "tools": [{"functionDeclarations": [{"name": "2nd", "parameters": {"type": "OBJECT"}}]}, {"googleSearch": {}}],
        "contents": [{"role": "user", "parts": [{"text": "Hi", "videoMetadata": {"fps": 1}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "2nd", "args": {}}, "thoughtSignature": "abc"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "2nd", "response": {}}}]}]});
    let (sent, notes) = sent(CallerDialect::Gemini, &body, (Dialect::Gemini, "generic", "gemini-3.6-flash"), false);
    let mut expected = body.clone();
    expected["model"] = "models/gemini-3.6-flash".into();
    expected["generationConfig"].as_object_mut().expect("an object").remove("temperature");
    let name = sent["tools"][0]["functionDeclarations"][0]["name"].clone();
    assert!(name.as_str().is_some_and(|name| name.starts_with("_2nd_")), "{name}");
    expected["tools"][0]["functionDeclarations"][0]["name"] = name.clone();
    expected["contents"][1]["parts"][0]["functionCall"]["name"] = name.clone();
    expected["contents"][2]["parts"][0]["functionResponse"]["name"] = name;
    assert_eq!((sent, notes), (expected, vec![Note::Dropped("sampling.temperature")]));
}

#[test]
fn vertex_ai_is_sent_no_ids_of_calls_by_callers_of_google_either() {
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {"id": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"id": 1}}}]},
    ]});
    let to = |dialect| sent(CallerDialect::Gemini, &body, (dialect, "generic", "gemini-2.5-pro"), false).0;
    assert_eq!(to(Dialect::Gemini), body, "Google's own address knows them");
    let mut expected = body.clone();
    for (at, name) in [(1_usize, "functionCall"), (2, "functionResponse")] {
        expected["contents"][at]["parts"][0][name].as_object_mut().expect("an object").remove("id");
    }
    assert_eq!(to(Dialect::Vertex), expected);
}

#[test]
fn a_chat_that_was_cut_loses_what_was_left_out_and_the_rest_stays_as_it_came() {
    use crate::policy::trim::TrimRange;
    let mut body = marked(CallerDialect::OpenAiChat);
    let more = (0..4).map(|n| json!({"role": if n % 2 == 0 { "assistant" } else { "user" }, "content": "x", "n": n}));
    body["messages"].as_array_mut().expect("a list").extend(more);
    let request = *asked(CallerDialect::OpenAiChat, &body).request;
    let cut = TrimRange::find(&request.messages, |_| 1.0, 1.0).expect("something to leave out").apply(&request);
    let flavour = Flavour::named("generic").expect("a flavour");
    let encoded = encode(Dialect::OpenAiChat, flavour, &cut, &TargetId::new("p", "m"), false).expect("a body");
    let left: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    let messages = body["messages"].as_array_mut().expect("a list");
    messages.drain(1..1 + request.messages.len() - cut.messages.len());
    assert_eq!(left["messages"], body["messages"]);
}

#[test]
fn what_is_meant_for_the_sidecar_goes_to_no_provider() {
    let body = |metadata: Value| {
        json!({"model": "smart", "metadata": metadata,
            "messages": [{"role": "user", "content": "Hi"}]})
    };
    for (metadata, left) in [
        (json!({"x-standin-priority": "batch", "a": "b", "x-standin-session": "s"}), json!({"a": "b"})),
        (json!({"x-standin-priority": "batch"}), Value::Null),
    ] {
        let mut request = *asked(CallerDialect::OpenAiChat, &body(metadata)).request;
        request.original.as_mut().expect("it came so").forget("x-standin-");
        let flavour = Flavour::named("openai").expect("a flavour");
        let encoded =
            encode(Dialect::OpenAiChat, flavour, &request, &TargetId::new("p", "gpt-4o"), false).expect("a body");
        let sent: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
        assert_eq!((&sent["metadata"], &sent["model"]), (&left, &json!("gpt-4o")));
    }
}

#[test]
fn recorded_requests_go_to_their_own_provider_as_they_came() {
    let (mut own, mut all) = (0, 0);
    for case in crate::wire::tests::cases().iter().filter(|case| case["kind"] == "ok") {
        let Some((caller_dialect, dialect, flavour, _)) = OWN.iter().find(|(caller_dialect, ..)| {
            let name = match caller_dialect {
                CallerDialect::OpenAiChat => "chat-completions",
                CallerDialect::OpenAiResponses => "responses",
                CallerDialect::Anthropic => "anthropic-messages",
                CallerDialect::Gemini => "gemini-generate",
            };
            case["api"] == name
        }) else {
            continue;
        };
        let Some(text) = case["request"]["body"].as_str() else { continue };
        let Ok(asked) = read(*caller_dialect, Some("m"), false, &text.to_owned().into()) else { continue };
        let Some(original) = &asked.request.original else { continue };
        all += 1;
        let model = original.model().unwrap_or("m").to_owned();
        let flavour = Flavour::named(flavour).expect("a flavour");
        let target = TargetId::new("p", model.as_str());
        let Ok(encoded) = crate::wire::encode(*dialect, flavour, &asked.request, &target, asked.stream) else {
            continue;
        };
        if encoded.body.whole() == original.body {
            own += 1;
        }
    }
    println!("{own} of {all} recorded requests go as they came, byte by byte");
    assert!(all == 0 || own * 2 > all, "{own} of {all}");
}

#[test]
fn the_scope_of_a_mark_stays_where_it_is_known_and_the_mark_stays_everywhere() {
    let mark = |scoped: bool| {
        let mark = json!({"type": "ephemeral", "scope": "global", "ttl": "1h"});
        if scoped { mark } else { json!({"type": "ephemeral", "ttl": "1h"}) }
    };
    let body = |scoped: bool| {
        let text = json!({"type": "text", "text": "a", "cache_control": mark(scoped)});
        let result =
            json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": [text], "cache_control": mark(scoped)});
        json!({"max_tokens": 9, "system": [text], "tools": [{"name": "f", "cache_control": mark(scoped),
            "input_schema": {"type": "object", "properties": {"scope": {"type": "string"}}}}], "messages": [
            {"role": "user", "content": [text]},
            {"role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"scope": "x"}}]},
            {"role": "user", "content": [result]}]})
    };
    for (flavour, model, stays) in [
        ("generic", "claude-sonnet-4-5", true),
        ("anthropic", "claude-sonnet-4-5", true),
        ("vertex-anthropic", "claude-sonnet-4-5@20250929", false),
        ("kimi", "kimi-k2", false),
    ] {
        let mut asked = body(true);
        asked["model"] = "smart".into();
        let (mut sent, notes) =
            sent(CallerDialect::Anthropic, &asked, (Dialect::AnthropicMessages, flavour, model), false);
        sent.as_object_mut().expect("an object").retain(|field, _| !matches!(&**field, "model" | "anthropic_version"));
        assert_eq!((sent, notes), (body(stays), Vec::new()), "{flavour}");
    }
}

#[test]
fn marks_of_what_is_to_be_cached_stay_where_they_stand_in_every_dialect_that_has_them() {
    let mark = |value: &Value| {
        let mut value = value.clone();
        value["cache_control"] = json!({"type": "ephemeral", "ttl": "1h", "scope": "global"});
        value
    };
    let kept = json!({"type": "ephemeral", "ttl": "1h"});
    let text = |text: &str| json!({"type": "text", "text": text});
    let called = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"});
    let body = json!({"model": "smart", "max_tokens": 9, "system": [mark(&text("s")), text("t")],
        "tools": [{"name": "e", "input_schema": {"type": "object"}},
            mark(&json!({"name": "f", "input_schema": {"type": "object"}}))],
        "messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": [called]},
            {"role": "user", "content": [mark(&result), mark(&text("go"))]}]});
    let to = |flavour| {
        sent(CallerDialect::Anthropic, &body, (Dialect::OpenAiChat, flavour, "anthropic/claude-sonnet-4.5"), true).0
    };
    let there = to("openrouter");
    let places = |sent: &Value| {
        let marks = |list: &Value| -> Vec<Value> {
            list.as_array()
                .expect("a list")
                .iter()
                .map(|one| {
                    one.get("cache_control")
                        .or_else(|| one["content"][0].get("cache_control"))
                        .cloned()
                        .unwrap_or_default()
                })
                .collect()
        };
        (marks(&sent["tools"]), marks(&sent["messages"]))
    };
    let (no, yes) = (Value::Null, &kept);
    let messages = vec![yes.clone(), no.clone(), no.clone(), no.clone(), yes.clone(), yes.clone()];
    assert_eq!(places(&there), (vec![no.clone(), yes.clone()], messages));
    assert!(!to("openai").to_string().contains("cache_control"));
    // And back.
    let mut back = there.clone();
    back["model"] = "smart".into();
    let home = (Dialect::AnthropicMessages, "generic", "claude-sonnet-4-5");
    let (back, _) = sent(CallerDialect::OpenAiChat, &back, home, true);
    assert_eq!(back["system"][0]["cache_control"], kept, "{back}");
    assert_eq!(back["system"][1]["cache_control"], no);
    assert_eq!((&back["tools"][0]["cache_control"], &back["tools"][1]["cache_control"]), (&no, &kept));
    let last = back["messages"].as_array().expect("a list").last().expect("a message");
    assert_eq!((&last["content"][0]["cache_control"], &last["content"][1]["cache_control"]), (&kept, &kept));
    assert_eq!(back.to_string().matches("cache_control").count(), 4);
    // Of several texts that become one, that one is marked.
    let parts = json!([mark(&text("long")), text("short")]);
    let body = json!({"model": "smart",
        "messages": [{"role": "system", "content": parts}, {"role": "user", "content": "Hi"}]});
    assert_eq!(sent(CallerDialect::OpenAiChat, &body, home, false).0["system"][0]["cache_control"], kept);
}

#[test]
fn thinking_stays_as_it_came_where_the_model_takes_it_so_and_none_is_added() {
    let said = |model: &str, more: Value| {
        let mut body = json!({"model": "smart", "max_tokens": 2000, "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let (sent, notes) =
            sent(CallerDialect::Anthropic, &body, (Dialect::AnthropicMessages, "generic", model), false);
        (sent.get("thinking").cloned(), sent.pointer("/output_config/effort").cloned(), notes)
    };
    let budget = json!({"type": "enabled", "budget_tokens": 1024});
    for model in ["claude-3-7-sonnet-latest", "claude-sonnet-4-5", "claude-opus-4-6"] {
        assert_eq!(said(model, json!({"thinking": budget})), (Some(budget.clone()), None, vec![]), "{model}");
    }
    // A model without that step is told its highest, and not to think besides.
    let (thinking, effort, notes) = said("claude-opus-4-6", json!({"output_config": {"effort": "xhigh"}}));
    assert_eq!((thinking, effort, notes), (None, Some("high".into()), vec![Note::Converted("effort")]));
    // A call that its provider takes back without a thought stays so; after another model's call there is no thinking.
    let after = |id: &str| {
        json!({"thinking": budget, "tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "1"}]}]})
    };
    for model in ["claude-3-7-sonnet-latest", "claude-sonnet-4-5"] {
        assert_eq!(said(model, after("toolu_01A")), (Some(budget.clone()), None, vec![]), "{model}");
        assert_eq!(said(model, after("call_7")).0, None, "{model}");
    }
    // A model that cannot be kept from thinking is told to think the least, unless it was named.
    let resting = json!({"thinking": {"type": "disabled"}});
    assert_eq!(said("claude-opus-4-8", resting.clone()), (Some(resting["thinking"].clone()), None, vec![]));
    assert_eq!(said("claude-opus-5-5", resting.clone()), (None, Some("low".into()), vec![Note::Converted("effort")]));
    let named = json!({"model": "claude-opus-5-5", "thinking": {"type": "disabled"}});
    assert_eq!(said("claude-opus-5-5", named), (Some(resting["thinking"].clone()), None, vec![]));
    // A model that is made to call a tool cannot think before.
    let forced = json!({"thinking": budget, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"}});
    assert_eq!(said("claude-sonnet-4-5", forced).0, None);
}

#[test]
fn what_of_sampling_its_own_provider_judges_stays_as_it_came() {
    let said = |model: &str, more: Value| {
        let mut body = json!({"model": model, "max_tokens": 9000, "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let (sent, notes) =
            sent(CallerDialect::Anthropic, &body, (Dialect::AnthropicMessages, "anthropic", model), false);
        (sent == body, notes)
    };
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    for more in [
        json!({"temperature": 1.5}),
        json!({"temperature": 1, "thinking": thinking}),
        json!({"top_p": 0.95, "thinking": thinking}),
    ] {
        assert_eq!(said("claude-sonnet-4-5", more.clone()), (true, vec![]), "{more}");
    }
    let hot = json!({"temperature": 0.5, "thinking": thinking});
    assert_eq!(said("claude-sonnet-4-5", hot), (false, vec![Note::Dropped("sampling.temperature")]));
}

#[test]
fn a_begun_answer_is_continued_where_that_is_a_feature_and_refused_clearly_elsewhere() {
    let body = json!({"model": "smart", "max_tokens": 90, "messages": [
        {"role": "user", "content": "JSON, please."}, {"role": "assistant", "content": "{"}]});
    let last = |flavour: &str| {
        let (sent, _) = sent(CallerDialect::Anthropic, &body, (Dialect::OpenAiChat, flavour, "m"), false);
        (sent["messages"][1].clone(), sent["continue_final_message"].clone(), sent["add_generation_prompt"].clone())
    };
    let plain = json!({"role": "assistant", "content": "{"});
    let flagged = |flag: &str| json!({"role": "assistant", "content": "{", flag: true});
    assert_eq!(last("mistral"), (flagged("prefix"), Value::Null, Value::Null));
    assert_eq!(last("qwen"), (flagged("partial"), Value::Null, Value::Null));
    assert_eq!(last("deepseek"), (flagged("prefix"), Value::Null, Value::Null));
    assert_eq!(last("kimi"), (flagged("partial"), Value::Null, Value::Null));
    assert_eq!(last("vllm"), (plain.clone(), json!(true), json!(false)));
    for flavour in ["openrouter", "litellm", "llamacpp", "ollama"] {
        assert_eq!(last(flavour), (plain.clone(), Value::Null, Value::Null), "{flavour}");
    }
    let refused = |caller_dialect: CallerDialect, body: &Value, (dialect, flavour, model): (Dialect, &str, &str)| {
        let flavour = Flavour::named(flavour).expect("a flavour");
        encode(dialect, flavour, &asked(caller_dialect, body).request, &TargetId::new("p", model), false).err()
    };
    let gemini =
        json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "{"}]}]});
    for (caller_dialect, body, to) in [
        (CallerDialect::Anthropic, &body, (Dialect::OpenAiChat, "openai", "gpt-5.4")),
        (CallerDialect::Anthropic, &body, (Dialect::OpenAiChat, "groq", "m")),
        (CallerDialect::Anthropic, &body, (Dialect::OpenAiResponses, "openai", "gpt-5.4")),
        (CallerDialect::Gemini, &gemini, (Dialect::OpenAiChat, "openai", "gpt-5.4")),
        (CallerDialect::Gemini, &gemini, (Dialect::AnthropicMessages, "anthropic", "claude-opus-4-8")),
    ] {
        let failure = refused(caller_dialect, body, to).unwrap_or_else(|| panic!("{caller_dialect:?} to {to:?}"));
        assert_eq!(failure.class, crate::words::FailureClass::Unsupported);
        assert!(failure.message.starts_with("messages[1]: "), "{failure}");
    }
    // OpenAI's clients mean nothing by it, and in the caller's own dialect it is between the two.
    let chat = json!({"model": "smart", "messages": body["messages"]});
    for to in
        [(Dialect::OpenAiResponses, "openai", "gpt-5.4"), (Dialect::AnthropicMessages, "anthropic", "claude-opus-4-8")]
    {
        assert_eq!(refused(CallerDialect::OpenAiChat, &chat, to), None);
    }
    assert_eq!(
        refused(CallerDialect::Anthropic, &body, (Dialect::AnthropicMessages, "anthropic", "claude-opus-4-8")),
        None
    );
    assert_eq!(
        refused(CallerDialect::Gemini, &gemini, (Dialect::AnthropicMessages, "anthropic", "claude-sonnet-4-5")),
        None
    );
}

#[test]
fn a_limit_that_its_own_provider_takes_or_judges_stays_as_it_came() {
    let chat = json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9});
    for (flavour, model, field) in [
        ("openai", "gpt-4o", "max_tokens"),
        ("groq", "m", "max_tokens"),
        ("openai", "gpt-5.4", "max_completion_tokens"),
        ("generic", "o3", "max_completion_tokens"),
    ] {
        let (sent, notes) = sent(CallerDialect::OpenAiChat, &chat, (Dialect::OpenAiChat, flavour, model), false);
        assert_eq!((&sent[field], notes), (&json!(9), vec![]), "{flavour} {model}: {sent}");
    }
    let few = json!({"model": "smart", "input": "Hi", "max_output_tokens": 5});
    let to = |dialect| (dialect, "openai", "gpt-4o");
    assert_eq!(
        sent(CallerDialect::OpenAiResponses, &few, to(Dialect::OpenAiResponses), false).0["max_output_tokens"],
        5
    );
    let (more, notes) = sent(CallerDialect::OpenAiChat, &chat, to(Dialect::OpenAiResponses), false);
    assert_eq!((&more["max_output_tokens"], notes), (&json!(16), vec![Note::Converted("output_tokens_max")]));
}

#[test]
fn settings_in_googles_other_spelling_are_edited_where_they_stand() {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi", "x_new": 1}]}],
        "generation_config": {"temperature": 0.5, "top_p": 0.5, "max_output_tokens": 9, "x_new": {"a": 1.0}}});
    let (sent, notes) = sent(CallerDialect::Gemini, &body, (Dialect::Gemini, "generic", "gemini-3.6-flash"), false);
    let mut expected = body.clone();
    let config = expected["generation_config"].as_object_mut().expect("an object");
    config.remove("temperature");
    config.remove("top_p");
    assert_eq!(sent, expected);
    assert_eq!(notes, [Note::Dropped("sampling.temperature"), Note::Dropped("sampling.top_p")]);
}

#[test]
fn what_is_asked_for_instead_of_an_answer_goes_to_its_own_address() {
    let body = json!({"model": "m", "input": [{"role": "user", "content": "Hi"}], "x_new": 1});
    let compacting = *asked(CallerDialect::OpenAiResponses, &body).compacting().request;
    for (flavour, path) in [("openai", "/responses/compact"), ("azure-deployments", "/openai/responses/compact")] {
        let flavour = Flavour::named(flavour).expect("a flavour");
        let to = TargetId::new("p", "m");
        let encoded = encode(Dialect::OpenAiResponses, flavour, &compacting, &to, false).expect("a body");
        assert_eq!(encoded.path, path);
        assert_eq!(serde_json::from_slice::<Value>(&encoded.body.whole()).expect("JSON"), body);
    }
    assert_eq!(compacting.demands()[0].field, "compact");
}

#[test]
fn a_flag_that_asks_for_more_of_a_message_is_what_each_server_calls_it_and_leads_where_it_is_known() {
    let chat = |flag: &str, on: bool| {
        let last = json!({"role": "assistant", "content": "{", flag: on});
        json!({"model": "smart", "messages": [{"role": "user", "content": "JSON, please."}, last]})
    };
    let sent = |flavour: &str, body: &Value| {
        let flavour = Flavour::named(flavour).expect("a flavour");
        let request = *asked(CallerDialect::OpenAiChat, body).request;
        let encoded = encode(Dialect::OpenAiChat, flavour, &request, &TargetId::new("p", "m"), false).ok()?;
        let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
        Some((encoded.path.into_owned(), body["messages"][1].clone(), body["continue_final_message"].clone()))
    };
    let usual = "/chat/completions";
    for flag in ["prefix", "partial"] {
        let body = chat(flag, true);
        for (flavour, path, own, continues) in [
            ("deepseek", "/beta/chat/completions", Some("prefix"), Value::Null),
            ("mistral", usual, Some("prefix"), Value::Null),
            ("kimi", usual, Some("partial"), Value::Null),
            ("qwen", usual, Some("partial"), Value::Null),
            ("openrouter", usual, None, Value::Null),
            ("vllm", usual, None, true.into()),
            ("generic", usual, Some(flag), Value::Null),
        ] {
            let mut last = json!({"role": "assistant", "content": "{"});
            if let Some(own) = own {
                last[own] = true.into();
            }
            assert_eq!(sent(flavour, &body), Some((path.to_owned(), last, continues)), "{flag} to {flavour}");
        }
        for flavour in ["openai", "groq", "xai"] {
            assert_eq!(sent(flavour, &body), None, "{flag} to {flavour}");
        }
    }
    // A caller that says no, or nothing, asks for nothing.
    let (path, last, _) = sent("deepseek", &chat("prefix", false)).expect("a request");
    assert_eq!((path.as_str(), last["content"].as_str()), (usual, Some("{")));
    let deepseek = Flavour::named("deepseek").expect("a flavour");
    for base in ["https://api.deepseek.com", "https://api.deepseek.com/v1", "https://api.deepseek.com/beta"] {
        assert_eq!(deepseek.base(base, "/beta/chat/completions"), "https://api.deepseek.com");
        assert_eq!(deepseek.base(base, usual), base);
    }
}

#[test]
fn tools_are_held_to_their_schemas_where_the_host_takes_that_and_one_grammar_can() {
    let optional = |count: usize| {
        let field = |at: usize| (format!("f{at}"), json!({"type": "string"}));
        json!({"type": "object", "properties": (0..count).map(field).collect::<serde_json::Map<_, _>>()})
    };
    let tools = |schema: Value, strict: bool| {
        let function = json!({"name": "f", "parameters": schema, "strict": strict});
        json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": function}]})
    };
    let model = "claude-sonnet-4-5";
    let to = |flavour: &str, body: &Value| {
        sent(CallerDialect::OpenAiChat, body, (Dialect::AnthropicMessages, flavour, model), false)
    };
    let left_out = vec![Note::Dropped("tools.strict")];
    for (flavour, schema, strict, held, notes) in [
        ("anthropic", optional(24), true, json!(true), vec![]),
        ("anthropic", optional(25), true, Value::Null, left_out.clone()),
        (
            "anthropic",
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}}),
            true,
            Value::Null,
            left_out.clone(),
        ),
        ("anthropic", optional(1), false, Value::Null, vec![]),
        ("vertex-anthropic", optional(1), true, Value::Null, left_out.clone()),
        ("vertex-anthropic", optional(1), false, Value::Null, vec![]),
    ] {
        let (body, told) = to(flavour, &tools(schema.clone(), strict));
        assert_eq!((&body["tools"][0]["strict"], &told), (&held, &notes), "{flavour}: {schema}");
        if held.is_null() {
            assert_eq!(body["tools"][0]["input_schema"], schema, "what holds nobody stays as it is");
        }
    }
    // In its own dialect it is the provider's to judge, but where it is known to refuse every tool that has it.
    let own = json!({"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "f", "strict": true, "x_new": 1, "input_schema": optional(25)},
            {"name": "g", "strict": false, "input_schema": optional(1)}]});
    let to = |flavour: &str| sent(CallerDialect::Anthropic, &own, (Dialect::AnthropicMessages, flavour, model), false);
    let (body, notes) = to("anthropic");
    assert_eq!((&body["tools"], notes), (&own["tools"], vec![]));
    let (body, notes) = to("vertex-anthropic");
    let mut plain = own["tools"].clone();
    plain.as_array_mut().expect("tools").iter_mut().for_each(|tool| {
        tool.as_object_mut().expect("a tool").remove("strict");
    });
    assert_eq!((&body["tools"], notes), (&plain, left_out));
    // A schema of the answer that no grammar can be made of is asked for in words.
    let answer = |schema: Value| {
        let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}});
        json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}], "response_format": format})
    };
    for (count, held) in [(24, true), (25, false)] {
        let to = (Dialect::AnthropicMessages, "anthropic", model);
        let (body, notes) = sent(CallerDialect::OpenAiChat, &answer(optional(count)), to, false);
        assert_eq!(body["output_config"]["format"].is_object(), held);
        assert_eq!(notes.is_empty(), held);
        assert_eq!(body["system"].to_string().contains("f24"), !held, "{body}");
    }
}

#[test]
fn arguments_that_are_no_object_go_out_as_a_part_of_the_body_that_came() {
    let text = "A \"line\" of words.\n".repeat(100);
    for arguments in [text.clone(), format!("[{text}"), "plain words ".repeat(100)] {
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "a", "content": "no JSON"},
        ]});
        let request = *asked(CallerDialect::OpenAiChat, &body).request;
        let own = request.original.clone().expect("a body").body;
        for dialect in [Dialect::AnthropicMessages, Dialect::Gemini, Dialect::Ollama] {
            let generic = Flavour::named("generic").expect("a flavour");
            let sent = encode(dialect, generic, &request, &TargetId::new("p", "m"), false).expect("a body").body;
            let is_shared = |piece: &&bytes::Bytes| own.as_ptr_range().contains(&piece.as_ptr());
            let copied: usize = sent.pieces().filter(|piece| !is_shared(piece)).map(bytes::Bytes::len).sum();
            assert!(copied < 500, "{dialect:?}: {copied} bytes are written again");
            assert!(request.texts().all(|text| text.memory().is_none_or(|memory| memory.len() <= own.len())));
            let decoded =
                request.texts().filter_map(Text::memory).any(|memory| !own.as_ptr_range().contains(&memory.as_ptr()));
            assert!(!decoded, "{dialect:?}: nothing is decoded");
        }
    }
}

#[test]
fn proofs_and_parts_of_one_dialect_alone_are_parts_of_the_body_that_came() {
    let long = "QUJD".repeat(500);
    let search = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": long}});
    let call = json!({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": long});
    let signed = json!({"google": {"thought_signature": long}});
    let said = |said: Value| json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]);
    for (caller_dialect, body, texts) in [
        (
            CallerDialect::Anthropic,
            json!({"model": "m", "max_tokens": 9, "messages": said(json!([
                {"type": "thinking", "thinking": "so", "signature": long}, search,
                {"type": "redacted_thinking", "data": long}]))}),
            2,
        ),
        (
            CallerDialect::Gemini,
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [call, {"executableCode": {"code": long}}]}]}),
            2,
        ),
        (
            CallerDialect::OpenAiResponses,
            json!({"model": "m", "input": [
            {"type": "reasoning", "summary": [], "encrypted_content": long}, {"role": "user", "content": "Hi"},
            {"type": "web_search_call", "action": {"query": long}}]}),
            2,
        ),
        (
            CallerDialect::OpenAiChat,
            json!({"model": "m", "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "extra_content": signed,
                "function": {"name": "f", "arguments": "{}"}}]}]}),
            1,
        ),
    ] {
        let request = *read(caller_dialect, Some("m"), false, &body.to_string().into()).expect("a request").request;
        let own = request.original.clone().expect("a body").body;
        let held = request.texts().filter(|text| text.length() >= long.len()).filter_map(Text::memory);
        let held: Vec<_> = held.map(|memory| own.as_ptr_range().contains(&memory.as_ptr())).collect();
        assert_eq!(held, vec![true; texts], "{caller_dialect:?}");
    }
}

#[test]
fn what_is_written_anew_shares_long_texts_with_the_body_that_came_and_says_the_same() {
    let text = "A \"line\" of é\u{1f600}\\\u{7}.\n".repeat(100);
    let body = |content: &str| {
        json!({"model": "m", "messages": [
            {"role": "system", "content": text},
            {"role": "user", "content": content},
            {"role": "assistant", "content": text, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": text},
        ]})
    };
    for content in [text.clone(), "plain words ".repeat(100)] {
        // As clients write it that leave nothing to chance: every other letter is an escape, too.
        let body = body(&content).to_string().replace('é', "\\u00e9").replace('\u{1f600}', "\\ud83d\\ude00");
        let request = *read(CallerDialect::OpenAiChat, None, false, &body.clone().into()).expect("a request").request;
        let own = request.original.clone().expect("a body").body;
        let plain = ChatRequest { original: None, ..request.clone() };
        for dialect in [Dialect::OpenAiResponses, Dialect::AnthropicMessages, Dialect::Gemini, Dialect::Ollama] {
            let written = |request| {
                let generic = Flavour::named("generic").expect("a flavour");
                encode(dialect, generic, request, &TargetId::new("p", "m"), false).expect("a body").body
            };
            let (anew, copied) = (written(&request), written(&plain));
            let value = |body: &Payload| serde_json::from_slice::<Value>(&body.whole()).expect("JSON");
            assert_eq!(value(&anew), value(&copied), "{dialect:?}");
            let shared = anew.pieces().filter(|piece| own.as_ptr_range().contains(&piece.as_ptr()));
            assert_eq!(shared.count(), 4, "{dialect:?}: each long text is a part of the body that came");
        }
    }
}

//! What a caller says means the same at its target, or it is said otherwise, and noted.

use super::*;
use crate::wire::{Flavour, encode};
use crate::words::{Dialect, TargetId};

const CLAUDE: Dialect = Dialect::AnthropicMessages;

fn sent(caller_dialect: CallerDialect, body: &Value, to: (Dialect, &str, &str)) -> (Value, Vec<Note>) {
    let (dialect, flavour, model) = to;
    let asked = asked(caller_dialect, body);
    let flavour = Flavour::named(flavour).expect("a flavour");
    let encoded = encode(dialect, flavour, &asked.request, &TargetId::new("p", model), false).expect("a body");
    let lost = crate::wire::request::lost(dialect, &asked.request, asked.request.original.as_ref().expect("a body"));
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), [encoded.notes, lost].concat())
}

#[test]
fn the_system_amid_a_conversation_moves_into_the_users_turn_where_it_is_not_heard() {
    let system = |said: Value| json!({"role": "system", "content": said});
    let mark = json!({"type": "ephemeral"});
    let told = json!({"type": "text", "text": "<system>\nS\n</system>"});
    let plain = |said: &str| json!({"type": "text", "text": said});
    let result = json!({"type": "tool_result", "tool_use_id": "x", "content": "r"});
    let (user, assistant) =
        (|said: Value| json!({"role": "user", "content": said}), json!({"role": "assistant", "content": "A"}));
    let call = json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "H", "signature": "U0lH"},
        {"type": "tool_use", "id": "x", "name": "f", "input": {}}]});
    let marked = json!([{"type": "text", "text": "S", "cache_control": mark}]);
    let goes = json!({"type": "text", "text": "<system>\nS\n</system>", "cache_control": mark});
    for (messages, expected) in [
        (
            json!([user("U".into()), system("S".into()), assistant, user("V".into())]),
            json!([user(json!([plain("U"), told])), assistant, user("V".into())]),
        ),
        (
            json!([user(json!([plain("U")])), system(marked), assistant, user("V".into())]),
            json!([user(json!([plain("U"), goes])), assistant, user("V".into())]),
        ),
        (
            json!([user("U".into()), call, system("S".into()), user(json!([result]))]),
            json!([user("U".into()), call, user(json!([result, told]))]),
        ),
        (json!([system("S".into()), user("U".into())]), json!([user(json!([told, plain("U")]))])),
        (
            json!([system("S".into()), user("U".into()), system("S".into()), assistant, user("V".into())]),
            json!([user(json!([told, plain("U"), told])), assistant, user("V".into())]),
        ),
        (
            json!([system("S".into()), user(json!([plain("U")])), system("S".into()), assistant, user("V".into())]),
            json!([user(json!([told, plain("U"), told])), assistant, user("V".into())]),
        ),
        (
            json!([user("U".into()), assistant, system("S".into()), system("S".into())]),
            json!([user("U".into()), assistant, user(json!([told, told]))]),
        ),
        (json!([user("U".into()), system(json!([])), user("V".into())]), json!([user("U".into()), user("V".into())])),
    ] {
        let body = json!({"model": "smart", "max_tokens": 9, "system": "T", "new": 1, "messages": messages});
        for (flavour, model) in [
            ("deepseek", "deepseek-v4"),
            ("vllm", "m"),
            ("anthropic", "claude-sonnet-4-5"),
            ("generic", "claude-opus-4-7"),
        ] {
            let (sent, notes) = sent(CallerDialect::Anthropic, &body, (CLAUDE, flavour, model));
            assert_eq!((&sent["messages"], &sent["new"]), (&expected, &json!(1)), "{flavour} {model}");
            let is_told =
                |note: &Note| matches!(note, Note::Dropped(what) | Note::Converted(what) if *what == "messages.system");
            assert!(notes.iter().any(is_told), "{notes:?}");
        }
        for (flavour, model) in [
            ("anthropic", "claude-opus-4-8"),
            ("vertex-anthropic", "claude-opus-5"),
            ("generic", "m"),
            ("openrouter", "anthropic/claude-opus-4.8"),
            ("litellm", "m"),
        ] {
            let (sent, _) = sent(CallerDialect::Anthropic, &body, (CLAUDE, flavour, model));
            assert_eq!(sent["messages"], messages, "{flavour} {model}");
        }
    }
}

#[test]
fn an_effort_in_words_arrives_at_a_model_that_takes_it_and_at_one_that_is_not_known() {
    let said = |flavour: &str, model: &str, more: Value| {
        let mut body = json!({"model": "smart", "max_tokens": 32000, "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let (sent, notes) = sent(CallerDialect::Anthropic, &body, (CLAUDE, flavour, model));
        let at = |path: &str| sent.pointer(path).cloned();
        (at("/output_config/effort"), at("/thinking"), at("/temperature"), notes)
    };
    let word = |effort: &str| json!({"output_config": {"effort": effort}, "temperature": 0.5});
    let arrives = |effort: &str| (Some(effort.into()), None, Some(json!(0.5)), vec![]);
    for (flavour, model) in [
        ("anthropic", "claude-opus-4-5"),
        ("vertex-anthropic", "claude-opus-4-5@20251101"),
        ("generic", "anthropic/claude-opus-4.5"),
        ("deepseek", "deepseek-v4-pro"),
        ("kimi", "kimi-k3"),
        ("generic", "my-model"),
    ] {
        assert_eq!(said(flavour, model, word("medium")), arrives("medium"), "{flavour} {model}");
    }
    let higher = (Some("high".into()), None, Some(json!(0.5)), vec![Note::Converted("effort")]);
    assert_eq!(said("anthropic", "claude-opus-4-5", word("max")), higher, "its highest step");
    assert_eq!(said("deepseek", "deepseek-v4-pro", word("max")), arrives("max"));
    // A model that refuses the word is not told it, and its caller is told so.
    let lost = (None, None, Some(json!(0.5)), vec![Note::Dropped("effort")]);
    assert_eq!(said("anthropic", "claude-haiku-4-5", word("medium")), lost);
    let both = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}});
    let (effort, thinking, ..) = said("deepseek", "deepseek-v4-pro", both.clone());
    assert_eq!((effort, thinking), (Some("max".into()), Some(json!({"type": "adaptive"}))));
    let (effort, thinking, ..) = said("anthropic", "claude-opus-4-5", both);
    assert_eq!((effort, thinking.expect("thinking")["type"].clone()), (Some("high".into()), json!("enabled")));
}

#[test]
fn an_effort_is_a_word_in_responses_at_flavours_whose_chats_have_a_switch() {
    let own = |effort: &str| json!({"model": "r", "input": "x", "reasoning": {"effort": effort, "summary": "auto"}});
    for (flavour, model) in
        [("qwen", "qwen3-max"), ("kimi", "kimi-k2.5"), ("zai", "glm-4.6"), ("groq", "qwen/qwen3-32b")]
    {
        let to = (Dialect::OpenAiResponses, flavour, model);
        for effort in ["none", "low", "high", "xhigh"] {
            let (sent, notes) = sent(CallerDialect::OpenAiResponses, &own(effort), to);
            assert_eq!(sent["reasoning"], own(effort)["reasoning"], "{flavour}");
            assert!(!notes.contains(&Note::Converted("effort")), "{flavour} {notes:?}");
        }
        let body = json!({"model": "r", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
            "output_config": {"effort": "high"}});
        let (sent, _) = sent(CallerDialect::Anthropic, &body, to);
        assert_eq!(sent["reasoning"]["effort"], "high", "{flavour} {model}");
    }
}

#[test]
fn a_turn_of_the_user_that_says_nothing_is_one_in_an_empty_list_too() {
    let chat = json!({"model": "r", "messages": [{"role": "user", "content": []}, {"role": "user", "content": "y"}]});
    let responses = json!({"model": "r", "input": [{"role": "user", "content": []}, {"role": "user", "content": "y"}]});
    for (caller, body) in [(CallerDialect::OpenAiChat, chat), (CallerDialect::OpenAiResponses, responses)] {
        let (sent, _) = sent(caller, &body, (Dialect::AnthropicMessages, "anthropic", "claude-sonnet-4-5"));
        assert_eq!(
            sent["messages"],
            json!([{"role": "user", "content": [{"type": "text", "text": "y"}]}]),
            "{caller:?}"
        );
    }
}

#[test]
fn fields_of_responses_stay_away_from_chats_and_from_ollama() {
    let body = json!({"model": "smart", "store": false, "input": "hello", "client_metadata": {"a": "b"},
        "prompt_cache_key": "k", "truncation": "auto"});
    for (to, key) in [
        ((Dialect::OpenAiChat, "openai", "gpt-5.4"), true),
        ((Dialect::OpenAiChat, "azure", "gpt-5.4"), true),
        ((Dialect::OpenAiChat, "litellm", "m"), true),
        ((Dialect::OpenAiChat, "generic", "m"), false),
        ((Dialect::Ollama, "generic", "m"), false),
    ] {
        let (sent, notes) = sent(CallerDialect::OpenAiResponses, &body, to);
        let has = |field: &str| sent.get(field).is_some();
        assert_eq!((has("client_metadata"), has("truncation"), has("prompt_cache_key")), (false, false, key), "{to:?}");
        assert!(notes.contains(&Note::Dropped("extra")), "{to:?} {notes:?}");
    }
    let own = (Dialect::OpenAiResponses, "openai", "gpt-5.4");
    assert_eq!(sent(CallerDialect::OpenAiResponses, &body, own).0["client_metadata"], json!({"a": "b"}));
    let chat = json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}], "keep_alive": "5m",
        "options": {"num_ctx": 9}, "logit_bias": {}});
    let (sent, notes) = sent(CallerDialect::OpenAiChat, &chat, (Dialect::Ollama, "generic", "m"));
    assert_eq!((&sent["keep_alive"], &sent["options"]["num_ctx"]), (&json!("5m"), &json!(9)), "its own fields");
    assert_eq!(
        (sent.get("logit_bias"), notes),
        (None, vec![Note::Dropped("extra"), Note::DroppedField(FieldName::new("logit_bias"))])
    );
}

#[test]
fn a_strict_tool_with_an_optional_field_is_not_strict_at_openai() {
    let tool = |required: Value| {
        json!({"name": "read", "strict": true, "input_schema": {"type": "object", "additionalProperties": false,
            "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}, "required": required}})
    };
    let body = |required: Value| {
        json!({"model": "smart", "max_tokens": 90, "messages": [{"role": "user", "content": "Hi"}],
            "tools": [tool(required)]})
    };
    for (dialect, path) in
        [(Dialect::OpenAiChat, "/tools/0/function/strict"), (Dialect::OpenAiResponses, "/tools/0/strict")]
    {
        let strict = |required| {
            let (sent, notes) = sent(CallerDialect::Anthropic, &body(required), (dialect, "openai", "gpt-5.4"));
            (sent.pointer(path).cloned(), notes)
        };
        assert_eq!(strict(json!(["path"])), (Some(false.into()), vec![Note::Dropped("tools.strict")]));
        assert_eq!(strict(json!(["path", "limit"])), (Some(true.into()), vec![]));
    }
}

#[test]
fn a_prompt_of_the_system_that_says_nothing_goes_to_no_other_dialect() {
    let chat = json!({"model": "m", "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "u"}]});
    let responses = json!({"model": "m", "store": false, "input": "u", "instructions": " "});
    let messages = json!({"model": "m", "max_tokens": 9, "system": "", "messages": [{"role": "user", "content": "u"},
        {"role": "system", "content": [], "output_config": {"effort": "low"}}, {"role": "user", "content": "v"}]});
    let gemini = json!({"systemInstruction": {"parts": [{"text": ""}]},
        "contents": [{"role": "user", "parts": [{"text": "u"}]}]});
    for (caller_dialect, body) in [
        (CallerDialect::OpenAiChat, chat),
        (CallerDialect::OpenAiResponses, responses),
        (CallerDialect::Anthropic, messages),
        (CallerDialect::Gemini, gemini),
    ] {
        for dialect in
            [Dialect::OpenAiChat, Dialect::OpenAiResponses, CLAUDE, Dialect::Gemini, Dialect::Vertex, Dialect::Ollama]
        {
            if !dialect.shares_fields(caller_dialect.dialect()) {
                let (sent, _) = sent(caller_dialect, &body, (dialect, "generic", "m"));
                let said = sent.to_string();
                assert!(!said.contains("system") && !said.contains("developer"), "{dialect:?}: {said}");
            }
        }
    }
}

#[test]
fn a_list_is_asked_for_in_words_where_only_objects_can_be_held() {
    let gemini = |schema: Value| {
        json!({"contents": [{"role": "user", "parts": [{"text": "u"}]}],
            "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}})
    };
    let (list, object) =
        (json!({"type": "array", "items": {"type": "string"}}), json!({"type": "object", "properties": {}}));
    let any = json!({"anyOf": [list, object]});
    for (dialect, flavour, field) in [
        (Dialect::OpenAiChat, "openai", "response_format"),
        (Dialect::OpenAiChat, "generic", "response_format"),
        (Dialect::OpenAiChat, "deepseek", "response_format"),
        (Dialect::OpenAiResponses, "azure", "text"),
    ] {
        for (schema, what) in [(&list, "one JSON array"), (&any, "one JSON value")] {
            let (sent, notes) = sent(CallerDialect::Gemini, &gemini(schema.clone()), (dialect, flavour, "m"));
            assert_eq!(sent.get(field), None, "{flavour} {schema}");
            assert!(sent.to_string().contains(what), "{sent}");
            assert!(notes.contains(&Note::Converted("response_format")), "{notes:?}");
        }
        let (sent, _) = sent(CallerDialect::Gemini, &gemini(object.clone()), (dialect, flavour, "m"));
        assert!(sent.get(field).is_some(), "{flavour} {sent}");
    }
    for (dialect, flavour, path) in [
        (Dialect::OpenAiChat, "vllm", "/response_format/json_schema/schema"),
        (Dialect::OpenAiResponses, "llamacpp", "/text/format/schema"),
        (Dialect::Ollama, "generic", "/format"),
    ] {
        let (sent, _) = sent(CallerDialect::Gemini, &gemini(list.clone()), (dialect, flavour, "m"));
        assert_eq!(sent.pointer(path), Some(&list), "servers that make a grammar of any schema");
    }
    // A caller of the same dialect is told by its provider.
    let own = json!({"model": "smart", "messages": [{"role": "user", "content": "Hi"}], "response_format":
        {"type": "json_schema", "json_schema": {"name": "n", "schema": list, "strict": true}}});
    let (sent, notes) = sent(CallerDialect::OpenAiChat, &own, (Dialect::OpenAiChat, "openai", "gpt-5.4"));
    assert_eq!((&sent["response_format"], notes), (&own["response_format"], vec![]));
}

#[test]
fn what_one_dialect_alone_can_say_is_said_there_and_noted_elsewhere() {
    let penalties = json!({"contents": [{"role": "user", "parts": [{"text": "u"}]}],
        "generationConfig": {"presencePenalty": 0.1, "frequencyPenalty": 0.2}});
    for dialect in [Dialect::Gemini, Dialect::Vertex] {
        let (told, notes) = sent(CallerDialect::Gemini, &penalties, (dialect, "generic", "gemini-2.0-flash"));
        assert_eq!((&told["generationConfig"], notes), (&penalties["generationConfig"], vec![]));
        let (_, notes) = sent(CallerDialect::Gemini, &penalties, (dialect, "generic", "gemini-2.5-flash"));
        assert!(notes.contains(&Note::Dropped("sampling.presence_penalty")), "{notes:?}");
    }
    let file = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "file", "file":
        {"filename": "invoice-77.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}]}]});
    for (dialect, names) in [(Dialect::Gemini, false), (CLAUDE, true), (Dialect::OpenAiResponses, true)] {
        let (sent, notes) = sent(CallerDialect::OpenAiChat, &file, (dialect, "generic", "m"));
        assert_eq!(sent.to_string().contains("invoice-77"), names);
        assert_eq!(notes.contains(&Note::Dropped("messages.document.title")), !names, "{dialect:?} {notes:?}");
    }
    for more in
        [json!({"top_logprobs": 3}), json!({"include": ["message.output_text.logprobs"]}), json!({"top_logprobs": 0})]
    {
        let mut body = json!({"model": "m", "store": false, "input": "u"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let (_, notes) = sent(CallerDialect::OpenAiResponses, &body, (Dialect::OpenAiChat, "openai", "gpt-4o"));
        assert_eq!(notes.contains(&Note::Dropped("extra")), more != json!({"top_logprobs": 0}), "{more}");
    }
    let router = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "structured_outputs": true});
    let (sent, _) = sent(CallerDialect::OpenAiChat, &router, (Dialect::OpenAiChat, "openrouter", "x/y"));
    assert_eq!(sent["structured_outputs"], true);
}

#[test]
fn a_limit_of_nothing_and_a_result_without_its_call_are_named_or_told_in_every_dialect() {
    let talk = json!([{"role": "user", "content": "Hi"}]);
    for (caller_dialect, body, path) in [
        (CallerDialect::OpenAiChat, json!({"model": "m", "messages": talk, "max_tokens": 0}), "max_tokens"),
        (
            CallerDialect::OpenAiChat,
            json!({"model": "m", "messages": talk, "max_completion_tokens": 0}),
            "max_completion_tokens",
        ),
        (
            CallerDialect::OpenAiResponses,
            json!({"model": "m", "input": "Hi", "max_output_tokens": 0}),
            "max_output_tokens",
        ),
        (CallerDialect::Anthropic, json!({"model": "m", "messages": talk, "max_tokens": 0}), "max_tokens"),
        (
            CallerDialect::Gemini,
            json!({"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 0}}),
            "generationConfig.maxOutputTokens",
        ),
    ] {
        let request = asked(caller_dialect, &body).request;
        let unread = request.original.expect("a body").unread;
        assert_eq!(unread.iter().map(|unread| &*unread.field).collect::<Vec<_>>(), [path], "{body}");
    }
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "r"}}}]}]});
    let (sent, notes) = sent(CallerDialect::Gemini, &body, (CLAUDE, "anthropic", "claude-sonnet-4-5"));
    let said = sent["messages"][0]["content"].to_string();
    assert!(said.contains("Result of the tool `f`:\\nr"), "{sent}");
    assert!(notes.contains(&Note::Converted("messages.tool_result")), "{notes:?}");
}

#[test]
fn a_tool_in_the_form_of_another_dialect_is_offered_with_its_schema() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "f", "description": "d", "input_schema": schema}]});
    let (sent, _) = sent(CallerDialect::OpenAiChat, &body, (CLAUDE, "anthropic", "claude-sonnet-4-5"));
    assert_eq!(sent["tools"], json!([{"name": "f", "description": "d", "input_schema": schema}]));
}

#[test]
fn a_model_that_does_not_reason_is_asked_for_nothing_that_only_others_have() {
    let body = |include: Value| {
        let text = json!({"verbosity": "low"});
        json!({"model": "m", "input": "Hi", "reasoning": {"effort": "low"}, "text": text, "include": include})
    };
    let encrypted = "reasoning.encrypted_content";
    let to = |include: Value, model| {
        let to = (Dialect::OpenAiResponses, "openai", model);
        let (mut sent, _) = sent(CallerDialect::OpenAiResponses, &body(include), to);
        let mut take = |field: &str| sent.as_object_mut().expect("an object").remove(field);
        (take("reasoning").is_some(), take("text"), take("include"))
    };
    let both = json!([encrypted, "message.output_text.logprobs"]);
    assert_eq!(to(both.clone(), "gpt-4o"), (false, Some(json!({})), Some(json!(["message.output_text.logprobs"]))));
    assert_eq!(to(json!([encrypted]), "gpt-4o"), (false, Some(json!({})), Some(json!([]))));
    assert_eq!(to(both.clone(), "gpt-5.4"), (true, Some(json!({"verbosity": "low"})), Some(both)));
}

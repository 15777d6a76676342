//! What a request loses on its way to another dialect, and that this is said; what both of OpenAI's dialects have goes
//! along.

use super::*;
use crate::wire::{Flavour, encode};
use crate::words::{Dialect, TargetId};

/// Returns the body that a target gets of a request, and what is noted.
fn sent(
    caller_dialect: CallerDialect,
    body: &Value,
    (dialect, flavour, model): (Dialect, &str, &str),
) -> (Value, Vec<Note>) {
    let asked = asked(caller_dialect, body);
    let flavour = Flavour::named(flavour).expect("a flavour");
    let encoded = encode(dialect, flavour, &asked.request, &TargetId::new("p", model), false).expect("a body");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

const TARGETS: [(Dialect, &str, &str); 4] = [
    (Dialect::OpenAiChat, "openai", "gpt-4o"),
    (Dialect::OpenAiResponses, "openai", "gpt-4o"),
    (Dialect::AnthropicMessages, "anthropic", "claude-sonnet-4-5"),
    (Dialect::Gemini, "generic", "gemini-2.5-flash"),
];

/// Puts a value where a path leads, in the first entries of lists.
fn with(body: &Value, path: &str, value: &Value) -> Value {
    let mut body = body.clone();
    let (holder, name) = path.rsplit_once('/').expect("a path");
    body.pointer_mut(holder).unwrap_or_else(|| panic!("{path}"))[name] = value.clone();
    body
}

#[test]
fn nothing_within_a_message_or_a_tool_is_lost_in_silence() {
    let object = json!({"type": "object", "properties": {}});
    let chat = json!({"model": "m", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test/i.png"}}]},
        {"role": "assistant", "content": "y", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "r"}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": object}}]});
    let responses = json!({"model": "m", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://x.test/i.png"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "r"}]}],
        "tools": [{"type": "function", "name": "f", "parameters": object}]});
    let anthropic = json!({"model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "s"}], "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"},
            {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "r"}]}]}],
        "tools": [{"name": "f", "input_schema": object}]});
    let gemini = json!({"contents": [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "r"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}]});
    let (said, tools, detail) = ("messages.content", "tools", "messages.image.detail");
    for (caller_dialect, body, paths) in [
        (
            CallerDialect::OpenAiChat,
            chat,
            &[
                ("/messages/0/name", "messages.name"),
                ("/messages/0/odd", said),
                ("/messages/0/content/0/odd", said),
                ("/messages/1/content/0/image_url/odd", said),
                ("/messages/1/content/0/image_url/detail", detail),
                ("/messages/2/odd", said),
                ("/messages/2/tool_calls/0/odd", said),
                ("/messages/2/tool_calls/0/function/odd", said),
                ("/messages/3/content/0/odd", said),
                ("/tools/0/odd", tools),
                ("/tools/0/function/defer_loading", tools),
            ][..],
        ),
        (
            CallerDialect::OpenAiResponses,
            responses,
            &[
                ("/input/0/odd", said),
                ("/input/0/content/0/odd", said),
                ("/input/1/content/0/odd", said),
                ("/input/1/content/0/detail", detail),
                ("/input/3/odd", said),
                ("/input/3/output/0/odd", said),
                ("/tools/0/defer_loading", tools),
            ][..],
        ),
        (
            CallerDialect::Anthropic,
            anthropic,
            &[
                ("/system/0/odd", said),
                ("/messages/0/odd", said),
                ("/messages/0/content/0/citations", said),
                ("/messages/0/content/1/odd", said),
                ("/messages/0/content/1/source/odd", said),
                ("/messages/1/content/0/odd", said),
                ("/messages/2/content/0/odd", said),
                ("/messages/2/content/0/content/0/odd", said),
                ("/tools/0/input_examples", tools),
                ("/tools/0/defer_loading", tools),
            ][..],
        ),
        (
            CallerDialect::Gemini,
            gemini,
            &[
                ("/contents/0/odd", said),
                ("/contents/0/parts/0/partMetadata", said),
                ("/contents/1/parts/0/functionCall/willContinue", said),
                ("/contents/2/parts/0/functionResponse/scheduling", said),
                ("/tools/0/functionDeclarations/0/behavior", tools),
                ("/tools/0/functionDeclarations/0/response", tools),
            ][..],
        ),
    ] {
        for to in TARGETS {
            let own = to.0 == caller_dialect.dialect();
            let (_, plain) = sent(caller_dialect, &body, to);
            for (path, what) in paths {
                let both = *what == detail && matches!(to.0, Dialect::OpenAiChat | Dialect::OpenAiResponses);
                let note = Note::Dropped(what);
                assert!(!plain.contains(&note), "{caller_dialect:?} to {to:?}: {plain:?}");
                for value in [json!("low"), json!({"a": 1}), json!([1])] {
                    if [detail, "messages.name"].contains(what) && !value.is_string() {
                        continue;
                    }
                    let body = with(&body, path, &value);
                    let (sent, notes) = sent(caller_dialect, &body, to);
                    assert_eq!(notes.contains(&note), !own && !both, "{caller_dialect:?} to {to:?} {path}: {notes:?}");
                    assert!(!own || sent.pointer(path) == Some(&value), "{caller_dialect:?} {path}: {sent}");
                }
                // Default values that clients fill in have no meaning.
                if ![detail, "messages.name"].contains(what) {
                    for nothing in [json!(null), json!([]), json!(""), json!(false)] {
                        let (_, notes) = sent(caller_dialect, &with(&body, path, &nothing), to);
                        assert!(!notes.contains(&note), "{caller_dialect:?} to {to:?} {path} {nothing}: {notes:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_said_of_a_document_goes_along_or_is_noted() {
    let body = |source: Value| {
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "document", "title": "T", "context": "CTX", "citations": {"enabled": true}, "source": source},
            {"type": "text", "text": "x"}]}]})
    };
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"});
    let plain = json!({"type": "text", "media_type": "text/plain", "data": "words"});
    let (context, citations) =
        (Note::Dropped("messages.document.context"), Note::Dropped("messages.document.citations"));
    for (dialect, flavour, model) in TARGETS {
        let own = dialect == Dialect::AnthropicMessages;
        for (source, tells) in [(&pdf, own), (&plain, true)] {
            let (sent, notes) = sent(CallerDialect::Anthropic, &body(source.clone()), (dialect, flavour, model));
            assert_eq!(notes.contains(&context), !tells, "{dialect:?}: {notes:?}");
            assert_eq!(sent.to_string().contains("CTX"), tells, "{dialect:?}: {sent}");
            assert_eq!(notes.contains(&citations), !own, "{dialect:?}: {notes:?}");
        }
    }
}

#[test]
fn how_closely_to_look_at_an_image_goes_along_between_the_two_dialects_of_openai() {
    let image = |url: &str, detail: Option<&str>| {
        let mut inner = json!({"url": url});
        if let Some(detail) = detail {
            inner["detail"] = detail.into();
        }
        json!({"type": "image_url", "image_url": inner})
    };
    let (one, data) = ("https://x.test/1.png", "data:image/png;base64,iVBORw0KGgo=");
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": [
        image(one, None), image(data, Some("low")), {"type": "text", "text": "x"}, image(one, Some("high"))]}]});
    let (sent_on, notes) = sent(CallerDialect::OpenAiChat, &chat, (Dialect::OpenAiResponses, "openai", "gpt-5.4"));
    let details = |list: &Value, path: &str| -> Vec<Value> {
        let parts = list.as_array().into_iter().flatten();
        parts
            .filter(|part| part.get("image_url").is_some())
            .map(|part| part.pointer(path).cloned().unwrap_or_default())
            .collect()
    };
    let parts = &sent_on["input"][0]["content"];
    assert_eq!(details(parts, "/detail"), [Value::Null, json!("low"), json!("high")], "{sent_on}");
    assert_eq!(notes, []);
    let input = |url: &str, detail: &str| json!({"type": "input_image", "image_url": url, "detail": detail});
    let responses =
        json!({"model": "m", "input": [{"role": "user", "content": [input(one, "high"), input(data, "low")]}]});
    let (sent_on, notes) = sent(CallerDialect::OpenAiResponses, &responses, (Dialect::OpenAiChat, "openai", "gpt-5.4"));
    let parts = &sent_on["messages"][0]["content"];
    assert_eq!(details(parts, "/image_url/detail"), [json!("high"), json!("low")], "{sent_on}");
    assert_eq!(notes, []);
}

#[test]
fn fields_of_both_dialects_of_openai_go_only_to_providers_that_have_them() {
    let shared = json!({"service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "s", "user": "u",
        "metadata": {"a": "b"}});
    let body = |mut body: Value, more: &Value| {
        for fields in [&shared, more] {
            body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        }
        body
    };
    let chat = body(
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
        &json!({"verbosity": "low", "response_format": {"type": "json_object"}}),
    );
    let responses = body(
        json!({"model": "m", "input": "Hi"}),
        &json!({"text": {"verbosity": "low", "format": {"type": "json_object"}}}),
    );
    for flavour in ["openai", "azure", "openrouter", "generic", "xai", "vllm"] {
        let owns = matches!(flavour, "openai" | "azure" | "openrouter");
        for (caller_dialect, given, dialect, verbosity) in [
            (CallerDialect::OpenAiChat, &chat, Dialect::OpenAiResponses, "/text/verbosity"),
            (CallerDialect::OpenAiResponses, &responses, Dialect::OpenAiChat, "/verbosity"),
        ] {
            let (sent, notes) = sent(caller_dialect, given, (dialect, flavour, "gpt-5.4"));
            for (field, value) in shared.as_object().expect("an object") {
                assert_eq!(sent.get(field), Some(value).filter(|_| owns), "{flavour} {field}: {sent}");
            }
            assert_eq!(sent.pointer(verbosity), Some(&json!("low")).filter(|_| owns), "{flavour}: {sent}");
            assert_eq!(notes.contains(&Note::Dropped("extra")), !owns, "{flavour}: {notes:?}");
        }
        // The form of the answer stays beside it.
        let (sent, _) = sent(CallerDialect::OpenAiChat, &chat, (Dialect::OpenAiResponses, flavour, "gpt-5.4"));
        assert_eq!(sent.pointer("/text/format/type"), Some(&json!("json_object")), "{flavour}");
    }
    let mut more = chat.clone();
    more["logit_bias"] = json!({"1": 2});
    let (_, notes) = sent(CallerDialect::OpenAiChat, &more, (Dialect::OpenAiResponses, "openai", "gpt-5.4"));
    assert!(notes.contains(&Note::Dropped("extra")), "what only one of them has is noted: {notes:?}");
}

#[test]
fn googles_signature_comes_back_in_the_field_that_its_own_chat_completions_have_for_it() {
    let signed = json!({"google": {"thought_signature": "U0lHTkFUVVJF"}});
    let to = (Dialect::Gemini, "generic", "gemini-3-flash-preview");
    let call =
        json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": signed});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "assistant", "content": "said", "extra_content": signed}, {"role": "user", "content": "y"}],
        "tools": [{"type": "function", "function": {"name": "f"}}]});
    let (sent, notes) = sent(CallerDialect::OpenAiChat, &body, to);
    assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], "U0lHTkFUVVJF", "{sent}");
    assert!(sent["contents"][3].to_string().contains("U0lHTkFUVVJF"), "{sent}");
    assert!(!notes.contains(&Note::Dropped("messages.content")), "{notes:?}");
}

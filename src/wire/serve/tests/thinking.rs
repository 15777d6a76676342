//! Models of others at addresses of Anthropic's dialect that think unasked, for callers of all dialects.

use super::*;
use crate::wire::{Flavour, encode};

fn sent(caller_dialect: CallerDialect, body: &Value, (flavour, model): (&str, &str)) -> (Value, Vec<Note>) {
    let asked = asked(caller_dialect, body);
    let flavour = Flavour::named(flavour).expect("a flavour");
    let target = TargetId::new("p", model);
    let encoded = encode(Dialect::AnthropicMessages, flavour, &asked.request, &target, false).expect("a body");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

/// Hosts and models, and whether the model cannot be made to call a tool while it thinks.
const TARGETS: [(&str, &str, bool); 5] = [
    ("deepseek", "deepseek-v4-pro", true),
    ("kimi", "kimi-k2.5", true),
    ("zai", "glm-5", false),
    ("minimax", "MiniMax-M3", false),
    ("generic", "deepseek-v4-flash", false),
];

#[test]
fn a_model_that_thinks_unasked_is_told_not_to_where_its_caller_says_so() {
    let none = [
        (
            CallerDialect::OpenAiChat,
            json!({"model": "r", "reasoning_effort": "none", "temperature": 0.5,
                "messages": [{"role": "user", "content": "x"}]}),
        ),
        (CallerDialect::OpenAiResponses, json!({"model": "r", "reasoning": {"effort": "none"}, "input": "x"})),
        (
            CallerDialect::Gemini,
            json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}],
                "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}),
        ),
        (
            CallerDialect::Anthropic,
            json!({"model": "r", "max_tokens": 9, "thinking": {"type": "disabled"},
                "messages": [{"role": "user", "content": "x"}]}),
        ),
    ];
    for (caller_dialect, body) in none {
        for (flavour, model, _) in TARGETS {
            let (sent, notes) = sent(caller_dialect, &body, (flavour, model));
            assert_eq!(sent["thinking"], json!({"type": "disabled"}), "{caller_dialect:?} to {model}");
            assert_eq!((&sent["temperature"], notes), (&body["temperature"], vec![]), "it does not think");
        }
        if caller_dialect != CallerDialect::Anthropic {
            let (sent, _) = sent(caller_dialect, &body, ("anthropic", "claude-sonnet-4-5"));
            assert_eq!(sent["thinking"], Value::Null, "it does not think unasked");
        }
    }
}

#[test]
fn a_model_that_must_call_a_tool_is_told_not_to_think_where_it_could_not_do_both() {
    let body = json!({"model": "r", "reasoning_effort": "high", "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"});
    let own = json!({"model": "r", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}});
    let mut thinks = own.clone();
    thinks["thinking"] = json!({"type": "enabled", "budget_tokens": 2_000});
    for (flavour, model, is_refused) in TARGETS {
        let disabled = if is_refused { json!({"type": "disabled"}) } else { Value::Null };
        let (sent_chat, notes) = sent(CallerDialect::OpenAiChat, &body, (flavour, model));
        assert_eq!(sent_chat["thinking"], disabled, "{model}");
        assert!(notes.contains(&Note::Dropped("effort")), "{model}: {notes:?}");
        assert_eq!(sent(CallerDialect::Anthropic, &own, (flavour, model)).0["thinking"], disabled, "{model}");
        let (sent, _) = sent(CallerDialect::Anthropic, &thinks, (flavour, model));
        assert_eq!(sent["thinking"], thinks["thinking"], "what its caller says of it is for {model} to judge");
    }
}

#[test]
fn a_call_without_its_thought_gets_one_where_thoughts_are_wanted_back_in_this_dialect_too() {
    let unknown = |text: &str| json!({"type": "thinking", "thinking": text, "signature": ""});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}});
    let thought = |signature: &str| json!({"type": "thinking", "thinking": "Hm", "signature": signature});
    let own = |blocks: &[&Value]| {
        json!({"model": "r", "max_tokens": 9, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "messages": [
            {"role": "user", "content": "x"}, {"role": "assistant", "content": blocks},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "y"}]}]})
    };
    let chat = |thought: Value| {
        json!({"model": "r", "tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": null, "reasoning_content": thought, "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "y"}]})
    };
    let deepseek = ("deepseek", "deepseek-v4-pro");
    let said = |caller_dialect, body: &Value, to| sent(caller_dialect, body, to).0["messages"][1]["content"].clone();
    let own_said = |blocks: &[&Value], to| said(CallerDialect::Anthropic, &own(blocks), to);
    for (to, text) in [(deepseek, ""), (("kimi", "kimi-k2.5"), " "), (("generic", "deepseek-v4-flash"), "")] {
        assert_eq!(said(CallerDialect::OpenAiChat, &chat(Value::Null), to), json!([unknown(text), call]), "{to:?}");
        assert_eq!(own_said(&[&call], to), json!([unknown(text), call]), "{to:?}");
    }
    assert_eq!(said(CallerDialect::OpenAiChat, &chat("Hm".into()), deepseek), json!([thought(""), call]));
    let text = json!({"type": "text", "text": "Well"});
    for (came, goes) in [
        ([&thought("sonnet-4.5:SIG"), &call], json!([unknown(""), call])),
        ([&thought("other:SIG"), &call], json!([thought("SIG"), call])),
        ([&thought("SIG"), &call], json!([thought("SIG"), call])),
        ([&thought(""), &call], json!([thought(""), call])),
        ([&text, &call], json!([unknown(""), text, call])),
        ([&thought("sonnet-4.5:SIG"), &text], json!([text])),
    ] {
        assert_eq!(own_said(&came, deepseek), goes, "{came:?}");
    }
    let mut rests = own(&[&call]);
    rests["thinking"] = json!({"type": "disabled"});
    assert_eq!(said(CallerDialect::Anthropic, &rests, deepseek), json!([call]), "it does not think");
    assert_eq!(own_said(&[&call], ("anthropic", "claude-sonnet-4-5")), json!([call]));
    let (sent, notes) =
        sent(CallerDialect::Anthropic, &own(&[&thought("other:SIG"), &call]), ("anthropic", "claude-opus-5"));
    assert_eq!(sent["messages"][1]["content"], json!([call]), "another vendor signed it");
    assert_eq!(notes, [Note::Dropped("messages.reasoning")]);
}

#[test]
fn a_request_that_asks_for_no_thoughts_any_more_asks_for_none_to_be_cleared() {
    let clears = json!({"type": "clear_thinking_20251015", "keep": "all"});
    let other = json!({"type": "clear_tool_uses_20250919"});
    let body = |thinking: Value, edits: Value| {
        json!({"model": "r", "max_tokens": 9_000, "thinking": thinking, "context_management": {"edits": edits},
            "tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [{"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}]})
    };
    let left = |body: &Value, model| {
        let (sent, _) = sent(CallerDialect::Anthropic, body, ("anthropic", model));
        (sent.get("thinking").is_some(), sent.get("context_management").cloned())
    };
    let adaptive = json!({"type": "adaptive"});
    // An older model cannot be asked so, and lacks the thought before the call.
    let both = body(adaptive.clone(), json!([clears, other]));
    assert_eq!(left(&both, "claude-sonnet-4-5"), (false, Some(json!({"edits": [other]}))));
    assert_eq!(left(&both, "claude-opus-4-6"), (true, Some(json!({"edits": [clears, other]}))));
    assert_eq!(left(&body(adaptive.clone(), json!([clears])), "claude-sonnet-4-5"), (false, None));
    assert_eq!(left(&body(adaptive, json!([other])), "claude-sonnet-4-5"), (false, Some(json!({"edits": [other]}))));
    // What its caller got wrong itself is for its provider to say.
    let none = body(json!({"type": "disabled"}), json!([clears]));
    assert_eq!(left(&none, "claude-sonnet-4-5"), (true, Some(json!({"edits": [clears]}))));
}

//! A question as the provider understood it, its answer, and the tokens of both. This file knows no dialect.

use serde_json::{Map, Value, json};

use crate::words::{Tool, ToolCall, Usage};

/// Bytes of a tool call's arguments in one token, about; a character is never split.
const ARGUMENTS_TOKEN: usize = 8;

/// Unix time of a scripted provider's answers, 2026-01-01, and a second more for each: its bytes depend on no clock.
pub(crate) const BIRTH: u64 = 1_767_225_600;

/// A chat request as the provider understood it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The model that is asked.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the stream is to tell the usage.
    pub include_usage: bool,
    /// Text of the last user message; of the last message that has any, where no user spoke.
    pub user: String,
    /// Texts of the tool results at the end of the conversation, in order.
    pub tool_results: Vec<String>,
    /// The tools that may be called.
    pub tools: Vec<Tool>,
    /// Name of the tool that must be called, where the request says so.
    pub forced_tool: Option<String>,
    /// The form the answer must have.
    pub form: Form,
    /// Tokens of the prompt: the words of all its texts.
    pub tokens: u64,
    /// The most tokens the answer may have.
    pub output_tokens_max: Option<u64>,
    /// The request's whole body.
    pub body: Value,
}

/// The form an answer must have.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Any text.
    Text,
    /// A JSON object.
    Json,
    /// JSON that fits this schema.
    Schema(Value),
}

/// A provider's answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Visible reasoning, before the text.
    pub reasoning: String,
    /// The text.
    pub text: String,
    /// Tool calls, after the text. A call without an id is given one.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped, as the dialect spells it; `None` is the true reason.
    pub finish: Option<String>,
    /// The usage it claims; `None` is the true one, counted in words.
    pub usage: Option<Usage>,
}

impl Answer {
    /// Returns an answer of a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Sets the reasoning.
    #[must_use]
    pub fn reasoning(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = reasoning.into();
        self
    }

    /// Adds a tool call; `arguments` should be the text of a JSON object, but need not be.
    #[must_use]
    pub fn tool_call(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.tool_calls.push(ToolCall { name: name.into(), arguments: arguments.into().into(), ..ToolCall::default() });
        self
    }

    /// Sets the finish reason.
    #[must_use]
    pub fn finish(mut self, reason: impl Into<String>) -> Self {
        self.finish = Some(reason.into());
        self
    }

    /// Sets the usage it claims.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Answers so that a test can tell that the answer belongs to its question:
    ///
    /// - after tool results: `the tool said: RESULT`, several joined by `; `;
    /// - to a user's text with `call:NAME(ARGUMENTS)`, where a tool of that name is offered and the arguments are a
    ///   JSON object: that tool call, one for each such mark; also the one tool call a request insists on, with the
    ///   least arguments that fit the tool's schema;
    /// - else the user's text, word for word. A JSON form gets `{"answer": text}`, a schema the least object that
    ///   fits it, the text in its strings.
    pub fn echo(question: &Question) -> Self {
        if !question.tool_results.is_empty() {
            return Self::in_form(&format!("the tool said: {}", question.tool_results.join("; ")), &question.form);
        }
        let mut calls = asked_calls(&question.user, &question.tools);
        let forced = question.tools.iter().find(|tool| Some(&tool.name) == question.forced_tool.as_ref());
        if let (Some(forced), true) = (forced, calls.is_empty()) {
            calls.push((forced.name.clone(), sample(&forced.parameters.value(), &question.user).to_string()));
        }
        if !calls.is_empty() {
            return calls.into_iter().fold(Self::default(), |answer, (name, args)| answer.tool_call(name, args));
        }
        Self::in_form(if question.user.is_empty() { "(nothing)" } else { &question.user }, &question.form)
    }

    fn in_form(text: &str, form: &Form) -> Self {
        Self::text(match form {
            Form::Text => text.to_owned(),
            Form::Json => json!({ "answer": text }).to_string(),
            Form::Schema(schema) => sample(schema, text).to_string(),
        })
    }

    /// Returns the answer token by token: a word with the space before it, or a few bytes of a call's arguments.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces: Vec<_> = words(&self.reasoning).map(Piece::Reasoning).collect();
        pieces.extend(words(&self.text).map(Piece::Text));
        for (index, call) in self.tool_calls.iter().enumerate() {
            pieces.push(Piece::ToolCall { index, call });
            pieces.extend(fragments(&call.arguments).map(|text| Piece::Arguments { index, text }));
        }
        pieces
    }
}

/// One token of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Reasoning(&'a str),
    Text(&'a str),
    /// A tool call's beginning; its arguments follow.
    ToolCall {
        index: usize,
        call: &'a ToolCall,
    },
    Arguments {
        index: usize,
        text: &'a str,
    },
}

impl Piece<'_> {
    pub(crate) fn is_reasoning(&self) -> bool {
        matches!(self, Self::Reasoning(_))
    }
}

/// Splits a text into words, each with the space before it, the last one with the space behind it. Together they
/// are the text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest.len() - rest.trim_start().len();
        let end = rest[start..].find(char::is_whitespace).map_or(rest.len(), |end| start + end);
        let end = if rest[end..].trim_start().is_empty() { rest.len() } else { end };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

fn fragments(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = (ARGUMENTS_TOKEN..rest.len()).find(|&end| rest.is_char_boundary(end)).unwrap_or(rest.len());
        let (fragment, after) = rest.split_at(end);
        rest = after;
        Some(fragment)
    })
}

/// Finds each `call:NAME(ARGUMENTS)` whose name is offered and whose arguments are a JSON object.
fn asked_calls(text: &str, tools: &[Tool]) -> Vec<(String, String)> {
    let mut calls = Vec::new();
    let mut rest = text;
    while let Some((_, mark)) = rest.split_once("call:") {
        rest = mark;
        let Some((name, body)) = mark.split_once('(') else { break };
        if !tools.iter().any(|tool| tool.name == name) {
            continue;
        }
        let mut objects = serde_json::Deserializer::from_str(body).into_iter::<Map<String, Value>>();
        if let Some(Ok(_)) = objects.next() {
            let (arguments, after) = body.split_at(objects.byte_offset());
            if after.trim_start().starts_with(')') {
                calls.push((name.to_owned(), arguments.trim().to_owned()));
                rest = after;
            }
        }
    }
    calls
}

/// Returns the least value that fits a schema, with the text for its strings.
fn sample(schema: &Value, text: &str) -> Value {
    if let Some(value) = schema.get("const").or_else(|| schema.get("enum")?.get(0)) {
        return value.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.get(0)) {
        return sample(first, text);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => {
            (0..schema["minItems"].as_u64().unwrap_or(0)).map(|_| sample(&schema["items"], text)).collect()
        }
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(properties.map(|(name, schema)| (name.clone(), sample(schema, text))).collect::<Map<_, _>>())
        }
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(name: &str) -> Tool {
        let parameters = json!({"type": "object", "properties": {"text": {"type": "string"}}});
        Tool { name: name.into(), description: "".into(), parameters: parameters.into(), strict: None }
    }

    fn question(user: &str) -> Question {
        Question {
            model: "m".into(),
            stream: true,
            include_usage: false,
            user: user.into(),
            tool_results: vec![],
            tools: vec![tool("add"), tool("say")],
            forced_tool: None,
            form: Form::Text,
            tokens: 0,
            output_tokens_max: None,
            body: Value::Null,
        }
    }

    fn calls(user: &str) -> Vec<(String, String)> {
        Answer::echo(&question(user))
            .tool_calls
            .into_iter()
            .map(|call| (call.name, call.arguments.into_string()))
            .collect()
    }

    #[test]
    fn a_tool_call_is_made_where_the_text_asks_for_an_offered_tool_with_json() {
        let call = |name: &str, args: &str| (name.to_owned(), args.to_owned());
        let table = [
            ("please call:add({\"a\":1, \"b\":[2]}) now", vec![call("add", "{\"a\":1, \"b\":[2]}")]),
            ("call:add({}) and call:say({\"t\":\"hi\"})", vec![call("add", "{}"), call("say", "{\"t\":\"hi\"}")]),
            ("call:say({\"t\":\"call:add({})\"})", vec![call("say", "{\"t\":\"call:add({})\"}")]),
            ("call:say({\"t\":\")\"} )", vec![call("say", "{\"t\":\")\"}")]),
            ("call:rm({})", vec![]),
            ("call:add({)", vec![]),
            ("call:add({}", vec![]),
            ("call:add", vec![]),
            ("no call: at all", vec![]),
        ];
        for (text, expected) in table {
            assert_eq!(calls(text), expected, "{text}");
        }
    }

    #[test]
    fn a_tool_result_is_quoted_and_calls_nothing_again() {
        let asked = Question { tool_results: vec!["3".into(), "ok".into()], ..question("call:add({})") };
        assert_eq!(Answer::echo(&asked), Answer::text("the tool said: 3; ok"));
    }

    #[test]
    fn a_forced_tool_is_called_even_if_the_text_does_not_ask() {
        let asked = Question { forced_tool: Some("say".into()), ..question("hello") };
        assert_eq!(Answer::echo(&asked), Answer::default().tool_call("say", r#"{"text":"hello"}"#));
    }

    #[test]
    fn an_answer_has_the_form_that_was_asked_for() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string"}, "n": {"type": ["integer", "null"], "minimum": 3}, "e": {"enum": ["x", "y"]},
            "l": {"type": "array", "minItems": 1, "items": {"type": "boolean"}}, "o": {"anyOf": [{"type": "null"}]},
        }});
        let asked = Question { form: Form::Schema(schema), ..question("hi") };
        let said: Value = serde_json::from_str(&Answer::echo(&asked).text).unwrap();
        assert_eq!(said, json!({"a": "hi", "n": 3, "e": "x", "l": [false], "o": null}));
        let asked = Question { form: Form::Json, ..question("hi") };
        assert_eq!(Answer::echo(&asked).text, r#"{"answer":"hi"}"#);
    }

    proptest! {
        #[test]
        fn words_and_fragments_together_are_the_text(text in "(\\PC|[ \n\t])*") {
            prop_assert_eq!(words(&text).collect::<String>(), text.clone());
            prop_assert_eq!(fragments(&text).collect::<String>(), text.clone());
            prop_assert!(words(&text).all(|word| !word.is_empty()));
            prop_assert!(words(&text).count() <= text.split_whitespace().count().max(1));
        }

        #[test]
        fn no_text_makes_the_search_for_calls_panic(text in "(call:|add|\\(|\\)|\\{|\\}|\"|\\PC){0,20}") {
            asked_calls(&text, &[tool("add"), tool("")]);
        }
    }
}

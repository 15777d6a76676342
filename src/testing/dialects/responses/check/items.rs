//! Checks the items of a conversation: whether each is whole, and whether they belong together.

use serde_json::Value;

use super::super::proof::{self, ThoughtFault};
use super::{
    Checked, Fields, array_field, bad_value, below, check_name, empty_array, missing, only, quoted, text_field,
    unknown_field, wrong, wrong_type,
};
use crate::testing::answer::words;
use crate::testing::dialects::fields::Problem;

/// The longest id of a call, in characters.
const CALL_ID_MAX: usize = 64;

/// Items that the provider made by itself: taken as they are.
const HOSTED_ITEMS: &[&str] = &[
    "code_interpreter_call",
    "compaction",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "web_search_call",
];

/// The texts of a conversation, while its items are read.
pub(super) struct ConversationTexts<'a> {
    is_official: bool,
    account: &'a str,
    /// Whether the request asks to keep answers. None is kept here; then references to kept answers are ignored.
    stores: bool,
    /// Ids of all items so far.
    ids: Vec<&'a str>,
    /// Ids of calls, and of those that have no output yet.
    calls: Vec<&'a str>,
    unanswered: Vec<&'a str>,
    /// The id of a thought that its result must follow.
    thought: Option<&'a str>,
    pub(super) user: Option<String>,
    pub(super) last: Option<String>,
    pub(super) tool_results: Vec<String>,
    pub(super) tokens: u64,
    pub(super) has_json_word: bool,
}

impl<'a> ConversationTexts<'a> {
    pub(super) fn new(is_official: bool, account: &'a str, stores: bool) -> Self {
        Self {
            is_official,
            account,
            stores,
            ids: Vec::new(),
            calls: Vec::new(),
            unanswered: Vec::new(),
            thought: None,
            user: None,
            last: None,
            tool_results: Vec::new(),
            tokens: 0,
            has_json_word: false,
        }
    }

    /// Notes the system's instruction.
    pub(super) fn instructed(&mut self, text: &str) {
        self.tokens += words(text).count() as u64;
    }

    pub(super) fn read(&mut self, input: Option<&'a Value>) -> Checked<()> {
        let items = match input {
            None | Some(Value::Null) => {
                let message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be \
                               provided.";
                return Err(wrong(Some("input"), Some("missing_required_parameter"), message));
            }
            Some(Value::String(text)) => {
                self.hear(text);
                self.user = Some(text.clone());
                return Ok(());
            }
            Some(Value::Array(items)) if items.is_empty() => return Err(empty_array("input")),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong_type("input", "one of a string or array of input items", other)),
        };
        for (at, item) in items.iter().enumerate() {
            let path = format!("input[{at}]");
            let item = item.as_object().ok_or_else(|| wrong_type(&path, "an object", item))?;
            self.item(item, &path)?;
        }
        self.settle(|_| false)?;
        if let Some(call) = self.unanswered.first() {
            return Err(wrong(Some("input"), None, format!("No tool output found for function call {call}.")));
        }
        Ok(())
    }

    fn item(&mut self, item: &'a Fields, path: &str) -> Checked<()> {
        let kind = match item.get("type") {
            None | Some(Value::Null) if item.contains_key("role") => "message",
            None | Some(Value::Null) => return Err(missing(&below(path, "type"))),
            Some(Value::String(kind)) => kind,
            Some(other) => return Err(wrong_type(&below(path, "type"), "a string", other)),
        };
        if kind != "function_call_output" {
            self.tool_results.clear();
        }
        match kind {
            "message" => self.message(item, path),
            "function_call" => self.call(item, path),
            "function_call_output" => self.output(item, path),
            "reasoning" => self.reasoning(item, path),
            "item_reference" => Err(not_found(text_field(item, path, "id")?)),
            hosted if HOSTED_ITEMS.contains(&hosted) => {
                self.thought = None;
                Ok(())
            }
            other => {
                let known = "'message', 'function_call', 'function_call_output', 'reasoning', and 'item_reference'";
                Err(bad_value(&below(path, "type"), other, known))
            }
        }
    }

    fn message(&mut self, item: &'a Fields, path: &str) -> Checked<()> {
        self.known(item, path, &["content", "id", "phase", "role", "status", "type"])?;
        let role = text_field(item, path, "role")?;
        let id = self.id(item, path, "msg")?;
        let kinds: &[&str] = match role {
            "assistant" => &["output_text", "refusal"],
            "user" | "system" | "developer" => &["input_text", "input_image", "input_file"],
            other => {
                let known = "'assistant', 'system', 'developer', and 'user'";
                return Err(bad_value(path, other, known));
            }
        };
        // A thought belongs to the message that followed it, which only its id can tell.
        let follows = |thought: &str| role == "assistant" && id.is_some_and(|id| is_of_one_answer(thought, id));
        self.settle(follows)?;
        let said = content(item, path, "content", kinds)?;
        self.hear(&said);
        if role == "user" {
            self.user = Some(said);
        }
        Ok(())
    }

    fn call(&mut self, item: &'a Fields, path: &str) -> Checked<()> {
        self.known(item, path, &["arguments", "call_id", "caller", "id", "name", "namespace", "status", "type"])?;
        let call_id = call_id(item, path)?;
        let id = self.id(item, path, "fc")?;
        check_name(text_field(item, path, "name")?, &below(path, "name"))?;
        text_field(item, path, "arguments")?;
        self.settle(|thought| is_of_one_answer(thought, id.unwrap_or(call_id)))?;
        self.calls.push(call_id);
        self.unanswered.push(call_id);
        Ok(())
    }

    fn output(&mut self, item: &'a Fields, path: &str) -> Checked<()> {
        self.known(item, path, &["call_id", "caller", "id", "name", "namespace", "output", "status", "type"])?;
        let call_id = call_id(item, path)?;
        self.settle(|_| false)?;
        if !self.calls.contains(&call_id) {
            let message = format!("No tool call found for function call output with call_id {call_id}.");
            return Err(wrong(Some("input"), None, message));
        }
        self.unanswered.retain(|unanswered| *unanswered != call_id);
        let said = content(item, path, "output", &["input_text", "input_image", "input_file"])?;
        self.hear(&said);
        self.tool_results.push(said);
        Ok(())
    }

    fn reasoning(&mut self, item: &'a Fields, path: &str) -> Checked<()> {
        self.known(item, path, &["content", "encrypted_content", "id", "status", "summary", "type"])?;
        let parts = array_field(item, path, "summary")?.ok_or_else(|| missing(&below(path, "summary")))?;
        for (at, part) in parts.iter().enumerate() {
            let path = format!("{path}.summary[{at}]");
            let part = part.as_object().ok_or_else(|| wrong_type(&path, "an object", part))?;
            text_field(part, &path, "text")?;
        }
        let id = self.id(item, path, "rs")?;
        match (item.get("encrypted_content"), id) {
            (Some(Value::String(sealed)), _) if self.is_official => self.unseal(id, sealed)?,
            (None | Some(Value::Null), Some(id)) if self.is_official && !self.stores => return Err(not_found(id)),
            _ => {}
        }
        // Two thoughts in a row are of one answer, or the first one led to nothing.
        if let Some(id) = id {
            self.settle(|thought| is_of_one_answer(thought, id))?;
            self.thought = Some(id);
        }
        Ok(())
    }

    /// Clears the thought before this item, if the item is its result.
    fn settle(&mut self, follows: impl FnOnce(&str) -> bool) -> Checked<()> {
        match self.thought.take().filter(|_| self.is_official) {
            Some(thought) if !follows(thought) => {
                let message =
                    format!("Item '{thought}' of type 'reasoning' was provided without its required following item.");
                Err(wrong(Some("input"), None, message))
            }
            _ => Ok(()),
        }
    }

    fn unseal(&self, id: Option<&str>, sealed: &str) -> Checked<()> {
        let message = match (proof::check(self.account, id, sealed), id) {
            (Ok(()), _) => return Ok(()),
            (Err(ThoughtFault::OtherItem), Some(id)) => format!(
                "The encrypted content for item {id} could not be verified. Reason: Encrypted content item_id did not \
                 match the target item id."
            ),
            (Err(_), _) => {
                let char = |at: usize| sealed.chars().nth(at);
                let short: String = (0..4).filter_map(char).collect();
                let rest = sealed.chars().count().saturating_sub(4).max(4);
                let end: String = sealed.chars().skip(rest).collect();
                format!(
                    "The encrypted content {short}...{end} could not be verified. Reason: Encrypted content could not \
                     be decrypted or parsed."
                )
            }
        };
        Err(wrong(None, Some("invalid_encrypted_content"), message))
    }

    /// Returns an item's id, if it has one; it must be new, and of its kind.
    fn id(&mut self, item: &'a Fields, path: &str, kind: &str) -> Checked<Option<&'a str>> {
        if item.get("id").is_none_or(Value::is_null) {
            return Ok(None);
        }
        let id = text_field(item, path, "id")?;
        if self.is_official && !id.starts_with(kind) {
            let path = below(path, "id");
            let message = format!("Invalid '{path}': '{id}'. Expected an ID that begins with '{kind}'.");
            return Err(wrong(Some(&path), Some("invalid_value"), message));
        }
        if self.is_official && self.ids.contains(&id) {
            let message =
                format!("Duplicate item found with id {id}. Remove duplicate items from your input and try again.");
            return Err(wrong(Some("input"), None, message));
        }
        self.ids.push(id);
        Ok(Some(id))
    }

    fn known(&self, item: &Fields, path: &str, known: &[&str]) -> Checked<()> {
        if self.is_official { only(item, path, known) } else { Ok(()) }
    }

    fn hear(&mut self, text: &str) {
        self.tokens += words(text).count() as u64;
        self.has_json_word |= text.to_ascii_lowercase().contains("json");
        self.last = Some(text.to_owned());
    }
}

/// Tells whether two items came of one answer, as far as their ids tell: 16 digits in them are the answer's. An id
/// without them tells nothing.
fn is_of_one_answer(thought: &str, other: &str) -> bool {
    let answer = |id: &'_ str| {
        let digits = id.rsplit_once('_')?.1.get(..16)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| digits.to_owned())
    };
    match (answer(thought), answer(other)) {
        (Some(thought), Some(other)) => thought == other,
        _ => true,
    }
}

fn call_id<'a>(item: &'a Fields, path: &str) -> Checked<&'a str> {
    let id = text_field(item, path, "call_id")?;
    let length = id.chars().count();
    let path = below(path, "call_id");
    if length > CALL_ID_MAX {
        let message = format!(
            "Invalid '{path}': string too long. Expected a string with maximum length {CALL_ID_MAX}, but got a string \
             with length {length} instead."
        );
        return Err(wrong(Some(&path), Some("string_above_max_length"), message));
    }
    if id.is_empty() {
        let message = format!(
            "Invalid '{path}': empty string. Expected a string with minimum length 1, but got an empty string instead."
        );
        return Err(wrong(Some(&path), Some("empty_string"), message));
    }
    Ok(id)
}

/// Returns the text of a content. `kinds` are the parts it may have.
fn content(item: &Fields, path: &str, name: &str, kinds: &[&str]) -> Checked<String> {
    let path = below(path, name);
    let parts = match item.get(name) {
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(Value::Array(parts)) => parts,
        None => return Err(missing(&path)),
        Some(other) => return Err(wrong_type(&path, "one of an array of objects or string", other)),
    };
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let part = part.as_object().ok_or_else(|| wrong_type(&path, "an object", part))?;
        let kind = text_field(part, &path, "type")?;
        if !kinds.contains(&kind) {
            return Err(bad_value(&path, kind, &quoted(kinds)));
        }
        match kind {
            "input_text" | "output_text" => text.push_str(text_field(part, &path, "text")?),
            "refusal" => text.push_str(text_field(part, &path, "refusal")?),
            "input_image" => image(part, &path)?,
            _ => {}
        }
    }
    Ok(text)
}

fn image(part: &Fields, path: &str) -> Checked<()> {
    if let Some(unknown) = part.keys().find(|key| !["detail", "file_id", "image_url", "type"].contains(&key.as_str())) {
        return Err(unknown_field(&below(path, unknown)));
    }
    match part.get("image_url") {
        Some(Value::String(url)) if ["http://", "https://", "data:"].iter().any(|begin| url.starts_with(begin)) => {
            Ok(())
        }
        Some(Value::String(url)) => {
            let message = format!("Invalid '{path}.image_url'. Expected a valid URL, but got a value '{url}'.");
            Err(wrong(Some(&below(path, "image_url")), Some("invalid_value"), message))
        }
        None | Some(Value::Null) if part.get("file_id").is_some_and(Value::is_string) => Ok(()),
        None | Some(Value::Null) => Err(missing(&below(path, "image_url"))),
        Some(other) => Err(wrong_type(&below(path, "image_url"), "an image URL", other)),
    }
}

fn not_found(id: &str) -> Problem {
    let message = format!(
        "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` \
         set to true, or remove this item from your input."
    );
    Problem { status: 404, ..wrong(Some("input"), None, message) }
}

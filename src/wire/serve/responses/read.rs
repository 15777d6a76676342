//! Reads requests.

use std::borrow::Cow;

use super::echo::echo;
use super::tools::{SEARCH, Tools, called, is_clients};
use crate::wire::serve::node::{Node, Object, Read, each};
use crate::wire::serve::openai::{
    allowed, audio, by_data, choice_word, file_has_words, fits, json_schema, named, names_tools,
};
use crate::wire::serve::reading::{
    AssistantParts, block, effort, foreign, free_arguments, image, joined, model, note, parts,
};
use crate::wire::serve::seal;
use crate::wire::serve::{BadRequest, CallerDialect, Form, ParsedRequest};
use crate::words::names::Shown;
use crate::words::{
    ChatRequest, Dialect, Document, DocumentSource, Effort, Message, Note, Proof, ResponseFormat, Sampling, Text, Tool,
    ToolChoice, ToolResult, UserPart,
};

const OWN: Dialect = Dialect::OpenAiResponses;
/// Fields that name something only its provider has.
const KEPT: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// The kinds of parts that are text.
const TEXTS: [&str; 6] = ["input_text", "output_text", "text", "summary_text", "refusal", ""];

/// Reads a request.
pub(in crate::wire::serve) fn read(mut body: Object<'_>, path_model: Option<&str>) -> Read<(ParsedRequest, Vec<Note>)> {
    let background = body.flag("background")? == Some(true);
    if background && body.flag("store")? == Some(false) {
        let problem = "must not be false with `background`: such an answer is kept until it is fetched";
        return Err(BadRequest { is_final: true, ..BadRequest::new("store", problem) });
    }
    let mut notes = Vec::new();
    let model = model(&mut body, path_model)?;
    let mut tools = Tools::default();
    tools.offer(body.list("tools")?)?;
    let instructions = body.words("instructions")?;
    let messages = messages(&mut body, instructions.as_ref(), &mut tools, &mut notes)?;
    let tool_choice = tool_choice(&mut body, &mut tools.listed, &mut notes)?;
    let tool_choice = fits("tool_choice", tool_choice, &tools.listed, &tools.others)?;
    let (response_format, is_unread) = text(&mut body)?;
    let effort = reasoning(&mut body, &mut notes)?;
    let stream = body.flag("stream")?.unwrap_or(false);
    if asks_logprobs(&mut body) {
        note(&mut notes, Note::Dropped("extra"));
    }
    // These fields are decided here, or are not passed on.
    for field in ["store", "stream_options"] {
        body.take(field);
    }
    let output_tokens_max = body.limit("max_output_tokens")?;
    let needed = KEPT.into_iter().chain(is_unread.then_some("text"));
    let extra_needed = needed.filter(|field| body.has(field)).map(str::to_owned).collect();
    let request = ChatRequest {
        route: model.clone(),
        messages,
        tools: tools.listed,
        foreign_tools: tools.others,
        tool_choice,
        parallel_tool_calls: body.flag("parallel_tool_calls")?,
        response_format,
        sampling: Sampling {
            temperature: body.number("temperature")?,
            top_p: body.number("top_p")?,
            ..Sampling::default()
        },
        effort,
        output_tokens_max,
        session: Some(body.peek_words("prompt_cache_key").into_string()).filter(|key| !key.is_empty()),
        extra: body.rest(),
        extra_needed,
        ..ChatRequest::default()
    };
    let echo = echo(&request, instructions.as_ref(), background);
    let form = Form {
        free_tools: tools.free,
        spaces: tools.spaces,
        searches: tools.searches,
        echo,
        ..Form::new(CallerDialect::OpenAiResponses, model)
    };
    Ok((ParsedRequest { request: Box::new(request), stream, form, values: 0 }, notes))
}

/// Tells whether the answer is to say how likely its words were, which no answer of another dialect does.
fn asks_logprobs(body: &mut Object<'_>) -> bool {
    let mut told = |field| body.take(field).and_then(|node| node.json().ok()).unwrap_or_default();
    let (most, include) = (told("top_logprobs"), told("include"));
    !matches!(most.as_str(), "" | "0" | "null") || include.contains("message.output_text.logprobs")
}

/// Reads the form of the answer's text; what else is said of it stays where it is, and so does a form that there are no
/// words for.
fn text(body: &mut Object<'_>) -> Read<(ResponseFormat, bool)> {
    let Some(mut text) = body.object("text")? else { return Ok((ResponseFormat::Text, false)) };
    let has_words = |format: &Object<'_>| matches!(format.peek("type"), "text" | "json_object" | "json_schema" | "");
    if !text.within("format").is_none_or(has_words) {
        body.put("text", Node::Object(text));
        return Ok((ResponseFormat::Text, true));
    }
    let format = text.object("format").map_err(|bad| bad.within("text"))?;
    if !text.is_empty() {
        body.put("text", Node::Object(text));
    }
    let Some(mut format) = format else { return Ok((ResponseFormat::Text, false)) };
    let read = |format: &mut Object<'_>| match format.need_text("type")?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::Json),
        "json_schema" => json_schema(format),
        other => {
            Err(BadRequest::new("type", format!("is `{}`; must be text, json_object or json_schema", Shown(other))))
        }
    };
    read(&mut format).map(|format| (format, false)).map_err(|bad| bad.within("text.format"))
}

/// Reads how hard to think; other fields of it stay unchanged.
fn reasoning(body: &mut Object<'_>, notes: &mut Vec<Note>) -> Read<Option<Effort>> {
    let Some(mut reasoning) = body.object("reasoning")? else { return Ok(None) };
    let word = reasoning.text("effort").map_err(|bad| bad.within("reasoning"))?;
    if !reasoning.is_empty() {
        body.put("reasoning", Node::Object(reasoning));
    }
    Ok(word.and_then(|word| effort(&word, notes)))
}

fn tool_choice(body: &mut Object<'_>, tools: &mut Vec<Tool>, notes: &mut Vec<Note>) -> Read<ToolChoice> {
    let key = "tool_choice";
    let mut choice = match body.take(key) {
        None => return Ok(ToolChoice::Auto),
        Some(Node::Text(word)) => return choice_word(key, &word),
        Some(choice) => choice.object(key)?,
    };
    match choice.peek("type") {
        "allowed_tools" if names_tools(Some(&choice), &["function", "custom"]) => {
            allowed(choice, tools, notes).map_err(|bad| bad.within(key))
        }
        kind @ ("function" | "custom") => {
            let kind = kind.to_owned();
            let mut inner = choice.object(&kind).map_err(|bad| bad.within(key))?.unwrap_or(choice);
            named(key, called(&mut inner).map_err(|bad| bad.within(key))?, tools)
        }
        word @ ("auto" | "none" | "required" | "any") => choice_word(key, word),
        "" => Err(BadRequest::new(key, "must be none, auto, required, or an object that names a tool")),
        _ => block(OWN, choice).map(ToolChoice::Foreign),
    }
}

fn messages(
    body: &mut Object<'_>,
    instructions: Option<&Text>,
    tools: &mut Tools,
    notes: &mut Vec<Note>,
) -> Read<Vec<Message>> {
    let mut items = Items { notes, tools, messages: Vec::new(), said: AssistantParts::default() };
    items.messages.extend(instructions.cloned().map(Message::System));
    let input = match body.take("input") {
        // The conversation may be only at its provider.
        None if KEPT.iter().any(|field| body.has(field)) => Node::List(Vec::new()),
        Some(input) => input,
        None => body.need("input", "a string or an array of items")?,
    };
    match input {
        Node::Text(text) => items.messages.push(Message::user(text)),
        Node::List(list) => {
            if list.is_empty() && !KEPT.iter().any(|field| body.has(field)) {
                return Err(BadRequest::new("input", "is empty; a conversation has at least one message"));
            }
            items.messages.reserve(list.len());
            each("input", list, |node| items.item(node.object("")?))?;
        }
        other => return Err(other.not("input", "must be a string or an array of items")),
    }
    items.close();
    Ok(items.messages)
}

/// The conversation, as its items are read: texts, thoughts and calls of the assistant in a row are one message.
struct Items<'n> {
    notes: &'n mut Vec<Note>,
    tools: &'n mut Tools,
    messages: Vec<Message>,
    said: AssistantParts,
}

impl Items<'_> {
    fn close(&mut self) {
        let parts = std::mem::take(&mut self.said).parts;
        if !parts.is_empty() {
            self.messages.push(Message::Assistant(parts));
        }
    }

    fn item(&mut self, mut item: Object<'_>) -> Read<()> {
        match item.peek("type") {
            "message" | "" => self.message(item),
            "reasoning" => self.reasoning(item),
            "function_call" => {
                let arguments = item.words("arguments")?.unwrap_or_else(|| "{}".into());
                let name = called(&mut item)?;
                self.said.call(item.need_text("call_id")?, name, arguments);
                Ok(())
            }
            "custom_tool_call" => {
                let input = item.need_words("input")?;
                let name = called(&mut item)?;
                self.said.call(item.need_text("call_id")?, name, free_arguments(&input));
                Ok(())
            }
            "function_call_output" | "custom_tool_call_output" => self.output(item),
            // Clients put their tools here, too, to leave the beginning of a prompt as it was.
            "additional_tools" => {
                let tools = item.list("tools")?;
                self.tools.offer(tools).map(drop)
            }
            "tool_search_call" if is_clients(&item) => {
                let arguments = item.arguments("arguments")?;
                self.said.call(item.need_text("call_id")?, SEARCH.to_owned(), arguments);
                Ok(())
            }
            "tool_search_output" if is_clients(&item) => {
                let call_id = item.need_text("call_id")?;
                let tools = item.list("tools")?;
                let found = self.tools.offer(tools)?;
                self.close();
                self.messages.push(Message::Tool(ToolResult::new(call_id, SEARCH, found)));
                Ok(())
            }
            // Calls of the provider's own tools belong to the assistant's message; their answers are items of their
            // own.
            kind if kind.ends_with("_output") || kind.ends_with("_response") || kind == "item_reference" => {
                self.close();
                self.messages.push(Message::Foreign(block(OWN, item)?));
                Ok(())
            }
            _ => {
                self.said.foreign(block(OWN, item)?);
                Ok(())
            }
        }
    }

    fn message(&mut self, mut item: Object<'_>) -> Read<()> {
        let role = item.peek("role").to_owned();
        let is_text = |part: &Object<'_>| TEXTS.contains(&part.peek("type"));
        let has_words = match role.as_str() {
            "user" | "" => true,
            "assistant" | "system" | "developer" => item.objects("content").all(is_text),
            _ => false,
        };
        if !has_words {
            let item = foreign(OWN, &role, item)?;
            if role == "assistant" {
                self.said.foreign(item);
            } else {
                self.close();
                self.messages.push(Message::Foreign(item));
            }
            return Ok(());
        }
        item.need_text("role")?;
        let content = item.need("content", "a string or an array of parts")?;
        let parts = parts(content, |node| self.part(node.object("")?))?;
        if role == "assistant" {
            for part in parts {
                if let UserPart::Text(text) = part {
                    self.said.text(text);
                }
            }
            return Ok(());
        }
        self.close();
        self.messages.push(match role.as_str() {
            "user" if parts.is_empty() => Message::User(vec![UserPart::Text(Text::default())]),
            "user" => Message::User(parts),
            _ => Message::System(joined(parts).unwrap_or_default()),
        });
        Ok(())
    }

    fn part(&mut self, mut part: Object<'_>) -> Read<UserPart> {
        match part.peek("type") {
            "input_text" | "output_text" | "text" | "summary_text" => part.need_words("text").map(UserPart::Text),
            "refusal" => part.need_words("refusal").map(UserPart::Text),
            "input_image" if part.has("image_url") || !part.has("file_id") => {
                if part.text("detail")?.is_some_and(|detail| detail != "auto") {
                    note(self.notes, Note::Dropped("messages.image.detail"));
                }
                part.need_words("image_url").map(image)
            }
            "input_file" if file_has_words(part.peek("file_data")) => {
                let title = part.text("filename")?;
                Ok(by_data(part.need_words("file_data")?, title))
            }
            "input_file" if part.has("file_url") => {
                let title = part.text("filename")?;
                let source = DocumentSource::Url(part.need_words("file_url")?);
                Ok(UserPart::Document(Document { title, ..Document::new(source) }))
            }
            "input_audio" => {
                let mut inner = part.need("input_audio", "an object")?.object("input_audio")?;
                audio(&mut inner).map_err(|bad| bad.within("input_audio"))
            }
            _ => block(OWN, part).map(UserPart::Foreign),
        }
    }

    fn output(&mut self, mut item: Object<'_>) -> Read<()> {
        let call_id = item.need_text("call_id")?;
        let output = item.need("output", "a string or an array of parts")?;
        let content = parts(output, |node| self.part(node.object("")?))?;
        self.close();
        self.messages.push(Message::Tool(ToolResult { call_id, name: String::new(), content, is_error: false }));
        Ok(())
    }

    /// Reads a thought. What OpenAI encrypted goes back as the whole item, with the id that is bound to it.
    fn reasoning(&mut self, item: Object<'_>) -> Read<()> {
        let mut item = item.without_nulls();
        let whole = item.json();
        // A model that shows both says the same in both.
        let (content, summary) = (item.list("content")?, item.list("summary")?);
        let (key, told) = if content.is_empty() { ("summary", summary) } else { ("content", content) };
        let text = Text::row(each(key, told, |node| node.object("")?.need_words("text"))?, "");
        let proof = match item.words("encrypted_content")? {
            Some(data) => Some(match seal::open_text(&data) {
                Some(proof) => proof,
                None => {
                    let whole = whole?;
                    let (issuer, item) = seal::unissued(&whole);
                    let item = if let Cow::Owned(item) = item { item.into() } else { whole.clone() };
                    (seal::Proves::Thought, Proof { issuer, ..Proof::new(Dialect::OpenAiResponses, item) })
                }
            }),
            None => None,
        };
        self.said.thought(text, proof);
        Ok(())
    }
}

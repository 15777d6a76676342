//! Reads requests.

use super::echo::echo;
use crate::wire::serve::node::{Node, Object, Read, each};
use crate::wire::serve::openai::{allowed, choice_word, function, json_schema};
use crate::wire::serve::reading::{
    Said, effort, free_arguments, free_tool, image, joined, model, note, parts, result, strange,
};
use crate::wire::serve::{Asked, BadRequest, Face, Form, seal};
use crate::words::{
    ChatRequest, Dialect, Effort, Message, Note, Proof, ResponseFormat, Sampling, Tool, ToolChoice, ToolResult,
    UserPart,
};

/// What asks for something that is kept, and nothing is kept here.
const KEPT: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Reads a request.
pub(in crate::wire::serve) fn read(mut body: Object<'_>, path_model: Option<&str>) -> Read<Asked> {
    for field in KEPT {
        if body.has(field) {
            return Err(BadRequest::new(
                field,
                "must be left out: nothing is stored here; send the whole conversation",
            ));
        }
    }
    if body.flag("background")? == Some(true) {
        return Err(BadRequest::new("background", "must be false: an answer is given at once or not at all"));
    }
    let mut notes = Vec::new();
    let model = model(&mut body, path_model)?;
    let mut tools = Tools::default();
    let listed = each("tools", body.list("tools")?, |node| tools.read(node.object("")?))?;
    if listed.iter().any(Option::is_none) {
        note(&mut notes, Note::Dropped("tools"));
    }
    let mut listed: Vec<Tool> = listed.into_iter().flatten().collect();
    let tool_choice = tool_choice(&mut body, &mut listed, &mut notes)?;
    let instructions = body.text("instructions")?;
    let messages = messages(&mut body, instructions.as_deref(), &mut notes)?;
    let response_format = text(&mut body)?;
    let effort = reasoning(&mut body, &mut notes)?;
    let stream = body.flag("stream")?.unwrap_or(false);
    // What these ask for is decided here, or said to nobody.
    for field in ["store", "include", "stream_options", "top_logprobs"] {
        body.take(field);
    }
    let request = ChatRequest {
        route: model.clone(),
        messages,
        tools: listed,
        tool_choice,
        parallel_tool_calls: body.flag("parallel_tool_calls")?,
        response_format,
        sampling: Sampling {
            temperature: body.number("temperature")?,
            top_p: body.number("top_p")?,
            ..Sampling::default()
        },
        effort,
        output_tokens_max: body.count("max_output_tokens")?,
        session: Some(body.peek("prompt_cache_key").to_owned()).filter(|key| !key.is_empty()),
        extra: body.rest(),
        ..ChatRequest::default()
    };
    let echo = echo(&request, instructions.as_deref());
    let form = Form { free_tools: tools.free, echo, ..Form::new(Face::OpenAiResponses, model) };
    Ok(Asked { request, stream, notes, form })
}

/// Reads the form of the answer's text; what else is said of it stays where it is.
fn text(body: &mut Object<'_>) -> Read<ResponseFormat> {
    let Some(mut text) = body.object("text")? else { return Ok(ResponseFormat::Text) };
    let format = text.object("format").map_err(|bad| bad.within("text"))?;
    if !text.is_empty() {
        body.put("text", Node::Object(text));
    }
    let Some(mut format) = format else { return Ok(ResponseFormat::Text) };
    let read = |format: &mut Object<'_>| match format.need_text("type")?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::Json),
        "json_schema" => json_schema(format),
        other => Err(BadRequest::new("type", format!("is `{other}`; must be text, json_object or json_schema"))),
    };
    read(&mut format).map_err(|bad| bad.within("text.format"))
}

/// Reads how hard to think; what else is said of it stays where it is.
fn reasoning(body: &mut Object<'_>, notes: &mut Vec<Note>) -> Read<Option<Effort>> {
    let Some(mut reasoning) = body.object("reasoning")? else { return Ok(None) };
    let word = reasoning.text("effort").map_err(|bad| bad.within("reasoning"))?;
    if !reasoning.is_empty() {
        body.put("reasoning", Node::Object(reasoning));
    }
    word.map_or(Ok(None), |word| effort(&word, "reasoning.effort", notes))
}

/// The tools, as they are read.
#[derive(Default)]
struct Tools {
    /// Names of those that take a text.
    free: Vec<String>,
}

impl Tools {
    /// Reads a tool; `None` where it is one that runs at the provider.
    fn read(&mut self, mut tool: Object<'_>) -> Read<Option<Tool>> {
        match tool.peek("type") {
            "function" | "" => function(&mut tool).map(Some),
            "custom" => {
                let name = tool.need_text("name")?;
                let mut description = tool.text("description")?.unwrap_or_default();
                if let Some(mut format) = tool.object("format")?
                    && let Some(grammar) = format.text("definition").map_err(|bad| bad.within("format"))?
                {
                    description.push_str("\n\n`input` must fit this grammar:\n");
                    description.push_str(&grammar);
                }
                self.free.push(name.clone());
                Ok(Some(free_tool(name, description)))
            }
            _ => Ok(None),
        }
    }
}

fn tool_choice(body: &mut Object<'_>, tools: &mut Vec<Tool>, notes: &mut Vec<Note>) -> Read<ToolChoice> {
    let key = "tool_choice";
    let mut choice = match body.take(key) {
        None => return Ok(ToolChoice::Auto),
        Some(Node::Text(word)) => return choice_word(key, &word),
        Some(choice) => choice.object(key)?,
    };
    match choice.peek("type") {
        "allowed_tools" => allowed(choice, tools, notes).map_err(|bad| bad.within(key)),
        "function" | "custom" => choice.need_text("name").map(ToolChoice::Named).map_err(|bad| bad.within(key)),
        _ => Err(BadRequest::new(key, "must be none, auto, required, or an object that names a function")),
    }
}

fn messages(body: &mut Object<'_>, instructions: Option<&str>, notes: &mut Vec<Note>) -> Read<Vec<Message>> {
    let mut items = Items { notes, messages: Vec::new(), said: Said::default() };
    items.messages.extend(instructions.map(|text| Message::System(text.to_owned())));
    match body.need("input", "a string or an array of items")? {
        Node::Text(text) => items.messages.push(Message::user(text)),
        input => {
            let list = input
                .list("input")
                .map_err(|bad| BadRequest { problem: "must be a string or an array of items".into(), ..bad })?;
            if list.is_empty() {
                return Err(BadRequest::new("input", "is empty; a conversation has at least one message"));
            }
            each("input", list, |node| items.item(node.object("")?))?;
        }
    }
    items.close();
    Ok(items.messages)
}

/// The conversation, as its items are read: what an assistant says, thinks and calls in a row is one message.
struct Items<'n> {
    notes: &'n mut Vec<Note>,
    messages: Vec<Message>,
    said: Said,
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
                let arguments = item.text("arguments")?.unwrap_or_else(|| "{}".to_owned());
                self.said.call(item.need_text("call_id")?, item.need_text("name")?, arguments);
                Ok(())
            }
            "custom_tool_call" => {
                let input = item.need_text("input")?;
                self.said.call(item.need_text("call_id")?, item.need_text("name")?, free_arguments(&input));
                Ok(())
            }
            "function_call_output" | "custom_tool_call_output" => self.output(item),
            "item_reference" => {
                Err(BadRequest::new("type", "is `item_reference`: nothing is stored here; send the item itself"))
            }
            // What the provider's own tools did is no part of what can be told to others.
            _ => {
                note(self.notes, Note::Dropped("input"));
                Ok(())
            }
        }
    }

    fn message(&mut self, mut item: Object<'_>) -> Read<()> {
        let role = item.need_text("role")?;
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
            "user" => Message::User(parts),
            "system" | "developer" => Message::System(joined(parts)?),
            other => {
                let problem = format!("is `{other}`; must be user, assistant, system or developer");
                return Err(BadRequest::new("role", problem));
            }
        });
        Ok(())
    }

    fn part(&mut self, mut part: Object<'_>) -> Read<UserPart> {
        match part.peek("type") {
            "input_text" | "output_text" | "text" | "summary_text" => part.need_text("text").map(UserPart::Text),
            "refusal" => part.need_text("refusal").map(UserPart::Text),
            "input_image" => {
                if part.text("detail")?.is_some_and(|detail| detail != "auto") {
                    note(self.notes, Note::Dropped("messages.image.detail"));
                }
                part.need_text("image_url").map(image)
            }
            kind => Err(strange(kind)),
        }
    }

    fn output(&mut self, mut item: Object<'_>) -> Read<()> {
        let call_id = item.need_text("call_id")?;
        let output = item.need("output", "a string or an array of parts")?;
        let (content, images) = result(parts(output, |node| self.part(node.object("")?))?);
        self.close();
        self.messages.push(Message::Tool(ToolResult::new(call_id, "", content)));
        if !images.is_empty() {
            self.messages.push(Message::User(images));
        }
        Ok(())
    }

    /// Reads a thought. What OpenAI encrypted goes back as the whole item, with the id that is bound to it.
    fn reasoning(&mut self, item: Object<'_>) -> Read<()> {
        let node = Node::Object(item.without_nulls());
        let whole = node.json();
        let mut item = node.object("")?;
        // Who shows both says the same in both.
        let (content, summary) = (item.list("content")?, item.list("summary")?);
        let (key, told) = if content.is_empty() { ("summary", summary) } else { ("content", content) };
        let text = each(key, told, |node| node.object("")?.need_text("text"))?;
        let proof = item.text("encrypted_content")?.map(|data| {
            seal::open(&data).unwrap_or((seal::Proves::Thought, Proof::new(Dialect::OpenAiResponses, whole)))
        });
        self.said.thought(text.concat(), proof);
        Ok(())
    }
}

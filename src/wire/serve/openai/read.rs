//! Reads requests.

use crate::wire::edit::{self, Edits, quoted};
use crate::wire::openai::SPOKEN;
use crate::wire::request::data_url;
use crate::wire::serve::node::{Node, Object, Read, each};
use crate::wire::serve::reading::{
    AssistantParts, block, effort, file, foreign, free_arguments, has_words, image, joined, model, no_arguments, note,
    parts,
};
use crate::wire::serve::seal;
use crate::wire::serve::{BadRequest, CallerDialect, Form, ParsedRequest};
use crate::words::names::Shown;
use crate::words::{
    AssistantPart, Audio, ChatRequest, Dialect, Document, DocumentSource, Foreign, Json, Message, Note, Proof,
    ResponseFormat, Sampling, Text, Tool, ToolChoice, ToolResult, UserPart,
};

const OWN: Dialect = Dialect::OpenAiChat;
/// Fields without which a request would mean something else: what is spoken, what the provider looks up, and how many
/// answers there are; and what there are no words for of what the answer is to be like.
const NEEDED: [&str; 5] = ["modalities", "audio", "web_search_options", "n", "response_format"];

/// The forms of a tool's choice.
const CHOICES: &str = "must be none, auto, required, or an object that names a function";

/// Reads a request.
pub(in crate::wire::serve) fn read(mut body: Object<'_>, path_model: Option<&str>) -> Read<(ParsedRequest, Vec<Note>)> {
    let mut notes = Vec::new();
    let model = model(&mut body, path_model)?;
    match body.count("n")? {
        None | Some(1) => {}
        Some(0) => return Err(BadRequest::new("n", "must be 1 or more")),
        // Several answers are for the provider of the dialect to give, and for its caller to read.
        Some(n) => body.put("n", Node::Number(n.into())),
    }
    if body.text_only("modalities") {
        body.take("modalities");
    }
    let messages = messages(&mut body, &mut notes)?;
    let functions = body.has("functions");
    let (mut tools, foreign_tools) = tools(&mut body)?;
    let tool_choice = tool_choice(&mut body, &mut tools, &mut notes)?;
    let tool_choice = fits("tool_choice", tool_choice, &tools, &foreign_tools)?;
    let usage = match body.object("stream_options")? {
        Some(mut options) => options.flag("include_usage").map_err(|bad| bad.within("stream_options"))?,
        None => None,
    };
    let stream = body.flag("stream")?.unwrap_or(false);
    let limit = body.limit("max_tokens")?;
    let output_tokens_max = body.limit("max_completion_tokens")?.or(limit);
    let effort = match (body.text("reasoning_effort")?, body.within("reasoning").map(|said| said.peek("effort"))) {
        (Some(word), _) => effort(&word, &mut notes),
        // As OpenRouter has it, where more may be said of it.
        (None, Some(word)) => effort(word, &mut notes),
        (None, None) => None,
    };
    let response_format = response_format(&mut body)?;
    let extra_needed = NEEDED.into_iter().filter(|field| body.has(field)).map(str::to_owned).collect();
    let request = ChatRequest {
        route: model.clone(),
        messages,
        tools,
        foreign_tools,
        tool_choice,
        parallel_tool_calls: body.flag("parallel_tool_calls")?,
        response_format,
        sampling: sampling(&mut body)?,
        effort,
        output_tokens_max,
        session: Some(body.peek_words("prompt_cache_key").into_string()).filter(|key| !key.is_empty()),
        extra: body.rest(),
        extra_needed,
        ..ChatRequest::default()
    };
    let form = Form { usage: usage.unwrap_or(false), functions, ..Form::new(CallerDialect::OpenAiChat, model) };
    Ok((ParsedRequest { request: Box::new(request), stream, form, values: 0 }, notes))
}

fn sampling(body: &mut Object<'_>) -> Read<Sampling> {
    let stop = match body.take("stop") {
        None => Vec::new(),
        Some(Node::Text(stop)) => vec![stop.into()],
        Some(Node::List(list)) => crate::wire::serve::node::texts("stop", list)?,
        Some(other) => return Err(other.not("stop", "must be a string or an array of strings")),
    };
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        presence_penalty: body.number("presence_penalty")?,
        frequency_penalty: body.number("frequency_penalty")?,
        seed: body.seed()?,
        stop,
    })
}

fn response_format(body: &mut Object<'_>) -> Read<ResponseFormat> {
    // Settings that only some servers have, such as grammars, stay unchanged.
    let has_words = |format: &Object<'_>| match format.peek("type") {
        "text" | "json_object" | "" => true,
        "json_schema" => format.has("json_schema"),
        _ => false,
    };
    if !body.within("response_format").is_none_or(has_words) {
        return Ok(ResponseFormat::Text);
    }
    let Some(mut format) = body.object("response_format")? else { return Ok(ResponseFormat::Text) };
    let read = |format: &mut Object<'_>| match format.need_text("type")?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        // As llama.cpp and Together have it.
        "json_object" if format.has_object("schema") => json_schema(format),
        "json_object" => Ok(ResponseFormat::Json),
        "json_schema" => {
            let mut schema = format.need("json_schema", "an object")?.object("json_schema")?;
            json_schema(&mut schema).map_err(|bad| bad.within("json_schema"))
        }
        other => {
            Err(BadRequest::new("type", format!("is `{}`; must be text, json_object or json_schema", Shown(other))))
        }
    };
    read(&mut format).map_err(|bad| bad.within("response_format"))
}

/// Reads a schema and its name.
pub(in crate::wire::serve) fn json_schema(format: &mut Object<'_>) -> Read<ResponseFormat> {
    let schema = format.need("schema", "a JSON schema")?.carried("schema")?;
    Ok(ResponseFormat::JsonSchema {
        name: format.text("name")?.unwrap_or_else(|| "answer".to_owned()),
        schema: match format.words("description").unwrap_or_default() {
            Some(description) if !description.is_empty() => described(&schema, &description),
            _ => schema,
        },
        strict: format.flag("strict")?.unwrap_or(false),
    })
}

/// Returns a schema that says what it is for: every dialect has a place for that in the schema itself.
fn described(schema: &Json, description: &str) -> Json {
    let Some(mut object) = edit::Object::of(schema.as_str()) else { return schema.clone() };
    let own = object.text("description").filter(|own| !own.is_empty() && *own != description);
    let all = [Some(description), own.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n");
    let mut edits = Edits::new(schema.as_str());
    object.set("description", quoted(&all), &mut edits);
    object.finish(&mut edits);
    Json::of(edits.finish().into_owned().into())
}

fn tools(body: &mut Object<'_>) -> Read<(Vec<Tool>, Vec<Foreign>)> {
    let (mut tools, mut others) = (Vec::new(), Vec::new());
    each("tools", body.list("tools")?, |node| {
        let tool = node.object("")?;
        let kind = tool.peek("type").to_owned();
        if !matches!(kind.as_str(), "" | "function") {
            others.push(foreign(OWN, &kind, tool)?);
            return Ok(());
        }
        tools.push(declared(tool)?);
        Ok(())
    })?;
    tools.extend(each("functions", body.list("functions")?, |node| function(&mut node.object("")?))?);
    Ok((tools, others))
}

/// Reads a tool that is a function: in an object of its own as chat completions have it, or without one as responses.
/// Servers and clients of one take those of the other.
pub(in crate::wire::serve) fn declared(mut tool: Object<'_>) -> Read<Tool> {
    match tool.take("function") {
        Some(inner) => function(&mut inner.object("function")?).map_err(|bad| bad.within("function")),
        None => function(&mut tool),
    }
}

/// Reads a function's declaration.
fn function(tool: &mut Object<'_>) -> Read<Tool> {
    Ok(Tool {
        name: tool.need_text("name")?,
        description: tool.words("description")?.unwrap_or_default(),
        parameters: match tool.carried("parameters")? {
            Some(schema) => schema,
            // Some agents write tools as Anthropic has them.
            None => tool.carried("input_schema")?.unwrap_or_else(no_arguments),
        },
        strict: tool.flag("strict")?,
    })
}

fn tool_choice(body: &mut Object<'_>, tools: &mut Vec<Tool>, notes: &mut Vec<Note>) -> Read<ToolChoice> {
    let (key, choice) = match (body.take("tool_choice"), body.take("function_call")) {
        (Some(choice), _) => ("tool_choice", choice),
        (None, Some(choice)) => ("function_call", choice),
        (None, None) => return Ok(ToolChoice::Auto),
    };
    let mut choice = match choice {
        Node::Text(word) => return choice_word(key, &word),
        choice => choice.object(key).map_err(|_| BadRequest::new(key, CHOICES))?,
    };
    let mut named = match choice.peek("type") {
        "allowed_tools" if names_tools(choice.within("allowed_tools"), &["function"]) => {
            let allowed = choice.object("allowed_tools")?.unwrap_or_default();
            return self::allowed(allowed, tools, notes).map_err(|bad| bad.within("allowed_tools").within(key));
        }
        "" if key == "function_call" => choice,
        "function" => choice.object("function").map_err(|bad| bad.within(key))?.unwrap_or(choice),
        word @ ("auto" | "none" | "required" | "any") => return choice_word(key, word),
        "" => return Err(BadRequest::new(key, CHOICES)),
        _ => return block(OWN, choice).map(ToolChoice::Foreign),
    };
    let name = named.need_text("name").map_err(|bad| bad.within(key))?;
    self::named(key, name, tools)
}

/// Returns the choice of a function by its name, if it is one of the tools: else only its provider knows what is meant.
pub(in crate::wire::serve) fn named(key: &str, name: String, tools: &[Tool]) -> Read<ToolChoice> {
    if tools.iter().any(|tool| tool.name == name) {
        return Ok(ToolChoice::Named(name));
    }
    Err(BadRequest::new(key, format!("names `{}`, which is none of the request's tools", Shown(&name))))
}

/// Refuses a choice that requires a tool where there is none.
pub(in crate::wire::serve) fn fits(
    key: &str,
    choice: ToolChoice,
    tools: &[Tool],
    others: &[Foreign],
) -> Read<ToolChoice> {
    match choice {
        ToolChoice::Required if tools.is_empty() && others.is_empty() => {
            Err(BadRequest::new(key, "requires a tool, and there is none"))
        }
        choice => Ok(choice),
    }
}

/// Reads a choice of one word.
pub(in crate::wire::serve) fn choice_word(key: &str, word: &str) -> Read<ToolChoice> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" | "any" => Ok(ToolChoice::Required),
        _ => Err(BadRequest::new(key, CHOICES)),
    }
}

/// Tells whether a choice that allows some of the tools names only tools of these kinds.
pub(in crate::wire::serve) fn names_tools(allowed: Option<&Object<'_>>, kinds: &[&str]) -> bool {
    allowed.is_some_and(|allowed| allowed.objects("tools").all(|tool| kinds.contains(&tool.peek("type"))))
}

/// Reads a choice that allows some of the tools: the others are left out.
pub(in crate::wire::serve) fn allowed(
    mut allowed: Object<'_>,
    tools: &mut Vec<Tool>,
    notes: &mut Vec<Note>,
) -> Read<ToolChoice> {
    let names = each("tools", allowed.list("tools")?, |node| {
        let mut tool = node.object("")?;
        let mut inner = tool.object("function")?.unwrap_or(tool);
        inner.text("name")
    })?;
    let before = tools.len();
    tools.retain(|tool| names.iter().flatten().any(|name| *name == tool.name));
    if tools.len() < before {
        note(notes, Note::Converted("tool_choice"));
    }
    choice_word("mode", &allowed.text("mode")?.unwrap_or_else(|| "auto".to_owned()))
}

fn messages(body: &mut Object<'_>, notes: &mut Vec<Note>) -> Read<Vec<Message>> {
    let list = body.need("messages", "an array of messages")?.list("messages")?;
    if list.is_empty() {
        return Err(BadRequest::new("messages", "is empty; a conversation has at least one message"));
    }
    let mut reader = Reader { notes, legacy: Vec::new(), calls: 0 };
    each("messages", list, |node| reader.message(node.object("")?))
}

/// The role of a message, where the common form can express it.
#[derive(Clone, Copy)]
enum Role {
    System,
    User,
    Assistant,
    Tool,
    /// The result of a call in the form that was before tools.
    Function,
}

struct Reader<'n> {
    notes: &'n mut Vec<Note>,
    /// Calls that came without ids, as those of the older form do, until they are answered: id and name.
    legacy: Vec<(String, String)>,
    /// How many calls there were.
    calls: usize,
}

impl Reader<'_> {
    /// Reads a message.
    fn message(&mut self, mut message: Object<'_>) -> Read<Message> {
        let is_text =
            |message: &Object<'_>| message.objects("content").all(|part| matches!(part.peek("type"), "text" | ""));
        let role = match message.peek("role") {
            "system" | "developer" if is_text(&message) => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            "function" | "" => Role::Function,
            other => {
                let role = other.to_owned();
                return foreign(OWN, &role, message).map(Message::Foreign);
            }
        };
        message.pass_text("role")?;
        if message.has("name") && !matches!(role, Role::Function | Role::Tool) {
            note(self.notes, Note::Dropped("messages.name"));
        }
        match role {
            Role::System => Ok(Message::System(joined(self.content(&mut message)?).unwrap_or_default())),
            // An empty list says as little as an empty text.
            Role::User => match self.content(&mut message)? {
                parts if parts.is_empty() => Ok(Message::User(vec![UserPart::Text(Text::default())])),
                parts => Ok(Message::User(parts)),
            },
            Role::Assistant => Ok(Message::Assistant(self.assistant(message)?)),
            Role::Tool => {
                let call_id = message.text("tool_call_id")?.unwrap_or_default();
                let name = message.text("name")?.unwrap_or_default();
                if !call_id.is_empty() {
                    return self.result(call_id, name, message);
                }
                // The calls of some servers have no ids, so their results have none either: each is the result of the
                // first such call that is open.
                let open = self.legacy.iter().position(|(_, called)| name.is_empty() || *called == name);
                let open = open.ok_or_else(|| BadRequest::new("tool_call_id", "is missing; must be a string"))?;
                let (call_id, name) = self.legacy.remove(open);
                self.result(call_id, name, message)
            }
            Role::Function => {
                let name = message.need_text("name")?;
                let open = self.legacy.iter().position(|(_, called)| *called == name);
                let open =
                    open.ok_or_else(|| BadRequest::new("name", format!("no call of `{}` came before", Shown(&name))))?;
                let (call_id, name) = self.legacy.remove(open);
                self.result(call_id, name, message)
            }
        }
    }

    fn content(&mut self, message: &mut Object<'_>) -> Read<Vec<UserPart>> {
        // Some clients send `null` for nothing.
        let Some(content) = message.take("content") else { return Ok(vec![UserPart::Text(Text::default())]) };
        parts(content, |node| self.part(node.object("")?))
    }

    fn part(&mut self, mut part: Object<'_>) -> Read<UserPart> {
        match part.peek("type") {
            "text" | "input_text" => part.need_words("text").map(UserPart::Text),
            "input_audio" => {
                let mut inner = part.need("input_audio", "an object")?.object("input_audio")?;
                audio(&mut inner).map_err(|bad| bad.within("input_audio"))
            }
            "file" if part.within("file").is_some_and(|file| file_has_words(file.peek("file_data"))) => {
                let mut inner = part.need("file", "an object")?.object("file")?;
                let title = inner.text("filename")?;
                Ok(by_data(inner.need_words("file_data")?, title))
            }
            "image_url" => {
                let mut inner = match part.need("image_url", "an object with an url")? {
                    Node::Text(url) => return Ok(image(url.into())),
                    inner => inner.object("image_url")?,
                };
                if inner.text("detail")?.is_some_and(|detail| detail != "auto") {
                    note(self.notes, Note::Dropped("messages.image.detail"));
                }
                inner.need_words("url").map(image).map_err(|bad| bad.within("image_url"))
            }
            _ => block(OWN, part).map(UserPart::Foreign),
        }
    }

    fn result(&mut self, call_id: String, name: String, mut message: Object<'_>) -> Read<Message> {
        let content = self.content(&mut message)?;
        Ok(Message::Tool(ToolResult { call_id, name, content, is_error: false }))
    }

    fn assistant(&mut self, mut message: Object<'_>) -> Read<Vec<AssistantPart>> {
        let mut said = AssistantParts::default();
        let mut proofs = thoughts(&mut message, &mut said)?;
        match message.take("content") {
            None => {}
            Some(Node::Text(text)) => said.text(text.into()),
            Some(content) => {
                let list = content.list("content")?;
                each("content", list, |node| {
                    let mut part = node.object("")?;
                    match part.peek("type") {
                        "refusal" => said.text(part.need_words("refusal")?),
                        "text" | "output_text" => said.text(part.need_words("text")?),
                        // Mistral's models put thoughts between their texts.
                        "thinking" => {
                            let texts = part.objects("thinking").map(|text| text.peek_words("text"));
                            said.thought(Text::row(texts.collect(), ""), None);
                        }
                        _ => said.foreign(block(OWN, part)?),
                    }
                    Ok(())
                })?;
            }
        }
        if let Some(refusal) = message.words("refusal")? {
            said.text(refusal);
        }
        if let Some(spoken) = message.object("audio")? {
            said.foreign(foreign(OWN, SPOKEN, spoken).map_err(|bad| bad.within("audio"))?);
        }
        let calls = each("tool_calls", message.list("tool_calls")?, |node| self.call(node.object("")?))?;
        for (id, name, arguments, signed) in calls {
            let proof = proofs.iter().position(|(of, _)| *of == id).map(|at| proofs.swap_remove(at).1).or(signed);
            said.thought(Text::default(), proof.map(|proof| (seal::Proves::Call, proof)));
            said.call(id, name, arguments);
        }
        // Google's signature of the last text.
        let signed = signature(&message).map(|proof| (seal::Proves::Thought, proof));
        if said.parts.iter().all(|part| part.as_tool_call().is_none()) {
            said.thought(Text::default(), signed);
        }
        if let Some(mut call) = message.object("function_call")? {
            let id = self.next_id();
            let (name, arguments) = called(&mut call).map_err(|bad| bad.within("function_call"))?;
            self.legacy.push((id.clone(), name.clone()));
            said.call(id, name, arguments);
        }
        Ok(said.parts)
    }

    fn call(&mut self, mut call: Object<'_>) -> Read<(String, String, Text, Option<Proof>)> {
        let signed = signature(&call);
        let made = self.next_id();
        let said = call.text("id")?.filter(|id| !id.is_empty());
        let is_nameless = said.is_none();
        let id = said.unwrap_or(made);
        if let Some(mut custom) = call.object("custom")? {
            let name = custom.need_text("name").map_err(|bad| bad.within("custom"))?;
            let input = custom.words("input")?.unwrap_or_default();
            self.legacy.extend(is_nameless.then(|| (id.clone(), name.clone())));
            return Ok((id, name, free_arguments(&input), signed));
        }
        let mut function = call.need("function", "an object")?.object("function")?;
        let (name, arguments) = called(&mut function).map_err(|bad| bad.within("function"))?;
        self.legacy.extend(is_nameless.then(|| (id.clone(), name.clone())));
        Ok((id, name, arguments, signed))
    }

    /// Returns an id for a call that has none: the same whenever the conversation comes again.
    fn next_id(&mut self) -> String {
        self.calls += 1;
        format!("call_{}", self.calls)
    }
}

/// Reads something to be heard.
pub(in crate::wire::serve) fn audio(audio: &mut Object<'_>) -> Read<UserPart> {
    let format = audio.text("format")?.unwrap_or_else(|| "wav".to_owned());
    let data = audio.need_words("data")?;
    // Some hosts take it as an address that holds all of it.
    let (media_type, data) = match data_url(&data) {
        Some((media_type, inner)) => (media_type.to_owned(), data.slice(inner)),
        None => (format!("audio/{format}"), data),
    };
    Ok(UserPart::Audio(Audio { media_type, data }))
}

/// Tells whether the common form can express a file, by its type: not one that is a name at its provider.
pub(in crate::wire::serve) fn file_has_words(data: &str) -> bool {
    match data_url(data) {
        Some((media_type, _)) => has_words(media_type),
        None => !data.is_empty() && !data.starts_with("data:"),
    }
}

/// Reads a file of what it holds: an address, which may hold all of it, or Base64 of a PDF.
pub(in crate::wire::serve) fn by_data(data: Text, title: Option<String>) -> UserPart {
    if let Some((media_type, inner)) = data_url(&data) {
        return file(media_type.to_owned(), data.slice(inner), title);
    }
    if data.starts_with("http://") || data.starts_with("https://") {
        return UserPart::Document(Document { title, ..Document::new(DocumentSource::Url(data)) });
    }
    file("application/pdf".to_owned(), data, title)
}

/// Returns Google's signature of a call, or of a message, where its own servers of this dialect write it.
fn signature(signed: &Object<'_>) -> Option<Proof> {
    let data = signed.within("extra_content")?.within("google")?.peek_words("thought_signature");
    (!data.is_empty()).then(|| seal::google(data))
}

fn called(function: &mut Object<'_>) -> Read<(String, Text)> {
    let arguments = function.arguments("arguments")?;
    Ok((function.need_text("name")?, arguments))
}

/// Reads what an assistant thought: as it was written here, with its proofs, or as others write it. Returns the proofs
/// of calls by their ids.
fn thoughts(message: &mut Object<'_>, said: &mut AssistantParts) -> Read<Vec<(String, Proof)>> {
    let mut calls = Vec::new();
    let mut told = false;
    let plain = [message.take("reasoning_content"), message.take("reasoning")];
    for detail in each("reasoning_details", message.list("reasoning_details")?, |node| node.object(""))? {
        let mut detail = detail;
        let id = detail.text("id")?;
        let visible = detail.take("text").or_else(|| detail.take("summary"));
        let text = visible.map(|text| text.words("text")).transpose()?.unwrap_or_default();
        let data = detail.take("signature").or_else(|| detail.take("data"));
        let proof = data.map(|data| data.words("data")).transpose()?;
        match (proof.map(|data| seal::proof(Dialect::OpenAiChat, data)), id) {
            (Some((seal::Proves::Call, proof)), Some(id)) => calls.push((id, proof)),
            (proof, _) => {
                told |= !text.is_empty();
                said.thought(text, proof);
            }
        }
    }
    if let (false, Some(Node::Text(text))) = (told, plain.into_iter().flatten().next()) {
        said.thought_first(text.into());
    }
    Ok(calls)
}

//! Reads requests.

use super::schema::json_schema;
use crate::wire::serve::node::{Node, Object, Read, each};
use crate::wire::serve::openai::{fits, named};
use crate::wire::serve::reading::{effort, file, foreign, has_words, model, no_arguments, note, parts};
use crate::wire::serve::seal;
use crate::wire::serve::{BadRequest, CallerDialect, Form, ParsedRequest};
use crate::words::names::Shown;
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Document, DocumentSource, Effort, Foreign, Image, Message, Note, Proof,
    Reasoning, ResponseFormat, Sampling, Text, Tool, ToolCall, ToolChoice, ToolResult, UserPart,
};

const OWN: Dialect = Dialect::Gemini;
/// Fields that name something only its provider has.
const KEPT: &str = "cachedContent";
/// Settings that ask for something else than one text.
const OTHER_ANSWERS: [&str; 4] = ["candidateCount", "responseModalities", "speechConfig", "imageConfig"];
/// What the id of a result begins with whose call is not in the conversation.
const NO_CALL: &str = "no_call_of_";
/// Where Google keeps files: only Google can read them.
const KEPT_FILES: [&str; 2] = ["gs://", "https://generativelanguage.googleapis.com/"];

/// Up to how many tokens of thinking are a little, and some; more are much. What the client half asks for.
const LOW_TOKENS_MAX: i64 = 1_024;
const MEDIUM_TOKENS_MAX: i64 = 8_192;

/// Reads a request.
pub(in crate::wire::serve) fn read(mut body: Object<'_>, path_model: Option<&str>) -> Read<(ParsedRequest, Vec<Note>)> {
    // A request to count tokens may hold the whole request.
    if let Some(mut inner) = body.object("generateContentRequest")? {
        inner.take("model");
        return read(inner, path_model).map_err(|bad| bad.within("generateContentRequest"));
    }
    let mut notes = Vec::new();
    let model = model(&mut body, path_model)?;
    let model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    let (mut tools, foreign_tools) = tools(&mut body)?;
    let tool_choice = tool_choice(&mut body, &mut tools, &mut notes)?;
    let tool_choice = fits("toolConfig", tool_choice, &tools, &foreign_tools)?;
    let mut messages = Vec::new();
    if let Some(system) = body.either("systemInstruction", "system_instruction") {
        let content = match system {
            Node::Object(mut content) => {
                content.need("parts", "an array of parts").map_err(|bad| bad.within("systemInstruction"))?
            }
            text => text,
        };
        // As one part, it may stand alone.
        let content = match content {
            Node::Object(part) => Node::List(vec![Node::Object(part)]),
            content => content,
        };
        let said = parts(content, |node| node.object("")?.need_words("text").map(UserPart::Text))
            .map_err(|bad| bad.within("systemInstruction"))?;
        let said = said.into_iter().filter_map(|part| if let UserPart::Text(text) = part { Some(text) } else { None });
        messages.extend(said.map(Message::System));
    }
    contents(&mut body, &mut messages, &mut notes)?;
    let route = model.clone();
    let mut asked = ChatRequest { route, messages, tools, foreign_tools, tool_choice, ..ChatRequest::default() };
    let mut form = Form { thoughts: false, ..Form::new(CallerDialect::Gemini, model) };
    if let Some(mut config) =
        body.either("generationConfig", "generation_config").map(|node| node.object("generationConfig")).transpose()?
    {
        generation(&mut config, &mut asked, &mut form, &mut notes).map_err(|bad| bad.within("generationConfig"))?;
        let other = OTHER_ANSWERS.iter().filter(|field| config.has(field));
        asked.extra_needed.extend(other.map(|field| format!("generationConfig.{field}")));
        if !config.is_empty() {
            body.put("generationConfig", Node::Object(config));
        }
    }
    asked.extra_needed.extend(body.has(KEPT).then(|| KEPT.to_owned()));
    asked.extra = body.rest();
    Ok((ParsedRequest { request: Box::new(asked), stream: false, form, values: 0 }, notes))
}

fn tools(body: &mut Object<'_>) -> Read<(Vec<Tool>, Vec<Foreign>)> {
    let mut others = Vec::new();
    let listed = each("tools", body.list("tools")?, |node| {
        let mut tool = node.object("")?;
        let declared = tool.either("functionDeclarations", "function_declarations");
        if !tool.is_empty() {
            let kind = tool.first().to_owned();
            others.push(foreign(OWN, &kind, tool)?);
        }
        let list = declared.map_or(Ok(Vec::new()), |list| list.list("functionDeclarations"))?;
        each("functionDeclarations", list, |node| function(node.object("")?))
    })?;
    Ok((listed.into_iter().flatten().collect(), others))
}

fn function(mut tool: Object<'_>) -> Read<Tool> {
    let parameters = match tool.either("parametersJsonSchema", "parameters_json_schema") {
        Some(schema) => Some(schema.any_json("parametersJsonSchema")?),
        None => tool.carried("parameters")?.map(json_schema),
    };
    Ok(Tool {
        name: tool.need_text("name")?,
        description: tool.words("description")?.unwrap_or_default(),
        parameters: parameters.unwrap_or_else(no_arguments),
        strict: None,
    })
}

fn tool_choice(body: &mut Object<'_>, tools: &mut Vec<Tool>, notes: &mut Vec<Note>) -> Read<ToolChoice> {
    let key = "toolConfig";
    let Some(config) = body.either(key, "tool_config") else { return Ok(ToolChoice::Auto) };
    let mut config = config.object(key)?;
    let calling = config.either("functionCallingConfig", "function_calling_config");
    if !config.is_empty() {
        body.put(key, Node::Object(config));
    }
    let Some(calling) = calling else { return Ok(ToolChoice::Auto) };
    let read = || {
        let mut calling = calling.object("")?;
        let allowed = calling.either("allowedFunctionNames", "allowed_function_names");
        let names = allowed.map_or(Ok(Vec::new()), |names| names.list("allowedFunctionNames"))?;
        let mut names = crate::wire::serve::node::texts("allowedFunctionNames", names)?;
        match calling.text("mode")?.unwrap_or_default().to_ascii_uppercase().as_str() {
            "" | "AUTO" | "VALIDATED" | "MODE_UNSPECIFIED" => Ok(ToolChoice::Auto),
            "NONE" => Ok(ToolChoice::None),
            "ANY" if names.len() == 1 => named("allowedFunctionNames", names.remove(0).into_string(), tools),
            "ANY" => {
                if !names.is_empty() {
                    tools.retain(|tool| names.iter().any(|name| *name == tool.name));
                    note(notes, Note::Converted("tool_choice"));
                }
                Ok(ToolChoice::Required)
            }
            other => {
                Err(BadRequest::new("mode", format!("is `{}`; must be AUTO, ANY, NONE or VALIDATED", Shown(other))))
            }
        }
    };
    read().map_err(|bad: BadRequest| bad.within("toolConfig.functionCallingConfig"))
}

/// Reads the settings of the answer; settings that the common form cannot express stay.
fn generation(config: &mut Object<'_>, request: &mut ChatRequest, form: &mut Form, notes: &mut Vec<Note>) -> Read<()> {
    let number = |config: &mut Object<'_>, key: &str, other: &str| {
        config.either(key, other).map(|node| node.number(key)).transpose()
    };
    let count = config.either("candidateCount", "candidate_count").map(|count| count.count("candidateCount"));
    match count.transpose()? {
        None | Some(1) => {}
        Some(0) => return Err(BadRequest::new("candidateCount", "must be 1 or more")),
        // Several answers are for the provider of the dialect to give, and for its caller to read.
        Some(count) => config.put("candidateCount", Node::Number(count.into())),
    }
    if config.text_only("responseModalities") {
        config.take("responseModalities");
    }
    let stop =
        config.either("stopSequences", "stop_sequences").map_or(Ok(Vec::new()), |stop| stop.list("stopSequences"))?;
    request.sampling = Sampling {
        temperature: config.number("temperature")?,
        top_p: number(config, "topP", "top_p")?,
        presence_penalty: number(config, "presencePenalty", "presence_penalty")?,
        frequency_penalty: number(config, "frequencyPenalty", "frequency_penalty")?,
        seed: config.seed()?,
        stop: crate::wire::serve::node::texts("stopSequences", stop)?,
    };
    request.output_tokens_max = match config.limit("maxOutputTokens")? {
        None => config.limit("max_output_tokens")?,
        limit => limit,
    };
    request.response_format = format(config)?;
    if let Some(thinking) = config.either("thinkingConfig", "thinking_config") {
        let mut thinking = thinking.object("thinkingConfig")?;
        let shown = thinking.either("includeThoughts", "include_thoughts");
        form.thoughts = matches!(shown, Some(Node::Bool(true)));
        request.effort = self::thinking(&mut thinking, notes).map_err(|bad| bad.within("thinkingConfig"))?;
        if let Some(shown) = shown {
            thinking.put("includeThoughts", shown);
        }
        if !thinking.is_empty() {
            config.put("thinkingConfig", Node::Object(thinking));
        }
    }
    Ok(())
}

fn thinking(thinking: &mut Object<'_>, notes: &mut Vec<Note>) -> Read<Option<Effort>> {
    if let Some(level) = thinking.either("thinkingLevel", "thinking_level") {
        return Ok(effort(&level.text("thinkingLevel")?, notes));
    }
    let budget = thinking.either("thinkingBudget", "thinking_budget");
    Ok(match budget.map(|budget| budget.integer("thinkingBudget")).transpose()? {
        // As much as the model likes.
        None | Some(..0) => None,
        Some(0) => Some(Effort::None),
        Some(..=LOW_TOKENS_MAX) => Some(Effort::Low),
        Some(..=MEDIUM_TOKENS_MAX) => Some(Effort::Medium),
        Some(_) => Some(Effort::High),
    })
}

/// Reads the form of the answer's text. The dialect holds to a schema without asking that it name every field, which is
/// what strictness is elsewhere.
fn format(config: &mut Object<'_>) -> Read<ResponseFormat> {
    let kind = match (config.peek("responseMimeType"), config.peek("response_mime_type")) {
        ("", other) | (other, _) => other.to_owned(),
    };
    if kind != "application/json" {
        if kind == "text/plain" {
            config.either("responseMimeType", "response_mime_type");
        }
        return Ok(ResponseFormat::Text);
    }
    config.either("responseMimeType", "response_mime_type");
    let theirs = config.either("responseSchema", "response_schema");
    let theirs = theirs.map(|schema| schema.any_json("responseSchema")).transpose()?.map(json_schema);
    let plain = config.either("responseJsonSchema", "response_json_schema");
    let plain = plain.map(|schema| schema.any_json("responseJsonSchema")).transpose()?;
    Ok(match plain.or(theirs) {
        Some(schema) => ResponseFormat::JsonSchema { name: "answer".to_owned(), schema, strict: false },
        None => ResponseFormat::Json,
    })
}

fn contents(body: &mut Object<'_>, messages: &mut Vec<Message>, notes: &mut Vec<Note>) -> Read<()> {
    let list = match body.need("contents", "an array of contents")? {
        Node::Object(one) => vec![Node::Object(one)],
        contents => contents.list("contents")?,
    };
    if list.is_empty() {
        return Err(BadRequest::new("contents", "is empty; a conversation has at least one message"));
    }
    let mut reader = Reader { notes, messages, open: Vec::new(), calls: 0 };
    reader.messages.reserve(list.len());
    each("contents", list, |node| reader.content(node.object("")?))?;
    Ok(())
}

struct Reader<'r> {
    notes: &'r mut Vec<Note>,
    messages: &'r mut Vec<Message>,
    /// Calls that are not answered: id and name.
    open: Vec<(String, String)>,
    /// How many calls there were.
    calls: usize,
}

impl Reader<'_> {
    fn content(&mut self, mut content: Object<'_>) -> Read<()> {
        let role = content.peek("role").to_owned();
        if !matches!(role.as_str(), "model" | "assistant" | "user" | "function" | "tool" | "system" | "") {
            self.messages.push(Message::Foreign(foreign(OWN, &role, content)?));
            return Ok(());
        }
        content.text("role")?;
        let parts = match content.take("parts") {
            None => Vec::new(),
            Some(Node::Object(part)) => vec![Node::Object(part)],
            Some(parts) => parts.list("parts")?,
        };
        match role.as_str() {
            "model" | "assistant" => {
                let mut said = Vec::with_capacity(parts.len());
                each("parts", parts, |node| self.model_part(node.object("")?, &mut said))?;
                self.messages.push(Message::Assistant(said));
            }
            "user" | "function" | "tool" | "" => {
                let mut said = Vec::with_capacity(parts.len());
                each("parts", parts, |node| self.user_part(node.object("")?, &mut said))?;
                if !said.is_empty() {
                    self.messages.push(Message::User(said));
                }
            }
            _ => {
                let parts = each("parts", parts, |node| node.object("")?.need_words("text"))?;
                self.messages.push(Message::System(Text::row(parts, "\n")));
            }
        }
        Ok(())
    }

    fn user_part(&mut self, mut part: Object<'_>, said: &mut Vec<UserPart>) -> Read<()> {
        if let Some(answer) = part.either("functionResponse", "function_response") {
            let result =
                self.result(answer.object("functionResponse")?).map_err(|bad| bad.within("functionResponse"))?;
            if !said.is_empty() {
                self.messages.push(Message::User(std::mem::take(said)));
            }
            self.messages.push(Message::Tool(result));
        } else {
            said.push(self.part(part)?);
        }
        Ok(())
    }

    /// Reads a part that a user shows, or a tool.
    fn part(&mut self, mut part: Object<'_>) -> Read<UserPart> {
        if part.has("text") {
            return part.need_words("text").map(UserPart::Text);
        }
        if part.first().is_empty() {
            return Err(BadRequest::new("", "must hold text, inlineData, fileData or functionResponse"));
        }
        let data = || part.within("inlineData").or(part.within("inline_data")).map(has_known_type);
        let kept = || part.within("fileData").or(part.within("file_data")).map(is_elsewhere);
        // How a video is cut, and the like.
        let plain = !part.has("videoMetadata") && !part.has("video_metadata");
        if !plain || !data().or_else(kept).unwrap_or(false) {
            let kind = part.first().to_owned();
            return foreign(OWN, &kind, part).map(UserPart::Foreign);
        }
        if part.either("mediaResolution", "media_resolution").is_some() {
            note(self.notes, Note::Dropped("messages.image.detail"));
        }
        if let Some(data) = part.either("inlineData", "inline_data") {
            let mut data = data.object("inlineData")?;
            let read = |data: &mut Object<'_>| {
                let media_type =
                    data.either("mimeType", "mime_type").map_or(Ok(String::new()), |it| it.text("mimeType"));
                let title = data.either("displayName", "display_name").map(|name| name.text("displayName"));
                Ok(file(media_type?, data.need_words("data")?, title.transpose()?))
            };
            return read(&mut data).map_err(|bad: BadRequest| bad.within("inlineData"));
        }
        let mut file = part.either("fileData", "file_data").unwrap_or_default().object("fileData")?;
        let media_type = file.either("mimeType", "mime_type").map(|kind| kind.text("mimeType")).transpose()?;
        let title = file.either("displayName", "display_name").map(|name| name.text("displayName")).transpose()?;
        let uri =
            file.either("fileUri", "file_uri").ok_or_else(|| BadRequest::new("fileData.fileUri", "is missing"))?;
        let uri = uri.words("fileUri")?;
        Ok(match media_type {
            Some(kind) if kind.starts_with("image/") => UserPart::Image(Image::Url(uri)),
            _ => UserPart::Document(Document { title, ..Document::new(DocumentSource::Url(uri)) }),
        })
    }

    /// Reads the result of a call: of the one it names, else of the first of its name that is open.
    fn result(&mut self, mut answer: Object<'_>) -> Read<ToolResult> {
        let name = answer.need_text("name")?;
        let id = answer.text("id")?.filter(|id| !id.is_empty());
        let open = self.open.iter().position(|(open, called)| match &id {
            Some(id) => open == id,
            None => *called == name,
        });
        let known = open.map(|at| self.open.remove(at).0);
        // A client that shortens its conversation may leave a result without its call: that is told as a text.
        let call_id = id.or(known).unwrap_or_else(|| format!("{NO_CALL}{name}"));
        let beside = each("parts", answer.list("parts")?, |node| self.part(node.object("")?))?;
        let mut response = answer.object("response")?.unwrap_or_default();
        let (content, is_error) = match (response.only_text("output"), response.only_text("error")) {
            (Some(output), _) => (output, false),
            (None, Some(error)) => (error, true),
            // All of it may be beside the result.
            (None, None) if response.is_empty() && !beside.is_empty() => (Text::default(), false),
            (None, None) => (response.json().map_err(|bad| bad.within("response"))?, false),
        };
        let text =
            Some(UserPart::Text(content)).filter(|text| !text.text().is_some_and(Text::is_empty) || beside.is_empty());
        Ok(ToolResult { call_id, name, content: text.into_iter().chain(beside).collect(), is_error })
    }

    fn model_part(&mut self, mut part: Object<'_>, said: &mut Vec<AssistantPart>) -> Read<()> {
        let has_words = ["text", "functionCall", "function_call"].iter().any(|field| part.has(field));
        if !has_words && part.has_other_than(&["thought", "thoughtSignature", "thought_signature"]) {
            // Code that ran at the provider, images it made.
            let kind = part.first().to_owned();
            said.push(AssistantPart::Foreign(foreign(OWN, &kind, part)?));
            return Ok(());
        }
        let signature = part.either("thoughtSignature", "thought_signature");
        let signature = signature.map(|signature| signature.words("thoughtSignature")).transpose()?;
        let proof = signature.filter(|data| !data.is_empty()).map(seal::google);
        if let Some(call) = part.either("functionCall", "function_call") {
            let call = self.call(call.object("functionCall")?, proof).map_err(|bad| bad.within("functionCall"))?;
            said.push(AssistantPart::ToolCall(call));
            return Ok(());
        }
        let text = part.words("text")?.unwrap_or_default();
        if !text.is_empty() {
            // Clients send back the chunks of a stream as they came.
            match (part.flag("thought")?.unwrap_or(false), said.last_mut()) {
                (false, Some(AssistantPart::Text(last)))
                | (true, Some(AssistantPart::Reasoning(Reasoning { text: last, proof: None }))) => last.push(text),
                (false, _) => said.push(AssistantPart::Text(text)),
                (true, _) => said.push(AssistantPart::Reasoning(Reasoning { text, proof: None })),
            }
        }
        match (proof, said.last_mut()) {
            (None, _) => {}
            (proof, Some(AssistantPart::Reasoning(last))) if last.proof.is_none() => last.proof = proof,
            (proof, _) => said.push(AssistantPart::Reasoning(Reasoning { text: Text::default(), proof })),
        }
        Ok(())
    }

    fn call(&mut self, mut call: Object<'_>, proof: Option<Proof>) -> Read<ToolCall> {
        self.calls += 1;
        let name = call.need_text("name")?;
        let id = call.text("id")?.filter(|id| !id.is_empty());
        // Without ids, the same whenever the conversation comes again.
        let id = id.unwrap_or_else(|| format!("call_{}", self.calls));
        let arguments = call.arguments("args")?;
        self.open.push((id.clone(), name.clone()));
        Ok(ToolCall { id, name, arguments, proof })
    }
}

/// Tells whether the common form can express this part, by its type.
fn has_known_type(data: &Object<'_>) -> bool {
    let media_type = [data.peek("mimeType"), data.peek("mime_type")].concat();
    has_words(&media_type)
}

/// Tells whether there are words for a file that is elsewhere: an image or a document at an address that every provider
/// can read. Without a type it may be anything, as a video at an address that only Google knows.
fn is_elsewhere(file: &Object<'_>) -> bool {
    let uri = [file.peek("fileUri"), file.peek("file_uri")].concat();
    let media_type = [file.peek("mimeType"), file.peek("mime_type")].concat();
    let is_page = media_type == "application/pdf" || media_type.starts_with("image/");
    is_page && !KEPT_FILES.iter().any(|begin| uri.starts_with(begin))
}

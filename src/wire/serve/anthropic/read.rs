//! Reads requests.

use super::{INVOICE, REDACTED, SYSTEM};
use crate::wire::original::{INVOICE as INVOICE_BEGIN, without_invoice};
use crate::wire::serve::node::{Node, Object, Read, each};
use crate::wire::serve::openai::fits;
use crate::wire::serve::reading::{AssistantParts, block, effort, foreign, image, joined, model, no_arguments, note};
use crate::wire::serve::seal::{self, Proves};
use crate::wire::serve::{BadRequest, CallerDialect, Form, ParsedRequest};
use crate::words::names::Shown;
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Document, DocumentSource, Effort, Foreign, Image, Message, Note, Proof,
    ResponseFormat, Sampling, Text, Tool, ToolChoice, ToolResult, UserPart,
};

const OWN: Dialect = Dialect::AnthropicMessages;
/// Fields without which a request would mean something else: state of its provider, and servers that it calls.
const NEEDED: [&str; 2] = ["container", "mcp_servers"];
/// Up to how many tokens of thinking are a little, and some; more are much. Between what the client half asks for.
const LOW_TOKENS_MAX: u32 = 4_096;
const MEDIUM_TOKENS_MAX: u32 = 16_384;

/// Reads a request.
pub(in crate::wire::serve) fn read(mut body: Object<'_>, path_model: Option<&str>) -> Read<(ParsedRequest, Vec<Note>)> {
    let mut reader = Reader::default();
    let model = model(&mut body, path_model)?;
    let (tools, foreign_tools) = Reader::tools(&mut body)?;
    let mut messages = Reader::system(&mut body)?;
    Reader::messages(&mut body, &mut messages)?;
    let (tool_choice, parallel_tool_calls) = tool_choice(&mut body, &tools)?;
    let tool_choice = fits("tool_choice", tool_choice, &tools, &foreign_tools)?;
    let thinking = reader.thinking(&mut body)?;
    let (response_format, effort) = reader.output(&mut body)?;
    let effort = effort.or(thinking);
    let sampling = Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        stop: body.texts("stop_sequences")?,
        ..Sampling::default()
    };
    let stream = body.flag("stream")?.unwrap_or(false);
    let output_tokens_max = body.limit("max_tokens")?;
    // Vertex has the dialect's version in the body, and takes it nowhere else.
    body.take("anthropic_version");
    let session = session(&mut body)?;
    let extra = body.rest();
    let extra_needed = NEEDED.into_iter().filter(|field| extra.contains_key(*field)).map(str::to_owned).collect();
    let notes = reader.notes;
    let request = ChatRequest {
        route: model.clone(),
        messages,
        tools,
        foreign_tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        effort,
        output_tokens_max,
        session,
        extra,
        extra_needed,
        ..ChatRequest::default()
    };
    let thoughts = effort.is_some_and(|effort| effort != Effort::None);
    let form = Form { thoughts, ..Form::new(CallerDialect::Anthropic, model) };
    Ok((ParsedRequest { request: Box::new(request), stream, form, values: 0 }, notes))
}

/// Returns what a user's calls have in common, and leaves it where it is.
fn session(body: &mut Object<'_>) -> Read<Option<String>> {
    let Some(metadata) = body.object("metadata")? else { return Ok(None) };
    let user = metadata.peek_words("user_id").into_string();
    body.put("metadata", Node::Object(metadata));
    Ok(Some(user).filter(|user| !user.is_empty()))
}

fn tool_choice(body: &mut Object<'_>, tools: &[Tool]) -> Read<(ToolChoice, Option<bool>)> {
    let Some(mut choice) = body.object("tool_choice")? else { return Ok((ToolChoice::Auto, None)) };
    let kind = choice.peek("type").to_owned();
    let named = choice.peek("name");
    let has_words = match kind.as_str() {
        "auto" | "none" | "any" | "" => true,
        "tool" => named.is_empty() || tools.iter().any(|tool| tool.name == named),
        _ => false,
    };
    if !has_words {
        let one_by_one = choice.is("disable_parallel_tool_use");
        let choice = foreign(OWN, &kind, choice).map_err(|bad| bad.within("tool_choice"))?;
        return Ok((ToolChoice::Foreign(choice), one_by_one.map(|one_by_one| !one_by_one)));
    }
    let mut read = || {
        let one_by_one = choice.flag("disable_parallel_tool_use")?;
        let chosen = match choice.need_text("type")?.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "any" => ToolChoice::Required,
            _ => ToolChoice::Named(choice.need_text("name")?),
        };
        Ok((chosen, one_by_one.map(|one_by_one| !one_by_one)))
    };
    read().map_err(|bad: BadRequest| bad.within("tool_choice"))
}

#[derive(Default)]
struct Reader {
    notes: Vec<Note>,
}

impl Reader {
    /// Returns how hard to think, by what is said of thinking itself. A way of thinking that is not known stays in the
    /// request as it came.
    fn thinking(&mut self, body: &mut Object<'_>) -> Read<Option<Effort>> {
        let Some(mut thinking) = body.object("thinking")? else { return Ok(None) };
        let mut read = |thinking: &mut Object<'_>| match thinking.need_text("type")?.as_str() {
            "disabled" => Ok(Some(Effort::None)),
            // The default.
            "adaptive" => Ok(Some(Effort::High)),
            "enabled" => Ok(Some(match thinking.count("budget_tokens")? {
                Some(..=LOW_TOKENS_MAX) => Effort::Low,
                Some(..=MEDIUM_TOKENS_MAX) => Effort::Medium,
                _ => Effort::High,
            })),
            _ => {
                note(&mut self.notes, Note::Dropped("effort"));
                Ok(None)
            }
        };
        read(&mut thinking).map_err(|bad: BadRequest| bad.within("thinking"))
    }

    /// Reads the tools; those of the provider are known by their type.
    fn tools(body: &mut Object<'_>) -> Read<(Vec<Tool>, Vec<Foreign>)> {
        let (mut tools, mut others) = (Vec::new(), Vec::new());
        each("tools", body.list("tools")?, |node| {
            let mut tool = node.object("")?;
            let kind = tool.peek("type").to_owned();
            if !matches!(kind.as_str(), "" | "custom") {
                others.push(foreign(OWN, &kind, tool)?);
                return Ok(());
            }
            tools.push(Tool {
                name: tool.need_text("name")?,
                description: tool.words("description")?.unwrap_or_default(),
                parameters: tool.carried("input_schema")?.unwrap_or_else(no_arguments),
                strict: tool.flag("strict")?,
            });
            Ok(())
        })?;
        Ok((tools, others))
    }

    fn system(body: &mut Object<'_>) -> Read<Vec<Message>> {
        let content = match body.take("system") {
            None => return Ok(Vec::new()),
            Some(Node::Text(text)) => return Ok(vec![Message::System(text.into())]),
            Some(content) => content.list("system")?,
        };
        each("system", content, |node| {
            let mut block = node.object("")?;
            if block.begins("text", INVOICE_BEGIN) {
                let Some(length) = without_invoice(block.peek("text")).map(str::len) else {
                    return Ok(Message::Foreign(Foreign { optional: true, ..foreign(OWN, INVOICE, block)? }));
                };
                let said = block.need_words("text")?;
                return Ok(Message::System(said.slice(&said[said.len() - length..])));
            }
            let mut parts = Vec::with_capacity(1);
            Self::part(block, &mut parts)?;
            match parts.pop().filter(|_| parts.is_empty()) {
                Some(UserPart::Text(text)) => Ok(Message::System(text)),
                Some(UserPart::Foreign(block)) => Ok(Message::Foreign(Foreign { kind: SYSTEM.to_owned(), ..block })),
                _ => Err(BadRequest::new("type", "must be text")),
            }
        })
    }

    fn messages(body: &mut Object<'_>, all: &mut Vec<Message>) -> Read<()> {
        let list = body.need("messages", "an array of messages")?.list("messages")?;
        if list.is_empty() {
            return Err(BadRequest::new("messages", "is empty; a conversation has at least one message"));
        }
        all.reserve(list.len());
        each("messages", list, |node| {
            let mut message = node.object("")?;
            let role = message.peek("role").to_owned();
            if !matches!(role.as_str(), "user" | "assistant" | "system" | "") {
                all.push(Message::Foreign(foreign(OWN, &role, message)?));
                return Ok(());
            }
            message.need_text("role")?;
            let content = message.need("content", "a string or an array of blocks")?;
            match role.as_str() {
                "user" => Self::user(content, all),
                "assistant" => {
                    all.push(Message::Assistant(Self::assistant(content)?));
                    Ok(())
                }
                _ => {
                    let text =
                        joined(Self::parts(content)?).ok_or_else(|| BadRequest::new("content", "must be text only"))?;
                    all.push(Message::System(text));
                    Ok(())
                }
            }
        })?;
        Ok(())
    }

    /// Reads what a user says, and the results of tools between.
    fn user(content: Node<'_>, all: &mut Vec<Message>) -> Read<()> {
        let list = match content {
            Node::Text(text) => {
                all.push(Message::user(text));
                return Ok(());
            }
            content => content.list("content")?,
        };
        let mut said = Vec::with_capacity(list.len());
        each("content", list, |node| {
            let mut block = node.object("")?;
            if block.peek("type") != "tool_result" {
                return Self::part(block, &mut said);
            }
            let content = match block.take("content") {
                None => Vec::new(),
                Some(content) => Self::parts(content)?,
            };
            let call_id = block.need_text("tool_use_id")?;
            let is_error = block.flag("is_error")?.unwrap_or(false);
            if !said.is_empty() {
                all.push(Message::User(std::mem::take(&mut said)));
            }
            all.push(Message::Tool(ToolResult { call_id, name: String::new(), content, is_error }));
            Ok(())
        })?;
        if !said.is_empty() {
            all.push(Message::User(said));
        }
        Ok(())
    }

    fn parts(content: Node<'_>) -> Read<Vec<UserPart>> {
        let list = match content {
            Node::Text(text) => return Ok(vec![UserPart::Text(text.into())]),
            Node::List(list) => list,
            other => return Err(other.not("content", "must be a string or an array of blocks")),
        };
        let mut parts = Vec::with_capacity(list.len());
        each("content", list, |node| Self::part(node.object("")?, &mut parts))?;
        Ok(parts)
    }

    /// Reads a block; one that is made of others becomes these.
    fn part(mut block: Object<'_>, parts: &mut Vec<UserPart>) -> Read<()> {
        let source = block.within("source").map_or("", |source| source.peek("type"));
        parts.push(match (block.peek("type"), source) {
            ("text", _) => UserPart::Text(block.need_words("text")?),
            ("image", "" | "url" | "base64") => {
                let mut source = block.need("source", "an object")?.object("source")?;
                picture(&mut source).map_err(|bad| bad.within("source"))?
            }
            ("document", "" | "text" | "url" | "base64") => UserPart::Document(document(&mut block)?),
            ("document", "content") => return made(&mut block, parts),
            _ => UserPart::Foreign(self::block(OWN, block)?),
        });
        Ok(())
    }

    fn assistant(content: Node<'_>) -> Read<Vec<AssistantPart>> {
        let mut said = AssistantParts::default();
        let list = match content {
            Node::Text(text) => {
                said.text(text.into());
                return Ok(said.parts);
            }
            content => content.list("content")?,
        };
        each("content", list, |node| {
            let mut block = node.object("")?;
            match block.peek("type") {
                "text" => said.text(block.need_words("text")?),
                "thinking" => {
                    let text = block.words("thinking")?.unwrap_or_default();
                    let signature = block.words("signature")?.filter(|signature| !signature.is_empty());
                    said.thought(text, signature.map(|data| seal::proof(Dialect::AnthropicMessages, data)));
                }
                "redacted_thinking" => said.thought(Text::default(), Some(redacted(block.need_words("data")?))),
                "tool_use" => {
                    let input = block.arguments("input")?;
                    said.call(block.need_text("id")?, block.need_text("name")?, input);
                }
                // Blocks of the provider's own tools, among others.
                _ => said.foreign(self::block(OWN, block)?),
            }
            Ok(())
        })?;
        Ok(said.parts)
    }

    /// Reads the settings of the answer: its form, and how hard to think.
    fn output(&mut self, body: &mut Object<'_>) -> Read<(ResponseFormat, Option<Effort>)> {
        let mut config = body.object("output_config")?.unwrap_or_default();
        let effort = match config.text("effort")? {
            Some(word) => effort(&word, &mut self.notes),
            None => None,
        };
        let format = match (config.object("format")?, body.object("output_format")?) {
            (Some(mut format), _) => schema(&mut format).map_err(|bad| bad.within("output_config.format"))?,
            (None, Some(mut format)) => schema(&mut format).map_err(|bad| bad.within("output_format"))?,
            (None, None) => ResponseFormat::Text,
        };
        if !config.is_empty() {
            note(&mut self.notes, Note::Dropped("output_config"));
        }
        Ok((format, effort))
    }
}

/// Reads the form of an answer. The dialect holds to a schema without asking that it name every field, which is what
/// strictness is elsewhere.
fn schema(format: &mut Object<'_>) -> Read<ResponseFormat> {
    match format.need_text("type")?.as_str() {
        "json_schema" => crate::wire::serve::openai::json_schema(format),
        other => Err(BadRequest::new("type", format!("is `{}`; must be json_schema", Shown(other)))),
    }
}

fn picture(source: &mut Object<'_>) -> Read<UserPart> {
    match source.need_text("type")?.as_str() {
        "url" => source.need_words("url").map(image),
        "base64" => Ok(UserPart::Image(Image::Base64 {
            media_type: source.need_text("media_type")?,
            data: source.need_words("data")?,
        })),
        other => Err(BadRequest::new("type", format!("is `{}`; must be base64 or url", Shown(other)))),
    }
}

/// Reads a document that is made of blocks: each of its texts is one by itself, under the same title, with its images
/// between them.
fn made(block: &mut Object<'_>, parts: &mut Vec<UserPart>) -> Read<()> {
    let mut source = block.need("source", "an object")?.object("source")?;
    let blocks = source.need("content", "a string or an array of blocks").and_then(Reader::parts);
    let blocks = blocks.map_err(|bad| bad.within("source"))?;
    let about = about(block)?;
    for shown in blocks {
        parts.push(match shown {
            UserPart::Text(text) => {
                UserPart::Document(Document { source: DocumentSource::Text(text), ..about.clone() })
            }
            UserPart::Image(image) => UserPart::Image(image),
            _ => return Err(BadRequest::new("source.content", "has a block that is neither a text nor an image")),
        });
    }
    Ok(())
}

/// Reads what is said about a document.
fn about(block: &mut Object<'_>) -> Read<Document> {
    let citations = block.object("citations")?.is_some_and(|citations| citations.is("enabled") == Some(true));
    let (title, context) = (block.text("title")?, block.text("context")?);
    Ok(Document { title, context, citations, ..Document::text("") })
}

fn document(block: &mut Object<'_>) -> Read<Document> {
    let mut source = block.need("source", "an object")?.object("source")?;
    let read = |source: &mut Object<'_>| {
        Ok(match source.need_text("type")?.as_str() {
            "text" => DocumentSource::Text(source.need_words("data")?),
            "url" => DocumentSource::Url(source.need_words("url")?),
            _ => {
                DocumentSource::Base64 { media_type: source.need_text("media_type")?, data: source.need_words("data")? }
            }
        })
    };
    let source = read(&mut source).map_err(|bad: BadRequest| bad.within("source"))?;
    Ok(Document { source, ..about(block)? })
}

/// Reads encrypted reasoning: a proof of another dialect under its seal, or the provider's own.
fn redacted(data: Text) -> (Proves, Proof) {
    seal::open_text(&data).unwrap_or_else(|| {
        let data = Text::row(vec![REDACTED.into(), data], "");
        (Proves::Thought, Proof::new(Dialect::AnthropicMessages, data))
    })
}

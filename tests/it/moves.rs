//! A conversation moves through four providers of different dialects, and loses nothing that can be carried.
//!
//! `docs/providers.md` lists what can, each item with the name of the function here that checks all requests for it.
//! The requests are read from the providers' own logs by a reader that knows no codec.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use standin::config::DialectConfig;
use standin::testing::{Answer, Answers, Fault, Outcome, ProviderError, RetryHint, Script, Scripted};
use standin::{
    AssistantPart, Audio, ChatRequest, Config, Dialect, Document, DocumentSource, Effort, Error, FailureClass, Image,
    Message, Note, ProviderConfig, ResponseFormat, RouteConfig, Runtime, Strategy, Tool, UserPart,
};

use super::kit::{path, read, start};

const PROVIDERS: [(&str, &str); 4] = [
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini-3-flash-preview"),
    ("deepseek", "deepseek-v4-pro"),
];
const SYSTEM: &str = "You compare towns.\nBe \"brief\".";
const STOP: &str = "###";
/// A picture of one point.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// A document of no page.
const PDF: &str = "JVBERi0xLjQKJcOkw7zDtsOfCg==";
/// A document's text.
const GUIDE: &str = "Bern has bears.";

/// One turn: the question and the answer. Where the answer before called tools, their results are sent.
struct Turn {
    /// The target that answers.
    provider: &'static str,
    user: Option<&'static str>,
    /// Whether the user shows a picture.
    shows: bool,
    /// Whether the user gives two documents.
    gives: bool,
    /// Whether the answer must fit the schema.
    schema: bool,
    /// The model's visible reasoning.
    thought: &'static str,
    text: &'static str,
    /// Whether it calls two tools at once.
    calls: bool,
    notes: &'static [Note],
}

const CALLS: Turn = Turn {
    provider: "",
    user: None,
    shows: false,
    gives: false,
    schema: false,
    thought: "",
    text: "",
    calls: true,
    notes: &[],
};
const ANSWERS: Turn = Turn { calls: false, ..CALLS };

const STOP_HERE: Note = Note::Converted("sampling.stop");
const EXTRA: Note = Note::Dropped("extra");
const EFFORT: Note = Note::Dropped("effort");
const THOUGHTS: Note = Note::Dropped("messages.reasoning");
const PROOFS: Note = Note::Dropped("messages.tool_call.proof");
const FAILED: Note = Note::Dropped("messages.is_error");
const IDS: Note = Note::Converted("messages.tool_call.id");
const FORM: Note = Note::Converted("response_format");

/// The conversation. Another provider answers each time.
const TURNS: [Turn; 12] = [
    Turn { provider: "openai", user: Some("Bern or Thun?"), notes: &[STOP_HERE, EXTRA], ..CALLS },
    // Made to think after another's call it would be refused.
    Turn { provider: "anthropic", text: "I look further.", notes: &[EFFORT, EXTRA], ..CALLS },
    Turn { provider: "gemini", thought: "Both are on the Aare.", ..CALLS },
    Turn {
        provider: "deepseek",
        thought: "One is missing.",
        text: "And once more.",
        notes: &[THOUGHTS, PROOFS, EXTRA],
        ..CALLS
    },
    Turn {
        provider: "openai",
        text: "Thun, I think.",
        notes: &[STOP_HERE, EXTRA, THOUGHTS, PROOFS, FAILED, IDS],
        ..ANSWERS
    },
    Turn {
        provider: "anthropic",
        user: Some("Why Thun?"),
        thought: "The lake. I check it.",
        text: "Let me check.",
        notes: &[THOUGHTS, PROOFS, EXTRA, IDS],
        ..CALLS
    },
    Turn { provider: "gemini", thought: "The lake it is.", text: "It has a lake.", notes: &[THOUGHTS], ..ANSWERS },
    Turn {
        provider: "deepseek",
        user: Some("Say it in JSON."),
        schema: true,
        thought: "A town, then.",
        text: r#"{"town": "Thun"}"#,
        notes: &[THOUGHTS, PROOFS, FAILED, FORM, EXTRA],
        ..ANSWERS
    },
    Turn {
        provider: "openai",
        user: Some("Which town is this?"),
        shows: true,
        schema: true,
        text: r#"{"town": "Bern"}"#,
        notes: &[STOP_HERE, EXTRA, THOUGHTS, PROOFS, FAILED, IDS],
        ..ANSWERS
    },
    Turn {
        provider: "anthropic",
        user: Some("Look it up."),
        gives: true,
        thought: "It may be Bern.",
        notes: &[THOUGHTS, PROOFS, EXTRA, IDS],
        ..CALLS
    },
    Turn {
        provider: "gemini",
        schema: true,
        thought: "It is Bern.",
        text: r#"{"town": "Bern"}"#,
        notes: &[THOUGHTS],
        ..ANSWERS
    },
    Turn {
        provider: "openai",
        user: Some("Thank you."),
        text: "You are welcome.",
        notes: &[STOP_HERE, EXTRA, THOUGHTS, PROOFS, FAILED, IDS],
        ..ANSWERS
    },
];

impl Turn {
    fn answer(&self, number: usize) -> Answer {
        let mut answer = Answer::text(self.text).reasoning(self.thought);
        if self.calls {
            let town = json!({"town": "Bern", "turn": number}).to_string();
            let odd = r#"{"list": [1, 2.5, null], "quoted": "\"a\\b\"\n", "deep": {"ü": {}}}"#;
            answer = answer.tool_call("look_up", town).tool_call("measure", odd);
        }
        if self.provider == "deepseek" {
            for (at, call) in answer.tool_calls.iter_mut().enumerate() {
                // Too long for one, and of letters that another does not take.
                call.id = format!("chatcmpl-tool:{number:038}#{at}");
            }
        }
        answer
    }
}

fn model(provider: &str) -> &'static str {
    PROVIDERS.iter().find(|(name, _)| *name == provider).expect("a provider").1
}

fn tools() -> Vec<Tool> {
    let tool = |name: &str, parameters: Value| Tool {
        name: name.into(),
        description: format!("Can {name}.").into(),
        parameters: parameters.into(),
        strict: None,
    };
    let town = json!({"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]});
    vec![tool("look_up", town), tool("measure", json!({"type": "object", "properties": {}}))]
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"],
        "additionalProperties": false})
}

/// One attempt's request as it arrived, and the same request in the common form.
struct Arrival {
    provider: &'static str,
    asked: ChatRequest,
    body: Value,
    heard: Vec<Line>,
    /// The notes of the reply, if this attempt won.
    notes: Option<Vec<Note>>,
    /// The expected notes.
    expected: &'static [Note],
}

/// One part of a conversation, in any dialect.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    System(String),
    User(String),
    Image(String),
    Document(String),
    Thought(String),
    Said(String),
    Call { id: String, name: String, arguments: Value },
    Result { id: String, name: Option<String>, content: Value, is_error: Option<bool> },
}

/// Four providers, and the runtime over them.
struct World {
    runtime: Runtime,
    providers: BTreeMap<&'static str, Scripted>,
    /// The next answer.
    next: Arc<Mutex<Answer>>,
}

async fn world() -> World {
    let next = Arc::new(Mutex::new(Answer::default()));
    let mut config = Config { seed: Some(7), ..Config::default() };
    let mut providers = BTreeMap::new();
    for (seed, (name, model)) in (1..).zip(PROVIDERS) {
        let next = next.clone();
        let answers = Answers::by(move |question| {
            let mut answer = next.lock().expect("no panic").clone();
            // A model that is not asked to think, or does not show it, has no visible reasoning.
            if name == "openai" || name == "anthropic" && !question.body["thinking"].is_object() {
                answer.reasoning.clear();
            }
            answer
        });
        // Their names for what they said differ, as those of all models do.
        let models = vec![model.into(), "deepseek-v4-flash".into()];
        let scripted = Scripted::new(Script { models, keys: vec!["k".into()], seed, answers, ..Script::default() });
        config.providers.insert(name.into(), provider(name, &scripted).key("k").model(model));
        providers.insert(name, scripted);
    }
    let deepseek = config.providers.remove("deepseek").expect("it");
    config.providers.insert("deepseek".into(), deepseek.model("deepseek-v4-flash"));
    for (begin, (first, _)) in PROVIDERS.iter().enumerate() {
        let ring = (begin..begin + PROVIDERS.len()).map(|at| PROVIDERS[at % PROVIDERS.len()]);
        let targets: Vec<_> = ring.map(|(name, model)| format!("{name}/{model}")).collect();
        let mut route = RouteConfig::new(targets.iter().map(String::as_str));
        route.options.strategy = Strategy::Priority;
        config.routes.insert(format!("from-{first}"), route);
    }
    World { runtime: start(config).await, providers, next }
}

fn provider(name: &str, scripted: &Scripted) -> ProviderConfig {
    let (dialect, version) = match name {
        "anthropic" => (DialectConfig::Anthropic, "v1"),
        "gemini" => (DialectConfig::Gemini, "v1beta"),
        _ => (DialectConfig::OpenaiChat, "v1"),
    };
    let mut provider = ProviderConfig::new(format!("http://{name}.test/{version}"));
    provider.dialect = Some(dialect);
    provider.flavour = ["openai", "deepseek"].contains(&name).then(|| name.to_owned());
    provider.custom = Some(Arc::new(scripted.clone()));
    provider
}

/// The conversation as it goes on.
struct Talk {
    messages: Vec<Message>,
}

impl Talk {
    /// Appends the user's or the tools' part of this turn.
    fn ask(&mut self, turn: &Turn) {
        let calls = match self.messages.last() {
            Some(Message::Assistant(parts)) => parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect(),
            _ => Vec::new(),
        };
        assert_eq!(calls.is_empty(), turn.user.is_some(), "a turn is the user's or the tools'");
        for (at, call) in calls.iter().enumerate() {
            // A tool returns an object, or a text.
            let content = if at == 0 { json!({"found": call.id}).to_string() } else { format!("{} is wide", call.id) };
            let mut result = Message::tool_result(call, content);
            if let (Message::Tool(result), true, 1) = (&mut result, turn.provider == "openai", at) {
                result.is_error = true;
            }
            self.messages.push(result);
        }
        let Some(user) = turn.user else { return };
        let mut parts = vec![UserPart::Text(user.into())];
        if turn.shows {
            parts.push(UserPart::Image(Image::Base64 { media_type: "image/png".into(), data: PNG.into() }));
        }
        if turn.gives {
            let pdf = DocumentSource::Base64 { media_type: "application/pdf".into(), data: PDF.into() };
            for source in [pdf, DocumentSource::Text(GUIDE.into())] {
                parts.push(UserPart::Document(Document::new(source)));
            }
        }
        self.messages.push(Message::User(parts));
    }

    fn request(&self, route: String, turn: &Turn) -> ChatRequest {
        let mut request = ChatRequest { messages: self.messages.clone(), tools: tools(), ..ChatRequest::new(route) };
        request.effort = Some(Effort::Medium);
        request.sampling.stop = vec![STOP.into()];
        let show = json!({"thinkingConfig": {"includeThoughts": true}});
        request.extra.insert("generationConfig".into(), show.into());
        request.extra_dialect = Some(Dialect::Gemini);
        if turn.schema {
            request.response_format =
                ResponseFormat::JsonSchema { name: "town".into(), schema: schema().into(), strict: true };
        }
        request
    }
}

/// Plays the conversation, and returns everything that came to any provider. `breaks` is whether each provider fails
/// when it has answered, so that the route must move on; else each turn asks for its provider.
async fn play(world: &World, breaks: bool) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let mut talk = Talk { messages: vec![Message::System(SYSTEM.into())] };
    let mut before = "deepseek";
    for (number, turn) in (1..).zip(&TURNS) {
        *world.next.lock().expect("no panic") = turn.answer(number);
        let won = format!("{}/{} won", turn.provider, model(turn.provider));
        talk.ask(turn);
        let shown = talk.messages.iter().any(|message| matches!(message, Message::User(parts) if parts.len() > 1));
        let (route, expected) = if breaks {
            let (fault, class) = match number % 3 {
                0 => (Fault::Error(ProviderError::Unavailable), FailureClass::Overloaded),
                1 => (Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(20))), FailureClass::RateLimited),
                _ => (Fault::CutAfter(1), FailureClass::Cut),
            };
            world.providers[before].always(fault);
            let failed = format!("{before}/{} {class}, ", model(before));
            // A model that does not see is not asked, and so cannot fail.
            let asked = !(shown && before == "deepseek");
            (format!("from-{before}"), format!("{}{won}", if asked { &failed } else { "" }))
        } else {
            (format!("{}/{}", turn.provider, model(turn.provider)), won)
        };
        let request = talk.request(route, turn);
        let stream = world.runtime.stream(request.clone()).await.expect("a stream");
        let seen = read(stream).await;
        let finished = seen.finished();
        let refused = refusals(world);
        assert_eq!(path(&finished.attempts), expected, "turn {number}: {refused:?}");
        for (provider, scripted) in &world.providers {
            for record in scripted.take_log() {
                assert!(breaks || record.outcome == Outcome::Answered, "turn {number}: {:?}", record.outcome);
                let body: Value = serde_json::from_slice(&record.body).expect("JSON");
                let wins = *provider == turn.provider;
                arrivals.push(Arrival {
                    provider,
                    asked: request.clone(),
                    heard: hear(provider, &body),
                    body,
                    notes: wins.then(|| finished.notes.clone()),
                    expected: turn.notes,
                });
            }
            scripted.clear();
        }
        talk.messages.push(finished.to_message());
        before = turn.provider;
        // The provider that failed is well again.
        tokio::time::sleep(Duration::from_secs(1_800)).await;
    }
    assert!(arrivals.len() >= TURNS.len());
    arrivals
}

/// Bodies that were refused, to find out why.
fn refusals(world: &World) -> Vec<String> {
    let logs = world.providers.values().flat_map(Scripted::log);
    let refused = logs.filter(|record| matches!(record.outcome, Outcome::Rejected(_)));
    refused.map(|record| String::from_utf8_lossy(&record.body).into_owned()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Reads a tool's result or arguments: an object where it is one.
fn content(text: &str) -> Value {
    serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| text.into())
}

/// Reads a user's part: a text, or a document that was sent as text.
fn user(said: &Value) -> Line {
    let said = text(said);
    let inner = said.strip_prefix("<document").and_then(|rest| rest.trim_end().strip_suffix("</document>"));
    match inner.and_then(|rest| rest.split_once('>')) {
        Some((_, document)) => Line::Document(document.trim().to_owned()),
        None => Line::User(said),
    }
}

/// Reads a provider's request.
fn hear(provider: &str, body: &Value) -> Vec<Line> {
    match provider {
        "anthropic" => hear_anthropic(body),
        "gemini" => hear_gemini(body),
        _ => list(&body["messages"]).iter().flat_map(hear_openai).collect(),
    }
}

fn hear_openai(message: &Value) -> Vec<Line> {
    let mut lines = Vec::new();
    let (role, said) = (message["role"].as_str().expect("a role"), &message["content"]);
    if let Some(thought) = message["reasoning_content"].as_str().filter(|thought| !thought.is_empty()) {
        lines.push(Line::Thought(thought.into()));
    }
    let said = said
        .as_str()
        .map(|text| json!({"type": "text", "text": text}))
        .map_or_else(|| list(said).to_vec(), |it| vec![it]);
    for part in said {
        lines.push(match (role, part["type"].as_str().expect("a type")) {
            ("tool", _) => Line::Result {
                id: text(&message["tool_call_id"]),
                name: None,
                content: content(&text(&part["text"])),
                is_error: None,
            },
            ("user", "image_url") => Line::Image(text(&part["image_url"]["url"])),
            ("user", "file") => Line::Document(text(&part["file"]["file_data"])),
            ("user", "text") => user(&part["text"]),
            ("assistant", "text") => Line::Said(text(&part["text"])),
            ("system" | "developer", "text") => Line::System(text(&part["text"])),
            other => panic!("{other:?}"),
        });
    }
    lines.extend(list(&message["tool_calls"]).iter().map(|call| Line::Call {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        arguments: content(&text(&call["function"]["arguments"])),
    }));
    lines
}

fn hear_anthropic(body: &Value) -> Vec<Line> {
    let system = list(&body["system"]).iter().map(|block| Line::System(text(&block["text"])));
    let blocks = list(&body["messages"])
        .iter()
        .flat_map(|message| list(&message["content"]).iter().map(move |block| (message["role"] == "user", block)));
    let read = |(is_user, block): (bool, &Value)| match block["type"].as_str().expect("a type") {
        "text" if is_user => user(&block["text"]),
        "document" => {
            let source = &block["source"];
            match source["type"].as_str().expect("a type") {
                "text" => Line::Document(text(&source["data"])),
                _ => Line::Document(format!("data:{};base64,{}", text(&source["media_type"]), text(&source["data"]))),
            }
        }
        "text" => Line::Said(text(&block["text"])),
        "image" => {
            let source = &block["source"];
            Line::Image(format!("data:{};base64,{}", text(&source["media_type"]), text(&source["data"])))
        }
        "thinking" => Line::Thought(text(&block["thinking"])),
        "tool_use" => {
            Line::Call { id: text(&block["id"]), name: text(&block["name"]), arguments: block["input"].clone() }
        }
        "tool_result" => Line::Result {
            id: text(&block["tool_use_id"]),
            name: None,
            content: content(&text(&block["content"])),
            is_error: Some(block["is_error"] == true),
        },
        other => panic!("{other}"),
    };
    system.chain(blocks.map(read)).collect()
}

fn hear_gemini(body: &Value) -> Vec<Line> {
    let system = list(&body["systemInstruction"]["parts"]).iter().map(|part| Line::System(text(&part["text"])));
    let parts = list(&body["contents"])
        .iter()
        .flat_map(|content| list(&content["parts"]).iter().map(move |part| (content["role"] == "user", part)));
    let read = |(is_user, part): (bool, &Value)| {
        if let Some(call) = part.get("functionCall") {
            return Line::Call { id: text(&call["id"]), name: text(&call["name"]), arguments: call["args"].clone() };
        }
        if let Some(result) = part.get("functionResponse") {
            let response = &result["response"];
            let error = response.get("error");
            let content = error.or_else(|| response.get("output")).unwrap_or(response).clone();
            let (id, name) = (text(&result["id"]), Some(text(&result["name"])));
            return Line::Result { id, name, content, is_error: Some(error.is_some()) };
        }
        if let Some(data) = part.get("inlineData") {
            let url = format!("data:{};base64,{}", text(&data["mimeType"]), text(&data["data"]));
            return if data["mimeType"] == "image/png" { Line::Image(url) } else { Line::Document(url) };
        }
        match (is_user, part["thought"] == true) {
            (true, _) => user(&part["text"]),
            (false, true) => Line::Thought(text(&part["text"])),
            (false, false) => Line::Said(text(&part["text"])),
        }
    };
    system.chain(parts.map(read)).collect()
}

/// Returns the conversation's parts as every provider should get them.
fn meant(request: &ChatRequest) -> Vec<Line> {
    let mut lines = Vec::new();
    for message in &request.messages {
        match message {
            Message::System(text) => lines.push(Line::System(text.to_string())),
            Message::User(parts) => lines.extend(parts.iter().map(|part| match part {
                UserPart::Text(text) => Line::User(text.to_string()),
                UserPart::Image(Image::Base64 { media_type, data }) => {
                    Line::Image(format!("data:{media_type};base64,{data}"))
                }
                UserPart::Image(Image::Url(url)) => Line::Image(url.to_string()),
                UserPart::Document(document) => Line::Document(match &document.source {
                    DocumentSource::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
                    DocumentSource::Text(text) => text.to_string(),
                    other => panic!("nobody gives {other:?}"),
                }),
                other => panic!("nobody says {other:?}"),
            })),
            Message::Assistant(parts) => lines.extend(parts.iter().filter_map(|part| match part {
                AssistantPart::Text(text) => Some(Line::Said(text.to_string())).filter(|_| !text.is_empty()),
                AssistantPart::Reasoning(thought) => {
                    Some(Line::Thought(thought.text.to_string())).filter(|_| !thought.text.is_empty())
                }
                AssistantPart::ToolCall(call) => Some(Line::Call {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    arguments: content(&call.arguments),
                }),
                other => panic!("nobody says {other:?}"),
            })),
            Message::Tool(result) => lines.push(Line::Result {
                id: result.call_id.clone(),
                name: Some(result.name.clone()),
                content: content(&result.text()),
                is_error: Some(result.is_error),
            }),
            other => panic!("nobody says {other:?}"),
        }
    }
    lines
}

impl Arrival {
    /// Checks that a selection of the parts is as expected.
    fn assert_same<T: PartialEq + std::fmt::Debug>(&self, pick: impl Fn(&Line) -> Option<T>) {
        let picked = |lines: &[Line]| lines.iter().filter_map(&pick).collect::<Vec<_>>();
        assert_eq!(picked(&self.heard), picked(&meant(&self.asked)), "{}: {:#}", self.provider, self.body);
    }

    fn wants_schema(&self) -> bool {
        self.asked.response_format != ResponseFormat::Text
    }

    fn notes(&self, note: Note) -> bool {
        self.notes.as_ref().is_none_or(|notes| notes.contains(&note))
    }
}

fn texts_arrive_in_order_and_with_their_speaker(arrival: &Arrival) {
    arrival.assert_same(|line| match line {
        Line::User(_) | Line::Said(_) => Some(line.clone()),
        _ => None,
    });
}

fn the_system_is_heard_before_all_others(arrival: &Arrival) {
    let said: Vec<_> =
        arrival.heard.iter().map_while(|line| if let Line::System(text) = line { Some(text) } else { None }).collect();
    assert!(said.iter().any(|text| *text == SYSTEM), "{said:?}");
    let asked_in_words = arrival.wants_schema() && arrival.provider == "deepseek";
    assert_eq!(said.len(), 1 + usize::from(asked_in_words), "{said:?}");
}

fn calls_keep_their_names_arguments_and_order(arrival: &Arrival) {
    arrival.assert_same(|line| match line {
        Line::Call { name, arguments, .. } => Some((name.clone(), arguments.clone())),
        _ => None,
    });
}

fn results_follow_their_calls_in_order(arrival: &Arrival) {
    // The order of turns and parts.
    arrival.assert_same(|line| match line {
        Line::Call { arguments, .. } => Some(("call", arguments.clone())),
        Line::Result { content, .. } => Some(("result", content.clone())),
        Line::User(text) => Some(("user", text.as_str().into())),
        Line::Said(text) => Some(("said", text.as_str().into())),
        Line::System(_) | Line::Image(_) | Line::Document(_) | Line::Thought(_) => None,
    });
}

fn a_failed_tool_is_told_apart_or_noted(arrival: &Arrival) {
    let failed = |lines: &[Line]| {
        let results =
            lines.iter().filter_map(|line| if let Line::Result { is_error, .. } = line { *is_error } else { None });
        results.collect::<Vec<_>>()
    };
    let meant = failed(&meant(&arrival.asked));
    if ["anthropic", "gemini"].contains(&arrival.provider) {
        assert_eq!(failed(&arrival.heard), meant);
    } else {
        assert!(!meant.contains(&true) || arrival.notes(FAILED));
    }
}

fn ids_are_unique_and_results_name_their_calls(arrival: &Arrival) {
    let (mut seen, mut open) = (HashSet::new(), Vec::new());
    for line in &arrival.heard {
        match line {
            Line::Call { id, name, .. } => {
                let taken = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
                assert!(arrival.provider != "openai" || id.len() <= 40, "{id}");
                assert!(arrival.provider != "anthropic" || id.chars().all(taken), "{id}");
                assert!(seen.insert(id), "{id} twice");
                open.push((id, name));
            }
            Line::Result { id, name, .. } => {
                let (call, tool) = open.remove(0);
                assert_eq!(call, id);
                assert!(name.as_ref().is_none_or(|name| name == tool));
            }
            _ => assert!(open.is_empty() || matches!(line, Line::Thought(_) | Line::Said(_)), "a call has no result"),
        }
    }
    assert!(open.is_empty());
}

fn images_arrive_where_they_are_seen(arrival: &Arrival) {
    arrival.assert_same(|line| if let Line::Image(image) = line { Some(image.clone()) } else { None });
    assert!(arrival.provider != "deepseek" || !arrival.body.to_string().contains(PNG));
}

fn documents_arrive_where_they_are_read(arrival: &Arrival) {
    arrival.assert_same(|line| if let Line::Document(document) = line { Some(document.clone()) } else { None });
    assert!(arrival.provider != "deepseek" || !arrival.body.to_string().contains(PDF));
}

fn tools_are_offered_as_they_were(arrival: &Arrival) {
    let body = &arrival.body;
    let (offered, schema) = match arrival.provider {
        "anthropic" => (list(&body["tools"]).to_vec(), "input_schema"),
        "gemini" => (list(&body["tools"][0]["functionDeclarations"]).to_vec(), "parametersJsonSchema"),
        _ => (list(&body["tools"]).iter().map(|tool| tool["function"].clone()).collect(), "parameters"),
    };
    let offered: Vec<_> = offered
        .iter()
        .map(|tool| (text(&tool["name"]), text(&tool["description"]).into(), tool[schema].clone()))
        .collect();
    let meant: Vec<_> =
        tools().into_iter().map(|tool| (tool.name, tool.description, tool.parameters.value())).collect();
    assert_eq!(offered, meant);
}

fn the_schema_is_held_to_or_asked_for_in_words(arrival: &Arrival) {
    let body = &arrival.body;
    let told = match arrival.provider {
        "anthropic" => &body["output_config"]["format"]["schema"],
        "gemini" => &body["generationConfig"]["responseJsonSchema"],
        "openai" => &body["response_format"]["json_schema"]["schema"],
        _ => &Value::Null,
    };
    if !arrival.wants_schema() {
        assert_eq!(*told, Value::Null);
    } else if arrival.provider == "deepseek" {
        let in_words = |line: &Line| matches!(line, Line::System(text) if text.contains(&schema().to_string()));
        assert!(arrival.heard.iter().any(in_words) && body["response_format"]["type"] == "json_object");
        assert!(arrival.notes(FORM));
    } else {
        assert_eq!(*told, schema());
    }
}

fn effort_and_stop_sequences_are_said_or_noted(arrival: &Arrival) {
    let body = &arrival.body;
    let (effort, medium, stop) = match arrival.provider {
        "anthropic" => (&body["thinking"]["budget_tokens"], json!(8_192), &body["stop_sequences"]),
        "gemini" => {
            let config = &body["generationConfig"];
            (&config["thinkingConfig"]["thinkingLevel"], json!("medium"), &config["stopSequences"])
        }
        _ => (&body["reasoning_effort"], json!("medium"), &body["stop"]),
    };
    for (said, meant, note) in [(effort, medium, EFFORT), (stop, json!([STOP]), STOP_HERE)] {
        assert!(*said == meant || said.is_null() && arrival.notes(note), "{}: {said} {note:?}", arrival.provider);
        assert!(said.is_null() || arrival.notes.as_ref().is_none_or(|notes| !notes.contains(&note)), "{note:?}");
    }
}

fn thoughts_go_back_only_to_their_model(arrival: &Arrival) {
    let own =
        |provider: &'static str| TURNS.iter().filter(move |turn| turn.provider == provider).map(|turn| turn.thought);
    let told: Vec<_> = arrival
        .heard
        .iter()
        .filter_map(|line| if let Line::Thought(text) = line { Some(text.as_str()) } else { None })
        .collect();
    let before = meant(&arrival.asked);
    let was_thought = |thought: &&str| before.iter().any(|line| *line == Line::Thought((*thought).into()));
    let expected: Vec<_> = match arrival.provider {
        "anthropic" | "deepseek" => own(arrival.provider).filter(was_thought).collect(),
        // OpenAI takes none, and Google takes what proves them.
        _ => Vec::new(),
    };
    assert_eq!(told, expected, "{}", arrival.provider);
    let body = arrival.body.to_string();
    // Reasoning of other providers comes in no other form either, nor do its proofs.
    for (provider, _) in PROVIDERS.iter().filter(|(provider, _)| *provider != arrival.provider) {
        for thought in own(provider).filter(|thought| !thought.is_empty()) {
            assert!(!body.contains(thought), "{}: {thought}", arrival.provider);
        }
    }
    let proofs = proofs(&arrival.asked);
    for (dialect, proof) in &proofs {
        let comes = body.contains(proof.rsplit(':').next().expect("a last part"));
        let is_own = match dialect {
            Dialect::AnthropicMessages => arrival.provider == "anthropic",
            _ => arrival.provider == "gemini",
        };
        assert_eq!(comes, is_own, "{}: {proof}", arrival.provider);
    }
}

/// Returns the proofs in a conversation.
fn proofs(request: &ChatRequest) -> Vec<(Dialect, String)> {
    let parts = request.messages.iter().flat_map(|message| match message {
        Message::Assistant(parts) => &parts[..],
        _ => &[],
    });
    let proofs = parts.filter_map(|part| match part {
        AssistantPart::Reasoning(thought) => thought.proof.as_ref(),
        AssistantPart::ToolCall(call) => call.proof.as_ref(),
        _ => None,
    });
    proofs.map(|proof| (proof.dialect, proof.data.to_string())).collect()
}

fn what_is_lost_or_changed_is_noted_and_nothing_else(arrival: &Arrival) {
    let Some(notes) = &arrival.notes else { return };
    // What is left out of the caller's own fields is noted by their names, too.
    let is_field = |note: &&Note| matches!(note, Note::DroppedField(_));
    let set = |notes: &[Note]| {
        let notes = notes.iter().filter(|note| !is_field(note));
        notes.map(|note| format!("{note:?}")).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(notes.iter().any(|note| is_field(&note)), arrival.expected.contains(&EXTRA), "{}", arrival.provider);
    assert_eq!(set(notes), set(arrival.expected), "{}", arrival.provider);
}

/// Fails where a request has lost something.
type Assertion = fn(&Arrival);

/// The assertions for every request of a conversation that moves, by their names in the documentation.
const PROMISES: [(&str, Assertion); 13] = {
    macro_rules! named {
        ($($name:ident)*) => { [$((stringify!($name), $name)),*] };
    }
    named! {
        texts_arrive_in_order_and_with_their_speaker
        the_system_is_heard_before_all_others
        calls_keep_their_names_arguments_and_order
        results_follow_their_calls_in_order
        a_failed_tool_is_told_apart_or_noted
        ids_are_unique_and_results_name_their_calls
        images_arrive_where_they_are_seen
        documents_arrive_where_they_are_read
        tools_are_offered_as_they_were
        the_schema_is_held_to_or_asked_for_in_words
        effort_and_stop_sequences_are_said_or_noted
        thoughts_go_back_only_to_their_model
        what_is_lost_or_changed_is_noted_and_nothing_else
    }
};

/// Holds every request to the list in the documentation, item by item.
fn assert_nothing_is_lost(arrivals: &[Arrival]) {
    let page = include_str!("../../docs/providers.md");
    let (_, items) = page.split_once("What survives every move:\n").expect("the list of what survives");
    let (items, _) = items.trim_start().split_once("\n\n").expect("the list's end");
    let items: Vec<_> = items.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(items.len(), PROMISES.len(), "each item has its assertion, and each assertion its item");
    for item in items {
        let name = item.rsplit_once(" — `").map_or("", |(_, name)| name.trim_end_matches('`'));
        let promise = PROMISES.iter().find(|(known, _)| *known == name);
        let (_, assert) = promise.unwrap_or_else(|| panic!("nothing asserts {item:?}"));
        arrivals.iter().for_each(assert);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_changes_its_provider_with_every_turn_loses_nothing_that_can_be_carried() {
    let world = world().await;
    let arrivals = play(&world, false).await;
    assert_eq!(arrivals.len(), TURNS.len(), "no attempt failed");
    assert_nothing_is_lost(&arrivals);
    assert!(arrivals.iter().any(|arrival| !proofs(&arrival.asked).is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_whose_provider_fails_at_every_turn_loses_nothing_that_can_be_carried() {
    let world = world().await;
    let arrivals = play(&world, true).await;
    let failed = arrivals.iter().filter(|arrival| arrival.notes.is_none()).count();
    assert_eq!((arrivals.len(), failed), (23, 11), "all but one, who could not be asked");
    assert_nothing_is_lost(&arrivals);
}

#[tokio::test(start_paused = true)]
async fn a_model_without_images_gets_no_conversation_with_a_picture() {
    let world = world().await;
    let mut talk = Talk { messages: Vec::new() };
    talk.ask(&TURNS[8]);
    // One is known not to take images, the other's provider does not pass them on.
    let blind = world.runtime.chat(talk.request("deepseek/deepseek-v4-pro".into(), &TURNS[8])).await;
    assert!(matches!(&blind, Err(Error::NoTarget { why, .. }) if why.contains("image")), "{blind:?}");
    let deaf = world.runtime.chat(talk.request("deepseek/deepseek-v4-flash".into(), &TURNS[8])).await;
    let error = deaf.expect_err("nobody else may answer");
    assert!(path(error.attempts()).contains("deepseek/deepseek-v4-flash unsupported"), "{error:?}");
    assert_eq!(world.providers["deepseek"].received(), 0, "neither was sent anything");
    *world.next.lock().expect("no panic") = TURNS[8].answer(9);
    let reply = world.runtime.chat(talk.request("from-deepseek".into(), &TURNS[8])).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "openai/gpt-5-mini won");
}

#[tokio::test(start_paused = true)]
async fn audio_reaches_a_model_that_takes_audio_in_a_conversation_that_moves() {
    let world = world().await;
    let clip = Audio { media_type: "audio/wav".into(), data: "UklGRg==".into() };
    let asked = |route: &str| {
        let said = vec![UserPart::Text("What is said?".into()), UserPart::Audio(clip.clone())];
        ChatRequest::new(route).message(Message::User(said))
    };
    *world.next.lock().expect("no panic") = Answer::text("Birds.");
    // One is known not to take audio, and the next does.
    let reply = world.runtime.chat(asked("from-anthropic")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "gemini/gemini-3-flash-preview won");
    let body: Value = serde_json::from_slice(&world.providers["gemini"].take_log()[0].body).expect("JSON");
    let heard = &body["contents"][0]["parts"][1]["inlineData"];
    assert_eq!((&heard["mimeType"], &heard["data"]), (&json!("audio/wav"), &json!("UklGRg==")));
    for name in ["anthropic", "deepseek"] {
        let error = world.runtime.chat(asked(&format!("{name}/{}", model(name)))).await.expect_err(name);
        assert!(error.attempts().iter().all(|attempt| attempt.bytes_sent == 0), "{error:?}");
        assert_eq!(world.providers[name].received(), 0, "{name} was sent nothing");
    }
}

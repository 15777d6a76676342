//! How far estimates are off on recorded usage, as docs/benchmarks.md reports it.
//!
//! A target is a provider, a model and a dialect, with the requests that were recorded of it; those with four different
//! ones at least are gauged. *In use*: its requests come again and again in a random order, as an agent's do; the
//! first 50 replies are learned from and not judged, of the next 100 each is judged before it is learned. *Unseen*:
//! each request is judged after 50 replies to the others of its target, drawn at random, which is to estimate what no
//! reply has told of.

use std::collections::BTreeMap;
use std::fs;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::*;
use crate::words::{AssistantPart, Dialect, Proof, Reasoning, ToolResult};

const WARM_UP: usize = 50;
const JUDGED: usize = 100;
const SEEDS: u64 = 8;
const DIFFERENT_MIN: usize = 4;

struct Case {
    model: String,
    request: ChatRequest,
    size: PromptSize,
    bytes: usize,
    tokens: u64,
}

/// The recorded cases of each target.
type Targets = BTreeMap<String, Vec<Case>>;
/// How many cases were left out, by why.
type LeftOut = BTreeMap<&'static str, usize>;

/// Reads what was recorded; `None` where there is no corpus.
fn recorded() -> Option<(Targets, LeftOut)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/open");
    let Ok(entries) = fs::read_dir(folder) else {
        println!("skipped: no corpus at {folder}");
        return None;
    };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.sort();
    let (mut targets, mut left_out) = (Targets::new(), LeftOut::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        for line in text.lines() {
            let recorded: Value = serde_json::from_str(line).expect("a case");
            let Some(tokens) = input_tokens(&recorded) else { continue };
            match request(&recorded) {
                Ok((model, request)) => {
                    let measure = Vocabulary::of(None, &model).measure();
                    let size = Prompt::of(&request, measure, false).whole;
                    let bytes = recorded["request"]["body"].as_str().map_or(0, str::len);
                    let name = format!(
                        "{} {model} {}",
                        recorded["provider"].as_str().unwrap_or_default(),
                        recorded["api"].as_str().unwrap_or_default()
                    );
                    targets.entry(name).or_default().push(Case { model, request, size, bytes, tokens });
                }
                Err(why) => *left_out.entry(why).or_default() += 1,
            }
        }
    }
    Some((targets, left_out))
}

/// All tokens of the prompt, cached ones included.
fn input_tokens(recorded: &Value) -> Option<u64> {
    let usage = &recorded["expect"]["usage"];
    let number = |field: &str| usage[field].as_u64().unwrap_or(0);
    let apart = if recorded["api"] == "anthropic-messages" { number("cached") + number("cache_write") } else { 0 };
    Some(number("input") + apart).filter(|tokens| *tokens > 0 && recorded["kind"] == "ok")
}

/// Returns the model and the request of a recorded body, or why it cannot be judged.
fn request(recorded: &Value) -> Result<(String, ChatRequest), &'static str> {
    let body = recorded["request"]["body"].as_str().unwrap_or_default();
    let body: Value = serde_json::from_str(body).map_err(|_| "no body was kept")?;
    let path = recorded["request"]["path"].as_str().unwrap_or_default();
    let after = |mark: &str| path.split_once(mark).map(|(_, rest)| rest.split([':', '/']).next().unwrap_or(rest));
    let model =
        body["model"].as_str().or_else(|| after("models/")).or_else(|| after("deployments/")).unwrap_or_default();
    if !body["cachedContent"].is_null() || !body["previous_response_id"].is_null() {
        return Err("refers to what the provider keeps");
    }
    if body["tool_choice"] == "none" || model.starts_with("compound") {
        return Err("some providers leave its tools out, or bring their own");
    }
    let mut request = ChatRequest::new("smart");
    for field in ["system", "instructions", "systemInstruction", "system_instruction"] {
        let text = text(&body[field]);
        if !text.is_empty() {
            request = request.system(text);
        }
    }
    for field in ["messages", "contents", "input", "prompt"] {
        match &body[field] {
            Value::String(text) => request = request.user(text),
            Value::Array(items) => {
                for item in items {
                    add(&mut request.messages, item)?;
                }
            }
            _ => {}
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let declared =
            ["functionDeclarations", "function_declarations"].iter().find_map(|field| tool[field].as_array());
        match (declared, tool["function"].is_object(), tool["name"].is_string()) {
            (Some(declared), ..) => request.tools.extend(declared.iter().map(declaration)),
            (_, true, _) => request.tools.push(declaration(&tool["function"])),
            (_, _, true) if tool["parameters"].is_object() || tool["input_schema"].is_object() => {
                request.tools.push(declaration(tool));
            }
            _ => return Err("brings tools that the provider runs"),
        }
    }
    let schemas = [
        "/response_format/json_schema/schema",
        "/text/format/schema",
        "/output_format/schema",
        "/output_config/format/schema",
        "/generationConfig/responseSchema",
        "/generationConfig/responseJsonSchema",
    ];
    if let Some(schema) = schemas.iter().find_map(|pointer| body.pointer(pointer)) {
        request.response_format =
            ResponseFormat::JsonSchema { name: "answer".into(), schema: schema.clone().into(), strict: true };
    }
    Ok((model.to_owned(), request))
}

fn declaration(tool: &Value) -> Tool {
    let parameters = ["parameters", "input_schema", "parametersJsonSchema"].iter().find_map(|field| tool.get(field));
    let text = |field: &str| tool[field].as_str().unwrap_or_default().to_owned();
    Tool {
        name: text("name"),
        description: text("description").into(),
        parameters: parameters.cloned().unwrap_or_default().into(),
        strict: None,
    }
}

/// Returns all text of a string, a part or a list of parts.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text).collect(),
        Value::Object(part) => {
            ["text", "parts", "content"].iter().filter_map(|field| part.get(*field)).map(text).collect()
        }
        _ => String::new(),
    }
}

fn json_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Appends a message of any dialect, in as many of ours as it is.
fn add(messages: &mut Vec<Message>, item: &Value) -> Result<(), &'static str> {
    let call = |name: &Value, arguments: &Value| {
        let (id, name) = (String::new(), name.as_str().unwrap_or_default().to_owned());
        AssistantPart::ToolCall(ToolCall { id, name, arguments: json_text(arguments).into(), proof: None })
    };
    let result = |content: String| Message::Tool(ToolResult::new("", "", content));
    match (item["type"].as_str(), item["role"].as_str()) {
        (Some("function_call"), _) => {
            messages.push(Message::Assistant(vec![call(&item["name"], &item["arguments"])]));
            return Ok(());
        }
        (Some("function_call_output"), _) => {
            messages.push(result(json_text(&item["output"])));
            return Ok(());
        }
        (None | Some("message"), Some("tool")) => {
            messages.push(result(text(&item["content"])));
            return Ok(());
        }
        (None | Some("message"), _) => {}
        (Some(_), _) => return Err("sends back sealed thoughts or calls of the provider's own tools"),
    }
    let (mut said, mut results) = (Vec::new(), Vec::new());
    let content = item.get("content").or_else(|| item.get("parts")).unwrap_or(&Value::Null);
    for part in content.as_array().map_or(std::slice::from_ref(content), Vec::as_slice) {
        match part["type"].as_str() {
            _ if !part["functionCall"].is_null() => {
                let mut made = call(&part["functionCall"]["name"], &part["functionCall"]["args"]);
                if let (AssistantPart::ToolCall(made), Some(data)) = (&mut made, part["thoughtSignature"].as_str()) {
                    made.proof = Some(Proof::new(Dialect::Gemini, data));
                }
                said.push(made);
            }
            _ if !part["functionResponse"].is_null() => {
                results.push(result(json_text(&part["functionResponse"]["response"])));
            }
            Some("tool_use") => said.push(call(&part["name"], &part["input"])),
            Some("tool_result") => results.push(result(text(&part["content"]))),
            Some("thinking") => said.push(AssistantPart::Reasoning(Reasoning::from(text(&part["thinking"])))),
            None | Some("text" | "input_text" | "output_text")
                if part["inlineData"].is_null() && part["fileData"].is_null() =>
            {
                said.push(AssistantPart::Text(text(part).into()));
            }
            _ => return Err("shows images or files"),
        }
    }
    if let Some(thought) = item["reasoning_content"].as_str() {
        said.push(AssistantPart::Reasoning(Reasoning::from(thought.to_owned())));
    }
    for made in item["tool_calls"].as_array().into_iter().flatten() {
        let made = if made["function"].is_object() { &made["function"] } else { made };
        said.push(call(&made["name"], &made["arguments"]));
    }
    let texts: String = said.iter().filter_map(AssistantPart::as_text).collect();
    match item["role"].as_str() {
        Some("system" | "developer") => messages.push(Message::System(texts.into())),
        Some("assistant" | "model") => messages.push(Message::Assistant(said)),
        _ if results.is_empty() || !texts.is_empty() => messages.push(Message::user(texts)),
        _ => {}
    }
    messages.extend(results);
    Ok(())
}

/// Errors as parts of the truth.
#[derive(Default)]
struct Errors(Vec<f64>);

impl Errors {
    fn add(&mut self, estimate: f64, case: &Case) {
        self.0.push((estimate / case.tokens as f64 - 1.0).abs());
    }

    /// Median and 95th percentile.
    fn quantiles(&mut self) -> (f64, f64) {
        self.0.sort_by(f64::total_cmp);
        let at = |q: usize| self.0[(self.0.len() - 1) * q / 100];
        (at(50), at(95))
    }

    fn show(&mut self) -> String {
        let (median, p95) = self.quantiles();
        format!("{:>6.1} % {:>6.1} %", 100.0 * median, 100.0 * p95)
    }
}

fn estimate(model: &TokenModel, case: &Case) -> f64 {
    f64::from(model.weights().tokens(&case.size))
}

#[test]
fn estimates_follow_recorded_usage() {
    let Some((mut targets, left_out)) = recorded() else { return };
    targets.retain(|_, cases| {
        let different = |(at, case): (usize, &Case)| !cases[..at].iter().any(|other| other.size == case.size);
        cases.iter().enumerate().filter(|it| different(*it)).count() >= DIFFERENT_MIN
    });
    println!("left out: {left_out:?}");
    let [mut fresh, mut plain, mut unseen, mut in_use] = std::array::from_fn(|_| Errors::default());
    for (name, cases) in &targets {
        let vocabulary = Vocabulary::of(None, &cases[0].model);
        let (mut own_unseen, mut own_in_use) = (Errors::default(), Errors::default());
        for (at, case) in cases.iter().enumerate() {
            fresh.add(estimate(&TokenModel::new(vocabulary), case), case);
            plain.add(case.bytes as f64 / 4.0, case);
            let others: Vec<&Case> = cases.iter().filter(|other| other.size != case.size).collect();
            let mut rng = StdRng::seed_from_u64(at as u64);
            let mut model = TokenModel::new(vocabulary);
            for _ in 0..WARM_UP {
                let other = others.choose(&mut rng).expect("others");
                model.learn(&other.size, other.tokens);
            }
            own_unseen.add(estimate(&model, case), case);
        }
        for seed in 0..SEEDS {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut model = TokenModel::new(vocabulary);
            for reply in 0..WARM_UP + JUDGED {
                let case = &cases[rng.random_range(0..cases.len())];
                if reply >= WARM_UP {
                    own_in_use.add(estimate(&model, case), case);
                }
                model.learn(&case.size, case.tokens);
            }
        }
        println!("{name:<60} {:>3}  in use {}  unseen {}", cases.len(), own_in_use.show(), own_unseen.show());
        unseen.0.append(&mut own_unseen.0);
        in_use.0.append(&mut own_in_use.0);
    }
    println!(
        "bytes / 4 {}  before any reply {}  unseen {}  in use {}",
        plain.show(),
        fresh.show(),
        unseen.show(),
        in_use.show()
    );
    let (median, p95) = in_use.quantiles();
    assert!(median < 0.05 && p95 < 0.15, "in use: {median} {p95}");
    assert!(unseen.quantiles().0 < 0.1, "unseen: {:?}", unseen.quantiles());
    assert!(fresh.quantiles().0 < 0.25, "before any reply: {:?}", fresh.quantiles());
}

/// An agent's conversations as they grow, put together from what was recorded: system, tools, then messages of any
/// kind. What OpenAI's vocabulary counts is the truth; the frame around messages and tools is as its cookbook has it.
#[test]
fn estimates_by_shape_follow_a_real_vocabulary_as_conversations_grow() {
    let Some((targets, _)) = recorded() else { return };
    let requests: Vec<&ChatRequest> = targets.values().flatten().map(|case| &case.request).collect();
    let (mut fresh, mut learned, mut exact) = (Errors::default(), Errors::default(), Errors::default());
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut models = [Vocabulary::Unknown, Vocabulary::O200k].map(TokenModel::new);
        let (mut replies, mut talk) = (0, ChatRequest::new("smart"));
        while replies < WARM_UP + JUDGED {
            if talk.messages.is_empty() || talk.messages.len() > 60 {
                talk =
                    ChatRequest::new("smart").system("You are an agent. Use the tools you have, and answer briefly.");
                talk.tools = requests.choose(&mut rng).expect("requests").tools.clone();
            }
            for _ in 0..rng.random_range(1..4) {
                talk.messages.extend(requests.choose(&mut rng).expect("requests").messages.choose(&mut rng).cloned());
            }
            let [by_shape, by_vocabulary] =
                [Measure::Shape, Measure::O200k].map(|measure| Prompt::of(&talk, measure, false).whole);
            let schema = talk.tools.iter().map(|tool| {
                let json = format!("{}{}{}", tool.name, tool.description, tool.parameters);
                0.8 * crate::policy::tokens::exact::count(&json, Measure::O200k) as f64 + 12.0
            });
            let count = |feature| by_vocabulary.count(feature);
            let tokens = 3.0 + 4.0 * count(Feature::Message) + count(Feature::Text) + schema.sum::<f64>();
            let case = |size| Case {
                model: String::new(),
                request: ChatRequest::default(),
                size,
                bytes: 0,
                tokens: u64::from(whole(tokens)),
            };
            let cases = [case(by_shape), case(by_vocabulary)];
            fresh.add(estimate(&TokenModel::new(Vocabulary::Unknown), &cases[0]), &cases[0]);
            if replies >= WARM_UP {
                learned.add(estimate(&models[0], &cases[0]), &cases[0]);
                exact.add(estimate(&models[1], &cases[1]), &cases[1]);
            }
            for (model, case) in models.iter_mut().zip(&cases) {
                model.learn(&case.size, case.tokens);
            }
            replies += 1;
        }
    }
    println!("growing: before any reply {}  by shape {}  by vocabulary {}", fresh.show(), learned.show(), exact.show());
    assert!(learned.quantiles().0 < 0.05 && learned.quantiles().1 < 0.15, "by shape: {:?}", learned.quantiles());
    assert!(exact.quantiles().1 < 0.05, "by vocabulary: {:?}", exact.quantiles());
}

//! Recorded requests of real callers, read into the common form and written in every dialect, to scripted providers
//! that refuse what the real ones would.

use std::fs;
use std::path::Path;

use futures_util::StreamExt as _;
use serde_json::Value;
use standin::internals::wire::serve::{self, CallerDialect};
use standin::internals::wire::{Flavour, authorize, encode};
use standin::testing::{Script, Scripted};
use standin::{AssistantPart, ChatRequest, Dialect, FailureClass, Message, ResponseFormat, Secret, TargetId, UserPart};
use standin::{HttpRequest, Transport as _};

/// Where a request goes: base URL, dialect, flavour, model.
const TARGETS: [(&str, Dialect, &str, &str); 11] = [
    ("http://openai.test/v1", Dialect::OpenAiChat, "openai", "gpt-5-mini"),
    ("http://other.test/v1", Dialect::OpenAiChat, "generic", "some-model"),
    ("http://openai.test/v1", Dialect::OpenAiResponses, "openai", "gpt-5-mini"),
    ("http://openai.test/v1", Dialect::OpenAiResponses, "openai", "gpt-4.1-mini"),
    ("http://anthropic.test/v1", Dialect::AnthropicMessages, "generic", "claude-sonnet-4-5"),
    ("http://anthropic.test/v1", Dialect::AnthropicMessages, "generic", "claude-opus-4-8"),
    (
        "http://vertex.test/v1/projects/p/locations/global/publishers/anthropic",
        Dialect::AnthropicMessages,
        "vertex-anthropic",
        "claude-haiku-4-5@20251001",
    ),
    ("http://gemini.test/v1beta", Dialect::Gemini, "generic", "gemini-3-flash-preview"),
    ("http://gemini.test/v1beta", Dialect::Gemini, "generic", "gemini-2.5-flash"),
    (
        "http://vertex.test/v1/projects/p/locations/global/publishers/google",
        Dialect::Vertex,
        "generic",
        "gemini-3-flash-preview",
    ),
    (
        "http://vertex.test/v1/projects/p/locations/global/publishers/google",
        Dialect::Vertex,
        "generic",
        "gemini-2.5-flash",
    ),
];

/// How many recorded requests there are, times the targets: those taken, and those of them with a tool's result, an
/// image or a schema. Every one is taken; there may only ever be more.
const TAKEN_MIN: usize = 3_124;
const RICH_MIN: usize = 825;

/// Reads the requests that real providers answered, each with the name of its case; none where they are not there.
fn requests() -> Vec<(String, ChatRequest)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/open"));
    let Ok(files) = fs::read_dir(folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.sort();
    let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).expect("a readable recording")).collect();
    let cases = texts.iter().flat_map(|text| text.lines());
    cases.filter_map(|line| request(&serde_json::from_str(line).expect("one case a line"))).collect()
}

fn request(case: &Value) -> Option<(String, ChatRequest)> {
    let caller_dialect = match case["api"].as_str()? {
        "chat-completions" => CallerDialect::OpenAiChat,
        "responses" => CallerDialect::OpenAiResponses,
        "anthropic-messages" => CallerDialect::Anthropic,
        "gemini-generate" => CallerDialect::Gemini,
        _ => return None,
    };
    let body = case["request"]["body"].as_str().filter(|_| case["kind"] == "ok")?;
    let mut request = *serve::read(caller_dialect, Some("m"), false, &body.to_owned().into()).ok()?.request;
    // Parts and proofs of the recorded provider mean nothing to this one.
    request.extra.clear();
    request.original = None;
    for message in &mut request.messages {
        let Message::Assistant(parts) = message else { continue };
        for part in parts {
            match part {
                AssistantPart::Reasoning(thought) => thought.proof = None,
                AssistantPart::ToolCall(call) => call.proof = None,
                _ => {}
            }
        }
    }
    Some((case["case"].as_str()?.to_owned(), request))
}

/// Tells whether there is more in a request than texts.
fn is_rich(request: &ChatRequest) -> bool {
    let in_messages = request.messages.iter().any(|message| match message {
        Message::Tool(_) => true,
        Message::User(parts) => parts.iter().any(|part| matches!(part, UserPart::Image(_))),
        _ => false,
    });
    in_messages || matches!(request.response_format, ResponseFormat::JsonSchema { .. })
}

/// Returns the status and the body of an answer.
async fn send(scripted: &Scripted, request: HttpRequest) -> (u16, String) {
    let response = scripted.send(request).await.expect("a response");
    let status = response.status;
    let chunks: Vec<_> = response.body.map(|chunk| chunk.expect("a whole answer")).collect().await;
    (status, String::from_utf8_lossy(&chunks.concat()).into_owned())
}

#[tokio::test(start_paused = true)]
async fn recorded_requests_of_real_callers_are_taken_in_every_dialect() {
    let (key, scripted) = (Secret::new("k"), Scripted::new(Script { keys: vec!["k".into()], ..Script::default() }));
    let (mut taken, mut rich, mut refused, mut wrong) = (0, 0, 0, Vec::new());
    let requests = requests();
    for (case, request) in &requests {
        for (at, (base, dialect, flavour, model)) in TARGETS.into_iter().enumerate() {
            let flavour = Flavour::named(flavour).expect("a flavour");
            let encoded = match encode(dialect, flavour, request, &TargetId::new("p", model), at % 2 == 0) {
                Ok(encoded) => encoded,
                Err(failure) => {
                    let typed = matches!(failure.class, FailureClass::Unsupported | FailureClass::BadRequest);
                    assert!(typed, "{case} to {model}: {failure}");
                    refused += 1;
                    continue;
                }
            };
            let (url, mut headers) = (format!("{base}{}", encoded.path), encoded.headers);
            authorize(dialect, flavour, &key, &mut headers).expect("a good key");
            let body = encoded.body.whole();
            match send(&scripted, HttpRequest::new(url, headers, encoded.body)).await {
                (200, _) => {
                    taken += 1;
                    rich += usize::from(is_rich(request));
                }
                (status, said) => {
                    let sent: String = String::from_utf8_lossy(&body).chars().take(400).collect();
                    wrong.push(format!("{case} to {model} in {dialect:?}: {status} {said}\n    {sent}"));
                }
            }
        }
    }
    println!("{} requests: {taken} taken, {rich} of them rich, {refused} refused here", requests.len());
    assert!(wrong.is_empty(), "{} are refused:\n{}", wrong.len(), wrong.join("\n"));
    assert!(requests.is_empty() || taken >= TAKEN_MIN && rich >= RICH_MIN, "{taken}, {rich}");
}

//! Documents, audio, and parts that only one dialect has: which target is asked, what arrives, and the caller's errors
//! and notes.

use std::net::SocketAddr;

use serde_json::{Value, json};
use standin::config::{DialectConfig, KindConfig, ModelConfig};
use standin::routing::ForeignParts;
use standin::sidecar::{Settings, Sidecar};
use standin::{ProviderConfig, RouteConfig, Strategy};

use super::http::{Caller, Exchange, Response};
use super::upstream::{Bytes, Upstream};

const PDF: &str = "JVBERi0xLjQKJcOkw7zDtsOfCg==";

/// A sidecar over two providers by hand, each of a dialect: the route `r` asks the first, then the second.
pub(super) struct Scene {
    sidecar: Sidecar,
    providers: [Upstream; 2],
}

impl Scene {
    pub(super) async fn of(dialects: [Caller; 2], edit: impl FnOnce(&mut Settings)) -> Self {
        let providers = [Upstream::start().await, Upstream::start().await];
        let mut settings = Settings::default();
        settings.server.listen.set_port(0);
        for ((name, upstream), speaks) in ["first", "second"].into_iter().zip(&providers).zip(dialects) {
            let (dialect, path, model) = match speaks {
                Caller::Chat => (DialectConfig::OpenaiChat, "/v1", "gpt-4o"),
                Caller::Responses => (DialectConfig::OpenaiResponses, "/v1", "gpt-5.4"),
                Caller::Anthropic => (DialectConfig::Anthropic, "/v1", "claude-sonnet-4-5"),
                Caller::Gemini => (DialectConfig::Gemini, "/v1beta", "gemini-3.8-flash"),
            };
            let mut provider = ProviderConfig::new(format!("http://{}{path}", upstream.address)).key("k");
            provider.models.insert(model.to_owned(), ModelConfig::default());
            provider.dialect = Some(dialect);
            provider.stream_upstream = Some(false);
            settings.runtime.providers.insert(name.to_owned(), provider);
            upstream.answers(Bytes { body: answer(speaks, name), piece: 10_000, cut: false, stream: false });
        }
        let name = |provider: &str| {
            let model = settings.runtime.providers[provider].models.keys().next().expect("a model");
            format!("{provider}/{model}")
        };
        let order = ["first", "second"].map(name);
        let mut route = RouteConfig::new(order.iter().map(String::as_str));
        route.options.strategy = Strategy::Priority;
        settings.runtime.routes.insert("r".to_owned(), route);
        edit(&mut settings);
        Self { sidecar: Sidecar::start(settings).await.expect("a sidecar"), providers }
    }

    pub(super) async fn ask(&self, caller: Caller, body: &Value) -> Response {
        let (path, _) = caller.ask("r", "", false);
        Exchange::begin(self.sidecar.address(), "POST", &path, &[], &body.to_string()).await.end().await
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.sidecar.address()
    }

    /// Lets a provider answer so.
    pub(super) fn answers(&self, at: usize, answer: &Value) {
        self.tells(at, answer.to_string());
    }

    /// The same, with pauses.
    pub(super) fn tells(&self, at: usize, body: String) {
        self.providers[at].answers(Bytes { body, piece: 10_000, cut: false, stream: false });
    }

    /// What arrived at each provider.
    pub(super) fn arrived(&self) -> [Vec<Value>; 2] {
        let read = |body: &String| serde_json::from_str(body).expect("JSON");
        [0, 1].map(|at| self.providers[at].asked().iter().map(read).collect())
    }
}

/// Lets all models embed, as one model at several places.
pub(super) fn embeds(settings: &mut Settings) {
    for model in settings.runtime.providers.values_mut().flat_map(|provider| provider.models.values_mut()) {
        model.kind = Some(KindConfig::Embedding);
        model.same_as = Some("text-embedding-3-small".to_owned());
    }
}

/// A whole answer.
fn answer(speaks: Caller, text: &str) -> String {
    match speaks {
        Caller::Chat => json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text}}]}),
        Caller::Responses => json!({"id": "resp", "object": "response", "model": "m", "status": "completed",
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]}),
        Caller::Anthropic => json!({"id": "msg", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1}}),
        Caller::Gemini => json!({"candidates": [{"index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": text}]}}], "modelVersion": "m"}),
    }
    .to_string()
}

/// A request with such a part behind a text, in a dialect.
fn with_part(caller: Caller, part: &Value) -> Value {
    match caller {
        Caller::Chat => json!({"model": "r", "messages": [{"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]}),
        Caller::Responses => json!({"model": "r", "instructions": "Be brief.", "input": [{"role": "user",
            "content": [{"type": "input_text", "text": "Look."}, part]}]}),
        Caller::Anthropic => json!({"model": "r", "max_tokens": 100, "system": "Be brief.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]}),
        Caller::Gemini => json!({"systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Look."}, part]}]}),
    }
}

/// The place of that part, as its caller counts.
fn place(caller: Caller) -> &'static str {
    match caller {
        Caller::Chat => "messages[1].content[1]",
        Caller::Responses => "input[0].content[1]",
        Caller::Anthropic => "messages[0].content[1]",
        Caller::Gemini => "contents[0].parts[1]",
    }
}

/// A part that is unknown here.
fn unknown(caller: Caller) -> Value {
    match caller {
        Caller::Gemini => json!({"someNewPart": {"data": "x", "n": 1.0}}),
        _ => json!({"type": "some_new_block", "data": "x", "n": 1.0}),
    }
}

/// A PDF.
fn document(caller: Caller) -> Value {
    let data = format!("data:application/pdf;base64,{PDF}");
    match caller {
        Caller::Chat => json!({"type": "file", "file": {"filename": "a.pdf", "file_data": data}}),
        Caller::Responses => json!({"type": "input_file", "filename": "a.pdf", "file_data": data}),
        Caller::Anthropic => json!({"type": "document", "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}),
        Caller::Gemini => json!({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    }
}

pub(super) fn other(caller: Caller) -> Caller {
    if caller == Caller::Anthropic { Caller::Chat } else { Caller::Anthropic }
}

/// Holds that a request goes as it came to the target of its own dialect, behind one of another that is not asked.
pub(super) async fn goes_unchanged_to_its_own_dialect_only(caller: Caller, body: &Value) {
    let scene = Scene::of([other(caller), caller], |_| {}).await;
    let response = scene.ask(caller, body).await;
    assert_eq!(response.status, 200, "{caller:?}, {body}: {}", response.body);
    let [first, second] = scene.arrived();
    assert_eq!(first, Vec::<Value>::new(), "{caller:?}, {body}: it speaks another dialect");
    let mut sent = body.clone();
    if caller != Caller::Gemini {
        sent["model"] = second[0]["model"].clone();
    }
    assert_eq!(second, [sent], "{caller:?}");
}

#[tokio::test]
async fn unknown_parts_go_unchanged_to_their_own_dialect_only() {
    for caller in Caller::ALL {
        goes_unchanged_to_its_own_dialect_only(caller, &with_part(caller, &unknown(caller))).await;
    }
}

#[tokio::test]
async fn a_call_that_no_target_can_take_is_refused_with_the_parts_place_before_anything_is_sent() {
    for caller in Caller::ALL {
        let scene = Scene::of([other(caller), other(caller)], |_| {}).await;
        let (path, _) = caller.ask("r", "", false);
        let body = with_part(caller, &unknown(caller));
        // With blanks, as most clients write it, too.
        for body in [body.to_string(), format!("{body:#}")] {
            let response = Exchange::begin(scene.address(), "POST", &path, &[], &body).await.end().await;
            assert_eq!(response.status, 400, "{caller:?}: {}", response.body);
            let place = format!("{}: ", place(caller));
            for word in [place.as_str(), "foreign_parts"] {
                assert!(response.body.contains(word), "{caller:?}: {word} in {}", response.body);
            }
        }
        assert_eq!(scene.arrived(), [const { Vec::<Value>::new() }; 2]);
    }
}

#[tokio::test]
async fn a_route_that_drops_foreign_parts_leaves_them_out_and_says_so() {
    for caller in Caller::ALL {
        let drop = |settings: &mut Settings| {
            settings.runtime.routes.get_mut("r").expect("a route").foreign_parts = ForeignParts::Drop;
        };
        let scene = Scene::of([other(caller), caller], drop).await;
        let response = scene.ask(caller, &with_part(caller, &unknown(caller))).await;
        assert_eq!(response.status, 200, "{caller:?}: {}", response.body);
        let [first, second] = scene.arrived();
        assert_eq!((first.len(), second.len()), (1, 0), "{caller:?}");
        assert!(!first[0].to_string().contains("ew_block") && first[0].to_string().contains("Look."), "{caller:?}");
        assert_eq!(response.header("x-standin-notes"), Some("dropped messages.content"), "{caller:?}");
    }
}

/// A conversation's next request after an answer that called `f`, and the result of that.
fn goes_on(caller: Caller, answer: &Value) -> Value {
    match caller {
        Caller::Responses => {
            let asked = json!({"role": "user", "content": "go"});
            let items = answer["output"].as_array().expect("items");
            let call = items.iter().find(|item| item["type"] == "function_call").expect("a call");
            let result = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "r"});
            let input: Vec<_> = [&asked].into_iter().chain(items).chain([&result]).collect();
            json!({"model": "r", "store": false, "input": input})
        }
        Caller::Anthropic => {
            let blocks = answer["content"].as_array().expect("blocks");
            let call = blocks.iter().find(|block| block["type"] == "tool_use").expect("a call");
            let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": "r"});
            json!({"model": "r", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000},
                "messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": blocks},
                    {"role": "user", "content": [result]}]})
        }
        Caller::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "go"}]},
            answer["candidates"][0]["content"],
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "r"}}}]}]}),
        Caller::Chat => unreachable!("its thoughts have no proof"),
    }
}

#[tokio::test]
async fn a_conversation_that_was_elsewhere_for_one_turn_goes_home() {
    let away = json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": null, "reasoning_content": "I list.", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}]});
    for caller in [Caller::Responses, Caller::Anthropic, Caller::Gemini] {
        let scene = Scene::of([caller, Caller::Chat], |_| {}).await;
        scene.answers(1, &away);
        let (path, mut asked) = caller.ask("second/gpt-4o", "go", false);
        match caller {
            Caller::Anthropic => {
                asked["max_tokens"] = 4000.into();
                asked["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
            }
            Caller::Gemini => asked["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": true}}),
            _ => asked["store"] = false.into(),
        }
        let to = scene.address();
        let answer = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
        assert!(answer.status == 200 && answer.body.contains("I list."), "{caller:?}: {answer:?}");
        let reply = scene.ask(caller, &goes_on(caller, &answer.json())).await;
        assert_eq!((reply.status, caller.text(&reply.json()).as_str()), (200, "first"), "{caller:?}: {reply:?}");
        let [home, _] = scene.arrived();
        let home = home[0].to_string();
        assert!(
            home.contains("\"f\"") && home.contains("\"a\":1") | home.contains("\\\"a\\\":1"),
            "{caller:?}: {home}"
        );
        match caller {
            Caller::Gemini => assert!(home.contains("skip_thought_signature_validator"), "{home}"),
            _ => assert!(!home.contains("I list."), "{caller:?}: {home}"),
        }
    }
}

#[tokio::test]
async fn arguments_that_are_no_object_end_no_conversation_at_any_target() {
    let chat = json!({"model": "r", "messages": [{"role": "user", "content": "go"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"path\": \"a"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "no JSON"}]});
    let responses = json!({"model": "r", "store": false, "input": [{"role": "user", "content": "go"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"path\": \"a"},
        {"type": "function_call_output", "call_id": "c1", "output": "no JSON"}]});
    for (caller, body) in [(Caller::Chat, &chat), (Caller::Responses, &responses)] {
        for target in [Caller::Anthropic, Caller::Gemini] {
            let scene = Scene::of([target, caller], |_| {}).await;
            let reply = scene.ask(caller, body).await;
            assert_eq!((reply.status, caller.text(&reply.json()).as_str()), (200, "first"), "{caller:?}: {reply:?}");
            assert_eq!(reply.header("x-standin-notes"), Some("converted messages.tool_call.arguments"));
            assert!(scene.arrived()[0][0].to_string().contains("INVALID_JSON"));
            // Where the own dialect's target is down, the other one takes over.
            let scene = Scene::of([caller, target], |_| {}).await;
            scene.answers(0, &json!({"error": {"message": "down", "code": 503}}));
            let reply = scene.ask(caller, body).await;
            assert_eq!((reply.status, caller.text(&reply.json()).as_str()), (200, "second"), "{caller:?}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_route_drops_neither_what_cannot_be_read_nor_the_rest_of_a_conversation() {
    for (caller, field, value) in [
        (Caller::Responses, "previous_response_id", json!("resp_1")),
        (Caller::Responses, "conversation", json!("conv_1")),
        (Caller::Gemini, "cachedContent", json!("cachedContents/1")),
        (Caller::Chat, "messages", json!([{"role": "usr", "content": "hi"}])),
        (Caller::Chat, "temperature", json!("hot")),
    ] {
        let drop = |settings: &mut Settings| {
            settings.runtime.routes.get_mut("r").expect("a route").foreign_parts = ForeignParts::Drop;
        };
        let scene = Scene::of([other(caller), caller], drop).await;
        let (_, mut asked) = caller.ask("r", "hi", false);
        asked[field] = value;
        let response = scene.ask(caller, &asked).await;
        assert_eq!(response.status, 200, "{caller:?}, {field}: {}", response.body);
        let [first, second] = scene.arrived();
        assert_eq!((first.len(), second.len()), (0, 1), "{caller:?}, {field}");
    }
}

#[tokio::test]
async fn a_document_reaches_every_dialect_and_fails_over_to_the_next_that_reads_it() {
    for caller in Caller::ALL {
        for speaks in Caller::ALL {
            let scene = Scene::of([caller, speaks], |_| {}).await;
            // The first has nothing to say.
            scene.providers[0].answers(Bytes { body: "{}".to_owned(), piece: 100, cut: true, stream: false });
            let response = scene.ask(caller, &with_part(caller, &document(caller))).await;
            assert_eq!(response.status, 200, "{caller:?} to {speaks:?}: {}", response.body);
            let [first, second] = scene.arrived();
            let sent = second[0].to_string();
            let expected = document(speaks).to_string();
            let named = |json: &str| json.replace("\"document.pdf\"", "\"a.pdf\"").replace(",\"title\":\"a.pdf\"", "");
            assert!(named(&sent).contains(&named(&expected)), "{caller:?} to {speaks:?}: {expected} in {sent}");
            assert!(!first.is_empty());
        }
    }
}

#[tokio::test]
async fn a_target_that_reads_no_documents_is_not_asked_and_the_refusal_says_so() {
    let blind = |settings: &mut Settings| {
        for provider in settings.runtime.providers.values_mut() {
            for model in provider.models.values_mut() {
                model.lacks = Some(vec![standin::config::Ability::Documents]);
            }
        }
    };
    for caller in Caller::ALL {
        let scene = Scene::of([caller, other(caller)], blind).await;
        let response = scene.ask(caller, &with_part(caller, &document(caller))).await;
        assert_eq!(response.status, 400, "{caller:?}");
        let expected = format!("{}: no target of route `r` can take a document (`application/pdf`)", place(caller));
        assert!(response.body.contains(&expected), "{caller:?}: {}", response.body);
        assert_eq!(scene.arrived(), [const { Vec::<Value>::new() }; 2]);
    }
}

#[tokio::test]
async fn references_to_state_of_a_provider_go_to_its_dialect_alone() {
    let chat = |field: &str, value: Value| {
        let mut body = with_part(Caller::Chat, &json!({"type": "text", "text": "x"}));
        body[field] = value;
        body
    };
    let responses = |body: Value| (Caller::Responses, body);
    for (caller, body) in [
        responses(json!({"model": "r", "previous_response_id": "resp_1", "input": "Go on."})),
        responses(json!({"model": "r", "previous_response_id": "resp_1", "store": true,
            "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]})),
        responses(json!({"model": "r", "prompt": {"id": "pmpt_1"}})),
        responses(json!({"model": "r", "input": [{"type": "item_reference", "id": "msg_1"},
            {"type": "mcp_approval_response", "approve": true, "approval_request_id": "m"}]})),
        responses(json!({"model": "r", "input": "x", "tools": [{"type": "namespace", "name": "n", "tools": []},
            {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}]})),
        (Caller::Chat, chat("n", 2.into())),
        (Caller::Chat, chat("modalities", json!(["text", "audio"]))),
        (Caller::Chat, chat("web_search_options", json!({}))),
        (Caller::Gemini, json!({"cachedContent": "cachedContents/1", "contents": [{"parts": [{"text": "x"}]}]})),
        (
            Caller::Gemini,
            json!({"tools": [{"googleSearch": {}}, {"codeExecution": {}}], "contents": [{"parts": [{"text": "x"}]}]}),
        ),
        (
            Caller::Anthropic,
            json!({"model": "r", "max_tokens": 9, "container": "c_1", "messages": [{"role": "user", "content": "x"}]}),
        ),
        (
            Caller::Anthropic,
            json!({"model": "r", "max_tokens": 9, "tools": [{"type": "bash_20250124", "name": "bash"}],
            "tool_choice": {"type": "tool", "name": "bash"}, "messages": [{"role": "user", "content": "x"}]}),
        ),
    ] {
        let scene = Scene::of([other(caller), caller], |_| {}).await;
        let response = scene.ask(caller, &body).await;
        assert_eq!(response.status, 200, "{body}: {}", response.body);
        let [first, second] = scene.arrived();
        assert_eq!(first, Vec::<Value>::new(), "{body}");
        let mut sent = body.clone();
        if caller != Caller::Gemini {
            sent["model"] = second[0]["model"].clone();
        }
        assert_eq!(second, [sent], "{body}");
    }
}

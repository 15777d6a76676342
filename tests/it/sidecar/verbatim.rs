//! Answers of providers that speak the caller's dialect: they pass unchanged.

use serde_json::Value;
use standin::config::DialectConfig;
use standin::sidecar::{ModelNames, Settings, Sidecar};
use standin::{ProviderConfig, RouteConfig, Strategy};

use super::http::{self, Caller, Exchange, Response};
use super::upstream::{Bytes, PAUSE, Upstream};

/// A sidecar over two providers by hand, in one dialect: the route `r` asks the first, then the second.
pub(super) struct Scene {
    caller: Caller,
    pub(super) sidecar: Sidecar,
    pub(super) first: Upstream,
    pub(super) second: Upstream,
}

const ORDER: [&str; 2] = ["first/m", "second/m"];

pub(super) async fn scene(caller: Caller) -> Scene {
    scene_with(caller, |_| {}).await
}

pub(super) async fn scene_with(caller: Caller, edit: impl FnOnce(&mut Settings)) -> Scene {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let mut settings = Settings::default();
    settings.server.listen.set_port(0);
    settings.runtime.seed = Some(7);
    let (dialect, path) = match caller {
        Caller::Chat => (DialectConfig::OpenaiChat, "/v1"),
        Caller::Responses => (DialectConfig::OpenaiResponses, "/v1"),
        Caller::Anthropic => (DialectConfig::Anthropic, "/v1"),
        Caller::Gemini => (DialectConfig::Gemini, "/v1beta"),
    };
    for (name, upstream) in [("first", &first), ("second", &second)] {
        let mut provider = ProviderConfig::new(format!("http://{}{path}", upstream.address)).key("k").model("m");
        provider.dialect = Some(dialect);
        settings.runtime.providers.insert(name.to_owned(), provider);
    }
    let mut route = RouteConfig::new(ORDER);
    route.options.strategy = Strategy::Priority;
    settings.runtime.routes.insert("r".to_owned(), route);
    edit(&mut settings);
    let sidecar = Sidecar::start(settings).await.expect("a sidecar");
    second.answers(Bytes { body: stream(caller, "from the second"), piece: 10_000, cut: false, stream: true });
    Scene { caller, sidecar, first, second }
}

impl Scene {
    pub(super) async fn ask(&self, stream: bool, headers: &[(&str, &str)]) -> Response {
        let (path, mut body) = self.caller.ask("r", "hello", stream);
        if self.caller == Caller::Responses {
            body["store"] = false.into();
        }
        Exchange::begin(self.sidecar.address(), "POST", &path, headers, &body.to_string()).await.end().await
    }

    /// Asks for a stream of the first, which sends these bytes.
    pub(super) async fn streamed(&self, body: &str, piece: usize, cut: bool) -> Response {
        self.first.answers(Bytes { body: body.to_owned(), piece, cut, stream: true });
        self.ask(true, &[]).await
    }
}

/// A plain stream of this dialect.
pub(super) fn stream(caller: Caller, text: &str) -> String {
    let events = match caller {
        Caller::Chat => vec![
            ("", format!(
                r#"{{"id":"c1","model":"m","choices":[{{"index":0,"delta":{{"role":"assistant","content":"{text}"}},"finish_reason":null}}]}}"#)),
            ("", r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned()),
            ("", "[DONE]".to_owned()),
        ],
        Caller::Responses => vec![
            ("response.created",
                r#"{"type":"response.created","response":{"id":"resp_1","model":"m","status":"in_progress","output":[]}}"#
                .to_owned()),
            ("response.output_text.delta", format!(
                r#"{{"type":"response.output_text.delta","output_index":0,"delta":"{text}"}}"#)),
            ("response.completed",
                r#"{"type":"response.completed","response":{"id":"resp_1","model":"m","status":"completed","output":[]}}"#
                .to_owned()),
        ],
        Caller::Anthropic => vec![
            ("message_start",
                r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#
                .to_owned()),
            ("content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#
                .to_owned()),
            ("content_block_delta", format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#)),
            ("message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#
                .to_owned()),
            ("message_stop", r#"{"type":"message_stop"}"#.to_owned()),
        ],
        Caller::Gemini => vec![
            ("", format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"index":0}}],"modelVersion":"m"}}"#)),
            ("",
                r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"modelVersion":"m"}"#
                .to_owned()),
        ],
    };
    events.iter().map(|(name, data)| event(name, data)).collect()
}

pub(super) fn event(name: &str, data: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
    format!("{name}data: {data}\n\n")
}

fn anthropic(data: &str) -> String {
    let kind = serde_json::from_str::<Value>(data).expect(data)["type"].as_str().expect("a type").to_owned();
    event(&kind, data)
}

/// Answers full of what no other dialect has words for, and of what is unknown here: whole, and streamed.
pub(super) fn rich(caller: Caller) -> (String, String) {
    match caller {
        Caller::Chat => (
            r#"{ "id":"c1", "object":"chat.completion","created":1,"model":"m-of-the-provider","choices":[{"index":0,
                "message":{"role":"assistant","content":"é \u00e9 1.0","annotations":[{"type":"url_citation","url_citation":{"url":"https://x.test"}}],
                "reasoning":"Hm","reasoning_details":[{"type":"reasoning.encrypted","data":"abc"}],"extra_content":{"google":{"thought_signature":"c2ln"}}},
                "logprobs":{"content":[{"token":"é","logprob":-0.10}]},"finish_reason":"stop","matched_stop":null}, {"index":1,"message":{"content":"another"}}],
                "citations":["https://x.test"],"search_results":[{"title":"T"}],"service_tier":"flex","x_new":{"a":[1e3]},
                "usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"cost":0.0012,"prompt_tokens_details":{"cached_tokens":1,"audio_tokens":0}}}"#
                .to_owned(),
            [
                ": OPENROUTER PROCESSING\n\n",
                "data: {\"id\":\"c1\",\"model\":\"m-of-the-provider\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"provider\":\"X\"}\n\n",
                "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"Hm\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"Hm\",\"signature\":\"s\"}]}}]}\n\n",
                "data:{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é\",\"extra_content\":{\"google\":{}}},\"logprobs\":{\"content\":[]},\"finish_reason\":null}]}\n\n",
                ": still there\n\n",
                "event: x_progress\ndata: {\"done\":0.5}\n\n",
                "id: 7\ndata: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" fin\",\n",
                "data: \"annotations\":[{\"type\":\"url_citation\"}]},\"finish_reason\":\"stop\"}],\"citations\":[\"https://x.test\"],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"cost\":0.1}}\n\n",
                "data: [DONE]\n\n",
            ]
            .concat(),
        ),
        Caller::Responses => (
            r#"{"id":"resp_9","object":"response","model":"m-of-the-provider","status":"completed","output":[
                {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"ENC"},
                {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q","sources":[]}},
                {"type":"message","id":"msg_1","phase":"final_answer","role":"assistant","status":"completed","content":[{"type":"output_text","text":"é","annotations":[{"type":"url_citation","url":"https://x.test"}],"logprobs":[]}]},
                {"type":"image_generation_call","id":"ig_1","result":"aW1n"}],
                "service_tier":"flex","x_new":1.0,"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7,"input_tokens_details":{"cached_tokens":1}}}"#
                .to_owned(),
            [
                ("response.created",
                    r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_9","model":"m-of-the-provider","status":"in_progress","output":[]}}"#),
                ("response.output_item.added",
                    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"ws_1","status":"in_progress"}}"#),
                ("response.web_search_call.searching",
                    r#"{"type":"response.web_search_call.searching","output_index":0,"item_id":"ws_1"}"#),
                ("response.output_item.done",
                    r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","id":"ws_1","status":"completed","action":{"query":"q"}}}"#),
                ("response.output_item.added",
                    r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_1","phase":"final_answer","content":[]}}"#),
                ("response.output_text.delta",
                    r#"{"type":"response.output_text.delta","output_index":1,"delta":"é","logprobs":[],"obfuscation":"xyz"}"#),
                ("response.output_text.annotation.added",
                    r#"{"type":"response.output_text.annotation.added","annotation":{"type":"url_citation"}}"#),
                ("response.x_new", r#"{"type":"response.x_new","a":1.0}"#),
                ("response.completed",
                    r#"{"type":"response.completed","response":{"id":"resp_9","model":"m-of-the-provider","status":"completed","output":[{"type":"message","phase":"final_answer","content":[{"type":"output_text","text":"é"}]}],"usage":{"input_tokens":5,"output_tokens":2,"cost":0.1}}}"#),
            ]
            .map(|(name, data)| event(name, data))
            .concat(),
        ),
        Caller::Anthropic => (
            r#"{"id":"msg_9","type":"message","role":"assistant","model":"m-of-the-provider","content":[
                {"type":"thinking","thinking":"Hm","signature":"RXJVQg=="},{"type":"redacted_thinking","data":"b3BhcXVl"},
                {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"q"}},
                {"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","encrypted_content":"RU5D"}]},
                {"type":"text","text":"é","citations":[{"type":"web_search_result_location","encrypted_index":"SU5E"}]},{"type":"x_new","a":1.0}],
                "stop_reason":"stop_sequence","stop_sequence":"END","container":{"id":"container_1"},"context_management":{"applied_edits":[]},
                "usage":{"input_tokens":5,"output_tokens":2,"server_tool_use":{"web_search_requests":1},"service_tier":"priority","cache_creation":{"ephemeral_5m_input_tokens":0}}}"#
                .to_owned(),
            [
                r#"{"type":"message_start","message":{"id":"msg_9","type":"message","role":"assistant","model":"m-of-the-provider","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1,"service_tier":"priority"}}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"RXJVQg=="}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"query\":\"q\"}"}}"#,
                r#"{"type":"content_block_stop","index":1}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"encrypted_content":"RU5D"}]}}"#,
                r#"{"type":"content_block_stop","index":2}"#,
                r#"{"type":"content_block_start","index":3,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"é"}}"#,
                r#"{"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"encrypted_index":"SU5E"}}}"#,
                r#"{"type":"content_block_stop","index":3}"#,
                r#"{"type":"x_new","a":1.0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END","container":{"id":"container_1"}},"usage":{"output_tokens":2,"server_tool_use":{"web_search_requests":1}}}"#,
                r#"{"type":"message_stop"}"#,
            ]
            .map(anthropic)
            .concat(),
        ),
        Caller::Gemini => (
            r#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true},{"executableCode":{"language":"PYTHON","code":"1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1.0"}},
                {"text":"é","thoughtSignature":"c2ln"},{"inlineData":{"mimeType":"image/png","data":"aW1n"}}],"role":"model"},"finishReason":"STOP","index":0,
                "groundingMetadata":{"webSearchQueries":["q"],"groundingChunks":[]},"avgLogprobs":-0.10}],
                "usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":5}]},
                "modelVersion":"m-of-the-provider","responseId":"r9","xNew":1.0}"#
                .to_owned(),
            [
                r#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}],"role":"model"},"index":0}],"modelVersion":"m-of-the-provider","responseId":"r9"}"#,
                r#"{"candidates":[{"content":{"parts":[{"executableCode":{"language":"PYTHON","code":"1"}}],"role":"model"},"index":0}]}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"é"},{"inlineData":{"mimeType":"image/png","data":"aW1n"}}],"role":"model"},"index":0}],"xNew":1.0}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2ln"}],"role":"model"},"finishReason":"STOP","index":0,"groundingMetadata":{"webSearchQueries":["q"]}}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":7}}"#,
            ]
            .map(|data| event("", data))
            .concat(),
        ),
    }
}

/// Names the provider of an encrypted thought, which another provider of the route could take for its own.
fn issued(text: &str) -> String {
    text.replace("\"ENC\"", "\"standin:of/first/ENC\"")
}

#[tokio::test]
async fn an_answer_in_its_callers_dialect_arrives_as_it_came() {
    for caller in Caller::ALL {
        let scene = scene(caller).await;
        let (whole, stream) = rich(caller);
        for piece in [100_000, 1, 7, 160] {
            scene.first.answers(Bytes { body: whole.clone(), piece, cut: false, stream: false });
            let reply = scene.ask(false, &[]).await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
            assert_eq!(reply.body, issued(&whole), "{caller:?} in pieces of {piece}");
            assert_eq!(reply.header("x-standin-target"), Some("first/m"));
            for how in ["live", "buffered"] {
                scene.first.answers(Bytes { body: stream.clone(), piece, cut: false, stream: true });
                let reply = scene.ask(true, &[("x-standin-stream", how)]).await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
                assert_eq!(reply.body, stream, "{caller:?} {how} in pieces of {piece}");
                assert_eq!(reply.header("x-standin-target"), Some("first/m"));
            }
        }
        assert!(scene.second.asked().is_empty(), "{caller:?}");
    }
}

/// What no word expresses of such an answer, whole or streamed.
pub(super) fn marks(caller: Caller, streamed: bool) -> &'static [&'static str] {
    match (caller, streamed) {
        (Caller::Chat, false) => {
            &["url_citation", "\"abc\"", "thought_signature", "matched_stop", "search_results", "flex", "x_new"]
        }
        (Caller::Chat, true) => &["\"provider\"", "\"signature\"", "extra_content", "url_citation", "\"citations\""],
        (Caller::Responses, false) => {
            &["ENC", "web_search_call", "final_answer", "url_citation", "image_generation_call", "flex", "x_new"]
        }
        (Caller::Responses, true) => &["resp_9", "final_answer", "\"cost\""],
        (Caller::Anthropic, false) => {
            &["RXJVQg==", "b3BhcXVl", "srvtoolu_1", "RU5D", "SU5E", "x_new", "END", "context_management", "priority"]
        }
        (Caller::Anthropic, true) => &["RXJVQg==", "srvtoolu_1", "RU5D", "SU5E", "END", "container_1", "priority"],
        (Caller::Gemini, false) => {
            &["executableCode", "codeExecutionResult", "c2ln", "aW1n", "webSearchQueries", "avgLogprobs", "xNew"]
        }
        (Caller::Gemini, true) => &["executableCode", "aW1n", "c2ln", "webSearchQueries", "xNew"],
    }
}

#[tokio::test]
async fn an_answer_in_the_other_form_arrives_with_all_that_nobody_knows() {
    for caller in Caller::ALL {
        let (whole, streamed) = rich(caller);
        let streams = |settings: &mut Settings| {
            settings.runtime.providers.values_mut().for_each(|provider| provider.stream_upstream = Some(true));
        };
        for asks_for_stream in [false, true] {
            // One that must be asked for as a stream, and one of a server that knows no streams.
            let scene = if asks_for_stream { scene(caller).await } else { scene_with(caller, streams).await };
            let body = if asks_for_stream { &whole } else { &streamed };
            for piece in [100_000, 7] {
                scene.first.answers(Bytes { body: body.clone(), piece, cut: false, stream: !asks_for_stream });
                let reply = scene.ask(asks_for_stream, &[]).await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
                assert_eq!(reply.header("x-standin-notes"), None, "{caller:?}: {reply:?}");
                for mark in marks(caller, !asks_for_stream) {
                    assert!(reply.body.contains(mark), "{caller:?}: {mark} is lost: {}", reply.body);
                }
                assert!(reply.body.contains('é'), "{caller:?}: {reply:?}");
                assert!(!asks_for_stream || reply.body.contains(caller.end()), "{caller:?}: {reply:?}");
            }
            assert!(scene.second.asked().is_empty(), "{caller:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_bare_lines_becomes_what_its_caller_waits_for() {
    let scene = scene(Caller::Chat).await;
    let chunk =
        |choice: &str| format!(r#"{{"id":"c1","object":"chat.completion.chunk","x_new":1,"choices":[{choice}]}}"#);
    let lines = [
        chunk(r#"{"index":0,"delta":{"role":"assistant","content":"h","x":[1]},"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{"content":"é"},"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#),
    ];
    let body = lines.map(|line| line + "\n").concat();
    for stream in [false, true] {
        for piece in [100_000, 7] {
            scene.first.answers(Bytes { body: body.clone(), piece, cut: false, stream: false });
            let reply = scene.ask(stream, &[]).await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{reply:?}");
            let said = if stream { Caller::Chat.streamed(&reply.body) } else { Caller::Chat.text(&reply.json()) };
            assert_eq!(said, "hé", "{reply:?}");
            assert!(reply.body.contains("x_new") && reply.body.contains("\"x\":[1]"), "{reply:?}");
            assert_eq!(stream, reply.body.contains(Caller::Chat.end()), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_as_far_as_it_came_and_then_its_error() {
    for caller in Caller::ALL {
        let scene = scene(caller).await;
        let whole = stream(caller, "hello");
        let (shown, hidden) = whole.split_at(whole.find("hello").expect("the text") + 1);
        let rest = hidden.find("\n\n").expect("an end") + 2;
        let body = format!("{shown}{}", &hidden[..rest]);
        let reply = scene.streamed(&body, 10_000, true).await;
        assert!(reply.body.starts_with(&body), "{caller:?}: {}", reply.body);
        assert!(!reply.is_whole && !reply.body.contains(caller.end()), "{caller:?}: {}", reply.body);
        let error = http::events(&reply.body).pop().expect("an error");
        assert!(error["error"].is_object() || error["type"] == "response.failed", "{caller:?}: {error}");
    }
}

/// A stream that says something and then calls a tool, up to the end of the call.
fn calls(caller: Caller, text: bool) -> String {
    match caller {
        Caller::Chat => {
            let text = if text {
                event("", r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"Let me see."}}]}"#)
            } else {
                String::new()
            };
            text + &event(
                "",
                r#"{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"},"extra_content":{"s":1}}]}}]}"#,
            ) + &event(
                "",
                r#"{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
            )
        }
        Caller::Responses => {
            let text = if text {
                event("", r#"{"type":"response.output_text.delta","output_index":0,"delta":"Let me see."}"#)
            } else {
                String::new()
            };
            text + &event(
                "",
                r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"a","name":"f","namespace":"n","arguments":""}}"#,
            ) + &event("", r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{\"x\":1}"}"#)
                + &event(
                    "",
                    r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"a","name":"f","namespace":"n","arguments":"{\"x\":1}"}}"#,
                )
        }
        Caller::Anthropic => {
            let text = if text {
                anthropic(
                    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me see."}}"#,
                )
            } else {
                String::new()
            };
            text + &anthropic(
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
            ) + &anthropic(
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}"#,
            ) + &anthropic(r#"{"type":"content_block_stop","index":1}"#)
        }
        Caller::Gemini => {
            let text = if text { r#"{"text":"Let me see."},"# } else { "" };
            if text.is_empty() {
                event(
                    "",
                    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"c2ln"}]}}]}"#,
                )
            } else {
                event("", &format!(r#"{{"candidates":[{{"content":{{"parts":[{}]}}}}]}}"#, text.trim_end_matches(',')))
                    + &event(
                        "",
                        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x":1}}}]}}]}"#,
                    )
            }
        }
    }
}

/// The end of such a stream.
fn called(caller: Caller) -> String {
    match caller {
        Caller::Chat => {
            event("", r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#)
                + &event("", "[DONE]")
        }
        Caller::Responses => {
            event("", r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[]}}"#)
        }
        Caller::Anthropic => {
            anthropic(r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#)
                + &anthropic(r#"{"type":"message_stop"}"#)
        }
        Caller::Gemini => event("", r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP","index":0}]}"#),
    }
}

#[tokio::test]
async fn nothing_of_a_call_arrives_before_its_answer_has_ended_well() {
    for caller in Caller::ALL {
        let scene = scene(caller).await;
        for piece in [10_000, 9] {
            let body = calls(caller, true);
            let reply = scene.streamed(&body, piece, true).await;
            assert!(reply.body.contains("Let me see.") && !reply.is_whole, "{caller:?}: {}", reply.body);
            assert!(!reply.body.contains("\"f\""), "{caller:?} was told of half an answer's call: {}", reply.body);
            let body = body + &called(caller);
            let reply = scene.streamed(&body, piece, false).await;
            assert_eq!((reply.body.as_str(), reply.is_whole), (body.as_str(), true), "{caller:?}");
        }
        assert!(scene.second.asked().is_empty());
        let reply = scene.streamed(&calls(caller, false), 10_000, true).await;
        assert_eq!(reply.body, stream(caller, "from the second"), "a call alone commits nobody");
    }
}

#[tokio::test]
async fn a_stream_whose_provider_left_out_its_end_is_ended_as_its_dialect_ends() {
    for (caller, end) in [
        (Caller::Chat, "data: [DONE]\n\n"),
        (Caller::Anthropic, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
    ] {
        let scene = scene(caller).await;
        let whole = stream(caller, "hello");
        let cut = whole.strip_suffix(end).expect("its end");
        for body in [cut.to_owned(), format!("{cut}data: [DO"), format!("{cut}: bye\n")] {
            for how in ["live", "buffered"] {
                scene.first.answers(Bytes { body: body.clone(), piece: 50, cut: false, stream: true });
                let reply = scene.ask(true, &[("x-standin-stream", how)]).await;
                assert_eq!((reply.body.as_str(), reply.is_whole), (whole.as_str(), true), "{caller:?} {how}");
            }
        }
        // The last event does not need its blank line either.
        for tail in ["", "\n"] {
            let reply = scene.streamed(&format!("{}{tail}", whole.trim_end()), 50, false).await;
            assert_eq!((reply.body.as_str(), reply.is_whole), (whole.as_str(), true), "{caller:?}");
        }
        // The marker of another dialect is none.
        if caller == Caller::Anthropic {
            let reply = scene.streamed(&format!("{cut}data: [DONE]\n\n"), 50, false).await;
            assert_eq!((reply.body.as_str(), reply.is_whole), (whole.as_str(), true));
        }
    }
}

#[tokio::test]
async fn usage_that_was_asked_for_here_reaches_its_caller() {
    let scene = scene(Caller::Chat).await;
    let usage =
        event("", r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#);
    let without = stream(Caller::Chat, "hello");
    let done = without.len() - "data: [DONE]\n\n".len();
    let with = format!("{}{usage}{}", &without[..done], &without[done..]);
    for (asks, piece) in [(true, 9), (false, 9), (true, 10_000), (false, 10_000)] {
        scene.first.answers(Bytes { body: with.clone(), piece, cut: false, stream: true });
        let (path, mut body) = scene.caller.ask("r", "hello", true);
        if asks {
            body["stream_options"] = serde_json::json!({"include_usage": true});
        }
        let reply = Exchange::begin(scene.sidecar.address(), "POST", &path, &[], &body.to_string()).await.end().await;
        assert_eq!(&reply.body, if asks { &with } else { &without }, "{asks}");
        let asked: Value = serde_json::from_str(&scene.first.asked().pop().expect("asked")).expect("JSON");
        assert_eq!(asked["stream_options"]["include_usage"], true, "usage is counted here whoever asks");
    }
}

/// A stream of these deltas and its end.
fn deltas(deltas: &[&str]) -> String {
    let chunk =
        |delta: &&str| event("", &format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{delta}}}],"x":1.0}}"#));
    deltas.iter().map(chunk).collect::<String>() + &called(Caller::Chat)
}

#[tokio::test]
async fn calls_that_no_client_could_tell_apart_are_mended_and_nothing_else_is() {
    let scene = scene(Caller::Chat).await;
    let whole = r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"},"extra_content":{"s":1.0}}]}"#;
    let second = |index: &str, id: &str| {
        format!(
            r#"{{"tool_calls":[{{{index}{id}"function":{{"name":"g","arguments":"{{}}"}},"extra_content":{{"s":2.0}}}}]}}"#
        )
    };
    let right = second("\"index\":1,", "\"id\":\"b\",");
    for (index, id) in [("\"index\":0,", "\"id\":\"b\","), ("", "\"id\":\"b\",")] {
        let reply = scene.streamed(&deltas(&[whole, &second(index, id)]), 11, false).await;
        assert_eq!(http::events(&reply.body), http::events(&deltas(&[whole, &right])), "{index}: {}", reply.body);
    }
    // Two calls of one id, and one that has none: the second is given one.
    for id in ["\"id\":\"a\",", "\"id\":\"\",", "\"id\":null,", ""] {
        let reply = scene.streamed(&deltas(&[whole, &second("\"index\":1,", id)]), 11, false).await;
        let call = &http::events(&reply.body)[1]["choices"][0]["delta"]["tool_calls"][0];
        let given = call["id"].as_str().expect("an id");
        assert!(given.starts_with("call_") && given != "a", "{call}");
        assert_eq!((&call["index"], &call["extra_content"]["s"]), (&1.into(), &2.0.into()), "{call}");
    }
    // A server that says everything with every fragment.
    let again = |arguments: &str| {
        format!(
            r#"{{"tool_calls":[{{"index":0,"id":"a","type":"function","function":{{"name":"f","arguments":"{arguments}"}}}}]}}"#
        )
    };
    let reply = scene.streamed(&deltas(&[&again("{"), &again("}")]), 11, false).await;
    let call = &http::events(&reply.body)[1]["choices"][0]["delta"]["tool_calls"][0];
    assert!(call.get("id").is_none() && call["function"].get("name").is_none(), "{call}");
    assert_eq!(call["function"]["arguments"], "}");
    // Arguments that are no text.
    let object = whole.replace(r#""{\"x\":1.0}""#, r#"{"x":1.0}"#);
    let reply = scene.streamed(&deltas(&[&object]), 11, false).await;
    assert_eq!(http::events(&reply.body), http::events(&deltas(&[whole])), "{}", reply.body);
    // One that stands alone.
    let alone = whole.replace(['[', ']'], "");
    let reply = scene.streamed(&deltas(&[&alone]), 11, false).await;
    assert_eq!(http::events(&reply.body), http::events(&deltas(&[whole])), "{}", reply.body);
    // A correct call is not changed, however it is written.
    let odd = deltas(&[whole, &right.replace("\"index\"", " \"\\u0069ndex\" ")]);
    assert_eq!(scene.streamed(&odd, 11, false).await.body, odd);
}

#[tokio::test]
async fn calls_of_one_id_in_a_response_that_passes_are_told_apart_and_nothing_else_is_changed() {
    let scene = scene(Caller::Responses).await;
    let item = |name: &str, id: &str| {
        format!(
            r#"{{"type":"function_call","id":"fc_{name}","call_id":"{id}","name":"{name}","arguments":"{{}}","x":1.0}}"#
        )
    };
    let items = |id: &str| [item("f", "c"), item("g", id)];
    let response = |id: &str| {
        let [f, g] = items(id);
        format!(r#"{{"id":"resp_1","model":"m","status":"completed","output":[{f},{{"type":"x_new"}},{g}]}}"#)
    };
    let of = |kind: &str, at: usize, item: &str| {
        event(kind, &format!(r#"{{"type":"{kind}","output_index":{at},"item":{item}}}"#))
    };
    let last = |id: &str| {
        event("response.completed", &format!(r#"{{"type":"response.completed","response":{}}}"#, response(id)))
    };
    let told = |id: &str| {
        let [f, g] = items(id);
        let (added, done) = ("response.output_item.added", "response.output_item.done");
        [of(added, 0, &f), of(done, 0, &f), of(added, 2, &g), of(done, 2, &g), last(id)].concat()
    };
    let id_of = |response: &Value| response["output"][2]["call_id"].as_str().expect("an id").to_owned();
    for (body, right) in [(told("c"), &told as &dyn Fn(&str) -> String), (last("c"), &last)] {
        let reply = scene.streamed(&body, 11, false).await;
        let id = id_of(&http::events(&reply.body).last().expect("an end")["response"]);
        assert!(id.starts_with("call_"), "{}", reply.body);
        assert_eq!(reply.body, right(&id));
    }
    scene.first.answers(Bytes { body: response("c"), piece: 10_000, cut: false, stream: false });
    let reply = scene.ask(false, &[]).await;
    let id = id_of(&reply.json());
    assert!(id.starts_with("call_"), "{}", reply.body);
    assert_eq!(reply.body, response(&id));
    // One without an id is known by that of its item.
    assert_eq!(scene.streamed(&told(""), 11, false).await.body, told("fc_g"));
    // Correct ones are not changed.
    assert_eq!(scene.streamed(&told("d"), 11, false).await.body, told("d"));
}

#[tokio::test]
async fn an_answer_that_is_no_use_is_not_handed_on() {
    for caller in Caller::ALL {
        let scene = scene(caller).await;
        let bad =
            calls(caller, false).replace("1}", "1").replace("\"args\":{\"x\":1", "\"args\":[1]") + &called(caller);
        if caller == Caller::Gemini {
            continue;
        }
        let reply = scene.streamed(&bad, 10_000, false).await;
        assert_eq!(reply.body, stream(caller, "from the second"), "{caller:?}");
    }
}

#[tokio::test]
async fn an_answer_that_a_filter_held_back_is_an_answer_with_its_reason() {
    let declined = [
        r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"category":"x"}},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let filtered =
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter","content_filter_results":{}}]}"#;
    let held = r#"{"candidates":[{"finishReason":"SAFETY","safetyRatings":[{"category":"c","blocked":true}]}]}"#;
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":5}}"#;
    for (caller, body) in [
        (Caller::Anthropic, declined.map(anthropic).concat()),
        (Caller::Chat, event("", filtered) + "data: [DONE]\n\n"),
        (Caller::Gemini, event("", held)),
        (Caller::Gemini, event("", blocked)),
    ] {
        let scene = scene(caller).await;
        scene.first.answers(Bytes { body: body.clone(), piece: 40, cut: false, stream: true });
        let reply = scene.ask(true, &[]).await;
        assert_eq!((reply.body.as_str(), reply.is_whole), (body.as_str(), true), "{caller:?}");
        assert!(scene.second.asked().is_empty(), "{caller:?}");
    }
}

#[tokio::test]
async fn what_a_providers_own_tools_did_is_an_answer_to_its_dialect() {
    let paused = [
        r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"pause_turn"},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let drawn = [
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"image_generation_call","id":"ig_1"}}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"image_generation_call","id":"ig_1","result":"aW1n"}}"#,
        r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"image_generation_call","result":"aW1n"}]}}"#,
    ];
    let spoken =
        r#"{"choices":[{"index":0,"delta":{"audio":{"id":"audio_1","data":"UklGRg=="}},"finish_reason":"stop"}]}"#;
    let shown = r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"aW1n"}}]},"finishReason":"STOP"}]}"#;
    for (caller, body) in [
        (Caller::Anthropic, paused.map(anthropic).concat()),
        (Caller::Responses, drawn.map(|data| event("", data)).concat()),
        (Caller::Chat, event("", spoken) + "data: [DONE]\n\n"),
        (Caller::Gemini, event("", shown)),
    ] {
        let scene = scene(caller).await;
        for how in ["live", "buffered"] {
            scene.first.answers(Bytes { body: body.clone(), piece: 40, cut: false, stream: true });
            let reply = scene.ask(true, &[("x-standin-stream", how)]).await;
            assert_eq!((reply.body.as_str(), reply.is_whole), (body.as_str(), true), "{caller:?} {how}");
        }
        assert!(scene.second.asked().is_empty(), "{caller:?}");
    }
}

#[tokio::test]
async fn a_call_that_there_are_no_words_for_waits_for_the_end_too() {
    let custom = event(
        "",
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"custom_tool_call","id":"c","name":"apply_patch","input":""}}"#,
    ) + &event(
        "",
        r#"{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"*** Begin"}"#,
    );
    let end = event("", r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#);
    let scene = scene(Caller::Responses).await;
    let reply = scene.streamed(&custom, 10_000, true).await;
    assert_eq!(reply.body, stream(Caller::Responses, "from the second"), "half a patch is none");
    let whole = custom + &end;
    assert_eq!(scene.streamed(&whole, 30, false).await.body, whole);
}

#[tokio::test]
async fn an_answer_names_its_model_as_its_provider_does_or_as_it_was_asked_for() {
    for caller in Caller::ALL {
        for names in [ModelNames::Provider, ModelNames::Asked] {
            let scene = scene_with(caller, |settings| settings.server.model = names).await;
            let (whole, stream) = rich(caller);
            let named = |text: &str| match names {
                ModelNames::Provider => text.to_owned(),
                ModelNames::Asked => text.replace("m-of-the-provider", "r"),
            };
            scene.first.answers(Bytes { body: whole.clone(), piece: 33, cut: false, stream: false });
            assert_eq!(scene.ask(false, &[]).await.body, issued(&named(&whole)), "{caller:?}");
            let reply = scene.streamed(&stream, 33, false).await;
            assert_eq!(http::events(&reply.body), http::events(&named(&stream)), "{caller:?}");
            assert_eq!(reply.body.contains("m-of-the-provider"), names == ModelNames::Provider, "{caller:?}");
        }
    }
}

#[tokio::test]
async fn a_thoughts_signature_says_whose_it_is_only_where_another_model_could_take_it_for_its_own() {
    let (whole, stream) = rich(Caller::Anthropic);
    let (whole, stream) =
        (whole.replace("m-of-the-provider", "claude-opus-4-8"), stream.replace("m-of-the-provider", "claude-opus-4-8"));
    for (second, marked) in [("claude-opus-4-8", false), ("claude-haiku-4-5", true)] {
        let scene = scene_with(Caller::Anthropic, |settings| {
            for (name, model) in [("first", "claude-opus-4-8"), ("second", second)] {
                let provider = settings.runtime.providers.remove(name).expect("configured");
                let provider =
                    ProviderConfig { models: std::collections::BTreeMap::default(), ..provider }.model(model);
                settings.runtime.providers.insert(name.to_owned(), provider);
            }
            let targets = ["first/claude-opus-4-8".to_owned(), format!("second/{second}")];
            let mut route = RouteConfig::new(targets.iter().map(String::as_str));
            route.options.strategy = Strategy::Priority;
            settings.runtime.routes.insert("r".to_owned(), route);
        })
        .await;
        let told = |text: &str| {
            let named = |text: String, proof: &str| text.replace(proof, &format!("opus-4.8:{proof}"));
            if marked { named(named(text.to_owned(), "RXJVQg=="), "b3BhcXVl") } else { text.to_owned() }
        };
        scene.first.answers(Bytes { body: whole.clone(), piece: 33, cut: false, stream: false });
        let answer = scene.ask(false, &[]).await;
        assert_eq!(answer.body, told(&whole), "{second}");
        assert_eq!(scene.streamed(&stream, 33, false).await.body, told(&stream), "{second}");
        // It comes back to its issuer as that wrote it.
        let (path, mut body) = Caller::Anthropic.ask("r", "hello", false);
        let thought = answer.json()["content"][0].clone();
        body["messages"] = serde_json::json!([
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "Hm."}]},
            {"role": "user", "content": "Go on."},
        ]);
        scene.first.answers(Bytes { body: whole.clone(), piece: 33, cut: false, stream: false });
        Exchange::begin(scene.sidecar.address(), "POST", &path, &[], &body.to_string()).await.end().await;
        let asked: Value = serde_json::from_str(&scene.first.asked().pop().expect("asked")).expect("JSON");
        assert_eq!(asked["messages"][1]["content"][0]["signature"], "RXJVQg==", "{asked}");
    }
}

/// A conversation in which the model thought, with a proof of that.
fn thoughtful(caller: Caller, proof: &str, stream: bool) -> (String, Value) {
    let (path, mut body) = caller.ask("r", "hello", stream);
    let user = serde_json::json!({"role": "user", "content": "hello"});
    let (field, turns) = match caller {
        Caller::Chat => {
            let detail = serde_json::json!({"type": "reasoning.text", "text": "Hm", "signature": proof});
            let said = serde_json::json!({"role": "assistant", "content": "a", "reasoning_details": [detail]});
            ("messages", serde_json::json!([user, said, user]))
        }
        Caller::Responses => {
            body["store"] = false.into();
            let thought =
                serde_json::json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": proof});
            let said = serde_json::json!({"type": "message", "id": "msg_1", "role": "assistant", "content": "a"});
            ("input", serde_json::json!([user, thought, said, user]))
        }
        Caller::Anthropic => {
            let thought = serde_json::json!({"type": "thinking", "thinking": "Hm", "signature": proof});
            let said = serde_json::json!({"role": "assistant", "content": [thought, {"type": "text", "text": "a"}]});
            ("messages", serde_json::json!([user, said, user]))
        }
        Caller::Gemini => {
            let user = serde_json::json!({"role": "user", "parts": [{"text": "hello"}]});
            let said = serde_json::json!({"role": "model", "parts": [{"text": "a", "thoughtSignature": proof}]});
            ("contents", serde_json::json!([user, said, user]))
        }
    };
    body[field] = turns;
    (path, body)
}

#[tokio::test]
async fn an_encrypted_thought_goes_back_to_its_provider_and_the_other_is_asked_without_it() {
    for streams in [false, true] {
        let scene = scene(Caller::Responses).await;
        let item = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"ENC"}"#;
        let said =
            r#"{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"a"}]}"#;
        let whole = format!(r#"{{"id":"resp_1","status":"completed","output":[{item},{said}]}}"#);
        let events = [
            format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#),
            r#"{"type":"response.output_text.delta","output_index":1,"delta":"a"}"#.to_owned(),
            format!(r#"{{"type":"response.completed","response":{whole}}}"#),
        ];
        let body = if streams { events.map(|data| event("", &data)).concat() } else { whole };
        scene.first.answers(Bytes { body, piece: 30, cut: false, stream: streams });
        let told = scene.ask(streams, &[]).await;
        let answer =
            if streams { http::events(&told.body).pop().expect("an end")["response"].clone() } else { told.json() };
        let thought = answer["output"][0]["encrypted_content"].as_str().expect("a thought").to_owned();
        let (path, body) = thoughtful(Caller::Responses, &thought, streams);
        let ask = || async {
            Exchange::begin(scene.sidecar.address(), "POST", &path, &[], &body.to_string()).await.end().await
        };
        assert_eq!(ask().await.status, 200);
        let asked = scene.first.asked().pop().expect("asked");
        assert!(asked.contains(r#""encrypted_content":"ENC""#), "{asked}");
        scene.first.refuses("", 503, "{}");
        scene.second.refuses("ENC", 400, r#"{"error":{"code":"invalid_encrypted_content"}}"#);
        let reply = ask().await;
        let notes = (!streams).then_some("dropped messages.reasoning");
        assert_eq!((reply.status, reply.header("x-standin-notes")), (200, notes), "{reply:?}");
        let asked = scene.second.asked();
        assert!(asked.len() == 1 && !asked[0].contains("ENC"), "it is not asked with another's thought: {asked:?}");
    }
}

#[tokio::test]
async fn a_target_that_refuses_thoughts_is_asked_once_more_without_them() {
    let refusals = [
        (
            Caller::Responses,
            r#"{"error":{"message":"The encrypted content ENC could not be verified.","code":"invalid_encrypted_content"}}"#,
        ),
        (
            Caller::Anthropic,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: Invalid `signature` in `thinking` block"}}"#,
        ),
        (
            Caller::Gemini,
            r#"{"error":{"code":400,"message":"Thought signature is not valid","status":"INVALID_ARGUMENT"}}"#,
        ),
        (
            Caller::Chat,
            r#"{"error":{"message":"messages.1.content.0: Invalid `signature` in `thinking` block","code":400}}"#,
        ),
    ];
    for (caller, refusal) in refusals {
        for streams in [false, true] {
            let scene = scene(caller).await;
            scene.first.refuses("ENC", 400, refusal);
            let good = stream(caller, "good");
            scene.first.answers(Bytes { body: good.clone(), piece: 10_000, cut: false, stream: true });
            let (path, body) = thoughtful(caller, "ENC", streams);
            let ask = Exchange::begin(scene.sidecar.address(), "POST", &path, &[], &body.to_string()).await;
            let reply = ask.end().await;
            let notes = (!streams).then_some("dropped messages.reasoning");
            assert_eq!((reply.status, reply.header("x-standin-notes")), (200, notes), "{caller:?}: {reply:?}");
            assert_eq!(reply.header("x-standin-target"), Some("first/m"), "{caller:?}");
            let asked = scene.first.asked();
            assert_eq!(asked.len(), 2, "{caller:?}: {asked:?}");
            assert!(asked[1].contains("hello") && !asked[1].contains("ENC"), "{caller:?}: {}", asked[1]);
            // A refusal of both is as any other.
            scene.first.refuses("", 400, refusal);
            let ask = Exchange::begin(scene.sidecar.address(), "POST", &path, &[], &body.to_string()).await;
            assert_eq!(ask.end().await.header("x-standin-target"), Some("second/m"), "{caller:?}");
            assert_eq!(scene.first.asked().len(), 4, "{caller:?}");
        }
    }
}

#[tokio::test]
async fn a_target_that_refuses_betas_is_asked_once_more_without_them() {
    let refusal = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Unexpected value(s) `bad-1` for the `anthropic-beta` header. Please consult our documentation."}}"#;
    let scene = scene(Caller::Anthropic).await;
    let good = stream(Caller::Anthropic, "good");
    scene.first.answers(Bytes { body: good, piece: 10_000, cut: false, stream: true });
    let (path, body) = thoughtful(Caller::Anthropic, "ENC", false);
    let ask = async |betas: &str| {
        let headers = [("anthropic-beta", betas)];
        let ask = Exchange::begin(scene.sidecar.address(), "POST", &path, &headers, &body.to_string()).await;
        ask.end().await
    };
    scene.first.refuses("bad-1", 400, refusal);
    let reply = ask("good-1,bad-1").await;
    assert_eq!((reply.status, reply.header("x-standin-notes")), (200, Some("dropped extra")), "{reply:?}");
    assert_eq!(reply.header("x-standin-target"), Some("first/m"));
    assert_eq!(scene.first.asked().len(), 2);
    // One that refuses what was not asked for is like any other.
    scene.first.refuses("", 400, refusal);
    assert_eq!(ask("good-1").await.header("x-standin-target"), Some("second/m"));
    assert_eq!(scene.first.asked().len(), 3);
}

#[tokio::test]
async fn a_tool_that_the_provider_runs_may_take_longer_than_a_pause_between_words() {
    let searches = [
        r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
    ];
    let short = std::time::Duration::from_millis(60);
    let scene = scene_with(Caller::Anthropic, |settings| {
        for provider in settings.runtime.providers.values_mut() {
            for model in provider.models.values_mut() {
                model.stall = Some(short);
            }
        }
    })
    .await;
    let found = stream(Caller::Anthropic, "Found.");
    let rest = &found[found.find("event: content_block_start").expect("a block")..];
    let said = stream(Caller::Anthropic, "Hm");
    let said = &said[..said.find("event: message_delta").expect("an end")];
    for (before, whole) in [(searches.map(anthropic).concat().as_str(), true), (said, false)] {
        let body = format!("{before}{PAUSE}{rest}");
        let reply = scene.streamed(&body, 10_000, false).await;
        assert_eq!(reply.is_whole, whole, "{}", reply.body);
        if whole {
            assert_eq!(reply.body, format!("{before}{rest}"));
        }
    }
}

#[tokio::test]
async fn lines_end_as_they_do_in_their_dialect() {
    for caller in [Caller::Chat, Caller::Responses, Caller::Anthropic, Caller::Gemini] {
        let scene = scene(caller).await;
        let usual = stream(caller, "from the first").replace("\r\n", "\n");
        for piece in [1, 7, 100_000] {
            let heard = scene.streamed(&usual.replace('\n', "\r\n"), piece, false).await;
            let wanted = if caller == Caller::Gemini { usual.replace('\n', "\r\n") } else { usual.clone() };
            // A blank line more says nothing.
            let mut text = heard.body.clone();
            while text.contains("\n\n\n") {
                text = text.replace("\n\n\n", "\n\n");
            }
            assert_eq!(text.trim_start_matches('\n'), wanted, "{caller:?} in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn text_around_json_is_left_out_of_a_stream_that_goes_on_as_it_came() {
    for caller in [Caller::Chat, Caller::Responses, Caller::Anthropic] {
        for thinks in [false, true] {
            for (pieces, expected) in [
                (vec!["{\\\"a\\\":", "1}"], "{\"a\":1}"),
                (vec!["{\\\"a\\\":1}", " Hope this", " helps!"], "{\"a\":1}"),
                (vec!["{\\\"a\\\":1", "}\\n``", "`"], "{\"a\":1}"),
                (vec!["```json\\n", "{\\\"a\\\":1}\\n", "```"], "{\"a\":1}"),
                (vec!["`", "``\\n{\\\"a\\\":1}```"], "{\"a\":1}"),
                (vec!["Here is:", "\\n```json\\n{\\\"a\\\"", ":1}\\n```\\n", "Bye"], "{\"a\":1}"),
                (vec!["\\n", "{\\\"a\\\":1}\\n"], "\n{\"a\":1}\n"),
            ] {
                let body = judged(caller, thinks, &pieces);
                for piece in [7, 10_000] {
                    let scene = scene(caller).await;
                    scene.first.answers(Bytes { body: body.clone(), piece, cut: false, stream: true });
                    let (path, mut asked) = caller.ask("r", "hello", true);
                    let schema = serde_json::json!({"type": "object"});
                    match caller {
                        Caller::Chat => asked["response_format"] = serde_json::json!({"type": "json_object"}),
                        Caller::Responses => {
                            asked["store"] = false.into();
                            asked["text"] = serde_json::json!({"format": {"type": "json_object"}});
                        }
                        _ => {
                            asked["output_config"] =
                                serde_json::json!({"format": {"type": "json_schema", "schema": schema}});
                        }
                    }
                    let to = scene.sidecar.address();
                    let reply = Exchange::begin(to, "POST", &path, &[], &asked.to_string()).await.end().await;
                    let about = format!("{caller:?} of {pieces:?} in pieces of {piece}: {}", reply.body);
                    assert!(
                        (reply.status, reply.is_whole) == (200, true) && reply.body.contains(caller.end()),
                        "{about}"
                    );
                    assert_eq!(caller.streamed(&reply.body), expected, "{about}");
                    // Unknown fields are there, and the repeated whole is the same.
                    assert_eq!(reply.body.matches("x_new").count(), body.matches("x_new").count(), "{about}");
                    if caller == Caller::Responses {
                        let last = http::events(&reply.body).pop().expect("an event");
                        assert_eq!(last["response"]["output"][0]["content"][0]["text"], expected, "{about}");
                    }
                    assert!(scene.second.asked().is_empty(), "{about}");
                }
            }
        }
    }
}

/// A stream that says these pieces, perhaps after a thought.
fn judged(caller: Caller, thinks: bool, pieces: &[&str]) -> String {
    let (mut all, whole) = (Vec::new(), pieces.concat());
    match caller {
        Caller::Chat => {
            let delta = |field: &str, text: &str| {
                event(
                    "",
                    &format!(r#"{{"id":"c1","x_new":1,"choices":[{{"index":0,"delta":{{"{field}":"{text}"}}}}]}}"#),
                )
            };
            all.extend(thinks.then(|| delta("reasoning_content", "Hm")));
            all.extend(pieces.iter().map(|piece| delta("content", piece)));
            all.push(event("", r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#));
            all.push(event("", "[DONE]"));
        }
        Caller::Responses => {
            let delta = |kind: &str, text: &str| {
                event("", &format!(r#"{{"type":"response.{kind}.delta","x_new":1,"output_index":0,"delta":"{text}"}}"#))
            };
            all.extend(thinks.then(|| delta("reasoning_text", "Hm")));
            all.extend(pieces.iter().map(|piece| delta("output_text", piece)));
            all.push(event(
                "",
                &format!(r#"{{"type":"response.output_text.done","output_index":0,"text":"{whole}"}}"#),
            ));
            all.push(event("", &format!(
                r#"{{"type":"response.completed","response":{{"status":"completed","output":[{{"type":"message","content":[{{"type":"output_text","text":"{whole}"}}]}}]}}}}"#)));
        }
        _ => {
            let delta = |kind: &str, field: &str, text: &str| {
                anthropic(&format!(
                    r#"{{"type":"content_block_delta","x_new":1,"index":0,"delta":{{"type":"{kind}","{field}":"{text}"}}}}"#
                ))
            };
            all.push(anthropic(r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[]}}"#));
            all.extend(thinks.then(|| delta("thinking_delta", "thinking", "Hm")));
            all.extend(pieces.iter().map(|piece| delta("text_delta", "text", piece)));
            all.push(anthropic(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#));
            all.push(anthropic(r#"{"type":"message_stop"}"#));
        }
    }
    all.concat()
}

#[tokio::test]
async fn a_conversation_is_made_short_only_by_a_provider_of_its_dialect() {
    let short = r#"{"id":"resp_1","object":"response.compaction","created_at":1,"output":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]},
        {"type":"compaction","id":"cmp_1","encrypted_content":"ENC"}],"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7}}"#;
    let asked = r#"{"model":"r","input":[{"role":"user","content":"hello"},{"type":"compaction","id":"cmp_0","encrypted_content":"OLD"}],"x_new":1.0}"#;
    let scene = scene(Caller::Responses).await;
    scene.first.answers(Bytes { body: short.to_owned(), piece: 40, cut: false, stream: false });
    let ask = |to| async move { Exchange::begin(to, "POST", "/v1/responses/compact", &[], asked).await.end().await };
    let reply = ask(scene.sidecar.address()).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, short));
    assert_eq!(scene.first.asked(), [asked.replacen("\"r\"", "\"m\"", 1)]);
    let scene = self::scene(Caller::Anthropic).await;
    let refused = ask(scene.sidecar.address()).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(Caller::Responses.message(&refused.json()).contains("`compact"), "{refused:?}");
    assert!(scene.first.asked().is_empty() && scene.second.asked().is_empty());
}

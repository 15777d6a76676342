use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::transport::{HttpRequest, HttpResponse, Transport as _, TransportError};
use crate::words::Usage;

pub(crate) mod reader;
use reader::{ask, cases, retell};

/// Longer than any test's answer takes; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(600);

fn post(body: impl Into<Bytes>) -> HttpRequest {
    HttpRequest {
        url: "https://standin.test/v1/chat/completions?trace=1".into(),
        headers: HeaderMap::new(),
        body: body.into().into(),
        words: None,
    }
}

fn user(text: &str) -> String {
    json!({"model": "m", "messages": [{"role": "user", "content": text}], "stream": true}).to_string()
}

/// Reads a body to its end and says how that was.
async fn drain(response: HttpResponse) -> (Vec<u8>, char) {
    let (mut body, mut chunks) = (Vec::new(), response.body);
    loop {
        match timeout(PATIENCE, chunks.next()).await {
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
            Ok(Some(Err(_))) => return (body, '!'),
            Ok(None) => return (body, '.'),
            Err(_) => return (body, '~'),
        }
    }
}

/// Sends a request and retells its result.
async fn exchange(provider: &Scripted, request: HttpRequest) -> String {
    match timeout(PATIENCE, provider.send(request)).await {
        Err(_) => "~".to_owned(),
        Ok(Err(TransportError::Connect(_))) => "refused".to_owned(),
        Ok(Err(TransportError::Cut(_))) => "reset".to_owned(),
        Ok(Err(TransportError::Unsent(problem) | TransportError::LocalShortage(problem))) => panic!("{problem}"),
        Ok(Ok(response)) => {
            let status = response.status;
            let (body, end) = drain(response).await;
            format!("{status} {} {end}", retell(&body))
        }
    }
}

async fn whole_body(provider: &Scripted, request: HttpRequest) -> Vec<u8> {
    drain(provider.send(request).await.unwrap()).await.0
}

#[tokio::test(start_paused = true)]
async fn every_fault_shows_in_process() {
    for (fault, streamed, whole) in cases() {
        for (stream, expected) in [(true, streamed), (false, whole)] {
            let provider = Scripted::new(Script { per_token: Duration::from_millis(30), ..Script::default() });
            let switch = fault.clone().map(|fault| provider.always(fault));
            let got = exchange(&provider, post(ask(stream))).await;
            assert_eq!(got, expected, "{fault:?}, stream: {stream}");
            assert_eq!(provider.counts().in_flight, 0, "{fault:?}");
            if let Some(record) = provider.log().pop() {
                let outcome = match &fault {
                    Some(fault) if fault.spoils() => Outcome::Fault(fault.name()),
                    _ => Outcome::Answered,
                };
                assert_eq!(record.outcome, outcome, "{fault:?}");
                assert_eq!(record.faults, fault.iter().map(Fault::name).collect::<Vec<_>>());
            } else {
                assert_eq!((fault.as_ref(), provider.counts().refused), (Some(&Fault::Refuse), 1));
            }
            if let Some(switch) = switch {
                provider.lift(switch);
                let well = cases().swap_remove(0);
                let well = if stream { well.1 } else { well.2 };
                assert_eq!(exchange(&provider, post(ask(stream))).await, well, "after {fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_these_bytes() {
    let provider = Scripted::new(Script { seed: 7, ..Script::default() });
    let body = json!({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "say \"hé\"\nnow"}],
        "stream": true, "stream_options": {"include_usage": true}});
    let response = provider.send(post(body.to_string())).await.unwrap();
    let header = |name: &str| response.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(header("x-ratelimit-limit-requests"), "60000000");
    assert_eq!(header("x-ratelimit-remaining-requests"), "59999999");
    assert_eq!(header("x-ratelimit-reset-requests"), "0s");
    let id = header("x-request-id").strip_prefix("req_").unwrap().to_owned();
    let chunk = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":1767225601,\
             \"model\":\"gpt-5-mini\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_standin\",\
             \"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        )
    };
    let delta = |delta: &str| {
        chunk(&format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":null}}"), "null")
    };
    let expected = [
        delta(r#"{"role":"assistant","content":"","refusal":null}"#),
        delta(r#"{"content":"say"}"#),
        delta(r#"{"content":" \"hé\""}"#),
        delta(r#"{"content":"\nnow"}"#),
        chunk(r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}"#, "null"),
        chunk(
            "",
            r#"{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    let chunks: Vec<_> = response.body.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()).collect().await;
    assert_eq!(chunks, expected);
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_this_json() {
    let provider = Scripted::new(Script::default());
    provider.say(Answer::text("a b").reasoning("hm").tool_call("f", r#"{"x":1}"#));
    let response = provider.send(post(ask(false))).await.unwrap();
    assert_eq!(response.headers["content-type"], "application/json");
    let length: usize = response.headers["content-length"].to_str().unwrap().parse().unwrap();
    let (body, _) = drain(response).await;
    assert_eq!(body.len(), length);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let message = &body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("a b"), &json!("hm")));
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{\"x\":1}"}));
    assert!(message["tool_calls"][0]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 1);
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_seed_are_the_same_and_another_seeds_is_not() {
    async fn run(seed: u64) -> (Vec<Record>, Vec<String>) {
        let first_token = Latency::LogNormal { median: Duration::from_millis(700), sigma: 0.6 };
        let per_token = Duration::from_millis(15);
        let provider = Scripted::new(Script { seed, first_token, per_token, ..Script::default() });
        provider.sometimes(0.2, Fault::Error(ProviderError::Server));
        provider.sometimes(0.2, Fault::CutAfter(1));
        provider.inject(Fault::SlowFirst { factor: 3.0, plus: Duration::ZERO }, When::ALWAYS.chance(0.5));
        provider.schedule(Schedule::new().flapping(Duration::from_secs(9), Fault::Reset));
        let mut bodies = Vec::new();
        for _ in 0..40 {
            bodies.push(match provider.send(post(ask(true))).await {
                Ok(response) => String::from_utf8(drain(response).await.0).unwrap(),
                Err(error) => error.to_string(),
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        (provider.log(), bodies)
    }
    let (log, bodies) = run(1).await;
    assert_eq!((&log, &bodies), (&run(1).await.0, &run(1).await.1));
    assert_ne!(log, run(2).await.0);
    let count = |outcome| log.iter().filter(|record| record.outcome == outcome).count();
    for outcome in [Outcome::Answered, Outcome::Fault("server"), Outcome::Fault("cut"), Outcome::Fault("reset")] {
        assert!(count(outcome) > 0, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_the_times_of_the_script_and_the_slowness() {
    let script = Script {
        head: Duration::from_millis(200),
        first_token: Latency::Fixed(Duration::from_secs(1)),
        per_token: Duration::from_millis(50),
        ..Script::default()
    };
    let slow = Fault::SlowFirst { factor: 2.0, plus: Duration::from_millis(500) };
    for (faults, expected) in [
        (vec![], [200, 200, 1_000, 1_050, 1_100, 1_100, 1_100]),
        (vec![slow], [200, 200, 2_500, 2_550, 2_600, 2_600, 2_600]),
        (vec![Fault::SlowTokens(4.0)], [200, 200, 1_000, 1_200, 1_400, 1_400, 1_400]),
    ] {
        let provider = Scripted::new(script.clone());
        for fault in faults {
            provider.always(fault);
        }
        let start = Instant::now();
        let mut times = Vec::new();
        let mut body = provider.send(post(ask(true))).await.unwrap().body;
        times.push(start.elapsed().as_millis());
        while body.next().await.is_some() {
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, expected);
        let start = Instant::now();
        whole_body(&provider, post(ask(false))).await;
        assert_eq!(start.elapsed().as_millis(), expected[6], "a whole answer comes with its last token");
    }
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_keeps_alive_for_ever_and_sends_nothing() {
    for (stream, keep_alive) in [(true, ": keep-alive\n\n"), (false, "\n")] {
        let provider = Scripted::new(Script::default());
        provider.always(Fault::BlackHole { every: Duration::from_secs(15) });
        let start = Instant::now();
        let response = provider.send(post(ask(stream))).await.unwrap();
        assert_eq!(response.status, 200);
        let chunks: Vec<_> = response.body.take(200).map(|chunk| chunk.unwrap()).collect().await;
        assert!(chunks.iter().all(|chunk| chunk == keep_alive));
        assert_eq!(start.elapsed(), Duration::from_secs(3_000));
        assert_eq!(provider.log()[0].outcome, Outcome::Fault("black_hole"));
        assert_eq!(provider.counts().in_flight, 0, "the client has left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_at_every_point() {
    let provider = Scripted::new(Script {
        first_token: Latency::Fixed(Duration::from_secs(1)),
        per_token: Duration::from_secs(1),
        ..Script::default()
    });
    let before_the_head = provider.send(post(ask(false)));
    assert!(timeout(Duration::from_millis(500), before_the_head).await.is_err());
    let mut body = provider.send(post(ask(true))).await.unwrap().body;
    for _ in 0..3 {
        body.next().await.unwrap().unwrap();
    }
    assert_eq!((provider.counts().in_flight, provider.counts().client_left), (1, 1));
    drop(body);
    let counts = provider.counts();
    assert_eq!((counts.in_flight, counts.client_left, counts.tokens), (0, 2, 2));
    let log = provider.log();
    assert!(log.iter().all(|record| record.outcome == Outcome::ClientLeft));
    assert_eq!((log[1].tokens, log[1].ended), (2, Some(Duration::from_millis(2_500))));
    // A reader that has everything may leave without waiting for the body's end.
    let mut body = provider.send(post(ask(true))).await.unwrap().body;
    while !body.next().await.unwrap().unwrap().starts_with(b"data: [DONE]") {}
    drop(body);
    assert_eq!(provider.log()[2].outcome, Outcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn answers_are_queued_made_by_a_function_or_echoed() {
    let answers = Answers::by(|question| Answer::text(format!("{} asks {}", question.model, question.user)));
    let provider = Scripted::new(Script { answers, ..Script::default() });
    let usage = Usage { input: 70, output: 8, ..Usage::default() };
    provider.say(Answer::text("queued").finish("content_filter").usage(usage));
    provider.next(1, Fault::Hang);
    assert_eq!(exchange(&provider, post(ask(false))).await, "~", "which uses no answer up");
    assert_eq!(exchange(&provider, post(ask(false))).await, "200 'queued' =content_filter #70/8 .");
    assert_eq!(exchange(&provider, post(ask(false))).await, "200 'm asks one two three' =stop #3/5 .");
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_called_when_the_text_asks_and_its_result_is_quoted() {
    let provider = Scripted::new(Script::default());
    let tools = json!([{"type": "function", "function": {"name": "add"}}]);
    let asked = json!({"role": "user", "content": "call:add({\"a\": 1, \"b\": 2}) please"});
    let body = json!({"model": "m", "messages": [asked], "tools": tools, "stream": true});
    let expected = "200 role call:add () ({\"a\": 1,) ( \"b\": 2}) =tool_calls done .";
    assert_eq!(exchange(&provider, post(body.to_string())).await, expected);

    let whole = json!({"model": "m", "messages": [asked], "tools": tools});
    let reply: Value = serde_json::from_slice(&whole_body(&provider, post(whole.to_string())).await).unwrap();
    let said = reply["choices"][0]["message"].clone();
    let said = json!({"role": "assistant", "content": said["content"], "tool_calls": said["tool_calls"]});
    let result = json!({"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "it is 3"});
    let body = json!({"model": "m", "messages": [asked, said, result], "tools": tools});
    assert_eq!(exchange(&provider, post(body.to_string())).await, "200 'the tool said: it is 3' =stop #8/6 .");
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_at_the_tokens_the_request_allows() {
    let provider = Scripted::new(Script::default());
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a b c"}], "max_tokens": 2});
    assert_eq!(exchange(&provider, post(body.to_string())).await, "200 'a b' =length #3/2 .");
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_refuses_by_itself_it_refuses_in_the_dialects_words() {
    let provider = Scripted::new(Script { models: vec!["m".into()], keys: vec!["sk-1".into()], ..Script::default() });
    let with_key = |key: &str, request: HttpRequest| {
        let mut request = request;
        request.headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        request
    };
    let other_model = ask(false).replace(r#""model":"m""#, r#""model":"gpt-9""#);
    let mut elsewhere = with_key("sk-1", post(ask(false)));
    elsewhere.url = "http://standin.test/v1/images/generations".into();
    let table = [
        (post(ask(true)), 401, json!("invalid_api_key"), Value::Null),
        (with_key("sk-2", post(ask(true))), 401, json!("invalid_api_key"), Value::Null),
        (with_key("sk-1", post(other_model)), 404, json!("model_not_found"), Value::Null),
        (with_key("sk-1", post(r#"{"model":"m","messages":[]}"#)), 400, json!("empty_array"), json!("messages")),
        (elsewhere, 404, Value::Null, Value::Null),
    ];
    for (request, status, code, param) in table {
        let response = provider.send(request).await.unwrap();
        assert_eq!(response.status, status);
        let body: Value = serde_json::from_slice(&drain(response).await.0).unwrap();
        assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&code, &param));
        assert_eq!(provider.log().pop().unwrap().outcome, Outcome::Rejected(status));
    }
    let mut models = with_key("sk-1", post(""));
    models.url = "http://standin.test/v1/models".into();
    let body: Value = serde_json::from_slice(&whole_body(&provider, models).await).unwrap();
    assert_eq!(body["data"][0]["id"], "m");
    assert_eq!((provider.counts().rejected, provider.answered()), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn one_more_than_it_can_work_on_at_once_is_a_429() {
    let provider = Scripted::new(Script { in_flight_max: Some(2), ..Script::default() });
    provider.next(2, Fault::Hang);
    let mut hanging: Vec<_> = (0..2).map(|_| provider.send(post(ask(true)))).collect();
    for request in &mut hanging {
        assert!(futures_util::poll!(request).is_pending());
    }
    assert_eq!(exchange(&provider, post(ask(true))).await, "429 error(requests) .");
    drop(hanging);
    assert!(exchange(&provider, post(ask(true))).await.starts_with("200"));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_told_in_headers_and_enforced() {
    let provider = Scripted::new(Script { requests_per_minute: 2, ..Script::default() });
    let remaining = async || {
        let response = provider.send(post(ask(true))).await.unwrap();
        let header = |name: &str| response.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (response.status, header("x-ratelimit-remaining-requests").unwrap(), header("retry-after"))
    };
    assert_eq!(remaining().await, (200, "1".into(), None));
    assert_eq!(remaining().await, (200, "0".into(), None));
    assert_eq!(remaining().await, (429, "0".into(), Some("30".into())));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(remaining().await, (200, "0".into(), None));
}

#[tokio::test(start_paused = true)]
async fn a_429_says_when_to_come_back_in_every_form() {
    use RetryHint as H;
    let wait = Duration::from_millis(361_500);
    for (hint, header, expected) in [
        (H::Seconds(wait), "retry-after", "361.5"),
        (H::Seconds(Duration::from_secs(20)), "retry-after", "20"),
        (H::Millis(wait), "retry-after-ms", "361500"),
        (H::Reset(wait), "x-ratelimit-reset-requests", "6m1.5s"),
        (H::Reset(wait), "x-ratelimit-remaining-requests", "0"),
    ] {
        let provider = Scripted::new(Script::default());
        provider.always(Fault::RateLimited(hint));
        let response = provider.send(post(ask(true))).await.unwrap();
        assert_eq!((response.status, response.headers[header].to_str().unwrap()), (429, expected));
    }
    for hint in [H::Silent, H::Text(wait)] {
        let provider = Scripted::new(Script::default());
        provider.always(Fault::RateLimited(hint));
        let response = provider.send(post(ask(true))).await.unwrap();
        assert!(response.headers.keys().all(|name| !name.as_str().starts_with("retry-after")));
        let body = String::from_utf8(drain(response).await.0).unwrap();
        assert_eq!(body.contains("Please try again in 6m1.5s."), hint != H::Silent);
    }
    for (wait, seconds) in [(Duration::from_millis(1_500), 2), (Duration::MAX, 10 * 365 * 86_400)] {
        let provider = Scripted::new(Script::default());
        provider.always(Fault::RateLimited(H::Date(wait)));
        let headers = provider.send(post(ask(true))).await.unwrap().headers;
        let date = |name: &str| httpdate::parse_http_date(headers[name].to_str().unwrap()).unwrap();
        assert_eq!(date("retry-after").duration_since(date("date")).unwrap(), Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn false_headers_leave_the_body_correct() {
    let provider = Scripted::new(Script::default());
    provider.always(Fault::LyingHeaders);
    let headers = provider.send(post(ask(true))).await.unwrap().headers;
    assert_eq!(
        (&headers["content-type"], &headers["retry-after"]),
        (&"text/html".parse().unwrap(), &"3600".parse().unwrap())
    );
    assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
}

#[tokio::test(start_paused = true)]
async fn an_outage_hour_begins_and_ends_on_time() {
    let provider = Scripted::new(Script::default());
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    provider.schedule(Schedule::new().during(minutes(10), minutes(70), Fault::Error(ProviderError::Unavailable)));
    let mut down = Vec::new();
    for minute in 0..90 {
        if exchange(&provider, post(ask(true))).await.starts_with("503") {
            down.push(minute);
        }
        tokio::time::sleep(minutes(1)).await;
    }
    assert_eq!(down, (10..70).collect::<Vec<_>>());
    assert_eq!(provider.log()[10].at, minutes(10));
}

#[tokio::test(start_paused = true)]
async fn faults_compose_and_switch_off_one_by_one() {
    let provider = Scripted::new(Script::default());
    let empty = provider.always(Fault::Empty);
    let finish = provider.always(Fault::Finish("length".into()));
    provider.next(1, Fault::CutAfter(5));
    assert_eq!(exchange(&provider, post(ask(true))).await, "200 role !");
    assert_eq!(exchange(&provider, post(ask(true))).await, "200 role =length done .");
    provider.lift(empty);
    assert!(exchange(&provider, post(ask(true))).await.contains("' three' =length"));
    provider.lift(finish);
    assert!(exchange(&provider, post(ask(true))).await.contains("' three' =stop"));
    provider.always(Fault::Hang);
    provider.always(Fault::Refuse);
    assert_eq!(exchange(&provider, post(ask(true))).await, "refused", "which goes before all");
    provider.clear();
    assert!(exchange(&provider, post(ask(true))).await.starts_with("200"));
}

#[tokio::test(start_paused = true)]
async fn a_record_tells_what_was_received() {
    let provider = Scripted::new(Script::default());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut request = post(ask(true));
    request.headers.insert("x-session-id", "s".parse().unwrap());
    request.headers.insert("idempotency-key", "call-7".parse().unwrap());
    exchange(&provider, request).await;
    let [record] = provider.take_log().try_into().unwrap();
    assert_eq!(
        record,
        Record {
            serial: 1,
            at: Duration::from_secs(3),
            ended: Some(Duration::from_secs(3)),
            path: "/v1/chat/completions".into(),
            marker: Some("call-7".into()),
            body: ask(true).into(),
            faults: vec![],
            outcome: Outcome::Answered,
            tokens: 3,
        }
    );
    assert!(provider.log().is_empty());
    assert_eq!((provider.received(), provider.answered(), provider.counts().tokens), (1, 1, 3));
}

#[tokio::test]
async fn a_function_that_panics_leaves_no_request_behind() {
    let provider = Scripted::new(Script { answers: Answers::by(|_| panic!("on purpose")), ..Script::default() });
    let asking = provider.clone();
    assert!(tokio::spawn(async move { asking.send(post(ask(true))).await.is_ok() }).await.is_err());
    assert_eq!((provider.counts().in_flight, provider.counts().client_left), (0, 1));
}

proptest! {
    #[test]
    fn an_echo_is_what_was_said_streamed_or_whole(text in "(\\PC|[ \n\t\"\\\\]){1,60}") {
        prop_assume!(!text.contains("call:"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let provider = Scripted::new(Script::default());
        let body = runtime.block_on(whole_body(&provider, post(user(&text))));
        let mut said = String::new();
        let events = std::str::from_utf8(&body).unwrap().split_terminator("\n\n");
        for event in events.filter(|event| !event.ends_with("[DONE]")) {
            let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
            said.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
        prop_assert_eq!(&said, &text);
        let whole = user(&text).replace(",\"stream\":true", "");
        let body: Value = serde_json::from_slice(&runtime.block_on(whole_body(&provider, post(whole)))).unwrap();
        prop_assert_eq!(body["choices"][0]["message"]["content"].as_str(), Some(text.as_str()));
    }
}

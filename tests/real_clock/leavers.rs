//! Clients that leave, on the real clock and real sockets, through a sidecar of which nothing is measured yet: silent
//! targets leave the one that is well its part of the client's time, and what a call takes rather than nothing comes
//! before its client leaves.

use std::time::{Duration, Instant};

use standin::config::RungConfig;
use standin::drill::Drill;
use standin::sidecar::{Settings, Sidecar};
use standin::testing::{Fault, Latency, Script};
use standin::{ModelConfig, OnExhausted, ProviderConfig, RouteConfig, Strategy};

use super::MS;

/// How long a client waits that says so; of one that does not, more is assumed.
const SAID: Duration = Duration::from_secs(8);
const ASSUMED: Duration = Duration::from_secs(15);

const TEXT: &str = "Nobody answers.";

/// How the last of the targets answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Well,
    Degraded,
    /// It is as silent, and a text follows.
    Text,
}

/// One call over this many silent targets and another; returns its answer and how long it took.
async fn call(silent: usize, last: Last, says: bool, stream: bool) -> (String, Duration) {
    let script = Script { first_token: Latency::Fixed(MS(200)), per_token: MS(1), ..Script::default() };
    let mut settings = Settings::default();
    settings.server.listen.set_port(0);
    let mut route = RouteConfig::default();
    let mut drills = Vec::new();
    for (at, name) in ["a", "b", "c", "d"][..=silent].iter().enumerate() {
        let drill = Drill::start(script.clone()).await.expect("a drill");
        if at < silent || last == Last::Text {
            drill.handle().always(Fault::Hang);
        }
        let mut provider = ProviderConfig::new(drill.base_url()).key("k").model_with("m", ModelConfig::default());
        provider.stream_upstream = Some(stream);
        settings.runtime.providers.insert((*name).into(), provider);
        route.targets.push(format!("{name}/m").as_str().into());
        drills.push(drill);
    }
    route.options.strategy = Strategy::Priority;
    match last {
        Last::Well => {}
        Last::Degraded => (route.targets[silent].degraded, route.degrade) = (true, vec![RungConfig::Targets]),
        Last::Text => route.degrade = vec![RungConfig::Text(TEXT.to_owned())],
    }
    if last != Last::Well {
        route.failover.on_exhausted = Some(OnExhausted::Degrade);
    }
    settings.runtime.routes.insert("smart".into(), route);
    let sidecar = Sidecar::start(settings).await.expect("a sidecar");
    let body = serde_json::json!({
        "model": "smart", "stream": stream, "messages": [{ "role": "user", "content": "one two three" }],
    });
    let mut request = reqwest::Client::new()
        .post(format!("http://{}/v1/chat/completions", sidecar.address()))
        .header("content-type", "application/json");
    if says {
        request = request.header("x-stainless-read-timeout", SAID.as_secs().to_string());
    }
    let begun = Instant::now();
    let response = request.body(body.to_string()).send().await.expect("the sidecar answers");
    let said = response.text().await.expect("a text");
    (said, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_silent_targets_is_answered_before_its_client_leaves_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    let mut calls = tokio::task::JoinSet::new();
    for (silent, last) in [(1, Last::Well), (2, Last::Well), (3, Last::Well), (1, Last::Degraded), (2, Last::Degraded)]
        .into_iter()
        .chain([(0, Last::Text), (1, Last::Text)])
    {
        for (says, stream) in [(true, false), (true, true), (false, false), (false, true)] {
            calls.spawn(async move { (silent, last, says, stream, call(silent, last, says, stream).await) });
        }
    }
    for (silent, last, says, stream, (said, took)) in calls.join_all().await {
        let patience = if says { SAID } else { ASSUMED };
        let expected = if last == Last::Text { TEXT } else { "three" };
        let case = format!("{silent} silent, {last:?}, says: {says}, stream: {stream}: after {took:?}: {said}");
        println!("{silent} silent, {last:?}, says: {says}, stream: {stream}: after {took:?}");
        assert!(said.contains(expected), "{case}");
        assert!(took < patience, "{case}");
    }
}

//! Hints about a provider: its status page and a health address.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use http::HeaderMap;
use serde_json::json;
use standin::config::HintOptions;
use standin::health::BreakerState;
use standin::testing::{Script, Scripted};
use standin::{Body, BoxFuture, Config, HintSource, HttpRequest, HttpResponse, Reported, Transport, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, ask, config, path, start, target};

/// A transport that has status pages beside a scripted provider.
#[derive(Clone, Debug)]
struct Paged {
    provider: Scripted,
    begun: Instant,
    page: Arc<Mutex<(u16, String)>>,
    asked: Arc<Mutex<Vec<(Duration, String, HeaderMap)>>>,
}

impl Paged {
    fn says(&self, status: u16, page: impl ToString) {
        *self.page.lock().expect("no panic") = (status, page.to_string());
    }

    fn asked(&self) -> Vec<(Duration, String, HeaderMap)> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Transport for Paged {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        self.provider.send(request)
    }

    fn get(&self, url: String, headers: HeaderMap) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        self.asked.lock().expect("no panic").push((self.begun.elapsed(), url, headers));
        let (status, page) = self.page.lock().expect("no panic").clone();
        let body: Body = Box::pin(stream::iter([Ok(page.into())]));
        Box::pin(async move {
            match status {
                0 => Err(TransportError::Connect("nobody there".into())),
                status => Ok(HttpResponse::new(status, HeaderMap::new(), body)),
            }
        })
    }
}

/// Two providers, of which the first has sources.
async fn with_hints(hints: HintOptions) -> (World, Paged) {
    let providers: Vec<Scripted> = (0..2).map(|_| Scripted::new(Script::default())).collect();
    let page = Arc::new(Mutex::new((200, json!({"status": {"indicator": "none", "description": "Fine"}}).to_string())));
    let paged = Paged { provider: providers[0].clone(), begun: Instant::now(), page, asked: Arc::default() };
    let mut config: Config = config(&providers);
    let a = config.providers.get_mut("a").expect("there");
    *a = a.clone().over(paged.clone()).key("sk-secret");
    a.hints = hints;
    let runtime = start(config.clone()).await;
    (World { runtime, providers, config }, paged)
}

fn page() -> HintOptions {
    HintOptions { status_page: Some("https://status.a.test/api/v2/summary.json".into()), ..HintOptions::default() }
}

fn outage() -> serde_json::Value {
    json!({"status": {"indicator": "critical", "description": "Major Outage"}, "incidents": [
        {"name": "No answers", "status": "investigating"}]})
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_status_page_is_shown_everywhere_and_opens_no_breaker() {
    let (world, paged) = with_hints(page()).await;
    sleep(7 * S).await;
    let said = |world: &World| world.runtime.health().providers[0].hints.clone();
    assert_eq!((said(&world)[0].reported, &*said(&world)[0].says), (Reported::Well, "Fine"));
    let usual = world.health("a/m").failure_rate;
    paged.says(200, outage());
    sleep(75 * S).await;
    let hint = said(&world)[0].clone();
    assert_eq!((hint.source, hint.reported), (HintSource::StatusPage, Reported::Down));
    assert!(world.runtime.health().to_string().contains("a: up; status page says Major Outage: No answers"));
    let explained = world.runtime.explain("smart").await.expect("such a route");
    assert!(explained.to_string().contains("; status page says Major Outage: No answers"), "{explained}");
    let health = world.health("a/m");
    assert_eq!((health.breaker, health.hint), (BreakerState::Closed, Some(Reported::Down)));
    assert!(health.failure_rate > usual + 0.1, "it raises what is expected");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won", "it is asked as before");
    let why = world.runtime.why(reply.finished.call).expect("it is remembered").to_string();
    assert_eq!(why.matches("a: status page says Major Outage: No answers").count(), 1, "{why}");
    for (_, url, headers) in paged.asked() {
        assert_eq!(url, "https://status.a.test/api/v2/summary.json");
        assert!(!headers.contains_key("authorization") && !format!("{headers:?}").contains("secret"), "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_models_is_asked_with_the_providers_own_key_and_only_that() {
    let (world, paged) = with_hints(HintOptions { models: true, ..page() }).await;
    paged.says(503, "");
    sleep(7 * S).await;
    let hints = world.runtime.health().providers[0].hints.clone();
    assert_eq!(hints.len(), 1, "a status page that answers so says nothing: {hints:?}");
    assert_eq!((hints[0].source, hints[0].to_string().as_str()), (HintSource::Models, "list of models says 503"));
    assert_eq!(world.health("a/m").breaker, BreakerState::Closed);
    let base = world.config.providers["a"].base_url.clone().expect("there");
    for (_, url, headers) in paged.asked() {
        let own = url == format!("{base}/models/m");
        assert!(own || url.starts_with("https://status."), "{url}");
        assert_eq!(headers.contains_key("authorization"), own, "{url}");
    }
    assert!(paged.asked().iter().any(|(_, url, _)| url.ends_with("/models/m")));
    for (status, said) in [(401, None), (200, Some(Reported::Well))] {
        paged.says(status, "");
        sleep(240 * S).await;
        let hints = world.runtime.health().providers[0].hints.clone();
        assert_eq!(hints.iter().map(|hint| hint.reported).next(), said, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_says_nothing_and_what_it_said_fades() {
    let (world, paged) = with_hints(page()).await;
    paged.says(200, outage());
    sleep(7 * S).await;
    assert_eq!(world.health("a/m").hint, Some(Reported::Down));
    for (status, page) in [(0, ""), (500, "{}"), (200, "<html>"), (200, "{\"status\": {\"indicator\": \"purple\"}}")] {
        paged.says(status, page);
        sleep(40 * S).await;
    }
    assert!(world.runtime.health().providers[0].hints.is_empty() || world.health("a/m").hint == Some(Reported::Down));
    sleep(60 * S).await;
    assert!(world.runtime.health().providers[0].hints.is_empty(), "after three times its time it is gone");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    let why = world.runtime.why(reply.finished.call).expect("it is remembered").to_string();
    assert!(!why.contains("says"), "{why}");
    sleep(80 * S).await;
    assert_eq!(world.health("a/m").hint, None);
}

#[tokio::test(start_paused = true)]
async fn a_servers_own_address_says_by_its_status_how_it_is_and_is_looked_at_with_jitter() {
    let hints = HintOptions { health: Some("http://a.test/health".into()), every: 20 * S, ..HintOptions::default() };
    let (world, paged) = with_hints(hints).await;
    paged.says(503, "");
    sleep(600 * S).await;
    assert_eq!(world.health("a/m").hint, Some(Reported::Down));
    let hints = world.runtime.health().providers[0].hints.clone();
    assert_eq!(hints[0].to_string(), "health endpoint says 503");
    let asked = paged.asked();
    assert!((25..=38).contains(&asked.len()), "{}", asked.len());
    let pauses: Vec<Duration> = asked.windows(2).map(|two| two[1].0.abs_diff(two[0].0)).collect();
    assert!(pauses.iter().all(|pause| (15_999 * MS..=24_001 * MS).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().any(|pause| pause.abs_diff(pauses[0]) > S), "they are not all alike");
    // Another source, or none, with the next configuration.
    let mut config = world.config.clone();
    config.providers.get_mut("a").expect("there").hints = HintOptions::default();
    world.runtime.reconfigure(config).await.expect("it is right");
    sleep(60 * S).await;
    assert_eq!(paged.asked().len(), asked.len(), "nobody looks any more");
    assert!(world.runtime.health().providers[0].hints.is_empty());
    assert_eq!(world.runtime.health().target(&target("a/m")).expect("there").hint, None);
}

/// On real sockets and by the real clock: a page is fetched as the provider's requests go out, and without its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_fetched_over_a_socket_without_a_key() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("somebody looks");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.expect("a head"));
        }
        let page = outage().to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
        socket.write_all(answer.as_bytes()).await.expect("it reads");
        String::from_utf8(head).expect("text")
    });
    let mut config = Config { seed: Some(7), ..Config::default() };
    let mut provider = standin::ProviderConfig::new(format!("http://{address}/v1")).key("sk-secret").model("m");
    provider.hints.status_page = Some(format!("http://{address}/api/v2/status.json"));
    provider.hints.every = 15 * S;
    config.providers.insert("a".into(), provider);
    let runtime = start(config).await;
    let head = server.await.expect("no panic").to_lowercase();
    assert!(head.starts_with("get /api/v2/status.json http/1.1\r\n") && !head.contains("secret"), "{head}");
    let begun = std::time::Instant::now();
    while runtime.health().target(&target("a/m")).expect("there").hint != Some(Reported::Down) {
        assert!(begun.elapsed() < 5 * S, "it is told");
        sleep(MS).await;
    }
}

//! Lists of prices that are replaced while the program runs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use standin::config::{PriceConfig, PricesConfig};
use standin::testing::{Script, Scripted};
use standin::{Config, ModelConfig, ProviderConfig, Rates, Runtime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::kit::{Folder, MS, S, ask, config, start};

/// A list of prices in a folder of its own.
struct Place(Folder);

impl Place {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn file(&self) -> PathBuf {
        self.0.file("prices.json")
    }

    /// Writes the file as programs do that nobody may find half written.
    fn write(&self, list: &str) {
        let new = self.0.file("prices.new");
        std::fs::write(&new, list).expect("a file");
        std::fs::rename(&new, self.file()).expect("in its place");
    }
}

/// Two providers with a model each that the catalogue does not know; the second has a configured price.
fn two(file: &Path) -> Config {
    let mut config = config(&[Scripted::new(Script::default()), Scripted::new(Script::default())]);
    let own = ModelConfig { price: Some(PriceConfig::new(7.0, 9.0)), ..ModelConfig::default() };
    config.providers.get_mut("a").expect("there").models.insert("m".into(), ModelConfig::default());
    config.providers.get_mut("b").expect("there").models.insert("m".into(), own);
    config.prices = PricesConfig { file: Some(file.to_owned()), ..PricesConfig::default() };
    config
}

/// Returns the price that the next attempt at a target is booked with.
async fn booked(runtime: &Runtime, target: &str) -> Option<Rates> {
    let mut request = ask("hello");
    request.route = target.into();
    let reply = runtime.chat(request).await.expect("an answer");
    reply.finished.attempts[0].price
}

fn problem(runtime: &Runtime) -> Option<String> {
    runtime.health().prices[0].problem.as_deref().map(str::to_owned)
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < 20 * S, "{what}");
        tokio::time::sleep(10 * MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_prices_goes_before_the_catalogue_and_behind_the_configuration() {
    let place = Place::new();
    place.write(r#"{"a/m": {"input": 1.0, "output": 2.0}, "b/m": {"input": 1.0, "output": 2.0}}"#);
    let mut config = two(&place.file());
    let mut known = ProviderConfig::openai().key("k").over(Scripted::new(Script::default()));
    known.models.insert("gpt-5-mini".into(), ModelConfig::default());
    known.models.insert("gpt-5-nano".into(), ModelConfig::default());
    config.providers.insert("openai".into(), known);
    place.write(
        r#"{"a/m": {"input": 1.0, "output": 2.0}, "b/m": {"input": 1.0, "output": 2.0},
        "gpt-5-mini": {"litellm_provider": "openai", "input_cost_per_token": 5e-7, "output_cost_per_token": 4e-6}}"#,
    );
    let runtime = start(config).await;
    assert_eq!(booked(&runtime, "a/m").await, Some(Rates::new(1.0, 2.0)), "from the first call on");
    assert_eq!(booked(&runtime, "b/m").await, Some(Rates::new(7.0, 9.0)), "what is configured stays");
    assert_eq!(booked(&runtime, "openai/gpt-5-mini").await, Some(Rates::new(0.5, 4.0)));
    let nano = standin::models::find("gpt-5-nano").and_then(|model| model.price.as_ref()).map(|price| price.rates);
    assert_eq!(booked(&runtime, "openai/gpt-5-nano").await, nano, "what is not listed is the catalogue's");
    assert!(runtime.health().unpriced.is_empty());
}

#[tokio::test]
async fn a_list_that_changes_is_taken_in_while_calls_run_and_the_books_keep_what_held() {
    let place = Place::new();
    place.write(r#"{"a/m": {"input": 1.0, "output": 2.0}}"#);
    let runtime = start(two(&place.file())).await;
    let first = runtime.chat(ask("hello")).await.expect("an answer").finished.call;
    let admitted = runtime.health().providers[0].targets[0].1.admitted;
    place.write(r#"{"a/m": {"input": 3.00, "output": 4.0}}"#);
    let runs = runtime.clone();
    let seen = || async { booked(&runs, "a/m").await };
    let begun = Instant::now();
    while seen().await != Some(Rates::new(3.0, 4.0)) {
        assert!(begun.elapsed() < 20 * S, "it is seen");
        tokio::time::sleep(50 * MS).await;
    }
    let attempts = runtime.attempts(first);
    let then = attempts.iter().find(|attempt| &*attempt.target.provider == "a").expect("it was asked");
    assert_eq!(then.price, Some(Rates::new(1.0, 2.0)), "what was booked stays booked");
    let health = runtime.health();
    assert_eq!(health.providers[0].incarnations, 1, "no actor was started again");
    assert!(health.providers[0].targets[0].1.admitted > admitted, "nothing was forgotten");
    // What it no longer lists has no price, and is not taken for free.
    place.write(r#"{"b/m": {"input": 3.0, "output": 4.0}}"#);
    until("it is told", || runtime.health().unpriced.iter().any(|id| id.to_string() == "a/m")).await;
    assert_eq!(booked(&runtime, "a/m").await, None);
}

#[tokio::test]
async fn a_wrong_list_leaves_the_prices_as_they_were_and_health_says_so() {
    let place = Place::new();
    place.write(r#"{"a/m": {"input": 1.0, "output": 2.0}}"#);
    let runtime = start(two(&place.file())).await;
    assert_eq!((problem(&runtime), runtime.health().prices[0].listed), (None, 1));
    for (list, told) in [
        ("{\"a/m\": {\"input\": -3.0, \"output\": 4.0}}", "`a/m`: must be dollars"),
        ("half a fi", "is no JSON object"),
    ] {
        place.write(list);
        until(told, || problem(&runtime).is_some_and(|problem| problem.starts_with(told))).await;
        assert_eq!(booked(&runtime, "a/m").await, Some(Rates::new(1.0, 2.0)), "{list}");
        assert!(runtime.health().to_string().contains("prices.json stay as they were: it "));
    }
    std::fs::remove_file(place.file()).expect("it was there");
    until("gone", || problem(&runtime).is_some_and(|problem| problem.starts_with("cannot be read"))).await;
    assert_eq!(booked(&runtime, "a/m").await, Some(Rates::new(1.0, 2.0)));
    // A reload looks at once, and what is right again is taken in.
    place.write(r#"{"a/m": {"input": 5.0, "output": 6.0}}"#);
    runtime.reconfigure(two(&place.file())).await.expect("it is right");
    assert_eq!((problem(&runtime), booked(&runtime, "a/m").await), (None, Some(Rates::new(5.0, 6.0))));
    // Without a list nothing of it holds.
    runtime.reconfigure(Config { prices: PricesConfig::default(), ..two(&place.file()) }).await.expect("it is right");
    assert_eq!(booked(&runtime, "a/m").await, None);
    assert!(runtime.health().prices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_start_goes_on_without_a_list_that_is_not_there() {
    let place = Place::new();
    let runtime = start(two(&place.file())).await;
    assert!(problem(&runtime).is_some_and(|problem| problem.starts_with("cannot be read")));
    assert_eq!(booked(&runtime, "a/m").await, None);
    place.write(r#"{"a/m": {"input": 1.0, "output": 2.0}}"#);
    tokio::time::sleep(3 * S).await;
    assert_eq!(booked(&runtime, "a/m").await, Some(Rates::new(1.0, 2.0)));
}

#[tokio::test]
async fn a_list_at_an_address_is_asked_for_and_what_the_file_lists_goes_before_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let server = tokio::spawn(async move {
        let mut heads = Vec::new();
        for list in [r#"{"a/m": {"input": 1, "output": 1}, "c/m": {"input": 2, "output": 2}}"#, "no list"] {
            let (mut socket, _) = listener.accept().await.expect("somebody asks");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.expect("a head"));
            }
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{list}", list.len());
            socket.write_all(answer.as_bytes()).await.expect("it reads");
            heads.push(String::from_utf8(head).expect("text"));
        }
        heads
    });
    let place = Place::new();
    place.write(r#"{"a/m": {"input": 8.0, "output": 9.0}}"#);
    let mut config = two(&place.file());
    let c = ProviderConfig::new("http://c.test/v1").key("sk-secret").model("m").over(Scripted::new(Script::default()));
    config.providers.insert("c".into(), c);
    config.prices.url = Some(format!("http://{address}/prices.json?token=hidden"));
    let runtime = start(config.clone()).await;
    assert_eq!(booked(&runtime, "a/m").await, Some(Rates::new(8.0, 9.0)));
    assert_eq!(booked(&runtime, "c/m").await, Some(Rates::new(2.0, 2.0)));
    let told = runtime.health().prices[1].from.to_string();
    assert_eq!(told, format!("http://{address}/prices.json"), "what follows the path may be a key");
    // At a reload it is asked again, and no reload waits for it; what it says now is no list.
    runtime.reconfigure(config).await.expect("it is right");
    until("it is asked again", || runtime.health().prices[1].problem.is_some()).await;
    assert_eq!(booked(&runtime, "c/m").await, Some(Rates::new(2.0, 2.0)));
    let heads = server.await.expect("no panic");
    assert!(heads.iter().all(|head| head.starts_with("GET /prices.json?token=hidden ") && !head.contains("secret")));
}

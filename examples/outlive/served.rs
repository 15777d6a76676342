//! A sidecar and the agents that ask it over HTTP, killed together. What agents ask for is made in the background: half
//! of them look at it until it is there, a quarter reads its events once it is whole, and a quarter as they come. Some
//! of the last are broken off, by a kill or by the provider: they end as failed, behind what was heard of them.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use standin::ProviderConfig;
use standin::config::StoreConfig;
use standin::sidecar::{Settings, Sidecar};

use super::storm::{self, BEGUN, Books, MS, WORKERS, begin, say, start};

/// The arguments that make the program a sidecar, or agents.
const SERVE: &str = "--serve";
const ASK: &str = "--ask";

/// Works as a child, if it is one.
pub fn child() -> bool {
    let arguments: Vec<String> = std::env::args().skip_while(|it| it != SERVE && it != ASK).collect();
    let [what, first, second] = &arguments[..] else { return false };
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    match what.as_str() {
        SERVE => executor.block_on(serve(Path::new(first), second.parse().expect("an address"))),
        _ => executor.block_on(ask(first.parse().expect("an address"), second.parse().expect("a number"))),
    }
    true
}

/// Serves until it is killed.
async fn serve(file: &Path, provider: SocketAddr) {
    let mut settings = Settings::default();
    settings.server.listen.set_port(0);
    let drill = ProviderConfig::new(format!("http://{provider}/v1")).key("sk-drill").model("m");
    settings.runtime.providers.insert("drill".to_owned(), drill);
    settings.runtime.store = Some(StoreConfig::new(file));
    settings.runtime.failover.attempts_max = Some(8);
    let sidecar = Sidecar::start(settings).await.expect("it starts");
    say(&sidecar.address().to_string());
    std::future::pending::<()>().await;
}

/// Asks until it is killed, and says which calls are accepted and what their answers are.
async fn ask(sidecar: SocketAddr, first: u64) {
    say(BEGUN);
    let (client, next) = (Client::new(), Arc::new(AtomicU64::new(first)));
    for _ in 0..WORKERS {
        let (client, next) = (client.clone(), next.clone());
        tokio::spawn(async move {
            // A sidecar that is gone gives nothing: these are killed, too.
            while ask_for(&client, sidecar, next.fetch_add(1, Relaxed)).await.is_some() {}
        });
    }
    std::future::pending::<()>().await;
}

/// Asks for one answer, and says what it is.
async fn ask_for(client: &Client, sidecar: SocketAddr, number: u64) -> Option<()> {
    let (streams, is_live) = (number.is_multiple_of(2), is_live(number));
    let body = json!({"model": "drill/m", "input": format!("call {number}."), "background": true, "stream": streams});
    let request = request(client, Method::POST, sidecar, "")
        .header("idempotency-key", number.to_string())
        .header("x-standin-on-exhausted", "wait")
        .header("x-standin-stream", if is_live { "live" } else { "buffered" })
        .header("content-type", "application/json")
        .body(body.to_string());
    let mut reply = request.send().await.ok()?;
    if reply.status() != 200 {
        say(&format!("refused {number} {}", reply.text().await.ok()?));
        return None;
    }
    let response = if streams {
        let (mut events, mut is_accepted, mut heard) = (Vec::new(), false, String::new());
        while let Some(piece) = reply.chunk().await.ok()? {
            events.extend_from_slice(&piece);
            if let (false, Some(event)) = (is_accepted, read(&events).first()) {
                say(&format!("accepted {number} {}", id(&event["response"])));
                is_accepted = true;
            }
            let words = words(&read(&events));
            if is_live && words != heard {
                say(&format!("heard {number} {words}"));
                heard = words;
            }
        }
        read(&events).pop()?["response"].take()
    } else {
        let response: Value = serde_json::from_str(&reply.text().await.ok()?).ok()?;
        say(&format!("accepted {number} {}", id(&response)));
        ended(client, sidecar, id(&response)).await?
    };
    match response["status"].as_str() {
        Some("completed") => say(&format!("answered {number} {}", text(&response))),
        Some("failed") if is_live => {}
        _ => say(&format!("failed {number} {response}")),
    }
    Some(())
}

fn request(client: &Client, method: Method, sidecar: SocketAddr, path: &str) -> RequestBuilder {
    client.request(method, format!("http://{sidecar}/v1/responses{path}"))
}

async fn get_text(client: &Client, sidecar: SocketAddr, path: &str) -> Option<String> {
    let reply = request(client, Method::GET, sidecar, &format!("/{path}")).send().await.ok()?;
    reply.error_for_status().ok()?.text().await.ok()
}

/// Looks at an answer until it has ended. What is kept is told a moment later.
async fn ended(client: &Client, sidecar: SocketAddr, id: &str) -> Option<Value> {
    loop {
        let response: Value = serde_json::from_str(&get_text(client, sidecar, id).await?).ok()?;
        if !matches!(response["status"].as_str(), Some("queued" | "in_progress")) {
            return Some(response);
        }
        tokio::time::sleep(5 * MS).await;
    }
}

/// Tells whether a call's words are told as they come.
fn is_live(number: u64) -> bool {
    number.is_multiple_of(4)
}

/// Returns the words of events.
fn words(events: &[Value]) -> String {
    let delta = |event: &Value| {
        let is_delta = event["type"] == "response.output_text.delta";
        is_delta.then(|| event["delta"].as_str().expect("a text").to_owned())
    };
    events.iter().filter_map(delta).collect()
}

fn id(response: &Value) -> &str {
    response["id"].as_str().expect("an id")
}

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().expect("a text")
}

/// Reads the events that are whole.
fn read(events: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(events);
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

/// Kills as often, and returns what came of it.
pub fn kill_again_and_again(kills: u32) -> String {
    storm::with_file("sidecar", async |file| {
        let start = |provider: SocketAddr, first: u64| {
            let (sidecar, _, address) = served(file, provider);
            let (agents, told) = begin([ASK.as_ref(), address.to_string().as_ref(), first.to_string().as_ref()], BEGUN);
            let mut both = vec![sidecar, agents];
            if rand::random() {
                both.reverse();
            }
            (both, told)
        };
        let (drill, books) = storm::storm(file, kills, start).await;
        finish(file, drill, books, kills).await
    })
}

fn served(file: &Path, provider: SocketAddr) -> (Child, BufReader<ChildStdout>, SocketAddr) {
    let (child, told, address) = start([SERVE.as_ref(), file.as_os_str(), provider.to_string().as_ref()]);
    (child, told, address.parse().expect("an address"))
}

/// Lets a last sidecar finish everything, reads it all, kills that one, too, and compares with what another reads.
async fn finish(file: &Path, drill: standin::drill::Drill, mut books: Books, kills: u32) -> String {
    let (client, told) = (Client::new(), books.answered.len());
    let mut first = None;
    for round in 0..2 {
        let (mut sidecar, _said, address) = served(file, drill.address());
        storm::settled(file).await;
        books.leave_out_failed(file);
        let asked = drill.handle().received();
        let mut seen = BTreeMap::new();
        for (number, id) in books.accepted.clone() {
            let response = ended(&client, address, &id).await.unwrap_or_else(|| panic!("call {number} is lost"));
            let whole = get_text(&client, address, &id).await.expect("it is there");
            let again = get_text(&client, address, &id).await;
            assert_eq!(again.as_ref(), Some(&whole), "call {number} reads the same");
            let all = from_everywhere(&client, address, &id).await;
            let words = words(&read(all.as_bytes()));
            if response["status"] == "completed" {
                books.end(number, text(&response));
            } else {
                let why = response["error"]["message"].as_str().unwrap_or_default();
                let may_fail = is_live(number) && why.starts_with("interrupted: ") && !words.is_empty();
                assert!(may_fail, "call {number}: {response}");
                assert!(!books.answered.contains_key(&number), "call {number} was answered before: {response}");
            }
            if let Some(heard) = books.heard.get(&number) {
                assert!(words.starts_with(heard), "call {number}: {heard:?} was heard, and then {words:?}");
            }
            seen.insert(number, (whole, all));
        }
        assert_eq!(drill.handle().received(), asked, "nobody is asked for what is kept");
        if round == 0 {
            let ledger = client.get(format!("http://{address}/ledger")).send().await.expect("a ledger");
            let ledger: Value = serde_json::from_str(&ledger.text().await.expect("a text")).expect("JSON");
            first = Some((seen, ledger["again"].as_u64().expect("a number")));
        } else {
            assert!(first.as_ref().is_some_and(|(first, _)| *first == seen), "another process reads other bytes");
        }
        sidecar.kill().expect("a kill");
        sidecar.wait().expect("its end");
    }
    let again = first.map_or(0, |(_, again)| again);
    books.sum(&drill, kills, told, again)
}

/// Reads all events of an answer, and from each place on the same.
async fn from_everywhere(client: &Client, sidecar: SocketAddr, id: &str) -> String {
    let all = get_text(client, sidecar, &format!("{id}?stream=true")).await.expect("events");
    let events: Vec<&str> = all.split_inclusive("\n\n").collect();
    for after in 0..events.len() {
        let rest = get_text(client, sidecar, &format!("{id}?stream=true&starting_after={after}")).await;
        assert_eq!(rest.expect("events"), events[after + 1..].concat(), "{id} after {after}");
    }
    all
}

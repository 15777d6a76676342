//! The sidecar over drills: real sockets on both sides, raw HTTP by hand, and no time that decides anything.

mod access;
mod answers;
mod background;
mod begin;
mod bills;
mod bodies;
mod careless;
mod child;
mod connections;
#[cfg(target_os = "linux")]
mod disks;
mod endless;
mod ends;
mod failures;
mod flaws;
mod handover;
mod http;
mod ledger;
mod live;
mod log;
mod misspelt;
mod neighbours;
mod once;
mod operators;
mod pages;
mod parts;
mod program;
mod reload;
mod sealed;
mod secrets;
mod tls;
mod unread;
mod walls;
mod upstream;
mod waits;
mod warm;
mod verbatim;

use std::time::Duration;

use standin::config::{DialectConfig, PriceConfig};
use standin::drill::Drill;
use standin::sidecar::{ClientKey, Hash, Settings, Sidecar};
use standin::testing::{Counts, Script};
use standin::{ModelConfig, ProviderConfig, RouteConfig, Strategy};

/// The key that the drills ask for, which no client knows.
const PROVIDERS_KEY: &str = "sk-providers-own";

/// Providers by their dialects: OpenAI's `a`, Anthropic's `b`, Google's `c`.
const CAST: [(&str, &str, DialectConfig, &str); 3] = [
    ("a", "gpt-5-mini", DialectConfig::OpenaiChat, "/v1"),
    ("b", "claude-haiku-4-5", DialectConfig::Anthropic, "/v1"),
    ("c", "gemini-2.5-flash", DialectConfig::Gemini, "/v1beta"),
];

/// A sidecar over drills: the route `smart` asks them in their order, and `a`, `b`, `c` are routes of one each.
struct Stage {
    sidecar: Sidecar,
    drills: Vec<Drill>,
    settings: Settings,
}

/// Starts a sidecar over this many drills.
async fn stage(count: usize) -> Stage {
    stage_with(count, Script::default(), |_| {}).await
}

async fn stage_with(count: usize, script: Script, edit: impl FnOnce(&mut Settings)) -> Stage {
    let mut drills = Vec::new();
    let mut settings = Settings::default();
    settings.server.listen.set_port(0);
    settings.runtime.seed = Some(7);
    for (name, model, dialect, path) in CAST.into_iter().take(count) {
        let script = Script { keys: vec![PROVIDERS_KEY.into()], ..script.clone() };
        let drill = Drill::start(script).await.expect("a drill");
        let mut provider = ProviderConfig::new(format!("http://{}{path}", drill.address())).key(PROVIDERS_KEY);
        provider.dialect = Some(dialect);
        let price = PriceConfig::new(1.0, 4.0);
        let config = ModelConfig { price: Some(price), ..ModelConfig::default() };
        settings.runtime.providers.insert(name.to_owned(), provider.model_with(model, config));
        settings.runtime.routes.insert(name.to_owned(), RouteConfig::new([format!("{name}/{model}").as_str()]));
        drills.push(drill);
    }
    let targets = CAST.iter().take(count).map(|(name, model, ..)| format!("{name}/{model}")).collect::<Vec<_>>();
    let mut route = RouteConfig::new(targets.iter().map(String::as_str));
    route.options.strategy = Strategy::Priority;
    settings.runtime.routes.insert("smart".to_owned(), route);
    edit(&mut settings);
    let sidecar = Sidecar::start(settings.clone()).await.expect("a sidecar");
    Stage { sidecar, drills, settings }
}

impl Stage {
    fn counts(&self, drill: usize) -> Counts {
        self.drills[drill].handle().counts()
    }

    /// Waits until a drill's counts are so.
    async fn until(&self, drill: usize, is: impl Fn(Counts) -> bool) {
        until(|| is(self.counts(drill))).await;
    }
}

/// Returns a client's key for all routes; the key is the client's name.
fn open_key(name: &str) -> ClientKey {
    let sha256 = Hash::of(name);
    let (routes, fields) = (Vec::new(), Vec::new());
    ClientKey { name: name.into(), sha256, routes, fields, requests_per_minute: None, operator: false }
}

/// Waits until something is so.
async fn until(is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(http::PATIENCE, waiting).await.expect("it never became so");
}

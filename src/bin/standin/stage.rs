//! The providers of `serve --drill`: four drills that answer over real HTTP on loopback, three in one dialect each, and
//! a route over them: conversations go to the models that chat, texts to the ones that embed.

use std::io;
use std::time::Duration;

use http::HeaderMap;
use standin::config::{DialectConfig, PriceConfig};
use standin::drill::Drill;
use standin::sidecar::Settings;
use standin::testing::{
    Answer, Answers, Crash, Fault, Form, Latency, ProviderError, Question, RetryHint, Script, crash, is_asked_for,
};
use standin::{ForeignParts, ModelConfig, ProviderConfig, RouteConfig, Runtime};

/// The route over all drills; it also serves every name that no route has.
pub const ROUTE: &str = "smart";
/// How often a storm kills a provider's actor.
const CRASH_EVERY: Duration = Duration::from_secs(5);
/// The chance of each way to fail: eight of them make a fifth. All of them come before an answer's first word, where
/// failover can hide them: what breaks off later is seen by the caller.
const CHANCE: f64 = 0.025;
/// Attempts of a call: of ten thousand calls in a storm, one or less finds that many failures in a row.
const ATTEMPTS_MAX: u32 = 6;

/// The model that embeds, at the last drill and at the first.
const EMBEDS: &str = "text-embedding-3-small";

/// A drill: its provider's name, its model, its dialect, and the path behind its address.
const CAST: [(&str, &str, DialectConfig, &str); 4] = [
    ("drill-openai", "gpt-5.4-mini", DialectConfig::OpenaiChat, "/v1"),
    ("drill-anthropic", "claude-haiku-4-5", DialectConfig::Anthropic, "/v1"),
    ("drill-gemini", "gemini-2.5-flash", DialectConfig::Gemini, "/v1beta"),
    ("drill-vectors", EMBEDS, DialectConfig::OpenaiChat, "/v1"),
];

/// The drills; they end when this is dropped.
pub struct Stage {
    drills: Vec<Drill>,
    storm: bool,
}

impl Stage {
    /// Starts the drills.
    pub async fn start(storm: bool) -> io::Result<Self> {
        let mut drills = Vec::new();
        for seed in (1..).take(CAST.len()) {
            let script = Script {
                seed,
                first_token: Latency::LogNormal { median: Duration::from_millis(20), sigma: 0.3 },
                per_token: Duration::from_millis(2),
                answers: Answers::by(reply),
                log_max: 0,
                ..Script::default()
            };
            drills.push(Drill::start(script).await?);
        }
        Ok(Self { drills, storm })
    }

    /// Returns what serves them.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for (drill, (name, model, dialect, path)) in self.drills.iter().zip(CAST) {
            let mut provider = ProviderConfig::new(format!("http://{}{path}", drill.address())).key("drill");
            provider.dialect = Some(dialect);
            let price = PriceConfig::new(1.0, 4.0);
            let model_config = ModelConfig { price: Some(price), ..ModelConfig::default() };
            if name == CAST[0].0 {
                provider = provider.model_with(EMBEDS, model_config.clone());
            }
            settings.runtime.providers.insert(name.to_owned(), provider.model_with(model, model_config));
        }
        let targets = CAST.map(|(name, model, ..)| format!("{name}/{model}"));
        let spare = format!("{}/{EMBEDS}", CAST[0].0);
        let mut route = RouteConfig::new(targets.iter().chain([&spare]).map(String::as_str));
        // Agents offer tools that only their own provider runs; a rehearsal answers nevertheless.
        route.foreign_parts = ForeignParts::Drop;
        settings.runtime.routes.insert(ROUTE.to_owned(), route);
        settings.runtime.failover.attempts_max = Some(ATTEMPTS_MAX);
        settings.server.default_route = Some(ROUTE.to_owned());
        settings
    }

    /// Begins the storm, if there is to be one.
    pub fn trouble(&self, runtime: &Runtime) {
        if !self.storm {
            return;
        }
        silence_panics();
        let faults = [
            Fault::Reset,
            Fault::CutAfter(0),
            Fault::Empty,
            Fault::Reply { status: 200, headers: HeaderMap::new(), body: "<html>Back soon</html>".to_owned() },
            Fault::Error(ProviderError::Server),
            Fault::Error(ProviderError::Overloaded),
            Fault::Error(ProviderError::BadGateway),
            Fault::RateLimited(RetryHint::Millis(Duration::from_millis(300))),
        ];
        for drill in &self.drills {
            for fault in &faults {
                drill.handle().sometimes(CHANCE, fault.clone());
            }
        }
        let runtime = runtime.clone();
        tokio::spawn(async move {
            let mut turn = tokio::time::interval(CRASH_EVERY);
            for (name, ..) in CAST.iter().cycle() {
                turn.tick().await;
                crash(&runtime, Crash::ProviderPanics((*name).to_owned()));
            }
        });
    }
}

/// Keeps intended panics from being printed: they are part of a rehearsal.
pub fn silence_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_asked_for(panic) {
            usual(panic);
        }
    }));
}

/// Tells whether JSON is asked for by an instruction, as models without a JSON mode are asked.
fn in_words(question: &Question) -> bool {
    question.form == Form::Text && question.body["system"].to_string().contains("one JSON object")
}

/// Repeats the question, as drills do; calls a tool whose name shares a word with the question.
fn reply(question: &Question) -> Answer {
    let form = if in_words(question) { Form::Json } else { question.form.clone() };
    let echo = Answer::echo(&Question { form, ..question.clone() });
    if !echo.tool_calls.is_empty() || !question.tool_results.is_empty() {
        return echo;
    }
    let said = question.user.to_lowercase();
    let fits = |name: &str| name.split(['_', '-']).any(|word| word.len() > 3 && said.contains(&word.to_lowercase()));
    match question.tools.iter().find(|tool| fits(&tool.name)) {
        Some(tool) => {
            let forced = Question { forced_tool: Some(tool.name.clone()), ..question.clone() };
            Answer::echo(&forced)
        }
        None => echo,
    }
}

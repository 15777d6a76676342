//! The stage: three providers that answer over real HTTP on loopback, each in its own dialect, and the runtime over
//! them.

use std::error::Error;
use std::time::Duration;

use standin::config::DialectConfig::{self, Anthropic, Gemini, OpenaiChat};
use standin::config::{PriceConfig, RungConfig};
use standin::drill::Drill;
use standin::health::BreakerOptions;
use standin::testing::{Latency, Script};
use standin::{ModelConfig, ProviderConfig, RouteConfig, Runtime};

/// The route the agents ask for.
pub const ROUTE: &str = "smart";

/// One provider: a cheaper one is slower, so that the choice matters.
pub struct Provider {
    pub name: &'static str,
    dialect: DialectConfig,
    /// What it serves: a provider follows the rules of a model of its dialect.
    model: &'static str,
    /// Dollars per million prompt tokens; an answer's cost four times as much.
    pub price: f64,
    first_token: Duration,
}

pub const PROVIDERS: [Provider; 3] = [
    Provider {
        name: "alder",
        dialect: OpenaiChat,
        model: "gpt-5-mini",
        price: 0.36,
        first_token: Duration::from_millis(56),
    },
    Provider {
        name: "birch",
        dialect: Anthropic,
        model: "claude-haiku-4-5",
        price: 0.48,
        first_token: Duration::from_millis(48),
    },
    Provider {
        name: "cedar",
        dialect: Gemini,
        model: "gemini-3-flash-preview",
        price: 0.60,
        first_token: Duration::from_millis(40),
    },
];

impl Provider {
    /// Returns its dialect's name.
    pub fn speaks(&self) -> &'static str {
        match self.dialect {
            Anthropic => "anthropic",
            Gemini => "gemini",
            _ => "openai",
        }
    }

    /// Returns its base URL: Google's dialect has a version of its own in the path.
    fn at(&self, base_url: &str) -> ProviderConfig {
        let version = if self.dialect == Gemini { "beta" } else { "" };
        let mut config = ProviderConfig::new(format!("{base_url}{version}")).key("rehearsal");
        config.dialect = Some(self.dialect);
        config.breaker = brisk();
        config
    }
}

/// Starts the providers, in the order of [`PROVIDERS`], and the runtime. Both end when they are dropped.
pub async fn set() -> Result<(Vec<Drill>, Runtime), Box<dyn Error>> {
    let mut drills = Vec::new();
    let mut builder = Runtime::builder();
    for (seed, provider) in (11..).zip(&PROVIDERS) {
        let drill = Drill::start(Script {
            models: vec![provider.model.into()],
            keys: vec!["rehearsal".into()],
            seed,
            first_token: Latency::LogNormal { median: provider.first_token, sigma: 0.25 },
            per_token: Duration::from_millis(4),
            // Only the counts are read in the end.
            log_max: 0,
            ..Script::default()
        })
        .await?;
        builder =
            builder.provider(provider.name, provider.at(&drill.base_url()).model_with(provider.model, model(provider)));
        drills.push(drill);
    }
    let targets = PROVIDERS.map(|provider| format!("{}/{}", provider.name, provider.model));
    let route = RouteConfig::new(targets.iter().map(String::as_str)).rung(RungConfig::Text("Ask again later.".into()));
    let runtime = builder.route(ROUTE, route).start().await?;
    Ok((drills, runtime))
}

/// A real model takes about a second to its first token, and 8 s is long; here all is about a tenth of that.
fn model(provider: &Provider) -> ModelConfig {
    let Provider { price, first_token, .. } = *provider;
    ModelConfig {
        price: Some(PriceConfig::new(price, 4.0 * price)),
        ttft_median: Some(first_token),
        first_token: Some(Duration::from_millis(500)),
        stall: Some(Duration::from_millis(400)),
        ..ModelConfig::default()
    }
}

/// Cooldowns of up to 30 s suit a day; this lasts three quarters of a minute.
fn brisk() -> BreakerOptions {
    BreakerOptions {
        cooldown_base: Duration::from_secs(1),
        cooldown_max: Duration::from_secs(2),
        ramp_step_min: Duration::from_millis(300),
        ..BreakerOptions::default()
    }
}

//! The stage: three providers that answer over real HTTP on loopback, and the runtime over them.

use std::error::Error;
use std::time::Duration;

use standin::config::PriceConfig;
use standin::drill::Drill;
use standin::policy::breaker::BreakerOptions;
use standin::testing::{Latency, Script};
use standin::{ModelConfig, ProviderConfig, RouteConfig, Runtime};

/// The one model all three serve.
pub const MODEL: &str = "atlas-mini";
/// The route the agents ask for.
pub const ROUTE: &str = "smart";

/// One provider: who is cheaper is slower, so that choosing is worth something.
pub struct Provider {
    pub name: &'static str,
    /// Dollars per million prompt tokens; an answer's cost four times as much.
    pub price: f64,
    first_token: Duration,
}

pub const PROVIDERS: [Provider; 3] = [
    Provider { name: "alder", price: 0.36, first_token: Duration::from_millis(56) },
    Provider { name: "birch", price: 0.48, first_token: Duration::from_millis(48) },
    Provider { name: "cedar", price: 0.60, first_token: Duration::from_millis(40) },
];

/// Starts the providers, in the order of [`PROVIDERS`], and the runtime. Both end when they are dropped.
pub async fn set() -> Result<(Vec<Drill>, Runtime), Box<dyn Error>> {
    let mut drills = Vec::new();
    let mut builder = Runtime::builder();
    for (seed, provider) in (11..).zip(&PROVIDERS) {
        let drill = Drill::start(Script {
            models: vec![MODEL.into()],
            keys: vec!["rehearsal".into()],
            seed,
            first_token: Latency::LogNormal { median: provider.first_token, sigma: 0.25 },
            per_token: Duration::from_millis(4),
            // The counts are all that is read in the end.
            log_max: 0,
            ..Script::default()
        })
        .await?;
        let mut config = ProviderConfig::new(drill.base_url()).key("rehearsal").model_with(MODEL, model(provider));
        config.breaker = brisk();
        builder = builder.provider(provider.name, config);
        drills.push(drill);
    }
    let targets = PROVIDERS.map(|provider| format!("{}/{MODEL}", provider.name));
    let route = RouteConfig::new(targets.iter().map(String::as_str));
    let runtime = builder.route(ROUTE, route).start().await?;
    Ok((drills, runtime))
}

/// A real model takes about a second to its first token, and 8 s is long; here all is about a tenth of that.
fn model(provider: &Provider) -> ModelConfig {
    let Provider { price, first_token, .. } = *provider;
    ModelConfig {
        price: Some(PriceConfig { input: price, output: 4.0 * price, cached_input: None }),
        ttft_median: Some(first_token),
        first_token: Some(Duration::from_millis(500)),
        stall: Some(Duration::from_millis(400)),
        ..ModelConfig::default()
    }
}

/// Cooldowns of 5 s and steps of 30 s suit a day; this lasts three quarters of a minute.
fn brisk() -> BreakerOptions {
    BreakerOptions {
        cooldown_base: Duration::from_secs(1),
        cooldown_max: Duration::from_secs(2),
        ramp_step_min: Duration::from_millis(300),
        ..BreakerOptions::default()
    }
}

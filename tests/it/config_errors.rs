//! An invalid configuration is refused, and the error names the field.

use std::time::Duration;

use standin::config::{KeyConfig, PriceConfig};
use standin::routing::{Percentile, Strategy};
use standin::runtime::StartError;
use standin::testing::{Script, Scripted};
use standin::{Config, ModelConfig, ProviderConfig, RouteConfig, Runtime};

use super::kit::{S, config};

fn a(config: &mut Config) -> &mut ProviderConfig {
    config.providers.get_mut("a").expect("a")
}

fn m(config: &mut Config) -> &mut ModelConfig {
    a(config).models.get_mut("m").expect("m")
}

fn smart(config: &mut Config) -> &mut RouteConfig {
    config.routes.get_mut("smart").expect("smart")
}

fn key(config: &mut Config, name: Option<&str>, value: &str) {
    a(config).keys.push(KeyConfig { name: name.map(str::to_owned), ..KeyConfig::value(value) });
}

fn price(config: &mut Config, input: f64, output: f64, cached_input: Option<f64>) {
    m(config).price = Some(PriceConfig { cached_input, ..PriceConfig::new(input, output) });
}

type Edit = fn(&mut Config);

#[rustfmt::skip]
const BAD: &[(&str, Edit)] = &[
    ("providers", |config| *config = Config::default()),
    ("providers.a.models", |config| { a(config).models.clear(); config.routes.clear(); }),
    ("providers.a.base_url", |config| a(config).base_url = Some("https://host/v1/chat/completions".into())),
    ("providers", |config| { let it = a(config).clone(); config.providers.insert(String::new(), it); }),
    ("providers", |config| { let it = a(config).clone(); config.providers.insert("x/y".into(), it); }),
    ("providers.a.base_url", |config| a(config).base_url = Some(String::new())),
    ("providers.a.base_url", |config| a(config).base_url = Some("api.openai.com/v1".into())),
    ("providers.a.base_url", |config| a(config).base_url = Some("ftp://host/v1".into())),
    ("providers.a.base_url", |config| a(config).base_url = Some("https://host/v1?key=1".into())),
    ("providers.a.base_url", |config| a(config).base_url = Some("https://user:secret@host/v1".into())),
    ("providers.a.base_url", |config| a(config).base_url = Some("https://host:65536/v1".into())),
    ("providers.a.base_url", |config| a(config).base_url = Some("https://[::1]:0/v1".into())),
    ("providers.a.base_url", |config| a(config).base_url = None),
    ("providers.a.preset", |config| a(config).preset = Some("openia".into())),
    ("providers.a.keys",
        |config| { let a = a(config); (a.custom, a.base_url, a.preset) = (None, None, Some("groq".into())); }),
    ("providers.a.models", |config| { let a = a(config); a.models.clear(); a.preset = Some("groq".into()); }),
    ("providers.a.resource", |config| { let a = a(config); (a.base_url, a.preset) = (None, Some("azure".into())); }),
    ("providers.a.resource", |config| a(config).resource = Some("x".into())),
    ("providers.a.resource", |config| {
        let a = a(config);
        (a.base_url, a.preset, a.resource) = (None, Some("azure".into()), Some("evil.test/".into()));
    }),
    ("providers.a.project", |config| { let a = a(config); (a.base_url, a.preset) = (None, Some("vertex".into())); }),
    ("providers.a.location", |config| {
        let a = a(config);
        (a.base_url, a.preset, a.project) = (None, Some("vertex".into()), Some("p".into()));
    }),
    ("providers.a.models.m.same_as", |config| m(config).same_as = Some(" ".into())),
    ("providers.a.models.m.replaced_by", |config| m(config).replaced_by = Some("b/x".into())),
    ("providers.a.models.m.replaced_by", |config| m(config).replaced_by = Some("m".into())),
    ("aliases.smart", |config| drop(config.aliases.insert("smart".into(), "a/m".into()))),
    ("aliases.fast", |config| drop(config.aliases.insert("fast".into(), "slow".into()))),
    ("aliases.fast", |config| drop(config.aliases.insert("fast".into(), "fast".into()))),
    ("providers.a.headers.a b", |config| drop(a(config).headers.insert("a b".into(), "x".into()))),
    ("providers.a.headers.Host", |config| drop(a(config).headers.insert("Host".into(), "b.test".into()))),
    ("providers.a.headers.content-type", |config| drop(a(config).headers.insert("content-type".into(), "x/y".into()))),
    ("providers.a.headers.te", |config| drop(a(config).headers.insert("te".into(), "trailers".into()))),
    ("providers.a.headers.x", |config| drop(a(config).headers.insert("x".into(), "a\nb".into()))),
    ("providers.a.keys[0]", |config| key(config, None, "  ")),
    ("providers.a.keys[0]", |config| key(config, None, "sk-with-a-line-break\n")),
    ("providers.a.keys[1]", |config| { key(config, Some("k"), "1"); key(config, Some("k"), "2"); }),
    ("providers.a.keys[0]", |config| a(config).keys.push(KeyConfig::env("A=B"))),
    ("providers.a.keys[0]", |config| a(config).keys.push(KeyConfig::file(""))),
    ("providers.a.keys[0]", |config| a(config).keys.push(KeyConfig::command("", ["x"]))),
    ("providers.a.keys[0]", |config| a(config).keys.push(KeyConfig::value("sk-secret").expires_in(S))),
    ("providers.a.keys[0].expires_in", |config| a(config).keys.push(KeyConfig::env("A").expires_in(Duration::ZERO))),
    ("providers.a.transport.proxy",
        |config| { a(config).custom = None; a(config).transport.proxy = Some("::".into()); }),
    ("providers.a.transport.proxy",
        |config| { a(config).custom = None; a(config).transport.proxy = Some("ftp://proxy:21".into()); }),
    ("providers.a.transport.proxy",
        |config| { a(config).custom = None; a(config).transport.proxy = Some("proxy.internal:3128".into()); }),
    ("providers.a.transport.proxy",
        |config| { a(config).custom = None; a(config).transport.proxy = Some("http://proxy/path".into()); }),
    ("prices.transport.proxy", |config| config.prices.transport.proxy = Some("socks5://p:1".into())),
    ("prices.transport.idle_timeout", |config| config.prices.transport.idle_timeout = Duration::MAX),
    ("budgets.b.of", |config| {
        let of = standin::config::BudgetScope::Route(Some("smrt".into()));
        let budget = standin::config::BudgetConfig::dollars(1.0, standin::config::Period::Day);
        config.budgets.insert("b".into(), budget.of(of));
    }),
    ("providers.a.transport.ca_pem",
        |config| { a(config).custom = None; a(config).transport.ca_pem = Some("no".into()); }),
    ("providers.a.health.failure_rate_prior", |config| a(config).health.failure_rate_prior = 1.5),
    ("providers.a.health.failure_rate_prior_mass", |config| a(config).health.failure_rate_prior_mass = f64::NAN),
    ("providers.a.breaker.cooldown_base", |config| a(config).breaker.cooldown_base = Duration::ZERO),
    ("providers.a.breaker.cooldown_max", |config| a(config).breaker.cooldown_max = Duration::from_millis(500)),
    ("providers.a.breaker.retry_after_max", |config| a(config).breaker.retry_after_max = Duration::MAX),
    ("providers.a.breaker.ramp_step_min", |config| a(config).breaker.ramp_step_min = Duration::MAX),
    ("providers.a.transport.connect_timeout", |config| a(config).transport.connect_timeout = Duration::ZERO),
    ("providers.a.transport.connect_timeout", |config| a(config).transport.connect_timeout = Duration::MAX),
    ("providers.a.transport.idle_timeout", |config| a(config).transport.idle_timeout = Duration::MAX),
    ("providers.a.models.m.first_token", |config| m(config).first_token = Some(Duration::ZERO)),
    ("providers.a.models.m.first_token", |config| m(config).first_token = Some(Duration::MAX)),
    ("providers.a.models.m.stall", |config| m(config).stall = Some(Duration::ZERO)),
    ("providers.a.models.m.stall", |config| m(config).stall = Some(Duration::MAX)),
    ("providers.a.models.m.ttft_median", |config| m(config).ttft_median = Some(Duration::ZERO)),
    ("providers.a.models.m.in_flight_max", |config| m(config).in_flight_max = Some(0)),
    ("providers.a.models.m.context_tokens_max", |config| m(config).context_tokens_max = Some(0)),
    ("providers.a.models.m.output_tokens_max", |config| m(config).output_tokens_max = Some(0)),
    ("providers.a.models.m.price.input", |config| price(config, -1.0, 1.0, None)),
    ("providers.a.models.m.price.output", |config| price(config, 1.0, f64::INFINITY, None)),
    ("providers.a.models.m.price.cached_input", |config| price(config, 1.0, 1.0, Some(f64::NAN))),
    ("providers.*.labels", |config| a(config).labels = (0..64).map(|at| format!("label {at}")).collect()),
    ("routes.smart.labels", |config| smart(config).labels.push("eu".into())),
    ("routes.smart.labels", |config| {
        a(config).labels.push("eu".into());
        smart(config).labels.extend(["eu".into(), "eu-west".into()]);
    }),
    ("routes.smart.targets", |config| smart(config).targets.clear()),
    ("routes.smart.targets[2]", |config| smart(config).targets.push("a/x".into())),
    ("routes.smart.targets[2]", |config| smart(config).targets.push("a/m".into())),
    ("routes.smart.targets[0].weight", |config| smart(config).targets[0].weight = -1.0),
    ("routes.smart.targets[0].weight", |config| smart(config).targets[0].weight = f64::NAN),
    ("routes.smart.options.price_max", |config| smart(config).options.price_max = Some(0.0)),
    ("routes.smart.options.slo_ttft_p95", |config| smart(config).options.slo_ttft_p95 = Some(Duration::ZERO)),
    ("routes.smart.options.slo_ttft_p95", |config| smart(config).options.slo_ttft_p95 = Some(Duration::MAX)),
    ("routes.smart.options.second_value.batch", |config| smart(config).options.second_value.batch = -1.0),
    ("routes.smart.options.strategy.threshold.error_rate", |config| {
        smart(config).options.strategy = Strategy::Threshold { error_rate: 0.0, ttft: S, percentile: Percentile::P95 };
    }),
    ("routes.smart.options.strategy.threshold.ttft", |config| {
        let ttft = Duration::ZERO;
        smart(config).options.strategy = Strategy::Threshold { error_rate: 0.1, ttft, percentile: Percentile::P95 };
    }),
    ("failover.attempts_max", |config| config.failover.attempts_max = Some(0)),
    ("failover.wait_max", |config| config.failover.wait_max = Duration::MAX),
    ("failover.deadline", |config| config.failover.deadline = Duration::ZERO),
    ("failover.deadline", |config| config.failover.deadline = Duration::MAX),
    ("routes.smart.failover.attempts_max", |config| smart(config).failover.attempts_max = Some(0)),
    ("restart.within", |config| config.restart.within = Duration::ZERO),
    ("restart.backoff_min", |config| config.restart.backoff_min = Duration::MAX),
    ("restart.backoff_max", |config| config.restart.backoff_max = Duration::MAX),
    ("restart.backoff_max", |config| config.restart.backoff_min = 2 * config.restart.backoff_max),
    ("restart.rest", |config| config.restart.rest = Duration::ZERO),
    ("restart.rest", |config| config.restart.rest = Duration::MAX),
    ("calls_max", |config| config.calls_max = 0),
    ("calls_max", |config| config.calls_max = usize::MAX),
    ("consumer_stall_max", |config| config.consumer_stall_max = Duration::ZERO),
];

fn good() -> Config {
    config(&[Scripted::new(Script::default()), Scripted::new(Script::default())])
}

#[tokio::test(start_paused = true)]
async fn each_field_that_is_not_right_is_named() {
    for (at, (field, edit)) in BAD.iter().enumerate() {
        let mut config = good();
        edit(&mut config);
        match Runtime::builder().config(config).start().await {
            Err(StartError::Config(errors)) => {
                // Valid fields cause no further errors.
                let [error] = &*errors else { panic!("number {at}, {field}: {errors}") };
                assert_eq!(error.field, *field, "number {at}: {error}");
                assert!(!error.problem.is_empty() && error.to_string().starts_with(field), "{error}");
                assert!(!format!("{error:?} {error}").contains("secret"), "{error}");
            }
            Err(other) => panic!("number {at}, {field}: {other:?}"),
            Ok(_) => panic!("number {at}, {field} was not noticed"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unusual_but_valid_configurations_are_taken() {
    let edits: &[Edit] = &[
        |_| {},
        |config| config.routes.clear(),
        |config| config.restart.restarts_max = 0,
        |config| config.calls_max = 1,
        |config| config.ledger_max = 0,
        |config| config.recorder_max = 0,
        |config| config.seed = None,
        |config| a(config).base_url = Some("http://[::1]:8080/v1/".into()),
        |config| a(config).labels = (0..63).map(|at| format!("label {at}")).collect(),
        |config| smart(config).targets[0].weight = 0.0,
        |config| config.failover.wait_max = Duration::ZERO,
        |config| price(config, 0.0, 0.0, Some(0.0)),
    ];
    for edit in edits {
        let mut config = good();
        edit(&mut config);
        let runtime = super::kit::start(config).await;
        let request = standin::ChatRequest { route: "a/m".into(), ..super::kit::ask("hello") };
        runtime.chat(request).await.expect("an answer");
    }
}

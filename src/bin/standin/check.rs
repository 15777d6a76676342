//! Checks a configuration, says what its targets cost and can do, and asks whether they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use standin::config::{Described, MemberConfig};
use standin::routing::FailoverOptions;
use standin::sidecar::{ServerConfig, dollars, printable};
use standin::{ChatRequest, Date, EmbedRequest, ModelKind, RouteConfig, Runtime};

use super::{failed, load};

/// The longest a model may be silent before a word, where its `first_token` does not say: one that thinks is slower.
const SILENT_MAX: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(50)];
/// The longest that the word itself may take.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// The most models that are asked at once.
const ASKED_MAX: usize = 8;
/// Tokens for a word, and for the model's reasoning before it.
const WORD_TOKENS: u32 = 256;
/// Tokens of the question, as most models count them.
const QUESTION_TOKENS: u32 = 32;

pub async fn run(options: super::Check) -> ExitCode {
    let place = |server: &mut ServerConfig| options.at.place(server);
    let loaded = match load::load(options.file.named().as_deref(), &place) {
        Ok(loaded) => loaded,
        Err(problem) => return failed(&problem),
    };
    let config = &loaded.settings.runtime;
    if let Err(errors) = load::check(&loaded.settings, loaded.file.as_deref(), &place) {
        return failed(&errors);
    }
    let (prices, doubts) = load::prices(config);
    let targets = match config.describe_by(&prices) {
        Ok(targets) => targets,
        Err(errors) => return failed(&errors),
    };
    say!("{}: it is valid", loaded.about);
    for warning in loaded.warnings.iter().chain(&doubts) {
        say!("  warning: {warning}");
    }
    let today = Date::of(SystemTime::now());
    let counts_dollars = config.budgets.values().any(|budget| budget.dollars.is_some());
    let members = config.routes.values().flat_map(|route| &route.targets).map(|member| member.target.as_str());
    let members: BTreeSet<&str> = members.collect();
    let mut by_provider: BTreeMap<&str, Vec<&Described>> = BTreeMap::new();
    for target in &targets {
        by_provider.entry(&target.id.provider).or_default().push(target);
    }
    for (name, provider) in &config.providers {
        let own = by_provider.remove(name.as_str()).unwrap_or_default();
        let spoken =
            own.first().map_or(String::new(), |one| format!(", dialect {}, flavour {}", one.dialect, one.flavour));
        say!("  provider {name}: {} model(s), {} key(s){spoken}", own.len(), provider.keys.len());
        // For a provider that serves its whole catalogue only the named models matter.
        let is_meant = |target: &&&Described| {
            options.all || provider.models.contains_key(&*target.id.model) || members.contains(&*target.id.to_string())
        };
        let named: Vec<_> = own.iter().filter(is_meant).collect();
        for target in &named {
            say!("    {}", about(target, today));
        }
        for target in named.iter().filter(|target| ended(target, today)) {
            say!("  warning: {} has ended: name another model, or correct its last day (`retires`)", target.id);
        }
        for target in named.iter().filter(|target| counts_dollars && target.price.is_none()) {
            say!(
                "  warning: budgets count dollars, and the price of {} is not known: hard ones refuse its calls, others \
                 count none; set its `price`",
                target.id
            );
        }
        let more = own.len() - named.len();
        if more > 0 {
            say!("    and {more} more that neither a route nor a table names: --all lists them");
        }
    }
    for (name, route) in &config.routes {
        let targets: Vec<String> = route.targets.iter().map(member).collect();
        let exhausted = route.failover.over(&config.failover).on_exhausted;
        say!("  route {name}: {}; strategy {}, on_exhausted {exhausted}", targets.join(", "), rule(route));
    }
    if !options.ask {
        return ExitCode::SUCCESS;
    }
    match chosen(&options, config, &targets) {
        Ok(chosen) => ask(config.clone(), &chosen).await,
        Err(problem) => failed(&problem),
    }
}

/// Describes a target's place in its route, as far as it is not the usual one.
fn member(member: &MemberConfig) -> String {
    let tier = (member.tier > 0).then(|| format!("tier {}", member.tier));
    let weight = (member.weight.to_bits() != 1.0_f64.to_bits()).then(|| format!("weight {}", member.weight));
    let degraded = member.degraded.then(|| "degraded".to_owned());
    let said: Vec<String> = [tier, weight, degraded].into_iter().flatten().collect();
    if said.is_empty() { member.target.clone() } else { format!("{} ({})", member.target, said.join(", ")) }
}

/// Returns the name of a route's strategy.
fn rule(route: &RouteConfig) -> String {
    match serde_json::to_value(route.options.strategy) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(table)) => table.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// Describes a target: price, window, abilities.
fn about(target: &Described, today: Date) -> String {
    let Described { id, price, capabilities, reasons, retires, .. } = target;
    let price = price.as_ref().map_or_else(
        || "price unknown".to_owned(),
        |price| format!("${} in, ${} out a million tokens", dollars(price.rates.input), dollars(price.rates.output)),
    );
    let tokens = |count: Option<u32>| count.map_or_else(|| "unknown".to_owned(), grouped);
    let window = format!(
        "window {}, answer {}",
        tokens(capabilities.context_tokens_max),
        tokens(capabilities.output_tokens_max)
    );
    let can = [
        ("tools", capabilities.tools),
        ("images", capabilities.images),
        ("documents", capabilities.documents),
        ("audio", capabilities.audio),
        ("json", capabilities.json),
        ("json_schema", capabilities.json_schema),
    ];
    let can: Vec<&str> = can.into_iter().filter(|(_, can)| *can).map(|(name, _)| name).collect();
    let can = match capabilities.kind {
        ModelKind::Embedding => "embeds".to_owned(),
        _ if can.is_empty() => "text only".to_owned(),
        _ => can.join(" "),
    };
    let reasons = if *reasons { "; thinks before it answers" } else { "" };
    let until = if ended(target, today) { "ended" } else { "answers until" };
    let retires = retires.map_or(String::new(), |last| format!("; {until} {last}"));
    format!("{id}: {price}; {window}; {can}{reasons}{retires}")
}

/// Tells whether a model's last day is over.
fn ended(target: &Described, today: Date) -> bool {
    target.retires.is_some_and(|last| last < today)
}

/// Writes a number in groups of three digits.
fn grouped(count: u32) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(" ")
}

/// Returns the targets to be asked: of each provider one that a route names, else its cheapest.
fn chosen<'t>(
    options: &super::Check,
    config: &standin::Config,
    targets: &'t [Described],
) -> Result<Vec<&'t Described>, String> {
    if options.all {
        return Ok(targets.iter().collect());
    }
    if let Some(name) = &options.route {
        let known: Vec<_> = targets.iter().map(|target| (target.id.clone(), None)).collect();
        let members = load::members(config, &known, name)?;
        return Ok(targets.iter().filter(|target| members.contains(&target.id.to_string())).collect());
    }
    let routed: BTreeSet<&str> =
        config.routes.values().flat_map(|route| &route.targets).map(|member| member.target.as_str()).collect();
    let first = |provider: &str| {
        let own = targets.iter().filter(|target| *target.id.provider == *provider);
        let rank = |target: &Described| {
            // Routes that name every model do not say which one is meant.
            let named = config.routes.len() < targets.len() && routed.contains(target.id.to_string().as_str());
            (u8::from(!named), u8::from(target.capabilities.kind != ModelKind::Chat), cost(target).unwrap_or(f64::MAX))
        };
        own.min_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal))
    };
    Ok(config.providers.keys().filter_map(|provider| first(provider)).collect())
}

/// Returns the most that a word of a target costs, in dollars.
fn cost(target: &Described) -> Option<f64> {
    let price = target.price.as_ref()?.rates;
    let answer = if target.capabilities.kind == ModelKind::Chat { f64::from(WORD_TOKENS) } else { 0.0 };
    Some((price.input * f64::from(QUESTION_TOKENS) + price.output * answer) / 1e6)
}

/// Returns how long a target may take: its own limits, where they are set.
fn patience(config: &standin::Config, target: &Described) -> Duration {
    let model = config.providers.get(&*target.id.provider).and_then(|own| own.models.get(&*target.id.model));
    let silent = model.and_then(|model| model.first_token).unwrap_or(SILENT_MAX[usize::from(target.reasons)]);
    silent.saturating_add(PROBE_MAX).min(config.failover.deadline)
}

async fn ask(mut config: standin::Config, targets: &[&Described]) -> ExitCode {
    load::keep_nothing(&mut config);
    let longest = targets.iter().map(|target| patience(&config, target)).max().unwrap_or_default();
    let questions: Vec<(String, ModelKind, Duration)> = targets
        .iter()
        .map(|target| (target.id.to_string(), target.capabilities.kind, patience(&config, target)))
        .collect();
    // What is said to be spent at most is one request for each.
    let once = FailoverOptions { attempts_max: Some(1), wait_max: Duration::ZERO, ..FailoverOptions::default() };
    config.failover = once;
    config.providers.values_mut().for_each(|provider| provider.probe = None);
    let known: f64 = targets.iter().filter_map(|target| cost(target)).sum();
    let unknown = targets.iter().filter(|target| cost(target).is_none()).count();
    let rest = if unknown > 0 { format!(", and {unknown} model(s) whose price is not known") } else { String::new() };
    let turns = u32::try_from(targets.len().div_ceil(ASKED_MAX)).unwrap_or(u32::MAX);
    let longest = longest.saturating_mul(turns).as_secs_f64().ceil();
    say!("  asking {} model(s) for a word: at most ${}{rest}, within {longest} s", targets.len(), dollars(known));
    let runtime = match Runtime::builder().config(config).start().await {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let runtime = &runtime;
    let word = async |(name, kind, patience): (String, ModelKind, Duration)| {
        let begun = std::time::Instant::now();
        let answer = if kind == ModelKind::Embedding {
            let request = EmbedRequest::new(&name, ["ready"]);
            runtime.embed(EmbedRequest { deadline: Some(patience), ..request }).await.map(drop)
        } else {
            let mut request = ChatRequest::new(&name).user("Say the word: ready").deadline(patience);
            request.output_tokens_max = Some(WORD_TOKENS);
            runtime.chat(request).await.map(drop)
        };
        (name, begun.elapsed(), answer)
    };
    let mut asked = std::pin::pin!(futures_util::stream::iter(questions).map(word).buffered(ASKED_MAX));
    let mut silent = 0;
    while let Some((name, took, answer)) = asked.next().await {
        match answer {
            Ok(()) => say!("  {name}: answers ({} ms)", took.as_millis()),
            Err(error) => {
                silent += 1;
                say!("  {name}: {}", printable(&error.to_string()));
            }
        }
    }
    runtime.drain(Duration::ZERO).await;
    if silent == 0 { ExitCode::SUCCESS } else { failed(&format!("{silent} model(s) did not answer")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_from_their_end() {
        for (count, expected) in [(7, "7"), (1_000, "1 000"), (1_048_576, "1 048 576"), (20_000, "20 000")] {
            assert_eq!(grouped(count), expected);
        }
    }
}

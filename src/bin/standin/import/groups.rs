//! `LiteLLM`'s model groups: each becomes a route, and their settings become tiers, weights and a strategy.

use std::collections::BTreeMap;

use standin::sidecar::{did_you_mean, meant};

use super::given::InputValue;
use super::outcome::{Outcome, Provider, Route, Target, Toml};

/// A deployment that has a counterpart here.
pub struct Deployment<'g> {
    pub given: &'g InputValue,
    pub group: String,
    pub provider: usize,
    pub model: String,
    pub order: Option<f64>,
    /// What it may be weighed by, in the order of [`METRICS`].
    pub by: [Option<(f64, &'g InputValue)>; 3],
    /// Seconds for a call.
    pub timeout: Option<(f64, &'g InputValue)>,
}

/// By what `LiteLLM` weighs the deployments of a group: the first of these that its first deployment has. One that has
/// none of it is never drawn.
pub const METRICS: [&str; 3] = ["weight", "rpm", "tpm"];

/// Returns the weight of each deployment; `None` where its group is not weighed. All of a group are of one unit.
pub fn weights(deployments: &[Deployment<'_>], out: &mut Outcome) -> Vec<Option<f64>> {
    let metric = |one: &Deployment<'_>| {
        let first = deployments.iter().find(|other| other.group == one.group && other.order == one.order)?;
        first.by.iter().position(Option::is_some)
    };
    let mut weights = Vec::with_capacity(deployments.len());
    for one in deployments {
        let metric = metric(one);
        for (at, (_, given)) in one.by.iter().enumerate().filter_map(|(at, by)| Some((at, (*by)?))) {
            match metric {
                Some(0) if at == 0 => out.kept(given, "weight of its target"),
                Some(metric) if at == metric => {
                    out.changed(
                        given,
                        "the weight of its target: limits themselves are the provider's to say, and kept",
                    );
                }
                Some(metric) => out.lost(
                    given,
                    format!(
                        "not needed: limits are kept as the provider says; its group is weighed by `{}`",
                        METRICS[metric]
                    ),
                ),
                None => out
                    .lost(given, "not needed: LiteLLM weighs a group by what its first deployment has, which has none"),
            }
        }
        let weight = metric.map(|metric| one.by[metric].map_or(0.0, |(weight, _)| weight));
        if let Some(metric) = metric.filter(|metric| one.by[*metric].is_none()) {
            let name = METRICS[metric];
            out.changed(one.given, format!("weight 0: LiteLLM weighs this group by `{name}`, and it has none"));
        }
        weights.push(weight);
    }
    weights
}

/// `LiteLLM`'s strategies.
const STRATEGIES: [&str; 6] = [
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "cost-based-routing",
    "usage-based-routing",
    "usage-based-routing-v2",
];

/// Returns the strategy of routes, if it is set.
pub fn strategy(router: Option<&InputValue>, weighed: bool, out: &mut Outcome) -> Option<Toml> {
    let text = |name: &str| Some(Toml::Text(name.to_owned()));
    let Some(given) = router.and_then(|router| router.get("routing_strategy")) else {
        return if weighed { text("weighted") } else { None };
    };
    if let Some(arguments) = router.and_then(|router| router.get("routing_strategy_args")) {
        out.lost(arguments, "no counterpart: windows of time and percentiles are the strategy's");
    }
    let (ours, same) = match given.as_text().unwrap_or_default() {
        "simple-shuffle" => (text("weighted"), true),
        "least-busy" => (text("least-busy"), true),
        "latency-based-routing" => (Some(Toml::Raw("{ least-latency = { percentile = \"p50\" } }".to_owned())), true),
        "cost-based-routing" => (text("least-cost"), true),
        "usage-based-routing" | "usage-based-routing-v2" => (text("adaptive"), false),
        _ => {
            let meant = meant(given.as_text().unwrap_or_default(), STRATEGIES);
            out.lost(
                given,
                format!("is no known strategy of LiteLLM, and routes choose as they do by themselves; {meant}"),
            );
            return if weighed { text("weighted") } else { None };
        }
    };
    let shown = ours.as_ref().map(Toml::written).unwrap_or_default();
    if same {
        out.kept(given, format!("options.strategy = {shown}, within each tier"));
    } else {
        let said = "usage is not counted ahead; the key with most left of its limits goes first";
        out.changed(given, format!("options.strategy = {shown}: {said}"));
    }
    ours
}

/// Makes a route of each group.
pub fn routes(
    deployments: &[Deployment<'_>],
    weights: &[Option<f64>],
    providers: &[Provider],
    strategy: Option<&Toml>,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for (one, weight) in deployments.iter().zip(weights) {
        let name = format!("{}/{}", providers[one.provider].name, one.model);
        let weight = weight.unwrap_or(1.0);
        let route = match routes.iter().position(|route| route.name == one.group) {
            Some(at) => &mut routes[at],
            None => {
                let route = Route {
                    name: one.group.clone(),
                    targets: Vec::new(),
                    strategy: strategy.cloned(),
                    drop_parts: false,
                    failover: Vec::new(),
                };
                routes.push(route);
                routes.last_mut().expect("it was just put there")
            }
        };
        let tier = tier(deployments, &one.group, one.order);
        match route.targets.iter_mut().find(|target| target.name == name) {
            // Two deployments of one account and model are one target, in the first of their tiers.
            Some(same) if same.tier == tier => same.weight += weight,
            Some(same) if same.tier > tier => (same.tier, same.weight) = (tier, weight),
            Some(_) => {}
            None => route.targets.push(Target { name, tier, weight }),
        }
    }
    routes
}

/// Counts the orders of a group that come before one.
fn tier(deployments: &[Deployment<'_>], group: &str, order: Option<f64>) -> u8 {
    let of = |order: Option<f64>| order.unwrap_or(f64::MAX);
    let mut orders: Vec<f64> = deployments.iter().filter(|one| one.group == group).map(|one| of(one.order)).collect();
    orders.sort_by(f64::total_cmp);
    orders.dedup();
    let before = orders.iter().filter(|known| **known < of(order)).count();
    u8::try_from(before).unwrap_or(u8::MAX)
}

/// Lets targets leave out parts that their dialects do not have.
pub fn drops(settings: &InputValue, routes: &mut [Route], out: &mut Outcome) {
    let Some(given) = settings.get("drop_params") else { return };
    match given.as_flag() {
        Some(true) => {}
        Some(false) => return out.kept(given, "foreign_parts = \"refuse\", which is usual"),
        None => return out.lost(given, "is neither true nor false: foreign_parts = \"refuse\", which is usual"),
    }
    for route in routes {
        route.drop_parts = true;
    }
    out.changed(given, "foreign_parts = \"drop\": parameters that a model refuses are left out anyway");
}

/// Puts the targets of other groups behind a group's own. `*` and `default_fallbacks` are for groups that have no
/// fallbacks of their own. `wildcard` returns the target of a name that only a vendor's `*` serves.
pub fn fallbacks(
    settings: &[&InputValue],
    routes: &mut [Route],
    wildcard: &dyn Fn(&str) -> Option<String>,
    out: &mut Outcome,
) {
    let groups: BTreeMap<String, Vec<Target>> =
        routes.iter().map(|route| (route.name.clone(), route.targets.clone())).collect();
    let targets = |name: &str| {
        let of_wildcard = || Some(vec![Target { name: wildcard(name)?, tier: 0, weight: 1.0 }]);
        groups.get(name).cloned().or_else(of_wildcard)
    };
    for kind in ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"] {
        let lists = settings.iter().filter_map(|settings| settings.get(kind));
        // A list of tables, or one table.
        let pairs = lists.flat_map(|list| list.items().iter().flat_map(InputValue::fields).chain(list.fields()));
        let pairs: Vec<(&str, &InputValue)> = pairs.map(|(group, others)| (group.as_str(), others)).collect();
        let has_own = |name: &str| pairs.iter().any(|(group, _)| *group == name);
        let defaults = settings.iter().filter_map(|settings| settings.get("default_fallbacks"));
        let defaults = defaults.filter(|_| kind == "fallbacks").map(|others| ("*", others));
        for (group, others) in pairs.iter().copied().chain(defaults) {
            let (mut there, mut unknown) = (Vec::new(), Vec::new());
            for name in others.texts() {
                match targets(name) {
                    Some(found) => there.push(found),
                    None => unknown.push(name),
                }
            }
            let every = group == "*";
            let served =
                routes.iter_mut().filter(|route| if every { !has_own(&route.name) } else { route.name == group });
            let mut found = every;
            for route in served {
                found = true;
                for targets in &there {
                    behind(route, targets);
                }
            }
            let whose = if every { "every route without its own".to_owned() } else { format!("`{group}`") };
            let missing = missing(&unknown, &groups);
            match (found, kind) {
                (false, _) => {
                    let meant = meant(group, groups.keys().map(String::as_str));
                    out.lost(others, format!("there is no group `{group}` that is served; {meant}"));
                }
                _ if there.is_empty() => out.lost(others, format!("none of its groups is served{missing}")),
                (_, "context_window_fallbacks") => out.changed(
                    others,
                    format!(
                        "further tiers of {whose}: a target whose window is too small is passed over by itself{missing}"
                    ),
                ),
                (_, "content_policy_fallbacks") => {
                    set(&mut out.failover, "content_policy_failover", Toml::Flag(true));
                    out.changed(
                        others,
                        format!("further tiers of {whose}, and failover.content_policy_failover{missing}"),
                    );
                }
                _ => out.kept(others, format!("further tiers of {whose}{missing}")),
            }
        }
    }
}

/// Says which groups are not there, and which were meant.
fn missing(unknown: &[&str], groups: &BTreeMap<String, Vec<Target>>) -> String {
    let each = unknown.iter().map(|name| match did_you_mean(name, groups.keys().map(String::as_str)) {
        Some(near) => format!("{name} ({near})"),
        None => (*name).to_owned(),
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { String::new() } else { format!("; not there: {}", each.join(", ")) }
}

/// Adds targets in a tier behind all others.
fn behind(route: &mut Route, targets: &[Target]) {
    let last = route.targets.iter().map(|target| target.tier).max().unwrap_or(0);
    let first = targets.iter().map(|target| target.tier).min().unwrap_or(0);
    for target in targets {
        if route.targets.iter().all(|known| known.name != target.name) {
            let tier = last.saturating_add(1).saturating_add(target.tier - first);
            route.targets.push(Target { tier, ..target.clone() });
        }
    }
}

/// Sets a field, once; tells whether it has this value now.
pub fn set(fields: &mut Vec<(String, Toml)>, name: &str, value: Toml) -> bool {
    if let Some((_, known)) = fields.iter().find(|(known, _)| known == name) {
        return *known == value;
    }
    fields.push((name.to_owned(), value));
    true
}

/// The report's text for a value that another line has already set.
pub const SAID: &str = "not taken: another line of the file says it already";

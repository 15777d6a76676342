//! Portkey's configuration: its tree of targets becomes one route; fallbacks become tiers, load balancing becomes
//! weights.

use super::given::InputValue;
use super::groups::set;
use super::hosts;
use super::outcome::{Key, Model, Outcome, Provider, Route, Target, Toml, time};
use super::provider::{expanded, place};
use standin::config::Preset;

/// The name of the only route.
const ROUTE: &str = "smart";

/// Turns a configuration into ours.
pub fn import(given: &InputValue) -> Outcome {
    let mut out = Outcome::default();
    let mut walk = Walk { out: &mut out, targets: Vec::new(), weighted: false, retries: 0.0 };
    walk.node(given, 0, 1.0, true);
    let Walk { mut targets, weighted, retries, .. } = walk;
    targets.sort_by_key(|target| target.tier);
    let tiers = targets.last().map_or(0, |target| target.tier);
    if retries > 0.0 || tiers > 2 {
        set(&mut out.failover, "attempts_max", Toml::Number(retries + 1.0 + f64::from(tiers)));
    }
    let strategy = weighted.then(|| Toml::Text("weighted".to_owned()));
    // One after the other, in their order.
    let strategy = strategy.or_else(|| (targets.len() > 1).then(|| Toml::Text("priority".to_owned())));
    if !targets.is_empty() {
        set(&mut out.server, "default_route", Toml::Text(ROUTE.to_owned()));
        out.routes.push(Route { name: ROUTE.to_owned(), targets, strategy, drop_parts: false, failover: Vec::new() });
    }
    out.rest(given, |path| why_not(path).to_owned());
    out
}

fn why_not(path: &str) -> &'static str {
    let any = |words: &[&str]| words.iter().any(|word| path.contains(word));
    if any(&["cache"]) {
        "no counterpart: answers are not cached"
    } else if any(&["guardrail", "hooks"]) {
        "no counterpart: the content of conversations is not checked"
    } else if any(&["override_params"]) {
        "no counterpart: callers send parameters themselves"
    } else if any(&["on_status_codes", "on_guardrail"]) {
        "not needed: the cause of a failure decides, and in doubt the next target is asked"
    } else if any(&["conditions", "default"]) {
        "no counterpart: callers choose by a route's name, labels and sessions"
    } else {
        "no counterpart"
    }
}

/// What the line of a target tells.
const TOLD: [&str; 11] = [
    "provider",
    "api_key",
    "virtual_key",
    "custom_host",
    "azure_deployment_id",
    "azure_model_name",
    "azure_resource_name",
    "deployment_id",
    "resource_name",
    "vertex_project_id",
    "vertex_region",
];

struct Walk<'o> {
    out: &'o mut Outcome,
    targets: Vec<Target>,
    weighted: bool,
    retries: f64,
}

impl Walk<'_> {
    /// Walks a node; returns the first tier behind it.
    fn node(&mut self, node: &InputValue, tier: u8, weight: f64, top: bool) -> u8 {
        self.common(node, top);
        let Some(list) = node.get("targets") else {
            if !top || node.get("provider").is_some() {
                self.target(node, tier, weight);
            }
            return tier.saturating_add(1);
        };
        let strategy = node.get("strategy");
        let mode = strategy.and_then(|strategy| strategy.text("mode")).unwrap_or("single");
        let mut next = tier;
        match (mode, strategy.and_then(|strategy| strategy.get("mode"))) {
            ("loadbalance", given) => {
                self.weighted = true;
                if let Some(given) = given {
                    self.out.kept(given, "options.strategy = \"weighted\", within a tier");
                }
                for one in list.items() {
                    let own = one.get("weight").and_then(|given| Some((given, given.as_number()?)));
                    let own = own.filter(|(_, weight)| *weight >= 0.0).map_or(1.0, |(given, weight)| {
                        self.out.kept(given, "weight of its target");
                        weight
                    });
                    next = next.max(self.node(one, tier, weight * own, false));
                }
            }
            ("fallback", given) => {
                if let Some(given) = given {
                    self.out.kept(given, "tiers, in the order of the targets");
                }
                for one in list.items() {
                    next = self.node(one, next, weight, false);
                }
            }
            (mode, given) => {
                match (given, mode) {
                    (Some(given), "single") => self.out.kept(given, "the only target"),
                    (Some(given), _) => {
                        self.out
                            .changed(given, format!("tiers, in the order of the targets: there is no `{mode}` here"));
                    }
                    (None, _) => {}
                }
                for one in list.items() {
                    next = self.node(one, next, weight, false);
                }
            }
        }
        next
    }

    /// The fields that every node may have.
    fn common(&mut self, node: &InputValue, top: bool) {
        if let Some(given) = node.get("retry").and_then(|retry| retry.get("attempts")) {
            match given.as_number() {
                Some(retries) => {
                    self.retries = self.retries.max(retries.clamp(0.0, 100.0).trunc());
                    self.out.changed(given, "failover.attempts_max: all attempts of a call, at all targets");
                }
                None => self.out.lost(given, "is no number of retries: failover.attempts_max stays as it is"),
            }
        }
        if let Some(given) = node.get("request_timeout") {
            match given.as_number().filter(|millis| *millis >= 1.0 && *millis <= 3.15e10) {
                _ if !top => self.out.lost(
                    given,
                    "no counterpart for one target: a call has a deadline, and a model `first_token` and `stall`",
                ),
                Some(millis) => {
                    set(&mut self.out.failover, "deadline", Toml::Text(time(millis / 1e3)));
                    self.out.changed(given, "failover.deadline: time for the whole call, not for one attempt");
                }
                None => self.out.lost(given, "is no time that can be set"),
            }
        }
    }

    fn target(&mut self, node: &InputValue, tier: u8, weight: f64) {
        let asked = node.get("override_params").and_then(|params| params.text("model"));
        // Azure's deployment is the model's name in requests.
        let deployment = node.text("azure_deployment_id").or_else(|| node.text("deployment_id"));
        let model = deployment.or(asked);
        // `@openai-prod/gpt-5-mini`: a provider of Portkey's own catalogue, with the model behind it.
        let (slug, named) =
            match model.and_then(|model| model.strip_prefix('@')).and_then(|model| model.split_once('/')) {
                Some((slug, model)) => (Some(slug), Some(model)),
                None => (None, model),
            };
        let provider = node
            .text("provider")
            .map(|provider| provider.trim_start_matches('@'))
            .or(slug)
            .or_else(|| node.text("virtual_key"));
        let said = if node.get("provider").is_some() || slug.is_some() { "provider" } else { "virtual_key" };
        let (Some(provider), Some(model)) = (provider, named) else {
            self.out.lost(
                node,
                "a target needs a `provider` and a model in `override_params` here: callers name routes, not models",
            );
            return;
        };
        let guessed = (0..=provider.len()).rev().filter_map(|end| provider.get(..end)).find_map(|name| {
            hosts::portkey(name, model).filter(|_| name == provider || provider[name.len()..].starts_with(['-', '_']))
        });
        let Some(mut host) = guessed else {
            // A virtual key may be a secret, and a name is not.
            let why = match said {
                "provider" => format!("the provider `{provider}` is not known here"),
                _ => format!("`{}.virtual_key` does not begin with a provider's name: add `provider`", node.path),
            };
            self.out.lost(node, why);
            return;
        };
        let mut fields = Vec::new();
        if host.preset.is_empty() {
            host.base = node.text("custom_host").is_none().then_some(host.base).flatten();
        } else {
            fields.push(("preset".to_owned(), Toml::Text(host.preset.to_owned())));
        }
        let custom = node.text("custom_host").and_then(|base| hosts::base_url(&host, &expanded(base)));
        let own = custom.or_else(|| host.base.map(str::to_owned));
        let is_vertex = ["vertex", "vertex-anthropic"].contains(&host.preset);
        let project = node.text("vertex_project_id").map(expanded);
        let location = node.text("vertex_region").map(expanded);
        let resource = node.text("azure_resource_name").or_else(|| node.text("resource_name")).map(expanded);
        if host.preset == "azure" && own.is_none() && resource.is_none() {
            self.out.lost(node, "an Azure target needs its `azure_resource_name`: Portkey's vault is not read");
            return;
        }
        if let Some(given) = node.get("vertex_service_account_json") {
            given.done();
            self.out.changed(given, "a token from `gcloud auth print-access-token`: service accounts are not read");
        }
        if let Some(given) = node.get("azure_api_version") {
            self.out.lost(given, "not needed: Azure's v1 addresses have no versions");
        }
        for (name, value) in [
            ("base_url", own.clone()),
            ("resource", resource),
            ("project", project.or_else(|| is_vertex.then(|| "${VERTEXAI_PROJECT}".to_owned()))),
            ("location", location.or_else(|| is_vertex.then(|| "${VERTEXAI_LOCATION:-us-central1}".to_owned()))),
        ] {
            fields.extend(value.map(|value| (name.to_owned(), Toml::Text(value))));
        }
        let env = Preset::named(host.preset).and_then(|known| known.env).or(host.env);
        let key = match node.text("api_key") {
            Some(key) => Some(Key::given(key)),
            None if is_vertex => Some(Key::gcloud()),
            None => env.map(|name| Key::Env(name.to_owned())).filter(|_| own.is_none() || host.preset.is_empty()),
        };
        if let (Some(given), Some(Key::Env(name))) = (node.get("virtual_key"), &key) {
            self.out.changed(given, format!("keys = [{{ env = \"{name}\" }}]: Portkey's vault is not read"));
        }
        let provider =
            Provider { name: host.name.clone(), fields, keys: key.into_iter().collect(), ..Provider::default() };
        let known = node.text("azure_model_name").or(asked).filter(|_| deployment.is_some());
        let same_as = known.filter(|known| *known != host.model);
        let fields = same_as.map(|known| ("same_as".to_owned(), Toml::Text(known.to_owned())));
        let of_model = Model { name: host.model.clone(), fields: fields.into_iter().collect() };
        let (at, _) = place(provider, &host, Some(of_model), self.out);
        let provider = &self.out.providers[at];
        let name = format!("{}/{}", provider.name, host.model);
        self.out.kept(node, format!("target `{name}` of route `{ROUTE}`"));
        node.done_with(&TOLD);
        if let Some(params) = node.get("override_params") {
            params.done_with(&["model"]);
        }
        match self.targets.iter_mut().find(|target| target.name == name) {
            Some(same) => same.weight += weight,
            None => self.targets.push(Target { name, tier, weight }),
        }
    }
}

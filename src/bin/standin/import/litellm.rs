//! `LiteLLM`'s proxy configuration: deployments become providers, their models and targets; model groups become routes;
//! fallbacks become further tiers.

use std::collections::{BTreeMap, BTreeSet};

use standin::config::presets;
use standin::sidecar::Hash;

use super::given::InputValue;
use super::groups::{Deployment, SAID, drops, fallbacks, routes, set, strategy};
use super::hosts::{self, Host};
use super::outcome::{Key, Model, Outcome, Provider, Route, Toml, number, quoted, time};
use super::reasons::why_not;

/// Turns a configuration into ours. `environment` looks up a variable.
pub fn import(given: &InputValue, environment: &dyn Fn(&str) -> Option<String>) -> Outcome {
    let mut out = Outcome::default();
    let credentials = credentials(given, &mut out);
    let (routing, litellm) = (given.get("router_settings"), given.get("litellm_settings"));
    let both = || [routing, litellm].into_iter().flatten();
    let deployments = deployments(given, &credentials, &mut out);
    let strategy = strategy(routing, &deployments, &mut out);
    let mut routes = routes(&deployments, &out.providers, strategy.as_ref());
    for settings in both() {
        drops(settings, &mut routes, &mut out);
        fallbacks(settings, &mut routes, &mut out);
    }
    for settings in both() {
        times(settings, &routes, &mut out);
        cooldowns(settings, &mut out);
        callbacks(settings, &mut out);
        budget(settings, &mut out);
    }
    if let Some(routing) = routing {
        aliases(routing, &routes, &mut out);
    }
    out.routes = routes;
    if let Some(general) = given.get("general_settings") {
        general_settings(general, environment, &mut out);
    }
    if let Some(variables) = given.get("environment_variables") {
        for (name, value) in variables.fields() {
            value.done();
            out.changed(value, format!("set `{name}` in the environment that standin starts in"));
        }
    }
    out.rest(given, why_not);
    // A gateway beside LiteLLM cannot have its port.
    if out.providers.iter().any(Provider::is_at_litellms_port) {
        set(&mut out.server, "listen", Toml::Text("127.0.0.1:4100".to_owned()));
    }
    out
}

/// Collects what deployments refer to by name.
fn credentials<'g>(given: &'g InputValue, out: &mut Outcome) -> BTreeMap<&'g str, &'g InputValue> {
    let Some(list) = given.get("credential_list") else { return BTreeMap::new() };
    let mut known = BTreeMap::new();
    for one in list.items() {
        if let (Some(name), Some(values)) = (one.text("credential_name"), one.get("credential_values")) {
            known.insert(name, values);
            out.kept(one, "where it is named");
            one.done_with(&["credential_name", "credential_info"]);
        }
    }
    known
}

fn deployments(given: &InputValue, credentials: &BTreeMap<&str, &InputValue>, out: &mut Outcome) -> Vec<Deployment> {
    let Some(list) = given.get("model_list") else { return Vec::new() };
    // Those that serve all of a vendor's models get its plain name: callers ask for `openai/NAME`.
    let (all, named): (Vec<&InputValue>, Vec<&InputValue>) = list.items().iter().partition(|one| {
        one.get("litellm_params").and_then(|params| params.text("model")).is_some_and(|model| model.ends_with('*'))
    });
    all.into_iter().chain(named).filter_map(|one| deployment(one, credentials, out)).collect()
}

/// Kinds of work that are not served.
const FOREIGN_MODES: [&str; 15] = [
    "image_generation",
    "image_edit",
    "audio_transcription",
    "audio_speech",
    "moderation",
    "moderations",
    "rerank",
    "batch",
    "realtime",
    "video_generation",
    "video_edit",
    "ocr",
    "search",
    "vector_store",
    "guardrail",
];

/// Reads one deployment, or returns why it cannot be served.
fn deployment(given: &InputValue, credentials: &BTreeMap<&str, &InputValue>, out: &mut Outcome) -> Option<Deployment> {
    let Some(params) = given.get("litellm_params") else {
        out.lost(given, "it has no `litellm_params`");
        return None;
    };
    let info = given.get("model_info");
    let credential = params.text("litellm_credential_name").and_then(|name| credentials.get(name).copied());
    let own = |name: &str| params.get(name).or_else(|| credential?.get(name));
    let (Some(group), Some(model)) = (given.text("model_name"), params.text("model")) else {
        out.lost(given, "it has no `model_name` and `litellm_params.model`");
        return None;
    };
    if let Some(variable) = model.strip_prefix("os.environ/").or_else(|| group.strip_prefix("os.environ/")) {
        out.lost(given, format!("names of models are not read from the environment here: write what {variable} holds"));
        return None;
    }
    let mode = info.and_then(|info| info.text("mode")).unwrap_or("chat");
    if FOREIGN_MODES.contains(&mode) {
        out.lost(given, format!("`{mode}` is not served: conversations and embeddings only"));
        return None;
    }
    if let Some(given) = info.and_then(|info| info.get("mode")) {
        match mode {
            "embedding" => out.kept(given, "its kind, where its name does not say it"),
            "chat" | "completion" | "responses" => out.kept(given, "conversations, which is usual"),
            _ => out.lost(given, "is no known kind of work: it is served as conversations"),
        }
    }
    let vendor = own("custom_llm_provider").and_then(InputValue::as_text);
    let full =
        vendor.filter(|vendor| model.split('/').next() != Some(*vendor)).map(|vendor| format!("{vendor}/{model}"));
    let model = full.as_deref().unwrap_or(model);
    let base = own("api_base").or_else(|| own("base_url")).and_then(InputValue::as_text);
    let host = match hosts::litellm(model, base.is_some()) {
        Ok(host) => host,
        Err(why) => {
            out.lost(given, why);
            return None;
        }
    };
    let provider = match provider(&host, base, &own, out) {
        Ok(provider) => provider,
        Err(why) => {
            out.lost(given, why);
            return None;
        }
    };
    let provider = place(provider, &host, out);
    if !host.all {
        let fields = model_fields(params, info, &host, mode, out);
        add_model(&mut out.providers[provider], &host.model, fields);
    }
    let said = |name: &str| params.get(name).or_else(|| given.get(name));
    let mut pace = None;
    for given in ["rpm", "tpm"].into_iter().filter_map(said) {
        match given.as_number().filter(|pace| *pace > 0.0) {
            Some(first) if pace.is_none() => {
                pace = Some(first);
                out.changed(
                    given,
                    "the weight of its target, where none is given: limits themselves are the provider's to say, and kept",
                );
            }
            Some(_) => {
                out.lost(given, "not needed: limits are the provider's to say, and kept; its weight is by `rpm`");
            }
            None => out.lost(given, "is no number above 0"),
        }
    }
    let mut number = |name: &str, good: &dyn Fn(f64) -> bool, became: &str| {
        let given = said(name)?;
        let number = given.as_number().filter(|number| good(*number));
        match number {
            Some(_) => out.kept(given, became),
            None => out.lost(given, format!("is no number that can be a {name}")),
        }
        number
    };
    let weight = number("weight", &|weight| weight >= 0.0, "weight of its target");
    let order = number("order", &|_| true, "tier of its target");
    let target = format!("{}/{}", out.providers[provider].name, host.model);
    // What the deployment's own line tells.
    given.done_with(&["model_name"]);
    params.done_with(&["model", "custom_llm_provider", "litellm_credential_name"]);
    for at in [Some(params), credential].into_iter().flatten() {
        at.done_with(&["api_base", "base_url", "api_key"]);
    }
    if host.all {
        let name = &out.providers[provider].name;
        let asked = if group == "*" {
            format!(
                "asked for as `{name}/MODEL`: a name alone needs a route, or server.default_route, which is not set"
            )
        } else {
            format!("asked for as `{name}/MODEL`")
        };
        out.changed(given, format!("provider `{name}` with all of its vendor's models, {asked}"));
        return None;
    }
    out.kept(given, format!("route `{group}`, target `{target}`"));
    Some(Deployment { group: group.to_owned(), provider, model: host.model, order, weight, pace })
}

/// Names of prices, there and here; the first two make a price.
const PRICES: [(&str, &str); 5] = [
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cached_input"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("output_cost_per_reasoning_token", "reasoning"),
];

/// Returns the fields of a model.
fn model_fields(
    params: &InputValue,
    info: Option<&InputValue>,
    host: &Host,
    mode: &str,
    out: &mut Outcome,
) -> Vec<(String, Toml)> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: Toml| fields.push((name.to_owned(), value));
    let said = |name: &str| params.number(name).or_else(|| info?.number(name));
    if let Some(given) = info.and_then(|info| info.get("base_model"))
        && let Some(base) = given.as_text()
    {
        let base = base.rsplit('/').next().unwrap_or(base);
        add("same_as", Toml::Text(base.to_owned()));
        out.kept(given, format!("same_as = {}", quoted(base)));
    }
    if mode == "embedding" && !host.model.to_lowercase().contains("embed") {
        add("kind", Toml::Text("embedding".to_owned()));
    }
    let at = |name: &str| params.get(name).or_else(|| info?.get(name));
    let dollars = |name: &str| said(name).filter(|price| *price >= 0.0).map(|price| price * 1e6);
    let prices = PRICES.map(|(theirs, ours)| (at(theirs), dollars(theirs), ours));
    let whole = prices.iter().take(2).all(|(_, price, _)| price.is_some());
    if whole {
        let parts = prices.iter().filter_map(|(_, price, ours)| Some(format!("{ours} = {}", number((*price)?))));
        add("price", Toml::Raw(format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))));
    }
    for (given, price, ours) in prices {
        match (given, price) {
            (Some(given), None) => out.lost(given, "is no price: dollars for a token, as 0.00000025"),
            (Some(given), Some(_)) if whole => out.kept(given, format!("price.{ours}, for a million tokens")),
            (Some(given), Some(_)) => {
                out.lost(given, "not taken: a price needs both input_cost_per_token and output_cost_per_token");
            }
            (None, _) => {}
        }
    }
    for (theirs, ours) in [
        ("max_input_tokens", "context_tokens_max"),
        ("max_output_tokens", "output_tokens_max"),
        ("max_parallel_requests", "in_flight_max"),
    ] {
        let Some(given) = at(theirs) else { continue };
        match given.as_number().filter(|count| *count >= 1.0 && *count <= f64::from(u32::MAX)) {
            Some(count) => {
                add(ours, Toml::Number(count.trunc()));
                out.kept(given, ours);
            }
            None => out.lost(given, "is no number of calls or tokens"),
        }
    }
    if let Some(given) = at("stream_timeout") {
        match given.as_number().filter(|seconds| *seconds > 0.0 && *seconds <= 31_536_000.0) {
            Some(seconds) => {
                add("first_token", Toml::Text(time(seconds)));
                out.changed(given, "first_token: time for the first piece of an answer, not between pieces");
            }
            None => out.lost(given, "is no time that can be set"),
        }
    }
    let mut lacks = Vec::new();
    for (theirs, ours) in [
        ("supports_function_calling", "tools"),
        ("supports_vision", "images"),
        ("supports_response_schema", "json_schema"),
    ] {
        let Some(given) = info.and_then(|info| info.get(theirs)).or_else(|| params.get(theirs)) else { continue };
        if info.is_some_and(|info| info.is(theirs)) || params.is(theirs) {
            out.kept(given, "what a model is taken for, unless its `lacks` says otherwise");
        } else {
            lacks.push(ours.to_owned());
            out.kept(given, format!("lacks \"{ours}\""));
        }
    }
    if !lacks.is_empty() {
        add("lacks", Toml::Texts(lacks));
    }
    if let Some(given) = params.get("tags") {
        let tags: Vec<String> = given.texts().into_iter().map(str::to_owned).collect();
        if tags.is_empty() {
            out.lost(given, "is no list of texts");
        } else {
            add("labels", Toml::Texts(tags));
            out.kept(given, "labels");
        }
    }
    fields
}

/// Adds a model, or adds new settings to a known one.
fn add_model(provider: &mut Provider, name: &str, fields: Vec<(String, Toml)>) {
    let Some(known) = provider.models.iter_mut().find(|known| known.name == name) else {
        provider.models.push(Model { name: name.to_owned(), fields });
        return;
    };
    for (field, value) in fields {
        match known.fields.iter_mut().find(|(known, _)| *known == field) {
            None => known.fields.push((field, value)),
            Some((_, Toml::Texts(texts))) if field == "labels" => {
                if let Toml::Texts(more) = value {
                    texts.extend(more.into_iter().filter(|text| !texts.contains(text)).collect::<Vec<_>>());
                }
            }
            Some(_) => {}
        }
    }
}

/// Makes the provider that a deployment is at.
fn provider<'g>(
    host: &Host,
    base: Option<&str>,
    own: &dyn Fn(&str) -> Option<&'g InputValue>,
    out: &mut Outcome,
) -> Result<Provider, String> {
    let text = |name: &str| own(name).and_then(InputValue::as_text);
    let mut fields: Vec<(String, Toml)> = Vec::new();
    let mut set = |name: &str, value: String| fields.push((name.to_owned(), Toml::Text(value)));
    let mut query = Vec::new();
    match (host.preset, base) {
        ("azure", Some(base)) => {
            // Everything after the resource is replaced.
            let base = expanded(base);
            let base = base.split("/openai/").next().unwrap_or(&base).trim_end_matches('/');
            let base = base.strip_suffix("/openai").unwrap_or(base).to_owned();
            set("base_url", base);
            set("flavour", "azure-deployments".to_owned());
            if let Some(given) = own("api_version")
                && let Some(version) = given.as_text()
            {
                query.push(("api-version", expanded(version)));
                out.kept(given, "query.api-version of its provider");
            }
        }
        ("azure", None) => return Err("an Azure deployment needs an `api_base`".to_owned()),
        ("vertex" | "vertex-anthropic", base) => {
            set("preset", host.preset.to_owned());
            for (theirs, ours, usual) in [
                (["vertex_project", "vertex_ai_project"], "project", "${VERTEXAI_PROJECT}"),
                (["vertex_location", "vertex_ai_location"], "location", "${VERTEXAI_LOCATION:-us-central1}"),
            ] {
                let given = theirs.into_iter().find_map(own).and_then(|given| Some((given, given.as_text()?)));
                if let Some((given, _)) = given {
                    out.kept(given, format!("{ours} of its provider"));
                }
                set(ours, given.map_or_else(|| usual.to_owned(), |(_, text)| expanded(text)));
            }
            if let Some(given) = own("vertex_credentials") {
                out.changed(given, "a token from `gcloud auth print-access-token`: service accounts are not read");
            }
            if base.is_some() {
                return Err("Vertex AI behind an address of its own is not known here".to_owned());
            }
        }
        (preset, base) => {
            if !preset.is_empty() {
                set("preset", preset.to_owned());
            }
            let base = base.map(|base| hosts::base_url(host, &expanded(base))).or_else(|| host.base.map(str::to_owned));
            if let Some(base) = base {
                set("base_url", base);
            }
            if let Some(flavour) = host.flavour {
                set("flavour", flavour.to_owned());
            }
        }
    }
    let mut headers = Vec::new();
    if let Some(given) = own("organization")
        && let Some(organization) = given.as_text()
    {
        headers.push(("OpenAI-Organization", expanded(organization)));
        out.kept(given, "headers.OpenAI-Organization of its provider");
    }
    if let Some(extra) = own("extra_headers").or_else(|| own("headers")) {
        for (name, given) in extra.fields() {
            if let Some(text) = given.as_text() {
                headers.push((name.as_str(), expanded(text)));
                out.kept(given, "headers of its provider");
            }
        }
    }
    for (name, pairs) in [("query", query), ("headers", headers)] {
        if !pairs.is_empty() {
            let pairs: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
            fields.push((name.to_owned(), Toml::Raw(format!("{{ {} }}", pairs.join(", ")))));
        }
    }
    let key = text("api_key").map(Key::given);
    if let Some(token) = own("azure_ad_token") {
        out.lost(
            token,
            "no counterpart: a key is read from `env`, `file` or `command` (`az account get-access-token`)",
        );
    }
    if matches!(&key, Some(Key::Value(key)) if key.trim().is_empty()) {
        return Err("its `api_key` is empty".to_owned());
    }
    let usual = match host.preset {
        "vertex" | "vertex-anthropic" => Some(Key::gcloud()),
        "azure" => Some(Key::Env("AZURE_API_KEY".to_owned())),
        // Behind an address of its own it may need no key.
        _ if base.is_some() => None,
        preset => {
            let known = presets().iter().find(|known| known.name == preset).and_then(|known| known.env);
            known.or(host.env).map(|name| Key::Env(name.to_owned()))
        }
    };
    let keys = key.or(usual).into_iter().collect();
    Ok(Provider { name: host.name.clone(), fields, keys, all: host.all, ..Provider::default() })
}

/// Returns the number of a provider that is the same, or of this one, which gets a name of its own.
pub fn place(mut provider: Provider, host: &Host, out: &mut Outcome) -> usize {
    let same = |known: &Provider| {
        (&known.fields, &known.keys, known.all) == (&provider.fields, &provider.keys, provider.all)
            // The preset of the provider's own name need not be written.
            && known.name.trim_end_matches(|last: char| last.is_ascii_digit()).trim_end_matches('-') == provider.name
    };
    if let Some(at) = out.providers.iter().position(same) {
        return at;
    }
    let taken: BTreeSet<&str> = out.providers.iter().map(|known| known.name.as_str()).collect();
    let free = (2..).map(|at| format!("{}-{at}", host.name));
    let name = [host.name.clone()].into_iter().chain(free).find(|name| !taken.contains(name.as_str()));
    provider.name = name.unwrap_or_default();
    out.providers.push(provider);
    out.providers.len() - 1
}

/// Writes `os.environ/NAME` as ours.
pub fn expanded(text: &str) -> String {
    text.strip_prefix("os.environ/").map_or_else(|| text.to_owned(), |name| format!("${{{name}}}"))
}

fn times(settings: &InputValue, routes: &[Route], out: &mut Outcome) {
    if let Some(given) = settings.get("num_retries") {
        let retries = given.as_number().unwrap_or(0.0).clamp(0.0, 100.0).trunc();
        let tiers = routes.iter().flat_map(|route| &route.targets).map(|target| target.tier).max().unwrap_or(0);
        let attempts = retries + 1.0 + f64::from(tiers);
        if set(&mut out.failover, "attempts_max", Toml::Number(attempts)) {
            out.changed(given, format!("failover.attempts_max = {attempts}: all attempts of a call, at all targets"));
        } else {
            out.lost(given, SAID);
        }
    }
    for name in ["timeout", "request_timeout"] {
        let Some(given) = settings.get(name) else { continue };
        match given.as_number().filter(|seconds| *seconds > 0.0 && *seconds <= 31_536_000.0) {
            Some(seconds) if set(&mut out.failover, "deadline", Toml::Text(time(seconds))) => {
                out.changed(given, "failover.deadline: time for the whole call, not for one attempt");
            }
            Some(_) => out.lost(given, SAID),
            None => out.lost(given, "is no time that can be set"),
        }
    }
    if let Some(given) = settings.get("stream_timeout") {
        out.lost(given, "no counterpart for all models: set `first_token` of a model");
    }
    calls_max(settings, out);
    if let Some(given) = settings.get("enable_pre_call_checks") {
        out.kept(given, "always: windows are checked before a target is asked");
    }
}

/// The most calls: of all deployments, and of one deployment, which only the deployment can set here.
fn calls_max(settings: &InputValue, out: &mut Outcome) {
    if let Some(given) = settings.get("global_max_parallel_requests") {
        match given.as_number().filter(|count| *count >= 1.0) {
            Some(count) if set(&mut out.top, "calls_max", Toml::Number(count.trunc().min(f64::from(u32::MAX)))) => {
                out.kept(given, "calls_max");
            }
            Some(_) => out.lost(given, SAID),
            None => out.lost(given, "is no number of calls"),
        }
    }
    for name in ["max_parallel_requests", "default_max_parallel_requests"] {
        if let Some(given) = settings.get(name) {
            out.lost(given, "no counterpart for all deployments: set `in_flight_max` of a model");
        }
    }
}

fn cooldowns(settings: &InputValue, out: &mut Outcome) {
    if let Some(given) = settings.get("cooldown_time") {
        match given.as_number().filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0) {
            Some(seconds) => {
                out.providers
                    .iter_mut()
                    .for_each(|provider| provider.cooldown_s = provider.cooldown_s.or(Some(seconds)));
                out.changed(
                    given,
                    "breaker.cooldown_base of each provider: a probe on a real call comes then, and a ramp",
                );
            }
            None => out.lost(given, "no counterpart: a breaker has a cooldown above 0 and of a day at most"),
        }
    }
    if let Some(given) = settings.get("allowed_fails") {
        out.lost(given, "no counterpart: a sequential test decides; three failures in a row open a breaker");
    }
    if let Some(given) = settings.get("disable_cooldowns") {
        out.lost(given, "no counterpart: breakers are always there");
    }
}

/// The budget of all calls together.
fn budget(settings: &InputValue, out: &mut Outcome) {
    let Some(given) = settings.get("max_budget") else { return };
    let Some(dollars) = given.as_number().filter(|dollars| *dollars > 0.0) else {
        return out.lost(given, "no counterpart: a budget is above 0");
    };
    let duration = settings.get("budget_duration");
    let Some((per, calendar)) = duration.and_then(|given| period(given.as_text()?)) else {
        if let Some(given) = duration {
            out.lost(given, "is no time of a minute to a year");
        }
        let why = "not taken over: one that is never renewed has no counterpart; write `[budgets.NAME]` with `per`";
        return out.lost(given, why);
    };
    let fields = [("dollars", Toml::Number(dollars)), ("per", Toml::Text(per.clone()))];
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).to_vec();
    if !out.budgets.is_empty() {
        return out.lost(given, SAID);
    }
    out.budgets.push(("all".to_owned(), fields));
    out.kept(given, "budgets.all.dollars: what is in flight is counted, too");
    if let Some(given) = duration {
        if calendar {
            out.kept(given, format!("budgets.all.per = \"{per}\", by the calendar, in UTC"));
        } else {
            out.changed(given, format!("budgets.all.per = \"{per}\": a window that slides"));
        }
    }
}

/// Returns how our budgets call a time of `LiteLLM`'s, and whether it goes by the calendar there and here.
fn period(text: &str) -> Option<(String, bool)> {
    match text {
        "1d" | "24h" => return Some(("day".to_owned(), true)),
        "7d" | "1w" => return Some(("week".to_owned(), true)),
        "30d" | "1mo" => return Some(("month".to_owned(), true)),
        _ => {}
    }
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "mo" => 30 * 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (60..=365 * 86_400).contains(&seconds).then(|| (time(seconds as f64), false))
}

fn callbacks(settings: &InputValue, out: &mut Outcome) {
    for name in ["callbacks", "success_callback", "failure_callback", "service_callback", "service_callbacks"] {
        if let Some(given) = settings.get(name) {
            if given.texts() == ["prometheus"] {
                out.kept(given, "/metrics, always");
            } else {
                out.lost(given, why_not("callback"));
            }
        }
    }
}

fn aliases(settings: &InputValue, routes: &[Route], out: &mut Outcome) {
    let Some(given) = settings.get("model_group_alias") else { return };
    for (name, group) in given.fields() {
        let Some(leads) = group.as_text().or_else(|| group.text("model")) else {
            out.lost(group, "an alias leads to one group, by its name");
            continue;
        };
        if group.is("hidden") {
            out.changed(group, "an alias that is listed: aliases cannot be hidden");
        }
        let is_route = |name: &str| routes.iter().any(|route| route.name == name);
        match (is_route(name), is_route(leads)) {
            (true, _) => out.lost(group, format!("there is a route `{name}`, and an alias needs a name of its own")),
            (_, false) => out.lost(group, format!("there is no group `{leads}` that is served")),
            _ => {
                group.done_with(&["model", "hidden"]);
                out.aliases.push((name.clone(), leads.to_owned()));
                out.kept(group, format!("aliases.{name} = \"{leads}\""));
            }
        }
    }
}

fn general_settings(general: &InputValue, environment: &dyn Fn(&str) -> Option<String>, out: &mut Outcome) {
    if let Some(given) = general.get("master_key") {
        let key = given.as_text().unwrap_or_default();
        let variable = key.strip_prefix("os.environ/");
        let key = variable.map_or_else(|| Some(key.to_owned()), environment).filter(|key| !key.trim().is_empty());
        match (key, variable) {
            (Some(key), _) => {
                out.clients.push(("master".to_owned(), Hash::of(&key).to_string()));
                out.changed(given, "[[server.keys]], by its hash: it makes calls; for operators make one by `standin key NAME --operator`");
            }
            (None, Some(variable)) => out.lost(
                given,
                format!(
                    "{variable} is not set here: `standin key NAME` makes a client's key; without one, loopback only"
                ),
            ),
            (None, None) => out.lost(given, "is empty"),
        }
    }
    calls_max(general, out);
    if let Some(given) = general.get("max_request_size_mb") {
        match given.as_number().filter(|size| *size > 0.0 && *size <= 512.0) {
            Some(size) => {
                set(&mut out.server, "body_bytes_max", Toml::Number((size * 1_048_576.0).trunc()));
                out.kept(given, "server.body_bytes_max");
            }
            None => out.lost(given, "is no size that can be set"),
        }
    }
    if let Some(given) = general.get("alerting") {
        out.lost(given, why_not("alert"));
    }
}

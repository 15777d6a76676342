//! `LiteLLM`'s proxy configuration: deployments become providers, their models and targets; model groups become routes;
//! fallbacks become further tiers.

use std::collections::{BTreeMap, BTreeSet};

use standin::sidecar::{Hash, meant};

use super::given::InputValue;
use super::groups::{Deployment, METRICS, SAID, drops, fallbacks, routes, set, strategy, weights};
use super::hosts::{self, Host};
use super::model::{is_embedding, model_fields};
use super::outcome::{Model, Outcome, Provider, Route, Toml, time};
use super::provider::{expanded, place, provider, variable};
use super::reasons::why_not;

/// Turns a configuration into ours. `environment` looks up a variable.
pub fn import(given: &InputValue, environment: &dyn Fn(&str) -> Option<String>) -> Outcome {
    let mut out = Outcome::default();
    let credentials = credentials(given, &mut out);
    let (routing, litellm) = (given.get("router_settings"), given.get("litellm_settings"));
    let both = || [routing, litellm].into_iter().flatten();
    let deployments = deployments(given, &credentials, &mut out);
    let weights = weights(&deployments, &mut out);
    let strategy = strategy(routing, weights.iter().any(Option::is_some), &mut out);
    let mut routes = routes(&deployments, &weights, &out.providers, strategy.as_ref());
    for settings in both() {
        drops(settings, &mut routes, &mut out);
    }
    let served = out.served();
    let wildcard = |name: &str| {
        let host = hosts::litellm(name, None).ok()?;
        let ids = served.iter().filter(|(preset, _)| *preset == host.preset);
        ids.flat_map(|(_, ids)| ids)
            .find(|id| id.split_once('/').is_some_and(|(_, model)| model == host.model))
            .cloned()
    };
    fallbacks(&both().collect::<Vec<_>>(), &mut routes, &wildcard, &mut out);
    for settings in both() {
        times(settings, &mut routes, &mut out);
        cooldowns(settings, &deployments, &mut out);
        callbacks(settings, &mut out);
    }
    deadlines(&deployments, &mut routes, &mut out);
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
    for settings in both() {
        budget(settings, &mut out);
    }
    out.rest(given, why_not);
    // A gateway beside LiteLLM cannot have its port.
    if out.providers.iter().any(Provider::is_at_our_port) {
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

fn deployments<'g>(
    given: &'g InputValue,
    credentials: &BTreeMap<&str, &'g InputValue>,
    out: &mut Outcome,
) -> Vec<Deployment<'g>> {
    let Some(list) = given.get("model_list") else { return Vec::new() };
    // Those that serve all of a vendor's models get its plain name: callers ask for `openai/NAME`.
    let (all, named): (Vec<&InputValue>, Vec<&InputValue>) = list.items().iter().partition(|one| {
        one.get("litellm_params").and_then(|params| params.text("model")).is_some_and(|model| model.ends_with('*'))
    });
    let one = |one| {
        let before = out.notes.len();
        let found = deployment(one, credentials, out).unwrap_or_else(|why| {
            out.lost(one, why);
            None
        });
        out.take_back(before, one);
        found
    };
    all.into_iter().chain(named).filter_map(one).collect()
}

/// Tells why a text is none, where a template was not filled in.
fn template(text: &str) -> Option<&'static str> {
    let is_template = text.contains("{{") || text.contains("{%");
    is_template.then_some("it is a template that was not filled in: import the file that is made of it")
}

/// Kinds of work that are not served.
const FOREIGN_MODES: [&str; 18] = [
    "image_generation",
    "image_edit",
    "audio_transcription",
    "audio_speech",
    "image",
    "speech",
    "tts",
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

/// Has a provider asked by `OpenAI`'s responses, if it may speak them.
fn can_take_responses(host: &mut Host) -> bool {
    match host.preset {
        "openai" => (host.name, host.preset) = ("openai-responses".to_owned(), "openai-responses"),
        "openai-responses" => {}
        "anthropic" | "gemini" | "vertex" | "vertex-anthropic" => return false,
        _ => host.dialect = Some("openai-responses"),
    }
    true
}

/// Reads one deployment, or returns why it cannot be served. One of all of a vendor's models is a provider alone.
fn deployment<'g>(
    given: &'g InputValue,
    credentials: &BTreeMap<&str, &'g InputValue>,
    out: &mut Outcome,
) -> Result<Option<Deployment<'g>>, String> {
    let params = given.get("litellm_params").ok_or("it has no `litellm_params`")?;
    let info = given.get("model_info");
    let credential = params.text("litellm_credential_name").and_then(|name| credentials.get(name).copied());
    let own = |name: &str| params.get(name).or_else(|| credential?.get(name));
    let (Some(group), Some(model)) = (given.text("model_name"), params.text("model")) else {
        return Err("it has no `model_name` and `litellm_params.model`".to_owned());
    };
    check_names(group, model)?;
    if let Some(key) = own("api_key").filter(|key| key.as_text().is_none_or(|text| template(text).is_some())) {
        out.lost(key, "is no key: a text, or os.environ/NAME; without it another key would be sent, so none is");
        return Err("its `api_key` is no text".to_owned());
    }
    let mode = info.and_then(|info| info.text("mode"));
    if let Some(mode) = mode {
        check_mode(mode)?;
    }
    let vendor = own("custom_llm_provider").and_then(InputValue::as_text);
    let full =
        vendor.filter(|vendor| model.split('/').next() != Some(*vendor)).map(|vendor| format!("{vendor}/{model}"));
    let model = full.as_deref().unwrap_or(model);
    let base = own("api_base").or_else(|| own("base_url")).filter(|given| given.as_text().is_some());
    let address = base.and_then(InputValue::as_text).map(expanded);
    let mut host = hosts::litellm(model, address.as_deref())?;
    let wants_responses = (host.responses || mode == Some("responses")) && can_take_responses(&mut host);
    let provider = provider(&mut host, base, &own, out)?;
    if let Some(given) = info.and_then(|info| info.get("mode")) {
        match mode {
            Some(mode) if is_embedding(mode) => out.kept(given, "its kind, where its name does not say it"),
            Some("chat") => out.kept(given, "conversations, which is usual"),
            Some("responses") if wants_responses => out.kept(given, "dialect \"openai-responses\" of its provider"),
            Some("responses") => out.changed(given, "conversations, in its provider's own dialect"),
            _ => {
                let meant = meant(mode.unwrap_or_default(), ["chat", "responses", "embedding"]);
                out.lost(given, format!("is no known kind of work, and is served as conversations; {meant}"));
            }
        }
    }
    let fields = (!host.all).then(|| model_fields(params, info, &host, mode, out));
    let of_model = fields.map(|fields| Model { name: host.model.clone(), fields });
    let (provider, is_apart) = place(provider, &host, of_model, out);
    let said = |name: &str| params.get(name).or_else(|| given.get(name));
    let mut number = |name: &str, must: &str, good: &dyn Fn(f64) -> bool| {
        let given = said(name)?;
        let number = given.as_number().filter(|number| good(*number));
        match number {
            _ if host.all => {
                out.lost(given, "no counterpart: all of a vendor's models are asked for by name, and in no route");
                return None;
            }
            None => out.lost(given, format!("is no {must}")),
            Some(_) => {}
        }
        Some((number?, given))
    };
    let by = METRICS.map(|name| match name {
        "weight" => number(name, "number that can be a weight", &|weight| weight >= 0.0),
        _ => number(name, "number above 0", &|pace| pace > 0.0),
    });
    let order = number("order", "number that can be an order", &|_| true).map(|(order, given)| {
        out.kept(given, "tier of its target");
        order
    });
    let target = format!("{}/{}", out.providers[provider].name, host.model);
    // What the deployment's own line tells.
    given.done_with(&["model_name"]);
    params.done_with(&["model", "custom_llm_provider", "litellm_credential_name"]);
    for at in [Some(params), credential].into_iter().flatten() {
        at.done_with(&["api_base", "base_url", "api_key"]);
    }
    if host.all {
        let name = &out.providers[provider].name;
        let needs =
            if group == "*" { ": a name alone needs a route, or server.default_route, which is not set" } else { "" };
        out.changed(
            given,
            format!("provider `{name}` with all of its vendor's models, asked for as `{name}/MODEL`{needs}"),
        );
        return Ok(None);
    }
    let apart =
        if is_apart { ", a provider of its own: this model has other settings in another deployment" } else { "" };
    if host.responses && !wants_responses {
        out.changed(given, format!("route `{group}`, target `{target}`{apart}, in its provider's own dialect"));
    } else {
        out.kept(given, format!("route `{group}`, target `{target}`{apart}"));
    }
    let timeout = said("timeout").and_then(|given| Some((given.as_seconds()?, given)));
    Ok(Some(Deployment { given, group: group.to_owned(), provider, model: host.model, order, by, timeout }))
}

/// Tells why a deployment cannot be served by its names.
fn check_names(group: &str, model: &str) -> Result<(), String> {
    if let Some(why) = template(group).or_else(|| template(model)) {
        return Err(why.to_owned());
    }
    // One name for all of a vendor's models is served by their own names; a pattern of any other kind matches nothing.
    let is_whole = |name: &str| name == "*" || name.strip_suffix("/*").is_some_and(|vendor| !vendor.contains('*'));
    if group.contains('*') && !(is_whole(group) && is_whole(model)) || model.contains('*') && !is_whole(model) {
        return Err(format!(
            "a pattern has no counterpart: give the route `{group}` a name of its own; server.default_route serves \
             every name that no route has"
        ));
    }
    match model.strip_prefix("os.environ/").or_else(|| group.strip_prefix("os.environ/")) {
        Some(variable) => {
            Err(format!("names of models are not read from the environment here: write what {variable} holds"))
        }
        None => Ok(()),
    }
}

/// Tells why a kind of work is not served.
fn check_mode(mode: &str) -> Result<(), String> {
    match mode {
        mode if FOREIGN_MODES.contains(&mode) => {
            Err(format!("`{mode}` is not served: conversations and embeddings only"))
        }
        "completion" | "text_completion" | "text-completion" => {
            Err("the older completions are not spoken; with `mode: chat` it is served as conversations".to_owned())
        }
        _ => Ok(()),
    }
}

/// Gives routes a longer deadline, where a deployment of theirs may take longer than the usual one.
fn deadlines(deployments: &[Deployment<'_>], routes: &mut [Route], out: &mut Outcome) {
    let usual = out.deadline_s.unwrap_or(600.0);
    for one in deployments {
        let Some((seconds, given)) = one.timeout else { continue };
        let own = deployments.iter().filter(|other| other.group == one.group).filter_map(|other| other.timeout);
        let longest = own.map(|(seconds, _)| seconds).fold(usual, f64::max);
        let route = routes.iter_mut().find(|route| route.name == one.group).filter(|_| seconds > usual);
        let longest = Toml::Text(time(longest));
        if route.is_some_and(|route| set(&mut route.failover, "deadline", longest)) {
            out.changed(given, "failover.deadline of its route: time for the whole call, not for one attempt");
        } else {
            out.lost(given, why_not(&given.path));
        }
    }
}

fn times(settings: &InputValue, routes: &mut [Route], out: &mut Outcome) {
    if let Some(given) = settings.get("num_retries") {
        let retries = given.as_number().map(|retries| retries.clamp(0.0, 100.0).trunc());
        match retries.map(|retries| retries + 1.0) {
            Some(1.0) => out.changed(given, "nothing: a failed attempt moves to another target of its route"),
            Some(attempts) if set(&mut out.failover, "attempts_max", Toml::Number(attempts)) => {
                // LiteLLM counts anew for each group.
                for route in routes {
                    let tiers = route.targets.iter().map(|target| target.tier).collect::<BTreeSet<_>>().len();
                    let all = attempts * tiers as f64;
                    if tiers > 1 {
                        set(&mut route.failover, "attempts_max", Toml::Number(all));
                    }
                }
                let said = "all attempts of a call, and so many for each further tier of a route";
                out.changed(given, format!("failover.attempts_max = {attempts}: {said}"));
            }
            Some(_) => out.lost(given, SAID),
            None => out.lost(given, "is no number of retries: failover.attempts_max stays as it is"),
        }
    }
    for name in ["timeout", "request_timeout"] {
        let Some(given) = settings.get(name) else { continue };
        match given.as_seconds() {
            Some(seconds) if set(&mut out.failover, "deadline", Toml::Text(time(seconds))) => {
                out.deadline_s = Some(seconds);
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

fn cooldowns(settings: &InputValue, deployments: &[Deployment<'_>], out: &mut Outcome) {
    if let Some(given) = settings.get("cooldown_time") {
        // LiteLLM cools nothing down that is alone in its group.
        let is_alone = |one: &&Deployment<'_>| deployments.iter().filter(|other| other.group == one.group).count() == 1;
        let cooled: BTreeSet<usize> = deployments.iter().filter(|one| !is_alone(one)).map(|one| one.provider).collect();
        match given.as_number().filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0) {
            Some(_) if cooled.is_empty() => {
                out.lost(given, "not needed: LiteLLM cools nothing down that is alone in its group, and each is");
            }
            Some(seconds) => {
                for at in cooled {
                    let provider = &mut out.providers[at];
                    provider.cooldown_s = provider.cooldown_s.or(Some(seconds));
                }
                let said = "breaker.cooldown_base of each provider in a group of several: a probe on a real call comes \
                            then, and a ramp";
                out.changed(given, said);
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
    let said = "budgets.all.dollars: what is in flight is counted, too";
    match &out.unpriced()[..] {
        [] => out.kept(given, said),
        unknown => {
            let names: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
            let refused = "and a budget refuses calls whose price is not known. LiteLLM counts them as nothing, as \
                           `price = { input = 0, output = 0 }` of a model does here";
            out.changed(given, format!("{said}; no price is known of {}, {refused}", names.join(", ")));
        }
    }
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
                out.lost(given, why_not("litellm_settings.callbacks"));
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
        if group.get("hidden").and_then(InputValue::as_flag) == Some(true) {
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
        let variable = variable(key);
        let key = variable.map_or_else(|| Some(key.to_owned()), environment).filter(|key| !key.trim().is_empty());
        match (key, variable) {
            (Some(key), _) => {
                out.clients.push(("master".to_owned(), Hash::of(&key).to_string()));
                let said = "[[server.keys]], by its hash: it makes calls; for operators make one by \
                            `standin key NAME --operator`";
                out.changed(given, said);
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
        out.lost(given, why_not("general_settings.alerting"));
    }
}

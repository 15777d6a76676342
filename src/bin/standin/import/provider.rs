//! Where a deployment of `LiteLLM`'s is: its provider's address, key, headers and parameters.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;
use standin::config::{Preset, header_name};

use super::given::InputValue;
use super::hosts::{self, Host};
use super::outcome::{Key, Model, Outcome, Provider, Toml, quoted};

/// Makes the provider that a deployment is at. An address of Azure's may name another deployment than the model does:
/// then that one is asked.
pub fn provider<'g>(
    host: &mut Host,
    base: Option<&InputValue>,
    own: &dyn Fn(&str) -> Option<&'g InputValue>,
    out: &mut Outcome,
) -> Result<Provider, String> {
    let text = |name: &str| own(name).and_then(InputValue::as_text);
    let mut fields: Vec<(String, Toml)> = Vec::new();
    let mut set = |name: &str, value: String| fields.push((name.to_owned(), Toml::Text(value)));
    let said = base.and_then(|given| Some((given, expanded(given.as_text()?))));
    let (address, mut query) = match &said {
        Some((given, address)) => {
            let (address, said) = address.split_once('?').unwrap_or((address, ""));
            let query = parameters(said);
            if !query.is_empty() {
                let names: Vec<&str> = query.keys().map(String::as_str).collect();
                out.kept(given, format!("base_url, and query.{} of its provider", names.join(", query.")));
            }
            (Some(address), query)
        }
        None => (None, BTreeMap::new()),
    };
    let mut is_elsewhere = false;
    match (host.preset, address) {
        ("azure", Some(address)) => {
            let (resource, deployment) = deployment(address);
            if let Some((given, _)) = &said
                && let Some(deployment) = deployment.filter(|deployment| *deployment != host.model)
            {
                out.changed(given, format!("deployment `{deployment}`: its address names it, and so LiteLLM asks it"));
                host.stands_for = Some(std::mem::replace(&mut host.model, deployment.to_owned()));
            }
            set("preset", "azure".to_owned());
            let version = own("api_version").and_then(|given| Some((given, given.as_text()?)));
            let says_newer = version.is_some_and(|(_, version)| ["v1", "preview", "latest"].contains(&version));
            // Azure has the responses at its newer addresses, which need no version. An address that names a deployment
            // is an older one.
            if says_newer && deployment.is_none() || host.dialect.is_some() {
                set("base_url", format!("{}/openai/v1", resource.trim_end_matches('/')));
                query.remove("api-version");
                if let Some((given, _)) = version {
                    out.changed(given, "base_url with /openai/v1, Azure's newer addresses, which need no version");
                }
            } else {
                set("base_url", resource.to_owned());
                set("flavour", "azure-deployments".to_owned());
                if let Some((given, version)) = version {
                    query.insert("api-version".to_owned(), expanded(version));
                    out.kept(given, "query.api-version of its provider");
                }
            }
            if let Some(dialect) = host.dialect {
                set("dialect", dialect.to_owned());
            }
        }
        ("azure", None) => return Err("an Azure deployment needs an `api_base`".to_owned()),
        ("vertex" | "vertex-anthropic", address) => {
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
            if address.is_some() {
                return Err("Vertex AI behind an address of its own is not known here".to_owned());
            }
        }
        (preset, address) => {
            if !preset.is_empty() {
                set("preset", preset.to_owned());
            }
            let base = address.and_then(|address| hosts::base_url(host, address));
            is_elsewhere = base.is_some();
            if let Some(base) = base.or_else(|| host.base.map(str::to_owned)) {
                set("base_url", base);
            }
            if let Some(dialect) = host.dialect {
                set("dialect", dialect.to_owned());
            }
        }
    }
    let keys = keys(host, is_elsewhere, text("api_key"))?;
    let headers = headers(own, (!keys.is_empty()).then(|| key_header(host.preset)), out);
    for (name, pairs) in [("query", query), ("headers", headers)] {
        if !pairs.is_empty() {
            let pairs: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
            fields.push((name.to_owned(), Toml::Raw(format!("{{ {} }}", pairs.join(", ")))));
        }
    }
    if let Some(token) = own("azure_ad_token") {
        out.lost(
            token,
            "no counterpart: a key is read from `env`, `file` or `command` (`az account get-access-token`)",
        );
    }
    Ok(Provider { name: host.name.clone(), fields, keys, all: host.all, ..Provider::default() })
}

/// Splits an address of Azure's into its resource and the deployment in it.
fn deployment(address: &str) -> (&str, Option<&str>) {
    if let Some((resource, rest)) = address.split_once("/openai/deployments/") {
        return (resource, rest.split('/').next().filter(|name| !name.is_empty()));
    }
    let resource = address.split("/openai/").next().unwrap_or(address).trim_end_matches('/');
    (resource.strip_suffix("/openai").unwrap_or(resource), None)
}

/// Returns the parameters of an address.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let address = Url::parse(&format!("http://host/?{query}"));
    address.map_or_else(|_| BTreeMap::new(), |address| address.query_pairs().into_owned().collect())
}

fn keys(host: &Host, is_elsewhere: bool, given: Option<&str>) -> Result<Vec<Key>, String> {
    let key = given.map(Key::given);
    if matches!(&key, Some(Key::Value(key)) if key.trim().is_empty()) {
        return Err("its `api_key` is empty".to_owned());
    }
    let usual = match host.preset {
        "vertex" | "vertex-anthropic" => Some(Key::gcloud()),
        "azure" => Some(Key::Env("AZURE_API_KEY".to_owned())),
        // Behind an address of its own it may need no key.
        _ if is_elsewhere => None,
        preset => {
            let known = Preset::named(preset).and_then(|known| known.env);
            known.or(host.env).map(|name| Key::Env(name.to_owned()))
        }
    };
    Ok(key.or(usual).into_iter().collect())
}

/// Returns the header that a provider takes its key in.
fn key_header(preset: &str) -> &'static str {
    match preset {
        "azure" => "api-key",
        "anthropic" => "x-api-key",
        "gemini" => "x-goog-api-key",
        _ => "authorization",
    }
}

/// Returns the headers of each request, without that of the key, which would replace it.
fn headers<'g>(
    own: &dyn Fn(&str) -> Option<&'g InputValue>,
    of_key: Option<&str>,
    out: &mut Outcome,
) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    if let Some(given) = own("organization")
        && let Some(organization) = given.as_text()
    {
        headers.insert("OpenAI-Organization".to_owned(), expanded(organization));
        out.kept(given, "headers.OpenAI-Organization of its provider");
    }
    for (name, given) in ["headers", "extra_headers"].into_iter().filter_map(own).flat_map(InputValue::fields) {
        let Some(text) = given.as_text() else { continue };
        if of_key.is_some_and(|of_key| name.eq_ignore_ascii_case(of_key)) {
            out.lost(given, "not taken: the key of this deployment is sent, in its own header; give one key");
        } else if let Err(problem) = header_name(name) {
            out.lost(given, format!("not taken: it {problem}"));
        } else {
            headers.insert(name.clone(), expanded(text));
            out.kept(given, "headers of its provider");
        }
    }
    headers
}

/// Returns the number of a provider that is the same, or of this one, which gets a name of its own; and whether it only
/// differs in what is said of the model, which is put there. A model has one set of settings at a provider.
pub fn place(mut provider: Provider, host: &Host, model: Option<Model>, out: &mut Outcome) -> (usize, bool) {
    let same = |known: &&mut Provider| {
        (&known.fields, &known.keys, known.all) == (&provider.fields, &provider.keys, provider.all)
            && (known.name == provider.name || is_numbered(&known.name, &provider.name))
    };
    let mut is_apart = false;
    for (at, known) in out.providers.iter_mut().enumerate().filter(|(_, known)| same(known)) {
        match (&model, known.models.iter().find(|one| Some(&one.name) == model.as_ref().map(|model| &model.name))) {
            (Some(model), Some(one)) if one.fields != model.fields => is_apart = true,
            (Some(_), None) => {
                known.models.extend(model);
                return (at, false);
            }
            _ => return (at, false),
        }
    }
    let taken: BTreeSet<&str> = out.providers.iter().map(|known| known.name.as_str()).collect();
    let free = (2..).map(|at| format!("{}-{at}", host.name));
    let name = [host.name.clone()].into_iter().chain(free).find(|name| !taken.contains(name.as_str()));
    provider.name = name.unwrap_or_default();
    provider.models.extend(model);
    out.providers.push(provider);
    (out.providers.len() - 1, is_apart)
}

/// Tells whether a name is another's with a number behind it.
fn is_numbered(name: &str, other: &str) -> bool {
    let number = name.strip_prefix(other).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Returns the variable that a text stands for.
pub fn variable(text: &str) -> Option<&str> {
    text.strip_prefix("os.environ/").or_else(|| text.strip_prefix("${")?.strip_suffix('}'))
}

/// Writes `os.environ/NAME` as ours.
pub fn expanded(text: &str) -> String {
    text.strip_prefix("os.environ/").map_or_else(|| text.to_owned(), |name| format!("${{{name}}}"))
}

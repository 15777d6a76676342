//! Base addresses: the path that known providers and servers have before what their dialect appends.
//!
//! Input: an address as a user wrote it, and what is known of its provider. Output: the address that was probably
//! meant, where a part of it lacks. The check of a configuration, the import of another gateway's, and the error of a
//! request that was not found all ask here.

use super::dialect::DialectConfig;
use super::presets::{Preset, presets};
use crate::spec::BasePath;

/// Paths at hosts whose preset speaks another dialect, or that have none.
const OTHERS: [(&str, &str); 3] = [
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("api.anthropic.com", "/v1"),
    ("services.ai.azure.com", "/openai/v1"),
];

/// Ports that tell which server is there, whatever its provider is called.
const PORTS: [(&str, &str); 2] = [(":11434", "ollama"), (":1234", "lmstudio")];

/// A host whose servers others run, too.
const RUN_BY_OTHERS: &str = "huggingface";

/// Servers that take requests with and without their version.
const BOTH: [&str; 2] = ["litellm", "llamacpp"];

/// Returns what is known of a base address, which ends without a slash.
pub(super) fn base_path(
    base_url: &str,
    name: &str,
    preset: Option<&Preset>,
    dialect: DialectConfig,
    flavour: &str,
) -> BasePath {
    let Some((origin, path)) = split(base_url) else { return BasePath::Whole };
    let meant = |lacks: bool, meant: String| if lacks { BasePath::Meant(meant) } else { BasePath::Whole };
    match (dialect, flavour) {
        (DialectConfig::Vertex | DialectConfig::Function, _) | (_, "vertex-anthropic") => BasePath::Whole,
        (DialectConfig::Ollama, _) => {
            let cut = ["/v1", "/api"].into_iter().find_map(|end| base_url.strip_suffix(end));
            meant(cut.is_some(), cut.unwrap_or_default().to_owned())
        }
        (DialectConfig::Anthropic, _) => meant(!has_version(path), format!("{base_url}/v1")),
        // Google has an address for OpenAI's dialect below its own.
        (DialectConfig::Gemini, _) => match base_url.strip_suffix("/openai") {
            Some(own) => BasePath::Meant(own.to_owned()),
            None => meant(!has_version(path), format!("{base_url}/v1beta")),
        },
        // What follows the resource is added to it.
        (_, "azure-deployments") => match path.split_once("/openai") {
            Some((before, _)) => BasePath::Meant(format!("{origin}{before}")),
            None => BasePath::Whole,
        },
        (_, "azure") => meant(lacks(path, "/openai/v1"), format!("{origin}/openai/v1")),
        (DialectConfig::OpenaiChat | DialectConfig::OpenaiResponses, _) => match known(origin, name, preset) {
            Some(known) => meant(lacks(path, known), format!("{origin}{known}")),
            None if has_version(path) || preset.is_some_and(|preset| BOTH.contains(&preset.name)) => BasePath::Whole,
            None => BasePath::Unversioned,
        },
    }
}

/// Splits an address into its host and its path.
fn split(base_url: &str) -> Option<(&str, &str)> {
    let host = base_url.find("://")? + 3;
    let path = base_url[host..].find('/').map_or(base_url.len(), |at| host + at);
    Some(base_url.split_at(path))
}

/// Returns the path that a provider with OpenAI's dialect has, as far as its host, its preset, its port or its name
/// tell.
fn known(origin: &str, name: &str, preset: Option<&Preset>) -> Option<&'static str> {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    let host = authority.split(':').next().unwrap_or(authority).to_ascii_lowercase();
    let is_at = |known: &str| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if let Some((_, path)) = OTHERS.iter().find(|(known, _)| is_at(known)) {
        return Some(*path);
    }
    let is_own = |one: &Preset| !one.wants_key() || one.name == RUN_BY_OTHERS;
    let by_name = |name: &str| Preset::named(name).filter(|one| is_own(one));
    let of_host = |one: &&Preset| {
        one.wants_key()
            && one.dialect == DialectConfig::OpenaiChat
            && split(one.base_url)
                .is_some_and(|(origin, _)| origin.split_once("://").is_some_and(|(_, known)| known == host))
    };
    let by_port = || PORTS.iter().find(|(port, _)| authority.ends_with(port)).and_then(|(_, name)| by_name(name));
    let found = presets().iter().find(of_host).or_else(by_port);
    // The host of a server of one's own does not tell what it is.
    let found = found.or_else(|| by_name(preset.map_or(name, |preset| preset.name)));
    found.filter(|one| !BOTH.contains(&one.name)).and_then(|one| split(one.base_url)).map(|(_, path)| path)
}

/// Tells whether a path is only the beginning or the end of the known one, or that of Ollama's own dialect.
fn lacks(path: &str, known: &str) -> bool {
    let begins = known.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let ends = !path.is_empty() && known != path && known.ends_with(path);
    begins || ends || (known == "/v1" && path == "/api")
}

/// Tells whether a part of a path is a version: `/v1`, `/v1beta`, `/v4`.
fn has_version(path: &str) -> bool {
    let is_version =
        |part: &str| part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    path.split('/').any(is_version)
}

#[cfg(test)]
mod tests {
    use super::super::ProviderConfig;

    #[test]
    fn an_address_that_lacks_the_path_of_what_is_there_is_known_by_host_preset_port_or_name() {
        let provider = |name: &'static str, base_url: &str, preset: &str, flavour: &str, dialect: &str| {
            let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let dialect = (!dialect.is_empty()).then(|| serde_json::from_value(dialect.into()).expect(dialect));
            let own =
                ProviderConfig { preset: set(preset), flavour: set(flavour), dialect, ..ProviderConfig::new(base_url) };
            own.meant_base_url(name)
        };
        for (name, base_url, [preset, flavour, dialect], meant) in [
            ("ollama", "http://o:9", ["", "", ""], Some("http://o:9/v1")),
            ("ollama", "http://o:9/api", ["", "", ""], Some("http://o:9/v1")),
            ("ollama", "http://o:9/v1/", ["", "", ""], None),
            ("x", "http://o:9", ["ollama", "", ""], Some("http://o:9/v1")),
            ("x", "http://o:11434", ["", "", ""], Some("http://o:11434/v1")),
            ("x", "http://o:11434/v1", ["", "", "ollama"], Some("http://o:11434")),
            ("x", "http://o:11434", ["", "", "ollama"], None),
            ("vllm", "http://o:9", ["", "", ""], Some("http://o:9/v1")),
            // These take both.
            ("llamacpp", "http://o:9", ["llamacpp", "", ""], None),
            ("litellm", "http://o:4000", ["litellm", "", ""], None),
            ("x", "http://o:9", ["", "", ""], None),
            ("openai", "https://api.openai.com", ["", "", ""], Some("https://api.openai.com/v1")),
            ("x", "https://api.openai.com", ["", "", "openai-responses"], Some("https://api.openai.com/v1")),
            ("x", "https://api.groq.com/v1", ["", "", ""], Some("https://api.groq.com/openai/v1")),
            ("x", "https://openrouter.ai/api", ["", "", ""], Some("https://openrouter.ai/api/v1")),
            ("x", "https://api.deepseek.com", ["", "", ""], None),
            ("x", "https://api.deepseek.com/v1", ["", "", ""], None),
            (
                "x",
                "https://api.deepseek.com/anthropic",
                ["", "", "anthropic"],
                Some("https://api.deepseek.com/anthropic/v1"),
            ),
            // A proxy may be anywhere.
            ("groq", "https://proxy.example", ["groq", "", ""], None),
            ("anthropic", "https://proxy.example", ["", "", ""], Some("https://proxy.example/v1")),
            ("azure", "https://r.openai.azure.com", ["", "", ""], None),
            ("x", "https://proxy.example", ["", "", "anthropic"], Some("https://proxy.example/v1")),
            ("x", "https://api.anthropic.com", ["", "", ""], Some("https://api.anthropic.com/v1")),
            (
                "gemini",
                "https://generativelanguage.googleapis.com",
                ["", "", "openai-chat"],
                Some("https://generativelanguage.googleapis.com/v1beta/openai"),
            ),
            (
                "gemini",
                "https://generativelanguage.googleapis.com/v1beta/openai",
                ["", "", ""],
                Some("https://generativelanguage.googleapis.com/v1beta"),
            ),
            (
                "gemini",
                "https://generativelanguage.googleapis.com",
                ["gemini", "", ""],
                Some("https://generativelanguage.googleapis.com/v1beta"),
            ),
            ("a", "https://r.openai.azure.com", ["", "", ""], None),
            ("a", "https://r.openai.azure.com/openai", ["", "", ""], Some("https://r.openai.azure.com")),
            ("a", "https://r.openai.azure.com/openai/v1", ["", "", ""], None),
            ("a", "https://r.openai.azure.com/openai/deployments/m", ["", "", ""], Some("https://r.openai.azure.com")),
            ("a", "https://r.openai.azure.com", ["azure", "", ""], Some("https://r.openai.azure.com/openai/v1")),
            ("a", "https://r.openai.azure.com", ["", "azure-deployments", ""], None),
        ] {
            assert_eq!(
                provider(name, base_url, preset, flavour, dialect).as_deref(),
                meant,
                "{name} at {base_url}, {preset}"
            );
        }
    }

    #[test]
    fn the_address_of_every_preset_is_whole() {
        for preset in super::presets() {
            let own = ProviderConfig { preset: Some(preset.name.to_owned()), ..ProviderConfig::new(preset.base_url) };
            assert_eq!(own.meant_base_url(preset.name), None, "{}", preset.name);
        }
    }
}

//! What is valid in a configuration, and probably not what was meant.
//!
//! Input: a configuration. Output: warnings, each with its field and the name that was probably meant. A model that is
//! not in the catalogue may be new: it is doubted only where it differs from a known one in its letters, since a newer
//! model differs in its numbers.

use super::key::KeySource;
use super::presets::Preset;
use super::provider::ProviderConfig;
use crate::catalog;
use crate::source::is_constant;
use crate::words::{ConfigError, did_you_mean};

/// How variables end that hold keys.
const ENDS: [&str; 3] = ["_KEY", "_TOKEN", "_SECRET"];

/// Returns what is probably a slip in one provider; `priced` tells whether prices are listed elsewhere.
pub(super) fn slips(name: &str, provider: &ProviderConfig, priced: bool) -> Vec<ConfigError> {
    let preset = Preset::named(provider.preset.as_deref().unwrap_or(name));
    let vendor = preset.filter(|_| provider.preset.is_some() || provider.base_url.is_none()).and_then(|it| it.serves);
    let mut slips = Vec::new();
    for (model, options) in &provider.models {
        let field = format!("providers.{name}.models.{model}");
        let (field, said, of) = match &options.same_as {
            Some(said) => (format!("{field}.same_as"), said, None),
            None => (field, model, vendor),
        };
        let doubtful = options.same_as.is_some() || vendor.is_some();
        if !doubtful || catalog::find(said).is_some() {
            continue;
        }
        let known = catalog::models().iter().filter(|known| of.is_none_or(|vendor| known.vendor == vendor));
        let known = known.map(|known| known.id).filter(|known| digits(known) == digits(said));
        // A list of prices, or other places of an embedding, may know it.
        let alone = options.same_as.is_some() && !priced && catalog::kind(said) == crate::words::ModelKind::Chat;
        match did_you_mean(said, known) {
            Some(near) => slips.push(ConfigError::new(field, format!("is no known model; {near}"))),
            None if alone => {
                let problem = "is no known model, and says nothing: set price and limits here, or name a known model";
                slips.push(ConfigError::new(field, problem));
            }
            None => {}
        }
    }
    for (at, key) in provider.keys.iter().enumerate() {
        if let Some(same) = provider.keys[..at].iter().position(|known| known.source == key.source) {
            let problem = format!("is the key of keys[{same}] again, with the same limits at its provider");
            slips.push(ConfigError::new(format!("providers.{name}.keys[{at}]"), problem));
        }
        let KeySource::Value(secret) = &key.source else { continue };
        let text = secret.expose();
        if is_constant(text) && ENDS.iter().any(|end| text.ends_with(end)) {
            let problem =
                format!("looks like the name of a variable; to read the key there, write {{ env = \"{text}\" }}");
            slips.push(ConfigError::new(format!("providers.{name}.keys[{at}]"), problem));
        }
    }
    slips
}

/// Returns a name's digits: its version.
fn digits(name: &str) -> String {
    name.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, KeyConfig, ModelConfig, ProviderConfig};

    #[test]
    fn a_name_that_is_nearly_a_known_one_is_doubted_and_a_newer_one_is_not() {
        let model = |name: &str, same_as: &str| {
            let same_as = (!same_as.is_empty()).then(|| same_as.to_owned());
            ProviderConfig::openai().key("k").model_with(name, ModelConfig { same_as, ..ModelConfig::default() })
        };
        let local = |name: &str, same_as: &str| ProviderConfig {
            preset: None,
            ..ProviderConfig { base_url: Some("http://local/v1".into()), ..model(name, same_as) }
        };
        for (provider, expected) in [
            (model("gpt-5.4-mini", ""), None),
            (model("gpt-5.4-mnii", ""), Some("`gpt-5.4-mini`")),
            (model("gpt-7.4-mini", ""), None),
            (model("ft:mine", ""), None),
            (model("mine", "gpt-5.4-mini"), None),
            (model("mine", "gpt-5.4-mnii"), Some("`gpt-5.4-mini`")),
            (model("mine", "nobody"), Some("says nothing")),
            (model("mine", "bge-embed"), None),
            (local("gpt-5.4-mnii", ""), None),
            (local("mine", "gpt-5.4-mnii"), Some("`gpt-5.4-mini`")),
            (local("mine", "").key_from(KeyConfig::value("OPENAI_API_KEY")), Some("{ env = \"OPENAI_API_KEY\" }")),
            (local("mine", "").key("NO_KEYS"), None),
            (local("mine", "").key("k"), Some("is the key of keys[0] again")),
        ] {
            let providers = [("p".to_owned(), provider)].into();
            let config = Config { providers, ..Config::default() };
            let said = config.slips().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            assert_eq!(!said.is_empty(), expected.is_some(), "{said}");
            assert!(said.contains(expected.unwrap_or_default()), "{said}");
        }
    }
}

//! Loops: a provider's address that leads back to this sidecar, directly or through another gateway that passes headers on.
//!
//! Requests that may come back carry a mark of this process; one that does is refused, and its call goes on with the next
//! target. Providers that are known by name, at their own addresses, never lead back, and get no mark.

use http::{HeaderMap, HeaderName};

use crate::config::{Config, ProviderConfig, presets};

/// The header of the mark.
const MARK: HeaderName = HeaderName::from_static("x-standin-loop");

/// What tells this process from others.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()))
    }

    /// Lets requests to providers that may lead back carry the mark.
    pub(super) fn put(&self, config: &mut Config) {
        for (_, provider) in config.providers.iter_mut().filter(|(name, provider)| may_lead_back(name, provider)) {
            provider.headers.insert(MARK.as_str().to_owned(), self.0.clone());
        }
    }

    /// Tells whether a request carries it.
    pub(super) fn is_on(&self, headers: &HeaderMap) -> bool {
        headers.get_all(MARK).iter().any(|mark| mark.as_bytes() == self.0.as_bytes())
    }
}

fn may_lead_back(name: &str, provider: &ProviderConfig) -> bool {
    let known = provider.preset.as_deref().unwrap_or(name);
    let usual = || presets().iter().find(|preset| preset.name == known).map(|preset| preset.base_url);
    provider.base_url.is_some() || usual().is_some_and(|url| url.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_that_may_come_back_are_marked() {
        let mut config = Config::default();
        for (name, provider) in [
            ("openai", ProviderConfig::openai()),
            ("mine", ProviderConfig::new("https://gateway.example/v1")),
            ("litellm", ProviderConfig::default()),
        ] {
            config.providers.insert(name.to_owned(), provider);
        }
        let (mark, other) = (Mark::new(), Mark::new());
        mark.put(&mut config);
        let marked: Vec<&str> =
            config.providers.iter().filter(|(_, one)| !one.headers.is_empty()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(marked, ["litellm", "mine"]);
        let value = config.providers["mine"].headers[MARK.as_str()].parse().expect("a header");
        let headers = HeaderMap::from_iter([(MARK, value)]);
        assert!(mark.is_on(&headers) && !other.is_on(&headers) && !mark.is_on(&HeaderMap::new()));
    }
}

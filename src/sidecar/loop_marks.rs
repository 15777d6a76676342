//! Loops: a provider's address that leads back to this sidecar, directly, through another sidecar, or through a gateway
//! that passes headers on.
//!
//! Requests that may come back carry a mark of this process, and those of all that they came through; one that comes
//! back is refused, and its call goes on with the next target. Providers that are known by name, at their own
//! addresses, never lead back, and get no mark.

use http::HeaderMap;

use crate::config::{Config, ProviderConfig};
use crate::wire::VIA;

/// The most marks that are passed on, and the most bytes in them: a request with more is in a loop.
const MARKS_MAX: usize = 16;
const MARK_BYTES_MAX: usize = 64;

/// The mark of this process.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()))
    }

    /// Lets requests to providers that may lead back carry the mark.
    pub(super) fn put(&self, config: &mut Config) {
        for (_, provider) in config.providers.iter_mut().filter(|(name, provider)| may_lead_back(name, provider)) {
            provider.headers.insert(VIA.as_str().to_owned(), self.0.clone());
        }
    }

    /// Tells whether a request goes in a circle.
    pub(super) fn is_on(&self, headers: &HeaderMap) -> bool {
        let marks = marks(headers);
        marks.len() > MARKS_MAX || marks.iter().any(|mark| *mark == self.0 || mark.len() > MARK_BYTES_MAX)
    }
}

/// Returns the marks of the gateways that a request came through.
pub(super) fn marks(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(VIA).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|mark| mark.trim().to_owned()).filter(|mark| !mark.is_empty()).collect()
}

fn may_lead_back(name: &str, provider: &ProviderConfig) -> bool {
    provider.base_url.is_some() || provider.usual_base_url(name).is_some_and(|url| url.starts_with("http://"))
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
        let value = config.providers["mine"].headers[VIA.as_str()].parse().expect("a header");
        let mut headers = HeaderMap::from_iter([(VIA, value)]);
        assert!(mark.is_on(&headers) && !other.is_on(&headers) && !mark.is_on(&HeaderMap::new()));
        crate::wire::mark(&mut headers, &[other.0.clone(), "x".to_owned()]);
        assert_eq!(marks(&headers), [&*other.0, "x", &mark.0]);
        assert!(mark.is_on(&headers) && other.is_on(&headers) && !Mark::new().is_on(&headers));
        crate::wire::mark(&mut headers, &vec!["x".to_owned(); MARKS_MAX]);
        assert!(Mark::new().is_on(&headers), "it went round without an end");
        let mut unmarked = HeaderMap::new();
        crate::wire::mark(&mut unmarked, &[other.0]);
        assert!(unmarked.is_empty(), "who does not lead back learns nothing");
    }
}

//! How hints about a provider are used: what its status page, or a health address of its server, says beside its calls.
//!
//! Input: what such sources say. Output: how often to look at them, how long their words count, and the failure rate
//! that is expected by them. They raise the failure rate that is expected before anything was tried, and order probes.
//! They open and close nothing: pages are late, and say "operational" while half of all calls fail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::{ConfigError, Hint, Reported};

/// The shortest time between two looks at a source: pages are renewed every minute or so.
const EVERY_MIN: Duration = Duration::from_secs(15);
const EVERY_MAX: Duration = Duration::from_secs(60 * 60);
/// The random part of that time, so that not all runtimes look at once.
const JITTER: f64 = 0.4;
/// How many looks may fail before what was said counts no more.
const FADES_AFTER: u32 = 3;

/// The error for a text that is no address.
const NO_ADDRESS: &str = "is no address; one looks like \"https://status.example.com/api/v2/summary.json\", and holds \
                          no name or password: it is asked without any";

/// The sources beside its calls that tell a provider's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HintOptions {
    /// The address of its status page's JSON: `summary.json`, `status.json` or `components.json` of Statuspage and
    /// compatible pages, incident.io's own summary, Google Cloud's `incidents.json`, Better Stack's `index.json`.
    pub status_page: Option<String>,
    /// The component of that page that counts, by its name. Default: the whole page.
    pub component: Option<String>,
    /// An address of its server that answers 200 where all is well, and 500 or more where it is not.
    pub health: Option<String>,
    /// Whether its list of models is asked for one of them, by a GET with the provider's own key. Default: off.
    pub models: bool,
    /// How often they are looked at, give or take a fifth. Default: 1 min.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
}

impl Default for HintOptions {
    fn default() -> Self {
        Self { status_page: None, component: None, health: None, models: false, every: Duration::from_secs(60) }
    }
}

impl HintOptions {
    /// Tells whether there is no source.
    pub(crate) const fn is_none(&self) -> bool {
        self.status_page.is_none() && self.health.is_none() && !self.models
    }

    /// Returns what is wrong with it.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut refuse = |name: &str, problem: &str| errors.push(ConfigError::new(format!("{field}.{name}"), problem));
        for (name, address) in [("status_page", &self.status_page), ("health", &self.health)] {
            if address.as_ref().is_some_and(|address| !is_address(address)) {
                refuse(name, NO_ADDRESS);
            }
        }
        if self.component.is_some() && self.status_page.is_none() {
            refuse("component", "needs the page that it is of: add `status_page`");
        }
        if !(EVERY_MIN..=EVERY_MAX).contains(&self.every) {
            refuse("every", "must be 15 s or more and at most an hour, as \"1min\"");
        }
        errors
    }

    /// Returns how long to wait for the first look, given a number from 0 to 1.
    pub(crate) fn first(&self, drawn: f64) -> Duration {
        self.every.mul_f64(drawn.clamp(0.0, 1.0) / 10.0)
    }

    /// Returns how long to wait for the next look.
    pub(crate) fn pause(&self, drawn: f64) -> Duration {
        spread(self.every, drawn)
    }

    /// Returns how long what was said counts.
    pub(crate) fn fades(&self) -> Duration {
        self.every * FADES_AFTER
    }
}

/// Returns a time give or take a fifth of it, given a number from 0 to 1: what recurs must not come at the same
/// moment in all processes.
pub fn spread(every: Duration, drawn: f64) -> Duration {
    every.mul_f64(1.0 - JITTER / 2.0 + JITTER * drawn.clamp(0.0, 1.0))
}

/// Tells whether something is an address without a name or a password in it.
pub(crate) fn is_address(address: &str) -> bool {
    let Ok(uri) = address.parse::<http::Uri>() else { return false };
    let bare = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@') && !uri.host().unwrap_or("").is_empty());
    matches!(uri.scheme_str(), Some("http" | "https")) && bare
}

/// Returns a provider's state by all hints: the worst one counts.
pub fn all(hints: &[Hint]) -> Option<Reported> {
    hints.iter().map(|hint| hint.reported).max()
}

/// Returns the part of attempts that is expected to fail by the hints, before any is made; `None` is no more than
/// usual.
pub const fn prior(reported: Reported) -> Option<f64> {
    match reported {
        Reported::Well => None,
        Reported::Troubled => Some(0.05),
        Reported::Down => Some(0.3),
    }
}

/// Returns the place of a target among those that wait for a probe: those that are said to be well go first.
pub const fn place(reported: Option<Reported>) -> u8 {
    match reported {
        Some(Reported::Well) => 0,
        None => 1,
        Some(Reported::Troubled) => 2,
        Some(Reported::Down) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_holds_a_password_or_is_asked_for_too_often_is_refused() {
        let with = |edit: fn(&mut HintOptions)| {
            let mut options = HintOptions::default();
            edit(&mut options);
            options.check("hints").into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(with(|_| {}), "");
        assert_eq!(with(|it| it.status_page = Some("https://status.openai.com/api/v2/summary.json?x=1".into())), "");
        for (edit, expected) in [
            ((|it| it.status_page = Some("status.openai.com".into())) as fn(&mut HintOptions), "hints.status_page"),
            (|it| it.status_page = Some("https://me:secret@x/status.json".into()), "hints.status_page"),
            (|it| it.health = Some("/health".into()), "hints.health"),
            (|it| it.health = Some("ftp://x/health".into()), "hints.health"),
            (|it| it.component = Some("API".into()), "hints.component"),
            (|it| it.every = Duration::from_secs(14), "hints.every"),
            (|it| it.every = Duration::from_secs(3_601), "hints.every"),
        ] {
            let told = with(edit);
            assert!(told.starts_with(expected) && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn looks_are_spread_and_never_much_more_often_than_was_said() {
        let options = HintOptions { every: Duration::from_secs(100), ..HintOptions::default() };
        let seconds = |wait: Duration| wait.as_secs_f64().round();
        assert_eq!([0.0, 0.5, 1.0].map(|drawn| seconds(options.pause(drawn))), [80.0, 100.0, 120.0]);
        assert_eq!([0.0, 1.0].map(|drawn| seconds(options.first(drawn))), [0.0, 10.0]);
    }

    #[test]
    fn what_is_said_counts_for_three_looks_and_the_worst_of_it_is_believed() {
        let options = HintOptions { every: Duration::from_secs(100), ..HintOptions::default() };
        assert_eq!(options.fades(), Duration::from_secs(300));
        assert!(options.is_none());
        let address = || Some("https://example.com/status.json".to_owned());
        assert!(!HintOptions { status_page: address(), ..options.clone() }.is_none());
        assert!(!HintOptions { health: address(), ..options }.is_none());
        assert_eq!(all(&[]), None);
    }
}

//! Names of fields that people write who know another gateway, or another table.
//!
//! Input: a name that no field has, and those that there are. Output: the one that was probably meant.

use crate::words::nearest;

/// Names of fields in other gateways or other tables, and the names here.
const OTHER_NAMES: [(&str, &str); 31] = [
    ("address", "listen"),
    ("api_base", "base_url"),
    ("api_key", "keys"),
    ("api_key", "sha256"),
    ("api_keys", "keys"),
    ("attempts_max", "failover.attempts_max"),
    ("bad_request_failover", "failover.bad_request_failover"),
    ("bind", "listen"),
    ("content_policy_failover", "failover.content_policy_failover"),
    ("deadline", "failover.deadline"),
    ("endpoint", "base_url"),
    ("fallbacks", "targets"),
    ("hash", "sha256"),
    ("host", "listen"),
    ("key", "sha256"),
    ("max_retries", "attempts_max"),
    ("max_retries", "failover.attempts_max"),
    ("models", "targets"),
    ("num_retries", "attempts_max"),
    ("num_retries", "failover.attempts_max"),
    ("port", "listen"),
    ("price", "models.NAME.price"),
    ("retries", "attempts_max"),
    ("retries", "failover.attempts_max"),
    ("routing_strategy", "options.strategy"),
    ("rpm", "requests_per_minute"),
    ("strategy", "options.strategy"),
    ("timeout", "deadline"),
    ("timeout", "failover.deadline"),
    ("url", "base_url"),
    ("wait_max", "failover.wait_max"),
];

/// Returns the name here of a field that is known elsewhere, where it is one of these or within one.
pub(super) fn our_name(found: &str, expected: &[&str]) -> Option<&'static str> {
    let mut our_name = OTHER_NAMES.iter().filter(|(theirs, _)| *theirs == found).map(|(_, ours)| *ours);
    our_name.find(|ours| ours.split('.').next().is_some_and(|first| expected.contains(&first)))
}

/// Returns the field that was probably meant.
pub(super) fn meant_field<'a>(found: &str, expected: &[&'a str]) -> Option<&'a str> {
    our_name(found, expected).or_else(|| nearest(found, expected.iter().copied()))
}

/// Returns the field of `failover` that is meant by a name in a table that has none.
pub(super) fn of_failover(found: &str) -> Option<&'static str> {
    let is_meant = |(theirs, ours): &&(&str, &str)| *theirs == found && ours.starts_with("failover.");
    OTHER_NAMES.iter().find(is_meant).map(|(_, ours)| *ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_elsewhere_lead_to_existing_fields() {
        assert_eq!(our_name("timeout", &["targets", "failover"]), Some("failover.deadline"));
        assert_eq!(our_name("timeout", &["attempts_max", "deadline"]), Some("deadline"));
        assert_eq!(our_name("price", &["models", "probe"]), Some("models.NAME.price"));
        assert_eq!((our_name("timeout", &["listen"]), our_name("listen", &["listen"])), (None, None));
        let all = include_str!("../../docs/configuration.md").to_owned() + include_str!("../../docs/sidecar.md");
        for (theirs, ours) in OTHER_NAMES {
            let name = ours.rsplit('.').next().expect("a name");
            assert!(theirs != ours && all.contains(&format!("`{name}`")), "{ours} is told nowhere");
        }
    }
}

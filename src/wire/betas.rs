//! Betas of Anthropic's dialect: features that callers ask for in advance, in a header.
//!
//! Input: a caller's header. Output: the betas that a host takes, by the names that they have there; and, where it
//! refused some of them after all, a request without these.

use http::header::{HeaderName, HeaderValue};

use super::flavour::Flavour;
use crate::words::{ChatRequest, Failure};

/// The header.
pub(super) const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The words around the names of refused betas, at any host: "Unexpected value(s) `x` for the `anthropic-beta` header."
const REFUSED: [&str; 2] = ["Unexpected value(s) ", " for the `anthropic-beta` header"];

/// The words of Amazon's hosts, which name none of those that they refuse.
const UNNAMED: &str = "invalid beta flag";
/// The betas that these hosts take, and their names there.
const AMAZON: &[(&str, &str)] = &[
    ("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"),
    ("compact-2026-01-12", "compact-2026-01-12"),
    ("computer-use-2025-01-24", "computer-use-2025-01-24"),
    ("computer-use-2025-11-24", "computer-use-2025-11-24"),
    ("context-1m-2025-08-07", "context-1m-2025-08-07"),
    ("context-management-2025-06-27", "context-management-2025-06-27"),
    ("effort-2025-11-24", "effort-2025-11-24"),
    ("fine-grained-tool-streaming-2025-05-14", "fine-grained-tool-streaming-2025-05-14"),
    ("tool-search-tool-2025-10-19", "tool-search-tool-2025-10-19"),
];

/// Returns the betas that a host takes, by the names that they have there.
pub(super) fn betas(flavour: &Flavour, asked: &HeaderValue) -> Option<HeaderValue> {
    let text = asked.to_str().ok()?;
    let mut taken: Vec<&str> = text.split(',').filter_map(|beta| flavour.beta(beta.trim())).collect();
    if taken.len() == text.split(',').count() && taken.iter().all(|beta| text.contains(beta)) {
        return Some(asked.clone());
    }
    let all = taken.len();
    taken = (0..all).filter(|at| !taken[..*at].contains(&taken[*at])).map(|at| taken[at]).collect();
    HeaderValue::try_from(taken.join(",")).ok().filter(|value| !value.is_empty())
}

/// Returns the names of betas that a provider refused.
fn refused(failure: &Failure) -> Vec<&str> {
    let named = failure.message.split_once(REFUSED[0]).and_then(|(_, rest)| rest.split_once(REFUSED[1]));
    named.map_or_else(Vec::new, |(named, _)| named.split('`').skip(1).step_by(2).collect())
}

/// Tells whether a provider refused betas.
pub(super) fn refuses_betas(failure: &Failure) -> bool {
    is_unnamed(failure) || !refused(failure).is_empty()
}

fn is_unnamed(failure: &Failure) -> bool {
    failure.message.to_ascii_lowercase().contains(UNNAMED)
}

/// Returns a request without the betas that a host refused; `None` where it asks for none of them. Where the host names
/// none, those stay that it is known to take; if it was asked for no others, none does.
pub(super) fn without_betas(flavour: &Flavour, request: &ChatRequest, failure: &Failure) -> Option<ChatRequest> {
    let refused = refused(failure);
    let as_named = |beta: &str| {
        let here = flavour.beta(beta).unwrap_or(beta);
        (!(refused.contains(&here) || refused.contains(&beta))).then(|| beta.to_owned())
    };
    let as_known = |beta: &str| AMAZON.iter().find(|(name, _)| *name == beta).map(|(_, here)| (*here).to_owned());
    if is_unnamed(failure) && refused.is_empty() {
        return left(request, as_known).or_else(|| left(request, |_| None));
    }
    left(request, as_named)
}

/// Returns a request with those of its betas that are taken, by the names given; `None` where that is all of them.
fn left(request: &ChatRequest, taken: impl Fn(&str) -> Option<String>) -> Option<ChatRequest> {
    let mut less = request.clone();
    less.extra_headers.remove(BETA);
    let mut changed = false;
    for asked in request.extra_headers.get_all(BETA) {
        let text = asked.to_str().ok()?;
        let kept: Vec<_> = text.split(',').map(|beta| (beta.trim(), taken(beta.trim()))).collect();
        changed |= kept.iter().any(|(beta, here)| here.as_deref() != Some(*beta));
        let kept: Vec<_> = kept.into_iter().filter_map(|(_, here)| here).collect();
        if !kept.is_empty() {
            less.extra_headers.append(BETA, HeaderValue::try_from(kept.join(",")).ok()?);
        }
    }
    changed.then_some(less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::FailureClass;

    #[test]
    fn betas_that_a_host_refuses_are_left_out_by_their_own_name_or_that_of_the_host() {
        let vertex = Flavour::named("vertex-anthropic").expect("a row");
        let refusal = |named: &str| {
            let message =
                format!("Unexpected value(s) {named} for the `anthropic-beta` header. Please consult our docs.");
            Failure::new(FailureClass::BadRequest, message)
        };
        let asking = |betas: &[&str]| {
            let mut request = ChatRequest::new("r").user("x");
            for beta in betas {
                request.extra_headers.append(BETA, beta.parse().expect("a value"));
            }
            request
        };
        for (asked, named, left) in [
            (&["a-1, b-2,c-3"][..], "`b-2`", Some(&["a-1,c-3"][..])),
            (&["a-1,b-2", "c-3"], "`c-3`, `a-1`", Some(&["b-2"])),
            (&["a-1"], "`a-1`", Some(&[])),
            (&["advanced-tool-use-2025-11-20"], "`tool-search-tool-2025-10-19`", Some(&[])),
            (&["a-1"], "`b-2`", None),
            (&["a-1"], "", None),
            (&[], "`b-2`", None),
        ] {
            let less = without_betas(vertex, &asking(asked), &refusal(named));
            assert_eq!(less, left.map(asking), "{asked:?}: {named}");
            assert_eq!(refuses_betas(&refusal(named)), !named.is_empty());
        }
        assert!(!refuses_betas(&Failure::new(FailureClass::BadRequest, "Unexpected value(s) `x` for `y`")));
        let unnamed =
            Failure::new(FailureClass::Declined, "The model returned the following errors: invalid beta flag");
        for (asked, left) in [
            (&["claude-code-20250219,effort-2025-11-24"][..], Some(&["effort-2025-11-24"][..])),
            (&["advanced-tool-use-2025-11-20", "a-1"], Some(&["tool-search-tool-2025-10-19"])),
            (&["effort-2025-11-24"], Some(&[])),
            (&[], None),
        ] {
            let less = without_betas(Flavour::named("generic").expect("a row"), &asking(asked), &unnamed);
            assert_eq!(less, left.map(asking), "{asked:?}");
        }
        assert!(refuses_betas(&unnamed));
    }
}

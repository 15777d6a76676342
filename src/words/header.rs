//! Headers that nobody but this crate may set on a request to a provider.
//!
//! Some frame the message on its connection: a second length, a wrong one, or an upgrade breaks the request, or
//! smuggles another into it. Some describe the body, which a dialect writes. Some carry a key, which has its own place.

use http::{HeaderMap, HeaderName};

use super::error::Error;

/// Headers of the connection (RFC 9110, 7.6.1) and of the message on it.
const OF_CONNECTION: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that say how the bodies of a request and of its answer are written.
const OF_DIALECT: [&str; 5] = ["accept", "accept-encoding", "anthropic-version", "content-encoding", "content-type"];
/// Headers that providers read a key from.
const OF_KEY: [&str; 4] = ["api-key", "authorization", "x-api-key", "x-goog-api-key"];

/// Returns what is wrong with setting this header for a provider, if it is not the user's to set.
pub(crate) fn taken(name: &HeaderName) -> Option<&'static str> {
    let name = name.as_str();
    if OF_CONNECTION.contains(&name) {
        Some("belongs to the connection, which sets what it needs; leave it out")
    } else if OF_DIALECT.contains(&name) {
        Some("is written with the body, by the provider's dialect; leave it out")
    } else {
        None
    }
}

/// Tells whether providers read a key from this header.
pub(crate) fn is_of_key(name: &HeaderName) -> bool {
    OF_KEY.contains(&name.as_str())
}

/// Checks the headers that a request brings.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Error> {
    let of_key = "carries a key, and would go to every provider that is asked; put it into that provider's `keys`";
    let bad = |name| taken(name).or_else(|| is_of_key(name).then_some(of_key)).map(|problem| (name, problem));
    headers.keys().find_map(bad).map_or(Ok(()), |(name, problem)| {
        Err(Error::Invalid { field: format!("extra_headers.{name}"), problem: problem.into() })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::ChatRequest;
    use super::*;

    #[test]
    fn a_request_brings_no_header_of_the_connection_of_its_body_or_of_a_key() {
        let with = |name| {
            let mut request = ChatRequest::new("smart").user("Hi");
            request.extra_headers.append(HeaderName::from_static(name), HeaderValue::from_static("5"));
            request.check()
        };
        for name in OF_CONNECTION.into_iter().chain(OF_DIALECT).chain(OF_KEY) {
            let Err(Error::Invalid { field, problem }) = with(name) else { panic!("{name} was taken") };
            assert_eq!((field, problem.contains("keys")), (format!("extra_headers.{name}"), OF_KEY.contains(&name)));
        }
        for name in ["anthropic-beta", "x-team", "user-agent", "openai-organization"] {
            assert_eq!(with(name), Ok(()), "{name}");
        }
    }
}

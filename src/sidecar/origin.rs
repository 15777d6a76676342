//! The sender of a request: a program, or a web page in a browser that sends to this address.
//!
//! Input: a request's head, and the configured host names and origins. Output: permission, with the headers by which a
//! browser lets a page read the answer, or a refusal. A browser sends the site of its page and the host name of this
//! address: a page that is not allowed gets nothing and can spend nothing.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, EXPECT, HOST, HeaderName, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::settings::ServerConfig;
use crate::words::names::Shown;

/// The header in which browsers say whether a page is of the same site as the address.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The headers in which browsers ask whether a public page may reach a private address, and in which that is granted.
const ASKS_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const GRANTS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");
/// The headers that a page may read, beside those that every page may.
const SHOWN: &str = "retry-after, x-should-retry, x-standin-age, x-standin-attempts, x-standin-call, \
                     x-standin-cost-usd, x-standin-degraded, x-standin-notes, x-standin-target";
/// Names by which containers reach the machine they run on; no stranger can own them.
const OF_THE_MACHINE: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

/// Why a request is refused before its endpoint is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OriginRefusal {
    /// It has no host, or two.
    NoHost,
    /// Its host is not one of ours.
    Host(String),
    /// A page of another site sent it.
    Page(String),
    /// A page that may ask sent it, to an address of operators.
    Operator(String),
}

/// Permission to go on.
#[derive(Debug, Default)]
pub(super) struct CorsGrant {
    /// The page's origin, if an allowed page asks.
    page: Option<HeaderValue>,
}

/// Checks a request. With `strict` its host must be a known name; where a key is needed that is not necessary.
pub(super) fn look(server: &ServerConfig, strict: bool, head: &Parts) -> Result<CorsGrant, OriginRefusal> {
    let host = host(head)?;
    if (strict || !server.hosts.is_empty()) && host.is_some_and(|host| !is_known(server, name(host))) {
        return Err(OriginRefusal::Host(Shown(host.unwrap_or_default()).to_string()));
    }
    let mut origins = head.headers.get_all(ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let said = origin.to_str().unwrap_or("?");
        if origins.next().is_some() {
            return Err(OriginRefusal::Page("several sites".to_owned()));
        }
        if invites(server, said) {
            return Ok(CorsGrant { page: Some(origin.clone()) });
        }
        let own = said.strip_prefix("http://").or_else(|| said.strip_prefix("https://"));
        if own.is_none() || own != host {
            return Err(OriginRefusal::Page(Shown(said).to_string()));
        }
    }
    let mut sites = head.headers.get_all(&SITE).iter().map(HeaderValue::as_bytes);
    if sites.all(|site| matches!(site, b"same-origin" | b"none")) {
        Ok(CorsGrant::default())
    } else {
        Err(OriginRefusal::Page("another site".to_owned()))
    }
}

/// Tells whether this is a preflight request.
pub(super) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl CorsGrant {
    /// Returns the permission, unless it is a page's: a page that may make calls is no operator for that.
    pub(super) fn of_no_page(self) -> Result<Self, OriginRefusal> {
        match &self.page {
            Some(page) => Err(OriginRefusal::Operator(Shown(page.to_str().unwrap_or("?")).to_string())),
            None => Ok(self),
        }
    }

    /// Lets the page read the answer.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let Some(page) = &self.page else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }

    /// Adds the headers of a preflight answer.
    pub(super) fn tell_before(&self, asked: &HeaderMap, headers: &mut HeaderMap) {
        if self.page.is_none() {
            return;
        }
        self.tell(headers);
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        if asked.contains_key(&ASKS_PRIVATE) {
            headers.insert(GRANTS_PRIVATE, HeaderValue::from_static("true"));
        }
    }
}

/// Returns a body's content type, if it is not JSON. A body without a type is taken for JSON: a page that sends none is
/// recognised by its origin.
pub(super) fn other_content(headers: &HeaderMap) -> Option<String> {
    let other = headers.get_all(CONTENT_TYPE).iter().find(|kind| {
        let kind = kind.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json"))
    })?;
    Some(Shown(&String::from_utf8_lossy(other.as_bytes())).to_string())
}

/// Returns the `expect` of a request, if it is not `100-continue`: a client that waits for anything else would never
/// send its body.
pub(super) fn expects(headers: &HeaderMap) -> Option<String> {
    let other = headers.get_all(EXPECT).iter().find(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))?;
    Some(Shown(&String::from_utf8_lossy(other.as_bytes())).to_string())
}

/// Returns the host and port of a request; requests of HTTP/1.0 need not have them.
fn host(head: &Parts) -> Result<Option<&str>, OriginRefusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| OriginRefusal::NoHost)?),
        (None, None) if head.version == Version::HTTP_10 => None,
        _ => return Err(OriginRefusal::NoHost),
    };
    // A request target in absolute form has it, too.
    match (head.uri.authority().map(http::uri::Authority::as_str), host) {
        (Some(named), Some(host)) if named != host => Err(OriginRefusal::NoHost),
        (named, host) => Ok(host.or(named)),
    }
}

/// Returns a host without its port, and an address without its brackets.
fn name(host: &str) -> &str {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':').unwrap_or(port)),
        None => host.rsplit_once(':').unwrap_or((host, "")),
    };
    // A name whose port is no number is no host.
    if port.bytes().all(|byte| byte.is_ascii_digit()) { name.strip_suffix('.').unwrap_or(name) } else { "" }
}

fn is_known(server: &ServerConfig, name: &str) -> bool {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let is_local = || {
        let top = name.rsplit('.').next().unwrap_or_default();
        top.eq_ignore_ascii_case("localhost") || OF_THE_MACHINE.into_iter().any(is)
    };
    name.parse::<IpAddr>().is_ok() || is_local() || server.hosts.iter().any(|known| is(known))
}

fn invites(server: &ServerConfig, origin: &str) -> bool {
    server.allow_origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::get("/health");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn server() -> ServerConfig {
        ServerConfig {
            hosts: vec!["standin.example".into()],
            allow_origins: vec!["https://app.example".into()],
            ..ServerConfig::default()
        }
    }

    #[test]
    fn addresses_local_names_and_configured_ones_are_known_and_no_others() {
        for (host, known) in [
            ("127.0.0.1:4000", true),
            ("[::1]:4000", true),
            ("[::1]", true),
            ("192.168.1.7", true),
            ("localhost:4000", true),
            ("LOCALHOST.", true),
            ("agent.localhost:1", true),
            ("host.docker.internal:4000", true),
            ("Standin.Example:443", true),
            ("standin.example.", true),
            ("evil.example", false),
            ("evil.example:4000", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("notlocalhost", false),
            ("standin.example.evil", false),
            ("localhost:port", false),
            ("a@localhost", false),
            ("", false),
        ] {
            let looked = look(&server(), true, &head(&[("host", host)]));
            assert_eq!(looked.is_ok(), known, "{host}: {looked:?}");
        }
        assert_eq!(look(&server(), true, &head(&[])).err(), Some(OriginRefusal::NoHost));
        let twice = head(&[("host", "localhost"), ("host", "localhost")]);
        assert_eq!(look(&server(), true, &twice).err(), Some(OriginRefusal::NoHost));
    }

    #[test]
    fn a_page_is_let_in_by_its_origin_and_programs_send_none() {
        let of = |headers: &[(&'static str, &str)]| {
            look(&server(), true, &head(&[&[("host", "127.0.0.1:4000")], headers].concat()))
        };
        for allowed in [
            &[][..],
            &[("sec-fetch-mode", "cors")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://127.0.0.1:4000"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(of(allowed).is_ok(), "{allowed:?}");
        }
        for refused in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:3000")],
            &[("origin", "https://app.example.evil")],
            &[("origin", "https://app.example"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(matches!(of(refused), Err(OriginRefusal::Page(_))), "{refused:?}");
        }
    }

    #[test]
    fn only_100_continue_is_accepted_in_expect() {
        let of = |values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| ("expect", *value)).collect();
            expects(&head(&values).headers)
        };
        assert_eq!((of(&[]), of(&["100-Continue"]), of(&["100-continue", "100-continue"])), (None, None, None));
        assert_eq!(of(&["100-continue", "x"]).as_deref(), Some("x"));
        assert_eq!(of(&["100-continue, x"]).as_deref(), Some("100-continue, x"));
    }

    #[test]
    fn a_body_that_says_it_is_something_else_is_no_json() {
        for (kind, is_json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("", false),
        ] {
            let headers = head(&[("content-type", kind)]).headers;
            assert_eq!(other_content(&headers).is_none(), is_json, "{kind}");
        }
        assert_eq!(other_content(&HeaderMap::new()), None);
    }
}

//! The clients that may call: their keys, kept as hashes, with routes and limits of their own.
//!
//! Input: a request's headers. Output: the client or a refusal. A client's key is used only here: it never goes
//! upstream, and only its hash is kept in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use crate::words::hex;
use crate::words::locks::lock;

/// One client's key as a user sets it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// The client's name in logs and metrics.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal digits: `standin key` makes a key and its hash.
    pub sha256: Hash,
    /// The routes it may ask for. Default: all.
    #[serde(default)]
    pub routes: Vec<String>,
    /// Further fields that a key of some routes may send, as the body names them: servers behind its routes may have
    /// fields that are not known here. Default: none.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The most requests a minute, 1 or more, of which a sixth may come at once. Default: no limit.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Whether it is an operator's: it opens health, metrics and explanations, and makes no calls.
    #[serde(default)]
    pub operator: bool,
}

/// A key's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Returns a key's hash.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn parse(text: &str) -> Option<Self> {
        hex::decode(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let problem = "is no SHA-256: it has 64 hexadecimal digits; `standin key` makes a key and its hash";
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(problem))
    }
}

/// The clients that may call.
#[derive(Debug, Default)]
pub(super) struct Access {
    clients: HashMap<Hash, Client>,
}

/// A client that may call.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    routes: Vec<String>,
    fields: Vec<String>,
    limit: Option<Limit>,
    operator: bool,
}

/// Why a client may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No key came, or an unknown one.
    Unknown,
    /// A key came that opens the operators' addresses, and makes no calls.
    Operator,
    /// Too many requests; when to come back.
    TooMany(Duration),
}

impl Access {
    /// Takes keys. When keys are replaced, a client's used part of its limit stays used.
    pub(super) fn new(keys: &[ClientKey], before: &Self) -> Self {
        let client = |key: &ClientKey| Client {
            name: key.name.clone(),
            routes: key.routes.clone(),
            fields: key.fields.clone(),
            operator: key.operator,
            limit: key.requests_per_minute.map(|per_minute| {
                let known = before.clients.get(&key.sha256).and_then(|client| client.limit.as_ref());
                Limit::new(per_minute, known.map(|limit| limit.due.clone()).unwrap_or_default())
            }),
        };
        Self { clients: keys.iter().map(|key| (key.sha256, client(key))).collect() }
    }

    /// Tells whether callers need a key.
    pub(super) fn asks(&self) -> bool {
        self.clients.values().any(|client| !client.operator)
    }

    /// Tells whether operators need a key.
    pub(super) fn asks_operators(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Returns the calling client; an unnamed one if no keys are configured.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        now: Instant,
    ) -> Result<Option<&Client>, Denied> {
        if self.asks() { self.find(false, headers, query, now).map(Some) } else { Ok(None) }
    }

    /// Tells whether the caller is an operator; if no keys are configured, every caller is one.
    pub(super) fn admit_operator(&self, headers: &HeaderMap, query: Option<&str>, now: Instant) -> Result<(), Denied> {
        if self.asks_operators() { self.find(true, headers, query, now).map(drop) } else { Ok(()) }
    }

    fn find(&self, operator: bool, headers: &HeaderMap, query: Option<&str>, now: Instant) -> Result<&Client, Denied> {
        let known = presented(headers, query).and_then(|key| self.clients.get(&Hash::of(key)));
        let client = match known {
            Some(client) if client.operator == operator => client,
            Some(_) if !operator => return Err(Denied::Operator),
            _ => return Err(Denied::Unknown),
        };
        match client.limit.as_ref().map_or(Ok(()), |limit| limit.admit(now)) {
            Ok(()) => Ok(client),
            Err(wait) => Err(Denied::TooMany(wait)),
        }
    }
}

impl Client {
    /// Tells whether it may ask for some routes only.
    pub(super) fn is_limited(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Tells whether it may send a field that might choose who answers.
    pub(super) fn may_send(&self, field: &str) -> bool {
        !self.is_limited() || self.fields.iter().any(|known| known == field)
    }

    /// Tells whether it may ask for a route.
    pub(super) fn may(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|known| known == route)
    }
}

/// Returns the key a request presents, in any of the dialects' ways.
fn presented<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("authorization")
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .or_else(|| text("x-api-key"))
        .or_else(|| text("x-goog-api-key"))
        .or_else(|| query?.split('&').find_map(|pair| pair.strip_prefix("key=")))
        .map(str::trim)
}

/// A rate per minute (GCRA: one instant is the whole state).
#[derive(Debug)]
struct Limit {
    interval: Duration,
    /// How far ahead of its time a request may come: a sixth of a minute's requests at once.
    burst: Duration,
    due: Arc<Mutex<Option<Instant>>>,
}

impl Limit {
    fn new(per_minute: u32, due: Arc<Mutex<Option<Instant>>>) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self { interval, burst: Duration::from_secs(10).saturating_sub(interval), due }
    }

    fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut due = lock(&self.due);
        let at = due.unwrap_or(now).max(now);
        let ahead = at.saturating_duration_since(now);
        if ahead > self.burst {
            return Err(ahead.saturating_sub(self.burst));
        }
        *due = Some(at + self.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> ClientKey {
        let (sha256, routes, fields, requests_per_minute) = (Hash::of(secret), Vec::new(), Vec::new(), None);
        ClientKey { name: name.into(), sha256, routes, fields, requests_per_minute, operator: false }
    }

    fn access(keys: &[ClientKey]) -> Access {
        Access::new(keys, &Access::default())
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().expect("a header"))])
    }

    #[test]
    fn a_key_of_operators_makes_no_calls_and_is_told_so() {
        let access = access(&[key("team", "k-1"), ClientKey { operator: true, ..key("ops", "k-2") }]);
        let headers = with("authorization", "Bearer k-2");
        assert_eq!(access.admit(&headers, None, Instant::now()).err(), Some(Denied::Operator));
        assert_eq!(access.admit_operator(&headers, None, Instant::now()), Ok(()));
        let client = with("authorization", "Bearer k-1");
        assert_eq!(access.admit_operator(&client, None, Instant::now()), Err(Denied::Unknown));
    }

    #[test]
    fn a_client_is_known_by_its_key_however_its_dialect_sends_it() {
        let access = access(&[key("team", "k-1"), key("other", "k-2")]);
        let now = Instant::now();
        for headers in [with("authorization", "Bearer k-1"), with("x-api-key", "k-1"), with("x-goog-api-key", "k-1")] {
            let client = access.admit(&headers, None, now).expect("admitted").expect("a client");
            assert_eq!(client.name, "team");
        }
        let by_query = access.admit(&HeaderMap::new(), Some("alt=sse&key=k-2"), now);
        assert_eq!(by_query.expect("admitted").expect("a client").name, "other");
        for headers in [HeaderMap::new(), with("authorization", "Bearer k-3"), with("authorization", "Basic k-1")] {
            assert_eq!(access.admit(&headers, None, now).err(), Some(Denied::Unknown));
        }
    }

    #[test]
    fn without_keys_every_caller_is_let_in() {
        assert!(Access::default().admit(&HeaderMap::new(), None, Instant::now()).is_ok_and(|client| client.is_none()));
    }

    #[test]
    fn a_limit_lets_a_sixth_come_at_once_and_then_says_when_to_come_back() {
        let limited = ClientKey { requests_per_minute: Some(60), ..key("a", "k") };
        let (access, headers) = (access(std::slice::from_ref(&limited)), with("x-api-key", "k"));
        let start = Instant::now();
        let admitted = (0..60).take_while(|_| access.admit(&headers, None, start).is_ok()).count();
        assert_eq!(admitted, 10);
        assert_eq!(access.admit(&headers, None, start).err(), Some(Denied::TooMany(Duration::from_secs(1))));
        // Requests that were counted stay counted when the keys are replaced.
        let again = Access::new(&[limited], &access);
        assert_eq!(again.admit(&headers, None, start).err(), Some(Denied::TooMany(Duration::from_secs(1))));
        assert!(again.admit(&headers, None, start + Duration::from_secs(1)).is_ok());
        assert!(access.admit(&headers, None, start + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn an_operators_key_opens_what_is_for_operators_and_nothing_else() {
        let operator = ClientKey { operator: true, ..key("ops", "o") };
        let (team, ops, none) = (with("x-api-key", "k"), with("x-api-key", "o"), HeaderMap::new());
        let now = Instant::now();
        for (keys, callers, operators) in [
            (&[][..], [true, true, true], [true, true, true]),
            (&[key("team", "k")], [true, false, false], [false, false, false]),
            (&[key("team", "k"), operator.clone()], [true, false, false], [false, true, false]),
            (&[operator], [true, true, true], [false, true, false]),
        ] {
            let access = access(keys);
            let who = [&team, &ops, &none];
            assert_eq!(who.map(|headers| access.admit(headers, None, now).is_ok()), callers, "{keys:?}");
            assert_eq!(who.map(|headers| access.admit_operator(headers, None, now).is_ok()), operators, "{keys:?}");
        }
    }

    #[test]
    fn a_client_may_ask_for_its_routes_only() {
        let access = access(&[ClientKey { routes: vec!["smart".into()], ..key("a", "k") }]);
        let headers = with("x-api-key", "k");
        let client = access.admit(&headers, None, Instant::now()).expect("admitted").expect("a client");
        assert!(client.may("smart") && !client.may("dear"));
    }

    #[test]
    fn a_hash_is_read_as_it_is_printed() {
        let hash = Hash::of("k");
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "zz", &"é".repeat(32), &"g".repeat(64), &"+f".repeat(32)] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }
}

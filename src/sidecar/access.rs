//! Who may call: clients' keys, kept as hashes, with routes and limits of their own.
//!
//! In flow a request's headers, out flows the client or a refusal. A client's key ends here: it never goes upstream, and
//! only its hash is ever in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

/// One client's key as a user sets it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// What logs and metrics call the client.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal digits: `standin key` makes a key and its hash.
    pub sha256: Hash,
    /// The routes it may ask for; all where absent.
    #[serde(default)]
    pub routes: Vec<String>,
    /// The most requests a minute, of which a sixth may come at once; no limit where absent.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
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
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
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

/// Who may call.
#[derive(Debug, Default)]
pub(super) struct Access {
    clients: HashMap<Hash, Client>,
}

/// Somebody who may call.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    routes: Vec<String>,
    limit: Option<Limit>,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No key came, or one that nobody has.
    Unknown,
    /// Too many requests; when to come back.
    TooMany(Duration),
}

impl Access {
    pub(super) fn new(keys: &[ClientKey]) -> Self {
        let client = |key: &ClientKey| Client {
            name: key.name.clone(),
            routes: key.routes.clone(),
            limit: key.requests_per_minute.map(Limit::new),
        };
        Self { clients: keys.iter().map(|key| (key.sha256, client(key))).collect() }
    }

    /// Tells who calls: nobody in particular where no keys are configured.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        now: Instant,
    ) -> Result<Option<&Client>, Denied> {
        if self.clients.is_empty() {
            return Ok(None);
        }
        let client =
            presented(headers, query).and_then(|key| self.clients.get(&Hash::of(key))).ok_or(Denied::Unknown)?;
        match client.limit.as_ref().map_or(Ok(()), |limit| limit.admit(now)) {
            Ok(()) => Ok(Some(client)),
            Err(wait) => Err(Denied::TooMany(wait)),
        }
    }
}

impl Client {
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

/// So many a minute (GCRA: one instant is the whole state).
#[derive(Debug)]
struct Limit {
    interval: Duration,
    /// How far ahead of its time a request may come: a sixth of a minute's requests at once.
    burst: Duration,
    due: Mutex<Option<Instant>>,
}

impl Limit {
    fn new(per_minute: u32) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self { interval, burst: Duration::from_secs(10).saturating_sub(interval), due: Mutex::new(None) }
    }

    fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
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
        ClientKey { name: name.into(), sha256: Hash::of(secret), routes: Vec::new(), requests_per_minute: None }
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().expect("a header"))])
    }

    #[test]
    fn a_client_is_known_by_its_key_however_its_dialect_sends_it() {
        let access = Access::new(&[key("team", "k-1"), key("other", "k-2")]);
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
    fn without_keys_everybody_may_call() {
        assert!(Access::default().admit(&HeaderMap::new(), None, Instant::now()).is_ok_and(|client| client.is_none()));
    }

    #[test]
    fn a_limit_lets_a_sixth_come_at_once_and_then_says_when_to_come_back() {
        let limited = ClientKey { requests_per_minute: Some(60), ..key("a", "k") };
        let (access, headers) = (Access::new(&[limited]), with("x-api-key", "k"));
        let start = Instant::now();
        let admitted = (0..60).take_while(|_| access.admit(&headers, None, start).is_ok()).count();
        assert_eq!(admitted, 10);
        assert_eq!(access.admit(&headers, None, start).err(), Some(Denied::TooMany(Duration::from_secs(1))));
        assert!(access.admit(&headers, None, start + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_client_may_ask_for_its_routes_only() {
        let access = Access::new(&[ClientKey { routes: vec!["smart".into()], ..key("a", "k") }]);
        let headers = with("x-api-key", "k");
        let client = access.admit(&headers, None, Instant::now()).expect("admitted").expect("a client");
        assert!(client.may("smart") && !client.may("dear"));
    }

    #[test]
    fn a_hash_is_read_as_it_is_printed() {
        let hash = Hash::of("k");
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "zz", &"é".repeat(32), &"g".repeat(64)] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }
}

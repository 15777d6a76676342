//! The marks by which the next process recognises a provider and its targets and keys.
//!
//! Input: its configuration and its keys. Output: marks (salted hashes), from which neither can be read. The key of a
//! file or a variable is its content; that of a command or a function, which gives another one each time, is known by
//! its source.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::join_all;

use crate::policy::admission::Admission;
use crate::policy::memory::{Fingerprint, Salt};
use crate::source::KeySource;
use crate::spec::{KeySpec, ProviderSpec, TargetSpec};
use crate::words::Secret;
use crate::words::locks::lock;

/// How long a key's source may take before a start goes on without it.
const READ_MAX: Duration = Duration::from_secs(1);

/// The marks of a provider.
pub(super) struct Fingerprints {
    pub(super) salt: Salt,
    pub(super) address: Fingerprint,
    /// Of each target its model, and how it is configured.
    pub(super) targets: Vec<(String, Fingerprint)>,
    /// The marks of keys as far as they were read before this process; otherwise the mark of nothing.
    keys: Vec<Fingerprint>,
    /// The machine that was kept last.
    kept: Mutex<Weak<Admission>>,
}

impl Fingerprints {
    /// Returns the marks of a provider, made as they were before, if they were.
    pub(super) fn new(spec: &ProviderSpec, before: Option<(Salt, Vec<Fingerprint>)>) -> Self {
        let (salt, keys) = before.unwrap_or_else(|| (rand::random(), vec![Fingerprint::default(); spec.keys.len()]));
        let target = |target: &TargetSpec| (target.id.model.to_string(), of_target(&salt, target));
        let targets = spec.targets.iter().map(target).collect();
        Self { salt, address: of_address(&salt, spec), targets, keys, kept: Mutex::default() }
    }

    /// Returns the mark of a key of which this is known now.
    pub(super) fn of_key(&self, at: usize, key: &KeySpec, known: Option<&Secret>) -> Fingerprint {
        let mark = of_key(&self.salt, key, known);
        if mark.is_none() { self.keys.get(at).copied().unwrap_or_default() } else { mark }
    }

    /// Notes that this machine is kept; tells whether it is new.
    pub(super) fn keeps(&self, admission: &Arc<Admission>) -> bool {
        let mut kept = lock(&self.kept);
        let is_news = !Weak::ptr_eq(&kept, &Arc::downgrade(admission));
        if is_news {
            *kept = Arc::downgrade(admission);
        }
        is_news
    }
}

pub(super) fn of_address(salt: &Salt, spec: &ProviderSpec) -> Fingerprint {
    Fingerprint::of(salt, &[spec.base_url.as_bytes()])
}

pub(super) fn of_target(salt: &Salt, target: &TargetSpec) -> Fingerprint {
    Fingerprint::of(salt, &[format!("{target:?}").as_bytes()])
}

/// Returns a key's mark; that of nothing, where it is not known.
fn of_key(salt: &Salt, key: &KeySpec, known: Option<&Secret>) -> Fingerprint {
    let of = |kind: &[u8], what: &[&[u8]]| Fingerprint::of(salt, &[&[kind], what].concat());
    match &key.source {
        None => of(b"none", &[]),
        Some(KeySource::Function(_)) => of(b"function", &[key.name.as_bytes()]),
        Some(KeySource::Command { program, arguments }) => {
            let arguments = arguments.iter().map(String::as_bytes);
            of(b"command", &[&[program.as_bytes()], &arguments.collect::<Vec<_>>()[..]].concat())
        }
        Some(_) => known.map_or_else(Fingerprint::default, |secret| of(b"key", &[secret.expose().as_bytes()])),
    }
}

/// Tells whether each reading of a key gives another one.
pub(super) fn changes(key: &KeySpec) -> bool {
    matches!(key.source, Some(KeySource::Function(_) | KeySource::Command { .. }))
}

/// Returns the present marks of some keys: files and variables are read for that, each within a short time limit.
pub(super) async fn of_keys(salt: &Salt, keys: &[KeySpec]) -> Vec<Fingerprint> {
    join_all(keys.iter().map(|key| async move {
        let known = match &key.source {
            Some(source) if !changes(key) => tokio::time::timeout(READ_MAX, source.read()).await.ok(),
            _ => None,
        };
        of_key(salt, key, known.and_then(Result::ok).map(|issued| issued.secret).as_ref())
    }))
    .await
}

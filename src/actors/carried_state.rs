//! The state of a provider before it starts: from the one that it replaces, or from another process.
//!
//! Input: how it is configured and what was known before. Output: its slot and, from time to time, the state to keep
//! for the next process. Only what is configured as before is taken over: nothing is known of a new address or key, and
//! verdicts on a changed model end.

use std::sync::Arc;

#[cfg(feature = "store")]
use super::budgets::SharedBudgets;
use super::clock::now;
#[cfg(feature = "store")]
use super::fingerprints::{self, Fingerprints};
use super::key::Key;
use super::slot::Slot;
use super::table::Provider;
use super::wait_notifier::WaitNotifier;
use crate::policy::admission::Admission;
#[cfg(feature = "store")]
use crate::policy::memory::{Fingerprint, Memory, Salt};
use crate::policy::tokens::TokenModel;
use crate::spec::ProviderSpec;
use crate::words::locks::lock;

/// The known state of a configured provider, each part in its present place.
pub(crate) struct CarriedState {
    admission: Option<Arc<Admission>>,
    /// The place that each target had.
    targets: Vec<Option<usize>>,
    /// Targets that are configured otherwise now.
    changed: Vec<usize>,
    /// The place that each key had.
    keys: Vec<Option<usize>>,
    /// Keys that may have changed.
    doubted: Vec<usize>,
    tokens: Vec<Option<TokenModel>>,
    #[cfg(feature = "store")]
    marks: Option<(Salt, Vec<Fingerprint>)>,
}

impl CarriedState {
    /// Returns what is known of a provider that takes the place of one at the same address.
    pub(super) fn of(old: &Provider, spec: &ProviderSpec) -> Option<Self> {
        if old.spec.base_url != spec.base_url {
            return None;
        }
        let place = |id| old.spec.targets.iter().position(|old| old.id == id);
        let targets: Vec<_> = spec.targets.iter().map(|new| place(new.id.clone())).collect();
        let has_changed = |at: usize| targets[at].is_some_and(|known| old.spec.targets[known] != spec.targets[at]);
        Some(Self {
            admission: lock(&old.slot.checkpoint).clone(),
            changed: (0..targets.len()).filter(|&at| has_changed(at)).collect(),
            tokens: targets.iter().map(|known| old.slot.token_model((*known)?)).collect(),
            targets,
            keys: spec.keys.iter().map(|new| old.spec.keys.iter().position(|old| old == new)).collect(),
            doubted: changeable(spec),
            #[cfg(feature = "store")]
            marks: None,
        })
    }

    /// Returns what another process knew of a provider; `None` if that was at another address.
    #[cfg(feature = "store")]
    pub(crate) async fn from(memory: Memory, spec: &ProviderSpec) -> Option<Self> {
        let Memory { salt, address, targets: old, keys: old_keys, admission, tokens, .. } = memory;
        if fingerprints::of_address(&salt, spec) != address {
            return None;
        }
        let place = |model: &str| old.iter().position(|(old, _)| old == model);
        let targets: Vec<_> = spec.targets.iter().map(|new| place(&new.id.model)).collect();
        let has_changed = |at: usize| {
            targets[at].is_some_and(|known| old[known].1 != fingerprints::of_target(&salt, &spec.targets[at]))
        };
        let keys = fingerprints::of_keys(&salt, &spec.keys).await;
        let place = |mark: &Fingerprint| old_keys.iter().position(|old| old == mark && !mark.is_none());
        let doubted =
            spec.keys.iter().enumerate().filter(|(_, key)| fingerprints::changes(key)).map(|(index, _)| index);
        Some(Self {
            admission,
            changed: (0..targets.len()).filter(|&at| has_changed(at)).collect(),
            tokens: targets.iter().map(|known| tokens.get((*known)?).cloned()).collect(),
            targets,
            keys: keys.iter().map(place).collect(),
            doubted: doubted.collect(),
            marks: Some((salt, keys)),
        })
    }
}

/// Returns what is to be kept of a provider, unless that is kept already.
#[cfg(feature = "store")]
pub(super) fn memory(provider: &Provider, budgets: &SharedBudgets) -> Option<Memory> {
    let Provider { spec, slot, keys, marks } = provider;
    let admission = lock(&slot.checkpoint).clone().filter(|admission| marks.keeps(admission))?;
    let key = |(at, key): (usize, &Key)| marks.of_key(at, &key.spec, key.known().as_ref());
    Some(Memory {
        provider: spec.name.clone(),
        at: now(),
        salt: marks.salt,
        address: marks.address,
        targets: marks.targets.clone(),
        keys: keys.iter().enumerate().map(key).collect(),
        admission: Some(admission),
        tokens: (0..spec.targets.len()).filter_map(|target| slot.token_model(target)).collect(),
        bills: budgets.bills_of(&spec.name),
    })
}

/// Returns the keys whose source may give another key than before the reload.
pub(super) fn changeable(spec: &ProviderSpec) -> Vec<usize> {
    spec.keys.iter().enumerate().filter(|(_, key)| key.may_change()).map(|(index, _)| index).collect()
}

/// Gives a provider its slot. It starts with what is known; its keys with what was read of them.
pub(super) fn provide(
    spec: ProviderSpec,
    read: &[Key],
    known: Option<CarriedState>,
    notifier: Arc<WaitNotifier>,
) -> Provider {
    let now = now();
    let keys = spec.keys.iter().map(|key| Key::new(key.clone(), read)).collect();
    let mut admission = Admission::new(spec.admission.clone(), now);
    if let Some(known) = &known
        && let Some(checkpoint) = &known.admission
    {
        admission.carry(checkpoint, &known.targets, &known.keys, now);
        known.changed.iter().for_each(|target| admission.renew(Some(*target), None));
        known.doubted.iter().for_each(|key| admission.renew(None, Some(*key)));
    }
    let health = (0..admission.targets()).map(|target| admission.health(target, 0, now)).collect();
    let tokens = spec.targets.iter().enumerate().map(|(at, new)| {
        let model = known.as_ref().and_then(|known| known.tokens.get(at)?.clone());
        let model = model.filter(|model| model.vocabulary() == new.vocabulary);
        model.unwrap_or_else(|| TokenModel::new(new.vocabulary))
    });
    let slot = Slot::new(tokens, health, notifier);
    *lock(&slot.checkpoint) = Some(Arc::new(admission));
    #[cfg(feature = "store")]
    let marks = Fingerprints::new(&spec, known.as_ref().and_then(|known| known.marks.clone()));
    Provider {
        spec,
        keys,
        slot: Arc::new(slot),
        #[cfg(feature = "store")]
        marks,
    }
}

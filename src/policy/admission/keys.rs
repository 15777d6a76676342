//! One key at one target: what holds it there, what is left of its limits, and whether it is worse off than the
//! target's other keys.
//!
//! Input: what became of attempts with it. Output: its place among the keys of its target. The breaker judges a target
//! with all its keys; but one of them may be of an account that is worse off, though no answer calls that a failure of
//! the key. Such a key comes after others for a while, and is never refused: where no other can be used, it is.

use std::time::{Duration, Instant};

use crate::policy::detector::Evidence;
use crate::policy::headroom::Headroom;
use crate::policy::suspension::Suspension;
use crate::words::FailureClass;

/// A key that is worse off than the others comes after them for this long, each further time for twice as long …
const REST: Duration = Duration::from_secs(10);
/// … this many times at most.
const DOUBLED_MAX: u32 = 4;
/// A key with this many failures in a row is worse off.
const FAILURES: u32 = 2;
/// One whose calls wait for this many times as long as those with the quickest other key is worse off …
const SLOW: f64 = 2.5;
/// … once this many have waited; of more the last ones count.
const WAITS: u32 = 16;
/// Waits are told apart no finer than this: where all are answered at once no key is slow.
pub(super) const WAIT_LEAST: Duration = Duration::from_millis(10);
/// Of a key it is begun to be known how long calls wait once this many were answered. A silence of this many times as
/// long with another key is none of the ordinary: it counts towards its failures in a row.
const WAITS_FEW: u32 = 4;
const SILENT: f64 = 4.0;
/// No wait counts as more than this many times the usual one: a single hang is no slow key.
const WAIT_MAX: f64 = 16.0;

/// Keys of one target, by their indexes; of those beyond 64 two may count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysInUse(u64);

impl KeysInUse {
    /// None.
    pub const NONE: Self = Self(0);

    pub(super) const fn has(self, key: usize) -> bool {
        self.0 >> (key % 64) & 1 == 1
    }
}

impl FromIterator<usize> for KeysInUse {
    fn from_iter<T: IntoIterator<Item = usize>>(keys: T) -> Self {
        Self(keys.into_iter().fold(0, |all, key| all | 1 << (key % 64)))
    }
}

/// The combined hold of a target's keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySuspensions {
    pub(super) class: FailureClass,
    pub(super) until: Instant,
    pub(super) look_from: Instant,
    /// When calls are expected to be admitted again.
    pub(super) back_from: Instant,
}

impl KeySuspensions {
    pub(super) fn of(hold: &Suspension) -> Self {
        Self { class: hold.class, until: hold.until, look_from: hold.look_from(), back_from: hold.back_from() }
    }

    /// Combines two holds that both apply: the later end, and the time from which both may be tested.
    pub(super) fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let later = if other.until > self.until { other } else { self };
        let (look_from, back_from) = (self.look_from.max(other.look_from), self.back_from.max(other.back_from));
        Self { look_from, back_from, ..later }
    }

    /// Returns the hold of two keys, either of which is enough: the sooner end. A limit, which ends by itself, names
    /// it.
    pub(super) fn or(self, other: Self) -> Self {
        let sooner = if other.until < self.until { other } else { self };
        let limited = [self, other].into_iter().any(|held| held.class == FailureClass::RateLimited);
        let class = if limited { FailureClass::RateLimited } else { sooner.class };
        let (look_from, back_from) = (self.look_from.min(other.look_from), self.back_from.min(other.back_from));
        Self { class, until: sooner.until, look_from, back_from }
    }
}

/// Returns a hold as long as it lasts.
pub(super) fn standing(hold: Option<&Suspension>, now: Instant) -> Option<KeySuspensions> {
    hold.filter(|hold| hold.stands(now)).map(KeySuspensions::of)
}

/// One key at one target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TargetKey {
    pub(super) hold: Option<Suspension>,
    pub(super) headroom: Headroom,
    pub(super) record: KeyRecord,
}

impl TargetKey {
    /// Forgets what was measured; a hold stays.
    pub(super) fn forget(&mut self) {
        *self = Self { hold: self.hold, ..Self::default() };
    }

    /// Forgets what keeps it out or puts it after others.
    pub(super) fn reset(&mut self) {
        *self = Self { headroom: self.headroom, ..Self::default() };
    }
}

/// What became of attempts with a key, beside the others of its target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyRecord {
    failed_in_a_row: u32,
    /// The last of them, which counts once, by its serial.
    failed: u64,
    /// How many waited for content, and for how long: the mean in parts of what is usual at the target.
    waits: u32,
    wait: f64,
    rest: Option<KeyRest>,
    /// How often it came after others since it last was as good as they for a while.
    rests: u32,
}

/// A key that is worse off than others: it comes after them until then. From then on one attempt tells whether it still
/// is, by its serial.
#[derive(Clone, Copy, Debug)]
struct KeyRest {
    until: Instant,
    look: Option<u64>,
}

impl KeyRecord {
    /// Returns how long calls wait, once that is known of a key that does not come after others.
    pub(super) fn usual(&self) -> Option<f64> {
        (self.waits >= WAITS && self.rest.is_none()).then_some(self.wait)
    }

    /// Returns the same as far as it is known from a few calls.
    pub(super) fn begun(&self) -> Option<f64> {
        (self.waits >= WAITS_FEW && self.rest.is_none()).then_some(self.wait)
    }

    /// Tells whether it comes after others.
    pub(super) fn is_behind(&self, now: Instant) -> bool {
        self.rest.is_some_and(|rest| now < rest.until)
    }

    /// Notes an attempt with the key: the first one after a rest is the one that tells.
    pub(super) fn admit(&mut self, serial: u64, now: Instant) {
        let until = now + self.rest_time();
        if let Some(rest) = self.rest.as_mut().filter(|rest| rest.until <= now) {
            *rest = KeyRest { until, look: Some(serial) };
        }
    }

    /// Notes what became of an attempt.
    pub(super) fn heard(&mut self, serial: u64, own: Evidence, now: Instant) {
        if self.is_told(serial) {
            if own.failures > 0.0 {
                self.failed(serial, now);
            } else if own.successes > 0.0 {
                self.failed_in_a_row = 0;
            }
        }
    }

    /// Notes that an attempt has waited in vain; `others` is how long calls wait with the quickest other key, as far as
    /// that is begun to be known.
    pub(super) fn silent(&mut self, serial: u64, wait: f64, others: Option<f64>, now: Instant) {
        if self.rest.is_none() && self.is_told(serial) && others.is_some_and(|others| wait >= SILENT * others) {
            self.failed(serial, now);
        }
    }

    fn failed(&mut self, serial: u64, now: Instant) {
        if std::mem::replace(&mut self.failed, serial) == serial {
            return;
        }
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        if self.rest.is_some() || self.failed_in_a_row >= FAILURES {
            self.put_behind(now);
        }
    }

    /// Notes how long an attempt has waited for content; `others` is how long calls wait with the quickest other key,
    /// where that is known.
    pub(super) fn waited(&mut self, serial: u64, wait: f64, others: Option<f64>, now: Instant) {
        if !self.is_told(serial) {
            return;
        }
        let is_long = |wait: f64| others.is_some_and(|others| wait >= SLOW * others);
        let is_slow = if self.rest.is_some() {
            is_long(wait)
        } else {
            self.waits = self.waits.saturating_add(1);
            self.wait += (wait.min(WAIT_MAX) - self.wait) / f64::from(self.waits.min(WAITS));
            self.waits >= WAITS && is_long(self.wait)
        };
        if is_slow {
            self.put_behind(now);
        } else if self.rest.is_some() {
            // It begins anew, and is judged by the next ones.
            *self = Self { rests: self.rests, ..Self::default() };
        } else if self.waits >= 2 * WAITS {
            self.rests = 0;
        }
    }

    /// Tells whether an attempt says something new: of a key that comes after others only the one does that looks.
    fn is_told(&self, serial: u64) -> bool {
        self.rest.is_none_or(|rest| rest.look == Some(serial))
    }

    fn put_behind(&mut self, now: Instant) {
        self.rest = Some(KeyRest { until: now + self.rest_time(), look: None });
        self.rests = self.rests.saturating_add(1);
    }

    fn rest_time(&self) -> Duration {
        REST.saturating_mul(1 << self.rests.min(DOUBLED_MAX))
    }
}

persist!(struct KeyRest { until, look });
persist!(struct KeyRecord { failed_in_a_row, waits, wait, rest, rests } anew { failed });
persist!(struct TargetKey { hold, headroom, record });

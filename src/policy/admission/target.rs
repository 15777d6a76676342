//! One target behind the gates: its health, its breaker, what holds it, and its keys.
//!
//! Input: only the time. Output: the key to use next, and the state of the gates. Only `admission` changes its fields.

use std::time::{Duration, Instant};

use super::keys::{KeyRecord, KeySuspensions, KeysInUse, TargetKey, WAIT_LEAST, standing};
use super::{AdmissionOptions, TargetOptions, Ticket};
use crate::policy::breaker::Breaker;
use crate::policy::concurrency::Concurrency;
use crate::policy::detector::Evidence;
use crate::policy::headroom::Room;
use crate::policy::health::TargetHealth;
use crate::policy::snapshot::{BreakerState, Disabled, Force, Gates};
use crate::policy::suspension::Suspension;
use crate::words::FailureClass;

/// How long an attempt with a key has waited for its first content.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyWait {
    pub(super) lasted: Duration,
    /// Whether it ended without any.
    pub(super) in_vain: bool,
}

/// One target, as its provider's admission knows it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) options: TargetOptions,
    pub(super) health: TargetHealth,
    pub(super) breaker: Breaker,
    /// For all keys.
    pub(super) hold: Option<Suspension>,
    pub(super) overridden: Force,
    /// When the override was set.
    pub(super) override_since: Instant,
    pub(super) keys: Vec<TargetKey>,
    /// The number of attempts that it can take at once, as far as is known.
    pub(super) concurrency: Concurrency,
    /// Tokens that the last one was expected to take.
    pub(super) expected: u64,
    /// Where the round of the keys goes on.
    pub(super) key_next: usize,
    /// The flag as it was last published.
    pub(super) flagged: bool,
    pub(super) admitted: u64,
    pub(super) failed: u64,
    /// Whether the last answer that it began broke off, or stands still.
    pub(super) breaks_off: bool,
    pub(super) last_used: Option<Instant>,
}

impl Target {
    pub(super) fn new(options: TargetOptions, all: &AdmissionOptions, now: Instant) -> Self {
        Self {
            health: TargetHealth::new(&all.health, options.class, options.ttft_median, now),
            breaker: Breaker::new(all.breaker.clone(), now),
            hold: None,
            overridden: Force::Auto,
            override_since: now,
            keys: vec![TargetKey::default(); all.keys.max(1)],
            concurrency: Concurrency::default(),
            expected: 0,
            key_next: 0,
            flagged: false,
            admitted: 0,
            failed: 0,
            breaks_off: false,
            last_used: None,
            options,
        }
    }

    /// Tells whether it has any history.
    #[cfg(feature = "store")]
    pub(super) fn is_known(&self) -> bool {
        let is_held = self.hold.is_some() || self.keys.iter().any(|key| key.hold.is_some());
        self.last_used.is_some() || is_held || self.overridden != Force::Auto || self.breaker.is_known()
    }

    /// Notes what an attempt with a key has shown.
    pub(super) fn heard(&mut self, ticket: &Ticket, own: Evidence, now: Instant) {
        if own.successes > 0.0 {
            self.concurrency.heard(ticket.stamp, now);
        }
        if let Some(key) = self.keys.get_mut(ticket.key) {
            key.record.heard(ticket.serial, own, now);
        }
    }

    /// Notes how long an attempt with a key has waited for content, or has waited in vain. What was in vain says
    /// something once it took longer than with another key, or so long that it is nearly overdue: who leaves sooner
    /// says nothing.
    pub(super) fn waited(&mut self, ticket: &Ticket, waited: KeyWait, now: Instant) {
        let usual = self.health.pace(ticket.prompt_tokens, ticket.whole, ticket.output_max, now).first;
        let wait = (waited.lasted + WAIT_LEAST).div_duration_f64(usual + WAIT_LEAST);
        let others = self.keys.iter().enumerate().filter(|(key, _)| *key != ticket.key).map(|(_, key)| key.record);
        let least =
            |known: fn(&KeyRecord) -> Option<f64>| others.clone().filter_map(|key| known(&key)).reduce(f64::min);
        let (others, begun) = (least(KeyRecord::usual), least(KeyRecord::begun));
        let Some(key) = self.keys.get_mut(ticket.key) else { return };
        if waited.in_vain {
            key.record.silent(ticket.serial, wait, begun, now);
            if waited.lasted < ticket.overdue_after / 2 && begun.is_none_or(|begun| wait < begun) {
                return;
            }
        }
        key.record.waited(ticket.serial, wait, others, now);
    }

    /// Returns its holds: those of each key, and its own.
    pub(super) fn holds(&mut self) -> impl Iterator<Item = &mut Option<Suspension>> {
        self.keys.iter_mut().map(|key| &mut key.hold).chain([&mut self.hold])
    }

    /// Returns what keeps a key from being used here, if something does.
    pub(super) fn key_held(&self, key: usize, keys: &[Option<Suspension>], now: Instant) -> Option<KeySuspensions> {
        let here = standing(self.keys[key].hold.as_ref(), now);
        let anywhere = standing(keys[key].as_ref(), now);
        here.map(|held| held.and(anywhere)).or(anywhere)
    }

    /// Returns the key to be used next for this many tokens: of the usable keys, the one with the most headroom. An
    /// unknown headroom counts as a full one; equals take turns. A key that is worse off comes after others, and one
    /// that another call is just checking last: one check at a time is enough. So do those `in_use` with which the call
    /// waits there already, or, if it is for another key `only`, none of them is used.
    pub(super) fn key(
        &self,
        keys: &[Option<Suspension>],
        tokens: u64,
        in_use: KeysInUse,
        only: bool,
        now: Instant,
    ) -> Option<usize> {
        let checked = |key: usize| [self.keys[key].hold, keys[key]].iter().flatten().any(|hold| hold.is_checked(now));
        let turns = (0..keys.len()).map(|turn| (self.key_next + turn) % keys.len());
        let usable = turns.filter(|&key| self.key_held(key, keys, now).is_none() && !(only && in_use.has(key)));
        let rank = |key: usize| {
            let known = &self.keys[key];
            let has_room = known.headroom.room(tokens, now).until.is_none();
            let behind = (known.record.is_behind(now), in_use.has(key));
            (has_room, !checked(key), !behind.0, !behind.1, known.headroom.share(now).unwrap_or(1.0))
        };
        usable
            .map(|key| (key, rank(key)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(key, _)| key)
    }

    /// Returns the room that all usable keys together have for this many tokens.
    pub(super) fn room(&self, keys: &[Option<Suspension>], tokens: u64, now: Instant) -> Room {
        let usable = (0..keys.len()).filter(|&key| self.key_held(key, keys, now).is_none());
        let either = |one: Room, other: Room| Room {
            requests: one.requests.zip(other.requests).map(|(one, other)| one.saturating_add(other)),
            until: one.until.zip(other.until).map(|(one, other)| one.min(other)),
        };
        let rooms = usable.map(|key| self.keys[key].headroom.room(tokens, now));
        rooms.reduce(either).unwrap_or(Room { requests: None, until: None })
    }

    /// Returns the room for more like the last: what its limits leave, and its breaker lets through.
    pub(super) fn room_now(&self, keys: &[Option<Suspension>], now: Instant) -> Room {
        let room = self.room(keys, self.expected, now);
        Room { requests: room.requests.into_iter().chain(self.breaker.room(now)).min(), ..room }
    }

    /// Returns the key that a look is made with.
    pub(super) fn look_key(&self, keys: &[Option<Suspension>], now: Instant) -> Option<usize> {
        (0..keys.len()).min_by_key(|&key| self.key_held(key, keys, now).map(|held| held.look_from))
    }

    /// Returns what keeps the target from being asked with any key.
    pub(super) fn held(&self, keys: &[Option<Suspension>], now: Instant) -> Option<KeySuspensions> {
        let keys: Option<Vec<KeySuspensions>> = (0..keys.len()).map(|key| self.key_held(key, keys, now)).collect();
        let keys = keys.and_then(|keys| keys.into_iter().reduce(KeySuspensions::or));
        let target = standing(self.hold.as_ref(), now);
        target.map(|held| held.and(keys)).or(keys)
    }

    /// Returns up to how many in flight it is asked as a last resort while its breaker lets through probes at most.
    fn resort_max(&self, now: Instant) -> u32 {
        if self.health.answers(now) {
            return u32::MAX;
        }
        // A call that can go nowhere else is better kept waiting than refused: it may have more time than the others.
        if self.breaker.is_silent() { self.concurrency.lately(now) } else { 0 }
    }

    pub(super) fn gates(
        &self,
        keys: &[Option<Suspension>],
        offline: Option<Instant>,
        in_flight: u32,
        tokens: u64,
        now: Instant,
    ) -> Gates {
        let held = self.held(keys, now);
        let (limit, verdict) = match held {
            Some(KeySuspensions { class: FailureClass::RateLimited, until, .. }) => (Some(until), None),
            Some(KeySuspensions { class, until, .. }) => (None, Some(Disabled::Verdict { class, until })),
            None => (None, None),
        };
        let disabled = match self.overridden {
            Force::Off { until } if until.is_none_or(|until| until > now) => Some(Disabled::Operator { until }),
            _ => verdict,
        };
        let overloaded = standing(self.breaker.hold(), now);
        let look = held.map(|held| held.and(overloaded)).or(overloaded);
        let breaker = match (self.breaker.state(), offline) {
            // Without a network a probe would only prove that the network is down.
            (BreakerState::Open { until }, Some(back)) => BreakerState::Open { until: until.max(back) },
            (BreakerState::HalfOpen, Some(back)) => BreakerState::Open { until: back },
            (state, _) => state,
        };
        Gates {
            breaker,
            probe_free: self.breaker.is_probe_free(now),
            disabled,
            forced_on: matches!(self.overridden, Force::On { until } if until.is_none_or(|until| until > now)),
            rate_limited_until: limit,
            overloaded_until: overloaded.map(|held| held.until),
            paced_until: self.room(keys, tokens, now).until,
            look_from: look.map(|held| held.look_from),
            back_from: look.map(|held| held.back_from),
            in_flight,
            in_flight_max: self.concurrency.limit(self.options.in_flight_max, now),
            // What was learnt with a network says nothing without one.
            resort_max: if offline.is_some() { 0 } else { self.resort_max(now) },
        }
    }
}

persist!(struct Target {
    options, health, breaker, hold, overridden, override_since, keys, concurrency, expected,
    key_next, flagged, admitted, failed, breaks_off, last_used,
});

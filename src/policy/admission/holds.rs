//! What holds a provider's keys and targets, and how it ends.
//!
//! Input: failures, answers, an operator's words. Output: barriers, and effects to publish. Each hold has a place: a
//! key everywhere, a target with any key, or a key at a target.

use std::time::{Duration, Instant};

use super::{Admission, Effect, Ticket};
use crate::policy::snapshot::{BreakerState, Force, IndexedHold};
use crate::policy::suspension::Suspension;
use crate::words::consequence::HoldRule;
use crate::words::{Cause, FailureClass, Scope};

/// Returns a hold as it is told.
const fn held(target: Option<usize>, key: Option<usize>, hold: &Suspension) -> IndexedHold {
    IndexedHold { target, key, cause: Cause::Failure(hold.class), since: hold.since, until: Some(hold.until) }
}

impl Admission {
    /// Returns the hold of a key everywhere, of a target with any key, or of a key at a target.
    fn place(&mut self, target: Option<usize>, key: Option<usize>) -> Option<&mut Option<Suspension>> {
        match (target, key) {
            (None, None) => None,
            (None, Some(key)) => self.keys.get_mut(key),
            (Some(target), None) => Some(&mut self.targets.get_mut(target)?.hold),
            (Some(target), Some(key)) => Some(&mut self.targets.get_mut(target)?.keys.get_mut(key)?.hold),
        }
    }

    /// Returns all holds, each with its place; those of breakers are their targets'.
    fn holds(&self) -> impl Iterator<Item = (Option<usize>, Option<usize>, &Suspension)> {
        let keys = self.keys.iter().enumerate().filter_map(|(key, hold)| Some((None, Some(key), hold.as_ref()?)));
        let targets = self.targets.iter().enumerate().flat_map(|(at, of)| {
            let whole = of.hold.iter().chain(of.breaker.hold()).map(move |hold| (Some(at), None, hold));
            let keys = of.keys.iter().enumerate();
            whole.chain(keys.filter_map(move |(key, of)| Some((Some(at), Some(key), of.hold.as_ref()?))))
        });
        keys.chain(targets)
    }

    /// Returns all that keeps keys and targets out: holds, open breakers, and operators' overrides.
    pub fn indexed_holds(&self, now: Instant) -> Vec<IndexedHold> {
        let stands = |(_, _, hold): &(_, _, &Suspension)| hold.stands(now);
        let mut all: Vec<IndexedHold> =
            self.holds().filter(stands).map(|(target, key, hold)| held(target, key, hold)).collect();
        for (index, of) in self.targets.iter().enumerate() {
            let alone = |cause, since, until| IndexedHold { target: Some(index), key: None, cause, since, until };
            if let Force::Off { until } = of.overridden
                && until.is_none_or(|until| until > now)
            {
                all.push(alone(Cause::Operator, of.override_since, until));
            }
            // An open breaker with a Retry-After is reported as that hold.
            let told = of.breaker.hold().is_some_and(|hold| hold.stands(now));
            if let Some(since) = of.breaker.open_since().filter(|_| !told) {
                let until = match of.breaker.state() {
                    BreakerState::Open { until } => Some(until),
                    _ => None,
                };
                all.push(alone(Cause::Breaker, since, until));
            }
        }
        all
    }

    /// Lifts everything that keeps targets and keys out, and returns it: holds end, breakers close, operators'
    /// overrides end. `target` alone means a target and all holds of keys there, `key` alone means that key at every
    /// target, neither means everything.
    pub fn reset(&mut self, target: Option<usize>, key: Option<usize>, now: Instant) -> Vec<IndexedHold> {
        let concerned = |indexed_hold: &IndexedHold| {
            let of_target = target.is_none_or(|target| indexed_hold.target.is_none_or(|of| of == target));
            let of_key = key.is_none_or(|key| indexed_hold.key == Some(key));
            of_target && of_key
        };
        let lifted: Vec<IndexedHold> = self.indexed_holds(now).into_iter().filter(concerned).collect();
        let keys: Vec<usize> = (0..self.keys.len()).filter(|&of| key.is_none_or(|key| key == of)).collect();
        for index in (0..self.targets.len()).filter(|&of| target.is_none_or(|target| target == of)) {
            let of = &mut self.targets[index];
            for &key in &keys {
                of.keys[key].reset();
                self.keys[key] = None;
            }
            if key.is_none() {
                (of.hold, of.overridden, of.override_since) = (None, Force::Auto, now);
                let transition = of.breaker.reset(now);
                self.tell(index, transition);
                self.tell_flag(index, now);
            }
        }
        self.effects.extend(lifted.iter().copied().map(Effect::Lifted));
        lifted
    }

    /// Notes that the machine slept for this time: our clock stood still, the providers' clocks did not.
    pub fn slept(&mut self, by: Duration) {
        self.keys.iter_mut().flatten().for_each(|hold| hold.slept(by));
        for target in &mut self.targets {
            target.holds().flatten().for_each(|hold| hold.slept(by));
            target.breaker.slept(by);
        }
    }

    /// Forgets the verdicts on a target whose configuration has changed, or on a key that may be another one now. Times
    /// that a provider told stay: they are no verdicts.
    pub fn renew(&mut self, target: Option<usize>, key: Option<usize>) {
        let renewed = |hold: &mut Option<Suspension>| {
            hold.take_if(|hold| hold.class != FailureClass::RateLimited);
        };
        if let Some(target) = target.and_then(|target| self.targets.get_mut(target)) {
            target.holds().for_each(renewed);
        }
        if let Some(key) = key {
            self.keys.get_mut(key).into_iter().for_each(renewed);
            let there = self.targets.iter_mut().filter_map(|target| target.keys.get_mut(key));
            there.for_each(|key| renewed(&mut key.hold));
        }
    }

    /// Holds what a failure is about: the key everywhere, the key at that target, or the target.
    pub(super) fn hold(
        &mut self,
        ticket: &Ticket,
        class: FailureClass,
        scope: Scope,
        told: Option<Suspension>,
        now: Instant,
    ) {
        let Some(rest) = class.consequences().hold else { return };
        // A limit whose end was told is no guess.
        let guess = if rest.passes() && told.is_some() { Duration::ZERO } else { rest.time };
        let guess = Suspension::guessed(class, guess, now);
        let word = told.filter(|told| told.until > guess.until).unwrap_or(guess);
        let (index, key) = (ticket.target, ticket.key);
        let before = self.targets[index].held(&self.keys, now);
        let place = match scope {
            _ if rest.whole_key => self.place(None, Some(key)),
            Scope::Key => self.place(Some(index), Some(key)),
            Scope::Request | Scope::Model | Scope::Endpoint => self.place(Some(index), None),
        };
        let Some(slot) = place else { return };
        // What was said meanwhile is newer than the look.
        let answers_look = ticket.look && slot.is_none_or(|known| known.was_said_by(ticket.started));
        let is_news = Suspension::pass(slot, word, answers_look, now);
        let after = self.targets[index].held(&self.keys, now);
        match rest {
            HoldRule { remedy: None, .. } => {
                let until = after.filter(|held| held.class == class).map(|held| held.until);
                if let Some(until) = until.filter(|&until| before.is_none_or(|held| held.until != until)) {
                    self.effects.push(Effect::RateLimited { target: index, until });
                }
            }
            HoldRule { whole_key: false, .. } if is_news && after.is_some() => {
                self.effects.push(Effect::TargetDisabled { target: index, class });
            }
            _ if is_news => self.effects.push(Effect::KeyDisabled { key, class }),
            _ => {}
        }
    }

    /// An answer came: it ends the holds that its key and target had when it was requested.
    pub(super) fn answered(&mut self, ticket: &Ticket, now: Instant) {
        let (target, key) = (Some(ticket.target), Some(ticket.key));
        if ticket.look {
            self.targets[ticket.target].breaker.drop_hold(ticket.started, now);
        }
        for (target, key) in [(target, None), (target, key), (None, key)] {
            let over = |hold: &mut Suspension| !hold.stands(now) || (ticket.look && hold.was_said_by(ticket.started));
            let ended = self.place(target, key).and_then(|place| place.take_if(over));
            if let Some(hold) = ended.filter(|hold| ticket.look && hold.stands(now)) {
                self.effects.push(Effect::Lifted(held(target, key, &hold)));
            }
        }
    }
}

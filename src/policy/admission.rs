//! Admission to one provider's targets: the whole machine that a provider's actor owns. Cloning it is the checkpoint.
//!
//! Input: requests for admission, and the reports of admitted attempts. Output: tickets, or refusals that say when to
//! come back, and effects to publish. A target has a health, a breaker, an operator's override and a hold; a key has a
//! hold; a key at a target has another one. These are independent gates, each with its own clock, none of which changes
//! another. The scope of a failure decides which hold it makes: a failure of the key holds the key, and the target only
//! once no key is left. A hold's end only moves later, except by an operator or by the answer to a look. Of the keys
//! that may be used, the one with the most headroom is chosen; where no key has room beyond its reserve, the target is
//! full. A target is also full when as many attempts are in flight as it can take. Reports of old tickets (of an
//! earlier generation, or of a predecessor that crashed) are allowed: they count in statistics and cause no transition.

mod holds;
mod judge;
mod keys;
mod target;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;

pub use self::keys::KeysInUse;
use self::keys::TargetKey;
use self::target::{KeyWait, Target};
use crate::policy::breaker::{BreakerStamp, Transition, Verdict};
use crate::policy::concurrency::Stamp;
use crate::policy::detector::Evidence;
use crate::policy::headroom::{AdmittedTotals, KEPT_BACK, Room};
use crate::policy::health::{Progress, ReportContext};
use crate::policy::hint;
use crate::policy::local_fault::LOCAL_FAULT_MAX;
use crate::policy::look_pace::{Look, LookPace};
use crate::policy::snapshot::{BreakerState, Force, Gate, Gates, Health, IndexedHold, Refusal};
use crate::policy::suspension::Suspension;
use crate::words::consequence::{Consequences, FaultOwner};
use crate::words::{FailureClass, Limits, ModelClass, NamedLimit, Reported};

pub use crate::policy::breaker::BreakerOptions;
pub use crate::policy::health::{HealthOptions, Outcome, Report};

/// Serials of one incarnation: a restarted machine begins a new block, so that no ticket of its predecessor is mistaken
/// for one of its own.
const SERIALS: u64 = 1 << 40;

/// The configuration of a provider's admission.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionOptions {
    /// Its targets; tickets and effects name them by index.
    pub targets: Vec<TargetOptions>,
    /// How many keys it has; 0, for a provider that needs none, counts as 1.
    pub keys: usize,
    /// Tuning of the breakers.
    pub breaker: BreakerOptions,
    /// Tuning of the health.
    pub health: HealthOptions,
}

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetOptions {
    /// Sets the first guesses of its latency, and its timers.
    pub class: ModelClass,
    /// The most attempts in flight.
    pub in_flight_max: u32,
    /// Median time to first token, where the user knows better than its class.
    pub ttft_median: Option<Duration>,
    /// Whether the user has configured how long it may be silent. A longer silence is then a failure, however long the
    /// target usually takes.
    pub limited: bool,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self { class: ModelClass::default(), in_flight_max: 2_048, ttft_median: None, limited: false }
    }
}

/// A request for admission.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionRequest {
    /// The target's index.
    pub target: usize,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// Whether the answer comes whole, in one burst.
    pub whole: bool,
    /// The caller's limit of the answer, in tokens.
    pub output_max: Option<u32>,
    /// Tokens that the answer is expected to have.
    pub output_expected: u32,
    /// Whether no other target can serve: then an open breaker lets one through.
    pub last_resort: bool,
    /// The look that it is, where its call has silent attempts there already.
    pub look: Option<Look>,
    /// The keys with which its call waits there: others go before them.
    pub in_use: KeysInUse,
    /// Whether it goes with another key than those, or not at all. Then it is no look: another key is asked as another
    /// target is.
    pub other_key: bool,
}

/// Permission to try. Plain data: its holder reports with it, with exactly one [`Report::Ended`].
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Number of the attempt, unique over the provider's restarts.
    pub serial: u64,
    /// The target's index.
    pub target: usize,
    /// The key's index.
    pub key: usize,
    /// Generation of the target's breaker.
    pub generation: u64,
    /// Whether it is a probe.
    pub probe: bool,
    /// Whether it passed a breaker that is not Closed only because it is the last resort.
    pub last_resort: bool,
    /// When it was given.
    pub started: Instant,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// Whether the answer comes whole, in one burst.
    pub whole: bool,
    /// Whether it passed a hold, to test whether the hold is still right.
    pub look: bool,
    /// The caller's limit of the answer, in tokens.
    pub output_max: Option<u32>,
    /// Age without content at which [`Report::Overdue`] is due.
    pub overdue_after: Duration,
    /// Length of a gap between tokens at which [`Report::Gap`] is due.
    pub gap_overdue_after: Duration,
    /// The requests and tokens admitted so far with its key, itself included.
    pub used: AdmittedTotals,
    /// Tokens that it was expected to take.
    pub expected: u64,
    /// Those that it took in the end, once that is known.
    pub taken: Option<u64>,
    /// The limit that its refusal named.
    pub named: Option<NamedLimit>,
    /// How many attempts were in flight at its admission, and the generation of the limit.
    pub stamp: Stamp,
    /// Whether others were in flight then, of which some are answered, and no limit of its key is known. Then a refusal
    /// that names no limit and no time is about places.
    pub is_crowded: bool,
}

/// An effect to publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// A breaker changed its state.
    Transition {
        /// The target's index.
        target: usize,
        /// Before.
        from: BreakerState,
        /// After.
        to: BreakerState,
    },
    /// A target that was silent when it was looked at answers in time again, or its breaker has let it answer.
    Answers {
        /// The target's index.
        target: usize,
    },
    /// One of the flags degraded and slow was raised, or both are lowered.
    Degraded {
        /// The target's index.
        target: usize,
        /// Whether one is raised.
        raised: bool,
    },
    /// All keys of a target wait for their rate limit.
    RateLimited {
        /// The target's index.
        target: usize,
        /// When the first of them is past it.
        until: Instant,
    },
    /// A key was taken out.
    KeyDisabled {
        /// The key's index.
        key: usize,
        /// The class of the failure.
        class: FailureClass,
    },
    /// A target was taken out.
    TargetDisabled {
        /// The target's index.
        target: usize,
        /// The class of the failure.
        class: FailureClass,
    },
    /// A hold of a key or a target was lifted, by an operator or by an answer.
    Lifted(IndexedHold),
}

/// Admission to one provider's targets.
#[derive(Clone, Debug)]
pub struct Admission {
    options: AdmissionOptions,
    targets: Vec<Target>,
    keys: Vec<Option<Suspension>>,
    /// Our own network is down, as far as is known: until then connect failures do not count and nothing is probed.
    offline_until: Option<Instant>,
    /// How the provider is said to be, and until when that counts.
    hint: Option<(Reported, Instant)>,
    serial: u64,
    /// The progress of attempts that have reported something and have not ended, by serial.
    progress: BTreeMap<u64, Progress>,
    /// The most of them that can be in flight.
    progress_max: usize,
    effects: Vec<Effect>,
    /// How often each target is asked again beside what is silent there.
    looks: Vec<LookPace>,
}

impl Admission {
    /// Returns the admission of a provider of which nothing is known: all is well until proved otherwise.
    pub fn new(options: AdmissionOptions, now: Instant) -> Self {
        let in_flight_max = options.targets.iter().map(|target| target.in_flight_max as usize);
        Self {
            progress_max: in_flight_max.fold(0, usize::saturating_add),
            targets: options.targets.iter().map(|target| Target::new(target.clone(), &options, now)).collect(),
            keys: vec![None; options.keys.max(1)],
            offline_until: None,
            hint: None,
            serial: 0,
            progress: BTreeMap::new(),
            effects: Vec::new(),
            looks: vec![LookPace::default(); options.targets.len()],
            options,
        }
    }

    /// Returns what a restarted provider goes on with: its predecessor's verdicts always, its statistics only if they
    /// are not suspected of having crashed it. Every generation is bumped, every probe slot free. It is to be kept as a
    /// checkpoint at once, or a second restart would give out the same serials again.
    pub fn restore(checkpoint: &Self, keep_statistics: bool, now: Instant) -> Self {
        let mut restored = checkpoint.clone();
        restored.serial = (checkpoint.serial / SERIALS + 1) * SERIALS;
        restored.progress.clear();
        restored.effects.clear();
        for target in &mut restored.targets {
            target.breaker.restart(keep_statistics, now);
            if !keep_statistics {
                target.health = Target::new(target.options.clone(), &checkpoint.options, now).health;
                target.keys.iter_mut().for_each(TargetKey::forget);
                target.flagged = false;
            }
        }
        restored
    }

    /// Takes over what was known before a reconfiguration: target i the health and verdicts of old target `targets[i]`
    /// (the same model at the same base URL), key j the verdicts of old key `keys[j]`.
    pub fn carry(&mut self, old: &Self, targets: &[Option<usize>], keys: &[Option<usize>], now: Instant) {
        let old_key = |key: usize| keys.get(key).copied().flatten();
        self.serial = self.serial.max((old.serial / SERIALS + 1) * SERIALS);
        self.offline_until = old.offline_until;
        let wait_max = self.options.breaker.retry_after_max;
        for (key, hold) in self.keys.iter_mut().enumerate() {
            *hold = old_key(key).and_then(|key| *old.keys.get(key)?);
        }
        for (target, index) in self.targets.iter_mut().zip(targets) {
            let Some(known) = index.and_then(|index| old.targets.get(index)) else { continue };
            let key = |key| old_key(key).and_then(|key| known.keys.get(key).copied()).unwrap_or_default();
            let mut carried = Target {
                options: target.options.clone(),
                keys: (0..self.keys.len()).map(key).collect(),
                key_next: 0,
                ..known.clone()
            };
            carried.breaker.restart(true, now);
            carried.breaker.retune(self.options.breaker.clone(), now);
            let guess = |options: &TargetOptions| (options.class, options.ttft_median);
            if self.options.health != old.options.health || guess(&target.options) != guess(&known.options) {
                // Statistics that were measured with other options do not fit the new ones.
                carried.health = target.health.clone();
            }
            *target = carried;
        }
        let own = self.targets.iter_mut().flat_map(Target::holds);
        own.chain(&mut self.keys).flatten().for_each(|hold| hold.retune(wait_max));
    }

    /// Admits an attempt, or says which gate refuses and when to come back.
    ///
    /// # Errors
    /// The refusal. It changed nothing.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn admit(
        &mut self,
        ask: AdmissionRequest,
        in_flight: u32,
        now: Instant,
        _rng: &mut impl Rng,
    ) -> Result<Ticket, Refusal> {
        let offline = self.offline(now);
        let target = &mut self.targets[ask.target];
        let expected = u64::from(ask.prompt_tokens) + u64::from(ask.output_expected);
        // A look has the place of those that it is beside: an attempt that may be lost keeps no call from finding
        // that out.
        let others = in_flight.saturating_sub(ask.look.map_or(0, |look| look.beside));
        let gates = target.gates(&self.keys, offline, others, expected, now);
        if let Some(refusal) = gates.refusal(ask.last_resort, now) {
            return Err(refusal);
        }
        let other = target.key(&self.keys, expected, ask.in_use, ask.other_key, now);
        if ask.other_key && other.is_none() {
            return Err(Refusal { gate: Gate::Paced, until: None });
        }
        if let Some(Err(until)) = ask.look.map(|look| self.looks[ask.target].ask(look, now)) {
            return Err(Refusal { gate: Gate::Paced, until: Some(until) });
        }
        let key = other.or_else(|| target.look_key(&self.keys, now)).unwrap_or(0);
        target.breaker.look(now);
        for hold in [&mut target.hold, &mut target.keys[key].hold, &mut self.keys[key]].into_iter().flatten() {
            hold.look(now);
        }
        target.key_next = key + 1;
        let used = target.keys[key].headroom.admit(expected, now);
        target.expected = expected;
        target.admitted += 1;
        target.last_used = Some(now);
        self.serial += 1;
        target.keys[key].record.admit(self.serial, now);
        let (pass, transition) = target.breaker.admit(self.serial, ask.last_resort, now);
        let is_crowded = in_flight > 0 && target.concurrency.works(now) && !target.keys[key].headroom.is_known(now);
        let stamp = target.concurrency.admit(in_flight, now);
        let timers = target.health.timers(ask.prompt_tokens, ask.whole, ask.output_max, now);
        self.tell(ask.target, transition);
        Ok(Ticket {
            serial: pass.serial,
            target: ask.target,
            key,
            generation: pass.generation,
            probe: pass.probe,
            last_resort: pass.last_resort,
            started: now,
            prompt_tokens: ask.prompt_tokens,
            whole: ask.whole,
            look: gates.look_from.is_some(),
            output_max: ask.output_max,
            overdue_after: timers.overdue_after,
            gap_overdue_after: timers.gap_overdue_after,
            used,
            expected,
            taken: None,
            named: None,
            stamp,
            is_crowded,
        })
    }

    /// Takes in what an attempt says, and returns what follows for the world, what is left of [`Admission::effects`]
    /// included.
    pub fn report(&mut self, ticket: &Ticket, report: Report, now: Instant, rng: &mut impl Rng) -> Vec<Effect> {
        let offline = self.offline(now).is_some();
        let Some(target) = self.targets.get_mut(ticket.target) else { return self.effects() };
        let circumstances = ReportContext {
            started: ticket.started,
            prompt_tokens: ticket.prompt_tokens,
            whole: ticket.whole,
            output_max: ticket.output_max,
            limited: target.options.limited,
            closed: target.breaker.state() == BreakerState::Closed,
            offline,
        };
        let mut progress = self.progress.remove(&ticket.serial).unwrap_or_default();
        let had_begun = progress.has_begun();
        let known = (!had_begun).then(|| target.health.failure_rate_most(now));
        let is_whole = matches!(report, Report::Ended(Outcome::Success { .. }));
        let finding = target.health.report(&mut progress, circumstances, report, now);
        let (failure, hold) = match report {
            Report::Ended(Outcome::Failure { class, scope, retry_after }) => {
                let wait_max = self.options.breaker.retry_after_max;
                let hold = retry_after.and_then(|told| Suspension::told(class, told, wait_max, now, rng));
                (Some((class, scope)), hold)
            }
            _ => (None, None),
        };
        let verdict = match verdict(report, offline, hold) {
            Verdict::Ignored if finding.silent && !offline => Verdict::Silence,
            verdict => verdict,
        };
        target.heard(ticket, finding.own, now);
        let broke_off = had_begun && finding.own.failures > 0.0;
        target.breaks_off = broke_off || (target.breaks_off && !is_whole);
        if let Some(waited) = waited(report, progress, ticket, now).filter(|_| target.keys.len() > 1) {
            target.waited(ticket, waited, now);
        }
        if let (Verdict::Failure { .. } | Verdict::Silence, Some((class, _))) = (verdict, failure) {
            target.failed += u64::from(class.consequences().weight > 0.0);
        } else if matches!(report, Report::Ended(Outcome::Cancelled(_))) {
            target.failed += u64::from(finding.own.failures > 0.0);
        }
        let pass = ticket.pass();
        let current = pass.generation == target.breaker.generation();
        let transition = target.breaker.report(pass, finding.own, known, verdict, now, rng);
        if matches!(transition, Some(Transition { to: BreakerState::Ramp { .. }, .. })) {
            target.health.recovering(target.breaker.luck(), now);
        }
        let answers = is_whole || matches!(report, Report::Content { .. });
        let in_time = now.saturating_duration_since(ticket.started) <= ticket.overdue_after;
        let looked = answers && in_time && self.looks[ticket.target].answered(ticket.started);
        // Only silence that was judged by a guess had opened it: then it closes.
        let refuted = finding.refuted;
        let closed = refuted.and_then(|refuted| target.breaker.take_back(refuted.evidence(), refuted.since, now));
        self.tell(ticket.target, transition);
        self.tell(ticket.target, closed);
        // After a probe the next one may follow at once.
        let probed =
            answers && ticket.probe || matches!(transition, Some(Transition { to: BreakerState::HalfOpen, .. }));
        if looked || probed {
            self.effects.push(Effect::Answers { target: ticket.target });
        }
        self.tell_flag(ticket.target, now);
        if let Some((class, scope)) = failure {
            self.sibling_failed(ticket.target, finding.siblings, class, current, now, rng);
            self.hold(ticket, class, scope, hold, now);
        }
        if is_whole {
            self.answered(ticket, now);
        }
        if let Report::Ended(outcome) = report {
            self.took(ticket, outcome, now);
        } else {
            self.keep(ticket.serial, progress);
        }
        self.effects()
    }

    /// Learns what an attempt's end says about its target's limits.
    fn took(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant) {
        let target = &mut self.targets[ticket.target];
        let headroom = target.keys.get_mut(ticket.key).map(|key| &mut key.headroom);
        match outcome {
            Outcome::Failure { class: FailureClass::Overloaded, .. } => {
                target.concurrency.overloaded(ticket.stamp, now);
            }
            Outcome::Failure { class: FailureClass::RateLimited, retry_after, .. } => {
                // If the limits have room, too many requests came at once. If the provider says nothing about its
                // limits, a Retry-After means a limit per minute.
                let left = headroom.as_ref().and_then(|headroom| headroom.share(now));
                if left.map_or(retry_after.is_none(), |left| left > KEPT_BACK) {
                    target.concurrency.overloaded(ticket.stamp, now);
                }
                if let Some(headroom) = headroom {
                    headroom.refused(ticket.named, ticket.expected, retry_after, now);
                }
                return;
            }
            _ => {}
        }
        let taken = ticket.taken.or((outcome == Outcome::Unused).then_some(0));
        if let (Some(headroom), Some(taken)) = (headroom, taken) {
            headroom.settle(ticket.expected, taken);
        }
    }

    /// Learns from an answer's head what is left of the limits of its attempt's key.
    pub fn limits(&mut self, ticket: &Ticket, limits: Limits, now: Instant) {
        let target = self.targets.get_mut(ticket.target);
        if let Some(key) = target.and_then(|target| target.keys.get_mut(ticket.key)) {
            key.headroom.read(limits, ticket.used, now);
        }
    }

    /// Sets or ends an operator's override of a target.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn force(&mut self, target: usize, force: Force, now: Instant) -> Vec<Effect> {
        (self.targets[target].overridden, self.targets[target].override_since) = (force, now);
        self.tell_flag(target, now);
        self.effects()
    }

    /// Notes that our own network has failed since then. Connect failures counted since then are taken back. Until a
    /// provider delivers something, or for [`LOCAL_FAULT_MAX`], no connect failure counts and nothing is probed.
    pub fn local_fault(&mut self, since: Instant, now: Instant) -> Vec<Effect> {
        self.offline_until = self.offline_until.max(Some(now + LOCAL_FAULT_MAX));
        for index in 0..self.targets.len() {
            let target = &mut self.targets[index];
            let evidence = target.health.take_back(since, now);
            let transition = target.breaker.take_back(evidence, since, now);
            self.tell(index, transition);
            self.tell_flag(index, now);
        }
        self.effects()
    }

    /// Notes what sources beside its calls say about the provider's state. It opens and closes nothing.
    pub fn hint(&mut self, reported: Option<Reported>, until: Instant) {
        self.hint = reported.map(|reported| (reported, until));
    }

    /// Notes that some provider delivered a byte: the network works.
    pub fn delivered(&mut self) {
        self.offline_until = None;
    }

    /// Returns effects that were not returned yet, such as those of an admission.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Returns the health of a target, to be published.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn health(&self, target: usize, in_flight: u32, now: Instant) -> Health {
        let target = &self.targets[target];
        let gates = target.gates(&self.keys, self.offline(now), in_flight, target.expected, now);
        let Gates { breaker, probe_free, disabled, forced_on, rate_limited_until, overloaded_until, .. } = gates;
        let health = &target.health;
        let hint = self.hint.filter(|(_, until)| *until > now).map(|(reported, _)| reported);
        Health {
            published: now,
            breaker,
            generation: target.breaker.generation(),
            probe_free,
            degraded: health.is_degraded(now),
            slow: health.is_slow(now),
            disabled,
            forced_on,
            rate_limited_until,
            overloaded_until,
            paced_until: gates.paced_until,
            room: target.room_now(&self.keys, now).requests,
            look_from: gates.look_from,
            back_from: gates.back_from,
            headroom: target
                .key(&self.keys, 0, KeysInUse::NONE, false, now)
                .and_then(|key| target.keys[key].headroom.share(now)),
            hint,
            failure_rate: health.expected_failure_rate(hint.and_then(hint::prior), now),
            failure_rate_prior: health.failure_rate_prior(),
            evidence: health.evidence(now),
            resort_max: gates.resort_max,
            ttft: health.ttft(now),
            reply: health.reply(now),
            tpot: health.tpot(now),
            ttft_usual: health.ttft_usual(),
            reply_usual: health.reply_usual(),
            first_token_max: health.timers(0, false, None, now).first_token_max,
            reply_max: health.timers(0, true, None, now).first_token_max,
            detect: health.detect(now),
            breaks_off: target.breaks_off,
            in_flight,
            in_flight_max: gates.in_flight_max,
            admitted: target.admitted,
            failed: target.failed,
            last_used: target.last_used,
        }
    }

    /// Returns the room that a target has for more like the last, and the most that may be in flight there.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn room(&self, target: usize, now: Instant) -> (Room, u32) {
        let target = &self.targets[target];
        let in_flight_max = target.concurrency.limit(target.options.in_flight_max, now);
        (target.room_now(&self.keys, now), in_flight_max)
    }

    /// Returns the number of targets.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    /// Tells whether a target has any history: it was asked, has statistics, or is held.
    ///
    /// # Panics
    /// When there is no such target.
    #[cfg(feature = "store")]
    pub fn is_known(&self, target: usize) -> bool {
        self.targets[target].is_known()
    }

    /// Returns a copy with these targets alone.
    #[cfg(feature = "store")]
    #[must_use]
    pub fn only(&self, targets: &[usize]) -> Self {
        let targets: Vec<Target> = targets.iter().filter_map(|at| self.targets.get(*at)).cloned().collect();
        let options = AdmissionOptions {
            targets: targets.iter().map(|target| target.options.clone()).collect(),
            ..self.options.clone()
        };
        Self {
            options,
            targets,
            keys: self.keys.clone(),
            progress: BTreeMap::new(),
            effects: Vec::new(),
            looks: Vec::new(),
            ..*self
        }
    }

    fn offline(&self, now: Instant) -> Option<Instant> {
        self.offline_until.filter(|&until| until > now)
    }

    /// Keeps an attempt's progress until its next report. If ends get lost, the oldest entries are forgotten: memory is
    /// bounded by the attempts that can be in flight.
    fn keep(&mut self, serial: u64, progress: Progress) {
        self.progress.insert(serial, progress);
        if self.progress.len() > self.progress_max {
            self.progress.pop_first();
        }
    }

    fn sibling_failed(
        &mut self,
        source: usize,
        evidence: Evidence,
        class: FailureClass,
        current: bool,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        if evidence == Evidence::NONE {
            return;
        }
        for index in (0..self.targets.len()).filter(|&index| index != source) {
            let sibling = &mut self.targets[index];
            let known = sibling.health.failure_rate_most(now);
            sibling.health.sibling_failed(evidence, class, now);
            let transition = if current { sibling.breaker.sibling_failed(evidence, known, now, rng) } else { None };
            self.tell(index, transition);
            self.tell_flag(index, now);
        }
    }

    fn tell(&mut self, target: usize, transition: Option<Transition>) {
        if let Some(Transition { from, to }) = transition {
            self.effects.push(Effect::Transition { target, from, to });
        }
    }

    fn tell_flag(&mut self, index: usize, now: Instant) {
        let target = &mut self.targets[index];
        let raised = target.health.is_degraded(now) || target.health.is_slow(now);
        if target.flagged != raised {
            target.flagged = raised;
            self.effects.push(Effect::Degraded { target: index, raised });
        }
    }
}

/// Returns what a report means to the breaker. A 429 weighs nothing on health, but is no proof of recovery either; only
/// a failure of the server can hold the whole target by its Retry-After.
fn verdict(report: Report, offline: bool, hold: Option<Suspension>) -> Verdict {
    match report {
        Report::Overdue | Report::Gap => Verdict::Overdue,
        Report::GapEnded => Verdict::Pending,
        Report::Content { .. } => Verdict::Content,
        Report::Ended(Outcome::Success { .. }) => Verdict::Success,
        Report::Ended(Outcome::Failure { class: FailureClass::NoFirstToken, .. }) => Verdict::Silence,
        Report::Ended(Outcome::Failure { class, .. }) => match class.consequences() {
            _ if offline && class == FailureClass::Connect => Verdict::Ignored,
            Consequences { owner: FaultOwner::Provider, obeys_retry_after: true, .. } => Verdict::Failure { hold },
            Consequences { weight, obeys_retry_after, .. } if weight > 0.0 || obeys_retry_after => {
                Verdict::Failure { hold: None }
            }
            _ => Verdict::Ignored,
        },
        Report::Ended(Outcome::Cancelled(_) | Outcome::Crashed | Outcome::Unused) => Verdict::Ignored,
    }
}

/// Returns how long an attempt has waited for its first content, where it came, or where the attempt ended without any.
/// A failure that came soon says nothing of that.
fn waited(report: Report, progress: Progress, ticket: &Ticket, now: Instant) -> Option<KeyWait> {
    match report {
        Report::Content { after } => Some(KeyWait { lasted: after, in_vain: false }),
        Report::Ended(Outcome::Cancelled(_) | Outcome::Failure { class: FailureClass::NoFirstToken, .. }) => {
            let lasted = now.saturating_duration_since(ticket.started);
            (!progress.has_begun()).then_some(KeyWait { lasted, in_vain: true })
        }
        _ => None,
    }
}

impl Ticket {
    fn pass(&self) -> BreakerStamp {
        let Self { serial, started, generation, probe, last_resort, .. } = *self;
        BreakerStamp { serial, admitted: started, generation, probe, last_resort }
    }
}

persist!(struct TargetOptions { class, in_flight_max, ttft_median, limited });
persist!(struct AdmissionOptions { targets, keys, breaker, health });
// Only a carrier for `carry`: the running machine is built from the present configuration.
persist!(struct Admission { options, targets, keys, serial } anew {
    offline_until, hint, progress, progress_max, effects, looks,
});

#[cfg(test)]
mod tests;

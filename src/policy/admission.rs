//! Admission to one provider's targets: the whole machine that a provider's actor owns. Cloning it is the checkpoint.
//!
//! In flow asks and the reports of what was admitted, out flow tickets or refusals that say when to come back, and
//! effects to tell the world. Per target there are health, breaker and operator's hand, per key what disabled it, per
//! key and target its rate limit: independent gates, each with its own clock, none of which changes another. Deadlines
//! only ever move later. Of the keys that may be used the one with the most headroom is, which is advice and no gate. Whatever a ticket says when it returns is survivable: stragglers of an old generation, or of a
//! crashed predecessor, feed statistics and never a transition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::policy::breaker::{Breaker, Pass, Transition, Verdict};
use crate::policy::detector::Evidence;
use crate::policy::headroom::{Headroom, Used};
use crate::policy::health::{Circumstances, Progress, TargetHealth, weight};
use crate::policy::local_fault::LOCAL_FAULT_MAX;
use crate::policy::snapshot::{BreakerState, Disabled, Force, Gates, Health, Refusal};
use crate::words::{FailureClass, Limits, ModelClass, Scope};

pub use crate::policy::breaker::BreakerOptions;
pub use crate::policy::health::{HealthOptions, Outcome, Report};

/// When a verdict is checked again: somebody may have fixed the key, paid, or moved the firewall …
const KEY_RECHECK: Duration = Duration::from_secs(10 * 60);
const MONEY_RECHECK: Duration = Duration::from_secs(15 * 60);
const FORBIDDEN_RECHECK: Duration = Duration::from_secs(10 * 60);
/// … but a model that is gone seldom returns.
const MODEL_RECHECK: Duration = Duration::from_secs(60 * 60);
/// How long a 429 holds that does not say so itself.
const RATE_LIMIT_DEFAULT: Duration = Duration::from_secs(5);
/// Serials of one incarnation: a restarted machine begins a new block, so that no ticket of its predecessor is mistaken
/// for one of its own.
const SERIALS: u64 = 1 << 40;

/// What a provider's admission is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionOptions {
    /// Its targets; tickets and effects name them by index.
    pub targets: Vec<TargetOptions>,
    /// How many keys it has; 0, for a provider that wants none, counts as 1.
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
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self { class: ModelClass::default(), in_flight_max: 2_048, ttft_median: None }
    }
}

/// A request for admission.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Where to.
    pub target: usize,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// Whether the answer comes whole, in one burst.
    pub whole: bool,
    /// Whether no other target can serve: then an open breaker lets one through.
    pub last_resort: bool,
}

/// Leave to try. Plain data: whoever holds it reports with it, exactly one [`Report::Ended`].
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Number of the attempt, unique over the provider's restarts.
    pub serial: u64,
    /// Where to.
    pub target: usize,
    /// With which key.
    pub key: usize,
    /// Generation of the target's breaker.
    pub generation: u64,
    /// Whether it is a probe.
    pub probe: bool,
    /// Whether it passed a breaker that lets through probes at most only because it is the last resort.
    pub last_resort: bool,
    /// When it was given.
    pub started: Instant,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// Whether the answer comes whole, in one burst.
    pub whole: bool,
    /// Age without content at which [`Report::Overdue`] is due.
    pub overdue_after: Duration,
    /// Length of a gap between tokens at which [`Report::Gap`] is due.
    pub gap_overdue_after: Duration,
    /// What was admitted so far with its key, itself included.
    pub used: Used,
}

/// What the world should know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// A breaker changed its state.
    Transition {
        /// Whose.
        target: usize,
        /// Before.
        from: BreakerState,
        /// After.
        to: BreakerState,
    },
    /// One of the flags degraded and slow was raised, or both are lowered.
    Degraded {
        /// Whose.
        target: usize,
        /// Whether one is raised.
        raised: bool,
    },
    /// All keys of a target wait for their rate limit.
    RateLimited {
        /// Which.
        target: usize,
        /// When the first of them is past it.
        until: Instant,
    },
    /// A key was taken out.
    KeyDisabled {
        /// Which.
        key: usize,
        /// Why.
        class: FailureClass,
    },
    /// A target was taken out.
    TargetDisabled {
        /// Which.
        target: usize,
        /// Why.
        class: FailureClass,
    },
}

/// A provider's word that something is out, until it is checked again.
#[derive(Clone, Copy, Debug)]
struct Sentence {
    class: FailureClass,
    until: Instant,
}

impl Sentence {
    /// Passes a sentence, unless a longer one stands; tells whether it is news.
    fn pass(slot: &mut Option<Self>, class: FailureClass, until: Instant, now: Instant) -> bool {
        let standing = slot.filter(|sentence| sentence.until > now);
        if standing.is_none_or(|sentence| sentence.until < until) {
            *slot = Some(Self { class, until });
        }
        standing.is_none()
    }
}

#[derive(Clone, Debug)]
struct Target {
    options: TargetOptions,
    health: TargetHealth,
    breaker: Breaker,
    sentence: Option<Sentence>,
    hand: Force,
    /// By key.
    rate_limits: Vec<Option<Instant>>,
    /// By key.
    headroom: Vec<Headroom>,
    /// Where the round of the keys goes on.
    key_next: usize,
    /// The flag as it was last told.
    flagged: bool,
    admitted: u64,
    failed: u64,
    last_used: Option<Instant>,
}

impl Target {
    fn new(options: TargetOptions, all: &AdmissionOptions, now: Instant) -> Self {
        Self {
            health: TargetHealth::new(&all.health, options.class, options.ttft_median, now),
            breaker: Breaker::new(all.breaker.clone(), now),
            sentence: None,
            hand: Force::Auto,
            rate_limits: vec![None; all.keys.max(1)],
            headroom: vec![Headroom::default(); all.keys.max(1)],
            key_next: 0,
            flagged: false,
            admitted: 0,
            failed: 0,
            last_used: None,
            options,
        }
    }

    /// Returns until when a key cannot be used here, if it cannot.
    fn key_back(&self, key: usize, sentences: &[Option<Sentence>], now: Instant) -> Option<Instant> {
        let disabled = sentences[key].map(|sentence| sentence.until);
        disabled.max(self.rate_limits[key]).filter(|&until| until > now)
    }

    /// Returns the key to be used next: of those that can be, the one with the most headroom. What is unknown counts as
    /// all; equals take turns.
    fn key(&self, sentences: &[Option<Sentence>], now: Instant) -> Option<usize> {
        let keys = sentences.len();
        let turns = (0..keys).map(|turn| (self.key_next + turn) % keys);
        let usable = turns.filter(|&key| self.key_back(key, sentences, now).is_none());
        let shares = usable.map(|key| (key, self.headroom[key].share(now).unwrap_or(1.0)));
        shares.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(key, _)| key)
    }

    fn gates(&self, sentences: &[Option<Sentence>], offline: Option<Instant>, in_flight: u32, now: Instant) -> Gates {
        let live = |sentence: &Option<Sentence>| sentence.filter(|sentence| sentence.until > now);
        let verdict = |sentence: Sentence| Disabled::Verdict { class: sentence.class, until: sentence.until };
        let all_keys = || sentences.iter().map(live).min_by_key(|live| live.map(|sentence| sentence.until)).flatten();
        let disabled = match self.hand {
            Force::Off { until } if until.is_none_or(|until| until > now) => Some(Disabled::Operator { until }),
            _ => live(&self.sentence).or_else(all_keys).map(verdict),
        };
        let keys_back = (0..sentences.len()).map(|key| self.key_back(key, sentences, now)).min().flatten();
        let breaker = match (self.breaker.state(), offline) {
            // Without a network a probe would only prove that.
            (BreakerState::Open { until }, Some(back)) => BreakerState::Open { until: until.max(back) },
            (BreakerState::HalfOpen, Some(back)) => BreakerState::Open { until: back },
            (state, _) => state,
        };
        Gates {
            breaker,
            probe_free: self.breaker.is_probe_free(now),
            disabled,
            forced_on: matches!(self.hand, Force::On { until } if until.is_none_or(|until| until > now)),
            rate_limited_until: keys_back.max(self.breaker.hold()).filter(|&until| until > now),
            in_flight,
            in_flight_max: self.options.in_flight_max,
            // What was learnt with a network says nothing without one.
            answers: offline.is_none() && self.health.answers(now),
        }
    }
}

/// Admission to one provider's targets.
#[derive(Clone, Debug)]
pub struct Admission {
    options: AdmissionOptions,
    targets: Vec<Target>,
    keys: Vec<Option<Sentence>>,
    /// Our own network is down, as far as is known: until then connect failures do not count and nothing is probed.
    offline_until: Option<Instant>,
    serial: u64,
    /// What the attempts that have said something, and not yet ended, have said.
    progress: BTreeMap<u64, Progress>,
    /// The most of them that can be in flight.
    progress_max: usize,
    effects: Vec<Effect>,
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
            serial: 0,
            progress: BTreeMap::new(),
            effects: Vec::new(),
            options,
        }
    }

    /// Returns what a restarted provider goes on with: its predecessor's verdicts always, its statistics only if they are
    /// not suspected of having crashed it. Every generation is bumped, every probe slot free. It is to be kept as a
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
                target.headroom.fill(Headroom::default());
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
        for (key, sentence) in self.keys.iter_mut().enumerate() {
            *sentence = old_key(key).and_then(|key| *old.keys.get(key)?);
        }
        for (target, index) in self.targets.iter_mut().zip(targets) {
            let Some(known) = index.and_then(|index| old.targets.get(index)) else { continue };
            let rate_limits = (0..self.keys.len()).map(|key| *known.rate_limits.get(old_key(key)?)?).collect();
            let headroom = |key| old_key(key).and_then(|key| known.headroom.get(key).copied()).unwrap_or_default();
            let mut carried = Target {
                options: target.options.clone(),
                rate_limits,
                headroom: (0..self.keys.len()).map(headroom).collect(),
                key_next: 0,
                ..known.clone()
            };
            carried.breaker.restart(true, now);
            carried.breaker.retune(self.options.breaker.clone(), now);
            let guess = |options: &TargetOptions| (options.class, options.ttft_median);
            if self.options.health != old.options.health || guess(&target.options) != guess(&known.options) {
                // Numbers that were measured against other expectations mean something else.
                carried.health = target.health.clone();
            }
            *target = carried;
        }
    }

    /// Admits an attempt, or says which gate refuses and when to come back.
    ///
    /// # Errors
    /// The refusal. It changed nothing.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn admit(&mut self, ask: Ask, in_flight: u32, now: Instant, _rng: &mut impl Rng) -> Result<Ticket, Refusal> {
        let offline = self.offline(now);
        let target = &mut self.targets[ask.target];
        if let Some(refusal) = target.gates(&self.keys, offline, in_flight, now).refusal(ask.last_resort, now) {
            return Err(refusal);
        }
        let key = target.key(&self.keys, now).expect("the gates have found a key");
        target.key_next = key + 1;
        let used = target.headroom[key].admit(ask.prompt_tokens);
        target.admitted += 1;
        target.last_used = Some(now);
        self.serial += 1;
        let (pass, transition) = target.breaker.admit(self.serial, ask.last_resort, now);
        let timers = target.health.timers(ask.prompt_tokens, ask.whole, now);
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
            overdue_after: timers.overdue_after,
            gap_overdue_after: timers.gap_overdue_after,
            used,
        })
    }

    /// Takes in what an attempt says, and returns what follows for the world, what is left of [`Admission::effects`]
    /// included.
    pub fn report(&mut self, ticket: &Ticket, report: Report, now: Instant, rng: &mut impl Rng) -> Vec<Effect> {
        let offline = self.offline(now).is_some();
        let Some(target) = self.targets.get_mut(ticket.target) else { return self.effects() };
        let circumstances = Circumstances {
            started: ticket.started,
            prompt_tokens: ticket.prompt_tokens,
            whole: ticket.whole,
            closed: target.breaker.state() == BreakerState::Closed,
            offline,
        };
        let mut progress = self.progress.remove(&ticket.serial).unwrap_or_default();
        let finding = target.health.report(&mut progress, circumstances, report, now);
        let (failure, hold) = match report {
            Report::Ended(Outcome::Failure { class, scope, retry_after }) => {
                (Some((class, scope)), self.options.breaker.patience(retry_after, now, rng))
            }
            _ => (None, None),
        };
        let verdict = verdict(report, offline, hold);
        if let (Verdict::Failure { .. }, Some((class, _))) = (verdict, failure) {
            target.failed += u64::from(weight(class) > 0.0);
        }
        let pass = ticket.pass();
        let current = pass.generation == target.breaker.generation();
        let transition = target.breaker.report(pass, finding.own, verdict, now, rng);
        if matches!(transition, Some(Transition { to: BreakerState::Ramp { .. }, .. })) {
            target.health.recovering(now);
        }
        self.tell(ticket.target, transition);
        self.tell_flag(ticket.target, now);
        if let Some((class, scope)) = failure {
            self.overhear(ticket.target, finding.siblings, class, current, now, rng);
            self.sentence(ticket, class, scope, hold, now);
        }
        if !matches!(report, Report::Ended(_)) {
            self.keep(ticket.serial, progress);
        }
        self.effects()
    }

    /// Takes in what an answer's head says is left of the limits of its attempt's key.
    pub fn limits(&mut self, ticket: &Ticket, limits: Limits, now: Instant) {
        let target = self.targets.get_mut(ticket.target);
        if let Some(headroom) = target.and_then(|target| target.headroom.get_mut(ticket.key)) {
            headroom.read(limits, ticket.used, now);
        }
    }

    /// Lays an operator's hand on a target, or lifts it.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn force(&mut self, target: usize, force: Force, now: Instant) -> Vec<Effect> {
        self.targets[target].hand = force;
        self.tell_flag(target, now);
        self.effects()
    }

    /// Notes that our own network has failed since then: connect failures that counted since are taken back, none counts
    /// and nothing is probed until something is delivered, or for [`LOCAL_FAULT_MAX`].
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

    /// Notes that a provider, any, delivered a byte: the network works.
    pub fn delivered(&mut self, _now: Instant) {
        self.offline_until = None;
    }

    /// Returns what happened and was not told yet: an admission cannot return it.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Returns the health of a target, to be published.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn health(&self, target: usize, in_flight: u32, now: Instant) -> Health {
        let target = &self.targets[target];
        let Gates { breaker, probe_free, disabled, forced_on, rate_limited_until, in_flight, in_flight_max, answers } =
            target.gates(&self.keys, self.offline(now), in_flight, now);
        let health = &target.health;
        Health {
            breaker,
            generation: target.breaker.generation(),
            probe_free,
            degraded: health.is_degraded(now),
            slow: health.is_slow(now),
            disabled,
            forced_on,
            rate_limited_until,
            headroom: target.key(&self.keys, now).and_then(|key| target.headroom[key].share(now)),
            failure_rate: health.failure_rate(now),
            failure_rate_prior: health.failure_rate_prior(),
            evidence: health.evidence(now),
            answers,
            ttft: health.ttft(now),
            reply: health.reply(now),
            tpot: health.tpot(now),
            ttft_baseline_p50: health.ttft_baseline().p50,
            reply_baseline_p50: health.reply_baseline().p50,
            first_token_max: health.timers(0, false, now).first_token_max,
            reply_max: health.timers(0, true, now).first_token_max,
            detect: health.detect(now),
            in_flight,
            in_flight_max,
            admitted: target.admitted,
            failed: target.failed,
            last_used: target.last_used,
        }
    }

    /// Returns the number of targets.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    fn offline(&self, now: Instant) -> Option<Instant> {
        self.offline_until.filter(|&until| until > now)
    }

    /// Keeps what an attempt said until it says more. Should ends get lost, the oldest are forgotten: memory is bounded by
    /// what can be in flight.
    fn keep(&mut self, serial: u64, progress: Progress) {
        self.progress.insert(serial, progress);
        if self.progress.len() > self.progress_max {
            self.progress.pop_first();
        }
    }

    fn overhear(
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
            sibling.health.overhear(evidence, class, now);
            let transition = if current { sibling.breaker.overhear(evidence, now, rng) } else { None };
            self.tell(index, transition);
            self.tell_flag(index, now);
        }
    }

    /// Passes the sentence a failure deserves, on its key, its target, or its key at its target.
    fn sentence(&mut self, ticket: &Ticket, class: FailureClass, scope: Scope, hold: Option<Instant>, now: Instant) {
        use FailureClass as C;
        let recheck = match class {
            C::RateLimited => return self.rate_limit(ticket, hold.unwrap_or(now + RATE_LIMIT_DEFAULT), now),
            C::Unauthorised => KEY_RECHECK,
            C::OutOfMoney => MONEY_RECHECK,
            C::Forbidden => FORBIDDEN_RECHECK,
            C::ModelGone => MODEL_RECHECK,
            _ => return,
        };
        let until = (now + recheck).max(hold.unwrap_or(now));
        let (target, key) = (ticket.target, ticket.key);
        if class == C::ModelGone || (class == C::Forbidden && scope != Scope::Key) {
            if Sentence::pass(&mut self.targets[target].sentence, class, until, now) {
                self.effects.push(Effect::TargetDisabled { target, class });
            }
        } else if let Some(slot) = self.keys.get_mut(key)
            && Sentence::pass(slot, class, until, now)
        {
            self.effects.push(Effect::KeyDisabled { key, class });
        }
    }

    fn rate_limit(&mut self, ticket: &Ticket, until: Instant, now: Instant) {
        let limits = &mut self.targets[ticket.target].rate_limits;
        let before = limits.iter().copied().min().flatten();
        let Some(limit) = limits.get_mut(ticket.key) else { return };
        *limit = (*limit).max(Some(until));
        let after = limits.iter().copied().min().flatten().filter(|&until| until > now);
        if let Some(until) = after
            && after != before
        {
            self.effects.push(Effect::RateLimited { target: ticket.target, until });
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

/// Returns what a report means to the breaker. A 429 weighs nothing on health, but is no proof of recovery either; only a
/// server that fails can ask for the whole target's patience.
fn verdict(report: Report, offline: bool, hold: Option<Instant>) -> Verdict {
    match report {
        Report::Overdue | Report::Gap => Verdict::Overdue,
        Report::GapEnded => Verdict::Pending,
        Report::Content { .. } => Verdict::Content,
        Report::Ended(Outcome::Success { .. }) => Verdict::Success,
        Report::Ended(Outcome::Failure { class, .. }) => match class {
            FailureClass::Connect if offline => Verdict::Ignored,
            FailureClass::Overloaded | FailureClass::Server => Verdict::Failure { hold },
            FailureClass::RateLimited => Verdict::Failure { hold: None },
            class if weight(class) > 0.0 => Verdict::Failure { hold: None },
            _ => Verdict::Ignored,
        },
        Report::Ended(Outcome::Cancelled { .. } | Outcome::Crashed | Outcome::Unused) => Verdict::Ignored,
    }
}

impl Ticket {
    fn pass(&self) -> Pass {
        Pass { serial: self.serial, generation: self.generation, probe: self.probe, last_resort: self.last_resort }
    }
}

#[cfg(test)]
mod tests;

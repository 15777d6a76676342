//! The circuit breaker of one target.
//!
//! ```text
//!             alarm, or Retry-After             cooldown over, or a last resort worked
//!    Closed ──────────────────────────▶ Open ──────────────────────────────────────▶ HalfOpen
//!     ▲  ▲                              │ ▲ ▲                                          │   │
//!     │  └── taken back (our network) ──┘ │ └────────── a probe failed (k + 1) ────────┘   │
//!     │                                   │ alarm (k + 1), or Retry-After                  │ n probes worked
//!     └──── all steps done ───── Ramp ────┘          (or is overdue, until it works late)  │
//!                                 ▲────────────────────────────────────────────────────────┘
//! ```
//!
//! In flow admissions and reports of attempts, out flow passes and transitions. Each transition bumps the generation,
//! which every pass carries: what an attempt of an older generation says may be true, but it is not about this state
//! and never moves it. A Retry-After is a clock of its own beside the state, and nothing here ever passes it. The
//! breaker knows no keys, no limits and no latencies.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::policy::detector::{Cusum, DetectorOptions, Evidence};
use crate::policy::hold::Hold;
use crate::policy::snapshot::BreakerState;
use crate::words::ConfigError;

/// Reopenings before the cooldown grows: most trips are short.
const PATIENT_REOPENINGS: u32 = 3;
/// Longer cooldowns are refused: a target that is out for days is to be taken out.
const COOLDOWN_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Closed for so long, and with so many successes, forgives one reopening.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10 * 60);
const FORGIVEN_SUCCESSES: u32 = 50;
/// Shares of its traffic that a recovering target gets.
const RAMP: [f64; 5] = [0.1, 0.2, 0.4, 0.8, 1.0];
/// Where the alarm starts in Ramp: two failures close together reach it, one among many does not.
const RAMP_ALARM: f64 = 0.5;
/// Chance with which a target that fails as before passes HalfOpen: sets how many probes must work.
const HALF_OPEN_LUCK: f64 = 0.1;
const HALF_OPEN_SUCCESSES: (f64, f64) = (2.0, 5.0);

/// What a user may tune of the breakers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerOptions {
    /// Cooldown of the first reopenings; it doubles with each further one. Above 0.
    #[serde(with = "humantime_serde")]
    pub cooldown_base: Duration,
    /// The longest cooldown, at least `cooldown_base` and at most a day.
    #[serde(with = "humantime_serde")]
    pub cooldown_max: Duration,
    /// The longest Retry-After that is honoured: a provider's slip must not take it out for a year.
    #[serde(with = "humantime_serde")]
    pub retry_after_max: Duration,
    /// How long a recovering target stays on each of the five steps to its full share, at least.
    #[serde(with = "humantime_serde")]
    pub ramp_step_min: Duration,
    /// Opens the breaker.
    pub alarm: DetectorOptions,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            cooldown_base: Duration::from_secs(5),
            cooldown_max: Duration::from_secs(120),
            retry_after_max: Duration::from_secs(24 * 60 * 60),
            ramp_step_min: Duration::from_secs(6),
            alarm: DetectorOptions { p0: 0.02, p1: 0.3, h: 6.0 },
        }
    }
}

impl BreakerOptions {
    /// Returns what is out of its range; `field` is the path of these options.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let Self { cooldown_base: base, cooldown_max: max, .. } = *self;
        let fine = [
            (
                "cooldown_base",
                !base.is_zero() && base <= COOLDOWN_LIMIT,
                "must be above 0 and at most a day, as \"5s\"",
            ),
            (
                "cooldown_max",
                max >= base && max <= COOLDOWN_LIMIT,
                "must lie between `cooldown_base` and a day, as \"120s\"",
            ),
        ];
        let mut errors = ConfigError::unless(field, fine);
        errors.extend(self.alarm.check(&format!("{field}.alarm")));
        errors
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        /// When it closed, or last forgave.
        since: Instant,
        successes: u32,
    },
    Open {
        until: Instant,
        /// When the alarm opened it from Closed, while that may yet turn out to be our own network's fault.
        alarmed: Option<Instant>,
        /// The probe whose being overdue opened it, while that may yet work.
        late: Option<Late>,
    },
    HalfOpen {
        successes: u32,
    },
    Ramp {
        step: usize,
        since: Instant,
    },
}

/// A probe that is overdue, and how many had worked before it.
#[derive(Clone, Copy, Debug)]
struct Late {
    serial: u64,
    successes: u32,
}

/// A transition that took place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
}

/// What an attempt carries of the breaker that let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The attempt's own number.
    pub serial: u64,
    /// Generation of the breaker.
    pub generation: u64,
    /// Whether it holds the probe slot.
    pub probe: bool,
    /// Whether it is there only because nobody else could serve: its failure proves nothing new.
    pub last_resort: bool,
}

/// What a report means to the breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The attempt goes on.
    Pending,
    /// The attempt goes on, later than it should have had content.
    Overdue,
    /// The attempt goes on, and its first content token came.
    Content,
    /// It ended with a usable answer.
    Success,
    /// It failed.
    Failure {
        /// Retry-After of an overload: until then nothing passes.
        hold: Option<Hold>,
    },
    /// It ended in a way that says nothing about the target.
    Ignored,
}

/// The circuit breaker of one target.
#[derive(Clone, Debug)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    /// Since when it has not been Closed or in Ramp.
    open_since: Option<Instant>,
    generation: u64,
    /// Reopenings that are not forgiven yet.
    k: u32,
    /// The open CUSUM. It belongs to the generation: it listens in Closed and Ramp only, and starts again with each.
    alarm: Cusum,
    /// Everything the alarm heard since it last stood at 0.
    run: Evidence,
    /// The failure rate that was known of the target when that began: what is no worse is no news.
    known: Option<f64>,
    /// Probes that must work, frozen at opening.
    needed: u32,
    /// Who holds the probe slot.
    probe: Option<u64>,
    /// Probes that had content, gave their slot back, and have not ended: no more than must work.
    flowing: u32,
    hold: Option<Hold>,
}

impl Breaker {
    /// Returns a closed breaker.
    pub fn new(options: BreakerOptions, now: Instant) -> Self {
        let alarm = Cusum::new(&options.alarm, now);
        let state = State::Closed { since: now, successes: 0 };
        let (needed, flowing) = (2, 0);
        Self {
            options,
            state,
            open_since: None,
            generation: 0,
            k: 0,
            alarm,
            run: Evidence::NONE,
            known: None,
            needed,
            probe: None,
            flowing,
            hold: None,
        }
    }

    /// Returns the state.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until, .. } => BreakerState::Open { until },
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Ramp { step, .. } => BreakerState::Ramp { weight: RAMP[step] },
        }
    }

    /// Returns since when nothing but probes passes, if that is so.
    pub fn open_since(&self) -> Option<Instant> {
        self.open_since
    }

    /// Returns the number of transitions and restarts so far.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the Retry-After that nothing passes but a look.
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// Notes that somebody was let through to see whether the hold is still so.
    pub fn look(&mut self, now: Instant) {
        self.hold.iter_mut().for_each(|hold| hold.look(now));
    }

    /// Drops the Retry-After.
    pub fn drop_hold(&mut self) {
        self.hold = None;
    }

    /// Closes, as if nothing had happened, and drops the Retry-After.
    pub fn reset(&mut self, now: Instant) -> Option<Transition> {
        (self.hold, self.k) = (None, 0);
        let is_closed = matches!(self.state, State::Closed { .. });
        (!is_closed).then(|| self.enter(State::Closed { since: now, successes: 0 }, now))
    }

    /// Tells whether the probe slot is free. Once the cooldown is over it is: who still holds it, a last resort, is of
    /// the old generation. As many probes as must work may be on their way to their end: an answer that begins well can
    /// still break off, and more of them would tell no more.
    pub fn is_probe_free(&self, now: Instant) -> bool {
        let is_over = matches!(self.state, State::Open { until, .. } if until <= now);
        is_over || (self.probe.is_none() && self.flowing < self.needed)
    }

    /// Lets an attempt through which the gates have granted, as a probe where one is due.
    pub fn admit(&mut self, serial: u64, last_resort: bool, now: Instant) -> (Pass, Option<Transition>) {
        let transition = match self.state {
            State::Open { until, .. } if until <= now => Some(self.enter(State::HalfOpen { successes: 0 }, now)),
            _ => None,
        };
        let probe = self.probe.is_none()
            && match self.state {
                State::Closed { .. } | State::Ramp { .. } => false,
                State::Open { .. } => last_resort,
                State::HalfOpen { .. } => true,
            };
        if probe {
            self.probe = Some(serial);
        }
        (Pass { serial, generation: self.generation, probe, last_resort: probe && last_resort }, transition)
    }

    /// Takes in what an attempt says, and makes the transition that follows, if one does.
    pub fn report(
        &mut self,
        pass: Pass,
        evidence: Evidence,
        known: f64,
        verdict: Verdict,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Transition> {
        let frees = match verdict {
            Verdict::Pending | Verdict::Overdue => false,
            // A last resort is one in flight, not one before its content.
            Verdict::Content => !pass.last_resort,
            Verdict::Success | Verdict::Failure { .. } | Verdict::Ignored => true,
        };
        let has_slot = self.probe == Some(pass.serial);
        if frees && has_slot {
            self.probe = None;
        }
        if let Verdict::Failure { hold: Some(hold) } = verdict {
            Hold::pass(&mut self.hold, hold, false, now);
        }
        if let Some(worked) = self.late(pass, verdict, now) {
            self.k = self.k.saturating_sub(1);
            return Some(self.enter(worked, now));
        }
        if pass.generation != self.generation {
            return None;
        }
        if pass.probe && matches!(self.state, State::HalfOpen { .. }) {
            match verdict {
                Verdict::Pending | Verdict::Overdue => {}
                Verdict::Content => self.flowing += u32::from(frees && has_slot),
                Verdict::Success | Verdict::Failure { .. } | Verdict::Ignored => {
                    self.flowing = self.flowing.saturating_sub(u32::from(!has_slot));
                }
            }
        }
        let alarmed = self.listen(evidence, known, now);
        let next = match (self.state, verdict) {
            (State::Closed { .. } | State::Ramp { .. }, Verdict::Failure { hold: Some(hold) }) => {
                self.freeze();
                State::Open { until: hold.until, alarmed: None, late: None }
            }
            (State::Closed { .. } | State::Ramp { .. }, _) if alarmed => self.trip(now, rng),
            (State::Closed { .. }, Verdict::Success) => return self.forgive(now),
            (State::Ramp { .. }, Verdict::Success) => self.climb(now)?,
            (State::HalfOpen { successes }, Verdict::Success) if pass.probe => match self.worked(successes, now) {
                more @ State::HalfOpen { .. } => {
                    self.state = more;
                    return None;
                }
                ramp => ramp,
            },
            // Whoever else would probe need not wait for it: it may hang for a minute.
            (State::HalfOpen { successes }, Verdict::Overdue) if pass.probe && !pass.last_resort => {
                let mut open = self.trip(now, rng);
                if let State::Open { late, .. } = &mut open {
                    *late = Some(Late { serial: pass.serial, successes });
                }
                open
            }
            (State::HalfOpen { .. }, Verdict::Failure { .. }) if pass.probe && !pass.last_resort => self.trip(now, rng),
            (State::Open { .. }, Verdict::Success) if pass.last_resort => State::HalfOpen { successes: 1 },
            _ => return None,
        };
        Some(self.enter(next, now))
    }

    /// Takes in what a sibling's failure says.
    pub fn overhear(&mut self, evidence: Evidence, known: f64, now: Instant, rng: &mut impl Rng) -> Option<Transition> {
        let pass = Pass { serial: 0, generation: self.generation, probe: false, last_resort: false };
        self.report(pass, evidence, known, Verdict::Pending, now, rng)
    }

    /// Takes evidence back that counted since then; closes again if only that had opened it.
    pub fn take_back(&mut self, evidence: Evidence, since: Instant, now: Instant) -> Option<Transition> {
        let raised = self.alarm.add_beyond(self.known.unwrap_or_default(), evidence, now);
        self.run += evidence;
        match self.state {
            State::Open { alarmed: Some(at), .. } if at >= since && !raised => {
                Some(self.enter(State::Closed { since: now, successes: 0 }, now))
            }
            _ => None,
        }
    }

    /// Starts a new generation in the same state, as after a restart: the slot is free, what is in flight is a
    /// straggler.
    pub fn restart(&mut self, keep_statistics: bool, now: Instant) {
        self.generation += 1;
        (self.probe, self.flowing) = (None, 0);
        if !keep_statistics {
            self.rearm(now);
        }
    }

    /// Goes on with other options; the alarm starts again if what it listens for has changed.
    pub fn retune(&mut self, options: BreakerOptions, now: Instant) {
        if options.alarm != self.options.alarm {
            self.alarm = Cusum::new(&options.alarm, now);
            self.rearm(now);
        }
        let cooldown_max = now + options.cooldown_max;
        let held = self.hold.map(|hold| hold.until);
        self.hold.iter_mut().for_each(|hold| hold.retune(options.retry_after_max));
        if let State::Open { until, .. } = &mut self.state {
            // What a provider told follows what is now honoured of it; what is ours, the longest cooldown.
            let longest = self.hold.map_or(cooldown_max, |hold| hold.until.max(cooldown_max));
            *until =
                if Some(*until) == held { self.hold.map_or(*until, |hold| hold.until) } else { (*until).min(longest) };
        }
        self.options = options;
    }

    /// Listens where an alarm means something, and tells whether there is one.
    fn listen(&mut self, evidence: Evidence, known: f64, now: Instant) -> bool {
        if !matches!(self.state, State::Closed { .. } | State::Ramp { .. }) {
            return false;
        }
        if self.alarm.value(now) == 0.0 {
            (self.run, self.known) = (Evidence::NONE, None);
        }
        self.run += evidence;
        self.alarm.add_beyond(*self.known.get_or_insert(known), evidence, now)
    }

    /// Returns the state of an alarm or a failed probe: Open, for longer each time recovery fails.
    fn trip(&mut self, now: Instant, rng: &mut impl Rng) -> State {
        let closed = matches!(self.state, State::Closed { .. });
        if !closed {
            self.k = self.k.saturating_add(1);
        }
        if !matches!(self.state, State::HalfOpen { .. }) {
            self.freeze();
        }
        // 31 doublings of any cooldown are beyond any maximum.
        let doublings = self.k.saturating_sub(PATIENT_REOPENINGS).min(31);
        let cooldown = self.options.cooldown_base.saturating_mul(1 << doublings).min(self.options.cooldown_max);
        let until = now + cooldown.mul_f64(rng.random_range(0.8..=1.0));
        let until = self.hold.map_or(until, |hold| hold.until.max(until));
        State::Open { until, alarmed: closed.then_some(now), late: None }
    }

    /// Returns the state after one more probe that worked.
    fn worked(&self, successes: u32, now: Instant) -> State {
        if successes + 1 < self.needed {
            State::HalfOpen { successes: successes + 1 }
        } else {
            State::Ramp { step: 0, since: now }
        }
    }

    /// Returns the state after a probe that was overdue and works nevertheless: as if nobody had lost patience.
    fn late(&self, pass: Pass, verdict: Verdict, now: Instant) -> Option<State> {
        match (self.state, verdict) {
            (State::Open { late: Some(late), .. }, Verdict::Success) if late.serial == pass.serial => {
                Some(self.worked(late.successes, now))
            }
            _ => None,
        }
    }

    /// Freezes how many probes must work: so many that luck alone would rarely do at the failure rate that opened.
    fn freeze(&mut self) {
        let (min, max) = HALF_OPEN_SUCCESSES;
        let failure_rate = (self.run.failures / self.run.attempts.max(1.0)).clamp(0.0, 1.0);
        let needed = (HALF_OPEN_LUCK.ln() / (-failure_rate).ln_1p()).ceil().clamp(min, max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 2 and 5")]
        let needed = needed as u32;
        self.needed = needed;
    }

    fn forgive(&mut self, now: Instant) -> Option<Transition> {
        if let State::Closed { since, successes } = &mut self.state {
            *successes = successes.saturating_add(1);
            if *successes >= FORGIVEN_SUCCESSES && now.saturating_duration_since(*since) >= FORGIVEN_AFTER {
                self.k = self.k.saturating_sub(1);
                (*since, *successes) = (now, 0);
            }
        }
        None
    }

    /// Returns Closed after the last step; a step before it is no transition.
    fn climb(&mut self, now: Instant) -> Option<State> {
        if let State::Ramp { step, since } = &mut self.state
            && now.saturating_duration_since(*since) >= self.options.ramp_step_min
        {
            if *step + 1 == RAMP.len() {
                return Some(State::Closed { since: now, successes: 0 });
            }
            (*step, *since) = (*step + 1, now);
        }
        None
    }

    /// Makes a transition: the only place that does.
    fn enter(&mut self, state: State, now: Instant) -> Transition {
        let from = self.state();
        self.state = state;
        let is_open = matches!(state, State::Open { .. } | State::HalfOpen { .. });
        self.open_since = is_open.then(|| self.open_since.unwrap_or(now));
        self.generation += 1;
        (self.probe, self.flowing) = (None, 0);
        self.rearm(now);
        Transition { from, to: self.state() }
    }

    fn rearm(&mut self, now: Instant) {
        match self.state {
            State::Closed { .. } => self.alarm.restart(0.0, now),
            State::Ramp { .. } => self.alarm.restart(RAMP_ALARM, now),
            // Stands as it opened, for `take_back`.
            State::Open { .. } | State::HalfOpen { .. } => return,
        }
        (self.run, self.known) = (Evidence::NONE, None);
    }
}

#[cfg(test)]
mod tests;

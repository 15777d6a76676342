//! The circuit breaker of one target.
//!
//! ```text
//!             alarm, or Retry-After             cooldown over, or a last resort worked
//!    Closed ──────────────────────────▶ Open ──────────────────────────────────────▶ HalfOpen
//!     ▲  ▲                              │ ▲ ▲                                          │   │
//!     │  └── taken back (our network) ──┘ │ └────────── a probe failed ────────────────┘   │
//!     │                                   │ alarm, or Retry-After                          │ n probes worked
//!     └── carries what it is asked ─ Ramp ┘          (or is overdue, until it works late)  │
//!                                 ▲────────────────────────────────────────────────────────┘
//! ```
//!
//! Input: admissions and reports of attempts. Output: passes and transitions. Each transition bumps the generation,
//! which every pass carries: a report of an attempt of an older generation may be true, but it is about an older state
//! and never changes the present one. A Retry-After is a clock of its own beside the state, and nothing here ever
//! passes it. How long a cooldown lasts and how fast the way back is follow from how long the trouble has lasted. The
//! breaker knows no keys, no limits and no latencies.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::policy::detector::{Cusum, DetectorOptions, Evidence};
use crate::policy::snapshot::BreakerState;
use crate::policy::suspension::Suspension;
use crate::words::ConfigError;

/// Longer cooldowns are refused: a target that is out for days is to be taken out.
const COOLDOWN_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
const HALF_OPEN_SUCCESSES: (f64, f64) = (2.0, 5.0);
/// The attempts that count as proven when the recovery begins: one probe worked at a time, so the first window admits
/// two.
const PROVEN_FIRST: u32 = 1;
/// The longest time of the pace: by then the target carries everything that is asked of it, or demand is below the
/// pace.
const RAMP_MAX: Duration = Duration::from_secs(60);
/// Each time that a trouble has lasted this long, the window grows by its own length, up to this many times.
const WINDOW_OUTAGE: Duration = Duration::from_secs(60);
const WINDOWS_MAX: f64 = 3.0;
/// The windows of which it is known how many of their attempts had content.
const WINDOWS: u32 = 8;

/// Constants of the breakers that should need no tuning; the simulator shows the effect of each.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerNumbers {
    /// A cooldown lasts this part of the time since the trouble began: a return is noticed at most this much too late.
    pub cooldown_share: f64,
    /// Chance that a target which fails as before passes HalfOpen by luck; it sets how many probes must work.
    pub half_open_luck: f64,
    /// Where the alarm starts in Ramp, in parts of its height: two failures close together reach it, one among many
    /// does not.
    pub ramp_alarm: f64,
    /// The way back lasts this part of the trouble, at least.
    pub ramp_share: f64,
}

impl Default for BreakerNumbers {
    fn default() -> Self {
        Self { cooldown_share: 0.2, half_open_luck: 0.1, ramp_alarm: 0.5, ramp_share: 0.1 }
    }
}

/// The options of breakers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerOptions {
    /// The shortest cooldown. It lasts a fifth of the time since the trouble began. Above 0.
    #[serde(with = "humantime_serde")]
    pub cooldown_base: Duration,
    /// The longest cooldown, at least `cooldown_base` and at most a day.
    #[serde(with = "humantime_serde")]
    pub cooldown_max: Duration,
    /// The longest Retry-After that is honoured: a provider's mistake must not take it out for a year.
    #[serde(with = "humantime_serde")]
    pub retry_after_max: Duration,
    /// How long a recovering target carries at most twice what it has proven, before that may double. After long
    /// outages it is up to three times as long.
    #[serde(with = "humantime_serde")]
    pub ramp_step_min: Duration,
    /// Opens the breaker.
    pub alarm: DetectorOptions,
    #[doc(hidden)]
    #[serde(skip)]
    pub numbers: BreakerNumbers,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            cooldown_base: Duration::from_secs(1),
            cooldown_max: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(24 * 60 * 60),
            ramp_step_min: Duration::from_secs(1),
            alarm: DetectorOptions { p0: 0.02, p1: 0.3, h: 6.0 },
            numbers: BreakerNumbers::default(),
        }
    }
}

impl BreakerOptions {
    /// Returns what is out of its range; `field` is the path of these options.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let Self { cooldown_base: base, cooldown_max: max, .. } = *self;
        let example = humantime::format_duration(base.clamp(Self::default().cooldown_max, COOLDOWN_LIMIT));
        let must = format!("must lie between `cooldown_base` and a day, as \"{example}\"");
        let fine = [
            (
                "cooldown_base",
                !base.is_zero() && base <= COOLDOWN_LIMIT,
                "must be above 0 and at most a day, as \"1s\"",
            ),
            ("cooldown_max", max >= base && max <= COOLDOWN_LIMIT, &must),
        ];
        let mut errors = ConfigError::unless(field, fine);
        errors.extend(self.alarm.check(&format!("{field}.alarm")));
        errors
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        until: Instant,
        /// The overdue probe that opened it, while that may still work.
        late: Option<OverdueProbe>,
    },
    HalfOpen {
        successes: u32,
    },
    Ramp {
        since: Instant,
        load: Load,
    },
}

/// What a recovering target carries: in each window at most twice what worked of those that the best window before it
/// admitted, so that its calls do not return all at once.
#[derive(Clone, Copy, Debug)]
struct Load {
    window: Duration,
    /// When the first window began, and the number of the one that runs.
    since: Instant,
    number: u32,
    /// How many attempts it admitted, and whether that was all that it could at some moment: then demand may be higher.
    admitted: u32,
    filled: bool,
    /// How many had content of those that each of the last windows admitted, by the window's number.
    worked: [u32; WINDOWS as usize],
    /// The most of these, but for the window that runs.
    proven: u32,
    /// Whether the window before it was filled.
    was_filled: bool,
}

impl Load {
    const fn new(window: Duration, now: Instant) -> Self {
        let (worked, proven) = ([0; WINDOWS as usize], PROVEN_FIRST);
        Self { window, since: now, number: 0, admitted: 0, filled: false, worked, proven, was_filled: true }
    }

    /// Returns the number of the window of a moment.
    fn window_of(&self, at: Instant) -> u32 {
        let windows = at.saturating_duration_since(self.since).as_nanos() / self.window.as_nanos().max(1);
        u32::try_from(windows).unwrap_or(u32::MAX)
    }

    /// Returns the load as it is now: a window that is over gives way to the next.
    fn at(mut self, now: Instant) -> Self {
        let passed = self.window_of(now).saturating_sub(self.number);
        if passed == 0 {
            return self;
        }
        let worked = *self.worked_in(self.number);
        self.proven = self.proven.max(worked);
        // Windows without attempts do not count.
        self.was_filled = self.filled && passed == 1;
        (self.admitted, self.filled) = (0, false);
        for _ in 0..passed.min(WINDOWS) {
            self.number += 1;
            *self.worked_in(self.number) = 0;
        }
        self.number = self.window_of(now);
        self
    }

    fn worked_in(&mut self, number: u32) -> &mut u32 {
        &mut self.worked[(number % WINDOWS) as usize]
    }

    /// Counts an attempt that is admitted now.
    fn admit(&mut self, now: Instant) {
        *self = self.at(now);
        self.admitted = self.admitted.saturating_add(1);
        self.filled |= self.is_full();
    }

    /// Counts content of an attempt that was admitted then, for its window; where that was long ago, for this one.
    fn content(&mut self, admitted: Instant, now: Instant) {
        *self = self.at(now);
        let (number, of) = (self.number, self.window_of(admitted));
        let is_known = of < number && number - of < WINDOWS;
        let worked = self.worked_in(if is_known { of } else { number });
        *worked = worked.saturating_add(1);
        let worked = *worked;
        if is_known {
            self.proven = self.proven.max(worked);
        }
    }

    const fn max(&self) -> u32 {
        self.proven.saturating_mul(2)
    }

    const fn is_full(&self) -> bool {
        self.admitted >= self.max()
    }

    /// Returns when the window that runs is over.
    fn ends(&self) -> Instant {
        self.since + self.window.saturating_mul(self.number.saturating_add(1))
    }
}

/// A time in which it was not well: one outage, or several with too little between them to tell them apart.
#[derive(Clone, Copy, Debug)]
struct Outage {
    began: Instant,
    /// When it was over, if it is.
    ended: Option<Instant>,
}

impl Outage {
    /// Returns the trouble of a target that opens now: it goes on unless all was well for as long as it had lasted.
    fn of(before: Option<Self>, now: Instant) -> Self {
        let goes_on = |trouble: &Self| match trouble.ended {
            Some(ended) => now.saturating_duration_since(ended) < ended.saturating_duration_since(trouble.began),
            None => true,
        };
        let began = before.filter(goes_on).map_or(now, |trouble| trouble.began);
        Self { began, ended: None }
    }
}

/// A probe that is overdue, and how many had worked before it.
#[derive(Clone, Copy, Debug)]
struct OverdueProbe {
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

/// The data of the breaker that an attempt carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerStamp {
    /// The attempt's own number.
    pub serial: u64,
    /// When it was admitted.
    pub admitted: Instant,
    /// Generation of the breaker.
    pub generation: u64,
    /// Whether it holds the probe slot.
    pub probe: bool,
    /// Whether it passed only because no other target could serve: its failure proves nothing new.
    pub last_resort: bool,
}

/// The meaning of a report for the breaker.
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
        hold: Option<Suspension>,
    },
    /// It ended without a word, after a time that says something: nothing new to a target that is well, an answer from
    /// one that is being probed. Otherwise the next call would ask the same.
    Silence,
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
    /// The last one, whether or not it is over.
    trouble: Option<Outage>,
    /// When the alarm opened it from Closed, while what opened it may still turn out to be no failure.
    alarmed: Option<Instant>,
    /// Whether the last failure was a silence. A target that refuses is known to refuse; one that is silent may only be
    /// slower than those who asked it were patient.
    is_silent: bool,
    /// The open CUSUM. It belongs to the generation: it listens in Closed and Ramp only, and starts again with each.
    alarm: Cusum,
    /// All evidence since the alarm was last at 0.
    run: Evidence,
    /// The failure rate that was known of the target when that began: a rate that is no worse is not evidence.
    known: Option<f64>,
    /// The part of that evidence's failures that broke off after their beginning.
    broke_off: f64,
    /// Whether it opened for answers that broke off: then an answer proves itself by its end, and not by its beginning.
    by_end: bool,
    /// Probes that must work, frozen at opening.
    needed: u32,
    /// The chance that this many work if it still fails as often as then.
    luck: f64,
    /// The attempt that holds the probe slot.
    probe: Option<u64>,
    /// Probes that had content, gave their slot back, and have not ended: no more than must work.
    flowing: u32,
    hold: Option<Suspension>,
}

impl Breaker {
    /// Returns a closed breaker.
    pub fn new(options: BreakerOptions, now: Instant) -> Self {
        let alarm = Cusum::new(&options.alarm, now);
        let state = State::Closed;
        let (needed, flowing) = (2, 0);
        Self {
            options,
            state,
            open_since: None,
            generation: 0,
            trouble: None,
            alarmed: None,
            is_silent: false,
            alarm,
            run: Evidence::NONE,
            known: None,
            broke_off: 0.0,
            by_end: false,
            needed,
            luck: 0.0,
            probe: None,
            flowing,
            hold: None,
        }
    }

    /// Returns the state.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until, .. } => BreakerState::Open { until },
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Ramp { since, load } => {
                let full_until = load.is_full().then(|| load.ends().min(since + RAMP_MAX));
                BreakerState::Ramp { per_second: f64::from(load.max()) / load.window.as_secs_f64(), full_until }
            }
        }
    }

    /// Returns how many more it lets through now, where that follows from its state: one probe at a time, and while it
    /// recovers what is left of twice what it has proven.
    pub fn room(&self, now: Instant) -> Option<u32> {
        match self.state {
            State::Closed => None,
            State::Open { .. } | State::HalfOpen { .. } => Some(1),
            State::Ramp { load, .. } => {
                let load = load.at(now);
                Some(load.max().saturating_sub(load.admitted))
            }
        }
    }

    /// Returns the chance with which as many probes in a row as had to would have worked had nothing changed.
    pub fn luck(&self) -> f64 {
        self.luck
    }

    /// Returns since when only probes pass, if that is so.
    pub fn open_since(&self) -> Option<Instant> {
        self.open_since
    }

    /// Tells whether only probes pass, for no other reason than silence.
    pub fn is_silent(&self) -> bool {
        self.is_silent && self.open_since.is_some()
    }

    /// Returns the number of transitions and restarts so far.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Tells whether it ever changed its state, or has recent evidence.
    #[cfg(feature = "store")]
    pub fn is_known(&self) -> bool {
        self.generation > 0 || self.run != Evidence::NONE
    }

    /// Returns the Retry-After, which only a look may pass.
    pub fn hold(&self) -> Option<&Suspension> {
        self.hold.as_ref()
    }

    /// Notes that a call was let through to see whether the hold still applies.
    pub fn look(&mut self, now: Instant) {
        self.hold.iter_mut().for_each(|hold| hold.look(now));
    }

    /// Drops the Retry-After that was said when a request was sent, since that was answered before its end: then the
    /// target may be probed at once.
    pub fn drop_hold(&mut self, sent: Instant, now: Instant) {
        let held = self.hold.take_if(|hold| hold.was_said_by(sent));
        if let (State::Open { until, .. }, Some(held)) = (&mut self.state, held)
            && *until <= held.until
        {
            *until = (*until).min(now);
        }
    }

    /// Closes, as if nothing had happened, and drops the Retry-After.
    pub fn reset(&mut self, now: Instant) -> Option<Transition> {
        (self.hold, self.trouble) = (None, None);
        let is_closed = matches!(self.state, State::Closed);
        (!is_closed).then(|| self.enter(State::Closed, now))
    }

    /// Tells whether the probe slot is free. It is free once the cooldown is over: an attempt that still holds it, a
    /// last resort, is of the old generation. As many probes as must work may be on their way to their end: an answer
    /// that begins well can still break off, and more of them would tell no more.
    pub fn is_probe_free(&self, now: Instant) -> bool {
        let is_over = matches!(self.state, State::Open { until, .. } if until <= now);
        is_over || (self.probe.is_none() && self.flowing < self.needed)
    }

    /// Lets an attempt through which the gates have granted, as a probe where one is due.
    pub fn admit(&mut self, serial: u64, last_resort: bool, now: Instant) -> (BreakerStamp, Option<Transition>) {
        let transition = match self.state {
            State::Open { until, .. } if until <= now => Some(self.enter(State::HalfOpen { successes: 0 }, now)),
            _ => None,
        };
        let probe = self.probe.is_none()
            && match self.state {
                State::Closed | State::Ramp { .. } => false,
                State::Open { .. } => last_resort,
                State::HalfOpen { .. } => true,
            };
        if probe {
            self.probe = Some(serial);
        }
        if let State::Ramp { load, .. } = &mut self.state {
            load.admit(now);
        }
        // Once a cooldown is over it is a probe like any other, though it was planned a moment before as a last resort.
        let last_resort = probe && matches!(self.state, State::Open { .. });
        (BreakerStamp { serial, admitted: now, generation: self.generation, probe, last_resort }, transition)
    }

    /// Handles a report of an attempt, and makes the transition that follows, if any. `known` is the failure rate that
    /// is known of the target, where the evidence is of failures that others mask; those that broke off after their
    /// beginning are masked by no target, and no rate of them is usual.
    pub fn report(
        &mut self,
        pass: BreakerStamp,
        evidence: Evidence,
        known: Option<f64>,
        verdict: Verdict,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Transition> {
        let frees = match verdict {
            Verdict::Pending | Verdict::Overdue => false,
            // A last resort is one in flight, not one before its content.
            Verdict::Content => !pass.last_resort,
            Verdict::Success | Verdict::Failure { .. } | Verdict::Silence | Verdict::Ignored => true,
        };
        let has_slot = self.probe == Some(pass.serial);
        if frees && has_slot {
            self.probe = None;
        }
        if let Verdict::Failure { hold: Some(hold) } = verdict {
            Suspension::pass(&mut self.hold, hold, false, now);
        }
        if let Some(worked) = self.late(pass, verdict, now) {
            return Some(self.enter(worked, now));
        }
        if pass.generation != self.generation {
            return None;
        }
        if pass.probe && matches!(self.state, State::HalfOpen { .. }) {
            match verdict {
                Verdict::Pending | Verdict::Overdue => {}
                Verdict::Content => self.flowing += u32::from(frees && has_slot),
                Verdict::Success | Verdict::Failure { .. } | Verdict::Silence | Verdict::Ignored => {
                    self.flowing = self.flowing.saturating_sub(u32::from(!has_slot));
                }
            }
        }
        let proves = if self.by_end { Verdict::Success } else { Verdict::Content };
        if let State::Ramp { load, .. } = &mut self.state
            && verdict == proves
        {
            load.content(pass.admitted, now);
        }
        let alarmed = self.listen(evidence, known, now);
        let any = self.is_silent;
        self.is_silent = match verdict {
            Verdict::Silence => true,
            Verdict::Overdue if pass.probe || evidence.failures > 0.0 => true,
            Verdict::Failure { .. } => false,
            _ => self.is_silent,
        };
        let next = match (self.state, verdict) {
            (State::Closed | State::Ramp { .. }, Verdict::Failure { hold: Some(hold) }) => {
                self.freeze();
                State::Open { until: hold.until, late: None }
            }
            (State::Closed | State::Ramp { .. }, _) if alarmed => self.trip(now, rng),
            (State::Ramp { since, load }, Verdict::Success) if self.is_back(since, load.at(now), now) => State::Closed,
            (State::HalfOpen { successes }, Verdict::Success) if pass.probe || any => match self.worked(successes, now)
            {
                more @ State::HalfOpen { .. } => {
                    self.state = more;
                    return None;
                }
                ramp => ramp,
            },
            // Other probes do not wait for it: it may hang for a minute.
            (State::HalfOpen { successes }, Verdict::Overdue) if pass.probe => {
                let mut open = self.trip(now, rng);
                if let State::Open { late, .. } = &mut open {
                    *late = Some(OverdueProbe { serial: pass.serial, successes });
                }
                open
            }
            (State::HalfOpen { .. }, Verdict::Failure { .. } | Verdict::Silence) if pass.probe => self.trip(now, rng),
            // Where many are asked as a last resort, whichever is answered proves it.
            (State::Open { .. }, Verdict::Success) if pass.last_resort || any => State::HalfOpen { successes: 1 },
            _ => return None,
        };
        Some(self.enter(next, now))
    }

    /// Handles evidence from a failure of a sibling.
    pub fn sibling_failed(
        &mut self,
        evidence: Evidence,
        known: f64,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Transition> {
        let generation = self.generation;
        let pass = BreakerStamp { serial: 0, admitted: now, generation, probe: false, last_resort: false };
        self.report(pass, evidence, Some(known), Verdict::Pending, now, rng)
    }

    /// Takes evidence back that counted since then; closes again if only that had opened it.
    pub fn take_back(&mut self, evidence: Evidence, since: Instant, now: Instant) -> Option<Transition> {
        let raised = self.alarm.add_beyond(self.known.unwrap_or_default(), evidence, now);
        self.run += evidence;
        (self.alarmed.is_some_and(|at| at >= since) && !raised).then(|| self.enter(State::Closed, now))
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

    /// Notes that the machine slept for this time: an open breaker's waits are shortened by it.
    pub fn slept(&mut self, by: Duration) {
        self.hold.iter_mut().for_each(|hold| hold.slept(by));
        if let State::Open { until, .. } = &mut self.state {
            *until = until.checked_sub(by).unwrap_or(*until);
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
            // A time that the provider told is cut to what is now honoured of it; a time of our own is cut to the
            // longest cooldown.
            let longest = self.hold.map_or(cooldown_max, |hold| hold.until.max(cooldown_max));
            *until =
                if Some(*until) == held { self.hold.map_or(*until, |hold| hold.until) } else { (*until).min(longest) };
        }
        self.options = options;
    }

    /// Adds evidence in the states that have an alarm, and tells whether it is raised.
    fn listen(&mut self, evidence: Evidence, known: Option<f64>, now: Instant) -> bool {
        if !matches!(self.state, State::Closed | State::Ramp { .. }) {
            return false;
        }
        if self.alarm.value(now) == 0.0 {
            self.forget_run();
        }
        self.run += evidence;
        self.broke_off += if known.is_none() { evidence.failures } else { 0.0 };
        let known = known.map_or(0.0, |known| *self.known.get_or_insert(known));
        self.alarm.add_beyond(known, evidence, now)
    }

    fn forget_run(&mut self) {
        (self.run, self.known, self.broke_off) = (Evidence::NONE, None, 0.0);
    }

    /// Returns the state after an alarm or a failed probe: Open, for a cooldown that grows with the length of the
    /// trouble.
    fn trip(&mut self, now: Instant, rng: &mut impl Rng) -> State {
        match self.state {
            State::Closed => self.alarmed = Some(now),
            // What a probe was told is told.
            _ if !self.is_silent => self.alarmed = None,
            _ => {}
        }
        if !matches!(self.state, State::HalfOpen { .. }) {
            self.freeze();
        }
        let lasting = self.lasting(now).mul_f64(self.options.numbers.cooldown_share);
        let cooldown = lasting.clamp(self.options.cooldown_base, self.options.cooldown_max);
        let until = now + cooldown.mul_f64(rng.random_range(0.8..=1.0));
        let until = self.hold.map_or(until, |hold| hold.until.max(until));
        State::Open { until, late: None }
    }

    /// Returns how long the trouble has lasted that it is in, or would be in if it opened now.
    fn lasting(&self, now: Instant) -> Duration {
        now.saturating_duration_since(Outage::of(self.trouble, now).began)
    }

    /// Returns the state after one more probe that worked.
    fn worked(&self, successes: u32, now: Instant) -> State {
        if successes + 1 < self.needed {
            State::HalfOpen { successes: successes + 1 }
        } else {
            let times = self.lasting(now).div_duration_f64(WINDOW_OUTAGE).clamp(1.0, WINDOWS_MAX);
            State::Ramp { since: now, load: Load::new(self.options.ramp_step_min.mul_f64(times), now) }
        }
    }

    /// Returns the state after a probe that was overdue and works nevertheless: as if it had never been overdue.
    fn late(&self, pass: BreakerStamp, verdict: Verdict, now: Instant) -> Option<State> {
        match (self.state, verdict) {
            (State::Open { late: Some(late), .. }, Verdict::Success) if late.serial == pass.serial => {
                Some(self.worked(late.successes, now))
            }
            _ => None,
        }
    }

    /// Fixes how many probes must work: enough that they would rarely all work by luck at the failure rate that opened
    /// the breaker.
    fn freeze(&mut self) {
        let (min, max) = HALF_OPEN_SUCCESSES;
        let luck = self.options.numbers.half_open_luck;
        let needed = (luck.ln() / (-self.run.rate()).ln_1p()).ceil().clamp(min, max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 2 and 5")]
        let needed = needed as u32;
        (self.needed, self.luck) = (needed, (1.0 - self.run.rate()).powf(f64::from(needed)));
        self.by_end = self.broke_off * 2.0 > self.run.failures;
    }

    /// Tells whether it is back: it carries all that it is asked for, and has done so for as long as its trouble
    /// requires.
    fn is_back(&self, since: Instant, load: Load, now: Instant) -> bool {
        let age = now.saturating_duration_since(since);
        let carries = !load.was_filled && !load.filled && age >= load.window;
        let trouble = self.trouble.map_or(Duration::ZERO, |trouble| since.saturating_duration_since(trouble.began));
        age >= RAMP_MAX || (carries && age >= trouble.mul_f64(self.options.numbers.ramp_share).min(RAMP_MAX / 2))
    }

    /// Makes a transition: the only place that does.
    fn enter(&mut self, state: State, now: Instant) -> Transition {
        let from = self.state();
        self.state = state;
        let is_open = matches!(state, State::Open { .. } | State::HalfOpen { .. });
        self.open_since = is_open.then(|| self.open_since.unwrap_or(now));
        if is_open {
            self.trouble = Some(Outage::of(self.trouble, now));
        } else if let (State::Closed, Some(trouble)) = (state, &mut self.trouble) {
            trouble.ended = trouble.ended.or(Some(now));
        }
        self.generation += 1;
        (self.probe, self.flowing) = (None, 0);
        self.rearm(now);
        Transition { from, to: self.state() }
    }

    fn rearm(&mut self, now: Instant) {
        match self.state {
            State::Closed => self.alarm.restart(0.0, now),
            State::Ramp { .. } => self.alarm.restart(self.options.numbers.ramp_alarm, now),
            // Stays as it was when it opened, for `take_back`.
            State::Open { .. } | State::HalfOpen { .. } => return,
        }
        (self.alarmed, self.is_silent) = (None, false);
        self.forget_run();
    }
}

persist!(struct BreakerNumbers { cooldown_share, half_open_luck, ramp_alarm, ramp_share });
persist!(struct BreakerOptions {
    cooldown_base, cooldown_max, retry_after_max, ramp_step_min, alarm, numbers,
});
persist!(enum State { Closed, Open { until, late }, HalfOpen { successes }, Ramp { since, load } });
persist!(struct Load { window, since, number, admitted, filled, worked, proven, was_filled });
persist!(struct Outage as Trouble { began, ended });
persist!(struct OverdueProbe as Late { serial, successes });
persist!(struct Breaker {
    options, state, open_since, generation, trouble, alarmed, is_silent, alarm, run, known, needed, luck, hold,
} anew { probe, flowing, broke_off, by_end });

#[cfg(test)]
mod tests;

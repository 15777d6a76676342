//! The published health of a target: numbers only, small and `Copy`, read by routing and by people.

use std::time::{Duration, Instant};

use super::latency::{Latency, MODEL_P999, P90_SAMPLES};
use super::time_left::{self, Pace};
use crate::words::named::named;
use crate::words::{Cause, FailureClass, Reported};

/// No pause within an answer is long before this: models think between two words, too.
const PAUSE_MIN: Duration = Duration::from_secs(3);

/// State of a target's circuit breaker. Electrical: Closed lets through, Open stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BreakerState {
    /// Lets everything through.
    Closed,
    /// Lets nothing through until then; afterwards the next admission is a probe.
    Open {
        /// End of the cooldown.
        until: Instant,
    },
    /// Lets one probe through at a time.
    HalfOpen,
    /// Recovering: carries at most twice what it has proven, where another target can serve.
    Ramp {
        /// How many attempts a second that is.
        per_second: f64,
        /// Until when it carries no more calls, where that much is reached.
        full_until: Option<Instant>,
    },
}

impl BreakerState {
    /// Returns the state's name as events and metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
            Self::Ramp { .. } => "ramp",
        }
    }
}

/// Why a target is out, whatever the state of its breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Disabled {
    /// A provider's verdict: key, money, model. Rechecked at `until`.
    Verdict {
        /// Which verdict.
        class: FailureClass,
        /// When it is tried again.
        until: Instant,
    },
    /// Its provider's actor restarts or rests until then; `None` is for good.
    Down {
        /// When the actor is started again.
        until: Option<Instant>,
    },
    /// An operator's override; `None` is until lifted.
    Operator {
        /// When it ends by itself.
        until: Option<Instant>,
    },
}

/// Something that keeps a key or a target of a provider out, and may be lifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexedHold {
    /// Which target; `None` is all of the provider's.
    pub target: Option<usize>,
    /// With which key; `None` is with any.
    pub key: Option<usize>,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
    /// Until when; `None` is until lifted, or until it has been probed.
    pub until: Option<Instant>,
}

/// An operator's override on a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Force {
    /// Admits nothing until then, or until lifted.
    Off {
        /// When it ends by itself.
        until: Option<Instant>,
    },
    /// Admits in any state of the breaker (never against a Retry-After or a disabled key) until then, or until lifted.
    On {
        /// When it ends by itself.
        until: Option<Instant>,
    },
    /// Ends the override.
    Auto,
}

/// The published health of one target.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// When it was published. What is read without a wait is newer: `in_flight`, `in_flight_max`, `admitted`, `room`,
    /// `paced_until`, and whether its provider is down.
    pub published: Instant,
    /// The breaker.
    pub breaker: BreakerState,
    /// Counts the breaker's transitions and the provider's restarts.
    pub generation: u64,
    /// Whether HalfOpen (or Open past its cooldown) has its probe slot free.
    pub probe_free: bool,
    /// Whether the error detector says: worse than it should be, not bad enough to open.
    pub degraded: bool,
    /// Whether the latency detector says so.
    pub slow: bool,
    /// Whether the target is out, whatever the state of its breaker, and why.
    pub disabled: Option<Disabled>,
    /// Whether an operator forces it on, overriding the breaker.
    pub forced_on: bool,
    /// When the first of its keys is past its rate limit; `None` while one is.
    pub rate_limited_until: Option<Instant>,
    /// The end of its Retry-After beside a failure of its own.
    pub overloaded_until: Option<Instant>,
    /// Until when the limits of all its keys are used up except their reserve.
    pub paced_until: Option<Instant>,
    /// How many more requests there is room for: by those limits, as far as they are known, and while it comes back by
    /// what it has proven.
    pub room: Option<u32>,
    /// From when on one call that has no other target to ask may be let through a limit, an overload or a verdict, to
    /// test whether it still holds; `None` where there is none.
    pub look_from: Option<Instant>,
    /// When those are expected to be over: the end of a time that was told, and the next look at a guess of ours.
    pub back_from: Option<Instant>,
    /// What is left of the limits of the key that is used next, 0 to 1: as its provider last said, less what was
    /// admitted since. `None` is unknown. It only orders keys and refuses nothing.
    pub headroom: Option<f64>,
    /// Its provider's state by hints, if there are any.
    pub hint: Option<Reported>,
    /// Posterior mean of the probability that an attempt fails.
    pub failure_rate: f64,
    /// What `failure_rate` would be without any evidence.
    pub failure_rate_prior: f64,
    /// Decayed weight of the evidence behind `failure_rate`, in attempts.
    pub evidence: f64,
    /// Up to how many in flight it is asked as a last resort though its breaker lets through probes at most: all, where
    /// it is known to answer more often than not; what it has carried lately, where only silence opened the breaker.
    pub resort_max: u32,
    /// Time to first token.
    pub ttft: Latency,
    /// Time to the whole answer, where it comes in one burst.
    pub reply: Latency,
    /// Time per output token.
    pub tpot: Latency,
    /// Time to first token while healthy.
    pub ttft_usual: Latency,
    /// The same of answers that come in one burst.
    pub reply_usual: Latency,
    /// The most time until an attempt's first token, for a prompt of no length, unless the user says otherwise.
    pub first_token_max: Duration,
    /// The same of answers that come in one burst.
    pub reply_max: Duration,
    /// Decayed mean age at which failed attempts failed.
    pub detect: Duration,
    /// Whether the last answer that it began broke off, or stands still.
    pub breaks_off: bool,
    /// Attempts in flight.
    pub in_flight: u32,
    /// The most attempts in flight.
    pub in_flight_max: u32,
    /// Attempts admitted since the provider was configured.
    pub admitted: u64,
    /// Attempts that failed since then, as health counts failures.
    pub failed: u64,
    /// When an attempt was last admitted.
    pub last_used: Option<Instant>,
}

/// The part of [`Health`] that admission decides by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gates {
    /// As in [`Health`].
    pub breaker: BreakerState,
    /// As in [`Health`].
    pub probe_free: bool,
    /// As in [`Health`].
    pub disabled: Option<Disabled>,
    /// As in [`Health`].
    pub forced_on: bool,
    /// As in [`Health`].
    pub rate_limited_until: Option<Instant>,
    /// As in [`Health`].
    pub overloaded_until: Option<Instant>,
    /// As in [`Health`].
    pub paced_until: Option<Instant>,
    /// As in [`Health`].
    pub look_from: Option<Instant>,
    /// As in [`Health`].
    pub back_from: Option<Instant>,
    /// As in [`Health`].
    pub in_flight: u32,
    /// As in [`Health`].
    pub in_flight_max: u32,
    /// As in [`Health`].
    pub resort_max: u32,
}

impl Gates {
    /// Returns which gate refuses an attempt, if one does, and when a call that has no other target may be let in. The
    /// last resort passes an open breaker: one at a time, or as many as `resort_max` says. Where every target loses
    /// some of its calls, each of them is open now and then, and at times all are. Once in a long while the last resort
    /// also passes what a provider said, because that may be wrong; never an operator's override or a full target.
    pub fn refusal(&self, last_resort: bool, now: Instant) -> Option<Refusal> {
        self.refused(last_resort, last_resort && self.may_look(now), now)
    }

    /// Returns the same for a call that waits for one of its targets to come back, and has no other: it looks as the
    /// last resort does, and leaves an open breaker to its probes.
    pub(crate) fn refusal_of_waiting(&self, now: Instant) -> Option<Refusal> {
        self.refused(false, self.may_look(now), now)
    }

    /// Returns which gate refuses an attempt, and when calls are expected to be admitted again: what a caller is told.
    /// A look before the end of a time that was told is an exception, and most looks are refused again.
    pub(crate) fn expected(&self, now: Instant) -> Option<Refusal> {
        Self { look_from: self.back_from, ..*self }.refusal(false, now)
    }

    /// Tells whether a call that has no other target may be let through what the provider said.
    pub(crate) fn may_look(&self, now: Instant) -> bool {
        self.look_from.is_some_and(|from| from <= now)
    }

    /// Returns which gate refuses an attempt. A target that it enters only as an exception is not full, whatever it
    /// lacks: it is out for the reason for which all others are.
    fn refused(&self, last_resort: bool, looks: bool, now: Instant) -> Option<Refusal> {
        let refusal = self.shut(last_resort, looks, now)?;
        let admits = self.forced_on || matches!(self.breaker, BreakerState::Closed | BreakerState::Ramp { .. });
        let gate = match refusal.gate {
            gate if !refusal.is_full() => gate,
            _ if !admits => Gate::Breaker,
            gate => Self { breaker: BreakerState::Closed, ..*self }.shut(false, false, now).map_or(gate, |it| it.gate),
        };
        Some(Refusal { gate, ..refusal })
    }

    fn shut(&self, last_resort: bool, looks: bool, now: Instant) -> Option<Refusal> {
        let past = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let word = |until: Option<Instant>| until.filter(|_| !looks).map(Some);
        let disabled = match self.disabled {
            Some(Disabled::Verdict { until, .. }) => word(Some(until)),
            Some(Disabled::Operator { until } | Disabled::Down { until }) => Some(until),
            None => None,
        };
        let breaker = match self.breaker {
            BreakerState::Closed => None,
            _ if self.forced_on => None,
            BreakerState::Ramp { full_until, .. } => full_until.filter(|_| !last_resort).map(Some),
            BreakerState::Open { until } if until > now && !last_resort => Some(Some(until)),
            _ if last_resort && self.in_flight < self.resort_max => None,
            BreakerState::Open { .. } | BreakerState::HalfOpen => (!self.probe_free).then_some(None),
        };
        let rate_limited = word(self.rate_limited_until);
        let overloaded = word(self.overloaded_until);
        let full = (self.in_flight >= self.in_flight_max).then_some(None);
        let paced = self.paced_until.map(Some);
        let disabled_by =
            if matches!(self.disabled, Some(Disabled::Down { .. })) { Gate::Down } else { Gate::Disabled };
        let gates = [
            (disabled_by, disabled),
            (Gate::RateLimited, rate_limited),
            (Gate::Overloaded, overloaded),
            (Gate::Breaker, breaker),
            (Gate::Paced, paced),
            (Gate::InFlight, full),
        ];
        // A word keeps a call out no longer than until the next look.
        let verdict = matches!(self.disabled, Some(Disabled::Verdict { .. }));
        let is_word =
            |gate| matches!(gate, Gate::RateLimited | Gate::Overloaded) || (gate == Gate::Disabled && verdict);
        let let_in = |gate, until: Option<Instant>| match self.look_from {
            Some(from) if is_word(gate) => until.map(|until| until.min(from.max(now))),
            _ => until,
        };
        let mut refusing =
            gates.into_iter().filter_map(|(gate, shut)| Some((gate, shut.filter(|&until| !past(until))?)));
        let (gate, first) = refusing.next()?;
        let forever = gate == disabled_by && first.is_none();
        let latest = refusing.fold(let_in(gate, first), |latest, (gate, until)| latest.max(let_in(gate, until)));
        Some(Refusal { gate, until: latest.filter(|_| !forever) })
    }
}

impl Health {
    /// Returns the gates as published.
    pub fn gates(&self) -> Gates {
        let Self { breaker, probe_free, disabled, forced_on, rate_limited_until, overloaded_until, .. } = *self;
        let Self { paced_until, look_from, back_from, in_flight, in_flight_max, resort_max, .. } = *self;
        Gates {
            breaker,
            probe_free,
            disabled,
            forced_on,
            rate_limited_until,
            overloaded_until,
            paced_until,
            look_from,
            back_from,
            in_flight,
            in_flight_max,
            resort_max,
        }
    }

    /// Tells whether its next answer is better shown once it is whole: it is asked to find out whether it still breaks
    /// off what it begins, and a caller that saw a beginning can be given no other.
    pub fn shows_whole(&self) -> bool {
        self.breaks_off && matches!(self.breaker, BreakerState::Open { .. } | BreakerState::HalfOpen)
    }

    /// Returns how many more attempts it has room for.
    pub fn free(&self) -> u32 {
        let places = self.in_flight_max.saturating_sub(self.in_flight);
        self.room.map_or(places, |room| places.min(room.max(1)))
    }

    /// Returns why an attempt is refused, for the gate that refuses it.
    pub fn cause(&self, gate: Gate) -> Cause {
        match (gate, self.disabled) {
            (Gate::Disabled, Some(Disabled::Verdict { class, .. })) => Cause::Failure(class),
            (Gate::Disabled, _) => Cause::Operator,
            (Gate::RateLimited | Gate::Paced, _) => Cause::Failure(FailureClass::RateLimited),
            (Gate::Overloaded, _) => Cause::Failure(FailureClass::Overloaded),
            (Gate::Breaker, _) => Cause::Breaker,
            (Gate::InFlight, _) => Cause::Full,
            (Gate::Down | Gate::Budget, _) => Cause::Down,
        }
    }

    /// Returns how long an answer usually takes, as last published.
    pub fn pace(&self, prompt_tokens: u32, whole: bool, output_max: Option<u32>) -> Pace {
        Pace::of(&self.ttft, &self.reply, &self.tpot, prompt_tokens, whole, output_max)
    }

    /// Returns how long an answer of this many tokens all but surely takes at least, as far as that was measured: a
    /// call with less time is not worth a place. A guess refuses no call.
    pub fn takes(&self, prompt_tokens: u32, whole: bool, output_tokens: u32) -> Duration {
        let first = if whole { &self.reply } else { &self.ttft };
        if first.samples == 0 {
            return Duration::ZERO;
        }
        let rest = if whole || self.tpot.is_assumed() { 0 } else { output_tokens };
        let most = if first.samples < P90_SAMPLES { first.mean } else { first.p90 };
        time_left::with_slack(Latency::at(most, prompt_tokens) + self.tpot.p50.saturating_mul(rest))
    }

    /// Returns how long a pause within an answer may be before another attempt is to join it.
    pub fn pause_max(&self) -> Duration {
        self.tpot.p50.mul_f64(MODEL_P999).max(PAUSE_MIN)
    }

    /// Tells, as last published, which gate refuses an attempt and when to come back.
    pub fn refusal(&self, last_resort: bool, now: Instant) -> Option<Refusal> {
        self.gates().refusal(last_resort, now)
    }
}

/// Why a target does not admit an attempt now, and when it may.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// Which gate refused.
    pub gate: Gate,
    /// When to come back: when it opens, or for a call that has no other target when the next look is due. `None` is
    /// unknown (an operator's override, a free place).
    pub until: Option<Instant>,
}

impl Refusal {
    /// Tells whether the target is well, and only lacks a place.
    pub fn is_full(&self) -> bool {
        matches!(self.gate, Gate::InFlight | Gate::Paced)
    }

    /// Tells whether it was said that the target is to rest.
    pub fn is_word(&self) -> bool {
        matches!(self.gate, Gate::Disabled | Gate::RateLimited | Gate::Overloaded | Gate::Down)
    }
}

/// The gates of a target's admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gate {
    /// Key, money, model, or an operator.
    Disabled,
    /// All keys wait for their rate limit.
    RateLimited,
    /// The limits of all keys are used up except their reserve.
    Paced,
    /// Its Retry-After beside a failure of its own has not passed.
    Overloaded,
    /// The breaker is open, or its probe is taken.
    Breaker,
    /// As many attempts in flight as allowed.
    InFlight,
    /// The provider's actor is not there: restarting, resting, or retired.
    Down,
    /// A budget has no room for what it is expected to cost.
    Budget,
}
named!(Gate {
    Disabled = "disabled",
    RateLimited = "rate limited",
    Paced = "paced",
    Overloaded = "overloaded",
    Breaker = "breaker open",
    InFlight = "too many in flight",
    Down = "provider down",
    Budget = "over budget",
});

persist!(enum Force { Off { until }, On { until }, Auto });

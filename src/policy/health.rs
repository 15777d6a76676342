//! The health of one target: how often it fails, how fast it answers, and whether both are as they should be.
//!
//! Input: the reports of attempts. Output: numbers, two flags, and the [`Evidence`] of a report, which the breaker's
//! alarm uses, too. This is the one place that weighs events: when a success counts, that a burst is one event, that an
//! overdue attempt counts as failed until its token comes. It never admits, refuses or opens anything.

mod bursts;
mod summary;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::bursts::Bursts;
pub use self::summary::AttemptSummary;
#[cfg(test)]
use self::summary::BLOCKED_NO_FAULT;
use crate::policy::detector::{Cusum, DetectorOptions, Evidence};
use crate::policy::latency::{Latency, MODEL_P999, P90_SAMPLES};
use crate::policy::mean::{DecayedMean, Expected, Fade};
use crate::policy::time_left::{Pace, reached};
use crate::policy::window::{Baseline, Scale, Window};
use crate::words::{ConfigError, FailureClass, ModelClass, Scope};

/// The highest failure rate that is believed, so that no target is excluded for ever.
const FAILURE_RATE_MAX: f64 = 0.999;
/// Guess of the age at which attempts fail, and the weight of that guess in attempts.
const DETECT_PRIOR: Duration = Duration::from_secs(1);
const DETECT_PRIOR_MASS: f64 = 2.0;
/// In means no attempt counts as older than this.
const DETECT_MAX: Duration = Duration::from_secs(600);
/// Guess of the time per output token.
const PER_TOKEN_PRIOR: Duration = Duration::from_millis(20);
/// Guess of what a whole answer takes beyond its first token: 100 tokens.
const REST_PRIOR: Duration = Duration::from_secs(2);
/// Limits of the time for a whole answer: its length is not known before, and one of 8 000 tokens takes minutes even if
/// all others were short.
const REPLY_MAX: (Duration, Duration) = (Duration::from_secs(180), Duration::from_secs(600));
/// A whole answer is given up after this many times its p99.
const REPLY_P99_MAX: u32 = 3;
/// The weight of a silence that may have been a slow answer, where nothing is known of how long one takes.
const DOUBT: f64 = 0.5;
/// The weight of a silence of a target that never said a word while another one, asked later, was quicker. It is rather
/// dead than worse: as evidence that it always fails this is 1.4 failures, of which two open a breaker.
const NEVER_HEARD: f64 = 1.5;
/// Silence of a probe counts from this part of the usual time on.
const PROBE_SILENCE: u32 = 2;
/// No median is believed to be longer: it is what the histogram holds.
const MEDIAN_MAX: Duration = Duration::from_secs(600);
/// A gap between tokens is overdue past the model's q99.9, but not before this.
const GAP_OVERDUE_MIN: Duration = Duration::from_secs(1);
/// How long connect failures can be taken back, and how finely they are remembered.
const TAKE_BACK_MAX: Duration = Duration::from_secs(5);
const TAKE_BACK_STEP: Duration = Duration::from_millis(50);

/// The options of a target's health.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// Share of attempts that is expected to fail before anything is known, in (0, 1). An idle target returns to it.
    pub failure_rate_prior: f64,
    /// Weight of that expectation, in attempts, above 0: with more, a few outcomes say less.
    pub failure_rate_prior_mass: f64,
    /// Raises the flag Degraded: worse than it should be, not bad enough to open the breaker.
    pub degraded: DetectorOptions,
    /// Raises the flag slow, on the share of attempts slower than the baseline's p95: `p0` is 5 % by construction.
    pub slow: DetectorOptions,
    #[doc(hidden)]
    #[serde(skip)]
    pub numbers: HealthNumbers,
}

/// Constants of health that should need no tuning; the simulator shows the effect of each.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthNumbers {
    /// What each attempt leaves of the weight of those before it: the last 33 decide.
    pub kept: f64,
    /// Time constant with which the weight of failures and of their age is lost.
    pub failures_fade: Duration,
    /// Time constant with which the weight of times is lost: a few samples then show another pace.
    pub times_fade: Duration,
    /// Time constant with which all means return to what is usual: outages last about an hour.
    pub mean_fade: Duration,
    /// What a failure of the endpoint weighs on its other targets.
    pub sibling_weight: f64,
}

impl Default for HealthNumbers {
    fn default() -> Self {
        Self {
            kept: 0.97,
            failures_fade: Duration::from_secs(20 * 60),
            times_fade: Duration::from_secs(6 * 60),
            mean_fade: Duration::from_secs(60 * 60),
            sibling_weight: 0.2,
        }
    }
}

impl HealthNumbers {
    const fn fade(&self, weight: Duration) -> Fade {
        Fade { kept: self.kept, weight, mean: self.mean_fade }
    }
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            failure_rate_prior: 0.005,
            failure_rate_prior_mass: 10.0,
            degraded: DetectorOptions { p0: 0.01, p1: 0.05, h: 5.0 },
            slow: DetectorOptions { p0: 0.05, p1: 0.3, h: 9.0 },
            numbers: HealthNumbers::default(),
        }
    }
}

impl HealthOptions {
    /// Returns what is out of its range; `field` is the path of these options.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let Self { failure_rate_prior: prior, failure_rate_prior_mass: mass, .. } = *self;
        let fine = [
            ("failure_rate_prior", prior > 0.0 && prior < 1.0, "must lie between 0 and 1, as 0.005"),
            ("failure_rate_prior_mass", mass > 0.0 && mass.is_finite(), "must be above 0, as 10.0"),
        ];
        let mut errors = ConfigError::unless(field, fine);
        errors.extend(self.degraded.check(&format!("{field}.degraded")));
        errors.extend(self.slow.check(&format!("{field}.slow")));
        errors
    }
}

/// A report of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Report {
    /// `overdue_after` passed without content. Once an attempt.
    Overdue,
    /// The first content token came.
    Content {
        /// The attempt's age then.
        after: Duration,
    },
    /// A gap between tokens has become longer than `gap_overdue_after`. Once a gap.
    Gap,
    /// The token that ends such a gap came.
    GapEnded,
    /// It is over. The last report of an attempt.
    Ended(Outcome),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// With a terminal event and a usable answer.
    Success {
        /// Time per output token, where the answer was long enough to tell.
        tpot: Option<Duration>,
    },
    /// It failed.
    Failure {
        /// The class of its failure.
        class: FailureClass,
        /// How far the failure reaches.
        scope: Scope,
        /// When the provider wants to be asked again.
        retry_after: Option<Instant>,
    },
    /// It was no longer wanted.
    Cancelled(CancelReason),
    /// It panicked or was killed, or the runtime stopped.
    Crashed,
    /// A permit was granted and nothing was ever sent.
    Unused,
}

/// Why an attempt's answer is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller left or gave the call up, and its limit is not known.
    Left,
    /// The call's own time was up, or the call ended otherwise.
    Ended,
    /// Another attempt of the call was faster.
    Lost,
    /// The same, but that one was asked later, because this one had been silent for too long.
    Overtaken,
}

/// An attempt's progress, kept between its reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Progress {
    /// Nothing.
    #[default]
    Waiting,
    /// It is overdue: it counts as a failure of this weight until content comes.
    Overdue(f64),
    /// Its content came.
    Flowing,
    /// Its content paused: it counts as a failure of this weight until it goes on.
    Stalled(f64),
}

impl Progress {
    /// Tells whether it has had content: if it fails now, no other target can give the same answer unseen.
    pub const fn has_begun(self) -> bool {
        matches!(self, Self::Flowing | Self::Stalled(_))
    }
}

/// The circumstances of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportContext {
    /// When the attempt started.
    pub started: Instant,
    /// Length of its prompt.
    pub prompt_tokens: u32,
    /// Whether its answer comes whole, in one burst: its first token is its last.
    pub whole: bool,
    /// The caller's limit of its answer.
    pub output_max: Option<u32>,
    /// Whether it is configured how long it may be silent.
    pub limited: bool,
    /// Whether the target's breaker is Closed: only then a latency is normal.
    pub closed: bool,
    /// Whether the local network is down: then no connect failure is the provider's.
    pub offline: bool,
}

/// The evidence of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportEvidence {
    /// For the target itself.
    pub own: Evidence,
    /// For each sibling behind the same endpoint.
    pub siblings: Evidence,
    /// Whether it ended without a byte after so long that this says something of the target.
    pub silent: bool,
    /// What earlier silences had counted by a guess, if content has refuted that.
    pub refuted: Option<GuessedFailures>,
}

/// Failures that may be none: calls that were given up as late by a guess, because it is not known how long an answer
/// takes. If the guess was wrong, they do not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuessedFailures {
    /// When the first of them counted.
    pub since: Instant,
    weight: f64,
}

impl GuessedFailures {
    /// Returns what takes them back.
    pub fn evidence(&self) -> Evidence {
        Evidence::failure(-self.weight)
    }
}

/// The timers of one attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timers {
    /// Age at which an attempt without content counts as failed until content comes.
    pub overdue_after: Duration,
    /// Length of a gap between tokens from which it counts so.
    pub gap_overdue_after: Duration,
    /// Age at which an attempt without content is given up, unless the user says otherwise.
    pub first_token_max: Duration,
}

/// The health of one target.
#[derive(Clone, Debug)]
pub struct TargetHealth {
    class: ModelClass,
    degraded: Cusum,
    slow: Cusum,
    failure_rate: DecayedMean,
    /// The failure rate with past outages included: a rate that is no worse is not evidence. Only of failures before
    /// content, which another target masks.
    known_rate: DecayedMean,
    detect: DecayedMean,
    ttft: LatencyHistory,
    /// Of answers that come whole.
    reply: LatencyHistory,
    tpot: Window,
    tpot_mean: Expected,
    /// What its failures weigh on its siblings.
    sibling_weight: f64,
    bursts: Bursts,
    /// When its last report came.
    heard: Option<Instant>,
    /// What counted by a guess since then.
    guessed: Option<GuessedFailures>,
    /// Weight of connect failures by the time they counted, for `take_back`.
    connects: VecDeque<(Instant, f64)>,
}

impl TargetHealth {
    /// Returns the health of a target of which nothing is known.
    pub fn new(options: &HealthOptions, class: ModelClass, ttft_median: Option<Duration>, now: Instant) -> Self {
        let median = ttft_median.unwrap_or(match class {
            ModelClass::Chat => Duration::from_secs(1),
            ModelClass::Reasoning => Duration::from_secs(10),
        });
        let median = median.min(MEDIAN_MAX);
        let HealthOptions { failure_rate_prior: prior, failure_rate_prior_mass: mass, ref numbers, .. } = *options;
        let (failures, times) = (numbers.fade(numbers.failures_fade), numbers.fade(numbers.times_fade));
        Self {
            class,
            degraded: Cusum::new(&options.degraded, now),
            slow: Cusum::new(&options.slow, now),
            failure_rate: DecayedMean::new(prior, mass, FAILURE_RATE_MAX.max(prior), failures, now),
            known_rate: DecayedMean::new(prior, mass, FAILURE_RATE_MAX.max(prior), failures, now),
            detect: DecayedMean::new(
                DETECT_PRIOR.as_secs_f64(),
                DETECT_PRIOR_MASS,
                DETECT_MAX.as_secs_f64(),
                failures,
                now,
            ),
            ttft: LatencyHistory::new(median, times, now),
            reply: LatencyHistory::new((median + REST_PRIOR).min(MEDIAN_MAX), times, now),
            tpot: Window::new(Scale::PerToken, PER_TOKEN_PRIOR, now),
            tpot_mean: Expected::new(times, now),
            sibling_weight: numbers.sibling_weight,
            bursts: Bursts::default(),
            heard: None,
            guessed: None,
            connects: VecDeque::new(),
        }
    }

    /// Counts a report.
    pub fn report(
        &mut self,
        progress: &mut Progress,
        attempt: ReportContext,
        report: Report,
        now: Instant,
    ) -> ReportEvidence {
        let (mut siblings, mut silent) = (Evidence::NONE, false);
        let had_begun = progress.has_begun();
        let own = match report {
            Report::Overdue => self.overdue(progress, attempt, now),
            Report::Content { after } => self.content(progress, attempt, Some(after), now),
            Report::Gap => self.stall(progress, now),
            Report::GapEnded => self.resume(progress, now),
            Report::Ended(Outcome::Success { tpot }) => {
                if let Some(tpot) = tpot {
                    self.tpot.record(tpot, now);
                    self.tpot_mean.record(tpot, true, now);
                }
                match progress {
                    Progress::Waiting | Progress::Overdue(_) => self.content(progress, attempt, None, now),
                    Progress::Flowing | Progress::Stalled(_) => self.resume(progress, now),
                }
            }
            Report::Ended(Outcome::Failure { class, scope, .. }) => {
                let (own, whole) = self.failure(*progress, attempt, class, now);
                if scope == Scope::Endpoint {
                    siblings = Evidence::failure(self.sibling_weight * whole);
                }
                own
            }
            Report::Ended(Outcome::Cancelled(why)) => match *progress {
                Progress::Waiting | Progress::Overdue(_) => {
                    silent = self.says_silent(attempt, why, now);
                    self.cancelled(*progress, attempt, why, now)
                }
                // Its content paused, and its caller left, the call ended, or another attempt answered it instead.
                Progress::Stalled(0.0) => Evidence::relapse(DOUBT),
                Progress::Stalled(_) => {
                    self.took_to_fail(attempt, now);
                    Evidence::NONE
                }
                Progress::Flowing => Evidence::NONE,
            },
            Report::Ended(Outcome::Crashed | Outcome::Unused) => Evidence::NONE,
        };
        self.count(own, had_begun, now);
        let is_word =
            matches!(report, Report::Content { .. } | Report::GapEnded | Report::Ended(Outcome::Success { .. }));
        let refuted = self.guessed.take_if(|_| is_word);
        if let Some(guessed) = refuted {
            self.count(guessed.evidence(), false, now);
        }
        ReportEvidence { own, siblings, silent, refuted }
    }

    /// Counts the failure of a sibling behind the same endpoint.
    pub fn sibling_failed(&mut self, evidence: Evidence, class: FailureClass, now: Instant) {
        self.count(evidence, false, now);
        if class == FailureClass::Connect {
            self.remember(evidence.failures, now);
        }
    }

    /// Takes back the connect failures that counted since then, as far as they are remembered.
    pub fn take_back(&mut self, since: Instant, now: Instant) -> Evidence {
        let weight: f64 = self.connects.drain(..).filter(|&(at, _)| at >= since).map(|(_, weight)| weight).sum();
        let evidence = Evidence::failure(-weight);
        self.count(evidence, false, now);
        evidence
    }

    /// Starts again for a target whose probes worked. `luck` is the chance that they would have worked without a
    /// recovery: that part of the outage's failures is kept. The flags start at their present state.
    pub fn recovering(&mut self, luck: f64, now: Instant) {
        self.degraded.restart(0.0, now);
        self.slow.restart(0.0, now);
        self.failure_rate.forget(luck, now);
    }

    /// Tells whether the error detector's flag is raised.
    pub fn is_degraded(&self, now: Instant) -> bool {
        self.degraded.is_raised(now)
    }

    /// Tells whether the latency detector's flag is raised.
    pub fn is_slow(&self, now: Instant) -> bool {
        self.slow.is_raised(now)
    }

    /// Returns the posterior mean of the failure rate.
    pub fn failure_rate(&self, now: Instant) -> f64 {
        self.failure_rate.mean(now)
    }

    /// Returns the most that the failure rate may be by what is known: one standard deviation above its mean.
    pub fn failure_rate_most(&self, now: Instant) -> f64 {
        let (rate, mass) = (self.known_rate.mean(now), self.known_rate.mass(now));
        (rate + (rate * (1.0 - rate) / mass).sqrt()).min(1.0)
    }

    /// Returns the failure rate where a hint lets more failures be expected: the hint weighs as much as the prior, and
    /// is no evidence.
    pub fn expected_failure_rate(&self, prior: Option<f64>, now: Instant) -> f64 {
        let more = prior.map_or(0.0, |prior| (prior - self.failure_rate.prior()).max(0.0));
        let weight = self.failure_rate.prior_mass() / self.failure_rate.mass(now);
        (self.failure_rate(now) + more * weight).min(FAILURE_RATE_MAX.max(self.failure_rate(now)))
    }

    /// Returns what the failure rate is without evidence.
    pub fn failure_rate_prior(&self) -> f64 {
        self.failure_rate.prior()
    }

    /// Returns the weight of the evidence behind the failure rate, in attempts.
    pub fn evidence(&self, now: Instant) -> f64 {
        self.failure_rate.mass(now) - self.failure_rate.prior_mass()
    }

    /// Tells whether the target is known to answer more often than not: by as many attempts as its prior weighs.
    pub fn answers(&self, now: Instant) -> bool {
        self.failure_rate(now) < 0.5 && self.evidence(now) >= self.failure_rate.prior_mass()
    }

    /// Returns the decayed mean age at which failed attempts failed.
    pub fn detect(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.detect.mean(now))
    }

    /// Returns the time to first token, for a prompt of no length.
    pub fn ttft(&self, now: Instant) -> Latency {
        self.ttft.latency(now)
    }

    /// Returns the time to a whole answer that comes in one burst, for a prompt of no length.
    pub fn reply(&self, now: Instant) -> Latency {
        self.reply.latency(now)
    }

    /// Returns the time per output token.
    pub fn tpot(&self, now: Instant) -> Latency {
        let latency = self.tpot.latency(now);
        let usual = self.tpot_mean.usual().filter(|usual| latency.is_assumed() && usual.samples > latency.samples);
        self.tpot_mean.with(usual.unwrap_or(latency), now)
    }

    /// Returns the time to first token while healthy, for a prompt of no length.
    pub fn ttft_usual(&self) -> Latency {
        self.ttft.usual()
    }

    /// Returns the time to a whole answer while healthy, for a prompt of no length.
    pub fn reply_usual(&self) -> Latency {
        self.reply.usual()
    }

    /// Returns how long an answer usually takes; `whole` if it comes in one burst.
    pub fn pace(&self, prompt_tokens: u32, whole: bool, output_max: Option<u32>, now: Instant) -> Pace {
        Pace::of(&self.ttft(now), &self.reply(now), &self.tpot(now), prompt_tokens, whole, output_max)
    }

    /// Returns the timers of an attempt that starts now; `whole` if its answer comes in one burst.
    pub fn timers(&self, prompt_tokens: u32, whole: bool, output_max: Option<u32>, now: Instant) -> Timers {
        let pace = self.pace(prompt_tokens, whole, output_max, now);
        let latency = if whole { self.reply(now) } else { self.ttft(now) };
        let (patience, (min, max)) = match self.class {
            _ if whole => (latency.p99 * REPLY_P99_MAX, REPLY_MAX),
            ModelClass::Chat => (latency.p50.mul_f64(MODEL_P999), (Duration::from_secs(8), Duration::from_secs(30))),
            ModelClass::Reasoning => {
                (latency.p50.mul_f64(MODEL_P999), (Duration::from_secs(60), Duration::from_secs(300)))
            }
        };
        // A guessed limit ends no attempt that another may join: it has all the time of its class.
        let patience = if whole || pace.measured { patience.clamp(min, max) } else { max };
        Timers {
            overdue_after: pace.overdue(),
            gap_overdue_after: self.tpot(now).p50.mul_f64(MODEL_P999).max(GAP_OVERDUE_MIN),
            first_token_max: Latency::at(patience, prompt_tokens).max(pace.overdue()),
        }
    }

    fn tempo(&mut self, whole: bool) -> &mut LatencyHistory {
        if whole { &mut self.reply } else { &mut self.ttft }
    }

    fn count(&mut self, evidence: Evidence, had_begun: bool, now: Instant) {
        self.degraded.add(evidence, now);
        self.failure_rate.add(evidence.failures, evidence.attempts, now);
        if !had_begun {
            self.known_rate.add(evidence.failures, evidence.attempts, now);
        }
    }

    fn overdue(&mut self, progress: &mut Progress, attempt: ReportContext, now: Instant) -> Evidence {
        if *progress != Progress::Waiting {
            return Evidence::NONE;
        }
        let pace = self.pace(attempt.prompt_tokens, attempt.whole, attempt.output_max, now);
        // Against a guess it is slow until it turns out to be more.
        let is_silence = pace.measured && reached(age(attempt, now), pace.overdue());
        let standing = if is_silence && self.bursts.counts_failure(attempt.started) { 1.0 } else { 0.0 };
        *progress = Progress::Overdue(standing);
        Evidence::failure(standing)
    }

    /// Handles an attempt without content for which no call waits any more: its weight depends on how long it was
    /// silent, compared with the usual time.
    fn cancelled(&mut self, progress: Progress, attempt: ReportContext, why: CancelReason, now: Instant) -> Evidence {
        let plain = plain(age(attempt, now), attempt.prompt_tokens);
        let stands = matches!(progress, Progress::Overdue(standing) if standing > 0.0);
        let weight = if stands { 0.0 } else { self.silence(attempt, Silence::Cancelled(why), now) };
        let is_failure = stands || weight > 0.0;
        // One that was asked later was faster: only if others were answered here meanwhile it was slow, and not silent.
        let was_heard = self.heard.is_some_and(|at| at >= attempt.started);
        let is_slow = why == CancelReason::Lost || (why == CancelReason::Overtaken && was_heard);
        let pace = self.pace(attempt.prompt_tokens, attempt.whole, attempt.output_max, now);
        let tempo = self.tempo(attempt.whole);
        if tempo.baseline.is_exceeded(plain) {
            // Where recent times do not say which silence is a failure, the usual ones do: only answers move them.
            let usual = tempo.baseline.latency();
            let may_be_slow = pace.measured || (!usual.is_assumed() && !reached(plain, usual.p99 * 2));
            if is_slow && !is_failure && may_be_slow {
                // A lower bound; to drop it would let the percentiles drift down, and a target that is only silent
                // would look as quick as ever. Where it counts as a failure it would let them drift up, and with them
                // the time that a silence is tolerated; so would a few hangs before it is known which these are.
                tempo.window.record(plain, now);
                tempo.mean.record(plain, false, now);
            }
            self.answered(true, now);
        }
        if stands {
            self.took_to_fail(attempt, now);
        }
        if weight == 0.0 || !self.bursts.counts_failure(attempt.started) {
            return Evidence::NONE;
        }
        self.took_to_fail(attempt, now);
        if attempt.closed && !pace.measured {
            let guessed = self.guessed.get_or_insert(GuessedFailures { since: now, weight: 0.0 });
            guessed.weight += weight;
        }
        Evidence::failure(weight)
    }

    /// Tells whether an attempt that no call waits for any longer was silent for so long that a probe has failed. Where
    /// another target answered meanwhile, or the call's own time was up, half of the usual time says enough: only calls
    /// with more time than that probe. A caller that leaves says how patient it is, and nothing of the target before
    /// that is late.
    fn says_silent(&self, attempt: ReportContext, why: CancelReason, now: Instant) -> bool {
        let pace = self.pace(attempt.prompt_tokens, attempt.whole, attempt.output_max, now);
        match why {
            CancelReason::Left => self.silence(attempt, Silence::Cancelled(why), now) >= 1.0,
            CancelReason::Ended | CancelReason::Lost | CancelReason::Overtaken => {
                reached(age(attempt, now), pace.first / PROBE_SILENCE)
            }
        }
    }

    /// Returns the weight of the silence of an attempt that ended without content. Measured times judge it, or a
    /// configured limit. Where there is neither, a target that said something meanwhile is alive; if it said nothing to
    /// any call since this attempt began, each further call that hears nothing is a sign.
    fn silence(&self, attempt: ReportContext, end: Silence, now: Instant) -> f64 {
        let pace = self.pace(attempt.prompt_tokens, attempt.whole, attempt.output_max, now);
        let lasted = |limit| reached(age(attempt, now), limit);
        let counts = |holds: bool, weight: f64| if holds { weight } else { 0.0 };
        if pace.measured {
            return match end {
                Silence::GivenUp => counts(attempt.limited || lasted(pace.overdue()), 1.0),
                Silence::Cancelled(CancelReason::Left | CancelReason::Overtaken) => {
                    counts(lasted(pace.long_wait()), 1.0)
                }
                Silence::Cancelled(_) => counts(lasted(pace.overdue()), 1.0),
            };
        }
        if attempt.limited && end == Silence::GivenUp {
            return 1.0;
        }
        if self.heard.is_some_and(|at| at >= attempt.started) {
            return 0.0;
        }
        let longest = if attempt.whole { self.reply.window.longest() } else { self.ttft.window.longest() };
        let late = pace.long_wait().max(Latency::at(longest * 2, attempt.prompt_tokens));
        match end {
            Silence::GivenUp => 1.0,
            Silence::Cancelled(CancelReason::Left) if lasted(late) => 1.0,
            // It never said anything, and in less time than it had another target was asked and has answered. For calls
            // that can wait no longer the guess says nothing.
            Silence::Cancelled(CancelReason::Overtaken) if self.heard.is_none() => NEVER_HEARD,
            // It never said anything, and its caller left, or another target answered meanwhile.
            Silence::Cancelled(CancelReason::Left | CancelReason::Lost) if self.heard.is_none() => {
                counts(lasted(pace.first.min(late)), DOUBT)
            }
            Silence::Cancelled(_) => counts(lasted(late), DOUBT),
        }
    }

    /// The attempt works: its success counts here, and what was held against it is taken back.
    fn content(
        &mut self,
        progress: &mut Progress,
        attempt: ReportContext,
        after: Option<Duration>,
        now: Instant,
    ) -> Evidence {
        let (standing, late) = match *progress {
            Progress::Waiting => (0.0, false),
            Progress::Overdue(standing) => (standing, true),
            Progress::Flowing | Progress::Stalled(_) => return Evidence::NONE,
        };
        *progress = Progress::Flowing;
        self.heard = self.heard.max(Some(now));
        self.bursts.content(attempt.started);
        match after.map(|after| plain(after, attempt.prompt_tokens)) {
            Some(latency) => {
                let exceeded = self.tempo(attempt.whole).baseline.is_exceeded(latency);
                self.answered(late || exceeded, now);
                let (slow, degraded) = (self.is_slow(now), self.is_degraded(now));
                let pace = self.pace(attempt.prompt_tokens, attempt.whole, attempt.output_max, now);
                let joined = if pace.measured { plain(pace.overdue(), attempt.prompt_tokens) } else { latency };
                let tempo = self.tempo(attempt.whole);
                tempo.window.record(latency, now);
                // Until it is measured the baseline learns from slow answers too, or a target that is slower than the
                // prior would stay slow for ever.
                let normal = !slow || !tempo.baseline.is_measured();
                let normal = attempt.closed && !degraded && normal;
                if normal {
                    tempo.baseline.record(latency, now);
                }
                tempo.mean.record(latency.min(joined), normal, now);
            }
            None if late => self.answered(true, now),
            None => {}
        }
        Evidence { failures: -standing, successes: 1.0, attempts: 1.0 - standing }
    }

    /// Content paused: the attempt, whose success has counted, counts as failed until it goes on, if the target's usual
    /// times are known.
    fn stall(&self, progress: &mut Progress, now: Instant) -> Evidence {
        if *progress != Progress::Flowing {
            return Evidence::NONE;
        }
        // Short answers say nothing of the time per token, only that the target is known.
        let known = self.tpot(now).samples.max(self.ttft(now).samples) >= P90_SAMPLES;
        let standing = if known { 1.0 } else { 0.0 };
        *progress = Progress::Stalled(standing);
        Evidence::relapse(standing)
    }

    fn resume(&mut self, progress: &mut Progress, now: Instant) -> Evidence {
        self.heard = self.heard.max(Some(now));
        let Progress::Stalled(standing) = *progress else { return Evidence::NONE };
        *progress = Progress::Flowing;
        self.answered(true, now);
        Evidence::relapse(-standing)
    }

    /// Returns what the failure adds, and what all of the attempt weighs.
    fn failure(
        &mut self,
        progress: Progress,
        attempt: ReportContext,
        class: FailureClass,
        now: Instant,
    ) -> (Evidence, f64) {
        let silent = class == FailureClass::NoFirstToken;
        let weight = if silent { self.silence(attempt, Silence::GivenUp, now) } else { class.consequences().weight };
        if silent {
            self.answered(true, now);
        }
        if weight == 0.0 {
            return (Evidence::NONE, 0.0);
        }
        if attempt.offline && class == FailureClass::Connect {
            let Progress::Overdue(standing) = progress else { return (Evidence::NONE, 0.0) };
            return (Evidence::failure(-standing), 0.0);
        }
        self.took_to_fail(attempt, now);
        let (own, whole) = match progress {
            Progress::Overdue(standing) | Progress::Stalled(standing) if standing > 0.0 => (Evidence::NONE, standing),
            Progress::Flowing | Progress::Stalled(_) => (Evidence::relapse(weight), weight),
            _ if !self.bursts.counts_failure(attempt.started) => (Evidence::NONE, 0.0),
            _ => (Evidence::failure(weight), weight),
        };
        if class == FailureClass::Connect {
            self.remember(whole, now);
        }
        (own, whole)
    }

    /// Takes note of an attempt's age at its failure.
    fn took_to_fail(&mut self, attempt: ReportContext, now: Instant) {
        self.detect.add(age(attempt, now).min(DETECT_MAX).as_secs_f64(), 1.0, now);
    }

    fn answered(&mut self, slow: bool, now: Instant) {
        self.slow.add(if slow { Evidence::failure(1.0) } else { Evidence::SUCCESS }, now);
    }

    fn remember(&mut self, weight: f64, now: Instant) {
        let age = |at: Instant| now.saturating_duration_since(at);
        while self.connects.front().is_some_and(|&(at, _)| age(at) > TAKE_BACK_MAX) {
            self.connects.pop_front();
        }
        match self.connects.back_mut() {
            Some((at, sum)) if age(*at) < TAKE_BACK_STEP => *sum += weight,
            _ => self.connects.push_back((now, weight)),
        }
    }
}

/// How a silence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// By the attempt's own limit.
    GivenUp,
    /// The answer was no longer wanted.
    Cancelled(CancelReason),
}

fn age(attempt: ReportContext, now: Instant) -> Duration {
    now.saturating_duration_since(attempt.started)
}

/// Returns the time to first token as it would be for a prompt of no length.
fn plain(ttft: Duration, prompt_tokens: u32) -> Duration {
    ttft.div_f64(Latency::prompt_factor(prompt_tokens))
}

/// How long answers take, recently and while all was well.
#[derive(Clone, Debug)]
struct LatencyHistory {
    window: Window,
    baseline: Baseline,
    mean: Expected,
}

impl LatencyHistory {
    fn new(median: Duration, fade: Fade, now: Instant) -> Self {
        let scale = Scale::FirstToken;
        Self {
            window: Window::new(scale, median, now),
            baseline: Baseline::new(scale, median, now),
            mean: Expected::new(fade, now),
        }
    }

    /// Returns the recent times; where they are forgotten, the usual ones, which are known and not measured.
    fn latency(&self, now: Instant) -> Latency {
        let (lately, usual) = (self.window.latency(now), self.baseline.latency());
        let forgotten = lately.is_assumed() && usual.samples > lately.samples;
        let usual = Latency { samples: usual.samples.min(P90_SAMPLES - 1), ..usual };
        self.mean.with(if forgotten { usual } else { lately }, now)
    }

    fn usual(&self) -> Latency {
        self.mean.usually(self.baseline.latency())
    }
}

persist!(struct HealthNumbers { kept, failures_fade, times_fade, mean_fade, sibling_weight });
persist!(struct HealthOptions { failure_rate_prior, failure_rate_prior_mass, degraded, slow, numbers });
persist!(struct LatencyHistory as Tempo { window, baseline, mean });
persist!(struct GuessedFailures as Guessed { since, weight });
// Attempts that fail together now did not begin together in another process.
persist!(struct TargetHealth {
    class, degraded, slow, failure_rate, known_rate, detect, ttft, reply, tpot, tpot_mean, sibling_weight, heard,
    guessed,
} anew { bursts, connects });

#[cfg(test)]
mod tests;

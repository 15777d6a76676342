//! Computes what a good answer of a target is expected to cost, failures and waiting included, in dollars.
//!
//! ```text
//! J = C + v T + slo
//! C = (1-q) a + q (b a + C_next)          what is paid
//! T = (1-q) (E[ttft] + O E[tpot]) + q (T_detect + T_next)    what is waited
//! ```
//!
//! where a failure counts at least as much as an answer: cheaper others do not make a target better for failing.
//!
//! `a` is the price of one answer, `q` the probability that an attempt fails, `b` the billed share of a failed one,
//! `v` the value of a second, `O` the expected length of the answer. `C_next` and `T_next` are price and time of the
//! best other target if nothing failed there, so that nothing is circular.

use std::time::Duration;

use super::{Candidate, Eligibility, Entrant, Needs, RouteOptions, RouteState, Sticky};
use crate::policy::latency::{Latency, P50_SAMPLES};

/// Share of a session's prompt that its own target has cached: a turn of an agent adds about a tenth to its history.
const CACHED_SHARE: f64 = 0.9;
/// Part of the cheapest answer charged for each SLO by which the 95th percentile is over.
const SLO_CHARGE: f64 = 0.25;
const TOKENS_PRICED: f64 = 1e6;

/// The expected cost of an answer of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// All of it, in dollars: less is better.
    pub j: f64,
    /// Price of one answer without failures, in dollars.
    pub dollars: f64,
    /// Whether `dollars` is the target's own price; an unknown one counts as the most expensive known one of the route.
    pub price_known: bool,
    /// Time of one answer without failures, in seconds.
    pub seconds: f64,
    /// Probability that an attempt fails.
    pub failure_rate: f64,
    /// Probability of being drawn first, before a probe or a session overrides the draw.
    pub share: f64,
    /// What `j` would be if the target were as well as it used to be.
    pub j_healthy: f64,
}

/// The known facts of an answer before the request, and its price cap.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpectedAnswer {
    output_tokens: u32,
    second_value: f64,
    billed_share: f64,
    slo_seconds: Option<f64>,
    /// The target that has the session's prompt in its cache.
    cached_at: Option<usize>,
    /// The highest known price of one answer among the targets; 0 where none is known.
    dearest: f64,
    /// The least expected times to a first content and per token that are known.
    first: Option<Duration>,
    per_token: Option<Duration>,
}

impl ExpectedAnswer {
    pub(super) fn expected(
        options: &RouteOptions,
        state: &RouteState,
        candidates: &[Candidate],
        needs: &Needs,
        sticky: Option<Sticky>,
    ) -> Self {
        let answer = Self {
            output_tokens: state.output_tokens(needs.output_tokens),
            second_value: options.second_value.of(needs.priority),
            billed_share: options.numbers.billed_share,
            slo_seconds: options.slo_ttft_p95.map(|slo| slo.as_secs_f64()),
            cached_at: sticky.map(|sticky| sticky.target),
            dearest: 0.0,
            first: least(candidates.iter().filter(|candidate| !candidate.bursts()).map(Candidate::latency)),
            per_token: least(candidates.iter().map(|candidate| &candidate.health.tpot)),
        };
        let known = candidates.iter().filter_map(|candidate| answer.dollars(candidate, 0.0));
        Self { dearest: known.fold(0.0, f64::max), ..answer }
    }

    fn dollars(&self, candidate: &Candidate, cached_share: f64) -> Option<f64> {
        let price = candidate.price?;
        let prompt = price.input + cached_share * (price.cached_input - price.input);
        let output = price.output * f64::from(self.output_tokens);
        Some((prompt * f64::from(candidate.prompt_tokens) + output) / TOKENS_PRICED)
    }

    /// Returns price and time of an answer if nothing fails; what depends on the others follows in [`compute_costs`].
    pub(super) fn score(&self, candidate: &Candidate) -> Score {
        let health = &candidate.health;
        let cached_share = if self.cached_at == Some(candidate.target) { CACHED_SHARE } else { 0.0 };
        Score {
            dollars: self.dollars(candidate, cached_share).unwrap_or(self.dearest),
            price_known: candidate.price.is_some(),
            seconds: self.seconds(self.first(candidate), candidate),
            failure_rate: health.failure_rate,
            ..Score::default()
        }
    }

    /// Returns the time of an answer: to its first content, and from there to its end.
    fn seconds(&self, first: Duration, candidate: &Candidate) -> f64 {
        let per_token = supposed(&candidate.health.tpot, self.per_token);
        let rest = if candidate.bursts() { Duration::ZERO } else { per_token * self.output_tokens };
        stretched(first, candidate) + rest.as_secs_f64()
    }

    fn first(&self, candidate: &Candidate) -> Duration {
        supposed(candidate.latency(), self.first)
    }
}

/// Returns the least mean that is known.
fn least<'a>(latencies: impl Iterator<Item = &'a Latency>) -> Option<Duration> {
    latencies.filter(|latency| !latency.is_assumed()).map(|latency| latency.mean).min()
}

/// Returns a mean as far as it is known, and for the unknown part the best known mean of others. So a target loses only
/// by its own measurements, never by a guess.
fn supposed(latency: &Latency, best: Option<Duration>) -> Duration {
    let Some(best) = best else { return latency.mean };
    let known = f64::from(latency.samples.min(P50_SAMPLES)) / f64::from(P50_SAMPLES);
    latency.mean.mul_f64(known) + best.mul_f64(1.0 - known)
}

/// Returns a time to the first content for the call's prompt, in seconds.
fn stretched(quantile: Duration, candidate: &Candidate) -> f64 {
    quantile.as_secs_f64() * Latency::prompt_factor(candidate.prompt_tokens)
}

/// A try that succeeds: the source of `C_next` and `T_next`.
#[derive(Clone, Copy)]
struct SuccessCost {
    position: usize,
    dollars: f64,
    seconds: f64,
}

/// Computes `j` and `j_healthy` of every entrant.
pub(super) fn compute_costs(entrants: &mut [Entrant<'_>], answer: &ExpectedAnswer) {
    let (best, second) = two_best(entrants, answer.second_value);
    let least = |number: fn(&Score) -> f64| entrants.iter().map(|e| number(&e.score)).fold(f64::INFINITY, f64::min);
    let dollars_min = least(|score| score.dollars);
    // Where answers are free, or no price is known, lateness is charged in waiting.
    let charge =
        SLO_CHARGE * if dollars_min > 0.0 { dollars_min } else { answer.second_value * least(|score| score.seconds) };
    for entrant in entrants {
        let candidate = entrant.candidate;
        let health = &candidate.health;
        let Score { dollars, seconds, .. } = entrant.score;
        let own = SuccessCost { position: entrant.position, dollars, seconds };
        let next = [best, second].into_iter().flatten().find(|other| other.position != own.position).unwrap_or(own);
        let j = |q: f64, seconds: f64, ttft_p95: f64| {
            let good = dollars + answer.second_value * seconds;
            let time = health.detect.as_secs_f64() + next.seconds;
            let bad = answer.billed_share * dollars + next.dollars + answer.second_value * time;
            let late = answer.slo_seconds.map_or(0.0, |slo| (ttft_p95 / slo - 1.0).max(0.0));
            good + q * (bad - good).max(0.0) + charge * late
        };
        let late = |latency: &Latency| if latency.is_assumed() { 0.0 } else { stretched(latency.p95, candidate) };
        entrant.score.j = j(health.failure_rate, seconds, late(candidate.latency()));
        let usual = candidate.usual();
        let first = if usual.is_assumed() { answer.first(candidate) } else { usual.mean };
        entrant.score.j_healthy = j(health.failure_rate_prior, answer.seconds(first, candidate), late(usual));
    }
}

/// Returns the two best targets to fail over to.
fn two_best(entrants: &[Entrant<'_>], second_value: f64) -> (Option<SuccessCost>, Option<SuccessCost>) {
    let cost = |plain: &SuccessCost| plain.dollars + second_value * plain.seconds;
    let (mut best, mut second): (Option<SuccessCost>, Option<SuccessCost>) = (None, None);
    for entrant in entrants.iter().filter(|entrant| entrant.standing != Eligibility::Probe) {
        let Score { dollars, seconds, .. } = entrant.score;
        let plain = SuccessCost { position: entrant.position, dollars, seconds };
        let beats = |other: &Option<SuccessCost>| other.as_ref().is_none_or(|other| cost(&plain) < cost(other));
        if beats(&best) {
            second = best.replace(plain);
        } else if beats(&second) {
            second = Some(plain);
        }
    }
    (best, second)
}

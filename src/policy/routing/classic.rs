//! The strategies of other gateways: each is one number per target, the least goes first.

use rand::{Rng, RngExt};

use super::options::Strategy;
use super::{Entrant, RouteState, Standing};

/// Gives every entrant its key. One that ramps keeps its place with the probability of its weight and is otherwise
/// tried after all others.
pub(super) fn rank(
    entrants: &mut [Entrant<'_>],
    strategy: Strategy,
    state: &mut RouteState,
    candidates: usize,
    rng: &mut impl Rng,
) {
    for entrant in entrants {
        let health = &entrant.candidate.health;
        let position = entrant.position as f64;
        entrant.competes = true;
        entrant.key = match strategy {
            Strategy::Adaptive | Strategy::Priority | Strategy::Threshold { .. } => position,
            Strategy::Weighted => race(entrant.candidate.weight, rng),
            Strategy::RoundRobin => state.distance(entrant.position, candidates) as f64,
            Strategy::LeastLatency { percentile } => percentile.of(entrant.candidate.latency()).as_secs_f64(),
            Strategy::LeastCost if entrant.score.price_known => entrant.score.dollars,
            Strategy::LeastCost => f64::INFINITY,
            Strategy::LeastBusy => f64::from(health.in_flight),
        };
        if let Strategy::Threshold { error_rate, ttft, percentile } = strategy {
            let excess = (health.failure_rate / error_rate)
                .max(percentile.of(entrant.candidate.latency()).as_secs_f64() / ttft.as_secs_f64());
            entrant.late = state.left(entrant.candidate.target, excess);
        }
        if let Standing::Ramp(weight) = entrant.standing {
            entrant.standing = Standing::Full;
            entrant.late |= rng.random::<f64>() >= weight;
        }
    }
}

/// Returns when a clock that ticks `weight` times a second first ticks: the one with the least time is drawn in
/// proportion to the weights, and so is each next one among the rest.
fn race(weight: f64, rng: &mut impl Rng) -> f64 {
    let exponential = -(1.0 - rng.random::<f64>()).ln();
    if weight > 0.0 { exponential / weight } else { f64::INFINITY }
}

//! The strategies of other gateways: each is one number per target, the least goes first.

use rand::{Rng, RngExt};

use super::explore::ExploreAllowance;
use super::options::Strategy;
use super::{Eligibility, Entrant, RouteState};

/// The most that exploring the losers may cost, as a part of the time of calls; also the share of calls that goes to
/// targets without numbers, and to targets that were left.
const EXPLORING: f64 = 0.03;
const UNKNOWN_SHARE: f64 = 0.1;
const LEFT_SHARE: f64 = 0.03;

/// Gives every entrant its key. Where measured numbers decide, targets that lose by them or have none go first now and
/// then.
pub(super) fn rank(
    entrants: &mut [Entrant<'_>],
    strategy: Strategy,
    spare: &ExploreAllowance<'_>,
    state: &mut RouteState,
    candidates: usize,
    rng: &mut impl Rng,
) {
    for entrant in entrants.iter_mut() {
        let health = &entrant.candidate.health;
        let position = entrant.position as f64;
        let latency = entrant.candidate.latency();
        entrant.competes = true;
        entrant.key = match strategy {
            Strategy::Adaptive | Strategy::Priority | Strategy::Threshold { .. } => position,
            Strategy::Weighted => race(entrant.candidate.weight, rng),
            Strategy::RoundRobin => state.distance(entrant.position, candidates) as f64,
            Strategy::LeastLatency { percentile } => percentile.of(latency).as_secs_f64(),
            Strategy::LeastCost if entrant.score.price_known => entrant.score.dollars,
            Strategy::LeastCost => f64::INFINITY,
            Strategy::LeastBusy => f64::from(health.in_flight),
        };
        if let Strategy::Threshold { error_rate, ttft, percentile } = strategy {
            let slow =
                if latency.is_assumed() { 0.0 } else { percentile.of(latency).as_secs_f64() / ttft.as_secs_f64() };
            entrant.late = state.left(entrant.candidate.target, slow.max(health.failure_rate / error_rate));
        }
    }
    match strategy {
        Strategy::LeastLatency { .. } => explore_slower(entrants, spare, rng),
        Strategy::Threshold { .. } => explore_left(entrants, spare, rng),
        _ => {}
    }
}

/// Now and then lets one of the first tier go first that takes longer than the best, or an unknown time: so seldom that
/// the calls take little longer for it.
fn explore_slower(entrants: &mut [Entrant<'_>], spare: &ExploreAllowance<'_>, rng: &mut impl Rng) {
    let runs = |entrant: &&mut Entrant<'_>| entrant.standing == Eligibility::Full && !entrant.late;
    let Some(tier) = entrants.iter_mut().filter(runs).map(|entrant| entrant.candidate.tier).min() else { return };
    let tier = || move |entrant: &&mut Entrant<'_>| runs(entrant) && entrant.candidate.tier == tier;
    let known = |entrant: &Entrant<'_>| !entrant.candidate.latency().is_assumed();
    let keys = entrants.iter_mut().filter(tier()).filter(|entrant| known(entrant)).map(|entrant| entrant.key);
    let best = keys.fold(f64::INFINITY, f64::min);
    // Where no target is known, the one that is asked first will be.
    if best == f64::INFINITY {
        return;
    }
    // No target goes first by a guess.
    for entrant in entrants.iter_mut().filter(tier()).filter(|entrant| !known(entrant)) {
        entrant.key = best.next_up();
    }
    let lost = |entrant: &Entrant<'_>| entrant.key > best;
    let others = entrants.iter_mut().filter(tier()).filter(|entrant| lost(entrant)).count() as f64;
    let mut drawn = rng.random::<f64>() * others;
    for entrant in entrants.iter_mut().filter(tier()).filter(|entrant| lost(entrant)) {
        let part = if known(entrant) { EXPLORING * best / (entrant.key - best) } else { UNKNOWN_SHARE };
        drawn -= part.min(0.5);
        if drawn < 0.0 && spare.allows(entrant.candidate) {
            (entrant.key, entrant.competes) = (-1.0, false);
            return;
        }
    }
}

/// Now and then lets a target that was left keep its place.
fn explore_left(entrants: &mut [Entrant<'_>], spare: &ExploreAllowance<'_>, rng: &mut impl Rng) {
    let is_left = |entrant: &&mut Entrant<'_>| entrant.late && spare.allows(entrant.candidate);
    let left = entrants.iter_mut().filter(is_left).count() as f64;
    if left == 0.0 {
        return;
    }
    let mut drawn = rng.random::<f64>() * left;
    for entrant in entrants.iter_mut().filter(is_left) {
        drawn -= LEFT_SHARE;
        if drawn < 0.0 {
            (entrant.late, entrant.competes) = (false, false);
            return;
        }
    }
}

/// Returns when a clock that ticks `weight` times a second first ticks: the one with the least time is drawn in
/// proportion to the weights, and so is each next one among the rest.
fn race(weight: f64, rng: &mut impl Rng) -> f64 {
    let exponential = -(1.0 - rng.random::<f64>()).ln();
    if weight > 0.0 { exponential / weight } else { f64::INFINITY }
}

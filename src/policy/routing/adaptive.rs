//! The default strategy: the least expected cost of a good answer, drawn rather than taken, because many agents that
//! all took the very best would all flip to the next one together.

use rand::{Rng, RngExt};

use super::cost::{self, ExpectedAnswer};
use super::explore::ExploreAllowance;
use super::{Eligibility, Entrant, RouteNumbers, Score};
use crate::policy::snapshot::BreakerState;

/// Gives every entrant its cost and its share of the draw.
///
/// A tier first gives the small shares to those that are explored. The rest goes to its competitive set, or on to the
/// next tier where the set is empty or costs too much against its own health.
pub(super) fn rank(
    entrants: &mut [Entrant<'_>],
    answer: &ExpectedAnswer,
    spare: &ExploreAllowance<'_>,
    numbers: &RouteNumbers,
) {
    cost::compute_costs(entrants, answer);
    for entrant in entrants.iter_mut() {
        entrant.key = entrant.score.j;
    }
    entrants.sort_unstable_by(Entrant::order);
    let running = entrants.partition_point(|entrant| entrant.standing != Eligibility::Probe);
    let running = &mut entrants[..running];
    let same_tier = |a: &Entrant<'_>, b: &Entrant<'_>| a.candidate.tier == b.candidate.tier;

    let mut left = 1.0;
    for tier in running.chunk_by_mut(same_tier) {
        let serves = compete(tier, numbers);
        left -= explore(tier, left, spare, numbers);
        if serves {
            share(tier, left, numbers);
            left = 0.0;
        } else {
            for entrant in tier {
                entrant.late = true;
            }
        }
    }
    // The share that every tier passed on goes by the order of the tiers.
    if let Some(tier) = running.chunk_by_mut(same_tier).find(|tier| tier.iter().any(|entrant| entrant.competes)) {
        share(tier, left, numbers);
    } else if let Some(first) = running.first_mut() {
        first.score.share += left;
    }
}

/// Marks the competitive set of a tier. Tells whether the tier serves: whether its best candidate costs no more than
/// this many times what the best costs in health.
fn compete(tier: &mut [Entrant<'_>], numbers: &RouteNumbers) -> bool {
    let may = |entrant: &&Entrant<'_>| entrant.candidate.weight > 0.0;
    let Some(best) = tier.iter().find(may).map(|entrant| entrant.score.j) else { return false };
    let healthy = tier.iter().filter(may).map(|entrant| entrant.score.j_healthy).fold(f64::INFINITY, f64::min);
    for entrant in tier {
        entrant.competes = may(&&*entrant) && entrant.score.j <= numbers.comparable * best;
    }
    best <= numbers.spill * healthy
}

/// Returns an entrant's claim on the draw: the nearer to the best, the larger.
fn claim(entrant: &Entrant<'_>, best: f64, numbers: &RouteNumbers) -> f64 {
    // Where the best costs nothing, all that compete cost nothing.
    let near = if best > 0.0 { best / entrant.score.j } else { 1.0 };
    entrant.candidate.weight * near.powf(numbers.steepness)
}

/// Returns the least cost among those that compete, and what all of them claim.
fn claims(tier: &[Entrant<'_>], numbers: &RouteNumbers) -> (f64, f64) {
    let competing = || tier.iter().filter(|entrant| entrant.competes);
    let best = competing().map(|entrant| entrant.score.j).fold(f64::INFINITY, f64::min);
    (best, competing().map(|entrant| claim(entrant, best, numbers)).sum())
}

/// Gives the losers small shares, as much as exploring them may cost, as parts of what is left; returns the sum.
fn explore(tier: &mut [Entrant<'_>], left: f64, spare: &ExploreAllowance<'_>, numbers: &RouteNumbers) -> f64 {
    let (best, claimed) = claims(tier, numbers);
    let lost = |entrant: &&mut Entrant<'_>| !entrant.competes && entrant.candidate.weight > 0.0;
    // All losers share that cost, even those that may not be asked now.
    let bearing = tier.iter_mut().filter(lost).count() as f64;
    let mut given = 0.0;
    for entrant in tier.iter_mut().filter(lost) {
        let Score { j, j_healthy, dollars, .. } = entrant.score;
        // A price is known: a candidate that asks more for an answer than the best one costs in all can become no
        // better.
        if dollars >= best || !spare.allows(entrant.candidate) {
            continue;
        }
        let cost = if j > numbers.comparable * j_healthy { numbers.exploring_sick } else { numbers.exploring };
        // Never more than it would get at the edge of the competitive set.
        let edge = entrant.candidate.weight * numbers.comparable.powf(-numbers.steepness);
        let part = (cost * best / (j - best) / bearing).min(edge / (edge + claimed));
        entrant.score.share = left * part;
        given += entrant.score.share;
    }
    given
}

/// Shares what is left among the competitive set.
fn share(tier: &mut [Entrant<'_>], left: f64, numbers: &RouteNumbers) {
    let (best, claimed) = claims(tier, numbers);
    for entrant in tier.iter_mut().filter(|entrant| entrant.competes) {
        entrant.score.share += left * claim(entrant, best, numbers) / claimed;
    }
}

/// Returns the place of the entrant drawn by share; `None` where all wait for a probe.
pub(super) fn draw(entrants: &[Entrant<'_>], rng: &mut impl Rng) -> Option<usize> {
    let mut left = rng.random::<f64>();
    let mut last = None;
    for (place, entrant) in entrants.iter().enumerate().filter(|(_, entrant)| entrant.score.share > 0.0) {
        last = Some(place);
        left -= entrant.score.share;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Returns the chance of a probe: the extra cost, above that of the best or of its target in health, is spread over
/// many calls. One that follows a probe that works is worth it in any case.
pub(super) fn probe_chance(entrants: &[Entrant<'_>], probe: usize, numbers: &RouteNumbers) -> f64 {
    let others = entrants.iter().filter(|entrant| entrant.standing != Eligibility::Probe);
    let best = others.map(|entrant| entrant.score.j).fold(f64::INFINITY, f64::min);
    let Entrant { candidate, score: Score { j, j_healthy, .. }, .. } = entrants[probe];
    let least = best.max(j_healthy);
    let more = j - least;
    if best == f64::INFINITY || candidate.health.breaker == BreakerState::HalfOpen || more <= 0.0 {
        return 1.0;
    }
    (numbers.probing * least / more).min(1.0)
}

/// Orders those behind the first: where costs are comparable, another domain before the first one's, and the same
/// model elsewhere before another model.
pub(super) fn prefer_elsewhere(entrants: &mut [Entrant<'_>], comparable: f64) {
    let Some((first, others)) = entrants.split_first_mut() else { return };
    for other in others.iter_mut() {
        let mut handicap = 1.0;
        if other.candidate.domain == first.candidate.domain {
            handicap *= comparable;
        }
        if other.candidate.model != first.candidate.model {
            handicap *= comparable;
        }
        other.key = other.score.j * handicap;
    }
    others.sort_unstable_by(Entrant::order);
}

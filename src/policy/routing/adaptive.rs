//! The default strategy: the least expected cost of a good answer, drawn rather than taken, because many agents that
//! all took the very best would all flip to the next one together.

use rand::{Rng, RngExt};

use super::cost::{self, Answer};
use super::explore::Spare;
use super::{Entrant, Score, Standing};

/// Up to this many times the best, a cost is as good as the best: our estimates are no finer.
pub(super) const COMPARABLE: f64 = 1.2;
/// A tier spills to the next when its best costs this many times what it costs in health.
const SPILL: f64 = 1.5;
/// Steepness of the draw: at the edge of the competitive set a target has (1/1.2)^4, half of the best one's part.
const STEEPNESS: i32 = 4;
/// What exploring those that lost may cost, all of them together, as a part of what calls cost …
const EXPLORING: f64 = 0.03;
/// … and where a target is worse than it usually is: that lasts for an hour, as outages do.
const EXPLORING_SICK: f64 = 0.01;
/// What probing may cost, as a part of what calls cost, while a target is down: few calls a minute bear few probes, and
/// silent ones fewer still.
const PROBING: f64 = 0.1;

/// Gives every entrant its cost and its share of the draw.
///
/// A tier first gives the small shares: to those that ramp or are explored. The rest goes to its competitive set, or on
/// to the next tier where the set is empty or costs too much against its own health.
pub(super) fn rank(entrants: &mut [Entrant<'_>], answer: &Answer, spare: &Spare) {
    cost::reckon(entrants, answer);
    for entrant in entrants.iter_mut() {
        entrant.key = entrant.score.j;
    }
    entrants.sort_unstable_by(Entrant::order);
    let running = entrants.partition_point(|entrant| entrant.standing != Standing::Probe);
    let running = &mut entrants[..running];
    let same_tier = |a: &Entrant<'_>, b: &Entrant<'_>| a.candidate.tier == b.candidate.tier;

    let mut left = 1.0;
    for tier in running.chunk_by_mut(same_tier) {
        let spills = compete(tier).is_none_or(|best| best.j > SPILL * best.j_healthy);
        left -= share_among_few(tier, left, spare);
        if spills {
            for entrant in tier {
                entrant.late = true;
            }
        } else {
            share_among_best(tier, left);
            left = 0.0;
        }
    }
    // What every tier passed on goes by the order of the tiers.
    if let Some(tier) = running.chunk_by_mut(same_tier).find(|tier| tier.iter().any(|entrant| entrant.competes)) {
        share_among_best(tier, left);
    } else if let Some(first) = running.first_mut() {
        first.score.share += left;
    }
}

/// Marks the competitive set of a tier and returns the best of it; `None` where nobody may compete.
fn compete(tier: &mut [Entrant<'_>]) -> Option<Score> {
    let may = |entrant: &Entrant<'_>| entrant.standing == Standing::Full && entrant.candidate.weight > 0.0;
    let best = tier.iter().find(|entrant| may(entrant))?.score;
    for entrant in tier {
        entrant.competes = may(entrant) && entrant.score.j <= COMPARABLE * best.j;
    }
    Some(best)
}

/// Gives the shares that do not depend on the score alone, as parts of what is left; returns what it gave.
fn share_among_few(tier: &mut [Entrant<'_>], left: f64, spare: &Spare) -> f64 {
    let ramps = |entrant: &&Entrant<'_>| matches!(entrant.standing, Standing::Ramp(_));
    let drawn = tier.iter().filter(|entrant| entrant.competes || ramps(entrant)).count() as f64;
    let best = tier.iter().find(|entrant| entrant.competes).map_or(0.0, |entrant| entrant.score.j);
    // A price is known: who asks more for an answer than the best one costs in all can become no better.
    let is_open = |entrant: &Entrant<'_>| {
        let lost = entrant.standing == Standing::Full && !entrant.competes && entrant.candidate.weight > 0.0;
        lost && entrant.score.dollars < best && spare.allows(entrant.candidate)
    };
    let explored = tier.iter().filter(|entrant| is_open(entrant)).count() as f64;
    let mut given = 0.0;
    for entrant in tier.iter_mut().filter(|entrant| !entrant.competes && entrant.candidate.weight > 0.0) {
        let part = match entrant.standing {
            // Never more than an equal part: at its last step it must not carry the others' traffic, too.
            Standing::Ramp(weight) => weight.min(1.0 / drawn),
            Standing::Full if is_open(entrant) => {
                let Score { j, j_healthy, .. } = entrant.score;
                let cost = if j > COMPARABLE * j_healthy { EXPLORING_SICK } else { EXPLORING };
                (cost * best / (j - best)).min(1.0 / (1.0 + drawn)) / explored
            }
            Standing::Full | Standing::Probe => 0.0,
        };
        entrant.score.share = (left * part).min(left - given);
        given += entrant.score.share;
    }
    given
}

/// Shares what is left among the competitive set.
fn share_among_best(tier: &mut [Entrant<'_>], left: f64) {
    let best = tier.iter().find(|entrant| entrant.competes).map_or(0.0, |entrant| entrant.score.j);
    let part = |entrant: &Entrant<'_>| {
        // Where the best costs nothing, all that compete cost nothing.
        let near = if best > 0.0 { best / entrant.score.j } else { 1.0 };
        entrant.candidate.weight * near.powi(STEEPNESS)
    };
    let whole: f64 = tier.iter().filter(|entrant| entrant.competes).map(part).sum();
    for entrant in tier.iter_mut().filter(|entrant| entrant.competes) {
        entrant.score.share += left * part(entrant) / whole;
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

/// Tells, by chance, whether a probe is worth what it costs more than the best does, or more than its target does in
/// health.
pub(super) fn is_probe_worth(entrants: &[Entrant<'_>], probe: usize, rng: &mut impl Rng) -> bool {
    let others = entrants.iter().filter(|entrant| entrant.standing != Standing::Probe);
    let best = others.map(|entrant| entrant.score.j).fold(f64::INFINITY, f64::min);
    let Score { j, j_healthy, .. } = entrants[probe].score;
    let least = if best.is_finite() { best.max(j_healthy) } else { return true };
    rng.random::<f64>() * (j - least) <= PROBING * least
}

/// Orders those behind the first: where costs are comparable, another domain before the first one's, and the same
/// model elsewhere before another model.
pub(super) fn prefer_elsewhere(entrants: &mut [Entrant<'_>]) {
    let Some((first, others)) = entrants.split_first_mut() else { return };
    for other in others.iter_mut() {
        let mut handicap = 1.0;
        if other.candidate.domain == first.candidate.domain {
            handicap *= COMPARABLE;
        }
        if other.candidate.model != first.candidate.model {
            handicap *= COMPARABLE;
        }
        other.key = other.score.j * handicap;
    }
    others.sort_unstable_by(Entrant::order);
}

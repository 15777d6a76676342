//! A route's memory between plans.

/// The number of answers whose median length is taken.
const ANSWERS_MAX: usize = 32;
/// From this many answers on their median counts, and not the guess.
const ANSWERS_MIN: usize = 8;
/// Guess of an answer's length, in tokens.
const OUTPUT_TOKENS_PRIOR: u32 = 400;

/// A route's memory between plans. To explain a choice, plan on a clone.
#[derive(Clone, Debug, Default)]
pub struct RouteState {
    /// Place after the last choice, for round-robin.
    cursor: usize,
    /// Targets that are over their threshold and not yet back at half of it.
    left: Vec<usize>,
    /// Lengths of the last answers, a ring.
    answers: [u32; ANSWERS_MAX],
    /// Answers seen.
    answered: usize,
    /// Their median length, once there are enough.
    median: Option<u32>,
}

impl RouteState {
    /// Takes note of how long an answer was, in tokens.
    pub fn answered(&mut self, output_tokens: u64) {
        self.answers[self.answered % ANSWERS_MAX] = u32::try_from(output_tokens).unwrap_or(u32::MAX);
        self.answered += 1;
        let seen = self.answered.min(ANSWERS_MAX);
        if seen >= ANSWERS_MIN {
            let mut sorted = self.answers;
            let (_, median, _) = sorted[..seen].select_nth_unstable(seen / 2);
            self.median = Some(*median);
        }
    }

    /// Returns how long an answer of at most this many tokens is expected to be: as the last ones were, once there are
    /// enough of them.
    pub fn output_tokens(&self, most: Option<u32>) -> u32 {
        self.median.unwrap_or(OUTPUT_TOKENS_PRIOR).min(most.unwrap_or(u32::MAX))
    }

    /// Takes note of the chosen target.
    pub(super) const fn chose(&mut self, position: usize) {
        self.cursor = position + 1;
    }

    /// Returns how many turns a candidate has to wait.
    pub(super) const fn distance(&self, position: usize, candidates: usize) -> usize {
        (position + candidates - self.cursor % candidates) % candidates
    }

    /// Returns whether a target is to be left: from an excess above 1 until it is back at one half.
    pub(super) fn left(&mut self, target: usize, excess: f64) -> bool {
        let place = self.left.iter().position(|left| *left == target);
        match place {
            Some(place) if excess <= 0.5 => {
                self.left.swap_remove(place);
                false
            }
            None if excess > 1.0 => {
                self.left.push(target);
                true
            }
            _ => place.is_some(),
        }
    }
}

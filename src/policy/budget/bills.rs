//! How much longer than estimated prompts were, by what their providers billed.
//!
//! A prompt that is named and not sent (a file's id, a conversation that its provider keeps), or to which its provider
//! adds (its own tools), cannot be counted here: until one was billed it may fill its model's window.

use std::collections::HashMap;
use std::sync::Arc;

use crate::words::TargetId;

/// The longest prompt of a model whose window is not known.
const WINDOW: u32 = 1 << 20;
/// Answers after which what was known before them is forgotten.
const RECENT: u32 = 64;
/// The most routes and targets that are known; beyond it all begin anew.
const KNOWN_MAX: usize = 10_000;

/// The tokens of a prompt: as expected, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptTokens {
    /// As expected.
    pub likely: u32,
    /// At most.
    pub most: u32,
}

/// A kind of prompts: of a route, at a target, and whether more is billed than is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PromptKind {
    /// The route's name.
    pub route: Arc<str>,
    /// The target.
    pub target: TargetId,
    /// Whether it is named, or its provider adds to it.
    pub grows: bool,
}

/// What was billed beyond the estimate, at most, of the last answers.
#[derive(Clone, Copy, Debug, Default)]
struct Excess {
    now: u32,
    before: u32,
    answers: u32,
}

/// What was billed beyond the estimate, for each kind of prompts.
#[derive(Debug, Default)]
pub struct Bills {
    known: HashMap<PromptKind, Excess>,
}

impl Bills {
    /// Returns the tokens of a prompt that was estimated, for a model with this window.
    pub fn prompt(&self, kind: &PromptKind, estimated: u32, window: Option<u32>) -> PromptTokens {
        let excess = self.known.get(kind).map(|excess| excess.now.max(excess.before));
        // Prompts are estimated, and may be an eighth over.
        let over = |tokens: u32, excess: u32| tokens.saturating_add((tokens / 8).max(excess));
        match excess {
            None if kind.grows => {
                PromptTokens { likely: estimated, most: window.unwrap_or(WINDOW).max(over(estimated, 0)) }
            }
            Some(excess) if kind.grows => {
                let likely = estimated.saturating_add(excess);
                PromptTokens { likely, most: over(likely, 0) }
            }
            excess => PromptTokens { likely: estimated, most: over(estimated, excess.unwrap_or(0)) },
        }
    }

    /// Takes in what was billed for a prompt.
    pub fn learn(&mut self, kind: PromptKind, estimated: u32, billed: u64) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&kind) {
            self.known.clear();
        }
        let more = u32::try_from(billed).unwrap_or(u32::MAX).saturating_sub(estimated);
        let excess = self.known.entry(kind).or_default();
        excess.now = excess.now.max(more);
        excess.answers += 1;
        if excess.answers >= RECENT {
            *excess = Excess { before: excess.now, ..Excess::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(grows: bool) -> PromptKind {
        PromptKind { route: "smart".into(), target: TargetId::new("a", "m"), grows }
    }

    #[test]
    fn a_prompt_that_is_named_may_fill_its_window_until_one_was_billed() {
        let mut bills = Bills::default();
        let prompt = |bills: &Bills, grows| bills.prompt(&kind(grows), 80, Some(400_000));
        assert_eq!(prompt(&bills, true), PromptTokens { likely: 80, most: 400_000 });
        assert_eq!(bills.prompt(&kind(true), 80, None).most, WINDOW);
        assert_eq!(prompt(&bills, false), PromptTokens { likely: 80, most: 90 });
        bills.learn(kind(true), 80, 100_080);
        assert_eq!(prompt(&bills, true), PromptTokens { likely: 100_080, most: 112_590 });
        assert_eq!(prompt(&bills, false), PromptTokens { likely: 80, most: 90 }, "of another kind");
        // A provider that puts words before all prompts.
        bills.learn(kind(false), 80, 1_080);
        assert_eq!(prompt(&bills, false), PromptTokens { likely: 80, most: 1_080 });
        assert_eq!(bills.prompt(&kind(false), 80_000, None).most, 90_000, "a long one is not longer for it");
    }

    #[test]
    fn the_largest_bill_is_known_for_a_while_and_then_forgotten() {
        let mut bills = Bills::default();
        bills.learn(kind(true), 0, 5_000);
        let mut answers = 0;
        while bills.prompt(&kind(true), 0, None).likely == 5_000 {
            bills.learn(kind(true), 0, 7);
            answers += 1;
            assert!(answers < 1_000, "it is never forgotten");
        }
        assert!(answers >= RECENT, "{answers}");
        assert_eq!(bills.prompt(&kind(true), 0, None).likely, 7);
    }
}

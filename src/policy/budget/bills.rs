//! How much longer than estimated prompts were, by what their providers billed.
//!
//! Texts that are sent are counted here. How large an image, a page or a sound is at its provider is not known: until
//! one was billed it may be the largest. What is named and not sent (a file's id, a conversation that its provider
//! keeps), or what its provider adds (its own tools), cannot be counted at all: until one was billed such a prompt may
//! fill its model's window.

use std::collections::HashMap;
use std::sync::Arc;

use crate::words::TargetId;

/// The longest prompt of a model whose window is not known.
const WINDOW: u32 = 1 << 20;
/// Answers after which what was known before them is forgotten.
const RECENT: u32 = 64;
/// The most routes and targets that are known; beyond it all begin anew.
const KNOWN_MAX: usize = 10_000;
/// The parts of what images, pages and sounds may be at most, in which it is known what they are.
const PARTS: u64 = 1_024;

/// The tokens of a prompt: as expected, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptTokens {
    /// As expected.
    pub likely: u32,
    /// At most.
    pub most: u32,
}

/// How well the length of a prompt is known before it is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PromptSizing {
    /// It is sent, and counted here.
    Counted,
    /// It is sent, and shows images, pages or sounds.
    Shows,
    /// More may be billed than is sent: a part of it is only named, or its provider adds to it.
    Grows,
}

/// A kind of prompts: of a route, at a target, and how well their length is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PromptKind {
    /// The route's name.
    pub route: Arc<str>,
    /// The target.
    pub target: TargetId,
    /// How well their length is known.
    pub sizing: PromptSizing,
}

/// The length of a prompt, in tokens, as far as it is known before it is billed.
#[derive(Clone, Copy, Debug)]
pub struct PromptLength {
    /// By our estimate.
    pub estimated: u32,
    /// What its images, pages and sounds may be at most.
    pub shown: u32,
    /// Its model's window, where that is known.
    pub window: Option<u32>,
}

impl PromptLength {
    /// Returns this many tokens more, and an eighth of the estimate at least: so far off is that.
    fn over(self, more: u32) -> u32 {
        self.estimated.saturating_add((self.estimated / 8).max(more))
    }

    /// Returns the most that it can be while none like it was billed: no provider takes more than its window.
    fn most(self, sizing: PromptSizing) -> u32 {
        let window = self.window.unwrap_or(WINDOW);
        let most = match sizing {
            PromptSizing::Counted => 0,
            PromptSizing::Shows => self.over(0).saturating_add(self.shown).min(window),
            PromptSizing::Grows => window,
        };
        most.max(self.over(0))
    }
}

/// What was billed beyond the estimate, at most, of the last answers: tokens or, of what is shown, parts of its most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Excess {
    now: u32,
    before: u32,
    answers: u32,
}

impl Excess {
    /// Returns the tokens beyond the estimate that a prompt may have.
    fn tokens(self, sizing: PromptSizing, length: PromptLength) -> u32 {
        let most = self.now.max(self.before);
        if sizing == PromptSizing::Shows {
            saturated((u64::from(most) * u64::from(length.shown)).div_ceil(PARTS))
        } else {
            most
        }
    }

    /// Returns what is to be known of this many tokens beyond the estimate.
    fn of(tokens: u32, sizing: PromptSizing, length: PromptLength) -> u32 {
        if sizing == PromptSizing::Shows {
            saturated((u64::from(tokens) * PARTS).div_ceil(length.shown.max(1).into()))
        } else {
            tokens
        }
    }
}

fn saturated(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// What was billed for a kind of prompts, as one process leaves it to the next. It has no age: how long a prompt is
/// that is only named does not follow from the time.
#[cfg(feature = "store")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBill {
    route: Arc<str>,
    target: TargetId,
    sizing: PromptSizing,
    excess: Excess,
}

persist!(
    enum PromptSizing {
        Counted,
        Shows,
        Grows,
    }
);
persist!(struct Excess { now, before, answers });
persist!(struct KnownBill { route, target, sizing, excess });

/// What was billed beyond the estimate, for each kind of prompts.
#[derive(Debug, Default)]
pub struct Bills {
    known: HashMap<PromptKind, Excess>,
}

impl Bills {
    /// Returns what is known of a provider's prompts.
    #[cfg(feature = "store")]
    pub fn of(&self, provider: &str) -> Vec<KnownBill> {
        let own = self.known.iter().filter(|(kind, _)| &*kind.target.provider == provider);
        let bill = |(PromptKind { route, target, sizing }, excess): (&PromptKind, &Excess)| KnownBill {
            route: route.clone(),
            target: target.clone(),
            sizing: *sizing,
            excess: *excess,
        };
        own.map(bill).collect()
    }

    /// Takes up what a process before this one knew of prompts that are not known yet.
    #[cfg(feature = "store")]
    pub fn take_up(&mut self, known: Vec<KnownBill>) {
        for KnownBill { route, target, sizing, excess } in known {
            if self.known.len() < KNOWN_MAX {
                self.known.entry(PromptKind { route, target, sizing }).or_insert(excess);
            }
        }
    }

    /// Returns the tokens of a prompt that is to be sent.
    pub fn prompt(&self, kind: &PromptKind, length: PromptLength) -> PromptTokens {
        let (likely, sizing) = (length.estimated, kind.sizing);
        let excess = self.known.get(kind).map(|excess| excess.tokens(sizing, length));
        match (sizing, excess) {
            (_, None) => PromptTokens { likely, most: length.most(sizing) },
            (PromptSizing::Grows, Some(excess)) => {
                let longer = PromptLength { estimated: likely.saturating_add(excess), ..length };
                PromptTokens { likely: longer.estimated, most: longer.over(0).saturating_add(length.shown) }
            }
            (_, Some(excess)) => PromptTokens { likely, most: length.over(excess) },
        }
    }

    /// Returns the tokens that are taken for a prompt that was sent and whose bill never came.
    pub fn unbilled(&self, kind: &PromptKind, length: PromptLength) -> u32 {
        let excess = self.known.get(kind).map(|excess| excess.tokens(kind.sizing, length));
        match (kind.sizing, excess) {
            (PromptSizing::Counted, _) => length.estimated,
            (_, Some(excess)) => length.estimated.saturating_add(excess),
            (sizing, None) => length.most(sizing),
        }
    }

    /// Takes in what was billed for a prompt, or told of it before the answer broke off. To one that grows more may
    /// have been added after that: by it none is known as billed.
    pub fn learn(&mut self, kind: PromptKind, length: PromptLength, billed: u64, is_whole: bool) {
        let is_bill = is_whole || kind.sizing != PromptSizing::Grows;
        if !self.known.contains_key(&kind) {
            if !is_bill {
                return;
            }
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
        }
        let more = Excess::of(saturated(billed).saturating_sub(length.estimated), kind.sizing, length);
        let excess = self.known.entry(kind).or_default();
        excess.now = excess.now.max(more);
        excess.answers += u32::from(is_bill);
        if excess.answers >= RECENT {
            *excess = Excess { before: excess.now, ..Excess::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: PromptSizing = PromptSizing::Counted;
    const SHOWS: PromptSizing = PromptSizing::Shows;
    const GROWS: PromptSizing = PromptSizing::Grows;

    fn kind(sizing: PromptSizing) -> PromptKind {
        PromptKind { route: "smart".into(), target: TargetId::new("a", "m"), sizing }
    }

    const fn length(estimated: u32, shown: u32) -> PromptLength {
        PromptLength { estimated, shown, window: Some(400_000) }
    }

    #[test]
    fn a_prompt_that_is_named_may_fill_its_window_until_one_was_billed() {
        let mut bills = Bills::default();
        let prompt = |bills: &Bills, sizing| bills.prompt(&kind(sizing), length(80, 0));
        assert_eq!(prompt(&bills, GROWS), PromptTokens { likely: 80, most: 400_000 });
        assert_eq!(bills.prompt(&kind(GROWS), PromptLength { window: None, ..length(80, 0) }).most, WINDOW);
        assert_eq!(prompt(&bills, COUNTED), PromptTokens { likely: 80, most: 90 });
        bills.learn(kind(GROWS), length(80, 0), 100_080, true);
        assert_eq!(prompt(&bills, GROWS), PromptTokens { likely: 100_080, most: 112_590 });
        assert_eq!(prompt(&bills, COUNTED), PromptTokens { likely: 80, most: 90 }, "of another kind");
        // A provider that puts words before all prompts.
        bills.learn(kind(COUNTED), length(80, 0), 1_080, true);
        assert_eq!(prompt(&bills, COUNTED), PromptTokens { likely: 80, most: 1_080 });
        assert_eq!(bills.prompt(&kind(COUNTED), length(80_000, 0)).most, 90_000, "a long one is not longer for it");
    }

    #[test]
    fn images_count_with_the_largest_until_one_was_billed_and_then_with_the_part_of_it_that_was() {
        let mut bills = Bills::default();
        let prompt = |bills: &Bills, shown| bills.prompt(&kind(SHOWS), length(800, shown));
        assert_eq!(prompt(&bills, 48_000), PromptTokens { likely: 800, most: 48_900 });
        assert_eq!(prompt(&bills, 800_000).most, 400_000, "no prompt is longer than its window");
        bills.learn(kind(SHOWS), length(800, 48_000), 2_300, true);
        assert_eq!(prompt(&bills, 48_000), PromptTokens { likely: 800, most: 2_300 });
        assert_eq!(prompt(&bills, 480_000), PromptTokens { likely: 800, most: 15_800 }, "ten of them");
    }

    #[test]
    fn a_prompt_whose_bill_never_came_is_taken_for_what_others_were_or_for_its_most() {
        let mut bills = Bills::default();
        let unbilled = |bills: &Bills, sizing, shown| bills.unbilled(&kind(sizing), length(80, shown));
        assert_eq!(unbilled(&bills, COUNTED, 0), 80);
        assert_eq!(unbilled(&bills, SHOWS, 5_000), 5_090);
        assert_eq!(unbilled(&bills, GROWS, 0), 400_000);
        for sizing in [COUNTED, SHOWS, GROWS] {
            bills.learn(kind(sizing), length(80, 5_000), 6_080, true);
        }
        assert_eq!(unbilled(&bills, COUNTED, 0), 80);
        assert!((6_080..6_090).contains(&unbilled(&bills, SHOWS, 5_000)), "as near as parts tell it");
        assert_eq!(unbilled(&bills, GROWS, 0), 6_080);
    }

    #[test]
    fn what_is_told_before_the_end_makes_no_prompt_known_that_may_grow_after_it() {
        let mut bills = Bills::default();
        bills.learn(kind(GROWS), length(80, 0), 80, false);
        assert_eq!(bills.prompt(&kind(GROWS), length(80, 0)).most, 400_000);
        bills.learn(kind(COUNTED), length(80, 0), 1_080, false);
        assert_eq!(bills.prompt(&kind(COUNTED), length(80, 0)).most, 1_080, "others are as long as they were sent");
        bills.learn(kind(GROWS), length(80, 0), 1_080, true);
        bills.learn(kind(GROWS), length(80, 0), 9_080, false);
        assert_eq!(bills.prompt(&kind(GROWS), length(80, 0)).likely, 9_080, "it is that at least");
    }

    #[cfg(feature = "store")]
    #[test]
    fn the_next_process_knows_what_was_billed_and_as_long_as_this_one_would_have() {
        let (mut bills, mut next) = (Bills::default(), Bills::default());
        bills.learn(kind(GROWS), length(0, 0), 5_000, true);
        bills.learn(kind(SHOWS), length(800, 48_000), 2_300, true);
        let other = PromptKind { target: TargetId::new("b", "m"), ..kind(GROWS) };
        bills.learn(other.clone(), length(0, 0), 7_000, true);
        next.take_up(bills.of("a"));
        assert_eq!(next.prompt(&other, length(0, 0)).most, 400_000, "of another provider");
        for sizing in [GROWS, SHOWS] {
            let prompt = |bills: &Bills| bills.prompt(&kind(sizing), length(800, 48_000));
            assert_eq!(prompt(&next), prompt(&bills));
        }
        for _ in 0..RECENT * 2 {
            bills.learn(kind(GROWS), length(0, 0), 7, true);
            next.learn(kind(GROWS), length(0, 0), 7, true);
            assert_eq!(next.prompt(&kind(GROWS), length(0, 0)), bills.prompt(&kind(GROWS), length(0, 0)));
        }
        // What it has learnt since counts.
        next.take_up(vec![KnownBill { excess: Excess::default(), ..bills.of("a").remove(0) }]);
        assert_eq!(next.prompt(&kind(GROWS), length(0, 0)).likely, 7);
    }

    #[test]
    fn the_largest_bill_is_known_for_a_while_and_then_forgotten() {
        let mut bills = Bills::default();
        bills.learn(kind(GROWS), length(0, 0), 5_000, true);
        let mut answers = 0;
        while bills.prompt(&kind(GROWS), length(0, 0)).likely == 5_000 {
            bills.learn(kind(GROWS), length(0, 0), 7, true);
            answers += 1;
            assert!(answers < 1_000, "it is never forgotten");
        }
        assert!(answers >= RECENT, "{answers}");
        assert_eq!(bills.prompt(&kind(GROWS), length(0, 0)).likely, 7);
    }
}

//! Prompts as targets count them: how long one is at each, and what is left out where it does not fit a window.

use super::routed_request::RoutedRequest;
use super::table::{Table, Target};
use super::work::Work;
use crate::policy::budget::{PromptLength, PromptSizing};
use crate::policy::tokens::{PromptSize, Weights};
use crate::policy::trim::{OverWindow, TrimRange, budget, fits};
use crate::spec::RouteSpec;
use crate::wire;
use crate::words::Message;

/// How a request goes to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FittedPrompt {
    pub(crate) size: PromptSize,
    /// The same by the target's own weights.
    pub(crate) tokens: u32,
    /// The messages that are left out to fit its window.
    pub(crate) cut: Option<TrimRange>,
    /// The tokens of that.
    pub(crate) left_out: u32,
    /// How well its length is known.
    pub(crate) sizing: PromptSizing,
    /// The most tokens of its parts that are no text.
    shown: u32,
    window: Option<u32>,
}

impl FittedPrompt {
    /// Returns its length, as far as it is known.
    pub(crate) fn length(&self) -> PromptLength {
        PromptLength { estimated: self.tokens, shown: self.shown, window: self.window }
    }
}

impl Target {
    /// Returns what a prompt's features cost here, as far as is known now.
    fn weights(&self) -> Weights {
        self.provider.slot.weights(self.index)
    }

    /// Returns how well the length of a request's prompt is known here, and the most tokens of its parts that are no
    /// text.
    pub(super) fn sizing(&self, asked: &RoutedRequest) -> (PromptSizing, u32) {
        let shown = asked.shown.tokens_max(self.spec().vocabulary);
        let adds = |request| self.searches || wire::adds_to_prompt(request);
        let sizing = if asked.grows || matches!(&asked.work, Work::Chat(request) if adds(request)) {
            PromptSizing::Grows
        } else if shown > 0 {
            PromptSizing::Shows
        } else {
            PromptSizing::Counted
        };
        (sizing, shown)
    }
}

impl Table {
    /// Estimates the prompt of a request as the route's first target counts.
    pub(crate) fn estimate(&self, route: &RouteSpec, work: impl Into<Work>) -> u32 {
        let Some(first) = route.members.first().map(|member| &self.targets[member.target]) else { return 0 };
        let work: Work = work.into();
        first.weights().tokens(&work.prompt(first.spec().vocabulary.measure(), false).whole)
    }
}

impl RoutedRequest {
    /// Returns the tokens of a target's window; most where that is not known.
    pub(super) fn window(&self, target: usize) -> u32 {
        self.target(target).spec().capabilities.context_tokens_max.unwrap_or(u32::MAX)
    }

    /// Returns how it goes to a target of its route, after that one found it too long this many times.
    pub(super) fn fit(&self, target: usize, cuts: u32) -> FittedPrompt {
        let target = self.target(target);
        let (weights, prompt) = (target.weights(), self.prompt(target));
        let tokens = weights.tokens(&prompt.whole);
        // Texts to be embedded are no conversation, and their answer is no text.
        let (messages, output_max): (&[Message], _) = match &self.work {
            Work::Chat(request) => (&request.messages, request.output_tokens_max),
            Work::Embed(_) => (&[], Some(0)),
        };
        let can = &target.spec().capabilities;
        let (output, window) = (can.answer_max(output_max), can.context_tokens_max);
        let (sizing, shown) = target.sizing(self);
        let uncut = FittedPrompt { size: prompt.whole, tokens, cut: None, left_out: 0, sizing, shown, window };
        if self.route.over_window == OverWindow::Skip || (cuts == 0 && fits(tokens, output, window)) {
            return uncut;
        }
        let excess = f64::from(tokens) - f64::from(budget(tokens, output, window, cuts));
        let Some(cut) = TrimRange::find(messages, |at| weights.weigh(&prompt.messages[at]), excess) else {
            return uncut;
        };
        let size = cut.left_out(messages).fold(prompt.whole, |size, at| size - prompt.messages[at]);
        let left = weights.tokens(&size);
        FittedPrompt { size, tokens: left, cut: Some(cut), left_out: tokens.saturating_sub(left), ..uncut }
    }
}

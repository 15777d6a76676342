//! Prompts as targets count them: how long one is at each, and what is left out where it does not fit a window.

use std::sync::OnceLock;

use super::table::{Table, Target};
use super::work::Work;
use crate::policy::budget::{PromptLength, PromptSizing};
use crate::policy::stale::QuestionKey;
use crate::policy::tokens::{Measure, Prompt, PromptSize, Shown, Weights};
use crate::policy::trim::{OverWindow, TrimRange, budget, fits};
use crate::spec::RouteSpec;
use crate::words::{Demand, Message};

/// A request, and its size as the targets of its route measure it.
pub(crate) struct MeasuredRequest {
    pub(crate) work: Work,
    /// Whether the size of each message is wanted, too.
    by_message: bool,
    prompts: [OnceLock<Prompt>; Measure::COUNT],
    /// The parts of it that not every target can take.
    pub(super) demands: Vec<Demand>,
    /// The parts of it that are no text.
    shown: Shown,
    /// Whether more may be billed of its prompt than is sent, at any target.
    grows: bool,
    /// The key of its answer, if its route keeps answers.
    pub(super) key: Option<QuestionKey>,
}

impl MeasuredRequest {
    fn new(work: Work, by_message: bool) -> Self {
        let (demands, shown) = match &work {
            Work::Chat(request) => (request.demands(), Shown::of(request)),
            Work::Embed(request) => (request.demands(), Shown::default()),
        };
        let grows = demands.iter().any(Demand::grows);
        Self { work, by_message, prompts: Default::default(), demands, shown, grows, key: None }
    }

    /// Returns the request's size by a measure. It is counted once.
    fn prompt(&self, measure: Measure) -> &Prompt {
        self.prompts[measure as usize].get_or_init(|| match &self.work {
            Work::Chat(request) => Prompt::of(request, measure, self.by_message),
            Work::Embed(request) => Prompt::of_texts(&request.inputs, &request.tokens, measure),
        })
    }

    /// Returns the conversation, and the limit of its answer; texts to be embedded are no conversation, and their
    /// answer is no text.
    fn conversation(&self) -> (&[Message], Option<u32>) {
        match &self.work {
            Work::Chat(request) => (&request.messages, request.output_tokens_max),
            Work::Embed(_) => (&[], Some(0)),
        }
    }
}

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
    pub(super) fn sizing(&self, asked: &MeasuredRequest) -> (PromptSizing, u32) {
        let shown = asked.shown.tokens_max(self.spec().vocabulary);
        let adds = |request| self.provider.spec.flavour.adds(request, &self.id().model);
        let sizing = if asked.grows || matches!(&asked.work, Work::Chat(request) if adds(request)) {
            PromptSizing::Grows
        } else if shown > 0 {
            PromptSizing::Shows
        } else {
            PromptSizing::Counted
        };
        (sizing, shown)
    }

    /// Returns a request's size by this target's measure.
    fn prompt<'a>(&self, asked: &'a MeasuredRequest) -> &'a Prompt {
        asked.prompt(self.spec().vocabulary.measure())
    }
}

impl Table {
    /// Estimates the prompt of a request as the route's first target counts.
    pub(crate) fn estimate(&self, route: &RouteSpec, work: impl Into<Work>) -> u32 {
        // Nothing is to be cut, so no message is counted by itself, and one measure is enough.
        let asked = MeasuredRequest::new(work.into(), false);
        let first = route.members.first().map(|member| &self.targets[member.target]);
        first.map_or(0, |target| target.weights().tokens(&target.prompt(&asked).whole))
    }

    /// Counts a request as the targets of a route measure it.
    pub(crate) fn ask(&self, route: &RouteSpec, work: impl Into<Work>) -> MeasuredRequest {
        let by_message = route.over_window == OverWindow::Trim;
        let asked = MeasuredRequest::new(work.into(), by_message);
        for member in &route.members {
            self.targets[member.target].prompt(&asked);
        }
        asked
    }

    /// Returns how a request goes to a target of its route, after that one found it too long this many times.
    pub(crate) fn fit(&self, target: usize, route: &RouteSpec, asked: &MeasuredRequest, cuts: u32) -> FittedPrompt {
        let target = &self.targets[target];
        let spec = target.spec();
        let (weights, prompt) = (target.weights(), target.prompt(asked));
        let tokens = weights.tokens(&prompt.whole);
        let (can, (messages, output_max)) = (&spec.capabilities, asked.conversation());
        let output = can.answer_max(output_max);
        let window = can.context_tokens_max;
        let (sizing, shown) = target.sizing(asked);
        let uncut = FittedPrompt { size: prompt.whole, tokens, cut: None, left_out: 0, sizing, shown, window };
        if route.over_window == OverWindow::Skip || (cuts == 0 && fits(tokens, output, window)) {
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

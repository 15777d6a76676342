//! Conversations that do not fit a target's window.
//!
//! Input: estimates of a prompt and its messages, and the window. Output: whether it fits, and which messages to leave
//! out so that it does:
//!
//! ```text
//!   system  user  | assistant  tool  user  assistant |  user  assistant  tool
//!   kept    first |     left out, the oldest first   |  last, and all that follows
//! ```
//!
//! It never leaves out a system message, the first user message, the last one or anything after it, never parts a tool
//! call from its result, and never touches a conversation that fits.

use serde::Deserialize;

use super::tokens::whole;
use crate::words::{AssistantPart, ChatRequest, Message};

/// How a route treats a conversation that does not fit a target's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OverWindow {
    /// The target is not asked.
    #[default]
    Skip,
    /// The conversation is cut for that target: the oldest messages after the first user message are left out.
    Trim,
}

/// The part by which an estimate may be too high, so that no prompt is held back that would have fit: twice what
/// estimates of a target that is in use are usually off.
const MARGIN: f64 = 0.125;
/// The same where no target's window has room by its estimate: then those are asked that may have it after all, since
/// only they know. Estimates are hardly ever further off.
const DOUBT: f64 = 1.0 / 3.0;
/// Room for an answer without a limit, in a conversation that is cut: an eighth of the window, and not more than nearly
/// every answer needs.
const ANSWER_SHARE: u32 = 8;
const ANSWER_MAX: u32 = 4_096;
/// The part of a prompt that is left each time a provider says that it was too long after all.
const SHORTER: f64 = 0.75;
/// How often a prompt is cut shorter for one target: to 9/16, by which an estimate would have been off by 78 %.
pub const CUTS_MAX: u32 = 2;

/// Tells whether prompt and answer may fit a window. What is unknown fits; an answer without a limit needs room for a
/// token at least.
pub fn fits(prompt_tokens: u32, output_tokens: Option<u32>, window: Option<u32>) -> bool {
    fits_within(MARGIN, prompt_tokens, output_tokens, window)
}

/// Tells the same of a call that fits no target's window, by its estimates.
pub fn fits_perhaps(prompt_tokens: u32, output_tokens: Option<u32>, window: Option<u32>) -> bool {
    fits_within(DOUBT, prompt_tokens, output_tokens, window)
}

fn fits_within(margin: f64, prompt_tokens: u32, output_tokens: Option<u32>, window: Option<u32>) -> bool {
    let surely = f64::from(prompt_tokens) / (1.0 + margin);
    window.is_none_or(|window| surely + f64::from(output_tokens.unwrap_or(1)) <= f64::from(window))
}

/// Returns the tokens that a prompt is cut down to: so that it fits even if the estimate is as much too low as [`fits`]
/// allows it to be too high, and shorter again for each time the provider found it too long.
pub fn budget(prompt_tokens: u32, output_tokens: Option<u32>, window: Option<u32>, cuts: u32) -> u32 {
    let room = window.map_or(f64::from(prompt_tokens), |window| {
        let answer = output_tokens.unwrap_or_else(|| (window / ANSWER_SHARE).min(ANSWER_MAX));
        f64::from(window.saturating_sub(answer)) / (1.0 + MARGIN)
    });
    whole(room.min(f64::from(prompt_tokens)) * SHORTER.powi(cuts.min(CUTS_MAX).cast_signed()))
}

/// Messages to leave out: all but system messages of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimRange {
    from: usize,
    to: usize,
}

impl TrimRange {
    /// Finds the smallest cut that makes a conversation this many tokens shorter; `tokens` has the tokens of each
    /// message. `None` if there is none.
    pub fn find(messages: &[Message], tokens: impl Fn(usize) -> f64, excess: f64) -> Option<Self> {
        let users = || messages.iter().enumerate().filter(|(_, message)| matches!(message, Message::User(_)));
        let (from, last) = (users().next()?.0 + 1, users().next_back()?.0);
        let bound = bound(messages, from);
        let (mut left_out, mut to) = (0.0, from);
        // What follows the first user message must be an assistant's, or two users' messages would meet: unless it is
        // the last one and nothing else is left.
        let may_follow = |at: usize| matches!(messages[at], Message::Assistant(_)) || at == last;
        while to < last {
            if !matches!(messages[to], Message::System(_)) {
                left_out += tokens(to);
            }
            to += 1;
            if left_out >= excess && may_follow(to) && !bound.iter().any(|&(call, result)| call < to && to <= result) {
                return Some(Self { from, to });
            }
        }
        None
    }

    fn leaves_out(&self, at: usize, message: &Message) -> bool {
        (self.from..self.to).contains(&at) && !matches!(message, Message::System(_))
    }

    /// Returns the indexes of what is left out.
    pub fn left_out(self, messages: &[Message]) -> impl Iterator<Item = usize> {
        (self.from..self.to).filter(move |&at| self.leaves_out(at, &messages[at]))
    }

    /// Returns the request without them.
    pub fn apply(&self, request: &ChatRequest) -> ChatRequest {
        let left_out = self.left_out(&request.messages).collect();
        let mut request = request.clone();
        let mut at = 0;
        request.messages.retain(|message| {
            at += 1;
            !self.leaves_out(at - 1, message)
        });
        if let Some(original) = &mut request.original {
            original.left_out = left_out;
        }
        request
    }
}

/// Returns each result from a message on, with the call it answers: the last one before it that has its id. A result
/// without a call stays with the message before it.
fn bound(messages: &[Message], from: usize) -> Vec<(usize, usize)> {
    let results = messages.iter().enumerate().skip(from).filter_map(|(at, message)| match message {
        Message::Tool(result) => Some((at, &result.call_id)),
        _ => None,
    });
    let calls = |message: &Message, id: &str| match message {
        Message::Assistant(parts) => parts.iter().filter_map(AssistantPart::as_tool_call).any(|call| call.id == id),
        _ => false,
    };
    results
        .map(|(at, id)| (messages[..at].iter().rposition(|message| calls(message, id)).unwrap_or(at - 1), at))
        .collect()
}

#[cfg(test)]
mod tests;

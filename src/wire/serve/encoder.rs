//! The parts of an answer, as one dialect writes them.

use super::refusal::Fault;
use crate::words::{Finished, Proof, Source, ToolCall};

/// How one dialect writes the parts of an answer. Parts are written in the order of these functions; `begin` before
/// all, then `end` or `fail` as the last.
pub(super) trait AnswerEncoder: std::fmt::Debug + Send + Sync {
    /// Begins a stream; the prompt's length is an estimate.
    fn begin(&mut self, prompt_tokens: u64, out: &mut Vec<u8>);
    /// Notes that the text that follows is a refusal.
    fn refuse(&mut self, _: &mut Vec<u8>) {}
    /// Says more text.
    fn text(&mut self, text: &str, out: &mut Vec<u8>);
    /// Writes more of a thought.
    fn reasoning(&mut self, text: &str, out: &mut Vec<u8>);
    /// Writes a proof: of the thought before it, or alone.
    fn proof(&mut self, proof: &Proof, out: &mut Vec<u8>);
    /// Says a call, which is whole.
    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>);
    /// Writes the sources of the text, before its calls and its end.
    fn sources(&mut self, sources: &[Source], out: &mut Vec<u8>);
    /// Notes events that pass unchanged, so that later events follow on.
    fn passed(&mut self, _: &[u8]) {}
    /// Ends a stream well.
    fn end(&mut self, answer: &Finished, out: &mut Vec<u8>);
    /// Ends a stream that broke off.
    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>);
    /// Writes a whole answer.
    fn whole(&self, answer: &Finished, out: &mut Vec<u8>);
}

//! Anthropic's messages, as callers speak it.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Messages;

/// What the proof of reasoning begins with of which nothing can be read, as the client half has it.
const REDACTED: &str = crate::wire::anthropic::REDACTED;

//! Anthropic's messages, as callers speak it.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Messages;

/// The mark before the proof of redacted reasoning, as the client half has it.
const REDACTED: &str = crate::wire::anthropic::proof::REDACTED;
/// The name of a system block that the common form cannot express, as the client half has it.
const SYSTEM: &str = crate::wire::anthropic::SYSTEM;
/// The name of the billing line, as the client half has it.
const INVOICE: &str = crate::wire::anthropic::INVOICE;

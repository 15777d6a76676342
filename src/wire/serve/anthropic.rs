//! Anthropic's messages, as callers speak it.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Messages;

/// What the proof of reasoning begins with of which nothing can be read, as the client half has it.
const REDACTED: &str = crate::wire::anthropic::proof::REDACTED;
/// What a block of the system is called that the common form cannot express, as the client half knows it.
const SYSTEM: &str = crate::wire::anthropic::SYSTEM;
/// What the line for an invoice is called there.
const INVOICE: &str = crate::wire::anthropic::INVOICE;

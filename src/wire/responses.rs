//! The dialect of OpenAI's responses, spoken without state at the provider: every request holds the whole
//! conversation, and encrypted reasoning goes back with it.
//!
//! Input: requests and the JSON inside of answers. Output: bodies, pieces and what the answer's draft needs to be
//! judged. Nothing is stored at a provider. The last event alone is enough: everything that other events leave out is
//! taken from it.

mod request;
mod shape;
mod reply;

pub(super) use reply::{read_event, read_whole};
pub(super) use request::encode;

/// How ids begin of thoughts that are written here as items: no provider knows them.
pub(super) const THOUGHT: &str = "rs_standin";

#[cfg(test)]
mod tests;

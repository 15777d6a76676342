//! The dialect of OpenAI's responses, spoken without state at the provider: every request holds the whole
//! conversation, and encrypted reasoning goes back with it.
//!
//! In flow requests and the JSON inside of answers, out flow bodies, pieces and what the answer's draft needs to be
//! judged. Nothing is ever stored at a provider, and no event is needed but the last: what others leave out is taken
//! from it.

mod edit;
mod reply;
mod request;
mod shape;

pub(super) use reply::{read_event, read_whole};
pub(super) use request::encode;

#[cfg(test)]
mod tests;

//! Google's `generateContent`, as callers speak it: with the names of either of its two spellings.

mod schema;
mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Contents;

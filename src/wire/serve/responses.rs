//! OpenAI's responses, as callers speak it: without state here, every request holds the whole conversation.

mod echo;
mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Responses;

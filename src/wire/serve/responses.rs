//! OpenAI's responses, as callers speak it: every request holds the whole conversation. Only answers that are given in
//! the background are kept here.

mod echo;
mod id;
mod tools;
mod read;
mod write;
mod came;

pub use id::{call_of, deleted, id_of};
pub(super) use read::read;
pub(super) use write::Responses;

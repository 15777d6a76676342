//! OpenAI's chat completions, as callers speak it.

mod read;
mod write;

pub(super) use read::{allowed, choice_word, function, json_schema, read};
pub(super) use write::Chat;

//! OpenAI's chat completions, as callers speak it.

mod read;
mod write;

pub(super) use read::{
    allowed, audio, by_data, choice_word, declared, file_has_words, fits, json_schema, named, names_tools, read,
};
pub(super) use write::{Chat, with_usage};

//! OpenAI's chat completions, as callers speak it.

mod read;
mod write;

pub(super) use read::{
    allowed, audio, by_data, choice_word, file_has_words, function, json_schema, names_functions, read,
};
pub(super) use write::Chat;

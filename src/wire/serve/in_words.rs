//! Reads an answer that went on as it came into words: for a caller that asks for it in the other form.

use super::CallerDialect;
use crate::wire::decode::{AnswerMax, Decoder};
use crate::wire::draft::Ending;
use crate::words::{Failure, Finished, Note};

/// Returns an answer in words: these are its bytes, a stream or whole. What there are no words for is left out, and
/// noted.
///
/// # Errors
/// Why it has none: a filter held it back, for one.
pub fn in_words(
    caller_dialect: CallerDialect,
    is_stream: bool,
    came: &[u8],
    answer: Finished,
) -> Result<Finished, Failure> {
    let max = AnswerMax { bytes: usize::MAX, tokens: usize::MAX };
    let decoder = Decoder::new(caller_dialect.dialect(), is_stream).within(max).issuer(&answer.target.provider);
    let (mut decoder, mut told) = (decoder, Vec::new());
    decoder.push(came, &mut told)?;
    decoder.end(&mut told)?;
    let ending = decoder.finish()?;
    let lost = [(ending.beyond, "answer"), (ending.unsaid, "citations")];
    let lost = lost.into_iter().filter_map(|(is_lost, what)| is_lost.then_some(Note::Dropped(what)));
    let notes = answer.notes.iter().copied().chain(lost).collect();
    let Ending { parts, sources, refuses, .. } = ending;
    Ok(Finished { verbatim: None, parts, sources, refuses, notes, ..answer })
}

//! Text counted by `OpenAI`'s public vocabularies.

use super::Measure;

/// Returns the tokens of a text; 0 by its shape, which no vocabulary knows.
pub(super) fn count(text: &str, measure: Measure) -> usize {
    match measure {
        Measure::Shape => 0,
        Measure::O200k => bpe_openai::o200k_base().count(text),
        Measure::Cl100k => bpe_openai::cl100k_base().count(text),
    }
}

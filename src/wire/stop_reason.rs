//! Why a model stopped, in the words of all providers.
//!
//! Input: a provider's word. Output: the reason, if the word is known. Gateways pass on the words of other dialects, in
//! capitals or with other joints: so there is one table for all dialects, and a word is compared by its letters and
//! digits alone. A word that is taken for unknown would let an answer that was cut pass for a whole one.

use crate::words::StopReason;

/// The word for an answer that ended where the model's window did.
const WINDOW: &str = "model_context_window_exceeded";

/// How words for an answer that failed begin.
const ERROR: &str = "error";

/// The words for each reason, from the providers' references: OpenAI and its copies, Anthropic, Google, Cohere,
/// Bedrock, Mistral, Ollama, `TGI`, watsonx.
const WORDS: &[(StopReason, &[&str])] = &[
    (
        StopReason::Stop,
        &[
            "stop",
            "stopped",
            "stop_sequence",
            "stop_token",
            "end_turn",
            "end_of_turn",
            "eos",
            "eos_token",
            "eot",
            "complete",
            "completed",
            "finish",
            "finished",
        ],
    ),
    (
        StopReason::Length,
        &[
            "length",
            "max_length",
            "max_tokens",
            "max_new_tokens",
            "max_output_tokens",
            "max_completion_tokens",
            "model_length",
            "token_limit",
            WINDOW,
        ],
    ),
    (StopReason::ToolCalls, &["tool_calls", "tool_call", "function_call", "tool_use"]),
    (
        StopReason::ContentFilter,
        &[
            "content_filter",
            "content_filtered",
            "guardrail_intervened",
            "error_toxic",
            "sensitive",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "model_armor",
            "image_safety",
            "image_prohibited_content",
            "image_recitation",
        ],
    ),
    (StopReason::Refusal, &["refusal"]),
    // A tool of the provider's own still runs, or there is no better word.
    (StopReason::Other, &["pause_turn", "compaction", "language", "other", "image_other", "no_image"]),
];

/// Returns the reason that a word stands for; `None` where it is unknown. What stands behind a colon says more of it.
pub(super) fn stop_reason(word: &str) -> Option<StopReason> {
    let known = |word: &str| {
        let mut rows = WORDS.iter();
        rows.find(|(_, words)| words.iter().any(|known| is_word(word, known))).map(|(reason, _)| *reason)
    };
    known(word).or_else(|| known(word.split_once(':')?.0))
}

/// Tells whether a word says that the answer ended where the model's window did.
pub(super) fn is_window(word: &str) -> bool {
    is_word(word, WINDOW)
}

/// Tells whether a word says that the answer failed: one that begins so and has no meaning of its own.
pub(super) fn is_error(word: &str) -> bool {
    let begins = word.get(..ERROR.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(ERROR));
    begins && stop_reason(word).is_none()
}

/// Tells whether two words are one, however they are written.
pub(super) fn is_word(word: &str, known: &str) -> bool {
    letters(word).eq(letters(known))
}

/// Returns the letters and digits of a word, all small.
fn letters(word: &str) -> impl Iterator<Item = u8> {
    word.bytes().filter(u8::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_the_same_however_it_is_written() {
        for (reason, words) in WORDS {
            for word in *words {
                let capitals = word.to_ascii_uppercase();
                let joined: String = word
                    .split('_')
                    .enumerate()
                    .map(|(at, part)| match part.split_at_checked(1) {
                        Some((first, rest)) if at > 0 => first.to_ascii_uppercase() + rest,
                        _ => part.to_owned(),
                    })
                    .collect();
                for word in [*word, &capitals, &joined, &word.replace('_', "-"), &word.replace('_', " ")] {
                    assert_eq!(stop_reason(word), Some(*reason), "{word}");
                }
            }
        }
        assert_eq!(stop_reason("content_filter: RECITATION"), Some(StopReason::ContentFilter));
        for (word, expected) in
            [("error", true), ("error_finish", true), ("ERROR-finish", true), ("error_toxic", false)]
        {
            assert_eq!(is_error(word), expected, "{word}");
        }
        assert!(is_window("MODEL_CONTEXT_WINDOW_EXCEEDED"));
        for word in ["", "_", "unknown", "stop it", "maximum", "error", "x: stop"] {
            assert_eq!(stop_reason(word), None, "{word}");
        }
    }

    #[test]
    fn no_word_stands_for_two_reasons() {
        let all: Vec<_> = WORDS.iter().flat_map(|(_, words)| *words).collect();
        for (at, word) in all.iter().enumerate() {
            assert!(!all[..at].iter().any(|other| is_word(word, other)), "{word}");
        }
    }
}

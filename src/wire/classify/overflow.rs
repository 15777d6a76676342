//! Recognises a conversation that is longer than a model's window, in the words of all servers.
//!
//! Half of them have no code for it and each has words of its own, which change between versions. So beside the known
//! shapes there is a fallback: words about tokens, a limit and the prompt, with numbers that bear them out.

use super::Sent;
use super::body::ErrorBody;

/// Codes that mean only this.
pub(super) const CODES: &[&str] = &[
    "context_length_exceeded",
    "context_window_exceeded",
    "contextwindowexceedederror",
    "exceed_context_size_error",
    "max_tokens_exceeded",
    "model_context_window_exceeded",
    "model_max_prompt_tokens_exceeded",
    "prompt_too_long",
    "string_too_long_for_context",
    "token_limit_exceeded",
    "tokens_limit_reached",
    "too_many_prompt_tokens",
    // Z.ai, MiniMax.
    "1261",
    "1039",
];

/// Texts that mean only this, each from one server or more; all parts of a text must be there.
const SHAPES: &[&[&str]] = &[
    // OpenAI, DeepSeek, Mistral, Fireworks, OpenRouter, old vLLM.
    &["maximum context length"],
    &["max context length"],
    &["contextwindowexceeded"],
    // OpenAI's Responses, MiniMax.
    &["context window"],
    // LM Studio.
    &["context the overflows"],
    &["exceeds the available context"],
    &["context is full"],
    // vLLM's engine, and what its old versions compute when the prompt leaves no room for an answer.
    &["must be at least 1, got -"],
    // llama.cpp, of its batch.
    &["input is too large"],
    &["prompt is too long"],
    &["prompt too long"],
    &["prompt is longer than"],
    &["prompt exceeds"],
    &["maximum prompt length"],
    &["max prompt length"],
    // TGI and its hosts.
    &["tokens + ", " must be <="],
    &["must have less than", "token"],
    // Bedrock, Anthropic.
    &["input is too long"],
    &["input too long"],
    &["input is longer than"],
    &["too many input tokens"],
    &["exceeds the maximum input"],
    &["exceeds maximum input"],
    // Moonshot, Copilot, Gemini, Vertex.
    &["exceeded model token limit"],
    &["length too long"],
    &["prompt token count", "exceeds"],
    &["input token count", "exceeds"],
    &["input token count", "only supports"],
    // Qwen, SGLang, NIM.
    &["range of input length should be"],
    &["input length", "exceed"],
    &["input tokens exceeds"],
    &["input tokens exceed"],
    // Z.ai, Cerebras, Groq.
    &["exceeds max length"],
    &["more than max tokens"],
    &["exceeds the max length"],
    &["max length exceeded"],
    &["reduce the length of the messages"],
    &["reduce the length of the prompt"],
    &["reduce your prompt"],
    &["messages is too long"],
    &["messages too long"],
    &["conversation is too long"],
    &["sequence length", "exceed"],
    &["longer than the maximum", "token"],
    // Cohere, Watsonx, Databricks.
    &["too many tokens:"],
    &["number of input tokens", "cannot exceed"],
    &["max input token limit"],
    &["maximum number of tokens", "exceed"],
    &["token limit", "exceed", "input"],
    // Doubao, SiliconFlow.
    &["exceed", "max message tokens"],
    &["prompt_tokens", "exceed"],
];

/// Words that say as much where no other limit is spoken of.
const BARE: &[&[&str]] = &[
    &["token limit exceeded"],
    &["token limit has been exceeded"],
    &["exceed", "token limit"],
    &["too many tokens"],
    &["over the token limit"],
    &["context overflow"],
    &["context limit"],
    &["n_keep"],
    &["过长", "输入"],
    &["过长", "上下文"],
    &["太长", "输入"],
    &["超长", "输入"],
    &["超过", "token"],
    &["超出", "token"],
    &["长すぎ", "入力"],
];

/// What servers call a window, and how they say that something is beyond it: one of each says enough, whatever else is
/// said of answers.
const WINDOWS: &[&str] = &[
    "context length",
    "context size",
    "context limit",
    "context_length",
    "context len",
    "maximum context",
    "max context",
    "prompt length",
    "prompt size",
    "prompt_length",
    "input length",
    "input_length",
    "sequence length",
    "sequence_length",
    "position embeddings",
    "max_position_embeddings",
    "max_total_tokens",
    "max_input_length",
    "num_ctx",
    "maximum model length",
    "max_model_len",
    "max_seq_len",
    "max_num_tokens",
    "session_len",
    "n_ctx",
    "max_input_tokens",
    "max prompt tokens",
    "max_prompt_tokens",
    "上下文长度",
    "最大上下文",
    "输入长度",
];
const BEYOND: &[&str] = &[
    "exceed",
    "longer",
    "greater",
    "larger",
    "overflow",
    "too long",
    "too large",
    " only",
    "less than",
    "no smaller",
    "below",
    "beyond",
    "more than",
    "not fit",
    "reduce",
    "shorten",
    "above",
    "over the",
    "reached",
    "at most",
    "too many",
    "truncat",
    "超过",
    "超出",
];

/// Words for a limit, a unit and the request: the fallback needs one of each.
const LIMITS: &[&str] =
    &["maximum", "max ", "limit", "exceed", "too long", "too many", "too large", "longer", "at most", "configured"];
const WHOLES: &[&str] =
    &["prompt", "input", "context", "message", "conversation", "sequence", "request", "window", "you passed"];
/// Texts about a limit on the answer's length, or about time: they mean something else.
const OTHERS: &[&str] = &[
    "daily",
    "hourly",
    "weekly",
    "monthly",
    "per week",
    "per month",
    "usage limit",
    "budget",
    "try again in",
    "try again later",
    "trying again",
    "throttl",
    "please wait",
    "slow down",
    "this minute",
    "subscription",
    "per minute",
    "per day",
    "per hour",
    "per second",
    "/min",
    "tpm",
    "tpd",
    "rate limit",
    "quota",
    "completion tokens",
    "output tokens",
    "number of completion",
    "max_tokens:",
    "the maximum value for `max_",
    "'max_tokens' is too large",
    "maximum tokens you requested",
    "tokens to generate",
    "generated tokens",
    "new tokens",
    "reasoning tokens",
    "max_tokens is too large",
];
/// No model's window is smaller.
const WINDOW_MIN: u64 = 256;

/// Tells whether an error says that the conversation is too long for the model.
pub(super) fn is_overflow(status: Option<u16>, error: &ErrorBody, sent: Sent<'_>) -> bool {
    if matches!(status, Some(..=399 | 401..=403 | 429)) {
        return false;
    }
    let text = &error.text;
    let says = |shape: &&[&str]| shape.iter().all(|part| text.contains(part));
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if error.has_code(CODES) || SHAPES.iter().any(says) || (any(WINDOWS) && any(BEYOND)) {
        return true;
    }
    if OTHERS.iter().any(|word| error.whole.contains(word)) {
        return false;
    }
    let counts = text.match_indices("token").any(|(at, _)| !text[at..].starts_with("tokenizer"));
    let told = counts && any(LIMITS) && any(WHOLES);
    let is_of_request = matches!(status, None | Some(400 | 413 | 422));
    BARE.iter().any(says) || (told && is_of_request && numbers_show_overflow(text, status, sent.prompt_tokens.into()))
}

/// Tells whether a message's numbers speak of too much: one that is above another, both as large as windows are, or a
/// single one that is no more than what was sent, where that is known.
fn numbers_show_overflow(text: &str, status: Option<u16>, sent: u64) -> bool {
    let is_status = |number: u64| status.is_some_and(|status| number == u64::from(status));
    let mut numbers: Vec<u64> = numbers(text).filter(|number| *number >= WINDOW_MIN && !is_status(*number)).collect();
    // Quoted text is there twice.
    numbers.sort_unstable();
    numbers.dedup();
    match numbers[..] {
        [] => false,
        [limit] => sent == 0 || limit <= sent.saturating_add(sent / 4),
        _ => true,
    }
}

/// Returns the numbers of a text: with marks between thousands, and thousands and millions by their letters; not those
/// within names and dates.
fn numbers(text: &str) -> impl Iterator<Item = u64> {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let mut rest = text;
    let mut before = None;
    std::iter::from_fn(move || {
        let begin = rest.find(is_digit)?;
        before = rest[..begin].chars().next_back().or(before);
        rest = &rest[begin..];
        let mut number = String::new();
        loop {
            let end = rest.find(|letter: char| !is_digit(letter)).unwrap_or(rest.len());
            number.push_str(&rest[..end]);
            rest = &rest[end..];
            // A mark between thousands has three digits behind it, and no fourth.
            let mut behind = rest.chars();
            let is_mark = matches!(behind.next(), Some(',' | '_' | '.' | '\'' | '\u{a0}' | '\u{202f}'));
            let digits = behind.take_while(|letter| is_digit(*letter)).count();
            if !is_mark || digits != 3 {
                break;
            }
            rest = &rest[rest.char_indices().nth(1).map_or(rest.len(), |(at, _)| at)..];
        }
        let in_name = before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'));
        before = number.chars().next_back();
        let mut behind = rest.chars();
        let (next, after) = (behind.next(), behind.next());
        let is_end = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric() && letter != '-');
        let factor = match next {
            Some('k') if is_end(after) => 1_000,
            Some('m') if is_end(after) => 1_000_000,
            next if next.is_none_or(|letter| !letter.is_ascii_alphanumeric() && letter != '-') => 1,
            _ => 0,
        };
        let value = number.parse::<u64>().unwrap_or(0).saturating_mul(factor);
        Some(if in_name { 0 } else { value })
    })
}

//! The texts in which servers say what one model or server cannot do.
//!
//! As in all tables, the first rule that matches decides.

use super::tables::{CALLER, MISUSE, Rule};
use crate::words::FailureClass;

/// Inabilities of one model or server, in texts that weigh more than the code beside them: that code may be used for
/// any refused value.
pub(super) const LIMITS: &[Rule] = &[
    // An answer that is to be longer than one model gives.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &[],
        texts: &[
            // OpenAI, of either name of it.
            "this model supports at most",
            "max_tokens is too large",
            "max_completion_tokens is too large",
            "max_output_tokens is too large",
            "'max_tokens': integer above maximum",
            "'max_completion_tokens': integer above maximum",
            "'max_output_tokens': integer above maximum",
            // Anthropic; DeepSeek and Qwen; Groq; Google; Bedrock; Zhipu.
            "which is the maximum allowed number of output tokens",
            "range of max_tokens",
            "range of max_completion_tokens",
            "max_tokens value, the valid range",
            "max_tokens … must be less than or equal to",
            "max_completion_tokens … must be less than or equal to",
            "the maximum value for `max_tokens`",
            "the maximum value for `max_completion_tokens`",
            "supported range is from 1",
            "maximum output tokens",
            "maximum tokens you requested exceeds",
            "maxtokens … is not less or equal to",
            "max_tokens参数非法",
            "max_tokens 参数非法",
        ],
    },
    // A template that the server writes the conversation with, and takes its turns, its system and its tools as that
    // does.
    Rule {
        class: FailureClass::Unsupported,
        statuses: MISUSE,
        codes: &[],
        texts: &[
            "chat template",
            "chat_template",
            "jinja",
            "template error",
            "templateerror",
            "no user query found",
            "unexpected message role",
            // A role that newer clients have and older servers do not.
            "role: developer",
            "unknown variant `developer`",
            "'developer' is not one of",
            "roles must alternate",
            "must alternate between",
            "should alternate with",
            "should be alternating",
            "must be alternating",
            "requests alternate between",
            "roles are supported",
            "role is not supported",
            "role not supported",
            "expected last role",
            "last message must",
            "last message role must",
            "last message of",
            "first message must",
            "must start with a user message",
            "must end with a user message",
            "must be at the beginning",
            "must be the first message",
            "number of function calls and responses",
            "function call turn comes immediately after",
            "single tool-calls",
            "tools in the first user message",
            "must define tools",
            "field must be defined when",
            // Mistral, of an id that others take.
            "with a length of 9",
        ],
    },
    // How many there may be of something, how long or large it may be, and how it may be called.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &["array_above_max_length", "string_above_max_length", "image_too_large", "image_file_too_large"],
        texts: &[
            // OpenAI, Groq, Together; Anthropic; Google; Bedrock.
            "array too long",
            "string too long",
            "maximum number of items is",
            "supports up to",
            "should have at most",
            "image exceeds",
            "image dimensions exceed",
            "exceed max allowed size",
            "pdf pages may be provided",
            "with cache_control may be provided",
            "function declarations exceeds",
            "payload size exceeds",
            "enum values in total",
            "properties in total",
            "levels of nesting",
            "member must have length",
            "string should match pattern",
            "member must satisfy regular expression",
            "does not match the expected pattern",
            "invalid function name",
            "function name is invalid",
        ],
    },
    // How an answer is sent: some hosts give long ones, or those that reason, in pieces only.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "must have stream",
            "stream=true",
            "stream=false",
            "stream to true",
            "stream must be",
            "`stream` must be",
            "'stream' must be",
            "non-streaming",
            "streaming is required",
            "streaming is strongly",
            "requires streaming",
            "only support stream",
        ],
    },
    // Kinds of images and files that others may read.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "unsupported image",
            "unsupported file",
            "following formats",
            "supported formats",
            "supported image",
            "supported file",
            "image format",
            "file format",
            "audio format",
        ],
    },
    // Reasoning that belongs to an item of one provider.
    Rule { class: FailureClass::Unsupported, statuses: CALLER, codes: &[], texts: &["provided without its required"] },
    // Names of values that some servers know and others do not: the next target may know them.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &["literal_error", "union_tag_invalid"],
        texts: &[
            "does not match any of the expected tags",
            "invalid value: … supported values are",
            "unsupported mime type",
            "to be a supported format",
            "unexpected role",
            "invalid tool_choice type",
            "invalid service_tier",
            "unsupported content",
            "cannot unmarshal",
            "'content' field that is not empty",
            "input should be '",
            "is allowed for this model",
            "may only be set to 1 when thinking",
            "only allowed for string type",
            // The schemas that OpenAI takes.
            "at the top level",
            "'required' is required to be supplied",
            // State that one provider keeps, or a field that it needs beside another.
            "while downloading",
            "failed to download",
            "unable to download",
            "could not download",
            "cannot fetch content",
            "zero data retention",
            "must contain the word 'json'",
        ],
    },
    // Servers whose model reads only text, or no more than this many images.
    Rule {
        class: FailureClass::Unsupported,
        statuses: MISUSE,
        codes: &[],
        texts: &[
            "may be provided in one prompt",
            "may be provided in one request",
            "mmproj",
            "['text']",
            r#"["text"]"#,
            ", expected `text`",
            "value must be a string",
            "content must be a string",
            "content should be a string",
            "content must be of type string",
            "content: expected a string",
        ],
    },
];

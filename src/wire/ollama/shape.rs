//! The fields of answers that are known: everything else is drift.

use crate::wire::drift::Shape;

/// A line of a stream, or a whole reply.
pub(super) const LINE: Shape = Shape {
    plain: &[
        "context",
        "created_at",
        "done",
        "done_reason",
        "error",
        "eval_count",
        "eval_duration",
        "load_duration",
        "logprobs",
        "model",
        "prompt_eval_count",
        "prompt_eval_duration",
        "remote_host",
        "remote_model",
        "response",
        "thinking",
        "tool_calls",
        "total_duration",
    ],
    deep: &[("message", &MESSAGE)],
};

const MESSAGE: Shape = Shape {
    plain: &["content", "images", "role", "thinking", "tool_name"],
    deep: &[(
        "tool_calls",
        &Shape {
            plain: &["id", "type"],
            deep: &[("function", &Shape { plain: &["arguments", "description", "index", "name"], deep: &[] })],
        },
    )],
};

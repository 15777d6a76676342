//! Known events, blocks and fields of answers that are not read. Everything else unknown is reported as drift.

use crate::wire::drift::Shape;

/// Known events that are not read.
pub(super) const EVENTS: &[&str] = &["content_block_stop", "ping"];

/// Blocks that the provider's own tools leave; their results all end alike.
pub(super) const BLOCKS: &[&str] = &[
    "compaction",
    "container_upload",
    "fallback",
    "mcp_tool_use",
    "search_result",
    "server_tool_use",
    "tool_reference",
];

/// How blocks of a tool's result end: `web_search_tool_result`, `code_execution_tool_result`.
pub(super) const RESULT_SUFFIX: &str = "tool_result";

/// Known additions to blocks that are not read.
pub(super) const DELTAS: &[&str] = &["citations_delta", "compaction_delta"];

/// An event of a stream.
pub(super) const EVENT: Shape = Shape {
    plain: &["context_management", "content_block", "index", "type"],
    deep: &[("message", &MESSAGE), ("delta", &DELTA), ("usage", &USAGE)],
};

/// A message: whole, or as it begins.
pub(super) const MESSAGE: Shape = Shape {
    plain: &[
        "container",
        "context_management",
        "diagnostics",
        "id",
        "model",
        "role",
        "stop_details",
        "stop_reason",
        "stop_sequence",
        "type",
    ],
    deep: &[("content", &BLOCK), ("usage", &USAGE)],
};

const BLOCK: Shape = Shape {
    plain: &[
        "caller",
        "citations",
        "content",
        "data",
        "encrypted_content",
        "file_id",
        "id",
        "input",
        "is_error",
        "name",
        "server_name",
        "signature",
        "source",
        "text",
        "thinking",
        "title",
        "tool_use_id",
        "type",
    ],
    deep: &[],
};

const DELTA: Shape = Shape { plain: &["container", "stop_details", "stop_reason", "stop_sequence"], deep: &[] };

const USAGE: Shape = Shape {
    plain: &[
        "cache_creation",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "inference_geo",
        "input_tokens",
        "iterations",
        "output_tokens",
        "output_tokens_details",
        "server_tool_use",
        "service_tier",
        "speed",
    ],
    deep: &[],
};

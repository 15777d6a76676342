//! The parts of a response's items that come in pieces, and the events that tell them.

/// The lists of an item of a response whose parts have events: the list, the parts' index, and the events' name.
pub(super) const PARTS: [(&str, &str, &str); 2] = [
    ("content", "content_index", "response.content_part"),
    ("summary", "summary_index", "response.reasoning_summary_part"),
];
/// The parts whose text has events: their type, the text's field, and the events' name.
pub(super) const VOICES: [(&str, &str, &str); 4] = [
    ("output_text", "text", "response.output_text"),
    ("refusal", "refusal", "response.refusal"),
    ("summary_text", "text", "response.reasoning_summary_text"),
    ("reasoning_text", "text", "response.reasoning_text"),
];
/// The items that are calls whose input has events, in the same way.
pub(super) const CALLS: [(&str, &str, &str); 3] = [
    ("function_call", "arguments", "response.function_call_arguments"),
    ("custom_tool_call", "input", "response.custom_tool_call_input"),
    ("mcp_call", "arguments", "response.mcp_call_arguments"),
];

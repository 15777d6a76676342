//! Every message of a request with its fields, as Google's own clients know them.

use super::proto::Kind::{Bytes, Decimal, Enum, Flag, Integer, List, Map, Message as Of, Struct, Text, Value};
use super::proto::KnownBy::{Everywhere, Studio, Third, Vertex};
use super::proto::{Field, Kind, Message};

pub(super) static REQUEST: Message = Message {
    name: "GenerateContentRequest",
    fields: &[
        Field(Everywhere, "cached_content", Text),
        Field(Everywhere, "contents", List(&Of(&CONTENT))),
        Field(Everywhere, "generation_config", Of(&GENERATION_CONFIG)),
        Field(Vertex, "labels", Struct),
        Field(Everywhere, "model", Text),
        Field(Vertex, "model_armor_config", Struct),
        Field(Everywhere, "safety_settings", List(&Of(&SAFETY_SETTING))),
        Field(Everywhere, "service_tier", Text),
        Field(Everywhere, "system_instruction", Of(&CONTENT)),
        Field(Everywhere, "tool_config", Of(&TOOL_CONFIG)),
        Field(Everywhere, "tools", List(&Of(&TOOL))),
    ],
};

static CONTENT: Message = Message {
    name: "Content",
    fields: &[Field(Everywhere, "parts", List(&Of(&PART))), Field(Everywhere, "role", Text)],
};

static PART: Message = Message {
    name: "Part",
    fields: &[
        Field(Everywhere, "audio_transcription", Struct),
        Field(Everywhere, "code_execution_result", Struct),
        Field(Everywhere, "executable_code", Struct),
        Field(Everywhere, "file_data", Of(&FILE_DATA)),
        Field(Everywhere, "function_call", Of(&FUNCTION_CALL)),
        Field(Everywhere, "function_response", Of(&FUNCTION_RESPONSE)),
        Field(Everywhere, "inline_data", Of(&BLOB)),
        Field(Everywhere, "media_resolution", Struct),
        Field(Studio, "part_metadata", Struct),
        Field(Everywhere, "text", Text),
        Field(Everywhere, "thought", Flag),
        Field(Everywhere, "thought_signature", Bytes),
        Field(Studio, "tool_call", Struct),
        Field(Studio, "tool_response", Struct),
        Field(Everywhere, "video_metadata", Struct),
    ],
};

/// The fields of a part of which it has one.
pub(super) const DATA: [&str; 9] = [
    "code_execution_result",
    "executable_code",
    "file_data",
    "function_call",
    "function_response",
    "inline_data",
    "text",
    "tool_call",
    "tool_response",
];

static BLOB: Message = Message {
    name: "Blob",
    fields: &[
        Field(Everywhere, "data", Bytes),
        Field(Vertex, "display_name", Text),
        Field(Everywhere, "mime_type", Text),
    ],
};

static FILE_DATA: Message = Message {
    name: "FileData",
    fields: &[
        Field(Vertex, "display_name", Text),
        Field(Everywhere, "file_uri", Text),
        Field(Everywhere, "mime_type", Text),
    ],
};

static FUNCTION_CALL: Message = Message {
    name: "FunctionCall",
    fields: &[
        Field(Everywhere, "args", Struct),
        Field(Third, "id", Text),
        Field(Everywhere, "name", Text),
        Field(Vertex, "partial_args", Value),
        Field(Vertex, "will_continue", Flag),
    ],
};

static FUNCTION_RESPONSE: Message = Message {
    name: "FunctionResponse",
    fields: &[
        Field(Third, "id", Text),
        Field(Everywhere, "name", Text),
        Field(Everywhere, "parts", List(&Struct)),
        Field(Everywhere, "response", Struct),
        Field(Everywhere, "scheduling", Text),
        Field(Everywhere, "will_continue", Flag),
    ],
};

static TOOL: Message = Message {
    name: "Tool",
    fields: &[
        Field(Everywhere, "code_execution", Struct),
        Field(Everywhere, "computer_use", Struct),
        Field(Vertex, "enterprise_web_search", Struct),
        Field(Studio, "file_search", Struct),
        Field(Everywhere, "function_declarations", List(&Of(&FUNCTION_DECLARATION))),
        Field(Everywhere, "google_maps", Struct),
        Field(Everywhere, "google_search", Struct),
        Field(Everywhere, "google_search_retrieval", Struct),
        Field(Everywhere, "mcp_servers", List(&Struct)),
        Field(Vertex, "retrieval", Struct),
        Field(Everywhere, "url_context", Struct),
    ],
};

static FUNCTION_DECLARATION: Message = Message {
    name: "FunctionDeclaration",
    fields: &[
        Field(Studio, "behavior", Text),
        Field(Everywhere, "description", Text),
        Field(Everywhere, "name", Text),
        Field(Everywhere, "parameters", Of(&SCHEMA)),
        Field(Everywhere, "parameters_json_schema", Value),
        Field(Everywhere, "response", Of(&SCHEMA)),
        Field(Everywhere, "response_json_schema", Value),
    ],
};

const TYPE: Kind =
    Enum("Type", &["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"]);

/// The part of `OpenAPI`'s schemas that Google knows.
static SCHEMA: Message = Message {
    name: "Schema",
    fields: &[
        Field(Vertex, "$defs", Map(&SCHEMA)),
        Field(Vertex, "$ref", Text),
        Field(Vertex, "additional_properties", Value),
        Field(Everywhere, "any_of", List(&Of(&SCHEMA))),
        Field(Everywhere, "default", Value),
        Field(Vertex, "defs", Map(&SCHEMA)),
        Field(Everywhere, "description", Text),
        Field(Everywhere, "enum", List(&Text)),
        Field(Everywhere, "example", Value),
        Field(Everywhere, "format", Text),
        Field(Everywhere, "items", Of(&SCHEMA)),
        Field(Everywhere, "max_items", Integer),
        Field(Everywhere, "max_length", Integer),
        Field(Everywhere, "max_properties", Integer),
        Field(Everywhere, "maximum", Decimal),
        Field(Everywhere, "min_items", Integer),
        Field(Everywhere, "min_length", Integer),
        Field(Everywhere, "min_properties", Integer),
        Field(Everywhere, "minimum", Decimal),
        Field(Everywhere, "nullable", Flag),
        Field(Everywhere, "pattern", Text),
        Field(Everywhere, "properties", Map(&SCHEMA)),
        Field(Everywhere, "property_ordering", List(&Text)),
        Field(Vertex, "ref", Text),
        Field(Everywhere, "required", List(&Text)),
        Field(Everywhere, "title", Text),
        Field(Everywhere, "type", TYPE),
    ],
};

static TOOL_CONFIG: Message = Message {
    name: "ToolConfig",
    fields: &[
        Field(Everywhere, "function_calling_config", Of(&FUNCTION_CALLING_CONFIG)),
        Field(Studio, "include_server_side_tool_invocations", Flag),
        Field(Everywhere, "retrieval_config", Struct),
    ],
};

static FUNCTION_CALLING_CONFIG: Message = Message {
    name: "FunctionCallingConfig",
    fields: &[
        Field(Everywhere, "allowed_function_names", List(&Text)),
        Field(
            Everywhere,
            "mode",
            Enum("FunctionCallingConfig.Mode", &["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"]),
        ),
        Field(Vertex, "stream_function_call_arguments", Flag),
    ],
};

static SAFETY_SETTING: Message = Message {
    name: "SafetySetting",
    fields: &[
        Field(
            Everywhere,
            "category",
            Enum(
                "HarmCategory",
                &[
                    "HARM_CATEGORY_UNSPECIFIED",
                    "HARM_CATEGORY_DEROGATORY",
                    "HARM_CATEGORY_TOXICITY",
                    "HARM_CATEGORY_VIOLENCE",
                    "HARM_CATEGORY_SEXUAL",
                    "HARM_CATEGORY_MEDICAL",
                    "HARM_CATEGORY_DANGEROUS",
                    "HARM_CATEGORY_HARASSMENT",
                    "HARM_CATEGORY_HATE_SPEECH",
                    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
                    "HARM_CATEGORY_DANGEROUS_CONTENT",
                    "HARM_CATEGORY_CIVIC_INTEGRITY",
                ],
            ),
        ),
        Field(Vertex, "method", Text),
        Field(
            Everywhere,
            "threshold",
            Enum(
                "SafetySetting.HarmBlockThreshold",
                &[
                    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
                    "BLOCK_LOW_AND_ABOVE",
                    "BLOCK_MEDIUM_AND_ABOVE",
                    "BLOCK_ONLY_HIGH",
                    "BLOCK_NONE",
                    "OFF",
                ],
            ),
        ),
    ],
};

static GENERATION_CONFIG: Message = Message {
    name: "GenerationConfig",
    fields: &[
        Field(Vertex, "audio_timestamp", Flag),
        Field(Everywhere, "audio_transcription_config", Struct),
        Field(Everywhere, "candidate_count", Integer),
        Field(Everywhere, "enable_affective_dialog", Flag),
        Field(Studio, "enable_enhanced_civic_answers", Flag),
        Field(Everywhere, "frequency_penalty", Decimal),
        Field(Everywhere, "image_config", Struct),
        Field(Everywhere, "logprobs", Integer),
        Field(Everywhere, "max_output_tokens", Integer),
        Field(Everywhere, "media_resolution", Text),
        Field(Vertex, "model_config", Struct),
        Field(Everywhere, "presence_penalty", Decimal),
        Field(Everywhere, "response_format", Value),
        Field(Everywhere, "response_json_schema", Value),
        Field(Everywhere, "response_logprobs", Flag),
        Field(Everywhere, "response_mime_type", Text),
        Field(Everywhere, "response_modalities", List(&Text)),
        Field(Everywhere, "response_schema", Of(&SCHEMA)),
        Field(Vertex, "routing_config", Struct),
        Field(Everywhere, "seed", Integer),
        Field(Everywhere, "speech_config", Struct),
        Field(Everywhere, "stop_sequences", List(&Text)),
        Field(Everywhere, "temperature", Decimal),
        Field(Everywhere, "thinking_config", Of(&THINKING_CONFIG)),
        Field(Everywhere, "top_k", Integer),
        Field(Everywhere, "top_p", Decimal),
    ],
};

static THINKING_CONFIG: Message = Message {
    name: "ThinkingConfig",
    fields: &[
        Field(Everywhere, "include_thoughts", Flag),
        Field(Everywhere, "thinking_budget", Integer),
        Field(
            Everywhere,
            "thinking_level",
            Enum("ThinkingConfig.ThinkingLevel", &["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"]),
        ),
    ],
};

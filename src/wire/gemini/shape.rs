//! The fields of answers that are known: everything else is drift. A part's kind is a field here.

use crate::wire::drift::Shape;

/// A chunk of a stream, or a whole reply.
pub(super) const CHUNK: Shape = Shape {
    plain: &["createTime", "error", "modelStatus", "modelVersion", "promptFeedback", "responseId"],
    deep: &[("candidates", &CANDIDATE), ("usageMetadata", &USAGE)],
};

const CANDIDATE: Shape = Shape {
    plain: &[
        "avgLogprobs",
        "citationMetadata",
        "finishMessage",
        "finishReason",
        "groundingAttributions",
        "groundingMetadata",
        "index",
        "logprobsResult",
        "safetyRatings",
        "score",
        "tokenCount",
        "urlContextMetadata",
    ],
    deep: &[("content", &Shape { plain: &["role"], deep: &[("parts", &PART)] })],
};

const PART: Shape = Shape {
    plain: &[
        "codeExecutionResult",
        "executableCode",
        "fileData",
        "functionResponse",
        "inlineData",
        "mediaResolution",
        "partMetadata",
        "text",
        "thought",
        "thoughtSignature",
        "toolCall",
        "toolResponse",
        "videoMetadata",
    ],
    deep: &[("functionCall", &Shape { plain: &["args", "id", "name", "partialArgs", "willContinue"], deep: &[] })],
};

const USAGE: Shape = Shape {
    plain: &[
        "cacheTokensDetails",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "candidatesTokensDetails",
        "promptTokenCount",
        "promptTokensDetails",
        "responseTokenCount",
        "serviceTier",
        "thoughtsTokenCount",
        "toolUsePromptTokenCount",
        "toolUsePromptTokensDetails",
        "totalTokenCount",
        "trafficType",
    ],
    deep: &[],
};

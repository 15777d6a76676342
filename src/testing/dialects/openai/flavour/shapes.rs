//! The shapes of each provider's good answers, as recorded traffic has them.

/// An answer's bytes: templates, whose holes are JSON.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// An answer's id, of `$id`, `$uuid` and `$created`.
    pub(crate) id: &'static str,
    /// A call's id, of the answer's `$id`, the call's `$index` and a `$thought` mark.
    pub(crate) call_id: &'static str,

    /// The beginning of a stream.
    pub(crate) prelude: &'static str,
    /// A chunk: `$id`, `$created`, `$model`, `$choices`, `$usage`, and `$kind`, a chunk or done.
    pub(crate) chunk: &'static str,
    /// A chunk's choice: `$delta`, `$finish` (or null), `$end` (the finish if there is one), `$piece` (the text in
    /// it), `$said` (all text so far).
    pub(crate) choice: &'static str,
    /// The first delta; some begin with none.
    pub(crate) opening: Option<&'static str>,
    /// Deltas of a `$text`.
    pub(crate) text: &'static str,
    pub(crate) thought: &'static str,
    /// A call's beginning: `$index`, `$id`, `$name`, and `$arguments` where it comes whole.
    pub(crate) call: &'static str,
    /// More of a call: `$index`, `$arguments`; `None` where it comes whole.
    pub(crate) arguments: Option<&'static str>,
    /// The last delta.
    pub(crate) closing: &'static str,
    /// The usage in an ordinary chunk: not asked for, and asked for.
    pub(crate) no_usage: [&'static str; 2],
    /// The usage in the last chunk: `$usage`.
    pub(crate) end_usage: &'static str,
    /// Whether there is a chunk of its own for usage, and its content: `$usage`.
    pub(crate) own_usage: UsageChunk,
    pub(crate) usage_chunk: &'static str,
    /// The end of a stream.
    pub(crate) done: &'static str,
    /// How a failure after a 200 looks in a stream and in a whole answer, where that is not simply an error: `$id`,
    /// `$created`, `$model`.
    pub(crate) failure: Option<[&'static str; 2]>,

    /// A whole answer: `$id`, `$created`, `$model`, `$message`, `$finish`, `$usage`.
    pub(crate) whole: &'static str,
    /// Its message: `$content`, `$thought`, `$calls`.
    pub(crate) message: &'static str,
    /// The content where there is none but calls.
    pub(crate) silence: &'static str,
    /// The content where it holds the `$thought` beside the `$text`.
    pub(crate) thoughtful: Option<&'static str>,
    /// Without and with a thought, `$text`.
    pub(crate) thoughts: [&'static str; 2],
    /// Without and with calls, `$list`.
    pub(crate) calls: [&'static str; 2],
    /// One of them: `$index`, `$id`, `$name`, `$arguments`.
    pub(crate) one_call: &'static str,

    /// `$input`, `$output`, `$total`, `$cached`, `$missed`, `$reasoning`, `$visible`.
    pub(crate) usage: &'static str,
    /// Its finish reasons: done, cut by the limit, tool calls.
    pub(crate) finish: [&'static str; 3],
}

/// Whether usage has a chunk of its own at a stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageChunk {
    Never,
    Asked,
    Always,
}

const WHOLE_CALL: &str =
    r#"{"tool_calls":[{"index":$index,"id":$id,"type":"function","function":{"name":$name,"arguments":$arguments}}]}"#;
const INDEXED_CALL: &str =
    r#"{"index":$index,"id":$id,"type":"function","function":{"name":$name,"arguments":$arguments}}"#;
const THREE_COUNTS: &str = r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total}"#;

pub(super) const OPENAI: Shapes = Shapes {
    id: "chatcmpl-$id",
    call_id: "call_$id$index",
    prelude: "",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\
        \"service_tier\":\"default\",\"system_fingerprint\":\"fp_standin\",\"choices\":[$choices]$usage}\n\n",
    choice: r#"{"index":0,"delta":$delta,"logprobs":null,"finish_reason":$finish}"#,
    opening: Some(r#"{"role":"assistant","content":"","refusal":null}"#),
    text: r#"{"content":$text}"#,
    thought: r#"{"reasoning_content":$text}"#,
    call: r#"{"tool_calls":[{"index":$index,"id":$id,"type":"function","function":{"name":$name,"arguments":""}}]}"#,
    arguments: Some(r#"{"tool_calls":[{"index":$index,"function":{"arguments":$arguments}}]}"#),
    closing: "{}",
    no_usage: ["", r#","usage":null"#],
    end_usage: "",
    own_usage: UsageChunk::Asked,
    usage_chunk: r#","usage":$usage"#,
    done: "data: [DONE]\n\n",
    failure: None,
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"choices":[{"index":0,"message":$message,"logprobs":null,"finish_reason":$finish}],"usage":$usage,"service_tier":"default","system_fingerprint":"fp_standin"}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls,"refusal":null,"annotations":[]}"#,
    silence: "null",
    thoughtful: None,
    thoughts: ["", r#","reasoning_content":$text"#],
    calls: ["", r#","tool_calls":[$list]"#],
    one_call: r#"{"id":$id,"type":"function","function":{"name":$name,"arguments":$arguments}}"#,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total,"prompt_tokens_details":{"cached_tokens":$cached,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":$reasoning,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
    finish: ["stop", "length", "tool_calls"],
};

/// The results of Azure's filter are everywhere, and those of the prompt come first.
pub(super) const AZURE: Shapes = Shapes {
    prelude: "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[\
        {\"prompt_index\":0,\"content_filter_results\":{\"hate\":{\"filtered\":false,\"severity\":\"safe\"},\
        \"jailbreak\":{\"detected\":false,\"filtered\":false},\"self_harm\":{\"filtered\":false,\"severity\":\"safe\"},\
        \"sexual\":{\"filtered\":false,\"severity\":\"safe\"},\"violence\":{\"filtered\":false,\"severity\":\"safe\"}}}]}\n\n",
    chunk: "data: {\"choices\":[$choices],\"created\":$created,\"id\":$id,\"model\":$model,\"obfuscation\":\"32stz\",\
        \"object\":\"chat.completion.chunk\",\"service_tier\":\"default\",\"system_fingerprint\":null$usage}\n\n",
    choice: r#"{"content_filter_results":{},"delta":$delta,"finish_reason":$finish,"index":0,"logprobs":null}"#,
    opening: Some(r#"{"content":"","refusal":null,"role":"assistant"}"#),
    whole: r#"{"choices":[{"content_filter_results":{},"finish_reason":$finish,"index":0,"logprobs":null,"message":$message}],"created":$created,"id":$id,"model":$model,"object":"chat.completion","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}],"service_tier":"default","system_fingerprint":null,"usage":$usage}"#,
    ..OPENAI
};

pub(super) const DEEPSEEK: Shapes = Shapes {
    id: "$uuid",
    call_id: "call_0$index_$id$thought",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\
        \"system_fingerprint\":\"fp_standin\",\"choices\":[$choices]$usage}\n\n",
    opening: Some(r#"{"role":"assistant","content":null,"reasoning_content":""}"#),
    text: r#"{"content":$text,"reasoning_content":null}"#,
    thought: r#"{"content":null,"reasoning_content":$text}"#,
    closing: r#"{"content":"","reasoning_content":null}"#,
    end_usage: r#","usage":$usage"#,
    own_usage: UsageChunk::Never,
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"choices":[{"index":0,"message":$message,"logprobs":null,"finish_reason":$finish}],"usage":$usage,"system_fingerprint":"fp_standin"}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls}"#,
    silence: r#""""#,
    one_call: INDEXED_CALL,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total,"prompt_tokens_details":{"cached_tokens":$cached},"completion_tokens_details":{"reasoning_tokens":$reasoning},"prompt_cache_hit_tokens":$cached,"prompt_cache_miss_tokens":$missed}"#,
    ..OPENAI
};

pub(super) const MISTRAL: Shapes = Shapes {
    id: "$id$id",
    call_id: "$short$index",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\"choices\":[\
        $choices]$usage,\"p\":\"abcdefghijk\"}\n\n",
    choice: r#"{"index":0,"delta":$delta,"finish_reason":$finish}"#,
    opening: Some(r#"{"role":"assistant","content":""}"#),
    thought: r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":$text}]}]}"#,
    call: r#"{"tool_calls":[{"id":$id,"function":{"name":$name,"arguments":$arguments},"index":$index}]}"#,
    arguments: None,
    closing: r#"{"content":""}"#,
    no_usage: ["", ""],
    end_usage: r#","usage":$usage"#,
    own_usage: UsageChunk::Never,
    whole: r#"{"id":$id,"created":$created,"model":$model,"usage":$usage,"object":"chat.completion","choices":[{"index":0,"finish_reason":$finish,"message":$message}]}"#,
    message: r#"{"role":"assistant"$calls,"content":$content}"#,
    silence: r#""""#,
    thoughtful: Some(
        r#"[{"type":"thinking","thinking":[{"type":"text","text":$thought}],"closed":true},{"type":"text","text":$text}]"#,
    ),
    thoughts: ["", ""],
    calls: [r#","tool_calls":null"#, r#","tool_calls":[$list]"#],
    one_call: r#"{"id":$id,"type":"function","function":{"name":$name,"arguments":$arguments},"index":$index}"#,
    usage: r#"{"prompt_tokens":$input,"total_tokens":$total,"completion_tokens":$output,"prompt_tokens_details":{"cached_tokens":$cached},"service_tier":"standard"}"#,
    ..OPENAI
};

pub(super) const QWEN: Shapes = Shapes {
    id: "chatcmpl-$uuid",
    chunk: "data: {\"choices\":[$choices],\"object\":\"chat.completion.chunk\"$usage,\"created\":$created,\
        \"system_fingerprint\":null,\"model\":$model,\"id\":$id}\n\n",
    choice: r#"{"delta":$delta,"finish_reason":$finish,"index":0,"logprobs":null}"#,
    opening: Some(r#"{"content":"","role":"assistant"}"#),
    thought: r#"{"content":null,"reasoning_content":$text}"#,
    call: r#"{"content":null,"tool_calls":[{"index":$index,"id":$id,"type":"function","function":{"name":$name,"arguments":""}}]}"#,
    // The id is empty in what follows.
    arguments: Some(
        r#"{"content":null,"tool_calls":[{"index":$index,"id":"","type":"function","function":{"arguments":$arguments}}]}"#,
    ),
    no_usage: [r#","usage":null"#; 2],
    whole: r#"{"choices":[{"message":$message,"finish_reason":$finish,"index":0,"logprobs":null}],"object":"chat.completion","usage":$usage,"created":$created,"system_fingerprint":null,"model":$model,"id":$id}"#,
    message: r#"{"content":$content$thought,"role":"assistant"$calls}"#,
    silence: r#""""#,
    one_call: INDEXED_CALL,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total,"completion_tokens_details":{"reasoning_tokens":$reasoning},"prompt_tokens_details":{"cached_tokens":$cached}}"#,
    ..OPENAI
};

pub(super) const GROQ: Shapes = Shapes {
    id: "chatcmpl-$uuid",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\
        \"system_fingerprint\":\"fp_standin\",\"choices\":[$choices]$usage}\n\n",
    opening: Some(r#"{"role":"assistant","content":""}"#),
    thought: r#"{"reasoning":$text,"channel":"analysis"}"#,
    call: WHOLE_CALL,
    arguments: None,
    no_usage: ["", ""],
    end_usage: r#","x_groq":{"id":"req_drill","usage":$usage}"#,
    failure: Some([
        "event: error\ndata: {\"error\":{\"message\":\"Internal Server Error\",\"type\":\"internal_server_error\",\
            \"code\":\"internal_server_error\",\"status_code\":500}}\n\n",
        r#"{"error":{"message":"Internal Server Error","type":"internal_server_error","code":"internal_server_error"}}"#,
    ]),
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"choices":[{"index":0,"message":$message,"logprobs":null,"finish_reason":$finish}],"usage":$usage,"usage_breakdown":null,"system_fingerprint":"fp_standin","x_groq":{"id":"req_drill","seed":167346302},"service_tier":"on_demand"}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls}"#,
    thoughts: ["", r#","reasoning":$text"#],
    usage: r#"{"queue_time":0.041876985,"prompt_tokens":$input,"prompt_time":0.001954727,"completion_tokens":$output,"completion_time":2.245177008,"total_tokens":$total,"total_time":2.247131735,"prompt_tokens_details":{"cached_tokens":$cached},"completion_tokens_details":{"reasoning_tokens":$reasoning}}"#,
    ..OPENAI
};

/// Tokens of the answer are the visible ones; only the total has the thoughts.
pub(super) const XAI: Shapes = Shapes {
    id: "$uuid",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\"choices\":[\
        $choices]$usage,\"system_fingerprint\":\"fp_standin\"}\n\n",
    choice: r#"{"index":0,"delta":$delta$end}"#,
    opening: None,
    text: r#"{"content":$text,"role":"assistant"}"#,
    thought: r#"{"reasoning_content":$text,"role":"assistant"}"#,
    call: r#"{"role":"assistant","tool_calls":[{"id":$id,"function":{"name":$name,"arguments":$arguments},"index":$index,"type":"function"}]}"#,
    arguments: None,
    no_usage: ["", ""],
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"choices":[{"index":0,"message":$message,"finish_reason":$finish}],"usage":$usage,"system_fingerprint":"fp_standin"}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls,"refusal":null}"#,
    silence: r#""""#,
    one_call: r#"{"id":$id,"function":{"name":$name,"arguments":$arguments},"type":"function"}"#,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$visible,"total_tokens":$total,"prompt_tokens_details":{"text_tokens":$input,"audio_tokens":0,"image_tokens":0,"cached_tokens":$cached},"completion_tokens_details":{"reasoning_tokens":$reasoning,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0},"num_sources_used":0,"cost_in_usd_ticks":731000}"#,
    ..OPENAI
};

pub(super) const TOGETHER: Shapes = Shapes {
    id: "o$id",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"choices\":[$choices],\
        \"model\":$model$usage}\n\n",
    choice: r#"{"index":0,"text":$piece,"logprobs":null,"finish_reason":$finish,"seed":null,"delta":$delta}"#,
    opening: None,
    text: r#"{"token_id":16,"role":"assistant","content":$text}"#,
    thought: r#"{"token_id":16,"role":"assistant","content":"","reasoning":$text}"#,
    closing: r#"{"token_id":128009,"role":"assistant","content":""}"#,
    no_usage: [r#","usage":null"#; 2],
    end_usage: r#","usage":$usage"#,
    own_usage: UsageChunk::Never,
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"prompt":[],"choices":[{"finish_reason":$finish,"seed":9949578379265081000,"index":0,"logprobs":null,"message":$message}],"usage":$usage}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls}"#,
    thoughts: ["", r#","reasoning":$text"#],
    calls: [r#","tool_calls":[]"#, r#","tool_calls":[$list]"#],
    one_call: INDEXED_CALL,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total,"cached_tokens":$cached}"#,
    finish: ["eos", "length", "tool_calls"],
    ..OPENAI
};

pub(super) const OPENROUTER: Shapes = Shapes {
    id: "gen-$created-$id",
    prelude: ": OPENROUTER PROCESSING\n\n",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\"provider\":\
        \"Amazon Bedrock\",\"choices\":[$choices]$usage}\n\n",
    choice: r#"{"index":0,"delta":$delta,"finish_reason":$finish,"native_finish_reason":$finish}"#,
    opening: None,
    text: r#"{"content":$text,"role":"assistant"}"#,
    thought: r#"{"content":"","role":"assistant","reasoning":$text,"reasoning_details":[{"type":"reasoning.text","text":$text,"format":"unknown","index":0}]}"#,
    call: r#"{"content":null,"role":"assistant","tool_calls":[{"index":$index,"id":$id,"type":"function","function":{"name":$name,"arguments":""}}]}"#,
    arguments: Some(
        r#"{"content":null,"role":"assistant","tool_calls":[{"index":$index,"function":{"arguments":$arguments}}]}"#,
    ),
    closing: r#"{"content":"","role":"assistant"}"#,
    no_usage: ["", ""],
    own_usage: UsageChunk::Always,
    failure: Some([
        "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\"provider\":\
            \"Amazon Bedrock\",\"error\":{\"code\":502,\"message\":\"Provider disconnected unexpectedly\",\"metadata\":\
            {\"error_type\":\"provider_unavailable\"}},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\
            \"finish_reason\":\"error\"}]}\n\n",
        r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"provider":"Amazon Bedrock","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"error","error":{"code":502,"message":"Provider disconnected unexpectedly","metadata":{"error_type":"provider_unavailable"}}}]}"#,
    ]),
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"provider":"Amazon Bedrock","system_fingerprint":null,"service_tier":null,"choices":[{"index":0,"logprobs":null,"finish_reason":$finish,"native_finish_reason":$finish,"message":$message}],"usage":$usage}"#,
    message: r#"{"role":"assistant","content":$content,"refusal":null$thought$calls}"#,
    thoughts: [
        r#","reasoning":null"#,
        r#","reasoning":$text,"reasoning_details":[{"type":"reasoning.text","text":$text,"format":"unknown","index":0}]"#,
    ],
    one_call: r#"{"type":"function","index":$index,"id":$id,"function":{"name":$name,"arguments":$arguments}}"#,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total,"cost":0.000971,"is_byok":false,"prompt_tokens_details":{"cached_tokens":$cached,"cache_write_tokens":0,"audio_tokens":0,"video_tokens":0},"cost_details":{"upstream_inference_cost":0.000971,"upstream_inference_prompt_cost":0.000596,"upstream_inference_completions_cost":0.000375},"completion_tokens_details":{"reasoning_tokens":$reasoning,"image_tokens":0,"audio_tokens":0}}"#,
    ..OPENAI
};

/// Every chunk repeats all text and usage so far; the last one is called done.
pub(super) const PERPLEXITY: Shapes = Shapes {
    id: "$uuid",
    chunk: "data: {\"choices\":[$choices],\"citations\":[\"https://standin.test\"],\
        \"search_results\":[{\"title\":\"A page\",\"url\":\"https://standin.test\",\"date\":null,\"last_updated\":\
        \"2026-01-01\",\"snippet\":\"A page.\",\"source\":\"web\",\"place_metadata\":null}],\"created\":$created,\"id\":$id,\
        \"model\":$model,\"object\":\"chat.completion.$kind\"$usage}\n\n",
    choice: r#"{"delta":$delta$end,"index":0,"message":{"content":$said,"role":"assistant"}}"#,
    opening: None,
    text: r#"{"content":$text,"role":"assistant"}"#,
    closing: r#"{"content":"","role":"assistant"}"#,
    no_usage: [r#","usage":$usage"#; 2],
    end_usage: r#","usage":$usage"#,
    own_usage: UsageChunk::Never,
    done: "",
    whole: r#"{"id":$id,"model":$model,"created":$created,"usage":$usage,"citations":["https://standin.test"],"search_results":[{"title":"A page","url":"https://standin.test","date":null,"last_updated":"2026-01-01","snippet":"A page.","source":"web"}],"object":"chat.completion","choices":[{"index":0,"message":$message,"delta":{"role":"assistant","content":""},"finish_reason":$finish}]}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls}"#,
    usage: r#"{"prompt_tokens":$input,"completion_tokens":$output,"total_tokens":$total,"search_context_size":"low","cost":{"input_tokens_cost":0.00054,"output_tokens_cost":0.00017,"request_cost":0.005,"total_cost":0.00571}}"#,
    ..OPENAI
};

pub(super) const VLLM: Shapes = Shapes {
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\"choices\":[\
        $choices]$usage}\n\n",
    opening: Some(r#"{"role":"assistant","content":""}"#),
    no_usage: ["", ""],
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"choices":[{"index":0,"message":$message,"logprobs":null,"finish_reason":$finish,"stop_reason":null}],"usage":$usage,"prompt_logprobs":null}"#,
    message: r#"{"role":"assistant"$thought,"content":$content$calls}"#,
    thoughts: [r#","reasoning_content":null"#, r#","reasoning_content":$text"#],
    calls: [r#","tool_calls":[]"#, r#","tool_calls":[$list]"#],
    usage: r#"{"prompt_tokens":$input,"total_tokens":$total,"completion_tokens":$output,"prompt_tokens_details":null}"#,
    ..OPENAI
};

pub(super) const OLLAMA: Shapes = Shapes {
    id: "chatcmpl-609",
    chunk: "data: {\"id\":$id,\"object\":\"chat.completion.chunk\",\"created\":$created,\"model\":$model,\
        \"system_fingerprint\":\"fp_ollama\",\"choices\":[$choices]$usage}\n\n",
    choice: r#"{"index":0,"delta":$delta,"finish_reason":$finish}"#,
    opening: None,
    text: r#"{"role":"assistant","content":$text}"#,
    thought: r#"{"role":"assistant","content":"","reasoning":$text}"#,
    call: r#"{"role":"assistant","content":"","tool_calls":[{"id":$id,"index":$index,"type":"function","function":{"name":$name,"arguments":$arguments}}]}"#,
    arguments: None,
    closing: r#"{"role":"assistant","content":""}"#,
    no_usage: ["", ""],
    whole: r#"{"id":$id,"object":"chat.completion","created":$created,"model":$model,"system_fingerprint":"fp_ollama","choices":[{"index":0,"message":$message,"finish_reason":$finish}],"usage":$usage}"#,
    message: r#"{"role":"assistant","content":$content$thought$calls}"#,
    silence: r#""""#,
    thoughts: ["", r#","reasoning":$text"#],
    one_call: r#"{"id":$id,"index":$index,"type":"function","function":{"name":$name,"arguments":$arguments}}"#,
    usage: THREE_COUNTS,
    ..OPENAI
};

pub(super) const LLAMACPP: Shapes = Shapes {
    chunk: "data: {\"choices\":[$choices],\"created\":$created,\"id\":$id,\"model\":$model,\"system_fingerprint\":\
        \"b7010-c27efd2bd\",\"object\":\"chat.completion.chunk\"$usage}\n\n",
    choice: r#"{"finish_reason":$finish,"index":0,"delta":$delta}"#,
    opening: Some(r#"{"role":"assistant","content":null}"#),
    no_usage: ["", ""],
    usage_chunk: r#","usage":$usage,"timings":{"cache_n":0,"prompt_n":84,"prompt_ms":292.377,"prompt_per_token_ms":3.48,"prompt_per_second":287.3,"predicted_n":47,"predicted_ms":391.773,"predicted_per_token_ms":8.33,"predicted_per_second":119.96}"#,
    whole: r#"{"choices":[{"finish_reason":$finish,"index":0,"message":$message}],"created":$created,"model":$model,"system_fingerprint":"b7010-c27efd2bd","object":"chat.completion","usage":$usage,"id":$id,"timings":{"cache_n":0,"prompt_n":84,"prompt_ms":292.377,"prompt_per_token_ms":3.48,"prompt_per_second":287.3,"predicted_n":47,"predicted_ms":391.773,"predicted_per_token_ms":8.33,"predicted_per_second":119.96}}"#,
    message: r#"{"role":"assistant"$thought,"content":$content$calls}"#,
    usage: r#"{"completion_tokens":$output,"prompt_tokens":$input,"total_tokens":$total,"prompt_tokens_details":{"cached_tokens":$cached}}"#,
    ..OPENAI
};

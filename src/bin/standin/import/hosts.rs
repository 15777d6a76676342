//! Finds the provider behind the names that other gateways use.

use standin::ProviderConfig;
use standin::config::{Preset, presets};

/// The provider of another gateway's model, in our terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Its provider's name here.
    pub name: String,
    /// Its preset; none, where it is only an address.
    pub preset: &'static str,
    /// Its address, where there is no preset of it.
    pub base: Option<&'static str>,
    /// The variable that usually holds its key, where there is no preset of it.
    pub env: Option<&'static str>,
    /// Its dialect, where it is another than its preset's, or than most providers'.
    pub dialect: Option<&'static str>,
    /// The model, as its provider calls it.
    pub model: String,
    /// What the model is the same as, where it goes by another name.
    pub stands_for: Option<String>,
    /// Whether all of a vendor's models are meant.
    pub all: bool,
    /// Whether its name says that it is asked by `OpenAI`'s responses.
    pub responses: bool,
}

/// A name before the slash, and the preset it means.
const PRESETS: [(&str, &str); 31] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("azure", "azure"),
    ("gemini", "gemini"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("deepseek", "deepseek"),
    ("mistral", "mistral"),
    ("codestral", "mistral"),
    ("dashscope", "qwen"),
    ("openrouter", "openrouter"),
    ("vercel_ai_gateway", "vercel"),
    ("litellm_proxy", "litellm"),
    ("groq", "groq"),
    ("xai", "xai"),
    ("together_ai", "together"),
    ("together", "together"),
    ("perplexity", "perplexity"),
    ("cerebras", "cerebras"),
    ("fireworks_ai", "fireworks"),
    ("huggingface", "huggingface"),
    ("zai", "zai"),
    ("zhipu", "zai"),
    ("moonshot", "kimi"),
    ("minimax", "minimax"),
    ("ollama", "ollama"),
    ("ollama_chat", "ollama"),
    ("hosted_vllm", "vllm"),
    ("vllm", "vllm"),
    ("lm_studio", "lmstudio"),
    ("llamafile", "llamacpp"),
];

/// Hosts that speak `OpenAI`'s chat completions and have no preset: name, address, variable.
const OTHERS: [(&str, &str, &str); 10] = [
    ("nvidia_nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    ("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    ("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    ("github", "https://models.github.ai/inference", "GITHUB_API_KEY"),
    ("cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    ("cohere_chat", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    ("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    ("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    ("novita", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    ("volcengine", "https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
];

/// Hosts with an interface that is not supported.
const FOREIGN: [(&str, &str); 9] = [
    ("bedrock", "Bedrock's signed requests are not spoken; a gateway before it is a provider like any"),
    ("sagemaker", "SageMaker's signed requests are not spoken"),
    ("watsonx", "watsonx is not spoken"),
    ("replicate", "Replicate's predictions are not spoken"),
    ("cloudflare", "Workers AI is not known here: give its OpenAI-compatible address as a `base_url`"),
    ("elevenlabs", "speech is not served: conversations and embeddings only"),
    ("text-completion-openai", "the older completions are not spoken"),
    ("databricks", "Databricks is not known here: give its OpenAI-compatible address as a `base_url`"),
    ("azure_ai", "Azure AI's own addresses are not known here: give its OpenAI-compatible address as a `base_url`"),
];

/// Finds the provider that is meant by a model of `LiteLLM`'s, and by the address beside it.
///
/// # Errors
/// Why it cannot be served.
pub fn litellm(model: &str, base: Option<&str>) -> Result<Host, String> {
    let based = base.is_some();
    let (prefix, rest) = match model.split_once('/') {
        Some((prefix, rest)) => (prefix, rest),
        None => (
            guess(model).ok_or(()).or_else(|()| {
                if based {
                    Ok("openai")
                } else {
                    Err(format!("no provider is known for `{model}`: write it with its provider, as openai/{model}"))
                }
            })?,
            model,
        ),
    };
    if let Some((_, why)) = FOREIGN.iter().find(|(name, _)| *name == prefix) {
        return Err((*why).to_owned());
    }
    for kind in
        ["image", "imagen", "veo-", "tts", "whisper", "dall-e", "rerank", "transcribe", "moderation", "realtime"]
    {
        if rest.to_lowercase().contains(kind) {
            return Err(format!("`{rest}` is not served: conversations and embeddings only"));
        }
    }
    if rest.trim().is_empty() {
        return Err(format!("`{model}` names no model: write it behind the slash"));
    }
    let (responses, rest) = rest.strip_prefix("responses/").map_or((false, rest), |rest| (true, rest));
    let all = rest.ends_with('*');
    let host = |name: &str, preset: &'static str| Host {
        name: name.to_owned(),
        preset,
        base: None,
        env: None,
        dialect: None,
        model: rest.to_owned(),
        stands_for: None,
        all,
        responses,
    };
    let known = PRESETS.iter().find(|(name, _)| *name == prefix).map(|(_, preset)| *preset);
    let other = OTHERS.iter().find(|(name, ..)| *name == prefix);
    let found = match (prefix, known) {
        // That it speaks as OpenAI does says nothing of who it is; its address may.
        ("openai", Some(_)) if based => match base.and_then(at) {
            Some(Known::Preset(preset)) => host(preset.name, preset.name),
            Some(Known::Other((name, base, env))) => Host { base: Some(base), env: Some(env), ..host(name, "") },
            None => host(&base.map_or_else(local, by_address), ""),
        },
        ("vertex_ai" | "vertex_ai_beta", _) if rest.starts_with("claude") => {
            host("vertex-anthropic", "vertex-anthropic")
        }
        ("vertex_ai" | "vertex_ai_beta", _) if !rest.starts_with("gemini") && !all && !rest.contains("embed") => {
            return Err(format!("Vertex AI serves Google's and Anthropic's models here, and `{rest}` is neither"));
        }
        (_, Some("ollama")) => host("ollama", "ollama"),
        (_, Some(preset)) => host(preset, preset),
        (_, None) => match other {
            Some((name, base, env)) => Host { base: Some(base), env: Some(env), ..host(name, "") },
            None if based => match base.and_then(at) {
                Some(Known::Preset(preset)) => host(preset.name, preset.name),
                _ => host(&tidy(prefix), ""),
            },
            None => {
                return Err(format!(
                    "the provider `{prefix}` is not known here: with an `api_base` that speaks as OpenAI does it could be served"
                ));
            }
        },
    };
    if all
        && !["openai", "openai-responses", "anthropic", "gemini", "deepseek", "mistral", "qwen"].contains(&found.preset)
    {
        return Err(format!("`{prefix}` serves only models that are named here: name them in its `models`"));
    }
    Ok(found)
}

/// A provider that is known by its address.
enum Known {
    Preset(&'static Preset),
    Other((&'static str, &'static str, &'static str)),
}

/// Finds the provider whose public address this is.
fn at(base: &str) -> Option<Known> {
    let wanted = authority(base);
    let is_there = |known: &str| authority(known) == wanted;
    let preset = presets().iter().find(|preset| preset.base_url.starts_with("https") && is_there(preset.base_url));
    let other = || OTHERS.iter().find(|(_, base, _)| is_there(base)).map(|other| Known::Other(*other));
    preset.map(Known::Preset).or_else(other)
}

/// Returns the host of an address, and its port where it has one.
fn authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest).to_ascii_lowercase()
}

/// Guesses the provider of a model without one.
fn guess(model: &str) -> Option<&'static str> {
    let starts = |words: &[&str]| words.iter().any(|word| model.starts_with(word));
    match model {
        "*" => Some("openai"),
        _ if starts(&["gpt-", "o1", "o3", "o4", "chatgpt", "text-embedding-", "ft:gpt"]) => Some("openai"),
        _ if starts(&["claude"]) => Some("anthropic"),
        // LiteLLM's own list has them at Vertex AI; only `gemini/` means AI Studio.
        _ if starts(&["gemini"]) => Some("vertex_ai"),
        _ if starts(&["deepseek-"]) => Some("deepseek"),
        _ if starts(&["mistral-", "codestral", "magistral", "ministral"]) => Some("mistral"),
        _ if starts(&["command-"]) => Some("cohere"),
        _ if starts(&["grok-"]) => Some("xai"),
        _ => None,
    }
}

/// The name of a provider that is somewhere on this machine, or whose address is not known here.
fn local() -> String {
    "local".to_owned()
}

/// Names a provider by the host of its address, unless that is this machine or would name a preset.
fn by_address(base: &str) -> String {
    let authority = authority(base);
    let host = if authority.starts_with('[') { "" } else { authority.split(':').next().unwrap_or_default() };
    let is_here = ["localhost", "0.0.0.0", "host.docker.internal"].contains(&host) || host.starts_with("127.");
    let is_preset = Preset::named(host).is_some();
    if host.is_empty() || is_here || is_preset || host.contains('$') { local() } else { tidy(host) }
}

/// Returns a name in the form of ours.
fn tidy(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' }).collect()
}

/// Returns an address in the form of ours: the part before the dialect's own path. None, where it is the one that its
/// provider has anyway.
pub fn base_url(host: &Host, base: &str) -> Option<String> {
    let base = base.trim_end_matches('/');
    let base = ["/chat/completions", "/completions", "/messages", "/api/generate", "/api/chat", "/api"]
        .iter()
        .find_map(|end| base.strip_suffix(end))
        .unwrap_or(base);
    let base = base.strip_suffix(&format!("/models/{}", host.model)).unwrap_or(base);
    // LiteLLM adds the version of these two itself, whatever a variable holds.
    if base.starts_with("${") && base.ends_with('}') {
        let version = if matches!(host.preset, "ollama" | "anthropic") { "/v1" } else { "" };
        return Some(format!("{base}{version}"));
    }
    let usual = Preset::named(host.preset).map(|preset| preset.base_url);
    let path = |url: &str| url.split_once("://").and_then(|(_, rest)| Some(rest.split_once('/')?.1.to_owned()));
    let is_usual = |usual: &str| {
        let usual_ways = ["", "v1", "v1beta/openai"];
        let own = path(base).unwrap_or_default();
        authority(usual) == authority(base) && (path(usual).unwrap_or_default() == own || usual_ways.contains(&&*own))
    };
    if usual.or(host.base).is_some_and(is_usual) {
        return None;
    }
    let preset = (!host.preset.is_empty()).then(|| host.preset.to_owned());
    let provider = ProviderConfig { preset, ..ProviderConfig::new(base) };
    Some(provider.meant_base_url(&host.name).unwrap_or_else(|| base.to_owned()))
}

/// Finds the provider that is meant by one of Portkey's.
pub fn portkey(provider: &str, model: &str) -> Option<Host> {
    let name = match provider {
        "azure-openai" => "azure",
        "google" => "gemini",
        "vertex-ai" => "vertex_ai",
        "mistral-ai" => "mistral",
        "together-ai" => "together_ai",
        "perplexity-ai" => "perplexity",
        "x-ai" => "xai",
        "fireworks-ai" => "fireworks_ai",
        "deepinfra" => "deepinfra",
        "moonshot" => "moonshot",
        "dashscope" => "dashscope",
        other => other,
    };
    litellm(&format!("{name}/{model}"), None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_gateways_names_are_mapped_and_unsupported_ones_give_the_reason() {
        for (model, based, expected) in [
            ("gpt-5-mini", false, Ok(("openai", "openai", "gpt-5-mini"))),
            ("openai/gpt-5-mini", false, Ok(("openai", "openai", "gpt-5-mini"))),
            ("openai/qwen", true, Ok(("10-0-0-7", "", "qwen"))),
            ("openai//model", true, Ok(("10-0-0-7", "", "/model"))),
            ("openai/responses/gpt-5", false, Ok(("openai", "openai", "gpt-5"))),
            ("azure/responses/o3", true, Ok(("azure", "azure", "o3"))),
            ("gemini-2.5-flash", false, Ok(("vertex", "vertex", "gemini-2.5-flash"))),
            ("gemini/gemini-2.5-flash", false, Ok(("gemini", "gemini", "gemini-2.5-flash"))),
            ("claude-haiku-4-5", false, Ok(("anthropic", "anthropic", "claude-haiku-4-5"))),
            ("vertex_ai/claude-haiku-4-5", false, Ok(("vertex-anthropic", "vertex-anthropic", "claude-haiku-4-5"))),
            ("openrouter/qwen/qwen3:free", false, Ok(("openrouter", "openrouter", "qwen/qwen3:free"))),
            ("together_ai/meta/x", false, Ok(("together", "together", "meta/x"))),
            ("cohere/command-r", false, Ok(("cohere", "", "command-r"))),
            ("mycloud/x", true, Ok(("mycloud", "", "x"))),
            ("mycloud/x", false, Err("`api_base`")),
            ("bedrock/x", false, Err("signed")),
            ("openai/gpt-image-2", false, Err("conversations and embeddings only")),
            ("groq/*", false, Err("named")),
            ("vertex_ai/llama-4", false, Err("neither")),
            ("zephyr", false, Err("openai/zephyr")),
        ] {
            let found = litellm(model, based.then_some("http://10.0.0.7:8000/v1"));
            match expected {
                Ok((name, preset, model)) => {
                    let found = found.expect(model);
                    assert_eq!((&*found.name, found.preset, &*found.model), (name, preset, model));
                }
                Err(why) => assert!(found.expect_err(model).contains(why), "{model}"),
            }
        }
    }

    #[test]
    fn addresses_are_cut_before_the_dialects_own_path() {
        let url = |model: &str, base: &str| base_url(&litellm(model, Some(base)).expect(model), base);
        for (model, base, expected) in [
            ("ollama/x", "http://o:11434", "http://o:11434/v1"),
            ("ollama/x", "http://o:11434/api/generate", "http://o:11434/v1"),
            ("ollama_chat/x", "${OLLAMA}", "${OLLAMA}/v1"),
            ("hosted_vllm/x", "http://v:8000/v1/", "http://v:8000/v1"),
            ("openai/x", "http://v:8000", "http://v:8000"),
            ("gemini/x", "https://p.example/v1/models/x", "https://p.example/v1"),
            ("anthropic/x", "https://proxy.example", "https://proxy.example/v1"),
        ] {
            assert_eq!(url(model, base).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_address_says_who_is_there_whatever_dialect_it_is_asked_in() {
        for (model, base, name, left) in [
            ("openai/x", "https://api.openai.com/v1/", "openai", None),
            ("gpt-5-mini", "https://API.openai.com", "openai", None),
            ("openai/x", "https://api.anthropic.com/v1", "anthropic", None),
            ("openai/x", "https://api.deepseek.com", "deepseek", None),
            ("openai/x", "https://api.deepseek.com/v1/chat/completions", "deepseek", None),
            ("openai/x", "https://api.deepseek.com/beta", "deepseek", Some("https://api.deepseek.com/beta")),
            ("openai/a/x", "https://openrouter.ai/api/v1", "openrouter", None),
            ("mine/x", "https://api.groq.com/openai/v1", "groq", None),
            ("openai/x", "https://generativelanguage.googleapis.com/v1beta/openai/", "gemini", None),
            ("openai/x", "https://integrate.api.nvidia.com/v1", "nvidia_nim", None),
            ("deepseek/x", "https://api.deepseek.com/v1", "deepseek", None),
            ("anthropic/x", "https://openrouter.ai/api/v1", "anthropic", Some("https://openrouter.ai/api/v1")),
            ("openai/x", "http://localhost:11434/v1", "local", Some("http://localhost:11434/v1")),
            (
                "openai/x",
                "https://api.openai.com.evil.example/v1",
                "api-openai-com-evil-example",
                Some("https://api.openai.com.evil.example/v1"),
            ),
        ] {
            let host = litellm(model, Some(base)).expect(model);
            assert_eq!((&*host.name, base_url(&host, base).as_deref()), (name, left), "{model} at {base}");
        }
    }
}

//! Providers by name: a table of data that fills in the fields which a provider's configuration leaves out.
//!
//! Input: a preset's name. Output: an address, a dialect and a flavour, the company that runs it, and the models of the
//! catalogue that it sells. Flavours are known by their hosts (`wire::flavour`) and named here only for servers whose
//! host does not tell. It reads no environment: the name of the variable that usually holds a key is data, for
//! programs.

use super::dialect::DialectConfig;
use crate::catalog;
use crate::words::Price;
use crate::words::did_you_mean;

/// One provider that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its address; `{resource}`, `{project}` and `{location}` are replaced by the provider's fields of these names.
    pub base_url: &'static str,
    /// Its dialect.
    pub dialect: DialectConfig,
    /// The environment variable that usually holds its key.
    pub env: Option<&'static str>,
    /// Its flavour, where its host does not tell it.
    pub(super) flavour: Option<&'static str>,
    /// The company that runs it; `None`: its provider's name.
    pub(super) domain: Option<&'static str>,
    /// The vendor whose models it serves, all of them and by their names; where absent they must be named.
    pub(super) serves: Option<&'static str>,
    pub(super) bills: Bills,
}

/// The price of a model at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bills {
    /// The catalogue's prices, for models of these vendors.
    As(&'static [&'static str]),
    /// The catalogue's prices, for models of any vendor.
    AsVendor,
    /// Prices of its own, which must be configured.
    Own,
    /// Nothing: it is the user's own machine, and needs no key.
    Nothing,
}

/// A host of open models, with prices of its own.
const HOST: Preset = Preset {
    name: "",
    base_url: "",
    dialect: DialectConfig::OpenaiChat,
    env: None,
    flavour: None,
    domain: None,
    serves: None,
    bills: Bills::Own,
};

/// A server on the user's machine.
const LOCAL: Preset = Preset { bills: Bills::Nothing, ..HOST };

const fn vendor(
    name: &'static str,
    base_url: &'static str,
    env: &'static str,
    sells: &'static [&'static str],
) -> Preset {
    Preset {
        name,
        base_url,
        env: Some(env),
        domain: Some(sells[0]),
        serves: Some(sells[0]),
        bills: Bills::As(sells),
        ..HOST
    }
}

const fn host(name: &'static str, base_url: &'static str, env: &'static str) -> Preset {
    Preset { name, base_url, env: Some(env), domain: Some(name), ..HOST }
}

const fn local(name: &'static str, base_url: &'static str, flavour: &'static str) -> Preset {
    Preset { name, base_url, flavour: Some(flavour), ..LOCAL }
}

/// The vendors whose models others resell at the vendor's own price.
const CLOSED: &[&str] = &["openai", "anthropic", "google"];

const TABLE: &[Preset] = &[
    vendor("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", &["openai"]),
    Preset {
        dialect: DialectConfig::OpenaiResponses,
        ..vendor("openai-responses", "https://api.openai.com/v1", "OPENAI_API_KEY", &["openai"])
    },
    Preset {
        dialect: DialectConfig::Anthropic,
        ..vendor("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", &["anthropic"])
    },
    Preset {
        dialect: DialectConfig::Gemini,
        ..vendor("gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY", &["google"])
    },
    // Tokens live an hour: no variable holds one for long.
    Preset {
        name: "vertex",
        base_url: "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google",
        dialect: DialectConfig::Vertex,
        domain: Some("google"),
        serves: Some("google"),
        bills: Bills::As(&["google"]),
        ..HOST
    },
    Preset {
        name: "vertex-anthropic",
        base_url: "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/anthropic",
        dialect: DialectConfig::Anthropic,
        domain: Some("google"),
        bills: Bills::As(&["anthropic"]),
        ..HOST
    },
    // Its models go by the names of the user's deployments.
    Preset {
        bills: Bills::As(&["openai"]),
        ..host("azure", "https://{resource}.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY")
    },
    vendor("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", &["deepseek"]),
    vendor("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", &["mistral"]),
    // The international region; keys are good for one region.
    vendor("qwen", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", &["qwen"]),
    Preset { bills: Bills::As(CLOSED), ..host("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY") },
    Preset { bills: Bills::As(CLOSED), ..host("vercel", "https://ai-gateway.vercel.sh/v1", "AI_GATEWAY_API_KEY") },
    host("tokenmix", "https://api.tokenmix.ai/v1", "TOKENMIX_API_KEY"),
    // The user's own gateway to other providers, which bill.
    Preset {
        flavour: Some("litellm"),
        domain: None,
        bills: Bills::AsVendor,
        ..host("litellm", "http://127.0.0.1:4000/v1", "LITELLM_API_KEY")
    },
    host("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    host("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    host("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    host("perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY"),
    host("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    host("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    host("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN"),
    host("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    host("kimi", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    host("minimax", "https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    local("ollama", "http://127.0.0.1:11434/v1", "ollama"),
    local("vllm", "http://127.0.0.1:8000/v1", "vllm"),
    local("llamacpp", "http://127.0.0.1:8080/v1", "llamacpp"),
    local("lmstudio", "http://127.0.0.1:1234/v1", "lmstudio"),
];

/// How lists of prices spell providers and vendors that have another name here.
const SPELLED: [(&str, &[&str]); 12] = [
    ("fireworks", &["fireworks_ai"]),
    ("gemini", &["vertex_ai-language-models"]),
    ("google", &["gemini", "vertex_ai-language-models"]),
    ("kimi", &["moonshot"]),
    ("lmstudio", &["lm_studio"]),
    ("openai-responses", &["openai"]),
    ("qwen", &["dashscope"]),
    ("together", &["together_ai"]),
    ("vercel", &["vercel_ai_gateway"]),
    ("vertex", &["vertex_ai", "vertex_ai-language-models"]),
    ("vertex-anthropic", &["vertex_ai", "vertex_ai-anthropic_models"]),
    ("vllm", &["hosted_vllm"]),
];

/// Returns the names of a provider or a vendor in lists of prices: its own, and how others spell it.
pub(super) fn spellings(name: &str) -> impl Iterator<Item = &str> {
    let others = SPELLED.iter().filter(move |(own, _)| *own == name).flat_map(|(_, others)| others.iter().copied());
    std::iter::once(name).chain(others)
}

/// Returns every provider that is known by name.
pub fn presets() -> &'static [Preset] {
    TABLE
}

impl Preset {
    /// Returns the provider of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|preset| preset.name == name)
    }

    /// Tells whether it asks for a key.
    pub(super) fn wants_key(&self) -> bool {
        self.bills != Bills::Nothing
    }

    /// Returns the models that are its own and were not retired when the catalogue was written, as far as they speak a
    /// dialect. What retires later stays, and is reported.
    pub(super) fn models(&self, dialect: DialectConfig) -> impl Iterator<Item = &'static str> {
        let speaks = move |model: &catalog::Model| model.chats || dialect == DialectConfig::OpenaiResponses;
        let lives = |model: &catalog::Model| model.retires.is_none_or(|last| Some(last) >= catalog::as_of());
        let own = catalog::models().iter().filter(move |model| Some(model.vendor) == self.serves);
        let own =
            own.filter(move |model| speaks(model) && lives(model) && model.capabilities.context_tokens_max.is_some());
        own.map(|model| model.id)
    }
}

impl Bills {
    /// Returns the vendors whose prices are asked here; all, where it is `None`.
    pub(super) fn vendors(self) -> Option<&'static [&'static str]> {
        match self {
            Self::As(vendors) => Some(vendors),
            Self::AsVendor => None,
            Self::Own | Self::Nothing => Some(&[]),
        }
    }

    /// Returns what a model costs here, as far as that is known without being told.
    pub(super) fn price(self, model: &str) -> Option<Price> {
        match self {
            Self::As(vendors) => catalog::find_at(vendors, model)?.price.clone(),
            Self::AsVendor => catalog::find(model)?.price.clone(),
            Self::Own => None,
            Self::Nothing => Some(Price::FREE),
        }
    }
}

/// Says which preset was probably meant, and which there are.
pub(super) fn known(name: &str) -> String {
    let names: Vec<&str> = TABLE.iter().map(|preset| preset.name).collect();
    let meant = did_you_mean(name, names.iter().copied()).map_or(String::new(), |near| format!("{near} "));
    format!("{meant}there are: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::Flavour;

    #[test]
    fn names_are_unique_and_every_flavour_belongs_to_one() {
        for (at, preset) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|other| other.name != preset.name), "{} twice", preset.name);
            let flavour = preset.flavour.map_or_else(|| Some(Flavour::at(preset.base_url)), Flavour::named);
            let flavour = flavour.expect(preset.name).name;
            let same = [preset.name, preset.name.trim_end_matches("-responses")].contains(&flavour);
            assert!(same || flavour == "generic", "{} speaks with the flavour {flavour}", preset.name);
            assert!(
                same || Flavour::named(preset.name).is_none(),
                "{} has a flavour, and not this: {flavour}",
                preset.name
            );
        }
        let without = ["generic", "azure-deployments"];
        for name in Flavour::names().filter(|name| !without.contains(name)) {
            assert!(Preset::named(name).is_some(), "{name} is a flavour and no preset");
        }
    }

    #[test]
    fn a_vendors_models_are_those_that_are_not_retired_and_speak_the_dialect() {
        let models = |preset: &str| {
            let preset = Preset::named(preset).expect("it is there");
            preset.models(preset.dialect).collect::<BTreeSet<_>>()
        };
        let chat = models("openai");
        assert!(chat.contains("gpt-5-mini") && chat.contains("gpt-6-sol"));
        assert!(!chat.contains("o1") && !chat.contains("gpt-5.4-pro") && !chat.contains("gpt-5.5-cyber"));
        assert!(models("openai-responses").contains("gpt-5.4-pro"));
        assert!(models("gemini").contains("gemini-2.5-flash") && models("vertex") == models("gemini"));
        assert!(models("deepseek").iter().all(|model| model.starts_with("deepseek-")));
        assert!(models("groq").is_empty() && models("azure").is_empty() && models("ollama").is_empty());
    }
}

//! Converted configurations, in the shapes of those that `LiteLLM` and real projects publish; names, addresses and keys
//! are changed.

use standin::config::{KeySource, presets};
use standin::sidecar::Hash;

use super::*;

/// A configuration, parts of the result, and parts of the report. `None`: nothing of it can be served.
struct Case(&'static str, Option<&'static [&'static str]>, &'static [&'static str]);

/// Imports, checks, and returns our configuration and the report.
fn imported(yaml: &str) -> (String, String) {
    let given = InputValue::read(yaml).unwrap_or_else(|problem| panic!("{problem:?}: {yaml}"));
    let mut outcome = litellm::import(&given, &|name| (name == "MASTER").then(|| "sk-master".to_owned()));
    let config = outcome.written("theirs.yaml");
    for note in &outcome.notes {
        assert!(!note.became.contains("no value that can be set"), "{note:?} of\n{yaml}");
    }
    if !outcome.routes.is_empty() || !outcome.providers.is_empty() {
        checked(&config).unwrap_or_else(|problem| panic!("{problem}\n{config}"));
    }
    (config, outcome.report("theirs.yaml"))
}

fn hold(cases: &[Case]) {
    for Case(yaml, ours, said) in cases {
        let (config, report) = imported(yaml);
        match ours {
            None => assert!(!config.contains("[providers"), "{yaml}\n{config}"),
            Some(ours) => {
                for part in *ours {
                    assert!(config.contains(part), "no {part} in\n{config}\n{report}");
                }
            }
        }
        for part in *said {
            assert!(report.contains(part), "{part} is not said in\n{report}");
        }
        // Nothing is skipped: the report names each line, or a part that contains it.
        for (line, text) in
            (1..).zip(yaml.lines()).filter(|(_, text)| text.contains("_settings.") || text.contains("rpm:"))
        {
            assert!(report.contains(&format!("theirs.yaml:{line}: ")), "{text} is not told of in\n{report}");
        }
        assert!(!report.contains("sk-"), "{report}");
    }
}

#[test]
fn published_examples_are_converted() {
    hold(&[
        // One model by two keys and a reseller, with limits beside the parameters.
        Case(
            "litellm_settings:\n  drop_params: True\nmodel_list:\n\
             - model_name: chat\n  litellm_params: {model: gpt-5-mini, api_key: sk-first}\n  tpm: 20000\n  rpm: 3\n\
             - model_name: chat\n  litellm_params: {model: gpt-5-mini, api_key: sk-second}\n  rpm: 6\n\
             - model_name: chat\n  litellm_params: {model: openrouter/openai/gpt-5-mini}\n\
             - model_name: small\n  litellm_params: {model: smallco/small-7b}\n\
             environment_variables:\n  REDIS_HOST: localhost\n",
            Some(&[
                "[providers.openai]\npreset = \"openai\"\nkeys = [\"sk-first\"]",
                "[providers.openai-2]",
                "keys = [{ env = \"OPENROUTER_API_KEY\" }]",
                "{ target = \"openai/gpt-5-mini\", weight = 3 }",
                "{ target = \"openai-2/gpt-5-mini\", weight = 6 }",
                // It has no `rpm`, by which its group is weighed.
                "{ target = \"openrouter/openai/gpt-5-mini\", weight = 0 }",
                "options = { strategy = \"weighted\" }",
                "foreign_parts = \"drop\"",
            ]),
            &[
                "smallco",
                "weight 0: LiteLLM weighs this group by `rpm`",
                "environment_variables.REDIS_HOST ~> set `REDIS_HOST`",
            ],
        ),
        // Deployments at Azure, with times of their own.
        Case(
            "model_list:\n\
             - model_name: team1\n  litellm_params:\n    model: azure/my-deployment\n    api_base: https://one.openai.azure.com/\n    \
             api_version: \"2024-10-21\"\n    api_key: os.environ/AZURE_API_KEY\n    tpm: 20_000\n    timeout: 5\n    \
             stream_timeout: 0.5\n    max_retries: 4\n\
             - model_name: team2\n  litellm_params:\n    model: azure/other\n    api_base: os.environ/AZURE_BASE\n    \
             api_key: os.environ/AZURE_API_KEY\n  model_info:\n    base_model: azure/gpt-5-mini\n",
            Some(&[
                "base_url = \"https://one.openai.azure.com\"\nflavour = \"azure-deployments\"",
                "query = { \"api-version\" = \"2024-10-21\" }",
                "first_token = \"500ms\"",
                "base_url = \"${AZURE_BASE}\"",
                "same_as = \"gpt-5-mini\"",
                "[providers.azure-2]",
            ]),
            &["litellm_params.timeout -- no counterpart for one deployment", "max_retries --"],
        ),
        // Wildcard names, and work that is not served.
        Case(
            "model_list:\n\
             - model_name: \"*\"\n  litellm_params: {model: openai/*, api_key: os.environ/OPENAI_API_KEY}\n\
             - model_name: \"anthropic/*\"\n  litellm_params: {model: \"anthropic/*\", api_key: os.environ/ANTHROPIC_API_KEY}\n\
             - model_name: \"groq/*\"\n  litellm_params: {model: \"groq/*\"}\n\
             - model_name: mini\n  litellm_params: {model: gpt-5-mini, region_name: eu}\n  model_info: {id: \"1\"}\n\
             - model_name: batch\n  litellm_params: {model: bedrock/us.claude}\n  model_info: {mode: batch}\n\
             litellm_settings:\n  num_retries: 5\n  request_timeout: 600\n  telemetry: False\n  \
             context_window_fallbacks: [{mini: [big]}]\n\
             general_settings:\n  master_key: sk-1234\n",
            Some(&[
                "[providers.openai]\npreset = \"openai\"\nkeys = [{ env = \"OPENAI_API_KEY\" }]",
                "[providers.anthropic]",
                "[routes.mini]\ntargets = [\n    \"openai-2/gpt-5-mini\",",
                "attempts_max = 6",
                "deadline = \"600s\"",
                "[[server.keys]]\nname = \"master\"\nsha256 = \"",
            ]),
            &[
                "with all of its vendor's models",
                "`groq` serves only models that are named",
                "`batch` is not served",
                "none of its groups",
            ],
        ),
        // Tags, and a local server.
        Case(
            "model_list:\n\
             - model_name: fake\n  litellm_params: {model: openai/fake, api_key: k, api_base: \"https://fake.example/\", tags: [teamA]}\n\
             - model_name: fake\n  litellm_params: {model: openai/fake, api_key: k, api_base: \"https://fake.example/\", tags: [teamB]}\n\
             - model_name: rank\n  litellm_params: {model: cohere/rerank-v3, api_key: os.environ/COHERE_API_KEY}\n\
             - model_name: sees\n  litellm_params: {model: openai/org/sees, api_base: \"http://localhost:8000\", api_key: k}\n  \
             model_info: {supports_vision: False}\n\
             litellm_settings:\n  cache: true\n  callbacks: [otel]\n\
             guardrails:\n- guardrail_name: before\n  litellm_params: {guardrail: g, mode: pre_call}\n",
            Some(&[
                // A label is a wall: what one deployment has is not the other's.
                "models.fake = { labels = [\"teamA\"] }",
                "models.fake = { labels = [\"teamB\"] }",
                "base_url = \"https://fake.example\"",
                "lacks = [\"images\"]",
                "\"fake-example/fake\",\n    \"fake-example-2/fake\",",
            ]),
            &[
                "rerank-v3` is not served",
                "litellm_settings.cache -- no counterpart",
                "guardrails -- no counterpart: the content of conversations is not checked",
            ],
        ),
        // Other names for local models.
        Case(
            "model_list:\n- model_name: gpt-4\n  litellm_params:\n    model: ollama/llama2\n\
             - model_name: gpt-3.5\n  litellm_params:\n    model: ollama/llama2\n    temperature: 0.1\n    max_tokens: 20\n",
            Some(&["[providers.ollama]\npreset = \"ollama\"\nmodels.llama2 = {}", "[routes.\"gpt-3.5\"]"]),
            &["temperature -- no counterpart: callers send parameters themselves"],
        ),
        // Only settings.
        Case(
            "general_settings:\n  store_model_in_db: true\n  master_key: os.environ/MASTER\nlitellm_settings:\n  set_verbose: true\n",
            None,
            &["store_model_in_db -- no counterpart: there is no database", "RUST_LOG"],
        ),
    ]);
}

#[test]
fn twenty_configurations_of_real_projects_are_converted() {
    hold(&[
        // Two vendors, one file, a default that names neither.
        Case(
            "model_list:\n\
             - model_name: gpt-5.4-mini\n  litellm_params:\n    model: openai/gpt-5.4-mini\n    api_key: os.environ/OPENAI_API_KEY\n\
             - model_name: claude-haiku-4-5\n  litellm_params:\n    model: anthropic/claude-haiku-4-5\n    api_key: os.environ/ANTHROPIC_API_KEY\n\
             general_settings:\n  master_key: os.environ/MASTER\n\
             litellm_settings:\n  drop_params: true\n  set_verbose: false\n  num_retries: 2\n  request_timeout: 300\n  default_model: gpt-5.4-mini\n",
            Some(&["attempts_max = 3", "deadline = \"300s\"", "[routes.\"gpt-5.4-mini\"]", "sha256 ="]),
            &["default_model --"],
        ),
        // A local server at its own port, and a model for audio.
        Case(
            "model_list:\n    - model_name: qwen\n      litellm_params:\n          model: ollama/qwen3:14b\n          api_base: http://10.0.0.7:11434\n          extra_body:\n              think: true\n      model_info:\n          mode: chat\n    - model_name: ears\n      litellm_params:\n          model: openai/ears-1\n          api_base: http://10.0.0.7:8014/v1\n          api_key: none\n      model_info:\n          mode: audio_transcription\n",
            Some(&["base_url = \"http://10.0.0.7:11434/v1\"", "models.\"qwen3:14b\" = {}"]),
            &["`audio_transcription` is not served", "extra_body -- no counterpart: callers send parameters"],
        ),
        // Everything from the environment, the model's name included.
        Case(
            "general_settings:\n  master_key: os.environ/NOWHERE\nmcp_servers:\n  one:\n    url: https://mcp.example\n\
             model_list:\n- model_name: os.environ/MODEL_NAME\n  litellm_params:\n    model: os.environ/MODEL\n    api_base: os.environ/API_BASE\n",
            None,
            &["write what MODEL holds", "NOWHERE is not set here", "mcp_servers -- no counterpart"],
        ),
        // Free tiers of many hosts, each by its own name with a slash.
        Case(
            "model_list:\n\
             - {model_name: gemini/gemini-2.5-flash, litellm_params: {model: gemini/gemini-2.5-flash, api_key: os.environ/GEMINI_API_KEY}}\n\
             - {model_name: groq/llama-3.3-70b, litellm_params: {model: groq/llama-3.3-70b, api_key: os.environ/GROQ_API_KEY}}\n\
             - {model_name: cerebras/oss, litellm_params: {model: cerebras/oss, api_key: os.environ/CEREBRAS_API_KEY}}\n\
             - {model_name: cohere/command-a, litellm_params: {model: cohere/command-a, api_key: os.environ/COHERE_API_KEY}}\n\
             - {model_name: or/free, litellm_params: {model: \"openrouter/org/free:free\", api_key: os.environ/OPENROUTER_API_KEY}}\n\
             - {model_name: zhipu/glm, litellm_params: {model: zhipu/glm-4-flash, api_key: os.environ/ZHIPU_API_KEY}}\n",
            Some(&[
                "[routes.\"gemini/gemini-2.5-flash\"]",
                "[providers.cohere]\nbase_url = \"https://api.cohere.ai/compatibility/v1\"",
                "preset = \"zai\"\nkeys = [{ env = \"ZHIPU_API_KEY\" }]",
                "models.\"org/free:free\" = {}",
            ]),
            &["6 kept"],
        ),
        // Vertex by project and region, pictures, films and voices between.
        Case(
            "model_list:\n\
             - {model_name: latest, litellm_params: {model: vertex_ai/gemini-2.5-pro, vertex_project: os.environ/GCP, vertex_location: os.environ/GCP_AT}}\n\
             - {model_name: banana, litellm_params: {model: vertex_ai/gemini-3-image, vertex_project: os.environ/GCP, vertex_location: os.environ/GCP_AT}}\n\
             - {model_name: film, litellm_params: {model: vertex_ai/veo-3, vertex_project: os.environ/GCP, vertex_location: os.environ/GCP_AT}}\n\
             - {model_name: voice, litellm_params: {model: elevenlabs/eleven, api_key: os.environ/E}}\n\
             - {model_name: grok, litellm_params: {model: xai/grok-4, api_key: os.environ/XAI}}\n\
             - model_name: hard\n  litellm_params: {model: openai/gpt-5.4, api_key: os.environ/OPENAI_API_KEY, reasoning_effort: high}\n\
             litellm_settings:\n  custom_provider_map:\n  - {provider: own, custom_handler: h.h}\n",
            Some(&[
                "project = \"${GCP}\"\nlocation = \"${GCP_AT}\"",
                "command = [\"gcloud\", \"auth\", \"print-access-token\"]",
                "preset = \"xai\"",
            ]),
            &[
                "reasoning_effort --",
                "speech is not served",
                "`gemini-3-image` is not served",
                "custom_provider_map --",
            ],
        ),
        // One open model at three hosts, each the others' fallback.
        Case(
            "model_list:\n\
             - model_name: \"maverick\"\n  litellm_params: {model: \"together_ai/meta/maverick\", api_key: \"os.environ/TOGETHER_API_KEY\"}\n\
             - model_name: \"groq/maverick\"\n  litellm_params: {model: \"groq/meta/maverick\", api_key: \"os.environ/GROQ_API_KEY\", max_tokens: 8192}\n\
             - model_name: \"or/maverick\"\n  litellm_params: {model: \"openrouter/meta/maverick\", api_key: \"os.environ/OPENROUTER_API_KEY\"}\n\
             router_settings:\n  routing_strategy: simple-shuffle\n  num_retries: 2\n  retry_after: 1\n  fallbacks:\n\
             \x20 - \"maverick\": [\"groq/maverick\", \"or/maverick\"]\n  - \"groq/maverick\": [\"or/maverick\", \"nobody\"]\n\
             general_settings:\n  custom_auth: own.auth\n  database_url: null\n  allowed_ips: null\n",
            Some(&[
                "[routes.maverick]\ntargets = [\n    \"together/meta/maverick\",\n    { target = \"groq/meta/maverick\", tier = 1 },\n    { target = \"openrouter/meta/maverick\", tier = 2 },",
                "failover = { attempts_max = 9 }",
                "options = { strategy = \"weighted\" }",
            ]),
            &[
                "fallbacks[1].groq/maverick => further tiers of `groq/maverick`; not there: nobody",
                "retry_after --",
                "custom_auth --",
            ],
        ),
        // A key written out, and a database with its password.
        Case(
            "model_list:\n- model_name: x\n  litellm_params:\n    model: anthropic/claude-haiku-4-5\n    api_key: \"os.environ/ANTHROPIC_API_KEY\"\n\
             general_settings:\n  master_key: \"sk-of-mine\"\n  database_url: \"postgresql://u:p@h/db\"\n",
            Some(&["name = \"master\""]),
            &["database_url --", "by its hash"],
        ),
        // A dozen local servers, one name each.
        Case(
            "model_list:\n\
             - {model_name: kimi, litellm_params: {model: openai/kimi, api_base: \"http://kimi:8001/v1\", api_key: \"EMPTY\"}}\n\
             - model_name: sees\n  litellm_params: {model: openai/sees, api_base: \"http://sees:8001/v1\", api_key: \"EMPTY\", supports_function_calling: true}\n  \
             model_info: {mode: chat, supports_function_calling: true, max_input_tokens: 128000, max_output_tokens: 8192}\n\
             router_settings:\n  redis_host: redis\n  routing_strategy: least-busy\n  enable_pre_call_checks: true\n  allowed_fails: 3\n  cooldown_time: 30\n\
             litellm_settings:\n  cache: true\n  success_callback:\n  - prometheus\n  allow_requests_on_db_unavailable: true\n",
            Some(&[
                "[providers.sees]\nbase_url = \"http://sees:8001/v1\"\nkeys = [\"EMPTY\"]",
                "models.sees = { context_tokens_max = 128000, output_tokens_max = 8192 }",
                "strategy = \"least-busy\"",
            ]),
            &[
                "allowed_fails -- no counterpart",
                "cooldown_time -- not needed: LiteLLM cools nothing down that is alone in its group",
                "redis_host -- no counterpart",
                "success_callback => /metrics",
            ],
        ),
        // Weights among a local model, a vendor and Azure behind another of its hosts.
        Case(
            "model_list:\n\
             - {model_name: router, litellm_params: {model: \"ollama_chat/minimax:cloud\", api_base: \"http://localhost:11434\", weight: 8}}\n\
             - {model_name: router, litellm_params: {model: moonshot/kimi-k2, api_base: \"https://api.moonshot.ai/v1\", api_key: os.environ/MOONSHOT_API_KEY, weight: 1}}\n\
             - {model_name: router, litellm_params: {model: azure/gpt-5.2, api_base: \"https://r.cognitiveservices.azure.com\", api_key: os.environ/AZURE_OPENAI_API_KEY, api_version: \"2024-08-01-preview\", weight: 1}}\n\
             router_settings: {routing_strategy: simple-shuffle, allowed_fails: 2, cooldown_time: 30}\n",
            Some(&[
                "{ target = \"ollama/minimax:cloud\", weight = 8 }",
                "flavour = \"azure-deployments\"",
                "preset = \"kimi\"\nkeys = [{ env = \"MOONSHOT_API_KEY\" }]",
            ]),
            &["weight => weight of its target"],
        ),
        // A cloud that is not supported.
        Case(
            "model_list:\n- model_name: b\n  litellm_params: {model: \"bedrock/eu.claude-sonnet-4-5\", api_base: null, timeout: 60}\n  \
             model_info: {pricing: {input_cost_per_token: 0.000003}}\nrouter_settings: {enable_cooldowns: true, cooldown_time: 0}\n",
            None,
            &["Bedrock's signed requests are not spoken", "cooldown_time -- no counterpart"],
        ),
        // Groups with chains, two keys of one account, limits beside.
        Case(
            "model_list:\n\
             - {model_name: coding, litellm_params: {model: groq/oss-120b, api_key: os.environ/GROQ_1, additional_drop_params: [x]}, model_info: {max_output_tokens: 65536}}\n\
             - {model_name: coding, litellm_params: {model: groq/oss-120b, api_key: os.environ/GROQ_2}}\n\
             - {model_name: coding, litellm_params: {model: mistral/codestral-latest, api_key: os.environ/MISTRAL_API_KEY, rpm: 20}}\n\
             - {model_name: coding, litellm_params: {model: \"cloudflare/@cf/x\", api_key: os.environ/CF}}\n\
             - {model_name: reasoning, litellm_params: {model: gemini/gemini-flash-latest, api_key: os.environ/GEMINI_API_KEY}}\n\
             - {model_name: backup, litellm_params: {model: gemini/gemini-flash-lite-latest, api_key: os.environ/GEMINI_API_KEY}}\n\
             router_settings:\n  num_retries: 1\n  allowed_fails: 2\n  cooldown_time: 300\n  fallbacks:\n  - coding: [reasoning, backup]\n  - reasoning: [backup]\n  context_window_fallbacks:\n  - coding: [reasoning, backup]\n",
            Some(&[
                "[providers.groq-2]",
                "breaker = { cooldown_base = \"300s\", cooldown_max = \"300s\" }",
                "{ target = \"gemini/gemini-flash-latest\", tier = 1 }",
                "{ target = \"gemini/gemini-flash-lite-latest\", tier = 2 }",
                "failover = { attempts_max = 6 }",
            ]),
            &["Workers AI is not known here", "context_window_fallbacks[0].coding ~> further tiers"],
        ),
        // A fallback that names models instead of groups.
        Case(
            "model_list:\n- {model_name: r1, litellm_params: {model: deepseek/deepseek-reasoner, api_key: os.environ/DEEPSEEK_API_KEY}}\n\
             router_settings:\n  routing_strategy: latency-based-routing\n  routing_strategy_args: {ttl: 3600}\n  redis_password: os.environ/REDIS\n  \
             fallbacks: [{\"deepseek/deepseek-reasoner\": [\"gemini/x\"]}]\n",
            Some(&["options = { strategy = { least-latency = { percentile = \"p50\" } } }"]),
            &["there is no group `deepseek/deepseek-reasoner`", "routing_strategy_args --"],
        ),
        // Vectors by several servers.
        Case(
            "model_list:\n\
             - {model_name: chat, litellm_params: {model: openai/llama, api_base: \"http://llama:8080/v1\", api_key: dummy}}\n\
             - {model_name: nomic, litellm_params: {model: openai/nomic-v1.5, api_base: \"http://nomic:8080/v1\", api_key: dummy}, model_info: {mode: embedding}}\n",
            Some(&["models.\"nomic-v1.5\" = { kind = \"embedding\" }"]),
            &["3 kept"],
        ),
        // All of one vendor, by an organisation.
        Case(
            "model_list:\n- model_name: \"openai/*\"\n  litellm_params:\n    model: \"openai/*\"\n    api_key: os.environ/OPENAI_API_KEY\n    organization: os.environ/ORG\n\
             files_settings:\n- {custom_llm_provider: openai}\ngeneral_settings: {debug: true}\n",
            Some(&["headers = { \"OpenAI-Organization\" = \"${ORG}\" }"]),
            &["asked for as `openai/MODEL`", "files_settings --"],
        ),
        // One deployment by four names.
        Case(
            "model_list:\n\
             - {model_name: embedding, litellm_params: {model: azure/text-embedding-3-large, api_base: os.environ/AZ_BASE, api_version: os.environ/AZ_VERSION, api_key: os.environ/AZ_KEY}}\n\
             - {model_name: a, litellm_params: {model: azure/gpt-5.4, api_base: os.environ/AZ_BASE, api_version: os.environ/AZ_VERSION, api_key: os.environ/AZ_KEY}}\n\
             - {model_name: b, litellm_params: {model: azure/gpt-5.4, api_base: os.environ/AZ_BASE, api_version: os.environ/AZ_VERSION, api_key: os.environ/AZ_KEY}}\n",
            Some(&[
                "query = { \"api-version\" = \"${AZ_VERSION}\" }",
                "[routes.b]\ntargets = [\n    \"azure/gpt-5.4\",",
            ]),
            &["6 kept"],
        ),
        // A key for each person.
        Case(
            "model_list:\n\
             - {model_name: u1-mini, litellm_params: {model: openai/gpt-5-mini, api_key: \"os.environ/U1\"}}\n\
             - {model_name: u2-mini, litellm_params: {model: openai/gpt-5-mini, api_key: \"os.environ/U2\"}}\n\
             general_settings: {key_management_system: vault, maximum_spend_logs_retention_period: 90d, default_key_generate_params: {duration: 24h}}\n\
             router_settings: {num_retries: 2, timeout: 120}\n",
            Some(&["[routes.u2-mini]\ntargets = [\n    \"openai-2/gpt-5-mini\",", "deadline = \"120s\""]),
            &["key_management_system --"],
        ),
        // Thinking or not by a name, prices by picture, budgets.
        Case(
            "model_list:\n\
             - {model_name: sonnet, litellm_params: {model: anthropic/claude-sonnet-4-6, api_key: os.environ/ANTHROPIC_API_KEY}, model_info: {description: best}}\n\
             - {model_name: sonnet-thinks, litellm_params: {model: anthropic/claude-sonnet-4-6, api_key: os.environ/ANTHROPIC_API_KEY, thinking: {type: adaptive}}}\n\
             - {model_name: pro, litellm_params: {model: gemini/gemini-3-pro, api_base: \"https://aiplatform.googleapis.com/v1/publishers/google\", api_key: os.environ/GOOGLE_API_KEY}}\n\
             - {model_name: paints, litellm_params: {model: openai/paints, api_key: os.environ/OPENAI_API_KEY}, model_info: {mode: image_generation, input_cost_per_image: 0.04}}\n\
             litellm_settings: {max_end_user_budget: 5.0, budget_duration: 7d, turn_off_message_logging: true, modify_params: true}\n",
            Some(&["preset = \"gemini\"\nbase_url = \"https://aiplatform.googleapis.com/v1/publishers/google\""]),
            &[
                "max_end_user_budget -- not taken over: write it as `[budgets.NAME]`",
                "budget_duration -- not taken over",
                "thinking -- no counterpart: callers send parameters",
                "`image_generation` is not served",
            ],
        ),
        // Budgets of the proxy: by the month, in a window, and without an end.
        Case(
            "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-5-mini, max_budget: 3, budget_duration: 1d}}\n\
             litellm_settings: {max_budget: 100.5, budget_duration: 30d}\n",
            Some(&["[budgets.all]\ndollars = 100.5\nper = \"month\"\n"]),
            &["litellm_settings.max_budget => budgets.all", "litellm_params.max_budget -- not taken over: write it"],
        ),
        Case(
            "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-5-mini}}\n\
             litellm_settings: {max_budget: 2, budget_duration: 6h}\n",
            Some(&["[budgets.all]\ndollars = 2\nper = \"21600s\"\n"]),
            &["budget_duration ~> budgets.all.per = \"21600s\": a window that slides"],
        ),
        Case(
            "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-5-mini}}\n\
             litellm_settings: {max_budget: 2}\n",
            Some(&["[routes.m]"]),
            &["max_budget -- not taken over: one that is never renewed"],
        ),
        // A server that says its own limits.
        Case(
            "model_list:\n- model_name: mind\n  litellm_params: {model: hosted_vllm/org/Mistral-7B, api_base: \"http://vllm:8000/v1\", api_key: os.environ/VLLM_API_KEY, temperature: 0.2, rpm_limit: 60}\n\
             general_settings: {max_internal_user_budget: 10, proxy_batch_write_at: 100}\n",
            Some(&["preset = \"vllm\"\nbase_url = \"http://vllm:8000/v1\"", "models.\"org/Mistral-7B\" = {}"]),
            &["rpm_limit --", "proxy_batch_write_at --"],
        ),
        // One local model by the names of others, and a name that begins with a slash.
        Case(
            "model_list:\n\
             - {model_name: claude-sonnet-4-6, litellm_params: {model: openai//model, api_base: \"http://localhost:30000/v1\", api_key: \"no-key\", drop_params: [tool_choice]}}\n\
             - {model_name: claude-haiku-4-5, litellm_params: {model: openai//model, api_base: \"http://localhost:30000/v1\", api_key: \"no-key\"}}\n\
             general_settings: {}\nlitellm_settings: {default_params: {temperature: 0.3}}\n",
            Some(&["models.\"/model\" = {}", "\"local//model\","]),
            &["default_params -- no counterpart: callers send parameters"],
        ),
        // Order, aliases, credentials by name, content filters, prices.
        Case(
            "model_list:\n\
             - {model_name: gpt, litellm_params: {model: azure/main, litellm_credential_name: az, order: 1, input_cost_per_token: 0.00000025, output_cost_per_token: 2e-06, max_parallel_requests: 9}}\n\
             - {model_name: gpt, litellm_params: {model: openai/gpt-5-mini, order: 2}}\n\
             - {model_name: claude, litellm_params: {model: anthropic/claude-haiku-4-5}}\n\
             credential_list:\n- {credential_name: az, credential_values: {api_key: os.environ/AZ, api_base: \"https://r.openai.azure.com\"}, credential_info: {d: x}}\n\
             router_settings:\n  model_group_alias: {\"fast\": gpt, \"old\": {model: gpt, hidden: true}, claude: gpt, lost: nobody}\n  default_fallbacks: [claude]\n\
             litellm_settings:\n  content_policy_fallbacks: [{gpt: [claude]}]\n  callbacks: prometheus\n",
            Some(&[
                "{ target = \"openai/gpt-5-mini\", tier = 1 }",
                "{ target = \"anthropic/claude-haiku-4-5\", tier = 2 }",
                "price = { input = 0.25, output = 2 }, in_flight_max = 9",
                "[aliases]\nfast = \"gpt\"\nold = \"gpt\"",
                "content_policy_failover = true",
            ]),
            &["there is a route `claude`", "there is no group `nobody`", "order => tier"],
        ),
    ]);
}

#[test]
fn portkeys_tree_of_targets_becomes_one_route() {
    let json = r#"{
        "strategy": {"mode": "fallback", "on_status_codes": [429, 503]},
        "retry": {"attempts": 2},
        "cache": {"mode": "simple"},
        "request_timeout": 30000,
        "targets": [
            {"strategy": {"mode": "loadbalance"}, "targets": [
                {"provider": "openai", "api_key": "sk-one", "weight": 0.7, "override_params": {"model": "gpt-5-mini", "temperature": 0}},
                {"provider": "@azure-openai-eu", "azure_resource_name": "res", "weight": 0.3, "override_params": {"model": "mine"}}
            ]},
            {"virtual_key": "anthropic-prod-1", "override_params": {"model": "claude-haiku-4-5"}},
            {"override_params": {"model": "@groq/oss-120b"}},
            {"provider": "bedrock", "override_params": {"model": "x"}},
            {"provider": "openai"}
        ]
    }"#;
    let mut outcome = portkey::import(&InputValue::read(json).expect("JSON"));
    let config = outcome.written("theirs.json");
    checked(&config).unwrap_or_else(|problem| panic!("{problem}\n{config}"));
    let report = outcome.report("theirs.json");
    for part in [
        "{ target = \"openai/gpt-5-mini\", weight = 0.7 }",
        "{ target = \"azure/mine\", weight = 0.3 }",
        "{ target = \"anthropic/claude-haiku-4-5\", tier = 1 }",
        "{ target = \"groq/oss-120b\", tier = 2 }",
        "default_route = \"smart\"",
        "deadline = \"30s\"",
        "attempts_max = 5",
        "resource = \"res\"",
    ] {
        assert!(config.contains(part), "no {part} in\n{config}\n{report}");
    }
    for part in [
        "cache -- no counterpart",
        "`bedrock` is not known here",
        "a target needs",
        "virtual_key ~> keys = [{ env = \"ANTHROPIC_API_KEY\" }]",
    ] {
        assert!(report.contains(part), "{part} is not said in\n{report}");
    }
    assert!(!report.contains("sk-one"), "{report}");
}

/// Where a deployment is asked: its route, the address, the key (a variable, `itself`, a program, or none) and the
/// model.
type Asked = (&'static str, &'static str, &'static str, &'static str);

fn asked(config: &str) -> Vec<[String; 4]> {
    let settings =
        Settings::parse(config, |name| Some(placeholder(name))).unwrap_or_else(|problem| panic!("{problem}\n{config}"));
    let settings = settings.runtime;
    let targets =
        settings.routes.iter().flat_map(|(route, own)| own.targets.iter().map(move |one| (route, &one.target)));
    let asked = targets.map(|(route, target)| {
        let (provider, model) = target.split_once('/').expect("a provider's");
        let known = &settings.providers[provider];
        let preset = presets().iter().find(|preset| Some(preset.name) == known.preset.as_deref());
        let usual = preset.map(|preset| preset.base_url);
        let key = match known.keys.first().map(|key| &key.source) {
            Some(KeySource::Env(name)) => name.clone(),
            Some(KeySource::Value(_)) => "itself".to_owned(),
            Some(KeySource::Command { program, .. }) => program.clone(),
            _ => "none".to_owned(),
        };
        [route.clone(), known.base_url.as_deref().or(usual).unwrap_or_default().to_owned(), key, model.to_owned()]
    });
    asked.collect()
}

fn hold_asked(config: &str, expected: &[Asked]) {
    let expected: Vec<[String; 4]> =
        expected.iter().map(|(route, base, key, model)| [*route, *base, *key, *model].map(str::to_owned)).collect();
    assert_eq!(asked(config), expected, "{config}");
}

#[test]
fn every_deployment_keeps_its_address_its_key_and_its_model() {
    const OPENAI: &str = "https://api.openai.com/v1";
    let cases: [(&str, &[Asked]); 8] = [
        // A merge key, alone and in a list; a table's own fields win, then those of the first.
        (
            "x-own: &own {api_base: \"http://gpu:8000/v1\", api_key: os.environ/GPU_KEY, model: openai/none}\n\
             x-slow: &slow {api_key: os.environ/SLOW_KEY, timeout: 9}\n\
             model_list:\n\
             - {model_name: a, litellm_params: {<<: *own, model: openai/Qwen3}}\n\
             - {model_name: b, litellm_params: {<<: [*slow, *own], model: openai/Qwen3}}\n",
            &[("a", "http://gpu:8000/v1", "GPU_KEY", "Qwen3"), ("b", "http://gpu:8000/v1", "SLOW_KEY", "Qwen3")],
        ),
        (
            "model_list:\n\
             - {model_name: \"*\", litellm_params: {model: \"openai/*\", api_key: os.environ/OPENAI_API_KEY}}\n\
             - {model_name: m, litellm_params: {model: gpt-5.4-mini, api_key: os.environ/SECOND}}\n",
            &[("m", OPENAI, "SECOND", "gpt-5.4-mini")],
        ),
        (
            "model_list:\n\
             - {model_name: m, litellm_params: {model: azure/dep, api_base: \"https://openai-r.openai.azure.com/openai\", api_key: sk-leak}}\n",
            &[("m", "https://openai-r.openai.azure.com", "itself", "dep")],
        ),
        (
            "model_list:\n- {model_name: m, litellm_params: {model: vertex_ai/gemini-2.5-pro, vertex_project: p, vertex_credentials: sk-leak}}\n",
            &[(
                "m",
                "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google",
                "gcloud",
                "gemini-2.5-pro",
            )],
        ),
        (
            "model_list:\n- {model_name: m, litellm_params: {model: ollama/qwen3, api_base: \"http://o:11434\"}}\n",
            &[("m", "http://o:11434/v1", "none", "qwen3")],
        ),
        (
            "model_list:\n- {model_name: m, litellm_params: {model: huggingface/org/m, api_base: \"http://tgi:80\", api_key: sk-leak}}\n",
            &[("m", "http://tgi:80/v1", "itself", "org/m")],
        ),
        // Its vendor is said beside its name.
        (
            "model_list:\n- {model_name: m, litellm_params: {model: claude-own, custom_llm_provider: anthropic, api_key: os.environ/A}}\n",
            &[("m", "https://api.anthropic.com/v1", "A", "claude-own")],
        ),
        // An unknown kind of work is a conversation.
        (
            "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-5.4-mini}, model_info: {mode: cloud}}\n",
            &[("m", OPENAI, "OPENAI_API_KEY", "gpt-5.4-mini")],
        ),
    ];
    for (yaml, expected) in cases {
        let (config, report) = imported(yaml);
        hold_asked(&config, expected);
        assert!(!report.contains("sk-leak"), "{report}");
    }
}

/// Imports a configuration of Portkey's.
fn of_portkeys(json: &str) -> (String, String) {
    let mut outcome = portkey::import(&InputValue::read(json).expect("JSON"));
    let config = outcome.written("theirs.json");
    if !outcome.providers.is_empty() {
        checked(&config).unwrap_or_else(|problem| panic!("{problem}\n{config}"));
    }
    let report = outcome.report("theirs.json");
    assert!(!report.contains("sk-leak"), "{report}");
    (config, report)
}

#[test]
fn every_target_of_portkeys_keeps_its_address_its_key_and_its_model() {
    let (config, report) = of_portkeys(
        r#"{"strategy": {"mode": "fallback"}, "targets": [
            {"provider": "openai", "api_key": "sk-leak", "request_timeout": 3000, "override_params": {"model": "gpt-5.4-mini"}},
            {"virtual_key": "azure-prod", "override_params": {"model": "gpt-4o"}},
            {"virtual_key": "sk-leak-1", "override_params": {"model": "gpt-4o"}},
            {"provider": "azure-openai", "azure_resource_name": "r", "azure_deployment_id": "dep-1", "override_params": {"model": "gpt-4o"}},
            {"provider": "vertex-ai", "vertex_project_id": "p", "vertex_service_account_json": {"private_key": "sk-leak"},
             "override_params": {"model": "gemini-2.5-pro"}},
            {"provider": "ollama", "custom_host": "http://localhost:11434", "override_params": {"model": "qwen3"}}
        ]}"#,
    );
    let vertex =
        "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google";
    hold_asked(
        &config,
        &[
            ("smart", "https://api.openai.com/v1", "itself", "gpt-5.4-mini"),
            ("smart", "https://{resource}.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY", "dep-1"),
            ("smart", vertex, "gcloud", "gemini-2.5-pro"),
            ("smart", "http://localhost:11434/v1", "none", "qwen3"),
        ],
    );
    assert!(config.contains("models.dep-1 = { same_as = \"gpt-4o\" }") && !config.contains("deadline"), "{config}");
    for part in [
        "targets[1] -- an Azure target needs its `azure_resource_name`",
        "`targets[2].virtual_key` does not begin",
        "vertex_service_account_json ~> a token from `gcloud",
        "targets[0].request_timeout -- no counterpart for one target",
    ] {
        assert!(report.contains(part), "{part} is not said in\n{report}");
    }
}

#[test]
fn a_strategy_a_kind_and_a_group_that_are_nearly_names_bring_these_to_mind() {
    hold(&[Case(
        "model_list:\n\
         - {model_name: smart, litellm_params: {model: openai/a}, model_info: {mode: embeding}}\n\
         - {model_name: spare, litellm_params: {model: openai/b}}\n\
         router_settings: {routing_strategy: least-bsy, default_fallbacks: [spaer], fallbacks: [{smrt: [spare]}]}\n",
        Some(&[]),
        &[
            "mode -- is no known kind of work, and is served as conversations; did you mean `embedding`?",
            "routing_strategy -- is no known strategy of LiteLLM, and routes choose as they do by themselves; did you mean `least-busy`?",
            "none of its groups is served; not there: spaer (did you mean `spare`?)",
            "there is no group `smrt` that is served; did you mean `smart`?",
        ],
    )]);
}

#[test]
fn a_report_says_kept_only_of_kept_settings_and_gives_a_reason_for_others() {
    hold(&[
        Case(
            "model_list:\n\
             - {model_name: m, litellm_params: {model: openai/a, weight: abc, order: first, max_parallel_requests: -3, rpm: 5, tpm: 9, input_cost_per_token: free}}\n\
             - {model_name: n, litellm_params: {model: openai/b, input_cost_per_token: 1e-6, output_cost_per_token: 2e-6, cache_creation_input_token_cost: 3e-6}}\n\
             router_settings: {routing_strategy: bogus, num_retries: 2, default_fallbacks: [nobody]}\n\
             litellm_settings: {num_retries: 4, ssl_verify: false}\n\
             general_settings: {max_parallel_requests: 100, global_max_parallel_requests: 500, enable_tag_filtering: true, \
             health_check_interval: 9, pass_through_endpoints: []}\n\
             include: [more.yaml]\nmodel_lists: []\n",
            Some(&["calls_max = 500", "attempts_max = 3", "price = { input = 1, output = 2, cache_write = 3 }"]),
            &[
                "weight -- is no number",
                "order -- is no number",
                "max_parallel_requests -- is no number of calls",
                "tpm -- not needed",
                "input_cost_per_token -- is no price",
                "routing_strategy -- is no known strategy of LiteLLM",
                "default_fallbacks -- none of its groups is served; not there: nobody",
                "litellm_settings.num_retries -- not taken: another line",
                "general_settings.max_parallel_requests -- no counterpart for all deployments",
                "ssl_verify -- no counterpart: certificates are verified",
                "enable_tag_filtering -- not needed: labels",
                "health_check_interval -- not needed",
                "pass_through_endpoints -- no counterpart: only conversations",
                "include -- not read: copy what the files hold",
                "model_lists -- is no known table of LiteLLM",
            ],
        ),
        // Patterns, templates, keys that are no texts, and models without a name.
        Case(
            "model_list:\n\
             - model_name: claude-*\n  litellm_params: {model: ollama_chat/qwen3, api_base: \"http://o:11434\"}\n\
             - model_name: gpt-4o-*\n  litellm_params: {model: openai/gpt-4o-*, api_key: k}\n\
             - model_name: listed\n  litellm_params: {model: openai/gpt-4o, api_key: [sk-one, sk-two]}\n\
             - model_name: tabled\n  litellm_params: {model: openai/gpt-4o, api_key: {a: b}}\n\
             - model_name: filled\n  litellm_params: {model: openai/gpt-4o, api_key: {{ .Values.key }}}\n\
             - model_name: \"{{ .Values.m }}\"\n  litellm_params: {model: openai/gpt-4o, api_key: k}\n\
             - model_name: dall\n  litellm_params: {model: azure/, api_base: \"https://x.openai.azure.com\"}\n\
             - model_name: good\n  litellm_params: {model: openai/gpt-5-mini, api_key: k}\n",
            Some(&["[routes.good]"]),
            &[
                "model_list[0] -- a pattern has no counterpart",
                "server.default_route",
                "model_list[1] -- a pattern has no counterpart",
                "model_list[2].litellm_params.api_key -- is no key",
                "model_list[3].litellm_params.api_key -- is no key",
                "model_list[4].litellm_params.api_key -- is no key",
                "model_list[5] -- it is a template that was not filled in",
                "model_list[6] -- `azure/` names no model",
            ],
        ),
        // A gateway on this machine has the usual port.
        Case(
            "model_list:\n- {model_name: m, litellm_params: {model: openai/m, api_base: \"http://0.0.0.0:4000/v1\", api_key: k}}\n",
            Some(&["[server]\nlisten = \"127.0.0.1:4100\""]),
            &[],
        ),
        Case(
            "model_list:\n- {model_name: m, litellm_params: {model: litellm_proxy/m, api_base: \"http://127.0.0.1:4000\", api_key: k}}\n\
             router_settings: {model_group_alias: {x: [m]}}\n",
            Some(&["[server]\nlisten = \"127.0.0.1:4100\""]),
            &["model_group_alias.x -- an alias leads to one group"],
        ),
    ]);
}

#[test]
fn every_setting_that_is_taken_over_has_a_line_of_its_own_and_so_has_one_that_makes_no_sense() {
    let (_, report) = imported(
        "credential_list:\n- credential_name: main\n  credential_values: {api_key: os.environ/KEY, organization: org-1}\n\
         model_list:\n\
         - model_name: a\n  litellm_params:\n    model: openai/gpt-5-mini\n    litellm_credential_name: main\n    \
         extra_headers: {x-team: red}\n    tags: [fast]\n    stream_timeout: 3\n    max_parallel_requests: 4\n  \
         model_info: {mode: chat, base_model: gpt-5-mini, max_input_tokens: 1000, max_output_tokens: 10, \
         supports_vision: true, supports_function_calling: false}\n\
         - model_name: b\n  litellm_params: {model: azure/d, api_base: https://one.openai.azure.com, api_version: v1}\n\
         - model_name: c\n  litellm_params: {model: vertex_ai/gemini-2.5-pro, vertex_project: p, vertex_location: l}\n\
         - model_name: d\n  litellm_params: {model: groq/m}\n  model_info: {mode: embedding}\n\
         router_settings:\n  model_group_alias: {e: {model: a, hidden: false}}\n",
    );
    for part in [
        "organization => headers.OpenAI-Organization",
        "extra_headers.x-team => headers",
        "tags => labels",
        "stream_timeout ~> first_token",
        "max_parallel_requests => in_flight_max",
        "mode => conversations",
        "base_model => same_as = \"gpt-5-mini\"",
        "max_input_tokens => context_tokens_max",
        "max_output_tokens => output_tokens_max",
        "supports_vision => ",
        "supports_function_calling => lacks \"tools\"",
        "api_version ~> base_url with /openai/v1",
        "vertex_project => project",
        "vertex_location => location",
        "mode => its kind",
    ] {
        assert!(report.contains(part), "{part} is not said in\n{report}");
    }
    assert!(!report.contains("no value that can be set"), "{report}");
    // What is read and cannot be used is never passed over.
    let given = InputValue::read(
        "model_list:\n- model_name: a\n  litellm_params: {model: groq/m, organization: [x], tags: {a: b}, \
         extra_headers: {x-team: [red]}, stream_timeout: soon, max_input_tokens: 0}\n  model_info: {base_model: [m]}\n",
    );
    let mut outcome = litellm::import(&given.expect("YAML"), &|_| None);
    let report = outcome.report("theirs.yaml");
    for setting in
        ["organization", "tags", "extra_headers.x-team", "stream_timeout", "max_input_tokens", "model_info.base_model"]
    {
        let of = |line: &&str| line.contains(setting) && line.contains(" -- ");
        assert!(report.lines().any(|line| of(&line)), "{setting} is not told of in\n{report}");
    }
}

#[test]
fn two_deployments_of_one_model_and_key_with_other_settings_become_two_providers() {
    let (config, report) = imported(
        "model_list:\n\
         - {model_name: fast, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/A, stream_timeout: 3, tags: [free], max_parallel_requests: 2}}\n\
         - {model_name: slow, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/A, stream_timeout: 60, tags: [paid]}, model_info: {max_input_tokens: 4000}}\n\
         - {model_name: long, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/A}}\n\
         - {model_name: again, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/A}}\n",
    );
    for part in [
        "models.gpt-5-mini = { in_flight_max = 2, first_token = \"3s\", labels = [\"free\"] }",
        "models.gpt-5-mini = { context_tokens_max = 4000, first_token = \"60s\", labels = [\"paid\"] }",
        "[routes.slow]\ntargets = [\n    \"openai-2/gpt-5-mini\",",
        "[routes.long]\ntargets = [\n    \"openai-3/gpt-5-mini\",",
        "[routes.again]\ntargets = [\n    \"openai-3/gpt-5-mini\",",
    ] {
        assert!(config.contains(part), "no {part} in\n{config}");
    }
    assert!(report.contains("target `openai-2/gpt-5-mini`, a provider of its own"), "{report}");
}

#[test]
fn a_value_that_cannot_be_read_changes_nothing_and_is_told() {
    hold(&[
        Case(
            "model_list:\n- model_name: x\n  litellm_params: {model: openai/gpt-5-mini, tags: os.environ/TAGS}\n  \
             model_info: {supports_function_calling: os.environ/F, supports_vision: \"yes\", supports_response_schema: 0}\n\
             litellm_settings: {num_retries: os.environ/RETRIES, drop_params: os.environ/D}\n",
            Some(&["models.gpt-5-mini = { lacks = [\"json_schema\"] }\n"]),
            &[
                "num_retries -- is no number of retries",
                "drop_params -- is neither",
                "supports_function_calling -- is neither true nor false",
                "supports_vision => ",
                "supports_response_schema => lacks",
                "tags -- labels are not read from the environment here: write what TAGS holds",
            ],
        ),
        // A key in a header would be replaced by the key.
        Case(
            "model_list:\n- model_name: h\n  litellm_params: {model: openai/m, api_base: \"http://h/v1\", api_key: os.environ/A, \
             extra_headers: {Authorization: Bearer other, x-ok: \"1\"}, headers: {x-second: \"2\", Content-Type: text/plain}}\n\
             - model_name: i\n  litellm_params: {model: openai/m, api_base: \"http://i/v1\", extra_headers: {Authorization: os.environ/B}}\n",
            Some(&[
                "headers = { \"x-ok\" = \"1\", \"x-second\" = \"2\" }",
                "headers = { \"Authorization\" = \"${B}\" }",
            ]),
            &[
                "extra_headers.Authorization -- not taken",
                "headers.x-second => headers",
                "headers.Content-Type -- not taken: it is written with the body",
            ],
        ),
    ]);
    let (config, _) = imported(
        "model_list:\n- {model_name: x, litellm_params: {model: openai/gpt-5-mini}}\nlitellm_settings: {num_retries: os.environ/R, drop_params: os.environ/D}\n",
    );
    assert!(!config.contains("attempts_max") && !config.contains("foreign_parts"), "{config}");
}

#[test]
fn an_address_that_names_a_deployment_or_has_parameters_keeps_both() {
    let (config, report) = imported(
        "model_list:\n\
         - {model_name: a, litellm_params: {model: azure/gpt-4o, api_base: \"https://r.openai.azure.com/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21\"}}\n\
         - {model_name: b, litellm_params: {model: azure/gpt-4o, api_base: \"https://gw.example/openai/deployments/other/\", api_version: v1}}\n\
         - {model_name: c, litellm_params: {model: openai/x, api_base: \"https://gw.example/v1/chat/completions?tenant=7&name=a%20b\", api_key: k}}\n",
    );
    hold_asked(
        &config,
        &[
            ("a", "https://r.openai.azure.com", "AZURE_API_KEY", "prod-4o"),
            ("b", "https://gw.example", "AZURE_API_KEY", "other"),
            ("c", "https://gw.example/v1", "itself", "x"),
        ],
    );
    for part in [
        "models.prod-4o = { same_as = \"gpt-4o\" }",
        "query = { \"api-version\" = \"2024-10-21\" }",
        "query = { \"api-version\" = \"v1\" }",
        "query = { \"name\" = \"a b\", \"tenant\" = \"7\" }",
    ] {
        assert!(config.contains(part), "no {part} in\n{config}");
    }
    for part in ["api_base ~> deployment `prod-4o`", "api_base => base_url, and query.name, query.tenant"] {
        assert!(report.contains(part), "{part} is not said in\n{report}");
    }
}

#[test]
fn a_group_is_weighed_by_one_metric_that_of_its_first_deployment() {
    hold(&[Case(
        "model_list:\n\
             - {model_name: g, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/A, rpm: 100}}\n\
             - {model_name: g, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/B, rpm: 200}}\n\
             - {model_name: g, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/B, tpm: 50000}}\n\
             - {model_name: h, litellm_params: {model: openai/gpt-5, api_key: os.environ/A}}\n\
             - {model_name: h, litellm_params: {model: openai/gpt-5, api_key: os.environ/B, rpm: 9}}\n\
             - {model_name: \"openai/*\", litellm_params: {model: \"openai/*\", api_key: os.environ/C, rpm: 5, weight: 4, order: 1}}\n\
             router_settings: {fallbacks: [{\"*\": [h]}]}\n",
        Some(&[
            "[routes.g]\ntargets = [\n    { target = \"openai-2/gpt-5-mini\", weight = 100 },\n    { target = \"openai-3/gpt-5-mini\", weight = 200 },",
            "[routes.h]\ntargets = [\n    \"openai-2/gpt-5\",\n    \"openai-3/gpt-5\",",
        ]),
        &[
            "model_list[2].litellm_params.tpm -- not needed: limits are kept as the provider says; its group is weighed by `rpm`",
            "model_list[2] ~> weight 0",
            "model_list[4].litellm_params.rpm -- not needed: LiteLLM weighs a group by",
            "model_list[5].litellm_params.weight -- no counterpart: all of a vendor's models",
            "model_list[5].litellm_params.order -- no counterpart",
            "fallbacks[0].* => further tiers of every route",
        ],
    )]);
}

#[test]
fn every_variable_that_a_configuration_needs_is_known() {
    let config =
        "base_url = \"${AZURE_API_BASE}\"\nlocation = \"${PLACE:-eu}\"\nkeys = [{ env = \"AZ\" }, { env = \"AZ\" }]\n";
    assert_eq!(variables(config).into_iter().collect::<Vec<_>>(), ["AZ", "AZURE_API_BASE"]);
}

#[test]
fn one_account_is_one_provider_whether_or_not_its_own_address_is_written() {
    let (config, report) = imported(
        "model_list:\n\
         - {model_name: gpt, litellm_params: {model: gpt-5-mini, api_base: \"https://api.openai.com/v1/\", api_key: os.environ/OPENAI_API_KEY}}\n\
         - {model_name: gpt, litellm_params: {model: gpt-5-mini, api_key: os.environ/OPENAI_API_KEY}}\n\
         - {model_name: cl, litellm_params: {model: openai/claude-haiku-4-5, api_base: \"https://api.anthropic.com/v1\", api_key: os.environ/ANTHROPIC_API_KEY}}\n\
         - {model_name: ds, litellm_params: {model: openai/deepseek-chat, api_base: \"https://api.deepseek.com\"}}\n\
         - {model_name: or, litellm_params: {model: openai/anthropic/claude-haiku-4.5, api_base: \"https://openrouter.ai/api/v1\", api_key: os.environ/OPENROUTER_API_KEY}}\n",
    );
    for part in [
        "[providers.openai]\npreset = \"openai\"\nkeys = [{ env = \"OPENAI_API_KEY\" }]\nmodels.gpt-5-mini = {}\n",
        "[routes.gpt]\ntargets = [\n    { target = \"openai/gpt-5-mini\", weight = 2 },\n]",
        "[providers.anthropic]\npreset = \"anthropic\"\nkeys",
        "[providers.deepseek]\npreset = \"deepseek\"\nkeys = [{ env = \"DEEPSEEK_API_KEY\" }]",
        "\"openrouter/anthropic/claude-haiku-4.5\",",
    ] {
        assert!(config.contains(part), "no {part} in\n{config}\n{report}");
    }
    assert!(!config.contains("base_url") && !config.contains("flavour") && !config.contains("openai-2"), "{config}");
}

#[test]
fn a_budget_says_which_models_it_refuses_for_their_unknown_price() {
    let budget = "litellm_settings: {max_budget: 10, budget_duration: 1mo}\n";
    let local = |price: &str| {
        format!(
            "model_list:\n- {{model_name: loc, litellm_params: {{model: openai/my-model, api_base: \"http://127.0.0.1:7102/v1\", api_key: k{price}}}}}\n\
             - {{model_name: gpt, litellm_params: {{model: openai/gpt-5-mini}}}}\n{budget}"
        )
    };
    let (_, report) = imported(&local(""));
    let line = report.lines().find(|line| line.contains("max_budget")).expect("a line");
    assert!(line.contains("max_budget ~> ") && line.contains("no price is known of `local/my-model`, and"), "{line}");
    assert!(line.contains("price = { input = 0, output = 0 }"), "{line}");
    let (_, report) = imported(&local(", input_cost_per_token: 0, output_cost_per_token: 0"));
    assert!(report.contains("max_budget => budgets.all.dollars"), "{report}");
}

#[test]
fn a_mode_says_the_kind_of_work_and_its_dialect() {
    hold(&[Case(
        "model_list:\n\
             - {model_name: emb, litellm_params: {model: azure/my-vectors, api_base: \"https://r.openai.azure.com\", api_key: k}, model_info: {mode: embeddings}}\n\
             - {model_name: bge, litellm_params: {model: openai/bge-m3, api_base: \"http://127.0.0.1:7102/v1\", api_key: k}}\n\
             - {model_name: talks, litellm_params: {model: openai/nomic-talks, api_base: \"http://127.0.0.1:7102/v1\", api_key: k}, model_info: {mode: chat, max_tokens: 100}}\n\
             - {model_name: tts, litellm_params: {model: openai/tts-1, api_key: k}, model_info: {mode: tts}}\n\
             - {model_name: resp, litellm_params: {model: openai/gpt-5-pro, api_key: k}, model_info: {mode: responses}}\n\
             - {model_name: own, litellm_params: {model: openai/own, api_base: \"http://h/v1\", api_key: k}, model_info: {mode: responses, max_tokens: 5, max_output_tokens: 7}}\n\
             - {model_name: old, litellm_params: {model: openai/gpt-5-mini, api_key: k}, model_info: {mode: completion}}\n",
        Some(&[
            "models.my-vectors = { kind = \"embedding\" }",
            "models.bge-m3 = {}",
            "models.nomic-talks = { kind = \"chat\", output_tokens_max = 100 }",
            "[providers.openai-responses]\npreset = \"openai-responses\"",
            "base_url = \"http://h/v1\"\ndialect = \"openai-responses\"",
            "models.own = { output_tokens_max = 7 }",
        ]),
        &[
            "model_list[0].model_info.mode => its kind",
            "model_list[2].model_info.max_tokens => output_tokens_max",
            "model_list[3] -- `tts` is not served",
            "model_list[4].model_info.mode => dialect \"openai-responses\"",
            "model_list[5].model_info.max_tokens -- not needed",
            "model_list[6] -- the older completions are not spoken",
        ],
    )]);
}

#[test]
fn a_models_host_and_address_are_those_that_the_other_gateway_asks() {
    let (config, report) = imported(
        "model_list:\n\
         - {model_name: eu, litellm_params: {model: gemini-2.5-flash, vertex_project: p, vertex_location: europe-west4}}\n\
         - {model_name: o3, litellm_params: {model: azure/responses/o3, api_base: \"https://r.openai.azure.com\", api_key: k, api_version: \"2025-03-01\"}}\n\
         - {model_name: new, litellm_params: {model: azure/gpt-5, api_base: \"https://s.openai.azure.com/\", api_key: k, api_version: preview}}\n\
         - {model_name: grok, litellm_params: {model: xai/responses/grok-4}}\n\
         - {model_name: cl, litellm_params: {model: anthropic/responses/claude-haiku-4-5}}\n\
         - {model_name: there, litellm_params: {model: openai/m, api_base: \"http://one.example:80/v1\", api_key: k}}\n\
         - {model_name: here, litellm_params: {model: openai/m, api_base: \"http://10.0.0.7:80/v1\", api_key: k}}\n\
         - {model_name: here, litellm_params: {model: openai/n, api_base: \"http://10.0.0.7:80/v1\", api_key: k}}\n",
    );
    for part in [
        "[providers.vertex]\npreset = \"vertex\"\nproject = \"p\"\nlocation = \"europe-west4\"",
        "preset = \"azure\"\nbase_url = \"https://r.openai.azure.com/openai/v1\"\ndialect = \"openai-responses\"",
        "preset = \"azure\"\nbase_url = \"https://s.openai.azure.com/openai/v1\"\nkeys",
        "preset = \"xai\"\ndialect = \"openai-responses\"",
        "[providers.anthropic]\npreset = \"anthropic\"\nkeys",
        "[providers.one-example]\n",
        "\"10-0-0-7/m\",\n    \"10-0-0-7/n\",",
    ] {
        assert!(config.contains(part), "no {part} in\n{config}\n{report}");
    }
    assert!(!config.contains("api-version") && !config.contains("responses/"), "{config}");
    assert!(report.contains("model_list[4] ~> route `cl`"), "{report}");
}

#[test]
fn fallbacks_for_all_serve_groups_without_their_own_and_a_name_behind_a_wildcard_is_a_target() {
    let (config, report) = imported(
        "model_list:\n\
         - {model_name: \"openai/*\", litellm_params: {model: \"openai/*\"}}\n\
         - {model_name: eu, litellm_params: {model: mistral/mistral-large-latest}}\n\
         - {model_name: eu-2, litellm_params: {model: mistral/mistral-small-latest}}\n\
         - {model_name: us, litellm_params: {model: groq/m}}\n\
         - {model_name: far, litellm_params: {model: xai/grok-4}}\n\
         litellm_settings: {fallbacks: [{eu: [eu-2]}, {us: [\"openai/gpt-5.4-mini\", nobody]}], default_fallbacks: [far]}\n",
    );
    for part in [
        "[routes.eu]\ntargets = [\n    \"mistral/mistral-large-latest\",\n    { target = \"mistral/mistral-small-latest\", tier = 1 },\n]",
        "[routes.eu-2]\ntargets = [\n    \"mistral/mistral-small-latest\",\n    { target = \"xai/grok-4\", tier = 1 },\n]",
        "[routes.us]\ntargets = [\n    \"groq/m\",\n    { target = \"openai/gpt-5.4-mini\", tier = 1 },\n]",
    ] {
        assert!(config.contains(part), "no {part} in\n{config}\n{report}");
    }
    assert!(report.contains("default_fallbacks => further tiers of every route without its own"), "{report}");
}

#[test]
fn retries_deadlines_and_cooldowns_are_those_of_each_group() {
    let (config, report) = imported(
        "model_list:\n\
         - {model_name: quick, litellm_params: {model: openai/gpt-5.4-mini, timeout: 5}}\n\
         - {model_name: slow, litellm_params: {model: groq/a, timeout: 120}}\n\
         - {model_name: slow, litellm_params: {model: mistral/b, timeout: 90}}\n\
         router_settings: {num_retries: 2, timeout: 30, cooldown_time: 60, fallbacks: [{quick: [slow]}]}\n\
         general_settings: {master_key: \"${MASTER}\"}\n",
    );
    for part in [
        "[failover]\nattempts_max = 3\ndeadline = \"30s\"\n",
        "    { target = \"mistral/b\", tier = 1 },\n]\nfailover = { attempts_max = 6 }\n",
        "[routes.slow]\ntargets = [\n    \"groq/a\",\n    \"mistral/b\",\n]\nfailover = { deadline = \"120s\" }\n",
        &Hash::of("sk-master").to_string(),
    ] {
        assert!(config.contains(part), "no {part} in\n{config}\n{report}");
    }
    assert_eq!(config.matches("cooldown_base").count(), 2, "{config}");
    for part in ["model_list[0].litellm_params.timeout -- no counterpart", "model_list[2].litellm_params.timeout ~> "] {
        assert!(report.contains(part), "{part} is not said in\n{report}");
    }
    let (config, report) = imported(
        "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-5.4-mini}}\nrouter_settings: {num_retries: 0}\n",
    );
    assert!(!config.contains("attempts_max") && report.contains("num_retries ~> nothing"), "{config}\n{report}");
}

#[test]
fn a_report_says_kept_of_nothing_that_is_left_out_and_folds_what_many_deployments_say() {
    let (_, report) = imported(
        "model_list:\n\
         - {model_name: m, litellm_params: {model: openai/gpt-5.4-mini}, model_info: {id: a, description: x}}\n\
         - {model_name: n, litellm_params: {model: openai/gpt-5.4-nano}, model_info: {id: b}}\n\
         - {model_name: o, litellm_params: {model: groq/o}, model_info: {id: c}}\n\
         - {model_name: gone, litellm_params: {model: vertex_ai/gemini-2.5-pro, vertex_project: p, api_base: \"https://v.example\"}}\n",
    );
    assert_eq!(report.matches("model_info.id").count(), 1, "{report}");
    assert!(
        report.contains("model_info.id -- no counterpart: it does not change how requests are served (and so in 2"),
        "{report}"
    );
    assert!(report.contains("model_list[3] -- Vertex AI behind an address of its own"), "{report}");
    assert!(report.contains("3 kept") && !report.contains("vertex_project =>"), "{report}");
}

#[test]
fn a_file_of_the_other_gateway_is_told_from_one_of_this() {
    use crate::Gateway::{Litellm, Portkey};
    let theirs = InputValue::read("model_list: []\ngeneral_settings: {}\n").expect("YAML");
    let other = InputValue::read("{\"strategy\": {\"mode\": \"fallback\"}, \"targets\": []}").expect("JSON");
    assert_eq!((Litellm.mistaken(&theirs), Portkey.mistaken(&theirs)), (None, Some("litellm")));
    assert_eq!((Litellm.mistaken(&other), Portkey.mistaken(&other)), (Some("portkey"), None));
}

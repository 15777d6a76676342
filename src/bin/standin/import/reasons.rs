//! Reasons why settings of `LiteLLM` have no counterpart here.
//!
//! A setting is known by its own name, or by the beginning of it where a family of settings has one. What is not known
//! gets no reason of another setting's, and the known name that it nearly is.

use standin::sidecar::did_you_mean;

/// A reason, the settings that have it, and how families of settings begin that have it.
type Reason = (&'static str, &'static [&'static str], &'static [&'static str]);

const REASONS: [Reason; 20] = [
    (
        "no counterpart: certificates are verified; `transport.ca_pem` has your own authority",
        &["ssl_verify", "ssl_certificate", "ssl_security_level"],
        &[],
    ),
    (
        "not needed: labels of models and calls always restrict which targets are asked",
        &["enable_tag_filtering", "tag_filtering_match_any"],
        &[],
    ),
    (
        "no counterpart: addresses are open to clients' keys or to operators'; a key's `routes` name models",
        &["allowed_routes", "public_routes", "admin_only_routes", "access_groups"],
        &[],
    ),
    ("no counterpart: only conversations and embeddings go on", &["use_in_pass_through"], &["pass_through"]),
    (
        "not needed: health is measured on calls, without extra requests",
        &["health_check_interval", "background_health_checks", "health_check_details", "health_check_model"],
        &[],
    ),
    ("not needed: windows and limits are checked before a target is asked, always", &["optional_pre_call_checks"], &[]),
    (
        "no counterpart: nothing is shared between processes, and answers are not cached",
        &[
            "cache",
            "cache_params",
            "cache_responses",
            "caching",
            "caching_groups",
            "client_ttl",
            "enable_caching_on_provider_specific_optional_params",
        ],
        &["redis"],
    ),
    ("no counterpart here: the caller marks what its provider is to cache", &["cache_control_injection_points"], &[]),
    (
        "not taken over: write it as `[budgets.NAME]`, see docs/keeping.md",
        &[
            "max_budget",
            "budget_duration",
            "provider_budget_config",
            "default_internal_user_params",
            "max_internal_user_budget",
            "internal_user_budget_duration",
            "max_end_user_budget",
            "default_team_settings",
        ],
        &[],
    ),
    (
        "not needed: what was spent is in the ledger, `standin ledger`",
        &[
            "disable_spend_logs",
            "maximum_spend_logs_retention_period",
            "maximum_spend_logs_retention_interval",
            "store_prompts_in_spend_logs",
            "disable_adding_master_key_hash_to_db",
        ],
        &["spend_"],
    ),
    (
        "no counterpart: the content of conversations is not checked",
        &["guardrails", "moderation", "banned_keywords_list", "blocked_user_list"],
        &["guardrail", "presidio", "llm_guard", "google_moderation", "openai_moderations"],
    ),
    (
        "no counterpart: conversations and embeddings only",
        &["files_settings", "finetune_settings", "search_tools", "assistant_settings", "prompts"],
        &["mcp_", "vector_store", "finetune"],
    ),
    (
        "no counterpart: there is no database",
        &[
            "store_model_in_db",
            "allow_requests_on_db_unavailable",
            "use_redis_transaction_buffer",
            "disable_prisma_schema_update",
            "supported_db_objects",
        ],
        &["database_", "prisma"],
    ),
    (
        "no counterpart: there are keys of clients, made by `standin key`, and no users, teams or roles",
        &[
            "custom_auth",
            "custom_sso",
            "user_header_name",
            "user_header_mappings",
            "enforce_user_param",
            "upperbound_key_generate_params",
            "default_key_generate_params",
            "allow_user_auth",
            "require_auth_for_metrics_endpoint",
            "allowed_ips",
            "litellm_jwtauth",
        ],
        &[
            "jwt",
            "oauth",
            "sso_",
            "ui_",
            "team_",
            "key_management",
            "key_generation",
            "role_",
            "enable_jwt",
            "enable_oauth",
        ],
    ),
    (
        "no counterpart: /metrics is Prometheus', and the log has a line for each call",
        &[
            "callbacks",
            "success_callback",
            "failure_callback",
            "service_callback",
            "service_callbacks",
            "callback_settings",
            "turn_off_message_logging",
            "redact_user_api_key_info",
        ],
        &["alert", "langfuse", "otel", "slack", "prometheus", "datadog"],
    ),
    (
        "no counterpart in the file: `standin serve --log json`, and RUST_LOG says how much",
        &[
            "set_verbose",
            "debug",
            "debug_level",
            "json_logs",
            "log_level",
            "log_verbose",
            "detailed_debug",
            "suppress_debug_info",
            "log_raw_request_response",
        ],
        &[],
    ),
    (
        "no counterpart: a failed attempt moves to another target, and a Retry-After is obeyed",
        &[
            "max_retries",
            "retry_after",
            "retry_policy",
            "allowed_fails_policy",
            "model_group_retry_policy",
            "max_fallbacks",
            "num_retries_per_request",
            "enable_cooldowns",
        ],
        &[],
    ),
    (
        "no counterpart: it does not change how requests are served",
        &[
            "id",
            "description",
            "base_url",
            "db_model",
            "created_at",
            "updated_at",
            "display_name",
            "litellm_provider",
            "region_name",
            "supports_prompt_caching",
            "tier",
            "team_public_model_name",
        ],
        &["supports_"],
    ),
    (
        "no counterpart: callers send parameters themselves",
        &[
            "temperature",
            "top_p",
            "top_k",
            "max_tokens",
            "reasoning_effort",
            "thinking",
            "extra_body",
            "n",
            "stop",
            "seed",
            "default_params",
            "frequency_penalty",
            "presence_penalty",
            "max_completion_tokens",
            "verbosity",
            "response_format",
            "tool_choice",
            "keep_alive",
        ],
        &[],
    ),
    (
        "not needed: parameters that a model is known to refuse are left out",
        &["drop_params", "additional_drop_params", "allowed_openai_params", "modify_params"],
        &[],
    ),
];

/// Settings that are read, or that have no counterpart without a reason to tell.
const OTHERS: [&str; 32] = [
    "api_base",
    "api_key",
    "api_version",
    "aws_region_name",
    "base_model",
    "content_policy_fallbacks",
    "context_window_fallbacks",
    "cooldown_time",
    "custom_provider_map",
    "default_fallbacks",
    "default_model",
    "disable_cooldowns",
    "enable_pre_call_checks",
    "allowed_fails",
    "fallbacks",
    "master_key",
    "max_input_tokens",
    "max_output_tokens",
    "max_parallel_requests",
    "max_request_size_mb",
    "mock_response",
    "mode",
    "model_group_alias",
    "num_retries",
    "order",
    "organization",
    "request_timeout",
    "routing_strategy",
    "routing_strategy_args",
    "stream_timeout",
    "tags",
    "weight",
];

/// The tables of a file.
const TABLES: [&str; 6] = [
    "model_list",
    "router_settings",
    "litellm_settings",
    "general_settings",
    "environment_variables",
    "credential_list",
];

/// Says why a part of the file has no counterpart, by its path.
pub fn why_not(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let name = last.split('[').next().unwrap_or(last);
    let is_table = !path.contains('.');
    if let Some(reason) = known(name) {
        return reason.to_owned();
    }
    match name {
        "include" if is_table => {
            "not read: copy what the files hold that it names into this one, models included".to_owned()
        }
        name if is_table && name.starts_with(['x', '.', '_']) => {
            "not needed: it is used where the file refers to it".to_owned()
        }
        name if is_table => match near(name, TABLES.into_iter()) {
            Some(near) => format!("is no known table of LiteLLM; {near}"),
            None => format!("is no known table of LiteLLM: there are {}", TABLES.join(", ")),
        },
        "timeout" => "no counterpart for one deployment: a call has a deadline (failover.deadline), a model \
                      `first_token` and `stall`"
            .to_owned(),
        name if name.ends_with("_limit") => "no counterpart: what a provider says of its limits is kept".to_owned(),
        name if OTHERS.contains(&name) => "no counterpart".to_owned(),
        name => {
            let named = REASONS.iter().flat_map(|(_, names, _)| names.iter().copied()).chain(OTHERS);
            near(name, named)
                .map_or_else(|| "no counterpart".to_owned(), |near| format!("is no known setting of LiteLLM; {near}"))
        }
    }
}

/// Returns the reason that a setting has.
fn known(name: &str) -> Option<&'static str> {
    let own = REASONS.iter().find(|(_, names, _)| names.contains(&name));
    let of_family = || REASONS.iter().find(|(.., begin)| begin.iter().any(|begin| name.starts_with(begin)));
    own.or_else(of_family).map(|(reason, ..)| *reason)
}

/// Says which name was meant, where one differs by a slip of the hand.
fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    did_you_mean(name, known.filter(|known| known.len() >= 5 && known.len().abs_diff(name.len()) <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_that_of_the_setting_itself_and_a_slip_gets_the_name_that_was_meant() {
        for (path, expected) in [
            ("litellm_settings.cache", "answers are not cached"),
            ("router_settings.redis_host", "answers are not cached"),
            ("model_list[0].litellm_params.cache_control_injection_points", "the caller marks"),
            ("model_list[0].litellm_params.guidance", "no counterpart"),
            ("model_list[0].litellm_params.require_x", "no counterpart"),
            ("model_list[0].litellm_params.user_continue_message", "no counterpart"),
            ("router_settings.enable_build_cache", "no counterpart"),
            ("router_settings.num_retires", "did you mean `num_retries`?"),
            ("router_settings.routing_stratgy", "did you mean `routing_strategy`?"),
            ("general_settings.maximum_spend_logs_retention_period", "is in the ledger"),
            ("general_setings", "did you mean `general_settings`?"),
            ("guardrails", "is not checked"),
            ("mcp_servers", "conversations and embeddings only"),
            ("something", "there are model_list"),
            ("model_list[0].litellm_params.rate_limit", "what a provider says of its limits"),
            ("model_list[0].litellm_params.temprature", "did you mean `temperature`?"),
        ] {
            let said = why_not(path);
            assert!(said.contains(expected), "{path}: {said}");
            assert!(expected != "no counterpart" || said == expected, "{path}: {said}");
        }
    }
}

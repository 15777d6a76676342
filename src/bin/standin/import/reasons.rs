//! Reasons why settings of `LiteLLM` have no counterpart here.

/// Says why a part of the file has no counterpart, by its path.
pub fn why_not(path: &str) -> &'static str {
    if path.contains(['.', '[']) { of_field(path) } else { why_no_table(path) }
}

/// Says why a table of the file itself has no counterpart.
fn why_no_table(name: &str) -> &'static str {
    match (name, of_field(name)) {
        ("include", _) => "not read: copy what the files hold that it names into this one, models included",
        (name, _) if name.starts_with(['x', '.', '_']) => "not needed: it is used where the file refers to it",
        (_, "no counterpart") => {
            "is no known table of LiteLLM: there are model_list, router_settings, litellm_settings, \
             general_settings, environment_variables and credential_list"
        }
        (_, why) => why,
    }
}

/// Says why a field has no counterpart.
fn of_field(path: &str) -> &'static str {
    let last = path.rsplit('.').next().unwrap_or(path);
    let any = |words: &[&str]| words.iter().any(|word| path.contains(word));
    match last {
        "ssl_verify" | "ssl_certificate" => {
            "no counterpart: certificates are verified; `transport.ca_pem` has your own authority"
        }
        "enable_tag_filtering" | "tag_filtering_match_any" => {
            "not needed: labels of models and calls always restrict which targets are asked"
        }
        "allowed_routes" | "public_routes" | "admin_only_routes" => {
            "no counterpart: addresses are open to clients' keys or to operators'; a key's `routes` name models"
        }
        "pass_through_endpoints" => "no counterpart: only conversations and embeddings go on",
        "health_check_interval" | "background_health_checks" | "health_check_details" => {
            "not needed: health is measured on calls, without extra requests"
        }
        "optional_pre_call_checks" => "not needed: windows and limits are checked before a target is asked, always",
        _ if any(&["redis", "cache"]) => {
            "no counterpart: nothing is shared between processes, and answers are not cached"
        }
        _ if any(&["budget", "spend", "max_budget"]) => {
            "not taken over: write it as `[budgets.NAME]`, see docs/keeping.md"
        }
        _ if any(&["guardrail", "moderation", "presidio"]) => {
            "no counterpart: the content of conversations is not checked"
        }
        _ if any(&["mcp_", "vector_store", "files_settings", "finetune", "search_tools", "assistant", "prompts"]) => {
            "no counterpart: conversations and embeddings only"
        }
        _ if any(&["database", "_db", "_in_db", "prisma"]) => "no counterpart: there is no database",
        _ if any(&["jwt", "oauth", "sso", "user", "team", "role", "auth", "key_management", "key_generat", "ui"]) => {
            "no counterpart: there are keys of clients, made by `standin key`, and no users, teams or roles"
        }
        _ if any(&["alert", "callback", "langfuse", "otel", "slack"]) => {
            "no counterpart: /metrics is Prometheus', and the log has a line for each call"
        }
        "set_verbose" | "debug" | "json_logs" | "log_level" | "log_verbose" | "detailed_debug" => {
            "no counterpart in the file: `standin serve --log json`, and RUST_LOG says how much"
        }
        "timeout" => {
            "no counterpart for one deployment: a call has a deadline (failover.deadline), a model `first_token` and `stall`"
        }
        "max_retries" | "retry_after" | "retry_policy" | "allowed_fails_policy" | "model_group_retry_policy" => {
            "no counterpart: a failed attempt moves to another target, and a Retry-After is obeyed"
        }
        "id" | "description" | "base_url" | "db_model" | "created_at" | "display_name" => {
            "no counterpart: it does not change how requests are served"
        }
        "temperature"
        | "top_p"
        | "max_tokens"
        | "reasoning_effort"
        | "thinking"
        | "extra_body"
        | "n"
        | "stop"
        | "seed"
        | "default_params"
        | "frequency_penalty"
        | "presence_penalty"
        | "max_completion_tokens" => "no counterpart: callers send parameters themselves",
        "drop_params" | "additional_drop_params" | "allowed_openai_params" | "modify_params" => {
            "not needed: parameters that a model is known to refuse are left out"
        }
        _ if path.ends_with("_limit") => "no counterpart: what a provider says of its limits is kept",
        _ => "no counterpart",
    }
}

//! Names in a body that could be read in two ways, or that choose the model behind a target.
//!
//! Input: the names of a body's own fields. Output: the one that is wrong. A body that goes on as it came must mean the
//! same to its reader as here: servers differ in which of two fields of one name they take, and some take `"MODEL"` for
//! `"model"`. Names further inside decide neither which model answers nor what it is asked, and are not looked at.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{BadRequest, CallerDialect};

/// Fields that decide the model and the request: in another spelling they are a field of another server.
const DECIDE: &[&str] = &[
    "contents",
    "input",
    "instructions",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prompt",
    "stream",
    "system",
    "tool_choice",
    "tools",
];

/// Fields by which gateways and aggregators choose a model, a host or an account other than the one that was asked, as
/// they are called without what parts their words.
const CHOOSE: &[&str] = &[
    "apibase",
    "apikey",
    "apitype",
    "apiversion",
    "azureadtoken",
    "baseurl",
    "clientoptions",
    "config",
    "deployment",
    "deploymentid",
    "deployments",
    "endpoint",
    "endpoints",
    "engine",
    "extrabody",
    "extraheaders",
    "extraquery",
    "gateway",
    "headers",
    "kvtransferparams",
    "organization",
    "plugins",
    "preset",
    "region",
    "regionname",
    "regions",
    "route",
    "router",
    "routing",
    "serviceaccount",
    "specificdeployment",
    "strategy",
    "tags",
    "target",
    "targets",
    "userconfig",
    "virtualkey",
];
/// How such fields begin where there are many.
const CHOOSE_BEGIN: [&str; 4] = ["aws", "azure", "tensorzero", "vertex"];
/// Words of which one tells such a field, wherever in its name it is: `fallback_model`, `base_model`,
/// `use_litellm_proxy`. No field of a dialect that is served has one, but `model` itself.
const CHOOSE_WORDS: [&str; 7] = ["credential", "fallback", "litellm", "model", "override", "portkey", "provider"];

/// Up to this number of names are compared one by one.
const FEW: usize = 16;

/// Refuses a name that is there twice, or another spelling of a deciding field.
pub(super) fn check<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), BadRequest> {
    let (mut few, mut many) = (Vec::with_capacity(FEW), HashSet::new());
    for name in names {
        let plain = folded(name);
        if plain != name && DECIDE.contains(&&*plain) {
            return Err(BadRequest::new(&plain, format!("is written otherwise; it must be `{plain}`")));
        }
        let is_new = if few.contains(&plain) {
            false
        } else if few.len() < FEW {
            few.push(plain);
            true
        } else {
            many.insert(plain)
        };
        if !is_new {
            let name: String = name.chars().take(64).collect();
            return Err(BadRequest::new(&name, "is there twice, capitals ignored; send it once"));
        }
    }
    Ok(())
}

/// Returns the field by which a gateway behind a target would choose a model, if there is one.
pub(super) fn chooses<'a>(caller_dialect: CallerDialect, mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    let is_one = |name: &str| {
        let plain: String = folded(name).chars().filter(|letter| !matches!(letter, '_' | '-' | '.' | ' ')).collect();
        // Gemini's address names the model: a second name in the body could choose another.
        if plain == "model" {
            return caller_dialect == CallerDialect::Gemini;
        }
        CHOOSE_WORDS.iter().any(|word| plain.contains(word))
            || CHOOSE.binary_search(&&*plain).is_ok()
            || CHOOSE_BEGIN.iter().any(|begin| plain.starts_with(begin))
    };
    names.find(|name| is_one(name)).map(str::to_owned)
}

/// Returns a name as readers see it that know no case: they know a long s and the sign of Kelvin, too.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return name.into();
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_or_is_written_otherwise_is_refused() {
        for (names, wrong) in [
            (&["model", "messages", "stream", "toolChoice", "tool_choice"][..], None),
            (&["contents", "systemInstruction", "generationConfig", "safetySettings"], None),
            (&["messages", "model", "messages"], Some("messages")),
            (&["model", "MODEL"], Some("model")),
            (&["Messages"], Some("messages")),
            (&["me\u{17f}\u{17f}ages"], Some("messages")),
            (&["model", "providerOptions"], None),
            (&["a", "A"], Some("A")),
            (&["x", "y", "x"], Some("x")),
        ] {
            let field = check(names.iter().copied()).err().map(|bad| bad.field);
            assert_eq!(field.as_deref(), wrong, "{names:?}");
        }
    }

    #[test]
    fn what_chooses_behind_a_target_is_known_in_any_case() {
        for (caller_dialect, name, chooses_one) in [
            (CallerDialect::OpenAiChat, "models", true),
            (CallerDialect::OpenAiChat, "providerOptions", true),
            (CallerDialect::OpenAiChat, "Models", true),
            (CallerDialect::Anthropic, "provider", true),
            (CallerDialect::Gemini, "model", true),
            (CallerDialect::OpenAiChat, "model", false),
            (CallerDialect::OpenAiChat, "tensorzero::variant_name", true),
            (CallerDialect::OpenAiChat, "api-base", true),
            (CallerDialect::OpenAiChat, "apiBase", true),
            (CallerDialect::OpenAiChat, "aws_bedrock_runtime_endpoint", true),
            (CallerDialect::OpenAiChat, "vertex_project", true),
            (CallerDialect::OpenAiChat, "fallback_model", true),
            (CallerDialect::OpenAiChat, "override_params", true),
            (CallerDialect::OpenAiChat, "plugins", true),
            (CallerDialect::OpenAiChat, "allowed_models", true),
            (CallerDialect::OpenAiChat, "base_model", true),
            (CallerDialect::OpenAiChat, "credential_name", true),
            (CallerDialect::OpenAiChat, "use_litellm_proxy", true),
            (CallerDialect::OpenAiChat, "portkey_config", true),
            (CallerDialect::OpenAiChat, "target", true),
            (CallerDialect::OpenAiChat, "service_account", true),
            (CallerDialect::OpenAiChat, "kv_transfer_params", true),
            (CallerDialect::OpenAiChat, "modalities", false),
            (CallerDialect::OpenAiChat, "service_tier", false),
            (CallerDialect::OpenAiChat, "metadata", false),
        ] {
            assert_eq!(chooses(caller_dialect, [name].into_iter()).is_some(), chooses_one, "{name}");
        }
    }

    #[test]
    fn the_lists_are_in_order_and_as_readers_see_them() {
        for list in [DECIDE, CHOOSE] {
            assert!(list.is_sorted() && list.iter().all(|name| folded(name) == *name));
        }
    }
}

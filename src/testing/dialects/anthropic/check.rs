//! Checks a request as Anthropic would, and reads its question. Refusals are in Anthropic's words, as far as recorded
//! traffic and its users' reports have them.
//!
//! Not simulated, and so neither checked nor played: tools that run at Anthropic, and the parameters of betas.

mod fields;
mod schema;
mod conversation;
mod tools;

use http::HeaderMap;
use serde_json::Value;

use self::conversation::ConversationTexts;
use self::fields::{Checked, Object, invalid, refuse};
use super::{Host, VERSION, model_in};
use crate::testing::answer::{Form, Question};
use crate::testing::dialects::Address;

/// Every parameter of the official API.
const PARAMETERS: &[&str] = &[
    "cache_control",
    "container",
    "inference_geo",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// Parameters that clouds do not know ("Extra inputs are not permitted").
const OWN_PARAMETERS: &[&str] =
    &["cache_control", "container", "inference_geo", "mcp_servers", "service_tier", "speed"];

/// The most letters of a user's id ("`metadata.user_id`: String should have at most 256 characters").
const USER_MAX: usize = 256;

/// Parameters that need a beta's header.
const BETA_PARAMETERS: &[&str] = &["betas", "context_management", "mcp_servers", "output_format", "speed"];

/// Parameters of a request that only counts tokens.
const COUNTED: &[&str] =
    &["cache_control", "messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"];

/// The most `cache_control` marks in one request.
const BREAKPOINTS_MAX: usize = 4;

/// Understands a request, or says what is wrong with it.
pub(super) fn read(host: Host, address: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Checked<Question> {
    let body = parse(body)?;
    let request = Object::root(&body)?;
    let model = model(host, address, headers, &request)?;
    let has_beta = headers.contains_key("anthropic-beta") || request.get("anthropic_beta").is_some();
    let own: &[&str] = if host == Host::Own { &[] } else { &["anthropic_version", "anthropic_beta"] };
    let beta = if has_beta { BETA_PARAMETERS } else { &[] };
    let here = |name: &&&str| host == Host::Own || !OWN_PARAMETERS.contains(*name);
    let known: Vec<&str> = [PARAMETERS, own, beta].concat().iter().filter(here).copied().collect();
    request.known(&known)?;
    let max_tokens = request.integer("max_tokens", 0)?.ok_or_else(|| request.missing("max_tokens"))?;
    let thinking = Thinking::read(&request, &model, Some(max_tokens))?;
    sampling(&request, &model, thinking)?;
    others(&request)?;
    let stream = request.flag("stream")?.unwrap_or(false);
    let (tools, forced_tool) = tools::read(host, &request, thinking != Thinking::Off)?;
    let talk = ConversationTexts::read(&request, &model, thinking)?;
    let form = output(&request, &model)?;
    Ok(Question {
        stream,
        include_usage: true,
        user: talk.user.or(talk.last).unwrap_or_default(),
        tool_results: talk.tool_results,
        tools,
        forced_tool,
        form,
        tokens: talk.tokens,
        output_tokens_max: Some(max_tokens),
        model,
        body,
    })
}

/// Returns how many tokens a prompt has.
pub(super) fn count(host: Host, address: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Checked<u64> {
    let body = parse(body)?;
    let request = Object::root(&body)?;
    let model = model(host, address, headers, &request)?;
    request.known(COUNTED)?;
    let thinking = Thinking::read(&request, &model, None)?;
    tools::read(host, &request, thinking != Thinking::Off)?;
    Ok(ConversationTexts::read(&request, &model, thinking)?.tokens)
}

fn parse(body: &[u8]) -> Checked<Value> {
    serde_json::from_slice(body).map_err(|error| refuse(format!("The request body is not valid JSON: {error}")))
}

/// Returns the model, once the dialect's version is found where the host wants it.
fn model(host: Host, address: Address<'_>, headers: &HeaderMap, request: &Object<'_>) -> Checked<String> {
    if let Host::Vertex { .. } = host {
        request.literal("anthropic_version", &["vertex-2023-10-16"])?;
        if request.get("model").is_some() {
            return Err(invalid("model", "Extra inputs are not permitted"));
        }
        return Ok(model_in(address.path));
    }
    match headers.get(VERSION).map(|version| version.to_str().unwrap_or_default()) {
        None => return Err(invalid(VERSION, "header is required")),
        Some("2023-06-01" | "2023-01-01") => {}
        Some(other) => return Err(invalid(VERSION, &format!("{other:?} is not a valid version"))),
    }
    match request.string("model")? {
        "" => Err(invalid("model", "String should have at least 1 character")),
        model => Ok(model.to_owned()),
    }
}

/// Returns a model's generation: 4.7 of `claude-opus-4-7-20260416`, 3.5 of `claude-3-5-haiku-latest`. `None` is a name
/// of no Claude, which takes everything.
fn generation(model: &str) -> Option<(u32, u32)> {
    let parts = model.strip_prefix("claude-")?.split(['-', '@']);
    let mut numbers = parts.filter(|part| part.len() <= 2).filter_map(|part| part.parse().ok());
    numbers.next().map(|major| (major, numbers.next().unwrap_or(0)))
}

fn is_at_least(model: &str, from: (u32, u32)) -> bool {
    generation(model).is_some_and(|generation| generation >= from)
}

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thinking {
    Off,
    /// Within a budget.
    Enabled,
    /// As much as it sees fit.
    Adaptive,
}

impl Thinking {
    fn read(request: &Object<'_>, model: &str, max_tokens: Option<u64>) -> Checked<Self> {
        let Some(thinking) = request.object("thinking")? else { return Ok(Self::Off) };
        let kind = thinking.tag(&["adaptive", "disabled", "enabled"])?;
        let thinking = thinking.within(kind);
        match kind {
            "disabled" => thinking.known(&["type"]).map(|()| Self::Off),
            "adaptive" => {
                thinking.known(&["type", "display"])?;
                thinking.literal_opt("display", &["summarized", "omitted"])?;
                if generation(model).is_some_and(|generation| generation < (4, 6)) {
                    return Err(refuse("adaptive thinking is not supported on this model"));
                }
                Ok(Self::Adaptive)
            }
            _ => {
                thinking.known(&["type", "budget_tokens", "display"])?;
                thinking.literal_opt("display", &["summarized", "omitted"])?;
                if is_at_least(model, (4, 7)) {
                    return Err(refuse(
                        "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \
                         \"output_config.effort\" to control thinking behavior.",
                    ));
                }
                let budget =
                    thinking.integer("budget_tokens", 1024)?.ok_or_else(|| thinking.missing("budget_tokens"))?;
                if max_tokens.is_some_and(|max| max <= budget) {
                    return Err(refuse(
                        "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at \
                         https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
                    ));
                }
                Ok(Self::Enabled)
            }
        }
    }
}

fn sampling(request: &Object<'_>, model: &str, thinking: Thinking) -> Checked<()> {
    let temperature = request.number("temperature")?;
    let top_p = request.number("top_p")?;
    let top_k = request.integer("top_k", 0)?;
    for (name, value) in [("temperature", temperature), ("top_p", top_p)] {
        if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return Err(invalid(name, "range: 0..1"));
        }
    }
    if is_at_least(model, (4, 7)) {
        let odd = [
            ("temperature", temperature.is_some_and(|value| value != 1.0)),
            ("top_p", top_p.is_some_and(|value| value != 1.0)),
            ("top_k", top_k.is_some()),
        ];
        if let Some((name, _)) = odd.iter().find(|(_, is_odd)| *is_odd) {
            return Err(refuse(format!("`{name}` is deprecated for this model.")));
        }
    }
    if is_at_least(model, (4, 1)) && temperature.is_some() && top_p.is_some() {
        return Err(refuse("`temperature` and `top_p` cannot both be specified for this model. Please use only one."));
    }
    if thinking == Thinking::Off {
        return Ok(());
    }
    let problem = match (temperature, top_p, top_k) {
        (Some(temperature), ..) if temperature != 1.0 => "`temperature` may only be set to 1 when thinking is enabled.",
        (_, Some(top_p), _) if top_p < 0.95 => {
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
        }
        (.., Some(_)) => "`top_k` must be unset when thinking is enabled.",
        _ => return Ok(()),
    };
    Err(refuse(format!(
        "{problem} Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking"
    )))
}

fn others(request: &Object<'_>) -> Checked<()> {
    for (at, stop) in request.list("stop_sequences")?.into_iter().flatten().enumerate() {
        match stop.as_str() {
            None => return Err(invalid(&format!("stop_sequences.{at}"), "Input should be a valid string")),
            Some(stop) if stop.trim().is_empty() => {
                return Err(invalid("stop_sequences", "each stop sequence must contain non-whitespace"));
            }
            Some(_) => {}
        }
    }
    request.literal_opt("service_tier", &["auto", "standard_only"])?;
    if let Some(metadata) = request.object("metadata")? {
        metadata.known(&["user_id"])?;
        let user = metadata.get("user_id").and_then(Value::as_str).unwrap_or_default();
        if user.chars().count() > USER_MAX {
            let problem = format!("String should have at most {USER_MAX} characters");
            return Err(invalid("metadata.user_id", &problem));
        }
    }
    request.cache_control()?;
    let marks: usize =
        ["system", "messages", "tools"].iter().filter_map(|name| request.get(name)).map(breakpoints).sum();
    if marks > BREAKPOINTS_MAX {
        return Err(refuse(format!(
            "A maximum of {BREAKPOINTS_MAX} blocks with cache_control may be provided. Found {marks}."
        )));
    }
    Ok(())
}

/// Counts the cache marks in the request's own objects; schemas and arguments of tools do not count.
fn breakpoints(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(breakpoints).sum(),
        Value::Object(fields) => {
            let own = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "input" | "input_schema"));
            let marks = fields.get("cache_control").is_some_and(Value::is_object);
            usize::from(marks) + own.map(|(_, value)| breakpoints(value)).sum::<usize>()
        }
        _ => 0,
    }
}

/// Returns the form the answer must have.
fn output(request: &Object<'_>, model: &str) -> Checked<Form> {
    let config = request.object("output_config")?;
    if let Some(config) = &config {
        config.known(&["effort", "format", "task_budget"])?;
        let effort = config.literal_opt("effort", &["low", "medium", "high", "xhigh", "max"])?;
        effort.map_or(Ok(()), |effort| takes_effort(model, effort))?;
    }
    let format = match config {
        Some(config) => config.object("format")?,
        None => request.object("output_format")?,
    };
    let Some(format) = format else { return Ok(Form::Text) };
    format.known(&["type", "schema"])?;
    format.literal("type", &["json_schema"])?;
    let schema = format.required_object("schema")?;
    schema::check(schema.path(), schema.value())?;
    schema::limits(&[schema.value()])?;
    Ok(Form::Schema(schema.value().clone()))
}

fn takes_effort(model: &str, effort: &str) -> Checked<()> {
    let takes: &[&str] = match generation(model) {
        Some(generation) if generation < (4, 5) => &[],
        Some((4, 5)) if model.contains("opus") => &["high", "low", "medium"],
        Some((4, 5)) => &[],
        Some((4, 6)) => &["high", "low", "max", "medium"],
        _ => return Ok(()),
    };
    if takes.contains(&effort) {
        return Ok(());
    }
    Err(refuse(if takes.is_empty() {
        "This model does not support the effort parameter.".to_owned()
    } else {
        format!("This model does not support effort level '{effort}'. Supported levels: {}.", takes.join(", "))
    }))
}

#[cfg(test)]
mod tests;

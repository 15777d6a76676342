//! Requests for lists of models, and for the number of tokens of a prompt.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::CallerDialect;

/// A model as it is listed: a name that callers may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The name.
    pub id: String,
    /// Since when there is such a model, in seconds since 1970.
    pub created: u64,
    /// The targets that answer by that name.
    pub owner: String,
    /// The longest prompt, in tokens, where it is known.
    pub input_tokens_max: Option<u32>,
    /// The longest answer, in tokens, where it is known.
    pub output_tokens_max: Option<u32>,
}

/// Returns the body that lists models.
pub fn models(caller_dialect: CallerDialect, listings: &[Listing]) -> Vec<u8> {
    let all: Vec<Value> = listings.iter().map(|listing| entry(caller_dialect, listing)).collect();
    let id = |listing: Option<&Listing>| listing.map(|listing| listing.id.clone());
    let body = match caller_dialect {
        CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses => json!({"object": "list", "data": all}),
        CallerDialect::Anthropic => json!({
            "data": all,
            "has_more": false,
            "first_id": id(listings.first()),
            "last_id": id(listings.last()),
        }),
        CallerDialect::Gemini => json!({"models": all}),
    };
    body.to_string().into_bytes()
}

/// Returns the body that tells of one model.
pub fn model(caller_dialect: CallerDialect, listing: &Listing) -> Vec<u8> {
    entry(caller_dialect, listing).to_string().into_bytes()
}

/// Returns the body that tells how many tokens a prompt has.
pub fn count_tokens(caller_dialect: CallerDialect, tokens: u64) -> Vec<u8> {
    let body = match caller_dialect {
        CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses => {
            json!({"object": "response.input_tokens", "input_tokens": tokens})
        }
        CallerDialect::Anthropic => json!({"input_tokens": tokens}),
        CallerDialect::Gemini => json!({"totalTokens": tokens}),
    };
    body.to_string().into_bytes()
}

fn entry(caller_dialect: CallerDialect, listing: &Listing) -> Value {
    let Listing { id, created, owner, input_tokens_max, output_tokens_max } = listing;
    let mut entry = match caller_dialect {
        CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses => {
            return json!({"id": id, "object": "model", "created": created, "owned_by": owner});
        }
        CallerDialect::Anthropic => {
            // The latest date that the format can hold is in the year 9999.
            let created = UNIX_EPOCH + Duration::from_secs((*created).min(253_402_300_799));
            let created_at = humantime::format_rfc3339_seconds(created).to_string();
            json!({"type": "model", "id": id, "display_name": id, "created_at": created_at})
        }
        CallerDialect::Gemini => json!({
            "name": format!("models/{id}"),
            "baseModelId": id,
            "version": "1",
            "displayName": id,
            "description": format!("answered by {owner}"),
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }),
    };
    let limits = match caller_dialect {
        CallerDialect::Gemini => ["inputTokenLimit", "outputTokenLimit"],
        _ => ["max_input_tokens", "max_tokens"],
    };
    for (key, limit) in limits.into_iter().zip([input_tokens_max, output_tokens_max]) {
        if let Some(limit) = limit {
            entry[key] = (*limit).into();
        }
    }
    entry
}

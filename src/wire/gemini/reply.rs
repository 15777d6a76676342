//! Reads answers. A chunk of a stream and a whole reply have one shape; a stream without `alt=sse`, and some errors,
//! come as an array of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape::CHUNK;
use crate::wire::draft::{Draft, Forwarding, Fragment, arguments, broken, unusable};
use crate::wire::json::{Content as Text, Items, Scalar, loose, parse, says_something};
use crate::wire::stop_reason::is_word;
use crate::wire::tidy::begin;
use crate::wire::{bill, classify};
use crate::words::{Dialect, DriftKind, Failure, FailureClass, Piece, Proof, StopReason, Usage};

/// Reads one event of a stream; tells whether it had content.
pub(in crate::wire) fn read_event(
    dialect: Dialect,
    draft: &mut Draft,
    name: &str,
    data: &str,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    match (name, data.trim()) {
        (_, "") => Ok(false),
        (_, "[DONE]") => {
            draft.forwarding = Forwarding::OtherEnd;
            Ok(false)
        }
        ("error", data) => Err(classify::in_band(data)),
        ("" | "message", data) => read_whole(dialect, draft, data, out),
        // Gemini names no events: these are a gateway's.
        _ => {
            draft.drifts.note(DriftKind::Event, name);
            Ok(false)
        }
    }
}

/// Reads a whole answer; tells whether it had content.
pub(in crate::wire) fn read_whole(
    dialect: Dialect,
    draft: &mut Draft,
    body: &str,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    if !body.starts_with('[') {
        return read(dialect, draft, body, out);
    }
    let chunks: Vec<&RawValue> = serde_json::from_str(body).map_err(|problem| broken(body, &problem))?;
    chunks.iter().try_fold(false, |content, chunk| Ok(content | read(dialect, draft, chunk.get(), out)?))
}

fn read(dialect: Dialect, draft: &mut Draft, text: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    let chunk: Chunk<'_> = parse(text).map_err(|problem| broken(text, &problem))?;
    if chunk.error.is_some_and(says_something) {
        return Err(classify::in_band(text));
    }
    let ended = |candidate: &Candidate<'_>| !matches!(candidate.finish_reason, Scalar::Nothing);
    draft.drifts.look(&CHUNK, text, chunk.candidates.as_ref().is_none_or(|all| all.iter().any(ended)));
    draft.identify(chunk.response_id.text(), chunk.model_version.text());
    let usage = chunk.usage_metadata.and_then(|raw| serde_json::from_str::<Tokens<'_>>(raw.get()).ok());
    draft.usage = usage.as_ref().and_then(Tokens::normal).or(draft.usage);
    if let Some(Tokens { service_tier, traffic_type, .. }) = &usage {
        bill::serve(&mut draft.bill, service_tier.text());
        bill::serve(&mut draft.bill, traffic_type.text().strip_prefix("ON_DEMAND_").unwrap_or_default());
    }
    let candidates = chunk.candidates.unwrap_or_default();
    if let Some(candidate) = candidates.into_iter().find(|candidate| candidate.index.count().unwrap_or(0) == 0) {
        return candidate.read(dialect, draft, out);
    }
    if let Some(blocked) = chunk.prompt_feedback.as_ref().and_then(Feedback::failure) {
        return draft.failed(blocked).map(|()| false);
    }
    if usage.is_some() { Ok(false) } else { classify::recognise(text).map_or(Ok(false), Err) }
}

loose! {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Chunk<'a> {
        response_id: Scalar<'a>,
        model_version: Scalar<'a>,
        candidates: Option<Vec<Candidate<'a>>>,
        prompt_feedback: Option<Feedback<'a>>,
        usage_metadata: Option<&'a RawValue>,
        error: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Candidate<'a> {
        index: Scalar<'a>,
        content: Option<Content<'a>>,
        finish_reason: Scalar<'a>,
        finish_message: Scalar<'a>,
        grounding_metadata: Option<&'a RawValue>,
        citation_metadata: Option<&'a RawValue>,
        url_context_metadata: Option<&'a RawValue>,
    }
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Option<Items<'a, Part<'a>>>,
}

loose! {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Part<'a> {
        text: Option<Text<'a>>,
        thought: Option<&'a RawValue>,
        thought_signature: Scalar<'a>,
        function_call: Option<Call<'a>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Call<'a> {
        id: Scalar<'a>,
        name: Scalar<'a>,
        args: Option<&'a RawValue>,
        partial_args: Option<&'a RawValue>,
        will_continue: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Feedback<'a> {
        block_reason: Scalar<'a>,
        block_reason_message: Scalar<'a>,
    }
}

impl Feedback<'_> {
    /// Returns the refusal of the whole prompt, if it is one.
    fn failure(&self) -> Option<Failure> {
        let reason = match &self.block_reason {
            Scalar::Nothing | Scalar::Count(0) => return None,
            Scalar::Count(_) => "OTHER",
            Scalar::Text(reason) if matches!(&**reason, "" | "BLOCK_REASON_UNSPECIFIED") => return None,
            Scalar::Text(reason) => reason,
        };
        let said = self.block_reason_message.text();
        let message = if said.is_empty() { "the provider's filter refused the prompt" } else { said };
        Some(coded(FailureClass::ContentPolicy, reason, message))
    }
}

/// The reasons that name a call that is none.
const MALFORMED: [&str; 5] = [
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
];

impl Candidate<'_> {
    fn read(self, dialect: Dialect, draft: &mut Draft, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        let mut content = false;
        if let Some(parts) = self.content.and_then(|content| content.parts) {
            parts.each(|part| part.read(dialect, draft, out).map(|came| content |= came))?;
        }
        // Its own search has a price of its own, which differs from model to model.
        draft.bill.other_price |= self.grounding_metadata.is_some_and(|raw| raw.get().contains("webSearchQueries"));
        if !draft.verbatim {
            self.grounding_metadata.into_iter().for_each(|grounding| draft.sources.grounding(grounding));
            self.citation_metadata.into_iter().for_each(|cited| draft.sources.attributions(cited));
            self.url_context_metadata.into_iter().for_each(|fetched| draft.sources.fetched(fetched));
        }
        match &self.finish_reason {
            Scalar::Nothing | Scalar::Count(0) => {}
            // Enumerations as numbers; above these Google's two services do not agree.
            Scalar::Count(number) => {
                let stop = match number {
                    1 => Some(StopReason::Stop),
                    2 => Some(StopReason::Length),
                    3 | 4 => Some(StopReason::ContentFilter),
                    _ => None,
                };
                draft.stopped_by(stop, &number.to_string());
            }
            Scalar::Text(reason) => match &**reason {
                "" | "FINISH_REASON_UNSPECIFIED" => {}
                reason if MALFORMED.iter().any(|word| is_word(reason, word)) => {
                    let said = self.finish_message.text();
                    let message = if said.is_empty() { "the model made a call that is none" } else { said };
                    draft.failed(coded(FailureClass::Unusable, reason, message))?;
                }
                reason => draft.stopped_by_word(reason)?,
            },
        }
        Ok(content)
    }
}

fn coded(class: FailureClass, code: &str, message: &str) -> Failure {
    Failure { code: Some(begin(code).to_owned()), ..Failure::new(class, begin(message)) }
}

impl Part<'_> {
    fn read(self, dialect: Dialect, draft: &mut Draft, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        let signature = self.thought_signature.text();
        let proof = (!signature.is_empty()).then(|| Proof::new(dialect, signature));
        if let Some(call) = &self.function_call {
            return call.read(draft, proof);
        }
        let thought = self.thought.is_some_and(|thought| thought.get() == "true");
        let content = match self.text {
            Some(text) if thought => draft.reasoning(text.text, out),
            Some(text) => draft.text(text.text, out),
            // A picture, a file, code that was run.
            None => proof.is_none() && draft.note_foreign_part(),
        };
        if let Some(proof) = proof {
            draft.prove(proof);
        }
        Ok(content)
    }
}

impl Call<'_> {
    /// Reads a call, which comes whole, or its arguments value by value.
    fn read(&self, draft: &mut Draft, proof: Option<Proof>) -> Result<bool, Failure> {
        let name = self.name.text();
        if draft.verbatim && (self.partial_args.is_some() || self.will_continue.is_some()) {
            // A caller that gets the answer as it came asked for that.
            return Ok(draft.acts());
        }
        let begins = !(name.is_empty() && self.id.text().is_empty() && self.args.is_none());
        let goes_on = self.will_continue.is_some_and(|more| more.get() == "true");
        let is_open = draft.values().is_some_and(|values| values.is_open());
        if !begins && self.partial_args.is_none() && !goes_on && !is_open {
            // It ends a call that its caller gets as it came.
            return Ok(draft.verbatim && draft.acts());
        }
        let mut content = false;
        let comes_whole = self.partial_args.is_none() && !goes_on;
        if begins {
            let arguments = match self.args {
                Some(_) if comes_whole => arguments(self.args)?,
                None if comes_whole => Cow::Borrowed("{}"),
                _ => Cow::Borrowed(""),
            };
            let index = Some(draft.calls_begun());
            content |= draft.fragment(Fragment { index, id: self.id.text(), name, arguments, proof })?;
        }
        if begins && comes_whole {
            return Ok(content);
        }
        draft.size += self.partial_args.map_or(0, |pieces| pieces.get().len());
        let values = draft.values().map(|values| {
            if begins {
                values.begin(self.args);
            }
            values.push(self.partial_args, goes_on)
        });
        match values.flatten() {
            Some(()) => Ok(content || self.partial_args.is_some()),
            None => Err(unusable("the arguments of a call come in pieces that are not understood")),
        }
    }
}

loose! {
    /// Usage, cumulative in a stream.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tokens<'a> {
        prompt_token_count: Scalar<'a>,
        tool_use_prompt_token_count: Scalar<'a>,
        candidates_token_count: Scalar<'a>,
        thoughts_token_count: Scalar<'a>,
        cached_content_token_count: Scalar<'a>,
        service_tier: Scalar<'a>,
        traffic_type: Scalar<'a>,
    }
}

impl Tokens<'_> {
    /// Returns the usage in this crate's count; `None` where it says nothing.
    fn normal(&self) -> Option<Usage> {
        let count = |count: &Scalar<'_>| count.count().unwrap_or(0);
        let reasoning = count(&self.thoughts_token_count);
        let usage = Usage {
            input: count(&self.prompt_token_count).saturating_add(count(&self.tool_use_prompt_token_count)),
            output: count(&self.candidates_token_count).saturating_add(reasoning),
            cached: count(&self.cached_content_token_count),
            cache_write: 0,
            reasoning,
        };
        (usage != Usage::default()).then_some(usage)
    }
}

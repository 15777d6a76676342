//! The headers of an answer: which call it is of, who gave it, what it cost, and what became of the request.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::words::{AttemptRecord, CallId, Degraded, Embeddings, Finished, Note, TargetId};

/// What is told of every call that ended well, whatever its answer is.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) call: CallId,
    pub(super) target: &'a TargetId,
    pub(super) degraded: Option<Degraded>,
    pub(super) cost_usd: Option<f64>,
    pub(super) attempts: &'a [AttemptRecord],
}

impl<'a> From<&'a Finished> for Answered<'a> {
    fn from(it: &'a Finished) -> Self {
        let Finished { call, target, degraded, cost_usd, attempts, .. } = it;
        Self { call: *call, target, degraded: *degraded, cost_usd: *cost_usd, attempts }
    }
}

impl<'a> From<&'a Embeddings> for Answered<'a> {
    fn from(it: &'a Embeddings) -> Self {
        let Embeddings { call, target, degraded, cost_usd, attempts, .. } = it;
        Self { call: *call, target, degraded: *degraded, cost_usd: *cost_usd, attempts }
    }
}

/// Sets the header by which `why` finds a call.
pub(super) fn tell_call(headers: &mut HeaderMap, call: CallId) {
    set(headers, "x-standin-call", &call.to_string());
}

/// Sets the target that answers, and the number of attempts.
pub(super) fn tell_target(headers: &mut HeaderMap, target: &TargetId, attempts: usize) {
    set(headers, "x-standin-target", &target.to_string());
    headers.insert(HeaderName::from_static("x-standin-attempts"), HeaderValue::from(attempts));
}

/// Sets the header of a stream whose call is parked: Gemini's clients take a comment for an error.
pub(super) fn tell_waiting(headers: &mut HeaderMap, notice: &str) {
    set(headers, "x-standin-waiting", notice);
}

/// Sets the headers of a call that ended well: of an answer from a lower rung also that, with the age of a stale one.
pub(super) fn tell_answered(headers: &mut HeaderMap, answered: Answered<'_>) {
    tell_target(headers, answered.target, answered.attempts.len());
    tell_call(headers, answered.call);
    if let Some(cost) = answered.cost_usd {
        set(headers, "x-standin-cost-usd", &format!("{cost:.9}"));
    }
    if let Some(rung) = answered.degraded {
        set(headers, "x-standin-degraded", rung.name());
    }
    if let Some(age) = answered.degraded.and_then(Degraded::age) {
        headers.insert(HeaderName::from_static("x-standin-age"), HeaderValue::from(age.as_secs()));
    }
}

/// Sets the headers of a whole answer, with what its target did not take as it was.
pub(super) fn tell_whole(headers: &mut HeaderMap, finished: &Finished) {
    tell_answered(headers, finished.into());
    if !finished.notes.is_empty() {
        set(headers, "x-standin-notes", &told(&finished.notes));
    }
}

/// Returns notes as they are told. The names of fields that were left out say more than that there were some.
fn told(notes: &[Note]) -> String {
    let names_fields = notes.iter().any(|note| matches!(note, Note::DroppedField(_)));
    let told = notes.iter().filter(|note| !(names_fields && **note == Note::Dropped("extra")));
    let told = told.map(|note| match note {
        Note::Dropped(what) => format!("dropped {what}"),
        Note::DroppedField(name) => format!("dropped {name}"),
        Note::Converted(what) => format!("converted {what}"),
        Note::Trimmed { messages, .. } => format!("trimmed {messages} messages"),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Sets a header, unless its value cannot be one.
fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::FieldName;

    #[test]
    fn fields_that_are_left_out_are_told_by_their_names() {
        let named = [
            Note::Dropped("extra"),
            Note::DroppedField(FieldName::new("service_tier")),
            Note::Converted("effort"),
            Note::DroppedField(FieldName::new("generationConfig.topK")),
        ];
        assert_eq!(told(&named), "dropped service_tier, converted effort, dropped generationConfig.topK");
        assert_eq!(told(&named[..1]), "dropped extra");
    }
}

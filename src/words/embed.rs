//! Texts to be turned into vectors, and the vectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{AttemptRecord, CallId};
use super::error::Error;
use super::exhausted::{Degraded, OnExhausted};
use super::hedging::Hedging;
use super::json::Json;
use super::names;
use super::note::Note;
use super::priority::Priority;
use super::rule::Rule;
use super::target::{Dialect, TargetId};
use super::usage::Usage;

/// Texts to be embedded, in no provider's dialect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedRequest {
    /// Name of the route that may serve the call, or `provider/model` for exactly one target. Vectors of two models
    /// cannot be compared: to store them, use a route whose targets are one embedding model at several providers.
    pub route: String,
    /// The texts, none of them empty: each becomes one vector.
    pub inputs: Vec<String>,
    /// The texts as the tokens of one model, instead of `inputs`: each list becomes one vector. A target of another
    /// model takes them for another text: a route should have one model only, and its targets OpenAI's dialect.
    pub tokens: Vec<Vec<u32>>,
    /// How many numbers a vector must have; `None` leaves it to the model. An answer of another length is unusable.
    pub dimensions: Option<u32>,
    /// The call's urgency: how much a second of waiting costs, and its place in queues.
    pub priority: Priority,
    /// The rule by which its target is chosen; `None` is the route's.
    pub rule: Option<Rule>,
    /// When a second target is asked beside the first; `None` is the route's.
    pub hedging: Option<Hedging>,
    /// Time for the whole call, over all its attempts, from when the runtime accepts it; `None` takes the
    /// configured one.
    pub deadline: Option<Duration>,
    /// How long the caller's client waits for a byte, where it says so: targets share the call's time by it, a call
    /// that would wait longer for a place is refused, and none that has a place is ended by it. Never sent. A sidecar
    /// sets it.
    pub client_timeout: Option<Duration>,
    /// How the call goes on if no target can answer now; `None` takes the route's.
    pub on_exhausted: Option<OnExhausted>,
    /// Labels a target must carry to serve this call. No target without all of them is ever asked.
    pub labels: Vec<String>,
    /// Free text for the caller's own accounting; never sent.
    pub tags: BTreeMap<String, String>,
    /// The client that sends it, by the name of its key: for accounts and budgets, never sent. A sidecar sets it.
    pub client: Option<Arc<str>>,
    /// Provider-specific fields that go as they are: into the request's body, or in Gemini's dialect with every text. A
    /// field that the runtime itself writes (`model`, `input`, …) cannot be overridden.
    pub extra: BTreeMap<String, Json>,
    /// The dialect that `extra` is written in: a target of another gets none of it. `None` sends it to all.
    pub extra_dialect: Option<Dialect>,
    /// Marks of the gateways that it came through: sent along to targets that may lead back to one of them.
    pub via: Vec<String>,
}

impl EmbedRequest {
    /// Returns how many vectors are asked for.
    pub(crate) fn asked(&self) -> usize {
        self.inputs.len().max(self.tokens.len())
    }

    /// Returns a request for a route and some texts.
    pub fn new<T: Into<String>>(route: impl Into<String>, inputs: impl IntoIterator<Item = T>) -> Self {
        Self { route: route.into(), inputs: inputs.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Checks what no provider could accept.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |field: String, problem: &str| Err(Error::Invalid { field, problem: problem.into() });
        if self.inputs.is_empty() && self.tokens.is_empty() {
            return invalid("inputs".into(), "is empty; name at least one text");
        }
        if !self.inputs.is_empty() && !self.tokens.is_empty() {
            return invalid("tokens".into(), "stand beside texts; send one or the other");
        }
        if let Some(at) = self.tokens.iter().position(Vec::is_empty) {
            return invalid(format!("tokens[{at}]"), "is empty; no model embeds nothing");
        }
        if let Some(at) = self.inputs.iter().position(String::is_empty) {
            return invalid(format!("inputs[{at}]"), "is empty; no model embeds nothing");
        }
        if self.dimensions == Some(0) {
            return invalid("dimensions".into(), "is 0; leave it out for the model's own number");
        }
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return invalid("deadline".into(), "is zero; leave it out for the configured one");
        }
        names::check(&self.route, None, &self.labels, &self.tags)
    }
}

/// The vectors of some texts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Embeddings {
    /// The call, for `why`.
    pub call: CallId,
    /// A vector for each text, in the texts' order; all of one length, every number finite.
    pub vectors: Vec<Vec<f32>>,
    /// The target that answered.
    pub target: TargetId,
    /// The model's name as the provider spelled it in the answer, where it did.
    pub model: Option<Arc<str>>,
    /// Tokens of the winning attempt.
    pub usage: Usage,
    /// What all attempts of the call cost together, in dollars; `None` while the winner's price is unknown.
    pub cost_usd: Option<f64>,
    /// Every attempt in the order they were started.
    pub attempts: Vec<AttemptRecord>,
    /// Whether no target was well, and one was asked as a last resort.
    pub last_resort: bool,
    /// The lower rung that it is from, if no other target could answer.
    pub degraded: Option<Degraded>,
    /// The parts of the request that the target could not take as they were.
    pub notes: Vec<Note>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_no_provider_could_embed_are_refused_by_the_fields_name() {
        let good = EmbedRequest::new("embed", ["a", "b"]);
        assert_eq!(good.check(), Ok(()));
        for (field, bad) in [
            ("inputs", EmbedRequest { inputs: Vec::new(), ..good.clone() }),
            ("inputs[1]", EmbedRequest::new("embed", ["a", ""])),
            ("tokens", EmbedRequest { tokens: vec![vec![1]], ..good.clone() }),
            ("tokens[1]", EmbedRequest { inputs: Vec::new(), tokens: vec![vec![1], vec![]], ..good.clone() }),
            ("dimensions", EmbedRequest { dimensions: Some(0), ..good.clone() }),
            ("deadline", EmbedRequest { deadline: Some(Duration::ZERO), ..good.clone() }),
        ] {
            match bad.check() {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}

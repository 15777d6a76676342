//! The request of a call: the one place where chat and embeddings differ for the actors.
//!
//! A call, its attempts and the router ask only what all work has. Only the attempt knows it in bytes; only the call's
//! last step knows the form of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blocking_pool::LONG_BYTES;
use crate::policy::time_left::CallerPatience;
use crate::policy::tokens::{Measure, Prompt};
use crate::spec::{ProviderSpec, TargetSpec};
use crate::wire::{self, Embedded, Encoded, Ending, Verbatim};
use crate::words::{
    ChatRequest, CommitPolicy, Dialect, EmbedRequest, Error, Failure, Hedging, Note, OnExhausted, Original, Priority,
    ResponseFormat,
};

/// A request of a caller. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// A conversation to be answered.
    Chat(Arc<ChatRequest>),
    /// Texts to be embedded.
    Embed(Arc<EmbedRequest>),
}

/// The result of an attempt.
#[expect(clippy::large_enum_variant, reason = "there is one for each attempt, and nearly all are answers")]
pub(super) enum AttemptAnswer {
    /// An answer.
    Answer(Ending),
    /// Vectors.
    Vectors(Embedded),
}

impl From<ChatRequest> for Work {
    fn from(request: ChatRequest) -> Self {
        Self::Chat(Arc::new(request))
    }
}

impl From<Arc<ChatRequest>> for Work {
    fn from(request: Arc<ChatRequest>) -> Self {
        Self::Chat(request)
    }
}

impl From<EmbedRequest> for Work {
    fn from(request: EmbedRequest) -> Self {
        Self::Embed(Arc::new(request))
    }
}

/// Asks either kind of request for what both have.
macro_rules! both {
    ($work:expr, $request:ident => $of:expr) => {
        match $work {
            Work::Chat($request) => $of,
            Work::Embed($request) => $of,
        }
    };
}

impl Work {
    pub(super) fn check(&self) -> Result<(), Error> {
        both!(self, request => request.check())
    }

    /// Tells whether work on all of it takes long.
    pub(super) fn is_long(&self) -> bool {
        let bytes = match self {
            Self::Chat(request) => request.original.as_ref().map_or(0, |original| original.body.len()),
            Self::Embed(request) => {
                let tokens: usize = request.tokens.iter().map(|tokens| size_of_val(&tokens[..])).sum();
                tokens + request.inputs.iter().map(String::len).sum::<usize>()
            }
        };
        bytes > LONG_BYTES
    }

    pub(super) fn route(&self) -> &str {
        both!(self, request => &request.route)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        both!(self, request => request.deadline)
    }

    /// Returns how long its caller's client waits, if that says so.
    pub(super) fn client_timeout(&self) -> Option<Duration> {
        both!(self, request => request.client_timeout)
    }

    /// Returns how long its caller waits, as far as it or its client says.
    pub(super) fn patience(&self, called: Instant) -> CallerPatience {
        match (self.client_timeout(), self.deadline()) {
            (Some(timeout), _) => called.checked_add(timeout).map_or(CallerPatience::Deadline, CallerPatience::Until),
            (None, Some(_)) => CallerPatience::Deadline,
            (None, None) => CallerPatience::Unknown(called),
        }
    }

    /// Returns when its caller leaves if it hears nothing, as far as it or its client says: at this deadline at the
    /// latest. A stream's client hears keep-alives.
    pub(super) fn leaves(&self, called: Instant, deadline: Instant) -> Instant {
        let streams = |request: &ChatRequest| request.original.as_ref().is_some_and(|original| original.stream);
        let is_streamed = matches!(self, Self::Chat(request) if streams(request));
        let own = self.client_timeout().filter(|_| !is_streamed).and_then(|timeout| called.checked_add(timeout));
        own.map_or(deadline, |own| own.min(deadline))
    }

    /// Returns the marks of the gateways that it came through.
    pub(super) fn via(&self) -> &[String] {
        both!(self, request => &request.via)
    }

    pub(super) fn on_exhausted(&self) -> Option<OnExhausted> {
        both!(self, request => request.on_exhausted)
    }

    pub(super) fn tags(&self) -> &BTreeMap<String, String> {
        both!(self, request => &request.tags)
    }

    /// Returns the client that sends it.
    pub(super) fn client(&self) -> Option<&Arc<str>> {
        both!(self, request => request.client.as_ref())
    }

    pub(super) fn priority(&self) -> Priority {
        both!(self, request => request.priority)
    }

    pub(super) fn hedging(&self) -> Option<Hedging> {
        both!(self, request => request.hedging)
    }

    /// Returns the dialect that it came in, if it did. Texts to be embedded keep no original.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self {
            Self::Chat(request) => request.original.as_ref().map(|original| original.dialect),
            Self::Embed(_) => None,
        }
    }

    /// Returns its session. Texts have no prefix that a target could remember.
    pub(super) fn session(&self) -> Option<&String> {
        match self {
            Self::Chat(request) => request.session.as_ref(),
            Self::Embed(_) => None,
        }
    }

    /// Returns what to do when its stream breaks off.
    pub(super) fn commit(&self) -> CommitPolicy {
        match self {
            Self::Chat(request) => request.commit,
            Self::Embed(_) => CommitPolicy::Buffered,
        }
    }

    /// Tells whether a provider is asked for the whole answer, which then comes in one burst. Unless its configuration
    /// says otherwise only a caller of its own dialect that asks for the whole gets that: only in a stream can a
    /// hanging provider be told from a long thought. Vectors have no other form.
    pub(super) fn is_whole(&self, provider: &ProviderSpec, target: &TargetSpec) -> bool {
        let Self::Chat(request) = self else { return false };
        let asked = |original: &Original| !original.stream && provider.dialect.shares_fields(original.dialect);
        match provider.stream_upstream {
            Some(streams) => !streams,
            None => {
                let streams = || provider.flavour.streams_only(request, target.model(false));
                request.original.as_ref().is_some_and(asked) && !streams()
            }
        }
    }

    /// Tells whether a provider goes on with an answer that is no longer read: it always does with one that it writes
    /// whole.
    pub(super) fn runs_on(&self, provider: &ProviderSpec, target: &TargetSpec) -> bool {
        matches!(self, Self::Chat(_)) && (provider.runs_on() || self.is_whole(provider, target))
    }

    /// Tells whether and how the provider's answer passes unchanged: only to a caller that speaks its dialect. The rest
    /// of it is for the call to say.
    pub(super) fn verbatim(&self, provider: &ProviderSpec) -> Option<Verbatim> {
        let Self::Chat(request) = self else { return None };
        let original = request.original.as_ref().filter(|it| provider.dialect.shares_fields(it.dialect))?;
        Some(Verbatim {
            stream: original.stream,
            usage: original.stream_usage == Some(true) || !provider.flavour.stream_usage,
            usage_asked: original.stream_usage == Some(true),
            judged: request.response_format != ResponseFormat::Text,
            model: request.model_as.clone(),
            ..Verbatim::default()
        })
    }

    /// Returns it without what its provider refused, and what that is; `None` where it has no such part.
    pub(super) fn without_refused(&self, provider: &ProviderSpec, failure: &Failure) -> Option<(Self, Note)> {
        let Self::Chat(request) = self else { return None };
        wire::without_refused(provider.flavour, request, failure).map(|(less, note)| (less.into(), note))
    }

    /// Returns the size of its prompt by a measure.
    pub(super) fn prompt(&self, measure: Measure, by_message: bool) -> Prompt {
        match self {
            Self::Chat(request) => Prompt::of(request, measure, by_message),
            Self::Embed(request) => Prompt::of_texts(&request.inputs, &request.tokens, measure),
        }
    }

    /// Encodes it for a target.
    pub(super) fn encode(&self, provider: &ProviderSpec, target: &TargetSpec, meant: bool) -> Result<Encoded, Failure> {
        let (dialect, flavour, model) = (provider.dialect, provider.flavour, target.model(meant));
        match self {
            Self::Chat(request) => wire::encode(dialect, flavour, request, model, !self.is_whole(provider, target)),
            Self::Embed(request) => wire::encode_embed(dialect, flavour, request, model),
        }
    }
}

impl AttemptAnswer {
    /// Returns the model's name as the provider spelled it, where it did.
    pub(super) fn model(&self) -> Option<&Arc<str>> {
        match self {
            Self::Answer(ending) => ending.model.as_ref(),
            Self::Vectors(embedded) => embedded.model.as_ref(),
        }
    }
}

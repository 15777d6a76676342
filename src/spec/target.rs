//! A model at a provider as configured.

use std::time::Duration;

use crate::catalog::Listing;
use crate::policy::tokens::Vocabulary;
use crate::wire::Model;
use crate::words::{Capabilities, Date, ModelClass, Price, TargetId};

/// A model at a provider as configured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetSpec {
    pub(crate) id: TargetId,
    /// Which model it is, the same for all hosts and under all their names.
    pub(crate) family: String,
    /// How its tokens are estimated before any are counted.
    pub(crate) vocabulary: Vocabulary,
    pub(crate) class: ModelClass,
    /// What it costs as configured, else by the catalogue.
    pub(crate) price: Option<Price>,
    /// Where a list of prices may have another one; `None` where its price is configured.
    pub(crate) listing: Option<Listing>,
    pub(crate) capabilities: Capabilities,
    pub(crate) labels: Vec<String>,
    pub(crate) domain: String,
    pub(crate) timers: Timers,
    /// The last day it answers, where that is known.
    pub(crate) retires: Option<Date>,
    /// Whether the user named it, and not only the catalogue.
    pub(crate) named: bool,
    /// The target that serves in its place once its provider says that it is gone.
    pub(crate) replaced_by: Option<TargetId>,
}

/// A target's timers; what is `None` follows from its class and its health.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timers {
    pub(crate) first_token: Option<Duration>,
    pub(crate) stall: Option<Duration>,
}

/// How long an answer that has begun may pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stall {
    pub(crate) longest: Duration,
    /// Whether only content ends a pause; else anything that the provider sends shows that it is alive.
    pub(crate) is_strict: bool,
}

impl TargetSpec {
    /// Returns the model for the codecs, which may be the only one of the route that is asked for.
    pub(crate) fn model(&self, meant: bool) -> Model<'_> {
        let TargetId { provider, model } = &self.id;
        let (reasons, answer_max) = (self.class == ModelClass::Reasoning, self.capabilities.output_tokens_max);
        Model { provider, name: model, family: &self.family, reasons, answer_max, meant }
    }

    /// Returns the longest pause of an answer that has begun: without a limit of its own half a minute for chat, more
    /// for reasoning models. Servers that parse calls themselves are silent while a model writes one.
    pub(crate) fn stall(&self) -> Stall {
        let usual = match self.class {
            ModelClass::Chat => Duration::from_secs(30),
            ModelClass::Reasoning => Duration::from_secs(90),
        };
        Stall { longest: self.timers.stall.unwrap_or(usual), is_strict: self.timers.stall.is_some() }
    }
}

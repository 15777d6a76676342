//! Properties of the generations of Gemini, by a model's name: as of autumn 2026, from Google's model pages. A name
//! that is not Gemini's is not changed.

use serde_json::{Value, json};

use crate::words::{Effort, Note, without_path};

/// A model's place among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Major and minor number; zeros for what is no Gemini or carries no number.
    generation: (u8, u8),
    pro: bool,
    lite: bool,
}

impl Family {
    /// Reads a model's name: `gemini-2.5-pro`, `gemini-3-flash-preview`, `gemini-flash-latest`.
    pub(super) fn of(model: &str) -> Self {
        let name = without_path(model);
        let rest = name.strip_prefix("gemini-").unwrap_or_default();
        let number = rest.split('-').next().unwrap_or_default();
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        let generation = match (major.parse(), minor.parse()) {
            (Ok(major), Ok(minor)) => (major, minor),
            // `gemini-flash-latest` is always the newest.
            _ if rest.ends_with("-latest") => (u8::MAX, 0),
            _ => (0, 0),
        };
        let has = |word: &str| rest.split('-').any(|part| part == word);
        Self { generation, pro: has("pro"), lite: has("lite") }
    }

    /// Tells whether a tool's result may hold what the tool shows: images and documents, by value.
    pub(super) fn shows_results(self) -> bool {
        self.generation >= (3, 0)
    }

    /// Tells whether a tool call in the conversation must carry a proof.
    pub(super) fn wants_proofs(self) -> bool {
        self.generation >= (3, 0)
    }

    /// Tells whether the model can be held to a form of its answer while there are tools.
    pub(super) fn forms_beside_tools(self) -> bool {
        self.generation >= (3, 0) || self.generation == (0, 0)
    }

    /// Tells whether the model chooses its own temperature and refuses to continue an assistant's message.
    pub(super) fn is_set(self) -> bool {
        self.generation >= (3, 6) || (self.generation == (3, 5) && self.lite)
    }

    /// Tells whether the model takes penalties: those from 2.5 on do not ("Penalty is not enabled for this model").
    pub(super) fn takes_penalties(self) -> bool {
        self.generation > (0, 0) && self.generation < (2, 5)
    }

    /// Returns the thinking configuration for an effort, and a note where it is not quite the effort asked for.
    pub(super) fn thinking(self, effort: Effort) -> (Option<Value>, Option<Note>) {
        if self.generation >= (3, 0) {
            let minimal = !self.pro && self.generation <= (3, 6);
            let level = match effort {
                Effort::None | Effort::Minimal if minimal => "minimal",
                Effort::None | Effort::Minimal | Effort::Low => "low",
                Effort::Medium => "medium",
                Effort::High | Effort::XHigh | Effort::Max => "high",
            };
            let raised = level != effort.name() && !(effort == Effort::None && minimal);
            return (Some(json!({"thinkingLevel": level})), raised.then_some(Note::Converted("effort")));
        }
        if self.generation < (2, 5) {
            return (None, Some(Note::Dropped("effort")));
        }
        // As Google's own OpenAI-compatible endpoint translates these efforts; the least is the least the model takes.
        let budget = match effort {
            Effort::None | Effort::Minimal if self.pro => 128,
            Effort::None | Effort::Minimal => 0,
            Effort::Low => 1_024,
            Effort::Medium => 8_192,
            Effort::XHigh | Effort::Max if self.pro => 32_768,
            Effort::High | Effort::XHigh | Effort::Max => 24_576,
        };
        (Some(json!({"thinkingBudget": budget})), None)
    }
}

//! The model that a request is for, as far as the codecs must know it.

use crate::words::TargetId;

/// The model that a request is for.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Its provider's name: proofs go back only to the provider that issued them.
    pub provider: &'a str,
    /// The provider's name for it.
    pub name: &'a str,
    /// Its vendor's name for it, which tells what it takes and refuses.
    pub family: &'a str,
    /// Whether it is known to think, even if its name does not show it.
    pub reasons: bool,
    /// The longest answer it gives, in tokens, where that is known.
    pub answer_max: Option<u32>,
    /// Whether the caller means this very model: the route has no other.
    pub meant: bool,
}

impl<'a> From<&'a str> for Model<'a> {
    /// A model of which no more is known than its name.
    fn from(name: &'a str) -> Self {
        Self { provider: "", name, family: name, reasons: false, answer_max: None, meant: false }
    }
}

impl<'a> From<&'a TargetId> for Model<'a> {
    /// A model of which no more is known than its names.
    fn from(target: &'a TargetId) -> Self {
        Self { provider: &target.provider, ..Self::from(&*target.model) }
    }
}

//! Floor 4: the configuration, ready to be run: providers, targets, routes and limits.
//!
//! Plain data. Each thing has one name and is then known by its place; a reader of names finds the place once. The
//! configuration is translated into it, the actors run it, and neither knows the other. There is no clock here, no
//! state that changes, and nothing is checked again: the code that writes these types has checked it.

mod key;
#[cfg(feature = "store")]
mod store;
mod limits;
mod prices;
mod target;
mod provider;
mod route;
mod layout;

pub(crate) use key::KeySpec;
pub(crate) use layout::{Layout, PlacedTarget};
pub(crate) use limits::Limits;
pub(crate) use prices::PricesSpec;
pub(crate) use provider::{BasePath, ProviderSpec, ProviderTransport};
pub(crate) use route::{MemberSpec, RouteSpec, Rung};
#[cfg(feature = "store")]
pub(crate) use store::{EncryptionKey, PastSpend, ReservedSpend, StoreSpec};
pub(crate) use target::{Stall, TargetSpec, Timers};

use crate::policy::budget::Budget;

/// What is served: providers, targets, routes, budgets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Each provider with its targets.
    pub(crate) providers: Vec<ProviderSpec>,
    /// The place of everything.
    pub(crate) layout: Layout,
    /// Where prices are listed.
    pub(crate) prices: PricesSpec,
    /// What may be spent.
    pub(crate) budgets: Vec<Budget>,
    /// The money already spent of budgets that are new to this process.
    #[cfg(feature = "store")]
    pub(crate) spent: Vec<PastSpend>,
}

impl Setup {
    /// Returns the target of a place, to be changed.
    pub(crate) fn target_mut(&mut self, at: usize) -> &mut TargetSpec {
        let PlacedTarget { provider, index, .. } = self.layout.targets[at];
        &mut self.providers[provider].targets[index]
    }

    /// Returns the target of a place.
    pub(crate) fn target(&self, at: usize) -> &TargetSpec {
        let PlacedTarget { provider, index, .. } = self.layout.targets[at];
        &self.providers[provider].targets[index]
    }
}

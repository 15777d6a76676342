//! Without the feature `store` nothing is kept beyond the process.

use std::sync::Arc;

use crate::actors::root::Recalled;
use crate::actors::shared::Shared;
use crate::actors::sink::AddedObserver;
use crate::policy::durable_store::DurableStore;
use crate::spec::{Limits, Setup};
use crate::words::ConfigError;

/// What is kept: nothing.
#[derive(Clone)]
pub(super) struct Kept;

#[expect(clippy::unused_async, clippy::unused_self, reason = "it is used as its twin, which keeps something")]
impl Kept {
    pub(super) async fn open(_: &Limits, _: &mut Vec<AddedObserver>, _: bool) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    pub(super) fn durable_store(&self) -> Option<Arc<dyn DurableStore>> {
        None
    }

    pub(super) async fn add_spent(&self, _: &Shared, _: &mut Setup) {}

    pub(super) async fn recollect(&self, _: &Arc<Shared>, _: &Setup) -> (Recalled, ()) {
        (Recalled::new(), ())
    }

    pub(super) async fn resume(&self, _: &Arc<Shared>, (): ()) {}

    pub(super) async fn finish(&self) {}
}

//! A call as it was accepted.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::answer::Wanted;
use super::prompt::Asked;
use super::table::Table;
use crate::policy::retry_budget::RetryBudget;
use crate::policy::routing::Needs;
use crate::spec::RouteSpec;
use crate::words::CallFacts;

/// A place among the calls in flight; gives it back, and says so to the budget, when dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    budget: Arc<RetryBudget>,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, budget: Arc<RetryBudget>) -> Self {
        budget.call_started();
        Self { _permit: permit, budget }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.call_ended();
    }
}

/// A call as it was accepted.
pub(crate) struct Accepted {
    pub(crate) about: Arc<CallFacts>,
    pub(crate) asked: Asked,
    pub(crate) table: Arc<Table>,
    pub(crate) route: Arc<RouteSpec>,
    pub(crate) needs: Needs,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) wanted: Wanted,
    pub(crate) place: Place,
    pub(crate) span: tracing::Span,
}

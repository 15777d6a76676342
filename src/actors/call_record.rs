//! The record of a running call, which observers get however the call ends: once the call and all its attempts have
//! ended, so that the money in it is that of the attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::accepted::CallIdentity;
use super::call_log::HolderState;
use super::call_page::CallPage;
use super::clock::now;
use super::shared::Shared;
use super::stream::cut_off;
use crate::policy::explain::{CallStep, Flight};
use crate::words::{CallFacts, Error, FailureClass};

/// The record of a call that runs. If it is dropped before its end, it records that the call was cut off.
pub(super) struct CallRecord {
    about: Arc<CallFacts>,
    started: Instant,
    /// Its holders, if it has a log.
    held: Option<watch::Receiver<HolderState>>,
    /// `None` once the call has ended.
    page: Option<Arc<CallPage>>,
}

impl CallRecord {
    pub(super) fn new(about: Arc<CallFacts>, started: Instant, identity: &CallIdentity, shared: Arc<Shared>) -> Self {
        let page = CallPage::new(about.clone(), shared);
        let record = Self { about, started, held: identity.held.clone(), page: Some(Arc::new(page)) };
        if let Some((call, is_sent)) = identity.taken_up {
            record.change(|flight| flight.again = is_sent);
            record.note(CallStep::TakenUp { call });
        }
        record
    }

    pub(super) const fn about(&self) -> &Arc<CallFacts> {
        &self.about
    }

    /// Returns its page, for an attempt.
    pub(super) fn page(&self) -> Option<Arc<CallPage>> {
        self.page.clone()
    }

    pub(super) fn note(&self, happened: CallStep) {
        let after = self.age();
        self.change(|flight| flight.steps.push((after, happened)));
    }

    /// Returns what has happened so far.
    pub(super) fn so_far(&self) -> Arc<Flight> {
        let flight = self.page.as_ref().map_or_else(|| Flight::new(self.about.clone()), |page| page.so_far());
        Arc::new(Flight { took: self.age(), ..flight })
    }

    /// Ends a call that no caller waits for any more: its caller left, or a holder cancelled it. Returns the class of
    /// its attempts' ends.
    pub(super) fn left(&mut self) -> FailureClass {
        let is_cancelled = self.held.as_ref().is_some_and(|held| held.borrow().is_cancelled);
        let (how, class) = if is_cancelled {
            (CallStep::GaveUp(Error::Cancelled), FailureClass::Cancelled)
        } else {
            (CallStep::CallerLeft, FailureClass::CallerLeft)
        };
        self.end(how);
        class
    }

    /// Ends the call. Where its attempts have ended, observers have its record before the caller gets the end.
    pub(super) fn end(&mut self, how: CallStep) {
        if self.page.is_none() {
            return;
        }
        self.note(how);
        let took = self.age();
        self.change(|flight| flight.took = took);
        self.page = None;
    }

    fn age(&self) -> Duration {
        now().saturating_duration_since(self.started)
    }

    fn change(&self, change: impl FnOnce(&mut Flight)) {
        if let Some(page) = &self.page {
            page.change(change);
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        let how = self.page.as_ref().map(|page| CallStep::GaveUp(cut_off(page.draining())));
        if let Some(how) = how {
            self.end(how);
        }
    }
}

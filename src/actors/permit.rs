//! Permission to try: an owned guard, settled exactly once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::AttemptProgress;
use crate::policy::admission::{Outcome, Report, Ticket};
use crate::words::{Limits, NamedLimit};

/// Where attempts report: the provider's slot, which passes it on to the actor. A trait, because the actor's messages
/// hold permits: the slot knows them, and they must not know the slot.
pub(super) trait PermitIssuer: Send + Sync + 'static {
    /// Takes a place in flight at a target.
    fn enter(&self, target: usize);
    /// Gives it back.
    fn leave(&self, target: usize);
    /// Takes a report of an attempt, and before it that of its first content, with the time that this took, where that
    /// was not reported yet. An end is never lost.
    fn report(&self, ticket: Ticket, content: Option<Duration>, report: Report);
    /// Takes what is left of the key's limits.
    fn limits(&self, ticket: Ticket, limits: Limits);
}

/// Permission to try, given by the provider, and a place in flight. Settled exactly once: by the attempt, or by being
/// dropped, which reports that the attempt crashed or never began. So panic, kill and abort need no bookkeeping
/// anywhere.
pub(crate) struct Permit {
    issuer: Arc<dyn PermitIssuer>,
    ticket: Ticket,
    progress: Arc<AttemptProgress>,
    /// When its first content came, until that is reported.
    content: Option<Duration>,
    used: bool,
    settled: bool,
}

impl Permit {
    /// Takes a place in flight. Only the provider calls this, after it has checked the limit.
    pub(super) fn new(issuer: Arc<dyn PermitIssuer>, ticket: Ticket) -> Self {
        issuer.enter(ticket.target);
        let progress = Arc::new(AttemptProgress::new(ticket.started, ticket.key));
        Self { issuer, ticket, progress, content: None, used: false, settled: false }
    }

    /// Returns the attempt's progress, which is shared without messages.
    pub(super) fn progress(&self) -> &Arc<AttemptProgress> {
        &self.progress
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Notes that the request is being sent: from now on a drop means a crash, and all ages count.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.used = true;
        self.ticket.started = now;
    }

    /// Reports something about the attempt while it runs.
    pub(crate) fn report(&self, report: Report) {
        self.issuer.report(self.ticket, None, report);
    }

    /// Notes its first content, and after what time it came. The end of most whole answers follows at once, and is
    /// reported together with it.
    pub(crate) fn content(&mut self, after: Duration) {
        self.content = Some(after);
    }

    /// Reports the first content, if it has come: for what comes next the attempt has to wait.
    pub(crate) fn waits(&mut self) {
        if let Some(after) = self.content.take() {
            self.report(Report::Content { after });
        }
    }

    /// Notes how many tokens the attempt took, as its provider counted them.
    pub(crate) fn took(&mut self, tokens: u64) {
        self.ticket.taken = Some(tokens);
    }

    /// Notes the limit that a refusal of it names.
    pub(crate) fn refused_by(&mut self, limit: Option<NamedLimit>) {
        self.ticket.named = limit;
    }

    /// Reports what is left of the key's limits, from the answer's head.
    pub(crate) fn limits(&self, limits: Limits) {
        self.issuer.limits(self.ticket, limits);
    }

    /// Gives the place back and then reports the attempt's end: when the report arrives, the place is free.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.progress.end();
        self.issuer.leave(self.ticket.target);
        self.issuer.report(self.ticket, self.content.take(), Report::Ended(outcome));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(if self.used { Outcome::Crashed } else { Outcome::Unused });
    }
}

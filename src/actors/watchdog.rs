//! An attempt's timers: first token, stall, and the earlier ones that are reported to the provider.
//!
//! One tokio timer serves them all, and it is set again only when it fires: content only notes its time. So a token
//! costs no timer.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

use super::clock::now;
use super::permit::Permit;
use super::progress::AttemptProgress;
use crate::policy::admission::{Report, Ticket};
use crate::spec::Stall;
use crate::words::{Brief, Failure, FailureClass};

/// The wait of a timer without a limit.
const EVER: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest without content while a provider's own tools are at work, or while it says that it is alive: longer than
/// searches, programs, pictures, and the arguments of a call that come in one piece take.
const WORK_MAX: Duration = Duration::from_secs(300);

pub(super) struct Watchdog {
    timer: Pin<Box<Sleep>>,
    began: Instant,
    first_token_max: Duration,
    overdue_after: Option<Duration>,
    /// Set from the first content on.
    content: Option<Instant>,
    /// When anything came last, from the first content on.
    heard: Instant,
    stall: Stall,
    gap_overdue_after: Duration,
    gap_reported: bool,
    progress: Arc<AttemptProgress>,
    /// The provider's own tools are at work.
    works: bool,
}

impl Watchdog {
    /// Returns the timers of an attempt that begins now. Without a limit until its first token it has as long as its
    /// call.
    pub(super) fn new(
        ticket: &Ticket,
        first_token_max: Option<Duration>,
        stall: Stall,
        progress: Arc<AttemptProgress>,
        now: Instant,
    ) -> Self {
        let first_token_max = first_token_max.unwrap_or(EVER);
        let overdue_after = (ticket.overdue_after < first_token_max).then_some(ticket.overdue_after);
        let first = overdue_after.unwrap_or(first_token_max);
        Self {
            timer: Box::pin(sleep_until((now + first).into())),
            began: now,
            first_token_max,
            overdue_after,
            content: None,
            heard: now,
            stall,
            gap_overdue_after: ticket.gap_overdue_after,
            gap_reported: false,
            progress,
            works: false,
        }
    }

    /// Awaits a read, unless a timer ends the attempt first; what came before is reported by then. The timer is looked
    /// at even where reads have used up the task's turn (`yielding`): a body that is always ready would else keep it
    /// from ever firing.
    pub(super) async fn guard<T>(&mut self, read: impl Future<Output = T>, permit: &mut Permit) -> Result<T, Failure> {
        permit.waits();
        let mut read = pin!(read);
        loop {
            // Not `tokio::select!`: it polls nothing in a turn that is used up.
            match select(read.as_mut(), unconstrained(self.timer.as_mut())).await {
                Either::Left((value, _)) => return Ok(value),
                Either::Right(_) => self.fired(permit, now())?,
            }
        }
    }

    /// Notes content.
    pub(super) fn content(&mut self, now: Instant, permit: &Permit) {
        self.progress.note_content(now);
        self.heard = now;
        if std::mem::replace(&mut self.gap_reported, false) {
            permit.report(Report::GapEnded);
        }
        if self.content.replace(now).is_none() {
            // From now on the stall timer counts, which may fire earlier than the first token's would have.
            self.arm();
        }
    }

    /// Notes bytes without content: keep-alives, events without words.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Notes whether the provider's own tools are at work: a search or a picture takes longer than a pause between
    /// words.
    pub(super) fn works(&mut self, works: bool) {
        if std::mem::replace(&mut self.works, works) && !works {
            self.arm();
        }
    }

    /// Returns when the content has paused for too long, if it came last at this time.
    fn stalled(&self, content: Instant) -> Instant {
        let Stall { longest, is_strict } = self.stall;
        match (self.works, is_strict) {
            (true, _) => content + longest.max(WORK_MAX),
            (false, true) => content + longest,
            (false, false) => (self.heard + longest).min(content + longest.max(WORK_MAX)),
        }
    }

    /// Notes that the attempt reads again after its reader had blocked it.
    pub(super) fn resume(&mut self, now: Instant) {
        self.content = self.content.map(|_| now);
        self.heard = now;
        self.progress.note_content(now);
    }

    /// Returns when the next timer is due, in the present state.
    fn next(&self) -> Instant {
        match self.content {
            None => self.began + self.overdue_after.unwrap_or(self.first_token_max),
            Some(last) if self.gap_reported || self.works => self.stalled(last),
            Some(last) => self.stalled(last).min(self.heard.max(last) + self.gap_overdue_after),
        }
    }

    fn arm(&mut self) {
        let next = self.next();
        self.timer.as_mut().reset(next.into());
    }

    fn fired(&mut self, permit: &Permit, now: Instant) -> Result<(), Failure> {
        if now >= self.next() {
            match self.content {
                None if self.overdue_after.take().is_some() => permit.report(Report::Overdue),
                None => {
                    let text = format!("no content within {}", Brief(self.first_token_max));
                    return Err(Failure::new(FailureClass::NoFirstToken, text));
                }
                Some(last) if now >= self.stalled(last) => {
                    let text = format!("no more content for {}", Brief(now.saturating_duration_since(last)));
                    return Err(Failure::new(FailureClass::Stalled, text));
                }
                Some(_) => {
                    self.gap_reported = true;
                    permit.report(Report::Gap);
                }
            }
        }
        self.arm();
        Ok(())
    }
}

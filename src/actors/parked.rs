//! A call that no target can answer now, and that may wait: for a place, or for a target that comes back.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::caller_channel::CallerChannel;
use super::candidates::Among;
use super::clock::now;
use super::driver::Driver;
use super::parking::{QueueTicket, WaitResource, WakeReason};
use super::stream::StreamMessage;
use crate::policy::explain::CallStep;
use crate::policy::wait_queue::{self, AwaitedTargets};
use crate::words::{OnExhausted, UnavailableTarget};

/// How far two expected times must differ for a new event.
const TOLD_APART: Duration = Duration::from_secs(1);

/// How a call with nothing left to try goes on.
pub(super) enum WaitOutcome {
    /// It starts again.
    Restart,
    /// It ends as a call that may not wait.
    GiveUp,
    /// Its route says otherwise now.
    RouteChanged,
    /// Its caller has left.
    CallerLeft,
    /// The runtime stops.
    Draining,
}

impl Driver {
    /// Tells whether other calls already wait for this call's targets, and go before it.
    pub(super) fn is_behind_others(&self) -> bool {
        let parking = &self.shared.parking;
        if parking.notifier.waiting() == 0 {
            return false;
        }
        let Some(awaited) = self.awaited(&[]) else { return false };
        let waits = self.on_exhausted == OnExhausted::Wait;
        let resources = if waits { &*awaited.resources } else { &*awaited.well };
        parking.is_before(resources, self.asked.needs.priority, self.machine.deadline(), waits)
    }

    /// Puts the call among those that wait for a place at a target; returns until when it can be answered in time. If
    /// it cannot be in time, the machine is told so.
    pub(super) fn line_up(&mut self) -> Option<(QueueTicket, Instant)> {
        self.waits.grant = None;
        let (now, due) = (now(), self.leaves());
        let parking = self.shared.parking.clone();
        let Some(AwaitedTargets { resources, full, needs, .. }) = self.awaited(&self.machine.occupied()) else {
            self.machine.unplaced(None, now);
            return None;
        };
        let latest = due.checked_sub(needs).unwrap_or(now);
        let is_due = self.is_due || due < self.machine.deadline();
        let rank = self.waits.rank.get_or_insert_with(|| parking.arrive(self.asked.needs.priority, due, is_due));
        let rank = rank.needing(needs);
        self.waits.rank = Some(rank);
        self.waits.placed = parking.wait(&resources, rank).map(|wait| now + wait);
        let in_time = latest > now && self.waits.placed.is_none_or(|placed| placed <= latest);
        let queued = if in_time { parking.queue(&resources, &full, rank, now, false) } else { None };
        if queued.is_none() {
            self.machine.unplaced(self.waits.placed, now);
        }
        queued.map(|queued| (queued, latest))
    }

    /// Returns when the caller leaves, as far as it or its client says: at the deadline at the latest.
    fn leaves(&self) -> Instant {
        self.asked.work.leaves(self.started, self.machine.deadline())
    }

    /// Notes that the caller has left, where the call waits for a place or has waited for one: others may be as
    /// impatient. Not once it has had content: then it knew what it left.
    pub(super) fn left(&mut self, queued: Option<QueueTicket>) {
        let parking = &self.shared.parking;
        queued.into_iter().for_each(QueueTicket::left);
        if let Some(rank) = self.waits.rank {
            let targets = self.running.iter().map(|running| WaitResource::Target(running.target.clone()));
            targets.for_each(|target| parking.left(target, rank));
        }
        if let Some(rank) = self.waits.slot.filter(|_| !self.machine.is_committed()) {
            parking.left(WaitResource::CallSlot, rank);
        }
        let class = self.call_record.left();
        self.running.drain(..).for_each(|running| drop(running.cancel(class)));
    }

    /// Goes on with the end of the call's wait.
    pub(super) fn woken(&mut self, woken: WakeReason) {
        self.plan = None;
        match woken {
            WakeReason::Granted(grant) => {
                let turn = grant.target().and_then(|target| self.asked.table.index(target));
                self.waits.grant = Some(grant);
                self.machine.woken(turn, now());
            }
            WakeReason::Recheck => self.machine.woken(None, now()),
            WakeReason::Displaced => self.machine.unplaced(self.waits.placed, now()),
        }
    }

    /// Waits until one of the targets is back and it is this call's turn.
    pub(super) async fn park(&mut self, back: Option<Instant>, caller: &mut CallerChannel) -> WaitOutcome {
        let parking = self.shared.parking.clone();
        let mut changes = parking.changes();
        let begun = now();
        let Some(parked_guard) = parking.enter(&self.call_record.so_far(), begun) else { return WaitOutcome::GiveUp };
        let from = begun + self.pause();
        let end = self.parked_until(begun);
        // By the deadline that it had before it was parked: later calls are behind it.
        let due = self.machine.deadline();
        let rank = *self.waits.rank.get_or_insert_with(|| parking.arrive(self.asked.needs.priority, due, self.is_due));
        let mut told: Option<(Option<Instant>, Vec<UnavailableTarget>)> = None;
        let rest = loop {
            let now = now();
            if self.shared.draining.load(Relaxed) {
                break WaitOutcome::Draining;
            }
            self.follow_table();
            if self.on_exhausted != OnExhausted::Wait {
                break WaitOutcome::RouteChanged;
            }
            let Some(awaited) = self.awaited(&self.machine.refusing()) else { break WaitOutcome::GiveUp };
            let barred = self.barred(now);
            let until = UnavailableTarget::first_back(&barred)
                .map(|wait| now + wait)
                .or(back)
                .max((from > now).then_some(from));
            if now >= end || until.is_some_and(|until| until > end) {
                break WaitOutcome::GiveUp;
            }
            if told.as_ref().is_none_or(|told| differs(told, (until, &barred))) {
                let back_in = until.map(|until| until.saturating_duration_since(now));
                self.call_record.note(CallStep::Parked { back_in, barred: barred.clone() });
                parked_guard.tell(self.call_record.so_far(), until, barred.clone());
                caller.say(StreamMessage::Waiting { back_in, barred: barred.clone() });
                told = Some((until, barred));
            }
            let look = wait_queue::look_at(until, end, now);
            let mut queued = parking.queue(&awaited.resources, &awaited.full, rank, from, true);
            let woken = async {
                match &mut queued {
                    Some(queued) => queued.woken().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = caller.closed() => {
                    queued.into_iter().for_each(QueueTicket::left);
                    break WaitOutcome::CallerLeft;
                }
                woken = woken => if let WakeReason::Granted(grant) = woken {
                    self.waits.grant = Some(grant);
                    break WaitOutcome::Restart;
                },
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(look.into()) => {}
            }
        };
        drop(parked_guard);
        let waited = now().saturating_duration_since(begun);
        self.waits.waited += waited;
        if !self.is_due {
            let deadline = self.machine.deadline() + waited;
            self.machine.set_deadline(deadline);
            self.asked.needs.deadline = Some(deadline);
        }
        if let WaitOutcome::Restart = rest {
            self.call_record.note(CallStep::Resumed);
            self.begin_anew();
        }
        rest
    }

    pub(super) fn begin_anew(&mut self) {
        self.waits.attempts = self.machine.attempts();
        self.plan = None;
        self.machine.anew();
    }

    /// Returns the pause of a call that has just failed: longer each time.
    fn pause(&mut self) -> Duration {
        if self.machine.attempts() == self.waits.attempts {
            return Duration::ZERO;
        }
        self.waits.rounds += 1;
        wait_queue::pause(self.waits.rounds, self.rng.random_range(0.0..=1.0))
    }

    /// Returns until when it may be parked: by its caller's deadline, or by the total time that its route allows.
    fn parked_until(&self, now: Instant) -> Instant {
        let in_all = now + self.asked.route.failover.wait_deadline.saturating_sub(self.waits.waited);
        if self.is_due { self.machine.deadline() } else { in_all }
    }

    /// Returns the targets that could answer it once they have a place or are back, except some; if there are any.
    pub(super) fn awaited(&self, without: &[usize]) -> Option<AwaitedTargets<WaitResource>> {
        if !self.shared.table().layout.routes.contains_key(&self.asked.route.name) {
            return None;
        }
        let gone = self.gone();
        let among = Among { without, gone: &gone, degraded: self.is_degraded };
        let pinned = self.shared.pinned(&self.asked.route.name);
        let (mut state, mut rng) = (self.state.clone(), self.rng.clone());
        let plan = self.asked.plan(among, &self.asked.needs, pinned, None, &mut state, &mut rng);
        let resource = |target: usize| WaitResource::Target(self.asked.target(target).id().clone());
        let output_tokens = self.output_tokens();
        AwaitedTargets::of(&plan, resource, |target| Some(self.asked.view(target)?.takes(output_tokens)))
    }
}

/// Tells whether the present expectation differs enough from the last event.
fn differs(told: &(Option<Instant>, Vec<UnavailableTarget>), now: (Option<Instant>, &[UnavailableTarget])) -> bool {
    let causes =
        |barred: &[UnavailableTarget]| barred.iter().map(|one| (one.target.clone(), one.cause)).collect::<Vec<_>>();
    let moved = match (told.0, now.0) {
        (Some(told), Some(now)) => now > told + TOLD_APART || told > now + TOLD_APART,
        (told, now) => told.is_some() != now.is_some(),
    };
    moved || causes(&told.1) != causes(now.1)
}

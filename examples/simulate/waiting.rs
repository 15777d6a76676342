//! Calls of `standin` that wait in the simulator's world: in the same lot, by the same rules; the world's queue wakes
//! them in place of the keeper's actor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use standin::consequence::HoldRule;
use standin::internals::policy::routing::{self, Candidate};
use standin::internals::policy::snapshot::Health;
use standin::internals::policy::wait_queue::{self, AwaitedTargets, QueueRank};
use standin::{FailureClass, OnExhausted};

use super::{Net, Standin, Timer};

/// What a call that waits knows of its waiting.
#[derive(Default)]
pub(super) struct Waits {
    place: Option<QueueRank>,
    /// The targets it waits for now.
    queued: Option<Arc<[usize]>>,
    /// The target whose turn it has.
    turn: Option<usize>,
    stay: Option<Stay>,
    /// Attempts that had been started when it tried anew last, and how often that led to nothing.
    attempts: u32,
    rounds: u32,
    /// How its last attempt at a target failed, and until when that wants to be left alone.
    pub(super) failed: Vec<(usize, FailureClass, Option<Instant>)>,
}

impl Waits {
    /// Tells whether it is parked.
    pub(super) fn is_parked(&self) -> bool {
        self.stay.is_some()
    }
}

/// A stay of a parked call: it pauses at first, and waits to the end.
#[derive(Clone, Copy)]
struct Stay {
    from: Instant,
    end: Instant,
    back: Option<Instant>,
}

impl Standin {
    fn waits(&mut self, call: usize) -> &mut Waits {
        &mut self.calls.get_mut(&call).expect("it runs").waits
    }

    /// Lets a call that comes now stand behind those that wait for the same targets.
    pub(super) fn queue_behind_others(&mut self, call: usize, net: &mut Net) {
        if self.waiting == 0 {
            return;
        }
        let Some(awaited) = self.awaited(call, &[], net) else { return };
        let waits = self.tuning.failover.on_exhausted == OnExhausted::Wait;
        let resources = if waits { &*awaited.resources } else { &*awaited.well };
        let machine = &mut self.calls.get_mut(&call).expect("it runs").machine;
        if self.queues.is_before(resources, self.priority, machine.deadline(), waits, net.now) {
            machine.queue_behind_others();
        }
    }

    /// Puts a call among those that wait for a place; returns until when it can be answered in time.
    pub(super) fn line_up(&mut self, call: usize, net: &mut Net) -> Option<Instant> {
        self.drop_turn(call, net.now);
        let now = net.now;
        let occupied = self.calls[&call].machine.occupied();
        let awaited = if self.tuning.refuses_full { None } else { self.awaited(call, &occupied, net) };
        let running = self.calls.get_mut(&call).expect("it runs");
        let Some(AwaitedTargets { resources, full, needs, .. }) = awaited else {
            running.machine.unplaced(None, now);
            return None;
        };
        let (due, priority) = (running.machine.deadline(), self.priority);
        let latest = due.checked_sub(needs).unwrap_or(now);
        let queues = &mut self.queues;
        let place = *running.waits.place.get_or_insert_with(|| queues.arrive(priority, due, true, now));
        let placed = queues.wait(&resources, place, now).map(|wait| now + wait);
        if latest <= now || placed.is_some_and(|placed| placed > latest) {
            running.machine.unplaced(placed, now);
            return None;
        }
        for target in &full {
            queues.full(target, now);
        }
        self.enter(call, resources, place, now);
        Some(latest)
    }

    fn enter(&mut self, call: usize, resources: Arc<[usize]>, place: QueueRank, from: Instant) {
        self.queues.enter(resources.clone(), place, from, call);
        self.waits(call).queued = Some(resources);
        self.waiting += 1;
    }

    /// Takes a call out of the lot, if it waits there.
    pub(super) fn leave(&mut self, call: usize) {
        let Some(running) = self.calls.get_mut(&call) else { return };
        if let (Some(resources), Some(place)) = (running.waits.queued.take(), running.waits.place) {
            self.queues.leave(&resources, place);
            self.waiting -= 1;
        }
    }

    /// Parks a call, if it may wait and a target may come back in time.
    pub(super) fn park(&mut self, call: usize, back: Option<Instant>, net: &mut Net) -> bool {
        self.drop_turn(call, net.now);
        if self.tuning.failover.on_exhausted != OnExhausted::Wait {
            return false;
        }
        let running = self.calls.get_mut(&call).expect("it runs");
        let (waits, end) = (&mut running.waits, running.machine.deadline());
        let mut from = net.now;
        if running.machine.attempts() > waits.attempts {
            waits.rounds += 1;
            let rng = running.rng.as_mut().expect("it has planned");
            from += wait_queue::pause(waits.rounds, rng.random_range(0.0..=1.0));
        }
        let (queues, priority) = (&mut self.queues, self.priority);
        waits.place.get_or_insert_with(|| queues.arrive(priority, end, true, net.now));
        waits.stay = Some(Stay { from, end, back });
        self.stay(call, net)
    }

    /// Looks at what a parked call waits for; tells whether it waits on.
    pub(super) fn stay(&mut self, call: usize, net: &mut Net) -> bool {
        let now = net.now;
        let refusing = self.calls[&call].machine.refusing();
        let awaited = self.awaited(call, &refusing, net);
        let expected = self.expected(call, net);
        let waits = self.waits(call);
        let (Some(Stay { from, end, back }), Some(place)) = (waits.stay, waits.place) else { return false };
        let until = expected.or(back).max((from > now).then_some(from));
        let Some(awaited) = awaited.filter(|_| now < end && until.is_none_or(|until| until <= end)) else {
            waits.stay = None;
            return false;
        };
        awaited.full.iter().for_each(|target| self.queues.full(target, now));
        self.enter(call, awaited.resources, place, from);
        self.alarm(call, wait_queue::look_at(until, end, now), net);
        true
    }

    /// Returns when the first target is expected back that does not admit a call now: of those that time mends, if
    /// there are any.
    fn expected(&mut self, call: usize, net: &Net) -> Option<Instant> {
        let mut barred = Vec::new();
        for target in 0..net.targets() {
            let health = self.health(target, net);
            if let Some(refusal) = health.refusal(false, net.now) {
                barred.push((health.cause(refusal.gate).passes(), refusal.until));
            } else if let Some((_, class, back)) = self.calls[&call].waits.failed.iter().find(|it| it.0 == target) {
                let rest = class.consequences().hold.filter(HoldRule::passes).map(|rest| net.now + rest.time);
                barred.push((standin::Cause::Failure(*class).passes(), back.or(rest)));
            }
        }
        let soonest = |passes: bool| barred.iter().filter(|it| !passes || it.0).filter_map(|it| it.1).min();
        soonest(true).or_else(|| soonest(false))
    }

    /// Returns the targets that could answer a call once they have a place or are back.
    fn awaited(&mut self, call: usize, without: &[usize], net: &Net) -> Option<AwaitedTargets<usize>> {
        let left = (0..net.targets()).filter(|target| !without.contains(target));
        let candidates: Vec<Candidate> = left.map(|target| self.candidate(target, net)).collect();
        let needs = self.needs(call, net);
        let running = &self.calls[&call];
        let (mut state, mut rng) = match &running.rng {
            Some(rng) => (running.state.clone(), rng.clone()),
            None => (self.state.clone(), self.rng.clone()),
        };
        let options = &self.tuning.route;
        let plan = routing::plan(options, &mut state, &candidates, &needs, None, None, net.now, &mut rng);
        let health = |target: usize| candidates.iter().find(|it| it.target == target).map(|it| it.health);
        let expected = state.output_tokens(None);
        let needs = |target| Some(health(target)?.takes(self.prompt, false, expected));
        AwaitedTargets::of(&plan, |target| target, needs)
    }

    /// Lets the calls go that may go.
    pub(super) fn look(&mut self, net: &mut Net) {
        while self.waiting > 0 {
            let healths: Vec<Health> = (0..net.targets()).map(|target| self.health(target, net)).collect();
            let look = self.queues.look(net.now, |target| wait_queue::Capacity::of(&healths[*target], net.now));
            self.waiting -= look.go.len();
            for (call, _) in &look.go {
                self.waits(*call).queued = None;
            }
            if look.go.is_empty() {
                let due = self.providers.iter().filter_map(|provider| provider.due);
                if let Some(at) = due.chain(look.next).min() {
                    self.look_at(at, net);
                }
                return;
            }
            for (call, target) in look.go {
                self.go(call, target, net);
            }
        }
    }

    /// It is a call's turn.
    fn go(&mut self, call: usize, target: usize, net: &mut Net) {
        let running = self.calls.get_mut(&call).expect("it runs");
        running.waits.turn = Some(target);
        if running.waits.stay.take().is_some() {
            running.waits.attempts = running.machine.attempts();
            running.machine.anew();
        } else {
            running.machine.woken(Some(target), net.now);
        }
        self.drive(call, net);
    }

    /// Wakes those that look at the lot then, unless they will look before.
    fn look_at(&mut self, at: Instant, net: &mut Net) {
        let at = at.max(net.now + Duration::from_millis(1));
        if self.looks.is_none_or(|looks| at < looks || looks <= net.now) {
            self.looks = Some(at);
            self.set(at, Timer::Look, net);
        }
    }

    /// An attempt of a call was admitted, by the target whose turn it has or by another one.
    pub(super) fn arrived(&mut self, call: usize) {
        if let Some(target) = self.waits(call).turn.take() {
            self.queues.arrived(&target);
        }
    }

    /// A call's turn led to nothing: it goes to another one.
    pub(super) fn drop_turn(&mut self, call: usize, now: Instant) {
        let turn = self.calls.get_mut(&call).and_then(|running| running.waits.turn.take());
        if let Some(target) = turn {
            self.queues.refused(&target, now);
        }
    }
}

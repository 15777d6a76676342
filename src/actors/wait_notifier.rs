//! Tells the scheduler of waiting calls that something may have changed: no look is missed, and none is made without a
//! waiter. Calls that wait for the retry budget stand in a queue of their own.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ractor::ActorRef;
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::live_actor::LiveActor;
use crate::policy::retry_budget::{RetryBudget, RetryKind};

/// The message to the scheduler of the waiting calls: look.
pub(crate) struct CheckWaiting;

#[cfg(feature = "cluster")]
impl ractor::Message for CheckWaiting {}

/// Notified of each change of what a target admits. It costs one load while no call waits, and one message however
/// often it is notified before the scheduler looks.
#[derive(Default)]
pub(crate) struct WaitNotifier {
    scheduler: LiveActor<CheckWaiting>,
    waiting: AtomicUsize,
    notified: AtomicBool,
    pub(super) budget: BudgetQueue,
}

/// The calls that wait for the retry budget. Of each kind the first in turn waits for what comes back, and the others
/// wait for their turn, in the order in which they came: its locks are fair.
#[derive(Default)]
pub(super) struct BudgetQueue {
    failover: Mutex<()>,
    same_target: Mutex<()>,
    refilled: Notify,
}

/// A call's turn to take from the budget. Once it is dropped, it is the next one's.
pub(super) type BudgetTurn<'a> = MutexGuard<'a, ()>;

impl BudgetQueue {
    /// Notes that something has come back to the budget: all that are first look whether it is enough.
    pub(super) fn refilled(&self) {
        self.refilled.notify_waiters();
    }

    /// Waits until it is this call's turn, and the budget allows what it wants; for ever if it wants nothing.
    pub(super) async fn turn(&self, unpaid: Option<RetryKind>, budget: &RetryBudget) -> BudgetTurn<'_> {
        let Some(spend) = unpaid else { return std::future::pending().await };
        let kind = match spend {
            RetryKind::Failover => &self.failover,
            RetryKind::SameTarget => &self.same_target,
        };
        let turn = kind.lock().await;
        let mut refilled = pin!(self.refilled.notified());
        loop {
            // In this order, so that nothing is missed that comes back meanwhile.
            refilled.as_mut().enable();
            if budget.allows(spend) {
                return turn;
            }
            refilled.as_mut().await;
            refilled.set(self.refilled.notified());
        }
    }
}

impl WaitNotifier {
    /// Tells the scheduler, if any call waits.
    pub(crate) fn notify(&self) {
        if self.waiting.load(SeqCst) > 0 && !self.notified.swap(true, SeqCst) {
            self.scheduler.send(CheckWaiting);
        }
    }

    /// Sets the living scheduler, which looks at once: a message to its predecessor may be lost.
    pub(super) fn set_scheduler(&self, scheduler: ActorRef<CheckWaiting>) {
        self.scheduler.set(scheduler);
        self.notified.store(true, SeqCst);
        self.scheduler.send(CheckWaiting);
    }

    /// Returns the living scheduler.
    #[cfg(feature = "testing")]
    pub(crate) fn scheduler(&self) -> Option<ActorRef<CheckWaiting>> {
        self.scheduler.get()
    }

    /// Notes that the scheduler looks now: later changes send a new message.
    pub(super) fn acknowledge(&self) {
        self.notified.store(false, SeqCst);
    }

    /// Returns how many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn waiter_came(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    pub(super) fn waiter_left(&self) {
        self.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn calls_that_wait_for_budget_go_in_turn_and_one_kind_does_not_wait_for_the_other() {
        let (queue, budget, gone) = (BudgetQueue::default(), RetryBudget::default(), RefCell::new(Vec::new()));
        while budget.take(RetryKind::SameTarget) {}
        while budget.take(RetryKind::Failover) {}
        let wait = async |call: u32, spend: RetryKind| {
            let turn = queue.turn(Some(spend), &budget).await;
            assert!(budget.take(spend), "it was there for it");
            drop(turn);
            gone.borrow_mut().push(call);
        };
        let yields = async || {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        };
        let fill = async {
            // Each adds half a token.
            for start in 1..=8 {
                budget.call_started();
                queue.refilled();
                yields().await;
                assert_eq!(gone.borrow().len(), start / 2);
            }
            budget.give_back(RetryKind::SameTarget);
            queue.refilled();
        };
        tokio::join!(
            wait(0, RetryKind::SameTarget),
            wait(1, RetryKind::Failover),
            wait(2, RetryKind::Failover),
            wait(3, RetryKind::Failover),
            wait(4, RetryKind::Failover),
            fill,
        );
        assert_eq!(*gone.borrow(), [1, 2, 3, 4, 0]);
    }
}

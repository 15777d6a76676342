//! The accounts of all budgets, and what attempts in flight have taken of them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::clock::wall;
#[cfg(feature = "store")]
use crate::policy::budget::KnownBill;
use crate::policy::budget::{
    Alert, Bills, Budget, BudgetCost, BudgetHealth, BudgetRefusal, Budgets, Estimate, PromptKind, PromptLength,
    PromptSizing, PromptTokens, ReservedAmounts, SoftBudgetRouting,
};
#[cfg(feature = "store")]
use crate::spec::PastSpend;
use crate::words::locks::lock;
use crate::words::{AttemptRecord, CallFacts};

/// The most accounts that health shows: the emptiest ones.
const TOLD_MAX: usize = 100;

/// The accounts of all budgets. Where there are no budgets no lock is taken.
#[derive(Default)]
pub(crate) struct SharedBudgets {
    any: AtomicBool,
    money: Mutex<Budgets>,
    bills: Mutex<Bills>,
}

impl SharedBudgets {
    /// Puts other budgets in the place of these.
    pub(crate) fn replace(&self, budgets: Vec<Budget>) {
        let mut money = lock(&self.money);
        money.replace(budgets);
        self.any.store(!money.is_none(), Relaxed);
    }

    /// Returns the budgets.
    #[cfg(feature = "store")]
    pub(crate) fn budgets(&self) -> Vec<Budget> {
        lock(&self.money).budgets().to_vec()
    }

    /// Adds what was spent before this process, or before the budget existed.
    #[cfg(feature = "store")]
    pub(crate) fn recall(&self, spent: &[PastSpend]) {
        let (mut money, now) = (lock(&self.money), wall());
        for one in spent {
            money.recall(one.budget, &one.account, one.step, one.amount, now);
        }
    }

    /// Returns what attempts in flight may still cost, in a fixed order.
    #[cfg(feature = "sidecar")]
    pub(crate) fn reserved(&self) -> Vec<crate::spec::ReservedSpend> {
        let money = lock(&self.money);
        let reserved = money.reserved().map(|(budget, account, amount)| crate::spec::ReservedSpend {
            budget: budget.name.to_string(),
            account: account.to_owned(),
            amount,
        });
        let mut reserved: Vec<_> = reserved.collect();
        drop(money);
        reserved.sort_by(|one, other| (&one.budget, &one.account).cmp(&(&other.budget, &other.account)));
        reserved
    }

    /// Changes what is reserved of an account by what attempts of another process have taken or given back.
    #[cfg(feature = "store")]
    pub(crate) fn reserve(&self, budget: &str, account: &str, change: i64) {
        let mut money = lock(&self.money);
        if let Some(at) = money.budgets().iter().position(|one| &*one.name == budget) {
            money.reserve(at, account, change);
        }
    }

    /// Takes what an attempt is expected to cost; nothing where there are no budgets.
    pub(super) fn take(
        self: &Arc<Self>,
        about: &CallFacts,
        estimate: impl FnOnce() -> Estimate,
    ) -> Result<Option<BudgetReservation>, BudgetRefusal> {
        if !self.any.load(Relaxed) {
            return Ok(None);
        }
        let (estimate, now) = (estimate(), wall());
        let taken = lock(&self.money).take(about, &estimate, now)?;
        Ok(Some(BudgetReservation { taken: Some(taken), budgets: self.clone() }))
    }

    /// Returns the tokens of a prompt that is to be sent.
    pub(super) fn prompt(&self, kind: &PromptKind, length: PromptLength) -> PromptTokens {
        lock(&self.bills).prompt(kind, length)
    }

    /// Returns the tokens that are booked for a prompt whose bill never came. Where nothing is limited that is what is
    /// expected, and not the most.
    pub(super) fn unbilled(&self, kind: &PromptKind, length: PromptLength) -> u32 {
        let bills = lock(&self.bills);
        if self.any.load(Relaxed) { bills.unbilled(kind, length) } else { bills.prompt(kind, length).likely }
    }

    /// Takes in what was billed for a prompt. Where nothing is limited only what cannot be estimated is of use.
    pub(super) fn learn(&self, kind: PromptKind, length: PromptLength, billed: u64, is_whole: bool) {
        if kind.sizing != PromptSizing::Counted || self.any.load(Relaxed) {
            lock(&self.bills).learn(kind, length, billed, is_whole);
        }
    }

    /// Returns what is known of a provider's bills, for the next process.
    #[cfg(feature = "store")]
    pub(super) fn bills_of(&self, provider: &str) -> Vec<KnownBill> {
        lock(&self.bills).of(provider)
    }

    /// Takes up what a process before this one knew of bills.
    #[cfg(feature = "store")]
    pub(crate) fn take_up(&self, known: Vec<KnownBill>) {
        lock(&self.bills).take_up(known);
    }

    /// Returns how a call is to be routed, by the soft budgets that are spent.
    pub(super) fn soft_routing(&self, about: &CallFacts) -> SoftBudgetRouting {
        if self.any.load(Relaxed) {
            lock(&self.money).soft_routing(about, wall())
        } else {
            SoftBudgetRouting::default()
        }
    }

    /// Returns the state of the accounts, the emptiest first.
    pub(crate) fn health(&self) -> Vec<BudgetHealth> {
        let mut health = lock(&self.money).health(wall());
        health.truncate(TOLD_MAX);
        health
    }
}

/// The amounts that an attempt has taken. If it is dropped unsettled, it gives everything back.
pub(super) struct BudgetReservation {
    taken: Option<ReservedAmounts>,
    budgets: Arc<SharedBudgets>,
}

impl BudgetReservation {
    /// Puts the attempt's real cost in its place. Returns what to publish.
    pub(super) fn settle(mut self, record: &AttemptRecord) -> Vec<Alert> {
        let Some(taken) = self.taken.take() else { return Vec::new() };
        let paid = BudgetCost::of(&record.usage, record.cost_usd);
        // The same time as in the ledger.
        lock(&self.budgets.money).settle(&record.about, taken, paid, record.started_at() + record.took)
    }
}

impl Drop for BudgetReservation {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            lock(&self.budgets.money).release(taken);
        }
    }
}

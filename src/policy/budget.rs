//! Budgets: how much may be spent on what, and until when.
//!
//! ```text
//!   take(likely, most) ──▶ reserved ──▶ settle(paid): spent, alerts
//!        │ does not fit                └▶ release: as if nothing had been taken
//!        └▶ Spent: which budget, how much, when it renews
//! ```
//!
//! A budget has an account, or one for each route, client or value of a tag. Before anything is sent an attempt takes
//! its expected cost out of each account that it concerns, or out of none. An attempt in flight counts with the most
//! that it can cost: a new one is admitted if that, what is spent and its own expected cost fit together. So a budget
//! is overspent by the error of one attempt at most, however the attempts in flight end.
//!
//! Time is the wall's: budgets renew by the calendar, in UTC, or slide over a window in sixty steps. Money is counted
//! in billionths of a dollar, tokens one by one.

mod bills;
mod estimate;
mod period;
mod account;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use account::BudgetAccount;
#[cfg(feature = "store")]
pub use bills::KnownBill;
pub use bills::{Bills, PromptKind, PromptLength, PromptSizing, PromptTokens};
pub use estimate::{BudgetCost, Estimate};
pub use period::Period;

use crate::words::{Amount, CallFacts, OverBudget};

/// Billionths of a dollar in one.
const NANOS: f64 = 1e9;
/// Shares of a budget at which an event is published, in hundredths.
pub const ALERTS: [u8; 3] = [50, 80, 100];
/// The most accounts of one budget: all names beyond them share one.
const ACCOUNTS_MAX: usize = 10_000;
/// The common name of all names beyond that limit, here and in a store.
pub const OTHERS: &str = "(others)";
/// Returns dollars in billionths; what does not fit counts as the largest number.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit counts as the most")]
pub fn nanos(dollars: f64) -> i64 {
    (dollars * NANOS).round() as i64
}

/// Returns billionths in dollars.
pub fn dollars(nanos: i64) -> f64 {
    nanos as f64 / NANOS
}

/// The unit of a budget: dollars, or tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Billionths of a dollar.
    Nanodollars,
    /// Tokens of prompts and answers.
    Tokens,
}

/// What a budget covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetScope {
    /// Everything.
    All,
    /// One route, or each.
    Route(Option<String>),
    /// One client, or each.
    Client(Option<String>),
    /// One value of a tag, or each.
    Tag(String, Option<String>),
}

/// How calls are treated once a budget is spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnSpent {
    /// They are refused, and nothing is sent that may not be paid for.
    Refuse,
    /// They go on; an event says so.
    Warn,
    /// They go to the cheapest target.
    LeastCost,
    /// They go only to targets whose answer is expected to cost no more dollars.
    PriceMax(f64),
}

/// A budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Its name.
    pub name: Arc<str>,
    /// The unit that is counted.
    pub unit: Unit,
    /// How much may be spent.
    pub limit: i64,
    /// In which time.
    pub period: Period,
    /// On what.
    pub of: BudgetScope,
    /// How calls are treated once it is spent.
    pub on_spent: OnSpent,
}

impl Budget {
    /// Tells whether another one of this name counts the same.
    pub fn counts_as(&self, other: &Self) -> bool {
        (&self.name, self.unit, self.period, &self.of) == (&other.name, other.unit, other.period, &other.of)
    }
}

impl BudgetScope {
    /// Returns whose account a call is paid from; `None` where it does not concern it.
    pub fn account<'a>(&'a self, about: &'a CallFacts) -> Option<&'a str> {
        let one = |wanted: &Option<String>, is: Option<&'a str>| {
            is.filter(|is| wanted.as_deref().is_none_or(|wanted| wanted == *is))
        };
        match self {
            Self::All => Some(""),
            Self::Route(wanted) => one(wanted, Some(&about.route)),
            Self::Client(wanted) => one(wanted, about.client.as_deref()),
            Self::Tag(tag, wanted) => one(wanted, about.tags.get(tag).map(String::as_str)),
        }
    }
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, one) = match self {
            Self::All => return f.write_str("all"),
            Self::Route(one) => ("route".to_owned(), one.as_ref().map(|one| format!(":{one}"))),
            Self::Client(one) => ("client".to_owned(), one.as_ref().map(|one| format!(":{one}"))),
            Self::Tag(tag, one) => (format!("tag:{tag}"), one.as_ref().map(|one| format!("={one}"))),
        };
        write!(f, "{kind}{}", one.unwrap_or_default())
    }
}

/// Why an attempt may not be sent: a budget is spent, or nearly so.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetRefusal {
    /// The caller's error.
    pub why: OverBudget,
    /// Whether it may pass soon: attempts in flight may leave room when they end.
    pub passes: bool,
}

/// Amounts taken out of accounts, to be settled or given back, once.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "what is taken stays taken until it is settled or given back"]
pub struct ReservedAmounts(Vec<(AccountKey, i64)>);

/// It is to be published how much of a budget is spent.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Which budget.
    pub budget: OverBudget,
    /// The share that is spent, in hundredths.
    pub share: u8,
}

/// How a call is routed when its soft budgets are spent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoftBudgetRouting {
    /// By the least cost.
    pub least_cost: bool,
    /// Only to targets whose answer is expected to cost no more dollars.
    pub price_max: Option<f64>,
    /// The budget that says so.
    pub over: Option<Box<OverBudget>>,
}

/// The state of one account.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BudgetHealth {
    /// Its budget, what it is of, its limit, what is spent, and when it renews.
    pub budget: OverBudget,
    /// The most that attempts in flight may still cost.
    pub reserved: Amount,
}

type AccountKey = (usize, Box<str>);

/// All budgets of a runtime.
#[derive(Debug, Default)]
pub struct Budgets {
    budgets: Vec<Budget>,
    accounts: HashMap<AccountKey, BudgetAccount>,
}

impl Budgets {
    /// Returns budgets of which nothing is spent.
    #[cfg(test)]
    pub fn new(budgets: Vec<Budget>) -> Self {
        Self { budgets, accounts: HashMap::new() }
    }

    /// Tells whether there are no budgets.
    pub const fn is_none(&self) -> bool {
        self.budgets.is_empty()
    }

    /// Returns the budgets.
    #[cfg(any(test, feature = "store"))]
    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// Puts other budgets in the place of these. One that counts the same as before keeps its accounts.
    pub fn replace(&mut self, budgets: Vec<Budget>) {
        let places: Vec<Option<usize>> =
            self.budgets.iter().map(|old| budgets.iter().position(|new| old.counts_as(new))).collect();
        let accounts = std::mem::take(&mut self.accounts);
        let accounts = accounts.into_iter().filter_map(|((at, name), account)| Some(((places[at]?, name), account)));
        self.accounts = accounts.collect();
        self.budgets = budgets;
    }

    /// Takes what an attempt is expected to cost out of every account that it concerns, or out of none.
    ///
    /// # Errors
    /// If one of them is hard and has no room for it.
    pub fn take(
        &mut self,
        about: &CallFacts,
        estimate: &Estimate,
        now: SystemTime,
    ) -> Result<ReservedAmounts, BudgetRefusal> {
        let mut taken = Vec::new();
        for at in 0..self.budgets.len() {
            let Some(key) = self.key(at, about) else { continue };
            let budget = &self.budgets[at];
            let (likely, most) = (estimate.likely.in_unit(budget.unit), estimate.most.in_unit(budget.unit));
            let most = most.unwrap_or(0).max(likely.unwrap_or(0));
            let is_hard = budget.on_spent == OnSpent::Refuse;
            // What costs nothing is always admitted.
            if is_hard && (likely, most) != (Some(0), 0) {
                let account = self.accounts.entry(key.clone()).or_default();
                account.set_clock(budget.period, now);
                let spent = account.spent(budget.period, now);
                let fits = |reserved: i64| {
                    likely.is_some_and(|likely| spent.saturating_add(reserved).saturating_add(likely) <= budget.limit)
                };
                if !fits(account.reserved) {
                    let passes = account.reserved > 0 && fits(0);
                    let needed = likely.unwrap_or(budget.limit);
                    let mut why = told(budget, &key.1, account, now);
                    why.renews_in = account.room_in(budget, needed, now);
                    why.reserved = amount(budget.unit, account.reserved);
                    why.unpriced = likely.is_none();
                    why.expected = likely.map(|likely| amount(budget.unit, likely));
                    return Err(BudgetRefusal { why, passes });
                }
            }
            taken.push((key, most));
        }
        for (key, most) in &taken {
            let account = self.accounts.entry(key.clone()).or_default();
            account.reserved = account.reserved.saturating_add(*most);
        }
        Ok(ReservedAmounts(taken))
    }

    /// Gives back what was taken for an attempt of which nothing was sent.
    pub fn release(&mut self, taken: ReservedAmounts) {
        for (key, most) in taken.0 {
            if let Some(account) = self.accounts.get_mut(&key) {
                account.reserved = (account.reserved - most).max(0);
            }
        }
    }

    /// Puts an attempt's real cost in the place of what was taken for it. Returns what to publish.
    pub fn settle(
        &mut self,
        about: &CallFacts,
        taken: ReservedAmounts,
        paid: BudgetCost,
        now: SystemTime,
    ) -> Vec<Alert> {
        self.release(taken);
        let mut alerts = Vec::new();
        for at in 0..self.budgets.len() {
            let Some(key) = self.key(at, about) else { continue };
            let budget = &self.budgets[at];
            let account = self.accounts.entry(key.clone()).or_default();
            account.add(budget.period, paid.in_unit(budget.unit).unwrap_or(0), now);
            if let Some(share) = account.alert(budget, now) {
                alerts.push(Alert { budget: told(budget, &key.1, account, now), share });
            }
        }
        alerts
    }

    /// Counts what was spent before this process began: of which account, in which step of its period, and how much.
    /// No event is published again for it.
    #[cfg(any(test, feature = "store"))]
    pub fn recall(&mut self, budget: usize, account: &str, step: i64, amount: i64, now: SystemTime) {
        if budget >= self.budgets.len() {
            return;
        }
        let key = self.within((budget, account.into()));
        let account = self.accounts.entry(key).or_default();
        account.count(step, amount);
        let _ = account.alert(&self.budgets[budget], now);
    }

    /// Returns what attempts in flight have taken: of which budget and account, and how much.
    #[cfg(feature = "sidecar")]
    pub fn reserved(&self) -> impl Iterator<Item = (&Budget, &str, i64)> {
        let taken = self.accounts.iter().filter(|(_, account)| account.reserved > 0);
        taken.map(|((at, name), account)| (&self.budgets[*at], &**name, account.reserved))
    }

    /// Changes what is reserved of an account by what attempts of another process have taken or given back.
    #[cfg(feature = "store")]
    pub fn reserve(&mut self, budget: usize, account: &str, change: i64) {
        if budget < self.budgets.len() {
            let key = self.within((budget, account.into()));
            let account = self.accounts.entry(key).or_default();
            account.reserved = account.reserved.saturating_add(change).max(0);
        }
    }

    /// Returns how a call is to be routed, by the soft budgets that are spent.
    pub fn soft_routing(&mut self, about: &CallFacts, now: SystemTime) -> SoftBudgetRouting {
        let mut soft_routing = SoftBudgetRouting::default();
        for at in 0..self.budgets.len() {
            let budget = &self.budgets[at];
            if matches!(budget.on_spent, OnSpent::Refuse | OnSpent::Warn) {
                continue;
            }
            let Some(key) = self.key(at, about) else { continue };
            let Some(account) = self.accounts.get_mut(&key) else { continue };
            account.set_clock(budget.period, now);
            if account.spent(budget.period, now) < budget.limit {
                continue;
            }
            match budget.on_spent {
                OnSpent::LeastCost => soft_routing.least_cost = true,
                OnSpent::PriceMax(most) if soft_routing.price_max.is_none_or(|known| most < known) => {
                    soft_routing.price_max = Some(most);
                    soft_routing.over = Some(Box::new(told(budget, &key.1, account, now)));
                }
                _ => {}
            }
        }
        soft_routing
    }

    /// Returns the state of all accounts, the emptiest first.
    pub fn health(&self, now: SystemTime) -> Vec<BudgetHealth> {
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        // The account of everything exists before anything was spent.
        let none = BudgetAccount::default();
        let missing: Vec<AccountKey> = (0..self.budgets.len())
            .filter_map(|at| Some((at, self.budgets[at].of.only()?.into())))
            .filter(|key| !self.accounts.contains_key(key))
            .collect();
        accounts.extend(missing.iter().map(|key| (key, &none)));
        let share = |(key, account): &(&AccountKey, &BudgetAccount)| {
            let budget = &self.budgets[key.0];
            account.spent(budget.period, now) as f64 / budget.limit.max(1) as f64
        };
        accounts.sort_by(|one, other| share(other).total_cmp(&share(one)).then_with(|| one.0.cmp(other.0)));
        let health = |((at, of), account): (&AccountKey, &BudgetAccount)| BudgetHealth {
            budget: told(&self.budgets[*at], of, account, now),
            reserved: amount(self.budgets[*at].unit, account.reserved),
        };
        accounts.into_iter().map(health).collect()
    }

    /// Returns the account of a budget that a call is paid from.
    fn key(&self, at: usize, about: &CallFacts) -> Option<AccountKey> {
        Some(self.within((at, Box::from(self.budgets[at].of.account(about)?))))
    }

    /// Returns an account, or the common one where there are too many.
    fn within(&self, key: AccountKey) -> AccountKey {
        let is_full = self.accounts.len() >= ACCOUNTS_MAX * self.budgets.len() && !self.accounts.contains_key(&key);
        if is_full { (key.0, OTHERS.into()) } else { key }
    }
}

impl BudgetScope {
    /// Returns the one account that there is, if there is only one.
    fn only(&self) -> Option<&str> {
        match self {
            Self::All => Some(""),
            Self::Route(one) | Self::Client(one) | Self::Tag(_, one) => one.as_deref(),
        }
    }
}

fn amount(unit: Unit, amount: i64) -> Amount {
    match unit {
        Unit::Nanodollars => Amount::Dollars(dollars(amount)),
        Unit::Tokens => Amount::Tokens(u64::try_from(amount).unwrap_or(0)),
    }
}

/// Returns the state of an account.
fn told(budget: &Budget, of: &str, account: &BudgetAccount, now: SystemTime) -> OverBudget {
    let of = match &budget.of {
        BudgetScope::All => String::new(),
        BudgetScope::Route(_) => format!("route {of}"),
        BudgetScope::Client(_) => format!("client {of}"),
        BudgetScope::Tag(tag, _) => format!("{tag} {of}"),
    };
    OverBudget {
        budget: budget.name.clone(),
        of,
        spent: amount(budget.unit, account.spent(budget.period, now)),
        limit: amount(budget.unit, budget.limit),
        per: budget.period.to_string(),
        renews_in: account.room_in(budget, 1, now),
        reserved: amount(budget.unit, 0),
        unpriced: false,
        expected: None,
    }
}

#[cfg(test)]
mod tests;

//! The cost of a call's attempts, reserved in the budgets of the call before anything is sent.

use std::time::Duration;

use super::budgets::BudgetReservation;
use super::clock::now;
use super::driver::Driver;
use crate::policy::budget::{BudgetRefusal, Estimate, PromptKind, PromptLength};
use crate::policy::explain::CallStep;
use crate::policy::snapshot::{Gate, Refusal};
use crate::words::{Amount, AttemptRecord, Error, OverBudget};

/// The time to come back of a budget that never has room for this.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Driver {
    /// Tells whether one more attempt keeps the call within its price cap, together with its cost so far and its
    /// attempts in flight. The first attempt was checked when it was planned.
    pub(super) fn check_price_cap(&self, target: usize, prompt_tokens: u32) -> Result<(), BudgetRefusal> {
        let Some(most) =
            [self.asked.route.options.price_max, self.asked.needs.price_max].into_iter().flatten().reduce(f64::min)
        else {
            return Ok(());
        };
        let spent: f64 = self.ended.iter().filter_map(|ended| ended.record.cost_usd).sum();
        let in_flight = self.running.iter().filter_map(|running| {
            let target = self.asked.table.index(&running.target)?;
            self.estimate(target, running.prompt_tokens).likely_usd()
        });
        let in_flight: f64 = in_flight.sum();
        let likely = self.estimate(target, prompt_tokens).likely_usd().unwrap_or(0.0);
        if spent + in_flight == 0.0 || spent + in_flight + likely <= most {
            return Ok(());
        }
        let why = OverBudget {
            budget: "price_max".into(),
            of: String::new(),
            spent: Amount::Dollars(spent),
            limit: Amount::Dollars(most),
            per: "a call".to_owned(),
            renews_in: Some(Duration::ZERO),
            reserved: Amount::Dollars(in_flight),
            unpriced: false,
            expected: Some(Amount::Dollars(likely)),
        };
        Err(BudgetRefusal { why, passes: spent + likely <= most })
    }

    /// Takes what an attempt at a target is expected to cost.
    pub(super) fn reserve_budget(
        &self,
        target: usize,
        prompt_tokens: u32,
    ) -> Result<Option<BudgetReservation>, BudgetRefusal> {
        self.shared.budgets.take(self.call_record.about(), || self.estimate(target, prompt_tokens))
    }

    /// Returns what an attempt at a target may cost.
    fn estimate(&self, target: usize, prompt_tokens: u32) -> Estimate {
        let (target, asked) = (self.asked.target(target), self.asked.needs.output_tokens);
        let usual = self.output_tokens();
        let (can, (sizing, shown)) = (&target.spec().capabilities, target.sizing(&self.asked));
        let kind = PromptKind { route: self.asked.route.name.clone(), target: target.id().clone(), sizing };
        let length = PromptLength { estimated: prompt_tokens, shown, window: can.context_tokens_max };
        let prompt = self.shared.budgets.prompt(&kind, length);
        Estimate::new(target.price.as_ref(), prompt, usual, asked, can.output_tokens_max)
    }

    /// Goes on without a target for which a budget has no room.
    pub(super) fn refuse_over_budget(&mut self, target: usize, refused: BudgetRefusal) {
        let now = now();
        // Attempts in flight may cost less than their limit, so the budget is looked at again soon.
        let until = (!refused.passes)
            .then(|| now + refused.why.renews_in.filter(|wait| !wait.is_zero()).unwrap_or(NEVER).min(NEVER));
        let refusal = Refusal { gate: Gate::Budget, until };
        let wait = until.map(|until| until.saturating_duration_since(now));
        let target = self.asked.target(target).id().clone();
        self.call_record.note(CallStep::Refused { target, gate: refusal.gate, wait });
        self.over = Some(Box::new(refused.why));
        self.refused(refusal);
    }

    /// Returns the error of a call for which a budget has no room.
    pub(super) fn over_budget(&mut self, attempts: Vec<AttemptRecord>) -> Error {
        match self.over.take() {
            Some(budget) => Error::OverBudget { budget, attempts },
            None => Error::Exhausted { attempts, retry_after: None, barred: Vec::new() },
        }
    }
}

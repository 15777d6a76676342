//! The cost of a call's attempts, reserved in the budgets of the call before anything is sent.

use std::time::Duration;

use super::clock::now;
use super::driver::Driver;
use super::purses::Purchase;
use crate::policy::explain::Happened;
use crate::policy::money::{Estimate, Refused};
use crate::policy::snapshot::{Gate, Refusal};
use crate::words::{AttemptRecord, Error};

/// The time to come back of a budget that never has room for this.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Driver {
    /// Takes what an attempt at a target is expected to cost.
    pub(super) fn buy(&self, target: usize, prompt_tokens: u32) -> Result<Option<Purchase>, Refused> {
        let spec = self.table.targets[target].spec();
        let asked = self.needs.output_tokens;
        let estimate = || {
            let usual = self.state.output_tokens(asked);
            Estimate::new(spec.price, prompt_tokens, usual, asked, spec.capabilities.output_tokens_max)
        };
        self.shared.purses.take(self.page.about(), estimate)
    }

    /// Goes on without a target for which a budget has no room.
    pub(super) fn too_dear(&mut self, target: usize, refused: Refused) {
        let now = now();
        // Attempts in flight may cost less than their limit, so the budget is looked at again soon.
        let until = (!refused.passes).then(|| now + refused.why.renews_in.unwrap_or(NEVER).min(NEVER));
        let refusal = Refusal { gate: Gate::Budget, until };
        let wait = until.map(|until| until.saturating_duration_since(now));
        let target = self.table.targets[target].id().clone();
        self.page.note(Happened::Refused { target, gate: refusal.gate, wait });
        self.over = Some(Box::new(refused.why));
        self.machine.refused(refusal, &self.shared.budget, now);
    }

    /// Returns the error of a call for which a budget has no room.
    pub(super) fn over_budget(&mut self, attempts: Vec<AttemptRecord>) -> Error {
        match self.over.take() {
            Some(budget) => Error::OverBudget { budget, attempts },
            None => Error::Exhausted { attempts, retry_after: None, barred: Vec::new() },
        }
    }
}

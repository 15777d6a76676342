//! What a refusal says of its target, where its class alone does not tell.

use super::Ticket;
use crate::words::{Failure, FailureClass, Scope};

impl Ticket {
    /// Returns a failure as it counts at its target, whose provider has this number of keys.
    ///
    /// A limit's status that says neither which limit nor for how long, while others are in flight and are answered, is
    /// about places: the target is overloaded. Providers tell a key without permission that the model does not exist:
    /// unless the model was retired, another key may see it.
    #[must_use]
    pub fn judged(&self, failure: Failure, keys: usize, is_retirement: bool) -> Failure {
        let is_bare = failure.retry_after.is_none() && self.named.is_none();
        match failure.class {
            FailureClass::RateLimited if is_bare && self.is_crowded => {
                Failure { class: FailureClass::Overloaded, scope: Scope::Model, ..failure }
            }
            FailureClass::ModelGone if keys > 1 && !is_retirement => Failure { scope: Scope::Key, ..failure },
            _ => failure,
        }
    }
}

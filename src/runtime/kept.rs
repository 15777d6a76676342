//! What is kept beyond the process, where the configuration says so.

use std::sync::Arc;
use std::time::SystemTime;

use super::Runtime;
use crate::actors::shared::{STORE, Shared};
use crate::actors::sink::Observing;
use crate::policy::statement::{Question, Statement};
use crate::spec::Limits;
use crate::store::{LedgerError, Store};
use crate::words::ConfigError;

/// Opens the file that is configured, if there is one; who writes it is told of everything that ends.
pub(super) async fn open(limits: &Limits, observers: &mut Vec<Observing>) -> Result<Option<Arc<Store>>, ConfigError> {
    let Some(spec) = &limits.store else { return Ok(None) };
    let store = Store::open(spec.clone()).await;
    let store = store.map_err(|error| ConfigError::new("store.path", format!("{} {error}", spec.path.display())))?;
    let store = Arc::new(store);
    observers.push(Observing { name: STORE.into(), observer: store.clone(), in_place: true });
    Ok(Some(store))
}

/// Counts what was spent of each budget before this process, as far as the file tells.
pub(super) async fn recall(store: &Arc<Store>, shared: &Arc<Shared>) {
    let budgets = shared.purses.budgets();
    let (path, known) = (store.path().to_owned(), budgets.clone());
    #[expect(clippy::disallowed_methods, reason = "budgets renew by the calendar, which is the wall's")]
    let now = SystemTime::now();
    let look = move || known.iter().map(|budget| crate::store::recall(&path, budget, now)).collect::<Vec<_>>();
    for (at, recalled) in shared.apart.run(!budgets.is_empty(), look).await.into_iter().enumerate() {
        match recalled {
            Ok(hours) => hours.iter().for_each(|one| shared.purses.recall(at, &one.purse, one.amount, one.at)),
            Err(error) => {
                let budget = &*budgets[at].name;
                tracing::error!(budget, %error, "what was spent before cannot be read: the budget begins anew");
            }
        }
    }
}

impl Runtime {
    /// Answers a question about what was spent, from the file that everything is kept in: all that had ended before
    /// it was asked stands in the answer.
    ///
    /// # Errors
    /// If nothing is kept, or the file cannot be read.
    pub async fn ledger(&self, question: Question) -> Result<Statement, LedgerError> {
        let store = self.store.clone().ok_or(LedgerError::NotKept)?;
        let shared = self.shared.clone();
        let asking = async move {
            store.flush().await;
            shared.apart.run(true, move || crate::store::ask_file(store.path(), &question)).await
        };
        #[expect(clippy::disallowed_methods, reason = "whoever asked waits for its answer, on whatever executor")]
        let asking = self.within(|| tokio::spawn(asking));
        asking.await.unwrap_or(Err(LedgerError::NotKept))
    }
}

//! What is kept beyond the process, where the configuration says so.

use std::sync::Arc;

use super::Runtime;
use crate::actors::shared::STORE;
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

impl Runtime {
    /// Answers a question about what was spent, from the file that everything is kept in: all that had ended before it was
    /// asked stands in the answer.
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

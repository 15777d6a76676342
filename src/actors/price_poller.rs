//! Who looks at lists of prices, now and then, and has the root put them into the table.

use std::sync::Arc;

use ractor::{ActorCell, SpawnErr};

use super::shared::Shared;
use super::task;
use super::to_root::RootMessage;

/// The kind of task that it is.
enum PricePoller {}

/// Starts to look.
pub(super) async fn start(shared: Arc<Shared>, root: ActorCell) -> Result<ActorCell, SpawnErr> {
    task::spawn::<PricePoller>(Box::pin(look(shared)), root).await
}

async fn look(shared: Arc<Shared>) {
    let mut tables = shared.table.subscribe();
    loop {
        // A new table may be of a configuration with other sources.
        let next = async {
            match shared.prices.wait() {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, tables.changed()).await;
                }
                None => drop(tables.changed().await),
            }
        };
        next.await;
        if shared.prices.look(&shared.blocking_pool).await {
            shared.root.send(RootMessage::Priced);
        }
    }
}

//! Reads a provider's status page and health address from time to time.
//!
//! A task of its own under the provider's supervisor: it may wait for the network, and no call waits for it. A source
//! that fails gives no new hint, and its last hint counts for a while. Requests go out as the provider's own do, but
//! without a key.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};
use ractor::{ActorCell, ActorId, SpawnErr};
use rand::rngs::Xoshiro256PlusPlus as SeededRng;
use rand::{RngExt, SeedableRng};

use super::clock::now;
use super::table::Provider;
use super::task;
use super::to_provider::ProviderMessage;
use crate::policy::hint;
use crate::wire::hint::{PAGE_BYTES_MAX, health_endpoint, status_page};
use crate::words::{Hint, HintSource};

/// The longest that one look may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The kind of this task.
enum Lookout {}

/// Starts the task, if the provider has a source.
pub(super) async fn start(provider: Arc<Provider>, supervisor: ActorCell) -> Result<Option<ActorId>, SpawnErr> {
    if provider.spec.hints.is_none() {
        return Ok(None);
    }
    task::spawn::<Lookout>(Box::pin(look_out(provider)), supervisor).await.map(|task| Some(task.get_id()))
}

async fn look_out(provider: Arc<Provider>) {
    let options = &provider.spec.hints;
    // Many processes with one seed must not look at once.
    let mut rng = SeededRng::seed_from_u64(RandomState::new().hash_one(&provider.spec.name));
    tokio::time::sleep(options.first(rng.random())).await;
    loop {
        for (source, address) in [(HintSource::StatusPage, &options.status_page), (HintSource::Health, &options.health)]
        {
            let Some(address) = address else { continue };
            let said = tokio::time::timeout(LOOK_MAX, ask(&provider, source, address)).await;
            let Ok(Some(hint)) = said else {
                tracing::debug!(provider = %provider.spec.name, source = source.text(), "nothing is said");
                continue;
            };
            let words = hint.to_string();
            if provider.slot.hinted(hint, now() + options.fades()) {
                tracing::info!(provider = %provider.spec.name, %words, "the hints about a provider have changed");
            }
        }
        let reported = hint::all(&provider.slot.hints(now()));
        provider.slot.provider.send(ProviderMessage::Hint(reported, now() + options.fades()));
        tokio::time::sleep(options.pause(rng.random())).await;
    }
}

/// Asks a source; returns its hint, if its answer is understood.
async fn ask(provider: &Provider, source: HintSource, address: &str) -> Option<Hint> {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    let response = provider.slot.transport()?.get(address.to_owned(), headers).await.ok()?;
    let (reported, says) = match source {
        HintSource::Health => health_endpoint(response.status)?,
        HintSource::StatusPage if response.status != 200 => return None,
        HintSource::StatusPage => {
            let (mut body, mut page) = (response.body, Vec::new());
            while let Some(chunk) = body.next().await {
                let chunk = chunk.ok()?;
                if page.len() + chunk.len() > PAGE_BYTES_MAX {
                    return None;
                }
                page.extend_from_slice(&chunk);
            }
            status_page(&page, provider.spec.hints.component.as_deref())?
        }
    };
    Some(Hint::new(source, reported, says))
}

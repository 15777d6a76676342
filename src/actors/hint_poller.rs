//! Reads a provider's status page and health address from time to time.
//!
//! A task of its own under the provider's supervisor, which also asks targets that are out for a word where that is
//! allowed: it may wait for the network, and no call waits for it. A source that fails says nothing, and what it said
//! before counts for a while. It goes out as the provider's requests do, and without a key.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};
use ractor::{ActorCell, ActorId, SpawnErr};
use rand::rngs::Xoshiro256PlusPlus as SeededRng;
use rand::{RngExt, SeedableRng};

use super::clock::now;
use super::prober;
use super::shared::Shared;
use super::table::Provider;
use super::task;
use super::to_provider::ProviderMessage;
use crate::policy::hint;
use crate::wire;
use crate::wire::hint::{PAGE_BYTES_MAX, health_endpoint, status_page};
use crate::words::{Hint, HintSource};

/// The longest that one look may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The kind of this task.
enum HintPoller {}

/// Starts to look, where the provider has a source or may be asked for a word.
pub(super) async fn start(
    provider: Arc<Provider>,
    shared: Arc<Shared>,
    supervisor: ActorCell,
) -> Result<Option<ActorId>, SpawnErr> {
    if provider.spec.hints.is_none() && provider.spec.probe.is_none() {
        return Ok(None);
    }
    let work = async move {
        join(poll_hints(provider.clone()), prober::probe(provider, shared)).await;
    };
    task::spawn::<HintPoller>(Box::pin(work), supervisor).await.map(|task| Some(task.get_id()))
}

async fn poll_hints(provider: Arc<Provider>) {
    let options = &provider.spec.hints;
    if options.is_none() {
        return;
    }
    // Many processes with one seed must not look at once.
    let mut rng = SeededRng::seed_from_u64(RandomState::new().hash_one(&provider.spec.name));
    tokio::time::sleep(options.first(rng.random())).await;
    loop {
        let named = [(HintSource::StatusPage, &options.status_page), (HintSource::Health, &options.health)];
        let named = named.into_iter().filter_map(|(source, address)| Some((source, address.as_deref()?)));
        for (source, address) in named.chain(options.models.then_some((HintSource::Models, ""))) {
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
    let (address, mut headers) = match source {
        HintSource::Models => one_model(provider).await?,
        _ => (address.to_owned(), HeaderMap::new()),
    };
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let response = provider.slot.transport()?.get(address, headers).await.ok()?;
    let (reported, says) = match source {
        HintSource::Health | HintSource::Models => health_endpoint(response.status)?,
        HintSource::StatusPage if response.status != 200 => return None,
        HintSource::StatusPage => {
            let page = response.whole(PAGE_BYTES_MAX).await.ok()?;
            status_page(&page, provider.spec.hints.component.as_deref())?
        }
    };
    Some(Hint::new(source, reported, says))
}

/// Returns where the provider's list of models is asked for the first of them, with the provider's own headers and key.
/// A third party is never told either.
async fn one_model(provider: &Provider) -> Option<(String, HeaderMap)> {
    let Provider { spec, slot, keys, .. } = provider;
    let (path, own) = wire::one_model(spec.dialect, &spec.targets.first()?.id.model)?;
    let mut headers = spec.headers.clone();
    headers.extend(own);
    if let Some(secret) = keys.first()?.current(slot).await.ok()? {
        wire::authorize(spec.dialect, spec.flavour, &secret, &mut headers).ok()?;
    }
    Some((spec.url(&path), headers))
}

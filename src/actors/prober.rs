//! Who asks a provider's targets that are out for a word, where the user allows it: they come back without a caller's
//! call.
//!
//! It makes calls as callers do, on a route of its own with one target and one attempt. Permit, health, budget and
//! records are those of every call.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus as SeededRng;
use rand::{RngExt, SeedableRng};

use super::begin;
use super::clock::now;
use super::responder::{Responder, WantedReply};
use super::shared::Shared;
use super::table::Provider;
use crate::policy::failover::FailoverOptions;
use crate::policy::hint::spread;
use crate::policy::probe::ProbeOptions;
use crate::spec::{RouteSpec, TargetSpec};
use crate::words::{ChatRequest, EmbedRequest, Error, ModelKind};

/// The longest that a word is waited for.
const PROBE_MAX: Duration = Duration::from_secs(60);
/// Tokens for a word, and for what a model thinks before it.
const WORD_TOKENS: u32 = 256;

/// Asks now and then, as long as the provider is configured.
pub(super) async fn probe(provider: Arc<Provider>, shared: Arc<Shared>) {
    let Some(options) = &provider.spec.probe else { return };
    // Many processes with one seed must not ask at once.
    let mut rng = SeededRng::seed_from_u64(RandomState::new().hash_one(&provider.spec.name));
    loop {
        tokio::time::sleep(spread(options.every, rng.random())).await;
        for (index, target) in provider.spec.targets.iter().enumerate() {
            if provider.slot.health(index).is_some_and(|health| ProbeOptions::wants(&health, now())) {
                let (id, asked) = (&target.id, ask(&shared, target).await);
                match asked {
                    Ok(()) => tracing::info!(target_id = %id, "a probe was answered"),
                    Err(error) => tracing::debug!(target_id = %id, %error, "a probe was not answered"),
                }
            }
        }
    }
}

/// Asks a target for a word.
async fn ask(shared: &Arc<Shared>, spec: &TargetSpec) -> Result<(), Error> {
    let table = shared.table();
    let target = table.index(&spec.id).ok_or(Error::Unavailable)?;
    let failover = FailoverOptions { attempts_max: Some(1), wait_max: Duration::ZERO, ..FailoverOptions::default() };
    let route = RouteSpec::to(target, ProbeOptions::route(&spec.id.provider), failover);
    let name = &*route.name;
    match spec.capabilities.kind {
        ModelKind::Embedding => {
            let work = EmbedRequest { deadline: Some(PROBE_MAX), ..EmbedRequest::new(name, ["ready"]) };
            let (answer_to, answer) = Responder::pair(&shared.draining);
            begin::own(shared, table, route.into(), work.into(), WantedReply::Vectors(answer_to));
            answer.await.unwrap_or(Err(Error::Unavailable)).map(drop)
        }
        ModelKind::Chat => {
            let mut work = ChatRequest::new(name).user("Say the word: ready").deadline(PROBE_MAX);
            work.output_tokens_max = Some(WORD_TOKENS);
            let (answer_to, answer) = Responder::pair(&shared.draining);
            begin::own(shared, table, route.into(), work.into(), WantedReply::Whole(answer_to));
            answer.await.unwrap_or(Err(Error::Unavailable)).map(drop)
        }
    }
}

//! One provider's actor: the error kernel that owns the health of its targets and its keys.
//!
//! Input: requests for a permit and reports of attempts. Output: permits, refusals, events and published health. It
//! does no I/O, runs no user's code and holds no request: it only asks `policy::admission`.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as SeededRng;

use super::clock::now;
use super::permit::Permit;
use super::progress::{AttemptProgress, TargetNews};
use super::shared::{CrashHook, Shared};
use super::slot::Slot;
use super::table::Provider as Configured;
use super::to_provider::{Crash, ProviderMessage};
use super::yielding::Yielding;
use crate::policy::admission::{Admission, AdmissionRequest, Effect, Report};
use crate::policy::snapshot::{BreakerState, Health, IndexedHold, Refusal};
use crate::words::fnv::{FNV1A, fnv1a};
use crate::words::locks::{lock, write_lock};
use crate::words::{Brief, Event};

/// Health is published at once on a transition, else at most this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);
/// Attempts there is room for at first.
const WAITING_MIN: usize = 32;
/// The whole machine is saved on a transition, else this often; the published numbers fade at the same pace.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Provider;

pub(crate) struct Arguments {
    pub(crate) configured: Arc<Configured>,
    pub(crate) shared: Arc<Shared>,
    /// Whether what the predecessor learned is trusted. Its verdicts always are.
    pub(crate) keep_statistics: bool,
}

pub(crate) struct State {
    configured: Arc<Configured>,
    shared: Arc<Shared>,
    admission: Admission,
    rng: SeededRng,
    published: Instant,
    /// Whether a [`ProviderMessage::Publish`] is on its way.
    pending: bool,
    /// Whether anything happened since the machine was saved.
    unsaved: bool,
    waiting: InFlightAttempts,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Provider {
    type Msg = ProviderMessage;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let Arguments { configured, shared, keep_statistics } = arguments;
        if CrashHook::take(&shared.crash.provider_starts) {
            return Err("start refused by the crash hook".into());
        }
        let slot = &configured.slot;
        let transport = Arc::new(Yielding(configured.spec.way.open()?));
        let incarnation = slot.incarnations.fetch_add(1, Relaxed) + 1;
        let checkpoint = lock(&slot.checkpoint).clone();
        let admission = match checkpoint {
            Some(checkpoint) => Admission::restore(&checkpoint, keep_statistics, now()),
            None => Admission::new(configured.spec.admission.clone(), now()),
        };
        let rng =
            SeededRng::seed_from_u64(shared.limits.seed ^ fnv1a(FNV1A, configured.spec.name.bytes()) ^ incarnation);
        let (published, waiting) = (now(), InFlightAttempts::default());
        let mut state = State { admission, rng, published, pending: false, unsaved: true, waiting, configured, shared };
        state.publish(now());
        state.save();
        let slot = &state.configured.slot;
        *write_lock(&slot.transport) = Some(transport);
        slot.up(myself.clone());
        myself.send_interval(CHECKPOINT_EVERY, || ProviderMessage::Checkpoint(None));
        let name = state.configured.spec.name.clone();
        tracing::info!(provider = %name, incarnation, "provider started");
        state.shared.tell(Event::ProviderStarted { provider: name, incarnation });
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (now, mut urgent, mut effects) = (now(), false, Vec::new());
        state.unsaved |= !matches!(message, ProviderMessage::Publish | ProviderMessage::Checkpoint(_));
        match message {
            ProviderMessage::Admit(ask, reply) => {
                if !reply.is_closed() {
                    let admitted = state.admit(ask, now);
                    // When the next look is due is told to those that are refused.
                    urgent = admitted.as_ref().is_ok_and(|permit| permit.ticket().look);
                    // When it is heard, the remaining ones can be read.
                    state.set_room(ask.target, now);
                    let _ = reply.send(admitted);
                }
            }
            ProviderMessage::Report(ticket, content, report) => {
                if let Some(after) = content {
                    effects = state.admission.report(&ticket, Report::Content { after }, now, &mut state.rng);
                }
                effects.append(&mut state.admission.report(&ticket, report, now, &mut state.rng));
                if matches!(report, Report::Ended(_)) {
                    state.set_room(ticket.target, now);
                }
            }
            ProviderMessage::Limits(ticket, limits) => {
                state.admission.limits(&ticket, limits, now);
                state.set_room(ticket.target, now);
            }
            ProviderMessage::Force(target, force) => {
                effects = state.admission.force(target, force, now);
                urgent = true;
            }
            ProviderMessage::Reset(target, key, reply) => {
                let lifted = state.admission.reset(target, key, now);
                // Who asked looks at the health next.
                state.publish(now);
                state.save();
                let _ = reply.send(lifted);
            }
            ProviderMessage::Renew(keys) => {
                for key in keys {
                    state.admission.renew(None, Some(key));
                }
                urgent = true;
            }
            ProviderMessage::LocalFault(since) => effects = state.admission.local_fault(since, now),
            ProviderMessage::MachineSlept(by) => {
                state.admission.slept(by);
                state.publish(now);
            }
            ProviderMessage::Hint(reported, until) => {
                state.admission.hint(reported, until);
                state.publish(now);
            }
            ProviderMessage::Delivered => state.admission.delivered(),
            ProviderMessage::Publish => state.pending = false,
            ProviderMessage::Checkpoint(asks) => {
                state.save();
                let _ = asks.map(|asks| asks.send(()));
            }
            ProviderMessage::Crash(Crash::Panic) => panic!("panic asked for by the crash hook"),
            ProviderMessage::Crash(Crash::Error) => return Err("error asked for by the crash hook".into()),
        }
        effects.append(&mut state.admission.effects());
        urgent |= !effects.is_empty();
        for effect in effects {
            state.tell(effect, now);
        }
        state.publish_soon(&myself, urgent, now);
        Ok(())
    }
}

/// The attempts that may be in flight, each with its target. Ended ones are forgotten when there is no more room: so an
/// attempt costs an entry here, and no message at its end.
#[derive(Default)]
struct InFlightAttempts(Vec<(usize, Weak<AttemptProgress>)>);

impl InFlightAttempts {
    fn add(&mut self, target: usize, progress: &Arc<AttemptProgress>) {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|(_, progress)| progress.strong_count() > 0);
            // At most half full: the next time comes after as many attempts again.
            self.0.reserve(self.0.len().max(WAITING_MIN));
        }
        self.0.push((target, Arc::downgrade(progress)));
    }

    /// Tells calls that wait for a target without content what became of it.
    fn tell(&self, target: usize, news: TargetNews) {
        let there = self.0.iter().filter(|(at, _)| *at == target);
        there.filter_map(|(_, progress)| progress.upgrade()).for_each(|progress| progress.tell(news));
    }
}

impl State {
    fn slot(&self) -> &Arc<Slot> {
        &self.configured.slot
    }

    fn admit(&mut self, ask: AdmissionRequest, now: Instant) -> Result<Permit, Refusal> {
        let in_flight = self.slot().in_flight(ask.target);
        let ticket = self.admission.admit(ask, in_flight, now, &mut self.rng)?;
        let permit = Permit::new(self.slot().clone(), ticket);
        self.waiting.add(ask.target, permit.progress());
        Ok(permit)
    }

    fn set_room(&self, target: usize, now: Instant) {
        if target < self.admission.targets() {
            let (room, in_flight_max) = self.admission.room(target, now);
            self.slot().set_room(target, room, in_flight_max);
        }
    }

    fn publish_soon(&mut self, myself: &ActorRef<ProviderMessage>, urgent: bool, now: Instant) {
        let age = now.saturating_duration_since(self.published);
        if urgent {
            self.publish(now);
            self.save();
        } else if age >= PUBLISH_EVERY {
            self.publish(now);
        } else if !self.pending {
            self.pending = true;
            myself.send_after(PUBLISH_EVERY.saturating_sub(age), || ProviderMessage::Publish);
        }
    }

    fn publish(&mut self, now: Instant) {
        let slot = self.slot();
        let health: Arc<[Health]> = (0..self.admission.targets())
            .map(|target| self.admission.health(target, slot.in_flight(target), now))
            .collect();
        (0..self.admission.targets()).for_each(|target| self.set_room(target, now));
        *lock(&slot.indexed_holds) = self.admission.indexed_holds(now);
        slot.publish(health);
        self.published = now;
    }

    fn save(&mut self) {
        if std::mem::take(&mut self.unsaved) {
            *lock(&self.slot().checkpoint) = Some(Arc::new(self.admission.clone()));
        }
    }

    /// Publishes an effect as an event and a log line.
    fn tell(&self, effect: Effect, now: Instant) {
        let spec = &self.configured.spec;
        let id = |target: usize| spec.targets[target].id.clone();
        match effect {
            Effect::Transition { target, to: BreakerState::Open { .. }, .. }
            | Effect::TargetDisabled { target, .. } => self.waiting.tell(target, TargetNews::GivenUp),
            Effect::Transition { target, to: BreakerState::Ramp { .. } | BreakerState::Closed, .. }
            | Effect::Answers { target } => {
                self.waiting.tell(target, TargetNews::Back);
            }
            _ => {}
        }
        let event = match effect {
            Effect::Answers { .. } => return,
            Effect::Transition { target, from, to } => {
                let cooldown = match to {
                    BreakerState::Open { until } => Some(until.saturating_duration_since(now)),
                    _ => None,
                };
                Event::Breaker { target: id(target), from: from.name(), to: to.name(), cooldown }
            }
            Effect::Degraded { target, raised } => Event::Degraded { target: id(target), raised },
            Effect::RateLimited { target, until } => {
                Event::RateLimited { target: id(target), wait: until.saturating_duration_since(now) }
            }
            Effect::KeyDisabled { key, class } => {
                Event::KeyDisabled { provider: spec.name.clone(), key: spec.keys[key].name.clone(), class }
            }
            Effect::TargetDisabled { target, class } => Event::TargetDisabled { target: id(target), class },
            Effect::Lifted(IndexedHold { target, key, cause, .. }) => Event::Lifted {
                provider: spec.name.clone(),
                target: target.map(id),
                key: key.map(|key| spec.keys[key].name.clone()),
                cause,
            },
        };
        match &event {
            Event::Breaker { target, from, to, cooldown } => {
                let cooldown = cooldown.map(|wait| tracing::field::display(Brief(wait)));
                tracing::info!(%target, from, to, cooldown, "breaker changed");
            }
            Event::RateLimited { target, wait } => {
                tracing::warn!(%target, wait = %Brief(*wait), "the provider asks for a pause");
            }
            Event::Degraded { target, raised } => tracing::warn!(%target, raised, "flag degraded"),
            Event::TargetDisabled { target, class } => tracing::warn!(%target, %class, "target disabled"),
            Event::KeyDisabled { provider, key, class } => {
                tracing::error!(%provider, %key, %class, "key disabled");
            }
            Event::Lifted { provider, target, key, cause } => {
                let target = target.as_ref().map(ToString::to_string);
                tracing::info!(%provider, target, key = key.as_deref(), %cause, "lifted");
            }
            other => tracing::warn!(event = ?other, "target changed"),
        }
        self.shared.tell(event);
    }
}

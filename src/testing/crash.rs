//! Crashes on demand, to test supervision.

use std::panic::PanicHookInfo;
use std::sync::atomic::Ordering::Relaxed;

use crate::actors::to_provider::{Crash as How, ProviderMessage};
use crate::actors::to_router::RouterCommand;
use crate::actors::to_supervisor::SupervisorMessage;
use crate::runtime::Runtime;

/// Which actor dies, and how. Every one of these is real: the actor's task ends the way it says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crash {
    /// A provider's actor panics in its handler.
    ProviderPanics(String),
    /// A provider's actor returns an error from its handler.
    ProviderErrs(String),
    /// A provider's actor is killed.
    ProviderKilled(String),
    /// The task of a provider's actor is aborted.
    ProviderAborted(String),
    /// This number of next starts of any provider's actor fail.
    ProviderStarts(u32),
    /// A provider's supervisor is killed, and all below it.
    SupervisorKilled(String),
    /// This number of next attempts panic in the codec, in the middle of an answer.
    Attempts(u32),
    /// Every attempt that runs at a provider is killed.
    AttemptsKilled(String),
    /// This number of next calls panic once an attempt of theirs runs.
    Calls(u32),
    /// Every call that runs is killed.
    CallsKilled,
    /// The supervisor of all calls is killed, and all below it.
    CallsSupervisorKilled,
    /// The router panics in its handler.
    RouterPanics,
    /// The router is killed.
    RouterKilled,
    /// The front is killed: the actor behind [`Runtime::router`].
    FrontKilled,
    /// The scheduler of the calls that wait is killed.
    KeeperKilled,
}

/// Tells whether a panic was asked for by [`crash()`]: a program that rehearses need not print it.
///
/// ```
/// let usual = std::panic::take_hook();
/// std::panic::set_hook(Box::new(move |panic| {
///     if !standin::testing::is_asked_for(panic) {
///         usual(panic);
///     }
/// }));
/// # let _ = std::panic::take_hook();
/// ```
pub fn is_asked_for(panic: &PanicHookInfo<'_>) -> bool {
    panic.payload().downcast_ref::<&str>().is_some_and(|text| text.ends_with("asked for by the crash hook"))
}

/// Crashes an actor. Returns whether there was one to crash.
pub fn crash(runtime: &Runtime, crash: Crash) -> bool {
    let shared = runtime.shared();
    let table = shared.table();
    let slot = |name: &str| {
        let provider = table.providers.iter().find(|provider| *provider.spec.name == *name);
        provider.map(|provider| provider.slot.clone())
    };
    let tell = |name: &str, how| slot(name).is_some_and(|slot| slot.provider.send(ProviderMessage::Crash(how)));
    match crash {
        Crash::ProviderPanics(name) => tell(&name, How::Panic),
        Crash::ProviderErrs(name) => tell(&name, How::Error),
        Crash::ProviderKilled(name) => {
            slot(&name).and_then(|slot| slot.provider.get()).map(|provider| provider.kill()).is_some()
        }
        Crash::ProviderAborted(name) => slot(&name)
            .and_then(|slot| slot.supervisor())
            .is_some_and(|supervisor| supervisor.actor.send_message(SupervisorMessage::Abort).is_ok()),
        Crash::ProviderStarts(times) => {
            shared.crash.provider_starts.fetch_add(times, Relaxed);
            true
        }
        Crash::SupervisorKilled(name) => {
            slot(&name).and_then(|slot| slot.supervisor()).map(|supervisor| supervisor.actor.kill()).is_some()
        }
        Crash::Attempts(times) => {
            shared.crash.attempts.fetch_add(times, Relaxed);
            true
        }
        Crash::AttemptsKilled(name) => {
            slot(&name).and_then(|slot| slot.supervisor()).is_some_and(|supervisor| supervisor.tasks.kill())
        }
        Crash::Calls(times) => {
            shared.crash.calls.fetch_add(times, Relaxed);
            true
        }
        Crash::CallsKilled => shared.calls().is_some_and(|calls| calls.tasks.kill()),
        Crash::CallsSupervisorKilled => shared.calls().map(|calls| calls.actor.kill()).is_some(),
        Crash::RouterPanics => shared.router.send(RouterCommand::Crash(How::Panic)),
        Crash::RouterKilled => shared.router.get().map(|router| router.kill()).is_some(),
        Crash::KeeperKilled => shared.parking.notifier.scheduler().map(|scheduler| scheduler.kill()).is_some(),
        Crash::FrontKilled => shared.front.get().map(|front| front.kill()).is_some(),
    }
}

//! Lifetimes: calls, crashes, changes and the end of a runtime leave nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use standin::ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use standin::testing::{Crash, Fault, Latency, Outcome, ProviderError, Script, Scripted, When, actor_counts, crash};
use standin::{Error, Runtime};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::kit::{
    MS, S, World, all, ask, config, outcomes, path, read, settle, start, stream, unhurried, words, world,
};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_of_every_kind_leave_no_actor_and_no_task_behind() {
    let script = Script {
        first_token: Latency::LogNormal { median: 200 * MS, sigma: 0.6 },
        per_token: 10 * MS,
        ..Script::default()
    };
    let world = world(3, script).await;
    for provider in &world.providers {
        provider.inject(Fault::CutAfter(3), When::ALWAYS.chance(0.1));
        provider.inject(Fault::Error(ProviderError::Server), When::ALWAYS.chance(0.05));
        provider.inject(Fault::Hang, When::ALWAYS.chance(0.02));
    }
    settle().await;
    let (tasks_before, census_before) = (tasks(), actor_counts(&world.runtime));
    let mut rng = StdRng::seed_from_u64(1);
    let router = world.runtime.router().expect("it runs");
    let running: Vec<_> = (0..1_000)
        .map(|_| {
            let (runtime, router) = (world.runtime.clone(), router.clone());
            let request = ask(&words(rng.random_range(1..30))).deadline(20 * S);
            let patience = Duration::from_millis(rng.random_range(1..1_000));
            let (kind, delay) = (rng.random_range(0..5), Duration::from_millis(rng.random_range(0..5_000)));
            tokio::spawn(async move {
                sleep(delay).await;
                match kind {
                    0 => drop(runtime.chat(request).await),
                    1 => drop(stream(&runtime, request).await),
                    2 => drop(tokio::time::timeout(patience, runtime.chat(request)).await),
                    3 => drop(runtime.stream(request).await.map(|stream| tokio::time::timeout(patience, read(stream)))),
                    _ => {
                        let chat = |port| standin::RouterMessage::Chat(Box::new(request), port);
                        drop(router.call(chat, Some(patience)).await);
                    }
                }
            })
        })
        .collect();
    all(running).await;
    sleep(30 * S).await;
    world.assert_idle();
    assert_eq!(actor_counts(&world.runtime), census_before);
    assert_eq!(tasks(), tasks_before);
}

#[tokio::test(start_paused = true)]
async fn crashes_and_changes_leave_no_timer_behind() {
    let world = world(2, unhurried()).await;
    settle().await;
    let before = tasks();
    for turn in 0..30 {
        let victim = ["a", "b"][turn % 2].to_owned();
        let how = match turn % 5 {
            0 => Crash::ProviderPanics(victim),
            1 => Crash::ProviderKilled(victim),
            2 => Crash::SupervisorKilled(victim),
            3 => Crash::RouterKilled,
            _ => Crash::ProviderAborted(victim),
        };
        crash(&world.runtime, how);
        sleep(S).await;
        let mut config = world.config.clone();
        config.providers.get_mut("a").expect("a").labels.push(format!("turn {turn}"));
        world.runtime.reconfigure(config).await.expect("a good configuration");
        sleep(15 * S).await;
    }
    sleep(100 * S).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_everybody_and_ends_what_runs() {
    let before = tasks();
    let world = world(2, unhurried()).await;
    let shadow = world.runtime.clone();
    let mut told = world.runtime.subscribe();
    let reading = world.runtime.stream(ask(&words(1_000))).await.expect("it runs");
    sleep(S).await;
    let World { runtime, providers, .. } = world;
    drop(runtime);
    sleep(S).await;
    assert_eq!(providers[0].counts().in_flight, 1, "a clone is as good as the first");
    drop(shadow);
    let seen = read(reading).await;
    assert_eq!(seen.shape(), "a/m#1 text draining");
    settle().await;
    assert_eq!(outcomes(&providers[0]), [Outcome::ClientLeft]);
    let ended = async { while told.next().await.is_some() {} };
    tokio::time::timeout(60 * S, ended).await.expect("observers are told, and keep nothing alive");
    sleep(10 * S).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_without_a_call_leaves_nothing() {
    let before = tasks();
    for _ in 0..20 {
        drop(world(3, Script::default()).await);
    }
    sleep(10 * S).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn two_runtimes_with_the_same_names_do_not_know_each_other() {
    let (one, two) = (world(2, unhurried()).await, world(2, unhurried()).await);
    one.providers[0].always(Fault::Error(ProviderError::ModelGone));
    for _ in 0..5 {
        let reply = one.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(reply.finished.target.to_string(), "b/m");
        let reply = two.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), "a/m won");
    }
    crash(&one.runtime, Crash::ProviderPanics("a".into()));
    settle().await;
    assert_eq!((one.incarnations("a"), two.incarnations("a")), (2, 1));
    one.runtime.drain(S).await;
    two.runtime.chat(ask("hello")).await.expect("it does not concern the other");
}

/// A user's supervisor, which records its events.
struct Boss;

#[cfg_attr(feature = "async-trait", standin::ractor::async_trait)]
impl Actor for Boss {
    type Msg = ();
    type State = Arc<AtomicUsize>;
    type Arguments = Arc<AtomicUsize>;

    async fn pre_start(&self, _: ActorRef<()>, ended: Arc<AtomicUsize>) -> Result<Self::State, ActorProcessingErr> {
        Ok(ended)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        ended: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(event, SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..)) {
            ended.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

async fn linked() -> (World, ActorRef<()>, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let (boss, _) = Actor::spawn(None, Boss, ended.clone()).await.expect("starts");
    let providers = vec![Scripted::new(unhurried())];
    let config = config(&providers);
    let builder = Runtime::builder().config(config.clone());
    let runtime = builder.start_linked(boss.get_cell()).await.expect("starts");
    (World { runtime, providers, config }, boss, ended)
}

#[tokio::test(start_paused = true)]
async fn a_linked_runtime_tells_its_supervisor_when_it_ends() {
    let (world, boss, ended) = linked().await;
    assert_eq!(boss.get_children().len(), 1);
    world.runtime.chat(ask("hello")).await.expect("an answer");
    crash(&world.runtime, Crash::ProviderPanics("a".into()));
    settle().await;
    assert_eq!(ended.load(Relaxed), 0, "what happens inside stays inside");
    world.runtime.drain(S).await;
    settle().await;
    assert_eq!((ended.load(Relaxed), boss.get_children().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_linked_runtime_ends_with_its_supervisor_and_no_caller_hangs() {
    for kills in [true, false] {
        let (world, boss, _) = linked().await;
        let reading = world.runtime.stream(ask(&words(1_000))).await.expect("it runs");
        let runtime = world.runtime.clone();
        let asking = tokio::spawn(async move { runtime.chat(ask(&words(1_000))).await });
        sleep(S).await;
        if kills {
            boss.kill();
        } else {
            boss.stop(None);
        }
        let begun = Instant::now();
        let seen = read(reading).await;
        let error = seen.error.expect("it ends");
        assert!(matches!(error.name(), "draining" | "crashed"), "{error:?}");
        asking.await.expect("no panic").expect_err("it ends");
        let error = world.runtime.chat(ask("late")).await.expect_err("it is over");
        assert!(matches!(error.name(), "draining" | "unavailable"), "{error:?}");
        assert!(world.runtime.router().is_err());
        assert!(world.runtime.force(super::kit::target("a/m"), standin::health::Force::Auto).await.is_err());
        assert!(begun.elapsed() < S, "{:?}", begun.elapsed());
        settle().await;
        assert_eq!(actor_counts(&world.runtime).actors, 0);
        assert_eq!(world.providers[0].counts().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_does_not_start_under_a_supervisor_that_has_ended() {
    let (boss, ended) = Actor::spawn(None, Boss, Arc::default()).await.expect("starts");
    boss.stop(None);
    ended.await.expect("no panic");
    let providers = vec![Scripted::new(unhurried())];
    let builder = Runtime::builder().config(config(&providers));
    builder.start_linked(boss.get_cell()).await.expect_err("nobody is there to be linked to");
    sleep(10 * S).await;
    assert_eq!(tasks(), 0, "and nothing is left of it");
}

#[test]
fn a_runtime_whose_executor_is_gone_answers_nevertheless() {
    let executor = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an executor");
    let first = executor();
    let (runtime, stream) = first.block_on(async {
        let runtime = start(config(&[Scripted::new(unhurried())])).await;
        let stream = runtime.stream(ask("hello")).await.expect("it runs");
        (runtime, stream)
    });
    drop(first);
    executor().block_on(async {
        let error = runtime.chat(ask("hello")).await.expect_err("nobody is there");
        assert!(matches!(error, Error::Unavailable | Error::Draining), "{error:?}");
        let seen = read(stream).await;
        assert!(seen.error.is_some(), "{seen:?}");
        assert_eq!(runtime.drain(S).await, 0);
        drop(runtime);
    });
}

async fn busy(runtime: Runtime) {
    let asking: Vec<_> = (0..300)
        .map(|call| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let text = words(call % 20 + 1);
                if call % 2 == 0 {
                    let reply = runtime.chat(ask(&text)).await.expect("an answer");
                    assert_eq!(reply.text, text);
                } else {
                    let seen = stream(&runtime, ask(&text)).await;
                    assert_eq!((seen.text(), seen.error), (text, None));
                }
            })
        })
        .collect();
    let crashing = {
        let runtime = runtime.clone();
        tokio::spawn(async move {
            for provider in ["a", "b", "a"] {
                sleep(5 * MS).await;
                crash(&runtime, Crash::ProviderPanics(provider.into()));
                crash(&runtime, Crash::RouterKilled);
            }
        })
    };
    for task in asking {
        task.await.expect("no panic");
    }
    crashing.await.expect("no panic");
}

async fn served(count: usize) -> World {
    let script = Script { first_token: Latency::Fixed(5 * MS), per_token: MS, ..Script::default() };
    let world = world(count, script).await;
    busy(world.runtime.clone()).await;
    sleep(100 * MS).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_works_on_many_threads_in_real_time() {
    served(2).await.assert_idle();
}

#[tokio::test(flavor = "current_thread")]
async fn it_works_on_one_thread_in_real_time() {
    served(2).await.assert_idle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_place_in_flight_is_free_as_soon_as_the_answer_is_there_on_many_threads() {
    let provider = Scripted::new(Script::default());
    let model = standin::ModelConfig { in_flight_max: Some(1), ..standin::ModelConfig::default() };
    let providers = vec![provider, Scripted::new(Script::default())];
    let mut config = super::kit::config_with(&providers, &model);
    config.providers.get_mut("b").expect("b").models.get_mut("m").expect("m").in_flight_max = None;
    let runtime = start(config).await;
    for call in 0..500 {
        let reply = runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), "a/m won", "call {call} spilled");
    }
}

#[tokio::test(start_paused = true)]
async fn any_length_of_time_can_be_asked_for() {
    let world = world(1, unhurried()).await;
    for deadline in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_nanos(1)] {
        let result = world.runtime.chat(ask("hello").deadline(deadline)).await;
        assert_eq!(result.is_ok(), deadline > S, "{result:?}");
        let router = world.runtime.router().expect("it runs");
        let request = Box::new(ask("hello").deadline(deadline));
        let result = standin::ractor::call!(router, standin::RouterMessage::Chat, request).expect("answered");
        assert_eq!(result.is_ok(), deadline > S, "{result:?}");
    }
    assert_eq!(world.runtime.drain(Duration::MAX).await, 0);
}

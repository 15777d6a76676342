//! The runtime in unusual places: other executors, stopped actors, configurations that are gone.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use standin::ractor::concurrency::oneshot;
use standin::runtime::StartError;
use standin::testing::{Crash, Script, Scripted, crash};
use standin::{Error, Event, RouteConfig, RouterMessage, Runtime};

use super::kit::{S, ask, config, events, settle, start, target, world};

/// Awaits something on this thread, with no executor around it.
fn await_here<T>(future: impl Future<Output = T>) -> T {
    struct Unparks(Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_call_and_a_drain_may_be_awaited_on_any_executor() {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let runtime = executor.block_on(start(config(&[Scripted::new(Script::default())])));
    let reply = await_here(runtime.chat(ask("hello"))).expect("an answer");
    assert!(!reply.text.is_empty());
    // While the router restarts, a caller waits a moment: on timers that are not here.
    assert!(crash(&runtime, Crash::RouterKilled));
    await_here(runtime.chat(ask("hello"))).expect("an answer");
    assert_eq!(await_here(runtime.drain(S)), 0);
    assert_eq!(await_here(runtime.chat(ask("hello"))).map(|_| ()), Err(Error::Draining));
}

#[test]
fn a_start_says_what_it_has_no_executor_or_no_timers_for() {
    let builder = || Runtime::builder().config(config(&[Scripted::new(Script::default())]));
    assert!(matches!(await_here(builder().start()), Err(StartError::NoExecutor)));
    let timeless = tokio::runtime::Builder::new_current_thread().build().expect("a thread");
    assert!(matches!(timeless.block_on(builder().start()), Err(StartError::NoTimers)));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_has_stopped_is_not_reconfigured_and_says_so() {
    let world = world(1, Script::default()).await;
    world.runtime.reconfigure(world.config.clone()).await.expect("it runs");
    world.runtime.drain(S).await;
    assert!(matches!(world.runtime.reconfigure(world.config.clone()).await, Err(StartError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_front_that_is_stopped_is_gone_for_a_moment_and_a_handle_finds_the_next() {
    let world = world(1, Script::default()).await;
    let front = world.runtime.front();
    for _ in 0..3 {
        let held = world.runtime.router().expect("it runs");
        held.stop_and_wait(None, Some(S)).await.expect("it stops");
        let living = tokio::time::timeout(10 * S, async {
            loop {
                match front.get() {
                    Some(living) if living.get_id() != held.get_id() => break living,
                    _ => settle().await,
                }
            }
        });
        assert_ne!(living.await.expect("another is started").get_id(), held.get_id());
        let (port, answer) = oneshot();
        front.send(RouterMessage::Chat(Box::new(ask("hello")), port.into())).expect("there is another");
        answer.await.expect("it is answered").expect("an answer");
    }
    world.runtime.drain(S).await;
    let (port, answer) = oneshot();
    assert_eq!(front.send(RouterMessage::Health(port.into())), Err(Error::Unavailable));
    assert!(answer.await.is_err(), "nobody waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_pin_whose_target_or_route_is_gone_is_lifted_and_told_of() {
    let world = world(2, Script::default()).await;
    let mut told = world.runtime.subscribe();
    world.runtime.pin("smart", Some(target("b/m"))).await.expect("a target of its");
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target, target("b/m"), "what is still right stays");

    let mut config = world.config.clone();
    config.routes.insert("smart".into(), RouteConfig::new(["a/m"]));
    world.runtime.reconfigure(config).await.expect("a good configuration");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target, target("a/m"));
    let lifted = Event::Unpinned { route: "smart".into(), target: target("b/m") };
    assert!(events(&mut told).contains(&lifted));
    // It does not come back with its target.
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    assert_eq!(world.runtime.chat(ask("hello")).await.expect("an answer").finished.target, target("a/m"));
}

#[tokio::test(start_paused = true)]
async fn admitted_attempts_are_counted_across_crashes_of_the_provider() {
    let world = world(1, Script::default()).await;
    for round in 1..=4_u64 {
        for _ in 0..5 {
            world.runtime.chat(ask("hello")).await.expect("an answer");
        }
        assert!(crash(&world.runtime, Crash::ProviderKilled("a".into())));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.health("a/m").admitted, 5 * round);
    }
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    assert_eq!(world.health("a/m").admitted, 20);
}

//! If any actor dies in any way, answers that are paid for are delivered, no caller hangs, and statistics are kept.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use standin::health::{BreakerState, Disabled};
use standin::runtime::ProviderStatus;
use standin::testing::{
    Crash, Fault, Latency, Outcome, ProviderError, RetryHint, Script, Scripted, When, actor_counts, crash,
};
use standin::{AttemptEnd, CommitPolicy, Error, Event, FailureClass, ReplyEvent};
use tokio::time::{Instant, sleep};

use super::kit::{
    MS, S, World, all, ask, events, failed, is_resting, is_up, outcomes, path, read, settle, stream, target, unhurried,
    words, world, world_with,
};

/// The ways in which a provider's actor can die.
fn deaths(provider: &str) -> [Crash; 4] {
    let provider = provider.to_owned();
    [
        Crash::ProviderPanics(provider.clone()),
        Crash::ProviderErrs(provider.clone()),
        Crash::ProviderKilled(provider.clone()),
        Crash::ProviderAborted(provider),
    ]
}

/// Starts this many streams at once.
fn streams(world: &World, count: usize, text: &str) -> Vec<tokio::task::JoinHandle<super::kit::Seen>> {
    let start = |_| {
        let (runtime, request) = (world.runtime.clone(), ask(text));
        tokio::spawn(async move { stream(&runtime, request).await })
    };
    (0..count).map(start).collect()
}

/// Starts this many plain calls at once.
fn chats(world: &World, count: usize, text: &str) -> Vec<tokio::task::JoinHandle<Result<standin::Reply, Error>>> {
    let start = |_| {
        let (runtime, request) = (world.runtime.clone(), ask(text));
        tokio::spawn(async move { runtime.chat(request).await })
    };
    (0..count).map(start).collect()
}

#[tokio::test(start_paused = true)]
async fn fifty_streams_outlive_their_provider_whole_and_by_the_same_attempt_however_and_whenever_it_dies() {
    let text = words(100);
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        for death in deaths("a") {
            let world = world(2, unhurried()).await;
            let before = world.health("a/m").generation;
            let reading = streams(&world, 50, &text);
            let moment = Duration::from_millis(rng.random_range(1..2_000));
            sleep(moment).await;
            assert!(crash(&world.runtime, death.clone()));
            for seen in all(reading).await {
                assert_eq!(seen.shape(), "a/m#1 text finished", "{death:?} at {moment:?}");
                assert_eq!(seen.text(), text);
                assert_eq!(seen.finished().attempts.len(), 1);
            }
            assert_eq!(world.incarnations("a"), 2, "{death:?}");
            assert!(world.health("a/m").generation > before, "stragglers must be known as such");
            assert_eq!(world.providers[1].received(), 0, "{death:?} at {moment:?}");
            settle().await;
            world.assert_idle();
            world.runtime.chat(ask("again")).await.expect("it serves again");
            assert_eq!(world.providers[0].received(), 51);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_crashes_six_times_in_ten_seconds_rests_for_a_minute_and_its_streams_go_on() {
    let text = words(1_000);
    let world = world(2, unhurried()).await;
    let mut told = world.runtime.subscribe();
    let reading = streams(&world, 50, &text);
    sleep(S).await;
    let first = Instant::now();
    for death in deaths("a").into_iter().cycle().take(6) {
        world.until("a", is_up).await;
        assert!(crash(&world.runtime, death));
        sleep(20 * MS).await;
    }
    assert!(first.elapsed() < 10 * S);
    let ProviderStatus::Resting(until) = world.status("a") else { panic!("it is {:?}", world.status("a")) };
    assert!(until - Instant::now().into_std() > 59 * S);
    let told_so_far = events(&mut told);
    let crashed = told_so_far.iter().filter(|event| matches!(event, Event::ProviderCrashed { .. })).count();
    assert_eq!(crashed, 6, "{told_so_far:?}");
    let rests = Event::ProviderResting { provider: "a".into(), wait: 60 * S };
    assert!(told_so_far.contains(&rests), "{told_so_far:?}");
    assert!(matches!(world.health("a/m").disabled, Some(Disabled::Down { .. })), "everybody can see that it is down");

    let reply = world.runtime.chat(ask("meanwhile")).await.expect("others serve");
    assert_eq!(path(&reply.finished.attempts), "b/m won");
    for seen in all(reading).await {
        assert_eq!(seen.shape(), "a/m#1 text finished");
        assert_eq!(seen.text(), text);
    }
    assert!(is_resting(world.status("a")));
    world.until("a", is_up).await;
    let rested = Instant::now() - first;
    assert!((60 * S..62 * S).contains(&rested), "{rested:?}");
    let started = Event::ProviderStarted { provider: "a".into(), incarnation: 7 };
    assert!(events(&mut told).contains(&started));
    let reply = world.runtime.chat(ask("back")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_without_content_all_move_when_their_provider_dies_with_its_supervisor() {
    for seed in 0..8 {
        let moment = Duration::from_millis(StdRng::seed_from_u64(seed).random_range(0..900));
        let world = world(2, Script { first_token: Latency::Fixed(S), ..Script::default() }).await;
        let asking = chats(&world, 100, "hello");
        sleep(moment).await;
        assert!(crash(&world.runtime, Crash::SupervisorKilled("a".into())));
        let mut attempts = 0;
        for reply in all(asking).await {
            let reply = reply.unwrap_or_else(|error| panic!("{error} at {moment:?}"));
            assert_eq!(reply.text, "hello");
            attempts += reply.finished.attempts.len();
        }
        assert!(attempts <= 200, "{attempts} attempts");
        settle().await;
        world.assert_idle();
        assert!(is_up(world.status("a")), "the supervisor was started again");
        let reply = world.runtime.chat(ask("again")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), "a/m won");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_start_in_the_very_moment_their_provider_dies_move_too() {
    for death in [Crash::SupervisorKilled("a".into())].into_iter().chain(deaths("a")) {
        let world = world(2, Script { first_token: Latency::Fixed(S), ..Script::default() }).await;
        // The crash is on its way, no actor has noticed it, and the calls are already accepted.
        for turn in 0..40 {
            let asking = chats(&world, 5, "hello");
            for _ in 0..turn {
                tokio::task::yield_now().await;
            }
            assert!(crash(&world.runtime, death.clone()) || turn > 0);
            for reply in all(asking).await {
                let reply = reply.unwrap_or_else(|error| panic!("{death:?}, turn {turn}: {error}"));
                assert!(reply.finished.attempts.len() <= 2);
            }
            sleep(61 * S).await;
        }
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_whose_connections_are_cut_before_any_content_all_move_within_the_budget() {
    let world = world(2, Script { first_token: Latency::Fixed(S), ..Script::default() }).await;
    world.providers[0].next(100, Fault::CutAfter(0));
    for reply in all(chats(&world, 100, "hello")).await {
        assert_eq!(path(&reply.expect("an answer").finished.attempts), "a/m cut, b/m won");
    }
    assert_eq!(world.providers[1].received(), 100);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_panics_fails_over_and_the_provider_is_not_blamed() {
    let world = world(2, unhurried()).await;
    let before = world.health("a/m");
    for _ in 0..3 {
        assert!(crash(&world.runtime, Crash::Attempts(1)));
        let reply = world.runtime.chat(ask("hello there")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), "a/m crashed, b/m won");
        assert_eq!(reply.text, "hello there");
        let ledger = world.runtime.attempts(reply.finished.call);
        assert_eq!(ledger, reply.finished.attempts, "the ledger says the same as the reply");
    }
    settle().await;
    let after = world.health("a/m");
    assert_eq!((after.failed, after.failure_rate, after.breaker), (0, before.failure_rate, BreakerState::Closed));
    assert_eq!(failed(&world.runtime, "a/m", FailureClass::Crashed), 3);
    assert_eq!(world.incarnations("a"), 1, "an attempt takes nobody along");
    assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft; 3], "its request is not left running");
    world.assert_idle();
    let reply = world.runtime.chat(ask("again")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_killed_at_any_time_fail_over_by_the_commit_rule() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = world(2, unhurried()).await;
        let text = words(50);
        let commits = [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered];
        let start = |commit| {
            let (runtime, mut request) = (world.runtime.clone(), ask(&text));
            request.commit = commit;
            tokio::spawn(async move { stream(&runtime, request).await })
        };
        let reading: Vec<_> = commits.into_iter().map(start).collect();
        let moment = Duration::from_millis(rng.random_range(1..1_180));
        sleep(moment).await;
        assert!(crash(&world.runtime, Crash::AttemptsKilled("a".into())));
        let seen = all(reading).await;
        let shapes: Vec<_> = seen.iter().map(super::kit::Seen::shape).collect();
        let whole = "b/m#2 text finished";
        if moment < 200 * MS {
            assert_eq!(shapes, [whole; 3], "{moment:?}");
        } else {
            let reset = format!("a/m#1 text reset(crashed) {whole}");
            assert_eq!(shapes, [reset.as_str(), "a/m#1 text interrupted", whole], "{moment:?}");
        }
        assert!(seen.iter().filter(|seen| seen.error.is_none()).all(|seen| seen.text() == text));
        assert_eq!(world.health("a/m").failed, 0);
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_tells_its_caller_at_once_and_stops_its_attempt() {
    let world = world(2, unhurried()).await;
    let router = world.runtime.router().expect("it runs");
    let begun = Instant::now();
    assert!(crash(&world.runtime, Crash::Calls(4)));

    let chat = world.runtime.chat(ask("by method")).await;
    assert_eq!(chat.expect_err("its call crashed"), Error::Crashed);
    let seen = stream(&world.runtime, ask("by method")).await;
    assert_eq!((seen.shape().as_str(), seen.error), ("crashed", Some(Error::Crashed)));
    let chat = standin::ractor::call!(router, standin::RouterMessage::Chat, Box::new(ask("by message")));
    assert_eq!(chat.expect("the port is answered").expect_err("its call crashed"), Error::Crashed);
    let seen = standin::ractor::call!(router, standin::RouterMessage::Stream, Box::new(ask("by message")));
    let seen = read(seen.expect("the port is answered").expect("the call ran")).await;
    assert_eq!(seen.error, Some(Error::Crashed));

    assert!(begun.elapsed() < 10 * MS, "{:?}", begun.elapsed());
    settle().await;
    world.assert_idle();
    let left = outcomes(&world.providers[0]);
    assert!(left.iter().all(|outcome| *outcome == Outcome::ClientLeft), "{left:?}");
    assert_eq!(failed(&world.runtime, "a/m", FailureClass::Crashed), 0, "the attempts did not crash");
    world.runtime.chat(ask("again")).await.expect("the next call is fine");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_killed_tell_their_callers_at_once_also_in_the_middle_of_a_stream() {
    for moment in [50 * MS, 200 * MS, 210 * MS, S, 2 * S] {
        let world = world(2, unhurried()).await;
        let reading = streams(&world, 10, &words(500));
        let asking = chats(&world, 10, &words(500));
        sleep(moment).await;
        assert!(crash(&world.runtime, Crash::CallsKilled));
        let killed = Instant::now();
        for seen in all(reading).await {
            assert_eq!(seen.error, Some(Error::Crashed), "{moment:?}: {}", seen.shape());
        }
        for reply in all(asking).await {
            assert_eq!(reply.expect_err("its call was killed"), Error::Crashed);
        }
        assert!(killed.elapsed() < 5 * MS, "told after {:?}", killed.elapsed());
        settle().await;
        world.assert_idle();
        let left = outcomes(&world.providers[0]);
        assert_eq!(left, [Outcome::ClientLeft; 20], "{moment:?}: nobody pays for answers that nobody reads");
        world.runtime.chat(ask("again")).await.expect("the next call is fine");
    }
}

#[tokio::test(start_paused = true)]
async fn no_method_notices_that_the_router_dies_under_load() {
    for how in [Crash::RouterPanics, Crash::RouterKilled] {
        for seed in 0..4 {
            let mut rng = StdRng::seed_from_u64(seed);
            let world = world(2, unhurried()).await;
            let mut told = world.runtime.subscribe();
            let mut asking = Vec::new();
            for call in 0..200 {
                if call % 50 == 25 {
                    crash(&world.runtime, how.clone());
                }
                asking.extend(chats(&world, 1, "hello"));
                if rng.random_bool(0.3) {
                    sleep(Duration::from_millis(rng.random_range(0..3))).await;
                }
            }
            for reply in all(asking).await {
                assert_eq!(reply.expect("no failure").text, "hello");
            }
            let restarts = events(&mut told);
            let restarts = restarts
                .iter()
                .filter(|event| matches!(event, Event::ActorRestarted { actor, .. } if actor == "router"));
            assert!(restarts.count() >= 1);
            settle().await;
            world.assert_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_message_is_answered_when_the_router_dies_under_load() {
    for how in [Crash::RouterPanics, Crash::RouterKilled] {
        let world = world(2, unhurried()).await;
        let router = world.runtime.router().expect("it runs");
        let mut asking = Vec::new();
        for call in 0..200 {
            if call % 50 == 25 {
                crash(&world.runtime, how.clone());
            }
            let router = router.clone();
            asking.push(tokio::spawn(async move {
                standin::ractor::call!(router, standin::RouterMessage::Chat, Box::new(ask("hello")))
            }));
            sleep(2 * MS).await;
        }
        let mut answered = 0;
        for result in all(asking).await {
            match result.expect("the port is answered") {
                Ok(reply) => answered += usize::from(reply.text == "hello"),
                Err(error) => assert_eq!(error, Error::Unavailable),
            }
        }
        assert!(answered >= 100, "only {answered} of 200");
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn the_front_is_started_again_and_methods_do_not_need_it() {
    let world = world(1, unhurried()).await;
    let old = world.runtime.router().expect("it runs");
    assert!(crash(&world.runtime, Crash::FrontKilled));
    world.runtime.chat(ask("by method")).await.expect("an answer");
    let new = world.runtime.router().expect("it runs again");
    assert_ne!(old.get_id(), new.get_id());
    let reply = standin::ractor::call!(new, standin::RouterMessage::Chat, Box::new(ask("by message")));
    assert_eq!(reply.expect("answered").expect("an answer").text, "by message");
}

#[tokio::test(start_paused = true)]
async fn the_calls_supervisor_takes_its_calls_along_with_an_answer_and_is_started_again() {
    let world = world(1, unhurried()).await;
    let asking = chats(&world, 10, &words(50));
    let reading = streams(&world, 10, &words(50));
    sleep(500 * MS).await;
    assert!(crash(&world.runtime, Crash::CallsSupervisorKilled));
    for reply in all(asking).await {
        assert_eq!(reply.expect_err("it is lost"), Error::Crashed);
    }
    for seen in all(reading).await {
        assert_eq!(seen.error, Some(Error::Crashed));
    }
    world.runtime.chat(ask("again")).await.expect("an answer");
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn verdicts_survive_any_number_of_restarts_and_statistics_only_one() {
    let keyed = Script { keys: vec!["good".into()], ..unhurried() };
    let world = world_with(4, keyed, |config| {
        for (name, keys) in
            [("a", ["bad", "good"]), ("b", ["good", "good-too"]), ("c", ["good", "x"]), ("d", ["good", "x"])]
        {
            let provider = config.providers.get_mut(name).expect("such a provider");
            *provider = keys.into_iter().fold(provider.clone(), standin::ProviderConfig::key);
        }
    })
    .await;
    // a: one key is refused. b: rate limited. c: open.
    world.runtime.chat(ask("a")).await.expect("by its other key");
    world.providers[1].next(2, Fault::RateLimited(RetryHint::Seconds(300 * S)));
    let headers = [("retry-after", "300")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    world.providers[2].next(1, Fault::Reply { status: 503, headers: headers.into_iter().collect(), body: "{}".into() });
    for id in ["b/m", "b/m", "c/m"] {
        let request = standin::ChatRequest { route: id.into(), ..ask("x") };
        let _ = world.runtime.chat(request.deadline(10 * S)).await;
    }
    // A checkpoint is taken every five seconds.
    sleep(5 * S).await;
    let verdicts = |world: &World| {
        let of = |id| world.health(id);
        (of("b/m").rate_limited_until, of("c/m").breaker, of("c/m").failed)
    };
    let before = verdicts(&world);
    assert!(before.0.is_some(), "b is rate limited");
    assert!(matches!(before.1, BreakerState::Open { .. }), "c is open, not {:?}", before.1);
    assert!(world.health("a/m").evidence > 0.5, "a has statistics");

    for restart in 1..=3 {
        let generations = ["a/m", "b/m", "c/m"].map(|id| world.health(id).generation);
        for provider in ["a", "b", "c"] {
            assert!(crash(&world.runtime, Crash::ProviderPanics(provider.into())));
        }
        sleep(50 * MS).await;
        for (id, before) in ["a/m", "b/m", "c/m"].into_iter().zip(generations) {
            assert!(world.health(id).generation > before, "{id}");
        }
        assert_eq!(verdicts(&world), before, "after restart {restart}");
        let evidence = world.health("a/m").evidence;
        assert_eq!(evidence > 0.5, restart < 2, "{evidence} after restart {restart}");
    }
    let mut asked = world.providers[0].received();
    world.runtime.chat(ask("a")).await.expect("by its other key");
    assert_eq!(world.providers[0].received(), asked + 1, "the refused key is not tried again");
    asked = world.providers[1].received();
    let mut request = ask("b");
    request.route = "b/m".into();
    let error = world.runtime.chat(request).await.expect_err("it is still rate limited");
    assert!(matches!(error, Error::Exhausted { retry_after: Some(wait), .. } if wait > 200 * S), "{error:?}");
    assert_eq!(world.providers[1].received(), asked);
}

#[tokio::test(start_paused = true)]
async fn restarts_wait_longer_each_time_and_a_start_that_fails_is_a_crash() {
    let world = world(1, unhurried()).await;
    let mut told = world.runtime.subscribe();
    crash(&world.runtime, Crash::ProviderStarts(4));
    assert!(crash(&world.runtime, Crash::ProviderKilled("a".into())));
    world.until("a", is_up).await;
    sleep(200 * MS).await;
    let waits: Vec<Duration> = events(&mut told)
        .into_iter()
        .filter_map(|event| match event {
            Event::ProviderCrashed { restart_in, .. } => Some(restart_in),
            _ => None,
        })
        .collect();
    assert_eq!(waits.len(), 5, "{waits:?}");
    assert_eq!(waits[0], Duration::ZERO, "the first restart is at once");
    for (wait, most) in waits[1..].iter().zip([10 * MS, 20 * MS, 40 * MS, 80 * MS]) {
        assert!((most / 2..=most).contains(wait), "{waits:?}");
    }
    assert_eq!(world.incarnations("a"), 2, "a start that fails is no incarnation");
    world.runtime.chat(ask("again")).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_starts_rests_and_health_shows_it() {
    let world = world(2, unhurried()).await;
    crash(&world.runtime, Crash::ProviderStarts(6));
    crash(&world.runtime, Crash::ProviderKilled("a".into()));
    world.until("a", is_resting).await;
    let reply = world.runtime.chat(ask("meanwhile")).await.expect("others serve");
    assert_eq!(path(&reply.finished.attempts), "b/m won");
    world.until("a", is_up).await;
    assert_eq!(world.incarnations("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_only_provider_to_restart_and_succeeds() {
    for failing_starts in 0..4 {
        let world = world(1, unhurried()).await;
        crash(&world.runtime, Crash::ProviderStarts(failing_starts));
        assert!(crash(&world.runtime, Crash::ProviderPanics("a".into())));
        let begun = Instant::now();
        let reply = world.runtime.chat(ask("hello")).await.expect("it waits");
        assert_eq!(path(&reply.finished.attempts), "a/m won");
        assert!(begun.elapsed() < 400 * MS, "{:?} with {failing_starts} failing starts", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn health_can_be_read_at_any_moment_of_a_crash() {
    let world = world(1, unhurried()).await;
    world.runtime.chat(ask("hello")).await.expect("an answer");
    // A checkpoint is taken every five seconds.
    sleep(6 * S).await;
    let admitted = world.health("a/m").admitted;
    for death in deaths("a") {
        crash(&world.runtime, Crash::ProviderStarts(1));
        assert!(crash(&world.runtime, death));
        for _ in 0..200 {
            let health = world.runtime.health();
            let known = health.target(&target("a/m")).expect("the target is there");
            assert_eq!(known.admitted, admitted, "the last numbers stand");
            tokio::task::yield_now().await;
            if world.incarnations("a") % 2 == 0 {
                sleep(MS).await;
            }
        }
        sleep(20 * S).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_killed_again_and_again_rests_and_says_so() {
    let world = world(2, unhurried()).await;
    let mut told = world.runtime.subscribe();
    for _ in 0..6 {
        world.until("a", is_up).await;
        sleep(100 * MS).await;
        assert!(crash(&world.runtime, Crash::SupervisorKilled("a".into())));
        sleep(MS).await;
    }
    assert!(is_resting(world.status("a")), "it is {:?}", world.status("a"));
    let resting = |event: &Event| matches!(event, Event::ProviderResting { provider, .. } if &**provider == "a");
    assert!(events(&mut told).iter().any(resting), "it is said");
    let reply = world.runtime.chat(ask("meanwhile")).await.expect("others serve");
    assert_eq!(path(&reply.finished.attempts), "b/m won");
    world.until("a", is_up).await;
    let reply = world.runtime.chat(ask("back")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_crashes_leaves_no_caller_without_an_answer_and_nothing_behind() {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let script = Script {
            first_token: Latency::LogNormal { median: 200 * MS, sigma: 0.8 },
            per_token: 10 * MS,
            seed,
            ..Script::default()
        };
        let world = world(3, script).await;
        for provider in &world.providers {
            provider.inject(Fault::CutAfter(7), When::ALWAYS.chance(0.05));
            provider.inject(Fault::Error(ProviderError::Server), When::ALWAYS.chance(0.05));
        }
        let baseline = actor_counts(&world.runtime);
        let mut asking = Vec::new();
        let mut reading = Vec::new();
        for _ in 0..400 {
            match rng.random_range(0..3) {
                0 => asking.extend(chats(&world, 1, &words(rng.random_range(1..40)))),
                1 => reading.extend(streams(&world, 1, &words(rng.random_range(1..40)))),
                // A caller that leaves.
                _ => {
                    let runtime = world.runtime.clone();
                    let patience = Duration::from_millis(rng.random_range(0..600));
                    drop(tokio::spawn(async move {
                        let _ = tokio::time::timeout(patience, runtime.chat(ask("never mind"))).await;
                    }));
                }
            }
            if rng.random_bool(0.15) {
                let victim = ["a", "b", "c"][rng.random_range(0..3)];
                let [panics, errs, killed, aborted] = deaths(victim);
                let how = match rng.random_range(0..12) {
                    0 => panics,
                    1 => errs,
                    2 => killed,
                    3 => aborted,
                    4 => Crash::SupervisorKilled(victim.into()),
                    5 => Crash::ProviderStarts(1),
                    6 => Crash::Attempts(2),
                    7 => Crash::AttemptsKilled(victim.into()),
                    8 => Crash::Calls(1),
                    9 => Crash::CallsKilled,
                    10 => Crash::RouterPanics,
                    _ => Crash::RouterKilled,
                };
                crash(&world.runtime, how);
            }
            sleep(Duration::from_millis(rng.random_range(0..200))).await;
        }
        for reply in all(asking).await {
            if let Err(error) = reply {
                assert!(matches!(error.name(), "crashed" | "exhausted" | "unavailable"), "seed {seed}: {error:?}");
            }
        }
        for seen in all(reading).await {
            match &seen.error {
                None => assert!(matches!(seen.events.last(), Some(ReplyEvent::Finished(_))), "{}", seen.shape()),
                Some(error) => {
                    let known = matches!(error.name(), "crashed" | "exhausted" | "unavailable" | "interrupted");
                    assert!(known, "seed {seed}: {error:?}");
                }
            }
        }
        sleep(200 * S).await;
        world.assert_idle();
        assert_eq!(actor_counts(&world.runtime), baseline, "seed {seed}");
        let ledger = world.runtime.totals();
        for (target, totals) in ledger {
            let ended = totals.won + totals.failed.values().sum::<u64>();
            assert_eq!(totals.attempts, ended, "{target}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_ledger_knows_of_an_attempt_that_was_killed_with_its_supervisor() {
    let world = world_with(1, unhurried(), |config| config.failover.attempts_max = Some(1)).await;
    let asking = chats(&world, 3, &words(100));
    sleep(S).await;
    assert!(crash(&world.runtime, Crash::SupervisorKilled("a".into())));
    for reply in all(asking).await {
        let error = reply.expect_err("there is nobody else");
        let attempts = error.attempts();
        assert_eq!(path(attempts), "a/m crashed");
        let AttemptEnd::Failed(failure) = &attempts[0].end else { panic!("it did not win") };
        assert_eq!(failure.class, FailureClass::Crashed);
        assert_eq!(attempts[0].first_token, Some(200 * MS));
        assert!(attempts[0].usage.output > 0, "what was delivered is accounted: {attempts:?}");
    }
    assert_eq!(failed(&world.runtime, "a/m", FailureClass::Crashed), 3);
}

#[tokio::test]
async fn a_restarted_provider_begins_with_fresh_connections() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut buffer = [0; 4_096];
                while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                    request.extend_from_slice(&buffer[..read]);
                    if !request.ends_with(b"}") {
                        continue;
                    }
                    request.clear();
                    let body = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
                }
            });
        }
    });
    let provider = standin::ProviderConfig::new(format!("http://{address}/v1")).model("m");
    let runtime = standin::Runtime::builder().provider("a", provider).start().await.expect("starts");
    let call = || {
        let mut request = ask("hello");
        request.route = "a/m".into();
        runtime.chat(request)
    };
    let count = || connections.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(call().await.expect("an answer").text, "hi");
    }
    assert_eq!(count(), 1, "connections are kept");
    crash(&runtime, Crash::ProviderPanics("a".into()));
    while runtime.health().providers[0].incarnations < 2 {
        tokio::task::yield_now().await;
    }
    call().await.expect("an answer");
    assert_eq!(count(), 2, "the restarted provider made its own");
}

#[tokio::test(start_paused = true)]
async fn the_place_in_flight_of_an_attempt_is_free_again_after_every_kind_of_crash() {
    let kinds = deaths("a").into_iter().chain([
        Crash::SupervisorKilled("a".into()),
        Crash::AttemptsKilled("a".into()),
        Crash::Attempts(1),
        Crash::Calls(1),
        Crash::CallsKilled,
        Crash::RouterPanics,
        Crash::RouterKilled,
    ]);
    for kind in kinds {
        let provider = Scripted::new(unhurried());
        let model = standin::ModelConfig { in_flight_max: Some(1), ..standin::ModelConfig::default() };
        let config = super::kit::config_with(std::slice::from_ref(&provider), &model);
        let runtime = super::kit::start(config.clone()).await;
        let world = World { runtime, providers: vec![provider], config };
        for _ in 0..3 {
            let before = matches!(kind, Crash::Attempts(_) | Crash::Calls(_));
            if before {
                crash(&world.runtime, kind.clone());
            }
            let asking = chats(&world, 1, "hello there you");
            sleep(210 * MS).await;
            if !before {
                crash(&world.runtime, kind.clone());
            }
            for reply in all(asking).await {
                drop(reply);
            }
            sleep(30 * S).await;
            world.assert_idle();
            assert_eq!(world.runtime.chat(ask("next")).await.expect("a place is free").text, "next", "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_comes_while_the_provider_is_down_is_not_lost() {
    for (fault, out) in [
        (Fault::RateLimited(RetryHint::Seconds(300 * S)), "rate_limited"),
        (Fault::Error(ProviderError::Unauthorised), "unauthorised"),
        (Fault::Error(ProviderError::ModelGone), "model_gone"),
    ] {
        for failing_starts in [0, 2, 5] {
            let world = world(2, Script { head: 500 * MS, ..unhurried() }).await;
            world.providers[0].next(5, fault.clone());
            let asking = chats(&world, 5, "hello");
            sleep(495 * MS).await;
            crash(&world.runtime, Crash::ProviderStarts(failing_starts));
            crash(&world.runtime, Crash::ProviderKilled("a".into()));
            for reply in all(asking).await {
                reply.expect("an answer");
            }
            world.until("a", is_up).await;
            settle().await;
            let received = world.providers[0].received();
            assert_eq!(received, 5);
            let reply = world.runtime.chat(ask("later")).await.expect("an answer");
            assert_eq!(path(&reply.finished.attempts), "b/m won", "{out} after {failing_starts} failing starts");
            assert_eq!(world.providers[0].received(), received, "nobody asks before its time");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_that_crashes_again_and_again_does_not_rest_since_it_has_no_substitute() {
    let world = world(1, Script::default()).await;
    for _ in 0..30 {
        assert!(crash(&world.runtime, Crash::RouterPanics));
        let begun = Instant::now();
        world.runtime.chat(ask("hello")).await.expect("an answer");
        assert!(begun.elapsed() < 2 * S, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_crashes_every_attempt_hurts_no_other_call() {
    let world = world_with(3, unhurried(), |config| config.failover.attempts_max = Some(3)).await;
    crash(&world.runtime, Crash::Attempts(3));
    let error = world.runtime.chat(ask("poison")).await.expect_err("it crashes everywhere");
    assert_eq!(path(error.attempts()), "a/m crashed, b/m crashed, c/m crashed");
    for provider in ["a", "b", "c"] {
        assert_eq!(world.incarnations(provider), 1);
    }
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
}

//! Hedging: which attempt is joined, when, by which target, and how the slower one ends.

use standin::config::PriceConfig;
use standin::health::BreakerState;
use standin::runtime::CallStep;
use standin::testing::{Answer, Crash, Fault, Latency, Outcome, ProviderError, Script, crash};
use standin::{
    AttemptEnd, ChatRequest, CommitPolicy, Event, FailureClass, Hedging, ModelConfig, Priority, ReplyEvent, Tool,
};
use tokio::time::{Instant, sleep};

use super::kit::{
    MS, S, World, all, ask, events, failed, outcomes, path, read, settle, stream, target, unhurried, world, world_with,
};

/// To the first token 50 ms, then 10 ms a token.
fn brisk() -> Script {
    Script { first_token: Latency::Fixed(50 * MS), per_token: 10 * MS, ..Script::default() }
}

fn with(hedging: Hedging, text: &str) -> ChatRequest {
    ChatRequest { hedging: Some(hedging), ..ask(text) }
}

/// Lets the runtime measure each target.
async fn warm(world: &World) {
    for name in ["a/m", "b/m", "c/m"].iter().take(world.providers.len()) {
        // Enough that the 99th percentile is measured.
        for _ in 0..310 {
            world.runtime.chat(ChatRequest::new(*name).user("hello")).await.expect("it is well");
        }
    }
    settle().await;
}

fn price(dollars: f64) -> ModelConfig {
    ModelConfig { price: Some(PriceConfig::new(dollars, dollars)), ..ModelConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn when_a_breaker_opens_every_attempt_that_waits_there_is_joined_at_once_and_spread() {
    for streamed in [false, true] {
        let world = world(3, brisk()).await;
        let mut told = world.runtime.subscribe();
        let hang = world.providers[0].always(Fault::Hang);
        let waiting = (0..100).map(|_| {
            let runtime = world.runtime.clone();
            tokio::spawn(async move {
                let seen = if streamed {
                    stream(&runtime, ask("hello")).await.finished().clone()
                } else {
                    runtime.chat(ask("hello")).await.expect("an answer").finished
                };
                (seen, Instant::now())
            })
        });
        let waiting: Vec<_> = waiting.collect();
        sleep(S).await;
        world.providers[0].lift(hang);
        world.providers[0].always(Fault::Error(ProviderError::Server));
        for _ in 0..3 {
            assert_eq!(world.health("a/m").breaker, BreakerState::Closed);
            let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
            assert_eq!(path(&reply.finished.attempts), "a/m server, b/m won");
            sleep(300 * MS).await;
        }
        assert!(matches!(world.health("a/m").breaker, BreakerState::Open { .. }));
        let opened = Instant::now() - 300 * MS - 50 * MS;
        let mut by = [0, 0];
        for (finished, at) in all(waiting).await {
            // An answer takes 50 ms at the target that joins.
            assert!(at - opened < 60 * MS, "{:?} after the breaker", at - opened);
            let [lost, won] = &finished.attempts[..] else { panic!("{:?}", finished.attempts) };
            assert!(won.hedge && won.won() && !lost.hedge, "{:?}", finished.attempts);
            let AttemptEnd::Failed(failure) = &lost.end else { panic!("it did not win") };
            assert_eq!(failure.class, FailureClass::HedgeLost);
            by[usize::from(won.target == target("c/m"))] += 1;
            let why = world.runtime.why(finished.call).expect("it is recent").to_string();
            assert!(why.contains("beside attempt 1, whose target was given up:"), "{why}");
        }
        assert!(by.iter().all(|&count| count >= 30), "nobody is drowned: {by:?}");
        let joined = |event: &Event| matches!(event, Event::Hedged { why: "given_up", .. });
        assert_eq!(events(&mut told).iter().filter(|event| joined(event)).count(), 100);
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_sole_target_that_is_silent_is_asked_once_more_and_the_first_answer_counts() {
    for streamed in [false, true] {
        for configured in [false, true] {
            let world = world_with(1, brisk(), |config| {
                let model = config.providers["a"].models["m"].clone();
                let first_token = configured.then_some(3 * S);
                let model = ModelConfig { first_token, ..model };
                config.providers.get_mut("a").expect("there").models.insert("m".into(), model);
            })
            .await;
            let asks = async |text: &str| {
                if streamed {
                    stream(&world.runtime, ask(text)).await.finished().clone()
                } else {
                    world.runtime.chat(ask(text)).await.expect("an answer").finished
                }
            };
            if !configured {
                for _ in 0..310 {
                    asks("hello").await;
                }
            }
            settle().await;
            let mut told = world.runtime.subscribe();
            let from = Instant::now();
            world.providers[0].next(1, Fault::Hang);
            let finished = asks("hello").await;
            assert_eq!(path(&finished.attempts), "a/m hedge_lost, a/m won");
            let most = if configured { 4 * S } else { 2 * S };
            assert!(from.elapsed() < most, "{configured}: {:?}", from.elapsed());
            let why = world.runtime.why(finished.call).expect("it is recent").to_string();
            assert!(why.contains("beside attempt 1, which is overdue"), "{why}");
            let joined = |event: &Event| matches!(event, Event::Hedged { why: "overdue", .. });
            assert_eq!(events(&mut told).iter().filter(|event| joined(event)).count(), 1);
            settle().await;
            world.assert_idle();
        }
    }
    // Where nothing is measured it is a guess that a silence is too long: it is made later.
    let world = world(1, brisk()).await;
    world.providers[0].next(1, Fault::Hang);
    let from = Instant::now();
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m hedge_lost, a/m won");
    assert!(from.elapsed() >= 4 * S && from.elapsed() < 5 * S, "{:?}", from.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_brown_out_of_a_sole_target_costs_few_calls_and_an_outage_few_requests() {
    let world = world(1, brisk()).await;
    warm(&world).await;
    let asked = ask("hello").deadline(30 * S);
    // Three calls in ten hang, in no order.
    let mut answered = 0;
    for n in 0..60 {
        if n % 10 < 3 {
            world.providers[0].next(1, Fault::Hang);
        }
        answered += u32::from(world.runtime.chat(asked.clone()).await.is_ok());
    }
    assert!(answered >= 50, "{answered} of 60, and 42 of them were asked once");
    let before = world.providers[0].received();
    world.providers[0].always(Fault::Hang);
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let (runtime, asked) = (world.runtime.clone(), asked.clone());
            tokio::spawn(async move { runtime.chat(asked).await })
        })
        .collect();
    all(calls).await;
    let more = world.providers[0].received() - before;
    assert!(more <= 75, "{more} requests of 60 calls: where nothing is answered, few are sent twice");
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_with_content_when_a_breaker_opens_is_left_alone() {
    let world = world(2, unhurried()).await;
    let (runtime, text) = (world.runtime.clone(), super::kit::words(200));
    let reading = tokio::spawn(async move { stream(&runtime, ask(&text)).await });
    let (runtime, text) = (world.runtime.clone(), super::kit::words(200));
    let asking = tokio::spawn(async move { runtime.chat(ask(&text)).await });
    sleep(S).await;
    world.providers[0].always(Fault::Error(ProviderError::Server));
    for _ in 0..3 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
        sleep(300 * MS).await;
    }
    assert!(matches!(world.health("a/m").breaker, BreakerState::Open { .. }));
    assert_eq!(path(&reading.await.expect("it ends").finished().attempts), "a/m won");
    assert_eq!(path(&asking.await.expect("it ends").expect("an answer").finished.attempts), "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_taken_out_leaves_no_call_waiting_there() {
    let world = world(2, brisk()).await;
    let hang = world.providers[0].always(Fault::Hang);
    let runtime = world.runtime.clone();
    let waiting = tokio::spawn(async move { runtime.chat(ask("hello")).await });
    sleep(500 * MS).await;
    world.providers[0].lift(hang);
    world.providers[0].always(Fault::Error(ProviderError::ModelGone));
    let begun = Instant::now();
    world.runtime.chat(ask("hello")).await.expect("an answer");
    let reply = waiting.await.expect("it ends").expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m hedge_lost, b/m won");
    assert!(begun.elapsed() < 60 * MS, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn interactive_calls_are_hedged_once_they_are_slower_than_95_of_a_hundred_and_others_when_they_are_overdue() {
    for streamed in [false, true] {
        // Twice the 99th percentile of equal times is twice that time, and 250 ms at least.
        for (priority, took) in [
            (Priority::Critical, 150 * MS),
            (Priority::Interactive, 150 * MS),
            (Priority::Default, 300 * MS),
            (Priority::Batch, 300 * MS),
        ] {
            let world = world(2, brisk()).await;
            warm(&world).await;
            let mut told = world.runtime.subscribe();
            world.providers[0].next(1, Fault::SlowFirst { factor: 1.0, plus: 10 * S });
            let begun = Instant::now();
            let request = ask("hello").priority(priority);
            let finished = if streamed {
                let mut stream = world.runtime.stream(request).await.expect("it runs");
                while !matches!(stream.next().await, Some(Ok(ReplyEvent::Text(_)))) {}
                assert!((took..took + 15 * MS).contains(&begun.elapsed()), "{priority:?} {:?}", begun.elapsed());
                read(stream).await.finished().clone()
            } else {
                world.runtime.chat(request).await.expect("an answer").finished
            };
            assert_eq!(path(&finished.attempts), "a/m hedge_lost, b/m won", "{priority:?}");
            assert!((took..took + 15 * MS).contains(&begun.elapsed()), "{priority:?} {:?}", begun.elapsed());
            let why = if took < 200 * MS { "slow" } else { "overdue" };
            let flight = world.runtime.why(finished.call).expect("it is recent");
            let joined =
                |happened: &CallStep| matches!(happened, CallStep::Joined { attempt: 1, why: it } if it.name() == why);
            assert!(flight.steps.iter().any(|(_, happened)| joined(happened)), "{flight}");
            let hedged = Event::Hedged { call: finished.call, target: target("a/m"), by: target("b/m"), why };
            assert!(events(&mut told).contains(&hedged));
            settle().await;
            assert_eq!(failed(&world.runtime, "a/m", FailureClass::HedgeLost), 1);
            assert_eq!(world.health("a/m").failed, 0, "{priority:?}: to be slower than another is no failure");
            let left = outcomes(&world.providers[0]).last().copied();
            assert_eq!(left, Some(Outcome::ClientLeft), "its connection is closed");
            world.assert_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_waits_for_what_its_target_takes_now_and_not_for_what_it_took() {
    let world = world(2, brisk()).await;
    for _ in 0..19 {
        world.runtime.chat(ChatRequest::new("a/m").user("hello")).await.expect("it is well");
    }
    settle().await;
    world.providers[0].next(1, Fault::SlowFirst { factor: 1.0, plus: 10 * S });
    let begun = Instant::now();
    world.runtime.chat(ask("hello").priority(Priority::Interactive)).await.expect("an answer");
    assert!(begun.elapsed() > 190 * MS, "19 answers say nothing of the slowest in twenty: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_race_asks_two_at_once_and_takes_the_first() {
    for (slow, fast) in [(0, "b/m"), (1, "a/m")] {
        let world = world_with(2, brisk(), |config| {
            config.failover.hedging = Some(Hedging::Race);
            config.failover.hedge_share_max = 1.0;
        })
        .await;
        world.providers[slow].always(Fault::SlowFirst { factor: 1.0, plus: 40 * MS });
        for streamed in [false, true] {
            let begun = Instant::now();
            let finished = if streamed {
                stream(&world.runtime, ask("hello")).await.finished().clone()
            } else {
                world.runtime.chat(ask("hello")).await.expect("an answer").finished
            };
            assert_eq!(begun.elapsed(), 50 * MS);
            assert_eq!(finished.target, target(fast));
            assert_eq!(finished.attempts.len(), 2);
            assert!(finished.attempts.iter().all(|record| record.started_after.is_zero()));
        }
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_race_never_runs_a_tool_call_twice() {
    let tool = Tool::new("pay", "Pays.", serde_json::json!({ "type": "object", "properties": {} }));
    for commit in [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered] {
        for (text, ahead) in [("", 0), ("I pay.", 0), ("", 1), ("I pay.", 1)] {
            let world = world(2, brisk()).await;
            for (at, provider) in world.providers.iter().enumerate() {
                let answer = Answer::text(text).tool_call("pay", format!("{{\"by\":{at}}}"));
                provider.say(answer);
            }
            // Both come to their end within a millisecond.
            world.providers[1 - ahead].always(Fault::SlowFirst { factor: 1.0, plus: MS });
            let mut request = with(Hedging::Race, "pay").tool(tool.clone());
            request.commit = commit;
            let seen = stream(&world.runtime, request).await;
            let calls: Vec<_> = seen.events.iter().filter(|event| matches!(event, ReplyEvent::ToolCall(_))).collect();
            let [ReplyEvent::ToolCall(call)] = calls[..] else { panic!("{calls:?}") };
            assert_eq!(call.arguments.as_str(), format!("{{\"by\":{ahead}}}"), "{}", seen.shape());
            assert_eq!(seen.finished().attempts.len(), 2);
            assert!(!seen.shape().contains("reset"), "{}", seen.shape());
            settle().await;
            world.assert_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_in_the_ledger_with_what_its_provider_bills_and_that_is_waste() {
    let world = world_with(2, brisk(), |config| {
        for provider in config.providers.values_mut() {
            provider.models.insert("m".into(), price(1_000_000.0));
        }
    })
    .await;
    warm(&world).await;
    world.providers[0].next(1, Fault::SlowFirst { factor: 1.0, plus: 10 * S });
    let reply = world.runtime.chat(ask("one two three").priority(Priority::Interactive)).await.expect("an answer");
    let [lost, won] = &reply.finished.attempts[..] else { panic!("{:?}", reply.finished.attempts) };
    assert!(lost.estimated && lost.usage.input > 0 && lost.usage.output == 0, "{lost:?}");
    let cost = |record: &standin::AttemptRecord| record.cost_usd.expect("its price is known");
    assert!(cost(lost) > 0.0);
    assert_eq!(reply.finished.cost_usd, Some(cost(lost) + cost(won)));
    settle().await;
    let totals = world.runtime.totals();
    let wasted = totals.iter().find(|(id, _)| *id == target("a/m")).expect("it was asked").1.wasted_usd;
    assert!((wasted - cost(lost)).abs() < 1e-9, "{wasted}");
    assert_eq!(world.runtime.why(reply.finished.call).expect("it is recent").wasted_usd, cost(lost));
}

#[tokio::test(start_paused = true)]
async fn hedges_cost_no_more_than_their_share_of_what_all_else_does() {
    let world = world_with(2, brisk(), |config| {
        for provider in config.providers.values_mut() {
            provider.models.insert("m".into(), price(1.0));
        }
    })
    .await;
    for _ in 0..400 {
        world.runtime.chat(with(Hedging::Race, "hello")).await.expect("an answer");
    }
    settle().await;
    let (mut hedged, mut all) = ((0.0, 0.0), (0.0, 0.0));
    for flight in world.runtime.recent() {
        for record in world.runtime.attempts(flight.call) {
            let sum = if record.hedge { &mut hedged } else { &mut all };
            *sum = (sum.0 + 1.0, sum.1 + record.cost_usd.unwrap_or(0.0));
        }
    }
    assert!(hedged.0 <= 0.05 * all.0 + 1.0 && hedged.0 > 15.0, "{hedged:?} of {all:?}");
    assert!(hedged.1 <= 0.05 * all.1 * 1.1, "{hedged:?} of {all:?}");
}

#[tokio::test(start_paused = true)]
async fn near_the_limit_in_flight_no_target_is_asked_for_speed() {
    let world = world_with(2, brisk(), |config| {
        let model = ModelConfig { in_flight_max: Some(5), ..ModelConfig::default() };
        config.providers.get_mut("b").expect("it is there").models.insert("m".into(), model);
    })
    .await;
    warm(&world).await;
    let busy: Vec<_> = (0..5)
        .map(|_| {
            let runtime = world.runtime.clone();
            tokio::spawn(async move { runtime.chat(ChatRequest::new("b/m").user(super::kit::words(100))).await })
        })
        .collect();
    sleep(MS).await;
    world.providers[0].next(1, Fault::SlowFirst { factor: 1.0, plus: 150 * MS });
    let reply = world.runtime.chat(ask("hello").priority(Priority::Interactive)).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
    all(busy).await.into_iter().for_each(|reply| drop(reply.expect("an answer")));
}

#[tokio::test(start_paused = true)]
async fn labels_are_walls_for_a_second_target_too_and_so_is_the_highest_price() {
    let world = world_with(3, brisk(), |config| {
        for (name, dollars) in [("a", 0.0), ("b", 1.0), ("c", 0.0)] {
            let provider = config.providers.get_mut(name).expect("it is there");
            provider.models.insert("m".into(), price(dollars));
            provider.labels.extend((name != "b").then(|| "eu".to_owned()));
        }
        config.failover.hedge_share_max = 1.0;
    })
    .await;
    let mut request = with(Hedging::Race, "hello");
    request.labels = vec!["eu".into()];
    let reply = world.runtime.chat(request).await.expect("an answer");
    let asked: Vec<_> = reply.finished.attempts.iter().map(|record| record.target.to_string()).collect();
    assert_eq!(asked, ["a/m", "c/m"]);
    let mut config = world.config.clone();
    config.routes.get_mut("smart").expect("it is there").options.price_max = Some(1e-9);
    world.runtime.reconfigure(config).await.expect("it is right");
    let reply = world.runtime.chat(with(Hedging::Race, "hello")).await.expect("an answer");
    let asked: Vec<_> = reply.finished.attempts.iter().map(|record| record.target.to_string()).collect();
    assert_eq!(asked, ["a/m", "c/m"], "b is too dear");
}

#[tokio::test(start_paused = true)]
async fn two_attempts_in_flight_survive_the_death_of_any_actor() {
    for (how, expected) in [
        (Crash::AttemptsKilled("a".into()), "a/m crashed, b/m won"),
        (Crash::AttemptsKilled("b".into()), "a/m won, b/m crashed"),
        (Crash::SupervisorKilled("a".into()), "a/m crashed, b/m won"),
        (Crash::ProviderPanics("a".into()), "a/m won, b/m hedge_lost"),
        (Crash::ProviderPanics("b".into()), "a/m won, b/m hedge_lost"),
        (Crash::RouterPanics, "a/m won, b/m hedge_lost"),
    ] {
        for streamed in [false, true] {
            let world = world(2, unhurried()).await;
            world.providers[1].always(Fault::SlowFirst { factor: 1.0, plus: 50 * MS });
            let runtime = world.runtime.clone();
            let asking = tokio::spawn(async move {
                let request = with(Hedging::Race, "hello there");
                if streamed {
                    stream(&runtime, request).await.finished().clone()
                } else {
                    runtime.chat(request).await.expect("an answer").finished
                }
            });
            sleep(100 * MS).await;
            assert_eq!(world.in_flight(), 2);
            assert!(crash(&world.runtime, how.clone()));
            let finished = asking.await.expect("it ends");
            assert_eq!(path(&finished.attempts), expected, "{how:?}, streamed: {streamed}");
            settle().await;
            world.assert_idle();
        }
    }
    for moment in [100 * MS, 210 * MS] {
        let world = world(2, unhurried()).await;
        let runtime = world.runtime.clone();
        let asking = tokio::spawn(async move { runtime.chat(with(Hedging::Race, "hello there")).await });
        sleep(moment).await;
        assert!(crash(&world.runtime, Crash::CallsKilled));
        assert_eq!(asking.await.expect("it ends").expect_err("its call was killed"), standin::Error::Crashed);
        settle().await;
        world.assert_idle();
        for provider in &world.providers {
            assert_eq!(outcomes(provider), [Outcome::ClientLeft]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_stops_both_attempts() {
    let world = world(2, unhurried()).await;
    let asking = world.runtime.chat(with(Hedging::Race, "hello"));
    assert!(tokio::time::timeout(100 * MS, asking).await.is_err());
    settle().await;
    world.assert_idle();
    for provider in &world.providers {
        assert_eq!(outcomes(provider), [Outcome::ClientLeft]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_says_how_urgent_calls_are_and_one_that_panics_changes_nothing() {
    let config = super::kit::world(2, brisk()).await.config;
    let builder = standin::Runtime::builder().config(config).classify(|call| {
        assert!(call.tags.get("job").is_none_or(|job| job != "panic"), "asked for");
        assert_eq!((call.route, call.calls, call.calls_max), ("smart", 1, 10_000));
        assert_eq!(call.request.expect("a conversation").question(), "hello");
        if call.session == Some("desk") { Priority::Critical } else { call.priority }
    });
    let runtime = builder.start().await.expect("it starts");
    for (session, job, expected) in [
        (Some("desk"), "day", Priority::Critical),
        (None, "day", Priority::Batch),
        (Some("desk"), "panic", Priority::Batch),
    ] {
        let mut request = ask("hello").priority(Priority::Batch);
        request.session = session.map(str::to_owned);
        request.tags.insert("job".into(), job.into());
        let reply = runtime.chat(request).await.expect("an answer");
        assert_eq!(reply.finished.attempts[0].about.priority, expected, "{session:?} {job}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_may_have_its_target_asked_once_more_before_others() {
    let world = world_with(2, brisk(), |config| config.failover.same_target_retries = 1).await;
    world.providers[0].next(1, Fault::Error(ProviderError::Server));
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m server, a/m won");
    let hint = standin::testing::RetryHint::Millis(800 * MS);
    world.providers[0].next(1, Fault::RateLimited(hint));
    let begun = Instant::now();
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m rate_limited, a/m won");
    assert!((880 * MS..1_100 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    world.providers[0].always(Fault::Error(ProviderError::Server));
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m server, a/m server, b/m won");
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_leave_its_target_for_one_that_was_quicker_once() {
    let world = world_with(2, brisk(), |config| {
        config.routes.get_mut("smart").expect("it is there").options.strategy = standin::Strategy::Adaptive;
        config.failover.hedge_share_max = 1.0;
    })
    .await;
    let request = |hedging| with(hedging, "hello").session("s");
    let home = world.runtime.chat(request(Hedging::Sequential)).await.expect("an answer").finished.target;
    let at = usize::from(home == target("b/m"));
    world.providers[at].next(1, Fault::SlowFirst { factor: 1.0, plus: 40 * MS });
    let reply = world.runtime.chat(request(Hedging::Race)).await.expect("an answer");
    assert_ne!(reply.finished.target, home, "the other one is quicker");
    settle().await;
    for _ in 0..5 {
        let reply = world.runtime.chat(request(Hedging::Sequential)).await.expect("an answer");
        assert_eq!(reply.finished.target, home);
    }
}

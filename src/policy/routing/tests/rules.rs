//! The rules that hold beside the strategies, and those of the adaptive one.

use std::time::{Duration, Instant};

use super::kit::*;
use crate::policy::routing::*;
use crate::policy::snapshot::{BreakerState, Disabled, Gate, Health};
use crate::words::{Capabilities, FailureClass, ModelKind, Priority, Rates};

const EU: LabelSet = LabelSet(0b01);
const ZERO_RETENTION: LabelSet = LabelSet(0b10);

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

// Eligibility.

#[test]
fn labels_are_walls_under_every_strategy_and_in_last_resort() {
    for strategy in every_strategy() {
        for ill in [false, true] {
            let mut bench = Bench::tiers(3)
                .strategy(strategy)
                .with(1, |target| target.labels = EU | ZERO_RETENTION)
                .with(2, |target| target.labels = EU);
            bench.needs.labels = EU | ZERO_RETENTION;
            bench.sticky = Some(Sticky::new(2, bench.now));
            if ill {
                bench = bench.open_for(1, MINUTE);
            }
            let plan = bench.plan();
            assert_eq!(plan.picks.iter().map(|pick| pick.target).collect::<Vec<_>>(), [1], "{strategy:?}");
            assert_eq!(plan.last_resort, ill);
            let walls = [0, 2].map(|target| Skip { target, why: SkipReason::Label, until: None });
            assert_eq!(plan.skipped, walls, "{strategy:?}");
        }
    }
}

#[test]
fn a_pinned_call_does_not_cross_a_wall_either() {
    let mut bench = Bench::of(2).with(1, |target| target.labels = EU);
    bench.needs.labels = EU;
    bench.pinned = Some(0);
    let plan = bench.plan();
    assert!(plan.picks.is_empty() && !plan.last_resort);
    assert_eq!(
        plan.skipped.iter().map(|skip| skip.why).collect::<Vec<_>>(),
        [SkipReason::Label, SkipReason::NotPinned]
    );
}

#[test]
fn every_reason_to_skip_is_told() {
    type Setup = fn(&mut Bench, Instant);
    let later = 90 * SECOND;
    let cases: [(SkipReason, Option<Duration>, Setup); 15] = [
        (SkipReason::NotPinned, None, |bench, _| bench.pinned = Some(1)),
        (SkipReason::Label, None, |bench, _| {
            bench.needs.labels = EU;
            bench.targets[1].labels = EU;
        }),
        (SkipReason::Embeds, None, |bench, _| {
            bench.targets[0].capabilities.kind = ModelKind::Embedding;
        }),
        (SkipReason::Chats, None, |bench, _| {
            bench.needs.kind = ModelKind::Embedding;
            bench.targets[1].capabilities.kind = ModelKind::Embedding;
        }),
        (SkipReason::Tools, None, |bench, _| {
            bench.needs.tools = true;
            bench.targets[0].capabilities.tools = false;
        }),
        (SkipReason::Images, None, |bench, _| {
            bench.needs.images = true;
            bench.targets[0].capabilities.images = false;
        }),
        (SkipReason::Json, None, |bench, _| {
            bench.needs.json = true;
            bench.targets[0].capabilities.json = false;
        }),
        (SkipReason::JsonSchema, None, |bench, _| {
            bench.needs.json_schema = true;
            bench.targets[0].capabilities.json_schema = false;
        }),
        (SkipReason::ContextWindow, None, |bench, _| {
            bench.needs.output_tokens = Some(500);
            bench.targets[0].capabilities.context_tokens_max = Some(1_388);
        }),
        (SkipReason::Price, None, |bench, _| {
            bench.options.price_max = Some(0.003);
            bench.targets[0].price = price(2.0);
        }),
        (SkipReason::Gate(Gate::Disabled), Some(later), |bench, until| {
            let class = FailureClass::ModelGone;
            bench.targets[0].health.disabled = Some(Disabled::Verdict { class, until });
        }),
        (SkipReason::Gate(Gate::Disabled), None, |bench, _| {
            bench.targets[0].health.disabled = Some(Disabled::Operator { until: None });
        }),
        (SkipReason::Gate(Gate::RateLimited), Some(later), |bench, until| {
            bench.targets[0].health.rate_limited_until = Some(until);
        }),
        (SkipReason::Gate(Gate::Breaker), Some(later), |bench, until| {
            bench.targets[0].health.breaker = BreakerState::Open { until };
        }),
        (SkipReason::Gate(Gate::InFlight), None, |bench, _| bench.targets[0].health.in_flight = 100),
    ];
    for (why, until, setup) in cases {
        let mut bench = Bench::of(2);
        let until_when = bench.now + later;
        setup(&mut bench, until_when);
        let plan = bench.plan();
        let until = until.map(|until| bench.now + until);
        assert_eq!(plan.skipped, [Skip { target: 0, why, until }]);
        assert_eq!(plan.picks.len(), 1, "{why:?}");
        assert!(!why.text().is_empty());
    }
}

#[test]
fn unknown_limits_exclude_no_target_and_limits_are_inclusive() {
    let mut bench = Bench::of(2).with(0, |target| target.capabilities.context_tokens_max = Some(1_500)).prompt(1_125);
    bench.targets[1].capabilities = Capabilities::default();
    bench.needs = Needs { tools: true, images: true, json: true, json_schema: true, ..bench.needs };
    bench.needs.output_tokens = Some(500);
    assert_eq!(bench.plan().skipped, []);
    bench.needs.output_tokens = Some(501);
    assert_eq!(bench.plan().skipped[0].why, SkipReason::ContextWindow);
    bench.needs.output_tokens = None;
    let mut bench = bench.prompt(1_688);
    assert_eq!(bench.plan().skipped[0].why, SkipReason::ContextWindow, "no room for an answer");
}

#[test]
fn a_window_must_hold_what_its_own_target_counts_and_an_answer_no_longer_than_it_gives() {
    let mut bench = Bench::of(2).prompt(1_200);
    bench.targets.iter_mut().for_each(|target| target.capabilities.context_tokens_max = Some(1_100));
    assert_eq!(bench.plan().skipped, [], "the estimate may be an eighth too high");
    bench.targets[1].prompt_tokens = 1_300;
    let skip = Skip { target: 1, why: SkipReason::ContextWindow, until: None };
    assert_eq!(bench.plan().skipped, [skip]);
    bench.targets[1].prompt_tokens = 1_000;
    bench.needs.output_tokens = Some(50_000);
    bench.targets[1].capabilities.output_tokens_max = Some(200);
    assert_eq!(bench.plan().skipped.iter().map(|skip| skip.target).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_target_that_counts_more_tokens_is_dearer_and_slower() {
    let mut bench = Bench::of(2).with(1, |target| target.prompt_tokens = 2_000);
    let scores = bench.scores();
    assert!(scores[&1].dollars > scores[&0].dollars && scores[&1].seconds > scores[&0].seconds);
}

#[test]
fn an_inadmissible_target_says_the_latest_time_its_gates_name() {
    let mut bench = Bench::of(2).open_for(0, 20 * SECOND);
    bench.targets[0].health.rate_limited_until = Some(bench.now + 60 * SECOND);
    bench.targets[0].health.in_flight = 100;
    let until = Some(bench.now + 60 * SECOND);
    assert_eq!(bench.plan().skipped, [Skip { target: 0, why: SkipReason::Gate(Gate::RateLimited), until }]);
}

#[test]
fn a_deadline_that_has_passed_refuses_nothing() {
    let mut bench = Bench::of(2);
    bench.targets[0].health.rate_limited_until = Some(bench.now);
    bench.targets[0].health.disabled = Some(Disabled::Operator { until: Some(bench.now) });
    assert_eq!(bench.plan().skipped, []);
}

// Last resort.

#[test]
fn when_nothing_admits_open_targets_are_asked_as_a_last_resort_and_barred_ones_never() {
    for strategy in every_strategy() {
        let mut bench = Bench::tiers(4).strategy(strategy).open_for(0, MINUTE).open_for(1, MINUTE);
        bench.targets[2].health.rate_limited_until = Some(bench.now + 5 * SECOND);
        bench.targets[3].health.disabled = Some(Disabled::Operator { until: None });
        let plan = bench.plan();
        assert!(plan.last_resort);
        let picks: Vec<_> = plan.picks.iter().map(|pick| (pick.target, pick.why)).collect();
        assert_eq!(picks, [(0, PickReason::LastResort), (1, PickReason::LastResort)], "{strategy:?}");
        assert_eq!(plan.skipped.len(), 2);
    }
}

#[test]
fn when_even_the_last_resort_is_barred_the_plan_is_empty_and_says_when() {
    let mut bench = Bench::of(1);
    bench.targets[0].health.rate_limited_until = Some(bench.now + 5 * SECOND);
    let plan = bench.plan();
    assert!(plan.picks.is_empty() && !plan.last_resort);
    assert_eq!(plan.skipped[0].until, Some(bench.now + 5 * SECOND));
}

#[test]
fn in_last_resort_a_session_has_no_claim() {
    let mut bench = Bench::tiers(2).open_for(0, MINUTE).open_for(1, MINUTE);
    bench.sticky = Some(Sticky::new(1, bench.now));
    let plan = bench.plan();
    assert_eq!((plan.picks[0].target, plan.sticky), (0, None));
}

#[test]
fn a_route_without_targets_has_an_empty_plan() {
    for strategy in every_strategy() {
        let plan = Bench::of(0).strategy(strategy).plan();
        assert_eq!(plan, Plan { picks: vec![], skipped: vec![], last_resort: false, sticky: None });
    }
}

#[test]
fn a_forced_target_is_used_in_any_state_of_its_breaker() {
    let mut bench = Bench::of(1).open_for(0, MINUTE).with(0, |target| target.health.forced_on = true);
    let plan = bench.plan();
    assert!(!plan.last_resort);
    assert_eq!(plan.picks[0].why, PickReason::Draw);
}

// Probes.

#[test]
fn a_probe_comes_first_under_every_strategy_with_any_score_and_tier() {
    for strategy in every_strategy() {
        for half_open in [false, true] {
            let mut bench = Bench::tiers(3).strategy(strategy).probe_ready(2).with(2, |target| {
                target.price = price(50.0);
                target.health.failure_rate = 0.9;
                if half_open {
                    target.health.breaker = BreakerState::HalfOpen;
                }
            });
            let plan = bench.plan();
            let picks: Vec<_> = plan.picks.iter().map(|pick| pick.target).collect();
            assert_eq!(picks, [2, 0, 1], "{strategy:?}");
            assert_eq!(plan.picks[0].why, PickReason::Probe);
            assert!(matches!(plan.picks[1].why, PickReason::Draw | PickReason::Rule), "{strategy:?}");
        }
    }
}

#[test]
fn a_critical_call_probes_last_or_not_at_all() {
    let mut bench = Bench::tiers(3).probe_ready(0);
    bench.needs.priority = Priority::Critical;
    let plan = bench.plan();
    assert_eq!(plan.picks.iter().map(|pick| pick.target).collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!(plan.picks[2].why, PickReason::Recovering);
}

#[test]
fn a_call_without_the_time_for_it_probes_only_when_no_other_call_has_come() {
    let mut bench = Bench::of(2).with(0, |target| target.health.breaker = BreakerState::HalfOpen);
    let lately = bench.now;
    // The probe's first content, and an answer of the other one: a second or so, and three.
    for (millis, ago, probes) in [(2_000, 5, false), (3_000, 5, false), (6_000, 5, true), (2_000, 90, true)] {
        bench.now = lately + Duration::from_secs(ago);
        bench.targets[0].health.last_used = Some(lately);
        bench.needs.deadline = Some(bench.now + Duration::from_millis(millis));
        assert_eq!(bench.first() == 0, probes, "{millis} ms left, last used {ago} s ago");
        let plan = bench.plan();
        assert_eq!(plan.picks.len(), 2);
        assert_eq!(
            plan.picks[usize::from(!probes)].why,
            if probes { PickReason::Probe } else { PickReason::Recovering }
        );
    }
    // A cooldown that has just ended is no wait, however long it was.
    bench.targets[0].health.breaker = BreakerState::Open { until: bench.now };
    assert_eq!(bench.first(), 1);
}

#[test]
fn the_only_admissible_target_is_no_probe_and_no_last_resort() {
    let mut bench = Bench::of(2).probe_ready(0).open_for(1, MINUTE);
    let plan = bench.plan();
    assert_eq!(
        plan.picks.iter().map(|pick| (pick.target, pick.why)).collect::<Vec<_>>(),
        [(0, PickReason::Recovering)]
    );
    assert!(!plan.last_resort);
}

#[test]
fn a_call_probes_one_target_and_the_others_wait_behind_all_tiers() {
    let mut bench = Bench::tiers(4).probe_ready(1).probe_ready(0);
    assert_eq!(bench.order(), [0, 2, 3, 1]);
}

#[test]
fn hints_order_probes_and_no_other_targets() {
    use crate::words::Reported;
    let said = |bench: Bench, target, reported| bench.with(target, |it| it.health.hint = Some(reported));
    let bench = Bench::tiers(5).probe_ready(1).probe_ready(2).probe_ready(3).probe_ready(4);
    let bench = said(bench, 1, Reported::Down);
    let bench = said(bench, 2, Reported::Troubled);
    let bench = said(bench, 4, Reported::Well);
    assert_eq!(bench.strategy(Strategy::Priority).order(), [4, 0, 3, 2, 1]);
    let bench = said(said(Bench::of(3), 0, Reported::Down), 2, Reported::Well);
    assert_eq!(bench.strategy(Strategy::Priority).order(), [0, 1, 2]);
}

#[test]
fn a_taken_probe_slot_skips_the_target() {
    let mut bench = Bench::of(2).probe_ready(0).with(0, |target| target.health.probe_free = false);
    assert_eq!(bench.plan().skipped, [Skip { target: 0, why: SkipReason::Gate(Gate::Breaker), until: None }]);
}

#[test]
fn a_probe_rides_on_a_sessions_call_without_moving_the_session() {
    let mut bench = Bench::of(3).probe_ready(0);
    bench.sticky = Some(Sticky::new(2, bench.now));
    let plan = bench.plan();
    assert_eq!((plan.picks[0].target, plan.picks[0].why), (0, PickReason::Probe));
    assert_eq!((plan.picks[1].target, plan.picks[1].why), (2, PickReason::Sticky));
    assert_eq!(plan.sticky, bench.sticky);
}

// The way back.

#[test]
fn a_recovering_target_is_drawn_by_what_it_costs_and_says_so() {
    let mut bench = Bench::of(2).ramp(0, None);
    assert!(near(bench.score(0).share, 0.5));
    let plan = (0..50).map(|_| bench.plan()).find(|plan| plan.picks[0].target == 0).unwrap();
    assert_eq!(plan.picks[0].why, PickReason::Ramp);
    bench.targets[0].price = price(40.0);
    assert!(near(bench.score(0).share, 0.0));
}

#[test]
fn a_primary_that_recovers_is_first_at_once_under_every_strategy_that_has_one() {
    for strategy in [Strategy::Adaptive, Strategy::Priority] {
        assert!(Bench::tiers(2).strategy(strategy).ramp(0, None).firsts(50).iter().all(|first| *first == 0));
    }
}

#[test]
fn a_recovering_target_that_carries_all_it_may_is_left_to_others_and_asked_where_there_are_none() {
    let until = Instant::now() + MINUTE;
    let mut bench = Bench::tiers(2).ramp(0, Some(until));
    let plan = bench.plan();
    assert_eq!((plan.picks[0].target, plan.skipped[0].until), (1, Some(until)));
    bench.now = until;
    assert_eq!(bench.first(), 0);
    let plan = Bench::of(1).ramp(0, Some(Instant::now() + MINUTE)).plan();
    assert!(plan.last_resort && plan.picks[0].target == 0);
}

// The cost.

#[test]
fn the_cost_is_the_one_of_the_formula() {
    let mut bench = Bench::of(2)
        .with(0, |target| {
            target.health.failure_rate = 0.2;
            target.health.detect = 3 * SECOND;
        })
        .with(1, |target| target.price = price(2.0));
    bench.options.slo_ttft_p95 = Some(2 * SECOND);
    let scores = bench.scores();
    let (a, b) = (0.0026, 0.0052);
    let seconds = 1.05 + 8.0;
    let paid = 0.8 * a + 0.2 * (0.3 * a + b);
    let waited = 0.8 * seconds + 0.2 * (3.0 + seconds);
    let slo = 0.25 * a * (2.7 * 1.05 / 2.0 - 1.0);
    let score = scores[&0];
    assert!(near(score.j, paid + 0.002 * waited + slo), "{score:?}");
    assert!(near(score.dollars, a) && near(score.seconds, seconds) && near(score.failure_rate, 0.2));
    let healthy = 0.995 * a + 0.005 * (0.3 * a + b) + 0.002 * (0.995 * seconds + 0.005 * (3.0 + seconds)) + slo;
    assert!(near(score.j_healthy, healthy), "{score:?}");
}

#[test]
fn a_second_is_worth_more_where_a_person_waits() {
    let bench =
        || Bench::of(2).with(0, |fast| fast.price = price(5.0)).with(1, |slow| slow.health.tpot = latency(SECOND / 20));
    for (priority, expected) in
        [(Priority::Batch, 1), (Priority::Default, 0), (Priority::Interactive, 0), (Priority::Critical, 0)]
    {
        let mut bench = bench();
        bench.needs.priority = priority;
        assert!(bench.firsts(50).iter().all(|first| *first == expected), "{priority:?}");
    }
}

#[test]
fn long_prompts_stretch_the_time_to_the_first_token() {
    let mut bench = Bench::of(1).prompt(20_000);
    assert!(near(bench.score(0).seconds, 2.0 + 8.0));
}

#[test]
fn the_expected_length_is_the_routes_median_up_to_the_calls_limit() {
    let mut bench = Bench::of(1);
    let length = |bench: &mut Bench| ((bench.score(0).seconds - 1.05) / 0.02).round();
    assert_eq!(length(&mut bench), 400.0, "nothing known");
    for tokens in [10_000, 90, 100, 110, 120, 80, 130] {
        bench.state.answered(tokens);
    }
    assert_eq!(length(&mut bench), 400.0, "too few to tell");
    bench.state.answered(u64::MAX);
    assert_eq!(length(&mut bench), 120.0);
    bench.needs.output_tokens = Some(50);
    assert_eq!(length(&mut bench), 50.0);
    bench.needs.output_tokens = Some(5_000);
    assert_eq!(length(&mut bench), 120.0);
    for _ in 0..100 {
        bench.state.answered(700);
    }
    assert_eq!(length(&mut bench), 700.0, "old answers are forgotten");
}

#[test]
fn an_unknown_price_counts_as_the_dearest_known_and_is_marked() {
    let mut bench = Bench::of(3).with(0, |target| target.price = price(3.0)).with(1, |target| target.price = None);
    let scores = bench.scores();
    assert!(near(scores[&1].dollars, scores[&0].dollars));
    assert!(!scores[&1].price_known && scores[&0].price_known);
}

#[test]
fn the_dearest_price_is_the_routes_even_if_that_target_is_out() {
    let mut bench = Bench::of(2).with(0, |target| target.price = None).with(1, |target| target.price = price(3.0));
    bench = bench.open_for(1, MINUTE);
    assert!(near(bench.score(0).dollars, 3.0 * 0.0026));
}

#[test]
fn without_any_price_time_alone_decides_and_lateness_is_charged_in_time() {
    let mut bench = Bench::of(2).with(1, |slow| slow.health.tpot = latency(SECOND / 25));
    for target in &mut bench.targets {
        target.price = None;
    }
    assert!(near(bench.score(0).dollars, 0.0));
    assert!(bench.firsts(50).iter().all(|first| *first == 0));
    let before = bench.score(0).j;
    bench.options.slo_ttft_p95 = Some(SECOND);
    let charge = 0.25 * 0.002 * 9.05 * (2.7 * 1.05 - 1.0);
    assert!(near(bench.score(0).j - before, charge));
}

#[test]
fn answers_that_cost_nothing_at_all_are_drawn_evenly() {
    let mut bench = Bench::of(2);
    bench.options.second_value = SecondValue { batch: 0.0, default: 0.0, interactive: 0.0 };
    for target in &mut bench.targets {
        target.price = Some(Rates::new(0.0, 0.0));
    }
    let scores = bench.scores();
    assert!(near(scores[&0].share, 0.5) && near(scores[&1].share, 0.5));
}

#[test]
fn a_tail_over_the_slo_costs_traffic() {
    let share = |slo| {
        let mut bench = Bench::of(2).with(0, |tail| tail.health.ttft.p95 = 10 * SECOND);
        bench.options.slo_ttft_p95 = slo;
        bench.score(0).share
    };
    assert!(near(share(None), 0.5));
    assert!(near(share(Some(11 * SECOND)), 0.5), "within it, lateness is free");
    assert!(share(Some(5 * SECOND)) < 0.5);
    assert!(share(Some(4 * SECOND)) < share(Some(5 * SECOND)));
}

// The draw.

#[test]
fn the_draw_goes_by_the_eighth_power_among_those_within_a_fifth_of_the_best() {
    let mut bench =
        Bench::of(3).with(1, |near_best| near_best.price = price(2.0)).with(2, |too_dear| too_dear.price = price(3.0));
    let scores = bench.scores();
    let [best, second, third] = [0, 1, 2].map(|target| scores[&target]);
    assert!(second.j < 1.2 * best.j && third.j > 1.2 * best.j);
    assert!(near(second.share / best.share, (best.j / second.j).powi(8)));
    assert!(near(third.share, 0.0));
    assert!(near(best.share + second.share, 1.0));
    assert!((bench.frequency(0) - best.share).abs() < 0.03);
}

#[test]
fn weights_share_the_draw_among_equals_and_nought_is_for_failover_only() {
    let mut bench = Bench::of(3).with(0, |target| target.weight = 3.0).with(2, |spare| {
        spare.weight = 0.0;
        spare.price = price(0.1);
        spare.health.last_used = None;
    });
    let scores = bench.scores();
    assert!(near(scores[&0].share, 0.75) && near(scores[&1].share, 0.25) && near(scores[&2].share, 0.0));
    assert_eq!(bench.order().len(), 3);
    bench = bench.ramp(2, None);
    assert!(near(bench.score(2).share, 0.0), "nor while it recovers");
}

#[test]
fn those_that_lost_are_explored_for_three_percent_of_what_calls_cost() {
    let slow = latency(Duration::from_millis(80));
    let mut bench = Bench::of(4).with(1, |lost| lost.health.tpot = slow).with(2, |lost| lost.health.tpot = slow);
    bench.targets[3].price = price(30.0);
    assert!(near(bench.score(1).share, 0.0), "asked a moment ago");
    bench.now += 5 * SECOND;
    let scores = bench.scores();
    let cost = [1, 2].map(|lost| scores[&lost].share * (scores[&lost].j / scores[&0].j - 1.0));
    // They are worse than they would be in health only by their failures: no more than always.
    assert!(near(cost[0], 0.01) && near(cost[1], 0.01), "{scores:?}");
    assert!(near(scores[&3].share, 0.0), "what loses by its price alone can become no better");
    let plan = (0..4_000).map(|_| bench.plan()).find(|plan| plan.picks[0].target == 1).unwrap();
    assert_eq!(plan.picks[0].why, PickReason::Explore);
    bench.needs.priority = Priority::Critical;
    assert!(near(bench.score(1).share, 0.0), "critical calls explore nobody");
    bench.needs.priority = Priority::Default;
    bench.needs.deadline = Some(bench.now + 2 * SECOND);
    assert!(near(bench.score(1).share, 0.0), "nor do those that have no time for two");
}

#[test]
fn those_that_are_worse_than_they_usually_are_are_explored_for_one_percent() {
    let mut bench = Bench::of(2).with(1, |sick| sick.health.ttft = latency(20 * SECOND));
    bench.now += 5 * SECOND;
    let scores = bench.scores();
    assert!(near(scores[&1].share * (scores[&1].j / scores[&0].j - 1.0), 0.01), "{scores:?}");
}

#[test]
fn a_guess_is_never_compared_with_measurements() {
    let mut bench = Bench::of(2).with(1, |unknown| unknown.health.ttft = Latency::around(10 * SECOND));
    let scores = bench.scores();
    assert!(near(scores[&0].share, 0.5) && near(scores[&1].share, 0.5), "{scores:?}");
    bench.targets[1].health.ttft = Latency { samples: 4, ..latency(11 * SECOND) };
    assert!(near(bench.score(1).seconds, 1.05 * (0.5 * 11.0 + 0.5) + 8.0), "half known");
}

#[test]
fn flags_do_not_change_the_choice() {
    let mut bench = Bench::of(2).with(0, |flagged| (flagged.health.degraded, flagged.health.slow) = (true, true));
    assert!(near(bench.score(0).share, 0.5));
}

#[test]
fn a_probe_is_made_as_often_as_it_is_worth_what_it_costs() {
    let probes = |failure_rate: f64, detect: Duration| {
        let mut bench = Bench::of(2).probe_ready(0).with(0, |down| {
            (down.health.failure_rate, down.health.detect) = (failure_rate, detect);
        });
        bench.frequency(0)
    };
    assert!(probes(0.005, SECOND) == 1.0, "that costs nothing");
    let (quick, silent) = (probes(0.9, SECOND / 10), probes(0.9, 30 * SECOND));
    assert!(quick > 0.5 && (0.005..0.1).contains(&silent), "{quick} {silent}");
}

// Tiers.

#[test]
fn a_dear_primary_that_is_healthy_stays_primary() {
    let mut bench = Bench::tiers(2).with(0, |dear| {
        dear.price = price(100.0);
        dear.health.ttft = latency(10 * SECOND);
        dear.health.ttft_usual = latency(10 * SECOND);
        dear.health.failure_rate = 0.03;
        dear.health.failure_rate_prior = 0.03;
    });
    assert!(bench.firsts(100).iter().all(|first| *first == 0));
}

#[test]
fn a_tier_spills_when_it_costs_one_and_a_half_times_its_own_health() {
    let mut bench = Bench::tiers(3);
    let mut spilled_at = None;
    for step in 0..100 {
        bench.targets[0].health.failure_rate = 0.01 * f64::from(step);
        bench.targets[0].health.detect = 9 * SECOND;
        let scores = bench.scores();
        let spills = scores[&0].j > 1.5 * scores[&0].j_healthy;
        assert_eq!(bench.order(), if spills { [1, 2, 0] } else { [0, 1, 2] });
        spilled_at = spilled_at.or(spills.then_some(step));
    }
    assert!(spilled_at.is_some_and(|step| (30..70).contains(&step)), "{spilled_at:?}");
}

#[test]
fn a_tier_spills_for_latency_against_its_own_baseline_not_the_others() {
    let mut bench = Bench::tiers(2).with(0, |target| target.health.ttft = latency(8 * SECOND));
    assert_eq!(bench.first(), 1, "slower than itself");
    bench.targets[0].health.ttft_usual = latency(8 * SECOND);
    assert_eq!(bench.first(), 0, "always was that slow");
}

#[test]
fn when_every_tier_fails_their_order_holds() {
    let mut bench = Bench::tiers(3);
    for target in &mut bench.targets {
        target.health.failure_rate = 0.9;
    }
    assert_eq!(bench.order(), [0, 1, 2]);
}

#[test]
fn a_tier_spills_by_what_its_best_costs_and_what_its_best_would() {
    // The cheaper of two is twice as dear as in health, which is still as cheap as the other.
    let mut bench = Bench::of(3).with(2, |next| next.tier = 1).with(1, |dear| dear.price = price(20.0));
    bench.targets[0].health.ttft = latency(20 * SECOND);
    assert_eq!(bench.first(), 2);
    bench.targets[0].health.ttft_usual = latency(20 * SECOND);
    assert_eq!(bench.first(), 0);
}

// Fallbacks.

#[test]
fn fallbacks_prefer_another_domain_where_costs_are_comparable() {
    let mut bench =
        Bench::of(4).with(1, |target| target.price = price(1.3)).with(2, |target| target.price = price(1.4));
    bench.targets[0].domain = 9;
    bench.targets[1].domain = 9;
    bench.targets[3].price = price(9.0);
    bench.sticky = Some(Sticky::new(0, bench.now));
    assert_eq!(bench.order(), [0, 2, 1, 3], "comparable goes elsewhere, far dearer does not come first");
}

#[test]
fn fallbacks_prefer_the_same_model_elsewhere_to_another_model() {
    let mut bench = Bench::of(3).with(1, |other_model| other_model.model = 5).with(2, |t| t.price = price(1.5));
    bench.sticky = Some(Sticky::new(0, bench.now));
    assert_eq!(bench.order(), [0, 2, 1]);
}

#[test]
fn fallbacks_take_their_own_tier_before_the_next() {
    let mut bench = Bench::of(4)
        .with(0, |target| target.tier = 1)
        .with(1, |target| target.tier = 1)
        .with(3, |target| target.price = price(30.0));
    let order = bench.order();
    assert_eq!(order[..2], [2, 3]);
}

// Sessions.

#[test]
fn a_session_keeps_its_target_until_that_is_inadmissible() {
    for strategy in every_strategy().into_iter().filter(Strategy::spreads) {
        let mut bench = Bench::of(3).strategy(strategy).with(2, |own| own.health.in_flight = 3);
        bench.sticky = Some(Sticky::new(2, bench.now));
        for _ in 0..20 {
            let plan = bench.plan();
            assert_eq!((plan.picks[0].target, plan.picks[0].why), (2, PickReason::Sticky), "{strategy:?}");
            assert_eq!(plan.sticky, bench.sticky);
        }
        bench = bench.open_for(2, MINUTE);
        let plan = bench.plan();
        assert_ne!(plan.picks[0].target, 2, "{strategy:?}");
        assert_eq!(plan.sticky, None);
    }
}

#[test]
fn a_session_has_no_effect_where_switched_off_or_where_the_rule_has_one_choice() {
    let mut bench = Bench::of(2).with(1, |target| target.price = price(30.0));
    bench.sticky = Some(Sticky::new(1, bench.now));
    assert_eq!(bench.first(), 1);
    bench.options.sticky = false;
    assert_eq!(bench.first(), 0);
    for strategy in every_strategy().into_iter().filter(|strategy| !strategy.spreads()) {
        let mut bench = Bench::of(2).strategy(strategy).with(1, |target| target.price = price(2.0));
        bench.sticky = Some(Sticky::new(1, bench.now));
        assert_eq!(bench.first(), 0, "{strategy:?}");
    }
}

#[test]
fn a_sessions_prompt_is_cheap_at_its_own_target_only() {
    let mut bench = Bench::of(2).prompt(100_000);
    bench.sticky = Some(Sticky::new(1, bench.now));
    let scores = bench.scores();
    assert!(near(scores[&0].dollars, 0.1016));
    assert!(near(scores[&1].dollars, 0.0016 + 0.1 * 0.1 + 0.9 * 0.01));
}

#[test]
fn a_session_moves_when_two_plans_half_a_minute_after_its_last_move_find_better() {
    // Each step: seconds since the move, whether another is clearly better, whether the session stays.
    let scripts: [&[(u64, bool, bool)]; 5] = [
        &[(0, true, true), (10, true, true), (29, true, true), (30, true, true), (31, true, false)],
        &[(40, true, true), (41, false, true), (42, true, true), (43, true, false)],
        &[(40, false, true), (400, false, true), (4_000, false, true)],
        &[(29, true, true), (30, true, true), (31, false, true), (32, true, true), (33, false, true)],
        &[(60, true, true), (60, true, false)],
    ];
    for script in scripts {
        let mut bench = Bench::of(2);
        let start = bench.now;
        bench.sticky = Some(Sticky::new(1, start));
        for &(after, better, stays) in script {
            bench.now = start + Duration::from_secs(after);
            bench.targets[1].health.tpot = latency(if better { SECOND / 10 } else { SECOND / 50 });
            let plan = bench.plan();
            assert_eq!(plan.picks[0].target == 1, stays, "{script:?} at {after}");
            assert_eq!(plan.sticky.is_some(), stays);
            bench.sticky = plan.sticky;
        }
    }
}

#[test]
fn a_session_stays_for_less_than_a_fifth() {
    let mut bench = Bench::of(2);
    bench.sticky = Some(Sticky::new(1, bench.now));
    bench.now += 60 * SECOND;
    bench.targets[1].health.tpot = latency(Duration::from_millis(24));
    let scores = bench.scores();
    assert!(scores[&0].j > 0.8 * scores[&1].j && scores[&0].j < scores[&1].j);
    for _ in 0..10 {
        let plan = bench.plan();
        assert_eq!(plan.picks[0].target, 1);
        bench.sticky = plan.sticky;
    }
}

#[test]
fn a_session_that_fell_to_a_later_tier_goes_home_when_the_earlier_one_serves_again() {
    let mut bench = Bench::tiers(2).with(0, |primary| primary.price = price(20.0));
    bench.sticky = Some(Sticky::new(1, bench.now));
    assert_eq!(bench.first(), 1, "not at once");
    bench.now += MINUTE;
    let plan = bench.plan();
    assert_eq!(plan.picks[0].target, 1, "not at the first look");
    bench.sticky = plan.sticky;
    assert_eq!(bench.first(), 0);
}

#[test]
fn sessions_remember_their_target_and_when_it_changed() {
    let start = Instant::now();
    let mut sessions = Sessions::default();
    assert_eq!(sessions.count(), 0);
    assert_eq!(sessions.get("a", start), None);
    sessions.set("a", 3, start);
    sessions.set("b", 4, start);
    sessions.set("a", 3, start + SECOND);
    assert_eq!(sessions.get("a", start + SECOND), Some(Sticky::new(3, start)), "the same target is no move");
    sessions.set("a", 5, start + 2 * SECOND);
    assert_eq!(sessions.get("a", start + 2 * SECOND), Some(Sticky::new(5, start + 2 * SECOND)));
    let doubted = Sticky { doubted: true, ..Sticky::new(5, start) };
    sessions.keep("a", doubted, start + 3 * SECOND);
    assert_eq!(sessions.get("a", start + 3 * SECOND), Some(doubted));
    sessions.set("a", 5, start + 4 * SECOND);
    assert_eq!(sessions.get("a", start + 4 * SECOND), Some(doubted), "an answer does not lift the doubt");
    assert_eq!(sessions.count(), 2);
}

#[test]
fn a_session_is_forgotten_after_an_idle_hour() {
    let start = Instant::now();
    let mut sessions = Sessions::default();
    sessions.set("a", 1, start);
    assert!(sessions.get("a", start + 59 * MINUTE).is_some());
    sessions.set("a", 1, start + 59 * MINUTE);
    assert!(sessions.get("a", start + 118 * MINUTE).is_some());
    assert!(sessions.get("a", start + 119 * MINUTE).is_none());
    sessions.set("a", 1, start + 119 * MINUTE);
    assert_eq!(sessions.get("a", start + 119 * MINUTE), Some(Sticky::new(1, start + 119 * MINUTE)), "a new one");
}

#[test]
fn sessions_are_bounded_and_those_used_last_survive() {
    let start = Instant::now();
    let mut sessions = Sessions::default();
    for session in 0..45_000 {
        sessions.set(&session.to_string(), session, start);
        if session % 5_000 == 0 {
            sessions.set("busy", 1, start);
        }
    }
    assert!(sessions.count() <= 20_000);
    assert!(sessions.get("busy", start).is_some());
    assert!((35_000..45_000).all(|session| sessions.get(&session.to_string(), start).is_some()));
    assert!(sessions.get("20000", start).is_none());
}

// Explaining.

#[test]
fn to_explain_is_to_plan_on_a_clone_and_changes_nothing() {
    for strategy in every_strategy() {
        let mut bench = Bench::of(4).strategy(strategy).ramp(1, None).with(3, |target| target.price = price(1.4));
        for _ in 0..30 {
            let explained = bench.clone().plan();
            assert_eq!(bench.plan(), explained, "{strategy:?}");
        }
    }
}

#[test]
fn a_plan_without_a_choice_draws_nothing() {
    let mut bench = Bench::of(3);
    bench.sticky = Some(Sticky::new(1, bench.now));
    let before = bench.rng.clone();
    bench.plan();
    assert_eq!(bench.rng, before, "a session has its target");
    bench.sticky = None;
    bench.options.strategy = Strategy::Priority;
    bench.plan();
    assert_eq!(bench.rng, before, "a rule draws nothing");
}

#[test]
fn every_reason_to_pick_has_its_text() {
    let all = [
        PickReason::Probe,
        PickReason::Sticky,
        PickReason::Pinned,
        PickReason::Draw,
        PickReason::Ramp,
        PickReason::Explore,
        PickReason::Rule,
        PickReason::Fallback,
        PickReason::Recovering,
        PickReason::LastResort,
    ];
    let texts: std::collections::HashSet<_> = all.map(PickReason::text).into_iter().collect();
    assert_eq!(texts.len(), all.len());
}

#[test]
fn a_pinned_call_has_one_target() {
    for strategy in every_strategy() {
        let mut bench = Bench::tiers(3).strategy(strategy);
        bench.pinned = Some(2);
        let plan = bench.plan();
        assert_eq!(
            plan.picks.iter().map(|pick| (pick.target, pick.why)).collect::<Vec<_>>(),
            [(2, PickReason::Pinned)]
        );
        assert!(plan.skipped.iter().all(|skip| skip.why == SkipReason::NotPinned));
    }
}

#[test]
fn an_answer_that_would_come_whole_is_judged_by_whole_answers_once_there_are_some() {
    let mut bench = Bench::of(2).with(0, |target| target.whole = true).with(0, |target| {
        target.health.ttft = latency(90 * SECOND);
        target.health.reply = latency(3 * SECOND);
    });
    // The other one's: its first token and 400 more.
    assert!((bench.score(0).seconds / 3.15 - 1.0).abs() < 1e-9, "{:?}", bench.score(0));
    assert!((bench.score(1).seconds / (1.05 + 8.0) - 1.0).abs() < 1e-9, "{:?}", bench.score(1));
    let mut least = bench.clone().strategy(Strategy::LeastLatency { percentile: Percentile::P50 });
    assert_eq!(least.first(), 1, "a first token at the other one is sooner than a whole answer here");
    bench.targets[0].health.reply.samples = 7;
    assert!((bench.score(0).seconds / (94.5 + 8.0) - 1.0).abs() < 1e-9, "{:?}", bench.score(0));
}

#[test]
fn a_primary_whose_numbers_have_faded_is_taken_as_it_was_while_it_was_healthy() {
    let faded = |candidate: &mut Candidate| {
        candidate.health.ttft = Latency { samples: 0, ..Latency::around(Duration::from_secs(1)) };
        candidate.health.ttft_usual = latency(Duration::from_millis(100));
    };
    let mut bench = Bench::tiers(2).with(0, faded);
    assert_eq!(bench.frequency(0), 1.0, "it spilled on a guess");
    let mut bench =
        Bench::of(2).with(0, faded).with(1, |other| other.health.ttft = latency(Duration::from_millis(100)));
    let share = bench.frequency(0);
    assert!((0.3..0.7).contains(&share), "{share}");
}

#[test]
fn a_session_follows_its_target_to_its_new_place_and_is_forgotten_with_it() {
    let (mut sessions, now) = (Sessions::default(), Instant::now());
    sessions.set("kept", 3, now);
    sessions.set("gone", 4, now);
    sessions.reindex(|target| (target == 3).then_some(8));
    assert_eq!(sessions.get("kept", now), Some(Sticky::new(8, now)));
    assert_eq!((sessions.get("gone", now), sessions.count()), (None, 1));
}

#[test]
fn what_a_failure_costs_is_an_answer_of_the_other_target_that_costs_least_in_all() {
    let cost = |others: &[usize]| {
        let mut bench = Bench::of(3)
            .with(0, |failing| failing.health.failure_rate = 0.5)
            .with(1, |cheap| {
                cheap.price = price(0.1);
                cheap.health.tpot = latency(SECOND / 5);
            })
            .with(2, |quick| quick.price = price(3.0));
        bench.targets.retain(|candidate| candidate.target == 0 || others.contains(&candidate.target));
        bench.score(0).j
    };
    assert!(cost(&[1]) > cost(&[2]), "time is worth more than the difference");
    assert_eq!(cost(&[1, 2]), cost(&[2]));
}

#[test]
fn a_target_has_room_for_what_its_places_and_its_limits_allow_and_for_one_by_its_limits_in_any_case() {
    let base = health(Instant::now());
    for (in_flight, room, free) in
        [(30, None, 70), (30, Some(7), 7), (95, Some(7), 5), (30, Some(0), 1), (100, Some(0), 0), (120, None, 0)]
    {
        assert_eq!(Health { room, in_flight, ..base }.free(), free, "{in_flight} {room:?}");
    }
}

#[test]
fn how_a_whole_answer_usually_is_counts_for_what_its_target_costs_in_health() {
    let healthy = |usual: Duration| {
        let mut bench = Bench::of(2).with(0, |whole| {
            whole.whole = true;
            whole.health.reply_usual = latency(usual);
        });
        bench.score(0).j_healthy
    };
    assert!(healthy(50 * SECOND) > 5.0 * healthy(5 * SECOND));
}

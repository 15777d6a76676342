//! Calls that wait for a place at one target while others have failed them.

use super::*;

#[test]
fn a_call_that_waits_for_a_place_hears_when_a_target_that_failed_it_is_back() {
    // `server!` opens the breaker of its target.
    check("a-full b: server! turn:b@58s ok", "b q b =b");
    check("a-paced b: overloaded! turn:b@58s ok", "b q b =b");
    check("a-full b c: server! server! turn:c@58s ok", "b c q c =c");
    check("a-full b: server! free ok", "b q a =a");
    // The turn is free: it follows the pace of the breaker.
    check("a-full b broke: server! turn:b@58s ok", "b q b =b");
}

#[test]
fn a_call_that_waits_for_a_place_asks_what_has_failed_at_its_own_pace_as_long_as_it_waits() {
    check("a-full b: server server server server server free ok", "b ~ b ~ b ~ b ~ b q a =a");
    // Such tries take nothing from the target that lacks a place.
    check("a-full b max=2: server server server server free ok", "b ~ b ~ b ~ b q a =a");
    check("a-full b max=2: rate_limited+30s server free ok", "b ~ b q a =a");
    let mut bench = Bench::new("a-full b by=60s broke");
    let trace = bench.run("server");
    assert_eq!(trace, "b ~ ~ deadline", "it waits for the budget, and looks at no clock for it");
    assert_eq!(bench.now - bench.start, Duration::from_secs(60), "a budget that is empty ends no wait");
    // At the full target itself they count.
    check("a max=2: server refused refused refused free server", "a ~ a a a q a exhausted");
}

#[test]
fn a_call_that_waits_anyway_asks_as_soon_as_the_budget_allows_it() {
    let mut bench = Bench::new("a-full b broke");
    let next = |bench: &mut Bench| loop {
        match bench.machine.next(&bench.budget, bench.now) {
            Step::Plan => bench.plan(),
            step => return step,
        }
    };
    assert!(matches!(next(&mut bench), Step::Try(_)));
    bench.machine.admitted(bench.now);
    bench.machine.failed(1, &Failure::new(FailureClass::Server, ""), None, bench.now, &mut bench.rng);
    bench.now += Duration::from_secs(5);
    for _ in 0..3 {
        assert_eq!(next(&mut bench), Step::Queue(bench.machine.deadline));
        assert_eq!(bench.machine.unpaid(), Some(RetryKind::SameTarget));
    }
    (0..2).for_each(|_| bench.budget.call_started());
    let Step::Try(this) = next(&mut bench) else { panic!("{:?}", bench.machine) };
    assert_eq!((this.target, bench.machine.unpaid()), (1, None));
}

#[test]
fn a_call_that_waits_a_moment_for_a_target_that_is_down_pays_for_its_second_try_there() {
    check("a: server! turn:a ok", "a q a =a");
    check("a broke: server! turn:a", "a q exhausted");
}

#[test]
fn a_target_that_asked_for_a_wait_takes_its_turn_among_those_that_have_failed() {
    // Both are due, and the first one has failed twice.
    check("a b c max=6: unsent server server+1s 3s@declined ok", "a a! b c b =b");
    check("a b c max=6: unsent server server 3s@declined ok", "a a! b c b =b");
}

#[test]
fn a_second_answer_or_try_takes_no_attempt_from_a_target_that_was_not_asked() {
    check("a b c max=3: server empty empty ok", "a b b c =c");
    check("a b max=2: unusable unusable ok", "a a b =b");
    check("a max=1: empty", "a exhausted");
    check("a b c again=1 max=3: server server server", "a b c exhausted");
}

#[test]
fn a_parked_call_goes_on_with_the_targets_that_could_still_answer_it() {
    check("a b parks max=2: empty empty server ok", "a a b parked b =b");
    check("a b parks max=2: empty empty server empty", "a a b parked b exhausted");
}

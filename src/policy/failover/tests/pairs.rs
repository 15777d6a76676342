//! Two faults at once, each of which alone is fine.

use super::*;

/// Failures that pass.
const PASSING: [&str; 9] =
    ["unsent", "connect", "server", "overloaded", "rate_limited", "no_first_token", "stalled", "cut", "crashed"];

#[test]
fn beside_a_silent_target_one_that_failed_is_asked_again_however_often_it_has() {
    for class in PASSING {
        let again = if class == "unsent" { " b!" } else { "" };
        let first = if class == "unsent" { "5s@b.unsent b.unsent ".to_owned() } else { format!("5s@b.{class} ") };
        let failures = first + &format!("40s@b.{class} ").repeat(5);
        // What passes a limit that was only guessed is a last resort.
        let next = if class == "rate_limited" { " b?" } else { " b" };
        let expected = format!("a b{again}{} -a =b", next.repeat(6));
        check(&format!("a b: {failures}40s@b.ok"), &expected);
        // It takes nothing from a budget.
        check(&format!("a b broke: {failures}40s@b.ok"), &expected);
    }
    // Nor does it take the attempts of those that were not asked.
    let trace = Bench::new("a b c-60s").run(&("5s@b.server ".repeat(4) + "60s@c.ok"));
    assert!(trace.ends_with("=c") && trace.matches('b').count() > 4, "{trace}");
    // The silent one may still win, and what it is beside may be two.
    check("a b: 5s@b.server 1s@b.server 3s@a.ok", "a b b b -b =a");
    check("a b c: 9s@c.server 5s@c.ok", "a b c c -a -b =c");
    // The order of the two is no matter.
    check("b a: b.server 9s@b.ok", "b a b -a =b");
    check("b a: b.rate_limited 9s@b.ok", "b a b? -a =b");
    // Once it fails as well they are as any that have failed.
    check("a b: 5s@b.server 1s@b.server a.server 1s@ok", "a b b ~ a =a");
}

#[test]
fn what_is_proven_of_a_key_a_model_or_a_request_is_not_asked_again_beside_a_silence() {
    for class in [
        "unauthorised",
        "forbidden",
        "out_of_money",
        "model_gone",
        "wrong_address",
        "declined",
        "unsupported",
        "request_exceeds_limit",
    ] {
        check(&format!("a b: 5s@b.{class} 60s@a.ok"), "a b =a");
    }
    check("a b: 5s@b.bad_request", "a b -a rejected");
    check("a b max=1: 60s@a.ok", "a =a");
}

#[test]
fn beside_a_silence_nobody_is_asked_before_a_time_that_it_told_and_who_fails_is_asked_ever_more_seldom() {
    check("a b when: 5s@b.rate_limited+30s 40s@b.ok", "a@0 b@4000 b@35000 -a =b");
    check("a b when: 5s@b.server+30s 40s@b.ok", "a@0 b@4000 b@35000 -a =b");
    // What the target itself told meanwhile holds, too.
    check("a b when: 5s@b.server+30s 30s@nothing refused+60s 100s@b.ok", "a@0 b@4000 b@35000 b@95000 -a =b");
    for class in PASSING {
        let mut bench = Bench::new("a b");
        let script = format!("5s@b.{class} ").repeat(200);
        let trace = bench.run(&script);
        let asked = trace.matches('b').count();
        assert!(asked <= 60 && trace.ends_with("deadline"), "{class}: {asked}: {trace}");
    }
}

#[test]
fn limits_without_a_time_at_all_targets_are_asked_about_before_the_call_ends() {
    for (script, expected) in [
        ("a: rate_limited ok", "a ~ a? =a"),
        ("a b: rate_limited rate_limited ok", "a b ~ b? =b"),
        ("a#2: rate_limited rate_limited ok", "a a ~ a? =a"),
        ("a b: rate_limited server ok", "a b ~ a? =a"),
    ] {
        let mut bench = Bench::new(script.split_once(':').unwrap().0);
        assert_eq!(bench.run(script.split_once(':').unwrap().1), expected, "{script}");
        let waited = bench.now - bench.start;
        assert!((500..=550).contains(&waited.as_millis()), "{script}: {waited:?}");
    }
    // Who may not wait ends, and says when it is let in; who may be parked is.
    for setting in ["a wait=0s", "a by=2s"] {
        let trace = Bench::new(setting).run("rate_limited");
        assert!(trace.starts_with("a exhausted+5"), "{setting}: {trace}");
    }
    check("a parks: rate_limited ok", "a parked a =a");
    check("a less: rate_limited ok", "a ~ a? =a");
    // Of several keys one may be refused for good and the other be at a limit, in any order.
    check("a#2: rate_limited+1s unauthorised ok", "a a ~ a =a");
    check("a#2: unauthorised rate_limited+1s ok", "a a ~ a =a");
    check("a#2: rate_limited out_of_money ok", "a a ~ a? =a");
    check("a#2: rate_limited+40s unauthorised", "a a exhausted+40s");
}

#[test]
fn all_waits_of_a_call_together_are_bounded_as_one_is() {
    check("a: rate_limited+1s rate_limited+1s rate_limited+1s ok", "a ~ a ~ a exhausted+1s");
    check("a b: rate_limited+1s rate_limited+1s rate_limited+1s rate_limited+1s ok", "a b ~ a b ~ a =a");
    check("a wait=3s: rate_limited+1s rate_limited+1s rate_limited+1s ok", "a ~ a ~ a ~ a =a");
    check("a b again=9: rate_limited+1s rate_limited+1s ok", "a ~ a b =b");
    let waited = |setting: &str, script: &str| {
        let mut bench = Bench::new(setting);
        bench.run(script);
        bench.now - bench.start
    };
    let sums = [
        waited("a", &"rate_limited+500ms ".repeat(20)),
        waited("a", &"rate_limited ".repeat(20)),
        waited("a b", &"rate_limited+700ms ".repeat(20)),
        waited("a again=5", &"overloaded+300ms ".repeat(20)),
    ];
    assert!(sums.iter().all(|sum| sum.as_millis() <= 2_300), "{sums:?}");
    // For a place it waits as ever, and that is none of it.
    check("a-full: free rate_limited+1s ok", "q a ~ a =a");
}

#[test]
fn targets_that_fail_are_tried_once_more_in_turn() {
    for class in ["connect", "server", "overloaded", "cut", "crashed"] {
        let fails = |times: usize| format!("{class} ").repeat(times);
        check(&format!("a b max=4: {}ok", fails(3)), "a b ~ a ~ b =b");
        check(&format!("a b max=6: {}", fails(6)), "a b ~ a ~ b ~ a ~ b exhausted");
        check(&format!("a b c max=6: {}", fails(6)), "a b c ~ a ~ b ~ c exhausted");
    }
    check("a b max=5: server cut unauthorised cut ok", "a b ~ a b ~ b =b");
    check("a b max=2: server server", "a b exhausted");
}

#[test]
fn of_those_that_have_failed_as_often_the_one_is_tried_again_that_a_new_plan_has_first() {
    let mut bench = Bench::new("a b max=3");
    let mut asked = String::new();
    loop {
        match bench.machine.next(&bench.budget, bench.now) {
            Step::Plan => bench.plan(),
            Step::Try(this) => {
                asked.push(letter(this.target));
                bench.machine.admitted(bench.now);
                let failure = Failure::new(FailureClass::Server, "");
                bench.machine.failed(this.number, &failure, None, bench.now, &mut bench.rng);
                // Both have failed, and others have found out meanwhile that b is the better one.
                if asked.len() == 2 {
                    bench.targets.reverse();
                }
            }
            Step::Wait(at) => bench.now = at,
            _ => break,
        }
    }
    assert_eq!(asked, "abb");
}

#[test]
fn a_sole_targets_attempts_are_spread_over_the_time_of_its_caller() {
    let pauses = |setting: &str| {
        let trace = Bench::new(setting).run(&"cut ".repeat(12));
        trace.split(' ').filter_map(|word| word.strip_prefix('~')?.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    for (setting, expected) in [
        ("a show by=3s", vec![90..=500, 240..=1_000]),
        ("a show by=15s", vec![460..=940, 1_750..=3_700]),
        ("a show", vec![500..=1_000, 2_000..=4_000]),
        ("a show max=6", vec![290..=600, 1_100..=2_400, 4_000..=8_000, 4_000..=8_000, 4_000..=8_000]),
    ] {
        let pauses = pauses(setting);
        assert_eq!(pauses.len(), expected.len(), "{setting}: {pauses:?}");
        assert!(
            pauses.iter().zip(&expected).all(|(pause, expected)| expected.contains(pause)),
            "{setting}: {pauses:?}"
        );
    }
    // One that may be parked has nothing to spread.
    assert!(pauses("a show parks max=2").iter().all(|pause| *pause <= 500));
    // Where there are two, the last attempt is as late.
    let trace = Bench::new("a b show by=15s").run("cut cut nothing");
    let pause = trace.split(' ').find_map(|word| word.strip_prefix('~')?.parse::<u64>().ok());
    assert!(pause.is_some_and(|pause| (1_800..=3_750).contains(&pause)), "{trace}");
}

#[test]
fn an_answer_that_cannot_be_used_counts_for_its_target_alone() {
    // One that was of no use once and is silent then takes no second chance from the next target.
    check("a b: empty 5s@b.empty ok", "a a b b -a =b");
    check("a b: empty 5s@b.empty b.empty 9s@a.ok", "a a b b =a");
    check("a b c: empty empty empty", "a a b exhausted");
}

#[test]
fn a_second_try_that_is_silent_keeps_no_target_from_being_asked_that_comes_back() {
    check("a b-20s: server 1s@server 30s@b.ok", "a ~ a ~ a b -a =b");
}

#[test]
fn what_looks_at_a_target_that_failed_goes_by_the_targets_pace_and_counts_for_nothing() {
    let mut call = buffered(&["a", "b"]);
    call.tries();
    call.now += Duration::from_secs(5);
    let sent = call.now;
    call.tries();
    call.now += Duration::from_secs(1);
    call.fails(2, FailureClass::Server);
    let before = (call.machine.counted, call.budget.tokens());
    call.now += Duration::from_secs(1);
    assert_eq!(call.next(), Step::Plan, "whether it is the last resort");
    call.machine.planned([target("b").planned], [], true, call.now);
    let Step::Try(this) = call.next() else { panic!("{:?}", call.machine) };
    assert_eq!((this.target, this.last_resort), (1, true));
    let look = this.look.expect("it is a look");
    assert_eq!((look.since, look.beside, look.every), (Some(sent), 0, Duration::ZERO));
    call.machine.admitted(call.now);
    assert_eq!((call.machine.counted, call.budget.tokens()), before);
}

#[test]
fn a_pause_of_the_call_takes_nothing_of_its_waits_for_targets() {
    check("a max=6: cut cut rate_limited+1s ok", "a ~ a ~ a ~ a =a");
}

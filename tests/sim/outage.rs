//! An hour without provider A, and its return.

use std::time::Duration;

use standin::Event;
use standin::testing::{Fault, Latency, Schedule, Script};

use super::kit::*;

const DOWN: Duration = MINUTE.saturating_mul(5);
const UP: Duration = MINUTE.saturating_mul(65);

/// Ten calls a minute, and A refuses connections for an hour.
fn outage(seed: u64) -> Day {
    let work = Work { seed, every: 6 * SECOND, lasting: 70 * MINUTE, ..Work::default() };
    day(
        &work,
        |_, script| script,
        |world| {
            world.a().schedule(Schedule::new().during(DOWN, UP, Fault::Refuse));
            Box::pin(async {})
        },
    )
}

/// When A's breaker first opened.
fn left(day: &Day) -> Duration {
    let opens = |event: &Event| matches!(event, Event::Breaker { target, to: "open", .. } if *target.provider == *"a");
    day.events.iter().find(|(_, event)| opens(event)).expect("A is left").0
}

#[test]
fn an_hours_outage_is_noticed_by_no_caller_and_costs_three_attempts_and_probes() {
    let begun = std::time::Instant::now();
    let day = outage(1);
    let (real, a, left) = (begun.elapsed(), &day.world.providers[0], left(&day));
    let before = a.seen_in(DOWN, left + Duration::from_millis(1));
    let probes: Vec<_> = a.seen().iter().map(|seen| seen.at).filter(|&at| at > left && at < UP).collect();
    let good = a.seen().iter().map(|seen| seen.at).find(|&at| at >= UP).expect("A is asked again") - UP;
    println!(
        "outage hour: {} calls, {} attempts, {before} failed before A was left after {:?}, {} probes, good again after \
         {good:?}; real {real:?}",
        day.calls.len(),
        day.attempts(),
        left - DOWN,
        probes.len(),
    );
    assert!(day.failures().is_empty(), "{:?}", day.failures());
    assert!(day.calls.iter().all(|call| call.result.as_ref() == Ok(&text(12))), "somebody got half an answer");
    assert!(before <= 4);
    // A fifth of the time before, at most 30 s: two a minute, as far as six-second steps let them.
    assert!((90..=160).contains(&probes.len()), "{probes:?}");
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 4 * SECOND / 5), "{probes:?}");
    assert_eq!(day.attempts(), day.calls.len() + before + probes.len(), "somebody else was asked twice");
    assert!(good <= 40 * SECOND);
    assert_eq!(day.pestered(), 0);
}

#[test]
fn the_same_seed_gives_the_same_hour_to_the_last_attempt_and_another_seed_another() {
    let [first, again, other] = [7, 7, 8].map(|seed| outage(seed).trace());
    for (line, (first, again)) in first.lines().zip(again.lines()).enumerate() {
        assert_eq!(first, again, "line {line}");
    }
    assert!(first == again && first != other);
}

#[test]
fn a_provider_that_is_back_gets_half_of_its_share_within_20_s_of_its_first_good_answer() {
    let (down, up) = (2 * MINUTE, 8 * MINUTE);
    let (mut before, mut after) = ((0, 0), (0, 0));
    for seed in 1..=4 {
        let burst = Some((4, up, 12 * MINUTE));
        // Equal providers, so that each has a third.
        let first_tokens = [SECOND / 2; 3];
        let lasting = up + 210 * SECOND;
        let work = Work { seed, every: 2 * SECOND, lasting, burst, first_tokens, ..Work::default() };
        let equal = |_, script| Script { first_token: Latency::Fixed(SECOND / 2), ..script };
        let day = day(&work, equal, |world| {
            world.a().schedule(Schedule::new().during(down, up, Fault::Refuse));
            Box::pin(async {})
        });
        let a = &day.world.providers[0];
        let good = a.seen().iter().map(|seen| seen.at).find(|&at| at >= up).expect("A is asked again");
        assert!(good - up <= 40 * SECOND, "seed {seed}: {:?}", good - up);
        let count = |of: &mut (usize, usize), from: Duration, to: Duration| {
            of.0 += a.seen_in(from, to);
            of.1 += day.calls.iter().filter(|call| (from..to).contains(&call.at)).count();
        };
        count(&mut before, Duration::ZERO, down);
        count(&mut after, good + 20 * SECOND, good + 40 * SECOND);
        assert!(day.failures().is_empty(), "{:?}", day.failures());
    }
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let share = |(at_a, calls): (usize, usize)| at_a as f64 / calls as f64;
    println!(
        "share of A: {:.2} before, {:.2} from 20 to 40 s after its first good answer",
        share(before),
        share(after)
    );
    assert!(share(after) >= share(before) / 2.0);
}

/// How long after its recovery the primary has half of its old share, of twenty calls a second.
fn back_after(outage: Duration) -> Duration {
    const AROUND: Duration = Duration::from_secs(20);
    let up = MINUTE + outage;
    // Long outages are mostly waited for: only around their end there is much traffic.
    let (every, burst) =
        if outage > MINUTE { (SECOND, Some((20, up - AROUND, up + 2 * MINUTE))) } else { (SECOND / 20, None) };
    let first_tokens = [SECOND / 5, SECOND * 4 / 5, SECOND * 4 / 5];
    let work = Work { every, lasting: up + 64 * SECOND, burst, first_tokens, ..Work::default() };
    let day = day(
        &work,
        |_, script| script,
        |world| {
            world.a().schedule(Schedule::new().during(MINUTE, up, Fault::Refuse));
            Box::pin(async {})
        },
    );
    assert!(day.failures().is_empty(), "{:?}", day.failures());
    let share = |from: Duration, to: Duration| {
        let calls = day.calls.iter().filter(|call| (from..to).contains(&call.at)).count();
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let share = day.world.providers[0].seen_in(from, to) as f64 / calls.max(1) as f64;
        share
    };
    let before = share(MINUTE / 2, MINUTE);
    assert!(before > 0.8, "{before}");
    let steps = (0..124).map(|step| step * SECOND / 2);
    let back = steps.into_iter().find(|&step| share(up + step, up + step + 2 * SECOND) >= before / 2.0);
    back.expect("it comes back")
}

#[test]
fn half_of_the_old_share_is_back_within_6_s_after_a_short_outage_and_within_60_s_after_a_long_one() {
    for (outage, most) in [(2 * SECOND, 6), (12 * SECOND, 6), (MINUTE, 20), (15 * MINUTE, 60)] {
        let back = back_after(outage);
        println!("half of its share is back {back:?} after an outage of {outage:?}");
        assert!(back <= most * SECOND, "{back:?} after an outage of {outage:?}");
    }
}

#[test]
fn no_call_bears_more_than_the_usual_time_of_a_silent_target_that_it_probes() {
    let (down, up) = (2 * MINUTE, 12 * MINUTE);
    let work = Work { lasting: up, ..Work::default() };
    let fixed = |index: usize, script| Script { first_token: Latency::Fixed(SECOND * [4, 6, 6][index] / 10), ..script };
    let day = day(&work, fixed, |world| {
        world.a().schedule(Schedule::new().during(down, up, Fault::Hang));
        Box::pin(async {})
    });
    assert!(day.failures().is_empty(), "{:?}", day.failures());
    let left = left(&day);
    let later = day.calls.iter().filter(|call| call.at > left && call.at + 2 * SECOND < up);
    let probed: Vec<Duration> = later.filter(|call| call.attempts.len() > 1).map(|call| call.took).collect();
    let longest = probed.iter().max().expect("A is probed");
    println!("{} calls probed a silent target, and took {longest:?} at most", probed.len());
    // The usual time of A, a little for its histogram, and an answer of another one.
    assert!(*longest <= SECOND * 4 / 10 + SECOND / 20 + SECOND * 6 / 10 + SECOND * 12 / 50, "{probed:?}");
}

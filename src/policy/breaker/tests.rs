//! Every transition of the breaker, and everything that must not make one.
//!
//! `check(script, expected)` runs attempts and the clock against a breaker whose default is 2 probes. Words of a
//! script: `ok`, `fail`, `429`, `bad` (says nothing), `hold30` (overloaded, Retry-After 30 s) are whole attempts, after
//! their content where they begin with `c:`, as a last resort with `last:`; `take` starts an attempt and `held:<word>`
//! ends it; `+6s` waits; `7*ok` repeats. Expected are the states that were entered, `x` where an attempt was refused.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::words::FailureClass;

struct Bench {
    breaker: Breaker,
    now: Instant,
    rng: StdRng,
    serial: u64,
    held: Option<BreakerStamp>,
    trace: Vec<&'static str>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let breaker = Breaker::new(BreakerOptions::default(), now);
        Self { breaker, now, rng: StdRng::seed_from_u64(7), serial: 0, held: None, trace: Vec::new() }
    }

    /// Tells whether the gates would admit an attempt.
    fn passes(&self, last_resort: bool) -> bool {
        match self.breaker.state() {
            BreakerState::Closed | BreakerState::Ramp { .. } => true,
            BreakerState::Open { until } if until > self.now && !last_resort => false,
            _ => self.breaker.is_probe_free(self.now),
        }
    }

    fn note(&mut self, transition: Option<Transition>) {
        self.trace.extend(transition.map(|transition| transition.to.name()));
    }

    fn take(&mut self, last_resort: bool) -> Option<BreakerStamp> {
        if !self.passes(last_resort) {
            self.trace.push("x");
            return None;
        }
        self.serial += 1;
        let (pass, transition) = self.breaker.admit(self.serial, last_resort, self.now);
        self.note(transition);
        Some(pass)
    }

    fn report(&mut self, pass: BreakerStamp, evidence: Evidence, verdict: Verdict) {
        let transition = self.breaker.report(pass, evidence, Some(0.0), verdict, self.now, &mut self.rng);
        self.note(transition);
    }

    fn end(&mut self, pass: BreakerStamp, how: &str) {
        let (how, flowing) = how.strip_prefix("c:").map_or((how, false), |how| (how, true));
        if flowing || how == "ok" || how == "content" {
            self.report(pass, Evidence::SUCCESS, Verdict::Content);
        }
        let failure = if flowing { Evidence::relapse(1.0) } else { Evidence::failure(1.0) };
        match how {
            "content" => {}
            "ok" => self.report(pass, Evidence::NONE, Verdict::Success),
            "fail" => self.report(pass, failure, Verdict::Failure { hold: None }),
            "429" => self.report(pass, Evidence::NONE, Verdict::Failure { hold: None }),
            "bad" => self.report(pass, Evidence::NONE, Verdict::Ignored),
            "overdue" => self.report(pass, Evidence::failure(1.0), Verdict::Overdue),
            _ => {
                let seconds = how.strip_prefix("hold").expect("a word of the script").parse().unwrap();
                let hold = Some(Suspension::guessed(FailureClass::Overloaded, Duration::from_secs(seconds), self.now));
                self.report(pass, failure, Verdict::Failure { hold });
            }
        }
    }

    fn word(&mut self, word: &str) {
        if let Some((times, word)) = word.split_once('*') {
            (0..times.parse().unwrap()).for_each(|_| self.word(word));
        } else if let Some(wait) = word.strip_prefix('+') {
            self.now += humantime::parse_duration(wait).unwrap();
        } else if word == "take" || word == "last:take" {
            self.held = self.take(word != "take");
        } else if let Some(how) = word.strip_prefix("held:") {
            let pass = self.held.expect("something was taken");
            self.end(pass, how);
        } else {
            let (how, last_resort) = word.strip_prefix("last:").map_or((word, false), |how| (how, true));
            if let Some(pass) = self.take(last_resort) {
                self.end(pass, how);
            }
        }
    }

    fn run(script: &str) -> Self {
        let mut bench = Self::new();
        script.split_whitespace().for_each(|word| bench.word(word));
        bench
    }

    /// Cooldown of the state it is in.
    fn cooldown(&self) -> f64 {
        let BreakerState::Open { until } = self.breaker.state() else { panic!("not open: {:?}", self.breaker) };
        until.duration_since(self.now).as_secs_f64()
    }
}

fn check(script: &str, expected: &str) {
    assert_eq!(Bench::run(script).trace.join(" "), expected, "{script}");
}

#[test]
fn three_failures_in_a_row_open_and_two_do_not() {
    check("fail fail", "");
    check("fail fail fail", "open");
}

#[test]
fn a_failure_now_and_then_does_not_open() {
    check("10*ok fail 10*ok fail 10*ok fail 10*ok fail", "");
}

#[test]
fn a_failure_after_content_counts_like_any_other() {
    check("3*c:fail", "open");
}

#[test]
fn an_overdue_attempt_can_open_before_it_ends() {
    check("fail fail take held:overdue", "open");
}

#[test]
fn failures_that_fade_do_not_add_up() {
    check("fail fail +30m fail fail", "");
}

#[test]
fn failures_that_are_not_the_targets_fault_never_open() {
    check("9*429 9*bad", "");
}

#[test]
fn a_retry_after_opens_at_once_until_then() {
    assert_eq!(Bench::run("hold30").cooldown(), 30.0);
    check("hold30 +29s ok +1s ok", "open x half_open");
}

#[test]
fn a_retry_after_in_ramp_opens_until_then() {
    let bench = Bench::run("3*fail +5s 2*ok hold30");
    assert_eq!(bench.trace, ["open", "half_open", "ramp", "open"]);
    assert_eq!(bench.cooldown(), 30.0);
}

#[test]
fn nothing_passes_before_the_cooldown_is_over() {
    check("3*fail +700ms ok", "open x");
    check("3*fail +1s ok", "open half_open");
}

#[test]
fn one_probe_at_a_time() {
    check("3*fail +5s take ok", "open half_open x");
    check("3*fail +5s take held:content ok held:ok", "open half_open ramp");
}

#[test]
fn two_probes_close_a_breaker_of_a_target_that_was_down() {
    check("3*fail +5s ok", "open half_open");
    check("3*fail +5s ok ok", "open half_open ramp");
}

#[test]
fn a_probes_success_counts_at_its_end() {
    check("3*fail +5s take held:content take held:content", "open half_open");
    check("3*fail +5s take held:c:fail", "open half_open open");
}

#[test]
fn any_failed_probe_reopens_429_included() {
    check("3*fail +5s fail", "open half_open open");
    check("3*fail +5s ok fail", "open half_open open");
    check("3*fail +5s 429", "open half_open open");
    check("3*fail +5s hold30", "open half_open open");
}

#[test]
fn a_probe_that_proves_nothing_frees_its_slot() {
    check("3*fail +5s bad bad ok ok", "open half_open ramp");
}

#[test]
fn a_half_open_breaker_has_no_alarm() {
    let mut bench = Bench::run("3*fail +5s take");
    for _ in 0..9 {
        let heard = bench.breaker.sibling_failed(Evidence::failure(1.0), 0.0, bench.now, &mut bench.rng);
        bench.note(heard);
    }
    assert_eq!(bench.trace, ["open", "half_open"]);
}

#[test]
fn the_worse_it_was_the_fewer_probes_must_work() {
    for (script, needed) in [
        ("3*fail", 2),
        ("fail ok fail fail", 2),
        ("fail ok fail ok fail", 3),
        ("fail 2*ok fail ok fail", 4),
        ("fail 3*ok fail 3*ok fail", 5),
    ] {
        let bench = Bench::run(script);
        assert_eq!(bench.trace, ["open"], "{script}");
        assert_eq!(bench.breaker.needed, needed, "{script}");
    }
    let bench = Bench::run("40*ok 3*fail");
    assert_eq!(bench.breaker.needed, 2, "what was before the alarm left 0 is not counted");
}

#[test]
fn a_recovering_target_is_back_once_it_carries_what_it_is_asked_for() {
    let ramp = "3*fail +5s 2*ok";
    check(&format!("{ramp} ok +500ms ok"), "open half_open ramp");
    check(&format!("{ramp} +1s ok"), "open half_open ramp closed");
    check(&format!("{ramp} 2*ok +1s ok +1s ok"), "open half_open ramp closed");
    // The longer the outage, the longer it must be well: a tenth of it, and half a minute at most.
    let long = "3*fail +100s 2*ok";
    check(&format!("{long} +5s ok"), "open half_open ramp");
    check(&format!("{long} +10s ok"), "open half_open ramp closed");
    check("3*fail +10h 2*ok +29s ok +3s ok", "open half_open ramp closed");
}

/// Lets this many calls a second come to a target that has just recovered; each has content after this time. Returns
/// how many it admitted in each second.
fn herd(outage: &str, a_second: u32, content: Duration) -> Vec<u32> {
    let mut bench = Bench::run(&format!("3*fail {outage} 2*ok"));
    let (start, mut admitted, mut flying) = (bench.now, vec![0; 20], std::collections::VecDeque::new());
    for n in 0..20 * a_second {
        bench.now = start + Duration::from_secs(1) * n / a_second;
        while let Some((pass, _)) = flying.pop_front_if(|(_, at): &mut (BreakerStamp, Instant)| *at <= bench.now) {
            bench.end(pass, "ok");
        }
        let room = |state| !matches!(state, BreakerState::Ramp { full_until: Some(until), .. } if until > bench.now);
        if room(bench.breaker.state()) {
            admitted[usize::try_from(n / a_second).unwrap()] += 1;
            let pass = bench.take(false).unwrap();
            flying.push_back((pass, bench.now + content));
        }
    }
    admitted
}

#[test]
fn no_second_of_the_way_back_carries_more_than_twice_what_was_proven() {
    for (a_second, content) in [(3, 100), (20, 60), (20, 900), (1_000, 300)] {
        let admitted = herd("+2s", a_second, Duration::from_millis(content));
        let mut proven = 1;
        for &count in &admitted {
            assert!(count <= 2 * proven || count == a_second, "{a_second} a second: {admitted:?}");
            proven = proven.max(count);
        }
        assert_eq!(admitted[0], 2);
        assert_eq!(*admitted.last().unwrap(), a_second, "{admitted:?}");
    }
    // Half of twenty a second within three seconds, and after an outage of hours within twelve.
    assert!(herd("+2s", 20, Duration::from_millis(60))[3] >= 10);
    let slow = herd("+3h", 20, Duration::from_millis(60));
    assert!(slow[3] < 10 && slow[12] >= 10, "{slow:?}");
}

#[test]
fn a_probe_that_is_overdue_reopens_and_one_that_works_late_is_as_good_as_any() {
    check("3*fail +5s take held:overdue", "open half_open open");
    check("3*fail +5s take held:overdue fail", "open half_open open x");
    check("3*fail +5s take held:overdue +5s fail", "open half_open open half_open open");
    check("3*fail +5s take held:overdue held:fail +500ms ok", "open half_open open x");
    check("3*fail +5s take held:overdue held:ok ok", "open half_open open half_open ramp");
    check("3*fail +5s ok take held:overdue held:ok", "open half_open open ramp");
    check("3*fail +5s take held:overdue +5s take held:ok", "open half_open open half_open");
    check("3*fail +5s take held:overdue held:ok take held:overdue held:ok", "open half_open open half_open open ramp");
    let stale = Bench::run("3*fail +5s take held:overdue +5s fail held:ok");
    assert_eq!(stale.breaker.state().name(), "open", "another probe has spoken since");
    check("3*fail last:take held:overdue held:ok", "open half_open");
}

#[test]
fn as_many_probes_as_must_work_may_be_on_their_way_and_no_more() {
    let mut bench = Bench::run("3*fail +5s");
    let mut begun = Vec::new();
    for _ in 0..2 {
        let pass = bench.take(false).expect("a free slot");
        bench.end(pass, "content");
        begun.push(pass);
    }
    assert_eq!((bench.take(false), bench.trace.last()), (None, Some(&"x")), "two must work, and two are on their way");
    bench.report(begun[0], Evidence::NONE, Verdict::Ignored);
    let third = bench.take(false).expect("one has ended");
    bench.end(third, "content");
    // Both are idle: the first that is idle ends the other's window, too.
    bench.report(begun[1], Evidence::relapse(1.0), Verdict::Overdue);
    bench.report(third, Evidence::relapse(1.0), Verdict::Overdue);
    assert_eq!(bench.breaker.state().name(), "open");
}

#[test]
fn in_ramp_two_failures_close_together_reopen_and_one_among_many_does_not() {
    check("3*fail +5s 2*ok fail", "open half_open ramp");
    check("3*fail +5s 2*ok fail fail", "open half_open ramp open");
    check("3*fail +5s 2*ok 9*ok fail 9*ok fail 9*ok fail", "open half_open ramp");
    check("3*fail +5s 2*ok 9*429", "open half_open ramp");
}

#[test]
fn the_alarm_is_at_0_on_entry_to_closed() {
    let closed = "3*fail +5s 2*ok +6s ok";
    check(&format!("{closed} fail fail"), "open half_open ramp closed");
    check(&format!("{closed} fail fail fail"), "open half_open ramp closed open");
}

#[test]
fn an_attempt_of_an_old_generation_changes_no_state() {
    check("take 3*fail held:ok held:fail", "open");
    check("take 3*fail +5s held:fail ok ok", "open half_open ramp");
    check("take 3*fail +5s 2*ok 1*fail held:fail held:fail", "open half_open ramp");
    check("take 3*fail +5s 2*ok held:hold30", "open half_open ramp");
}

#[test]
fn an_old_generations_retry_after_holds_nevertheless() {
    let bench = Bench::run("take 3*fail held:hold30");
    assert_eq!(bench.breaker.hold().map(|hold| hold.until), Some(bench.now + Duration::from_secs(30)));
}

#[test]
fn a_hold_only_moves_later() {
    let bench = Bench::run("take hold30 held:hold10");
    assert_eq!(bench.breaker.hold().map(|hold| hold.until), Some(bench.now + Duration::from_secs(30)));
}

#[test]
fn a_last_resort_passes_open_one_at_a_time() {
    check("3*fail last:take last:ok ok", "open x x");
    check("3*fail last:take held:content last:ok", "open x");
}

#[test]
fn a_last_resorts_failure_changes_nothing() {
    let bench = Bench::run("3*fail last:fail last:fail last:429 last:fail");
    assert_eq!((bench.trace.as_slice(), bench.cooldown()), (&["open"][..], Bench::run("3*fail").cooldown()));
}

#[test]
fn a_last_resort_that_comes_after_the_cooldown_is_a_probe_like_any_other() {
    check("3*fail +5s last:fail ok", "open half_open open x");
    check("3*fail +5s last:take held:overdue", "open half_open open");
    check("3*fail +5s last:take held:overdue held:ok ok", "open half_open open half_open ramp");
    check("3*fail +5s last:take held:overdue +5s ok ok", "open half_open open half_open ramp");
    check("3*fail +5s last:take held:content ok held:ok", "open half_open ramp");
}

#[test]
fn a_last_resorts_success_is_the_first_of_half_open() {
    check("3*fail last:ok", "open half_open");
    check("3*fail last:ok ok", "open half_open ramp");
    check("3*fail last:ok fail", "open half_open open");
    check("3*fail +5s last:ok last:ok", "open half_open ramp");
}

#[test]
fn a_cooldown_that_ends_frees_the_slot_of_a_last_resort() {
    check("3*fail last:take +5s ok held:ok ok", "open half_open ramp");
}

#[test]
fn a_last_resort_where_every_attempt_passes_is_nothing_special() {
    check("3*last:fail", "open");
}

#[test]
fn a_cooldown_lasts_a_fifth_of_the_time_since_the_trouble_began_between_one_second_and_thirty() {
    let mut bench = Bench::run("3*fail");
    let began = bench.now;
    for _ in 0..60 {
        let full = (bench.now - began).as_secs_f64().mul_add(0.2, 0.0).clamp(1.0, 30.0);
        let cooldown = bench.cooldown();
        assert!((full * 0.8..=full).contains(&cooldown), "after {:?}: {cooldown} s", bench.now - began);
        bench.now += Duration::from_secs_f64(cooldown);
        bench.word("fail");
    }
    assert!(bench.now - began > Duration::from_secs(600));
}

#[test]
fn trouble_goes_on_unless_all_was_well_for_as_long_as_it_had_lasted() {
    // 50 s of trouble, and then this much time in which it is closed.
    let cooldown = |well: &str| Bench::run(&format!("3*fail +50s 2*ok +5s ok {well} 3*fail")).cooldown();
    assert!(cooldown("+54s") > 0.8 * 0.2 * 109.0);
    assert!(cooldown("+56s") <= 1.0);
}

#[test]
fn failures_of_our_own_network_are_taken_back_and_the_breaker_they_opened_closes() {
    let mut bench = Bench::run("3*fail");
    let since = bench.now;
    let transition = bench.breaker.take_back(Evidence::failure(-3.0), since, since).unwrap();
    assert_eq!(transition.to, BreakerState::Closed);
    let mut bench = Bench::run("3*fail");
    let since = bench.now;
    assert_eq!(bench.breaker.take_back(Evidence::failure(-0.2), since, since), None, "it opened for other reasons too");
    let mut bench = Bench::run("3*fail");
    let (since, now) = (bench.now + Duration::from_secs(1), bench.now + Duration::from_secs(2));
    assert_eq!(bench.breaker.take_back(Evidence::failure(-3.0), since, now), None, "it had opened before");
    let mut bench = Bench::run("hold30");
    let since = bench.now;
    assert_eq!(bench.breaker.take_back(Evidence::failure(-3.0), since, since), None, "a Retry-After stands");
    let mut bench = Bench::run("fail fail");
    assert_eq!(bench.breaker.take_back(Evidence::failure(-2.0), bench.now, bench.now), None);
    (0..2).for_each(|_| bench.word("fail"));
    assert!(bench.trace.is_empty());
}

#[test]
fn a_restart_keeps_the_state_makes_stragglers_of_all_and_frees_the_slot() {
    let mut bench = Bench::run("3*fail +5s take");
    let generation = bench.breaker.generation();
    bench.breaker.restart(true, bench.now);
    assert_eq!((bench.breaker.state(), bench.breaker.generation()), (BreakerState::HalfOpen, generation + 1));
    "held:fail ok ok".split(' ').for_each(|word| bench.word(word));
    assert_eq!(bench.trace, ["open", "half_open", "ramp"]);
}

#[test]
fn a_restart_without_statistics_forgets_the_alarm_only() {
    let mut bench = Bench::run("3*fail +5s fail +5s 2*ok +6s ok fail fail");
    bench.breaker.restart(false, bench.now);
    assert_eq!(bench.breaker.alarm.value(bench.now), 0.0);
    assert!(bench.breaker.trouble.is_some());
}

#[test]
fn options_read_as_people_write_them_and_are_checked_by_name() {
    let read = |text: &str| serde_json::from_str::<BreakerOptions>(text);
    let options = read(r#"{"cooldown_base": "2s", "cooldown_max": "1m"}"#).unwrap();
    assert_eq!((options.cooldown_base, options.ramp_step_min), (Duration::from_secs(2), Duration::from_secs(1)));
    assert!(read(r#"{"cooldown": "2s"}"#).is_err());
    let fields =
        |text: &str| read(text).unwrap().check("b").into_iter().map(|error| error.field).collect::<Vec<_>>().join(" ");
    assert_eq!(fields("{}"), "");
    assert_eq!(fields(r#"{"cooldown_base": "0s"}"#), "b.cooldown_base");
    assert_eq!(fields(r#"{"cooldown_max": "500ms"}"#), "b.cooldown_max");
    assert_eq!(fields(r#"{"cooldown_max": "25h"}"#), "b.cooldown_max");
    assert_eq!(
        fields(r#"{"cooldown_base": "0s", "alarm": {"p0": 0.1, "p1": 0.3, "h": 0}}"#),
        "b.cooldown_base b.alarm.h"
    );
}

proptest! {
    #[test]
    fn no_sequence_confuses_the_breaker(words in prop::collection::vec(prop::sample::select(vec![
        "ok", "fail", "c:fail", "429", "bad", "hold9", "last:ok", "last:fail", "last:take", "take", "held:ok",
        "held:fail",
        "held:content", "held:overdue", "+1s", "+4s", "+7s", "+15m",
    ]), 0..120)) {
        let mut bench = Bench::new();
        for word in words {
            if word.starts_with("held:") && bench.held.is_none() {
                continue;
            }
            let before = (bench.breaker.generation(), bench.trace.iter().filter(|state| **state != "x").count() as u64);
            bench.word(word);
            let after = (bench.breaker.generation(), bench.trace.iter().filter(|state| **state != "x").count() as u64);
            prop_assert_eq!(after.0 - before.0, after.1 - before.1, "each transition bumps the generation once");
            prop_assert!((2..=5).contains(&bench.breaker.needed));
            prop_assert!((0.0..=6.0).contains(&bench.breaker.alarm.value(bench.now)));
        }
    }
}

#[test]
fn what_luck_could_explain_follows_from_how_often_it_failed_when_it_opened() {
    let mut bench = Bench::run("fail ok fail ok ok fail");
    assert_eq!(bench.trace, ["open"]);
    assert_eq!((bench.breaker.needed, bench.breaker.luck()), (4, 0.0625), "half of them failed");
    bench.now += Duration::from_secs(9);
    bench.word("take");
    assert_eq!(bench.breaker.luck(), 0.0625, "it stays so until it is back");
}

#[test]
fn what_passes_beside_a_probe_by_an_operators_word_does_not_take_its_slot() {
    let mut bench = Bench::run("3*fail +5s take");
    let probe = bench.held.unwrap();
    let (forced, _) = bench.breaker.admit(99, false, bench.now);
    assert!(probe.probe && !forced.probe);
    bench.report(probe, Evidence::NONE, Verdict::Ignored);
    assert!(bench.breaker.is_probe_free(bench.now));
}

#[test]
fn another_probes_success_is_not_that_of_the_one_that_is_overdue() {
    let mut bench = Bench::run("3*fail +5s take held:content");
    let first = bench.held.unwrap();
    bench.word("take");
    bench.word("held:overdue");
    assert_eq!(bench.trace, ["open", "half_open", "open"]);
    bench.report(first, Evidence::NONE, Verdict::Success);
    assert_eq!(bench.trace.len(), 3, "it is of the generation before");
    bench.word("held:ok");
    assert_eq!(bench.trace.len(), 4, "that of the late one is heard");
}

#[test]
fn a_cooldown_is_cut_to_what_is_configured_now_and_passes_while_the_machine_sleeps() {
    let seconds = Duration::from_secs;
    let mut bench = Bench::run("take held:hold30");
    let long = bench.breaker.clone();
    assert!(bench.cooldown() >= 30.0);
    bench.breaker.slept(seconds(40));
    assert!(bench.passes(false) && bench.breaker.is_probe_free(bench.now), "it slept through all of it");
    // A cooldown of our own, which no provider told.
    bench.breaker = Breaker { hold: None, ..long };
    let options = BreakerOptions { cooldown_max: seconds(10), ..BreakerOptions::default() };
    bench.breaker.retune(options, bench.now);
    assert_eq!(bench.cooldown(), 10.0);
}

#[test]
fn what_it_heard_counts_no_more_once_it_listens_for_something_else() {
    let patient = DetectorOptions { p0: 0.02, p1: 0.3, h: 9.0 };
    let mut bench = Bench::run("fail fail");
    bench.breaker.retune(BreakerOptions { alarm: patient, ..BreakerOptions::default() }, bench.now);
    assert_eq!(bench.breaker.run, Evidence::NONE, "it has heard nothing by these numbers");
    (0..3).for_each(|_| bench.word("fail"));
    assert!(bench.trace.is_empty(), "three are not enough for these");
    bench.word("fail");
    assert_eq!(bench.trace, ["open"]);
    let mut same = Bench::run("fail fail");
    same.breaker.retune(BreakerOptions::default(), same.now);
    same.word("fail");
    assert_eq!(same.trace, ["open"], "where they are the same it goes on");
}

#[test]
fn the_ends_of_what_may_be_configured_are_allowed() {
    let day = Duration::from_secs(24 * 60 * 60);
    for cooldown in [Duration::from_secs(30), day] {
        let options = BreakerOptions { cooldown_base: cooldown, cooldown_max: cooldown, ..BreakerOptions::default() };
        assert_eq!(options.check("breaker"), []);
    }
    for (p0, p1, h, field) in
        [(0.0, 0.3, 6.0, "p0"), (0.02, 1.0, 6.0, "p1"), (0.3, 0.3, 6.0, "p1"), (0.02, 0.3, 0.0, "h")]
    {
        let errors = DetectorOptions { p0, p1, h }.check("alarm");
        assert!(errors.len() == 1 && errors[0].to_string().starts_with(&format!("alarm.{field}")), "{errors:?}");
    }
}

#[test]
fn it_is_back_only_once_a_window_that_might_have_carried_more_was_not_full() {
    // Two are all that the first window carries, so that more might have come.
    let full = "3*fail +5s ok ok ok ok";
    check(&format!("{full} +1s ok"), "open half_open ramp");
    check(&format!("{full} +1s ok +1s ok"), "open half_open ramp closed");
    check(&format!("{full} +2s ok"), "open half_open ramp closed");
}

#[test]
fn its_pace_is_told_in_attempts_a_second() {
    let mut bench = Bench::new();
    let options = BreakerOptions { ramp_step_min: Duration::from_secs(4), ..BreakerOptions::default() };
    bench.breaker.retune(options, bench.now);
    "3*fail +5s ok ok".split(' ').for_each(|word| bench.word(word));
    let BreakerState::Ramp { per_second, full_until } = bench.breaker.state() else { panic!("{:?}", bench.trace) };
    assert_eq!((per_second, full_until), (0.5, None), "two in four seconds");
}

#[test]
fn what_opens_beside_a_longer_hold_stays_open_until_that_ends_and_a_look_at_it_is_noted() {
    let mut bench = Bench::new();
    bench.breaker.hold = Some(Suspension::guessed(FailureClass::Overloaded, Duration::from_secs(60), bench.now));
    (0..3).for_each(|_| bench.word("fail"));
    assert_eq!(bench.cooldown(), 60.0);
    let is_checked = |bench: &Bench| bench.breaker.hold().is_some_and(|hold| hold.is_checked(bench.now));
    assert!(!is_checked(&bench));
    bench.breaker.look(bench.now);
    assert!(is_checked(&bench));
}

#[test]
fn content_proves_the_load_of_the_window_in_which_its_attempt_was_admitted() {
    let (start, tick) = (Instant::now(), Duration::from_millis(50));
    // Answers take nearly a window, so that most of them come in the next one.
    let (window, takes) = (20, 19);
    let mut load = Load::new(tick * window, start);
    let (mut on_way, mut carried): (Vec<u32>, Vec<u32>) = (Vec::new(), vec![0; 5]);
    for now in 0..window * 5 {
        let at = |tick_no: u32| start + tick * tick_no;
        on_way.iter().filter(|&&from| from + takes == now).for_each(|&from| load.content(at(from), at(now)));
        for _ in 0..4 {
            load = load.at(at(now));
            if !load.is_full() {
                load.admit(at(now));
                on_way.push(now);
                carried[(now / window) as usize] += 1;
            }
        }
    }
    assert_eq!(carried, [2, 4, 8, 16, 32]);
}

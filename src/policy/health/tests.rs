//! When events count, and what numbers come of them.

use proptest::prelude::*;

use super::bursts::BURSTS_MAX;
use super::*;
use crate::words::AttemptEnd;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECOND: Duration = Duration::from_secs(1);

/// A target whose attempts start far apart, unless told otherwise.
struct Bench {
    health: TargetHealth,
    now: Instant,
    closed: bool,
    offline: bool,
}

/// An attempt in flight.
#[derive(Clone, Copy)]
struct Try {
    started: Instant,
    prompt_tokens: u32,
    whole: bool,
    output_max: Option<u32>,
    limited: bool,
    progress: Progress,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let health = TargetHealth::new(&HealthOptions::default(), ModelClass::Chat, None, now);
        Self { health, now, closed: true, offline: false }
    }

    /// Returns a target whose answers were seen: a second each but for one, 20 ms a token.
    fn measured() -> Self {
        let mut bench = Self::new();
        for n in 0..29 {
            let mut attempt = bench.start();
            bench.report(&mut attempt, if n == 9 { Report::Content { after: MS(4_038) } } else { CONTENT });
            bench.report(&mut attempt, Report::Ended(Outcome::Success { tpot: Some(MS(20)) }));
        }
        bench.now += SECOND;
        bench
    }

    fn start(&mut self) -> Try {
        self.now += SECOND;
        self.start_together()
    }

    fn start_together(&self) -> Try {
        Try {
            started: self.now,
            prompt_tokens: 0,
            whole: false,
            output_max: None,
            limited: false,
            progress: Progress::Waiting,
        }
    }

    fn report(&mut self, attempt: &mut Try, report: Report) -> ReportEvidence {
        if report == Report::Overdue {
            self.now = self.now.max(attempt.started + SECOND * 9);
        }
        let circumstances = ReportContext {
            started: attempt.started,
            prompt_tokens: attempt.prompt_tokens,
            whole: attempt.whole,
            output_max: attempt.output_max,
            limited: attempt.limited,
            closed: self.closed,
            offline: self.offline,
        };
        self.health.report(&mut attempt.progress, circumstances, report, self.now)
    }

    fn own(&mut self, attempt: &mut Try, report: Report) -> (f64, f64, f64) {
        let Evidence { failures, successes, attempts } = self.report(attempt, report).own;
        (failures, successes, attempts)
    }

    fn answer(&mut self, after: Duration) {
        let mut attempt = self.start();
        self.report(&mut attempt, Report::Content { after });
        self.report(&mut attempt, SUCCESS);
    }

    fn samples(&self) -> u32 {
        self.health.ttft(self.now).samples
    }

    fn slow(&self) -> f64 {
        self.health.slow.value(self.now)
    }
}

const SUCCESS: Report = Report::Ended(Outcome::Success { tpot: None });
const LEFT: Report = Report::Ended(Outcome::Cancelled(CancelReason::Left));
const LOST: Report = Report::Ended(Outcome::Cancelled(CancelReason::Lost));
const ENDED: Report = Report::Ended(Outcome::Cancelled(CancelReason::Ended));
const CONTENT: Report = Report::Content { after: SECOND };
const NOTHING: (f64, f64, f64) = (0.0, 0.0, 0.0);

fn failed(class: FailureClass) -> Report {
    Report::Ended(Outcome::Failure { class, scope: Scope::Model, retry_after: None })
}

#[test]
fn a_success_counts_at_its_first_content_and_not_again_at_its_end() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, CONTENT), (0.0, 1.0, 1.0));
    assert_eq!(bench.own(&mut attempt, SUCCESS), NOTHING);
}

#[test]
fn a_success_without_content_on_the_way_counts_at_its_end() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, SUCCESS), (0.0, 1.0, 1.0));
    assert_eq!(bench.samples(), 0, "but says nothing of the first token");
}

#[test]
fn a_failure_after_content_counts_without_a_second_attempt() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    bench.report(&mut attempt, CONTENT);
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::Cut)), (1.0, 0.0, 0.0));
    assert!((bench.health.evidence(bench.now) - 0.7).abs() < 1e-9);
}

#[test]
fn each_class_weighs_what_the_table_says() {
    use FailureClass as C;
    for &class in C::ALL {
        let mut bench = Bench::new();
        let mut attempt = bench.start();
        let weight = match class {
            C::Connect | C::Server | C::Overloaded | C::NoFirstToken | C::Stalled | C::Cut | C::Empty => 1.0,
            C::Unusable => 0.5,
            C::Declined => 0.25,
            _ => 0.0,
        };
        assert_eq!(bench.own(&mut attempt, failed(class)), (weight, 0.0, weight), "{class}");
        assert_eq!(bench.slow() > 0.0, class == C::NoFirstToken, "{class}");
    }
}

#[test]
fn a_burst_that_fails_together_counts_twice() {
    let mut bench = Bench::new();
    bench.now += SECOND;
    let mut burst: Vec<_> = (0..20).map(|_| bench.start_together()).collect();
    let counted: f64 = burst.iter_mut().map(|attempt| bench.own(attempt, failed(FailureClass::Server)).0).sum();
    assert_eq!(counted, 2.0);
}

#[test]
fn a_burst_of_which_one_has_had_content_counts_each_failure() {
    let mut bench = Bench::new();
    let mut burst: Vec<_> = (0..20).map(|_| bench.start_together()).collect();
    bench.report(&mut burst[7], CONTENT);
    let failures = burst.iter_mut().map(|attempt| bench.own(attempt, failed(FailureClass::Server)).0);
    assert_eq!(failures.sum::<f64>(), 20.0);
}

#[test]
fn content_in_the_middle_of_a_burst_lets_the_rest_count() {
    let mut bench = Bench::new();
    let mut burst: Vec<_> = (0..20).map(|_| bench.start_together()).collect();
    let (front, back) = burst.split_at_mut(10);
    let before: f64 = front[1..].iter_mut().map(|attempt| bench.own(attempt, failed(FailureClass::Server)).0).sum();
    bench.report(&mut front[0], CONTENT);
    let after: f64 = back.iter_mut().map(|attempt| bench.own(attempt, failed(FailureClass::Server)).0).sum();
    assert_eq!((before, after), (2.0, 10.0));
}

#[test]
fn a_burst_is_250_ms_of_starts_whenever_its_attempts_fail() {
    let mut bench = Bench::new();
    let mut counts = |starts: &[u64]| -> f64 {
        let zero = bench.now + SECOND * 10;
        bench.now = zero + SECOND * 5;
        let attempts = starts.iter().map(|&ms| Try { started: zero + MS(ms), ..bench.start_together() });
        let attempts: Vec<_> = attempts.collect();
        attempts.into_iter().map(|mut attempt| bench.own(&mut attempt, failed(FailureClass::Server)).0).sum()
    };
    assert_eq!(counts(&[0, 100, 200, 249]), 2.0);
    assert_eq!(counts(&[249, 200, 100, 0]), 2.0, "the last to start may fail first");
    assert_eq!(counts(&[0, 100, 250]), 3.0);
    assert_eq!(counts(&[0, 1_000, 2_000]), 3.0);
}

#[test]
fn an_overdue_burst_counts_twice_as_well() {
    let mut bench = Bench::measured();
    let mut burst: Vec<_> = (0..20).map(|_| bench.start_together()).collect();
    let overdue: f64 = burst.iter_mut().map(|attempt| bench.own(attempt, Report::Overdue).0).sum();
    let failures: f64 = burst.iter_mut().map(|attempt| bench.own(attempt, failed(FailureClass::Cut)).0).sum();
    assert_eq!((overdue, failures), (2.0, 0.0));
}

#[test]
fn an_overdue_attempt_fails_once_and_a_later_failure_adds_nothing() {
    let mut bench = Bench::measured();
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, Report::Overdue), (1.0, 0.0, 1.0));
    assert_eq!(bench.own(&mut attempt, Report::Overdue), NOTHING);
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::NoFirstToken)), NOTHING);
    assert!(bench.slow() > 0.0, "but that it was slow");
}

#[test]
fn a_token_takes_an_overdue_failure_back_and_counts_one_slow() {
    for end in [CONTENT, SUCCESS] {
        let mut bench = Bench::measured();
        let mut attempt = bench.start();
        bench.report(&mut attempt, Report::Overdue);
        let before = bench.slow();
        assert_eq!(bench.own(&mut attempt, end), (-1.0, 1.0, 0.0));
        assert!((bench.slow() - before - 6.0_f64.ln()).abs() < 1e-9);
        assert_eq!(bench.health.degraded.value(bench.now), 0.0);
        assert!(bench.health.failure_rate(bench.now) < 0.005);
    }
}

#[test]
fn an_overdue_failure_that_did_not_count_is_not_taken_back() {
    let mut bench = Bench::measured();
    let mut burst: Vec<_> = (0..3).map(|_| bench.start_together()).collect();
    for attempt in &mut burst {
        bench.report(attempt, Report::Overdue);
    }
    assert_eq!(bench.own(&mut burst[2], CONTENT), (0.0, 1.0, 1.0));
}

#[test]
fn a_gap_fails_once_is_taken_back_by_its_token_and_can_come_again() {
    let mut bench = Bench::measured();
    let mut attempt = bench.start();
    bench.report(&mut attempt, CONTENT);
    let before = bench.slow();
    assert_eq!(bench.own(&mut attempt, Report::Gap), (1.0, 0.0, 0.0));
    assert_eq!(bench.own(&mut attempt, Report::Gap), NOTHING);
    assert_eq!(bench.own(&mut attempt, Report::GapEnded), (-1.0, 0.0, 0.0));
    assert!((bench.slow() - before - 6.0_f64.ln()).abs() < 1e-9, "one slow");
    assert_eq!(bench.own(&mut attempt, Report::GapEnded), NOTHING);
    assert_eq!(bench.own(&mut attempt, Report::Gap), (1.0, 0.0, 0.0));
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::Stalled)), NOTHING);
}

#[test]
fn a_success_takes_an_open_gap_back() {
    let mut bench = Bench::measured();
    let mut attempt = bench.start();
    bench.report(&mut attempt, CONTENT);
    bench.report(&mut attempt, Report::Gap);
    assert_eq!(bench.own(&mut attempt, SUCCESS), (-1.0, 0.0, 0.0));
}

/// The weight of an attempt's silence of this length.
fn silence(bench: &mut Bench, lasted: Duration, report: Report) -> f64 {
    let mut attempt = bench.start();
    bench.now += lasted;
    bench.own(&mut attempt, report).0
}

#[test]
fn a_caller_that_leaves_within_a_targets_usual_time_says_nothing() {
    for mut bench in [Bench::new(), Bench::measured()] {
        let slow = bench.slow();
        for _ in 0..72 {
            assert_eq!(silence(&mut bench, MS(100), LEFT), 0.0);
            assert_eq!(silence(&mut bench, MS(800), ENDED), 0.0);
        }
        assert!(bench.slow() <= slow);
    }
}

#[test]
fn a_caller_that_waits_longer_than_usual_says_slow_and_beyond_the_p99_failed() {
    let mut bench = Bench::measured();
    assert_eq!(silence(&mut bench, SECOND * 3, LEFT), 0.0);
    assert!(bench.slow() > 0.0);
    assert_eq!(silence(&mut bench, SECOND * 5, LEFT), 1.0);
    // What ended it had a limit of its own, or was faster: then only twice the p99 says something.
    for report in [ENDED, LOST] {
        assert_eq!(silence(&mut bench, SECOND * 5, report), 0.0);
        assert_eq!(silence(&mut bench, SECOND * 9, report), 1.0);
    }
}

#[test]
fn callers_that_leave_a_quick_target_within_a_moment_say_nothing() {
    let mut bench = Bench::new();
    for _ in 0..300 {
        bench.answer(MS(2));
        bench.now += SECOND;
    }
    // A program with many connections ended, or this machine was busy for a moment.
    assert_eq!(silence(&mut bench, MS(40), LEFT), 0.0);
    assert_eq!(bench.slow(), 0.0);
    assert_eq!(silence(&mut bench, MS(400), LEFT), 1.0);
}

#[test]
fn a_target_that_never_said_a_word_is_judged_by_how_long_its_like_usually_take() {
    let table = [(LEFT, 500, 0.0), (LEFT, 990, 0.5), (LEFT, 3_000, 0.5), (LEFT, 4_100, 1.0), (LEFT, 60_000, 1.0)];
    let ended = [(ENDED, 3_000, 0.0), (ENDED, 4_100, 0.5)];
    // Another target answered meanwhile, and this one never answered.
    let others = [(LOST, 500, 0.0), (LOST, 3_000, 0.5), (LOST, 4_100, 0.5)];
    let given_up = [(failed(FailureClass::NoFirstToken), 30_000, 1.0)];
    for (report, millis, weight) in table.into_iter().chain(ended).chain(others).chain(given_up) {
        assert_eq!(silence(&mut Bench::new(), MS(millis), report), weight, "{report:?} after {millis} ms");
    }
    // Whole answers are not as quick; what is limited is.
    let whole = |millis, output_max| {
        let mut bench = Bench::new();
        let mut attempt = Try { whole: true, output_max, ..bench.start() };
        bench.now += MS(millis);
        bench.own(&mut attempt, LEFT).0
    };
    assert_eq!([whole(2_000, None), whole(5_000, None), whole(13_000, None)], [0.0, 0.5, 1.0]);
    assert_eq!([whole(1_500, Some(10)), whole(5_000, Some(10))], [0.5, 1.0]);
}

#[test]
fn a_target_that_answered_others_meanwhile_is_alive_and_one_that_took_long_may_again() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    bench.answer(SECOND);
    bench.now += SECOND * 20;
    assert_eq!(bench.own(&mut attempt, LEFT), NOTHING);
    let mut bench = Bench::new();
    bench.answer(SECOND * 4);
    assert_eq!(silence(&mut bench, SECOND * 5, LEFT), 0.0);
    assert_eq!(silence(&mut bench, SECOND * 9, LEFT), 1.0);
}

#[test]
fn the_first_word_takes_back_what_silences_had_counted_by_a_guess() {
    let mut bench = Bench::new();
    let before = bench.health.failure_rate(bench.now);
    let mut patient = bench.start();
    for _ in 0..3 {
        assert_eq!(silence(&mut bench, SECOND * 5, LEFT), 1.0);
    }
    assert!(bench.health.failure_rate(bench.now) > 0.1);
    let refuted = bench.report(&mut patient, CONTENT).refuted.expect("it is alive");
    assert_eq!(refuted.evidence().failures, -3.0);
    assert!(bench.health.failure_rate(bench.now) < before);
    let mut next = bench.start();
    assert_eq!(bench.report(&mut next, CONTENT).refuted, None, "once");
    // Measured times are no guess.
    let mut bench = Bench::measured();
    let mut patient = bench.start();
    assert_eq!(silence(&mut bench, SECOND * 5, LEFT), 1.0);
    assert_eq!(bench.report(&mut patient, CONTENT).refuted, None);
}

#[test]
fn a_limit_that_was_configured_is_no_guess() {
    let mut bench = Bench::new();
    let mut attempt = Try { limited: true, ..bench.start() };
    bench.answer(SECOND);
    bench.now += SECOND;
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::NoFirstToken)).0, 1.0);
}

#[test]
fn overdue_against_a_guess_is_slow_and_no_failure() {
    let mut bench = Bench::new();
    let mut burst: Vec<_> = (0..20).map(|_| bench.start_together()).collect();
    for attempt in &mut burst {
        assert_eq!(bench.own(attempt, Report::Overdue), NOTHING);
    }
    assert_eq!(bench.own(&mut burst[0], CONTENT), (0.0, 1.0, 1.0));
    assert!(bench.slow() > 1.0);
    assert_eq!(bench.own(&mut burst[0], Report::Gap), NOTHING, "nor a pause, where none was measured");
    assert_eq!(bench.own(&mut burst[0], failed(FailureClass::Stalled)), (1.0, 0.0, 0.0));
    for (report, weight) in [(LEFT, 0.5), (ENDED, 0.5), (LOST, 0.5)] {
        let mut attempt = bench.start();
        bench.report(&mut attempt, CONTENT);
        bench.report(&mut attempt, Report::Gap);
        assert_eq!(bench.own(&mut attempt, report), (weight, 0.0, 0.0), "{report:?}");
    }
}

#[test]
fn a_hedges_loser_is_a_latency_at_its_age_where_latencies_are_measured() {
    let mut bench = Bench::measured();
    assert_eq!(silence(&mut bench, SECOND * 5, LOST), 0.0);
    assert_eq!(bench.samples(), 30);
    assert_eq!(silence(&mut bench, MS(500), LOST), 0.0);
    assert_eq!(bench.samples(), 30, "it might have been as quick as always");
    let mut bench = Bench::new();
    silence(&mut bench, SECOND * 5, LOST);
    assert_eq!(bench.samples(), 0);
}

#[test]
fn what_hides_its_silence_behind_hedges_is_slow_by_its_usual_times_and_no_hang_moves_these() {
    let mut bench = Bench::new();
    (0..28).for_each(|_| bench.answer(SECOND));
    assert!(!bench.health.pace(0, false, None, bench.now).measured);
    let before = bench.health.ttft(bench.now).mean;
    assert_eq!(silence(&mut bench, MS(3_700), LOST), 0.0);
    assert_eq!(bench.samples(), 29);
    (0..3).for_each(|_| assert_eq!(silence(&mut bench, MS(3_700), LOST), 0.0));
    assert!(bench.health.ttft(bench.now).mean > before + MS(200));
    // What lasts twice as long as almost all answers may be a hang, however long such waits were lately.
    let mut bench = Bench::new();
    (0..20).for_each(|_| bench.answer(SECOND));
    for _ in 0..50 {
        let samples = bench.samples();
        silence(&mut bench, MS(9_000), LOST);
        assert_eq!(bench.samples(), samples);
    }
}

#[test]
fn hangs_teach_no_time_before_the_usual_ones_are_measured() {
    const OVERTAKEN: Report = Report::Ended(Outcome::Cancelled(CancelReason::Overtaken));
    for end in [LOST, OVERTAKEN, LEFT] {
        let mut bench = Bench::new();
        for _ in 0..28 {
            let mut hung = bench.start();
            bench.answer(SECOND);
            bench.now += SECOND * 120;
            assert_eq!(bench.own(&mut hung, end).0, 0.0, "others were answered");
        }
        let pace = bench.health.pace(0, false, None, bench.now);
        assert!(!pace.measured && pace.first < SECOND * 2 && pace.late < SECOND * 15, "{end:?}: {pace:?}");
        bench.answer(SECOND);
        assert!(bench.health.ttft(bench.now).p99 < SECOND * 15, "{end:?}");
    }
}

#[test]
fn a_probe_that_hears_nothing_for_half_of_the_usual_time_is_silent_and_if_its_caller_leaves_once_it_is_late() {
    let mut bench = Bench::new();
    let mut silent = |millis, report| {
        let mut attempt = bench.start();
        bench.now += MS(millis);
        bench.report(&mut attempt, report).silent
    };
    assert!(!silent(400, ENDED) && silent(600, ENDED) && silent(600, LOST));
    assert!(!silent(3_000, LEFT) && silent(4_100, LEFT), "a caller that leaves says how patient it is");
    assert!(!silent(60_000, SUCCESS) && !silent(60_000, Report::Ended(Outcome::Crashed)));
}

#[test]
fn a_hedges_loser_that_had_content_is_counted_already() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    bench.report(&mut attempt, CONTENT);
    assert_eq!(bench.own(&mut attempt, LOST), NOTHING);
    assert_eq!((bench.samples(), bench.slow()), (1, 0.0));
}

#[test]
fn crashed_and_unused_attempts_say_nothing() {
    let mut bench = Bench::new();
    for outcome in [Outcome::Crashed, Outcome::Unused] {
        let mut attempt = bench.start();
        assert_eq!(bench.own(&mut attempt, Report::Ended(outcome)), NOTHING);
    }
    assert_eq!(bench.health.evidence(bench.now), 0.0);
}

#[test]
fn a_failure_of_the_endpoint_weighs_a_fifth_on_the_siblings_and_one_of_the_model_nothing() {
    let mut bench = Bench::new();
    let mut siblings = |class, scope| {
        let mut attempt = bench.start();
        bench.report(&mut attempt, Report::Ended(Outcome::Failure { class, scope, retry_after: None })).siblings
    };
    assert_eq!(siblings(FailureClass::Connect, Scope::Endpoint), Evidence::failure(0.2));
    assert_eq!(siblings(FailureClass::Server, Scope::Model), Evidence::NONE);
    assert_eq!(siblings(FailureClass::BadRequest, Scope::Endpoint), Evidence::NONE);
}

#[test]
fn a_suppressed_failure_does_not_weigh_on_the_siblings_either() {
    let mut bench = Bench::new();
    let report =
        Report::Ended(Outcome::Failure { class: FailureClass::Connect, scope: Scope::Endpoint, retry_after: None });
    let mut burst: Vec<_> = (0..9).map(|_| bench.start_together()).collect();
    let heard: f64 = burst.iter_mut().map(|attempt| bench.report(attempt, report).siblings.failures).sum();
    assert!((heard - 0.4).abs() < 1e-9);
}

#[test]
fn connect_failures_of_the_last_5_s_are_taken_back_and_others_stay() {
    let mut bench = Bench::new();
    let prior = bench.health.failure_rate(bench.now);
    let mut old = bench.start();
    bench.report(&mut old, failed(FailureClass::Connect));
    bench.now += SECOND * 10;
    let since = bench.now;
    for class in [FailureClass::Connect, FailureClass::Server, FailureClass::Connect] {
        let mut attempt = bench.start();
        bench.report(&mut attempt, failed(class));
    }
    bench.health.sibling_failed(Evidence::failure(0.2), FailureClass::Connect, bench.now);
    let taken = bench.health.take_back(since, bench.now);
    assert!((taken.failures + 2.2).abs() < 1e-9 && (taken.attempts + 2.2).abs() < 1e-9);
    assert!(bench.health.failure_rate(bench.now) > prior, "the old one and the server's stay");
    assert_eq!(bench.health.take_back(since, bench.now).failures, 0.0, "once");
}

#[test]
fn while_our_network_is_down_a_connect_failure_counts_against_no_target_even_if_overdue() {
    let mut bench = Bench::measured();
    bench.offline = true;
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::Connect)), NOTHING);
    let mut attempt = bench.start();
    bench.report(&mut attempt, Report::Overdue);
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::Connect)), (-1.0, 0.0, -1.0));
    assert!(bench.health.failure_rate(bench.now) < 0.005);
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, failed(FailureClass::Server)), (1.0, 0.0, 1.0));
}

#[test]
fn idle_fades_to_the_prior() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        let mut attempt = bench.start();
        bench.report(&mut attempt, failed(FailureClass::NoFirstToken));
    }
    assert!(bench.health.failure_rate(bench.now) > 0.6);
    assert!(bench.health.is_degraded(bench.now) && bench.health.is_slow(bench.now));
    let later = bench.now + Duration::from_secs(6 * 60 * 60);
    assert!((bench.health.failure_rate(later) - 0.005).abs() < 0.005);
    assert!(!bench.health.is_degraded(later) && !bench.health.is_slow(later));
    assert_eq!(bench.health.ttft(later).p50, SECOND);
    assert!(bench.health.detect(later) > MS(990));
}

#[test]
fn the_posterior_decays_by_event_and_has_a_prior_of_ten() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    bench.report(&mut attempt, failed(FailureClass::Server));
    assert!((bench.health.failure_rate(bench.now) - (0.05 * 0.97 + 1.0) / 10.7).abs() < 1e-9);
    let mut attempt = bench.start_together();
    bench.report(&mut attempt, CONTENT);
    assert!((bench.health.failure_rate(bench.now) - (0.05 * 0.97 + 1.0) * 0.97 / (10.7 * 0.97 + 1.0)).abs() < 1e-9);
    for _ in 0..500 {
        bench.answer(SECOND);
    }
    assert!(bench.health.evidence(bench.now) < 1.0 / 0.03);
}

#[test]
fn streams_that_always_break_late_have_a_failure_rate_of_one_at_most() {
    let mut bench = Bench::new();
    let mut attempts: Vec<_> = (0..60).map(|_| bench.start()).collect();
    for attempt in &mut attempts {
        bench.report(attempt, CONTENT);
    }
    bench.now += Duration::from_secs(60 * 60);
    for attempt in &mut attempts {
        bench.report(attempt, failed(FailureClass::Cut));
    }
    let rate = bench.health.failure_rate(bench.now);
    assert!(rate <= 1.0, "{rate}");
}

#[test]
fn degraded_is_raised_by_failures_that_do_not_open() {
    let mut bench = Bench::new();
    let mut requests = 0;
    while !bench.health.is_degraded(bench.now) {
        requests += 1;
        if requests % 10 == 0 {
            let mut attempt = bench.start();
            bench.report(&mut attempt, failed(FailureClass::Server));
        } else {
            bench.answer(SECOND);
        }
        assert!(requests < 100);
    }
    while bench.health.is_degraded(bench.now) {
        bench.answer(SECOND);
        requests += 1;
        assert!(requests < 400);
    }
}

#[test]
fn six_answers_in_a_row_above_the_baselines_p95_are_slow() {
    let mut bench = Bench::new();
    (0..100).for_each(|_| bench.answer(MS(500)));
    (0..6).for_each(|_| bench.answer(MS(520)));
    assert!(bench.health.is_slow(bench.now));
}

#[test]
fn the_baseline_learns_only_while_closed_and_well() {
    let mut bench = Bench::new();
    let learned = |bench: &Bench| bench.health.ttft_usual().samples;
    (0..100).for_each(|_| bench.answer(MS(500)));
    assert_eq!(learned(&bench), 100);
    bench.closed = false;
    (0..10).for_each(|_| bench.answer(MS(500)));
    bench.closed = true;
    assert_eq!(learned(&bench), 100);
    (0..50).for_each(|_| bench.answer(SECOND * 5));
    assert!(bench.health.is_slow(bench.now) && learned(&bench) < 110, "{}", learned(&bench));
    let mut bench = Bench::new();
    bench.health.count(Evidence::failure(9.0), false, bench.now);
    (0..10).for_each(|_| bench.answer(MS(500)));
    assert_eq!(learned(&bench), 0);
}

#[test]
fn a_target_that_is_always_slower_than_its_prior_is_not_slow_for_ever() {
    let mut bench = Bench::new();
    (0..200).for_each(|_| bench.answer(SECOND * 6));
    assert!(!bench.health.is_slow(bench.now));
    assert!(bench.health.ttft_usual().p50 >= SECOND * 6);
}

#[test]
fn a_long_prompt_is_divided_out_before_it_is_recorded_and_multiplied_back_on_use() {
    let mut bench = Bench::new();
    for _ in 0..60 {
        let mut attempt = Try { prompt_tokens: 20_000, ..bench.start() };
        bench.report(&mut attempt, Report::Content { after: SECOND * 4 });
    }
    let p50 = bench.health.ttft(bench.now).p50;
    assert!((p50.as_secs_f64() - 2.0).abs() < 0.02);
    let (short, long) =
        (bench.health.timers(0, false, None, bench.now), bench.health.timers(20_000, false, None, bench.now));
    assert_eq!(long.overdue_after, short.overdue_after * 2);
    assert_eq!(long.first_token_max, short.first_token_max * 2);
}

#[test]
fn the_timers_follow_the_latencies_within_their_bounds() {
    let timers = |class, median| {
        let now = Instant::now();
        TargetHealth::new(&HealthOptions::default(), class, median, now).timers(0, false, None, now)
    };
    let chat = timers(ModelClass::Chat, None);
    assert_eq!((chat.overdue_after.as_millis(), chat.first_token_max), (8_076, SECOND * 30));
    assert_eq!(chat.gap_overdue_after, SECOND);
    assert_eq!(timers(ModelClass::Chat, Some(SECOND * 3)).first_token_max, SECOND * 30);
    // No target is given up before it is overdue.
    assert_eq!(timers(ModelClass::Chat, Some(SECOND * 30)).first_token_max.as_secs(), 242);
    assert_eq!(Bench::measured().health.timers(0, false, None, Instant::now()).first_token_max.as_secs(), 8);
    assert_eq!(timers(ModelClass::Chat, Some(MS(5))).overdue_after, MS(250));
    assert_eq!(timers(ModelClass::Reasoning, None).first_token_max, SECOND * 300);
    let mut bench = Bench::new();
    for _ in 0..8 {
        let mut attempt = bench.start();
        bench.report(&mut attempt, Report::Ended(Outcome::Success { tpot: Some(MS(500)) }));
    }
    assert!(bench.health.timers(0, false, None, bench.now).gap_overdue_after > SECOND * 3);
}

#[test]
fn whole_answers_are_timed_apart_from_first_tokens() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.answer(MS(500));
        let mut attempt = Try { whole: true, ..bench.start() };
        bench.report(&mut attempt, Report::Content { after: SECOND * 30 });
        bench.report(&mut attempt, SUCCESS);
    }
    let near = |time: Duration, seconds: f64| (time.as_secs_f64() / seconds - 1.0).abs() < 0.02;
    assert!(near(bench.health.ttft(bench.now).p50, 0.5) && near(bench.health.reply(bench.now).p50, 30.0));
    assert!(near(bench.health.reply_usual().p50, 30.0) && !bench.health.is_slow(bench.now));
    let timers = |whole| bench.health.timers(0, whole, None, bench.now);
    assert!(timers(false).overdue_after < SECOND * 5 && near(timers(true).overdue_after, 60.0));
    assert_eq!((timers(false).first_token_max, timers(true).first_token_max.as_secs()), (SECOND * 8, 180));
    // A whole answer that takes ten times as long is slow, however it compares with first tokens.
    for _ in 0..8 {
        let mut attempt = Try { whole: true, ..bench.start() };
        bench.report(&mut attempt, Report::Content { after: SECOND * 290 });
        bench.report(&mut attempt, SUCCESS);
    }
    assert!(bench.health.is_slow(bench.now));
}

#[test]
fn a_whole_answer_has_three_minutes_before_anything_is_measured() {
    let bench = Bench::new();
    assert_eq!(bench.health.timers(0, true, None, bench.now).first_token_max, SECOND * 180);
}

#[test]
fn the_time_to_detect_is_the_mean_age_of_failures() {
    let mut bench = Bench::new();
    assert_eq!(bench.health.detect(bench.now), SECOND);
    for _ in 0..100 {
        let mut attempt = bench.start();
        bench.now += SECOND * 30;
        bench.report(&mut attempt, failed(FailureClass::NoFirstToken));
    }
    assert!(bench.health.detect(bench.now) > SECOND * 25);
}

#[test]
fn the_memory_of_a_target_is_bounded() {
    let mut bench = Bench::new();
    for _ in 0..20_000 {
        bench.now += MS(3);
        let mut attempt = bench.start_together();
        bench.report(&mut attempt, CONTENT);
        bench.report(&mut attempt, failed(FailureClass::Connect));
        assert!(bench.health.bursts.0.len() <= BURSTS_MAX);
        assert!(bench.health.connects.len() <= 101);
    }
}

#[test]
fn options_are_checked_by_name() {
    let fields = |text: &str| {
        let options: HealthOptions = serde_json::from_str(text).unwrap();
        options.check("h").into_iter().map(|error| error.field).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(fields("{}"), "");
    assert_eq!(fields(r#"{"failure_rate_prior": 0}"#), "h.failure_rate_prior");
    assert_eq!(
        fields(r#"{"failure_rate_prior_mass": 0, "slow": {"p0": 0.5, "p1": 0.3, "h": 1}}"#),
        "h.failure_rate_prior_mass h.slow.p1"
    );
}

proptest! {
    #[test]
    fn the_posterior_stays_within_0_and_1_after_any_reports(
        steps in prop::collection::vec((0..4_usize, 0..9_usize, 0..3_000_u64), 1..300)
    ) {
        let mut bench = Bench::new();
        let mut attempts: Vec<_> = (0..4).map(|_| bench.start_together()).collect();
        for (index, what, wait) in steps {
            bench.now += MS(wait);
            let report = [
                Report::Overdue, CONTENT, Report::Gap, Report::GapEnded, SUCCESS, LOST, LEFT,
                failed(FailureClass::Connect), failed(FailureClass::Unusable),
            ][what];
            let mut attempt = attempts[index];
            bench.report(&mut attempt, report);
            attempts[index] = if matches!(report, Report::Ended(_)) { bench.start_together() } else { attempt };
            if wait > 2_900 {
                let since = bench.now.checked_sub(SECOND);
                bench.health.take_back(since.expect("clocks have run for a second"), bench.now);
            }
            let rate = bench.health.failure_rate(bench.now);
            prop_assert!(rate > 0.0 && rate < 1.0);
            prop_assert!(bench.health.evidence(bench.now) >= 0.0);
            let Latency { p50, p90, p95, p99, .. } = bench.health.ttft(bench.now);
            prop_assert!(p50 <= p90 && p90 <= p95 && p95 <= p99);
        }
    }
}

#[test]
fn a_target_that_still_streams_to_one_call_is_alive_for_all() {
    let mut bench = Bench::new();
    let (mut attempt, mut other) = (bench.start(), bench.start());
    bench.report(&mut other, CONTENT);
    bench.now += SECOND * 20;
    assert_eq!(bench.own(&mut attempt, LEFT), NOTHING);
    // One that goes on after a pause is as alive as one that begins.
    let mut attempt = bench.start();
    bench.report(&mut other, Report::Gap);
    bench.report(&mut other, Report::GapEnded);
    bench.now += SECOND * 20;
    assert_eq!(bench.own(&mut attempt, LEFT), NOTHING);
}

#[test]
fn a_failure_is_as_old_as_its_attempt_and_never_older_than_ten_minutes() {
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    bench.now += SECOND * 3;
    bench.report(&mut attempt, failed(FailureClass::Server));
    assert!((SECOND..SECOND * 3).contains(&bench.health.detect(bench.now)));
    let mut attempt = bench.start();
    bench.now += SECOND * 36_000;
    bench.report(&mut attempt, failed(FailureClass::Server));
    assert!(bench.health.detect(bench.now) <= DETECT_MAX);
    // An answer that paused until its caller left failed then; a caller that left soon says nothing.
    let mut bench = Bench::measured();
    let before = bench.health.detect(bench.now);
    silence(&mut bench, MS(100), LEFT);
    assert_eq!(bench.health.detect(bench.now), before);
    let mut attempt = bench.start();
    bench.report(&mut attempt, CONTENT);
    bench.report(&mut attempt, Report::Gap);
    bench.now += SECOND * 30;
    bench.report(&mut attempt, LEFT);
    assert!(bench.health.detect(bench.now) > before * 2);
}

#[test]
fn an_attempt_that_was_overdue_when_its_caller_left_failed_once() {
    let mut bench = Bench::measured();
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, Report::Overdue).0, 1.0);
    assert_eq!(bench.own(&mut attempt, LEFT), NOTHING);
    // Against a guess it had not failed yet.
    let mut bench = Bench::new();
    let mut attempt = bench.start();
    assert_eq!(bench.own(&mut attempt, Report::Overdue), NOTHING);
    bench.now += SECOND * 60;
    assert_eq!(bench.own(&mut attempt, LEFT).0, 1.0);
}

#[test]
fn a_limit_that_was_configured_counts_though_answers_usually_take_longer() {
    for (limited, weight) in [(true, 1.0), (false, 0.0)] {
        let mut bench = Bench::measured();
        let mut attempt = Try { limited, ..bench.start() };
        bench.now += SECOND;
        assert_eq!(bench.own(&mut attempt, failed(FailureClass::NoFirstToken)).0, weight, "{limited}");
    }
}

#[test]
fn a_whole_answer_that_once_took_a_minute_may_take_two() {
    for (seconds, weight) in [(70, 0.0), (130, 1.0)] {
        let mut bench = Bench::new();
        let mut first = Try { whole: true, ..bench.start() };
        bench.now += SECOND * 60;
        bench.report(&mut first, Report::Content { after: SECOND * 60 });
        bench.report(&mut first, SUCCESS);
        let mut attempt = Try { whole: true, ..bench.start() };
        bench.now += SECOND * seconds;
        assert_eq!(bench.own(&mut attempt, LEFT).0, weight, "{seconds} s");
    }
}

#[test]
fn one_answer_that_comes_after_a_minute_counts_as_long_as_any_call_waits() {
    let mut bench = Bench::measured();
    bench.answer(SECOND * 60);
    assert!(bench.health.ttft(bench.now).mean < SECOND * 2);
    let samples = bench.samples();
    silence(&mut bench, SECOND * 3, LEFT);
    assert_eq!(bench.samples(), samples, "a caller that left measured nothing");
}

#[test]
fn the_most_that_may_fail_is_a_standard_deviation_above_the_mean() {
    let bench = Bench::new();
    let expected = 0.005 + (0.005 * 0.995 / 10.0_f64).sqrt();
    assert!((bench.health.failure_rate_most(bench.now) - expected).abs() < 1e-12);
}

#[test]
fn a_time_per_token_that_is_forgotten_is_as_it_usually_was() {
    let mut bench = Bench::new();
    for _ in 0..29 {
        let mut attempt = bench.start();
        bench.report(&mut attempt, CONTENT);
        bench.report(&mut attempt, Report::Ended(Outcome::Success { tpot: Some(MS(80)) }));
    }
    assert!(bench.health.tpot(bench.now).p50 > MS(75));
    let tpot = bench.health.tpot(bench.now + SECOND * 3_600);
    assert!(tpot.p50 > MS(50) && tpot.samples == 29, "{tpot:?}");
}

#[test]
fn what_an_end_means_follows_from_how_the_attempt_went() {
    use FailureClass as C;
    let summary = AttemptSummary {
        begun: true,
        blocked: Duration::ZERO,
        streamed: Some(SECOND * 2),
        whole: false,
        back: None,
        overtaken: false,
    };
    let failed =
        |summary: AttemptSummary, class| summary.outcome(&AttemptEnd::Failed(crate::words::Failure::new(class, "")), 0);
    let unbegun = AttemptSummary { begun: false, ..summary };
    for class in [C::CallerLeft, C::Cancelled, C::CallEnded, C::Stopped, C::HedgeLost, C::Crashed] {
        assert_eq!(failed(unbegun, class), Outcome::Unused, "{class:?}");
    }
    for (class, why) in [
        (C::CallerLeft, CancelReason::Left),
        (C::Cancelled, CancelReason::Left),
        (C::CallEnded, CancelReason::Ended),
        (C::HedgeLost, CancelReason::Lost),
    ] {
        assert_eq!(failed(summary, class), Outcome::Cancelled(why), "{class:?}");
    }
    let overtaken = AttemptSummary { overtaken: true, ..summary };
    assert_eq!(failed(overtaken, C::HedgeLost), Outcome::Cancelled(CancelReason::Overtaken));
    assert_eq!(failed(overtaken, C::CallEnded), Outcome::Cancelled(CancelReason::Ended), "others say why themselves");
    for class in [C::Crashed, C::LocalShortage, C::Stopped] {
        assert_eq!(failed(summary, class), Outcome::Crashed, "it is ours: {class:?}");
    }
    // A reader that held the stream up for long may be why it was cut.
    let blocked = |blocked| AttemptSummary { blocked, ..summary };
    assert_eq!(failed(blocked(BLOCKED_NO_FAULT), C::Cut), Outcome::Cancelled(CancelReason::Ended));
    assert!(matches!(failed(blocked(MS(4_999)), C::Cut), Outcome::Failure { class: C::Cut, .. }));
    assert!(matches!(failed(blocked(BLOCKED_NO_FAULT), C::Server), Outcome::Failure { class: C::Server, .. }));
}

#[test]
fn the_time_per_token_is_that_of_a_long_stream_that_nothing_held_up() {
    let summary = AttemptSummary {
        begun: true,
        blocked: Duration::ZERO,
        streamed: Some(SECOND * 3),
        whole: false,
        back: None,
        overtaken: false,
    };
    assert_eq!(summary.tpot(16), Some(MS(200)), "the first token was there when it began");
    assert_eq!(summary.tpot(15), None);
    assert_eq!(summary.tpot(0), None);
    assert_eq!(AttemptSummary { blocked: MS(99), ..summary }.tpot(16), Some(MS(200)));
    assert_eq!(AttemptSummary { blocked: MS(100), ..summary }.tpot(16), None);
    assert_eq!(AttemptSummary { whole: true, ..summary }.tpot(16), None);
    assert_eq!(AttemptSummary { streamed: None, ..summary }.tpot(16), None);
}

#[test]
fn no_share_of_failures_is_certain() {
    for (prior, fine) in [(0.0, false), (0.001, true), (0.999, true), (1.0, false)] {
        let options = HealthOptions { failure_rate_prior: prior, ..HealthOptions::default() };
        assert_eq!(options.check("health").is_empty(), fine, "{prior}");
    }
    let never = DetectorOptions { p0: 0.0, p1: 0.3, h: 9.0 };
    for (degraded, field) in [(true, "health.degraded.p0"), (false, "health.slow.p0")] {
        let mut options = HealthOptions::default();
        *(if degraded { &mut options.degraded } else { &mut options.slow }) = never;
        let errors = options.check("health");
        assert!(errors.len() == 1 && errors[0].to_string().starts_with(field), "{errors:?}");
    }
}

#[test]
fn what_began_before_the_target_was_last_heard_of_is_judged_by_the_longest_silence() {
    // Heard of at the very moment at which it began.
    let mut bench = Bench::new();
    let mut other = bench.start();
    let mut attempt = bench.start();
    bench.report(&mut other, CONTENT);
    bench.now += SECOND * 60;
    assert_eq!(bench.own(&mut attempt, LEFT), NOTHING);
}

#[test]
fn times_that_were_forgotten_are_known_and_not_measured() {
    let bench = Bench::measured();
    let ttft = bench.health.ttft(bench.now + SECOND * 3_600);
    assert_eq!(ttft.samples, P90_SAMPLES - 1);
    assert!(ttft.p50 > MS(900) && ttft.p50 < MS(1_100), "{ttft:?}");
    assert!(!bench.health.pace(0, false, None, bench.now + SECOND * 3_600).measured);
}

#[test]
fn a_target_that_never_said_a_word_is_blamed_by_whoever_outlived_it_however_short_that_was() {
    const OVERTAKEN: Report = Report::Ended(Outcome::Cancelled(CancelReason::Overtaken));
    let mut bench = Bench::new();
    assert_eq!((silence(&mut bench, MS(200), OVERTAKEN), silence(&mut bench, MS(200), LOST)), (1.5, 0.0));
    assert_eq!(silence(&mut bench, MS(200), ENDED), 0.0, "where nobody answered, deadlines may be too short for all");
    bench.answer(SECOND);
    assert_eq!(silence(&mut bench, MS(200), OVERTAKEN), 0.0, "it has answered");
    let mut bench = Bench::measured();
    let before = bench.samples();
    assert_eq!((silence(&mut bench, SECOND * 3, OVERTAKEN), silence(&mut bench, SECOND * 5, OVERTAKEN)), (0.0, 1.0));
    assert_eq!(bench.samples(), before, "what was silent moves no percentile");
    let mut slow = bench.start();
    bench.answer(SECOND);
    bench.now += SECOND * 2;
    assert_eq!(bench.own(&mut slow, OVERTAKEN).0, 0.0);
    assert_eq!(bench.samples(), before + 2, "it was slow: others were answered meanwhile");
}

//! Every gate, how they combine, and a property test that drives everything at once.

mod fleet;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::policy::health::CancelReason;

/// How long a class rests where the provider does not say.
const fn rests(class: FailureClass) -> Duration {
    match class.consequences().hold {
        Some(rest) => rest.time,
        None => Duration::ZERO,
    }
}

const KEY_RECHECK: Duration = rests(FailureClass::Unauthorised);
const RATE_LIMIT_DEFAULT: Duration = rests(FailureClass::RateLimited);

use crate::policy::snapshot::{Disabled, Gate};
use crate::words::{Cause, Gauge, Scope};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SUCCESS: Report = Report::Ended(Outcome::Success { tpot: None });
const UNUSED: Report = Report::Ended(Outcome::Unused);

struct Bench {
    admission: Admission,
    now: Instant,
    rng: StdRng,
    in_flight: u32,
}

impl Bench {
    fn new(targets: usize, keys: usize) -> Self {
        let now = Instant::now();
        let admission = Admission::new(options(targets, keys), now);
        Self { admission, now, rng: StdRng::seed_from_u64(3), in_flight: 0 }
    }

    fn ask(&mut self, ask: AdmissionRequest) -> Result<Ticket, Refusal> {
        self.admission.admit(ask, self.in_flight, self.now, &mut self.rng)
    }

    fn admit(&mut self, target: usize) -> Result<Ticket, Refusal> {
        self.ask(AdmissionRequest { target, ..ASK })
    }

    fn last_resort(&mut self, target: usize) -> Result<Ticket, Refusal> {
        self.ask(AdmissionRequest { target, last_resort: true, ..ASK })
    }

    fn report(&mut self, ticket: &Ticket, report: Report) -> Vec<Effect> {
        self.admission.report(ticket, report, self.now, &mut self.rng)
    }

    fn succeed(&mut self, target: usize) -> Vec<Effect> {
        let ticket = self.admit(target).unwrap();
        let mut effects = self.report(&ticket, Report::Content { after: SECOND });
        effects.extend(self.report(&ticket, SUCCESS));
        effects
    }

    /// One attempt that fails, apart from those before it.
    fn fail(&mut self, target: usize, failure: Outcome) -> Vec<Effect> {
        self.now += SECOND / 2;
        let ticket = self.admit(target).unwrap();
        self.report(&ticket, Report::Ended(failure))
    }

    fn break_it(&mut self, target: usize) {
        (0..3).for_each(|_| drop(self.fail(target, failure(FailureClass::Server))));
        assert!(matches!(self.health(target).breaker, BreakerState::Open { .. }));
    }

    /// An answer says that this much is left of a limit of 100 requests.
    fn left(&mut self, ticket: &Ticket, remaining: u64, reset: Option<Duration>) {
        let requests = Some(Gauge { reset, ..Gauge::new(100, remaining) });
        self.admission.limits(ticket, Limits { requests, ..Limits::default() }, self.now);
    }

    /// One attempt after the other by each key, each of which says what is left.
    fn read_keys(&mut self, target: usize, left: &[u64]) {
        for _ in left {
            let ticket = self.admit(target).unwrap();
            self.report(&ticket, UNUSED);
            self.left(&ticket, left[ticket.key], None);
        }
    }

    fn health(&self, target: usize) -> Health {
        self.admission.health(target, self.in_flight, self.now)
    }

    fn local_fault(&mut self, since: Instant) -> Vec<Effect> {
        self.admission.local_fault(since, self.now)
    }
}

const ASK: AdmissionRequest = AdmissionRequest {
    target: 0,
    prompt_tokens: 0,
    whole: false,
    output_max: None,
    output_expected: 0,
    last_resort: false,
    look: None,
    in_use: KeysInUse::NONE,
    other_key: false,
};

fn options(targets: usize, keys: usize) -> AdmissionOptions {
    let targets = vec![TargetOptions::default(); targets];
    AdmissionOptions { targets, keys, breaker: BreakerOptions::default(), health: HealthOptions::default() }
}

fn failure(class: FailureClass) -> Outcome {
    Outcome::Failure { class, scope: crate::words::Failure::new(class, "").scope, retry_after: None }
}

fn retry_after(class: FailureClass, until: Instant) -> Outcome {
    Outcome::Failure { class, scope: crate::words::Failure::new(class, "").scope, retry_after: Some(until) }
}

fn gate<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Gate {
    result.expect_err("was to be refused").gate
}

#[test]
fn a_target_of_which_nothing_is_known_admits() {
    let mut bench = Bench::new(1, 1);
    let ticket = bench.admit(0).unwrap();
    assert!(!ticket.probe && !ticket.last_resort);
    let health = bench.health(0);
    assert_eq!((health.admitted, health.last_used), (1, Some(bench.now)));
    assert_eq!(health.failure_rate, health.failure_rate_prior);
}

#[test]
fn a_provider_without_keys_admits_as_well() {
    assert_eq!(Bench::new(1, 0).admit(0).unwrap().key, 0);
}

#[test]
fn keys_take_turns() {
    let mut bench = Bench::new(1, 3);
    let keys: Vec<_> = (0..6).map(|_| bench.admit(0).unwrap().key).collect();
    assert_eq!(keys, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_key_with_the_most_headroom_goes_first() {
    let mut bench = Bench::new(2, 3);
    bench.read_keys(0, &[20, 60, 40]);
    assert_eq!(bench.health(0).headroom, Some(0.6));
    let keys: Vec<_> = (0..5).map(|_| bench.admit(0).unwrap().key).collect();
    assert_eq!(keys, [1; 5]);
    let keys: Vec<_> = (0..6).map(|_| bench.admit(1).unwrap().key).collect();
    assert_eq!(keys, [0, 1, 2, 0, 1, 2], "limits are those of a target");
    assert_eq!(bench.health(1).headroom, None);
}

#[test]
fn one_reading_sends_no_burst_to_one_key() {
    let mut bench = Bench::new(1, 2);
    bench.read_keys(0, &[50, 90]);
    let mut taken = [0; 2];
    (0..100).for_each(|_| taken[bench.admit(0).unwrap().key] += 1);
    assert_eq!(taken, [30, 70], "down to the same share, and from there on in turn");
}

#[test]
fn the_tokens_of_what_was_admitted_count_against_a_reading() {
    let mut bench = Bench::new(1, 2);
    for _ in 0..2 {
        let ticket = bench.admit(0).unwrap();
        let tokens = Some(Gauge::new(1_000, 900));
        bench.admission.limits(&ticket, Limits { tokens, ..Limits::default() }, bench.now);
    }
    let mut keys = Vec::new();
    for prompt_tokens in [400, 100, 100, 100, 100, 100] {
        keys.push(bench.ask(AdmissionRequest { prompt_tokens, ..ASK }).unwrap().key);
    }
    assert_eq!(keys, [0, 1, 1, 1, 1, 0]);
}

#[test]
fn a_key_that_says_it_has_nothing_left_is_the_last_choice_and_no_gate() {
    let mut bench = Bench::new(1, 2);
    bench.read_keys(0, &[0, 1]);
    let keys: Vec<_> = (0..3).map(|_| bench.admit(0).unwrap().key).collect();
    assert_eq!(keys, [1, 0, 1], "once the other has nothing left either they take turns");
    bench.fail(0, retry_after(FailureClass::RateLimited, bench.now + MINUTE));
    assert!(bench.admit(0).is_ok() && bench.health(0).headroom == Some(0.0));
    let mut single = Bench::new(1, 1);
    for _ in 0..10 {
        let ticket = single.admit(0).unwrap();
        single.left(&ticket, 0, Some(60 * MINUTE));
        single.report(&ticket, SUCCESS);
    }
    assert_eq!(single.health(0).refusal(false, single.now), None);
}

#[test]
fn headroom_is_unknown_again_at_its_reset_and_after_a_minute() {
    for (reset, seconds) in [(Some(5 * SECOND), 5), (Some(60 * MINUTE), 60), (None, 60)] {
        let mut bench = Bench::new(1, 2);
        for _ in 0..2 {
            let ticket = bench.admit(0).unwrap();
            bench.left(&ticket, [0, 50][ticket.key], reset);
        }
        bench.now += (seconds - 1) * SECOND + 999 * SECOND / 1_000;
        assert_eq!([bench.admit(0).unwrap().key, bench.admit(0).unwrap().key], [1, 1]);
        bench.now += SECOND / 1_000;
        assert_eq!([bench.admit(0).unwrap().key, bench.admit(0).unwrap().key], [0, 1]);
        assert_eq!(bench.health(0).headroom, None);
    }
}

#[test]
fn a_key_that_is_limited_or_refused_is_not_used_however_much_it_has_left() {
    let mut bench = Bench::new(1, 2);
    bench.read_keys(0, &[90, 10]);
    bench.fail(0, retry_after(FailureClass::RateLimited, bench.now + MINUTE / 2));
    assert_eq!(bench.admit(0).unwrap().key, 1);
    assert!(bench.health(0).headroom.is_some_and(|share| share < 0.1), "of the key that is used next");
}

#[test]
fn headroom_moves_with_its_key_and_a_crash_that_may_be_its_fault_forgets_it() {
    let mut bench = Bench::new(1, 2);
    bench.read_keys(0, &[10, 90]);
    let mut new = Admission::new(options(1, 2), bench.now);
    new.carry(&bench.admission, &[Some(0)], &[Some(1), None], bench.now);
    assert_eq!(new.admit(ASK, 0, bench.now, &mut bench.rng).unwrap().key, 1, "of the new key nothing is known");
    assert_eq!(new.health(0, 0, bench.now).headroom, None);
    let kept = Admission::restore(&bench.admission, true, bench.now);
    assert_eq!(kept.health(0, 0, bench.now).headroom, Some(0.9));
    let forgot = Admission::restore(&bench.admission, false, bench.now);
    assert_eq!(forgot.health(0, 0, bench.now).headroom, None);
}

#[test]
fn a_401_disables_the_key_for_ten_minutes_and_the_provider_only_without_another() {
    let mut bench = Bench::new(2, 2);
    let class = FailureClass::Unauthorised;
    assert_eq!(bench.fail(0, failure(class)), [Effect::KeyDisabled { key: 0, class }]);
    assert!((0..3).all(|_| bench.admit(1).unwrap().key == 1), "at all targets");
    assert_eq!(bench.health(0).disabled, None);
    let (first, look) = (bench.now + 10 * MINUTE, bench.now + SECOND);
    assert_eq!(bench.fail(1, failure(class)), [Effect::KeyDisabled { key: 1, class }]);
    for target in 0..2 {
        assert_eq!(bench.admit(target).unwrap_err(), Refusal { gate: Gate::Disabled, until: Some(look) });
        assert_eq!(gate(bench.last_resort(target)), Gate::Disabled);
        assert_eq!(bench.health(target).disabled, Some(Disabled::Verdict { class, until: first }));
    }
    bench.now = first;
    assert_eq!(bench.admit(0).unwrap().key, 0, "and then it is checked again");
}

#[test]
fn a_disabled_key_is_published_once_and_again_when_the_check_fails() {
    let mut bench = Bench::new(1, 1);
    let class = FailureClass::OutOfMoney;
    let tickets = [bench.admit(0).unwrap(), bench.admit(0).unwrap()];
    let told = tickets.map(|ticket| bench.report(&ticket, Report::Ended(failure(class))).len());
    assert_eq!(told, [1, 0]);
    bench.now += 15 * MINUTE;
    assert_eq!(bench.fail(0, failure(class)).len(), 1);
}

#[test]
fn each_verdict_lasts_as_long_as_it_should() {
    for (class, scope, key, minutes) in [
        (FailureClass::Unauthorised, Scope::Key, true, 10),
        (FailureClass::Forbidden, Scope::Key, false, 10),
        (FailureClass::Forbidden, Scope::Model, false, 10),
        (FailureClass::OutOfMoney, Scope::Key, true, 15),
        (FailureClass::ModelGone, Scope::Model, false, 60),
        (FailureClass::ModelGone, Scope::Key, false, 60),
    ] {
        let mut bench = Bench::new(2, 1);
        bench.fail(0, Outcome::Failure { class, scope, retry_after: None });
        let until = bench.now + minutes * MINUTE;
        let look = bench.now + SECOND;
        assert_eq!(bench.admit(0).unwrap_err(), Refusal { gate: Gate::Disabled, until: Some(look) }, "{class}");
        assert_eq!(bench.health(0).disabled, Some(Disabled::Verdict { class, until }));
        assert_eq!(bench.admit(1).is_err(), key, "{class} of another target");
        bench.now = until;
        assert!(bench.admit(0).is_ok());
    }
}

#[test]
fn deadlines_only_move_later() {
    let mut bench = Bench::new(1, 1);
    let tickets: Vec<_> = (0..4).map(|_| bench.admit(0).unwrap()).collect();
    let long = bench.now + 20 * MINUTE;
    bench.report(&tickets[0], Report::Ended(failure(FailureClass::OutOfMoney)));
    bench.report(&tickets[1], Report::Ended(failure(FailureClass::Unauthorised)));
    let disabled = |bench: &Bench| bench.health(0).disabled;
    let (class, until) = (FailureClass::OutOfMoney, bench.now + 15 * MINUTE);
    assert_eq!(disabled(&bench), Some(Disabled::Verdict { class, until }));
    bench.report(&tickets[2], Report::Ended(retry_after(FailureClass::RateLimited, long)));
    bench.report(&tickets[3], Report::Ended(retry_after(FailureClass::RateLimited, bench.now + SECOND)));
    assert!(bench.admit(0).unwrap_err().until >= Some(long), "the latest of all gates");
}

#[test]
fn a_429_limits_the_key_at_that_target_only() {
    let mut bench = Bench::new(2, 2);
    let until = bench.now + 30 * SECOND;
    assert_eq!(bench.fail(0, retry_after(FailureClass::RateLimited, until)), []);
    assert!((0..3).all(|_| bench.admit(0).unwrap().key == 1));
    assert_eq!(bench.health(0).rate_limited_until, None);
    let effects = bench.fail(0, retry_after(FailureClass::RateLimited, until + MINUTE));
    let Some(&Effect::RateLimited { target: 0, until: told }) = effects.first() else { panic!("{effects:?}") };
    assert!(told >= until && told <= until + 3 * SECOND, "when the first key is past it, plus a tenth");
    for ask in [bench.admit(0), bench.last_resort(0)] {
        assert_eq!(ask.unwrap_err(), Refusal { gate: Gate::RateLimited, until: Some(told) });
    }
    assert!(bench.admit(1).is_ok(), "the other model is free");
    bench.now = told;
    assert_eq!(bench.admit(0).unwrap().key, 0);
}

#[test]
fn a_429_without_a_time_waits_a_little_and_is_no_failure() {
    let mut bench = Bench::new(1, 1);
    bench.fail(0, failure(FailureClass::RateLimited));
    let look = bench.now + RATE_LIMIT_DEFAULT / 10;
    assert_eq!(bench.admit(0).unwrap_err().until, Some(look), "with no other target to ask");
    assert_eq!(bench.health(0).rate_limited_until, Some(bench.now + RATE_LIMIT_DEFAULT));
    let health = bench.health(0);
    assert_eq!((health.breaker, health.evidence, health.failed), (BreakerState::Closed, 0.0, 0));
}

#[test]
fn a_key_with_which_attempts_keep_failing_comes_after_others_for_a_while() {
    let mut bench = Bench::new(1, 3);
    let answers = |bench: &mut Bench| {
        bench.now += SECOND;
        let ticket = bench.admit(0).unwrap();
        let report = if ticket.key == 1 { Report::Ended(failure(FailureClass::Server)) } else { SUCCESS };
        if ticket.key != 1 {
            bench.report(&ticket, Report::Content { after: SECOND });
        }
        bench.report(&ticket, report);
        ticket.key
    };
    let keys: Vec<usize> = (0..15).map(|_| answers(&mut bench)).collect();
    assert_eq!(keys.iter().filter(|key| **key == 1).count(), 2, "twice, and then others go first: {keys:?}");
    let keys: Vec<usize> = (0..15).map(|_| answers(&mut bench)).collect();
    assert_eq!(keys.iter().filter(|key| **key == 1).count(), 1, "and once more for each further while: {keys:?}");
    // Where nothing else is usable it is used.
    let mut alone = Bench::new(1, 1);
    (0..2).for_each(|_| drop(alone.fail(0, failure(FailureClass::Server))));
    assert_eq!(alone.admit(0).unwrap().key, 0);
}

/// Calls of a target with three keys: one waits as long as is told for its content; or, where that is longer than calls
/// bear, in vain. Returns the share of the second key.
fn share_of_second(bench: &mut Bench, calls: u32, mut wait: impl FnMut(u32, usize) -> Duration) -> f64 {
    let most = 3 * SECOND;
    let keys = (0..calls).map(|n| {
        bench.now += SECOND / 5;
        let mut ticket = bench.admit(0).unwrap();
        let (started, after) = (bench.now, wait(n, ticket.key));
        // It is sent a moment after it was admitted.
        bench.now += SECOND / 1_000;
        ticket.started = bench.now;
        bench.now += after.min(most);
        if after > most {
            bench.report(&ticket, Report::Ended(Outcome::Cancelled(CancelReason::Lost)));
        } else {
            bench.report(&ticket, Report::Content { after });
            bench.report(&ticket, SUCCESS);
        }
        bench.now = started;
        ticket.key
    });
    let keys: Vec<usize> = keys.collect();
    keys.iter().filter(|key| **key == 1).count() as f64 / f64::from(calls)
}

type Wait = fn(u32) -> Duration;

#[test]
fn a_key_that_is_slower_than_others_or_hangs_now_and_then_comes_after_them_and_returns_when_it_is_well() {
    let usual = |n: u32| SECOND / 10 + SECOND / 100 * (n * 7 % 13);
    let slow: [(&str, Wait); 2] = [
        ("twenty times slower", |n| 2 * SECOND + SECOND / 10 * (n % 5)),
        ("hangs for one in five", |n| if n / 3 % 5 == 0 { MINUTE } else { SECOND / 8 }),
    ];
    for (what, slow) in slow {
        let mut bench = Bench::new(1, 3);
        let well = share_of_second(&mut bench, 300, |n, _| usual(n));
        assert!((0.3..0.37).contains(&well), "{what}: {well} while all are alike");
        share_of_second(&mut bench, 200, |n, key| if key == 1 { slow(n) } else { usual(n) });
        let avoided = share_of_second(&mut bench, 600, |n, key| if key == 1 { slow(n) } else { usual(n) });
        assert!(avoided < 0.08, "{what}: {avoided} while it is slow");
        share_of_second(&mut bench, 900, |n, _| usual(n));
        let back = share_of_second(&mut bench, 300, |n, _| usual(n));
        assert!((0.3..0.37).contains(&back), "{what}: {back} once it is well");
    }
    // Where all are slow none is, and a single hang makes no key slow.
    let mut bench = Bench::new(1, 3);
    share_of_second(&mut bench, 300, |n, _| usual(n));
    let all = share_of_second(&mut bench, 300, |n, _| 10 * usual(n));
    assert!((0.28..0.39).contains(&all), "{all} of three that are alike");
    let mut bench = Bench::new(1, 3);
    let once = share_of_second(&mut bench, 300, |n, key| if n == 100 && key == 1 { MINUTE } else { usual(n) });
    assert!((0.3..0.37).contains(&once), "{once} after one hang");
}

#[test]
fn answers_that_break_off_open_a_breaker_however_often_they_have_before_and_failures_that_others_mask_do_not() {
    let opens = |bench: &mut Bench, begins: bool| {
        let attempts = (0..40).find(|n| {
            bench.now += SECOND / 2;
            let ticket = bench.last_resort(0).unwrap();
            if begins || n % 2 == 0 {
                bench.report(&ticket, Report::Content { after: SECOND / 5 });
            }
            let cut = Report::Ended(failure(FailureClass::Cut));
            bench.report(&ticket, if n % 2 == 0 { SUCCESS } else { cut });
            matches!(bench.health(0).breaker, BreakerState::Open { .. })
        });
        bench.admission.reset(Some(0), None, bench.now);
        attempts
    };
    let mut bench = Bench::new(1, 1);
    let masked: Vec<_> = (0..9).map(|_| opens(&mut bench, false)).collect();
    assert!(masked[0].is_some() && masked[8].is_none(), "half of all is usual there: {masked:?}");
    let mut bench = Bench::new(1, 1);
    let broke: Vec<_> = (0..9).map(|_| opens(&mut bench, true)).collect();
    assert!(broke.iter().all(|attempts| attempts.is_some_and(|attempts| attempts < 12)), "{broke:?}");
}

#[test]
fn on_the_way_back_from_answers_that_broke_off_an_answer_proves_itself_by_its_end() {
    let pace = |began: bool| {
        let mut bench = Bench::new(1, 1);
        for _ in 0..4 {
            bench.now += SECOND;
            let Ok(ticket) = bench.admit(0) else { break };
            if began {
                bench.report(&ticket, Report::Content { after: SECOND / 5 });
            }
            bench.report(&ticket, Report::Ended(failure(FailureClass::Cut)));
        }
        while !matches!(bench.health(0).breaker, BreakerState::Ramp { .. }) {
            bench.now += SECOND;
            let ticket = bench.admit(0).unwrap();
            bench.report(&ticket, Report::Content { after: SECOND / 5 });
            bench.report(&ticket, SUCCESS);
        }
        let tickets = [bench.admit(0).unwrap(), bench.admit(0).unwrap()];
        for ticket in &tickets {
            bench.report(ticket, Report::Content { after: SECOND / 5 });
        }
        bench.now += SECOND;
        let begun = bench.health(0).room;
        for ticket in &tickets {
            bench.report(ticket, SUCCESS);
        }
        bench.now += SECOND;
        (begun, bench.health(0).room)
    };
    assert_eq!((pace(false), pace(true)), ((Some(4), Some(4)), (Some(2), Some(4))));
}

#[test]
fn a_key_that_is_silent_while_another_answers_comes_after_it_before_anything_is_overdue() {
    let mut bench = Bench::new(1, 2);
    let mut asked = |calls: u32| {
        let keys = (0..calls).map(|_| {
            bench.now += SECOND;
            let ticket = bench.ask(AdmissionRequest { whole: true, ..ASK }).unwrap();
            bench.now += if ticket.key == 0 { 3 * SECOND } else { SECOND / 3 };
            if ticket.key == 0 {
                bench.report(&ticket, Report::Ended(Outcome::Cancelled(CancelReason::Ended)));
            } else {
                bench.report(&ticket, Report::Content { after: SECOND / 3 });
                bench.report(&ticket, SUCCESS);
            }
            ticket.key
        });
        keys.filter(|key| *key == 0).count()
    };
    assert!(asked(12) <= 6);
    assert_eq!(asked(6), 0, "two long ones in a row, beside four answers of the other key");
}

#[test]
fn who_asks_for_another_key_gets_none_that_the_call_waits_with() {
    let mut bench = Bench::new(1, 3);
    let mut key = |in_use: &[usize], other_key| {
        let in_use = in_use.iter().copied().collect();
        bench.ask(AdmissionRequest { in_use, other_key, ..ASK }).map(|ticket| ticket.key)
    };
    assert_eq!((key(&[0], true), key(&[0, 2], true), key(&[1, 2], true)), (Ok(1), Ok(1), Ok(0)));
    assert_eq!(gate(key(&[0, 1, 2], true)), Gate::Paced);
    assert!(key(&[0, 1, 2], false).is_ok(), "any, where none is asked for");
    assert!((0..6).all(|_| key(&[0, 2], false) == Ok(1)), "one that is not in use goes first");
}

#[test]
fn a_refusal_that_names_nothing_is_about_places_where_others_are_in_flight_and_answer() {
    let mut bench = Bench::new(1, 1);
    let crowded = |bench: &mut Bench| bench.admit(0).unwrap().is_crowded;
    bench.in_flight = 5;
    assert!(!crowded(&mut bench), "nothing is known to be answered");
    bench.succeed(0);
    assert!(crowded(&mut bench));
    bench.in_flight = 0;
    assert!(!crowded(&mut bench), "it is alone");
    bench.in_flight = 5;
    let ticket = bench.admit(0).unwrap();
    bench.left(&ticket, 40, None);
    assert!(!crowded(&mut bench), "a limit is known");
    let mut bench = Bench::new(1, 1);
    bench.succeed(0);
    bench.in_flight = 5;
    let ticket = bench.admit(0).unwrap();
    bench.report(&ticket, Report::Ended(failure(FailureClass::Overloaded)));
    bench.in_flight = 2;
    assert!(crowded(&mut bench), "what is sent in the moment after it is refused for the same reason");
    bench.now += Duration::from_secs(1);
    assert!(!crowded(&mut bench), "after a cut it must be answered anew: else it is a limit after all");
}

#[test]
fn a_target_that_is_out_is_not_full_whatever_it_lacks() {
    let full = 2_048;
    let mut bench = Bench::new(1, 1);
    bench.in_flight = full;
    assert!(bench.last_resort(0).unwrap_err().is_full());
    bench.in_flight = 0;
    bench.break_it(0);
    bench.in_flight = full;
    assert_eq!(bench.last_resort(0).unwrap_err(), Refusal { gate: Gate::Breaker, until: None });
    let mut bench = Bench::new(1, 1);
    bench.fail(0, failure(FailureClass::RateLimited));
    bench.now += RATE_LIMIT_DEFAULT / 10;
    bench.in_flight = full;
    assert_eq!(gate(bench.last_resort(0)), Gate::RateLimited, "a look that has no place");
    bench.now += RATE_LIMIT_DEFAULT * 2;
    assert!(bench.last_resort(0).unwrap_err().is_full());
}

#[test]
fn a_key_that_is_limited_and_one_that_is_disabled_leave_none_until_the_first_is_back() {
    let mut bench = Bench::new(1, 2);
    bench.fail(0, failure(FailureClass::Unauthorised));
    bench.fail(0, failure(FailureClass::RateLimited));
    let until = Some(bench.now + RATE_LIMIT_DEFAULT / 10);
    assert_eq!(bench.admit(0).unwrap_err(), Refusal { gate: Gate::RateLimited, until });
}

#[test]
fn a_403_bars_one_key_at_that_target_until_every_key_was_refused_there() {
    for class in [FailureClass::Forbidden, FailureClass::ModelGone] {
        let mut bench = Bench::new(2, 3);
        let refused = Outcome::Failure { class, scope: Scope::Key, retry_after: None };
        for key in 0..2 {
            assert_eq!(bench.fail(0, refused), [Effect::KeyDisabled { key, class }]);
            assert_eq!(bench.health(0).disabled, None);
        }
        assert!((0..6).all(|_| bench.admit(0).unwrap().key == 2));
        assert_eq!(bench.fail(0, refused), [Effect::TargetDisabled { target: 0, class }], "now it is the target's");
        assert!(matches!(bench.health(0).disabled, Some(Disabled::Verdict { class: why, .. }) if why == class));
        let keys: Vec<_> = (0..3).map(|_| bench.admit(1).unwrap().key).collect();
        assert_eq!(keys, [0, 1, 2], "another target may be for all of them");
    }
}

#[test]
fn a_429_of_the_model_holds_the_target_for_all_keys() {
    let mut bench = Bench::new(2, 3);
    let until = Some(bench.now + 30 * SECOND);
    bench.fail(0, Outcome::Failure { class: FailureClass::RateLimited, scope: Scope::Model, retry_after: until });
    let refusal = bench.admit(0).unwrap_err();
    assert!(refusal.gate == Gate::RateLimited && refusal.until >= until, "{refusal:?}");
    assert!(bench.admit(1).is_ok());
}

#[test]
fn a_limit_that_ends_with_time_is_the_cause_rather_than_a_key_that_needs_an_operator() {
    for (first, second) in [
        (FailureClass::Unauthorised, FailureClass::RateLimited),
        (FailureClass::RateLimited, FailureClass::Unauthorised),
    ] {
        let mut bench = Bench::new(1, 2);
        for class in [first, second] {
            let wait = bench.now + 3 * 60 * MINUTE;
            bench.fail(0, if class == FailureClass::RateLimited { retry_after(class, wait) } else { failure(class) });
        }
        let refusal = bench.admit(0).unwrap_err();
        assert_eq!(refusal.gate, Gate::RateLimited);
        assert!(refusal.until.is_some_and(|until| until <= bench.now + 10 * MINUTE), "when the first key is checked");
    }
}

#[test]
fn a_key_whose_time_is_over_is_checked_by_one_call_while_others_have_another() {
    let mut bench = Bench::new(1, 2);
    bench.fail(0, failure(FailureClass::Unauthorised));
    bench.now += 10 * MINUTE;
    let tickets: Vec<_> = (0..100).map(|_| bench.admit(0).unwrap()).collect();
    assert_eq!(tickets.iter().filter(|ticket| ticket.key == 0).count(), 1);
    // A look that is cancelled proves nothing; a minute later another one goes.
    bench.now += MINUTE;
    let keys: Vec<_> = (0..100).map(|_| bench.admit(0).unwrap()).filter(|ticket| ticket.key == 0).collect();
    assert_eq!(keys.len(), 1);
    bench.report(&keys[0], SUCCESS);
    assert!((0..4).filter(|_| bench.admit(0).unwrap().key == 0).count() == 2, "it takes its turn again");
    let mut sole = Bench::new(1, 1);
    sole.fail(0, failure(FailureClass::Unauthorised));
    sole.now += 10 * MINUTE;
    assert!((0..100).all(|_| sole.admit(0).is_ok()), "who has no other key is not turned away");
}

#[test]
fn a_sole_targets_verdict_is_looked_at_after_a_second_by_one_call_and_an_answer_lifts_it() {
    for (class, scope) in [
        (FailureClass::Unauthorised, Scope::Key),
        (FailureClass::OutOfMoney, Scope::Key),
        (FailureClass::Forbidden, Scope::Key),
        (FailureClass::ModelGone, Scope::Model),
    ] {
        let mut bench = Bench::new(1, 1);
        bench.fail(0, Outcome::Failure { class, scope, retry_after: None });
        for seconds in [1, 2, 4] {
            bench.now += seconds * SECOND * 59 / 60;
            assert!(bench.last_resort(0).is_err(), "{class} before {seconds} s");
            bench.now += seconds * SECOND / 60 + Duration::from_millis(1);
            assert!(bench.admit(0).is_err(), "others have somebody else to ask");
            let look = bench.last_resort(0).expect("a look");
            let again = |bench: &mut Bench| bench.last_resort(0).is_ok_and(|other| other.key == look.key);
            assert!(look.look && !again(&mut bench), "one call");
            if seconds < 4 {
                bench.report(&look, Report::Ended(Outcome::Failure { class, scope, retry_after: None }));
            } else {
                let told = bench.report(&look, SUCCESS);
                assert!(
                    matches!(told[..], [Effect::Lifted(IndexedHold { cause: Cause::Failure(why), .. })] if why == class)
                );
                assert!(bench.admit(0).is_ok());
            }
        }
    }
}

#[test]
fn a_hold_of_a_retry_after_is_tested_after_an_hour_and_not_before() {
    for class in [FailureClass::RateLimited, FailureClass::Overloaded] {
        let mut bench = Bench::new(1, 1);
        bench.fail(0, retry_after(class, bench.now + 24 * 60 * MINUTE));
        for _ in 0..59 {
            bench.now += MINUTE;
            assert!(bench.last_resort(0).is_err());
        }
        bench.now += MINUTE;
        let look = bench.last_resort(0).expect("a look");
        assert!(look.look && bench.last_resort(0).is_err());
        bench.report(&look, SUCCESS);
        assert!(bench.admit(0).is_ok(), "{class}: {:?}", bench.health(0));
    }
}

#[test]
fn a_test_of_a_hold_replaces_its_end_by_a_sooner_one_of_the_provider() {
    let mut bench = Bench::new(1, 1);
    bench.fail(0, retry_after(FailureClass::RateLimited, bench.now + 24 * 60 * MINUTE));
    bench.now += 60 * MINUTE;
    let look = bench.last_resort(0).expect("a look");
    bench.report(&look, Report::Ended(retry_after(FailureClass::RateLimited, bench.now + MINUTE)));
    bench.now += MINUTE + 10 * SECOND;
    assert!(bench.admit(0).is_ok());
}

#[test]
fn an_operator_lifts_all_holds_and_is_told_what_they_were() {
    let mut bench = Bench::new(2, 2);
    let day = bench.now + 24 * 60 * MINUTE;
    bench.fail(0, retry_after(FailureClass::RateLimited, day));
    bench.fail(0, failure(FailureClass::Unauthorised));
    bench.fail(1, failure(FailureClass::ModelGone));
    bench.admission.force(1, Force::Off { until: None }, bench.now);
    let named = |indexed_holds: &[IndexedHold]| -> Vec<_> {
        indexed_holds.iter().map(|it| format!("{:?} {:?} {}", it.target, it.key, it.cause)).collect()
    };
    let all = [
        "None Some(1) unauthorised",
        "Some(0) Some(0) rate_limited",
        "Some(1) None model_gone",
        "Some(1) None operator",
    ];
    assert_eq!(named(&bench.admission.indexed_holds(bench.now)), all);
    for (target, key, lifted) in [
        (None, None, &all[..]),
        (Some(0), None, &all[..2]),
        (None, Some(0), &all[1..2]),
        (None, Some(1), &all[..1]),
        (Some(1), None, &[all[0], all[2], all[3]]),
    ] {
        let mut admission = bench.admission.clone();
        assert_eq!(named(&admission.reset(target, key, bench.now)), lifted);
        let left: Vec<_> = all.into_iter().filter(|one| !lifted.contains(one)).collect();
        assert_eq!(named(&admission.indexed_holds(bench.now)), left);
        let told = admission.effects();
        assert_eq!(told.len(), lifted.len(), "each is told: {told:?}");
        if target.is_some() || key.is_none() {
            let target = target.unwrap_or(0);
            assert!(admission.admit(AdmissionRequest { target, ..ASK }, 0, bench.now, &mut bench.rng).is_ok());
        }
    }
    bench.admission.reset(None, None, bench.now);
    bench.break_it(0);
    assert_eq!(named(&bench.admission.indexed_holds(bench.now)), ["Some(0) None breaker_open"]);
    bench.admission.reset(Some(0), None, bench.now);
    assert_eq!((bench.health(0).breaker, bench.admission.indexed_holds(bench.now)), (BreakerState::Closed, vec![]));
    assert_eq!(bench.admission.reset(None, None, bench.now), [], "and nothing is no fault");
}

#[test]
fn a_new_retry_after_max_applies_to_existing_holds_too() {
    for class in [FailureClass::RateLimited, FailureClass::Overloaded] {
        let mut bench = Bench::new(1, 1);
        bench.fail(0, retry_after(class, bench.now + 24 * 60 * MINUTE));
        let mut short = options(1, 1);
        short.breaker.retry_after_max = SECOND;
        let mut new = Admission::new(short, bench.now);
        bench.now += 2 * SECOND;
        new.carry(&bench.admission, &[Some(0)], &[Some(0)], bench.now);
        assert!(new.admit(ASK, 0, bench.now, &mut bench.rng).is_ok(), "{class}");
        let mut long = Admission::new(options(1, 1), bench.now);
        long.carry(&new, &[Some(0)], &[Some(0)], bench.now);
        assert!(long.admit(ASK, 0, bench.now, &mut bench.rng).is_err(), "and back again: {class}");
    }
}

#[test]
fn a_full_target_refuses_and_does_not_know_until_when() {
    let mut bench = Bench::new(1, 1);
    bench.in_flight = 2_048;
    for ask in [bench.admit(0), bench.last_resort(0)] {
        assert_eq!(ask.unwrap_err(), Refusal { gate: Gate::InFlight, until: None });
    }
    bench.in_flight = 2_047;
    assert!(bench.admit(0).is_ok());
}

#[test]
fn an_outage_opens_is_probed_ramps_and_closes_and_every_transition_is_published() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    assert_eq!(gate(bench.admit(0)), Gate::Breaker);
    bench.now += 5 * SECOND;
    let probe = bench.admit(0).unwrap();
    assert!(probe.probe);
    let told = bench.admission.effects();
    assert!(matches!(told[..], [Effect::Transition { to: BreakerState::HalfOpen, .. }]), "{told:?}");
    assert_eq!(bench.admit(0).unwrap_err(), Refusal { gate: Gate::Breaker, until: None });
    assert!(!bench.health(0).probe_free);
    bench.report(&probe, Report::Content { after: SECOND });
    assert!(bench.health(0).probe_free);
    bench.report(&probe, SUCCESS);
    let mut told = bench.succeed(0);
    bench.now += 2 * SECOND;
    told.extend(bench.succeed(0));
    let states = told.iter().filter_map(|effect| match effect {
        Effect::Transition { to, .. } => Some(to.name()),
        _ => None,
    });
    assert_eq!(states.collect::<Vec<_>>(), ["ramp", "closed"]);
}

#[test]
fn an_overload_with_retry_after_opens_and_not_even_a_last_resort_passes_it() {
    let mut bench = Bench::new(1, 1);
    let until = bench.now + 30 * SECOND;
    bench.fail(0, retry_after(FailureClass::Overloaded, until));
    let refusal = bench.admit(0).unwrap_err();
    assert!(refusal.gate == Gate::Overloaded && refusal.until >= Some(until), "{refusal:?}");
    assert_eq!(gate(bench.last_resort(0)), Gate::Overloaded);
    bench.now = refusal.until.unwrap();
    assert!(bench.admit(0).unwrap().probe);
}

#[test]
fn an_overload_without_retry_after_is_a_plain_failure() {
    let mut bench = Bench::new(1, 1);
    assert_eq!(bench.fail(0, failure(FailureClass::Overloaded)), []);
    assert!(bench.admit(0).is_ok());
}

#[test]
fn a_last_resort_that_answers_more_often_than_not_is_asked_by_many_at_a_time() {
    let mut bench = Bench::new(1, 1);
    (0..30).for_each(|_| drop(bench.succeed(0)));
    bench.break_it(0);
    let health = bench.health(0);
    assert!(matches!(health.breaker, BreakerState::Open { .. }) && health.resort_max == u32::MAX, "{health:?}");
    assert!(bench.ask(ASK).is_err(), "others have somewhere else to go");
    let resort = AdmissionRequest { last_resort: true, ..ASK };
    assert!((0..9).all(|_| bench.ask(resort).is_ok()));
    // If it stayed down, that would soon end.
    for _ in 0..60 {
        bench.now += SECOND;
        if let Ok(ticket) = bench.ask(resort) {
            bench.report(&ticket, Report::Ended(failure(FailureClass::Server)));
        }
    }
    assert_eq!(bench.health(0).resort_max, 0);
    let first = bench.ask(resort).expect("one at a time");
    assert!(first.probe && bench.ask(resort).is_err());
}

#[test]
fn a_last_resort_passes_open_alone_and_never_a_limit_or_a_verdict() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    let ticket = bench.last_resort(0).unwrap();
    assert!(ticket.last_resort && ticket.probe);
    assert_eq!(gate(bench.last_resort(0)), Gate::Breaker);
    bench.report(&ticket, Report::Content { after: SECOND });
    assert_eq!(gate(bench.last_resort(0)), Gate::Breaker, "one in flight, not one before content");
    let before = bench.health(0).breaker;
    bench.report(&ticket, Report::Ended(failure(FailureClass::Cut)));
    assert_eq!(bench.health(0).breaker, before);
    let ticket = bench.last_resort(0).unwrap();
    bench.report(&ticket, Report::Ended(retry_after(FailureClass::RateLimited, bench.now + MINUTE)));
    assert_eq!(gate(bench.last_resort(0)), Gate::RateLimited);
}

#[test]
fn an_unused_probe_frees_its_slot_and_proves_nothing() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    bench.now += 5 * SECOND;
    for outcome in [Outcome::Unused, Outcome::Crashed, Outcome::Cancelled(CancelReason::Left)] {
        let evidence = bench.health(0).evidence;
        let probe = bench.admit(0).unwrap();
        bench.report(&probe, Report::Ended(outcome));
        let health = bench.health(0);
        assert_eq!((health.breaker, health.evidence), (BreakerState::HalfOpen, evidence));
    }
}

#[test]
fn a_probe_that_its_caller_leaves_in_silence_opens_again() {
    // A caller that leaves says how patient it is: only a late answer is one.
    for (why, time) in [(CancelReason::Left, 5 * SECOND), (CancelReason::Ended, SECOND), (CancelReason::Lost, SECOND)] {
        let mut bench = Bench::new(1, 1);
        bench.break_it(0);
        bench.now += 5 * SECOND;
        let probe = bench.admit(0).unwrap();
        bench.now += time / 5;
        bench.report(&probe, Report::Ended(Outcome::Cancelled(why)));
        assert_eq!(bench.health(0).breaker, BreakerState::HalfOpen, "too early to say: the next one probes");
        let probe = bench.admit(0).unwrap();
        bench.now += time;
        bench.report(&probe, Report::Ended(Outcome::Cancelled(why)));
        assert_eq!(gate(bench.admit(0)), Gate::Breaker, "{why:?}");
        bench.now += 5 * SECOND;
        let probe = bench.admit(0).unwrap();
        bench.now += SECOND;
        bench.report(&probe, Report::Content { after: SECOND });
        bench.report(&probe, Report::Ended(Outcome::Cancelled(why)));
        assert_eq!(bench.health(0).breaker, BreakerState::HalfOpen, "it was told something");
    }
}

#[test]
fn callers_that_leave_a_hung_target_teach_and_impatient_ones_do_not() {
    // Calls, each left or answered after this long; and whether that opens the breaker.
    let left = |millis| (millis, Outcome::Cancelled(CancelReason::Left));
    let ended = |millis| (millis, Outcome::Cancelled(CancelReason::Ended));
    let whole = AdmissionRequest { whole: true, ..ASK };
    for (ask, calls, opens) in [
        (ASK, vec![left(30_000); 3], true),
        (ASK, vec![left(5_000); 3], true),
        (ASK, vec![left(2_000); 5], true),
        (whole, vec![left(30_000); 3], true),
        (whole, vec![left(5_000); 5], true),
        (whole, vec![left(5_000); 4], false),
        (ASK, vec![left(100); 72], false),
        (whole, vec![left(1_000); 72], false),
        (ASK, vec![ended(3_000); 72], false),
        (ASK, vec![ended(5_000); 5], true),
        (whole, vec![ended(10_000); 72], false),
    ] {
        let mut bench = Bench::new(1, 1);
        for (millis, outcome) in &calls {
            let Ok(ticket) = bench.ask(ask) else { break };
            bench.now += Duration::from_millis(*millis);
            bench.report(&ticket, Report::Ended(*outcome));
        }
        let open = matches!(bench.health(0).breaker, BreakerState::Open { .. });
        assert_eq!(open, opens, "{} calls {:?}, whole: {}", calls.len(), calls[0], ask.whole);
    }
}

/// Lets four callers, far apart, leave in silence; one more waits from their time on.
fn left_by_four(bench: &mut Bench) -> Ticket {
    let patient = bench.ask(ASK).unwrap();
    for _ in 0..4 {
        let Ok(ticket) = bench.ask(ASK) else { break };
        bench.now += 5 * SECOND;
        bench.report(&ticket, Report::Ended(Outcome::Cancelled(CancelReason::Left)));
    }
    assert!(matches!(bench.health(0).breaker, BreakerState::Open { .. }));
    patient
}

#[test]
fn content_closes_what_only_callers_that_left_had_opened() {
    let content = Report::Content { after: 20 * SECOND };
    let mut bench = Bench::new(1, 1);
    let patient = left_by_four(&mut bench);
    bench.report(&patient, content);
    assert_eq!(bench.health(0).breaker, BreakerState::Closed);
    // Once it is probed, too.
    let mut bench = Bench::new(1, 1);
    let patient = left_by_four(&mut bench);
    bench.now += 3 * SECOND;
    let probe = bench.admit(0).unwrap();
    bench.now += 10 * SECOND;
    bench.report(&probe, Report::Ended(Outcome::Cancelled(CancelReason::Left)));
    assert!(matches!(bench.health(0).breaker, BreakerState::Open { .. }), "it was silent to the probe");
    bench.report(&patient, content);
    assert_eq!(bench.health(0).breaker, BreakerState::Closed);
    // What refuses is known to refuse, whatever an older attempt hears.
    let mut bench = Bench::new(1, 1);
    let patient = left_by_four(&mut bench);
    bench.now += 3 * SECOND;
    bench.fail(0, failure(FailureClass::Server));
    bench.report(&patient, content);
    assert!(matches!(bench.health(0).breaker, BreakerState::Open { .. }));
}

#[test]
fn a_sole_target_that_is_only_silent_is_asked_by_as_many_as_it_has_carried() {
    let mut bench = Bench::new(1, 1);
    bench.in_flight = 4;
    let patient = left_by_four(&mut bench);
    assert_eq!(bench.health(0).resort_max, 5, "as many as were let in");
    let resort = AdmissionRequest { last_resort: true, ..ASK };
    let first = bench.ask(resort).expect("four are there");
    let second = bench.ask(resort).expect("the place of a probe is taken, and yet");
    assert!(first.last_resort && !second.last_resort);
    bench.in_flight = 5;
    assert_eq!(gate(bench.ask(resort)), Gate::Breaker);
    assert_eq!(gate(bench.ask(ASK)), Gate::Breaker, "others have somewhere else to go");
    // Any of them that is answered proves it.
    bench.report(&second, Report::Content { after: SECOND });
    assert_eq!(bench.health(0).breaker, BreakerState::Closed);
    let _ = patient;
    // One that refuses is asked by one at a time.
    let mut bench = Bench::new(1, 1);
    bench.in_flight = 4;
    left_by_four(&mut bench);
    let first = bench.ask(resort).unwrap();
    bench.report(&first, Report::Ended(failure(FailureClass::Server)));
    assert_eq!(bench.health(0).resort_max, 0);
}

#[test]
fn a_failure_of_the_endpoint_reaches_the_siblings_breakers() {
    let mut bench = Bench::new(3, 1);
    let connect = Outcome::Failure { class: FailureClass::Connect, scope: Scope::Endpoint, retry_after: None };
    for target in [0, 0, 0, 1, 1] {
        bench.fail(target, connect);
    }
    let health = bench.health(2);
    assert!(health.evidence > 0.5 && health.failure_rate > health.failure_rate_prior);
    assert_eq!((health.breaker, health.failed, health.admitted), (BreakerState::Closed, 0, 0));
    for _ in 0..2 {
        bench.fail(2, connect);
    }
    assert!(matches!(bench.health(2).breaker, BreakerState::Open { .. }), "two of its own and five in part");
}

#[test]
fn an_operator_takes_a_target_out_and_puts_it_back() {
    let mut bench = Bench::new(1, 1);
    bench.admission.force(0, Force::Off { until: None }, bench.now);
    for ask in [bench.admit(0), bench.last_resort(0)] {
        assert_eq!(ask.unwrap_err(), Refusal { gate: Gate::Disabled, until: None });
    }
    bench.admission.force(0, Force::Auto, bench.now);
    assert!(bench.admit(0).is_ok());
    let until = Some(bench.now + MINUTE);
    bench.admission.force(0, Force::Off { until }, bench.now);
    assert_eq!(bench.admit(0).unwrap_err(), Refusal { gate: Gate::Disabled, until });
    bench.now += MINUTE;
    assert!(bench.admit(0).is_ok());
}

#[test]
fn an_operator_overrides_the_breaker_and_nothing_else() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    bench.admission.force(0, Force::On { until: Some(bench.now + MINUTE) }, bench.now);
    let tickets = [bench.admit(0).unwrap(), bench.admit(0).unwrap()];
    assert!(tickets.iter().all(|ticket| !ticket.probe) && bench.health(0).forced_on);
    bench.report(&tickets[0], Report::Ended(retry_after(FailureClass::Overloaded, bench.now + SECOND)));
    assert_eq!(gate(bench.admit(0)), Gate::Overloaded);
    bench.now += 2 * SECOND;
    bench.report(&tickets[1], Report::Ended(failure(FailureClass::Unauthorised)));
    assert_eq!(gate(bench.admit(0)), Gate::Disabled);
}

#[test]
fn the_flag_is_published_when_it_is_raised_and_lowered() {
    let mut bench = Bench::new(1, 1);
    let mut told = Vec::new();
    for round in 0..150 {
        let effects =
            if round % 8 == 7 && round < 80 { bench.fail(0, failure(FailureClass::Cut)) } else { bench.succeed(0) };
        told.extend(effects.into_iter().filter(|effect| matches!(effect, Effect::Degraded { .. })));
    }
    assert_eq!(told, [true, false].map(|raised| Effect::Degraded { target: 0, raised }));
}

#[test]
fn after_an_outage_a_recovered_target_is_neither_degraded_nor_slow() {
    let mut bench = Bench::new(1, 1);
    (0..3).for_each(|_| drop(bench.fail(0, failure(FailureClass::NoFirstToken))));
    for _ in 0..3 {
        bench.now += 5 * SECOND;
        bench.fail(0, failure(FailureClass::NoFirstToken));
    }
    let ill = bench.health(0);
    assert!(ill.degraded && ill.slow, "{ill:?}");
    bench.now += 5 * SECOND;
    let told: Vec<_> = (0..2).flat_map(|_| bench.succeed(0)).collect();
    assert!(told.contains(&Effect::Degraded { target: 0, raised: false }), "{told:?}");
    let well = bench.health(0);
    assert!(matches!(well.breaker, BreakerState::Ramp { .. }) && !well.degraded && !well.slow, "{well:?}");
    assert!(ill.failure_rate > 0.3 && well.failure_rate < 0.01, "{well:?}");
}

#[test]
fn our_networks_failure_is_taken_back_and_pauses_probes_until_something_is_delivered() {
    let mut bench = Bench::new(2, 1);
    let since = bench.now;
    let connect = Outcome::Failure { class: FailureClass::Connect, scope: Scope::Endpoint, retry_after: None };
    for _ in 0..3 {
        bench.fail(0, connect);
    }
    let told = bench.local_fault(since);
    assert!(matches!(told[..], [Effect::Transition { to: BreakerState::Closed, .. }, ..]), "{told:?}");
    for target in 0..2 {
        let health = bench.health(target);
        assert!(health.failure_rate < 0.01, "{health:?}");
    }
    for _ in 0..9 {
        bench.fail(0, connect);
    }
    assert_eq!(bench.health(0).breaker, BreakerState::Closed, "none counts now");
    bench.admission.delivered();
    bench.break_it(0);
    bench.local_fault(bench.now);
    let back = bench.now + LOCAL_FAULT_MAX;
    bench.now += 30 * SECOND;
    assert_eq!(bench.admit(0).unwrap_err(), Refusal { gate: Gate::Breaker, until: Some(back) });
    let ticket = bench.last_resort(0).unwrap();
    bench.report(&ticket, UNUSED);
    assert_eq!(gate(bench.admit(0)), Gate::Breaker);
    bench.admission.delivered();
    assert!(bench.admit(0).unwrap().probe);
}

#[test]
fn holds_that_ended_during_the_machines_sleep_are_over() {
    let mut bench = Bench::new(1, 1);
    bench.fail(0, retry_after(FailureClass::RateLimited, bench.now + 3_600 * SECOND));
    let held = |bench: &Bench| bench.health(0).rate_limited_until.map(|until| until - bench.now);
    let wait = held(&bench).expect("it has to wait");
    bench.admission.slept(600 * SECOND);
    assert_eq!(held(&bench), wait.checked_sub(600 * SECOND), "less than that is no end");
    bench.admission.slept(2 * 3_600 * SECOND);
    assert_eq!(held(&bench), None);
    assert!(bench.admit(0).is_ok());
}

#[test]
fn a_hint_moves_the_expected_failure_rate_and_is_no_evidence() {
    use crate::words::Reported;
    let mut bench = Bench::new(1, 1);
    let usual = bench.health(0);
    let said = |bench: &mut Bench, reported| {
        bench.admission.hint(reported, bench.now + MINUTE);
        bench.health(0)
    };
    let down = said(&mut bench, Some(Reported::Down));
    assert!((down.failure_rate - 0.3).abs() < 1e-9 && down.evidence == usual.evidence, "{down:?}");
    assert_eq!((down.breaker, down.failure_rate_prior), (BreakerState::Closed, usual.failure_rate_prior));
    assert!(bench.admit(0).is_ok(), "nothing is closed");
    let troubled = said(&mut bench, Some(Reported::Troubled));
    assert!(troubled.failure_rate < down.failure_rate && troubled.failure_rate > usual.failure_rate);
    for well in [Some(Reported::Well), None] {
        assert_eq!(said(&mut bench, well).failure_rate, usual.failure_rate);
    }
    // Attempts weigh more than hints, and hints fade.
    said(&mut bench, Some(Reported::Down));
    for _ in 0..30 {
        bench.succeed(0);
    }
    let tried = bench.health(0);
    assert!(tried.failure_rate < 0.15 && tried.failure_rate > 0.03, "{tried:?}");
    bench.now += MINUTE;
    assert_eq!(bench.health(0).hint, None);
    assert!(bench.health(0).failure_rate < 0.01);
}

#[test]
fn a_local_fault_without_an_end_ends_by_itself() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    bench.local_fault(bench.now);
    bench.now += LOCAL_FAULT_MAX;
    assert!(bench.admit(0).is_ok());
}

#[test]
fn a_failed_probe_proves_nothing_while_our_network_is_down() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    bench.now += 5 * SECOND;
    let probe = bench.admit(0).unwrap();
    bench.local_fault(bench.now);
    bench.report(&probe, Report::Ended(failure(FailureClass::Connect)));
    bench.admission.delivered();
    assert!(bench.admit(0).unwrap().probe);
}

#[test]
fn a_restart_keeps_verdicts_always_and_statistics_on_demand() {
    let mut bench = Bench::new(3, 1);
    bench.break_it(0);
    bench.fail(1, failure(FailureClass::ModelGone));
    bench.fail(2, failure(FailureClass::Cut));
    bench.fail(2, retry_after(FailureClass::RateLimited, bench.now + MINUTE));
    bench.admission.force(2, Force::On { until: None }, bench.now);
    for keep in [true, false] {
        let restored = Admission::restore(&bench.admission, keep, bench.now);
        for target in 0..3 {
            let (before, after) = (bench.health(target), restored.health(target, 0, bench.now));
            assert_eq!(after.generation, before.generation + 1);
            assert_eq!(after.gates(), before.gates());
            assert_eq!(after.failure_rate == before.failure_rate, keep || before.evidence == 0.0);
            assert_eq!((after.admitted, after.failed), (before.admitted, before.failed));
        }
    }
}

#[test]
fn a_predecessors_tickets_feed_statistics_only() {
    let mut bench = Bench::new(1, 1);
    // The last checkpoint is older than the tickets.
    let checkpoint = bench.admission.clone();
    let mut stragglers: Vec<_> = (0..20)
        .map(|_| {
            bench.now += SECOND;
            bench.admit(0).unwrap()
        })
        .collect();
    bench.report(&stragglers[0], Report::Content { after: SECOND });
    bench.admission = Admission::restore(&checkpoint, true, bench.now);
    let own = bench.admit(0).unwrap();
    assert!(stragglers.iter().all(|ticket| ticket.serial != own.serial));
    for ticket in stragglers.drain(..) {
        for report in [Report::Overdue, Report::Gap, Report::Ended(failure(FailureClass::Cut))] {
            let told = bench.report(&ticket, report);
            assert!(!told.iter().any(|effect| matches!(effect, Effect::Transition { .. })));
        }
    }
    assert_eq!(bench.health(0).breaker, BreakerState::Closed);
    assert!(bench.health(0).failure_rate > 0.4);
    assert!(bench.admission.progress.is_empty());
}

#[test]
fn a_ticket_of_a_target_that_is_gone_is_harmless() {
    let mut bench = Bench::new(2, 2);
    bench.admit(0).unwrap();
    let ticket = bench.admit(1).unwrap();
    bench.admission = Admission::new(options(1, 1), bench.now);
    for &class in FailureClass::ALL {
        assert_eq!(bench.report(&ticket, Report::Ended(failure(class))), []);
        bench.left(&ticket, 7, None);
        let ticket = Ticket { target: 0, generation: 9, ..ticket };
        bench.left(&ticket, 7, None);
        bench.report(&ticket, Report::Ended(failure(class)));
    }
}

#[test]
fn a_reconfiguration_carries_what_is_the_same_and_forgets_the_rest() {
    let mut bench = Bench::new(3, 2);
    bench.break_it(0);
    bench.fail(1, retry_after(FailureClass::RateLimited, bench.now + MINUTE));
    bench.fail(2, failure(FailureClass::Unauthorised));
    let disabled = bench.admission.keys.iter().position(Option::is_some).unwrap();
    let mut new = Admission::new(options(3, 2), bench.now);
    new.carry(&bench.admission, &[Some(1), None, Some(0)], &[Some(1), Some(0)], bench.now);
    assert!(matches!(new.health(2, 0, bench.now).breaker, BreakerState::Open { .. }));
    assert_eq!(new.health(1, 0, bench.now).evidence, 0.0);
    assert!(new.keys[1 - disabled].is_some() && new.keys[disabled].is_none());
    let limits = |admission: &Admission, target: usize| {
        admission.targets[target].keys.iter().map(|key| key.hold).collect::<Vec<_>>()
    };
    let before = limits(&bench.admission, 1);
    assert_eq!(limits(&new, 0), [before[1], before[0]]);
    assert_eq!(new.health(0, 0, bench.now).generation, bench.health(1).generation + 1);
    assert!(new.admit(ASK, 0, bench.now, &mut bench.rng).map_or(true, |ticket| ticket.serial > SERIALS));

    let mut other = options(1, 1);
    other.health.failure_rate_prior = 0.02;
    let mut new = Admission::new(other, bench.now);
    new.carry(&bench.admission, &[Some(0)], &[], bench.now);
    let health = new.health(0, 0, bench.now);
    assert_eq!((health.failure_rate, health.evidence), (0.02, 0.0), "measured against another prior");
    assert!(matches!(health.breaker, BreakerState::Open { .. }), "but the verdict stands");
}

#[test]
fn lost_ends_do_not_fill_the_memory() {
    let mut bench = Bench::new(1, 1);
    bench.admission.progress_max = 100;
    for _ in 0..1_000 {
        let ticket = bench.admit(0).unwrap();
        bench.report(&ticket, Report::Content { after: SECOND });
    }
    assert_eq!(bench.admission.progress.len(), 100);
}

#[test]
fn an_attempt_is_counted_as_failed_once_and_a_caller_that_leaves_only_where_its_silence_says_so() {
    let mut bench = Bench::new(1, 1);
    (0..29).for_each(|_| drop(bench.succeed(0)));
    let ticket = bench.admit(0).unwrap();
    bench.now += MINUTE;
    bench.report(&ticket, Report::Overdue);
    assert_eq!(bench.health(0).failed, 0, "it may still answer");
    bench.report(&ticket, Report::Ended(failure(FailureClass::Server)));
    assert_eq!(bench.health(0).failed, 1);
    for (lasted, failed) in [(SECOND / 10, 1), (MINUTE, 2)] {
        let ticket = bench.admit(0).unwrap();
        bench.now += lasted;
        bench.report(&ticket, Report::Ended(Outcome::Cancelled(CancelReason::Left)));
        assert_eq!(bench.health(0).failed, failed, "{lasted:?}");
    }
}

#[test]
fn a_429_at_a_crowded_target_lets_fewer_in_at_once_unless_it_speaks_of_a_limit() {
    let most = |told: bool, left: Option<u64>| {
        let mut bench = Bench::new(1, 1);
        bench.in_flight = 9;
        let ticket = bench.admit(0).unwrap();
        if let Some(left) = left {
            bench.left(&ticket, left, None);
        }
        let back = told.then(|| bench.now + SECOND);
        let outcome = Outcome::Failure { class: FailureClass::RateLimited, scope: Scope::Key, retry_after: back };
        bench.report(&ticket, Report::Ended(outcome));
        bench.admission.room(0, bench.now).1
    };
    assert_eq!([most(false, None), most(true, Some(90))], [7, 7], "its limits have room");
    let allowed = TargetOptions::default().in_flight_max;
    assert_eq!([most(true, None), most(false, Some(5))], [allowed, allowed], "they have none");
}

#[test]
fn a_refusal_that_names_a_limit_teaches_it() {
    let mut bench = Bench::new(1, 1);
    let ticket = bench.admit(0).unwrap();
    let ticket = Ticket { named: Some(NamedLimit { tokens: false, limit: Some(60), window: MINUTE }), ..ticket };
    bench.report(&ticket, Report::Ended(failure(FailureClass::RateLimited)));
    bench.now += RATE_LIMIT_DEFAULT * 2;
    assert_eq!(bench.health(0).room, Some(6), "a tenth of a minute's at once");
}

#[test]
fn what_an_attempt_took_takes_the_place_of_what_it_was_expected_to_take() {
    let mut bench = Bench::new(1, 1);
    let first = bench.admit(0).unwrap();
    let tokens = Some(Gauge::new(1_000, 900));
    bench.admission.limits(&first, Limits { tokens, ..Limits::default() }, bench.now);
    let ask = AdmissionRequest { prompt_tokens: 200, output_expected: 100, ..ASK };
    for (outcome, taken, left) in
        [(Outcome::Success { tpot: None }, Some(100), 0.8), (Outcome::Unused, None, 0.8), (Outcome::Crashed, None, 0.5)]
    {
        let ticket = bench.ask(ask).unwrap();
        assert_eq!(bench.admission.targets[0].expected, 300, "one more like the last");
        bench.report(&Ticket { taken, ..ticket }, Report::Ended(outcome));
        assert_eq!(bench.health(0).headroom, Some(left), "{outcome:?}");
    }
}

#[test]
fn a_short_wait_that_was_told_is_believed() {
    let mut bench = Bench::new(1, 1);
    bench.fail(0, retry_after(FailureClass::RateLimited, bench.now + SECOND * 3 / 2));
    let until = bench.health(0).rate_limited_until.unwrap();
    assert!(until <= bench.now + SECOND * 2, "{:?}", until - bench.now);
}

#[test]
fn an_answer_that_was_asked_for_before_a_hold_lifts_nothing() {
    let mut bench = Bench::new(1, 1);
    let (refused, answered) = (bench.admit(0).unwrap(), bench.admit(0).unwrap());
    bench.report(&refused, Report::Ended(failure(FailureClass::Unauthorised)));
    let effects = bench.report(&answered, SUCCESS);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Lifted(_))), "{effects:?}");
    assert_eq!(gate(bench.admit(0)), Gate::Disabled);
}

#[test]
fn a_look_lifts_and_shortens_nothing_that_was_said_after_it_was_sent() {
    for class in [FailureClass::Server, FailureClass::Overloaded] {
        let mut bench = Bench::new(1, 1);
        let straggler = bench.admit(0).unwrap();
        bench.fail(0, failure(FailureClass::Forbidden));
        bench.now += MINUTE / 2;
        let look = bench.last_resort(0).expect("a look");
        bench.now += SECOND;
        bench.report(&straggler, Report::Ended(retry_after(class, bench.now + MINUTE)));
        bench.now += SECOND;
        bench.report(&look, SUCCESS);
        let refused = bench.admit(0).map_err(|refusal| refusal.gate);
        assert_eq!(refused.err(), Some(Gate::Overloaded), "{class:?}");
    }
}

#[test]
fn an_override_that_is_over_is_no_barrier() {
    let mut bench = Bench::new(1, 1);
    bench.admission.force(0, Force::Off { until: Some(bench.now + MINUTE) }, bench.now);
    assert_eq!(bench.admission.indexed_holds(bench.now).len(), 1);
    assert_eq!(bench.admission.indexed_holds(bench.now + MINUTE), []);
    assert!(bench.admission.reset(None, None, bench.now + MINUTE).is_empty());
}

#[test]
fn what_was_open_is_probed_once_the_machine_slept_long_enough() {
    let mut bench = Bench::new(1, 1);
    bench.break_it(0);
    assert_eq!(gate(bench.admit(0)), Gate::Breaker);
    bench.admission.slept(MINUTE);
    assert!(bench.admit(0).unwrap().probe);
}

#[test]
fn what_changed_is_asked_again_unless_a_provider_told_a_time() {
    let mut bench = Bench::new(2, 1);
    bench.fail(0, failure(FailureClass::ModelGone));
    bench.fail(1, failure(FailureClass::Forbidden));
    bench.admission.renew(Some(0), None);
    assert!(bench.admit(0).is_ok());
    assert_eq!(gate(bench.admit(1)), Gate::Disabled, "another target's");
    bench.admission.renew(Some(1), None);
    assert!(bench.admit(1).is_ok());
    bench.fail(0, failure(FailureClass::Unauthorised));
    bench.admission.renew(Some(0), None);
    assert_eq!(gate(bench.admit(0)), Gate::Disabled, "it is the key that is refused");
    bench.admission.renew(None, Some(0));
    assert!(bench.admit(0).is_ok());
    bench.fail(1, failure(FailureClass::Forbidden));
    bench.admission.renew(None, Some(0));
    assert!(bench.admit(1).is_ok(), "and a key that may be another one now");
    bench.fail(0, retry_after(FailureClass::RateLimited, bench.now + MINUTE));
    bench.admission.renew(Some(0), Some(0));
    assert_eq!(gate(bench.admit(0)), Gate::RateLimited);
}

#[test]
fn a_serial_is_never_given_out_again_after_a_restart_or_a_reconfiguration() {
    let mut bench = Bench::new(1, 1);
    bench.admission.serial = SERIALS * 5 + 7;
    assert_eq!(Admission::restore(&bench.admission, true, bench.now).serial, SERIALS * 6);
    let mut new = Admission::new(options(1, 1), bench.now);
    new.carry(&bench.admission, &[Some(0)], &[Some(0)], bench.now);
    assert_eq!(new.serial, SERIALS * 6);
}

/// A step of the property test. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Ask { target: usize, last_resort: bool, full: bool },
    Report { ticket: usize, what: usize, seconds: u64 },
    Limits { ticket: usize, remaining: u64, reset: Option<u64> },
    Wait(u64),
    Restore(bool),
    Force(usize, usize),
    LocalFault,
    Delivered,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = 0..1_000_usize;
    let ask = (index.clone(), any::<bool>(), 0..20).prop_map(|(target, last_resort, full)| Step::Ask {
        target,
        last_resort,
        full: full == 0,
    });
    let report = (index.clone(), index.clone(), 0..100_u64).prop_map(|(ticket, what, seconds)| Step::Report {
        ticket,
        what,
        seconds,
    });
    let step = prop_oneof![
        20 => ask,
        30 => report,
        10 => (index.clone(), any::<u64>(), any::<Option<u64>>())
            .prop_map(|(ticket, remaining, reset)| Step::Limits { ticket, remaining, reset }),
        10 => prop_oneof![0..500_u64, 1_000..10_000_u64, 30_000..700_000_u64].prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Restore),
        1 => (index.clone(), index).prop_map(|(target, force)| Step::Force(target, force)),
        1 => Just(Step::LocalFault),
        1 => Just(Step::Delivered),
    ];
    prop::collection::vec(step, 0..250)
}

/// The property test's own model of the machine.
struct Model {
    bench: Bench,
    live: Vec<(Ticket, bool)>,
    /// Probes that reopened their breaker by being overdue, and that may still work.
    late: std::collections::HashSet<u64>,
    /// Retry-After of a target that fails, of one that limits all its keys, and of a key at a target; and what disabled
    /// keys.
    holds: [Option<Instant>; 2],
    limited: [Option<Instant>; 2],
    limits: [[Option<Instant>; 2]; 2],
    keys: [Option<Instant>; 2],
}

impl Model {
    fn new() -> Self {
        Self {
            bench: Bench::new(2, 2),
            live: Vec::new(),
            late: std::collections::HashSet::new(),
            holds: [None; 2],
            limited: [None; 2],
            limits: [[None; 2]; 2],
            keys: [None; 2],
        }
    }

    fn ask(&mut self, target: usize, last_resort: bool, full: bool) -> Result<(), TestCaseError> {
        self.bench.in_flight = if full { 2_048 } else { 0 };
        let now = self.bench.now;
        let health = self.bench.health(target);
        for other in [!last_resort, last_resort] {
            let mut peek = self.bench.admission.clone();
            let result = peek.admit(
                AdmissionRequest { target, last_resort: other, ..ASK },
                self.bench.in_flight,
                now,
                &mut self.bench.rng,
            );
            prop_assert_eq!(health.refusal(other, now), result.err(), "published and granted are one");
        }
        let Ok(ticket) = self.bench.ask(AdmissionRequest { target, last_resort, ..ASK }) else { return Ok(()) };
        self.bench.admission.effects();
        let early = |until: Option<Instant>| until.is_some_and(|until| until > now);
        let of_target = early(self.holds[target]) || early(self.limited[target]);
        let held = of_target || early(self.limits[target][ticket.key]) || early(self.keys[ticket.key]);
        prop_assert!(!held || ticket.look, "before its time");
        prop_assert_eq!(ticket.look, health.look_from.is_some());
        prop_assert!(health.look_from.is_none_or(|from| last_resort && from <= now), "a look that nobody needs");
        let verdict = matches!(health.disabled, None | Some(Disabled::Verdict { .. }));
        prop_assert!(!full && verdict && (ticket.look || health.disabled.is_none()));
        if ticket.look {
            let Admission { targets, keys, .. } = &self.bench.admission;
            let again = targets[target].key_held(ticket.key, keys, now);
            prop_assert!(again.is_none_or(|held| held.look_from >= now + SECOND), "looks are a second apart");
        }
        if let BreakerState::Open { until } = health.breaker {
            prop_assert!(until <= now || last_resort || health.forced_on);
        }
        let probing = !matches!(health.breaker, BreakerState::Closed | BreakerState::Ramp { .. });
        prop_assert!(!ticket.probe || probing);
        prop_assert!(ticket.probe || !probing || health.forced_on || (last_resort && health.resort_max > 0));
        self.live.push((ticket, ticket.probe));
        for target in 0..2 {
            let generation = self.bench.health(target).generation;
            let probes = self
                .live
                .iter()
                .filter(|(ticket, probes)| *probes && ticket.target == target && ticket.generation == generation);
            prop_assert!(probes.count() <= 1, "one probe a generation");
        }
        Ok(())
    }

    fn report(&mut self, index: usize, what: usize, seconds: u64) -> Result<(), TestCaseError> {
        let Some(index) = index.checked_rem(self.live.len()) else { return Ok(()) };
        let now = self.bench.now;
        let (ticket, _) = self.live[index];
        // What no call wanted any more is no failure. The number has no factor of the reports' below.
        let failures: Vec<_> = FailureClass::ALL.iter().copied().filter(|class| !class.is_unwanted()).collect();
        let class = failures[what % 24 % failures.len()];
        let later = (seconds > 50).then(|| now + Duration::from_secs(seconds));
        let scope = if what.is_multiple_of(2) { Scope::Endpoint } else { Scope::Key };
        let report = match what % 11 {
            0 => Report::Overdue,
            1 | 2 => Report::Content { after: now - ticket.started },
            3 => Report::Gap,
            4 => Report::GapEnded,
            5..8 => Report::Ended(Outcome::Failure { class, scope, retry_after: later }),
            8 => Report::Ended(
                [
                    Outcome::Cancelled(if seconds > 50 { CancelReason::Lost } else { CancelReason::Left }),
                    Outcome::Crashed,
                    Outcome::Unused,
                ][what % 3],
            ),
            _ => Report::Ended(Outcome::Success { tpot: Some(Duration::from_millis(seconds)) }),
        };
        match report {
            Report::Ended(outcome) => {
                self.live.swap_remove(index);
                if ticket.look && matches!(outcome, Outcome::Success { .. }) {
                    self.holds[ticket.target] = None;
                }
                if ticket.look && matches!(outcome, Outcome::Success { .. } | Outcome::Failure { .. }) {
                    (self.limits[ticket.target][ticket.key], self.keys[ticket.key]) = (None, None);
                    self.limited[ticket.target] = None;
                }
                if let Outcome::Failure { class, .. } = outcome {
                    match class {
                        FailureClass::Overloaded | FailureClass::Server => {
                            self.holds[ticket.target] = self.holds[ticket.target].max(later);
                        }
                        FailureClass::RateLimited => {
                            let limit = match scope {
                                Scope::Key => &mut self.limits[ticket.target][ticket.key],
                                _ => &mut self.limited[ticket.target],
                            };
                            *limit = (*limit).max(later);
                        }
                        FailureClass::Unauthorised | FailureClass::OutOfMoney => {
                            self.keys[ticket.key] = self.keys[ticket.key].max(Some(now + KEY_RECHECK));
                        }
                        _ => {}
                    }
                }
            }
            Report::Content { .. } => self.live[index].1 &= ticket.last_resort,
            _ => {}
        }
        let stale = self.bench.health(ticket.target).generation != ticket.generation;
        let effects = self.bench.report(&ticket, report);
        let moved = effects.iter().any(|effect| matches!(effect, Effect::Transition { .. }));
        if matches!(report, Report::Overdue | Report::Gap) && moved {
            self.late.insert(ticket.serial);
        }
        let late = self.late.contains(&ticket.serial) && matches!(report, Report::Ended(Outcome::Success { .. }));
        // But content refutes what only a guess had opened.
        let is_word =
            matches!(report, Report::Content { .. } | Report::GapEnded | Report::Ended(Outcome::Success { .. }));
        let closes = effects.iter().any(|it| matches!(it, Effect::Transition { to: BreakerState::Closed, .. }));
        prop_assert!(!(stale && moved) || late || (is_word && closes), "a straggler moves nothing: {effects:?}");
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.bench.now;
        match step {
            Step::Ask { target, last_resort, full } => self.ask(target % 2, last_resort, full)?,
            Step::Report { ticket, what, seconds } => self.report(ticket, what, seconds)?,
            Step::Limits { ticket, remaining, reset } => {
                if let Some(at) = ticket.checked_rem(self.live.len()) {
                    let (ticket, _) = self.live[at];
                    let gauge =
                        Some(Gauge { reset: reset.map(Duration::from_secs), ..Gauge::new(100, remaining % 101) });
                    let tokens = gauge.filter(|_| remaining % 2 == 0);
                    let limits = Limits { requests: gauge, tokens, ..Limits::default() };
                    self.bench.admission.limits(&ticket, limits, now);
                }
            }
            Step::Wait(ms) => self.bench.now += Duration::from_millis(ms),
            Step::Restore(keep) => self.bench.admission = Admission::restore(&self.bench.admission, keep, now),
            Step::Force(target, force) => {
                let until = (force % 2 == 0).then_some(now + MINUTE);
                let force = [Force::Auto, Force::Off { until }, Force::On { until }][force % 3];
                self.bench.admission.force(target % 2, force, now);
            }
            Step::LocalFault => drop(self.bench.local_fault(now.checked_sub(SECOND).unwrap_or(now))),
            Step::Delivered => self.bench.admission.delivered(),
        }
        prop_assert!(self.bench.admission.progress.len() <= self.live.len(), "memory is what is in flight");
        for target in 0..2 {
            let health = self.bench.health(target);
            prop_assert!(health.failure_rate > 0.0 && health.failure_rate < 1.0);
            prop_assert!(health.headroom.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn admission_keeps_its_promises_under_any_events(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step)?;
        }
        // Quiet: everything ends, no operator forces anything, and the longest deadline passes.
        for (ticket, _) in std::mem::take(&mut model.live) {
            model.bench.report(&ticket, UNUSED);
        }
        model.bench.in_flight = 0;
        model.bench.now += Duration::from_secs(2 * 60 * 60);
        for target in 0..2 {
            model.bench.admission.force(target, Force::Auto, model.bench.now);
            prop_assert!(model.bench.admit(target).is_ok(), "a wedge: {:?}", model.bench.health(target));
        }
        prop_assert!(model.bench.admission.progress.is_empty());
    }
}

#[cfg(feature = "store")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn written_health_read_by_another_process_equals_health_that_went_on(
        steps in steps(),
        seconds in prop::collection::vec(0..20_000_u64, 4),
    ) {
        use crate::policy::persist;

        let mut model = Model::new();
        for step in steps {
            model.step(step)?;
        }
        let Bench { admission, now, .. } = model.bench;
        let bytes = persist::write(&admission, now);
        let known: Option<Admission> = persist::read(&bytes, now);
        let (mut other, same) = (Admission::new(options(2, 2), now), [Some(0), Some(1)]);
        other.carry(&known.expect("what was written"), &same, &same, now);
        let mut own = Admission::restore(&admission, true, now);
        // The other process finds out by itself whether the network works.
        own.delivered();
        for at in seconds.into_iter().map(|seconds| now + Duration::from_secs(seconds)) {
            for target in 0..2 {
                prop_assert_eq!(other.health(target, 0, at), own.health(target, 0, at));
            }
            prop_assert_eq!(other.indexed_holds(at), own.indexed_holds(at));
        }
    }
}

#[test]
fn a_target_that_never_said_a_word_is_left_after_two_calls_that_others_answered() {
    let mut bench = Bench::new(1, 1);
    let overtaken = |bench: &mut Bench| {
        bench.now += SECOND;
        let ticket = bench.admit(0).unwrap();
        bench.now += SECOND * 4;
        bench.report(&ticket, Report::Ended(Outcome::Cancelled(CancelReason::Overtaken)));
    };
    overtaken(&mut bench);
    assert_eq!(bench.health(0).breaker, BreakerState::Closed, "one may be a slow start");
    overtaken(&mut bench);
    assert!(matches!(bench.health(0).breaker, BreakerState::Open { .. }), "{:?}", bench.health(0));
    // Content refutes what was a guess.
    let slow = bench.last_resort(0).unwrap();
    bench.now += SECOND * 6;
    bench.report(&slow, Report::Content { after: SECOND * 6 });
    assert_eq!(bench.health(0).breaker, BreakerState::Closed);
}

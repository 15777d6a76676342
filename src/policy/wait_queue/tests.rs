use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const PRIORITIES: [Priority; 4] = [Priority::Batch, Priority::Default, Priority::Interactive, Priority::Critical];

type Calls = WaitQueues<&'static str, u32>;

fn keys(names: &[&'static str]) -> Arc<[&'static str]> {
    names.into()
}

fn enter(queues: &mut Calls, names: &[&'static str], priority: Priority, waiter: u32) -> QueueRank {
    let rank = queues.arrive(priority, *START, true, *START);
    let long_ago = START.checked_sub(60 * SECOND).expect("a minute before");
    queues.enter(keys(names), rank, long_ago, waiter);
    rank
}

/// By when all calls must be answered that do not say otherwise.
static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

/// A target that was away, and when its calls went there.
struct Away {
    queues: Calls,
    start: Instant,
    went: Vec<(Duration, u32)>,
}

impl Away {
    fn new(waiters: u32) -> Self {
        let mut queues = Calls::default();
        (0..waiters).for_each(|waiter| _ = enter(&mut queues, &["a"], Priority::Default, waiter));
        Self { queues, start: *START, went: Vec::new() }
    }

    /// Lets time pass from its return on, until nothing is left to do.
    fn run(&mut self, back: Duration) {
        let (mut now, back) = (self.start, self.start + back);
        loop {
            let says = if now < back { Capacity::OutUntil(back) } else { Capacity::Free(999) };
            let look = self.queues.look(now, |_| says);
            for (waiter, key) in look.go {
                self.queues.arrived(&key);
                self.went.push((now - self.start, waiter));
            }
            let Some(next) = look.next else { return };
            now = next.max(now + MS);
        }
    }

    fn within(&self, from: Duration, to: Duration) -> usize {
        self.went.iter().filter(|(at, _)| (from..to).contains(at)).count()
    }
}

#[test]
fn waiting_calls_go_by_priority_and_then_by_arrival() {
    let mut world = Away::new(0);
    for (waiter, priority) in (0..8).zip(PRIORITIES.into_iter().cycle()) {
        enter(&mut world.queues, &["a"], priority, waiter);
    }
    world.run(Duration::ZERO);
    let order: Vec<u32> = world.went.iter().map(|(_, waiter)| *waiter).collect();
    assert_eq!(order, [3, 7, 2, 6, 1, 5, 0, 4]);
}

#[test]
fn a_call_that_waits_again_keeps_its_place_and_pauses_unless_its_target_recovers() {
    let (mut queues, now) = (Calls::default(), *START);
    let first = enter(&mut queues, &["a"], Priority::Default, 1);
    (2..=4).for_each(|waiter| _ = enter(&mut queues, &["a"], Priority::Default, waiter));
    let went = |queues: &mut Calls, at: Duration, says: Capacity| {
        let look = queues.look(now + at, |_| says);
        look.go.iter().for_each(|(_, key)| queues.arrived(key));
        look.go.into_iter().map(|(it, _)| it).collect::<Vec<_>>()
    };
    assert_eq!(went(&mut queues, Duration::ZERO, Capacity::Free(1)), [1]);
    queues.enter(keys(&["a"]), first, now + 5 * SECOND, 1);
    let is_before = |at: Duration, queues: &Calls| queues.is_before(&["a"], Priority::Default, *START, true, now + at);
    assert_eq!(went(&mut queues, SECOND, Capacity::Free(1)), [2], "it has failed, and another one asks");
    let recovers = Capacity::Recovering { free: 9, apart: Duration::ZERO };
    assert_eq!(went(&mut queues, 2 * SECOND, recovers), [1, 3, 4], "others have found out that it is back");
    queues.enter(keys(&["a"]), first, now + 5 * SECOND, 1);
    assert!(!is_before(4 * SECOND, &queues) && is_before(5 * SECOND, &queues), "who pauses is in nobody's way");
    let look = queues.look(now + 3 * SECOND, |_| Capacity::Free(9));
    assert_eq!((look.go.len(), look.next), (0, Some(now + 5 * SECOND)));
    assert_eq!(went(&mut queues, 5 * SECOND, Capacity::Free(9)), [1]);
}

#[test]
fn to_a_target_that_recovers_as_many_go_as_its_breaker_lets_through_one_after_the_other() {
    let (mut queues, now) = (Calls::default(), *START);
    (0..9).for_each(|waiter| _ = enter(&mut queues, &["a"], Priority::Default, waiter));
    let look = queues.look(now, |_| Capacity::Free(1));
    assert_eq!((look.go.len(), look.next), (1, None), "one probes");
    assert_eq!(queues.look(now + SECOND, |_| Capacity::Closed).go.len(), 0);
    queues.arrived(&"a");
    let (apart, mut went) = (100 * MS, Vec::new());
    for tick in 0..10 {
        let free = 4 - u32::try_from(went.len()).unwrap();
        let says =
            if free > 0 { Capacity::Recovering { free, apart } } else { Capacity::RecoveringFrom(now + 3 * SECOND) };
        let look = queues.look(now + 2 * SECOND + 50 * MS * tick, |_| says);
        look.go.iter().for_each(|(_, key)| queues.arrived(key));
        went.extend(look.go.iter().map(|_| tick));
        assert!(free > 0 || look.next == Some(now + 3 * SECOND), "{:?}", look.next);
    }
    assert_eq!(went, [0, 2, 4, 6]);
    assert_eq!(queues.look(now + 3 * SECOND, |_| Capacity::Recovering { free: 8, apart }).go.len(), 1);
}

#[test]
fn a_target_that_was_only_limited_proves_nothing_and_its_calls_go_at_a_pace_that_doubles() {
    let (mut world, back) = (Away::new(1_000), 2 * SECOND);
    world.run(back);
    assert_eq!((world.went.len(), world.within(Duration::ZERO, back)), (1_000, 0));
    let seconds: Vec<usize> = (0..9).map(|at| world.within(back + SECOND * at, back + SECOND * (at + 1))).collect();
    assert!((6..=10).contains(&seconds[0]), "no herd: {seconds:?}");
    assert!(seconds.windows(2).all(|two| two[1] <= 2 * two[0] + 4), "{seconds:?}");
    assert!(world.went[999].0 < 11 * SECOND, "{:?}", world.went[999].0);
    // One that refuses again begins anew.
    let mut queues = world.queues;
    (0..9).for_each(|waiter| _ = enter(&mut queues, &["a"], Priority::Default, waiter));
    let now = *START + 60 * SECOND;
    let mut went = |at: Duration, gate: Capacity| queues.look(now + at, |_| gate).go.len();
    assert_eq!(went(Duration::ZERO, Capacity::OutUntil(now + SECOND)), 0);
    assert_eq!((went(SECOND, Capacity::Free(99)), went(SECOND + 130 * MS, Capacity::Free(99))), (1, 1));
    assert_eq!(went(SECOND + 140 * MS, Capacity::OutUntil(now + 2 * SECOND)), 0);
    assert_eq!((went(2 * SECOND, Capacity::Free(99)), went(2 * SECOND + 50 * MS, Capacity::Free(99))), (1, 0));
}

#[test]
fn what_a_target_says_of_waiting_calls_is_what_it_says_of_a_call_that_has_no_other() {
    use crate::policy::admission::{
        Admission, AdmissionOptions, AdmissionRequest, KeysInUse, Outcome, Report, TargetOptions,
    };
    use crate::words::{FailureClass, Scope};
    use rand::SeedableRng;

    let options = AdmissionOptions {
        targets: vec![TargetOptions::default()],
        keys: 1,
        breaker: crate::policy::admission::BreakerOptions::default(),
        health: crate::policy::admission::HealthOptions::default(),
    };
    let start = Instant::now();
    let ask = |last_resort| AdmissionRequest {
        target: 0,
        prompt_tokens: 9,
        whole: false,
        output_max: None,
        output_expected: 0,
        last_resort,
        look: None,
        in_use: KeysInUse::NONE,
        other_key: false,
    };
    let minute = 60 * SECOND;
    for (class, scope, told, look) in [
        (FailureClass::OutOfMoney, Scope::Key, None, SECOND),
        (FailureClass::Unauthorised, Scope::Key, None, SECOND),
        (FailureClass::Forbidden, Scope::Key, None, SECOND),
        (FailureClass::ModelGone, Scope::Model, None, SECOND),
        (FailureClass::RateLimited, Scope::Key, Some(300 * minute), 60 * minute),
        (FailureClass::RateLimited, Scope::Key, Some(2 * SECOND), 2 * SECOND),
    ] {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let mut admission = Admission::new(options.clone(), start);
        let mut refuse = |admission: &mut Admission, now| {
            let ticket = admission.admit(ask(true), 0, now, &mut rng).expect("it is let in");
            let retry_after = told.map(|told| now + told);
            let end = Report::Ended(Outcome::Failure { class, scope, retry_after });
            drop(admission.report(&ticket, end, now, &mut rng));
        };
        refuse(&mut admission, start);
        let gate = |admission: &Admission, now| Capacity::of(&admission.health(0, 0, now), now);
        let Capacity::OutUntil(at) = gate(&admission, start) else { panic!("{class}: it is let in") };
        let slack = if told == Some(look) { look / 10 } else { Duration::ZERO };
        assert!((look..=look + slack).contains(&(at - start)), "{class}: {:?}", at - start);
        let told_in = admission.health(0, 0, start).refusal(false, start).expect("it stands").until;
        assert_eq!(told_in, Some(at), "{class}: what is told is when it is so");
        let rank = gate(&admission, at);
        assert_eq!(matches!(rank, Capacity::Free(1)), slack.is_zero(), "{class}: one look: {rank:?}");
        // The look finds no change: the next one comes later.
        refuse(&mut admission, at);
        let Capacity::OutUntil(next) = gate(&admission, at) else { panic!("{class}: it is let in") };
        assert!(next > at, "{class}");
    }
}

#[test]
fn a_call_that_may_go_to_several_targets_goes_to_the_first_that_is_back() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    enter(&mut queues, &["a", "b"], Priority::Default, 1);
    enter(&mut queues, &["b"], Priority::Critical, 2);
    let gate = |key: &&str| if *key == "b" { Capacity::Free(99) } else { Capacity::Closed };
    assert_eq!(queues.look(now, gate).go, [(2, "b")], "the more urgent one goes, whoever else it could be");
    let look = queues.look(now + SECOND, |key| if *key == "a" { Capacity::Free(99) } else { Capacity::Closed });
    assert_eq!((look.go, look.next), (vec![(1, "a")], None));
}

#[test]
fn a_later_call_is_behind_those_of_its_priority_that_wait_for_the_same() {
    let mut queues = Calls::default();
    let is_before =
        |queues: &Calls, names: &[&'static str], priority| queues.is_before(names, priority, *START, true, *START);
    assert!(!is_before(&queues, &["a"], Priority::Default));
    let rank = enter(&mut queues, &["a"], Priority::Default, 1);
    assert!(is_before(&queues, &["a"], Priority::Default));
    assert!(!is_before(&queues, &["a"], Priority::Critical));
    assert!(!is_before(&queues, &["a", "b"], Priority::Batch), "nobody waits for b");
    assert!(
        !queues.is_before(&["a"], Priority::Default, *START, false, *START),
        "who does not wait for its return need not stand behind"
    );
    queues.full(&"a", *START);
    assert!(queues.is_before(&["a"], Priority::Default, *START, false, *START), "but where it is well and full");
    assert!(
        !queues.is_before(
            &["a"],
            Priority::Default,
            START.checked_sub(SECOND).expect("a moment before"),
            false,
            *START
        ),
        "who must be answered sooner goes first"
    );
    queues.leave(&keys(&["a"]), rank);
    assert!(!is_before(&queues, &["a"], Priority::Batch));
}

/// The calls that go when `free` places come free at once, where only places count.
fn placed(queues: &mut Calls, free: u32, now: Instant) -> Vec<u32> {
    let go = queues.look(now, |_| Capacity::Free(free)).go;
    for (_, key) in &go {
        queues.arrived(key);
    }
    go.into_iter().map(|(waiter, _)| waiter).collect()
}

#[test]
fn a_place_that_comes_free_goes_only_to_the_next_call() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    for waiter in 0..9 {
        enter(&mut queues, &["a"], Priority::Default, waiter);
    }
    let look = queues.look(now, |_| Capacity::Full(None));
    assert_eq!((look.go.len(), look.next), (0, None), "nobody looks before something happens");
    assert_eq!(placed(&mut queues, 1, now), [0]);
    assert_eq!(placed(&mut queues, 3, now), [1, 2, 3], "as many as there are places, whatever was answered");
    assert_eq!(queues.look(now, |_| Capacity::Free(2)).go.len(), 2);
    assert_eq!(queues.look(now, |_| Capacity::Free(2)).go.len(), 0, "two are on their way to them");
    queues.arrived(&"a");
    assert_eq!(queues.look(now, |_| Capacity::Free(2)).go.len(), 1);
    let until = now + SECOND;
    assert_eq!(queues.look(now, |_| Capacity::Full(Some(until))).next, Some(until), "or at the time that it says");
    assert_eq!(queues.look(now, |_| Capacity::OutUntil(until)).go.len(), 0);
    (0..3).for_each(|_| queues.arrived(&"a"));
    assert_eq!(queues.look(until, |_| Capacity::Free(9)).go.len(), 1, "at a pace, after it was away");
}

#[test]
fn of_one_priority_the_call_with_the_earliest_deadline_goes_first() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    for (waiter, due) in [9, 3, 5, 3].into_iter().enumerate() {
        let rank = queues.arrive(Priority::Default, now + SECOND * due, true, now);
        queues.enter(keys(&["a"]), rank, now, u32::try_from(waiter).unwrap());
    }
    let rank = queues.arrive(Priority::Interactive, now + 99 * SECOND, true, now);
    queues.enter(keys(&["a"]), rank, now, 4);
    queues.full(&"a", now);
    assert_eq!(placed(&mut queues, 9, now), [4, 1, 3, 2, 0]);
}

#[test]
fn the_call_that_has_waited_longest_has_every_eighth_turn_so_that_none_waits_for_ever() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    queues.full(&"a", now);
    for waiter in 0..3 {
        enter(&mut queues, &["a"], Priority::Batch, waiter);
    }
    let mut batch = Vec::new();
    for turn in 0..32 {
        // More urgent ones come for ever, two for each place.
        for _ in 0..2 {
            enter(&mut queues, &["a"], Priority::Critical, 99);
        }
        let went = placed(&mut queues, 1, now + SECOND * turn);
        assert_eq!(went.len(), 1);
        batch.extend(went.into_iter().filter(|waiter| *waiter < 3).map(|waiter| (turn, waiter)));
    }
    assert_eq!(batch, [(7, 0), (15, 1), (23, 2)]);
}

/// Ten clients of a target with two places and answers of 8 s ask it again and again, for ten minutes; each leaves when
/// it was not answered for this long. Returns how many answers reached a client, and the longest wait for one.
fn answers_within(patience: Duration) -> (u32, Duration) {
    #[derive(Clone, Copy)]
    enum Client {
        Away(Instant),
        Waits(QueueRank, Instant),
        Asks(QueueRank, Instant, Instant),
    }
    let (mut queues, start) = (Calls::default(), Instant::now());
    let (mut answers, mut longest) = (0, Duration::ZERO);
    let mut clients = [Client::Away(start); 10];
    for tick in 0..6_000 {
        let now = start + tick * SECOND / 10;
        for (waiter, client) in (0..).zip(&mut clients) {
            *client = match *client {
                Client::Away(until) if until <= now => {
                    let rank = queues.arrive(Priority::Default, now + 600 * SECOND, false, now).needing(8 * SECOND);
                    queues.enter(keys(&["a"]), rank, now, waiter);
                    Client::Waits(rank, now)
                }
                Client::Waits(rank, since) if now - since >= patience => {
                    queues.left(&["a"], rank, now);
                    queues.leave(&keys(&["a"]), rank);
                    Client::Away(now + SECOND)
                }
                Client::Asks(rank, since, _) if now - since >= patience => {
                    queues.left(&["a"], rank, now);
                    Client::Away(now + SECOND)
                }
                Client::Asks(_, since, from) if now - from >= 8 * SECOND => {
                    (answers, longest) = (answers + 1, longest.max(now - since));
                    Client::Away(now)
                }
                same => same,
            };
        }
        let asking = clients.iter().filter(|client| matches!(client, Client::Asks(..))).count();
        let free = 2 - u32::try_from(asking).unwrap();
        for (waiter, key) in queues.look(now, |_| if free > 0 { Capacity::Free(free) } else { Capacity::Full(None) }).go
        {
            let Client::Waits(rank, since) = clients[waiter as usize] else { panic!("{waiter} does not wait") };
            clients[waiter as usize] = Client::Asks(rank, since, now);
            queues.arrived(&key);
        }
    }
    (answers, longest)
}

#[test]
fn where_callers_leave_before_their_turn_brings_an_answer_the_newest_goes_first() {
    // It can give 150. In the order of arrival each would take 40 s or more.
    let (answers, longest) = answers_within(30 * SECOND);
    assert!(answers >= 135, "{answers} of 150");
    assert!(longest <= 30 * SECOND);
    let (answers, longest) = answers_within(120 * SECOND);
    assert!(answers >= 147 && longest <= 50 * SECOND, "{answers}; none waits for longer than the others: {longest:?}");
}

#[test]
fn a_deadline_that_was_set_and_a_priority_go_before_the_newest() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    queues.full(&"a", now);
    let wait = |queues: &mut Calls, waiter, priority, seconds: u32, is_due| {
        let rank = queues.arrive(priority, now + seconds * SECOND, is_due, now);
        queues.enter(keys(&["a"]), rank, now, waiter);
        rank
    };
    for waiter in 1..=3 {
        wait(&mut queues, waiter, Priority::Default, 600 + waiter, false);
    }
    wait(&mut queues, 4, Priority::Default, 30, true);
    wait(&mut queues, 5, Priority::Default, 900, true);
    wait(&mut queues, 6, Priority::Batch, 700, false);
    wait(&mut queues, 7, Priority::Interactive, 700, false);
    let later = now + 20 * SECOND;
    for waiter in 8..=10 {
        let rank = wait(&mut queues, waiter, Priority::Batch, 999, false);
        queues.left(&["a"], rank, later);
        queues.leave(&keys(&["a"]), rank);
    }
    assert_eq!(placed(&mut queues, 4, later), [7, 4, 3, 2], "the newest of a priority, after the earliest deadline");
    // Long after the last caller has left, it is the order of arrival again.
    wait(&mut queues, 11, Priority::Default, 604, false);
    assert_eq!(placed(&mut queues, 2, later + 180 * SECOND), [1, 11]);
}

#[test]
fn where_callers_leave_the_eighth_turn_is_for_the_one_that_has_waited_longest_and_can_be_answered() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    queues.full(&"a", now);
    let wait = |queues: &mut Calls, waiter, since: Instant, is_due| {
        let rank = queues.arrive(Priority::Default, now + 600 * SECOND, is_due, since).needing(4 * SECOND);
        queues.enter(keys(&["a"]), rank, since, waiter);
        rank
    };
    wait(&mut queues, 0, now, false);
    let later = now + 10 * SECOND;
    for waiter in 900..940 {
        let rank = wait(&mut queues, waiter, now, false);
        queues.left(&["a"], rank, later);
        queues.leave(&keys(&["a"]), rank);
    }
    // Callers leave after 10 s: of the first nobody waits for an answer that takes 4 s.
    (1..=100).for_each(|waiter| _ = wait(&mut queues, waiter, now + 5 * SECOND, false));
    let went = placed(&mut queues, 64, later);
    assert_eq!(
        went[..9],
        [100, 99, 98, 97, 96, 95, 94, 1, 93],
        "the newest goes first, and each eighth time the oldest"
    );
    let turn = went.iter().position(|waiter| *waiter == 0);
    assert_eq!(turn, Some(63), "the eighth of these turns is for any");
}

#[test]
fn how_long_a_call_will_wait_follows_from_the_calls_before_it_and_their_pace() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    queues.full(&"a", now);
    let last = (0..60).map(|waiter| enter(&mut queues, &["a"], Priority::Default, waiter)).last().unwrap();
    assert_eq!(queues.wait(&["a"], last, now), None, "nobody went yet");
    let tick = SECOND / 10;
    (1..=20).for_each(|turn| assert_eq!(placed(&mut queues, 1, now + tick * turn).len(), 1));
    let wait = queues.wait(&["a"], last, now + tick * 20).unwrap();
    assert!((3_800 * MS..4_300 * MS).contains(&wait), "forty go in four seconds, and not in {wait:?}");
    let first = queues.arrive(Priority::Critical, now, true, now);
    let wait = queues.wait(&["a"], first, now + tick * 20).unwrap();
    assert!((tick / 2..=2 * tick).contains(&wait), "{wait:?}");
    assert_eq!(queues.last(|waiter| *waiter != 59).map(|(_, rank)| rank < last), Some(true), "the last of some");
    assert_eq!(queues.last(|_| true), Some((keys(&["a"]), last)));
}

#[test]
fn pauses_grow_to_ten_seconds() {
    assert_eq!((pause(1, 0.0), pause(1, 1.0)), (500 * MS, SECOND));
    assert_eq!((pause(4, 1.0), pause(99, 1.0)), (8 * SECOND, 10 * SECOND));
}

#[test]
fn the_turn_of_a_call_that_another_target_admitted_goes_to_the_next_one_at_once() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    for waiter in 0..3 {
        enter(&mut queues, &["a", "b"], Priority::Default, waiter);
    }
    let go = |queues: &mut Calls, at: Instant| -> Vec<u32> {
        let only_a = |key: &&str| if *key == "a" { Capacity::Free(1) } else { Capacity::Closed };
        queues.look(at, only_a).go.into_iter().map(|(waiter, _)| waiter).collect()
    };
    assert_eq!(go(&mut queues, now), [0]);
    assert!(go(&mut queues, now + SECOND).is_empty(), "until the first has arrived");
    queues.arrived(&"a");
    assert_eq!(go(&mut queues, now + SECOND), [1]);
}

#[test]
fn the_pace_of_calls_is_unknown_again_once_none_waits() {
    let (mut queues, now) = (Calls::default(), Instant::now());
    queues.full(&"a", now);
    for waiter in 0..8 {
        enter(&mut queues, &["a"], Priority::Default, waiter);
    }
    let tick = SECOND / 10;
    for turn in 1..=8 {
        assert_eq!(placed(&mut queues, 1, now + tick * turn).len(), 1);
    }
    let next = queues.arrive(Priority::Default, now, true, now);
    assert!(queues.wait(&["a"], next, now + tick * 8).is_some());
    assert!(placed(&mut queues, 1, now + tick * 9).is_empty());
    assert_eq!(queues.wait(&["a"], next, now + tick * 9), None);
}

proptest! {
    /// Calls of any priority wait for any of three targets that come and go, fail and answer. No call is forgotten,
    /// none goes where nothing is admitted, none overtakes one that waits for the same, and no second carries more than
    /// twice what one has carried before, or eight.
    #[test]
    fn no_call_is_forgotten_overtaken_or_let_go_in_a_herd(
        calls in prop::collection::vec((0..4_usize, 1..8_u8, 0..5_000_u64), 1..60),
        outages in prop::collection::vec((0..3_usize, 0..20_000_u64, 1..5_000_u64), 0..8),
        latency in 1..2_000_u64,
        failures in prop::collection::vec(any::<bool>(), 1..16),
        leaves in prop::collection::vec(0..60_usize, 0..8),
    ) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let (mut queues, start) = (Calls::default(), Instant::now());
        let of = |set: u8| {
            let named = NAMES.into_iter().enumerate().filter(|(at, _)| set & (1 << at) != 0);
            keys(&named.map(|(_, it)| it).collect::<Vec<_>>())
        };
        let at = |now: Instant| u64::try_from((now - start).as_millis()).unwrap();
        let gate = |key: &str, now: Instant| {
            let out = outages.iter().filter(|(target, from, long)| {
                NAMES[*target] == key && (*from..from + long).contains(&at(now))
            });
            let until = out.map(|(_, from, long)| from + long).max();
            until.map_or(Capacity::Free(99), |until| Capacity::OutUntil(start + MS * u32::try_from(until).unwrap()))
        };
        let mut places: Vec<Option<QueueRank>> = vec![None; calls.len()];
        let mut waits: Vec<bool> = vec![false; calls.len()];
        let mut done = vec![false; calls.len()];
        let mut on_way: Vec<(Instant, u32, bool)> = Vec::new();
        let mut went: Vec<(Instant, &str)> = Vec::new();
        let (mut now, mut tries) = (start, 0_usize);
        for _ in 0..100_000 {
            for (waiter, (priority, set, from)) in calls.iter().enumerate() {
                if places[waiter].is_none() && *from <= at(now) {
                    let rank = enter(&mut queues, &of(*set), PRIORITIES[*priority], u32::try_from(waiter).unwrap());
                    (places[waiter], waits[waiter]) = (Some(rank), true);
                    if leaves.contains(&waiter) {
                        queues.leave(&of(*set), rank);
                        (waits[waiter], done[waiter]) = (false, true);
                    }
                }
            }
            for (_, waiter, fails) in on_way.extract_if(.., |it| it.0 <= now) {
                let call = waiter as usize;
                if fails {
                    queues.enter(of(calls[call].1), places[call].unwrap(), now, waiter);
                    waits[call] = true;
                } else {
                    done[call] = true;
                }
            }
            let look = queues.look(now, |key| gate(key, now));
            for (waiter, key) in look.go {
                let call = waiter as usize;
                prop_assert!(waits[call], "{waiter} goes and did not wait");
                prop_assert_eq!(gate(key, now), Capacity::Free(99));
                let like = |other: &usize| waits[*other] && calls[*other].1 == calls[call].1;
                let mut overtaken = (0..calls.len()).filter(like).filter(|other| places[*other] < places[call]);
                let arrival = |call: usize| places[call].unwrap().arrival;
                let is_oldest = (0..calls.len()).filter(like).all(|other| arrival(call) <= arrival(other));
                prop_assert!(is_oldest || overtaken.next().is_none(), "{waiter} overtakes, and has not waited longest");
                waits[call] = false;
                queues.arrived(&key);
                tries += 1;
                // A call that fails for ever would never be served.
                let fails = failures[tries % failures.len()] && tries < 200;
                on_way.push((now + MS * u32::try_from(latency).unwrap(), waiter, fails));
                went.push((now, key));
            }
            if done.iter().all(|done| *done) {
                break;
            }
            let arrives = calls.iter().map(|(_, _, from)| start + MS * u32::try_from(*from).unwrap());
            let arrives = arrives.filter(|at| *at > now);
            let next = arrives.chain(on_way.iter().map(|it| it.0)).chain(look.next).min();
            prop_assert!(next.is_some(), "somebody waits and nobody will look");
            now = next.unwrap().max(now + MS);
        }
        prop_assert!(done.iter().all(|done| *done), "somebody was forgotten");
        for key in NAMES {
            let times: Vec<Instant> = went.iter().filter(|it| it.1 == key).map(|it| it.0).collect();
            for (index, from) in times.iter().enumerate() {
                let carried = times[index..].iter().filter(|at| **at < *from + SECOND).count();
                let within = |second: Instant| move |at: &&Instant| (second..second + SECOND).contains(*at);
                let before = |second: Instant| times.iter().filter(within(second)).count();
                let best = times[..index].iter().map(|at| before(*at)).max().unwrap_or(1);
                prop_assert!(carried <= 2 * best.max(4) + 2, "{carried} after {best}");
            }
        }
    }
}

#[test]
fn a_call_waits_for_what_its_plan_would_ask_and_for_what_is_full_or_away() {
    use crate::policy::routing::{Pick, PickReason, Plan, Skip, SkipReason};
    use crate::policy::snapshot::Gate as Shut;

    let pick = |target| Pick { target, why: PickReason::Fallback, score: None };
    let skip = |target, why| Skip { target, why, until: None };
    let skipped = vec![
        skip(3, SkipReason::Gate(Shut::Paced)),
        skip(0, SkipReason::Gate(Shut::Breaker)),
        skip(4, SkipReason::ContextWindow),
    ];
    let plan = |last_resort| Plan { picks: vec![pick(2)], skipped: skipped.clone(), last_resort, sticky: None };
    let needs = |target: usize| (target != 2).then_some(MS * u32::try_from(target).unwrap());
    let awaited = AwaitedTargets::of(&plan(false), |target| target, needs).unwrap();
    assert_eq!((&*awaited.resources, &*awaited.well, &*awaited.full), (&[0, 2, 3][..], &[2, 3][..], &[3][..]));
    assert_eq!(awaited.needs, MS * 3, "what is not known asks for no time");
    let awaited = AwaitedTargets::of(&plan(true), |target| target, needs).unwrap();
    assert_eq!(&*awaited.well, &[3], "what is asked as a last resort is not well");
    let never = Plan { picks: Vec::new(), skipped: vec![skip(4, SkipReason::Label)], last_resort: false, sticky: None };
    assert_eq!(AwaitedTargets::of(&never, |target| target, needs), None, "no waiting helps");
}

#[test]
fn a_parked_call_looks_after_the_time_it_was_told_and_at_its_end() {
    let now = *START;
    let at = |until: Option<u64>, end: u64| {
        let at = |second| now + SECOND * u32::try_from(second).unwrap();
        look_at(until.map(at), at(end), now).duration_since(now).as_secs()
    };
    assert_eq!((at(Some(5), 100), at(Some(0), 100), at(None, 100), at(Some(5), 3)), (6, 30, 100, 3));
}

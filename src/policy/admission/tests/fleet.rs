//! A fleet of clients and one target that is all they have: callers that leave, and a short outage. Time is simulated.

use super::*;
use crate::policy::wait_queue::{Capacity as Says, QueueRank, WaitQueues};
use crate::words::Priority;

const TICK: Duration = Duration::from_millis(50);

/// What a client does.
#[derive(Clone, Copy)]
enum Doing {
    Away { until: Instant },
    Waits { place: QueueRank, since: Instant },
    Pauses { place: QueueRank, since: Instant, until: Instant },
    Asks { place: QueueRank, since: Instant, from: Instant, ticket: Ticket, too_many: bool },
}

/// A client that asks again and again.
struct Client {
    patience: Duration,
    /// Whether it says so.
    tells: bool,
    doing: Doing,
    answers: Vec<Duration>,
    refused: u32,
}

struct Fleet {
    bench: Bench,
    queues: WaitQueues<u8, usize>,
    clients: Vec<Client>,
    start: Instant,
    /// What an answer takes, and when the target says that it is overloaded.
    takes: Duration,
    whole: bool,
    outage: std::ops::Range<Duration>,
    /// How many it bears at once, and how many it has refused.
    bears: u32,
    overloads: u32,
}

impl Fleet {
    fn new(takes: Duration, whole: bool, places: u32) -> Self {
        let mut options = options(1, 1);
        options.targets[0].in_flight_max = places;
        let mut bench = Bench::new(1, 1);
        bench.admission = Admission::new(options, bench.now);
        let (start, outage) = (bench.now, Duration::ZERO..Duration::ZERO);
        let (queues, clients) = (WaitQueues::default(), Vec::new());
        Self { bench, queues, clients, start, takes, whole, outage, bears: u32::MAX, overloads: 0 }
    }

    fn clients(&mut self, count: u32, patience: Duration, tells: bool, from: Duration, apart: Duration) {
        for number in 0..count {
            let doing = Doing::Away { until: self.start + from + apart * number };
            self.clients.push(Client { patience, tells, doing, answers: Vec::new(), refused: 0 });
        }
    }

    fn in_flight(&self) -> u32 {
        let asks = self.clients.iter().filter(|client| matches!(client.doing, Doing::Asks { .. }));
        u32::try_from(asks.count()).unwrap()
    }

    /// Returns until when a client that told its deadline may go to a place, if it did.
    fn latest(&self, at: usize, since: Instant) -> Option<Instant> {
        let Client { patience, tells, .. } = self.clients[at];
        let takes = self.bench.health(0).takes(0, self.whole, 0);
        tells.then(|| (since + patience).checked_sub(takes).unwrap_or(since))
    }

    fn refuse(&mut self, at: usize) {
        self.clients[at].refused += 1;
        self.clients[at].doing = Doing::Away { until: self.bench.now + SECOND };
    }

    fn wait(&mut self, at: usize, place: QueueRank, since: Instant) {
        let placed = self.bench.now + self.queues.wait(&[0], place, self.bench.now).unwrap_or_default();
        if self.latest(at, since).is_some_and(|latest| placed > latest || self.bench.now >= latest) {
            return self.refuse(at);
        }
        self.queues.full(&0, self.bench.now);
        self.queues.enter([0].into(), place, self.bench.now, at);
        self.clients[at].doing = Doing::Waits { place, since };
    }

    /// Asks the target, as the last resort if need be; tells whether it was admitted.
    fn ask(&mut self, at: usize, place: QueueRank, since: Instant) -> bool {
        self.bench.in_flight = self.in_flight();
        let ask = AdmissionRequest { whole: self.whole, ..ASK };
        let from = self.bench.now;
        let asked = self.bench.ask(ask).or_else(|refusal| {
            if refusal.is_full() { Err(refusal) } else { self.bench.ask(AdmissionRequest { last_resort: true, ..ask }) }
        });
        match asked {
            Ok(ticket) => {
                let too_many = self.bench.in_flight >= self.bears || self.outage.contains(&(from - self.start));
                self.clients[at].doing = Doing::Asks { place, since, from, ticket, too_many };
            }
            Err(refusal) if refusal.is_full() => self.wait(at, place, since),
            Err(_) => {
                self.refuse(at);
            }
        }
        asked.is_ok()
    }

    fn step(&mut self, at: usize) {
        let (now, patience) = (self.bench.now, self.clients[at].patience);
        let away = Doing::Away { until: now + SECOND };
        match self.clients[at].doing {
            Doing::Away { until } if until <= now => {
                let tells = self.clients[at].tells;
                let due = now + if tells { patience } else { 600 * SECOND };
                let place = self.queues.arrive(Priority::Default, due, tells, now);
                if self.queues.is_before(&[0], Priority::Default, due, false, now) {
                    self.wait(at, place, now);
                } else {
                    self.ask(at, place, now);
                }
            }
            Doing::Waits { place, since } if self.latest(at, since).is_some_and(|latest| now >= latest) => {
                self.queues.leave(&[0].into(), place);
                self.refuse(at);
            }
            Doing::Waits { place, since } if now - since >= patience => {
                self.queues.left(&[0], place, now);
                self.queues.leave(&[0].into(), place);
                self.clients[at].doing = away;
            }
            Doing::Pauses { since, .. } if now - since >= patience => self.clients[at].doing = away,
            Doing::Pauses { place, since, until } if until <= now => drop(self.ask(at, place, since)),
            Doing::Asks { place, since, from, ticket, too_many } => {
                if too_many && now > from {
                    self.overloads += 1;
                    self.clients[at].doing = Doing::Pauses { place, since, until: now + SECOND };
                    self.bench.report(&ticket, Report::Ended(failure(FailureClass::Overloaded)));
                } else if now - from >= self.takes {
                    self.bench.report(&ticket, Report::Content { after: now - from });
                    self.bench.report(&ticket, SUCCESS);
                    self.clients[at].answers.push(now - self.start);
                    self.clients[at].doing = Doing::Away { until: now };
                } else if now - since >= patience {
                    self.bench.report(&ticket, Report::Ended(Outcome::Cancelled(CancelReason::Left)));
                    self.queues.left(&[0], place, now);
                    self.clients[at].doing = away;
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, lasting: Duration) {
        while self.bench.now < self.start + lasting {
            (0..self.clients.len()).for_each(|at| self.step(at));
            let now = self.bench.now;
            let health = self.bench.admission.health(0, self.in_flight(), now);
            let says = Says::of(&health, now);
            for (at, key) in self.queues.look(now, |_| says).go {
                let Doing::Waits { place, since } = self.clients[at].doing else { panic!("{at} does not wait") };
                if self.ask(at, place, since) {
                    self.queues.arrived(&key);
                } else {
                    self.queues.refused(&key, now);
                }
            }
            self.bench.now += TICK;
        }
    }

    fn answers(&self, from: u64, to: u64) -> usize {
        let span = Duration::from_secs(from)..Duration::from_secs(to);
        self.clients.iter().flat_map(|client| &client.answers).filter(|at| span.contains(*at)).count()
    }
}

#[test]
fn patient_callers_of_a_sole_target_are_answered_beside_any_that_leave_early() {
    for (takes, early, whole) in [(8, 5, true), (8, 5, false), (20, 15, true), (20, 15, false), (20, 5, false)] {
        let mut fleet = Fleet::new(Duration::from_secs(takes), whole, 2_048);
        fleet.clients(8, Duration::from_secs(early), false, Duration::ZERO, Duration::ZERO);
        fleet.clients(3, 30 * SECOND, false, 4 * SECOND, Duration::ZERO);
        fleet.run(10 * MINUTE);
        let patient = &fleet.clients[8..];
        let (refused, most) = (patient.iter().map(|it| it.refused).sum::<u32>(), 590 / takes);
        assert_eq!(refused, 0, "answers of {takes} s, some leave after {early} s, whole: {whole}");
        assert!(patient.iter().all(|it| it.answers.len() as u64 >= most - 2), "each could have {most}");
        assert_eq!(fleet.bench.health(0).breaker, BreakerState::Closed);
    }
}

#[test]
fn three_seconds_of_overload_take_a_fleet_no_more_than_its_next_answers() {
    for whole in [true, false] {
        let mut fleet = Fleet::new(15 * SECOND, whole, 2_048);
        fleet.outage = SECOND..4 * SECOND;
        fleet.clients(20, 30 * SECOND, false, Duration::ZERO, 3 * TICK);
        fleet.run(105 * SECOND);
        let answers = fleet.answers(45, 105);
        assert!(answers >= 50, "{answers} of 80, whole: {whole}");
    }
}

#[test]
fn a_target_that_bears_eight_at_once_is_seldom_asked_for_more() {
    let mut fleet = Fleet::new(2 * SECOND, false, 2_048);
    fleet.bears = 8;
    fleet.clients(30, MINUTE, false, Duration::ZERO, 3 * TICK);
    fleet.run(10 * MINUTE);
    let answers = fleet.answers(0, 600);
    assert!(answers >= 2_150, "{answers} of 2 400");
    assert!(fleet.overloads * 20 <= 2_400, "{} refused", fleet.overloads);
}

#[test]
fn a_server_with_two_places_answers_clients_with_less_time_than_the_queue_takes() {
    for (tells, whole) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut fleet = Fleet::new(8 * SECOND, whole, 2);
        fleet.clients(10, 30 * SECOND, tells, Duration::ZERO, 2 * TICK);
        fleet.run(5 * MINUTE);
        // It can give 15 a minute.
        let answers = fleet.answers(40, 280);
        assert!(answers >= 45, "{answers} of 60; they tell: {tells}, whole: {whole}");
    }
}

//! The world: providers with a truth that only an oracle knows, calls that arrive, and a queue of events between them.
//!
//! Input: a scenario, a seed and a [`Gateway`]. Output: a [`Score`]. What becomes of an attempt depends on seed, call,
//! target and how often the call asked it before, and on nothing a gateway does: all gateways have the same luck. The
//! world decides nothing; a gateway knows only what it is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use standin::routing::SecondValue;
use standin::{FailureClass, Gauge, Limits, Priority};

use super::score::{Done, Score};

/// How a target fails those requests that it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// Nobody is there.
    Refuse,
    /// An error after a fifth of a second.
    Error,
    /// An overload that asks for patience.
    Overloaded(Duration),
    /// A limit, and how long it holds.
    Limited(Duration),
    /// The key is no longer good.
    Key,
    /// The account is empty.
    Money,
    /// Nothing, or keep-alives, for ever.
    Silence,
    /// It breaks off after this part of the answer.
    Cut(f64),
    /// It stops after this part of the answer and says nothing more.
    Stall(f64),
    /// An answer without content.
    Empty,
}

/// The true state of a target at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Share of requests that fail.
    pub loss: f64,
    pub how: How,
    /// Median time to the first token, s, and its spread (log-normal).
    pub first: f64,
    pub sigma: f64,
    /// A share of answers that begin this many times later.
    pub tail: (f64, f64),
    pub per_token: f64,
    /// Requests a minute that it takes; the others are told when to come back.
    pub limit: Option<f64>,
}

impl Default for Truth {
    fn default() -> Self {
        let (how, tail, per_token) = (How::Error, (0.0, 1.0), 0.01);
        Self { loss: 0.005, how, first: 0.5, sigma: 0.5, tail, per_token, limit: None }
    }
}

impl Truth {
    /// Returns the mean time to the first token.
    pub fn first_mean(&self) -> f64 {
        let (share, factor) = self.tail;
        self.first * (self.sigma * self.sigma / 2.0).exp() * (1.0 + share * (factor - 1.0))
    }

    /// Returns the mean time after which a failure is known, at best.
    fn detect(&self, tokens: f64) -> f64 {
        match self.how {
            How::Refuse => 0.05,
            How::Error | How::Overloaded(_) | How::Limited(_) | How::Key | How::Money => 0.2,
            How::Silence => self.first * (2.33 * self.sigma).exp() * 2.0,
            How::Cut(part) => self.first_mean() + part * tokens * self.per_token,
            How::Stall(part) => self.first_mean() + part * tokens * self.per_token + 3.0,
            How::Empty => self.first_mean(),
        }
    }
}

/// A target: its price, the targets that it fails with, and its state from each time on.
#[derive(Clone, Debug)]
pub struct Target {
    /// Dollars for a million tokens in and out.
    pub price: (f64, f64),
    pub tier: u8,
    /// Which provider it belongs to.
    pub provider: usize,
    /// Seconds, ascending, from 0.
    pub truth: Vec<(f64, Truth)>,
}

impl Target {
    pub fn at(&self, second: f64) -> &Truth {
        let place = self.truth.partition_point(|(from, _)| *from <= second);
        &self.truth[place.max(1) - 1].1
    }

    /// Returns from when on it answers at all, if it does some time.
    fn answers_from(&self, second: f64) -> Option<f64> {
        let later = self.truth.iter().filter(|(from, truth)| *from > second && truth.loss < 1.0).map(|(from, _)| *from);
        if self.at(second).loss < 1.0 { Some(second) } else { later.reduce(f64::min) }
    }
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub targets: Vec<Target>,
    /// Calls a minute; they come at random times.
    pub rate: f64,
    pub seconds: f64,
    /// How urgent they are.
    pub priority: Priority,
    /// A burst: this many times the calls, from then until then.
    pub burst: Option<(f64, f64, f64)>,
    /// Length of prompts and of answers, in tokens.
    pub prompt: u32,
    pub tokens: u32,
    pub deadline: Duration,
    /// When our own network is down.
    pub offline: Option<(f64, f64)>,
    /// Whether targets say with each answer what is left of their limits.
    pub headers: bool,
    /// Times and lengths of calls from a trace, instead of random ones: s, prompt, answer.
    pub arrivals: Option<std::sync::Arc<Vec<(f64, u32, u32)>>>,
}

/// Share of a failed attempt that is billed where content had begun.
const BILLED: f64 = 0.3;

impl Scenario {
    /// Returns the price of an answer at a target.
    pub fn dollars(&self, target: usize, tokens: u32) -> f64 {
        let (input, output) = self.targets[target].price;
        (input * f64::from(self.prompt) + output * f64::from(tokens)) / 1e6
    }

    /// Returns the true expected cost of every target at a time, in dollars, as an oracle computes it.
    pub fn costs(&self, second: f64) -> Vec<f64> {
        let (tokens, value) = (f64::from(self.tokens), self.second_value());
        let plain = |target: usize| {
            let truth = self.targets[target].at(second);
            (self.dollars(target, self.tokens), truth.first_mean() * self.stretch() + tokens * truth.per_token)
        };
        let well = |target: usize| {
            let (dollars, seconds) = plain(target);
            let loss = self.targets[target].at(second).loss;
            (dollars + value * seconds) / (1.0 - loss).max(0.05)
        };
        let cost = |target: usize| {
            // Another one, if any of them answers at all.
            let next =
                (0..self.targets.len()).filter(|other| *other != target && self.targets[*other].at(second).loss < 1.0);
            let truth = self.targets[target].at(second);
            let (dollars, seconds) = plain(target);
            let next = next.map(well).reduce(f64::min).unwrap_or(dollars + value * seconds);
            let q = truth.loss;
            let billed =
                if matches!(truth.how, How::Cut(_) | How::Stall(_) | How::Empty) { BILLED * dollars } else { 0.0 };
            let good = dollars + value * seconds;
            (1.0 - q) * good + q * (billed + value * truth.detect(tokens) + next)
        };
        (0..self.targets.len()).map(cost).collect()
    }

    /// Returns what a second is worth, in dollars: the default of a route.
    pub fn second_value(&self) -> f64 {
        let SecondValue { batch, default, interactive, .. } = SecondValue::default();
        match self.priority {
            Priority::Batch => batch,
            Priority::Default => default,
            Priority::Interactive | Priority::Critical => interactive,
        }
    }

    /// Returns when something first changes for the worse, and when all is as it was; all of the time if nothing does.
    pub fn trouble(&self) -> (f64, f64) {
        let changes = self.targets.iter().flat_map(|target| target.truth.iter().map(|(from, _)| *from));
        let ends = |pair: Option<(f64, f64)>| pair.into_iter().flat_map(|(from, to)| [from, to]);
        let burst = ends(self.burst.map(|(_, from, to)| (from, to)));
        let all = changes.chain(ends(self.offline)).chain(burst).filter(|at| *at > 0.0);
        let (first, last) = all.fold((f64::INFINITY, 0.0_f64), |(first, last), at| (first.min(at), last.max(at)));
        if last == 0.0 { (0.0, self.seconds) } else { (if first < last { first } else { 0.0 }, last) }
    }

    fn stretch(&self) -> f64 {
        1.0 + f64::from(self.prompt) / 20_000.0
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Good,
    /// In this way, asking for that patience.
    Bad(FailureClass, Option<Duration>),
}

/// A driver of calls over targets. It gets every event, and starts and stops attempts by the [`Net`].
pub trait Gateway {
    fn start(&mut self, call: usize, net: &mut Net);
    fn content(&mut self, attempt: usize, net: &mut Net);
    /// The content paused: nothing came since then.
    fn paused(&mut self, _attempt: usize, _net: &mut Net) {}
    fn ended(&mut self, attempt: usize, end: End, net: &mut Net);
    fn timer(&mut self, token: u64, net: &mut Net);
    /// Tells whether a target is kept out now, for the score.
    fn avoids(&mut self, _target: usize, _net: &Net) -> bool {
        false
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Start(usize),
    Content(usize),
    Paused(usize),
    End(usize, End),
    Timer(u64),
    Look,
}

/// An attempt, as the world knows it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub call: usize,
    pub target: usize,
    pub began: Instant,
    pub content: Option<Instant>,
    over: bool,
    /// Its event to come.
    next: (Instant, u64),
    paused: Option<(Instant, u64)>,
    dollars: f64,
    spent: f64,
    /// What its head says of the target's limit.
    limits: Limits,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub began: Instant,
    pub deadline: Instant,
    pub tokens: u32,
    over: bool,
    attempts: u32,
    dollars: f64,
}

/// The actions and views that a gateway has.
pub struct Net<'a> {
    pub scenario: &'a Scenario,
    pub start: Instant,
    pub now: Instant,
    pub score: Score,
    seed: u64,
    queue: BTreeMap<(Instant, u64), Event>,
    serial: u64,
    calls: Vec<Call>,
    attempts: Vec<Attempt>,
    /// Until when each target asked to be left alone.
    told: Vec<Option<Instant>>,
    /// Places left of each target's limit, and when that was.
    places: Vec<(f64, Instant)>,
    in_flight: Vec<u32>,
    log: Option<Vec<String>>,
}

impl Net<'_> {
    pub fn second(&self) -> f64 {
        (self.now - self.start).as_secs_f64()
    }

    pub fn call(&self, call: usize) -> Call {
        self.calls[call]
    }

    pub fn attempt(&self, attempt: usize) -> Attempt {
        self.attempts[attempt]
    }

    pub fn in_flight(&self, target: usize) -> u32 {
        self.in_flight[target]
    }

    pub fn targets(&self) -> usize {
        self.scenario.targets.len()
    }

    /// Returns the cost of an attempt that is over.
    pub fn spent(&self, attempt: usize) -> f64 {
        self.attempts[attempt].spent
    }

    /// Returns what an attempt's head says of its target's limits.
    pub fn limits(&self, attempt: usize) -> Limits {
        self.attempts[attempt].limits
    }

    /// Returns from when on a target answers at all, once so many others were asked before. This is for those that know
    /// how things are.
    pub fn answers_at(&self, target: usize, others: u32) -> Option<Instant> {
        const MOMENT: f64 = 1e-3;
        let (of, second) = (&self.scenario.targets[target], self.second());
        let online =
            self.scenario.offline.filter(|(from, to)| (*from..*to).contains(&second)).map_or(second, |at| at.1);
        let from = of.answers_from(online)?;
        let missing =
            of.at(from).limit.map(|limit| (f64::from(others) + 1.0 - self.left(target, limit)) * 60.0 / limit);
        let place = missing.filter(|missing| *missing > 0.0).map_or(second, |missing| second + missing + MOMENT);
        let at = from.max(place);
        Some(if at > second { self.start + Duration::from_secs_f64(at) } else { self.now })
    }

    /// Returns whether the attempt goes on.
    pub fn runs(&self, attempt: usize) -> bool {
        !self.attempts[attempt].over
    }

    /// Wakes the gateway then, with this token.
    pub fn wake(&mut self, at: Instant, token: u64) {
        self.at(at.max(self.now), Event::Timer(token));
    }

    fn at(&mut self, at: Instant, event: Event) -> (Instant, u64) {
        self.serial += 1;
        self.queue.insert((at, self.serial), event);
        (at, self.serial)
    }

    /// Asks a target; returns the attempt.
    pub fn ask(&mut self, call: usize, target: usize) -> usize {
        let second = self.second();
        let truth = *self.scenario.targets[target].at(second);
        let of = self.calls[call];
        let before = self.attempts.iter().rev().take(64).filter(|it| it.call == call && it.target == target).count();
        let luck = mix(self.seed, call as u64, (target * 64 + before) as u64);
        let mut luck = SmallRng::seed_from_u64(luck);
        if of.attempts == 0 {
            let costs = self.scenario.costs(second);
            let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
            self.score.chose(target, second, costs[target], best);
        }
        self.calls[call].attempts += 1;
        self.score.asked(target, self.told[target].is_some_and(|until| until > self.now));
        let attempt = self.attempts.len();
        if let Some(log) = &mut self.log {
            log.push(format!("{second:.6} call {call} asks {target}"));
        }
        let offline = self.scenario.offline.is_some_and(|(from, to)| (from..to).contains(&second));
        let (loss, how) = if offline { (1.0, How::Refuse) } else { (truth.loss, truth.how) };
        let (fails, normal, far) =
            (luck.random::<f64>() < loss, normal(&mut luck), luck.random::<f64>() < truth.tail.0);
        let first = truth.first * (truth.sigma * normal).exp() * if far { truth.tail.1 } else { 1.0 };
        let first = first * self.scenario.stretch();
        let whole = f64::from(of.tokens) * truth.per_token;
        let how = if fails {
            Some(how)
        } else if truth.limit.is_some_and(|limit| !self.place(target, limit)) {
            Some(How::Limited(Duration::from_secs_f64((60.0 / truth.limit.unwrap_or(1.0)).max(1.0).ceil())))
        } else {
            None
        };
        let bad = |class| End::Bad(class, None);
        let (content, paused, end, said, part) = match how {
            None => (Some(first), None, Some(first + whole), End::Good, 1.0),
            Some(How::Refuse) => (None, None, Some(0.05), bad(FailureClass::Connect), 0.0),
            Some(How::Error) => (None, None, Some(0.2), bad(FailureClass::Server), 0.0),
            Some(How::Overloaded(wait)) => (None, None, Some(0.2), End::Bad(FailureClass::Overloaded, Some(wait)), 0.0),
            Some(How::Limited(wait)) => (None, None, Some(0.1), End::Bad(FailureClass::RateLimited, Some(wait)), 0.0),
            Some(How::Key) => (None, None, Some(0.1), bad(FailureClass::Unauthorised), 0.0),
            Some(How::Money) => (None, None, Some(0.1), bad(FailureClass::OutOfMoney), 0.0),
            Some(How::Silence) => (None, None, None, bad(FailureClass::NoFirstToken), 0.0),
            Some(How::Cut(part)) => (Some(first), None, Some(first + part * whole), bad(FailureClass::Cut), part),
            Some(How::Stall(part)) => (Some(first), Some(first + part * whole), None, bad(FailureClass::Stalled), part),
            Some(How::Empty) => (None, None, Some(first), bad(FailureClass::Empty), 0.2),
        };
        let now = self.now;
        let then = |seconds: f64| now + Duration::from_secs_f64(seconds);
        let dollars = part * self.scenario.dollars(target, of.tokens);
        self.attempts.push(Attempt {
            call,
            target,
            began: now,
            content: None,
            over: false,
            next: (now, 0),
            paused: None,
            dollars,
            spent: 0.0,
            limits: truth
                .limit
                .filter(|_| self.scenario.headers)
                .map_or_else(Limits::default, |limit| self.say(target, limit)),
        });
        self.in_flight[target] += 1;
        let next = match (content, end) {
            (Some(content), _) => self.at(then(content), Event::Content(attempt)),
            (None, Some(end)) => self.at(then(end), Event::End(attempt, said)),
            (None, None) => (now, 0),
        };
        self.attempts[attempt].next = next;
        if content.is_some() {
            let last = match (end, paused) {
                (Some(end), _) => self.at(then(end), Event::End(attempt, said)),
                (None, Some(paused)) => self.at(then(paused), Event::Paused(attempt)),
                (None, None) => (now, 0),
            };
            self.attempts[attempt].paused = Some(last);
        }
        attempt
    }

    /// Returns what is left of a limit by the minute, which refills all the time.
    fn left(&self, target: usize, limit: f64) -> f64 {
        let (left, at) = self.places[target];
        (left + (self.now - at).as_secs_f64() * limit / 60.0).min(limit.max(1.0))
    }

    fn say(&self, target: usize, limit: f64) -> Limits {
        let left = self.left(target, limit);
        let reset = Duration::from_secs_f64((limit - left).max(0.0) * 60.0 / limit);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
        let mut gauge = Gauge::new(limit.max(1.0) as u64, left as u64);
        gauge.reset = Some(reset);
        let mut limits = Limits::default();
        limits.requests = Some(gauge);
        limits
    }

    /// Takes a place of a limit by the minute.
    fn place(&mut self, target: usize, limit: f64) -> bool {
        let left = self.left(target, limit);
        let takes = left >= 1.0;
        self.places[target] = (if takes { left - 1.0 } else { left }, self.now);
        takes
    }

    /// Stops an attempt, for this reason; its cost is waste.
    pub fn cancel(&mut self, attempt: usize, why: &'static str) {
        if self.attempts[attempt].over {
            return;
        }
        let it = self.attempts[attempt];
        self.queue.remove(&it.next);
        if let Some(paused) = it.paused {
            self.queue.remove(&paused);
        }
        self.over(attempt, Some(why));
    }

    fn over(&mut self, attempt: usize, wasted: Option<&'static str>) {
        let it = &mut self.attempts[attempt];
        it.over = true;
        self.in_flight[it.target] -= 1;
        // A prompt that was read is paid.
        let dollars = if wasted.is_some() { BILLED * it.dollars } else { it.dollars };
        it.spent = dollars;
        let (target, call) = (it.target, it.call);
        self.calls[call].dollars += dollars;
        if let Some(why) = wasted {
            self.score.wasted(target, why, dollars);
        }
    }

    /// Ends a call.
    pub fn finish(&mut self, call: usize, good: bool) {
        let of = &mut self.calls[call];
        assert!(!of.over, "a call ends once");
        of.over = true;
        let (at, seconds) = ((of.began - self.start).as_secs_f64(), (self.now - of.began).as_secs_f64());
        let good = good && self.now <= of.deadline;
        self.score.done(Done { at, good, seconds, dollars: of.dollars, attempts: of.attempts });
    }

    fn ended(&mut self, attempt: usize, end: End) {
        let it = self.attempts[attempt];
        self.over(
            attempt,
            match end {
                End::Good => None,
                End::Bad(class, _) => Some(class.name()),
            },
        );
        if let End::Bad(FailureClass::RateLimited | FailureClass::Overloaded, Some(wait)) = end {
            self.told[it.target] = self.told[it.target].max(Some(self.now + wait));
        }
        self.score.ended(it.target, end, (self.now - self.start).as_secs_f64());
    }
}

/// Returns a seed from three numbers.
fn mix(seed: u64, a: u64, b: u64) -> u64 {
    let mut mixed = seed ^ a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xD1B5_4A32_D192_ED03);
    for _ in 0..2 {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 27;
    }
    mixed
}

/// A sample of the normal distribution (Box and Muller).
pub fn normal(rng: &mut impl Rng) -> f64 {
    let (radius, angle) = ((-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt(), rng.random::<f64>());
    radius * (std::f64::consts::TAU * angle).cos()
}

/// Returns how often it is checked which targets are avoided: every second, or where calls are rare with half of them.
fn look(rate: f64) -> f64 {
    (120.0 / rate).clamp(1.0, 15.0)
}

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario, gateway: &mut dyn Gateway, seed: u64) -> Score {
    play(scenario, gateway, seed, false).0
}

/// Runs a scenario to its end, and also returns which target was asked at which time.
pub fn play(scenario: &Scenario, gateway: &mut dyn Gateway, seed: u64, log: bool) -> (Score, Vec<String>) {
    let start = Instant::now();
    let targets = scenario.targets.len();
    let mut net = Net {
        scenario,
        start,
        now: start,
        score: Score::new(scenario),
        seed,
        queue: BTreeMap::new(),
        serial: 0,
        calls: Vec::new(),
        attempts: Vec::new(),
        told: vec![None; targets],
        places: vec![(1.0, start); targets],
        in_flight: vec![0; targets],
        log: log.then(Vec::new),
    };
    let mut arrivals = SmallRng::seed_from_u64(mix(seed, 1, 2));
    arrive(scenario, &mut net, &mut arrivals, 0.0);
    net.at(start, Event::Look);
    while let Some(((now, _), event)) = net.queue.pop_first() {
        net.now = now;
        match event {
            Event::Start(call) => {
                let second = net.second();
                arrive(scenario, &mut net, &mut arrivals, second);
                gateway.start(call, &mut net);
            }
            Event::Content(attempt) => {
                net.attempts[attempt].content = Some(now);
                net.score.content(net.attempts[attempt].target, net.second());
                gateway.content(attempt, &mut net);
            }
            Event::Paused(attempt) => gateway.paused(attempt, &mut net),
            Event::End(attempt, end) => {
                net.ended(attempt, end);
                gateway.ended(attempt, end, &mut net);
            }
            Event::Timer(token) => gateway.timer(token, &mut net),
            Event::Look => {
                let second = net.second();
                for target in 0..targets {
                    let avoids = gateway.avoids(target, &net);
                    net.score.looked(target, second, avoids, scenario.targets[target].at(second));
                }
                if second + look(scenario.rate) < scenario.seconds {
                    net.at(now + Duration::from_secs_f64(look(scenario.rate)), Event::Look);
                }
            }
        }
    }
    assert!(net.calls.iter().all(|call| call.over), "a call without an end");
    let log = net.log.take().unwrap_or_default();
    (net.score, log)
}

/// Lets the next call arrive.
fn arrive(scenario: &Scenario, net: &mut Net, rng: &mut SmallRng, second: f64) {
    let number = net.calls.len();
    let (at, tokens) = match &scenario.arrivals {
        Some(trace) => match trace.get(number) {
            Some(&(at, _, tokens)) => (at, tokens.max(1)),
            None => return,
        },
        None => {
            let burst = scenario.burst.filter(|(_, from, to)| (*from..*to).contains(&second));
            let rate = scenario.rate * burst.map_or(1.0, |(times, ..)| times) / 60.0;
            let gap = -(1.0 - rng.random::<f64>()).ln() / rate;
            // Answers spread in length as they do in traces.
            let tokens = f64::from(scenario.tokens) * (0.5 * normal(rng) - 0.125).exp();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds")]
            (second + gap, tokens.max(1.0) as u32)
        }
    };
    if at >= scenario.seconds {
        return;
    }
    let began = net.start + Duration::from_secs_f64(at);
    let deadline = began + scenario.deadline;
    net.calls.push(Call { began, deadline, tokens, over: false, attempts: 0, dollars: 0.0 });
    net.at(began, Event::Start(number));
}

//! The others: an oracle, fixed orders, and what well-known gateways and libraries do by their own documentation.
//!
//! All of them ask one target after the other. What differs is which target is next, which are left out, and for how
//! long; that is a [`Rule`]. They get the time-outs a careful user sets, or a silent target would end every comparison.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use standin::FailureClass;

use super::world::{End, Gateway, Net, Scenario};

/// Time until the first token, and of a pause, after which a careful user's client gives up.
const FIRST_TOKEN_MAX: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Which target is next, and which are left out.
pub trait Rule {
    /// Returns the next target of a call that has asked these, and after what pause.
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)>;
    fn began(&mut self, _target: usize, _now: Instant) {}
    fn ended(&mut self, _target: usize, _end: End, _took: Duration, _now: Instant) {}
    fn avoids(&self, _target: usize, _now: Instant) -> bool {
        false
    }
    /// How long a target may say nothing.
    fn patience(&self, _target: usize, _net: &Net) -> Duration {
        FIRST_TOKEN_MAX
    }
}

/// Asks one target after the other, as a rule says.
pub struct Sequence<R> {
    rule: R,
    calls: BTreeMap<usize, Vec<usize>>,
    timers: BTreeMap<u64, Timer>,
    token: u64,
}

#[derive(Clone, Copy)]
enum Timer {
    Begin(usize, usize),
    First(usize),
    Pause(usize),
}

impl<R: Rule> Sequence<R> {
    pub fn new(rule: R) -> Self {
        Self { rule, calls: BTreeMap::new(), timers: BTreeMap::new(), token: 0 }
    }

    fn set(&mut self, after: Duration, timer: Timer, net: &mut Net) {
        self.token += 1;
        self.timers.insert(self.token, timer);
        net.wake(net.now + after, self.token);
    }

    fn next(&mut self, call: usize, net: &mut Net) {
        let asked = self.calls.entry(call).or_default().clone();
        let choice = if net.now < net.call(call).deadline { self.rule.choose(&asked, net) } else { None };
        match choice {
            Some((target, pause)) if pause.is_zero() => self.begin(call, target, net),
            Some((target, pause)) => self.set(pause, Timer::Begin(call, target), net),
            None => {
                self.calls.remove(&call);
                net.finish(call, false);
            }
        }
    }

    fn begin(&mut self, call: usize, target: usize, net: &mut Net) {
        self.calls.entry(call).or_default().push(target);
        self.rule.began(target, net.now);
        let attempt = net.ask(call, target);
        let patience = self.rule.patience(target, net).min(net.call(call).deadline.saturating_duration_since(net.now));
        self.set(patience, Timer::First(attempt), net);
    }

    fn fail(&mut self, attempt: usize, end: End, net: &mut Net) {
        let it = net.attempt(attempt);
        self.rule.ended(it.target, end, net.now - it.began, net.now);
        self.next(it.call, net);
    }
}

impl<R: Rule> Gateway for Sequence<R> {
    fn start(&mut self, call: usize, net: &mut Net) {
        self.next(call, net);
    }

    fn content(&mut self, _attempt: usize, _net: &mut Net) {}

    fn paused(&mut self, attempt: usize, net: &mut Net) {
        self.set(PAUSE_MAX, Timer::Pause(attempt), net);
    }

    fn ended(&mut self, attempt: usize, end: End, net: &mut Net) {
        if end != End::Good {
            return self.fail(attempt, end, net);
        }
        let it = net.attempt(attempt);
        self.rule.ended(it.target, end, it.content.unwrap_or(net.now) - it.began, net.now);
        self.calls.remove(&it.call);
        net.finish(it.call, true);
    }

    fn timer(&mut self, token: u64, net: &mut Net) {
        let (attempt, class) = match self.timers.remove(&token) {
            None => return,
            Some(Timer::Begin(call, target)) => return self.begin(call, target, net),
            Some(Timer::First(attempt)) if net.attempt(attempt).content.is_some() => return,
            Some(Timer::First(attempt)) => (attempt, FailureClass::NoFirstToken),
            Some(Timer::Pause(attempt)) => (attempt, FailureClass::Stalled),
        };
        if net.runs(attempt) {
            net.cancel(attempt, class.name());
            self.fail(attempt, End::Bad(class, None), net);
        }
    }

    fn avoids(&mut self, target: usize, net: &Net) -> bool {
        self.rule.avoids(target, net.now)
    }
}

/// Knows each target's true state, and not the outcome of a single request.
pub struct Oracle;

impl Rule for Oracle {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let costs = net.scenario.costs(net.second());
        let left = (0..net.targets()).filter(|target| !asked.contains(target));
        let best = left.min_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        best.or_else(|| asked.first().copied().filter(|_| asked.len() < 6)).map(|target| (target, Duration::ZERO))
    }

    fn patience(&self, target: usize, net: &Net) -> Duration {
        let truth = net.scenario.targets[target].at(net.second());
        let tail = if truth.tail.0 > 0.0 { truth.tail.1.max(1.0) } else { 1.0 };
        Duration::from_secs_f64(2.0 * truth.first * tail * (2.33 * truth.sigma).exp())
    }
}

/// One order for ever, and the next one where one fails.
pub struct Order(pub Vec<usize>);

impl Rule for Order {
    fn choose(&mut self, asked: &[usize], _net: &Net) -> Option<(usize, Duration)> {
        self.0.get(asked.len()).map(|target| (*target, Duration::ZERO))
    }
}

/// One order, each target up to three times with the pauses of an SDK (.5 s, doubled, up to 8 s, less up to a quarter).
pub struct Retries(pub SmallRng);

impl Rule for Retries {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let (target, again) = (asked.len() / 3, asked.len() % 3);
        let pause =
            if again == 0 { 0.0 } else { 0.5 * f64::from(1_u32 << (again - 1)) * self.0.random_range(0.75..=1.0) };
        (target < net.targets()).then(|| (target, Duration::from_secs_f64(pause)))
    }
}

/// Five failures in a row leave a target out for 30 s; else the order.
#[derive(Default)]
pub struct FiveInARow(BTreeMap<usize, (u32, Option<Instant>)>);

impl FiveInARow {
    fn out(&self, target: usize, now: Instant) -> bool {
        self.0.get(&target).and_then(|(_, until)| *until).is_some_and(|until| until > now)
    }

    fn note(&mut self, target: usize, end: End, cooldown: Duration, now: Instant) {
        let (row, until) = self.0.entry(target).or_default();
        *row = if end == End::Good { 0 } else { *row + 1 };
        if *row >= 5 {
            *until = Some(now + cooldown);
        }
    }
}

impl Rule for FiveInARow {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let left = || (0..net.targets()).filter(|target| !asked.contains(target));
        let first = left().find(|target| !self.out(*target, net.now)).or_else(|| left().next());
        first.map(|target| (target, Duration::ZERO))
    }

    fn ended(&mut self, target: usize, end: End, _took: Duration, now: Instant) {
        self.note(target, end, Duration::from_secs(30), now);
    }

    fn avoids(&self, target: usize, now: Instant) -> bool {
        self.out(target, now)
    }
}

/// The router of `LiteLLM` as it is without settings: a random deployment of those not in cooldown, two retries; a
/// cooldown of 5 s at 429, 401, 404 and 408, or when more than half of five requests or more failed in this minute.
pub struct LiteLlm {
    rng: SmallRng,
    minute: BTreeMap<usize, (u64, u32, u32)>,
    out: BTreeMap<usize, Instant>,
    born: Instant,
}

impl LiteLlm {
    pub fn new(seed: u64, born: Instant) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), minute: BTreeMap::new(), out: BTreeMap::new(), born }
    }
}

impl Rule for LiteLlm {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let left: Vec<usize> = (0..net.targets()).filter(|target| !self.avoids(*target, net.now)).collect();
        if asked.len() >= 3 || left.is_empty() {
            return None;
        }
        Some((left[self.rng.random_range(0..left.len())], Duration::ZERO))
    }

    fn ended(&mut self, target: usize, end: End, _took: Duration, now: Instant) {
        use FailureClass as C;
        let minute = (now - self.born).as_secs() / 60;
        let count = self.minute.entry(target).or_insert((minute, 0, 0));
        if count.0 != minute {
            *count = (minute, 0, 0);
        }
        count.1 += 1;
        let End::Bad(class, wait) = end else { return };
        count.2 += 1;
        let at_once = matches!(class, C::RateLimited | C::Unauthorised | C::ModelGone | C::NoFirstToken | C::Stalled);
        if at_once || (count.1 >= 5 && f64::from(count.2) > 0.5 * f64::from(count.1)) {
            let wait = wait.filter(|wait| *wait <= Duration::from_secs(60)).unwrap_or(Duration::from_secs(5));
            self.out.insert(target, now + wait);
        }
    }

    fn avoids(&self, target: usize, now: Instant) -> bool {
        self.out.get(&target).is_some_and(|until| *until > now)
    }
}

/// Resilience4j as it is without settings, one for each target of an order: a window of 100 calls, all of them needed,
/// open at half for 60 s, then ten permits decide.
#[derive(Default)]
pub struct Resilience4j(BTreeMap<usize, Circuit>);

#[derive(Default)]
struct Circuit {
    window: VecDeque<bool>,
    open: Option<Instant>,
    half: bool,
}

impl Resilience4j {
    fn out(&self, target: usize, now: Instant) -> bool {
        self.0.get(&target).and_then(|circuit| circuit.open).is_some_and(|until| until > now)
    }
}

impl Rule for Resilience4j {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let mut left = (0..net.targets()).filter(|target| !asked.contains(target));
        let first = left.find(|target| !self.out(*target, net.now))?;
        Some((first, Duration::ZERO))
    }

    fn began(&mut self, target: usize, now: Instant) {
        let circuit = self.0.entry(target).or_default();
        if circuit.open.is_some_and(|until| until <= now) {
            (circuit.open, circuit.half) = (None, true);
            circuit.window.clear();
        }
    }

    fn ended(&mut self, target: usize, end: End, _took: Duration, now: Instant) {
        let circuit = self.0.entry(target).or_default();
        let size = if circuit.half { 10 } else { 100 };
        circuit.window.push_back(end != End::Good);
        if circuit.window.len() > size {
            circuit.window.pop_front();
        }
        if circuit.window.len() == size {
            let failed = circuit.window.iter().filter(|failed| **failed).count();
            if 2 * failed >= size {
                circuit.open = Some(now + Duration::from_secs(60));
                circuit.window.clear();
            } else if circuit.half {
                circuit.window.clear();
            }
            circuit.half = false;
        }
    }

    fn avoids(&self, target: usize, now: Instant) -> bool {
        self.out(target, now)
    }
}

/// Peak-EWMA with two choices, as Finagle and Linkerd do it: the lesser of two random targets by the latency that was
/// seen (peaks at once, else faded over 10 s) times requests in flight; five failures in a row leave one out for 5 s
/// doubled up to 300 s.
pub struct PeakEwma {
    rng: SmallRng,
    cost: BTreeMap<usize, (f64, Instant, u32)>,
    accrual: FiveInARow,
    outs: BTreeMap<usize, u32>,
}

impl PeakEwma {
    pub fn new(seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self { rng, cost: BTreeMap::new(), accrual: FiveInARow::default(), outs: BTreeMap::new() }
    }

    fn load(&self, target: usize, now: Instant) -> f64 {
        let Some((cost, at, in_flight)) = self.cost.get(&target) else { return 0.0 };
        let faded = cost * (-(now - *at).as_secs_f64() / 10.0).exp();
        faded * f64::from(in_flight + 1)
    }
}

impl Rule for PeakEwma {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let all: Vec<usize> = (0..net.targets()).filter(|target| !asked.contains(target)).collect();
        let in_use: Vec<usize> = all.iter().copied().filter(|target| !self.accrual.out(*target, net.now)).collect();
        let left = if in_use.is_empty() { all } else { in_use };
        if left.is_empty() {
            return None;
        }
        let [a, b] = [(); 2].map(|()| left[self.rng.random_range(0..left.len())]);
        let lighter = if self.load(b, net.now) < self.load(a, net.now) { b } else { a };
        Some((lighter, Duration::ZERO))
    }

    fn began(&mut self, target: usize, now: Instant) {
        self.cost.entry(target).or_insert((0.0, now, 0)).2 += 1;
    }

    fn ended(&mut self, target: usize, end: End, took: Duration, now: Instant) {
        let (cost, at, in_flight) = self.cost.entry(target).or_insert((0.0, now, 1));
        *in_flight = in_flight.saturating_sub(1);
        let (took, fade) = (took.as_secs_f64(), (-(now - *at).as_secs_f64() / 10.0).exp());
        *cost = if took > *cost { took } else { *cost * fade + took * (1.0 - fade) };
        *at = now;
        let outs = self.outs.entry(target).or_default();
        let cooldown = Duration::from_secs(5 << (*outs).min(6)).min(Duration::from_secs(300));
        let was_out = self.accrual.out(target, now);
        self.accrual.note(target, end, cooldown, now);
        if end == End::Good {
            *outs = 0;
        } else if !was_out && self.accrual.out(target, now) {
            *outs += 1;
        }
    }

    fn avoids(&self, target: usize, now: Instant) -> bool {
        self.accrual.out(target, now)
    }
}

/// OpenRouter's rule as it documents it: those without an outage in the last 30 s, drawn by the inverse square of their
/// price; the others behind them.
pub struct OpenRouter {
    rng: SmallRng,
    seen: BTreeMap<usize, VecDeque<(Instant, bool)>>,
    weights: Vec<f64>,
}

impl OpenRouter {
    pub fn new(seed: u64, scenario: &Scenario) -> Self {
        let weight = |target| scenario.dollars(target, scenario.tokens).max(1e-9).powi(-2);
        let weights = (0..scenario.targets.len()).map(weight).collect();
        Self { rng: SmallRng::seed_from_u64(seed), seen: BTreeMap::new(), weights }
    }

    fn out(&self, target: usize, now: Instant) -> bool {
        let Some(seen) = self.seen.get(&target) else { return false };
        let recent = seen.iter().filter(|(at, _)| now - *at <= Duration::from_secs(30));
        let (count, failed) = recent.fold((0, 0), |(n, bad), (_, failed)| (n + 1, bad + u32::from(*failed)));
        failed > 0 && 2 * failed >= count
    }
}

impl Rule for OpenRouter {
    fn choose(&mut self, asked: &[usize], net: &Net) -> Option<(usize, Duration)> {
        let all: Vec<usize> = (0..net.targets()).filter(|target| !asked.contains(target)).collect();
        let well: Vec<usize> = all.iter().copied().filter(|target| !self.out(*target, net.now)).collect();
        let left = if well.is_empty() { all } else { well };
        let whole: f64 = left.iter().map(|target| self.weights[*target]).sum();
        let mut drawn = self.rng.random::<f64>() * whole;
        let mut last = None;
        for target in left {
            last = Some(target);
            drawn -= self.weights[target];
            if drawn < 0.0 {
                break;
            }
        }
        last.map(|target| (target, Duration::ZERO))
    }

    fn ended(&mut self, target: usize, end: End, _took: Duration, now: Instant) {
        let seen = self.seen.entry(target).or_default();
        seen.push_back((now, end != End::Good));
        while seen.front().is_some_and(|(at, _)| now - *at > Duration::from_secs(30)) {
            seen.pop_front();
        }
    }

    fn avoids(&self, target: usize, now: Instant) -> bool {
        self.out(target, now)
    }
}

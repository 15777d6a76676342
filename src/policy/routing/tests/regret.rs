//! A toy of three providers with the outages of real ones: what is lost against an oracle that knows their state.
//!
//! Outages come 2.3 times a week and provider, last an hour in the median (log-normal, sigma 1.1), and lose a share of
//! the requests. Loss without an outage: .5 %. Regret is the loss of the first pick over the least loss to be had.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

use super::kit::*;
use crate::policy::routing::*;
use crate::policy::snapshot::BreakerState;

const STEP: Duration = Duration::from_secs(30);
/// Six weeks at 2 calls a minute.
const CALLS: usize = 42 * 24 * 60 * 2;
const LOSS: f64 = 0.005;

/// The truth: loss of each provider at each call.
fn weather(rng: &mut SmallRng) -> Vec<f64> {
    let per_call = 2.3 / 7.0 / 24.0 / 3_600.0 * STEP.as_secs_f64();
    let mut loss = vec![LOSS; CALLS];
    let mut call = 0;
    while call < CALLS {
        if rng.random::<f64>() < per_call {
            let normal: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            let length = 120.0 * (1.1 * normal).exp();
            let severity = [0.1, 0.3, 0.6, 1.0][rng.random_range(0..4)];
            let end = CALLS.min(call + length as usize + 1);
            loss[call..end].fill(severity);
            call = end;
        }
        call += 1;
    }
    loss
}

/// What is believed of one provider: the decayed posterior and, where it has one, a breaker.
struct Belief {
    failures: f64,
    events: f64,
    seen: Instant,
    cusum: f64,
    reopened: i32,
    breaker: BreakerState,
    goods: u32,
}

impl Belief {
    fn new(now: Instant) -> Self {
        let breaker = BreakerState::Closed;
        Self { failures: 0.0, events: 0.0, seen: now, cusum: 0.0, reopened: 0, breaker, goods: 0 }
    }

    fn fade(&self, now: Instant) -> f64 {
        (-(now - self.seen).as_secs_f64() / 1_200.0).exp()
    }

    fn failure_rate(&self, now: Instant) -> f64 {
        let fade = self.fade(now);
        (LOSS * 10.0 + self.failures * fade) / (10.0 + self.events * fade)
    }

    fn saw(&mut self, failed: bool, now: Instant, rng: &mut SmallRng) {
        let fade = self.fade(now) * 0.97;
        self.failures = self.failures * fade + f64::from(u8::from(failed));
        self.events = self.events * fade + 1.0;
        self.seen = now;
        self.cusum = (self.cusum + if failed { 2.708 } else { -0.3365 }).clamp(0.0, 6.0);
        let next = |goods: u32| match goods {
            0..3 => BreakerState::HalfOpen,
            3..8 => BreakerState::Ramp { weight: [0.1, 0.2, 0.4, 0.8, 1.0][goods as usize - 3] },
            _ => BreakerState::Closed,
        };
        match self.breaker {
            BreakerState::Closed | BreakerState::Ramp { .. } if self.cusum >= 6.0 => self.open(now, rng),
            BreakerState::Closed => {}
            _ if failed && !matches!(self.breaker, BreakerState::Ramp { .. }) => self.open(now, rng),
            _ if failed => {}
            _ => {
                self.goods += 1;
                self.breaker = next(self.goods);
                match self.goods {
                    3 => self.cusum = 3.0,
                    8 => (self.cusum, self.reopened) = (0.0, 0),
                    _ => {}
                }
            }
        }
    }

    fn open(&mut self, now: Instant, rng: &mut SmallRng) {
        let cooldown = (5.0 * f64::from((self.reopened - 3).max(0)).exp2()).min(120.0);
        self.reopened += 1;
        self.goods = 0;
        let until = now + Duration::from_secs_f64(cooldown * rng.random_range(0.8..1.0));
        self.breaker = BreakerState::Open { until };
    }
}

/// Dollars of an answer without failures, time included, of each provider.
const ANSWER: [f64; 3] = [0.0207, 0.0259, 0.0311];
/// Dollars of a failed try: 5 s and a third of the prompt.
const FAILED: f64 = 0.011;

/// True cost of a call that tries this provider first and then the best other.
fn cost(first: usize, loss: [f64; 3]) -> f64 {
    let plain = |target: usize| ANSWER[target] * (1.0 - loss[target]) + loss[target] * (FAILED + ANSWER[1]);
    let next = (0..3).filter(|other| *other != first).map(plain).fold(f64::INFINITY, f64::min);
    (1.0 - loss[first]) * ANSWER[first] + loss[first] * (FAILED + next)
}

/// Regret in percent, of a strategy with or without breakers.
fn regret(strategy: Strategy, breakers: bool) -> f64 {
    let mut rng = SmallRng::seed_from_u64(11);
    let weather: Vec<_> = (0..3).map(|_| weather(&mut rng)).collect();
    let mut desk =
        Desk::of(3).strategy(strategy).with(1, |dear| dear.price = price(3.0)).with(2, |dear| dear.price = price(5.0));
    for target in &mut desk.targets {
        target.health.detect = 5 * SECOND;
    }
    let mut beliefs: Vec<_> = (0..3).map(|_| Belief::new(desk.now)).collect();
    let (mut paid, mut least) = (0.0, 0.0);
    for call in 0..CALLS {
        desk.now += STEP;
        for (target, belief) in desk.targets.iter_mut().zip(&beliefs) {
            target.health.failure_rate = belief.failure_rate(desk.now);
            target.health.last_used = Some(belief.seen);
            if breakers {
                target.health.breaker = belief.breaker;
            }
        }
        let plan = desk.plan();
        let costs = [0, 1, 2].map(|target| cost(target, [0, 1, 2].map(|target| weather[target][call])));
        let best = costs.into_iter().fold(f64::INFINITY, f64::min);
        paid += costs[plan.picks[0].target];
        least += best;
        for pick in plan.picks {
            let failed = rng.random::<f64>() < weather[pick.target][call];
            beliefs[pick.target].saw(failed, desk.now, &mut rng);
            if !failed {
                break;
            }
        }
    }
    100.0 * (paid / least - 1.0)
}

#[test]
fn the_score_and_the_breaker_together_lose_less_than_either_and_far_less_than_a_static_order() {
    let started = Instant::now();
    let order = regret(Strategy::Priority, false);
    let breaker = regret(Strategy::Priority, true);
    let score = regret(Strategy::Adaptive, false);
    let both = regret(Strategy::Adaptive, true);
    println!("order {order:.2} breaker {breaker:.2} score {score:.2} both {both:.2} in {:?}", started.elapsed());
    assert!(order > 2.0 * breaker && breaker > both && score > both);
}

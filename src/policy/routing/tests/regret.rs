//! A toy of three equal providers with the outages of real ones: what is lost against an oracle that knows the truth.
//!
//! Outages come 2.3 times a week and provider, last an hour in the median (log-normal, sigma 1.1), and lose a tenth to
//! all of the requests; .5 % are lost without one. Regret is the loss of the first pick over the least loss to be had.
//! Probes are counted apart: with a breaker they are the greater part (cooldowns end after 120 s at most, and at 2
//! calls a minute that is every fourth call), they buy the return of the target, and failover hides them.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::kit::*;
use crate::policy::routing::*;
use crate::policy::snapshot::BreakerState;

const STEP: Duration = Duration::from_secs(30);
/// Four weeks at 2 calls a minute.
const CALLS: usize = 28 * 24 * 60 * 2;
const LOSS: f64 = 0.005;

/// The truth: loss of one provider at each call.
fn weather(rng: &mut SmallRng) -> Vec<f64> {
    let outages_per_call = 2.3 / (7.0 * 24.0 * 60.0 * 2.0);
    let mut loss = vec![LOSS; CALLS];
    let mut call = 0;
    while call < CALLS {
        if rng.random_bool(outages_per_call) {
            let normal: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of calls")]
            let end = CALLS.min(call + (120.0 * (1.1 * normal).exp()) as usize + 1);
            loss[call..end].fill([0.1, 0.3, 0.6, 1.0][rng.random_range(0..4)]);
            call = end;
        }
        call += 1;
    }
    loss
}

/// What is believed of one provider: the decayed posterior, the two error detectors and a breaker.
struct Belief {
    failures: f64,
    events: f64,
    seen: Instant,
    open: f64,
    degraded: f64,
    degraded_flag: bool,
    cooldown: f64,
    successes: usize,
    breaker: BreakerState,
}

impl Belief {
    fn new(seen: Instant) -> Self {
        Self {
            failures: 0.0,
            events: 0.0,
            seen,
            open: 0.0,
            degraded: 0.0,
            degraded_flag: false,
            cooldown: 5.0,
            successes: 0,
            breaker: BreakerState::Closed,
        }
    }

    fn fade(&self, now: Instant) -> f64 {
        (-(now - self.seen).as_secs_f64() / 1_200.0).exp()
    }

    fn failure_rate(&self, now: Instant) -> f64 {
        let fade = self.fade(now);
        (LOSS * 10.0 + self.failures * fade) / (10.0 + self.events * fade)
    }

    fn saw(&mut self, failed: bool, now: Instant) {
        let fade = self.fade(now) * 0.97;
        self.failures = self.failures * fade + f64::from(u8::from(failed));
        self.events = self.events * fade + 1.0;
        self.seen = now;
        self.open = (self.open + if failed { 2.708 } else { -0.3365 }).clamp(0.0, 6.0);
        self.degraded = (self.degraded + if failed { 1.609 } else { -0.0412 }).clamp(0.0, 5.0);
        self.degraded_flag = self.degraded >= if self.degraded_flag { 2.5 } else { 5.0 };
        let closed = self.breaker == BreakerState::Closed;
        let ramps = matches!(self.breaker, BreakerState::Ramp { .. });
        if self.open >= 6.0 && (closed || ramps) || failed && !closed && !ramps {
            self.breaker = BreakerState::Open { until: now + Duration::from_secs_f64(self.cooldown) };
            self.cooldown = (2.0 * self.cooldown).min(120.0);
            self.successes = 0;
        } else if !failed && !closed {
            self.recover();
        }
    }

    /// Three good probes, five steps of the ramp.
    fn recover(&mut self) {
        self.successes += 1;
        self.breaker = match self.successes {
            ..3 => BreakerState::HalfOpen,
            3..8 => BreakerState::Ramp { weight: [0.1, 0.2, 0.4, 0.8, 1.0][self.successes - 3] },
            _ => BreakerState::Closed,
        };
        if self.successes == 3 {
            self.open = 3.0;
        } else if self.successes == 8 {
            (self.open, self.cooldown) = (0.0, 5.0);
        }
    }
}

/// Regret in percent of the calls: of all first picks but probes, and of the probes.
fn regret(strategy: Strategy, detectors: bool) -> (f64, f64) {
    let mut rng = SmallRng::seed_from_u64(11);
    let weather: Vec<_> = (0..3).map(|_| weather(&mut rng)).collect();
    let mut desk = Desk::of(3).strategy(strategy);
    let mut beliefs: Vec<_> = (0..3).map(|_| Belief::new(desk.now)).collect();
    let (mut drawn, mut probed) = (0.0, 0.0);
    for call in 0..CALLS {
        desk.now += STEP;
        for (target, belief) in desk.targets.iter_mut().zip(&beliefs) {
            target.health.failure_rate = belief.failure_rate(desk.now);
            target.health.last_used = Some(belief.seen);
            if detectors {
                target.health.breaker = belief.breaker;
                target.health.degraded = belief.degraded_flag;
            }
        }
        let plan = desk.plan();
        let least = weather.iter().map(|loss| loss[call]).fold(1.0, f64::min);
        let lost = weather[plan.picks[0].target][call] - least;
        *if plan.picks[0].why == Why::Probe { &mut probed } else { &mut drawn } += lost;
        for pick in plan.picks {
            let failed = rng.random_bool(weather[pick.target][call]);
            beliefs[pick.target].saw(failed, desk.now);
            if !failed {
                break;
            }
        }
    }
    (100.0 * drawn / CALLS as f64, 100.0 * probed / CALLS as f64)
}

#[test]
fn the_score_loses_less_than_a_static_order_and_with_detectors_beside_it_less_still() {
    let (order, _) = regret(Strategy::Priority, false);
    let (score, _) = regret(Strategy::Adaptive, false);
    let (both, probes) = regret(Strategy::Adaptive, true);
    println!("regret: static order {order:.2} %, score {score:.2}, with detectors {both:.2} + probes {probes:.2}");
    assert!(order > 1.5 * score, "{order} {score}");
    assert!(score > 2.0 * both, "{score} {both}");
    assert!(probes < order, "{probes}");
}

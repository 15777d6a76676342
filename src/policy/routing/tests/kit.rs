//! Healthy targets that tests change, and short ways to ask for plans.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::policy::latency::Latency;
use crate::policy::routing::*;
use crate::policy::snapshot::{BreakerState, Health};
use crate::words::{Capabilities, Rates};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);

/// A route, what a call needs, and the time.
#[derive(Clone)]
pub struct Bench {
    pub now: Instant,
    pub options: RouteOptions,
    pub needs: Needs,
    pub targets: Vec<Candidate>,
    pub state: RouteState,
    pub rng: SmallRng,
    pub sticky: Option<Sticky>,
    pub pinned: Option<usize>,
}

impl Bench {
    /// Equal targets in one tier, each its own domain, all hosting one model.
    pub fn of(count: usize) -> Self {
        let now = Instant::now();
        let targets = (0..count).map(|target| candidate(target, now)).collect();
        Self {
            now,
            options: RouteOptions::default(),
            needs: needs(),
            targets,
            state: RouteState::default(),
            rng: SmallRng::seed_from_u64(7),
            sticky: None,
            pinned: None,
        }
    }

    /// The same, each in a tier of its own.
    pub fn tiers(count: usize) -> Self {
        let mut bench = Self::of(count);
        for (tier, target) in (0..).zip(&mut bench.targets) {
            target.tier = tier;
        }
        bench
    }

    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// Gives the prompt this length at every target.
    pub fn prompt(mut self, tokens: u32) -> Self {
        self.targets.iter_mut().for_each(|target| target.prompt_tokens = tokens);
        self
    }

    /// Changes one target.
    pub fn with(mut self, target: usize, change: impl FnOnce(&mut Candidate)) -> Self {
        change(&mut self.targets[target]);
        self
    }

    pub fn plan(&mut self) -> Plan {
        plan(
            &self.options,
            &mut self.state,
            &self.targets,
            &self.needs,
            self.sticky,
            self.pinned,
            self.now,
            &mut self.rng,
        )
    }

    pub fn order(&mut self) -> Vec<usize> {
        self.plan().picks.iter().map(|pick| pick.target).collect()
    }

    pub fn first(&mut self) -> usize {
        self.plan().picks[0].target
    }

    pub fn firsts(&mut self, plans: usize) -> Vec<usize> {
        (0..plans).map(|_| self.first()).collect()
    }

    /// How often a target came first in 4 000 plans.
    pub fn frequency(&mut self, target: usize) -> f64 {
        self.firsts(4_000).iter().filter(|first| **first == target).count() as f64 / 4_000.0
    }

    /// The score of a target, at any place.
    pub fn score(&mut self, target: usize) -> Score {
        self.scores()[&target]
    }

    pub fn scores(&mut self) -> HashMap<usize, Score> {
        let plan = self.plan();
        plan.picks.iter().map(|pick| (pick.target, pick.score.expect("adaptive scores"))).collect()
    }

    pub fn open_for(self, target: usize, cooldown: Duration) -> Self {
        let until = self.now + cooldown;
        self.with(target, |target| target.health.breaker = BreakerState::Open { until })
    }

    /// Its cooldown is over and its probe slot free.
    pub fn probe_ready(self, target: usize) -> Self {
        let until = self.now;
        self.with(target, |target| target.health.breaker = BreakerState::Open { until })
    }

    pub fn ramp(self, target: usize, full_until: Option<Instant>) -> Self {
        self.with(target, |target| target.health.breaker = BreakerState::Ramp { per_second: 2.0, full_until })
    }
}

pub fn every_strategy() -> [Strategy; 8] {
    [
        Strategy::Adaptive,
        Strategy::Priority,
        Strategy::Weighted,
        Strategy::RoundRobin,
        Strategy::Threshold { error_rate: 0.1, ttft: 6 * SECOND, percentile: Percentile::P95 },
        Strategy::LeastLatency { percentile: Percentile::P99 },
        Strategy::LeastCost,
        Strategy::LeastBusy,
    ]
}

pub fn needs() -> Needs {
    Needs::default()
}

/// Log-normal, sigma .6.
pub fn latency(p50: Duration) -> Latency {
    Latency { mean: p50, p50, p90: p50.mul_f64(2.2), p95: p50.mul_f64(2.7), p99: p50.mul_f64(4.0), samples: 400 }
}

#[expect(clippy::unnecessary_wraps, reason = "what candidates hold")]
pub fn price(factor: f64) -> Option<Rates> {
    Some(Rates { cached_input: 0.1 * factor, ..Rates::new(factor, 4.0 * factor) })
}

pub fn health(now: Instant) -> Health {
    Health {
        published: now,
        breaker: BreakerState::Closed,
        generation: 1,
        probe_free: true,
        degraded: false,
        slow: false,
        disabled: None,
        forced_on: false,
        rate_limited_until: None,
        overloaded_until: None,
        paced_until: None,
        room: None,
        look_from: None,
        back_from: None,
        headroom: None,
        hint: None,
        failure_rate: 0.005,
        failure_rate_prior: 0.005,
        evidence: 30.0,
        resort_max: 0,
        ttft: latency(SECOND),
        reply: latency(5 * SECOND),
        tpot: latency(Duration::from_millis(20)),
        ttft_usual: latency(SECOND),
        reply_usual: latency(5 * SECOND),
        first_token_max: Duration::from_secs(8),
        reply_max: Duration::from_secs(60),
        detect: SECOND,
        breaks_off: false,
        in_flight: 0,
        in_flight_max: 100,
        admitted: 100,
        failed: 0,
        last_used: Some(now),
    }
}

fn candidate(target: usize, now: Instant) -> Candidate {
    Candidate {
        target,
        tier: 0,
        weight: 1.0,
        domain: u16::try_from(target).expect("few targets"),
        model: 0,
        prompt_tokens: 1_000,
        whole: false,
        price: price(1.0),
        obstacle: None,
        capabilities: Capabilities::default(),
        labels: LabelSet::default(),
        health: health(now),
    }
}

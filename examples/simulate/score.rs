//! The result of a run: everything a gateway is judged by.

use std::collections::BTreeMap;

use super::world::{End, Scenario, Truth};

/// One call, as it ended.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    pub at: f64,
    pub good: bool,
    pub seconds: f64,
    pub dollars: f64,
    pub attempts: u32,
}

/// A call's first choice.
#[derive(Clone, Copy, Debug)]
struct Choice {
    at: f64,
    target: usize,
    /// Its cost above that of the best choice, in expectation.
    excess: f64,
    avoidable: bool,
}

/// Everything one run is judged by.
#[derive(Clone, Debug, Default)]
pub struct Score {
    done: Vec<Done>,
    choices: Vec<Choice>,
    best: f64,
    attempts: u64,
    by_target: Vec<u64>,
    violations: u64,
    wasted: BTreeMap<&'static str, f64>,
    failed_first: u64,
    /// Failures and contents of the first target by time.
    failures: Vec<f64>,
    contents: Vec<f64>,
    looks: u64,
    avoided: u64,
    avoiding: Vec<bool>,
    switches: u64,
    well: Vec<Truth>,
    sick: Option<(f64, f64)>,
    seconds: f64,
    deadline: f64,
    second_value: f64,
    trouble: (f64, f64),
}

/// From this loss above the best on a first failure could have been avoided.
const AVOIDABLE: f64 = 0.02;
/// First choices that are looked at together to see which targets are used.
const WINDOW: usize = 20;

impl Score {
    pub fn new(scenario: &Scenario) -> Self {
        let first = &scenario.targets[0].truth;
        Self {
            by_target: vec![0; scenario.targets.len()],
            avoiding: vec![false; scenario.targets.len()],
            well: scenario.targets.iter().map(|target| target.truth[0].1).collect(),
            sick: (first.len() == 3).then(|| (first[1].0, first[2].0)),
            seconds: scenario.seconds,
            deadline: scenario.deadline.as_secs_f64(),
            second_value: scenario.second_value(),
            trouble: scenario.trouble(),
            ..Self::default()
        }
    }

    pub(super) fn chose(&mut self, target: usize, at: f64, cost: f64, best: f64) {
        let avoidable = cost > (1.0 + AVOIDABLE) * best;
        self.choices.push(Choice { at, target, excess: cost - best, avoidable });
        self.best += best;
    }

    pub(super) fn asked(&mut self, target: usize, too_early: bool) {
        self.attempts += 1;
        self.by_target[target] += 1;
        self.violations += u64::from(too_early);
    }

    pub(super) fn wasted(&mut self, _target: usize, why: &'static str, dollars: f64) {
        *self.wasted.entry(why).or_default() += dollars;
    }

    pub(super) fn content(&mut self, target: usize, at: f64) {
        if target == 0 {
            self.contents.push(at);
        }
    }

    pub(super) fn ended(&mut self, target: usize, end: End, at: f64) {
        if target == 0 && end != End::Good {
            self.failures.push(at);
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        self.failed_first += u64::from(done.attempts > 1);
        self.done.push(done);
    }

    pub(super) fn looked(&mut self, target: usize, _at: f64, avoids: bool, truth: &Truth) {
        let well = self.well[target];
        if truth.loss <= 0.02 && truth.first_mean() <= 1.5 * well.first_mean() && truth.limit == well.limit {
            self.looks += 1;
            self.avoided += u64::from(avoids);
        }
        self.switches += u64::from(self.avoiding[target] != avoids);
        self.avoiding[target] = avoids;
    }

    pub fn calls(&self) -> usize {
        self.done.len()
    }

    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Share of calls that were answered in time.
    pub fn success(&self) -> f64 {
        share(self.done.iter().filter(|done| done.good).count(), self.done.len())
    }

    /// The cost of the first choices above that of the best ones, in expectation, as a share.
    pub fn regret(&self) -> f64 {
        self.choices.iter().map(|choice| choice.excess).sum::<f64>() / self.best.max(f64::MIN_POSITIVE)
    }

    /// The real cost of calls, dollars and seconds; a failed call counts as the longest time that it may last.
    pub fn cost(&self) -> f64 {
        self.mean(&self.done.iter().collect::<Vec<_>>())
    }

    /// The same of the calls that came while something was wrong.
    pub fn cost_in_trouble(&self) -> f64 {
        let (from, to) = self.trouble;
        self.mean(&self.done.iter().filter(|done| (from..to).contains(&done.at)).collect::<Vec<_>>())
    }

    fn mean(&self, done: &[&Done]) -> f64 {
        let cost =
            |done: &&Done| done.dollars + self.second_value * if done.good { done.seconds } else { self.deadline };
        done.iter().map(cost).sum::<f64>() / done.len().max(1) as f64
    }

    pub fn dollars_a_good_answer(&self) -> f64 {
        let good = self.done.iter().filter(|done| done.good).count();
        self.done.iter().map(|done| done.dollars).sum::<f64>() / good.max(1) as f64
    }

    pub fn attempts_a_call(&self) -> f64 {
        self.attempts as f64 / self.done.len().max(1) as f64
    }

    /// Share of calls whose first choice was a worse one and failed, or was too slow.
    pub fn avoidable(&self) -> f64 {
        let worse = share(self.choices.iter().filter(|choice| choice.avoidable).count(), self.choices.len());
        worse.min(share(usize::try_from(self.failed_first).unwrap_or(0), self.done.len()))
    }

    /// Seconds that a call takes, those that failed for as long as they may last.
    pub fn seconds(&self) -> f64 {
        let seconds = |done: &Done| if done.good { done.seconds } else { self.deadline };
        self.done.iter().map(seconds).sum::<f64>() / self.done.len().max(1) as f64
    }

    pub fn quantile(&self, quantile: f64) -> f64 {
        let mut seconds: Vec<f64> = self.done.iter().map(|done| done.seconds).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        let place = (quantile * seconds.len() as f64) as usize;
        seconds.get(place.min(seconds.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }

    pub fn wasted_dollars(&self) -> &BTreeMap<&'static str, f64> {
        &self.wasted
    }

    /// Share of the time of healthy targets in which they were avoided.
    pub fn false_ejections(&self) -> f64 {
        self.avoided as f64 / self.looks.max(1) as f64
    }

    /// How often a target was left or taken up again, an hour.
    pub fn switches(&self) -> f64 {
        self.switches as f64 * 3_600.0 / self.seconds
    }

    /// Share of first choices that a target got from then until then.
    pub fn share(&self, target: usize, from: f64, to: f64) -> f64 {
        let among: Vec<_> = self.choices.iter().filter(|choice| (from..to).contains(&choice.at)).collect();
        share(among.iter().filter(|choice| choice.target == target).count(), among.len())
    }

    /// Excess of the first choices from then until then, as a share.
    pub fn excess(&self, from: f64, to: f64) -> f64 {
        let among = self.choices.iter().filter(|choice| (from..to).contains(&choice.at));
        let (count, excess) = among.fold((0, 0.0), |(n, sum), choice| (n + 1, sum + choice.excess));
        excess / (self.best / self.choices.len().max(1) as f64) / f64::from(count.max(1))
    }

    /// First choices from then until then: how many, how many at a target, and their excess in calls' worth of the
    /// best.
    pub fn chosen(&self, target: usize, from: f64, to: f64) -> (usize, usize, f64) {
        let among: Vec<_> = self.choices.iter().filter(|choice| (from..to).contains(&choice.at)).collect();
        let there = among.iter().filter(|choice| choice.target == target).count();
        let best = self.best / self.choices.len().max(1) as f64;
        (among.len(), there, among.iter().map(|choice| choice.excess).sum::<f64>() / best)
    }

    /// Time from the first target's illness to the first failure that any caller saw.
    pub fn detect(&self) -> Option<f64> {
        let (from, to) = self.sick?;
        self.failures.iter().copied().find(|at| *at >= from && *at < to).map(|at| at - from)
    }

    /// Time from then on until a target's share of the first choices is below, or above, a part.
    pub fn reaches(&self, target: usize, from: f64, part: f64, below: bool) -> Option<f64> {
        let after: Vec<_> = self.choices.iter().filter(|choice| choice.at >= from).collect();
        let window = after.windows(WINDOW.min(after.len().max(1))).find(|window| {
            let there = share(window.iter().filter(|choice| choice.target == target).count(), window.len());
            if below { there <= part } else { there >= part }
        })?;
        Some(window[0].at - from)
    }

    /// Time from the first target's illness until it is left.
    pub fn leave(&self) -> Option<f64> {
        self.reaches(0, self.sick?.0, 0.1, true)
    }

    /// Time from the end of its illness until its first good answer, and until it has half of its old share.
    pub fn back(&self) -> Option<(f64, f64)> {
        let (from, to) = self.sick?;
        let good = self.contents.iter().copied().find(|at| *at >= to)? - to;
        let old = self.share(0, from / 2.0, from);
        Some((good, self.reaches(0, to, old / 2.0, false)?))
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Mean of some runs and half of its 95 % interval.
pub fn interval(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, 1.96 * (variance / count).sqrt())
}

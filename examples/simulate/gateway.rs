//! `standin` in the world: its very own machines, with the world's queue in place of the actors.

#[path = "waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as Luck;
use standin::internals::policy::admission::{
    Admission, AdmissionOptions, AdmissionRequest, BreakerOptions, Effect, HealthOptions, KeysInUse, Outcome, Report,
    TargetOptions, Ticket,
};
use standin::internals::policy::failover::{Failover, FailoverOptions, Planned, Step, Try, usual_attempts};
use standin::internals::policy::health::CancelReason;
use standin::internals::policy::hedge::{self, Cost};
use standin::internals::policy::latency::Latency;
use standin::internals::policy::local_fault::LocalFault;
use standin::internals::policy::retry_budget::{BudgetNumbers, RetryBudget};
use standin::internals::policy::routing::{
    self, Candidate, LabelSet, Needs, Pick, PickReason, RouteOptions, RouteState,
};
use standin::internals::policy::snapshot::{BreakerState, Health};
use standin::internals::policy::time_left::CallerPatience;
use standin::internals::policy::wait_queue::WaitQueues;
use standin::{Capabilities, CommitPolicy, Failure, FailureClass, Hedging, Price, Priority};

use self::waiting::Waits;
use super::world::{End, Gateway, Net, Scenario};

/// As the actors do it: what a provider was told is published at once if a reader must know, else this often; and a
/// pulse does it where nothing is reported.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);
const PULSE: Duration = Duration::from_secs(5);
const STALL: Duration = Duration::from_secs(15);
/// Longer than any time-out.
const BORNE: Duration = Duration::from_secs(3_600);

/// All numbers that a user can set.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    pub breaker: BreakerOptions,
    pub health: HealthOptions,
    pub failover: FailoverOptions,
    pub route: RouteOptions,
    pub budget: BudgetNumbers,
    /// Whether a call that finds no place is refused at once, in place of waiting for one. No user can set this.
    pub refuses_full: bool,
    /// Whether an attempt that is overdue is borne until its time-out. No user can set this.
    pub bears_silence: bool,
}

struct Provider {
    admission: Admission,
    born: Instant,
    published: (Instant, Vec<Health>),
    /// When the reports since the last publication are published.
    due: Option<Instant>,
    rng: Luck,
}

impl Provider {
    fn publish(&mut self, now: Instant) {
        let health = |target| self.admission.health(target, 0, now);
        self.published = (now, (0..self.admission.targets()).map(health).collect());
        self.due = None;
    }

    /// Publishes the state that would have been published by now: there were no reports since.
    fn catch_up(&mut self, now: Instant) {
        if let Some(due) = self.due.filter(|due| *due <= now) {
            self.publish(due);
        }
        let pulses = (now - self.born).as_secs_f64() / PULSE.as_secs_f64();
        let pulse = self.born + PULSE.mul_f64(pulses.floor());
        if pulse > self.published.0 {
            self.publish(pulse.max(self.published.0 + PUBLISH_EVERY).min(now));
        }
    }

    /// Publishes the reports, now or soon.
    fn told(&mut self, urgent: bool, now: Instant) {
        let next = self.published.0 + PUBLISH_EVERY;
        if urgent || next <= now {
            self.publish(now);
        } else {
            self.due = self.due.or(Some(next));
        }
    }
}

/// Makes the random sources of providers differ, as the actors do it.
fn seed_of(provider: usize) -> u64 {
    let name = u64::from(b'a') + provider as u64;
    (0xcbf2_9ce4_8422_2325 ^ name).wrapping_mul(0x0100_0000_01b3)
}

struct Live {
    call: usize,
    number: u32,
    ticket: Ticket,
    first_token_max: Option<Duration>,
    stalled: Option<Instant>,
    content: bool,
    /// Its expected cost, where it was started for speed.
    hedge: Option<Cost>,
}

struct Running {
    machine: Failover,
    live: Vec<usize>,
    /// The memory and the luck that it plans by after its first plan.
    state: RouteState,
    rng: Option<Luck>,
    /// The timer that it waits for: others that were set before are over.
    alarm: u64,
    waits: Waits,
}

/// The runtime without its actors.
pub struct Standin {
    tuning: Tuning,
    providers: Vec<Provider>,
    /// Each target's provider and place there.
    places: Vec<(usize, usize)>,
    state: RouteState,
    rng: Luck,
    budget: RetryBudget,
    local: LocalFault,
    calls: BTreeMap<usize, Running>,
    live: BTreeMap<usize, Live>,
    /// The calls that wait for a turn, how many there are, and when they are looked at next.
    queues: WaitQueues<usize, usize>,
    waiting: usize,
    looks: Option<Instant>,
    prompt: u32,
    priority: Priority,
    prices: Vec<Price>,
    /// The purpose of a timer.
    tokens: BTreeMap<u64, Timer>,
    token: u64,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    Wake(usize),
    Look,
    Overdue(usize),
    FirstToken(usize),
    Gap(usize),
    Stall(usize),
}

impl Standin {
    pub fn new(scenario: &Scenario, mut tuning: Tuning, seed: u64, now: Instant) -> Self {
        tuning.failover.attempts_max.get_or_insert(usual_attempts(scenario.targets.len()));
        let providers = scenario.targets.iter().map(|target| target.provider).max().unwrap_or(0) + 1;
        let mut places = Vec::new();
        let mut counts = vec![0; providers];
        for target in &scenario.targets {
            places.push((target.provider, counts[target.provider]));
            counts[target.provider] += 1;
        }
        let provider = |targets: usize| {
            let options = AdmissionOptions {
                targets: vec![TargetOptions::default(); targets],
                keys: 1,
                breaker: tuning.breaker.clone(),
                health: tuning.health.clone(),
            };
            let admission = Admission::new(options, now);
            (admission, now)
        };
        let of = |(number, targets): (usize, usize)| {
            let (admission, born) = provider(targets);
            let rng = Luck::seed_from_u64(seed ^ seed_of(number) ^ 1);
            let mut provider = Provider { admission, born, published: (now, Vec::new()), due: None, rng };
            provider.publish(now);
            provider
        };
        Self {
            providers: counts.into_iter().enumerate().map(of).collect(),
            rng: Luck::seed_from_u64(seed),
            places,
            state: RouteState::default(),
            budget: RetryBudget::new(tuning.budget),
            local: LocalFault::default(),
            calls: BTreeMap::new(),
            live: BTreeMap::new(),
            queues: WaitQueues::default(),
            waiting: 0,
            looks: None,
            prompt: scenario.prompt,
            priority: scenario.priority,
            prices: scenario.targets.iter().map(|target| Price::new(target.price.0, target.price.1)).collect(),
            tokens: BTreeMap::new(),
            token: 0,
            tuning,
        }
    }

    fn set(&mut self, at: Instant, timer: Timer, net: &mut Net) {
        self.token += 1;
        self.tokens.insert(self.token, timer);
        net.wake(at, self.token);
    }

    /// Sets when a call goes on, whatever was set before.
    fn alarm(&mut self, call: usize, at: Instant, net: &mut Net) {
        self.set(at, Timer::Wake(call), net);
        self.calls.get_mut(&call).expect("it runs").alarm = self.token;
    }

    fn health(&mut self, target: usize, net: &Net) -> Health {
        let (provider, place) = self.places[target];
        self.providers[provider].catch_up(net.now);
        let mut health = self.providers[provider].published.1[place];
        health.in_flight = net.in_flight(target);
        health
    }

    fn candidate(&mut self, target: usize, net: &Net) -> Candidate {
        let of = &net.scenario.targets[target];
        let price = Price::new(of.price.0, of.price.1);
        Candidate {
            target,
            tier: of.tier,
            weight: 1.0,
            domain: u16::try_from(of.provider).unwrap_or(u16::MAX),
            model: 0,
            prompt_tokens: self.prompt,
            whole: false,
            price: (of.price != (0.0, 0.0)).then_some(price.rates),
            obstacle: None,
            capabilities: Capabilities::default(),
            labels: LabelSet::default(),
            health: self.health(target, net),
        }
    }

    fn needs(&self, call: usize, net: &Net) -> Needs {
        Needs { deadline: Some(net.call(call).deadline), priority: self.priority, ..Needs::default() }
    }

    fn drive(&mut self, call: usize, net: &mut Net) {
        self.leave(call);
        loop {
            let Some(running) = self.calls.get_mut(&call) else { return };
            match running.machine.next(&self.budget, net.now) {
                Step::Plan => self.plan(call, net),
                Step::Try(this) => self.ask(call, this, net),
                Step::Reset(_) | Step::Commit(_) | Step::Silent => {}
                Step::Cancel(number, why) => {
                    let attempt = self.attempt(call, number).expect("it runs");
                    net.cancel(attempt, if why == CancelReason::Ended { "ended" } else { "joined" });
                    self.settle(attempt, Outcome::Cancelled(why), net);
                }
                Step::Wait(until) => {
                    self.drop_turn(call, net.now);
                    return self.alarm(call, until, net);
                }
                Step::Queue(until) => {
                    if let Some(latest) = self.line_up(call, net) {
                        return self.alarm(call, until.min(latest), net);
                    }
                }
                Step::Exhausted(back) if self.park(call, back, net) => return,
                Step::Exhausted(_) => self.calls.get_mut(&call).expect("it runs").machine.end_exhausted(),
                Step::Finish(_) => return self.over(call, true, net),
                Step::GiveUp(_) => return self.over(call, false, net),
            }
        }
    }

    /// A call's timer: it goes on with what is known by now.
    fn wake(&mut self, call: usize, net: &mut Net) {
        self.leave(call);
        if self.calls[&call].waits.is_parked() {
            if !self.stay(call, net) {
                self.calls.get_mut(&call).expect("it runs").machine.end_exhausted();
                self.drive(call, net);
            }
            return;
        }
        let hedging = self.hedging();
        for attempt in self.calls[&call].live.clone() {
            let Some(live) = self.live.get(&attempt) else { continue };
            let (number, content, heard) = (live.number, live.content, live.stalled.unwrap_or(net.now));
            let after = if content || hedging == Hedging::Race {
                None
            } else {
                let health = self.health(net.attempt(attempt).target, net);
                hedge::slow_after(hedging, &health, false, self.prompt)
            };
            let machine = &mut self.calls.get_mut(&call).expect("it runs").machine;
            if content {
                machine.heard(number, heard);
            } else if hedging != Hedging::Race {
                machine.slow_after(number, after);
            }
        }
        self.drive(call, net);
    }

    /// Wakes a call that waits for what has come back to the budget.
    fn refilled(&mut self, net: &mut Net) {
        let paid = |running: &Running| running.machine.unpaid().is_some_and(|spend| self.budget.allows(spend));
        if let Some(call) = self.calls.iter().find(|(_, running)| paid(running)).map(|(call, _)| *call) {
            self.wake(call, net);
        }
    }

    fn hedging(&self) -> Hedging {
        hedge::chosen(None, self.tuning.failover.hedging, self.priority)
    }

    fn over(&mut self, call: usize, good: bool, net: &mut Net) {
        self.drop_turn(call, net.now);
        self.calls.remove(&call);
        self.budget.call_ended();
        net.finish(call, good);
    }

    fn plan(&mut self, call: usize, net: &mut Net) {
        let spent = self.calls[&call].machine.spent();
        let left = (0..net.targets()).filter(|target| !spent.contains(target));
        let candidates: Vec<Candidate> = left.map(|target| self.candidate(target, net)).collect();
        let needs = self.needs(call, net);
        let (options, now) = (&self.tuning.route, net.now);
        let running = self.calls.get_mut(&call).expect("it runs");
        // The router makes the first plan; later plans are made by the call.
        let plan = match &mut running.rng {
            Some(rng) => routing::plan(options, &mut running.state, &candidates, &needs, None, None, now, rng),
            None => {
                let plan = routing::plan(options, &mut self.state, &candidates, &needs, None, None, now, &mut self.rng);
                (running.state, running.rng) = (self.state.clone(), Some(Luck::from_rng(&mut self.rng)));
                plan
            }
        };
        let picks: Vec<Planned> = plan.picks.iter().map(|pick| self.planned(pick, net)).collect();
        let refusals = plan.skipped.iter().filter_map(|skip| Some((skip.target, skip.refusal()?)));
        let machine = &mut self.calls.get_mut(&call).expect("it runs").machine;
        machine.planned(picks, refusals, plan.last_resort, now);
    }

    fn planned(&mut self, pick: &Pick, net: &Net) -> Planned {
        let target = pick.target;
        let health = self.health(target, net);
        let (tempo, hedging) = (health.pace(self.prompt, false, None), self.hedging());
        let cost = Cost::expected(Some(&self.prices[target]), self.prompt, self.state.output_tokens(None));
        Planned {
            target,
            context_tokens_max: None,
            cuts_max: 0,
            keys: 1,
            first_token_max: Latency::at(health.first_token_max, self.prompt),
            needs: tempo.needs(),
            patience: if self.tuning.bears_silence { BORNE } else { tempo.join_after(pick.why == PickReason::Probe) },
            pause_max: if self.tuning.bears_silence { BORNE } else { health.pause_max() },
            overdue: (!self.tuning.bears_silence).then(|| tempo.again_after()),
            measured: tempo.measured,
            closed: health.breaker == BreakerState::Closed,
            domain: self.places[target].0,
            hedge_after: hedge::slow_after(hedging, &health, false, self.prompt),
            hedge: (hedging != Hedging::Sequential && hedge::is_there(&health)).then_some(cost),
            shown_whole: health.shows_whole(),
        }
    }

    fn ask(&mut self, call: usize, this: Try, net: &mut Net) {
        let (provider, place) = self.places[this.target];
        let ask = AdmissionRequest {
            target: place,
            prompt_tokens: self.prompt,
            whole: false,
            output_max: None,
            output_expected: 0,
            last_resort: this.last_resort,
            look: this.look,
            in_use: KeysInUse::NONE,
            other_key: this.other_key,
        };
        let of = &mut self.providers[provider];
        of.catch_up(net.now);
        let answer = of.admission.admit(ask, net.in_flight(this.target), net.now, &mut of.rng);
        let changed = !of.admission.effects().is_empty();
        of.told(changed, net.now);
        let running = self.calls.get_mut(&call).expect("it runs");
        let ticket = match answer {
            Err(refusal) => return running.machine.refused(refusal, &self.budget, net.now),
            Ok(ticket) => ticket,
        };
        running.machine.admitted(net.now);
        let attempt = net.ask(call, this.target);
        running.live.push(attempt);
        self.arrived(call);
        let live = Live {
            call,
            number: this.number,
            ticket,
            first_token_max: this.first_token_max,
            stalled: None,
            content: false,
            hedge: this.hedge,
        };
        self.live.insert(attempt, live);
        let limit = this.first_token_max.unwrap_or(Duration::MAX);
        if ticket.overdue_after < limit {
            self.set(net.now + ticket.overdue_after, Timer::Overdue(attempt), net);
        }
        if let Some(limit) = this.first_token_max {
            self.set(net.now + limit, Timer::FirstToken(attempt), net);
        }
    }

    fn attempt(&self, call: usize, number: u32) -> Option<usize> {
        let live = &self.calls.get(&call)?.live;
        live.iter().copied().find(|attempt| self.live.get(attempt).is_some_and(|live| live.number == number))
    }

    fn settle(&mut self, attempt: usize, outcome: Outcome, net: &mut Net) -> Option<Live> {
        let live = self.live.remove(&attempt)?;
        if let Some(running) = self.calls.get_mut(&live.call) {
            running.live.retain(|other| *other != attempt);
        }
        let cost = Cost::of(Some(net.spent(attempt)));
        self.budget.hedges.ended(live.hedge, cost, net.now);
        self.report(attempt, &live.ticket, Report::Ended(outcome), net);
        Some(live)
    }

    fn report(&mut self, attempt: usize, ticket: &Ticket, report: Report, net: &mut Net) {
        let provider = self.places[net.attempt(attempt).target].0;
        let of = &mut self.providers[provider];
        of.catch_up(net.now);
        let limits = net.limits(attempt);
        let has_head = matches!(report, Report::Content { .. } | Report::Ended(Outcome::Failure { .. }));
        if has_head && !limits.is_empty() {
            of.admission.limits(ticket, limits, net.now);
        }
        let effects = of.admission.report(ticket, report, net.now, &mut of.rng);
        of.told(!effects.is_empty(), net.now);
        for effect in effects {
            match effect {
                Effect::Transition { target, to: BreakerState::Open { .. }, .. } => {
                    self.tell((provider, target), Failover::given_up, net);
                }
                Effect::Transition { target, to: BreakerState::Ramp { .. } | BreakerState::Closed, .. }
                | Effect::Answers { target } => {
                    let now = net.now;
                    self.tell((provider, target), |machine, number| machine.came_back(number, now), net);
                }
                _ => {}
            }
        }
    }

    /// Tells the calls that wait at a target what became of it: what follows is asked once this event is dealt with.
    fn tell(&mut self, place: (usize, usize), tell: impl Fn(&mut Failover, u32), net: &mut Net) {
        let waits = |attempt: &usize, live: &Live| !live.content && self.places[net.attempt(*attempt).target] == place;
        let waiting: Vec<(usize, u32)> = self
            .live
            .iter()
            .filter(|(attempt, live)| waits(attempt, live))
            .map(|(_, live)| (live.call, live.number))
            .collect();
        for (call, number) in waiting {
            if let Some(running) = self.calls.get_mut(&call) {
                tell(&mut running.machine, number);
                self.alarm(call, net.now, net);
            }
        }
    }

    fn failed(&mut self, attempt: usize, class: FailureClass, back: Option<Instant>, net: &mut Net) {
        let failure = Failure::new(class, "");
        let outcome = Outcome::Failure { class, scope: failure.scope, retry_after: back };
        let Some(live) = self.settle(attempt, outcome, net) else { return };
        if class == FailureClass::Connect {
            let host = self.places[net.attempt(attempt).target].0.to_string();
            if let Some(since) = self.local.failed(&host, net.now) {
                for provider in &mut self.providers {
                    provider.catch_up(net.now);
                    let _ = provider.admission.local_fault(since, net.now);
                    provider.told(true, net.now);
                }
            }
        }
        self.drop_turn(live.call, net.now);
        let target = net.attempt(attempt).target;
        if let Some(running) = self.calls.get_mut(&live.call) {
            running.waits.failed.retain(|it| it.0 != target);
            running.waits.failed.push((target, class, back));
            let rng = running.rng.as_mut().expect("it has planned");
            running.machine.failed(live.number, &failure, back, net.now, rng);
            self.drive(live.call, net);
        }
    }

    /// A provider delivered: the network works.
    fn delivered(&mut self, net: &mut Net) {
        let was_down = self.local.active(net.now);
        self.local.delivered(net.now);
        if was_down {
            for provider in &mut self.providers {
                provider.catch_up(net.now);
                provider.admission.delivered();
                provider.told(false, net.now);
            }
        }
    }
}

impl Gateway for Standin {
    fn start(&mut self, call: usize, net: &mut Net) {
        self.budget.call_started();
        let machine = Failover::new(self.tuning.failover.clone(), CommitPolicy::Buffered, net.call(call).deadline)
            .with_caller(CallerPatience::Unknown(net.now));
        let (state, waits) = (RouteState::default(), Waits::default());
        self.calls.insert(call, Running { machine, live: Vec::new(), state, rng: None, alarm: 0, waits });
        self.queue_behind_others(call, net);
        self.drive(call, net);
        self.refilled(net);
        self.look(net);
    }

    fn content(&mut self, attempt: usize, net: &mut Net) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        live.content = true;
        let (call, number, ticket) = (live.call, live.number, live.ticket);
        let after = net.now - net.attempt(attempt).began;
        self.delivered(net);
        self.report(attempt, &ticket, Report::Content { after }, net);
        if let Some(running) = self.calls.get_mut(&call) {
            running.machine.content(number, net.now);
            self.drive(call, net);
        }
        self.look(net);
    }

    fn paused(&mut self, attempt: usize, net: &mut Net) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        live.stalled = Some(net.now);
        let gap = live.ticket.gap_overdue_after;
        if gap < STALL {
            self.set(net.now + gap, Timer::Gap(attempt), net);
        }
        self.set(net.now + STALL, Timer::Stall(attempt), net);
    }

    fn ended(&mut self, attempt: usize, end: End, net: &mut Net) {
        match end {
            End::Good => {
                let it = net.attempt(attempt);
                let tokens = net.call(it.call).tokens;
                let since = it.content.unwrap_or(it.began);
                let tpot = (tokens >= 16).then(|| (net.now - since) / (tokens - 1));
                let Some(live) = self.settle(attempt, Outcome::Success { tpot }, net) else { return };
                self.state.answered(u64::from(tokens));
                if let Some(running) = self.calls.get_mut(&live.call) {
                    running.machine.succeeded(live.number, &self.budget);
                    self.drive(live.call, net);
                }
                self.refilled(net);
            }
            End::Bad(class, wait) => {
                let back = wait.map(|wait| net.now + wait);
                self.failed(attempt, class, back, net);
            }
        }
        self.look(net);
    }

    fn timer(&mut self, token: u64, net: &mut Net) {
        let Some(timer) = self.tokens.remove(&token) else { return };
        match timer {
            Timer::Wake(call) => {
                if self.calls.get(&call).is_some_and(|running| running.alarm == token) {
                    self.wake(call, net);
                }
            }
            Timer::Look => {}
            Timer::Overdue(attempt) | Timer::Gap(attempt) => {
                let of = self.live.get(&attempt).map(|live| (live.ticket, !live.content));
                match (timer, of) {
                    (Timer::Overdue(_), Some((ticket, true))) => self.report(attempt, &ticket, Report::Overdue, net),
                    (Timer::Gap(_), Some((ticket, _))) => self.report(attempt, &ticket, Report::Gap, net),
                    _ => {}
                }
            }
            Timer::FirstToken(attempt) => {
                if self.live.get(&attempt).is_some_and(|live| !live.content && live.first_token_max.is_some()) {
                    net.cancel(attempt, FailureClass::NoFirstToken.name());
                    self.failed(attempt, FailureClass::NoFirstToken, None, net);
                }
            }
            Timer::Stall(attempt) => {
                if self.live.contains_key(&attempt) {
                    net.cancel(attempt, FailureClass::Stalled.name());
                    self.failed(attempt, FailureClass::Stalled, None, net);
                }
            }
        }
        self.look(net);
    }

    fn avoids(&mut self, target: usize, net: &Net) -> bool {
        let (provider, place) = self.places[target];
        let admission = &self.providers[provider].admission;
        let health = admission.health(place, net.in_flight(target), net.now);
        let open = matches!(health.breaker, BreakerState::Open { .. } | BreakerState::HalfOpen);
        open || health.disabled.is_some()
    }
}

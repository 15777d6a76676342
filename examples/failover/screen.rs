//! The screen: a picture, eight times a second, or plain lines without a terminal.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use standin::Event;
use standin::health::{BreakerState, Health};
use standin::runtime::{ProviderHealth, ProviderStatus};

use crate::crew::{AGENTS, Picture};
use crate::stage::PROVIDERS;
use crate::story::Act;
use crate::terminal::{BOLD, CYAN, DIM, GREEN, RED, Terminal, YELLOW, is_taken, put};

/// Columns of the strip of latencies.
const STRIP: usize = 76;
/// Events that are shown; with them the picture has 23 lines.
const EVENTS_MAX: usize = 8;
/// The factor by which each picture reduces earlier traffic: shares are of about the last second.
const TRAFFIC_DECAY: f64 = 0.9;

pub struct Screen {
    terminal: Terminal,
    began: Instant,
    total: Duration,
    act: String,
    events: VecDeque<String>,
    /// The longest call of each stretch of time.
    strip: [Duration; STRIP],
    received: [u64; 3],
    traffic: [f64; 3],
    /// The agents' results at the last look.
    tally: String,
}

impl Screen {
    pub fn open(total: Duration) -> Self {
        Self {
            terminal: Terminal::take(),
            began: Instant::now(),
            total,
            act: String::new(),
            events: VecDeque::new(),
            strip: [Duration::ZERO; STRIP],
            received: [0; 3],
            traffic: [0.0; 3],
            tally: String::new(),
        }
    }

    pub fn act(&mut self, act: &Act) {
        self.act = self.terminal.paint(if act.is_trouble() { RED } else { GREEN }, act.title);
        let tally = std::mem::take(&mut self.tally);
        self.note(&format!("== {}", act.title), &tally);
    }

    pub fn event(&mut self, event: &Event) {
        if let Some((who, what)) = describe(event) {
            self.note(&format!("{who:<6} {what}"), "");
        }
    }

    fn note(&mut self, line: &str, more: &str) {
        let line = format!("{:5.1} s  {line}", self.began.elapsed().as_secs_f64());
        if !is_taken() {
            put(&format!("{line}{more}\n"));
        }
        self.events.push_back(line);
        if self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
    }

    /// Draws, given how many requests each provider has received.
    pub fn draw(&mut self, picture: &Picture, received: [u64; 3]) {
        let progress = self.began.elapsed().div_duration_f64(self.total);
        let columns = (1..STRIP).filter(|&column| column as f64 <= progress * STRIP as f64).count();
        self.strip[columns] = self.strip[columns].max(picture.longest);
        let before = std::mem::replace(&mut self.received, received);
        for ((traffic, now), before) in self.traffic.iter_mut().zip(received).zip(before) {
            *traffic = *traffic * TRAFFIC_DECAY + (now - before) as f64;
        }
        let Picture { calls, failures, masked, .. } = picture;
        self.tally = format!("   ({calls} calls so far, {masked} failed attempts masked, {failures} failures seen)");
        if is_taken() {
            self.draw_title(progress);
            self.draw_providers(picture);
            self.draw_agents(picture);
            self.terminal.line(&self.terminal.paint(DIM, "last events"));
            for at in 0..EVENTS_MAX {
                self.terminal.line(self.events.get(at).map_or("", String::as_str));
            }
            self.terminal.show();
        }
    }

    fn draw_title(&mut self, progress: f64) {
        let title = self.terminal.paint(BOLD, "standin · failover rehearsed");
        let total = self.total.as_secs_f64();
        let bar = self.terminal.paint(CYAN, &bar(progress, 28));
        self.terminal.line(&format!("{title}  {:6.1} of {total:.0} s  {bar}", progress * total));
        self.terminal.line("");
        self.terminal.line(&format!("now: {}", self.act));
        self.terminal.line("");
    }

    fn draw_providers(&mut self, picture: &Picture) {
        let header = "provider       $/Mtok  breaker     TTFT, ms  p50  p95  errors share        busy";
        self.terminal.line(&self.terminal.paint(DIM, header));
        let all: f64 = self.traffic.iter().sum();
        for (at, provider) in picture.health.providers.iter().enumerate() {
            let Some((_, health)) = provider.targets.first() else { continue };
            let (state, colour) = state(provider, health, picture.health.at);
            let state = self.terminal.paint(colour, &format!("{state:<20}"));
            let (p50, p95) = (health.ttft.p50.as_millis(), health.ttft.p95.as_millis());
            let errors = health.failure_rate * 100.0;
            let share = self.traffic[at] / all.max(1.0);
            let bar = self.terminal.paint(CYAN, &bar(share, 6));
            self.terminal.line(&format!(
                "{:<6}{:<10}{:>5.2}  {state}{p50:>5}{p95:>5}{errors:>6.1} % {bar} {:>3.0} %{:>5}",
                provider.name,
                PROVIDERS[at].speaks(),
                PROVIDERS[at].price,
                share * 100.0,
                health.in_flight,
            ));
        }
        self.terminal.line("");
    }

    fn draw_agents(&mut self, picture: &Picture) {
        let Picture { calls, failures, masked, resets, recent: [p50, p99], .. } = picture;
        let colour = if *failures == 0 { GREEN } else { RED };
        let seen = self.terminal.paint(colour, &format!("{failures} failures"));
        let (p50, p99) = (millis(*p50), millis(*p99));
        let strip: String = self.strip.iter().map(|longest| column(*longest)).collect();
        let agents = format!("{AGENTS} agents  {calls} calls  {seen}  {masked} masked  {resets} restarted mid-answer");
        self.terminal.line(&agents);
        self.terminal.line(&format!("latency of a call, last 2 s: p50 {p50}, p99 {p99}"));
        self.terminal.line(&self.terminal.paint(DIM, "slowest calls so far (low: 100 ms, high: 1 s)"));
        self.terminal.line(&self.terminal.paint(YELLOW, &strip));
        self.terminal.line("");
    }
}

/// Returns the state of a provider's gates, and its colour.
fn state(provider: &ProviderHealth, health: &Health, at: Instant) -> (String, &'static str) {
    let left = |until: Instant| format!("{:.1} s", until.saturating_duration_since(at).as_secs_f64());
    if provider.status != ProviderStatus::Up {
        return ("✖ its actor restarts".into(), RED);
    }
    if let Some(until) = health.rate_limited_until {
        return (format!("◌ 429, wait {}", left(until)), YELLOW);
    }
    match health.breaker {
        BreakerState::Closed if health.degraded => ("● closed, degraded".into(), YELLOW),
        BreakerState::Closed if health.slow => ("● closed, slow".into(), YELLOW),
        BreakerState::Closed => ("● closed".into(), GREEN),
        BreakerState::Open { until } => (format!("○ open {}", left(until)), RED),
        BreakerState::HalfOpen => ("◐ half-open, probing".into(), YELLOW),
        BreakerState::Ramp { per_second, .. } => (format!("◕ ramp, {per_second:.0}/s"), CYAN),
    }
}

/// Returns which target an event concerns and what it says.
fn describe(event: &Event) -> Option<(&str, String)> {
    let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
    Some(match event {
        Event::Breaker { target, from, to, cooldown: Some(time) } => {
            (&target.provider, format!("breaker {from} → {to} for {}", seconds(time)))
        }
        Event::Breaker { target, from, to, cooldown: None } => (&target.provider, format!("breaker {from} → {to}")),
        Event::Degraded { target, raised: true } => (&target.provider, "is degraded".into()),
        Event::Degraded { target, raised: false } => (&target.provider, "is as it should be again".into()),
        Event::RateLimited { target, wait } => (&target.provider, format!("asked us to wait {}", seconds(wait))),
        Event::ProviderCrashed { provider, reason, .. } => (provider, format!("actor crashed: {reason}")),
        Event::ProviderStarted { provider, incarnation } => {
            (provider, format!("actor runs, incarnation {incarnation}"))
        }
        _ => return None,
    })
}

/// Returns a bar that is filled to a part.
fn bar(part: f64, width: usize) -> String {
    (0..width).map(|at| if (at as f64 + 0.5) / width as f64 <= part { '━' } else { '─' }).collect()
}

/// Returns a column as high as the logarithm of a latency: 100 ms is low, from 1 s on it is full.
fn column(latency: Duration) -> char {
    if latency.is_zero() {
        return ' ';
    }
    let height = (latency.as_secs_f64() * 10.0).log10() * 7.0;
    let steps = ['▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let reached = steps.into_iter().zip(0..).take_while(|(_, step)| f64::from(*step) + 0.5 <= height);
    reached.last().map_or('▁', |(column, _)| column)
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

//! What a person sees: a picture that is drawn anew eight times a second, or plain lines where nobody looks.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use standin::Event;
use standin::policy::snapshot::{BreakerState, Health};
use standin::runtime::{ProviderHealth, ProviderStatus};

use crate::crew::{AGENTS, Picture};
use crate::stage::PROVIDERS;
use crate::story::Act;

/// Columns of the strip of latencies.
const STRIP: usize = 76;
/// Events that are shown; the picture fits 24 lines.
const EVENTS_MAX: usize = 8;
/// Shares of traffic are of the last two seconds.
const TRAFFIC_OF: Duration = Duration::from_secs(2);

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Whether the terminal shows our picture: then it must be given back, also by a panic.
static DRAWING: AtomicBool = AtomicBool::new(false);

pub struct Screen {
    colour: bool,
    began: Instant,
    total: Duration,
    act: &'static str,
    trouble: bool,
    events: VecDeque<String>,
    /// The longest call of each stretch of time.
    strip: Vec<Duration>,
    traffic: VecDeque<(Instant, [u64; 3])>,
    /// How the agents fared when last seen.
    tally: String,
}

impl Screen {
    pub fn open(total: Duration) -> Self {
        silence_expected_panics();
        if io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            DRAWING.store(true, Relaxed);
            // The other screen, without a cursor: what was there before comes back at the end.
            put("\x1b[?1049h\x1b[?25l");
        }
        Self {
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            began: Instant::now(),
            total,
            act: "",
            trouble: false,
            events: VecDeque::new(),
            strip: vec![Duration::ZERO; STRIP],
            traffic: VecDeque::new(),
            tally: String::new(),
        }
    }

    pub fn act(&mut self, act: &Act) {
        (self.act, self.trouble) = (act.title, act.is_trouble());
        let tally = std::mem::take(&mut self.tally);
        self.note(&format!("== {}", act.title), &tally);
    }

    pub fn event(&mut self, event: &Event) {
        if let Some((who, what)) = describe(event) {
            self.note(&format!("{who:<6} {what}"), "");
        }
    }

    fn note(&mut self, line: &str, more: &str) {
        let at = self.began.elapsed().as_secs_f64();
        if !DRAWING.load(Relaxed) {
            let more = if more.is_empty() { String::new() } else { format!("   ({more})") };
            put(&format!("{at:5.1} s  {line}{more}\n"));
        }
        self.events.push_back(format!("{at:5.1} s  {line}"));
        if self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
    }

    pub fn draw(&mut self, picture: &Picture, received: [u64; 3]) {
        self.remember(picture, received);
        if !DRAWING.load(Relaxed) {
            return;
        }
        let mut page = Page { text: String::from("\x1b[H"), colour: self.colour };
        self.draw_title(&mut page);
        self.draw_providers(&mut page, picture);
        self.draw_agents(&mut page, picture);
        page.line(&page.paint(DIM, "last events"));
        for at in 0..EVENTS_MAX {
            page.line(self.events.get(at).map_or("", String::as_str));
        }
        page.text.push_str("\x1b[J");
        put(&page.text);
    }

    fn remember(&mut self, picture: &Picture, received: [u64; 3]) {
        let now = Instant::now();
        let slot = self.began.elapsed().as_secs_f64() / self.total.as_secs_f64() * STRIP as f64;
        if let Some(longest) = self.strip.get_mut(slot as usize) {
            *longest = picture.longest.max(*longest);
        }
        self.traffic.push_back((now, received));
        while self.traffic.front().is_some_and(|(at, _)| now.duration_since(*at) > TRAFFIC_OF) {
            self.traffic.pop_front();
        }
        let Picture { calls, failures, masked, .. } = picture;
        self.tally = format!("{calls} calls so far, {masked} failed attempts masked, {failures} failures seen");
    }

    fn draw_title(&self, page: &mut Page) {
        let (at, total) = (self.began.elapsed().as_secs_f64(), self.total.as_secs_f64());
        let bar = bar(at / total, 28);
        page.line(&format!(
            "{}  {at:6.1} of {total:.0} s  {}",
            page.paint(BOLD, "standin · failover rehearsed"),
            page.paint(CYAN, &bar)
        ));
        page.line("");
        let colour = if self.trouble { RED } else { GREEN };
        page.line(&format!("now: {}", page.paint(colour, &format!("{:<60}", self.act))));
        page.line("");
    }

    fn draw_providers(&self, page: &mut Page, picture: &Picture) {
        let header = "provider $/Mtok  breaker             TTFT p50    p95  errors share     in flight";
        page.line(&page.paint(DIM, header));
        let shares = self.shares();
        for (at, (provider, known)) in picture.health.providers.iter().zip(&PROVIDERS).enumerate() {
            let Some((_, health)) = provider.targets.first() else { continue };
            let (state, colour) = state(provider, health, picture.health.at);
            page.line(&format!(
                "{:<8}{:>7.2}  {}{:>7}{:>7}{:>6.1} % {} {:>3.0} %{:>7}",
                provider.name,
                known.price,
                page.paint(colour, &format!("{state:<20}")),
                millis(health.ttft.p50),
                millis(health.ttft.p95),
                health.failure_rate * 100.0,
                page.paint(CYAN, &bar(shares[at], 6)),
                shares[at] * 100.0,
                health.in_flight,
            ));
        }
        page.line("");
    }

    fn draw_agents(&self, page: &mut Page, picture: &Picture) {
        let Picture { calls, failures, masked, resets, recent: [p50, p99], .. } = picture;
        let colour = if *failures == 0 { GREEN } else { RED };
        let seen = page.paint(colour, &format!("{failures} failures"));
        page.line(&format!("{AGENTS} agents  {calls} calls  {seen}  {masked} masked  {resets} restarted mid-answer"));
        page.line(&format!("latency of a call, last 2 s: p50 {}, p99 {}", millis(*p50), millis(*p99)));
        page.line(&page.paint(DIM, "slowest calls so far (low: 100 ms, high: 1 s)"));
        let strip: String = self.strip.iter().map(|longest| column(*longest)).collect();
        page.line(&page.paint(YELLOW, &strip));
        page.line("");
    }

    fn shares(&self) -> [f64; 3] {
        let (Some((_, first)), Some((_, last))) = (self.traffic.front(), self.traffic.back()) else { return [0.0; 3] };
        let counts = [0, 1, 2].map(|at| last[at].saturating_sub(first[at]) as f64);
        let all: f64 = counts.iter().sum();
        counts.map(|count| if all > 0.0 { count / all } else { 0.0 })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// A picture in the making.
struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        // What an earlier picture left behind this line is erased.
        let _ = write!(self.text, "{line}\x1b[K\r\n");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Returns what a provider's gates are like, and the colour of it.
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
        BreakerState::Ramp { weight } => (format!("◕ ramp {:.0} %", weight * 100.0), CYAN),
    }
}

/// Returns whom an event concerns and what it says.
fn describe(event: &Event) -> Option<(&str, String)> {
    let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
    Some(match event {
        Event::Breaker { target, from, to, cooldown } => {
            let time = cooldown.as_ref().map_or_else(String::new, |time| format!(" for {}", seconds(time)));
            (&target.provider, format!("breaker {from} → {to}{time}"))
        }
        Event::Degraded { target, raised: true } => (&target.provider, "is degraded".into()),
        Event::Degraded { target, raised: false } => (&target.provider, "is as it should be again".into()),
        Event::RateLimited { target, wait } => (&target.provider, format!("asked us to wait {}", seconds(wait))),
        Event::ProviderCrashed { provider, reason, .. } => (provider, format!("actor crashed: {reason}")),
        Event::ProviderStarted { provider, incarnation } if *incarnation > 1 => {
            (provider, format!("actor runs again, incarnation {incarnation}"))
        }
        Event::ProviderResting { provider, wait } => (provider, format!("actor rests for {}", seconds(wait))),
        _ => return None,
    })
}

/// Returns a bar that is filled to a part.
fn bar(part: f64, width: usize) -> String {
    let filled = (part.clamp(0.0, 1.0) * width as f64).round() as usize;
    "━".repeat(filled) + &"─".repeat(width - filled)
}

/// Returns a column as high as the logarithm of a latency: 100 ms is low, from 1 s on it is full.
fn column(latency: Duration) -> char {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if latency.is_zero() {
        return ' ';
    }
    let height = (latency.as_secs_f64() * 10.0).log10().clamp(0.0, 1.0) * 7.0;
    HEIGHTS[height.round() as usize]
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// The story's own crashes are no news for stderr; any other panic gives the terminal back before it is told.
fn silence_expected_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        if !text.contains("asked for by the crash hook") {
            give_back();
            usual(panic);
        }
    }));
}

fn give_back() {
    if DRAWING.swap(false, Relaxed) {
        put("\x1b[?25h\x1b[?1049l");
    }
}

fn put(text: &str) {
    let mut out = io::stdout().lock();
    // A reader that left is no reason to stop: the exit status still tells how it went.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

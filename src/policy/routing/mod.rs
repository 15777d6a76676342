//! Chooses the targets of a call, in the order they should be tried.
//!
//! Input: what the call needs, the candidates of its route with their published health, what the route and the session
//! remember, `now` and a random source. Output: a [`Plan`]: every candidate once, picked or skipped, each with its
//! reason.
//!
//! ```text
//! candidates ── eligible? ── admissible? ── strategy: the first ── fallbacks ── a probe goes before all
//!                  └─ skipped   └─ skipped      └─ a session keeps its target
//! ```
//!
//! Three rules hold under every strategy. Labels are strict: a target that lacks one is never eligible. A target whose
//! cooldown has passed goes first on the next call that has another target and is not critical, at any score, or it
//! would never be tried again. When nothing is admissible at all, the plan asks as a last resort.
//!
//! This code never decides whether a target admits (the provider's permit does; what is published may be a moment old),
//! never waits, and never draws more randomness than it uses: to explain a choice, plan on a clone of the route's
//! memory and of the random source.

mod explore;
mod memory;
mod options;
mod classic;
mod sessions;
mod cost;
mod adaptive;
#[cfg(test)]
mod tests;

pub use cost::Score;
pub use memory::RouteState;
pub use options::{ForeignParts, Percentile, RouteNumbers, RouteOptions, SecondValue, Strategy};
#[cfg(feature = "store")]
pub use sessions::IDLE_MAX;
pub use sessions::{Sessions, Sticky};

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use self::cost::ExpectedAnswer;
use self::explore::ExploreAllowance;
use super::hint;
use super::latency::Latency;
use super::snapshot::{BreakerState, Gate, Health, Refusal};
use super::time_left::{Pace, TimeLeft};
use super::trim::{fits, fits_perhaps};
use crate::words::{Capabilities, ModelKind, Priority, Rates, Rule};

/// A target that could be probed but was not for this long is probed by the next call.
const PROBE_OVERDUE: Duration = Duration::from_secs(60);

/// The needs of a call. Small, computed before the router, so that the request itself is not passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// The kind of model that it needs.
    pub kind: ModelKind,
    /// The request's own limit of its answer.
    pub output_tokens: Option<u32>,
    /// Whether it brings tools.
    pub tools: bool,
    /// Whether it shows images.
    pub images: bool,
    /// Whether the answer must be JSON.
    pub json: bool,
    /// Whether the answer must fit a schema.
    pub json_schema: bool,
    /// The labels that a target must carry: the request's and the route's.
    pub labels: LabelSet,
    /// How much a second is worth.
    pub priority: Priority,
    /// The rule to choose by, instead of the route's.
    pub rule: Option<Rule>,
    /// The most that its answer may be expected to cost, beside what the route says.
    pub price_max: Option<f64>,
    /// When its time is up.
    pub deadline: Option<Instant>,
    /// Whether those targets are asked, too, whose windows may be large enough if its length is estimated too high.
    pub is_length_doubted: bool,
}

/// Labels as bits, interned by the table: at most 64 in one configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSet(pub u64);

impl LabelSet {
    /// Returns whether every label required is carried.
    pub const fn carries(self, required: Self) -> bool {
        required.0 & !self.0 == 0
    }
}

impl std::ops::BitOr for LabelSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One target of a route, with what is known of it now.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Index in the table.
    pub target: usize,
    /// Tier of the route: the next one serves when this one cannot.
    pub tier: u8,
    /// Its part of its tier's traffic among equals; 0 is for failover only.
    pub weight: f64,
    /// The company that runs it (vendor, cloud, aggregator), interned by the table: its failure domain.
    pub domain: u16,
    /// Which model it is, the same for all hosts, interned by the table.
    pub model: u16,
    /// Estimated length of the prompt there, as it would be sent.
    pub prompt_tokens: u32,
    /// Whether the answer would come whole, in one burst.
    pub whole: bool,
    /// Its price of a prompt of this length; `None` is unknown.
    pub price: Option<Rates>,
    /// Its abilities.
    pub capabilities: Capabilities,
    /// The parts of the call that it cannot take, in any dialect.
    pub obstacle: Option<SkipReason>,
    /// The labels it carries.
    pub labels: LabelSet,
    /// Its health as last published.
    pub health: Health,
}

impl Candidate {
    /// Tells whether it is judged by its times of whole answers: if this call's answer would come whole, and some were
    /// measured.
    fn bursts(&self) -> bool {
        self.whole && !self.health.reply.is_assumed()
    }

    /// Returns the usual pace of the call's answer at this target.
    fn pace(&self, needs: &Needs) -> Pace {
        self.health.pace(self.prompt_tokens, self.whole, needs.output_tokens)
    }

    /// Returns the time to the first content; for an answer in one burst, to its end.
    fn latency(&self) -> &Latency {
        if self.bursts() { &self.health.reply } else { &self.health.ttft }
    }

    /// Returns the same while the target is healthy.
    fn usual(&self) -> &Latency {
        if self.bursts() { &self.health.reply_usual } else { &self.health.ttft_usual }
    }
}

/// The ordered choice of targets for a call: every candidate once, in `picks` or in `skipped`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The targets to try, in order.
    pub picks: Vec<Pick>,
    /// The targets not to try, in the order of the candidates.
    pub skipped: Vec<Skip>,
    /// Whether nothing was admissible and the picks must be asked as a last resort.
    pub last_resort: bool,
    /// The session's new memory; `None` where it has no target, or has just lost it.
    pub sticky: Option<Sticky>,
}

impl Plan {
    /// Tells whether no target could serve the call even in full health.
    pub fn is_hopeless(&self) -> bool {
        let lacks = |skip: &Skip| !matches!(skip.why, SkipReason::Gate(_));
        self.picks.is_empty() && self.skipped.iter().all(lacks)
    }

    /// Returns the targets that could serve a shorter call.
    pub fn too_small(&self) -> impl Iterator<Item = usize> {
        self.skipped.iter().filter(|skip| skip.why == SkipReason::ContextWindow).map(|skip| skip.target)
    }
}

/// A target to try, and the reason for its place.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pick {
    /// Index in the table.
    pub target: usize,
    /// The reason for its place.
    pub why: PickReason,
    /// Its expected cost; only the adaptive strategy computes that.
    pub score: Option<Score>,
}

/// The reason for a target's place in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PickReason {
    /// First: its cooldown is over, and this call probes it.
    Probe,
    /// First: the session's own.
    Sticky,
    /// The caller asked for this one alone.
    Pinned,
    /// First: drawn among the good ones.
    Draw,
    /// First: drawn among the good ones while it recovers.
    Ramp,
    /// First: drawn for the small share of targets that lost or are unknown, so that they can show how good they are.
    Explore,
    /// First by the rule of a strategy that does not draw.
    Rule,
    /// To be asked if those before it fail.
    Fallback,
    /// Last: it may be probed, but this call is not the one to do it.
    Recovering,
    /// No target admits, and this one is asked as a last resort.
    LastResort,
}

impl PickReason {
    /// Returns the reason for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Probe => "probes a target whose cooldown is over",
            Self::Sticky => "keeps the session's target",
            Self::Pinned => "pinned by the caller",
            Self::Draw => "drawn among the best",
            Self::Ramp => "drawn among the best while it recovers",
            Self::Explore => "drawn for the share that is kept to learn how the others are",
            Self::Rule => "first by the strategy's rule",
            Self::Fallback => "fallback",
            Self::Recovering => "recovering: last, not probed by this call",
            Self::LastResort => "last resort: nothing admits",
        }
    }
}

/// A target not to try, why, and when that may change.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Skip {
    /// Index in the table.
    pub target: usize,
    /// Why not.
    pub why: SkipReason,
    /// When it may be admissible again; `None` is unknown, or never for this call.
    pub until: Option<Instant>,
}

impl Skip {
    /// Returns the target's refusal, if it could serve the call but does not admit it now.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.why {
            SkipReason::Gate(gate) => Some(Refusal { gate, until: self.until }),
            _ => None,
        }
    }
}

/// Why a target is not in a plan. All but the gate are properties of the call: no waiting changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The call is pinned to another.
    NotPinned,
    /// It lacks a label the call or the route requires.
    Label,
    /// It embeds, and the call chats.
    Embeds,
    /// It chats, and the call is for vectors.
    Chats,
    /// It cannot call tools.
    Tools,
    /// It cannot see images.
    Images,
    /// It cannot read a document, or not this one.
    Documents,
    /// It cannot hear.
    Audio,
    /// It speaks another dialect than a part of the call.
    Foreign,
    /// It cannot be told to answer in JSON.
    Json,
    /// It cannot be held to a schema.
    JsonSchema,
    /// Prompt and answer do not fit.
    ContextWindow,
    /// An answer would cost more than the route allows.
    Price,
    /// It admits nothing now.
    Gate(Gate),
}

impl SkipReason {
    /// Returns the reason for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotPinned => "the call is pinned to another target",
            Self::Label => "lacks a required label",
            Self::Embeds => "its model makes vectors of texts; set `kind = \"chat\"` if it chats",
            Self::Chats => "its model chats; set `kind = \"embedding\"` if it makes vectors of texts",
            Self::Tools => "cannot call tools",
            Self::Images => "cannot see images",
            Self::Documents => "cannot read such documents",
            Self::Audio => "cannot hear",
            Self::Foreign => "speaks another dialect",
            Self::Json => "cannot answer in JSON",
            Self::JsonSchema => "cannot hold to a JSON schema",
            Self::ContextWindow => "context window too small",
            Self::Price => "dearer than the route allows",
            Self::Gate(gate) => gate.name(),
        }
    }
}

/// Orders all targets of a route for a call.
///
/// `pinned` leaves one target eligible. The random source should be one that can be cloned, so that a choice can be
/// explained (`SmallRng` can, `StdRng` cannot).
#[expect(clippy::too_many_arguments, reason = "a pure function: all it knows is what it is given")]
pub fn plan(
    options: &RouteOptions,
    state: &mut RouteState,
    candidates: &[Candidate],
    needs: &Needs,
    sticky: Option<Sticky>,
    pinned: Option<usize>,
    now: Instant,
    rng: &mut impl Rng,
) -> Plan {
    let options = &RouteOptions { strategy: needs.rule.map_or(options.strategy, Strategy::from), ..*options };
    let answer = ExpectedAnswer::expected(options, state, candidates, needs, sticky);
    let field = |last_resort| SortedCandidates::of(candidates, options, needs, &answer, pinned, last_resort, now);
    let regular = field(false);
    let last_resort = regular.entrants.is_empty();
    let SortedCandidates { mut entrants, skipped } = if last_resort { field(true) } else { regular };

    let spare = ExploreAllowance::of(&entrants, needs, options.numbers.again_after, now);
    match options.strategy {
        Strategy::Adaptive => adaptive::rank(&mut entrants, &answer, &spare, &options.numbers),
        _ => classic::rank(&mut entrants, options.strategy, &spare, state, candidates.len(), rng),
    }
    entrants.sort_unstable_by(Entrant::order);

    let sticky = sticky.filter(|_| options.sticky && options.strategy.spreads() && !last_resort);
    let kept = sticky.and_then(|sticky| sticky.judge(&entrants, now));
    let first = match kept {
        Some(sticky) => entrants.iter().position(|entrant| entrant.candidate.target == sticky.target),
        None if options.strategy == Strategy::Adaptive => adaptive::draw(&entrants, rng),
        None => (!entrants.is_empty()).then_some(0),
    };
    if let Some(first) = first {
        entrants[..=first].rotate_right(1);
        if options.strategy == Strategy::Adaptive {
            adaptive::prefer_elsewhere(&mut entrants, options.numbers.comparable);
        }
        if kept.is_none() {
            state.chose(entrants[0].position);
        }
    }
    let probes = !last_resort && needs.priority != Priority::Critical;
    let probing = probes && place_probe(&mut entrants, options, needs, now, rng);

    let why = |place: usize, entrant: &Entrant<'_>| match entrant.standing {
        _ if pinned.is_some() => PickReason::Pinned,
        _ if last_resort => PickReason::LastResort,
        Eligibility::Probe if probing && place == 0 => PickReason::Probe,
        Eligibility::Probe => PickReason::Recovering,
        _ if place > usize::from(probing) => PickReason::Fallback,
        _ if kept.is_some() => PickReason::Sticky,
        Eligibility::Full if !entrant.competes => PickReason::Explore,
        _ if !options.strategy.draws() => PickReason::Rule,
        _ if entrant.recovers() => PickReason::Ramp,
        Eligibility::Full => PickReason::Draw,
    };
    let picks = entrants.iter().enumerate().map(|(place, entrant)| Pick {
        target: entrant.candidate.target,
        why: why(place, entrant),
        score: (options.strategy == Strategy::Adaptive).then_some(entrant.score),
    });
    Plan { picks: picks.collect(), skipped, last_resort: last_resort && !entrants.is_empty(), sticky: kept }
}

/// Puts the first target that waits for a probe before all others, if there is another; returns whether it did. One
/// a plan: a call should not pay for two doubtful tries.
fn place_probe(
    entrants: &mut [Entrant<'_>],
    options: &RouteOptions,
    needs: &Needs,
    now: Instant,
    rng: &mut impl Rng,
) -> bool {
    let is_worth = |entrants: &[Entrant<'_>], place, rng: &mut _| {
        options.strategy != Strategy::Adaptive || {
            let drawn: f64 = RngExt::random(rng);
            drawn < adaptive::probe_chance(entrants, place, &options.numbers)
        }
    };
    let probe = entrants.iter().position(|entrant| entrant.standing == Eligibility::Probe);
    match probe {
        Some(place)
            if entrants.len() > 1
                && has_time_to_probe(entrants, place, needs, now)
                && is_worth(entrants, place, rng) =>
        {
            entrants[..=place].rotate_right(1);
            true
        }
        _ => false,
    }
}

/// Tells whether a call has the time for a probe and, should that be silent, for another target. If no call with more
/// time has come for a while, every call may probe.
fn has_time_to_probe(entrants: &[Entrant<'_>], probe: usize, needs: &Needs, now: Instant) -> bool {
    let Some(deadline) = needs.deadline else { return true };
    let pace = |entrant: &Entrant<'_>| entrant.candidate.pace(needs);
    let other = entrants.iter().enumerate().filter(|(place, _)| *place != probe).map(|(_, other)| pace(other).answer);
    let Health { breaker, last_used, .. } = entrants[probe].candidate.health;
    let since = if let BreakerState::Open { until } = breaker { Some(until) } else { last_used };
    let is_overdue = since.is_none_or(|since| now.saturating_duration_since(since) >= PROBE_OVERDUE);
    is_overdue
        || TimeLeft::until(deadline, now).is_enough_for(pace(&entrants[probe]).first + other.min().unwrap_or_default())
}

/// The claim of an admissible target.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Eligibility {
    /// A normal pick; a recovering target refuses calls beyond what it has proven.
    Full,
    /// One probe, to see whether it is well again.
    Probe,
}

impl Eligibility {
    fn of(health: &Health, last_resort: bool) -> Self {
        match health.breaker {
            _ if health.forced_on || last_resort => Self::Full,
            BreakerState::Closed | BreakerState::Ramp { .. } => Self::Full,
            BreakerState::HalfOpen | BreakerState::Open { .. } => Self::Probe,
        }
    }
}

/// A candidate that is eligible and admissible, as the strategies see it.
#[derive(Clone, Copy, Debug)]
struct Entrant<'a> {
    candidate: &'a Candidate,
    /// Place in the route's configuration.
    position: usize,
    standing: Eligibility,
    /// Whether the strategy puts it behind the tiers that follow.
    late: bool,
    /// The strategy's measure: less is better.
    key: f64,
    /// Whether it has its place by the rule; else it is explored.
    competes: bool,
    score: Score,
}

impl Entrant<'_> {
    const fn recovers(&self) -> bool {
        matches!(self.candidate.health.breaker, BreakerState::Ramp { .. })
    }

    /// Orders by what a caller should try first, without the first pick's own rule.
    fn order(&self, other: &Self) -> Ordering {
        let probe = |e: &Self| (e.standing == Eligibility::Probe).then(|| hint::place(e.candidate.health.hint));
        let coarse = |e: &Self| (probe(e), e.late, e.candidate.tier);
        coarse(self).cmp(&coarse(other)).then(self.key.total_cmp(&other.key)).then(self.position.cmp(&other.position))
    }
}

/// The candidates of a route, sorted into those that may run and those that may not.
struct SortedCandidates<'a> {
    entrants: Vec<Entrant<'a>>,
    skipped: Vec<Skip>,
}

impl<'a> SortedCandidates<'a> {
    fn of(
        candidates: &'a [Candidate],
        options: &RouteOptions,
        needs: &Needs,
        answer: &ExpectedAnswer,
        pinned: Option<usize>,
        last_resort: bool,
        now: Instant,
    ) -> Self {
        let mut entrants = Vec::with_capacity(candidates.len());
        let mut skipped = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let score = answer.score(candidate);
            let obstacle = if pinned.is_some_and(|target| target != candidate.target) {
                Some((SkipReason::NotPinned, None))
            } else if let Some(why) = unfit(candidate, needs) {
                Some((why, None))
            } else if [options.price_max, needs.price_max].into_iter().flatten().any(|most| score.dollars > most) {
                Some((SkipReason::Price, None))
            } else {
                candidate
                    .health
                    .refusal(last_resort, now)
                    .map(|refusal| (SkipReason::Gate(refusal.gate), refusal.until))
            };
            match obstacle {
                Some((why, until)) => skipped.push(Skip { target: candidate.target, why, until }),
                None => entrants.push(Entrant {
                    candidate,
                    position,
                    standing: Eligibility::of(&candidate.health, last_resort),
                    late: false,
                    key: 0.0,
                    competes: false,
                    score,
                }),
            }
        }
        Self { entrants, skipped }
    }
}

/// Returns a need of the call that the target does not meet: labels first, and last its length, so that a shorter one
/// would be served.
fn unfit(candidate: &Candidate, needs: &Needs) -> Option<SkipReason> {
    let can = &candidate.capabilities;
    let output = can.answer_max(needs.output_tokens);
    [
        (!candidate.labels.carries(needs.labels), SkipReason::Label),
        (needs.kind != can.kind && can.kind == ModelKind::Embedding, SkipReason::Embeds),
        (needs.kind != can.kind, SkipReason::Chats),
        (needs.tools && !can.tools, SkipReason::Tools),
        (needs.images && !can.images, SkipReason::Images),
        (needs.json && !can.json, SkipReason::Json),
        (needs.json_schema && !can.json_schema, SkipReason::JsonSchema),
    ]
    .into_iter()
    .find_map(|(lacks, why)| lacks.then_some(why))
    .or(candidate.obstacle)
    .or_else(|| {
        let fits = if needs.is_length_doubted { fits_perhaps } else { fits };
        let has_room = fits(candidate.prompt_tokens, output, can.context_tokens_max);
        (!has_room).then_some(SkipReason::ContextWindow)
    })
}

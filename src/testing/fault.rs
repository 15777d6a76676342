//! Faults of a scripted provider, and when they are on.

use std::ops::Range;
use std::time::Duration;

use http::HeaderMap;
use rand::{Rng, RngExt as _};

use crate::words::named::named;

/// A fault. Several may be on at once.
///
/// [`Refuse`](Self::Refuse) goes before all. Of the other faults that replace the whole answer (down to
/// [`Reply`](Self::Reply)), the first that was switched on is played alone. The rest are combined in the order they
/// were switched on; they change answers only, not the provider's own refusals.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is refused; such a request was never received. On the socket the listener is closed while the
    /// fault is on for all requests; by a chance or for a number of times it can only be played as
    /// [`Reset`](Self::Reset).
    Refuse,
    /// The connection is reset in place of an answer.
    Reset,
    /// The connection stays open, and nothing is ever answered.
    Hang,
    /// The head of an answer comes, and then keep-alives without end.
    BlackHole {
        /// Between two keep-alives.
        every: Duration,
    },
    /// The provider's own error, in its dialect.
    Error(ProviderError),
    /// A 429.
    RateLimited(RetryHint),
    /// A response of your own.
    Reply {
        /// Status, sent as it is.
        status: u16,
        /// All headers but `content-length`.
        headers: HeaderMap,
        /// Body.
        body: String,
    },
    /// The first content comes later.
    SlowFirst {
        /// The usual time to the first token is multiplied by this,
        factor: f64,
        /// and this much is added.
        plus: Duration,
    },
    /// The time between tokens is multiplied by this.
    SlowTokens(f64),
    /// After that many tokens nothing more comes; the connection stays open.
    StallAfter(u32),
    /// After that many tokens the connection closes, without any end of the answer.
    CutAfter(u32),
    /// The body ends, correctly for HTTP, within a JSON text: a stream in its last token's event, a whole answer in its
    /// middle.
    TruncatedJson,
    /// An event in the stream's middle, or the whole body, is no JSON; the rest is correct.
    InvalidJson,
    /// The answer is well-formed and has no content.
    Empty,
    /// The answer gives this finish reason.
    Finish(String),
    /// A 200 whose stream turns into an error after that many tokens and ends, without the end of an answer; a
    /// whole answer is that error.
    ErrorEvent {
        /// Tokens that come first.
        after: u32,
    },
    /// The headers of a good answer are false: the content type is `text/html`, a rate limit is at 0, `retry-after`
    /// asks for an hour.
    LyingHeaders,
}

impl Fault {
    /// Returns the fault's name, as the log spells it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::Hang => "hang",
            Self::BlackHole { .. } => "black_hole",
            Self::Error(error) => error.name(),
            Self::RateLimited(_) => "rate_limited",
            Self::Reply { .. } => "reply",
            Self::SlowFirst { .. } => "slow_first",
            Self::SlowTokens(_) => "slow_tokens",
            Self::StallAfter(_) => "stall",
            Self::CutAfter(_) => "cut",
            Self::TruncatedJson => "truncated_json",
            Self::InvalidJson => "invalid_json",
            Self::Empty => "empty",
            Self::Finish(_) => "finish",
            Self::ErrorEvent { .. } => "error_event",
            Self::LyingHeaders => "lying_headers",
        }
    }

    /// Tells whether it spoils the answer. A slow answer, or one with false headers, is still good.
    pub(crate) const fn spoils(&self) -> bool {
        !matches!(self, Self::SlowFirst { .. } | Self::SlowTokens(_) | Self::LyingHeaders)
    }
}

/// Errors of providers. Each dialect and each flavour has its own words and statuses for them; the statuses here are
/// OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderError {
    /// 500.
    Server,
    /// 502 of a gateway, in HTML.
    BadGateway,
    /// 503, temporarily out of capacity.
    Unavailable,
    /// 529.
    Overloaded,
    /// The conversation is longer than the model's window.
    ContextTooLong,
    /// 401, the key is unknown or revoked.
    Unauthorised,
    /// 402, the account is empty.
    OutOfMoney,
    /// 404, the model does not exist.
    ModelGone,
    /// 404, the model was retired.
    ModelRetired,
    /// 403, this region or account is not served.
    Forbidden,
    /// The provider's filter refuses the prompt.
    Filtered,
    /// 429 that no wait helps: one request is larger than a minute's limit.
    RequestExceedsLimit,
    /// 400, the request is malformed.
    BadRequest,
    /// 400, the model does not take a parameter.
    Unsupported,
    /// 504, a gateway's time-out.
    Timeout,
}

named!(ProviderError {
    Server = "server",
    BadGateway = "bad_gateway",
    Unavailable = "unavailable",
    Overloaded = "overloaded",
    ContextTooLong = "context_too_long",
    Unauthorised = "unauthorised",
    OutOfMoney = "out_of_money",
    ModelGone = "model_gone",
    ModelRetired = "model_retired",
    Forbidden = "forbidden",
    Filtered = "filtered",
    RequestExceedsLimit = "request_exceeds_limit",
    BadRequest = "bad_request",
    Unsupported = "unsupported",
    Timeout = "timeout",
});

/// How a 429 says when to come back. A provider that does not have this form leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryHint {
    /// It does not say.
    Silent,
    /// `retry-after: 20`, or `1.5`.
    Seconds(Duration),
    /// `retry-after-ms: 1500`.
    Millis(Duration),
    /// `retry-after` with an HTTP date, rounded up to a second, and a `date` to compare it with. By the wall clock,
    /// the only one dates know: no seed decides it.
    Date(Duration),
    /// `x-ratelimit-remaining-requests: 0` and `x-ratelimit-reset-requests: 6m0s`, as the dialect and its flavour spell
    /// both: seconds at Azure, the wall clock's milliseconds at OpenRouter; nothing where there are no such headers.
    Reset(Duration),
    /// Only "Please try again in 20s" in the message.
    Text(Duration),
}

/// When a fault is on: within its window, for a share of requests, for a number of them. All three must agree.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    window: Window,
    chance: f64,
    times: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
enum Window {
    Ever,
    During(Range<Duration>),
    Flapping(Duration),
}

impl When {
    /// From now on, every time.
    pub const ALWAYS: Self = Self { window: Window::Ever, chance: 1.0, times: None };

    /// Only for this number of requests; then the fault is off for good.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only with this probability, 0 to 1, for each request; the provider's seed decides.
    #[must_use]
    pub const fn chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }

    /// Only while the provider's age is in this range.
    #[must_use]
    pub const fn during(mut self, ages: Range<Duration>) -> Self {
        self.window = Window::During(ages);
        self
    }

    /// Off for the first `period` of the provider's life, on for the second, and so on.
    #[must_use]
    pub const fn flapping(mut self, period: Duration) -> Self {
        self.window = Window::Flapping(period);
        self
    }

    fn is_open(&self, age: Duration) -> bool {
        match &self.window {
            Window::Ever => true,
            Window::During(ages) => ages.contains(&age),
            Window::Flapping(period) => age.as_nanos().checked_div(period.as_nanos()).is_some_and(|turn| turn % 2 == 1),
        }
    }

    /// Tells whether it hits every request of that age.
    #[cfg(any(test, feature = "drill"))]
    pub(crate) fn hits_all(&self, age: Duration) -> bool {
        self.is_open(age) && self.chance >= 1.0 && self.times.is_none()
    }

    /// Tells whether it hits this request. Takes one number from `rng` with any outcome, so that one fault's window
    /// changes no other fault's draws.
    pub(crate) fn hits(&mut self, age: Duration, rng: &mut impl Rng) -> bool {
        let lucky = rng.random::<f64>() < self.chance;
        let hit = lucky && self.is_open(age) && !self.is_spent();
        if let (true, Some(times)) = (hit, &mut self.times) {
            *times -= 1;
        }
        hit
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.times == Some(0)
    }

    /// Returns the age at which its window opens or closes next.
    #[cfg(any(test, feature = "drill"))]
    pub(crate) fn next_turn(&self, age: Duration) -> Option<Duration> {
        match &self.window {
            Window::Ever => None,
            Window::During(ages) => [ages.start, ages.end].into_iter().find(|&turn| turn > age),
            Window::Flapping(period) => {
                let turns = age.as_nanos().checked_div(period.as_nanos())?;
                u32::try_from(turns + 1).ok().and_then(|turns| period.checked_mul(turns))
            }
        }
    }
}

/// A timetable of faults, in the provider's age: a whole incident, switched on at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule(pub(crate) Vec<(Fault, When)>);

impl Schedule {
    /// Returns an empty schedule.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault from one age to another.
    #[must_use]
    pub fn during(self, from: Duration, to: Duration, fault: Fault) -> Self {
        self.and(fault, When::ALWAYS.during(from..to))
    }

    /// Adds a fault that comes and goes: off for a `period`, on for one, and so on.
    #[must_use]
    pub fn flapping(self, period: Duration, fault: Fault) -> Self {
        self.and(fault, When::ALWAYS.flapping(period))
    }

    /// Adds a fault at any time.
    #[must_use]
    pub fn and(mut self, fault: Fault, when: When) -> Self {
        self.0.push((fault, when));
        self
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_window_is_open_from_its_start_to_just_before_its_end() {
        let outage = When::ALWAYS.during(seconds(10)..seconds(20));
        let flapping = When::ALWAYS.flapping(seconds(10));
        for (age, in_outage, outage_turn, in_flap, flap_turn) in [
            (0, false, Some(10), false, 10),
            (10, true, Some(20), true, 20),
            (19, true, Some(20), true, 20),
            (20, false, None, false, 30),
            (35, false, None, true, 40),
        ] {
            assert_eq!(outage.hits_all(seconds(age)), in_outage, "{age}");
            assert_eq!(outage.next_turn(seconds(age)), outage_turn.map(seconds), "{age}");
            assert_eq!(flapping.hits_all(seconds(age)), in_flap, "{age}");
            assert_eq!(flapping.next_turn(seconds(age)), Some(seconds(flap_turn)), "{age}");
        }
    }

    #[test]
    fn a_period_or_a_window_of_nothing_is_never_on() {
        for never in [When::ALWAYS.flapping(Duration::ZERO), When::ALWAYS.during(seconds(3)..seconds(3))] {
            assert!(!never.hits_all(seconds(3)));
        }
        assert_eq!(When::ALWAYS.flapping(Duration::ZERO).next_turn(seconds(1)), None);
        assert_eq!(When::ALWAYS.flapping(Duration::from_nanos(1)).next_turn(Duration::MAX), None);
    }

    #[test]
    fn a_number_of_times_is_used_up_only_by_hits() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut when = When::ALWAYS.times(2).during(seconds(5)..seconds(9));
        let hits: Vec<_> = (0..9).map(|age| when.hits(seconds(age), &mut rng)).collect();
        assert_eq!(hits, [false, false, false, false, false, true, true, false, false]);
        assert!(when.is_spent());
    }

    #[test]
    fn a_chance_is_kept_and_a_wild_one_does_no_harm() {
        let mut rng = StdRng::seed_from_u64(3);
        for (chance, expected) in [(0.2, 1_850..2_150), (0.0, 0..1), (1.0, 10_000..10_001), (7.0, 10_000..10_001)] {
            let mut when = When::ALWAYS.chance(chance);
            let hits = (0..10_000).filter(|_| when.hits(Duration::ZERO, &mut rng)).count();
            assert!(expected.contains(&hits), "{chance}: {hits}");
        }
        assert!(!When::ALWAYS.chance(f64::NAN).hits(Duration::ZERO, &mut rng));
    }
}

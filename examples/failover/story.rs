//! The story: faults, their providers, and their times. In every act but one some provider is well, though others may
//! still be recovering; in that one none is, and calls wait or take a fixed text.

use std::time::Duration;

use standin::Runtime;
use standin::drill::Drill;
use standin::testing::{Crash, Fault, ProviderError, RetryHint, When, crash};

use crate::stage::PROVIDERS;

const ALDER: usize = 0;
const BIRCH: usize = 1;
const CEDAR: usize = 2;

/// A part of the story. Its faults end when the next one begins.
pub struct Act {
    pub title: &'static str,
    pub lasts: Duration,
    troubles: Vec<Trouble>,
}

enum Trouble {
    /// The provider answers with this fault, with this probability.
    Fault(usize, f64, Fault),
    /// The provider's actor within the runtime dies.
    Crash(fn(String) -> Crash, usize),
}

impl Act {
    fn new(millis: u64, title: &'static str, troubles: impl Into<Vec<Trouble>>) -> Self {
        Self { title, lasts: Duration::from_millis(millis), troubles: troubles.into() }
    }

    /// Tells whether something is broken in it.
    pub fn is_trouble(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// Ends all faults, then begins those of this act.
    pub fn begin(&self, drills: &[Drill], runtime: &Runtime) {
        for drill in drills {
            drill.handle().clear();
        }
        for trouble in &self.troubles {
            match trouble {
                Trouble::Fault(at, chance, fault) => {
                    drills[*at].handle().inject(fault.clone(), When::ALWAYS.chance(*chance));
                }
                Trouble::Crash(how, at) => {
                    crash(runtime, how(PROVIDERS[*at].name.to_owned()));
                }
            }
        }
    }
}

/// Returns the acts; the first is the healthy baseline that all others are measured against.
pub fn acts() -> Vec<Act> {
    use Trouble::{Crash as Crashes, Fault as Answers};
    let error = || Fault::Error(ProviderError::Server);
    let keep_alives = Fault::BlackHole { every: Duration::from_millis(100) };
    let retry_after = Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(2)));
    let brown_out = [
        Answers(ALDER, 1.0, Fault::SlowFirst { factor: 20.0, plus: Duration::ZERO }),
        Answers(ALDER, 1.0, Fault::SlowTokens(20.0)),
    ];
    vec![
        Act::new(5_000, "all is well: the baseline", []),
        Act::new(3_500, "alder is out: connections are refused", [Answers(ALDER, 1.0, Fault::Refuse)]),
        Act::new(3_500, "birch is out: connections are reset", [Answers(BIRCH, 1.0, Fault::Reset)]),
        Act::new(3_500, "cedar is out: requests hang", [Answers(CEDAR, 1.0, Fault::Hang)]),
        Act::new(4_500, "alder browns out: 20 times slower", brown_out),
        Act::new(1_500, "cedar's actor panics", [Crashes(Crash::ProviderPanics, CEDAR)]),
        Act::new(
            4_000,
            "birch, cedar: 5 % server errors",
            [Answers(BIRCH, 0.05, error()), Answers(CEDAR, 0.05, error())],
        ),
        Act::new(3_500, "alder: 429, Retry-After 2 s", [Answers(ALDER, 1.0, retry_after)]),
        Act::new(4_000, "cedar cuts 2 of 10 streams", [Answers(CEDAR, 0.2, Fault::CutAfter(3))]),
        Act::new(
            2_500,
            "all providers' actors crash at once",
            [
                Crashes(Crash::ProviderErrs, ALDER),
                Crashes(Crash::ProviderKilled, BIRCH),
                Crashes(Crash::ProviderPanics, CEDAR),
            ],
        ),
        Act::new(4_000, "birch: a black hole with keep-alives", [Answers(BIRCH, 1.0, keep_alives)]),
        Act::new(2_000, "nobody answers: all refuse", [ALDER, BIRCH, CEDAR].map(|at| Answers(at, 1.0, Fault::Refuse))),
        Act::new(6_000, "all is well again", []),
    ]
}

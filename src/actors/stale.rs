//! The last good answers of all routes that keep some, for calls that no target can answer.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::{now, wall};
use super::table::Table;
use super::work::Work;
use crate::policy::stale::{ClockPair, LastAnswers, QuestionKey, StaleAnswer, StaleOptions};
use crate::spec::RouteSpec;
use crate::words::locks::lock;

/// The last good answers, by route.
#[derive(Default)]
pub(crate) struct StaleAnswers {
    secret: RandomState,
    routes: Mutex<HashMap<Arc<str>, LastAnswers>>,
}

impl StaleAnswers {
    /// Returns the key of a request, if its route keeps answers.
    pub(super) fn key(&self, route: &RouteSpec, work: &Work) -> Option<QuestionKey> {
        let Work::Chat(request) = work else { return None };
        route.stale().and_then(|_| QuestionKey::of(request, &self.secret))
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, route: &RouteSpec, key: QuestionKey, answer: StaleAnswer) {
        if let Some(options) = route.stale() {
            let mut routes = lock(&self.routes);
            routes.entry(route.name.clone()).or_default().keep(key, answer, options, moment());
        }
    }

    /// Returns the last answer to a request, and how old it is.
    pub(super) fn find(
        &self,
        route: &str,
        key: &QuestionKey,
        options: &StaleOptions,
    ) -> Option<(StaleAnswer, Duration)> {
        let routes = lock(&self.routes);
        let (answer, age) = routes.get(route)?.find(key, options, moment())?;
        Some((answer.clone(), age))
    }

    /// Forgets what is too old to be given, and what no route keeps any more.
    pub(super) fn expire(&self, table: &Table) {
        lock(&self.routes).retain(|route, kept| {
            let options = table.layout.routes.get(route).and_then(|route| route.stale());
            options.inspect(|options| kept.expire(options, moment())).is_some()
        });
    }
}

/// An answer grows older while the machine sleeps, too.
fn moment() -> ClockPair {
    ClockPair { now: now(), wall: wall() }
}

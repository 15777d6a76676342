//! A classifier: it says how urgent a call is, beside the caller.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::work::Work;
use crate::words::{ChatRequest, Priority};

/// A call that comes in, as a classifier sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Incoming<'a> {
    /// The conversation; `None` where texts are to be embedded.
    pub request: Option<&'a ChatRequest>,
    /// The route that was asked for.
    pub route: &'a str,
    /// Its session.
    pub session: Option<&'a str>,
    /// Its caller's tags.
    pub tags: &'a BTreeMap<String, String>,
    /// The priority that its caller gave it.
    pub priority: Priority,
    /// Calls in flight, with this one.
    pub calls: usize,
    /// The most calls in flight.
    pub calls_max: usize,
}

type Hook = dyn Fn(&Incoming<'_>) -> Priority + Send + Sync;

/// A function that derives a call's priority.
#[derive(Clone)]
pub(crate) struct Classify(Arc<Hook>);

impl fmt::Debug for Classify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classify")
    }
}

impl Classify {
    pub(crate) fn new(hook: impl Fn(&Incoming<'_>) -> Priority + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Returns a call's priority; if the function panics, the caller's own.
    pub(super) fn priority(&self, work: &Work, calls: usize, calls_max: usize) -> Priority {
        let incoming = Incoming {
            request: if let Work::Chat(request) = work { Some(request) } else { None },
            route: work.route(),
            session: work.session().map(String::as_str),
            tags: work.tags(),
            priority: work.priority(),
            calls,
            calls_max,
        };
        catch_unwind(AssertUnwindSafe(|| (self.0)(&incoming))).unwrap_or_else(|_| {
            tracing::error!("the function that classifies calls panicked; its caller's priority holds");
            work.priority()
        })
    }
}

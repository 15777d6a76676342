//! A classifier: it decides a call's priority, beside the caller.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::oneshot;
use ractor::{ActorRef, Message, RpcReplyPort};

use super::work::Work;
use crate::transport::BoxFuture;
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

/// A call that comes in, as it is sent to an actor that classifies it.
#[derive(Clone, Debug)]
pub struct Arrival {
    work: Work,
    calls: usize,
    calls_max: usize,
}

impl Arrival {
    pub(super) const fn new(work: Work, calls: usize, calls_max: usize) -> Self {
        Self { work, calls, calls_max }
    }

    /// Returns what is known of it.
    pub fn incoming(&self) -> Incoming<'_> {
        let work = &self.work;
        Incoming {
            request: if let Work::Chat(request) = work { Some(request) } else { None },
            route: work.route(),
            session: work.session().map(String::as_str),
            tags: work.tags(),
            priority: work.priority(),
            calls: self.calls,
            calls_max: self.calls_max,
        }
    }
}

/// The longest wait for an actor's answer about a call.
const ACTOR_ANSWER_MAX: Duration = Duration::from_millis(250);

type ClassifyFn = dyn Fn(&Incoming<'_>) -> Priority + Send + Sync;
type ClassifyByActor = dyn Fn(Arrival) -> BoxFuture<'static, Option<Priority>> + Send + Sync;

/// The classifier of a runtime.
#[derive(Clone)]
pub(crate) enum Classify {
    /// A function.
    Function(Arc<ClassifyFn>),
    /// An actor.
    Actor(Arc<ClassifyByActor>),
}

impl fmt::Debug for Classify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classify")
    }
}

impl Classify {
    pub(crate) fn function(hook: impl Fn(&Incoming<'_>) -> Priority + Send + Sync + 'static) -> Self {
        Self::Function(Arc::new(hook))
    }

    pub(crate) fn actor<M: Message>(
        actor: ActorRef<M>,
        message: impl Fn(Arrival, RpcReplyPort<Priority>) -> M + Send + Sync + 'static,
    ) -> Self {
        Self::Actor(Arc::new(move |arrival| {
            let (port, word) = oneshot();
            let sent = actor.send_message(message(arrival, port.into()));
            Box::pin(async move {
                let word = tokio::time::timeout(ACTOR_ANSWER_MAX, word);
                if sent.is_ok() { word.await.ok()?.ok() } else { None }
            })
        }))
    }

    /// Tells whether its answer has to be waited for.
    pub(super) const fn is_waited_for(&self) -> bool {
        matches!(self, Self::Actor(_))
    }

    /// Returns a call's priority as far as it is known at once: the caller's, if the function panics or an actor must
    /// be asked.
    pub(super) fn at_once(&self, arrival: &Arrival) -> Priority {
        let Self::Function(hook) = self else { return arrival.work.priority() };
        catch_unwind(AssertUnwindSafe(|| hook(&arrival.incoming()))).unwrap_or_else(|_| {
            tracing::error!("the function that classifies calls panicked; its caller's priority holds");
            arrival.work.priority()
        })
    }

    /// Returns a call's priority: the caller's, if the actor does not answer in time.
    pub(super) async fn priority(&self, arrival: Arrival) -> Priority {
        let Self::Actor(ask) = self else { return self.at_once(&arrival) };
        let own = arrival.work.priority();
        ask(arrival).await.unwrap_or_else(|| {
            tracing::error!("the actor that classifies calls gave no answer in time; its caller's priority holds");
            own
        })
    }
}

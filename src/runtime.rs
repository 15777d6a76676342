//! The public interface: one handle for everything.

#[cfg(feature = "store")]
mod kept;
#[cfg(not(feature = "store"))]
mod not_kept;
mod page;
#[cfg(feature = "serialise")]
mod serial;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorRef, ActorStatus, Message, RpcReplyPort};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot};

use crate::actors::classify::Classify;
use crate::actors::front;
use crate::actors::log_writer;
use crate::actors::responder::Responder;
use crate::actors::root::Root;
use crate::actors::shared::Shared;
use crate::actors::sink::AddedObserver;
use crate::actors::to_root::RootMessage;
use crate::actors::work::Work;
use crate::config::{Config, ProviderConfig, RouteConfig};
use crate::policy::snapshot::Force;
use crate::spec::Setup;
#[cfg(feature = "sidecar")]
use crate::words::Durable;
use crate::words::{
    AttemptRecord, CallId, ChatRequest, ConfigError, ConfigErrors, EmbedRequest, Embeddings, Error, Event, Hold,
    Priority, Reply, Reset, TargetId,
};

#[cfg(feature = "store")]
use self::kept::Kept;
#[cfg(not(feature = "store"))]
use self::not_kept::Kept;

#[cfg(feature = "sidecar")]
pub(crate) use crate::actors::blocking_pool::{BlockingPool, LONG_BYTES};
pub use crate::actors::classify::{Arrival, Incoming};
pub use crate::actors::handle::{CallHandle, CallStatus};
pub use crate::actors::health::{HealthSnapshot, LocalShortage, ObserverHealth, ParkedCalls, ProviderHealth};
pub(crate) use crate::actors::log_writer::Form;
pub use crate::actors::prices::PricesHealth;
pub(crate) use crate::actors::responder::{CallNote, WantedReply};
pub use crate::actors::slot::ProviderStatus;
pub use crate::actors::stream::ReplyStream;
pub use crate::actors::to_front::RouterMessage;
pub use crate::policy::budget::BudgetHealth;
pub use crate::policy::durable_store::CallSelector;
pub use crate::policy::explain::{CallStep, Considered, Explanation, Flight, Skipped};
pub use crate::policy::hedge::Join;
pub use crate::policy::ledger::Totals;
pub use crate::policy::record::{Observer, QUEUE_MAX, Record};
#[cfg(feature = "store")]
pub use crate::policy::statement::{GroupBy, Line, Question, Statement, UnknownGrouping};
pub use crate::policy::store_health::StoreHealth;
#[cfg(feature = "store")]
pub use crate::store::{LedgerError, Verified, ask_file, verify_file};

/// The first wait for a router that restarts; it doubles, up to [`ROUTER_WAITS`] times: two seconds in all.
const ROUTER_WAIT: Duration = Duration::from_millis(1);
const ROUTER_WAITS: u32 = 11;
/// How long the actors may take to stop once no call is in flight.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long observers are told of calls that were cut off at the end, and how often that is looked for.
const TOLD_MAX: Duration = Duration::from_millis(500);
const TOLD_LOOK: Duration = Duration::from_millis(2);

/// A running runtime. Cheap to clone; when the last clone is dropped, its actors stop and calls in flight end.
///
/// ```
/// use standin::{ChatRequest, ProviderConfig, Report, Runtime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let local = ProviderConfig::from_fn(|request| async move { Ok(format!("You said: {}", request.question())) });
/// let runtime = Runtime::builder().provider("local", local.model("echo")).start().await?;
/// // Every `provider/model` is a route of itself.
/// let reply = runtime.chat(ChatRequest::new("local/echo").user("hello")).await?;
/// assert_eq!(reply.text, "You said: hello");
///
/// println!("{}", runtime.explain("local/echo").await?); // where the next call would go, and why
/// println!("{}", runtime.health()); // the state of all targets
/// println!("{}", runtime.why(reply.finished.call).expect("a recent call")); // what happened to this one
/// runtime.drain(std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
    root: Arc<StopOnDrop>,
    /// The executor that it runs on; a caller may be on another.
    executor: Handle,
    kept: Kept,
}

struct StopOnDrop(ActorRef<RootMessage>, Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // From now on calls end because the runtime stops.
        self.1.store(true, Relaxed);
        self.0.stop(None);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("status", &self.root.0.get_status()).finish_non_exhaustive()
    }
}

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is not valid; each error names its field.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The actors did not start: the supervisor they were to be linked to is stopping.
    #[error("the runtime's actors did not start")]
    Actors(#[source] Box<ractor::SpawnErr>),
    /// There is no tokio here to run on.
    #[error("there is no tokio runtime here: start it within one")]
    NoExecutor,
    /// Tokio has no timers here.
    #[error("tokio has no timers here: build its runtime with `enable_time()` or `enable_all()`")]
    NoTimers,
    /// The runtime to be reconfigured has stopped.
    #[error("the runtime has stopped; start a new one")]
    Stopped,
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.into())
    }
}

/// Why a program ended: any error, to be returned by its `main`. Rust prints what `main` returns by `Debug`; this one
/// shows the message for people there, and each cause behind it.
///
/// ```no_run
/// # use standin::{ChatRequest, ProviderConfig, RouteConfig, Runtime};
/// #[tokio::main]
/// async fn main() -> Result<(), standin::Report> {
///     let openai = ProviderConfig::openai().key_env("OPENAI_API_KEY");
///     let runtime = Runtime::builder().provider("openai", openai).start().await?;
///     println!("{}", runtime.chat(ChatRequest::new("openai/gpt-5-mini").user("Hello!")).await?.text);
///     Ok(())
/// }
/// ```
pub struct Report(Box<dyn std::error::Error + Send + Sync>);

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Report {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gathers a [`Config`] and starts a runtime by it.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    config: Config,
    observers: Vec<AddedObserver>,
    classify: Option<Classify>,
    follows: bool,
}

impl Builder {
    /// Takes a whole configuration; it replaces all earlier settings.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds or replaces a provider.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>, provider: ProviderConfig) -> Self {
        self.config.providers.insert(name.into(), provider);
        self
    }

    /// Adds or replaces a route.
    #[must_use]
    pub fn route(mut self, name: impl Into<String>, route: RouteConfig) -> Self {
        self.config.routes.insert(name.into(), route);
        self
    }

    /// Edits the configuration: `builder.with(|config| config.calls_max = 100)`.
    #[must_use]
    pub fn with(mut self, edit: impl FnOnce(&mut Config)) -> Self {
        edit(&mut self.config);
        self
    }

    /// Adds an observer, which gets a record of each attempt and call that ends. Health shows it under this name.
    ///
    /// ```
    /// use standin::runtime::{Observer, Record};
    ///
    /// struct Bill;
    ///
    /// impl Observer for Bill {
    ///     fn observe(&self, record: &Record) {
    ///         if let Record::Attempt(attempt) = record {
    ///             println!("{} {:?} {:?}", attempt.target, attempt.about.tags.get("team"), attempt.cost_usd);
    ///         }
    ///     }
    /// }
    ///
    /// let builder = standin::Runtime::builder().observer("bill", Bill);
    /// ```
    #[must_use]
    pub fn observer(self, name: impl Into<Arc<str>>, observer: impl Observer) -> Self {
        self.observed(AddedObserver { name: name.into(), observer: Arc::new(observer), in_place: false })
    }

    /// Lets a function set the priority of calls, from the request and the load: the priority sets the value of a
    /// second, and whether a second target is asked for speed. It runs on the caller's thread and must be quick.
    ///
    /// ```
    /// use standin::{Priority, Runtime};
    ///
    /// let builder = Runtime::builder().classify(|call| match call.tags.get("job").map(String::as_str) {
    ///     Some("nightly") => Priority::Batch,
    ///     _ if call.session.is_some() && call.calls < 100 => Priority::Interactive,
    ///     _ => call.priority,
    /// });
    /// ```
    #[must_use]
    pub fn classify(mut self, by: impl Fn(&Incoming<'_>) -> Priority + Send + Sync + 'static) -> Self {
        self.classify = Some(Classify::function(by));
        self
    }

    /// Lets an actor set the priority of calls, as [`classify`](Self::classify) lets a function. Each call waits for
    /// its answer, for a quarter of a second at most; without an answer the caller's priority holds.
    ///
    /// ```
    /// use standin::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
    /// use standin::runtime::Arrival;
    /// use standin::{Priority, ProviderConfig, Runtime};
    ///
    /// struct Desk;
    ///
    /// enum Urgency {
    ///     Of(Arrival, RpcReplyPort<Priority>),
    /// }
    /// # #[cfg(feature = "cluster")]
    /// # impl standin::ractor::Message for Urgency {}
    ///
    /// #[cfg_attr(feature = "async-trait", standin::ractor::async_trait)]
    /// impl Actor for Desk {
    ///     type Msg = Urgency;
    ///     type State = ();
    ///     type Arguments = ();
    ///
    ///     async fn pre_start(&self, _: ActorRef<Urgency>, (): ()) -> Result<(), ActorProcessingErr> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&self, _: ActorRef<Urgency>, asked: Urgency, _: &mut ()) -> Result<(), ActorProcessingErr> {
    ///         let Urgency::Of(call, port) = asked;
    ///         let in_a_session = call.incoming().session.is_some();
    ///         port.send(if in_a_session { Priority::Interactive } else { Priority::Batch })?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), standin::Report> {
    /// let (desk, _) = Actor::spawn(None, Desk, ()).await?;
    /// let builder = Runtime::builder().classify_by(desk, Urgency::Of);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn classify_by<M: Message>(
        mut self,
        actor: ActorRef<M>,
        message: impl Fn(Arrival, RpcReplyPort<Priority>) -> M + Send + Sync + 'static,
    ) -> Self {
        self.classify = Some(Classify::actor(actor, message));
        self
    }

    /// Sets whether another process, which is ending, still has the store's file.
    #[cfg(feature = "sidecar")]
    pub(crate) fn follows(mut self, follows: bool) -> Self {
        self.follows = follows;
        self
    }

    /// Adds one of our own observers, which is called in place and loses nothing.
    #[cfg(feature = "sidecar")]
    pub(crate) fn observer_in_place(self, name: &str, observer: Arc<dyn Observer>) -> Self {
        self.observed(AddedObserver { name: name.into(), observer, in_place: true })
    }

    fn observed(mut self, observing: AddedObserver) -> Self {
        self.observers.push(observing);
        self
    }

    /// Checks the configuration and starts the runtime.
    ///
    /// # Errors
    /// If a field of the configuration is not valid: the error names it.
    pub async fn start(self) -> Result<Runtime, StartError> {
        self.start_under(None).await
    }

    /// Starts the runtime linked under an actor of the user's, which is told when it ends; when that actor stops, the
    /// runtime stops, too. A planned drain ends it as well, and `ractor`'s usual `handle_supervisor_evt` stops an actor
    /// whose child has ended: an actor that is to outlive its runtime needs a handler of its own.
    ///
    /// # Errors
    /// If a field of the configuration is not valid, or the supervisor is stopping.
    pub async fn start_linked(self, supervisor: ActorCell) -> Result<Runtime, StartError> {
        self.start_under(Some(supervisor)).await
    }

    async fn start_under(self, supervisor: Option<ActorCell>) -> Result<Runtime, StartError> {
        let Self { config, mut observers, classify, follows } = self;
        let (limits, mut setup) = config.check()?;
        let executor = executor()?;
        let kept = Kept::open(&limits, &mut observers, follows).await?;
        let shared = Arc::new(Shared::new(limits, observers, classify, kept.durable_store()));
        kept.add_spent(&shared, &mut setup).await;
        let (recalled, served) = kept.recollect(&shared, &setup).await;
        shared.prices.replace(&setup.prices, &shared.blocking_pool).await;
        let arguments = (shared.clone(), setup, recalled);
        let started = match supervisor {
            Some(supervisor) => Actor::spawn_linked(None, Root, arguments, supervisor).await,
            None => Actor::spawn(None, Root, arguments).await,
        };
        let (root, _) = started.map_err(|error| StartError::Actors(Box::new(error)))?;
        kept.resume(&shared, served).await;
        log_writer::take_up_all(&shared).await;
        let stop = StopOnDrop(root, shared.draining.clone());
        Ok(Runtime { shared, root: Arc::new(stop), executor, kept })
    }
}

impl Runtime {
    /// Returns a builder with an empty configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns a handle for actors, which keeps nothing alive: it finds the living front at each use, also after the
    /// old one was stopped.
    pub fn front(&self) -> Front {
        Front(self.shared.clone())
    }

    /// Returns the reference through which any ractor actor may ask, by `call!` for one; it stays valid while routers
    /// restart. Its holder can stop the actor behind it, for which another is started at once: [`front`](Self::front)
    /// finds that one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the runtime has stopped.
    pub fn router(&self) -> Result<ActorRef<RouterMessage>, Error> {
        self.shared.front.get().filter(|_| self.runs()).ok_or(Error::Unavailable)
    }

    /// Answers a request, whole. Dropping the future cancels the call and closes the connection to the provider.
    ///
    /// # Errors
    /// See [`Error`]; each lists the attempts that were made.
    pub async fn chat(&self, request: ChatRequest) -> Result<Reply, Error> {
        self.call(request, WantedReply::Whole, None).await
    }

    /// Answers a request as a stream. Returns as soon as the call runs; what fails later comes in the stream.
    /// Dropping the stream cancels the call and closes the connection to the provider.
    ///
    /// # Errors
    /// If the request is refused before anything is sent; see [`Error`].
    pub async fn stream(&self, request: ChatRequest) -> Result<ReplyStream, Error> {
        self.call(request, WantedReply::Stream, None).await
    }

    /// Turns texts into vectors, one each, in their order. Dropping the future cancels the call.
    ///
    /// # Errors
    /// See [`Error`]; each lists the attempts that were made.
    pub async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, Error> {
        self.call(request, WantedReply::Vectors, None).await
    }

    /// Makes a call that belongs to the runtime and not to its caller: it goes on when any of its readers leave.
    /// Returns when it is accepted; its events are kept until `kept_for` after its end, in memory.
    ///
    /// # Errors
    /// If the request is refused before anything is sent; see [`Error`].
    pub async fn submit(&self, request: ChatRequest) -> Result<CallHandle, Error> {
        self.keep(request, Form::Stream, true).await
    }

    /// Returns a call that was submitted, or asked for with a [key](ChatRequest::key), by its id.
    ///
    /// # Errors
    /// [`Error::NotKept`] if there is none: it is not known, or was forgotten.
    pub async fn resume(&self, call: CallId) -> Result<CallHandle, Error> {
        self.again(|answer| log_writer::resume(&self.shared, call, answer)).await
    }

    /// Forgets what was asked and answered, in memory and in the store: of one call, which is ended if it has not, or
    /// of all that have ended and carry a tag, or that ended before a time. Returns how many calls that were, when they
    /// are gone from the file.
    ///
    /// # Errors
    /// [`Error::NotDurable`] if the store writes no more.
    pub async fn forget(&self, which: CallSelector) -> Result<usize, Error> {
        self.again(|answer| log_writer::forget_all(&self.shared, which.clone(), answer)).await
    }

    /// Makes or finds a call that has a log. It ends when it has no holder, unless it is the runtime's `own`.
    pub(crate) async fn keep(
        &self,
        request: impl Into<Arc<ChatRequest>>,
        form: Form,
        own: bool,
    ) -> Result<CallHandle, Error> {
        let request = request.into();
        self.again(|answer| log_writer::keep(&self.shared, request.clone(), form, own, answer)).await
    }

    /// Tells whether a request asks, or its route does, for a call that outlives its process.
    #[cfg(feature = "sidecar")]
    pub(crate) fn is_durable(&self, request: &ChatRequest) -> bool {
        self.shared.durable(request) != Durable::No
    }

    /// Tells whether there is something that keeps durable calls.
    #[cfg(feature = "sidecar")]
    pub(crate) fn keeps_calls(&self) -> bool {
        self.shared.durable_store.is_some()
    }

    /// Makes a call, and notes which one it is as soon as it is on record.
    pub(crate) async fn call<T>(
        &self,
        work: impl Into<Work>,
        wanted: impl Fn(Responder<T>) -> WantedReply,
        note: Option<&CallNote>,
    ) -> Result<T, Error> {
        let work = work.into();
        self.again(|answer| log_writer::serve(&self.shared, work.clone(), wanted(answer.noting(note)))).await
    }

    /// Hands a message to the router. While the router restarts nothing was sent, so asking again is safe.
    async fn again<T>(&self, ask: impl Fn(Responder<T>)) -> Result<T, Error> {
        let mut wait = ROUTER_WAIT;
        for _ in 0..ROUTER_WAITS {
            let (responder, answer) = Responder::pair(&self.shared.draining);
            self.within(|| ask(responder));
            match answer.await.unwrap_or(Err(Error::Unavailable)) {
                Err(Error::Unavailable) if self.runs() => self.sleep(wait).await,
                answer => return answer,
            }
            wait *= 2;
        }
        Err(Error::Unavailable)
    }

    /// Returns the health of all providers, as last published. Asks no actor.
    pub fn health(&self) -> HealthSnapshot {
        front::health(&self.shared)
    }

    /// Tells what a request would do now, and why: each target in order, its numbers, or why it would be skipped. The
    /// first is where the next call goes. Draws nothing and changes nothing. A route's name alone is an empty request:
    /// `runtime.explain("smart")`.
    ///
    /// # Errors
    /// If the request or its route is not valid, or the router restarts just now.
    pub async fn explain(&self, request: impl Into<ChatRequest>) -> Result<Explanation, Error> {
        let request = Box::new(request.into());
        self.ask(|port| RouterMessage::Explain(request, port)).await
    }

    /// Sends all calls of a route to one of its targets, as long as it admits them; `None` lifts the pin.
    ///
    /// # Errors
    /// If there is no such route, or the target is not one of its targets.
    pub async fn pin(&self, route: &str, target: Option<TargetId>) -> Result<(), Error> {
        self.ask(|port| RouterMessage::Pin(route.to_owned(), target, port)).await
    }

    /// Forces a target off or on, until a time or until lifted.
    ///
    /// # Errors
    /// If there is no such target, or its provider is down.
    pub async fn force(&self, target: TargetId, force: Force) -> Result<(), Error> {
        self.ask(|port| RouterMessage::Force(target, force, port)).await
    }

    /// Admits nothing more at a target and returns when its last attempt has ended. Lifted by [`Force::Auto`].
    ///
    /// # Errors
    /// If there is no such target, or its provider is down.
    pub async fn drain_target(&self, target: TargetId) -> Result<(), Error> {
        self.ask(|port| RouterMessage::Drain(target, port)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<Result<T, Error>>) -> RouterMessage,
    ) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        let sent = self.shared.front.send(message(sender.into()));
        if sent { answer.await.unwrap_or(Err(Error::Unavailable)) } else { Err(Error::Unavailable) }
    }

    /// Lifts the holds of a key, a target, a provider, or everything (a provider's refusal, an open breaker, an
    /// operator's override), and returns them. The next call asks as if nothing had happened.
    ///
    /// # Errors
    /// If there is no such provider, target or key.
    pub async fn reset(&self, what: Reset) -> Result<Vec<Hold>, Error> {
        self.ask(|port| RouterMessage::Reset(what, port)).await
    }

    /// Estimates how many tokens a request's prompt has.
    ///
    /// # Errors
    /// If there is no such route.
    pub fn estimate_tokens(&self, request: ChatRequest) -> Result<u64, Error> {
        let table = self.shared.table();
        let route = table.route(&request.route)?;
        Ok(u64::from(table.estimate(route, request)))
    }

    /// Returns what happened to a recent call: plans, scores, refusals, waits, attempts. The recorder remembers the
    /// last `recorder_max` calls that ended; of a parked call it returns the events so far.
    pub fn why(&self, call: CallId) -> Option<Arc<Flight>> {
        self.shared.recorder.flight(call).or_else(|| self.shared.parking.flight(call))
    }

    /// Waits for the record of a call whose attempts may still end.
    #[cfg(feature = "sidecar")]
    pub(crate) async fn ended(&self, call: CallId) -> Option<Arc<Flight>> {
        self.shared.recorder.ended(call).await
    }

    /// Returns the calls that the recorder remembers, in the order of their ends.
    pub fn recent(&self) -> Vec<Arc<Flight>> {
        self.shared.recorder.flights()
    }

    /// Returns the attempts of a call that the ledger remembers, in the order they ended.
    pub fn attempts(&self, call: CallId) -> Vec<AttemptRecord> {
        self.shared.recorder.ledger().call(call)
    }

    /// Returns the totals of all attempts at each target.
    pub fn totals(&self) -> Vec<(TargetId, Totals)> {
        let ledger = self.shared.recorder.ledger();
        ledger.totals().iter().map(|(target, totals)| (target.clone(), totals.clone())).collect()
    }

    /// Returns events from now on.
    pub fn subscribe(&self) -> Events {
        Events(self.shared.events.subscribe())
    }

    /// Replaces providers and routes. A provider that did not change keeps its actor, its health and its connections;
    /// one that is gone is retired when its last attempt has ended; no call in flight is dropped. Limits of the runtime
    /// itself (`calls_max`, `store`, …) stay as they were; the log names those that would change.
    ///
    /// # Errors
    /// If a field is not valid: the old configuration stays. If the runtime has stopped.
    pub async fn reconfigure(&self, config: Config) -> Result<(), StartError> {
        let (limits, setup) = config.check()?;
        let (sender, done) = oneshot::channel();
        if !self.runs() {
            return Err(StartError::Stopped);
        }
        let setup = self.with_what_is_read(setup).await?;
        self.shared.root.send(RootMessage::Reconfigure(Box::new(setup), sender));
        done.await.map_err(|_| StartError::Stopped)?;
        for field in limits.differing(&self.shared.limits) {
            tracing::warn!(field, "this setting was changed: it takes effect at the next start");
        }
        Ok(())
    }

    /// Adds to a configuration what stands in files: prices, and what was spent before of the budgets that it brings.
    async fn with_what_is_read(&self, mut setup: Setup) -> Result<Setup, StartError> {
        let (shared, kept) = (self.shared.clone(), self.kept.clone());
        let reading = async move {
            shared.prices.replace(&setup.prices, &shared.blocking_pool).await;
            kept.add_spent(&shared, &mut setup).await;
            setup
        };
        #[expect(clippy::disallowed_methods, reason = "its caller waits for its end, on any executor")]
        let reading = self.within(|| tokio::spawn(reading));
        reading.await.map_err(|_| StartError::Stopped)
    }

    /// Tells the process that is to follow, as long as this one lives, what attempts in flight may still cost. Returns
    /// when that was told once, or could not be.
    #[cfg(feature = "sidecar")]
    pub(crate) async fn tell_next(&self) {
        let Some(telling) = self.kept.tell_reserved(&self.shared).await else { return };
        #[expect(clippy::disallowed_methods, reason = "it ends with the runtime")]
        self.within(|| drop(tokio::spawn(telling)));
    }

    /// Answers a question about what was spent, from the file that everything is kept in: the answer holds all that had
    /// ended before it was asked.
    ///
    /// # Errors
    /// If nothing is kept, or the file cannot be read.
    #[cfg(feature = "store")]
    pub async fn ledger(&self, question: Question) -> Result<Statement, LedgerError> {
        let asking = self.kept.clone().ask(self.shared.clone(), question);
        #[expect(clippy::disallowed_methods, reason = "whoever asked waits for its answer, on whatever executor")]
        let asking = self.within(|| tokio::spawn(asking));
        asking.await.unwrap_or(Err(LedgerError::NotKept))
    }

    /// Takes no new calls, waits until those in flight have ended or the deadline has passed, then stops all actors
    /// in order. Returns how many calls were cut off.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.shared.draining.store(true, Relaxed);
        self.shared.parking.wake_all();
        self.shared.tell(Event::Draining);
        let (shared, root, kept) = (self.shared.clone(), self.root.0.clone(), self.kept.clone());
        let stopping = async move {
            let all = u32::try_from(shared.limits.calls_max).unwrap_or(u32::MAX);
            let _ = tokio::time::timeout(deadline, shared.places.acquire_many(all)).await;
            let left = shared.budget.calls();
            if root.stop_and_wait(None, Some(STOP_MAX)).await.is_err() {
                root.kill();
            }
            let told = async {
                while shared.untold_calls.load(Relaxed) > 0 {
                    tokio::time::sleep(TOLD_LOOK).await;
                }
            };
            let _ = tokio::time::timeout(TOLD_MAX, told).await;
            kept.finish().await;
            left
        };
        // It runs on the runtime's executor, wherever the caller is: there it is finished and finds timers.
        #[expect(clippy::disallowed_methods, reason = "who stops everything has no supervisor left")]
        let stopping = self.within(|| tokio::spawn(stopping));
        // When the executor is gone, all actors are gone, too.
        stopping.await.unwrap_or(0)
    }

    /// Runs a function where tokio's spawns and timers are found.
    fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _here = self.executor.enter();
        work()
    }

    async fn sleep(&self, time: Duration) {
        self.within(|| tokio::time::sleep(time)).await;
    }

    /// Tells whether another process, which this one follows, still has the store's file: what that one works on cannot
    /// be taken up yet.
    #[cfg(feature = "sidecar")]
    pub(crate) fn is_behind(&self) -> bool {
        self.kept.is_behind()
    }

    fn runs(&self) -> bool {
        matches!(self.root.0.get_status(), ActorStatus::Starting | ActorStatus::Running)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// Returns the executor that this is called on, if it has what a runtime needs.
fn executor() -> Result<Handle, StartError> {
    let executor = Handle::try_current().map_err(|_| StartError::NoExecutor)?;
    // Tokio tells of missing timers by a panic only.
    let timers = std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO)));
    timers.map_err(|_| StartError::NoTimers)?;
    Ok(executor)
}

/// The runtime as actors ask it. It finds the living front at each use, and keeps no runtime alive.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

impl Front {
    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the front is restarted, and once the runtime has stopped. A port in the message is
    /// then closed unanswered.
    pub fn send(&self, message: RouterMessage) -> Result<(), Error> {
        if self.0.front.send(message) { Ok(()) } else { Err(Error::Unavailable) }
    }

    /// Returns the actor that is the front now.
    pub fn get(&self) -> Option<ActorRef<RouterMessage>> {
        self.0.front.get()
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("living", &self.get().map(|front| front.get_id())).finish()
    }
}

/// Events of a runtime, from when it was subscribed to.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// Returns the next event; `None` once the runtime is gone. A subscriber that is more than 1 024 events behind
    /// loses the oldest.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a subscriber is too slow: events were lost");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Returns the next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a subscriber is too slow: events were lost");
                }
                Err(_) => return None,
            }
        }
    }
}

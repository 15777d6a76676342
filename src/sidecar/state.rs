//! The state that all connections share, and the part that a reload replaces.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use http::request::Parts;
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::connection_slots::ConnectionSlots;
use super::intake::Intake;
use super::lingering::Lingering;
use super::loop_marks::Mark;
use super::metrics::Metrics;
use super::pipelining::Arrivals;
use super::refusals::{Reason, Refusals};
use super::settings::{ServerConfig, Settings};
use crate::runtime::Runtime;
use crate::wire::serve::Listing;
use crate::words::locks::{read_lock, write_lock};
use crate::words::{OnExhausted, Price, TargetId};

/// The state that all connections share.
pub(super) struct State {
    pub(super) runtime: Runtime,
    /// The mark that recognises requests that come back.
    pub(super) mark: Mark,
    pub(super) metrics: Arc<Metrics>,
    pub(super) refusals: Refusals,
    pub(super) intake: Intake,
    /// Requests that are on their way.
    pub(super) arrivals: Arrivals,
    /// Calls whose callers have just left.
    pub(super) lingering: Arc<Lingering>,
    /// Places for clients' connections.
    pub(super) places: Arc<ConnectionSlots>,
    current: RwLock<Arc<Current>>,
    /// The TLS settings of new connections.
    tls: RwLock<Option<TlsAcceptor>>,
}

/// The part that a reload replaces.
pub(super) struct Current {
    pub(super) server: ServerConfig,
    pub(super) access: Access,
    /// The names a caller may ask for.
    pub(super) models: Vec<Listing>,
    names: HashSet<String>,
    /// Those of them that take less where no target can answer.
    degrading: HashSet<String>,
}

impl Current {
    /// Takes checked settings, and their targets.
    pub(super) fn new(settings: &Settings, targets: &[(TargetId, Option<Price>)], before: &Access) -> Self {
        let routes = settings.runtime.routes.keys().map(|name| listing(name, "standin"));
        let aliases = settings.runtime.aliases.keys().map(|name| listing(name, "standin"));
        let targets = targets.iter().map(|(target, _)| listing(&target.to_string(), &target.provider));
        let models: Vec<Listing> = routes.chain(aliases).chain(targets).collect();
        let names: HashSet<String> = models.iter().map(|listing| listing.id.clone()).collect();
        let takes_less = |name: &&String| settings.runtime.on_exhausted(name) == OnExhausted::Degrade;
        Self {
            server: settings.server.clone(),
            access: Access::new(&settings.server.keys, before),
            degrading: names.iter().filter(takes_less).cloned().collect(),
            models,
            names,
        }
    }

    /// Tells whether a call by this name takes less where no target can answer.
    pub(super) fn degrades(&self, route: &str) -> bool {
        self.degrading.contains(route)
    }

    /// Sends an unknown name to the default route.
    pub(super) fn route(&self, route: &mut String) {
        if let Some(default) = &self.server.default_route
            && !self.names.contains(route)
        {
            route.clone_from(default);
        }
    }
}

/// When this project began: a list of models needs a date for each.
const CREATED: u64 = 1_763_683_200;

fn listing(id: &str, owner: &str) -> Listing {
    let (id, owner) = (id.to_owned(), owner.to_owned());
    Listing { id, created: CREATED, owner, input_tokens_max: None, output_tokens_max: None }
}

impl State {
    pub(super) fn new(
        runtime: Runtime,
        mark: Mark,
        metrics: Arc<Metrics>,
        current: Current,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let refusals = Refusals::default();
        let intake = Intake::new(current.server.bodies_bytes_max);
        let places = ConnectionSlots::new(current.server.connections_max);
        let (current, tls) = (RwLock::new(Arc::new(current)), RwLock::new(tls));
        let (arrivals, lingering) = (Arrivals::default(), Arc::<Lingering>::default());
        Self { runtime, mark, metrics, refusals, intake, arrivals, lingering, places, current, tls }
    }

    pub(super) fn current(&self) -> Arc<Current> {
        read_lock(&self.current).clone()
    }

    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        read_lock(&self.tls).clone()
    }

    pub(super) fn replace(&self, current: Current, tls: Option<TlsAcceptor>) {
        *write_lock(&self.current) = Arc::new(current);
        *write_lock(&self.tls) = tls;
    }

    pub(super) fn renew(&self, tls: TlsAcceptor) {
        *write_lock(&self.tls) = Some(tls);
    }

    /// Notes that a request is refused.
    pub(super) fn count_refusal(&self, reason: Reason, head: &Parts) {
        self.refusals.note(reason, head.extensions.get::<Peer>().map(|Peer(peer)| *peer), now());
    }
}

/// The sender of a request, as far as its socket knows.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

#[expect(clippy::disallowed_methods, reason = "limits are counted by the clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

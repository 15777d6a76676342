//! A provider as configured: its address, dialect, keys and models.

use std::sync::Arc;

use super::key::KeySpec;
use super::target::TargetSpec;
use crate::policy::admission::AdmissionOptions;
use crate::policy::hint::HintOptions;
use crate::policy::probe::ProbeOptions;
use crate::policy::restart::RestartOptions;
use crate::transport::{Http, Transport, TransportOptions};
use crate::wire::Flavour;
use crate::words::Dialect;

/// The transport of a provider's requests.
#[derive(Clone, Debug)]
pub(crate) enum ProviderTransport {
    /// Over real sockets.
    Http(TransportOptions),
    /// Over a transport of the user's, shared by all incarnations.
    Custom(Arc<dyn Transport>),
}

impl ProviderTransport {
    pub(crate) fn open(&self) -> Result<Arc<dyn Transport>, String> {
        match self {
            Self::Http(options) => Ok(Arc::new(Http::new(options).map_err(|(_, problem)| problem)?)),
            Self::Custom(transport) => Ok(transport.clone()),
        }
    }
}

impl PartialEq for ProviderTransport {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => a == b,
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// A provider as configured. Two that are equal need no new actor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProviderSpec {
    pub(crate) name: Arc<str>,
    pub(crate) dialect: Dialect,
    /// The flavour it speaks with.
    pub(crate) flavour: &'static Flavour,
    pub(crate) base_url: String,
    /// Parameters of every address, escaped; empty where there are none.
    pub(crate) query: String,
    /// Its host, which tells a local fault from a provider's.
    pub(crate) host: String,
    pub(crate) keys: Vec<KeySpec>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) stream_upstream: Option<bool>,
    pub(crate) way: ProviderTransport,
    pub(crate) admission: AdmissionOptions,
    pub(crate) restart: RestartOptions,
    /// Its status page and health address.
    pub(crate) hints: HintOptions,
    /// Whether its targets that are out are asked for a word.
    pub(crate) probe: Option<ProbeOptions>,
    pub(crate) targets: Vec<TargetSpec>,
}

impl ProviderSpec {
    /// Tells whether it goes on with a streamed answer that is no longer read, and bills all of it.
    pub(crate) fn runs_on(&self) -> bool {
        self.flavour.runs_on || matches!(self.dialect, Dialect::Gemini | Dialect::Vertex)
    }

    /// Returns the whole address of a path at this provider.
    pub(crate) fn url(&self, path: &str) -> String {
        let Self { query, flavour, .. } = self;
        let base_url = flavour.base(&self.base_url, path);
        match (query.is_empty(), path.contains('?')) {
            (true, _) => format!("{base_url}{path}"),
            (false, true) => format!("{base_url}{path}&{query}"),
            (false, false) => format!("{base_url}{path}?{query}"),
        }
    }
}

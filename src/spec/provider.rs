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
use crate::words::{Dialect, Failure, FailureClass};

/// The transport of a provider's requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ProviderTransport {
    /// Over real sockets.
    Http(TransportOptions),
    /// Over a transport of the user's, shared by all incarnations.
    Custom(Arc<dyn Transport>),
}

impl ProviderTransport {
    pub(crate) fn open(&self) -> Result<Arc<dyn Transport>, String> {
        match self {
            Self::Http(options) => Ok(Arc::new(Http::new(options).map_err(|error| error.problem)?)),
            Self::Custom(transport) => Ok(transport.clone()),
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
    /// What is known of its path.
    pub(crate) base_path: BasePath,
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

/// What is known of the path of a base address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BasePath {
    /// Nothing speaks against it.
    Whole,
    /// It lacks a part, or has one too many; this address was probably meant.
    Meant(String),
    /// It has no version, as most have, and it is not known what is there.
    Unversioned,
}

impl ProviderSpec {
    /// Returns a failure with what is to be said of the address of a path, where there was nothing at it. One that is
    /// known to lack its own path is wrong until its configuration is corrected.
    pub(crate) fn placed(&self, path: &str, failure: Failure) -> Failure {
        if failure.class != FailureClass::Server || !matches!(failure.status, Some(404 | 405)) {
            return failure;
        }
        let url = self.url(path);
        let url = url.split('?').next().unwrap_or(&url);
        let (class, hint) = match &self.base_path {
            BasePath::Meant(meant) => (FailureClass::WrongAddress, format!(": should base_url be {meant}?")),
            BasePath::Unversioned => (failure.class, ": should base_url end in /v1?".to_owned()),
            BasePath::Whole => (failure.class, String::new()),
        };
        let message = format!("POST {url} was not found{hint} (it said: {})", failure.message);
        Failure { scope: class.consequences().scope, class, message, ..failure }
    }

    /// Tells whether it goes on with a streamed answer that is no longer read, and bills all of it.
    pub(crate) fn runs_on(&self) -> bool {
        self.flavour.runs_on || matches!(self.dialect, Dialect::Gemini | Dialect::Vertex)
    }

    /// Returns the names of its keys; none where it needs none.
    pub(crate) fn key_names(&self) -> Vec<Arc<str>> {
        self.keys.iter().filter(|key| key.source.is_some()).map(|key| key.name.clone()).collect()
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

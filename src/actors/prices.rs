//! The lists of prices that go before the catalogue's, as they were taken in last.
//!
//! A list that cannot be had, or is wrong, leaves what was there before in its place, and health says so. An attempt
//! keeps the price that its target had when it was planned.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};

use super::blocking_pool::{BlockingPool, LONG_BYTES};
use super::clock::now;
use crate::catalog::PriceList;
use crate::source::{Version, read_file};
use crate::spec::{PricesSpec, TargetSpec};
use crate::transport::{Http, Transport};
use crate::words::Price;
use crate::words::locks::lock;

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The longest that an address may take to give its list.
const TAKE_MAX: Duration = Duration::from_secs(10);
/// The longest list: ten thousand models in the words of others take some megabytes.
const BYTES_MAX: usize = 16 << 20;

/// The lists, the one first that goes before the others.
#[derive(Default)]
pub(crate) struct Prices(Mutex<Vec<PriceSource>>);

/// How one list of prices fares.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PricesHealth {
    /// The file or the address that it is from.
    pub from: Arc<str>,
    /// How many prices it lists; 0 before it was taken in.
    pub listed: usize,
    /// When it was taken in.
    pub taken_at: Option<Instant>,
    /// Why it was not taken in anew when it was looked at last: what was taken in before holds.
    pub problem: Option<Arc<str>>,
}

#[derive(Clone)]
struct PriceSource {
    at: PriceLocation,
    list: Arc<PriceList>,
    /// When that was taken in.
    taken: Option<Instant>,
    problem: Option<Arc<str>>,
    /// The version of a file that was read last, whether or not it was right.
    version: Option<Version>,
    /// When it is to be looked at next.
    due: Instant,
}

#[derive(Clone, Debug, PartialEq)]
enum PriceLocation {
    File(PathBuf),
    /// An address, how often it is asked, and how.
    Address(String, PricesSpec),
}

impl Prices {
    /// Takes prices from these sources from now on. What a source has given stays; a file, and an address that has
    /// given nothing yet, are looked at before this returns.
    pub(crate) async fn replace(&self, spec: &PricesSpec, blocking_pool: &BlockingPool) {
        let file = spec.file.clone().map(PriceLocation::File);
        let address =
            spec.url.clone().map(|url| PriceLocation::Address(url, PricesSpec { file: None, ..spec.clone() }));
        let places: Vec<PriceLocation> = file.into_iter().chain(address).collect();
        self.turn_to(places);
        self.look_at(blocking_pool, |source| matches!(source.at, PriceLocation::File(_)) || source.taken.is_none())
            .await;
    }

    fn turn_to(&self, places: Vec<PriceLocation>) {
        let (mut sources, due) = (lock(&self.0), now());
        let source = |at: PriceLocation| match sources.iter().find(|known| known.at == at) {
            Some(known) => PriceSource { due, ..known.clone() },
            None => PriceSource { at, list: Arc::default(), taken: None, problem: None, version: None, due },
        };
        let replaced = places.into_iter().map(source).collect();
        *sources = replaced;
    }

    /// Looks at every source that is due. Tells whether another list was taken in.
    pub(crate) async fn look(&self, blocking_pool: &BlockingPool) -> bool {
        let now = now();
        self.look_at(blocking_pool, |source| source.due <= now).await
    }

    /// Returns how long no source is due; `None` where there is none.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let due = lock(&self.0).iter().map(|source| source.due).min()?;
        Some(due.saturating_duration_since(now()))
    }

    /// Returns what a target costs: as configured, else as listed, else by the catalogue.
    pub(super) fn of(&self, spec: &TargetSpec) -> Option<Price> {
        let Some(listing) = &spec.listing else { return spec.price.clone() };
        lock(&self.0).iter().find_map(|source| source.list.price(listing)).or_else(|| spec.price.clone())
    }

    /// Returns how the sources fare.
    pub(crate) fn health(&self) -> Vec<PricesHealth> {
        let health = |source: &PriceSource| PricesHealth {
            from: source.at.told().into(),
            listed: source.list.len(),
            taken_at: source.taken,
            problem: source.problem.clone(),
        };
        lock(&self.0).iter().map(health).collect()
    }

    async fn look_at(&self, blocking_pool: &BlockingPool, which: impl Fn(&PriceSource) -> bool) -> bool {
        let due: Vec<PriceSource> = lock(&self.0).iter().filter(|source| which(source)).cloned().collect();
        let mut is_changed = false;
        for source in due {
            let (version, read) = source.read(blocking_pool).await;
            let mut sources = lock(&self.0);
            // It may have been replaced meanwhile.
            if let Some(known) = sources.iter_mut().find(|known| known.at == source.at) {
                known.due = now() + source.every();
                is_changed |= known.take(version, read);
            }
        }
        is_changed
    }
}

/// A list that was read; nothing, where it is the one that is known.
type Read = Result<Option<PriceList>, String>;

impl PriceSource {
    fn every(&self) -> Duration {
        match &self.at {
            PriceLocation::File(_) => LOOK,
            PriceLocation::Address(_, spec) => spec.every,
        }
    }

    async fn read(&self, blocking_pool: &BlockingPool) -> (Option<Version>, Read) {
        let (version, bytes) = match &self.at {
            PriceLocation::File(path) => match read_file(path.clone(), self.version, BYTES_MAX as u64).await {
                Ok(None) => return (self.version, Ok(None)),
                Ok(Some((version, bytes))) => (Some(version), Ok(bytes)),
                Err(problem) => (None, Err(problem)),
            },
            PriceLocation::Address(url, spec) => {
                let fetched = tokio::time::timeout(TAKE_MAX, fetch(url, spec)).await;
                let fetched = fetched.unwrap_or_else(|_| Err(format!("gave no list within {TAKE_MAX:?}")));
                (None, fetched)
            }
        };
        match bytes {
            Ok(bytes) => {
                (version, blocking_pool.run(bytes.len() > LONG_BYTES, move || PriceList::read(&bytes)).await.map(Some))
            }
            Err(problem) => (version, Err(problem)),
        }
    }

    /// Takes in what was read. Tells whether that is another list.
    fn take(&mut self, version: Option<Version>, read: Read) -> bool {
        self.version = version;
        let from = self.at.told();
        match read {
            Ok(None) => false,
            Ok(Some(list)) => {
                let was_ill = self.problem.take().is_some();
                let is_changed = *self.list != list;
                if was_ill || is_changed {
                    tracing::info!(%from, listed = list.len(), "prices were taken in anew");
                }
                (self.list, self.taken) = (Arc::new(list), Some(now()));
                is_changed
            }
            Err(problem) => {
                if self.problem.as_deref() != Some(&problem) {
                    tracing::error!(%from, problem, "prices stay as they were");
                }
                self.problem = Some(problem.into());
                false
            }
        }
    }
}

impl PriceLocation {
    /// Returns it as it is told: an address without what follows its path, which may hold a key.
    fn told(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Address(url, _) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        }
    }
}

/// Asks an address for its list.
async fn fetch(url: &str, spec: &PricesSpec) -> Result<Vec<u8>, String> {
    let http = Http::new(&spec.transport).map_err(|error| error.problem)?;
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    // What is wrong with an address may repeat it.
    let response = http.get(url.to_owned(), headers).await.map_err(|_| "cannot be reached".to_owned())?;
    if response.status != 200 {
        return Err(format!("answers {}", response.status));
    }
    response.whole(BYTES_MAX).await
}

//! Where prices are listed, beside the catalogue.

use std::path::PathBuf;
use std::time::Duration;

use crate::transport::TransportOptions;

/// Where prices are listed that go before the catalogue's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PricesSpec {
    /// A file. It goes before the address.
    pub(crate) file: Option<PathBuf>,
    /// An address.
    pub(crate) url: Option<String>,
    /// How often that is asked.
    pub(crate) every: Duration,
    /// How.
    pub(crate) transport: TransportOptions,
}

//! The clock that everything here goes by: tokio's, which tests may pause.

use std::time::{Instant, SystemTime};

/// Reads the clock.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Reads the wall's clock: what people read, what outlives the process and what dates say goes by that. It may be set.
#[expect(clippy::disallowed_methods, reason = "the one place here that reads it")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

//! The clock that everything here goes by: tokio's, which tests may pause.

use std::time::Instant;

/// Reads the clock.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

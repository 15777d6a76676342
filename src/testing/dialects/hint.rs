//! The headers of a 429 that all dialects write in the same way.

use std::time::{Duration, SystemTime};

use super::Headers;
use crate::testing::fault::RetryHint;
use crate::testing::gauge::whole_seconds;

/// The farthest date a `retry-after` names, from now: HTTP's dates have four digits for the year.
const RETRY_DATE_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Returns `retry-after` in the hint's form; nothing for the hints that each dialect has its own form of.
pub(super) fn retry_after(hint: RetryHint) -> Headers {
    match hint {
        RetryHint::Seconds(wait) => vec![("retry-after", wait.as_secs_f64().to_string())],
        RetryHint::Millis(wait) => vec![("retry-after-ms", wait.as_millis().to_string())],
        RetryHint::Date(wait) => {
            #[expect(clippy::disallowed_methods, reason = "a date is wall time")]
            let now = SystemTime::now();
            let then = now + whole_seconds(wait.min(RETRY_DATE_MAX));
            vec![("date", httpdate::fmt_http_date(now)), ("retry-after", httpdate::fmt_http_date(then))]
        }
        RetryHint::Silent | RetryHint::Reset(_) | RetryHint::Text(_) => Vec::new(),
    }
}

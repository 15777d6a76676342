//! Latencies that are spread more widely than one would guess, at targets of which nothing is known yet.

use std::time::Duration;

use standin::testing::{Latency, Script};

use super::kit::*;

#[test]
fn no_call_leaves_a_target_with_widely_spread_latencies_after_a_cold_start() {
    // A hundred callers, one after the other, or at once; as slow as they are said to be, or twice.
    for (every, slower) in [(SECOND / 3, 1), (SECOND / 3, 2), (SECOND / 500, 1), (SECOND / 500, 2)] {
        let mut opened = 0;
        for seed in 1..=10 {
            let work = Work { seed, every, lasting: every * 100, ..Work::default() };
            let wide = |index: usize, script: Script| {
                let median: Duration = work.first_tokens[index] * slower;
                Script { first_token: Latency::LogNormal { median, sigma: 1.0 }, ..script }
            };
            let day = day(&work, wide, |_| Box::pin(async {}));
            assert!(day.failures().is_empty(), "{:?}", day.failures());
            opened += ["a", "b", "c"].into_iter().map(|name| day.opened(name)).sum::<usize>();
        }
        assert_eq!(opened, 0, "every {every:?}, {slower} times as slow");
    }
}

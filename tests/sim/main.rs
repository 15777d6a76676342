//! The whole runtime over scripted providers, for hours of paused time: outages, and what callers notice of them.
//!
//! Counted is what the providers saw, never what the runtime believes. `--nocapture` prints a line for each scenario.

#![expect(clippy::unchecked_time_subtraction, reason = "a panic is how a test fails")]

mod kit;
mod outage;
mod scenarios;
mod simulator;
mod spread;
mod twins;

//! The whole runtime over scripted providers, for hours of paused time: outages, and their effect on callers.
//!
//! Counts are the providers', never the runtime's. `--nocapture` prints a line for each scenario.

#![expect(clippy::unchecked_time_subtraction, reason = "a panic is how a test fails")]

mod kit;
mod outage;
mod scenarios;
mod simulator;
mod spread;
mod twins;

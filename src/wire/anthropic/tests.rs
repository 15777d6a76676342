//! Requests against JSON written by hand and against recorded ones, answers against their expected result.

mod recorded;
mod replies;
mod requests;

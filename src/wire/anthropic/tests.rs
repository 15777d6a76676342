//! Requests against JSON written by hand and against recorded ones, answers against what they must come to.

mod recorded;
mod replies;
mod requests;

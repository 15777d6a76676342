//! Floor 2: pure codecs, bytes to words and back.
//!
//! In flow requests and the bytes a provider sent, out flow bodies, pieces of answers and classified failures.
//! Nothing here may ever touch a socket, a clock or a policy: what a failure means for routing is not known here.

pub mod sse;
pub mod headers;
pub mod classify;
pub mod openai;

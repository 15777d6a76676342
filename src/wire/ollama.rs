//! Ollama's own dialect, beside the OpenAI base that it offers, too.
//!
//! Input: requests and the JSON inside of answers. Output: bodies, pieces and what the answer's draft needs to be
//! judged. A stream is one JSON object a line, without any framing around it. No tool can be forced here.

mod request;
mod shape;
mod reply;

pub(super) use reply::read;
pub(super) use request::encode;

#[cfg(test)]
mod tests;

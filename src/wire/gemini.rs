//! The dialect of Google's `generateContent`, as AI Studio and Vertex AI speak it.
//!
//! Input: requests and the JSON inside of answers. Output: bodies, pieces and what the answer's draft needs to be
//! judged. The two differ in the key's header, in that Vertex knows no ids of tool calls, and in that neither can read
//! the other's proofs. A stream has no terminal marker: it is whole when a chunk gave the reason of its end.

mod family;
mod conversation;
mod request;
mod shape;
mod reply;

pub(super) use reply::{read_event, read_whole};
pub(super) use request::{encode, path, resource};

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::wire::request::secret;
use crate::words::{Dialect, Failure, Secret};

/// Puts a key into the headers: an API key, or Vertex's access token.
pub(super) fn authorize(dialect: Dialect, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    if dialect == Dialect::Vertex {
        headers.insert(AUTHORIZATION, secret("Bearer ", key)?);
    } else {
        headers.insert(HeaderName::from_static("x-goog-api-key"), secret("", key)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

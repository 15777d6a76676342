//! The dialect of OpenAI's chat completions, which most providers speak with an accent.
//!
//! In flow requests and the JSON inside of answers, out flow bodies, pieces and what the answer's draft needs to be
//! judged. Reading is tolerant: every field is optional, unknown ones are skipped, kinds may vary.

mod reply;
mod request;

pub(super) use reply::{read_event, read_whole};
pub(super) use request::encode;

use http::header::{AUTHORIZATION, HeaderMap};

use crate::wire::request::secret;
use crate::words::{Failure, Secret};

/// Puts a key into the headers as a bearer token.
pub(super) fn authorize(key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    headers.insert(AUTHORIZATION, secret("Bearer ", key)?);
    Ok(())
}

#[cfg(test)]
mod tests;

//! The dialect of OpenAI's chat completions, which most providers speak with a flavour.
//!
//! Input: requests and the JSON inside of answers. Output: bodies, pieces and what the answer's draft needs to be
//! judged. Reading is tolerant: every field is optional, unknown ones are skipped, kinds may vary.

mod arrange;
mod call_patch;
mod google;
mod messages;
mod request;
mod shape;
mod reply;

pub(super) use messages::{FileData, UNNAMED, WireAudio, format};
pub(super) use reply::{read_event, read_whole};
pub(super) use request::encode;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::wire::flavour::Flavour;
use crate::wire::request::secret;
use crate::words::{Failure, Secret};

/// The name of an assistant's speech: it is beside a message's content.
pub(super) const SPOKEN: &str = "audio";

/// Puts a key into its header, as a bearer token where that is the usual one.
pub(super) fn authorize(flavour: &Flavour, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    let name = HeaderName::from_static(flavour.key_header);
    let prefix = if name == AUTHORIZATION { "Bearer " } else { "" };
    headers.insert(name, secret(prefix, key)?);
    Ok(())
}

#[cfg(test)]
mod tests;

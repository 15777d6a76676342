//! The dialect of Anthropic's messages, which several others take as well.
//!
//! Input: requests and the JSON inside of answers. Output: bodies, pieces and what the answer's draft needs to be
//! judged. `turns` brings the conversation of another dialect into shape; the table in `models` says what a generation
//! of models takes. Reading is tolerant: every field is optional, unknown ones are skipped. The caller says what is to
//! be cached of a prompt, by a `cache_control` among the request's extra fields.

mod models;
pub(super) mod proof;
mod schema;
mod shape;
mod reply;
mod turns;
mod request;

pub(super) use models::maker;
pub(super) use reply::{maker_of, read_event, read_whole};
pub(super) use request::{VERSION, encode};

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::wire::flavour::Flavour;
use crate::wire::request::secret;
use crate::words::{Failure, Secret};

/// The name of a billing line, which agents put before all other text of the system prompt.
pub(super) const INVOICE: &str = "invoice";

/// The one kind of document taken by value, beside plain text.
pub(super) const DOCUMENT_TYPE: &str = "application/pdf";

/// The name of a system block that the common form cannot express: it is beside the messages.
pub(super) const SYSTEM: &str = "system";

/// How keys of a login begin: they are bearer tokens.
const TOKEN_PREFIX: &str = "sk-ant-oat";

/// Puts a key into the headers.
pub(super) fn authorize(flavour: &Flavour, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    if flavour.messages.is_some() || key.expose().starts_with(TOKEN_PREFIX) {
        headers.insert(AUTHORIZATION, secret("Bearer ", key)?);
    } else {
        headers.insert(HeaderName::from_static("x-api-key"), secret("", key)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

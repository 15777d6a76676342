//! The dialect of Anthropic's messages, which several others take as well.
//!
//! In flow requests and the JSON inside of answers, out flow bodies, pieces and what the answer's draft needs to be
//! judged. What a conversation of another dialect holds is brought into shape in `turns`, what a generation of models
//! takes stands in the table in `models`. Reading is tolerant: every field is optional, unknown ones are skipped.
//! What is to be cached of a prompt is the caller's to say, by a `cache_control` among the request's extra fields.

mod edit;
mod models;
pub(super) mod proof;
mod reply;
mod request;
mod schema;
mod shape;
mod turns;

pub(super) use models::maker;
pub(super) use reply::{read_event, read_whole};
pub(super) use request::encode;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use crate::wire::flavour::Flavour;
use crate::wire::request::secret;
use crate::words::{Failure, Secret};

/// What it is called that an agent tells its provider of what to charge, before everything else that the system says.
pub(super) const INVOICE: &str = "invoice";

/// The one kind of document taken by value, beside plain text.
pub(super) const DOCUMENT_TYPE: &str = "application/pdf";

/// What a block of the system is called that there are no words for: it stands beside the messages.
pub(super) const SYSTEM: &str = "system";

/// How keys begin that a login issued: they are bearer tokens.
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

//! An answer that went on as it came, for a caller that asks for it in the other form.

use bytes::Bytes;

use super::CallerDialect;
use super::openai;
use crate::wire::forms::{events_of, whole_of};
use crate::words::Usage;

/// Returns an answer's bytes, a stream or whole, in the other form. A stream of chat completions ends with the usage
/// where that is wanted; a whole says it also where its stream did not.
pub fn in_other_form(
    caller_dialect: CallerDialect,
    came_as_stream: bool,
    came: &[u8],
    wants_usage: bool,
    usage: &Usage,
) -> Bytes {
    let dialect = caller_dialect.dialect();
    if !came_as_stream {
        return events_of(dialect, came, wants_usage).into();
    }
    let whole = whole_of(dialect, came);
    if caller_dialect == CallerDialect::OpenAiChat { openai::with_usage(whole, usage) } else { whole }.into()
}

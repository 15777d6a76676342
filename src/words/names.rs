//! Limits of the names that callers give, so that one caller cannot fill the memory of them.

use std::collections::BTreeMap;
use std::fmt;

use super::error::Error;

/// The longest name that a caller gives anything: a route, a session, a label, a tag or its value; in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The most labels, and the most tags, of one request.
const NAMES_MAX: usize = 64;
/// How much of a caller's text a message repeats, in bytes.
const SHOWN_BYTES_MAX: usize = 128;

/// A caller's text as messages repeat it: the beginning of a long one, without control characters. Messages go into
/// answers, logs and records, and no caller may fill these or command the terminal that they are read at.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = &self.0[..self.0.floor_char_boundary(SHOWN_BYTES_MAX)];
        begin.split(char::is_control).try_for_each(|piece| f.write_str(piece))?;
        f.write_str(if begin.len() < self.0.len() { "…" } else { "" })
    }
}

/// Returns what is wrong with a name that the configuration gives anything, if something is: callers must be able to
/// write it, and logs to show it.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("must be a name of 1 to 256 bytes, and is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("must be a name of 1 to 256 bytes, and is longer")
    } else if name.contains(char::is_control) {
        Some("must be a name without control characters, a line break for one")
    } else if name.trim() != name {
        Some("must be a name without a blank at either end")
    } else {
        None
    }
}

/// Checks what a request names.
pub(super) fn check(
    route: &str,
    session: Option<&str>,
    labels: &[String],
    tags: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let invalid = |field: &str, problem: String| Err(Error::Invalid { field: field.into(), problem });
    for (field, count) in [("labels", labels.len()), ("tags", tags.len())] {
        if count > NAMES_MAX {
            return invalid(field, format!("are {count}; a request has {NAMES_MAX} at most"));
        }
    }
    let of_tags = tags.iter().flat_map(|(name, value)| [("tags", name.as_str()), ("tags", value)]);
    let names = [("route", route)].into_iter().chain(session.map(|session| ("session", session)));
    let mut names = names.chain(labels.iter().map(|label| ("labels", label.as_str()))).chain(of_tags);
    match names.find(|(_, name)| name.len() > NAME_BYTES_MAX) {
        Some((field, name)) => {
            let problem = format!("has a name of {} bytes; the longest has {NAME_BYTES_MAX}", name.len());
            invalid(field, problem)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChatRequest, EmbedRequest};

    use super::*;

    type Edit = fn(&mut ChatRequest, String);

    #[test]
    fn a_message_repeats_the_beginning_of_a_long_text() {
        assert_eq!((Shown("").to_string(), Shown("t\x1b\nool").to_string()), (String::new(), "tool".to_owned()));
        let long = Shown(&"ß".repeat(1_000)).to_string();
        assert_eq!((long.chars().count(), long.ends_with("ß…")), (65, true));
    }

    #[test]
    fn names_of_callers_have_a_limit_and_the_error_names_the_field() {
        let (good, long) = ("n".repeat(NAME_BYTES_MAX), "n".repeat(NAME_BYTES_MAX + 1));
        let edits: [(&str, Edit); 5] = [
            ("route", |request, name| request.route = name),
            ("session", |request, name| request.session = Some(name)),
            ("labels", |request, name| request.labels = vec!["eu".into(), name]),
            ("tags", |request, name| request.tags = BTreeMap::from([(name, String::new())])),
            ("tags", |request, name| request.tags = BTreeMap::from([("team".into(), name)])),
        ];
        for (field, edit) in edits {
            let mut request = ChatRequest::new("smart").user("Hi");
            edit(&mut request, good.clone());
            assert_eq!(request.check(), Ok(()), "{field}");
            edit(&mut request, long.clone());
            let said = request.check().expect_err(field).to_string();
            assert!(said.contains(field) && !said.contains(&long), "{said}");
        }
        assert!(EmbedRequest::new(long, ["a"]).check().is_err());
        let many: Vec<String> = (0..=NAMES_MAX).map(|at| at.to_string()).collect();
        assert!(ChatRequest { labels: many, ..ChatRequest::new("smart").user("Hi") }.check().is_err());
    }
}

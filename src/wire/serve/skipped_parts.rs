//! What a reader cannot read is set aside: it goes as it came to targets of the caller's dialect, which decide.
//!
//! Input: what is wrong with a body, again and again. Output: the body without that, and in the end the request that
//! says so: its parts are foreign ones, its fields are needed. Each time something nearer to the body's root is set
//! aside, so that it ends. Only what must be known here is refused: the model, whether to stream, the conversation as
//! such, and what has more values than are read.

use std::collections::HashSet;

use super::node::{Node, Object};
use super::unread::is_named;
use super::{BadRequest, CallerDialect};
use crate::words::{ChatRequest, Demanded, Unread};

/// Fields that must be read: they say who is asked, how the answer goes back, and whether this program can give it.
const KNOWN: [&str; 4] = ["model", "stream", "background", "generateContentRequest"];
/// Fields whose entries may be set aside, but which must be there: what a target is sent must be known in its size.
const TALK: [&str; 3] = ["messages", "input", "contents"];
/// Lists whose entries are carried, each by itself, where there are no words for it.
const CARRIED: [&str; 8] = ["messages", "input", "contents", "system", "tools", "content", "parts", "output"];
/// How often a body is read again. What is wrong in one list is found at once.
const READ_MAX: usize = 16;
/// How much is told of what could not be read, and of each part of it.
const TOLD_MAX: usize = 16;
const LETTERS_MAX: usize = 200;

/// What is set aside of a body.
#[derive(Default)]
pub(super) struct SkippedParts {
    paths: HashSet<String>,
    unread: Vec<Unread>,
    read: usize,
}

impl SkippedParts {
    /// Sets it aside in a body that is about to be read.
    pub(super) fn set(&self, caller_dialect: CallerDialect, body: &mut Object<'_>) {
        for path in &self.paths {
            if let Some(node) = find(caller_dialect, body, path) {
                node.put_aside();
            }
        }
    }

    /// Takes what is wrong; fails with it where it must be known, or no more of it can be set aside.
    pub(super) fn learn(&mut self, mut bad: BadRequest) -> Result<(), BadRequest> {
        self.read += 1;
        if bad.is_final || self.read >= READ_MAX {
            return Err(bad);
        }
        let more = std::mem::take(&mut bad.more);
        let before = self.paths.clone();
        for bad in std::iter::once(bad).chain(more) {
            let path = removable_paths(&bad.field).find(|path| !before.contains(*path)).map(str::to_owned);
            let Some(path) = path else { return Err(self.first(bad)) };
            if self.unread.len() < TOLD_MAX && !self.unread.iter().any(|unread| is_within(&unread.field, &path)) {
                let problem = bad.problem.chars().take(LETTERS_MAX).collect();
                self.unread.push(Unread { field: bad.field, problem });
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// Returns what was wrong at first where now something else is, since that is set aside.
    fn first(&self, bad: BadRequest) -> BadRequest {
        let top = top(&bad.field);
        let before = self.unread.iter().find(|unread| is_within(&unread.field, top));
        before.map_or(bad, |unread| BadRequest::new(&unread.field, unread.problem.clone()))
    }

    /// Tells a request what it does not say: its parts are foreign ones already, its fields are needed.
    pub(super) fn finish(self, request: &mut ChatRequest) {
        // A part that stands where a list is expected leaves no foreign part behind.
        let is_carried = request.demands().iter().any(|demand| matches!(demand.what, Demanded::Foreign(..)));
        for path in &self.paths {
            let is_part = is_carried && path.ends_with(']') && CARRIED.contains(&top(path));
            if !is_part && !request.extra_needed.iter().any(|field| field == top(path)) {
                request.extra_needed.push(top(path).to_owned());
            }
        }
        if let Some(original) = &mut request.original {
            original.unread = self.unread;
        }
    }
}

/// Returns what may be set aside for something wrong, from the innermost outwards: a field within fields, an entry of a
/// list that is carried by itself, and in the end the body's own field.
fn removable_paths(field: &str) -> impl Iterator<Item = &str> {
    let top = self::top(field);
    let is_list = field[top.len()..].starts_with('[');
    let ends = field.char_indices().filter_map(move |(at, letter)| match letter {
        ']' if is_list => Some(at + 1),
        '.' if !is_list => Some(at),
        _ => None,
    });
    let mut ends: Vec<usize> =
        ends.chain((!is_list).then_some(field.len())).chain(is_list.then_some(top.len())).collect();
    ends.sort_unstable();
    ends.dedup();
    let is_known = top.is_empty() || KNOWN.contains(&top);
    let ways = ends.into_iter().rev().map(|end| &field[..end]);
    ways.filter(move |way| {
        let is_carried = !is_list || steps(way).all(|(name, at)| at.is_none() || CARRIED.contains(&name));
        !is_known && is_carried && !(*way == top && TALK.contains(&top))
    })
}

/// Returns the name of the body's field on a way.
fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// Tells whether a way leads to a place or into it.
fn is_within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Returns the steps of a way: a field, and an entry of it.
fn steps(path: &str) -> impl Iterator<Item = (&str, Option<usize>)> {
    path.split('.').map(|step| match step.split_once('[') {
        Some((name, at)) => (name, at.trim_end_matches(']').parse().ok()),
        None => (step, None),
    })
}

/// Finds a value by its way.
fn find<'n, 'a>(caller_dialect: CallerDialect, body: &'n mut Object<'a>, path: &str) -> Option<&'n mut Node<'a>> {
    let mut steps = steps(path).peekable();
    let mut object = body;
    loop {
        let (name, at) = steps.next()?;
        let node = match (at, object.named(|field| is_named(caller_dialect, field, name))?) {
            (Some(at), Node::List(list)) => list.get_mut(at)?,
            // One that stands alone is a list of one.
            (_, node) => node,
        };
        match (steps.peek(), node) {
            (None, node) => return Some(node),
            (Some(_), Node::Object(inner)) => object = inner,
            (Some(_), _) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_that_is_carried_by_itself_is_set_aside_first() {
        let ways = |field: &str| removable_paths(field).map(str::to_owned).collect::<Vec<_>>();
        for (field, expected) in [
            ("temperature", &["temperature"][..]),
            (
                "response_format.json_schema.schema",
                &["response_format.json_schema.schema", "response_format.json_schema", "response_format"],
            ),
            ("messages[2].content[0].text", &["messages[2].content[0]", "messages[2]"]),
            ("messages[2].tool_calls[1].function.name", &["messages[2]"]),
            (
                "messages[0].content[1].content[2]",
                &["messages[0].content[1].content[2]", "messages[0].content[1]", "messages[0]"],
            ),
            ("input[3].summary[0].text", &["input[3]"]),
            ("tools[0].function.name", &["tools[0]", "tools"]),
            ("stop[1]", &["stop"]),
            ("messages", &[]),
            ("model", &[]),
            ("", &[]),
        ] {
            assert_eq!(ways(field), expected, "{field}");
        }
    }
}

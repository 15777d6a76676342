//! Cache marks, on their way to another dialect.
//!
//! Input: a caller's body as it came and the body that was written anew for a target that reads such marks. Output: the
//! latter with each mark in its place: at the same tool, result or text. Nothing else is marked, and a mark whose place
//! is not there any more is left out: that costs money, but changes no meaning.

use std::borrow::Cow;

use super::edit::{Array, Edits, Object, find, says_the_same, text};
use super::flavour::Flavour;
use super::names::Names;
use crate::words::{Dialect, Original, Payload};

/// The name of a mark in both dialects that have it.
const MARK: &str = "cache_control";
/// The most marks that Anthropic takes ("A maximum of 4 blocks with `cache_control` may be provided").
const MARKS_MAX: usize = 4;

/// A place that can be marked.
struct MarkPosition<'a> {
    what: MarkOwner<'a>,
    holder: Holder<'a>,
    mark: Option<&'a str>,
}

#[derive(Clone)]
enum MarkOwner<'a> {
    Tool(Cow<'a, str>),
    Result(Cow<'a, str>),
    /// A text, as it is written: it may be long.
    Text(&'a str),
}

impl MarkOwner<'_> {
    /// Tells whether another is the same.
    fn is(&self, other: &MarkOwner<'_>) -> bool {
        match (self, other) {
            (Self::Tool(one), MarkOwner::Tool(other)) | (Self::Result(one), MarkOwner::Result(other)) => one == other,
            (Self::Text(one), MarkOwner::Text(other)) => says_the_same(one, other),
            _ => false,
        }
    }

    /// Tells whether it is a text of which another was a part.
    fn holds(&self, part: &MarkOwner<'_>) -> bool {
        let (Self::Text(whole), MarkOwner::Text(part)) = (self, part) else { return false };
        matches!((text(whole), text(part)), (Some(whole), Some(part)) if whole.contains(&*part))
    }
}

/// What holds the mark.
enum Holder<'a> {
    /// An object that can have it.
    Block(&'a str),
    /// A plain text, which becomes a block.
    Plain(&'a str),
}

/// Returns a body that was written anew with the marks of the one that came, where the target reads them.
pub(super) fn carried(original: &Original, to: (Dialect, &Flavour), names: &Names, body: Payload) -> Payload {
    let (dialect, flavour) = to;
    let reads = match dialect {
        Dialect::AnthropicMessages => true,
        Dialect::OpenAiChat => flavour.marks,
        _ => false,
    };
    let says = matches!(original.dialect, Dialect::AnthropicMessages | Dialect::OpenAiChat);
    if !reads || !says || dialect == original.dialect || !original.marks.cached {
        return body;
    }
    let whole = body.whole();
    // Its pieces are not needed beside it.
    drop(body);
    match (std::str::from_utf8(&original.body), std::str::from_utf8(&whole)) {
        (Ok(theirs), Ok(ours)) => marked(theirs, ours, names).finish_in(&whole),
        _ => whole.into(),
    }
}

/// Puts the marks of one body into another.
fn marked<'o>(theirs: &str, ours: &'o str, names: &Names) -> Edits<'o> {
    let (from, to) = (places(theirs), places(ours));
    let marks: Vec<_> = (0..from.len()).filter_map(|at| Some((at, from[at].mark?))).collect();
    let mut edits = Edits::new(ours);
    let mut taken = Vec::new();
    for (at, mark) in &marks[marks.len().saturating_sub(MARKS_MAX)..] {
        let what = match &from[*at].what {
            MarkOwner::Tool(name) => MarkOwner::Tool(names.sent(name).into()),
            what => what.clone(),
        };
        // Repeated texts are told apart by how often they came before.
        let before = match what {
            MarkOwner::Text(_) => from[..*at].iter().filter(|place| place.what.is(&what)).count(),
            _ => 0,
        };
        let same = (0..to.len()).filter(|at| to[*at].what.is(&what)).nth(before);
        let Some(place) = same.or_else(|| to.iter().position(|place| place.what.holds(&what))) else { continue };
        if !taken.contains(&place) {
            taken.push(place);
            to[place].holder.mark(mark, &mut edits);
        }
    }
    edits
}

/// Returns what can be marked in a body of either dialect, in the order in which it is read.
fn places(body: &str) -> Vec<MarkPosition<'_>> {
    let list = |name: &str| find(body, &[name]).and_then(Array::of);
    let mut all = Vec::new();
    for tool in list("tools").iter().flat_map(Array::items) {
        let name = find(tool, &["name"]).or_else(|| find(tool, &["function", "name"])).and_then(text);
        let mark = find(tool, &[MARK]).or_else(|| find(tool, &["function", MARK]));
        all.extend(name.map(|name| MarkPosition { what: MarkOwner::Tool(name), holder: Holder::Block(tool), mark }));
    }
    if let Some(system) = find(body, &["system"]) {
        said(system, None, None, &mut all);
    }
    for message in list("messages").iter().flat_map(Array::items) {
        let result = find(message, &["tool_call_id"]).and_then(text);
        if let Some(content) = find(message, &["content"]) {
            said(content, result.as_ref(), find(message, &[MARK]), &mut all);
        }
    }
    all
}

/// Adds what can be marked of a content: all of it, which may be marked as a whole, or its blocks.
fn said<'a>(content: &'a str, result: Option<&Cow<'a, str>>, mark: Option<&'a str>, all: &mut Vec<MarkPosition<'a>>) {
    let what = |said: &'a str| result.cloned().map_or(MarkOwner::Text(said), MarkOwner::Result);
    let is_text = |json: &&str| json.starts_with('"');
    if is_text(&content) {
        all.push(MarkPosition { what: what(content), holder: Holder::Plain(content), mark });
        return;
    }
    for block in Array::of(content).iter().flat_map(Array::items) {
        let called = find(block, &["tool_use_id"]).and_then(text).map(MarkOwner::Result);
        let what = called.or_else(|| find(block, &["text"]).filter(is_text).map(what));
        all.extend(what.map(|what| MarkPosition { what, holder: Holder::Block(block), mark: find(block, &[MARK]) }));
    }
}

impl<'a> Holder<'a> {
    fn mark(&self, mark: &str, edits: &mut Edits<'a>) {
        // Its scope is asked for in advance, of Anthropic alone.
        let mark = without_scope(mark);
        match self {
            Self::Block(block) => {
                if let Some(mut block) = Object::of(block) {
                    block.set(MARK, mark.into_owned(), edits);
                    block.finish(edits);
                }
            }
            Self::Plain(plain) => {
                edits.replace(plain, format!(r#"[{{"type":"text","text":{plain},"{MARK}":{mark}}}]"#));
            }
        }
    }
}

/// Returns a mark without its scope.
fn without_scope(mark: &str) -> Cow<'_, str> {
    let mut edits = Edits::new(mark);
    if let Some(mut object) = Object::of(mark)
        && object.remove("scope")
    {
        object.finish(&mut edits);
    }
    edits.finish()
}

//! A value whose parts change and grow, in the order in which it came.

use crate::wire::edit::{Array, members, quoted};

/// A value: what is not looked into stays as it is written.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A number, a word, or what was not looked into.
    Raw(String),
    /// A text as it is written, without its quotes: two follow each other as they would have been written at once.
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Texts that are said once, not in pieces: a later one replaces an earlier.
const ONCE: [&str; 8] = ["format", "id", "index", "model", "name", "object", "role", "type"];

/// How far down a value is looked into: no client's form of an answer is deeper, and a provider's may be without end.
const DEPTH_MAX: usize = 32;

impl Node {
    /// Reads a value's outermost layer.
    pub(super) fn of(json: &str) -> Self {
        let json = json.trim_ascii();
        match json.bytes().next() {
            Some(b'{') => {
                let all = members(json);
                Self::Object(all.into_iter().map(|it| (it.name.into_owned(), raw(it.value))).collect())
            }
            Some(b'[') => Self::List(Array::of(json).iter().flat_map(Array::items).map(raw).collect()),
            Some(b'"') if json.len() > 1 => said(&json[1..json.len() - 1]),
            _ => raw(json),
        }
    }

    /// Looks into it, if nobody has.
    pub(super) fn open(&mut self) -> &mut Self {
        if let Self::Raw(json) = self {
            *self = Self::of(json);
        }
        self
    }

    /// Returns its members; it becomes an object if it is none.
    pub(super) fn members(&mut self) -> &mut Vec<(String, Node)> {
        if !self.is_object() {
            *self = empty();
        }
        match self {
            Self::Object(members) => members,
            _ => unreachable!("it was made one"),
        }
    }

    /// Returns its items; it becomes a list if it is none.
    pub(super) fn items(&mut self) -> &mut Vec<Node> {
        if !matches!(self.open(), Self::List(_)) {
            *self = Self::List(Vec::new());
        }
        match self {
            Self::List(items) => items,
            _ => unreachable!("it was made one"),
        }
    }

    /// Returns the items of a member that is a list.
    pub(super) fn list(&mut self, name: &str) -> Option<&mut Vec<Node>> {
        match self.get(name)?.open() {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn take_members(&mut self) -> Vec<(String, Node)> {
        std::mem::take(self.members())
    }

    /// Takes the items of a member; none where it is no list.
    pub(super) fn take_items(&mut self, name: &str) -> Vec<Node> {
        self.take(name).map(|mut list| std::mem::take(list.items())).unwrap_or_default()
    }

    pub(super) fn get(&mut self, name: &str) -> Option<&mut Node> {
        self.members().iter_mut().rfind(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns a member, which is null where it was not there.
    pub(super) fn member(&mut self, name: &str) -> &mut Node {
        let members = self.members();
        let at = members.iter().rposition(|(known, _)| known == name).unwrap_or_else(|| {
            members.push((name.to_owned(), null()));
            members.len() - 1
        });
        &mut members[at].1
    }

    pub(super) fn set(&mut self, name: &str, value: Node) {
        *self.member(name) = value;
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Node> {
        let members = self.members();
        let at = members.iter().rposition(|(known, _)| known == name)?;
        Some(members.remove(at).1)
    }

    /// Returns a member's text as it is written.
    pub(super) fn text(&mut self, name: &str) -> Option<&str> {
        match self.get(name)?.open() {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Raw(json) if json == "null")
    }

    pub(super) fn is_object(&mut self) -> bool {
        matches!(self.open(), Self::Object(_))
    }

    /// Takes members in the place of those that it has, nothing by null.
    pub(super) fn grow_anew(&mut self, mut members: Node) {
        for (name, value) in members.take_members().into_iter().filter(|(_, value)| !value.is_null()) {
            self.set(&name, value);
        }
    }

    /// Takes a later piece: texts and lists grow, objects grow member by member, all else is replaced, nothing by null.
    pub(super) fn grow(&mut self, name: &str, piece: Node) {
        self.grow_within(name, piece, DEPTH_MAX);
    }

    /// Takes it as far down as it is looked into.
    fn grow_within(&mut self, name: &str, mut piece: Node, depth: usize) {
        if depth == 0 {
            if !piece.is_null() {
                *self = piece;
            }
            return;
        }
        match (self.open(), piece.open()) {
            (_, Self::Raw(json)) if json == "null" => {}
            (Self::Text(all), Self::Text(more)) if ONCE.contains(&name) => {
                if !more.is_empty() {
                    all.clone_from(more);
                }
            }
            (Self::Text(all), Self::Text(more)) => all.push_str(more),
            (Self::List(all), Self::List(more)) => more.drain(..).for_each(|item| put(all, item, depth)),
            // Some servers tell one content as a text and as a list of parts.
            (Self::List(all), Self::Text(more)) => put(all, part(more), depth),
            (Self::Text(all), Self::List(more)) => {
                let mut list = if all.is_empty() { Vec::new() } else { vec![part(all)] };
                more.drain(..).for_each(|item| put(&mut list, item, depth));
                *self = Self::List(list);
            }
            (Self::Object(_), Self::Object(more)) => {
                for (name, piece) in std::mem::take(more) {
                    self.member(&name).grow_within(&name, piece, depth - 1);
                }
            }
            (all, _) => *all = piece,
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            // Line feeds between the parts of a value say nothing; within a text there are none.
            Self::Raw(json) => out.extend(json.chars().map(|it| if matches!(it, '\n' | '\r') { ' ' } else { it })),
            Self::Text(text) => out.extend(["\"", text, "\""]),
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    out.push(if at > 0 { ',' } else { '[' });
                    item.write(out);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(members) => {
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push(if at > 0 { ',' } else { '{' });
                    out.extend([&*quoted(name), ":"]);
                    value.write(out);
                }
                out.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// Returns it as JSON, in one line.
    pub(super) fn json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// Puts an item behind a list, or grows the one that it goes on with: that of its index and kind, or the last one where
/// both are text, or thought.
fn put(all: &mut Vec<Node>, mut item: Node, depth: usize) {
    let (index, kind) = (index_of(&mut item), kind_of(&mut item));
    let known = if index.is_some() {
        let is_same = |known: &mut Node| match kind_of(known) {
            _ if index_of(known) != index => false,
            other => kind.is_none() || other.is_none() || kind == other,
        };
        let at = all.iter_mut().position(is_same);
        at.map(|at| &mut all[at])
    } else {
        let goes_on = matches!(kind.as_deref(), Some("text" | "thinking"));
        all.last_mut().filter(|_| goes_on).and_then(|last| (kind_of(last) == kind).then_some(last))
    };
    match known {
        Some(known) => known.grow_within("", item, depth - 1),
        None => all.push(item),
    }
}

/// Returns a text as a part of a content.
fn part(text: &str) -> Node {
    object([("type", said("text")), ("text", said(text))])
}

fn kind_of(item: &mut Node) -> Option<String> {
    if item.is_object() { item.text("type").map(str::to_owned) } else { None }
}

/// Returns the index that an item says that it has.
pub(super) fn index_of(item: &mut Node) -> Option<String> {
    if !item.is_object() {
        return None;
    }
    item.get("index").map(|index| index.json()).filter(|index| index != "null")
}

pub(super) fn null() -> Node {
    raw("null")
}

pub(super) fn empty() -> Node {
    Node::Object(Vec::new())
}

/// Returns JSON that is not looked into yet.
pub(super) fn raw(json: impl Into<String>) -> Node {
    Node::Raw(json.into())
}

/// Returns a text, as it is written.
pub(super) fn said(text: &str) -> Node {
    Node::Text(text.to_owned())
}

pub(super) fn object<const N: usize>(members: [(&str, Node); N]) -> Node {
    Node::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

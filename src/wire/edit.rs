//! Edits JSON in place: everything except the edits stays byte for byte.
//!
//! Input: a text and its changes. Output: the changed text. There is no tree: an object is a list of its members, an
//! array one of its items, each a part of the same text, and a change names the part that it is about. So a change deep
//! inside costs what it changes and one copy of the text, and a text without a change is not copied. Nothing here may
//! know what a member means.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::body_builder::spliced;
use crate::words::Payload;
use crate::words::text::letters;

/// Changes of one text.
#[derive(Debug)]
pub(super) struct Edits<'a> {
    text: &'a str,
    splices: Vec<(Range<usize>, Cow<'a, str>)>,
}

impl<'a> Edits<'a> {
    /// Begins with a text and no change.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, splices: Vec::new() }
    }

    /// Puts other JSON in the place of a part of the text; in the place of an empty part, between its neighbours.
    pub(super) fn replace(&mut self, part: &'a str, by: impl Into<Cow<'a, str>>) {
        self.splices.push((self.place(part), by.into()));
    }

    /// Tells whether nothing is changed.
    pub(super) fn is_empty(&self) -> bool {
        self.splices.is_empty()
    }

    /// Returns the text with its changes. A change within a part that is replaced or removed as a whole is lost with
    /// it.
    pub(super) fn finish(mut self) -> Cow<'a, str> {
        if self.splices.is_empty() {
            return Cow::Borrowed(self.text);
        }
        let text = self.text;
        let splices = self.in_order();
        let more: usize = splices.iter().map(|(_, by)| by.len()).sum();
        let (mut out, mut at) = (String::with_capacity(text.len() + more), 0);
        for (range, by) in splices {
            out.push_str(&text[at..range.start]);
            out.push_str(by);
            at = range.end;
        }
        out.push_str(&text[at..]);
        Cow::Owned(out)
    }

    /// Returns the body that the text is of, with its changes. Long parts of it that stay are not copied.
    pub(super) fn finish_in(mut self, body: &Bytes) -> Payload {
        spliced(body, self.in_order().into_iter().map(|(range, by)| (range, by.as_bytes())))
    }

    /// Returns the changes in their order, except those within a part that is changed as a whole.
    fn in_order(&mut self) -> Vec<(Range<usize>, &str)> {
        // An insertion at a place comes before a change there, and a whole before its parts.
        self.splices.sort_by_key(|(range, _)| (range.start, !range.is_empty(), usize::MAX - range.end));
        let mut at = 0;
        let mut splices = Vec::with_capacity(self.splices.len());
        for (range, by) in &self.splices {
            if range.start >= at {
                at = range.end;
                splices.push((range.clone(), &**by));
            }
        }
        splices
    }

    /// Returns a part's place in the text.
    fn place(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        assert!(start.saturating_add(part.len()) <= self.text.len(), "an edit is of a part of the text");
        start..start + part.len()
    }

    /// Removes some of a list's entries, each with a comma, and puts others before the rest.
    fn list(&mut self, list: &'a str, entries: &[Entry<'a>], added: &[String]) {
        let is_kept = |entry: &Entry<'_>| !entry.removed;
        let any = entries.iter().any(is_kept);
        let mut kept = false;
        for (at, entry) in entries.iter().enumerate() {
            let place = self.place(entry.all);
            if entry.removed {
                // The comma before it is removed, too, or the one after it where nothing is left before.
                let range = match (kept, entries.get(at + 1)) {
                    (true, _) => self.place(entries[at - 1].all).end..place.end,
                    (false, Some(next)) => place.start..self.place(next.all).start,
                    (false, None) => place,
                };
                self.splices.push((range, Cow::Borrowed("")));
            }
            kept |= !entry.removed;
        }
        if !added.is_empty() {
            let begin = self.place(list).start + 1;
            let text = added.join(",") + if any { "," } else { "" };
            self.splices.push((begin..begin, text.into()));
        }
    }
}

/// A member of an object, or an item of an array.
#[derive(Debug)]
struct Entry<'a> {
    /// All of it: an item, or a member from its name to its value.
    all: &'a str,
    removed: bool,
}

/// An object within a text, and the changes of its members.
#[derive(Debug)]
pub(super) struct Object<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
    entries: Vec<Entry<'a>>,
    added: Vec<String>,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    /// Its name, read.
    pub(super) name: Cow<'a, str>,
    /// Its name as it is written, with its quotes.
    pub(super) key: &'a str,
    /// Its value as it is written.
    pub(super) value: &'a str,
}

impl<'a> Object<'a> {
    /// Finds the members of an object; none where the text is no object.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let Members(raw) = serde_json::from_str(text).ok()?;
        let members = raw.into_iter().map(|(key, value)| {
            let name = serde_json::from_str::<Borrowed<'a>>(key.get()).map_or(Cow::Borrowed(""), |name| name.0);
            Member { name, key: key.get(), value: value.get() }
        });
        let members: Vec<_> = members.collect();
        let text = text.trim_ascii();
        let entry = |member: &Member<'a>| Entry { all: span(text, member.key, member.value), removed: false };
        let entries = members.iter().map(entry).collect();
        Some(Self { text, members, entries, added: Vec::new() })
    }

    /// Returns the members in their order, as they came.
    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Returns a member's value, as it came: the last one's of that name, as most readers do.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().rfind(|member| member.name == name).map(|member| member.value)
    }

    /// Returns a member's text, as it came, if it is one.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text(self.get(name)?)
    }

    /// Gives a member another value, or adds it before all others.
    pub(super) fn set(&mut self, name: &str, json: impl Into<Cow<'a, str>>, edits: &mut Edits<'a>) {
        let json = json.into();
        let mut places = (0..self.members.len()).rev().filter(|at| self.members[*at].name == name);
        match places.next() {
            Some(last) => {
                places.for_each(|at| self.entries[at].removed = true);
                self.entries[last].removed = false;
                if self.members[last].value != json {
                    edits.replace(self.members[last].value, json);
                }
            }
            None => self.added.push(format!("{}:{json}", quoted(name))),
        }
    }

    /// Removes a member, all its repetitions included; tells whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let mut found = false;
        for (member, entry) in self.members.iter().zip(&mut self.entries) {
            let is_meant = member.name == name;
            entry.removed |= is_meant;
            found |= is_meant;
        }
        found
    }

    /// Gives a member another name; tells whether it is there.
    pub(super) fn rename(&mut self, name: &str, to: &str, edits: &mut Edits<'a>) -> bool {
        let mut named = self.members.iter().filter(|member| member.name == name).peekable();
        let found = named.peek().is_some();
        named.for_each(|member| edits.replace(member.key, quoted(to)));
        found
    }

    /// Applies the changes of the members themselves; changes of their values are already noted.
    pub(super) fn finish(self, edits: &mut Edits<'a>) {
        edits.list(self.text, &self.entries, &self.added);
    }
}

/// Returns the members of an object in their order; none where the text is no object.
pub(super) fn members(text: &str) -> Vec<Member<'_>> {
    Object::of(text).map_or_else(Vec::new, |object| object.members)
}

/// An array within a text, and the changes of its items.
#[derive(Debug)]
pub(super) struct Array<'a> {
    text: &'a str,
    entries: Vec<Entry<'a>>,
    added: Vec<String>,
}

impl<'a> Array<'a> {
    /// Finds the items of an array; none where the text is no array.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let Items(raw) = serde_json::from_str(text).ok()?;
        let entries = raw.into_iter().map(|item| Entry { all: item.get(), removed: false }).collect();
        Some(Self { text: text.trim_ascii(), entries, added: Vec::new() })
    }

    /// Returns the items in their order, as they came.
    pub(super) fn items(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a, '_> {
        self.entries.iter().map(|entry| entry.all)
    }

    /// Returns the items that are not removed, each with its place.
    pub(super) fn left(&self) -> impl Iterator<Item = (usize, &'a str)> + use<'a, '_> {
        self.entries.iter().enumerate().filter(|(_, entry)| !entry.removed).map(|(at, entry)| (at, entry.all))
    }

    /// Removes an item.
    pub(super) fn remove(&mut self, at: usize) {
        self.entries[at].removed = true;
    }

    /// Puts an item before all others, behind those that were put there before.
    pub(super) fn add(&mut self, json: String) {
        self.added.push(json);
    }

    /// Applies the changes of the list itself; changes of its items are already noted.
    pub(super) fn finish(self, edits: &mut Edits<'a>) {
        edits.list(self.text, &self.entries, &self.added);
    }
}

/// Returns a value deep in an object, as it is written, by the names on the way to it. Nothing is allocated.
pub(super) fn find<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(text, |text, name| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(Find(name)).ok()?
    })
}

/// Returns what a string says, if the value is one.
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Borrowed<'_>>(value).ok().map(|text| text.0)
}

/// Tells whether two strings say the same, however they are written. Nothing is allocated.
pub(super) fn says_the_same(one: &str, other: &str) -> bool {
    one == other || letters(one).eq(letters(other))
}

/// Returns a text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written")
}

/// Returns the part of a text from one part's beginning to another's end.
fn span<'a>(text: &'a str, first: &str, last: &str) -> &'a str {
    let start = first.as_ptr().addr() - text.as_ptr().addr();
    let end = last.as_ptr().addr() - text.as_ptr().addr() + last.len();
    &text[start..end]
}

#[derive(serde::Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

struct Find<'n>(&'n str);

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((name, value)) = map.next_entry::<Borrowed<'de>, &'de RawValue>()? {
            if name.0 == self.0 {
                found = Some(value.get());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edit: impl for<'a> FnOnce(&mut Object<'a>, &mut Edits<'a>)) -> String {
        let mut edits = Edits::new(text);
        let mut object = Object::of(text).expect("an object");
        edit(&mut object, &mut edits);
        object.finish(&mut edits);
        edits.finish().into_owned()
    }

    const ODD: &str = " {\"a\" : [1.0, \"é\\u00e9\"],\n  \"b\":{ } , \"c\\u0064\":\"}\\\"{\"} ";

    #[test]
    fn a_text_without_edits_is_not_copied() {
        let edits = Edits::new(ODD);
        assert!(matches!(edits.finish(), Cow::Borrowed(same) if same.as_ptr() == ODD.as_ptr()));
    }

    #[test]
    fn a_body_is_edited_without_copying_its_long_parts() {
        let body = Bytes::from(format!("{{\"m\":\"mine\",\"t\":\"{}\",\"u\":1}}", "x".repeat(9_000)));
        let text = std::str::from_utf8(&body).expect("text");
        let edits = |sets: &[(&str, &'static str)]| {
            let (mut edits, mut object) = (Edits::new(text), Object::of(text).expect("an object"));
            for (name, json) in sets {
                object.set(name, *json, &mut edits);
            }
            object.finish(&mut edits);
            edits
        };
        for (sets, pieces) in [
            (&[][..], 1),
            (&[("m", "\"theirs\"")][..], 2),
            (&[("m", "\"theirs\""), ("u", "2"), ("v", "3")], 3),
            (&[("t", "\"\"")], 1),
        ] {
            let (payload, expected) = (edits(sets).finish_in(&body), edits(sets).finish());
            assert_eq!(payload.whole(), expected.as_bytes());
            assert_eq!(payload.pieces().count(), pieces, "{sets:?}");
            let is_shared = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
            assert_eq!(payload.pieces().any(is_shared), !expected.contains("\"t\":\"\""), "{sets:?}");
        }
    }

    #[test]
    fn members_are_set_added_renamed_and_removed_and_nothing_else_changes() {
        let set = |name: &'static str| edited(ODD, move |object, edits| object.set(name, "0", edits));
        assert_eq!(set("a"), " {\"a\" : 0,\n  \"b\":{ } , \"c\\u0064\":\"}\\\"{\"} ");
        assert_eq!(set("cd"), " {\"a\" : [1.0, \"é\\u00e9\"],\n  \"b\":{ } , \"c\\u0064\":0} ");
        assert_eq!(set("n\""), format!(" {{\"n\\\"\":0,{}", &ODD[2..]));
        let rename = edited(ODD, |object, edits| assert!(object.rename("b", "x\"", edits)));
        assert_eq!(rename, ODD.replace("\"b\"", "\"x\\\"\""));
        let remove = |names: &'static [&str]| {
            edited(ODD, move |object, _| names.iter().for_each(|name| assert!(object.remove(name))))
        };
        assert_eq!(remove(&["a"]), " {\"b\":{ } , \"c\\u0064\":\"}\\\"{\"} ");
        assert_eq!(remove(&["b"]), " {\"a\" : [1.0, \"é\\u00e9\"] , \"c\\u0064\":\"}\\\"{\"} ");
        assert_eq!(remove(&["cd"]), " {\"a\" : [1.0, \"é\\u00e9\"],\n  \"b\":{ }} ");
        assert_eq!(remove(&["a", "cd"]), " {\"b\":{ }} ");
        assert_eq!(remove(&["a", "b"]), " {\"c\\u0064\":\"}\\\"{\"} ");
        assert_eq!(remove(&["b", "cd"]), " {\"a\" : [1.0, \"é\\u00e9\"]} ");
        assert_eq!(remove(&["a", "b", "cd"]), " {} ");
    }

    #[test]
    fn any_choice_of_removals_and_insertions_leaves_json() {
        let text = r#"{ "a":1 , "b":[2],"c": {"d":3} ,"e":null }"#;
        for choice in 0..32_u32 {
            let is = |at: u32| choice & (1 << at) != 0;
            let out = edited(text, |object, edits| {
                for (at, name) in (0..4).zip(["a", "b", "c", "e"]) {
                    assert!(!is(at) || object.remove(name));
                }
                if is(4) {
                    object.set("n", "true", edits);
                }
            });
            let mut expected: serde_json::Value = serde_json::from_str(text).expect("JSON");
            let fields = expected.as_object_mut().expect("an object");
            fields.retain(|name, _| !(0..4).zip(["a", "b", "c", "e"]).any(|(at, other)| is(at) && name == other));
            if is(4) {
                fields.insert("n".to_owned(), true.into());
            }
            assert_eq!(serde_json::from_str::<serde_json::Value>(&out).expect(&out), expected);
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_set_once() {
        let twice = r#"{"a":1,"b":2,"a":3}"#;
        assert_eq!(Object::of(twice).expect("an object").get("a"), Some("3"));
        assert_eq!(edited(twice, |object, edits| object.set("a", "4", edits)), r#"{"b":2,"a":4}"#);
        assert_eq!(edited(twice, |object, _| assert!(object.remove("a"))), r#"{"b":2}"#);
    }

    #[test]
    fn items_are_removed_and_put_in_and_parts_of_them_replaced() {
        let text = r#"{"m":[ {"r":"x"}, 2 , [3]]}"#;
        let mut edits = Edits::new(text);
        let mut items = Array::of(find(text, &["m"]).expect("there")).expect("an array");
        let first = items.items().next().expect("one");
        edits.replace(find(first, &["r"]).expect("there"), "\"y\"");
        items.remove(1);
        items.add("0".to_owned());
        items.finish(&mut edits);
        assert_eq!(edits.finish(), r#"{"m":[0, {"r":"y"} , [3]]}"#);
    }

    #[test]
    fn changes_within_a_removed_part_are_lost_with_it() {
        let text = r#"{"a":{"b":1},"c":2}"#;
        let inner = find(text, &["a", "b"]).expect("there");
        let out = edited(text, |object, edits| {
            edits.replace(&text[inner.as_ptr().addr() - text.as_ptr().addr()..][..1], "9");
            object.remove("a");
        });
        assert_eq!(out, r#"{"c":2}"#);
    }

    #[test]
    fn values_are_found_by_their_path() {
        let text = r#"{"type":"x","message":{"id":1,"mod\u0065l":"m"},"l":[]}"#;
        assert_eq!(find(text, &["message", "model"]), Some("\"m\""));
        assert_eq!(find(text, &["message", "usage"]), None);
        assert_eq!(find(text, &["type", "model"]), None);
        assert_eq!(find("[1]", &["a"]), None);
        assert!(Object::of("[1]").is_none() && Array::of("{}").is_none() && Object::of("{\"a\":").is_none());
    }
}

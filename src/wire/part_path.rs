//! Finds the place of a part in a caller's body, so that a refusal can name it as the caller counts. Only refused
//! requests are searched.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::edit::quoted;
use crate::words::{Demand, NAME_BYTES_MAX};

/// Returns the path of a part in the body it came in; `None` where it is not found, or is longer than messages repeat.
pub fn part_path(body: &[u8], part: &Demand) -> Option<String> {
    let body: Members<'_> = serde_json::from_slice(body).ok().filter(|_| !part.begin.is_empty())?;
    let path = within(&body, &part.begin)?;
    // A part is the entry of a list: cut the path behind that entry.
    let path = path.rfind(']').map_or(path.as_str(), |end| &path[..=end]);
    (path.len() <= NAME_BYTES_MAX).then(|| path.to_owned())
}

fn within(object: &Members<'_>, begin: &str) -> Option<String> {
    object.0.iter().find_map(|(name, value)| Some(format!("{name}{}", dotted(&find(value.get(), begin)?))))
}

fn find(json: &str, begin: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json).ok()?.contains(begin).then(String::new),
        b'{' if compact(json, begin.len()).starts_with(begin) => Some(String::new()),
        b'{' => within(&serde_json::from_str(json).ok()?, begin),
        b'[' => {
            let entries: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let mut entries = entries.iter().enumerate();
            entries.find_map(|(at, entry)| Some(format!("[{at}]{}", dotted(&find(entry.get(), begin)?))))
        }
        _ => None,
    }
}

/// Returns the beginning of JSON as it is written here, at least this many bytes of it: without blanks, and its texts
/// without escapes that they do not need.
fn compact(json: &str, bytes: usize) -> String {
    let (mut out, mut rest) = (String::with_capacity(bytes), json);
    while out.len() < bytes
        && let Some(first) = rest.chars().next()
    {
        let length = if first == '"' { quote(rest) } else { first.len_utf8() };
        let (part, behind) = rest.split_at(length);
        match serde_json::from_str::<String>(part) {
            Ok(text) if first == '"' => out.push_str(&quoted(&text)),
            _ if first.is_ascii_whitespace() => {}
            _ => out.push_str(part),
        }
        rest = behind;
    }
    out
}

/// Returns the length of the text in quotes that JSON begins with.
fn quote(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |(at, _)| at + 1)
}

/// Returns a path as it follows on another.
fn dotted(path: &str) -> String {
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    format!("{dot}{path}")
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect::<Result<_, _>>().map(Members)
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Demanded, Dialect};

    #[test]
    fn a_part_is_found_however_its_body_is_written() {
        let part = r#"{"type":"item_reference","id":"é \"x\" / 1","n":1.50}"#;
        let what = Demanded::Foreign(Dialect::OpenAiResponses, "item_reference".to_owned());
        let demand = Demand { field: "messages[2]".to_owned(), what, begin: part.to_owned() };
        for written in [
            part.to_owned(),
            r#"{"type": "item_reference", "id": "\u00e9 \"x\" \/ 1", "n": 1.50}"#.to_owned(),
            "{\n\t\"type\" : \"item_reference\",\r\n\"id\":\"\\u00e9 \\u0022x\\\" / 1\" ,\"n\":1.50 }".to_owned(),
        ] {
            let body = format!(r#"{{"model": "m", "input": [{{"role": "user", "content": "a"}}, {written}]}}"#);
            assert_eq!(part_path(body.as_bytes(), &demand).as_deref(), Some("input[1]"), "{written}");
        }
        let other = r#"{"input": [{"type": "item_reference", "id": "y"}]}"#;
        assert_eq!(part_path(other.as_bytes(), &demand), None);
        assert_eq!(compact(r#"{"a": "unfinished"#, 99), r#"{"a":"unfinished"#);
    }
}

//! Finds the place of a part in a caller's body, so that a refusal can name it as the caller counts. Only refused
//! requests are searched.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::words::Demand;

/// Returns the path of a part in the body it came in; `None` where it is not found.
pub fn part_path(body: &[u8], part: &Demand) -> Option<String> {
    let body: Members<'_> = serde_json::from_slice(body).ok().filter(|_| !part.begin.is_empty())?;
    let path = within(&body, &part.begin)?;
    // A part is the entry of a list: cut the path behind that entry.
    Some(path.rfind(']').map_or(path.as_str(), |end| &path[..=end]).to_owned())
}

fn within(object: &Members<'_>, begin: &str) -> Option<String> {
    object.0.iter().find_map(|(name, value)| Some(format!("{name}{}", dotted(&find(value.get(), begin)?))))
}

fn find(json: &str, begin: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json).ok()?.contains(begin).then(String::new),
        b'{' if json.starts_with(begin) => Some(String::new()),
        b'{' => within(&serde_json::from_str(json).ok()?, begin),
        b'[' => {
            let entries: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let mut entries = entries.iter().enumerate();
            entries.find_map(|(at, entry)| Some(format!("[{at}]{}", dotted(&find(entry.get(), begin)?))))
        }
        _ => None,
    }
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

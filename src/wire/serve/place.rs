//! Where in a caller's body something stands of which only the beginning is known, so that a refusal can name its place
//! as the caller counts. Only a request that is refused is read so.

use bytes::Bytes;

use super::node::{Node, Object};
use crate::words::Demand;

/// Returns the path of a part in the body it came in; `None` where it is not found.
pub fn place(body: &Bytes, part: &Demand) -> Option<String> {
    let body = &super::text(body).ok()?;
    let body = Object::parse(body).ok().filter(|_| !part.begin.is_empty())?;
    let path = within(&body, &part.begin)?;
    // A part is the entry of a list; what it holds has a place within it.
    Some(path.rfind(']').map_or(path.as_str(), |end| &path[..=end]).to_owned())
}

fn within(object: &Object<'_>, begin: &str) -> Option<String> {
    object.fields().find_map(|(key, node)| {
        let path = find(node, begin)?;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        Some(format!("{key}{dot}{path}"))
    })
}

fn find(node: &Node<'_>, begin: &str) -> Option<String> {
    match node {
        Node::Text(text) if text.contains(begin) => Some(String::new()),
        Node::Object(object) if object.json().is_ok_and(|json| json.starts_with(begin)) => Some(String::new()),
        Node::Object(object) => within(object, begin),
        Node::List(list) => list.iter().enumerate().find_map(|(at, entry)| {
            let path = find(entry, begin)?;
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            Some(format!("[{at}]{dot}{path}"))
        }),
        _ => None,
    }
}

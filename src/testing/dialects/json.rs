//! Tools of all dialects to write JSON by hand.
//!
//! A template is text with holes, `$name` of lower-case letters each. It is data, so that differences between providers
//! can be in a table.

use std::time::Duration;

/// Writes a time as Go does, to the millisecond: `17ms`, `8.64s`, `6m0s`, `1h0m0s`.
pub(super) fn go_duration(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1_000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = if rest % 1_000 == 0 {
        (rest / 1_000).to_string()
    } else {
        format!("{}.{:03}", rest / 1_000, rest % 1_000).trim_end_matches('0').to_owned()
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The digits of base64.
pub(super) const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes as base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[bits >> (18 - 6 * place) & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// Writes as it is.
pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes as a JSON string.
pub(super) fn quote(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text can always be written to memory");
}

/// Writes as a JSON string, or `null`.
pub(super) fn quote_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => quote(out, text),
        None => put(out, "null"),
    }
}

/// Writes a template; `hole` fills each hole by its name.
pub(super) fn fill(out: &mut Vec<u8>, template: &str, mut hole: impl FnMut(&mut Vec<u8>, &str)) {
    let mut parts = template.split('$');
    put(out, parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|char: char| !char.is_ascii_lowercase()).unwrap_or(part.len());
        let (name, after) = part.split_at(end);
        hole(out, name);
        put(out, after);
    }
}

/// Returns a template's text.
pub(super) fn filled(template: &str, hole: impl FnMut(&mut Vec<u8>, &str)) -> String {
    let mut out = Vec::with_capacity(template.len() + 64);
    fill(&mut out, template, hole);
    String::from_utf8(out).expect("holes are filled with text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_whose_holes_are_filled() {
        let hole = |out: &mut Vec<u8>, name: &str| put(out, &name.to_uppercase());
        for (template, expected) in
            [("", ""), ("plain", "plain"), ("$a", "A"), ("$a$bc-$d9", "ABC-D9"), ("x$a,\"$b\"", "xA,\"B\"")]
        {
            assert_eq!(filled(template, hole), expected);
        }
    }

    #[test]
    fn a_time_is_written_as_go_writes_it() {
        for (millis, expected) in [
            (0, "0s"),
            (17, "17ms"),
            (1_000, "1s"),
            (8_640, "8.64s"),
            (60_000, "1m0s"),
            (1_252_666, "20m52.666s"),
            (299_379_057, "83h9m39.057s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        }
    }
}

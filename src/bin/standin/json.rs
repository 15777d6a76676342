//! Events as JSON, an object a line.
//!
//! Input: an event and its spans. Output: its line, written straight from the event's fields: a call's line is written
//! for every call, and the subscriber's own format takes twice as long.

use std::fmt;
use std::io::Write as _;
use std::time::SystemTime;

use serde::ser::Serializer as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// The form of a line: time, level, the event's fields, its target, and its spans, if any.
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(Vec::with_capacity(512));
        line.0.push(b'{');
        // Neither of these two needs an escape.
        line.raw("timestamp", "");
        write!(line.0, "\"{}\"", humantime::format_rfc3339_micros(SystemTime::now())).map_err(|_| fmt::Error)?;
        line.raw("level", "");
        write!(line.0, "\"{}\"", event.metadata().level()).map_err(|_| fmt::Error)?;
        event.record(&mut line);
        line.raw("target", "");
        line.json(event.metadata().target());
        if let Some(spans) = context.event_scope() {
            let spans: Vec<String> = spans.from_root().map(|span| written::<S, N>(&span)).collect();
            line.raw("span", spans.last().map_or("null", String::as_str));
            line.raw("spans", &format!("[{}]", spans.join(",")));
        }
        line.0.extend_from_slice(b"}\n");
        writer.write_str(std::str::from_utf8(&line.0).map_err(|_| fmt::Error)?)
    }
}

/// Returns a span as JSON: its fields, which are stored as JSON, and its name.
fn written<S, N>(span: &SpanRef<'_, S>) -> String
where
    S: for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    let extensions = span.extensions();
    let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
    let fields = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}')).unwrap_or_default();
    let comma = if fields.is_empty() { "" } else { "," };
    format!("{{{fields}{comma}\"name\":\"{}\"}}", span.name())
}

/// A line that is being written.
struct Line(Vec<u8>);

impl Line {
    fn raw(&mut self, name: &str, json: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json.as_bytes());
    }

    fn text(&mut self, name: &str, value: &impl fmt::Display) {
        self.raw(name, "");
        serde_json::Serializer::new(&mut self.0).collect_str(value).expect("memory takes everything");
    }

    fn json(&mut self, value: impl serde::Serialize) {
        serde_json::to_writer(&mut self.0, &value).expect("memory takes everything");
    }

    fn value(&mut self, field: &Field, value: impl serde::Serialize) {
        self.raw(field.name(), "");
        self.json(value);
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Dollars are written for people; machines get a number nevertheless.
        if field.name().ends_with("_usd") {
            return self.raw(field.name(), &format!("{value:?}"));
        }
        self.text(field.name(), &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a sink").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_same_fields_as_the_subscribers_own_format() {
        let (ours, theirs) = (Sink::default(), Sink::default());
        let say = || {
            tracing::info!(text = "a \"b\"\n é", shown = %"x\\y", none = None::<&str>, count = 7, low = -1, part = 0.5,
                yes = true, "said {}", 1);
            let outer = tracing::info_span!("outer", number = 1, empty = tracing::field::Empty);
            let _outer = outer.enter();
            let _inner = tracing::info_span!("inner").entered();
            tracing::warn!(error = ?Some("e"), "within");
        };
        let writer = |sink: &Sink| {
            let sink = sink.clone();
            move || sink.clone()
        };
        let lines = tracing_subscriber::fmt().with_writer(writer(&ours)).fmt_fields(JsonFields::new());
        tracing::subscriber::with_default(lines.event_format(Json).finish(), say);
        let lines = tracing_subscriber::fmt().with_writer(writer(&theirs)).json().flatten_event(true);
        tracing::subscriber::with_default(lines.finish(), say);
        let read = |sink: &Sink| -> Vec<serde_json::Value> {
            let text = String::from_utf8(sink.0.lock().expect("a sink").clone()).expect("text");
            let lines = text.lines().map(|line| serde_json::from_str(line).expect(line));
            let timeless = lines.map(|mut line: serde_json::Value| {
                let time = line.as_object_mut().expect("an object").remove("timestamp").expect("a time");
                assert_eq!(time.as_str().map(str::len), Some("2026-11-29T06:19:08.913461Z".len()));
                line
            });
            timeless.collect()
        };
        assert_eq!(read(&ours).len(), 2);
        assert_eq!(read(&ours), read(&theirs));
    }
}

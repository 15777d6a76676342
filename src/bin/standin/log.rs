//! The program's log: lines for people, or JSON for machines, on standard error.
//!
//! It never waits for the reader of the lines, and no error of writing ends the program.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::time::{Duration, SystemTime};

use standin::sidecar::{Log, printable};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::LogForm;
use super::json::Json;

/// The default of `RUST_LOG`. A call has one line, the sidecar's: the runtime's own lines and spans would cost more
/// than all other lines.
const LOGGED: &str = "warn,standin=info,standin::actors::call=off";

/// How long the last lines may take when the program ends.
const SETTLE: Duration = Duration::from_millis(500);

/// Standard error, while the program serves.
pub struct Lines {
    log: Log,
    form: LogForm,
}

impl Lines {
    /// Begins to log.
    pub fn begin(form: LogForm) -> io::Result<Self> {
        let lost = if form == LogForm::Json { lost_json } else { lost_text };
        let log = Log::to(io::stderr(), lost)?;
        let (filter, bad) = logged(&std::env::var("RUST_LOG").unwrap_or_default());
        let lines = tracing_subscriber::fmt().log_internal_errors(false).with_max_level(LevelFilter::TRACE);
        match form {
            LogForm::Text => {
                let colours = io::stderr().is_terminal();
                lines.with_ansi(colours).with_writer(Clean { log: log.clone() }).finish().with(filter).init();
            }
            LogForm::Json => {
                let lines = lines.fmt_fields(JsonFields::new()).event_format(Json);
                lines.with_writer(Clean { log: log.clone() }).finish().with(filter).init();
            }
            LogForm::Off => {}
        }
        let own = log.clone();
        // It bypasses the subscriber: the subscriber may have panicked.
        std::panic::set_hook(Box::new(move |panic| own.line(panicked(panic, form).as_bytes())));
        if bad {
            tracing::warn!("RUST_LOG is ignored: it must be levels such as `warn,standin=debug`");
        }
        Ok(Self { log, form })
    }

    /// Returns where the lines go.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Writes a line for people; in JSON it is an event.
    pub fn say(&self, line: &str) {
        if self.form == LogForm::Json {
            return tracing::info!("{line}");
        }
        self.log.line(format!("{}\n", printable(line)).as_bytes());
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.log.settle(SETTLE);
    }
}

/// Returns what is logged, and whether `RUST_LOG` cannot be read.
fn logged(asked: &str) -> (Targets, bool) {
    let usual = || LOGGED.parse().expect("it is a list of levels");
    match asked.parse() {
        Ok(_) if asked.is_empty() => (usual(), false),
        Ok(asked) => (asked, false),
        Err(_) => (usual(), true),
    }
}

/// Makes the line of a panic.
fn panicked(panic: &PanicHookInfo<'_>, form: LogForm) -> String {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let what = payload.downcast_ref::<&str>().copied();
    let what = what.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    let trace = Backtrace::capture();
    let trace =
        if trace.status() == std::backtrace::BacktraceStatus::Captured { trace.to_string() } else { String::new() };
    let now = humantime::format_rfc3339_micros(SystemTime::now());
    match form {
        LogForm::Json => {
            let mut line = serde_json::json!({
                "timestamp": now.to_string(), "level": "ERROR", "message": "panic", "what": what, "place": place,
                "target": "standin",
            });
            if !trace.is_empty() {
                line["backtrace"] = trace.into();
            }
            format!("{line}\n")
        }
        LogForm::Text | LogForm::Off => {
            format!("{now} ERROR standin: panic what={:?} place={place}\n{trace}", printable(what))
        }
    }
}

fn lost_text(count: u64) -> String {
    let now = humantime::format_rfc3339_micros(SystemTime::now());
    format!("{now}  WARN standin: {count} line(s) of the log were lost: they were not read in time\n")
}

fn lost_json(count: u64) -> String {
    let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let message = "lines of the log were lost: they were not read in time";
    let line = serde_json::json!({
        "timestamp": now, "level": "WARN", "message": message, "lost": count, "target": "standin",
    });
    format!("{line}\n")
}

/// A log whose lines cannot control a terminal: foreign text in them is escaped.
struct Clean {
    log: Log,
}

impl<'a> MakeWriter<'a> for Clean {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Clean {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.log.line(clean(text).as_bytes()),
            Err(_) => self.log.line(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes control characters of a line, except its end and colours. In JSON they can only stand in texts, where this
/// escape means the same.
fn clean(line: &str) -> std::borrow::Cow<'_, str> {
    let text = line.strip_suffix('\n').unwrap_or(line);
    // Control characters are below a space, or 7f, or beyond ASCII: for most lines a check of bytes is enough.
    // Without a branch, so that the compiler takes many bytes at once.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (b' '..0x7f).contains(&byte));
    if is_plain || !text.contains(char::is_control) {
        return line.into();
    }
    let mut out = String::with_capacity(line.len() + 16);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = colour(rest).unwrap_or(letter.len_utf8());
        if letter.is_control() && length == letter.len_utf8() {
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    out.push('\n');
    out.into()
}

/// Returns the length of the colour command at the beginning of a text.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    numbers[end..].starts_with('m').then_some("\u{1b}[".len() + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_log_is_a_list_of_levels_and_an_invalid_one_is_ignored() {
        let usual = LOGGED.parse::<Targets>().unwrap();
        assert_eq!(logged(""), (usual.clone(), false));
        assert_eq!(logged("error,standin=debug"), ("error,standin=debug".parse().unwrap(), false));
        assert_eq!(logged("standin=loud"), (usual, true));
    }

    #[test]
    fn a_line_keeps_its_colours_and_its_end_and_no_other_command() {
        for (line, expected) in [
            ("\u{1b}[2mtime\u{1b}[0m é\n", "\u{1b}[2mtime\u{1b}[0m é\n"),
            ("one\ntwo\r\u{1b}[2J\u{9b}H\u{1b}\n", "one\\u000atwo\\u000d\\u001b[2J\\u009bH\\u001b\n"),
            ("{\"a\":\"\u{7f}\"}\n", "{\"a\":\"\\u007f\"}\n"),
        ] {
            assert_eq!(clean(line), expected);
        }
    }
}

//! Prints what was spent: asks a running sidecar, or reads its store's file.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};
use standin::runtime::{GroupBy, Question, ask_file, verify_file};
use standin::sidecar::{MOMENT, dollars, moment, printable};

use super::operator::{list, text};
use super::{OperatorAddress, failed};

pub async fn run(options: super::Ledger) -> ExitCode {
    if let Some(file) = options.source.file.as_deref().filter(|_| options.verify) {
        return verify(file);
    }
    let super::Ledger { by, since, until, lines, .. } = options;
    let asked = LedgerQuestion { by, since, until, lines };
    match ask(&asked, options.source.file.as_deref(), &options.sidecar).await {
        Err(problem) => return failed(&problem),
        Ok(statement) if options.source.json => say!("{statement:#}"),
        Ok(statement) if options.source.csv => csv(&statement, &COLUMNS),
        Ok(statement) => table(&statement),
    }
    ExitCode::SUCCESS
}

/// What is asked, as people write it.
pub struct LedgerQuestion {
    pub by: String,
    pub since: Option<String>,
    pub until: Option<String>,
    pub lines: Option<u32>,
}

/// Asks a file or, where none is named, a running sidecar.
pub async fn ask(asked: &LedgerQuestion, file: Option<&Path>, sidecar: &OperatorAddress) -> Result<Value, String> {
    if let Some(file) = file {
        return read(file, asked);
    }
    let lines = asked.lines.map(|lines| lines.to_string());
    let LedgerQuestion { by, since, until, .. } = asked;
    let query = [("by", Some(by)), ("since", since.as_ref()), ("until", until.as_ref()), ("lines", lines.as_ref())];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?.as_str()))).collect();
    sidecar.ask(http::Method::GET, "ledger", &query).await
}

/// Asks a file.
fn read(file: &Path, options: &LedgerQuestion) -> Result<Value, String> {
    let now = SystemTime::now();
    let time = |what: &str, text: &Option<String>| {
        let time = |text: &String| moment(text, now).ok_or_else(|| format!("--{what}: must be {MOMENT}"));
        text.as_ref().map(time).transpose()
    };
    let by: GroupBy = options.by.parse().map_err(|error| format!("--by: {error}"))?;
    let mut question = Question::by(by).lines_max(options.lines.unwrap_or(0));
    (question.since, question.until) = (time("since", &options.since)?, time("until", &options.until)?);
    question.check().map_err(|problem| format!("--{problem}"))?;
    ask_file(file, &question).map(|statement| json!(statement)).map_err(|error| error.to_string())
}

/// Checks a file.
fn verify(file: &Path) -> ExitCode {
    match verify_file(file) {
        Err(error) => failed(&error),
        Ok(found) if found.problems.is_empty() => {
            say!(
                "the file is whole: {} attempts and {} calls, {} records lost",
                found.attempts,
                found.calls,
                found.lost
            );
            ExitCode::SUCCESS
        }
        Ok(found) => failed(&found.problems.join("\n")),
    }
}

/// The columns of CSV, and the place of each in a line.
const COLUMNS: [(&str, &str); 15] = [
    ("of", "/of"),
    ("attempts", "/attempts"),
    ("answers", "/answers"),
    ("unpriced", "/unpriced"),
    ("cost_usd", "/cost_usd"),
    ("estimated_usd", "/estimated_usd"),
    ("wasted_usd", "/wasted_usd"),
    ("answer_usd", "/answer_usd"),
    ("cached_share", "/cached_share"),
    ("input_tokens", "/tokens/input"),
    ("cached_tokens", "/tokens/cached"),
    ("cache_write_tokens", "/tokens/cache_write"),
    ("output_tokens", "/tokens/output"),
    ("reasoning_tokens", "/tokens/reasoning"),
    ("calls", "/calls"),
];

/// Writes a statement's lines with these columns, each with its place in a line.
pub fn csv(statement: &Value, columns: &[(&str, &str)]) {
    let row = |cells: Vec<String>| say!("{}", cells.join(","));
    row(columns.iter().map(|(name, _)| (*name).to_owned()).collect());
    for line in list(&statement["lines"]) {
        let cell = |(_, at): &(&str, &str)| match line.pointer(at) {
            Some(Value::String(text)) => quoted(text),
            None | Some(Value::Null) => String::new(),
            Some(number) => number.to_string(),
        };
        row(columns.iter().map(cell).collect());
    }
}

/// Returns a text as a cell: quoted where it must be, and never a text that a spreadsheet takes for a formula.
pub fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn table(statement: &Value) {
    let by = text(&statement["by"]);
    say!(
        "{by:<36} {:>9} {:>9} {:>10} {:>10} {:>10} {:>6} {:>12} {:>12}",
        "answers",
        if by == "outcome" { "calls" } else { "attempts" },
        "$",
        "$ wasted",
        "$/answer",
        "cached",
        "tokens in",
        "out"
    );
    let lines = list(&statement["lines"]);
    lines.iter().for_each(row);
    if lines.len() != 1 {
        row(&statement["sum"]);
    }
    let number = |at: &str| statement.pointer(at).and_then(Value::as_f64).unwrap_or_default();
    let estimated = number("/sum/estimated_usd");
    if estimated > 0.0 {
        say!("{} of these dollars are based on estimated tokens", dollars(estimated));
    }
    let unpriced = number("/sum/unpriced");
    if unpriced > 0.0 {
        say!("{unpriced} attempt(s) at models without a known price are in no sum of dollars");
    }
    if statement["cut"] == true {
        say!("there are more lines: ask for them with --lines N");
    }
    let again = number("/again");
    if again > 0.0 {
        say!(
            "{again} call(s) were sent again after a restart since the file was made: what was sent before may have been \
             billed, too"
        );
    }
    if let Some(from) = statement["whole_from"].as_str() {
        say!("the sums are complete from {} on: earlier ones were deleted", printable(from));
    }
    let unknown = number("/unknown_hours");
    if unknown > 0.0 {
        say!(
            "in {unknown} hour(s) more tags were used than have sums, and their entries are deleted: what this one had \
             there, if it had something, is in no line"
        );
    }
    let removed = number("/removed");
    if removed > 0.0 {
        say!("{removed} of the oldest record(s) were deleted before their time: the file was larger than `size_max`");
    }
    let lost = number("/lost");
    if lost > 0.0 {
        say!("{lost} record(s) were lost since the file was made, and are in no line");
    }
}

fn row(line: &Value) {
    let count = |at: &str| line.pointer(at).and_then(Value::as_u64);
    let counted = |at: &str| count(at).map_or_else(|| "-".to_owned(), |count| count.to_string());
    // What no price is known for costs something, and not nothing.
    let is_priced = count("/unpriced").unwrap_or(0) == 0 || line["cost_usd"] != 0.0;
    let money = |name: &str| line[name].as_f64().filter(|_| is_priced).map_or_else(|| "-".to_owned(), dollars);
    let cached =
        line["cached_share"].as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let of = line["of"].as_str().map(printable).filter(|of| !of.is_empty()).unwrap_or_else(|| "-".to_owned());
    say!(
        "{of:<36} {:>9} {:>9} {:>10} {:>10} {:>10} {cached:>6} {:>12} {:>12}",
        counted("/answers"),
        counted(if line["calls"].is_null() { "/attempts" } else { "/calls" }),
        money("cost_usd"),
        money("wasted_usd"),
        money("answer_usd"),
        counted("/tokens/input"),
        counted("/tokens/output"),
    );
}

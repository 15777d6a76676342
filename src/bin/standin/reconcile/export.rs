//! A provider's own account of what was used: its export as JSON or CSV, read into days and models.
//!
//! JSON is what the usage and the cost reports of `OpenAI` and of Anthropic answer, one page or a list of pages. CSV is
//! what their consoles export, or any table with a day, a model, and tokens or dollars in it.

use std::collections::BTreeMap;

use serde_json::Value;
use standin::Date;

/// What one model took in one day, as far as the export tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens of prompts, those from a cache included.
    pub input: Option<u64>,
    pub output: Option<u64>,
    /// Billionths of a dollar.
    pub cost: Option<i64>,
}

/// What an export tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// By day and by model, as the provider calls it; empty, where it names none.
    pub used: BTreeMap<(i64, String), Used>,
    /// Whether there is a further page.
    pub has_more: bool,
}

impl Used {
    /// Adds what another row tells.
    pub fn add(&mut self, other: Self) {
        let count = |one: Option<u64>, more: Option<u64>| match (one, more) {
            (Some(one), Some(more)) => Some(one.saturating_add(more)),
            (one, more) => one.or(more),
        };
        self.input = count(self.input, other.input);
        self.output = count(self.output, other.output);
        self.cost = match (self.cost, other.cost) {
            (Some(one), Some(more)) => Some(one.saturating_add(more)),
            (one, more) => one.or(more),
        };
    }

    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Export {
    /// Reads an export.
    ///
    /// # Errors
    /// What is not as it must be, and where.
    pub fn read(text: &str) -> Result<Self, String> {
        let export = match text.trim_start().chars().next() {
            Some('{' | '[') => json(text)?,
            Some(_) => csv(text)?,
            None => return Err("is empty".to_owned()),
        };
        if export.used.is_empty() {
            return Err("tells of no use: it holds no row with tokens or dollars".to_owned());
        }
        Ok(export)
    }

    fn add(&mut self, day: i64, model: &str, used: Used) {
        if !used.is_nothing() {
            self.used.entry((day, model.to_owned())).or_default().add(used);
        }
    }
}

/// Returns billionths of a dollar.
pub fn nanos(dollars: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float beyond the range becomes the end of it")]
    let nanos = (dollars * 1e9).round() as i64;
    nanos
}

/// Reads a moment as the day that it is in: seconds since 1970, or a text that begins with a day. Days are UTC's.
fn day(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return (seconds > 0).then(|| seconds.div_euclid(86_400));
    }
    Date::parse(text.get(..10)?).map(|date| date.0)
}

/// Returns the model that a line of a bill names: what follows a comma says what of it was billed.
fn model_of(line: &str) -> &str {
    line.split(", ").next().unwrap_or_default().trim()
}

fn json(text: &str) -> Result<Export, String> {
    let pages: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let pages = match pages {
        Value::Array(pages) => pages,
        page => vec![page],
    };
    let mut export = Export::default();
    for page in &pages {
        export.has_more |= page["has_more"] == true && std::ptr::eq(page, pages.last().unwrap_or(page));
        // A list may hold the pages, or what they hold.
        let buckets = page["data"].as_array().map_or_else(|| std::slice::from_ref(page), Vec::as_slice);
        for bucket in buckets {
            let start = ["start_time", "starting_at"].iter().map(|name| &bucket[*name]).find(|start| !start.is_null());
            let start = start.map(|start| start.as_str().map_or_else(|| start.to_string(), str::to_owned));
            let day = start.as_deref().and_then(day).ok_or_else(|| {
                "is no usage report: its `data` must be buckets with `start_time` or `starting_at`".to_owned()
            })?;
            let results = bucket["results"].as_array().ok_or("is no usage report: a bucket has no `results`")?;
            for result in results {
                let (model, used) = read(result)?;
                export.add(day, &model, used);
            }
        }
    }
    Ok(export)
}

/// Reads one result of a report.
fn read(result: &Value) -> Result<(String, Used), String> {
    let count = |at: &str| result.pointer(at).and_then(Value::as_u64);
    let model = result["model"].as_str().or_else(|| result["line_item"].as_str().map(model_of)).unwrap_or_default();
    let cost = match &result["amount"] {
        Value::Null => None,
        // OpenAI's: dollars.
        Value::Object(amount) => {
            let currency = amount.get("currency").and_then(Value::as_str).unwrap_or("usd");
            Some(in_dollars(&amount["value"], currency, 1.0)?)
        }
        // Anthropic's: cents.
        amount => Some(in_dollars(amount, result["currency"].as_str().unwrap_or("USD"), 0.01)?),
    };
    let parts = [
        "/uncached_input_tokens",
        "/cache_read_input_tokens",
        "/cache_creation/ephemeral_5m_input_tokens",
        "/cache_creation/ephemeral_1h_input_tokens",
        "/cache_creation_input_tokens",
    ];
    let parts = parts.into_iter().filter_map(count).reduce(u64::saturating_add);
    // OpenAI's count holds what came from the cache.
    let input = count("/input_tokens").or(parts);
    Ok((model.to_owned(), Used { input, output: count("/output_tokens"), cost }))
}

fn in_dollars(amount: &Value, currency: &str, unit: f64) -> Result<i64, String> {
    if !currency.eq_ignore_ascii_case("usd") {
        return Err(format!("is in {currency:?}: only dollars are compared"));
    }
    let amount = amount.as_f64().or_else(|| amount.as_str()?.trim().parse().ok());
    let amount = amount.filter(|amount| amount.is_finite()).ok_or("has an `amount` that is no number")?;
    Ok(nanos(amount * unit))
}

/// The names of columns: the day, the model, tokens of whole prompts, their parts, tokens of answers, dollars.
const DAYS: [&str; 7] = ["day", "date", "usage_date_utc", "start_time_iso", "start_time", "starting_at", "timestamp"];
const MODELS: [&str; 4] = ["model", "model_version", "line_item", "snapshot_id"];
const INPUTS: [&str; 3] = ["input", "input_tokens", "prompt_tokens"];
const INPUT_PARTS: [&str; 4] = [
    "usage_input_tokens_no_cache",
    "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h",
    "usage_input_tokens_cache_read",
];
const OUTPUTS: [&str; 4] = ["output", "output_tokens", "completion_tokens", "usage_output_tokens"];
const COSTS: [&str; 4] = ["cost", "cost_usd", "amount_value", "amount"];
const CURRENCIES: [&str; 2] = ["amount_currency", "currency"];

fn csv(text: &str) -> Result<Export, String> {
    let head = text.lines().next().unwrap_or_default();
    let mark = ['\t', ';', ','].into_iter().find(|mark| head.contains(*mark)).unwrap_or(',');
    let mut rows = rows(text, mark).into_iter();
    let names: Vec<String> =
        rows.next().unwrap_or_default().iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let place = |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
    let at_day = place(&DAYS).ok_or_else(|| format!("has no column of days: one of {}", DAYS.join(", ")))?;
    let (model, input, output) = (place(&MODELS), place(&INPUTS), place(&OUTPUTS));
    let (cost, currency) = (place(&COSTS), place(&CURRENCIES));
    let parts: Vec<usize> = INPUT_PARTS.iter().filter_map(|name| place(&[name])).collect();
    if [input, output, cost].iter().all(Option::is_none) && parts.is_empty() {
        let known = [&INPUTS[..], &OUTPUTS, &COSTS].concat().join(", ");
        return Err(format!("has no column of tokens or dollars: one of {known}"));
    }
    let mut export = Export::default();
    for (line, row) in (2..).zip(rows).filter(|(_, row)| row.iter().any(|cell| !cell.trim().is_empty())) {
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).map_or("", |cell| cell.trim());
        let wrong = |what: &str, text: &str| format!("row {line}: {text:?} is no {what}");
        let at = cell(Some(at_day));
        let day = day(at).ok_or_else(|| wrong("day", at))?;
        let number = |at: Option<usize>, what: &str| {
            let text = cell(at);
            if text.is_empty() {
                return Ok(None);
            }
            let number = text.trim_start_matches('$').parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Some).ok_or_else(|| wrong(what, text))
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts; beyond the range its end")]
        let tokens = |at: Option<usize>| number(at, "number of tokens").map(|it| it.map(|it| it.max(0.0) as u64));
        let mut used = Used { input: tokens(input)?, output: tokens(output)?, cost: None };
        for part in &parts {
            used.add(Used { input: tokens(Some(*part))?, ..Used::default() });
        }
        used.cost = number(cost, "amount of dollars")?.map(nanos);
        let unit = cell(currency);
        if used.cost.is_some() && !unit.is_empty() && !unit.eq_ignore_ascii_case("usd") {
            return Err(format!("row {line}: is in {unit:?}: only dollars are compared"));
        }
        export.add(day, model_of(cell(model)), used);
    }
    Ok(export)
}

/// Takes a table apart: cells may be quoted, with a quote written twice, and hold line breaks then.
fn rows(text: &str, mark: char) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter if letter == mark && !quoted => row.push(std::mem::take(&mut cell)),
            letter => cell.push(letter),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what an export tells, a line for each day and model.
    fn told(text: &str) -> Result<Vec<String>, String> {
        let line = |((day, model), used): (&(i64, String), &Used)| {
            let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
            let cost = used.cost.map_or("-".to_owned(), |nanos| format!("{:.6}", nanos as f64 / 1e9));
            format!("{} {model} {} {} {cost}", Date(*day), count(used.input), count(used.output))
        };
        Export::read(text).map(|export| export.used.iter().map(line).collect())
    }

    #[test]
    fn the_reports_of_two_providers_are_read_as_they_answer_them() {
        let openai = r#"{"object": "page", "has_more": false, "data": [{"object": "bucket", "start_time": 1764460800,
            "end_time": 1764547200, "results": [{"object": "organization.usage.completions.result",
            "input_tokens": 1000, "input_cached_tokens": 800, "output_tokens": 500, "num_model_requests": 5,
            "model": "gpt-5-mini-2025-08-07"}, {"input_tokens": 1, "output_tokens": 2,
            "model": "gpt-5-mini-2025-08-07", "api_key_id": "another"}]}]}"#;
        assert_eq!(told(openai).expect("a report"), ["2025-11-30 gpt-5-mini-2025-08-07 1001 502 -"]);
        let costs = r#"[{"data": [{"start_time": 1764460800, "results": [
            {"amount": {"value": "0.06", "currency": "usd"}, "line_item": "gpt-5-mini-2025-08-07, input"},
            {"amount": {"value": 0.125, "currency": "usd"}, "line_item": "gpt-5-mini-2025-08-07, output"}]}],
            "has_more": true}, {"data": [], "has_more": false}]"#;
        assert_eq!(told(costs).expect("a report"), ["2025-11-30 gpt-5-mini-2025-08-07 - - 0.185000"]);
        assert!(!Export::read(costs).expect("a report").has_more, "its next page is there");
        let anthropic = r#"{"data": [{"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z",
            "results": [{"uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "cache_creation":
            {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500}, "output_tokens": 700,
            "model": "claude-haiku-4-5-20251001"}]}], "has_more": true, "next_page": "x"}"#;
        assert_eq!(told(anthropic).expect("a report"), ["2025-08-01 claude-haiku-4-5-20251001 3200 700 -"]);
        assert!(Export::read(anthropic).expect("a report").has_more);
        let cents = r#"{"data": [{"starting_at": "2025-08-01T00:00:00Z", "results":
            [{"currency": "USD", "amount": "123.78", "model": "claude-haiku-4-5-20251001"}]}]}"#;
        assert_eq!(told(cents).expect("a report"), ["2025-08-01 claude-haiku-4-5-20251001 - - 1.237800"]);
    }

    #[test]
    fn tables_are_read_by_the_names_of_their_columns() {
        let plain = "\u{feff}Day,Model,Input,Output,Cost\r\n2026-11-29,gpt-5-mini,10,20,$0.5\r\n\r\n2026-11-29,gpt-5-mini,1,2,0.25\r\n";
        assert_eq!(told(plain).expect("a table"), ["2026-11-29 gpt-5-mini 11 22 0.750000"]);
        let console = "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,\
                       usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n\
                       2026-11-28 15:00,\"claude, \"\"haiku\"\"\",1,2,3,4,5\n";
        assert_eq!(told(console).expect("a table"), ["2026-11-28 claude 10 5 -"]);
        let tabs = "start_time\tstart_time_iso\tamount_value\tamount_currency\tline_item\n\
                    1764460800\t2025-11-30T00:00:00+00:00\t0.8958740000000000\tusd\t\n\
                    1764547200\t2025-12-01T00:00:00+00:00\t\t\t\n";
        assert_eq!(told(tabs).expect("a table"), ["2025-11-30  - - 0.895874"]);
    }

    #[test]
    fn what_is_no_export_says_what_it_lacks() {
        for (text, problem) in [
            ("", "is empty"),
            ("{", "is no JSON"),
            ("{\"data\": [{\"id\": 1}]}", "is no usage report"),
            ("{\"data\": []}", "tells of no use"),
            ("model,input\na,1", "has no column of days"),
            ("day,model\n2026-11-29,a", "has no column of tokens or dollars"),
            ("day,model,cost\nsoon,a,1", "row 2: \"soon\" is no day"),
            ("day,model,cost\n2026-11-29,a,much", "row 2: \"much\" is no amount of dollars"),
            ("day,model,cost,currency\n2026-11-29,a,1,eur", "row 2: is in \"eur\""),
            ("day,model,cost\n", "tells of no use"),
        ] {
            let said = told(text).expect_err(text);
            assert!(said.starts_with(problem), "{text}: {said}");
        }
    }
}

//! `standin reconcile`: a provider's own account beside ours, day by day and model by model.

mod export;

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};
use standin::runtime::Question;
use standin::sidecar::{dollars, printable};
use standin::{Date, models};

use super::ledger::{self, LedgerQuestion, csv};
use super::operator::list;
use super::{failed, load};
use export::{Export, Used, nanos};

/// What is compared: a day, and a model without the date of its version.
type DayModel = (i64, String);

/// A day of a model, as we have it and as they do.
#[derive(Default)]
struct ComparedUsage {
    ours: OwnUsage,
    theirs: Used,
}

/// What our books say.
#[derive(Clone, Copy, Default)]
struct OwnUsage {
    input: u64,
    output: u64,
    cost: i64,
    estimated: i64,
    unpriced: u64,
}

pub async fn run(options: super::Reconcile) -> ExitCode {
    let name = options.export.display();
    let read = load::text(&options.export).map_err(|error| error.to_string()).and_then(|text| Export::read(&text));
    let export = match read {
        Ok(export) => export,
        Err(problem) => return failed(&format!("{name}: {problem}")),
    };
    let days = || export.used.keys().map(|(day, _)| *day);
    let (Some(first), Some(last)) = (days().min(), days().max()) else { return failed("it tells of no day") };
    let asked = LedgerQuestion {
        by: "day-target".to_owned(),
        since: Some(Date(first).to_string()),
        until: Some(Date(last).plus(1).to_string()),
        lines: Some(Question::LINES_MAX),
    };
    let statement = match ledger::ask(&asked, options.source.file.as_deref(), &options.sidecar).await {
        Ok(statement) => statement,
        Err(problem) => return failed(&problem),
    };
    if statement["cut"] == true {
        return failed(&format!(
            "{name}: spans more than {} days and models of ours: export fewer days at once",
            Question::LINES_MAX
        ));
    }
    for name in options.provider.iter().filter(|name| !lines(&statement).any(|(_, of, ..)| of == *name)) {
        super::tell(&format!("our ledger has no attempt at a provider `{name}` in these days: is that its name?"));
    }
    let both = side_by_side(&export, &statement, &options.provider);
    let value = told(&both, &statement, &options.provider);
    if options.source.json {
        say!("{value:#}");
    } else if options.source.csv {
        csv(&value, &COLUMNS);
    } else {
        table(&value, &statement);
    }
    if export.has_more {
        super::tell(&format!("{name}: has a further page (`has_more`): what stands there is missing here"));
    }
    ExitCode::SUCCESS
}

/// Returns a statement's lines, each with its day, its provider and its model.
fn lines(statement: &Value) -> impl Iterator<Item = (&str, &str, &str, &Value)> {
    list(&statement["lines"]).iter().filter_map(|line| {
        let (day, target) = line["of"].as_str()?.split_once(' ')?;
        let (provider, model) = target.split_once('/')?;
        Some((day, provider, model, line))
    })
}

/// Puts both accounts side by side. Where an export names no model, days are compared.
fn side_by_side(export: &Export, statement: &Value, providers: &[String]) -> BTreeMap<DayModel, ComparedUsage> {
    let by_model = export.used.keys().any(|(_, model)| !model.is_empty());
    let of = |day: i64, model: &str| (day, if by_model { models::family(model) } else { String::new() });
    let mut both: BTreeMap<DayModel, ComparedUsage> = BTreeMap::new();
    for ((day, model), used) in &export.used {
        both.entry(of(*day, model)).or_default().theirs.add(*used);
    }
    for (day, provider, model, line) in lines(statement) {
        let Some(day) = Date::parse(day).filter(|_| providers.iter().any(|one| one == provider)) else { continue };
        let count = |at: &str| line.pointer(at).and_then(Value::as_u64).unwrap_or_default();
        let money = |at: &str| nanos(line[at].as_f64().unwrap_or_default());
        let ours = &mut both.entry(of(day.0, model)).or_default().ours;
        ours.input = ours.input.saturating_add(count("/tokens/input"));
        ours.output = ours.output.saturating_add(count("/tokens/output"));
        ours.cost = ours.cost.saturating_add(money("cost_usd"));
        ours.estimated = ours.estimated.saturating_add(money("estimated_usd"));
        ours.unpriced = ours.unpriced.saturating_add(count("/unpriced"));
    }
    both
}

/// Returns everything as JSON. What the export does not tell is null, and so is its difference.
fn told(both: &BTreeMap<DayModel, ComparedUsage>, statement: &Value, providers: &[String]) -> Value {
    let line = |both: &ComparedUsage| {
        let ComparedUsage { ours, theirs } = both;
        let in_dollars = |nanos: i64| nanos as f64 / 1e9;
        let count = |count: Option<u64>, ours: u64| count.map(|count| i128::from(count) - i128::from(ours));
        let count = |theirs, ours| count(theirs, ours).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        json!({
            "ours": {
                "input_tokens": ours.input,
                "output_tokens": ours.output,
                "cost_usd": in_dollars(ours.cost),
                "estimated_usd": in_dollars(ours.estimated),
                "unpriced": ours.unpriced,
            },
            "theirs": {
                "input_tokens": theirs.input,
                "output_tokens": theirs.output,
                "cost_usd": theirs.cost.map(in_dollars),
            },
            "difference": {
                "input_tokens": count(theirs.input, ours.input),
                "output_tokens": count(theirs.output, ours.output),
                "cost_usd": theirs.cost.map(|cost| in_dollars(cost.saturating_sub(ours.cost))),
            },
        })
    };
    let mut sum = ComparedUsage::default();
    let lines = both.iter().map(|((day, model), both)| {
        sum.theirs.add(both.theirs);
        let (all, one) = (&mut sum.ours, both.ours);
        for (all, one) in
            [(&mut all.input, one.input), (&mut all.output, one.output), (&mut all.unpriced, one.unpriced)]
        {
            *all = all.saturating_add(one);
        }
        (all.cost, all.estimated) = (all.cost.saturating_add(one.cost), all.estimated.saturating_add(one.estimated));
        let mut value = line(both);
        (value["day"], value["model"]) = (json!(Date(*day).to_string()), json!(model));
        value
    });
    let lines: Vec<Value> = lines.collect();
    json!({
        "providers": providers,
        "lines": lines,
        "sum": line(&sum),
        "lost": statement["lost"],
        "again": statement["again"],
    })
}

/// The columns of programs, and the place of each in a line.
const COLUMNS: [(&str, &str); 11] = [
    ("day", "/day"),
    ("model", "/model"),
    ("ours_cost_usd", "/ours/cost_usd"),
    ("theirs_cost_usd", "/theirs/cost_usd"),
    ("difference_cost_usd", "/difference/cost_usd"),
    ("ours_input_tokens", "/ours/input_tokens"),
    ("theirs_input_tokens", "/theirs/input_tokens"),
    ("difference_input_tokens", "/difference/input_tokens"),
    ("ours_output_tokens", "/ours/output_tokens"),
    ("theirs_output_tokens", "/theirs/output_tokens"),
    ("difference_output_tokens", "/difference/output_tokens"),
];

fn table(value: &Value, statement: &Value) {
    say!(
        "{:<10} {:<30} {:>11} {:>11} {:>11} {:>8} {:>14} {:>14}",
        "day",
        "model",
        "$ ours",
        "$ theirs",
        "difference",
        "",
        "tokens in",
        "out"
    );
    for line in list(&value["lines"]) {
        row(line, line["day"].as_str().unwrap_or_default(), line["model"].as_str().unwrap_or_default());
    }
    row(&value["sum"], "all", "");
    let number = |at: &str| value.pointer(at).and_then(Value::as_f64).unwrap_or_default();
    let unpriced = number("/sum/ours/unpriced");
    if unpriced > 0.0 {
        say!("{unpriced} attempt(s) of ours at models without a known price stand in no sum of dollars");
    }
    let estimated = number("/sum/ours/estimated_usd");
    if estimated > 0.0 {
        say!(
            "of our dollars {} rest on estimated tokens: their answers broke off, or counted none",
            dollars(estimated)
        );
    }
    let (lost, again) = (statement["lost"].as_u64(), statement["again"].as_u64());
    for (count, what) in [
        (lost, "record(s) of ours were lost since the file was begun"),
        (again, "call(s) were sent again after a restart: what was sent before stands in no line of ours"),
    ] {
        if let Some(count) = count.filter(|count| *count > 0) {
            say!("{count} {what}");
        }
    }
}

/// Writes a line; differences are what they count beyond ours.
fn row(line: &Value, day: &str, model: &str) {
    let at = |at: &str| line.pointer(at).and_then(Value::as_f64);
    let money = |dollars: Option<f64>| dollars.map_or_else(|| "-".to_owned(), self::dollars);
    let (ours, theirs, difference) = (at("/ours/cost_usd"), at("/theirs/cost_usd"), at("/difference/cost_usd"));
    let sign = |is_more: bool| if is_more { "+" } else { "" };
    let differs = difference.map_or_else(
        || "-".to_owned(),
        |cost| {
            if cost < 0.0 { format!("-{}", dollars(-cost)) } else { format!("{}{}", sign(cost > 0.0), dollars(cost)) }
        },
    );
    let share = match (difference, ours) {
        (Some(difference), Some(ours)) if ours > 0.0 => format!("{:+.1} %", difference / ours * 100.0),
        _ => String::new(),
    };
    let tokens = |name: &str| match line.pointer(name).and_then(Value::as_i64) {
        Some(count) => format!("{}{count}", sign(count > 0)),
        None => "-".to_owned(),
    };
    say!(
        "{day:<10} {:<30} {:>11} {:>11} {differs:>11} {share:>8} {:>14} {:>14}",
        printable(model),
        money(ours),
        money(theirs),
        tokens("/difference/input_tokens"),
        tokens("/difference/output_tokens"),
    );
}

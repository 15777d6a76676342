//! The questions to a kept ledger, and its answers: plain data, the same in tables, JSON and CSV.
//!
//! Money is counted in billionths of a dollar, so that sums of parts are the sum. The cost of an attempt is waste
//! unless its answer became its call's answer. The reason follows from how it ended.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use super::budget::dollars;
use crate::words::Usage;

/// What each line of a statement is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupBy {
    /// Everything, in one line.
    #[default]
    All,
    /// Each route.
    Route,
    /// Each provider.
    Provider,
    /// Each model, at all its providers.
    Model,
    /// Each `provider/model`.
    Target,
    /// Each provider's key, by its name.
    Key,
    /// Each client's key, by its name.
    Client,
    /// Each value of a tag. A record without such a tag is in no line.
    Tag(String),
    /// Each day, in UTC.
    Day,
    /// Each `provider/model` of each day, in UTC: `2026-11-29 openai/gpt-5-mini`.
    DayTarget,
    /// Each hour, in UTC.
    Hour,
    /// Each reason for waste.
    Waste,
    /// Each class of failures.
    Failure,
    /// Each way in which calls end. Its lines count calls, not attempts.
    Outcome,
}

impl GroupBy {
    /// Every kind except tags, by its name.
    pub const ALL: [(&'static str, Self); 13] = [
        ("all", Self::All),
        ("route", Self::Route),
        ("provider", Self::Provider),
        ("model", Self::Model),
        ("target", Self::Target),
        ("key", Self::Key),
        ("client", Self::Client),
        ("day", Self::Day),
        ("day-target", Self::DayTarget),
        ("hour", Self::Hour),
        ("waste", Self::Waste),
        ("failure", Self::Failure),
        ("outcome", Self::Outcome),
    ];
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(name) => write!(f, "tag:{name}"),
            other => f.write_str(Self::ALL.iter().find(|(_, by)| by == other).map_or("", |(name, _)| name)),
        }
    }
}

/// The error for a text that names no kind of line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}, or tag:NAME", GroupBy::ALL.map(|(name, _)| name).join(", "))]
pub struct UnknownGrouping;

impl FromStr for GroupBy {
    type Err = UnknownGrouping;

    fn from_str(text: &str) -> Result<Self, UnknownGrouping> {
        if let Some(name) = text.strip_prefix("tag:").filter(|name| !name.is_empty()) {
            return Ok(Self::Tag(name.to_owned()));
        }
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, by)| by).ok_or(UnknownGrouping)
    }
}

/// A question to a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// What each line is about.
    pub by: GroupBy,
    /// Counts from this time on, in whole hours: the hour of this time counts. `None` is from the beginning.
    pub since: Option<SystemTime>,
    /// Counts until this time, in whole hours: the hour of this time does not count. `None` is until now.
    pub until: Option<SystemTime>,
    /// The most lines; those that cost most. 1 000 where it is 0.
    pub lines_max: u32,
}

impl Question {
    /// The most lines that a running sidecar gives.
    pub const LINES_MAX: u32 = 10_000;

    /// Returns a question about all costs, with lines of this kind.
    pub fn by(by: GroupBy) -> Self {
        Self { by, ..Self::default() }
    }

    /// Asks only for what ended from that time on, to the hour.
    #[must_use]
    pub const fn since(mut self, since: SystemTime) -> Self {
        self.since = Some(since);
        self
    }

    /// Asks only for what had ended by that time, to the hour.
    #[must_use]
    pub const fn until(mut self, until: SystemTime) -> Self {
        self.until = Some(until);
        self
    }

    /// Refuses a time that ends before it begins.
    ///
    /// # Errors
    /// With the field and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if until <= since => Err("until: must be later than since".to_owned()),
            _ => Ok(()),
        }
    }

    /// Asks for this many lines at most.
    #[must_use]
    pub const fn lines_max(mut self, lines: u32) -> Self {
        self.lines_max = lines;
        self
    }
}

/// One line of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The group that the line sums, such as a route's name or a day; `all` for the sum of all lines.
    pub of: String,
    /// Attempts that ended; of a statement by outcome, calls.
    pub attempts: u64,
    /// Those whose answer was their call's answer.
    pub answers: u64,
    /// Attempts whose price is not known: they are in no sum of dollars.
    pub unpriced: u64,
    /// Tokens.
    pub usage: Usage,
    /// Billionths of a dollar.
    pub cost: i64,
    /// Those among them whose tokens are an estimate.
    pub estimated: i64,
    /// Those among them that bought no answer.
    pub wasted: i64,
}

impl Line {
    /// Returns what it cost, in dollars.
    pub fn cost_usd(&self) -> f64 {
        dollars(self.cost)
    }

    /// Returns what bought no answer, in dollars.
    pub fn wasted_usd(&self) -> f64 {
        dollars(self.wasted)
    }

    /// Returns the part of the cost that rests on estimated tokens, in dollars.
    pub fn estimated_usd(&self) -> f64 {
        dollars(self.estimated)
    }

    /// Returns what a good answer cost, waste included, in dollars; `None` where there was none.
    pub fn answer_usd(&self) -> Option<f64> {
        (self.answers > 0).then(|| self.cost_usd() / self.answers as f64)
    }

    /// Returns which part of the prompts' tokens came from a provider's cache; `None` where there were none.
    pub fn cached_share(&self) -> Option<f64> {
        (self.usage.input > 0).then(|| self.usage.cached as f64 / self.usage.input as f64)
    }

    fn add(&mut self, other: &Self) {
        let sum = |one: &mut u64, more: u64| *one = one.saturating_add(more);
        sum(&mut self.attempts, other.attempts);
        sum(&mut self.answers, other.answers);
        sum(&mut self.unpriced, other.unpriced);
        for (one, more) in [
            (&mut self.usage.input, other.usage.input),
            (&mut self.usage.output, other.usage.output),
            (&mut self.usage.cached, other.usage.cached),
            (&mut self.usage.cache_write, other.usage.cache_write),
            (&mut self.usage.reasoning, other.usage.reasoning),
        ] {
            sum(one, more);
        }
        self.cost = self.cost.saturating_add(other.cost);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.wasted = self.wasted.saturating_add(other.wasted);
    }
}

/// A ledger's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// What each line is about.
    pub by: GroupBy,
    /// The lines: those of times in their order, all others with the highest cost first.
    pub lines: Vec<Line>,
    /// All lines together.
    pub sum: Line,
    /// Whether there are more lines than were asked for.
    pub cut: bool,
    /// Records that were lost since the file was begun; they are in no line.
    pub lost: u64,
    /// Calls since the file was begun that were sent again after a restart: the sending before it may have been billed,
    /// too, and is in no line.
    pub again: u64,
    /// Entries, and sums of hours, that were deleted before their time since the file was begun, for it was too large.
    /// The sums of entries stay.
    pub removed: u64,
    /// Of a statement by a tag: hours in which more tags were used than have sums, of which this one may be, and whose
    /// entries are deleted. What it had there is in no line.
    pub unknown_hours: u64,
    /// From when on the lines are complete: earlier sums were deleted, for their age or for size. `None` is from the
    /// beginning.
    pub whole_from: Option<SystemTime>,
}

impl Statement {
    /// Returns a statement of these lines.
    pub fn new(by: GroupBy, lines: Vec<Line>, cut: bool, lost: u64) -> Self {
        let mut sum = Line { of: "all".into(), ..Line::default() };
        for line in &lines {
            sum.add(line);
        }
        Self { by, lines, sum, cut, lost, again: 0, removed: 0, unknown_hours: 0, whole_from: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::budget::nanos;

    #[test]
    fn every_grouping_is_read_back_from_its_name() {
        let tag = GroupBy::Tag("team".into());
        for by in GroupBy::ALL.into_iter().map(|(_, by)| by).chain([tag]) {
            assert_eq!(by.to_string().parse(), Ok(by));
        }
        for text in ["", "tag:", "tag", "colour"] {
            assert_eq!(text.parse::<GroupBy>(), Err(UnknownGrouping), "{text}");
        }
    }

    #[test]
    fn money_survives_being_counted_in_billionths() {
        // A token of the cheapest models costs twenty billionths of a dollar.
        assert_eq!(nanos(0.02 / 1e6), 20);
        assert_eq!(nanos(dollars(123_456_789_012)), 123_456_789_012);
        assert_eq!(nanos(f64::MAX), i64::MAX);
    }

    #[test]
    fn a_line_without_answers_has_no_price_of_one() {
        let line = Line { attempts: 3, cost: nanos(0.5), wasted: nanos(0.5), ..Line::default() };
        assert_eq!((line.answer_usd(), line.cached_share()), (None, None));
        let answered = Line { answers: 2, cost: nanos(0.5), ..Line::default() };
        let statement = Statement::new(GroupBy::Route, vec![line, answered], false, 0);
        assert_eq!(statement.sum.answer_usd(), Some(0.5));
        assert_eq!((statement.sum.attempts, statement.sum.wasted_usd()), (3, 0.5));
    }

    #[test]
    fn shares_and_sums_of_a_line_are_those_of_its_tokens_and_money() {
        let usage = Usage { input: 400, cached: 100, ..Usage::default() };
        let line = Line { usage, estimated: nanos(0.25), ..Line::default() };
        assert_eq!((line.cached_share(), line.estimated_usd()), (Some(0.25), 0.25));
        let time = SystemTime::UNIX_EPOCH;
        let asked = Question::by(GroupBy::Day).since(time).until(time).lines_max(7);
        assert_eq!(asked, Question { by: GroupBy::Day, since: Some(time), until: Some(time), lines_max: 7 });
    }
}

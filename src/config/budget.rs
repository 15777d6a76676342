//! A budget as a user sets it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::names::WrittenNames;
use crate::policy::budget::{Budget, BudgetScope, OnSpent, Period, Unit, nanos};
use crate::words::{ConfigError, meant};

/// The longest window.
const WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The shortest one: its steps are seconds.
const WINDOW_MIN: Duration = Duration::from_secs(60);

/// A limit of spending: in dollars or tokens, in which period, on what, and how calls are treated once it is spent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// The limit in dollars, above 0. Either this or `tokens`.
    #[serde(default)]
    pub dollars: Option<f64>,
    /// The limit in tokens of prompts and answers, 1 or more.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// The period: `"day"`, `"week"` (from Monday), `"month"`, in UTC, or a sliding window, such as `"6h"`.
    #[serde(deserialize_with = "a_period")]
    pub per: Period,
    /// What it covers: `"all"`, `"route:NAME"`, `"client:NAME"`, `"tag:NAME=VALUE"`; or an account for each: `"route"`,
    /// `"client"`, `"tag:NAME"`. Default: all.
    #[serde(default = "all", deserialize_with = "a_scope")]
    pub of: BudgetScope,
    /// How calls are treated once it is spent: `"refuse"`, `"warn"`, `"least-cost"`, or `{ price_max = 0.01 }`.
    /// Default: `"refuse"`.
    #[serde(default = "refuse", deserialize_with = "a_consequence")]
    pub on_spent: OnSpent,
}

impl BudgetConfig {
    /// Returns a budget of dollars for everything, beyond which calls are refused.
    pub const fn dollars(dollars: f64, per: Period) -> Self {
        Self { dollars: Some(dollars), tokens: None, per, of: BudgetScope::All, on_spent: OnSpent::Refuse }
    }

    /// Returns a budget of tokens for everything, beyond which calls are refused.
    pub const fn tokens(tokens: u64, per: Period) -> Self {
        Self { dollars: None, tokens: Some(tokens), per, of: BudgetScope::All, on_spent: OnSpent::Refuse }
    }

    /// Returns the same budget of something else.
    #[must_use]
    pub fn of(self, of: BudgetScope) -> Self {
        Self { of, ..self }
    }

    /// Returns the same budget with another treatment of calls once it is spent.
    #[must_use]
    pub fn on_spent(self, on_spent: OnSpent) -> Self {
        Self { on_spent, ..self }
    }

    /// Checks it. `route` finds a route's own name.
    pub(super) fn check<'r>(
        &self,
        name: &str,
        route: &dyn Fn(&str) -> Option<&'r str>,
        written: &WrittenNames<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Budget {
        let mut refuse = |field: &str, problem: String| {
            errors.push(ConfigError::new(format!("budgets.{name}{field}"), problem));
        };
        let (unit, limit) = match (self.dollars, self.tokens) {
            (Some(dollars), None) => (Unit::Nanodollars, nanos(dollars)),
            (None, Some(tokens)) => (Unit::Tokens, i64::try_from(tokens).unwrap_or(i64::MAX)),
            _ => {
                refuse("", "needs either `dollars` or `tokens`, as `dollars = 20.0`".into());
                (Unit::Tokens, 1)
            }
        };
        if limit <= 0 || self.dollars.is_some_and(|dollars| !dollars.is_finite()) {
            let field = if unit == Unit::Tokens { ".tokens" } else { ".dollars" };
            refuse(field, "must be above 0".into());
        }
        if let Period::Window(window) = self.per
            && !(WINDOW_MIN..=WINDOW_MAX).contains(&window)
        {
            refuse(".per", "must be day, week, month, or a time from a minute to a year, as \"6h\"".into());
        }
        if let OnSpent::PriceMax(most) = self.on_spent
            && !(most.is_finite() && most > 0.0)
        {
            refuse(".on_spent.price_max", "must be a number of dollars above 0, as 0.01".into());
        }
        let mut of = self.of.clone();
        if let BudgetScope::Route(Some(wanted)) = &self.of {
            match route(wanted) {
                Some(own) => of = BudgetScope::Route(Some(own.to_owned())),
                None if written.has(wanted) => {}
                None => {
                    let meant = meant(wanted, written.all());
                    refuse(".of", format!("`{wanted}` is no route, alias or `provider/model`; {meant}"));
                }
            }
        }
        Budget { name: name.into(), unit, limit, period: self.per, of, on_spent: self.on_spent }
    }
}

const fn all() -> BudgetScope {
    BudgetScope::All
}

const fn refuse() -> OnSpent {
    OnSpent::Refuse
}

/// The periods, for errors.
const PERIOD: &str = "\"day\", \"week\", \"month\", or a window, as \"6h\"";
/// What a budget can cover, for errors.
const SCOPE: &str = "\"all\", \"route:NAME\", \"client:NAME\", \"tag:NAME=VALUE\", or each for itself: \"route\", \
                     \"client\", \"tag:NAME\"";
/// The treatments of calls, for errors.
const CONSEQUENCE: &str = "\"refuse\", \"warn\", \"least-cost\", or a price, as { price_max = 0.01 }";

/// The error for an unknown text.
struct Other;

struct Read<T>(T);

impl FromStr for Read<Period> {
    type Err = Other;

    fn from_str(text: &str) -> Result<Self, Other> {
        Ok(Self(match text {
            "day" => Period::Day,
            "week" => Period::Week,
            "month" => Period::Month,
            window => Period::Window(humantime::parse_duration(window).map_err(|_| Other)?),
        }))
    }
}

impl FromStr for Read<BudgetScope> {
    type Err = Other;

    fn from_str(text: &str) -> Result<Self, Other> {
        let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
        if name.is_some_and(str::is_empty) {
            return Err(Other);
        }
        Ok(Self(match (kind, name) {
            ("all", None) => BudgetScope::All,
            ("route", one) => BudgetScope::Route(one.map(str::to_owned)),
            ("client", one) => BudgetScope::Client(one.map(str::to_owned)),
            ("tag", Some(tag)) => match tag.split_once('=') {
                Some((tag, value)) if !tag.is_empty() => BudgetScope::Tag(tag.to_owned(), Some(value.to_owned())),
                Some(_) => return Err(Other),
                None => BudgetScope::Tag(tag.to_owned(), None),
            },
            _ => return Err(Other),
        }))
    }
}

impl FromStr for Read<OnSpent> {
    type Err = Other;

    fn from_str(text: &str) -> Result<Self, Other> {
        match text {
            "refuse" => Ok(Self(OnSpent::Refuse)),
            "warn" => Ok(Self(OnSpent::Warn)),
            "least-cost" => Ok(Self(OnSpent::LeastCost)),
            _ => Err(Other),
        }
    }
}

/// Reads a text of one of these, or where that may be a table.
struct Text<T>(&'static str, Option<fn(Price) -> T>);

/// A price in the place of a word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    price_max: f64,
}

impl<'de, T> Visitor<'de> for Text<T>
where
    Read<T>: FromStr,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse::<Read<T>>().map(|Read(read)| read).map_err(|_| E::custom(format!("must be {}", self.0)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        match self.1 {
            Some(of) => Price::deserialize(MapAccessDeserializer::new(map)).map(of),
            None => Err(serde::de::Error::custom(format!("must be {}", self.0))),
        }
    }
}

fn a_period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
    deserializer.deserialize_any(Text(PERIOD, None))
}

fn a_scope<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BudgetScope, D::Error> {
    deserializer.deserialize_any(Text(SCOPE, None))
}

fn a_consequence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnSpent, D::Error> {
    deserializer.deserialize_any(Text(CONSEQUENCE, Some(|price: Price| OnSpent::PriceMax(price.price_max))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(text: &str) -> Result<BudgetConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_budget_is_read_as_people_write_it() {
        let of =
            |of: &str| read(&format!("dollars = 5.0\nper = 'day'\nof = '{of}'")).map(|budget| budget.of.to_string());
        for scope in ["all", "route", "route:smart", "client", "client:ci", "tag:team", "tag:team=red"] {
            assert_eq!(of(scope).expect(scope), scope);
        }
        for scope in ["", "tag", "tag:", "route:", "tag:=red", "team", "all:x"] {
            assert!(of(scope).is_err(), "{scope}");
        }
        let plain = read("dollars = 5.0\nper = 'month'").expect("a budget");
        assert_eq!(plain, BudgetConfig::dollars(5.0, Period::Month));
        let window = read("tokens = 9\nper = '6h'\non_spent = { price_max = 0.01 }").expect("a budget");
        let six = Period::Window(Duration::from_secs(6 * 3_600));
        assert_eq!(window, BudgetConfig::tokens(9, six).on_spent(OnSpent::PriceMax(0.01)));
        for text in
            ["dollars = 5.0", "per = 'fortnight'", "per = 'day'\non_spent = 'explode'", "per = {price_max = 1.0}"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_field() {
        let second = Period::Window(Duration::from_secs(1));
        for (budget, field) in [
            (BudgetConfig::dollars(0.0, Period::Day), "budgets.b.dollars"),
            (BudgetConfig::dollars(f64::NAN, Period::Day), "budgets.b.dollars"),
            (BudgetConfig { tokens: Some(1), ..BudgetConfig::dollars(1.0, Period::Day) }, "budgets.b"),
            (BudgetConfig { dollars: None, ..BudgetConfig::dollars(1.0, Period::Day) }, "budgets.b"),
            (BudgetConfig::tokens(1, second), "budgets.b.per"),
            (BudgetConfig::tokens(1, Period::Day).on_spent(OnSpent::PriceMax(-1.0)), "budgets.b.on_spent.price_max"),
            (BudgetConfig::tokens(1, Period::Day).of(BudgetScope::Route(Some("smrt".into()))), "budgets.b.of"),
        ] {
            let (mut errors, providers) = (Vec::new(), BTreeMap::new());
            let written = WrittenNames::of(&providers, std::iter::empty(), std::iter::empty(), &|_| false);
            budget.check("b", &|name| (name == "smart").then_some("smart"), &written, &mut errors);
            assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}

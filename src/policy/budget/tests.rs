use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::words::{CallId, Date, Price, Rates};

const DAY: u64 = 24 * 60 * 60;
const DOLLAR: i64 = 1_000_000_000;
const CENT: i64 = DOLLAR / 100;
/// A Wednesday, an hour before midnight.
const WEDNESDAY: &str = "2026-11-25";

fn at(day: &str, hour: u64) -> SystemTime {
    let day = u64::try_from(Date::parse(day).expect("a day").0).expect("after 1970");
    UNIX_EPOCH + Duration::from_secs(day * DAY + hour * 3_600)
}

fn about(route: &str, client: &str, team: &str) -> CallFacts {
    let mut about = CallFacts::new(CallId::new(1, 1), UNIX_EPOCH, route);
    about.client = Some(client.into());
    about.tags.insert("team".into(), team.into());
    about
}

fn budget(limit: i64, of: BudgetScope) -> Budget {
    let (name, unit, period) = ("b".into(), Unit::Nanodollars, Period::Day);
    Budget { name, unit, limit, period, of, on_spent: OnSpent::Refuse }
}

const fn nanos(nanos: i64) -> BudgetCost {
    BudgetCost { nanos: Some(nanos), tokens: 0 }
}

const fn costs(likely: i64, most: i64) -> Estimate {
    Estimate { likely: nanos(likely), most: nanos(most) }
}

const fn exactly(tokens: u32) -> PromptTokens {
    PromptTokens { likely: tokens, most: tokens }
}

/// Spends this much at once.
fn spend(money: &mut Budgets, about: &CallFacts, amount: i64, now: SystemTime) -> Result<Vec<Alert>, BudgetRefusal> {
    let taken = money.take(about, &costs(amount, amount), now)?;
    Ok(money.settle(about, taken, nanos(amount), now))
}

#[test]
fn a_clock_that_was_ahead_for_a_moment_neither_locks_a_budget_nor_renews_it() {
    for period in [Period::Day, Period::Window(Duration::from_secs(600))] {
        let mut money = Budgets::new(vec![Budget { period, ..budget(DOLLAR, BudgetScope::All) }]);
        let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
        let ahead = now + Duration::from_secs(3 * DAY);
        assert!(spend(&mut money, &call, 60 * CENT, now).is_ok());
        assert!(spend(&mut money, &call, 30 * CENT, ahead).is_ok());
        let why = spend(&mut money, &call, 20 * CENT, now).expect_err("90 cents are spent").why;
        assert_eq!(why.spent, Amount::Dollars(0.9), "{period}");
        let wait = why.renews_in.expect("there will be room");
        assert!(wait <= Duration::from_secs(DAY), "{period}: {wait:?}");
        assert!(spend(&mut money, &call, DOLLAR, now + wait).is_ok(), "{period}");
    }
}

#[test]
fn an_account_is_of_everything_of_one_or_of_each() {
    let of = |of: BudgetScope, about: &CallFacts| of.account(about).map(str::to_owned);
    let call = about("smart", "ci", "red");
    let one = |name: &str| Some(name.to_owned());
    for (whose, expected) in [
        (BudgetScope::All, Some("")),
        (BudgetScope::Route(None), Some("smart")),
        (BudgetScope::Route(one("fast")), None),
        (BudgetScope::Client(one("ci")), Some("ci")),
        (BudgetScope::Tag("team".into(), None), Some("red")),
        (BudgetScope::Tag("team".into(), one("blue")), None),
        (BudgetScope::Tag("job".into(), None), None),
    ] {
        assert_eq!(of(whose.clone(), &call).as_deref(), expected, "{whose}");
    }
    let mut money = Budgets::new(vec![budget(DOLLAR, BudgetScope::Tag("team".into(), None))]);
    let (now, red, blue) = (at(WEDNESDAY, 1), about("r", "c", "red"), about("r", "c", "blue"));
    assert!(spend(&mut money, &red, DOLLAR, now).is_ok());
    let why = spend(&mut money, &red, CENT, now).expect_err("it is spent").why;
    assert_eq!(why.to_string(), "budget `b` of team red: 1.00 of 1.00 dollars a day spent; there is room again in 23h");
    assert!(spend(&mut money, &blue, DOLLAR, now).is_ok(), "another has his own");
}

#[test]
fn budgets_renew_by_the_calendar_and_say_when() {
    for (period, now, renews) in [
        (Period::Day, at(WEDNESDAY, 23), at("2026-11-26", 0)),
        (Period::Week, at(WEDNESDAY, 23), at("2026-11-30", 0)),
        (Period::Month, at(WEDNESDAY, 23), at("2026-12-01", 0)),
        (Period::Month, at("2026-12-31", 23), at("2027-01-01", 0)),
        (Period::Month, at("2028-02-29", 23), at("2028-03-01", 0)),
    ] {
        let mut money = Budgets::new(vec![Budget { period, ..budget(DOLLAR, BudgetScope::All) }]);
        let call = about("r", "c", "t");
        assert!(spend(&mut money, &call, DOLLAR, now).is_ok());
        let why = spend(&mut money, &call, CENT, now).expect_err("it is spent").why;
        assert_eq!(why.renews_in, renews.duration_since(now).ok(), "{period}");
        let second = Duration::from_secs(1);
        assert!(spend(&mut money, &call, CENT, renews - second).is_err(), "{period}");
        assert!(spend(&mut money, &call, DOLLAR, renews).is_ok(), "{period}");
        assert!(spend(&mut money, &call, CENT, now).is_err(), "a clock that is set back renews nothing");
        assert!(period.began(now) <= now && period.began(renews) == renews);
    }
}

#[test]
fn a_window_slides_and_lets_in_again_what_has_passed() {
    let hour = Duration::from_secs(3_600);
    let mut money = Budgets::new(vec![Budget { period: Period::Window(hour), ..budget(DOLLAR, BudgetScope::All) }]);
    let (call, start) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    let mut now = start;
    for _ in 0..10 {
        assert!(spend(&mut money, &call, DOLLAR / 10, now).is_ok());
        now += hour / 20;
    }
    let why = spend(&mut money, &call, DOLLAR / 10, now).expect_err("it is spent").why;
    let wait = why.renews_in.expect("a time");
    assert!(now + wait >= start + hour && now + wait <= start + hour + 2 * hour / 60, "{wait:?}");
    assert!(spend(&mut money, &call, DOLLAR / 10, now + wait).is_ok());
    assert!(spend(&mut money, &call, DOLLAR / 10, now + wait).is_err(), "only the first has passed");
    assert!(spend(&mut money, &call, DOLLAR, now + 2 * hour).is_ok());
    assert_eq!(spend(&mut money, &call, 2 * DOLLAR, now).expect_err("too much").why.renews_in, None);
}

#[test]
fn a_reservation_is_released_or_replaced_by_the_real_cost() {
    let mut money = Budgets::new(vec![budget(DOLLAR, BudgetScope::All), budget(DOLLAR / 2, BudgetScope::Route(None))]);
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    let taken = money.take(&call, &costs(DOLLAR / 2, DOLLAR / 2), now).expect("room");
    let refused = money.take(&call, &costs(CENT, CENT), now).expect_err("the route's is taken");
    assert!(refused.passes, "what is in flight may cost less");
    assert_eq!(money.health(now)[0].reserved, Amount::Dollars(0.5));
    money.release(taken);
    let taken = money.take(&call, &costs(DOLLAR / 2, DOLLAR / 2), now).expect("room again");
    assert_eq!(money.settle(&call, taken, nanos(CENT), now), []);
    let spent: Vec<_> = money.health(now).into_iter().map(|one| (one.budget.spent, one.reserved)).collect();
    assert_eq!(spent, [(Amount::Dollars(0.01), Amount::Dollars(0.0)); 2]);
    // A refusal by one budget takes nothing from another.
    assert!(money.take(&call, &costs(DOLLAR / 2, DOLLAR / 2), now).is_err());
    assert_eq!(money.health(now)[0].reserved, Amount::Dollars(0.0));
}

#[test]
fn what_is_only_reserved_has_room_again_as_soon_as_calls_end() {
    let mut money = Budgets::new(vec![budget(DOLLAR, BudgetScope::All)]);
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    assert!(spend(&mut money, &call, DOLLAR / 3, now).is_ok());
    let _in_flight = money.take(&call, &costs(DOLLAR / 2, DOLLAR / 2), now).expect("room");
    let why = money.take(&call, &costs(DOLLAR / 2, DOLLAR / 2), now).expect_err("it is reserved").why;
    assert!(why.is_in_flight(), "{why}");
    assert!(
        why.to_string().ends_with("reserved for calls in flight; there is room again when they have ended"),
        "{why}"
    );
}

#[test]
fn tokens_are_a_budget_too_and_an_unknown_price_is_not_nothing() {
    let tokens = Budget { unit: Unit::Tokens, limit: 100, ..budget(0, BudgetScope::All) };
    let mut money = Budgets::new(vec![tokens]);
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    let unpriced =
        |tokens| Estimate { likely: BudgetCost { nanos: None, tokens }, most: BudgetCost { nanos: None, tokens } };
    let taken = money.take(&call, &unpriced(60), now).expect("room");
    let _ = money.settle(&call, taken, BudgetCost { nanos: None, tokens: 60 }, now);
    let why = money.take(&call, &unpriced(60), now).expect_err("it is spent").why;
    assert_eq!((why.spent, why.limit), (Amount::Tokens(60), Amount::Tokens(100)));
    let mut money = Budgets::new(vec![budget(DOLLAR, BudgetScope::All)]);
    let why = money.take(&call, &unpriced(1), now).expect_err("it may cost anything").why;
    assert!(why.to_string().ends_with("whose price is not known: set the model's `price`"), "{why}");
    // Calls that cost nothing go on when all is spent.
    assert!(spend(&mut money, &call, DOLLAR, now).is_ok());
    assert!(money.take(&call, &costs(0, 0), now).is_ok());
}

#[test]
fn an_event_is_published_at_half_at_four_fifths_and_when_all_is_spent_once_each() {
    let mut money = Budgets::new(vec![Budget { on_spent: OnSpent::Warn, ..budget(DOLLAR, BudgetScope::All) }]);
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    let shares = |money: &mut Budgets, times: usize, now| -> Vec<u8> {
        let told = (0..times).flat_map(|_| spend(money, &call, 7 * CENT, now).expect("it only warns"));
        told.map(|alert| alert.share).collect()
    };
    assert_eq!(shares(&mut money, 30, now), [50, 80, 100]);
    assert_eq!(shares(&mut money, 8, at("2026-11-26", 3)), [50], "another day");
    // Alerts for spending before a restart were published before it.
    let mut again = Budgets::new(money.budgets().to_vec());
    again.recall(0, "", Period::Day.step(now), 60 * CENT, now);
    assert_eq!(shares(&mut again, 3, now), [80]);
}

#[test]
fn a_soft_budget_that_is_spent_changes_where_calls_go_and_refuses_none() {
    let soft = |on_spent| Budget { on_spent, ..budget(DOLLAR, BudgetScope::All) };
    let mut money =
        Budgets::new(vec![soft(OnSpent::LeastCost), soft(OnSpent::PriceMax(0.02)), soft(OnSpent::PriceMax(0.01))]);
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    assert_eq!(money.soft_routing(&call, now), SoftBudgetRouting::default());
    assert!(spend(&mut money, &call, DOLLAR, now).is_ok());
    let SoftBudgetRouting { least_cost, price_max, over } = money.soft_routing(&call, now);
    assert_eq!((least_cost, price_max), (true, Some(0.01)));
    let over = over.expect("a budget says so").to_string();
    assert!(over.starts_with("budget `b`: 1.00 of 1.00 dollars a day spent; there is room again in"), "{over}");
    assert!(spend(&mut money, &call, DOLLAR, now).is_ok());
    assert_eq!(money.soft_routing(&call, at("2026-11-26", 0)), SoftBudgetRouting::default());
}

#[test]
fn replaced_budgets_keep_their_counts() {
    let mut money = Budgets::new(vec![budget(DOLLAR, BudgetScope::All), budget(DOLLAR, BudgetScope::Route(None))]);
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    assert!(spend(&mut money, &call, DOLLAR, now).is_ok());
    money.replace(vec![
        budget(2 * DOLLAR, BudgetScope::Route(None)),
        Budget { name: "new".into(), ..budget(DOLLAR, BudgetScope::All) },
    ]);
    assert!(spend(&mut money, &call, DOLLAR, now).is_ok(), "the route's is larger now, the other a new one");
    assert!(spend(&mut money, &call, CENT, now).is_err());
}

#[test]
fn an_estimate_is_what_is_usual_and_at_most_what_caller_or_target_allow() {
    let price = Some(Price::new(1_000.0, 10_000.0));
    let most = |asked, target| Estimate::new(price.as_ref(), exactly(800), 100, asked, target).most;
    assert_eq!(
        Estimate::new(price.as_ref(), exactly(800), 100, None, None).likely,
        BudgetCost { nanos: Some(1_800_000_000), tokens: 900 }
    );
    assert_eq!(most(Some(50), None).tokens, 850);
    assert_eq!(most(None, Some(1_000)).tokens, 1_800);
    assert_eq!(most(None, None).tokens, 800 + 4_096);
    assert_eq!(Estimate::new(None, exactly(1), 1, None, None).likely.nanos, None);
}

#[test]
fn a_budget_keeps_what_was_counted_only_where_it_counts_the_same_as_before() {
    let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
    let old = budget(DOLLAR, BudgetScope::Route(None));
    let spent_by = |new: Budget| {
        let mut money = Budgets::new(vec![old.clone()]);
        assert!(spend(&mut money, &call, DOLLAR, now).is_ok());
        money.replace(vec![new]);
        spend(&mut money, &call, CENT, now).is_err()
    };
    assert!(spent_by(old.clone()));
    for other in [
        Budget { name: "other".into(), ..old.clone() },
        Budget { unit: Unit::Tokens, ..old.clone() },
        Budget { period: Period::Month, ..old.clone() },
        Budget { of: BudgetScope::All, ..old.clone() },
    ] {
        assert!(!spent_by(other.clone()), "{other:?}");
    }
}

#[test]
fn each_period_has_events_of_its_own() {
    let mut money = Budgets::new(vec![budget(DOLLAR, BudgetScope::All)]);
    let call = about("r", "c", "t");
    let mut shares = |day: &str| {
        let alerts = spend(&mut money, &call, 60 * CENT, at(day, 1)).expect("there is room");
        alerts.iter().map(|alert| alert.share).collect::<Vec<_>>()
    };
    assert_eq!(shares(WEDNESDAY), [50]);
    assert_eq!(shares("2026-11-26"), [50]);
}

#[test]
fn a_refusal_passes_only_where_attempts_in_flight_may_leave_room() {
    let (mut money, call, now) =
        (Budgets::new(vec![budget(DOLLAR, BudgetScope::All)]), about("r", "c", "t"), at(WEDNESDAY, 1));
    let refused = |money: &mut Budgets, amount| {
        let refused = money.take(&call, &costs(amount, amount), now).expect_err("it has no room");
        (refused.passes, refused.why.reserved)
    };
    assert_eq!(refused(&mut money, 2 * DOLLAR), (false, Amount::Dollars(0.0)), "none is in flight");
    let taken = money.take(&call, &costs(60 * CENT, 60 * CENT), now).expect("there is room");
    assert_eq!(refused(&mut money, 50 * CENT), (true, Amount::Dollars(0.6)));
    assert!(!refused(&mut money, 2 * DOLLAR).0, "it is more than all of it");
    money.release(taken);
    assert!(money.take(&call, &costs(DOLLAR, DOLLAR), now).is_ok());
}

#[test]
fn the_emptiest_account_is_told_first_and_the_one_of_everything_before_anything_is_spent() {
    let now = at(WEDNESDAY, 1);
    let names = |money: &Budgets| money.health(now).into_iter().map(|account| account.budget.of).collect::<Vec<_>>();
    let mut money =
        Budgets::new(vec![budget(10 * DOLLAR, BudgetScope::Client(None)), budget(20 * DOLLAR, BudgetScope::All)]);
    assert_eq!(names(&money), [""], "which clients there are is not known");
    for (client, amount) in [("one", DOLLAR), ("two", 5 * DOLLAR), ("three", 2 * DOLLAR)] {
        assert!(spend(&mut money, &about("r", client, "t"), amount, now).is_ok());
    }
    assert_eq!(names(&money), ["client two", "", "client three", "client one"]);
    assert!(!money.is_none() && Budgets::new(Vec::new()).is_none());
}

#[test]
fn an_answer_may_cost_most_by_the_dearest_kind_of_its_tokens() {
    let price = Price::from(Rates { cache_write: 2_000.0, reasoning: 20_000.0, ..Rates::new(1_000.0, 10_000.0) });
    let estimate = Estimate::new(Some(&price), PromptTokens { likely: 800, most: 900 }, 100, Some(100), None);
    assert_eq!(estimate.likely_usd(), Some(1.8));
    assert_eq!(estimate.most, BudgetCost { nanos: Some(3_800_000_000), tokens: 1_000 });
    assert_eq!(Estimate::new(None, exactly(1), 1, None, None).likely_usd(), None);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// With any number of calls at once, of any expected and real cost, ending at any time: a budget is overspent by
    /// the error of one at most.
    #[test]
    fn a_hundred_calls_at_once_overspend_by_the_error_of_one_at_most(
        limit in 1_000_i64..50_000,
        calls in proptest::collection::vec((1_i64..2_000, 0_i64..2_000, 0.0_f64..=1.0, 0_u8..8), 100),
    ) {
        let mut money = Budgets::new(vec![budget(limit, BudgetScope::All)]);
        let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
        let (mut flying, mut spent, mut error, mut refused) = (Vec::new(), 0, 0, 0);
        for (likely, more, share, ends) in calls {
            #[expect(clippy::cast_possible_truncation, reason = "far below 2^52")]
            let paid = ((likely + more) as f64 * share) as i64;
            match money.take(&call, &costs(likely, likely + more), now) {
                Ok(taken) => {
                    error = error.max(paid - likely);
                    flying.push((taken, paid));
                }
                Err(_) => refused += 1,
            }
            // Some end, in any order, before the next is asked for.
            for _ in 0..ends.saturating_sub(5) {
                if !flying.is_empty() {
                    let (taken, paid) = flying.swap_remove(usize::from(ends) % flying.len());
                    spent += paid;
                    let _ = money.settle(&call, taken, nanos(paid), now);
                }
            }
        }
        for (taken, paid) in flying {
            spent += paid;
            let _ = money.settle(&call, taken, nanos(paid), now);
        }
        proptest::prop_assert!(spent <= limit + error.max(0), "{} of {}, {} refused", spent, limit, refused);
        proptest::prop_assert_eq!(money.health(now)[0].reserved, Amount::Dollars(0.0));
        let told = money.health(now)[0].budget.spent.number();
        proptest::prop_assert!((told - spent as f64 / 1e9).abs() < 1e-9);
    }

    /// The same where how long prompts are is learnt on the way: of every kind, each billed at the most that was known
    /// when it was sent.
    #[test]
    fn prompts_of_every_kind_that_are_billed_at_their_most_overspend_by_the_error_of_one_at_most(
        limit in 1_000_i64..200_000,
        calls in proptest::collection::vec((0_u8..3, 1_u32..2_000, 0_u32..9_000, 0_u8..8), 100),
    ) {
        let (mut money, mut bills) = (Budgets::new(vec![budget(limit, BudgetScope::All)]), Bills::default());
        let (call, now) = (about("r", "c", "t"), at(WEDNESDAY, 1));
        let (mut flying, mut spent, mut error) = (Vec::new(), 0, 0);
        let mut end = |money: &mut Budgets, bills: &mut Bills, (taken, kind, length, paid)| {
            spent += i64::from(paid);
            bills.learn(kind, length, u64::from(paid), true);
            let _ = money.settle(&call, taken, nanos(i64::from(paid)), now);
        };
        for (sizing, estimated, shown, ends) in calls {
            let sizing = [PromptSizing::Counted, PromptSizing::Shows, PromptSizing::Grows][usize::from(sizing)];
            let kind = PromptKind { route: "r".into(), target: crate::words::TargetId::new("a", "m"), sizing };
            let length = PromptLength { estimated, shown, window: Some(50_000) };
            let PromptTokens { likely, most } = bills.prompt(&kind, length);
            if let Ok(taken) = money.take(&call, &costs(likely.into(), most.into()), now) {
                error = error.max(i64::from(most - likely));
                flying.push((taken, kind, length, most));
            }
            for _ in 0..ends.saturating_sub(5) {
                if !flying.is_empty() {
                    end(&mut money, &mut bills, flying.swap_remove(usize::from(ends) % flying.len()));
                }
            }
        }
        for flying in flying {
            end(&mut money, &mut bills, flying);
        }
        proptest::prop_assert!(spent <= limit + error, "{} of {}", spent, limit);
    }
}

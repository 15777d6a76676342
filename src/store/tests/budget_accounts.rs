use super::*;
use crate::policy::budget::{Budget, BudgetScope, OnSpent, Period, Unit};
use crate::policy::durable_store::{DurableStore as _, KeptCall};
use crate::spec::PastSpend;
use crate::store::budget_accounts::CountedBudgets;
use crate::store::recall;
use crate::words::{ChatRequest, Durable};

const EACH: i64 = 2_000_000;

fn budget(name: &str, period: Period, of: BudgetScope) -> Budget {
    let (unit, limit, on_spent) = (Unit::Nanodollars, EACH, OnSpent::Refuse);
    Budget { name: name.into(), unit, limit, period, of, on_spent }
}

fn minutes(count: u64) -> Period {
    Period::Window(Duration::from_secs(60 * count))
}

fn open(place: &Place, budgets: &[Budget]) -> (WriteLock, LedgerFile) {
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    ledger.count(Some(CountedBudgets { budgets: budgets.into(), since: SystemTime::now() }));
    (hold, ledger)
}

fn spend(ledger: &mut LedgerFile, calls: impl Iterator<Item = (u64, String, SystemTime)>) {
    let one = |(number, team, at): (u64, String, SystemTime)| {
        let mut about = CallFacts::clone(&about(number, "smart", &team));
        about.started_at = at;
        Record::Attempt(Arc::new(attempt(&Arc::new(about), 1, "a", None)))
    };
    let group: Vec<Record> = calls.map(one).collect();
    ledger.write(ledger.next(), &group, 0, [], &[]).expect("a write");
}

fn recalled(place: &Place, budget: &Budget) -> Vec<PastSpend> {
    let mut spent = recall(&place.file(), 0, budget, SystemTime::now()).expect("a file");
    spent.sort_by(|one, other| (&one.account, one.step).cmp(&(&other.account, other.step)));
    spent
}

fn sum(spent: &[PastSpend]) -> i64 {
    spent.iter().map(|one| one.amount).sum()
}

#[test]
fn every_account_is_there_after_a_kill_in_the_step_in_which_it_was_spent() {
    let (place, now) = (Place::new(), SystemTime::now());
    let window = budget("window", minutes(10), BudgetScope::All);
    let users = budget("users", Period::Month, BudgetScope::Tag("team".into(), None));
    let (_hold, mut ledger) = open(&place, &[window.clone(), users.clone()]);
    // More values than an hour has sums of, in two groups; written twice, as after an answer that did not come.
    let calls = |from: u64| (from..from + 200).map(|number| (number, format!("user-{number}"), now));
    for from in [0, 200] {
        spend(&mut ledger, calls(from));
    }
    let spent = recalled(&place, &users);
    assert_eq!((spent.len(), sum(&spent)), (400, 400 * EACH));
    assert!(spent.iter().all(|one| one.amount == EACH && one.account.starts_with("user-")));
    let ended = now + Duration::from_millis(50);
    let step = minutes(10).step(ended);
    let expected = PastSpend { budget: 0, account: String::new(), amount: 400 * EACH, step };
    assert_eq!(recalled(&place, &window), [expected]);
}

#[test]
fn a_group_that_is_written_again_is_paid_once() {
    let place = Place::new();
    let all = budget("all", Period::Month, BudgetScope::All);
    let (_hold, mut ledger) = open(&place, std::slice::from_ref(&all));
    let (first, group) = (ledger.next(), won(10));
    for _ in 0..2 {
        ledger.write(first, &group, 0, [], &[]).expect("a write");
    }
    assert_eq!(sum(&recalled(&place, &all)), 10 * EACH);
}

#[test]
fn a_budget_that_is_new_or_was_away_begins_with_what_the_entries_tell() {
    let (place, now) = (Place::new(), SystemTime::now());
    let all = budget("all", minutes(10), BudgetScope::All);
    let red = budget("red", minutes(20), BudgetScope::Tag("team".into(), Some("red".into())));
    let ago = |minutes: u64| now - Duration::from_secs(60 * minutes);
    let call = |number, team: &str, at| std::iter::once((number, team.to_owned(), at));
    let (hold, mut ledger) = open(&place, std::slice::from_ref(&all));
    spend(&mut ledger, call(1, "red", ago(15)));
    spend(&mut ledger, call(2, "blue", ago(5)));
    assert_eq!(sum(&recalled(&place, &red)), EACH, "as its entries tell, to the minute");
    // It is in the place of the other one now.
    ledger.count(Some(CountedBudgets { budgets: [red.clone()].into(), since: now }));
    spend(&mut ledger, call(3, "red", ago(4)));
    assert_eq!(sum(&recalled(&place, &red)), 2 * EACH);
    // The other one comes back, and knows what was spent meanwhile.
    assert_eq!(sum(&recalled(&place, &all)), 2 * EACH);
    ledger.count(Some(CountedBudgets { budgets: [red.clone(), all.clone()].into(), since: now }));
    spend(&mut ledger, call(4, "red", ago(3)));
    drop((ledger, hold));
    assert_eq!((sum(&recalled(&place, &red)), sum(&recalled(&place, &all))), (3 * EACH, 3 * EACH));
}

#[test]
fn an_account_of_a_clock_that_stood_ahead_is_moved_to_the_present_and_goes_with_it() {
    let (place, now) = (Place::new(), SystemTime::now());
    let day = Duration::from_secs(24 * 60 * 60);
    let all = budget("all", Period::Day, BudgetScope::All);
    let (_hold, mut ledger) = open(&place, std::slice::from_ref(&all));
    spend(&mut ledger, [(1, "red".to_owned(), now + 3 * day)].into_iter());
    spend(&mut ledger, [(2, "red".to_owned(), now)].into_iter());
    let step = Period::Day.step(now + Duration::from_millis(50));
    let spent = recalled(&place, &all);
    assert_eq!(spent.iter().map(|one| (one.step, one.amount)).collect::<Vec<_>>(), [(step, 2 * EACH)]);
    while ledger.forget(&place.spec(), now + 3 * day).expect("a look") {}
    assert_eq!(recalled(&place, &all), []);
}

#[test]
fn what_is_too_large_takes_no_account_and_is_counted() {
    let (place, now) = (Place::new(), SystemTime::now());
    let all = budget("all", Period::Month, BudgetScope::All);
    let (_hold, mut ledger) = open(&place, std::slice::from_ref(&all));
    for part in 0..3 {
        spend(&mut ledger, (part * 1_000..part * 1_000 + 1_000).map(|number| (number, "red".to_owned(), now)));
    }
    assert_eq!((place.ask(GroupBy::All).removed, place.ask(GroupBy::All).whole_from), (0, None));
    let spec = StoreSpec { bytes_max: 1, ..place.spec() };
    while ledger.forget(&spec, now).expect("a look") {}
    assert_eq!(sum(&recalled(&place, &all)), 3_000 * EACH);
    let statement = place.ask(GroupBy::All);
    assert_eq!(statement.sum.attempts, 0, "the sums went after the entries");
    assert!(statement.removed > 3_000, "{}", statement.removed);
    let whole_from = statement.whole_from.expect("what is left is told");
    assert!(whole_from > now - Duration::from_secs(3_600) && whole_from < now + Duration::from_secs(2 * 3_600));
}

#[tokio::test]
async fn durable_calls_have_a_limit_of_their_own_and_take_nothing_from_the_books() {
    let place = Place::new();
    let spec = StoreSpec { bytes_max: 1 << 20, durable_bytes_max: 100_000, ..place.spec() };
    let store = Store::open(spec, false).await.expect("a store");
    for record in won(10) {
        store.observe(&record);
    }
    let call = |number| KeptCall {
        id: CallId::new(7, number),
        begun_at: SystemTime::now(),
        request: Arc::new(ChatRequest::new("smart").user("word ".repeat(6_000))),
        durable: Durable::Again,
        is_whole: true,
        sent: 0,
        items: Vec::new(),
        ended_at: None,
    };
    for number in 1..=3 {
        assert_eq!(changed(store.accept(&call(number))).await, Ok(1));
    }
    assert_eq!(changed(store.accept(&call(3))).await, Ok(1), "it is there");
    let refused = store.accept(&call(4)).await.expect_err("no room is left");
    assert!(refused.contains("store.durable_size_max"), "{refused}");
    store.flush().await;
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 10);
    // One that ends leaves its room: it goes before its time.
    let end = [Err(crate::words::Error::Draining)];
    assert_eq!(changed(store.tell(CallId::new(7, 1), 0, &end)).await, Ok(1));
    assert_eq!(changed(store.accept(&call(4))).await, Ok(1));
    let until = Instant::now() + Duration::from_secs(20);
    while store.call(CallId::new(7, 1)).expect("a file").is_some() {
        assert!(Instant::now() < until, "it is kept beyond the limit");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = |number| store.call(CallId::new(7, number)).expect("a file").is_some();
    assert!((2..=4).all(kept));
    assert_eq!(verify_file(&place.file()).expect("a file").attempts, 10);
}

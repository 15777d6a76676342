//! What is kept of each attempt and each call, and what is read from it.

use super::*;
use crate::words::{Bill, Dialect, Priority, RetryAfter, Scope};

async fn keep(place: &Place, records: &[AttemptRecord]) {
    let store = place.open().await;
    for record in records {
        store.observe(&Record::Attempt(Arc::new(record.clone())));
    }
    store.flush().await;
}

fn read<T: rusqlite::types::FromSql>(place: &Place, sql: &str) -> Vec<T> {
    let file = Connection::open(place.file()).expect("a database");
    let mut asked = file.prepare(sql).expect(sql);
    let rows = asked.query_map((), |row| row.get(0)).expect(sql);
    rows.collect::<rusqlite::Result<_>>().expect(sql)
}

/// The page on what is kept.
const PAGE: &str = include_str!("../../../docs/keeping.md");

/// Returns the query behind a sentence of the page.
fn printed(after: &str) -> String {
    let (_, rest) = PAGE.split_once(after).expect("the sentence");
    let (_, rest) = rest.split_once("```sql\n").expect("a query");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[tokio::test]
async fn an_entry_has_all_that_its_record_has_but_for_words() {
    let place = Place::new();
    let mut about = CallFacts::new(CallId::new(7, 1), SystemTime::UNIX_EPOCH + Duration::from_secs(7), "smart");
    about.session = Some("s-1".into());
    about.tags.insert("team".into(), "red".into());
    about.priority = Priority::Batch;
    about.dialect = Some(Dialect::AnthropicMessages);
    about.client = Some("agent".into());
    let failure = Failure {
        scope: Scope::Endpoint,
        status: Some(529),
        code: Some("overloaded_error".into()),
        param: Some("messages.0".into()),
        retry_after: Some(RetryAfter::After(Duration::from_secs(3))),
        ..Failure::new(FailureClass::Overloaded, "the words of the prompt")
    };
    let about = Arc::new(about);
    let record = AttemptRecord {
        model: Some("m-2026-01-01".into()),
        started_after: Duration::from_micros(11),
        first_token: Some(Duration::from_micros(12)),
        took: Duration::from_micros(13),
        usage: Usage { input: 1, cached: 2, cache_write: 3, output: 4, reasoning: 5 },
        estimated: true,
        bill: Bill { cost_usd: Some(0.5), cache_write_1h: 6, searches: 8, other_price: true },
        price: Some(Rates { cache_write_1h: Some(2.0), search: Some(0.01), ..Rates::new(1.0, 10.0) }),
        cost_usd: Some(0.5),
        bytes_sent: 9,
        bytes_received: 10,
        probe: true,
        last_resort: true,
        degraded: true,
        hedge: true,
        end: AttemptEnd::Failed(failure),
        ..AttemptRecord::new(about.clone(), 2, TargetId::new("a", "m"), "key-1")
    };
    let store = place.open().await;
    store.observe(&Record::Attempt(Arc::new(record)));
    let mut flight = Flight::new(about);
    flight.again = true;
    store.observe(&Record::Call(Arc::new(flight)));
    store.flush().await;
    let name = |column: &str| format!("(SELECT text FROM name WHERE id = {column})");
    let (route, provider, model) = (name("route"), name("provider"), name("model"));
    let (key, client, end) = (name("key"), name("client"), name("end"));
    let of = |columns: &str, from: &str| {
        read::<String>(&place, &format!("SELECT json_array({columns}) FROM {from}")).concat()
    };
    let columns = format!(
        "runtime, call, number, ended_at, {route}, {provider}, {model}, {key}, {client}, {end}, status, session, tags, \
         priority, flags, started_after_us, first_token_us, took_us, bytes_sent, bytes_received"
    );
    assert_eq!(
        of(&columns, "attempt"),
        r#"[7,1,2,7000,"smart","a","m","key-1","agent","overloaded",529,"s-1","{\"team\":\"red\"}","batch",127,11,12,13,9,10]"#
    );
    assert_eq!(
        of(
            "dialect, model_told, scope, code, cache_write_1h, searches, input, cached, cache_write, output, reasoning",
            "attempt"
        ),
        r#"["anthropic","m-2026-01-01","endpoint","overloaded_error",6,8,1,2,3,4,5]"#
    );
    assert_eq!(
        of(
            "p.input, p.cached_input, p.cache_write, p.output, p.reasoning, p.cache_write_1h, p.search, cost",
            "attempt JOIN price AS p ON p.id = price"
        ),
        "[1.0,1.0,1.0,10.0,10.0,2.0,0.01,500000000]"
    );
    assert_eq!(of("dialect, priority, again", "call"), r#"["anthropic","batch",1]"#);
    for name in ["standin.db", "standin.db-wal"] {
        let file = std::fs::read(place.0.join(name)).expect(name);
        assert!(!String::from_utf8_lossy(&file).contains("the words of the prompt"), "{name}");
    }
}

#[tokio::test]
async fn prices_that_differ_in_anything_are_two_and_the_same_are_one() {
    let place = Place::new();
    let plain = Rates::new(1.0, 10.0);
    let rates = [
        plain,
        Rates { search: Some(0.01), ..plain },
        Rates { search: Some(0.02), ..plain },
        Rates { cache_write_1h: Some(2.0), ..plain },
        Rates { cache_write_1h: Some(2.0), search: Some(0.01), ..plain },
        Rates { reasoning: 11.0, ..plain },
    ];
    let about = about(1, "smart", "red");
    let all = rates.iter().chain(&rates).zip(1..);
    let records: Vec<_> = all
        .map(|(rates, number)| AttemptRecord { price: Some(*rates), ..attempt(&about, number, "a", None) })
        .collect();
    let (first, later) = records.split_at(6);
    keep(&place, first).await;
    // Another process does not know the numbers.
    keep(&place, later).await;
    let file = Connection::open(place.file()).expect("a database");
    let mut booked = file.prepare(&printed("At which prices the entries")).expect("a query");
    let counts = booked.query_map((), |row| row.get::<_, i64>("attempts")).expect("rows");
    assert_eq!(counts.collect::<rusqlite::Result<Vec<_>>>().expect("rows"), [2; 6]);
    assert_eq!(PAGE.matches("```sql").count(), 2, "one that no test runs");
}

#[tokio::test]
async fn what_was_booked_is_computed_again_by_another_price_to_the_last_token() {
    let place = Place::new();
    let about = about(1, "smart", "red");
    // As the page has it.
    let (input, output) = (0.75, 4.5);
    let correct =
        Rates { cached_input: 0.075, cache_write_1h: Some(0.75), search: Some(0.01), ..Rates::new(input, output) };
    let bills = [
        Bill::default(),
        Bill { cache_write_1h: 200, searches: 3, ..Bill::default() },
        // More than was written at all.
        Bill { cache_write_1h: 9_000, ..Bill::default() },
        Bill { cost_usd: Some(0.125), searches: 1, ..Bill::default() },
    ];
    let usage = Usage { input: 10_000, cached: 4_000, cache_write: 1_000, output: 500, reasoning: 100 };
    let records = bills.iter().zip(1..).map(|(bill, number)| {
        let wrong = Rates::new(2.0, 3.0);
        AttemptRecord {
            usage,
            bill: *bill,
            price: Some(wrong),
            cost_usd: Some(wrong.billed(&usage, bill).0),
            ..AttemptRecord::new(about.clone(), number, TargetId::new("openai", "gpt-5.4-mini"), "key-1")
        }
    });
    let records: Vec<_> = records.collect();
    let of_another = attempt(&about, 9, "a", None);
    keep(&place, &[records.clone(), vec![of_another]].concat()).await;
    let file = Connection::open(place.file()).expect("a database");
    let query = printed("day by day; what its provider told stays");
    let found: (i64, f64, f64) = file
        .query_row(&query, (), |row| Ok((row.get("attempts")?, row.get("booked")?, row.get("again")?)))
        .expect("one day");
    let booked: f64 = records.iter().filter_map(|record| record.cost_usd).sum();
    let again: f64 = bills.iter().map(|bill| correct.billed(&usage, bill).0).sum();
    assert_eq!(found.0, 4);
    assert!((found.1 - booked).abs() < 1e-8, "{found:?}, {booked}");
    assert!((found.2 - again).abs() < 1e-9, "{found:?}, {again}");
}

/// An attempt of a call with these tags, in an hour of its own.
fn tagged(call: u64, hours_ago: u64, tags: &[(&str, &str)]) -> AttemptRecord {
    let started = SystemTime::now() - Duration::from_secs(3_600 * hours_ago);
    let mut about = CallFacts::new(CallId::new(7, call), started, "smart");
    about.tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    attempt(&Arc::new(about), 1, "a", None)
}

#[tokio::test]
async fn a_tag_that_has_no_sums_is_counted_by_its_entries_and_said_where_they_are_gone() {
    let place = Place::new();
    let names: Vec<String> = (0..16).map(|number| format!("a{number:02}")).collect();
    let mut many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    many.push(("quote \" and é", "z"));
    many.push(("team", "red"));
    // In the older hour other tags take all places; in the younger one none does.
    let records =
        [tagged(1, 9, &many), tagged(2, 9, &[("team", "blue")]), tagged(3, 5, &[("team", "red")]), tagged(4, 5, &many)];
    keep(&place, &records).await;
    let each = nanos(0.002);
    let team = place.ask(GroupBy::Tag("team".into()));
    assert_eq!(lines(&team), [("red", 3, 3, 3 * each, 0), ("blue", 1, 1, each, 0)]);
    assert_eq!(team.unknown_hours, 0);
    let odd = place.ask(GroupBy::Tag("quote \" and é".into()));
    assert_eq!(lines(&odd), [("z", 2, 2, 2 * each, 0)]);
    assert_eq!(lines(&place.ask(GroupBy::Tag("a07".into()))), [("x", 2, 2, 2 * each, 0)], "and none is counted twice");
    let later = Question::by(GroupBy::Tag("team".into())).since(SystemTime::now() - Duration::from_secs(3_600 * 6));
    assert_eq!(lines(&ask_file(&place.file(), &later).expect("a statement")), [("red", 2, 2, 2 * each, 0)]);
    // The entries of the older hour are gone: what stands there of this tag is not known, and that is said.
    let file = Connection::open(place.file()).expect("a database");
    file.execute_batch("DELETE FROM attempt WHERE id < 3").expect("gone");
    let team = place.ask(GroupBy::Tag("team".into()));
    assert_eq!((lines(&team), team.unknown_hours), (vec![("red", 2, 2, 2 * each, 0)], 1));
    // Of the hour of the first entry more may be gone.
    assert_eq!(place.ask(GroupBy::Tag("nobody's".into())).unknown_hours, 2, "it may have been there");
    assert_eq!(place.ask(GroupBy::Tag("a07".into())).unknown_hours, 0);
    assert_eq!(place.ask(GroupBy::Route).unknown_hours, 0);
}

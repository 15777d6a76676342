mod entries;
mod budget_accounts;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::Connection;

use super::file::WriteLock;
use super::ledger_file::LedgerFile;
use super::{OpenError, Store, ask_file, recollect, schema, verify_file};
use crate::policy::admission::{
    Admission, AdmissionOptions, AdmissionRequest, BreakerOptions, HealthOptions, KeysInUse, TargetOptions,
};
use crate::policy::budget::{Budget, BudgetScope, OnSpent, Period, Unit, nanos};
use crate::policy::durable_store::{CallSelector, DurableStore as _, KeptCall, ReadError, WriteFuture, Written};
use crate::policy::explain::{CallStep, Flight};
use crate::policy::memory::{Fingerprint, Memory};
use crate::policy::record::{Observer as _, Record};
use crate::policy::statement::{GroupBy, Line, Question, Statement};
use crate::policy::store_health::StoreHealth;
use crate::policy::tokens::{TokenModel, Vocabulary};
use crate::spec::{PastSpend, StoreSpec};
use crate::words::locks::lock;
use crate::words::{
    AttemptEnd, AttemptRecord, CallFacts, CallId, ChatRequest, Durable, Error, Failure, FailureClass, Rates,
    ReplyEvent, TargetId, Usage,
};

/// SQL that runs on the connections of some files before each group.
static TROUBLE: Mutex<Option<HashMap<PathBuf, &'static str>>> = Mutex::new(None);
/// A panic in the place of something in SQL.
const PANIC: &str = "panic";
/// A disk on which nothing new has room.
const FULL: &str = "PRAGMA max_page_count = 1";
/// One that is mounted to be read.
const READ_ONLY: &str = "PRAGMA query_only = 1";

/// The same, so that even opening it fails.
const UNWRITABLE: &str = "PRAGMA query_only = 1; DELETE FROM meta";

/// One that takes its time.
const SLOW: &str =
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500000) SELECT sum(x) FROM n";

/// Does to a connection what a test wants.
pub(super) fn trouble(path: &Path, run: impl FnOnce(&str) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let trouble = lock(&TROUBLE);
    let sql = trouble.as_ref().and_then(|trouble| trouble.get(path)).copied();
    drop(trouble);
    assert_ne!(sql, Some(PANIC), "a panic that was asked for");
    sql.map_or(Ok(()), run)
}

/// A folder of its own for a file, which is deleted at its end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let name = format!("standin-store-{}-{}", std::process::id(), PLACES.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("standin.db")
    }

    fn spec(&self) -> StoreSpec {
        let day = Duration::from_secs(24 * 60 * 60);
        StoreSpec {
            path: self.file(),
            keep: day,
            keep_totals: 30 * day,
            durable_for: day,
            bytes_max: 1 << 30,
            durable_bytes_max: 1 << 30,
            warm: true,
            encryption_keys: Vec::new(),
        }
    }

    async fn open(&self) -> Store {
        Store::open(self.spec(), false).await.expect("a store")
    }

    fn trouble(&self, sql: Option<&'static str>) {
        let mut trouble = lock(&TROUBLE);
        let trouble = trouble.get_or_insert_default();
        match sql {
            Some(sql) => trouble.insert(self.file(), sql),
            None => trouble.remove(&self.file()),
        };
    }

    fn ask(&self, by: GroupBy) -> Statement {
        ask_file(&self.file(), &Question::by(by)).expect("a statement")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.trouble(None);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn about(call: u64, route: &str, team: &str) -> Arc<CallFacts> {
    // Whole hours ago, so that no test runs over the end of one.
    let started = SystemTime::now() - Duration::from_secs(600);
    let mut about = CallFacts::new(CallId::new(7, call), started, route);
    about.tags.insert("team".into(), team.into());
    about.client = Some("agent".into());
    Arc::new(about)
}

fn attempt(about: &Arc<CallFacts>, number: u32, provider: &str, end: Option<FailureClass>) -> AttemptRecord {
    let usage = Usage { input: 1_000, cached: 400, output: 100, ..Usage::default() };
    let price = Rates::new(1.0, 10.0);
    AttemptRecord {
        usage,
        price: Some(price),
        cost_usd: Some(price.cost_usd(&usage)),
        took: Duration::from_millis(50),
        end: end.map_or(AttemptEnd::Won, |class| AttemptEnd::Failed(Failure::new(class, "its words"))),
        ..AttemptRecord::new(about.clone(), number, TargetId::new(provider, "m"), "key-1")
    }
}

fn call(about: &Arc<CallFacts>) -> Record {
    let mut flight = Flight::new(about.clone());
    flight.attempts = 1;
    flight.cost_usd = 0.002;
    flight.steps.push((Duration::ZERO, CallStep::CallerLeft));
    Record::Call(Arc::new(flight))
}

/// Attempts that were won, one a call.
fn won(count: u64) -> Vec<Record> {
    (1..=count).map(|number| Record::Attempt(Arc::new(attempt(&about(number, "smart", "red"), 1, "a", None)))).collect()
}

/// Waits until a store is in this state.
async fn until(store: &Store, is: impl Fn(&StoreHealth) -> bool) -> StoreHealth {
    let begun = Instant::now();
    loop {
        let health = store.health();
        if is(&health) {
            return health;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{health:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lines(statement: &Statement) -> Vec<(&str, u64, u64, i64, i64)> {
    let line = |line: &'_ Line| (line.attempts, line.answers, line.cost, line.wasted);
    statement.lines.iter().map(|one| (one.of.as_str(), line(one))).map(|(of, (a, b, c, d))| (of, a, b, c, d)).collect()
}

#[tokio::test]
async fn what_ended_is_there_after_its_process_and_answers_by_everything_it_is_asked_by() {
    let place = Place::new();
    let store = place.open().await;
    let (one, two, three) = (about(1, "smart", "red"), about(2, "smart", "blue"), about(3, "fast", "red"));
    let records = [
        attempt(&one, 1, "a", Some(FailureClass::Server)),
        attempt(&one, 2, "b", None),
        attempt(&two, 1, "a", None),
        attempt(&two, 2, "b", Some(FailureClass::HedgeLost)),
        attempt(&three, 1, "a", Some(FailureClass::Cut)),
        AttemptRecord { price: None, cost_usd: None, ..attempt(&three, 2, "c", None) },
    ];
    for record in &records {
        store.observe(&Record::Attempt(Arc::new(record.clone())));
    }
    store.observe(&call(&one));
    store.flush().await;
    drop(store);
    let store = place.open().await;
    let each = nanos(0.002);
    for (by, expected) in [
        (GroupBy::All, vec![("all", 6, 3, 5 * each, 3 * each)]),
        (GroupBy::Route, vec![("smart", 4, 2, 4 * each, 2 * each), ("fast", 2, 1, each, each)]),
        (GroupBy::Provider, vec![("a", 3, 1, 3 * each, 2 * each), ("b", 2, 1, 2 * each, each), ("c", 1, 1, 0, 0)]),
        (GroupBy::Target, vec![("a/m", 3, 1, 3 * each, 2 * each), ("b/m", 2, 1, 2 * each, each), ("c/m", 1, 1, 0, 0)]),
        (
            GroupBy::Key,
            vec![("a/key-1", 3, 1, 3 * each, 2 * each), ("b/key-1", 2, 1, 2 * each, each), ("c/key-1", 1, 1, 0, 0)],
        ),
        (GroupBy::Client, vec![("agent", 6, 3, 5 * each, 3 * each)]),
        (GroupBy::Tag("team".into()), vec![("red", 4, 2, 3 * each, 2 * each), ("blue", 2, 1, 2 * each, each)]),
        (
            GroupBy::Waste,
            vec![("cut off", 1, 0, each, each), ("failed", 1, 0, each, each), ("slower of two", 1, 0, each, each)],
        ),
        (
            GroupBy::Failure,
            vec![("cut", 1, 0, each, each), ("hedge_lost", 1, 0, each, each), ("server", 1, 0, each, each)],
        ),
        (GroupBy::Outcome, vec![("caller_left", 1, 0, each, 0)]),
    ] {
        let statement = place.ask(by.clone());
        assert_eq!(lines(&statement), expected, "{by}");
    }
    let all = place.ask(GroupBy::All);
    assert_eq!((all.sum.unpriced, all.sum.cached_share()), (1, Some(0.4)));
    assert_eq!(all.sum.answer_usd(), Some(0.01 / 3.0));
    assert_eq!(place.ask(GroupBy::Day).lines.len(), 1);
    let later = Question::by(GroupBy::All).since(SystemTime::now() + Duration::from_secs(7_200));
    assert_eq!(ask_file(&place.file(), &later).expect("a statement").sum.attempts, 0);
    // And it goes on.
    store.observe(&call(&two));
    store.flush().await;
    let verified = verify_file(&place.file()).expect("a file");
    assert_eq!((verified.attempts, verified.calls, verified.problems), (6, 2, Vec::new()));
    for name in ["standin.db", "standin.db-lock", "standin.db-wal"] {
        let mode = std::fs::metadata(place.0.join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name} is for its owner alone");
    }
}

#[tokio::test]
async fn a_file_that_another_process_keeps_is_refused_until_that_one_ends() {
    let place = Place::new();
    let store = place.open().await;
    let refused = Store::open(place.spec(), false).await.map(|_| ()).expect_err("it is taken").to_string();
    assert_eq!(
        refused,
        format!("is kept by process {}: one process at a time writes it; give each its own file", std::process::id())
    );
    for record in &won(3) {
        store.observe(record);
    }
    store.flush().await;
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 3, "who is refused takes nothing along");
    drop(store);
    let again = place.open().await;
    assert_eq!(again.health().problem, None);
}

#[tokio::test]
async fn files_of_others_of_later_versions_and_damaged_ones_are_refused_with_what_helps() {
    let place = Place::new();
    let refused =
        async || Store::open(place.spec(), false).await.map(|_| ()).expect_err("it is none of ours").to_string();
    let other = Connection::open(place.file()).expect("a database");
    other.execute_batch("CREATE TABLE t (x)").expect("a table");
    assert!(refused().await.contains("is no store of standin's"));
    other.execute_batch("PRAGMA application_id = 0x7374646e; PRAGMA user_version = 99").expect("a version");
    assert!(refused().await.contains("is of a newer standin (its form is 99"));
    drop(other);
    std::fs::write(place.file(), [7; 8_192]).expect("a file");
    assert!(refused().await.ends_with("move it away, and a new one is begun"));
    std::fs::remove_file(place.file()).expect("a file");
    std::fs::create_dir(place.file()).expect("a folder");
    assert!(refused().await.contains("cannot be"));
    let nowhere = StoreSpec { path: place.0.join("no/such/folder.db"), ..place.spec() };
    assert!(matches!(Store::open(nowhere, false).await, Err(OpenError::Files(_))));
}

#[tokio::test]
async fn what_a_full_or_read_only_disk_does_not_take_waits_and_is_written_when_it_does() {
    for sql in [FULL, READ_ONLY] {
        let place = Place::new();
        let store = place.open().await;
        place.trouble(Some(sql));
        for record in &won(3_000) {
            store.observe(record);
        }
        let ill = until(&store, |health| health.problem.is_some()).await;
        assert!(ill.waiting > 0 && ill.lost == 0, "{ill:?}");
        place.trouble(None);
        let well = until(&store, |health| health.waiting == 0).await;
        assert_eq!((well.problem, well.written, well.lost), (None, 3_000, 0), "{sql}");
        assert_eq!(place.ask(GroupBy::All).sum.attempts, 3_000);
        assert_eq!(verify_file(&place.file()).expect("a file").problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_finds_no_room_to_wait_is_counted_and_told_by_the_file_too() {
    let place = Place::new();
    let store = place.open().await;
    place.trouble(Some(READ_ONLY));
    let all = 20_000;
    let begun = Instant::now();
    for record in &won(all) {
        store.observe(record);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for the disk");
    let ill = store.health();
    assert!(ill.lost > 0 && ill.lost < all, "{ill:?}");
    place.trouble(None);
    let well = until(&store, |health| health.waiting == 0).await;
    assert_eq!(well.written + well.lost, all);
    store.observe(&call(&about(1, "smart", "red")));
    store.flush().await;
    let statement = place.ask(GroupBy::All);
    assert_eq!((statement.sum.attempts, statement.lost), (well.written, well.lost));
    drop(store);
    let store = place.open().await;
    assert_eq!((store.health().lost, place.ask(GroupBy::All).lost), (0, well.lost), "the file counts on");
}

#[tokio::test]
async fn a_file_that_is_deleted_is_noticed_and_another_is_begun() {
    let place = Place::new();
    let store = place.open().await;
    for record in &won(5) {
        store.observe(record);
    }
    store.flush().await;
    std::fs::remove_file(place.file()).expect("a file");
    for record in &won(3) {
        store.observe(record);
    }
    store.flush().await;
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 3);
    assert_eq!(store.health().problem, None);
}

#[tokio::test]
async fn a_slow_disk_makes_larger_groups_and_loses_nothing() {
    let place = Place::new();
    let store = place.open().await;
    place.trouble(Some(SLOW));
    let mut giving = Duration::ZERO;
    for part in won(3_000).chunks(300) {
        let begun = Instant::now();
        for record in part {
            store.observe(record);
        }
        giving += begun.elapsed();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(giving < Duration::from_secs(1), "nobody waits for the disk: {giving:?}");
    let well = until(&store, |health| health.waiting == 0).await;
    assert_eq!((well.problem, well.written, well.lost), (None, 3_000, 0));
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 3_000);
}

#[tokio::test]
async fn a_page_that_is_damaged_is_told_until_the_file_is_moved_away_and_another_is_begun() {
    let place = Place::new();
    let store = place.open().await;
    for record in &won(2_000) {
        store.observe(record);
    }
    store.flush().await;
    // All of it is in the file itself, and nothing in the memory of who reads it.
    let other = Connection::open(place.file()).expect("a database");
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).expect("a checkpoint");
    drop(other);
    place.trouble(Some("PRAGMA shrink_memory"));
    let mut bytes = std::fs::read(place.file()).expect("a file");
    bytes.chunks_mut(4_096).skip(1).for_each(|page| page.fill(0xa5));
    std::fs::write(place.file(), &bytes).expect("a file");
    for record in &won(5) {
        store.observe(record);
    }
    let ill = until(&store, |health| health.problem.is_some()).await;
    assert!(ill.problem.as_deref().is_some_and(|problem| problem.contains("malformed")), "{ill:?}");
    assert_eq!((ill.waiting, ill.lost), (5, 0), "they wait");
    let moved = place.0.join("moved.db");
    std::fs::rename(place.file(), &moved).expect("it is moved");
    let well = until(&store, |health| health.waiting == 0).await;
    assert_eq!((well.problem, well.lost, place.ask(GroupBy::All).sum.attempts), (None, 0, 5));
    let damaged = verify_file(&moved);
    assert!(!damaged.as_ref().is_ok_and(|found| found.problems.is_empty()), "{damaged:?}");
}

#[tokio::test]
async fn a_clock_that_jumps_moves_entries_to_other_hours_and_takes_nothing_along() {
    let place = Place::new();
    let store = place.open().await;
    for record in &won(3) {
        store.observe(record);
    }
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    for (call, started) in [(100, now + 20_000 * day), (101, now - 10 * day), (102, now)] {
        let about = Arc::new(CallFacts { started_at: started, ..(*about(call, "smart", "red")).clone() });
        store.observe(&Record::Attempt(Arc::new(attempt(&about, 1, "a", None))));
        store.observe(&self::call(&about));
    }
    store.flush().await;
    let days = place.ask(GroupBy::Day);
    assert_eq!((days.sum.attempts, days.sum.answers), (6, 6), "{days:?}");
    assert!(days.lines.len() >= 3, "{days:?}");
    let since =
        ask_file(&place.file(), &Question::by(GroupBy::All).since(now - day).until(now + day)).expect("a statement");
    assert_eq!(since.sum.attempts, 4, "what the clock says of them is their time");
    assert_eq!((store.health().problem, store.health().lost), (None, 0));
    // Entries are kept for a day here. That of ten days ago was written just now, and is there with its neighbours.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let found = verify_file(&place.file()).expect("a file");
    assert_eq!((found.attempts, found.calls, found.problems), (6, 3, Vec::new()));
}

#[tokio::test]
async fn another_writer_of_the_file_is_waited_for() {
    let place = Place::new();
    let store = place.open().await;
    let other = Connection::open(place.file()).expect("a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("its turn");
    for record in &won(5) {
        store.observe(record);
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(store.health().written, 0);
    other.execute_batch("ROLLBACK").expect("its end");
    let well = until(&store, |health| health.waiting == 0).await;
    assert_eq!((well.written, well.lost, well.problem), (5, 0, None));
}

#[tokio::test]
async fn a_panic_of_the_writer_loses_nothing_and_a_group_that_makes_two_is_given_up() {
    let place = Place::new();
    let store = place.open().await;
    place.trouble(Some(PANIC));
    for record in &won(4) {
        store.observe(record);
    }
    let ill = until(&store, |health| health.lost > 0).await;
    assert_eq!((ill.lost, ill.waiting), (4, 0), "it panicked twice");
    place.trouble(None);
    for record in &won(6) {
        store.observe(record);
    }
    let well = until(&store, |health| health.written == 6).await;
    assert_eq!(well.lost, 4);
    store.flush().await;
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 6);
}

#[test]
fn a_group_that_is_written_again_is_there_once() {
    let place = Place::new();
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    let group = won(10);
    let first = ledger.next();
    ledger.write(first, &group, 0, [], &[]).expect("a write");
    ledger.write(first, &group, 0, [], &[]).expect("a write");
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 10);
    assert_eq!(ledger.next(), first + 10);
    let verified = verify_file(&place.file()).expect("a file");
    assert_eq!((verified.attempts, verified.problems), (10, Vec::new()));
}

#[test]
fn entries_are_forgotten_by_age_and_size_and_sums_stay_longer() {
    let place = Place::new();
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    let (first, group) = (ledger.next(), won(5_000));
    ledger.write(first, &group, 0, [], &[]).expect("a write");
    let day = Duration::from_secs(24 * 60 * 60);
    let entries = || verify_file(&place.file()).expect("a file").attempts;
    let now = SystemTime::now();
    while ledger.forget(&place.spec(), now + day / 2).expect("a look") {}
    assert_eq!(entries(), 5_000, "none is a day old");
    // Half of it is too much.
    let spec = StoreSpec { bytes_max: ledger.bytes() / 2, ..place.spec() };
    while ledger.forget(&spec, now).expect("a look") {}
    let left = entries();
    assert!((500..4_500).contains(&left), "{left}");
    assert_eq!(verify_file(&place.file()).expect("a file").problems, Vec::<String>::new());
    while ledger.forget(&place.spec(), now + 2 * day).expect("a look") {}
    assert_eq!((entries(), place.ask(GroupBy::All).sum.attempts), (0, 5_000));
    while ledger.forget(&place.spec(), now + 40 * day).expect("a look") {}
    assert_eq!(place.ask(GroupBy::All).sum.attempts, 0);
}

#[test]
fn a_tag_that_is_different_in_every_call_fills_nothing() {
    let place = Place::new();
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    let one =
        |number: u64| Record::Attempt(Arc::new(attempt(&about(number, "smart", &number.to_string()), 1, "a", None)));
    for part in 0..4 {
        let group: Vec<Record> = (part * 100..part * 100 + 100).map(one).collect();
        ledger.write(ledger.next(), &group, 0, [], &[]).expect("a write");
    }
    let statement = place.ask(GroupBy::Tag("team".into()));
    assert_eq!((statement.lines.len(), statement.sum.attempts), (129, 400));
    assert_eq!((statement.lines[0].of.as_str(), statement.lines[0].attempts), ("(others)", 272));
    let few = ask_file(&place.file(), &Question::by(GroupBy::Tag("team".into())).lines_max(3)).expect("a statement");
    assert!(few.cut && few.lines.len() == 3);
}

#[test]
fn a_tag_that_finds_no_place_in_an_hour_gets_none_when_a_late_call_leads_back_there() {
    let place = Place::new();
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    let record = |(number, (tag, hour)): (usize, (usize, u64))| {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + hour * 3_600);
        let mut about = CallFacts::new(CallId::new(7, number as u64), started, "smart");
        about.tags.insert(format!("tag-{tag}"), "x".into());
        Record::Attempt(Arc::new(attempt(&Arc::new(about), 1, "a", None)))
    };
    // One more than an hour has places for, then the next hour, then the first one again.
    let group = (0..17).map(|tag| (tag, 0)).chain([(0, 1), (16, 0), (17, 0), (16, 1)]);
    let group: Vec<Record> = group.enumerate().map(record).collect();
    ledger.write(ledger.next(), &group, 0, [], &[]).expect("a write");
    let group: Vec<Record> = [(16, 0), (0, 0)].into_iter().enumerate().map(record).collect();
    ledger.write(ledger.next(), &group, 0, [], &[]).expect("a write");
    for (tag, attempts) in [(0, 3), (1, 1), (15, 1), (16, 4), (17, 1)] {
        assert_eq!(place.ask(GroupBy::Tag(format!("tag-{tag}"))).sum.attempts, attempts, "tag-{tag}");
    }
}

#[test]
fn a_provider_that_counts_nonsense_spoils_no_sum() {
    let place = Place::new();
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    let liar = |number| {
        let mut record = attempt(&about(number, "smart", "red"), 1, "a", None);
        record.usage = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        record.cost_usd = Some(f64::MAX);
        Record::Attempt(Arc::new(record))
    };
    let group: Vec<Record> = (0..100).map(liar).collect();
    ledger.write(ledger.next(), &group, 0, [], &[]).expect("a write");
    let sum = place.ask(GroupBy::All).sum;
    assert_eq!((sum.attempts, sum.cost), (100, 100 * nanos(1e6)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// After any ends, every question's lines have the same sum, and each attempt is an answer or waste.
    #[test]
    fn every_attempt_is_a_winner_or_waste_under_every_grouping(
        records in proptest::collection::vec(
            (0_u64..40, 0_usize..4, 0_usize..FailureClass::ALL.len() * 2, 0_u64..9_999), 1..120,
        ),
    ) {
        let place = Place::new();
        let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
        let mut ledger = LedgerFile::open(&hold).expect("a book");
        let (mut cost, mut wasted, mut answers) = (0, 0, 0);
        let group = records.iter().enumerate().map(|(at, (call, provider, end, output))| {
            let about = about(*call, ["smart", "fast"][at % 2], ["red", "blue"][*provider % 2]);
            let class = FailureClass::ALL.get(*end).copied();
            let mut record = attempt(&about, u32::try_from(at).expect("few"), ["a", "b", "c", "d"][*provider], class);
            record.usage.output = *output;
            record.cost_usd = record.price.map(|price| price.cost_usd(&record.usage));
            let paid = record.cost_usd.map_or(0, nanos);
            cost += paid;
            wasted += if record.won() { 0 } else { paid };
            answers += u64::from(record.won());
            Record::Attempt(Arc::new(record))
        });
        let group: Vec<Record> = group.collect();
        for part in group.chunks(50) {
            ledger.write(ledger.next(), part, 0, [], &[]).expect("a write");
        }
        let whole = (group.len() as u64, answers, cost, wasted);
        let attempts = |by: &GroupBy| !matches!(by, GroupBy::Waste | GroupBy::Failure | GroupBy::Outcome);
        let all = GroupBy::ALL.into_iter().map(|(_, by)| by).filter(attempts).chain([GroupBy::Tag("team".into())]);
        for by in all {
            let sum = place.ask(by.clone()).sum;
            proptest::prop_assert_eq!((sum.attempts, sum.answers, sum.cost, sum.wasted), whole, "{}", by);
        }
        for by in [GroupBy::Waste, GroupBy::Failure] {
            let sum = place.ask(by.clone()).sum;
            let lost = (group.len() as u64 - answers, 0, wasted);
            proptest::prop_assert_eq!((sum.attempts, sum.answers, sum.wasted), lost, "{}", by);
        }
        proptest::prop_assert_eq!(verify_file(&place.file()).expect("a file").problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn five_thousand_records_a_second_are_kept_up_with_and_giving_one_takes_microseconds() {
    let place = Place::new();
    let store = place.open().await;
    let all = won(10_000);
    let (begun, mut giving) = (Instant::now(), Duration::ZERO);
    for (tenth, part) in (1..).zip(all.chunks(500)) {
        let before = Instant::now();
        for record in part {
            store.observe(record);
        }
        giving += before.elapsed();
        tokio::time::sleep_until((begun + Duration::from_millis(100) * tenth).into()).await;
    }
    let behind = store.health();
    assert!(behind.waiting < 5_000 && behind.lost == 0, "{behind:?}");
    let well = until(&store, |health| health.waiting == 0).await;
    assert_eq!((well.written, well.lost), (10_000, 0));
    let each = giving / 10_000;
    println!("{each:?} a record");
    assert!(each < Duration::from_micros(50), "{each:?} a record, on a busy machine without optimisation");
}

/// By hand: `cargo test --features sidecar --lib ten_million -- --ignored --nocapture`. A minute or five, 2 GB of disk.
#[test]
#[ignore = "ten million entries take minutes to write: docs/benchmarks.md has the figures"]
fn ten_million_entries_answer_within_a_second() {
    let place = Place::new();
    let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
    let mut ledger = LedgerFile::open(&hold).expect("a book");
    let began = Instant::now();
    let month = 30 * 24 * 60 * 60_u64;
    let ten_million = 10_000_000_u64;
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    // As a house with many teams has it: everything meets everything.
    let mut rng = StdRng::seed_from_u64(7);
    for first in (0..ten_million).step_by(10_000) {
        let group = (first..first + 10_000).map(|at| {
            let mut one_of = |count: u32| rng.random_range(0..count);
            let started = from + Duration::from_micros(month * 1_000_000 / ten_million * at);
            let mut about = CallFacts::new(CallId::new(7, at), started, format!("route-{}", one_of(10)));
            about.client = Some(format!("client-{}", one_of(25)).into());
            about.tags.insert("team".into(), format!("team-{}", one_of(23)));
            about.tags.insert("job".into(), format!("job-{}", one_of(100)));
            about.tags.insert("run".into(), format!("run-{}", at / 40));
            let end = match one_of(100) {
                0..80 => None,
                80..90 => Some(FailureClass::HedgeLost),
                90..96 => Some(FailureClass::Overloaded),
                96..99 => Some(FailureClass::CallerLeft),
                _ => Some(FailureClass::Cut),
            };
            let target = TargetId::new(["a", "b", "c"][one_of(3) as usize], "m");
            let key = ["key-1", "key-2"][one_of(2) as usize].into();
            let record = AttemptRecord { target, key, ..attempt(&Arc::new(about), 1, "a", end) };
            Record::Attempt(Arc::new(record))
        });
        let group: Vec<Record> = group.collect();
        ledger.write(ledger.next(), &group, 0, [], &[]).expect("a write");
    }
    let took = began.elapsed().as_secs_f64();
    println!("written in {took:.0} s, {:.0} a second; {} MB", 1e7 / took, ledger.bytes() / 1_000_000);
    let mut slowest = Duration::ZERO;
    for by in
        GroupBy::ALL.map(|(_, by)| by).into_iter().chain(["team", "job", "run"].map(|tag| GroupBy::Tag(tag.into())))
    {
        let before = Instant::now();
        let statement = place.ask(by.clone());
        slowest = slowest.max(before.elapsed());
        println!("{by:<12} {:>6} lines in {:>4} ms", statement.lines.len(), before.elapsed().as_millis());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test]
async fn a_file_of_an_older_form_that_is_only_read_tells_of_ends_as_it_did() {
    let place = Place::new();
    let store = place.open().await;
    store.observe(&Record::Attempt(Arc::new(attempt(
        &about(1, "smart", "red"),
        1,
        "a",
        Some(FailureClass::Cancelled),
    ))));
    store.flush().await;
    drop(store);
    let told = |by: GroupBy| place.ask(by).lines.iter().map(|line| line.of.clone()).collect::<Vec<_>>();
    assert_eq!((told(GroupBy::Waste), told(GroupBy::Failure)), (vec!["cancelled".into()], vec!["cancelled".into()]));
    let file = Connection::open(place.file()).expect("a file");
    let older =
        "CREATE TABLE hour (hour, route, provider, model, key, client, end, attempts, unpriced, input, cached, \
                 cache_write, output, reasoning, cost, estimated);
        CREATE TABLE tag_hour (tag, hour, value, end, attempts, unpriced, input, cached, cache_write, output, \
            reasoning, cost, estimated);
        CREATE TABLE call_hour (hour, route, client, outcome, calls, cost, wasted);
        INSERT INTO hour SELECT ended_at / 3600000, route, provider, model, key, client, end, 1, 0, input, cached, \
            cache_write, output, reasoning, cost, 0 FROM attempt;
        DROP TABLE sums;
        PRAGMA user_version = 4";
    file.execute_batch(older).expect("an older form");
    assert_eq!((told(GroupBy::Waste), told(GroupBy::Failure)), (vec!["abandoned".into()], vec!["caller_left".into()]));
}

#[test]
fn a_file_of_an_older_form_tells_the_same_before_and_after_it_is_brought_to_this_one() {
    for form in [4, 5, 8] {
        let place = Place::new();
        let file = Connection::open(place.file()).expect("a database");
        schema::make(&file, form).expect("an older form");
        let names = ["won", "cancelled", "cut", "smart", "fast", "a", "b", "m", "key-1", "key-2", "", "desk"];
        for name in names {
            file.execute("INSERT OR IGNORE INTO name (text) VALUES (?1)", [name]).expect("a name");
        }
        let id = |name: &str| {
            let find = "SELECT id FROM name WHERE text = ?1";
            file.query_row(find, [name], |row| row.get::<_, i64>(0)).expect("a name")
        };
        let mut rng = StdRng::seed_from_u64(7);
        let add = |table: &str, keys: String, sums: usize, rng: &mut StdRng| {
            let sums: Vec<String> = (0..sums).map(|_| rng.random_range(0..1_000).to_string()).collect();
            file.execute(&format!("INSERT OR IGNORE INTO {table} VALUES ({keys}, {})", sums.join(", ")), ())
                .expect(table);
        };
        file.execute_batch("BEGIN").expect("a transaction");
        for hour in 497_000..497_040 {
            for _ in 0..30 {
                let mut one = |of: &[&str]| id(of[rng.random_range(0..of.len())]);
                let (end, route) = (one(&["won", "cancelled", "cut"]), one(&["smart", "fast"]));
                let (provider, key, client) = (one(&["a", "b"]), one(&["key-1", "key-2"]), one(&["", "desk"]));
                let keys = format!("{hour}, {route}, {provider}, {}, {key}, {client}, {end}", id("m"));
                add("hour", keys, 9, &mut rng);
                add("tag_hour", format!("'team', {hour}, 'team {provider}', {end}"), 9, &mut rng);
                add("call_hour", format!("{hour}, {route}, {client}, {end}"), 3, &mut rng);
            }
        }
        file.execute_batch("COMMIT").expect("its end");
        drop(file);
        let all = || GroupBy::ALL.map(|(_, by)| by).into_iter().chain([GroupBy::Tag("team".into())]);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(497_020 * 3_600);
        let ask = |by| ask_file(&place.file(), &Question::by(by).since(later)).expect("a statement");
        let before: Vec<_> = all().map(|by| (place.ask(by.clone()), ask(by))).collect();
        assert!(before.iter().all(|(whole, part)| part.sum.attempts > 0 && part.sum.attempts < whole.sum.attempts));
        let hold = WriteLock::take(&place.file(), Duration::ZERO).expect("the file");
        let ledger = LedgerFile::open(&hold).expect("a book");
        let after: Vec<_> = all().map(|by| (place.ask(by.clone()), ask(by))).collect();
        assert_eq!(before, after, "of form {form}");
        // And it goes on.
        drop(ledger);
        let mut ledger = LedgerFile::open(&hold).expect("a book");
        ledger.write(ledger.next(), &won(3), 0, [], &[]).expect("a write");
        assert_eq!(place.ask(GroupBy::All).sum.attempts, before[0].0.sum.attempts + 3);
    }
}

#[tokio::test]
async fn a_damaged_row_of_a_durable_call_is_told_as_damaged_sealed_or_not() {
    let place = Place::new();
    let store = place.open().await;
    let request = ChatRequest::new("smart").user("a question").key("k");
    let call = KeptCall { request: Arc::new(request), ..durable(1) };
    let text = |text: &str| vec![Ok(ReplyEvent::Text(text.to_owned()))];
    assert_eq!(changed(store.accept(&call)).await, Ok(1));
    assert_eq!(changed(store.tell(call.id, 0, &text("an answer"))).await, Ok(1));
    let whole = store.told(call.id, 0).expect("it can be read");
    assert_eq!(whole, Some(text("an answer")));
    let file = Connection::open(place.file()).expect("a database");
    let damaged = |error: ReadError| matches!(&error, ReadError::Unopened(why) if why.contains("was damaged"));
    for (table, column) in [("kept_item", "item"), ("kept", "request")] {
        let read = format!("SELECT {column} FROM {table}");
        let bytes: Vec<u8> = file.query_row(&read, (), |row| row.get(0)).expect("a row");
        let put = |bytes: &[u8]| file.execute(&format!("UPDATE {table} SET {column} = ?1"), [bytes]).expect("a change");
        // Each byte, those of words included, and a row that is cut.
        for at in (0..bytes.len()).step_by(3) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            put(&changed);
            assert!(store.call(call.id).is_err_and(damaged), "{table}, byte {at}");
        }
        put(&bytes[..bytes.len() - 1]);
        assert!(store.call(call.id).is_err_and(damaged) && store.keyed(None, "k").is_err_and(damaged), "{table}");
        let problems = verify_file(&place.file()).expect("a file").problems;
        assert_eq!(problems, ["1 rows of durable calls are not what was written"]);
        put(&bytes);
        assert!(store.call(call.id).is_ok_and(|call| call.is_some()));
    }
    // What an earlier version wrote has no sum, and may still be known not to be whole.
    file.execute_batch("UPDATE kept_item SET sum = NULL; UPDATE kept SET sum = NULL").expect("a change");
    assert_eq!(store.told(call.id, 0), Ok(whole));
    file.execute_batch("UPDATE kept_item SET item = substr(item, 1, length(item) - 1)").expect("a change");
    assert!(store.told(call.id, 0).is_err_and(damaged));
    // What is of another form is another version's.
    file.execute_batch("UPDATE kept_item SET item = x'0102030405060708'").expect("a change");
    assert_eq!(store.told(call.id, 0), Ok(None));
}

#[tokio::test]
async fn what_is_known_is_kept_beside_records_and_replaced_by_the_next() {
    let place = Place::new();
    let store = place.open().await;
    let now = Instant::now();
    let memory = |provider: &str, calls: u32| {
        let options = AdmissionOptions {
            targets: vec![TargetOptions::default()],
            keys: 1,
            breaker: BreakerOptions::default(),
            health: HealthOptions::default(),
        };
        let mut admission = Admission::new(options, now);
        let ask = AdmissionRequest {
            target: 0,
            prompt_tokens: 1,
            whole: false,
            output_max: None,
            output_expected: 1,
            last_resort: false,
            look: None,
            in_use: KeysInUse::NONE,
            other_key: false,
        };
        for _ in 0..calls {
            admission.admit(ask, 0, now, &mut StdRng::seed_from_u64(1)).expect("all is well");
        }
        Memory {
            provider: provider.into(),
            at: now,
            salt: [1; 16],
            address: Fingerprint::default(),
            targets: vec![("m".to_owned(), Fingerprint::default())],
            keys: vec![Fingerprint::default()],
            admission: Some(Arc::new(admission)),
            tokens: vec![TokenModel::new(Vocabulary::Unknown)],
            bills: Vec::new(),
        }
    };
    let kept = || recollect(&place.file(), Duration::from_secs(60)).expect("it can be read").kept;
    let admitted = || {
        kept()
            .iter()
            .map(|kept| {
                let known = kept.read(Some(now), now).expect("what was written").admission.expect("it has a time");
                (kept.provider.clone(), known.health(0, 0, now).admitted)
            })
            .collect::<Vec<_>>()
    };
    let began = Instant::now();
    store.keep(memory("a", 1));
    store.keep(memory("b", 2));
    store.keep(memory("a", 3));
    assert!(began.elapsed() < Duration::from_millis(100), "nobody waited for a disk");
    store.flush().await;
    assert_eq!(admitted(), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    // A disk that is full keeps the latest in memory, and nothing else.
    place.trouble(Some(FULL));
    (4..40).for_each(|calls| store.keep(memory("a", calls)));
    std::thread::sleep(Duration::from_millis(60));
    place.trouble(None);
    let last = |all: Vec<(String, u64)>| all.iter().any(|(provider, calls)| provider == "a" && *calls == 39);
    for _ in 0..200 {
        if last(admitted()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it was never kept: {kept:?}", kept = admitted());
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_at_the_start_is_waited_for() {
    let place = Place::new();
    place.trouble(Some(UNWRITABLE));
    let store = Store::open(place.spec(), false).await.expect("a disk stops no start");
    for record in won(3) {
        store.observe(&record);
    }
    let waits = until(&store, |health| health.problem.is_some()).await;
    assert!(waits.problem.as_deref().is_some_and(|problem| problem.contains("must be writable")), "{waits:?}");
    assert_eq!((waits.waiting, store.may_take_over()), (3, false));
    place.trouble(None);
    let well = until(&store, |health| health.written == 3).await;
    assert_eq!((well.problem, well.lost, store.may_take_over()), (None, 0, true));
    assert_eq!(place.ask(GroupBy::All).sum.answers, 3);
}

/// Returns how many calls a write changed.
async fn changed(write: WriteFuture) -> Result<usize, Arc<str>> {
    write.await.map(|written| written.changed)
}

#[tokio::test]
async fn what_is_written_says_into_which_file_so_that_no_file_is_taken_for_another() {
    let place = Place::new();
    let store = place.open().await;
    let call = durable(1);
    assert_eq!(store.accept(&call).await, Ok(Written { changed: 1, file: 0 }));
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(place.0.join(format!("standin.db{ending}"))).expect("a file");
    }
    let text = [Ok(ReplyEvent::Text("a word".to_owned()))];
    assert_eq!(store.tell(call.id, 0, &text).await, Ok(Written { changed: 0, file: 1 }));
    assert_eq!(store.accept(&durable(2)).await, Ok(Written { changed: 1, file: 1 }));
    assert_eq!((store.files(), store.call(call.id).expect("a file").is_none()), (1, true));
}

/// Returns a durable call.
fn durable(number: u64) -> KeptCall {
    KeptCall {
        id: CallId::new(7, number),
        begun_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        request: Arc::new(ChatRequest::new("smart").user("a question")),
        durable: Durable::Again,
        is_whole: false,
        sent: 0,
        items: Vec::new(),
        ended_at: None,
    }
}

#[tokio::test]
async fn of_two_processes_that_write_at_one_place_of_a_call_the_first_wins_and_the_other_hears_of_it() {
    let place = Place::new();
    let first = place.open().await;
    let next = Store::open(place.spec(), true).await.expect("it does not wait");
    let (one, other) = (durable(1), durable(2));
    let text = |text: &str| vec![Ok(ReplyEvent::Text(text.to_owned()))];
    let cancelled = vec![Err(Error::Cancelled)];
    assert_eq!(changed(first.accept(&one)).await, Ok(1));
    assert_eq!(changed(first.sent(one.id, 1)).await, Ok(1));
    assert_eq!(changed(first.tell(one.id, 0, &text("one"))).await, Ok(1));
    // The process that follows keeps its own calls at once, and ends those of the other at the next place.
    assert_eq!(changed(next.accept(&other)).await, Ok(1));
    assert_eq!(changed(next.tell(one.id, 0, &cancelled)).await, Ok(0), "that place is taken");
    assert_eq!(changed(next.tell(one.id, 1, &cancelled)).await, Ok(1));
    assert_eq!(changed(first.tell(one.id, 1, &text("two"))).await, Ok(0));
    assert_eq!(changed(first.tell(one.id, 2, &text("three"))).await, Ok(0), "it has ended");
    assert_eq!(changed(first.sent(one.id, 2)).await, Ok(0));
    let told = first.told(one.id, 0).expect("it can be read").expect("it is kept");
    assert_eq!(told, [text("one"), cancelled].concat());
    assert_eq!(first.told(one.id, 1).expect("it can be read").map(|told| told.len()), Some(1));
    assert_eq!(changed(next.forget(CallSelector::Call(one.id))).await, Ok(1));
    assert_eq!(first.told(one.id, 0), Ok(None));
    assert_eq!((first.may_take_over(), next.may_take_over(), next.is_behind()), (true, false, true));
    drop(first);
    until(&next, |health| health.problem.is_none()).await;
    assert_eq!((next.may_take_over(), next.is_behind(), next.unfinished()), (true, false, Ok(vec![other.id])));
}

#[tokio::test]
async fn what_a_process_spends_is_added_up_once_however_often_it_is_read() {
    let place = Place::new();
    let store = place.open().await;
    let budget = |name: &str| Budget {
        name: name.into(),
        of: BudgetScope::All,
        period: Period::Day,
        limit: 1,
        unit: Unit::Tokens,
        on_spent: OnSpent::Refuse,
    };
    let spent = |budget, amount| vec![PastSpend { budget, account: String::new(), amount, step: 7 }];
    let both = [budget("a"), budget("b")];
    let news = |budgets: &[Budget], spent| store.add_up(budgets, spent).iter().map(|one| one.amount).sum::<i64>();
    assert_eq!((news(&both, spent(0, 5)), news(&both, spent(0, 5)), news(&both, spent(0, 7))), (5, 0, 2));
    assert_eq!((news(&both, spent(1, 7)), news(&both[1..], spent(0, 8))), (7, 1), "by its name, wherever it stands");
}

#[tokio::test]
async fn who_follows_a_process_gives_records_until_that_lets_go() {
    let place = Place::new();
    let first = place.open().await;
    for record in won(3) {
        first.observe(&record);
    }
    let began = Instant::now();
    let next = Store::open(place.spec(), true).await.expect("it does not wait");
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    for record in won(4) {
        next.observe(&record);
    }
    let waits = until(&next, |health| health.problem.is_some()).await;
    assert!(waits.problem.as_deref().is_some_and(|problem| problem.contains("is kept by process")), "{waits:?}");
    assert_eq!((waits.written, waits.waiting), (0, 4));
    drop(first);
    let well = until(&next, |health| health.written == 4).await;
    assert_eq!((well.problem, well.lost), (None, 0));
    next.flush().await;
    assert_eq!(place.ask(GroupBy::All).sum.answers, 7);
}

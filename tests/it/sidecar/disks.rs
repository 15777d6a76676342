//! A sidecar whose clock jumps, and whose store's file becomes read-only, is damaged or deleted while it runs: a
//! process of its own, between which and the system stands a library that the test makes.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use standin::drill::Drill;
use standin::testing::{Fault, RetryHint, Script};

use super::background::{body, ended, get, id, post};
use super::child::{Served, program};
use super::http::{self, Caller, Exchange, PATIENCE};

/// The library: the wall's clock is ahead by the seconds in a file, and what is named `kept.db` cannot be written while
/// another file is there. Both are looked at ten times a second.
const BETWEEN: &str = r#"
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

#[repr(C)]
pub struct Time { seconds: i64, nanos: i64 }

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

#[cfg(target_arch = "x86_64")]
const NUMBERS: [c_long; 5] = [228, 257, 1, 18, 77];
#[cfg(target_arch = "aarch64")]
const NUMBERS: [c_long; 5] = [113, 56, 64, 68, 46];
const CLOCK_GETTIME: c_long = NUMBERS[0];
const OPENAT: c_long = NUMBERS[1];
const WRITE: c_long = NUMBERS[2];
const PWRITE: c_long = NUMBERS[3];
const FTRUNCATE: c_long = NUMBERS[4];

static LOOKED: AtomicI64 = AtomicI64::new(-1_000);
static AHEAD: AtomicI64 = AtomicI64::new(0);
static READ_ONLY: AtomicBool = AtomicBool::new(false);

fn look() {
    let mut now = Time { seconds: 0, nanos: 0 };
    unsafe { syscall(CLOCK_GETTIME, 1 as c_long, &mut now as *mut Time) };
    let tenth = now.seconds * 10 + now.nanos / 100_000_000;
    if LOOKED.swap(tenth, Relaxed) == tenth { return }
    let Some(folder) = std::env::var_os("TEST_FAULTS").map(PathBuf::from) else { return };
    let ahead = std::fs::read_to_string(folder.join("ahead")).ok().and_then(|text| text.trim().parse().ok());
    AHEAD.store(ahead.unwrap_or(0), Relaxed);
    READ_ONLY.store(folder.join("read-only").exists(), Relaxed);
}

fn refused() -> isize {
    unsafe { *__errno_location() = 30 };
    -1
}

fn is_barred(file: c_int) -> bool {
    look();
    READ_ONLY.load(Relaxed)
        && std::fs::read_link(format!("/proc/self/fd/{file}")).is_ok_and(|path| path.to_string_lossy().contains("kept.db"))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    let told = unsafe { syscall(CLOCK_GETTIME, clock as c_long, time) } as c_int;
    if clock == 0 && told == 0 {
        look();
        unsafe { (*time).seconds += AHEAD.load(Relaxed) };
    }
    told
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    if flags & 3 != 0 && unsafe { CStr::from_ptr(path) }.to_string_lossy().contains("kept.db") {
        look();
        if READ_ONLY.load(Relaxed) { return refused() as c_int }
    }
    unsafe { syscall(OPENAT, -100 as c_long, path, flags as c_long, mode as c_long) as c_int }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { open64(path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    if is_barred(file) { return refused() }
    unsafe { syscall(WRITE, file as c_long, bytes, count) as isize }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    if is_barred(file) { return refused() }
    unsafe { syscall(PWRITE, file as c_long, bytes, count, at) as isize }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(file: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    unsafe { pwrite64(file, bytes, count, at) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(file: c_int, length: i64) -> c_int {
    if is_barred(file) { return refused() as c_int }
    unsafe { syscall(FTRUNCATE, file as c_long, length) as c_int }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(file: c_int, length: i64) -> c_int {
    unsafe { ftruncate64(file, length) }
}
"#;

/// Returns the library, which is made once.
fn between() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let (_, folder) = program("disks");
        let (source, library) = (folder.join("between.rs"), folder.join("libbetween.so"));
        fs::write(&source, BETWEEN).expect("a file");
        let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        compiler.args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-o"]);
        assert!(compiler.arg(&library).arg(&source).status().expect("a compiler").success());
        library
    })
}

/// A sidecar over two drills, with its file in a folder of its own.
struct House {
    name: &'static str,
    folder: PathBuf,
    drills: [Drill; 2],
    served: Option<Served>,
}

impl House {
    async fn new(name: &'static str) -> Self {
        let (_, folder) = program(name);
        fs::remove_dir_all(&folder).expect("a folder");
        fs::create_dir_all(&folder).expect("a folder");
        let script = || Script { per_token: Duration::from_millis(20), ..Script::default() };
        let drills = [Drill::start(script()).await.expect("a drill"), Drill::start(script()).await.expect("a drill")];
        let mut text = "store.path = \"kept.db\"\nbudgets.all = { tokens = 1_000_000, per = \"day\" }\n".to_owned();
        text += "routes.smart = { targets = [\"a/m\", \"b/m\"], options.strategy = \"priority\" }\n";
        for (name, drill) in ["a", "b"].iter().zip(&drills) {
            let model = "models.m = { price = { input = 1.0, output = 4.0 } }";
            let base_url = format!("http://{}/v1", drill.address());
            text += &["[providers.", name, "]\nbase_url = \"", &base_url, "\"\n", model, "\n"].concat();
        }
        fs::write(folder.join("given.toml"), text).expect("a file");
        let mut house = Self { name, folder, drills, served: None };
        house.serve();
        house
    }

    fn serve(&mut self) {
        self.served = None;
        let (library, folder) = (between(), self.folder.clone());
        self.served = Some(Served::start(self.name, &["--config", "given.toml"], |command| {
            let log = OpenOptions::new().append(true).create(true).open(folder.join("log")).expect("a file");
            command.env("LD_PRELOAD", library).env("TEST_FAULTS", &folder).stderr(log);
        }));
    }

    fn to(&self) -> SocketAddr {
        self.served.as_ref().expect("it serves").address
    }

    fn file(&self) -> PathBuf {
        self.folder.join("kept.db")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    async fn answered(&self, calls: u32) {
        for _ in 0..calls {
            assert_eq!(http::ask(self.to(), Caller::Chat, "smart", "Hi", false).await.status, 200);
        }
    }

    /// Begins a durable call of two seconds, and returns its live stream and its id.
    async fn running(&self) -> (Exchange, String) {
        let words = (0..100).map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ");
        let asked = body(json!({"input": words, "stream": true})).to_string();
        let mut live = Exchange::begin(self.to(), "POST", "/v1/responses", &[], &asked).await;
        live.until(|seen| seen.contains(" w5\"") || seen.contains("w5 \"")).await;
        let id = http::events(&live.so_far())[0]["response"]["id"].as_str().expect("an id").to_owned();
        (live, id)
    }

    /// Who reads a call whose file is gone is told so, and never an end that nobody brought.
    async fn is_told_as_lost(&self, (live, id): (Exchange, String)) {
        let seen = live.end().await;
        assert!(seen.body.contains("was deleted or moved") && !seen.body.contains("cancelled"), "{seen:?}");
        let failed = get(self.to(), &id).await.json();
        assert_eq!(failed["status"], "failed", "{failed}");
    }

    async fn health(&self) -> Value {
        http::get(self.to(), "/health").await.json()
    }

    async fn ledger(&self, by: &str) -> http::Response {
        http::get(self.to(), &format!("/ledger?by={by}")).await
    }

    async fn attempts(&self) -> u64 {
        let told = self.ledger("all").await;
        assert_eq!(told.status, 200, "{told:?}");
        told.json()["lines"].as_array().and_then(|lines| lines.first()?["attempts"].as_u64()).unwrap_or(0)
    }

    /// Waits until its health is so.
    async fn until(&self, is: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let health = self.health().await;
                if is(&health) {
                    return health;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes to that")
    }

    async fn until_logged(&self, words: &str) {
        let waiting = async {
            while !self.log().contains(words) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{words}: {}", self.log());
    }

    fn is_whole(&self, file: &str) -> bool {
        let (mut command, _) = program(self.name);
        command.args(["ledger", "--file", file, "--verify"]).output().expect("it runs").status.success()
    }
}

/// Damages all pages of a file but the first.
fn damage(file: &Path) {
    let mut file = OpenOptions::new().write(true).open(file).expect("a file");
    let pages = file.metadata().expect("a file").len() / 4_096;
    file.seek(SeekFrom::Start(4_096)).expect("a place");
    for _ in 1..pages {
        file.write_all(&[0xa5; 4_096]).expect("a page");
    }
}

fn is_well(health: &Value) -> bool {
    health["store"]["problem"].is_null()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_under_a_running_sidecar_is_said_and_ages_nothing() {
    let house = House::new("clock-jumps").await;
    // A provider that is at its limit for an hour.
    house.drills[0].handle().always(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(3_600))));
    house.answered(3).await;
    let asked = house.drills[0].handle().counts().received;
    let answer = id(&post(house.to(), &[], json!({})).await);
    let whole = ended(house.to(), &answer).await;
    // It looks at its clocks each second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let jump = async |seconds: i64| {
        fs::write(house.folder.join("ahead"), seconds.to_string()).expect("a file");
        house.until_logged(if seconds > 0 { "back=false" } else { "back=true" }).await;
        house.answered(3).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        house.answered(3).await;
        assert_eq!(house.drills[0].handle().counts().received, asked, "its hour has not passed");
        assert_eq!(get(house.to(), &answer).await.json(), whole, "its time has not passed");
    };
    let day = 24 * 60 * 60;
    jump(40 * day).await;
    let spent = |health: &Value| health["budgets"][0]["spent"].as_f64().expect("a number");
    let ahead = spent(&house.health().await);
    jump(-40 * day).await;
    assert!(spent(&house.health().await) >= ahead, "a clock that is set back renews no purse");
    let days = house.ledger("day").await.json();
    assert_eq!(days["lines"].as_array().map(Vec::len), Some(3), "{days}");
    assert_eq!(house.attempts().await, asked + house.drills[1].handle().counts().received);
    let log = house.log();
    assert!(log.contains("the clock was set") && !log.contains("the machine slept"), "{log}");
    let file = rusqlite::Connection::open(house.file()).expect("a database");
    let kept = file.query_row("SELECT count(*) FROM kept WHERE ended_at IS NOT NULL", (), |row| row.get::<_, i64>(0));
    assert_eq!(kept, Ok(1), "nor is it forgotten on the disk");
    assert!(house.is_whole("kept.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_file_cannot_be_written_calls_go_on_and_what_ended_is_written_later() {
    let house = House::new("read-only").await;
    house.answered(5).await;
    assert_eq!(house.attempts().await, 5);
    fs::write(house.folder.join("read-only"), "").expect("a file");
    tokio::time::sleep(Duration::from_millis(200)).await;
    house.answered(5).await;
    let ill = house.until(|health| !is_well(health)).await;
    assert_eq!(ill["store"]["lost"], 0, "{ill}");
    let metrics = http::get(house.to(), "/metrics").await.body;
    assert!(metrics.contains("standin_store_failing 1"), "{metrics}");
    // What can be read is told; what cannot be kept is not accepted.
    assert_eq!(house.attempts().await, 5);
    let forget = async { Exchange::begin(house.to(), "POST", "/forget?before=1d", &[], "").await.end().await };
    let refused = post(house.to(), &[], json!({}));
    for refused in <[_; 2]>::from(tokio::join!(refused, forget)) {
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.body.contains("the store does not write"), "{refused:?}");
    }
    house.answered(5).await;
    fs::remove_file(house.folder.join("read-only")).expect("a file");
    house.until(is_well).await;
    let answer = id(&post(house.to(), &[], json!({})).await);
    ended(house.to(), &answer).await;
    assert_eq!(house.attempts().await, 16, "nothing is lost, and what was refused was not sent");
    assert!(house.log().contains("the store cannot write") && house.log().contains("the store writes again"));
    assert!(house.is_whole("kept.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_damaged_under_a_running_sidecar_stops_no_call_and_is_said_with_the_remedy() {
    let mut house = House::new("damaged-page").await;
    house.answered(20).await;
    let answer = id(&post(house.to(), &[], json!({})).await);
    ended(house.to(), &answer).await;
    assert_eq!(house.attempts().await, 21);
    let other = rusqlite::Connection::open(house.file()).expect("a database");
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).expect("a checkpoint");
    drop(other);
    damage(&house.file());
    // Whoever reads the page is told.
    let told = house.ledger("all").await;
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.body.contains("cannot be read") && told.body.contains("move it away"), "{told:?}");
    assert!(!house.is_whole("kept.db"));
    house.answered(5).await;
    // A start on it is refused.
    house.served.as_ref().expect("it serves").signal("KILL");
    house.served.as_mut().expect("it serves").ended();
    damage(&house.file());
    let _ = fs::remove_file(house.folder.join("kept.db-wal"));
    let (mut command, _) = program("damaged-page");
    let listen = super::child::free().to_string();
    let refused = command.args(["serve", "--config", "given.toml", "--listen", &listen]).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("move it away, and a new one is begun"), "{said}");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::rename(house.folder.join(format!("kept.db{ending}")), house.folder.join(format!("old.db{ending}")));
    }
    house.serve();
    house.answered(3).await;
    assert_eq!(house.attempts().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_under_a_running_sidecar_is_begun_anew_and_its_calls_say_so() {
    let house = House::new("deleted").await;
    house.answered(3).await;
    let ended_before = id(&post(house.to(), &[], json!({})).await);
    ended(house.to(), &ended_before).await;
    let running = house.running().await;
    let spent = house.health().await["budgets"][0]["spent"].as_f64().expect("a number");
    fs::remove_file(house.file()).expect("a file");
    house.answered(3).await;
    house.until_logged("the store's file is gone; a new one is made").await;
    let health = house.until(is_well).await;
    assert!(health["budgets"][0]["spent"].as_f64().expect("a number") >= spent, "{health}");
    house.is_told_as_lost(running).await;
    assert_eq!(get(house.to(), &ended_before).await.json()["status"], "completed", "it is remembered");
    let answer = id(&post(house.to(), &[], json!({})).await);
    ended(house.to(), &answer).await;
    assert!((4..=6).contains(&house.attempts().await), "what ended since");
    assert!(house.is_whole("kept.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_while_it_cannot_be_written_fails_its_calls_as_lost_and_not_as_cancelled() {
    for (name, is_deleted) in [("moved-ill", false), ("deleted-ill", true)] {
        let house = House::new(name).await;
        let running = house.running().await;
        fs::write(house.folder.join("read-only"), "").expect("a file");
        house.until(|health| !is_well(health)).await;
        // It is closed now: a new file may get the number of the old one.
        for ending in ["-wal", "-shm", ""] {
            let file = house.folder.join(format!("kept.db{ending}"));
            let gone = if is_deleted {
                fs::remove_file(&file)
            } else {
                fs::rename(&file, house.folder.join(format!("old.db{ending}")))
            };
            assert!(gone.is_ok() || !ending.is_empty(), "{gone:?}");
        }
        fs::remove_file(house.folder.join("read-only")).expect("a file");
        house.until_logged("the store's file is gone; a new one is made").await;
        house.until(is_well).await;
        house.is_told_as_lost(running).await;
        let answer = id(&post(house.to(), &[], json!({})).await);
        ended(house.to(), &answer).await;
        assert!(house.is_whole("kept.db") && (is_deleted || house.is_whole("old.db")));
    }
}

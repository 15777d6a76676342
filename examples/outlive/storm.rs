//! A parent that plays the provider, keeps the books and kills; a child that works, and remembers by its file alone.
//!
//! The books have two counts of what may be billed twice. What reached the provider in more than one process is told by
//! the provider. What is noted as sent in more than one is told by the ledger, which cannot know what a process that
//! was killed did behind its note. The difference is looked up in the file after each kill.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use standin::config::StoreConfig;
use standin::drill::Drill;
use standin::runtime::{GroupBy, Question};
use standin::testing::{Answer, Answers, Fault, Latency, ProviderError, Script};
use standin::{ChatRequest, Durable, Error, OnExhausted, ProviderConfig, Runtime};

/// The argument that makes the program a child.
const CHILD: &str = "--work";
/// What a child says first.
pub const BEGUN: &str = "begun";
/// Calls that a child has under way at once.
pub const WORKERS: u64 = 8;
pub const MS: Duration = Duration::from_millis(1);

/// A child's arguments.
pub struct Arguments {
    file: PathBuf,
    provider: SocketAddr,
    /// The number of the first call that was not made yet.
    first: u64,
}

/// Returns a child's arguments, in a child.
pub fn child() -> Option<Arguments> {
    let mut told = std::env::args().skip_while(|argument| argument != CHILD).skip(1);
    let file = told.next()?.into();
    let provider = told.next()?.parse().expect("an address");
    Some(Arguments { file, provider, first: told.next()?.parse().expect("a number") })
}

async fn runtime(file: &Path, provider: SocketAddr) -> Runtime {
    Runtime::builder()
        .provider("drill", ProviderConfig::new(format!("http://{provider}/v1")).key("sk-drill").model("m"))
        .with(|config| {
            config.store = Some(StoreConfig::new(file));
            config.failover.attempts_max = Some(8);
        })
        .start()
        .await
        .expect("it starts")
}

fn request(number: u64) -> ChatRequest {
    ChatRequest::new("drill/m")
        .user(format!("call {number}."))
        .key(number.to_string())
        .durable(Durable::Again)
        .on_exhausted(OnExhausted::Wait)
}

/// Makes calls until it is killed, and prints which are accepted, and their answers.
pub fn work(arguments: &Arguments) {
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    executor.block_on(async {
        let runtime = runtime(&arguments.file, arguments.provider).await;
        say(BEGUN);
        let next = Arc::new(AtomicU64::new(arguments.first));
        for _ in 0..WORKERS {
            let (runtime, next) = (runtime.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    match runtime.submit(request(number)).await {
                        Ok(call) => {
                            say(&format!("accepted {number} {}", call.id()));
                            match call.wait().await {
                                Ok(reply) => say(&format!("answered {number} {}", reply.text)),
                                Err(error) => say(&format!("failed {number} {error}")),
                            }
                        }
                        Err(error) => say(&format!("refused {number} {error}")),
                    }
                }
            });
        }
        // Until it is killed.
        std::future::pending::<()>().await;
    });
}

/// Says a line, whole.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The reader may be gone.
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// The parent's records.
#[derive(Default)]
pub struct Books {
    /// One more than the number of the last call that was asked for.
    next: u64,
    /// The accepted calls, and their ids.
    pub accepted: BTreeMap<u64, String>,
    pub answered: BTreeMap<u64, String>,
    /// What was heard of answers that are told as they come.
    pub heard: BTreeMap<u64, String>,
    /// In how many processes each call reached the provider.
    runs: BTreeMap<u64, u32>,
    /// Calls that a kill left unfinished, and noted as sent.
    noted: BTreeSet<u64>,
}

/// Kills this number of processes, and returns the result.
pub fn kill_again_and_again(kills: u32) -> String {
    with_file("runtime", async |file| {
        let (drill, books) = storm(file, kills, |provider, first| {
            let (provider, first) = (provider.to_string(), first.to_string());
            let (child, told) = begin([CHILD.as_ref(), file.as_os_str(), provider.as_ref(), first.as_ref()], BEGUN);
            (vec![child], told)
        })
        .await;
        finish(file, &drill, books, kills).await
    })
}

/// Works on a file of its own, which is deleted at the end.
pub fn with_file(name: &str, work: impl AsyncFnOnce(&Path) -> String) -> String {
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    let folder = std::env::temp_dir().join(format!("standin-outlive-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let told = executor.block_on(work(&folder.join("standin.db")));
    std::fs::remove_dir_all(&folder).expect("a folder");
    told
}

/// Starts processes and kills them as often. They get the provider and the number of the first call to ask for.
pub async fn storm(
    file: &Path,
    kills: u32,
    start: impl Fn(SocketAddr, u64) -> (Vec<Child>, BufReader<ChildStdout>),
) -> (Drill, Books) {
    let said = AtomicU64::new(0);
    let answers =
        Answers::by(move |_| Answer::text(format!("answer {}, and some more words", said.fetch_add(1, Relaxed))));
    let first_token = Latency::Fixed(5 * MS);
    let drill = Drill::start(Script { answers, first_token, per_token: 2 * MS, ..Script::default() }).await;
    let drill = drill.expect("a drill");
    drill.handle().sometimes(0.1, Fault::Error(ProviderError::Unavailable));
    drill.handle().sometimes(0.05, Fault::CutAfter(2));
    let mut books = Books::default();
    for _ in 0..kills {
        let began = Instant::now();
        let (mut children, told) = start(drill.address(), books.next);
        // Where all is slow, they get further before they are killed.
        let life_max = 150 * MS + began.elapsed();
        let hearing = std::thread::spawn(move || told.lines().map_while(Result::ok).collect::<Vec<_>>());
        tokio::time::sleep(5 * MS + life_max.mul_f64(rand::random())).await;
        for child in &mut children {
            child.kill().expect("a kill");
        }
        for child in &mut children {
            child.wait().expect("its end");
        }
        books.hear(&hearing.join().expect("no panic"));
        // What lies in its sockets is read, too.
        tokio::time::sleep(10 * MS).await;
        books.count(&drill, file);
    }
    drill.handle().clear();
    (drill, books)
}

/// Starts this program as a child, and waits until it says that it works.
pub fn begin<'a>(arguments: impl IntoIterator<Item = &'a OsStr>, works: &str) -> (Child, BufReader<ChildStdout>) {
    let (child, told, line) = start(arguments);
    assert_eq!(line, works, "it begins");
    (child, told)
}

/// Starts this program as a child, and waits for its first line.
pub fn start<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut told = BufReader::new(child.stdout.take().expect("its words"));
    let mut line = String::new();
    told.read_line(&mut line).expect("its first word");
    (child, told, line.trim_end().to_owned())
}

impl Books {
    /// Notes a child's lines.
    fn hear(&mut self, lines: &[String]) {
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let (what, number) =
                (words.next().unwrap_or_default(), words.next().and_then(|number| number.parse().ok()));
            let Some(number) = number else { continue };
            self.next = self.next.max(number + 1);
            let said = words.next().unwrap_or_default().to_owned();
            let before = match what {
                "accepted" => self.accepted.insert(number, said),
                "answered" => self.answered.insert(number, said),
                // More each time.
                "heard" => self.heard.insert(number, said).filter(|_| false),
                _ => panic!("no call fails: {line}"),
            };
            assert_eq!(before, None, "{line}: twice");
        }
        // Some calls may have been made without a line: their numbers are not used again.
        self.next += WORKERS;
    }

    /// Takes what the provider saw of a process, and what that left in its file.
    fn count(&mut self, drill: &Drill, file: &Path) {
        let seen = self.see(drill);
        for (number, sent) in open_calls(file) {
            assert!(sent > 0 || !seen.contains(&number), "call {number} reached the provider and is taken for unsent");
            if sent > 0 {
                self.noted.insert(number);
            }
        }
    }

    /// Takes what the provider saw.
    fn see(&mut self, drill: &Drill) -> BTreeSet<u64> {
        let log = drill.handle().take_log();
        let seen: BTreeSet<u64> = log.iter().filter_map(|record| number_in(&record.body)).collect();
        for number in &seen {
            *self.runs.entry(*number).or_default() += 1;
        }
        seen
    }

    /// Leaves out calls that failed and were sent once: what broke off behind its first words is not sent again.
    pub fn leave_out_failed(&mut self, file: &Path) {
        let failed = failed_calls(file);
        self.noted.retain(|number| failed.get(number).is_none_or(|sent| *sent > 1));
    }

    /// Takes the answer of a call, at last. Who had one before had this one.
    pub fn end(&mut self, number: u64, answer: &str) {
        let before = self.answered.insert(number, answer.to_owned());
        assert!(before.as_ref().is_none_or(|before| before == answer), "call {number}: {before:?}, then {answer:?}");
    }

    /// Says what came of it; `again` is what the ledger counts, and `told` how many were answered before a kill.
    pub fn sum(&mut self, drill: &Drill, kills: u32, told: usize, again: u64) -> String {
        self.see(drill);
        let twice: BTreeSet<u64> = self.runs.iter().filter(|(_, runs)| **runs > 1).map(|(number, _)| *number).collect();
        let missed: Vec<_> = twice.difference(&self.noted).collect();
        assert!(missed.is_empty(), "{missed:?} reached the provider in two processes, and are not noted");
        assert_eq!(again, self.noted.len() as u64, "the ledger counts what was noted as sent, and is sent again");
        let (accepted, between) = (self.accepted.len(), self.noted.len() - twice.len());
        format!(
            "{kills} kills, {accepted} calls accepted, {told} of them answered before a kill; lost 0, delivered as two \
             answers 0; {again} may be billed twice by the ledger: {} reached the provider in more than one process, \
             {between} were killed between the note and the provider",
            twice.len(),
        )
    }
}

/// Returns the calls that have not ended, and in how many processes each is noted as sent.
fn open_calls(file: &Path) -> Vec<(u64, u32)> {
    let file = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
    let mut open = file.prepare("SELECT key, sent FROM kept WHERE ended_at IS NULL").expect("its form");
    let open = open.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).expect("rows");
    open.map(|row| row.map(|(key, sent)| (key.parse().expect("a number"), sent)).expect("a row")).collect()
}

/// Returns the calls that failed, whose keys are free again, and in how many processes each is noted as sent.
fn failed_calls(file: &Path) -> BTreeMap<u64, u32> {
    let file = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
    let mut failed = file.prepare("SELECT request, sent FROM kept WHERE key IS NULL").expect("its form");
    let failed = failed.query_map((), |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))).expect("rows");
    let failed = failed.map(|row| row.expect("a row"));
    failed.map(|(request, sent)| (number_in(&request).expect("a number"), sent)).collect()
}

/// Returns the number of the call that a request asks for.
fn number_in(request: &[u8]) -> Option<u64> {
    String::from_utf8_lossy(request).split("call ").nth(1)?.split('.').next()?.parse().ok()
}

/// Waits until every call has ended, those as well whose askers did not hear that they were accepted.
pub async fn settled(file: &Path) {
    let waiting = async {
        while !open_calls(file).is_empty() {
            tokio::time::sleep(10 * MS).await;
        }
    };
    tokio::time::timeout(60_000 * MS, waiting).await.expect("all calls end");
}

/// Lets a last process finish everything, reads it all again, and compares.
async fn finish(file: &Path, drill: &Drill, mut books: Books, kills: u32) -> String {
    let runtime = runtime(file, drill.address()).await;
    let told = books.answered.len();
    let mut calls = Vec::new();
    for number in books.accepted.keys() {
        match runtime.submit(request(*number)).await {
            Ok(call) => calls.push((*number, call)),
            Err(error) => panic!("call {number} is lost: {error}"),
        }
    }
    for (number, call) in &calls {
        assert_eq!(call.id().to_string(), books.accepted[number], "call {number} is lost, and another is made");
        match call.wait().await {
            Ok(reply) => books.end(*number, &reply.text),
            Err(error) => panic!("call {number} failed: {error}"),
        }
    }
    settled(file).await;
    let again = runtime.ledger(Question::by(GroupBy::All)).await.expect("a ledger").again;
    drop(runtime);
    // Another process, and every place of a stream.
    let runtime = self::runtime(file, drill.address()).await;
    let asked = drill.handle().received();
    for (number, call) in &calls {
        let call = runtime.resume(call.id()).await.expect("kept");
        let whole = call.wait().await.expect("an answer");
        assert_eq!(&whole.text, &books.answered[number], "call {number} reads the same");
        let all = read(call.stream_from(0)).await;
        for offset in 0..=all.len() {
            assert_eq!(read(call.stream_from(offset)).await, all[offset..], "call {number} from {offset}");
        }
    }
    assert_eq!(drill.handle().received(), asked, "nobody is asked for what is kept");
    books.sum(drill, kills, told, again)
}

async fn read(mut stream: standin::ReplyStream) -> Vec<Result<standin::ReplyEvent, Error>> {
    let mut items = Vec::new();
    while let Some(item) = stream.next().await {
        items.push(item);
    }
    items
}

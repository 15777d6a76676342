//! A parent that plays the provider, counts and kills; a child that makes calls, and whose only memory is its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use standin::config::StoreConfig;
use standin::drill::Drill;
use standin::runtime::{By, Question};
use standin::testing::{Answer, Answers, Fault, Latency, ProviderError, Script};
use standin::{ChatRequest, Durable, Error, OnExhausted, ProviderConfig, Runtime};

/// The argument that makes the program a child.
const CHILD: &str = "--work";
/// A child's first line.
const BEGUN: &str = "begun";
/// Calls that a child has under way at once.
const WORKERS: u64 = 8;
const MS: Duration = Duration::from_millis(1);

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
            config.failover.attempts_max = 8;
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
                            say(&format!("accepted {number}"));
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

/// Prints a line, whole.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The reader may be gone.
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// The parent's records.
#[derive(Default)]
struct Books {
    /// One more than the number of the last call that was asked for.
    next: u64,
    accepted: BTreeSet<u64>,
    answered: BTreeMap<u64, String>,
    /// In how many processes each call reached the provider.
    runs: BTreeMap<u64, u32>,
}

/// Kills this number of processes, and returns the result.
pub fn kill_again_and_again(kills: u32) -> String {
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    let folder = std::env::temp_dir().join(format!("standin-outlive-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let told = executor.block_on(storm(&folder.join("standin.db"), kills));
    std::fs::remove_dir_all(&folder).expect("a folder");
    told
}

async fn storm(file: &Path, kills: u32) -> String {
    let said = AtomicU64::new(0);
    let answers =
        Answers::by(move |_| Answer::text(format!("answer {}, and some more words", said.fetch_add(1, Relaxed))));
    let first_token = Latency::Fixed(5 * MS);
    let drill = Drill::start(Script { answers, first_token, per_token: 2 * MS, ..Script::default() }).await;
    let drill = drill.expect("a drill");
    drill.handle().sometimes(0.1, Fault::Error(ProviderError::Unavailable));
    drill.handle().sometimes(0.05, Fault::CutAfter(2));
    let (mut books, provider) = (Books::default(), drill.address().to_string());
    for _ in 0..kills {
        let first = books.next.to_string();
        let arguments = [CHILD.as_ref(), file.as_os_str(), provider.as_ref(), first.as_ref()];
        let (mut child, told) = begin(arguments, BEGUN);
        let hearing = std::thread::spawn(move || told.lines().map_while(Result::ok).collect::<Vec<_>>());
        tokio::time::sleep(Duration::from_micros(rand::random_range(5_000..155_000))).await;
        child.kill().expect("a kill");
        child.wait().expect("its end");
        books.hear(&hearing.join().expect("no panic"));
        books.count(&drill);
    }
    finish(file, &drill, books, kills).await
}

/// Starts this program as a child, and waits until it says that it works.
pub fn begin<'a>(arguments: impl IntoIterator<Item = &'a OsStr>, works: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut told = BufReader::new(child.stdout.take().expect("its words"));
    let mut line = String::new();
    told.read_line(&mut line).expect("its first word");
    assert_eq!(line.trim_end(), works, "it begins");
    (child, told)
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
            match what {
                "accepted" => assert!(self.accepted.insert(number), "{line}: twice"),
                "answered" => {
                    let answer = words.next().unwrap_or_default().to_owned();
                    assert_eq!(self.answered.insert(number, answer), None, "{line}: twice");
                }
                _ => panic!("no call fails: {line}"),
            }
        }
        // Some calls may have been made without a line: their numbers are not used again.
        self.next += WORKERS;
    }

    /// Notes the provider's requests of a process.
    fn count(&mut self, drill: &Drill) {
        let log = drill.handle().take_log();
        let numbers = log.iter().filter_map(|record| {
            let body = String::from_utf8_lossy(&record.body).into_owned();
            body.split("call ").nth(1)?.split('.').next()?.parse().ok()
        });
        for number in numbers.collect::<BTreeSet<u64>>() {
            *self.runs.entry(number).or_default() += 1;
        }
    }
}

/// Lets a last process finish everything, reads it all again, and compares.
async fn finish(file: &Path, drill: &Drill, mut books: Books, kills: u32) -> String {
    drill.handle().clear();
    let runtime = runtime(file, drill.address()).await;
    let (mut lost, mut changed, told) = (0, 0, books.answered.len());
    let mut calls = Vec::new();
    for number in &books.accepted {
        match runtime.submit(request(*number)).await {
            Ok(call) => calls.push((*number, call)),
            Err(error) => panic!("call {number} is lost: {error}"),
        }
    }
    for (number, call) in &calls {
        let reply = match call.wait().await {
            Ok(reply) => reply,
            Err(Error::NotKept(_)) => {
                lost += 1;
                continue;
            }
            Err(error) => panic!("call {number} failed: {error}"),
        };
        let before = books.answered.insert(*number, reply.text.clone());
        changed += u32::from(before.is_some_and(|before| before != reply.text));
    }
    books.count(drill);
    let again = runtime.ledger(Question::by(By::All)).await.expect("a ledger").again;
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
    let twice = books.runs.values().filter(|runs| **runs > 1).count() as u64;
    assert_eq!((lost, changed), (0, 0), "nothing is lost, nothing is delivered as two answers");
    assert!(twice <= again, "{twice} calls reached the provider in two processes, and the ledger says {again}");
    format!(
        "{kills} kills, {} calls accepted, {told} of them answered before a kill; lost 0, delivered as two answers 0; {twice} \
         reached the provider in more than one process, {again} may have by the ledger",
        books.accepted.len(),
    )
}

async fn read(mut stream: standin::ReplyStream) -> Vec<Result<standin::ReplyEvent, Error>> {
    let mut items = Vec::new();
    while let Some(item) = stream.next().await {
        items.push(item);
    }
    items
}

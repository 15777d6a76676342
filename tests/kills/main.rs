//! A process that keeps a ledger, killed with -9 at random moments under load, again and again: its file opens,
//! nothing that was committed is missing or there twice, and the sums are those of the entries.
//!
//! As many kills as `STANDIN_KILLS` says, or forty. It is its own child: with a path it keeps records there until it
//! is killed, and prints now and then how many are written.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use standin::config::StoreConfig;
use standin::runtime::{GroupBy, Question, ask_file, verify_file};
use standin::{ChatRequest, Failure, FailureClass, ModelConfig, ProviderConfig, RouteConfig, Runtime};

#[path = "../../examples/outlive/served.rs"]
mod served;
#[path = "../../examples/outlive/storm.rs"]
mod storm;

/// The default number of kills of a process with durable calls.
const STORM_KILLS: u32 = 8;

fn main() {
    if let Some(arguments) = storm::child() {
        return storm::work(&arguments);
    }
    if served::child() {
        return;
    }
    if let Some(file) = std::env::args().skip_while(|argument| argument != CHILD).nth(1) {
        return child(Path::new(&file));
    }
    let many: Option<u32> = std::env::var("STANDIN_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills = many.unwrap_or(40);
    let folder = std::env::temp_dir().join(format!("standin-kills-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let began = Instant::now();
    let told = kill_again_and_again(&folder, kills);
    std::fs::remove_dir_all(&folder).expect("a folder");
    println!("{told} in {:.0} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let told = storm::kill_again_and_again(many.unwrap_or(STORM_KILLS));
    println!("{told}; in {:.0} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let told = served::kill_again_and_again(many.unwrap_or(STORM_KILLS));
    println!("a sidecar and its agents: {told}; in {:.0} s", began.elapsed().as_secs_f64());
    println!("3 passed, 0 failed");
}

const CHILD: &str = "--keep";
/// After so many kills the processes begin another file: else each check takes longer than the one before it.
const KILLS_A_FILE: u32 = 100;

fn kill_again_and_again(folder: &Path, kills: u32) -> String {
    let (mut in_files_before, mut before, mut behind_most) = (0, 0, 0);
    for kill in 1..=kills {
        if kill % KILLS_A_FILE == 1 {
            in_files_before += std::mem::take(&mut before);
        }
        let file = &folder.join(format!("standin-{}.db", (kill - 1) / KILLS_A_FILE));
        let (mut child, told) = storm::begin([CHILD.as_ref(), file.as_os_str()], "0");
        if kill.is_multiple_of(5) {
            // The second process is refused, and harms no other.
            let refused = Command::new(std::env::current_exe().expect("this program")).arg(CHILD).arg(file).output();
            let refused = String::from_utf8_lossy(&refused.expect("a child").stderr).into_owned();
            assert!(refused.contains("is kept by process"), "{refused}");
        }
        std::thread::sleep(Duration::from_micros(rand::random_range(20_000..200_000)));
        child.kill().expect("a kill");
        child.wait().expect("its end");
        // At least the number that it had printed must be there.
        let committed: u64 =
            told.lines().map_while(Result::ok).filter_map(|line| line.parse().ok()).last().unwrap_or(0);
        let found = verify_file(file).expect("the file opens");
        assert_eq!(found.problems, Vec::<String>::new(), "after kill {kill}");
        let entries = found.attempts + found.calls;
        assert!(entries >= before + committed, "kill {kill}: {entries} of {before} and {committed}");
        behind_most = behind_most.max(entries - before - committed);
        let statement = ask_file(file, &Question::by(GroupBy::Route)).expect("a statement");
        assert_eq!((statement.sum.attempts, statement.lost), (found.attempts, 0), "after kill {kill}");
        before = entries;
    }
    let entries = in_files_before + before;
    assert!(entries > u64::from(kills) * 20, "{entries} entries of {kills} processes are no load");
    format!("{kills} kills, {entries} entries, none missing or twice; at most {behind_most} more than was told")
}

/// Keeps records as fast as it can, and says how many are written.
fn child(file: &Path) {
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    executor.block_on(keep(file.to_owned()));
}

async fn keep(file: PathBuf) {
    let answer = |fails: bool| {
        ProviderConfig::from_fn(move |_| async move {
            if fails { Err(Failure::new(FailureClass::Unusable, "not now")) } else { Ok("yes") }
        })
    };
    let model = || ModelConfig { price: Some(standin::config::PriceConfig::new(1.0, 2.0)), ..ModelConfig::default() };
    let started = Runtime::builder()
        .provider("a", answer(true).model_with("m", model()))
        .provider("b", answer(false).model_with("m", model()))
        .route("smart", RouteConfig::new(["a/m", "b/m"]))
        .with(|config| config.store = Some(StoreConfig::new(file)))
        .start()
        .await;
    let runtime = match started {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    for _ in 0..8 {
        let runtime = runtime.clone();
        tokio::spawn(async move {
            loop {
                let mut request = ChatRequest::new("smart").user("Are you there?");
                request.tags.insert("team".to_owned(), "red".to_owned());
                let _ = runtime.chat(request).await;
            }
        });
    }
    let (mut told, mut out) = (0, std::io::stdout());
    writeln!(out, "0").and_then(|()| out.flush()).expect("somebody listens");
    loop {
        let written = runtime.health().store.expect("a store").written;
        if written > told {
            told = written;
            writeln!(out, "{written}").and_then(|()| out.flush()).expect("somebody listens");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

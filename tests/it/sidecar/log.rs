//! Trouble of the log stops neither calls nor the program's end.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use super::child::{Served, program};
use super::http::{self, Caller};

/// Asks this many times at once.
async fn answers(served: &Served, count: usize) {
    let asked = (0..count).map(|_| http::ask(served.address, Caller::Chat, "any", "one two", false));
    for reply in futures_util::future::join_all(asked).await {
        assert_eq!((reply.status, Caller::Chat.text(&reply.json()).as_str()), (200, "one two"));
    }
}

async fn lost(served: &Served) -> u64 {
    let metrics = http::get(served.address, "/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("standin_log_lines_lost_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count of lost lines in {metrics}"))
}

#[tokio::test]
async fn a_log_that_is_closed_or_full_ends_no_call_and_not_the_program() {
    for form in ["text", "json", "off"] {
        for sink in ["closed", "full"] {
            // In a storm actors panic, too.
            let mut served = Served::start("log", &["--drill", "--storm", "--log", form], |command| {
                command.stderr(match sink {
                    "full" => fs::OpenOptions::new().write(true).open("/dev/full").expect("a device").into(),
                    _ => Stdio::piped(),
                });
            });
            if sink == "closed" {
                drop(served.stderr());
            }
            for _ in 0..20 {
                http::ask(served.address, Caller::Chat, "any", "one two", false).await;
            }
            let any = lost(&served).await;
            assert!(any > 0 || form == "off", "{form} {sink}: every line was lost, and none is counted");
            served.signal("TERM");
            assert_eq!(served.ended().code(), Some(0), "{form} {sink}");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_as_long_as_the_system_lets_a_file_be_ends_nothing() {
    let mut served = Served::limited("log-limited", "ulimit -f 1 && exec 2>lines", &["--drill"]);
    for _ in 0..20 {
        assert_eq!(http::ask(served.address, Caller::Chat, "any", "one two", false).await.status, 200);
    }
    assert!(lost(&served).await > 0, "every line fitted");
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
}

#[tokio::test]
async fn a_panic_that_cannot_be_reported_ends_nothing() {
    let mut served = Served::start("log-panic", &["--drill", "--storm", "--log", "json"], |command| {
        command.stderr(Stdio::piped());
    });
    drop(served.stderr());
    // Five seconds to a crash.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(served.runs());
    let health = http::get(served.address, "/health").await.json();
    let restarted = health["providers"].as_array().expect("a list").iter().any(|one| one["incarnations"] != 1);
    assert!(restarted, "no actor crashed: {health}");
}

#[tokio::test]
async fn a_stopped_reader_of_the_log_holds_up_no_call_and_no_stop_and_is_told_what_it_missed() {
    let mut served = Served::start("log-still", &["--drill"], |command| {
        command.stderr(Stdio::piped()).env("RUST_LOG", "trace");
    });
    // The pipe is full, then the queue.
    let mut asked = 0;
    while lost(&served).await == 0 {
        answers(&served, 50).await;
        asked += 50;
        assert!(asked < 4_000, "no line is lost");
    }
    let mut stderr = served.stderr();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        stderr.read_to_end(&mut all).map(|_| String::from_utf8_lossy(&all).into_owned())
    });
    // The waiting lines are written; the next line is preceded by the number of lost ones.
    tokio::time::sleep(Duration::from_millis(500)).await;
    answers(&served, 1).await;
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
    let all = reading.join().expect("no panic").expect("a text");
    assert!(all.contains("line(s) of the log were lost"), "{} bytes", all.len());
    assert!(all.contains("draining"), "the last lines are told");

    let mut served = Served::start("log-still", &["--drill"], |command| {
        command.stderr(Stdio::piped()).env("RUST_LOG", "trace");
    });
    answers(&served, 60).await;
    let _unread = served.stderr();
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0), "a stop does not wait for who reads nothing");
}

#[test]
fn printing_without_a_reader_is_no_crash() {
    for arguments in [&["key", "team"][..], &["--help"], &["check", "--config", "given.toml"]] {
        let (mut command, folder) = program("log-printed");
        fs::write(folder.join("given.toml"), "[providers.openai]\nkeys = [\"k\"]\n").expect("a file");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let errors = full.try_clone().expect("a device");
        let status = command.args(arguments).stdout(full).stderr(errors).status().expect("it runs");
        assert!(matches!(status.code(), Some(0..=2)), "{arguments:?}: {status}");
    }
}

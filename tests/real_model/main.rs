//! A dress rehearsal: agents work through the runtime with a real model behind a real server, two drill providers
//! beside it, while the server is stopped, killed and started again. `tests/real_model.sh` starts the server, keeps it
//! and runs this; without it the test does nothing.
//!
//! Every phase checks its assertions and prints one line of measurements.

mod crew;
mod dialects;
mod faults;
mod manners;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crew::Tally;
use world::{Server, World};

/// The longest all phases may take: three times what they do.
const ALL_MAX: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    let setting = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let (Some(url), Some(pid_file)) = (setting("REAL_MODEL_URL"), setting("REAL_MODEL_PID_FILE")) else {
        println!("skipped: no real server; tests/real_model.sh starts one");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a tokio runtime");
    let server = Server::new(url, pid_file.into());
    let rehearsed = runtime.block_on(async { tokio::time::timeout(ALL_MAX, rehearse(server)).await });
    let failed = rehearsed.expect("all phases in time");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all phases; returns how many calls of agents failed.
async fn rehearse(server: Server) -> usize {
    let born = Instant::now();
    let world = World::start(server).await;
    world.watch();
    let mut all = Tally::default();
    say("1 healthy", manners::healthy(&world).await);
    say("2 queueing", faults::queueing(&world, &mut all).await);
    say("3 frozen", faults::frozen(&world, &mut all).await);
    say("4 killed", faults::killed(&world, &mut all).await);
    say("5 manners", manners::odd(&world).await);
    say("6 dialects", dialects::spoken(&world).await);
    for failure in &all.failures {
        println!("failed: {failure}");
    }
    let (total, health) = (born.elapsed().as_secs_f64(), world.health());
    println!(
        "real model: {} attempts, {} failed, first token p50 {:.0?}",
        health.admitted, health.failed, health.ttft.p50
    );
    println!("agents: {all}; {total:.0} s in all");
    assert_eq!(world.runtime.drain(Duration::from_secs(5)).await, 0, "no call is left behind");
    all.failures.len()
}

fn say(phase: &str, line: String) {
    println!("{phase}: {line}");
}

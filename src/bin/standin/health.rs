//! Prints how the targets of a running sidecar are: what its `/health` says, as a table.

use std::process::ExitCode;

use serde_json::Value;
use standin::sidecar::printable;

use super::failed;
use super::operator::{list, text};

pub async fn run(options: super::Health) -> ExitCode {
    match options.sidecar.ask(http::Method::GET, "health", &[]).await {
        Err(problem) => return failed(&problem),
        Ok(health) if options.json => say!("{health:#}"),
        Ok(health) => table(&health),
    }
    ExitCode::SUCCESS
}

fn table(health: &Value) {
    let calls = |name: &str| health[name].as_u64().unwrap_or_default();
    let status = text(&health["status"]);
    say!("{status}: {} call(s) in flight, {} queued", calls("calls_in_flight"), calls("queued"));
    if let Some(seconds) = health["unreached_for_s"].as_f64() {
        say!("no provider has been reached for {seconds:.0} s");
    }
    say!("{:<40} {:<10} {:>9} {:>9} {:>9}  out", "target", "breaker", "failures", "first", "in flight");
    for provider in list(&health["providers"]) {
        let name = text(&provider["name"]);
        for target in list(&provider["targets"]) {
            row(&name, target);
        }
        if provider["status"] != "up" {
            say!("{name}: {}{}", text(&provider["status"]), back(provider));
        }
        for hold in list(&provider["holds"]) {
            say!("held {}: {}{}", held(&name, hold), text(&hold["why"]), back(hold));
        }
    }
    for parked in list(&health["parked"]) {
        let route = text(&parked["route"]);
        say!("parked {route}: {} call(s){}", parked["calls"].as_u64().unwrap_or_default(), back(parked));
    }
}

fn row(provider: &str, target: &Value) {
    let name = format!("{provider}/{}", text(&target["model"]));
    let breaker = text(&target["breaker"]);
    let failures = format!("{:.1} %", target["failure_rate"].as_f64().unwrap_or_default() * 100.0);
    let first = &target["time_to_first_token_s"];
    // What is only assumed says nothing of this target.
    let first = first["p50"].as_f64().filter(|_| first["assumed"] != true);
    let first = first.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s"));
    let in_flight = target["in_flight"].as_u64().unwrap_or_default();
    let disabled = &target["disabled"];
    let waits = |field: &str, what: &str| target[field].as_f64().map(|seconds| format!("{what} for {seconds:.0} s"));
    let out = disabled["why"].as_str().map(|why| format!("{}{}", printable(why), back(disabled)));
    let out = [out, waits("cooldown_s", "open"), waits("rate_limited_for_s", "rate limited")];
    let out: Vec<String> = out.into_iter().flatten().collect();
    say!("{name:<40} {breaker:<10} {failures:>9} {first:>9} {in_flight:>9}  {}", out.join(", "));
}

/// Names what a hold is of: a provider, one of its models, or one of its keys.
pub fn held(provider: &str, hold: &Value) -> String {
    let some = |field: &str, before: &str| match text(&hold[field]) {
        name if name.is_empty() => name,
        name => format!("{before}{name}"),
    };
    format!("{provider}{}{}", some("model", "/"), some("key", ", key "))
}

/// Says when something is back, where that is known.
fn back(of: &Value) -> String {
    of["back_in_s"].as_f64().map_or_else(String::new, |seconds| format!(", back in {seconds:.0} s"))
}

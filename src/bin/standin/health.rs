//! Prints how the targets of a running sidecar are: what its `/health` says, as a table.

use std::process::ExitCode;

use serde_json::Value;
use standin::sidecar::printable;

use super::failed;

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
    let status = printable(health["status"].as_str().unwrap_or_default());
    say!("{status}: {} call(s) in flight, {} queued", calls("calls_in_flight"), calls("queued"));
    if let Some(seconds) = health["unreached_for_s"].as_f64() {
        say!("no provider has been reached for {seconds:.0} s");
    }
    say!("{:<40} {:<10} {:>9} {:>9} {:>9}  out", "target", "breaker", "failures", "first", "in flight");
    for provider in list(&health["providers"]) {
        let name = printable(provider["name"].as_str().unwrap_or_default());
        for target in list(&provider["targets"]) {
            row(&name, target);
        }
        if provider["status"] != "up" {
            say!("{name}: {}{}", printable(provider["status"].as_str().unwrap_or_default()), back(provider));
        }
        for hold in list(&provider["holds"]) {
            let text = |field: &str| hold[field].as_str().map(printable);
            let model = text("model").map_or_else(String::new, |model| format!("/{model}"));
            let key = text("key").map_or_else(String::new, |key| format!(", key {key}"));
            say!("held {name}{model}{key}: {}{}", text("why").unwrap_or_default(), back(hold));
        }
    }
    for parked in list(&health["parked"]) {
        let route = printable(parked["route"].as_str().unwrap_or_default());
        say!("parked {route}: {} call(s){}", parked["calls"].as_u64().unwrap_or_default(), back(parked));
    }
}

fn row(provider: &str, target: &Value) {
    let name = format!("{provider}/{}", printable(target["model"].as_str().unwrap_or_default()));
    let breaker = printable(target["breaker"].as_str().unwrap_or_default());
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

/// Says when something is back, where that is known.
fn back(of: &Value) -> String {
    of["back_in_s"].as_f64().map_or_else(String::new, |seconds| format!(", back in {seconds:.0} s"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

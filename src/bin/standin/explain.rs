//! Asks a running sidecar where a call would go.

use std::process::ExitCode;

use serde_json::Value;
use standin::sidecar::printable;

use super::failed;

pub async fn run(options: super::Explain) -> ExitCode {
    let path = format!("explain/{}", options.route);
    let explained = match options.door.ask(http::Method::GET, &path, None).await {
        Ok(explained) => explained,
        Err(problem) => return failed(&problem),
    };
    print(&explained);
    ExitCode::SUCCESS
}

fn print(explained: &Value) {
    let text = |value: &Value| printable(value.as_str().unwrap_or("-"));
    let percent =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let millis = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |time| format!("{:.0} ms", time * 1e3));
    say!("route {}", text(&explained["route"]));
    if explained["last_resort"] == true {
        say!("every target is ill; one is asked as a last resort");
    }
    say!("{:<40} {:>6} {:<10} {:>9} {:>9} {:>7}  why", "target", "share", "breaker", "TTFT p50", "p95", "errors");
    for one in explained["planned"].as_array().into_iter().flatten() {
        let health = &one["health"];
        say!(
            "{:<40} {:>6} {:<10} {:>9} {:>9} {:>7}  {}",
            text(&one["target"]),
            percent(&one["share"]),
            text(&health["breaker"]),
            millis(&health["time_to_first_token_s"]["p50"]),
            millis(&health["time_to_first_token_s"]["p95"]),
            percent(&health["failure_rate"]),
            text(&one["why"]),
        );
    }
    for one in explained["skipped"].as_array().into_iter().flatten() {
        let back = one["back_in_s"].as_f64().map_or_else(String::new, |wait| format!(", back in {wait:.1} s"));
        say!("{:<40} skipped: {}{back}", text(&one["target"]), text(&one["why"]));
    }
}

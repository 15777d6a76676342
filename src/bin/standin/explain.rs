//! Asks a running sidecar where a call would go.

use std::process::ExitCode;

use serde_json::Value;
use standin::sidecar::printable;

use super::failed;
use super::operator::list;

pub async fn run(options: super::Explain) -> ExitCode {
    let path = format!("explain/{}", options.route);
    let explained = match options.sidecar.ask(http::Method::GET, &path, &[]).await {
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
    say!("route {}", text(&explained["route"]));
    if explained["last_resort"] == true {
        say!("no target is well; one is asked as a last resort");
    }
    say!("{:<40} {:>6} {:<10} {:<32} {:>7}  why", "target", "share", "breaker", "time to first token", "errors");
    for one in list(&explained["planned"]) {
        let health = &one["health"];
        say!(
            "{:<40} {:>6} {:<10} {:<32} {:>7}  {}",
            text(&one["target"]),
            percent(&one["score"]["share"]),
            text(&health["breaker"]),
            latency(&health["time_to_first_token_s"]),
            percent(&health["failure_rate"]),
            text(&one["why"]),
        );
    }
    for one in list(&explained["skipped"]) {
        // Without a time it comes back by an event, or not by itself.
        let back = one["back_in_s"].as_f64().filter(|wait| *wait >= 0.05);
        let back = back.map_or_else(String::new, |wait| format!(", back in {wait:.1} s"));
        say!("{:<40} skipped: {}{back}", text(&one["target"]), text(&one["why"]));
    }
}

/// Writes a latency, and says whether it is a guess.
fn latency(latency: &Value) -> String {
    let time = |value: &Value| {
        value.as_f64().map_or_else(
            || "-".to_owned(),
            |time| {
                if time < 1.0 { format!("{:.0} ms", time * 1e3) } else { format!("{} s", (time * 10.0).round() / 10.0) }
            },
        )
    };
    let samples = latency["samples"].as_u64().unwrap_or_default();
    let samples = if samples == 1 { "1 sample".to_owned() } else { format!("{samples} samples") };
    if latency["assumed"] == true {
        return format!("{}, assumed, {samples}", time(&latency["p50"]));
    }
    format!("{}, p95 {}, {samples}", time(&latency["p50"]), time(&latency["p95"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_guessed_latency_is_marked_as_assumed() {
        let latency = |p50: f64, samples: u64, assumed: bool| {
            super::latency(&json!({"p50": p50, "p95": 2.0 * p50, "samples": samples, "assumed": assumed}))
        };
        assert_eq!(latency(10.0, 0, true), "10 s, assumed, 0 samples");
        assert_eq!(latency(10.0, 1, true), "10 s, assumed, 1 sample");
        assert_eq!(latency(0.25, 60, false), "250 ms, p95 500 ms, 60 samples");
    }
}

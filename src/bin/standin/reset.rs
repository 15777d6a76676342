//! Lifts holds of a running sidecar.

use std::process::ExitCode;

use serde_json::Value;

use super::failed;
use super::health::held;
use super::operator::{list, text};

pub async fn run(options: super::Reset) -> ExitCode {
    let path = options.name.map_or_else(|| "reset".to_owned(), |name| format!("reset/{name}"));
    let only_key: Vec<_> = options.only_key.iter().map(|name| ("only_key", name.as_str())).collect();
    let answer = options.sidecar.ask(http::Method::POST, &path, &only_key).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return failed(&problem),
    };
    let lifted = list(&answer["lifted"]);
    if lifted.is_empty() {
        say!("nothing was held");
    }
    lifted.iter().for_each(print);
    ExitCode::SUCCESS
}

fn print(one: &Value) {
    let rest = one["back_in_s"].as_f64().map_or_else(String::new, |rest| format!(", {rest:.0} s before its end"));
    let held_for = one["for_s"].as_f64().unwrap_or_default();
    say!("lifted {}: {} for {held_for:.0} s{rest}", held(&text(&one["provider"]), one), text(&one["why"]));
}

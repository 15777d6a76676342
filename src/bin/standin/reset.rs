//! Lifts holds of a running sidecar.

use std::process::ExitCode;

use serde_json::Value;
use standin::sidecar::printable;

use super::failed;

pub async fn run(options: super::Reset) -> ExitCode {
    let path = options.name.map_or_else(|| "reset".to_owned(), |name| format!("reset/{name}"));
    let only_key: Vec<_> = options.only_key.iter().map(|name| ("only_key", name.as_str())).collect();
    let answer = options.sidecar.ask(http::Method::POST, &path, &only_key).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return failed(&problem),
    };
    let lifted = answer["lifted"].as_array().map_or(&[][..], Vec::as_slice);
    if lifted.is_empty() {
        say!("nothing was held");
    }
    lifted.iter().for_each(print);
    ExitCode::SUCCESS
}

fn print(one: &Value) {
    let text = |name: &str| one[name].as_str().map(printable);
    let model = text("model").map_or_else(String::new, |model| format!("/{model}"));
    let key = text("key").map_or_else(String::new, |key| format!(", key {key}"));
    let rest = one["back_in_s"].as_f64().map_or_else(String::new, |rest| format!(", {rest:.0} s before its end"));
    let (provider, why) = (text("provider").unwrap_or_default(), text("why").unwrap_or_default());
    say!("lifted {provider}{model}{key}: {why} for {:.0} s{rest}", one["for_s"].as_f64().unwrap_or_default());
}

//! Asks a running sidecar what happened to a call.

use std::process::ExitCode;

use standin::sidecar::printable;

use super::failed;

pub async fn run(options: super::Why) -> ExitCode {
    match options.sidecar.ask(http::Method::GET, &format!("why/{}", options.call), &[]).await {
        Ok(answer) => {
            answer["told"].as_str().unwrap_or_default().lines().for_each(|line| say!("{}", printable(line)));
            ExitCode::SUCCESS
        }
        Err(problem) => failed(&problem),
    }
}

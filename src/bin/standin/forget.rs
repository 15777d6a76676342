//! Has a running sidecar forget what was asked and answered.

use std::process::ExitCode;

use super::failed;

pub async fn run(options: super::Forget) -> ExitCode {
    let super::Forgotten { call, tag, before } = &options.which;
    let asked = [("call", call), ("tag", tag), ("before", before)];
    let asked: Vec<_> = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    match options.sidecar.ask(http::Method::POST, "forget", &asked).await {
        Ok(answer) => {
            say!("{} call(s) forgotten", answer["forgotten"]);
            ExitCode::SUCCESS
        }
        Err(problem) => failed(&problem),
    }
}

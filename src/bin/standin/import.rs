//! `standin import`: makes a configuration of another gateway's, and says line by line what became of it.

mod given;
mod groups;
mod hosts;
mod litellm;
mod outcome;
mod portkey;

use std::process::ExitCode;

use standin::sidecar::{Settings, printable};

use super::{failed, load, write};
use given::Given;
use outcome::Outcome;

pub fn run(options: &super::Import) -> ExitCode {
    let name = options.file.display().to_string();
    let text = match load::text(&options.file) {
        Ok(text) => text,
        Err(error) => return failed(&format!("{name}: {error}")),
    };
    let given = match Given::read(&text) {
        Ok(given) => given,
        Err(problem) => return failed(&format!("{name}: {problem}")),
    };
    let mut outcome = match options.from {
        super::Gateway::Litellm => litellm::import(&given, &|name| std::env::var(name).ok()),
        super::Gateway::Portkey => portkey::import(&given),
    };
    let config = outcome.written(&name);
    let report = outcome.report(&name);
    let say_all = |to_stderr: bool| {
        for line in report.lines().map(printable) {
            if to_stderr {
                super::tell(&line);
            } else {
                say!("{line}");
            }
        }
    };
    if outcome.routes.is_empty() && outcome.providers.is_empty() {
        say_all(false);
        return failed("nothing of it can be served here, and nothing is written");
    }
    if let Err(problem) = checked(&config) {
        say_all(false);
        return failed(&format!("what was made of it is not right; this is a bug in standin:\n{problem}\n{config}"));
    }
    if options.out.as_os_str() == "-" {
        say_all(true);
        say!("{}", config.trim_end());
        return ExitCode::SUCCESS;
    }
    if let Err(problem) = write::new(&options.out, &config, outcome.holds_key()) {
        return failed(&problem);
    }
    say_all(false);
    say!("written to {}; now: {}", options.out.display(), next(&outcome, &options.out));
    ExitCode::SUCCESS
}

/// Checks what was made; a variable that is not set here may be set where it is served.
fn checked(config: &str) -> Result<(), String> {
    let variable =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| Some(stand_in(name)));
    match Settings::parse(config, variable) {
        Ok(settings) => settings.runtime.targets().map(drop).map_err(|errors| errors.to_string()),
        Err(errors) => Err(errors.to_string()),
    }
}

/// Returns what a variable of this name may hold.
fn stand_in(name: &str) -> String {
    let is_address = ["BASE", "URL", "ENDPOINT", "HOST"].iter().any(|part| name.contains(part));
    if is_address { "http://stand.in".to_owned() } else { "stand-in".to_owned() }
}

/// Says what to do next: which variables to set, and how to check.
fn next(outcome: &Outcome, file: &std::path::Path) -> String {
    let keys = outcome.providers.iter().flat_map(|provider| &provider.keys);
    let mut missing: Vec<&str> = keys
        .filter_map(|key| match key {
            outcome::Key::Env(name) if std::env::var_os(name).is_none() => Some(name.as_str()),
            _ => None,
        })
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let set = if missing.is_empty() { String::new() } else { format!("set {}, then ", missing.join(", ")) };
    format!("{set}standin check --config {}", file.display())
}

#[cfg(test)]
mod tests;

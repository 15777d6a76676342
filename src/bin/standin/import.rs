//! `standin import`: converts another gateway's configuration, and reports for each of its settings what became of it.

mod given;
mod hosts;
mod outcome;
mod groups;
mod model;
mod provider;
mod portkey;
mod reasons;
mod litellm;

use std::collections::BTreeSet;
use std::process::ExitCode;

use standin::sidecar::{Settings, printable};

use super::{failed, load, write};
use given::InputValue;
use outcome::placeholder;

pub fn run(options: &super::Import) -> ExitCode {
    let name = options.file.display().to_string();
    let text = match load::text(&options.file) {
        Ok(text) => text,
        Err(error) => return failed(&format!("{name}: {error}")),
    };
    let given = match InputValue::read(&text) {
        Ok(given) => given,
        Err((place, problem)) => return failed(&format!("{name}{place}: {problem}")),
    };
    if let Some(other) = options.from.mistaken(&given) {
        return failed(&format!("{name} is {other}'s: standin import {other} {name}"));
    }
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
        return failed("no provider and no route of it can be served; no file is written");
    }
    if let Err(problem) = checked(&config) {
        say_all(false);
        // The text itself is never printed: it may hold a key.
        return failed(&format!("the configuration made of it is not valid; no file is written:\n{problem}"));
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
    say!("written to {}; now: {}", options.out.display(), next(&config, &options.out));
    if matches!(options.from, super::Gateway::Litellm) {
        say!("LiteLLM listens at every address; standin listens at 127.0.0.1 only, until server.listen says otherwise");
    }
    ExitCode::SUCCESS
}

impl super::Gateway {
    /// Returns the gateway that a file is of, if it is plainly another one.
    fn mistaken(self, given: &InputValue) -> Option<&'static str> {
        let has = |names: &[&str]| names.iter().any(|name| given.has(name));
        let (litellm, portkey) = (
            has(&["model_list", "router_settings", "litellm_settings", "general_settings"]),
            has(&["targets", "strategy", "provider", "virtual_key", "override_params"]),
        );
        match self {
            Self::Litellm if portkey && !litellm => Some("portkey"),
            Self::Portkey if litellm && !portkey => Some("litellm"),
            _ => None,
        }
    }
}

/// Checks the result; a variable that is not set here may be set where it is served.
fn checked(config: &str) -> Result<(), String> {
    let variable =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| Some(placeholder(name)));
    match Settings::parse(config, variable) {
        Ok(settings) => settings.check().map(drop).map_err(|errors| errors.to_string()),
        Err(errors) => Err(errors.to_string()),
    }
}

/// Returns the variables that a configuration needs, each once.
fn variables(config: &str) -> BTreeSet<&str> {
    let texts =
        config.split("${").skip(1).filter_map(|rest| rest.split('}').next()).filter(|name| !name.contains(":-"));
    let keys = config.split("{ env = \"").skip(1).filter_map(|rest| rest.split('"').next());
    texts.chain(keys).collect()
}

/// Says what to do next: which variables to set, and how to check.
fn next(config: &str, file: &std::path::Path) -> String {
    let missing =
        variables(config).into_iter().filter(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()));
    let missing: Vec<&str> = missing.collect();
    let set = if missing.is_empty() { String::new() } else { format!("set {}, then ", missing.join(", ")) };
    format!("{set}standin check --config {}", file.display())
}

#[cfg(test)]
mod tests;

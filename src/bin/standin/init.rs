//! `standin init`: a configuration to begin with, for the keys that are in the environment.

use std::fmt::Write as _;
use std::process::ExitCode;

use standin::sidecar::Settings;

use super::{failed, load, write};

pub fn run(options: &super::Init) -> ExitCode {
    let found = match load::DetectedProviders::look(&|name| std::env::var(name).ok()) {
        Ok(found) => found,
        Err(problem) => return failed(&problem),
    };
    let text = starter(&found);
    if let Err(errors) = Settings::parse(&text, |name| std::env::var(name).ok()) {
        return failed(&format!("the configuration that was made is not valid; this is a bug in standin:\n{errors}"));
    }
    if options.out.as_os_str() == "-" {
        say!("{}", text.trim_end());
        return ExitCode::SUCCESS;
    }
    if let Err(problem) = write::new(&options.out, &text, false) {
        return failed(&problem);
    }
    let about = if found.serves() { found.about() } else { format!("{}: Ollama on this machine", none(&found)) };
    say!("written to {}: {about}", options.out.display());
    for hint in found.hints().into_iter().chain(found.slips()) {
        say!("  {hint}");
    }
    say!("now: standin check --config {0} --try, then standin serve --config {0}", options.out.display());
    ExitCode::SUCCESS
}

/// Says why no provider of a key can serve yet.
fn none(found: &load::DetectedProviders) -> &'static str {
    if found.hints().is_empty() {
        "no key is in the environment"
    } else {
        "what is in the environment serves nothing by itself, see below"
    }
}

/// The model of each provider that a first configuration names, if the catalogue has it: quick and of a medium price.
const PREFERRED: [(&str, &str); 8] = [
    ("openai", "gpt-5.4-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("gemini", "gemini-2.5-flash"),
    ("deepseek", "deepseek-v4-flash"),
    ("mistral", "mistral-small-latest"),
    ("openrouter", "anthropic/claude-haiku-4.5"),
    ("groq", "openai/gpt-oss-120b"),
    ("ollama", "qwen3"),
];

/// Writes a first configuration.
fn starter(found: &load::DetectedProviders) -> String {
    let mut out = String::from(
        "# Providers, routes and the server. Every field: docs/configuration.md, and docs/sidecar.md for [server].\n\
         # Check it with `standin check --try`, serve it with `standin serve`; a change of this file is taken up within seconds.\n\n\
         [server]\n\
         # Where clients connect. Beyond loopback `[[server.keys]]` are needed: `standin key NAME` makes one.\n\
         listen = \"127.0.0.1:4000\"\n\
         # A request for an unknown model goes to this route, so that agents can keep the names they use.\n\
         default_route = \"smart\"\n",
    );
    let mut targets = Vec::new();
    for (name, variable, models) in found.providers() {
        let preferred =
            PREFERRED.iter().find(|(preset, model)| *preset == name && models.iter().any(|known| known == model));
        let Some(model) = preferred.map(|(_, model)| (*model).to_owned()).or_else(|| models.first().cloned()) else {
            continue;
        };
        let _ = write!(out, "\n[providers.{name}]\n");
        if let Some(variable) = variable {
            let _ = writeln!(out, "keys = [{{ env = \"{variable}\" }}]");
        }
        if found.is_named(name) {
            for model in models {
                let _ = writeln!(out, "models.\"{model}\" = {{}}");
            }
        } else {
            out.push_str(
                "# All of its models, by their own names. To serve only some, name them: models.\"NAME\" = {}\n",
            );
        }
        targets.push(format!("{name}/{model}"));
    }
    for (name, variable) in found.unnamed() {
        let example = PREFERRED.iter().find(|(preset, _)| *preset == name).map_or("MODEL", |(_, model)| model);
        let _ = write!(
            out,
            "\n# {variable} is set, and {name} serves only models that are named: name one, and add it to a route.\n\
             # [providers.{name}]\n# keys = [{{ env = \"{variable}\" }}]\n# models.\"{example}\" = {{}}\n"
        );
    }
    for hint in found.lacking() {
        let _ = write!(out, "\n# {hint}\n");
    }
    if targets.is_empty() {
        out.push_str(
            "\n# A model on this machine needs no key: https://ollama.com, `ollama pull qwen3`.\n\
             [providers.ollama]\nmodels.\"qwen3\" = {}\n",
        );
        if found.hints().is_empty() {
            out.push_str("\n# [providers.anthropic]\n# keys = [{ env = \"ANTHROPIC_API_KEY\" }]\n");
        }
        targets.push("ollama/qwen3".to_owned());
    }
    out.push_str(
        "\n[routes.smart]\n# Its targets. The best by price, speed and health is asked first, the others when it fails.\n\
         # { target = \"…\", tier = 1 } is asked when the others cannot.\ntargets = [\n",
    );
    for target in &targets {
        let _ = writeln!(out, "    \"{target}\",");
    }
    out.push_str(
        "]\n# What only another dialect has (a tool that its provider runs, for one) is left out for a target, and the answer\n\
         # says so. With \"refuse\" such a target is not asked.\nforeign_parts = \"drop\"\n\n\
         [failover]\n# Time for all of a call. It asks each target once at least (`attempts_max`).\ndeadline = \"10min\"\n",
    );
    out
}

//! Checks a configuration, and whether its models answer.

use std::process::ExitCode;
use std::time::Duration;

use standin::sidecar::printable;
use standin::{ChatRequest, Runtime, TargetId};

use super::{failed, load};

/// The longest a model may take to say a word.
const WORD_MAX: Duration = Duration::from_secs(60);
/// Tokens for a word, and for what a model thinks before it.
const WORD_TOKENS: u32 = 256;

pub async fn run(options: super::Check) -> ExitCode {
    let loaded = match load::load(options.file.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(problem) => return failed(&problem),
    };
    let config = &loaded.settings.runtime;
    let targets = match loaded.settings.check() {
        Ok(targets) => targets,
        Err(error) => return failed(&error),
    };
    say!("{}: it is right", loaded.about);
    for warning in &loaded.warnings {
        say!("  warning: {warning}");
    }
    for (name, provider) in &config.providers {
        let models = targets.iter().filter(|(target, _)| *target.provider == **name).count();
        say!("  provider {name}: {models} model(s), {} key(s)", provider.keys.len());
    }
    for (name, route) in &config.routes {
        let targets: Vec<&str> = route.targets.iter().map(|member| member.target.as_str()).collect();
        say!("  route {name}: {}", targets.join(", "));
    }
    if options.ask {
        ask_all(config.clone(), targets.into_iter().map(|(target, _)| target)).await
    } else {
        ExitCode::SUCCESS
    }
}

async fn ask_all(config: standin::Config, targets: impl Iterator<Item = TargetId>) -> ExitCode {
    let runtime = match Runtime::builder().config(config).start().await {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let mut silent = 0;
    for target in targets {
        let mut request = ChatRequest::new(target.to_string()).user("Say the word: ready").deadline(WORD_MAX);
        request.output_tokens_max = Some(WORD_TOKENS);
        match runtime.chat(request).await {
            Ok(reply) => {
                let took = reply.finished.attempts.last().map_or(Duration::ZERO, |attempt| attempt.took);
                say!("  {target}: answers ({} ms)", took.as_millis());
            }
            Err(error) => {
                silent += 1;
                say!("  {target}: {}", printable(&error.to_string()));
            }
        }
    }
    runtime.drain(Duration::ZERO).await;
    if silent == 0 { ExitCode::SUCCESS } else { failed(&format!("{silent} model(s) did not answer")) }
}

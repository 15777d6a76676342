//! Completions for shells, and pages of the manual.

use std::process::ExitCode;

use clap::Command;

use super::{failed, print};

pub fn completions(options: &super::Completions, mut command: Command) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut command, "standin", &mut text);
    print(&text);
    ExitCode::SUCCESS
}

pub fn page(options: &super::Man, mut command: Command) -> ExitCode {
    command.build();
    let (command, title) = match &options.command {
        None => (command, "standin".to_owned()),
        Some(name) => match command.find_subcommand(name) {
            // Its page is found as `man standin-serve`.
            Some(found) => (found.clone().version(env!("STANDIN_VERSION")), format!("standin-{name}")),
            None => {
                let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
                return failed(&format!("no command `{name}`; there are: {}", known.join(", ")));
            }
        },
    };
    let mut text = Vec::new();
    match clap_mangen::Man::new(command).title(title).render(&mut text) {
        Ok(()) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

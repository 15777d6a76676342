//! Keys for clients.

use std::process::ExitCode;

use rand::distr::{Alphanumeric, SampleString as _};
use standin::sidecar::Hash;

/// Letters of a key: 190 bits.
const LETTERS: usize = 32;

pub fn run(options: &super::Key) -> ExitCode {
    let key = format!("standin-{}", Alphanumeric.sample_string(&mut rand::rng(), LETTERS));
    say!("The client's key, shown this once: {key}\n");
    say!("Put this into the configuration:\n");
    let operator = if options.operator { "\noperator = true" } else { "" };
    say!("[[server.keys]]\nname = {:?}\nsha256 = \"{}\"{operator}", options.name, Hash::of(&key));
    ExitCode::SUCCESS
}

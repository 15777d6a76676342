//! Decodes recorded HTTP answers with the crate's codecs: `cargo run --release --example decode -- CASES.jsonl…`.
//!
//! A case is one line of JSON: `case`, `provider`, `api`, `streaming`, `request` {`host`, `path`} and `response`
//! {`status`, `headers`, `body`}; `-` reads them from standard input. For each case one line of JSON is printed: the
//! answer, or the failure and its consequence.

mod case;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        eprintln!("usage: decode CASES.jsonl…   (- is standard input)");
        return ExitCode::from(2);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for path in &paths {
        let done = if path == "-" {
            decode(io::stdin().lock(), &mut out)
        } else {
            File::open(path).and_then(|file| decode(BufReader::new(file), &mut out))
        };
        match done {
            // The reader of our lines has enough.
            Err(problem) if problem.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("{path}: {problem}");
                return ExitCode::FAILURE;
            }
            Ok(()) => {}
        }
    }
    ExitCode::SUCCESS
}

/// Decodes every line; blank ones are skipped.
fn decode(input: impl BufRead, out: &mut impl Write) -> io::Result<()> {
    for line in input.split(b'\n') {
        let line = line?;
        if !line.trim_ascii().is_empty() {
            serde_json::to_writer(&mut *out, &case::read(&line))?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

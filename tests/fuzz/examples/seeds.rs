//! Writes seeds for every target from recorded cases: `seeds CASES.jsonl…` fills `corpus/TARGET/` here.

use std::fs;
use std::path::Path;

use serde_json::Value;
use standin_fuzz::HEAD;

/// Longer answers teach the fuzzer nothing more, and slow it down.
const BODY_BYTES_MAX: usize = 12 << 10;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut written = 0_u64;
    for path in std::env::args().skip(1) {
        for line in fs::read_to_string(&path)?.lines() {
            let Ok(case) = serde_json::from_str::<Value>(line) else { continue };
            let body = case["response"]["body"].as_str().unwrap_or_default();
            let dialect = match case["api"].as_str().unwrap_or_default() {
                "responses" => 1,
                "anthropic-messages" => 2,
                "gemini-generate" if case["provider"] == "vertex" => 4,
                "gemini-generate" => 3,
                "ollama-native" => 5,
                _ => 0,
            };
            written += 1;
            let mut head = [0; HEAD];
            (head[0], head[1]) = (dialect, u8::from(case["streaming"] == true));
            let status = case["response"]["status"].as_u64().unwrap_or(200);
            head[2..].copy_from_slice(&(written * 300 + status.saturating_sub(300)).to_le_bytes());
            // From the end, too: that is where an answer is judged.
            let end = (0..=body.len().min(BODY_BYTES_MAX)).rev().find(|end| body.is_char_boundary(*end)).unwrap_or(0);
            let seed = [&head[..], &body.as_bytes()[..end]].concat();
            let targets: &[&str] = if status == 200 { &["decode", "sse", "encode"] } else { &["classify"] };
            let mut seeds: Vec<(&str, Vec<u8>)> = targets.iter().map(|target| (*target, seed.clone())).collect();
            if let Some(request) = case["request"]["body"].as_str().filter(|body| body.len() <= BODY_BYTES_MAX) {
                // Callers are told apart by fewer numbers than providers.
                head[0] = head[0].min(3);
                seeds.push(("requests", [&head[..], request.as_bytes()].concat()));
            }
            for (target, seed) in seeds {
                fs::create_dir_all(corpus.join(target))?;
                fs::write(corpus.join(target).join(format!("seed-{written}")), seed)?;
            }
        }
    }
    println!("{written} cases");
    Ok(())
}

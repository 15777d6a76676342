//! The fuzz targets on a fixed seed: a few inputs that are nearly right, broken here and there. So the targets stay up
//! to date with the code; `docs/fuzzing.md` says how to look for longer.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fuzz::serving;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// How long each target is fed.
const EACH: Duration = Duration::from_millis(1_500);

/// Targets: their functions, the folders of their seeds, and how many leading bytes choose an option.
type Target = (&'static str, fn(&[u8]), &'static str, usize);

const TARGETS: [Target; 9] = [
    ("sse", fuzz::sse, "answers", fuzz::HEAD),
    ("decode", fuzz::decode, "answers", fuzz::HEAD),
    ("encode", fuzz::encode, "answers", fuzz::HEAD),
    ("classify", fuzz::classify, "errors", fuzz::HEAD),
    ("requests", fuzz::requests, "requests", fuzz::HEAD),
    ("configuration", serving::configuration, "configurations", 0),
    ("headers", serving::headers, "headers", 0),
    ("admin", serving::admin, "admin", 0),
    ("door", serving::door, "door", 0),
];

/// Returns the seeds of a folder.
fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a file")).collect()
}

/// Breaks a seed here and there; what chooses is another now and then.
fn broken(rng: &mut StdRng, head: usize, among: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = among[rng.random_range(0..among.len())].clone();
    if rng.random_bool(0.3) {
        rng.fill_bytes(&mut bytes[..head]);
    }
    for _ in 0..rng.random_range(0..8) {
        let at = rng.random_range(head..=bytes.len());
        let other = &among[rng.random_range(0..among.len())];
        let piece = &other[rng.random_range(0..other.len())..];
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            3 if at < bytes.len() => bytes.truncate(bytes.len() - 1),
            4 => drop(bytes.splice(at..at, piece.iter().copied())),
            _ => drop(bytes.splice(at..at, *b"99999999999999999999")),
        }
    }
    bytes
}

#[test]
fn no_nearly_valid_input_crashes_a_codec_a_reader_or_an_endpoint() {
    for (at, (name, target, folder, head)) in TARGETS.into_iter().enumerate() {
        let among = seeds(folder);
        let (mut rng, until, mut tried) = (StdRng::seed_from_u64(at as u64), Instant::now() + EACH, 0_u64);
        while Instant::now() < until {
            target(&broken(&mut rng, head, &among));
            tried += 1;
        }
        println!("{name}: {tried} inputs, crashes 0");
        assert!(tried > 5, "{name} did not get to play");
    }
}

//! Durable calls outlive their process: it is killed with -9 at random moments, over a provider that fails too, and
//! every call that was accepted is delivered, once.
//!
//! ```sh
//! cargo run --release --features drill,store --example outlive -- 1000
//! ```
//!
//! The number is how often the process is killed; 20 where it is missing. The provider gives another answer each time:
//! a caller that gets the same text twice got one answer.

mod storm;

fn main() {
    if let Some(arguments) = storm::child() {
        return storm::work(&arguments);
    }
    let kills = std::env::args().nth(1).and_then(|kills| kills.parse().ok()).unwrap_or(20);
    println!("{}", storm::kill_again_and_again(kills));
}

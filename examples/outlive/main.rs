//! Durable calls outlive their process: it is killed with -9 at random moments, over a provider that fails too, and
//! every call that was accepted is delivered, once.
//!
//! ```sh
//! cargo run --release --features drill,store --example outlive -- 1000
//! cargo run --release --features sidecar --example outlive -- 1000 sidecar
//! ```
//!
//! The number is how often it is killed; 20 where it is missing. With `sidecar` it is a sidecar, and the agents that
//! ask it by HTTP are killed with it. The provider says something else each time it is asked: who got the same twice
//! got one answer.

#[cfg(feature = "sidecar")]
mod served;
mod storm;

fn main() {
    if let Some(arguments) = storm::child() {
        return storm::work(&arguments);
    }
    #[cfg(feature = "sidecar")]
    if served::child() {
        return;
    }
    let mut arguments = std::env::args().skip(1);
    let kills = arguments.next().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let told = match arguments.next().as_deref() {
        None => storm::kill_again_and_again(kills),
        #[cfg(feature = "sidecar")]
        Some("sidecar") => served::kill_again_and_again(kills),
        Some(what) => format!("`{what}` is not known here, or needs `--features sidecar`"),
    };
    println!("{told}");
}

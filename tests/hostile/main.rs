//! A hostile client, a hostile provider and a hostile web page against the program, from fixed seeds.
//!
//! In every case the program lives, honest calls in between succeed, memory is bounded, and no broken answer looks
//! whole. `cargo test` plays each for some seconds; `STANDIN_HOSTILE_SECONDS` says for how long instead,
//! `STANDIN_HOSTILE_SEED` from which seed.

mod client;
mod page;
mod provider;
mod targets;
mod world;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use world::World;

/// How long each plays.
const SECONDS: u64 = 10;
/// Hostile ones at a time.
const AT_ONCE: u64 = 8;
/// The most memory that the program may ever have.
const PEAK_MAX: u64 = 700 << 20;

fn set(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Plays at the program for some seconds, a few at a time, beside honest calls; tells the result.
async fn play<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    world: World,
    one: impl Fn(std::net::SocketAddr, StdRng) -> F + Clone + Send + 'static,
) {
    let (until, seed) =
        (Instant::now() + Duration::from_secs(set("STANDIN_HOSTILE_SECONDS", SECONDS)), set("STANDIN_HOSTILE_SEED", 7));
    let mut hostile = tokio::task::JoinSet::new();
    for player in 0..AT_ONCE {
        let (one, to) = (one.clone(), world.address);
        hostile.spawn(async move {
            let (mut rng, mut tried) = (StdRng::seed_from_u64(seed * 1_000 + player), 0_u64);
            while Instant::now() < until {
                one(to, StdRng::seed_from_u64(rng.random())).await;
                tried += 1;
            }
            tried
        });
    }
    let mut honest = 0_u64;
    while Instant::now() < until {
        world.honest("good", honest.is_multiple_of(2)).await;
        honest += 1;
    }
    let tried: u64 = hostile.join_all().await.into_iter().sum();
    world.honest("good", true).await;
    let peak = world.alive_with();
    println!("{name}: {tried} inputs, crashes 0, {honest} honest calls answered, peak {} MiB", peak >> 20);
    assert!(tried > 20 && honest > 5, "{name} did not get to play: {tried} {honest}");
    assert!(peak < PEAK_MAX, "{name}: {peak} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_client_hurts_no_other() {
    play("client", World::start("hostile-client").await, client::attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_provider_hurts_no_call_of_others_and_looks_never_whole() {
    play("provider", World::start("hostile-provider").await, provider::be_asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_web_page_spends_nothing_and_reads_nothing() {
    let world = World::start("hostile-page").await;
    let (asked, tried) = (world.asked(), page::every_way(world.address).await);
    assert_eq!(world.asked(), asked, "a page made the provider work");
    world.honest("good", false).await;
    println!("page: {tried} inputs, crashes 0, peak {} MiB", world.alive_with() >> 20);
}

//! Callers that leave before they are answered, and what they take from others: nothing.

use std::time::Duration;

use standin::Runtime;
use standin::testing::{Fault, Latency, ProviderError, Script};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::kit::{S, World, all, ask, world, world_with};

/// What became of a client's calls.
#[derive(Debug, Default)]
struct Outcomes {
    /// When each of its answers came.
    answered: Vec<Instant>,
    refused: u32,
    left: u32,
}

/// A client that asks again and again, and leaves when it was not answered for so long.
#[derive(Clone, Copy)]
struct Client {
    patience: Duration,
    /// Whether it says so.
    tells: bool,
}

impl Client {
    fn asks(self, runtime: &Runtime, from: Duration, lasting: Duration) -> JoinHandle<Outcomes> {
        let (runtime, end) = (runtime.clone(), Instant::now() + lasting);
        tokio::spawn(async move {
            let mut outcomes = Outcomes::default();
            sleep(from).await;
            while Instant::now() < end {
                let request = if self.tells { ask("hello").deadline(self.patience) } else { ask("hello") };
                match timeout(self.patience, runtime.chat(request)).await {
                    Ok(Ok(_)) => {
                        outcomes.answered.push(Instant::now());
                        continue;
                    }
                    Ok(Err(_)) => outcomes.refused += 1,
                    Err(_) => outcomes.left += 1,
                }
                sleep(S).await;
            }
            outcomes
        })
    }
}

fn takes(time: Duration) -> Script {
    Script { first_token: Latency::Fixed(time), ..Script::default() }
}

const fn leaves_after(seconds: u64) -> Client {
    Client { patience: Duration::from_secs(seconds), tells: false }
}

fn sum(all: &[Outcomes], of: impl Fn(&Outcomes) -> u32) -> u32 {
    all.iter().map(of).sum()
}

/// How many answers came between those times.
fn between(all: &[Outcomes], begun: Instant, from: u64, to: u64) -> usize {
    let span = Duration::from_secs(from)..Duration::from_secs(to);
    all.iter().flat_map(|it| &it.answered).filter(|at| span.contains(&at.duration_since(begun))).count()
}

#[tokio::test(start_paused = true)]
async fn callers_that_leave_too_early_take_a_sole_target_from_no_patient_one() {
    for (time, early) in [(8, 5), (20, 15), (20, 5)] {
        let world = world(1, takes(Duration::from_secs(time))).await;
        let begin = |client: Client, from| client.asks(&world.runtime, from, 120 * S);
        let impatient: Vec<_> = (0..8).map(|_| begin(leaves_after(early), Duration::ZERO)).collect();
        let patient = all((0..3).map(|_| begin(leaves_after(30), 4 * S)).collect()).await;
        assert_eq!(sum(&patient, |it| it.refused + it.left), 0, "answers of {time} s, some leave after {early} s");
        assert!(patient.iter().all(|it| it.answered.len() >= 5));
        let impatient = all(impatient).await;
        assert!(sum(&impatient, |it| it.left) > 0 && impatient.iter().all(|it| it.answered.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn callers_with_time_do_not_keep_a_dead_target_alive_where_another_is_there() {
    let world = world(2, takes(S)).await;
    world.providers[0].always(Fault::Hang);
    let clients = (0..4).map(|_| leaves_after(30).asks(&world.runtime, Duration::ZERO, 300 * S));
    let outcomes = all(clients.collect()).await;
    assert_eq!(sum(&outcomes, |it| it.refused + it.left), 0);
    let (dead, well) = (world.providers[0].received(), world.providers[1].received());
    assert!(dead * 20 < well, "{dead} requests in vain beside {well}");
}

#[tokio::test(start_paused = true)]
async fn three_seconds_of_overload_starve_no_fleet() {
    let world = world(1, takes(15 * S)).await;
    let begun = Instant::now();
    let clients: Vec<_> = (0..20).map(|n| leaves_after(30).asks(&world.runtime, S * n * 3 / 20, 105 * S)).collect();
    sleep(S).await;
    let overload = world.providers[0].always(Fault::Error(ProviderError::Overloaded));
    sleep(3 * S).await;
    world.providers[0].lift(overload);
    let answers = between(&all(clients).await, begun, 45, 105);
    assert!(answers >= 50, "{answers} of 80");
}

async fn with_two_places(tells: bool) -> usize {
    let places = |config: &mut standin::Config| {
        let provider = config.providers.get_mut("a").expect("configured");
        provider.models.get_mut("m").expect("configured").in_flight_max = Some(2);
    };
    let world: World = world_with(1, takes(8 * S), places).await;
    let begun = Instant::now();
    let client = Client { tells, ..leaves_after(30) };
    let clients = (0..10).map(|n| client.asks(&world.runtime, S * n / 10, 100 * S));
    between(&all(clients.collect()).await, begun, 40, 100)
}

#[tokio::test(start_paused = true)]
async fn a_place_goes_to_no_call_whose_caller_leaves_before_its_answer() {
    let (silent, telling) = (with_two_places(false).await, with_two_places(true).await);
    assert!(silent >= 10 && telling >= 10, "{silent} and {telling} of 15");
}

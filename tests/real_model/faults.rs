//! The server is overrun, stopped, killed; agents go on working.

use std::time::{Duration, Instant};

use standin::internals::wire;
use standin::{AttemptEnd, ChatRequest, Error, FailureClass, Finished, Reply};
use tokio::task::{JoinHandle, JoinSet};

use crate::crew::{Crew, Listener, Tally};
use crate::world::{Server, World, ask};

const AGENTS: usize = 3;
/// Calls whose answers are under way when a fault begins.
const CAUGHT: usize = 2;
/// The most calls that still go to a server that has just failed.
const LATE_MAX: u32 = 12;
/// How long a breaker may take to open.
const LEAVE_MAX: Duration = Duration::from_secs(12);
/// How long the server is stopped.
const FROZEN: Duration = Duration::from_secs(15);
/// How long the server may take to serve its route again. Seconds are enough; the machine may be busy.
const HOME_MAX: Duration = Duration::from_secs(60);

/// Phase 2: 16 streams at once on 4 slots, all of them to the real model.
pub async fn queueing(world: &World, all: &mut Tally) -> String {
    let since = Instant::now();
    let mut streams = JoinSet::new();
    for n in 0..16 {
        let (runtime, real) = (world.runtime.clone(), world.real.clone());
        streams.spawn(async move {
            let request = ask(&real.to_string(), &format!("Tell a story about the number {n}."));
            let mut listener = Listener::start(&runtime, request).await?;
            let finished = listener.rest().await?;
            assert_eq!((finished.target == real, listener.resets.len()), (true, 0));
            assert!(!listener.text.is_empty());
            Ok::<Finished, Error>(finished)
        });
    }
    let ends = streams.join_all().await;
    let took = since.elapsed();
    let ends: Vec<Finished> = ends.into_iter().map(|end| end.expect("every stream ends well")).collect();
    let tokens: u64 = ends.iter().map(|end| end.usage.output).sum();
    let mut firsts: Vec<Duration> = ends.iter().filter_map(|end| end.attempts[0].first_token).collect();
    firsts.sort_unstable();
    come_home(world).await;
    let crew = Crew::start(&world.runtime, 16);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tally = crew.stop().await;
    let slow = world.health().slow;
    let (home, calls) = come_home(world).await;
    let line = format!(
        "16 streams on 4 slots in {took:.1?}, {:.0} tokens/s, first tokens {:.1?} to {:.1?}; 16 agents: {tally}; flagged \
         slow: {slow}, home in {home:.1?} after {calls} calls",
        tokens as f64 / took.as_secs_f64(),
        firsts[0],
        firsts[15],
    );
    all.add(tally);
    line
}

/// Phase 3: SIGSTOP. The kernel goes on accepting, nothing is answered; then SIGCONT.
pub async fn frozen(world: &World, all: &mut Tally) -> String {
    let strike = || {
        world.server.signal("STOP");
        Instant::now()
    };
    let heal = async |stopped: Instant| {
        assert!(tokio::net::TcpStream::connect(world.server.address()).await.is_ok(), "the kernel accepts");
        let silent = tokio::time::timeout(Duration::from_secs(1), world.server.post("{}")).await;
        assert!(silent.is_err(), "and nobody answers");
        // Long enough that a probe meets the frozen server, too.
        tokio::time::sleep_until((stopped + FROZEN).into()).await;
        world.server.signal("CONT");
        format!("frozen for {:.0?}", stopped.elapsed())
    };
    outage(world, all, &[FailureClass::Stalled, FailureClass::NoFirstToken], strike, heal).await
}

/// Phase 4: SIGKILL in mid-stream. The body ends without `[DONE]`; connections are refused, then the server loads.
pub async fn killed(world: &World, all: &mut Tally) -> String {
    let strike = || {
        world.server.signal("KILL");
        tokio::spawn(rise(world.server.clone()))
    };
    let heal = async |rising: JoinHandle<String>| rising.await.expect("the server is started again");
    outage(world, all, &[FailureClass::Cut, FailureClass::Unsent], strike, heal).await
}

/// Breaks the server while agents work, with answers of it in their hands, and waits until it serves them again.
async fn outage<T>(
    world: &World,
    all: &mut Tally,
    classes: &[FailureClass],
    strike: impl FnOnce() -> T,
    heal: impl AsyncFnOnce(T) -> String,
) -> String {
    let caught = Caught::begin(world).await;
    let crew = Crew::start(&world.runtime, AGENTS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let struck = strike();
    let since = Instant::now();
    let (left, caught) = tokio::join!(leave(world), caught.end(world, classes, since));
    let healed = heal(struck).await;
    let won = world.won();
    let back = world.until("a probe works", HOME_MAX, async || world.won() > won).await;
    let closed = back + world.until("closed", HOME_MAX, async || world.is_closed()).await;
    let home = closed + world.until("at home", HOME_MAX, async || world.is_home().await).await;
    let tally = crew.stop().await;
    let line = format!(
        "{left}; {caught}; {healed}, first answer {back:.1?} later, closed after {closed:.1?}, home after {home:.1?}; {tally}"
    );
    all.add(tally);
    line
}

/// Answers of the real model that are under way when a fault begins.
struct Caught {
    streams: Vec<(String, Listener)>,
    whole: (String, JoinHandle<Result<Reply, Error>>),
}

impl Caught {
    /// Starts calls and waits until the streams among them have content.
    async fn begin(world: &World) -> Self {
        let long = |text: &str| {
            let mut request = ChatRequest { output_tokens_max: Some(400), ..ask("smart", text) };
            // The two tokens by which the model would end its answer.
            request.extra.insert("logit_bias".into(), serde_json::json!({"0": -100, "2": -100}).into());
            request
        };
        let text = "Tell a very long story that is sent whole.".to_owned();
        let (runtime, request) = (world.runtime.clone(), long(&text));
        let whole = (text, tokio::spawn(async move { runtime.chat(request).await }));
        let mut streams = Vec::new();
        for n in 0..CAUGHT {
            let text = format!("Tell a very long story about the number {n}.");
            let listener = Listener::start(&world.runtime, long(&text)).await.expect("a stream");
            streams.push((text, listener));
        }
        for (_, listener) in &mut streams {
            assert_eq!(listener.read(3).await.expect("content"), None);
            assert_eq!(listener.target.as_ref(), Some(&world.real));
        }
        Self { streams, whole }
    }

    /// Reads them to their ends: every stream was reset once, no caller has half an answer, all were answered
    /// elsewhere.
    async fn end(self, world: &World, classes: &[FailureClass], since: Instant) -> String {
        let mut seen = Vec::new();
        for (asked, mut listener) in self.streams {
            let finished = listener.rest().await.expect("whole after all");
            let reset: Vec<FailureClass> = listener.resets.iter().map(|failure| failure.class).collect();
            assert!(reset.len() == 1 && classes.contains(&reset[0]), "{reset:?}");
            assert_ne!(finished.target, world.real);
            assert_eq!(listener.text, asked, "an answer to its question, without a trace of the first");
            seen.push(format!("a stream reset ({})", reset[0]));
        }
        let (asked, whole) = self.whole;
        let reply = whole.await.expect("no panic").expect("whole after all");
        let AttemptEnd::Failed(failure) = &reply.finished.attempts[0].end else { panic!("{reply:?}") };
        assert!(classes.contains(&failure.class), "{reply:?}");
        assert_eq!(reply.text, asked);
        format!("{}, a whole one moved unseen, all whole after {:.1?}", seen.join(", "), since.elapsed())
    }
}

/// Asks again, four times a second, until the breaker has opened: few calls may still go to the broken server, and all
/// are answered.
async fn leave(world: &World) -> String {
    let since = Instant::now();
    let mut calls = JoinSet::new();
    while world.lets_through() {
        assert!(since.elapsed() < LEAVE_MAX, "still open to calls: {:?}", world.health());
        let runtime = world.runtime.clone();
        calls.spawn(async move {
            let since = Instant::now();
            (runtime.chat(ask("smart", "Who is there?")).await, since.elapsed())
        });
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let took = since.elapsed();
    let (mut late, mut slowest) = (0, Duration::ZERO);
    while let Some(done) = calls.join_next().await {
        let (reply, took) = done.expect("no panic");
        let reply = reply.expect("an answer all the same");
        late += u32::from(reply.finished.attempts[0].target == world.real);
        slowest = slowest.max(took);
    }
    assert!(late <= LATE_MAX, "{late} new calls went to the broken server");
    format!("left within {took:.1?}, {late} new calls went there (slowest {slowest:.1?})")
}

/// Watches a server that was killed until it answers again: refusals, then 503, then answers.
async fn rise(server: Server) -> String {
    let since = Instant::now();
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":1}"#;
    let (mut refused, mut loading) = (0, 0);
    loop {
        match server.post(body).await {
            Ok((200, ..)) => break,
            Ok((status, headers, body)) => {
                let failure = wire::classify(status, &headers, &body, wire::Sent::default());
                assert_eq!((status, failure.class), (503, FailureClass::Overloaded), "{failure}");
                loading += 1;
            }
            Err(_) => refused += 1,
        }
        assert!(since.elapsed() < HOME_MAX, "not within {HOME_MAX:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused > 0, "it was dead");
    format!("dead and loading for {:.1?} ({refused} refused, {loading} times 503)", since.elapsed())
}

/// Sends short calls to the real model alone until its route is led to it again; says how many that took.
async fn come_home(world: &World) -> (Duration, u32) {
    let (since, mut calls) = (Instant::now(), 0);
    while !world.is_home().await {
        assert!(since.elapsed() < HOME_MAX, "not at home within {HOME_MAX:?}: {:?}", world.health());
        let request = ChatRequest { output_tokens_max: Some(4), ..ask(&world.real.to_string(), "Say yes.") };
        world.runtime.chat(request).await.expect("an answer");
        calls += 1;
    }
    (since.elapsed(), calls)
}

//! The sixteen ways of failing that a public benchmark of failover plays, on real sockets and the real clock, to
//! callers of whole answers, of buffered streams and of live ones. Each of them gets a whole answer, once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use standin::config::PriceConfig;
use standin::drill::Drill;
use standin::testing::{Fault, ProviderError, RetryHint, Script, When};
use standin::{
    ChatRequest, CommitPolicy, Finished, ModelConfig, ProviderConfig, ReplyEvent, RouteConfig, Runtime, Strategy,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const MS: fn(u64) -> Duration = Duration::from_millis;
const WORDS: usize = 60;

/// How an answer is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Whole,
    Buffered,
    Live,
}

struct World {
    runtime: Runtime,
    primary: Drill,
    fallback: Drill,
    way: Way,
}

/// A caller's result.
struct Got {
    finished: Finished,
    took: Duration,
    resets: usize,
}

fn text() -> String {
    (0..WORDS).map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
}

impl World {
    async fn new(way: Way) -> Self {
        let script = Script { per_token: MS(1), ..Script::default() };
        let (primary, fallback) =
            (Drill::start(script.clone()).await.expect("a drill"), Drill::start(script).await.expect("a drill"));
        let model =
            ModelConfig { price: Some(PriceConfig::new(1.0, 2.0)), stall: Some(MS(500)), ..ModelConfig::default() };
        let provider = |drill: &Drill| {
            let provider = ProviderConfig::new(format!("http://{}/v1", drill.address())).key("k");
            provider.model_with("m", model.clone())
        };
        let mut route = RouteConfig::new(["primary/m", "fallback/m"]);
        route.options.strategy = Strategy::Priority;
        route.failover.content_policy_failover = Some(true);
        let runtime = Runtime::builder()
            .provider("primary", provider(&primary))
            .provider("fallback", provider(&fallback))
            .route("smart", route)
            .start();
        Self { runtime: runtime.await.expect("it starts"), primary, fallback, way }
    }

    /// Makes a call, and checks that its answer is whole and was seen once.
    async fn call(&self) -> Got {
        let (begun, way) = (Instant::now(), self.way);
        let mut request = ChatRequest::new("smart").user(text());
        if way == Way::Whole {
            let reply = self.runtime.chat(request).await.expect("an answer");
            assert_eq!(reply.text, text());
            return Got { finished: reply.finished, took: begun.elapsed(), resets: 0 };
        }
        request.commit = if way == Way::Live { CommitPolicy::Reset } else { CommitPolicy::Buffered };
        let mut stream = self.runtime.stream(request).await.expect("it runs");
        let (mut said, mut resets, mut end) = (String::new(), 0, None);
        while let Some(event) = stream.next().await {
            match event.expect("an answer") {
                ReplyEvent::Text(text) => said += &text,
                ReplyEvent::Reset(_) => {
                    said.clear();
                    resets += 1;
                }
                ReplyEvent::Finished(finished) => end = Some(*finished),
                _ => {}
            }
        }
        assert_eq!(said, text(), "{way:?}");
        assert!(way == Way::Live || resets == 0);
        Got { finished: end.expect("it ends"), took: begun.elapsed(), resets }
    }

    /// Makes a call that the fallback answers.
    async fn moves(&self) -> Got {
        let got = self.call().await;
        assert_eq!(&*got.finished.target.provider, "fallback", "{:?}", got.finished.attempts);
        got
    }

    /// Makes a call whose answer breaks off after this many words: only a live reader notices.
    async fn breaks_off(&self) -> Got {
        let got = self.moves().await;
        assert_eq!(got.resets, usize::from(self.way == Way::Live));
        got
    }
}

type Scenario = fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! scenarios {
    ($($name:literal: |$world:ident| $body:block)*) => {
        const SCENARIOS: &[(&str, Scenario)] = &[$(($name, |$world| Box::pin(async move { $body }))),*];
    };
}

scenarios! {
    "429 with Retry-After, once": |world| {
        world.primary.handle().next(1, Fault::RateLimited(RetryHint::Seconds(MS(3_000))));
        let begun = Instant::now();
        world.moves().await;
        // No call asks before its time …
        while begun.elapsed() < MS(1_000) {
            world.moves().await;
            tokio::time::sleep(MS(50)).await;
        }
        assert_eq!(world.primary.handle().received(), 1);
        // … and then it is asked again.
        while &*world.call().await.finished.target.provider != "primary" {
            assert!(begun.elapsed() < MS(20_000), "it is not asked any more");
            tokio::time::sleep(MS(100)).await;
        }
        assert!(begun.elapsed() >= MS(3_000));
    }
    "429, always": |world| {
        world.primary.handle().always(Fault::RateLimited(RetryHint::Seconds(MS(30_000))));
        for _ in 0..10 {
            world.moves().await;
        }
        assert_eq!(world.primary.handle().received(), 1);
    }
    "500, once": |world| {
        world.primary.handle().next(1, Fault::Error(ProviderError::Server));
        world.moves().await;
        assert_eq!(&*world.call().await.finished.target.provider, "primary");
    }
    "503, always": |world| {
        world.primary.handle().always(Fault::Error(ProviderError::Unavailable));
        for _ in 0..20 {
            world.moves().await;
            tokio::time::sleep(MS(60)).await;
        }
        assert!(world.primary.handle().received() < 10, "its breaker opens: {}", world.primary.handle().received());
    }
    "reset before any header": |world| {
        world.primary.handle().always(Fault::Reset);
        world.moves().await;
    }
    "silence": |world| {
        world.primary.handle().always(Fault::Hang);
        let got = world.moves().await;
        assert!(got.took < MS(15_000), "{:?}", got.took);
    }
    "first token after 20 s": |world| {
        world.primary.handle().always(Fault::SlowFirst { factor: 1.0, plus: MS(20_000) });
        let got = world.moves().await;
        assert!(got.took < MS(15_000), "{:?}", got.took);
    }
    "a stream cut at 40 of 60 tokens": |world| {
        world.primary.handle().always(Fault::CutAfter(40));
        world.breaks_off().await;
    }
    "a stream that stalls": |world| {
        world.primary.handle().always(Fault::StallAfter(40));
        let got = world.breaks_off().await;
        assert!(got.took < MS(15_000), "{:?}", got.took);
    }
    "a chunk that is no JSON": |world| {
        world.primary.handle().always(Fault::InvalidJson);
        world.breaks_off().await;
    }
    "no [DONE]": |world| {
        // Without it, and without a reason why the model stopped, an answer is not whole.
        world.primary.handle().always(Fault::CutAfter(u32::try_from(WORDS).expect("few")));
        world.breaks_off().await;
    }
    "a context that is too long": |world| {
        world.primary.handle().always(Fault::Error(ProviderError::ContextTooLong));
        world.moves().await;
    }
    "a content filter": |world| {
        world.primary.handle().always(Fault::Error(ProviderError::Filtered));
        world.moves().await;
    }
    "a cut with a fallback that refuses a begun answer": |world| {
        world.primary.handle().always(Fault::CutAfter(40));
        world.breaks_off().await;
        let asked = world.fallback.handle().log();
        let body = String::from_utf8_lossy(&asked[0].body).into_owned();
        assert!(!body.contains("assistant"), "it is asked for an answer of its own: {body}");
    }
    "flapping": |world| {
        world.primary.handle().inject(Fault::Error(ProviderError::Server), When::ALWAYS.chance(0.5));
        for _ in 0..40 {
            world.call().await;
        }
    }
    "accounting": |world| {
        world.primary.handle().next(1, Fault::CutAfter(40));
        let finished = world.breaks_off().await.finished;
        let [cut, won] = &finished.attempts[..] else { panic!("{:?}", finished.attempts) };
        assert!(cut.estimated && cut.usage.output > 0 && !won.estimated, "{:?}", finished.attempts);
        let dollars = |usage: standin::Usage| (usage.input as f64 + 2.0 * usage.output as f64) / 1e6;
        let all = dollars(cut.usage) + dollars(won.usage);
        assert!((finished.cost_usd.expect("its price is known") - all).abs() < 1e-12);
        let totals = world.runtime.totals();
        let wasted: f64 = totals.iter().map(|(_, totals)| totals.wasted_usd).sum();
        assert!((wasted - dollars(cut.usage)).abs() < 1e-12, "{wasted}");
        assert_eq!(totals.iter().map(|(_, totals)| totals.attempts).sum::<u64>(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_ways_of_failing_end_in_one_whole_answer_each_however_it_is_taken() {
    let _alone = super::ALONE.lock().await;
    assert_eq!(SCENARIOS.len(), 16);
    let mut all = JoinSet::new();
    // As many at a time as a machine of two cores can do.
    let places = Arc::new(Semaphore::new(12));
    for (name, scenario) in SCENARIOS {
        for way in [Way::Whole, Way::Buffered, Way::Live] {
            let places = places.clone();
            all.spawn(async move {
                let _place = places.acquire().await.expect("nobody closes it");
                let world = World::new(way).await;
                let played = tokio::spawn(scenario(world)).await;
                played.err().map(|error| format!("{name}, {way:?}: {error}"))
            });
        }
    }
    let failed: Vec<String> = all.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

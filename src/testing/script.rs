//! The script of a scripted provider: its behaviour without faults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt as _};

use super::answer::{Answer, Question};
use crate::words::named::named;

/// The longest time a [`Latency`] yields: the tail of a log-normal is unbounded.
const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// A scripted provider's behaviour without faults. The default is a provider that answers at once, knows
/// every model, accepts any key and repeats what the user said.
///
/// It does not change while the provider runs. For changes use faults: see
/// [`Scripted::inject`](super::Scripted::inject).
#[derive(Clone, Debug)]
pub struct Script {
    /// The flavour of OpenAI's dialects that it speaks.
    pub flavour: Flavour,
    /// The models it serves and lists; another one is a 404, or what its flavour says then. Empty serves any model and
    /// lists none.
    pub models: Vec<String>,
    /// The API keys it takes; without one of them a request is a 401. Empty asks for none.
    pub keys: Vec<String>,
    /// Decides everything random: latencies, ids, and which requests a fault with a probability hits. Two providers
    /// with the same seed and script treat request number n in the same way.
    pub seed: u64,
    /// From the request to the head of a streamed answer, and to an error. Never longer than `first_token`.
    pub head: Duration,
    /// From the request to the first content. A whole answer comes after this and `per_token` for each further token.
    pub first_token: Latency,
    /// Between two tokens.
    pub per_token: Duration,
    /// Its answers when nothing is queued by [`Scripted::say`](super::Scripted::say).
    pub answers: Answers,
    /// The most requests it works on at once; one more is a 429. `None` takes all.
    pub in_flight_max: Option<u32>,
    /// Its rate limit in requests a minute, told in the headers and enforced: a bucket of that size that refills within
    /// a minute. The default is out of reach.
    pub requests_per_minute: u32,
    /// The same for tokens: a request takes those of its prompt and the most its answer may have.
    pub tokens_per_minute: u32,
    /// The most records the log holds; the oldest go first. Counts are not bounded by it.
    pub log_max: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            flavour: Flavour::OpenAi,
            models: Vec::new(),
            keys: Vec::new(),
            seed: 0,
            head: Duration::ZERO,
            first_token: Latency::Fixed(Duration::ZERO),
            per_token: Duration::ZERO,
            answers: Answers::Echo,
            in_flight_max: None,
            // A million a second: more than any loopback can carry.
            requests_per_minute: 60_000_000,
            tokens_per_minute: u32::MAX,
            log_max: 10_000,
        }
    }
}

/// The flavour of OpenAI's dialects that a provider speaks: its errors, limits, headers, keep-alives and usage, and
/// fields that it adds or leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flavour {
    /// OpenAI's own.
    #[default]
    OpenAi,
    /// Azure: deployments, versions, filters.
    Azure,
    /// DeepSeek: text only, and reasoning that must come back.
    DeepSeek,
    /// Mistral: no field that it does not know.
    Mistral,
    /// Qwen at Alibaba's DashScope: some models only stream.
    Qwen,
    /// Groq: limits by the day, calls that come whole.
    Groq,
    /// xAI: errors that are texts.
    Xai,
    /// Together.
    Together,
    /// OpenRouter: other providers' failures within its own.
    OpenRouter,
    /// Perplexity: a stream that ends without an end mark.
    Perplexity,
    /// A vLLM server.
    Vllm,
    /// An Ollama server, by its `/v1`.
    Ollama,
    /// A llama.cpp server, which has one model.
    LlamaCpp,
}

named!(Flavour {
    OpenAi = "openai",
    Azure = "azure",
    DeepSeek = "deepseek",
    Mistral = "mistral",
    Qwen = "qwen",
    Groq = "groq",
    Xai = "xai",
    Together = "together",
    OpenRouter = "openrouter",
    Perplexity = "perplexity",
    Vllm = "vllm",
    Ollama = "ollama",
    LlamaCpp = "llamacpp",
});

/// A duration, fixed or random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always as long.
    Fixed(Duration),
    /// Log-normal, as with real providers: most times near the median, a few far beyond.
    LogNormal {
        /// Half of the times are shorter.
        median: Duration,
        /// Standard deviation of the logarithm. At 0.5 the 99th percentile is 3.2 medians, at 1 it is 10.
        sigma: f64,
    },
}

impl Latency {
    /// Returns one latency, at most an hour.
    pub(crate) fn sample(self, rng: &mut impl Rng) -> Duration {
        // Drawn for both, so that a fixed latency in place of a random one shifts no later draw.
        let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
        match self {
            Self::Fixed(time) => time.min(LATENCY_MAX),
            Self::LogNormal { median, sigma } => {
                // Box and Muller.
                let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
                scaled(median, (sigma * normal).exp())
            }
        }
    }
}

/// Multiplies a time by a factor, up to [`LATENCY_MAX`]; a factor that is negative or NaN changes nothing.
pub(crate) fn scaled(time: Duration, factor: f64) -> Duration {
    if factor.is_nan() || factor < 0.0 {
        return time;
    }
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).map_or(LATENCY_MAX, |time| time.min(LATENCY_MAX))
}

/// A provider's answers.
#[derive(Clone, Default)]
pub enum Answers {
    /// Those of [`Answer::echo`]: the user's last text, a tool call that was asked for, a tool's result.
    #[default]
    Echo,
    /// Those of a function of the question.
    By(Arc<dyn Fn(&Question) -> Answer + Send + Sync>),
}

impl Answers {
    /// Lets a function answer.
    pub fn by(answer: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(answer))
    }

    pub(crate) fn answer(&self, question: &Question) -> Answer {
        match self {
            Self::Echo => Answer::echo(question),
            Self::By(answer) => answer(question),
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "Echo",
            Self::By(_) => "By(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_log_normal_latency_has_its_median_in_the_middle_and_a_long_tail() {
        let mut rng = StdRng::seed_from_u64(1);
        let latency = Latency::LogNormal { median: Duration::from_millis(800), sigma: 0.5 };
        let mut samples: Vec<_> = (0..4_000).map(|_| latency.sample(&mut rng).as_millis()).collect();
        samples.sort_unstable();
        assert!((760..840).contains(&samples[2_000]), "median {}", samples[2_000]);
        assert!((2_200..3_000).contains(&samples[3_960]), "p99 {}", samples[3_960]);
    }

    #[test]
    fn no_latency_and_no_factor_is_ever_too_much() {
        let mut rng = StdRng::seed_from_u64(1);
        let wild = Latency::LogNormal { median: Duration::MAX, sigma: f64::INFINITY };
        for _ in 0..100 {
            assert!(wild.sample(&mut rng) <= LATENCY_MAX);
        }
        for (factor, expected) in [(2.0, 2_000), (0.0, 0), (-1.0, 1_000), (f64::NAN, 1_000), (f64::MAX, 3_600_000)] {
            assert_eq!(scaled(Duration::from_secs(1), factor).as_millis(), expected, "{factor}");
        }
    }
}

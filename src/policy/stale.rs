//! The last good answers of a route, for calls that no target can answer.
//!
//! Input: good answers, each with its request. Output: the last one to the same request of the same caller with the
//! same labels, with its age. Bounded in number, in bytes and in age: the oldest go first.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::words::{AssistantPart, ChatRequest, ConfigError, Original, Sampling, StopReason, TargetId};

/// How many answers a route keeps, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaleOptions {
    /// The oldest answer that is given again. Default: 1 h.
    #[serde(with = "humantime_serde")]
    pub age_max: Duration,
    /// The most answers that are kept. Default: 1 000.
    pub answers_max: usize,
    /// The most bytes of their texts. Default: 16 MiB.
    pub bytes_max: usize,
}

impl Default for StaleOptions {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(60 * 60), answers_max: 1_000, bytes_max: 16 << 20 }
    }
}

impl StaleOptions {
    /// The largest `age_max`: a year.
    const AGE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// Returns what is wrong with it.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let ill = [
            (self.age_max.is_zero() || self.age_max > Self::AGE_MAX, "age_max", "must be above 0 and at most a year"),
            (self.answers_max == 0, "answers_max", "must be 1 or more; leave the rung out to keep none"),
            (self.bytes_max == 0, "bytes_max", "must be 1 or more; leave the rung out to keep none"),
        ];
        let ill = ill.into_iter().filter(|(ill, ..)| *ill);
        ill.map(|(_, name, problem)| ConfigError::new(format!("{field}.{name}"), problem)).collect()
    }
}

/// A moment by both clocks: one stands still while a machine sleeps, and the other may be set.
#[derive(Clone, Copy, Debug)]
pub struct ClockPair {
    /// By the clock that only goes on.
    pub now: Instant,
    /// By the wall's.
    pub wall: SystemTime,
}

impl ClockPair {
    /// Returns how long ago it was: the longer by the two clocks.
    fn age(self, now: Self) -> Duration {
        let slept = now.wall.duration_since(self.wall).unwrap_or_default();
        now.now.saturating_duration_since(self.now).max(slept)
    }
}

/// The caller of a request, its labels, and what it asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuestionKey {
    client: Option<Arc<str>>,
    labels: Box<[String]>,
    /// A hash of the request's meaning, with a secret of this process.
    digest: u64,
}

impl QuestionKey {
    /// Returns the key of a request; `None` where it asks for something else than an answer.
    pub fn of(request: &ChatRequest, secret: &impl BuildHasher) -> Option<Self> {
        if request.original.as_ref().is_some_and(|original| !original.method.is_empty()) {
            return None;
        }
        let mut labels = request.labels.clone();
        labels.sort_unstable();
        labels.dedup();
        let mut digest = secret.build_hasher();
        digest_of(request, &mut digest);
        Some(Self { client: request.client.clone(), labels: labels.into(), digest: digest.finish() })
    }
}

/// Hashes all of a request that an answer depends on. How it was written does not count: what two bodies say alike is
/// the same request.
fn digest_of(request: &ChatRequest, digest: &mut impl Hasher) {
    let ChatRequest {
        messages,
        tools,
        foreign_tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        effort,
        output_tokens_max,
        extra,
        extra_headers,
        extra_dialect,
        original,
        // The caller and the labels are in the key beside it.
        client: _,
        labels: _,
        // Each route has a store of its own.
        route: _,
        // These say how and when it is answered, not what.
        priority: _,
        rule: _,
        hedging: _,
        deadline: _,
        client_timeout: _,
        on_exhausted: _,
        key: _,
        durable: _,
        session: _,
        tags: _,
        commit: _,
        extra_needed: _,
        via: _,
        model_as: _,
    } = request;
    (messages, tools, foreign_tools, tool_choice, parallel_tool_calls, response_format).hash(digest);
    let Sampling { temperature, top_p, presence_penalty, frequency_penalty, seed, stop } = sampling;
    [temperature, top_p, presence_penalty, frequency_penalty].map(|value| value.map(f64::to_bits)).hash(digest);
    (seed, stop, effort, output_tokens_max, extra, extra_dialect).hash(digest);
    for (name, value) in extra_headers {
        (name, value).hash(digest);
    }
    // What there are no words for stands in the body alone.
    let is_read = |it: &Original| it.lost.is_empty() && it.left_out.is_empty() && it.unread.is_empty();
    let beyond = original.as_ref().filter(|original| !is_read(original));
    beyond.map(|original| &original.body).hash(digest);
}

/// An answer that may be given again: its text, and the target that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleAnswer {
    /// Its text.
    pub text: Arc<str>,
    /// The target that gave it.
    pub target: TargetId,
    /// The model's name as its provider spelled it.
    pub model: Option<Arc<str>>,
    /// Why it ended.
    pub stop: StopReason,
}

/// Tells whether an answer of these parts may be given again: it ended by itself or by its limit, and calls no tool. A
/// tool call is an action, and an old action must not be repeated.
pub fn is_good(stop: StopReason, parts: &[AssistantPart]) -> bool {
    matches!(stop, StopReason::Stop | StopReason::Length)
        && !parts.iter().any(|part| matches!(part, AssistantPart::ToolCall(_) | AssistantPart::Foreign(_)))
}

/// The last good answers of one route.
#[derive(Debug, Default)]
pub struct LastAnswers {
    kept: HashMap<Arc<QuestionKey>, KeptAnswer>,
    /// Their keys, the oldest first.
    order: BTreeMap<u64, Arc<QuestionKey>>,
    /// The number of the next one.
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct KeptAnswer {
    answer: StaleAnswer,
    number: u64,
    at: ClockPair,
}

impl LastAnswers {
    /// Keeps an answer and replaces the earlier one to the same request; beyond the limits the oldest are dropped.
    pub fn keep(&mut self, key: QuestionKey, answer: StaleAnswer, options: &StaleOptions, at: ClockPair) {
        self.forget(&key);
        if answer.text.len() > options.bytes_max {
            return;
        }
        let (key, number) = (Arc::new(key), self.next);
        self.next += 1;
        self.bytes += answer.text.len();
        self.order.insert(number, key.clone());
        self.kept.insert(key, KeptAnswer { answer, number, at });
        while self.kept.len() > options.answers_max || self.bytes > options.bytes_max {
            self.forget_oldest();
        }
    }

    /// Returns the last answer to a request, and how old it is.
    pub fn find(&self, key: &QuestionKey, options: &StaleOptions, now: ClockPair) -> Option<(&StaleAnswer, Duration)> {
        let kept = self.kept.get(key)?;
        let age = kept.at.age(now);
        (age <= options.age_max).then_some((&kept.answer, age))
    }

    /// Forgets what is too old to be given.
    pub fn expire(&mut self, options: &StaleOptions, now: ClockPair) {
        let oldest = |this: &Self| this.order.values().next().map(|key| this.kept[key].at.age(now));
        while oldest(self).is_some_and(|age| age > options.age_max) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &QuestionKey) {
        if let Some(KeptAnswer { answer, number, .. }) = self.kept.remove(key) {
            self.bytes -= answer.text.len();
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::words::{Dialect, Message, Note, Original, Tool};

    const S: Duration = Duration::from_secs(1);

    fn start() -> ClockPair {
        ClockPair { now: Instant::now(), wall: SystemTime::UNIX_EPOCH + 1_000 * S }
    }

    fn after(from: ClockPair, time: Duration) -> ClockPair {
        ClockPair { now: from.now + time, wall: from.wall + time }
    }

    fn ask(text: &str) -> ChatRequest {
        ChatRequest::new("smart").user(text)
    }

    fn answer(text: &str) -> StaleAnswer {
        StaleAnswer { text: text.into(), target: TargetId::new("a", "m"), model: None, stop: StopReason::Stop }
    }

    #[test]
    fn what_two_requests_say_alike_is_one_request_and_whatever_else_they_say_makes_two() {
        let secret = RandomState::new();
        let key = |request: &ChatRequest| QuestionKey::of(request, &secret).expect("it asks for an answer");
        let first = ask("hello").system("Be brief.");
        // Time, urgency and session do not count; nor does the order of labels.
        let same = ChatRequest { route: "other".into(), ..first.clone() }.session("s").deadline(S);
        assert_eq!(key(&first), key(&same));
        let labelled = |labels: &[&str]| ChatRequest {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            ..first.clone()
        };
        assert_eq!(key(&labelled(&["eu", "zdr"])), key(&labelled(&["zdr", "eu"])));
        let edits: [fn(&mut ChatRequest); 13] = [
            |it| it.client = Some("another".into()),
            |it| it.labels = vec!["eu".into()],
            |it| it.messages.push(Message::assistant("")),
            |it| it.messages.swap(0, 1),
            |it| it.tools.push(Tool::new("t", "", serde_json::json!({}))),
            |it| it.sampling.temperature = Some(0.0),
            |it| it.sampling.top_p = Some(0.0),
            |it| it.sampling.stop = vec!["x".into()],
            |it| it.output_tokens_max = Some(7),
            |it| drop(it.extra.insert("user".into(), serde_json::json!("somebody").into())),
            |it| it.extra_dialect = Some(Dialect::Gemini),
            |it| it.response_format = crate::words::ResponseFormat::Json,
            |it| drop(it.extra_headers.insert("anthropic-beta", "x".parse().expect("a value"))),
        ];
        let mut keys = vec![key(&first)];
        for edit in edits {
            let mut other = first.clone();
            edit(&mut other);
            keys.push(key(&other));
        }
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "the one of edit {at} is another one's, too");
        }
    }

    #[test]
    fn what_stands_in_a_body_alone_tells_requests_apart() {
        let secret = RandomState::new();
        let written = |body: &'static str, lost: Vec<Note>| {
            let original = Original {
                dialect: Dialect::OpenAiChat,
                body: body.into(),
                model: None,
                fields: Vec::new(),
                nulls: Vec::new(),
                stream: false,
                stream_usage: None,
                left_out: Vec::new(),
                marks: crate::words::Marks::default(),
                lost,
                unread: Vec::new(),
                method: "",
            };
            QuestionKey::of(&ChatRequest { original: Some(original), ..ask("hello") }, &secret)
        };
        assert_eq!(written("{\"a\":1}", Vec::new()), written("{ \"a\": 1 }", Vec::new()), "how it is written");
        let lost = || vec![Note::Dropped("messages")];
        assert_ne!(written("{\"a\":1}", lost()), written("{\"a\":2}", lost()));
    }

    #[test]
    fn the_last_answer_is_found_with_its_age_until_it_is_too_old_also_where_the_machine_slept() {
        let (options, from) = (StaleOptions { age_max: 60 * S, ..StaleOptions::default() }, start());
        let key = |text: &str| QuestionKey { client: None, labels: Box::default(), digest: text.len() as u64 };
        let mut kept = LastAnswers::default();
        kept.keep(key("a"), answer("old"), &options, from);
        kept.keep(key("a"), answer("new"), &options, after(from, S));
        assert_eq!(kept.find(&key("a"), &options, after(from, 4 * S)), Some((&answer("new"), 3 * S)));
        assert_eq!(kept.find(&key("ab"), &options, from), None);
        // The one clock stood still for an hour; the other one was set back.
        let slept = ClockPair { now: from.now + 2 * S, wall: from.wall + 3_600 * S };
        assert_eq!(kept.find(&key("a"), &options, slept), None);
        let set_back = ClockPair { now: from.now + 3 * S, wall: from.wall - 500 * S };
        assert_eq!(kept.find(&key("a"), &options, set_back), Some((&answer("new"), 2 * S)));
        kept.expire(&options, after(from, 61 * S));
        assert_eq!((kept.kept.len(), kept.bytes), (1, 3), "it may still be given");
        kept.expire(&options, after(from, 62 * S));
        assert_eq!((kept.kept.len(), kept.order.len(), kept.bytes), (0, 0, 0));
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_the_oldest_go() {
        let options = StaleOptions { answers_max: 3, bytes_max: 20, ..StaleOptions::default() };
        let key = |digest| QuestionKey { client: None, labels: Box::default(), digest };
        let (mut kept, from) = (LastAnswers::default(), start());
        for digest in 0..5 {
            kept.keep(key(digest), answer("four"), &options, from);
        }
        let there =
            |kept: &LastAnswers| (0..9).filter(|digest| kept.kept.contains_key(&key(*digest))).collect::<Vec<_>>();
        assert_eq!(there(&kept), [2, 3, 4]);
        kept.keep(key(2), answer("four"), &options, from);
        kept.keep(key(5), answer("fifteen letters"), &options, from);
        assert_eq!((there(&kept), kept.bytes), (vec![2, 5], 19), "one that is renewed is the newest");
        kept.keep(key(6), answer("longer than all that may be kept"), &options, from);
        assert_eq!(there(&kept), [2, 5], "one that is too long moves nobody");
    }

    #[test]
    fn an_answer_that_acts_or_was_held_back_is_not_given_again() {
        let text = || AssistantPart::Text("hello".into());
        let call = || AssistantPart::ToolCall(crate::words::ToolCall::default());
        for (stop, expected) in [
            (StopReason::Stop, true),
            (StopReason::Length, true),
            (StopReason::Refusal, false),
            (StopReason::ContentFilter, false),
        ] {
            assert_eq!(is_good(stop, &[text()]), expected, "{stop:?}");
            assert!(!is_good(stop, &[text(), call()]), "{stop:?}");
        }
        assert!(!is_good(StopReason::ToolCalls, &[call()]));
    }

    #[test]
    fn what_a_route_keeps_is_bounded_in_each_of_its_sizes() {
        let told = |edit: fn(&mut StaleOptions)| {
            let mut options = StaleOptions::default();
            edit(&mut options);
            options.check("stale").into_iter().map(|error| error.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(StaleOptions::default().age_max, Duration::from_secs(3_600));
        for edit in
            [(|_| {}) as fn(&mut StaleOptions), |it| it.age_max = StaleOptions::AGE_MAX, |it| it.answers_max = 1]
        {
            assert_eq!(told(edit), [] as [String; 0]);
        }
        for (edit, field) in [
            ((|it| it.age_max = Duration::ZERO) as fn(&mut StaleOptions), "stale.age_max"),
            (|it| it.age_max = StaleOptions::AGE_MAX + S, "stale.age_max"),
            (|it| it.answers_max = 0, "stale.answers_max"),
            (|it| it.bytes_max = 0, "stale.bytes_max"),
        ] {
            let told = told(edit);
            assert!(told.len() == 1 && told[0].starts_with(field), "{told:?}");
        }
    }

    #[test]
    fn a_label_that_is_said_twice_is_said_once() {
        let secret = RandomState::new();
        let labelled = |labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            QuestionKey::of(&ChatRequest { labels, ..ask("hello") }, &secret).expect("it asks for an answer")
        };
        assert_eq!(labelled(&["eu", "eu"]), labelled(&["eu"]));
        assert_ne!(labelled(&["eu", "us"]), labelled(&["eu"]));
    }
}

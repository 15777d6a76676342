//! The scripted provider itself: its faults, its log, and its answers.
//!
//! Input: requests and the switching of faults. Output: scores and the log. It waits for nothing and opens nothing: the
//! player in process and the drill do. Everything random comes from the seed and the request's number alone, so neither
//! the order in which requests end nor the fate of others changes a request's result.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::{Answer, BIRTH, Question};
use super::body_recorder::BodyRecorder;
use super::dialects::{self, Address, AnswerHead, AnswerParts, Finish, Headers, Refusal, RequestKind, ScriptedDialect};
use super::fault::{Fault, ProviderError, RetryHint, Schedule, When};
use super::gauge::{Gauge, whole_seconds};
use super::record::{Counts, Outcome, Record, SharedLog};
use super::response_plan::{End, Head, ResponsePlan};
use super::response_run::{LogTicket, ResponseRun};
use super::script::{Script, scaled};
use crate::words::Usage;
use crate::words::locks::lock;

/// Headers that mark repetitions of one call, the strongest first.
const MARKERS: [&str; 3] = ["idempotency-key", "x-client-request-id", "x-session-id"];

/// The shortest time between two keep-alives, so that they do not become a flood.
const KEEP_ALIVE_MIN: Duration = Duration::from_millis(1);

/// A scripted provider: a [`Transport`](crate::transport::Transport) that answers in process, and the handle to switch
/// its faults, queue its answers and read its log. Clones are the same provider. Every method works from any thread, at
/// any time, and never waits.
#[derive(Clone)]
pub struct Scripted(Arc<Inner>);

struct Inner {
    script: Script,
    born: Instant,
    state: Mutex<State>,
    /// Locked after the state, where both are.
    log: SharedLog,
    /// Notifies the socket's listener that faults were switched.
    switched: watch::Sender<()>,
}

struct State {
    serial: u64,
    rules: Vec<Rule>,
    switches: u64,
    queue: VecDeque<Answer>,
    requests: Gauge,
    tokens: Gauge,
}

struct Rule {
    switch: Switch,
    fault: Fault,
    when: When,
}

/// Names a fault that was switched on, to [`lift`](Scripted::lift) it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(u64);

/// A request, from the player in process or the drill.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrival {
    fn address(&self) -> Address<'_> {
        let target = self.target.split('#').next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Address { path, query }
    }
}

/// The random values of one request, from its number and the seed. Latency and id come first, so that no fault shifts
/// them.
struct RandomDraws {
    serial: u64,
    first_token: Duration,
    id: String,
    rng: StdRng,
}

impl Scripted {
    /// Returns a new provider, whose age is counted from now.
    pub fn new(script: Script) -> Self {
        let state = State {
            serial: 0,
            rules: Vec::new(),
            switches: 0,
            queue: VecDeque::new(),
            requests: Gauge::new(script.requests_per_minute),
            tokens: Gauge::new(script.tokens_per_minute),
        };
        let log = SharedLog::new(script.log_max);
        let (state, switched) = (Mutex::new(state), watch::Sender::new(()));
        let inner = Inner { script, born: Instant::now(), state, log, switched };
        Self(Arc::new(inner))
    }

    /// Switches a fault on. It meets requests that arrive from now on; answers that have begun go on as they are.
    pub fn inject(&self, fault: Fault, when: When) -> Switch {
        let mut state = self.state();
        state.switches += 1;
        let switch = Switch(state.switches);
        state.rules.push(Rule { switch, fault, when });
        drop(state);
        self.0.switched.send_replace(());
        switch
    }

    /// Switches a fault on for every request.
    pub fn always(&self, fault: Fault) -> Switch {
        self.inject(fault, When::ALWAYS)
    }

    /// Switches a fault on for this number of next requests, of any kind.
    pub fn next(&self, times: u32, fault: Fault) -> Switch {
        self.inject(fault, When::ALWAYS.times(times))
    }

    /// Switches a fault on for each request with this probability.
    pub fn sometimes(&self, chance: f64, fault: Fault) -> Switch {
        self.inject(fault, When::ALWAYS.chance(chance))
    }

    /// Switches a whole incident on.
    pub fn schedule(&self, schedule: Schedule) {
        for (fault, when) in schedule.0 {
            self.inject(fault, when);
        }
    }

    /// Switches one fault off.
    pub fn lift(&self, switch: Switch) {
        self.state().rules.retain(|rule| rule.switch != switch);
        self.0.switched.send_replace(());
    }

    /// Switches every fault off.
    pub fn clear(&self) {
        self.state().rules.clear();
        self.0.switched.send_replace(());
    }

    /// Queues an answer, for the next request that is answered at all and has none queued before it.
    pub fn say(&self, answer: Answer) {
        self.state().queue.push_back(answer);
    }

    /// Returns the time since the provider was made. Windows of faults and times of records are counted in it.
    pub fn age(&self) -> Duration {
        self.0.born.elapsed()
    }

    /// Returns the records of the last requests, oldest first.
    pub fn log(&self) -> Vec<Record> {
        self.0.log.lock().records()
    }

    /// Returns the records and forgets them. The outcomes of requests that are still open show in the counts only.
    pub fn take_log(&self) -> Vec<Record> {
        self.0.log.lock().take()
    }

    /// Returns the numbers of requests by outcome, since the start.
    pub fn counts(&self) -> Counts {
        self.0.log.lock().counts
    }

    /// Returns how many requests were received.
    pub fn received(&self) -> u64 {
        self.counts().received
    }

    /// Returns how many requests got their whole answer.
    pub fn answered(&self) -> u64 {
        self.counts().answered
    }

    /// Takes a request and returns how it is to be answered.
    pub(crate) fn receive(&self, arrival: Arrival) -> ResponseRun {
        let now = Instant::now();
        let age = now.saturating_duration_since(self.0.born);
        let mut state = self.state();
        state.serial += 1;
        let serial = state.serial;
        let mut draws = self.draws(serial);
        let faults = state.faults(age, &mut draws.rng);
        if faults.contains(&Fault::Refuse) {
            self.0.log.lock().counts.refused += 1;
            let outcome = Outcome::Fault(Fault::Refuse.name());
            return ResponseRun::new(ResponsePlan::silent(End::Refuse, outcome), now, None);
        }
        let mut log = self.0.log.lock();
        let is_full = self.0.script.in_flight_max.is_some_and(|max| log.counts.in_flight >= u64::from(max));
        log.open(Record {
            serial,
            at: age,
            ended: None,
            path: arrival.address().path.to_owned(),
            marker: MARKERS.iter().find_map(|name| Some(arrival.headers.get(*name)?.to_str().ok()?.to_owned())),
            body: arrival.body.clone(),
            faults: faults.iter().map(Fault::name).collect(),
            outcome: Outcome::Open,
            tokens: 0,
        });
        drop(log);
        drop(state);
        let ticket = LogTicket::new(self.0.log.clone(), self.0.born, serial);
        let score = PlanWriter { provider: self, age, faults, draws, is_full }.score(&arrival);
        ResponseRun::new(score, now, Some(ticket))
    }

    /// Tells whether every connection is refused now, and when that may change by itself.
    #[cfg(feature = "drill")]
    pub(crate) fn refusing(&self) -> (bool, Option<Instant>) {
        let age = self.age();
        let state = self.state();
        let refusals = || state.rules.iter().filter(|rule| rule.fault == Fault::Refuse).map(|rule| &rule.when);
        let turn = refusals().filter_map(|when| when.next_turn(age)).min();
        (refusals().any(|when| when.hits_all(age)), turn.and_then(|turn| self.0.born.checked_add(turn)))
    }

    /// Returns a receiver that is told when faults are switched.
    #[cfg(feature = "drill")]
    pub(crate) fn switched(&self) -> watch::Receiver<()> {
        self.0.switched.subscribe()
    }

    fn draws(&self, serial: u64) -> RandomDraws {
        // Neighbouring seeds are far apart: the generator's own seeding mixes them.
        let seed = self.0.script.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(serial);
        let mut rng = StdRng::seed_from_u64(seed);
        let first_token = self.0.script.first_token.sample(&mut rng);
        RandomDraws { serial, first_token, id: format!("{:016x}", rng.random::<u64>()), rng }
    }

    /// No change under the lock is left half done, so a panic elsewhere does not harm the data.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("script", &self.0.script).finish_non_exhaustive()
    }
}

impl State {
    /// Returns the faults that hit this request, and forgets those that are used up.
    fn faults(&mut self, age: Duration, rng: &mut StdRng) -> Vec<Fault> {
        let hit = |rule: &mut Rule| rule.when.hits(age, rng).then(|| rule.fault.clone());
        let faults = self.rules.iter_mut().filter_map(hit).collect();
        self.rules.retain(|rule| !rule.when.is_spent());
        faults
    }
}

/// Writes one request's score.
struct PlanWriter<'a> {
    provider: &'a Scripted,
    age: Duration,
    faults: Vec<Fault>,
    draws: RandomDraws,
    is_full: bool,
}

impl PlanWriter<'_> {
    fn score(&self, arrival: &Arrival) -> ResponsePlan {
        let flavour = self.script().flavour;
        let (dialect, request_kind) =
            dialects::request_kind(flavour, arrival.method == Method::POST, arrival.address(), &arrival.headers);
        if let Some(score) = self.faults.iter().find_map(|fault| self.instead(fault, dialect, arrival)) {
            return score;
        }
        let answered = self.admit(dialect, arrival).and_then(|()| match request_kind {
            RequestKind::Chat => self.chat(dialect, arrival),
            RequestKind::Embed => self.embed(dialect, arrival),
            RequestKind::Models(one) => dialect.models(&self.script().models, one).map(|body| self.tell(dialect, body)),
            RequestKind::Count => {
                dialect.count(arrival.address(), &arrival.headers, &arrival.body).map(|body| self.tell(dialect, body))
            }
            RequestKind::Unknown => Err(dialect.nothing(&arrival.method, arrival.address())),
        });
        answered.unwrap_or_else(|refusal| self.refuse(dialect, refusal, None))
    }

    /// Answers a request that is no chat.
    fn tell(&self, dialect: &dyn ScriptedDialect, body: Bytes) -> ResponsePlan {
        let headers = self.headers(dialect, dialect.content_type(false), None);
        ResponsePlan::whole(self.script().head, 200, headers, body, Outcome::Answered)
    }

    /// Returns the replacement of an answer by a fault.
    fn instead(&self, fault: &Fault, dialect: &dyn ScriptedDialect, arrival: &Arrival) -> Option<ResponsePlan> {
        let outcome = Outcome::Fault(fault.name());
        let summary = || dialect.summary(arrival.address(), &arrival.body);
        Some(match fault {
            Fault::Reset => ResponsePlan::silent(End::Reset, outcome),
            Fault::Hang => ResponsePlan::silent(End::Hang, outcome),
            Fault::BlackHole { every } => {
                let stream = summary().stream;
                let headers = self.headers(dialect, dialect.content_type(stream), None);
                let end = End::KeepAlive { every: (*every).max(KEEP_ALIVE_MIN), bytes: dialect.keep_alive(stream) };
                let head = Some(Head { status: 200, headers, length: None });
                ResponsePlan { wait: self.script().head, head, pieces: Vec::new(), end, outcome }
            }
            Fault::Error(error) => self.refuse(dialect, dialect.error(*error, &summary().model), Some(outcome)),
            Fault::RateLimited(hint) => {
                self.refuse(dialect, dialect.rate_limit(*hint, 3, &summary().model), Some(outcome))
            }
            Fault::Reply { status, headers, body } => {
                ResponsePlan::whole(self.script().head, *status, headers.clone(), body.clone().into(), outcome)
            }
            _ => return None,
        })
    }

    fn admit(&self, dialect: &dyn ScriptedDialect, arrival: &Arrival) -> Result<(), Refusal> {
        let keys = &self.script().keys;
        let key = dialect.key(arrival.address(), &arrival.headers);
        if !keys.is_empty() && !keys.iter().any(|known| Some(known.as_str()) == key) {
            return Err(key.map_or_else(|| dialect.keyless(), |_| dialect.error(ProviderError::Unauthorised, "")));
        }
        if self.is_full {
            let limit = self.script().in_flight_max.unwrap_or(0);
            return Err(dialect.rate_limit(RetryHint::Seconds(Duration::from_secs(1)), limit, "this model"));
        }
        Ok(())
    }

    fn chat(&self, dialect: &dyn ScriptedDialect, arrival: &Arrival) -> Result<ResponsePlan, Refusal> {
        let question = dialect.read(arrival.address(), &arrival.headers, &arrival.body)?;
        let tokens = question.tokens.saturating_add(question.output_tokens_max.unwrap_or(0));
        self.charge(dialect, &question.model, tokens)?;
        let mut answer = self.answer(&question);
        let is_thought = !answer.reasoning.is_empty();
        for (index, call) in answer.tool_calls.iter_mut().enumerate().filter(|(_, call)| call.id.is_empty()) {
            call.id = dialect.call_id(&self.draws.id, index, is_thought);
        }
        let answer_parts = self.utter(dialect, &question, &answer, &arrival.headers);
        let score = self.perform(dialect, &answer_parts);
        Ok(self.spoiled(score, |score, fault| {
            score.spoil(fault, dialect, |sent| dialect.failure_within(&answer_parts, sent));
        }))
    }

    /// Answers texts with their vectors, all at once when a first token would come.
    fn embed(&self, dialect: &dyn ScriptedDialect, arrival: &Arrival) -> Result<ResponsePlan, Refusal> {
        let mut texts = dialect.read_texts(arrival.address(), &arrival.body)?;
        self.charge(dialect, &texts.model, texts.tokens())?;
        if self.faults.contains(&Fault::Empty) {
            texts.inputs.clear();
        }
        let mut body = Vec::new();
        dialect.write_vectors(&texts, &mut body);
        let headers = self.headers(dialect, dialect.content_type(false), None);
        let score = ResponsePlan::whole(self.pace().0, 200, headers, body.into(), self.outcome());
        let failure = dialect.error(ProviderError::Server, &texts.model).body;
        Ok(self.spoiled(score, |score, fault| score.spoil(fault, dialect, |_| failure.clone())))
    }

    fn spoiled(&self, mut score: ResponsePlan, spoil: impl Fn(&mut ResponsePlan, &Fault)) -> ResponsePlan {
        for fault in &self.faults {
            spoil(&mut score, fault);
        }
        score
    }

    /// Admits a request to a known model, as far as the limits allow.
    fn charge(&self, dialect: &dyn ScriptedDialect, model: &str, tokens: u64) -> Result<(), Refusal> {
        let models = &self.script().models;
        if !models.is_empty() && !models.iter().any(|known| known == model) && !dialect.serves_any_model() {
            return Err(dialect.error(ProviderError::ModelGone, model));
        }
        let mut state = self.provider.state();
        let State { requests, tokens: token_gauge, .. } = &mut *state;
        let wait = requests.charge(1, self.age).err().or_else(|| token_gauge.charge(tokens, self.age).err());
        drop(state);
        wait.map_or(Ok(()), |wait| {
            let limit = self.script().requests_per_minute;
            Err(dialect.rate_limit(RetryHint::Seconds(whole_seconds(wait)), limit, model))
        })
    }

    fn answer(&self, question: &Question) -> Answer {
        let mut answer = if self.faults.contains(&Fault::Empty) {
            Answer::default()
        } else {
            let queued = self.provider.state().queue.pop_front();
            queued.unwrap_or_else(|| self.script().answers.answer(question))
        };
        for fault in &self.faults {
            if let Fault::Finish(reason) = fault {
                answer.finish = Some(reason.clone());
            }
        }
        answer
    }

    fn utter<'a>(
        &'a self,
        dialect: &dyn ScriptedDialect,
        question: &'a Question,
        answer: &'a Answer,
        headers: &'a HeaderMap,
    ) -> AnswerParts<'a> {
        let mut pieces = answer.pieces();
        let max = question.output_tokens_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let is_cut = pieces.len() > max;
        pieces.truncate(max);
        let natural = match (is_cut, answer.tool_calls.is_empty()) {
            (true, _) => Finish::Length,
            (false, true) => Finish::Stop,
            (false, false) => Finish::ToolCalls,
        };
        let reasoning = pieces.iter().filter(|piece| piece.is_reasoning()).count() as u64;
        let counted = Usage { input: question.tokens, output: pieces.len() as u64, reasoning, ..Usage::default() };
        if !dialect.shows_reasoning(question) {
            pieces.retain(|piece| !piece.is_reasoning());
        }
        AnswerParts {
            id: &self.draws.id,
            created: BIRTH + self.draws.serial,
            model: &question.model,
            question,
            headers,
            finish: answer.finish.as_deref().map_or(natural, Finish::Scripted),
            usage: answer.usage.unwrap_or(counted),
            pieces,
        }
    }

    /// Returns the times to the first token and to each later one.
    fn pace(&self) -> (Duration, Duration) {
        let (mut first, mut per_token) = (self.draws.first_token, self.script().per_token);
        for fault in &self.faults {
            match fault {
                Fault::SlowFirst { factor, plus } => first = scaled(first, *factor).saturating_add(*plus),
                Fault::SlowTokens(factor) => per_token = scaled(per_token, *factor),
                _ => {}
            }
        }
        (first, per_token)
    }

    /// Returns the request's outcome.
    fn outcome(&self) -> Outcome {
        let spoiling = self.faults.iter().find(|fault| fault.spoils());
        spoiling.map_or(Outcome::Answered, |fault| Outcome::Fault(fault.name()))
    }

    /// Writes an answer down, with its times.
    fn perform(&self, dialect: &dyn ScriptedDialect, answer_parts: &AnswerParts<'_>) -> ResponsePlan {
        let stream = answer_parts.question.stream;
        let (first, per_token) = self.pace();
        let headers = self.headers(dialect, dialect.content_type(stream), None);
        let tokens = u32::try_from(answer_parts.pieces.len()).unwrap_or(u32::MAX);
        let outcome = self.outcome();
        if stream {
            let mut recorder = BodyRecorder::default();
            dialect.write_stream(answer_parts, &mut recorder);
            let wait = self.script().head.min(first);
            let pieces = recorder.pieces(first.saturating_sub(wait), per_token);
            let head = Some(Head { status: 200, headers, length: None });
            return ResponsePlan { wait, head, pieces, end: End::Whole, outcome };
        }
        let mut body = Vec::new();
        dialect.write_whole(answer_parts, &mut body);
        let wait = first.saturating_add(per_token.saturating_mul(tokens.saturating_sub(1)));
        let mut score = ResponsePlan::whole(wait, 200, headers, body.into(), outcome);
        score.pieces[0].tokens = tokens;
        score
    }

    fn refuse(&self, dialect: &dyn ScriptedDialect, refusal: Refusal, outcome: Option<Outcome>) -> ResponsePlan {
        let refusal = dialect.stamp(refusal, &self.draws.id);
        let kind = if refusal.is_page { "text/html" } else { dialect.content_type(false) };
        let outcome = outcome.unwrap_or(Outcome::Rejected(refusal.status));
        let headers = self.headers(dialect, kind, Some(refusal.headers));
        ResponsePlan::whole(self.script().head, refusal.status, headers, refusal.body, outcome)
    }

    /// Returns a response's headers; a refusal's own go over what is usual.
    fn headers(
        &self,
        dialect: &dyn ScriptedDialect,
        content_type: &'static str,
        refusal: Option<Headers>,
    ) -> HeaderMap {
        let mut state = self.provider.state();
        let (requests, tokens) = (state.requests.allowance(self.age), state.tokens.allowance(self.age));
        drop(state);
        let (id, processing, is_refused) = (&self.draws.id, self.draws.first_token, refusal.is_some());
        let account = AnswerHead { id, processing, requests, tokens, is_refused };
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in dialect.headers(&account).into_iter().chain(refusal.into_iter().flatten()) {
            let value = HeaderValue::try_from(value).expect("a dialect's own headers are ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
        headers
    }

    fn script(&self) -> &Script {
        &self.provider.0.script
    }
}

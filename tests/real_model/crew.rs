//! Agents at work, and their results.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use standin::{ChatRequest, Error, Failure, Finished, ReplyEvent, ReplyStream, Runtime, TargetId};
use tokio::task::JoinSet;

use crate::world::ask;

/// A stream's reader, and what it read.
pub struct Listener {
    stream: ReplyStream,
    /// The target that answers now.
    pub target: Option<TargetId>,
    /// Content since the last reset.
    pub text: String,
    /// Pieces of it.
    pub pieces: usize,
    /// Why answers broke off.
    pub resets: Vec<Failure>,
}

impl Listener {
    pub async fn start(runtime: &Runtime, request: ChatRequest) -> Result<Self, Error> {
        let stream = runtime.stream(request).await?;
        Ok(Self { stream, target: None, text: String::new(), pieces: 0, resets: Vec::new() })
    }

    /// Reads until this many pieces came of one answer; returns its end if that comes first.
    pub async fn read(&mut self, pieces: usize) -> Result<Option<Finished>, Error> {
        while self.pieces < pieces {
            match self.stream.next().await.expect("a stream ends with its end or an error")? {
                ReplyEvent::Started { target, .. } => self.target = Some(target),
                ReplyEvent::Text(text) => {
                    self.text.push_str(&text);
                    self.pieces += 1;
                }
                ReplyEvent::Reset(failure) => {
                    self.resets.push(failure);
                    self.text.clear();
                    self.pieces = 0;
                }
                ReplyEvent::Finished(finished) => return Ok(Some(*finished)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads to the end.
    pub async fn rest(&mut self) -> Result<Finished, Error> {
        Ok(self.read(usize::MAX).await?.expect("only the end ends it"))
    }
}

/// The agents' results.
#[derive(Default)]
pub struct Tally {
    pub calls: u32,
    /// Answers that broke off in the agent's hands and were replaced.
    pub resets: u32,
    /// Calls that needed another attempt, of which their agent saw nothing.
    pub invisible: u32,
    pub slowest: Duration,
    pub answers: BTreeMap<String, u32>,
    pub failures: Vec<String>,
}

impl Tally {
    fn count(&mut self, answer: Result<(String, Finished, usize), Error>, asked: &str, took: Duration) {
        self.calls += 1;
        self.slowest = self.slowest.max(took);
        let (text, finished, resets) = match answer {
            Ok(answer) => answer,
            Err(error) => return self.failures.push(error.to_string()),
        };
        *self.answers.entry(finished.target.provider.to_string()).or_default() += 1;
        self.resets += u32::from(resets > 0);
        self.invisible += u32::from(resets == 0 && finished.attempts.len() > 1);
        // A drill repeats the question; the real model's answer is not known before.
        let fits = if finished.target.provider.starts_with("drill") { text == asked } else { !text.is_empty() };
        let counted = finished.usage.input > 0 && finished.usage.output > 0;
        if !(fits && counted) {
            self.failures.push(format!("{asked:?} was answered {text:?} by {finished:?}"));
        }
    }

    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.resets += other.resets;
        self.invisible += other.invisible;
        self.slowest = self.slowest.max(other.slowest);
        for (provider, answers) in other.answers {
            *self.answers.entry(provider).or_default() += answers;
        }
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, resets, invisible, slowest, answers, failures } = self;
        let answers: Vec<String> = answers.iter().map(|(provider, answers)| format!("{provider} {answers}")).collect();
        let (slowest, failures, answers) = (slowest.as_secs_f64(), failures.len(), answers.join(", "));
        write!(f, "{calls} calls ({answers}), {resets} reset, {invisible} moved unseen, slowest {slowest:.1} s, ")?;
        write!(f, "{failures} failed")
    }
}

/// Agents that ask, read and ask again, by turns streamed and whole.
pub struct Crew {
    agents: JoinSet<Tally>,
    rest: Arc<AtomicBool>,
}

impl Crew {
    pub fn start(runtime: &Runtime, count: usize) -> Self {
        let rest = Arc::new(AtomicBool::new(false));
        let mut agents = JoinSet::new();
        for agent in 0..count {
            agents.spawn(work(runtime.clone(), agent, rest.clone()));
        }
        Self { agents, rest }
    }

    /// Lets every agent finish its work.
    pub async fn stop(self) -> Tally {
        self.rest.store(true, Relaxed);
        let mut tally = Tally::default();
        self.agents.join_all().await.into_iter().for_each(|one| tally.add(one));
        tally
    }
}

async fn work(runtime: Runtime, agent: usize, rest: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    for turn in 0.. {
        if rest.load(Relaxed) {
            break;
        }
        let text = format!("I am agent {agent} and this is turn {turn}: tell me a fact about bridges");
        let request = ask("smart", &text).system("You answer in one short sentence.");
        let since = Instant::now();
        let answer = if (agent + turn).is_multiple_of(2) {
            streamed(&runtime, request).await
        } else {
            whole(&runtime, request).await
        };
        tally.count(answer, &text, since.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tally
}

async fn streamed(runtime: &Runtime, request: ChatRequest) -> Result<(String, Finished, usize), Error> {
    let mut listener = Listener::start(runtime, request).await?;
    let finished = listener.rest().await?;
    Ok((listener.text, finished, listener.resets.len()))
}

async fn whole(runtime: &Runtime, request: ChatRequest) -> Result<(String, Finished, usize), Error> {
    let reply = runtime.chat(request).await?;
    Ok((reply.text, reply.finished, 0))
}

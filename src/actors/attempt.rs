//! One try of a call at one target: encode, send, decode. All work that may crash or hang is here.
//!
//! A task of its own: one async function, then it stops. Pieces of the answer go into its own bounded channel, whose
//! receiver may be the caller's. Its call cancels it by a word through `unwanted`, or by dying. It keeps its own
//! timers and ends in one way, by its account's [`settle`](super::account::AttemptAccount::settle).

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::clock::{now, wall};
use super::job::AttemptJob;
use super::prompt::FittedPrompt;
use super::task::{TaskKind, Tasks};
use super::to_provider::ProviderMessage;
use super::watchdog::Watchdog;
use super::work::{AttemptAnswer, Work};
use crate::transport::{HttpRequest, HttpResponse, TransportError};
use crate::wire::{self, Names, Sent};
use crate::words::{Failure, FailureClass, Note, Scope, Secret, Text};

/// How many times a request is sent again without a part that was refused: thoughts, and betas.
const LEFT_OUT_MAX: usize = 2;
/// How soon a stale connection breaks once something is sent on it.
const UNSENT_MAX: Duration = Duration::from_secs(1);
/// The most of an error's body that is read.
const ERROR_BODY_MAX: usize = 64 * 1024;
/// How long an error's body is waited for: its head already gives the kind of error.
const ERROR_BODY_WAIT: Duration = Duration::from_millis(500);
/// How long a body may go on after its terminal marker before its connection is given up.
const REST_MAX: Duration = Duration::from_millis(100);

/// Starts a try under its provider's supervisor; if that has ended, the try is dropped. `wanted` resolves when the call
/// no longer waits for the answer: with the class of the attempt's end, or without one if the call itself is gone.
pub(super) fn start(job: Box<AttemptJob>, wanted: oneshot::Receiver<FailureClass>, tasks: &Tasks) {
    let span = job.span.clone();
    tasks.run(TaskKind::Attempt, Box::pin(run(job, wanted).instrument(span)));
}

async fn run(mut job: Box<AttemptJob>, wanted: oneshot::Receiver<FailureClass>) {
    let result = tokio::select! {
        biased;
        class = wanted => Err(class.ok()),
        result = job.answer() => Ok(result),
    };
    let result = result.unwrap_or_else(|class| {
        Err(Failure::unwanted(class.unwrap_or_else(|| job.account.stopped_or(FailureClass::CallEnded))))
    });
    // The channel closes before the end is reported, so that a reader that drained it has everything.
    let AttemptJob { pieces, mut account, rest, .. } = *job;
    drop(pieces);
    account.settle(result);
    drop(account);
    if let Some(mut rest) = rest {
        // A connection can be used again only once its body was read to the end.
        let read = async { while let Some(Ok(_)) = rest.next().await {} };
        let _ = tokio::time::timeout(REST_MAX, read).await;
    }
}

impl AttemptJob {
    async fn answer(&mut self) -> Result<AttemptAnswer, Failure> {
        let mut work = self.trim().unwrap_or_else(|| self.work.clone());
        let (noted, mut left_out) = (self.account.notes.len(), Vec::new());
        loop {
            let failure = match self.ask(work.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // Nothing was handed on, so no caller sees that a part was refused.
            let is_final = self.account.first_token.is_some() || left_out.len() == LEFT_OUT_MAX;
            if is_final || !wire::may_be_left_out(&failure) {
                return Err(failure);
            }
            let target = self.account.planned.target.clone();
            let less = move || work.without_refused(&target.provider.spec, &failure).ok_or(failure);
            let (less, note) = self.account.shared.blocking_pool.run(self.work.is_long(), less).await?;
            tracing::info!(?note, "a part was refused, sent again without it");
            left_out.push(note);
            work = less;
            self.account.notes.truncate(noted);
            self.account.notes.extend_from_slice(&left_out);
        }
    }

    /// Asks with this request, and with another key if the key's source has one by then.
    async fn ask(&mut self, work: Work) -> Result<AttemptAnswer, Failure> {
        let provider = self.account.planned.target.provider.clone();
        let spec = &provider.spec;
        let (target, meant) = (self.account.planned.target.clone(), self.meant);
        let encode = move || work.encode(&target.provider.spec, target.spec(), meant);
        let encoded = self.account.shared.blocking_pool.run(self.work.is_long(), encode).await?;
        for note in encoded.notes {
            if !self.account.notes.contains(&note) {
                self.account.notes.push(note);
            }
        }
        let (path, names, stops) = (encoded.path, encoded.names, encoded.stops);
        let mut headers = encoded.headers;
        headers.extend(spec.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        wire::mark(&mut headers, self.work.via());
        let request = HttpRequest { url: spec.url(&path), headers, body: encoded.body, words: encoded.words };
        let key = &provider.keys[self.account.permit.ticket().key];
        let secret = key.current(&provider.slot).await?;
        let spare = key.spec.may_change().then(|| request.clone());
        let sent = now();
        let failure = match self.exchange(request, secret.as_ref(), (&path, &names, &stops)).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        // Nothing was handed on, so no caller sees that the key had changed.
        let is_keys = failure.scope == Scope::Key && failure.class != FailureClass::RateLimited;
        let refused = is_keys && self.account.first_token.is_none();
        if let (true, Some(request), Some(secret)) = (refused, spare, secret)
            && let Some(secret) = key.other_secret(&secret, sent, &provider.slot).await
        {
            tracing::info!(key = %key.spec.name, "key refused, sent again with what its source gives now");
            return self.exchange(request, Some(&secret), (&path, &names, &stops)).await;
        }
        Err(failure)
    }

    /// Sends a request, once, and reads what comes back.
    async fn exchange(
        &mut self,
        mut request: HttpRequest,
        secret: Option<&Secret>,
        (path, names, stops): (&str, &Names, &[Text]),
    ) -> Result<AttemptAnswer, Failure> {
        let provider = self.account.planned.target.provider.clone();
        if let Some(secret) = secret {
            wire::authorize(provider.spec.dialect, provider.spec.flavour, secret, &mut request.headers)?;
            self.account.secrets[1] = self.account.secrets[0].replace(secret.clone());
        }
        let transport = provider
            .slot
            .transport()
            .ok_or_else(|| Failure::new(FailureClass::Connect, "the provider's actor never started"))?;
        let mut watchdog = self.account.begin(self.first_token_max);
        self.account.sent += request.body.len() as u64;
        let sent = now();
        let response = watchdog.guard(transport.send(request), &mut self.account.permit).await?;
        let response = response.map_err(|error| self.no_response(error, now().saturating_duration_since(sent)))?;
        if self.account.shared.delivered(now()) {
            self.account.tell_all(|| ProviderMessage::Delivered);
        }
        let limits = wire::limits(&response.headers, wall());
        if !limits.is_empty() {
            self.account.permit.limits(limits);
        }
        let date = wire::headers::date(&response.headers);
        self.account.head = Some((now(), date.unwrap_or_else(wall)));
        if !(200..300).contains(&response.status) {
            return Err(provider.spec.placed(path, self.refusal(response, &mut watchdog).await?));
        }
        match self.work.clone() {
            Work::Chat(request) => {
                self.decode(&request, (names, stops), response, &mut watchdog).await.map(AttemptAnswer::Answer)
            }
            Work::Embed(request) => self.vectors(&request, response, &mut watchdog).await.map(AttemptAnswer::Vectors),
        }
    }

    /// Returns the request without the parts that do not fit this target's window, if there are any, and notes them.
    fn trim(&mut self) -> Option<Work> {
        let Work::Chat(request) = &self.work else { return None };
        let FittedPrompt { cut, left_out: tokens, .. } = self.account.planned.prompt;
        let trimmed = cut?.apply(request);
        let left_out = request.messages.len() - trimmed.messages.len();
        let messages = u32::try_from(left_out).unwrap_or(u32::MAX);
        tracing::Span::current().record("trimmed", messages);
        self.account.notes.push(Note::Trimmed { messages, tokens });
        Some(trimmed.into())
    }

    /// Reads and classifies an answer that is not 2xx.
    async fn refusal(&mut self, response: HttpResponse, watchdog: &mut Watchdog) -> Result<Failure, Failure> {
        let mut body = response.body;
        let (mut bytes, mut received) = (Vec::new(), 0);
        let read = async {
            while let Some(Ok(chunk)) = body.next().await {
                received += chunk.len() as u64;
                bytes.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_MAX - bytes.len())]);
                if bytes.len() == ERROR_BODY_MAX {
                    break;
                }
            }
        };
        // The head decides; the part of the body that has come adds details.
        let _ = watchdog.guard(tokio::time::timeout(ERROR_BODY_WAIT, read), &mut self.account.permit).await?;
        self.account.received += received;
        let (model, prompt_tokens) = (&*self.account.planned.target.id().model, self.account.planned.prompt.tokens);
        let home = self.account.planned.target.provider.spec.flavour.home;
        let sent = Sent { model, prompt_tokens, now: self.account.head.map(|(_, date)| date), home };
        Ok(wire::classify(response.status, &response.headers, &bytes, sent))
    }

    /// Returns the failure when no response came. A connection that breaks at once was stale; one that breaks later had
    /// received the request.
    fn no_response(&self, error: TransportError, lasted: Duration) -> Failure {
        let message = error.to_string();
        let class = match error {
            TransportError::Unsent(_) if lasted > UNSENT_MAX => FailureClass::Cut,
            TransportError::Unsent(_) if !self.resend => FailureClass::Unsent,
            TransportError::Unsent(_) | TransportError::Connect(_) => FailureClass::Connect,
            TransportError::LocalShortage(_) => FailureClass::LocalShortage,
            TransportError::Cut(_) => FailureClass::Cut,
        };
        if class == FailureClass::LocalShortage {
            self.account.shared.note_shortage(&message, now());
        }
        if class == FailureClass::Connect
            && let Some(since) =
                self.account.shared.unreachable(&self.account.planned.target.provider.spec.host, &message, now())
        {
            self.account.tell_all(|| ProviderMessage::LocalFault(since));
        }
        Failure::new(class, message)
    }
}

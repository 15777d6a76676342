//! One try of a call at one target: encode, send, decode. What may crash or hang lives here.
//!
//! An actor for isolation and lifetime only: it runs one async function and stops. Pieces of the answer go into its
//! own bounded channel, whose receiver may be the caller's. Its call cancels it by dropping its end of `unwanted`, or
//! by dying. It keeps its own timers and ends in one way: [`Account::settle`], which tells the provider, the ledger
//! and the call, in this order, also when it crashes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::prompt::Fitted;
use super::provider::ProviderMessage;
use super::redact;
use super::running::Pulse;
use super::shared::{CrashHook, Shared, now};
use super::slot::Permit;
use super::table::Target;
use super::watchdog::Watchdog;
use super::work::{Brought, Work};
use crate::policy::admission::{Outcome, Report, Unwanted};
use crate::transport::{Body, HttpRequest, HttpResponse, TransportError};
use crate::wire::{self, Decoder, EMBED_BYTES_MAX, Embedded, Ending, Names, Sent, Unfence};
use crate::words::{
    AssistantPart, AttemptEnd, AttemptRecord, CallId, ChatRequest, Drift, EmbedRequest, Event, Failure, FailureClass,
    Note, Piece, ResponseFormat, RetryAfter, Scope, Secret, StopReason, ToolChoice, Usage,
};

/// Pieces an answer may be ahead of its reader.
pub(super) const PIECES_MAX: usize = 64;
/// The most chunks that go on together, because they came at once.
const CHUNKS_AT_ONCE: usize = 32;
/// How soon a stale connection breaks once something is sent on it.
const UNSENT_MAX: Duration = Duration::from_secs(1);
/// The most of an error's body that is read.
const ERROR_BODY_MAX: usize = 64 * 1024;
/// How long an error's body is waited for: its head says what it is.
const ERROR_BODY_WAIT: Duration = Duration::from_millis(500);
/// How long a body may pause once its answer's end was told, if not by a terminal marker: usage follows at once.
const TAIL_MAX: Duration = Duration::from_secs(1);
/// How long a body may go on after its terminal marker before its connection is given up.
const REST_MAX: Duration = Duration::from_millis(100);
/// A reader that blocked the attempt for this long makes its time per token meaningless.
const BLOCKED_NO_TPOT: Duration = Duration::from_millis(100);
/// A reader that blocked for this long may itself be why the provider cut the stream.
const BLOCKED_NO_FAULT: Duration = Duration::from_secs(5);
/// So much of an answer may be kept whatever is kept of others: only the long ones give way.
const KEPT_FAIR: usize = 256 * 1024;
/// Answers shorter than this say nothing about time per token.
const TPOT_TOKENS_MIN: u64 = 16;

/// One try, before it begins.
pub(super) struct Job {
    pub(super) work: Work,
    /// Whether this repeats a try whose connection broke before any response.
    pub(super) resend: bool,
    /// The most time until the first token; without it the call's.
    pub(super) first_token_max: Option<Duration>,
    /// Whether nothing of the answer may be handed on before it is whole.
    pub(super) buffered: bool,
    /// Whether its route has no other model: who asks for the route means this one.
    pub(super) meant: bool,
    /// Whether the proofs of an answer that goes on as it came must say whose they are.
    pub(super) signed: bool,
    /// Whether such an answer may be one that a filter held back whole.
    pub(super) filtered: bool,
    pub(super) pieces: mpsc::Sender<Piece>,
    pub(super) account: Account,
    /// What follows the answer's terminal marker.
    pub(super) rest: Option<Body>,
    /// What takes JSON out of what stands around it, where JSON was asked for.
    pub(super) unfence: Option<Unfence>,
    pub(super) span: tracing::Span,
}

/// How a try ended, for its call.
pub(super) struct Ended {
    pub(super) record: AttemptRecord,
    /// When the target may be asked again, where it said so.
    pub(super) back: Option<Instant>,
    /// What it brought, if it is whole.
    pub(super) brought: Option<Brought>,
    /// What of the conversation the target could not take as it was.
    pub(super) notes: Vec<Note>,
}

/// What the try came to so far. Dropped unsettled, it says that the try crashed or never began.
pub(super) struct Account {
    pub(super) permit: Permit,
    pub(super) target: Arc<Target>,
    pub(super) call: CallId,
    pub(super) number: u32,
    pub(super) call_started: Instant,
    pub(super) shared: Arc<Shared>,
    pub(super) end: Option<oneshot::Sender<Ended>>,
    /// How the request goes to this target.
    pub(super) prompt: Fitted,
    pub(super) begun: Option<Instant>,
    /// When the last response's head came, and what time it was then at the provider.
    pub(super) head: Option<(Instant, SystemTime)>,
    pub(super) first_token: Option<Instant>,
    pub(super) content_bytes: usize,
    /// Bytes of the answer that are kept in memory.
    pub(super) kept: usize,
    pub(super) blocked: Duration,
    pub(super) notes: Vec<Note>,
    /// The secret that was sent, and the one before it, if that was refused.
    pub(super) secrets: [Option<Secret>; 2],
    /// What of the answer is not known here.
    pub(super) drift: Vec<Drift>,
    /// Notes when it has content.
    pub(super) pulse: Arc<Pulse>,
    /// Why nobody waits for the answer any more.
    pub(super) unwanted: Option<Unwanted>,
}

pub(super) struct Attempt;

pub(super) struct Arguments {
    pub(super) job: Job,
    /// Resolves when the call no longer waits for the answer: with the reason, or without one if the call is gone
    /// because its caller is.
    pub(super) unwanted: oneshot::Receiver<Unwanted>,
}

/// An attempt takes no messages.
pub(crate) enum Never {}

#[cfg(feature = "cluster")]
impl ractor::Message for Never {}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Attempt {
    type Msg = Never;
    type State = Option<Arguments>;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Never>, arguments: Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(arguments))
    }

    async fn post_start(&self, myself: ActorRef<Never>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(Arguments { job, unwanted }) = state.take() {
            let span = job.span.clone();
            run(job, unwanted).instrument(span).await;
        }
        myself.stop(None);
        Ok(())
    }
}

async fn run(mut job: Job, unwanted: oneshot::Receiver<Unwanted>) {
    let result = tokio::select! {
        biased;
        why = unwanted => Err(why.unwrap_or(Unwanted::Left)),
        result = job.answer() => Ok(result),
    };
    let result = result.unwrap_or_else(|why| {
        job.account.unwanted = Some(why);
        Err(cancelled(match why {
            Unwanted::Left => "the caller left",
            Unwanted::Ended => "the call ended",
            Unwanted::Lost => "another attempt was faster",
        }))
    });
    // The channel closes before the end is told, so that whoever drained it has everything.
    let Job { pieces, mut account, rest, .. } = job;
    drop(pieces);
    account.settle(result);
    drop(account);
    if let Some(mut rest) = rest {
        // A connection can be used again only once its body was read to the end.
        let read = async { while let Some(Ok(_)) = rest.next().await {} };
        let _ = tokio::time::timeout(REST_MAX, read).await;
    }
}

/// Returns the end of a try that nobody waits for any more.
fn cancelled(why: &str) -> Failure {
    Failure::new(FailureClass::Cancelled, why)
}

impl Job {
    async fn answer(&mut self) -> Result<Brought, Failure> {
        let provider = self.account.target.provider.clone();
        let spec = &provider.spec;
        let trimmed = self.trim();
        let encoded = trimmed.as_ref().unwrap_or(&self.work).encode(spec, self.account.target.spec(), self.meant)?;
        self.account.notes.extend(encoded.notes);
        let (names, stops) = (encoded.names, encoded.stops);
        let mut headers = encoded.headers;
        headers.extend(spec.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let request = HttpRequest { url: spec.url(&encoded.path), headers, body: encoded.body };
        let key = &provider.keys[self.account.permit.ticket().key];
        let secret = key.current(&provider.slot).await?;
        let spare = key.spec.may_change().then(|| request.clone());
        let sent = now();
        let failure = match self.exchange(request, secret.as_ref(), (&names, &stops)).await {
            Ok(brought) => return Ok(brought),
            Err(failure) => failure,
        };
        // Nothing was handed on, so nobody sees that the key had changed.
        let is_keys = failure.scope == Scope::Key && failure.class != FailureClass::RateLimited;
        let refused = is_keys && self.account.first_token.is_none();
        if let (true, Some(request), Some(secret)) = (refused, spare, secret)
            && let Some(secret) = key.another(&secret, sent, &provider.slot).await
        {
            tracing::info!(key = %key.spec.name, "key refused, sent again with what its source gives now");
            return self.exchange(request, Some(&secret), (&names, &stops)).await;
        }
        Err(failure)
    }

    /// Sends a request, once, and reads what comes back.
    #[expect(clippy::disallowed_methods, reason = "limits may be reset at a date, and dates are wall time")]
    async fn exchange(
        &mut self,
        mut request: HttpRequest,
        secret: Option<&Secret>,
        (names, stops): (&Names, &[String]),
    ) -> Result<Brought, Failure> {
        let provider = self.account.target.provider.clone();
        if let Some(secret) = secret {
            wire::authorize(provider.spec.dialect, provider.spec.quirks, secret, &mut request.headers)?;
            self.account.secrets[1] = self.account.secrets[0].replace(secret.clone());
        }
        let transport = provider
            .slot
            .transport()
            .ok_or_else(|| Failure::new(FailureClass::Connect, "the provider's actor never started"))?;
        let mut watchdog = self.account.begin(self.first_token_max);
        let sent = now();
        let response = watchdog.guard(transport.send(request), &self.account.permit).await?;
        let response = response.map_err(|error| self.no_response(error, now().saturating_duration_since(sent)))?;
        if self.account.shared.delivered(now()) {
            self.account.tell_all(|| ProviderMessage::Delivered);
        }
        let limits = wire::limits(&response.headers, SystemTime::now());
        if !limits.is_empty() {
            self.account.permit.limits(limits);
        }
        let date = wire::headers::date(&response.headers);
        self.account.head = Some((now(), date.unwrap_or_else(SystemTime::now)));
        if !(200..300).contains(&response.status) {
            return Err(self.refusal(response, &mut watchdog).await?);
        }
        match self.work.clone() {
            Work::Chat(request) => {
                self.decode(&request, (names, stops), response, &mut watchdog).await.map(Brought::Answer)
            }
            Work::Embed(request) => self.vectors(&request, response, &mut watchdog).await.map(Brought::Vectors),
        }
    }

    /// Returns the request without what this target's window does not hold, where that is so, and says it.
    fn trim(&mut self) -> Option<Work> {
        let Work::Chat(request) = &self.work else { return None };
        let Fitted { cut, left_out: tokens, .. } = self.account.prompt;
        let trimmed = cut?.apply(request);
        let left_out = request.messages.len() - trimmed.messages.len();
        let messages = u32::try_from(left_out).unwrap_or(u32::MAX);
        tracing::Span::current().record("trimmed", messages);
        self.account.notes.push(Note::Trimmed { messages, tokens });
        Some(trimmed.into())
    }

    /// Decodes an answer as it arrives.
    async fn decode(
        &mut self,
        request: &ChatRequest,
        (names, stops): (&Names, &[String]),
        response: HttpResponse,
        watchdog: &mut Watchdog,
    ) -> Result<Ending, Failure> {
        let spec = &self.account.target.provider.spec;
        let streaming = wire::is_event_stream(&response.headers);
        let verbatim = self.work.verbatim(spec, self.buffered, self.signed, self.filtered);
        let mut decoder = Decoder::new(spec.dialect, streaming)
            .within(self.account.shared.limits.answer_max)
            .issuer(&spec.name)
            .salted(self.account.salt())
            .limited(request.output_tokens_max)
            .verbatim(verbatim)
            .stopping(stops);
        self.unfence = (request.response_format != ResponseFormat::Text).then(Unfence::default);
        let read = self.read(&mut decoder, names, response.body, watchdog).await;
        self.account.drift = decoder.take_drift();
        read?;
        let mut ending = decoder.finish()?;
        ending.call_by_own_names(names);
        if ending.cut {
            self.account.notes.push(Note::Dropped("tool_calls"));
        }
        self.judge_json(&mut ending)?;
        // Some servers ignore what they cannot enforce.
        if matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
            && ending.stop == StopReason::Stop
            && ending.tool_calls().next().is_none()
            && !(ending.beyond && ending.verbatim.is_some())
        {
            return Err(Failure::new(FailureClass::Unusable, "no tool was called, and one was required"));
        }
        if ending.beyond && ending.verbatim.is_none() {
            self.account.notes.push(Note::Dropped("answer"));
        }
        if ending.verbatim.is_some() {
            ending.parts.retain(|part| part.as_tool_call().is_some());
        }
        Ok(ending)
    }

    /// Judges an answer by whether it is JSON, where that was asked for and its limit did not cut it. What stands around the
    /// JSON is left out.
    fn judge_json(&mut self, ending: &mut Ending) -> Result<(), Failure> {
        let Some(unfence) = self.unfence.take() else { return Ok(()) };
        let text = ending.text();
        let value = wire::unfenced(&text).map(str::to_owned);
        let is_json = value.is_some() || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        if ending.stop == StopReason::Stop && !is_json {
            return Err(Failure::new(FailureClass::Unusable, "the answer is not the JSON that was asked for"));
        }
        let mut changed = unfence.changed();
        if let (Some(value), Some(whole)) = (&value, &mut ending.verbatim)
            && let Some(body) = wire::unfenced_body(whole, &text, value)
        {
            (*whole, changed) = (body.into(), true);
        }
        if changed {
            self.account.notes.push(Note::Converted("response_format"));
        }
        if let Some(value) = value.filter(|_| ending.verbatim.is_none()) {
            let first = ending.parts.iter().position(|part| part.as_text().is_some()).unwrap_or_default();
            ending.parts.retain(|part| part.as_text().is_none());
            ending.parts.insert(first, AssistantPart::Text(value));
        }
        Ok(())
    }

    /// Reads vectors, whose answer is one whole: what of it came is content, so that a pause in it is a stall.
    async fn vectors(
        &mut self,
        request: &EmbedRequest,
        response: HttpResponse,
        watchdog: &mut Watchdog,
    ) -> Result<Embedded, Failure> {
        let (mut body, mut whole) = (response.body, Vec::new());
        while let Some(chunk) = watchdog.guard(body.next(), &self.account.permit).await? {
            let chunk = chunk.map_err(|error| Failure::new(FailureClass::Cut, error.to_string()))?;
            // Waiting providers send blank lines.
            if whole.is_empty() && chunk.trim_ascii().is_empty() {
                continue;
            }
            if whole.len() + chunk.len() > EMBED_BYTES_MAX {
                let problem = format!("the body is longer than {EMBED_BYTES_MAX} bytes");
                return Err(Failure::new(FailureClass::Cut, problem));
            }
            self.account.content(watchdog, now());
            self.account.keep(whole.len() + chunk.len())?;
            whole.extend_from_slice(&chunk);
        }
        wire::decode_embed(&whole, request)
    }

    /// Reads an answer's body to its end, and hands on what it says.
    async fn read(
        &mut self,
        decoder: &mut Decoder,
        names: &Names,
        mut body: Body,
        watchdog: &mut Watchdog,
    ) -> Result<(), Failure> {
        let (mut pieces, mut said, mut here, mut chunks) = (Vec::new(), Vec::new(), None, 0);
        loop {
            let chunk = match here.take() {
                Some(chunk) => chunk,
                None => self.next(decoder.has_ended(), &mut body, watchdog).await?,
            };
            let crash = CrashHook::take(&self.account.shared.crash.attempts);
            assert!(!crash, "panic in a codec asked for by the crash hook");
            let progress = match &chunk {
                Some(Ok(chunk)) => decoder.push(chunk, &mut said),
                Some(Err(error)) => match decoder.end(&mut said) {
                    Ok(progress) if decoder.has_ended() => Ok(progress),
                    _ => Err(Failure::new(FailureClass::Cut, error.to_string())),
                },
                None => decoder.end(&mut said),
            };
            self.account.keep(decoder.kept())?;
            self.account.content_bytes = decoder.content_bytes();
            match &progress {
                Ok(progress) => {
                    if progress.content {
                        self.account.content(watchdog, now());
                        watchdog.works(decoder.is_at_work());
                    }
                    pieces.append(&mut said);
                    chunks += 1;
                    if chunk.is_some() && !progress.done && !pieces.is_empty() && chunks < CHUNKS_AT_ONCE {
                        here = soon(&mut body).await;
                        if here.is_some() {
                            continue;
                        }
                    }
                }
                // Pieces that come in one chunk with a failure are dropped: the call need not commit to a lost answer.
                Err(_) => said.clear(),
            }
            chunks = 0;
            for piece in pieces.drain(..) {
                self.deliver(names.restored(piece), watchdog).await?;
            }
            if progress?.done {
                self.rest = Some(body);
                return self.end(decoder, watchdog).await;
            }
            if !matches!(chunk, Some(Ok(_))) {
                return self.end(decoder, watchdog).await;
            }
        }
    }

    /// Returns the next chunk; none where the body ends, and where its answer had ended before the body breaks or pauses.
    async fn next(
        &mut self,
        ended: bool,
        body: &mut Body,
        watchdog: &mut Watchdog,
    ) -> Result<Option<Result<Bytes, TransportError>>, Failure> {
        let next = watchdog.guard(body.next(), &self.account.permit);
        if !ended {
            return next.await;
        }
        Ok(tokio::time::timeout(TAIL_MAX, next).await.unwrap_or(Ok(None))?.filter(Result::is_ok))
    }

    /// Hands on what of an answer only its end brings out.
    async fn end(&mut self, decoder: &mut Decoder, watchdog: &mut Watchdog) -> Result<(), Failure> {
        let mut pieces = Vec::new();
        decoder.flush(&mut pieces);
        for piece in pieces {
            self.deliver(piece, watchdog).await?;
        }
        let rest = self.unfence.as_mut().map(Unfence::finish).unwrap_or_default();
        if !rest.is_empty() {
            self.send(Piece::Text(rest), watchdog).await?;
        }
        Ok(())
    }

    /// Hands a piece on, without what stands around JSON where that was asked for.
    async fn deliver(&mut self, piece: Piece, watchdog: &mut Watchdog) -> Result<(), Failure> {
        let piece = match (piece, &mut self.unfence) {
            (Piece::Text(text), Some(unfence)) => match unfence.push(text) {
                text if text.is_empty() => return Ok(()),
                text => Piece::Text(text),
            },
            (piece, _) => piece,
        };
        self.send(piece, watchdog).await
    }

    /// Sends a piece; waits for a slow reader, for which the provider is not to blame.
    async fn send(&mut self, piece: Piece, watchdog: &mut Watchdog) -> Result<(), Failure> {
        let piece = match self.pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(cancelled("nobody reads the answer")),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        let since = now();
        let stall_max = self.account.shared.limits.consumer_stall_max;
        match tokio::time::timeout(stall_max, self.pieces.send(piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(cancelled("nobody reads the answer")),
            Err(_) => return Err(cancelled("the reader took nothing for too long")),
        }
        let now = now();
        self.account.blocked = self.account.blocked.max(now.saturating_duration_since(since));
        watchdog.resume(now);
        Ok(())
    }

    /// Reads and classifies an answer that is not 2xx.
    async fn refusal(&mut self, response: HttpResponse, watchdog: &mut Watchdog) -> Result<Failure, Failure> {
        let mut body = response.body;
        let mut bytes = Vec::new();
        let read = async {
            while let Some(Ok(chunk)) = body.next().await {
                bytes.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_MAX - bytes.len())]);
                if bytes.len() == ERROR_BODY_MAX {
                    break;
                }
            }
        };
        // The head has decided; what came of the body until then says the rest.
        let _ = watchdog.guard(tokio::time::timeout(ERROR_BODY_WAIT, read), &self.account.permit).await?;
        let (model, prompt_tokens) = (&*self.account.target.id().model, self.account.prompt.tokens);
        let sent = Sent { model, prompt_tokens, now: self.account.head.map(|(_, date)| date) };
        Ok(wire::classify(response.status, &response.headers, &bytes, sent))
    }

    /// Returns what it means that no response came. A connection that breaks at once was stale; one that breaks later had
    /// taken the request along.
    fn no_response(&self, error: TransportError, lasted: Duration) -> Failure {
        let message = error.to_string();
        let class = match error {
            TransportError::Unsent(_) if lasted > UNSENT_MAX => FailureClass::Cut,
            TransportError::Unsent(_) if !self.resend => FailureClass::Unsent,
            TransportError::Unsent(_) | TransportError::Connect(_) => FailureClass::Connect,
            TransportError::Lack(_) => FailureClass::Lack,
            TransportError::Cut(_) => FailureClass::Cut,
        };
        if class == FailureClass::Lack {
            self.account.shared.lacks(&message, now());
        }
        if class == FailureClass::Connect
            && let Some(since) = self.account.shared.unreachable(&self.account.target.provider.spec.host, now())
        {
            self.account.tell_all(|| ProviderMessage::LocalFault(since));
        }
        Failure::new(class, message)
    }
}

/// Returns the next chunk of a body, if it is there: with a turn for who reads it from its socket, who hands on one at a
/// time. What came at once goes on at once: whoever waits for it is woken once, and writes once.
async fn soon(body: &mut Body) -> Option<Option<Result<Bytes, TransportError>>> {
    let mut turned = false;
    std::future::poll_fn(|cx| {
        if !std::mem::replace(&mut turned, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match body.poll_next_unpin(cx) {
            Poll::Ready(chunk) => Some(chunk),
            Poll::Pending => None,
        })
    })
    .await
}

impl Account {
    /// Says that something is being sent, and starts the timers.
    fn begin(&mut self, first_token_max: Option<Duration>) -> Watchdog {
        let now = now();
        self.permit.begin(now);
        self.begun.get_or_insert(now);
        Watchdog::new(self.permit.ticket(), first_token_max, self.target.spec().stall(), self.pulse.clone(), now)
    }

    /// Counts content: the first ends the first-token timer, each begins the stall timer anew.
    fn content(&mut self, watchdog: &mut Watchdog, now: Instant) {
        if self.first_token.is_none() {
            self.first_token = Some(now);
            let after = now.saturating_duration_since(self.permit.ticket().started);
            self.permit.report(Report::Content { after });
        }
        watchdog.content(now, &self.permit);
    }

    /// Takes note of how much of the answer is kept in memory; what is kept of all answers has a limit.
    fn keep(&mut self, bytes: usize) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.kept, bytes);
        let Some(more) = bytes.checked_sub(before) else {
            self.shared.kept.fetch_sub(before - bytes, Relaxed);
            return Ok(());
        };
        let all = self.shared.kept.fetch_add(more, Relaxed) + more;
        let bytes_max = self.shared.limits.answers_bytes_max;
        if all <= bytes_max || bytes <= KEPT_FAIR {
            return Ok(());
        }
        let message = format!("more than {bytes_max} bytes would have to be kept of all answers");
        self.shared.lacks(&message, now());
        Err(Failure::new(FailureClass::Lack, message))
    }

    fn tell_all(&self, message: impl Fn() -> ProviderMessage) {
        for provider in &self.shared.table().providers {
            provider.slot.provider.send(message());
        }
    }

    /// Returns when the target may be asked again, where a failure says so.
    fn back(&self, failure: &Failure) -> Option<Instant> {
        let (head, date) = self.head?;
        match failure.retry_after? {
            RetryAfter::After(wait) => head.checked_add(wait),
            RetryAfter::At(at) => head.checked_add(at.duration_since(date).unwrap_or_default()),
        }
    }

    /// Returns a number that tells this try's answer from every other, those of other processes included.
    fn salt(&self) -> u64 {
        let since = self.head.and_then(|(_, date)| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let nanos = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        nanos ^ self.call.0.rotate_left(32) ^ u64::from(self.number)
    }

    /// Ends the try: tells the provider, the ledger, and the call.
    fn settle(&mut self, result: Result<Brought, Failure>) {
        let Some(tell) = self.end.take() else { return };
        let now = now();
        let (end, back, brought) = match result {
            Ok(brought) => (AttemptEnd::Won, None, Some(brought)),
            Err(failure) => {
                let back = self.back(&failure);
                let failure = redact::failure(&self.shared.table(), &self.secrets, self.reach(failure));
                (AttemptEnd::Failed(failure), back, None)
            }
        };
        self.tell_drift(&end);
        let (usage, estimated) = self.usage(brought.as_ref());
        if !estimated {
            self.target.provider.slot.learn(self.target.index, &self.prompt.size, usage.input);
        }
        let began = self.begun.unwrap_or(now);
        let record = AttemptRecord {
            call: self.call,
            attempt: self.number,
            target: self.target.id().clone(),
            key: self.target.provider.spec.keys[self.permit.ticket().key].name.clone(),
            started_after: began.saturating_duration_since(self.call_started),
            first_token: self.first_token.map(|at| at.saturating_duration_since(began)),
            took: now.saturating_duration_since(began),
            usage,
            estimated,
            cost_usd: self.target.spec().price.map(|price| price.cost_usd(&usage)),
            end,
        };
        self.permit.settle(self.outcome(&record, back, now));
        if let AttemptEnd::Failed(failure) = &record.end
            && wire::classify::is_retirement(failure)
        {
            self.shared.retiring(self.target.spec(), None);
        }
        // Not the provider's own words: they may repeat the prompt.
        tracing::debug!(end = record.end.name(), took = ?record.took, "attempt ended");
        self.shared.ledger().enter(record.clone());
        let notes = std::mem::take(&mut self.notes);
        // The call waits no longer than the provider is held.
        let honoured = now + self.target.provider.spec.admission.breaker.retry_after_max;
        let back = back.map(|back| back.min(honoured));
        let _ = tell.send(Ended { record, back, brought, notes });
    }

    /// Counts what of the answer is not known here, and says what never came before.
    fn tell_drift(&mut self, end: &AttemptEnd) {
        if let AttemptEnd::Failed(failure) = end {
            self.drift.extend(wire::unknown_code(failure));
        }
        let provider = &self.target.provider;
        redact::names(&self.shared.table(), &self.secrets, &mut self.drift);
        for Drift { kind, name } in self.drift.drain(..).filter_map(|drift| provider.slot.drifted(drift)) {
            let (provider, what) = (provider.spec.name.clone(), kind);
            tracing::warn!(%provider, what = what.name(), %name, "the provider sent what is not known here");
            self.shared.tell(Event::Drift { provider, what, name });
        }
    }

    /// Says how far a failure reaches among this provider's keys. Who may not see a model is told that there is none: unless
    /// it was retired, it may be there for another key.
    fn reach(&self, mut failure: Failure) -> Failure {
        let hidden = failure.class == FailureClass::ModelGone && !wire::classify::is_retirement(&failure);
        if hidden && self.target.provider.spec.keys.len() > 1 {
            failure.scope = Scope::Key;
        }
        failure
    }

    /// Returns what the try means for its target's health.
    fn outcome(&self, record: &AttemptRecord, back: Option<Instant>, now: Instant) -> Outcome {
        let AttemptEnd::Failed(failure) = &record.end else {
            return Outcome::Success { tpot: self.tpot(&record.usage, now) };
        };
        match failure.class {
            FailureClass::Cancelled | FailureClass::Crashed if self.begun.is_none() => Outcome::Unused,
            FailureClass::Cancelled => Outcome::Cancelled(self.unwanted.unwrap_or(Unwanted::Left)),
            FailureClass::Crashed | FailureClass::Lack => Outcome::Crashed,
            FailureClass::Cut if self.blocked >= BLOCKED_NO_FAULT => Outcome::Cancelled(Unwanted::Ended),
            class => Outcome::Failure { class, scope: failure.scope, retry_after: back },
        }
    }

    fn tpot(&self, usage: &Usage, now: Instant) -> Option<Duration> {
        let first = self.first_token?;
        let streamed = usage.output >= TPOT_TOKENS_MIN && self.blocked < BLOCKED_NO_TPOT;
        let tokens = u32::try_from(usage.output.saturating_sub(1)).ok()?;
        (streamed && !self.permit.ticket().whole).then(|| now.saturating_duration_since(first) / tokens)
    }

    /// Returns the tokens as the provider counted them; else an estimate, for the answer at four bytes a token. A try
    /// that failed before any content is taken to have cost nothing.
    fn usage(&self, brought: Option<&Brought>) -> (Usage, bool) {
        if let Some(usage) = brought.and_then(Brought::usage) {
            return (usage, false);
        }
        if brought.is_none() && self.first_token.is_none() {
            return (Usage::default(), true);
        }
        let output = u64::try_from(self.content_bytes.div_ceil(4)).unwrap_or(u64::MAX);
        (Usage { input: self.prompt.tokens.into(), output, ..Usage::default() }, true)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.shared.kept.fetch_sub(self.kept, Relaxed);
        // Ours either way. One that never began is no reader's doing, so the call goes on to the next target.
        let how = if self.begun.is_some() { "crashed or was killed" } else { "never started" };
        self.settle(Err(Failure::new(FailureClass::Crashed, format!("the attempt's actor {how}"))));
    }
}

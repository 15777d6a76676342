//! An answer as it is read: its bytes decoded as they arrive, its pieces handed on, its end judged.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::clock::now;
use super::job::{AttemptJob, Unseen};
use super::shared::CrashHook;
use super::watchdog::Watchdog;
use crate::policy::verify;
use crate::transport::{Body, HttpResponse, TransportError};
use crate::wire::{self, Decoder, EMBED_BYTES_MAX, Embedded, Ending, Names, Tally, Unfence};
use crate::words::{
    AssistantPart, ChatRequest, EmbedRequest, Failure, FailureClass, Note, Piece, ResponseFormat, StopReason, Text,
};

/// The most chunks that go on together, because they came at once.
const CHUNKS_AT_ONCE: usize = 32;
/// How long the call of a try without a reader may take to say why there is none.
const REASON_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a body may go on after the end of its answer, if no terminal marker came: usage follows at once.
const TAIL_MAX: Duration = Duration::from_secs(1);

impl AttemptJob {
    /// Decodes an answer as it arrives.
    pub(super) async fn decode(
        &mut self,
        request: &ChatRequest,
        (names, stops): (&Names, &[Text]),
        response: HttpResponse,
        watchdog: &mut Watchdog,
    ) -> Result<Ending, Failure> {
        let spec = &self.account.planned.target.provider.spec;
        let streaming = wire::is_event_stream(&response.headers);
        let mut decoder = Decoder::new(spec.dialect, streaming)
            .within(self.account.shared.limits.answer_max)
            .issuer(&spec.name)
            .looking(self.account.planned.target.provider.slot.looks(self.account.planned.target.index))
            .asked(&self.account.planned.target.spec().family)
            .salted(self.account.salt())
            .limited(request.output_tokens_max)
            .free(wire::free_tools(request, names))
            .verbatim(self.verbatim.clone())
            .stopping(stops);
        self.unfence = (request.response_format != ResponseFormat::Text).then(Unfence::default);
        let hides_thoughts = request.original.as_ref().is_some_and(|original| original.marks.hides_thoughts);
        self.unseen = hides_thoughts.then(Unseen::default);
        let read = self.read(&mut decoder, names, response.body, watchdog).await;
        self.account.drift = decoder.take_drift();
        read?;
        let mut ending = decoder.finish()?;
        ending.call_by_own_names(names);
        let json = self.unfence.as_ref().and_then(|_| wire::unfenced(&ending.text()).map(str::to_owned));
        // A caller that has seen the beginning gets the end, too; a caller that gets no better answer gets all of it,
        // unchanged or in words of its own dialect.
        let translates = ending.verbatim.is_none() && request.original.is_some();
        let told = ending.partly_delivered || (translates && !self.buffered && self.delivered_any);
        if (!told || translates)
            && let Err(failure) = judge(request, &mut ending, json.as_deref())
        {
            let objects = translates && failure.class == FailureClass::Unusable;
            self.account.notes.extend(objects.then(|| verify::missed(request)));
            if !told {
                self.account.flawed = Some(ending).filter(|ending| translates || ending.verbatim.is_some());
                return Err(failure);
            }
        }
        if ending.cut && ending.verbatim.is_none() {
            self.account.notes.push(Note::Dropped("tool_calls"));
        }
        self.take_json(&mut ending, json);
        if ending.has_foreign_parts && ending.verbatim.is_none() {
            self.account.notes.push(Note::Dropped("answer"));
        }
        if ending.lost_sources && ending.verbatim.is_none() {
            self.account.notes.push(Note::Dropped("citations"));
        }
        Ok(ending)
    }

    /// Leaves out the text around the JSON of an answer, where JSON was asked for.
    fn take_json(&mut self, ending: &mut Ending, value: Option<String>) {
        let Some(unfence) = self.unfence.take() else { return };
        if unfence.changed() || ending.unfenced {
            self.account.notes.push(Note::Converted("response_format"));
        }
        if let Some(value) = value.filter(|_| ending.verbatim.is_none()) {
            let first = ending.parts.iter().position(|part| part.as_text().is_some()).unwrap_or_default();
            ending.parts.retain(|part| part.as_text().is_none());
            ending.parts.insert(first, AssistantPart::Text(value.into()));
        }
    }

    /// Reads vectors, whose answer is one whole: any part of it is content, so that a pause in it is a stall.
    pub(super) async fn vectors(
        &mut self,
        request: &EmbedRequest,
        response: HttpResponse,
        watchdog: &mut Watchdog,
    ) -> Result<Embedded, Failure> {
        let (mut body, mut whole) = (response.body, Vec::new());
        while let Some(chunk) = watchdog.guard(body.next(), &mut self.account.permit).await? {
            let chunk = chunk.map_err(|error| Failure::new(FailureClass::Cut, error.to_string()))?;
            self.account.received += chunk.len() as u64;
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
        let embedded = wire::decode_embed(&whole, request)?;
        self.account.tally = Tally { usage: embedded.usage, is_whole: true, ..Tally::default() };
        Ok(embedded)
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
        let mut tail = None;
        loop {
            if tail.is_none() && decoder.has_ended() {
                tail = Some(tokio::time::Instant::now() + TAIL_MAX);
            }
            let chunk = match here.take() {
                Some(chunk) => chunk,
                None => self.next(tail, &mut body, watchdog).await?,
            };
            let crash = CrashHook::take(&self.account.shared.crash.attempts);
            assert!(!crash, "panic in a codec asked for by the crash hook");
            let progress = match &chunk {
                Some(Ok(chunk)) => {
                    self.account.received += chunk.len() as u64;
                    decoder.push(chunk, &mut said)
                }
                Some(Err(error)) => match decoder.end(&mut said) {
                    Ok(progress) if decoder.has_ended() => Ok(progress),
                    _ => Err(Failure::new(FailureClass::Cut, error.to_string())),
                },
                None => decoder.end(&mut said),
            };
            self.account.tally = decoder.tally();
            let unseen = self.unseen.as_ref().map_or(0, |unseen| unseen.bytes);
            self.account.keep(decoder.kept() + unseen)?;
            self.account.content_bytes = decoder.content_bytes();
            match &progress {
                Ok(progress) => {
                    if progress.content {
                        self.account.content(watchdog, now());
                        watchdog.works(decoder.is_at_work());
                    } else {
                        watchdog.heard(now());
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

    /// Returns the next chunk; none where the body ends and, behind the end of its answer, where the body breaks or has
    /// gone on for long enough.
    async fn next(
        &mut self,
        tail: Option<tokio::time::Instant>,
        body: &mut Body,
        watchdog: &mut Watchdog,
    ) -> Result<Option<Result<Bytes, TransportError>>, Failure> {
        let next = watchdog.guard(body.next(), &mut self.account.permit);
        let Some(tail) = tail else { return next.await };
        Ok(tokio::time::timeout_at(tail, next).await.unwrap_or(Ok(None))?.filter(Result::is_ok))
    }

    /// Hands on the parts of an answer that come only with its end.
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

    /// Hands a piece on, without the text around JSON where JSON was asked for.
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

    /// Sends a piece. What the caller is not shown goes with the first piece that it is shown: before that another
    /// answer may take the place of this one.
    async fn send(&mut self, piece: Piece, watchdog: &mut Watchdog) -> Result<(), Failure> {
        let piece = match &mut self.unseen {
            Some(unseen) => match unseen.take(piece) {
                Some(shown) => shown,
                None => return Ok(()),
            },
            None => piece,
        };
        for thought in self.unseen.take().unwrap_or_default().pieces {
            self.hand_on(thought, watchdog).await?;
        }
        self.hand_on(piece, watchdog).await
    }

    /// Hands a piece on; waits for a slow reader, which is not the provider's fault.
    async fn hand_on(&mut self, piece: Piece, watchdog: &mut Watchdog) -> Result<(), Failure> {
        self.delivered_any = true;
        let piece = match self.pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(no_reader().await),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        self.account.permit.waits();
        let since = now();
        let stall_max = self.account.shared.limits.consumer_stall_max;
        match tokio::time::timeout(stall_max, self.pieces.send(piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(no_reader().await),
            Err(_) => return Err(Failure::new(FailureClass::CallerLeft, "the reader took nothing for too long")),
        }
        let now = now();
        self.account.blocked = self.account.blocked.max(now.saturating_duration_since(since));
        watchdog.resume(now);
        Ok(())
    }
}

/// Returns the end of a try whose answer is no longer read. Its call knows why, and says so first.
async fn no_reader() -> Failure {
    tokio::time::sleep(REASON_WAIT_MAX).await;
    Failure::unwanted(FailureClass::CallerLeft)
}

/// Judges a whole answer by its provider's end and by the request.
fn judge(request: &ChatRequest, ending: &mut Ending, json: Option<&str>) -> Result<(), Failure> {
    if let Some(flaw) = ending.flaw.take() {
        return Err(flaw);
    }
    let (stop, parts) = (ending.stop, &ending.parts);
    // A part that the common form cannot express may be a call, and passes unchanged.
    let has_foreign_parts = ending.has_foreign_parts && ending.verbatim.is_some();
    match verify::verify(request, &verify::JudgedAnswer { stop, parts, json, has_foreign_parts }) {
        // The limit that its caller set is nobody's failure.
        Err(_) if ending.full => ending.stop = StopReason::Length,
        judged => return judged,
    }
    Ok(())
}

/// Returns the next chunk of a body, if it is there. It yields once to the task that reads the socket, which hands on
/// one chunk at a time. Chunks that came together go on together: their reader is woken once, and writes once.
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

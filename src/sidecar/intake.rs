//! Bodies of requests: received within limits, and read where they delay no other request.
//!
//! Input: a body's pieces. Output: its bytes, and its part of the memory that all bodies share. It never holds or
//! parses more of a body than there is room for, and never reads a long one on a thread that serves connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::settings::ServerConfig;
use crate::runtime::{BlockingPool, LONG_BYTES};
use crate::wire::serve::{
    self, BadRequest, CallerDialect, ParsedEmbedRequest, ParsedRequest, Refusal, RefusalReason, refuse,
};

/// The unit of room.
const UNIT: usize = 1024;
/// Room is taken in steps: a client that announces much and sends little holds little.
const STEP: usize = 64 * UNIT;
/// How long a body may wait for room.
const ROOM_WAIT: Duration = Duration::from_secs(10);
/// A parsed value takes this many bytes, while it is read and while it is written for a provider.
const VALUE_BYTES: usize = 128;

/// The part of the room that a body may take for a moment, in which it is not known how much of that it needs.
const SPARED: usize = 16;

/// The memory that all bodies share.
pub(super) struct Intake {
    room: Arc<Semaphore>,
    /// All of the room, in units.
    units: usize,
    readers: BlockingPool,
}

/// A body's place in the room. Its room is free again when this is dropped.
#[derive(Default)]
pub(super) struct BodyMemory(Option<OwnedSemaphorePermit>);

impl BodyMemory {
    fn units(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(held) => held.merge(permit),
            held @ None => *held = Some(permit),
        }
    }

    /// Gives back what is not needed for this many bytes.
    fn shrink(&mut self, bytes: usize) {
        let more = self.units().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.as_mut().and_then(|held| held.split(more)));
    }
}

/// A parsed body.
pub(super) trait ParsedBody: Send + 'static {
    /// Returns how many values of it were read.
    fn values(&self) -> usize;
}

impl ParsedBody for ParsedRequest {
    fn values(&self) -> usize {
        self.values
    }
}

impl ParsedBody for ParsedEmbedRequest {
    fn values(&self) -> usize {
        self.values
    }
}

impl Intake {
    pub(super) fn new(bytes_max: usize) -> Self {
        let units = (bytes_max / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { room: Arc::new(Semaphore::new(units)), units, readers: BlockingPool::default() }
    }

    /// Takes a body in.
    pub(super) async fn take(
        &self,
        body: Incoming,
        server: &ServerConfig,
        caller_dialect: CallerDialect,
    ) -> Result<(Bytes, BodyMemory), Refusal> {
        // One that says how long it is, is refused before it is sent: `expect: 100-continue` asks for that.
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > server.body_bytes_max {
            return Err(refuse(caller_dialect, RefusalReason::TooLong(server.body_bytes_max)));
        }
        match timeout(server.body_timeout, self.gather(body, announced, server.body_bytes_max, caller_dialect)).await {
            Ok(taken) => taken,
            Err(_) => Err(broken(caller_dialect, "the body took too long to arrive".to_owned())),
        }
    }

    async fn gather(
        &self,
        mut body: Incoming,
        announced: usize,
        bytes_max: usize,
        caller_dialect: CallerDialect,
    ) -> Result<(Bytes, BodyMemory), Refusal> {
        let (mut taken, mut place): (Vec<u8>, _) = (Vec::new(), BodyMemory::default());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(caller_dialect, format!("the body broke off: {error}")))?;
            let Ok(piece) = frame.into_data() else { continue };
            let length = taken.len() + piece.len();
            if length > bytes_max {
                return Err(refuse(caller_dialect, RefusalReason::TooLong(bytes_max)));
            }
            if length > place.units() * UNIT {
                self.hold(&mut place, length.next_multiple_of(STEP), caller_dialect).await?;
            }
            if taken.is_empty() && body.is_end_stream() {
                // All of it came at once: it stays where it was read into.
                return Ok((piece, place));
            }
            if taken.capacity() < length {
                // Only written pages take memory.
                taken.reserve_exact(announced.max(2 * length).min(bytes_max) - taken.len());
            }
            taken.extend_from_slice(&piece);
        }
        Ok((taken.into(), place))
    }

    /// Makes room for this many bytes, at most for the whole room: a request that is alone is always served.
    async fn hold(&self, place: &mut BodyMemory, bytes: usize, caller_dialect: CallerDialect) -> Result<(), Refusal> {
        let Some(more) = self.more(place, bytes) else { return Ok(()) };
        let wait = timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(more));
        let permit = wait.await.ok().and_then(Result::ok).ok_or_else(|| refuse(caller_dialect, RefusalReason::Full))?;
        place.add(permit);
        Ok(())
    }

    /// Makes room for this many bytes, if that is a small part of the room and there at once.
    fn spares(&self, place: &mut BodyMemory, bytes: usize) -> bool {
        if bytes.div_ceil(UNIT) > self.units / SPARED {
            return false;
        }
        let Some(more) = self.more(place, bytes) else { return true };
        let permit = self.room.clone().try_acquire_many_owned(more).ok();
        permit.map(|permit| place.add(permit)).is_some()
    }

    /// Returns how many units are needed beside a place for this many bytes, at most all; none where it is large
    /// enough.
    fn more(&self, place: &BodyMemory, bytes: usize) -> Option<u32> {
        let more = bytes.div_ceil(UNIT).min(self.units).saturating_sub(place.units());
        u32::try_from(more).ok().filter(|more| *more > 0)
    }

    /// Reads a body. Before it is read, room is taken for the most values that it may have; afterwards, for those that
    /// it had.
    pub(super) async fn read<T: ParsedBody>(
        &self,
        body: Bytes,
        place: &mut BodyMemory,
        caller_dialect: CallerDialect,
        read: impl FnOnce(&Bytes) -> Result<T, BadRequest> + Send + 'static,
    ) -> Result<T, Refusal> {
        let bytes = body.len();
        // To count them takes a fifth of the time of reading them: most bodies are short enough for as many as can be.
        if !self.spares(place, bytes + serve::values_of(bytes) * VALUE_BYTES) {
            self.hold(place, bytes + serve::values_max(&body) * VALUE_BYTES, caller_dialect).await?;
        }
        let asked = self.apart(bytes, move || read(&body)).await;
        let asked = asked.map_err(|bad| refuse(caller_dialect, RefusalReason::Request(&bad)))?;
        place.shrink(bytes + asked.values() * VALUE_BYTES);
        Ok(asked)
    }

    /// Runs work on a body that takes longer the longer the body is.
    pub(super) async fn apart<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.readers.run(bytes > LONG_BYTES, work).await
    }
}

fn broken(caller_dialect: CallerDialect, problem: String) -> Refusal {
    refuse(caller_dialect, RefusalReason::Request(&BadRequest::new("", problem)))
}

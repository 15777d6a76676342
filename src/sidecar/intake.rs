//! Bodies of requests: taken in within their limits, and read where they delay no other request.
//!
//! In flow a body's pieces, out flow its bytes, and a place for them in what all bodies share. It never holds more of a
//! body than there is room for, nor reads a long one on a thread that serves connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::settings::ServerConfig;
use crate::runtime::{Apart, LONG_BYTES};
use crate::wire::serve::{BadRequest, Face, Refusal, Refused, refuse};

/// What room is counted in.
const UNIT: usize = 1024;
/// Room is asked for in steps: a client that announces much and sends little holds little.
const STEP: usize = 64 * UNIT;
/// How long a body may wait for room.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// What all bodies share.
pub(super) struct Intake {
    room: Arc<Semaphore>,
    readers: Apart,
}

/// A body's place; it is free again when this is dropped.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Intake {
    pub(super) fn new(bytes_max: usize) -> Self {
        let room = (bytes_max / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(room)), readers: Apart::default() }
    }

    /// Takes a body in.
    pub(super) async fn take(
        &self,
        body: Incoming,
        server: &ServerConfig,
        face: Face,
    ) -> Result<(Bytes, Place), Refusal> {
        // One that says how long it is, is refused before it is sent: `expect: 100-continue` asks for that.
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > server.body_bytes_max {
            return Err(refuse(face, Refused::TooLong(server.body_bytes_max)));
        }
        match timeout(server.body_timeout, self.gather(body, announced, server.body_bytes_max, face)).await {
            Ok(taken) => taken,
            Err(_) => Err(broken(face, "the body took too long to arrive".to_owned())),
        }
    }

    async fn gather(
        &self,
        mut body: Incoming,
        announced: usize,
        bytes_max: usize,
        face: Face,
    ) -> Result<(Bytes, Place), Refusal> {
        let (mut taken, mut place, mut room): (Vec<u8>, Place, usize) = (Vec::new(), None, 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(face, format!("the body broke off: {error}")))?;
            let Ok(piece) = frame.into_data() else { continue };
            let length = taken.len() + piece.len();
            if length > bytes_max {
                return Err(refuse(face, Refused::TooLong(bytes_max)));
            }
            if length > room {
                let more = (length - room).next_multiple_of(STEP);
                let permit = self.room(more).await.ok_or_else(|| refuse(face, Refused::Full))?;
                room += more;
                match &mut place {
                    Some(place) => place.merge(permit),
                    None => place = Some(permit),
                }
            }
            if taken.is_empty() && body.is_end_stream() {
                // All of it came at once: it stays where it was read into.
                return Ok((piece, place));
            }
            if taken.capacity() < length {
                // Only what is written to takes memory.
                taken.reserve_exact(announced.max(2 * length).min(bytes_max) - taken.len());
            }
            taken.extend_from_slice(&piece);
        }
        Ok((taken.into(), place))
    }

    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes / UNIT).ok()?;
        let wait = timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(units));
        wait.await.ok().and_then(Result::ok)
    }

    /// Runs work on a body that takes longer the longer the body is.
    pub(super) async fn read<T: Send + 'static>(&self, bytes: usize, read: impl FnOnce() -> T + Send + 'static) -> T {
        self.readers.run(bytes > LONG_BYTES, read).await
    }
}

fn broken(face: Face, problem: String) -> Refusal {
    refuse(face, Refused::Request(&BadRequest { field: String::new(), problem }))
}

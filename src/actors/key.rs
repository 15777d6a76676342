//! One key of a provider: its source, and the secret that was read there last.
//!
//! An attempt that needs the key asks [`Key::current`]. A good key is there at once; when it is about to expire one
//! attempt begins to read its source again, and the others go on with the old one; when it has expired all wait for one
//! reading. A reading is an actor, for it may hang or crash, and it outlives the attempt that asked for it. The secret
//! is kept in a cell, which providers share when one replaces the other.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::clock::now;
use super::slot::Slot;
use super::task::TaskKind;
use crate::source::{IssuedKey, KeySource};
use crate::spec::KeySpec;
use crate::words::{Failure, FailureClass, Secret};

/// A key is read again when a tenth of its life is left, or this much if that is less.
const MARGIN_MAX: Duration = Duration::from_secs(60);
/// How long a failed reading is not tried again while the old key is still good.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a file without a stated lifetime is read again: about as often as orchestrators replace such files.
const FILE_EVERY: Duration = Duration::from_secs(60);
/// How long a failure that reached no waiter is kept for the next one that asks: otherwise a source that hangs for
/// longer than its callers wait would never count as failed.
const UNTOLD_MAX: Duration = Duration::from_secs(60);
/// How often a reading that was killed with its provider's supervisor is begun again.
const KILLED_MAX: u32 = 3;

/// One key of a provider.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(super) spec: KeySpec,
    cell: Arc<Cell>,
}

/// The secret of a key that was read.
struct Cell(watch::Sender<State>);

#[derive(Default)]
struct State {
    held: Option<HeldSecret>,
    /// Whether a reading runs now.
    reading: bool,
    /// How many readings have come to an end of their own.
    ended: u64,
    /// When and how the last of them failed, if it did.
    failed: Option<(Instant, String)>,
    /// Whether it reached no waiter, because all had left.
    unreported: bool,
}

struct HeldSecret {
    secret: Secret,
    /// When it was asked for.
    read_at: Instant,
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell(..)")
    }
}

impl Key {
    /// Returns a key that goes on with what was read from the same source before, if it was.
    pub(super) fn new(spec: KeySpec, old: &[Self]) -> Self {
        let known = old.iter().find(|old| old.spec.is_like(&spec)).map(|old| old.cell.clone());
        let cell = known.unwrap_or_else(|| Arc::new(Cell(watch::Sender::new(State::default()))));
        Self { spec, cell }
    }

    /// Returns the present secret, as far as it is known.
    pub(super) fn known(&self) -> Option<Secret> {
        match &self.spec.source {
            Some(KeySource::Value(secret)) => Some(secret.clone()),
            _ => self.cell.0.borrow().held.as_ref().map(|held| held.secret.clone()),
        }
    }

    /// Returns the secret to be sent, if the provider needs one: at once, unless none is held that is good.
    ///
    /// # Errors
    /// `Unauthorised` where its source cannot be read.
    pub(super) async fn current(&self, slot: &Slot) -> Result<Option<Secret>, Failure> {
        match &self.spec.source {
            None => Ok(None),
            Some(KeySource::Value(secret)) => Ok(Some(secret.clone())),
            Some(_) => match self.cell.look(now()) {
                SecretState::Fresh(secret) => Ok(Some(secret)),
                SecretState::RenewalDue(secret) => {
                    // Whether the reading could begin matters only once the old key has expired.
                    let _ = self.begin(slot);
                    Ok(Some(secret))
                }
                SecretState::Missing => self.read(slot).await.map(Some),
            },
        }
    }

    /// Returns another secret than one that was sent then and refused, if there is one: the one that others have read
    /// since, or the source's present one.
    pub(super) async fn other_secret(&self, refused: &Secret, sent: Instant, slot: &Slot) -> Option<Secret> {
        let known = match &self.cell.0.borrow().held {
            Some(held) if held.secret != *refused => Some(Some(held.secret.clone())),
            Some(held) if held.read_at > sent => Some(None),
            _ => None,
        };
        match known {
            Some(known) => known,
            None => self.read(slot).await.ok().filter(|secret| secret != refused),
        }
    }

    /// Reads the source, or joins the reading that runs now.
    async fn read(&self, slot: &Slot) -> Result<Secret, Failure> {
        let mut watched = self.cell.0.subscribe();
        if let Some(problem) = self.cell.unreported(now()) {
            return Err(self.unreadable(&problem));
        }
        let ended = watched.borrow().ended;
        for _ in 0..KILLED_MAX {
            self.begin(slot)?;
            // The cell is ours, so its sender lives.
            let Ok(state) = watched.wait_for(|state| !state.reading).await else { break };
            match (&state.failed, &state.held) {
                _ if state.ended == ended => {}
                (Some((_, problem)), _) => return Err(self.unreadable(problem)),
                (None, Some(held)) => return Ok(held.secret.clone()),
                (None, None) => {}
            }
        }
        Err(cut_off())
    }

    fn unreadable(&self, problem: &str) -> Failure {
        let kind = self.spec.source.as_ref().map_or("its source", KeySource::kind);
        Failure::new(FailureClass::Unauthorised, format!("key `{}`: {kind} {problem}", self.spec.name))
    }

    /// Begins to read, unless a reading runs.
    fn begin(&self, slot: &Slot) -> Result<(), Failure> {
        let claimed = self.cell.0.send_if_modified(|state| !std::mem::replace(&mut state.reading, true));
        if !claimed {
            return Ok(());
        }
        let claim = ReadClaim(self.cell.clone());
        let supervisor = slot.supervisor().ok_or_else(cut_off)?;
        supervisor.tasks.run(TaskKind::Reading, Box::pin(reading(self.clone(), claim)));
        Ok(())
    }

    /// Returns the state for a secret that was requested at that time.
    fn hold(&self, issued: IssuedKey, asked: Instant) -> HeldSecret {
        let lifetime = issued.expires_in.or(self.spec.expires_in);
        let renew_after = match (&self.spec.source, lifetime) {
            (_, Some(lifetime)) => Some(lifetime.saturating_sub((lifetime / 10).min(MARGIN_MAX))),
            (Some(KeySource::File(_)), None) => Some(FILE_EVERY),
            (_, None) => None,
        };
        let at = |after: Option<Duration>| after.and_then(|after| asked.checked_add(after));
        HeldSecret { secret: issued.secret, read_at: asked, renew_at: at(renew_after), expires_at: at(lifetime) }
    }
}

/// Neither the key nor its provider is to blame.
fn cut_off() -> Failure {
    Failure::new(FailureClass::Crashed, "the key's reading was cut off: its provider's supervisor stops")
}

/// The state of a cell.
enum SecretState {
    Fresh(Secret),
    /// Still good, and it should be read again.
    RenewalDue(Secret),
    /// No good secret.
    Missing,
}

impl Cell {
    fn look(&self, now: Instant) -> SecretState {
        let state = self.0.borrow();
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match &state.held {
            Some(held) if !past(held.expires_at) => {
                let paused = state.failed.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < PAUSE);
                let due = past(held.renew_at) && !state.reading && !paused;
                let secret = held.secret.clone();
                if due { SecretState::RenewalDue(secret) } else { SecretState::Fresh(secret) }
            }
            _ => SecretState::Missing,
        }
    }

    /// Takes the failure that reached no waiter, if there is one that is not old.
    fn unreported(&self, now: Instant) -> Option<String> {
        let mut problem = None;
        self.0.send_if_modified(|state| {
            let fresh = |at: Instant| now.saturating_duration_since(at) < UNTOLD_MAX;
            if std::mem::take(&mut state.unreported) {
                problem = state.failed.clone().filter(|(at, _)| fresh(*at)).map(|(_, problem)| problem);
            }
            false
        });
        problem
    }
}

/// The one permission to read a key's source. If it is dropped without an end, no reading runs any more.
struct ReadClaim(Arc<Cell>);

impl ReadClaim {
    fn end(self, result: Result<HeldSecret, String>, now: Instant) {
        let nobody = self.0.0.receiver_count() == 0;
        self.0.0.send_modify(|state| {
            state.ended += 1;
            let good = state.held.as_ref().is_some_and(|held| held.expires_at.is_none_or(|at| at > now));
            state.unreported = nobody && !good && result.is_err();
            match result {
                Ok(held) => (state.held, state.failed) = (Some(held), None),
                Err(problem) => state.failed = Some((now, problem)),
            }
        });
    }
}

impl Drop for ReadClaim {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.reading = false);
    }
}

/// Reads a key's source once.
async fn reading(key: Key, claim: ReadClaim) {
    let Some(source) = &key.spec.source else { return };
    let asked = now();
    let result = source.read().await;
    if let Err(problem) = &result {
        tracing::warn!(key = %key.spec.name, %source, problem, "key not read");
    }
    claim.end(result.map(|issued| key.hold(issued, asked)), now());
}

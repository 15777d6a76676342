//! Which target serves which session: turns of one conversation share a prompt prefix, and the target that served the
//! last one has it in its cache. Losing a session's entry costs a cache miss, nothing else.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use super::{Eligibility, Entrant};

/// Another target must cost less than this part of the session's own one before the session moves: a cache is worth
/// about a fifth.
const BETTER: f64 = 0.8;
/// A session that has just moved stays at least this long, at any score.
const MOVED_MIN: Duration = Duration::from_secs(30);
/// The number of sessions that are surely remembered.
const SESSIONS_MAX: usize = 10_000;
/// Providers' prompt caches are gone after minutes, a pause at lunch is not.
pub const IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// A session's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Index of its target in the table.
    pub target: usize,
    /// When it moved there.
    pub moved: Instant,
    /// Whether the last plan already found another target clearly better: the next one to find so moves the session.
    pub doubted: bool,
}

impl Sticky {
    /// Returns the memory of a session that comes to a target now.
    pub const fn new(target: usize, now: Instant) -> Self {
        Self { target, moved: now, doubted: false }
    }

    /// Returns what to remember if the session stays, `None` if it goes: because its target is not among the entrants,
    /// or because on two plans running, 30 s or more after the last move, another was clearly better.
    pub(super) fn judge(self, entrants: &[Entrant<'_>], now: Instant) -> Option<Self> {
        let own =
            entrants.iter().find(|e| e.candidate.target == self.target).filter(|e| e.standing != Eligibility::Probe)?;
        // A session that fell to a later tier goes back when an earlier one serves again.
        let best = entrants.first()?;
        let better = best.candidate.tier < own.candidate.tier || best.score.j < BETTER * own.score.j;
        let doubted = better && now.saturating_duration_since(self.moved) >= MOVED_MIN;
        (!(doubted && self.doubted)).then_some(Self { doubted, ..self })
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    sticky: Sticky,
    used: Instant,
}

/// Remembers the target of each session.
///
/// Two generations instead of a list in order of use: when the young one is full, the old one is forgotten and the
/// young one becomes old. The 10 000 sessions used last are always there, never more than twice as many are, and every
/// step is a look-up.
#[derive(Debug, Default)]
pub struct Sessions {
    young: HashMap<String, Entry>,
    old: HashMap<String, Entry>,
}

impl Sessions {
    /// Returns what a session remembers; `None` if it is unknown, or was idle for an hour. Changes nothing.
    pub fn get(&self, session: &str, now: Instant) -> Option<Sticky> {
        let entry = self.young.get(session).or_else(|| self.old.get(session))?;
        (now.saturating_duration_since(entry.used) < IDLE_MAX).then_some(entry.sticky)
    }

    /// Takes note of the target that served a session; a target other than the one it had is a move. Do not report
    /// probes: a session does not follow them.
    pub fn set(&mut self, session: &str, target: usize, now: Instant) {
        let same = self.get(session, now).filter(|sticky| sticky.target == target);
        self.keep(session, same.unwrap_or(Sticky::new(target, now)), now);
    }

    /// Stores what a [plan](super::Plan::sticky) says the session should remember.
    pub fn keep(&mut self, session: &str, sticky: Sticky, now: Instant) {
        let entry = Entry { sticky, used: now };
        if let Some(known) = self.young.get_mut(session) {
            *known = entry;
            return;
        }
        let (name, _) = self.old.remove_entry(session).unwrap_or((session.to_owned(), entry));
        if self.young.len() == SESSIONS_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(name, entry);
    }

    /// Takes new indexes after a reconfiguration; a session whose target is gone is forgotten.
    pub fn reindex(&mut self, new: impl Fn(usize) -> Option<usize>) {
        for sessions in [&mut self.young, &mut self.old] {
            sessions.retain(|_, entry| {
                let target = new(entry.sticky.target);
                entry.sticky.target = target.unwrap_or_default();
                target.is_some()
            });
        }
    }

    /// Returns how many sessions are remembered.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

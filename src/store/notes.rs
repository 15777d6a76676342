//! Notes of durable calls that wait to be written, and who waits for each.

use std::collections::HashSet;

use tokio::sync::oneshot;

use super::durable_writes::DurableWrite;
use crate::policy::durable_store::{CallSelector, Written};

#[derive(Default)]
pub(super) struct Notes {
    notes: Vec<DurableWrite>,
    waiting: Vec<oneshot::Sender<Written>>,
}

impl Notes {
    pub(super) fn push(&mut self, note: DurableWrite, done: oneshot::Sender<Written>) {
        self.notes.push(note);
        self.waiting.push(done);
    }

    pub(super) fn all(&self) -> &[DurableWrite] {
        &self.notes
    }

    /// Tells those who wait for them that they are written, into which file, and how many calls each of them changed.
    pub(super) fn told(&mut self, changed: Vec<usize>, file: u64) {
        self.notes.clear();
        for (done, changed) in self.waiting.drain(..).zip(changed) {
            let _ = done.send(Written { changed, file });
        }
    }

    /// Gives them up: who waits for them sees the end of a channel.
    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }

    /// Leaves out those whose callers have given up, so that they are not heaped up while the file is not there.
    pub(super) fn leave_out_what_nobody_waits_for(&mut self) {
        let mut refused = HashSet::new();
        let Self { notes, waiting } = std::mem::take(self);
        for (note, done) in notes.into_iter().zip(waiting) {
            let stays = match &note {
                _ if !done.is_closed() => true,
                DurableWrite::Accept { id, .. } => !refused.insert(*id),
                DurableWrite::Forget(CallSelector::Call(id)) => !refused.remove(id),
                DurableWrite::Forget(_) => true,
                _ => false,
            };
            if stays {
                self.push(note, done);
            }
        }
    }
}

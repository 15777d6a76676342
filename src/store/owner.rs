//! The owner of the connection: one thread, which writes the queue in groups.
//!
//! ```text
//! sink ──try_send──▶ queue (bounded) ──▶ owner: a group ──▶ one transaction
//!                       │ full: lost, counted      │ fails: closed, opened anew, tried again; the group is kept
//! ```
//!
//! A panic in it is caught, the file opened anew and the group tried again; a group that makes it panic twice is
//! given up.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::TransactionBehavior;
use tokio::sync::oneshot;

use super::durable_writes::DurableWrite;
use super::error::{OpenError, told};
use super::file::{self, FileId, OpenFile, WriteLock};
use super::ledger_file::LedgerFile;
use super::notes::Notes;
use super::numbers::wall;
use super::seal::Sealer;
use super::state::{FileHolder, Job, Memories, StoreState};
use crate::policy::record::Record;
use crate::spec::StoreSpec;
use crate::words::locks::lock;

/// How long a new process waits for the old one to free the file: it may just be stopping.
const HOLD_WAIT: Duration = Duration::from_secs(1);
/// How often a process that follows another tries to take the file.
const HOLD_LOOK: Duration = Duration::from_millis(50);
/// Records that may wait: three seconds of a busy machine, or hours of an agent.
const WAITING_MAX: usize = 16_384;
/// How long a group is gathered. A call waits for none of it.
pub(super) const GATHER: Duration = Duration::from_millis(5);
/// The most records of a group.
const GROUP_MAX: usize = 1_000;
/// Waits between two tries to write, doubled from the one to the other.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Tries of a group once no other will come: a process that stops does not wait for a disk.
const LAST_TRIES: u32 = 3;
/// Groups after which something is forgotten though more is waiting.
const GROUPS_BETWEEN: u32 = 64;
/// How often the file is looked at while nothing is to be written.
const LOOK: Duration = Duration::from_secs(10);
/// The longest that a question waits for what was queued before it.
pub(super) const FLUSH_MAX: Duration = Duration::from_secs(2);

/// The receiver of the result of opening.
type OpenResult = oneshot::Sender<Result<(), OpenError>>;

/// The thread's own.
struct Owner {
    spec: StoreSpec,
    sealer: Arc<Sealer>,
    /// Whether another process, which is ending, still has the file.
    follows: bool,
    state: Arc<StoreState>,
    /// The file that it had last.
    file: Option<FileId>,
    /// States of providers that are not written yet.
    news: Memories,
    /// All kept states, for a new file if this one is gone.
    known: Memories,
    /// The group that is being written, and the number of its first record.
    group: Vec<Record>,
    first: i64,
    notes: Notes,
    /// How often it panicked over this group.
    panics: u32,
    /// Records that were lost before this process: the file counts on.
    lost_before: u64,
    /// When this began, by the wall's clock and by the machine's.
    began: SystemTime,
    began_at: Instant,
}

/// A queue to an owner, and its thread.
pub(super) type StartedOwner = (SyncSender<Job>, JoinHandle<()>);

/// Starts the owner, which takes and opens the file. Returns also what tells when it has, or that it waits for that.
pub(super) fn start(
    spec: StoreSpec,
    sealer: Arc<Sealer>,
    follows: bool,
    state: Arc<StoreState>,
) -> io::Result<(StartedOwner, oneshot::Receiver<Result<(), OpenError>>)> {
    let (queue, jobs) = sync_channel(WAITING_MAX);
    let (opens, opened) = oneshot::channel();
    let owner = Owner {
        spec,
        sealer,
        follows,
        state,
        file: None,
        news: Memories::new(),
        known: Memories::new(),
        group: Vec::new(),
        first: 0,
        notes: Notes::default(),
        panics: 0,
        lost_before: 0,
        began: wall(),
        began_at: machine(),
    };
    let thread = thread::Builder::new().name("standin-store".into()).spawn(move || owner.begin(&jobs, opens))?;
    Ok(((queue, thread), opened))
}

impl Owner {
    /// Opens the file, says so, and serves until nothing can come any more.
    fn begin(mut self, jobs: &Receiver<Job>, opened: OpenResult) {
        let mut opened = Some(opened);
        let (hold, ledger) = match self.take_file(jobs, &mut opened) {
            Ok(taken) => taken,
            Err(error) => return self.refused(jobs, opened, error),
        };
        self.set_file(ledger.file_id());
        self.state.gauge.written(0, ledger.bytes());
        self.lost_before = ledger.lost();
        self.state.held_by(FileHolder::This);
        let until = machine() + FLUSH_MAX;
        while self.state.is_read.load(Relaxed) && machine() < until {
            thread::park_timeout(GATHER);
        }
        let mut ledger = Some(ledger);
        let _ = opened.map(|opened| opened.send(Ok(())));
        loop {
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&hold, &mut ledger, jobs)));
            if served.is_ok() {
                return;
            }
            tracing::error!(path = %self.spec.path.display(), "the store's thread panicked; it is started again");
            ledger = None;
            self.panics += 1;
            if self.panics > 1 {
                self.give_up();
            }
        }
    }

    /// Takes and opens the file. A process that follows another, and one whose disk is full or cannot be written,
    /// report success at once: records wait until the other has let go, or the disk is well.
    fn take_file(
        &mut self,
        jobs: &Receiver<Job>,
        opened: &mut Option<OpenResult>,
    ) -> Result<(WriteLock, LedgerFile), OpenError> {
        let (mut wait, mut beside) = (AGAIN.0, None);
        loop {
            let error = match self.try_take() {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            let is_behind = self.follows && matches!(error, OpenError::Taken(_));
            let may_wait = is_behind || opened.is_none() || error.is_of_disk(&self.spec.path);
            if self.state.is_closing.load(Relaxed) || !may_wait {
                return Err(error);
            }
            self.state.held_by(if is_behind { FileHolder::Another } else { FileHolder::Nobody });
            if self.state.gauge.set_problem(Some(&error.to_string())) && !is_behind {
                tracing::error!(path = %self.spec.path.display(), %error, "the store cannot write; records wait");
            }
            let _ = opened.take().map(|opened| opened.send(Ok(())));
            self.gather(jobs, if is_behind { HOLD_LOOK } else { wait }, is_behind.then_some(&mut beside));
            wait = AGAIN.1.min(wait * 2);
        }
    }

    fn try_take(&self) -> Result<(WriteLock, LedgerFile), OpenError> {
        self.sealer.check(&self.spec.path)?;
        let hold = WriteLock::take(&self.spec.path, if self.follows { Duration::ZERO } else { HOLD_WAIT })?;
        let ledger = LedgerFile::open(&hold)?;
        #[cfg(test)]
        super::tests::trouble(&self.spec.path, |sql| ledger.trouble(sql))?;
        Ok((hold, ledger))
    }

    /// Takes jobs for a while. Beside a process that still has the file, durable calls are kept all the same: their
    /// rows are those of this process alone.
    fn gather(&mut self, jobs: &Receiver<Job>, time: Duration, mut beside: Option<&mut Option<OpenFile>>) {
        let until = machine() + time;
        while machine() < until
            && let Ok(job) = jobs.recv_timeout(until.saturating_duration_since(machine()))
        {
            let mut waiting = Vec::new();
            self.take(job, &mut waiting);
            while self.notes.all().len() < GROUP_MAX
                && let Ok(job) = jobs.try_recv()
            {
                self.take(job, &mut waiting);
            }
            if let Some(beside) = &mut beside {
                self.note_beside(beside);
            }
            for done in waiting {
                let _ = done.send(());
            }
            if self.notes.all().len() > GROUP_MAX {
                self.notes.leave_out_what_nobody_waits_for();
            }
            let more = self.group.len().saturating_sub(WAITING_MAX);
            self.group.truncate(WAITING_MAX);
            self.state.gauge.given_up(more as u64);
        }
        if let Some(beside) = beside {
            self.note_beside(beside);
        }
        // No more will come.
        thread::park_timeout(until.saturating_duration_since(machine()));
    }

    /// Writes what is noted of durable calls beside the process that has the file; what fails waits.
    fn note_beside(&mut self, beside: &mut Option<OpenFile>) {
        if self.notes.all().is_empty() {
            return;
        }
        if let Err(error) = self.try_note(beside) {
            tracing::debug!(path = %self.spec.path.display(), %error, "durable calls wait for the file");
            *beside = None;
        }
    }

    fn try_note(&mut self, beside: &mut Option<OpenFile>) -> Result<(), OpenError> {
        let file = match beside.take().filter(|file| file.is_at(&self.spec.path)) {
            Some(file) => beside.insert(file),
            None => beside.insert(file::beside_writer(&self.spec.path)?),
        };
        self.set_file(file.id);
        let change = file.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = self.notes.all().iter().map(|note| note.write(&change)).collect::<rusqlite::Result<_>>()?;
        change.commit()?;
        if self.notes.all().iter().any(DurableWrite::forgets) {
            let _ = file::empty_journal(&file.connection);
        }
        self.notes.told(changed, self.state.files.load(Relaxed));
        Ok(())
    }

    /// Notes which file it has now: another one than before has nothing of what that one kept.
    fn set_file(&mut self, file: Option<FileId>) {
        if file.is_none() || self.file == file {
            return;
        }
        if std::mem::replace(&mut self.file, file).is_some() {
            tracing::error!(path = %self.spec.path.display(), "the store's file is gone; a new one is made");
            self.state.files.fetch_add(1, Relaxed);
            self.known.append(&mut self.news);
            std::mem::swap(&mut self.known, &mut self.news);
        }
    }

    /// Says why there is no file. After an early report of success the waiting records are lost.
    fn refused(&self, jobs: &Receiver<Job>, opened: Option<OpenResult>, error: OpenError) {
        match opened {
            Some(opened) => drop(opened.send(Err(error))),
            None => {
                let waiting = jobs.try_iter().filter(|job| matches!(job, Job::Record(_))).count();
                let lost = (self.group.len() + waiting) as u64;
                self.state.gauge.given_up(lost);
                let path = self.spec.path.display();
                tracing::error!(%path, %error, lost, "the store has no file; records are lost");
            }
        }
    }

    fn serve(&mut self, hold: &WriteLock, ledger: &mut Option<LedgerFile>, jobs: &Receiver<Job>) {
        // The result of a panic.
        self.write(hold, ledger);
        let (mut more, mut groups) = (true, 0_u32);
        loop {
            let job = match jobs.recv_timeout(if more { GATHER } else { LOOK }) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    more = self.look(ledger);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut waiting = Vec::new();
            let (is_record, mut is_last) = (matches!(job, Job::Record(_)), matches!(job, Job::Finish(_)));
            self.take(job, &mut waiting);
            if is_record {
                thread::park_timeout(GATHER);
            }
            while self.group.len() + self.notes.all().len() < GROUP_MAX
                && let Ok(job) = jobs.try_recv()
            {
                is_last |= matches!(job, Job::Finish(_));
                self.take(job, &mut waiting);
            }
            self.write(hold, ledger);
            if is_last && let Some(ledger) = ledger {
                let _ = ledger.finish();
            }
            for done in waiting {
                let _ = done.send(());
            }
            groups = groups.wrapping_add(1);
            more = true;
            // A store that is never idle forgets, too.
            if groups.is_multiple_of(GROUPS_BETWEEN) {
                more = self.look(ledger);
            }
        }
    }

    fn take(&mut self, job: Job, waiting: &mut Vec<oneshot::Sender<()>>) {
        match job {
            Job::Record(record) => self.group.push(record),
            Job::Memory => {}
            Job::DurableCall(note, done) => self.notes.push(note, done),
            Job::Flush(done) | Job::Finish(done) => waiting.push(done),
        }
    }

    /// Forgets some entries that are too old; returns whether there are more.
    fn look(&mut self, ledger: &mut Option<LedgerFile>) -> bool {
        let now = forgets_by(wall(), self.began, self.began_at.elapsed());
        let forgotten = ledger.as_mut().map(|ledger| (ledger.forget(&self.spec, now), ledger.bytes()));
        match forgotten {
            Some((Ok(more), bytes)) => {
                self.state.gauge.written(0, bytes);
                more
            }
            // Writing the next group finds the problem.
            Some((Err(_), _)) => {
                *ledger = None;
                false
            }
            None => false,
        }
    }

    /// Writes the group, however long that takes: after a failure the file is closed, opened again and tried again.
    fn write(&mut self, hold: &WriteLock, ledger: &mut Option<LedgerFile>) {
        let (mut wait, mut tries) = (AGAIN.0, 0);
        while let Err(problem) = self.try_write(hold, ledger) {
            *ledger = None;
            if self.state.gauge.set_problem(Some(&problem)) {
                tracing::error!(path = %self.spec.path.display(), problem, "the store cannot write; records wait");
            }
            tries += 1;
            if self.state.is_closing.load(Relaxed) && tries >= LAST_TRIES {
                return self.give_up();
            }
            thread::park_timeout(wait);
            wait = AGAIN.1.min(wait * 2);
        }
        if self.state.gauge.set_problem(None) {
            tracing::info!(path = %self.spec.path.display(), "the store writes again");
        }
        self.panics = 0;
    }

    fn try_write(&mut self, hold: &WriteLock, ledger: &mut Option<LedgerFile>) -> Result<(), String> {
        if ledger.as_ref().is_some_and(|ledger| !ledger.is_of(hold)) {
            *ledger = None;
        }
        let open = match ledger {
            Some(open) => open,
            None => {
                let opened = LedgerFile::open(hold).map_err(|error| error.to_string())?;
                self.set_file(opened.file_id());
                ledger.insert(opened)
            }
        };
        let lost = self.lost_before + self.state.gauge.lost();
        self.news.append(&mut lock(&self.state.memories));
        let has_none = self.group.is_empty() && self.news.is_empty() && self.notes.all().is_empty();
        if has_none && lost <= open.lost() {
            return Ok(());
        }
        if self.first == 0 {
            self.first = open.next();
        }
        #[cfg(test)]
        super::tests::trouble(&self.spec.path, |sql| open.trouble(sql)).map_err(|error| told(&error))?;
        open.count(lock(&self.state.counted).clone());
        let written = open.write(self.first, &self.group, lost, self.news.values(), self.notes.all());
        let changed = written.map_err(|error| told(&error))?;
        self.state.gauge.written(self.group.len() as u64, open.bytes());
        self.group.clear();
        self.known.append(&mut self.news);
        self.first = 0;
        self.notes.told(changed, self.state.files.load(Relaxed));
        Ok(())
    }

    fn give_up(&mut self) {
        let lost = self.group.len() as u64;
        self.state.gauge.given_up(lost);
        tracing::error!(path = %self.spec.path.display(), lost, "these records could not be written and are dropped");
        self.group.clear();
        self.news.clear();
        self.first = 0;
        self.notes.give_up();
        self.panics = 0;
    }
}

/// Returns the time by which things are too old: the wall's, and never more than has passed since the beginning. A
/// clock that is set forward makes nothing old.
fn forgets_by(wall: SystemTime, began: SystemTime, passed: Duration) -> SystemTime {
    wall.min(began + passed)
}

#[expect(clippy::disallowed_methods, reason = "a clock that cannot be set, to hold the wall's by")]
fn machine() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_forward_makes_nothing_old() {
        let (began, hour) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000), Duration::from_secs(3_600));
        assert_eq!(forgets_by(began + hour, began, hour), began + hour);
        assert_eq!(forgets_by(began + 9_000 * hour, began, hour), began + hour, "set forward");
        assert_eq!(forgets_by(began - 9_000 * hour, began, hour), began - 9_000 * hour, "set back");
    }
}

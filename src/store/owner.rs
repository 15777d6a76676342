//! The owner of the connection: one thread, which writes the queue in groups.
//!
//! ```text
//! sink ──try_send──▶ queue (bounded) ──▶ owner: a group ──▶ one transaction
//!                       │ full: lost, counted      │ fails: closed, opened anew, tried again; the group is kept
//! ```
//!
//! A panic in it is caught, the file opened anew and the group tried again; a group that makes it panic twice is
//! given up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::TransactionBehavior;
use tokio::sync::oneshot;

use super::budget_accounts::CountedBudgets;
use super::durable_writes::{self, DurableWrite};
use super::error::{OpenError, told};
use super::file::{self, OpenFile, WriteLock};
use super::ledger_file::LedgerFile;
use super::memory::PendingMemory;
use super::seal::Sealer;
use crate::policy::budget::Budget;
use crate::policy::durable_store::{CallSelector, DurableStore, Item, KeptCall, ReadError, WriteFuture};
use crate::policy::memory::{Memory, MemoryStore};
use crate::policy::record::{Observer, Record};
use crate::policy::store_health::{StoreGauge, StoreHealth};
use crate::spec::{PastSpend, StoreSpec};
use crate::words::CallId;
use crate::words::locks::lock;

/// The store's counters, for health.
type Gauge = Arc<StoreGauge>;

/// How long a new process waits for the old one to free the file: it may just be stopping.
const HOLD_WAIT: Duration = Duration::from_secs(1);
/// How often a process that follows another tries to take the file.
const HOLD_LOOK: Duration = Duration::from_millis(50);
/// Records that may wait: three seconds of a busy machine, or hours of an agent.
const WAITING_MAX: usize = 16_384;
/// How long a group is gathered. A call waits for none of it.
const GATHER: Duration = Duration::from_millis(5);
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
const FLUSH_MAX: Duration = Duration::from_secs(2);

enum Job {
    Record(Record),
    /// There is a new state of a provider.
    Memory,
    /// Write this, and say when it is on the disk, and how many calls it changed.
    DurableCall(DurableWrite, oneshot::Sender<usize>),
    /// Say when everything before this was tried once.
    Flush(oneshot::Sender<()>),
    /// The same, and leave nothing behind of what was forgotten.
    Finish(oneshot::Sender<()>),
}

/// What others spent, by a budget's name, its account and the step.
type SpentByOthers = HashMap<(Arc<str>, String, i64), i64>;

/// The store, for the code that gives it records and asks for its health. When it is dropped it writes what waits and
/// frees the file.
pub(crate) struct Store {
    /// `None` once it is dropped.
    queue: Option<SyncSender<Job>>,
    gauge: Gauge,
    sealer: Arc<Sealer>,
    memories: Arc<Mutex<Memories>>,
    standing: Arc<Standing>,
    /// What others spent of each account of a budget in each step, by its name, as far as it was read.
    spent: Mutex<SpentByOthers>,
    counted: Arc<Mutex<Option<CountedBudgets>>>,
    durable_bytes_max: u64,
    owner: Option<JoinHandle<()>>,
}

/// What its thread and all others tell each other.
#[derive(Default)]
struct Standing {
    /// Nothing more will come.
    is_closing: AtomicBool,
    /// Who has the file.
    holder: Mutex<FileHolder>,
    /// What others spent is being read: nothing of this process's own is written before.
    is_read: AtomicBool,
    /// How many files were begun in the place of one that was gone.
    files: AtomicU64,
}

impl Standing {
    fn holder(&self) -> FileHolder {
        *lock(&self.holder)
    }

    fn held_by(&self, holder: FileHolder) {
        *lock(&self.holder) = holder;
    }
}

/// Who has the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FileHolder {
    /// Nobody yet: it is being opened, or its disk takes nothing.
    #[default]
    Nobody,
    /// Another process, which this one follows.
    Another,
    /// This process.
    This,
}

/// The latest state of each provider.
type Memories = BTreeMap<Arc<str>, PendingMemory>;

impl Store {
    /// Takes and opens the file, and starts its owner. Who follows a process that ends does not wait for its end:
    /// records do.
    pub(crate) async fn open(spec: StoreSpec, follows: bool) -> Result<Self, OpenError> {
        let sealer = Arc::new(Sealer::read(&spec.encryption_keys).await?);
        let (queue, jobs) = sync_channel(WAITING_MAX);
        let (gauge, standing) = (Gauge::new(StoreGauge::new(spec.path.clone())), Arc::<Standing>::default());
        let (opened, told) = oneshot::channel();
        let memories = Arc::<Mutex<Memories>>::default();
        let counted = Arc::<Mutex<Option<CountedBudgets>>>::default();
        let durable_bytes_max = spec.durable_bytes_max;
        let owner = Owner {
            spec,
            sealer: sealer.clone(),
            follows,
            gauge: gauge.clone(),
            memories: memories.clone(),
            counted: counted.clone(),
            news: Memories::new(),
            known: Memories::new(),
            standing: standing.clone(),
            group: Vec::new(),
            first: 0,
            notes: Vec::new(),
            noted: Vec::new(),
            panics: 0,
            lost_before: 0,
            began: wall(),
            began_at: machine(),
        };
        let thread = thread::Builder::new().name("standin-store".into()).spawn(move || owner.begin(&jobs, opened))?;
        let (queue, owner, spent) = (Some(queue), Some(thread), Mutex::default());
        let store = Self { queue, gauge, sealer, memories, standing, spent, counted, durable_bytes_max, owner };
        match told.await {
            Ok(result) => result.map(|()| store),
            Err(_) => Err(std::io::Error::other("its thread ended").into()),
        }
    }

    /// Returns its file.
    pub(crate) fn path(&self) -> &Path {
        self.gauge.path()
    }

    /// Keeps the accounts of these budgets, and of no others, from now on.
    pub(crate) fn count(&self, budgets: &[Budget], since: SystemTime) {
        let mut counted = lock(&self.counted);
        if counted.as_ref().is_none_or(|known| *known.budgets != *budgets) {
            *counted = Some(CountedBudgets { budgets: budgets.into(), since });
        }
    }

    /// Waits until everything given before is written, or was tried; not for long.
    pub(crate) async fn flush(&self) {
        self.wait_for(Job::Flush).await;
    }

    /// Does the same at the end, and leaves nothing behind of what was forgotten.
    pub(crate) async fn finish(&self) {
        self.wait_for(Job::Finish).await;
    }

    async fn wait_for(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) {
        let (done, told) = oneshot::channel();
        let sent = self.queue.as_ref().is_some_and(|queue| queue.try_send(job(done)).is_ok());
        if sent {
            let _ = tokio::time::timeout(FLUSH_MAX, told).await;
        }
    }

    /// Says whether what others spent is still to be read: until then this process does not add its own, not for long.
    pub(crate) fn read_first(&self, is_read: bool) {
        self.standing.is_read.store(is_read, Relaxed);
    }

    /// Adds up what others spent: returns what is new since the last time.
    pub(crate) fn add_up(&self, budgets: &[Budget], spent: Vec<PastSpend>) -> Vec<PastSpend> {
        let mut known = lock(&self.spent);
        let news = spent.into_iter().filter_map(|one| {
            let known = known.entry((budgets[one.budget].name.clone(), one.account.clone(), one.step)).or_default();
            let more = one.amount - std::mem::replace(known, one.amount);
            (more > 0).then_some(PastSpend { amount: more, ..one })
        });
        news.collect()
    }

    /// Tells the process that follows what attempts in flight may still cost.
    #[cfg(feature = "sidecar")]
    pub(crate) fn tell_reserved(&self, reserved: Vec<crate::spec::ReservedSpend>) -> WriteFuture {
        self.note(Ok(DurableWrite::Reserved(reserved)))
    }

    /// Tells whether another process, which this one follows, still has the file.
    #[cfg(any(test, feature = "sidecar"))]
    pub(crate) fn is_behind(&self) -> bool {
        self.standing.holder() == FileHolder::Another
    }
}

impl Store {
    /// Writes something of a durable call.
    fn note(&self, note: Result<DurableWrite, OpenError>) -> WriteFuture {
        let (note, queue) = match (note, self.queue.clone()) {
            (Ok(note), Some(queue)) => (note, queue),
            (Err(error), _) => return Box::pin(std::future::ready(Err(error.to_string().into()))),
            (_, None) => return Box::pin(std::future::ready(Err(GONE.into()))),
        };
        Box::pin(async move {
            let (done, told) = oneshot::channel();
            let mut job = Job::DurableCall(note, done);
            // If the queue is full, this waits.
            loop {
                job = match queue.try_send(job) {
                    Ok(()) => break,
                    Err(TrySendError::Full(job)) => job,
                    Err(TrySendError::Disconnected(_)) => return Err(GONE.into()),
                };
                tokio::time::sleep(GATHER).await;
            }
            drop(queue);
            told.await.map_err(|_| GONE.into())
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Path) -> Result<T, OpenError>) -> Result<T, ReadError> {
        read(self.path()).map_err(|error| match error.of_call() {
            Some(why) => ReadError::Unopened(why),
            None => ReadError::Disk(format!("{} cannot be read: {error}", self.path().display())),
        })
    }
}

/// The error where a new durable call has no room.
const NO_ROOM: &str =
    "durable calls that have not ended take all of `store.durable_size_max`: raise it, or let some end";
/// The error once nothing can be written any more.
const GONE: &str = "the store writes no more";

impl DurableStore for Store {
    fn accept(&self, call: &KeptCall) -> WriteFuture {
        let kept = self.note(DurableWrite::accept(call, &self.sealer, self.durable_bytes_max));
        Box::pin(async move { kept.await.and_then(|kept| if kept == 0 { Err(NO_ROOM.into()) } else { Ok(kept) }) })
    }

    fn sent(&self, id: CallId, processes: u32) -> WriteFuture {
        self.note(Ok(DurableWrite::Sent { id, processes }))
    }

    fn tell(&self, call: CallId, at: usize, items: &[Item]) -> WriteFuture {
        self.note(DurableWrite::items(call, at, items, wall(), &self.sealer))
    }

    fn forget(&self, which: CallSelector) -> WriteFuture {
        self.note(Ok(DurableWrite::Forget(which)))
    }

    fn may_take_over(&self) -> bool {
        self.standing.holder() == FileHolder::This
    }

    fn files(&self) -> u64 {
        self.standing.files.load(Relaxed)
    }

    fn told(&self, call: CallId, from: usize) -> Result<Option<Vec<Item>>, ReadError> {
        self.read(|path| durable_writes::told(path, &self.sealer, call, from))
    }

    fn call(&self, call: CallId) -> Result<Option<KeptCall>, ReadError> {
        self.read(|path| durable_writes::call(path, &self.sealer, call))
    }

    fn keyed(&self, client: Option<&str>, key: &str) -> Result<Option<KeptCall>, ReadError> {
        self.read(|path| durable_writes::keyed(path, &self.sealer, client.unwrap_or_default(), key))
    }

    fn unfinished(&self) -> Result<Vec<CallId>, ReadError> {
        self.read(durable_writes::unfinished)
    }
}

impl Observer for Store {
    fn observe(&self, record: &Record) {
        let Some(queue) = &self.queue else { return };
        // Before it is sent: it may be written before this thread goes on.
        self.gauge.taken();
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Job::Record(record.clone()))
        {
            self.gauge.given_up(1);
            let lost = self.gauge.lost();
            if lost.is_power_of_two() {
                tracing::warn!(lost, path = %self.gauge.path().display(), "the store loses records: it cannot keep up");
            }
        }
    }
}

impl MemoryStore for Store {
    fn health(&self) -> StoreHealth {
        self.gauge.health()
    }

    fn keep(&self, memory: Memory) {
        let provider = memory.provider.clone();
        lock(&self.memories).insert(provider, PendingMemory::now(memory));
        // Where the queue is full, there is a group that takes it along.
        let _ = self.queue.as_ref().map(|queue| queue.try_send(Job::Memory));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.standing.is_closing.store(true, Relaxed);
        drop(self.queue.take());
        if let Some(owner) = self.owner.take() {
            owner.thread().unpark();
        }
    }
}

/// The receiver of the result of opening.
type OpenResult = oneshot::Sender<Result<(), OpenError>>;

/// The thread's own.
struct Owner {
    spec: StoreSpec,
    sealer: Arc<Sealer>,
    /// Whether another process, which is ending, still has the file.
    follows: bool,
    gauge: Gauge,
    standing: Arc<Standing>,
    memories: Arc<Mutex<Memories>>,
    counted: Arc<Mutex<Option<CountedBudgets>>>,
    /// States of providers that are not written yet.
    news: Memories,
    /// All kept states, for a new file if this one is gone.
    known: Memories,
    /// The group that is being written, and the number of its first record.
    group: Vec<Record>,
    first: i64,
    /// Notes of durable calls, and their waiters.
    notes: Vec<DurableWrite>,
    noted: Vec<oneshot::Sender<usize>>,
    /// How often it panicked over this group.
    panics: u32,
    /// Records that were lost before this process: the file counts on.
    lost_before: u64,
    /// When this began, by the wall's clock and by the machine's.
    began: SystemTime,
    began_at: Instant,
}

impl Owner {
    /// Opens the file, says so, and serves until nothing can come any more.
    fn begin(mut self, jobs: &Receiver<Job>, opened: OpenResult) {
        let mut opened = Some(opened);
        let (hold, ledger) = match self.take_file(jobs, &mut opened) {
            Ok(taken) => taken,
            Err(error) => return self.refused(jobs, opened, error),
        };
        self.gauge.written(0, ledger.bytes());
        self.lost_before = ledger.lost();
        self.standing.held_by(FileHolder::This);
        let until = machine() + FLUSH_MAX;
        while self.standing.is_read.load(Relaxed) && machine() < until {
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
            if self.standing.is_closing.load(Relaxed) || !may_wait {
                return Err(error);
            }
            self.standing.held_by(if is_behind { FileHolder::Another } else { FileHolder::Nobody });
            if self.gauge.set_problem(Some(&error.to_string())) && !is_behind {
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
            while self.notes.len() < GROUP_MAX
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
            self.leave_out_what_nobody_waits_for();
            let more = self.group.len().saturating_sub(WAITING_MAX);
            self.group.truncate(WAITING_MAX);
            self.gauge.given_up(more as u64);
        }
        if let Some(beside) = beside {
            self.note_beside(beside);
        }
        // No more will come.
        thread::park_timeout(until.saturating_duration_since(machine()));
    }

    /// Leaves out notes whose callers have given up, so that they are not heaped up while the file is not there.
    fn leave_out_what_nobody_waits_for(&mut self) {
        if self.notes.len() <= GROUP_MAX {
            return;
        }
        let mut refused = HashSet::new();
        for (note, done) in std::mem::take(&mut self.notes).into_iter().zip(std::mem::take(&mut self.noted)) {
            let stays = match &note {
                _ if !done.is_closed() => true,
                DurableWrite::Accept { id, .. } => !refused.insert(*id),
                DurableWrite::Forget(CallSelector::Call(id)) => !refused.remove(id),
                DurableWrite::Forget(_) => true,
                _ => false,
            };
            if stays {
                self.notes.push(note);
                self.noted.push(done);
            }
        }
    }

    /// Writes what is noted of durable calls beside the process that has the file; what fails waits.
    fn note_beside(&mut self, beside: &mut Option<OpenFile>) {
        if self.notes.is_empty() {
            return;
        }
        match self.try_note(beside) {
            Ok(changed) => self.told(changed),
            Err(error) => {
                tracing::debug!(path = %self.spec.path.display(), %error, "durable calls wait for the file");
                *beside = None;
            }
        }
    }

    fn try_note(&self, beside: &mut Option<OpenFile>) -> Result<Vec<usize>, OpenError> {
        let file = match beside.take().filter(|file| file.is_at(&self.spec.path)) {
            Some(file) => beside.insert(file),
            None => beside.insert(file::beside_writer(&self.spec.path)?),
        };
        let change = file.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = self.notes.iter().map(|note| note.write(&change)).collect::<rusqlite::Result<_>>()?;
        change.commit()?;
        if self.notes.iter().any(DurableWrite::forgets) {
            let _ = file::empty_journal(&file.connection);
        }
        Ok(changed)
    }

    /// Tells those who wait for them that notes are written.
    fn told(&mut self, changed: Vec<usize>) {
        self.notes.clear();
        for (done, changed) in self.noted.drain(..).zip(changed) {
            let _ = done.send(changed);
        }
    }

    /// Says why there is no file. After an early report of success the waiting records are lost.
    fn refused(&self, jobs: &Receiver<Job>, opened: Option<OpenResult>, error: OpenError) {
        match opened {
            Some(opened) => drop(opened.send(Err(error))),
            None => {
                let waiting = jobs.try_iter().filter(|job| matches!(job, Job::Record(_))).count();
                let lost = (self.group.len() + waiting) as u64;
                self.gauge.given_up(lost);
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
            while self.group.len() + self.notes.len() < GROUP_MAX
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
            Job::DurableCall(note, done) => {
                self.notes.push(note);
                self.noted.push(done);
            }
            Job::Flush(done) | Job::Finish(done) => waiting.push(done),
        }
    }

    /// Forgets some entries that are too old; returns whether there are more.
    fn look(&mut self, ledger: &mut Option<LedgerFile>) -> bool {
        let now = forgets_by(wall(), self.began, self.began_at.elapsed());
        let forgotten = ledger.as_mut().map(|ledger| (ledger.forget(&self.spec, now), ledger.bytes()));
        match forgotten {
            Some((Ok(more), bytes)) => {
                self.gauge.written(0, bytes);
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
            if self.gauge.set_problem(Some(&problem)) {
                tracing::error!(path = %self.spec.path.display(), problem, "the store cannot write; records wait");
            }
            tries += 1;
            if self.standing.is_closing.load(Relaxed) && tries >= LAST_TRIES {
                return self.give_up();
            }
            thread::park_timeout(wait);
            wait = AGAIN.1.min(wait * 2);
        }
        if self.gauge.set_problem(None) {
            tracing::info!(path = %self.spec.path.display(), "the store writes again");
        }
        self.panics = 0;
    }

    fn try_write(&mut self, hold: &WriteLock, ledger: &mut Option<LedgerFile>) -> Result<(), String> {
        if ledger.as_ref().is_some_and(|ledger| !ledger.is_of(hold)) {
            tracing::error!(path = %self.spec.path.display(), "the store's file is gone; a new one is made");
            *ledger = None;
            self.standing.files.fetch_add(1, Relaxed);
        }
        let open = match ledger {
            Some(open) => open,
            None => {
                self.known.append(&mut self.news);
                std::mem::swap(&mut self.known, &mut self.news);
                ledger.insert(LedgerFile::open(hold).map_err(|error| error.to_string())?)
            }
        };
        let lost = self.lost_before + self.gauge.lost();
        self.news.append(&mut lock(&self.memories));
        let has_none = self.group.is_empty() && self.news.is_empty() && self.notes.is_empty();
        if has_none && lost <= open.lost() {
            return Ok(());
        }
        if self.first == 0 {
            self.first = open.next();
        }
        #[cfg(test)]
        super::tests::trouble(&self.spec.path, |sql| open.trouble(sql)).map_err(|error| told(&error))?;
        open.count(lock(&self.counted).clone());
        let (news, notes) = (self.news.values(), &self.notes);
        let changed = open.write(self.first, &self.group, lost, news, notes).map_err(|error| told(&error))?;
        self.gauge.written(self.group.len() as u64, open.bytes());
        self.group.clear();
        self.known.append(&mut self.news);
        self.first = 0;
        self.told(changed);
        Ok(())
    }

    fn give_up(&mut self) {
        let lost = self.group.len() as u64;
        self.gauge.given_up(lost);
        tracing::error!(path = %self.spec.path.display(), lost, "these records could not be written and are dropped");
        self.group.clear();
        self.news.clear();
        self.first = 0;
        // Waiters see the end of their channel.
        self.notes.clear();
        self.noted.clear();
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

#[expect(clippy::disallowed_methods, reason = "how old a record is, is told by the wall's clock")]
fn wall() -> SystemTime {
    SystemTime::now()
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

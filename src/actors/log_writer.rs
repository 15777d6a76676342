//! The writer of a call's log, and the callers that ask for one.
//!
//! ```text
//! asks with a key ──┐                      ┌──▶ reader, from the start
//! asks with a key ──┼─▶ registry ─▶ log ───┼──▶ reader, from the start
//! submits ──────────┘                ▲     └──▶ handle: the whole, or a reader from anywhere
//! a restart ────────▶ journal ───────┤ writes, and where the call is durable only what is kept
//!                  call ──stream─▶ this writer
//! ```
//!
//! A call without a key that is neither submitted nor durable has no log, and bypasses this file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::accepted::CallIdentity;
use super::begin;
use super::call_journal::{CallJournal, NOT_WRITTEN, WRITE_MAX};
use super::call_log::{CallLog, LogReader, LogShare};
use super::call_registry::{CallRegistry, FoundCall};
use super::clock::now;
use super::handle::CallHandle;
use super::responder::{Responder, WantedReply};
use super::shared::Shared;
use super::stream::{ReplyStream, cut_off};
use super::successor;
use super::work::Work;
use crate::policy::durable_store::{CallSelector, Item, KeptCall, ReadError, is_last};
use crate::words::{CallId, ChatRequest, CommitPolicy, Durable, Error};

/// How long a call without a holder goes on: a client that lost its connection is back by then.
const LINGER: Duration = Duration::from_secs(2);
/// How often a call asks for a place that was accepted, and has none.
const PLACE_LOOK: Duration = Duration::from_millis(500);
/// How long a call that had ended is kept in memory after it was read from the file: that may forget it at any time.
const READ_FOR: Duration = Duration::from_secs(10);

/// The form of the answer: that of the first caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing is delivered before it is whole.
    Whole,
    /// As it comes.
    Stream,
}

/// Answers a request: by a call of its own or, where it has a key or is durable, by one that has a log.
pub(crate) fn serve(shared: &Arc<Shared>, work: Work, wanted: WantedReply) {
    let form = if matches!(wanted, WantedReply::Stream(_)) { Form::Stream } else { Form::Whole };
    let request = match &work {
        Work::Chat(request) if shared.is_kept(request) => request.clone(),
        _ => return begin::call(shared, None, work, wanted),
    };
    let shared = shared.clone();
    spawn(async move {
        match find(&shared, request, form, false).await {
            Ok(hold) => {
                wanted.note(hold.id());
                answer(hold, wanted).await;
            }
            Err(error) => wanted.refuse(error),
        }
    });
}

/// Makes or finds a call that has a log, and answers when it is accepted. It belongs to the receiver of the handle, and
/// also to the runtime if it is `own` or durable.
pub(crate) fn keep(
    shared: &Arc<Shared>,
    request: Arc<ChatRequest>,
    form: Form,
    own: bool,
    mut wanted: Responder<CallHandle>,
) {
    let shared = shared.clone();
    spawn(async move {
        let kept = async {
            let hold = find(&shared, request, form, own).await?;
            hold.accepted().await?;
            Ok(CallHandle::new(hold))
        };
        let kept = tokio::select! {
            biased;
            () = wanted.closed() => return,
            kept = kept => kept,
        };
        wanted.send(kept);
    });
}

/// Finds a call that has a log.
pub(crate) fn resume(shared: &Arc<Shared>, id: CallId, mut wanted: Responder<CallHandle>) {
    if let Some(hold) = shared.registry.call(id) {
        return wanted.send(Ok(CallHandle::new(hold)));
    }
    let shared = shared.clone();
    spawn(async move { wanted.send(recall(&shared, id).await.map(CallHandle::new)) });
}

/// Looks for a durable call in the store.
async fn recall(shared: &Arc<Shared>, id: CallId) -> Result<LogShare, Error> {
    let durable_store = shared.durable_store.clone().ok_or(Error::NotKept(id))?;
    let file = durable_store.files();
    let found = shared.blocking_pool.run(true, move || durable_store.call(id)).await;
    match found? {
        Some(call) => Ok(take_up(shared, call, file)),
        None => Err(Error::NotKept(id)),
    }
}

/// Takes up what was accepted before this process and has not ended: now, or once the process before this one has
/// ended, which may still work on it.
pub(crate) async fn take_up_all(shared: &Arc<Shared>) {
    let Some(durable_store) = &shared.durable_store else { return };
    if durable_store.may_take_over() {
        return take_up_now(shared).await;
    }
    let shared = Arc::downgrade(shared);
    spawn(async move {
        loop {
            tokio::time::sleep(successor::LOOK).await;
            let Some(shared) = shared.upgrade().filter(|shared| !shared.draining.load(Relaxed)) else { return };
            if shared.durable_store.as_ref().is_some_and(|durable_store| durable_store.may_take_over()) {
                return take_up_now(&shared).await;
            }
        }
    });
}

async fn take_up_now(shared: &Arc<Shared>) {
    let Some(durable_store) = shared.durable_store.clone() else { return };
    let found = shared.blocking_pool.run(true, move || durable_store.unfinished()).await;
    match found {
        Ok(calls) => {
            for id in calls {
                // Those of this process are at work.
                if shared.registry.call(id).is_some() {
                    continue;
                }
                if let Err(error) = recall(shared, id).await {
                    tracing::error!(%id, %error, "a durable call cannot be taken up");
                }
            }
        }
        Err(why) => tracing::error!(%why, "durable calls cannot be taken up"),
    }
}

/// Forgets calls, here and in what keeps them, and says how many.
pub(crate) fn forget_all(shared: &Shared, which: CallSelector, mut wanted: Responder<usize>) {
    let here = shared.registry.forget_all(&which);
    match &shared.durable_store {
        None => wanted.send(Ok(here)),
        Some(durable_store) => {
            let forgotten = durable_store.forget(which);
            spawn(async move {
                wanted.send(match tokio::time::timeout(WRITE_MAX, forgotten).await {
                    Ok(Ok(there)) => Ok(here + there.changed),
                    Ok(Err(why)) => Err(Error::NotDurable(why.to_string())),
                    Err(_) => {
                        Err(Error::NotDurable(format!("{NOT_WRITTEN}; what is to be forgotten is, once it does")))
                    }
                });
            });
        }
    }
}

async fn find(shared: &Arc<Shared>, request: Arc<ChatRequest>, form: Form, own: bool) -> Result<LogShare, Error> {
    request.check()?;
    let durable = shared.durable(&request);
    let durable_store = match (durable, shared.durable_store.clone()) {
        (Durable::No, _) => None,
        (_, Some(durable_store)) => Some(durable_store),
        (_, None) => {
            let why = "nothing is kept beyond the process: the configuration has no [store]";
            return Err(Error::NotDurable(why.to_owned()));
        }
    };
    // A key finds its durable call, whether or not it is asked for as one.
    if let (Some(durable_store), Some(key)) = (shared.durable_store.clone(), request.key.clone())
        && !shared.registry.knows(&request)
    {
        let (client, file) = (request.client.clone(), durable_store.files());
        match shared.blocking_pool.run(true, move || durable_store.keyed(client.as_deref(), &key)).await {
            Ok(Some(call)) => drop(take_up(shared, call, file)),
            Ok(None) => {}
            // Calls that are not durable go on without a disk.
            Err(ReadError::Disk(_)) if durable == Durable::No => {}
            Err(error) => return Err(error.into()),
        }
    }
    let is_kept = durable_store.is_some();
    let FoundCall { hold, is_new } = shared.registry.find(&request, own || is_kept, is_kept, || shared.next_call())?;
    if is_new {
        let journal = durable_store.map(|durable_store| {
            let file = durable_store.files();
            CallJournal::new(durable_store, hold.id(), file)
        });
        let (log, comes_again) = (hold.log().clone(), own && is_kept);
        spawn(write(shared.clone(), LoggedCall { log, form, durable, journal, is_restored: false, comes_again }));
    }
    Ok(hold)
}

/// Goes on with a durable call of a process before this one, or shows how far it is or how it ended.
fn take_up(shared: &Arc<Shared>, call: KeptCall, file: u64) -> LogShare {
    let KeptCall { id, begun_at, request, durable, is_whole, items, ended_at, sent: _ } = call;
    let has_ended = items.last().is_some_and(is_last);
    let FoundCall { hold, is_new } = shared.registry.put(CallLog::restored(id, begun_at, request, items), ended_at);
    if !is_new {
        return hold;
    }
    if has_ended {
        spawn(forget(Arc::downgrade(&shared.registry), id, shared.kept_for(true).min(READ_FOR)));
        return hold;
    }
    let (log, form) = (hold.log().clone(), if is_whole { Form::Whole } else { Form::Stream });
    let journal = shared.durable_store.clone().map(|durable_store| CallJournal::new(durable_store, id, file));
    let call = LoggedCall { log, form, durable, journal, is_restored: true, comes_again: true };
    spawn(write(shared.clone(), call));
    hold
}

#[expect(clippy::disallowed_methods, reason = "it owns a log or an answer; dropped, that says how it ended")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Answers one of the callers that asked with a key.
async fn answer(hold: LogShare, wanted: WantedReply) {
    match wanted {
        WantedReply::Whole(mut answer) => {
            let reply = tokio::select! {
                biased;
                () = answer.closed() => return,
                reply = hold.reply() => reply,
            };
            answer.send(reply);
        }
        WantedReply::Stream(mut answer) => {
            let accepted = tokio::select! {
                biased;
                () = answer.closed() => return,
                accepted = hold.accepted() => accepted,
            };
            answer.send(accepted.map(|()| ReplyStream::read(LogReader::new(hold, 0))));
        }
        wanted => wanted.refuse(Error::Crashed),
    }
}

/// A call that is to be made, and its log.
struct LoggedCall {
    log: Arc<CallLog>,
    form: Form,
    durable: Durable,
    /// Its part of the store, if it is durable.
    journal: Option<CallJournal>,
    /// Whether another process accepted it, and may still work on it.
    is_restored: bool,
    /// Whether its caller has gone with the word that it is accepted: it is not refused later, while it waits for a
    /// place.
    comes_again: bool,
}

/// Makes a call and writes its events down, until it ends or has no holder any more. Its end is kept for a while.
async fn write(shared: Arc<Shared>, call: LoggedCall) {
    let LoggedCall { log, journal, .. } = &call;
    let kept_for = shared.kept_for(journal.is_some());
    let open =
        OpenLog { log: log.clone(), registry: shared.registry.clone(), draining: shared.draining.clone(), told: false };
    let last = tokio::select! {
        biased;
        error = why_abandoned(&shared.registry, log) => vec![Err(error)],
        () = successor::ended_elsewhere(&shared, log, journal.as_ref()) => Vec::new(),
        last = play(&shared, &call) => last.unwrap_or_else(|error| vec![Err(error)]),
    };
    // What this process does not finish the next one takes up, but for what its caller is told was never accepted.
    let is_refused = |error: &Error| !log.is_begun() && matches!(error, Error::Draining | Error::Unavailable);
    let goes_on = |error: &Error| error.is_of_process() && !is_refused(error);
    let is_over = !last.last().is_some_and(|item| item.as_ref().is_err_and(goes_on));
    let last = match journal.as_ref().filter(|_| is_over) {
        Some(journal) => successor::conclude(&shared, log, journal, last).await,
        None => last,
    };
    // The task that forgets it keeps no runtime alive.
    let (registry, id) = (Arc::downgrade(&shared.registry), log.id());
    drop(shared);
    open.end(last);
    drop(call);
    forget(registry, id, kept_for).await;
}

/// Forgets a call after a while.
async fn forget(registry: std::sync::Weak<CallRegistry>, id: CallId, after: Duration) {
    tokio::time::sleep(after).await;
    if let Some(registry) = registry.upgrade() {
        registry.forget(id);
    }
}

/// Makes the call, writes its events down except the last, and returns the last; nothing where another process ended
/// it.
async fn play(shared: &Arc<Shared>, call: &LoggedCall) -> Result<Vec<Item>, Error> {
    let LoggedCall { log, form, durable, journal, is_restored, comes_again } = call;
    let (mut request, mut journal) = (log.request().clone(), journal.clone());
    let mut taken_up = None;
    match &journal {
        Some(own) if *is_restored => {
            let Some(call) = successor::follow(shared, log, own).await? else { return Ok(Vec::new()) };
            let own = own.sent_before(call.sent);
            let Some(asked) = successor::again(log, &call, &own).await? else {
                return Ok(Vec::new());
            };
            // In the ledger the part before a restart has the old id: here it is a new call.
            taken_up = Some((log.id(), call.sent > 0));
            (request, journal) = (asked, Some(own));
        }
        Some(journal) => {
            let call = KeptCall {
                id: log.id(),
                begun_at: log.begun_at(),
                request: request.clone(),
                durable: *durable,
                is_whole: *form == Form::Whole,
                sent: 0,
                items: Vec::new(),
                ended_at: None,
            };
            journal.accept(&call).await?;
        }
        None => {}
    }
    let is_whole = *form == Form::Whole || log.request().commit == CommitPolicy::Buffered;
    let (mut stream, mut batch) = loop {
        let (asked_at, (answer_to, answer)) = (now(), Responder::pair(&shared.draining));
        let wanted = match form {
            Form::Whole => WantedReply::Buffered(answer_to),
            Form::Stream => WantedReply::Stream(answer_to),
        };
        let id = if taken_up.is_some() { shared.next_call() } else { log.id() };
        let named = CallIdentity { id, journal: journal.clone(), taken_up, held: Some(log.held()) };
        begin::call(shared, Some(named), Work::Chat(request.clone()), wanted);
        match answer.await.unwrap_or(Err(Error::Unavailable)) {
            Err(Error::Overloaded { .. } | Error::Unavailable) if taken_up.is_some() => {}
            Err(error) => return Err(error),
            Ok(mut stream) => {
                log.begin();
                let first = stream.batch(is_whole).await.ok_or_else(|| cut_off(&shared.draining))?;
                // It had a place in the queue, and lost it.
                if !(*comes_again && matches!(first[..], [Err(Error::Overloaded { .. })])) {
                    break (stream, first);
                }
            }
        }
        // It was accepted before, so it is not refused now: it comes again until there is a place for it.
        taken_up = taken_up.or(Some((log.id(), false)));
        tokio::time::sleep(PLACE_LOOK).await;
        request = successor::later(request, now().saturating_duration_since(asked_at))?;
    };
    while !batch.last().is_some_and(is_last) {
        if let Some(journal) = &journal
            && !journal.tell(log.length(), &batch).await?
        {
            return Ok(Vec::new());
        }
        log.extend(batch);
        batch = stream.batch(is_whole).await.ok_or_else(|| cut_off(&shared.draining))?;
    }
    Ok(batch)
}

/// Returns why a call ends early: it was cancelled, or has had no holder for a while.
async fn why_abandoned(registry: &CallRegistry, log: &CallLog) -> Error {
    let mut held = log.held();
    // The log is there, and so is its writer.
    loop {
        let now = held.wait_for(|held| held.is_cancelled || held.by == 0).await.map(|held| *held);
        if now.is_ok_and(|held| held.is_cancelled) {
            return Error::Cancelled;
        }
        tokio::select! {
            biased;
            _ = held.wait_for(|held| held.is_cancelled || held.by > 0) => {}
            () = tokio::time::sleep(LINGER) => {
                if registry.abandon(log) {
                    return Error::Cancelled;
                }
            }
        }
    }
}

/// A log that is being written. If it is dropped before its end, its last item is that the call was cut off.
struct OpenLog {
    log: Arc<CallLog>,
    registry: Arc<CallRegistry>,
    draining: Arc<AtomicBool>,
    told: bool,
}

impl OpenLog {
    fn end(mut self, last: Vec<Item>) {
        self.tell(last);
    }

    /// The registry first: a caller that gets an error and asks again makes a new call.
    fn tell(&mut self, last: Vec<Item>) {
        if !std::mem::replace(&mut self.told, true) {
            self.registry.end(&self.log, &last);
            self.log.extend(last);
        }
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        self.tell(vec![Err(cut_off(&self.draining))]);
    }
}

//! Which calls have a log: those in flight, and those whose end is kept, by their ids and by the keys of their callers.
//!
//! The memory of it is bounded: of the calls that have ended the oldest is forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::call_log::{CallLog, LogShare, bytes_of};
use super::clock::wall;
use crate::policy::durable_store::{CallSelector, Item, is_last};
use crate::wire::asks_the_same;
use crate::words::locks::lock;
use crate::words::{CallId, ChatRequest, Error};

/// The calls that have a log.
pub(crate) struct CallRegistry {
    bytes_max: usize,
    kept: Mutex<Registered>,
}

#[derive(Default)]
struct Registered {
    calls: HashMap<CallId, Entry>,
    names: HashMap<CallKey, CallId>,
    /// Those that ended, the oldest first; some may be gone.
    ended: VecDeque<CallId>,
    /// Bytes of the ended calls.
    bytes: usize,
}

/// A key with its client: no client finds the call of another.
type CallKey = (Option<Arc<str>>, String);

fn key_of(request: &ChatRequest) -> Option<CallKey> {
    request.key.clone().map(|key| (request.client.clone(), key))
}

struct Entry {
    log: Arc<CallLog>,
    /// The runtime's own part, in a call that belongs to it.
    own: Option<LogShare>,
    /// Its bytes, once it has ended.
    bytes: usize,
    ended_at: Option<SystemTime>,
}

/// A call that was found, or is to be made.
pub(super) struct FoundCall {
    pub(super) hold: LogShare,
    pub(super) is_new: bool,
}

impl CallRegistry {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// Returns the call of a request's key, or a new one. It belongs to the runtime, too, where it is `own`. Whole or
    /// as a stream, it is the same call.
    pub(super) fn find(
        &self,
        request: &Arc<ChatRequest>,
        own: bool,
        is_durable: bool,
        next: impl Fn() -> CallId,
    ) -> Result<FoundCall, Error> {
        let name = key_of(request);
        loop {
            // Long requests are not compared under the lock.
            let known = name.as_ref().and_then(|name| lock(&self.kept).named(name));
            if known.as_ref().is_some_and(|log| !asks_the_same(log.request(), request)) {
                return Err(Error::KeyConflict);
            }
            let mut kept = lock(&self.kept);
            let now = name.as_ref().and_then(|name| kept.named(name));
            match (known, now) {
                (Some(known), Some(now)) if Arc::ptr_eq(&known, &now) => {
                    let hold = LogShare::new(known);
                    // What is to outlive the process cannot be had of a call that does not.
                    if is_durable && kept.calls.get(&hold.id()).is_some_and(|entry| !entry.log.is_durable()) {
                        return Err(Error::KeyConflict);
                    }
                    if let Some(entry) = kept.calls.get_mut(&hold.id()).filter(|_| own) {
                        entry.own.get_or_insert_with(|| hold.clone());
                    }
                    return Ok(FoundCall { hold, is_new: false });
                }
                (_, None) => {
                    let hold = LogShare::new(CallLog::new(next(), request.clone(), is_durable));
                    kept.add(&hold, own);
                    return Ok(FoundCall { hold, is_new: true });
                }
                // It is another one by now.
                _ => {}
            }
        }
    }

    /// Tells whether a request's key has a call here.
    pub(super) fn knows(&self, request: &ChatRequest) -> bool {
        key_of(request).is_some_and(|name| lock(&self.kept).names.contains_key(&name))
    }

    /// Adds the runtime's own call of a process before this one, if it is not there.
    pub(super) fn put(&self, log: Arc<CallLog>, ended_at: Option<SystemTime>) -> FoundCall {
        let mut kept = lock(&self.kept);
        if let Some(entry) = kept.calls.get(&log.id()) {
            return FoundCall { hold: LogShare::new(entry.log.clone()), is_new: false };
        }
        let hold = LogShare::new(log);
        kept.add(&hold, true);
        let last = hold.look(|last| last.filter(|item| is_last(item)).cloned());
        drop(kept);
        if let Some(last) = last {
            self.end_at(ended_at.unwrap_or_else(wall), hold.log(), &[last]);
        }
        FoundCall { hold, is_new: true }
    }

    /// Returns a call by its id.
    pub(super) fn call(&self, id: CallId) -> Option<LogShare> {
        lock(&self.kept).calls.get(&id).map(|entry| LogShare::new(entry.log.clone()))
    }

    /// Gives up a call without a holder; tells whether it had none.
    pub(super) fn abandon(&self, log: &CallLog) -> bool {
        let mut kept = lock(&self.kept);
        let is_deserted = log.held().borrow().by == 0;
        if is_deserted {
            kept.remove(log.id());
        }
        is_deserted
    }

    /// Keeps a call's end: an answer, or an error if the call is the runtime's own. A caller with the key of a failed
    /// call makes a new call.
    pub(super) fn end(&self, log: &CallLog, last: &[Item]) {
        self.end_at(wall(), log, last);
    }

    fn end_at(&self, ended_at: SystemTime, log: &CallLog, last: &[Item]) {
        let mut kept = lock(&self.kept);
        let id = log.id();
        let Some(entry) = kept.calls.get_mut(&id) else { return };
        let is_own = entry.own.is_some();
        let has_failed = last.last().is_none_or(Result::is_err);
        let bytes = log.bytes() + last.iter().map(bytes_of).sum::<usize>();
        entry.bytes = bytes;
        entry.ended_at = Some(ended_at);
        if has_failed {
            kept.unname(log);
        }
        if has_failed && !is_own {
            kept.calls.remove(&id);
            return;
        }
        kept.ended.push_back(id);
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max
            && let Some(oldest) = kept.ended.pop_front()
        {
            kept.remove(oldest);
        }
    }

    /// Forgets a call. Its holders can still read it.
    pub(super) fn forget(&self, id: CallId) {
        lock(&self.kept).remove(id);
    }

    /// Forgets calls; one that is named is ended if it has not. Returns how many there were that nothing else keeps.
    pub(super) fn forget_all(&self, which: &CallSelector) -> usize {
        let mut kept = lock(&self.kept);
        let is_one = |id: &CallId, entry: &Entry| match which {
            CallSelector::Call(one) => id == one,
            CallSelector::Tag(name, value) => {
                entry.ended_at.is_some() && entry.log.request().tags.get(name) == Some(value)
            }
            CallSelector::Before(time) => entry.ended_at.is_some_and(|ended_at| ended_at < *time),
        };
        let these: Vec<CallId> = kept.calls.iter().filter(|(id, it)| is_one(id, it)).map(|(id, _)| *id).collect();
        let mut gone = 0;
        for id in these {
            if let Some(entry) = kept.calls.get(&id) {
                gone += usize::from(!entry.log.is_durable());
                LogShare::new(entry.log.clone()).cancel();
            }
            kept.remove(id);
        }
        gone
    }
}

impl Registered {
    /// Returns the call of a client's key.
    fn named(&self, name: &CallKey) -> Option<Arc<CallLog>> {
        Some(self.calls.get(self.names.get(name)?)?.log.clone())
    }

    fn add(&mut self, hold: &LogShare, own: bool) {
        let (id, log) = (hold.id(), hold.log().clone());
        self.names.extend(key_of(log.request()).map(|name| (name, id)));
        let own = own.then(|| hold.clone());
        self.calls.insert(id, Entry { log, own, bytes: 0, ended_at: None });
    }

    /// Lets the key of a call be that of another.
    fn unname(&mut self, log: &CallLog) {
        if let Some(name) = key_of(log.request())
            && self.names.get(&name) == Some(&log.id())
        {
            self.names.remove(&name);
        }
    }

    fn remove(&mut self, id: CallId) {
        let Some(entry) = self.calls.remove(&id) else { return };
        self.bytes -= entry.bytes;
        self.unname(&entry.log);
        while self.ended.front().is_some_and(|id| !self.calls.contains_key(id)) {
            self.ended.pop_front();
        }
    }
}

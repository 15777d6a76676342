//! Who writes the log of a call, and who asks for one.
//!
//! ```text
//! asks with a key ──┐                      ┌──▶ reader, from the start
//! asks with a key ──┼─▶ shelf ─▶ log ──────┼──▶ reader, from the start
//! submits ──────────┘             ▲        └──▶ handle: the whole, or a reader from anywhere
//!                                 │ writes
//!                 call ──stream─▶ scribe
//! ```
//!
//! A call without a key that is not submitted has no log: nothing here is in its way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;

use super::answer::{Answer, Wanted};
use super::begin;
use super::handle::CallHandle;
use super::log::{Hold, Item, Log, Reader, is_last};
use super::shared::Shared;
use super::shelf::{Found, Shelf};
use super::stream::{ReplyStream, cut_off};
use super::work::Work;
use crate::words::{CallId, ChatRequest, Error};

/// How long a call that nobody holds any more goes on: a client that lost its connection is back by then.
const LINGER: Duration = Duration::from_secs(2);

/// In what form the answer is made: that of who asks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing is told before it is whole.
    Whole,
    /// As it comes.
    Stream,
}

/// Answers a request: by a call of its own or, where it has a key, by the one call of that key.
pub(crate) fn serve(shared: &Arc<Shared>, work: Work, wanted: Wanted) {
    let form = if matches!(wanted, Wanted::Stream(_)) { Form::Stream } else { Form::Whole };
    let request = match &work {
        Work::Chat(request) if request.key.is_some() => request.clone(),
        _ => return begin::call(shared, None, work, wanted),
    };
    match find(shared, request, form, false) {
        Ok(hold) => spawn(answer(hold, wanted)),
        Err(error) => wanted.refuse(error),
    }
}

/// Makes or finds a call that has a log, and says when it was accepted. It belongs to who gets the handle, and to the
/// runtime where it is `own`.
pub(crate) fn keep(
    shared: &Arc<Shared>,
    request: Arc<ChatRequest>,
    form: Form,
    own: bool,
    mut wanted: Answer<CallHandle>,
) {
    match find(shared, request, form, own) {
        Ok(hold) => spawn(async move {
            let accepted = tokio::select! {
                biased;
                () = wanted.closed() => return,
                accepted = hold.accepted() => accepted,
            };
            wanted.send(accepted.map(|()| CallHandle::new(hold)));
        }),
        Err(error) => wanted.send(Err(error)),
    }
}

/// Returns a call that has a log.
pub(crate) fn resume(shared: &Shared, id: CallId) -> Result<CallHandle, Error> {
    shared.shelf.call(id).map(CallHandle::new).ok_or(Error::NotKept(id))
}

fn find(shared: &Arc<Shared>, request: Arc<ChatRequest>, form: Form, own: bool) -> Result<Hold, Error> {
    request.check()?;
    let Found { hold, is_new } = shared.shelf.find(&request, own, || shared.next_call())?;
    if is_new {
        spawn(write(shared.clone(), hold.log().clone(), request, form));
    }
    Ok(hold)
}

#[expect(clippy::disallowed_methods, reason = "it owns a log or an answer; dropped, that says how it ended")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Answers one of those who asked with a key.
async fn answer(hold: Hold, wanted: Wanted) {
    match wanted {
        Wanted::Whole(mut answer) => {
            let reply = tokio::select! {
                biased;
                () = answer.closed() => return,
                reply = hold.reply() => reply,
            };
            answer.send(reply);
        }
        Wanted::Stream(mut answer) => {
            let accepted = tokio::select! {
                biased;
                () = answer.closed() => return,
                accepted = hold.accepted() => accepted,
            };
            answer.send(accepted.map(|()| ReplyStream::read(Reader::new(hold, 0))));
        }
        wanted => wanted.refuse(Error::Crashed),
    }
}

/// Makes a call and writes down what it says, until it ends or nobody holds it any more. Its end is kept for a while.
async fn write(shared: Arc<Shared>, log: Arc<Log>, request: Arc<ChatRequest>, form: Form) {
    let kept_for = shared.limits.kept_for;
    let page = Page { log: log.clone(), shelf: shared.shelf.clone(), draining: shared.draining.clone(), told: false };
    let last = tokio::select! {
        biased;
        error = deserted(&shared.shelf, &log) => Err(error),
        last = copy(&shared, &log, request, form) => last,
    };
    // Whoever forgets it keeps no runtime alive.
    let shelf = Arc::downgrade(&shared.shelf);
    drop(shared);
    page.end(last);
    let id = log.id();
    drop(log);
    tokio::time::sleep(kept_for).await;
    if let Some(shelf) = shelf.upgrade() {
        shelf.forget(id);
    }
}

/// Writes down all but the last of what a call says, and returns that.
async fn copy(shared: &Arc<Shared>, log: &Log, request: Arc<ChatRequest>, form: Form) -> Item {
    let (sender, answer) = oneshot::channel();
    let answer_to = Answer::method(sender, &shared.draining);
    let wanted = match form {
        Form::Whole => Wanted::Buffered(answer_to),
        Form::Stream => Wanted::Stream(answer_to),
    };
    begin::call(shared, Some(log.id()), Work::Chat(request), wanted);
    let mut stream = answer.await.unwrap_or(Err(Error::Unavailable))?;
    log.begin();
    while let Some(item) = stream.next().await {
        if is_last(&item) {
            return item;
        }
        log.push(item);
    }
    Err(cut_off(&shared.draining))
}

/// Returns why a call ends early: somebody ended it, or nobody has held it for a while.
async fn deserted(shelf: &Shelf, log: &Log) -> Error {
    let mut held = log.held();
    // The log is there, and so is who tells.
    loop {
        let now = held.wait_for(|held| held.is_cancelled || held.by == 0).await.map(|held| *held);
        if now.is_ok_and(|held| held.is_cancelled) {
            return Error::Cancelled;
        }
        tokio::select! {
            biased;
            _ = held.wait_for(|held| held.is_cancelled || held.by > 0) => {}
            () = tokio::time::sleep(LINGER) => {
                if shelf.desert(log) {
                    return Error::Cancelled;
                }
            }
        }
    }
}

/// A log that is being written. Dropped before its end, it says that the call was cut off.
struct Page {
    log: Arc<Log>,
    shelf: Arc<Shelf>,
    draining: Arc<AtomicBool>,
    told: bool,
}

impl Page {
    fn end(mut self, last: Item) {
        self.tell(last);
    }

    /// The shelf first: who hears of an error and asks again makes another call.
    fn tell(&mut self, last: Item) {
        if !std::mem::replace(&mut self.told, true) {
            self.shelf.end(&self.log, &last);
            self.log.push(last);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.tell(Err(cut_off(&self.draining)));
    }
}

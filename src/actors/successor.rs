//! A durable call and two processes: the one that works on it, and the one that follows.
//!
//! ```text
//! the process before ──items──▶ file ──follow──▶ log ──▶ readers here
//!        ▲                       │ it has ended, and the file is this process's
//!        └──ended_elsewhere──────┤
//!                                └──again──▶ this process works on it
//! ```
//!
//! One process at a time works on a call. All others read what it tells, and may end or forget it: at each place of its
//! answer the file keeps what was written there first, and the process that comes second is told so.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::call_journal::CallJournal;
use super::call_log::CallLog;
use super::clock::wall;
use super::shared::Shared;
use crate::policy::durable_store::{Item, KeptCall, is_last};
use crate::words::{ChatRequest, CommitPolicy, Durable, Error, Failure, FailureClass, ReplyEvent};

/// How often the file is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Keeps the end of a call and returns it. Where another process has ended the call, that is its end.
pub(super) async fn conclude(shared: &Shared, log: &CallLog, journal: &CallJournal, mut last: Vec<Item>) -> Vec<Item> {
    loop {
        match journal.tell(log.length(), &last).await {
            Ok(true) => return last,
            Ok(false) => {}
            Err(error) => return vec![Err(error)],
        }
        match journal.told(&shared.blocking_pool, log.length()).await {
            Ok(Some(items)) if items.last().is_some_and(is_last) => return items,
            // It goes on where it was cancelled: the end comes behind what was told meanwhile.
            Ok(Some(items)) if !items.is_empty() => {
                log.extend(items);
                last = vec![Err(Error::Cancelled)];
            }
            Ok(_) => return vec![Err(journal.why_not_there())],
            Err(error) => return vec![Err(error)],
        }
    }
}

/// Returns once another process has ended a call that this one, which ends, works on.
pub(super) async fn ended_elsewhere(shared: &Shared, log: &CallLog, journal: Option<&CallJournal>) {
    let Some(journal) = journal else { return std::future::pending().await };
    let mut is_accepted = false;
    loop {
        tokio::time::sleep(LOOK).await;
        if !shared.draining.load(Relaxed) {
            continue;
        }
        match journal.told(&shared.blocking_pool, log.length()).await {
            Ok(Some(items)) if items.last().is_some_and(is_last) => return,
            Ok(Some(_)) => is_accepted = true,
            // It was forgotten.
            Ok(None) if is_accepted => return,
            Ok(None) | Err(_) => {}
        }
    }
}

/// Waits until a call of another process may be taken up, and returns it; reads meanwhile what that process tells.
/// Returns nothing where it has ended there.
pub(super) async fn follow(shared: &Shared, log: &CallLog, journal: &CallJournal) -> Result<Option<KeptCall>, Error> {
    loop {
        // In this order: what is read then is the last that the other process has written.
        let may_take_over = journal.may_take_over();
        let told = journal.told(&shared.blocking_pool, log.length()).await?;
        let Some(items) = told.filter(|items| !items.last().is_some_and(is_last)) else { return Ok(None) };
        log.extend(items);
        if may_take_over {
            return journal.call(&shared.blocking_pool).await;
        }
        if shared.draining.load(Relaxed) {
            return Err(Error::Draining);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the request of a call that goes on after a restart, with the time that it has left, or why it does not;
/// nothing where it was forgotten just now.
pub(super) async fn again(
    log: &CallLog,
    call: &KeptCall,
    journal: &CallJournal,
) -> Result<Option<Arc<ChatRequest>>, Error> {
    let KeptCall { request, durable, sent, items, .. } = call;
    let is_told = items.iter().rev().find_map(|item| match item {
        Ok(ReplyEvent::Started { .. }) => Some(true),
        Ok(ReplyEvent::Reset(_)) => Some(false),
        _ => None,
    });
    let ended = |then: &str| Failure::new(FailureClass::Crashed, format!("the process that worked on it ended{then}"));
    let interrupted = |then| Error::Interrupted { failure: ended(then), attempts: Vec::new() };
    if *sent > 0 && *durable == Durable::Once {
        return Err(interrupted(" once it was sent, and it is to be sent once"));
    }
    // Its readers have the beginning of an answer.
    if is_told == Some(true) {
        if request.commit == CommitPolicy::Fail {
            return Err(interrupted(" in the middle of its answer"));
        }
        let reset = vec![Ok(ReplyEvent::Reset(ended("")))];
        if !journal.tell(log.length(), &reset).await? {
            return Ok(None);
        }
        log.extend(reset);
    }
    let passed = wall().duration_since(log.begun_at()).unwrap_or_default();
    later(request.clone(), passed).map(Some)
}

/// Returns a request with the time that it has left, if it has any.
pub(super) fn later(request: Arc<ChatRequest>, passed: Duration) -> Result<Arc<ChatRequest>, Error> {
    let Some(deadline) = request.deadline else { return Ok(request) };
    let left = deadline.checked_sub(passed).filter(|left| !left.is_zero());
    let left = left.ok_or(Error::DeadlineExceeded { attempts: Vec::new() })?;
    Ok(Arc::new(ChatRequest { deadline: Some(left), ..ChatRequest::clone(&request) }))
}

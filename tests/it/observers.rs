//! Observers get a record of each attempt and call that ended: once, complete, and without influence on it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use standin::runtime::{CallStep, Observer, QUEUE_MAX, Record};
use standin::testing::{Crash, Fault, ProviderError, Script, Scripted, crash};
use standin::{AttemptEnd, ChatRequest, Error, FailureClass, Priority, Runtime};

use super::kit::{config, unhurried, words};

/// Passes every record on.
struct Passes(Mutex<Sender<Record>>);

impl Observer for Passes {
    fn observe(&self, record: &Record) {
        let _ = self.0.lock().expect("nobody panics here").send(record.clone());
    }
}

fn passes() -> (Passes, Receiver<Record>) {
    let (sender, receiver) = channel();
    (Passes(Mutex::new(sender)), receiver)
}

/// Returns the next record. Observers have threads of their own, which no paused clock stops.
fn next(records: &Receiver<Record>) -> Record {
    records.recv_timeout(Duration::from_secs(10)).expect("a record")
}

fn ask() -> ChatRequest {
    let mut request = ChatRequest::new("smart").user("hello").session("s-1");
    request.tags.insert("team".to_owned(), "red".to_owned());
    request.priority = Priority::Interactive;
    request
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_each_attempt_and_of_the_call_with_all_that_is_known_of_them() {
    let providers = [Scripted::new(Script::default()), Scripted::new(Script::default())];
    providers[0].next(1, Fault::Error(ProviderError::Overloaded));
    let (observer, records) = passes();
    let builder = Runtime::builder().config(config(&providers)).observer("passes", observer);
    let runtime = builder.start().await.expect("a good configuration");
    let before = SystemTime::now() - Duration::from_secs(1);
    let reply = runtime.chat(ask()).await.expect("an answer");

    let (Record::Attempt(first), Record::Attempt(second), Record::Call(call)) =
        (next(&records), next(&records), next(&records))
    else {
        panic!("two attempts, then their call");
    };
    assert_eq!((&*first.target.provider, first.attempt, &*first.key), ("a", 1, "none"));
    assert!(matches!(&first.end, AttemptEnd::Failed(failure) if failure.class == FailureClass::Overloaded));
    assert_eq!((&*second.target.provider, second.attempt, second.won()), ("b", 2, true));
    for attempt in [&first, &second] {
        assert_eq!((attempt.call, attempt.about.id), (reply.finished.call, reply.finished.call));
        assert_eq!(attempt.about.tags.get("team").map(String::as_str), Some("red"));
        assert_eq!((&*attempt.about.route, attempt.about.session.as_deref()), ("smart", Some("s-1")));
        assert_eq!(attempt.about.priority, Priority::Interactive);
        assert!(attempt.started_at() >= before && attempt.bytes_sent > 0 && attempt.bytes_received > 0, "{attempt:?}");
        assert!(!attempt.probe && !attempt.last_resort && !attempt.hedge, "{attempt:?}");
    }
    assert_eq!(second.model, reply.finished.model);
    assert_eq!((call.call, call.attempts, call.outcome()), (reply.finished.call, 2, "answered"));
    assert!(Arc::ptr_eq(&call.about, &second.about), "it is said once");
    assert_eq!(runtime.attempts(reply.finished.call), [(*first).clone(), (*second).clone()]);
    assert_eq!(runtime.why(reply.finished.call), Some(call));
}

#[tokio::test(start_paused = true)]
async fn every_call_has_one_record_however_it_ends() {
    let providers = [Scripted::new(unhurried())];
    let (observer, records) = passes();
    let builder = Runtime::builder().config(config(&providers)).observer("passes", observer);
    let runtime = builder.start().await.expect("a good configuration");
    // The tasks that are left have to run, and so do the observer's own thread and clock.
    let outcome = async || {
        for _ in 0..5_000 {
            while let Ok(record) = records.try_recv() {
                if let Record::Call(call) = record {
                    return call.outcome();
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("no record of a call");
    };
    runtime.chat(ask()).await.expect("an answer");
    assert_eq!(outcome().await, "answered");

    let mut walled = ask();
    walled.labels = vec!["no-such-label".to_owned()];
    let error = runtime.chat(walled).await.expect_err("nobody has it");
    assert_eq!(outcome().await, error.name());

    let long = || ask().user(words(200));
    assert!(tokio::time::timeout(Duration::from_secs(1), runtime.chat(long())).await.is_err());
    assert_eq!(outcome().await, "caller_left");

    let waiting = tokio::spawn({
        let runtime = runtime.clone();
        let long = long();
        async move { runtime.chat(long).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(crash(&runtime, Crash::CallsKilled));
    assert!(waiting.await.expect("no panic").is_err());
    assert_eq!(outcome().await, "crashed");
    let pages: Vec<_> = runtime.recent().iter().map(|flight| flight.outcome()).collect();
    assert_eq!(pages, ["answered", error.name(), "caller_left", "crashed"]);
    let last = runtime.recent().pop().expect("the last");
    assert!(matches!(last.steps.last(), Some((_, CallStep::GaveUp(Error::Crashed)))), "{last}");
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_is_told_nothing_more_and_the_others_go_on() {
    struct Panics(Arc<AtomicUsize>);
    impl Observer for Panics {
        fn observe(&self, _: &Record) {
            self.0.fetch_add(1, Relaxed);
            panic!("an observer's own fault");
        }
    }
    let told = Arc::new(AtomicUsize::new(0));
    let (observer, records) = passes();
    let builder = Runtime::builder().config(config(&[Scripted::new(Script::default())]));
    let builder = builder.observer("panics", Panics(told.clone())).observer("passes", observer);
    let runtime = builder.start().await.expect("a good configuration");
    for _ in 0..3 {
        runtime.chat(ask()).await.expect("an answer");
        // One after the other, so that it has panicked before it is told again.
        next(&records);
        next(&records);
        while !runtime.health().observers.iter().any(|observer| observer.gone) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let health = runtime.health();
    let panics = health.observers.iter().find(|observer| &*observer.name == "panics").expect("it is named");
    assert!(panics.gone && panics.lost >= 4, "{panics:?}");
    assert_eq!(told.load(Relaxed), 1);
    assert!(
        health.observers.iter().filter(|observer| &*observer.name != "panics").all(|one| !one.gone && one.lost == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_hangs_holds_up_no_call_and_health_says_what_it_lost() {
    struct Hangs(Mutex<Receiver<()>>);
    impl Observer for Hangs {
        fn observe(&self, _: &Record) {
            let _ = self.0.lock().expect("nobody panics here").recv();
        }
    }
    let (go_on, hangs) = channel();
    let builder = Runtime::builder().config(config(&[Scripted::new(Script::default())]));
    let builder = builder.observer("hangs", Hangs(Mutex::new(hangs)));
    let runtime = builder.start().await.expect("a good configuration");
    let calls = QUEUE_MAX / 2 + 10;
    for _ in 0..calls {
        runtime.chat(ask()).await.expect("an answer");
    }
    let observers = runtime.health().observers;
    let lost = observers.iter().find(|observer| &*observer.name == "hangs").map(|observer| observer.lost);
    // Each call has two records; one is being looked at, as many as the queue holds wait.
    let expected = u64::try_from(2 * calls - QUEUE_MAX - 1).expect("a small number");
    assert!(lost.is_some_and(|lost| lost == expected || lost == expected + 1), "{lost:?}, expected {expected}");
    assert_eq!(runtime.totals()[0].1.attempts, calls as u64, "the ledger loses nothing");
    drop(go_on);
}

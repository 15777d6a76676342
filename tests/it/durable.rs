//! Durable calls: a runtime that starts on the file of another one finds them.

use std::time::{Duration, SystemTime};

use standin::config::{KeyConfig, StoreConfig};
use standin::runtime::{CallSelector, CallStatus, GroupBy, Question};
use standin::testing::{Answer, Fault, Script, Scripted};
use standin::{ChatRequest, CommitPolicy, Config, Durable, Error, ReplyEvent, RouteConfig, Runtime};

use super::kit::{Folder, S, ask, config, read, start};

/// A store in a folder of its own.
struct File(Folder);

impl File {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn config(&self, scripts: &[Scripted]) -> Config {
        Config { store: Some(StoreConfig::new(self.0.file("standin.db"))), ..config(scripts) }
    }

    /// The same, whose durable calls are sealed with the first of these keys.
    fn sealed(&self, scripts: &[Scripted], keys: &[&str]) -> Config {
        let mut config = self.config(scripts);
        let keys = keys.iter().map(|key| KeyConfig::value(key.repeat(32))).collect();
        config.store.as_mut().expect("a store").encryption_keys = keys;
        config
    }

    fn bytes(&self) -> Vec<u8> {
        let read = |name: &str| std::fs::read(self.0.file(name)).unwrap_or_default();
        [read("standin.db"), read("standin.db-wal")].concat()
    }
}

fn durable(text: &str) -> ChatRequest {
    ask(text).durable(Durable::Again)
}

async fn received(scripted: &Scripted, requests: u64) {
    let seen = async {
        while scripted.received() < requests {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(20 * S, seen).await.expect("it asks");
}

async fn again(runtime: &Runtime) -> u64 {
    runtime.ledger(Question::by(GroupBy::All)).await.expect("a ledger").again
}

#[tokio::test]
async fn an_accepted_call_is_finished_by_the_next_process_and_the_ledger_counts_repeated_attempts() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    provider.next(2, Fault::Hang);
    let first = start(file.config(std::slice::from_ref(&provider))).await;
    let call = first.submit(durable("hello").key("k")).await.expect("accepted");
    let once = first.submit(ask("once").durable(Durable::Once)).await.expect("accepted");
    let ids = (call.id(), once.id());
    received(&provider, 2).await;
    first.drain(Duration::ZERO).await;
    assert_eq!((call.status(), once.status()), (CallStatus::Suspended, CallStatus::Suspended), "neither has failed");
    assert_eq!(call.wait().await, Err(Error::Draining));
    drop((call, once));
    drop(first);

    let second = start(file.config(std::slice::from_ref(&provider))).await;
    let call = second.resume(ids.0).await.expect("taken up");
    assert_eq!(call.wait().await.expect("an answer").text, "hello");
    let joined = second.chat(durable("hello").key("k")).await.expect("the same");
    assert_eq!(joined, call.wait().await.expect("an answer"));
    let flight = second.why(joined.finished.call).expect("recorded");
    assert!(flight.again && flight.to_string().contains(&format!("accepted as {}", ids.0)), "{flight}");
    let once = second.resume(ids.1).await.expect("kept");
    assert!(matches!(once.wait().await, Err(Error::Interrupted { .. })));
    assert_eq!((once.status(), provider.received(), again(&second).await), (CallStatus::Failed, 3, 1));
}

#[tokio::test]
async fn an_answer_is_read_the_same_by_every_process_from_every_place_and_found_by_its_key() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    provider.next(1, Fault::CutAfter(2));
    let first = start(file.config(std::slice::from_ref(&provider))).await;
    let mut request = durable("one two three four").key("k");
    request.tags.insert("team".into(), "red".into());
    let call = first.submit(request.clone()).await.expect("accepted");
    let (id, seen) = (call.id(), read(call.stream_from(0)).await);
    assert!(seen.shape().ends_with("text finished"), "{}", seen.shape());
    drop(call);
    first.drain(S).await;
    drop(first);
    let second = start(file.config(std::slice::from_ref(&provider))).await;
    let call = second.resume(id).await.expect("kept");
    for offset in 0..=seen.events.len() {
        assert_eq!(read(call.stream_from(offset)).await.events, seen.events[offset..]);
    }
    let asked = provider.received();
    assert_eq!(second.chat(request.clone()).await.expect("the same").finished, *seen.finished());
    let other = ChatRequest { messages: ask("other").messages, ..request.clone() };
    assert_eq!(second.chat(other).await, Err(Error::KeyConflict));
    assert_eq!((provider.received(), again(&second).await), (asked, 0));
    // A forgotten call is gone, however it is named.
    second.forget(CallSelector::Tag("team".into(), "blue".into())).await.expect("nothing to do");
    second.forget(CallSelector::Before(SystemTime::UNIX_EPOCH)).await.expect("nothing to do");
    assert_eq!(second.resume(id).await.expect("kept").status(), CallStatus::Answered);
    second.forget(CallSelector::Tag("team".into(), "red".into())).await.expect("forgotten");
    assert!(matches!(second.resume(id).await, Err(Error::NotKept(_))));
    let anew = second.submit(request).await.expect("accepted");
    anew.wait().await.expect("an answer");
    assert_ne!(anew.id(), id);
    second.forget(CallSelector::Before(SystemTime::now() + S)).await.expect("forgotten");
    assert!(matches!(second.resume(anew.id()).await, Err(Error::NotKept(_))));
}

#[tokio::test]
async fn a_key_finds_its_durable_call_after_a_restart_whether_or_not_that_is_asked_to_be_durable() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    let first = start(file.config(std::slice::from_ref(&provider))).await;
    let reply = first.chat(durable("hello").key("k")).await.expect("an answer");
    first.drain(S).await;
    drop(first);
    let second = start(file.config(std::slice::from_ref(&provider))).await;
    assert_eq!(second.chat(ask("other").key("k")).await, Err(Error::KeyConflict));
    assert_eq!(second.chat(ask("hello").key("k")).await.expect("the same"), reply);
    assert_eq!(provider.received(), 1);
    // What is not there is not waited for.
    second.chat(ask("hello").key("another")).await.expect("an answer");
    assert_eq!(provider.received(), 2);
}

#[tokio::test]
async fn what_was_accepted_before_a_restart_waits_for_a_place_and_is_not_refused() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    provider.next(8, Fault::Hang);
    let first = start(file.config(std::slice::from_ref(&provider))).await;
    let mut ids = Vec::new();
    for at in 0..8 {
        ids.push(first.submit(durable(&format!("call {at}"))).await.expect("accepted").id());
    }
    received(&provider, 8).await;
    first.drain(Duration::ZERO).await;
    drop(first);
    let narrow = Config { calls_max: 2, queue_max: 1, ..file.config(std::slice::from_ref(&provider)) };
    let second = start(narrow).await;
    for (at, id) in ids.into_iter().enumerate() {
        let call = second.resume(id).await.expect("taken up");
        let answer = tokio::time::timeout(20 * S, call.wait()).await.expect("in time");
        assert_eq!(answer.expect("an answer").text, format!("call {at}"));
    }
}

#[tokio::test]
async fn a_reader_of_an_answers_beginning_gets_a_reset_or_an_error() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    provider.next(3, Fault::StallAfter(2));
    let first = start(file.config(std::slice::from_ref(&provider))).await;
    let mut ids = Vec::new();
    for commit in [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered] {
        let request = ChatRequest { commit, ..durable("one two three four") };
        let call = first.submit(request).await.expect("accepted");
        let mut stream = call.stream_from(0);
        if commit != CommitPolicy::Buffered {
            while !matches!(stream.next().await, Some(Ok(ReplyEvent::Text(_)))) {}
        }
        ids.push(call.id());
    }
    received(&provider, 3).await;
    first.drain(Duration::ZERO).await;
    drop(first);
    let second = start(file.config(std::slice::from_ref(&provider))).await;
    let mut shapes = Vec::new();
    for id in ids {
        shapes.push(read(second.resume(id).await.expect("kept").stream_from(0)).await.shape());
    }
    assert_eq!(shapes[0], "a/m#1 text reset(crashed) a/m#1 text finished");
    assert_eq!(shapes[1], "a/m#1 text interrupted");
    assert_eq!(shapes[2], "a/m#1 text finished");
}

#[tokio::test]
async fn a_durable_call_without_a_store_is_refused_and_other_calls_are_not_kept() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    let without = start(config(std::slice::from_ref(&provider))).await;
    for refused in [without.chat(durable("hi")).await.err(), without.submit(durable("hi")).await.err()] {
        let refused = refused.expect("nothing is kept").to_string();
        assert_eq!(refused, "durable: nothing is kept beyond the process: the configuration has no [store]");
    }
    let mut routed = config(std::slice::from_ref(&provider));
    routed.routes.insert("kept".into(), RouteConfig { durable: Durable::Again, ..RouteConfig::new(["a/m"]) });
    let refused = Runtime::builder().config(routed.clone()).start().await.expect_err("no store").to_string();
    assert!(refused.starts_with("routes.kept.durable: needs a `[store]`"), "{refused}");

    routed.store = file.config(&[]).store;
    let runtime = start(routed).await;
    provider.say(Answer::text("plain answer"));
    runtime.chat(ask("a plain secret").key("plain")).await.expect("an answer");
    provider.say(Answer::text("kept answer"));
    runtime.chat(ChatRequest::new("kept").user("a kept secret")).await.expect("an answer");
    runtime.ledger(Question::by(GroupBy::All)).await.expect("written");
    let bytes = String::from_utf8_lossy(&file.bytes()).into_owned();
    assert!(bytes.contains("a kept secret") && bytes.contains("kept answer"));
    assert!(!bytes.contains("a plain secret") && !bytes.contains("plain answer"));
}

/// Returns why a runtime does not start.
async fn refusal(config: Config) -> String {
    Runtime::builder().config(config).start().await.expect_err("it does not start").to_string()
}

#[tokio::test]
async fn sealed_calls_leave_no_word_in_the_file_and_the_next_process_finishes_them() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    let scripts = std::slice::from_ref(&provider);
    let first = start(file.sealed(scripts, &["0a"])).await;
    provider.say(Answer::text("a whispered answer"));
    let answered = first.chat(durable("a whispered question").key("k")).await.expect("an answer");
    provider.next(1, Fault::Hang);
    let id = first.submit(durable("an unheard question")).await.expect("accepted").id();
    received(&provider, 2).await;
    first.drain(Duration::ZERO).await;
    drop(first);
    let bytes = String::from_utf8_lossy(&file.bytes()).into_owned();
    for word in ["whispered", "unheard", "question"] {
        assert!(!bytes.contains(word), "{word}");
    }
    // Without the key nothing is begun, and the error says what helps.
    for (keys, says) in [(&[][..], "no key is given"), (&["0b"][..], "given is "), (&["0b", "0c"][..], "given is ")] {
        let refused = refusal(file.sealed(scripts, keys)).await;
        assert!(refused.starts_with("store.encryption_keys: ") && refused.contains(says), "{keys:?}: {refused}");
        assert!(refused.contains("list that key in `store.encryption_keys`, behind the one that is to seal"));
        assert!(!refused.contains("0b0b") && !refused.contains("0a0a"), "{refused}");
    }
    let second = start(file.sealed(scripts, &["0a"])).await;
    let call = second.resume(id).await.expect("taken up");
    assert_eq!(call.wait().await.expect("an answer").text, "an unheard question");
    assert_eq!(second.chat(durable("a whispered question").key("k")).await.expect("kept").text, answered.text);
    assert_eq!(second.chat(durable("another question").key("k")).await, Err(Error::KeyConflict));
    assert_eq!(provider.received(), 3);
}

#[tokio::test]
async fn a_new_key_seals_while_earlier_ones_still_open_and_what_was_never_sealed_is_read() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    let scripts = std::slice::from_ref(&provider);
    let kept = async |config: Config, text: &str| {
        let runtime = start(config).await;
        let id = runtime.submit(durable(text)).await.expect("accepted").id();
        let answer = runtime.resume(id).await.expect("kept").wait().await.expect("an answer");
        assert_eq!(answer.text, text);
        runtime.drain(S).await;
        id
    };
    let plain = kept(file.config(scripts), "never sealed").await;
    let old = kept(file.sealed(scripts, &["0a"]), "sealed before").await;
    let new = kept(file.sealed(scripts, &["0b", "0a"]), "sealed anew").await;
    let bytes = String::from_utf8_lossy(&file.bytes()).into_owned();
    assert!(bytes.contains("never sealed") && !bytes.contains("sealed before") && !bytes.contains("sealed anew"));
    for missing in ["0a", "0b"] {
        assert!(refusal(file.sealed(scripts, &[missing])).await.contains("durable calls that the key"));
    }
    let all = start(file.sealed(scripts, &["0b", "0a"])).await;
    for (id, text) in [(plain, "never sealed"), (old, "sealed before"), (new, "sealed anew")] {
        let call = all.resume(id).await.expect(text);
        assert_eq!(call.wait().await.expect("an answer").text, text);
    }
    // Once what the earlier key sealed is forgotten, that key is no longer needed.
    all.forget(CallSelector::Call(old)).await.expect("forgotten");
    all.drain(S).await;
    drop(all);
    let last = start(file.sealed(scripts, &["0b"])).await;
    assert_eq!(last.resume(new).await.expect("kept").wait().await.expect("an answer").text, "sealed anew");
    assert!(matches!(last.resume(old).await, Err(Error::NotKept(_))));
}

#[tokio::test]
async fn of_what_is_forgotten_no_word_stays_in_the_file_or_its_journal_and_none_in_memory() {
    let file = File::new();
    let provider = Scripted::new(Script::default());
    let mut config = file.config(&[provider]);
    config.store.as_mut().expect("a store").durable_for = S;
    let runtime = start(config).await;
    let has = |words: &str| file.bytes().windows(words.len()).any(|window| window == words.as_bytes());
    let gone = async |words: &'static str| {
        let gone = async {
            while has(words) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(30 * S, gone).await.expect("no word of it stays");
    };
    let named = runtime.submit(durable("papaya")).await.expect("accepted");
    named.wait().await.expect("an answer");
    assert!(has("papaya"));
    assert_eq!(runtime.forget(CallSelector::Call(named.id())).await, Ok(1));
    gone("papaya").await;
    // The other goes by its age.
    let old = runtime.submit(durable("tamarillo")).await.expect("accepted");
    old.wait().await.expect("an answer");
    assert!(has("tamarillo"));
    gone("tamarillo").await;
    let id = old.id();
    drop(old);
    assert!(matches!(runtime.resume(id).await, Err(Error::NotKept(_))), "and memory has it no longer than the file");
}

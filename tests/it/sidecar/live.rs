//! Durable streams as their words come: in the background and beside it, over breaks and kills.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use standin::drill::Drill;
use standin::testing::{Fault, Script};

use super::background::{SAID, ask, body, ended, get, id, post, read_from_everywhere, stage_on};
use super::child::{Served, program};
use super::http::{self, Caller, Exchange, PATIENCE};
use crate::kit::Folder;

/// The time between two words of a provider.
const PACE: Duration = Duration::from_millis(150);
const DELTA: &str = "response.output_text.delta";

fn slow() -> Script {
    Script { per_token: PACE, ..Script::default() }
}

/// Begins a stream in the background.
async fn begin(to: SocketAddr, headers: &[(&str, &str)], more: Value) -> Exchange {
    let mut asked = json!({"stream": true});
    more.as_object().expect("fields").iter().for_each(|(name, value)| asked[name] = value.clone());
    Exchange::begin(to, "POST", "/v1/responses", headers, &body(asked).to_string()).await
}

/// Returns the id of an answer of which something is told.
fn told_id(so_far: &str) -> String {
    http::events(so_far)[0]["response"]["id"].as_str().expect("an id").to_owned()
}

/// Returns the events without comments.
fn without_comments(body: &str) -> String {
    body.split_inclusive("\n\n").filter(|event| !event.starts_with(':')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_the_background_tells_each_word_as_it_comes_and_the_same_from_every_place_at_every_time() {
    let folder = Folder::new();
    let stage = stage_on(&folder, slow(), |_| {}).await;
    let to = stage.sidecar.address();
    let began = Instant::now();
    let mut exchange = begin(to, &[], json!({})).await;
    exchange.until(|seen| seen.contains(DELTA)).await;
    let first = began.elapsed();
    assert_eq!(stage.counts(0).answered, 0, "the provider has more to say");
    let so_far = exchange.so_far();
    let id = told_id(&so_far);
    assert_eq!(get(to, &id).await.json()["status"], "in_progress");
    // Readers that come while it comes, from each place.
    let mut readers = Vec::new();
    for after in 0..12_usize {
        let path = format!("/v1/responses/{id}?stream=true&starting_after={after}");
        readers
            .push((after, tokio::spawn(async move { Exchange::begin(to, "GET", &path, &[], "").await.end().await })));
        tokio::time::sleep(PACE / 4).await;
    }
    let all = exchange.end().await;
    assert!(all.is_whole && began.elapsed() >= first + PACE * 3, "{:?} and {first:?}", began.elapsed());
    let all = without_comments(&all.body);
    assert_eq!(Caller::Responses.streamed(&all), SAID);
    assert_eq!(all.matches(&format!("event: {DELTA}")).count(), 5, "{all}");
    let events: Vec<&str> = all.split_inclusive("\n\n").collect();
    for (after, reader) in readers {
        let read = reader.await.expect("an answer");
        assert_eq!(
            (without_comments(&read.body), read.is_whole),
            (events[after + 1..].concat(), true),
            "after {after}"
        );
    }
    assert_eq!(read_from_everywhere(to, &id).await, all);
    assert_eq!(http::events(&all).last().expect("an end")["response"], get(to, &id).await.json());
    // Where nobody listens, or the caller says so, it is told when it is whole.
    for (headers, more) in [
        (&[][..], json!({"stream": false})),
        (&[("x-standin-stream", "buffered")], json!({"stream": true})),
        (&[("x-standin-stream", "live")], json!({"stream": false})),
    ] {
        let is_live = headers.contains(&("x-standin-stream", "live"));
        let answered = stage.counts(0).answered;
        let mut asking = begin(to, headers, more.clone()).await;
        asking.until(|seen| seen.contains("\"queued\"")).await;
        let so_far = asking.so_far();
        let at = so_far.find("resp_").expect("an id");
        let id = so_far[at..].split('"').next().expect("an id");
        let mut reading = Exchange::begin(to, "GET", &format!("/v1/responses/{id}?stream=true"), &[], "").await;
        reading.until(|seen| seen.contains(DELTA)).await;
        let was_answered = stage.counts(0).answered > answered;
        assert_eq!(was_answered, !is_live, "{headers:?}, {more}");
        assert_eq!(ended(to, id).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_stream_of_every_dialect_is_live_and_read_again_by_its_key() {
    let folder = Folder::new();
    let stage = stage_on(&folder, slow(), |_| {}).await;
    let to = stage.sidecar.address();
    for caller in Caller::ALL {
        let (key, (path, asked)) = (format!("{caller:?}"), caller.ask("smart", SAID, true));
        let headers = [("idempotency-key", &*key), ("x-standin-durable", "true")];
        let answered = stage.counts(0).answered;
        let mut exchange = Exchange::begin(to, "POST", &path, &headers, &asked.to_string()).await;
        exchange.until(|seen| seen.contains("one")).await;
        assert_eq!(stage.counts(0).answered, answered, "{caller:?}: the provider has more to say");
        // One that joins it hears the beginning, too.
        let joined = Exchange::begin(to, "POST", &path, &headers, &asked.to_string()).await;
        let (first, joined) = tokio::join!(exchange.end(), joined.end());
        assert!(first.is_whole && caller.streamed(&first.body) == SAID, "{first:?}");
        assert_eq!(joined.body, first.body, "{caller:?}");
        let later = Exchange::begin(to, "POST", &path, &headers, &asked.to_string()).await.end().await;
        assert_eq!((later.body, stage.counts(0).answered), (first.body, answered + 1), "{caller:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_answer_that_breaks_off_has_failed_and_a_buffered_one_is_asked_for_again() {
    let folder = Folder::new();
    let stage = stage_on(&folder, slow(), |_| {}).await;
    let to = stage.sidecar.address();
    stage.drills[0].handle().next(1, Fault::CutAfter(2));
    let live = begin(to, &[("idempotency-key", "k")], json!({})).await.end().await;
    let live = without_comments(&live.body);
    let id = told_id(&live);
    let whole = ended(to, &id).await;
    assert_eq!((&whole["status"], stage.counts(0).received), (&json!("failed"), 1), "{whole}");
    let said = whole["error"]["message"].as_str().expect("a message");
    assert!(said.starts_with("interrupted: the answer broke off: cut"), "{said}");
    let last = http::events(&live).pop().expect("an end");
    assert_eq!((&last["type"], &last["response"]), (&json!("response.failed"), &whole));
    assert_eq!((Caller::Responses.streamed(&live), read_from_everywhere(to, &id).await), ("one two".into(), live));
    // Its key is free: who asks again makes another call.
    let again = begin(to, &[("idempotency-key", "k")], json!({})).await.end().await;
    assert_ne!(told_id(&again.body), id);
    assert_eq!((Caller::Responses.streamed(&again.body), stage.counts(0).received), (SAID.into(), 2));
    stage.drills[0].handle().next(1, Fault::CutAfter(2));
    let buffered = begin(to, &[("x-standin-stream", "buffered")], json!({})).await.end().await;
    assert_eq!((Caller::Responses.streamed(&buffered.body), stage.counts(0).received), (SAID.into(), 4));
}

/// A drill, and a program that is to be killed over it: with a store in a folder of its own.
async fn program_over(name: &str) -> (Drill, impl Fn() -> Served) {
    let drill = Drill::start(slow()).await.expect("a drill");
    let (_, folder) = program(name);
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = fs::remove_file(folder.join(format!("kept.db{ending}")));
    }
    let text = format!(
        "[providers.a]\nbase_url = \"http://{}/v1\"\nmodels.m = {{}}\n[routes.smart]\ntargets = [\"a/m\"]\n[store]\n\
         path = \"kept.db\"\n",
        drill.address()
    );
    fs::write(folder.join("given.toml"), text).expect("a file");
    let name = name.to_owned();
    (drill, move || Served::start(&name, &["--config", "given.toml"], |_| {}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_answer_that_a_kill_breaks_off_is_never_continued_by_another_one() {
    let (drill, serve) = program_over("live-killed").await;
    let mut served = serve();
    let to = served.address;
    drill.handle().next(3, Fault::StallAfter(2));
    let mut live = begin(to, &[("idempotency-key", "k")], json!({"input": "one two three live"})).await;
    live.until(|seen| seen.contains(" two\"")).await;
    let live_id = told_id(&live.so_far());
    let buffered = id(&post(to, &[], json!({})).await);
    let once = id(&post(to, &[("x-standin-durable", "once")], json!({"input": "once"})).await);
    let sent = async {
        while drill.handle().counts().received < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("all are sent");
    let mut reading = Exchange::begin(to, "GET", &format!("/v1/responses/{live_id}?stream=true"), &[], "").await;
    reading.until(|seen| seen.contains(" two\"")).await;
    served.signal("KILL");
    served.ended();
    let heard = [live.end().await, reading.end().await];

    let served = serve();
    let to = served.address;
    let whole = ended(to, &live_id).await;
    assert_eq!(
        (&whole["status"], &whole["error"]["message"]),
        (&json!("failed"), &json!("interrupted: the process that worked on it ended in the middle of its answer"))
    );
    let all = read_from_everywhere(to, &live_id).await;
    assert_eq!((Caller::Responses.streamed(&all), all.matches("response.failed").count()), ("one two".into(), 2));
    assert_eq!(http::events(&all).last().expect("an end")["response"], whole);
    for heard in heard {
        let heard_all = without_comments(&heard.body);
        assert!(!heard.is_whole && all.starts_with(&heard_all) && !heard_all.contains("response.failed"), "{heard:?}");
    }
    // What had told nothing is asked for again, unless it is to be sent once.
    assert_eq!(Caller::Responses.text(&ended(to, &buffered).await), SAID);
    let whole = ended(to, &once).await;
    let says = "interrupted: the process that worked on it ended once it was sent, and it is to be sent once";
    assert_eq!((&whole["status"], &whole["error"]["message"]), (&json!("failed"), &json!(says)));
    assert_eq!(drill.handle().counts().received, 4);
    // The key of what failed is free.
    let again = begin(to, &[("idempotency-key", "k")], json!({"input": "one two three live"})).await.end().await;
    assert_eq!(Caller::Responses.streamed(&again.body), "one two three live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_finds_a_durable_call_whether_or_not_it_is_asked_to_be_durable_and_live() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    for (number, first) in [false, true].into_iter().enumerate() {
        let key = format!("k{number}");
        let durable = [("idempotency-key", &*key), ("x-standin-durable", "true")];
        let reply = http::ask_with(to, Caller::Chat, "smart", SAID, first, &durable).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let call = reply.header("x-standin-call").expect("an id").to_owned();
        for stream in [false, true] {
            for more in [None, Some(("x-standin-durable", "true")), Some(("x-standin-durable", "false"))] {
                for told in [None, Some(("x-standin-stream", "live")), Some(("x-standin-stream", "buffered"))] {
                    let headers: Vec<_> = [("idempotency-key", &*key)].into_iter().chain(more).chain(told).collect();
                    let reply = http::ask_with(to, Caller::Chat, "smart", SAID, stream, &headers).await;
                    assert_eq!(
                        (reply.status, reply.header("x-standin-call")),
                        (200, Some(&*call)),
                        "{headers:?}: {reply:?}"
                    );
                    let said =
                        if stream { Caller::Chat.streamed(&reply.body) } else { Caller::Chat.text(&reply.json()) };
                    assert_eq!(said, SAID, "{headers:?}");
                }
            }
        }
    }
    assert_eq!(stage.counts(0).received, 2);
    // What is to outlive the process cannot be had of a call that does not.
    let plain = [("idempotency-key", "plain")];
    assert_eq!(http::ask_with(to, Caller::Chat, "smart", SAID, false, &plain).await.status, 200);
    let durable = [plain[0], ("x-standin-durable", "true")];
    assert_eq!(http::ask_with(to, Caller::Chat, "smart", SAID, false, &durable).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_by_every_name_of_the_file_and_without_the_lock_beside_it() {
    let (drill, serve) = program_over("one-writer").await;
    let (_, folder) = program("one-writer");
    let config = fs::read_to_string(folder.join("given.toml")).expect("a file");
    for name in ["soft.db", "hard.db", "folder"] {
        let _ = fs::remove_file(folder.join(name));
    }
    let mut served = serve();
    // It listens before it serves.
    let id = id(&post(served.address, &[], json!({})).await);
    std::os::unix::fs::symlink("kept.db", folder.join("soft.db")).expect("a link");
    std::os::unix::fs::symlink(&folder, folder.join("folder")).expect("a link");
    fs::hard_link(folder.join("kept.db"), folder.join("hard.db")).expect("a link");
    let is_refused = |path: &str| {
        fs::write(folder.join("other.toml"), config.replace("kept.db", path)).expect("a file");
        let (mut command, _) = program("one-writer");
        let listen = super::child::free().to_string();
        command.args(["serve", "--config", "other.toml", "--listen", &listen]);
        let refused = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains("is kept by "), "{path}: {said}");
    };
    for path in ["kept.db", "soft.db", "./folder/kept.db", "hard.db"] {
        is_refused(path);
    }
    fs::remove_file(folder.join("kept.db-lock")).expect("a file");
    for path in ["kept.db", "soft.db", "hard.db"] {
        is_refused(path);
    }
    assert_eq!(Caller::Responses.text(&ended(served.address, &id).await), SAID);
    assert_eq!(drill.handle().counts().received, 1, "nobody else took it up");
    // A kill frees both locks.
    served.signal("KILL");
    served.ended();
    let served = serve();
    assert_eq!(Caller::Responses.text(&get(served.address, &id).await.json()), SAID);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_of_a_call_needs_an_operator_and_no_retry() {
    let folder = Folder::new();
    let sealed = |settings: &mut standin::sidecar::Settings| {
        let store = settings.runtime.store.as_mut().expect("a store");
        store.encryption_keys = vec![standin::config::KeyConfig::value("0a".repeat(32))];
    };
    let stage = stage_on(&folder, Script::default(), sealed).await;
    let id = id(&post(stage.sidecar.address(), &[("idempotency-key", "k")], json!({})).await);
    ended(stage.sidecar.address(), &id).await;
    stage.sidecar.stop(PATIENCE).await;
    let write = |sql: &str| {
        let file = rusqlite::Connection::open(folder.file("standin.db")).expect("a file");
        file.execute_batch(sql).expect("a change");
    };
    write("UPDATE kept_item SET item = zeroblob(length(item)) WHERE at = 0");
    let sidecar = standin::sidecar::Sidecar::start(stage.settings.clone()).await.expect("a sidecar");
    let to = sidecar.address();
    let refused = async |says: &str| {
        let by_key = post(to, &[("idempotency-key", "k")], json!({})).await;
        for refused in [get(to, &id).await, ask(to, "POST", &format!("{id}/cancel"), &[]).await, by_key] {
            assert_eq!((refused.status, refused.header("x-should-retry")), (424, Some("false")), "{refused:?}");
            let said = refused.json();
            assert_eq!(said["error"]["code"], "needs_operator");
            assert!(Caller::Responses.message(&said).starts_with(says), "{said}");
        }
    };
    refused("unopened: what is kept of the call was damaged, changed or moved since it was written").await;
    write("UPDATE kept_item SET seal = 7 WHERE at = 0");
    refused("unopened: what is kept of the call was sealed by the key 0000000000000007, and given is ").await;
}

//! Keys: read from their sources, renewed before they expire, read again when they are refused, and chosen by what is
//! left of their limits.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use standin::config::{IssuedKey, KeyConfig};
use standin::health::{Disabled, Force};
use standin::testing::{Crash, Fault, Script, Scripted, crash};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use standin::{Event, FailureClass as Class, ModelConfig};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, all, ask, events, is_up, path, settle, start, target, world_with};

const MINUTE: Duration = Duration::from_secs(60);

/// Accounts: each key that is known leads to a provider with limits of its own, any other is refused.
#[derive(Clone, Debug)]
struct Accounts {
    known: Arc<Mutex<HashMap<String, Scripted>>>,
    stranger: Scripted,
    /// The keys of all requests, in order.
    used: Arc<Mutex<Vec<String>>>,
}

impl Accounts {
    fn new(known: &[&str]) -> Self {
        let stranger = Scripted::new(Script { keys: vec!["nobody's".into()], ..Script::default() });
        let accounts = Self { known: Arc::default(), stranger, used: Arc::default() };
        accounts.know(known);
        accounts
    }

    /// Knows these keys from now on and no others.
    fn know(&self, keys: &[&str]) {
        let accounts = keys.iter().map(|key| ((*key).to_owned(), Scripted::new(Script::default())));
        *self.known.lock().expect("no panic") = accounts.collect();
    }

    fn limit(&self, key: &str, requests_per_minute: u32) {
        let account = Scripted::new(Script { requests_per_minute, ..Script::default() });
        self.known.lock().expect("no panic").insert(key.to_owned(), account);
    }

    fn account(&self, key: &str) -> Scripted {
        self.known.lock().expect("no panic").get(key).unwrap_or(&self.stranger).clone()
    }

    /// The keys that were used since the last time.
    fn used(&self) -> Vec<String> {
        std::mem::take(&mut self.used.lock().expect("no panic"))
    }
}

impl Transport for Accounts {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let header = request.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let key = header.trim_start_matches("Bearer ").to_owned();
        let account = self.account(&key);
        self.used.lock().expect("no panic").push(key);
        Box::pin(async move { account.send(request).await })
    }
}

/// Starts a runtime over provider `a` with these accounts and keys, and `b` that needs no key.
async fn world_of(accounts: &Accounts, keys: impl IntoIterator<Item = KeyConfig>) -> World {
    world_with(2, Script::default(), |config| {
        let a = config.providers.get_mut("a").expect("a");
        a.custom = Some(Arc::new(accounts.clone()));
        a.keys = keys.into_iter().collect();
    })
    .await
}

/// Issues keys, by the number of the time it is asked, and counts those.
#[derive(Clone, Default)]
struct Mint(Arc<AtomicU32>);

impl Mint {
    fn key(&self, takes: Duration, issue: impl Fn(u32) -> Option<IssuedKey> + Send + Sync + 'static) -> KeyConfig {
        let count = self.0.clone();
        let issue = Arc::new(issue);
        KeyConfig::renewing("cloud", move || {
            let (number, issue) = (count.fetch_add(1, SeqCst) + 1, issue.clone());
            async move {
                sleep(takes).await;
                issue(number).ok_or("sk-in-an-error")
            }
        })
    }

    fn issued(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

/// A file that is gone after the test.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str, text: &str) -> Self {
        let secret = Self(std::env::temp_dir().join(format!("standin-{}-{name}", std::process::id())));
        secret.write(text);
        secret
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a folder to write to");
    }

    fn key(&self) -> KeyConfig {
        KeyConfig::file(self.0.clone())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn way(world: &World) -> String {
    match world.runtime.chat(ask("hello")).await {
        Ok(reply) => path(&reply.finished.attempts),
        Err(error) => format!("{}; {}", path(error.attempts()), error.name()),
    }
}

/// The message of a call's first failed attempt, and everything else that can be seen of it.
async fn complaint(world: &World) -> (String, String) {
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer of b");
    let standin::AttemptEnd::Failed(failure) = &reply.finished.attempts[0].end else { panic!("a has answered") };
    let flight = world.runtime.why(reply.finished.call);
    let seen = format!("{reply:?} {flight:?} {:?} {:?}", world.config, world.runtime.health());
    (failure.message.clone(), seen)
}

fn disabled_keys(told: &mut standin::runtime::Events) -> Vec<String> {
    let disabled = events(told).into_iter().filter_map(|event| match event {
        Event::KeyDisabled { key, class, .. } => Some(format!("{key} {class}")),
        _ => None,
    });
    disabled.collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_read_where_it_is_said_to_be() {
    let file = Secret::new("said", "  sk-in-a-file \n");
    let path_variable = std::env::var("PATH").expect("everybody has one");
    let issue = || async { Ok::<_, ()>(IssuedKey::new("sk-issued")) };
    let mut cases = vec![
        (KeyConfig::value("sk-plain"), "sk-plain".to_owned()),
        (KeyConfig::env("PATH"), path_variable),
        (file.key(), "sk-in-a-file".into()),
        (KeyConfig::renewing("cloud", issue), "sk-issued".into()),
    ];
    if cfg!(unix) {
        cases.push((KeyConfig::command("echo", ["sk printed", "$HOME"]), "sk printed $HOME".into()));
    }
    for (key, expected) in cases {
        let accounts = Accounts::new(&[&expected]);
        let world = world_of(&accounts, [key.clone()]).await;
        assert_eq!(way(&world).await, "a/m won", "{key:?}");
        assert_eq!(accounts.used(), [expected]);
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_takes_its_key_out_and_the_message_names_it_and_nothing_that_came_from_it() {
    let broken = Secret::new("broken", "sk-secret\nsk-secret");
    let empty = Secret::new("empty", "\n");
    let mint = Mint::default();
    let panicking = || async { panic!("sk-secret") as Result<IssuedKey, ()> };
    let mut cases = vec![
        (KeyConfig::env("STANDIN_NO_SUCH_VARIABLE"), "key `key-1`: its environment variable is not set"),
        (KeyConfig::file("/no/such/file"), "key `key-1`: its file cannot be read: entity not found"),
        (broken.key(), "gave a key that holds what no header may, a line break perhaps"),
        (empty.key(), "gave a key that is empty"),
        (mint.key(S, |_| None), "key `cloud`: its function returned an error"),
        (
            mint.key(S, |_| Some(IssuedKey::new("sk-secret\r\n"))),
            "its function gave a key that holds what no header may",
        ),
        (KeyConfig::renewing("cloud", panicking), "its function panicked"),
        (KeyConfig::command("/no/such/program", ["sk-secret"]), "its command cannot be run"),
    ];
    if cfg!(unix) {
        let key = KeyConfig::command("sh", ["-c", "echo sk-secret; echo sk-secret >&2; exit 7"]);
        cases.push((key, "its command failed with exit status: 7"));
    }
    for (key, expected) in cases {
        let accounts = Accounts::new(&[]);
        let world = world_of(&accounts, [key]).await;
        let mut told = world.runtime.subscribe();
        let (message, seen) = complaint(&world).await;
        assert!(message.contains(expected), "{message}");
        assert!(!seen.contains("sk-secret") && !seen.contains("sk-in-an-error"), "{seen}");
        assert!(
            !message.contains("/no/such") && !message.contains("NO_SUCH"),
            "where it is, is the operator's: {message}"
        );
        assert_eq!(accounts.used(), [""; 0], "nothing was sent");
        settle().await;
        let verdict = world.health("a/m").disabled;
        assert!(matches!(verdict, Some(Disabled::Verdict { class: Class::Unauthorised, .. })), "{verdict:?}");
        assert_eq!(disabled_keys(&mut told).len(), 1);
        assert_eq!(way(&world).await, "b/m won");
        assert_eq!(world.health("a/m").failed, 0, "the target is not to blame");
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_source_failed_is_taken_out_alone_and_checked_again_after_ten_minutes() {
    let file = Secret::new("late", "");
    let accounts = Accounts::new(&["one", "two"]);
    let world = world_of(&accounts, [file.key(), KeyConfig::value("two")]).await;
    assert_eq!(way(&world).await, "a/m unauthorised, a/m won");
    file.write("one");
    for _ in 0..9 {
        assert_eq!(way(&world).await, "a/m won");
        sleep(MINUTE).await;
    }
    assert_eq!(accounts.used(), ["two"; 10]);
    sleep(MINUTE).await;
    for _ in 0..2 {
        assert_eq!(way(&world).await, "a/m won");
    }
    assert!(accounts.used().contains(&"one".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_renewed_before_it_expires_and_no_call_waits_for_it() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token-1", "token-2", "token-3", "token-4"]);
    let key = mint.key(3 * S, |number| Some(IssuedKey::new(format!("token-{number}")).expires_in(60 * MINUTE)));
    let world = world_of(&accounts, [key]).await;
    let begun = Instant::now();
    assert_eq!(way(&world).await, "a/m won");
    assert_eq!(begun.elapsed(), 3 * S, "the first call waits");
    while begun.elapsed() < 180 * MINUTE {
        let (age, issued) = (begun.elapsed(), mint.issued());
        let asked = Instant::now();
        assert_eq!(way(&world).await, "a/m won");
        assert_eq!(asked.elapsed(), Duration::ZERO, "at {age:?}");
        // A minute before it expires, the old one going out meanwhile.
        if mint.issued() > issued {
            assert_eq!(accounts.used().last(), Some(&format!("token-{issued}")));
            assert!((59..60).contains(&(age.as_secs() / 60 % 60)) || age.as_secs() / 60 > 117, "at {age:?}");
        }
        sleep(10 * S).await;
    }
    assert_eq!(mint.issued(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_old_key_until_it_has_expired_and_is_tried_again_every_second() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token"]);
    let lifetime = 100 * S;
    let key = mint.key(Duration::ZERO, move |number| {
        (number == 1 || number > 13).then(|| IssuedKey::new("token").expires_in(lifetime))
    });
    let world = world_of(&accounts, [key]).await;
    let mut told = world.runtime.subscribe();
    assert_eq!(way(&world).await, "a/m won");
    sleep(90 * S).await;
    // Ten calls a second in the last ten seconds of its life.
    for _ in 0..100 {
        assert_eq!(way(&world).await, "a/m won");
        sleep(100 * MS).await;
    }
    assert!((10..=12).contains(&mint.issued()), "{} readings", mint.issued());
    assert_eq!(disabled_keys(&mut told), [""; 0]);
    assert_eq!(way(&world).await, "a/m unauthorised, b/m won");
    settle().await;
    assert_eq!(disabled_keys(&mut told), ["cloud unauthorised"]);
    sleep(5 * MINUTE).await;
    assert_eq!(way(&world).await, "b/m won");
    sleep(5 * MINUTE).await;
    while mint.issued() < 14 {
        let _ = way(&world).await;
        sleep(10 * MINUTE).await;
    }
    assert_eq!(way(&world).await, "a/m won", "its source works again");
}

#[tokio::test(start_paused = true)]
async fn calls_that_need_a_key_at_once_share_one_reading_and_one_that_leaves_does_not_break_it() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token"]);
    let world = world_of(&accounts, [mint.key(S, |_| Some(IssuedKey::new("token")))]).await;
    let begun = Instant::now();
    let first = tokio::time::timeout(500 * MS, way(&world));
    let others = (0..50).map(|_| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move {
            sleep(100 * MS).await;
            runtime.chat(ask("hello")).await.map(|reply| path(&reply.finished.attempts))
        })
    });
    let others: Vec<_> = others.collect();
    assert!(first.await.is_err(), "it has left");
    for way in all(others).await {
        assert_eq!(way.expect("an answer"), "a/m won");
    }
    assert_eq!((mint.issued(), begun.elapsed()), (1, S));
    settle().await;
    world.assert_idle();
    let ttft = world.health("a/m").ttft.p50;
    assert!(ttft < S / 2, "the wait for the key is not the target's: {ttft:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_that_has_changed_is_sent_again_within_the_attempt() {
    let file = Secret::new("rotated", "one\n");
    let accounts = Accounts::new(&["one"]);
    let world = world_of(&accounts, [file.key()]).await;
    let mut told = world.runtime.subscribe();
    assert_eq!(way(&world).await, "a/m won");
    file.write("two\n");
    accounts.know(&["two"]);
    assert_eq!(way(&world).await, "a/m won");
    assert_eq!(way(&world).await, "a/m won");
    assert_eq!(accounts.used(), ["one", "one", "two", "two"]);
    settle().await;
    assert_eq!(disabled_keys(&mut told), [""; 0]);
    assert_eq!(world.runtime.totals().iter().map(|(_, totals)| totals.attempts).sum::<u64>(), 3);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_whose_key_was_rotated_read_it_once_and_are_all_answered() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token-1"]);
    let key = mint.key(S, |number| Some(IssuedKey::new(format!("token-{number}"))));
    let world = world_of(&accounts, [key]).await;
    assert_eq!(way(&world).await, "a/m won");
    accounts.know(&["token-2"]);
    let calls = (0..100).map(|_| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move { runtime.chat(ask("hello")).await.map(|reply| path(&reply.finished.attempts)) })
    });
    for way in all(calls.collect()).await {
        assert_eq!(way.expect("an answer"), "a/m won");
    }
    assert_eq!(mint.issued(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_read_once_more_and_then_taken_out_alone() {
    type Issue = fn(u32) -> String;
    let cases: [(&str, Issue, &[&str]); 2] = [
        ("it has not changed", |_| "bad".into(), &["bad", "good"]),
        ("it has, and is refused as well", |number| format!("bad-{number}"), &["bad-1", "bad-2", "good"]),
    ];
    for (what, issue, used) in cases {
        let mint = Mint::default();
        let accounts = Accounts::new(&["good"]);
        let key = mint.key(MS, move |number| Some(IssuedKey::new(issue(number))));
        let world = world_of(&accounts, [key, KeyConfig::value("good")]).await;
        let mut told = world.runtime.subscribe();
        assert_eq!(way(&world).await, "a/m unauthorised, a/m won", "{what}");
        assert_eq!(accounts.used(), used, "{what}");
        assert_eq!(mint.issued(), 2, "{what}");
        settle().await;
        assert_eq!(disabled_keys(&mut told), ["cloud unauthorised"], "{what}");
        assert_eq!(world.health("a/m").disabled, None, "the other key serves");
        assert_eq!(way(&world).await, "a/m won", "{what}");
        assert_eq!(accounts.used(), ["good"], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_looked_at_every_minute_and_one_that_is_gone_for_a_while_does_no_harm() {
    let file = Secret::new("looked-at", "one");
    let accounts = Accounts::new(&["one", "two"]);
    let world = world_of(&accounts, [file.key()]).await;
    assert_eq!(way(&world).await, "a/m won");
    fs::remove_file(&file.0).expect("it is there");
    for _ in 0..5 {
        sleep(MINUTE).await;
        assert_eq!(way(&world).await, "a/m won");
    }
    file.write("two");
    sleep(2 * S).await;
    assert_eq!(way(&world).await, "a/m won");
    // By now it was read in the background.
    sleep(S).await;
    assert_eq!(way(&world).await, "a/m won");
    // The files are real, and their reader's thread has no paused clock: it may be earlier.
    let used = accounts.used();
    assert_eq!((&used[..6], used.last().map(String::as_str)), (&["one"; 6].map(str::to_owned)[..], Some("two")));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_read_survives_a_crash_and_a_change_of_other_fields() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token-1", "token-2"]);
    let key = mint.key(S, |number| Some(IssuedKey::new(format!("token-{number}"))));
    let world = world_of(&accounts, [key]).await;
    assert_eq!(way(&world).await, "a/m won");
    crash(&world.runtime, Crash::ProviderPanics("a".into()));
    settle().await;
    world.until("a", is_up).await;
    assert_eq!(way(&world).await, "a/m won");
    let mut config = world.config.clone();
    let a = config.providers.get_mut("a").expect("a");
    a.keys[0].name = Some("another name".into());
    *a = a.clone().model_with("n", ModelConfig::default()).key("token-2");
    world.runtime.reconfigure(config.clone()).await.expect("a good configuration");
    assert_eq!(way(&world).await, "a/m won");
    assert_eq!(mint.issued(), 1);
    let key = mint.key(S, |number| Some(IssuedKey::new(format!("token-{number}"))));
    config.providers.get_mut("a").expect("a").keys = vec![key];
    world.runtime.reconfigure(config).await.expect("a good configuration");
    assert_eq!(way(&world).await, "a/m won");
    assert_eq!(mint.issued(), 2, "another function is another source");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_holds_one_call_for_a_moment_and_the_next_ones_not_at_all() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token"]);
    let world = world_of(&accounts, [mint.key(3_600 * S, |_| None)]).await;
    let begun = Instant::now();
    assert_eq!(way(&world).await, "a/m hedge_lost, b/m won");
    assert!(begun.elapsed() < 5 * S, "b is asked beside it: {:?}", begun.elapsed());
    settle().await;
    assert_eq!(world.health("a/m").failed, 0, "nothing was sent to it");
    sleep(7 * S).await;
    // The reading has ended, when no call waited for it any more.
    let begun = Instant::now();
    let (message, _) = complaint(&world).await;
    assert!(message.contains("its function returned nothing within 10s"), "{message}");
    assert_eq!(way(&world).await, "b/m won");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(mint.issued(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_is_killed_with_its_supervisor_is_begun_again() {
    let mint = Mint::default();
    let accounts = Accounts::new(&["token"]);
    let world = world_of(&accounts, [mint.key(3 * S, |_| Some(IssuedKey::new("token")))]).await;
    let runtime = world.runtime.clone();
    let first = tokio::spawn(async move { runtime.chat(ask("hello")).await });
    sleep(S).await;
    crash(&world.runtime, Crash::SupervisorKilled("a".into()));
    let reply = first.await.expect("no panic").expect("an answer");
    assert!(path(&reply.finished.attempts).ends_with("b/m won"));
    settle().await;
    world.until("a", is_up).await;
    assert_eq!(way(&world).await, "a/m won");
    assert_eq!(mint.issued(), 2);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_repeats_a_renewed_key_does_not_give_it_away() {
    let mint = Mint::default();
    let accounts = Accounts::new(&[]);
    let key = mint.key(MS, |number| Some(IssuedKey::new(format!("sk-renewed-{number}"))));
    let world = world_of(&accounts, [key]).await;
    let message = "key sk-renewed-1 or was it sk-renewed-2";
    let body = serde_json::json!({"error": {"message": message, "type": "x", "code": "for sk-renewed-1"}});
    accounts.stranger.always(Fault::Reply { status: 401, headers: HeaderMap::new(), body: body.to_string() });
    let (message, seen) = complaint(&world).await;
    assert_eq!(accounts.used(), ["sk-renewed-1", "sk-renewed-2"]);
    assert_eq!(message, "key [redacted] or was it [redacted]");
    assert!(!seen.contains("sk-renewed"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn two_keys_are_used_by_what_each_has_left_and_none_meets_its_limit() {
    let accounts = Accounts::new(&[]);
    accounts.limit("small", 60);
    accounts.limit("large", 600);
    let world = world_of(&accounts, ["small", "large"].map(KeyConfig::value)).await;
    // Eight a second: four each would use the small one up in 20 s.
    for _ in 0..8 * 60 {
        assert_eq!(way(&world).await, "a/m won");
        sleep(125 * MS).await;
    }
    assert_eq!(world.runtime.totals().iter().map(|(_, totals)| totals.failed.len()).sum::<usize>(), 0);
    let used = accounts.used();
    let small = used.iter().filter(|key| *key == "small").count();
    assert!((30..120).contains(&small), "{small} of {}", used.len());
    settle().await;
    let headroom = world.health("a/m").headroom;
    assert!(headroom.is_some_and(|share| share > 0.0 && share < 1.0), "{headroom:?}");
    assert_eq!(world.health("b/m").headroom, None, "nothing was asked of it");
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_do_not_all_go_to_the_key_that_had_the_most_left() {
    let accounts = Accounts::new(&[]);
    accounts.limit("small", 100);
    accounts.limit("large", 150);
    let world = world_of(&accounts, ["small", "large"].map(KeyConfig::value)).await;
    for _ in 0..2 {
        assert_eq!(way(&world).await, "a/m won");
    }
    settle().await;
    let calls = (0..200).map(|_| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move { runtime.chat(ask("hello")).await.map(|reply| path(&reply.finished.attempts)) })
    });
    for way in all(calls.collect()).await {
        assert_eq!(way.expect("an answer"), "a/m won");
    }
    assert_eq!(accounts.account("small").answered() + accounts.account("large").answered(), 202);
}

#[tokio::test(start_paused = true)]
async fn a_single_key_goes_on_even_if_its_provider_says_that_nothing_is_left() {
    let accounts = Accounts::new(&["one"]);
    let world = world_of(&accounts, [KeyConfig::value("one")]).await;
    accounts.account("one").always(Fault::LyingHeaders);
    for _ in 0..20 {
        assert_eq!(way(&world).await, "a/m won");
        settle().await;
        assert_eq!(world.health("a/m").headroom, Some(0.0));
    }
    sleep(MINUTE).await;
    world.runtime.force(target("a/m"), Force::Auto).await.expect("published anew");
    assert_eq!(world.health("a/m").headroom, None, "it fades");
}

/// Errors about keys, by status.
fn keys_faults() -> Vec<(u16, &'static str)> {
    vec![
        (404, r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","code":"invalid_api_key"}}"#,
        ),
        (401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#),
        (401, ""),
        (402, r#"{"error":{"message":"This account has no credits left","code":402}}"#),
        (402, "Payment required"),
        (403, r#"{"error":{"message":"This project may not use the endpoint","type":"forbidden","code":null}}"#),
        (
            403,
            r#"{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource."}}"#,
        ),
        (403, r#"{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}"#),
        (
            403,
            r#"{"error":{"message":"Country, region, or territory not supported","code":"unsupported_country_region_territory"}}"#,
        ),
        (403, ""),
        (
            404,
            r#"{"error":{"message":"The model `m` does not exist or you do not have access to it.","code":"model_not_found"}}"#,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        ),
        (400, r#"{"error":{"message":"Incorrect API key provided","code":"400"}}"#),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        ),
        (429, r#"{"error":{"message":"Billing hard limit has been reached","code":"billing_hard_limit_reached"}}"#),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for requests","type":"requests","code":"rate_limit_exceeded"}}"#,
        ),
        (429, ""),
        (200, r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#),
        (200, r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#),
    ]
}

#[tokio::test(start_paused = true)]
async fn four_bad_keys_of_five_are_asked_once_each_and_every_call_is_served() {
    for (status, body) in keys_faults() {
        for attempts_max in [1, 3] {
            let accounts = Accounts::new(&["good"]);
            let mut headers = HeaderMap::new();
            headers.insert("content-type", "application/json".parse().expect("a value"));
            accounts.stranger.always(Fault::Reply { status, headers, body: body.into() });
            let keys = ["bad-1", "bad-2", "bad-3", "bad-4", "good"].map(KeyConfig::value);
            let world = world_of(&accounts, keys).await;
            let mut config = world.config.clone();
            config.failover.attempts_max = Some(attempts_max);
            world.runtime.reconfigure(config).await.expect("a good configuration");
            for call in 0..5 {
                let way = way(&world).await;
                assert!(way.ends_with("a/m won"), "call {call}, {status} {body}: {way}");
                assert!(!way.contains("b/m"), "{way}");
            }
            let mut used = accounts.used();
            used.retain(|key| key != "good");
            used.sort();
            assert_eq!(used, ["bad-1", "bad-2", "bad-3", "bad-4"], "{status} {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_key_is_refused_the_next_target_answers_and_the_keys_rest() {
    for (status, body) in keys_faults() {
        let accounts = Accounts::new(&[]);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().expect("a value"));
        accounts.stranger.always(Fault::Reply { status, headers, body: body.into() });
        let world = world_of(&accounts, ["bad-1", "bad-2", "bad-3"].map(KeyConfig::value)).await;
        let first = way(&world).await;
        assert!(first.ends_with("b/m won") && first.matches("a/m").count() == 3, "{status} {body}: {first}");
        for _ in 0..3 {
            assert_eq!(way(&world).await, "b/m won", "{status} {body}");
        }
        assert_eq!(accounts.used().len(), 3);
        settle().await;
        assert_eq!(world.health("a/m").failed, 0, "the target is not to blame");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_calls_at_once_are_served_though_four_keys_of_five_are_bad_by_the_real_clock() {
    let accounts = Accounts::new(&["good"]);
    let world = world_of(&accounts, ["bad-1", "bad-2", "bad-3", "bad-4", "good"].map(KeyConfig::value)).await;
    for round in 0..2 {
        let calls = (0..100).map(|_| {
            let runtime = world.runtime.clone();
            tokio::spawn(async move { runtime.chat(ask("hello")).await.map(|reply| path(&reply.finished.attempts)) })
        });
        let ways: Vec<String> = all(calls.collect()).await.into_iter().map(|way| way.expect("an answer")).collect();
        // A busy machine makes some of them overdue: those were asked beside.
        let (beside, alone): (Vec<_>, Vec<_>) = ways.iter().partition(|way| way.contains("hedge_lost"));
        assert!(beside.len() <= 20, "round {round}: {beside:?}");
        assert!(alone.iter().all(|way| way.ends_with("a/m won") && !way.contains("b/m")), "round {round}: {alone:?}");
        let bad = accounts.used().iter().filter(|key| key.starts_with("bad")).count();
        assert!(if round == 0 { bad < 250 } else { bad == 0 }, "round {round}: {bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_whose_sources_fail_are_followed_by_the_next_one_in_the_same_call() {
    let accounts = Accounts::new(&["good"]);
    let mint = Mint::default();
    let keys = [
        KeyConfig::env("STANDIN_NO_SUCH_VARIABLE"),
        KeyConfig::file("/no/such/file"),
        KeyConfig::command("/no/such/program", ["x"]),
        mint.key(MS, |_| None),
        KeyConfig::value("good"),
    ];
    let world = world_of(&accounts, keys).await;
    assert_eq!(way(&world).await, format!("{}a/m won", "a/m unauthorised, ".repeat(4)));
    for _ in 0..5 {
        assert_eq!(way(&world).await, "a/m won");
    }
    assert_eq!(mint.issued(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_equal_are_kept_apart_by_name() {
    let accounts = Accounts::new(&["one"]);
    let world = world_of(&accounts, [KeyConfig::value("one").named("x"), KeyConfig::value("one").named("y")]).await;
    let runtime = start(world.config.clone()).await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let reply = runtime.chat(ask("hello")).await.expect("an answer");
        names.push(reply.finished.attempts[0].key.to_string());
    }
    names.sort();
    assert_eq!(names, ["x", "y"]);
}

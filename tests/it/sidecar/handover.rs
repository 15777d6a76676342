//! One process follows another on the same sockets.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use standin::drill::Drill;
use standin::runtime::{GroupBy, Question, ask_file, verify_file};
use standin::testing::Script;

use super::child::{Served, free, program};
use super::http::{self, Caller, Exchange, PATIENCE, Response};

/// A folder with a configuration over a drill, and the socket of systemd's notifications.
struct Scene {
    folder: PathBuf,
    name: String,
    drill: Drill,
    told: UnixDatagram,
    notify: PathBuf,
}

impl Scene {
    async fn new(name: &str) -> Self {
        Self::with(name, "models.m = {}").await
    }

    /// Returns a scene whose configuration ends with this text, which begins with the provider's models.
    async fn with(name: &str, more: &str) -> Self {
        let (_, folder) = program(name);
        for ending in ["", "-wal", "-shm", "-lock"] {
            let _ = fs::remove_file(folder.join(format!("kept.db{ending}")));
        }
        let script = Script { per_token: Duration::from_millis(20), ..Script::default() };
        let drill = Drill::start(script).await.expect("a drill");
        let text = format!(
            "store.path = \"kept.db\"\n[server]\nlisten = \"{}\"\nadmin = \"{}\"\ndrain = \"10s\"\n\
             [providers.a]\nbase_url = \"http://{}/v1\"\n{more}\n",
            free(),
            free(),
            drill.address(),
        );
        fs::write(folder.join("kept.toml"), text).expect("a file");
        let notify = std::env::temp_dir().join(format!("standin-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&notify);
        let told = UnixDatagram::bind(&notify).expect("a socket");
        told.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self { folder, name: name.to_owned(), drill, told, notify }
    }

    fn serve(&self) -> Served {
        let served = Served::start(&self.name, &["--config", "kept.toml"], |command| {
            command.env("NOTIFY_SOCKET", &self.notify);
        });
        assert_eq!(self.hear(), "READY=1");
        served
    }

    /// Has another process follow, and waits until it serves.
    fn hand_over(&self, first: &Served) -> Follower {
        first.signal("USR2");
        let told = [self.hear(), self.hear()];
        assert!(told.contains(&"READY=1".to_owned()), "{told:?}");
        let next = told.iter().find_map(|word| word.strip_prefix("MAINPID=")).expect("who it is");
        Follower(next.parse().expect("a number"))
    }

    /// Waits until its provider has received this many requests.
    async fn received(&self, requests: u64) {
        let seen = async {
            while self.drill.handle().counts().received < requests {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("it asks");
    }

    /// Returns the next notification to systemd.
    fn hear(&self) -> String {
        let mut word = [0; 64];
        let length = self.told.recv(&mut word).expect("a word");
        String::from_utf8_lossy(&word[..length]).into_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.notify);
    }
}

/// A process that is none of our children, by its number. It ends with this.
struct Follower(u32);

impl Follower {
    fn signal(&self, name: &str) -> bool {
        Command::new("kill").args([&format!("-{name}"), &self.0.to_string()]).status().expect("kill runs").success()
    }

    /// Tells it to stop, and waits for that.
    fn stop(&self) {
        assert!(self.signal("TERM"));
        let began = Instant::now();
        while fs::read_to_string(format!("/proc/{}/stat", self.0)).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_follows_and_no_connection_is_refused_nor_an_answer_cut_nor_a_record_lost() {
    let scene = Scene::new("handover").await;
    let mut first = scene.serve();
    let address = first.address;
    let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (ends, answered) = (ends.clone(), answered.clone());
            tokio::spawn(async move {
                while !ends.load(Relaxed) {
                    // Each by a connection of its own, which fails the test where it is refused.
                    let answer = http::ask(address, Caller::Chat, "a/m", "Hi", false).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answered.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    let words = "one two three four five six seven eight nine ten ".repeat(4);
    let long = tokio::spawn(async move { http::ask(address, Caller::Chat, "a/m", &words, true).await });
    tokio::time::sleep(Duration::from_millis(200)).await;

    let next = scene.hand_over(&first);
    let long = long.await.expect("an answer");
    assert!(long.body.contains("[DONE]") && long.body.contains("ten"), "{long:?}");
    assert!(tokio::task::block_in_place(|| first.ended()).success());
    tokio::time::sleep(Duration::from_millis(200)).await;
    ends.store(true, Relaxed);
    for client in clients {
        client.await.expect("nobody was refused");
    }
    let health = http::get(address, "/health").await;
    assert_ne!(health.status, 200, "the operators' socket went along, and is another");
    tokio::task::block_in_place(|| next.stop());

    let file = scene.folder.join("kept.db");
    assert_eq!(verify_file(&file).expect("a file").problems, Vec::<String>::new());
    let statement = ask_file(&file, &Question::by(GroupBy::All)).expect("a statement");
    assert_eq!(statement.sum.answers, answered.load(Relaxed) + 1, "each answer of either is there once");
    assert_eq!(scene.drill.handle().counts().answered, statement.sum.answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_successor_cannot_start_goes_on() {
    let scene = Scene::new("handover-fails").await;
    let mut first = scene.serve();
    fs::write(scene.folder.join("kept.toml"), "no = [ configuration").expect("a file");
    first.signal("USR2");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(http::ask(first.address, Caller::Chat, "a/m", "Hi", false).await.status, 200);
    assert!(first.runs());
}

/// Asks for an answer in the background, and returns its id.
async fn background(to: SocketAddr, text: &str) -> String {
    let body = json!({"model": "a/m", "input": text, "background": true}).to_string();
    let made = Exchange::begin(to, "POST", "/v1/responses", &[], &body).await.end().await;
    assert_eq!(made.status, 200, "{made:?}");
    made.json()["id"].as_str().expect("an id").to_owned()
}

async fn about(to: SocketAddr, method: &str, id: &str) -> Response {
    Exchange::begin(to, method, &format!("/v1/responses/{id}"), &[], "").await.end().await
}

/// Waits until an answer in the background has ended.
async fn ended(to: SocketAddr, id: &str) -> Value {
    let ended = async {
        loop {
            let reply = about(to, "GET", id).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let response = reply.json();
            if !matches!(response["status"].as_str(), Some("queued" | "in_progress")) {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
}

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_process_before_still_works_on_is_read_ended_and_forgotten_by_the_next_and_not_made_again() {
    let scene = Scene::new("handover-durable").await;
    let mut first = scene.serve();
    let to = first.address;
    let words = "one two three four five six seven eight nine ten ".repeat(20);
    let words = words.trim_end();
    let (kept, left, gone) = (background(to, words).await, background(to, words).await, background(to, words).await);
    scene.received(3).await;
    let next = tokio::task::block_in_place(|| scene.hand_over(&first));

    // Meanwhile what is to be durable is accepted, and answered.
    let quick = background(to, "Hi").await;
    assert_eq!(text(&ended(to, &quick).await), "Hi");
    let status = about(to, "GET", &kept).await.json()["status"].clone();
    assert_eq!((status, first.runs()), (json!("in_progress"), true));
    let cancelled = about(to, "POST", &format!("{left}/cancel")).await;
    assert_eq!((cancelled.status, cancelled.json()["status"].clone()), (200, json!("cancelled")));
    assert_eq!(about(to, "DELETE", &gone).await.status, 200);
    assert_eq!(about(to, "GET", &gone).await.status, 404);

    assert_eq!(text(&ended(to, &kept).await), words);
    assert!(tokio::task::block_in_place(|| first.ended()).success());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(text(&ended(to, &kept).await), words);
    assert_eq!(ended(to, &left).await["status"], "cancelled");
    assert_eq!(about(to, "GET", &gone).await.status, 404);
    assert_eq!(scene.drill.handle().counts().received, 4, "nothing was asked for twice");
    tokio::task::block_in_place(|| next.stop());
    assert_eq!(ask_file(&scene.folder.join("kept.db"), &Question::by(GroupBy::All)).expect("a statement").again, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_process_before_did_not_finish_is_taken_up_once_it_has_ended() {
    let scene = Scene::new("handover-taken-up").await;
    let mut first = scene.serve();
    let to = first.address;
    let id = background(to, &"one two three four five ".repeat(40)).await;
    scene.received(1).await;
    let _next = tokio::task::block_in_place(|| scene.hand_over(&first));
    assert_eq!(about(to, "GET", &id).await.json()["status"], "in_progress");
    assert_eq!(scene.drill.handle().counts().received, 1);
    first.signal("KILL");
    assert!(!tokio::task::block_in_place(|| first.ended()).success());
    assert_eq!(ended(to, &id).await["status"], "completed");
    assert_eq!(scene.drill.handle().counts().received, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_still_coming_at_the_handover_is_answered() {
    let scene = Scene::new("handover-body").await;
    let mut first = scene.serve();
    let body = json!({"model": "a/m", "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        first.address,
        body.len()
    );
    let (mut in_head, mut in_body) = (Exchange::connect(first.address).await, Exchange::connect(first.address).await);
    in_head.send(&head[..40]).await;
    in_body.send(&format!("{head}\r\n{}", &body[..20])).await;
    let _next = tokio::task::block_in_place(|| scene.hand_over(&first));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(first.runs(), "it waits for them");
    in_head.send(&format!("{}\r\n{body}", &head[40..])).await;
    in_body.send(&body[20..]).await;
    for reply in [in_head.end().await, in_body.end().await] {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert!(tokio::task::block_in_place(|| first.ended()).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_budget_is_one_for_two_processes() {
    let price = "models.m.price = { input = 0.0, output = 1_000.0 }\n[budgets.all]\ndollars = 1.0\nper = \"month\"";
    let scene = Scene::with("handover-budget", price).await;
    let mut first = scene.serve();
    let to = first.address;
    let words = "one two three four five six seven eight nine ten ".repeat(10);
    let ask = |at: usize| {
        let text = format!("{at} {words}");
        let body =
            json!({"model": "a/m", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}).to_string();
        tokio::spawn(async move { Exchange::begin(to, "POST", "/v1/chat/completions", &[], &body).await.end().await })
    };
    let before: Vec<_> = (0..9).map(ask).collect();
    scene.received(9).await;
    let next = tokio::task::block_in_place(|| scene.hand_over(&first));
    let during: Vec<_> = (0..9).map(ask).collect();
    let mut answered = 0;
    for call in before.into_iter().chain(during) {
        answered += u64::from(call.await.expect("a response").status == 200);
    }
    assert!(tokio::task::block_in_place(|| first.ended()).success());
    for at in 0..9 {
        answered += u64::from(ask(at).await.expect("a response").status == 200);
    }
    assert!((9..=11).contains(&answered), "{answered}");
    tokio::task::block_in_place(|| next.stop());
    let statement = ask_file(&scene.folder.join("kept.db"), &Question::by(GroupBy::All)).expect("a statement");
    // What the other process reserves is known up to a tenth of a second late: one call may come in between.
    assert!(statement.sum.cost <= 1_100_000_000, "{:?}", statement.sum);
    assert_eq!(statement.sum.answers, answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_the_start_stops_no_call_and_health_says_so() {
    let scene = Scene::new("full-at-start").await;
    let served = Served::limited("full-at-start", "ulimit -f 0", &["--config", "kept.toml"]);
    assert_eq!(http::ask(served.address, Caller::Chat, "a/m", "Hi", false).await.status, 200);
    let text = fs::read_to_string(scene.folder.join("kept.toml")).expect("a file");
    let admin = text.split("admin = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    let health = http::get(admin.parse().expect("an address"), "/health").await.json();
    assert!(health["store"]["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{health}");
}

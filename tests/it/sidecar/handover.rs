//! One process follows another on the same sockets.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use standin::drill::Drill;
use standin::runtime::{GroupBy, Question, ask_file, verify_file};
use standin::testing::Script;

use super::child::{Served, free, program};
use super::http::{self, Caller, PATIENCE};

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
        let (_, folder) = program(name);
        for ending in ["", "-wal", "-shm", "-lock"] {
            let _ = fs::remove_file(folder.join(format!("kept.db{ending}")));
        }
        let script = Script { per_token: Duration::from_millis(20), ..Script::default() };
        let drill = Drill::start(script).await.expect("a drill");
        let text = format!(
            "store.path = \"kept.db\"\n[server]\nlisten = \"{}\"\nadmin = \"{}\"\ndrain = \"10s\"\n\
             [providers.a]\nbase_url = \"http://{}/v1\"\nmodels.m = {{}}\n",
            free(),
            free(),
            drill.address()
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

    first.signal("USR2");
    let told = [scene.hear(), scene.hear()];
    assert!(told.contains(&"READY=1".to_owned()), "{told:?}");
    let next = told.iter().find_map(|word| word.strip_prefix("MAINPID=")).expect("who it is");
    let next = Follower(next.parse().expect("a number"));
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

//! What a sidecar keeps of durable calls, sealed: where its key comes from, and what it says of a wrong one.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use standin::drill::Drill;
use standin::testing::Script;

use super::child::{Served, free, program};
use super::http::{self, Exchange, PATIENCE};

const KEY: &str = "8f0e1d2c3b4a59687786958493a2b1c08f0e1d2c3b4a59687786958493a2b1c0";
const SAID: &str = "lavender thermometer";

/// Writes a configuration whose durable calls are sealed with these keys.
fn configure(folder: &Path, listen: std::net::SocketAddr, drill: &Drill, keys: &str) {
    let text = format!(
        "[server]\nlisten = \"{listen}\"\n[store]\npath = \"sealed.db\"\nencryption_keys = {keys}\n[providers.a]\nbase_url = \
         \"http://{}/v1\"\nmodels = {{ m = {{}} }}\n",
        drill.address()
    );
    fs::write(folder.join("given.toml"), text).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_seals_what_it_keeps_with_a_key_from_any_source_and_shows_the_key_nowhere() {
    let (_, folder) = program("sealed");
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = fs::remove_file(folder.join(format!("sealed.db{ending}")));
    }
    fs::write(folder.join("key"), format!("{KEY}\n")).expect("a file");
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let (address, log) = (free(), folder.join("log"));
    let serve = || {
        Served::start_at("sealed", address, &["--config", "given.toml"], |command| {
            command.env("STORE_KEY", KEY).env("PATH", "/usr/bin:/bin").env("RUST_LOG", "trace");
            command.stderr(fs::OpenOptions::new().append(true).create(true).open(&log).expect("a file"));
        })
    };
    let _ = fs::remove_file(&log);
    let mut answer: Option<(String, Value)> = None;
    for keys in ["[{ env = \"STORE_KEY\" }]", "[{ file = \"key\" }]", "[{ command = [\"cat\", \"key\"] }]"] {
        configure(&folder, address, &drill, keys);
        let mut served = serve();
        let read = async |id: &str| {
            let waiting = async {
                loop {
                    let reply = http::get(address, &format!("/v1/responses/{id}")).await;
                    assert_eq!(reply.status, 200, "{keys}: {reply:?}");
                    if reply.json()["status"] == "completed" {
                        return reply.json();
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, waiting).await.expect("it ends")
        };
        let (id, before) = match answer.take() {
            Some((id, before)) => (id, Some(before)),
            None => {
                let body = json!({"model": "a/m", "input": SAID, "background": true}).to_string();
                let begun = Exchange::begin(address, "POST", "/v1/responses", &[], &body).await.end().await;
                (begun.json()["id"].as_str().expect("an id").to_owned(), None)
            }
        };
        let whole = read(&id).await;
        assert!(whole.to_string().contains(SAID), "{whole}");
        assert!(before.is_none_or(|before| before == whole), "{keys}");
        served.signal("KILL");
        served.ended();
        answer = Some((id, whole));
    }
    let kept = ["sealed.db", "sealed.db-wal"].map(|name| fs::read(folder.join(name)).unwrap_or_default()).concat();
    let kept = String::from_utf8_lossy(&kept);
    for word in SAID.split(' ').chain(["resp_", KEY]) {
        assert!(!kept.contains(word), "{word}");
    }
    // What is wrong with a key is said by its field, and without the key.
    for (keys, says) in [
        ("[]", "store.encryption_keys: sealed.db holds durable calls that the key "),
        ("[\"KEY7\"]", "store.encryption_keys[0]: must be 32 bytes as 64 hexadecimal digits or as base64"),
        ("[{ env = \"ABSENT\" }]", "store.encryption_keys[0]: environment variable `ABSENT` is not set"),
        ("[{ file = \"key7\" }]", "store.encryption_keys[0]: file `key7` must give 32 bytes"),
        ("[{ command = [\"false\"] }]", "store.encryption_keys[0]: command `false` failed with exit status: 1"),
        ("{ env = \"STORE_KEY\" }", "store.encryption_keys: is a table"),
    ] {
        fs::write(folder.join("key7"), format!("{KEY}7")).expect("a file");
        configure(&folder, free(), &drill, &keys.replace("KEY7", &format!("{KEY}7")));
        let (mut command, _) = program("sealed");
        let refused = command.args(["serve", "--config", "given.toml"]).env("PATH", "/usr/bin:/bin");
        let refused = refused.env("STORE_KEY", KEY).output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(says), "{keys}: {said}");
        assert!(!said.contains(&KEY[..16]), "{said}");
    }
    let log = fs::read_to_string(&log).expect("a log");
    assert!(log.contains("provider started") && !log.contains(&KEY[..16]), "{log}");
}

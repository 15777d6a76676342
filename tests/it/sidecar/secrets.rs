//! Secrets: no error, no log and no answer repeats one.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;
use standin::ProviderConfig;
use standin::config::DialectConfig;
use standin::testing::Script;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::child::{Served, free, program};
use super::http::{self, Caller};
use super::stage_with;

const KEY: &str = "sk-4uCkx7-T0pS3cr3t";

/// Starts a provider that refuses every request, in these words.
async fn refuses(status: u16, message: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let body = json!({"error": {"message": message, "code": message, "type": message}}).to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut vec![0; 64 * 1024]).await;
            let _ = connection.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await;
        }
    });
    address
}

#[test]
fn a_configuration_that_is_wrong_is_told_by_its_place_and_never_by_its_value() {
    let (_, folder) = program("secrets-check");
    for (at, text) in [
        "[providers.a]\nkeys = 'KEY'\n",
        "[providers.a]\nkeys = ['KEY'\n",
        "[providers.a]\nkeys = [KEY]\n",
        "[providers.a]\nkeys = [{valu = 'KEY'}]\n",
        "[providers.a]\nkeys = [{KEY = 'x'}]\n",
        "[providers.a]\nkeys = [{value = 'KEY', expires_in = 'KEY'}]\n",
        "[providers.a]\nbase_url = 'http://x/v1'\nkeys = [\"KEY\\u0007 \"]\nmodels.m = {}\n",
        "[store]\npath = 'a.db'\nencryption_keys = 'KEY'\n",
        "[store]\npath = 'a.db'\nencryption_keys = ['KEY']\n",
        "[store]\npath = 'a.db'\nencryption_keys = [{valu = 'KEY'}]\n",
        "[providers.a]\nbase_url = 'KEY'\nmodels.m = {}\n",
        "[providers.a]\nbase_url = 'http://KEY@127.0.0.1/v1'\nmodels.m = {}\n",
        "[providers.a]\nbase_url = 'http://127.0.0.1/v1?key=KEY'\nmodels.m = {}\n",
        "[providers.a]\ndialect = 'KEY'\n",
        "[providers.a]\nflavour = 'KEY'\nbase_url = 'http://x/v1'\nmodels.m = {}\n",
        "[providers.a]\npreset = 'KEY'\nmodels.m = {}\n",
        "[providers.a]\nbase_url = 'http://x/v1'\nmodels.m = {}\nheaders.authorization = \"KEY\\u0007\"\n",
        "[providers.a]\nbase_url = 'http://x/v1'\nmodels.m = {}\ntransport.proxy = 'http://KEY:KEY@['\n",
        "KEY\n",
        "KEY = 1\n",
        "[server]\nkeys = 'KEY'\n",
        "[[server.keys]]\nname = 'a'\nsha256 = 'KEY'\n",
        "[server]\nlisten = 'KEY'\n",
        "[server]\nhosts = ['KEY/']\n",
        "[server]\nallow_origins = ['KEY']\n",
        "[server]\ndrain = 'KEY'\n",
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(folder.join("given.toml"), text.replace("KEY", KEY)).expect("a file");
        let (mut command, _) = program("secrets-check");
        let output = command.args(["check", "--config", "given.toml"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{at} {text}: {said}");
        assert!(!said.contains("4uCk") && !said.contains("T0pS"), "{text}: {said}");
    }
}

#[test]
fn a_key_in_the_place_of_its_source_is_shown_by_no_check() {
    let (_, folder) = program("secrets-source");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n");
    let source =
        |source: &str| format!("[providers.a]\nbase_url = 'http://x/v1'\nkeys = [{source}]\nmodels.m = {{}}\n");
    for text in [
        source("{ env = 'KEY' }"),
        source("{ env = '${FROM}' }"),
        source("{ env = 'hf_4uCkx7T0pS3cr3t' }"),
        source("{ file = 'KEY' }"),
        source("{ file = '${FROM}' }"),
        source("{ command = ['KEY'] }"),
        format!("{}[server]\ntls = {{ certificate = 'KEY', key = 'KEY' }}\n", source("'k'")),
        format!("{}[server]\ntls = {{ certificate = \"\"\"{pem}\"\"\", key = 'x' }}\n", source("'k'")),
        format!("{}[store]\npath = 'a.db'\nencryption_keys = [{{ env = 'KEY' }}, {{ file = 'KEY' }}]\n", source("'k'")),
    ] {
        fs::write(folder.join("given.toml"), text.replace("KEY", KEY)).expect("a file");
        let (mut command, _) = program("secrets-source");
        let output = command.args(["check", "--config", "given.toml"]).env("FROM", KEY).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(
            said.contains("providers.a.keys[0]: ") || said.contains("server.tls.") || said.contains("store."),
            "{said}"
        );
        assert!(!said.contains("4uCk") && !said.contains("T0pS"), "{text}: {said}");
    }
}

#[tokio::test]
async fn a_caller_hears_which_key_failed_and_nothing_of_where_it_is() {
    let (address, (_, folder)) = (free(), program("secrets-heard"));
    let sources = [
        "{ env = 'hf_4uCkx7T0pS3cr3t' }",
        "{ file = 'sk-4uCkx7-T0pS3cr3t' }",
        "{ file = '/no/such/secrets/tenant-7/openai.key' }",
        "{ command = ['/no/such/vault', '--token', 'sk-4uCkx7-T0pS3cr3t'] }",
    ];
    let provider = |(at, source): (usize, &&str)| {
        format!("[providers.p{at}]\nbase_url = 'http://127.0.0.1:1/v1'\nkeys = [{source}]\nmodels.m = {{}}\n")
    };
    let providers: Vec<String> = sources.iter().enumerate().map(provider).collect();
    let text = format!("[server]\nlisten = \"{address}\"\n{}", providers.concat());
    fs::write(folder.join("served.toml"), text).expect("a file");
    let mut served = Served::start_at("secrets-heard", address, &["--config", "served.toml"], |command| {
        command.stderr(Stdio::piped()).env("RUST_LOG", "trace");
    });
    for (at, kind) in
        ["environment variable is not set", "file cannot", "file cannot", "command cannot"].iter().enumerate()
    {
        for caller in Caller::ALL {
            let reply = http::ask(address, caller, &format!("p{at}/m"), "Hi", false).await;
            assert!(reply.status >= 400 && reply.body.contains("key-1"), "{reply:?}");
            assert!(!reply.body.contains("tenant-7") && !reply.body.contains("vault"), "{reply:?}");
            assert!(!reply.body.contains("4uCk"), "{reply:?}");
            let said = caller == Caller::Chat && reply.body.contains("unauthorised");
            assert!(!said || reply.body.contains(kind) || reply.body.contains("needs_operator"), "{kind}: {reply:?}");
        }
    }
    let health = http::get(address, "/health").await.body;
    let mut stderr = served.stderr();
    served.signal("TERM");
    served.ended();
    let mut log = String::new();
    stderr.read_to_string(&mut log).expect("a text");
    assert!(!log.contains("4uCk") && !health.contains("4uCk"), "{log}");
    assert!(log.contains("file `/no/such/secrets/tenant-7/openai.key`"), "who runs it is told where: {log}");
}

#[tokio::test]
async fn a_reload_of_a_file_that_is_wrong_logs_no_word_of_it() {
    let (address, (_, folder)) = (free(), program("secrets-reload"));
    let file = folder.join("served.toml");
    let good = format!(
        "[server]\nlisten = \"{address}\"\n[providers.a]\nbase_url = \"http://127.0.0.1:1/v1\"\nkeys = [\"{KEY}\"]\n\
         models.m = {{}}\n"
    );
    fs::write(&file, &good).expect("a file");
    let mut served = Served::start_at("secrets-reload", address, &["--config", "served.toml"], |command| {
        command.stderr(Stdio::piped()).env("RUST_LOG", "trace");
    });
    for bad in [good.replace(&format!("[\"{KEY}\"]"), &format!("\"{KEY}\"")), good.replace("\"]\n", "]\n")] {
        fs::write(&file, bad).expect("a file");
        served.signal("HUP");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    http::ask(address, Caller::Chat, "a/m", "Hi", false).await;
    let mut stderr = served.stderr();
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("a text");
    assert!(said.matches("stays as it was").count() >= 2, "{said}");
    assert!(said.contains("every user of this machine may read it"), "{said}");
    assert!(!said.contains("4uCk") && !said.contains("T0pS"), "{said}");
}

#[tokio::test]
async fn a_provider_that_repeats_a_configured_key_does_not_give_it_away_at_any_cut() {
    let long = format!("{}-{}", "k".repeat(40), "x".repeat(60));
    for key in [KEY, "opensesame123", "pass word of mine", "0123456789abcdef", &long] {
        for lead in [0, 480, 490, 496, 499] {
            let words = format!("{} {key} {key}", "w".repeat(lead));
            let provider = refuses(400, words).await;
            let stage = stage_with(1, Script::default(), |settings| {
                let mut provider = ProviderConfig::new(format!("http://{provider}/v1")).key("another").model("m");
                provider.dialect = Some(DialectConfig::OpenaiChat);
                settings.runtime.providers.insert("wordy".into(), provider);
                // It is another provider's.
                let own = settings.runtime.providers.get_mut("a").expect("a provider");
                *own = own.clone().key(key);
            })
            .await;
            let reply = http::ask(stage.sidecar.address(), Caller::Chat, "wordy/m", "Hi", false).await;
            assert!(reply.status >= 400, "{reply:?}");
            for start in 4..=key.len() {
                assert!(!reply.body.contains(&key[..start]), "{key} behind {lead}: {}", reply.body);
            }
        }
    }
}

#[tokio::test]
async fn a_short_key_is_a_whole_word_and_spoils_no_others() {
    let provider = refuses(400, "the key test is wrong; testing goes on".into()).await;
    let stage = stage_with(1, Script::default(), |settings| {
        let provider = ProviderConfig::new(format!("http://{provider}/v1")).key("test").model("m");
        settings.runtime.providers.insert("wordy".into(), provider);
    })
    .await;
    let reply = http::ask(stage.sidecar.address(), Caller::Chat, "wordy/m", "Hi", false).await;
    assert!(reply.body.contains("the key [redacted] is wrong; testing goes on"), "{}", reply.body);
}

#[tokio::test]
async fn a_providers_words_command_no_terminal() {
    let provider =
        refuses(400, "no \u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\r\n2026 INFO all is well \u{202e}x".into()).await;
    let (address, (_, folder)) = (free(), program("secrets-terminal"));
    let text = format!(
        "[server]\nlisten = \"{address}\"\n[providers.a]\nbase_url = \"http://{provider}/v1\"\nkeys = [\"k\"]\nmodels.m = {{}}\n"
    );
    fs::write(folder.join("served.toml"), text).expect("a file");
    let mut served = Served::start_at("secrets-terminal", address, &["--config", "served.toml"], |command| {
        command.stderr(Stdio::piped()).env("RUST_LOG", "trace");
    });
    let reply = http::ask(address, Caller::Chat, "a/m", "Hi", false).await;
    let message = reply.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert!(
        message.contains("all is well") && !message.contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{message:?}"
    );
    let (mut command, _) = program("secrets-terminal");
    command.args(["check", "--config", "served.toml", "--try"]);
    let tried = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    let mut stderr = served.stderr();
    served.signal("TERM");
    served.ended();
    let mut said = Vec::new();
    stderr.read_to_end(&mut said).expect("what it said");
    for shown in [String::from_utf8_lossy(&said), String::from_utf8_lossy(&tried.stdout)] {
        assert!(shown.lines().count() > 1 && !shown.contains("\n2026 INFO"), "{shown}");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    }
}

#[test]
fn a_file_with_a_key_that_others_may_read_earns_a_warning() {
    let (_, folder) = program("secrets-mode");
    let file = folder.join("given.toml");
    for (key, mode, warns) in
        [("k-1", 0o644, true), ("k-1", 0o640, false), ("k-1", 0o600, false), ("${K}", 0o644, false)]
    {
        let text =
            format!("[providers.a]\nbase_url = \"http://127.0.0.1:1/v1\"\nkeys = [\"{key}\"]\nmodels.m = {{}}\n");
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its owner's");
        let (mut command, _) = program("secrets-mode");
        let output = command.args(["check", "--config", "given.toml"]).env("K", "v").output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("every user of this machine may read it"), warns, "{key} {mode:o}: {said}");
    }
}

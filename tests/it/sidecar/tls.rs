//! TLS where it is configured.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use standin::sidecar::{Settings, Sidecar, TlsConfig};
use standin::testing::Script;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::child::{Served, free, program};
use super::http::{Caller, Exchange, PATIENCE};
use super::{stage, stage_with};

const SAID: &str = "one two three";

/// Writes a certificate of 127.0.0.1 and its key; returns where they are, and the certificate's text.
fn certificate(folder: &str) -> (TlsConfig, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, cert.pem()).expect("a file");
    fs::write(&key, signing_key.serialize_pem()).expect("a file");
    (TlsConfig { certificate, key }, cert.pem())
}

#[tokio::test]
async fn answers_come_by_tls_whole_and_streamed_and_not_without() {
    let (tls, pem) = certificate("tls");
    let stage = stage_with(1, Script::default(), |settings| settings.server.tls = Some(tls)).await;
    let to = stage.sidecar.address();
    let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().expect("a client");
    for stream in [false, true] {
        let (path, body) = Caller::Chat.ask("smart", SAID, stream);
        let answer = client.post(format!("https://{to}{path}")).body(body.to_string()).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.expect("a text");
        let said = if stream {
            Caller::Chat.streamed(&text)
        } else {
            Caller::Chat.text(&serde_json::from_str::<Value>(&text).expect("JSON"))
        };
        assert_eq!(said, SAID);
    }
    let mut plain = Exchange::connect(to).await;
    plain.send("GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!plain.closed().await.contains("HTTP/1.1 200"), "TLS is not a choice of the client's");
}

#[tokio::test]
async fn a_certificate_that_is_none_is_refused_by_its_field_and_its_path() {
    let (good, _) = certificate("tls-bad");
    let stage = stage(1).await;
    let missing = PathBuf::from("nowhere.pem");
    for (tls, expected) in [
        (TlsConfig { certificate: missing.clone(), ..good.clone() }, "server.tls.certificate: nowhere.pem: "),
        (TlsConfig { key: missing, ..good.clone() }, "server.tls.key: nowhere.pem: "),
        (TlsConfig { certificate: good.key.clone(), ..good.clone() }, "server.tls.certificate: "),
        (TlsConfig { key: good.certificate.clone(), ..good.clone() }, "server.tls.key: "),
    ] {
        let mut settings: Settings = stage.settings.clone();
        settings.server.tls = Some(tls);
        let refused = Sidecar::start(settings).await.err().expect("a refusal").to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
}

/// Asks by TLS, trusting this certificate alone.
async fn live(to: SocketAddr, pem: &str) -> bool {
    let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().expect("a client");
    client.get(format!("https://{to}/live")).send().await.is_ok()
}

#[tokio::test]
async fn a_certificate_is_taken_anew_when_it_is_renewed_and_the_old_one_stays_until_it_is_whole() {
    let (tls, old) = certificate("tls-renewed");
    let stage = stage_with(1, Script::default(), |settings| settings.server.tls = Some(tls.clone())).await;
    let to = stage.sidecar.address();
    assert!(live(to, &old).await);
    let (_, new) = certificate("tls-renewed");
    assert!(live(to, &old).await && !live(to, &new).await);
    stage.sidecar.renew_certificate().expect("what goes together");
    assert!(live(to, &new).await && !live(to, &old).await);

    // Half of a renewal.
    let (other, newest) = certificate("tls-renewing");
    fs::copy(&other.certificate, &tls.certificate).expect("a file");
    let refused = stage.sidecar.renew_certificate().expect_err("they do not go together").to_string();
    assert!(refused.starts_with("server.tls.key: "), "{refused}");
    assert!(live(to, &new).await);
    fs::copy(&other.key, &tls.key).expect("a file");
    stage.sidecar.reload(stage.settings.clone()).await.expect("settings that are right");
    assert!(live(to, &newest).await);

    // Whether TLS is spoken is for the next start to say.
    let mut plain = stage.settings.clone();
    plain.server.tls = None;
    stage.sidecar.reload(plain).await.expect("settings that are right");
    assert!(live(to, &newest).await);
}

#[tokio::test]
async fn the_program_takes_a_renewed_certificate_by_itself() {
    let (tls, old) = certificate("tls-program");
    let (address, (_, folder)) = (free(), program("tls-program"));
    let text = format!(
        "[server]\nlisten = \"{address}\"\ntls.certificate = {:?}\ntls.key = {:?}\n\
         [providers.a]\nbase_url = \"http://127.0.0.1:1/v1\"\nkeys = [\"k\"]\nmodels.m = {{}}\n",
        tls.certificate, tls.key
    );
    fs::write(folder.join("served.toml"), text).expect("a file");
    let _served = Served::start_at("tls-program", address, &["--config", "served.toml"], |_| {});
    assert!(live(address, &old).await);
    let (_, new) = certificate("tls-program");
    let renewed = async {
        while !live(address, &new).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("it is never taken");
}

#[tokio::test]
async fn a_client_that_begins_no_handshake_gives_way_when_all_places_are_taken() {
    let (tls, pem) = certificate("tls-places");
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.tls = Some(tls);
        settings.server.connections_max = 4;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(stage.sidecar.address()).await.expect("a connection");
        stream.write_all(&[0x16, 3, 1]).await.expect("room");
        silent.push(stream);
    }
    let begun = Instant::now();
    assert!(live(stage.sidecar.address(), &pem).await);
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited {:?}", begun.elapsed());
}

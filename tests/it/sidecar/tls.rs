//! TLS where it is configured.

use std::fs;
use std::path::PathBuf;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use standin::sidecar::{Settings, Sidecar, TlsConfig};
use standin::testing::Script;

use super::http::{Caller, Exchange};
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

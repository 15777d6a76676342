//! A hostile web page in a browser beside the program: what a browser lets it send, and from where.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BODY: &str = r#"{"model":"good","messages":[{"role":"user","content":"How is it?"}]}"#;

/// Tries every way of a page to make a call or to read something; returns how many there were.
pub async fn every_way(to: SocketAddr) -> usize {
    let us = to.to_string();
    let port = to.port();
    let mut tried = 0;
    for host in [us.clone(), format!("evil.test:{port}"), "evil.test".into(), format!("127.0.0.1.evil.test:{port}")] {
        for origin in
            ["https://evil.test", "null", "http://127.0.0.1.evil.test", "file://", "http://localhost.evil.test"]
        {
            for site in ["", "sec-fetch-site: cross-site\r\n", "sec-fetch-site: same-site\r\n"] {
                for kind in [
                    "text/plain",
                    "application/x-www-form-urlencoded",
                    "multipart/form-data; boundary=x",
                    "application/json",
                ] {
                    for path in [
                        "/v1/chat/completions",
                        "/v1/messages",
                        "/v1beta/models/good:generateContent",
                        "/chat/completions",
                    ] {
                        let head = format!("host: {host}\r\norigin: {origin}\r\n{site}content-type: {kind}\r\n");
                        let came = send(to, "POST", path, &head, BODY).await;
                        assert!(came.starts_with("HTTP/1.1 4"), "{head}{path}: {came}");
                        closed_to(&came, origin);
                        tried += 1;
                    }
                }
            }
        }
    }
    // Other host names that resolve to this address, and preflight requests.
    for path in ["/health", "/metrics", "/explain/good", "/v1/models", "/v1beta/models"] {
        let rebound = send(to, "GET", path, &format!("host: evil.test:{port}\r\n"), "").await;
        assert!(rebound.starts_with("HTTP/1.1 4") && !rebound.contains("good"), "{path}: {rebound}");
        let head = format!("host: {us}\r\norigin: https://evil.test\r\nsec-fetch-site: cross-site\r\n");
        let other = send(to, "GET", path, &head, "").await;
        assert!(other.starts_with("HTTP/1.1 4"), "{path}: {other}");
        let before =
            format!("{head}access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n");
        closed_to(&send(to, "OPTIONS", path, &before, "").await, "https://evil.test");
        tried += 3;
    }
    tried
}

/// Asserts that a browser would not let a page read the answer.
fn closed_to(came: &str, origin: &str) {
    let head = came.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    let open = head.lines().any(|line| line.starts_with("access-control-allow-origin:"));
    assert!(!open, "{origin} may read it: {came}");
}

async fn send(to: SocketAddr, method: &str, path: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let text =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.expect("room");
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came).await;
    String::from_utf8_lossy(&came).into_owned()
}

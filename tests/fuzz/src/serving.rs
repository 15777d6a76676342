//! What the sidecar must do for any file, provider's head, operator's request or bytes on its socket: not panic, show
//! no secret in an error, answer by HTTP or not at all, and go on serving.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use standin::internals::wire;
use standin::sidecar::{Settings, Sidecar};
use standin::{ProviderConfig, RouteConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// The value of every variable of the environment.
const SECRET: &str = "sk-2f1e9c-secret";
/// How long an input is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long an answer is waited for before its sender hangs up, which cancels it.
const MOMENT: Duration = Duration::from_millis(10);

/// A configuration.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let settings = match Settings::parse(&text, |_| Some(SECRET.to_owned())) {
        Ok(settings) => settings,
        Err(error) => return assert!(!error.to_string().contains(SECRET), "an error shows a secret: {error}"),
    };
    for provider in settings.runtime.providers.values() {
        assert!(!format!("{:?}", provider.keys).contains(SECRET), "debug shows a secret");
    }
    if let Err(error) = settings.check() {
        assert!(!error.to_string().contains(SECRET), "an error shows a secret: {error}");
    }
}

/// The headers of a provider's answer, a line each.
pub fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let limits = wire::limits(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    for gauge in [limits.requests, limits.tokens].into_iter().flatten() {
        assert!(gauge.remaining <= gauge.limit && gauge.limit > 0, "{gauge:?}");
    }
    let _ = wire::is_event_stream(&headers);
}

/// An operator's request: an address and headers.
pub fn admin(data: &[u8]) {
    let (path, rest) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    for method in ["GET /", "POST /reset/"] {
        let head =
            [method.as_bytes(), path, b" HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n", rest, b"\r\n\r\n"];
        send(&head.concat());
    }
}

/// Any bytes on the clients' socket.
pub fn door(data: &[u8]) {
    send(data);
}

fn send(bytes: &[u8]) {
    let (runtime, to) = served();
    let came = runtime.block_on(async {
        let exchange = async {
            let mut stream = TcpStream::connect(to).await.expect("a connection");
            let _ = stream.write_all(bytes).await;
            let mut came = Vec::new();
            let _ = tokio::time::timeout(MOMENT, stream.read_buf(&mut came)).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut came).await;
            came
        };
        tokio::time::timeout(LOOK, exchange).await.unwrap_or_default()
    });
    assert!(came.is_empty() || came.starts_with(b"HTTP/1."), "no HTTP: {:?}", String::from_utf8_lossy(&came));
    assert!(!came.starts_with(b"HTTP/1.1 500"), "a crash: {:?}", String::from_utf8_lossy(&came));
}

/// Returns a sidecar that serves for as long as the process lives; its provider is never there.
fn served() -> &'static (Runtime, SocketAddr) {
    static SERVED: OnceLock<(Runtime, SocketAddr)> = OnceLock::new();
    SERVED.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime");
        let mut settings = Settings::default();
        settings.server.listen.set_port(0);
        let provider = ProviderConfig::new("http://127.0.0.1:9/v1").key(SECRET).model("m");
        settings.runtime.providers.insert("a".into(), provider);
        settings.runtime.routes.insert("smart".into(), RouteConfig::new(["a/m"]));
        let sidecar = runtime.block_on(Sidecar::start(settings)).expect("a sidecar");
        let address = sidecar.address();
        std::mem::forget(sidecar);
        (runtime, address)
    })
}

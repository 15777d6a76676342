//! Requests of the program's commands to the operators' address of a running sidecar.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::Value;
use standin::sidecar::printable;

use super::{OperatorAddress, load};

/// How long an answer is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// The longest answer: a sidecar of ten thousand targets says less.
const ANSWER_BYTES_MAX: usize = 32 << 20;

impl OperatorAddress {
    /// Asks for JSON at a path, with a query.
    pub async fn ask(&self, method: http::Method, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        if path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(format!("there is no `{path}`: dots alone are no name"));
        }
        let base = self.admin.clone().unwrap_or_else(usual);
        let base = base.trim_end_matches('/');
        let base = match standin::sidecar::address(base) {
            _ if base.contains("://") => base.to_owned(),
            Some(address) => format!("http://{address}"),
            None => format!("http://{base}"),
        };
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{base}/{}{mark}{}", escaped(path), query.join("&"));
        let answer = async {
            let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(WAIT).build()?;
            let request = client.request(method, &url);
            let request = if let Some(key) = &self.key { request.bearer_auth(key) } else { request };
            let (mut response, mut text) = (request.send().await?, Vec::new());
            while let Some(chunk) = response.chunk().await? {
                text.extend_from_slice(&chunk);
                if text.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(text)
        };
        let text = answer.await.map_err(|error| {
            let cause = std::iter::successors(Some(&error as &dyn Error), |&cause| cause.source()).last();
            let cause = cause.map_or(String::new(), |cause| format!(" ({cause})"));
            let hint = if base.starts_with("https:") {
                "is its certificate known to this machine (SSL_CERT_FILE), and for this name (--admin)? `server.admin` is \
                 an address without TLS"
            } else {
                "is `standin serve` running, and is this its operators' address (--admin)?"
            };
            format!("no answer from {base}{cause}; {hint}")
        })?;
        let Ok(value) = serde_json::from_slice::<Value>(&text) else {
            return Err(format!("{base} does not answer as a sidecar's admin address; see `server.admin`"));
        };
        match (&value["error"], &value["error"]["message"]) {
            (Value::Null, _) => Ok(value),
            (Value::String(problem), _) | (_, Value::String(problem)) => Err(problem.clone()),
            _ => Err("it refuses, and gives no reason".to_owned()),
        }
    }
}

/// Returns the elements of a list, and none of anything else.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns a text as it may stand on a terminal, and an empty one for anything else.
pub fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

/// Returns the operators' address of the configuration that `serve` would use here.
fn usual() -> String {
    let settings = load::load(load::named().as_deref(), &|_| ()).map(|loaded| loaded.settings).unwrap_or_default();
    let at = reachable(settings.server.admin.unwrap_or(settings.server.listen));
    let scheme = if settings.server.admin.is_none() && settings.server.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{at}")
}

/// Returns the address by which this machine reaches a server that listens there.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

/// Escapes characters with a meaning in paths and queries, except slashes.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace('&', "%26")
}

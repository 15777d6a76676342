//! Whether memory stays flat: resident memory over a million calls, its slope over the last four fifths.
//!
//! `cargo bench --bench memory`; `CALLS=100000` before it makes it shorter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::stream;
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use standin::{ChatRequest, ProviderConfig, RouteConfig, Runtime};

const ANSWER: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Answers at once. Every tenth request may be refused, so that failover and the books have something to do.
#[derive(Debug)]
struct Canned {
    refuses: bool,
    received: AtomicU64,
}

impl Transport for Canned {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let number = self.received.fetch_add(1, Relaxed);
        let status = if self.refuses && number % 10 == 9 { 503 } else { 200 };
        let body = stream::iter([Ok(Bytes::from_static(ANSWER.as_bytes()))]);
        let headers = http::HeaderMap::new();
        Box::pin(async move { Ok(HttpResponse::new(status, headers, Box::pin(body))) })
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}

/// Least squares over (calls, KiB).
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mean_x, mean_y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let covariance: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    covariance / points.iter().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let calls: u64 = std::env::var("CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(1_000_000);
    let provider = |name: &str, refuses| {
        let mut provider = ProviderConfig::new(format!("http://{name}/v1")).key("k").model("m");
        provider.custom = Some(Arc::new(Canned { refuses, received: AtomicU64::new(0) }));
        provider
    };
    let runtime = Runtime::builder()
        .provider("a", provider("a", true))
        .provider("b", provider("b", false))
        .route("smart", RouteConfig::new(["a/m", "b/m"]))
        .start()
        .await
        .expect("a runtime");
    let mut points = Vec::new();
    let mut failed = 0_u64;
    let started = std::time::Instant::now();
    for call in 0..calls {
        let request = ChatRequest::new("smart").user("hello").session(format!("s{}", call % 50_000));
        failed += u64::from(runtime.chat(request).await.is_err());
        if call % (calls / 100).max(1) == 0 {
            points.push((call as f64, resident_kib() as f64));
        }
    }
    let tail = &points[points.len() / 5..];
    println!(
        "{calls} calls, {failed} failed, {:.1} us each; resident {:.0} KiB at a fifth, {:.0} KiB at the end; \
         slope {:.3} KiB per 1 000 calls over the last four fifths",
        started.elapsed().as_secs_f64() * 1e6 / calls as f64,
        tail[0].1,
        tail[tail.len() - 1].1,
        slope(tail) * 1_000.0
    );
}

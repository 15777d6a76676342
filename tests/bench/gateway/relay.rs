//! The least that a gateway of these libraries costs: hyper before, reqwest behind, and bytes handed from one to the
//! other.

use std::convert::Infallible;
use std::net::SocketAddr;

use futures_util::TryStreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

pub async fn run(address: SocketAddr, upstream: SocketAddr) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.set_nodelay(true);
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let client = client.clone();
                async move {
                    let url = format!("http://{upstream}{}", request.uri().path());
                    let body = request.into_body().collect().await.expect("a body").to_bytes();
                    let sent = client.post(url).header("content-type", "application/json").body(body).send().await;
                    let answer = sent.expect("an answer");
                    let mut response = Response::builder().status(answer.status());
                    for name in ["content-type", "content-length"] {
                        if let Some(value) = answer.headers().get(name) {
                            response = response.header(name, value);
                        }
                    }
                    let body = StreamBody::new(answer.bytes_stream().map_ok(Frame::data));
                    Ok::<_, Infallible>(response.body(body).expect("a response"))
                }
            });
            let _ =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

//! Two keys of one provider on the real clock and real sockets, one of which is never answered.

use std::time::{Duration, Instant};

use standin::{ChatRequest, ProviderConfig, RouteConfig, Runtime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"yes\"},\"finish_reason\":null}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Answers after 200 ms, but never with the silent key.
async fn serve(mut socket: TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
    while !request.ends_with(b"}") {
        match socket.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    if String::from_utf8_lossy(&request).contains("silent") {
        while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        return;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = socket.write_all(ANSWER.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_key_loses_no_call_that_has_time_for_another_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    let provider = ProviderConfig::new(&url).key("silent").key("well").model("m");
    let builder = Runtime::builder().provider("a", provider).route("smart", RouteConfig::new(["a/m"]));
    let runtime = builder.with(|config| config.seed = Some(7)).start().await.expect("it starts");
    let mut took = Vec::new();
    for n in 0..24 {
        let began = Instant::now();
        let request = ChatRequest::new("smart").user("hi").deadline(Duration::from_secs(3));
        runtime.chat(request).await.unwrap_or_else(|error| panic!("call {n}: {error}"));
        took.push(began.elapsed());
    }
    println!("{took:?}");
    let late = |took: &[Duration]| took.iter().filter(|took| **took > Duration::from_secs(1)).count();
    assert!((1..=5).contains(&late(&took)), "some found it out: {took:?}");
    assert!(late(&took[12..]) <= 1, "and the others know: {took:?}");
    runtime.drain(Duration::ZERO).await;
}

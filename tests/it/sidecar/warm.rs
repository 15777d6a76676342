//! A sidecar that is killed in the middle of an outage, on the real clock and real sockets.

use std::fs;
use std::time::Duration;

use standin::drill::Drill;
use standin::testing::{Fault, ProviderError, RetryHint, Script};

use super::child::{Served, program};
use super::http::{self, Caller};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_killed_in_an_outage_goes_on_with_what_it_knew() {
    let (_, folder) = program("warm");
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = fs::remove_file(folder.join(format!("kept.db{ending}")));
    }
    let mut drills = Vec::new();
    for _ in 0..3 {
        drills.push(Drill::start(Script::default()).await.expect("a drill"));
    }
    drills[0].handle().always(Fault::Error(ProviderError::Server));
    drills[1].handle().always(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(600))));
    let mut text = "store.path = \"kept.db\"\nserver.listen = \"127.0.0.1:0\"\n".to_owned();
    text += "routes.smart = { targets = [\"a/m\", \"b/m\", \"c/m\"], options.strategy = \"priority\" }\n";
    for (name, drill) in ["a", "b", "c"].iter().zip(&drills) {
        let base_url = format!("base_url = \"http://{}/v1\"\n", drill.address());
        let breaker = "breaker = { cooldown_base = \"5m\", cooldown_max = \"5m\" }\n";
        text += &[&format!("[providers.{name}]\n"), &base_url, breaker, "models.m = {}\n"].concat();
    }
    fs::write(folder.join("kept.toml"), text).expect("a file");
    let serve = || Served::start("warm", &["--config", "kept.toml"], |_| {});
    let received = || [0, 1].map(|drill: usize| drills[drill].handle().counts().received);
    let answered = async |served: &Served| {
        let (path, body) = Caller::Chat.ask("smart", "Hi", false);
        let headers = [("content-type", "application/json")];
        let asked = http::Exchange::begin(served.address, "POST", &path, &headers, &body.to_string()).await;
        assert_eq!(asked.end().await.status, 200);
    };

    let mut served = serve();
    // Until two calls in a row have gone past both: the outage is known.
    let mut quiet = 0;
    while quiet < 2 {
        let before = received();
        answered(&served).await;
        quiet = if received() == before { quiet + 1 } else { 0 };
    }
    // The state is kept within a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    served.signal("KILL");
    served.ended();
    let before = received();

    let again = serve();
    for _ in 0..8 {
        answered(&again).await;
    }
    assert_eq!(received(), before, "no caller had to find it again");
    let health = http::get(again.address, "/health").await.json().to_string();
    assert!(health.contains("\"open\""), "{health}");
}

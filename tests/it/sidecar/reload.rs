//! Reloads of the program's file: they give no new access to bound sockets, and name what only the next start changes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use standin::drill::Drill;
use standin::sidecar::{ClientKey, Hash};
use standin::testing::Script;

use super::child::{Served, free, program};
use super::http::{self, Caller, PATIENCE};
use super::{stage, stage_with};

/// A sidecar in a process of its own, with the file that configures it.
struct Configured {
    served: Served,
    file: PathBuf,
    lines: Receiver<String>,
}

fn configured(provider: SocketAddr, server: &str) -> String {
    format!(
        "[server]\n{server}\n[providers.a]\nbase_url = \"http://{provider}/v1\"\nkeys = [\"k\"]\nmodels.m = {{}}\n\
         [routes.smart]\ntargets = [\"a/m\"]\n"
    )
}

fn keyed() -> String {
    format!("keys = [{{ name = \"team\", sha256 = \"{}\" }}]", Hash::of("team-key"))
}

impl Configured {
    fn start(folder: &str, address: SocketAddr, text: &str) -> Self {
        Self::start_with(folder, address, text, &[])
    }

    fn start_with(folder: &str, address: SocketAddr, text: &str, arguments: &[&str]) -> Self {
        let (_, folder_path) = program(folder);
        let file = folder_path.join("served.toml");
        fs::write(&file, text).expect("a file");
        let mut served = Served::start_at(folder, address, &["--config", "served.toml"], |command| {
            command.args(arguments);
            command.stderr(Stdio::piped());
        });
        let stderr = served.stderr();
        let (line, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|one| line.send(one))
        });
        Self { served, file, lines }
    }

    /// Changes the file, signals the program, and returns its output up to this text.
    fn change(&self, text: &str, until: &str) -> String {
        fs::write(&self.file, text).expect("a file");
        self.served.signal("HUP");
        self.says(until)
    }

    fn says(&self, until: &str) -> String {
        let mut all = String::new();
        while !all.contains(until) {
            all += &self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never says {until}: {all}"));
            all.push('\n');
        }
        all
    }
}

#[tokio::test]
async fn a_reload_opens_no_door_of_a_socket_that_is_bound() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let provider = drill.address();
    let address = free();
    let everywhere = format!("listen = \"0.0.0.0:{}\"", address.port());
    let served =
        Configured::start("reload-door", address, &configured(provider, &format!("{everywhere}\n{}", keyed())));
    let asks = |headers: &'static [(&'static str, &'static str)]| async move {
        http::ask_with(address, Caller::Chat, "smart", "Hi", false, headers).await.status
    };
    let with_key = &[("authorization", "Bearer team-key")];
    assert_eq!((asks(&[]).await, asks(with_key).await), (401, 200));
    for server in [
        "listen = \"127.0.0.1:0\"".to_owned(),
        String::new(),
        everywhere.clone(),
        format!("{everywhere}\nkeys = []"),
        // An operator is no client: no client would be asked for a key.
        format!("listen = \"127.0.0.1:0\"\n{}", keyed().replace(" }", ", operator = true }")),
        format!("listen = \"127.0.0.1:0\"\n{}\nallow_origins = [\"*\"]", keyed().replace(" }", ", operator = true }")),
    ] {
        // Where there are several errors their number comes first, in a line of its own.
        let said = served.change(&configured(provider, &server), "server.listen");
        assert!(said.contains("stays as it was"), "{said}");
        assert_eq!((asks(&[]).await, asks(with_key).await), (401, 200), "{server}: {said}");
    }
    let said = served.change(&configured(provider, &keyed()), "reloaded");
    assert!(said.contains("server.listen"), "it says what waits for the next start: {said}");
    assert_eq!((asks(&[]).await, asks(with_key).await), (401, 200));
}

#[tokio::test]
async fn a_reload_names_the_fields_that_only_a_start_can_change() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let provider = drill.address();
    let address = free();
    let listen = format!("listen = \"{address}\"");
    let served = Configured::start("reload-told", address, &configured(provider, &listen));
    for (server, field) in [
        ("listen = \"127.0.0.1:1\"".to_owned(), "server.listen"),
        (format!("{listen}\nadmin = \"127.0.0.1:1\""), "server.admin"),
        (format!("{listen}\nconnections_max = 7"), "server.connections_max"),
    ] {
        let said = served.change(&configured(provider, &server), &format!("field=\"{field}\""));
        assert!(said.contains("next start"), "{said}");
    }
    let limits = format!("calls_max = 7\nqueue_max = 8\n{}", configured(provider, &listen));
    let said = served.change(&limits, "field=\"queue_max\"");
    assert!(said.contains("field=\"calls_max\"") && said.contains("next start"), "{said}");
}

#[tokio::test]
async fn how_long_a_stop_waits_is_what_the_file_says_last() {
    let mut given = None;
    let stage = stage_with(1, Script::default(), |settings| given = Some(settings.clone())).await;
    let mut settings = given.expect("they were given");
    settings.server.drain = Duration::from_secs(3);
    stage.sidecar.reload(settings).await.expect("it is right");
    assert_eq!(stage.sidecar.drain(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_reload_refills_no_limit() {
    let limited = |requests_per_minute| {
        let (sha256, routes) = (Hash::of("k"), Vec::new());
        vec![ClientKey {
            name: "team".into(),
            sha256,
            routes,
            fields: Vec::new(),
            requests_per_minute,
            operator: false,
        }]
    };
    let stage = stage_with(1, Script::default(), |settings| settings.server.keys = limited(Some(6))).await;
    let to = stage.sidecar.address();
    let asks = || async { http::ask_with(to, Caller::Chat, "smart", "Hi", false, &[("x-api-key", "k")]).await.status };
    assert_eq!((asks().await, asks().await), (200, 429));
    for _ in 0..3 {
        stage.sidecar.reload(stage.settings.clone()).await.expect("the same settings");
        assert_eq!(asks().await, 429);
    }
    let mut none = stage.settings.clone();
    none.server.keys = limited(Some(0));
    let refused = stage.sidecar.reload(none).await.expect_err("a refusal").to_string();
    assert!(refused.starts_with("server.keys[0].requests_per_minute: "), "{refused}");
}

#[tokio::test]
async fn operators_beyond_loopback_have_keys_or_no_door() {
    let stage = stage(1).await;
    let mut open = stage.settings.clone();
    open.server.admin = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let refused = standin::sidecar::Sidecar::start(open.clone()).await.err().expect("a refusal").to_string();
    assert!(refused.starts_with("server.admin: is not loopback"), "{refused}");
    let (sha256, routes) = (Hash::of("o"), Vec::new());
    let ops =
        ClientKey { name: "ops".into(), sha256, routes, fields: Vec::new(), requests_per_minute: None, operator: true };
    open.server.keys = vec![ops];
    let sidecar = standin::sidecar::Sidecar::start(open.clone()).await.expect("a sidecar");
    open.server.keys.clear();
    open.server.admin = None;
    let refused = sidecar.reload(open).await.expect_err("the door is open").to_string();
    assert!(refused.starts_with("server.admin: is not loopback"), "{refused}");
}

#[tokio::test]
async fn an_inherited_socket_is_judged_by_where_it_listens() {
    let everywhere = || std::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let stage = stage(1).await;
    let mut settings = stage.settings.clone();
    settings.server.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let key = |name: &str, operator| ClientKey {
        name: name.into(),
        sha256: Hash::of(name),
        routes: Vec::new(),
        fields: Vec::new(),
        requests_per_minute: None,
        operator,
    };
    let start = |clients: bool, settings: standin::sidecar::Settings| {
        let mut sockets = standin::sidecar::Sockets::default();
        *(if clients { &mut sockets.clients } else { &mut sockets.admin }) = Some(everywhere());
        standin::sidecar::Sidecar::start_on(sockets, settings)
    };
    // The file speaks of loopback, where no key is needed; the socket is everybody's.
    let refused = start(true, settings.clone()).await.err().expect("a refusal").to_string();
    assert!(refused.starts_with("server.listen: is not loopback but 0.0.0.0:"), "{refused}");
    let refused = start(false, settings.clone()).await.err().expect("a refusal").to_string();
    assert!(refused.starts_with("server.admin: is not loopback but 0.0.0.0:"), "{refused}");
    // With keys it serves, and no reload takes them away.
    let open = settings.clone();
    settings.server.keys = vec![key("client", false), key("operator", true)];
    for clients in [true, false] {
        let sidecar = start(clients, settings.clone()).await.expect("a sidecar");
        let refused = sidecar.reload(open.clone()).await.expect_err("the door is open").to_string();
        assert!(refused.contains("is not loopback but 0.0.0.0:"), "{refused}");
        sidecar.reload(settings.clone()).await.expect("what is served");
    }
    // And the other way round: a file that speaks of everybody needs no key on a socket of loopback.
    let mut public = open.clone();
    public.server.listen = SocketAddr::from(([0, 0, 0, 0], 0));
    public.server.admin = None;
    assert!(public.check().is_err());
    let loopback = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let sockets = standin::sidecar::Sockets { clients: Some(loopback), ..Default::default() };
    let sidecar = standin::sidecar::Sidecar::start_on(sockets, public.clone()).await.expect("a sidecar");
    sidecar.reload(public).await.expect("what is served");
    // Health and metrics are not beside the clients' endpoints where everybody can ask.
    settings.server.admin = None;
    let sidecar = start(true, settings).await.expect("a sidecar");
    let to = SocketAddr::from(([127, 0, 0, 1], sidecar.address().port()));
    assert_eq!(http::get_with(to, "/health", &[("x-api-key", "operator")]).await.status, 404);
}

#[tokio::test]
async fn a_file_is_judged_by_where_it_is_served_at_the_start_and_at_a_reload() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let address = free();
    // The program is told to listen at loopback, where no key is needed.
    let everywhere = configured(drill.address(), "listen = \"0.0.0.0:0\"");
    let listen = address.to_string();
    let served = Configured::start_with("reload-loopback", address, &everywhere, &["--listen", &listen]);
    let asks = async || http::ask(address, Caller::Chat, "smart", "Hi", false).await.status;
    assert_eq!(asks().await, 200);
    served.change(&format!("# Changed.\n{everywhere}"), "reloaded");
    served.change(&everywhere.replace("targets", "tagrets"), "did you mean `targets`?");
    assert_eq!(asks().await, 200);
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_no_operator_without_a_key() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for name in
        ["x-forwarded-for", "x-forwarded-port", "forwarded", "via", "x-real-ip", "cf-connecting-ip", "x-envoy-peer"]
    {
        for path in ["/health", "/metrics", "/explain/smart"] {
            assert_eq!(http::get_with(to, path, &[(name, "203.0.113.7")]).await.status, 401, "{name} {path}");
        }
    }
    assert_eq!(http::get(to, "/health").await.status, 200);
}

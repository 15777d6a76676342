//! First steps with the program: a first configuration, an import, a first request, and the messages about mistakes.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use standin::drill::Drill;
use standin::sidecar::Hash;
use standin::testing::{Fault, ProviderError, Script};

use super::child::{Served, dead, free, program};
use super::http::{self, Caller, Exchange};

/// Returns the program in a folder without files.
fn fresh(folder: &str) -> (Command, PathBuf) {
    let (command, folder) = program(folder);
    for entry in fs::read_dir(&folder).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("its own file");
    }
    (command, folder)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn run(folder: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let (mut command, _) = program(folder);
    command.args(arguments).envs(variables.iter().copied()).output().expect("it runs")
}

#[tokio::test]
async fn the_file_of_init_is_valid_and_is_not_overwritten() {
    for (name, variables, parts) in [
        (
            "init-keys",
            &[("OPENAI_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k"), ("GROQ_API_KEY", "k")][..],
            &["[providers.openai]", "\"openai/gpt-5.4-mini\"", "# [providers.groq]"][..],
        ),
        ("init-none", &[], &["[providers.ollama]", "\"ollama/qwen3\""]),
        (
            "init-named",
            &[("OPENROUTER_API_KEY", "k"), ("STANDIN_MODELS", "openrouter/org/m, ollama/qwen3")],
            &["models.\"org/m\" = {}", "\"openrouter/org/m\""],
        ),
    ] {
        let (_, folder) = fresh(name);
        let output = run(name, &["init"], variables);
        assert!(output.status.success(), "{}", said(&output));
        let text = fs::read_to_string(folder.join("standin.toml")).expect("a file");
        for part in parts {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        assert!(text.matches("\n# ").count() >= 4 && !text.contains("\"k\""), "{text}");
        let output = run(name, &["check"], variables);
        assert!(output.status.success() && said(&output).contains("it is valid"), "{}", said(&output));
        let output = run(name, &["init"], variables);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("standin.toml is there, and is not written over"), "{}", said(&output));
        let served = Served::start(name, &[], |command| {
            command.envs(variables.iter().copied());
        });
        assert_eq!(http::get(served.address, "/ready").await.status, 200);
    }
}

#[test]
fn a_file_of_another_gateway_is_recognised_and_its_result_is_valid() {
    const THEIRS: &str = "model_list:\n  - model_name: fast\n    litellm_params:\n      model: openai/gpt-5-mini\n      \
                          api_key: os.environ/OPENAI_API_KEY\n  - model_name: fast\n    litellm_params:\n      model: groq/oss\n      \
                          api_key: sk-written-out\n      order: 2\ngeneral_settings:\n  database_url: postgres://u:p@h/d\n";
    let (_, folder) = fresh("import");
    fs::write(folder.join("config.yaml"), THEIRS).expect("a file");
    for command in ["check", "serve"] {
        let output = run("import", &[command, "--config", "config.yaml"], &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            said(&output).contains("is YAML, and a configuration is TOML: `standin import litellm"),
            "{}",
            said(&output)
        );
    }
    let key = [("OPENAI_API_KEY", "k")];
    let output = run("import", &["import", "litellm", "config.yaml"], &key);
    assert!(output.status.success(), "{}", said(&output));
    for part in [
        "config.yaml:2: model_list[0] => route `fast`, target `openai/gpt-5-mini`",
        "config.yaml:10: model_list[1].litellm_params.order => tier of its target",
        "config.yaml:12: general_settings.database_url -- no counterpart: there is no database",
        "written to standin.toml",
    ] {
        assert!(said(&output).contains(part), "no {part} in\n{}", said(&output));
    }
    assert!(!said(&output).contains("sk-written-out") && !said(&output).contains("u:p@h"), "{}", said(&output));
    let mode = fs::metadata(folder.join("standin.toml")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o077, 0, "a key stands in it");
    assert!(run("import", &["check"], &key).status.success());
    let output = run("import", &["import", "litellm", "config.yaml"], &key);
    assert!(said(&output).contains("standin.toml is there, and is not written over"), "{}", said(&output));
    let output = run("import", &["import", "litellm", "config.yaml", "--out", "-"], &key);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("# Made by `standin import` from config.yaml"));
    fs::write(folder.join("broken.yaml"), "model_list: [\n").expect("a file");
    let output = run("import", &["import", "litellm", "broken.yaml"], &[]);
    assert!(output.status.code() == Some(2) && said(&output).contains("broken.yaml:2:1: "), "{}", said(&output));
}

#[test]
fn a_user_with_a_key_is_told_what_it_serves_and_never_that_there_is_none() {
    let (_, _) = fresh("environment");
    let host = [("OPENROUTER_API_KEY", "k")];
    let output = run("environment", &["serve"], &host);
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output);
    assert!(text.contains("OPENROUTER_API_KEY is set") && text.contains("STANDIN_MODELS=openrouter/"), "{text}");
    assert!(!text.contains("no provider's key"), "{text}");
    let both = [host[0], ("ANTHROPIC_API_KEY", "k")];
    let text = said(&run("environment", &["check"], &both));
    assert!(text.contains("provider anthropic: ") && text.contains("warning: OPENROUTER_API_KEY is set"), "{text}");
    let named = [host[0], ("STANDIN_MODELS", "openrouter/org/m,openrouter/org/n")];
    let text = said(&run("environment", &["check"], &named));
    assert!(text.contains("provider openrouter: 2 model(s), 1 key(s)") && !text.contains("warning"), "{text}");
    for (models, problem) in [
        ("org", "`org` has no provider before it"),
        ("nobody/m", "no provider is named `nobody`"),
        ("groq/m", "`groq/m` needs groq's key, and GROQ_API_KEY is not set"),
    ] {
        let text = said(&run("environment", &["check"], &[host[0], ("STANDIN_MODELS", models)]));
        assert!(text.contains(problem), "{text}");
    }
    let azure = said(&run("environment", &["serve"], &[("AZURE_OPENAI_API_KEY", "k")]));
    assert!(azure.contains("azure needs more than a key") && azure.contains("resource"), "{azure}");
    // A key may stand where a vendor's own library looks for it.
    for (variable, provider) in
        [("GOOGLE_API_KEY", "gemini"), ("TOGETHERAI_API_KEY", "together"), ("AZURE_API_KEY", "azure")]
    {
        let models = ("STANDIN_MODELS", if provider == "together" { "together/m" } else { "" });
        let text = said(&run("environment", &["check"], &[(variable, "k"), models]));
        assert!(text.contains(variable) && text.contains(provider) && !text.contains("no provider's key"), "{text}");
        assert!(!text.contains("u000a"), "{text}");
    }
}

#[test]
fn no_user_is_warned_of_the_end_of_a_model_that_was_not_named() {
    let (mut command, _) = fresh("ends");
    let listen = free().to_string();
    command.args(["serve", "--listen", &listen, "--log", "json"]).stderr(Stdio::piped());
    for preset in standin::config::presets() {
        command.envs(preset.env.map(|name| (name, "k")));
    }
    let mut child = command.spawn().expect("it runs");
    std::thread::sleep(Duration::from_secs(2));
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    let mut text = String::new();
    child.stderr.take().expect("its errors").read_to_string(&mut text).expect("a text");
    assert!(child.wait().expect("it ends").success(), "{text}");
    assert!(text.contains("draining") && !text.contains("model retires"), "{text}");
}

/// Stops a sidecar and returns what it printed.
fn stopped(mut served: Served) -> String {
    let mut stderr = served.stderr();
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("a text");
    text
}

/// A file with a provider at an address.
fn file(folder: &str, provider: SocketAddr, rest: &str) {
    let text = format!(
        "[providers.a]\nbase_url = \"http://{provider}/v1\"\nkeys = [\"k\"]\nmodels.gpt-5-mini = {{}}\n\
         [routes.smart]\ntargets = [\"a/gpt-5-mini\"]\n{rest}"
    );
    fs::write(program(folder).1.join("given.toml"), text).expect("a file");
}

#[tokio::test]
async fn the_line_that_is_printed_asks_a_first_question_with_a_key_and_without() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let keys = format!("[[server.keys]]\nname = \"team\"\nsha256 = \"{}\"\n", Hash::of("sk-team"));
    for (folder, rest) in [("trial", ""), ("trial-key", keys.as_str())] {
        file(folder, drill.address(), rest);
        let served = Served::start(folder, &["--config", "given.toml"], |command| {
            command.stderr(Stdio::piped());
        });
        // The output is read while it serves: the lines are there once it listens.
        let listening = served.address;
        let text = {
            let mut served = served;
            let mut stderr = served.stderr();
            let mut seen = Vec::new();
            let mut some = [0; 4_096];
            while !String::from_utf8_lossy(&seen).contains("try it") || !seen.ends_with(b"\n") {
                let count = stderr.read(&mut some).expect("what it says");
                assert!(count > 0, "it ended");
                seen.extend_from_slice(&some[..count]);
            }
            let text = String::from_utf8_lossy(&seen).into_owned();
            let line = text.lines().find_map(|line| line.trim().strip_prefix("try it")).expect("a line to try").trim();
            let (line, key) = (line.to_owned(), if rest.is_empty() { "" } else { "sk-team" });
            assert!(line.contains(&listening.to_string()) && line.contains("$STANDIN_KEY") != key.is_empty(), "{line}");
            let asked = tokio::task::spawn_blocking(move || {
                Command::new("sh").args(["-c", &format!("{line} -s")]).env("STANDIN_KEY", key).output()
            });
            let output = asked.await.expect("no panic").expect("a shell");
            served.signal("TERM");
            served.ended();
            said(&output)
        };
        assert!(text.contains("Say hello"), "{text}");
    }
}

#[tokio::test]
async fn the_log_says_which_model_was_wrong_warns_of_what_failed_and_writes_costs_for_people() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    for form in ["text", "json"] {
        for (folder, provider) in [("told", drill.address()), ("told-dead", dead())] {
            file(folder, provider, "");
            let served = Served::start(folder, &["--config", "given.toml", "--log", form], |command| {
                command.stderr(Stdio::piped());
            });
            http::ask(served.address, Caller::Chat, "gpt-nine", "Hi", false).await;
            http::ask(served.address, Caller::Chat, "smart", "Hi", false).await;
            // What a call without an answer cost stands there, too.
            drill.handle().always(Fault::CutAfter(2));
            http::ask(served.address, Caller::Chat, "smart", "one two three four", true).await;
            drill.handle().clear();
            let text = stopped(served);
            let lines: Vec<&str> = text.lines().filter(|line| line.contains("outcome")).collect();
            assert_eq!(lines.len(), 3, "{text}");
            assert!(
                lines[0].contains("gpt-nine") && lines[0].contains("INFO") && lines[0].contains("reason"),
                "{text}"
            );
            if folder == "told" {
                for (line, outcome) in [(lines[1], "ok"), (lines[2], "interrupted")] {
                    let cost = line.split("cost_usd").nth(1).unwrap_or_else(|| panic!("no cost: {text}"));
                    let cost = cost.split([',', ' ', '}']).next().expect("a part").trim_matches(['"', ':', '=']);
                    assert!(cost.starts_with("0.000") && !cost.contains('e') && line.contains(outcome), "{text}");
                }
            } else {
                assert!(lines[1].contains("exhausted") && lines[1].contains("WARN"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn an_address_may_be_a_port_alone_or_localhost() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    for by in ["localhost:", ""] {
        let address = free();
        file("listen", drill.address(), "");
        let listen = format!("{by}{}", address.port());
        let served = Served::start_at("listen", address, &["--config", "given.toml", "--listen", &listen], |_| {});
        assert_eq!(http::get(served.address, "/live").await.status, 200);
        file("listen", drill.address(), &format!("[server]\nlisten = \"{by}{}\"\n", free().port()));
        assert!(run("listen", &["check", "--config", "given.toml"], &[]).status.success());
    }
    let output = run("listen", &["serve", "--drill", "--listen", "nowhere"], &[]);
    assert!(said(&output).contains("127.0.0.1:4000, localhost:4000 or 4000"), "{}", said(&output));
}

#[tokio::test]
async fn a_provider_that_leads_back_here_is_refused_or_noticed_at_the_first_turn() {
    let address = free();
    file("loop", address, &format!("[server]\nlisten = \"{address}\"\n"));
    let output = run("loop", &["check", "--config", "given.toml"], &[]);
    assert!(said(&output).contains("providers.a.base_url: leads back to this sidecar"), "{}", said(&output));
    // By way of another address it is not seen in the file.
    let between = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    file("loop", between.local_addr().expect("an address"), "");
    let served = Served::start("loop", &["--config", "given.toml"], |_| {});
    let here = served.address;
    tokio::spawn(async move {
        while let Ok((mut one, _)) = between.accept().await {
            tokio::spawn(async move {
                let mut other = tokio::net::TcpStream::connect(here).await.expect("a sidecar");
                let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
            });
        }
    });
    // The request comes back with the target's name for its model.
    let reply = http::ask(here, Caller::Chat, "smart", "Hi", false).await;
    assert!(reply.status >= 500 && reply.body.contains("leads back to this sidecar"), "{reply:?}");
    let metrics = http::get(here, "/metrics").await.body;
    let turns = metrics.lines().find_map(|line| line.strip_prefix("standin_refusals_total{reason=\"loop\"} "));
    let turns: u64 = turns.and_then(|turns| turns.parse().ok()).unwrap_or_else(|| panic!("no loop in {metrics}"));
    assert!((1..=3).contains(&turns), "one turn an attempt: {turns}");
}

#[tokio::test]
async fn a_request_that_goes_round_several_sidecars_is_refused_where_it_began() {
    let addresses = [free(), free(), free()];
    let routes = "[providers.a.models.text-embedding-3-small]\n[routes.gpt-5-mini]\ntargets = [\"a/gpt-5-mini\"]\n\
                  [routes.text-embedding-3-small]\ntargets = [\"a/text-embedding-3-small\"]\n";
    let served: Vec<Served> = (0..3)
        .map(|at| {
            let name = format!("round-{at}");
            file(&name, addresses[(at + 1) % 3], routes);
            Served::start_at(
                &name,
                addresses[at],
                &["--config", "given.toml", "--listen", &addresses[at].to_string()],
                |_| {},
            )
        })
        .collect();
    let loops = async |at: usize| {
        let metrics = http::get(served[at].address, "/metrics").await.body;
        let turns = metrics.lines().find_map(|line| line.strip_prefix("standin_refusals_total{reason=\"loop\"} "));
        turns.map_or(0, |turns| turns.parse::<u64>().expect("a number"))
    };
    let begun = Instant::now();
    let reply = http::ask(served[0].address, Caller::Chat, "smart", "Hi", false).await;
    assert!(reply.status >= 500 && reply.body.contains("leads back to this sidecar"), "{reply:?}");
    assert!((1..=24).contains(&loops(0).await), "it went round and round: {}", loops(0).await);
    // So do texts to be embedded, whichever target is asked first.
    let body = r#"{"model":"a/text-embedding-3-small","input":"Hi"}"#;
    let reply = Exchange::begin(served[1].address, "POST", "/v1/embeddings", &[], body).await.end().await;
    assert!(reply.status >= 500 && loops(1).await >= 1, "{reply:?}");
    assert!(begun.elapsed() < http::PATIENCE);
    // Sidecars behind each other are no loop.
    let drill = Drill::start(Script::default()).await.expect("a drill");
    file("behind", drill.address(), routes);
    let behind = Served::start("behind", &["--config", "given.toml"], |_| {});
    file("before", behind.address, "");
    let before = Served::start("before", &["--config", "given.toml"], |_| {});
    let reply = http::ask(before.address, Caller::Chat, "smart", "Hi", false).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn check_tells_prices_windows_and_abilities_and_asks_as_few_as_it_is_told() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let text = format!(
        "[providers.a]\nbase_url = \"http://{0}/v1\"\nkeys = [\"k\"]\nmodels.gpt-5-mini = {{}}\nmodels.mine = {{}}\n\
         models.text-embedding-3-small = {{}}\n[providers.b]\nbase_url = \"http://{0}/v1\"\nmodels.other = {{}}\n\
         [routes.smart]\ntargets = [\"a/mine\", \"b/other\"]\n",
        drill.address()
    );
    fs::write(program("check-try").1.join("given.toml"), text).expect("a file");
    let check = |more: &[&str]| {
        let arguments: Vec<String> =
            ["check", "--config", "given.toml"].iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        async move {
            let asked = tokio::task::spawn_blocking(move || {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                run("check-try", &arguments, &[])
            });
            said(&asked.await.expect("no panic"))
        }
    };
    let text = check(&[]).await;
    // Models beside the named ones are only counted.
    let whole = "[providers.openai]\nkeys = [\"k\"]\n[routes.smart]\ntargets = [\"openai/gpt-5-mini\"]\n";
    fs::write(program("check-whole").1.join("given.toml"), whole).expect("a file");
    let listed = |more: &[&str]| {
        let text = said(&run("check-whole", &[&["check", "--config", "given.toml"], more].concat(), &[]));
        (
            text.matches("million tokens").count(),
            text.contains("more that neither a route nor a table names: --all lists them"),
        )
    };
    assert_eq!(listed(&[]), (1, true));
    assert!(matches!(listed(&["--all"]), (20.., false)));
    for part in [
        "a/gpt-5-mini: $0.25 in, $2 out a million tokens; window 400 000, answer 128 000; tools images",
        "thinks before it answers",
        "a/mine: price unknown; window unknown, answer unknown; tools",
        "a/text-embedding-3-small: price unknown",
        "; embeds",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(!text.contains("answers ("), "nobody is asked unasked: {text}");
    for (more, asked, names) in [
        (&["--try"][..], 2, &["a/mine: answers", "b/other: answers"][..]),
        (&["--try", "--route", "a/gpt-5-mini"], 1, &["a/gpt-5-mini: answers", "at most $0.00052"]),
        (&["--try", "--route", "smart"], 2, &["a/mine: answers", "2 model(s) whose price is not known"]),
        (&["--try", "--all"], 4, &["a/text-embedding-3-small: answers"]),
        (&["--try", "--route", "nowhere"], 0, &["is named `nowhere`; there are: smart"]),
    ] {
        let text = check(more).await;
        assert_eq!(text.matches(": answers (").count(), asked, "{text}");
        for name in names {
            assert!(text.contains(name), "no {name} in\n{text}");
        }
    }
}

#[tokio::test]
async fn a_try_sends_one_request_to_each_model_however_it_fails() {
    for fault in [Fault::Error(ProviderError::Server), Fault::Error(ProviderError::Overloaded), Fault::CutAfter(1)] {
        let drill = Drill::start(Script::default()).await.expect("a drill");
        drill.handle().always(fault);
        file("try-once", drill.address(), "[failover]\nsame_target_retries = 3\nattempts_max = 9\nwait_max = '30s'\n");
        let tried = tokio::task::spawn_blocking(|| run("try-once", &["check", "--config", "given.toml", "--try"], &[]));
        let tried = tried.await.expect("no panic");
        assert_eq!(tried.status.code(), Some(2), "{}", said(&tried));
        assert_eq!(drill.handle().received(), 1, "{}", said(&tried));
    }
}

#[test]
fn what_cannot_be_written_to_standard_output_is_an_error_and_a_reader_that_is_gone_is_none() {
    let (_, folder) = fresh("full");
    fs::write(folder.join("litellm.yaml"), "model_list:\n- {model_name: m, litellm_params: {model: gpt-5-mini}}\n")
        .expect("a file");
    for arguments in [
        &["key", "team"][..],
        &["init", "--out", "-"],
        &["import", "litellm", "litellm.yaml", "--out", "-"],
        &["completions", "bash"],
        &["man"],
    ] {
        let with = |stdout: Stdio| {
            let (mut command, _) = program("full");
            command.args(arguments).env("OPENAI_API_KEY", "k").stdout(stdout).stderr(Stdio::piped());
            command.spawn().expect("it runs").wait_with_output().expect("it ends")
        };
        let full = with(fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk").into());
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {full:?}");
        assert!(said(&full).contains("standard output cannot be written: No space left"), "{arguments:?}: {full:?}");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let gone = with(writer.into());
        assert_eq!(gone.status.code(), Some(0), "{arguments:?}: {gone:?}");
        assert!(!said(&gone).contains("cannot be written"), "{arguments:?}: {gone:?}");
    }
}

#[test]
fn plausible_slips_are_told_before_anything_runs() {
    let (_, folder) = fresh("slips");
    let check = |text: &str, variables: &[(&str, &str)]| {
        fs::write(folder.join("standin.toml"), text).expect("a file");
        run("slips", &["check"], variables)
    };
    for (text, code, expected) in [
        (
            "keys = ['k']\nmodels.\"gpt-5.4-mnii\" = {}",
            0,
            "warning: providers.openai.models.gpt-5.4-mnii: is no known model; did you mean `gpt-5.4-mini`?",
        ),
        (
            "keys = ['k']\nmodels.mine = { same_as = 'gpt-5.4-mnii' }",
            0,
            "models.mine.same_as: is no known model; did you mean",
        ),
        ("keys = ['OPENAI_API_KEY']", 0, "write { env = \"OPENAI_API_KEY\" }"),
        ("keys = ['Bearer sk-1']", 2, "providers.openai.keys[0]: begins with `Bearer`"),
        ("keys = [' sk-1 ']", 2, "providers.openai.keys[0]: has a blank"),
        ("keys = [{ env = '${K}' }]", 2, "providers.openai.keys[0]: has an `env` that is no variable's name"),
        ("keys = ['k', { name = 'b', value = 'k' }]", 0, "providers.openai.keys[1]: is the key of keys[0] again"),
        ("keys = ['k']\n[failover]\ndeadline = '5M'", 2, "failover.deadline: has an `M`, which means months"),
        (
            "keys = ['k']\n[routes.\"a\\u001b[31mb\"]\ntargets = ['openai/gpt-5.4-mini']",
            2,
            "must be a name without control characters",
        ),
        ("keys = ['k']\n[routes.\" smart\"]\ntargets = ['openai/gpt-5.4-mini']", 2, "must be a name without a blank"),
    ] {
        let output = check(&format!("[providers.openai]\n{text}\n"), &[("K", "sk-4uCkx7")]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{text}: {said}");
        assert!(said.contains(expected), "{text}: {said}");
        assert!(!said.contains("4uCk") && !said.contains('\u{1b}'), "{text}: {said}");
    }
    // What the environment says where it is served counts in a check, too.
    let output = check("[providers.openai]\nkeys = ['k']\n", &[("STANDIN_LISTEN", "0.0.0.0:4000")]);
    assert!(said(&output).contains("server.listen: is not loopback"), "{}", said(&output));
    fs::remove_file(folder.join("standin.toml")).expect("a file");
    let output = run("slips", &["serve"], &[("OPENAI_KEY", "sk-4uCkx7")]);
    assert!(said(&output).contains("OPENAI_KEY is set, and is not read: set OPENAI_API_KEY"), "{}", said(&output));
}

#[test]
fn shells_and_manuals_are_served_and_the_version_is_told() {
    let (_, _) = fresh("manual");
    let version = said(&run("manual", &["--version"], &[]));
    assert!(version.starts_with(&format!("standin {}", env!("CARGO_PKG_VERSION"))), "{version}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(said(&run("manual", &["completions", shell], &[])).contains("import"), "{shell}");
    }
    let page = said(&run("manual", &["man"], &[]));
    assert!(page.contains(".TH standin") && page.contains("import"), "{page}");
    assert!(said(&run("manual", &["man", "check"], &[])).contains("\\-\\-route"));
    assert!(said(&run("manual", &["man", "nothing"], &[])).contains("there are: serve, init, import"));
}

#[tokio::test]
async fn a_time_that_was_not_measured_is_told_as_assumed() {
    let drill = Drill::start(Script::default()).await.expect("a drill");
    file("assumed", drill.address(), "");
    let served = Served::start("assumed", &["--config", "given.toml"], |_| {});
    let admin = served.address.to_string();
    let explain = || {
        let admin = admin.clone();
        tokio::task::spawn_blocking(move || said(&run("assumed", &["explain", "smart", "--admin", &admin], &[])))
    };
    let text = explain().await.expect("no panic");
    assert!(text.contains("10 s, assumed, 0 samples"), "{text}");
    let ttft = |health: &serde_json::Value| health["providers"][0]["targets"][0]["time_to_first_token_s"].clone();
    let before = ttft(&http::get(served.address, "/health").await.json());
    assert!(before["assumed"] == true && before["samples"] == 0, "{before}");
    for _ in 0..20 {
        http::ask(served.address, Caller::Chat, "smart", "Hi", true).await;
    }
    // Health is published a moment after the last answer.
    let published = async {
        loop {
            let after = ttft(&http::get(served.address, "/health").await.json());
            if after["assumed"] == false && after["samples"].as_u64() >= Some(8) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), published).await.expect("a measured time to first token");
    assert!(!explain().await.expect("no panic").contains("assumed"));
}

#[test]
fn no_import_prints_a_key_of_the_file() {
    let (_, folder) = fresh("import-secret");
    let key = "sk-SECRETLEAK";
    for (from, text) in [
        (
            "portkey",
            r#"{"targets": [{"provider": "openai", "api_key": "KEY", "override_params": {"model": "gpt-5.4-mini"}},
                {"virtual_key": "azure-prod", "override_params": {"model": "gpt-4o"}},
                {"virtual_key": "KEY", "override_params": {"model": "gpt-4o"}}]}"#,
        ),
        (
            "portkey",
            r#"{"targets": [{"provider": "vertex-ai", "vertex_service_account_json": {"private_key": "KEY"},
                "api_key": "KEY", "override_params": {"model": "gemini-2.5-pro"}}]}"#,
        ),
        (
            "litellm",
            "model_list:\n- {model_name: a, litellm_params: {model: openai/a, api_key: KEY, extra_headers: {x-key: KEY}}}\n\
             - {model_name: b, litellm_params: {model: azure/a, api_key: KEY}}\n\
             - {model_name: c, litellm_params: {model: openai/a, api_key: KEY, api_base: \"no address\"}}\n\
             general_settings: {master_key: KEY}\nenvironment_variables: {OTHER: KEY}\n",
        ),
    ] {
        for entry in fs::read_dir(&folder).expect("a folder") {
            fs::remove_file(entry.expect("an entry").path()).expect("its own file");
        }
        fs::write(folder.join("theirs"), text.replace("KEY", key)).expect("a file");
        let said = said(&run("import-secret", &["import", from, "theirs"], &[]));
        assert!(!said.contains("SECRETLEAK") && !said.contains("bug"), "{said}");
        if let Ok(written) = fs::metadata(folder.join("standin.toml")) {
            assert_eq!(written.permissions().mode() & 0o077, 0, "others may read it: {said}");
        }
    }
}

#[test]
fn a_key_that_is_not_there_is_warned_of_and_a_reference_of_another_tool_is_no_key() {
    let (_, folder) = fresh("key-missing");
    let file = |keys: &str| {
        let text = format!("[providers.openai]\nkeys = [{keys}]\n[routes.smart]\ntargets = ['openai/gpt-5.4-mini']\n");
        fs::write(folder.join("standin.toml"), text).expect("a file");
        run("key-missing", &["check"], &[("RIGHT", "k")])
    };
    let output = file("{ env = 'RIGHT' }, { env = 'WRNOG' }, { file = 'nowhere' }");
    let words = said(&output);
    assert!(output.status.success() && words.matches("warning: ").count() == 2, "{words}");
    assert!(words.contains("warning: providers.openai.keys[1]: environment variable `WRNOG` is not set"), "{words}");
    for reference in ["os.environ/RIGHT", "$RIGHT_KEY", "env:RIGHT_KEY", "{{ env.RIGHT_KEY }}"] {
        let output = file(&format!("'{reference}'"));
        let words = said(&output);
        assert!(
            output.status.code() == Some(2) && words.contains("2:9: providers.openai.keys[0]: is a reference"),
            "{words}"
        );
        assert!(words.contains("{ env = \""), "{words}");
    }
}

#[test]
fn late_errors_of_a_check_name_their_line_and_a_retired_model_is_reported() {
    let (_, folder) = fresh("places");
    let check = |text: &[u8]| {
        fs::write(folder.join("standin.toml"), text).expect("a file");
        said(&run("places", &["check"], &[]))
    };
    let local = "[providers.a]\nbase_url = 'http://127.0.0.1:4000/v1'\nmodels.m = {}\n";
    assert!(check(local.as_bytes()).contains("standin.toml:2:1: providers.a.base_url: leads back"));
    let tls = "[server]\ntls = { certificate = 'nowhere', key = 'nowhere' }\n[providers.a]\nbase_url = 'http://a/v1'\nmodels.m = {}\n";
    let words = check(tls.as_bytes());
    assert!(words.contains("standin.toml:2:"), "{words}");
    let utf_16: Vec<u8> = [0xff, 0xfe].into_iter().chain(local.bytes().flat_map(|byte| [byte, 0])).collect();
    assert!(check(&utf_16).contains("is UTF-16: save it as UTF-8"));
    assert!(check(b"[server]\n# \xe4\n").contains("is no UTF-8, from line 2 on"));
    let old = "[providers.a]\nbase_url = 'http://a/v1'\nmodels.m = { retires = \"2024-01-31\" }\n";
    let words = check(old.as_bytes());
    assert!(words.contains("; ended 2024-01-31") && words.contains("warning: a/m has ended"), "{words}");
}

#[test]
fn a_budget_of_dollars_over_a_model_without_a_price_is_warned_of() {
    let (_, folder) = fresh("unpriced");
    let check = |budget: &str| {
        let text =
            format!("[providers.a]\nbase_url = 'http://a/v1'\nmodels.own = {{}}\n[budgets.b]\nper = 'day'\n{budget}\n");
        fs::write(folder.join("standin.toml"), text).expect("a file");
        said(&run("unpriced", &["check"], &[]))
    };
    let words = check("dollars = 1.0");
    assert!(words.contains("warning: budgets count dollars, and the price of a/own is not known"), "{words}");
    assert!(!check("tokens = 1_000").contains("warning: "));
    let words = check("dollars = 1.0\nof = 'client:red'");
    assert!(words.contains("budgets.b.of: `red` is no name of `server.keys`"), "{words}");
}

#[tokio::test]
async fn a_call_is_told_by_the_id_that_its_answer_and_its_line_in_the_log_have() {
    let mut served = Served::start("why", &["--drill", "--log", "json"], |command| {
        command.stderr(Stdio::piped());
    });
    let reply = http::ask(served.address, Caller::Chat, "smart", "Hi", false).await;
    let call = reply.header("x-standin-call").expect("an id").to_owned();
    let port = served.address.port().to_string();
    let told = said(&run("why-asks", &["why", &call, "--admin", &port], &[]));
    assert!(told.starts_with(&format!("call {call} on route smart")) && told.contains("attempt 1 at drill-"), "{told}");
    let table = said(&run("why-asks", &["health", "--admin", &port], &[]));
    assert!(table.starts_with("ok: 0 call(s) in flight, 0 queued\ntarget ") && table.contains("\ndrill-"), "{table}");
    assert!(table.contains(" closed "), "{table}");
    for (id, says) in [("0000000000000000-0", "no call of this id is remembered"), ("0-0", "this is no id of a call")] {
        let told = said(&run("why-asks", &["why", id, "--admin", &port], &[]));
        assert!(told.contains(says), "{id}: {told}");
    }
    // The folder's own file says where operators connect.
    let (_, folder) = fresh("why-asks");
    let text =
        format!("[server]\nlisten = '127.0.0.1:{port}'\n[providers.a]\nbase_url = 'http://a/v1'\nmodels.m = {{}}\n");
    fs::write(folder.join("standin.toml"), text).expect("a file");
    assert!(said(&run("why-asks", &["explain", "smart"], &[])).starts_with("route smart"));
    let log = served.stderr();
    served.signal("TERM");
    let mut lines = String::new();
    {
        let mut log = log;
        log.read_to_string(&mut lines).expect("a log");
    }
    assert!(lines.lines().any(|line| line.contains(&format!("\"call\":\"{call}\""))), "{lines}");
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_one_that_was_meant_and_not_with_all() {
    let many: Vec<String> = (0..60).map(|at| format!("models.model-{at} = {{}}\n")).collect();
    let many = many.concat();
    let (_, folder) = fresh("meant");
    let text =
        format!("[providers.a]\nbase_url = 'http://127.0.0.1:9/v1'\n{many}[routes.smart]\ntargets = ['a/model-1']\n");
    fs::write(folder.join("standin.toml"), text).expect("a file");
    let served = Served::start("meant", &[], |_| {});
    let near = http::ask(served.address, Caller::Chat, "smrat", "Hi", false).await;
    assert!(near.body.contains("did you mean `smart`?"), "{}", near.body);
    let far = http::ask(served.address, Caller::Chat, "nothing-like-it", "Hi", false).await;
    assert!(far.body.len() < 700 && far.body.contains("and 41 more"), "{}", far.body);
    for arguments in [&["drill", "--route", "smrat"][..], &["check", "--try", "--route", "smrat"]] {
        assert!(said(&run("meant", arguments, &[])).contains("did you mean `smart`?"));
    }
    let words = said(&run("nobody", &["check"], &[("STANDIN_MODELS", "opnerouter/x")]));
    assert!(words.contains("did you mean `openrouter`?"), "{words}");
}

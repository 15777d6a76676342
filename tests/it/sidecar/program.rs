//! The program's commands, as users type them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use standin::sidecar::{Hash, Settings};

use super::child::{Served, program};
use super::http::{self, Caller};

/// Checks a file's text.
fn check(folder: &str, text: &str, variables: &[(&str, &str)]) -> Output {
    let (mut command, folder) = program(folder);
    fs::write(folder.join("given.toml"), text).expect("a file");
    command.args(["check", "--config", "given.toml"]).envs(variables.iter().copied()).output().expect("it runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const GOOD: &str = r#"
[server]
listen = "127.0.0.1:0"
[providers.a]
base_url = "http://127.0.0.1:1/v1"
keys = ["${A_KEY}"]
models.m = {}
[routes.smart]
targets = ["a/m"]
"#;

#[test]
fn a_valid_file_is_described_in_short() {
    let output = check("good", GOOD, &[("A_KEY", "sk-1")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("provider a: 1 model(s), 1 key(s)") && said.contains("route smart: a/m"), "{said}");
    assert!(!said.contains("sk-1"), "{said}");
}

#[test]
fn a_check_shows_how_each_provider_is_asked_and_how_each_route_chooses() {
    let file = "[failover]\non_exhausted = 'wait'\n\
                [providers.anthropic]\nbase_url = 'http://127.0.0.1:1/v1'\nkeys = ['k']\nmodels.m = {}\n\
                [providers.b]\nbase_url = 'http://127.0.0.1:2/v1'\nflavour = 'vllm'\nmodels = { m = {}, n = {} }\n\
                [routes.smart]\noptions = { strategy = { least-latency = {} } }\n\
                targets = ['anthropic/m', { target = 'b/m', tier = 1, weight = 2.5 }, { target = 'b/n', degraded = true }]\n\
                [routes.less]\ntargets = ['b/m', { target = 'b/n', degraded = true }]\n\
                failover = { on_exhausted = 'degrade' }\n";
    let output = check("routes", file, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "provider anthropic: 1 model(s), 1 key(s), dialect anthropic, flavour anthropic\n",
        "provider b: 2 model(s), 0 key(s), dialect openai-chat, flavour vllm\n",
        "route smart: anthropic/m, b/m (tier 1, weight 2.5), b/n (degraded); strategy least-latency, on_exhausted wait\n",
        "route less: b/m, b/n (degraded); strategy adaptive, on_exhausted degrade\n",
        "warning: routes.smart.targets[2].degraded: is reached only by calls that ask to degrade",
    ] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
    assert!(!said.contains("routes.less.targets"), "{said}");
}

#[test]
fn a_file_that_is_not_right_is_refused_by_its_field_and_with_a_remedy() {
    let key = [("A_KEY", "sk-1")];
    for (text, variables, expected) in [
        (GOOD.to_owned(), &[][..], "providers.a.keys[0]: the environment has no `A_KEY`; set it"),
        (GOOD.replace("listen", "lisen"), &key[..], "did you mean `listen`?"),
        (GOOD.replace("targets = [\"a/m\"]", "targets = [\"a/n\"]"), &key[..], "routes.smart"),
        (GOOD.replace("127.0.0.1:0", "0.0.0.0:0"), &key[..], "server.listen: is not loopback"),
        (GOOD.replace("[routes.smart]", "[routes.smart"), &key[..], "given.toml:8:"),
    ] {
        let output = check("bad", &text, variables);
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("standin: given.toml:"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn pipes_devices_and_endless_files_are_no_configuration() {
    let (_, folder) = program("no-file");
    let pipe = folder.join("pipe");
    let _ = fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let endless = fs::File::create(folder.join("endless")).expect("a file");
    endless.set_len(1 << 40).expect("a file with a hole");
    for file in ["pipe", "/dev/zero", "endless"] {
        // A named configuration is read in the same way.
        let tls = format!("[server]\ntls = {{ certificate = \"{file}\", key = \"{file}\" }}");
        let output = check("no-file", &GOOD.replace("[server]", &tls), &[("A_KEY", "sk-1")]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(errors(&output).contains(&format!("server.tls.certificate: {file}: is ")), "{output:?}");
    }
    for (file, expected) in [
        ("pipe", "is no file"),
        ("/dev/zero", "is no file"),
        ("/dev/stdin", "is no file"),
        (".", "is no file"),
        ("endless", "is longer than"),
        ("nowhere", "No such file"),
    ] {
        for command in ["check", "serve"] {
            let output = program("no-file").0.args([command, "--config", file]).stdin(Stdio::piped()).output();
            let output = output.expect("it runs");
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            assert!(errors(&output).contains(expected), "{file}: {output:?}");
        }
    }
}

#[test]
fn times_ports_and_certificates_are_checked_before_anything_runs() {
    let with = |line: &str| GOOD.replace("[server]", &format!("[server]\n{line}"));
    let provider = |line: &str| GOOD.replace("models.m = {}", &format!("models.m = {{}}\n{line}"));
    for (text, field) in [
        (with("head_timeout = \"10000000000years\""), "server.head_timeout"),
        (with("body_timeout = \"400days\""), "server.body_timeout"),
        (with("write_timeout = \"9999999999years\""), "server.write_timeout"),
        (with("keep_alive = \"9999999999years\""), "server.keep_alive"),
        (with("keep_alive = \"1ns\""), "server.keep_alive"),
        (with("head_timeout = \"999us\""), "server.head_timeout"),
        (with("drain = \"9999999999years\""), "server.drain"),
        (with("bodies_bytes_max = 1"), "server.bodies_bytes_max"),
        (with("tls = { certificate = \"nowhere.pem\", key = \"nowhere.pem\" }"), "server.tls.certificate"),
        (GOOD.replace("127.0.0.1:0", "127.0.0.1:99999"), "server.listen"),
        (GOOD.replace("\"127.0.0.1:0\"", "\"127.0.0.1:80\"\nadmin = \"127.0.0.1:80\""), "server.admin"),
        (GOOD.replace("127.0.0.1:1/", "127.0.0.1:99999/"), "providers.a.base_url"),
        (GOOD.replace("127.0.0.1:1/", "127.0.0.1:0/"), "providers.a.base_url"),
        (GOOD.replace("127.0.0.1:1/", "127.0.0.1:/"), "providers.a.base_url"),
        (provider("transport.connect_timeout = \"9999999999years\""), "providers.a.transport.connect_timeout"),
        (provider("transport.idle_timeout = \"9999999999years\""), "providers.a.transport.idle_timeout"),
        (provider("breaker.retry_after_max = \"9999999999years\""), "providers.a.breaker.retry_after_max"),
        (provider("breaker.ramp_step_min = \"9999999999years\""), "providers.a.breaker.ramp_step_min"),
        (format!("failover.wait_max = \"9999999999years\"{GOOD}"), "failover.wait_max"),
        (format!("restart.backoff_max = \"9999999999years\"{GOOD}"), "restart.backoff_max"),
        (format!("consumer_stall_max = \"9999999999years\"{GOOD}"), "consumer_stall_max"),
        (format!("{GOOD}options.slo_ttft_p95 = \"9999999999years\""), "routes.smart.options.slo_ttft_p95"),
    ] {
        let output = check("numbers", &text, &[("A_KEY", "sk-1")]);
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{field}: {output:?}");
        assert!(said.contains(&format!("{field}: ")), "{field}: {said}");
    }
}

#[test]
fn ten_thousand_of_anything_are_checked_within_seconds() {
    let count = 10_000;
    let provider = |at| format!("[providers.p{at}]\nbase_url = \"http://x/v1\"\nkeys = [\"k\"]\nmodels.m = {{}}\n");
    let route = |at| format!("[routes.r{at}]\ntargets = [\"p0/m\"]\n");
    let (first, smart) = (provider(0), "[routes.smart]\ntargets = [\"p0/m\"]\n");
    let providers: String = (0..count).map(provider).collect();
    let many = |line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let all: Vec<String> = (0..count).map(|at| format!("\"p{at}/m\"")).collect();
    for (what, text) in [
        ("providers", format!("{providers}{smart}")),
        ("targets of a route", format!("{providers}[routes.smart]\ntargets = [{}]\n", all.join(","))),
        ("routes", format!("{first}{}", many(&route))),
        ("aliases", format!("{first}{smart}[aliases]\n{}", many(&|at| format!("a{at} = \"smart\"\n")))),
        ("aliases of aliases", {
            let next =
                |at: usize| format!("a{at} = \"{}\"\n", if at == 0 { "smart".into() } else { format!("a{}", at - 1) });
            format!("{first}{smart}[aliases]\n{}", many(&next))
        }),
        ("models", format!("{first}{}{smart}", many(&|at| format!("models.m{at} = {{}}\n")))),
        (
            "keys",
            format!(
                "{first}{smart}{}",
                many(&|at| {
                    format!("[[server.keys]]\nname = \"k{at}\"\nsha256 = \"{at:064x}\"\nroutes = [\"smart\"]\n")
                })
            ),
        ),
    ] {
        let begun = Instant::now();
        let output = check("many", &text, &[]);
        assert!(output.status.success(), "{what}: {}", errors(&output));
        // An optimised build takes a third of a second; what grew with the square took half a minute and more.
        assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn the_example_of_a_deployment_is_right() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deploy/standin.example.toml"));
    let text = text.expect("the example");
    let settings =
        Settings::parse(&text, |name| name.ends_with("_KEY").then(|| "1".to_owned())).expect("a file that is right");
    settings.runtime.targets().expect("targets that there are");
    let output = check("example", &text, &[("ANTHROPIC_API_KEY", "1"), ("OPENAI_API_KEY", "2")]);
    assert!(output.status.success(), "{}", errors(&output));
}

#[test]
fn without_a_key_serving_says_what_can_be_done() {
    let (mut command, _) = program("nothing");
    let output = command.arg("serve").output().expect("it runs");
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for remedy in ["OPENAI_API_KEY", "--config FILE", "standin serve --drill"] {
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn a_key_is_made_with_the_lines_that_let_it_in() {
    let (mut command, _) = program("key");
    let output = command.args(["key", "team"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, lines) = said.split_once("[[server.keys]]").expect("lines for the configuration");
    let text = format!("{GOOD}[[server.keys]]{lines}");
    let settings = Settings::parse(&text, |_| Some("k".into())).expect("lines that are right");
    let key = said.split_whitespace().find(|word| word.starts_with("standin-")).expect("a key");
    assert_eq!((settings.server.keys[0].name.as_str(), settings.server.keys[0].sha256), ("team", Hash::of(key)));
}

#[tokio::test]
async fn drills_are_served_until_a_signal_says_otherwise() {
    let mut served = Served::start("drill", &["--drill"], |command| {
        command.stderr(Stdio::piped());
    });
    let mut lines = BufReader::new(served.stderr()).lines().map(|line| line.expect("text"));
    let openai = lines.find(|line| line.contains("OpenAI")).expect("where it listens");
    assert!(openai.ends_with(&format!("http://{}/v1", served.address)), "{openai}");
    for caller in Caller::ALL {
        let reply = http::ask(served.address, caller, "any-name-at-all", "one two three", true).await;
        assert_eq!(caller.streamed(&reply.body), "one two three");
    }
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
}

/// Providers of two dialects, with one key each, behind one route, and a route that has one of them alone.
const REHEARSED: &str = r#"
[providers.a]
base_url = "http://127.0.0.1:1/v1"
keys = ["sk-1"]
models.m = {}
[providers.b]
base_url = "http://127.0.0.1:1/v1"
dialect = "anthropic"
keys = ["sk-2"]
models.m = {}
[routes.smart]
targets = ["a/m", "b/m"]
[routes.only]
targets = ["a/m"]
"#;

fn rehearse(folder: &str, text: &str, arguments: &[&str]) -> (Output, Vec<(String, u32, u32)>) {
    let (mut command, place) = program(folder);
    fs::write(place.join("standin.toml"), text).expect("a file");
    let output = command.arg("drill").args(arguments).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A row: what goes wrong, calls, failed, attempts, two times in ms.
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().rev().collect();
        let number = |at: usize| words.get(at)?.parse::<u32>().ok();
        (words.first() == Some(&"ms")).then_some(())?;
        Some((words[7..].iter().rev().copied().collect::<Vec<_>>().join(" "), number(6)?, number(5)?))
    };
    let rows = text.lines().filter_map(row).collect();
    (output, rows)
}

#[test]
fn a_rehearsal_of_a_second_with_one_key_each_loses_no_call_and_shows_no_panic_of_its_own() {
    let (output, rows) = rehearse("rehearsal", REHEARSED, &["--route", "smart", "--seconds", "1", "--rate", "5"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with("no call failed\n"), "{said}");
    assert_eq!(errors(&output), "", "nothing went wrong that was not asked for");
    assert_eq!(rows.len(), 1 + 2 * 7, "{said}");
    assert!(rows.iter().all(|(_, calls, failed)| (*calls, *failed) == (5, 0)), "{said}");
    assert!(rows.iter().any(|(title, ..)| title == "b: key revoked"), "{said}");
}

#[test]
fn a_rehearsal_and_a_check_that_asks_keep_nothing_and_take_from_no_budget() {
    let kept = "[store]\npath = \"standin.db\"\n[budgets.all]\ndollars = 1e-9\nper = \"day\"\n";
    let text = format!("{REHEARSED}durable = true\n{kept}");
    let (output, rows) = rehearse("rehearsal_kept", &text, &["--route", "smart", "--seconds", "1", "--rate", "5"]);
    assert!(output.status.success(), "{output:?}");
    assert!(rows.iter().all(|(_, calls, failed)| (*calls, *failed) == (5, 0)), "{output:?}");
    let (mut command, folder) = program("rehearsal_kept");
    fs::write(folder.join("standin.toml"), &text).expect("a file");
    let output = command.args(["check", "--try"]).output().expect("it runs");
    assert!(errors(&output).contains("did not answer"), "nothing listens there: {}", errors(&output));
    // That its price is not known is warned of; no budget refuses.
    assert!(!String::from_utf8_lossy(&output.stdout).contains("budget `all`"), "{output:?}");
    assert!(!folder.join("standin.db").exists());
}

#[test]
fn a_rehearsal_says_why_calls_failed_where_there_is_no_other_target() {
    let (output, rows) = rehearse("rehearsal_alone", REHEARSED, &["--route", "only", "--seconds", "1", "--rate", "5"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no other provider to ask"), "{said}");
    let failed = |title: &str| rows.iter().find(|(row, ..)| row == title).map(|(.., failed)| *failed);
    assert_eq!(
        (failed("all is well"), failed("a: key revoked"), failed("a: its actor crashes")),
        (Some(0), Some(5), Some(0))
    );
    for reason in ["exhausted: a/m connect", "a/m not asked: unauthorised", "a/m not asked: breaker_open"] {
        assert!(said.contains(reason), "no {reason} in\n{said}");
    }
}

#[test]
fn a_rehearsal_of_calls_that_wait_ends_and_tells_what_waited() {
    let text = "[providers.a]\nbase_url = 'http://127.0.0.1:1/v1'\nkeys = ['sk-1']\nmodels.m = {}\n\
                [failover]\non_exhausted = 'wait'\n[routes.smart]\ntargets = ['a/m']\n";
    let begun = Instant::now();
    let (output, rows) = rehearse("rehearsal_waits", text, &["--seconds", "1", "--rate", "5"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(begun.elapsed() < Duration::from_secs(120), "{said}");
    assert!(output.status.success() && said.ends_with("no call failed\n"), "{said}");
    assert_eq!(rows.len(), 1 + 7, "{said}");
    let revoked = said.lines().skip_while(|line| !line.starts_with("a: key revoked")).nth(1);
    assert_eq!(revoked, Some("  5 x waited until the failure was over, and was answered then"), "{said}");
}

#[test]
fn a_target_is_rehearsed_by_its_name_also_where_there_is_no_route() {
    let text = "[providers.a]\nbase_url = 'http://127.0.0.1:1/v1'\nkeys = ['sk-1']\nmodels.m = {}\n";
    for arguments in [&["--route", "a/m", "--seconds", "1", "--rate", "5"][..], &["--seconds", "1", "--rate", "5"][..]]
    {
        let (output, rows) = rehearse("rehearsal_target", text, arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("rehearsing `a/m`") && rows.len() == 1 + 7, "{said}{}", errors(&output));
    }
    let (output, _) = rehearse("rehearsal_target", text, &["--route", "a/n"]);
    assert!(errors(&output).contains("is named `a/n`; did you mean `a/m`?"), "{}", errors(&output));
}

#[test]
fn models_that_are_silent_are_asked_at_once_and_what_they_did_is_told() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = silent.local_addr().expect("an address");
    let text = format!(
        "failover.deadline = '2s'\n[providers.a]\nbase_url = 'http://{at}/v1'\n\
         models.m = {{}}\nmodels.n = {{}}\nmodels.o = {{}}\n"
    );
    let (mut command, folder) = program("try_silent");
    fs::write(folder.join("standin.toml"), text).expect("a file");
    let begun = Instant::now();
    let output = command.args(["check", "--try", "--all"]).output().expect("it runs");
    let (took, said) = (begun.elapsed(), String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(took < Duration::from_secs(5), "{took:?}: one after the other\n{said}");
    assert!(said.contains("asking 3 model(s) for a word") && said.contains(", within 2 s\n"), "{said}");
    for model in ["a/m", "a/n", "a/o"] {
        let line = said.lines().find(|line| line.contains(&format!("  {model}: deadline passed"))).expect(model);
        assert!(line.contains(&format!("last: {model} said nothing for ")) && !line.contains("call_ended"), "{line}");
    }
}

/// Begins a configuration with these variables, and returns what is said and what is written.
fn begin(folder: &str, variables: &[(&str, &str)]) -> (String, String) {
    let (mut command, folder) = program(folder);
    let _ = fs::remove_file(folder.join("standin.toml"));
    let output = command.arg("init").envs(variables.iter().copied()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output);
    (said, fs::read_to_string(folder.join("standin.toml")).unwrap_or_default())
}

#[test]
fn a_key_that_serves_nothing_by_itself_is_not_told_as_absent() {
    for (variable, of_file) in [
        ("OPENROUTER_API_KEY", "# OPENROUTER_API_KEY is set, and openrouter serves only models that are named"),
        ("GROQ_API_KEY", "# [providers.groq]"),
        ("AZURE_OPENAI_API_KEY", "# AZURE_OPENAI_API_KEY is set, and azure needs more than a key"),
    ] {
        let (said, file) = begin("init_unnamed", &[(variable, "sk-1")]);
        assert!(!said.contains("no key is in") && said.contains(&format!("{variable} is set")), "{said}");
        assert!(!file.contains("No key was") && file.contains(of_file), "{file}");
    }
    let (said, _) = begin("init_none", &[]);
    assert!(said.contains("no key is in the environment"), "{said}");
    let (said, _) = begin("init_empty", &[("OPENAI_API_KEY", "")]);
    assert!(said.contains("OPENAI_API_KEY is set, and is empty") && !said.contains("no key is in"), "{said}");
}

#[test]
fn a_model_that_the_environment_misspells_is_warned_of_and_an_empty_key_is_told_as_empty() {
    let asked = |variables: &[(&str, &str)]| {
        let (mut command, _) = program("environment");
        let output = command.arg("check").envs(variables.iter().copied()).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output)
    };
    let said = asked(&[("OPENAI_API_KEY", "sk-1"), ("STANDIN_MODELS", "openai/gpt-5.4-mni")]);
    assert!(said.contains("warning: STANDIN_MODELS: ") && said.contains("did you mean `gpt-5.4-mini`?"), "{said}");
    let said = asked(&[("OPENAI_API_KEY", "")]);
    assert!(said.contains("OPENAI_API_KEY is set, and is empty"), "{said}");
    let said = asked(&[("OPENAI_API_KEY", ""), ("STANDIN_MODELS", "openai/gpt-5.4-mini")]);
    assert!(said.contains("needs openai's key, and OPENAI_API_KEY is empty"), "{said}");
    let said = asked(&[("STANDIN_MODELS", "claude-haiku-4-5")]);
    assert!(said.contains("as anthropic/claude-haiku-4-5"), "{said}");
    let text = "[providers.openai]\nkeys = [{ env = 'OPENAI_API_KEY' }]\n";
    let said = String::from_utf8_lossy(&check("empty", text, &[("OPENAI_API_KEY", "")]).stdout).into_owned();
    assert!(said.contains("is empty; set it"), "{said}");
}

#[test]
fn a_rehearsal_of_texts_to_be_embedded_loses_none_either() {
    let text = REHEARSED.replace("dialect = \"anthropic\"\n", "").replace("models.m", "models.text-embedding-3-small");
    let text = text.replace("/m\"", "/text-embedding-3-small\"");
    let (output, rows) = rehearse("rehearsal_embed", &text, &["--route", "smart", "--seconds", "1", "--rate", "5"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with("no call failed\n"), "{said}");
    assert_eq!(rows.len(), 1 + 2 * 7, "{said}");
    assert!(rows.iter().all(|(_, calls, failed)| (*calls, *failed) == (5, 0)), "{said}");
}

#[test]
fn a_configuration_that_the_environment_names_conflicts_with_no_drill() {
    let mut served = Served::start("drill_beside", &["--drill"], |command| {
        command.env("STANDIN_CONFIG", "/nowhere/standin.toml");
    });
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
    let (mut command, _) = program("drill_beside");
    let output = command.args(["serve", "--drill", "--config", "x.toml"]).output().expect("it runs");
    assert!(errors(&output).contains("cannot be used with"), "{}", errors(&output));
    let (mut command, _) = program("drill_beside");
    let output = command.args(["check"]).env("STANDIN_CONFIG", "/nowhere/standin.toml").output().expect("it runs");
    assert!(errors(&output).contains("/nowhere/standin.toml"), "{}", errors(&output));
}

#[tokio::test]
async fn holds_are_lifted_from_the_command_line_and_told() {
    let text = GOOD.replace("127.0.0.1:1/v1", &format!("{}/v1", super::child::dead()));
    let (_, folder) = program("reset");
    fs::write(folder.join("given.toml"), text).expect("a file");
    let served = Served::start("reset", &["--config", "given.toml"], |command| {
        command.env("A_KEY", "sk-1");
    });
    let run = |arguments: &[&str]| {
        let (mut command, _) = program("reset");
        command.args(arguments).args(["--admin", &served.address.to_string()]).output().expect("it runs")
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let output = run(&["reset"]);
    assert_eq!((output.status.success(), said(&output).as_str()), (true, "nothing was held\n"), "{output:?}");
    // The provider's port has no listener: its breaker opens.
    while http::get(served.address, "/health").await.json()["providers"][0]["holds"][0]["why"] != "breaker_open" {
        http::ask(served.address, Caller::Chat, "smart", "Hi", false).await;
    }
    let output = run(&["reset", "a/m"]);
    assert!(output.status.success() && said(&output).starts_with("lifted a/m: breaker_open for "), "{output:?}");
    for (arguments, problem) in [
        (&["reset", "x"][..], "no provider `x`; there are: a"),
        (&["reset", "a", "--only-key", "x y&z"], "no key `x y&z` of provider `a`; there are: key-1"),
        (&["reset", "a/m", "--only-key", "key-1"], "name its provider alone"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(errors(&output).contains(problem), "{output:?}");
    }
}

#[tokio::test]
async fn calls_are_forgotten_from_the_command_line() {
    let served = Served::start("forget", &["--drill", "--store", "kept.db"], |_| {});
    let run = |arguments: &[&str]| {
        let (mut command, _) = program("forget");
        command.arg("forget").args(arguments).args(["--admin", &served.address.to_string()]).output().expect("it runs")
    };
    let headers = [("x-standin-durable", "true"), ("x-standin-tag-user", "47&11")];
    for _ in 0..2 {
        assert_eq!(http::ask_with(served.address, Caller::Chat, "smart", "Hi", false, &headers).await.status, 200);
    }
    let output = run(&["--tag", "user=47&11"]);
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(0), "2 call(s) forgotten\n"),
        "{output:?}"
    );
    for (arguments, problem) in [
        (&["x"][..], "call: must be an id"),
        (&["--before", "soon"], "before: must be a day"),
        (&[], "required"),
        (&["--before", "1d", "--tag", "a=b"], "cannot be used with"),
    ] {
        let output = run(arguments);
        assert!(output.status.code() == Some(2) && errors(&output).contains(problem), "{output:?}");
    }
}

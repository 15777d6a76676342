//! Holds the documents to the code: examples parse and start, every field is documented, named tests exist, links lead
//! somewhere. The snippets of README.md are doc-tests of the crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use standin::{Config, Runtime};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns every file below a folder with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("a readable entry").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] })
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect()
}

fn example() -> Config {
    let text = read("docs/configuration.md");
    let (_, rest) = text.split_once("```toml\n").expect("an example in TOML");
    let (example, _) = rest.split_once("```").expect("the example's end");
    toml::from_str(example).expect("a configuration")
}

#[test]
fn the_example_shows_the_defaults() {
    let (example, default) = (example(), Config::default());
    assert_eq!(example.failover, default.failover);
    assert_eq!(example.restart, default.restart);
    assert_eq!(example.routes["smart"].options, standin::RouteConfig::default().options);
    let (shown, plain) = (&example.providers["openai"], standin::ProviderConfig::new(""));
    assert_eq!((&shown.transport, &shown.breaker), (&plain.transport, &plain.breaker));
    assert_eq!((&shown.health, shown.dialect), (&plain.health, plain.dialect));
    assert_eq!(shown.stream_upstream, plain.stream_upstream);
    let Config { providers, routes, seed, .. } = example.clone();
    assert_eq!(example, Config { providers, routes, seed, ..default });
}

#[tokio::test]
async fn the_example_starts() {
    let runtime = Runtime::builder().config(example()).start().await.expect("a configuration that is right");
    assert_eq!(runtime.health().providers.len(), 2);
}

/// Structs that a configuration consists of, and where they are.
const CONFIGURED: [(&str, &[&str]); 11] = [
    ("src/config.rs", &["Config"]),
    ("src/config/provider.rs", &["ProviderConfig"]),
    ("src/config/key.rs", &["KeyConfig"]),
    ("src/config/model.rs", &["ModelConfig", "PriceConfig"]),
    ("src/config/route.rs", &["RouteConfig", "MemberConfig"]),
    ("src/policy/failover.rs", &["FailoverOptions"]),
    ("src/policy/restart.rs", &["RestartOptions"]),
    ("src/policy/breaker.rs", &["BreakerOptions"]),
    ("src/policy/health.rs", &["HealthOptions"]),
    ("src/policy/routing/options.rs", &["RouteOptions", "SecondValue"]),
    ("src/transport.rs", &["TransportOptions"]),
];

/// Returns the public fields of a struct, but for those that no file can set.
fn fields(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("pub struct {name} {{")).unwrap_or_else(|| panic!("no struct {name}"));
    let (body, _) = body.split_once("\n}").expect("the struct's end");
    let body: String = body.split("#[serde(skip)]").enumerate().fold(String::new(), |sum, (at, part)| {
        let part = if at == 0 { part } else { part.split_once(',').map_or("", |(_, rest)| rest) };
        sum + part
    });
    let names = body.lines().filter_map(|line| Some(line.trim().strip_prefix("pub ")?.split_once(':')?.0.to_owned()));
    names.collect()
}

#[test]
fn every_field_of_a_configuration_is_documented_and_no_other() {
    let detector = fields(&read("src/policy/detector.rs"), "DetectorOptions");
    let configured = CONFIGURED.iter().flat_map(|(file, structs)| {
        let source = read(file);
        structs.iter().flat_map(move |name| fields(&source, name)).collect::<Vec<_>>()
    });
    // A key's two fields stand in the row of `keys`.
    let configured = configured.chain(detector).filter(|field| !["name", "value"].contains(&field.as_str()));
    let configured: BTreeSet<String> = configured.collect();
    let text = read("docs/configuration.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(field, _)| field);
    // Strategies are quoted or in braces.
    let documented: BTreeSet<String> = rows.filter(|row| !row.contains(['"', '{'])).map(str::to_owned).collect();
    assert_eq!(configured, documented);
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let sources: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .map(|file| fs::read_to_string(file).expect("a readable source"))
        .collect();
    let text = read("docs/semantics.md");
    let promises = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    for (at, promise) in promises.enumerate() {
        assert!(promise.starts_with(&format!("{}. ", at + 1)), "out of order: {promise}");
        let (_, tests) = promise.rsplit_once(" — ").unwrap_or_default();
        for name in tests.split(", ").filter(|name| !name.is_empty()) {
            let exists = sources.contains(&format!("fn {}(", name.trim_matches('`')));
            assert!(exists, "promise {} names {name}, which is no test", at + 1);
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let documents = files(&root().join("docs"), ".md").into_iter().chain([root().join("README.md")]);
    for document in documents {
        let text = fs::read_to_string(&document).expect("a readable document");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            let target = document.parent().expect("a folder").join(link);
            assert!(target.exists(), "{}: no {link}", document.display());
        }
    }
}

//! Holds the documents to the code: examples parse and start, every field is documented, named tests exist, links lead
//! somewhere, printed commands work (`printed`), what is named is there (`named`, `house`), and the public interface is
//! as docs/public.md lists it (`public`).
//! Snippets of Rust are doc-tests of the crate.

#[expect(dead_code, reason = "an example's `main` is for its reader")]
#[path = "../examples/tools.rs"]
mod tools;

#[path = "docs/columns.rs"]
mod columns;
#[path = "docs/house.rs"]
mod house;
#[path = "architecture/literals.rs"]
mod literals;
#[path = "docs/named.rs"]
mod named;
#[path = "docs/public.rs"]
mod public;

#[cfg(feature = "sidecar")]
#[path = "docs/printed.rs"]
mod printed;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use standin::config::{DialectConfig, presets};
use standin::consequence::{CallerStatus, FaultOwner, HoldRule, Next, Remedy};
use standin::internals::wire::Flavour;
use standin::{Config, FailureClass, Runtime, Scope};

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
    let (_, all) = text.split_once("## Everything at once").expect("an example of everything");
    let (_, rest) = all.split_once("```toml\n").expect("an example in TOML");
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
    assert_eq!((&shown.health, shown.dialect), (&plain.health, Some(DialectConfig::default())));
    assert_eq!(shown.stream_upstream, plain.stream_upstream);
    let Config { providers, routes, aliases, seed, .. } = example.clone();
    assert_eq!(example, Config { providers, routes, aliases, seed, ..default });
}

#[tokio::test]
async fn the_example_starts() {
    let runtime = Runtime::builder().config(example()).start().await.expect("a configuration that is right");
    assert_eq!(runtime.health().providers.len(), 3);
}

/// Structs that a configuration consists of, and where they are.
const CONFIGURED: [(&str, &[&str]); 18] = [
    ("src/config.rs", &["Config"]),
    ("src/config/provider.rs", &["ProviderConfig"]),
    ("src/config/key.rs", &["KeyTable"]),
    ("src/config/model.rs", &["ModelConfig"]),
    ("src/catalog/price.rs", &["PriceConfig", "PriceTierConfig"]),
    ("src/config/route.rs", &["RouteConfig", "MemberConfig"]),
    ("src/config/prices.rs", &["PricesConfig"]),
    ("src/config/budget.rs", &["BudgetConfig"]),
    ("src/config/store.rs", &["StoreConfig"]),
    ("src/policy/failover/options.rs", &["FailoverOptions"]),
    ("src/policy/stale.rs", &["StaleOptions"]),
    ("src/policy/restart.rs", &["RestartOptions"]),
    ("src/policy/breaker.rs", &["BreakerOptions"]),
    ("src/policy/health.rs", &["HealthOptions"]),
    ("src/policy/hint.rs", &["HintOptions"]),
    ("src/policy/probe.rs", &["ProbeOptions"]),
    ("src/policy/routing/options.rs", &["RouteOptions", "SecondValue"]),
    ("src/transport.rs", &["TransportOptions"]),
];

/// Returns the fields of a struct, except those that no file can set.
fn fields(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("struct {name} {{")).unwrap_or_else(|| panic!("no struct {name}"));
    let (body, _) = body.split_once("\n}").expect("the struct's end");
    let body: String = body.split("#[serde(skip)]").enumerate().fold(String::new(), |sum, (at, part)| {
        let part = if at == 0 { part } else { part.split_once(',').map_or("", |(_, rest)| rest) };
        sum + part
    });
    let names = body.lines().filter_map(|line| {
        let line = line.trim();
        let (name, _) = line.strip_prefix("pub ").unwrap_or(line).split_once(": ")?;
        name.chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit())
            .then_some(name)
    });
    names.map(str::to_owned).collect()
}

#[test]
fn every_field_of_a_configuration_is_documented_and_no_other() {
    let detector = fields(&read("src/policy/detector.rs"), "DetectorOptions");
    let configured = CONFIGURED.iter().flat_map(|(file, structs)| {
        let source = read(file);
        structs.iter().flat_map(move |name| fields(&source, name)).collect::<Vec<_>>()
    });
    let configured: BTreeSet<String> = configured.chain(detector).collect();
    let text = read("docs/configuration.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(field, _)| field);
    // Strategies are quoted or in braces.
    let documented: BTreeSet<String> = rows.filter(|row| !row.contains(['"', '{'])).map(str::to_owned).collect();
    assert_eq!(configured, documented);
}

#[test]
fn every_field_of_the_sidecars_table_is_documented_and_no_other() {
    let tables = [("settings", "ServerConfig"), ("tls", "TlsConfig"), ("access", "ClientKey")];
    let fields = |(file, name)| fields(&read(&format!("src/sidecar/{file}.rs")), name);
    let configured: BTreeSet<String> = tables.into_iter().flat_map(fields).collect();
    let text = read("docs/sidecar.md");
    let (_, tables) = text.split_once("\n## Configuration").expect("a part on configuration");
    let (tables, _) = tables.split_once("\n## ").expect("its end");
    let documented: BTreeSet<String> = rows(tables).map(|(field, _)| field.to_owned()).collect();
    assert_eq!(configured, documented);
}

#[test]
fn every_metric_is_documented_and_every_header_of_a_request() {
    let text = read("docs/sidecar.md");
    let source = read("src/sidecar/metrics.rs");
    let names = source.split('"').filter(|word| {
        let is_name = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name && ["standin_", "gen_ai_client_", "gen_ai_server_"].iter().any(|prefix| word.starts_with(prefix))
    });
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("`{name}")), "the metric {name} is not documented");
    }
    let source = read("src/sidecar/call_options.rs");
    let (_, known) = source.split_once("let known =").expect("the names of headers");
    let known = known.split('"').nth(1).expect("a text");
    for header in known.split(", ") {
        assert!(text.contains(&format!("| `x-standin-{header}` |")), "x-standin-{header} is not documented");
    }
}

/// Returns the rows of a document's tables, by the text of the first column, within one pair of backticks.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
}

#[tokio::test]
async fn every_provider_and_flavour_is_documented_and_the_short_examples_start() {
    let text = read("docs/providers.md");
    for preset in presets() {
        let row = rows(&text).find(|(name, row)| *name == preset.name && row.contains(preset.base_url));
        let (_, row) = row.unwrap_or_else(|| panic!("no row of {} with {}", preset.name, preset.base_url));
        assert!(row.contains(&preset.env.map_or("none: ".into(), |env| format!("`{env}`"))), "{}: {row}", preset.name);
    }
    let (_, flavours) = text.split_once("## Flavours").expect("a part on flavours");
    let (flavours, _) = flavours.split_once("\n## ").expect("its end");
    let documented: BTreeSet<&str> = rows(flavours).map(|(name, _)| name).collect();
    assert_eq!(documented, Flavour::names().collect());
    for document in [text, read("docs/configuration.md")] {
        let (_, rest) = document.split_once("```toml\n").expect("an example in TOML");
        let (short, _) = rest.split_once("```").expect("the example's end");
        let config: Config = toml::from_str(&short.replace('…', "1")).expect("a configuration");
        Runtime::builder().config(config).start().await.expect("a configuration that is right");
    }
}

/// Returns the fields of requests that the codecs name, such as `sampling.stop`: those that they drop, convert or
/// cannot serve.
fn fields_of_requests(source: &str) -> Vec<&str> {
    const FIELDS: [&str; 9] = [
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "sampling",
        "effort",
        "output_tokens_max",
        "extra",
    ];
    let named = source.split('"').filter(|text| FIELDS.contains(&text.split('.').next().unwrap_or_default()));
    named.filter(|text| text.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))).collect()
}

#[test]
fn everything_that_a_move_may_drop_or_convert_is_explained() {
    let text = read("docs/providers.md");
    // Unknown parts of a caller's dialect are dropped before any move.
    let root = root();
    let is_test = |file: &Path| {
        let inside = file.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        ["tests", "wire/serve"].iter().any(|part| inside.contains(part))
    };
    let mut seen = BTreeSet::new();
    for file in files(&root.join("src/wire"), ".rs").into_iter().filter(|file| !is_test(file)) {
        let source = fs::read_to_string(&file).expect("a readable source");
        for field in fields_of_requests(&source) {
            assert!(text.contains(&format!("`{field}`")), "{}: `{field}` is not explained", file.display());
            seen.insert(field.to_owned());
        }
    }
    let (_, moves) = text.split_once("## What a move changes").expect("a part on moves");
    let (moves, _) = moves.split_once("from \\ to").expect("its first table's end");
    for (field, _) in rows(moves) {
        assert!(seen.contains(field), "`{field}` is explained, and no codec drops or converts it");
    }
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let sources: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .map(|file| fs::read_to_string(file).expect("a readable source"))
        .collect();
    let text = read("docs/semantics.md");
    let (mut promises, mut named) = (0, 0);
    for part in text.split("\n## ").skip(1) {
        let first = promises + 1;
        for promise in part.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
            let number = promise.split_once(". ").and_then(|(number, _)| number.parse().ok()).unwrap_or(0);
            assert!(number > promises, "out of order: {promise}");
            promises = number;
            let remedy = "name tests in the table that is folded away behind this part";
            assert!(!promise.contains(" — `"), "promise {promises}: {remedy}");
        }
        let rows = part.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        let mut before = 0;
        for (number, tests) in rows.filter(|(number, _)| number.starts_with(|c: char| c.is_ascii_digit())) {
            let number: usize = number.parse().expect("a promise's number");
            assert!(
                (first..=promises).contains(&number) && number > before,
                "no promise {number} of this part, in its order"
            );
            before = number;
            for name in tests.split(", ") {
                let exists = sources.contains(&format!("fn {}(", name.trim_matches('`')));
                assert!(exists, "promise {number} names {name}, which is no test");
                named += 1;
            }
        }
    }
    assert!(promises > 190 && named > promises, "{promises} promises, {named} tests");
}

/// Returns the names by which links lead to a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let outside = text.split("```").step_by(2).flat_map(str::lines);
    let headings = outside.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn links_lead_somewhere() {
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page));
    let documents = files(&root().join("docs"), ".md").into_iter().chain(pages);
    for document in documents {
        let text = fs::read_to_string(&document).expect("a readable document");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = document.parent().expect("a folder").join(file);
            let target = if file.is_empty() { document.clone() } else { target };
            assert!(target.exists(), "{}: no {link}", document.display());
            let leads = || anchors(&fs::read_to_string(&target).expect("a readable document")).contains(heading);
            assert!(heading.is_empty() || leads(), "{}: no heading for {link}", document.display());
        }
    }
}

#[test]
fn the_readmes_first_program_is_the_example() {
    let example = read("examples/embed.rs");
    let (_, program) = example.split_once("\n\n").expect("a head and a program");
    assert!(read("README.md").contains(&format!("```rust,no_run\n{program}```")), "README has another one");
}

/// How long a model that a page names must still answer, from the day of the catalogue on.
const TAUGHT_DAYS: i64 = 90;

#[test]
fn no_page_teaches_a_model_that_ends_soon() {
    let soon = standin::models::as_of().expect("a day").plus(TAUGHT_DAYS);
    // The reference is not among them: it shows a model that ends, with its replacement.
    let pages = ["README.md", "docs/guide.md", "examples/embed.rs", "examples/tools.rs"];
    let mut taught = 0;
    for page in pages {
        let text = read(page);
        let names = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-._".contains(letter)));
        for model in names.filter_map(|name| standin::models::models().iter().find(|model| model.id == name)) {
            taught += 1;
            assert!(model.retires.is_none_or(|last| last > soon), "{page} teaches {}, which ends", model.id);
        }
    }
    assert!(taught > 5, "{taught} names of models");
}

#[tokio::test]
async fn the_example_of_the_tool_loop_comes_to_an_end_without_a_key() {
    if ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"].iter().any(|key| std::env::var_os(key).is_some()) {
        // A reader with a key would be asked for money.
        return;
    }
    let happened = tools::converse("Do I need an umbrella in Bern?").await.expect("an answer");
    let called = r#"local/stand-in calls weather({"city":"Bern"})"#;
    let said = "local/stand-in says: As far as I can tell: It is raining in Bern, 12 degrees.";
    assert_eq!(happened, [called, said]);
}

/// Returns the table of docs/failures.md as the code has it.
fn failures() -> String {
    let row = |class: FailureClass| {
        let it = class.consequences();
        let whose = match it.owner {
            FaultOwner::Provider => "the provider's",
            FaultOwner::Account => "the account's",
            FaultOwner::Request => "the request's",
            FaultOwner::Ours => "ours",
            FaultOwner::NotAFault => "none",
            _ => "?",
        };
        let scope = match it.scope {
            Scope::Request => "this request",
            Scope::Key => "the key",
            Scope::Model => "the model",
            Scope::Endpoint => "the endpoint",
        };
        let next = match it.next {
            Next::Resend => "sends it again at once, once",
            Next::Pause => "tries again after a pause",
            Next::Silence => "tries again after a pause, beside others",
            Next::AskAgain => "asks once more at once",
            Next::Shorter => "sends less, if it may",
            Next::Leave => "leaves the target",
            Next::Reject => "ends, unless the route says otherwise",
            Next::End => "ends",
            _ => "?",
        };
        let next = if it.obeys_retry_after { format!("{next}; comes back when told") } else { next.to_owned() };
        let rest = it.hold.map_or("nothing".to_owned(), |HoldRule { whole_key, time, remedy }| {
            let (what, time) = (if whole_key { "the key" } else { "key or model" }, time.as_secs());
            let time = if time < 60 { format!("{time} s") } else { format!("{} min", time / 60) };
            let until = remedy.map(|remedy| match remedy {
                Remedy::ReplaceKey => ", until an operator replaces it",
                Remedy::AddCredit => ", until an operator pays",
                Remedy::HaveAllowed => ", until an operator has it allowed",
                Remedy::NameAnother => ", until an operator names another model",
                Remedy::CorrectAddress => ", until an operator corrects the address",
                _ => "?",
            });
            format!("{what}, {time}{}", until.unwrap_or_default())
        });
        let told = match it.status {
            CallerStatus::Invalid | CallerStatus::ContextTooLong | CallerStatus::ContentPolicy => "400",
            CallerStatus::TooLarge => "413",
            CallerStatus::RateLimited => "429",
            CallerStatus::Unavailable => "503",
            CallerStatus::NeedsOperator => "424",
            CallerStatus::NoAnswer => "502",
            CallerStatus::Internal => "500",
            _ => "?",
        };
        format!("| `{class}` | {whose} | {scope} | {} | {next} | {rest} | {told} | {} |", it.weight, it.waste)
    };
    let head =
        "| class | whose | reaches | weighs | the call | rests | status | waste |\n|---|---|---|---|---|---|---|---|";
    let rows: Vec<String> = FailureClass::ALL.iter().copied().map(row).collect();
    format!("{head}\n{}\n", rows.join("\n"))
}

#[test]
fn the_table_of_failures_is_the_codes() {
    let (page, table) = (read("docs/failures.md"), failures());
    assert!(page.contains(&table), "docs/failures.md must hold this table:\n{table}");
}

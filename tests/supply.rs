//! Checks all dependencies against `deny.toml`: licences, sources, banned crates; and the crates that there are twice
//! against a list. Writes the program's bill of materials on the way, as `CycloneDX`, to `target/tmp/standin.cdx.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Where crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The crates that `Cargo.lock` has in more than one version: in which, and why that cannot be avoided yet.
const TWICE: [(&str, &[&str], &str); 7] = [
    ("getrandom", &["0.2", "0.4"], "ring 0.17 is still on 0.2"),
    ("hashbrown", &["0.14", "0.17"], "dashmap 6, which ractor uses, is still on 0.14"),
    ("itertools", &["0.13", "0.15"], "criterion 0.8 is still on 0.13; for benchmarks only"),
    ("syn", &["2", "3"], "half of all derive macros are still on 2; at build time only"),
    ("synstructure", &["0.13", "0.14"], "asn1-rs-derive is still on 0.13, and on syn 2; at build time only"),
    ("untrusted", &["0.7", "0.9"], "aws-lc-rs is still on 0.7"),
    ("windows-sys", &["0.52", "0.61"], "ring 0.17 is still on 0.52; for Windows only"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn table(file: &str) -> toml::Table {
    let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Asks cargo for all packages; without a network, for those of this build.
fn metadata() -> Value {
    let ask = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(root()).args(["metadata", "--format-version", "1", "--locked"]).args(more);
        let output = command.output().expect("cargo runs");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    };
    let host = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let host = String::from_utf8(host.stdout).expect("text");
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let all = ["--all-features", "--filter-platform", host];
    let built = ["--features", "sidecar", "--filter-platform", host, "--offline"];
    ask(&all).or_else(|| ask(&built)).expect("what cargo knows")
}

fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Tells whether one of the licences that a package leaves to choose is allowed. `OR` binds less than `AND`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // In older packages a slash is an `OR`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let is = either(&words, &mut at, allowed);
    is && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut is = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        is |= both(words, at, allowed);
    }
    is
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut is = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        is &= one(words, at, allowed);
    }
    is
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let is = either(words, at, allowed);
        *at += 1;
        return is;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

#[test]
fn a_licence_expression_is_allowed_if_its_required_parts_are() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("ISC AND (MIT OR GPL-3.0)", true),
        ("ISC AND (GPL-2.0 OR GPL-3.0)", false),
        ("MIT OR GPL-2.0 AND GPL-3.0", true),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn dependencies_come_from_one_registry_with_their_hashes_and_none_is_banned() {
    let (lock, deny) = (table("Cargo.lock"), table("deny.toml"));
    let names = |list: &toml::Value| -> Vec<String> {
        let names = list.as_array().into_iter().flatten().filter_map(|one| one.get("crate")?.as_str());
        names.map(str::to_owned).collect()
    };
    let banned = names(&deny["bans"]["deny"]);
    assert!(banned.contains(&"openssl-sys".to_owned()), "{banned:?}");
    let packages = lock["package"].as_array().expect("packages");
    for package in packages {
        let field = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let name = field("name").expect("a name");
        assert!(!banned.iter().any(|one| one == name), "{name} has no place here: see deny.toml");
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        assert_eq!(field("source"), Some(REGISTRY), "{name} comes from elsewhere");
        assert_eq!(field("checksum").map(str::len), Some(64), "{name} has no hash");
    }
    assert!(packages.len() > 100, "{} packages", packages.len());
}

/// Returns the part of a version that says with which others it is compatible: `2` of `2.0.1`, `0.17` of `0.17.1`.
fn line(version: &str) -> String {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if major == "0" { format!("{major}.{minor}") } else { major.to_owned() }
}

/// Says what differs between the crates of a lock file that are there more than once, and the list of those known.
fn unlisted(lock: &toml::Table) -> Vec<String> {
    let mut versions = BTreeMap::<&str, Vec<String>>::new();
    for package in lock["package"].as_array().into_iter().flatten() {
        let field = |key: &str| package.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        versions.entry(field("name")).or_default().push(line(field("version")));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut problems = Vec::new();
    for (name, found) in &mut versions {
        found.sort();
        match TWICE.iter().find(|(known, ..)| known == name) {
            Some((_, known, _)) if found.iter().eq(known.iter()) => {}
            Some((_, known, _)) => problems.push(format!("{name} is there as {found:?}, and listed as {known:?}")),
            None => problems.push(format!("{name} is there as {found:?}: see `cargo tree --invert {name}`")),
        }
    }
    let gone = TWICE.iter().filter(|(name, ..)| !versions.contains_key(name));
    problems.extend(gone.map(|(name, ..)| format!("{name} is listed, and is there once at most")));
    problems
}

#[test]
fn the_crates_that_are_built_in_two_versions_are_listed_with_a_reason() {
    assert_eq!(unlisted(&table("Cargo.lock")), Vec::<String>::new());
}

#[test]
fn a_crate_in_one_more_version_is_found() {
    let mut lock = table("Cargo.lock");
    let packages = lock["package"].as_array_mut().expect("packages");
    let named = |one: &toml::Value, name: &str| one.get("name").and_then(toml::Value::as_str) == Some(name);
    let mut more = |name: &str, version: &str| {
        let mut one = packages.iter().find(|one| named(one, name)).expect("it is there").clone();
        one.as_table_mut().expect("a package").insert("version".to_owned(), version.into());
        packages.push(one);
    };
    more("tokio", "9.0.1");
    more("syn", "9.0.1");
    packages.retain(|one| !named(one, "itertools"));
    let found = unlisted(&lock);
    let expected = ["syn is there as", "tokio is there as", "itertools is listed"];
    assert!(found.iter().zip(expected).all(|(found, begin)| found.starts_with(begin)), "{found:?}");
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn every_licence_that_is_built_in_is_allowed_and_the_bill_of_materials_tells_all() {
    let (metadata, deny, lock) = (metadata(), table("deny.toml"), table("Cargo.lock"));
    let allowed = deny["licenses"]["allow"].as_array().expect("licences");
    let allowed: BTreeSet<String> = allowed.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    let hashes: BTreeMap<(&str, &str), &str> = lock["package"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|one| {
            let field = |key: &str| one.get(key).and_then(toml::Value::as_str);
            Some(((field("name")?, field("version")?), field("checksum")?))
        })
        .collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let by_id: BTreeMap<&str, &Value> = packages.iter().filter_map(|one| Some((one["id"].as_str()?, one))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let nodes: BTreeMap<&str, &Value> = nodes.iter().filter_map(|one| Some((one["id"].as_str()?, one))).collect();
    let own = metadata["resolve"]["root"].as_str().expect("a root");

    // Dependencies of the program and its build, without those of tests.
    let (mut inside, mut open) = (BTreeMap::<&str, Vec<&str>>::new(), vec![own]);
    while let Some(id) = open.pop() {
        if inside.contains_key(id) {
            continue;
        }
        let below: Vec<&str> = nodes[id]["deps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dep| {
                dep["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
            })
            .filter_map(|dep| dep["pkg"].as_str())
            .filter(|below| *below != id)
            .collect();
        open.extend(&below);
        inside.insert(id, below);
    }
    let purl = |id: &str| {
        let package = by_id[id];
        format!("pkg:cargo/{}@{}", package["name"].as_str().unwrap_or(""), package["version"].as_str().unwrap_or(""))
    };
    let mut components = Vec::new();
    for id in inside.keys().filter(|id| **id != own) {
        let package = by_id[id];
        let (name, version) = (package["name"].as_str().expect("a name"), package["version"].as_str().expect("one"));
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        assert!(is_allowed(licence, &allowed), "{name} {version} is licensed by {licence}: see deny.toml");
        components.push(json!({
            "type": "library",
            "bom-ref": purl(id),
            "name": name,
            "version": version,
            "purl": purl(id),
            "licenses": [{"expression": licence.replace('/', " OR ")}],
            "hashes": [{"alg": "SHA-256", "content": hashes[&(name, version)]}],
        }));
    }
    let below = |(id, below): (&&str, &Vec<&str>)| {
        let below: BTreeSet<String> = below.iter().map(|one| purl(one)).collect();
        json!({"ref": purl(id), "dependsOn": below})
    };
    let own_package = by_id[own];
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "bom-ref": purl(own),
            "name": own_package["name"],
            "version": own_package["version"],
            "licenses": [{"expression": own_package["license"]}],
        }},
        "components": components,
        "dependencies": inside.iter().map(below).collect::<Vec<_>>(),
    });
    let features = texts(nodes[own], "features");
    assert!(features.contains(&"sidecar"), "{features:?}");
    let listed: BTreeSet<&str> = components.iter().filter_map(|one| one["name"].as_str()).collect();
    for expected in ["tokio", "hyper", "rustls", "ractor", "serde_json", "clap"] {
        assert!(listed.contains(expected), "{expected} is not listed");
    }
    assert!(!listed.contains("proptest"), "what only tests need is listed");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standin.cdx.json");
    fs::write(file, serde_json::to_string_pretty(&bill).expect("JSON")).expect("a file");
}

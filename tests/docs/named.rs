//! Every file and every name of Rust that stands in backticks, in documents and in comments of the source, is there.
//!
//! A file is named from the root, from `src`, `docs` or `tests`, with or without `.rs`; `*` is any folder. Of a path
//! such as `GroupBy::Route` the last name must stand in a file that defines the one before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::literals::{blank, blank_literals, is_word};
use super::{files, read, root};

/// Files that are made elsewhere, names of others and of their interfaces, and names in formulas.
const FOREIGN: [&str; 15] = [
    "standin.toml",
    "target/tmp/standin.cdx.json",
    "SQLite",
    "OpenAPI",
    "MiMo",
    "Origin",
    "urlContext",
    "document_url",
    "audio_url",
    "mcp_toolset",
    "code_execution_tool_result",
    "group_by",
    "retry_delay_millis",
    "C_next",
    "T_next",
];
/// The endings of files.
const ENDINGS: [&str; 9] = [".rs", ".md", ".toml", ".tsv", ".sh", ".jsonl", ".py", ".mjs", ".yml"];
/// What metrics get behind their names when they are shown.
const UNITS: [&str; 2] = ["_total", "_seconds"];

/// The code that there is: its words, and what it defines.
struct Code {
    words: BTreeMap<PathBuf, BTreeSet<String>>,
    all: BTreeSet<String>,
    /// The files that define a type or a module, or implement something of it.
    defined: BTreeMap<String, BTreeSet<PathBuf>>,
    /// The names that are brought in from elsewhere.
    used: BTreeSet<String>,
}

/// Returns a source without its comments.
fn without_comments(source: &str) -> String {
    let (code, text) = (blank(source), blank_literals(source));
    let bytes = source.bytes().zip(code.bytes().zip(text.bytes()));
    let kept = bytes.map(|(byte, (code, text))| if code != byte && text == byte { b' ' } else { byte });
    String::from_utf8_lossy(&kept.collect::<Vec<u8>>()).into_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).filter(|word| !word.is_empty())
}

impl Code {
    fn new() -> Self {
        let mut code =
            Self { words: BTreeMap::new(), all: BTreeSet::new(), defined: BTreeMap::new(), used: BTreeSet::new() };
        let folders = ["src", "tests", "examples"].map(|folder| files(&root().join(folder), ".rs"));
        let is_ours = |path: &PathBuf| {
            let path = path.to_string_lossy();
            !path.contains("/target/") && !path.ends_with("docs/named.rs")
        };
        for path in folders.into_iter().flatten().filter(is_ours).chain([root().join("build.rs")]) {
            let source = std::fs::read_to_string(&path).expect("a readable source");
            code.read(&path, &without_comments(&source));
        }
        code
    }

    fn read(&mut self, path: &Path, code: &str) {
        let of: BTreeSet<String> = words(code).map(str::to_owned).collect();
        self.all.extend(of.iter().cloned());
        // A module is its file, or the folder of its `mod.rs`.
        let parts: Vec<String> = path.with_extension("").iter().map(|part| part.to_string_lossy().into()).collect();
        let module = parts.iter().rfind(|part| *part != "mod").cloned().unwrap_or_default();
        self.defined.entry(module).or_default().insert(path.to_owned());
        for line in code.lines() {
            let named: Vec<&str> = words(line).collect();
            for pair in named.windows(2) {
                if ["struct", "enum", "trait", "type", "mod", "macro_rules"].contains(&pair[0]) {
                    self.defined.entry(pair[1].to_owned()).or_default().insert(path.to_owned());
                }
            }
            if line.trim_start().starts_with("impl") {
                for name in named {
                    self.defined.entry(name.to_owned()).or_default().insert(path.to_owned());
                }
            }
        }
        for (at, _) in code.match_indices("use ").filter(|(at, _)| *at == 0 || !is_word(code.as_bytes()[at - 1])) {
            let tree = code[at..].split(';').next().unwrap_or_default();
            let renamed: BTreeSet<&str> = tree.split(" as ").skip(1).filter_map(|rest| words(rest).next()).collect();
            self.used.extend(words(tree).filter(|word| !renamed.contains(word)).map(str::to_owned));
        }
        self.words.insert(path.to_owned(), of);
    }

    /// Tells whether a name is there, alone or behind another one.
    fn has(&self, path: &str) -> bool {
        let roots = ["crate", "self", "super", "standin", "Self"];
        let names: Vec<&str> = path.split("::").skip_while(|name| roots.contains(name)).collect();
        match names[..] {
            [.., of, name] => match self.defined.get(of) {
                Some(files) => files.iter().any(|file| self.words[file].contains(name)),
                None => (self.used.contains(of) || of == "std") && self.all.contains(name),
            },
            [name] => {
                let bare = UNITS.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name);
                self.all.contains(name) || self.all.contains(bare.strip_suffix("_seconds").unwrap_or(bare))
            }
            [] => true,
        }
    }
}

/// Returns what stands in backticks, each with its line, of the comments of a source or of a document; of a source also
/// what links lead to.
fn quoted(text: &str, is_source: bool) -> Vec<(usize, &str)> {
    let (mut quoted, mut in_code) = (Vec::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if is_source && !line.starts_with("//") {
            in_code = false;
            continue;
        }
        let line = if is_source { line.trim_start_matches(['/', '!']).trim_start() } else { line };
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            quoted.extend(line.split('`').skip(1).step_by(2).map(|quoted| (number, quoted)));
            let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            quoted.extend(links.filter(|link| is_source && link.contains("::")).map(|link| (number, link)));
        }
    }
    quoted
}

/// Returns the names of Rust in what is quoted: a name that no other language writes so, and each path.
fn names(quoted: &str) -> Vec<&str> {
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let bare = quoted.trim_matches(['[', ']']);
    if !bare.contains("::") {
        let bare = bare.strip_suffix("()").or(bare.strip_suffix('!')).unwrap_or(bare);
        let is_camel = bare.contains(char::is_uppercase) && bare.contains(char::is_lowercase);
        let is_name = bare.chars().all(|letter| is_path(letter) && letter != ':')
            && bare.starts_with(|letter: char| letter.is_ascii_alphabetic());
        return if is_name && (is_camel || bare.contains('_')) { vec![bare] } else { Vec::new() };
    }
    let paths = bare.split(|letter| !is_path(letter)).map(|path| path.trim_matches(':'));
    paths.filter(|path| path.contains("::") && path.split("::").all(|name| !name.is_empty())).collect()
}

/// Tells whether what is quoted is a file of ours: it has a file's ending, or begins with a folder of ours.
fn is_file(quoted: &str) -> bool {
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || "_./*-".contains(letter);
    let first = quoted.split('/').next().unwrap_or_default();
    let ours = || root().join(first).is_dir() || root().join("src").join(first).is_dir();
    let has_ending = ENDINGS.iter().any(|ending| quoted.len() > ending.len() && quoted.ends_with(ending));
    quoted.chars().all(is_path) && !first.is_empty() && (has_ending || (quoted.contains('/') && ours()))
}

/// Tells whether a file is there, `*` being any folder.
fn is_there(quoted: &str) -> bool {
    fn below(folder: &Path, rest: &[&str]) -> bool {
        match rest {
            [] => true,
            ["*", rest @ ..] => {
                let folders =
                    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
                folders.filter(|path| path.is_dir()).any(|path| below(&path, rest))
            }
            [last] => [folder.join(last), folder.join(format!("{last}.rs"))].iter().any(|path| path.exists()),
            [first, rest @ ..] => below(&folder.join(first), rest),
        }
    }
    let parts: Vec<&str> = quoted.split('/').filter(|part| !part.is_empty()).collect();
    ["", "src", "docs", "tests"].iter().any(|base| below(&root().join(base), &parts))
}

#[test]
fn every_file_and_every_name_in_backticks_is_there() {
    let code = Code::new();
    let documents = std::fs::read_dir(root().join("docs")).expect("a readable folder");
    let documents = documents.map(|entry| entry.expect("a readable entry").path());
    let documents = documents.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let beside = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|file| root().join(file));
    let mut problems = Vec::new();
    for path in documents.chain(beside).chain(files(&root().join("src"), ".rs")) {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        let text = read(&name);
        for (line, quoted) in quoted(&text, path.extension().is_some_and(|end| end == "rs")) {
            if FOREIGN.contains(&quoted) {
                continue;
            }
            let is_file = is_file(quoted);
            let missing =
                if is_file { !is_there(quoted) } else { !names(quoted).into_iter().all(|name| code.has(name)) };
            if missing {
                problems.push(format!("{name}:{line}: `{quoted}`"));
            }
        }
    }
    assert!(problems.is_empty(), "named in backticks, and not in the source:\n{}", problems.join("\n"));
}

#[test]
fn what_is_named_wrongly_is_found() {
    let code = Code::new();
    for (quoted, missing) in [
        ("runtime.ledger(Question::by(GroupBy::Route))", None),
        ("runtime.ledger(Question::by(By::Route))", Some("By::Route")),
        ("super::account::Account::settle", Some("super::account::Account::settle")),
        ("words::FailureClass", None),
        ("retry_budget", None),
        ("retry_purse", Some("retry_purse")),
        ("GroupedBy", Some("GroupedBy")),
        ("standin_hedges_total", None),
        ("plain words, or an address: http://a.b", None),
    ] {
        assert_eq!(names(quoted).into_iter().find(|name| !code.has(name)), missing, "{quoted}");
    }
    for (quoted, known) in [
        ("store/budget_accounts.rs", Some(true)),
        ("store/recall.rs", Some(false)),
        ("wire/openai", Some(true)),
        ("wire/serve/*/read.rs", Some(true)),
        ("wire/serve/*/heard.rs", Some(false)),
        ("docs/failures.md", Some(true)),
        ("image/png", None),
        ("/v1/models", None),
        ("provider/model", None),
    ] {
        assert_eq!(is_file(quoted).then(|| is_there(quoted)), known, "{quoted}");
    }
    let source = "/// Of [`One`] and [two](a::two).\n/// ```\n/// `three`\n/// ```\nlet four = \"`five`\"; // `six`\n";
    assert_eq!(quoted(source, true), [(1, "One"), (1, "a::two")]);
    assert_eq!(without_comments("let a = \"// b\"; // c\n").trim_end(), "let a = \"// b\";");
}

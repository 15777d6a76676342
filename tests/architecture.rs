//! Keeps the floors of `docs/architecture.md`: which floor may know which, and what a floor may not do.
//!
//! Reads the sources as text, comments and literals blanked, and every path in them: in `use` trees and in line. Checks
//! that need types (a clock behind another name) are clippy's, in `.clippy.toml`.

#[expect(dead_code, reason = "the other half is for `docs`")]
#[path = "architecture/literals.rs"]
mod literals;

use std::fs;
use std::path::Path;

use literals::{blank, is_word};

/// A room of the house: its floor, and the rooms it may know beside itself. Imports go down only.
struct Room {
    name: &'static str,
    floor: u8,
    knows: &'static [&'static str],
    /// Exceptions: names that it may use although they are banned on its floor.
    may: &'static [&'static str],
}

const fn room(name: &'static str, floor: u8, knows: &'static [&'static str]) -> Room {
    Room { name, floor, knows, may: &[] }
}

/// The house, from the ground up. `testing` and `drill` do not know `wire`: a scripted provider that wrote its bytes
/// with the codec under test would share its mistakes.
const ROOMS: [Room; 15] = [
    room("words", 0, &[]),
    room("policy", 1, &["words"]),
    room("wire", 2, &["words"]),
    room("catalog", 2, &["words"]),
    room("transport", 3, &["words"]),
    // It reads what a user named, off the runtime's threads: a variable, a file, a command, a function.
    Room { may: &["tokio", "std::env", "std::process", "std::thread"], ..room("source", 3, &["words"]) },
    room("spec", 4, &["words", "policy", "wire", "catalog", "transport", "source"]),
    room("actors", 5, &["words", "policy", "wire", "catalog", "transport", "source", "spec"]),
    // It waits for a disk, on a thread of its own: the only file that is written, and the only room that knows SQLite.
    room("store", 5, &["words", "policy", "source", "spec"]),
    room("config", 5, &["words", "policy", "wire", "catalog", "transport", "source", "spec"]),
    room("runtime", 6, &["words", "policy", "spec", "actors", "store", "config"]),
    room("testing", 6, &["words", "transport", "actors", "runtime"]),
    room("drill", 7, &["words", "transport", "runtime", "testing"]),
    room("sidecar", 7, &["words", "policy", "wire", "config", "runtime"]),
    // The program: it alone reads the environment and files, and prints.
    room("bin", 8, &["words", "config", "runtime", "testing", "drill", "sidecar"]),
];

/// What is banned below a floor.
const BANS: [(u8, &[&str], &str); 7] = [
    (5, &["Instant::now", "SystemTime::now"], "the time is an argument"),
    (5, &["tokio", "ractor"], "only actors wait, spawn and have mailboxes"),
    (
        5,
        &["rand::rng", "rand::random", "thread_rng", "ThreadRng", "OsRng", "SysRng", "getrandom"],
        "the random source is an argument",
    ),
    (5, &["std::env", "std::process", "std::thread"], "the environment is the program's"),
    (5, &["println!", "print!", "eprintln!", "eprint!", "dbg!"], "nothing is printed"),
    (1, &["serde", "Serialize", "Deserialize"], "no wire format leaks into the words"),
    (u8::MAX, &["unsafe"], "nothing here needs it"),
];

/// The most lines of code in one file, tests and comments apart.
const LINES_MAX: usize = 600;
/// The same where a room has a bound of its own.
const LINES_MAX_OF: [(&str, usize); 2] = [("spec", 350), ("actors", 350)];

#[test]
fn the_house_keeps_its_floors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for file in sources(&root) {
        let name = file.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
        let source = fs::read_to_string(&file).expect("a readable source");
        problems.extend(check(&name, &source).into_iter().map(|(line, what)| format!("src/{name}:{line}: {what}")));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_files_of_a_folder_stand_in_an_order_and_know_only_those_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |file: &Path| blank_tests(&blank(&fs::read_to_string(file).expect("a readable source")));
    let name_of = |file: &Path| file.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
    let files: Vec<_> = sources(&root).iter().map(|file| (name_of(file), read(file))).collect();
    let mut problems = Vec::new();
    for (own, code) in files.iter().filter(|(name, _)| name != "lib.rs") {
        let folder = Folder::of(own, code);
        // Its files, and those in folders of theirs.
        let within = format!("{}/", folder.path.join("/"));
        for (name, code) in files.iter().filter(|(name, _)| name.starts_with(&within) && name != own) {
            let found = folder.disorder(name, code).into_iter();
            problems.extend(found.map(|(line, what)| format!("src/{name}:{line}: {what}")));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Returns the path of the module that a file is.
fn module_of(file: &str) -> Vec<&str> {
    let name = file.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/main");
    name.split('/').filter(|part| !part.is_empty()).collect()
}

/// A folder's files in the order of their `mod` lines, from the ground up. A file knows only those before its own; the
/// folder of its own is one with it. In a room it knows nothing of the file that lists them, either: deeper down the
/// files are parts of that one.
struct Folder<'a> {
    path: Vec<&'a str>,
    order: Vec<String>,
    /// What the folder's own file takes from its files: the name, and the file that it lives in.
    taken: Vec<(String, String)>,
}

impl<'a> Folder<'a> {
    /// Reads a folder's own file, blanked.
    fn of(file: &'a str, code: &str) -> Self {
        let order = modules(code);
        let mut taken = Vec::new();
        for (at, _) in code.match_indices("use ") {
            let tree = code[at + 4..].split(';').next().unwrap_or_default();
            for path in paths(tree) {
                let mut segments = path.text.split("::").skip_while(|segment| *segment == "self");
                if let (Some(first), Some(last)) = (segments.next(), segments.last())
                    && order.iter().any(|known| known == first)
                {
                    taken.push((last.to_owned(), first.to_owned()));
                }
            }
        }
        Self { path: module_of(file), order, taken }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.order.iter().position(|known| known == name)
    }

    /// Checks that a file below the folder names none above it.
    fn disorder(&self, file: &str, code: &str) -> Vec<(usize, String)> {
        let (depth, module) = (self.path.len(), module_of(file));
        if module.contains(&"tests") {
            return Vec::new();
        }
        let (own, own_place) = (module[depth], self.place(module[depth]));
        let folder = self.path.join("::");
        let mut problems = Vec::new();
        for path in paths(code) {
            let segments: Vec<&str> = path.text.split("::").collect();
            let supers = segments.iter().take_while(|segment| **segment == "super").count();
            let named: Vec<&str> = match segments[..] {
                ["crate", ..] => segments[1..].to_vec(),
                // `pub(super)` alone names nothing.
                _ if supers > 0 && supers < segments.len() => {
                    let above = &module[..module.len().saturating_sub(supers)];
                    [above, &segments[supers..]].concat()
                }
                _ => continue,
            };
            let Some(entered) = named.strip_prefix(&self.path[..]).and_then(|rest| rest.first()) else { continue };
            let lives = self.taken.iter().find(|(name, _)| name == entered).map(|(_, file)| &**file);
            let problem = match self.place(entered).or_else(|| self.place(lives?).filter(|_| depth > 1)) {
                Some(at) if Some(at) <= own_place => continue,
                Some(_) => format!("`{entered}` stands above `{own}` in `{folder}`"),
                None if depth > 1 => continue,
                None => {
                    format!("`{entered}` is of `{folder}`'s own file, which stands above: name the file it lives in")
                }
            };
            problems.push((code[..path.at].matches('\n').count() + 1, problem));
        }
        problems
    }
}

/// Returns the names of the modules that a file declares, in its order.
fn modules(code: &str) -> Vec<String> {
    let declared = code.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let declared = declared.filter_map(|line| line.split_once("mod ")).filter(|(before, _)| {
        let before = before.trim();
        before.is_empty() || before.starts_with("pub")
    });
    declared.map(|(_, name)| name.to_owned()).collect()
}

/// What may stand at the top, hidden files apart.
const TOP: [&str; 15] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "build.rs",
    "deny.toml",
    "docs",
    "examples",
    "rustfmt.toml",
    "src",
    "tests",
];

#[test]
fn nothing_is_kept_that_was_added_by_mistake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = std::process::Command::new("git").current_dir(root).args(["ls-files", "-z"]).output();
    let Some(kept) = kept.ok().filter(|kept| kept.status.success()) else {
        println!("skipped: this is no checkout of git");
        return;
    };
    let kept = String::from_utf8(kept.stdout).expect("names");
    let mut problems = Vec::new();
    for name in kept.split_terminator('\0') {
        let top = name.split('/').next().expect("a name");
        if !top.starts_with('.') && !TOP.contains(&top) {
            problems.push(format!("{name} stands at the top"));
        }
        // What was deleted and not committed yet is no mistake.
        let bytes = fs::metadata(root.join(name)).map_or(0, |file| file.len());
        if bytes > 400_000 {
            problems.push(format!("{name} has {bytes} bytes"));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_room_knows_only_what_comes_before_it() {
    for (place, room) in ROOMS.iter().enumerate() {
        for known in room.knows {
            let below = ROOMS[..place].iter().any(|other| other.name == *known && other.floor <= room.floor);
            assert!(below, "{} may not know {known}", room.name);
        }
    }
}

/// Returns every Rust file below a folder.
fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Checks one file, named by its path below `src`. Returns its faults with their lines.
fn check(file: &str, source: &str) -> Vec<(usize, String)> {
    let module = module_of(file);
    let code = blank(source);
    let is_test = module.contains(&"tests");
    let own = if is_test { code.clone() } else { blank_tests(&code) };
    let line_of = |at: usize| source[..at].matches('\n').count() + 1;
    if is_test || file == "lib.rs" {
        let found = paths(&own).into_iter().filter(|path| path.text == "unsafe");
        return found.map(|path| (line_of(path.at), "`unsafe`: nothing here needs it".to_owned())).collect();
    }
    let Some(room) = ROOMS.iter().find(|room| room.name == module[0]) else {
        return vec![(1, format!("`{}` is no room: give it its place in tests/architecture.rs", module[0]))];
    };
    let mut problems = Vec::new();
    for path in paths(&own) {
        let segments: Vec<&str> = path.text.split("::").collect();
        let problem = stranger(room, &module, &segments)
            .or_else(|| banned(room, &segments))
            .or_else(|| careless(&segments, &source[path.at..]));
        problems.extend(problem.map(|problem| (line_of(path.at), problem)));
    }
    let lines = own.lines().filter(|line| !line.trim().is_empty()).count();
    let lines_max = LINES_MAX_OF.iter().find(|(of, _)| *of == room.name).map_or(LINES_MAX, |(_, most)| *most);
    if lines > lines_max {
        problems.push((1, format!("{lines} lines of code; the most is {lines_max}")));
    }
    problems
}

/// Tells whether a path leads into a room that this one may not know.
fn stranger(room: &Room, module: &[&str], segments: &[&str]) -> Option<String> {
    let supers = segments.iter().take_while(|segment| **segment == "super").count();
    let entered = match segments {
        ["crate", first, ..] => first,
        [..] if supers > 0 && supers == module.len() => segments.get(supers)?,
        _ => return None,
    };
    if *entered == room.name || room.knows.contains(entered) {
        return None;
    }
    Some(if ROOMS.iter().any(|other| other.name == *entered) {
        format!("`{}` may not know `{entered}`", room.name)
    } else {
        format!("`{entered}` is no room: name the room it lives in")
    })
}

/// Tells whether a path names what is banned on this floor.
fn banned(room: &Room, segments: &[&str]) -> Option<String> {
    let names = |pattern: &str| {
        let pattern: Vec<&str> = pattern.split("::").collect();
        segments.windows(pattern.len()).any(|window| window == pattern)
    };
    // The program, too: it asks a running one.
    if names("reqwest") && !["transport", "bin"].contains(&room.name) {
        return Some("`reqwest`: the only outgoing socket is `transport`'s".to_owned());
    }
    if names("rusqlite") && room.name != "store" {
        return Some("`rusqlite`: the only file that is written is `store`'s".to_owned());
    }
    BANS.iter().filter(|(below, ..)| room.floor < *below).find_map(|(_, patterns, why)| {
        patterns
            .iter()
            .filter(|pattern| !room.may.contains(pattern))
            .find(|pattern| names(pattern))
            .map(|pattern| format!("`{pattern}`: {why}"))
    })
}

/// Tells whether a call may panic and does not say why it cannot.
fn careless(segments: &[&str], source: &str) -> Option<String> {
    match segments {
        [".unwrap"] => Some("`unwrap()`: `expect` says why it cannot fail".to_owned()),
        [".expect"] => {
            let after = source.split_once('(').map_or("", |(_, after)| after.trim_start());
            let message = after.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let justified = message.is_some_and(|(message, _)| message.split_whitespace().count() >= 3);
            (!justified).then(|| "`expect` without words that say why it cannot fail".to_owned())
        }
        _ => None,
    }
}

/// A path as it is written, `use` trees expanded; a method begins with a dot, a macro ends with `!`.
struct Named {
    at: usize,
    text: String,
}

/// Returns every path of some code whose literals are blanked.
fn paths(code: &str) -> Vec<Named> {
    let mut scanner = Scanner { code: code.as_bytes(), at: 0, found: Vec::new() };
    while scanner.at < scanner.code.len() {
        scanner.step("");
    }
    scanner.found
}

struct Scanner<'a> {
    code: &'a [u8],
    at: usize,
    found: Vec<Named>,
}

impl Scanner<'_> {
    fn next(&self, offset: usize) -> u8 {
        self.code.get(self.at + offset).copied().unwrap_or(b' ')
    }

    fn follows(&self, text: &str) -> bool {
        self.code[self.at.min(self.code.len())..].starts_with(text.as_bytes())
    }

    /// Reads on: a path, a number, or one byte that is neither.
    fn step(&mut self, prefix: &str) {
        if is_word(self.next(0)) && !self.next(0).is_ascii_digit() {
            self.path(prefix);
        } else if is_word(self.next(0)) {
            while is_word(self.next(0)) {
                self.at += 1;
            }
        } else {
            if self.next(0) == b'*' && !prefix.is_empty() {
                self.found.push(Named { at: self.at, text: format!("{prefix}::*") });
            }
            self.at += 1;
        }
    }

    fn path(&mut self, prefix: &str) {
        let start = self.at;
        let before = self.code[..start].trim_ascii_end();
        let mut text = match prefix {
            "" if before.ends_with(b".") && !before.ends_with(b"..") => ".".to_owned(),
            "" => String::new(),
            prefix => format!("{prefix}::"),
        };
        loop {
            while is_word(self.next(0)) {
                text.push(char::from(self.next(0)));
                self.at += 1;
            }
            if self.follows("::{") || self.follows("::*") {
                self.at += 2;
                return self.tree(&text);
            }
            if !self.follows("::") || !is_word(self.next(2)) {
                break;
            }
            text.push_str("::");
            self.at += 2;
        }
        if self.next(0) == b'!' && self.next(1) != b'=' {
            text.push('!');
        }
        self.found.push(Named { at: start, text });
    }

    /// Reads what a path branches into.
    fn tree(&mut self, prefix: &str) {
        if self.next(0) == b'*' {
            return self.step(prefix);
        }
        self.at += 1;
        while self.at < self.code.len() && self.next(0) != b'}' {
            self.step(prefix);
        }
        self.at += 1;
    }
}

/// Blanks what is there for tests only.
fn blank_tests(code: &str) -> String {
    const MARKS: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test"];
    let mut out = code.to_owned();
    while let Some((start, mark)) = MARKS.iter().find_map(|mark| Some((out.find(mark)?, mark))) {
        let (mut depth, mut end) = (0_u32, out.len());
        for (at, byte) in out.bytes().enumerate().skip(start + mark.len()) {
            match byte {
                b'{' | b'(' | b'[' => depth += 1,
                b'}' | b')' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(byte, b'}' | b';') {
                end = at + 1;
                break;
            }
        }
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        // A character may be longer than its blank, which no line number minds; offsets do, so keep them.
        let blank = format!("{blank}{}", " ".repeat(end - start - blank.len()));
        out.replace_range(start..end, &blank);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is a file of its own: its place, its text, and what the checker says about it.
    const CASES: [(&str, &str, &str); 43] = [
        // Which floor may know which.
        ("words/chat.rs", "use super::Error;", ""),
        ("words/chat.rs", "use crate::policy::retry_budget::Budget;", "`words` may not know `policy`"),
        ("policy/retry_budget.rs", "use crate::words::{CallId, Error};", ""),
        ("policy/retry_budget.rs", "fn f() -> crate::wire::Ending {}", "`policy` may not know `wire`"),
        ("policy/retry_budget.rs", "use crate::{words::CallId, wire::Ending};", "`policy` may not know `wire`"),
        ("policy/routing/mod.rs", "use super::super::actors::root;", "`policy` may not know `actors`"),
        ("policy/routing/cost.rs", "use super::super::snapshot::Health;", ""),
        ("policy/routing/cost.rs", "use super::super::super::wire::Ending;", "`policy` may not know `wire`"),
        ("policy/retry_budget.rs", "use crate::CallId;", "`CallId` is no room: name the room it lives in"),
        ("policy/retry_budget.rs", "use crate::*;", "`*` is no room: name the room it lives in"),
        ("wire/json.rs", "use crate::policy::retry_budget;", "`wire` may not know `policy`"),
        ("wire/json.rs", "pub(in crate::wire) fn f() {}", ""),
        ("transport.rs", "use crate::policy::retry_budget;", "`transport` may not know `policy`"),
        ("config.rs", "use super::runtime::Runtime;", "`config` may not know `runtime`"),
        ("actors/call.rs", "use crate::runtime::Runtime;", "`actors` may not know `runtime`"),
        ("config/key.rs", "use crate::actors::key::Key;", "`config` may not know `actors`"),
        ("actors/call.rs", "use crate::config::Config;", "`actors` may not know `config`"),
        ("spec/mod.rs", "use crate::actors::slot::Slot;", "`spec` may not know `actors`"),
        ("testing/speech.rs", "let bytes = crate::wire::encode(request);", "`testing` may not know `wire`"),
        ("cellar.rs", "", "`cellar` is no room: give it its place in tests/architecture.rs"),
        // What a floor may not do.
        ("policy/retry_budget.rs", "let now = Instant::now();", "`Instant::now`: the time is an argument"),
        ("policy/retry_budget.rs", "let now = std::time::Instant::now();", "`Instant::now`: the time is an argument"),
        ("policy/retry_budget.rs", "let f = Instant :: elapsed; // Instant::now()", ""),
        ("policy/retry_budget.rs", "/// Not by `Instant::now`.\n/* nor /* by */ SystemTime::now */ fn f() {}", ""),
        ("policy/retry_budget.rs", r##"let text = ("Instant::now", r#"a " tokio::spawn"#, '"', "\"tokio");"##, ""),
        ("policy/retry_budget.rs", "fn f<'a>(c: &'a str) -> char { tokio::f('\\'') }", "`tokio`: only actors wait"),
        ("policy/retry_budget.rs", "use std::{env, fmt};", "`std::env`: the environment is the program's"),
        ("policy/retry_budget.rs", "let share = rng.random::<f64>();", ""),
        ("policy/retry_budget.rs", "use rand::{Rng, rng};", "`rand::rng`: the random source is an argument"),
        ("wire/json.rs", "println!(\"{x}\");", "`println!`: nothing is printed"),
        ("source.rs", "let key = std::env::var(name); tokio::spawn(f);", ""),
        ("source.rs", "let now = Instant::now();", "`Instant::now`: the time is an argument"),
        ("actors/call.rs", "let now = tokio::time::Instant::now();", ""),
        ("wire/json.rs", "use reqwest::Client;", "`reqwest`: the only outgoing socket"),
        ("transport.rs", "use reqwest::Client;", ""),
        ("words/chat.rs", "#[derive(Clone, Deserialize)] struct S;", "`Deserialize`: no wire format"),
        ("words/chat.rs", "use serde_json::Value;", ""),
        ("actors/call.rs", "unsafe { f() }", "`unsafe`: nothing here needs it"),
        // Panics.
        ("actors/call.rs", "let x = f()\n    .unwrap();", "`unwrap()`: `expect` says why it cannot fail"),
        ("actors/call.rs", "f().expect(\"it was checked\");", ""),
        ("actors/call.rs", "f().expect(\"failed\");", "`expect` without words"),
        // Tests may do as they like, except `unsafe`.
        (
            "policy/retry_budget.rs",
            "#[cfg(test)]\nmod tests {\n    fn é() { f().unwrap(); tokio::spawn(g([1; 2])); }\n}",
            "",
        ),
        ("policy/budget/tests.rs", "fn f() { unsafe { g() } }", "`unsafe`: nothing here needs it"),
    ];

    #[test]
    fn the_checker_finds_what_is_wrong_and_nothing_else() {
        for (file, source, expected) in CASES {
            let found: Vec<String> = check(file, source).into_iter().map(|(_, what)| what).collect();
            let fits = match expected {
                "" => found.is_empty(),
                expected => found.len() == 1 && found[0].starts_with(expected),
            };
            assert!(fits, "{file}: {source}\n  expected {expected:?}, found {found:?}");
        }
    }

    #[test]
    fn the_line_is_that_of_the_path_and_not_of_its_statement() {
        let source = "//! é\n\nuse crate::{\n    words::CallId,\n    wire::{\n        Ending,\n    },\n};\n";
        assert_eq!(check("policy/retry_budget.rs", source), [(6, "`policy` may not know `wire`".to_owned())]);
    }

    #[test]
    fn a_file_that_is_too_long_is_found_and_its_tests_and_comments_do_not_count() {
        let line = "fn f() {}\n";
        let long = line.repeat(LINES_MAX);
        let padded = format!("{long}{}\n#[cfg(test)]\nmod tests {{\n{long}}}\n", "// so much\n".repeat(99));
        assert!(check("policy/retry_budget.rs", &padded).is_empty());
        let found = check("policy/retry_budget.rs", &format!("{padded}{line}"));
        assert_eq!(found, [(1, format!("{} lines of code; the most is {LINES_MAX}", LINES_MAX + 1))]);
    }

    #[test]
    fn a_file_that_names_one_above_it_is_found_and_one_below_it_is_not() {
        let room = ("wire.rs", "mod sse;\nmod json;\nmod openai;\npub use openai::Chat;\n");
        let deep =
            ("wire/openai.rs", "mod shape;\nmod edit;\npub(super) use self::edit::{Edit, self as e};\nfn g() {}\n");
        for ((own, declared), file, source, expected) in [
            (room, "wire/json.rs", "use super::sse::SseItem;", ""),
            (room, "wire/json.rs", "use crate::wire::openai::encode;", "`openai` stands above `json` in `wire`"),
            (room, "wire/json.rs", "use super::{sse, openai};", "`openai` stands above `json` in `wire`"),
            (room, "wire/openai/edit.rs", "use super::super::json; use super::shape; use crate::words::Error;", ""),
            (
                room,
                "wire/json/parse.rs",
                "fn f() -> super::super::openai::Reply {}",
                "`openai` stands above `json` in `wire`",
            ),
            (room, "wire/json.rs", "use super::Model;", "`Model` is of `wire`'s own file"),
            (room, "wire/openai.rs", "use super::Chat;", "`Chat` is of `wire`'s own file"),
            (room, "wire/json.rs", "pub(super) fn f() { super::g() }", "`g` is of `wire`'s own file"),
            (room, "wire/json.rs", "#[cfg(test)]\nmod tests { use super::super::openai; }", ""),
            // Deeper down the folder's own file is one with its files.
            (deep, "wire/openai/edit.rs", "use super::shape::Shape; use super::g; use super::super::json;", ""),
            (deep, "wire/openai/shape.rs", "use super::g; use super::edit;", "`edit` stands above `shape`"),
            (deep, "wire/openai/shape.rs", "use crate::wire::openai::Edit;", "`Edit` stands above `shape`"),
        ] {
            let found = Folder::of(own, declared).disorder(file, &blank_tests(&blank(source)));
            let found: Vec<String> = found.into_iter().map(|(_, what)| what).collect();
            let fits = match expected {
                "" => found.is_empty(),
                expected => found.len() == 1 && found[0].starts_with(expected),
            };
            assert!(fits, "{file}: {source}\n  expected {expected:?}, found {found:?}");
        }
        let declared = "mod a;\npub mod b;\npub(crate) mod c;\n#[cfg(test)]\nmod tests;\nmod d { mod e; }\n";
        assert_eq!(modules(&blank_tests(declared)), ["a", "b", "c"]);
    }
}

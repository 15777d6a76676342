//! Everything that is printed in the documents is run: commands against the program, configurations by their reader,
//! answers compared in shape. Rust is compiled and run by the doc-tests of the crate, the SDKs' lines by
//! `tests/clients/run.sh`.
//!
//! A block's language says how it is tested. `sh` is run in a folder of its own, where `standin` is the program and
//! port 4000 a free one; a line that serves stays in the background until the next one. `toml` becomes that folder's
//! `standin.toml`. `json` and `text` are what the commands before them printed. Commands that no test can run
//! (installing, building, containers, services) are only checked for names that exist: features, targets, profiles and
//! files.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use standin::sidecar::Settings;

use super::{files, read, root};

/// The longest that a program may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// A block of a document.
struct Block {
    language: String,
    text: String,
    /// Its place, for the error.
    place: String,
}

fn documents() -> Vec<PathBuf> {
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name));
    files(&root().join("docs"), ".md").into_iter().chain(pages).collect()
}

fn blocks(file: &str) -> Vec<Block> {
    let text = read(file);
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                let place = format!("{file}:{number}");
                open = Some(Block { language: language.to_owned(), text: String::new(), place });
            }
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{file}: a block without an end");
    blocks
}

fn all_blocks() -> Vec<Block> {
    let name = |file: PathBuf| file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
    documents().into_iter().flat_map(|file| blocks(&name(file))).collect()
}

#[test]
fn every_block_has_a_language_that_is_tested() {
    for block in all_blocks() {
        // Queries are run by the store's own tests, which read one page.
        let is_query = block.language == "sql" && block.place.starts_with("docs/keeping.md:");
        let known = ["sh", "toml", "json", "rust", "rust,no_run", "python", "js", "text"].contains(&&*block.language);
        let known = known || is_query;
        assert!(known, "{}: nothing is done with `{}`", block.place, block.language);
    }
}

#[test]
fn every_snippet_of_rust_is_a_doc_test() {
    let library = read("src/lib.rs");
    for block in all_blocks().into_iter().filter(|block| block.language.starts_with("rust")) {
        let (file, _) = block.place.split_once(':').expect("a file and a line");
        assert!(library.contains(&format!("include_str!(\"../{file}\")")), "{}: nobody compiles it", block.place);
    }
}

#[test]
fn every_configuration_is_right() {
    let mut seen = 0;
    for block in all_blocks().into_iter().filter(|block| block.language == "toml") {
        let settings = Settings::parse(&block.text.replace('…', "1"), |_| Some("1".to_owned()));
        let checked = settings
            .map_err(|error| error.to_string())
            .and_then(|settings| settings.check().map_err(|error| error.to_string()));
        checked.unwrap_or_else(|error| panic!("{}: {error}", block.place));
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
}

/// Programs that no test runs: they install, build, or are missing here.
const OTHERS: [&str; 6] = ["cargo", "docker", "sudo", "RUSTC_BOOTSTRAP=1", "STANDIN_HOSTILE_SECONDS=600", "cd"];

/// Tells whether a block is of commands that are run here.
fn is_run(block: &Block) -> bool {
    let first = block.text.split_whitespace().next().unwrap_or_default();
    let cargo = block.text.contains("cargo ");
    !OTHERS.contains(&first) && !cargo && !first.contains('/')
}

#[test]
fn arguments_of_cargo_and_docker_name_things_that_exist() {
    let manifest: toml::Value = toml::from_str(&read("Cargo.toml")).expect("a manifest");
    let named = |kind: &str| -> Vec<String> {
        let targets = manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
        targets.filter_map(|target| Some(target.get("name")?.as_str()?.to_owned())).collect()
    };
    let keys = |table: &str| -> Vec<String> {
        manifest[table].as_table().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let (mut tests, benches, features, profiles) = (named("test"), named("bench"), keys("features"), keys("profile"));
    tests.extend(["architecture".to_owned(), "docs".to_owned(), "corpus".to_owned()]);
    let is_file = |path: &str| root().join(path).exists();
    let mut seen = 0;
    let commands = all_blocks().into_iter().filter(|block| block.language == "sh" && !is_run(block));
    let inline = read("CONTRIBUTING.md");
    let inline = inline.split('`').filter(|text| text.starts_with("cargo "));
    let inline = inline.map(|text| (text.to_owned(), "CONTRIBUTING.md".to_owned()));
    for (text, place) in commands.map(|block| (block.text, block.place)).chain(inline) {
        let words: Vec<&str> = text.split_whitespace().collect();
        for (word, value) in words.iter().zip(words.iter().skip(1).chain([&""])) {
            let fine = match *word {
                "--features" => value.split(',').all(|feature| features.iter().any(|known| known == feature)),
                "--bench" => *value == "NAME" || benches.iter().any(|known| known == value),
                "--test" => tests.iter().any(|known| known == value),
                "--profile" => profiles.iter().any(|known| known == value),
                "--example" => {
                    let places = [format!("examples/{value}.rs"), format!("examples/{value}/main.rs")];
                    places.iter().any(|path| is_file(path) || is_file(&format!("tests/fuzz/{path}")))
                }
                "--bin" => is_file(&format!("src/bin/{value}/main.rs")),
                "-f" => is_file(value),
                word if word.starts_with("docs/") => is_file(word),
                _ => true,
            };
            assert!(fine, "{place}: there is no `{word} {value}`");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
    // The arguments of a container's image must be valid.
    let image = read("docs/deploy/Dockerfile");
    let example = read("docs/deploy/standin.example.toml");
    for variable in ["STANDIN_LISTEN", "STANDIN_ADMIN"] {
        assert!(image.contains(&format!("-e {variable}=0.0.0.0")) && example.contains(&format!("${{{variable}:-")));
    }
}

/// Other gateways' files, which some pages begin with.
const GIVEN: [(&str, &str); 2] = [
    (
        "config.yaml",
        "model_list:\n  - model_name: smart\n    litellm_params: { model: openai/gpt-5-mini, api_key: sk-of-nobody }\n",
    ),
    ("config.json", r#"{"provider": "openai", "api_key": "sk-of-nobody", "override_params": {"model": "gpt-5-mini"}}"#),
];

/// A folder in which the commands of one document are run.
struct Stage {
    folder: PathBuf,
    port: u16,
    serving: Option<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(serving) = &mut self.serving {
            let _ = serving.kill();
            let _ = serving.wait();
        }
    }
}

impl Stage {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("printed-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).expect("a folder");
        symlink(env!("CARGO_BIN_EXE_standin"), folder.join("bin/standin")).expect("the program by its name");
        for (file, text) in GIVEN {
            fs::write(folder.join(file), text).expect("a file");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        Self { folder, port, serving: None }
    }

    /// Returns a shell that is about to run some lines.
    fn shell(&self, lines: &str) -> Command {
        let port = self.port.to_string();
        let lines = lines.replace('…', "1").replace("4000", &port);
        let admin = format!("--admin 127.0.0.1:{port}");
        let lines = lines.replace("standin explain smart", &format!("standin explain smart {admin}"));
        let lines = lines.replace("--seconds 1", "--seconds 1 --rate 5");
        let mut command = Command::new("sh");
        let path = format!("{}:/usr/bin:/bin", self.folder.join("bin").display());
        command.args(["-euc", &lines]).env_clear().env("PATH", path).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Starts a sidecar, in place of the last one.
    fn serve(&mut self, line: &str, place: &str) {
        if let Some(mut before) = self.serving.take() {
            let _ = before.kill();
            let _ = before.wait();
        }
        let mut command = self.shell(&line.replacen("standin serve", "exec standin serve", 1));
        command.env("STANDIN_LISTEN", format!("127.0.0.1:{}", self.port));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.serving = Some(command.spawn().expect("a shell"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.serving.as_mut().and_then(|child| child.try_wait().expect("a process"));
            assert!(ended.is_none(), "{place}: it ended at its start: {line}");
            assert!(begun.elapsed() < PATIENCE, "{place}: it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs every block of a document, in order; returns how many were run.
    fn play(&mut self, file: &str) -> usize {
        let (mut said, mut count) = (String::new(), 0);
        for block in blocks(file) {
            match &*block.language {
                "toml" => fs::write(self.folder.join("standin.toml"), &block.text).expect("a file"),
                "sh" if is_run(&block) => {
                    count += 1;
                    said = match block.text.lines().find(|line| line.contains("standin serve")) {
                        Some(line) => {
                            self.serve(line, &block.place);
                            String::new()
                        }
                        None => {
                            let output = self.shell(&block.text).output().expect("a shell");
                            let (out, error) =
                                [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).into();
                            assert!(output.status.success(), "{}: {out}{error}", block.place);
                            out.into_owned()
                        }
                    };
                }
                "json" => {
                    count += 1;
                    let read = |text: &str| -> Value {
                        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}: {text}", block.place))
                    };
                    holds(&read(&said), &read(&block.text), &block.place);
                }
                "text" if !said.is_empty() => {
                    count += 1;
                    // Of one command only this text was printed.
                    assert_eq!(std::mem::take(&mut said).trim(), block.text.trim(), "{}", block.place);
                }
                // An error that no command printed may be one that none ever prints.
                "text" => assert!(!block.text.contains(".toml:"), "{}: no command before it prints it", block.place),
                _ => {}
            }
        }
        count
    }
}

/// Checks that an answer has all that was printed of it, of the same kinds.
fn holds(seen: &Value, printed: &Value, place: &str) {
    match (seen, printed) {
        (Value::Object(seen), Value::Object(printed)) => {
            for (name, value) in printed {
                let there = seen.get(name).unwrap_or_else(|| panic!("{place}: no `{name}` in {seen:?}"));
                holds(there, value, &format!("{place}: {name}"));
            }
        }
        (Value::Array(seen), Value::Array(printed)) => {
            for (value, printed) in seen.iter().zip(printed) {
                holds(value, printed, place);
            }
            assert!(seen.len() >= printed.len(), "{place}: {seen:?}");
        }
        (seen, printed) => {
            let same = std::mem::discriminant(seen) == std::mem::discriminant(printed);
            assert!(same, "{place}: {seen} where {printed} is printed");
        }
    }
}

#[test]
fn the_guide_can_be_followed_to_the_letter() {
    assert!(Stage::new("guide").play("docs/guide.md") >= 13);
}

#[test]
fn every_command_of_the_other_pages_works() {
    for file in documents() {
        let name = file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        if name != "docs/guide.md" {
            Stage::new(&name.replace('/', "-")).play(&name);
        }
    }
}

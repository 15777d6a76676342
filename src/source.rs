//! Floor 3: where a key comes from, and how it is read there: it is input from outside, as answers are. So are a list
//! of prices, and the machine's own clock.
//!
//! Input: a source. Output: what it gives, or words that say how it failed: never a key, printed or returned. Only
//! sources that a user named are read here, and nothing that may block is read on the runtime's threads.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::words::Secret;

/// How long a source may take: a metadata server or a command answers within a second or two, a call waits meanwhile.
const READ_MAX: Duration = Duration::from_secs(10);
/// The longest key: common servers take no longer header.
const KEY_BYTES_MAX: usize = 16 * 1024;

/// Where Linux tells for how long the machine has been running.
const UPTIME: &str = "/proc/uptime";

/// Returns for how long the machine has been running, sleep included; `None` where the system does not tell.
pub(crate) fn uptime() -> Option<Duration> {
    let seconds = fs::read_to_string(UPTIME).ok()?.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The source of a key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// The configuration itself: this is the key.
    Value(Secret),
    /// An environment variable of this name.
    Env(String),
    /// A file's text, without white space around it.
    File(PathBuf),
    /// What a program prints, without white space around it. Run without a shell and without input.
    Command {
        /// The program: a path, or a name that is looked up in `PATH`.
        program: String,
        /// Its arguments, as they are.
        arguments: Vec<String>,
    },
    /// A function of the user's.
    Function(KeyFunction),
}

/// A function that issues keys. Only clones of it are equal.
#[derive(Clone)]
pub struct KeyFunction(Arc<dyn Fn() -> BoxFuture<'static, Option<IssuedKey>> + Send + Sync>);

/// A key as a source gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedKey {
    /// The key.
    pub secret: Secret,
    /// How long it is good; `None` is as long as the key's configuration says, else until it is refused.
    pub expires_in: Option<Duration>,
}

impl IssuedKey {
    /// Returns a key that is good until it is refused.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self { secret: Secret::new(secret), expires_in: None }
    }

    /// Sets how long it is good.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self
    }
}

impl KeyFunction {
    pub(crate) fn new<F, T, E>(function: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<IssuedKey, E>> + Send + 'static,
    {
        Self(Arc::new(move || {
            let issued = function();
            Box::pin(async move { issued.await.ok() })
        }))
    }

    async fn call(&self) -> Result<IssuedKey, String> {
        let function = self.0.clone();
        let issued = AssertUnwindSafe(async move { function().await }).catch_unwind();
        match tokio::time::timeout(READ_MAX, issued).await {
            Ok(Ok(Some(issued))) => Ok(issued),
            Ok(Ok(None)) => Err("returned an error".into()),
            Ok(Err(_)) => Err("panicked".into()),
            Err(_) => Err(format!("returned nothing within {READ_MAX:?}")),
        }
    }
}

impl PartialEq for KeyFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyFunction {}

impl fmt::Debug for KeyFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFunction(..)")
    }
}

impl fmt::Debug for KeySource {
    /// Shows no arguments of a command: a user may have put a secret there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(secret) => f.debug_tuple("Value").field(secret).finish(),
            Self::Function(function) => f.debug_tuple("Function").field(function).finish(),
            Self::Env(_) | Self::File(_) | Self::Command { .. } => write!(f, "KeySource({self})"),
        }
    }
}

impl fmt::Display for KeySource {
    /// For who wrote the configuration. A name in which a key may have been written by mistake is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) if is_constant(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) if is_path(path) => write!(f, "file `{}`", path.display()),
            Self::Command { program, .. } if is_path(Path::new(program)) => write!(f, "command `{program}`"),
            _ => f.write_str(self.kind()),
        }
    }
}

/// Tells whether a text is a name as variables usually have, in capitals: no provider's key is one.
pub(crate) fn is_constant(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= 64 && text.bytes().all(letter)
}

/// Tells whether a path, or a program, is plainly one: short, from a root or a folder on, or with an ending. Another
/// may be a secret that was written in its place, and is not repeated.
pub(crate) fn is_path(path: &Path) -> bool {
    let Some(text) = path.to_str().filter(|text| !text.contains(char::is_control)) else { return false };
    let begins = ["/", "./", "../"].iter().any(|begin| text.starts_with(begin));
    let ends = path.extension().is_some_and(|ending| ending.len() <= 5) && text.len() <= 64;
    text.len() <= SHORT || begins || ends
}

/// A text of this length is no provider's key.
const SHORT: usize = 16;

impl KeySource {
    /// Returns what kind of source it is: this is all that callers hear of it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Value(_) => "its value",
            Self::Env(_) => "its environment variable",
            Self::File(_) => "its file",
            Self::Command { .. } => "its command",
            Self::Function(_) => "its function",
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    /// The problem, as a text for people that goes on after the source's name.
    pub(crate) async fn read(&self) -> Result<IssuedKey, String> {
        let issued = match self {
            Self::Value(secret) => Ok(IssuedKey { secret: secret.clone(), expires_in: None }),
            Self::Function(function) => function.call().await,
            Self::Env(_) | Self::File(_) | Self::Command { .. } => self.clone().read_aside().await.map(IssuedKey::new),
        };
        issued.and_then(|issued| match fault(issued.secret.expose()) {
            None => Ok(issued),
            Some(fault) => Err(format!("gave a key that {fault}")),
        })
    }

    /// Reads outside the runtime's threads, on a thread for blocking work: a test's paused clock waits for those.
    #[expect(clippy::disallowed_methods, reason = "the user named this source, and it may block")]
    async fn read_aside(self) -> Result<String, String> {
        let read = tokio::task::spawn_blocking(move || self.read_blocking());
        read.await.unwrap_or_else(|_| Err("was not read, as the runtime stops".into()))
    }

    #[expect(clippy::disallowed_methods, reason = "the user named the variable")]
    fn read_blocking(self) -> Result<String, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => "is not set".to_owned(),
                std::env::VarError::NotUnicode(_) => "is no text".to_owned(),
            }),
            Self::File(path) => match within(READ_MAX, move || text(File::open(path)?)) {
                Some(read) => read.map_err(|error| format!("cannot be read: {}", error.kind())),
                None => Err(format!("was not read within {READ_MAX:?}")),
            },
            Self::Command { program, arguments } => run(&program, &arguments, READ_MAX),
            Self::Value(_) | Self::Function(_) => Err("is not read".to_owned()),
        };
        text.map(|text| text.trim().to_owned())
    }
}

/// What tells the versions of a file apart: when it was written, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    written: SystemTime,
    bytes: u64,
}

impl Version {
    fn of(path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        if !data.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        Ok(Self { written: data.modified()?, bytes: data.len() })
    }
}

/// Reads a file of at most this many bytes, unless it is the version that is known.
///
/// # Errors
/// What went wrong, in words for people.
pub(crate) async fn read_file(
    path: PathBuf,
    known: Option<Version>,
    bytes_max: u64,
) -> Result<Option<(Version, Vec<u8>)>, String> {
    let read = move || {
        let version = Version::of(&path)?;
        if known == Some(version) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(&path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
        }
        Ok(Some((version, bytes)))
    };
    #[expect(clippy::disallowed_methods, reason = "the user named this file, and it may block")]
    let read = tokio::task::spawn_blocking(move || within(READ_MAX, read));
    match read.await {
        Ok(Some(read)) => read.map_err(|error| format!("cannot be read: {error}")),
        Ok(None) => Err(format!("was not read within {READ_MAX:?}")),
        Err(_) => Err("was not read, as the runtime stops".into()),
    }
}

/// Returns what is wrong with a key, if something is.
pub(crate) fn fault(key: &str) -> Option<&'static str> {
    if key.trim().is_empty() {
        Some("is empty")
    } else if key.len() > KEY_BYTES_MAX {
        Some("is longer than 16 KiB")
    } else if http::HeaderValue::try_from(key).is_err() {
        Some("holds what no header may, a line break perhaps")
    } else {
        None
    }
}

/// Runs a program to its end and returns what it printed. One that takes too long is killed.
fn run(program: &str, arguments: &[String], patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cannot be run: {}", error.kind()))?;
    let stdout = child.stdout.take().expect("its output was just piped");
    let Some(printed) = within(patience, move || text(stdout)) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("did not end within {patience:?}"));
    };
    match within(patience, move || child.wait()) {
        Some(Ok(status)) if status.success() => printed.map_err(|_| "printed no text".to_owned()),
        Some(Ok(status)) => Err(format!("failed with {status}")),
        Some(Err(_)) | None => Err(format!("did not end within {patience:?}")),
    }
}

/// Reads a text, and not much more than a key may have.
fn text(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(2 * KEY_BYTES_MAX as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// Runs work that may block for ever on a thread of its own, and waits for it no longer than this: a pipe that is never
/// closed must not hold up the runtime's end.
fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::sync_channel(1);
    let work = move || drop(done.send(work()));
    thread::Builder::new().name("standin-source".into()).spawn(work).ok()?;
    result.recv_timeout(patience).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> Result<String, String> {
        run("sh", &["-c".to_owned(), script.to_owned()], patience)
    }

    #[test]
    fn a_command_gives_what_it_prints_if_it_ends_well() {
        for (script, expected) in [
            ("echo sk-1; echo a warning >&2", Ok("sk-1\n")),
            ("cat; echo sk-2", Ok("sk-2\n")),
            ("echo sk-3; exit 3", Err("failed with exit status: 3")),
            ("printf '\\377'", Err("printed no text")),
        ] {
            assert_eq!(shell(script, READ_MAX), expected.map(str::to_owned).map_err(str::to_owned), "{script}");
        }
        let error = run("no-such-program-anywhere", &[], READ_MAX).expect_err("there is none");
        assert_eq!(error, "cannot be run: entity not found");
    }

    #[test]
    fn a_command_that_does_not_end_is_not_waited_for() {
        let patience = Duration::from_millis(50);
        for script in ["sleep 2", "sleep 2 & echo sk-1", "exec >&-; sleep 2"] {
            assert_eq!(shell(script, patience), Err("did not end within 50ms".to_owned()), "{script}");
        }
    }

    #[test]
    fn a_command_that_never_stops_printing_is_cut_off() {
        let printed = shell("yes", READ_MAX);
        assert!(printed.is_err_and(|error| error.starts_with("failed with")), "its pipe breaks");
    }

    #[test]
    fn a_source_is_shown_where_it_is_plainly_one_and_only_its_kind_otherwise() {
        const KEY: &str = "sk-4uCkx7-T0pS3cr3t";
        let command = |program: &str| KeySource::Command { program: program.into(), arguments: vec![KEY.into()] };
        for (source, shown) in [
            (KeySource::Env("OPENAI_API_KEY".into()), "environment variable `OPENAI_API_KEY`"),
            (KeySource::Env(KEY.into()), "its environment variable"),
            (KeySource::Env("hf_4uCkx7T0pS3cr3t".into()), "its environment variable"),
            (KeySource::File("/run/secrets/openai".into()), "file `/run/secrets/openai`"),
            (KeySource::File("openai.key".into()), "file `openai.key`"),
            (KeySource::File("nowhere".into()), "file `nowhere`"),
            (KeySource::File(KEY.into()), "its file"),
            (KeySource::File(format!("/{KEY}\n").into()), "its file"),
            (command("gcloud"), "command `gcloud`"),
            (command("/opt/vault/get"), "command `/opt/vault/get`"),
            (command(KEY), "its command"),
            (KeySource::Value(Secret::new(KEY)), "its value"),
        ] {
            assert_eq!(source.to_string(), shown);
            assert!(!format!("{source:?} {source} {}", source.kind()).contains("4uCk"), "{source:?}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_a_key_is_refused() {
        for (key, expected) in [
            ("sk-1", None),
            (" \t", Some("is empty")),
            ("sk-1\n", Some("holds what no header may, a line break perhaps")),
            (&"k".repeat(KEY_BYTES_MAX), None),
            (&"k".repeat(KEY_BYTES_MAX + 1), Some("is longer than 16 KiB")),
        ] {
            assert_eq!(fault(key), expected);
        }
    }
}

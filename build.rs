//! Tells the program its version and, of a release, the commit it is made of: of the repository, or of the package that
//! was made of one. Without both only the version is known. The library gets none of it, and no command is run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=STANDIN_COMMIT");
    if env::var_os("CARGO_FEATURE_SIDECAR").is_none() {
        return;
    }
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let given = env::var("STANDIN_COMMIT").ok().filter(|commit| !commit.is_empty());
    // In builds without release a new commit does not rebuild everything.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let known = || repository(&root).or_else(|| package(&root));
    let commit = given.or_else(|| is_release.then(known).flatten());
    let commit = commit.map_or(String::new(), |commit| format!(" ({})", commit.get(..12).unwrap_or(&commit)));
    println!("cargo::rustc-env=STANDIN_VERSION={version}{commit}");
}

/// Returns the commit of the repository whose root this is: a repository around it does not count.
fn repository(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let log = root.join(git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    if log.exists() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    git(&["rev-parse", "HEAD"])
}

/// Returns the commit that a package was made of.
fn package(root: &Path) -> Option<String> {
    let info = std::fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = info.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?;
    commit.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| commit.to_owned())
}

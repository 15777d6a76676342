//! Where the configuration comes from: a file, or the keys in the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use standin::config::{KeyConfig, MemberConfig, presets};
use standin::sidecar::Settings;
use standin::{Config, Price, ProviderConfig, RouteConfig, TargetId};

/// The file that is read where none is named.
const USUAL: &str = "standin.toml";

/// A configuration and where it is from.
pub struct Loaded {
    pub settings: Settings,
    /// The file, where it is from one.
    pub file: Option<PathBuf>,
    /// What to say of it.
    pub about: String,
    /// What to warn of.
    pub warnings: Vec<String>,
}

/// Loads what is named, or what is usual.
pub fn load(named: Option<&Path>) -> Result<Loaded, String> {
    let usual = Path::new(USUAL);
    match named.or_else(|| usual.exists().then_some(usual)) {
        Some(file) => {
            let (settings, warnings) = read(file)?;
            let about = format!("configured by {}", file.display());
            Ok(Loaded { settings, file: Some(file.to_owned()), about, warnings })
        }
        None => from_environment(),
    }
}

/// The longest configuration: ten thousand providers take a few megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file; returns with it what to warn of.
pub fn read(file: &Path) -> Result<(Settings, Vec<String>), String> {
    let problem = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    let text = text(file).map_err(|error| problem(&error))?;
    let settings = Settings::parse(&text, variable).map_err(|error| problem(&error))?;
    let with_keys = Settings::holds_key(&text).then_some(file);
    let secret = with_keys.into_iter().chain(settings.server.tls.as_ref().map(|tls| &*tls.key));
    let warnings = secret.filter(|file| others_read(file)).map(|file| {
        let remedy = "let nobody else read it (chmod o-r), or have keys read from elsewhere";
        format!("{} holds a key, and every user of this machine may read it: {remedy}", file.display())
    });
    let warnings = warnings.collect();
    Ok((settings, warnings))
}

/// Tells whether every user of this machine may read a file.
fn others_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// Returns a file's text. Whoever opens a pipe waits for its writer, and a device has no end.
fn text(file: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("is no file: a folder, a pipe or a device is not read"));
    }
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn from_environment() -> Result<Loaded, String> {
    let mut settings = Settings::default();
    let (mut found, mut targets): (Vec<(&str, &str)>, _) = (Vec::new(), Vec::new());
    for preset in presets() {
        let Some(variable) = preset.env.filter(|name| variable(name).is_some_and(|key| !key.trim().is_empty())) else {
            continue;
        };
        let provider = ProviderConfig { keys: vec![KeyConfig::env(variable)], ..ProviderConfig::preset(preset.name) };
        let alone =
            Config { providers: BTreeMap::from([(preset.name.to_owned(), provider.clone())]), ..Config::default() };
        // Two presets of one account differ in their dialect; what needs more than a key cannot be guessed.
        let taken = found.iter().any(|(_, known)| *known == variable);
        if let (false, Ok(own)) = (taken, alone.targets()) {
            found.push((preset.name, variable));
            targets.extend(own);
            settings.runtime.providers.insert(preset.name.to_owned(), provider);
        }
    }
    if found.is_empty() {
        let mut variables: Vec<&str> = presets().iter().filter_map(|preset| preset.env).collect();
        variables.dedup();
        return Err(format!(
            "there is no {USUAL} here, and no provider's key in the environment.\n\
             Set one of {},\nname a file by --config FILE, or try everything without a key: standin serve --drill",
            variables.join(", ")
        ));
    }
    settings.runtime.routes = routes(&targets);
    let found: Vec<String> = found.iter().map(|(name, variable)| format!("{name} ({variable})")).collect();
    let about = format!("configured by the keys in the environment: {}", found.join(", "));
    Ok(Loaded { settings, file: None, about, warnings: Vec::new() })
}

/// Makes a route of every model, by its own name: first the model itself, wherever it is served, then of each other
/// provider the model whose answers cost most nearly the same.
fn routes(targets: &[(TargetId, Option<Price>)]) -> BTreeMap<String, RouteConfig> {
    let providers: BTreeSet<&str> = targets.iter().map(|(id, _)| &*id.provider).collect();
    let mut routes = BTreeMap::new();
    for (wanted, price) in targets {
        let members = providers.iter().filter_map(|provider| {
            let own = targets.iter().filter(|(id, _)| *id.provider == **provider);
            let same = own.clone().find(|(id, _)| id.model == wanted.model);
            let near = own.min_by(|(_, a), (_, b)| apart(*a, *price).total_cmp(&apart(*b, *price)));
            let (id, _) = same.or(near)?;
            Some(MemberConfig { target: id.to_string(), tier: u8::from(same.is_none()), weight: 1.0 })
        });
        routes
            .entry(wanted.model.to_string())
            .or_insert_with(|| RouteConfig { targets: members.collect(), ..RouteConfig::default() });
    }
    routes
}

/// Tells how far apart two prices are; unknown ones are far from all.
fn apart(a: Option<Price>, b: Option<Price>) -> f64 {
    let of = |price: Option<Price>| price.map(|price| price.output).filter(|dollars| *dollars > 0.0).map(f64::ln);
    of(a).zip(of(b)).map_or(f64::MAX, |(a, b)| (a - b).abs())
}

//! Loads the configuration: from a file, or from the keys in the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use standin::config::{KeyConfig, KeySource, MemberConfig, Preset, presets};
use standin::models::{self, PriceList};
use standin::sidecar::{ServerConfig, Settings, Targets, meant};
use standin::{Config, Date, Durable, ModelConfig, Price, ProviderConfig, RouteConfig, TargetId};

/// The file that is read where none is named.
const USUAL: &str = "standin.toml";

/// A configuration and where it is from.
pub struct Loaded {
    pub settings: Settings,
    /// The file, where it is from one.
    pub file: Option<PathBuf>,
    /// A line about its source.
    pub about: String,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Tells the settings of a server where it is going to serve, or does already: by that they are judged.
pub type Place<'a> = &'a dyn Fn(&mut ServerConfig);

/// Returns the file that the environment names.
pub fn named() -> Option<PathBuf> {
    std::env::var_os("STANDIN_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// Loads the named configuration, or the usual one.
pub fn load(named: Option<&Path>, place: Place<'_>) -> Result<Loaded, String> {
    let usual = Path::new(USUAL);
    match named.or_else(|| usual.exists().then_some(usual)) {
        Some(file) => {
            let (settings, warnings) = read(file, place)?;
            let about = format!("configured by {}", file.display());
            Ok(Loaded { settings, file: Some(file.to_owned()), about, warnings })
        }
        None => from_environment(),
    }
}

/// The longest configuration: ten thousand providers take a few megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file; returns its settings and warnings.
pub fn read(file: &Path, place: Place<'_>) -> Result<(Settings, Vec<String>), String> {
    let problem = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    let text = text(file).map_err(|error| problem(&error))?;
    let settings = Settings::parse_at(&text, variable, place).map_err(|errors| {
        let lines = errors.of(&file.display().to_string());
        if errors.len() == 1 { lines } else { format!("{} errors in {}\n{lines}", errors.len(), file.display()) }
    })?;
    let with_keys = Settings::holds_key(&text).then_some(file);
    let secret = with_keys.into_iter().chain(settings.server.tls.as_ref().map(|tls| &*tls.key));
    let warnings = secret.filter(|file| others_read(file)).map(|file| {
        let remedy = "forbid others to read it (chmod o-r), or have keys read from the environment or other files";
        format!("{} holds a key, and every user of this machine may read it: {remedy}", file.display())
    });
    let mut warnings: Vec<String> = warnings.collect();
    warnings.extend(missing(&settings.runtime));
    warnings.extend(misplaced(&settings.runtime));
    warnings.extend(settings.runtime.slips().iter().map(ToString::to_string));
    Ok((settings, warnings))
}

/// Returns a warning for each base address that lacks the path of what is known to be there.
fn misplaced(config: &Config) -> impl Iterator<Item = String> {
    config.providers.iter().filter_map(|(name, provider)| {
        let (given, meant) = (provider.base_url.as_deref()?, provider.meant_base_url(name)?);
        Some(format!("providers.{name}.base_url: `{given}` has not the path of what is there; did you mean `{meant}`?"))
    })
}

/// Returns a warning for each key that its source does not have now, and for a store without a folder.
fn missing(config: &Config) -> Vec<String> {
    let keys = config.providers.iter().flat_map(|(name, provider)| {
        let keys = provider.keys.iter().enumerate();
        keys.map(move |(at, key)| (format!("providers.{name}.keys[{at}]"), &key.source, "calls with this key fail"))
    });
    let sealing = config.store.iter().flat_map(|store| store.encryption_keys.iter().enumerate());
    let sealing =
        sealing.map(|(at, key)| (format!("store.encryption_keys[{at}]"), &key.source, "`serve` does not start"));
    let missing = keys.chain(sealing).filter_map(|(field, source, what)| match source {
        KeySource::Env(name) if variable(name).is_none_or(|value| value.trim().is_empty()) => {
            Some(format!("{field}: {source} {}; set it, or {what}", lack(variable(name).is_some())))
        }
        KeySource::File(path) if !path.exists() => Some(format!("{field}: {source} is not there; {what} until it is")),
        KeySource::Command { program, .. } if !is_program(program) => {
            Some(format!("{field}: {source} is not there; {what} until it is"))
        }
        _ => None,
    });
    let folder = config.store.iter().filter_map(|store| store.path.parent());
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).map(|folder| {
        format!("store.path: there is no folder {}; make it, or `serve` does not start", folder.display())
    });
    missing.chain(folder).collect()
}

/// Says what lacks of a variable without a value.
fn lack(is_set: bool) -> &'static str {
    if is_set { "is empty" } else { "is not set" }
}

/// Returns the targets of a name that can be asked for: a route, an alias or a `provider/model`.
///
/// # Errors
/// If there is no such name.
pub fn members(config: &Config, targets: &[(TargetId, Option<Price>)], name: &str) -> Result<Vec<String>, String> {
    let leads = |name: &&str| config.aliases.get(*name).map(String::as_str);
    // Aliases in a circle are refused before.
    let end = std::iter::successors(Some(name), leads).take(config.aliases.len() + 1).last().unwrap_or(name);
    if let Some(route) = config.routes.get(end) {
        return Ok(route.targets.iter().map(|member| member.target.clone()).collect());
    }
    let targets: Vec<String> = targets.iter().map(|(id, _)| id.to_string()).collect();
    if targets.iter().any(|target| target == end) {
        return Ok(vec![end.to_owned()]);
    }
    let names = config.routes.keys().chain(config.aliases.keys()).chain(&targets).map(String::as_str);
    Err(format!("no route, alias or `provider/model` is named `{name}`; {}", meant(name, names)))
}

/// Tells whether a command can be found: by its path, or in the folders of the environment.
fn is_program(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    program.contains('/') && Path::new(program).exists()
        || !program.contains('/') && std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Leaves out what is kept and what may be spent: a check and a rehearsal stand in no ledger, take from no budget and
/// open no file that a sidecar may have.
pub fn keep_nothing(config: &mut Config) {
    config.store = None;
    config.budgets.clear();
    for route in config.routes.values_mut() {
        route.durable = Durable::No;
    }
}

/// Checks the parts that depend on the address to listen on; errors name places of the file.
pub fn check(settings: &Settings, file: Option<&Path>, place: Place<'_>) -> Result<(), String> {
    settings.check_at(place).map(drop).map_err(|errors| match file.and_then(|file| Some((file, text(file).ok()?))) {
        Some((file, text)) => Settings::placed(&text, errors).of(&file.display().to_string()),
        None => errors.to_string(),
    })
}

/// Reads the file of prices that is named, as a runtime takes it in; what is wrong with it is told beside.
pub fn prices(config: &Config) -> (PriceList, Vec<String>) {
    let (mut list, mut warnings) = (PriceList::default(), Vec::new());
    if let Some(file) = &config.prices.file {
        let read = text(file).map_err(|error| error.to_string()).and_then(|text| PriceList::read(text.as_bytes()));
        match read {
            Ok(read) => list = read,
            Err(problem) => warnings.push(format!("prices.file: {}: {problem}", file.display())),
        }
    }
    if config.prices.url.is_some() {
        warnings.push("prices.url: the address is not asked here, and may list other prices".to_owned());
    }
    (list, warnings)
}

/// Tells whether every user of this machine may read a file.
fn others_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// How long a file may take to be read: some files of the system never end and never give data.
const READ_MAX: Duration = Duration::from_secs(10);

/// Returns a file's text. Opening a pipe waits for its writer, and a device has no end.
pub fn text(file: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("is no file: a folder, a pipe or a device is not read"));
    }
    let (read, text) = std::sync::mpsc::channel();
    let opened = std::fs::File::open(file)?;
    std::thread::Builder::new().spawn(move || {
        let mut text = Vec::new();
        drop(read.send(opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map(|_| text)));
    })?;
    let late = |_| std::io::Error::other(format!("was not read within {} s", READ_MAX.as_secs()));
    let text = text.recv_timeout(READ_MAX).map_err(late)??;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    read_text(text).map_err(std::io::Error::other)
}

/// Reads bytes as UTF-8, with or without a byte order mark.
fn read_text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16: save it as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let right = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = right.split(|byte| *byte == b'\n').count();
        format!("is no UTF-8, from line {line} on: save it as UTF-8")
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variable that names models where hosts serve only those that are named.
const MODELS: &str = "STANDIN_MODELS";
/// A model that ends within this many days is served only where it is named, and a warning says so.
const ENDS_DAYS: i64 = 60;

/// Variables that a vendor's own library or another gateway reads a key from, beside the preset's.
const ALSO: [(&str, &str); 5] = [
    ("gemini", "GOOGLE_API_KEY"),
    ("azure", "AZURE_API_KEY"),
    ("huggingface", "HUGGINGFACE_API_KEY"),
    ("together", "TOGETHERAI_API_KEY"),
    ("together", "TOGETHER_AI_API_KEY"),
];

/// Returns a provider that probably sells a model, for an example.
fn seller(model: &str) -> &'static str {
    let vendor = models::find(model).map(|model| if model.vendor == "google" { "gemini" } else { model.vendor });
    vendor.and_then(Preset::named).map_or("openrouter", |preset| preset.name)
}

/// Returns the variable that holds a preset's key, if one does.
fn key_variable(preset: &Preset, value: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let also = ALSO.iter().filter(|(name, _)| *name == preset.name).map(|(_, variable)| *variable);
    preset.env.into_iter().chain(also).find(|name| value(name).is_some())
}

/// The providers that the environment allows.
pub struct DetectedProviders {
    served: Vec<DetectedProvider>,
    /// Hosts whose key is there, and none of whose models is named; with the variable of the key.
    unnamed: Vec<(&'static str, &'static str)>,
    /// Settings that must be in a file, and why.
    lacking: Vec<String>,
    /// Variables of keys that are set, and empty.
    empty: Vec<&'static str>,
    targets: Targets,
}

/// A provider that the environment allows.
struct DetectedProvider {
    name: &'static str,
    /// The variable of its key; a local server has none.
    variable: Option<&'static str>,
    config: ProviderConfig,
    models: Vec<String>,
    /// Whether the environment names its models.
    by_name: bool,
}

impl DetectedProviders {
    /// Looks for keys, and for models that are named.
    ///
    /// # Errors
    /// If a model is named whose provider is not known or has no key.
    pub fn look(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let value = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let mut named: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for one in value(MODELS).unwrap_or_default().split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let (provider, model) = one
                .split_once('/')
                .ok_or_else(|| format!("{MODELS}: `{one}` has no provider before it, as {}/{one}", seller(one)))?;
            let known = Preset::named(provider).ok_or_else(|| {
                let known = presets().iter().map(|preset| preset.name);
                format!("{MODELS}: no provider is named `{provider}`; {}", meant(provider, known))
            })?;
            if let Some(variable) = known.env.filter(|_| key_variable(known, &value).is_none()) {
                return Err(format!(
                    "{MODELS}: `{one}` needs {provider}'s key, and {variable} {}",
                    lack(environment(variable).is_some())
                ));
            }
            named.entry(known.name).or_default().push(model.to_owned());
        }
        let also = ALSO.iter().map(|(_, variable)| *variable);
        let all: BTreeSet<&str> = presets().iter().filter_map(|preset| preset.env).chain(also).collect();
        let is_empty = |name: &&str| environment(name).is_some() && value(name).is_none();
        let empty = all.into_iter().filter(is_empty).collect();
        let mut found =
            Self { served: Vec::new(), unnamed: Vec::new(), lacking: Vec::new(), empty, targets: Vec::new() };
        for preset in presets() {
            let wanted = named.get(preset.name);
            let variable = key_variable(preset, &value);
            if variable.is_none() && (preset.env.is_some() || wanted.is_none()) {
                continue;
            }
            // Two presets of one account differ in their dialect.
            let taken = found.served.iter().any(|one| one.variable.is_some() && one.variable == variable);
            if taken && wanted.is_none() {
                continue;
            }
            found.add(preset, variable, wanted.map_or(&[][..], Vec::as_slice));
        }
        Ok(found)
    }

    fn add(&mut self, preset: &'static Preset, variable: Option<&'static str>, names: &[String]) {
        let keys = variable.map(KeyConfig::env).into_iter().collect();
        let mut config = ProviderConfig { keys, ..ProviderConfig::preset(preset.name) };
        config.models = names.iter().map(|name| (name.clone(), ModelConfig::default())).collect();
        let alone = |config: &ProviderConfig| {
            let providers = BTreeMap::from([(preset.name.to_owned(), config.clone())]);
            Config { providers, ..Config::default() }.targets()
        };
        match alone(&config) {
            Ok(targets) => {
                let soon = Date::of(SystemTime::now()).plus(ENDS_DAYS);
                let lasts = |name: &str| {
                    let retires = models::find(name).and_then(|model| model.retires);
                    !names.is_empty() || retires.is_none_or(|last| last > soon)
                };
                let all = targets.len();
                let targets: Targets = targets.into_iter().filter(|(id, _)| lasts(&id.model)).collect();
                let models: Vec<String> = targets.iter().map(|(id, _)| id.model.to_string()).collect();
                if models.len() < all {
                    config.models = models.iter().map(|name| (name.clone(), ModelConfig::default())).collect();
                }
                self.targets.extend(targets);
                let (name, by_name) = (preset.name, !names.is_empty());
                self.served.push(DetectedProvider { name, variable, config, models, by_name });
            }
            Err(errors) => {
                let only_models = errors.iter().all(|error| error.field.ends_with(".models"));
                match variable {
                    Some(variable) if only_models => self.unnamed.push((preset.name, variable)),
                    _ => {
                        let fields = errors.iter().map(|error| {
                            if error.field.ends_with(".models") {
                                format!("{}.MODEL = {{}}", error.field)
                            } else {
                                format!("{} = \"…\"", error.field)
                            }
                        });
                        let fields: Vec<String> = fields.collect();
                        let (name, key) = (preset.name, variable.unwrap_or("its key"));
                        self.lacking.push(format!(
                            "{key} is set, and {name} needs more than a key; write in a file: {}",
                            fields.join(", ")
                        ));
                    }
                }
            }
        }
    }

    /// Tells whether it can serve: at least one provider was found.
    pub fn serves(&self) -> bool {
        !self.served.is_empty()
    }

    /// Returns each provider that serves, the variable of its key, and its models.
    pub fn providers(&self) -> impl Iterator<Item = (&'static str, Option<&'static str>, &[String])> {
        self.served.iter().map(|one| (one.name, one.variable, one.models.as_slice()))
    }

    /// Tells whether a provider's models were named.
    pub fn is_named(&self, name: &str) -> bool {
        self.served.iter().any(|one| one.name == name && one.by_name)
    }

    /// Returns hosts whose models must be named, with the variables of their keys.
    pub fn unnamed(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.unnamed.iter().copied()
    }

    /// Returns what must be in a file, and why.
    pub fn lacking(&self) -> &[String] {
        &self.lacking
    }

    /// Returns warnings about models that are named.
    pub fn slips(&self) -> Vec<String> {
        let named = self.served.iter().filter(|one| one.by_name);
        let providers = named.map(|one| (one.name.to_owned(), one.config.clone())).collect();
        let slips = Config { providers, ..Config::default() }.slips();
        slips.into_iter().map(|slip| format!("{MODELS}: {slip}")).collect()
    }

    /// Describes the providers that serve.
    pub fn about(&self) -> String {
        let found = self.served.iter().map(|one| match one.variable {
            Some(variable) => format!("{} ({variable})", one.name),
            None => one.name.to_owned(),
        });
        format!("configured by the keys in the environment: {}", found.collect::<Vec<_>>().join(", "))
    }

    /// Describes providers that could serve, and how.
    pub fn hints(&self) -> Vec<String> {
        let unnamed = self.unnamed.iter().map(|(name, variable)| {
            let example = if *name == "openrouter" { "anthropic/claude-haiku-4.5" } else { "MODEL" };
            format!(
                "{variable} is set, and {name} serves only models that are named: set {MODELS}={name}/{example} \
                 (several with commas between), or name them in a file"
            )
        });
        // Where others serve, an empty one is as good as none.
        let empty = self.empty.iter().filter(|_| !self.serves());
        let empty = empty.map(|variable| format!("{variable} is set, and is empty"));
        unnamed.chain(self.lacking.iter().cloned()).chain(empty).collect()
    }
}

fn from_environment() -> Result<Loaded, String> {
    let found = DetectedProviders::look(&variable)?;
    let hints = found.hints();
    if !found.serves() {
        if !hints.is_empty() {
            return Err(hints.join("\n"));
        }
        let mut variables: Vec<&str> = presets().iter().filter_map(|preset| preset.env).collect();
        variables.dedup();
        let near = nearly(&variables);
        if !near.is_empty() {
            return Err(near.join("\n"));
        }
        return Err(format!(
            "there is no {USUAL} here, and no provider's key in the environment.\n\
             Set one of {},\nwrite a configuration by standin init, name one by --config FILE, \
             or try everything without a key: standin serve --drill",
            variables.join(", ")
        ));
    }
    let mut settings = Settings::default();
    settings.runtime.providers = found.served.iter().map(|one| (one.name.to_owned(), one.config.clone())).collect();
    settings.runtime.routes = routes(&found.targets);
    // LiteLLM's usual port is ours, too.
    if settings.runtime.providers.contains_key("litellm") {
        settings.server.listen.set_port(BESIDE_LITELLM);
    }
    let warnings = hints.into_iter().chain(found.slips()).collect();
    Ok(Loaded { settings, file: None, about: found.about(), warnings })
}

/// Returns what is nearly a provider's key in the environment: a variable that is no text, or one of another name.
fn nearly(known: &[&str]) -> Vec<String> {
    let mut near = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let vendor = name.split('_').next().unwrap_or_default();
        let usual = known.iter().find(|known| known.split('_').next() == Some(vendor));
        match usual {
            Some(usual) if name == *usual && value.to_str().is_none() => {
                near.push(format!("{name} is set, and is no text: its value is no UTF-8"));
            }
            Some(usual) if !known.contains(&name) && KEY_ENDS.iter().any(|end| name.ends_with(end)) => {
                near.push(format!(
                    "{name} is set, and is not read: set {usual}, or write keys = [{{ env = \"{name}\" }}]"
                ));
            }
            _ => {}
        }
    }
    near
}

/// How variables end that hold keys.
const KEY_ENDS: [&str; 2] = ["_KEY", "_TOKEN"];

/// The port where a gateway on this machine has the usual one.
const BESIDE_LITELLM: u16 = 4_100;

/// Makes a route of every model, by its own name: first the model itself, wherever it is served, then of each other
/// provider the model nearest in price.
fn routes(targets: &[(TargetId, Option<Price>)]) -> BTreeMap<String, RouteConfig> {
    let providers: BTreeSet<&str> = targets.iter().map(|(id, _)| &*id.provider).collect();
    let mut routes = BTreeMap::new();
    // A name with a slash is a target's own already.
    for (wanted, price) in targets.iter().filter(|(id, _)| !id.model.contains('/')) {
        let members = providers.iter().filter_map(|provider| {
            let own = targets.iter().filter(|(id, _)| *id.provider == **provider);
            let same = own.clone().find(|(id, _)| id.model == wanted.model);
            let near = own.min_by(|(_, a), (_, b)| {
                apart(a.as_ref(), price.as_ref()).total_cmp(&apart(b.as_ref(), price.as_ref()))
            });
            let (id, _) = same.or(near)?;
            Some(MemberConfig { target: id.to_string(), tier: u8::from(same.is_none()), weight: 1.0, degraded: false })
        });
        routes
            .entry(wanted.model.to_string())
            .or_insert_with(|| RouteConfig { targets: members.collect(), ..RouteConfig::default() });
    }
    routes
}

/// Returns the distance of two prices; unknown ones are far from all.
fn apart(a: Option<&Price>, b: Option<&Price>) -> f64 {
    let of =
        |price: Option<&Price>| price.map(|price| price.rates.output).filter(|dollars| *dollars > 0.0).map(f64::ln);
    of(a).zip(of(b)).map_or(f64::MAX, |(a, b)| (a - b).abs())
}

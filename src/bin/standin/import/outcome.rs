//! The result for another gateway's configuration: ours, as text, and a line for each setting in it.

use std::fmt::Write as _;

use standin::config::Described;
use standin::sidecar::{ServerConfig, Settings};

use super::given::InputValue;

/// The result for another configuration.
#[derive(Debug, Default)]
pub struct Outcome {
    pub server: Vec<(String, Toml)>,
    pub top: Vec<(String, Toml)>,
    pub failover: Vec<(String, Toml)>,
    /// The deadline among these, in seconds.
    pub deadline_s: Option<f64>,
    pub aliases: Vec<(String, String)>,
    pub providers: Vec<Provider>,
    pub routes: Vec<Route>,
    pub budgets: Vec<(String, Vec<(String, Toml)>)>,
    pub notes: Vec<Note>,
    /// Hashes of clients' keys, by name.
    pub clients: Vec<(String, String)>,
}

/// A value as TOML writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Toml {
    Text(String),
    Number(f64),
    Flag(bool),
    Texts(Vec<String>),
    /// As it is.
    Raw(String),
}

/// One line of the report.
#[derive(Debug)]
pub struct Note {
    pub line: usize,
    pub what: String,
    pub kind: Kind,
    pub became: String,
}

/// The result for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same, in our terms.
    Kept,
    /// Something that is not quite the same.
    Changed,
    /// Nothing.
    Lost,
}

/// A key, as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Env(String),
    Value(String),
    Command(Vec<String>),
}

/// A provider of ours.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    pub name: String,
    pub fields: Vec<(String, Toml)>,
    pub keys: Vec<Key>,
    pub models: Vec<Model>,
    /// Whether it serves all of its vendor's models.
    pub all: bool,
    pub cooldown_s: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub fields: Vec<(String, Toml)>,
}

/// A route of ours.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    pub targets: Vec<Target>,
    pub strategy: Option<Toml>,
    pub drop_parts: bool,
    pub failover: Vec<(String, Toml)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub name: String,
    pub tier: u8,
    pub weight: f64,
}

impl Outcome {
    pub fn kept(&mut self, given: &InputValue, became: impl Into<String>) {
        self.note(given, Kind::Kept, became);
    }

    pub fn changed(&mut self, given: &InputValue, became: impl Into<String>) {
        self.note(given, Kind::Changed, became);
    }

    pub fn lost(&mut self, given: &InputValue, why: impl Into<String>) {
        given.done();
        self.note(given, Kind::Lost, why);
    }

    /// Takes back what the lines from this one on say of the settings within a part that is left out.
    pub fn take_back(&mut self, from: usize, left_out: &InputValue) {
        let is_lost = |note: &Note| note.kind == Kind::Lost;
        if self.notes[from..].iter().any(|note| is_lost(note) && note.what == left_out.path) {
            let later = self.notes.split_off(from);
            self.notes.extend(later.into_iter().filter(is_lost));
        }
    }

    /// Reports what was not read, and what was read and no line names yet. What several deployments say and is lost for
    /// one reason is one line.
    pub fn rest(&mut self, given: &InputValue, why_not: impl Fn(&str) -> String) {
        let mut folded: Vec<(&str, String, Vec<&InputValue>)> = Vec::new();
        for part in given.unread() {
            let name = part.path.split_once("].").map_or(part.path.as_str(), |(_, name)| name);
            let why = why_not(&part.path);
            match folded.iter_mut().find(|(known, reason, _)| (*known, reason.as_str()) == (name, why.as_str())) {
                Some((.., parts)) => parts.push(part),
                None => folded.push((name, why, vec![part])),
            }
        }
        for (_, why, parts) in folded {
            for part in &parts {
                part.done();
            }
            let more = parts.len() - 1;
            let more = if more > 0 { format!(" (and so in {more} more)") } else { String::new() };
            self.lost(parts[0], format!("{why}{more}"));
        }
        for part in given.unreported() {
            self.lost(part, "not taken: is no value that can be set");
        }
    }

    fn note(&mut self, given: &InputValue, kind: Kind, became: impl Into<String>) {
        given.reported();
        let (line, what) = (given.line, given.path.clone());
        self.notes.push(Note { line, what, kind, became: became.into() });
    }

    /// Writes our configuration.
    pub fn written(&self, from: &str) -> String {
        let mut out =
            format!("# Made by `standin import` from {from}. Fields: docs/configuration.md, docs/sidecar.md.\n");
        lines(&mut out, &self.top);
        table(&mut out, "server", &self.server);
        for (name, sha256) in &self.clients {
            let _ = write!(out, "\n[[server.keys]]\nname = {}\nsha256 = {}\n", quoted(name), quoted(sha256));
        }
        table(&mut out, "failover", &self.failover);
        let aliases: Vec<(String, Toml)> =
            self.aliases.iter().map(|(name, route)| (name.clone(), Toml::Text(route.clone()))).collect();
        table(&mut out, "aliases", &aliases);
        for (name, fields) in &self.budgets {
            table(&mut out, &format!("budgets.{name}"), fields);
        }
        for provider in &self.providers {
            provider.write(&mut out);
        }
        for route in &self.routes {
            route.write(&mut out);
        }
        out
    }

    /// Returns the targets whose price is not known.
    pub fn unpriced(&self) -> Vec<String> {
        let serves_all = |provider: &str| self.providers.iter().any(|one| one.name == provider && one.all);
        let unknown = self.described().into_iter().filter(|one| one.price.is_none() && !serves_all(&one.id.provider));
        unknown.map(|one| one.id.to_string()).collect()
    }

    /// Returns the targets of each provider that serves all of its vendor's models, with its preset.
    pub fn served(&self) -> Vec<(String, Vec<String>)> {
        let known = self.described();
        let of = |provider: &Provider| {
            let own = known.iter().filter(|one| *one.id.provider == *provider.name);
            (provider.text("preset").unwrap_or(&provider.name).to_owned(), own.map(|one| one.id.to_string()).collect())
        };
        self.providers.iter().filter(|provider| provider.all).map(of).collect()
    }

    fn described(&self) -> Vec<Described> {
        let settings = Settings::parse(&self.written(""), |name| Some(placeholder(name))).ok();
        settings.and_then(|settings| settings.runtime.describe().ok()).unwrap_or_default()
    }

    /// Writes what became of each thing, in the order of the lines, and how many of each kind.
    pub fn report(&mut self, from: &str) -> String {
        self.notes.sort_by_key(|note| note.line);
        let mut out = String::new();
        for Note { line, what, kind, became } in &self.notes {
            let kind = match kind {
                Kind::Kept => "=>",
                Kind::Changed => "~>",
                Kind::Lost => "--",
            };
            let _ = writeln!(out, "{from}:{line}: {what} {kind} {became}");
        }
        let count = |kind| self.notes.iter().filter(|note| note.kind == kind).count();
        let _ = write!(
            out,
            "{} kept (=>), {} not quite the same (~>), {} without a counterpart (--)",
            count(Kind::Kept),
            count(Kind::Changed),
            count(Kind::Lost)
        );
        out
    }

    /// Tells whether it holds a provider's key itself, or headers or parameters, of which one may be a key.
    pub fn holds_key(&self) -> bool {
        let header =
            |provider: &Provider| provider.fields.iter().any(|(name, _)| matches!(name.as_str(), "headers" | "query"));
        self.providers.iter().any(|one| header(one) || one.keys.iter().any(|key| matches!(key, Key::Value(_))))
    }
}

impl Provider {
    /// Tells whether it is where standin listens where nothing else is said: `LiteLLM`'s usual port is the same.
    pub fn is_at_our_port(&self) -> bool {
        match self.text("base_url") {
            None => self.text("preset") == Some("litellm"),
            Some(base) => ServerConfig::default().is_at(base),
        }
    }

    /// Returns the text of a field.
    fn text(&self, wanted: &str) -> Option<&str> {
        self.fields.iter().find_map(|(name, value)| match value {
            Toml::Text(text) if name == wanted => Some(text.as_str()),
            _ => None,
        })
    }

    fn write(&self, out: &mut String) {
        let name = bare(&self.name);
        let _ = write!(out, "\n[providers.{name}]\n");
        lines(out, &self.fields);
        let keys: Vec<String> = self.keys.iter().map(Key::written).collect();
        if !keys.is_empty() {
            let _ = writeln!(out, "keys = [{}]", keys.join(", "));
        }
        if let Some(seconds) = self.cooldown_s {
            let max = if seconds > 30.0 { format!(", cooldown_max = \"{}\"", time(seconds)) } else { String::new() };
            let _ = writeln!(out, "breaker = {{ cooldown_base = \"{}\"{max} }}", time(seconds));
        }
        for Model { name, fields } in self.models.iter().filter(|_| !self.all) {
            let inside = if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs(fields)) };
            let _ = writeln!(out, "models.{} = {inside}", bare(name));
        }
    }
}

impl Route {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "\n[routes.{}]\ntargets = [\n", bare(&self.name));
        for Target { name, tier, weight } in &self.targets {
            let tier = if *tier > 0 { format!(", tier = {tier}") } else { String::new() };
            let weight = if *weight == 1.0 { String::new() } else { format!(", weight = {}", number(*weight)) };
            let _ = match (tier.as_str(), weight.as_str()) {
                ("", "") => writeln!(out, "    {},", quoted(name)),
                _ => writeln!(out, "    {{ target = {}{tier}{weight} }},", quoted(name)),
            };
        }
        out.push_str("]\n");
        if self.drop_parts {
            out.push_str("foreign_parts = \"drop\"\n");
        }
        if !self.failover.is_empty() {
            let _ = writeln!(out, "failover = {{ {} }}", pairs(&self.failover));
        }
        if let Some(strategy) = &self.strategy {
            let _ = writeln!(out, "options = {{ strategy = {} }}", strategy.written());
        }
    }
}

impl Key {
    /// Returns a key as other gateways write it: itself, or where it is read.
    pub fn given(text: &str) -> Self {
        let named = ["os.environ/", "env.", "env:"].iter().find_map(|before| text.strip_prefix(before));
        named.map_or_else(|| Self::Value(text.to_owned()), |name| Self::Env(name.to_owned()))
    }

    /// Returns the command of Google's own program that prints a token.
    pub fn gcloud() -> Self {
        Self::Command(["gcloud", "auth", "print-access-token"].map(str::to_owned).to_vec())
    }

    fn written(&self) -> String {
        match self {
            Self::Env(name) => format!("{{ env = {} }}", quoted(name)),
            Self::Value(value) => quoted(value),
            Self::Command(words) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                format!("{{ command = [{}], expires_in = \"55m\" }}", words.join(", "))
            }
        }
    }
}

impl Toml {
    pub fn written(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(value) => number(*value),
            Self::Flag(flag) => flag.to_string(),
            Self::Texts(texts) => format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")),
            Self::Raw(text) => text.clone(),
        }
    }
}

/// Returns fields as they stand within a table of one line.
fn pairs(fields: &[(String, Toml)]) -> String {
    fields.iter().map(|(name, value)| format!("{name} = {}", value.written())).collect::<Vec<_>>().join(", ")
}

fn lines(out: &mut String, fields: &[(String, Toml)]) {
    for (name, value) in fields {
        let _ = writeln!(out, "{} = {}", bare(name), value.written());
    }
}

fn table(out: &mut String, name: &str, fields: &[(String, Toml)]) {
    if !fields.is_empty() {
        let _ = write!(out, "\n[{name}]\n");
        lines(out, fields);
    }
}

/// Returns a text in quotes.
pub fn quoted(text: &str) -> String {
    // TOML reads JSON's escapes.
    serde_json::Value::from(text).to_string()
}

/// Returns a name as it may stand alone, else in quotes.
fn bare(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if plain { name.to_owned() } else { quoted(name) }
}

/// Returns a number as people write it, in twelve digits at most.
pub fn number(value: f64) -> String {
    let text = format!("{value:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

/// Returns a time as people write it.
pub fn time(seconds: f64) -> String {
    let millis = (seconds * 1e3).round();
    if millis % 1e3 == 0.0 { format!("{}s", number(millis / 1e3)) } else { format!("{}ms", number(millis)) }
}

/// Returns what a variable of this name may hold.
pub fn placeholder(name: &str) -> String {
    let is_address = ["BASE", "URL", "ENDPOINT", "HOST"].iter().any(|part| name.contains(part));
    if is_address { "http://stand.in".to_owned() } else { "stand-in".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_names_are_written_as_people_write_them() {
        for (value, expected) in [(0.15, "0.15"), (3.0, "3"), (0.0, "0"), (0.1 + 0.2, "0.3"), (1e-7, "0.0000001")] {
            assert_eq!(number(value), expected);
        }
        assert_eq!((time(0.5), time(600.0)), ("500ms".to_owned(), "600s".to_owned()));
        assert_eq!((bare("gpt-5"), bare("gpt-5.4")), ("gpt-5".to_owned(), "\"gpt-5.4\"".to_owned()));
    }
}

//! The sidecar's program. Only it reads the environment and files, prints, and handles signals.

// These macros panic if the reader is gone: `say!` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

/// Prints a line, as [`print`].
macro_rules! say {
    ($($text:tt)*) => {{
        let mut text = format!($($text)*);
        text.push('\n');
        super::print(text.as_bytes());
    }};
}

mod load;
mod operator;
mod explain;
mod forget;
mod handover;
mod health;
mod json;
mod key;
mod ledger;
mod check;
mod log;
mod manual;
mod reconcile;
mod reset;
mod stage;
mod rehearse;
mod serve;
mod why;
mod write;
mod import;
mod init;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use standin::runtime::{GroupBy, Question, UnknownGrouping};
use standin::sidecar::{ServerConfig, printable};

/// Many small allocations of many threads' tasks, and bodies of megabytes between: the C library's allocator takes
/// longer, and gives less back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps agents' calls to language models alive while providers fail. Point a client's base URL at it, change nothing
/// else.
#[derive(Debug, Parser)]
#[command(name = "standin", version = env!("STANDIN_VERSION"), about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  standin serve --drill                    try everything, without any key
  OPENAI_API_KEY=… standin serve           serve the providers whose keys are in the environment
  standin serve --config standin.toml      serve what a file says; SIGHUP or a changed file reloads it
  standin init                             write a configuration to begin with
  standin import litellm config.yaml       convert another gateway's configuration
  standin check --config standin.toml --try
  standin explain smart                    ask a running sidecar where a call would go, and why
  standin why 5f3a9c01d2e4b687-17          ask it what happened to a call, by its `x-standin-call`
  standin health                           how its targets are, and what keeps one out
  standin ledger --by tag:team --since 7d  what a running sidecar spent, and what a good answer cost
  standin reconcile usage.json --provider openai
                                           compare it with what the provider says
  standin reset openai                     lift what keeps a provider of a running sidecar out
  standin forget --tag user=4711           forget what was asked and answered with a tag";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves OpenAI's, Anthropic's and Google's HTTP over the configured providers.
    Serve(Serve),
    /// Writes a configuration to begin with, for the keys that are in the environment.
    Init(Init),
    /// Converts another gateway's configuration, and reports for each of its settings what became of it.
    Import(Import),
    /// Checks a configuration, and prints what its models cost and can do. With --try, asks one model of each provider
    /// for a word.
    Check(Check),
    /// Rehearses outages of a configuration's providers. Scripted servers play the providers; a report lists how many
    /// calls failed, and how long calls took.
    Drill(Drill),
    /// Asks a running sidecar which targets a call would be sent to now, and why.
    Explain(Explain),
    /// Asks a running sidecar what happened to a call: its plan, refusals, failures, and the target that answered.
    Why(Why),
    /// Prints how the targets of a running sidecar are: breakers, failures, times, and what keeps one out.
    Health(Health),
    /// Prints what was spent, on what, and how much of it bought no answer.
    Ledger(Ledger),
    /// Compares what a running sidecar or a file tells with a provider's own export of its usage, day by day and model
    /// by model.
    Reconcile(Reconcile),
    /// Lifts what keeps a provider, a model or a key of a running sidecar out: a wait, a refusal, an open breaker.
    Reset(Reset),
    /// Forgets what was asked and answered: of one call, of all with a tag, or of all that ended before a time.
    Forget(Forget),
    /// Makes a key for a client, and the lines to put into the configuration.
    Key(Key),
    /// Prints a script with which a shell completes this program's arguments.
    Completions(Completions),
    /// Prints the manual page of the program, or of one of its commands.
    Man(Man),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file. Without this option: the file that `STANDIN_CONFIG` names, else `standin.toml` in this
    /// folder, else a configuration made from the keys in the environment.
    // Not by clap's `env`, so that a variable that an image or a shell sets does not conflict with arguments.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Returns the file that is named, by an argument or else by the environment.
    fn named(&self) -> Option<PathBuf> {
        self.config.clone().or_else(load::named)
    }
}

#[derive(Debug, Args)]
struct ListenAddress {
    /// Where clients connect: an address and a port, or a port alone. Replaces `server.listen` (127.0.0.1:4000).
    #[arg(long, value_name = "ADDR", env = "STANDIN_LISTEN", value_parser = listen)]
    listen: Option<SocketAddr>,
}

impl ListenAddress {
    /// Tells settings of it.
    fn place(&self, server: &mut ServerConfig) {
        server.listen = self.listen.unwrap_or(server.listen);
    }
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    at: ListenAddress,
    /// Serves built-in scripted providers: answers are echoes, no key is needed, nothing leaves this machine.
    #[arg(long, conflicts_with = "config")]
    drill: bool,
    /// With --drill: one attempt in five fails before its first word, and a provider's actor crashes every five
    /// seconds.
    #[arg(long, requires = "drill")]
    storm: bool,
    /// With --drill: keeps what ended, and calls that outlive their callers, in this file.
    #[arg(long, value_name = "FILE", requires = "drill")]
    store: Option<PathBuf>,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogForm {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
    /// No log.
    Off,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    at: ListenAddress,
    /// Asks one model of each provider for a word. Prints first what that costs at most.
    #[arg(long = "try")]
    ask: bool,
    /// Lists every model, also those that neither a route nor a table of the file names. With --try, asks all of them.
    #[arg(long, conflicts_with = "route")]
    all: bool,
    /// With --try: asks the targets of this route only, or this `provider/model`.
    #[arg(long, value_name = "ROUTE", requires = "ask")]
    route: Option<String>,
}

#[derive(Debug, Args)]
struct Init {
    /// The file to write; an existing file is not overwritten. `-` prints to standard output.
    #[arg(long, short, value_name = "FILE", default_value = "standin.toml")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Import {
    /// The gateway that the configuration is of.
    from: Gateway,
    /// The other gateway's file: YAML or JSON.
    file: PathBuf,
    /// The file to write; an existing file is not overwritten. `-` prints to standard output.
    #[arg(long, short, value_name = "FILE", default_value = "standin.toml")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Gateway {
    /// `LiteLLM`'s proxy.
    Litellm,
    /// Portkey's gateway.
    Portkey,
}

#[derive(Debug, Args)]
struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
struct Man {
    /// The command. Without it: the page of the program.
    command: Option<String>,
}

fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    standin::sidecar::address(text).ok_or("it must be an address and a port, as 127.0.0.1:4000, localhost:4000 or 4000")
}

#[derive(Debug, Args)]
struct Drill {
    #[command(flatten)]
    file: ConfigFile,
    /// The route to rehearse, or a `provider/model`. Without this option: the first route by name, else the first
    /// target.
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Calls per second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// How long each kind of failure lasts, in seconds.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

#[derive(Debug, Args)]
struct Explain {
    /// The route, or `provider/model`.
    route: String,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
struct Why {
    /// The call's id, from the header `x-standin-call` of the answer or from the log; or the id of a response that was
    /// written here, as resp_…
    call: String,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
struct LedgerSource {
    /// Prints JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Prints CSV.
    #[arg(long)]
    csv: bool,
    /// Reads this file instead of asking a running sidecar. A sidecar may use the file at the same time.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Ledger {
    /// What the lines are of: all, route, provider, model, target, key, client, tag:NAME, day, day-target, hour, waste,
    /// failure or outcome.
    #[arg(long, default_value = "all", value_parser = by)]
    by: String,
    /// Counts from this time on: a day (2026-11-29), an hour (2026-11-29T15:00Z), or how long ago (7d).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Counts until this time: a day, an hour, or how long ago.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// The most lines to print.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(Question::LINES_MAX))
    )]
    lines: Option<u32>,
    #[command(flatten)]
    source: LedgerSource,
    /// With --file: checks that the file is whole, that no entry is missing or doubled, and that the sums match the
    /// entries.
    #[arg(long, requires = "file")]
    verify: bool,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
struct Reconcile {
    /// The provider's export: JSON as its usage or cost report answers (several pages in a list, by model), CSV as its
    /// console exports, or any CSV with columns day, model, input, output and cost.
    export: PathBuf,
    /// The provider of the configuration whose account it is of; several, where they share the account.
    #[arg(long, value_name = "NAME", required = true)]
    provider: Vec<String>,
    #[command(flatten)]
    source: LedgerSource,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

fn by(text: &str) -> Result<String, UnknownGrouping> {
    text.parse::<GroupBy>().map(|_| text.to_owned())
}

#[derive(Debug, Args)]
struct Health {
    /// Prints all of it as JSON, as `/health` does.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
struct Reset {
    /// A provider, or `provider/model`. Without it: everything.
    name: Option<String>,
    /// Resets only this key of the provider, by its name.
    #[arg(long, value_name = "NAME", requires = "name")]
    only_key: Option<String>,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
struct Forget {
    #[command(flatten)]
    which: Forgotten,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Forgotten {
    /// A call's id, as `x-standin-call` and the log say it, or that of a response; it is ended if it has not.
    call: Option<String>,
    /// All that have ended and carry this value of a tag.
    #[arg(long, value_name = "NAME=VALUE")]
    tag: Option<String>,
    /// All that ended before: a day (2026-11-29), an hour (2026-11-29T15:00Z), or how long ago (7d).
    #[arg(long, value_name = "WHEN")]
    before: Option<String>,
}

/// The operators' address of a running sidecar.
#[derive(Debug, Args)]
struct OperatorAddress {
    /// The running sidecar's address for operators, or a port alone. Without this option: `server.admin`, else
    /// `server.listen`, of the configuration that `serve` would use here.
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// An operator's key, if the sidecar has keys.
    #[arg(long, value_name = "KEY", env = "STANDIN_OPERATOR_KEY", hide_env_values = true)]
    key: Option<String>,
}

#[derive(Debug, Args)]
struct Key {
    /// The client's name in logs and metrics.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// Makes a key for operators: it opens health, metrics and explanations, and makes no calls.
    #[arg(long)]
    operator: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before there is a second thread.
    let inherited = match handover::InheritedSockets::take() {
        Ok(inherited) => inherited,
        Err(error) => return failed(&format!("LISTEN_FDS: {error}")),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Serve(options) => serve::run(options, inherited).await,
            Command::Init(options) => init::run(&options),
            Command::Import(options) => import::run(&options),
            Command::Check(options) => check::run(options).await,
            Command::Drill(options) => rehearse::run(options).await,
            Command::Explain(options) => explain::run(options).await,
            Command::Why(options) => why::run(options).await,
            Command::Health(options) => health::run(options).await,
            Command::Ledger(options) => ledger::run(options).await,
            Command::Reconcile(options) => reconcile::run(options).await,
            Command::Reset(options) => reset::run(options).await,
            Command::Forget(options) => forget::run(options).await,
            Command::Key(options) => key::run(&options),
            Command::Completions(options) => manual::completions(&options, Cli::command()),
            Command::Man(options) => manual::page(&options, Cli::command()),
        }
    })
}

/// Prints to standard output. A reader that is gone wants no more, which ends the program. Any other error ends it,
/// too, and is named: what was to be printed, a key for one, may be there only once.
fn print(text: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            tell(&format!("standin: standard output cannot be written: {error}"));
            std::process::exit(1);
        }
    }
}

/// Prints a line to standard error; an error is ignored: there is nowhere to report it.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says what went wrong; code 2 for errors that the user can correct.
fn failed(problem: &(impl Display + ?Sized)) -> ExitCode {
    let problem = problem.to_string();
    let lines = problem.lines().map(printable).collect::<Vec<_>>().join("\n");
    let _ = writeln!(io::stderr(), "standin: {lines}");
    ExitCode::from(2)
}

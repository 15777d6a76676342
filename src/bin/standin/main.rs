//! The sidecar's program. It alone reads the environment and files, prints, and hears signals.

// These panic where the reader is gone: `say!` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

/// Prints a line; an error is ignored: there is nowhere to report it.
macro_rules! say {
    ($($text:tt)*) => {{
        let mut text = format!($($text)*);
        text.push('\n');
        let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    }};
}

mod check;
mod operator;
mod explain;
mod forget;
mod handover;
mod import;
mod init;
mod json;
mod key;
mod ledger;
mod load;
mod log;
mod manual;
mod reconcile;
mod rehearse;
mod reset;
mod serve;
mod stage;
mod why;
mod write;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use standin::sidecar::printable;

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
  standin import litellm config.yaml       make one of another gateway's
  standin check --config standin.toml --try
  standin explain smart                    ask a running sidecar where a call would go, and why
  standin why 5f3a9c01d2e4b687-17          ask it what became of a call, by its `x-standin-call`
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
    /// Makes a configuration of another gateway's, and says line by line what became of it.
    Import(Import),
    /// Checks a configuration and says what its models cost and can do; with --try, asks one of each provider for a
    /// word.
    Check(Check),
    /// Rehearses outages against a configuration: its providers are played by drills, and a report says what callers
    /// saw.
    Drill(Drill),
    /// Asks a running sidecar where a call would go now, and why.
    Explain(Explain),
    /// Asks a running sidecar what became of a call: what was planned, who refused, what failed, who answered.
    Why(Why),
    /// Tells what was spent, on what, and what of it bought nothing.
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
    /// Prints what a shell needs to complete this program's arguments.
    Completions(Completions),
    /// Prints the manual page, of the program or of one of its commands.
    Man(Man),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration; where absent what `STANDIN_CONFIG` names, `standin.toml` in this folder if there is one, else
    /// what the keys in the environment allow.
    // Not clap's own reading of the environment: what an image or a shell has set once conflicts with no argument.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Returns the file that is named, by an argument or else by the environment.
    fn named(&self) -> Option<PathBuf> {
        let set = || std::env::var_os("STANDIN_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(set)
    }
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// Where clients connect, instead of what the configuration says (127.0.0.1:4000): an address and a port, or a port
    /// alone.
    #[arg(long, value_name = "ADDR", env = "STANDIN_LISTEN", value_parser = listen)]
    listen: Option<SocketAddr>,
    /// Serves drills that are embedded: answers are echoes, no key is needed, nothing leaves this machine.
    #[arg(long, conflicts_with = "config")]
    drill: bool,
    /// With --drill: a fifth of the attempts fails before its first word, and a provider's actor crashes every five
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
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
    /// Nothing.
    Off,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Asks one model of each provider for a word, and says before what that costs at most.
    #[arg(long = "try")]
    ask: bool,
    /// Lists every model, those that no route and no table of the file names too; with --try asks all of them.
    #[arg(long, conflicts_with = "route")]
    all: bool,
    /// With --try: asks the targets of this route.
    #[arg(long, value_name = "ROUTE", requires = "ask")]
    route: Option<String>,
}

#[derive(Debug, Args)]
struct Init {
    /// The file to write, which must not be there; `-` prints it.
    #[arg(long, short, value_name = "FILE", default_value = "standin.toml")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Import {
    /// Whose configuration it is.
    from: Gateway,
    /// The other gateway's file: YAML or JSON.
    file: PathBuf,
    /// The file to write, which must not be there; `-` prints it.
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
    /// The shell that is to complete.
    shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
struct Man {
    /// The command; the program where absent.
    command: Option<String>,
}

fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    standin::sidecar::address(text).ok_or("it must be an address and a port, as 127.0.0.1:4000, localhost:4000 or 4000")
}

#[derive(Debug, Args)]
struct Drill {
    #[command(flatten)]
    file: ConfigFile,
    /// The route that is rehearsed; the first one by name where absent.
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Calls a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Seconds that each kind of trouble lasts.
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
    /// The call's id: what `x-standin-call` and the log's line say.
    call: String,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

#[derive(Debug, Args)]
struct Ledger {
    /// What the lines are of: all, route, provider, model, target, key, client, tag:NAME, day, day-target, hour, waste,
    /// failure or outcome.
    #[arg(long, default_value = "all", value_parser = by)]
    by: String,
    /// From when on: a day (2026-11-29), or how long ago (7d).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Until when.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// The most lines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lines: Option<u32>,
    /// Writes JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Writes CSV.
    #[arg(long)]
    csv: bool,
    /// Reads this file instead of asking a running sidecar, whether or not one keeps it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// With --file: looks whether the file is whole, its entries without gap or double, and its sums theirs.
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
    /// Writes JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Writes CSV.
    #[arg(long)]
    csv: bool,
    /// Reads this file instead of asking a running sidecar, whether or not one keeps it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    sidecar: OperatorAddress,
}

fn by(text: &str) -> Result<String, standin::runtime::NoBy> {
    text.parse::<standin::runtime::By>().map(|_| text.to_owned())
}

#[derive(Debug, Args)]
struct Reset {
    /// A provider or `provider/model`; everything where absent.
    name: Option<String>,
    /// One key of the provider only, by its name.
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
    /// All that ended before: a day (2026-11-29), or how long ago (7d).
    #[arg(long, value_name = "WHEN")]
    before: Option<String>,
}

/// The operators' address of a running sidecar.
#[derive(Debug, Args)]
struct OperatorAddress {
    /// Where the running sidecar's operators connect: an address, or a port alone. Where absent, what the configuration
    /// says that `serve` would take here, else 127.0.0.1:4000.
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// An operator's key, where the sidecar has keys.
    #[arg(long, value_name = "KEY", env = "STANDIN_OPERATOR_KEY", hide_env_values = true)]
    key: Option<String>,
}

#[derive(Debug, Args)]
struct Key {
    /// What logs and metrics call the client.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// Makes it a key for operators: for health, metrics and explanations, and for no calls.
    #[arg(long)]
    operator: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before there is a second thread.
    let inherited = match handover::Inherited::take() {
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

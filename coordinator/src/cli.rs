//! The command line: one file for each command.
//!
//! A client of the gRPC API like any other, but for `dev` and `serve`, which run a coordinator, and for `types`, `version`
//! and `completions`, which need none. Answers go to stdout, as tables or as JSON with the field names of
//! `proto/squall/v1`; errors, progress and what a coordinator has to say go to stderr.

mod address;
mod client;
mod completions;
mod counters;
mod dev;
mod drill;
mod failure;
mod fleet;
mod halt;
mod interrupt;
mod json;
mod moment;
mod name;
mod printable;
mod progress;
mod screen;
mod serve;
mod session;
mod stop;
mod table;
mod types;
mod version;
mod words;

use clap::{Parser, Subcommand, ValueEnum};

pub use failure::{Exit, Failure};
pub use screen::Format;

use client::Client;
use screen::Screen;

/// Chaos engineering for fleets of AI agents
///
/// A coordinator runs chaos sessions; shims inside every agent process inject the faults, under a hard, fleet-wide
/// budget, and stop when told to, with proof.
#[derive(Debug, Parser)]
#[command(name = "squall", version, propagate_version = false, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
A first session:
  squall dev                                              # in a terminal of its own
  export SQUALL_TENANT=acme
  squall session create -f deploy/examples/first.yaml
  squall session start first --wait-for-shims 30s
  squall session watch first
  squall session abort first --reason \"seen enough\"

Output:
  With --output json, stdout holds JSON with the field names of proto/squall/v1: moments as
  RFC 3339, lengths of time as \"1.5s\", 64-bit numbers as texts (jq: tonumber); the detail
  of an event of the log is an object. An error is one object on stderr:
  {\"error\": {\"kind\", \"exit_code\", \"message\", \"violations\": [{\"field\", \"problem\"}], \"next\"}}

Exit codes:
  0  done
  1  refused, or failed; a drill that saw a promise broken
  2  bad input: the command line, a session file, or a request
  3  not found
  4  the coordinator can't be reached, or can't answer now
  5  stopped for good, but not proven in time, or not waited for: Ctrl-C ends only the waiting;
     a drill that broke nothing and could not test everything

Ctrl-C ends `dev` and `serve` in order, and everything else that waits as usual: shells show 130.";

/// What counts for all commands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the coordinator is
    #[arg(
        long,
        global = true,
        env = "SQUALL_SERVER",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:7070"
    )]
    server: String,
    /// Whose sessions are meant by short ids and lists; `-` for everybody's [env: SQUALL_TENANT]
    #[arg(long, global = true)]
    tenant: Option<String>,
    /// What the variable says: a command that must not mix the two up says which of them it means.
    #[arg(skip)]
    tenant_variable: Option<String>,
    /// How to answer
    #[arg(short, long, global = true, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    output: Format,
    /// How to write the log of `dev` and `serve`, on stderr; RUST_LOG says how much
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Stands in for `--tenant`.
const TENANT_VARIABLE: &str = "SQUALL_TENANT";

/// How the log of this program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Args),
    Serve(serve::Args),
    #[command(subcommand)]
    Session(session::Command),
    #[command(subcommand)]
    Halt(halt::Command),
    Fleet(fleet::Args),
    Drill(drill::Args),
    Types(types::Args),
    Version(version::Args),
    Completions(completions::Args),
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// [`Failure`] says what happened, what to do next, and with which code to exit.
    pub async fn run(self) -> Result<(), Failure> {
        let Self { mut global, command } = self;
        global.tenant_variable =
            std::env::var_os(TENANT_VARIABLE).map(|text| text.to_string_lossy().into_owned());
        match command {
            Command::Dev(args) => Box::pin(args.run(&global)).await,
            Command::Serve(args) => Box::pin(args.run(&global)).await,
            Command::Session(command) => Box::pin(command.run(&global)).await,
            Command::Halt(command) => Box::pin(command.run(&global)).await,
            Command::Fleet(args) => args.run(&global).await,
            Command::Drill(args) => Box::pin(args.run(&global)).await,
            Command::Types(args) => args.run(&global),
            Command::Version(args) => args.run(&global),
            Command::Completions(args) => args.run(&global),
        }
    }

    /// How answers are written.
    #[must_use]
    pub fn output(&self) -> Format {
        self.global.output
    }

    /// What is logged unless `RUST_LOG` says otherwise: a server tells what it does, everything else only what went wrong.
    #[must_use]
    pub fn logged(&self) -> &'static str {
        match self.command {
            Command::Serve(_) => "warn,squall=info",
            Command::Dev(_)
            | Command::Session(_)
            | Command::Halt(_)
            | Command::Fleet(_)
            | Command::Drill(_)
            | Command::Types(_)
            | Command::Version(_)
            | Command::Completions(_) => "warn",
        }
    }

    /// How this program's own log is written.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        self.global.log_format
    }
}

impl Global {
    fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.server)
    }

    fn screen(&self) -> Screen {
        Screen::new(self.output)
    }

    /// The tenant, if one is named. An empty text names none.
    fn tenant(&self) -> Option<&str> {
        self.tenant_and_source().map(|(tenant, _)| tenant)
    }

    /// The tenant, if one is named, and where: the option, else the variable.
    fn tenant_and_source(&self) -> Option<(&str, &'static str)> {
        let option = self.tenant.as_deref().map(|tenant| (tenant, "--tenant"));
        let variable = self.tenant_variable.as_deref().map(|tenant| (tenant, TENANT_VARIABLE));
        option.or(variable).filter(|(tenant, _)| !tenant.is_empty())
    }
}

#[cfg(test)]
mod tests;

//! The command line: nouns read, verbs change.
//!
//! Here are only the types of the arguments and the exit codes; one file a command does the work.
//! Every noun prints a table, or with `--json` exactly what the agent says. Tables go to stdout,
//! errors to stderr.

mod bench;
mod check;
mod client;
mod connections;
mod drain;
mod explain;
mod format;
mod log_level;
mod maps;
mod output;
mod reload;
mod routes;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::control::Snapshot;
use crate::ops::log;

/// A mesh gateway: routes TLS by server name, never decrypts, and gets out of the way
#[derive(Debug, Parser)]
#[command(name = "culvert", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 the answer is no, 2 usage or configuration error, \
                          3 cannot reach what it needs";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run(Run),
    /// Check a configuration and this host: everything that is wrong, with remedies
    Check(check::Check),
    /// Show routes with their endpoints and health
    Routes(routes::Routes),
    /// Explain where a connection goes, how a proxy reaches an upstream, who may connect to whom
    Explain(Box<explain::Explain>),
    /// Show open connections
    Connections(connections::Connections),
    /// Show the state of the agent: configuration, listeners, engines, limits
    Status(status::Status),
    /// Show the maps of the kernel half, decoded; no agent is needed
    Maps(maps::Maps),
    /// Take over the changed configuration; a bad one changes nothing
    Reload(reload::Reload),
    /// End the agent in order: no new connections, open ones may finish
    Drain(drain::Drain),
    /// Show or change the level of the agent's own log
    LogLevel(log_level::LogLevel),
    /// Measure gateways: throughput, round trips, connections; like iperf, with a hello in front
    Bench(bench::Bench),
}

/// How to run the agent
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration, HCL or JSON
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Level of the agent's own log, instead of the configured one: error, warn, info, debug,
    /// trace, or directives
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Form of the agent's own log
    #[arg(long, value_enum, default_value_t)]
    pub log_format: log::Form,
}

/// Which agent
#[derive(Debug, Args)]
struct Agent {
    /// The agent's instance, whose socket is /run/culvert/NAME.sock
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = instance)]
    instance: String,
    /// The agent's admin socket
    #[arg(long, value_name = "PATH", conflicts_with = "instance")]
    socket: Option<PathBuf>,
}

impl Agent {
    fn client(&self) -> client::Client {
        let default = || PathBuf::from(format!("/run/culvert/{}.sock", self.instance));
        client::Client::new(&self.socket.clone().unwrap_or_else(default))
    }
}

/// A running agent, or the configuration that one would run with
#[derive(Debug, Args)]
struct AgentOrFile {
    /// Ask this configuration instead of a running agent
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["socket", "instance"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    agent: Agent,
}

impl AgentOrFile {
    /// The snapshot that the file stands for; nothing when an agent is asked.
    fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        let Some(file) = &self.config else {
            return Ok(None);
        };
        let config = Config::load(file).map_err(|errors| Failure::Usage(errors.to_string()))?;
        Ok(Some(Snapshot::build(&config, None)))
    }
}

/// The same rule as in the configuration; it also keeps the name from leaving its directory.
fn instance(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=32).contains(&name.len()) && name.chars().all(fits) {
        Ok(name.to_owned())
    } else {
        Err("expected 1 to 32 of a-z, 0-9 and -".to_owned())
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The answer is no.
    No(String),
    /// The question or the configuration is wrong.
    Usage(String),
    /// Something that is needed cannot be reached.
    Unreachable(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::No(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::No(text) | Self::Usage(text) | Self::Unreachable(text) => text,
        }
    }
}

/// Parses the command line and does what it says. `run` is the agent; it is given, not called by
/// name, so that the command line does not depend on all that the agent is made of.
pub fn main(run: impl FnOnce(Run) -> Result<(), Failure>) -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Connections(arguments) => connections::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Maps(arguments) => maps::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Drain(arguments) => drain::run(&arguments),
        Command::LogLevel(arguments) => log_level::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    // A failure may be told by its output already, as a table or a rendered list of errors.
    let text = failure.text().trim_end();
    if !text.is_empty() {
        eprintln!(
            "{}",
            if text.starts_with("error") {
                text.to_owned()
            } else {
                format!("error: {text}")
            }
        );
    }
    ExitCode::from(failure.code())
}

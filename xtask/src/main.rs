//! Tasks of the project, run as `cargo xtask <task>`.
//!
//! Each task is a few commands that a person could type; the task makes sure of the tools first
//! and says what it runs. Nothing here is the only way to do something cargo can do, and no crate
//! of the workspace is imported: a broken crate must not break the tasks that help to mend it.

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod command;
mod demo;
mod dist;
mod ebpf;
mod fuzz;
mod lint;
mod packages;
mod setup;
mod tally;
mod test;
mod toolchain;
mod torture;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of culvert. Every task first makes sure of the tools it needs: on Debian or Ubuntu as
/// root it installs what is missing, elsewhere it prints the commands that do.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need, or print the commands that do
    Setup,
    /// Build the kernel object that the agent embeds
    Ebpf(ebpf::Options),
    /// Load every kernel program on the running kernel and compare instruction counts
    Verify(verify::Options),
    /// Check format, clippy on both halves, documentation, licences and advisories
    Lint,
    /// Run every test: unit, documentation and, as root, end to end in network namespaces
    Test(test::Options),
    /// Show culvert at work: namespaces, real TLS servers and clients, one table
    Demo(demo::Options),
    /// Do to culvert what networks, peers and operators do at their worst; each byte is checked
    #[command(disable_help_flag = true)]
    Torture(torture::Options),
    /// Compare culvert with plain routing, HAProxy, nginx, sniproxy and Envoy: report, table, plots
    // The options are the comparison's own, `--help` included.
    #[command(disable_help_flag = true)]
    Bench(bench::Options),
    /// Fuzz the parsers
    Fuzz(fuzz::Options),
    /// Make the release files below target/dist
    Dist,
    /// Run all that a pipeline checks, in the order that fails fastest
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => {
            setup::run()?;
            packages::ensure(packages::TESTS)
        }
        Task::Ebpf(options) => ebpf::run(&options),
        Task::Verify(options) => verify::run(&options),
        Task::Lint => lint::run(),
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Torture(options) => torture::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Dist => dist::run(),
        Task::Ci => ci::run(),
    }
}

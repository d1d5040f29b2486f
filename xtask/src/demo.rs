//! `cargo xtask demo`: builds both halves and hands over to the demo of the tests package.
//!
//! The demo itself lives there, because it uses the rig and xtask imports no workspace crate.

use anyhow::{Result, ensure};

use crate::command::{cargo, is_root, run as run_command, target};
use crate::packages;
use crate::{ebpf, packages::Needed};

/// What the demo runs beside culvert.
const TOOLS: &[Needed<'_>] = &[
    Needed {
        program: "curl",
        package: "curl",
    },
    Needed {
        program: "openssl",
        package: "openssl",
    },
];

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave everything up afterwards and say how to explore it
    #[arg(long)]
    keep: bool,
}

/// Builds and runs the demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        is_root(),
        "the demo makes network namespaces: run it as root"
    );
    packages::ensure(TOOLS)?;
    if let Err(error) = ebpf::build() {
        eprintln!("without the kernel half (the copy engine needs none): {error:#}");
    }
    run_command(&mut cargo([
        "build",
        "--package",
        "gateway-agent",
        "--package",
        "gateway-tests",
    ]))?;
    let mut demo = std::process::Command::new(target().join("debug/culvert-demo"));
    if options.keep {
        demo.arg("--keep");
    }
    run_command(&mut demo)
}

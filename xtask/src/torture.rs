//! `cargo xtask torture`: builds both halves and hands over to the torture of the tests package.
//!
//! The torture itself lives there, because it uses the rig and xtask imports no workspace crate.

use std::ffi::OsString;

use anyhow::{Result, ensure};

use crate::command::{cargo, is_root, run as run_command, target};
use crate::{ebpf, packages};

/// Options of `cargo xtask torture`: those of the torture itself.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of the torture, such as --quick, --engine copy, --case ends,resets, --seed 7:
    /// `cargo xtask torture --help` shows them all
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTION"
    )]
    arguments: Vec<OsString>,
}

impl Options {
    /// Those of the short form.
    pub(crate) fn quick() -> Self {
        Self {
            arguments: vec!["--quick".into()],
        }
    }
}

/// Builds and runs the torture.
pub(crate) fn run(options: &Options) -> Result<()> {
    let asks = |flag: &str| options.arguments.iter().any(|argument| argument == flag);
    let only_asked = asks("--help") || asks("-h") || asks("--list");
    if !only_asked {
        ensure!(
            is_root(),
            "torture makes network namespaces: run it as root"
        );
        prepare();
    }
    run_command(&mut cargo([
        "build",
        "--package",
        "gateway-agent",
        "--package",
        "gateway-tests",
    ]))?;
    let mut torture = std::process::Command::new(target().join("debug/culvert-torture"));
    run_command(torture.args(&options.arguments))
}

/// What is missing fails the cases that need it, and no others.
fn prepare() {
    for needed in [packages::TESTS, packages::TORTURE] {
        if let Err(error) = packages::ensure(needed) {
            eprintln!("cases that need these will fail: {error:#}");
        }
    }
    if let Err(error) = ebpf::build() {
        eprintln!("without the kernel half, engines other than copy will fail: {error:#}");
    }
}

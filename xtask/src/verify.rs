//! `cargo xtask verify`: loads the kernel programs on the running kernel.

use std::process::Command;

use anyhow::Result;

use crate::command::run as run_command;
use crate::ebpf;
use crate::packages::{self, Needed};

/// Options of `cargo xtask verify`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {}

/// Loads every program of the object and lets go of it again.
pub(crate) fn run(_options: &Options) -> Result<()> {
    packages::ensure(&[Needed {
        program: "bpftool",
        package: "bpftool",
    }])?;
    let object = ebpf::build()?;
    let pins = format!("/sys/fs/bpf/culvert-verify-{}", std::process::id());
    let loaded = run_command(
        Command::new("bpftool")
            .args(["prog", "loadall"])
            .arg(object)
            .arg(&pins),
    );
    run_command(Command::new("rm").args(["-rf", &pins]))?;
    loaded
}

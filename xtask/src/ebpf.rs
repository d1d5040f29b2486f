//! `cargo xtask ebpf`: builds and lints the kernel object.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{root, run as run_command, target, tools};
use crate::setup;

/// Options of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Builds the object and says where it is.
pub(crate) fn run(_options: &Options) -> Result<()> {
    println!("{}", build()?.display());
    Ok(())
}

/// Builds the object and puts it where the agent's build looks for it.
pub(crate) fn build() -> Result<PathBuf> {
    setup::run()?;
    run_command(cargo("build").arg("--release"))?;
    let built = target().join("bpf-build/bpfel-unknown-none/release/culvert");
    let object = target().join("bpf/culvert");
    std::fs::create_dir_all(target().join("bpf"))?;
    std::fs::copy(&built, &object)
        .with_context(|| format!("cannot copy {} to {}", built.display(), object.display()))?;
    Ok(object)
}

/// Checks the kernel half as clippy would, by the compiler that builds it.
pub(crate) fn lint() -> Result<()> {
    setup::run()?;
    run_command(cargo("check").env("RUSTFLAGS", "-D warnings"))
}

/// Debian's cargo with Debian's compiler: another `cargo` may stand earlier in `PATH`.
fn cargo(task: &str) -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.args([
        task,
        "--package",
        "gateway-ebpf",
        "--target",
        "bpfel-unknown-none",
    ]);
    command
        .arg("--target-dir")
        .arg(target().join("bpf-build"))
        .current_dir(root());
    command
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", tools().join("bin").display()));
    command
}

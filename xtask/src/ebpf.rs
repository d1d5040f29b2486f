//! `cargo xtask ebpf`: builds and lints the kernel object.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::command::{cargo, root, run as run_command};
use crate::setup;
use crate::toolchain::TARGET;

/// Name of the binary target in gateway-ebpf.
const BINARY: &str = "culvert-bpf";

/// Options of `cargo xtask ebpf`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Build with log statements, which the agent prints; a release object sends numbers only
    #[arg(long)]
    pub(crate) debug: bool,
}

/// Builds the object and says where it is.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("{}", build_with(options)?.display());
    Ok(())
}

/// Builds the release object and puts it where the agent's build looks for it.
pub(crate) fn build() -> Result<PathBuf> {
    build_with(&Options::default())
}

fn build_with(options: &Options) -> Result<PathBuf> {
    let compiler = setup::ensure()?;
    eprintln!("kernel half: by {compiler}");
    let mut build = compiler.cargo("build");
    select(&mut build);
    build.args(["--release", "--locked", "--target", TARGET]);
    // A directory of its own: this is another compiler than the host half's.
    let built = root().join("target/bpf-build");
    build.arg("--target-dir").arg(&built);
    if options.debug {
        build.args(["--features", "log"]);
    }
    run_command(&mut build)?;
    let object = root().join("target/bpf/culvert");
    install(&built.join(TARGET).join("release").join(BINARY), &object)?;
    Ok(object)
}

/// Checks format and clippy of the kernel half, for the host: the BPF compilers bring no clippy, and
/// the code is the same.
pub(crate) fn lint() -> Result<()> {
    run_command(&mut cargo(["fmt", "--package", "gateway-ebpf", "--check"]))?;
    let mut clippy = cargo([
        "clippy",
        "--config",
        "profile.dev.panic=\"abort\"",
        "--features",
        "log",
    ]);
    select(&mut clippy);
    run_command(clippy.args(["--", "-D", "warnings"]))
}

fn select(command: &mut Command) {
    command
        .args(["--package", "gateway-ebpf", "--bin", BINARY])
        .current_dir(root());
}

/// Copies the object, unless it is the same: a new time stamp would rebuild the agent.
fn install(built: &Path, object: &Path) -> Result<()> {
    let new = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    let old = match fs::read(object) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.with_context(|| format!("cannot read {}", object.display()))?),
    };
    if old.as_ref() == Some(&new) {
        return Ok(());
    }
    if let Some(folder) = object.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(object, new).with_context(|| format!("cannot write {}", object.display()))
}

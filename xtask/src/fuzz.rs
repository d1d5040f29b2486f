//! `cargo xtask fuzz`: runs the fuzz targets of the parser for a given time each.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{cargo, find, root, run as run_command, succeeds, tools};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub(crate) seconds: u32,
    /// Run this target only
    pub(crate) target: Option<String>,
}

/// Runs one target or all of them; a finding is an error.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    let chosen = match &options.target {
        None => known,
        Some(name) if known.contains(name) => vec![name.clone()],
        Some(name) => bail!(
            "there is no fuzz target {name}; there are {}",
            known.join(", ")
        ),
    };
    ensure_tools()?;
    let limit = format!("-max_total_time={}", options.seconds);
    chosen
        .iter()
        .try_for_each(|target| run_command(&mut fuzz(target, &limit)))
}

fn fuzz(target: &str, limit: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "run", target, "--", limit]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = [tools().join("bin")]
        .into_iter()
        .chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(directories) {
        command.env("PATH", path);
    }
    command.current_dir(root().join("gateway-common"));
    // The toolchain that runs this task is not the one that fuzzes.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// The names of the files among the fuzz targets.
fn targets() -> Result<Vec<String>> {
    let directory = root().join("gateway-common/fuzz/fuzz_targets");
    let entries = fs::read_dir(&directory)
        .with_context(|| format!("cannot list the fuzz targets in {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .and_then(|stem| stem.to_str())
                    .map(str::to_owned),
            );
        }
    }
    names.sort();
    ensure!(
        !names.is_empty(),
        "there are no fuzz targets in {}",
        directory.display()
    );
    Ok(names)
}

fn ensure_tools() -> Result<()> {
    ensure!(
        succeeds(
            Command::new("rustc")
                .arg("+nightly")
                .arg("--version")
                .env_remove("RUSTUP_TOOLCHAIN")
        ),
        "fuzzing needs a nightly compiler: `rustup toolchain install nightly` brings it"
    );
    if find("cargo-fuzz").is_some() {
        return Ok(());
    }
    run_command(cargo(["install", "--locked", "cargo-fuzz", "--root"]).arg(tools()))
}

//! `cargo xtask fuzz`: runs the fuzz targets of the parser for a given time each.

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{cargo, find, root, run as run_command, succeeds, target, tools};

/// The workspace of the fuzz targets.
const FUZZ: &str = "gateway-common/fuzz";

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
    chosen
        .iter()
        .try_for_each(|name| fuzz(name, options.seconds))
}

/// Runs one target on the corpus in the tree; inputs it finds beside go below `target`.
fn fuzz(name: &str, seconds: u32) -> Result<()> {
    let found = target().join("fuzz-corpus").join(name);
    fs::create_dir_all(&found)
        .with_context(|| format!("cannot make a corpus in {}", found.display()))?;
    let mut command = nightly("cargo");
    command.args(["fuzz", "run", name]).arg(&found);
    let seeds = root().join(FUZZ).join("corpus").join(name);
    command.args(seeds.is_dir().then_some(seeds));
    command.args(["--".to_owned(), format!("-max_total_time={seconds}")]);
    run_command(command.current_dir(root().join(FUZZ)))
}

/// A tool of the nightly toolchain, whatever toolchain runs this task, with our own tools in `PATH`.
fn nightly(tool: &str) -> Command {
    let mut command = Command::new(tool);
    command
        .arg("+nightly")
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = [tools().join("bin")]
        .into_iter()
        .chain(env::split_paths(&path));
    if let Ok(path) = env::join_paths(directories) {
        command.env("PATH", path);
    }
    command
}

/// The names of the files among the fuzz targets.
fn targets() -> Result<Vec<String>> {
    let directory = root().join(FUZZ).join("fuzz_targets");
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
        succeeds(nightly("rustc").arg("--version")),
        "fuzzing needs a nightly compiler: `rustup toolchain install nightly` brings it"
    );
    if find("cargo-fuzz").is_some() {
        return Ok(());
    }
    run_command(cargo(["install", "--locked", "cargo-fuzz", "--root"]).arg(tools()))
}

//! `cargo xtask lint`: what is checked without running anything.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, find, root, run as run_command, show};
use crate::ebpf;

/// Workspaces of their own, which a command for the whole workspace does not reach.
const APART: &[&str] = &["gateway-common/fuzz/Cargo.toml"];

/// Checks format, both halves, documentation and dependencies, cheapest first.
pub(crate) fn run() -> Result<()> {
    run_command(&mut cargo(["fmt", "--all", "--check"]))?;
    for manifest in APART
        .iter()
        .filter(|manifest| root().join(manifest).exists())
    {
        run_command(&mut cargo(["fmt", "--check", "--manifest-path", manifest]))?;
    }
    run_command(&mut cargo([
        "clippy",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    run_command(&mut cargo([
        "clippy",
        "--all-targets",
        "--package",
        "gateway-agent",
        "--features",
        "faults",
        "--",
        "-D",
        "warnings",
    ]))?;
    ebpf::lint()?;
    run_command(cargo(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    dependencies()
}

/// Licences, sources, double versions and advisories, by `deny.toml`.
///
/// The tool takes longer to build than all other checks together, so its absence is only said; so
/// is that of the advisories, which come over the network.
fn dependencies() -> Result<()> {
    let Some(deny) = find("cargo-deny") else {
        eprintln!(
            "dependencies are not checked: cargo-deny is missing; \
             `cargo install --locked cargo-deny --root target/tools` brings it"
        );
        return Ok(());
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command
            .current_dir(root())
            .args(["--log-level", "error", "check"])
            .args(what);
        command
    };
    run_command(&mut check(&["bans", "licenses", "sources"]))?;
    let mut advisories = check(&["advisories"]);
    eprintln!("+ {}", show(&advisories));
    let output = advisories.output().context("cannot run cargo-deny")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("failed to fetch advisory database") {
        eprintln!("advisories are not checked: their database cannot be fetched from here");
        return Ok(());
    }
    ensure!(
        output.status.success(),
        "advisories against dependencies:\n{said}"
    );
    Ok(())
}

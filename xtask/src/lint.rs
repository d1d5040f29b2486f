//! `cargo xtask lint`: what is checked without running anything.

use anyhow::Result;

use crate::command::{cargo, find, root, run as run_command};
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
    ebpf::lint()?;
    run_command(cargo(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    dependencies()
}

/// Licences, advisories, sources and double versions, by `deny.toml`.
///
/// The tool takes longer to build than all other checks together, so its absence is only said.
fn dependencies() -> Result<()> {
    if find("cargo-deny").is_none() {
        eprintln!(
            "dependencies are not checked: cargo-deny is missing; \
             `cargo install --locked cargo-deny` brings it"
        );
        return Ok(());
    }
    run_command(&mut cargo(["deny", "check"]))
}

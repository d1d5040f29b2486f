//! `cargo xtask dist`: the files of a release below `target/dist`.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, root, run as run_command, target};
use crate::ebpf;

/// Files of the tree that go along as they are.
const ALONG: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "gateway-agent/dist/culvert.service",
    "gateway-agent/dist/culvert.hcl",
];

/// Builds the release binary with the kernel object in it and lays out the files.
pub(crate) fn run() -> Result<()> {
    let object = ebpf::build().context("a release carries the kernel object")?;
    let binary = build(&object)?;
    let directory = target().join("dist");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("cannot remove the files of an earlier release")?;
    }
    fs::create_dir_all(&directory).context("cannot make the directory of the release")?;
    let files: Vec<PathBuf> = ALONG.iter().map(|file| root().join(file)).collect();
    copy(&binary, &directory)?;
    files.iter().try_for_each(|file| copy(file, &directory))?;
    checksums(&directory)?;
    println!("the release is in {}", directory.display());
    Ok(())
}

/// Builds without a C library of the host if the compiler can, and says which it is.
fn build(object: &Path) -> Result<PathBuf> {
    let mut command = cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "gateway-agent",
    ]);
    command.env("CULVERT_BPF_OBJECT", object);
    let musl = format!("{ARCH}-unknown-linux-musl");
    if !has_target(&musl)? {
        println!("{musl} is not installed (`rustup target add {musl}`): this release needs glibc");
        run_command(&mut command)?;
        return Ok(target().join("release/culvert"));
    }
    println!("static binary for {musl}");
    run_command(command.args(["--target", &musl]))?;
    Ok(target().join(musl).join("release/culvert"))
}

fn has_target(name: &str) -> Result<bool> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output();
    let output = output.context("cannot run rustc")?;
    ensure!(
        output.status.success(),
        "`rustc --print sysroot` failed with {}",
        output.status
    );
    let sysroot = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    Ok(sysroot.join("lib/rustlib").join(name).is_dir())
}

fn copy(file: &Path, directory: &Path) -> Result<()> {
    let name = file
        .file_name()
        .context("a file of the release has a name")?;
    fs::copy(file, directory.join(name))
        .with_context(|| format!("cannot copy {} into the release", file.display()))?;
    Ok(())
}

/// Writes `SHA256SUMS`, to be read by `sha256sum --check`.
fn checksums(directory: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).context("cannot list the release")? {
        names.push(entry?.file_name());
    }
    names.sort();
    let output = Command::new("sha256sum")
        .args(names)
        .current_dir(directory)
        .output();
    let output = output.context("cannot run sha256sum")?;
    ensure!(
        output.status.success(),
        "sha256sum failed with {}",
        output.status
    );
    fs::write(directory.join("SHA256SUMS"), output.stdout).context("cannot write the checksums")
}

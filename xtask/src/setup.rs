//! `cargo xtask setup`: what the kernel half needs to be built and run.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::command::{cargo, is_root, run as run_command, succeeds, tools};
use crate::packages::{self, Needed};
use crate::toolchain::{Compiler, LINKER_VERSION, linker};

/// Debian's compiler with a prebuilt `core` for BPF. It does not disturb a rustup.
const COMPILER: &[Needed<'_>] = &[
    Needed {
        program: "/usr/bin/rustc",
        package: "rustc-web",
    },
    Needed {
        program: "/usr/bin/cargo",
        package: "cargo-web",
    },
    Needed {
        program: "/usr/share/doc/libstd-rust-web-dev-bpf/copyright",
        package: "libstd-rust-web-dev-bpf",
    },
];

const BPFFS: &str = "/sys/fs/bpf";

/// Makes sure of the compiler and the linker, and mounts bpffs.
pub(crate) fn run() -> Result<()> {
    let compiler = ensure()?;
    println!("kernel half: compiler {compiler}");
    if let Some(linker) = linker() {
        println!("kernel half: linker {}", linker.display());
    }
    mount_bpffs()
}

/// The compiler of the kernel half, with its linker. Installs what is missing on Debian or Ubuntu as
/// root; otherwise the error has the commands.
pub(crate) fn ensure() -> Result<Compiler> {
    let compiler = match Compiler::find() {
        Some(compiler) => compiler,
        None => {
            packages::ensure(COMPILER).with_context(|| by_hand("<N>"))?;
            Compiler::find().with_context(|| by_hand("<N>"))?
        }
    };
    if linker().is_none() {
        install_linker(&compiler)?;
    }
    Ok(compiler)
}

/// Builds bpf-linker below `target/tools`, against the LLVM of the compiler.
fn install_linker(compiler: &Compiler) -> Result<()> {
    let mut install = cargo([
        "install",
        "bpf-linker",
        "--version",
        LINKER_VERSION,
        "--root",
    ]);
    install.arg(tools());
    if let Compiler::Prebuilt { llvm, .. } = compiler {
        let prefix = format!("/usr/lib/llvm-{llvm}");
        let library = Needed {
            program: &format!("{prefix}/bin/llvm-config"),
            package: &format!("llvm-{llvm}-dev"),
        };
        packages::ensure(&[library]).with_context(|| by_hand(llvm))?;
        install.args([
            "--no-default-features",
            "--features",
            &format!("llvm-{llvm}"),
        ]);
        install.env("LLVM_PREFIX", prefix);
    }
    run_command(&mut install)
}

/// The commands for whoever must type them.
fn by_hand(llvm: &str) -> String {
    format!(
        "the kernel half needs a compiler for BPF and bpf-linker. Without them `cargo build` still \
         makes an agent, which runs on the copy engine.\n\
         With rustup:\n  \
         rustup toolchain install nightly --component rust-src\n  \
         cargo install bpf-linker --version {LINKER_VERSION}\n\
         On Debian or Ubuntu, as root, by its packages (N: LLVM's major version in `rustc -vV`):\n  \
         apt-get update\n  \
         apt-get install --no-install-recommends rustc-web cargo-web libstd-rust-web-dev-bpf llvm-{llvm}-dev\n  \
         LLVM_PREFIX=/usr/lib/llvm-{llvm} cargo install bpf-linker --version {LINKER_VERSION} \
         --no-default-features --features llvm-{llvm} --root target/tools"
    )
}

/// Mounts bpffs where systemd would have done it; the agent keeps its pins there.
fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    if mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(BPFFS))
    {
        return Ok(());
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "bpf", "bpf", BPFFS]);
    if is_root() && Path::new(BPFFS).is_dir() && succeeds(&mut mount) {
        println!("bpffs: mounted at {BPFFS}");
    } else {
        println!("bpffs: not mounted; the agent needs, as root: mount -t bpf bpf {BPFFS}");
    }
    Ok(())
}

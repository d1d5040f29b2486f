//! `cargo xtask setup`: the toolchain of the kernel half, from Debian's packages.

use anyhow::Result;

use crate::command::{cargo, find, run as run_command, tools};
use crate::packages::{self, Needed};

/// A compiler with a prebuilt core library for BPF, and the LLVM it is built with.
const COMPILER: &[Needed] = &[
    Needed {
        program: "../lib/llvm-22/bin/llvm-config",
        package: "llvm-22-dev",
    },
    Needed {
        program: "../share/doc/libstd-rust-web-dev-bpf/copyright",
        package: "libstd-rust-web-dev-bpf",
    },
    Needed {
        program: "../bin/rustc",
        package: "rustc-web",
    },
    Needed {
        program: "../bin/cargo",
        package: "cargo-web",
    },
];

/// Installs what building the kernel object needs.
pub(crate) fn run() -> Result<()> {
    packages::ensure(COMPILER)?;
    if find("bpf-linker").is_some() {
        return Ok(());
    }
    let mut install = cargo(["install", "bpf-linker", "--version", "0.13.0"]);
    install
        .args(["--no-default-features", "--features", "llvm-22", "--root"])
        .arg(tools());
    run_command(install.env("LLVM_PREFIX", "/usr/lib/llvm-22"))
}

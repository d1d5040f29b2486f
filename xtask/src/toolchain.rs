//! The compiler of the kernel half: which one this machine has, and how to call it.
//!
//! Two ways work. A distribution may package a compiler with a prebuilt `core` for the BPF target;
//! elsewhere there is a nightly of rustup with the sources of `core`, which cargo then builds. Both
//! want bpf-linker, made with the major version of LLVM that the compiler has.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::find;

/// The target of the kernel half: BPF, little endian.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Version of bpf-linker that is installed where there is none.
pub(crate) const LINKER_VERSION: &str = "0.13.0";

/// A compiler that can build the kernel half.
pub(crate) enum Compiler {
    /// Carries a prebuilt `core` for the target.
    Prebuilt {
        cargo: PathBuf,
        rustc: PathBuf,
        /// Major version of its LLVM.
        llvm: String,
    },
    /// A nightly of rustup that builds `core` from source.
    Nightly,
}

impl Compiler {
    /// The first compiler that works, prebuilt ones before nightly.
    pub(crate) fn find() -> Option<Self> {
        candidates().into_iter().find_map(prebuilt).or_else(nightly)
    }

    /// A cargo command of this compiler, for a task on the kernel half.
    pub(crate) fn cargo(&self, task: &str) -> Command {
        let mut command = match self {
            Self::Prebuilt { cargo, rustc, .. } => {
                let mut command = Command::new(cargo);
                // aya-ebpf uses an assembler feature that is unstable on BPF.
                command
                    .env("RUSTC", rustc)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .arg(task);
                command
            }
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo", task, "-Z", "build-std=core"]);
                command
            }
        };
        // The flags and the compiler of whoever runs the task are meant for the host.
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(variable);
        }
        if let Some(linker) = linker() {
            let setting = format!("target.{TARGET}.linker={:?}", linker.display().to_string());
            command.arg("--config").arg(setting);
        }
        command
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prebuilt { rustc, llvm, .. } => {
                write!(
                    f,
                    "{} (core for BPF included, LLVM {llvm})",
                    rustc.display()
                )
            }
            Self::Nightly => write!(f, "rustup's nightly (core for BPF built from rust-src)"),
        }
    }
}

/// The linker of BPF objects.
pub(crate) fn linker() -> Option<PathBuf> {
    find("bpf-linker")
}

/// Every `rustc` that could be meant. A shim of rustup may stand earlier in `PATH` than the one that
/// works, so all of them are asked.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = Vec::new();
    for directory in env::split_paths(&path).chain([PathBuf::from("/usr/bin")]) {
        let rustc = directory.join("rustc");
        if rustc.is_file() && !found.contains(&rustc) {
            found.push(rustc);
        }
    }
    found
}

/// The compiler behind a `rustc`, if its `core` for the target is there and its cargo stands beside it.
fn prebuilt(rustc: PathBuf) -> Option<Compiler> {
    let sysroot = ask(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let core = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib");
    let cargo = rustc.with_file_name("cargo");
    if !core.is_dir() || !cargo.is_file() {
        return None;
    }
    let version = ask(Command::new(&rustc).arg("-vV"))?;
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    let llvm = llvm.split('.').next()?.to_owned();
    Some(Compiler::Prebuilt { cargo, rustc, llvm })
}

fn nightly() -> Option<Compiler> {
    let sysroot =
        ask(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    source.is_file().then_some(Compiler::Nightly)
}

/// What a command prints; none when it fails.
fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

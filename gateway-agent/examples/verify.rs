//! Loads every program of a kernel object on the running kernel and prints its size, a line each:
//! `name instructions verified`, the last `-` where the kernel does not tell. For `cargo xtask verify`.

use std::{env, fs, process::ExitCode};

use anyhow::{Context as _, Result};
use gateway_agent::bpf;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let path = env::args_os().nth(1).context("usage: verify OBJECT")?;
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for size in bpf::sizes(&object)? {
        let verified = size
            .verified
            .map_or_else(|| "-".to_owned(), |count| count.to_string());
        println!("{} {} {verified}", size.name, size.instructions);
    }
    Ok(())
}

//! The torture's test of itself: a deliberate fault in an engine is found, and called by its name.
//!
//! The faults are in a build of their own, `culvert-faulty`, and each test turns on one of them.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::engines::ENGINES;
use gateway_tests::process::built;
use gateway_tests::skip;

/// Finds `fault` by one case on each engine, and the words that tell of it.
fn found(fault: &str, case: &str, words: &str) -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    if built("culvert-faulty").is_err() {
        skip::record(
            "needs the build with faults: \
             `cargo build -p gateway-agent --features faults --bin culvert-faulty`",
        );
        return Ok(());
    }
    for engine in ENGINES {
        let mut torture = Command::new(env!("CARGO_BIN_EXE_culvert-torture"));
        torture
            .args(["--faulty", "--quick", "--seed", "7"])
            .args(["--engine", engine, "--case", case])
            .env("CULVERT_FAULT", fault);
        let output = torture.output().context("cannot run the torture")?;
        let said = String::from_utf8(output.stdout)?;
        let verdict = said.lines().find(|line| line.contains("FAILED"));
        let verdict = verdict.with_context(|| format!("{engine}: nothing found: {said}"))?;
        ensure!(
            !output.status.success(),
            "{engine}: found, and yet a success"
        );
        ensure!(
            verdict.contains(words),
            "{engine}: found, but not as `{words}`: {verdict}"
        );
        let again = format!("--seed 7 --engine {engine} --case {case}");
        ensure!(
            said.contains(&again),
            "{engine}: not how to repeat it: {said}"
        );
    }
    Ok(())
}

#[test]
fn a_flipped_bit_is_a_changed_byte() -> Result<()> {
    found("flip", "tiny-buffers", "one byte changed at offset")
}

#[test]
fn swapped_segments_are_out_of_order() -> Result<()> {
    found("swap", "ends", "out of order: at offset")
}

#[test]
fn a_lost_fin_is_an_end_that_does_not_come() -> Result<()> {
    found("lose-fin", "insertion", "no end came in")
}

#[test]
fn an_abort_that_looks_like_an_end_is_told_from_one() -> Result<()> {
    let words = "an end in order where a reset was due";
    found("end-for-reset", "resets", words)
}

#[test]
fn leaked_descriptors_are_counted() -> Result<()> {
    found("leak", "churn", "descriptors, at first")
}

#[test]
fn hoarded_memory_is_measured() -> Result<()> {
    found("hoard", "churn", "memory grew from")
}

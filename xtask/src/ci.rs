//! `cargo xtask ci`: all that a pipeline checks, cheapest first.

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::{fuzz, lint, packages, setup, test, torture, verify};

/// Enough for the corpus in the tree and some tens of thousands of fresh inputs per target.
const FUZZ_SECONDS: u32 = 15;

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    packages::ensure(packages::TESTS)?;
    lint::run()?;
    test::run(&test::Options {
        ci: true,
        filter: None,
    })?;
    verify::run(&verify::Options::default())?;
    torture::run(&torture::Options::quick())?;
    fuzz::run(&fuzz::Options {
        seconds: FUZZ_SECONDS,
        target: None,
    })?;
    // Each benchmark once: that it runs is checked here, how fast it runs is not.
    run_command(&mut cargo(["bench", "--bench", "*", "--", "--test"]))
}

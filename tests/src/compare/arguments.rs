//! The command line of the comparison; `cargo xtask bench` passes its own on.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use gateway_tests::topology::Family;

use crate::case::{CASES, Case};
use crate::gate::Gate;
use crate::target::Target;

/// culvert beside plain routing and other gateways, in network namespaces; needs root.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Arguments {
    /// Three cases only, short slices: within 6 minutes once built
    #[arg(long)]
    quick: bool,
    /// Only these targets, such as culvert-copy,haproxy; routing always runs
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    targets: Vec<String>,
    /// Only these cases, such as down1,echo100
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    cases: Vec<String>,
    /// Address family of both legs: v4 or v6
    #[arg(long, default_value = "v4", value_name = "FAMILY")]
    family: String,
    /// Slices of each target in each case
    #[arg(long, default_value_t = 7, value_name = "N")]
    pairs: usize,
    /// Length of a slice [default: 2000; with --quick 800]
    #[arg(long, value_name = "MILLISECONDS")]
    slice: Option<u64>,
    /// Fail if the whole interval of a ratio to routing is worse: TARGET:CASE:METRIC:RATIO
    #[arg(long = "gate", value_name = "GATE")]
    gates: Vec<Gate>,
    /// Where the report, the table and the plots go
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    output: PathBuf,
    /// List targets and cases, and measure nothing
    #[arg(long)]
    pub(crate) list: bool,
}

/// What is to be measured, and how.
pub(crate) struct Plan {
    pub(crate) contenders: Vec<Target>,
    pub(crate) cases: Vec<Case>,
    pub(crate) family: Family,
    pub(crate) pairs: usize,
    pub(crate) slice: Duration,
    pub(crate) gates: Vec<Gate>,
    pub(crate) output: PathBuf,
}

impl Arguments {
    /// Checks everything before anything is started.
    pub(crate) fn plan(self) -> Result<Plan> {
        let named: Result<Vec<Target>> = self
            .targets
            .iter()
            .map(|name| Target::named(name))
            .collect();
        let mut contenders = named?;
        if contenders.is_empty() {
            contenders = Target::contenders();
        }
        contenders.retain(|target| *target != Target::Routing);
        let family = match self.family.as_str() {
            "v4" => Family::V4,
            "v6" => Family::V6,
            other => bail!("--family is v4 or v6, not {other}"),
        };
        if self.pairs == 0 {
            bail!("--pairs is at least 1, and 7 for an interval that means something");
        }
        let usual = if self.quick { 800 } else { 2000 };
        Ok(Plan {
            contenders,
            cases: cases(&self.cases, self.quick)?,
            family,
            pairs: self.pairs,
            slice: Duration::from_millis(self.slice.unwrap_or(usual)),
            gates: self.gates,
            output: self.output,
        })
    }
}

fn cases(names: &[String], quick: bool) -> Result<Vec<Case>> {
    if names.is_empty() {
        let all = CASES.iter().copied();
        return Ok(all.filter(|case| case.quick || !quick).collect());
    }
    let find = |name: &String| {
        Case::named(name).with_context(|| {
            let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            format!("no case is named {name}: there are {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

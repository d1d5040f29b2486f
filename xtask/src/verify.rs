//! `cargo xtask verify`: loads every kernel program on the running kernel and compares its size with
//! `gateway-ebpf/golden.txt`.
//!
//! The kernel's verifier is the judge; the sizes show when a change costs more than it seems. Compilers
//! and kernels differ a little, so a tolerance, not equality.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{cargo, is_root, root, show};
use crate::ebpf;

/// Per cent that a size may differ from the golden one.
const TOLERANCE: u32 = 10;

/// Options of `cargo xtask verify`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Write the sizes found into the golden file instead of comparing
    #[arg(long)]
    pub(crate) bless: bool,
}

/// Instructions after the kernel's rewriting; instructions that the verifier walked, where it tells.
type Size = (u32, Option<u32>);

/// Builds the object, loads its programs and compares.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        is_root(),
        "loading kernel programs needs root: run `sudo -E cargo xtask verify`"
    );
    let object = ebpf::build()?;
    let text = measure(&object)?;
    let golden = root().join("gateway-ebpf/golden.txt");
    if options.bless {
        let header =
            "# program, instructions, instructions verified; `cargo xtask verify --bless`\n";
        return fs::write(&golden, format!("{header}{text}"))
            .with_context(|| format!("cannot write {}", golden.display()));
    }
    let expected =
        fs::read_to_string(&golden).with_context(|| format!("cannot read {}", golden.display()))?;
    let found = parse(&text)?;
    let complaints = compare(&parse(&expected)?, &found);
    for (name, (instructions, verified)) in &found {
        let verified = verified.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        println!("loads: {name}, {instructions} instructions, verified: {verified}");
    }
    ensure!(
        complaints.is_empty(),
        "{}\nif that is meant: `cargo xtask verify --bless`",
        complaints.join("\n")
    );
    println!(
        "all {} programs load, none is {TOLERANCE} % off its golden size",
        found.len()
    );
    Ok(())
}

/// Has the agent's loader load every program, as it will in earnest; what it says of them.
fn measure(object: &Path) -> Result<String> {
    let mut load = cargo([
        "run",
        "--quiet",
        "--package",
        "gateway-agent",
        "--example",
        "verify",
        "--",
    ]);
    load.arg(object).stderr(Stdio::inherit());
    eprintln!("+ {}", show(&load));
    let output = load.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the running kernel refused a program, see above"
    );
    String::from_utf8(output.stdout).context("the sizes are no text")
}

/// Reads lines of `name instructions verified`, the last as `-` where the kernel does not tell.
fn parse(text: &str) -> Result<BTreeMap<&str, Size>> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let [name, instructions, verified] = line.split(' ').collect::<Vec<_>>()[..] else {
                bail!("cannot read sizes in line {line:?}");
            };
            let verified = if verified == "-" {
                None
            } else {
                Some(verified.parse()?)
            };
            Ok((name, (instructions.parse()?, verified)))
        })
        .collect()
}

/// What differs by more than the tolerance, in words.
fn compare(golden: &BTreeMap<&str, Size>, found: &BTreeMap<&str, Size>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, (instructions, verified)) in golden {
        let Some((now, now_verified)) = found.get(name) else {
            complaints.push(format!("program {name} is gone"));
            continue;
        };
        let verified = verified.zip(*now_verified);
        let verified = verified.map(|(was, is)| ("verified instructions", was, is));
        for (what, was, is) in [("instructions", *instructions, *now)]
            .into_iter()
            .chain(verified)
        {
            if was.abs_diff(is) * 100 > was * TOLERANCE {
                complaints.push(format!("program {name} has {is} {what}, golden are {was}"));
            }
        }
    }
    let extra = found.keys().filter(|name| !golden.contains_key(*name));
    complaints.extend(extra.map(|name| format!("program {name} is not in the golden file")));
    complaints
}

#[cfg(test)]
mod tests {
    use super::{compare, parse};

    fn complaints(golden: &str, found: &str) -> Vec<String> {
        compare(&parse(golden).unwrap(), &parse(found).unwrap())
    }

    #[test]
    fn a_tenth_more_or_less_is_fine() {
        assert!(complaints("# head\nsteer 100 200\n", "steer 110 180\n").is_empty());
    }

    #[test]
    fn more_than_a_tenth_is_not() {
        assert_eq!(complaints("steer 100 200\n", "steer 111 200\n").len(), 1);
    }

    #[test]
    fn a_kernel_that_does_not_count_is_not_held_to_it() {
        assert!(complaints("steer 100 200\n", "steer 100 -\n").is_empty());
    }

    #[test]
    fn missing_and_extra_programs_are_named() {
        let both = complaints("steer 1 1\n", "splice 1 1\n");
        assert!(
            both[0].contains("steer") && both[1].contains("splice"),
            "{both:?}"
        );
    }
}

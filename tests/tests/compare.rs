//! `culvert-compare`, which `cargo xtask bench` runs: what it reports, and when it fails.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use gateway_tests::process::built;
use gateway_tests::skip;
use serde_json::Value;

/// Where no Envoy is, but what the comparison itself needs.
const BARE_PATH: &str = "/usr/bin:/bin";

fn compare(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(built("culvert-compare")?);
    command.args(arguments).env("PATH", BARE_PATH);
    command.output().context("cannot run culvert-compare")
}

/// Two short pairs of one case, with culvert and with a peer that is not installed.
fn short(output: &str, more: &[&str]) -> Result<Output> {
    let mut arguments = vec![
        "--targets",
        "culvert-copy,envoy",
        "--cases",
        "down1",
        "--output",
        output,
    ];
    arguments.extend(["--pairs", "2", "--slice", "600"]);
    arguments.extend(more);
    compare(&arguments)
}

fn row<'a>(report: &'a Value, target: &str, metric: &Value) -> Option<&'a Value> {
    let rows = report["rows"].as_array()?;
    rows.iter()
        .find(|row| row["target"] == target && row["metric"] == *metric)
}

#[test]
fn a_report_has_every_sample_and_says_who_could_not_run() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let output = short(&folder.path().to_string_lossy(), &["--family", "v6"])?;
    assert!(output.status.success(), "{output:?}");
    let report = fs::read_to_string(folder.path().join("report.json"))?;
    let report: Value = serde_json::from_str(&report)?;
    let metric = Value::from("gbit_per_s");
    let copy = row(&report, "culvert-copy", &metric).context("no row of culvert-copy")?;
    let samples = copy["samples"].as_array().context("no samples")?;
    assert_eq!(samples.len(), 2, "{copy}");
    assert!(
        samples.iter().all(|sample| sample.as_f64() > Some(0.0)),
        "{copy}"
    );
    let [low, ratio, high] =
        ["ratio_low", "ratio_to_routing", "ratio_high"].map(|it| copy[it].as_f64());
    assert!(low.is_some() && low <= ratio && ratio <= high, "{copy}");
    let routing = row(&report, "routing", &metric).context("no row of routing")?;
    // One before, one between and one behind for a round with a single target that runs.
    assert_eq!(
        routing["samples"].as_array().map(Vec::len),
        Some(4),
        "{routing}"
    );
    let envoy = row(&report, "envoy", &Value::Null).context("no row of envoy")?;
    let why = envoy["errors"][0].as_str().unwrap_or_default();
    assert!(why.contains("envoy is not installed"), "{envoy}");
    let table = fs::read_to_string(folder.path().join("report.md"))?;
    assert!(
        table.contains("| culvert-copy |") && table.contains("envoy is not installed"),
        "{table}"
    );
    Ok(())
}

#[test]
fn a_missed_gate_fails_the_run_and_an_engine_that_is_none_never_passes_for_one() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let folder = folder.path().to_string_lossy();
    let output = short(&folder, &["--gate", "culvert-copy:down1:gbit_per_s:1000"])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("Failed: culvert-copy down1 gbit_per_s at least 1000 of routing"),
        "{said}"
    );
    let output = compare(&[
        "--targets",
        "culvert-nothing",
        "--cases",
        "down1",
        "--pairs",
        "1",
        "--slice",
        "200",
        "--output",
        &folder,
    ])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("did not start: it ended with exit status: 2"),
        "{said}"
    );
    Ok(())
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() -> Result<()> {
    for (arguments, hint) in [
        (["--targets", "traefik"], "haproxy"),
        (["--cases", "down2"], "down1"),
        (["--family", "v5"], "v4 or v6"),
    ] {
        let output = compare(&arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains(hint), "{said}");
    }
    Ok(())
}

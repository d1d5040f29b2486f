//! culvert beside plain routing and other gateways: one run, one report.
//!
//! `cargo xtask bench` builds everything, installs the peers and runs this. In reading order: `case`
//! and `target` are what is measured on what, `stage` is the network, `files` and `gateway` the
//! contenders, `slice` and `special` one measurement, `order` when each is made, `statistics`, `report`,
//! `gate`, `table` and `plot` what comes of them. Nothing here knows more of culvert than its
//! command line: it stands beside its peers as they do.

mod arguments;
mod case;
mod files;
mod gate;
mod gateway;
mod host;
mod metric;
mod order;
mod plot;
mod report;
mod slice;
mod special;
mod stage;
mod statistics;
mod table;
mod target;

use std::fs;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use gateway_tests::topology::Family;

use arguments::{Arguments, Plan};
use case::{CASES, Path};
use gate::Verdict;
use host::Machine;
use report::{Contender, Described, Report, Row, SCHEMA};
use stage::Stage;
use target::Target;

// One thread: the harness must not take the processors that it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        let targets: Vec<String> = Target::contenders().iter().map(Target::to_string).collect();
        print!("{}", table::list(&targets, CASES));
        return ExitCode::SUCCESS;
    }
    let plan = match arguments.plan() {
        Ok(plan) => plan,
        Err(error) => return failure(&error, ExitCode::from(USAGE)),
    };
    match run(&plan).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failure(&error, ExitCode::FAILURE),
    }
}

/// Exit code for arguments that cannot be followed, as clap's own.
const USAGE: u8 = 2;

fn failure(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    eprintln!("error: {error:#}");
    code
}

/// Measures, writes, shows; whether all went as it must.
async fn run(plan: &Plan) -> Result<bool> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the comparison makes network namespaces: run it as root"
    );
    let report = measure(plan).await?;
    println!("\n{}", write(plan, &report)?);
    Ok(passed(&report))
}

async fn measure(plan: &Plan) -> Result<Report> {
    let began = Instant::now();
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is set")?;
    let machine = Machine::describe().await?;
    eprintln!("{}", machine.line());
    let stage = Stage::build(
        plan.family,
        plan.cases.iter().any(|case| case.path == Path::Far),
    )?;
    let rows = order::run(&stage, plan).await?;
    let gates = plan.gates.iter().map(|gate| gate.check(&rows)).collect();
    let described = |case: &case::Case| Described {
        name: case.name,
        title: case.title,
    };
    Ok(Report {
        schema: SCHEMA,
        started: started.as_secs(),
        seconds: began.elapsed().as_secs_f64(),
        family: match plan.family {
            Family::V4 => "v4",
            Family::V6 => "v6",
        },
        pairs: plan.pairs,
        slice_seconds: plan.slice.as_secs_f64(),
        machine,
        targets: plan.contenders.iter().map(contender).collect(),
        cases: plan.cases.iter().map(described).collect(),
        rows,
        gates,
    })
}

fn contender(target: &Target) -> Contender {
    Contender {
        name: target.to_string(),
        version: gateway::version(target).ok(),
    }
}

/// Writes report, table and plots, and returns the table with where they are.
fn write(plan: &Plan, report: &Report) -> Result<String> {
    let folder = &plan.output;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let json = serde_json::to_string_pretty(report)?;
    fs::write(folder.join("report.json"), json).context("cannot write the report")?;
    let mut text = table::render(report);
    fs::write(folder.join("report.md"), &text).context("cannot write the table")?;
    let plots = plot::draw(report, folder).unwrap_or_else(|error| {
        eprintln!("no plots: {error:#}");
        Vec::new()
    });
    let files = ["report.json", "report.md"]
        .map(str::to_owned)
        .into_iter()
        .chain(plots);
    let files: Vec<String> = files.collect();
    text.push_str(&format!("\nin {}: {}\n", folder.display(), files.join(" ")));
    Ok(text)
}

/// Whether all gates hold and culvert itself did what it was asked; a peer that failed is its own.
fn passed(report: &Report) -> bool {
    let missed = report
        .gates
        .iter()
        .any(|gate| gate.verdict == Verdict::Failed);
    let ours = |row: &&Row| row.target == "routing" || row.target.starts_with("culvert-");
    let failed = report
        .rows
        .iter()
        .filter(ours)
        .any(|row| !row.errors.is_empty());
    !missed && !failed
}

//! The torture: what networks, peers and operators do to a gateway at their worst, on each engine.
//!
//! `cargo xtask torture` builds everything and runs this. Every byte is checked at both ends, and what
//! client and server see is compared with what they see without a gateway. Each case says what it did,
//! how often, and the verdict; a seed reproduces a failure. Needs root for its namespaces.

mod cases;
mod hello;
mod kernel;
mod stream;
mod talk;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use gateway_tests::engines::ENGINES;
use tokio::time::timeout;

use cases::{CASES, Case};

/// Tortures culvert: every case on every engine, each byte checked.
#[derive(Parser)]
#[command(name = "cargo xtask torture", bin_name = "cargo xtask torture")]
struct Arguments {
    /// Only these engines, such as copy,sockmap
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    engine: Vec<String>,
    /// Only these cases, such as ends,resets
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    case: Vec<String>,
    /// The short form, within ten minutes; the long one takes an hour
    #[arg(long)]
    quick: bool,
    /// What all choices come from; the same seed makes the same choices [default: by chance]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Say what cases there are
    #[arg(long)]
    list: bool,
    /// Torture the build with deliberate faults, `culvert-faulty`; CULVERT_FAULT names the one to commit
    #[arg(long)]
    faulty: bool,
}

/// One case on one engine.
pub(crate) struct Trial {
    pub(crate) engine: String,
    pub(crate) quick: bool,
    /// The build under test.
    pub(crate) program: &'static str,
    /// Where its choices come from.
    pub(crate) chance: fastrand::Rng,
}

impl Trial {
    fn new(arguments: &Arguments, (seed, engine): (u64, &str), case: &str) -> Self {
        // Each case has choices of its own, so that it can be run alone.
        let label = format!("{case} {engine}");
        let own = seed ^ xxhash_rust::xxh3::xxh3_64(label.as_bytes());
        Self {
            engine: engine.to_owned(),
            quick: arguments.quick,
            program: if arguments.faulty {
                "culvert-faulty"
            } else {
                "culvert"
            },
            chance: fastrand::Rng::with_seed(own),
        }
    }

    /// How much: in the short form and in the long one.
    pub(crate) fn amount<T>(&self, quick: T, long: T) -> T {
        if self.quick { quick } else { long }
    }

    /// A seed for one of many.
    pub(crate) fn draw(&mut self) -> u64 {
        self.chance.u64(..)
    }
}

/// Longest time of one case.
const LONGEST: Duration = Duration::from_secs(120);
const LONGEST_LONG: Duration = Duration::from_secs(20 * 60);

#[tokio::main]
async fn main() -> ExitCode {
    match torture().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn torture() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for case in CASES {
            let long = if case.long { " (long form only)" } else { "" };
            println!("{:<16} {}{long}", case.name, case.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "torture makes network namespaces: run it as root"
    );
    let engines = chosen("engine", &arguments.engine, ENGINES)?;
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    let names = chosen("case", &arguments.case, &names)?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("seed {seed}");
    let began = Instant::now();
    let mut failed = Vec::new();
    let mut ran = 0;
    let asked = CASES.iter().filter(|case| names.contains(&case.name));
    let (cases, left): (Vec<_>, Vec<_>) = asked.partition(|case| !(arguments.quick && case.long));
    if cases.is_empty() {
        let left: Vec<&str> = left.iter().map(|case| case.name).collect();
        bail!(
            "{} in the long form only: leave --quick out",
            left.join(", ")
        );
    }
    for engine in &engines {
        for case in &cases {
            ran += 1;
            if !run(&arguments, (seed, engine), case).await {
                failed.push((*engine, case.name));
            }
        }
    }
    println!(
        "{ran} cases, {} passed, {} failed, in {:.0} s",
        ran - failed.len(),
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    for case in left {
        println!("not in the short form: {}", case.name);
    }
    for (engine, case) in &failed {
        let quick = if arguments.quick { " --quick" } else { "" };
        println!("again: cargo xtask torture{quick} --seed {seed} --engine {engine} --case {case}");
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What was asked for, or all; a name that there is not is an error with those that there are.
fn chosen<'a>(what: &str, asked: &[String], all: &[&'a str]) -> Result<Vec<&'a str>> {
    if asked.is_empty() {
        return Ok(all.to_vec());
    }
    let find = |name: &String| match all.iter().find(|one| **one == name.as_str()) {
        Some(one) => Ok(*one),
        None => bail!("no {what} `{name}`: there are {}", all.join(", ")),
    };
    asked.iter().map(find).collect()
}

/// Runs a case and says how it went.
async fn run(arguments: &Arguments, (seed, engine): (u64, &str), case: &Case) -> bool {
    let mut trial = Trial::new(arguments, (seed, engine), case.name);
    let longest = trial.amount(LONGEST, LONGEST_LONG);
    let began = Instant::now();
    let done = timeout(longest, (case.run)(&mut trial)).await;
    let done = done.with_context(|| format!("not done after {longest:?}"));
    let seconds = began.elapsed().as_secs_f64();
    let head = |verdict| {
        format!(
            "{engine:<8} {:<16} {verdict:<6} {seconds:>6.1} s ",
            case.name
        )
    };
    match done.and_then(|done| done) {
        Ok(done) => {
            println!("{} {done}", head("ok"));
            true
        }
        Err(error) => {
            println!("{} {error:#}", head("FAILED"));
            false
        }
    }
}

//! `cargo xtask test`: everything that can be tested here, and one line that says how it went.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{cargo, is_root, run as run_command, show, succeeds, target};
use crate::ebpf;
use crate::packages;
use crate::tally::Tally;

/// Options of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Fail instead of skipping what this machine cannot test; implied by CI=true
    #[arg(long)]
    pub(crate) ci: bool,
    /// Run only tests whose name contains this
    pub(crate) filter: Option<String>,
}

/// Builds both halves, runs all tests and prints the summary line.
pub(crate) fn run(options: &Options) -> Result<()> {
    let strict = options.ci || std::env::var_os("CI").is_some_and(|ci| ci == "true");
    prepare(strict)?;
    let skips = target().join("skips");
    if skips.exists() {
        fs::remove_file(&skips).context("cannot remove the list of skips of an earlier run")?;
    }
    let mut tally = Tally::default();
    let mut whole = true;
    for mut runner in runners(options.filter.as_deref()) {
        runner.env("CULVERT_SKIPS", &skips);
        if strict {
            runner.env("CI", "true");
        }
        whole &= follow(&mut runner, &mut tally)?;
    }
    if options.filter.is_some() {
        // nextest counts what the filter leaves out as skipped.
        tally.skipped = 0;
    }
    let skipped = skipped(&skips)?;
    tally.skip(u32::try_from(skipped.len())?);
    skipped.iter().for_each(|skip| eprintln!("skipped {skip}"));
    println!("{tally}");
    ensure!(whole && tally.failed == 0, "not all tests passed");
    ensure!(tally.passed > 0, "no test ran");
    Ok(())
}

/// Makes the tools and the binaries that the tests drive.
fn prepare(strict: bool) -> Result<()> {
    if !is_root() {
        let message = "not root: the end-to-end tests need network namespaces";
        ensure!(
            !strict,
            "{message}; run as root, as `sudo -E cargo xtask test` does"
        );
        eprintln!("{message} and will be skipped; `sudo -E cargo xtask test` runs them");
    }
    if let Err(error) = packages::ensure(packages::TESTS) {
        ensure!(!strict, "{error:#}");
        eprintln!("{error:#}\ntests that need these will fail or be skipped");
    }
    if let Err(error) = ebpf::build() {
        if strict {
            bail!("the kernel object was not built: {error:#}");
        }
        eprintln!("the kernel object was not built, its tests will be skipped: {error:#}");
    }
    run_command(&mut cargo(["build"]))?;
    // The torture's test of itself is that it finds what is wrong with this one.
    run_command(&mut cargo([
        "build",
        "--package",
        "gateway-agent",
        "--features",
        "faults",
        "--bin",
        "culvert-faulty",
    ]))
}

/// The commands that run all tests: nextest where it is present, since it gives every test a
/// process of its own, and documentation tests by cargo.
fn runners(filter: Option<&str>) -> Vec<Command> {
    if !succeeds(&mut cargo(["nextest", "--version"])) {
        return vec![with_filter(cargo(["test", "--no-fail-fast"]), filter)];
    }
    let nextest = cargo(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]);
    let documentation = cargo(["test", "--doc", "--no-fail-fast"]);
    vec![
        with_filter(nextest, filter),
        with_filter(documentation, filter),
    ]
}

fn with_filter(mut command: Command, filter: Option<&str>) -> Command {
    command.args(filter);
    command
}

/// Runs one runner, shows its output as it comes and counts; tells whether it succeeded.
fn follow(runner: &mut Command, tally: &mut Tally) -> Result<bool> {
    eprintln!("+ {}", show(runner));
    // One pipe for both streams keeps the order of lines; nextest speaks on stderr only.
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    runner
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = runner
        .spawn()
        .with_context(|| format!("cannot run `{}`", show(runner)))?;
    // The command holds copies of the write end; while it does, the pipe never ends.
    runner.stdout(Stdio::null()).stderr(Stdio::null());
    let mut out = std::io::stderr().lock();
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        tally.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait()?.success())
}

/// The tests that noted that they did not run.
fn skipped(list: &Path) -> Result<Vec<String>> {
    if !list.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(list).context("cannot read the list of skips")?;
    Ok(text.lines().map(str::to_owned).collect())
}

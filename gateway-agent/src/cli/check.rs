//! `culvert check`: the configuration, every default, and the host, each finding with its remedy.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::output::{json, print, table, visible};
use super::{Failure, format};
use crate::config::{Config, ConfigErrors, ErrorItem, Setting};
use crate::control::Snapshot;
use crate::ops::host::{self, Finding, State};

/// What to check
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration, HCL or JSON
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "self_test"
    )]
    config: Option<PathBuf>,
    /// Try the sockmap engine out on this kernel: `short` as at start, `long` for a minute, or so long;
    /// needs root, and no configuration
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "short", value_parser = Trial::parse)]
    self_test: Option<Trial>,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

/// How long to try the sockmap engine out.
#[derive(Debug, Clone, Copy)]
enum Trial {
    /// As often as the agent does when it starts: once.
    Short,
    /// Again and again.
    For(Duration),
}

impl Trial {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "short" => Ok(Self::Short),
            "long" => Ok(Self::For(Duration::from_secs(60))),
            time => humantime::parse_duration(time)
                .map(Self::For)
                .map_err(|error| format!("{error}: expected `short`, `long` or a time such as 5m")),
        }
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    /// The file.
    config: String,
    /// What is wrong with it; nothing else was looked at then.
    errors: Vec<ErrorItem>,
    /// Number of listeners.
    listeners: usize,
    /// Number of routes.
    routes: usize,
    /// What an operator should know of the mesh.
    notes: Vec<String>,
    /// Every setting in force, given or default.
    settings: Vec<Setting>,
    /// What the host offers.
    host: Vec<Finding>,
}

pub(super) fn run(arguments: &Check) -> Result<(), Failure> {
    let Some(file) = &arguments.config else {
        return try_only(arguments);
    };
    let config = Config::load(file);
    let file = file.display().to_string();
    let config = match config {
        Ok(config) => config,
        Err(errors) => return Err(refuse(arguments.json, file, &errors)),
    };
    let snapshot = Snapshot::build(&config, None);
    let mut host = host::findings(&snapshot);
    host.extend(arguments.self_test.map(tried));
    let report = Report {
        config: file,
        errors: Vec::new(),
        listeners: snapshot.listeners.len(),
        routes: snapshot.routes.len(),
        notes: snapshot
            .mesh
            .as_ref()
            .map(|mesh| mesh.notes(&snapshot.routes))
            .unwrap_or_default(),
        settings: config.report(),
        host,
    };
    print(&if arguments.json {
        json(&report)
    } else {
        render(&report)
    })?;
    if report
        .host
        .iter()
        .any(|finding| finding.state == State::Fail)
    {
        return Err(Failure::No(
            "this host does not offer what the configuration needs".into(),
        ));
    }
    Ok(())
}

/// Without a configuration there is only the trial.
fn try_only(arguments: &Check) -> Result<(), Failure> {
    let findings: Vec<Finding> = arguments.self_test.map(tried).into_iter().collect();
    print(&if arguments.json {
        json(&findings)
    } else {
        hosts(&findings)
    })?;
    if findings.iter().all(|finding| finding.state == State::Ok) {
        Ok(())
    } else {
        Err(Failure::No("the sockmap engine would not be used".into()))
    }
}

/// What a trial of the sockmap engine found.
fn tried(trial: Trial) -> Finding {
    let begun = Instant::now();
    let found = crate::app::try_sockmap(match trial {
        Trial::Short => None,
        Trial::For(time) => Some(time),
    });
    let took = Duration::from_millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(0));
    let took = humantime::format_duration(took);
    let (state, found, remedy) = match found {
        Ok(rounds) => (
            State::Ok,
            format!(
                "sockmap passed its self-test {} in {took}",
                format::count(rounds, "time")
            ),
            None,
        ),
        Err(reason) => {
            let remedy = "the agent uses the next engine of the list; on a busy host allow more time \
                          with engine.self_test";
            (
                State::Warn,
                format!("sockmap: {reason}"),
                Some(remedy.to_owned()),
            )
        }
    };
    Finding {
        name: "engine: self-test".to_owned(),
        state,
        found,
        remedy,
    }
}

/// The configuration is wrong: that is all there is to say.
fn refuse(as_json: bool, config: String, errors: &ConfigErrors) -> Failure {
    if !as_json {
        return Failure::Usage(errors.to_string());
    }
    let errors = errors.items().collect();
    let (settings, host) = (Vec::new(), Vec::new());
    let report = Report {
        config,
        errors,
        listeners: 0,
        routes: 0,
        notes: Vec::new(),
        settings,
        host,
    };
    print(&json(&report))
        .err()
        .unwrap_or(Failure::Usage(String::new()))
}

fn render(report: &Report) -> String {
    let settings = report.settings.iter().map(|setting| {
        let origin = if setting.default { "default" } else { "set" };
        [
            setting.name.clone(),
            setting.value.clone(),
            origin.to_owned(),
        ]
    });
    let notes: String = report
        .notes
        .iter()
        .map(|note| format!("note: {}\n", visible(note)))
        .collect();
    format!(
        "{}: valid, {}, {}\n{notes}\n{}\n{}",
        report.config,
        format::count(report.listeners as u64, "listener"),
        format::count(report.routes as u64, "route"),
        table(["SETTING", "VALUE", "ORIGIN"], settings),
        hosts(&report.host),
    )
}

/// What was found of the host, and what to do about it.
fn hosts(findings: &[Finding]) -> String {
    let rows = findings.iter().map(|finding| {
        [
            label(finding.state).to_owned(),
            finding.name.clone(),
            finding.found.clone(),
        ]
    });
    let remedies: String = findings
        .iter()
        .filter_map(|finding| finding.remedy.as_ref().map(|remedy| (finding, remedy)))
        .map(|(finding, remedy)| {
            format!(
                "\n{}: {}: {}\n  remedy: {remedy}\n",
                label(finding.state),
                finding.name,
                finding.found
            )
        })
        .collect();
    table(["HOST", "WHAT", "FOUND"], rows) + &remedies
}

fn label(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

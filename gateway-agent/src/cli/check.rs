//! `culvert check`: the configuration, every default, and the host, each finding with its remedy.

use std::path::PathBuf;

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
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
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
    let file = arguments.config.display().to_string();
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(errors) => return Err(refuse(arguments.json, file, &errors)),
    };
    let snapshot = Snapshot::build(&config, None);
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
        host: host::findings(&snapshot),
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
    let host = report.host.iter().map(|finding| {
        [
            label(finding.state).to_owned(),
            finding.name.clone(),
            finding.found.clone(),
        ]
    });
    let notes: String = report
        .notes
        .iter()
        .map(|note| format!("note: {}\n", visible(note)))
        .collect();
    let remedies: String = report
        .host
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
    format!(
        "{}: valid, {}, {}\n{notes}\n{}\n{}{remedies}",
        report.config,
        format::count(report.listeners as u64, "listener"),
        format::count(report.routes as u64, "route"),
        table(["SETTING", "VALUE", "ORIGIN"], settings),
        table(["HOST", "WHAT", "FOUND"], host),
    )
}

fn label(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

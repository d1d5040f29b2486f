//! The order of slices: routing, a target, routing, the next target, and so on, round after round.
//!
//! Each slice of a target lies between two of routing, and is compared with their mean: what the
//! machine does to all of them at that minute cancels out.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use gateway_tests::bench::NAME;

use crate::arguments::Plan;
use crate::case::{Case, Path, Work};
use crate::gateway::Gateway;
use crate::metric::Metric;
use crate::report::{Row, Series};
use crate::slice::{self, Samples};
use crate::special;
use crate::stage::Stage;
use crate::target::Target;

/// Port of the first gateway; each has its own.
const FIRST_PORT: u16 = 8443;

/// Weighings of idle connections: memory does not swing as rates do, and each takes ten seconds.
const WEIGHINGS: usize = 3;

/// A contender with what it runs as, or why it does not run.
struct Entry {
    target: Target,
    port: u16,
    gateway: Result<Gateway, String>,
}

/// Starts all gateways, runs all cases, and returns all rows.
pub(crate) async fn run(stage: &Stage, plan: &Plan) -> Result<Vec<Row>> {
    let mut entries = Vec::new();
    for (target, port) in plan.contenders.iter().zip(FIRST_PORT..) {
        let gateway = Gateway::start(stage, target, port, &[NAME.to_owned()]).await;
        let gateway = gateway.map_err(|error| format!("did not start: {error:#}"));
        match &gateway {
            Ok(_running) => eprintln!("{target} is up"),
            Err(error) => eprintln!("{target} {error}"),
        }
        entries.push(Entry {
            target: target.clone(),
            port,
            gateway,
        });
    }
    let mut rows = Vec::new();
    for case in &plan.cases {
        eprintln!("\n{}: {}", case.name, case.title);
        rows.extend(run_case(stage, plan, case, &mut entries).await);
    }
    Ok(rows)
}

async fn run_case(stage: &Stage, plan: &Plan, case: &Case, entries: &mut [Entry]) -> Vec<Row> {
    let mut routing = Series::default();
    let mut found: Vec<Series> = entries.iter().map(|_| Series::default()).collect();
    for (entry, series) in entries.iter().zip(&mut found) {
        if let Err(error) = &entry.gateway {
            series.fail(error.clone());
        }
    }
    if let Err(error) = measure(stage, plan, case, entries, (&mut routing, &mut found)).await {
        // What was measured before still counts, and the other cases may go well.
        eprintln!("  {}: {error:#}", case.name);
        for series in found.iter_mut().chain([&mut routing]) {
            series.fail(format!("{error:#}"));
        }
    }
    let mut rows = Vec::new();
    if !matches!(case.work, Work::Changes { .. }) {
        rows.extend(routing.rows("routing", case.name));
    }
    for (entry, series) in entries.iter_mut().zip(&mut found) {
        disown(case, entry, series);
        rows.extend(series.rows(&entry.target.to_string(), case.name));
    }
    rows
}

/// Prepares the path of a case and measures it.
async fn measure(
    stage: &Stage,
    plan: &Plan,
    case: &Case,
    entries: &mut [Entry],
    (routing, found): (&mut Series, &mut [Series]),
) -> Result<()> {
    if case.path == Path::Plain {
        stage.offloads(false).await?;
    }
    let measured = match case.work {
        Work::Idle { connections } => weigh(stage, connections, entries, routing, found).await,
        Work::Changes { routes } => {
            change(stage, plan, case, routes, entries, found).await;
            Ok(())
        }
        _ => rounds(stage, plan, case, entries, routing, found).await,
    };
    if case.path == Path::Plain {
        stage.offloads(true).await?;
    }
    measured
}

/// Throws away what another engine has measured: under this one's name it would be a lie.
fn disown(case: &Case, entry: &mut Entry, series: &mut Series) {
    // Idle connections went through gateways of their own, which have been asked.
    if matches!(case.work, Work::Idle { .. }) {
        return;
    }
    if let Ok(gateway) = &mut entry.gateway
        && let Err(error) = gateway.check_engine()
    {
        *series = Series::default();
        series.fail(format!("{error:#}"));
    }
}

/// The rounds of a case that is made of slices.
async fn rounds(
    stage: &Stage,
    plan: &Plan,
    case: &Case,
    entries: &mut [Entry],
    routing: &mut Series,
    found: &mut [Series],
) -> Result<()> {
    for round in 1..=plan.pairs {
        let mut before = route(stage, plan, case, routing).await?;
        let mut line = format!("  {round}/{}", plan.pairs);
        tell(&mut line, "routing", before.as_ref());
        for (entry, series) in entries.iter_mut().zip(&mut *found) {
            let Ok(gateway) = &mut entry.gateway else {
                continue;
            };
            if series.hopeless() {
                continue;
            }
            let samples = slice::run(stage, case, Some(entry.port), plan.slice).await;
            let alive = gateway.check_alive();
            let after = route(stage, plan, case, routing).await?;
            match alive.and(samples) {
                Ok(samples) => {
                    tell(&mut line, &entry.target.to_string(), Some(&samples));
                    pair(series, &samples, before.as_ref(), after.as_ref());
                }
                Err(error) => {
                    eprintln!("  {}: {error:#}", entry.target);
                    series.fail(format!("round {round}: {error:#}"));
                }
            }
            before = after;
        }
        eprintln!("{line}");
    }
    Ok(())
}

/// A slice of plain routing; the namespace forwards packets for so long only.
async fn route(
    stage: &Stage,
    plan: &Plan,
    case: &Case,
    series: &mut Series,
) -> Result<Option<Samples>> {
    if series.hopeless() {
        return Ok(None);
    }
    stage.route(true)?;
    let samples = slice::run(stage, case, None, plan.slice).await;
    stage.route(false)?;
    match samples {
        Ok(samples) => {
            for &(metric, sample) in &samples {
                series.add(metric, sample, Some(sample));
            }
            Ok(Some(samples))
        }
        Err(error) => {
            eprintln!("  routing: {error:#}");
            series.fail(format!("{error:#}"));
            Ok(None)
        }
    }
}

fn pair(series: &mut Series, samples: &Samples, before: Option<&Samples>, after: Option<&Samples>) {
    let of = |samples: Option<&Samples>, wanted: Metric| {
        samples?
            .iter()
            .find(|(metric, _)| *metric == wanted)
            .map(|(_, sample)| *sample)
    };
    for &(metric, sample) in samples {
        let routing = match (of(before, metric), of(after, metric)) {
            (Some(before), Some(after)) => Some(f64::midpoint(before, after)),
            (before, after) => before.or(after),
        };
        series.add(metric, sample, routing);
    }
}

fn tell(line: &mut String, target: &str, samples: Option<&Samples>) {
    let first = samples.and_then(|samples| samples.first());
    let figure = first.map_or_else(
        || "-".to_owned(),
        |(_, sample)| crate::table::figure(*sample),
    );
    line.push_str(&format!(" | {target} {figure}"));
}

/// Idle connections through fresh gateways, on ports of their own beside the running ones.
async fn weigh(
    stage: &Stage,
    connections: u32,
    entries: &[Entry],
    routing: &mut Series,
    found: &mut [Series],
) -> Result<()> {
    for round in 1..=WEIGHINGS {
        let bare: BTreeMap<Metric, f64> =
            match special::idle(stage, &Target::Routing, connections, 0).await {
                Ok(samples) => samples.into_iter().collect(),
                Err(error) => {
                    routing.fail(format!("round {round}: {error:#}"));
                    BTreeMap::new()
                }
            };
        for (&metric, &sample) in &bare {
            routing.add(metric, sample, Some(sample));
        }
        for (entry, series) in entries.iter().zip(&mut *found) {
            if entry.gateway.is_err() || series.hopeless() {
                continue;
            }
            let port = entry
                .port
                .checked_add(1000)
                .context("a port below the ephemeral ones")?;
            match special::idle(stage, &entry.target, connections, port).await {
                Ok(samples) => {
                    let mut line = format!("  {round}/{WEIGHINGS}");
                    for (metric, sample) in samples {
                        line.push_str(&format!(
                            " | {} {} {}",
                            entry.target,
                            metric.name(),
                            crate::table::figure(sample)
                        ));
                        series.add(metric, sample, bare.get(&metric).copied());
                    }
                    eprintln!("{line}");
                }
                Err(error) => {
                    eprintln!("  {}: {error:#}", entry.target);
                    series.fail(format!("round {round}: {error:#}"));
                }
            }
        }
    }
    Ok(())
}

/// Changes of routes, which plain routing has none of.
async fn change(
    stage: &Stage,
    plan: &Plan,
    case: &Case,
    routes: u32,
    entries: &mut [Entry],
    found: &mut [Series],
) {
    for round in 1..=plan.pairs {
        let mut line = format!("  {round}/{}", plan.pairs);
        for (entry, series) in entries.iter_mut().zip(&mut *found) {
            let Ok(gateway) = &mut entry.gateway else {
                continue;
            };
            if series.hopeless() {
                continue;
            }
            match special::changes(stage, case, gateway, routes, round).await {
                Ok(samples) => {
                    tell(&mut line, &entry.target.to_string(), Some(&samples));
                    for (metric, sample) in samples {
                        series.add(metric, sample, None);
                    }
                }
                Err(error) => {
                    eprintln!("  {}: {error:#}", entry.target);
                    series.fail(format!("round {round}: {error:#}"));
                }
            }
        }
        eprintln!("{line}");
    }
}

//! One slice: the load generator for a second or so, and what it and the host say of it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use gateway_tests::bench::{self, NAME};
use serde_json::Value;

use crate::case::{Case, Path, Work};
use crate::host;
use crate::metric::Metric;
use crate::stage::Stage;

/// Numbers of one slice.
pub(crate) type Samples = Vec<(Metric, f64)>;

/// How long the client waits for anything to move before it gives up.
const PATIENCE: &str = "5s";

/// Runs the client once against whatever listens on `port`, or straight against the server.
pub(crate) async fn run(
    stage: &Stage,
    case: &Case,
    port: Option<u16>,
    length: Duration,
) -> Result<Samples> {
    let (client, gateway) = stage.path(case.path, port.unwrap_or_default())?;
    let address = if port.is_some() {
        gateway
    } else {
        stage.server()
    };
    let length = stretched(case.path, length);
    let arguments = arguments(case.work, case.path, length)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Without offloads a packet is what the wire carries; with them it is whatever the kernel made of many.
    let device = sender(case.work).filter(|_| case.path == Path::Plain);
    let arrived = || device.map_or(Ok(0), |device| stage.arrived(device));
    let before = (host::busy()?, arrived()?);
    let result = bench::client(client, address, &arguments).await?;
    let worked = (host::busy()? - before.0).max(0.0);
    let packets = arrived()?.saturating_sub(before.1);
    if result.code != Some(0) {
        bail!("{}", fault(&result));
    }
    let report = result.json()?;
    let mut samples = samples(case.work, &report)?;
    if device.is_some() {
        samples.extend(rate_of_packets(&samples, &report, packets)?);
    }
    // What is far is so by a wire that takes the same processors: its work is not the gateway's.
    if case.path != Path::Far {
        samples.extend(cost(case.work, &report, worked)?);
    }
    Ok(samples)
}

/// A window opens by one round trip after the other: what is far needs a multiple of the time.
fn stretched(path: Path, length: Duration) -> Duration {
    if path == Path::Far {
        length * 4
    } else {
        length
    }
}

fn arguments(work: Work, path: Path, length: Duration) -> Result<Vec<String>> {
    // Half of a far slice is the opening of the window.
    let warm_up = if path == Path::Far {
        length / 2
    } else {
        length / 5
    };
    let mut words: Vec<String> = ["--json", "--sni", NAME, "--timeout", PATIENCE]
        .map(str::to_owned)
        .into();
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    add("--duration", format!("{}ms", length.as_millis()));
    add("--warm-up", format!("{}ms", warm_up.as_millis()));
    match work {
        Work::Transfer { mode, streams } => {
            add("--mode", mode.to_owned());
            add("--streams", streams.to_string());
        }
        Work::Echo {
            size,
            streams,
            rate,
        } => {
            add("--mode", "echo".to_owned());
            add("--size", size.to_owned());
            add("--streams", streams.to_string());
            if let Some(rate) = rate {
                add("--rate", rate.to_string());
            }
        }
        Work::Connect { dialers } => {
            add("--mode", "connect".to_owned());
            add("--streams", dialers.to_string());
        }
        Work::Idle { .. } | Work::Changes { .. } => bail!("no slices are made of this case"),
    }
    Ok(words)
}

fn samples(work: Work, report: &Value) -> Result<Samples> {
    Ok(match work {
        Work::Transfer { .. } => {
            let ways = ["/upload", "/download"]
                .map(|way| number(report, &format!("{way}/gbit_per_second")));
            let [up, down] = ways;
            vec![(Metric::GbitPerSecond, up? + down?)]
        }
        Work::Echo { .. } => {
            let mut samples = vec![(
                Metric::RoundTripsPerSecond,
                number(report, "/round_trips/per_second")?,
            )];
            for (metric, field) in Metric::LATENCIES
                .into_iter()
                .zip(["p50", "p90", "p99", "p99_9"])
            {
                samples.push((
                    metric,
                    number(report, &format!("/round_trips/latency/{field}"))?,
                ));
            }
            samples
        }
        Work::Connect { .. } => vec![
            (
                Metric::ConnectionsPerSecond,
                number(report, "/connections/per_second")?,
            ),
            (
                Metric::LatencyP50,
                number(report, "/connections/answer/p50")?,
            ),
            (
                Metric::LatencyP99,
                number(report, "/connections/answer/p99")?,
            ),
        ],
        Work::Idle { .. } | Work::Changes { .. } => Vec::new(),
    })
}

/// The gateway's device on which the payload comes in.
fn sender(work: Work) -> Option<&'static str> {
    match work {
        Work::Transfer {
            mode: "download", ..
        } => Some("server0"),
        Work::Transfer { mode: "upload", .. } => Some("client"),
        _ => None,
    }
}

/// Packets a second while the throughput was measured: those of the whole run were counted, and carried all
/// of its bytes.
fn rate_of_packets(
    samples: &Samples,
    report: &Value,
    packets: u64,
) -> Result<Option<(Metric, f64)>> {
    let bytes = number(report, "/upload/bytes")? + number(report, "/download/bytes")?;
    let gbit = samples
        .iter()
        .find(|(metric, _)| *metric == Metric::GbitPerSecond);
    Ok(gbit.filter(|_| bytes > 0.0).map(|(_, gbit)| {
        #[expect(clippy::cast_precision_loss, reason = "a slice has far fewer packets")]
        let packets = packets as f64;
        (Metric::PacketsPerSecond, gbit * 1e9 / 8.0 / bytes * packets)
    }))
}

/// Processor time for what was done: of the whole run, like the time itself.
fn cost(work: Work, report: &Value, worked: f64) -> Result<Option<(Metric, f64)>> {
    Ok(match work {
        Work::Transfer { .. } => {
            let bytes = number(report, "/upload/bytes")? + number(report, "/download/bytes")?;
            (bytes > 0.0).then(|| (Metric::CpuPer100Gbit, worked / (bytes * 8.0 / 1e11)))
        }
        Work::Connect { .. } => {
            let opened = number(report, "/connections/opened")?;
            (opened > 0.0).then(|| (Metric::CpuPerConnection, worked * 1e6 / opened))
        }
        Work::Echo { .. } | Work::Idle { .. } | Work::Changes { .. } => None,
    })
}

fn number(report: &Value, pointer: &str) -> Result<f64> {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.with_context(|| format!("the client's report has no {pointer}"))
}

/// The client's own words, shortest form.
pub(crate) fn fault(result: &bench::BenchResult) -> String {
    let errors = serde_json::from_str::<Value>(&result.output).ok();
    let first = errors
        .as_ref()
        .and_then(|report| report.pointer("/errors/0/text")?.as_str());
    let said = first.or_else(|| result.errors.lines().find(|line| !line.trim().is_empty()));
    format!("the client failed: {}", said.unwrap_or("it said nothing"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{cost, rate_of_packets, samples};
    use crate::case::Work;
    use crate::metric::Metric;

    #[test]
    fn cost_is_of_the_bytes_of_the_whole_run() {
        let work = Work::Transfer {
            mode: "download",
            streams: 1,
        };
        let report = json!({"upload": {"bytes": 0}, "download": {"bytes": 1_250_000_000}});
        assert_eq!(
            cost(work, &report, 0.5).unwrap(),
            Some((Metric::CpuPer100Gbit, 5.0))
        );
    }

    #[test]
    fn packets_come_as_fast_as_their_bytes() {
        let report = json!({"upload": {"bytes": 3000}, "download": {"bytes": 0}});
        let gbit = vec![(Metric::GbitPerSecond, 0.012)];
        // 1,500 bytes each, and 1.5 million bytes a second.
        assert_eq!(
            rate_of_packets(&gbit, &report, 2).unwrap(),
            Some((Metric::PacketsPerSecond, 1000.0))
        );
    }

    #[test]
    fn a_run_that_moved_nothing_has_no_cost() {
        let report = json!({"connections": {"opened": 0}});
        assert_eq!(
            cost(Work::Connect { dialers: 1 }, &report, 0.5).unwrap(),
            None
        );
    }

    #[test]
    fn a_report_without_its_figure_is_an_error() {
        assert!(samples(Work::Connect { dialers: 1 }, &json!({})).is_err());
    }
}

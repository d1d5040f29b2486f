//! A run for people: a head, a line a second with a bar, a table at the end.

use super::super::format::{bytes, count};
use super::super::output::table;
use crate::bench::client::{Mode, Settings};
use crate::bench::report::{Interval, Percentiles, Report, Transfer};

/// What is about to happen.
pub(super) fn head(settings: &Settings) -> String {
    let streams = settings.streams;
    let what = match settings.mode {
        Mode::Connect => format!("{streams} dialing at once"),
        Mode::Idle => format!("{streams} held"),
        _ => count(streams.into(), "stream"),
    };
    let rate = settings
        .rate
        .map_or_else(String::new, |rate| format!(", {rate} a second"));
    let long = match (settings.duration, settings.bytes) {
        (Some(duration), _) => humantime::format_duration(duration).to_string(),
        (None, Some(each)) => format!("{} each", bytes(each)),
        (None, None) => "to the end".to_owned(),
    };
    let inside = if settings.tls { "TLS" } else { "plain bytes" };
    format!(
        "{} to {} as {}: {what}{rate}, {long}, hello {}, then {inside}",
        settings.mode.name(),
        settings.target,
        settings.name,
        settings.shape.name()
    )
}

/// The lines of progress; each bar is relative to the best line so far.
#[derive(Debug)]
pub(super) struct Progress {
    mode: Mode,
    best: f64,
    full: &'static str,
    empty: &'static str,
}

const BAR: usize = 24;

impl Progress {
    pub(super) const fn new(mode: Mode, terminal: bool) -> Self {
        let (full, empty) = if terminal { ("█", "░") } else { ("#", ".") };
        Self {
            mode,
            best: 0.0,
            full,
            empty,
        }
    }

    pub(super) fn line(&mut self, interval: &Interval) -> String {
        let (value, text) = self.value(interval);
        self.best = self.best.max(value);
        let share = if self.best > 0.0 {
            value / self.best
        } else {
            0.0
        };
        let filled = (0..BAR).filter(|&n| position(n) < share).count();
        let bar = self.full.repeat(filled) + &self.empty.repeat(BAR - filled);
        let note = if interval.warm_up { "  warm-up" } else { "" };
        format!("{:>6.1} s  {bar}  {text}{note}", interval.at)
    }

    fn value(&self, interval: &Interval) -> (f64, String) {
        let (up, down) = (
            interval.upload_gbit_per_second,
            interval.download_gbit_per_second,
        );
        let rate = f64::from(u32::try_from(interval.done).unwrap_or(u32::MAX)) / interval.seconds;
        match self.mode {
            Mode::Upload => (up, format!("{up:.2} Gbit/s up")),
            Mode::Download => (down, format!("{down:.2} Gbit/s down")),
            Mode::Both => (
                up + down,
                format!("{up:.2} Gbit/s up, {down:.2} Gbit/s down"),
            ),
            Mode::Echo | Mode::Mixed => (rate, format!("{rate:.0} round trips/s")),
            Mode::Connect => (rate, format!("{rate:.0} connections/s")),
            Mode::Idle => {
                let held = f64::from(u32::try_from(interval.held).unwrap_or(u32::MAX));
                (held, format!("{held:.0} connections held"))
            }
        }
    }
}

/// The share from which on cell `n` of the bar is filled.
fn position(n: usize) -> f64 {
    (f64::from(u32::try_from(n).unwrap_or(u32::MAX)) + 0.5)
        / f64::from(u32::try_from(BAR).unwrap_or(u32::MAX))
}

/// The result.
pub(super) fn report(report: &Report) -> String {
    let mut text = format!(
        "\n{} through {} for {}, measured for {:.1} s (hello of {} bytes{})\n\n",
        report.mode,
        report.address,
        report.name,
        report.seconds,
        report.hello_bytes,
        if report.tls { ", then TLS" } else { "" }
    );
    text += &transfers(report);
    text += &counts(report);
    text += &latencies(report);
    let wrong = report.errors.len();
    if wrong == 0 {
        text += "\nevery byte was checked at both ends: all right\n";
    } else {
        text += "\nNOT ALL RIGHT: see the errors\n";
    }
    text
}

fn transfers(report: &Report) -> String {
    let row = |name: &str, transfer: &Transfer| {
        (transfer.bytes > 0 && report.idle.is_none()).then(|| {
            [
                name.to_owned(),
                bytes(transfer.bytes),
                format!("{:.3}", transfer.gbit_per_second),
                transfer
                    .retransmits
                    .map_or_else(String::new, |count| count.to_string()),
            ]
        })
    };
    let rows: Vec<_> = [
        row("upload", &report.upload),
        row("download", &report.download),
    ]
    .into_iter()
    .flatten()
    .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(["DIRECTION", "BYTES", "GBIT/S", "RETRANSMITS"], rows) + "\n"
}

fn counts(report: &Report) -> String {
    let mut lines = Vec::new();
    let offered = |rate: Option<f64>| {
        rate.map_or_else(String::new, |rate| {
            format!(" of {rate:.1} a second offered")
        })
    };
    if let Some(trips) = &report.round_trips {
        let (count, rate) = (trips.count, trips.per_second);
        let offered = offered(trips.offered_per_second);
        lines.push(format!(
            "round trips   {count}, {rate:.1} a second{offered}"
        ));
    }
    let connections = &report.connections;
    let (opened, failed) = (connections.opened, connections.failed);
    let rate = connections
        .per_second
        .map_or_else(String::new, |rate| format!(", {rate:.1} a second"));
    let offered = offered(connections.offered_per_second);
    lines.push(format!(
        "connections   {opened} opened, {failed} failed{rate}{offered}"
    ));
    if let Some(idle) = &report.idle {
        lines.push(format!(
            "idle          {} held to the end, {} lost",
            idle.held, idle.lost
        ));
    }
    lines.join("\n") + "\n\n"
}

fn latencies(report: &Report) -> String {
    let mut rows = Vec::new();
    if let Some(trips) = &report.round_trips {
        rows.push(row("round trip", &trips.latency));
        if trips.sizes.len() > 1 {
            let of_size = |size: &crate::bench::report::Size| {
                row(&format!("- of {}", bytes(size.bytes as u64)), &size.latency)
            };
            rows.extend(trips.sizes.iter().map(of_size));
        }
    }
    if let Some(idle) = &report.idle {
        rows.push(row("after idling", &idle.latency));
    }
    rows.push(row("TCP connect", &report.connections.tcp));
    rows.push(row("answer", &report.connections.answer));
    let headers = [
        "MICROSECONDS",
        "MIN",
        "MEAN",
        "P50",
        "P90",
        "P99",
        "P99.9",
        "P99.99",
        "MAX",
    ];
    table(headers, rows)
}

fn row(name: &str, found: &Percentiles) -> [String; 9] {
    let Percentiles {
        min,
        mean,
        p50,
        p90,
        p99,
        p99_9,
        p99_99,
        max,
    } = found;
    // Four digits and more need no decimal, and eight columns fit a usual terminal.
    let shown = |value: &f64| {
        if *value < 1000.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        }
    };
    [
        name.to_owned(),
        shown(min),
        shown(mean),
        shown(p50),
        shown(p90),
        shown(p99),
        shown(p99_9),
        shown(p99_99),
        shown(max),
    ]
}

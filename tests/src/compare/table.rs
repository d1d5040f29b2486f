//! The report as Markdown, for people and for a README.

use std::fmt::Write as _;

use crate::case::Case;
use crate::metric::Metric;
use crate::report::{Report, Row};

/// A table of each case: targets down, metrics across.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::from("# culvert beside routing and its peers\n\n");
    let line = |text: &mut String, words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(&mut text, &report.machine.line());
    line(&mut text, &report.machine.settings());
    line(&mut text, "");
    line(
        &mut text,
        &format!(
            "Client, gateway and server share this machine. IP{}, {} slices of {} s of each target in each case, each \
             between two of plain routing. In brackets: the median ratio to routing, and where it lies with 95 % \
             confidence.",
            report.family, report.pairs, report.slice_seconds
        ),
    );
    if report.machine.busy_before > NOISE {
        line(
            &mut text,
            &format!(
                "\n**The machine was not quiet**: {:.2} processors were busy before anything was measured.",
                report.machine.busy_before
            ),
        );
    }
    for case in &report.cases {
        let rows: Vec<&Row> = report
            .rows
            .iter()
            .filter(|row| row.case == case.name)
            .collect();
        let _written = write!(
            text,
            "\n## {}: {}\n\n{}",
            case.name,
            case.title,
            table(&rows)
        );
    }
    text.push_str(&gates(report));
    text.push_str("\n## Versions\n\n");
    for target in &report.targets {
        let version = target.version.as_deref().unwrap_or("not to be run");
        line(&mut text, &format!("- {}: {version}", target.name));
    }
    text
}

/// Processors that may be busy with something else before that is worth a word.
const NOISE: f64 = 0.1;

fn gates(report: &Report) -> String {
    let mut text = String::new();
    if !report.gates.is_empty() {
        text.push_str("\n## Gates\n\n");
    }
    for gate in &report.gates {
        let _written = writeln!(text, "- {:?}: {}: {}", gate.verdict, gate.gate, gate.why);
    }
    text
}

fn table(rows: &[&Row]) -> String {
    let mut metrics: Vec<Metric> = rows
        .iter()
        .filter_map(|row| Metric::named(row.metric?))
        .collect();
    metrics.sort_unstable();
    metrics.dedup();
    let mut text = String::from("| target |");
    for metric in &metrics {
        let _written = write!(text, " {} |", heading(*metric));
    }
    text.push_str(" errors |\n|---|");
    text.push_str(&"---:|".repeat(metrics.len()));
    text.push_str("---|\n");
    let mut targets: Vec<&str> = Vec::new();
    for row in rows {
        if !targets.contains(&row.target.as_str()) {
            targets.push(&row.target);
        }
    }
    for target in targets {
        let of = |metric: Metric| {
            rows.iter()
                .find(|row| row.target == target && row.metric == Some(metric.name()))
        };
        let _written = write!(text, "| {target} |");
        for metric in &metrics {
            let cell = of(*metric).map_or_else(|| "-".to_owned(), |row| cell(row));
            let _written = write!(text, " {cell} |");
        }
        let errors = rows
            .iter()
            .find(|row| row.target == target)
            .map(|row| row.errors.join("; "));
        // A bar would end the cell.
        let errors = errors
            .unwrap_or_default()
            .replace('|', "/")
            .replace('\n', " ");
        let _written = writeln!(text, " {errors} |");
    }
    text
}

fn cell(row: &Row) -> String {
    let median = row.median.map_or_else(|| "-".to_owned(), figure);
    match (row.ratio_to_routing, row.ratio_low, row.ratio_high) {
        (Some(ratio), Some(low), Some(high)) if row.target != "routing" => {
            format!("{median} ({ratio:.2}; {low:.2} to {high:.2})")
        }
        _ => median,
    }
}

fn heading(metric: Metric) -> &'static str {
    match metric {
        Metric::GbitPerSecond => "Gbit/s",
        Metric::PacketsPerSecond => "packets/s",
        Metric::CpuPer100Gbit => "CPU s per 100 Gbit",
        Metric::RoundTripsPerSecond => "round trips/s",
        Metric::LatencyP50 => "p50 us",
        Metric::LatencyP90 => "p90 us",
        Metric::LatencyP99 => "p99 us",
        Metric::LatencyP999 => "p99.9 us",
        Metric::ConnectionsPerSecond => "connections/s",
        Metric::CpuPerConnection => "CPU us per connection",
        Metric::Resident => "resident bytes per connection",
        Metric::Slab => "slab bytes per connection, whole host",
        Metric::ApplySeconds => "seconds",
    }
}

/// A number with three digits that matter.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        grouped(value)
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Every target and case, for `--list`.
pub(crate) fn list(targets: &[String], cases: &[Case]) -> String {
    let mut text = String::from("targets\n  routing\n");
    for target in targets {
        let _written = writeln!(text, "  {target}");
    }
    text.push_str("cases\n");
    for case in cases {
        let quick = if case.quick { " (quick)" } else { "" };
        let _written = writeln!(text, "  {:<12} {}{quick}", case.name, case.title);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn figures_have_three_digits_and_no_more() {
        let figures = [1_234_567.0, 999.6, 42.123, 1.234, 0.0567, -1234.0].map(figure);
        assert_eq!(
            figures,
            ["1,234,567", "1,000", "42.1", "1.23", "0.0567", "-1,234"]
        );
    }
}

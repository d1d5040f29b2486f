//! The plots, each as SVG and PNG: throughput, processor time, latencies.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::{IntoLogRange as _, LineSeries};
use plotters::style::{BLACK, Color as _, FontStyle, RGBColor, WHITE, register_font};

use crate::case::{self, Case, Work};
use crate::metric::Metric;
use crate::report::{Report, Row};

/// Debian's package fonts-dejavu-core has it; `cargo xtask bench` installs that.
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

/// The name that the plots ask for; an SVG is shown in whatever its viewer has under it.
const FAMILY: &str = "sans-serif";

/// Of a plot, in pixels.
const SIZE: (u32, u32) = (1280, 640);

/// Room for the longest name of a target.
const LEGEND_WIDTH: u32 = 170;

/// Where the legend begins, and how far its lines are apart.
const LEGEND_TOP: i32 = 24;
const LEGEND_LINE: i32 = 24;

/// What a plot is made of.
struct Plot<'a> {
    file: &'static str,
    title: String,
    panels: Vec<Panel<'a>>,
}

/// One diagram: bars by case, or lines by percentile.
enum Panel<'a> {
    Bars {
        cases: Vec<&'static str>,
        metric: Metric,
        unit: &'static str,
    },
    Latencies {
        case: &'a str,
        title: &'a str,
    },
}

type Area<B> = DrawingArea<B, Shift>;

/// A percentile by its number, and the microseconds that belong to it.
type Point = (f64, f64);

/// Draws what there are figures for, and returns the names of the files.
pub(crate) fn draw(report: &Report, folder: &Path) -> Result<Vec<String>> {
    let font = fs::read(FONT)
        .with_context(|| format!("the plots need the font {FONT}: install fonts-dejavu-core"))?;
    // The library keeps fonts for the life of the process, and this one ends soon.
    register_font(
        FAMILY,
        FontStyle::Normal,
        Box::leak(font.into_boxed_slice()),
    )
    .map_err(|_invalid| anyhow!("{FONT} is no font"))?;
    let mut files = Vec::new();
    for plot in plots(report) {
        let [svg, png] = ["svg", "png"].map(|ending| format!("{}.{ending}", plot.file));
        let path = folder.join(&svg);
        let drawn = render(
            &SVGBackend::new(&path, SIZE).into_drawing_area(),
            &plot,
            report,
        );
        drawn.with_context(|| format!("cannot draw {svg}"))?;
        let path = folder.join(&png);
        let drawn = render(
            &BitMapBackend::new(&path, SIZE).into_drawing_area(),
            &plot,
            report,
        );
        drawn.with_context(|| format!("cannot draw {png}"))?;
        files.extend([svg, png]);
    }
    Ok(files)
}

/// The plots that there are figures for.
fn plots(report: &Report) -> Vec<Plot<'_>> {
    let bars = |file, title: &str, metric, unit| Plot {
        file,
        title: title.to_owned(),
        panels: by_path(&measured(report, metric))
            .map(|cases| Panel::Bars {
                cases,
                metric,
                unit,
            })
            .collect(),
    };
    let echo =
        |name: &str| Case::named(name).is_some_and(|case| matches!(case.work, Work::Echo { .. }));
    let latencies = report.cases.iter().filter(|case| {
        echo(case.name) && measured(report, Metric::LatencyP50).contains(&case.name)
    });
    let latencies = latencies.map(|case| Panel::Latencies {
        case: case.name,
        title: case.title,
    });
    let plots = [
        bars(
            "throughput",
            "Throughput (more is better)",
            Metric::GbitPerSecond,
            "Gbit/s",
        ),
        bars(
            "cpu",
            "Processor time of the whole host (less is better)",
            Metric::CpuPer100Gbit,
            "s per 100 Gbit",
        ),
        Plot {
            file: "latency",
            title: "Latency of a round trip (less is better)".to_owned(),
            panels: latencies.collect(),
        },
    ];
    plots
        .into_iter()
        .filter(|plot| !plot.panels.is_empty())
        .collect()
}

/// Cases of one path each, and no path without any: on one scale, a far path's figures would be a stripe
/// beside those of a near one.
fn by_path(cases: &[&'static str]) -> impl Iterator<Item = Vec<&'static str>> {
    use case::Path::{Far, Near, Plain};
    let of = |path| {
        let on_it = |name: &&str| Case::named(name).is_some_and(|case| case.path == path);
        cases.iter().copied().filter(on_it).collect::<Vec<_>>()
    };
    [Near, Plain, Far]
        .map(of)
        .into_iter()
        .filter(|cases| !cases.is_empty())
}

/// The cases that have that metric.
fn measured(report: &Report, metric: Metric) -> Vec<&'static str> {
    let has = |name: &str| {
        report
            .rows
            .iter()
            .any(|row| row.case == name && row.metric == Some(metric.name()))
    };
    report
        .cases
        .iter()
        .map(|case| case.name)
        .filter(|name| has(name))
        .collect()
}

fn render<B: DrawingBackend>(area: &Area<B>, plot: &Plot<'_>, report: &Report) -> Result<()> {
    area.fill(&WHITE).map_err(wrong)?;
    let area = area.margin(10, 0, 0, 0);
    let area = area.titled(&plot.title, (FAMILY, 26)).map_err(wrong)?;
    let (diagrams, beside) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    legend(&beside, report)?;
    let panels = diagrams.split_evenly((1, plot.panels.len()));
    for (panel, area) in plot.panels.iter().zip(&panels) {
        match panel {
            Panel::Bars {
                cases,
                metric,
                unit,
            } => bars(area, report, cases, *metric, unit)?,
            Panel::Latencies { case, title } => latencies(area, report, case, title)?,
        }
    }
    area.present().map_err(wrong)
}

/// A group of bars for each case, and a whisker from the lowest sample to the highest.
fn bars<B: DrawingBackend>(
    area: &Area<B>,
    report: &Report,
    cases: &[&str],
    metric: Metric,
    unit: &str,
) -> Result<()> {
    let targets = targets(report);
    let rows = report
        .rows
        .iter()
        .filter(|row| row.metric == Some(metric.name()) && cases.contains(&row.case));
    let top = rows
        .flat_map(|row| &row.samples)
        .copied()
        .fold(0.0, f64::max);
    let groups = span(cases.len());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..groups, 0.0..(top * 1.05).max(f64::MIN_POSITIVE))
        .map_err(wrong)?;
    let label = |place: &f64| {
        let index = cases
            .iter()
            .zip(0_u32..)
            .find(|(_, n)| (f64::from(*n) + 0.5 - place).abs() < 0.01);
        index.map_or_else(String::new, |(case, _)| (*case).to_owned())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(cases.len() * 2 + 1)
        .x_label_formatter(&label)
        .y_label_formatter(&axis)
        .light_line_style(WHITE)
        .y_desc(unit)
        .label_style((FAMILY, 16))
        .draw()
        .map_err(wrong)?;
    let width = 0.8 / span(targets.len());
    for (target, n) in targets.iter().zip(0_u32..) {
        let color = color(target, n);
        let left = |group: u32| f64::from(group) + 0.1 + width * f64::from(n);
        let found: Vec<(u32, &Row)> = cases
            .iter()
            .zip(0_u32..)
            .filter_map(|(case, group)| Some((group, report.row(target, case, metric)?)))
            .collect();
        let rectangles = found.iter().filter_map(|(group, row)| {
            let left = left(*group);
            let corners = [(left, 0.0), (left + width * 0.9, row.median?)];
            Some(Rectangle::new(corners, color.filled()))
        });
        chart.draw_series(rectangles).map_err(wrong)?;
        let whiskers = found.iter().map(|(group, row)| {
            let middle = left(*group) + width * 0.45;
            let (low, high) = extent(&row.samples);
            PathElement::new([(middle, low), (middle, high)], BLACK.stroke_width(1))
        });
        chart.draw_series(whiskers).map_err(wrong)?;
    }
    Ok(())
}

/// A line for each target: from the usual round trip to the rare one.
fn latencies<B: DrawingBackend>(
    area: &Area<B>,
    report: &Report,
    case: &str,
    title: &str,
) -> Result<()> {
    let targets = targets(report);
    let lines: Vec<(u32, &str, Vec<Point>)> = targets
        .iter()
        .zip(0_u32..)
        .map(|(target, n)| (n, *target, line(report, target, case)))
        .filter(|(_, _, line)| !line.is_empty())
        .collect();
    let values: Vec<f64> = lines
        .iter()
        .flat_map(|(_, _, line)| line)
        .map(|(_, value)| *value)
        .collect();
    let (low, high) = extent(&values);
    let (low, high) = ((low * 0.7).max(1.0), (high * 1.5).max(10.0));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, (FAMILY, 18))
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(-0.3..3.3, (low..high).log_scale())
        .map_err(wrong)?;
    let names = ["p50", "p90", "p99", "p99.9"];
    let label = |place: &f64| {
        let index = names
            .iter()
            .zip(0_u32..)
            .find(|(_, n)| (f64::from(*n) - place).abs() < 0.01);
        index.map_or_else(String::new, |(name, _)| (*name).to_owned())
    };
    chart
        .configure_mesh()
        .x_labels(12)
        .x_label_formatter(&label)
        .y_label_formatter(&axis)
        .y_desc("microseconds")
        .disable_x_mesh()
        .label_style((FAMILY, 15))
        .draw()
        .map_err(wrong)?;
    for (n, target, line) in lines {
        let color = color(target, n);
        chart
            .draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))
            .map_err(wrong)?;
        let points = line
            .into_iter()
            .map(|point| Circle::new(point, 3, color.filled()));
        chart.draw_series(points).map_err(wrong)?;
    }
    Ok(())
}

/// Which colour is whose, beside the diagrams: inside it would hide what it explains.
fn legend<B: DrawingBackend>(area: &Area<B>, report: &Report) -> Result<()> {
    for ((target, n), line) in targets(report).into_iter().zip(0_u32..).zip(0_i32..) {
        let top = LEGEND_TOP + line * LEGEND_LINE;
        let square = [(8, top), (22, top + 14)];
        area.draw(&Rectangle::new(square, color(target, n).filled()))
            .map_err(wrong)?;
        let text = Text::new(target.to_owned(), (30, top), (FAMILY, 15));
        area.draw(&text).map_err(wrong)?;
    }
    Ok(())
}

/// The medians of a target's percentiles, by their number.
fn line(report: &Report, target: &str, case: &str) -> Vec<Point> {
    let median = |metric| {
        report
            .row(target, case, metric)?
            .median
            .filter(|&median| median > 0.0)
    };
    let points = Metric::LATENCIES.into_iter().zip(0_u32..);
    points
        .filter_map(|(metric, n)| Some((f64::from(n), median(metric)?)))
        .collect()
}

/// Routing, then the contenders in the order of the report.
fn targets(report: &Report) -> Vec<&str> {
    let contenders = report.targets.iter().map(|target| target.name.as_str());
    ["routing"].into_iter().chain(contenders).collect()
}

/// Grey for the ceiling, green and blue for culvert, warm colours for the others.
fn color(target: &str, n: u32) -> RGBColor {
    let pick = |colors: &[RGBColor]| {
        let place = usize::try_from(n).unwrap_or_default() % colors.len();
        colors.get(place).copied().unwrap_or(BLACK)
    };
    if target == "routing" {
        return RGBColor(120, 120, 120);
    }
    if target.starts_with("culvert-") {
        return pick(&[
            RGBColor(20, 60, 120),
            RGBColor(0, 130, 90),
            RGBColor(30, 110, 200),
        ]);
    }
    pick(&[
        RGBColor(200, 60, 40),
        RGBColor(230, 150, 30),
        RGBColor(150, 70, 150),
        RGBColor(160, 110, 60),
        RGBColor(210, 90, 130),
    ])
}

fn extent(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    (if low.is_finite() { low } else { 0.0 }, high)
}

/// The number beside an axis: they are far enough apart for two digits.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the library passes a reference"
)]
fn axis(value: &f64) -> String {
    if value.abs() < 1.0 && *value != 0.0 {
        format!("{value:.2}")
    } else if value.abs() < 10.0 && value.fract() != 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

fn span(count: usize) -> f64 {
    u32::try_from(count).map_or(1.0, f64::from).max(1.0)
}

/// The library's errors borrow from the backend; their words are enough.
fn wrong(error: impl std::fmt::Display) -> Error {
    anyhow!("{error}")
}

//! What a comparison found: the object in `report.json`, documented in `docs/compare.md`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::gate::Finding;
use crate::host::Machine;
use crate::metric::Metric;
use crate::statistics::{estimate, median};

/// Version of the layout of the report.
pub(crate) const SCHEMA: u32 = 1;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// Seconds since 1970.
    pub(crate) started: u64,
    pub(crate) seconds: f64,
    pub(crate) family: &'static str,
    pub(crate) pairs: usize,
    pub(crate) slice_seconds: f64,
    pub(crate) machine: Machine,
    pub(crate) targets: Vec<Contender>,
    pub(crate) cases: Vec<Described>,
    pub(crate) rows: Vec<Row>,
    pub(crate) gates: Vec<Finding>,
}

/// A target, and what it said of itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Contender {
    pub(crate) name: String,
    /// Null if the program could not be run.
    pub(crate) version: Option<String>,
}

/// A case in words.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
}

/// One target, case and metric; or, with no metric, why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) target: String,
    pub(crate) case: &'static str,
    pub(crate) metric: Option<&'static str>,
    pub(crate) samples: Vec<f64>,
    /// Of each sample, the mean of the slices of routing before and after it.
    pub(crate) routing: Vec<f64>,
    pub(crate) median: Option<f64>,
    pub(crate) ratio_to_routing: Option<f64>,
    pub(crate) ratio_low: Option<f64>,
    pub(crate) ratio_high: Option<f64>,
    /// What went wrong, each with the round; the samples of such rounds are missing.
    pub(crate) errors: Vec<String>,
}

/// Samples of one target in one case, as they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    found: BTreeMap<Metric, Vec<Pair>>,
    errors: Vec<String>,
}

/// A sample and that of routing at the same time, where there is one.
#[derive(Clone, Copy, Debug)]
struct Pair {
    sample: f64,
    routing: Option<f64>,
}

impl Series {
    pub(crate) fn add(&mut self, metric: Metric, sample: f64, routing: Option<f64>) {
        self.found
            .entry(metric)
            .or_default()
            .push(Pair { sample, routing });
    }

    pub(crate) fn fail(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Whether it went wrong so often that another try would only take time.
    pub(crate) fn hopeless(&self) -> bool {
        self.errors.len() >= 2
    }

    /// The rows of this target and case: at least one, come what may.
    pub(crate) fn rows(&self, target: &str, case: &'static str) -> Vec<Row> {
        if self.found.is_empty() {
            return vec![self.row(target, case, None, &[])];
        }
        let rows = self.found.iter();
        rows.map(|(metric, pairs)| self.row(target, case, Some(*metric), pairs))
            .collect()
    }

    fn row(&self, target: &str, case: &'static str, metric: Option<Metric>, pairs: &[Pair]) -> Row {
        let samples: Vec<f64> = pairs.iter().map(|pair| pair.sample).collect();
        let routing: Vec<f64> = pairs.iter().filter_map(|pair| pair.routing).collect();
        let ratios: Vec<f64> = pairs
            .iter()
            .filter_map(|pair| Some(pair.sample / pair.routing.filter(|&routing| routing > 0.0)?))
            .collect();
        let ratio = estimate(&ratios);
        Row {
            target: target.to_owned(),
            case,
            metric: metric.map(Metric::name),
            median: median(&samples),
            samples,
            routing,
            ratio_to_routing: ratio.map(|ratio| ratio.median),
            ratio_low: ratio.map(|ratio| ratio.low),
            ratio_high: ratio.map(|ratio| ratio.high),
            errors: self.errors.clone(),
        }
    }
}

impl Report {
    /// The row of that target, case and metric.
    pub(crate) fn row(&self, target: &str, case: &str, metric: Metric) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.target == target && row.case == case && row.metric == Some(metric.name())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Series;
    use crate::metric::Metric;

    #[test]
    fn a_ratio_is_that_of_each_pair_and_not_of_the_medians() {
        let mut series = Series::default();
        for (sample, routing) in [(1.0, 2.0), (10.0, 20.0), (4.0, 8.0)] {
            series.add(Metric::GbitPerSecond, sample, Some(routing));
        }
        let row = series.rows("copy", "down1").remove(0);
        assert_eq!(row.median, Some(4.0));
        assert_eq!(
            (row.ratio_low, row.ratio_to_routing, row.ratio_high),
            (Some(0.5), Some(0.5), Some(0.5))
        );
    }

    #[test]
    fn a_target_that_never_ran_has_a_row_that_says_why() {
        let mut series = Series::default();
        series.fail("is not installed".to_owned());
        let rows = series.rows("envoy", "down1");
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].metric, rows[0].errors.len()), (None, 1));
    }

    #[test]
    fn without_routing_there_is_no_ratio() {
        let mut series = Series::default();
        series.add(Metric::ApplySeconds, 0.1, None);
        assert_eq!(
            series.rows("nginx", "changes1000")[0].ratio_to_routing,
            None
        );
    }
}

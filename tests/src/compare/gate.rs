//! Gates: ratios to plain routing that a target must not miss.

use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};
use serde::Serialize;

use crate::case::Case;
use crate::metric::Metric;
use crate::report::Row;

/// One bound, given on the command line as `TARGET:CASE:METRIC:RATIO`.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    target: String,
    case: &'static str,
    metric: Metric,
    ratio: f64,
}

/// What a gate found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) gate: String,
    pub(crate) verdict: Verdict,
    /// In words.
    pub(crate) why: String,
}

/// Whether a gate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The median is on the right side.
    Held,
    /// The median is on the wrong side, but the interval is not.
    Undecided,
    /// The whole interval is on the wrong side, or there is none.
    Failed,
}

impl FromStr for Gate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let [target, case, metric, ratio] = text.split(':').collect::<Vec<_>>()[..] else {
            bail!("a gate is TARGET:CASE:METRIC:RATIO, such as culvert-copy:down1:gbit_per_s:0.3");
        };
        let found = Case::named(case).with_context(|| format!("no case is named {case}"))?;
        let metric =
            Metric::named(metric).with_context(|| format!("no metric is named {metric}"))?;
        let ratio = ratio
            .parse()
            .with_context(|| format!("{ratio} is no ratio"))?;
        Ok(Self {
            target: target.to_owned(),
            case: found.name,
            metric,
            ratio,
        })
    }
}

impl Gate {
    /// Holds the gate against what was measured.
    pub(crate) fn check(&self, rows: &[Row]) -> Finding {
        let metric = self.metric.name();
        let row = rows.iter().find(|row| {
            row.target == self.target && row.case == self.case && row.metric == Some(metric)
        });
        let found =
            row.and_then(|row| Some((row.ratio_low?, row.ratio_to_routing?, row.ratio_high?)));
        let (verdict, why) = match found {
            None => (Verdict::Failed, "was not measured".to_owned()),
            Some((low, median, high)) => (
                self.judge(low, median, high),
                format!("is {median:.3} ({low:.3} to {high:.3})"),
            ),
        };
        let bound = if self.metric.more_is_better() {
            "at least"
        } else {
            "at most"
        };
        Finding {
            gate: format!(
                "{} {} {metric} {bound} {} of routing",
                self.target, self.case, self.ratio
            ),
            verdict,
            why,
        }
    }

    fn judge(&self, low: f64, median: f64, high: f64) -> Verdict {
        let (right, missed) = if self.metric.more_is_better() {
            (median >= self.ratio, high < self.ratio)
        } else {
            (median <= self.ratio, low > self.ratio)
        };
        match (right, missed) {
            (true, _) => Verdict::Held,
            (false, true) => Verdict::Failed,
            (false, false) => Verdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, Verdict};

    #[test]
    fn a_gate_names_a_case_and_a_metric_that_exist() {
        for wrong in [
            "",
            "a:b",
            "copy:nowhere:gbit_per_s:1",
            "copy:down1:speed:1",
            "copy:down1:gbit_per_s:x",
        ] {
            assert!(wrong.parse::<Gate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_gate_fails_only_if_the_whole_interval_is_on_the_wrong_side() {
        let gate: Gate = "copy:down1:gbit_per_s:0.5".parse().unwrap();
        assert_eq!(gate.judge(0.3, 0.6, 0.9), Verdict::Held);
        assert_eq!(gate.judge(0.3, 0.4, 0.6), Verdict::Undecided);
        assert_eq!(gate.judge(0.3, 0.4, 0.49), Verdict::Failed);
    }

    #[test]
    fn of_latencies_less_is_better() {
        let gate: Gate = "copy:echo100:latency_p50_us:1.5".parse().unwrap();
        assert_eq!(gate.judge(1.0, 1.4, 1.6), Verdict::Held);
        assert_eq!(gate.judge(1.6, 1.7, 1.8), Verdict::Failed);
    }

    #[test]
    fn what_was_not_measured_fails() {
        let gate: Gate = "copy:down1:gbit_per_s:0.5".parse().unwrap();
        assert_eq!(gate.check(&[]).verdict, Verdict::Failed);
    }
}

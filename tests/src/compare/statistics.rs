//! Medians, and how far to believe them.
//!
//! Rates on a shared machine swing by half within a minute. A ratio of two neighbouring slices does
//! not: so ratios are what is compared, their median is told, and a bootstrap says how far it may be
//! off. No distribution is assumed.

/// Resamples of a bootstrap: enough for two digits of the ends of its interval.
const RESAMPLES: usize = 4000;

/// The share of resampled medians that lies inside the interval.
const CONFIDENCE: f64 = 0.95;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The middle of the values; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    middle(&sorted)
}

/// The median with its bootstrap interval: the same for the same values.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    let found = median(values)?;
    let mut random = fastrand::Rng::with_seed(values.len() as u64);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let resample: Vec<f64> = values
                .iter()
                .filter_map(|_| random.choice(values))
                .copied()
                .collect();
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Estimate {
        median: found,
        low: quantile(&medians, tail)?,
        high: quantile(&medians, 1.0 - tail)?,
    })
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(half - 1)?, upper))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index into some thousand values, rounded"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::{estimate, median};

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        let found = estimate(&[0.5; 7]).unwrap();
        assert_eq!((found.low, found.median, found.high), (0.5, 0.5, 0.5));
    }

    #[test]
    fn an_interval_holds_the_median_and_ignores_one_outlier() {
        let found = estimate(&[0.50, 0.51, 0.49, 0.52, 0.48, 0.50, 9.0]).unwrap();
        assert!(found.low <= found.median && found.median <= found.high);
        assert!(found.low >= 0.48 && found.high < 1.0, "{found:?}");
    }

    #[test]
    fn values_apart_make_a_wide_interval() {
        let found = estimate(&[0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.5]).unwrap();
        assert!(found.high - found.low > 0.3, "{found:?}");
    }
}

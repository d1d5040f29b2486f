//! What a run found: the object of `--json`, from which the tables are made too.
//!
//! The fields are documented in `docs/bench.md` and are part of the interface.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies in nanoseconds, three digits exact.
///
/// A histogram takes a hundred kilobytes; a stream that is one of thousands records one value.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    few: Vec<u64>,
    many: Option<Histogram<u64>>,
}

/// So many values are kept as they are.
const FEW: usize = 16;

impl Latencies {
    pub(super) fn record(&mut self, time: Duration) {
        self.record_nanoseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn record_nanoseconds(&mut self, time: u64) {
        if self.many.is_none() && self.few.len() < FEW {
            self.few.push(time);
            return;
        }
        let recorded = self.histogram().record(time);
        recorded.expect("a histogram that resizes holds any value");
    }

    /// Takes in the values of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        for &time in &other.few {
            self.record_nanoseconds(time);
        }
        if let Some(many) = &other.many {
            let added = self.histogram().add(many);
            added.expect("a histogram that resizes holds any other");
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.few.len() as u64 + self.many.as_ref().map_or(0, Histogram::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as a histogram, from now on.
    fn histogram(&mut self) -> &mut Histogram<u64> {
        let few = core::mem::take(&mut self.few);
        let many = self.many.get_or_insert_with(empty);
        for time in few {
            let recorded = many.record(time);
            recorded.expect("a histogram that resizes holds any value");
        }
        many
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are within what a histogram allows")
}

/// Everything that a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Version of culvert.
    pub(crate) culvert: &'static str,
    pub(crate) mode: &'static str,
    /// The address that was dialled last.
    pub(crate) address: String,
    pub(crate) name: String,
    pub(crate) hello: &'static str,
    pub(crate) hello_bytes: usize,
    pub(crate) tls: bool,
    pub(crate) streams: u32,
    /// What is measured: without warm-up, establishing and ending.
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) upload: Transfer,
    pub(crate) download: Transfer,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trips: Option<RoundTrips>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Idle>,
    pub(crate) connections: Connections,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) errors: Vec<Trouble>,
}

/// One direction.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Transfer {
    /// Bytes of payload that arrived and were right, of the whole run.
    pub(crate) bytes: u64,
    pub(crate) gbit_per_second: f64,
    /// Segments sent again by the end that sent the payload; none if it could not tell.
    pub(crate) retransmits: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RoundTrips {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    /// The rate asked for; none in a closed loop.
    pub(crate) offered_per_second: Option<f64>,
    pub(crate) latency: Percentiles,
    pub(crate) sizes: Vec<Size>,
}

/// Round trips of one size of message.
#[derive(Debug, Serialize)]
pub(crate) struct Size {
    pub(crate) bytes: usize,
    pub(crate) count: u64,
    pub(crate) latency: Percentiles,
}

#[derive(Debug, Serialize)]
pub(crate) struct Connections {
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// Opened per second of what is measured; only in mode `connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<f64>,
    /// The rate asked for; none in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered_per_second: Option<f64>,
    /// From dialling to the TCP connection with the gateway.
    pub(crate) tcp: Percentiles,
    /// From dialling (in an open loop: from when it was due) to the server's answer.
    pub(crate) answer: Percentiles,
}

#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    /// Connections that were still there at the end and answered.
    pub(crate) held: u64,
    pub(crate) lost: u64,
    /// The round trip at the end.
    pub(crate) latency: Percentiles,
}

/// Microseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) p99_99: f64,
    pub(crate) max: f64,
}

/// One line of progress.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Interval {
    /// Seconds from the start to the end of the interval.
    pub(crate) at: f64,
    /// Length of the interval.
    pub(crate) seconds: f64,
    pub(crate) warm_up: bool,
    pub(crate) upload_gbit_per_second: f64,
    pub(crate) download_gbit_per_second: f64,
    /// Round trips or new connections.
    pub(crate) done: u64,
    /// Connections held, in mode `idle`.
    pub(crate) held: u64,
}

/// What went wrong, and how often.
#[derive(Debug, Serialize)]
pub(crate) struct Trouble {
    /// The first stream that it happened to.
    pub(crate) stream: u32,
    pub(crate) count: u64,
    pub(crate) text: String,
    #[serde(skip)]
    pub(crate) unreachable: bool,
}

impl Percentiles {
    pub(super) fn of(latencies: &Latencies) -> Self {
        if latencies.is_empty() {
            return Self::default();
        }
        let mut all = Latencies::default();
        all.add(latencies);
        let all = all.histogram();
        let at = |quantile| microseconds(all.value_at_quantile(quantile));
        Self {
            min: microseconds(all.min()),
            mean: (all.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: microseconds(all.max()),
        }
    }
}

/// Two decimals of a microsecond: more is noise.
fn microseconds(nanoseconds: u64) -> f64 {
    (float(nanoseconds) / 10.0).round() / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a few digits of it are shown")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Three decimals.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

pub(super) fn gbit_per_second(bytes: u64, seconds: f64) -> f64 {
    per_second(bytes, seconds) * 8.0 / 1e9
}

pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        float(count) / seconds
    } else {
        0.0
    }
}

/// Adds an error to those seen: the same text counts once more.
pub(super) fn note(troubles: &mut Vec<Trouble>, stream: u32, error: &super::error::Error) {
    let mut text = error.to_string();
    let is_known = troubles.iter().any(|known| known.text == text);
    if !is_known && troubles.len() >= MOST_TROUBLES {
        // A broken network may find a new text for each connection.
        text = "errors of yet other kinds".to_owned();
    }
    match troubles.iter_mut().find(|known| known.text == text) {
        Some(known) => known.count += 1,
        None => troubles.push(Trouble {
            stream,
            count: 1,
            text,
            unreachable: error.is_unreachable(),
        }),
    }
}

const MOST_TROUBLES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_microseconds_and_empty_ones_zero() {
        let mut some = Latencies::default();
        assert!(Percentiles::of(&some).max.abs() < f64::EPSILON);
        for n in 1..=1000 {
            some.record(Duration::from_micros(n));
        }
        let found = Percentiles::of(&some);
        assert!((found.p50 - 500.0).abs() < 1.0, "{found:?}");
        assert!((found.p99_9 - 999.0).abs() < 1.5, "{found:?}");
        assert!((found.min - 1.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn few_values_and_many_are_counted_alike() {
        let mut all = Latencies::default();
        for count in [1, FEW, FEW + 1, 3] {
            let mut some = Latencies::default();
            (0..count).for_each(|_| some.record(Duration::from_micros(5)));
            assert_eq!(some.len(), count as u64);
            all.add(&some);
        }
        assert_eq!(all.len(), 2 * FEW as u64 + 5);
        assert!((Percentiles::of(&all).p99 - 5.0).abs() < 0.01);
    }
}

//! Passive health: when failed dials eject an endpoint, and when too few are left.
//!
//! The rules are those that users of Envoy behind Consul are used to: so many failed dials in a
//! row eject for a time that grows with each ejection; at most a share of the endpoints is
//! ejected at one time; below a share of usable ones, all are used. There is no periodic sweep:
//! everything follows from the time that the caller brings.

use std::time::{Duration, Instant};

use crate::control::snapshot::Health;

/// How many of `total` endpoints may be ejected at one time: the configured share, but at
/// least one.
pub(super) fn most_ejected(health: &Health, total: usize) -> usize {
    (total * usize::from(health.max_ejected_percent) / 100).max(1)
}

/// Whether so few of `total` endpoints are usable that ejections are overruled.
pub(super) fn is_panic(health: &Health, usable: usize, total: usize) -> bool {
    usable * 100 < total * usize::from(health.panic_percent)
}

/// What an endpoint's dials have shown.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Failed dials in a row since the last success or ejection.
    failures: u32,
    /// Ejections in short succession; the next one lasts so many times the base time, plus one.
    ejections: u32,
    /// End of the last ejection, which may be past.
    until: Option<Instant>,
    /// A success ended it before its time.
    cut_short: bool,
}

impl Record {
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn ejections(&self) -> u32 {
        self.ejections
    }

    /// The rest of the ejection, if one is running.
    pub(super) fn ejected_for(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.checked_duration_since(now)?;
        (!self.cut_short && !left.is_zero()).then_some(left)
    }

    /// Notes a failed dial; answers whether it ejects the endpoint.
    pub(super) fn failed(&mut self, health: &Health, may_eject: bool, now: Instant) -> bool {
        // Dialled in panic mode while ejected: it is out already.
        if self.ejected_for(now).is_some() {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if health.failures == 0 || self.failures < health.failures || !may_eject {
            return false;
        }
        self.forgive(health, now);
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        self.cut_short = false;
        let time = health.ejection_time.saturating_mul(self.ejections);
        self.until = now.checked_add(time.min(health.max_ejection_time));
        true
    }

    /// Notes a successful dial, which ends an ejection: there is no better proof.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        // The end itself stays: `forgive` counts from it.
        self.cut_short = true;
    }

    /// Takes one ejection off the count for each base time since the last one ended.
    fn forgive(&mut self, health: &Health, now: Instant) {
        let Some(good) = self
            .until
            .and_then(|until| now.checked_duration_since(until))
        else {
            return;
        };
        let periods = good
            .as_nanos()
            .checked_div(health.ejection_time.as_nanos())
            .unwrap_or(0);
        self.ejections = self
            .ejections
            .saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX));
    }
}

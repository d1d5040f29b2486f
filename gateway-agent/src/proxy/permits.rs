//! How many connections may be open at once: one visible number, no other cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Share of the limit, in percent, from which on the operator is warned.
const WARN_PERCENT: u64 = 80;

/// Share below which the next crossing is told again: connections that come and go around the
/// mark are one crossing.
const CALM_PERCENT: u64 = 70;

/// The limit and what is taken of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Permits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: AtomicU64,
    open: AtomicU64,
    /// Whether the mark was crossed, and not left well below since.
    warned: AtomicBool,
}

/// One connection's share; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
}

/// What became of the wish for a permit.
#[derive(Debug)]
pub enum Asked {
    /// Given.
    Given(Permit),
    /// Given, and with it the open connections crossed the warning mark.
    GivenNearLimit(Permit),
    /// All are taken.
    Refused,
}

impl Permits {
    /// Starts with none taken.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let inner = Inner {
            limit: AtomicU64::new(limit),
            open: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Changes the limit; connections above a lower one live on.
    pub fn set_limit(&self, limit: u64) {
        self.inner.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit in force.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.inner.limit.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.inner.open.load(Ordering::Relaxed)
    }

    /// Takes a share, if one is left.
    #[must_use]
    pub fn ask(&self) -> Asked {
        let limit = self.limit();
        let before = self.inner.open.fetch_add(1, Ordering::Relaxed);
        let permit = Permit {
            inner: Arc::clone(&self.inner),
        };
        if before >= limit {
            return Asked::Refused; // dropping `permit` gives the share back
        }
        let near = before + 1 >= share(limit, WARN_PERCENT);
        if near && !self.inner.warned.swap(true, Ordering::Relaxed) {
            return Asked::GivenNearLimit(permit);
        }
        Asked::Given(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let before = self.inner.open.fetch_sub(1, Ordering::Relaxed);
        let limit = self.inner.limit.load(Ordering::Relaxed);
        if before <= share(limit, CALM_PERCENT) {
            self.inner.warned.store(false, Ordering::Relaxed);
        }
    }
}

fn share(limit: u64, percent: u64) -> u64 {
    limit.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_shares_come_back() {
        let permits = Permits::new(2);
        let first = permits.ask();
        let second = permits.ask();
        assert!(!matches!(first, Asked::Refused) && !matches!(second, Asked::Refused));
        assert!(matches!(permits.ask(), Asked::Refused));
        drop(first);
        assert!(!matches!(permits.ask(), Asked::Refused));
    }

    #[test]
    fn crossing_four_fifths_is_told_once() {
        let permits = Permits::new(10);
        let all: Vec<_> = (0..10).map(|_| permits.ask()).collect();
        let near = all
            .iter()
            .filter(|asked| matches!(asked, Asked::GivenNearLimit(_)))
            .count();
        assert_eq!(near, 1);
        assert_eq!(permits.open(), 10);
    }

    #[test]
    fn coming_and_going_around_the_mark_is_one_crossing() {
        let permits = Permits::new(10);
        let near = |asked: &Asked| matches!(asked, Asked::GivenNearLimit(_));
        let mut held: Vec<_> = (0..7).map(|_| permits.ask()).collect();
        assert!(near(&permits.ask()));
        assert!(!near(&permits.ask()), "not well below in between");
        held.truncate(3);
        held.extend((3..7).map(|_| permits.ask()));
        assert!(near(&permits.ask()), "a new crossing");
    }
}

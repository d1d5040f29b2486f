//! How many connections may be open at once: one visible number, no other cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Share of the limit, in percent, from which on the operator is warned.
const WARN_PERCENT: u64 = 80;

/// The limit and what is taken of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Permits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: AtomicU64,
    open: AtomicU64,
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
        let mark = limit.saturating_mul(WARN_PERCENT) / 100;
        if before + 1 == mark {
            Asked::GivenNearLimit(permit)
        } else {
            Asked::Given(permit)
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.open.fetch_sub(1, Ordering::Relaxed);
    }
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
}

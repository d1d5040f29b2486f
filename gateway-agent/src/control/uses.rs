//! Uses: how many connections a route has, counted across reloads.
//!
//! A route's limit is on all its connections, whichever snapshot they were routed with; so the
//! count is handed from a route to the one of the same name after a reload, also where the name
//! was gone in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The count of one route. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<AtomicU32>);

impl Uses {
    /// Counts one more connection until the guard is dropped; `None` when `most` are counted
    /// already.
    pub fn begin(&self, most: Option<u32>) -> Option<Use> {
        let most = most.unwrap_or(u32::MAX);
        let counted = self
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < most).then(|| now.saturating_add(1))
            });
        counted.is_ok().then(|| Use(Arc::clone(&self.0)))
    }

    /// How many are counted now.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts one connection while it lives.
#[derive(Debug)]
#[must_use = "the connection stops counting when this is dropped"]
pub struct Use(Arc<AtomicU32>);

impl Drop for Use {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_none_at_all_lets_nobody_in() {
        assert!(Uses::default().begin(Some(0)).is_none());
    }

    #[test]
    fn the_limit_holds_over_clones_and_places_come_back() {
        let (uses, after_reload) = {
            let uses = Uses::default();
            (uses.clone(), uses)
        };
        let first = uses.begin(Some(1));
        assert!(first.is_some());
        assert!(after_reload.begin(Some(1)).is_none());
        assert!(after_reload.begin(None).is_some(), "no limit is no limit");
        drop(first);
        assert_eq!(after_reload.now(), 0);
        assert!(after_reload.begin(Some(1)).is_some());
    }
}

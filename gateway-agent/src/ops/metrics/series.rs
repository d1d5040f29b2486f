//! Numbers by label: counted on the data path, read at a scrape.
//!
//! Not the registry's own families, because those cannot forget: a route that left the
//! configuration must leave the metrics too, or an agent that reloads for months fills up.

use core::hash::Hash;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// One number for each label. Counting takes a read lock; only a label's first use writes.
#[derive(Debug)]
pub(super) struct Series<L>(RwLock<HashMap<L, AtomicU64>>);

impl<L> Default for Series<L> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<L: Eq + Hash + Ord + Clone> Series<L> {
    /// Adds to a label's number.
    pub(super) fn add(&self, label: &L, n: u64) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.get(label) {
            number.fetch_add(n, Ordering::Relaxed);
            return;
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known
            .entry(label.clone())
            .or_default()
            .fetch_add(n, Ordering::Relaxed);
    }

    /// Takes one from a label's number, if the label is known.
    pub(super) fn decrement(&self, label: &L) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.get(label) {
            // Never below zero: the label may have been forgotten and met again in between.
            number.update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                n.saturating_sub(1)
            });
        }
    }

    /// All labels with their numbers, in the labels' order.
    pub(super) fn list(&self) -> Vec<(L, u64)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let read =
            |(label, number): (&L, &AtomicU64)| (label.clone(), number.load(Ordering::Relaxed));
        let mut list: Vec<_> = known.iter().map(read).collect();
        list.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        list
    }

    /// Forgets the labels that `keep` does not want.
    pub(super) fn retain(&self, keep: impl Fn(&L) -> bool) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.keys().all(&keep) {
            return;
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|label, _| keep(label));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_label_starts_again_and_never_goes_below_zero() {
        let series = Series::default();
        series.add(&"a", 1);
        series.add(&"b", 2);
        series.retain(|label| *label == "b");
        assert_eq!(series.list(), [("b", 2)]);
        series.decrement(&"a");
        series.add(&"a", 0);
        series.decrement(&"a");
        assert_eq!(series.list(), [("a", 0), ("b", 2)]);
    }
}

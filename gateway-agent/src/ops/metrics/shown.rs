//! Counts that ended and open connections make together, and that must never go backwards.
//!
//! Ended ones are read first. A connection that ends in between is in neither part, never in both,
//! since it leaves the registry before it is counted as ended; and what has been shown stays the
//! least that is shown. So the counters are exact at rest and never go backwards.

use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::counts::{Counts, Label};
use super::spliced::{self, Tally};
use crate::control::snapshot::EngineKind;
use crate::proxy::registry::{Moved, Registry};

/// What connections have moved, as one scrape finds it.
pub(super) struct Look {
    /// Bytes by route: upstream, downstream.
    pub(super) bytes: HashMap<Label, [u64; 2]>,
    /// What the kernel moved by itself, by route and direction.
    pub(super) spliced: HashMap<Label, [Tally; 2]>,
    /// The open ones: what moved, and by which engine.
    pub(super) open: Vec<(Moved, Option<EngineKind>)>,
}

impl Look {
    /// Looks at the ended ones, then at the open ones.
    pub(super) fn at(counts: &Counts, registry: &Registry) -> Self {
        let mut bytes: HashMap<Label, [u64; 2]> = HashMap::new();
        let ended = [&counts.upstream, &counts.downstream].map(|series| series.list());
        for (direction, ended) in ended.into_iter().enumerate() {
            for (route, sum) in ended {
                bytes.entry(route).or_default()[direction] += sum;
            }
        }
        let mut spliced = counts.spliced.list();
        let mut open = Vec::new();
        for live in registry.list() {
            let (route, moved) = (&live.opened.route.name, live.moved());
            let sums = bytes.entry(Arc::clone(route)).or_default();
            sums[0] += moved.received;
            sums[1] += moved.sent;
            if let Some(streams) = &moved.streams {
                spliced::add(&mut spliced, route, streams);
            }
            open.push((moved, live.engine()));
        }
        Self {
            bytes,
            spliced,
            open,
        }
    }
}

/// The largest counts ever shown.
#[derive(Debug)]
pub(super) struct Shown<L, T>(Mutex<HashMap<L, T>>);

impl<L, T> Default for Shown<L, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L: Eq + Hash + Ord + Clone, T: Copy + Default> Shown<L, T> {
    /// What is to be shown, in the labels' order. Labels that are not counted now are forgotten
    /// unless `keep` wants them.
    pub(super) fn raise(
        &self,
        now: HashMap<L, T>,
        keep: impl Fn(&L) -> bool,
        larger: impl Fn(T, T) -> T,
    ) -> Vec<(L, T)> {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|label, _| now.contains_key(label) || keep(label));
        for (label, count) in now {
            let most = shown.entry(label).or_default();
            *most = larger(*most, count);
        }
        let mut list: Vec<_> = shown
            .iter()
            .map(|(one, most)| (one.clone(), *most))
            .collect();
        list.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        list
    }
}

//! What the kernel moved by itself, by route: of connections that have ended, as they end.
//!
//! From the rows of each connection and not from the program's own sums by route, which know nothing
//! of our routes but their service; and so the numbers agree with what `connections` shows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gateway_common::abi::splice::Stream;

use super::counts::Label;
use crate::proxy::registry::Streams;

/// The counts of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tally {
    pub(super) redirected: u64,
    pub(super) passed: u64,
    pub(super) segments: u64,
    pub(super) pauses: u64,
    pub(super) resumes: u64,
    pub(super) orphans: u64,
}

impl Tally {
    pub(super) fn add(&mut self, stream: &Stream) {
        self.redirected += stream.redirected;
        self.passed += stream.passed;
        self.segments += stream.packets;
        self.pauses += u64::from(stream.pauses);
        self.resumes += u64::from(stream.resumes);
        self.orphans += u64::from(stream.orphans);
    }

    /// The larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            redirected: self.redirected.max(other.redirected),
            passed: self.passed.max(other.passed),
            segments: self.segments.max(other.segments),
            pauses: self.pauses.max(other.pauses),
            resumes: self.resumes.max(other.resumes),
            orphans: self.orphans.max(other.orphans),
        }
    }
}

/// The counts of ended connections, by route and direction. A route is here once it had one that the
/// kernel took over.
#[derive(Debug, Default)]
pub(super) struct Spliced(Mutex<HashMap<Label, [Tally; 2]>>);

impl Spliced {
    /// Takes in a connection that has ended.
    pub(super) fn add(&self, route: &Label, streams: &Streams) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut routes, route, streams);
    }

    /// All of them.
    pub(super) fn list(&self) -> HashMap<Label, [Tally; 2]> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.clone()
    }

    /// Forgets the routes that `keep` does not want.
    pub(super) fn retain(&self, keep: impl Fn(&Label) -> bool) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|route, _| keep(route));
    }
}

/// Adds a connection's counts to those of its route.
pub(super) fn add(routes: &mut HashMap<Label, [Tally; 2]>, route: &Label, streams: &Streams) {
    let tallies = routes.entry(Label::clone(route)).or_default();
    for (tally, stream) in tallies.iter_mut().zip(streams) {
        tally.add(stream);
    }
}

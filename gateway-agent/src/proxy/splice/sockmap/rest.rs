//! Rest: what is kept of a joined connection on which nothing is on its way through the agent.
//!
//! Nearly all connections are silent nearly all the time. One that has been left alone for a moment
//! gives up its task, its timer and its places in the runtime; whoever keeps its sockets brings it back
//! when either has something to read, when it is told to look, and in time before its idle timer.
//!
//! What must hold: a connection comes back with every count by which bytes and ends are proven, and what
//! it could not have seen meanwhile is looked at first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::buffers::Most;
use super::way::{Need, Rested, Way};
use super::{Flow, Legs, Splice, Stop, Terms};

/// A connection at rest.
#[derive(Debug, Clone, Copy)]
pub(in super::super::super) struct Rest {
    ways: [Rested; 2],
    quiet_since: Instant,
    moved: u64,
}

impl Rest {
    /// Since when it has been silent, as far as it is known: its idle timer runs from there.
    pub(in super::super::super) fn quiet_since(&self) -> Instant {
        self.quiet_since
    }
}

/// A connection that its idle timer may end sooner than this is not worth a rest.
const LEAST: Duration = Duration::from_secs(3);

impl Flow<'_> {
    /// When it may rest, if it is left alone until then.
    pub(super) fn rests_at(&self) -> Option<Instant> {
        let after = self.legs.rests_after?;
        let whole = self.kernel.as_ref().is_some_and(|kernel| kernel.is_whole());
        let calm = whole && self.rests() && !self.hidden && self.late_since.is_none();
        let at = self.stirred + after;
        let worth = self.quiet_since + self.patience().0 >= at + LEAST;
        (calm && worth && self.ways.iter().all(Way::is_done)).then_some(at)
    }

    /// Puts it to rest, if the time has come.
    pub(super) fn rest(&mut self) -> Option<Rest> {
        let now = Instant::now();
        if self.rests_at().is_none_or(|at| now < at) {
            return None;
        }
        // Should something be in the way, it is not asked again at once.
        self.stirred = now;
        if self.ways.iter().any(|way| way.owes().unwrap_or(true)) {
            return None;
        }
        let [up, down] = &self.ways;
        Some(Rest {
            ways: [up.rest()?, down.rest()?],
            quiet_since: self.quiet_since,
            moved: self.moved,
        })
    }
}

/// Goes on with a connection that has rested, under the terms on which the kernel half took it.
pub(in super::super) fn resume(
    legs: &Legs<'_>,
    rest: Rest,
    (kernel, terms): (Arc<dyn Splice>, Terms<'_>),
    over: impl Fn(),
) -> impl Future<Output = Stop> {
    let most = Most::of(&terms);
    let Rest {
        ways,
        quiet_since,
        moved,
    } = rest;
    let mut flow = Flow::new(legs, bytes::Bytes::new());
    (flow.quiet_since, flow.moved) = (quiet_since, moved);
    for (index, rested) in ways.into_iter().enumerate() {
        if let Err(failure) = flow.ways[index].wake(Arc::clone(&kernel), rested, most) {
            // Without its counts there is no order any more in what it could move.
            flow.ways[index].need = Need::Nothing;
            flow.note(index, &failure);
        }
    }
    flow.kernel = Some(kernel);
    flow.look();
    flow.go_on(over)
}

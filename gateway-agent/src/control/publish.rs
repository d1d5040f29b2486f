//! Publish: the order in which a new snapshot takes effect.
//!
//! Add what is new (kernel entries, sockets), swap the shared pointer, remove what is stale,
//! re-check live connections. So nothing is ever routed to something not there yet, and nothing
//! is removed that the current snapshot still needs. A failing add leaves the last good snapshot
//! in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::snapshot::Snapshot;

/// What must follow a snapshot outside of this module: listeners, kernel maps, live connections.
pub trait Publisher: Send {
    /// Adds what `next` needs and the current snapshot lacks; what is there already stays.
    /// Called again for another snapshot if the reload fails later.
    ///
    /// # Errors
    ///
    /// A text for operators. The reload is refused and the last good snapshot stays in force;
    /// the publisher has undone what it added.
    fn add(&mut self, next: &Snapshot) -> Result<(), String>;

    /// Removes what `next`, now in force, does not need.
    fn remove_stale(&mut self, next: &Snapshot);

    /// Looks at live connections again: those that `next` denies are cut.
    fn recheck(&mut self, next: &Arc<Snapshot>);
}

/// Puts `next` in force.
///
/// # Errors
///
/// As [`Publisher::add`]; the current snapshot stays in force.
pub(super) fn publish(
    publisher: &mut dyn Publisher,
    current: &ArcSwap<Snapshot>,
    next: &Arc<Snapshot>,
) -> Result<(), String> {
    publisher.add(next)?;
    current.store(Arc::clone(next));
    publisher.remove_stale(next);
    publisher.recheck(next);
    Ok(())
}

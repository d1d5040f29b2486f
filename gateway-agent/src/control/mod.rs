//! The control path: configuration -> snapshot -> publish, again on every change.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

mod build;
/// Endpoints of a route: balance, passive health, DNS answers.
pub mod cluster;
/// Who may connect, by source address.
pub mod policy;
/// The order in which a snapshot takes effect.
pub mod publish;
/// Server name -> route.
pub mod routes;
/// What the data path reads.
pub mod snapshot;

pub use publish::Publisher;
pub use snapshot::Snapshot;

/// Handle of the control path, cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<Snapshot>,
    generation: watch::Sender<u64>,
}

impl Control {
    /// A control path with one snapshot that never changes.
    #[must_use]
    pub fn fixed(snapshot: Snapshot) -> Self {
        let generation = watch::Sender::new(snapshot.generation);
        let current = ArcSwap::from_pointee(snapshot);
        Self {
            shared: Arc::new(Shared {
                current,
                generation,
            }),
        }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Follows the generation of the snapshot in force.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }
}

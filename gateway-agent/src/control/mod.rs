//! The control path: configuration -> snapshot -> publish, again on every change.
//!
//! One task owns all change. It reloads when asked (`Control::reload`; signals are the wiring's)
//! and when the file changes; reloads never overlap. A configuration that is bad, or that cannot be
//! put in force, changes nothing: the last good snapshot stays, and `Control::last_reload` and the log
//! say why. The data path only reads one pointer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch as signal};

mod build;
// Endpoints of a route: balance, passive health, DNS answers.
pub mod cluster;
/// The chain of decisions for a server name.
pub mod explain;
/// From a mesh's routes to the data path's.
pub mod mesh;
/// Who may connect, by source address.
pub mod policy;
/// The order in which a snapshot takes effect.
pub mod publish;
/// Questions about the mesh.
pub mod questions;
mod reload;
mod resolve;
/// Server name -> route.
pub mod routes;
mod settings;
/// What the data path reads.
pub mod snapshot;
/// How many connections a route has.
pub mod uses;
mod watch;

pub use publish::Publisher;
pub use reload::Running;
pub use snapshot::Snapshot;

use crate::config::{Config, ConfigErrors};

/// Handle of the control path, cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    generation: signal::Sender<u64>,
    last: Mutex<LastReload>,
    /// Fingerprint of the text that the current snapshot was built from.
    text: Mutex<u128>,
    orders: mpsc::Sender<Order>,
    /// Taken by [`Control::start`].
    inbox: Mutex<Option<mpsc::Receiver<Order>>>,
}

/// A wish for a reload and where its outcome goes.
type Order = oneshot::Sender<Result<u64, ConfigErrors>>;

/// How the last reload went, and all before it.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When it ended; the start of the agent counts as the first.
    pub at: SystemTime,
    /// What was wrong; `None`: it went well.
    pub errors: Option<ConfigErrors>,
    /// Reloads that went well, unchanged files included.
    pub good: u64,
    /// Reloads that were refused.
    pub bad: u64,
}

impl LastReload {
    /// Whether it went well.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.errors.is_none()
    }
}

impl Control {
    /// Reads the configuration and builds the first snapshot, so that the rest of the agent can
    /// be set up by it. Nothing is in force before [`Control::start`].
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let config = Config::load(path)?;
        let control = Self::fixed(Snapshot::build(&config, None), path);
        *control.shared.text() = config.sources.fingerprint();
        Ok(control)
    }

    /// A control path around one snapshot, for tests of what reads it. `path` is what reloads read.
    #[must_use]
    pub fn fixed(snapshot: Snapshot, path: &Path) -> Self {
        let generation = signal::Sender::new(snapshot.generation);
        let current = ArcSwap::from_pointee(snapshot);
        // One order waits while another is carried out; whoever comes then waits for room.
        let (orders, inbox) = mpsc::channel(1);
        let last = LastReload {
            at: SystemTime::now(),
            errors: None,
            good: 0,
            bad: 0,
        };
        let shared = Shared {
            path: path.to_owned(),
            current,
            generation,
            last: Mutex::new(last),
            text: Mutex::new(0),
            orders,
            inbox: Mutex::new(Some(inbox)),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Puts the first snapshot in force and starts the task that follows changes, which ends
    /// when the returned value is dropped.
    ///
    /// Endpoint names are asked for first, for a moment at most, so that the first connections
    /// find endpoints. Dropping the future before it is done leaves nothing running.
    ///
    /// # Errors
    ///
    /// What [`Publisher::add`] says about the first snapshot, or that it was started before.
    pub async fn start(&self, publisher: Box<dyn Publisher>) -> Result<Running, ConfigErrors> {
        reload::start(&self.shared, publisher).await
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Reads the file again and puts it in force. Answers with the generation then in force: the
    /// same as before when the file has not changed. Once asked, it is carried out even when the
    /// future is dropped.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file; the last good snapshot stays in force.
    pub async fn reload(&self) -> Result<u64, ConfigErrors> {
        let (reply, outcome) = oneshot::channel();
        let stopped = || {
            self.shared
                .errors("cannot reload: culvert is stopping".to_owned())
        };
        if self.shared.orders.send(reply).await.is_err() {
            return Err(stopped());
        }
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Follows the generation of the snapshot in force.
    #[must_use]
    pub fn subscribe(&self) -> signal::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// How the last reload went.
    #[must_use]
    pub fn last_reload(&self) -> LastReload {
        self.shared.last().clone()
    }
}

impl Shared {
    // Each guards a plain value that no panic leaves half changed.
    fn last(&self) -> std::sync::MutexGuard<'_, LastReload> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> std::sync::MutexGuard<'_, u128> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn errors(&self, message: String) -> ConfigErrors {
        ConfigErrors::of_file(&self.path.to_string_lossy(), message)
    }
}

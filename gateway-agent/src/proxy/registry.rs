//! The connections that are open now: for `connections`, for cutting what policy no longer
//! allows, and for the drain.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use gateway_common::wire::ServerName;
use tokio::sync::Notify;

use super::close::CloseReason;
use crate::control::snapshot::{Route, Snapshot};

/// One open connection, from its route to its end.
#[derive(Debug)]
pub struct Live {
    /// What was known when it was registered.
    pub opened: Opened,
    /// Bytes sent to the client so far.
    pub sent: AtomicU64,
    /// Bytes received from the client so far, the hello included.
    pub received: AtomicU64,
    path: Mutex<Option<LivePath>>,
    cut: OnceLock<CloseReason>,
    cut_signal: Notify,
}

/// Where an open connection's bytes go.
#[derive(Debug, Clone)]
pub struct LivePath {
    /// The connected endpoint.
    pub endpoint: SocketAddr,
    /// The engine that moves the bytes.
    pub engine: &'static str,
    /// Why better engines did not fit.
    pub notes: Vec<String>,
}

/// What is known of a connection when it is registered.
#[derive(Debug)]
pub struct Opened {
    /// Number of the connection.
    pub id: u64,
    /// Listener that accepted it.
    pub listener: Arc<str>,
    /// Address the client is judged by.
    pub source: SocketAddr,
    /// Address the client connected to.
    pub destination: SocketAddr,
    /// Server name of its hello.
    pub server_name: Option<ServerName>,
    /// Route it took.
    pub route: Arc<Route>,
    /// When it was accepted, for ages.
    pub accepted: Instant,
    /// When it was accepted, for people.
    pub started: SystemTime,
}

impl Live {
    /// Bytes to and from the client so far.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.received.load(Ordering::Relaxed),
        )
    }

    /// Endpoint and engine, once it has them; others after a reset before the first byte.
    #[must_use]
    pub fn path(&self) -> Option<LivePath> {
        self.path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Records where the bytes go from now on.
    pub(super) fn set_path(&self, path: LivePath) {
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
    }

    /// Ends the connection on purpose, for `reason`; the first reason given stands.
    pub fn cut(&self, reason: CloseReason) {
        if self.cut.set(reason).is_ok() {
            self.cut_signal.notify_one();
        }
    }

    /// Waits until the connection is to be ended on purpose. Cancel safe; one waiter at a time.
    pub async fn cut_requested(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.cut.get() {
                return *reason;
            }
            self.cut_signal.notified().await;
        }
    }
}

/// The table of open connections, in shards so that accepting cores do not meet.
#[derive(Debug)]
pub struct Registry {
    shards: [Mutex<HashMap<u64, Arc<Live>>>; SHARDS],
}

/// Enough that two cores rarely want the same lock; each holds it for one insert or remove.
const SHARDS: usize = 16;

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: core::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Registry {
    /// Enters a connection; it stays until the [`Registration`] drops.
    #[must_use]
    pub fn register(self: &Arc<Self>, opened: Opened) -> Registration {
        let live = Arc::new(Live {
            opened,
            path: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            cut: OnceLock::new(),
            cut_signal: Notify::new(),
        });
        self.shard(live.opened.id)
            .insert(live.opened.id, Arc::clone(&live));
        Registration {
            registry: Arc::clone(self),
            live,
        }
    }

    /// All open connections, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Live>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.values().cloned());
        }
        all.sort_unstable_by_key(|live| live.opened.id);
        all
    }

    /// Cuts every connection whose source the listener's or the route's policy in `snapshot`
    /// denies. A connection whose listener or route is gone lives on: only a policy that says no
    /// ends it. Returns how many were cut.
    pub fn recheck(&self, snapshot: &Snapshot) -> usize {
        let mut cut = 0;
        for live in self.list() {
            let source = live.opened.source.ip();
            let listener = snapshot
                .listeners
                .iter()
                .find(|l| l.name == live.opened.listener);
            let route = snapshot.routes.get(&live.opened.route.name);
            let denied = listener.is_some_and(|l| !l.access.verdict(source).allowed)
                || route.is_some_and(|r| !r.access.verdict(source).allowed);
            if denied {
                live.cut(CloseReason::PolicyChanged);
                cut += 1;
            }
        }
        cut
    }

    /// Cuts every open connection; returns how many there were.
    pub fn cut_all(&self, reason: CloseReason) -> usize {
        let all = self.list();
        all.iter().for_each(|live| live.cut(reason));
        all.len()
    }

    fn shard(&self, id: u64) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Live>>> {
        let index = usize::try_from(id % SHARDS as u64).unwrap_or(0);
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the [`Registry`]; leaves it when dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    live: Arc<Live>,
}

impl Registration {
    /// The connection as others see it.
    #[must_use]
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry
            .shard(self.live.opened.id)
            .remove(&self.live.opened.id);
    }
}

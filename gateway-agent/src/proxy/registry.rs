//! The connections that are open now: for `connections`, for cutting what policy no longer
//! allows, and for the drain.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use atomic_waker::AtomicWaker;
use gateway_common::abi::splice::{Direction, Stream};

use super::close::CloseReason;
use super::splice::fallback::Fallback;
use super::splice::sockmap::Splice;
use crate::control::snapshot::{EngineKind, Route, Snapshot};

/// One open connection, from its route to its end.
#[derive(Debug)]
pub struct Live {
    /// What was known when it was registered.
    pub opened: Opened,
    /// Bytes sent to the client so far.
    pub sent: AtomicU64,
    /// Bytes received from the client so far, the hello included.
    pub received: AtomicU64,
    state: Mutex<State>,
    cut: OnceLock<CloseReason>,
    cut_signal: AtomicWaker,
}

/// What changes on the way.
#[derive(Debug, Default)]
struct State {
    path: Option<LivePath>,
    spliced: Spliced,
    resting: bool,
}

/// Where an open connection's bytes go.
#[derive(Debug, Clone)]
pub struct LivePath {
    /// The connected endpoint.
    pub endpoint: SocketAddr,
    /// The engine that moves the bytes.
    pub engine: EngineKind,
    /// Why better engines do not.
    pub fallbacks: Box<[Fallback]>,
}

/// The kernel's part of a connection.
#[derive(Debug, Default)]
enum Spliced {
    /// It has none, or not yet.
    #[default]
    Not,
    /// It moves bytes by itself.
    Now(Arc<dyn Splice>),
    /// What it had done by the end, when the agent's own counts took in what it had moved.
    Over(Box<Streams>),
}

/// What the kernel did with the directions, by the number of a [`Direction`].
pub type Streams = [Stream; 2];

/// What has moved on an open connection.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// Bytes to the client.
    pub sent: u64,
    /// Bytes from the client.
    pub received: u64,
    /// The kernel's part; absent where it had none.
    pub streams: Option<Streams>,
    /// Whether that part is over.
    pub over: bool,
}

impl Moved {
    /// The kernel's part while it goes on: of what is over, nothing waits any more.
    #[must_use]
    pub fn waiting(&self) -> Option<Streams> {
        self.streams.filter(|_| !self.over)
    }
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
    pub server_name: Option<Arc<str>>,
    /// Route it took.
    pub route: Arc<Route>,
    /// When it was accepted, for ages.
    pub accepted: Instant,
    /// When it was accepted, for people.
    pub started: SystemTime,
}

impl Live {
    /// What has moved so far, by whomever.
    #[must_use]
    pub fn moved(&self) -> Moved {
        let spliced = &lock(&self.state).spliced;
        let streams = match spliced {
            Spliced::Not => None,
            Spliced::Now(splice) => Some(streams(&**splice)),
            Spliced::Over(streams) => Some(**streams),
        };
        // Not counted by the agent before the end.
        let [up, down] = match (spliced, streams) {
            (Spliced::Now(_), Some(streams)) => streams.map(|stream| stream.redirected),
            _ => [0; 2],
        };
        Moved {
            sent: self.sent.load(Ordering::Relaxed) + down,
            received: self.received.load(Ordering::Relaxed) + up,
            streams,
            over: matches!(spliced, Spliced::Over(_)),
        }
    }

    /// The kernel's part of it, while it moves bytes.
    #[must_use]
    pub fn splice(&self) -> Option<Arc<dyn Splice>> {
        match &lock(&self.state).spliced {
            Spliced::Now(splice) => Some(Arc::clone(splice)),
            Spliced::Not | Spliced::Over(_) => None,
        }
    }

    /// Whether it is left alone, and has no task.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        lock(&self.state).resting
    }

    pub(super) fn set_resting(&self, resting: bool) {
        lock(&self.state).resting = resting;
    }

    /// The kernel has taken over.
    pub(super) fn begin_splice(&self, splice: Arc<dyn Splice>) {
        lock(&self.state).spliced = Spliced::Now(splice);
    }

    /// The kernel's part is over, if there was one: what it did stays to be counted.
    pub(super) fn end_splice(&self) {
        let spliced = &mut lock(&self.state).spliced;
        if let Spliced::Now(splice) = spliced {
            let last = streams(&**splice);
            *spliced = Spliced::Over(Box::new(last));
        }
    }

    /// Endpoint and engine, once it has them; others after a reset before the first byte.
    #[must_use]
    pub fn path(&self) -> Option<LivePath> {
        lock(&self.state).path.clone()
    }

    /// The engine that moves the bytes, once one does.
    #[must_use]
    pub fn engine(&self) -> Option<EngineKind> {
        lock(&self.state).path.as_ref().map(|path| path.engine)
    }

    /// Records where the bytes go from now on.
    pub(super) fn set_path(&self, path: LivePath) {
        lock(&self.state).path = Some(path);
    }

    /// Changes where the bytes go, if it is known.
    pub(super) fn change_path(&self, change: impl FnOnce(&mut LivePath)) {
        if let Some(path) = &mut lock(&self.state).path {
            change(path);
        }
    }

    /// Ends the connection on purpose, for `reason`; the first reason given stands.
    pub fn cut(&self, reason: CloseReason) {
        if self.cut.set(reason).is_ok() {
            self.cut_signal.wake();
        }
    }

    /// Waits until the connection is to be ended on purpose. Cancel safe; one waiter at a time.
    pub async fn cut_requested(&self) -> CloseReason {
        poll_fn(|context| self.poll_cut(context)).await
    }

    /// The wait itself takes no memory: a connection waits for this as long as it lives. The last task that
    /// asked is woken.
    pub(super) fn poll_cut(&self, context: &Context<'_>) -> Poll<CloseReason> {
        if self.cut.get().is_none() {
            self.cut_signal.register(context.waker());
        }
        // It may have been cut before there was anyone to be woken.
        self.cut
            .get()
            .map_or(Poll::Pending, |reason| Poll::Ready(*reason))
    }
}

/// What the kernel did so far; nothing where its rows are gone.
fn streams(splice: &dyn Splice) -> Streams {
    Direction::BOTH.map(|direction| splice.stream(direction).unwrap_or_default())
}

/// No holder leaves these half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            state: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            cut: OnceLock::new(),
            cut_signal: AtomicWaker::new(),
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
            all.extend(lock(shard).values().cloned());
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

    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Arc<Live>>> {
        let index = usize::try_from(id % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[index])
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

//! What the admin interface asks of the wiring: where the agent is in its life, and to end it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::publication::lock;
use super::steering::Steering;
use crate::bpf::Availability;
use crate::control::snapshot::{EngineKind, Snapshot};
use crate::ops::admin::{Drainer, StatusSource};
use crate::ops::log::LevelHandle;
use crate::ops::view;
use crate::proxy::Gateway;
use crate::proxy::splice::fallback::Why;

/// The state of the running agent.
pub(super) struct State {
    pub(super) gateway: Arc<Gateway>,
    pub(super) steering: Arc<Mutex<Steering>>,
    pub(super) level: LevelHandle,
    pub(super) descriptors: u64,
    pub(super) started: (SystemTime, Instant),
    pub(super) phase: AtomicU8,
}

/// Values of [`State::phase`].
const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl State {
    pub(super) fn ready(&self) {
        self.phase.store(READY, Ordering::Relaxed);
    }

    pub(super) fn draining(&self) {
        self.phase.store(DRAINING, Ordering::Relaxed);
    }
}

impl StatusSource for State {
    fn phase(&self) -> view::Phase {
        match self.phase.load(Ordering::Relaxed) {
            STARTING => view::Phase::Starting,
            READY => view::Phase::Ready,
            _ => view::Phase::Draining,
        }
    }

    fn runtime(&self) -> view::Runtime {
        let snapshot = self.gateway.control.snapshot();
        let why = match lock(&self.steering).availability() {
            Availability::Ready => None,
            Availability::Unavailable { reason, remedy } => Some(format!("{reason}; {remedy}")),
        };
        let (started, since) = self.started;
        view::Runtime {
            phase: self.phase(),
            started,
            uptime: since.elapsed(),
            listener_problems: unsteered(&snapshot, why.as_deref()),
            engines: engines(&snapshot, &self.gateway),
            steer: view::Steer {
                active: why.is_none(),
                why,
            },
            connections: view::Usage {
                used: self.gateway.permits.open(),
                limit: self.gateway.permits.limit(),
            },
            descriptors: view::Usage {
                used: open_descriptors(),
                limit: self.descriptors,
            },
            log_level: self.level.current(),
        }
    }
}

/// Listeners whose destinations nothing steers.
fn unsteered(snapshot: &Snapshot, why: Option<&str>) -> Vec<(String, String)> {
    let Some(why) = why else { return Vec::new() };
    let unsteered = snapshot
        .listeners
        .iter()
        .filter(|l| !l.destinations.is_empty());
    unsteered
        .map(|l| {
            (
                l.name.to_string(),
                format!("destinations are not steered: {why}"),
            )
        })
        .collect()
}

/// The configured engines, and copy, which is always there.
fn engines(snapshot: &Snapshot, gateway: &Gateway) -> Vec<view::Engine> {
    let mut kinds = snapshot.engine.prefer.clone();
    if !kinds.contains(&EngineKind::Copy) {
        kinds.push(EngineKind::Copy);
    }
    let engine = |kind: EngineKind| {
        let why = match kind {
            EngineKind::Copy => None,
            EngineKind::Sockmap => gateway.sockmap.get().err().map(|why| why.to_string()),
            EngineKind::Packet => Some(Why::NotInBuild.to_string()),
        };
        view::Engine {
            name: kind.label().to_owned(),
            available: why.is_none(),
            why,
        }
    };
    kinds.into_iter().map(engine).collect()
}

/// Descriptors that are open now; 0 where /proc is not mounted.
fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// Passes the wish to end on to the agent's main loop.
pub(super) struct Ender {
    pub(super) wishes: mpsc::Sender<Option<Duration>>,
}

impl Drainer for Ender {
    fn drain(&self, timeout: Option<Duration>) {
        if self.wishes.try_send(timeout).is_err() {
            tracing::debug!("the drain runs already");
        }
    }
}

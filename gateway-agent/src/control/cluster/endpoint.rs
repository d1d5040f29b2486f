//! Endpoint: one address of a route, and what it has lived through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::health::Record;
use crate::control::snapshot::Health;
use crate::mesh::route::Health as Checked;

/// One address that a route's connections may go to.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to dial.
    pub address: SocketAddr,
    /// The host name it was resolved from, if any.
    pub host: Option<Arc<str>>,
    /// The configured weight of its entry.
    pub weight: u32,
    /// What checks elsewhere say of it.
    pub health: Checked,
    /// What part of the route's connections it gets, relative to the other endpoints: the
    /// weight of the entry, divided among the entry's addresses and scaled to whole numbers.
    pub(super) share: u32,
    /// Outlives this value when a reload or a new DNS answer changes the fields above.
    pub(super) live: Arc<Live>,
}

#[derive(Debug, Default)]
pub(super) struct Live {
    active: AtomicU32,
    /// Whether `record` says more than "all is well"; spares the lock where nothing ever failed.
    suspect: AtomicBool,
    record: Mutex<Record>,
}

impl Endpoint {
    /// Counts a connection as active from now until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> ActiveGuard {
        self.live.active.fetch_add(1, Ordering::Relaxed);
        ActiveGuard {
            live: Arc::clone(&self.live),
        }
    }

    /// How many connections are active.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.live.active.load(Ordering::Relaxed)
    }

    /// Whether its checks say that it is not to be used.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.health == Checked::Down
    }

    /// Whether it is ejected at this time.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.live.suspect.load(Ordering::Acquire)
            && self.record(|record| record.ejected_for(now).is_some())
    }

    /// What people want to know about it.
    #[must_use]
    pub fn state(&self, now: Instant) -> EndpointState {
        self.record(|record| EndpointState {
            address: self.address,
            host: self.host.as_deref().map(str::to_owned),
            weight: self.weight,
            health: self.health,
            active: self.active(),
            failures: record.failures(),
            ejections: record.ejections(),
            ejected_ms: record
                .ejected_for(now)
                .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    pub(super) fn failed(&self, health: &Health, may_eject: bool, now: Instant) -> bool {
        self.live.suspect.store(true, Ordering::Release);
        self.record(|record| record.failed(health, may_eject, now))
    }

    pub(super) fn succeeded(&self) {
        if self.live.suspect.load(Ordering::Acquire) {
            self.record(Record::succeeded);
        }
    }

    fn record<T>(&self, ask: impl FnOnce(&mut Record) -> T) -> T {
        // A record is a few plain numbers: no panic leaves it half changed.
        ask(&mut self
            .live
            .record
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts one connection of an endpoint as active while it lives.
#[derive(Debug)]
#[must_use = "the connection stops counting when this is dropped"]
pub struct ActiveGuard {
    live: Arc<Live>,
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.live.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One endpoint as people see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EndpointState {
    /// Where to dial.
    pub address: SocketAddr,
    /// The host name it was resolved from, if any.
    pub host: Option<String>,
    /// The configured weight of its entry.
    pub weight: u32,
    /// What checks elsewhere say of it.
    pub health: Checked,
    /// Active connections.
    pub active: u32,
    /// Failed dials in a row.
    pub failures: u32,
    /// Ejections in short succession.
    pub ejections: u32,
    /// How long it stays ejected, in milliseconds; `None`: it is not.
    pub ejected_ms: Option<u64>,
}

//! What the agent accepted, by route: counted in memory as connections come and go, written to
//! `ROUTE_ACCEPTS` in batches.
//!
//! The map has one writer, this one; it is what the counts go on from after a restart, and what
//! `culvert maps` shows while no agent runs.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{
    collections::HashMap as Table,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{HashMap, Map, MapData};
use gateway_common::abi::route::RouteAccepts;

use super::{BpfError, layout, tables};

/// Counts of one route; cheap to touch from many connections.
#[derive(Debug, Default)]
pub struct RouteAccount {
    connections: AtomicU64,
    upstream_bytes: AtomicU64,
    downstream_bytes: AtomicU64,
}

impl RouteAccount {
    /// Counts a connection that was accepted.
    pub fn accepted(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Counts the payload bytes of a connection that ended.
    pub fn closed(&self, upstream_bytes: u64, downstream_bytes: u64) {
        self.upstream_bytes.fetch_add(upstream_bytes, Relaxed);
        self.downstream_bytes.fetch_add(downstream_bytes, Relaxed);
    }

    /// The counts now.
    pub fn read(&self) -> RouteAccepts {
        RouteAccepts {
            connections: self.connections.load(Relaxed),
            upstream_bytes: self.upstream_bytes.load(Relaxed),
            downstream_bytes: self.downstream_bytes.load(Relaxed),
        }
    }
}

impl From<RouteAccepts> for RouteAccount {
    fn from(counts: RouteAccepts) -> Self {
        let RouteAccepts {
            connections,
            upstream_bytes,
            downstream_bytes,
        } = counts;
        Self {
            connections: connections.into(),
            upstream_bytes: upstream_bytes.into(),
            downstream_bytes: downstream_bytes.into(),
        }
    }
}

/// The accounts of all routes. Clones share them.
#[derive(Clone, Debug)]
pub struct Accounts {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    map: HashMap<MapData, u32, RouteAccepts>,
    /// Each account, and what the map says of it.
    routes: Table<u32, (Arc<RouteAccount>, RouteAccepts)>,
}

impl Accounts {
    pub(crate) fn open(directory: &Path) -> Result<Self, BpfError> {
        let map: HashMap<MapData, u32, RouteAccepts> =
            tables::typed(directory, &layout::ROUTE_ACCEPTS, Map::HashMap)?;
        let mut routes = Table::new();
        for entry in map.iter() {
            let (id, counts) =
                entry.map_err(|error| BpfError::map("ROUTE_ACCEPTS", "read", error))?;
            routes.insert(id, (Arc::new(counts.into()), counts));
        }
        Ok(Self {
            inner: Arc::new(Mutex::new(Inner { map, routes })),
        })
    }

    /// The account of a route, from zero if it is new.
    pub fn of(&self, route: u32) -> Arc<RouteAccount> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (account, _) = inner.routes.entry(route).or_default();
        Arc::clone(account)
    }

    /// Writes what has changed since the last time. Call it about once a second, and at the end.
    pub fn flush(&self) -> Result<(), BpfError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { map, routes } = &mut *inner;
        for (id, (account, written)) in routes {
            let now = account.read();
            if now != *written {
                map.insert(*id, now, 0)
                    .map_err(|error| BpfError::map("ROUTE_ACCEPTS", "write", error))?;
                *written = now;
            }
        }
        Ok(())
    }
}

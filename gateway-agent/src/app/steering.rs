//! Steering: from the destinations of a snapshot to the kernel's tables, and back to counts.
//!
//! The glue between `control` (names, prefixes) and `bpf` (ids, rows). Where the kernel half is
//! not available, everything but destinations works; what is missing is said in `status`, `check`
//! and the log.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::bpf::{
    self, Accounts, Availability, BpfError, Datapath, Destination, Family, Plan, RouteAccount,
};
use crate::control::snapshot::{Snapshot, SteerMode};
use crate::proxy::accept::Acceptors;
use crate::proxy::record::{ConnectionRecord, Observer};

/// The kernel half as the agent uses it.
pub(super) struct Steering {
    settings: bpf::Settings,
    datapath: Option<Datapath>,
    availability: Availability,
    /// The plan that the last [`Self::add`] made, for [`Self::remove_stale`].
    plan: Option<Plan>,
    counts: Arc<Counts>,
    /// Whether somebody follows the datapath's events.
    followed: bool,
    /// Whether the first [`Self::add`] is still to come: the kernel half was asked for just now.
    opening: bool,
}

/// Follows something of the kernel's for as long as it is polled.
pub(super) type Reader = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Steering {
    /// Opens the kernel half if `snapshot` asks for it.
    ///
    /// # Errors
    /// When it is required and not to be had.
    pub(super) fn open(snapshot: &Snapshot) -> Result<Self, BpfError> {
        let settings = settings(snapshot);
        let mut steering = Self {
            settings,
            datapath: None,
            availability: unused(),
            plan: None,
            counts: Arc::default(),
            followed: false,
            opening: true,
        };
        if wanted(snapshot) {
            steering.start()?;
        } else {
            steering.forget_former();
        }
        Ok(steering)
    }

    /// Whether the kernel half is in use, and why not.
    #[must_use]
    pub(super) fn availability(&self) -> &Availability {
        &self.availability
    }

    /// The datapath, for counters.
    #[must_use]
    pub(super) fn datapath(&self) -> Option<&Datapath> {
        self.datapath.as_ref()
    }

    /// Counts connections and bytes by destination.
    #[must_use]
    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Makes the kernel steer what `next` asks for. Its sockets are bound already.
    ///
    /// # Errors
    /// A text for operators: destinations that conflict, or a kernel that refuses.
    pub(super) fn add(&mut self, next: &Snapshot, sockets: &Acceptors) -> Result<(), String> {
        // A host that could not steer at the start may be able to at a reload.
        let at_start = core::mem::take(&mut self.opening);
        if self.datapath.is_none() && wanted(next) && !at_start {
            self.start().map_err(|error| said(&error))?;
        }
        let Some(datapath) = &mut self.datapath else {
            return Ok(());
        };
        let mut destinations = Vec::new();
        for listener in &next.listeners {
            if listener.destinations.is_empty() {
                continue;
            }
            let id = datapath
                .listener_id(&listener.name)
                .map_err(|error| said(&error))?;
            for (v6, socket) in sockets.steer_targets(listener) {
                let family = if v6 { Family::V6 } else { Family::V4 };
                let socket = std::os::fd::AsFd::as_fd(&*socket);
                datapath
                    .set_listener(id, family, socket)
                    .map_err(|error| said(&error))?;
            }
            for destination in &listener.destinations {
                let route = datapath
                    .route_id(&destination.datacenter, &destination.service)
                    .map_err(|error| said(&error))?;
                destinations.push(Destination {
                    prefix: destination.prefix,
                    ports: destination.ports.clone(),
                    listener: id,
                    route,
                });
            }
        }
        let plan = Datapath::plan(&destinations).map_err(|errors| {
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        })?;
        datapath.add(&plan).map_err(|error| said(&error))?;
        self.counts.follow(&destinations, datapath);
        self.plan = Some(plan);
        Ok(())
    }

    /// Removes what the plan of the last [`Self::add`] does not ask for.
    pub(super) fn remove_stale(&mut self) {
        if let (Some(datapath), Some(plan)) = (&mut self.datapath, &self.plan)
            && let Err(error) = datapath.remove_stale(plan)
        {
            tracing::warn!(error = said(&error), "remove stale kernel entries");
        }
    }

    /// Readers of the kernel's events and log that nobody runs yet: each datapath's, once.
    pub(super) fn take_readers(&mut self) -> Vec<Reader> {
        let Some(datapath) = self.datapath.as_mut().filter(|_| !self.followed) else {
            return Vec::new();
        };
        self.followed = true;
        let mut readers: Vec<Reader> = Vec::new();
        match datapath.events() {
            Ok(events) => readers.push(Box::pin(async move {
                if let Err(error) = events.report().await {
                    tracing::warn!(%error, "follow the kernel's events");
                }
            })),
            Err(error) => tracing::warn!(error = said(&error), "open the kernel's events"),
        }
        if let Some(log) = datapath.take_log() {
            readers.push(Box::pin(async move {
                if let Err(error) = log.forward().await {
                    tracing::warn!(%error, "follow the kernel half's log");
                }
            }));
        }
        readers
    }

    /// The accounts that want a flush about once a second.
    #[must_use]
    pub(super) fn accounts(&self) -> Option<Accounts> {
        self.datapath.as_ref().map(Datapath::accounts)
    }

    fn start(&mut self) -> Result<(), BpfError> {
        let (datapath, availability) = Datapath::start(&self.settings)?;
        if let Availability::Unavailable { reason, remedy } = &availability {
            tracing::warn!(reason, remedy, "destinations are not steered");
        }
        self.datapath = datapath;
        self.availability = availability;
        Ok(())
    }

    /// A former agent of this instance may have left programs for destinations that are not
    /// configured any more.
    fn forget_former(&self) {
        let pins = self
            .settings
            .bpffs
            .join("culvert")
            .join(&self.settings.instance);
        if pins.exists()
            && let Err(error) = bpf::detach(&self.settings)
        {
            tracing::warn!(error = said(&error), "detach what a former agent left");
        }
    }
}

fn said(error: &BpfError) -> String {
    format!("{error}; {}", error.remedy())
}

fn unused() -> Availability {
    Availability::Unavailable {
        reason: "no destinations are configured".to_owned(),
        remedy: "give a listener destinations to use it".to_owned(),
    }
}

fn wanted(snapshot: &Snapshot) -> bool {
    match snapshot.settings.steer.mode {
        SteerMode::Off => false,
        SteerMode::Required => true,
        SteerMode::Auto => snapshot
            .listeners
            .iter()
            .any(|l| !l.destinations.is_empty()),
    }
}

fn settings(snapshot: &Snapshot) -> bpf::Settings {
    let steer = &snapshot.settings.steer;
    bpf::Settings {
        bpffs: steer.bpffs.clone(),
        mode: match steer.mode {
            SteerMode::Auto => bpf::Mode::Auto,
            SteerMode::Off => bpf::Mode::Off,
            SteerMode::Required => bpf::Mode::Required,
        },
        ..bpf::Settings::new(&*snapshot.instance)
    }
}

/// Connections and bytes by datacenter route, counted where they are known: at accept and close.
/// The kernel's own count is of look-ups, which stray packets cause too.
#[derive(Default)]
pub(super) struct Counts {
    table: ArcSwap<Table>,
}

/// Destination -> account, as the kernel decides: longest prefix, then narrower port range.
#[derive(Default)]
struct Table {
    v4: PrefixMap<Ipv4Net, Vec<Ports>>,
    v6: PrefixMap<Ipv6Net, Vec<Ports>>,
}

struct Ports {
    range: RangeInclusive<u16>,
    account: Arc<RouteAccount>,
}

impl Counts {
    fn follow(&self, destinations: &[Destination], datapath: &Datapath) {
        let mut rows: HashMap<IpNet, Vec<Ports>> = HashMap::new();
        for destination in destinations {
            rows.entry(destination.prefix.trunc())
                .or_default()
                .push(Ports {
                    range: destination.ports.clone(),
                    account: datapath.account(destination.route),
                });
        }
        let mut table = Table::default();
        for (prefix, mut ports) in rows {
            ports.sort_by_key(|ports| ports.range.len());
            match prefix {
                IpNet::V4(prefix) => drop(table.v4.insert(prefix, ports)),
                IpNet::V6(prefix) => drop(table.v6.insert(prefix, ports)),
            }
        }
        self.table.store(Arc::new(table));
    }

    fn account(&self, arrived_at: SocketAddr) -> Option<Arc<RouteAccount>> {
        let table = self.table.load();
        let port = arrived_at.port();
        let hit = |ports: &Vec<Ports>| {
            let hit = ports.iter().find(|ports| ports.range.contains(&port));
            hit.map(|ports| Arc::clone(&ports.account))
        };
        match arrived_at.ip() {
            IpAddr::V4(ip) => table
                .v4
                .cover(&Ipv4Net::from(ip))
                .filter_map(|(_, ports)| hit(ports))
                .last(),
            IpAddr::V6(ip) => table
                .v6
                .cover(&Ipv6Net::from(ip))
                .filter_map(|(_, ports)| hit(ports))
                .last(),
        }
    }
}

impl Observer for Counts {
    fn accepted(&self, _listener: &str, arrived_at: SocketAddr) {
        if let Some(account) = self.account(arrived_at) {
            account.accepted();
        }
    }

    fn closed(&self, record: &ConnectionRecord) {
        if let Some(account) = self.account(record.arrived_at) {
            account.closed(record.received, record.sent);
        }
    }
}

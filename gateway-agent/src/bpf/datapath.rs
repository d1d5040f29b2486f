//! The datapath's life: open, feed, take apart.

use std::{
    collections::BTreeSet,
    fmt,
    os::fd::BorrowedFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gateway_common::abi::{
    counter::SteerCount,
    route::{RouteAccepts, RouteStats},
    steer::Family,
};
use ipnet::IpNet;
use rustix::thread::{MembarrierCommand, membarrier};

use super::{
    Accounts, Availability, BpfError, Destination, EventReader, KernelLog, Mode, Plan, PlanError,
    RouteAccount, Settings,
    load::{self, Loaded},
    local_routes::{self, LocalRoute},
    names::Names,
    pins::Pins,
    steer::Tables,
    tables::Maps,
};

/// The kernel half of one instance, and the only writer of its maps. Dropping it leaves everything in
/// the kernel as it is; [`Self::detach`] takes it away.
pub struct Datapath {
    pins: Pins,
    maps: Maps,
    names: Names,
    accounts: Accounts,
    log: Option<KernelLog>,
    /// What `PORTS` and `DESTINATIONS` hold, stale rows included.
    tables: Tables,
    /// Marks this instance's local routes.
    metric: u32,
    /// Local routes of this instance; none before the first look.
    local: Option<BTreeSet<IpNet>>,
    adopted: bool,
}

impl Datapath {
    /// Opens the datapath as the mode asks: an error with [`Mode::Required`], else nothing and why.
    pub fn start(settings: &Settings) -> Result<(Option<Self>, Availability), BpfError> {
        if settings.mode == Mode::Off {
            let reason = "switched off in the configuration".to_owned();
            let remedy = "set the mode of the kernel half to auto".to_owned();
            return Ok((None, Availability::Unavailable { reason, remedy }));
        }
        match Self::open(settings) {
            Ok(datapath) => Ok((Some(datapath), Availability::Ready)),
            Err(error) if settings.mode == Mode::Required => Err(error),
            Err(error) => {
                let (reason, remedy) = (error.to_string(), error.remedy());
                Ok((None, Availability::Unavailable { reason, remedy }))
            }
        }
    }

    /// Locks the instance, loads the programs, attaches them to this thread's network namespace. Pinned
    /// state of a former agent is adopted, and its program replaced without a gap.
    pub fn open(settings: &Settings) -> Result<Self, BpfError> {
        let pins = Pins::lock(settings)?;
        let Loaded {
            mut object,
            adopted,
        } = load::load(settings, &pins)?;
        let directory = pins.current();
        let maps = Maps::open(&directory)?;
        Ok(Self {
            names: Names::read(&maps)?,
            accounts: Accounts::open(&directory)?,
            log: KernelLog::take(&mut object),
            tables: maps.tables()?,
            metric: local_routes::metric(&settings.instance),
            local: None,
            pins,
            maps,
            adopted,
        })
    }

    /// Whether a former agent's state was taken over.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Works out what destinations ask for. Pure: needs no datapath.
    pub fn plan(destinations: &[Destination]) -> Result<Plan, Vec<PlanError>> {
        Plan::new(destinations)
    }

    /// Makes new flows follow a plan: local routes, rows of new port classes, then the ports. What was
    /// before stays reachable by flows in flight until [`Self::remove_stale`]. On an error the plan before
    /// stays in force. Listeners' sockets should be in place already.
    pub fn add(&mut self, plan: &Plan) -> Result<(), BpfError> {
        let next = self.tables.after(plan)?;
        let new: Vec<_> = next
            .classes
            .iter()
            .filter(|(class, _)| !self.tables.classes.contains_key(class))
            .collect();
        let wanted = self.tables.rows() + new.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        self.maps.make_sure_of_room(wanted)?;
        for prefix in plan.prefixes() {
            self.add_local(*prefix)?;
        }
        for (class, rows) in new {
            // Known before they are written: rows of a failure are stale ones to remove.
            self.tables.classes.insert(*class, rows.clone());
            self.maps.add_rows(*class, rows)?;
        }
        for (port, class) in (0..=u16::MAX).zip(&next.ports) {
            if self.tables.ports.get(usize::from(port)) != Some(class) {
                self.maps.set_port(port, *class)?;
            }
        }
        self.tables.ports = next.ports;
        Ok(())
    }

    /// Removes what no port leads to and the local routes that a plan does not ask for, also those that a
    /// killed agent of this instance left. Call it after the table swap.
    pub fn remove_stale(&mut self, plan: &Plan) -> Result<(), BpfError> {
        let live: BTreeSet<u16> = self.tables.ports.iter().copied().collect();
        let stale: Vec<u16> = self
            .tables
            .classes
            .keys()
            .filter(|class| !live.contains(class))
            .copied()
            .collect();
        if !stale.is_empty() {
            wait_for_programs();
        }
        for class in stale {
            if let Some(rows) = self.tables.classes.get(&class) {
                self.maps.remove_rows(class, rows)?;
                self.tables.classes.remove(&class);
            }
        }
        let unwanted: Vec<_> = self.local()?.difference(plan.prefixes()).copied().collect();
        for prefix in unwanted {
            local_routes::remove(&LocalRoute {
                prefix,
                metric: self.metric,
            })?;
            self.local()?.remove(&prefix);
        }
        Ok(())
    }

    /// The id of a listener by its configured name; the same after a restart.
    pub fn listener_id(&mut self, name: &str) -> Result<u32, BpfError> {
        self.names.listener(&mut self.maps, name)
    }

    /// The id of a route; the same after a restart.
    pub fn route_id(&mut self, datacenter: &str, service: &str) -> Result<u32, BpfError> {
        self.names.route(&mut self.maps, datacenter, service)
    }

    /// Gives a listener its socket for a family: a listening TCP socket, any member of its SO_REUSEPORT
    /// group. When that member closes the slot is empty, even if others live: set another. An IPv6 socket
    /// that takes IPv4 too may stand in both slots.
    pub fn set_listener(
        &mut self,
        listener: u32,
        family: Family,
        socket: BorrowedFd<'_>,
    ) -> Result<(), BpfError> {
        self.maps.set_listener(listener, family, socket)
    }

    /// The account of a route, to be touched at accept and close.
    pub fn account(&self, route: u32) -> Arc<RouteAccount> {
        self.accounts.of(route)
    }

    /// The accounts of all routes, for whoever flushes them.
    pub fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// What happened under each route, in order of ids.
    pub fn route_stats(&self) -> Result<Vec<RouteStat>, BpfError> {
        let mut stats = Vec::new();
        for (id, datacenter, service) in self.names.routes() {
            stats.push(RouteStat {
                id,
                datacenter: datacenter.to_owned(),
                service: service.to_owned(),
                kernel: self.maps.route_stats(id)?,
                agent: self.accounts.of(id).read(),
            });
        }
        stats.sort_by_key(|stat| stat.id);
        Ok(stats)
    }

    /// The counters of `steer`, all CPUs together.
    pub fn steer_counts(&self) -> Result<Vec<(SteerCount, u64)>, BpfError> {
        SteerCount::ALL
            .into_iter()
            .map(|count| Ok((count, self.maps.steer_count(count)?)))
            .collect()
    }

    /// A reader of the kernel's events; there should be one. Needs a Tokio runtime with I/O.
    pub fn events(&self) -> Result<EventReader, BpfError> {
        EventReader::open(&self.pins.current())
    }

    /// The log of a debug build of the object; none in a release build, and none the second time.
    pub fn take_log(&mut self) -> Option<KernelLog> {
        self.log.take()
    }

    /// Takes everything of this instance away: local routes, programs, maps.
    pub fn detach(mut self) -> Result<(), BpfError> {
        self.accounts.flush()?;
        let routes = self.local()?.clone();
        let metric = self.metric;
        let Self { pins, .. } = self;
        pins.remove()?;
        routes
            .into_iter()
            .try_for_each(|prefix| local_routes::remove(&LocalRoute { prefix, metric }))
    }

    fn add_local(&mut self, prefix: IpNet) -> Result<(), BpfError> {
        if !self.local()?.contains(&prefix) {
            local_routes::add(&LocalRoute {
                prefix,
                metric: self.metric,
            })?;
            self.local()?.insert(prefix);
        }
        Ok(())
    }

    /// The local routes of this instance, read from the kernel the first time.
    fn local(&mut self) -> Result<&mut BTreeSet<IpNet>, BpfError> {
        let known = match self.local.take() {
            Some(known) => known,
            None => {
                let ours =
                    |route: LocalRoute| (route.metric == self.metric).then_some(route.prefix);
                local_routes::list()?.into_iter().filter_map(ours).collect()
            }
        };
        Ok(self.local.insert(known))
    }
}

impl fmt::Debug for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datapath")
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

/// Removes the kernel state of an instance whose agent does not run.
pub fn detach(settings: &Settings) -> Result<(), BpfError> {
    let pins = Pins::lock(settings)?;
    pins.remove()?;
    let metric = local_routes::metric(&settings.instance);
    let ours = local_routes::list()?
        .into_iter()
        .filter(|route| route.metric == metric);
    ours.into_iter()
        .try_for_each(|route| local_routes::remove(&route))
}

/// What happened under one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStat {
    /// Route id.
    pub id: u32,
    /// Datacenter.
    pub datacenter: String,
    /// Service, or the name of a static route.
    pub service: String,
    /// Counted by the kernel, all CPUs together.
    pub kernel: RouteStats,
    /// Counted by the agent.
    pub agent: RouteAccepts,
}

/// Waits until every program run that may have read an old class has ended: such a run would miss rows
/// that are removed under it, and the kernel would answer the client with a reset.
fn wait_for_programs() {
    // A grace period of RCU, which programs run under. Kernels booted with `nohz_full` have no such
    // command: then any time longer than a softirq may take will do.
    if membarrier(MembarrierCommand::Global).is_ok() {
        return;
    }
    let end = Instant::now() + Duration::from_millis(50);
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(rest);
    }
}

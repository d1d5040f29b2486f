//! Assembly: puts together what connections run on, and what changes with a snapshot.

use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use anyhow::Context as _;

use super::inheritance::ServiceManager;
use super::life::Host;
use super::publication::{Publication, lock};
use super::state::State;
use super::steering::Steering;
use crate::bpf::RouteStat;
use crate::control::Control;
use crate::control::snapshot::Snapshot;
use crate::drain::Watch;
use crate::ops::access_log::AccessLog;
use crate::ops::log::LevelHandle;
use crate::ops::metrics::{self, Metrics};
use crate::proxy::Gateway;
use crate::proxy::accept::Acceptors;
use crate::proxy::permits::Permits;
use crate::proxy::record::Observer;
use crate::proxy::registry::Registry;
use crate::proxy::splice::Pipes;
use crate::sys::descriptors;

/// What connections run on, and what changes with a snapshot.
pub(super) struct Core {
    pub(super) gateway: Arc<Gateway>,
    pub(super) acceptors: Arc<Mutex<Option<Acceptors>>>,
    pub(super) steering: Arc<Mutex<Steering>>,
    pub(super) metrics: Metrics,
    pub(super) access_log: Arc<AccessLog>,
    descriptors: u64,
}

impl Core {
    /// Puts together what connections run on. No socket is bound yet.
    pub(super) fn build(host: Host<'_>, control: &Control, drain: Watch) -> anyhow::Result<Self> {
        let snapshot = control.snapshot();
        let access_log = AccessLog::to_stdout(snapshot.settings.log.access);
        let access_log = Arc::new(access_log.context("start the access log")?);
        let steering = Steering::open(&snapshot).map_err(|error| {
            anyhow::anyhow!("steering is required: {error}; {}", error.remedy())
        })?;
        let counts: Arc<dyn Observer> = steering.counts();
        let steering = Arc::new(Mutex::new(steering));
        let registry: Arc<Registry> = Arc::default();
        let metrics = Metrics::new(metrics::Sources {
            control: control.clone(),
            registry: Arc::clone(&registry),
            dropped: access_log.dropped(),
            steer: steer_counts(&steering),
        });
        let budget = descriptors::budget(host.descriptors, snapshot.limits.connections);
        metrics.set_connection_limit(budget.connections);
        let observers: Vec<Arc<dyn Observer>> = vec![
            Arc::new(metrics.clone()),
            Arc::clone(&access_log) as _,
            counts,
        ];
        let (permits, pipes) = (Permits::new(budget.connections), Pipes::new(budget.pipes));
        let gateway = Gateway::new(control.clone(), registry, observers, permits, pipes);
        let gateway = Arc::new(gateway);
        let acceptors = Acceptors::new(
            Arc::clone(&gateway),
            drain,
            host.connections.clone(),
            Box::new(ServiceManager::new(host.inherited)),
            host.cores,
        );
        Ok(Self {
            gateway,
            acceptors: Arc::new(Mutex::new(Some(acceptors))),
            steering,
            metrics,
            access_log,
            descriptors: host.descriptors,
        })
    }

    /// What the admin interface asks.
    pub(super) fn state(&self, level: &LevelHandle) -> State {
        State {
            gateway: Arc::clone(&self.gateway),
            steering: Arc::clone(&self.steering),
            level: level.clone(),
            descriptors: self.descriptors,
            started: (SystemTime::now(), Instant::now()),
            phase: AtomicU8::new(0),
        }
    }

    /// What follows each snapshot.
    pub(super) fn publication(&self, level: &LevelHandle, first: &Snapshot) -> Publication {
        Publication {
            gateway: Arc::clone(&self.gateway),
            acceptors: Arc::clone(&self.acceptors),
            steering: Arc::clone(&self.steering),
            metrics: self.metrics.clone(),
            access_log: Arc::clone(&self.access_log),
            level: level.clone(),
            configured_level: first.settings.log.level,
            descriptors: self.descriptors,
        }
    }
}

fn steer_counts(
    steering: &Arc<Mutex<Steering>>,
) -> Box<dyn Fn() -> Vec<metrics::SteerCount> + Send + Sync> {
    let steering = Arc::clone(steering);
    Box::new(move || {
        let steering = lock(&steering);
        let stats = steering.datapath().map(|datapath| datapath.route_stats());
        let stats = stats.transpose().unwrap_or_default().unwrap_or_default();
        let count = |stat: RouteStat| metrics::SteerCount {
            datacenter: stat.datacenter,
            service: stat.service,
            lookups: stat.kernel.lookups,
            connections: stat.agent.connections,
        };
        stats.into_iter().map(count).collect()
    })
}

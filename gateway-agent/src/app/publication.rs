//! What must follow a snapshot: sockets, kernel tables, limits, live connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::steering::Steering;
use crate::control::Publisher;
use crate::control::snapshot::{LogLevel, Snapshot};
use crate::ops::access_log::AccessLog;
use crate::ops::log::LevelHandle;
use crate::ops::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::accept::Acceptors;
use crate::sys::descriptors;

/// Everything that changes with a snapshot.
pub(super) struct Publication {
    pub(super) gateway: Arc<Gateway>,
    /// Gone once the agent stops accepting.
    pub(super) acceptors: Arc<Mutex<Option<Acceptors>>>,
    pub(super) steering: Arc<Mutex<Steering>>,
    pub(super) metrics: Metrics,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) level: LevelHandle,
    /// The level that the configuration said last: an operator's change at run time stands until
    /// the configuration changes its mind.
    pub(super) configured_level: LogLevel,
    pub(super) descriptors: u64,
}

impl Publisher for Publication {
    fn add(&mut self, next: &Snapshot) -> Result<(), String> {
        let mut acceptors = lock(&self.acceptors);
        let Some(acceptors) = acceptors.as_mut() else {
            return Err("the agent is draining: no new configuration".to_owned());
        };
        acceptors.bind(next).map_err(|errors| {
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        })?;
        lock(&self.steering)
            .add(next, acceptors)
            .inspect_err(|_error| {
                acceptors.unbind(&self.gateway.control.snapshot());
            })
    }

    fn remove_stale(&mut self, next: &Snapshot) {
        lock(&self.steering).remove_stale();
        if let Some(acceptors) = lock(&self.acceptors).as_mut() {
            acceptors.serve();
            acceptors.unbind(next);
        }
        let budget = descriptors::budget(self.descriptors, next.limits.connections);
        self.gateway.permits.set_limit(budget.connections);
        self.gateway.pipes.set_limit(budget.pipes);
        self.metrics.set_connection_limit(budget.connections);
        self.access_log.set_form(next.settings.log.access);
        let level = next.settings.log.level;
        if level != self.configured_level {
            self.configured_level = level;
            if let Err(error) = self.level.set(level.label()) {
                tracing::warn!(%error, "take the configured log level");
            }
        }
    }

    fn recheck(&mut self, next: &Arc<Snapshot>) {
        let cut = self.gateway.registry.recheck(next);
        if cut > 0 {
            tracing::info!(
                cut,
                generation = next.generation,
                "policy cut open connections"
            );
        }
    }
}

/// No holder leaves these half changed, so a panic elsewhere does not spoil them.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

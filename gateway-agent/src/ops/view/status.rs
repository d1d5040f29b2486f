//! The agent's state, as `status` shows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{LastReload, milliseconds, timestamp};
use crate::control::mesh::MeshState;
use crate::control::snapshot::{DestinationPrefix, Listener as Configured, Route};
use crate::control::{Control, Snapshot};

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// Name of the instance.
    pub instance: String,
    /// Datacenter label, may be empty.
    pub datacenter: String,
    /// Process id.
    pub pid: u32,
    /// When the agent started.
    pub started: String,
    /// Milliseconds since then.
    pub uptime_ms: u64,
    /// Where the agent is in its life.
    pub phase: Phase,
    /// Generation of the configuration in force.
    pub generation: u64,
    /// How the last reload went.
    pub last_reload: LastReload,
    /// Number of routes.
    pub routes: u64,
    /// The mesh that routes are derived from; absent: none.
    pub mesh: Option<Mesh>,
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// The engines that are preferred, best first.
    pub engines: Vec<Engine>,
    /// Kernel steering.
    pub steer: Steer,
    /// Open connections, of those that may be.
    pub connections: Usage,
    /// Descriptors, of those that may be open.
    pub descriptors: Usage,
    /// Level of the agent's own log.
    pub log_level: String,
}

/// The mesh, as this gateway sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mesh {
    /// Our datacenter.
    pub datacenter: String,
    /// Our partition.
    pub partition: String,
    /// The trust domain.
    pub trust_domain: String,
    /// Services here that have instances in the mesh.
    pub services: u64,
    /// Mesh gateways here.
    pub gateways: u64,
    /// Datacenters, and partitions of them, whose gateways are known.
    pub remote: Vec<String>,
    /// Routes that it has in force.
    pub routes: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Where the agent is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Listeners are not bound yet, or no snapshot is published.
    Starting,
    /// Serving.
    Ready,
    /// Finishing open connections, taking no new ones.
    Draining,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Addresses it is bound to.
    pub addresses: Vec<String>,
    /// Destinations the kernel steers to it.
    pub destinations: Vec<Destination>,
    /// What is wrong with it, with the remedy; absent: nothing.
    pub problem: Option<String>,
}

/// One steered destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Address prefix.
    pub prefix: String,
    /// Port, or range of ports.
    pub ports: String,
    /// Datacenter label, may be empty.
    pub datacenter: String,
    /// Service label.
    pub service: String,
}

/// One engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// `packet`, `sockmap` or `copy`.
    pub name: String,
    /// Whether it is used when it fits.
    pub available: bool,
    /// Why not, or what limits it.
    pub why: Option<String>,
}

/// Kernel steering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steer {
    /// Whether it steers now.
    pub active: bool,
    /// Why not, with the remedy.
    pub why: Option<String>,
}

/// How much of a limit is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// In use now.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

/// What only the running agent knows; the wiring fills it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Where the agent is in its life.
    pub phase: Phase,
    /// When it started.
    pub started: SystemTime,
    /// How long ago that was, by a clock that never jumps.
    pub uptime: Duration,
    /// Listeners that do not work as configured, and why, with the remedy.
    pub listener_problems: Vec<(String, String)>,
    /// The engines, best first.
    pub engines: Vec<Engine>,
    /// Kernel steering.
    pub steer: Steer,
    /// Open connections.
    pub connections: Usage,
    /// Open descriptors.
    pub descriptors: Usage,
    /// Level of the agent's own log.
    pub log_level: String,
}

/// Puts the state together.
#[must_use]
pub fn status(control: &Control, runtime: Runtime) -> Status {
    let snapshot = control.snapshot();
    let problem = |listener: &Configured| {
        let found = runtime
            .listener_problems
            .iter()
            .find(|(name, _)| **name == *listener.name);
        found.map(|(_, problem)| problem.clone())
    };
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: snapshot.instance.to_string(),
        datacenter: snapshot.datacenter.to_string(),
        pid: std::process::id(),
        started: timestamp(runtime.started),
        uptime_ms: milliseconds(runtime.uptime),
        phase: runtime.phase,
        generation: snapshot.generation,
        last_reload: LastReload::from(&control.last_reload()),
        routes: snapshot.routes.len() as u64,
        mesh: snapshot.mesh.as_ref().map(|state| mesh(&snapshot, state)),
        listeners: snapshot
            .listeners
            .iter()
            .map(|one| listener(one, problem(one)))
            .collect(),
        engines: runtime.engines,
        steer: runtime.steer,
        connections: runtime.connections,
        descriptors: runtime.descriptors,
        log_level: runtime.log_level,
    }
}

fn mesh(snapshot: &Snapshot, state: &MeshState) -> Mesh {
    let known = &*state.mesh;
    let here = known.catalog.localities.get(&known.here);
    let of_mesh = |route: &&Arc<Route>| route.origin.mesh().is_some();
    Mesh {
        datacenter: known.here.datacenter.to_string(),
        partition: known.here.partition.to_string(),
        trust_domain: known.trust_domain.to_string(),
        services: here.map_or(0, |census| census.connect.len() as u64),
        gateways: here.map_or(0, |census| census.gateways.len() as u64),
        remote: state.remote().iter().map(ToString::to_string).collect(),
        routes: snapshot.routes.iter().filter(of_mesh).count() as u64,
        notes: state.notes(&snapshot.routes),
    }
}

fn listener(configured: &Configured, problem: Option<String>) -> Listener {
    Listener {
        name: configured.name.to_string(),
        addresses: configured
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect(),
        destinations: configured
            .destinations
            .iter()
            .map(Destination::from)
            .collect(),
        problem,
    }
}

impl From<&DestinationPrefix> for Destination {
    fn from(configured: &DestinationPrefix) -> Self {
        let (first, last) = configured.ports.clone().into_inner();
        Self {
            prefix: configured.prefix.to_string(),
            ports: if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            },
            datacenter: configured.datacenter.to_string(),
            service: configured.service.to_string(),
        }
    }
}

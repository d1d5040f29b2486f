//! Mesh routes: what a mesh gateway must do, one server name pattern at a time.
//!
//! Plain values that `derive` makes and `control` puts in force.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::name::{Name, ServiceName};
use crate::control::snapshot::Place;

/// One route of a mesh gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshRoute {
    /// The exact server name, or `*.suffix` for one or more labels before the suffix; lower case.
    pub name: Arc<str>,
    /// Why it exists.
    pub role: Role,
    /// What happens to its connections.
    pub action: Action,
    /// The datacenter that it leads to.
    pub datacenter: Name,
    /// The service that it leads to; `None` where it leads to gateways or servers.
    pub service: Option<ServiceName>,
    /// The subset of that service.
    pub subset: Option<Arc<str>>,
    /// Endpoints, sorted by address; those that are down as well.
    pub endpoints: Vec<MeshEndpoint>,
    /// Limit of one dial.
    pub connect_timeout: Duration,
    /// How endpoints are chosen.
    pub balance: MeshBalance,
    /// How host names among the endpoints are resolved; `None`: there are none.
    pub dns: Option<DnsDiscovery>,
    /// With fewer than this percentage up, all are used; `None`: the gateway's own setting.
    pub panic_percent: Option<u8>,
    /// Limits on its use.
    pub limits: RouteLimits,
    /// Keepalive towards its endpoints; `None`: the gateway's own setting.
    pub keepalive: Option<RouteKeepalive>,
    /// Why it is as it is.
    pub reason: Reason,
}

/// What made a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A service here, or its default subset.
    LocalService,
    /// A subset of a service here.
    LocalSubset,
    /// All names of another datacenter.
    RemoteDc,
    /// The name of another datacenter itself.
    RemoteDcExact,
    /// All names of another partition.
    RemotePartition,
    /// The name of another partition itself.
    RemotePartitionExact,
    /// Each server of another datacenter.
    RemoteServers,
    /// Any server of another datacenter.
    RemoteServersExact,
    /// One server here.
    LocalServer,
    /// Any server here.
    LocalServersAny,
    /// The servers here, for the control plane of peerings.
    PeeringLocalServers,
    /// A peer's servers, for the control plane of peerings.
    PeeringRemoteServers,
    /// A service that a peer may use, passed through.
    ExportedTcp,
    /// A service that a peer may use, routed by request.
    ExportedHttp,
    /// A service of a peer.
    Imported,
}

impl Role {
    /// The word for tables and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::LocalService => "local-service",
            Self::LocalSubset => "local-subset",
            Self::RemoteDc => "remote-dc",
            Self::RemoteDcExact => "remote-dc-exact",
            Self::RemotePartition => "remote-partition",
            Self::RemotePartitionExact => "remote-partition-exact",
            Self::RemoteServers => "remote-servers",
            Self::RemoteServersExact => "remote-servers-exact",
            Self::LocalServer => "local-server",
            Self::LocalServersAny => "local-servers-any",
            Self::PeeringLocalServers => "peering-local-servers",
            Self::PeeringRemoteServers => "peering-remote-servers",
            Self::ExportedTcp => "exported-tcp",
            Self::ExportedHttp => "exported-http",
            Self::Imported => "imported",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What happens to a route's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are passed through.
    Forward,
    /// They are refused.
    Refuse(Arc<str>),
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshEndpoint {
    /// Address (IPv6 without brackets) or host name, lower case.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// What its checks say.
    pub health: Health,
    /// Its share of the connections, 1 to 128.
    pub weight: u32,
    /// The instance that it is, `node/service id`.
    pub instance: Arc<str>,
}

impl fmt::Display for MeshEndpoint {
    /// `10.0.0.1:443`, `[fd00::1]:443`, `gw.example.net:443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What the checks of an endpoint say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It may be used.
    Up,
    /// It is used only when too few are up.
    Down,
    /// Nobody looks; used as one that is up.
    Unknown,
}

impl Health {
    /// The word for tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// How endpoints are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshBalance {
    /// In turn.
    #[default]
    RoundRobin,
    /// At random.
    Random,
    /// The least busy of so many drawn at random; `None`: Envoy's 2.
    LeastRequest(Option<u32>),
}

impl MeshBalance {
    /// The word for tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest(_) => "least_request",
        }
    }
}

/// How host names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsDiscovery {
    /// One name, the first that is not down.
    LogicalDns,
    /// All names.
    StrictDns,
}

impl DnsDiscovery {
    /// The word of registrations.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::LogicalDns => "logical_dns",
            Self::StrictDns => "strict_dns",
        }
    }
}

/// Limits on the use of a route; absent: none of its own. 0 means none at all may.
pub type RouteLimits = super::entries::service_defaults::UpstreamLimits;

/// Keepalive of connections to endpoints, in whole seconds; absent: the system's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RouteKeepalive {
    /// Idle time before the first probe.
    pub time: Option<u32>,
    /// Time between probes.
    pub interval: Option<u32>,
    /// Probes without an answer before the connection counts as dead.
    pub probes: Option<u32>,
}

/// Why a route is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule in a sentence: "service web has 2 instances in dc1".
    pub rule: Arc<str>,
    /// The entries and registrations that shaped it, the most telling first; few.
    pub entries: Vec<Place>,
}

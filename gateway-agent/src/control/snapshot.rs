//! Snapshot: everything the data path reads, immutable, with a generation.
//!
//! Pure: built from a valid configuration, never changed. A connection holds the snapshot until it
//! has its route, and then only parts of it: a mesh changes often, connections last, and each old
//! snapshot holds a whole mesh. Live state (connection counts, ejections, resolved addresses) is
//! in the clusters, which outlive a snapshot where their route does.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::cluster::{Balance, Cluster};
use super::mesh::MeshState;
use super::policy::Access;
use super::routes::{Match, MatchKind, RouteTable};
pub use super::settings::{
    AccessLog, Admin, Dns, EngineKind, EnginePreference, Health, Limits, Log, LogLevel, Settings,
    Sockmap, Steer, SteerMode,
};
use super::uses::Uses;
use crate::mesh::route::{MeshRoute, RouteKeepalive};

/// One state of the whole configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the snapshots of this process, from 1.
    pub generation: u64,
    /// The instance's name, which names pins, locks and sockets.
    pub instance: Arc<str>,
    /// The datacenter's label, which may be empty.
    pub datacenter: Arc<str>,
    /// All listeners, in the order of the configuration.
    pub listeners: Vec<Arc<Listener>>,
    /// All routes.
    pub routes: RouteTable,
    /// Routes that are gone and have connections still. One that comes back, as that of a service
    /// does that is registered anew, goes on counting them.
    pub departed: RouteTable,
    /// What happens to names that no route has, and to hellos without a name.
    pub default: DefaultAction,
    /// Sizes and times of the data path.
    pub limits: Arc<Limits>,
    /// Which engines to try, best first.
    pub engine: Arc<EnginePreference>,
    /// What the rest of the agent needs to know.
    pub settings: Settings,
    /// The mesh that routes were derived from; `None` without a gateway.
    pub mesh: Option<Arc<MeshState>>,
    /// Folders that the configuration was read from, beside its file.
    pub watched: Vec<PathBuf>,
}

impl Snapshot {
    /// Finds the route of a connection: exact name, longest suffix, then the listener's default
    /// or the global one.
    ///
    /// `name` is normalised, as a `ServerName` is; `None` is a hello without a server name.
    ///
    /// # Errors
    ///
    /// [`NoRoute`] when nothing matches and the default is to reject.
    pub fn route_for(&self, listener: &Listener, name: Option<&str>) -> Result<Match<'_>, NoRoute> {
        if let Some(found) = name.and_then(|name| self.routes.lookup(name)) {
            return Ok(found);
        }
        // By name, not by the `Arc` in the listener: that one may be of an older snapshot.
        let default = listener.default.as_ref().unwrap_or(&self.default);
        let route = match default {
            DefaultAction::Reject => None,
            DefaultAction::Route(route) => self.routes.get(route),
        };
        match (route, name) {
            (Some(route), _) => Ok(Match {
                route,
                kind: MatchKind::Default,
            }),
            (None, Some(_)) => Err(NoRoute::UnknownName),
            (None, None) => Err(NoRoute::NoServerName),
        }
    }

    /// The route of this name that the next snapshot's takes over from.
    pub(super) fn before(&self, route_name: &str) -> Option<&Arc<Route>> {
        let here = self.routes.get(route_name);
        here.or_else(|| self.departed.get(route_name))
    }

    /// The listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners
            .iter()
            .find(|listener| &*listener.name == name)
    }
}

/// Why no route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoRoute {
    /// No route has the server name, and the default is to reject.
    UnknownName,
    /// The hello has no server name, and the default is to reject.
    NoServerName,
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownName => "no route has this server name and the default is to reject",
            Self::NoServerName => "the hello has no server name and the default is to reject",
        })
    }
}

impl std::error::Error for NoRoute {}

/// Where connections come in.
#[derive(Debug)]
pub struct Listener {
    /// The configured name.
    pub name: Arc<str>,
    /// A number for the kernel: the same for one name as long as reloads keep the name.
    pub id: u32,
    /// Addresses to bind. IPv6 ones are IPv6 only.
    pub addresses: Vec<SocketAddr>,
    /// Destinations that the kernel steers here without binding each.
    pub destinations: Vec<DestinationPrefix>,
    /// Who may connect.
    pub access: Access,
    /// Whether, and from whom, a PROXY header is read.
    pub accept_proxy: Option<AcceptProxy>,
    /// How a refusal looks to the client.
    pub refuse: Refuse,
    /// Overrides the snapshot's default.
    pub default: Option<DefaultAction>,
    /// Where it is configured.
    pub at: Place,
}

/// One steered destination: a prefix, a port range and the labels it counts under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationPrefix {
    /// Destination addresses, host bits zero.
    pub prefix: IpNet,
    /// Destination ports, never 0.
    pub ports: RangeInclusive<u16>,
    /// Datacenter label, which may be empty.
    pub datacenter: Arc<str>,
    /// Service label; the listener's name when not configured.
    pub service: Arc<str>,
}

/// From whom PROXY headers are read.
#[derive(Clone, Debug)]
pub struct AcceptProxy {
    /// The prefixes as configured.
    pub from: Vec<IpNet>,
    /// Whether a connection from these prefixes without a header is refused.
    pub required: bool,
    sources: Access,
}

impl AcceptProxy {
    /// Compiles the prefixes. No prefix covers nobody.
    #[must_use]
    pub fn new(from: Vec<IpNet>, required: bool) -> Self {
        Self {
            sources: Access::new(&from, &[]),
            from,
            required,
        }
    }

    /// Whether a header from this peer is read at all.
    #[must_use]
    pub fn covers(&self, peer: IpAddr) -> bool {
        !self.from.is_empty() && self.sources.verdict(peer).allowed
    }
}

/// How a refusal looks to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refuse {
    /// A TLS alert, then close.
    #[default]
    Alert,
    /// Close without a word.
    Close,
}

/// What happens to connections that no route matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DefaultAction {
    /// Refuse them.
    #[default]
    Reject,
    /// Give them to the route of this name, which exists.
    Route(Arc<str>),
}

/// Where the connections of some server names go.
#[derive(Debug)]
pub struct Route {
    /// As configured, normalised; the metric label.
    pub name: Arc<str>,
    /// What made it.
    pub origin: Origin,
    /// What it matches.
    pub pattern: Pattern,
    /// Why its connections are refused; `None`: they are not.
    pub refused: Option<Arc<str>>,
    /// Datacenter label, which may be empty.
    pub datacenter: Arc<str>,
    /// Service label; the route's name when not configured, empty where a mesh names none.
    pub service: Arc<str>,
    /// Who may use it, on top of the listener's access.
    pub access: Access,
    /// The PROXY header to send, if any.
    pub send_proxy: Option<ProxyVersion>,
    /// How endpoints are chosen.
    pub balance: Balance,
    /// Limit of one dial.
    pub connect_timeout: Duration,
    /// A connection without a byte either way for so long is closed.
    pub idle_timeout: Duration,
    /// Connections at one time; `None`: no limit of its own.
    pub max_connections: Option<u32>,
    /// Its connections of now, those from before a reload included.
    pub uses: Uses,
    /// Keepalive towards its endpoints; `None`: the one of the limits.
    pub keepalive: Option<RouteKeepalive>,
    /// Local addresses to dial from, at most one of each family; none of a family: the kernel's choice.
    pub source_addresses: Vec<IpAddr>,
    /// Its endpoints, with their live state.
    pub cluster: Arc<Cluster>,
    /// What an operator should know about it.
    pub notes: Vec<Arc<str>>,
    /// Where it is configured.
    pub at: Place,
}

impl Route {
    /// The local address to dial an endpoint of `remote`'s family from.
    #[must_use]
    pub fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        self.source_addresses
            .iter()
            .copied()
            .find(|local| local.is_ipv4() == remote.is_ipv4())
    }
}

/// What made a route.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A `route` block.
    Configured,
    /// The mesh, as derived.
    Mesh(Arc<MeshRoute>),
}

impl Origin {
    /// The route that the mesh asks for, where it was the mesh.
    #[must_use]
    pub fn mesh(&self) -> Option<&Arc<MeshRoute>> {
        match self {
            Self::Configured => None,
            Self::Mesh(route) => Some(route),
        }
    }
}

/// What server names a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The route's name and no other.
    Exact,
    /// Every name with one or more labels before the suffix after `*`.
    Wildcard,
}

impl Pattern {
    /// The pattern that a normalised route name stands for.
    #[must_use]
    pub fn of(route_name: &str) -> Self {
        if route_name.starts_with("*.") {
            Self::Wildcard
        } else {
            Self::Exact
        }
    }
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// The line of text.
    V1,
    /// The binary header.
    V2,
}

/// A place in the configuration. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named on the command line.
    pub file: Arc<str>,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

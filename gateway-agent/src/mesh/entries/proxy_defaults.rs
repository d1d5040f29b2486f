//! `proxy-defaults`: settings of all proxies of a partition. Its name is `global`.

use std::collections::BTreeMap;

use super::proxy::{FailoverPolicy, PrioritizeByLocality, ProxySettings};
use crate::control::snapshot::Place;
use crate::mesh::catalog::{GatewayMode, Opaque, Placed};
use crate::mesh::name::Name;

/// Settings of all proxies.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyDefaults {
    /// The partition that it holds for.
    pub partition: Name,
    /// Opaque settings; `protocol` is the one that counts here.
    pub config: Opaque,
    /// How connections to other datacenters travel.
    pub mesh_gateway: Option<Placed<GatewayMode>>,
    /// How sidecars do their work.
    pub proxy: ProxySettings,
    /// What proxies write about connections.
    pub access_logs: AccessLogs,
    /// How the next target of a failover is chosen.
    pub failover_policy: FailoverPolicy,
    /// Whether near instances come first.
    pub prioritize_by_locality: PrioritizeByLocality,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

impl ProxyDefaults {
    /// One that says nothing.
    #[must_use]
    pub fn new(partition: Name, at: Place) -> Self {
        Self {
            partition,
            config: Opaque::default(),
            mesh_gateway: None,
            proxy: ProxySettings::default(),
            access_logs: AccessLogs::default(),
            failover_policy: FailoverPolicy::default(),
            prioritize_by_locality: PrioritizeByLocality::default(),
            meta: BTreeMap::new(),
            at,
        }
    }
}

/// What proxies write about connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLogs {
    /// Whether they write at all.
    pub enabled: bool,
    /// Whether connections that match nothing are left out.
    pub disable_listener_logs: bool,
    /// Where to.
    pub sink: LogSink,
    /// The file, of that sink.
    pub path: String,
    /// Form of a line as JSON; excludes `text_format`.
    pub json_format: String,
    /// Form of a line as text.
    pub text_format: String,
}

/// Where access logs go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSink {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File,
}

//! `proxy-defaults`: settings of all proxies of a partition. Its name is `global`.

use std::collections::BTreeMap;

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
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

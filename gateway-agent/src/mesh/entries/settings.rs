//! `mesh`: settings of the mesh as a whole. Its name is `mesh`.

use std::collections::BTreeMap;

use super::tls::TlsBounds;
use crate::control::snapshot::Place;
use crate::mesh::name::Name;

/// Settings of the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSettings {
    /// The partition that it holds for.
    pub partition: Name,
    /// Whether the control plane of peerings travels through mesh gateways.
    pub peer_through_mesh_gateways: bool,
    /// Whether transparent proxies reach nothing outside of the mesh.
    pub mesh_destinations_only: bool,
    /// Whether services may take connections outside of the mesh's TLS.
    pub allow_permissive_mutual_tls: bool,
    /// Whether proxies check that a route's cluster exists.
    pub validate_clusters: bool,
    /// TLS that proxies take.
    pub tls_incoming: TlsBounds,
    /// TLS that proxies dial with.
    pub tls_outgoing: TlsBounds,
    /// How requests are looked at.
    pub http: HttpSettings,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

impl MeshSettings {
    /// One that says nothing.
    #[must_use]
    pub fn new(partition: Name, at: Place) -> Self {
        Self {
            partition,
            peer_through_mesh_gateways: false,
            mesh_destinations_only: false,
            allow_permissive_mutual_tls: false,
            validate_clusters: false,
            tls_incoming: TlsBounds::default(),
            tls_outgoing: TlsBounds::default(),
            http: HttpSettings::default(),
            meta: BTreeMap::new(),
            at,
        }
    }
}

/// How requests are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whether the client's certificate is not told on.
    pub sanitize_x_forwarded_client_cert: bool,
    /// Whether paths stay as they came.
    pub insecure_disable_path_normalization: bool,
    /// Whether `//` becomes `/`.
    pub merge_slashes: bool,
    /// What happens to `%2F`, in Consul's words; empty: the proxy's default.
    pub escaped_slashes: String,
    /// What happens to headers with `_`, in Consul's words; empty: they stay.
    pub headers_with_underscores: String,
}

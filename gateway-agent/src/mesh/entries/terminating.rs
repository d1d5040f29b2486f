//! `terminating-gateway`: services outside of the mesh that a gateway leads to.

use std::collections::BTreeMap;

use crate::control::snapshot::Place;
use crate::mesh::name::ServiceName;

/// What a terminating gateway links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminatingGateway {
    /// The gateway's service.
    pub gateway: ServiceName,
    /// The services.
    pub services: Vec<LinkedService>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// One linked service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedService {
    /// The service; the name `*` stands for all of its namespace.
    pub service: ServiceName,
    /// File of the certificates that the service is verified against; empty: no TLS.
    pub ca_file: String,
    /// File of the certificate that is shown to it.
    pub cert_file: String,
    /// File of its key.
    pub key_file: String,
    /// Server name that is sent to it.
    pub sni: String,
    /// Whether the Host header stays as it is.
    pub disable_auto_host_rewrite: bool,
    /// Where it stands.
    pub at: Place,
}

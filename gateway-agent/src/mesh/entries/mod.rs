//! Config entries: what operators lay down about services, one type a kind; that of
//! `service-intentions` is with the rules that use it, in `mesh::intentions`.
//!
//! Fields are those of Consul's entries (all editions, 1.8 to 1.22); each entry knows where it
//! stands. Reading and validating one entry is `config::mesh`'s; what is here is right in itself.
//! Whether entries fit together is told by [`Entries::check`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::intentions::ServiceIntentions;
use super::name::{Name, ServiceName};

mod check;
mod entry;
// What peers and partitions may use.
pub mod exported;
// Changes to headers.
pub mod headers;
// What enters the mesh.
pub mod ingress;
// Settings of sidecars.
pub mod proxy;
// Settings of all proxies.
pub mod proxy_defaults;
// Where a service's connections go.
pub mod resolver;
// Where a service's requests go.
pub mod router;
// Settings of one service.
pub mod service_defaults;
// Settings of the mesh.
pub mod settings;
// Shares of a service's requests.
pub mod splitter;
// What terminating gateways link.
pub mod terminating;
// Versions and ciphers of TLS.
pub mod tls;

pub use check::Problem;
pub use entry::{Entry, EntryKind};
pub use exported::ExportedServices;
pub use ingress::IngressGateway;
pub use proxy_defaults::ProxyDefaults;
pub use resolver::ServiceResolver;
pub use router::ServiceRouter;
pub use service_defaults::ServiceDefaults;
pub use settings::MeshSettings;
pub use splitter::ServiceSplitter;
pub use terminating::TerminatingGateway;

/// All config entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// `proxy-defaults`, by partition.
    pub proxy_defaults: BTreeMap<Name, Arc<ProxyDefaults>>,
    /// `service-defaults`.
    pub service_defaults: BTreeMap<ServiceName, Arc<ServiceDefaults>>,
    /// `service-resolver`.
    pub resolvers: BTreeMap<ServiceName, Arc<ServiceResolver>>,
    /// `service-router`.
    pub routers: BTreeMap<ServiceName, Arc<ServiceRouter>>,
    /// `service-splitter`.
    pub splitters: BTreeMap<ServiceName, Arc<ServiceSplitter>>,
    /// `service-intentions`, by destination.
    pub intentions: BTreeMap<ServiceName, Arc<ServiceIntentions>>,
    /// `ingress-gateway`.
    pub ingress: BTreeMap<ServiceName, Arc<IngressGateway>>,
    /// `terminating-gateway`.
    pub terminating: BTreeMap<ServiceName, Arc<TerminatingGateway>>,
    /// `mesh`, by partition.
    pub mesh: BTreeMap<Name, Arc<MeshSettings>>,
    /// `exported-services`, by partition.
    pub exported: BTreeMap<Name, Arc<ExportedServices>>,
}

impl Entries {
    /// The protocol of a service: its `service-defaults`, else `proxy-defaults`, else tcp.
    #[must_use]
    pub fn protocol(&self, service: &ServiceName) -> &str {
        let own = self
            .service_defaults
            .get(service)
            .map_or("", |defaults| &*defaults.protocol);
        let general = || {
            self.proxy_defaults
                .get(&service.partition)
                .and_then(|defaults| defaults.config.text("protocol"))
                .unwrap_or_default()
        };
        match own {
            "" => match general() {
                "" => "tcp",
                general => general,
            },
            own => own,
        }
    }

    /// Whether a protocol is one that is routed by request: http, http2 or grpc.
    #[must_use]
    pub fn is_http(protocol: &str) -> bool {
        ["http", "http2", "grpc"]
            .iter()
            .any(|http| protocol.eq_ignore_ascii_case(http))
    }
}

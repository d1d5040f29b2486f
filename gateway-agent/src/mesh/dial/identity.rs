//! The identity that a service's instances prove.

use crate::mesh::name::{Name, ServiceName};
use crate::mesh::spiffe::SpiffeId;

/// The SPIFFE URI of a service; `None` where the trust domain is none.
pub(super) fn service(
    service: &ServiceName,
    datacenter: &Name,
    trust_domain: &str,
) -> Option<String> {
    let id = SpiffeId::Service {
        trust_domain: trust_domain.parse().ok()?,
        partition: service.partition.to_string(),
        namespace: service.namespace.to_string(),
        datacenter: datacenter.to_string(),
        service: service.name.to_string(),
    };
    Some(id.to_string())
}

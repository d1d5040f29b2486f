//! The identity that a service's instances prove.

use crate::mesh::name::{Name, ServiceName};

/// The SPIFFE URI of a service.
pub(super) fn service(service: &ServiceName, datacenter: &Name, trust_domain: &str) -> String {
    let partition = if service.partition.is_default() {
        String::new()
    } else {
        format!("/ap/{}", service.partition)
    };
    let ServiceName {
        name, namespace, ..
    } = service;
    format!("spiffe://{trust_domain}{partition}/ns/{namespace}/dc/{datacenter}/svc/{name}")
}

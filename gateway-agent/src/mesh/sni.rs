//! Server names that a mesh's connections carry, each form as Consul writes it.
//!
//! A name comes out as a hello has it after normalisation: lower case, without a trailing dot.
//! An empty namespace or partition is written `default`; `internal-v1` stands if and only if the
//! partition is not the default one.

use super::name::{Locality, Name, ServiceName};

/// A service or one subset of it: `[subset.]service.namespace.dc.internal.trust-domain`.
#[must_use]
pub fn service(
    service: &ServiceName,
    subset: Option<&str>,
    datacenter: &Name,
    trust_domain: &str,
) -> String {
    let ServiceName {
        name,
        namespace,
        partition,
    } = service;
    let subset = subset
        .map(|subset| format!("{subset}."))
        .unwrap_or_default();
    let namespace = or_default(namespace);
    normal(&if partition.is_default() {
        format!("{subset}{name}.{namespace}.{datacenter}.internal.{trust_domain}")
    } else {
        format!("{subset}{name}.{namespace}.{partition}.{datacenter}.internal-v1.{trust_domain}")
    })
}

/// The mesh gateways of a datacenter, or of another partition of one:
/// `dc.internal.trust-domain`, `partition.dc.internal-v1.trust-domain`.
#[must_use]
pub fn gateways(of: &Locality, trust_domain: &str) -> String {
    let Locality {
        datacenter,
        partition,
    } = of;
    normal(&if partition.is_default() {
        format!("{datacenter}.internal.{trust_domain}")
    } else {
        format!("{partition}.{datacenter}.internal-v1.{trust_domain}")
    })
}

/// A service exported to a peer: `service.namespace.partition.peer.external.trust-domain`. The
/// peer is named as the exporter knows it; the partition is always written.
#[must_use]
pub fn exported(service: &ServiceName, peer: &Name, trust_domain: &str) -> String {
    let ServiceName {
        name,
        namespace,
        partition,
    } = service;
    let (namespace, partition) = (or_default(namespace), or_default(partition));
    normal(&format!(
        "{name}.{namespace}.{partition}.{peer}.external.{trust_domain}"
    ))
}

/// Any server of a datacenter: `server.dc.domain`.
#[must_use]
pub fn any_server(datacenter: &Name, domain: &str) -> String {
    normal(&format!("server.{datacenter}.{domain}"))
}

/// One server of a datacenter: `node.server.dc.domain`; any server where the node is empty or `*`.
#[must_use]
pub fn server(node: &str, datacenter: &Name, domain: &str) -> String {
    if node.is_empty() || node == "*" {
        return any_server(datacenter, domain);
    }
    normal(&format!("{node}.server.{datacenter}.{domain}"))
}

/// The servers of a datacenter for the control plane of peerings:
/// `server.dc.peering.trust-domain`.
#[must_use]
pub fn peering(datacenter: &Name, trust_domain: &str) -> String {
    normal(&format!("server.{datacenter}.peering.{trust_domain}"))
}

fn or_default(name: &Name) -> &str {
    if name.is_default() {
        "default"
    } else {
        name.as_str()
    }
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TD: &str = "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul";

    #[test]
    fn each_form_is_as_documented() {
        let (dc, web) = (Name::new("dc1"), ServiceName::plain("web"));
        assert_eq!(
            service(&web, Some("v2"), &dc, TD),
            format!("v2.web.default.dc1.internal.{TD}")
        );
        assert_eq!(
            service(&ServiceName::new("web", "team", "blue"), None, &dc, TD),
            format!("web.team.blue.dc1.internal-v1.{TD}")
        );
        assert_eq!(
            gateways(&Locality::of("dc2"), TD),
            format!("dc2.internal.{TD}")
        );
        assert_eq!(
            exported(&web, &Name::new("north"), TD),
            format!("web.default.default.north.external.{TD}")
        );
        assert_eq!(server("ns1", &dc, "consul."), "ns1.server.dc1.consul");
        assert_eq!(server("*", &dc, "consul"), "server.dc1.consul");
        assert_eq!(peering(&dc, TD), format!("server.dc1.peering.{TD}"));
    }

    #[test]
    fn a_literal_default_partition_never_appears_with_internal_v1() {
        let web = ServiceName::new("Web", "", "default");
        assert_eq!(
            service(&web, None, &Name::new("DC1"), TD),
            format!("web.default.dc1.internal.{TD}")
        );
    }
}

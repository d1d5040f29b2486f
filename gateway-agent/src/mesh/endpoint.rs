//! Where an instance is reached, and whether it should be.
//!
//! The two rules that every derived list of endpoints shares. Host names are left as they are:
//! whoever makes a list decides what they mean in it.

use super::catalog::{Instance, Status};
use super::route::Health;

/// Address and port of an instance; an empty address where nobody told one. `wan`: seen from
/// another datacenter or partition, or from the far side of a peering.
///
/// Consul: a service's own address beats the WAN address of its node, and a WAN port of 0 is the
/// service's.
pub(in crate::mesh) fn best_address(instance: &Instance, wan: bool) -> (String, u16) {
    let (node, service) = (&instance.node, &instance.service);
    let (address, port) = match service.tagged.get("wan").filter(|_| wan) {
        Some(tagged) if tagged.port == 0 => (&tagged.address, service.port),
        Some(tagged) => (&tagged.address, tagged.port),
        None => (&service.address, service.port),
    };
    if !address.is_empty() {
        return (address.clone(), port);
    }
    let tagged = node
        .tagged
        .get("wan")
        .filter(|tagged| wan && !tagged.is_empty());
    (tagged.unwrap_or(&node.address).clone(), port)
}

/// What the checks of an instance and its node say, and its weight, 1 to 128.
///
/// Consul: `only_passing` makes a warning as bad as a critical check; a weight below 1 means down.
pub(in crate::mesh) fn health(instance: &Instance, only_passing: bool) -> (Health, u32) {
    let found = |status| instance.checks.iter().any(|check| check.status == status);
    let (warned, critical) = (found(Status::Warning), found(Status::Critical));
    let weight = match instance.service.weights {
        Some(weights) if warned => weights.warning,
        Some(weights) => weights.passing,
        None => 1,
    };
    let down = critical || (only_passing && warned) || weight < 1;
    let health = if down { Health::Down } else { Health::Up };
    (health, clamped(weight))
}

/// Envoy takes weights of 1 to 128.
fn clamped(weight: i64) -> u32 {
    u32::try_from(weight.clamp(1, 128)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::control::snapshot::Place;
    use crate::mesh::catalog::{Check, Kind, Node, Service, TaggedAddress, Weights};
    use crate::mesh::name::Name;

    /// Service address, service WAN, node address, node WAN -> address and port for LAN and WAN.
    #[test]
    fn a_service_address_beats_the_wan_address_of_its_node() {
        let both = Some(("wan.svc", 443));
        for (service, service_wan, node, node_wan, lan, wan) in [
            (
                "svc",
                both,
                "node",
                "wan.node",
                ("svc", 8443),
                ("wan.svc", 443),
            ),
            (
                "svc",
                Some(("wan.svc", 0)),
                "node",
                "",
                ("svc", 8443),
                ("wan.svc", 8443),
            ),
            (
                "svc",
                None,
                "node",
                "wan.node",
                ("svc", 8443),
                ("svc", 8443),
            ),
            (
                "",
                None,
                "node",
                "wan.node",
                ("node", 8443),
                ("wan.node", 8443),
            ),
            ("", None, "node", "", ("node", 8443), ("node", 8443)),
            (
                "",
                both,
                "node",
                "wan.node",
                ("node", 8443),
                ("wan.svc", 443),
            ),
            (
                "svc",
                Some(("", 443)),
                "node",
                "wan.node",
                ("svc", 8443),
                ("wan.node", 443),
            ),
            ("", None, "", "", ("", 8443), ("", 8443)),
        ] {
            let mut instance = instance();
            let own = Arc::make_mut(&mut instance.service);
            own.address = service.into();
            own.tagged = service_wan
                .map(|(address, port)| {
                    let address = address.into();
                    ("wan".into(), TaggedAddress { address, port })
                })
                .into_iter()
                .collect();
            let machine = Arc::make_mut(&mut instance.node);
            machine.address = node.into();
            machine.tagged = [("wan".into(), node_wan.into())].into();
            let (address, port) = best_address(&instance, false);
            assert_eq!((&*address, port), lan);
            let (address, port) = best_address(&instance, true);
            assert_eq!((&*address, port), wan);
        }
    }

    #[test]
    fn checks_and_weights_decide_about_an_instance() {
        use Health::{Down, Up};
        use Status::{Critical, Passing, Warning};
        let table: &[(&[Status], _, _, _)] = &[
            (&[], None, (Up, 1), (Up, 1)),
            (&[Passing], Some((7, 3)), (Up, 7), (Up, 7)),
            (&[Passing, Warning], None, (Up, 1), (Down, 1)),
            (&[Passing, Warning], Some((7, 3)), (Up, 3), (Down, 3)),
            (&[Critical], Some((7, 3)), (Down, 7), (Down, 7)),
            (&[Warning, Critical], Some((7, 3)), (Down, 3), (Down, 3)),
            (&[Warning], Some((7, 0)), (Down, 1), (Down, 1)),
            (&[], Some((-1, 1)), (Down, 1), (Down, 1)),
            (&[], Some((i64::MAX, 1)), (Up, 128), (Up, 128)),
        ];
        for (checks, weights, loose, strict) in table {
            let mut instance = instance();
            instance.checks = checks.iter().map(|status| check(*status)).collect();
            Arc::make_mut(&mut instance.service).weights =
                weights.map(|(passing, warning)| Weights { passing, warning });
            assert_eq!(health(&instance, false), *loose, "{checks:?} {weights:?}");
            assert_eq!(health(&instance, true), *strict, "{checks:?} {weights:?}");
        }
    }

    fn check(status: Status) -> Check {
        Check {
            id: String::new(),
            name: String::new(),
            service_id: String::new(),
            status,
            output: String::new(),
            at: place(),
        }
    }

    fn instance() -> Instance {
        let node = Node {
            name: Name::new("n1"),
            id: String::new(),
            address: String::new(),
            datacenter: Name::new("dc1"),
            partition: Name::default_name(),
            tagged: BTreeMap::new(),
            meta: BTreeMap::new(),
            at: place(),
        };
        let service = Service {
            kind: Kind::Typical,
            id: "web".into(),
            name: Name::new("web"),
            namespace: Name::default_name(),
            address: String::new(),
            port: 8443,
            tagged: BTreeMap::new(),
            tags: Vec::new(),
            meta: BTreeMap::new(),
            weights: None,
            native: false,
            proxy: None,
            peer_meta: None,
            modify_index: 0,
        };
        Instance {
            node: Arc::new(node),
            service: Arc::new(service),
            checks: Vec::new(),
            peer: None,
            at: place(),
        }
    }

    fn place() -> Place {
        Place {
            file: "mesh.hcl".into(),
            line: 1,
            column: 1,
        }
    }
}

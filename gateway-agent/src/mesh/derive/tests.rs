//! What must hold of the derivation of any mesh. What single meshes give is in
//! `tests/mesh/cases.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::{Derived, Fidelity, Note, View};
use crate::control::snapshot::Place;
use crate::mesh::catalog::{
    Catalog, Check, Instance, Kind, Node, Opaque, PeerMeta, Peering, Proxy, Service, Status,
    TaggedAddress, Weights,
};
use crate::mesh::dial::ModeRules;
use crate::mesh::entries::exported::{Consumer, Export};
use crate::mesh::entries::resolver::{LoadBalancer, LoadPolicy, Redirect, Subset};
use crate::mesh::entries::{
    Entries, ExportedServices, MeshSettings, ServiceDefaults, ServiceResolver,
};
use crate::mesh::intentions::Action;
use crate::mesh::route::MeshRoute;
use crate::mesh::state::{Gateway, Mesh};
use crate::mesh::{Locality, Name, ServiceName};

/// One thing that a mesh consists of. No two of one key are in one mesh.
#[derive(Clone, Debug)]
enum Piece {
    Instance(Part),
    Federated(Part),
    Imported(&'static str, Part),
    Resolver(&'static str, Option<&'static str>, u8),
    Export(&'static str, &'static str),
    Protocol(&'static str, &'static str),
    Peering(&'static str, &'static str, &'static str, u64),
    WanFederation,
    PeerThrough,
}

/// An instance, as far as it matters here.
#[derive(Clone, Debug)]
struct Part {
    node: &'static str,
    datacenter: &'static str,
    partition: &'static str,
    service: &'static str,
    kind: Kind,
    address: &'static str,
    wan: Option<&'static str>,
    version: &'static str,
    status: Status,
    weight: i64,
    index: u64,
}

fn part() -> impl Strategy<Value = Part> {
    let place = (
        select(vec!["n1", "n2", "n3"]),
        select(vec!["dc1", "dc1", "dc1", "dc2", "dc3"]),
        select(vec!["default", "default", "blue"]),
        select(vec!["web", "api", "consul"]),
    );
    let kind = select(vec![
        Kind::ConnectProxy,
        Kind::ConnectProxy,
        Kind::Typical,
        Kind::MeshGateway,
    ]);
    let addresses = select(vec!["", "10.0.0.1", "10.0.0.2", "fd00::1", "a.test"]);
    let wan = select(vec![
        None,
        Some("192.0.2.1"),
        Some("b.test"),
        Some("c.test"),
    ]);
    let status = select(vec![Status::Passing, Status::Warning, Status::Critical]);
    let rest = (select(vec!["1", "2"]), status, 0..3_i64, 0..3_u64);
    (place, kind, addresses, wan, rest).prop_map(|(place, kind, address, wan, rest)| {
        let (node, datacenter, partition, service) = place;
        let (version, status, weight, index) = rest;
        Part {
            node,
            datacenter,
            partition,
            service,
            kind,
            address,
            wan,
            version,
            status,
            weight,
            index,
        }
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    let service = || select(vec!["web", "api"]);
    let peer = || select(vec!["north", "south"]);
    let redirect = select(vec![None, Some("web"), Some("api"), Some("@dc2")]);
    prop_oneof![
        8 => part().prop_map(Piece::Instance),
        2 => part().prop_map(|part| Piece::Federated(Part { kind: Kind::MeshGateway, ..part })),
        2 => (peer(), part()).prop_map(|(peer, part)| Piece::Imported(peer, part)),
        2 => (service(), redirect, 0..6_u8).prop_map(|(service, redirect, shape)| {
            Piece::Resolver(service, redirect, shape)
        }),
        1 => (select(vec!["web", "api", "*"]), peer())
            .prop_map(|(service, peer)| Piece::Export(service, peer)),
        1 => (service(), select(vec!["", "http", "tcp"]))
            .prop_map(|(service, protocol)| Piece::Protocol(service, protocol)),
        1 => (peer(), select(vec!["p.test", "q.test"]), select(vec!["192.0.2.9:1", "d.test:1"]), 0..2_u64)
            .prop_map(|(peer, name, address, index)| Piece::Peering(peer, name, address, index)),
        1 => Just(Piece::WanFederation),
        1 => Just(Piece::PeerThrough),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    prop::collection::vec(piece(), 0..40).prop_map(|pieces| {
        let mut seen = BTreeSet::new();
        let unique = pieces.into_iter().filter(|piece| seen.insert(key(piece)));
        unique.collect()
    })
}

fn key(piece: &Piece) -> String {
    let of = |part: &Part| {
        let Part {
            node,
            datacenter,
            partition,
            service,
            kind,
            ..
        } = part;
        format!("{node} {datacenter} {partition} {service} {}", kind.label())
    };
    match piece {
        Piece::Instance(part) => format!("instance {}", of(part)),
        Piece::Federated(part) => format!("federated {}", of(part)),
        Piece::Imported(peer, part) => format!("imported {peer} {}", of(part)),
        Piece::Resolver(service, ..) => format!("resolver {service}"),
        Piece::Export(service, peer) => format!("export {service} {peer}"),
        Piece::Protocol(service, _) => format!("protocol {service}"),
        Piece::Peering(peer, ..) => format!("peering {peer}"),
        Piece::WanFederation => "wan federation".to_owned(),
        Piece::PeerThrough => "peer through".to_owned(),
    }
}

fn view(pieces: &[Piece]) -> View {
    let mut instances = Vec::new();
    let mut entries = Entries::default();
    let mut federation: BTreeMap<Locality, Vec<Arc<Instance>>> = BTreeMap::new();
    let mut imported: BTreeMap<(Name, ServiceName), Vec<Arc<Instance>>> = BTreeMap::new();
    let mut peerings = BTreeMap::new();
    let mut exports = Vec::new();
    let mut meta = BTreeMap::new();
    for piece in pieces {
        match piece {
            Piece::Instance(part) => instances.push(instance(part, None)),
            Piece::Federated(part) => {
                let instance = instance(part, None);
                federation
                    .entry(instance.locality())
                    .or_default()
                    .push(instance);
            }
            Piece::Imported(peer, part) => {
                let key = (Name::new(peer), ServiceName::plain(part.service));
                imported
                    .entry(key)
                    .or_default()
                    .push(instance(part, Some(peer)));
            }
            Piece::Resolver(service, redirect, shape) => {
                let resolver = resolver(service, *redirect, *shape);
                entries
                    .resolvers
                    .insert(ServiceName::plain(service), Arc::new(resolver));
            }
            Piece::Export(service, peer) => exports.push(Export {
                service: ServiceName::plain(service),
                consumers: vec![Consumer::Peer(Name::new(peer))],
                at: at(),
            }),
            Piece::Protocol(service, protocol) => {
                let defaults = defaults(service, protocol);
                entries
                    .service_defaults
                    .insert(ServiceName::plain(service), Arc::new(defaults));
            }
            Piece::Peering(name, server_name, address, modify_index) => {
                let peering = Peering {
                    name: Name::new(name),
                    server_name: (*server_name).to_owned(),
                    server_addresses: vec![(*address).to_owned()],
                    modify_index: *modify_index,
                    at: at(),
                };
                peerings.insert(Name::new(name), Arc::new(peering));
            }
            Piece::WanFederation => {
                meta.insert("consul-wan-federation".to_owned(), "1".to_owned());
            }
            Piece::PeerThrough => {
                let settings = MeshSettings {
                    peer_through_mesh_gateways: true,
                    ..MeshSettings::new(Name::default_name(), at())
                };
                entries
                    .mesh
                    .insert(Name::default_name(), Arc::new(settings));
            }
        }
    }
    let exported = ExportedServices {
        partition: Name::default_name(),
        services: exports,
        meta: BTreeMap::new(),
        at: at(),
    };
    entries
        .exported
        .insert(Name::default_name(), Arc::new(exported));
    let catalog = Catalog::new(instances, [Locality::of("dc1")], &entries);
    View::of(&Mesh {
        here: Locality::of("dc1"),
        trust_domain: "11.consul".into(),
        domain: "consul".into(),
        gateway: gateway(meta),
        catalog: Catalog {
            federation: shared(federation),
            imported: shared(imported),
            peerings,
            ..catalog
        },
        entries,
        default_intention: Action::Deny,
        mode_rules: ModeRules::default(),
    })
}

fn shared<K: Ord>(lists: BTreeMap<K, Vec<Arc<Instance>>>) -> BTreeMap<K, Arc<[Arc<Instance>]>> {
    lists
        .into_iter()
        .map(|(key, list)| (key, list.into()))
        .collect()
}

fn gateway(meta: BTreeMap<String, String>) -> Gateway {
    Gateway {
        service: ServiceName::plain("mesh-gateway"),
        address: String::new(),
        port: 8443,
        tagged: BTreeMap::new(),
        meta,
        config: Opaque::default(),
        at: at(),
    }
}

fn instance(part: &Part, peer: Option<&str>) -> Arc<Instance> {
    let sidecar = part.kind == Kind::ConnectProxy;
    let name = match part.kind {
        Kind::MeshGateway => "mesh-gateway".to_owned(),
        _ if sidecar => format!("{}-sidecar-proxy", part.service),
        _ => part.service.to_owned(),
    };
    let text = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let mut meta = text("version", part.version);
    meta.insert("grpc_tls_port".to_owned(), "8503".to_owned());
    let tagged = part.wan.map(|wan| {
        let address = wan.to_owned();
        ("wan".to_owned(), TaggedAddress { address, port: 443 })
    });
    let proxy = Proxy {
        destination_service: Name::new(part.service),
        ..Proxy::default()
    };
    Arc::new(Instance {
        node: Arc::new(Node {
            name: Name::new(part.node),
            id: String::new(),
            address: format!("10.1.1.{}", part.node.len()),
            datacenter: Name::new(part.datacenter),
            partition: Name::new(part.partition),
            tagged: BTreeMap::new(),
            meta: BTreeMap::new(),
            at: at(),
        }),
        service: Arc::new(Service {
            kind: part.kind,
            id: format!("{name}-{}", part.service),
            name: Name::new(&name),
            namespace: Name::default_name(),
            address: part.address.to_owned(),
            port: 8080,
            tagged: tagged.into_iter().collect(),
            tags: Vec::new(),
            meta,
            weights: Some(Weights {
                passing: part.weight,
                warning: 1,
            }),
            native: part.kind == Kind::Typical && part.service != "consul",
            proxy: sidecar.then(|| Arc::new(proxy)),
            peer_meta: peer.map(|_| PeerMeta {
                sni: vec![format!(
                    "{}.default.default.us.external.22.consul",
                    part.service
                )],
                ..PeerMeta::default()
            }),
            modify_index: part.index,
        }),
        checks: vec![Check {
            id: "check".to_owned(),
            name: String::new(),
            service_id: String::new(),
            status: part.status,
            output: String::new(),
            at: at(),
        }],
        peer: peer.map(Name::new),
        at: at(),
    })
}

fn resolver(service: &str, redirect: Option<&str>, shape: u8) -> ServiceResolver {
    let subset = |filter: &str, only_passing| Subset {
        filter: filter.to_owned(),
        only_passing,
        at: at(),
    };
    let subsets = [
        ("v1".to_owned(), subset("Service.Meta.version == 1", false)),
        ("v2".to_owned(), subset("Service.Meta.version == 2", true)),
    ];
    let policies = [
        LoadPolicy::Random,
        LoadPolicy::LeastRequest,
        LoadPolicy::RingHash,
    ];
    let defaults = ["", "v1", "v2", "v3"];
    let shape = usize::from(shape);
    let (to, datacenter) = match redirect {
        Some("@dc2") => ("", "dc2"),
        told => (told.unwrap_or_default(), ""),
    };
    ServiceResolver {
        default_subset: defaults.get(shape).copied().unwrap_or_default().to_owned(),
        subsets: subsets.into(),
        redirect: redirect.map(|_| Redirect {
            service: Name::new(to),
            subset: String::new(),
            namespace: Name::default(),
            partition: Name::default(),
            datacenter: Name::new(datacenter),
            peer: Name::default(),
            sameness_group: String::new(),
            at: at(),
        }),
        load_balancer: policies.get(shape).map(|policy| LoadBalancer {
            policy: *policy,
            choice_count: None,
            ring_size: (None, None),
            hash_policies: Vec::new(),
            at: at(),
        }),
        ..ServiceResolver::new(ServiceName::plain(service), at())
    }
}

fn defaults(service: &str, protocol: &str) -> ServiceDefaults {
    ServiceDefaults {
        protocol: protocol.to_owned(),
        ..ServiceDefaults::new(ServiceName::plain(service), at())
    }
}

fn at() -> Place {
    Place {
        file: "mesh.hcl".into(),
        line: 1,
        column: 1,
    }
}

type Values = (Vec<MeshRoute>, Vec<Note>);

fn values(derived: &Derived) -> Values {
    let routes = derived.routes().map(|route| MeshRoute::clone(route));
    (routes.collect(), derived.notes().to_vec())
}

fn new(view: &View) -> Derived {
    Derived::new(view, &Fidelity::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn names_are_sorted_unique_and_can_be_asked_for(pieces in pieces()) {
        let derived = new(&view(&pieces));
        let names: Vec<_> = derived.routes().map(|route| route.name.to_string()).collect();
        prop_assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for name in &names {
            let exact = name.strip_prefix("*.").unwrap_or(name);
            prop_assert!(exact.parse::<gateway_common::wire::ServerName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn nothing_is_told_twice(pieces in pieces()) {
        let mut seen = BTreeSet::new();
        for note in new(&view(&pieces)).notes() {
            prop_assert!(seen.insert(note.text.clone()), "{note}");
        }
    }

    #[test]
    fn the_order_of_what_is_told_plays_no_role(
        (told, shuffled) in pieces().prop_flat_map(|pieces| {
            (Just(pieces.clone()), Just(pieces).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(values(&new(&view(&told))), values(&new(&view(&shuffled))));
    }

    #[test]
    fn what_is_added_and_removed_leaves_no_trace(
        pieces in pieces(), added in piece(), before in any::<bool>(),
    ) {
        let mut more = pieces.clone();
        more.retain(|piece| key(piece) != key(&added));
        more.insert(if before { 0 } else { more.len() }, added);
        let first = new(&view(&pieces));
        let last = first
            .update(&view(&more), &Fidelity::default())
            .update(&view(&pieces), &Fidelity::default());
        prop_assert_eq!(values(&first), values(&last));
    }

    #[test]
    fn an_update_gives_what_a_derivation_from_nothing_gives(
        from in pieces(), to in pieces(), exact in any::<bool>(),
    ) {
        let fidelity = if exact { Fidelity::consul() } else { Fidelity::default() };
        let to = view(&to);
        let updated = new(&view(&from)).update(&to, &fidelity);
        prop_assert_eq!(values(&updated), values(&Derived::new(&to, &fidelity)));
    }
}

#[test]
fn what_has_not_changed_keeps_its_routes() {
    let part = |node, service, status| {
        Piece::Instance(Part {
            node,
            datacenter: "dc1",
            partition: "default",
            service,
            kind: Kind::ConnectProxy,
            address: "",
            wan: None,
            version: "1",
            status,
            weight: 1,
            index: 0,
        })
    };
    let pieces = |status| {
        [
            part("n1", "web", Status::Passing),
            part("n1", "api", status),
        ]
    };
    let former = new(&view(&pieces(Status::Passing)));
    let latter = former.update(&view(&pieces(Status::Critical)), &Fidelity::default());
    let kept: Vec<_> = former
        .routes()
        .zip(latter.routes())
        .map(|(former, latter)| (former.name.split('.').next(), Arc::ptr_eq(former, latter)))
        .collect();
    assert_eq!(kept, [(Some("api"), false), (Some("web"), true)]);
}

//! Routes of a mesh gateway: 10 000 instances of 2 000 services from nothing, and after one
//! instance has changed.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use gateway_agent::control::snapshot::Place;
use gateway_agent::mesh::catalog::{
    Catalog, Check, Instance, Kind, Node, Opaque, Proxy, Service, Status,
};
use gateway_agent::mesh::derive::{Derived, Fidelity, View};
use gateway_agent::mesh::dial::ModeRules;
use gateway_agent::mesh::entries::resolver::Subset;
use gateway_agent::mesh::entries::{Entries, ServiceResolver};
use gateway_agent::mesh::intentions::Action;
use gateway_agent::mesh::state::{Gateway, Mesh};
use gateway_agent::mesh::{Locality, Name, ServiceName};

const SERVICES: u32 = 2_000;
const INSTANCES_EACH: u32 = 5;

/// A mesh in which every tenth service has two subsets, and the checks of its very first instance
/// say `first`.
fn mesh(first: Status) -> Mesh {
    let entries = Entries {
        resolvers: (0..SERVICES).step_by(10).map(resolver).collect(),
        ..Entries::default()
    };
    let all = (0..SERVICES).flat_map(|service| (0..INSTANCES_EACH).map(move |at| (service, at)));
    let instances = all.map(|(service, at)| {
        let changed = (service, at) == (0, 0);
        instance(service, at, if changed { first } else { Status::Passing })
    });
    Mesh {
        here: Locality::of("dc1"),
        trust_domain: "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul".into(),
        domain: "consul".into(),
        gateway: Gateway {
            service: ServiceName::plain("mesh-gateway"),
            address: String::new(),
            port: 8443,
            tagged: BTreeMap::new(),
            meta: BTreeMap::new(),
            config: Opaque::default(),
            at: at(1),
        },
        catalog: Catalog::new(instances, [], &entries),
        entries,
        default_intention: Action::Deny,
        mode_rules: ModeRules::default(),
    }
}

fn service_name(number: u32) -> String {
    format!("service-{number}")
}

fn resolver(service: u32) -> (ServiceName, Arc<ServiceResolver>) {
    let service = ServiceName::plain(&service_name(service));
    let subset = |version: u32| {
        let filter = format!("Service.Meta.version == \"{version}\"");
        let subset = Subset {
            filter,
            only_passing: false,
            at: at(version),
        };
        (format!("v{version}"), subset)
    };
    let resolver = ServiceResolver {
        subsets: [subset(1), subset(2)].into(),
        ..ServiceResolver::new(service.clone(), at(1))
    };
    (service, Arc::new(resolver))
}

fn instance(service: u32, number: u32, status: Status) -> Arc<Instance> {
    let name = service_name(service);
    let node = Node {
        name: Name::new(&format!("node-{}", (service + number) % 200)),
        id: String::new(),
        address: format!("10.{number}.{}.{}", service >> 8, service & 255),
        datacenter: Name::new("dc1"),
        partition: Name::default_name(),
        tagged: BTreeMap::new(),
        meta: BTreeMap::new(),
        at: at(service),
    };
    let sidecar = format!("{name}-sidecar-proxy");
    let proxy = Proxy {
        destination_service: Name::new(&name),
        ..Proxy::default()
    };
    let service = Service {
        kind: Kind::ConnectProxy,
        id: sidecar.clone(),
        name: Name::new(&sidecar),
        namespace: Name::default_name(),
        address: String::new(),
        port: 21_000,
        tagged: BTreeMap::new(),
        tags: Vec::new(),
        meta: [("version".to_owned(), (1 + number % 2).to_string())].into(),
        weights: None,
        native: false,
        proxy: Some(Arc::new(proxy)),
        peer_meta: None,
        modify_index: 1,
    };
    let check = Check {
        id: "alive".to_owned(),
        name: "alive".to_owned(),
        service_id: sidecar,
        status,
        output: String::new(),
        at: at(number),
    };
    Arc::new(Instance {
        node: Arc::new(node),
        service: Arc::new(service),
        checks: vec![check],
        peer: None,
        at: at(number),
    })
}

fn at(line: u32) -> Place {
    Place {
        file: "mesh.hcl".into(),
        line,
        column: 1,
    }
}

fn derive(criterion: &mut Criterion) {
    let fidelity = Fidelity::default();
    let before = View::of(&mesh(Status::Passing));
    criterion.bench_function("derive 10000 instances", |bencher| {
        bencher.iter(|| Derived::new(black_box(&before), &fidelity));
    });

    let derived = Derived::new(&before, &fidelity);
    // As a live source hands it out: all but the one list is the same allocation.
    let name = ServiceName::plain(&service_name(0));
    let mut shared = before.clone();
    let changed: Arc<[_]> = (0..INSTANCES_EACH)
        .map(|number| instance(0, number, Status::Critical))
        .collect();
    shared.connect.insert(name, changed);
    criterion.bench_function(
        "update, one instance of 10000 changed, the rest shared",
        |bencher| {
            bencher.iter(|| derived.update(black_box(&shared), &fidelity));
        },
    );

    // As files read again hand it out: all is another allocation.
    let mesh = mesh(Status::Critical);
    criterion.bench_function(
        "update, one instance of 10000 changed, all read anew",
        |bencher| {
            bencher.iter(|| derived.update(&View::of(black_box(&mesh)), &fidelity));
        },
    );
}

criterion_group!(benches, derive);
criterion_main!(benches);

//! A small mesh and its routes, for tests.

use std::sync::Arc;
use std::time::Duration;

use super::{GatewayListener, MeshPart};
use crate::control::policy::Access;
use crate::control::snapshot::{Place, Refuse};
use crate::mesh::route::{
    Action, Health, MeshBalance, MeshEndpoint, MeshRoute, Reason, Role, RouteLimits,
};
use crate::mesh::state::Gateway;
use crate::mesh::{Locality, Mesh, Name, ServiceName};

pub(crate) fn place(file: &str, line: u32) -> Place {
    Place {
        file: file.into(),
        line,
        column: 1,
    }
}

/// An endpoint from `address:port` or `host:port`.
pub(crate) fn endpoint(at: &str, health: Health) -> MeshEndpoint {
    let (host, port) = at.rsplit_once(':').unwrap();
    let host = host.trim_matches(['[', ']']);
    MeshEndpoint {
        host: host.into(),
        port: port.parse().unwrap(),
        health,
        weight: 1,
        instance: format!("node/{host}").into(),
    }
}

/// A route to a local service whose endpoints are up.
pub(crate) fn wanted(name: &str, endpoints: &[&str]) -> MeshRoute {
    let endpoints = endpoints.iter().map(|at| endpoint(at, Health::Up));
    MeshRoute {
        name: name.into(),
        role: Role::LocalService,
        action: Action::Forward,
        datacenter: Name::new("dc1"),
        service: Some(ServiceName::plain("web")),
        subset: None,
        endpoints: endpoints.collect(),
        connect_timeout: Duration::from_secs(5),
        balance: MeshBalance::RoundRobin,
        dns: None,
        panic_percent: None,
        limits: RouteLimits::default(),
        keepalive: None,
        reason: Reason {
            rule: "service web has instances in dc1".into(),
            entries: vec![place("mesh.d/web.hcl", 4), place("mesh.d/resolver.hcl", 2)],
        },
    }
}

/// A mesh of which only this gateway is known.
pub(crate) fn mesh() -> Arc<Mesh> {
    let gateway = Gateway {
        service: ServiceName::plain("mesh-gateway"),
        address: "192.0.2.1".into(),
        port: 8443,
        tagged: Default::default(),
        meta: Default::default(),
        config: Default::default(),
        at: place("culvert.hcl", 2),
    };
    Arc::new(Mesh {
        here: Locality::of("dc1"),
        trust_domain: "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul".into(),
        domain: "consul".into(),
        gateway,
        catalog: Default::default(),
        entries: Default::default(),
        default_intention: crate::mesh::intentions::Action::Deny,
        mode_rules: Default::default(),
    })
}

/// What a mesh with these routes adds to a configuration.
pub(crate) fn part(routes: impl IntoIterator<Item = Arc<MeshRoute>>) -> MeshPart {
    MeshPart {
        mesh: mesh(),
        routes: routes.into_iter().collect(),
        notes: vec!["db has no instance".into()],
        derived: Default::default(),
        listener: Some(GatewayListener {
            name: "mesh".into(),
            addresses: vec![
                "192.0.2.1:8443".parse().unwrap(),
                "[2001:db8::1]:8443".parse().unwrap(),
            ],
            access: Access::default(),
            accept_proxy: None,
            refuse: Refuse::Close,
            at: place("culvert.hcl", 2),
        }),
        panic_percent: None,
    }
}

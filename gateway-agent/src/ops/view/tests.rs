use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::config::Config;
use crate::control::mesh::fixtures::{part, wanted};
use crate::control::{Control, Snapshot};
use crate::mesh::route::{Action, DnsDiscovery, MeshRoute, RouteKeepalive};
use crate::ops::fixtures::{route, runtime, snapshot};
use crate::proxy::registry::{Opened, Registry};

fn round_trip<T>(value: &T)
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + core::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

#[test]
fn status_survives_the_wire_and_names_a_listeners_problem() {
    let control = Control::fixed(snapshot(vec![route("x")]), "culvert.hcl".as_ref());
    let status = status(&control, runtime());
    assert_eq!(status.listeners[0].problem.as_deref(), Some("cannot bind"));
    assert_eq!(status.routes, 1);
    round_trip(&status);
}

/// A snapshot of a configuration and of what a mesh adds to it.
fn of_mesh(more: &str, routes: Vec<MeshRoute>) -> Snapshot {
    let text = format!("listener \"tls\" {{ address = \"127.0.0.1:8443\" }}\n{more}");
    let config = Config::parse("culvert.hcl", text).unwrap();
    let part = part(routes.into_iter().map(Arc::new));
    Snapshot::assemble(&config, Some(part), None)
}

#[test]
fn status_tells_of_the_mesh_and_what_is_not_as_it_asks_for() {
    let hidden = wanted("web.test", &["10.0.0.1:1"]);
    let odd = wanted("odd.test", &["10.0.0.1:0"]);
    let block = "route \"web.test\" { endpoints = [\"127.0.0.1:1\"] }\n";
    let control = Control::fixed(of_mesh(block, vec![odd, hidden]), "culvert.hcl".as_ref());
    let status = status(&control, runtime());
    let mesh = status.mesh.as_ref().unwrap();
    assert_eq!((&*mesh.datacenter, &*mesh.partition), ("dc1", "default"));
    assert_eq!((status.routes, mesh.routes), (2, 1));
    assert_eq!(mesh.notes.len(), 3, "{:?}", mesh.notes);
    assert_eq!(mesh.notes[0], "db has no instance");
    assert!(mesh.notes[1].starts_with("web.test: a route block stands in place"));
    assert!(mesh.notes[2].starts_with("odd.test: node/10.0.0.1 is left out: "));
    round_trip(&status);
}

#[test]
fn a_route_of_the_mesh_carries_what_made_it() {
    let mut mesh_route = wanted("gw.test", &["gw.example.net:443"]);
    mesh_route.dns = Some(DnsDiscovery::StrictDns);
    mesh_route.limits.max_connections = Some(0);
    mesh_route.keepalive = Some(RouteKeepalive::default());
    mesh_route.action = Action::Refuse("not here".into());
    let block = "route \"web.test\" { endpoints = [\"127.0.0.1:1\"] }\n";
    let snapshot = of_mesh(block, vec![mesh_route]);
    let shown = routes(&snapshot, None, Instant::now());
    assert_eq!(
        (&*shown[0].origin, shown[0].role.as_deref()),
        ("configured", None)
    );
    assert_eq!(shown[0].endpoints[0].health, "unknown");
    let mesh = &shown[1];
    assert_eq!(
        (&*mesh.origin, mesh.role.as_deref()),
        ("mesh", Some("local-service"))
    );
    assert_eq!(
        mesh.rule.as_deref(),
        Some("service web has instances in dc1")
    );
    assert_eq!(
        mesh.entries,
        ["mesh.d/web.hcl:4:1", "mesh.d/resolver.hcl:2:1"]
    );
    assert_eq!(
        (mesh.dns.as_deref(), mesh.limits.max_connections),
        (Some("strict_dns"), Some(0))
    );
    assert_eq!(mesh.refused.as_deref(), Some("not here"));
    assert!(mesh.keepalive.is_some());
    assert_eq!(mesh.unresolved, ["gw.example.net"]);
    round_trip(&shown);
}

#[test]
fn routes_are_found_by_pattern_and_by_name_without_case() {
    let snapshot = snapshot(vec![route("web.example.com"), route("*.example.com")]);
    let ask = |name| routes(&snapshot, Some(name), Instant::now());
    assert_eq!(ask("WEB.example.com.")[0].matched.as_deref(), Some("exact"));
    assert_eq!(
        ask("a.b.example.com")[0].matched.as_deref(),
        Some("wildcard")
    );
    assert_eq!(ask("*.example.com")[0].matched, None);
    assert!(ask("example.org").is_empty());
    assert_eq!(routes(&snapshot, None, Instant::now()).len(), 2);
    round_trip(&ask("web.example.com"));
}

#[test]
fn an_open_connection_shows_its_age_and_no_endpoint_before_it_has_one() {
    let registry = Arc::new(Registry::default());
    let registration = registry.register(Opened {
        id: 5,
        listener: "tls".into(),
        source: "192.0.2.7:50000".parse().unwrap(),
        destination: "[2001:db8::1]:443".parse().unwrap(),
        server_name: Some("web.example.com".into()),
        route: route("web.example.com"),
        accepted: Instant::now(),
        started: SystemTime::UNIX_EPOCH,
    });
    let later = Instant::now() + Duration::from_secs(5);
    let shown = connections(&registry, later);
    drop(registration);
    assert_eq!(shown[0].endpoint, None);
    assert!((5000..6000).contains(&shown[0].age_ms));
    round_trip(&shown);
}

//! What becomes of a mesh's routes, and what a change of them costs.

use std::time::Instant;

use super::fixtures::{endpoint, mesh, part, wanted};
use super::*;
use crate::config::Config;
use crate::control::cluster::Target;
use crate::mesh::route::{DnsDiscovery, Health as Checked, Role, RouteLimits};

fn config(more: &str) -> Config {
    let text = format!("listener \"tls\" {{ address = \"127.0.0.1:8443\" }}\n{more}");
    Config::parse("culvert.hcl", text).unwrap()
}

fn build(config: &Config, routes: &[&Arc<MeshRoute>], previous: Option<&Snapshot>) -> Snapshot {
    let routes = routes.iter().map(|route| Arc::clone(route));
    Snapshot::assemble(config, Some(part(routes)), previous)
}

fn only(wanted: MeshRoute) -> Arc<Route> {
    let snapshot = build(&config(""), &[&Arc::new(wanted)], None);
    let first = snapshot.routes.iter().next().unwrap();
    Arc::clone(first)
}

#[test]
fn endpoints_that_nobody_can_dial_are_left_out_with_a_note() {
    let hosts = [
        "not a name:1",
        "0.0.0.0:1",
        "10.0.0.1:0",
        "10.0.0.1:80",
        "10.0.0.1:80",
        "fd00::1:80",
        "gw.example.net:443",
    ];
    let route = only(wanted("web.test", &hosts));
    let targets: Vec<_> = route.cluster.spec().endpoints.iter().collect();
    let shown: Vec<_> = targets
        .iter()
        .map(|entry| entry.target.to_string())
        .collect();
    assert_eq!(shown, ["10.0.0.1:80", "[fd00::1]:80", "gw.example.net:443"]);
    assert!(matches!(targets[2].target, Target::Host { .. }));
    assert_eq!(route.notes.len(), 4, "{:?}", route.notes);
    assert!(route.notes[0].starts_with("node/not a name is left out: "));
    assert!(route.notes[3].ends_with("10.0.0.1:80 stands twice"));
}

#[test]
fn a_route_with_no_endpoint_left_is_still_a_route() {
    let route = only(wanted("web.test", &["::1"]));
    assert!(route.cluster.endpoints().is_empty());
}

#[test]
fn what_the_mesh_says_of_a_route_is_what_it_does() {
    let mut mesh_route = wanted("*.dc2.internal.test", &["10.0.0.1:8443"]);
    mesh_route.role = Role::RemoteDc;
    mesh_route.service = None;
    mesh_route.connect_timeout = Duration::from_millis(1500);
    mesh_route.balance = MeshBalance::LeastRequest(None);
    mesh_route.panic_percent = Some(0);
    mesh_route.limits = RouteLimits {
        max_connections: Some(0),
        ..RouteLimits::default()
    };
    mesh_route.keepalive = Some(RouteKeepalive {
        time: Some(0),
        interval: Some(40_000),
        probes: Some(200),
    });
    mesh_route.dns = Some(DnsDiscovery::StrictDns);
    mesh_route
        .endpoints
        .push(endpoint("[fd00::1]:8443", Checked::Down));
    let route = only(mesh_route);
    assert_eq!(
        (route.pattern, route.balance),
        (Pattern::Wildcard, Balance::LeastConnections)
    );
    assert_eq!((&*route.datacenter, &*route.service), ("dc1", ""));
    assert_eq!(route.connect_timeout, Duration::from_millis(1500));
    assert_eq!(route.max_connections, Some(0));
    let keepalive = route.keepalive.unwrap();
    assert_eq!(
        (keepalive.time, keepalive.interval, keepalive.probes),
        (None, Some(32_767), Some(127))
    );
    let spec = route.cluster.spec();
    assert_eq!((spec.choices, spec.health.panic_percent), (Some(2), 0));
    assert_eq!(spec.endpoints[1].health, Checked::Down);
    assert_eq!(route.at.to_string(), "mesh.d/web.hcl:4:1");
    assert!(route.refused.is_none());
}

#[test]
fn a_refusal_keeps_its_reason_and_a_route_without_places_is_the_gateways() {
    let mut mesh_route = wanted("web.test", &[]);
    mesh_route.action = Action::Refuse("exported with protocol http".into());
    mesh_route.reason.entries.clear();
    let route = only(mesh_route);
    assert_eq!(
        route.refused.as_deref(),
        Some("exported with protocol http")
    );
    assert_eq!(route.at.to_string(), "culvert.hcl:2:1");
}

#[test]
fn a_route_that_stands_where_the_gateway_does_moves_with_it() {
    let mut mesh_route = wanted("web.test", &["10.0.0.1:1"]);
    mesh_route.reason.entries.clear();
    let mesh_route = Arc::new(mesh_route);
    let config = config("");
    let first = build(&config, &[&mesh_route], None);
    let mut moved = part([mesh_route]);
    Arc::make_mut(&mut moved.mesh).gateway.at.line = 7;
    let second = Snapshot::assemble(&config, Some(moved), Some(&first));
    let route = second.routes.get("web.test").unwrap();
    assert_eq!(route.at.to_string(), "culvert.hcl:7:1");
}

#[test]
fn the_gateways_panic_share_is_over_the_configurations_and_under_the_routes() {
    let config = config("health { panic_percent = 30 }\n");
    let plain = Arc::new(wanted("a.test", &["10.0.0.1:1"]));
    let mut own = wanted("b.test", &["10.0.0.1:1"]);
    own.panic_percent = Some(0);
    let own = Arc::new(own);
    for (gateway, expected) in [(None, [30, 0]), (Some(70), [70, 0])] {
        let mut part = part([Arc::clone(&plain), Arc::clone(&own)]);
        part.panic_percent = gateway;
        let snapshot = Snapshot::assemble(&config, Some(part), None);
        let shares: Vec<_> = snapshot
            .routes
            .iter()
            .map(|route| route.cluster.spec().health.panic_percent)
            .collect();
        assert_eq!(shares, expected);
    }
}

#[test]
fn a_route_block_beats_the_mesh_and_says_so() {
    let config = config("route \"web.test\" { endpoints = [\"127.0.0.1:1\"] }\n");
    let hidden = Arc::new(wanted("web.test", &["10.0.0.1:80"]));
    let other = Arc::new(wanted("x.test", &["10.0.0.1:80"]));
    let snapshot = build(&config, &[&hidden, &other], None);
    assert_eq!(snapshot.routes.len(), 2);
    let found = snapshot.routes.lookup("web.test").unwrap().route;
    assert!(found.origin.mesh().is_none());
    let state = snapshot.mesh.as_ref().unwrap();
    assert_eq!(state.shadowed("web.test"), Some(&hidden));
    assert_eq!(state.shadowed("x.test"), None);
    let without = build(&self::config(""), &[&hidden, &other], Some(&snapshot));
    let found = without.routes.lookup("web.test").unwrap().route;
    assert!(found.origin.mesh().is_some());
}

#[test]
fn the_gateways_listener_is_one_like_others_and_keeps_its_id() {
    let first = build(&config(""), &[], None);
    let listener = first.listener("mesh").unwrap();
    assert_eq!((listener.id, listener.addresses.len()), (1, 2));
    assert_eq!(listener.refuse, Refuse::Close);
    let more = config("listener \"more\" { address = \"127.0.0.1:9443\" }\n");
    let second = build(&more, &[], Some(&first));
    assert_eq!(second.listener("mesh").unwrap().id, 1);
    assert_eq!(second.listener("more").unwrap().id, 2);
    let gone = Snapshot::build(&config(""), Some(&second));
    assert!(gone.listener("mesh").is_none() && gone.mesh.is_none());
}

#[test]
fn what_did_not_change_stays_the_very_same_and_what_did_keeps_its_life() {
    let config = config("");
    let stays = Arc::new(wanted("stays.test", &["10.0.0.1:1"]));
    let before = Arc::new(wanted("turns.test", &["10.0.0.1:1", "10.0.0.2:1"]));
    let first = build(&config, &[&stays, &before], None);
    let (old_stays, old_turns) = (
        first.routes.get("stays.test"),
        first.routes.get("turns.test"),
    );
    let place = old_turns.unwrap().uses.begin(Some(1));
    let _busy = old_turns.unwrap().cluster.endpoints()[1].begin();

    let mut after = MeshRoute::clone(&before);
    after.endpoints[0].health = Checked::Down;
    // An equal one is as good as the same one.
    let equal = Arc::new(MeshRoute::clone(&stays));
    let second = build(&config, &[&equal, &Arc::new(after)], Some(&first));
    assert!(Arc::ptr_eq(
        second.routes.get("stays.test").unwrap(),
        old_stays.unwrap()
    ));
    let turns = second.routes.get("turns.test").unwrap();
    assert_eq!(turns.cluster.survey(Instant::now())[1].active, 1);
    assert!(turns.uses.begin(Some(1)).is_none(), "the one before counts");
    drop(place);
    assert!(turns.uses.begin(Some(1)).is_some());
}

#[test]
fn a_route_that_comes_back_counts_the_connections_that_outlived_it() {
    let config = config("");
    let web = Arc::new(wanted("web.test", &["10.0.0.1:1"]));
    let first = build(&config, &[&web], None);
    let open = first.routes.get("web.test").unwrap().uses.begin(None);
    let without = build(&config, &[], Some(&first));
    assert!(without.routes.lookup("web.test").is_none());
    let still_without = build(&config, &[], Some(&without));
    let back = build(&config, &[&web], Some(&still_without));
    let uses = &back.routes.get("web.test").unwrap().uses;
    assert!(uses.begin(Some(1)).is_none(), "the one before counts");
    assert_eq!(back.departed.len(), 0);
    drop(open);
    assert!(uses.begin(Some(1)).is_some());
    let forgotten = build(&config, &[], Some(&back));
    assert_eq!(forgotten.departed.len(), 0, "nobody is left to count");
}

#[test]
fn other_settings_make_other_routes() {
    let mesh_route = Arc::new(wanted("web.test", &["10.0.0.1:1"]));
    let first = build(&config(""), &[&mesh_route], None);
    for more in [
        "limits { idle_timeout = \"1m\" }\n",
        "health { failures = 1 }\n",
    ] {
        let second = build(&config(more), &[&mesh_route], Some(&first));
        let (old, new) = (first.routes.get("web.test"), second.routes.get("web.test"));
        assert!(!Arc::ptr_eq(old.unwrap(), new.unwrap()), "{more}");
    }
}

/// Printed, not judged: times of a machine under test say little.
#[test]
fn one_change_in_a_large_mesh() {
    let config = config("");
    let routes: Vec<_> = (0..2000_u16)
        .map(|n| {
            let endpoints: Vec<_> = (1..=5)
                .map(|last| format!("10.{}.{}.{last}:8443", n / 250, n % 250))
                .collect();
            let endpoints: Vec<_> = endpoints.iter().map(|at| &**at).collect();
            let name = format!(
                "service-{n:04}.default.dc1.internal.{}",
                mesh().trust_domain
            );
            Arc::new(wanted(&name, &endpoints))
        })
        .collect();
    let begun = Instant::now();
    let first = build(&config, &routes.iter().collect::<Vec<_>>(), None);
    let whole = begun.elapsed();
    let mut changed = routes.clone();
    let mut one = MeshRoute::clone(&routes[1000]);
    one.endpoints[2].health = Checked::Down;
    changed[1000] = Arc::new(one);
    let begun = Instant::now();
    let second = build(&config, &changed.iter().collect::<Vec<_>>(), Some(&first));
    println!(
        "10000 instances: all {whole:?}, one changed {:?}",
        begun.elapsed()
    );
    let same = first.routes.iter().zip(second.routes.iter());
    assert_eq!(same.filter(|(old, new)| !Arc::ptr_eq(old, new)).count(), 1);
}

use super::*;

fn endpoint(n: u8, health: &str) -> Endpoint {
    Endpoint {
        address: format!("10.0.0.{n}:443"),
        host: None,
        weight: 1,
        health: health.into(),
        active: 2,
        failures: 0,
        ejected_ms: (n == 1).then_some(29_500),
    }
}

fn sample() -> Route {
    Route {
        name: "web.example.com".into(),
        matched: None,
        default: true,
        origin: "configured".into(),
        role: None,
        rule: None,
        entries: Vec::new(),
        refused: None,
        dns: None,
        limits: RouteLimits::default(),
        in_use: 0,
        keepalive: None,
        datacenter: String::new(),
        service: "web".into(),
        balance: "round_robin".into(),
        restricted: false,
        send_proxy: None,
        connect_timeout_ms: 5000,
        idle_timeout_ms: 3_600_000,
        at: "culvert.hcl:3:1".into(),
        endpoints: Vec::new(),
        unresolved: Vec::new(),
        notes: Vec::new(),
    }
}

const TRUST_DOMAIN: &str = "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul";

fn of_mesh() -> Route {
    Route {
        name: format!("web.default.dc1.internal.{TRUST_DOMAIN}"),
        origin: "mesh".into(),
        role: Some("local-service".into()),
        rule: Some("service web has 3 instances in dc1".into()),
        entries: vec![
            "mesh.d/web.hcl:1:1".into(),
            "mesh.d/resolver.hcl:9:3".into(),
        ],
        limits: RouteLimits {
            max_connections: Some(10),
            ..RouteLimits::default()
        },
        in_use: 4,
        at: "mesh.d/web.hcl:1:1".into(),
        endpoints: vec![endpoint(1, "up"), endpoint(2, "up"), endpoint(3, "down")],
        default: false,
        ..sample()
    }
}

#[test]
fn a_route_with_many_endpoints_stays_one_line() {
    let mut route = sample();
    route.endpoints = (1..=5).map(|n| endpoint(n, "unknown")).collect();
    let text = all(&[route.clone()], true);
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("4/5     10"), "{text}");
    assert!(text.contains("10.0.0.3:443, and 2 more"), "{text}");
    assert!(!text.contains("ROLE"), "{text}");
    let text = one(&route);
    assert!(text.contains("ejected for 29.5s"), "{text}");
    assert!(!text.contains("HEALTH"), "{text}");
}

#[test]
fn routes_of_a_mesh_show_role_and_health_within_120_columns() {
    let routes = [sample(), of_mesh()];
    let text = all(&routes, true);
    assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    assert!(text.contains("web.default.dc1.internal.~ "), "{text}");
    assert!(
        text.contains("local-service  1 up, 1 ejected, 1 down  6"),
        "{text}"
    );
    assert!(text.contains("10.0.0.1:443, and 2 more"), "{text}");
    assert!(
        text.contains("\nweb.example.com             configured  "),
        "{text}"
    );
    assert!(text.ends_with(&format!("~ is the trust domain {TRUST_DOMAIN}\n")));
}

#[test]
fn for_programs_names_stay_whole() {
    let text = all(&[of_mesh()], false);
    assert!(text.contains(&of_mesh().name), "{text}");
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn the_trust_domain_of_a_peer_is_not_taken_for_ours() {
    let mut imported = of_mesh();
    imported.role = Some("imported".into());
    assert_eq!(trust_domain(&imported), None);
    assert_eq!(trust_domain(&sample()), None);
}

#[test]
fn one_route_of_a_mesh_tells_why_it_is_as_it_is() {
    let mut route = of_mesh();
    route.keepalive = Some(RouteKeepalive {
        time: Some(30),
        interval: None,
        probes: Some(3),
    });
    let text = one(&route);
    for line in [
        "role            local-service",
        "because         service web has 3 instances in dc1",
        "shaped by       mesh.d/resolver.hcl:9:3",
        "limits          4 of 10 connections in use",
        "keepalive       after 30s, every system's, 3 probes",
        "10.0.0.3:443  -     1       2       0         down    held back",
        "10.0.0.1:443  -     1       2       0         up      ejected for 29.5s",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    route.refused = Some("exported with protocol http".into());
    assert!(one(&route).contains("refused         exported with protocol http"));
    assert!(all(&[route], true).contains("refused, limit 10"));
}

use super::*;
use crate::config::Config;
use crate::control::mesh::fixtures::{endpoint, part, wanted};
use crate::mesh::route::{Action, MeshRoute, RouteLimits};

/// The explanation of `web.test` on the gateway's listener, where the mesh has `routes`.
fn told(routes: Vec<MeshRoute>, more: &str) -> Explanation {
    let text = format!("listener \"tls\" {{ address = \"127.0.0.1:8443\" }}\n{more}");
    let config = Config::parse("culvert.hcl", text).unwrap();
    let part = part(routes.into_iter().map(Arc::new));
    let snapshot = Snapshot::assemble(&config, Some(part), None);
    explain(&snapshot, "web.test", None, Some("mesh"), Instant::now())
}

fn step<'e>(explanation: &'e Explanation, name: &str) -> &'e Step {
    let found = explanation.steps.iter().find(|step| step.step == name);
    found.unwrap_or_else(|| panic!("{name} is missing: {explanation}"))
}

#[test]
fn a_route_that_refuses_says_why() {
    let mut route = wanted("web.test", &["10.0.0.1:1"]);
    route.action = Action::Refuse("web is exported with protocol http".into());
    let told = told(vec![route], "");
    assert!(!told.allowed && !step(&told, "route refusal").passed);
    assert_eq!(told.reason, "web is exported with protocol http");
}

#[test]
fn a_limit_that_is_reached_ends_it() {
    let mut route = wanted("web.test", &["10.0.0.1:1"]);
    for (most, allowed) in [(0, false), (1, true)] {
        route.limits = RouteLimits {
            max_connections: Some(most),
            ..RouteLimits::default()
        };
        let told = told(vec![route.clone()], "");
        assert_eq!(told.allowed, allowed);
        let found = format!("0 of {most} connections are in use");
        assert_eq!(step(&told, "route limit").found, found);
    }
}

#[test]
fn endpoints_that_are_all_down_are_told_with_and_without_panic() {
    let mut route = wanted("web.test", &[]);
    route.endpoints = vec![endpoint("[fd00::1]:1", Health::Down)];
    let panic = told(vec![route.clone()], "");
    assert!(panic.allowed, "{panic}");
    assert!(step(&panic, "endpoint").found.contains("all are used"));
    assert!(
        panic
            .to_string()
            .contains("[fd00::1]:1  weight 1  active 0  failures 0  down\n")
    );
    route.panic_percent = Some(0);
    let refused = told(vec![route], "");
    assert!(!refused.allowed);
    assert!(
        refused.reason.ends_with("its panic share is 0"),
        "{refused}"
    );
}

#[test]
fn a_route_of_the_mesh_tells_its_role_its_rule_and_every_place() {
    let told = told(vec![wanted("web.test", &["10.0.0.1:1"])], "");
    let route = step(&told, "route");
    let found = "\"web.test\" by exact match; local-service: service web has instances in dc1";
    assert_eq!(route.found, found);
    assert_eq!(route.at.as_deref(), Some("mesh.d/web.hcl:4:1"));
    assert_eq!(route.also, ["mesh.d/resolver.hcl:2:1"]);
    let text = told.to_string();
    assert!(
        text.contains("  (mesh.d/web.hcl:4:1, mesh.d/resolver.hcl:2:1)\n"),
        "{text}"
    );
}

#[test]
fn a_route_block_in_the_place_of_the_meshs_says_so() {
    let more = "route \"web.test\" { endpoints = [\"127.0.0.1:1\"] }\n";
    let told = told(vec![wanted("web.test", &["10.0.0.1:1"])], more);
    let route = step(&told, "route");
    assert!(
        route
            .found
            .ends_with("in place of the mesh's local-service route")
    );
    assert_eq!(route.at.as_deref(), Some("culvert.hcl:2:7"));
}

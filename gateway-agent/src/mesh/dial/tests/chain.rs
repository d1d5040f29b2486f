//! Redirects, subsets and failover, with a mode for each target.

use std::time::Duration;

use super::super::{ModeRules, Plan, Via};
use super::world::{World, elsewhere, failover, says, subset, upstream, upstream_settings};
use crate::mesh::catalog::GatewayMode;
use crate::mesh::name::ServiceName;

/// `service.subset@place via mode` of each target, the failovers after the first.
fn targets(plan: &Plan) -> Vec<String> {
    let all = plan.targets.iter().chain(&plan.failover);
    all.map(|target| {
        let subset = target.subset.iter().map(|subset| format!(".{subset}"));
        let place = target.peer.as_ref().or(target.datacenter.as_ref()).unwrap();
        let mode = target.mode.map_or("-", GatewayMode::label);
        let service = &target.service;
        format!(
            "{service}{}@{place} {:?} {mode}",
            subset.collect::<String>(),
            target.via
        )
    })
    .collect()
}

#[test]
fn a_circle_of_redirects_ends() {
    let mut world = World::new();
    for (from, to) in [("api", "db"), ("db", "queue"), ("queue", "db")] {
        world.resolver(from).redirect = Some(elsewhere(to, "", ""));
    }
    let plan = world.ask(None, None);
    assert_eq!(plan.targets.len(), 1);
    assert!(plan.notes.iter().any(|note| note.contains("circle")));
}

#[test]
fn a_redirect_to_itself_is_none() {
    let mut world = World::new();
    world.resolver("api").redirect = Some(elsewhere("API", "", ""));
    assert_eq!(targets(&world.ask(None, None)), ["api@dc1 Direct -"]);
}

#[test]
fn redirects_are_followed_before_the_default_subset() {
    let mut world = World::new();
    world.resolver("api").redirect = Some(elsewhere("db", "", ""));
    world.resolver("db").redirect = Some(elsewhere("db", "dc2", ""));
    world.resolver("db").default_subset = "v1".into();
    world
        .resolver("db")
        .subsets
        .insert("v1".into(), subset("", false));
    world.defaults("api").mesh_gateway = says(GatewayMode::Remote, 50);
    world.defaults("db").mesh_gateway = says(GatewayMode::Local, 51);
    let plan = world.ask(None, None);
    assert_eq!(targets(&plan), ["db.v1@dc2 LocalGateways local"]);
    let last = plan.levels.iter().find(|level| level.decided).unwrap();
    assert_eq!(last.name, "service-defaults db (the target's)");
    assert_eq!(plan.targets[0].way.len(), 3);
}

#[test]
fn a_redirect_may_lead_to_a_peer() {
    let mut world = World::new();
    world.resolver("db").redirect = Some(elsewhere("api", "", "north"));
    world.defaults("api").mesh_gateway = says(GatewayMode::Local, 50);
    let plan = world
        .dial(
            "web",
            &ServiceName::plain("db"),
            None,
            None,
            ModeRules::V1_14,
        )
        .unwrap();
    assert_eq!(
        targets(&plan),
        ["api@north Peer -"],
        "entries here say nothing of a peer's"
    );
}

#[test]
fn an_unknown_subset_is_empty_and_told() {
    let mut world = World::new();
    world.resolver("api").default_subset = "v9".into();
    let plan = world.ask(None, None);
    assert!(plan.targets[0].endpoints.is_empty());
    assert!(plan.notes.iter().any(|note| note.contains("no subset v9")));
}

#[test]
fn each_target_of_a_failover_has_its_own_mode() {
    let mut world = World::new();
    let over = vec![
        elsewhere("", "dc2", ""),
        elsewhere("db", "dc2", ""),
        elsewhere("", "", "north"),
    ];
    world
        .resolver("api")
        .failover
        .insert("*".into(), failover(&[], over));
    world.defaults("api").mesh_gateway = says(GatewayMode::Local, 50);
    world.proxy_defaults(GatewayMode::None);
    // The downstream's levels hold for every target: proxy-defaults is its level 6.
    assert_eq!(
        targets(&world.ask(None, None)),
        [
            "api@dc1 Direct none",
            "api@dc2 Direct none",
            "db@dc2 Direct none",
            "api@north Peer none"
        ]
    );
    world.entries.proxy_defaults.clear();
    world.defaults("db").mesh_gateway = says(GatewayMode::Remote, 51);
    assert_eq!(
        targets(&world.ask(None, None)),
        [
            "api@dc1 Direct local",
            "api@dc2 LocalGateways local",
            "db@dc2 RemoteGateways remote",
            "api@north Peer -",
        ]
    );
    world.proxy.mesh_gateway = says(GatewayMode::Local, 30);
    let plan = world.ask(None, None);
    assert_eq!(
        targets(&plan),
        [
            "api@dc1 Direct local",
            "api@dc2 LocalGateways local",
            "db@dc2 LocalGateways local",
            "api@north LocalGateways local",
        ]
    );
    let names: Vec<_> = plan.failover.iter().map(|target| &*target.sni).collect();
    assert!(names[0].starts_with("api.default.dc2."));
    assert!(names[1].starts_with("db.default.dc2."));
    assert!(names[2].starts_with("api.default.default.here.external."));
}

#[test]
fn a_list_of_datacenters_gives_one_target_each_and_never_itself() {
    let mut world = World::new();
    let over = failover(&["dc2", "dc1", "dc9"], Vec::new());
    world.resolver("api").failover.insert("*".into(), over);
    world.proxy.mesh_gateway = says(GatewayMode::Remote, 30);
    let plan = world.ask(None, None);
    assert_eq!(
        targets(&plan),
        [
            "api@dc1 Direct remote",
            "api@dc2 RemoteGateways remote",
            "api@dc9 RemoteGateways remote",
        ]
    );
    assert!(plan.failover[1].refused.is_some());
    let nobody = failover(&[], Vec::new());
    world.resolver("api").failover.insert("*".into(), nobody);
    assert!(world.ask(None, None).failover.is_empty());
}

#[test]
fn failover_is_looked_up_by_subset_first() {
    let mut world = World::new();
    let resolver = world.resolver("api");
    resolver.default_subset = "v1".into();
    resolver.subsets.insert("v1".into(), subset("", false));
    resolver
        .failover
        .insert("*".into(), failover(&["dc2"], Vec::new()));
    assert_eq!(
        targets(&world.ask(None, None)),
        ["api.v1@dc1 Direct -", "api.v1@dc2 Direct -"]
    );
    let mut own = failover(&[], Vec::new());
    own.service = "db".into();
    world.resolver("api").failover.insert("v1".into(), own);
    assert_eq!(
        targets(&world.ask(None, None)),
        ["api.v1@dc1 Direct -", "db@dc1 Direct -"]
    );
}

#[test]
fn a_failover_target_is_resolved_but_has_no_failover_of_its_own() {
    let mut world = World::new();
    let over = failover(
        &[],
        vec![elsewhere("db", "", ""), elsewhere("back", "", "")],
    );
    world.resolver("api").failover.insert("*".into(), over);
    world.resolver("db").redirect = Some(elsewhere("db", "dc2", ""));
    let over = failover(&["dc3"], Vec::new());
    world.resolver("db").failover.insert("*".into(), over);
    world.resolver("back").redirect = Some(elsewhere("api", "", ""));
    assert_eq!(
        targets(&world.ask(None, None)),
        ["api@dc1 Direct -", "db@dc2 Direct -"]
    );
}

#[test]
fn the_limit_of_a_dial_comes_from_the_downstream_then_from_each_resolver() {
    let limits = |world: &World| {
        let plan = world.ask(None, None);
        let all = plan.targets.iter().chain(&plan.failover);
        all.map(|target| target.connect_timeout.as_millis())
            .collect::<Vec<_>>()
    };
    let mut world = World::new();
    let over = failover(&[], vec![elsewhere("db", "", "")]);
    world.resolver("api").failover.insert("*".into(), over);
    assert_eq!(limits(&world), [5000, 5000]);
    world.resolver("db").connect_timeout = Some(Duration::from_millis(700));
    world.resolver("api").connect_timeout = Some(Duration::ZERO);
    assert_eq!(limits(&world), [5000, 700]);
    let mut settings = upstream_settings("");
    settings.connect_timeout_ms = Some(900);
    world.upstream_config().defaults = Some(settings);
    assert_eq!(limits(&world), [900, 900]);
    let mut named = upstream("api", "");
    named
        .config
        .0
        .insert("connect_timeout_ms".into(), "250".into());
    world.proxy.upstreams = vec![named];
    assert_eq!(limits(&world), [250, 250]);
}

#[test]
fn splitters_and_routers_count_for_http_only() {
    let mut world = World::new();
    world.split("api", &[("db", "", 2_550), ("", "v1", 7_450)]);
    world.split("db", &[("queue", "", 10_000)]);
    world.split("queue", &[("db", "", 5_000), ("api", "v1", 5_000)]);
    world
        .resolver("api")
        .subsets
        .insert("v1".into(), subset("", false));
    assert_eq!(targets(&world.ask(None, None)), ["api@dc1 Direct -"]);
    world.defaults("api").protocol = "grpc".into();
    let plan = world.ask(None, None);
    assert_eq!(
        targets(&plan),
        ["api.v1@dc1 Direct -"],
        "a circle has no parts of its own"
    );
    world.split("queue", &[("queue", "", 5_000), ("api", "v1", 5_000)]);
    let plan = world.ask(None, None);
    assert_eq!(
        targets(&plan),
        ["queue@dc1 Direct -", "api.v1@dc1 Direct -"]
    );
    assert!(plan.targets[0].way[0].starts_with("25.50 % by the splitter at mesh.hcl"));

    world.route("api", "back");
    let plan = world.ask(None, None);
    assert_eq!(
        targets(&plan),
        [
            "back@dc1 Direct -",
            "queue@dc1 Direct -",
            "api.v1@dc1 Direct -"
        ]
    );
    assert_eq!(plan.targets[0].way, ["route 1 at mesh.hcl:45:3"]);
}

#[test]
fn splitters_that_only_split_to_each_other_end() {
    let mut world = World::new();
    world.defaults("api").protocol = "http".into();
    world.split("api", &[("db", "", 10_000)]);
    world.split("db", &[("api", "", 10_000)]);
    assert_eq!(targets(&world.ask(None, None)), ["api@dc1 Direct -"]);
}

#[test]
fn the_old_rules_tell_of_the_single_cluster() {
    let mut world = World::new();
    let over = failover(&["dc2"], Vec::new());
    world.resolver("api").failover.insert("*".into(), over);
    let api = ServiceName::plain("api");
    let plan = world
        .dial("web", &api, None, None, ModeRules::V1_8)
        .unwrap();
    assert_eq!(plan.failover[0].via, Via::Direct);
    assert!(plan.notes.iter().any(|note| note.contains("one cluster")));
}

//! Whom a question means, what is refused, and how an answer reads.

use super::super::{Downstream, ModeRules, Question, dial};
use super::world::{World, failover, gateway, instance, own, says, sidecar, upstream};
use crate::mesh::catalog::GatewayMode;
use crate::mesh::name::{Name, ServiceName};

fn refused(world: &World, who: &str, whom: &str, dc: Option<&str>, peer: Option<&str>) -> String {
    let whom = ServiceName::plain(whom);
    let answer = world.dial(who, &whom, dc, peer, ModeRules::V1_14);
    answer.unwrap_err().to_string()
}

#[test]
fn what_is_not_known_is_refused_with_the_nearest_name() {
    let world = World::new();
    for (who, whom, dc, peer, message) in [
        (
            "wbe",
            "api",
            None,
            None,
            "no service `wbe` is known: did you mean `web`?",
        ),
        (
            "web",
            "apj",
            None,
            None,
            "no service `apj` is known in the mesh: did you mean `api`?",
        ),
        (
            "web",
            "api",
            Some("dc7"),
            None,
            "no datacenter `dc7` is known: did you mean `dc1`?",
        ),
        (
            "web",
            "api",
            None,
            Some("nroth"),
            "no peer `nroth` is known: did you mean `north`?",
        ),
        (
            "web",
            "apj",
            None,
            Some("north"),
            "peer north exports no service `apj`: did you mean `api`?",
        ),
        (
            "web",
            "api",
            Some("dc2"),
            Some("north"),
            "peer `north` and datacenter `dc2` exclude each other: name one of them",
        ),
        (
            "mesh-gateway",
            "api",
            None,
            None,
            "`mesh-gateway` is a mesh-gateway and has no upstreams: name a service that has a \
             proxy, or an ingress gateway",
        ),
    ] {
        assert_eq!(refused(&world, who, whom, dc, peer), message);
    }
    let question = Question {
        downstream: Downstream::Proxy("web-sidecar-prox"),
        upstream: &ServiceName::plain("api"),
        datacenter: None,
        peer: None,
        rules: ModeRules::V1_14,
    };
    let refusal = dial(&world.mesh(), &question).unwrap_err();
    assert!(
        refusal
            .to_string()
            .ends_with("did you mean `web-sidecar-proxy`?")
    );
    let rules = "1.9".parse::<ModeRules>().unwrap_err().to_string();
    assert!(rules.starts_with("there are no mode rules `1.9`: write \"1.14\""));
}

#[test]
fn an_upstream_is_taken_where_the_registration_says() {
    let mut world = World::new();
    let mut far = upstream("api", "dc2");
    far.mesh_gateway = says(GatewayMode::Local, 11);
    world.proxy.upstreams = vec![far];
    let plan = world.ask(None, None);
    assert_eq!(plan.upstream.datacenter, Some("dc2".into()));
    assert_eq!(plan.targets[0].mode, Some(GatewayMode::Local));
    // Asked for another datacenter, level 1 is silent.
    let plan = world.ask(Some("DC1"), None);
    assert_eq!(plan.targets[0].mode, None);
    assert!(plan.notes[0].contains("(it names the one of dc2)"));
    // The one here comes first; others are told.
    world.proxy.upstreams.push(upstream("api", ""));
    let plan = world.ask(None, None);
    assert_eq!(plan.upstream.datacenter, Some("dc1".into()));
    assert!(plan.notes[0].contains("2 upstreams api"));
    assert!(world.ask(Some("dc1"), None).notes.is_empty());
}

#[test]
fn names_are_spelt_as_the_catalog_spells_them() {
    let (world, api) = (World::new(), ServiceName::plain("API"));
    let answer = world.dial("WEB", &api, Some("DC2"), None, ModeRules::V1_14);
    let target = &answer.unwrap().targets[0];
    assert!(target.spiffe[0].ends_with("/ns/default/dc/dc2/svc/api"));
    assert!(target.sni.starts_with("api.default.dc2.internal."));
}

#[test]
fn proxies_that_differ_are_told_and_can_be_asked_by_id() {
    let mut world = World::new();
    let mut other = sidecar("dc1", "w2", "web", "10.1.0.10");
    own(&mut other).id = "web-2-sidecar-proxy".into();
    world.instances.push(other);
    assert!(
        world
            .ask(Some("dc2"), None)
            .notes
            .iter()
            .all(|note| !note.contains("differ"))
    );
    world.proxy.mesh_gateway = says(GatewayMode::Local, 30);
    let plan = world.ask(Some("dc2"), None);
    assert_eq!(plan.targets[0].mode, Some(GatewayMode::Local));
    assert!(
        plan.notes
            .iter()
            .any(|note| note.ends_with("others are w2/web-2-sidecar-proxy"))
    );
    let question = Question {
        downstream: Downstream::Proxy("web-2-sidecar-proxy"),
        upstream: &ServiceName::plain("api"),
        datacenter: Some(&Name::new("dc2")),
        peer: None,
        rules: ModeRules::V1_14,
    };
    let plan = dial(&world.mesh(), &question).unwrap();
    assert_eq!(plan.targets[0].mode, None);
    assert_eq!(plan.downstream.service, ServiceName::plain("web"));
}

#[test]
fn a_service_without_a_proxy_is_answered_by_its_entries() {
    let mut world = World::new();
    world.instances.push(instance("dc1", "x1", "batch"));
    world.defaults("batch").mesh_gateway = says(GatewayMode::Local, 50);
    world.defaults("idle").mesh_gateway = says(GatewayMode::Remote, 51);
    let api = ServiceName::plain("api");
    for (who, mode) in [("batch", GatewayMode::Local), ("idle", GatewayMode::Remote)] {
        let plan = world
            .dial(who, &api, Some("dc2"), None, ModeRules::V1_14)
            .unwrap();
        assert_eq!(plan.targets[0].mode, Some(mode));
        assert!(plan.notes[0].contains(&format!("no proxy of {who} is registered")));
    }
}

#[test]
fn an_answer_reads_well_in_a_terminal() {
    let mut world = World::new();
    let mut far = upstream("api", "dc2");
    far.mesh_gateway = says(GatewayMode::Local, 11);
    world.proxy.upstreams = vec![far];
    world.defaults("api").protocol = "http".into();
    world.proxy_defaults(GatewayMode::Remote);
    world
        .instances
        .push(gateway("dc1", "g3", "2001:db8::3", "198.51.100.9"));
    let over = failover(&["dc1"], Vec::new());
    world.resolver("api").failover.insert("*".into(), over);
    let expected = include_str!("answer.txt");
    let shown = world.ask(None, None).to_string();
    assert_eq!(shown, expected, "\n{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn an_answer_is_written_as_json() {
    let mut world = World::new();
    world.proxy.mesh_gateway = says(GatewayMode::Local, 30);
    let json = serde_json::to_value(world.ask(Some("dc2"), None)).unwrap();
    let at = |pointer: &str| json.pointer(pointer).unwrap().clone();
    assert_eq!(at("/rules"), "1.14");
    assert_eq!(at("/downstream/locality/datacenter"), "dc1");
    assert_eq!(at("/levels/2/value"), "local");
    assert_eq!(at("/levels/2/at"), "mesh.hcl:30:3");
    assert_eq!(at("/levels/2/decided"), true);
    assert_eq!(at("/targets/0/via"), "local_gateways");
    assert_eq!(at("/targets/0/endpoints/0/address"), "10.1.0.251:8443");
    assert_eq!(at("/targets/0/endpoints/0/health"), "up");
    assert_eq!(at("/targets/0/connect_timeout_ms"), 5000);
}

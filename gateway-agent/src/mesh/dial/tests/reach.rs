//! What a mode makes of a target: endpoints, names, health.

use super::super::{ModeRules, Plan, Via};
use super::world::{
    TRUST_DOMAIN, World, check, gateway, own, place, says, sidecar, subset, upstream,
};
use crate::mesh::catalog::{GatewayMode, Status, UpstreamKind};
use crate::mesh::name::{Locality, ServiceName};

const DC1: &[&str] = &["10.1.0.1:20000 up 1", "[fd00:1::2]:20000 up 1"];
const DC2: &[&str] = &["10.2.0.1:20000 up 1", "10.2.0.2:20000 up 1"];
const BLUE: &[&str] = &["10.3.0.1:20000 up 1"];
const NORTH: &[&str] = &["203.0.113.9:443 up 1"];
const GATEWAYS_DC1: &[&str] = &["10.1.0.251:8443 up 1", "10.1.0.252:8443 up 1"];
const GATEWAYS_DC2: &[&str] = &["[2001:db8:2::1]:443 up 1"];
const GATEWAYS_BLUE: &[&str] = &["198.51.100.3:443 up 1"];

fn with(mode: Option<GatewayMode>) -> World {
    let mut world = World::new();
    world.proxy.mesh_gateway = mode.and_then(|mode| says(mode, 30));
    world
}

fn shown(plan: &Plan) -> Vec<String> {
    super::world::shown(plan)
}

/// The whole table of modes and places.
#[test]
fn a_mode_and_a_place_make_the_endpoints() {
    use GatewayMode::{Local, None as Straight, Remote};
    let unsaid = None;
    let table: &[(&str, Option<GatewayMode>, Via, &[&str])] = &[
        ("dc1", unsaid, Via::Direct, DC1),
        ("dc1", Some(Straight), Via::Direct, DC1),
        ("dc1", Some(Local), Via::Direct, DC1),
        ("dc1", Some(Remote), Via::Direct, DC1),
        ("dc2", unsaid, Via::Direct, DC2),
        ("dc2", Some(Straight), Via::Direct, DC2),
        ("dc2", Some(Local), Via::LocalGateways, GATEWAYS_DC1),
        ("dc2", Some(Remote), Via::RemoteGateways, GATEWAYS_DC2),
        ("blue/dc1", unsaid, Via::Direct, BLUE),
        ("blue/dc1", Some(Straight), Via::Direct, BLUE),
        ("blue/dc1", Some(Local), Via::LocalGateways, GATEWAYS_DC1),
        ("blue/dc1", Some(Remote), Via::RemoteGateways, GATEWAYS_BLUE),
        ("north", unsaid, Via::Peer, NORTH),
        ("north", Some(Straight), Via::Peer, NORTH),
        ("north", Some(Local), Via::LocalGateways, GATEWAYS_DC1),
        ("north", Some(Remote), Via::Peer, NORTH),
    ];
    for (at, mode, via, endpoints) in table {
        let world = with(*mode);
        let (service, datacenter, peer) = match *at {
            "north" => (ServiceName::plain("api"), None, Some("north")),
            "blue/dc1" => (ServiceName::new("api", "", "blue"), Some("dc1"), None),
            at => (ServiceName::plain("api"), Some(at), None),
        };
        let plan = world
            .dial("web", &service, datacenter, peer, ModeRules::V1_14)
            .unwrap();
        let target = plan.targets.first().unwrap();
        assert_eq!(target.via, *via, "{at} {mode:?}");
        assert_eq!(shown(&plan), *endpoints, "{at} {mode:?}");
        assert_eq!(target.refused, None);
        let (name, identity) = match *at {
            "north" => (
                "api.default.default.here.external.north.consul".to_owned(),
                "spiffe://north.consul/ns/default/dc/n1/svc/api".to_owned(),
            ),
            "blue/dc1" => (
                format!("api.default.blue.dc1.internal-v1.{TRUST_DOMAIN}"),
                format!("spiffe://{TRUST_DOMAIN}/ap/blue/ns/default/dc/dc1/svc/api"),
            ),
            at => (
                format!("api.default.{at}.internal.{TRUST_DOMAIN}"),
                format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/{at}/svc/api"),
            ),
        };
        assert_eq!(target.sni, name);
        assert_eq!(target.spiffe, [identity]);
        let noted = plan
            .notes
            .iter()
            .any(|note| note.contains("mode none cannot be had"));
        assert_eq!(noted, (*at, *mode) == ("north", Some(Straight)));
    }
}

#[test]
fn instances_elsewhere_are_dialled_by_their_wan_addresses() {
    let mut world = with(None);
    let address = "192.0.2.7".into();
    let tagged = crate::mesh::catalog::TaggedAddress { address, port: 0 };
    own(world.on("b1")).tagged.insert("wan".into(), tagged);
    let plan = world.ask(Some("dc2"), None);
    assert_eq!(
        shown(&plan),
        ["10.2.0.2:20000 up 1", "192.0.2.7:20000 up 1"]
    );
}

#[test]
fn gateways_are_up_if_the_target_is_whatever_their_own_checks_say() {
    let mut world = with(Some(GatewayMode::Local));
    world.on("g1").checks.push(check(Status::Critical));
    assert_eq!(shown(&world.ask(Some("dc2"), None)), GATEWAYS_DC1);
    world.on("b1").checks.push(check(Status::Critical));
    assert_eq!(shown(&world.ask(Some("dc2"), None)), GATEWAYS_DC1);
    world.on("b2").checks.push(check(Status::Critical));
    let plan = world.ask(Some("dc2"), None);
    assert_eq!(
        shown(&plan),
        ["10.1.0.251:8443 down 1", "10.1.0.252:8443 down 1"]
    );
    assert!(plan.targets[0].health.contains("0 of 2 instances"));
    world
        .instances
        .retain(|one| !["b1", "b2"].contains(&one.node.name.as_str()));
    let plan = world.ask(Some("dc2"), None);
    assert_eq!(
        shown(&plan),
        ["10.1.0.251:8443 down 1", "10.1.0.252:8443 down 1"]
    );
}

#[test]
fn a_subset_that_only_takes_passing_decides_about_gateways_too() {
    for (only_passing, health) in [(false, "up"), (true, "down")] {
        let mut world = with(Some(GatewayMode::Remote));
        world.on("b1").checks.push(check(Status::Warning));
        world.on("b2").checks.push(check(Status::Warning));
        let resolver = world.resolver("api");
        resolver.default_subset = "all".into();
        resolver
            .subsets
            .insert("all".into(), subset("", only_passing));
        let plan = world.ask(Some("dc2"), None);
        assert_eq!(shown(&plan), [format!("[2001:db8:2::1]:443 {health} 1")]);
        let name = format!("all.api.default.dc2.internal.{TRUST_DOMAIN}");
        assert_eq!(plan.targets[0].sni, name);
    }
}

#[test]
fn a_filter_looks_at_the_proxy_and_decides_about_gateways_too() {
    for (mode, up, down) in [
        (
            None,
            vec!["10.2.0.2:20000 up 1"],
            vec!["10.2.0.2:20000 down 1"],
        ),
        (
            Some(GatewayMode::Remote),
            vec!["[2001:db8:2::1]:443 up 1"],
            vec!["[2001:db8:2::1]:443 down 1"],
        ),
    ] {
        let mut world = with(mode);
        let meta = &mut own(world.on("b2")).meta;
        meta.insert("version".into(), "2".into());
        let resolver = world.resolver("api");
        resolver.default_subset = "v2".into();
        let v2 = subset("Service.Meta.version == 2", false);
        resolver.subsets.insert("v2".into(), v2);
        assert_eq!(shown(&world.ask(Some("dc2"), None)), up);
        world.on("b2").checks.push(check(Status::Critical));
        assert_eq!(shown(&world.ask(Some("dc2"), None)), down);
    }
}

#[test]
fn gateways_here_count_by_their_own_checks_towards_a_peer() {
    let mut world = with(Some(GatewayMode::Local));
    world.on("g1").checks.push(check(Status::Critical));
    let plan = world.ask(None, Some("north"));
    assert_eq!(
        shown(&plan),
        ["10.1.0.251:8443 down 1", "10.1.0.252:8443 up 1"]
    );
}

#[test]
fn unknown_gateways_refuse_and_empty_ones_lead_nowhere() {
    let mut world = with(Some(GatewayMode::Remote));
    world.proxy.upstreams = vec![upstream("api", "dc9")];
    let plan = world.ask(None, None);
    assert!(plan.targets[0].refused.as_ref().unwrap().contains("dc9"));
    assert_eq!(plan.targets[0].via, Via::RemoteGateways);
    assert!(plan.targets[0].endpoints.is_empty());

    world.known.push(Locality::of("dc9"));
    let plan = world.ask(None, None);
    assert_eq!(plan.targets[0].refused, None);
    assert!(plan.targets[0].reason.ends_with("none is registered"));
    assert!(plan.targets[0].endpoints.is_empty());

    world
        .instances
        .push(sidecar("dc9", "z1", "api", "10.9.0.1"));
    let plan = world.ask(None, None);
    assert!(
        plan.targets[0].endpoints.is_empty(),
        "no fallback to instances"
    );
}

#[test]
fn an_external_name_never_uses_a_gateway() {
    for mode in [GatewayMode::Local, GatewayMode::Remote] {
        let mut world = with(Some(mode));
        world.defaults("api").external_sni = "api.example.net".into();
        let plan = world.ask(Some("dc2"), None);
        let target = plan.targets.first().unwrap();
        assert_eq!(
            (target.via, &*target.sni),
            (Via::ExternalName, "api.example.net")
        );
        assert_eq!(shown(&plan), DC2);
    }
}

#[test]
fn host_names_beat_addresses_in_what_a_peer_exports() {
    let mut world = with(None);
    let imported = world.imported.values_mut().next().unwrap();
    let mut named = imported[0].clone();
    own(&mut named).tagged.get_mut("wan").unwrap().address = "A.gw.example.net".into();
    let mut other = named.clone();
    own(&mut other).tagged.get_mut("wan").unwrap().address = "b.gw.example.net".into();
    imported.extend([named, other]);
    let plan = world.ask(None, Some("north"));
    assert_eq!(
        shown(&plan),
        ["a.gw.example.net:443 up 1", "b.gw.example.net:443 up 1"]
    );
    for one in world.imported.values_mut().next().unwrap() {
        one.checks.push(check(Status::Critical));
    }
    let plan = world.ask(None, Some("north"));
    assert_eq!(shown(&plan), ["b.gw.example.net:443 down 1"]);
}

#[test]
fn a_peer_that_exports_nothing_of_the_kind() {
    let mut world = with(None);
    let mut of_peer = upstream("db", "");
    of_peer.peer = "north".into();
    world.proxy.upstreams = vec![of_peer];
    let plan = world
        .dial(
            "web",
            &ServiceName::plain("db"),
            None,
            None,
            ModeRules::V1_14,
        )
        .unwrap();
    assert!(plan.targets[0].endpoints.is_empty());
    assert_eq!(plan.targets[0].sni, "");
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("no server name of db"))
    );
}

#[test]
fn a_prepared_query_is_only_dialled_directly() {
    let mut world = with(Some(GatewayMode::Local));
    let mut query = upstream("nearest-api", "dc2");
    query.kind = UpstreamKind::PreparedQuery;
    world.proxy.upstreams = vec![query];
    let plan = world
        .dial(
            "web",
            &ServiceName::plain("nearest-api"),
            None,
            None,
            ModeRules::V1_14,
        )
        .unwrap();
    let target = plan.targets.first().unwrap();
    assert_eq!((target.via, target.mode), (Via::Direct, None));
    assert_eq!(
        target.sni,
        format!("nearest-api.default.dc2.query.{TRUST_DOMAIN}")
    );
    assert!(
        plan.levels
            .iter()
            .all(|level| !level.asked && !level.decided)
    );
}

#[test]
fn local_gateways_are_those_of_the_downstream() {
    let mut world = with(None);
    let mut far = sidecar("dc2", "v1", "viewer", "10.2.0.9");
    let proxy = own(&mut far).proxy.as_mut().unwrap();
    std::sync::Arc::make_mut(proxy).mesh_gateway = says(GatewayMode::Local, 30);
    world.instances.push(far);
    world
        .instances
        .push(gateway("dc3", "m1", "10.4.0.1", "192.0.2.1"));
    let api = ServiceName::plain("api");
    let plan = world
        .dial("viewer", &api, Some("dc1"), None, ModeRules::V1_14)
        .unwrap();
    assert_eq!(shown(&plan), ["10.2.0.251:8443 up 1"]);
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("viewer is in dc2"))
    );
    assert_eq!(plan.downstream.at, Some(place(2)));
}

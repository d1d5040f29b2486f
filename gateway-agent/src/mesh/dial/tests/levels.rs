//! Precedence, in both sets of rules.

use proptest::prelude::{Strategy, prop};
use proptest::{prop_assert_eq, proptest};

use super::super::{ModeRules, Plan, Step};
use super::world::{World, gateway, says, upstream, upstream_settings};
use crate::mesh::catalog::{GatewayMode, Kind};
use crate::mesh::name::ServiceName;

const STEPS: [Step; 8] = [
    Step::Upstream,
    Step::Override,
    Step::Registration,
    Step::UpstreamDefaults,
    Step::ServiceDefaults,
    Step::ProxyDefaults,
    Step::TargetServiceDefaults,
    Step::TargetProxyDefaults,
];

/// One mode a step; both steps of proxy-defaults are one entry, so the last stays empty.
type Said = [Option<GatewayMode>; 7];

fn world(said: &Said) -> World {
    let mut world = World::new();
    let [one, two, three, four, five, six, seven] =
        said.map(|mode| mode.and_then(|mode| says(mode, 30)));
    let mut named = upstream("api", "dc2");
    named.mesh_gateway = one;
    world.proxy.upstreams = vec![upstream("db", "dc2"), named];
    world.proxy.mesh_gateway = three;
    let mut settings = upstream_settings("api");
    settings.mesh_gateway = two;
    let mut other = upstream_settings("db");
    other.mesh_gateway = says(GatewayMode::None, 31);
    world.upstream_config().overrides = vec![other, settings];
    let mut settings = upstream_settings("");
    settings.mesh_gateway = four;
    world.upstream_config().defaults = Some(settings);
    world.defaults("web").mesh_gateway = five;
    world.defaults("api").mesh_gateway = seven;
    if let Some(mode) = six {
        world.proxy_defaults(mode.value);
    }
    world
}

fn ask(said: &Said, rules: ModeRules) -> Plan {
    world(said)
        .dial("web", &ServiceName::plain("api"), Some("dc2"), None, rules)
        .unwrap()
}

fn decided(plan: &Plan) -> Option<(Step, GatewayMode)> {
    let from = plan.targets.first().unwrap().mode_from.as_ref()?;
    Some((from.step, from.value?))
}

#[test]
fn a_level_decides_when_all_above_it_are_silent() {
    let old = [0, 2, 4, 5, 6];
    let new = [0, 1, 2, 3, 4, 5, 6];
    for (rules, asked) in [(ModeRules::V1_8, &old[..]), (ModeRules::V1_14, &new[..])] {
        for &level in asked {
            for mode in [GatewayMode::None, GatewayMode::Local, GatewayMode::Remote] {
                let mut said = Said::default();
                for below in &mut said[level..] {
                    *below = Some(match mode {
                        GatewayMode::Local => GatewayMode::Remote,
                        _ => GatewayMode::Local,
                    });
                }
                said[level] = Some(mode);
                let plan = ask(&said, rules);
                assert_eq!(decided(&plan), Some((STEPS[level], mode)), "{rules}");
                let marked: Vec<_> = plan.levels.iter().filter(|level| level.decided).collect();
                assert_eq!(marked.len(), 1);
                assert_eq!(marked[0].step, STEPS[level]);
            }
        }
    }
}

#[test]
fn upstream_config_has_no_say_before_1_14_and_that_is_told() {
    let said = [
        None,
        Some(GatewayMode::Local),
        None,
        Some(GatewayMode::Local),
        None,
        None,
        None,
    ];
    let plan = ask(&said, ModeRules::V1_8);
    assert_eq!(decided(&plan), None);
    let asked: Vec<_> = plan.levels.iter().filter(|level| level.asked).collect();
    assert_eq!(asked.len(), 6);
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("upstream_config"))
    );
    assert_eq!(
        decided(&ask(&said, ModeRules::V1_14)).unwrap().0,
        Step::Override
    );
}

#[test]
fn nobody_says_a_mode() {
    for rules in [ModeRules::V1_8, ModeRules::V1_14] {
        let plan = ask(&Said::default(), rules);
        assert_eq!(decided(&plan), None);
        assert!(plan.levels.iter().all(|level| !level.decided));
        assert_eq!(plan.targets.first().unwrap().mode, None);
    }
}

#[test]
fn an_override_is_found_by_the_whole_name_and_the_peer() {
    let mut world = World::new();
    let mut of_peer = upstream_settings("api");
    of_peer.peer = "north".into();
    of_peer.mesh_gateway = says(GatewayMode::Local, 31);
    let mut of_namespace = upstream_settings("api");
    of_namespace.service = ServiceName::new("api", "team", "");
    of_namespace.mesh_gateway = says(GatewayMode::Remote, 32);
    let mut folded = upstream_settings("API");
    folded.mesh_gateway = says(GatewayMode::None, 33);
    world.upstream_config().overrides = vec![of_peer, of_namespace, folded];
    let line = |plan: Plan| {
        plan.targets[0]
            .mode_from
            .as_ref()?
            .at
            .as_ref()
            .map(|at| at.line)
    };
    assert_eq!(line(world.ask(None, Some("north"))), Some(31));
    assert_eq!(line(world.ask(Some("dc2"), None)), Some(33));
    assert_eq!(line(world.ask(None, None)), Some(33));
}

#[test]
fn an_ingress_gateway_leaves_it_to_level_7() {
    let mut world = World::new();
    let mut ingress = gateway("dc1", "i1", "10.1.0.200", "");
    super::world::own(&mut ingress).kind = Kind::IngressGateway;
    super::world::own(&mut ingress).name = "edge".into();
    world.instances.push(ingress);
    world.defaults("edge").mesh_gateway = says(GatewayMode::Remote, 50);
    world.defaults("api").mesh_gateway = says(GatewayMode::Local, 52);
    let api = ServiceName::plain("api");
    let plan = world
        .dial("edge", &api, Some("dc2"), None, ModeRules::V1_14)
        .unwrap();
    assert_eq!(
        decided(&plan),
        Some((Step::TargetServiceDefaults, GatewayMode::Local))
    );
    world.defaults("api").mesh_gateway = None;
    world.proxy_defaults(GatewayMode::Remote);
    let plan = world
        .dial("edge", &api, Some("dc2"), None, ModeRules::V1_14)
        .unwrap();
    assert_eq!(
        decided(&plan),
        Some((Step::TargetProxyDefaults, GatewayMode::Remote))
    );
    assert!(
        plan.levels
            .iter()
            .all(|level| level.asked == (level.number == 7))
    );
}

fn mode() -> impl Strategy<Value = Option<GatewayMode>> {
    prop::sample::select(vec![
        None,
        Some(GatewayMode::None),
        Some(GatewayMode::Local),
        Some(GatewayMode::Remote),
    ])
}

fn said() -> impl Strategy<Value = Said> {
    [mode(), mode(), mode(), mode(), mode(), mode(), mode()]
}

proptest! {
    /// What lies below the deciding level never matters, `none` stops the search like any other.
    #[test]
    fn lower_levels_never_matter(
        said in said(),
        others in said(),
        rules in prop::sample::select(vec![ModeRules::V1_8, ModeRules::V1_14]),
    ) {
        let plan = ask(&said, rules);
        let counts = |level: &usize| rules == ModeRules::V1_14 || ![1, 3].contains(level);
        let first = (0..said.len()).filter(counts).find(|&level| said[level].is_some());
        let expected = first.and_then(|level| Some((STEPS[level], said[level]?)));
        prop_assert_eq!(decided(&plan), expected);
        let Some(first) = first else {
            return Ok(());
        };
        let mut changed = said;
        changed[first + 1..].copy_from_slice(&others[first + 1..]);
        let other = ask(&changed, rules);
        prop_assert_eq!(&other.targets, &plan.targets);
        prop_assert_eq!(decided(&other), expected);
    }
}

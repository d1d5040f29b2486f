//! Gateway modes as Consul's documentation configures them: each file of
//! `tests/mesh/fragments` is read with the mesh around it and asked what its head says.

use std::path::Path;

use gateway_agent::config::Config;
use gateway_agent::mesh::catalog::GatewayMode::{self, Local, None as Straight, Remote};
use gateway_agent::mesh::dial::{Downstream, ModeRules, Plan, Question, dial};
use gateway_agent::mesh::{Name, ServiceName};

const MAIN: &str = r#"
datacenter         = "dc1"
primary_datacenter = "dc1"
trust_domain       = "6d1f0c3a-94be-4a57-8c1e-2f0b7d3e5a98.consul"
gateway "mesh" { address = "10.10.0.2:8443" }
source "files" { path = "mesh.d" }
"#;

const GATEWAYS_HERE: &[&str] = &["10.10.0.2:8443", "[fd00:10::3]:8443"];
const GATEWAYS_THERE: &[&str] = &["203.0.113.2:443"];

/// What is asked of a fragment: upstream, datacenter, rules.
type Asked = (&'static str, Option<&'static str>, ModeRules);

/// What it answers: the mode, its level and line in the fragment, what is dialled.
type Answer = (Option<(GatewayMode, u8, u32)>, &'static [&'static str]);

fn answer(files: &[&str], (upstream, datacenter, rules): Asked) -> Plan {
    let read = |name: &&str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/fragments");
        let text = std::fs::read_to_string(folder.join(name)).expect("it is in the tree");
        (format!("mesh.d/{name}"), text)
    };
    let texts = ["catalog.hcl"].iter().chain(files).map(read).collect();
    let config = Config::parse_all(("culvert.hcl", MAIN.to_owned()), texts)
        .unwrap_or_else(|errors| panic!("{files:?}:\n{errors}"));
    let datacenter = datacenter.map(Name::new);
    let question = Question {
        downstream: Downstream::Service(&ServiceName::plain("web")),
        upstream: &ServiceName::plain(upstream),
        datacenter: datacenter.as_ref(),
        peer: None,
        rules,
    };
    let mesh = config.mesh.expect("a source was given").mesh;
    dial(&mesh, &question).unwrap_or_else(|refusal| panic!("{files:?}: {refusal}"))
}

fn expect(files: &[&str], asked: Asked, (said, endpoints): Answer) {
    let plan = answer(files, asked);
    let target = plan.targets.first().expect("there is always one");
    let from = target.mode_from.as_ref();
    let got = from.and_then(|level| {
        let at = level.at.as_ref()?;
        assert_eq!(*at.file, *format!("mesh.d/{}", files.last()?));
        Some((level.value?, level.number, at.line))
    });
    assert_eq!(got, said, "{files:?} {asked:?}\n{plan}");
    let shown: Vec<String> = target.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(shown, endpoints, "{files:?} {asked:?}\n{plan}");
    assert!(target.sni.ends_with(".consul") && target.spiffe.len() == 1);
}

#[test]
fn registrations_say_what_their_heads_tell() {
    let new = ModeRules::V1_14;
    for rules in [new, ModeRules::V1_8] {
        let orders = ("orders", None, rules);
        expect(
            &["per_instance.hcl"],
            orders,
            (Some((Remote, 3, 18)), GATEWAYS_THERE),
        );
        expect(
            &["inline_sidecar.hcl"],
            orders,
            (Some((Local, 3, 15)), GATEWAYS_HERE),
        );
        expect(
            &["per_upstream.hcl"],
            orders,
            (Some((Local, 1, 26)), GATEWAYS_HERE),
        );
        let billing = ("billing", None, rules);
        expect(
            &["per_upstream.hcl"],
            billing,
            (Some((Remote, 1, 34)), GATEWAYS_THERE),
        );
        let search = ("search", None, rules);
        let there = &["10.20.1.1:21003"];
        expect(
            &["per_upstream.hcl"],
            search,
            (Some((Straight, 1, 42)), there),
        );
    }
    let orders = ("orders", None, new);
    let there = &["10.20.1.1:21001", "203.0.113.12:21001"];
    expect(&["web.hcl"], orders, (None, there));
}

#[test]
fn entries_say_what_their_heads_tell() {
    let (old, new) = (ModeRules::V1_8, ModeRules::V1_14);
    let (orders, billing) = (("orders", None, new), ("billing", Some("dc2"), new));
    let global = ["web.hcl", "global.hcl"];
    expect(&global, orders, (Some((Local, 6, 11)), GATEWAYS_HERE));
    expect(
        &global,
        ("search", None, new),
        (Some((Local, 6, 11)), &["10.10.1.1:21009"]),
    );
    let service = ["web.hcl", "per_service.hcl"];
    expect(&service, orders, (Some((Remote, 5, 9)), GATEWAYS_THERE));
    let upstreams = ["web.hcl", "per_service_upstreams.hcl"];
    expect(&upstreams, orders, (Some((Local, 2, 17)), GATEWAYS_HERE));
    expect(&upstreams, billing, (Some((Remote, 4, 15)), GATEWAYS_THERE));
    let (straight, there) = (
        Some((Straight, 5, 13)),
        &["10.20.1.1:21001", "203.0.113.12:21001"],
    );
    expect(&upstreams, ("orders", None, old), (straight, there));
    expect(
        &upstreams,
        ("billing", Some("dc2"), old),
        (straight, &["10.20.1.1:21002"]),
    );
    let target = ["web.hcl", "per_target.hcl"];
    expect(&target, orders, (Some((Remote, 7, 13)), GATEWAYS_THERE));
    expect(&target, billing, (None, &["10.20.1.1:21002"]));
}

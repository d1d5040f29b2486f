use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{SpiffeError, SpiffeId};

const TD: &str = "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul";

#[test]
fn what_is_no_identity_of_the_mesh_is_refused() {
    use SpiffeError as E;
    for (text, error) in [
        ("", E::Scheme),
        ("https://td/ns/a/dc/b/svc/c", E::Scheme),
        ("spiffe:/td/ns/a/dc/b/svc/c", E::Scheme),
        ("spiffe:///ns/a/dc/b/svc/c", E::TrustDomain),
        ("spiffe://user@td/ns/a/dc/b/svc/c", E::TrustDomain),
        ("spiffe://td:443/ns/a/dc/b/svc/c", E::TrustDomain),
        ("spiffe://t%64/ns/a/dc/b/svc/c", E::TrustDomain),
        ("spiffe://td?/ns/a/dc/b/svc/c", E::TrustDomain),
        ("spiffe://td", E::EmptyPart),
        ("spiffe://td/", E::EmptyPart),
        ("spiffe://td/ns//dc/b/svc/c", E::EmptyPart),
        ("spiffe://td/ns/a/dc/b/svc/c/", E::EmptyPart),
        ("spiffe://td//ns/a/dc/b/svc/c", E::EmptyPart),
        ("spiffe://td/ns/a/dc/b/svc/c?x", E::Character),
        ("spiffe://td/ns/a/dc/b/svc/c#x", E::Character),
        ("spiffe://td/ns/a/dc/b/svc/c d", E::Character),
        ("spiffe://td/ns/a/dc/b/svc/é", E::Character),
        ("spiffe://td/ns/a/dc/b/svc/%zz", E::Escape),
        ("spiffe://td/ns/a/dc/b/svc/%4", E::Escape),
        ("spiffe://td/ns/a/dc/b/svc/%+4", E::Escape),
        ("spiffe://td/ns/a/dc/b/svc/%ff", E::Escape),
        ("spiffe://td/ns/a/dc/b", E::Form),
        ("spiffe://td/NS/a/dc/b/svc/c", E::Form),
        ("spiffe://td/%6es/a/dc/b/svc/c", E::Form),
        ("spiffe://td/ns/a/dc/b/svc/c/d", E::Form),
        ("spiffe://td/dc/b/ns/a/svc/c", E::Form),
        ("spiffe://td/ap/p", E::Form),
        ("spiffe://td/ap/p/ap/p/ns/a/dc/b/svc/c", E::Form),
        ("spiffe://td/gateway/ingress/dc/b", E::Form),
        ("spiffe://td/gateway/mesh/ap/p/dc/b", E::Form),
        ("spiffe://td/ap/p/agent/server/dc/b", E::Form),
        ("spiffe://td/agent/client/dc/b", E::Form),
    ] {
        assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
        assert!(!error.to_string().ends_with('.'));
    }
    let long = format!("spiffe://td/ns/a/dc/b/svc/{}", "c".repeat(2048));
    assert_eq!(long.parse::<SpiffeId>(), Err(E::TooLong));
}

#[test]
fn each_form_is_read_and_written() {
    for path in [
        "/ns/default/dc/dc1/svc/web",
        "/ap/blue/ns/team/dc/dc1/svc/web",
        "/ns/a%2Fb/dc/%C3%A9/svc/a%20b%2Cc",
        "/gateway/mesh/dc/dc2",
        "/ap/blue/gateway/mesh/dc/dc2",
        "/agent/client/dc/dc1/id/node-1",
        "/agent/server/dc/dc1",
    ] {
        let text = format!("spiffe://{TD}{path}");
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.trust_domain().as_str(), TD);
    }
}

#[test]
fn parts_are_decoded_and_the_default_partition_is_not_written() {
    let text = format!(
        "SPIFFE://{}/ap/default/ns/n/dc/d/svc/a%2fb!",
        TD.to_uppercase()
    );
    let id: SpiffeId = text.parse().unwrap();
    assert_eq!(
        id.to_string(),
        format!("spiffe://{TD}/ns/n/dc/d/svc/a%2Fb%21")
    );
    let SpiffeId::Service {
        partition, service, ..
    } = id
    else {
        panic!("{id}");
    };
    assert_eq!((partition.as_str(), service.as_str()), ("default", "a/b!"));
}

fn id() -> impl Strategy<Value = SpiffeId> {
    let part = || prop_oneof!["[a-z0-9-]{1,8}", "\\PC{1,6}", Just("default".to_owned())];
    (0..4, "[A-Za-z0-9._-]{1,20}", part(), part(), part(), part()).prop_map(
        |(kind, trust_domain, partition, namespace, datacenter, name)| {
            let trust_domain = trust_domain.parse().unwrap();
            match kind {
                0 => SpiffeId::Service {
                    trust_domain,
                    partition,
                    namespace,
                    datacenter,
                    service: name,
                },
                1 => SpiffeId::MeshGateway {
                    trust_domain,
                    partition,
                    datacenter,
                },
                2 => SpiffeId::Agent {
                    trust_domain,
                    partition,
                    datacenter,
                    node: name,
                },
                _ => SpiffeId::Server {
                    trust_domain,
                    datacenter,
                },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read_back(id in id()) {
        prop_assert_eq!(id.to_string().parse::<SpiffeId>(), Ok(id));
    }

    #[test]
    fn what_is_read_is_written_to_the_same_meaning(
        text in prop_oneof![any::<String>(), "spiffe://[a-zA-Z.]{1,3}(/(ns|dc|svc|ap|%2F|a|gateway|mesh|%)){0,8}"],
    ) {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert!(text.to_lowercase().starts_with("spiffe://"));
            prop_assert_eq!(id.to_string().parse::<SpiffeId>(), Ok(id));
        }
    }
}

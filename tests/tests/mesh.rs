//! A mesh of two datacenters: what crosses both gateways, and what never gets through.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use gateway_tests::config::route;
use gateway_tests::mesh::client::{converse, exactly, hops};
use gateway_tests::mesh::net::{Datacenter, GATEWAY, lan, wan};
use gateway_tests::mesh::state::{GATEWAY_PORT, INSTANCE_PORT, Registration, State, TRUST_DOMAIN};
use gateway_tests::mesh::{NEIGHBOUR, World, identity, on_each_engine, server_name};
use gateway_tests::peers::label::Answer;
use gateway_tests::peers::pump::exchange;
use gateway_tests::peers::spiffe::Meeting;
use gateway_tests::peers::transfer::{Pattern, receive};
use gateway_tests::topology::Family;
use gateway_tests::{skip, wait};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn names_that_nobody_offers_are_refused() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let world = World::new(State::new(Family::V4), "").await?;
    let near = world.near_gateway(Family::V4);
    for name in [
        server_name("nobody"),
        server_name("v9.web"),
        format!("web.other.dc2.internal.{TRUST_DOMAIN}"),
        format!("web.default.dc3.internal.{TRUST_DOMAIN}"),
        format!("shop.default.dc1.internal.{TRUST_DOMAIN}x"),
        "web.default.dc2.internal.11111111-2222-3333-4444-555555555555.consul".to_owned(),
        format!("web.default.dc2.{TRUST_DOMAIN}"),
        "web".to_owned(),
    ] {
        assert_eq!(world.ask(near, &name).await?, Answer::Closed, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn bytes_cross_both_gateways_unchanged_both_ways() -> Result<()> {
    on_each_engine(&Family::BOTH, async |world, engine| {
        let family = world.state.family;
        let far = world.state.gateway_on_wan(Datacenter::Dc2);
        for (seed, length) in (1..).zip([1, 1000, 65_537, 1 << 20, 16 << 20]) {
            let known = [Datacenter::Dc1, Datacenter::Dc2]
                .map(|datacenter| world.agent(datacenter).access_log().map(|log| log.len()));
            let [near_known, far_known] = known;
            let mut conversation = world.talk("web", family).await?;
            let (mut reader, mut writer) = tokio::io::split(&mut conversation.stream);
            exchange(&mut reader, &mut writer, Pattern { seed, length }).await?;
            writer.shutdown().await?;
            assert_eq!(receive(&mut reader).await?.length, 0);
            let name = server_name("web");
            let records = hops(&world, &name, [near_known?, far_known?]).await?;
            for record in &records {
                assert_eq!(record["engine"], engine, "{record}");
            }
            let [first, second] = records;
            assert_eq!(first["endpoint"], far.to_string());
            let number = if conversation.instance == "web-1" {
                11
            } else {
                12
            };
            let instance = SocketAddr::new(lan(family, number), INSTANCE_PORT);
            assert_eq!(second["endpoint"], instance.to_string());
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_address_of_an_instance_leads_elsewhere_in_the_clients_own_datacenter() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let world = World::new(State::new(Family::V4), "").await?;
    let at = SocketAddr::new(lan(Family::V4, 11), INSTANCE_PORT);
    let web = identity(Datacenter::Dc2, "web");
    let meeting = world.meet(at, &server_name("web"), &web).await?;
    let Meeting::Stranger(met) = meeting else {
        panic!("{meeting:?}");
    };
    assert_eq!(met, identity(Datacenter::Dc1, NEIGHBOUR));
    exactly(&world.answers("web", 4).await?, &["web-1", "web-2"])?;
    // Nobody but the client itself has been there.
    assert_eq!(world.accepted(NEIGHBOUR)?, 1);
    Ok(())
}

#[tokio::test]
async fn a_subset_leads_to_its_version_alone() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut world = World::new(State::new(Family::V6), "").await?;
    exactly(&world.answers("web", 6).await?, &["web-1", "web-2"])?;
    exactly(&world.answers("v1.web", 6).await?, &["web-1"])?;
    exactly(&world.answers("v2.web", 6).await?, &["web-2"])?;
    world.change(|state| state.default_subset = Some("v2"))?;
    exactly(&world.answers("web", 6).await?, &["web-2"])
}

#[tokio::test]
async fn openssl_reaches_an_instance_by_a_name_in_upper_case() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let world = World::new(State::new(Family::V4), "").await?;
    for family in Family::BOTH {
        let name = server_name("V2.Web").to_uppercase();
        let instance = world.openssl(world.near_gateway(family), &name).await?;
        assert_eq!(instance, "web-2");
    }
    Ok(())
}

#[tokio::test]
async fn each_mode_is_dialled_as_the_agent_explains_it() -> Result<()> {
    on_each_engine(&Family::BOTH, async |mut world, _engine| {
        let family = world.state.family;
        let (_, mut pump) = world.pump("api", 1).await?;
        for (mode, endpoint) in [
            ("local", world.near_gateway(family)),
            ("remote", SocketAddr::new(wan(family, 2), GATEWAY_PORT)),
            ("none", SocketAddr::new(wan(family, 21), INSTANCE_PORT)),
        ] {
            world.change(|state| state.mode = mode)?;
            let targets = world.targets("api")?;
            let [target] = targets.as_slice() else {
                panic!("{targets:?}");
            };
            assert_eq!(target.mode, mode);
            assert_eq!(target.endpoints, [endpoint]);
            assert_eq!(target.name, server_name("api"));
            assert_eq!(target.identity, identity(Datacenter::Dc2, "api"));
            assert_eq!(converse(world.dial("api").await?).await?.instance, "api-1");
            pump.turn().await?;
        }
        // Without an address on the WAN, mode `none` leads to a stranger.
        let Meeting::Stranger(met) = world.dial("web").await? else {
            panic!("an address of the other datacenter met an instance of it");
        };
        assert_eq!(met, identity(Datacenter::Dc1, NEIGHBOUR));
        pump.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn weights_share_connections_out() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut state = State::new(Family::V4);
    state.instance("web-1").weight = 3;
    let world = World::new(state, "").await?;
    let answers = world.answers("web", 16).await?;
    let first = answers.iter().filter(|name| *name == "web-1").count();
    ensure!((11..=13).contains(&first), "{first} of 16");
    Ok(())
}

#[tokio::test]
async fn a_limit_on_connections_refuses_the_next_one_only() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut state = State::new(Family::V4);
    let limit = "Kind = \"service-defaults\"\nName = \"mesh-gateway\"\n\
                 UpstreamConfig { Defaults { Limits { MaxConnections = 2 } } }\n";
    state.more.push(("limits.hcl", limit.to_owned()));
    let world = World::new(state, "").await?;
    let (_, mut first) = world.pump("web", 1).await?;
    let (_, second) = world.pump("web", 2).await?;
    let web = identity(Datacenter::Dc2, "web");
    let near = world.near_gateway(Family::V4);
    let meeting = world.meet(near, &server_name("web"), &web).await?;
    assert!(matches!(meeting, Meeting::Closed), "{meeting:?}");
    world
        .agent(Datacenter::Dc1)
        .logged(|record| record["reason"] == "route_limit")
        .await?;
    second.finish().await?;
    wait::until("room for another connection", || async {
        let meeting = world.meet(near, &server_name("web"), &web).await?;
        Ok(matches!(meeting, Meeting::Expected(_)).then_some(()))
    })
    .await?;
    first.turn().await?;
    first.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_configured_route_stands_beside_the_mesh_and_before_it() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let world = World::new(State::new(Family::V4), "").await?;
    let neighbour = SocketAddr::new(lan(Family::V4, 11), INSTANCE_PORT);
    let billing = identity(Datacenter::Dc1, NEIGHBOUR);
    let near = SocketAddr::new(lan(Family::V4, GATEWAY), GATEWAY_PORT);
    let more = route("billing.example.com", &[neighbour], "")
        + &route(&server_name("api"), &[neighbour], "");
    world.configure(Datacenter::Dc1, &more)?;
    for name in ["billing.example.com".to_owned(), server_name("api")] {
        let met = converse(world.meet(near, &name, &billing).await?).await?;
        assert_eq!(met.instance, NEIGHBOUR);
    }
    exactly(&world.answers("web", 2).await?, &["web-1", "web-2"])
}

#[tokio::test]
async fn an_exported_name_of_http_is_refused_with_its_reason() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut state = State::new(Family::V4);
    state
        .instances
        .push(Registration::new("site-1", "site", 31, "1"));
    state.more = vec![
        (
            "site.hcl",
            "Kind = \"service-defaults\"\nName = \"site\"\nProtocol = \"http\"\n".to_owned(),
        ),
        (
            "exports.hcl",
            "Kind = \"exported-services\"\nName = \"default\"\nServices = [\n  \
             { Name = \"site\", Consumers = [{ Peer = \"north\" }] },\n  \
             { Name = \"web\", Consumers = [{ Peer = \"north\" }] },\n]\n"
                .to_owned(),
        ),
        ("north.hcl", "peering \"north\" {}\n".to_owned()),
    ];
    let world = World::new(state, "").await?;
    let far = world.state.gateway_on_wan(Datacenter::Dc2);
    let exported = |service| format!("{service}.default.default.north.external.{TRUST_DOMAIN}");
    let answer = world.ask(far, &exported("site")).await?;
    assert_eq!(answer, Answer::Closed);
    let agent = world.agent(Datacenter::Dc2);
    let record = agent
        .logged(|record| record["sni"] == exported("site"))
        .await?;
    assert_eq!(record["reason"], "route_refused");
    let why = record["detail"].as_str().unwrap_or_default();
    ensure!(
        why.contains("http"),
        "the record does not say why: {record}"
    );
    // What is exported as plain TCP passes.
    let web = identity(Datacenter::Dc2, "web");
    let met = world.meet(far, &exported("web"), &web).await?;
    assert!(converse(met).await?.instance.starts_with("web-"));
    Ok(())
}

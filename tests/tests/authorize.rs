//! Who may come in, by source address: at the listener, at the route, and after a reload.

use std::net::IpAddr;

use anyhow::Result;
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{ACCESS_DENIED, Answer, ask, labelled};
use gateway_tests::peers::{Server, connect_from, hellos, listen, read_to_end};
use gateway_tests::topology::{Family, Topology, client, gateway, server};
use gateway_tests::{skip, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NAME: &str = "web.example.com";

struct Scene {
    net: Topology,
    agent: Agent,
    _server: Server,
}

impl Scene {
    async fn new(at_listener: &str, at_route: &str) -> Result<Self> {
        let net = Topology::new(1)?;
        let address = server(Family::V4, 0, 443);
        let labelled = labelled(&net.servers[0], address, "in")?;
        let body = listener(at_listener) + &route(NAME, &[address], at_route);
        let agent = Agent::start(&net.gateway, &body).await?;
        Ok(Self {
            net,
            agent,
            _server: labelled,
        })
    }

    async fn ask_from(&self, family: Family, n: u8) -> Result<Answer> {
        let to = gateway(family, PORT);
        let stream = connect_from(&self.net.client, client(family, n), to).await?;
        ask(stream, &hellos::asking_for(NAME)?).await
    }
}

fn inside() -> Answer {
    Answer::server("in")
}

#[tokio::test]
async fn a_listener_denies_a_source_of_either_family() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(r#"deny = ["10.1.0.3", "fd00:1::3/128"]"#, "").await?;
    for family in Family::BOTH {
        assert_eq!(scene.ask_from(family, 0).await?, inside(), "{family:?}");
        assert_eq!(
            scene.ask_from(family, 1).await?,
            ACCESS_DENIED,
            "{family:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_route_that_allows_somebody_denies_all_others() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new("", r#"allow = ["10.1.0.2/32"]"#).await?;
    assert_eq!(scene.ask_from(Family::V4, 0).await?, inside());
    assert_eq!(scene.ask_from(Family::V4, 1).await?, ACCESS_DENIED);
    assert_eq!(scene.ask_from(Family::V6, 0).await?, ACCESS_DENIED);
    Ok(())
}

#[tokio::test]
async fn the_longest_prefix_decides() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let rules = r#"allow = ["10.1.0.0/24", "10.1.0.4"]  deny = ["10.1.0.4/31"]"#;
    let scene = Scene::new(rules, "").await?;
    for (n, expected) in [(0, inside()), (2, inside()), (3, ACCESS_DENIED)] {
        assert_eq!(
            scene.ask_from(Family::V4, n).await?,
            expected,
            "{}",
            client(Family::V4, n)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_denied_source_is_logged_with_its_reason() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new("", r#"deny = ["10.1.0.3"]"#).await?;
    assert_eq!(scene.ask_from(Family::V4, 1).await?, ACCESS_DENIED);
    let record = scene.agent.logged(|record| record["sni"] == NAME).await?;
    assert!(record["reason"].to_string().contains("denied"), "{record}");
    Ok(())
}

#[tokio::test]
async fn a_reload_cuts_the_live_connections_it_denies_and_no_others() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let far = listen(&net.servers[0], address)?;
    let open = listener("") + &route(NAME, &[address], "");
    let agent = Agent::start(&net.gateway, &open).await?;
    let mut kept = join_from(&net, client(Family::V4, 0), &far).await?;
    let mut cut = join_from(&net, client(Family::V4, 1), &far).await?;
    agent.reload(&(listener("") + &route(NAME, &[address], r#"deny = ["10.1.0.3"]"#)))?;
    wait::within("the cut", read_to_end(&mut cut.0, &mut Vec::new())).await??;
    wait::within("the cut", read_to_end(&mut cut.1, &mut Vec::new())).await??;
    kept.0.write_all(b"still here").await?;
    let mut bytes = [0; 10];
    wait::within("the kept connection", kept.1.read_exact(&mut bytes)).await??;
    assert_eq!(&bytes, b"still here");
    Ok(())
}

async fn join_from(
    net: &Topology,
    source: IpAddr,
    far: &TcpListener,
) -> Result<(TcpStream, TcpStream)> {
    let hello = hellos::asking_for(NAME)?;
    let mut near = connect_from(&net.client, source, gateway(Family::V4, PORT)).await?;
    near.write_all(&hello).await?;
    let (mut server, _agent) = wait::within("the agent's connection", far.accept()).await??;
    server.read_exact(&mut vec![0; hello.len()]).await?;
    Ok((near, server))
}

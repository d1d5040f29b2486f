//! Ending in order: nothing new comes in, what is there may finish, and nobody waits for ever.

use anyhow::Result;
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{connect, listen, read_to_end};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use rustix::process::Signal;
use tokio::net::TcpListener;

const NAME: &str = "web.example.com";

struct Scene {
    net: Topology,
    agent: Agent,
    far: TcpListener,
}

impl Scene {
    async fn new(limits: &str) -> Result<Self> {
        let net = Topology::new(1)?;
        let address = server(Family::V4, 0, 443);
        let far = listen(&net.servers[0], address)?;
        let body = listener("") + &route(NAME, &[address], "") + limits;
        let agent = Agent::start(&net.gateway, &body).await?;
        Ok(Self { net, agent, far })
    }

    async fn pair(&self) -> Result<Pair> {
        Pair::join(&self.net.client, gateway(Family::V4, PORT), NAME, &self.far).await
    }

    async fn refusing(&self) -> Result<()> {
        wait::until("listeners to close", || async {
            let attempt = connect(&self.net.client, gateway(Family::V4, PORT)).await;
            Ok(attempt.is_err().then_some(()))
        })
        .await
    }
}

#[tokio::test]
async fn without_connections_sigterm_ends_at_once() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new("").await?;
    assert_eq!(scene.agent.stop().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn sigterm_lets_live_connections_finish() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new("").await?;
    let mut pair = scene.pair().await?;
    scene.agent.process().signal(Signal::TERM)?;
    scene.refusing().await?;
    pair.check().await?;
    assert_eq!(scene.agent.admin("GET", "/ready", "")?.0, 503);
    drop(pair);
    assert_eq!(scene.agent.process().wait().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_finish() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new("limits { drain_timeout = \"300ms\" }\n").await?;
    let mut pair = scene.pair().await?;
    assert_eq!(scene.agent.stop().await?.code(), Some(0));
    wait::within("the end", read_to_end(&mut pair.client, &mut Vec::new())).await??;
    let record = scene.agent.logged(|record| record["sni"] == NAME).await?;
    assert!(record["reason"].to_string().contains("drain"), "{record}");
    Ok(())
}

#[tokio::test]
async fn the_drain_command_does_what_sigterm_does() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new("").await?;
    let pair = scene.pair().await?;
    scene.agent.expect(&["drain", "--timeout", "20s"])?;
    scene.refusing().await?;
    drop(pair);
    assert_eq!(scene.agent.process().wait().await?.code(), Some(0));
    Ok(())
}

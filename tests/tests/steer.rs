//! Whole prefixes and port ranges taken by one listener, without an address bound for each.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::bpffs::BpfFilesystem;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{Answer, ask, labelled};
use gateway_tests::peers::{Server, connect, hellos};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use tokio::time::timeout;

const NAME: &str = "web.example.com";

const DESTINATIONS: &str = r#"destinations = [
    "192.0.2.0/24:443",
    "[fd00:9::]/64:1000-2000",
    { prefix = "198.51.100.0/24:443", datacenter = "dc2", service = "web" },
  ]"#;

struct Scene {
    net: Topology,
    agent: Agent,
    bpffs: BpfFilesystem,
    _server: Server,
}

impl Scene {
    /// An agent that must steer; `None` where its build has no kernel half.
    async fn new(body: &str) -> Result<Option<Self>> {
        let net = Topology::new(1)?;
        let bpffs = BpfFilesystem::new()?;
        let labelled = labelled(&net.servers[0], server(Family::V4, 0, 443), "in")?;
        let agent = match Setup::new(&net.gateway)
            .steer("required")
            .bpffs(&bpffs)
            .start(body)
            .await
        {
            Err(error) if error.to_string().contains("without a kernel object") => {
                skip::record("culvert was built without a kernel object: `cargo xtask ebpf`");
                return Ok(None);
            }
            other => other?,
        };
        Ok(Some(Self {
            net,
            agent,
            bpffs,
            _server: labelled,
        }))
    }

    async fn ask(&self, destination: &str) -> Result<Answer> {
        let stream = connect(&self.net.client, destination.parse()?).await?;
        ask(stream, &hellos::asking_for(NAME)?).await
    }

    /// Whether the gateway's kernel refuses a connection.
    async fn refuses(&self, destination: &str) -> Result<bool> {
        let address: SocketAddr = destination.parse()?;
        let attempt = connect(&self.net.client, address);
        Ok(wait::within("a refusal", attempt).await?.is_err())
    }

    /// Whether nobody answers a connection at all: the gateway has no route for the address.
    async fn ignores(&self, destination: &str) -> Result<bool> {
        let attempt = connect(&self.net.client, destination.parse()?);
        Ok(timeout(Duration::from_secs(1), attempt).await.is_err())
    }
}

fn steering() -> String {
    listener(DESTINATIONS) + &route(NAME, &[server(Family::V4, 0, 443)], "")
}

#[tokio::test]
async fn any_address_and_port_of_a_destination_reaches_the_listener() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    for destination in [
        "192.0.2.1:443",
        "192.0.2.254:443",
        "[fd00:9::7]:1000",
        "[fd00:9::]:2000",
    ] {
        assert_eq!(
            scene.ask(destination).await?,
            Answer::server("in"),
            "{destination}"
        );
    }
    let bound = gateway(Family::V4, PORT).to_string();
    assert_eq!(scene.ask(&bound).await?, Answer::server("in"));
    Ok(())
}

#[tokio::test]
async fn a_port_outside_the_range_is_refused_by_the_kernel() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    for destination in ["192.0.2.1:444", "[fd00:9::7]:999", "[fd00:9::7]:2001"] {
        assert!(scene.refuses(destination).await?, "{destination}");
    }
    Ok(())
}

#[tokio::test]
async fn the_record_shows_the_destination_that_the_client_asked_for() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    scene.ask("192.0.2.77:443").await?;
    scene
        .agent
        .logged(|record| record["dst"] == "192.0.2.77:443")
        .await?;
    Ok(())
}

#[tokio::test]
async fn steered_connections_are_counted_by_datacenter_and_service() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    for _ in 0..3 {
        scene.ask("198.51.100.9:443").await?;
    }
    let sample = "culvert_steer_connections_total{datacenter=\"dc2\",service=\"web\"}";
    wait::until("three steered connections", || {
        let count = scene.agent.metric(sample);
        async { Ok((count? >= 3.0).then_some(())) }
    })
    .await
}

#[tokio::test]
async fn a_reload_moves_destinations_and_their_routes() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    // The old prefix stays with another port: one that is left altogether is not the gateway's any
    // more, and what is sent there meets silence, not a refusal.
    let moved = "destinations = [\"203.0.113.0/24:443\", \"192.0.2.0/24:8443\"]";
    scene
        .agent
        .reload(&(listener(moved) + &route(NAME, &[server(Family::V4, 0, 443)], "")))?;
    for destination in ["203.0.113.5:443", "192.0.2.1:8443"] {
        assert_eq!(
            scene.ask(destination).await?,
            Answer::server("in"),
            "{destination}"
        );
    }
    assert!(scene.refuses("192.0.2.1:443").await?);
    assert!(scene.ignores("198.51.100.9:443").await?);
    Ok(())
}

#[tokio::test]
async fn a_killed_agent_is_succeeded_with_its_counts() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(mut scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    scene.ask("198.51.100.9:443").await?;
    scene.agent.process().kill()?;
    scene.agent.restart(&scene.net.gateway).await?;
    assert_eq!(scene.ask("198.51.100.9:443").await?, Answer::server("in"));
    let lookups = "culvert_steer_lookups_total{datacenter=\"dc2\",service=\"web\"}";
    assert!(scene.agent.metric(lookups)? >= 2.0);
    Ok(())
}

#[tokio::test]
async fn maps_are_decoded_with_and_without_an_agent() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(mut scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    for running in [true, false] {
        if !running {
            scene.agent.process().kill()?;
        }
        let text = scene.agent.maps(&scene.bpffs, &["DESTINATIONS"])?;
        assert!(text.contains("192.0.2.0/24"), "running {running}: {text}");
        let text = scene.agent.maps(&scene.bpffs, &["ROUTES"])?;
        assert!(
            text.contains("dc2") && text.contains("web"),
            "running {running}: {text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn two_gateways_on_one_host_do_not_disturb_each_other() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let Some(scene) = Scene::new(&steering()).await? else {
        return Ok(());
    };
    let other = format!(
        "listener \"other\" {{ destinations = [\"{}\"] }}\n",
        "203.0.113.0/24:443"
    ) + &route(NAME, &[server(Family::V4, 0, 443)], "");
    let setup = Setup::new(&scene.net.gateway)
        .steer("required")
        .bpffs(&scene.bpffs);
    let second = setup.start(&other).await?;
    assert_eq!(scene.ask("192.0.2.1:443").await?, Answer::server("in"));
    assert_eq!(scene.ask("203.0.113.1:443").await?, Answer::server("in"));
    drop(second);
    assert_eq!(scene.ask("192.0.2.1:443").await?, Answer::server("in"));
    Ok(())
}

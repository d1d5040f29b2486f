//! Which endpoint of a route gets a connection, and what happens when one does not answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{Answer, ask, labelled};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{Server, connect_from, hellos, listen};
use gateway_tests::skip;
use gateway_tests::topology::{Family, Topology, client, gateway, server};

const NAME: &str = "web.example.com";

/// Labels of the servers, in the order of their addresses.
const LABELS: [&str; 3] = ["a", "b", "c"];

struct Scene {
    net: Topology,
    agent: Agent,
    _servers: Vec<Server>,
}

impl Scene {
    async fn new(more: &str) -> Result<Self> {
        Self::with(&(listener("") + &route(NAME, &endpoints(), more))).await
    }

    async fn with(body: &str) -> Result<Self> {
        let net = Topology::new(3)?;
        let mut servers = Vec::new();
        for ((space, address), label) in net.servers.iter().zip(endpoints()).zip(LABELS) {
            servers.push(labelled(space, address, label)?);
        }
        let agent = Agent::start(&net.gateway, body).await?;
        Ok(Self {
            net,
            agent,
            _servers: servers,
        })
    }

    async fn ask_from(&self, n: u8) -> Result<String> {
        let to = gateway(Family::V4, PORT);
        let stream = connect_from(&self.net.client, client(Family::V4, n), to).await?;
        match ask(stream, &hellos::asking_for(NAME)?).await? {
            Answer::Server(label) => Ok(label),
            other => anyhow::bail!("no server answered but {other:?}"),
        }
    }

    /// How many of `connections` went to each server.
    async fn spread(&self, connections: u32) -> Result<BTreeMap<String, u32>> {
        let mut spread = BTreeMap::new();
        for _ in 0..connections {
            *spread.entry(self.ask_from(0).await?).or_insert(0) += 1;
        }
        Ok(spread)
    }
}

fn endpoints() -> Vec<SocketAddr> {
    (0..3).map(|n| server(Family::V4, n, 443)).collect()
}

fn counts<const N: usize>(expected: [(&str, u32); N]) -> BTreeMap<String, u32> {
    expected
        .map(|(label, count)| (label.to_owned(), count))
        .into()
}

#[tokio::test]
async fn round_robin_is_the_default_and_even() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new("").await?;
    assert_eq!(
        scene.spread(30).await?,
        counts([("a", 10), ("b", 10), ("c", 10)])
    );
    Ok(())
}

#[tokio::test]
async fn round_robin_keeps_to_weights() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let [a, b, c] = [0, 1, 2].map(|n| server(Family::V4, n, 443));
    let endpoints = format!(
        r#"endpoints = ["{a}", {{ address = "{b}", weight = 3 }}, {{ address = "{c}", weight = 2 }}]"#
    );
    let body = listener("") + &format!("route \"{NAME}\" {{ {endpoints} }}\n");
    let scene = Scene::with(&body).await?;
    assert_eq!(
        scene.spread(60).await?,
        counts([("a", 10), ("b", 30), ("c", 20)])
    );
    Ok(())
}

#[tokio::test]
async fn least_connections_prefers_the_idle_endpoint() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(2)?;
    let addresses = [0, 1].map(|n| server(Family::V4, n, 443));
    let busy = listen(&net.servers[0], addresses[0])?;
    let body =
        |to: &[SocketAddr]| listener("") + &route(NAME, to, "balance = \"least_connections\"");
    let agent = Agent::start(&net.gateway, &body(&addresses[..1])).await?;
    let mut held = Vec::new();
    for _ in 0..5 {
        let to = gateway(Family::V4, PORT);
        held.push(Pair::join(&net.client, to, NAME, &busy).await?);
    }
    let idle = labelled(&net.servers[1], addresses[1], "idle")?;
    agent.reload(&body(&addresses))?;
    for _ in 0..5 {
        let to = gateway(Family::V4, PORT);
        let stream = connect_from(&net.client, client(Family::V4, 0), to).await?;
        let got = ask(stream, &hellos::asking_for(NAME)?).await?;
        assert_eq!(got, Answer::server("idle"));
    }
    assert_eq!(idle.accepted(), 5);
    Ok(())
}

#[tokio::test]
async fn source_hash_sends_a_source_to_one_endpoint() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new("balance = \"source_hash\"").await?;
    let mut chosen = Vec::new();
    for n in 0..8 {
        let first = scene.ask_from(n).await?;
        for _ in 0..5 {
            assert_eq!(scene.ask_from(n).await?, first, "{}", client(Family::V4, n));
        }
        chosen.push(first);
    }
    chosen.sort();
    chosen.dedup();
    assert!(chosen.len() > 1, "eight sources all went to {chosen:?}");
    Ok(())
}

#[tokio::test]
async fn random_uses_every_endpoint() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new("balance = \"random\"").await?;
    // The chance that one of three is never chosen in 60 draws is below 1 in 10 billion.
    assert_eq!(scene.spread(60).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_refuses_costs_no_connection() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let refusing = server(Family::V4, 1, 9);
    let living = server(Family::V4, 0, 443);
    let scene = Scene::with(&(listener("") + &route(NAME, &[refusing, living], ""))).await?;
    assert_eq!(scene.spread(20).await?, counts([("a", 20)]));
    let sample = format!("culvert_connect_retries_total{{route=\"{NAME}\"}}");
    assert!(scene.agent.metric(&sample)? >= 1.0);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_swallows_everything_costs_a_timeout_only() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    // No host has this address: the neighbour look-up finds nobody.
    let silent = SocketAddr::from(([10, 2, 1, 77], 443));
    let living = server(Family::V4, 0, 443);
    let body = listener("") + &route(NAME, &[silent, living], "connect_timeout = \"300ms\"");
    let scene = Scene::with(&body).await?;
    assert_eq!(scene.spread(6).await?, counts([("a", 6)]));
    Ok(())
}

#[tokio::test]
async fn an_endpoint_is_ejected_after_its_failures_and_shown_so() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let refusing = server(Family::V4, 1, 9);
    let body = listener("")
        + &route(
            NAME,
            &[
                refusing,
                server(Family::V4, 0, 443),
                server(Family::V4, 2, 443),
            ],
            "",
        )
        + "health { failures = 2 }\n";
    let scene = Scene::with(&body).await?;
    scene.spread(30).await?;
    let ejected = format!("culvert_endpoint_ejected{{route=\"{NAME}\"}}");
    assert!((scene.agent.metric(&ejected)? - 1.0).abs() < f64::EPSILON);
    let failures = format!("culvert_endpoint_failures_total{{route=\"{NAME}\"}}");
    assert!((scene.agent.metric(&failures)? - 2.0).abs() < f64::EPSILON);
    let shown = scene.agent.expect(&["routes", NAME])?;
    assert!(shown.contains("eject"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_goes_down_under_load_costs_no_connection() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new("").await?;
    assert_eq!(scene.spread(9).await?.len(), 3);
    // The last server's sockets close: its host answers with RST from now on.
    drop(scene._servers.pop());
    let after = scene.spread(60).await?;
    assert_eq!(after.get("c"), None);
    assert_eq!(after.values().sum::<u32>(), 60);
    Ok(())
}

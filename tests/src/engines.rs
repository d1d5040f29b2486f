//! The scene of the tests that run on every engine: one route, and both ends in the test's hands.

use std::future::Future;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::agent::Agent;
use crate::config::{PORT, listener, route};
use crate::peers::listen;
use crate::peers::pair::Pair;
use crate::skip;
use crate::topology::{Family, Topology, gateway, server};

/// The engines that this build of the agent has.
pub const ENGINES: &[&str] = &["copy", "sockmap"];

/// The name that the one route is for.
pub const NAME: &str = "web.example.com";

/// An agent with one route, and the server's socket in the test's own hands.
#[derive(Debug)]
pub struct Scene {
    /// Where everything runs.
    pub net: Topology,
    /// The agent.
    pub agent: Agent,
    /// The server's listening socket.
    pub listener: TcpListener,
    engine: &'static str,
}

impl Scene {
    /// Starts an agent with one engine and one route to a server of `family`.
    pub async fn new(engine: &'static str, family: Family, more: &str) -> Result<Self> {
        Self::start(Topology::new(1)?, (engine, family), "", more).await
    }

    /// The same on a topology of one's own.
    pub async fn on(net: Topology, engine: &'static str, family: Family) -> Result<Self> {
        Self::start(net, (engine, family), "", "").await
    }

    /// The same with `settings` in the block of the engine.
    pub async fn with_engine(engine: &'static str, family: Family, settings: &str) -> Result<Self> {
        Self::start(Topology::new(1)?, (engine, family), settings, "").await
    }

    async fn start(
        net: Topology,
        (engine, family): (&'static str, Family),
        settings: &str,
        more: &str,
    ) -> Result<Self> {
        let address = server(family, 0, 443);
        let listener_socket = listen(&net.servers[0], address)?;
        let body = listener("")
            + &route(NAME, &[address], "")
            + &format!("engine {{\n prefer = [\"{engine}\"]\n {settings}\n}}\n{more}\n");
        let agent = Agent::start(&net.gateway, &body).await?;
        agent.has_engine(engine)?;
        Ok(Self {
            net,
            agent,
            listener: listener_socket,
            engine,
        })
    }

    /// A new connection through the agent, both ends.
    pub async fn pair(&self, family: Family) -> Result<Pair> {
        Pair::join(
            &self.net.client,
            gateway(family, PORT),
            NAME,
            &self.listener,
        )
        .await
    }

    /// The first record; checks that the wanted engine did it.
    pub async fn record(&self) -> Result<Value> {
        let record = self.agent.logged(|_record| true).await?;
        ensure!(
            record["engine"] == self.engine,
            "another engine than {}: {record}",
            self.engine
        );
        Ok(record)
    }
}

/// Runs a test on every engine with a fresh scene over IPv4.
pub async fn on_each_engine<W>(test: impl Fn(Scene) -> W) -> Result<()>
where
    W: Future<Output = Result<()>>,
{
    if skip::without_root() {
        return Ok(());
    }
    for engine in ENGINES {
        let scene = Scene::new(engine, Family::V4, "").await?;
        test(scene)
            .await
            .with_context(|| format!("engine {engine}"))?;
    }
    Ok(())
}

//! What a case plays in: one agent on one engine, servers in the case's own hands and servers that
//! echo, both families, and the same without an agent on the way.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::bpffs::BpfFilesystem;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{Server, listen};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{memory, wait};
use tokio::net::TcpListener;

use crate::Trial;
use crate::talk::{Seen, Side, View, converse};

/// Where connections go that have no agent on their way.
const DIRECT: u16 = 9443;

/// Maps that hold a row for each socket of an open connection.
const MAPS: [&str; 3] = ["PEERS", "STREAMS", "FORWARDED"];

/// Descriptors that an agent at rest may hold beyond those it began with: the pipes that it keeps for
/// the next borrower, two each, and a few more.
const SPARE_DESCRIPTORS: usize = 2 * 64 + 16;

/// How much the agent's own memory may differ between two rests: what an allocator keeps.
const KEPT: u64 = 12 << 20;

/// How long a conversation may take: longer than any timer of TCP that a case provokes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that runs in a case.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) net: Topology,
    pub(crate) agent: Agent,
    bpffs: BpfFilesystem,
    engine: String,
    /// Servers by family: through the agent, directly, and echoing.
    upstreams: [TcpListener; 2],
    direct: [TcpListener; 2],
    echoes: [Server; 2],
    descriptors: usize,
}

/// How a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Through the agent: the families of the client's and the server's connection.
    Gateway(Family, Family),
    /// Without it.
    Direct(Family),
}

impl Path {
    /// All ways through the agent.
    pub(crate) const GATEWAY: [Self; 4] = [
        Self::Gateway(Family::V4, Family::V4),
        Self::Gateway(Family::V6, Family::V4),
        Self::Gateway(Family::V4, Family::V6),
        Self::Gateway(Family::V6, Family::V6),
    ];
}

/// The name whose server is in the case's own hands.
pub(crate) fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "four.example.com",
        Family::V6 => "six.example.com",
    }
}

/// The name whose server echoes.
pub(crate) fn echo_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "echo-four.example.com",
        Family::V6 => "echo-six.example.com",
    }
}

impl World {
    /// Starts everything, with more configuration than the usual routes.
    pub(crate) async fn new(trial: &Trial, more: &str) -> Result<Self> {
        Self::on(Topology::new(2)?, trial, more).await
    }

    /// Starts everything in namespaces that are there.
    pub(crate) async fn on(net: Topology, trial: &Trial, more: &str) -> Result<Self> {
        let at = |family, port| server(family, 0, port);
        let [four, six] = Family::BOTH;
        let upstreams = [four, six].map(|family| listen(&net.servers[0], at(family, 443)));
        let direct = [four, six].map(|family| listen(&net.gateway, gateway(family, DIRECT)));
        let echoes = [four, six].map(|family| Server::echo(&net.servers[0], at(family, 7)));
        let bpffs = BpfFilesystem::new()?;
        let body = body(trial, more);
        let setup = Setup::new(&net.gateway).bpffs(&bpffs).descriptor_store();
        let agent = setup.program(trial.program).start(&body).await?;
        let [upstreams, direct] = [upstreams, direct].map(|[four, six]| anyhow::Ok([four?, six?]));
        let [echo_four, echo_six] = echoes;
        let mut world = Self {
            net,
            agent,
            bpffs,
            engine: trial.engine.clone(),
            upstreams: upstreams?,
            direct: direct?,
            echoes: [echo_four?, echo_six?],
            descriptors: 0,
        };
        world.check_engine().await?;
        world.descriptors = world.descriptors()?;
        Ok(world)
    }

    /// Both ends of a connection.
    pub(crate) async fn pair(&self, path: Path) -> Result<Pair> {
        let (at, upstream, listener) = match path {
            Path::Gateway(near, far) => (gateway(near, PORT), far, &self.upstreams[far as usize]),
            Path::Direct(family) => {
                let listener = &self.direct[family as usize];
                (gateway(family, DIRECT), family, listener)
            }
        };
        let joined = Pair::join(&self.net.client, at, name(upstream), listener).await;
        joined.with_context(|| format!("{path:?}"))
    }

    /// Has a conversation on a way.
    pub(crate) async fn converse(&self, path: Path, sides: (&Side, &Side)) -> Result<[View; 2]> {
        let pair = self.pair(path).await?;
        let views = converse(pair, sides, PATIENCE).await;
        views.with_context(|| format!("{path:?}, {sides:?}"))
    }

    /// Has the same conversation through the agent and without it: both sides must see the same.
    pub(crate) async fn same(&self, path: Path, sides: (&Side, &Side)) -> Result<()> {
        let Path::Gateway(near, _) = path else {
            bail!("{path:?} is no way through the agent");
        };
        let wanted = self.converse(Path::Direct(near), sides).await?;
        let got = self.converse(path, sides).await?;
        for (who, (got, wanted)) in ["client", "server"]
            .into_iter()
            .zip(got.iter().zip(&wanted))
        {
            ensure!(
                (got.end, wanted.end) != (Seen::Fin, Seen::Reset),
                "{path:?}: an end in order where a reset was due, for the {who}: {sides:?}"
            );
            ensure!(
                got == wanted,
                "{path:?}: the {who} saw {got}, directly {wanted}: {sides:?}"
            );
        }
        Ok(())
    }

    /// Adds to a failure what the agent says of its open connections, and the kernel half of theirs.
    pub(crate) fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let mut said = self.agent.expect(&["connections"]).unwrap_or_default();
            for map in MAPS.iter().filter(|_| self.has_maps()) {
                said += &self.agent.maps(&self.bpffs, &[map]).unwrap_or_default();
            }
            error.context(format!("\n{said}"))
        })
    }

    /// How many connections came to the servers that echo.
    pub(crate) fn echoed(&self) -> usize {
        self.echoes.iter().map(Server::accepted).sum()
    }

    /// Open descriptors of the agent.
    pub(crate) fn descriptors(&mut self) -> Result<usize> {
        let directory = format!("/proc/{}/fd", self.agent.process().id());
        Ok(fs::read_dir(directory)
            .context("the agent has ended")?
            .count())
    }

    /// The agent's own memory in bytes.
    pub(crate) fn memory(&mut self) -> Result<u64> {
        let agent = self.agent.process().id();
        memory::of_process(agent, "smaps_rollup", "Anonymous:").context("has the agent ended?")
    }

    /// Fails if the agent's own memory is more than it was `before`, beyond what an allocator keeps.
    pub(crate) fn check_memory(&mut self, before: u64) -> Result<u64> {
        let now = self.memory()?;
        ensure!(
            now <= before + KEPT,
            "memory grew from {before} to {now} bytes"
        );
        Ok(now)
    }

    /// Waits until nothing is left of any connection: not in the agent, not in its maps.
    pub(crate) async fn rest(&mut self) -> Result<()> {
        let mut left = String::new();
        let rested = wait::until("the agent to rest", || {
            let found = self.left().map(|found| {
                left = found;
                left.is_empty().then_some(())
            });
            async { found }
        })
        .await;
        rested.with_context(|| format!("left over: {left}"))
    }

    /// What is left of connections that have ended.
    fn left(&mut self) -> Result<String> {
        let open = self.agent.json(&["connections"])?;
        let open = open.as_array().context("a list of connections")?.len();
        if open > 0 {
            return Ok(format!("{open} connections"));
        }
        for map in MAPS.iter().filter(|_| self.has_maps()) {
            let rows = self.rows(map)?;
            if rows > 0 {
                return Ok(format!("{rows} entries of {map}"));
            }
        }
        let (now, before) = (self.descriptors()?, self.descriptors);
        if now > before + SPARE_DESCRIPTORS {
            return Ok(format!("{now} descriptors, at first {before}"));
        }
        Ok(String::new())
    }

    /// Whether the engine keeps connections in maps of the kernel half.
    pub(crate) fn has_maps(&self) -> bool {
        self.engine == "sockmap"
    }

    /// Who moved the bytes so far, in words, where more than one may have.
    pub(crate) fn split(&self) -> Result<String> {
        if !self.has_maps() {
            return Ok(String::new());
        }
        let moved = |way| self.sum("culvert_splice_bytes_total", way);
        let (kernel, agent) = (moved("way=\"redirected\"")?, moved("way=\"passed\"")?);
        ensure!(
            kernel > 0 && agent > 0,
            "{kernel} bytes by the kernel and {agent} by the agent: one of them had nothing to do"
        );
        Ok(format!(
            ", {kernel} bytes moved by the kernel, {agent} passed to the agent"
        ))
    }

    /// The sum of a metric's samples with this label.
    fn sum(&self, metric: &str, label: &str) -> Result<u64> {
        let (_, text) = self.agent.admin("GET", "/metrics", "")?;
        let samples = text
            .lines()
            .filter(|line| line.starts_with(metric) && line.contains(label));
        let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// Rows of a map of the kernel half.
    pub(crate) fn rows(&self, map: &str) -> Result<usize> {
        let text = self.agent.maps(&self.bpffs, &[map, "--json"])?;
        let maps: serde_json::Value = serde_json::from_str(&text)?;
        let rows = maps.pointer("/0/rows").and_then(|rows| rows.as_array());
        Ok(rows.context("rows of a map")?.len())
    }

    /// Fails where the agent does not use the engine: a case would speak of another.
    async fn check_engine(&self) -> Result<()> {
        let mut pair = self.pair(Path::GATEWAY[0]).await?;
        pair.check().await?;
        drop(pair);
        let record = self.agent.logged(|_record| true).await?;
        ensure!(
            record["engine"] == self.engine.as_str(),
            "the agent does not use {}: {record}",
            self.engine
        );
        Ok(())
    }
}

/// The configuration: what every case has, and its own.
pub(crate) fn body(trial: &Trial, more: &str) -> String {
    let mut body = listener("");
    for family in Family::BOTH {
        body += &route(name(family), &[server(family, 0, 443)], "");
        body += &route(echo_name(family), &[server(family, 0, 7)], "");
    }
    // A machine that is busy with other tests takes its time for the test of the engine, too.
    let engine = format!(
        "engine {{\n prefer = [\"{}\"]\n self_test = \"20s\"\n}}\n",
        trial.engine
    );
    body + &engine + more + "\n"
}

//! What people see of the sockmap engine: its numbers, why it was not used, and what a connection
//! that rests costs the agent.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::bpffs::BpfFilesystem;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::engines::{NAME, Scene};
use gateway_tests::peers::listen;
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::transfer::{Pattern, receive_exact};
use gateway_tests::process::built;
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use serde_json::Value;
use tokio::net::TcpStream;

/// Questions and answers that wait for each other: nothing of them is more than a socket takes.
const ROUNDS: u64 = 50;
const ASKED: usize = 1001;
const ANSWERED: usize = 499;

/// Bytes that are sent each way without a wait: more than a budget, so that the agent may have to help.
/// Unlike, so that exchanged directions show.
const UP: u64 = 3_000_001;
const DOWN: u64 = 1_500_007;

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_agree_with_the_bytes_that_were_sent() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let scene = Scene::new("sockmap", family, "").await?;
        let agreed = numbers_agree(&scene, family).await;
        agreed.with_context(|| format!("{family:?}"))?;
    }
    Ok(())
}

async fn numbers_agree(scene: &Scene, family: Family) -> Result<()> {
    let agent = &scene.agent;
    ensure!(agent.metric("culvert_engine_available{engine=\"sockmap\"}")? == 1.0);
    let mut pair = scene.pair(family).await?;
    pair.check().await?;
    spliced(agent, 1).await?;
    // What was relayed before the kernel took over is in no count of the kernel's.
    let before = Numbers::of(agent)?;
    for _ in 0..ROUNDS {
        cross(&mut pair.client, &mut pair.server, &[1; ASKED]).await?;
        cross(&mut pair.server, &mut pair.client, &[2; ANSWERED]).await?;
    }
    let each = [ROUNDS * ASKED as u64, ROUNDS * ANSWERED as u64];
    let talked = before.and(agent, each).await?;
    // Which messages the agent relays is a matter of timing; all of them it must not.
    let moved = |numbers: &Numbers| numbers.redirected.iter().sum::<u64>();
    ensure!(
        moved(&talked) > moved(&before),
        "the kernel moved nothing: {talked:?}"
    );
    send(&mut pair.client, &mut pair.server, UP).await?;
    send(&mut pair.server, &mut pair.client, DOWN).await?;
    let open = talked.and(agent, [UP, DOWN]).await?;
    let active = "culvert_engine_connections_active{engine=\"sockmap\"}";
    ensure!(agent.metric(active)? == 1.0, "{}", seen(agent)?);

    drop(pair);
    let record = scene.record().await?;
    ensure!(
        record["engine_notes"] == Value::Array(Vec::new()),
        "{record}"
    );
    // A connection that has ended keeps its part of every count.
    let ended = Numbers::of(agent)?;
    ensure!(ended == open, "{open:?} became {ended:?}");
    let received = record["received"].as_u64().context("received")?;
    let sent = record["sent"].as_u64().context("sent")?;
    ensure!(ended.bytes == [received, sent], "{ended:?}, but {record}");
    ensure!(agent.metric(active)? == 0.0);
    ensure!(agent.metric("culvert_engine_connections_total{engine=\"sockmap\"}")? == 1.0);
    for gauge in [
        "culvert_splice_backlog_bytes",
        "culvert_splice_hidden_bytes",
    ] {
        ensure!(agent.metric(gauge)? == 0.0, "{}", seen(agent)?);
    }
    Ok(())
}

/// What the metrics say of the one route, from clients and to them.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    bytes: [u64; 2],
    redirected: [u64; 2],
    passed: [u64; 2],
    segments: [u64; 2],
}

impl Numbers {
    fn of(agent: &Agent) -> Result<Self> {
        let (status, text) = agent.admin("GET", "/metrics", "")?;
        ensure!(status == 200, "{status}: {text}");
        let read = |name: &str, more: &str| -> Result<[u64; 2]> {
            let mut both = [0; 2];
            for (value, direction) in both.iter_mut().zip(["upstream", "downstream"]) {
                let labels = format!("route=\"{NAME}\",direction=\"{direction}\"{more}");
                let sample = format!("culvert_{name}_total{{{labels}}} ");
                let found = text.lines().find_map(|line| line.strip_prefix(&sample));
                *value = found.map_or(Ok(0), str::parse)?;
            }
            Ok(both)
        };
        Ok(Self {
            bytes: read("bytes", "")?,
            redirected: read("splice_bytes", ",way=\"redirected\"")?,
            passed: read("splice_bytes", ",way=\"passed\"")?,
            segments: read("splice_segments", "")?,
        })
    }

    /// The numbers after so many bytes more: the agent counts what it has written, a moment after it
    /// can be read.
    async fn and(&self, agent: &Agent, sent: [u64; 2]) -> Result<Self> {
        let mut last = None;
        let agreed = wait::until("numbers that agree", || {
            let found = Self::of(agent).map(|now| match now.must_exceed(self, sent) {
                Ok(()) => Some(now),
                Err(error) => {
                    last = Some(error);
                    None
                }
            });
            async { found }
        })
        .await;
        agreed.with_context(|| format!("{last:?}"))
    }

    /// Whether so many bytes more went each way, each either redirected or passed.
    fn must_exceed(&self, before: &Self, sent: [u64; 2]) -> Result<()> {
        for (direction, sent) in sent.into_iter().enumerate() {
            let more = |counts: fn(&Self) -> &[u64; 2]| {
                counts(self)[direction] - counts(before)[direction]
            };
            let redirected = more(|one| &one.redirected);
            let moved = redirected + more(|one| &one.passed);
            ensure!(moved == sent, "{sent} sent, but {before:?} became {self:?}");
            ensure!(more(|one| &one.bytes) == sent, "{before:?}, {self:?}");
            let segments = more(|one| &one.segments);
            ensure!(
                (segments > 0) == (redirected > 0) && segments <= redirected,
                "{self:?}"
            );
        }
        Ok(())
    }
}

async fn send(from: &mut TcpStream, to: &mut TcpStream, length: u64) -> Result<()> {
    let pattern = Pattern { seed: 5, length };
    let both = async { tokio::join!(pattern.send(from), receive_exact(to, length)) };
    let (sent, received) = wait::within("a transfer", both).await?;
    ensure!(sent? == received?, "bytes changed on their way");
    Ok(())
}

/// Waits until the kernel has taken over so many connections.
async fn spliced(agent: &Agent, count: usize) -> Result<()> {
    all(agent, count, |one| one["spliced"].is_array()).await
}

/// Waits until so many connections are as wanted.
async fn all(agent: &Agent, count: usize, wanted: fn(&Value) -> bool) -> Result<()> {
    wait::until("connections as wanted", || {
        let connections = agent.json(&["connections"]);
        async {
            let connections = connections?;
            let all = connections.as_array().context("a list")?;
            Ok((all.iter().filter(|one| wanted(one)).count() == count).then_some(()))
        }
    })
    .await
}

/// What there is to say when a number is wrong.
fn seen(agent: &Agent) -> Result<String> {
    let (_, metrics) = agent.admin("GET", "/metrics", "")?;
    let ours = metrics
        .lines()
        .filter(|line| line.contains("splice") || line.contains("engine"));
    let ours: Vec<_> = ours.filter(|line| !line.starts_with('#')).collect();
    Ok(format!(
        "{}\n{}",
        ours.join("\n"),
        agent.expect(&["connections"])?
    ))
}

#[tokio::test]
async fn why_a_better_engine_was_not_used_is_told_everywhere() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        fallbacks_are_told(family)
            .await
            .with_context(|| format!("{family:?}"))?;
    }
    Ok(())
}

async fn fallbacks_are_told(family: Family) -> Result<()> {
    let net = Topology::new(1)?;
    let address = server(family, 0, 443);
    let upstream = listen(&net.servers[0], address)?;
    let body = listener("")
        + &route(NAME, &[address], "")
        + "engine {\n prefer = [\"packet\", \"sockmap\", \"copy\"]\n self_test = \"0s\"\n}\n";
    let agent = Setup::new(&net.gateway).start(&body).await?;
    let mut pair = Pair::join(&net.client, gateway(family, PORT), NAME, &upstream).await?;
    pair.check().await?;

    let notes = [
        "packet: not in this build",
        "sockmap: untested: engine.self_test is 0",
    ];
    let connections = agent.json(&["connections"])?;
    assert_eq!(connections[0]["engine"], "copy", "{connections}");
    assert_eq!(connections[0]["engine_notes"], serde_json::json!(notes));
    let table = agent.expect(&["connections"])?;
    for note in notes {
        assert!(table.contains(note), "{table}");
    }
    for (engine, available) in [("packet", 0.0), ("sockmap", 0.0), ("copy", 1.0)] {
        let sample = format!("culvert_engine_available{{engine=\"{engine}\"}}");
        ensure!(agent.metric(&sample)? == available, "{sample}");
    }
    // Told while it is open: connections may last for days.
    for (engine, reason) in [("packet", "not_in_build"), ("sockmap", "unavailable")] {
        let labels = format!("{{engine=\"{engine}\",reason=\"{reason}\"}}");
        let sample = format!("culvert_engine_fallbacks_total{labels}");
        ensure!(agent.metric(&sample)? == 1.0, "{sample}: {}", seen(&agent)?);
    }

    drop(pair);
    let record = agent.logged(|_record| true).await?;
    assert_eq!(record["engine"], "copy", "{record}");
    assert_eq!(record["engine_notes"], serde_json::json!(notes), "{record}");
    Ok(())
}

#[tokio::test]
async fn a_check_beside_the_agent_does_not_promise_to_adopt_its_splices() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let bpffs = BpfFilesystem::new()?;
    let body = listener("")
        + &route(NAME, &[server(Family::V4, 0, 443)], "")
        + "engine { prefer = [\"sockmap\"] }\n";
    let agent = Setup::new(&net.gateway).bpffs(&bpffs).start(&body).await?;
    let maps = agent.maps(&bpffs, &["PEERS"])?;
    ensure!(maps.contains("PEERS"), "nothing is pinned: {maps}");
    let mut check = Command::new(built("culvert")?);
    check.args(["check", "--json", "-c"]).arg(agent.config());
    bpffs.apply(&mut check);
    let report: Value = serde_json::from_slice(&check.output()?.stdout)?;
    let host = report["host"].as_array().context("findings")?;
    let pins = host.iter().find(|one| one["name"] == "steer: pins");
    let found = &pins.context("a finding about pins")?["found"];
    assert_eq!(*found, format!("none of {}", agent.instance()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rests_costs_little() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for engine in ["sockmap", "copy"] {
        resting(engine).await.with_context(|| engine.to_owned())?;
    }
    Ok(())
}

/// Most bytes of the agent's own memory that a resting connection may take: by sockmap it has no task, and
/// by copy one without buffers: less than 1 KB, and 4.5. The kernel's part of its sockets is not in it.
const fn most(engine: &str) -> u64 {
    match engine.as_bytes() {
        b"sockmap" => 1152,
        _ => 4 * 1024 + 640,
    }
}

async fn resting(engine: &'static str) -> Result<()> {
    let full = std::env::var_os("CULVERT_FULL").is_some();
    let (count, before) = if full { (4000, 2000) } else { (1024, 512) };
    let mut scene = Scene::new(engine, Family::V4, "").await?;
    // The first ones pay for what all share.
    let mut pairs = Vec::new();
    let mut first = 0;
    for number in 0..count + before {
        if number == before {
            first = settled(&mut scene, engine, pairs.len()).await?;
        }
        let mut pair = scene.pair(Family::V4).await?;
        pair.check().await?;
        pairs.push(pair);
    }
    let last = settled(&mut scene, engine, pairs.len()).await?;
    let each = last.saturating_sub(first) / count;
    println!("{engine}: {each} bytes for each of {count} resting connections");
    ensure!(each <= most(engine), "{each} bytes");
    Ok(())
}

/// The agent's own memory once so many connections rest.
async fn settled(scene: &mut Scene, engine: &str, count: usize) -> Result<u64> {
    if engine == "sockmap" {
        all(&scene.agent, count, |one| one["resting"] == true).await?;
    }
    let rollup = format!("/proc/{}/smaps_rollup", scene.agent.process().id());
    let text = fs::read_to_string(&rollup).with_context(|| format!("cannot read {rollup}"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kibibytes = line
        .context("a count")?
        .trim()
        .trim_end_matches("kB")
        .trim();
    Ok(kibibytes.parse::<u64>()? * 1024)
}

//! The sockmap engine over time: streams longer than any count of 32 bits, and connections that come and
//! go, of which nothing stays.
//!
//! The full sizes take minutes: `CULVERT_FULL=1 cargo test --release -p gateway-tests --test sockmap_long`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::bpffs::BpfFilesystem;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::engines::{NAME, Scene};
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::transfer::{Pattern, receive};
use gateway_tests::peers::{End, listen, read_to_end, reset};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// What a test is run with: as much as fits every run, or the full size.
fn sizes<T>(usual: T, full: T) -> T {
    if std::env::var_os("CULVERT_FULL").is_some() {
        full
    } else {
        usual
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_streams_both_ways_are_byte_exact() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let length = sizes(64 << 20, 6 << 30);
    for family in Family::BOTH {
        both_ways(family, length).await?;
    }
    Ok(())
}

async fn both_ways(family: Family, length: u64) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    let mut pair = scene.pair(family).await?;
    pair.check().await?;
    let (mut client_in, mut client_out) = pair.client.into_split();
    let (mut server_in, mut server_out) = pair.server.into_split();
    let up = Pattern { seed: 1, length };
    let down = Pattern { seed: 2, length };
    let up = tokio::spawn(async move {
        let sent = up.send(&mut client_out).await?;
        client_out.shutdown().await?;
        anyhow::Ok((sent, client_out))
    });
    let down = tokio::spawn(async move {
        let sent = down.send(&mut server_out).await?;
        server_out.shutdown().await?;
        anyhow::Ok((sent, server_out))
    });
    let at_server = tokio::spawn(async move { receive(&mut server_in).await });
    let at_client = tokio::spawn(async move { receive(&mut client_in).await });
    let all = async {
        let (up, _client_out) = up.await??;
        let (down, _server_out) = down.await??;
        ensure!(up == at_server.await??, "the stream up changed");
        ensure!(down == at_client.await??, "the stream down changed");
        Ok(())
    };
    if let Err(error) = all.await {
        let log = scene.agent.own_log()?;
        return Err(error.context(format!("{}\n{log}", scene.record().await?)));
    }
    let record = scene.record().await?;
    ensure!(record["reason"] == "finished", "{record}");
    ensure!(record["sent"] == length + 13, "{record}");
    println!("{family:?}: {record}");
    Ok(())
}

/// How a short connection ends.
const ENDS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn of_connections_that_are_over_nothing_stays() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let (rate, seconds) = sizes((200, 2), (1000, 60));
    let net = Topology::new(1)?;
    let family = Family::V6;
    let address = server(family, 0, 443);
    let upstream = listen(&net.servers[0], address)?;
    let bpffs = BpfFilesystem::new()?;
    let body = listener("") + &route(NAME, &[address], "") + "engine { prefer = [\"sockmap\"] }\n";
    let agent = Setup::new(&net.gateway).bpffs(&bpffs).start(&body).await?;
    let mut turns = interval(Duration::from_secs(1) / 50);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut all = JoinSet::new();
    let mut made = 0;
    let began = tokio::time::Instant::now();
    while made < rate * seconds {
        turns.tick().await;
        for _ in 0..rate / 50 {
            let pair = Pair::join(&net.client, gateway(family, PORT), NAME, &upstream).await?;
            all.spawn(short(pair, made % ENDS));
            made += 1;
        }
        while let Some(done) = all.try_join_next() {
            done??;
        }
    }
    let took = began.elapsed();
    while let Some(done) = all.join_next().await {
        done??;
    }
    println!("{made} connections in {took:?}");
    wait::until("an empty table", || {
        let connections = agent.json(&["connections"]);
        async { Ok((connections?.as_array().context("a list")?.is_empty()).then_some(())) }
    })
    .await?;
    for map in ["PEERS", "STREAMS", "FORWARDED"] {
        wait::until("no rows", || {
            let rows = rows(&agent, &bpffs, map);
            async { Ok((rows? == 0).then_some(())) }
        })
        .await
        .context(map)?;
    }
    ensure!(agent.metric("culvert_splice_backlog_bytes")? == 0.0);
    Ok(())
}

async fn short(mut pair: Pair, end: u64) -> Result<()> {
    pair.check().await?;
    cross(&mut pair.client, &mut pair.server, &[3; 3000]).await?;
    let Pair {
        mut client,
        mut server,
    } = pair;
    match end {
        0 => reset(client)?,
        1 => reset(server)?,
        2 => {
            client.shutdown().await?;
            ensure!(read_to_end(&mut server, &mut Vec::new()).await? == End::Fin);
        }
        _ => drop(server),
    }
    Ok(())
}

fn rows(agent: &Agent, bpffs: &BpfFilesystem, map: &str) -> Result<usize> {
    let maps: Value = serde_json::from_str(&agent.maps(bpffs, &[map, "--json"])?)?;
    Ok(maps[0]["rows"].as_array().context("rows")?.len())
}

//! Connections that rest have no task in the agent: all that can happen to one must happen as if it had.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::{listener, route};
use gateway_tests::engines::{NAME, Scene};
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::transfer::{Pattern, receive_exact};
use gateway_tests::peers::{End, read_to_end, reset};
use gateway_tests::topology::Family;
use gateway_tests::{skip, wait};
use serde_json::Value;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const ENGINE: &str = "sockmap";

/// Connections that rest and wake at once, and times that each does.
const MANY: usize = 200;
const TIMES: u64 = 3;

/// More than the buffers of a path take, so that the agent has to help, and sleep again.
const MUCH: u64 = 6_000_001;

/// Waits until as many connections rest.
async fn rests(scene: &Scene, count: usize) -> Result<()> {
    wait::until("connections to rest", || {
        let all = scene.agent.json(&["connections"]);
        async {
            let all = all?;
            let all = all.as_array().context("a list")?;
            let resting = all.iter().filter(|one| one["resting"] == true).count();
            Ok((resting == count && all.len() == count).then_some(()))
        }
    })
    .await
}

async fn resting(scene: &Scene, family: Family) -> Result<Pair> {
    let mut pair = scene.pair(family).await?;
    pair.check().await?;
    rests(scene, 1).await?;
    Ok(pair)
}

/// Runs a test on a connection that rests, over both families.
async fn on_both<W>(test: impl Fn(Scene, Pair) -> W) -> Result<()>
where
    W: Future<Output = Result<()>>,
{
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let scene = Scene::new(ENGINE, family, "").await?;
        let pair = resting(&scene, family).await?;
        let done = test(scene, pair).await;
        done.with_context(|| format!("{family:?}"))?;
    }
    Ok(())
}

/// Sends a stream one way and compares sums.
async fn stream(from: &mut TcpStream, to: &mut TcpStream, seed: u64) -> Result<()> {
    let pattern = Pattern { seed, length: MUCH };
    let both = async { tokio::join!(pattern.send(from), receive_exact(to, MUCH)) };
    let (sent, received) = wait::within("a transfer", both).await?;
    ensure!(sent? == received?, "bytes changed on their way");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_each_way_after_a_rest_are_whole_and_rest_again() -> Result<()> {
    on_both(|scene, mut pair| async move {
        for socket in [&pair.client, &pair.server] {
            SockRef::from(socket).set_recv_buffer_size(32 * 1024)?;
        }
        for seed in 0..4 {
            stream(&mut pair.client, &mut pair.server, seed).await?;
            rests(&scene, 1).await?;
            stream(&mut pair.server, &mut pair.client, seed).await?;
            rests(&scene, 1).await?;
        }
        drop(pair);
        let record = scene.record().await?;
        // The hello and two words, and all that was sent.
        let of = |count: &str| record[count].as_u64().context("a count");
        ensure!(of("sent")? == 4 * MUCH + 13, "{record}");
        ensure!(
            of("received")? == 4 * MUCH + 13 + of("hello_bytes")?,
            "{record}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_wakes_and_the_other_way_goes_on() -> Result<()> {
    on_both(|scene, pair| async move {
        let Pair {
            mut client,
            mut server,
        } = pair;
        client.shutdown().await?;
        let end = wait::within("the end", read_to_end(&mut server, &mut Vec::new())).await??;
        ensure!(end == End::Fin, "{end:?}");
        cross(&mut server, &mut client, b"after the end").await?;
        server.shutdown().await?;
        let end = wait::within("the end", read_to_end(&mut client, &mut Vec::new())).await??;
        ensure!(end == End::Fin, "{end:?}");
        let record = scene.record().await?;
        ensure!(record["reason"] == "finished", "{record}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_from_either_side_is_passed_on() -> Result<()> {
    for by_client in [true, false] {
        on_both(|scene, pair| async move {
            let (gone, mut left, reason) = if by_client {
                (pair.client, pair.server, "client_reset")
            } else {
                (pair.server, pair.client, "upstream_reset")
            };
            reset(gone)?;
            let end = wait::within("the reset", read_to_end(&mut left, &mut Vec::new())).await??;
            ensure!(end == End::Reset, "{end:?}");
            let record = scene.record().await?;
            ensure!(record["reason"] == reason, "{record}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_speak_at_once_are_all_heard() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(ENGINE, Family::V6, "").await?;
    let mut pairs = Vec::new();
    for _ in 0..MANY {
        let mut pair = scene.pair(Family::V6).await?;
        pair.check().await?;
        pairs.push(pair);
    }
    for time in 0..TIMES {
        rests(&scene, MANY).await?;
        let mut tasks = tokio::task::JoinSet::new();
        for (number, mut pair) in pairs.drain(..).enumerate() {
            tasks.spawn(async move {
                // A reader that stops for a moment has the kernel pass, and the agent wake.
                SockRef::from(&pair.server).set_recv_buffer_size(8 * 1024)?;
                let seed = time << 32 | number as u64;
                let length = 300_000 + seed % 1000;
                let pattern = Pattern { seed, length };
                let Pair { client, server } = &mut pair;
                let both =
                    async { tokio::join!(pattern.send(client), receive_exact(server, length)) };
                let (sent, received) = wait::within("a transfer", both).await?;
                ensure!(sent? == received?, "bytes changed on their way");
                anyhow::Ok(pair)
            });
        }
        while let Some(pair) = tasks.join_next().await {
            pairs.push(pair??);
        }
    }
    rests(&scene, MANY).await?;
    drop(pairs);
    rests(&scene, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idle_timer_ends_one_that_rests() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let limits = "limits { idle_timeout = \"5s\" }";
    let scene = Scene::new(ENGINE, Family::V4, limits).await?;
    let began = Instant::now();
    let mut pair = resting(&scene, Family::V4).await?;
    let end = wait::within("the end", read_to_end(&mut pair.client, &mut Vec::new())).await??;
    let lasted = began.elapsed();
    let record = scene.record().await?;
    ensure!(record["reason"] == "idle_timeout", "{end:?}, {record}");
    ensure!(lasted >= Duration::from_secs(5), "already after {lasted:?}");
    Ok(())
}

/// Bytes that the kernel moves by itself are seen by nobody, and count all the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_speaks_while_it_rests_is_not_idle() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let limits = "limits { idle_timeout = \"4s\" }";
    let scene = Scene::new(ENGINE, Family::V4, limits).await?;
    let mut pair = resting(&scene, Family::V4).await?;
    let began = Instant::now();
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    while began.elapsed() < Duration::from_secs(10) {
        beats.tick().await;
        pair.check().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_cuts_one_that_rests() -> Result<()> {
    on_both(|scene, mut pair| async move {
        let source = pair.client.local_addr()?.ip();
        let address = pair.server.local_addr()?;
        let body = listener("")
            + &route(NAME, &[address], &format!("deny = [\"{source}\"]"))
            + "engine { prefer = [\"sockmap\"] }\n";
        scene.agent.reload(&body)?;
        wait::within("the cut", read_to_end(&mut pair.client, &mut Vec::new())).await??;
        wait::within("the cut", read_to_end(&mut pair.server, &mut Vec::new())).await??;
        let record = scene.record().await?;
        ensure!(record["reason"] == "policy_changed", "{record}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_one_that_rests_and_cuts_it_at_the_deadline() -> Result<()> {
    on_both(|scene, mut pair| async move {
        scene.agent.expect(&["drain", "--timeout", "1s"])?;
        let began = Instant::now();
        pair.check().await?;
        wait::within("the cut", read_to_end(&mut pair.client, &mut Vec::new())).await??;
        ensure!(began.elapsed() >= Duration::from_millis(500));
        let record = scene.record().await?;
        ensure!(record["reason"] == "drained", "{record}");
        Ok(())
    })
    .await
}

/// A record that was folded up for a rest says what one says that was not.
#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_knows_of_no_rest() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut records = Vec::new();
    for rest in [false, true] {
        let scene = Scene::new(ENGINE, Family::V4, "").await?;
        let mut pair = scene.pair(Family::V4).await?;
        pair.check().await?;
        if rest {
            rests(&scene, 1).await?;
        }
        drop(pair);
        records.push(steady(scene.record().await?)?);
    }
    let [short, rested] = &records[..] else {
        anyhow::bail!("two records");
    };
    ensure!(short == rested, "{short}\nafter a rest {rested}");
    Ok(())
}

/// What does not differ from connection to connection.
fn steady(mut record: Value) -> Result<Value> {
    let fields = record.as_object_mut().context("a record")?;
    for (name, value) in fields.iter_mut() {
        let changing = ["time", "src", "ms", "rtt", "peer", "started", "hash"];
        if changing.iter().any(|part| name.contains(part)) && !value.is_null() {
            *value = Value::from("differs");
        }
    }
    Ok(record)
}

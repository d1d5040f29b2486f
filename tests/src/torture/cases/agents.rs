//! What operators and endpoints do: reload without end, kill, come and go.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::{PORT, route};
use gateway_tests::peers::label::{Answer, INTERNAL_ERROR, ask, labelled};
use gateway_tests::peers::pump::Pump;
use gateway_tests::peers::{Server, connect, hellos, reset};
use gateway_tests::topology::{Family, gateway, nobody, server};
use gateway_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Trial;
use crate::stream::Stream;
use crate::world::{Path, World, body, echo_name};

/// Connections that are pumped meanwhile.
const PUMPS: u64 = 8;

/// Ports of labelled servers.
const LABELLED: [u16; 2] = [8001, 8002];

/// Names that change their server with every reload.
fn names(trial: &Trial, count: usize, turn: usize) -> String {
    let at = server(Family::BOTH[turn % 2], 0, LABELLED[turn % 2]);
    let mut more = route("turn.example.com", &[at], "");
    for number in 0..count {
        let changes = turn % 3;
        more +=
            &format!("route \"n{number}-{changes}.example.com\" {{ endpoints = [\"{at}\"] }}\n");
    }
    body(trial, &more)
}

/// Reloads, good and bad, while connections move bytes; each takes effect at once or not at all.
pub(crate) async fn flood(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let _servers = [0, 1].map(|turn| {
        let at = server(Family::BOTH[turn], 0, LABELLED[turn]);
        labelled(&world.net.servers[0], at, &format!("server {turn}"))
    });
    let mut pumps = pumps(&world, trial.draw()).await?;
    let (reloads, count) = trial.amount((40, 1000), (200, 20_000));
    let mut refused = 0;
    for turn in 0..reloads {
        if turn % 5 == 4 {
            let good = names(trial, count, turn + 1);
            let at = trial.chance.usize(..good.len());
            // Whatever the place, a brace too many is an error.
            let mut bad = good;
            bad.truncate(at);
            bad += "\n}}} {";
            world.agent.configure(&bad)?;
            let output = world.agent.cli(&["reload"])?;
            ensure!(!output.status.success(), "a broken file was taken");
            refused += 1;
        } else {
            world.agent.reload(&names(trial, count, turn))?;
        }
        let now = if turn % 5 == 4 { turn - 1 } else { turn };
        let wanted = Answer::server(&format!("server {}", now % 2));
        let family = Family::BOTH[turn / 2 % 2];
        let stream = connect(&world.net.client, gateway(family, PORT)).await?;
        let got = ask(stream, &hellos::asking_for("turn.example.com")?).await?;
        ensure!(
            got == wanted,
            "reload {turn}: {got:?} answered, not {wanted:?}"
        );
    }
    for pump in &mut pumps {
        pump.turn().await.context("a pump after all reloads")?;
    }
    let mut pumped = 0;
    for pump in pumps {
        pumped += pump.finish().await?;
    }
    world.rest().await?;
    Ok(format!(
        "{reloads} reloads of {count} names, {refused} of them refused, while {pumped} bytes moved"
    ))
}

/// Connections that send and check without a pause.
async fn pumps(world: &World, seed: u64) -> Result<Vec<Pump>> {
    let mut pumps = Vec::new();
    for number in 0..PUMPS {
        let family = Family::BOTH[usize::try_from(number % 2)?];
        let mut stream = connect(&world.net.client, gateway(family, PORT)).await?;
        let hello = hellos::asking_for(echo_name(family))?;
        stream.write_all(&hello).await?;
        let mut back = vec![0; hello.len()];
        wait::within("the hello back", stream.read_exact(&mut back)).await??;
        pumps.push(Pump::start(stream, seed.wrapping_add(number << 32)));
    }
    Ok(pumps)
}

/// Kills the agent under load: both ends of every connection learn of it, and who comes before the
/// next start is served by the next agent.
pub(crate) async fn kill(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    wait::until("sockets in the store", || {
        let stored = world.agent.stored();
        async { Ok((stored? > 0).then_some(())) }
    })
    .await?;
    let (kills, count) = (trial.amount(4, 60), 24);
    for _ in 0..kills {
        let mut ends = JoinSet::new();
        for number in 0..count {
            let pair = world.pair(Path::GATEWAY[number % 4]).await?;
            for (stream, mine, theirs) in [(pair.client, 1, 2), (pair.server, 2, 1)] {
                ends.spawn(until_the_end(stream, mine, theirs));
            }
        }
        let wait = Duration::from_millis(trial.chance.u64(0..100));
        tokio::time::sleep(wait).await;
        world.agent.process().kill()?;
        while let Some(ended) = ends.join_next().await {
            ended?.context("an end of a connection whose agent was killed")?;
        }
        let mut waiting = JoinSet::new();
        for family in Family::BOTH {
            let stream = connect(&world.net.client, gateway(family, PORT)).await?;
            waiting.spawn(served(stream, family));
        }
        world.agent.restart(&world.net.gateway).await?;
        while let Some(answered) = waiting.join_next().await {
            answered?.context("who came while there was no agent")?;
        }
        world.rest().await?;
    }
    Ok(format!(
        "{kills} kills, {count} connections under load each"
    ))
}

/// Sends and reads until the connection ends in whatever way; what came before must be right.
async fn until_the_end(mut stream: TcpStream, mine: u64, theirs: u64) -> Result<()> {
    let (mut reader, mut writer) = stream.split();
    let (mine, theirs) = (Stream::new(mine), Stream::new(theirs));
    let writing = async {
        let (mut sent, mut block) = (0, vec![0; 16 * 1024]);
        loop {
            mine.fill(sent, &mut block);
            sent += block.len() as u64;
            if writer.write_all(&block).await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    };
    let reading = async {
        let (mut got, mut block) = (0, vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = reader.read(&mut block).await {
            let checked = theirs.check(got, &block[..count]);
            checked.map_err(|spoiled| anyhow::anyhow!("{spoiled}"))?;
            got += count as u64;
        }
        Ok(())
    };
    wait::within("the end", async {
        tokio::select! { () = writing => Ok(()), read = reading => read }
    })
    .await?
}

async fn served(mut stream: TcpStream, family: Family) -> Result<()> {
    let hello = hellos::asking_for(echo_name(family))?;
    stream.write_all(&hello).await?;
    let mut back = vec![0; hello.len()];
    wait::within("the hello back", stream.read_exact(&mut back)).await??;
    ensure!(back == hello, "bytes changed on their way");
    Ok(())
}

/// Clients of one batch.
const BATCH: usize = 12;

/// Endpoints come and go, one resets whoever comes, one answers nobody: everybody reaches one that
/// lives, and where none does, everybody is told.
pub(crate) async fn flapping(trial: &mut Trial) -> Result<String> {
    let endpoint = |family, nth| server(family, nth, 9000);
    let mut more = "limits {\n connect_attempts = 4\n connect_timeout = \"1s\"\n}\n".to_owned();
    for family in Family::BOTH {
        let all = [endpoint(family, 0), endpoint(family, 1)];
        let resets = server(family, 1, 9001);
        let silent = nobody(family, 1, 9000);
        let name = flapping_name(family);
        more += &route(name, &[all[0], all[1], resets, silent], "");
    }
    let mut world = World::new(trial, &more).await?;
    let _resetting = Family::BOTH.map(|family| resetting(&world, family));
    let mut batches = [0, 0];
    for _ in 0..trial.amount(40, 1200) {
        let family = Family::BOTH[trial.chance.usize(..2)];
        let up = [0, 1].map(|_| trial.chance.u8(..4) > 0);
        let mut alive = Vec::new();
        for nth in [0, 1_u8] {
            if up[usize::from(nth)] {
                alive.push(start(&world, endpoint(family, nth), nth).await?);
            }
        }
        let wanted = match alive.len() {
            0 => INTERNAL_ERROR,
            _ => Answer::server("alive"),
        };
        let mut clients = JoinSet::new();
        for _ in 0..BATCH {
            let stream = connect(&world.net.client, gateway(family, PORT)).await?;
            let hello = hellos::asking_for(flapping_name(family))?;
            clients.spawn(async move { ask(stream, &hello).await });
        }
        while let Some(got) = clients.join_next().await {
            let got = got??;
            // The last endpoint that was tried may be the one that resets: that is passed on.
            let told = got == wanted || (alive.is_empty() && got == Answer::Reset);
            ensure!(told, "{got:?}, expected {wanted:?}, up: {up:?}");
        }
        batches[usize::from(alive.is_empty())] += 1;
        drop(alive);
    }
    world.rest().await?;
    Ok(format!(
        "{} batches of {BATCH} with an endpoint up, {} with none",
        batches[0], batches[1]
    ))
}

/// Starts a server as soon as its port is free: the one before may be about to end.
async fn start(world: &World, at: SocketAddr, nth: u8) -> Result<Server> {
    let space = &world.net.servers[usize::from(nth)];
    wait::until("a free port", || async {
        Ok(labelled(space, at, "alive").ok())
    })
    .await
}

fn flapping_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "flapping-four.example.com",
        Family::V6 => "flapping-six.example.com",
    }
}

/// A server that takes connections and resets them.
fn resetting(world: &World, family: Family) -> Result<Server> {
    let at = server(family, 1, 9001);
    Server::start(
        &world.net.servers[1],
        at,
        |stream| async move { reset(stream) },
    )
}

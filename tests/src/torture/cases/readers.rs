//! Readers that stop, readers that sip, and buffers that hold next to nothing.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::reset;
use gateway_tests::topology::Topology;
use gateway_tests::wait;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::settle;
use crate::Trial;
use crate::kernel;
use crate::stream::Stream;
use crate::talk::{Reading, Side, converse_in_order};
use crate::world::{PATIENCE, Path, World};

/// Most bytes that a socket buffer of the gateway's may grow to in this case: what waits for a
/// thousand readers must fit into memory.
const BUFFER: u64 = 1 << 20;

/// What is on offer where nobody reads: more than all sockets on the way hold, the two of the gateway
/// and the small ones at the ends, were each byte charged four times.
const MOST_UNREAD: u64 = 4 * (BUFFER + BUFFER + BUFFER);

/// Memory of the agent's own that a connection with a stopped reader may take: one buffer.
const AGENT: u64 = 256 * 1024;

/// Kernel memory beyond the sockets' own buffers that may come and go on a machine in use.
const NOISE: u64 = 512 << 20;

/// How long senders must have stood still.
const STILL: Duration = Duration::from_millis(700);

/// Out of so many stopped readers one never reads again.
const LEAVER: usize = 4;

/// One sender whose reader does not read.
struct Sender {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    seed: u64,
    reader: TcpStream,
    /// Whether the reader leaves instead of reading on.
    leaves: bool,
}

/// Stops readers: senders stand still, memory is bounded, then every byte arrives; or the reader leaves
/// for good, and the sender is told.
pub(crate) async fn stopped(trial: &mut Trial) -> Result<String> {
    let net = Topology::new(2)?;
    for buffer in ["tcp_rmem", "tcp_wmem"] {
        let sizes = format!("4096 65536 {BUFFER}");
        net.gateway.sysctl(&format!("ipv4/{buffer}"), &sizes)?;
    }
    let mut world = World::on(net, trial, "").await?;
    let count = trial.amount(60, 400);
    let stopped_for = Duration::from_secs(trial.amount(1, 60));
    let mut tasks = JoinSet::new();
    let mut senders = Vec::new();
    let before = (world.memory()?, kernel::unreclaimable()?);
    for number in 0..count {
        let pair = world.pair(Path::GATEWAY[number % 4]).await?;
        small(&pair, 64 * 1024)?;
        let seed = trial.draw();
        let (from, to) = if number % 2 == 0 {
            (pair.client, pair.server)
        } else {
            (pair.server, pair.client)
        };
        let leaves = number % LEAVER == LEAVER - 1;
        senders.push(offer(&mut tasks, (seed, leaves), from, to));
    }
    let waiting = stand_still(&senders, stopped_for).await?;
    for sender in &senders {
        let sent = sender.sent.load(Ordering::Relaxed);
        ensure!(
            sent < MOST_UNREAD,
            "a sender was not stopped: it sent {sent} bytes, and nobody reads"
        );
    }
    let after = (world.memory()?, kernel::unreclaimable()?);
    let grown = after.0.saturating_sub(before.0);
    ensure!(
        grown <= count as u64 * AGENT,
        "the agent's memory grew by {grown} bytes for {count} stopped readers"
    );
    let slab = after.1.saturating_sub(before.1);
    ensure!(
        slab <= waiting * 4 + NOISE,
        "kernel memory grew by {slab} bytes while {waiting} waited"
    );
    for sender in senders {
        if sender.leaves {
            reset(sender.reader)?;
        } else {
            sender.stop.store(true, Ordering::Relaxed);
            tasks.spawn(async move { drain(sender).await });
        }
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    Ok(format!(
        "{count} stopped for {stopped_for:?}, {} KiB waited for each, agent {} KiB, then all of it came, or for {} the \
         end",
        waiting / count as u64 / 1024,
        grown / count as u64 / 1024,
        count / LEAVER
    ))
}

/// Sends without end until it is told to stop, or hears that its reader is gone.
fn offer(
    tasks: &mut JoinSet<Result<()>>,
    (seed, leaves): (u64, bool),
    mut from: TcpStream,
    reader: TcpStream,
) -> Sender {
    let (sent, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let sender = Sender {
        sent: Arc::clone(&sent),
        stop: Arc::clone(&stop),
        seed,
        reader,
        leaves,
    };
    tasks.spawn(async move {
        let stream = Stream::new(seed);
        let mut block = [0; 4096];
        while !stop.load(Ordering::Relaxed) && sent.load(Ordering::Relaxed) < MOST_UNREAD {
            stream.fill(sent.load(Ordering::Relaxed), &mut block);
            match from.write_all(&block).await {
                Err(error) if leaves && error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                written => written?,
            }
            sent.fetch_add(block.len() as u64, Ordering::Relaxed);
        }
        ensure!(!leaves, "nobody told the sender that its reader had left");
        from.shutdown().await?;
        // Its other direction ends when the reader leaves.
        let rest = wait::within("the other end", from.read(&mut block)).await??;
        ensure!(rest == 0, "bytes of nobody");
        Ok(())
    });
    sender
}

/// Waits until no sender gets any further, for `still` more; how much they have sent.
async fn stand_still(senders: &[Sender], still: Duration) -> Result<u64> {
    let sum = || -> u64 {
        let sent = |sender: &Sender| sender.sent.load(Ordering::Relaxed);
        senders.iter().map(sent).sum()
    };
    let (mut last, mut since) = (sum(), Instant::now());
    let all = MOST_UNREAD * senders.len() as u64;
    wait::until("senders to stand still", || {
        let now = sum();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        async move { Ok((since.elapsed() > STILL || now >= all).then_some(())) }
    })
    .await?;
    sleep(still).await;
    Ok(sum())
}

/// Reads all that a sender has sent, to its end.
async fn drain(mut sender: Sender) -> Result<()> {
    let stream = Stream::new(sender.seed);
    let mut got = 0;
    let mut block = vec![0; 64 * 1024];
    loop {
        let read = wait::within("what was sent", sender.reader.read(&mut block)).await?;
        let read = read.context("a stopped reader goes on")?;
        if read == 0 {
            break;
        }
        let checked = stream.check(got, &block[..read]);
        checked.map_err(|spoiled| anyhow::anyhow!("{spoiled}"))?;
        got += read as u64;
    }
    let sent = sender.sent.load(Ordering::Relaxed);
    ensure!(got == sent, "{got} of {sent} bytes came before FIN");
    Ok(())
}

fn small(pair: &Pair, bytes: usize) -> Result<()> {
    for socket in [&pair.client, &pair.server] {
        SockRef::from(socket).set_recv_buffer_size(bytes)?;
        SockRef::from(socket).set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// Buffers of the smallest size that the kernel allows, and readers that sip.
pub(crate) async fn tiny(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let mut tasks = JoinSet::new();
    let count = trial.amount(40, 600);
    let mut bytes = 0;
    for number in 0..count {
        let pair = world.pair(Path::GATEWAY[number % 4]).await?;
        small(&pair, trial.chance.usize(1..8192))?;
        let mut side = |sips: bool| {
            let side = Side::new(trial.draw(), trial.chance.u64(0..300_000));
            match sips {
                true => side.reads(Reading::Sips {
                    bytes: trial.chance.usize(500..20_000),
                    pause: Duration::from_millis(1),
                }),
                false => side.pieces(1..3000),
            }
        };
        let (client, server) = (side(number % 3 == 0), side(number % 5 == 0));
        bytes += client.sends + server.sends;
        settle(&mut tasks, 32).await?;
        tasks.spawn(converse_in_order(pair, (client, server), PATIENCE));
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    Ok(format!("{count} connections, {bytes} bytes"))
}

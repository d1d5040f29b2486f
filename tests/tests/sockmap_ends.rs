//! How spliced streams end while bytes that the kernel passed still wait for their reader.
//!
//! The kernel forgets a socket's passed bytes when it takes the socket for closed: both FINs are
//! through, or one of them is answered by the last acknowledgement. The stream must outlive that.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::engines::Scene;
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::transfer::{Receipt, Sum};
use gateway_tests::peers::{End, acknowledged, read_to_end};
use gateway_tests::topology::Family;
use gateway_tests::{skip, wait};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the rest of a stream may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that have not moved for so long will not before the reader does.
const STUCK: Duration = Duration::from_millis(300);

/// Who has finished before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The side whose reader rests: the sender goes on and finishes later.
    Reader,
    /// The sender: its reader answers with an end of its own before it has read on.
    Sender,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_had_finished_before_it_rested_gets_every_byte() -> Result<()> {
    on_all(First::Reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_finishes_while_it_rests_gets_every_byte() -> Result<()> {
    on_all(First::Sender).await
}

async fn on_all(first: First) -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        for upload in [true, false] {
            let ended = rested(family, upload, first).await;
            ended.with_context(|| format!("{family:?}, upload: {upload}, first: {first:?}"))?;
        }
    }
    Ok(())
}

async fn rested(family: Family, upload: bool, first: First) -> Result<()> {
    let scene = Scene::new("sockmap", family, "").await?;
    let mut pair = scene.pair(family).await?;
    for socket in [&pair.client, &pair.server] {
        SockRef::from(socket).set_recv_buffer_size(32 * 1024)?;
    }
    pair.check().await?;
    let Pair { client, server } = pair;
    let (mut sender, mut reader, count) = if upload {
        (client, server, "received")
    } else {
        (server, client, "sent")
    };
    if first == First::Reader {
        finish(&mut reader, &mut sender).await?;
    }
    let sum = fill(&scene, &mut sender, count).await?;
    sender.shutdown().await?;
    acknowledged(&sender).await?;
    if first == First::Sender {
        finish(&mut reader, &mut sender).await?;
    }
    let mut receipt = Receipt::default();
    let read = timeout(PATIENCE, receipt.read_to_end(&mut reader)).await;
    let seen = || {
        format!(
            "{sum:?} sent, {receipt:?} arrived: {:?}",
            scene.agent.json(&["connections"])
        )
    };
    read.with_context(seen)?.with_context(seen)?;
    ensure!(receipt.sum() == sum, "{}", seen());
    ensure!(scene.record().await?["reason"] == "finished");
    Ok(())
}

/// Ends one stream, and waits until its receiver has seen that.
async fn finish(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    from.shutdown().await?;
    let end = wait::within("an end", read_to_end(to, &mut Vec::new())).await??;
    ensure!(end == End::Fin);
    Ok(())
}

/// Sends until some bytes that are at the gateway have not been moved on for a while: the kernel passed
/// them, and the agent finds no room for them.
async fn fill(scene: &Scene, sender: &mut TcpStream, count: &str) -> Result<Sum> {
    let moved = || -> Result<u64> {
        let connections = scene.agent.json(&["connections"])?;
        connections[0][count].as_u64().context("a count")
    };
    let before = moved()?;
    let mut sent = Vec::new();
    for seed in 0..1000 {
        let bytes = block(seed);
        sender.write_all(&bytes).await?;
        sent.extend(bytes);
        acknowledged(sender).await?;
        let all = || async { Ok((moved()? - before == sent.len() as u64).then_some(())) };
        if timeout(STUCK, wait::until("room", all)).await.is_err() {
            return sum(&sent).await;
        }
    }
    bail!("a reader that rests takes everything")
}

fn block(seed: u32) -> Vec<u8> {
    seed.to_le_bytes().repeat(2048)
}

async fn sum(mut sent: &[u8]) -> Result<Sum> {
    let mut receipt = Receipt::default();
    receipt.read_to_end(&mut sent).await?;
    Ok(receipt.sum())
}

//! A long-lived connection that never falls silent: proof that changes around it left it alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::transfer::{Pattern, receive, receive_exact};
use crate::wait;

/// Pause between two rounds: long enough that a dozen pumps leave two cores to the rest.
const PACE: Duration = Duration::from_millis(10);

/// How much one round sends.
const ROUND: u64 = 64 * 1024;

/// A task that sends known bytes to a server that echoes, and checks each byte that comes back.
#[derive(Debug)]
pub struct Pump {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    task: JoinSet<Result<()>>,
}

impl Pump {
    /// Starts to pump over `stream`; `seed` tells its bytes from those of other pumps.
    pub fn start<S>(stream: S, seed: u64) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stop, bytes) = (Arc::default(), Arc::default());
        let mut task = JoinSet::new();
        task.spawn(run(stream, seed, Arc::clone(&stop), Arc::clone(&bytes)));
        Self { stop, bytes, task }
    }

    /// How many bytes went there and back so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until bytes went there and back that were not sent yet when this was called.
    pub async fn turn(&mut self) -> Result<()> {
        let (bytes, task) = (&self.bytes, &mut self.task);
        let before = bytes.load(Ordering::Relaxed);
        wait::until("a full turn of a pump", || {
            let ended = task.try_join_next();
            async move {
                if let Some(ended) = ended {
                    ended??;
                    bail!("the pump ended by itself");
                }
                Ok((bytes.load(Ordering::Relaxed) >= before + 2 * ROUND).then_some(()))
            }
        })
        .await
    }

    /// Ends the connection in order and returns how many bytes went there and back.
    pub async fn finish(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = wait::within("the end of a pump", self.task.join_next()).await?;
        ended.context("the pump ended before")???;
        Ok(self.bytes.load(Ordering::Relaxed))
    }
}

async fn run<S>(stream: S, seed: u64, stop: Arc<AtomicBool>, bytes: Arc<AtomicU64>) -> Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut pace = tokio::time::interval(PACE);
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let pattern = Pattern {
            seed: seed.wrapping_add(round),
            length: ROUND,
        };
        exchange(&mut reader, &mut writer, pattern)
            .await
            .with_context(|| format!("in round {round}"))?;
        bytes.fetch_add(ROUND, Ordering::Relaxed);
        round += 1;
    }
    writer.shutdown().await?;
    ensure!(
        receive(&mut reader).await?.length == 0,
        "bytes after the last round"
    );
    Ok(())
}

/// Sends a stream to a server that echoes and checks what comes back.
pub async fn exchange(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    pattern: Pattern,
) -> Result<()> {
    let (sent, received) =
        tokio::join!(pattern.send(writer), receive_exact(reader, pattern.length));
    let (sent, received) = (sent?, received.context("the echo broke off")?);
    ensure!(sent == received, "sent {sent:?}, received {received:?}");
    Ok(())
}

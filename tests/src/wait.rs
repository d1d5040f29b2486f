//! Waiting for a condition with a deadline: the suite never sleeps for a guess.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout};

/// How long anything in a test may take before the test gives up: far more than a busy machine
/// needs, so that a failure means a fault and not a slow neighbour.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `probe` until it has an answer; fails with `what` after [`PATIENCE`].
pub async fn until<T, W>(what: &str, probe: impl FnMut() -> W) -> Result<T>
where
    W: Future<Output = Result<Option<T>>>,
{
    until_within(PATIENCE, what, probe).await
}

/// The same for what may take longer than [`PATIENCE`], or must not take so long.
pub async fn until_within<T, W>(
    patience: Duration,
    what: &str,
    mut probe: impl FnMut() -> W,
) -> Result<T>
where
    W: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = probe().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} for {what}");
        }
        sleep(PAUSE).await;
    }
}

/// Awaits `work`, but no longer than [`PATIENCE`].
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    match timeout(PATIENCE, work).await {
        Ok(done) => Ok(done),
        Err(_elapsed) => bail!("waited {PATIENCE:?} for {what}"),
    }
}

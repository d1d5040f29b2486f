//! Ending in order: a signal that everything watches, and a count of who is still at work.
//!
//! [`Drain`] is the operator's side: it starts the drain, then says that its deadline has passed.
//! [`Watch`] is what every connection holds: while one exists, the drain is not done.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How far the drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Work as usual.
    Open,
    /// No new connections; those that are open may finish until the deadline.
    Draining,
    /// The deadline has passed: open connections are cut.
    Expired,
}

/// The side that ends.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    alive: mpsc::Receiver<()>,
}

/// The side that works; cloned into every task, dropped when its work is done.
#[derive(Debug, Clone)]
pub struct Watch {
    phase: watch::Receiver<Phase>,
    _alive: mpsc::Sender<()>,
}

/// Makes the pair.
#[must_use]
pub fn channel() -> (Drain, Watch) {
    let (phase_sender, phase) = watch::channel(Phase::Open);
    // Nothing is ever sent: that all senders are gone is the message.
    let (alive_sender, alive) = mpsc::channel(1);
    (
        Drain {
            phase: phase_sender,
            alive,
        },
        Watch {
            phase,
            _alive: alive_sender,
        },
    )
}

impl Drain {
    /// Starts the drain and waits until all watches are dropped, or cuts what is left after
    /// `timeout`, or when `hurry` is done, and waits for that. `cut` ends those that do not wait for
    /// the deadline themselves: it is called once, after the deadline shows in
    /// [`Watch::has_expired`]. Returns whether all finished by themselves. The caller must have
    /// dropped its own [`Watch`].
    pub async fn finish(
        mut self,
        timeout: Duration,
        hurry: impl Future<Output = ()>,
        cut: impl FnOnce(),
    ) -> bool {
        self.phase.send_replace(Phase::Draining);
        tokio::select! {
            _gone = self.alive.recv() => return true,
            () = tokio::time::sleep(timeout) => {}
            () = hurry => {}
        }
        self.phase.send_replace(Phase::Expired);
        cut();
        self.alive.recv().await;
        false
    }
}

impl Watch {
    /// Waits for the start of the drain. Cancel safe.
    pub async fn started(&mut self) {
        self.wait(Phase::Draining).await;
    }

    /// Waits for the drain's deadline. Cancel safe.
    pub async fn expired(&mut self) {
        self.wait(Phase::Expired).await;
    }

    /// Whether the drain has started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Open
    }

    /// Whether the drain's deadline has passed.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        *self.phase.borrow() == Phase::Expired
    }

    async fn wait(&mut self, wanted: Phase) {
        let reached =
            |phase: &Phase| *phase == Phase::Expired || *phase == wanted && wanted != Phase::Open;
        if self.phase.wait_for(reached).await.is_err() {
            // The other side is gone without a drain: nothing will ever be asked of us.
            core::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_when_the_last_watch_drops() {
        let (drain, mut watch) = channel();
        let worker = tokio::spawn(async move {
            watch.started().await;
            assert!(watch.is_draining());
        });
        assert!(
            drain
                .finish(Duration::from_secs(30), pending(), || ())
                .await
        );
        worker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_the_deadline_is_told_so() {
        let (drain, mut watch) = channel();
        let worker = tokio::spawn(async move { watch.expired().await });
        assert!(
            !drain
                .finish(Duration::from_secs(30), pending(), || ())
                .await
        );
        worker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_in_a_hurry_tells_those_at_work_all_the_same() {
        let (drain, mut watch) = channel();
        let worker = tokio::spawn(async move { watch.expired().await });
        assert!(!drain.finish(Duration::MAX, async {}, || ()).await);
        worker.await.unwrap();
    }
}

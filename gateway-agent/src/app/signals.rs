//! The signals that the agent follows.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Reload,
    End,
}

/// The signals that the agent follows.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let follow = |kind| signal(kind).context("follow signals");
        Ok(Self {
            hangup: follow(SignalKind::hangup())?,
            terminate: follow(SignalKind::terminate())?,
            interrupt: follow(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal. Cancel safe.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _signal = self.hangup.recv() => Asked::Reload,
            _signal = self.terminate.recv() => Asked::End,
            _signal = self.interrupt.recv() => Asked::End,
        }
    }

    /// Waits for a signal to end. Cancel safe.
    pub(super) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}

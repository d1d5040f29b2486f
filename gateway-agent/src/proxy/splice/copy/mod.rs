//! The copy engine: the agent moves the bytes, by splice(2) where it pays, else through a buffer.
//!
//! Two [`pump()`]s, one a direction, run side by side. What must hold: every byte that was read
//! from one side is written to the other, in order, before that side's FIN or RST is passed on;
//! one direction may end long before the other; whoever is slow stops the other side by its
//! window, since nothing is read that was not written.

pub(super) mod buffers;
mod pipes;
mod pump;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::io;
use std::time::Duration;

pub use pipes::Pipes;
use pump::{Failure, Lane, pump};
use tokio::time::{Instant, sleep_until};

use super::super::close::{CloseReason, LINGER, reset};
use super::super::leg::broken;
use super::{End, Joint};
use crate::sys::tcp;

/// Moves bytes both ways until both directions ended, one side aborted, or nothing moved for too
/// long.
pub(super) async fn run(joint: &mut Joint<'_>) -> End {
    let shared = Shared::new();
    let up = pump(Lane {
        from: joint.legs.client,
        to: joint.legs.upstream,
        first_bytes: core::mem::take(&mut joint.legs.first_bytes),
        uncounted: joint.legs.prepended,
        moved: joint.legs.received,
        sender: &shared.client,
        last: &shared.last,
        spare: joint.spare,
        pipes: joint.pipes,
    });
    let down = pump(Lane {
        from: joint.legs.upstream,
        to: joint.legs.client,
        first_bytes: bytes::Bytes::new(),
        uncounted: 0,
        moved: joint.legs.sent,
        sender: &shared.upstream,
        last: &shared.last,
        spare: joint.spare,
        pipes: joint.pipes,
    });
    tokio::pin!(up, down);
    let (mut up_open, mut down_open) = (true, true);
    let mut abort = Abort::default();
    while up_open || down_open {
        let (patience, impatience) = match abort.first {
            Some((_, reason)) => (LINGER, reason),
            None => patience(joint, up_open && down_open),
        };
        tokio::select! {
            ended = &mut up, if up_open => {
                up_open = false;
                abort.note(ended, Side::Client, &shared);
            }
            ended = &mut down, if down_open => {
                down_open = false;
                abort.note(ended, Side::Upstream, &shared);
            }
            // A side whose FIN has been read, or whose bytes the other does not take, is not read:
            // a reset shows only here.
            error = broken(joint.legs.client), if abort.first.is_none() => {
                abort.by(Side::Client, &error, &shared);
            }
            error = broken(joint.legs.upstream), if abort.first.is_none() => {
                abort.by(Side::Upstream, &error, &shared);
            }
            () = silence(&shared.last, patience) => {
                let unread = |socket| tcp::unread(socket).is_ok_and(|bytes| bytes > 0);
                if shared.holds_bytes() || unread(joint.legs.client) || unread(joint.legs.upstream) {
                    // There are bytes that nobody has moved on: a FIN would say that those before
                    // were the last.
                    reset(joint.legs.client);
                    reset(joint.legs.upstream);
                }
                return End::Closed(impatience);
            }
        }
        if let Some(reason) = abort.verdict(up_open, down_open) {
            return conclude(joint, &shared, reason);
        }
        shared.last.touch();
    }
    End::Closed(CloseReason::Finished)
}

/// How long nothing may move.
fn patience(joint: &Joint<'_>, both_open: bool) -> (Duration, CloseReason) {
    if !both_open && joint.legs.half_close_timeout < joint.legs.idle_timeout {
        (joint.legs.half_close_timeout, CloseReason::HalfCloseTimeout)
    } else {
        (joint.legs.idle_timeout, CloseReason::IdleTimeout)
    }
}

/// Waits until nothing has moved for `patience`. Bytes only move a mark, which is looked at when
/// the timer fires.
async fn silence(last: &LastMove, patience: Duration) {
    loop {
        let due = last.at() + patience;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

/// When bytes last moved, in milliseconds since the splice began.
#[derive(Debug)]
struct LastMove {
    began: Instant,
    after: AtomicU64,
}

impl LastMove {
    fn touch(&self) {
        let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after.store(after, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.began + Duration::from_millis(self.after.load(Ordering::Relaxed))
    }
}

/// An endpoint's reset before its first byte can be answered by another endpoint, as long as
/// nothing but a hello was taken from the client: that can be sent again.
fn conclude(joint: &Joint<'_>, shared: &Shared, reason: CloseReason) -> End {
    let read = |sender: &Sender| sender.read.load(Ordering::Relaxed);
    let untouched = !read(&shared.client) && !read(&shared.upstream);
    if reason == CloseReason::UpstreamReset && untouched && joint.legs.repeatable {
        joint.legs.received.store(0, Ordering::Relaxed);
        return End::Bounced;
    }
    End::Closed(reason)
}

/// One of the two legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// What both pumps and the timer of one connection share. They are one task: no access is
/// concurrent, and relaxed atomics are cells that a task may carry between threads.
#[derive(Debug)]
struct Shared {
    last: LastMove,
    client: Sender,
    upstream: Sender,
}

/// What is known of one side as a sender.
#[derive(Debug, Default)]
struct Sender {
    /// Whether any byte was read from it.
    read: AtomicBool,
    /// Whether bytes that were read from it are not written to the other side yet.
    held: AtomicBool,
    /// Whether it aborted. Its socket reports an abort once; who reads it later sees an end of
    /// file, which must not be passed on as FIN.
    aborted: AtomicBool,
}

impl Sender {
    /// Bytes were read from it.
    fn took(&self) {
        self.read.store(true, Ordering::Relaxed);
        self.held.store(true, Ordering::Relaxed);
    }

    /// What was read from it is written.
    fn gave(&self) {
        self.held.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            last: LastMove {
                began: Instant::now(),
                after: AtomicU64::new(0),
            },
            client: Sender::default(),
            upstream: Sender::default(),
        }
    }

    fn holds_bytes(&self) -> bool {
        let held = |sender: &Sender| sender.held.load(Ordering::Relaxed);
        held(&self.client) || held(&self.upstream)
    }

    fn sender(&self, side: Side) -> &Sender {
        match side {
            Side::Client => &self.client,
            Side::Upstream => &self.upstream,
        }
    }
}

/// Who aborted first; a second abort is the echo of the first.
#[derive(Debug, Default)]
struct Abort {
    first: Option<(Side, CloseReason)>,
}

impl Abort {
    /// Takes the end of the direction that reads from `from`.
    fn note(&mut self, ended: Result<(), Failure>, from: Side, shared: &Shared) {
        match ended {
            Ok(()) => {}
            Err(Failure::Read(error)) => self.by(from, &error, shared),
            Err(Failure::Write(error)) => self.by(from.other(), &error, shared),
        }
    }

    fn by(&mut self, side: Side, error: &io::Error, shared: &Shared) {
        let reset = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
        );
        let reason = match (side, reset) {
            (Side::Client, true) => CloseReason::ClientReset,
            (Side::Client, false) => CloseReason::ClientLost,
            (Side::Upstream, true) => CloseReason::UpstreamReset,
            (Side::Upstream, false) => CloseReason::UpstreamLost,
        };
        shared.sender(side).aborted.store(true, Ordering::Relaxed);
        self.first.get_or_insert((side, reason));
    }

    /// Whether the stream is over: a side aborted, and what it had sent before is read out. A
    /// failed write tells of an abort while the other direction may still hold its last bytes.
    fn verdict(&self, up_open: bool, down_open: bool) -> Option<CloseReason> {
        let (side, reason) = self.first?;
        let still_read = match side {
            Side::Client => up_open,
            Side::Upstream => down_open,
        };
        (!still_read).then_some(reason)
    }
}

//! Waiting: until a step of either direction may get further, or nothing has moved for too long.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::io;
use std::time::Duration;

use gateway_common::abi::splice::Direction;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::super::close::{CloseReason, reset};
use super::super::super::leg::broken;
use super::super::End;
use super::way::{Need, Way, has_room};
use super::{Flow, Splice, Stop};
use crate::sys::tcp;

/// First pause before another look at what waits in the kernel, and the longest. Room in the
/// receiver's socket wakes us earlier; the pauses only cover the moment until the kernel uses it.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause where the receiver has room: the kernel's worker lacks a processor only, for a moment.
const LONGEST_TURN: Duration = Duration::from_millis(4);

/// First and longest pause before another look at a sender whose receiver takes nothing: within the first it
/// has sent all that it may, and it tries again after 200 ms (`TCP_RTO_MIN`) and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What ended a wait.
enum Woken {
    /// A direction may get further; whether its sender turned out to have closed, of each.
    Ready([bool; 2]),
    /// The program has something to say.
    Told,
    /// The socket of the side that sends in this direction broke.
    Broken(Direction, io::Error),
    /// The timer fired.
    Due,
}

impl Flow<'_> {
    /// Waits until a step may get further; an end if none may for too long, a rest if none need.
    pub(super) async fn wait(&mut self) -> Option<Stop> {
        if self.ways.iter().any(|way| way.need == Need::Turn) {
            tokio::task::yield_now().await;
            return None;
        }
        let woken = {
            let mut timer = pin!(sleep_until(self.due()));
            if self.rests() {
                poll_fn(|context| self.poll_rest(context, timer.as_mut())).await
            } else {
                // In a box, so that only those have room for it whose waits are short.
                Box::pin(self.strained(timer)).await
            }
        };
        match woken {
            Woken::Due => {
                if let Some(rest) = self.rest() {
                    return Some(Stop::Resting(rest));
                }
                return self.overdue().map(Stop::Ended);
            }
            Woken::Told => self.look(),
            Woken::Broken(direction, error) => self.aborted_by(direction, &error),
            Woken::Ready(closed) => {
                for (way, closed) in self.ways.iter_mut().zip(closed) {
                    way.closed |= closed;
                }
            }
        }
        (self.pause, self.stirred) = (PAUSE, Instant::now());
        None
    }

    /// When to look, should nothing happen before.
    fn due(&self) -> Instant {
        let mut due = self.quiet_since + self.patience().0;
        if self.is_draining() {
            due = due.min(Instant::now() + self.pause.min(LONGEST_PAUSE));
        } else if self.ways.iter().any(Way::is_blocked) {
            due = due.min(Instant::now() + self.pause.max(FIRST_LOOK));
        }
        if let Some((_, _, patience)) = self.abort {
            due = due.min(patience);
        }
        if let Some(at) = self.rests_at() {
            due = due.min(at);
        }
        due
    }

    /// Whether something waits for the kernel's worker.
    fn is_draining(&self) -> bool {
        self.hidden || self.ways.iter().any(|way| way.need == Need::Drain)
    }

    /// Whether both sides may speak, and nothing is on its way through the agent: so it is with nearly all
    /// connections, nearly all the time.
    pub(super) fn rests(&self) -> bool {
        self.abort.is_none() && self.ways.iter().all(|way| way.need == Need::Read)
    }

    /// The wait of a connection that [rests](Self::rests): it takes no memory beside the timer. Both sockets
    /// are read, so that an error shows at once as something to read.
    fn poll_rest(&self, context: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Woken> {
        // Sockets come last: those that always have something must not keep us from all else.
        if let Some(kernel) = &self.kernel
            && kernel.told().poll_take(context).is_ready()
        {
            return Poll::Ready(Woken::Told);
        }
        if timer.poll(context).is_ready() {
            return Poll::Ready(Woken::Due);
        }
        let [up, down] = &self.ways;
        let closed = [up, down].map(|way| poll_readable(way.from, context));
        if closed.iter().all(Poll::is_pending) {
            return Poll::Pending;
        }
        Poll::Ready(Woken::Ready(
            closed.map(|closed| matches!(closed, Poll::Ready(true))),
        ))
    }

    /// The wait of any other connection.
    async fn strained(&self, timer: Pin<&mut Sleep>) -> Woken {
        let [up, down] = &self.ways;
        let calm = self.abort.is_none();
        tokio::select! {
            closed = ready(up) => Woken::Ready([closed, false]),
            closed = ready(down) => Woken::Ready([false, closed]),
            () = told(self.kernel.as_deref()) => Woken::Told,
            // A side that is not read shows a reset only here.
            error = broken(self.legs.client), if calm => Woken::Broken(Direction::Upstream, error),
            error = broken(self.legs.upstream), if calm => Woken::Broken(Direction::Downstream, error),
            () = timer => Woken::Due,
        }
    }

    /// How long nothing may move.
    pub(super) fn patience(&self) -> (Duration, CloseReason) {
        let facts = self.legs;
        let half = self.ways.iter().any(|way| way.need == Need::Nothing);
        if half && facts.half_close_timeout < facts.idle_timeout {
            (facts.half_close_timeout, CloseReason::HalfCloseTimeout)
        } else {
            (facts.idle_timeout, CloseReason::IdleTimeout)
        }
    }

    /// A timer fired: ends the connection if it was that of silence and nothing has moved. The kernel
    /// moves bytes without a word, so its counters are asked.
    fn overdue(&mut self) -> Option<End> {
        if self.hidden {
            self.look_for_hidden();
        }
        let late = |way: &Way<'_>| way.need == Need::Drain && matches!(has_room(way.to), Ok(true));
        let longest = if self.ways.iter().any(late) {
            LONGEST_TURN
        } else if self.is_draining() {
            LONGEST_PAUSE
        } else {
            LONGEST_LOOK
        };
        self.make_up_for_drops();
        self.pause = (self.pause * 2).min(longest);
        let now = Instant::now();
        let (patience, impatience) = self.patience();
        let silent = self.quiet_since + patience;
        if now < silent || self.abort.is_some() {
            return None;
        }
        let facts = self.legs;
        let (Ok((sent, client)), Ok((given, upstream))) =
            (tcp::given(facts.client), tcp::given(facts.upstream))
        else {
            return Some(End::Closed(impatience));
        };
        // None of them ever goes back.
        let moved = sent + client.received + given + upstream.received;
        if moved != self.moved {
            self.moved = moved;
            let ago = client.silent_for.min(upstream.silent_for);
            self.quiet_since = now.checked_sub(ago).unwrap_or(now).max(self.quiet_since);
            // Not earlier than a look ago, or one look would follow the other.
            self.quiet_since = self.quiet_since.max(silent - patience + PAUSE);
            if self.quiet_since + patience > now {
                return None;
            }
        }
        // Of joined sockets the kernel half says what waits, of others the sockets.
        let unread = |way: &Way<'_>| {
            way.joined.is_none() && tcp::unread(way.from).is_ok_and(|bytes| bytes > 0)
        };
        let waits = |way: &Way<'_>| {
            way.owes().unwrap_or(true) || way.backlog().unwrap_or(1) > 0 || unread(way)
        };
        if self.ways.iter().any(waits) {
            // A FIN would say that they were the last.
            reset(facts.client);
            reset(facts.upstream);
        }
        Some(End::Closed(impatience))
    }
}

/// Waits for what a direction needs; whether the sender turned out to have closed.
async fn ready(way: &Way<'_>) -> bool {
    let ready = match way.need {
        Need::Read => way.from.ready(Interest::READABLE).await,
        Need::Write => way.to.ready(Interest::WRITABLE).await,
        Need::Drain if matches!(has_room(way.to), Ok(false)) => {
            way.to.ready(Interest::WRITABLE).await
        }
        Need::Turn | Need::Drain | Need::Nothing => core::future::pending().await,
    };
    // An error shows in the next step.
    way.need == Need::Read && ready.is_ok_and(|ready| ready.is_read_closed())
}

/// Whether there is something to read, an end or an error included, and then whether the sender has closed.
fn poll_readable(socket: &TcpStream, context: &mut Context<'_>) -> Poll<bool> {
    if socket.poll_read_ready(context).is_pending() {
        return Poll::Pending;
    }
    // What it is ready for is only said by this future, which finds it ready.
    let ready = pin!(socket.ready(Interest::READABLE)).poll(context);
    Poll::Ready(matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed()))
}

/// Waits until there is something to look at in the kernel.
async fn told(kernel: Option<&dyn Splice>) {
    poll_fn(|context| match kernel {
        Some(kernel) => kernel.told().poll_take(context),
        None => Poll::Pending,
    })
    .await;
}

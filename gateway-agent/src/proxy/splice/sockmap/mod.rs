//! The sockmap engine: the kernel redirects the bytes, the agent forwards what it passes, and the ends.
//!
//! A connection begins as a relay: the agent reads and writes both ways until something has followed
//! the hello, from either side. So everything for which another endpoint would be tried happens to
//! plain sockets. Then both sockets are joined, and the agent
//! sleeps until one of them has passed bytes, an end or an error.
//!
//! What must hold: bytes leave in the order in which they came, whoever moves them; FIN goes on only
//! when every byte is with the receiver's socket, RST as RST; a joined socket is never taken out of the
//! map or closed while the kernel holds bytes for it, unless the stream is aborted.

mod buffers;
mod kernel;
mod look;
mod rest;
#[cfg(test)]
mod tests;
mod trial;
mod wait;
mod way;

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use buffers::{Buffers, Most};
use bytes::Bytes;
use gateway_common::abi::splice::Direction;
pub use kernel::{Availability, Splice, Splicer, Terms};
pub(in super::super) use rest::Rest;
pub(super) use rest::resume;
use tokio::net::TcpStream;
use tokio::time::Instant;
pub(crate) use trial::{long_self_test, self_test};
use wait::PAUSE;
use way::{Failure, Need, Way};

use super::super::close::{CloseReason, LINGER};
use super::End;
use crate::sys::tcp;

/// Why the engine does nothing more for a connection.
#[derive(Debug)]
pub(super) enum Stop {
    /// The stream ended.
    Ended(End),
    /// It is left alone, and may be for long.
    Resting(Rest),
}

/// What a run of the engine came to.
#[derive(Debug)]
pub(super) enum Run {
    /// The engine took the pair.
    Stopped(Stop),
    /// The kernel does not take this pair; nothing is held, nothing is lost.
    Unfit(io::Error),
}

/// Bytes relayed before a stream that never pauses is offered to the kernel, and between two offers.
const RETRY: u64 = 128 * 1024;

/// What the engine is given.
pub(super) struct Legs<'a> {
    pub(super) client: &'a TcpStream,
    pub(super) upstream: &'a TcpStream,
    /// What goes to the endpoint before anything read from the client.
    pub(super) first_bytes: Bytes,
    /// How much of that is no byte of the client's.
    pub(super) prepended: usize,
    /// Bytes read from the client so far.
    pub(super) consumed: u64,
    /// Whether the first bytes may be said to a second endpoint.
    pub(super) repeatable: bool,
    pub(super) idle_timeout: Duration,
    pub(super) half_close_timeout: Duration,
    /// How long it is left alone before it rests; never, where nobody would keep its sockets.
    pub(super) rests_after: Option<Duration>,
    /// Take the byte counts.
    pub(super) received: &'a AtomicU64,
    pub(super) sent: &'a AtomicU64,
}

/// Splices until the stream ends. `terms` are asked for when the kernel is, `watch` is told when it takes
/// over, and when it is over.
///
/// Not an `async fn`, nor one that calls many: of those, each has room for its arguments twice.
pub(super) fn run<'a>(
    legs: &'a mut Legs<'_>,
    splicer: &'a dyn Splicer,
    terms: impl Fn() -> Terms<'a>,
    watch: impl Fn(Option<Arc<dyn Splice>>),
) -> impl Future<Output = Run> {
    let first_bytes = core::mem::take(&mut legs.first_bytes);
    let mut flow = Flow::new(legs, first_bytes);
    async move {
        let ended = loop {
            if let Some(run) = flow.advance(splicer, &terms, &watch) {
                break run;
            }
            if let Some(stop) = flow.wait().await {
                break Run::Stopped(stop);
            }
        };
        if !matches!(ended, Run::Stopped(Stop::Resting(_))) {
            flow.settle(|| watch(None));
        }
        ended
    }
}

/// A connection under way.
struct Flow<'a> {
    ways: [Way<'a>; 2],
    legs: &'a Legs<'a>,
    /// How much must have been relayed before the kernel is offered a stream that never pauses.
    next_try: u64,
    abort: Option<(Direction, CloseReason, Instant)>,
    /// When bytes last moved, as far as it is known, and how many had by then, on both sockets.
    quiet_since: Instant,
    moved: u64,
    /// When something was there to be done last.
    stirred: Instant,
    pause: Duration,
    /// Passed bytes are hidden in the kernel, and since when more of them than may be.
    hidden: bool,
    late_since: Option<Instant>,
    /// Why the kernel does not take this pair.
    unfit: Option<io::Error>,
    /// The kernel half, once joined.
    kernel: Option<Arc<dyn Splice>>,
}

impl<'a> Flow<'a> {
    fn new(legs: &'a Legs<'a>, first_bytes: Bytes) -> Self {
        let (client, upstream) = (legs.client, legs.upstream);
        let mut up = Way::new(Direction::Upstream, (client, upstream), legs.received);
        up.held = first_bytes;
        up.uncounted = legs.prepended;
        up.read = legs.consumed;
        let down = Way::new(Direction::Downstream, (upstream, client), legs.sent);
        Self {
            ways: [up, down],
            legs,
            next_try: RETRY,
            abort: None,
            quiet_since: Instant::now(),
            moved: 0,
            stirred: Instant::now(),
            pause: PAUSE,
            hidden: false,
            late_since: None,
            unfit: None,
            kernel: None,
        }
    }

    /// Goes on once joined; `over` is told at the end.
    async fn go_on(mut self, over: impl Fn()) -> Stop {
        let stop = loop {
            self.step_both();
            if let Some(end) = self.over() {
                break Stop::Ended(end);
            }
            if let Some(stop) = self.wait().await {
                break stop;
            }
        };
        if matches!(stop, Stop::Ended(_)) {
            self.settle(over);
        }
        stop
    }

    /// Counts what the kernel moved, at the end: whoever asks in between must not count it twice.
    fn settle(&mut self, over: impl Fn()) {
        over();
        self.ways.iter_mut().for_each(Way::settle);
    }

    /// Goes as far as it gets without a wait; how it ended, if it did.
    fn advance<'t>(
        &mut self,
        splicer: &dyn Splicer,
        terms: &impl Fn() -> Terms<'t>,
        watch: &impl Fn(Option<Arc<dyn Splice>>),
    ) -> Option<Run> {
        loop {
            self.step_both();
            if let Some(end) = self.over() {
                return Some(Run::Stopped(Stop::Ended(end)));
            }
            // What was read and not written is in nobody's hands but ours.
            if self.holds_nothing()
                && let Some(error) = self.unfit.take()
            {
                return Some(Run::Unfit(error));
            }
            if !(self.may_join() && self.is_established()) {
                return None;
            }
            match self.join(splicer, terms()) {
                Ok(kernel) => watch(Some(kernel)),
                Err(error) => self.unfit = Some(error),
            }
        }
    }

    fn step_both(&mut self) {
        for index in [0, 1] {
            if let Err(failure) = self.ways[index].step() {
                // A sender that aborts is read out first: the next failure is the last.
                if self.ways[index].aborted || !matches!(failure, Failure::Read(_)) {
                    self.ways[index].need = Need::Nothing;
                }
                self.note(index, &failure);
            }
        }
    }

    /// Takes the end of a direction.
    fn note(&mut self, index: usize, failure: &Failure) {
        let (from, to) = match index {
            0 => (Direction::Upstream, Direction::Downstream),
            _ => (Direction::Downstream, Direction::Upstream),
        };
        match failure {
            Failure::Read(error) => self.aborted_by(from, error),
            Failure::Write(error) => self.aborted_by(to, error),
            Failure::Kernel(error) => {
                // Without its counts nothing can be proven any more.
                tracing::warn!(%error, "read the counts of a spliced connection");
                self.aborted_by(from, &io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    /// The side that sends in `direction` aborted; a second abort is the echo of the first.
    fn aborted_by(&mut self, direction: Direction, error: &io::Error) {
        let reset = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
        );
        let reason = match (direction, reset) {
            (Direction::Upstream, true) => CloseReason::ClientReset,
            (Direction::Upstream, false) => CloseReason::ClientLost,
            (Direction::Downstream, true) => CloseReason::UpstreamReset,
            (Direction::Downstream, false) => CloseReason::UpstreamLost,
        };
        let way = &mut self.ways[direction as usize];
        (way.aborted, way.closed) = (true, true);
        if way.need != Need::Nothing {
            way.need = Need::Turn;
        }
        let patience = Instant::now() + LINGER;
        self.abort.get_or_insert((direction, reason, patience));
    }

    /// How the stream ended, if it did.
    fn over(&self) -> Option<End> {
        let done = |way: &Way<'_>| way.need == Need::Nothing;
        let Some((direction, reason, patience)) = self.abort else {
            return self
                .ways
                .iter()
                .all(done)
                .then_some(End::Closed(CloseReason::Finished));
        };
        // What the aborting side had sent before goes on first, for as long as that may take.
        if !done(&self.ways[direction as usize]) && Instant::now() < patience {
            return None;
        }
        let untouched = self.ways[0].read == self.legs.consumed && self.ways[1].read == 0;
        if reason == CloseReason::UpstreamReset
            && untouched
            && self.kernel.is_none()
            && self.legs.repeatable
        {
            self.legs.received.store(0, Ordering::Relaxed);
            return Some(End::Bounced);
        }
        Some(End::Closed(reason))
    }

    /// No other endpoint can be tried any more, and both sides are open.
    fn wants_to_join(&self) -> bool {
        let [up, down] = &self.ways;
        self.kernel.is_none()
            && self.unfit.is_none()
            && self.abort.is_none()
            && (up.read > self.legs.consumed || down.read > 0)
            && self
                .ways
                .iter()
                .all(|way| way.need != Need::Nothing && !way.closed)
    }

    /// Best when the queues are read dry: what is in them is redirected only after what is held has been
    /// written. Where a sender is always ahead of its receiver, what it has sent is read into memory, now
    /// and then.
    fn may_join(&mut self) -> bool {
        if !self.wants_to_join() {
            return false;
        }
        if self.ways.iter().all(|way| way.whole) {
            return true;
        }
        let relayed: u64 = self.ways.iter().map(|way| way.read).sum();
        if relayed < self.next_try {
            return false;
        }
        self.next_try = relayed + RETRY;
        self.ways.iter_mut().all(Way::absorb)
    }

    /// Another engine can go on from here: an abort, which a socket tells once, is ours to pass on.
    fn holds_nothing(&self) -> bool {
        self.abort.is_none() && self.ways.iter().all(|way| way.held.is_empty())
    }

    /// The kernel takes no socket whose other side has closed: what is left of such a stream is relayed.
    fn is_established(&self) -> bool {
        let established =
            |socket| tcp::info(socket).is_ok_and(|info| info.state == tcp::State::Established);
        established(self.legs.client) && established(self.legs.upstream)
    }

    fn join(&mut self, splicer: &dyn Splicer, terms: Terms<'_>) -> io::Result<Arc<dyn Splice>> {
        let (client, upstream) = (self.legs.client, self.legs.upstream);
        // What the sockets were given is counted before the kernel may give them more.
        let given = [tcp::given(upstream)?.0, tcp::given(client)?.0];
        let owed = [self.ways[0].owed(), self.ways[1].owed()];
        let terms = Terms { owed, ..terms };
        let most = Most::of(&terms);
        let up = Buffers::new(client, upstream, most)?;
        let down = Buffers::new(upstream, client, most)?;
        let kernel = splicer.join(client.as_fd(), upstream.as_fd(), terms)?;
        // A client's socket that the kernel refused is a socket as before, and its stream is copied.
        let whole = kernel.is_whole();
        for ((way, given), buffers) in self.ways.iter_mut().zip(given).zip([up, down]) {
            if whole || way.direction == Direction::Downstream {
                way.join(Arc::clone(&kernel), given, buffers);
            }
        }
        self.kernel = Some(Arc::clone(&kernel));
        // There is no way back: the sockets are the kernel's, and no other engine can read them.
        if let Err(failure) = self.begin() {
            self.note(0, &failure);
        }
        Ok(kernel)
    }

    /// Sets the kernel going.
    fn begin(&self) -> Result<(), Failure> {
        for way in &self.ways {
            way.ask_for_review().map_err(Failure::Kernel)?;
            // What arrived before is in the sockets' own queues, and waits there for the next segment.
            tcp::kick(way.from).map_err(Failure::Kernel)?;
        }
        Ok(())
    }
}

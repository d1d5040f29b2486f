//! Sizes of a direction's two buffers: the window of the sender and the send buffer of the receiver.
//!
//! The kernel sizes them for programs that read and write, which a spliced connection has none of: left
//! alone, its window would stay at what a new connection has, and a relay of a moment would open it to
//! many times what the path needs. What is under way when the receiver's buffer is full must be relayed;
//! so the window is as large as the path needs and no larger, and the send buffer many times that.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Terms;
use crate::sys::tcp;

/// The first window: what is under way to a host nearby. It grows where the path needs more.
const LEAST_WINDOW: u32 = 32 * 1024;

/// Segments that a window holds at least: with fewer the sender waits for each acknowledgement.
const LEAST_SEGMENTS: u32 = 4;

/// The first send buffer: several of the first windows.
const LEAST_SEND: u32 = 512 * 1024;

/// Windows that a receive buffer has room for: the program passes what comes when less than two are
/// free. And those while what was passed is taken, at least and at most.
const WINDOWS: u32 = 3;
const LEAST_TAKING: u32 = 12;
const MOST_TAKING: u32 = 24;

/// The window while what was passed is taken. A sender on the same processor answers each segment's
/// acknowledgement before the socket is let go, and all of its answers are charged to the buffer until
/// then: the smaller they are, the more of them are redirected before the buffer is full, and the less
/// must be relayed once it is.
const TAKING_WINDOW: u32 = 8 * 1024;

/// Windows that go through before it is looked at whether one is enough, and the most after which it is.
const REVIEW: u64 = 2;
const LAST_REVIEW: u64 = 256;

/// Bytes before the first look: by then the kernel has learnt the size of segments, and set the window
/// anew.
const FIRST_REVIEW: u64 = 4 * 1024;

/// Silence after which a sender whose window was taken back is asked whether it is there.
const PROBE: Duration = Duration::from_secs(5);

/// What is known of a direction's buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    window: u32,
    send: u32,
    most_window: u32,
    most_send: u32,
    /// The window while what was passed is taken.
    taking: u32,
    /// The send buffer is kept small, so that there is word of room only when there is much of it.
    low: bool,
    /// What the receive buffer takes.
    limit: u32,
    /// The receive buffer is given little more than it has, so that the sender stops.
    narrow: bool,
    /// A silent sender is asked whether it is there.
    probes: bool,
    /// The receive buffer takes next to nothing, so that the sender stops though nothing is in it.
    shut: bool,
    /// Bytes that the receiver's socket had been given when it was full last.
    given: u64,
    /// When the window was looked at, what had been redirected by then, and how many bytes later the
    /// next look is.
    reviewed: Instant,
    redirected: u64,
    review: u64,
}

/// What is kept of it while a connection rests: sizes, and not when they were looked at.
#[derive(Debug)]
pub(super) struct Rested {
    window: u32,
    send: u32,
    most_window: u32,
    most_send: u32,
    taking: u32,
    limit: u32,
    low: bool,
    narrow: bool,
    probes: bool,
    shut: bool,
}

impl Rested {
    /// Takes them up again; `given` and `redirected` are what they are by now.
    pub(super) fn wake(self, given: u64, redirected: u64) -> Buffers {
        let Self {
            window,
            send,
            most_window,
            most_send,
            taking,
            limit,
            low,
            narrow,
            probes,
            shut,
        } = self;
        Buffers {
            window,
            send,
            most_window,
            most_send,
            taking,
            low,
            limit,
            narrow,
            probes,
            shut,
            given,
            reviewed: Instant::now(),
            redirected,
            review: u64::from(window) * REVIEW,
        }
    }
}

impl Buffers {
    /// What is to be kept while the connection rests.
    pub(super) fn rest(&self) -> Rested {
        let Self {
            window,
            send,
            most_window,
            most_send,
            taking,
            low,
            limit,
            narrow,
            probes,
            shut,
            given: _,
            reviewed: _,
            redirected: _,
            review: _,
        } = *self;
        Rested {
            window,
            send,
            most_window,
            most_send,
            taking,
            limit,
            low,
            narrow,
            probes,
            shut,
        }
    }

    /// Sizes the buffers for a start.
    pub(super) fn new(from: &TcpStream, to: &TcpStream, terms: &Terms<'_>) -> io::Result<Self> {
        let segment = tcp::info(from)?.segment;
        let (send, receive) = tcp::largest_buffers();
        let receive = terms.most_window.unwrap_or(receive);
        let most_window = (receive / WINDOWS).max(LEAST_WINDOW);
        let most_send = terms.most_send.unwrap_or_else(|| send.max(LEAST_SEND));
        let window = LEAST_WINDOW
            .max(segment.saturating_mul(LEAST_SEGMENTS))
            .min(most_window);
        let mut buffers = Self {
            window,
            send: LEAST_SEND.min(most_send),
            most_window,
            most_send,
            taking: TAKING_WINDOW
                .max(segment.saturating_mul(LEAST_SEGMENTS))
                .min(window),
            low: false,
            limit: 0,
            narrow: false,
            probes: false,
            shut: false,
            given: 0,
            reviewed: Instant::now(),
            redirected: 0,
            review: FIRST_REVIEW,
        };
        buffers.open(from)?;
        tcp::set_send_buffer(to, buffers.send)?;
        Ok(buffers)
    }

    /// Sizes the sender's window, and room for some.
    pub(super) fn open(&mut self, from: &TcpStream) -> io::Result<()> {
        (self.narrow, self.shut) = (false, false);
        self.limit_to(from, self.room())?;
        tcp::set_window(from, self.window)
    }

    /// The receiver takes no more for now: a receive buffer that holds more than it takes is given room for
    /// what the sender may send unasked. Much room, where what was hidden came to light: then segments
    /// were dropped as well.
    ///
    /// Else the kernel would refuse even what is sent again because it got lost; and for as long as a
    /// segment is missing, it takes the sender's acknowledgements for older than what came after that
    /// segment, so that nothing could be sent to it either (`tcp_may_update_window`,
    /// net/ipv4/tcp_input.c).
    pub(super) fn make_room(&mut self, from: &TcpStream, much: bool) -> io::Result<()> {
        let charged = tcp::charged(from)?;
        let (least, room) = if much {
            (self.room(), self.window.saturating_mul(LEAST_TAKING))
        } else {
            (0, self.room())
        };
        if !self.shut && charged.saturating_add(least) > self.limit {
            self.limit_to(from, charged.saturating_add(room))?;
            // For as long as the receiver takes nothing.
            self.narrow = false;
        }
        Ok(())
    }

    fn limit_to(&mut self, from: &TcpStream, bytes: u32) -> io::Result<()> {
        self.limit = bytes;
        tcp::set_receive_buffer(from, bytes)
    }

    /// What a receive buffer takes of a stream that goes on.
    fn room(&self) -> u32 {
        self.window.saturating_mul(WINDOWS)
    }

    /// Bytes after which to look at the window again.
    pub(super) fn next_review(&self) -> u64 {
        self.review
    }

    /// Bytes are passed: the sender is to stop soon, so that all of them are relayed at once.
    ///
    /// A buffer that is full already takes back what the sender was told it may send, and the kernel
    /// drops what is under way. That comes again; but a RST that the sender sends instead has a number
    /// outside of the window, is ignored (`tcp_sequence`, net/ipv4/tcp_input.c), and comes but once. So
    /// the sender is asked after some silence whether it is there.
    pub(super) fn narrow(&mut self, from: &TcpStream) -> io::Result<()> {
        if self.narrow || self.shut {
            return Ok(());
        }
        self.limit_to(from, self.window)?;
        self.narrow = true;
        if !self.probes && tcp::charged(from)? > self.limit {
            tcp::probe_after(from, PROBE)?;
            self.probes = true;
        }
        Ok(())
    }

    /// Shuts the window, or opens it if it is shut: what is not charged to the buffer is not held back by
    /// it either, unless the buffer takes nothing.
    pub(super) fn shut(&mut self, from: &TcpStream, shut: bool) -> io::Result<()> {
        if shut && !self.shut {
            // The kernel makes of it the least that it knows, less than a segment or two.
            self.limit_to(from, 0)?;
            self.shut = true;
        } else if !shut && self.shut {
            self.open(from)?;
        }
        Ok(())
    }

    /// The receiver's socket is full, or its worker late: word of room is to come when two thirds of it
    /// are free. Only while nothing waits for the socket: the room that the program counted on must not
    /// shrink.
    pub(super) fn lower(&mut self, to: &TcpStream) -> io::Result<()> {
        // The kernel tells of room when a third is free.
        if !self.low && tcp::unacknowledged(to)? > self.send / 3 {
            tcp::set_send_buffer(to, self.send / 2)?;
            self.low = true;
        }
        Ok(())
    }

    /// Gives both their room back, before the last of what was passed is taken; `given` is what the
    /// receiver's socket has been given so far. A reader that has emptied a buffer gets a larger one.
    pub(super) fn restore(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        given: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<()> {
        if self.low {
            let given = given()?;
            if given.saturating_sub(self.given) >= u64::from(self.send) {
                self.send = self.send.saturating_mul(2).min(self.most_send);
            }
            self.given = given;
            tcp::set_send_buffer(to, self.send)?;
            self.low = false;
        }
        // Taking opens the window, and the sender may answer before the socket is let go: all of that is
        // charged to the buffer meanwhile, redirected or not. What comes after the buffer is full must be
        // relayed, and likewise what the receiver's socket has no room for, of which there is more.
        let queued = tcp::unacknowledged(to)?;
        let room = self.send.saturating_sub(queued) / 2;
        let windows = |count| self.window.saturating_mul(count);
        tcp::set_window(from, self.taking)?;
        self.limit_to(
            from,
            room.clamp(windows(LEAST_TAKING), windows(MOST_TAKING)),
        )
    }

    /// Looks whether the path takes a larger window; `redirected` is all that was, so far.
    pub(super) fn review(&mut self, from: &TcpStream, redirected: u64) -> io::Result<()> {
        let bytes = redirected.saturating_sub(self.redirected);
        if bytes < self.review {
            return Ok(());
        }
        let now = Instant::now();
        let rtt = Duration::from_micros(tcp::info(from)?.least_rtt_us.into());
        let needed = needed(bytes, now - self.reviewed, rtt);
        (self.reviewed, self.redirected) = (now, redirected);
        let window = u64::from(self.window);
        if needed > window && self.window < self.most_window {
            let wider = u32::try_from(needed.max(window * 2)).unwrap_or(u32::MAX);
            self.window = wider.min(self.most_window);
            self.review = u64::from(self.window) * REVIEW;
        } else {
            self.review = (self.review * 2).min(window * LAST_REVIEW);
        }
        self.open(from)
    }
}

/// The window that a path needs on which `bytes` took `time`: twice what was under way, so that a flow
/// which its window holds back gets a larger one.
fn needed(bytes: u64, time: Duration, rtt: Duration) -> u64 {
    let time = time.as_nanos().max(1);
    let under_way = u128::from(bytes) * rtt.as_nanos() / time;
    u64::try_from(under_way * 2).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_flow_that_fills_its_window_needs_a_larger_one() {
        // Four windows in four round trips.
        let window = 64 * 1024;
        assert_eq!(
            needed(4 * window, 40 * MILLISECOND, 10 * MILLISECOND),
            2 * window
        );
    }

    #[test]
    fn a_flow_that_is_slower_than_its_window_allows_needs_none() {
        let window = 64 * 1024;
        assert!(needed(4 * window, 400 * MILLISECOND, 10 * MILLISECOND) < window);
    }

    #[test]
    fn no_time_at_all_is_no_fault() {
        assert_eq!(needed(1, Duration::ZERO, Duration::ZERO), 0);
        assert_eq!(needed(u64::MAX, Duration::ZERO, MILLISECOND), u64::MAX);
    }
}

//! Sizes of a direction's two buffers: the window of the sender and the send buffer of the receiver.
//!
//! The kernel sizes them for programs that read and write, which a spliced connection has none of: left
//! alone, its window would stay at what a new connection has, and a relay of a moment would open it to
//! many times what the path needs. What is under way when the receiver's buffer is full must be relayed;
//! so the window is as large as the path needs and no larger, and the send buffer many times that. To a
//! receiver that is far it is as many congestion windows as the kernel's own sizing would allow: with less
//! there is nothing to send for a part of each round trip.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Terms;
use crate::sys::tcp;

/// The first window: what is under way to a host nearby. It grows where the path needs more.
const LEAST_WINDOW: u32 = 32 * 1024;

/// The first window of a sender that is far. Held back for a few round trips it takes that for all that the
/// path can do, and is slow for seconds (BBR leaves its start after three, `bbr_check_full_bw_reached`,
/// net/ipv4/tcp_bbr.c): so there is room for its first round trips until the windows follow.
const FAR_WINDOW: u32 = 256 * 1024;

/// Segments that a window holds at least: with fewer the sender waits for each acknowledgement.
const LEAST_SEGMENTS: u32 = 4;

/// The first send buffer: several of the first windows.
const LEAST_SEND: u32 = 512 * 1024;

/// Windows that a receive buffer has room for, one of which may be charged to it: the program passes what
/// comes when less than two are free. Small segments are charged half as much again as they have bytes.
/// And those while what was passed is taken, at least and at most.
const WINDOWS: u32 = 3;
const WINDOWS_OF_SMALL: u32 = 4;
const LEAST_TAKING: u32 = 12;
const MOST_TAKING: u32 = 24;

/// What small segments under way are charged to a buffer at most, where they are of full size; and what they
/// are given if they are smaller still. Large ones are charged a quarter more than they have bytes.
const SMALL_CHARGED: u64 = 2;
const MOST_CHARGED: u64 = 4;

/// The window while what was passed is taken. A sender on the same processor answers each segment's
/// acknowledgement before the socket is let go, and all of its answers are charged to the buffer until
/// then: the smaller they are, the more of them are redirected before the buffer is full, and the less
/// must be relayed once it is.
const TAKING_WINDOW: u32 = 8 * 1024;

/// Windows that go through before it is looked at whether one is enough, where the sender is far, and the most
/// after which it is.
const REVIEW: u64 = 2;
const FAR_REVIEW: u64 = 1;
const LAST_REVIEW: u64 = 256;

/// Congestion windows that the send buffer to a far receiver has room for: one is under way, the next is
/// ready to be sent when the first is acknowledged, and a window that doubles each round trip wants two
/// then (`tcp_sndbuf_expand`, net/ipv4/tcp_input.c, has two, and three for BBR).
const CONGESTION_WINDOWS: u64 = 3;

/// Round-trip time from which a peer is far. Its windows are large and grow fourfold at a time: a round trip
/// takes as long as many a stream lasts, and what is in a window when the receiver is full is little next to
/// what is under way.
const FAR: Duration = Duration::from_millis(5);

/// The shortest time that says how much a path moves: in less there may be but a burst.
const LEAST_TIME: Duration = Duration::from_millis(2);

/// Bytes of a segment below which it is a small one: what a network without offloads brings.
const SMALL: u64 = 4 * 1024;

/// Bytes before the first look: by then the kernel has learnt the size of segments, and set the window
/// anew.
const FIRST_REVIEW: u64 = 4 * 1024;

/// Silence after which a sender whose window was taken back is asked whether it is there.
const PROBE: Duration = Duration::from_secs(5);

/// What is known of a direction's buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    sizes: Sizes,
    most: Most,
    /// The window while what was passed is taken.
    taking: u32,
    /// Segments that the sender's socket had dropped when its receiver took something last.
    dropped: u32,
    /// Those dropped since have been given room.
    made_up: bool,
    /// Bytes that the receiver's socket had been given when it was full last.
    given: u64,
    /// When the window was looked at, what had been redirected by then, and how many bytes later the
    /// next look is.
    reviewed: Instant,
    redirected: u64,
    review: u64,
}

/// What the buffers have been set to: all that is kept of them while a connection rests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    window: u32,
    send: u32,
    /// What the receive buffer takes.
    limit: u32,
    /// The send buffer is kept small, so that there is word of room only when there is much of it.
    low: bool,
    /// The sender's segments are small ones.
    small: bool,
    /// The receive buffer is given little more than it has, so that the sender stops.
    narrow: bool,
    /// A silent sender is asked whether it is there.
    probes: bool,
    /// The receive buffer takes next to nothing, so that the sender stops though nothing is in it.
    shut: bool,
}

/// What they may grow to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    window: u32,
    send: u32,
}

impl Most {
    pub(super) fn of(terms: &Terms<'_>) -> Self {
        let (send, receive) = tcp::largest_buffers();
        let receive = terms.most_window.unwrap_or(receive);
        Self {
            window: (receive / WINDOWS_OF_SMALL).max(LEAST_WINDOW),
            send: terms.most_send.unwrap_or_else(|| send.max(LEAST_SEND)),
        }
    }
}

fn least_rtt(info: &tcp::TcpInfo) -> Duration {
    Duration::from_micros(info.least_rtt_us.into())
}

fn is_far(peer: &tcp::TcpInfo) -> bool {
    least_rtt(peer) >= FAR
}

/// Some segments, but no less than `bytes` and no more than may be.
fn segments(segment: u32, bytes: u32, most: u32) -> u32 {
    bytes.max(segment.saturating_mul(LEAST_SEGMENTS)).min(most)
}

impl Buffers {
    /// Sizes the buffers for a start.
    pub(super) fn new(from: &TcpStream, to: &TcpStream, most: Most) -> io::Result<Self> {
        let sender = tcp::info(from)?;
        let segment = sender.segment;
        let least = if is_far(&sender) {
            FAR_WINDOW
        } else {
            LEAST_WINDOW
        };
        let window = segments(segment, least, most.window);
        let sizes = Sizes {
            window,
            send: LEAST_SEND.min(most.send),
            limit: 0,
            low: false,
            small: false,
            narrow: false,
            probes: false,
            shut: false,
        };
        let mut buffers = Self {
            sizes,
            most,
            taking: segments(segment, TAKING_WINDOW, window),
            dropped: tcp::dropped(from)?,
            made_up: false,
            given: 0,
            reviewed: Instant::now(),
            redirected: 0,
            review: FIRST_REVIEW,
        };
        buffers.open(from)?;
        tcp::set_send_buffer(to, buffers.sizes.send)?;
        Ok(buffers)
    }

    /// What is to be kept while the connection rests.
    pub(super) fn rest(&self) -> Sizes {
        self.sizes
    }

    /// Takes buffers up again that have rested; `given` and `redirected` are what they are by now.
    pub(super) fn wake(
        from: &TcpStream,
        (sizes, most): (Sizes, Most),
        (given, redirected): (u64, u64),
    ) -> io::Result<Self> {
        Ok(Self {
            sizes,
            most,
            taking: segments(tcp::info(from)?.segment, TAKING_WINDOW, sizes.window),
            dropped: tcp::dropped(from)?,
            made_up: false,
            given,
            reviewed: Instant::now(),
            redirected,
            review: u64::from(sizes.window) * REVIEW,
        })
    }

    /// Sizes the sender's window, and room for some.
    pub(super) fn open(&mut self, from: &TcpStream) -> io::Result<()> {
        (self.sizes.narrow, self.sizes.shut, self.made_up) = (false, false, false);
        self.dropped = tcp::dropped(from)?;
        self.limit_to(from, self.room())?;
        tcp::set_window(from, self.sizes.window)
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
            (self.room(), self.sizes.window.saturating_mul(LEAST_TAKING))
        } else {
            (0, self.room())
        };
        if !self.sizes.shut && charged.saturating_add(least) > self.sizes.limit {
            self.limit_to(from, charged.saturating_add(room))?;
            // For as long as the receiver takes nothing.
            self.sizes.narrow = false;
        }
        Ok(())
    }

    /// The receiver takes nothing for a while: where segments were dropped, gives the buffer room for them
    /// when they are sent again, once until [it is given its room back](Self::open).
    ///
    /// The kernel reckons a window from the room that is left, in whole units of its scale, so that the last
    /// segment may fit the one and not the other, and nothing is read from this buffer to make room. Each
    /// time its sender tries again, it doubles the time to the next try, and goes on only with that try:
    /// minutes after the receiver does.
    pub(super) fn make_up_for_drops(&mut self, from: &TcpStream) -> io::Result<()> {
        if self.sizes.shut || self.made_up || tcp::dropped(from)? == self.dropped {
            return Ok(());
        }
        self.made_up = true;
        let charged = tcp::charged(from)?;
        self.limit_to(from, charged.saturating_add(self.room()))
    }

    /// Whether the sender was told to send next to nothing. Older kernels do not say.
    pub(super) fn announces_little(&self, from: &TcpStream) -> io::Result<bool> {
        let announced = tcp::info(from)?.announced;
        Ok(announced.is_some_and(|bytes| bytes < self.taking / 2))
    }

    fn limit_to(&mut self, from: &TcpStream, bytes: u32) -> io::Result<()> {
        self.sizes.limit = bytes;
        tcp::set_receive_buffer(from, bytes)
    }

    /// What a receive buffer takes of a stream that goes on.
    fn room(&self) -> u32 {
        let windows = if self.sizes.small {
            WINDOWS_OF_SMALL
        } else {
            WINDOWS
        };
        self.sizes.window.saturating_mul(windows)
    }

    /// Bytes after which to look at the window again.
    pub(super) fn next_review(&self) -> u64 {
        self.review
    }

    /// Whether the sender may still send as in a stream that goes on: [`Self::narrow`] is for that.
    pub(super) fn is_wide(&self) -> bool {
        !(self.sizes.narrow || self.sizes.shut)
    }

    /// Bytes are passed, `unread` of which nobody has read: the sender is to stop soon, so that all of them
    /// are relayed at once. It may still send what it was told it may: were the buffer given less than
    /// that, the kernel would drop what is under way, and only the sender's timer would bring it back.
    ///
    /// What takes far more room than it has bytes may be dropped all the same. That comes again; but a RST
    /// that the sender sends instead has a number outside of the window, is ignored (`tcp_sequence`,
    /// net/ipv4/tcp_input.c), and comes but once. So a sender that has filled a window is asked after some
    /// silence whether it is there.
    pub(super) fn narrow(&mut self, from: &TcpStream, unread: u64) -> io::Result<()> {
        self.sizes.narrow = true;
        self.narrow_to(from, unread, 0)
    }

    /// So many of the unread bytes are about to be taken, and others are left: the room that they leave is
    /// none for the sender.
    pub(super) fn stay_narrow(
        &mut self,
        from: &TcpStream,
        unread: u64,
        taken: usize,
    ) -> io::Result<()> {
        if !self.sizes.narrow || self.sizes.shut {
            return Ok(());
        }
        self.narrow_to(from, unread, taken as u64)
    }

    fn narrow_to(&mut self, from: &TcpStream, unread: u64, taken: u64) -> io::Result<()> {
        // In this order: what arrives in between is in both.
        let announced = u64::from(tcp::info(from)?.announced.unwrap_or(self.sizes.window));
        let charged = u64::from(tcp::charged(from)?);
        let unread = unread.max(1);
        let left = charged - charged * taken.min(unread) / unread;
        let expected = if self.sizes.small {
            announced * SMALL_CHARGED
        } else {
            announced + announced / 4
        };
        let told = (charged * announced).div_ceil(unread).max(expected);
        let most = announced * MOST_CHARGED;
        let limit = u32::try_from(left + told.min(most)).unwrap_or(u32::MAX);
        self.limit_to(from, limit.max(self.sizes.window))?;
        let may_drop = charged > self.sizes.window.into() || told > most;
        if may_drop && !self.sizes.probes {
            tcp::probe_after(from, PROBE)?;
            self.sizes.probes = true;
        }
        Ok(())
    }

    /// Shuts the window, or opens it if it is shut: what is not charged to the buffer is not held back by
    /// it either, unless the buffer takes nothing.
    pub(super) fn shut(&mut self, from: &TcpStream, shut: bool) -> io::Result<()> {
        if shut && !self.sizes.shut {
            // The kernel makes of it the least that it knows, less than a segment or two.
            self.limit_to(from, 0)?;
            self.sizes.shut = true;
        } else if !shut && self.sizes.shut {
            self.open(from)?;
        }
        Ok(())
    }

    /// The receiver's socket is full, or its worker late: word of room is to come when two thirds of it
    /// are free. Only while nothing waits for the socket: the room that the program counted on must not
    /// shrink.
    ///
    /// Not where the receiver is far: what is left would be sent long before the next bytes are there.
    pub(super) fn lower(&mut self, to: &TcpStream) -> io::Result<()> {
        if self.sizes.low || self.follow(to)? {
            return Ok(());
        }
        // The kernel tells of room when a third is free.
        if tcp::unacknowledged(to)? > self.sizes.send / 3 {
            tcp::set_send_buffer(to, self.sizes.send / 3)?;
            self.sizes.low = true;
        }
        Ok(())
    }

    /// Has the send buffer keep ahead of a far receiver's congestion window; whether the receiver is far.
    fn follow(&mut self, to: &TcpStream) -> io::Result<bool> {
        let receiver = tcp::info(to)?;
        if !is_far(&receiver) {
            return Ok(false);
        }
        let needed = receiver
            .congestion_window
            .saturating_mul(CONGESTION_WINDOWS);
        let needed = u32::try_from(needed)
            .unwrap_or(u32::MAX)
            .min(self.most.send);
        if needed > self.sizes.send {
            self.sizes.send = needed;
            tcp::set_send_buffer(to, needed)?;
            self.sizes.low = false;
        }
        Ok(true)
    }

    /// Gives both their room back, before the last of what was passed is taken; `given` is what the
    /// receiver's socket has been given so far. A reader that has emptied a buffer gets a larger one.
    pub(super) fn restore(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        given: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<()> {
        if self.sizes.low {
            let given = given()?;
            if given.saturating_sub(self.given) >= u64::from(self.sizes.send) {
                self.sizes.send = self.sizes.send.saturating_mul(2).min(self.most.send);
            }
            self.given = given;
            tcp::set_send_buffer(to, self.sizes.send)?;
            self.sizes.low = false;
        }
        // Taking opens the window, and the sender may answer before the socket is let go: all of that is
        // charged to the buffer meanwhile, redirected or not. What comes after the buffer is full must be
        // relayed, and likewise what the receiver's socket has no room for, of which there is more.
        let queued = tcp::unacknowledged(to)?;
        let room = self.sizes.send.saturating_sub(queued) / 2;
        let windows = |count| self.sizes.window.saturating_mul(count);
        tcp::set_window(from, self.taking)?;
        self.limit_to(
            from,
            room.clamp(windows(LEAST_TAKING), windows(MOST_TAKING)),
        )
    }

    /// Looks whether the path takes a larger window, and the receiver a larger send buffer; `redirected` is
    /// all that was so far, in segments of `average` bytes.
    pub(super) fn review(
        &mut self,
        (from, to): (&TcpStream, &TcpStream),
        redirected: u64,
        average: u64,
    ) -> io::Result<()> {
        self.sizes.small = average < SMALL;
        let bytes = redirected.saturating_sub(self.redirected);
        if bytes < self.review {
            return Ok(());
        }
        let now = Instant::now();
        if now - self.reviewed < LEAST_TIME {
            self.review = (self.review * 2).min(u64::from(self.sizes.window) * LAST_REVIEW);
            return Ok(());
        }
        let sender = tcp::info(from)?;
        let (rtt, far) = (least_rtt(&sender), is_far(&sender));
        let needed = needed(bytes, now - self.reviewed, rtt);
        (self.reviewed, self.redirected) = (now, redirected);
        let _far = self.follow(to)?;
        let window = u64::from(self.sizes.window);
        if needed > window && self.sizes.window < self.most.window {
            let (step, review) = if far { (4, FAR_REVIEW) } else { (2, REVIEW) };
            let wider = u32::try_from(needed.max(window * step)).unwrap_or(u32::MAX);
            self.sizes.window = wider.min(self.most.window);
            self.review = u64::from(self.sizes.window) * review;
        } else {
            self.review = (self.review * 2).min(window * LAST_REVIEW);
        }
        self.open(from)
    }
}

/// The window that a path needs on which `bytes` took `time`: half as much again as was under way, so that a
/// flow which its window holds back gets a larger one, also when the time began with the smaller one.
fn needed(bytes: u64, time: Duration, rtt: Duration) -> u64 {
    let time = time.as_nanos().max(1);
    let under_way = u128::from(bytes) * rtt.as_nanos() / time;
    u64::try_from(under_way + under_way / 2).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_flow_that_fills_its_window_needs_a_larger_one() {
        // Four windows in four round trips.
        let window = 64 * 1024;
        assert!(needed(4 * window, 40 * MILLISECOND, 10 * MILLISECOND) > window);
    }

    #[test]
    fn a_window_that_has_just_grown_is_seen_to_be_too_small() {
        // The first round trip brought what the former window, half as large, let go.
        let window = 64 * 1024;
        assert!(needed(2 * window, 25 * MILLISECOND, 10 * MILLISECOND) > window);
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

//! `splice`: bytes that arrive at a spliced socket -> the peer socket's send queue, within a budget.
//!
//! The kernel acknowledges redirected bytes to their sender before the peer has taken them, and queues
//! them without limit. So a segment is redirected only if the peer's send buffer has room for it and for
//! all that waits before it. Else the direction is paused and bytes are passed: they stay in the socket's own queue, its window closes, and the agent forwards
//! them. Resumed only here, and only when the peer has everything that was redirected and the agent has
//! forwarded all that was passed: so no byte overtakes another.
//!
//! Why not more: one queue of a socket holds both what is redirected to it and what it passes. Were the
//! former to wait for a reader, the latter would too, charged to nobody, and no window would close. What
//! still does, because a worker is late, has a budget.
//!
//! Fails open: what cannot be redirected is passed to the agent, counted, and never dropped.

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::bpf_sock,
    helpers::{
        bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_map_lookup_elem, bpf_sk_redirect_hash,
        bpf_sk_release, bpf_skc_to_tcp_sock,
    },
    programs::SkBuffContext,
};
use gateway_common::abi::splice::{Direction, Forwarded, SpliceCount, Stream};

use crate::{
    count::{count_splice, count_stats, move_backlog},
    maps::{EVENTS, FORWARDED, PEERS, STREAMS},
};

/// Offsets in the running kernel's `struct tcp_sock` and `struct sock`; the loader sets them.
#[unsafe(no_mangle)]
static WRITE_SEQ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SNDBUF: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static WMEM_QUEUED: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
static RCVBUF: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static RMEM_ALLOC: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static COPIED_SEQ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static WINDOW_CLAMP: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static BACKLOG_LEN: Global<u32> = Global::new(0);

/// 0: room is not asked for.
#[unsafe(no_mangle)]
static BOUNDED: Global<u32> = Global::new(1);

/// `TCP_ESTABLISHED` and `TCP_CLOSE_WAIT`: states in which a socket takes bytes to send.
const SENDING: [u32; 2] = [1, 8];

/// What to do with a segment.
pub(crate) enum Verdict {
    /// It goes on: to the peer if the kernel has been told so, else to the agent.
    Pass,
    /// Nobody gets it: there is nothing in it.
    Drop,
}

/// Decides about the bytes that have just arrived at a socket.
#[inline]
pub(crate) fn try_splice(ctx: &SkBuffContext) -> Verdict {
    // A bare FIN, which the socket has taken note of. Redirected it would end as an error of the healthy
    // peer socket; passed while bytes wait to be sent on this one, as an error of this one: the kernel's
    // worker takes a result of nothing for a broken pipe.
    if ctx.len() == 0 {
        return Verdict::Drop;
    }
    // SAFETY: the context is a socket buffer of a socket.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: the agent replaces the value as a whole, so what is read is one or the other.
    let agent = unsafe { FORWARDED.get(cookie) }.copied();
    let (Some(agent), Some(stream)) = (agent, STREAMS.get_ptr_mut(cookie)) else {
        count_splice(SpliceCount::Unknown);
        return Verdict::Pass;
    };
    // SAFETY: segments of one socket are judged one after the other, under its lock, and nothing else
    // writes this entry; a deleted entry stays valid memory for the length of this run.
    let stream = unsafe { &mut *stream };
    let own = Own::of(ctx);
    let length = match &own {
        Some(own) => cut_repeated(ctx, stream, own),
        None => u64::from(ctx.len()),
    };
    if length == 0 {
        return Verdict::Drop;
    }
    let redirect = match (Peer::of(cookie), &own) {
        (Some(peer), Some(own)) => may_redirect(stream, &agent, own, &peer, length),
        _ => {
            stream.orphans = stream.orphans.wrapping_add(1);
            count_splice(SpliceCount::Orphans);
            pause(stream);
            false
        }
    };
    if redirect && handed_over(ctx, cookie) {
        stream.redirected = stream.redirected.wrapping_add(length);
        stream.packets = stream.packets.wrapping_add(1);
        count_splice(SpliceCount::Redirected);
        count_stats(&agent, length, true);
        ask_for_review(stream, &agent, cookie);
        return Verdict::Pass;
    }
    if redirect {
        count_splice(SpliceCount::Refused);
        pause(stream);
    }
    hide(stream, &agent, own.as_ref(), cookie, length);
    stream.passed = stream.passed.wrapping_add(length);
    count_splice(SpliceCount::Passed);
    count_stats(&agent, length, false);
    Verdict::Pass
}

/// Cuts off what has been seen before, and tells how much is left. A segment that was sent again may begin
/// with bytes that had arrived, and the agent may have read the first part of one that was there before the
/// socket was put into the map: the kernel's own reading skips such bytes, its reading for a verdict does not
/// (`tcp_read_skb`, net/ipv4/tcp.c).
#[inline]
fn cut_repeated(ctx: &SkBuffContext, stream: &mut Stream, own: &Own) -> u64 {
    let length = ctx.len();
    // SAFETY: the control block of a segment in a receive queue is TCP's, which begins with the sequence
    // numbers of its first byte and of the one after its last (`struct tcp_skb_cb`, include/net/tcp.h).
    let seq = unsafe { (*ctx.skb.skb).cb[0] };
    if stream.state & Stream::SEEN == 0 {
        stream.state |= Stream::SEEN;
        stream.next = own.copied_seq;
    }
    let repeated = stream.next.wrapping_sub(seq);
    stream.next = if repeated.cast_signed() > 0 && repeated > length {
        stream.next
    } else {
        seq.wrapping_add(length)
    };
    if repeated.cast_signed() <= 0 {
        return u64::from(length);
    }
    let repeated = if repeated < length { repeated } else { length };
    stream.repeated = stream.repeated.wrapping_add(repeated);
    count_splice(SpliceCount::Repeated);
    let mut left = repeated;
    // The helper takes so many at once; the largest segment there is takes as many rounds.
    for _ in 0..ROUNDS {
        let cut = if left < MOST_CUT { left } else { MOST_CUT };
        if cut == 0 || ctx.skb.adjust_room(-cut.cast_signed(), 0, 0).is_err() {
            break;
        }
        left -= cut;
    }
    u64::from(length - repeated)
}

/// Most bytes that the kernel cuts off at once, and how often.
const MOST_CUT: u32 = 0xfff;
const ROUNDS: u32 = 17;

/// What was read of the socket that the segment arrived at.
struct Own {
    /// Sequence number after the last byte that it was given to send.
    write_seq: u32,
    /// Sequence number of the first byte that nobody has read.
    copied_seq: u32,
    /// Its receive buffer has room for two more windows.
    ///
    /// Segments that arrive while someone has the socket locked are charged to the buffer until all of
    /// them are dealt with. Were they redirected, each would be acknowledged with the window that is
    /// left, the last with none, and with nothing left to be read nobody would ever announce another. So
    /// some are passed in time: the agent's reading does. Unless the agent has bytes left to be read for
    /// that, and says so ([`Forwarded::patient`]).
    has_room: bool,
}

impl Own {
    #[inline]
    fn of(ctx: &SkBuffContext) -> Option<Self> {
        // SAFETY: the context is a socket buffer; the field is there for programs of this type.
        let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
        if socket.is_null() {
            return None;
        }
        // SAFETY: the socket whose segment this is stays while the program runs.
        let tcp = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
        if tcp.is_null() {
            return None;
        }
        let used = u64::from(word(tcp.cast(), RMEM_ALLOC.load()))
            + u64::from(word(tcp.cast(), BACKLOG_LEN.load()));
        let limit = u64::from(word(tcp.cast(), RCVBUF.load()));
        // The kernel announces nothing once less than a sixteenth is free.
        let windows = 2 * u64::from(word(tcp.cast(), WINDOW_CLAMP.load()));
        let reserve = if windows > limit / 32 * 3 {
            windows
        } else {
            limit / 32 * 3
        };
        Some(Self {
            write_seq: word(tcp.cast(), WRITE_SEQ.load()),
            copied_seq: word(tcp.cast(), COPIED_SEQ.load()),
            has_room: used + reserve <= limit,
        })
    }
}

/// What was redirected to the socket that the segment arrived at, in counts that wrap.
struct Waiting {
    redirected: u32,
    taken: u32,
}

impl Own {
    /// What was redirected to it; none before the first byte was.
    #[inline]
    fn waiting(&self, agent: &Forwarded) -> Option<Waiting> {
        // SAFETY: plain data; a value a moment old is as good, the next segment sees the next one.
        let reverse = unsafe { STREAMS.get(agent.peer) }?;
        // SAFETY: the agent replaces the value as a whole.
        let theirs = unsafe { FORWARDED.get(agent.peer) }?;
        if reverse.state & Stream::BASED == 0 {
            return None;
        }
        let redirected = low(reverse.redirected);
        let backlog = low(backlog(reverse, theirs, self.write_seq));
        Some(Waiting {
            redirected,
            taken: redirected.wrapping_sub(backlog),
        })
    }

    /// Whether bytes wait to be sent on it. They carry its window, and what it passes waits with them.
    #[inline]
    fn waits_for(&self, agent: &Forwarded) -> bool {
        self.waiting(agent)
            .is_some_and(|waiting| waiting.taken != waiting.redirected)
    }
}

/// What was read of the peer socket.
struct Peer {
    /// Sequence number after the last byte that it was given.
    write_seq: u32,
    /// Bytes that its send buffer takes in all, and those in it, the kernel's own overhead included.
    limit: u64,
    queued: u64,
}

impl Peer {
    /// Looks the peer up; none when there is none or it takes no more bytes.
    #[inline]
    fn of(cookie: u64) -> Option<Self> {
        // SAFETY: the map is a sockhash with 64-bit keys; a socket that is found is held until released.
        let socket =
            unsafe { bpf_map_lookup_elem(PEERS.as_ptr(), core::ptr::from_ref(&cookie).cast()) };
        if socket.is_null() {
            return None;
        }
        // SAFETY: the socket is held.
        let state = unsafe { (*socket.cast::<bpf_sock>()).state };
        // SAFETY: as above.
        let tcp = unsafe { bpf_skc_to_tcp_sock(socket) };
        let peer = if tcp.is_null() || !(state == SENDING[0] || state == SENDING[1]) {
            None
        } else {
            // The sequence number first: bytes that the socket takes meanwhile then count twice, which
            // errs on the safe side.
            Some(Self {
                write_seq: word(tcp.cast(), WRITE_SEQ.load()),
                queued: u64::from(word(tcp.cast(), WMEM_QUEUED.load())),
                limit: u64::from(word(tcp.cast(), SNDBUF.load())),
            })
        };
        // SAFETY: gives back the reference of the look-up, once.
        unsafe {
            bpf_sk_release(socket);
        }
        peer
    }
}

impl Peer {
    /// Whether the send buffer takes a segment after all that waits before it, or lacks no more room than
    /// may be lacking.
    #[inline]
    fn takes(&self, backlog: u64, length: u64, beyond: u32) -> bool {
        // What the kernel needs besides the bytes: some hundred bytes for each few segments.
        const OVERHEAD: u64 = 8 * 1024;
        let waiting = backlog + length;
        let wanted = self.queued + waiting + waiting / 8 + OVERHEAD;
        wanted <= self.limit + u64::from(beyond)
    }
}

/// Reads a word of a kernel structure.
#[inline(always)]
fn word(structure: *const u8, offset: u32) -> u32 {
    // SAFETY: the offset is the running kernel's own, and its verifier checks it. Volatile: the fields
    // change under us.
    unsafe { core::ptr::read_volatile(structure.add(offset as usize).cast::<u32>()) }
}

/// Whether the segment may be redirected: pauses and resumes the direction.
#[inline]
fn may_redirect(
    stream: &mut Stream,
    agent: &Forwarded,
    own: &Own,
    peer: &Peer,
    length: u64,
) -> bool {
    if stream.state & Stream::BASED == 0 {
        // While the agent has bytes to forward, the peer's sequence number says nothing for sure.
        if stream.passed != agent.forwarded {
            return false;
        }
        stream.base = peer.write_seq.wrapping_sub(low(agent.forwarded));
        stream.state |= Stream::BASED;
    }
    let backlog = backlog(stream, agent, peer.write_seq);
    if stream.backlog != backlog {
        move_backlog(stream.backlog, backlog);
        stream.backlog = backlog;
    }
    let fits = BOUNDED.load() == 0
        || (agent.held == 0
            && peer.takes(backlog, length, agent.beyond)
            && (own.has_room || agent.patient != 0 || own.waits_for(agent)));
    if stream.state & Stream::PAUSED == 0 {
        if fits {
            if backlog + length > stream.most_backlog {
                stream.most_backlog = backlog + length;
            }
        } else {
            pause(stream);
        }
        return fits;
    }
    // Not before some of the buffer is free, or the next pause would follow at once.
    let some_free = peer.queued <= peer.limit / 4 * 3 || agent.beyond > 0;
    if !fits || !some_free || backlog > 0 || stream.passed != agent.forwarded {
        return false;
    }
    stream.state &= !Stream::PAUSED;
    stream.resumes = stream.resumes.wrapping_add(1);
    count_splice(SpliceCount::Resumes);
    true
}

/// Bytes redirected that the peer's socket has not taken yet. Sequence numbers wrap, so the difference
/// is signed; it is below zero while the agent has written bytes and not said so.
#[inline]
fn backlog(stream: &Stream, agent: &Forwarded, write_seq: u32) -> u64 {
    let given = low(stream.redirected.wrapping_add(agent.forwarded));
    let taken = write_seq.wrapping_sub(stream.base);
    let difference = given.wrapping_sub(taken).cast_signed();
    u64::try_from(difference).unwrap_or(0)
}

/// The low half of a count, to compare with sequence numbers.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
#[inline(always)]
fn low(count: u64) -> u32 {
    count as u32
}

/// Keeps count of bytes that are passed while others wait to be sent on the same socket: behind them
/// they are charged to nobody until the kernel's worker has sent those, and no window holds back more.
#[inline]
fn hide(stream: &mut Stream, agent: &Forwarded, own: Option<&Own>, cookie: u64, length: u64) {
    let Some(waiting) = own.and_then(|own| own.waiting(agent)) else {
        stream.hidden = 0;
        return;
    };
    if waiting.taken.wrapping_sub(stream.mark).cast_signed() >= 0 {
        stream.hidden = 0;
    }
    if waiting.taken == waiting.redirected {
        stream.hidden = 0;
        return;
    }
    if stream.hidden == 0 {
        stream.mark = waiting.redirected;
    }
    // SAFETY: reads a clock.
    stream.hidden_at = unsafe { bpf_ktime_get_ns() };
    let before = *stream;
    stream.hidden = stream.hidden.wrapping_add(length);
    if !before.hides_much(agent.budget) && stream.hides_much(agent.budget) {
        tell(agent, cookie);
    }
    if !before.hides_too_much(agent.budget) && stream.hides_too_much(agent.budget) {
        count_splice(SpliceCount::Overruns);
        tell(agent, cookie);
    }
}

/// Has the agent look at the windows, when as much has been redirected as it wanted to wait for: the
/// kernel widens a socket's window only for a reader.
#[inline]
fn ask_for_review(stream: &mut Stream, agent: &Forwarded, cookie: u64) {
    if agent.review != 0 && stream.redirected.wrapping_sub(stream.reviewed) >= agent.review {
        stream.reviewed = stream.redirected;
        tell(agent, cookie);
    }
}

/// Wakes the agent for a connection, which it knows by the cookie of the client's socket. A full ring is one
/// that the agent is about to read.
#[inline]
fn tell(agent: &Forwarded, cookie: u64) {
    let upstream = agent.direction == Direction::Upstream as u32;
    let client = if upstream { cookie } else { agent.peer };
    let _full = EVENTS.output::<u64>(&client, 0);
}

#[inline]
fn pause(stream: &mut Stream) {
    if stream.state & Stream::PAUSED == 0 {
        stream.state |= Stream::PAUSED;
        stream.pauses = stream.pauses.wrapping_add(1);
        count_splice(SpliceCount::Pauses);
    }
}

/// Redirects. The peer may be gone since it was looked up: then the kernel says drop, and we pass.
#[inline]
fn handed_over(ctx: &SkBuffContext, cookie: u64) -> bool {
    let key = core::ptr::from_ref(&cookie).cast_mut().cast();
    // SAFETY: context, map and key are what the helper wants; no flags: the peer's send queue.
    unsafe { bpf_sk_redirect_hash(ctx.as_ptr().cast(), PEERS.as_ptr(), key, 0) == 1 }
}

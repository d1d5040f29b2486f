//! `shed`: segments that would only pile up -> dropped before TCP has seen them.
//!
//! Bytes that `splice` passes while others wait to be sent on the same socket are charged to nobody, so
//! no window holds their sender back until the kernel's worker has had its turn. Where that is late,
//! what comes is dropped as a full queue of a network would: unacknowledged, so that the sender sends it
//! again, slower. A segment now and then goes through, for `splice` to see whether there is need still:
//! the next in order, no other. One beyond a gap would have the socket take its sequence number for that
//! of the latest word about the sender's window (`tcp_may_update_window`, net/ipv4/tcp_input.c); should
//! its own window then be shut, the sender's bare acknowledgements bear the number before the gap
//! (`tcp_acceptable_seq`, net/ipv4/tcp_output.c), their windows would count as old, and what waits to be
//! sent to it would never go.
//!
//! Fails open: what it cannot judge goes on.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns},
    programs::SkBuffContext,
};
use gateway_common::abi::splice::SpliceCount;

use crate::{
    count::count_splice,
    maps::{FORWARDED, STREAMS},
};

/// Time between two segments that go through while too much is hidden: the largest segments, at that
/// pace, are what a worker is late by on a busy host, and no more.
const INTERVAL_NS: u64 = 1_000_000;

/// Length of a segment that goes on, or nothing.
#[inline]
pub(crate) fn try_shed(ctx: &SkBuffContext) -> u32 {
    let length = ctx.len();
    // SAFETY: the context is a socket buffer of a socket.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: `splice` writes it under the socket's lock; a value a moment old is as good.
    let stream = unsafe { STREAMS.get(cookie) };
    // SAFETY: the agent replaces the value as a whole.
    let agent = unsafe { FORWARDED.get(cookie) };
    let (Some(stream), Some(agent)) = (stream, agent) else {
        return length;
    };
    if !stream.hides_too_much(agent.budget) {
        return length;
    }
    let Some(seq) = seq_of_payload(ctx, length) else {
        return length;
    };
    // SAFETY: reads a clock.
    let now = unsafe { bpf_ktime_get_ns() };
    let in_order = stream.next.wrapping_sub(seq).cast_signed() >= 0;
    if in_order && now.wrapping_sub(stream.hidden_at) >= INTERVAL_NS {
        return length;
    }
    count_splice(SpliceCount::Shed);
    0
}

/// Sequence number of the first byte behind the TCP header, with which the buffer begins; none if there
/// is no such byte.
#[inline]
fn seq_of_payload(ctx: &SkBuffContext, length: u32) -> Option<u32> {
    /// Place of the sequence number, and that of the header's length, in the upper half of its byte, in
    /// units of four bytes (RFC 9293, 3.1).
    const SEQ: usize = 4;
    const DATA_OFFSET: usize = 12;
    let seq = u32::from_be(ctx.load::<u32>(SEQ).ok()?);
    let header = u32::from(ctx.load::<u8>(DATA_OFFSET).ok()? >> 4) * 4;
    (length > header).then_some(seq)
}

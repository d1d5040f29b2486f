//! `shed`: segments that would only pile up -> dropped before TCP has seen them.
//!
//! Bytes that `splice` passes while others wait to be sent on the same socket are charged to nobody, so
//! no window holds their sender back until the kernel's worker has had its turn. Where that is late,
//! what comes is dropped as a full queue of a network would: unacknowledged, so that the sender sends it
//! again, slower. A segment now and then goes through, for `splice` to see whether there is need still.
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
    // SAFETY: reads a clock.
    let now = unsafe { bpf_ktime_get_ns() };
    if now.wrapping_sub(stream.hidden_at) >= INTERVAL_NS || !has_payload(ctx, length) {
        return length;
    }
    count_splice(SpliceCount::Shed);
    0
}

/// Whether there are bytes behind the TCP header, with which the buffer begins.
#[inline]
fn has_payload(ctx: &SkBuffContext, length: u32) -> bool {
    /// Place of the header's length, in its upper half, in units of four bytes.
    const DATA_OFFSET: usize = 12;
    let Ok(byte) = ctx.load::<u8>(DATA_OFFSET) else {
        return false;
    };
    length > u32::from(byte >> 4) * 4
}

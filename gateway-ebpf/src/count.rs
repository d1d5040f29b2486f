//! Counting: per-CPU, so a plain add is safe.

use gateway_common::abi::{
    counter::SteerCount,
    route::RouteStats,
    splice::{Forwarded, SpliceCount},
};

use crate::maps::{ROUTE_STATS, SPLICE_COUNTS, SPLICE_STATS, STEER_COUNTS};

/// Adds one to a counter of this CPU.
#[inline]
pub(crate) fn count(counter: SteerCount) {
    if let Some(value) = STEER_COUNTS.get_ptr_mut(counter as u32) {
        // SAFETY: the slot is this CPU's own, and a program is not preempted by itself.
        unsafe {
            *value = (*value).wrapping_add(1);
        }
    }
}

/// Changes the counts of a route on this CPU; a route whose entry the agent has not made is not counted.
#[inline]
pub(crate) fn count_route(route: u32, change: impl FnOnce(&mut RouteStats)) {
    if let Some(stats) = ROUTE_STATS.get_ptr_mut(route) {
        // SAFETY: as above; a deleted entry stays valid memory for the length of this run.
        change(unsafe { &mut *stats });
    }
}

/// Adds one to a counter of `splice` of this CPU.
#[inline]
pub(crate) fn count_splice(counter: SpliceCount) {
    add(counter, 1);
}

/// Records that a direction's backlog changed: the sum over all CPUs is what waits.
#[inline]
pub(crate) fn move_backlog(before: u64, after: u64) {
    add(SpliceCount::Backlog, after.wrapping_sub(before));
}

#[inline]
fn add(counter: SpliceCount, change: u64) {
    if let Some(value) = SPLICE_COUNTS.get_ptr_mut(counter as u32) {
        // SAFETY: as above.
        unsafe {
            *value = (*value).wrapping_add(change);
        }
    }
}

/// Counts a segment under its route and direction, redirected or passed.
#[inline]
pub(crate) fn count_stats(agent: &Forwarded, length: u64, redirected: bool) {
    let Some(stats) = SPLICE_STATS.get_ptr_mut(agent.route) else {
        return;
    };
    // SAFETY: as above; a deleted entry stays valid memory for the length of this run.
    let stats = unsafe { &mut *stats };
    let [up, down] = if redirected {
        let [up, down] = &mut stats.packets;
        let packets = if agent.direction == 0 { up } else { down };
        *packets = packets.wrapping_add(1);
        &mut stats.bytes
    } else {
        &mut stats.passed
    };
    let bytes = if agent.direction == 0 { up } else { down };
    *bytes = bytes.wrapping_add(length);
}

//! Counting: per-CPU, so a plain add is safe.

use gateway_common::abi::{counter::SteerCount, route::RouteStats};

use crate::maps::{ROUTE_STATS, STEER_COUNTS};

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

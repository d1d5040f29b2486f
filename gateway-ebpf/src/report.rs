//! Sends events up: numbers through the ring buffer, at a bounded rate; in a debug build of the object
//! also a line of text.

use aya_ebpf::{Global, helpers::bpf_ktime_get_ns, programs::SkLookupContext};
use gateway_common::abi::{
    config::EVENT_INTERVAL_NS_DEFAULT,
    counter::SteerCount,
    event::{Event, EventCode},
    steer::{Address, Family, mapped},
};

use crate::{
    count::count,
    maps::{EVENT_CLOCK, EVENTS},
    steer::{Passed, Why, field},
};

/// Least time between two events of one code from one CPU; the loader may override it.
#[unsafe(no_mangle)]
static EVENT_INTERVAL_NS: Global<u64> = Global::new(EVENT_INTERVAL_NS_DEFAULT);

/// Reports a flow of ours that was left to the kernel's own look-up.
#[inline]
pub(crate) fn steer_passed(ctx: &SkLookupContext, passed: &Passed) {
    let (code, error) = match passed.why {
        Why::NoSocket => (EventCode::NoSocket, 0),
        // No event: nothing is wrong, and while an agent replaces its program both of them run.
        Why::Taken => return,
        Why::Refused(error) => (EventCode::Refused, error),
    };
    // SAFETY: reads the time, nothing else.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    if !due(code, time_ns) {
        return count(SteerCount::EventMuted);
    }
    #[cfg(feature = "log")]
    aya_log_ebpf::warn!(
        ctx,
        "steer: {} for listener {} route {}, port {}, errno {}",
        code.name(),
        passed.target.listener,
        passed.target.route,
        passed.flow.local_port,
        error
    );
    let (remote, remote_port) = source(ctx, passed.flow.family);
    send(Event {
        time_ns,
        code: code as u16,
        local_port: passed.flow.local_port,
        error,
        listener: passed.target.listener,
        route: passed.target.route,
        local: passed.flow.local,
        remote,
        remote_port,
        padding: [0; 3],
    });
}

/// Whether enough time has passed since the last event of this code from this CPU.
#[inline]
fn due(code: EventCode, now_ns: u64) -> bool {
    let Some(last) = EVENT_CLOCK.get_ptr_mut(code as u32) else {
        return false;
    };
    // SAFETY: the slot is this CPU's own.
    unsafe {
        if now_ns.wrapping_sub(*last) < EVENT_INTERVAL_NS.load() {
            return false;
        }
        *last = now_ns;
    }
    true
}

/// Source address and port of the flow, the port in host order.
#[inline]
fn source(ctx: &SkLookupContext, family: Family) -> (Address, u16) {
    let port = u16::from_be(field!(ctx.remote_port));
    match family {
        Family::V4 => (mapped(field!(ctx.remote_ip4)), port),
        Family::V6 => (field!(ctx.remote_ip6), port),
    }
}

/// Puts an event into the ring; a full ring is counted.
#[inline]
fn send(event: Event) {
    match EVENTS.reserve::<Event>(0) {
        Some(mut entry) => {
            entry.write(event);
            entry.submit(0);
        }
        None => count(SteerCount::EventLost),
    }
}

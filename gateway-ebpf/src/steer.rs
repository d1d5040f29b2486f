//! `steer`: destination port -> port class, (class, address) -> listener and route, listener and family
//! -> socket.
//!
//! Runs for every TCP segment that no established connection takes, so the way out for ports that are
//! not ours is one array look-up. Reuseport selection stays with the kernel: the socket in the map
//! stands for its whole group.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_map_lookup_elem, bpf_sk_assign, bpf_sk_release},
    maps::lpm_trie::Key,
    programs::SkLookupContext,
};
use gateway_common::abi::{
    counter::SteerCount,
    steer::{
        Address, CLASS_BITS, CLASS_NONE, DestinationKey, Family, Target, listener_slot, mapped,
    },
};

use crate::{
    count::{count, count_route},
    maps::{DESTINATIONS, LISTENERS, PORTS},
};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const IPPROTO_TCP: u32 = 6;
const EEXIST: i64 = 17;

/// The tuple of the look-up, read once from the context.
pub(crate) struct Flow {
    pub(crate) family: Family,
    pub(crate) local: Address,
    pub(crate) local_port: u16,
}

/// A flow of ours that was not steered, with all that an event tells of it.
pub(crate) struct Passed {
    pub(crate) flow: Flow,
    pub(crate) target: Target,
    pub(crate) why: Why,
}

/// Why a matching flow was passed.
pub(crate) enum Why {
    /// The listener's slot is empty.
    NoSocket,
    /// Another sk_lookup program had chosen a socket already; its choice stands.
    Taken,
    /// The kernel's errno for the assignment, negative.
    Refused(i32),
}

/// Assigns the listener's socket to a flow of a configured destination. An error is a flow that
/// matched and could not be steered; what does not match is no error.
#[inline]
pub(crate) fn try_steer(ctx: &SkLookupContext) -> Result<(), Passed> {
    let Some((flow, class)) = ours(ctx) else {
        return Ok(());
    };
    count(SteerCount::Lookups);
    let key = Key::new(CLASS_BITS + 128, DestinationKey::new(class, flow.local));
    let Some(target) = DESTINATIONS.get(&key).copied() else {
        count(SteerCount::Elsewhere);
        return Ok(());
    };
    count_route(target.route, |stats| {
        stats.lookups = stats.lookups.wrapping_add(1)
    });
    match assign(ctx, target, flow.family) {
        Ok(()) => {
            count_route(target.route, |stats| {
                stats.steered = stats.steered.wrapping_add(1)
            });
            Ok(())
        }
        Err(why) => {
            count_route(target.route, |stats| {
                stats.passed = stats.passed.wrapping_add(1)
            });
            Err(Passed { flow, target, why })
        }
    }
}

/// Reads a field of the look-up. Volatile: left alone, the compiler joins the reads of two branches into
/// one read at a computed place, and the verifier refuses pointers into the context.
macro_rules! field {
    ($ctx:ident.$field:ident) => {
        // SAFETY: the kernel hands a valid context for the length of the run.
        unsafe { core::ptr::read_volatile(&raw const (*$ctx.lookup).$field) }
    };
}
pub(crate) use field;

/// The flow and its port class, for TCP to a port that has one.
#[inline]
fn ours(ctx: &SkLookupContext) -> Option<(Flow, u16)> {
    if field!(ctx.protocol) != IPPROTO_TCP {
        return None;
    }
    // The kernel's field is 32 bits wide and holds a port in host order.
    let local_port = u16::try_from(field!(ctx.local_port)).ok()?;
    let class = PORTS.get(u32::from(local_port)).copied()?;
    if class == CLASS_NONE {
        return None;
    }
    let (family, local) = match field!(ctx.family) {
        AF_INET => (Family::V4, mapped(field!(ctx.local_ip4))),
        AF_INET6 => (Family::V6, field!(ctx.local_ip6)),
        _ => return None,
    };
    Some((
        Flow {
            family,
            local,
            local_port,
        },
        class,
    ))
}

/// Looks the listener's socket up and assigns it.
#[inline]
fn assign(ctx: &SkLookupContext, target: Target, family: Family) -> Result<(), Why> {
    let slot = listener_slot(target.listener, family).ok_or(Why::NoSocket)?;
    // SAFETY: the map is a sockmap with 32-bit keys; a socket that is found is held until released.
    let socket =
        unsafe { bpf_map_lookup_elem(LISTENERS.as_ptr(), core::ptr::from_ref(&slot).cast()) };
    if socket.is_null() {
        count(SteerCount::NoSocket);
        return Err(Why::NoSocket);
    }
    // SAFETY: `socket` is held. No flags: another program's choice stands, reuseport works.
    let answer = unsafe { bpf_sk_assign(ctx.as_ptr(), socket, 0) };
    // SAFETY: gives back the reference of the look-up, once.
    unsafe {
        bpf_sk_release(socket);
    }
    match answer {
        0 => {
            count(SteerCount::Steered);
            Ok(())
        }
        error if error == -EEXIST => {
            count(SteerCount::Taken);
            Err(Why::Taken)
        }
        error => {
            count(SteerCount::Refused);
            Err(Why::Refused(i32::try_from(error).unwrap_or(i32::MIN)))
        }
    }
}

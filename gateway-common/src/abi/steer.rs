//! How `steer` classifies a new flow: destination port -> port class, then (port class, destination
//! address) -> listener and route.
//!
//! Ports come in ranges and a trie matches prefixes only, so the agent cuts the port space into
//! classes of ports that have the same destinations, and the trie's key begins with the class.

use super::plain;

/// The class of ports that no destination mentions: the program passes at once.
pub const CLASS_NONE: u16 = 0;

/// An IPv4 (as `::ffff:a.b.c.d`) or IPv6 address. Words in network order: their bytes in memory are
/// the address. Words, because byte arrays cost the kernel half a shift and a store for each byte.
pub type Address = [u32; 4];

/// Bits of [`DestinationKey`] that come before the address.
pub const CLASS_BITS: u32 = 32;

/// Key of `DESTINATIONS`, behind the trie's own prefix length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationKey {
    /// Port class in network order (a trie compares from the first byte on), widened so that the
    /// address is aligned; matched whole always.
    pub class_be: u32,
    /// Destination address.
    pub address: Address,
}

impl DestinationKey {
    /// Builds the key of an address within a port class.
    #[inline]
    pub const fn new(class: u16, address: Address) -> Self {
        Self {
            class_be: (class as u32).to_be(),
            address,
        }
    }

    /// The port class of this key; none when no port can have it.
    #[inline]
    pub fn class(&self) -> Option<u16> {
        u16::try_from(u32::from_be(self.class_be)).ok()
    }
}

/// Value of `DESTINATIONS`: where a matching flow goes and what it is counted under.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Listener id, see [`listener_slot`].
    pub listener: u32,
    /// Route id, key of `ROUTES`, `ROUTE_STATS` and `ROUTE_ACCEPTS`.
    pub route: u32,
}

/// Which of a listener's two sockets takes the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Index in `LISTENERS` of a listener's socket for a family; none when the id is out of range.
#[inline]
pub const fn listener_slot(listener: u32, family: Family) -> Option<u32> {
    let offset = match family {
        Family::V4 => 0,
        Family::V6 => 1,
    };
    match listener.checked_mul(2) {
        Some(first) => first.checked_add(offset),
        None => None,
    }
}

/// An IPv4 address, in network order, as the trie holds it: `::ffff:a.b.c.d`.
#[inline]
pub const fn mapped(v4_be: u32) -> Address {
    [0, 0, 0x0000_ffff_u32.to_be(), v4_be]
}

plain!(DestinationKey: 20, Target: 8);

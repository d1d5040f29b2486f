//! Routes and listeners: their names, written by the agent for people, and their counts.
//!
//! Names and counts are separate maps because they have separate writers, and the kernel's counts are
//! per CPU while the agent's are not.

use super::plain;

/// Bytes for a datacenter's name; Consul allows 63 and a terminator is not needed.
pub const DATACENTER_BYTES: usize = 64;

/// Bytes for a service's name: the longest DNS name is 253.
pub const SERVICE_BYTES: usize = 256;

/// Bytes for a listener's name.
pub const LISTENER_BYTES: usize = 64;

/// Value of `ROUTES`: what a route id stands for. Names are UTF-8, padded with zero bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteName {
    /// Datacenter of the destination.
    pub datacenter: [u8; DATACENTER_BYTES],
    /// Service, or the name of a static route.
    pub service: [u8; SERVICE_BYTES],
    /// No flag is defined yet: zero.
    pub flags: u32,
}

/// Value of `LISTENER_NAMES`: what a listener id stands for. UTF-8, padded with zero bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerName {
    /// Name of the listener in the configuration.
    pub name: [u8; LISTENER_BYTES],
}

/// Value of `ROUTE_STATS`, per CPU: what the kernel did with flows of a route. Written by programs
/// only, after the agent made the entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteStats {
    /// Socket look-ups that matched. More than connections: stray segments are looked up too.
    pub lookups: u64,
    /// Look-ups handed to a listener's socket.
    pub steered: u64,
    /// Look-ups passed: the listener had no socket, the kernel refused it, or another program had
    /// chosen one.
    pub passed: u64,
}

/// Value of `ROUTE_ACCEPTS`: what the agent accepted under a route. Written by the agent only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteAccepts {
    /// Connections accepted.
    pub connections: u64,
    /// Payload bytes from clients to servers, of closed connections.
    pub upstream_bytes: u64,
    /// Payload bytes from servers to clients, of closed connections.
    pub downstream_bytes: u64,
}

/// Copies `text` into a zero-padded array; none when it does not fit.
pub fn padded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    bytes
        .get_mut(..text.len())?
        .copy_from_slice(text.as_bytes());
    Some(bytes)
}

/// The text of a zero-padded array; none when it is not UTF-8.
pub fn unpadded(bytes: &[u8]) -> Option<&str> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    core::str::from_utf8(bytes.get(..end)?).ok()
}

plain!(RouteName: 324, ListenerName: 64, RouteStats: 24, RouteAccepts: 24);

#[cfg(test)]
mod tests {
    use super::{padded, unpadded};

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert_eq!(padded::<4>("five5"), None);
    }

    #[test]
    fn a_name_that_fills_the_array_comes_back_whole() {
        assert_eq!(unpadded(&padded::<4>("four").unwrap()), Some("four"));
    }

    #[test]
    fn bytes_that_are_no_text_have_no_name() {
        assert_eq!(unpadded(&[0xff, 0xfe]), None);
    }
}

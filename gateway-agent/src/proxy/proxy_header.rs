//! The PROXY protocol, versions 1 and 2, in and out; parsed and written by the `ppp` crate.
//!
//! A header is only looked for where the configuration trusts the source. What is taken off and
//! what is sent are offsets in the two streams, and the record keeps both.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ppp::{HeaderResult, PartialResult as _, v1, v2};

use crate::control::snapshot::ProxyVersion;

/// First bytes of a version 1 header (PROXY protocol specification, section 2.1).
const V1_PREFIX: &[u8] = b"PROXY ";
/// Longest version 1 header, line end included (section 2.1).
const V1_MAX: usize = 107;
/// First bytes of a version 2 header (section 2.2).
const V2_PREFIX: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a trusted connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Too few bytes to tell.
    Incomplete,
    /// No PROXY header.
    Absent,
    /// A header that does not parse.
    Invalid,
    /// A header of so many bytes. `None`: it announces no TCP client (`LOCAL`, `UNKNOWN`), and the
    /// connection counts as the balancer's own.
    Header {
        length: usize,
        announced: Option<Announced>,
    },
}

/// The addresses that a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Looks for a PROXY header at the start of `bytes`.
pub(super) fn find(bytes: &[u8]) -> Found {
    let begins = |prefix: &[u8]| bytes.iter().zip(prefix).all(|(a, b)| a == b);
    if !begins(V1_PREFIX) && !begins(V2_PREFIX) {
        return Found::Absent;
    }
    if bytes.len() < V1_PREFIX.len() {
        return Found::Incomplete;
    }
    if begins(V1_PREFIX) && !bytes.iter().take(V1_MAX).any(|byte| *byte == b'\n') {
        // The crate takes some cuts through a line for errors: it gets whole lines only.
        return if bytes.len() < V1_MAX {
            Found::Incomplete
        } else {
            Found::Invalid
        };
    }
    match HeaderResult::parse(bytes) {
        parsed @ HeaderResult::V2(_) if parsed.is_incomplete() => Found::Incomplete,
        HeaderResult::V1(Ok(header)) => Found::Header {
            length: header.header.len(),
            announced: announced_v1(&header.addresses),
        },
        HeaderResult::V2(Ok(header)) => Found::Header {
            length: header.len(),
            announced: match header.command {
                v2::Command::Local => None,
                v2::Command::Proxy => announced_v2(&header),
            },
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Found::Invalid,
    }
}

fn announced_v1(addresses: &v1::Addresses) -> Option<Announced> {
    match addresses {
        v1::Addresses::Tcp4(a) => announced(
            (a.source_address.into(), a.source_port),
            (a.destination_address.into(), a.destination_port),
        ),
        v1::Addresses::Tcp6(a) => announced(
            (a.source_address.into(), a.source_port),
            (a.destination_address.into(), a.destination_port),
        ),
        v1::Addresses::Unknown => None,
    }
}

fn announced_v2(header: &v2::Header<'_>) -> Option<Announced> {
    match &header.addresses {
        v2::Addresses::IPv4(a) => announced(
            (a.source_address.into(), a.source_port),
            (a.destination_address.into(), a.destination_port),
        ),
        v2::Addresses::IPv6(a) => announced(
            (a.source_address.into(), a.source_port),
            (a.destination_address.into(), a.destination_port),
        ),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    }
}

fn announced(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Option<Announced> {
    let address = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Some(Announced {
        source: address(source),
        destination: address(destination),
    })
}

/// Writes the header that tells an endpoint who the client is and where it connected to; version
/// 2 also carries the server name (`PP2_TYPE_AUTHORITY`, section 2.2.2).
///
/// # Errors
/// When the crate refuses to build it, which addresses and names of legal length do not cause.
pub(super) fn build(
    version: ProxyVersion,
    source: SocketAddr,
    destination: SocketAddr,
    server_name: Option<&str>,
) -> io::Result<Vec<u8>> {
    let (source, destination) = one_family(source, destination);
    match version {
        ProxyVersion::V1 => {
            let addresses: v1::Addresses = (source, destination).into();
            Ok(addresses.to_string().into_bytes())
        }
        ProxyVersion::V2 => {
            let addresses: v2::Addresses = (source, destination).into();
            let builder = v2::Builder::with_addresses(
                v2::Version::Two | v2::Command::Proxy,
                v2::Protocol::Stream,
                addresses,
            );
            match server_name {
                Some(name) => builder
                    .write_tlv(v2::Type::Authority, name.as_bytes())?
                    .build(),
                None => builder.build(),
            }
        }
    }
}

/// A header has one address family: where the two differ (a header from the front announced
/// another family than ours), the IPv4 one is written as a mapped IPv6 address.
fn one_family(a: SocketAddr, b: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |s: SocketAddr| SocketAddr::new(s.ip().to_canonical(), s.port());
    let (a, b) = (canonical(a), canonical(b));
    if a.is_ipv4() == b.is_ipv4() {
        return (a, b);
    }
    let wide = |s: SocketAddr| {
        let ip: Ipv6Addr = match s.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        SocketAddr::new(ip.into(), s.port())
    };
    (wide(a), wide(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: ProxyVersion, source: &str, destination: &str) -> Vec<u8> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        build(version, source, destination, Some("web.example.com")).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_at_every_cut() {
        for (source, destination) in [
            ("192.0.2.1:1234", "198.51.100.7:443"),
            ("[2001:db8::1]:1234", "[2001:db8::2]:443"),
        ] {
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let mut bytes = header(version, source, destination);
                let length = bytes.len();
                bytes.extend_from_slice(b"\x16\x03\x01 and what follows");
                for cut in 0..length {
                    assert_eq!(
                        find(&bytes[..cut]),
                        Found::Incomplete,
                        "{version:?} at {cut}"
                    );
                }
                let announced = Announced {
                    source: source.parse().unwrap(),
                    destination: destination.parse().unwrap(),
                };
                let expected = Found::Header {
                    length,
                    announced: Some(announced),
                };
                assert_eq!(find(&bytes), expected, "{version:?}");
                assert_eq!(find(&bytes[..length]), expected, "{version:?}");
            }
        }
    }

    #[test]
    fn tls_is_no_proxy_header() {
        assert_eq!(find(b"\x16\x03\x01\x02\x00"), Found::Absent);
        assert_eq!(find(b"PROXIMITY"), Found::Absent);
    }

    #[test]
    fn nonsense_behind_a_good_start_is_invalid() {
        assert_eq!(find(b"PROXY TCP4 1.2.3.4 nonsense 1 2\r\n"), Found::Invalid);
        let mut bytes = header(ProxyVersion::V2, "192.0.2.1:1", "192.0.2.2:2");
        bytes[12] = 0x31; // version 3
        assert_eq!(find(&bytes), Found::Invalid);
        // A whole line with too little in it: no more bytes would help.
        assert_eq!(find(b"PROXY TCP4 192.0.2.1\r\n"), Found::Invalid);
        assert_eq!(find(b"PROXY \r\n"), Found::Invalid);
        assert_eq!(
            find(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"),
            Found::Invalid
        );
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        assert_eq!(find(&long), Found::Invalid);
    }

    #[test]
    fn local_and_unknown_announce_nobody() {
        assert!(matches!(
            find(b"PROXY UNKNOWN\r\n"),
            Found::Header {
                length: 15,
                announced: None
            }
        ));
        let mut bytes = header(ProxyVersion::V2, "192.0.2.1:1", "192.0.2.2:2");
        bytes[12] = 0x20;
        assert!(matches!(
            find(&bytes),
            Found::Header {
                announced: None,
                ..
            }
        ));
    }

    #[test]
    fn mixed_families_become_mapped_addresses() {
        let bytes = header(ProxyVersion::V1, "192.0.2.1:1", "[2001:db8::2]:2");
        assert!(
            bytes.starts_with(b"PROXY TCP6 ::ffff:"),
            "{}",
            bytes.escape_ascii()
        );
    }
}

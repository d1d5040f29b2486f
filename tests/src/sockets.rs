//! The TCP sockets of a namespace as the kernel accounts for them, whoever owns them.
//!
//! By `NETLINK_SOCK_DIAG` (sock_diag(7)), so that no program of the system is needed: what arrived at a
//! socket, what it was given to send, and the memory that it is charged with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::netns::Namespace;
use crate::topology::Family;

/// A TCP socket that is no listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's.
    pub remote: SocketAddr,
    /// Bytes that have arrived in order, read or not.
    pub arrived: u64,
    /// Bytes that it was given to send; the SYN may count as one.
    pub given: u64,
    /// Memory that its receive buffer is charged with, the kernel's overhead included.
    pub receive_charge: u64,
    /// The same of its send buffer.
    pub send_charge: u64,
    /// What its receive buffer takes.
    pub receive_limit: u64,
    /// The same of its send buffer.
    pub send_limit: u64,
}

/// Every TCP socket of one family in `namespace`, listeners aside.
pub fn list(namespace: &Namespace, family: Family) -> Result<Vec<Socket>> {
    let netlink = open(namespace)?;
    let request = request(family);
    let sent = rustix::net::send(&netlink, &request, SendFlags::empty());
    ensure!(
        sent.context("cannot ask for sockets")? == request.len(),
        "half a request for sockets was sent"
    );
    let mut sockets = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, _) = rustix::net::recv(&netlink, &mut *buffer, RecvFlags::empty())
            .context("cannot read the list of sockets")?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let length = word(rest, 0)? as usize;
            let message = rest.get(HEADER..length).context("a cut message")?;
            match half(rest, 4)? {
                DONE => return Ok(sockets),
                ERROR => anyhow::bail!("the kernel refused: {}", word(message, 0)?.cast_signed()),
                _ => sockets.push(parse(message)?),
            }
            rest = rest.get(padded(length)..).unwrap_or_default();
        }
    }
}

/// Sockets of any kind that a namespace has, those included that are closed and not yet freed.
pub fn used(namespace: &Namespace) -> Result<u64> {
    let _inside = namespace.enter()?;
    let text = std::fs::read_to_string("/proc/thread-self/net/sockstat")?;
    let count = text.strip_prefix("sockets: used ");
    let count = count.and_then(|rest| rest.lines().next());
    Ok(count.context("no count of sockets")?.trim().parse()?)
}

fn open(namespace: &Namespace) -> Result<OwnedFd> {
    let _inside = namespace.enter()?;
    rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .context("cannot open a netlink socket")
}

/// Bytes of a message's header, of `struct inet_diag_msg`, and of an attribute's header.
const HEADER: usize = 16;
const MESSAGE: usize = 72;
const ATTRIBUTE: usize = 4;

/// Types of messages and attributes (linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
const INFO: u16 = 2;
const MEMORY: u16 = 7;

/// Asks for all states but `TCP_LISTEN`, with `tcp_info` and the charges.
fn request(family: Family) -> Vec<u8> {
    const REQUEST_AND_DUMP: u16 = 1 | 0x300;
    const LISTEN: u32 = 10;
    let body = 56;
    let mut bytes = Vec::with_capacity(HEADER + body);
    bytes.extend(72_u32.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([
        match family {
            Family::V4 => 2,
            Family::V6 => 10,
        },
        // IPPROTO_TCP
        6,
        1 << (INFO - 1) | 1 << (MEMORY - 1),
        0,
    ]);
    bytes.extend((!(1_u32 << LISTEN)).to_ne_bytes());
    bytes.resize(HEADER + body, 0);
    bytes
}

fn parse(message: &[u8]) -> Result<Socket> {
    let address = |port: usize, at: usize| -> Result<SocketAddr> {
        let port = u16::from_be_bytes(bytes(message, port)?);
        let ip = if message.first() == Some(&2) {
            IpAddr::V4(Ipv4Addr::from(bytes::<4>(message, at)?))
        } else {
            IpAddr::V6(Ipv6Addr::from(bytes::<16>(message, at)?))
        };
        Ok(SocketAddr::new(ip, port))
    };
    let mut socket = Socket {
        local: address(4, 8)?,
        remote: address(6, 24)?,
        arrived: 0,
        given: word(message, 60)?.into(),
        receive_charge: 0,
        send_charge: 0,
        receive_limit: 0,
        send_limit: 0,
    };
    let mut rest = message.get(MESSAGE..).unwrap_or_default();
    while rest.len() >= ATTRIBUTE {
        let length = usize::from(half(rest, 0)?);
        let value = rest.get(ATTRIBUTE..length).context("a cut attribute")?;
        match half(rest, 2)? {
            // `tcpi_bytes_acked` and `tcpi_bytes_received`.
            INFO => {
                socket.given += u64::from_ne_bytes(bytes(value, 120)?);
                socket.arrived = u64::from_ne_bytes(bytes(value, 128)?);
            }
            // `SK_MEMINFO_RMEM_ALLOC`, `SK_MEMINFO_BACKLOG`; `SK_MEMINFO_WMEM_QUEUED`; `SK_MEMINFO_RCVBUF`;
            // `SK_MEMINFO_SNDBUF`.
            MEMORY => {
                socket.receive_charge = u64::from(word(value, 0)?) + u64::from(word(value, 28)?);
                socket.send_charge = word(value, 20)?.into();
                socket.receive_limit = word(value, 4)?.into();
                socket.send_limit = word(value, 12)?.into();
            }
            _ => {}
        }
        rest = rest.get(padded(length)..).unwrap_or_default();
    }
    Ok(socket)
}

/// Messages and attributes begin at multiples of four.
const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Result<[u8; N]> {
    let found = from.get(at..at + N).context("a cut answer")?;
    Ok(found.try_into()?)
}

fn word(from: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_ne_bytes(bytes(from, at)?))
}

fn half(from: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_ne_bytes(bytes(from, at)?))
}

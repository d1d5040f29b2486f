//! Local routes: what makes a destination prefix end at this host, so that the kernel looks for a socket
//! and `steer` runs. The same as `ip route add local PREFIX dev lo table local proto 199 metric N`.
//!
//! Protocol number 199 marks routes of culvert (nothing in `rt_protos` uses it), the metric marks the
//! instance: a hash of its name. So gateways on one host can claim the same prefix for different ports
//! without taking each other's route away, and what a killed agent left is found again.
//!
//! Blocking netlink: requests here are few, and the kernel answers them within the system call.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;
use rtnetlink::{
    RouteMessageBuilder,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer,
        NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use super::BpfError;

/// `rtm_protocol` of every route that culvert makes.
pub const PROTOCOL: u8 = 199;

/// `RT_TABLE_LOCAL`.
const TABLE_LOCAL: u32 = 255;

/// A local route of culvert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalRoute {
    /// The prefix that ends at this host.
    pub prefix: IpNet,
    /// Which instance made it: a hash of its name.
    pub metric: u32,
}

/// The metric that marks an instance's routes: not 0, which the kernel replaces by a default.
pub(crate) fn metric(instance: &str) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(instance.as_bytes()).to_be_bytes();
    u32::from_be_bytes([a, b, c, d]).max(1)
}

/// Every local route of any instance in this thread's network namespace. Needs no privilege.
pub fn list() -> Result<Vec<LocalRoute>, BpfError> {
    let failed = |source| BpfError::LocalRoute {
        prefix: None,
        operation: "list",
        source,
    };
    let mut socket = Netlink::open().map_err(failed)?;
    let mut routes = socket.list().map_err(failed)?;
    routes.sort();
    Ok(routes)
}

/// Adds a route; one that is there is fine.
pub(crate) fn add(route: &LocalRoute) -> Result<(), BpfError> {
    let request = RouteNetlinkMessage::NewRoute(message(route, loopback("add", route)?));
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    tell("add", route, request, flags, Errno::EXIST)
}

/// Removes a route; one that is gone is fine.
pub(crate) fn remove(route: &LocalRoute) -> Result<(), BpfError> {
    let request = RouteNetlinkMessage::DelRoute(message(route, loopback("remove", route)?));
    tell("remove", route, request, 0, Errno::SRCH)
}

fn tell(
    operation: &'static str,
    route: &LocalRoute,
    request: RouteNetlinkMessage,
    flags: u16,
    fine: Errno,
) -> Result<(), BpfError> {
    match Netlink::open().and_then(|mut socket| socket.request(request, flags)) {
        Err(error) if Errno::from_io_error(&error) == Some(fine) => Ok(()),
        done => done.map_err(|source| failed(operation, route, source)),
    }
}

fn failed(operation: &'static str, route: &LocalRoute, source: io::Error) -> BpfError {
    BpfError::LocalRoute {
        prefix: Some(route.prefix),
        operation,
        source,
    }
}

/// Index of `lo`, which must be up for the route to work; the kernel refuses it otherwise.
fn loopback(operation: &'static str, route: &LocalRoute) -> Result<u32, BpfError> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    );
    socket
        .and_then(|socket| rustix::net::netdevice::name_to_index(socket, "lo"))
        .map_err(|error| failed(operation, route, error.into()))
}

fn message(route: &LocalRoute, loopback: u32) -> RouteMessage {
    let builder = RouteMessageBuilder::<IpAddr>::new()
        .table_id(TABLE_LOCAL)
        .protocol(RouteProtocol::Other(PROTOCOL))
        .kind(RouteType::Local)
        .output_interface(loopback)
        .priority(route.metric);
    // IPv6 knows no scopes.
    let scope = if route.prefix.addr().is_ipv4() {
        RouteScope::Host
    } else {
        RouteScope::Universe
    };
    let (address, bits) = (route.prefix.network(), route.prefix.prefix_len());
    match builder.scope(scope).destination_prefix(address, bits) {
        Ok(builder) => builder.build(),
        // Only for lengths beyond the family's, which a prefix cannot have.
        Err(_) => RouteMessage::default(),
    }
}

/// What a route of the kernel's is to us; none for anybody else's.
fn ours(message: &RouteMessage) -> Option<LocalRoute> {
    let header = &message.header;
    if header.protocol != RouteProtocol::Other(PROTOCOL) || header.kind != RouteType::Local {
        return None;
    }
    let mut metric = 0;
    let mut address = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => address = (*v4).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => address = (*v6).into(),
            _ => {}
        }
    }
    let prefix = IpNet::new(address, header.destination_prefix_length).ok()?;
    Some(LocalRoute { prefix, metric })
}

/// A netlink socket in this thread's network namespace.
struct Netlink {
    socket: Socket,
}

impl Netlink {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Lets the kernel filter dumps (Linux 4.20): a host may carry a million routes. Without it the
        // answer is longer, and filtered here all the same.
        if let Err(error) = socket.set_netlink_get_strict_chk(true) {
            tracing::debug!(%error, "route dumps are not filtered by the kernel");
        }
        Ok(Self { socket })
    }

    fn list(&mut self) -> io::Result<Vec<LocalRoute>> {
        let mut routes = Vec::new();
        for request in [
            RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .get_mut()
                .clone(),
            RouteMessageBuilder::<Ipv6Addr>::new().get_mut().clone(),
        ] {
            let mut request = request;
            // A dump asks by family, table, protocol and type; anything else is refused.
            request.header.table = 0;
            request.header.scope = RouteScope::Universe;
            request.header.protocol = RouteProtocol::Other(PROTOCOL);
            request.header.kind = RouteType::Local;
            request.attributes = vec![RouteAttribute::Table(TABLE_LOCAL)];
            self.send(RouteNetlinkMessage::GetRoute(request), NLM_F_DUMP)?;
            self.receive(|message| {
                if let RouteNetlinkMessage::NewRoute(route) = message {
                    routes.extend(ours(&route));
                }
            })?;
        }
        Ok(routes)
    }

    fn request(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(request, flags | NLM_F_ACK)?;
        self.receive(|_| {})
    }

    fn send(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Takes messages until the kernel says that it is done.
    fn receive(&mut self, mut take: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let length = NetlinkBuffer::new_checked(rest)
                    .map_err(io::Error::other)?
                    .length();
                let message = NetlinkMessage::deserialize(rest).map_err(io::Error::other)?;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => {
                        return if error.code.is_some() {
                            Err(error.to_io())
                        } else {
                            Ok(())
                        };
                    }
                    NetlinkPayload::InnerMessage(message) => take(message),
                    _ => {}
                }
                // Messages are padded to four bytes.
                let next = (length as usize).next_multiple_of(4).min(rest.len());
                rest = rest.get(next..).unwrap_or_default();
            }
        }
    }
}

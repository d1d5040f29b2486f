//! Second step: buffer the hello, under a deadline and a byte cap.
//!
//! The bytes are read, not peeked: a peeked socket stays readable and a wait for more would spin,
//! and an engine wants the receive queue empty. What was read is forwarded first, by whichever
//! engine takes over. A silent client costs one timer and no buffer.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gateway_common::wire::{ClientHello, HelloReader, Progress};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::close::CloseReason;
use super::connection::{Accepted, Connection, Ended, Gateway};
use super::ja4;
use super::proxy_header::{self, Found};
use super::record::HelloFacts;
use crate::control::Snapshot;
use crate::drain::Watch;

/// A connection whose hello is read.
#[derive(Debug)]
pub(super) struct Greeted {
    connection: Box<Connection>,
    snapshot: Arc<Snapshot>,
    first_bytes: Bytes,
}

impl Greeted {
    /// The connection, the snapshot that it is routed with, and all bytes read that belong to the
    /// stream: the hello and what came right behind it.
    pub(super) fn into_parts(self) -> (Box<Connection>, Arc<Snapshot>, Bytes) {
        (self.connection, self.snapshot, self.first_bytes)
    }
}

/// Reads a PROXY header, where the source is trusted with one, and the hello.
///
/// # Errors
/// Every reason for which no routable hello arrives in time.
pub(super) async fn greet(gateway: &Gateway, accepted: Accepted) -> Result<Greeted, Ended> {
    let (mut connection, snapshot) = accepted.into_parts();
    let deadline = connection.accepted + connection.limits.hello_timeout;
    let mut inbox = Inbox::default();
    let read = tokio::time::timeout_at(deadline, read_greeting(&mut connection, &mut inbox));
    let read = read.await.unwrap_or(Err(CloseReason::HelloTimeout));
    connection.record.received = inbox.bytes.len() as u64;
    match read {
        Ok(facts) => {
            let took = connection.age();
            gateway.tell(|observer| observer.greeted(facts.bytes, took));
            connection.record.hello_took = Some(took);
            connection.record.hello = Some(facts);
            Ok(Greeted {
                connection,
                snapshot,
                // Kept for the connection's life, so without the room they were read into.
                first_bytes: Bytes::copy_from_slice(&inbox.bytes),
            })
        }
        Err(reason) => Err(connection.end(reason)),
    }
}

/// The two parts of what comes before the stream proper. Leaves in `inbox` only the stream.
async fn read_greeting(
    connection: &mut Connection,
    inbox: &mut Inbox,
) -> Result<HelloFacts, CloseReason> {
    let peer = connection.record.peer.ip();
    let proxy = connection
        .listener
        .accept_proxy
        .as_ref()
        .filter(|proxy| proxy.covers(peer));
    if let Some(required) = proxy.map(|proxy| proxy.required) {
        read_proxy_header(connection, inbox, required).await?;
    }
    read_hello(connection, inbox).await
}

async fn read_proxy_header(
    connection: &mut Connection,
    inbox: &mut Inbox,
    required: bool,
) -> Result<(), CloseReason> {
    loop {
        match proxy_header::find(&inbox.bytes) {
            Found::Absent if required => return Err(CloseReason::ProxyHeaderMissing),
            Found::Absent => return Ok(()),
            Found::Invalid => return Err(CloseReason::ProxyHeaderInvalid),
            Found::Incomplete => inbox.read_more(connection).await?,
            Found::Header { length, announced } => {
                let _header = inbox.bytes.split_to(length);
                connection.record.stripped = u32::try_from(length).unwrap_or(u32::MAX);
                if let Some(announced) = announced {
                    connection.record.source = announced.source;
                    connection.record.destination = announced.destination;
                }
                return Ok(());
            }
        }
    }
}

async fn read_hello(
    connection: &mut Connection,
    inbox: &mut Inbox,
) -> Result<HelloFacts, CloseReason> {
    let mut reader = HelloReader::new(connection.limits.hello_size);
    let mut scratch = Vec::new();
    loop {
        match reader.advance(&inbox.bytes, &mut scratch) {
            Ok(Progress::Complete(hello)) => return Ok(facts(&hello)),
            Ok(Progress::Scratch { need }) => scratch.resize(need, 0),
            Ok(Progress::Incomplete { need }) => {
                while inbox.bytes.len() < need {
                    inbox.read_more(connection).await?;
                }
            }
            Err(error) => return Err(CloseReason::Hello(error)),
        }
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Inbox {
    bytes: BytesMut,
    /// Whether anything came at all, a PROXY header included.
    heard: bool,
}

/// What a read makes room for: a post-quantum hello of some 1,800 bytes fits twice.
const ROOM: usize = 4096;

impl Inbox {
    /// Waits for more bytes. Waits without a buffer, so that silent clients cost none.
    async fn read_more(&mut self, connection: &mut Connection) -> Result<(), CloseReason> {
        let Connection { client, drain, .. } = connection;
        if self.bytes.capacity() == self.bytes.len() {
            wait_readable(client, drain).await?;
            self.bytes.reserve(ROOM);
        }
        let read = tokio::select! {
            read = client.read_buf(&mut self.bytes) => read,
            () = drain.expired() => return Err(CloseReason::Drained),
        };
        match read {
            Ok(0) if self.heard => Err(CloseReason::HelloCutShort),
            Ok(0) => Err(CloseReason::BareConnect),
            Ok(_) => {
                self.heard = true;
                Ok(())
            }
            // A check that ends with RST instead of FIN is a check all the same.
            Err(_) if !self.heard => Err(CloseReason::BareConnect),
            Err(error) => Err(read_failure(&error)),
        }
    }
}

/// Waits until the client said something. `Err` only for the drain's end: a failed wait shows up
/// in the read that follows.
async fn wait_readable(client: &TcpStream, drain: &mut Watch) -> Result<(), CloseReason> {
    tokio::select! {
        _ready = client.readable() => Ok(()),
        () = drain.expired() => Err(CloseReason::Drained),
    }
}

fn read_failure(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset => CloseReason::ClientReset,
        _ => CloseReason::ClientLost,
    }
}

/// Takes out of a hello what outlives its bytes.
fn facts(hello: &ClientHello<'_>) -> HelloFacts {
    /// Values of the form 0x?A?A with equal halves are GREASE (RFC 8701).
    fn is_grease(value: u16) -> bool {
        value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
    }
    let offered = hello
        .supported_versions()
        .filter(|version| !is_grease(*version))
        .max();
    HelloFacts {
        server_name: hello.server_name().map(|name| name.as_str().into()),
        alpn: hello
            .alpn()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect(),
        version: offered.unwrap_or_else(|| hello.legacy_version()),
        ech: hello.ech().is_some(),
        post_quantum: hello.has_post_quantum(),
        ja4: ja4::fingerprint(hello),
        bytes: u32::try_from(hello.wire_len()).unwrap_or(u32::MAX),
        records: hello.record_count(),
    }
}

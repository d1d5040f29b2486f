//! A connection folded up: what cannot be had from elsewhere, and nothing twice.
//!
//! The registry has the addresses, the names and the endpoint of every open connection, so the record
//! gives its own copies up. Every field is named on the way in and on the way out: a new one breaks both
//! places, and must be kept or be found again.

use core::num::NonZeroU32;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::authorize::Admitted;
use super::super::connection::Connection;
use super::super::ja4::Ja4;
use super::super::permits::Permit;
use super::super::record::{ConnectionRecord, HelloFacts};
use super::super::registry::{Live, Registration};
use super::super::splice::Resting;
use super::super::splice::sockmap::Rest;
use crate::control::cluster::ActiveGuard;
use crate::control::routes::MatchKind;
use crate::control::snapshot::{EnginePreference, Limits, Listener};
use crate::control::uses::Use;
use crate::drain::Watch;

/// Both sockets, away from the runtime.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) client: OwnedFd,
    pub(super) upstream: OwnedFd,
}

impl Sockets {
    /// The same sockets by other descriptors: should they not find a place, nothing is lost.
    ///
    /// # Errors
    /// Too many descriptors.
    pub(super) fn of(resting: &Resting) -> io::Result<Self> {
        let connection = &resting.admitted.connection;
        Ok(Self {
            client: connection.client.as_fd().try_clone_to_owned()?,
            upstream: resting.upstream.as_fd().try_clone_to_owned()?,
        })
    }

    /// The same sockets with the runtime.
    ///
    /// # Errors
    /// Too many descriptors, or the runtime takes no more of them.
    fn streams(&self) -> io::Result<[TcpStream; 2]> {
        let stream = |socket: &OwnedFd| TcpStream::from_std(socket.try_clone()?.into());
        Ok([stream(&self.client)?, stream(&self.upstream)?])
    }
}

/// A connection that is left alone, with all that it needs to go on.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) sockets: Sockets,
    pub(super) registration: Registration,
    pub(super) rest: Rest,
    limits: Arc<Limits>,
    engine: Arc<EnginePreference>,
    listener: Arc<Listener>,
    permit: Permit,
    drain: Watch,
    place: Use,
    load: ActiveGuard,
    record: Record,
}

/// What only the record knows.
#[derive(Debug)]
struct Record {
    hello: Option<Hello>,
    matched: Option<MatchKind>,
    /// Where the connection came from and where it arrived, if a PROXY header said otherwise.
    behind: Option<Box<(SocketAddr, SocketAddr)>>,
    attempts: u32,
    stripped: u32,
    prepended: u32,
    hello_took: Option<Took>,
    connect_took: Option<Took>,
}

/// A time in microseconds, at least one and at most an hour or so: logs say no more.
#[derive(Debug, Clone, Copy)]
struct Took(NonZeroU32);

impl Took {
    fn of(time: Duration) -> Self {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(micros).unwrap_or(NonZeroU32::MIN))
    }

    fn time(self) -> Duration {
        Duration::from_micros(self.0.get().into())
    }
}

/// What the hello said, but for the name.
#[derive(Debug)]
struct Hello {
    alpn: Box<[String]>,
    ja4: Ja4,
    version: u16,
    ech: bool,
    post_quantum: bool,
    bytes: u32,
    records: u32,
}

impl Folded {
    /// Folds a connection up. Its former streams leave the runtime.
    pub(super) fn new(resting: Box<Resting>, sockets: Sockets) -> Self {
        let Resting {
            admitted,
            upstream: _,
            load,
            rest,
        } = *resting;
        let Admitted {
            connection,
            route: _,
            first_bytes: _,
            registration,
            place,
        } = admitted;
        let Connection {
            client: _,
            record,
            limits,
            engine,
            listener,
            accepted: _,
            permit,
            drain,
        } = *connection;
        Self {
            sockets,
            registration,
            rest,
            limits,
            engine,
            listener,
            permit,
            drain,
            place,
            load,
            record: Record::new(record),
        }
    }

    /// Unfolds it.
    ///
    /// # Errors
    /// Those of [`Sockets::streams`]; it is as it was.
    pub(super) fn unfold(self) -> Result<Box<Resting>, (io::Error, Box<Self>)> {
        let [client, upstream] = match self.sockets.streams() {
            Ok(streams) => streams,
            Err(error) => return Err((error, Box::new(self))),
        };
        let Self {
            sockets: _,
            registration,
            rest,
            limits,
            engine,
            listener,
            permit,
            drain,
            place,
            load,
            record,
        } = self;
        let live = registration.live();
        let connection = Connection {
            client,
            record: record.whole(live),
            limits,
            engine,
            listener,
            accepted: Instant::from_std(live.opened.accepted),
            permit,
            drain,
        };
        let admitted = Admitted {
            connection: Box::new(connection),
            route: Arc::clone(&live.opened.route),
            first_bytes: bytes::Bytes::new(),
            registration,
            place,
        };
        Ok(Box::new(Resting {
            admitted,
            upstream,
            load,
            rest,
        }))
    }
}

impl Record {
    fn new(record: ConnectionRecord) -> Self {
        let ConnectionRecord {
            id: _,
            listener: _,
            peer,
            source,
            arrived_at,
            destination,
            hello,
            route,
            endpoint: _,
            attempts,
            // The registry's, or known at the end.
            engine: _,
            fallbacks: _,
            streams: _,
            stripped,
            prepended,
            sent: _,
            received: _,
            started: _,
            hello_took,
            connect_took,
            lasted: _,
            reason: _,
            client_leg: _,
            upstream_leg: _,
        } = record;
        let behind = (peer, arrived_at) != (source, destination);
        Self {
            hello: hello.map(Hello::new),
            matched: route.map(|(_, matched)| matched),
            behind: behind.then(|| Box::new((peer, arrived_at))),
            attempts,
            stripped,
            prepended,
            hello_took: hello_took.map(Took::of),
            connect_took: connect_took.map(Took::of),
        }
    }

    fn whole(self, live: &Live) -> ConnectionRecord {
        let Self {
            hello,
            matched,
            behind,
            attempts,
            stripped,
            prepended,
            hello_took,
            connect_took,
        } = self;
        let opened = &live.opened;
        let arrived = (opened.source, opened.destination);
        let (peer, arrived_at) = behind.map_or(arrived, |behind| *behind);
        ConnectionRecord {
            peer,
            source: opened.source,
            arrived_at,
            destination: opened.destination,
            hello: hello.map(|hello| hello.whole(live)),
            route: matched.map(|matched| (Arc::clone(&opened.route), matched)),
            endpoint: live.path().map(|path| path.endpoint),
            attempts,
            stripped,
            prepended,
            started: opened.started,
            hello_took: hello_took.map(Took::time),
            connect_took: connect_took.map(Took::time),
            ..ConnectionRecord::new(opened.id, &opened.listener, arrived)
        }
    }
}

impl Hello {
    fn new(hello: HelloFacts) -> Self {
        let HelloFacts {
            server_name: _,
            alpn,
            version,
            ech,
            post_quantum,
            ja4,
            bytes,
            records,
        } = hello;
        Self {
            alpn: alpn.into(),
            ja4,
            version,
            ech,
            post_quantum,
            bytes,
            records,
        }
    }

    fn whole(self, live: &Live) -> HelloFacts {
        let Self {
            alpn,
            ja4,
            version,
            ech,
            post_quantum,
            bytes,
            records,
        } = self;
        HelloFacts {
            server_name: live.opened.server_name.clone(),
            alpn: alpn.into(),
            version,
            ech,
            post_quantum,
            ja4,
            bytes,
            records,
        }
    }
}

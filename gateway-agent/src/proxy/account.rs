//! Eighth step: the final record, before the sockets go.

use tokio::net::TcpStream;

use super::connection::{Ended, Gateway};
use super::record::LegFacts;
use crate::sys::tcp;

/// A connection that is on record and only needs its sockets closed.
#[derive(Debug)]
pub(super) struct Accounted {
    ended: Ended,
}

impl Accounted {
    pub(super) fn into_ended(self) -> Ended {
        self.ended
    }
}

/// Completes the record, takes the connection out of the registry and tells the observers.
pub(super) fn account(gateway: &Gateway, mut ended: Ended) -> Accounted {
    let connection = &mut ended.connection;
    let record = &mut connection.record;
    record.reason = ended.reason;
    record.lasted = connection.accepted.elapsed();
    record.client_leg = leg(&connection.client);
    record.upstream_leg = ended.upstream.as_ref().and_then(leg);
    if let Some(registration) = ended.registration.take() {
        let live = registration.live();
        let moved = live.moved();
        record.sent = moved.sent;
        // What was read and never forwarded, for want of an endpoint, was received all the same.
        record.received = record.received.max(moved.received);
        record.streams = moved.streams.map(Box::new);
        if let Some(path) = live.path() {
            record.engine = Some(path.engine);
            record.fallbacks = path.fallbacks.into_vec();
        }
    }
    gateway.tell(|observer| observer.closed(record));
    Accounted { ended }
}

/// A socket that is gone says nothing: the record then has no facts of that leg.
fn leg(socket: &TcpStream) -> Option<LegFacts> {
    let info = tcp::info(socket).ok()?;
    Some(LegFacts {
        rtt_us: info.rtt_us,
        retransmissions: info.retransmissions,
    })
}

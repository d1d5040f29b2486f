//! Third step: server name to route.

use std::sync::Arc;

use bytes::Bytes;

use super::close::CloseReason;
use super::connection::{Connection, Ended};
use super::hello::Greeted;
use crate::control::snapshot::NoRoute;

/// A connection that has its route, in the record.
#[derive(Debug)]
pub(super) struct Routed {
    connection: Box<Connection>,
    first_bytes: Bytes,
}

impl Routed {
    pub(super) fn into_parts(self) -> (Box<Connection>, Bytes) {
        (self.connection, self.first_bytes)
    }
}

/// Finds the route by the hello's server name: exact, longest suffix, then the default. The
/// snapshot is let go: a connection may outlast thousands of them.
///
/// # Errors
/// [`CloseReason::UnknownName`] or [`CloseReason::NoServerName`] when the default rejects.
pub(super) fn route(greeted: Greeted) -> Result<Routed, Ended> {
    let (mut connection, snapshot, first_bytes) = greeted.into_parts();
    let name = connection
        .record
        .hello
        .as_ref()
        .and_then(|hello| hello.server_name.as_deref());
    let found = match snapshot.route_for(&connection.listener, name) {
        Ok(found) => (found.route.clone(), found.kind),
        Err(NoRoute::UnknownName) => return Err(connection.end(CloseReason::UnknownName)),
        Err(NoRoute::NoServerName) => return Err(connection.end(CloseReason::NoServerName)),
    };
    // A name that is its route's is there once, for all connections.
    let (route, _) = &found;
    let hello = connection.record.hello.as_mut();
    if let Some(name) = hello.and_then(|hello| hello.server_name.as_mut())
        && *name == route.name
    {
        *name = Arc::clone(&route.name);
    }
    connection.record.route = Some(found);
    Ok(Routed {
        connection,
        first_bytes,
    })
}

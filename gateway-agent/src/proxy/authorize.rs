//! Fourth step: may this source use this listener and this route?
//!
//! The connection registers first and is judged second, by the newest snapshot. A policy change
//! either sees it in the registry and cuts it, or has been published before the judgement here:
//! there is no moment in between.

use std::sync::Arc;

use bytes::Bytes;

use super::close::CloseReason;
use super::connection::{Connection, Ended, Gateway};
use super::registry::{Opened, Registration};
use super::route::Routed;
use crate::control::snapshot::Route;

/// A connection whose source is allowed.
#[derive(Debug)]
pub(super) struct Authorized {
    connection: Box<Connection>,
    route: Arc<Route>,
    first_bytes: Bytes,
    registration: Registration,
}

/// What a connection carries from here to its splice.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) connection: Box<Connection>,
    pub(super) route: Arc<Route>,
    /// The hello and what came with it, to be forwarded first.
    pub(super) first_bytes: Bytes,
    pub(super) registration: Registration,
}

impl Admitted {
    /// Ends here; `upstream` is the endpoint's socket where there is one.
    pub(super) fn end(self, reason: CloseReason) -> Ended {
        let registration = Some(self.registration);
        Ended {
            connection: self.connection,
            upstream: None,
            registration,
            reason,
        }
    }
}

impl Authorized {
    pub(super) fn into_admitted(self) -> Admitted {
        let Self {
            connection,
            route,
            first_bytes,
            registration,
        } = self;
        Admitted {
            connection,
            route,
            first_bytes,
            registration,
        }
    }
}

/// Registers the connection and judges its source by the policies of listener and route.
///
/// # Errors
/// [`CloseReason::ListenerDenied`] or [`CloseReason::RouteDenied`].
pub(super) fn authorize(gateway: &Gateway, routed: Routed) -> Result<Authorized, Ended> {
    let (connection, first_bytes) = routed.into_parts();
    let Some((route, _)) = connection.record.route.clone() else {
        return Err(connection.end(CloseReason::UnknownName));
    };
    let registration = gateway.registry.register(opened(&connection, &route));
    gateway.tell(|observer| observer.routed(&route));
    if let Some(reason) = judge(gateway, &connection, &route) {
        return Err(Ended {
            connection,
            upstream: None,
            registration: Some(registration),
            reason,
        });
    }
    Ok(Authorized {
        connection,
        route,
        first_bytes,
        registration,
    })
}

/// The newest snapshot decides, where it still knows the listener and the route; else the one
/// that the connection was routed with.
fn judge(gateway: &Gateway, connection: &Connection, route: &Arc<Route>) -> Option<CloseReason> {
    let newest = gateway.control.snapshot();
    let listener = newest
        .listener(&connection.listener.name)
        .unwrap_or(&connection.listener);
    let route = newest.routes.get(&route.name).unwrap_or(route);
    let source = connection.record.source.ip();
    if !listener.access.verdict(source).allowed {
        return Some(CloseReason::ListenerDenied);
    }
    if !route.access.verdict(source).allowed {
        return Some(CloseReason::RouteDenied);
    }
    None
}

fn opened(connection: &Connection, route: &Arc<Route>) -> Opened {
    let record = &connection.record;
    Opened {
        id: record.id,
        listener: Arc::clone(&record.listener),
        source: record.source,
        destination: record.destination,
        server_name: record.hello.as_ref().and_then(|hello| hello.server_name),
        route: Arc::clone(route),
        accepted: connection.accepted.into_std(),
        started: record.started,
    }
}

//! Fourth step: may this source use this listener and this route, and has the route room for it?
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
use crate::control::uses::Use;

/// A connection whose source is allowed.
#[derive(Debug)]
pub(super) struct Authorized {
    connection: Box<Connection>,
    route: Arc<Route>,
    first_bytes: Bytes,
    registration: Registration,
    place: Use,
}

/// What a connection carries from here to its splice.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) connection: Box<Connection>,
    pub(super) route: Arc<Route>,
    /// The hello and what came with it, to be forwarded first.
    pub(super) first_bytes: Bytes,
    pub(super) registration: Registration,
    /// Its place among the route's connections, held until it ends.
    pub(super) place: Use,
}

impl Admitted {
    /// Ends here; `upstream` is the endpoint's socket where there is one.
    pub(super) fn end(self, reason: CloseReason) -> Ended {
        let registration = Some(self.registration);
        drop(self.place);
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
            place,
        } = self;
        Admitted {
            connection,
            route,
            first_bytes,
            registration,
            place,
        }
    }
}

/// Registers the connection, judges its source by the policies of listener and route, and takes a
/// place among the route's connections.
///
/// # Errors
/// [`CloseReason::ListenerDenied`], [`CloseReason::RouteDenied`], [`CloseReason::RouteRefused`] or
/// [`CloseReason::RouteLimit`].
pub(super) fn authorize(gateway: &Gateway, routed: Routed) -> Result<Authorized, Ended> {
    let (connection, first_bytes) = routed.into_parts();
    let Some((route, _)) = connection.record.route.clone() else {
        return Err(connection.end(CloseReason::UnknownName));
    };
    let registration = gateway.registry.register(opened(&connection, &route));
    gateway.tell(|observer| observer.routed(&route));
    match judge(gateway, &connection, &route) {
        Ok(place) => Ok(Authorized {
            connection,
            route,
            first_bytes,
            registration,
            place,
        }),
        Err(reason) => Err(Ended {
            connection,
            upstream: None,
            registration: Some(registration),
            reason,
        }),
    }
}

/// The newest snapshot decides, where it still knows the listener and the route; else the one
/// that the connection was routed with.
fn judge(
    gateway: &Gateway,
    connection: &Connection,
    route: &Arc<Route>,
) -> Result<Use, CloseReason> {
    let newest = gateway.control.snapshot();
    let listener = newest
        .listener(&connection.listener.name)
        .unwrap_or(&connection.listener);
    let route = newest.routes.get(&route.name).unwrap_or(route);
    let source = connection.record.source.ip();
    if !listener.access.verdict(source).allowed {
        return Err(CloseReason::ListenerDenied);
    }
    if !route.access.verdict(source).allowed {
        return Err(CloseReason::RouteDenied);
    }
    if route.refused.is_some() {
        return Err(CloseReason::RouteRefused);
    }
    let place = route.uses.begin(route.max_connections);
    place.ok_or(CloseReason::RouteLimit)
}

fn opened(connection: &Connection, route: &Arc<Route>) -> Opened {
    let record = &connection.record;
    Opened {
        id: record.id,
        listener: Arc::clone(&record.listener),
        source: record.source,
        destination: record.destination,
        server_name: record
            .hello
            .as_ref()
            .and_then(|hello| hello.server_name.clone()),
        route: Arc::clone(route),
        accepted: connection.accepted.into_std(),
        started: record.started,
    }
}

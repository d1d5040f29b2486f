//! Fifth step: which endpoint of the route.

use std::net::SocketAddr;
use std::time::Instant;

use super::authorize::{Admitted, Authorized};
use super::close::CloseReason;
use super::connection::Ended;
use super::splice::Bounced;
use crate::control::cluster::{Ask, NoEndpoint, Pick};
use crate::control::snapshot::Route;

/// A connection that knows where it wants to go.
#[derive(Debug)]
pub(super) struct Aimed {
    admitted: Admitted,
    pick: Pick,
    tried: Vec<SocketAddr>,
}

impl Aimed {
    pub(super) fn route(&self) -> &Route {
        &self.admitted.route
    }

    pub(super) fn into_parts(self) -> (Admitted, Pick, Vec<SocketAddr>) {
        (self.admitted, self.pick, self.tried)
    }
}

/// Chooses the first endpoint.
///
/// # Errors
/// [`CloseReason::NoEndpoint`] when the route's names resolve to nothing, [`CloseReason::AllDown`]
/// when checks say that all its endpoints are down and none may be used all the same.
pub(super) fn aim(authorized: Authorized) -> Result<Aimed, Ended> {
    next(authorized.into_admitted(), Vec::new())
}

/// Chooses another endpoint for a connection that its endpoint reset before the first byte.
///
/// # Errors
/// [`CloseReason::UpstreamReset`] when there is none left to try: the client gets the reset that
/// it would have had without us.
pub(super) fn aim_again(bounced: Bounced) -> Result<Aimed, Ended> {
    let (admitted, tried) = bounced.into_parts();
    next(admitted, tried).map_err(|ended| Ended {
        reason: CloseReason::UpstreamReset,
        ..ended
    })
}

/// Chooses an endpoint that is not in `tried`, within the connection's number of attempts.
///
/// # Errors
/// As [`aim`] when there never was one, [`CloseReason::ConnectFailed`] when all were tried or the
/// attempts are used up.
pub(super) fn next(admitted: Admitted, tried: Vec<SocketAddr>) -> Result<Aimed, Ended> {
    let connection = &admitted.connection;
    if connection.record.attempts >= connection.limits.connect_attempts {
        return Err(admitted.end(CloseReason::ConnectFailed));
    }
    let source = connection.record.source.ip();
    let picked = admitted.route.cluster.pick(&Ask {
        now: Instant::now(),
        source,
        tried: &tried,
    });
    match picked {
        Ok(pick) => Ok(Aimed {
            admitted,
            pick,
            tried,
        }),
        Err(NoEndpoint::AllTried) => Err(admitted.end(CloseReason::ConnectFailed)),
        Err(NoEndpoint::AllDown) => Err(admitted.end(CloseReason::AllDown)),
        Err(NoEndpoint::NoneConfigured | NoEndpoint::Unresolved) => {
            Err(admitted.end(CloseReason::NoEndpoint))
        }
    }
}

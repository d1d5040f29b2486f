//! The data path: the life of one connection, in order, on one screen.
//!
//! Nine steps, one file each. Every step consumes the type of the step before it, and those types
//! can be made nowhere else, so no step can be skipped. Every early exit is an [`Ended`] with a
//! [`close::CloseReason`]. Here is only the order; deadlines and the drain are in the steps that
//! wait.

pub mod accept;
mod account;
mod authorize;
pub mod close;
mod connect;
mod connection;
mod endpoint;
mod hello;
pub mod ja4;
mod leg;
pub mod permits;
mod proxy_header;
pub mod record;
pub mod registry;
mod route;
pub mod splice;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::{Accepted, Connection, Ended, Gateway};

/// Takes one accepted connection from its hello to its end.
pub async fn serve(gateway: Arc<Gateway>, accepted: Accepted) {
    let ended = match life(&gateway, accepted).await {
        Ok(ended) | Err(ended) => ended,
    };
    let accounted = account::account(&gateway, ended);
    Box::pin(close::close(accounted)).await;
}

/// The steps between accept and account. `Err` is the end of a connection that never reached an
/// endpoint, `Ok` of one that did.
///
/// A connection rests in one step for nearly all its life. Each step that waits is in a box of its
/// own, or it would hold the room of the largest for good.
async fn life(gateway: &Gateway, accepted: Accepted) -> Result<Ended, Ended> {
    let greeted = Box::pin(hello::greet(gateway, accepted)).await?;
    let routed = route::route(greeted)?;
    let authorized = authorize::authorize(gateway, routed)?;
    let mut aimed = endpoint::aim(authorized)?;
    loop {
        let connected = Box::pin(connect::connect(gateway, aimed)).await?;
        match Box::pin(splice::splice(gateway, connected)).await {
            splice::Outcome::Ended(ended) => return Ok(ended),
            splice::Outcome::Bounced(bounced) => aimed = endpoint::aim_again(bounced)?,
        }
    }
}

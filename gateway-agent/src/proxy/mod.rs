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
pub mod park;
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
use splice::Resting;

/// Takes one accepted connection from its hello to its end, or to a rest.
pub async fn serve(gateway: Arc<Gateway>, accepted: Accepted) {
    let rest = {
        let went = life(&gateway, accepted).await;
        Box::pin(conclude(&gateway, went))
    };
    rest.await;
}

/// Takes a connection that has rested to its end, or to another rest.
async fn serve_again(gateway: Arc<Gateway>, resting: Box<Resting>) {
    let went = match Box::pin(splice::resume(&gateway, resting)).await {
        Ok(ended) => Went::Ended(ended),
        Err(again) => Went::Rests(again),
    };
    conclude(&gateway, Ok(went)).await;
}

/// How far a connection went that had an endpoint.
enum Went {
    Ended(Ended),
    Rests(Box<Resting>),
}

/// The last two steps, however often it rests before.
async fn conclude(gateway: &Gateway, went: Result<Went, Ended>) {
    let mut resting = match went {
        Ok(Went::Ended(ended)) | Err(ended) => return finish(gateway, ended).await,
        Ok(Went::Rests(resting)) => resting,
    };
    loop {
        let Err(back) = park(gateway, resting) else {
            return;
        };
        match Box::pin(splice::resume(gateway, back)).await {
            Ok(ended) => return finish(gateway, ended).await,
            Err(again) => resting = again,
        }
    }
}

async fn finish(gateway: &Gateway, ended: Ended) {
    let accounted = account::account(gateway, ended);
    Box::pin(close::close(accounted)).await;
}

/// The steps between accept and account. `Err` is the end of a connection that never reached an
/// endpoint.
///
/// A connection stays in one step for nearly all its life. Each step that waits is in a box of its
/// own, or it would hold the room of the largest for good.
async fn life(gateway: &Gateway, accepted: Accepted) -> Result<Went, Ended> {
    let greeted = Box::pin(hello::greet(gateway, accepted)).await?;
    let routed = route::route(greeted)?;
    let authorized = authorize::authorize(gateway, routed)?;
    let mut aimed = endpoint::aim(authorized)?;
    loop {
        let connected = Box::pin(connect::connect(gateway, aimed)).await?;
        match Box::pin(splice::splice(gateway, connected)).await {
            splice::Outcome::Ended(ended) => return Ok(Went::Ended(ended)),
            splice::Outcome::Resting(resting) => return Ok(Went::Rests(resting)),
            splice::Outcome::Bounced(bounced) => aimed = endpoint::aim_again(bounced)?,
        }
    }
}

/// Gives a connection a place to rest.
///
/// # Errors
/// There is none for it.
fn park(gateway: &Gateway, resting: Box<Resting>) -> Result<(), Box<Resting>> {
    match gateway.lot.get() {
        Some(lot) => lot.park(resting),
        None => Err(resting),
    }
}

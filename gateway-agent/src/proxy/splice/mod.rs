//! Seventh step: join the two sockets by the first engine that fits, and record why the better
//! ones did not.
//!
//! An engine gets a `Joint`: both sockets, the bytes that go first, the timers. It returns how
//! the stream ended. What ends it from outside (a cut, for a policy or at the drain's deadline) is
//! raced here, since it is the same for all engines.

mod copy;
pub mod fallback;
#[cfg(feature = "faults")]
pub mod faults;
pub mod sockmap;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
pub use copy::Pipes;
use fallback::{Fallback, Why};
use sockmap::{Splice, Splicer, Stop};
use tokio::net::TcpStream;

use super::authorize::Admitted;
use super::close::CloseReason;
use super::connect::Connected;
use super::connection::{Ended, Gateway};
use super::registry::{Live, LivePath};
use crate::control::cluster::ActiveGuard;
use crate::control::snapshot::{EngineKind, Route, Sockmap};

/// How a splice ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// For good.
    Ended(Ended),
    /// The endpoint reset the connection before its first byte, and nothing but the hello,
    /// which is still here, had gone to it: another endpoint can be tried.
    Bounced(Bounced),
    /// Not yet: it is left alone.
    Resting(Box<Resting>),
}

/// A connection that is left alone, with all that it needs to go on.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) admitted: Admitted,
    pub(super) upstream: TcpStream,
    pub(super) load: ActiveGuard,
    pub(super) rest: sockmap::Rest,
}

/// A connection that wants another endpoint.
#[derive(Debug)]
pub struct Bounced {
    admitted: Admitted,
    tried: Vec<SocketAddr>,
}

impl Bounced {
    pub(super) fn into_parts(self) -> (Admitted, Vec<SocketAddr>) {
        (self.admitted, self.tried)
    }
}

/// What an engine is given.
pub(super) struct Joint<'a> {
    /// Both sockets, what goes first, the timers.
    legs: sockmap::Legs<'a>,
    /// What asking another endpoint takes.
    spare: &'a Spare,
    /// Takes the byte counts.
    live: &'a Live,
    pipes: &'a Pipes,
    route: &'a Route,
    /// What the kernel may keep waiting for one direction.
    limits: &'a Sockmap,
}

/// What asking another endpoint takes, for as long as one may be asked; connections rest without it.
#[derive(Debug)]
pub(super) struct Spare(Mutex<Option<Box<Again>>>);

#[derive(Debug, Default)]
struct Again {
    hello: Bytes,
    tried: Vec<SocketAddr>,
}

impl Spare {
    fn new(hello: Bytes, tried: Vec<SocketAddr>) -> Self {
        Self(Mutex::new(Some(Box::new(Again { hello, tried }))))
    }

    fn take(&self) -> Option<Box<Again>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// No other endpoint will be asked.
    fn forget(&self) {
        drop(self.take());
    }
}

/// What an engine returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The stream is over.
    Closed(CloseReason),
    /// See [`Outcome::Bounced`].
    Bounced,
}

/// Splices until the stream ends.
///
/// What is given stays where it is, and this is no `async fn`: taken apart, or made an argument of one, it
/// would have room twice for as long as the connection lasts.
pub(super) fn splice(
    gateway: &Gateway,
    mut connected: Connected,
) -> impl Future<Output = Outcome> + Send {
    #[cfg(feature = "faults")]
    faults::begin();
    let live = Arc::clone(connected.admitted.registration.live());
    let splicer = begin(gateway, &connected.admitted, &live);
    // From here on a connection does not wait for the drain's deadline, which cuts all that are
    // registered: this one may have been connecting then.
    if connected.admitted.connection.drain.has_expired() {
        live.cut(CloseReason::Drained);
    }
    let hello = connected.admitted.first_bytes.clone();
    let spare = Spare::new(hello, core::mem::take(&mut connected.tried));
    async move {
        let mut joint = joint(gateway, &mut connected, &live, &spare);
        let stop = tokio::select! {
            stop = by_engines(gateway, &mut joint, splicer.as_deref()) => stop,
            reason = live.cut_requested() => Stop::Ended(End::Closed(reason)),
        };
        let Connected {
            mut admitted,
            upstream,
            load,
            ..
        } = connected;
        match stop {
            Stop::Resting(rest) => Outcome::Resting(Box::new(Resting {
                admitted,
                upstream,
                load,
                rest,
            })),
            Stop::Ended(End::Bounced) => {
                let Again { hello, tried } = spare.take().map(|again| *again).unwrap_or_default();
                admitted.first_bytes = hello;
                Outcome::Bounced(Bounced { admitted, tried })
            }
            Stop::Ended(End::Closed(reason)) => Outcome::Ended(end(admitted, upstream, reason)),
        }
    }
}

/// The end of a connection that had an endpoint.
fn end(admitted: Admitted, upstream: TcpStream, reason: CloseReason) -> Ended {
    let mut ended = admitted.end(reason);
    ended.upstream = Some(upstream);
    ended
}

/// Goes on with a connection that has rested, until it rests again or ends.
pub(super) async fn resume(
    gateway: &Gateway,
    resting: Box<Resting>,
) -> Result<Ended, Box<Resting>> {
    let Resting {
        admitted,
        upstream,
        load,
        rest,
    } = *resting;
    let live = Arc::clone(admitted.registration.live());
    let stop = {
        let sockets = (&admitted.connection.client, &upstream);
        let legs = legs(gateway, &admitted, sockets, &live);
        let over = || live.end_splice();
        let terms = terms(&admitted.route, &admitted.connection.engine.sockmap);
        match live.splice() {
            Some(kernel) => tokio::select! {
                stop = Box::pin(sockmap::resume(&legs, rest, (kernel, terms), over)) => stop,
                reason = live.cut_requested() => Stop::Ended(End::Closed(reason)),
            },
            // Only the end takes the kernel half from a connection, and it has had none.
            None => Stop::Ended(End::Closed(CloseReason::UpstreamLost)),
        }
    };
    match stop {
        Stop::Resting(rest) => Err(Box::new(Resting {
            admitted,
            upstream,
            load,
            rest,
        })),
        // It has been answered: no other endpoint is asked, and the reset is the client's.
        Stop::Ended(End::Bounced) => Ok(end(admitted, upstream, CloseReason::UpstreamReset)),
        Stop::Ended(End::Closed(reason)) => Ok(end(admitted, upstream, reason)),
    }
}

/// The sockets and the timers of a connection whose first bytes have gone.
fn legs<'a>(
    gateway: &Gateway,
    admitted: &'a Admitted,
    (client, upstream): (&'a TcpStream, &'a TcpStream),
    live: &'a Live,
) -> sockmap::Legs<'a> {
    sockmap::Legs {
        client,
        upstream,
        first_bytes: Bytes::new(),
        prepended: 0,
        consumed: 0,
        repeatable: false,
        idle_timeout: admitted.route.idle_timeout,
        half_close_timeout: admitted.connection.limits.half_close_timeout,
        rests_after: gateway.rests_after(),
        received: &live.received,
        sent: &live.sent,
    }
}

/// What the engine gets.
fn joint<'a>(
    gateway: &'a Gateway,
    connected: &'a mut Connected,
    live: &'a Live,
    spare: &'a Spare,
) -> Joint<'a> {
    let hello = core::mem::take(&mut connected.admitted.first_bytes);
    let header = core::mem::take(&mut connected.header);
    let connection = &mut *connected.admitted.connection;
    let record = &mut connection.record;
    record.prepended = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let repeatable = record
        .hello
        .as_ref()
        .is_some_and(|facts| usize::try_from(facts.bytes).is_ok_and(|bytes| bytes == hello.len()));
    if !repeatable {
        spare.forget();
    }
    let consumed = u64::from(record.stripped) + hello.len() as u64;
    let prepended = header.len();
    let first_bytes = if header.is_empty() {
        hello
    } else {
        [&header, &*hello].concat().into()
    };
    let admitted = &connected.admitted;
    let (connection, route) = (&admitted.connection, &*admitted.route);
    let sockets = (&connection.client, &connected.upstream);
    let legs = sockmap::Legs {
        first_bytes,
        prepended,
        consumed,
        repeatable,
        ..legs(gateway, admitted, sockets, live)
    };
    Joint {
        legs,
        spare,
        live,
        pipes: &gateway.pipes,
        route,
        limits: &connection.engine.sockmap,
    }
}

/// Chooses the engine, and says in the registry where the bytes go from now on. Fallbacks are told
/// once a connection, however many endpoints it tries.
fn begin(gateway: &Gateway, admitted: &Admitted, live: &Live) -> Option<Arc<dyn Splicer>> {
    let (splicer, fallbacks) = choose(gateway, admitted);
    if live.path().is_none() {
        for one in &fallbacks {
            gateway.tell(|observer| observer.fell_back(one));
        }
    }
    if let Some(endpoint) = admitted.connection.record.endpoint {
        let engine = match &splicer {
            Some(_) => EngineKind::Sockmap,
            None => EngineKind::Copy,
        };
        live.set_path(LivePath {
            endpoint,
            engine,
            fallbacks: fallbacks.into(),
        });
    }
    splicer
}

/// Splices by the engine that was chosen, each in a box of its own size, and by copying if the kernel
/// refuses the pair after all.
async fn by_engines(
    gateway: &Gateway,
    joint: &mut Joint<'_>,
    splicer: Option<&dyn Splicer>,
) -> Stop {
    if let Some(splicer) = splicer {
        let (live, spare) = (joint.live, joint.spare);
        let (route, limits) = (joint.route, joint.limits);
        let terms = || terms(route, limits);
        let watch = |splice: Option<Arc<dyn Splice>>| match splice {
            Some(splice) => {
                // It takes over only when no other endpoint can be asked any more.
                spare.forget();
                if !splice.is_whole() {
                    let why = "the kernel refuses the client's socket: the agent relays";
                    fall_back(gateway, live, EngineKind::Sockmap, Why::Refused(why.into()));
                }
                live.begin_splice(splice);
            }
            None => live.end_splice(),
        };
        match Box::pin(sockmap::run(&mut joint.legs, splicer, terms, watch)).await {
            sockmap::Run::Stopped(stop) => return stop,
            sockmap::Run::Unfit(error) => {
                fall_back(gateway, live, EngineKind::Copy, Why::refused(&error));
                // Both have been used: a reset now is no answer to the hello.
                joint.legs.repeatable = false;
                spare.forget();
            }
        }
    }
    Stop::Ended(Box::pin(copy::run(joint)).await)
}

/// What the kernel half is offered a connection under.
fn terms<'a>(route: &'a Route, limits: &Sockmap) -> sockmap::Terms<'a> {
    sockmap::Terms {
        datacenter: &route.datacenter,
        service: &route.service,
        budget: limits.budget,
        beyond: 0,
        most_send: limits.buffer,
        most_window: limits.buffer,
        owed: [0; 2],
    }
}

/// Notes that the sockmap engine does not take this pair, and which engine moves the bytes now.
fn fall_back(gateway: &Gateway, live: &Live, engine: EngineKind, why: Why) {
    let fallback = Fallback {
        engine: EngineKind::Sockmap,
        why,
    };
    gateway.tell(|observer| observer.fell_back(&fallback));
    live.change_path(|path| {
        path.engine = engine;
        let before = core::mem::take(&mut path.fallbacks);
        path.fallbacks = before.into_iter().chain([fallback]).collect();
    });
}

/// The first engine of the configuration's list that fits, and why each before it did not. No
/// splicer: copy, which always fits; a list without it ends with it all the same.
fn choose(gateway: &Gateway, admitted: &Admitted) -> (Option<Arc<dyn Splicer>>, Vec<Fallback>) {
    let mut fallbacks = Vec::new();
    for &engine in &admitted.connection.engine.prefer {
        let why = match engine {
            EngineKind::Copy => break,
            EngineKind::Sockmap => match gateway.sockmap.get() {
                Ok(splicer) => return (Some(splicer), fallbacks),
                Err(reason) => Why::Unavailable(reason),
            },
            EngineKind::Packet => Why::NotInBuild,
        };
        fallbacks.push(Fallback { engine, why });
    }
    (None, fallbacks)
}

#[cfg(test)]
mod sizes;

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
use sockmap::{Splice, Splicer};

use super::authorize::Admitted;
use super::close::CloseReason;
use super::connect::Connected;
use super::connection::{Ended, Gateway};
use super::registry::{Live, LivePath};
use crate::control::snapshot::{EngineKind, Route, Sockmap};

/// How a splice ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// For good.
    Ended(Ended),
    /// The endpoint reset the connection before its first byte, and nothing but the hello,
    /// which is still here, had gone to it: another endpoint can be tried.
    Bounced(Bounced),
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
        let end = tokio::select! {
            end = by_engines(gateway, &mut joint, splicer.as_deref()) => end,
            reason = live.cut_requested() => End::Closed(reason),
        };
        drop(connected.load);
        match end {
            End::Bounced => {
                let Again { hello, tried } = spare.take().map(|again| *again).unwrap_or_default();
                connected.admitted.first_bytes = hello;
                Outcome::Bounced(Bounced {
                    admitted: connected.admitted,
                    tried,
                })
            }
            End::Closed(reason) => {
                let mut ended = connected.admitted.end(reason);
                ended.upstream = Some(connected.upstream);
                Outcome::Ended(ended)
            }
        }
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
    let route = &*connected.admitted.route;
    let legs = sockmap::Legs {
        client: &connection.client,
        upstream: &connected.upstream,
        prepended: header.len(),
        consumed: u64::from(record.stripped) + hello.len() as u64,
        first_bytes: if header.is_empty() {
            hello
        } else {
            [&header, &*hello].concat().into()
        },
        repeatable,
        idle_timeout: route.idle_timeout,
        half_close_timeout: connection.limits.half_close_timeout,
        received: &live.received,
        sent: &live.sent,
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
            fallbacks,
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
) -> End {
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
            sockmap::Run::Ended(end) => return end,
            sockmap::Run::Unfit(error) => {
                fall_back(gateway, live, EngineKind::Copy, Why::refused(&error));
                // Both have been used: a reset now is no answer to the hello.
                joint.legs.repeatable = false;
                spare.forget();
            }
        }
    }
    Box::pin(copy::run(joint)).await
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
        path.fallbacks.push(fallback);
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

//! Seventh step: join the two sockets by the first engine that fits, and record why the better
//! ones did not.
//!
//! An engine gets a `Joint`: both sockets, the bytes that go first, the timers. It returns how
//! the stream ended. What ends it from outside (a cut, the drain's deadline) is raced here, since
//! it is the same for all engines.

mod copy;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use copy::Pipes;
use tokio::net::TcpStream;

use super::authorize::Admitted;
use super::close::CloseReason;
use super::connect::Connected;
use super::connection::{Ended, Gateway};
use super::registry::{Live, LivePath};
use crate::control::snapshot::EngineKind;

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
    client: &'a TcpStream,
    upstream: &'a TcpStream,
    /// What goes to the endpoint before anything read from the client: a PROXY header, the hello.
    first_bytes: Bytes,
    /// How much of `first_bytes` is ours and no byte of the client's.
    prepended: usize,
    /// Whether `first_bytes` may be said to a second endpoint. A hello may; early data behind it
    /// could be a request, which the first endpoint may have carried out.
    repeatable: bool,
    /// Takes the byte counts.
    live: &'a Live,
    pipes: &'a Pipes,
    idle_timeout: Duration,
    half_close_timeout: Duration,
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
pub(super) async fn splice(gateway: &Gateway, connected: Connected) -> Outcome {
    let Connected {
        mut admitted,
        upstream,
        load,
        mut header,
        tried,
    } = connected;
    let (engine, notes) = choose(&admitted);
    let record = &mut admitted.connection.record;
    record.engine = Some(engine.label());
    record.engine_notes.clone_from(&notes);
    record.prepended = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let live = Arc::clone(admitted.registration.live());
    if let Some(endpoint) = record.endpoint {
        live.set_path(LivePath {
            endpoint,
            engine: engine.label(),
            notes,
        });
    }
    let repeatable = record.hello.as_ref().is_some_and(|hello| {
        usize::try_from(hello.bytes).is_ok_and(|bytes| bytes == admitted.first_bytes.len())
    });
    let prepended = header.len();
    let first_bytes = if header.is_empty() {
        admitted.first_bytes.clone()
    } else {
        header.extend_from_slice(&admitted.first_bytes);
        header.into()
    };
    let joint = Joint {
        client: &admitted.connection.client,
        upstream: &upstream,
        first_bytes,
        prepended,
        repeatable,
        live: &live,
        pipes: &gateway.pipes,
        idle_timeout: admitted.route.idle_timeout,
        half_close_timeout: admitted.connection.limits.half_close_timeout,
    };
    let mut drain = admitted.connection.drain.clone();
    let end = tokio::select! {
        end = copy::run(joint) => end,
        reason = live.cut_requested() => End::Closed(reason),
        () = drain.expired() => End::Closed(CloseReason::Drained),
    };
    drop(load);
    match end {
        End::Bounced => Outcome::Bounced(Bounced { admitted, tried }),
        End::Closed(reason) => {
            let mut ended = admitted.end(reason);
            ended.upstream = Some(upstream);
            Outcome::Ended(ended)
        }
    }
}

/// The first engine of the configuration's list that fits, and a phrase for each that did not.
fn choose(admitted: &Admitted) -> (EngineKind, Vec<String>) {
    let mut notes = Vec::new();
    for engine in &admitted.connection.engine.prefer {
        match engine {
            EngineKind::Copy => break,
            absent @ (EngineKind::Packet | EngineKind::Sockmap) => {
                notes.push(format!("{}: not in this build", absent.label()));
            }
        }
    }
    // Copy always fits; a list without it ends with it all the same.
    (EngineKind::Copy, notes)
}

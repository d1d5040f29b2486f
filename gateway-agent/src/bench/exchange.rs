//! One bulk exchange at either end: send a payload, receive one, tell each other what came.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::error::{Error, Way};
use super::pattern::Pattern;
use super::stream::{Flaw, Inlet, Intake, Meter, Outlet, Plan, receive_bulk, send_bulk, verdict};
use super::wire::{Exchange, Finding, Limit, Sum, Verdict};

/// What one end does in an exchange.
pub(super) struct Part<'a> {
    pub(super) exchange: Exchange,
    /// Which way the payload of this end goes.
    pub(super) sends: Way,
    pub(super) outlet: Outlet,
    pub(super) plan: Plan,
    pub(super) incoming: Pattern,
    pub(super) meter: &'a Meter,
    /// Asked with each count of bytes: a limit ends the exchange.
    pub(super) allowed: &'a (dyn Fn(u64) -> Result<(), Limit> + Send + Sync),
    /// This end's retransmissions, asked at the end.
    pub(super) retransmits: &'a (dyn Fn() -> u32 + Send + Sync),
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) received: u64,
    /// Bytes that the far end says it received, if it could still tell.
    pub(super) confirmed: Option<u64>,
    /// The far end's retransmissions, if it could still tell.
    pub(super) retransmits: Option<u32>,
    pub(super) error: Option<Error>,
}

/// How long the far end may go on sending after it was told to stop: its last bytes are on the
/// way, and closing before they are read would reset the connection under our verdict.
const PATIENCE: Duration = Duration::from_secs(5);

impl Way {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Upload => Self::Download,
            Self::Download => Self::Upload,
        }
    }
}

impl Part<'_> {
    /// Runs to the verdicts of both ends, or to the first thing that is wrong.
    pub(super) async fn run<R, W>(mut self, inlet: &mut Inlet<R>, writer: &mut W) -> Outcome
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (tell, told) = oneshot::channel();
        let mut intake = Intake::new(self.incoming);
        let mut outlet = core::mem::replace(&mut self.outlet, Outlet::new(self.incoming, 0));
        let stop = Stop::default();
        let (sent, heard) = tokio::join!(
            self.send(&mut outlet, writer, &stop, told),
            self.receive(&mut intake, inlet, &stop, tell)
        );
        let theirs = heard.as_ref().ok();
        Outcome {
            received: intake.length(),
            confirmed: theirs.map(|verdict| verdict.received.length),
            retransmits: theirs.map(|verdict| verdict.retransmits),
            error: self.judge(outlet.sum(), sent, heard, stop.limit()),
        }
    }

    async fn send(
        &self,
        outlet: &mut Outlet,
        writer: &mut (impl AsyncWrite + Unpin),
        stop: &Stop,
        told: oneshot::Receiver<(Finding, Sum)>,
    ) -> io::Result<()> {
        let finding = if self.listens() {
            // An early end would ask the far end to stop.
            let finding = told.await;
            outlet.end(writer).await?;
            finding
        } else {
            let allowed = |count| stop.unless((self.allowed)(count));
            send_bulk(writer, outlet, self.plan, self.meter, &stop.now, allowed).await?;
            told.await
        };
        let Ok((finding, received)) = finding else {
            // The stream broke: there is nobody to give a verdict to.
            return Ok(());
        };
        let finding = match stop.limit() {
            Some(limit) => Finding::Limit(limit),
            None => finding,
        };
        let verdict = Verdict {
            received,
            finding,
            retransmits: (self.retransmits)(),
        };
        writer.write_all(&verdict.encode()).await?;
        writer.flush().await
    }

    async fn receive(
        &self,
        intake: &mut Intake,
        inlet: &mut Inlet<impl AsyncRead + Unpin>,
        stop: &Stop,
        tell: oneshot::Sender<(Finding, Sum)>,
    ) -> Result<Verdict, Error> {
        let way = self.sends.other();
        let allowed = |count| stop.unless((self.allowed)(count));
        let result = receive_bulk(inlet, intake, self.meter, allowed).await;
        let finding = match &result {
            Ok(_) => Finding::Sound,
            Err(Flaw::Fault(fault)) => Finding::Fault(*fault),
            // The far end can compare the sums itself.
            Err(Flaw::Sums { .. }) => Finding::Sound,
            Err(Flaw::Cut(_) | Flaw::Broken(_)) => {
                stop.set();
                drop(tell);
                return Err(result.map_or_else(|flaw| flaw.on(way), |_| Error::Nothing));
            }
        };
        let ends_ours = self.exchange == Exchange::Download && self.sends == Way::Download;
        if !matches!(result, Ok(Some(_))) || ends_ours {
            stop.set();
        }
        // The other half may have ended by an error of its own.
        if tell.send((finding, intake.sum())).is_err() {
            tracing::debug!("nobody to tell the verdict");
        }
        match result {
            Ok(Some(_)) => {}
            Ok(None) => {
                inlet.discard(PATIENCE).await;
                return Err(Error::Limit(stop.limit().unwrap_or(Limit::Bytes(0))));
            }
            Err(flaw) => {
                inlet.discard(PATIENCE).await;
                return Err(flaw.on(way));
            }
        }
        let theirs = verdict(inlet, way).await?;
        if theirs.finding != Finding::Sound {
            stop.set();
        }
        Ok(theirs)
    }

    /// Whether this end only receives and says with its own end that it has enough.
    fn listens(&self) -> bool {
        self.exchange == Exchange::Download && self.sends == Way::Upload
    }

    /// The one error that tells most: what this end saw, then what the far end saw, then what
    /// only follows from either.
    fn judge(
        &self,
        sent: Sum,
        sending: io::Result<()>,
        heard: Result<Verdict, Error>,
        limit: Option<Limit>,
    ) -> Option<Error> {
        if let Some(limit) = limit {
            return Some(Error::Limit(limit));
        }
        let way = self.sends;
        match heard {
            Err(error) => Some(error),
            Ok(verdict) => {
                let theirs = verdict_error(&verdict, sent, way);
                theirs.or_else(|| sending.err().map(|error| Error::Broken { way, error }))
            }
        }
    }
}

/// What the far end's verdict on a payload of ours says.
pub(super) fn verdict_error(verdict: &Verdict, sent: Sum, way: Way) -> Option<Error> {
    match verdict.finding {
        Finding::Fault(fault) => Some(Error::Fault { way, fault }),
        Finding::Limit(limit) => Some(Error::Limit(limit)),
        Finding::Sound if verdict.received != sent => Some(Error::Sums {
            way,
            sent: sent.length,
            received: verdict.received.length,
        }),
        Finding::Sound => None,
    }
}

/// Asks this end's sender to stop, and why, when it is a limit.
#[derive(Default)]
struct Stop {
    now: AtomicBool,
    limit: OnceLock<Limit>,
}

impl Stop {
    fn limit(&self) -> Option<Limit> {
        self.limit.get().copied()
    }

    fn set(&self) {
        self.now.store(true, Ordering::Relaxed);
    }

    /// Whether one may go on.
    fn unless(&self, allowed: Result<(), Limit>) -> bool {
        let Err(limit) = allowed else {
            return true;
        };
        self.limit.get_or_init(|| limit);
        self.set();
        false
    }
}

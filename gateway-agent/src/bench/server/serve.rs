//! What a server does for one request.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::super::error::{Error, Way};
use super::super::exchange::{Part, verdict_error};
use super::super::stream::{Flaw, Inlet, Intake, Meter, Outlet, Piece, Plan, verdict};
use super::super::wire::{Exchange, Finding, GO, Request, Verdict, WireError};
use super::limits::Place;

/// Longest write of a payload, whatever a client asks for.
const MAX_BLOCK: usize = 1024 * 1024;

/// Serves an admitted request until it is done, wrong, or over a limit.
pub(super) async fn serve(
    request: Request,
    place: &Arc<Place>,
    inlet: &mut Inlet<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
    meter: &Meter,
    retransmits: &(dyn Fn() -> u32 + Send + Sync),
) -> Result<(), Error> {
    let deadline = Instant::from_std(place.deadline());
    let over = |_elapsed| Error::Limit(place.duration());
    let begun = tokio::time::timeout_at(deadline, wait_for_go(inlet)).await;
    begun.map_err(over)??;
    if request.exchange == Exchange::Echo {
        let echo = echo(request, place, inlet, writer, meter);
        let echoed = tokio::time::timeout_at(deadline + GRACE, echo).await;
        return echoed.map_err(over)?;
    }
    let sends = request.exchange != Exchange::Upload;
    let milliseconds = Duration::from_millis(request.milliseconds.into());
    let block = usize::try_from(request.block).unwrap_or(usize::MAX);
    let block = if sends { block.clamp(1, MAX_BLOCK) } else { 0 };
    let allowed_place = Arc::clone(place);
    let part = Part {
        exchange: request.exchange,
        sends: Way::Download,
        outlet: Outlet::new(request.downstream(), block),
        plan: Plan {
            bytes: if sends { request.bytes } else { 0 },
            until: Some(Instant::now() + milliseconds),
        },
        incoming: request.upstream(),
        meter,
        allowed: &move |count| allowed_place.allows(count),
        retransmits,
    };
    // The plan and each count of bytes end it in time; this is for a client that says nothing.
    let outcome = tokio::time::timeout_at(deadline + GRACE, part.run(inlet, writer)).await;
    outcome.map_err(over)?.error.map_or(Ok(()), Err)
}

/// How long after its time a connection may take to say why it ends.
const GRACE: Duration = Duration::from_secs(2);

async fn wait_for_go(inlet: &mut Inlet<impl AsyncRead + Unpin>) -> Result<(), Error> {
    let way = Way::Upload;
    let bytes = inlet.gather(1).await;
    let bytes = bytes.map_err(|error| Error::Broken { way, error })?;
    match bytes.first() {
        Some(&GO) => {
            inlet.consume(1);
            Ok(())
        }
        Some(_) => Err(WireError::Damaged("go").into()),
        None => Err(Error::Cut { way, offset: 0 }),
    }
}

/// Sends back what is right, up to the end mark or to the first wrong byte.
async fn echo(
    request: Request,
    place: &Arc<Place>,
    inlet: &mut Inlet<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
    meter: &Meter,
) -> Result<(), Error> {
    let mut intake = Intake::new(request.upstream());
    let mut outlet = Outlet::new(request.downstream(), 0);
    let sent = |error| Error::Broken {
        way: Way::Download,
        error,
    };
    let deadline = Instant::from_std(place.deadline());
    let (finding, error) = loop {
        let Ok(next) = tokio::time::timeout_at(deadline, intake.next(inlet)).await else {
            let limit = place.duration();
            break (Finding::Limit(limit), Some(Error::Limit(limit)));
        };
        match next {
            Ok(Piece::Right(count)) => {
                let bytes = inlet.bytes().get(..count).unwrap_or_default();
                outlet.count(bytes);
                writer.write_all(bytes).await.map_err(sent)?;
                writer.flush().await.map_err(sent)?;
                inlet.consume(count);
                meter.count_echo(count as u64);
                if let Err(limit) = place.allows(2 * count as u64) {
                    break (Finding::Limit(limit), Some(Error::Limit(limit)));
                }
            }
            Ok(Piece::End(_sum)) => break (Finding::Sound, None),
            Err(Flaw::Fault(fault)) => {
                let flaw = Flaw::Fault(fault).on(Way::Upload);
                break (Finding::Fault(fault), Some(flaw));
            }
            Err(flaw @ Flaw::Sums { .. }) => {
                break (Finding::Sound, Some(flaw.on(Way::Upload)));
            }
            Err(flaw) => return Err(flaw.on(Way::Upload)),
        }
    };
    outlet.end(writer).await.map_err(sent)?;
    let ours = Verdict {
        received: intake.sum(),
        finding,
        retransmits: 0,
    };
    writer.write_all(&ours.encode()).await.map_err(sent)?;
    writer.flush().await.map_err(sent)?;
    if let Some(error) = error {
        inlet.discard(GRACE).await;
        return Err(error);
    }
    let theirs = verdict(inlet, Way::Upload).await?;
    verdict_error(&theirs, outlet.sum(), Way::Download).map_or(Ok(()), Err)
}

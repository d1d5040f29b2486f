//! Upload, download, and both at once.

use super::super::exchange::Part;
use super::super::stream::{Outlet, Plan};
use super::super::wire::Exchange;
use super::dial::Line;
use super::watch::Clock;
use super::{OURS, Run, Stream, THEIRS, tokio_time, while_moving};
use crate::bench::error::Error;

/// Moves one stream's payload to the end.
pub(super) async fn transfer(run: &Run, clock: &Clock, mut line: Line, stream: &mut Stream) {
    let meter = run.meter(stream.number);
    if let Err(error) = line.go().await {
        stream.errors.push(Error::Broken { way: OURS, error });
        return;
    }
    let socket = line.take_socket();
    let request = line.request;
    let sends = request.exchange != Exchange::Download;
    let part = Part {
        exchange: request.exchange,
        sends: OURS,
        outlet: Outlet::new(request.upstream(), run.settings.block),
        plan: Plan {
            bytes: if sends { request.bytes } else { 0 },
            until: clock.until.map(tokio_time),
        },
        incoming: request.downstream(),
        meter,
        allowed: &|_count| Ok(()),
        retransmits: &|| Line::retransmits(socket.as_ref()),
    };
    let moving = part.run(&mut line.inlet, &mut line.writer);
    let outcome = match while_moving(meter, run.settings.timeout, moving).await {
        Ok(outcome) => outcome,
        Err(stalled) => {
            stream.errors.push(stalled);
            return;
        }
    };
    stream.download = outcome.received;
    // What the server did not confirm is not counted as moved.
    stream.upload = outcome.confirmed.unwrap_or(0);
    if sends {
        stream.client_retransmits = Some(Line::retransmits(socket.as_ref()).into());
    }
    if request.exchange != Exchange::Upload {
        stream.server_retransmits = outcome.retransmits.map(u64::from);
    }
    let wanted = |bytes: u64| run.settings.bytes.is_some_and(|wanted| bytes != wanted);
    let receives = request.exchange != Exchange::Upload;
    if outcome.error.is_none() && receives && wanted(outcome.received) {
        stream.errors.push(Error::Cut {
            way: THEIRS,
            offset: outcome.received,
        });
    }
    stream.errors.extend(outcome.error);
    drop(socket);
    if stream.errors.is_empty() {
        line.close().await;
    }
}

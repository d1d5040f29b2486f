//! The end of a direction, passed on by proof.

use std::io;

#[cfg(feature = "faults")]
use super::super::super::faults;
use super::{Failure, Need, Step, Way};
use crate::sys::tcp::{self, State};

impl Way<'_> {
    /// The sender is done, or so a read says: passes that on once all it sent is with the receiver.
    pub(super) fn ended(&mut self) -> Step {
        self.tell()?;
        let Some(joined) = &self.joined else {
            return self.pass_on();
        };
        let given = self.given(joined).map_err(Failure::Write)?;
        let info = tcp::info(self.from).map_err(Failure::Read)?;
        let arrived = info.received.saturating_sub(joined.read_before);
        let proven = match info.state {
            // A FIN counts as a byte that arrived.
            State::Finished if !self.aborted => given + 1 == arrived,
            // After RST it is not known whether a FIN was counted.
            State::Finished => {
                let stream = joined.kernel.stream(self.direction);
                let stream = stream.map_err(Failure::Kernel)?;
                stream.passed <= joined.forwarded && given >= stream.redirected + stream.passed
            }
            // A read that found nothing, of a stream that goes on: look again.
            State::Established | State::Other => return Ok(Some(Need::Drain)),
        };
        self.closed = true;
        if proven {
            return self.pass_on();
        }
        Ok(Some(Need::Drain))
    }

    pub(super) fn pass_on(&mut self) -> Step {
        if self.aborted {
            return Err(Failure::Read(io::ErrorKind::ConnectionReset.into()));
        }
        #[cfg(feature = "faults")]
        if faults::loses_fin() {
            // For good: the next turn would make up for it.
            self.passed_on = true;
            return Ok(Some(Need::Nothing));
        }
        tcp::finish_writing(self.to).map_err(Failure::Write)?;
        self.passed_on = true;
        Ok(Some(Need::Nothing))
    }
}

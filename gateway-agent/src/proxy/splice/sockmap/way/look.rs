//! What there is to see of a direction from outside: its windows, and what queues where no window holds
//! it back.

use std::io;

use super::{Failure, Need, Way};
use crate::sys::tcp;

impl Way<'_> {
    /// Bytes that were redirected and that the receiver's socket has taken, as a count that wraps.
    pub(in super::super) fn taken(&self) -> io::Result<u32> {
        let Some(joined) = &self.joined else {
            return Ok(0);
        };
        let redirected = joined.kernel.stream(self.direction)?.redirected;
        let taken = redirected.saturating_sub(self.backlog()?);
        #[expect(clippy::cast_possible_truncation, reason = "the count wraps")]
        Ok(taken as u32)
    }

    /// Bytes that queue in the kernel behind those redirected to the sender, which has taken `taken`;
    /// and the budget.
    pub(in super::super) fn hidden(&self, taken: u32) -> io::Result<(u64, u64)> {
        let Some(joined) = &self.joined else {
            return Ok((0, 0));
        };
        let stream = joined.kernel.stream(self.direction)?;
        let budget = u64::from(joined.kernel.budget(self.direction));
        let still = taken.wrapping_sub(stream.mark).cast_signed() < 0;
        Ok((if still { stream.hidden } else { 0 }, budget))
    }

    /// Takes up that what was hidden comes to light, and is charged to the sender's socket from then on;
    /// whether all of it is.
    pub(in super::super) fn unhide(&mut self) -> Result<bool, Failure> {
        let Some(joined) = &mut self.joined else {
            return Ok(true);
        };
        if self.need == Need::Write {
            let made = joined.buffers.make_room(self.from, true);
            made.map_err(Failure::Read)?;
        }
        let stream = joined.kernel.stream(self.direction);
        let stream = stream.map_err(Failure::Kernel)?;
        let owed = stream.passed.wrapping_sub(joined.forwarded);
        let waiting = owed.saturating_sub(self.held.len() as u64);
        let charged = tcp::charged(self.from).map_err(Failure::Read)?;
        Ok(u64::from(charged) >= waiting)
    }

    /// Asks for a look at the windows after some bytes.
    pub(in super::super) fn ask_for_review(&self) -> io::Result<()> {
        self.joined.as_ref().map_or(Ok(()), |joined| {
            let bytes = joined.buffers.next_review();
            joined.kernel.review(self.direction, bytes)
        })
    }

    /// Shuts the sender's window, or opens it again if it was shut.
    pub(in super::super) fn shut(&mut self, shut: bool) -> Result<(), Failure> {
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        let set = joined.buffers.shut(self.from, shut);
        set.map_err(Failure::Read)
    }

    /// Whether its receiver takes nothing, so that it is looked at again after some time.
    pub(in super::super) fn is_blocked(&self) -> bool {
        self.need == Need::Write && self.joined.is_some()
    }

    /// Looks whether segments of the sender were lost while its receiver takes nothing.
    pub(in super::super) fn make_up_for_drops(&mut self) -> Result<(), Failure> {
        let Some(joined) = self.joined.as_mut().filter(|_| self.need == Need::Write) else {
            return Ok(());
        };
        let made = joined.buffers.make_up_for_drops(self.from);
        made.map_err(Failure::Read)
    }

    /// Looks whether the sender's window should be wider.
    pub(in super::super) fn review(&mut self) -> Result<(), Failure> {
        let waiting = self.backlog().map_err(Failure::Kernel)?;
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        let (kernel, direction) = (&joined.kernel, self.direction);
        let stream = kernel.stream(direction).map_err(Failure::Kernel)?;
        kernel.looked(direction, stream.backlog, waiting);
        let before = joined.buffers.next_review();
        let average = stream.redirected / stream.packets.max(1);
        let sockets = (self.from, self.to);
        let reviewed = joined.buffers.review(sockets, stream.redirected, average);
        reviewed.map_err(Failure::Read)?;
        let next = joined.buffers.next_review();
        if next != before {
            let asked = kernel.review(direction, next);
            asked.map_err(Failure::Kernel)?;
        }
        Ok(())
    }
}

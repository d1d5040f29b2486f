//! Once joined: forwards what the kernel passes, and tells it, so that it may redirect again.

use std::io;

use tokio::io::Interest;

use super::super::super::copy::buffers::{Buffer, Size};
#[cfg(feature = "faults")]
use super::super::super::faults;
use super::{Failure, Need, Step, Way, has_room};
use crate::sys::tcp;

/// Bytes that are left to open the window with, and how many there must be that it is worth it.
const KEPT: usize = 16;
const WORTH: usize = 16 * 1024;

impl Way<'_> {
    /// Forwards what the kernel passed, and takes it once nothing is left to be forwarded: what is not
    /// taken keeps the sender's window shut, so that it cannot stay ahead for good.
    pub(super) fn relay(&mut self) -> Step {
        let mut buffer = Buffer::take(Size::LARGEST);
        let ahead = self.ahead();
        let peek = || match tcp::peek(self.from, buffer.bytes())? {
            read if read > 0 && read <= ahead => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        };
        let read = match self.from.try_io(Interest::READABLE, peek) {
            Ok(0) => return self.ended(),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.dry(),
            Err(error) => return Err(Failure::Read(error)),
        };
        self.narrow()?;
        // From the first passed byte to the last forwarded one the kernel redirects nothing: what is
        // redirected now came before what was read now.
        if self.backlog().map_err(Failure::Kernel)? > 0 {
            return Ok(Some(Need::Drain));
        }
        if let Some(joined) = &mut self.joined {
            joined.buffers.lower(self.to).map_err(Failure::Write)?;
        }
        if !has_room(self.to).map_err(Failure::Write)? {
            return self.blocked();
        }
        #[cfg(feature = "faults")]
        faults::spoil(buffer.bytes().get_mut(ahead..read).unwrap_or_default());
        let written = self.write(buffer.bytes().get(ahead..read).unwrap_or_default())?;
        let ahead = ahead + written;
        if let Some(joined) = &mut self.joined {
            joined.ahead = ahead;
        }
        self.tell()?;
        if ahead < read {
            return self.blocked();
        }
        self.take(&mut buffer)?;
        Ok(None)
    }

    /// Has the sender stop soon, once for all that is passed in a row.
    fn narrow(&mut self) -> Result<(), Failure> {
        if self.joined.as_ref().is_some_and(|it| it.buffers.is_wide()) {
            let unread = self.unread().map_err(Failure::Kernel)?;
            if let Some(joined) = &mut self.joined {
                let narrowed = joined.buffers.narrow(self.from, unread);
                narrowed.map_err(Failure::Read)?;
            }
        }
        Ok(())
    }

    /// Bytes that are forwarded and not taken yet.
    pub(super) fn ahead(&self) -> usize {
        self.joined.as_ref().map_or(0, |joined| joined.ahead)
    }

    /// Takes what is forwarded, if the kernel has passed no more than that or the buffer is full; whether
    /// it did.
    pub(super) fn take(&mut self, buffer: &mut Buffer) -> Result<bool, Failure> {
        let ahead = self.ahead();
        let last = !self.owes().map_err(Failure::Kernel)?;
        let Some(seen) = buffer.bytes().get_mut(..ahead) else {
            return Ok(false);
        };
        if ahead == 0 || !(last || ahead == Size::LARGEST.bytes()) {
            return Ok(false);
        }
        if last {
            self.restore()?;
            let rest = self.take_patiently(seen)?;
            if let Some(joined) = &mut self.joined {
                joined.buffers.open(self.from).map_err(Failure::Read)?;
            }
            tcp::take(self.from, rest).map_err(Failure::Read)?;
        } else {
            let unread = self.unread().map_err(Failure::Kernel)?;
            if let Some(joined) = &mut self.joined {
                let narrowed = joined.buffers.stay_narrow(self.from, unread, ahead);
                narrowed.map_err(Failure::Read)?;
            }
            tcp::take(self.from, seen).map_err(Failure::Read)?;
        }
        self.read += ahead as u64;
        if let Some(joined) = &mut self.joined {
            joined.ahead = 0;
        }
        Ok(true)
    }

    /// Takes most of the last bytes, which opens the sender's window; the few that are left open it once more.
    ///
    /// A sender on the same processor answers before the socket is let go, and goes on for as long as the
    /// answers open its window: until the buffer is full. Then the program passes what comes, and as soon
    /// as the socket is let go there is room for a whole buffer of that. So it is told to redirect all
    /// for the moment, until the window is shut; and where that happens, another of the bytes is taken.
    fn take_patiently<'s>(&self, seen: &'s mut [u8]) -> Result<&'s mut [u8], Failure> {
        let Some(joined) = self.joined.as_ref().filter(|_| seen.len() >= WORTH) else {
            return Ok(seen);
        };
        let patient = |patient| {
            let set = joined.kernel.be_patient(self.direction, patient);
            set.map_err(Failure::Kernel)
        };
        let (most, mut rest) = seen.split_at_mut(seen.len() - KEPT);
        patient(true)?;
        let mut taken = tcp::take(self.from, most);
        while taken.is_ok()
            && rest.len() > 1
            && joined
                .buffers
                .announces_little(self.from)
                .map_err(Failure::Read)?
        {
            let (one, more) = rest.split_at_mut(1);
            (taken, rest) = (tcp::take(self.from, one), more);
        }
        patient(false)?;
        taken.map_err(Failure::Read)?;
        Ok(rest)
    }

    /// Nothing can be read: tells the kernel what was forwarded, so that it may redirect again.
    pub(super) fn dry(&mut self) -> Step {
        self.whole = true;
        self.size = Size::default();
        self.tell()?;
        if self.ahead() > 0 && self.take(&mut Buffer::take(Size::LARGEST))? {
            return Ok(None);
        }
        if self.closed {
            return self.ended();
        }
        Ok(Some(Need::Read))
    }

    /// Both sockets get their whole buffers back, now that nothing is left to be relayed.
    pub(super) fn restore(&mut self) -> Result<(), Failure> {
        let (from, to) = (self.from, self.to);
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        let given = || Ok(tcp::given(to)?.0);
        let restored = joined.buffers.restore(from, to, given);
        restored.map_err(Failure::Write)
    }

    pub(super) fn tell(&mut self) -> Result<(), Failure> {
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        if joined.told != joined.forwarded {
            let (direction, bytes) = (self.direction, joined.forwarded);
            let said = joined.kernel.forwarded(direction, bytes);
            said.map_err(Failure::Kernel)?;
            joined.told = joined.forwarded;
        }
        Ok(())
    }
}

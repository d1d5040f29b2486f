//! Looking at what the kernel does by itself: whether the windows do, and whether it holds more than it may.

use std::time::Duration;

use gateway_common::abi::splice::{Direction, Stream};
use tokio::time::Instant;

use super::super::super::close::CloseReason;
use super::Flow;

/// How long the kernel's worker may be late with more than it may hold, and with how many times as much:
/// a fast sender fills that before the agent has shut its window.
const MOST_LATE: Duration = Duration::from_secs(1);
const FAR_TOO_MUCH: u64 = 16;

impl Flow<'_> {
    /// Looks at what the kernel does: whether the windows do, and whether it holds more than it may.
    pub(super) fn look(&mut self) {
        for index in [0, 1] {
            if let Err(failure) = self.ways[index].review() {
                self.note(index, &failure);
            }
        }
        self.look_for_hidden();
    }

    /// Looks at senders whose receivers take nothing.
    pub(super) fn make_up_for_drops(&mut self) {
        for index in [0, 1] {
            if let Err(failure) = self.ways[index].make_up_for_drops() {
                self.note(index, &failure);
            }
        }
    }

    /// Passed bytes that queue behind redirected ones hold back nobody, so the sender's window is shut.
    /// They come to light when the kernel's worker gets its turn, after some milliseconds where others
    /// want the processor; if it never does, memory ends before the connection.
    pub(super) fn look_for_hidden(&mut self) {
        let now = Instant::now();
        self.hidden = false;
        let mut late = false;
        for index in [0, 1] {
            let found = self.ways[1 - index].taken();
            let Ok((bytes, budget)) = found.and_then(|taken| self.ways[index].hidden(taken)) else {
                continue;
            };
            let most = budget * Stream::MOST_HIDDEN;
            if let Err(failure) = self.ways[index].shut(bytes > most) {
                self.note(index, &failure);
            }
            self.hidden |= bytes > budget;
            if bytes <= most {
                continue;
            }
            late = true;
            let since = *self.late_since.get_or_insert(now);
            if now - since > MOST_LATE || bytes > most * FAR_TOO_MUCH {
                tracing::warn!(
                    bytes,
                    most,
                    "more passed bytes queue in the kernel than may"
                );
                self.abort = Some((Direction::Upstream, CloseReason::KernelBacklog, now));
            }
        }
        if !late {
            self.late_since = None;
        }
        if self.hidden {
            return;
        }
        for index in [0, 1] {
            match self.ways[index].unhide() {
                Ok(all) => self.hidden |= !all,
                Err(failure) => self.note(index, &failure),
            }
        }
    }
}

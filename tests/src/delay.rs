//! A box between two namespaces that holds every frame back for a time: what netem would do, for
//! kernels without it.
//!
//! Both of its ends are TAP devices and not TUN ones: packets of devices without link header take
//! other ways through the kernel. Frames cross as the kernel hands them out, large ones with their
//! segmentation still to be done, so that the box itself is no bottleneck.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::netns::{End, Namespace};

/// The largest frame that the kernel hands out, with its link header and the offload header.
const FRAME: usize = 70 * 1024;

/// Bytes of one direction that may be on their way: like any link's queue, the box drops what is
/// more. 64 MiB are 80 ms at 6 Gbit/s.
const IN_FLIGHT: usize = 64 * 1024 * 1024;

/// The longest the box takes to notice that it is no longer wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// A running box; dropping it takes its devices away.
#[derive(Debug)]
pub struct DelayBox {
    wanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DelayBox {
    /// Joins two namespaces by a link that takes `delay` in each direction.
    pub fn join(
        (one, here): (&Namespace, &End),
        (other, there): (&Namespace, &End),
        delay: Duration,
    ) -> Result<Self> {
        let ends = [one.tap(here)?, other.tap(there)?];
        let wanted = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&wanted);
        let work = move || {
            if let Err(error) = carry(ends, delay, &seen) {
                eprintln!("the box that delays has stopped: {error:#}");
            }
        };
        let thread = thread::Builder::new()
            .name("delay".to_owned())
            .spawn(work)?;
        Ok(Self {
            wanted,
            thread: Some(thread),
        })
    }
}

impl Drop for DelayBox {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the box that delays panicked");
        }
    }
}

/// Frames on their way in one direction, first in, first out: all wait equally long.
#[derive(Debug, Default)]
struct Line {
    frames: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Line {
    fn take_in(&mut self, frame: &[u8], due: Instant) {
        if self.bytes + frame.len() <= IN_FLIGHT {
            self.bytes += frame.len();
            self.frames.push_back((due, frame.to_vec()));
        }
    }

    fn next_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.frames.front().filter(|(due, _)| *due <= now)?;
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

/// Moves frames between the two devices until nobody wants it any more.
fn carry([mut one, mut other]: [File; 2], delay: Duration, wanted: &AtomicBool) -> Result<()> {
    let (mut there, mut back) = (Line::default(), Line::default());
    let mut buffer = vec![0; FRAME];
    while wanted.load(Ordering::Relaxed) {
        wait([&one, &other], [&there, &back])?;
        receive(&mut one, &mut there, delay, &mut buffer)?;
        receive(&mut other, &mut back, delay, &mut buffer)?;
        send(&mut there, &mut other)?;
        send(&mut back, &mut one)?;
    }
    Ok(())
}

/// Sleeps until a frame comes in or one is due.
fn wait(devices: [&File; 2], lines: [&Line; 2]) -> Result<()> {
    let next = lines
        .iter()
        .filter_map(|line| line.frames.front())
        .map(|(due, _)| *due)
        .min();
    let pause = next.map_or(GLANCE, |due| {
        due.saturating_duration_since(Instant::now()).min(GLANCE)
    });
    let pause = Timespec::try_from(pause).context("a tenth of a second is a time")?;
    let mut watched = devices.map(|device| PollFd::new(device, PollFlags::IN));
    match poll(&mut watched, Some(&pause)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for frames"),
    }
}

fn receive(device: &mut File, line: &mut Line, delay: Duration, buffer: &mut [u8]) -> Result<()> {
    loop {
        match device.read(buffer) {
            Ok(count) => line.take_in(
                buffer.get(..count).unwrap_or_default(),
                Instant::now() + delay,
            ),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot read a frame"),
        }
    }
}

fn send(line: &mut Line, device: &mut File) -> Result<()> {
    let now = Instant::now();
    while let Some(frame) = line.next_due(now) {
        match device.write(&frame) {
            Ok(_whole) => {}
            // As on any link, what the other side cannot take is lost, and so is what it refuses.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::InvalidInput
                ) => {}
            Err(error) => return Err(error).context("cannot write a frame"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{IN_FLIGHT, Line};

    #[test]
    fn frames_leave_in_order_and_not_before_they_are_due() {
        let mut line = Line::default();
        let now = Instant::now();
        line.take_in(b"a", now + Duration::from_millis(1));
        line.take_in(b"b", now + Duration::from_millis(2));
        assert_eq!(line.next_due(now), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(line.next_due(later).as_deref(), Some(&b"a"[..]));
        assert_eq!(line.next_due(later).as_deref(), Some(&b"b"[..]));
        assert_eq!((line.next_due(later), line.bytes), (None, 0));
    }

    #[test]
    fn a_full_box_drops() {
        let mut line = Line::default();
        line.take_in(&vec![0; IN_FLIGHT], Instant::now());
        line.take_in(b"one too many", Instant::now());
        assert_eq!(line.frames.len(), 1);
    }
}

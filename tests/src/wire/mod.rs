//! A wire with weather: two TAP devices and a forwarder between them that delays, loses, repeats,
//! reorders and marks frames, all by one seed.
//!
//! It stands in for the kernel's own emulator, which few test kernels have. TAP and not TUN: packets
//! of devices without link header take other paths through the kernel. A wire that only delays carries
//! frames as the kernel hands them out, large ones with their segmentation still to be done, so that it is
//! no bottleneck itself; one that picks frames out carries each packet by itself.

mod lane;
mod tap;

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::netns::{End, Namespace};
use lane::Lane;

/// What a wire does to frames, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How long a frame is under way.
    pub delay: Duration,
    /// Out of a thousand frames, so many are lost.
    pub lost: u32,
    /// Out of a thousand frames, so many come twice.
    pub doubled: u32,
    /// Out of a thousand frames, so many come later than those sent after them.
    pub late: u32,
    /// Out of a thousand frames whose sender understands it (RFC 3168), so many tell of congestion.
    pub marked: u32,
    /// The largest packet that passes, link header aside; larger ones are dropped without a word.
    /// `None`: what the devices take.
    pub largest: Option<usize>,
}

impl Weather {
    /// One that only delays.
    #[must_use]
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// Whether something happens to some packets and not to others.
    fn picks(&self) -> bool {
        [self.lost, self.doubled, self.late, self.marked] != [0; 4] || self.largest.is_some()
    }
}

/// What a wire has done so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Frames that came.
    pub frames: AtomicU64,
    /// Frames that were lost.
    pub lost: AtomicU64,
    /// Frames that were doubled.
    pub doubled: AtomicU64,
    /// Frames that were held back.
    pub late: AtomicU64,
    /// Frames that were made to tell of congestion.
    pub marked: AtomicU64,
    /// Frames that were too large.
    pub large: AtomicU64,
}

/// A running wire; dropped, it forwards nothing any more, and its devices go.
#[derive(Debug)]
pub struct Wire {
    tally: Arc<Tally>,
    cut: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Longest that the forwarder waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

impl Wire {
    /// Makes the two devices, up and with their addresses, and joins them.
    pub fn join(
        (one, here): (&Namespace, &End),
        (other, there): (&Namespace, &End),
        weather: Weather,
        seed: u64,
    ) -> Result<Self> {
        let whole = !weather.picks();
        let ends = [
            tap::open(one, here, whole)?,
            tap::open(other, there, whole)?,
        ];
        let tally = Arc::new(Tally::default());
        let (cut, end) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut chance = fastrand::Rng::with_seed(seed);
        let forwarder = Forwarder {
            ends,
            lanes: [(); 2].map(|()| Lane::new(weather, chance.fork(), Arc::clone(&tally))),
            buffer: vec![0; tap::LARGEST],
            cut: Arc::clone(&cut),
            end: Arc::clone(&end),
        };
        let thread = std::thread::Builder::new()
            .name("wire".into())
            .spawn(move || forwarder.run())
            .context("cannot start the thread of a wire")?;
        Ok(Self {
            tally,
            cut,
            end,
            thread: Some(thread),
        })
    }

    /// What it has done.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// From now on, or no longer, nothing passes: whoever is behind it has vanished.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the thread of a wire panicked");
        }
    }
}

/// The thread's half.
struct Forwarder {
    ends: [File; 2],
    /// What came to the end of the same index, on its way to the other.
    lanes: [Lane; 2],
    buffer: Vec<u8>,
    cut: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl Forwarder {
    fn run(mut self) {
        while !self.end.load(Ordering::Relaxed) {
            if let Err(error) = self.turn() {
                return eprintln!("a wire broke: {error:#}");
            }
        }
    }

    fn turn(&mut self) -> Result<()> {
        self.wait()?;
        for way in [0, 1] {
            self.take(way)?;
            self.deliver(way);
        }
        Ok(())
    }

    /// Waits until a frame comes or is due.
    fn wait(&self) -> Result<()> {
        let now = Instant::now();
        let due = self.lanes.iter().filter_map(Lane::next_due).min();
        let time = due.map_or(LOOK, |due| due.saturating_duration_since(now).min(LOOK));
        let time = Timespec::try_from(time).context("a pause is short")?;
        let mut ends = [0, 1].map(|end| PollFd::new(&self.ends[end], PollFlags::IN));
        match poll(&mut ends, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for frames"),
        }
    }

    /// Takes all frames that came to one end.
    fn take(&mut self, way: usize) -> Result<()> {
        loop {
            match self.ends[way].read(&mut self.buffer) {
                Ok(length) if !self.cut.load(Ordering::Relaxed) => {
                    let frame = self.buffer.get(..length).unwrap_or_default();
                    self.lanes[way].send(frame, Instant::now());
                }
                Ok(_vanished) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot read a frame"),
            }
        }
    }

    /// Writes the frames that are due to the other end.
    fn deliver(&mut self, way: usize) {
        let now = Instant::now();
        while let Some(frame) = self.lanes[way].arrived(now) {
            // A device that is down or full loses frames, as devices do.
            if self.ends[1 - way].write(&frame).is_err() {
                self.lanes[way].lose();
            }
        }
    }
}

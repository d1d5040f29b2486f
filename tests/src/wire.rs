//! A wire with weather: two TAP devices and a forwarder between them that delays, loses, repeats and
//! reorders frames, all by one seed.
//!
//! It stands in for the kernel's own emulator, which few test kernels have. TAP and not TUN: frames
//! without a link header take other paths through the kernel.

use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::netns::Namespace;

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
    /// The largest packet that passes, link header aside; larger ones are dropped without a word.
    /// `None`: what the devices take.
    pub largest: Option<usize>,
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

/// A frame with all headers of Ethernet, and a large one's payload.
const FRAME: usize = 16 * 1024;

/// Bytes of a link header.
const LINK_HEADER: usize = 14;

/// How much later a late frame comes, beyond the delay.
const LATE: Duration = Duration::from_millis(8);

/// Frames under way each way; more are lost, as in any queue.
const UNDER_WAY: usize = 4096;

impl Wire {
    /// Makes a device of this name in each namespace and joins them.
    pub fn join(
        (one, one_name): (&Namespace, &str),
        (other, other_name): (&Namespace, &str),
        weather: Weather,
        seed: u64,
    ) -> Result<Self> {
        let ends = [tap(one, one_name)?, tap(other, other_name)?];
        let tally = Arc::new(Tally::default());
        let (cut, end) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let forwarder = Forwarder {
            ends,
            weather,
            chance: fastrand::Rng::with_seed(seed),
            under_way: [BinaryHeap::new(), BinaryHeap::new()],
            tally: Arc::clone(&tally),
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

/// A frame on its way; the one that is due first is the greatest.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    due: Instant,
    number: u64,
    bytes: Vec<u8>,
}

impl Ord for Frame {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Frame {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The thread's half.
struct Forwarder {
    ends: [File; 2],
    weather: Weather,
    chance: fastrand::Rng,
    under_way: [BinaryHeap<Frame>; 2],
    tally: Arc<Tally>,
    cut: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl Forwarder {
    fn run(mut self) {
        while !self.end.load(Ordering::Relaxed) {
            if let Err(error) = self.wait() {
                return eprintln!("a wire broke: {error:#}");
            }
            for way in [0, 1] {
                self.take(way);
                self.deliver(way);
            }
        }
    }

    /// Waits until a frame comes or is due.
    fn wait(&self) -> Result<()> {
        let now = Instant::now();
        let first = self.under_way.iter().filter_map(BinaryHeap::peek);
        let due = first.map(|frame| frame.due).min();
        let time = due.map_or(LOOK, |due| due.saturating_duration_since(now).min(LOOK));
        let time = Timespec::try_from(time).context("a pause is short")?;
        let mut ends = [0, 1].map(|end| PollFd::new(&self.ends[end], PollFlags::IN));
        match poll(&mut ends, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for frames"),
        }
    }

    /// Takes all frames that came to one end.
    fn take(&mut self, way: usize) {
        let mut bytes = vec![0; FRAME];
        while let Ok(length) = self.ends[way].read(&mut bytes) {
            self.send(way, bytes.get(..length).unwrap_or_default());
        }
    }

    /// Puts a frame on its way, or does not.
    fn send(&mut self, way: usize, bytes: &[u8]) {
        let number = self.tally.frames.fetch_add(1, Ordering::Relaxed);
        if self.cut.load(Ordering::Relaxed) {
            return;
        }
        let largest = self.weather.largest.unwrap_or(usize::MAX);
        if bytes.len().saturating_sub(LINK_HEADER) > largest {
            self.tally.large.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.happens(self.weather.lost) || self.under_way[way].len() >= UNDER_WAY {
            self.tally.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut due = Instant::now() + self.weather.delay;
        if self.happens(self.weather.late) {
            self.tally.late.fetch_add(1, Ordering::Relaxed);
            due += LATE.mul_f64(self.chance.f64());
        }
        let frame = || Frame {
            due,
            number,
            bytes: bytes.to_vec(),
        };
        self.under_way[way].push(frame());
        if self.happens(self.weather.doubled) {
            self.tally.doubled.fetch_add(1, Ordering::Relaxed);
            self.under_way[way].push(frame());
        }
    }

    fn happens(&mut self, of_a_thousand: u32) -> bool {
        self.chance.u32(..1000) < of_a_thousand
    }

    /// Writes the frames that are due to the other end.
    fn deliver(&mut self, way: usize) {
        let now = Instant::now();
        while self.under_way[way]
            .peek()
            .is_some_and(|frame| frame.due <= now)
        {
            let Some(frame) = self.under_way[way].pop() else {
                return;
            };
            // A device that is down or full loses frames, as devices do.
            if self.ends[1 - way].write(&frame.bytes).is_err() {
                self.tally.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The argument of `TUNSETIFF`: a name and flags, in the size of the kernel's `struct ifreq`.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Makes a TAP device in a namespace; it lives as long as the returned file.
#[expect(unsafe_code, reason = "no crate of the tree wraps TUNSETIFF")]
fn tap(namespace: &Namespace, name: &str) -> Result<File> {
    ensure!(
        name.len() < libc::IFNAMSIZ,
        "{name} is too long for a device"
    );
    let _inside = namespace.enter()?;
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun: does the kernel have tun?")?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI)?,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the descriptor is open, and the request is as large as the kernel's.
    let made = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    ensure!(
        made == 0,
        "cannot make the device {name}: {}",
        std::io::Error::last_os_error()
    );
    Ok(file)
}

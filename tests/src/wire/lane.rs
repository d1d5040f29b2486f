//! One direction of a wire: what becomes of each frame, and when it comes.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Tally, Weather};

/// How much later a late frame comes, beyond the delay, at most.
const LATE: Duration = Duration::from_millis(8);

/// Bytes under way in one direction; what is more is lost, as in any queue. It is what 80 ms hold at
/// 6 Gbit/s.
const UNDER_WAY: usize = 64 * 1024 * 1024;

/// Bytes of a link header.
const LINK_HEADER: usize = 14;

/// Frames under way in one direction.
pub(super) struct Lane {
    weather: Weather,
    chance: fastrand::Rng,
    tally: Arc<Tally>,
    frames: BinaryHeap<Frame>,
    /// Of all frames under way.
    bytes: usize,
    /// Frames sent so far.
    sent: u64,
}

impl Lane {
    pub(super) fn new(weather: Weather, chance: fastrand::Rng, tally: Arc<Tally>) -> Self {
        Self {
            weather,
            chance,
            tally,
            frames: BinaryHeap::new(),
            bytes: 0,
            sent: 0,
        }
    }

    /// Puts a frame on its way, or does not.
    pub(super) fn send(&mut self, frame: &[u8], now: Instant) {
        count(&self.tally.frames);
        let largest = self.weather.largest.unwrap_or(usize::MAX);
        if frame.len().saturating_sub(LINK_HEADER) > largest {
            return count(&self.tally.large);
        }
        if self.happens(self.weather.lost) {
            return self.lose();
        }
        let mut due = now + self.weather.delay;
        if self.happens(self.weather.late) {
            count(&self.tally.late);
            due += LATE.mul_f64(self.chance.f64());
        }
        let mut bytes = frame.to_vec();
        if self.happens(self.weather.marked) && mark(&mut bytes) {
            count(&self.tally.marked);
        }
        if self.happens(self.weather.doubled) {
            count(&self.tally.doubled);
            self.push(due, bytes.clone());
        }
        self.push(due, bytes);
    }

    fn push(&mut self, due: Instant, bytes: Vec<u8>) {
        if self.bytes + bytes.len() > UNDER_WAY {
            return self.lose();
        }
        self.bytes += bytes.len();
        self.sent += 1;
        self.frames.push(Frame {
            due,
            number: self.sent,
            bytes,
        });
    }

    fn happens(&mut self, of_a_thousand: u32) -> bool {
        self.chance.u32(..1000) < of_a_thousand
    }

    /// When the next frame comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.frames.peek().map(|frame| frame.due)
    }

    /// The next frame that has come by now.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next_due().filter(|due| *due <= now)?;
        let frame = self.frames.pop()?;
        self.bytes -= frame.bytes.len();
        Some(frame.bytes)
    }

    /// Counts a frame that is lost.
    pub(super) fn lose(&self) {
        count(&self.tally.lost);
    }
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
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

/// The two bits of an IP header that say "congestion was met".
const CONGESTION: u8 = 0b11;

/// Has a packet tell of congestion, if its sender understands that.
fn mark(frame: &mut [u8]) -> bool {
    let Some((link, packet)) = frame.split_at_mut_checked(LINK_HEADER) else {
        return false;
    };
    match (&link[12..], packet) {
        (&[0x08, 0x00], [version, service, _, _, _, _, _, _, _, _, high, low, ..])
            if *service & CONGESTION != 0 =>
        {
            let before = u16::from_be_bytes([*version, *service]);
            *service |= CONGESTION;
            let after = u16::from_be_bytes([*version, *service]);
            let sum = u16::from_be_bytes([*high, *low]);
            [*high, *low] = changed(sum, before, after).to_be_bytes();
            true
        }
        // The traffic class begins in the middle of the first byte, and no checksum covers it.
        (&[0x86, 0xdd], [_, class, ..]) if *class & (CONGESTION << 4) != 0 => {
            *class |= CONGESTION << 4;
            true
        }
        _ => false,
    }
}

/// A checksum of the internet's kind, after one word has changed (RFC 1624, equation 3).
fn changed(sum: u16, before: u16, after: u16) -> u16 {
    let words = [!sum, !before, after].map(u32::from);
    let mut folded: u32 = words.iter().sum();
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(weather: Weather) -> Lane {
        Lane::new(weather, fastrand::Rng::with_seed(1), Arc::default())
    }

    /// Every frame that comes in the end, in the order of their coming.
    fn all(lane: &mut Lane, now: Instant) -> Vec<Vec<u8>> {
        let end = now + Duration::from_secs(60);
        core::iter::from_fn(|| lane.arrived(end)).collect()
    }

    #[test]
    fn frames_come_in_order_and_not_before_they_are_due() {
        let now = Instant::now();
        let mut lane = lane(Weather::delay(Duration::from_millis(5)));
        for frame in [b"a", b"b", b"c"] {
            lane.send(frame, now);
        }
        assert_eq!(lane.arrived(now + Duration::from_millis(4)), None);
        assert_eq!(all(&mut lane, now), [b"a", b"b", b"c"]);
        assert_eq!(lane.bytes, 0);
    }

    #[test]
    fn a_full_lane_loses_what_is_more() {
        let now = Instant::now();
        let mut lane = lane(Weather::default());
        lane.send(&vec![0; UNDER_WAY], now);
        lane.send(b"one too many", now);
        assert_eq!(all(&mut lane, now).len(), 1);
        assert_eq!(lane.tally.lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn weather_is_what_was_ordered_and_is_counted() {
        let now = Instant::now();
        let mut lane = lane(Weather {
            lost: 100,
            doubled: 100,
            late: 100,
            ..Weather::default()
        });
        let sent: Vec<Vec<u8>> = (0..10_000_u32).map(|n| n.to_be_bytes().into()).collect();
        sent.iter().for_each(|frame| lane.send(frame, now));
        let mut came = all(&mut lane, now);
        assert_ne!(came, sent);
        assert!(!came.is_sorted(), "none came late");
        let tally = &lane.tally;
        let [lost, doubled, late] =
            [&tally.lost, &tally.doubled, &tally.late].map(|count| count.load(Ordering::Relaxed));
        for (what, count) in [("lost", lost), ("doubled", doubled), ("late", late)] {
            assert!((800..1200).contains(&count), "{count} {what}");
        }
        assert_eq!(came.len() as u64, 10_000 - lost + doubled);
        came.sort();
        came.dedup();
        assert_eq!(came.len() as u64, 10_000 - lost);
    }

    #[test]
    fn only_packets_that_fit_pass() {
        let now = Instant::now();
        let mut lane = lane(Weather {
            largest: Some(1280),
            ..Weather::default()
        });
        for length in [1280, 1281] {
            lane.send(&vec![0; LINK_HEADER + length], now);
        }
        assert_eq!(all(&mut lane, now).len(), 1);
        assert_eq!(lane.tally.large.load(Ordering::Relaxed), 1);
    }

    /// The sum over a header whose checksum is right is all ones.
    fn sum(header: &[u8]) -> u16 {
        let words = header.chunks(2);
        let sum: u32 = words
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
    }

    #[test]
    fn a_marked_packet_is_a_right_one_that_tells_of_congestion() {
        let mut four = [0; 34];
        four[12..14].copy_from_slice(&[0x08, 0x00]);
        // A UDP packet's header; its own sum is 0xb861.
        let header =
            b"\x45\x00\x00\x73\x00\x00\x40\x00\x40\x11\xb8\x61\xc0\xa8\x00\x01\xc0\xa8\x00\xc7";
        four[14..].copy_from_slice(header);
        assert_eq!(sum(&four[14..]), 0xffff);
        assert!(!mark(&mut four), "its sender does not understand the mark");
        let changed_sum = changed(0xb861, 0x4500, 0x4502);
        four[15] = 2;
        four[24..26].copy_from_slice(&changed_sum.to_be_bytes());
        assert!(mark(&mut four));
        assert_eq!((four[15], sum(&four[14..])), (3, 0xffff));

        let mut six = [0; 54];
        six[12..16].copy_from_slice(&[0x86, 0xdd, 0x60, 0x20]);
        assert!(mark(&mut six));
        assert_eq!(six[15], 0x30);
        assert!(!mark(&mut [0; 54]) && !mark(&mut [0; 3]));
    }
}

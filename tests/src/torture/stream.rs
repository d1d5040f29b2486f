//! Streams of known bytes that say what became of them: where the first wrong byte is, and whether
//! it was changed on its way or belongs elsewhere.
//!
//! A stream is lines of 1 KiB that begin with their own number; the rest of a line is the same in all
//! of one stream and another in every other stream.

use core::fmt;

/// Length of a line.
const LINE: usize = 1024;

/// Bytes of a line that are its number.
const NUMBER: usize = 8;

/// How far around its place a piece is looked for: more than any queue on the way takes.
const AROUND: u64 = 4 << 20;

/// Bytes that tell a place: with less than a line and a number no number need be among them.
const TELLING: usize = LINE + NUMBER;

/// The bytes of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    seed: u64,
    line: Vec<u8>,
}

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoiled {
    /// One byte is another, and those around it are right.
    Changed { at: u64 },
    /// Here stand bytes of another place of the same stream.
    Moved { at: u64, from: u64 },
    /// Here stand bytes of no place near.
    Foreign { at: u64 },
    /// More came than was sent.
    Surplus { at: u64 },
}

impl fmt::Display for Spoiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { at } => write!(f, "one byte changed at offset {at}"),
            Self::Moved { at, from } if from > at => {
                write!(f, "out of order: at offset {at} stand the bytes of {from}")
            }
            Self::Moved { at, from } => {
                write!(f, "repeated: at offset {at} stand the bytes of {from}")
            }
            Self::Foreign { at } => write!(f, "bytes of no place near at offset {at}"),
            Self::Surplus { at } => write!(f, "more than was sent: bytes from offset {at} on"),
        }
    }
}

impl Stream {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = fastrand::Rng::with_seed(seed);
        let line = (0..LINE).map(|_| bytes.u8(..)).collect();
        Self { seed, line }
    }

    /// Writes the bytes from `offset` on into `room`.
    pub(crate) fn fill(&self, offset: u64, room: &mut [u8]) {
        let mut number = offset / LINE as u64;
        let mut skip = usize::try_from(offset % LINE as u64).unwrap_or_default();
        let mut line = self.line.clone();
        let mut rest = room;
        while !rest.is_empty() {
            line[..NUMBER].copy_from_slice(&(number ^ self.seed).to_le_bytes());
            let take = rest.len().min(LINE - skip);
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&line[skip..skip + take]);
            (rest, skip) = (later, 0);
            number += 1;
        }
    }

    /// The bytes of a range.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes);
        bytes
    }

    /// Says what is wrong with bytes that should be those from `offset` on.
    pub(crate) fn check(&self, offset: u64, got: &[u8]) -> Result<(), Spoiled> {
        let wanted = self.bytes(offset, got.len());
        if wanted == got {
            return Ok(());
        }
        let differs = |(one, other): (&u8, &u8)| one != other;
        let first = got.iter().zip(&wanted).position(differs).unwrap_or(0);
        let at = offset + first as u64;
        let rest = (&got[first + 1..], &wanted[first + 1..]);
        let near = rest.0.len().min(64);
        if rest.0[..near] == rest.1[..near] {
            return Err(Spoiled::Changed { at });
        }
        let piece = &got[first..got.len().min(first + TELLING)];
        Err(match self.find(at, piece) {
            Some(from) => Spoiled::Moved { at, from },
            None => Spoiled::Foreign { at },
        })
    }

    /// Where near a place a piece of the stream stands.
    fn find(&self, at: u64, piece: &[u8]) -> Option<u64> {
        if piece.len() < NUMBER * 2 {
            return None;
        }
        let start = at.saturating_sub(AROUND);
        let length = usize::try_from(at - start + AROUND).unwrap_or_default();
        let around = self.bytes(start, length);
        let found = around
            .windows(piece.len())
            .position(|window| window == piece)?;
        Some(start + found as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_right_in_any_pieces() {
        let stream = Stream::new(1);
        for (offset, length) in [(0, 1), (1, 5000), (1023, 2), (1024, 1024), (77_777, 3)] {
            assert_eq!(
                stream.check(offset, &stream.bytes(offset, length)),
                Ok(()),
                "{offset}"
            );
        }
    }

    #[test]
    fn each_kind_of_wrong_bytes_is_told() {
        let stream = Stream::new(2);
        let mut changed = stream.bytes(5000, 4000);
        changed[123] ^= 1;
        assert_eq!(
            stream.check(5000, &changed),
            Err(Spoiled::Changed { at: 5123 })
        );
        assert_eq!(
            stream.check(0, &stream.bytes(1448, 4000)),
            Err(Spoiled::Moved { at: 0, from: 1448 })
        );
        assert_eq!(
            stream.check(9000, &stream.bytes(7000, 4000)),
            Err(Spoiled::Moved {
                at: 9000,
                from: 7000
            })
        );
        assert_eq!(
            stream.check(0, &Stream::new(3).bytes(0, 4000)),
            Err(Spoiled::Foreign { at: 0 })
        );
    }
}

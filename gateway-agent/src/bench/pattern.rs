//! The payload: a pseudo-random stream that is a function of its seed and the position alone.
//!
//! A tile of random words, the same in every stream, is combined with a key that depends on seed
//! and block: cheap enough to make and to check at the speed of memory, and no two blocks are
//! alike. Both steps can be undone, so that bytes in the wrong place tell which place is theirs.

use core::fmt;
use std::sync::LazyLock;

/// Words of the tile: 64 KiB, which stays in the second-level cache.
const WORDS: usize = 8192;
/// Bytes of one block, the tile's length.
pub(super) const BLOCK: usize = WORDS * WORD;
const WORD: usize = size_of::<u64>();
/// 2^64 divided by the golden ratio, made odd: what splitmix64 counts by.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bytes that are enough to tell from which position they come, whatever their alignment: a pair
/// of words inside one block, also where the first pair crosses a border of blocks.
pub(super) const TELLING: usize = 5 * WORD;
/// No stream is longer: beyond it a position found is chance.
const LONGEST: u64 = 1 << 56;

static TILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let words = (1..=WORDS as u64).flat_map(|n| mix(n.wrapping_mul(STEP)).to_le_bytes());
    words.collect()
});

/// One direction of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) seed: u64,
}

/// What is wrong with a stream, and from which byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The first wrong byte.
    pub(super) offset: u64,
    pub(super) kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Another byte stands there.
    Changed { expected: u8, found: u8 },
    /// The bytes of another position stand there.
    Displaced { from: u64 },
}

impl Pattern {
    /// Writes what belongs at `offset`.
    pub(super) fn fill(self, offset: u64, target: &mut [u8]) {
        self.pieces(offset, target.len(), |key, tile, at| {
            let to = target.get_mut(at..at + tile.len()).unwrap_or_default();
            let (to_words, to_rest) = to.as_chunks_mut::<WORD>();
            let (words, rest) = tile.as_chunks::<WORD>();
            for (to, word) in to_words.iter_mut().zip(words) {
                *to = (u64::from_le_bytes(*word) ^ key).to_le_bytes();
            }
            for ((to, byte), key) in to_rest.iter_mut().zip(rest).zip(key.to_le_bytes()) {
                *to = byte ^ key;
            }
            true
        });
    }

    /// The index of the first byte that does not belong at its place.
    pub(super) fn mismatch(self, offset: u64, bytes: &[u8]) -> Option<usize> {
        let mut wrong = None;
        self.pieces(offset, bytes.len(), |key, tile, at| {
            let found = bytes.get(at..at + tile.len()).unwrap_or_default();
            wrong = first_difference(found, tile, key).map(|index| at + index);
            wrong.is_none()
        });
        wrong
    }

    /// The byte that belongs at `offset`.
    pub(super) fn byte(self, offset: u64) -> u8 {
        let mut byte = [0];
        self.fill(offset, &mut byte);
        byte[0]
    }

    /// The position that all of `bytes` belong to, if there is one.
    pub(super) fn position(self, bytes: &[u8]) -> Option<u64> {
        if bytes.len() < TELLING {
            return None;
        }
        (0..TELLING - 2 * WORD).find_map(|skip| {
            let at = self.position_of_pair(bytes.get(skip..skip + 2 * WORD)?)?;
            let at = at.checked_sub(skip as u64)?;
            self.mismatch(at, bytes).is_none().then_some(at)
        })
    }

    /// What is wrong with `bytes`, the first of which does not belong at `offset`.
    pub(super) fn diagnose(self, offset: u64, bytes: &[u8]) -> Fault {
        let changed = || FaultKind::Changed {
            expected: self.byte(offset),
            found: bytes.first().copied().unwrap_or_default(),
        };
        let displaced = self
            .position(bytes)
            .map(|from| FaultKind::Displaced { from });
        Fault {
            offset,
            kind: displaced.unwrap_or_else(changed),
        }
    }

    /// The position of two words: their difference is the tile's alone and tells the place in the
    /// block, and then the key is known, which tells the block.
    fn position_of_pair(self, pair: &[u8]) -> Option<u64> {
        let &[first, second] = pair.as_chunks::<WORD>().0 else {
            return None;
        };
        let [first, second] = [first, second].map(u64::from_le_bytes);
        let words = TILE.as_chunks::<WORD>().0;
        let pairs = words.iter().zip(words.iter().skip(1));
        let index = pairs
            .map(|(a, b)| (u64::from_le_bytes(*a), u64::from_le_bytes(*b)))
            .position(|(a, b)| a ^ b == first ^ second)?;
        let key = first ^ u64::from_le_bytes(*words.get(index)?);
        let block = unmix(key)
            .wrapping_sub(self.seed)
            .wrapping_mul(inverse(STEP));
        let at = block.checked_mul(BLOCK as u64)?;
        (at < LONGEST).then_some(at + (index * WORD) as u64)
    }

    /// Walks `length` bytes from `offset` on, block by block, until `visit` says no: the key,
    /// turned so that it begins with the piece, the piece of the tile, and where it begins.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "remainders below the length of the tile"
    )]
    fn pieces(self, offset: u64, length: usize, mut visit: impl FnMut(u64, &[u8], usize) -> bool) {
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let (block, inside) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let tile = TILE.get(inside..).unwrap_or_default();
            let tile = tile.get(..length - done).unwrap_or(tile);
            let key = mix(self.seed.wrapping_add(block.wrapping_mul(STEP)));
            // Byte n of the turned key is byte n + inside of the key, counted round.
            let turned = key.rotate_right(8 * (inside % WORD) as u32);
            if !visit(turned, tile, done) {
                return;
            }
            done += tile.len();
        }
    }
}

/// Where `found` first differs from the tile under `key`. The usual case, none, costs one pass
/// without a branch inside.
fn first_difference(found: &[u8], tile: &[u8], key: u64) -> Option<usize> {
    let (words, rest) = found.as_chunks::<WORD>();
    let (tile_words, tile_rest) = tile.as_chunks::<WORD>();
    let mut difference = 0;
    for (word, tile) in words.iter().zip(tile_words) {
        difference |= u64::from_le_bytes(*word) ^ u64::from_le_bytes(*tile) ^ key;
    }
    let keys = key.to_le_bytes();
    for ((byte, tile), key) in rest.iter().zip(tile_rest).zip(keys) {
        difference |= u64::from(byte ^ tile ^ key);
    }
    if difference == 0 {
        return None;
    }
    let keys = keys.iter().cycle();
    let mut bytes = found.iter().zip(tile).zip(keys);
    bytes.position(|((byte, tile), key)| byte ^ tile != *key)
}

/// The finalizer of splitmix64: every bit of the input changes half of the output.
pub(super) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(FIRST);
    let value = (value ^ (value >> 27)).wrapping_mul(SECOND);
    value ^ (value >> 31)
}

const FIRST: u64 = 0xbf58_476d_1ce4_e5b9;
const SECOND: u64 = 0x94d0_49bb_1331_11eb;

const fn unmix(value: u64) -> u64 {
    let value = value ^ (value >> 31) ^ (value >> 62);
    let value = value.wrapping_mul(inverse(SECOND));
    let value = value ^ (value >> 27) ^ (value >> 54);
    let value = value.wrapping_mul(inverse(FIRST));
    value ^ (value >> 30) ^ (value >> 60)
}

/// The inverse of an odd number modulo 2^64, by Newton's method: each step doubles the right bits,
/// and an odd number is its own inverse modulo 8.
const fn inverse(odd: u64) -> u64 {
    let mut guess = odd;
    let mut step = 0;
    while step < 5 {
        guess = guess.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(guess)));
        step += 1;
    }
    guess
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match self.kind {
            FaultKind::Changed { expected, found } => write!(
                f,
                "the byte at offset {offset} is {found:#04x}, not {expected:#04x}"
            ),
            FaultKind::Displaced { from } if from > offset => write!(
                f,
                "at offset {offset} stand the bytes of offset {from}: {} bytes are missing or come \
                 later",
                from - offset
            ),
            FaultKind::Displaced { from } => write!(
                f,
                "at offset {offset} stand the bytes of offset {from}: {} bytes came twice",
                offset - from
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERN: Pattern = Pattern { seed: 7 };

    fn stream(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        PATTERN.fill(0, &mut bytes);
        bytes
    }

    /// What a receiver makes of `bytes` as a stream from its beginning.
    fn judge(bytes: &[u8]) -> Option<Fault> {
        let index = PATTERN.mismatch(0, bytes)?;
        let rest = &bytes[index..(index + 64).min(bytes.len())];
        Some(PATTERN.diagnose(index as u64, rest))
    }

    #[test]
    fn a_flipped_bit_is_found_at_its_offset() {
        for offset in [0, 1, 7, 8, 65_535, 65_536, 99_999, 199_999] {
            let mut bytes = stream(200_000);
            let expected = bytes[offset];
            bytes[offset] ^= 0x10;
            let found = bytes[offset];
            let fault = judge(&bytes).unwrap();
            assert_eq!(fault.offset, offset as u64);
            assert_eq!(fault.kind, FaultKind::Changed { expected, found });
        }
    }

    #[test]
    fn lost_bytes_are_told_with_their_number() {
        for (at, lost) in [(0, 1), (1000, 17), (65_536, 65_536), (70_001, 131_071)] {
            let mut bytes = stream(400_000);
            bytes.drain(at..at + lost);
            let fault = judge(&bytes).unwrap();
            // A byte that is the same by chance is not wrong: the fault may seem to begin later.
            assert!((0..4).contains(&(fault.offset - at as u64)), "{fault:?}");
            let from = fault.offset + lost as u64;
            assert_eq!(fault.kind, FaultKind::Displaced { from }, "{at} {lost}");
        }
    }

    #[test]
    fn a_doubled_block_is_told_with_where_it_comes_from() {
        let mut bytes = stream(300_000);
        let again = bytes[65_536..131_072].to_vec();
        bytes.splice(131_072..131_072, again);
        let fault = judge(&bytes).unwrap();
        assert_eq!(fault.offset, 131_072);
        assert_eq!(fault.kind, FaultKind::Displaced { from: 65_536 });
        assert!(
            fault.to_string().contains("65536 bytes came twice"),
            "{fault}"
        );
    }

    #[test]
    fn swapped_blocks_are_told_with_where_they_come_from() {
        let mut bytes = stream(300_000);
        bytes[65_536..196_608].rotate_left(65_536);
        let fault = judge(&bytes).unwrap();
        assert_eq!(fault.offset, 65_536);
        assert_eq!(fault.kind, FaultKind::Displaced { from: 131_072 });
    }

    #[test]
    fn another_stream_is_no_displaced_one() {
        let mut bytes = vec![0; 1000];
        Pattern { seed: 8 }.fill(0, &mut bytes);
        let fault = judge(&bytes).unwrap();
        assert!(matches!(fault.kind, FaultKind::Changed { .. }), "{fault:?}");
    }

    #[test]
    fn any_cut_of_a_stream_is_the_same_stream() {
        let whole = stream(200_000);
        for (at, length) in [
            (0, 1),
            (3, 9),
            (65_530, 20),
            (65_536, 65_537),
            (100_001, 77_777),
        ] {
            let mut piece = vec![0; length];
            PATTERN.fill(at as u64, &mut piece);
            assert_eq!(piece, whole[at..at + length]);
            assert_eq!(PATTERN.mismatch(at as u64, &piece), None);
        }
    }

    #[test]
    fn mixing_can_be_undone() {
        for value in [0, 1, STEP, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(unmix(mix(value)), value);
        }
    }
}

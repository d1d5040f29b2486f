//! Buffers that are borrowed while bytes move and given back before any wait, so that an idle
//! connection holds none.

use core::cell::RefCell;

/// Sizes a direction grows through as its reads fill the buffer: one segment train, then what
/// amortises a system call, then what a fast path without pipes wants.
const SIZES: [usize; 3] = [16 * 1024, 64 * 1024, 256 * 1024];

/// Buffers of each size that a thread keeps for the next borrower.
const KEPT: usize = 4;

thread_local! {
    static SHELF: RefCell<[Vec<Box<[u8]>>; SIZES.len()]> = RefCell::default();
}

/// Which size a direction is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Size(usize);

impl Size {
    /// The one for bulk.
    pub(in super::super) const LARGEST: Self = Self(SIZES.len() - 1);

    /// The next larger size, or the largest.
    pub(in super::super) fn grow(self) -> Self {
        Self((self.0 + 1).min(SIZES.len() - 1))
    }

    /// The next larger size, short of the one that is for bulk.
    pub(in super::super) fn grow_to_copy(self) -> Self {
        Self((self.0 + 1).min(SIZES.len() - 2))
    }

    /// Length of a buffer of this size.
    pub(in super::super) fn bytes(self) -> usize {
        SIZES[self.0]
    }

    /// Whether it cannot grow.
    #[cfg(test)]
    fn is_largest(self) -> bool {
        self.0 == SIZES.len() - 1
    }
}

/// A borrowed buffer; goes back to this thread's shelf when dropped.
#[derive(Debug)]
pub(in super::super) struct Buffer {
    bytes: Box<[u8]>,
    size: Size,
}

impl Buffer {
    /// Borrows one.
    pub(in super::super) fn take(size: Size) -> Self {
        let kept = SHELF.with_borrow_mut(|shelf| shelf[size.0].pop());
        let bytes = kept.unwrap_or_else(|| vec![0; SIZES[size.0]].into_boxed_slice());
        Self { bytes, size }
    }

    /// The whole of it.
    pub(in super::super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = core::mem::take(&mut self.bytes);
        SHELF.with_borrow_mut(|shelf| {
            let shelf = &mut shelf[self.size.0];
            if shelf.len() < KEPT {
                shelf.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_to_the_largest_and_stay() {
        let mut size = Size::default();
        let mut lengths = Vec::new();
        for _ in 0..4 {
            lengths.push(Buffer::take(size).bytes().len());
            size = size.grow();
        }
        assert_eq!(lengths, [16_384, 65_536, 262_144, 262_144]);
        assert!(size.is_largest());
    }

    #[test]
    fn a_returned_buffer_serves_the_next() {
        let mut first = Buffer::take(Size::default());
        let address = first.bytes().as_ptr();
        drop(first);
        assert_eq!(Buffer::take(Size::default()).bytes().as_ptr(), address);
    }
}

//! Places that never move: in blocks, each allocated once and given back when it is empty.
//!
//! What is parked stands apart from memory that comes and goes, and more places never mean a copy of all.

use slab::Slab;

/// Things with numbers, which are used again.
#[derive(Debug)]
pub(super) struct Places<T> {
    blocks: Vec<Slab<T>>,
    /// Blocks that have room, perhaps named more than once.
    roomy: Vec<usize>,
}

/// Places of a block: so large in bytes that an allocator asks the system for it, and gives it back.
const BLOCK: usize = 512;

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            roomy: Vec::new(),
        }
    }
}

impl<T> Places<T> {
    /// The number that the next one gets. It must be [`Self::insert`] that follows.
    pub(super) fn next(&mut self) -> usize {
        let index = self.block();
        index * BLOCK + self.blocks[index].vacant_key()
    }

    /// Gives a place, by the number that [`Self::next`] says.
    pub(super) fn insert(&mut self, one: T) {
        let index = self.block();
        self.blocks[index].insert(one);
    }

    /// Takes one away, if it is there.
    pub(super) fn remove(&mut self, number: usize) -> Option<T> {
        let index = number / BLOCK;
        let block = self.blocks.get_mut(index)?;
        let was_full = block.len() == BLOCK;
        let one = block.try_remove(number % BLOCK)?;
        if block.is_empty() {
            *block = Slab::new();
        }
        if was_full {
            self.roomy.push(index);
        }
        Some(one)
    }

    /// All, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let blocks = self.blocks.iter().enumerate();
        blocks.flat_map(|(index, block)| {
            let each = block.iter();
            each.map(move |(place, one)| (index * BLOCK + place, one))
        })
    }

    /// A block with room.
    fn block(&mut self) -> usize {
        while let Some(&index) = self.roomy.last() {
            let block = &mut self.blocks[index];
            if block.len() < BLOCK {
                if block.capacity() == 0 {
                    block.reserve_exact(BLOCK);
                }
                return index;
            }
            self.roomy.pop();
        }
        self.blocks.push(Slab::with_capacity(BLOCK));
        let index = self.blocks.len() - 1;
        self.roomy.push(index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 3 * BLOCK + 7;

    fn full() -> Places<usize> {
        let mut places = Places::default();
        for wanted in 0..MANY {
            let number = places.next();
            assert_eq!(number, wanted);
            places.insert(number);
        }
        places
    }

    #[test]
    fn each_is_found_by_its_number_once() {
        let mut places = full();
        assert_eq!(places.remove(MANY), None);
        assert_eq!(places.remove(usize::MAX), None);
        for number in (0..MANY).rev() {
            assert_eq!(places.remove(number), Some(number));
            assert_eq!(places.remove(number), None);
        }
        assert_eq!(places.iter().count(), 0);
    }

    #[test]
    fn a_place_that_is_left_is_given_again_and_no_block_moves() {
        let mut places = full();
        let first: *const usize = places.iter().next().unwrap().1;
        for number in [5, 1, BLOCK + 3, 2 * BLOCK] {
            places.remove(number);
        }
        let mut given = Vec::new();
        for _ in 0..4 + (BLOCK - 7) {
            let number = places.next();
            places.insert(number);
            given.push(number);
        }
        assert!(
            [5, 1, BLOCK + 3, 2 * BLOCK]
                .iter()
                .all(|it| given.contains(it))
        );
        assert_eq!(places.iter().count(), 4 * BLOCK);
        assert!(places.iter().all(|(number, one)| number == *one));
        assert!(core::ptr::eq(first, places.iter().next().unwrap().1));
    }

    #[test]
    fn empty_blocks_are_given_back_and_used_again() {
        let mut places = full();
        assert!((0..MANY).all(|number| places.remove(number).is_some()));
        assert!(places.blocks.iter().all(|block| block.capacity() == 0));
        let number = places.next();
        places.insert(number);
        assert_eq!(places.remove(number), Some(number));
    }
}

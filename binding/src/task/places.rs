//! Values by number, each of which stays in its place.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// How many lie side by side.
const BLOCK: usize = 64;

/// Values that do not move while others are added, and yet lie close together.
pub struct Places<T> {
    /// Each holds `BLOCK` values, the last one maybe less.
    blocks: Vec<NonNull<MaybeUninit<T>>>,
    len: usize,
}

impl<T> Places<T> {
    /// No values.
    pub const fn new() -> Places<T> {
        Places {
            blocks: Vec::new(),
            len: 0,
        }
    }

    /// How many values there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a value, under the next number.
    pub fn push(&mut self, value: T) {
        let (block, offset) = (self.len / BLOCK, self.len % BLOCK);
        if block == self.blocks.len() {
            let new = Box::into_raw(Box::<[T]>::new_uninit_slice(BLOCK));
            self.blocks.extend(NonNull::new(new.cast()));
        }
        // SAFETY: within the block.
        unsafe { self.blocks[block].add(offset).cast().write(value) };
        self.len += 1;
    }

    /// The place of a value. It is there as long as `self` is.
    ///
    /// # Panics
    ///
    /// If there is none with this number.
    #[inline(always)]
    pub fn at(&self, number: usize) -> NonNull<T> {
        assert!(number < self.len, "no such place");
        // SAFETY: within the block.
        unsafe { self.blocks[number / BLOCK].add(number % BLOCK).cast() }
    }
}

impl<T> Drop for Places<T> {
    fn drop(&mut self) {
        for number in 0..self.len {
            // SAFETY: nobody has a reference to any of them.
            unsafe { self.at(number).drop_in_place() };
        }
        for block in self.blocks.drain(..) {
            let block = NonNull::slice_from_raw_parts(block, BLOCK);
            // SAFETY: this is how `push` made it.
            drop(unsafe { Box::from_raw(block.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn values_stay_where_they_are_until_all_go() {
        let owner = Rc::new(());
        let mut places = Places::new();
        places.push((0, owner.clone()));
        let first = places.at(0);
        for number in 1..3 * BLOCK {
            places.push((number, owner.clone()));
        }
        assert_eq!(places.at(0), first);
        for number in 0..places.len() {
            // SAFETY: nobody else uses it.
            assert_eq!(unsafe { places.at(number).as_ref() }.0, number);
        }
        assert_eq!(Rc::strong_count(&owner), 3 * BLOCK + 1);
        drop(places);
        assert_eq!(Rc::strong_count(&owner), 1);
    }

    #[test]
    #[should_panic(expected = "no such place")]
    fn there_is_nothing_beyond_the_last() {
        let mut places = Places::new();
        places.push(1);
        places.at(1);
    }
}
